/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * The control side of lib/vbus_core (vbus_ctl.h) without threads: time stands still until
 * fuzz_ctl_tick(), descriptors are looked at by fuzz_ctl_poll(), jobs run there too. So an input does
 * the same thing each time.
 */

#include "fuzz_ctl.h"

#include <stdlib.h>
#include <sys/epoll.h>

#include "fuzz.h"
#include "vbus_ctl.h"

struct vbus_ctl_fd {
	int fd;
	vbus_ctl_fd_fn fn;
	void *arg;
	struct vbus_ctl_fd *next;
};

static struct vbus_ctl_fd *watches;
static struct vbus_ctl_timer *timers;
static struct vbus_ctl_job *jobs;
static uint64_t now = 1000000000;

/* The timers that are due when it begins, one after the other; any of them may cancel any other. */
void
fuzz_ctl_tick(uint64_t ns)
{
	struct vbus_ctl_timer *t;
	uint64_t limit;

	now += ns;
	limit = now;
	now++; /* what is armed meanwhile is due later */
	for (;;) {
		for (t = timers; t != NULL && t->due_ns > limit; t = t->next)
			;
		if (t == NULL)
			return;
		vbus_ctl_timer_cancel(t);
		t->fn(t);
	}
}

void
fuzz_ctl_poll(void)
{
	struct vbus_ctl_fd *w, *next;
	struct vbus_ctl_job *job;

	for (w = watches; w != NULL; w = next) {
		next = w->next;
		w->fn(w->fd, EPOLLIN, w->arg);
	}
	while ((job = jobs) != NULL) {
		jobs = job->next;
		job->queued = false;
		job->fn(job);
	}
}

void
vbus_ctl_lock(void)
{
}

void
vbus_ctl_unlock(void)
{
}

bool
vbus_ctl_locked(void)
{
	return true;
}

int
vbus_ctl_get(void)
{
	return 0;
}

void
vbus_ctl_put(void)
{
}

bool
vbus_ctl_in_worker(void)
{
	return false;
}

bool
vbus_ctl_in_control(void)
{
	return true;
}

uint64_t
vbus_ctl_now_ns(void)
{
	return now;
}

struct vbus_ctl_fd *
vbus_ctl_fd_add(int fd, uint32_t events, vbus_ctl_fd_fn fn, void *arg)
{
	struct vbus_ctl_fd *w = malloc(sizeof(*w));

	(void)events;
	if (w == NULL)
		return NULL;
	*w = (struct vbus_ctl_fd){fd, fn, arg, watches};
	watches = w;
	return w;
}

void
vbus_ctl_fd_mod(struct vbus_ctl_fd *w, uint32_t events)
{
	(void)w;
	(void)events;
}

void
vbus_ctl_fd_del(struct vbus_ctl_fd *w)
{
	struct vbus_ctl_fd **pp = &watches;

	if (w == NULL)
		return;
	while (*pp != w)
		pp = &(*pp)->next;
	*pp = w->next;
	free(w);
}

void
vbus_ctl_timer_cancel(struct vbus_ctl_timer *t)
{
	struct vbus_ctl_timer **pp = &timers;

	while (*pp != NULL && *pp != t)
		pp = &(*pp)->next;
	if (*pp == t) {
		*pp = t->next;
		t->next = NULL;
	}
	t->armed = false;
}

void
vbus_ctl_timer_arm(struct vbus_ctl_timer *t, uint64_t delay_ns)
{
	FUZZ_CHECK(t->fn != NULL);
	vbus_ctl_timer_cancel(t);
	t->due_ns = now + delay_ns;
	t->armed = true;
	t->next = timers;
	timers = t;
}

void
vbus_ctl_job_queue(struct vbus_ctl_job *job)
{
	struct vbus_ctl_job **pp = &jobs;

	if (job->queued)
		return;
	while (*pp != NULL)
		pp = &(*pp)->next;
	*pp = job;
	job->next = NULL;
	job->queued = true;
}

bool
vbus_ctl_job_cancel(struct vbus_ctl_job *job)
{
	struct vbus_ctl_job **pp = &jobs;

	if (!job->queued)
		return false;
	while (*pp != job)
		pp = &(*pp)->next;
	*pp = job->next;
	job->queued = false;
	return true;
}

void
vbus_ctl_job_flush(void)
{
}

int
vbus_ctl_wait(const bool *done, uint64_t timeout_ns)
{
	(void)timeout_ns;
	return *done ? 0 : -110;
}

void
vbus_ctl_wake(void)
{
}
