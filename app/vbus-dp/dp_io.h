/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */
#ifndef DP_IO_H
#define DP_IO_H

/**
 * @file
 * The thread of vbus-dp that runs the back ends of serial ports and disks (ADR-0013). It polls
 * while there is something to do and sleeps otherwise. System calls are made here and not on lcores.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "vbus_mark.h"

struct dp_io;

/** What a back end does. All on the thread. */
struct dp_io_ops {
	/** One round, inside the mark: no control lock. @p tick: every DP_IO_TICK_MS.
	 *  @return something was done */
	bool (*poll)(struct dp_io *io, bool tick);
	/** After a round, outside the mark: the control lock may be taken. */
	void (*after)(struct dp_io *io);
	/** Sleep is near: ask for wake-ups; inside the mark. @return there is something to do */
	bool (*arm)(struct dp_io *io);
	void (*disarm)(struct dp_io *io);
};

#define DP_IO_TICK_MS 250

/** A back end, embedded. */
struct dp_io {
	const struct dp_io_ops *ops;
	struct vbus_mark mark;
	bool waits; /* poll(): something is under way, and what comes of it is worth spinning for */
	TAILQ_ENTRY(dp_io) next;
};

/** Before dp_io_watch(). Any number of times. @return 0, -errno */
int dp_io_init(void);
/** Starts the thread with the first one. Main control thread, no control lock. @return 0, -errno */
int dp_io_add(struct dp_io *io);
/** When it returns the thread has left it for good; the last one ends the thread. Likewise. */
void dp_io_del(struct dp_io *io);
/** End the thread for good: what is still there is only taken away from now on. Likewise. */
void dp_io_stop(void);
/** Wake the thread. Any thread. */
void dp_io_wake(void);
/** Readable or writable for the first time since the last look: the thread wakes (edge-triggered). */
int dp_io_watch(int fd);
/** For a class's quiesce(): @p arg is the struct dp_io. Control lock held. */
void dp_io_quiesce(void *arg);
/** For a class's wake(). */
void dp_io_wake_cb(void *arg);

#endif /* DP_IO_H */
