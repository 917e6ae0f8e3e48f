/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */
#ifndef SERIAL_INTERNAL_H
#define SERIAL_INTERNAL_H

/**
 * @file
 * Inside of the serial class: what its control part (serial.c) and its polled part (serial_io.c)
 * share. The path is published as venet's is (venet_internal.h): an atomic pointer to what the
 * polling thread may use; the control side takes it back, waits for the thread, and owns all.
 */

#include <stdatomic.h>
#include <stdbool.h>

#include <vbus/serial.h>

#include "kind_ring.h"
#include "vbus_compat.h"
#include "vbus_serial.h"

#define SERIAL_NB_BLOCKS 3u
#define SERIAL_BURST	 64u /* entries of one read or write */

/** All that the polling thread needs. Constant while published. */
struct serial_path {
	const struct vbus_memview *view;
	uint32_t stamp;
	struct kind_ring in;
	struct kind_ring out;
	struct vserial_state *state_peer; /**< NULL: north has none */
	struct vbus_signal state_sig;
	bool state_signals;
};

/** What vbus_serial_peek() has returned. */
struct serial_peeked {
	const struct serial_path *path; /**< NULL: nothing of the ring */
	uint32_t len, calls;		/**< bytes */
	uint32_t entries;
};

struct serial_conn_state { /* in the link's state */
	uint32_t layout;   /**< SERIAL_STATE_LAYOUT */
	uint32_t started;
	uint32_t stamp; /**< of the session, for struct vbus_serial_kept */
};
#define SERIAL_STATE_LAYOUT 2u

struct vbus_serial {
	_Atomic(const struct serial_path *) pub;
	/* the polling thread's */
	VBUS_CACHE_ALIGNED struct vbus_memcache mc_in; /**< reset while nothing is published */
	struct vbus_memcache mc_out;
	struct vbus_serial_stats stats;
	bool brk; /**< a break waits for the next buffer */
	struct serial_peeked peeked;
	_Atomic uint32_t
		calls_tail; /**< bytes of WRITE calls that were taken; the control side reads it */
	/* the control side's */
	VBUS_CACHE_ALIGNED struct serial_path path;
	struct vbus_device *dev;
	struct vbus_conn *conn;	      /**< NULL: not open */
	struct serial_conn_state *cs; /**< of conn */
	struct vbus_shm *block[SERIAL_NB_BLOCKS];
	bool mapped;
	bool bound;
	struct vbus_serial_user user;
	uint32_t flags; /**< south's line */
	uint16_t rows, cols;
	struct vbus_serial_kept *kept; /**< the user's, or: */
	struct vbus_serial_kept own;
};

/** The commit that holds. Its owner is the polling thread, or nothing is polled. */
#define SERIAL_COMMIT(k) (&(k)->commit[(k)->turn & 1])

#endif /* SERIAL_INTERNAL_H */
