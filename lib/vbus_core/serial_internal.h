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
#define SERIAL_CALL_ROOM 16384u /* bytes of WRITE calls on their way; a power of two */
#define SERIAL_BURST	 64u	/* entries of one read or write */

/** All that the polling thread needs. Constant while published. */
struct serial_path {
	const struct vbus_memview *view;
	struct kind_ring in;
	struct kind_ring out;
	struct vserial_state *state_peer; /**< NULL: north has none */
	struct vbus_signal state_sig;
	bool state_signals;
};

/** Bytes of WRITE calls: one producer (control lock), one consumer (the polling thread). */
struct serial_calls {
	_Atomic uint32_t head; /**< counts bytes put in, modulo 2^32 */
	_Atomic uint32_t tail; /**< taken out */
	uint8_t bytes[SERIAL_CALL_ROOM];
};

struct serial_conn_state { /* in the link's state */
	uint32_t layout;   /**< 1 */
	uint32_t started;
};

struct vbus_serial {
	_Atomic(const struct serial_path *) pub;
	/* the polling thread's */
	VBUS_CACHE_ALIGNED struct vbus_memcache mc_in; /**< reset while nothing is published */
	struct vbus_memcache mc_out;
	struct vbus_serial_stats stats;
	bool brk; /**< a break waits for the next buffer */
	/* the control side's */
	VBUS_CACHE_ALIGNED struct serial_path path;
	struct vbus_device *dev;
	struct vbus_conn *conn;	      /**< NULL: not open */
	struct serial_conn_state *cs; /**< of conn */
	struct vbus_shm *block[SERIAL_NB_BLOCKS];
	bool mapped;
	bool bound;
	struct vbus_serial_user user;
	uint32_t flags, hangups; /**< south's line */
	uint16_t rows, cols;
	struct serial_calls calls;
};

#endif /* SERIAL_INTERNAL_H */
