/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * The control side: the lock, the control thread's loop, descriptors and timers (ADR-0002).
 *
 * Threads: everybody but lcores takes the lock; control_loop() runs on the control thread alone.
 * The lock serves in the order of arrival: a plain mutex may be taken again and again by the
 * control thread while a peer keeps its sockets busy, and an ethdev operation would starve.
 *
 * Ownership: a watch belongs to ctl.c. A deleted one lies on the graveyard until the control thread
 * holds no fetched event that may still name it. Timers belong to whoever embeds them.
 */

#include "vbus_ctl.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include <rte_lcore.h>

#include "ctl_priv.h"
#include "vbus_compat.h"
#include "vbus_log.h"

#define NS_PER_S   1000000000ull
#define MAX_EVENTS 64

struct vbus_ctl_fd {
	int fd;
	bool dead;
	vbus_ctl_fd_fn fn;
	void *arg;
	struct vbus_ctl_fd *next; /* on the graveyard */
};

/* The lock: who holds it is a number under a mutex that is held for moments only. */
static struct {
	pthread_mutex_t guard;
	pthread_cond_t turn;
	pthread_cond_t change;
	bool change_ready; /* its clock is set */
	uint64_t next_ticket;
	uint64_t serving;
	uint64_t nb_wakes;
} lk = {
	.guard = PTHREAD_MUTEX_INITIALIZER,
	.turn = PTHREAD_COND_INITIALIZER,
};

/* The loop; all but start_lock and nb_users under the control lock. */
static pthread_mutex_t start_lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned int nb_users;
static struct {
	pthread_t tid;
	bool running;
	bool stop;
	int epfd;
	int timerfd;
	int stopfd;
	struct vbus_ctl_fd timer_watch;
	struct vbus_ctl_fd stop_watch;
	struct vbus_ctl_fd *graveyard;
	struct vbus_ctl_timer *timers;
} ctl = {
	.epfd = -1,
	.timerfd = -1,
	.stopfd = -1,
};

static _Thread_local bool holds_lock;
static _Thread_local bool is_control;

/* ---- lock ------------------------------------------------------------------------------------ */

/* guard held */
static void
take_turn(void)
{
	uint64_t mine = lk.next_ticket++;

	while (lk.serving != mine)
		pthread_cond_wait(&lk.turn, &lk.guard);
	holds_lock = true;
}

/* guard held */
static void
pass_turn(void)
{
	holds_lock = false;
	if (++lk.serving != lk.next_ticket)
		pthread_cond_broadcast(&lk.turn);
}

void
vbus_ctl_lock(void)
{
	pthread_mutex_lock(&lk.guard);
	take_turn();
	pthread_mutex_unlock(&lk.guard);
}

void
vbus_ctl_unlock(void)
{
	pthread_mutex_lock(&lk.guard);
	pass_turn();
	pthread_mutex_unlock(&lk.guard);
}

bool
vbus_ctl_locked(void)
{
	return holds_lock;
}

bool
vbus_ctl_in_control(void)
{
	return is_control;
}

uint64_t
vbus_ctl_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

/* The condition's clock must be the monotonic one: a stepped wall clock would end every wait. */
static void
change_init(void)
{
	pthread_condattr_t attr;

	if (lk.change_ready)
		return;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&lk.change, &attr);
	pthread_condattr_destroy(&attr);
	lk.change_ready = true;
}

int
vbus_ctl_wait_change(uint64_t deadline_ns)
{
	struct timespec ts = {
		.tv_sec = (time_t)(deadline_ns / NS_PER_S),
		.tv_nsec = (long)(deadline_ns % NS_PER_S),
	};
	uint64_t seen;
	int ret = 0;

	pthread_mutex_lock(&lk.guard);
	change_init();
	seen = lk.nb_wakes;
	pass_turn();
	while (lk.nb_wakes == seen && ret == 0) {
		if (deadline_ns == VBUS_CTL_FOREVER)
			pthread_cond_wait(&lk.change, &lk.guard);
		else
			ret = -pthread_cond_timedwait(&lk.change, &lk.guard, &ts);
	}
	take_turn();
	pthread_mutex_unlock(&lk.guard);
	return ret;
}

int
vbus_ctl_wait(const bool *done, uint64_t timeout_ns)
{
	uint64_t now = vbus_ctl_now_ns();
	uint64_t deadline = timeout_ns < VBUS_CTL_FOREVER - now ? now + timeout_ns
								: VBUS_CTL_FOREVER;
	int ret = 0;

	if (is_control)
		return -EDEADLK; /* who would set *done? */
	while (!*done && ret == 0)
		ret = vbus_ctl_wait_change(deadline);
	return *done ? 0 : ret;
}

void
vbus_ctl_wake(void)
{
	pthread_mutex_lock(&lk.guard);
	change_init();
	lk.nb_wakes++;
	pthread_cond_broadcast(&lk.change);
	pthread_mutex_unlock(&lk.guard);
}

/* ---- descriptors ----------------------------------------------------------------------------- */

struct vbus_ctl_fd *
vbus_ctl_fd_add(int fd, uint32_t events, vbus_ctl_fd_fn fn, void *arg)
{
	struct vbus_ctl_fd *w = calloc(1, sizeof(*w));
	struct epoll_event ev = {.events = events, .data.ptr = w};

	if (w == NULL)
		return NULL;
	w->fd = fd;
	w->fn = fn;
	w->arg = arg;
	if (epoll_ctl(ctl.epfd, EPOLL_CTL_ADD, fd, &ev) != 0) {
		int err = ctl.epfd < 0 ? ENOTCONN : errno;

		free(w);
		errno = err;
		return NULL;
	}
	return w;
}

void
vbus_ctl_fd_mod(struct vbus_ctl_fd *w, uint32_t events)
{
	struct epoll_event ev = {.events = events, .data.ptr = w};

	epoll_ctl(ctl.epfd, EPOLL_CTL_MOD, w->fd, &ev);
}

void
vbus_ctl_fd_del(struct vbus_ctl_fd *w)
{
	if (w == NULL)
		return;
	epoll_ctl(ctl.epfd, EPOLL_CTL_DEL, w->fd, NULL);
	if (!ctl.running) {
		free(w);
		return;
	}
	w->dead = true;
	w->next = ctl.graveyard;
	ctl.graveyard = w;
}

/* Lock held, and no fetched event is outstanding. */
static void
bury(void)
{
	struct vbus_ctl_fd *w;

	while ((w = ctl.graveyard) != NULL) {
		ctl.graveyard = w->next;
		free(w);
	}
}

/* ---- timers ---------------------------------------------------------------------------------- */

/* The kernel's timer follows the head of the list; it fires in the loop like any descriptor. */
static void
timers_program(void)
{
	struct itimerspec its = {0};

	if (ctl.timerfd < 0)
		return;
	if (ctl.timers != NULL) {
		/* 0 would disarm it */
		uint64_t due = ctl.timers->due_ns != 0 ? ctl.timers->due_ns : 1;

		its.it_value.tv_sec = (time_t)(due / NS_PER_S);
		its.it_value.tv_nsec = (long)(due % NS_PER_S);
	}
	timerfd_settime(ctl.timerfd, TFD_TIMER_ABSTIME, &its, NULL);
}

static void
timer_unlink(struct vbus_ctl_timer *t)
{
	struct vbus_ctl_timer **pp = &ctl.timers;

	while (*pp != NULL && *pp != t)
		pp = &(*pp)->next;
	if (*pp == t)
		*pp = t->next;
	t->next = NULL;
	t->armed = false;
}

void
vbus_ctl_timer_arm(struct vbus_ctl_timer *t, uint64_t delay_ns)
{
	struct vbus_ctl_timer **pp = &ctl.timers;
	uint64_t now = vbus_ctl_now_ns();

	if (t->armed)
		timer_unlink(t);
	/* 2^62 ns are 146 years: far enough, and time_t holds it */
	t->due_ns = now + (delay_ns < (1ull << 62) ? delay_ns : 1ull << 62);
	while (*pp != NULL && (*pp)->due_ns <= t->due_ns)
		pp = &(*pp)->next;
	t->next = *pp;
	*pp = t;
	t->armed = true;
	if (ctl.timers == t)
		timers_program();
}

void
vbus_ctl_timer_cancel(struct vbus_ctl_timer *t)
{
	bool head = ctl.timers == t;

	if (!t->armed)
		return;
	timer_unlink(t);
	if (head)
		timers_program();
}

static void
timers_run(int fd, uint32_t events, void *arg)
{
	uint64_t now = vbus_ctl_now_ns();
	uint64_t expirations;
	struct vbus_ctl_timer *t;

	(void)events;
	(void)arg;
	if (read(fd, &expirations, sizeof(expirations)) < 0)
		return; /* re-armed for later in the meantime */
	while ((t = ctl.timers) != NULL && t->due_ns <= now) {
		timer_unlink(t);
		t->fn(t);
	}
	timers_program();
}

/* ---- the loop -------------------------------------------------------------------------------- */

static void
stop_requested(int fd, uint32_t events, void *arg)
{
	(void)fd;
	(void)events;
	(void)arg;
	ctl.stop = true;
}

static void *
control_loop(void *arg)
{
	struct epoll_event ev[MAX_EVENTS];
	bool stop = false;

	(void)arg;
	is_control = true;
	while (!stop) {
		int n = epoll_wait(ctl.epfd, ev, MAX_EVENTS, -1);

		for (int i = 0; i < n; i++) {
			struct vbus_ctl_fd *w = ev[i].data.ptr;

			/* For each: others get their turn between two handlers. */
			vbus_ctl_lock();
			if (!w->dead)
				w->fn(w->fd, ev[i].events, w->arg);
			vbus_ctl_unlock();
		}
		vbus_ctl_lock();
		bury();
		stop = ctl.stop;
		vbus_ctl_unlock();
	}
	return NULL;
}

int
vbus_ctl_thread(pthread_t *tid, const char *name, void *(*fn)(void *))
{
	sigset_t block, old;
	int ret;

	/* The program's signals are its own threads' business. Faults must come through: a blocked
	 * SIGBUS kills the process without asking the handler (sigbus.c). */
	sigfillset(&block);
	sigdelset(&block, SIGBUS);
	sigdelset(&block, SIGSEGV);
	sigdelset(&block, SIGFPE);
	sigdelset(&block, SIGILL);
	pthread_sigmask(SIG_SETMASK, &block, &old);
	/* Without EAL (unit tests, tools) there is no set of control CPUs. */
	if (rte_lcore_count() != 0) {
		ret = vbus_ctrl_thread_create(tid, name, fn, NULL);
	} else {
		ret = -pthread_create(tid, NULL, fn, NULL);
		if (ret == 0)
			pthread_setname_np(*tid, name);
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return ret;
}

static int
watch_own(struct vbus_ctl_fd *w, int fd, vbus_ctl_fd_fn fn)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.ptr = w};

	*w = (struct vbus_ctl_fd){.fd = fd, .fn = fn};
	return epoll_ctl(ctl.epfd, EPOLL_CTL_ADD, fd, &ev) == 0 ? 0 : -errno;
}

static void
loop_close(void)
{
	int *fds[] = {&ctl.epfd, &ctl.timerfd, &ctl.stopfd};

	for (unsigned int i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
		if (*fds[i] >= 0)
			close(*fds[i]);
		*fds[i] = -1;
	}
}

/* Control lock held, so that a watch added from elsewhere sees all or nothing. */
static int
loop_open(void)
{
	int ret;

	ctl.stop = false;
	ctl.epfd = epoll_create1(EPOLL_CLOEXEC);
	if (ctl.epfd < 0)
		goto err;
	ctl.timerfd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (ctl.timerfd < 0)
		goto err;
	ctl.stopfd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (ctl.stopfd < 0)
		goto err;
	ret = watch_own(&ctl.timer_watch, ctl.timerfd, timers_run);
	if (ret == 0)
		ret = watch_own(&ctl.stop_watch, ctl.stopfd, stop_requested);
	if (ret != 0)
		goto err_close;
	timers_program(); /* armed before the start */
	return 0;

err:
	ret = -errno;
err_close:
	loop_close();
	return ret;
}

static int
loop_start(void)
{
	int ret;

	vbus_ctl_lock();
	ret = loop_open();
	if (ret == 0) {
		ret = vbus_ctl_thread(&ctl.tid, "vbus-ctl", control_loop);
		if (ret != 0)
			loop_close();
	}
	ctl.running = ret == 0;
	vbus_ctl_unlock();
	return ret;
}

static void
loop_stop(void)
{
	uint64_t one = 1;

	if (write(ctl.stopfd, &one, sizeof(one)) < 0)
		VBUS_LOG(ERR, "control thread cannot be told to end: %s", strerror(errno));
	pthread_join(ctl.tid, NULL);
	vbus_ctl_lock();
	ctl.running = false;
	bury();
	loop_close();
	vbus_ctl_unlock();
}

int
vbus_ctl_get(void)
{
	int ret = 0;

	pthread_mutex_lock(&start_lock);
	if (nb_users == 0) {
		ret = loop_start();
		if (ret == 0) {
			ret = vbus_ctl_worker_start();
			if (ret != 0)
				loop_stop();
		}
	}
	if (ret == 0)
		nb_users++;
	pthread_mutex_unlock(&start_lock);
	if (ret != 0)
		VBUS_LOG(ERR, "control thread does not start: %s", strerror(-ret));
	return ret;
}

void
vbus_ctl_put(void)
{
	pthread_mutex_lock(&start_lock);
	if (nb_users != 0 && --nb_users == 0) {
		/* First the worker: what it still has to do may wait for handlers. */
		vbus_ctl_worker_stop();
		loop_stop();
	}
	pthread_mutex_unlock(&start_lock);
}
