/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */
#ifndef VBUS_CTL_H
#define VBUS_CTL_H

/**
 * @file
 * The control side of a process: one mutex, one control thread, one worker (ADR-0002).
 *
 * - The control mutex owns every list and every object of vbus_core and of the bus driver, except
 *   what lcores poll. Functions say whether they are called with it ("control lock held").
 * - The control thread runs an epoll loop: sockets, timers, kicks. Handlers run with the lock held
 *   and never wait for a peer.
 * - The worker runs what may wait (with deadlines): plug and unplug of devices, re-opening after a
 *   peer came back, callbacks into the application (link status). Jobs run one after the other, in
 *   the order they were queued, WITHOUT the lock.
 * - lcores never take the lock.
 */

#include <stdbool.h>
#include <stdint.h>

/** Take the control lock. Not recursive. Never on an lcore's data path. */
void vbus_ctl_lock(void);
void vbus_ctl_unlock(void);
/** For assertions in debug builds: does the calling thread hold the lock? */
bool vbus_ctl_locked(void);

/**
 * Start control thread and worker at the first call, count users after that. Not with the lock held.
 * @return 0, or a negative errno (thread or epoll could not be made).
 */
int vbus_ctl_get(void);
/** Drop one user; at the last one both threads end (joined). Not with the lock held, not from them. */
void vbus_ctl_put(void);

struct vbus_ctl_fd; /* a watched descriptor */
/** Handler: control thread, control lock held. @p events are EPOLL*. */
typedef void (*vbus_ctl_fd_fn)(int fd, uint32_t events, void *arg);

/**
 * Watch @p fd. Control lock held.
 * @param events  EPOLLIN, EPOLLOUT (level-triggered; EPOLLERR and EPOLLHUP always come)
 * @return the watch, or NULL and errno.
 */
struct vbus_ctl_fd *vbus_ctl_fd_add(int fd, uint32_t events, vbus_ctl_fd_fn fn, void *arg);
/** Change the events. Control lock held. */
void vbus_ctl_fd_mod(struct vbus_ctl_fd *w, uint32_t events);
/** Stop watching (does not close). Control lock held; the handler does not run after it, even when
 *  its event was already fetched. Legal inside the handler itself. NULL is ignored. */
void vbus_ctl_fd_del(struct vbus_ctl_fd *w);

/** A one-shot timer; embed it, zero-initialised is idle. */
struct vbus_ctl_timer {
	uint64_t due_ns;		      /**< CLOCK_MONOTONIC */
	void (*fn)(struct vbus_ctl_timer *t); /**< control thread, control lock held */
	struct vbus_ctl_timer *next;	      /**< sorted list of the armed ones */
	bool armed;
};

/** Arm (or re-arm) @p t to fire once in @p delay_ns. Control lock held. */
void vbus_ctl_timer_arm(struct vbus_ctl_timer *t, uint64_t delay_ns);
/** Disarm. Control lock held; the function does not run after it. */
void vbus_ctl_timer_cancel(struct vbus_ctl_timer *t);
/** CLOCK_MONOTONIC in ns. */
uint64_t vbus_ctl_now_ns(void);

/** A job for the worker; embed it. A queued job is not queued twice. */
struct vbus_ctl_job {
	void (*fn)(struct vbus_ctl_job *job); /**< worker thread, lock NOT held; may free the job */
	struct vbus_ctl_job *next;
	bool queued;
};

/** Queue @p job at the end. Control lock held. Already queued and not started: nothing happens. */
void vbus_ctl_job_queue(struct vbus_ctl_job *job);
/** Take a job out of the queue. Control lock held. @return false: not queued (done or running now). */
bool vbus_ctl_job_cancel(struct vbus_ctl_job *job);
/** Wait until all jobs queued before this call are done. Lock NOT held, not from worker or control thread. */
void vbus_ctl_job_flush(void);
/** Is this the worker thread (control thread)? */
bool vbus_ctl_in_worker(void);
bool vbus_ctl_in_control(void);

/**
 * Wait with the control lock held (it is released meanwhile) until *done is true or the deadline.
 * @param done      set by a handler under the lock, followed by vbus_ctl_wake()
 * @param timeout_ns  relative
 * @return 0, or -ETIMEDOUT. Never from the control thread (-EDEADLK).
 */
int vbus_ctl_wait(const bool *done, uint64_t timeout_ns);
/** Wake all waiters to look at their flags again (one condition variable). Control lock held. */
void vbus_ctl_wake(void);

#endif /* VBUS_CTL_H */
