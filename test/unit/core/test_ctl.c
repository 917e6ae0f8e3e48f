/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * The control side without EAL: descriptors, timers, jobs, waits. Handlers and the test share their
 * data under the control lock; everything else would show under ThreadSanitizer.
 */

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cu_run.h"
#include "vbus_ctl.h"
#include "vbus_log.h"

#define MS 1000000ull

static int
init(void)
{
	return vbus_ctl_get();
}

static int
cleanup(void)
{
	vbus_ctl_put();
	return 0;
}

struct counter {
	int calls;
	int limit; /* wake the test at this many */
	bool done;
	bool in_control;
	bool locked;
	struct vbus_ctl_fd *del_self;
	struct vbus_ctl_fd *del_other;
};

static void
count(struct counter *c)
{
	c->in_control = vbus_ctl_in_control();
	c->locked = vbus_ctl_locked();
	if (++c->calls >= c->limit) {
		c->done = true;
		vbus_ctl_wake();
	}
}

static void
on_event(int fd, uint32_t events, void *arg)
{
	struct counter *c = arg;
	uint64_t v;

	if ((events & EPOLLIN) != 0)
		CU_ASSERT_EQUAL(read(fd, &v, sizeof(v)), 8);
	vbus_ctl_fd_del(c->del_other);
	c->del_other = NULL;
	vbus_ctl_fd_del(c->del_self);
	c->del_self = NULL;
	count(c);
}

static void
ring(int fd)
{
	uint64_t one = 1;

	CU_ASSERT_EQUAL(write(fd, &one, sizeof(one)), 8);
}

static void
test_fd(void)
{
	struct counter c = {.limit = 1};
	int fd = eventfd(0, EFD_NONBLOCK);
	struct vbus_ctl_fd *w;

	vbus_ctl_lock();
	w = vbus_ctl_fd_add(fd, EPOLLIN, on_event, &c);
	CU_ASSERT_PTR_NOT_NULL_FATAL(w);
	ring(fd);
	CU_ASSERT_EQUAL(vbus_ctl_wait(&c.done, 5000 * MS), 0);
	CU_ASSERT_EQUAL(c.calls, 1);
	CU_ASSERT_TRUE(c.in_control);
	CU_ASSERT_TRUE(c.locked);

	vbus_ctl_fd_mod(w, 0);
	ring(fd);
	c.done = false;
	CU_ASSERT_EQUAL(vbus_ctl_wait(&c.done, 20 * MS), -ETIMEDOUT);
	vbus_ctl_fd_mod(w, EPOLLIN);
	CU_ASSERT_EQUAL(vbus_ctl_wait(&c.done, 5000 * MS), 0);

	vbus_ctl_fd_del(w);
	ring(fd);
	c.done = false;
	CU_ASSERT_EQUAL(vbus_ctl_wait(&c.done, 20 * MS), -ETIMEDOUT);
	CU_ASSERT_EQUAL(c.calls, 2);

	errno = 0;
	CU_ASSERT_PTR_NULL(vbus_ctl_fd_add(-1, EPOLLIN, on_event, &c));
	CU_ASSERT_EQUAL(errno, EBADF);
	vbus_ctl_unlock();
	close(fd);
}

/* Two descriptors are ready in one fetch; whichever handler runs first deletes the other and itself. */
static void
test_fd_del_in_handler(void)
{
	for (int round = 0; round < 50; round++) {
		struct counter a = {.limit = 1}, b = {.limit = 1};
		int fa = eventfd(0, EFD_NONBLOCK), fb = eventfd(0, EFD_NONBLOCK);
		struct vbus_ctl_fd *wa, *wb;

		vbus_ctl_lock();
		wa = vbus_ctl_fd_add(fa, EPOLLIN, on_event, &a);
		wb = vbus_ctl_fd_add(fb, EPOLLIN, on_event, &b);
		a.del_other = wb;
		a.del_self = wa;
		b.del_other = wa;
		b.del_self = wb;
		ring(fa);
		ring(fb);
		while (a.calls + b.calls == 0)
			vbus_ctl_wait(a.del_self != NULL ? &a.done : &b.done, 2 * MS);
		vbus_ctl_unlock();
		usleep(500);
		vbus_ctl_lock();
		CU_ASSERT_EQUAL(a.calls + b.calls, 1);
		vbus_ctl_unlock();
		close(fa);
		close(fb);
	}
}

/* Another thread deletes while the event is already fetched: the handler must not run after it. */
static void
test_fd_del_race(void)
{
	for (int round = 0; round < 200; round++) {
		struct counter *c = calloc(1, sizeof(*c));
		int fd = eventfd(0, EFD_NONBLOCK);
		struct vbus_ctl_fd *w;

		c->limit = 1;
		vbus_ctl_lock();
		w = vbus_ctl_fd_add(fd, EPOLLIN, on_event, c);
		ring(fd); /* the control thread fetches and waits for the lock */
		if (round % 2 != 0)
			usleep(200);
		vbus_ctl_fd_del(w);
		close(fd);
		free(c);
		vbus_ctl_unlock();
	}
}

struct ticker {
	struct vbus_ctl_timer t; /* first */
	struct counter c;
	int order;
	uint64_t at_ns;
	bool again;
};
static int order_next;

static void
on_timer(struct vbus_ctl_timer *t)
{
	struct ticker *k = (struct ticker *)t;

	k->order = ++order_next;
	k->at_ns = vbus_ctl_now_ns();
	if (k->again && k->c.calls + 1 < k->c.limit)
		vbus_ctl_timer_arm(t, MS);
	count(&k->c);
}

static void
test_timers(void)
{
	struct ticker k[4] = {0};
	uint64_t start;

	for (int i = 0; i < 4; i++) {
		k[i].t.fn = on_timer;
		k[i].c.limit = 1;
	}
	order_next = 0;
	vbus_ctl_lock();
	start = vbus_ctl_now_ns();
	vbus_ctl_timer_arm(&k[0].t, 30 * MS);
	vbus_ctl_timer_arm(&k[1].t, 10 * MS);
	vbus_ctl_timer_arm(&k[2].t, 20 * MS);
	vbus_ctl_timer_arm(&k[3].t, 5 * MS);
	vbus_ctl_timer_arm(&k[1].t, 40 * MS); /* moved behind the others */
	vbus_ctl_timer_cancel(&k[3].t);
	vbus_ctl_timer_cancel(&k[3].t); /* idle: nothing */
	CU_ASSERT_EQUAL(vbus_ctl_wait(&k[1].c.done, 5000 * MS), 0);
	CU_ASSERT_EQUAL(k[2].order, 1);
	CU_ASSERT_EQUAL(k[0].order, 2);
	CU_ASSERT_EQUAL(k[1].order, 3);
	CU_ASSERT_EQUAL(k[3].order, 0);
	CU_ASSERT_TRUE(k[2].at_ns - start >= 20 * MS);
	CU_ASSERT_TRUE(k[1].at_ns - start >= 40 * MS);
	CU_ASSERT_FALSE(k[0].t.armed);

	/* re-armed from within, and with no delay */
	k[0].c = (struct counter){.limit = 5};
	k[0].again = true;
	vbus_ctl_timer_arm(&k[0].t, 0);
	CU_ASSERT_EQUAL(vbus_ctl_wait(&k[0].c.done, 5000 * MS), 0);
	CU_ASSERT_EQUAL(k[0].c.calls, 5);

	/* cancelled under the lock after it is due: it must not run */
	k[2].c = (struct counter){.limit = 1};
	vbus_ctl_timer_arm(&k[2].t, MS);
	usleep(5000);
	vbus_ctl_timer_cancel(&k[2].t);
	CU_ASSERT_EQUAL(vbus_ctl_wait(&k[2].c.done, 10 * MS), -ETIMEDOUT);
	CU_ASSERT_EQUAL(k[2].c.calls, 0);
	vbus_ctl_timer_arm(&k[3].t, UINT64_MAX); /* far, not wrapped */
	CU_ASSERT_EQUAL(vbus_ctl_wait(&k[3].c.done, 10 * MS), -ETIMEDOUT);
	vbus_ctl_timer_cancel(&k[3].t);
	vbus_ctl_unlock();
}

struct work {
	struct vbus_ctl_job job; /* first */
	int runs;
	int order;
	bool in_worker;
	bool locked;
	bool requeue;
	bool free_self;
	unsigned int sleep_us;
};

static void
on_job(struct vbus_ctl_job *job)
{
	struct work *w = (struct work *)job;

	if (w->free_self) {
		free(w);
		return;
	}
	w->in_worker = vbus_ctl_in_worker();
	w->locked = vbus_ctl_locked();
	if (w->sleep_us != 0)
		usleep(w->sleep_us);
	vbus_ctl_lock();
	w->runs++;
	w->order = ++order_next;
	if (w->requeue) {
		w->requeue = false;
		vbus_ctl_job_queue(job);
	}
	vbus_ctl_unlock();
}

static void
test_jobs(void)
{
	struct work w[3] = {0}, *gone = calloc(1, sizeof(*gone));

	order_next = 0;
	for (int i = 0; i < 3; i++)
		w[i].job.fn = on_job;
	gone->job.fn = on_job;
	gone->free_self = true;
	w[0].sleep_us = 5000;
	vbus_ctl_lock();
	CU_ASSERT_FALSE(vbus_ctl_job_cancel(&w[2].job));
	vbus_ctl_job_queue(&w[0].job);
	vbus_ctl_job_queue(&w[2].job);
	vbus_ctl_job_queue(&w[1].job);
	vbus_ctl_job_queue(&w[1].job); /* not twice */
	vbus_ctl_job_queue(&gone->job);
	CU_ASSERT_TRUE(vbus_ctl_job_cancel(&w[2].job));
	CU_ASSERT_FALSE(w[2].job.queued);
	w[1].requeue = true;
	vbus_ctl_unlock();
	vbus_ctl_job_flush();
	vbus_ctl_job_flush();
	vbus_ctl_lock();
	CU_ASSERT_EQUAL(w[0].runs, 1);
	CU_ASSERT_EQUAL(w[0].order, 1);
	CU_ASSERT_EQUAL(w[1].runs, 2);
	CU_ASSERT_EQUAL(w[2].runs, 0);
	CU_ASSERT_TRUE(w[0].in_worker);
	CU_ASSERT_FALSE(w[0].locked);
	/* the last of the queue taken out: the tail must not dangle */
	w[0].sleep_us = 3000;
	vbus_ctl_job_queue(&w[0].job);
	vbus_ctl_job_queue(&w[1].job);
	vbus_ctl_job_queue(&w[2].job);
	CU_ASSERT_TRUE(vbus_ctl_job_cancel(&w[2].job));
	vbus_ctl_job_queue(&w[2].job);
	vbus_ctl_unlock();
	vbus_ctl_job_flush();
	CU_ASSERT_EQUAL(w[2].runs, 1);
	CU_ASSERT_FALSE(vbus_ctl_in_worker());
	CU_ASSERT_FALSE(vbus_ctl_in_control());
}

static void
test_wait_timeout(void)
{
	bool never = false;
	uint64_t start;

	vbus_ctl_lock();
	start = vbus_ctl_now_ns();
	CU_ASSERT_EQUAL(vbus_ctl_wait(&never, 30 * MS), -ETIMEDOUT);
	CU_ASSERT_TRUE(vbus_ctl_now_ns() - start >= 30 * MS);
	CU_ASSERT_TRUE(vbus_ctl_locked());
	CU_ASSERT_EQUAL(vbus_ctl_wait(&never, 0), -ETIMEDOUT);
	never = true;
	CU_ASSERT_EQUAL(vbus_ctl_wait(&never, 0), 0);
	vbus_ctl_unlock();
	CU_ASSERT_FALSE(vbus_ctl_locked());
}

static int wait_in_control;

static void
on_wait_timer(struct vbus_ctl_timer *t)
{
	struct ticker *k = (struct ticker *)t;
	bool never = false;

	wait_in_control = vbus_ctl_wait(&never, MS);
	count(&k->c);
}

static void
test_wait_from_control(void)
{
	struct ticker k = {.t.fn = on_wait_timer, .c.limit = 1};

	vbus_ctl_lock();
	vbus_ctl_timer_arm(&k.t, 0);
	CU_ASSERT_EQUAL(vbus_ctl_wait(&k.c.done, 5000 * MS), 0);
	CU_ASSERT_EQUAL(wait_in_control, -EDEADLK);
	vbus_ctl_unlock();
}

/* Who waits is served before who comes back: with a plain mutex this thread would have it again
 * before the waiter is awake, and a busy control thread would keep everybody out. */
struct waiter {
	pthread_t tid;
	_Atomic pid_t kernel_tid; /* 0: it does not run yet */
	int *next;
	int place;
};

static void *
wait_for_lock(void *arg)
{
	struct waiter *w = arg;

	w->kernel_tid = (pid_t)syscall(SYS_gettid);
	vbus_ctl_lock();
	w->place = ++*w->next;
	vbus_ctl_unlock();
	return NULL;
}

/* Does the thread sleep? Between its first instruction and the lock it does not. */
static bool
sleeps(const struct waiter *w)
{
	char name[64], state = '?';
	FILE *f;

	if (w->kernel_tid == 0)
		return false;
	snprintf(name, sizeof(name), "/proc/self/task/%d/stat", (int)w->kernel_tid);
	f = fopen(name, "re");
	if (f != NULL) {
		if (fscanf(f, "%*d (%*[^)]) %c", &state) != 1)
			state = '?';
		fclose(f);
	}
	return state == 'S';
}

static void
test_fair(void)
{
	struct waiter w[4];
	int next = 0;

	vbus_ctl_lock();
	for (int i = 0; i < 4; i++) {
		w[i] = (struct waiter){.next = &next};
		pthread_create(&w[i].tid, NULL, wait_for_lock, &w[i]);
		for (int ms = 0; ms < 10000 && !sleeps(&w[i]); ms++)
			usleep(1000);
	}
	vbus_ctl_unlock();
	vbus_ctl_lock();
	CU_ASSERT_EQUAL(next, 4);
	vbus_ctl_unlock();
	for (int i = 0; i < 4; i++) {
		pthread_join(w[i].tid, NULL);
		CU_ASSERT_EQUAL(w[i].place, i + 1);
	}
}

static uint64_t shared;

static void *
hammer(void *arg)
{
	for (int i = 0; i < 5000; i++) {
		vbus_ctl_lock();
		shared++;
		if (i % 64 == 0)
			vbus_ctl_wake();
		vbus_ctl_unlock();
	}
	return arg;
}

static void
test_lock_stress(void)
{
	pthread_t t[4];

	shared = 0;
	for (int i = 0; i < 4; i++)
		pthread_create(&t[i], NULL, hammer, NULL);
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	CU_ASSERT_EQUAL(shared, 4 * 5000);
}

/* Users are counted; a timer armed while nothing runs fires after the next start. */
static void
test_restart(void)
{
	struct ticker k = {.t.fn = on_timer, .c.limit = 1};
	struct counter c = {.limit = 1};
	int fd = eventfd(0, EFD_NONBLOCK);
	struct vbus_ctl_fd *w;

	CU_ASSERT_EQUAL(vbus_ctl_get(), 0);
	vbus_ctl_put();
	vbus_ctl_lock();
	w = vbus_ctl_fd_add(fd, EPOLLIN, on_event, &c);
	vbus_ctl_unlock();
	vbus_ctl_put();	      /* the last one */
	vbus_ctl_job_flush(); /* no worker: returns */
	vbus_ctl_lock();
	vbus_ctl_fd_del(w);
	CU_ASSERT_PTR_NULL(vbus_ctl_fd_add(fd, EPOLLIN, on_event, &c));
	CU_ASSERT_EQUAL(errno, ENOTCONN);
	vbus_ctl_timer_arm(&k.t, MS);
	CU_ASSERT_EQUAL(vbus_ctl_wait(&k.c.done, 10 * MS), -ETIMEDOUT);
	vbus_ctl_unlock();
	CU_ASSERT_EQUAL(vbus_ctl_get(), 0);
	vbus_ctl_lock();
	CU_ASSERT_EQUAL(vbus_ctl_wait(&k.c.done, 5000 * MS), 0);
	vbus_ctl_unlock();
	close(fd);
}

static sigset_t control_mask;

static void
on_mask_timer(struct vbus_ctl_timer *t)
{
	pthread_sigmask(SIG_SETMASK, NULL, &control_mask);
	count(&((struct ticker *)t)->c);
}

static void
test_signals(void)
{
	struct ticker k = {.t.fn = on_mask_timer, .c.limit = 1};

	vbus_ctl_lock();
	vbus_ctl_timer_arm(&k.t, 0);
	CU_ASSERT_EQUAL(vbus_ctl_wait(&k.c.done, 5000 * MS), 0);
	CU_ASSERT_TRUE(sigismember(&control_mask, SIGINT));
	CU_ASSERT_TRUE(sigismember(&control_mask, SIGTERM));
	CU_ASSERT_FALSE(sigismember(&control_mask, SIGBUS));
	CU_ASSERT_FALSE(sigismember(&control_mask, SIGSEGV));
	vbus_ctl_unlock();
}

static void
test_log_limit(void)
{
	struct vbus_log_limit l = {0};
	uint32_t left_out;
	int printed = 0;

	for (int i = 0; i < 100; i++)
		printed += vbus_log_allowed(&l, &left_out);
	CU_ASSERT_EQUAL(printed, 5);
	l.window_ns -= 1000 * MS; /* a second later */
	CU_ASSERT_TRUE(vbus_log_allowed(&l, &left_out));
	CU_ASSERT_EQUAL(left_out, 95);
	CU_ASSERT_TRUE(vbus_log_allowed(&l, &left_out));
	CU_ASSERT_EQUAL(left_out, 0);
}

static const struct cu_test tests[] = {
	{"a descriptor's handler", test_fd},
	{"delete inside a handler", test_fd_del_in_handler},
	{"delete after the fetch", test_fd_del_race},
	{"timers", test_timers},
	{"jobs", test_jobs},
	{"wait with a deadline", test_wait_timeout},
	{"no wait on the control thread", test_wait_from_control},
	{"lock in the order of arrival", test_fair},
	{"lock stress", test_lock_stress},
	{"signals blocked, faults not", test_signals},
	{"stop and start", test_restart},
	{"log limit", test_log_limit},
	{NULL, NULL},
};

int
main(void)
{
	return cu_run("ctl", tests, init, cleanup);
}
