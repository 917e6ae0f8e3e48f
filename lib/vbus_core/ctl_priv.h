/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */
#ifndef VBUS_CTL_PRIV_H
#define VBUS_CTL_PRIV_H

/**
 * @file
 * What ctl.c and ctl_worker.c know of each other.
 */

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/** No deadline in vbus_ctl_wait_change(). */
#define VBUS_CTL_FOREVER UINT64_MAX

/**
 * Give the lock away until the next vbus_ctl_wake() or until @p deadline_ns (CLOCK_MONOTONIC) and
 * take it back. Lock held. @return 0, or -ETIMEDOUT.
 */
int vbus_ctl_wait_change(uint64_t deadline_ns);

/** Make a thread of the control side: all signals but those of faults blocked, EAL's affinity. */
int vbus_ctl_thread(pthread_t *tid, const char *name, void *(*fn)(void *));

/** Start the worker; end it when its queue is empty. Lock not held. */
int vbus_ctl_worker_start(void);
void vbus_ctl_worker_stop(void);

#endif /* VBUS_CTL_PRIV_H */
