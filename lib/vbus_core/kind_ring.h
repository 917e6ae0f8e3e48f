/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */
#ifndef KIND_RING_H
#define KIND_RING_H

/**
 * @file
 * A ring with its signal, as the kinds of device of doc/abi.md section 8 use them. South.
 */

#include <stdbool.h>
#include <stdint.h>

#include "vbus_core.h"
#include "vbus_ioq_south.h"
#include "vbus_signal.h"

struct kind_ring {
	struct vbus_ioq_south q;
	struct vbus_signal sig;
	struct vbus_shm *shm; /**< NULL: there is no ring */
	bool signals;	      /**< north gave a signal with it */
};

/**
 * Bind to the ring in @p shm. Control lock held.
 * @param how  VBUS_IOQ_FRESH, or VBUS_IOQ_RESUME after memory has moved
 * @return 0; -EINVAL: not a ring, or its signal is not where section 8.2 wants it (logged)
 */
int kind_ring_attach(
	struct kind_ring *r, struct vbus_shm *shm, uint32_t count_max, unsigned int how);

/** Entries are in north's memory and can be used. */
static inline bool
kind_ring_ready(const struct kind_ring *r)
{
	return r->shm != NULL && r->q.head_peer != NULL;
}

/** Tell north, once per batch. The thread that owns the ring. */
static inline void
kind_ring_inject(const struct kind_ring *r)
{
	if (r->signals && vbus_signal_inject(&r->sig))
		vbus_shm_notify(r->shm);
}

/** Ask to be signalled: before sleeping. Entries that came before are to be looked for after it. */
static inline void
kind_ring_arm(const struct kind_ring *r)
{
	if (r->signals && vbus_signal_enable(&r->sig))
		vbus_signal_take(&r->sig);
}

/** Poll from now on. */
static inline void
kind_ring_disarm(const struct kind_ring *r)
{
	if (r->signals)
		vbus_signal_disable(&r->sig);
}

#endif /* KIND_RING_H */
