/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */
#ifndef DP_LOOP_H
#define DP_LOOP_H

/**
 * @file
 * vbus-dp's own event loop: signals, the control socket, timers (ADR-0010). One loop, one thread;
 * everything but dp_loop_stop() is called from the thread that runs it, or before it runs. Handlers
 * run one at a time and hold no lock; dp_state.h and dp_plane.h are used from here.
 *
 * It is apart from libvbus's control thread (vbus_ctl.h), which answers hypervisors: a handler here
 * may wait for lcores, one there may not.
 */

#include <stdbool.h>
#include <stdint.h>

struct dp_loop_fd; /* a watched descriptor */

/** @param events  EPOLL*, as epoll_wait(2) gave them */
typedef void (*dp_loop_fn)(int fd, uint32_t events, void *arg);

/** @return 0 or a negative errno of epoll_create1(2). */
int dp_loop_init(void);
/** Frees the loop; watches that are left are forgotten, their descriptors stay open. */
void dp_loop_fini(void);

/**
 * Watch @p fd, level-triggered.
 * @param events  EPOLLIN, EPOLLOUT; EPOLLERR and EPOLLHUP always come. 0: only those
 * @return the watch, or NULL and errno
 */
struct dp_loop_fd *dp_loop_add(int fd, uint32_t events, dp_loop_fn fn, void *arg);
/** Change what is waited for. @return 0 or a negative errno. */
int dp_loop_mod(struct dp_loop_fd *w, uint32_t events);
/** Stop watching (does not close). Legal in any handler, its own too; the handler does not run after
 *  it, even when its event was fetched already. NULL is ignored. */
void dp_loop_del(struct dp_loop_fd *w);

/** A one-shot timer; embed it, zero-initialised is idle. Set fn and arg before arming. */
struct dp_loop_timer {
	void (*fn)(struct dp_loop_timer *t, void *arg);
	void *arg;
	uint64_t due_ns; /**< CLOCK_MONOTONIC */
	struct dp_loop_timer *next;
	bool armed;
};
/** Arm, or arm anew, to fire once in @p delay_ns; legal in its own function. */
void dp_loop_timer_arm(struct dp_loop_timer *t, uint64_t delay_ns);
/** The function does not run after it. Idle: nothing. */
void dp_loop_timer_cancel(struct dp_loop_timer *t);
/** CLOCK_MONOTONIC. */
uint64_t dp_loop_now_ns(void);

/** Run handlers until dp_loop_stop(). @return 0 or a negative errno of epoll_wait(2). */
int dp_loop_run(void);
/** The loop returns after the handler that runs now. Any thread. */
void dp_loop_stop(void);

#endif /* DP_LOOP_H */
