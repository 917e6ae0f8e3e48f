/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */
#ifndef VBUS_NULL_H
#define VBUS_NULL_H

/**
 * @file
 * The null connector's north side: a frontend in the same process (doc/connectors.md). Addresses are
 * the process's own virtual addresses (DPDK in IOVA-as-PA mode: north passes virtual addresses here).
 * All with the control lock held.
 */

#include <stdint.h>

struct vbus_bus;
struct vbus_null;

struct vbus_null_ops {
	/** South raised the interrupt: north shall look at its event queue. Control lock held; called from
	 *  inside south's code, so it only notes the fact (queue a job, arm a timer, write an eventfd). */
	void (*irq)(void *arg);
	/** The bus's connector stopped: no call is answered any more (-ENOTCONN). */
	void (*closed)(void *arg);
};

/** Attach the one north of a null bus. The bus gets the null connector if it has none.
 *  @return NULL and errno: EBUSY it has a north, EINVAL its connector is another. */
struct vbus_null *vbus_null_open(struct vbus_bus *bus, const struct vbus_null_ops *ops, void *arg);
void vbus_null_close(struct vbus_null *n);
/** Bridge call, synchronous. @return result, or -ENOTCONN. */
int32_t vbus_null_call(struct vbus_null *n, uint32_t vector, uint64_t datap, uint32_t len);
/** signals.eventq / signals.shmsignal / signals.fastcall. */
void vbus_null_signal(struct vbus_null *n, uint32_t off, uint32_t value);
/** The kick of a polling thread (any thread, no lock): an eventfd that the control thread watches. */
int vbus_null_kick_fd(struct vbus_null *n);

#endif /* VBUS_NULL_H */
