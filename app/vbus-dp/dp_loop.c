/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * The event loop of vbus-dp's own control side (dp_loop.h, ADR-0010).
 *
 * Threads: one, the one that runs it; dp_loop_stop() from any (an eventfd). Ownership: a watch is the
 * loop's and lives until dp_loop_del(); one that is deleted while events are being handed out is
 * freed only after the round, for the rest of the round may name it.
 */

#include "dp_loop.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include <time.h>
#include <unistd.h>

#define EVENTS_A_ROUND 64
#define NS_PER_MS      1000000ull

struct dp_loop_fd {
	int fd;
	bool dead;
	dp_loop_fn fn;
	void *arg;
	LIST_ENTRY(dp_loop_fd) next;
};

static struct {
	int epfd;
	int stop_fd;
	bool stop;
	struct dp_loop_timer *timers; /* by due_ns */
	LIST_HEAD(, dp_loop_fd) watches;
	LIST_HEAD(, dp_loop_fd) dead;
} loop = {.epfd = -1, .stop_fd = -1};

uint64_t
dp_loop_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ull + (uint64_t)ts.tv_nsec;
}

/* ---- descriptors ------------------------------------------------------------------------------- */

struct dp_loop_fd *
dp_loop_add(int fd, uint32_t events, dp_loop_fn fn, void *arg)
{
	struct dp_loop_fd *w = calloc(1, sizeof(*w));
	struct epoll_event ev = {.events = events, .data.ptr = w};

	if (w == NULL)
		return NULL;
	w->fd = fd;
	w->fn = fn;
	w->arg = arg;
	if (epoll_ctl(loop.epfd, EPOLL_CTL_ADD, fd, &ev) != 0) {
		free(w);
		return NULL;
	}
	LIST_INSERT_HEAD(&loop.watches, w, next);
	return w;
}

int
dp_loop_mod(struct dp_loop_fd *w, uint32_t events)
{
	struct epoll_event ev = {.events = events, .data.ptr = w};

	return epoll_ctl(loop.epfd, EPOLL_CTL_MOD, w->fd, &ev) == 0 ? 0 : -errno;
}

void
dp_loop_del(struct dp_loop_fd *w)
{
	if (w == NULL || w->dead)
		return;
	epoll_ctl(loop.epfd, EPOLL_CTL_DEL, w->fd, NULL);
	w->dead = true;
	LIST_REMOVE(w, next);
	LIST_INSERT_HEAD(&loop.dead, w, next);
}

static void
bury(void)
{
	struct dp_loop_fd *w;

	while ((w = LIST_FIRST(&loop.dead)) != NULL) {
		LIST_REMOVE(w, next);
		free(w);
	}
}

/* ---- timers ------------------------------------------------------------------------------------ */

void
dp_loop_timer_cancel(struct dp_loop_timer *t)
{
	struct dp_loop_timer **at;

	if (!t->armed)
		return;
	for (at = &loop.timers; *at != NULL; at = &(*at)->next) {
		if (*at == t) {
			*at = t->next;
			break;
		}
	}
	t->next = NULL;
	t->armed = false;
}

void
dp_loop_timer_arm(struct dp_loop_timer *t, uint64_t delay_ns)
{
	struct dp_loop_timer **at;

	dp_loop_timer_cancel(t);
	t->due_ns = dp_loop_now_ns() + delay_ns;
	for (at = &loop.timers; *at != NULL && (*at)->due_ns <= t->due_ns; at = &(*at)->next)
		;
	t->next = *at;
	t->armed = true;
	*at = t;
}

/* Those that were due when the round began: one that arms itself anew with 0 does not stop the rest. */
static void
timers_run(void)
{
	uint64_t now = dp_loop_now_ns();
	struct dp_loop_timer *t;

	while (!loop.stop && (t = loop.timers) != NULL && t->due_ns <= now) {
		loop.timers = t->next;
		t->next = NULL;
		t->armed = false;
		t->fn(t, t->arg);
	}
}

/* For epoll_wait(): rounded up, so that a timer is due when it returns. */
static int
timers_wait_ms(void)
{
	uint64_t now, ms;

	if (loop.timers == NULL)
		return -1;
	now = dp_loop_now_ns();
	if (loop.timers->due_ns <= now)
		return 0;
	ms = (loop.timers->due_ns - now + NS_PER_MS - 1) / NS_PER_MS;
	return ms > 60000 ? 60000 : (int)ms;
}

/* ---- the loop ---------------------------------------------------------------------------------- */

static void
on_stop(int fd, uint32_t events, void *arg)
{
	(void)fd;
	(void)events;
	(void)arg;
	loop.stop = true; /* the eventfd stays readable: a loop that runs again ends at once */
}

void
dp_loop_stop(void)
{
	uint64_t one = 1;
	/* Fails only when its counter is full, and then it is readable. */
	ssize_t n = write(loop.stop_fd, &one, sizeof(one));

	(void)n;
}

int
dp_loop_init(void)
{
	int ret;

	LIST_INIT(&loop.watches);
	LIST_INIT(&loop.dead);
	loop.timers = NULL;
	loop.stop = false;
	loop.epfd = epoll_create1(EPOLL_CLOEXEC);
	loop.stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (loop.epfd < 0 || loop.stop_fd < 0 ||
		dp_loop_add(loop.stop_fd, EPOLLIN, on_stop, NULL) == NULL) {
		ret = -errno;
		dp_loop_fini();
		return ret;
	}
	return 0;
}

void
dp_loop_fini(void)
{
	struct dp_loop_fd *w;

	while ((w = LIST_FIRST(&loop.watches)) != NULL)
		dp_loop_del(w);
	bury();
	while (loop.timers != NULL)
		dp_loop_timer_cancel(loop.timers);
	if (loop.epfd >= 0)
		close(loop.epfd);
	if (loop.stop_fd >= 0)
		close(loop.stop_fd);
	loop.epfd = -1;
	loop.stop_fd = -1;
}

int
dp_loop_run(void)
{
	struct epoll_event ev[EVENTS_A_ROUND];
	int n, i;

	while (!loop.stop) {
		n = epoll_wait(loop.epfd, ev, EVENTS_A_ROUND, timers_wait_ms());
		if (n < 0 && errno != EINTR)
			return -errno;
		for (i = 0; i < n && !loop.stop; i++) {
			struct dp_loop_fd *w = ev[i].data.ptr;

			if (!w->dead)
				w->fn(w->fd, ev[i].events, w->arg);
		}
		timers_run();
		bury();
	}
	return 0;
}
