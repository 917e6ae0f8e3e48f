/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * The worker: one thread for what may wait, with deadlines (ADR-0002): plug and unplug, re-opening
 * devices, callbacks into the application. First in, first out.
 *
 * Threads: the queue is under the control lock; jobs run on the worker without it.
 * Ownership: a job belongs to whoever embeds it and may free itself: it is not touched after fn().
 */

#include "vbus_ctl.h"

#include <errno.h>
#include <stddef.h>

#include "ctl_priv.h"

static struct {
	pthread_t tid;
	bool running;
	bool stop;
	struct vbus_ctl_job *first;
	struct vbus_ctl_job **tail;
} worker = {.tail = &worker.first};

static _Thread_local bool is_worker;

bool
vbus_ctl_in_worker(void)
{
	return is_worker;
}

void
vbus_ctl_job_queue(struct vbus_ctl_job *job)
{
	if (job->queued)
		return;
	job->queued = true;
	job->next = NULL;
	*worker.tail = job;
	worker.tail = &job->next;
	vbus_ctl_wake();
}

bool
vbus_ctl_job_cancel(struct vbus_ctl_job *job)
{
	struct vbus_ctl_job **pp = &worker.first;

	if (!job->queued)
		return false;
	while (*pp != job)
		pp = &(*pp)->next;
	*pp = job->next;
	if (worker.tail == &job->next)
		worker.tail = pp;
	job->next = NULL;
	job->queued = false;
	return true;
}

static struct vbus_ctl_job *
job_take(void)
{
	struct vbus_ctl_job *job = worker.first;

	if (job != NULL)
		vbus_ctl_job_cancel(job);
	return job;
}

static void *
worker_loop(void *arg)
{
	struct vbus_ctl_job *job;

	(void)arg;
	is_worker = true;
	vbus_ctl_lock();
	for (;;) {
		job = job_take();
		if (job != NULL) {
			vbus_ctl_unlock();
			job->fn(job);
			vbus_ctl_lock();
		} else if (worker.stop) {
			break;
		} else {
			vbus_ctl_wait_change(VBUS_CTL_FOREVER);
		}
	}
	vbus_ctl_unlock();
	return NULL;
}

/* A job that marks a place in the queue. */
struct flush_mark {
	struct vbus_ctl_job job;
	bool done;
};

static void
flush_reached(struct vbus_ctl_job *job)
{
	struct flush_mark *m = (struct flush_mark *)((char *)job -
						     offsetof(struct flush_mark, job));

	vbus_ctl_lock();
	m->done = true;
	vbus_ctl_wake();
	vbus_ctl_unlock();
}

void
vbus_ctl_job_flush(void)
{
	struct flush_mark m = {.job.fn = flush_reached};

	vbus_ctl_lock();
	if (worker.running) {
		vbus_ctl_job_queue(&m.job);
		while (!m.done)
			vbus_ctl_wait_change(VBUS_CTL_FOREVER);
	}
	vbus_ctl_unlock();
}

int
vbus_ctl_worker_start(void)
{
	int ret;

	vbus_ctl_lock();
	worker.stop = false;
	ret = vbus_ctl_thread(&worker.tid, "vbus-work", worker_loop);
	worker.running = ret == 0;
	vbus_ctl_unlock();
	return ret;
}

void
vbus_ctl_worker_stop(void)
{
	vbus_ctl_lock();
	worker.stop = true;
	worker.running = false;
	vbus_ctl_wake();
	vbus_ctl_unlock();
	pthread_join(worker.tid, NULL);
}
