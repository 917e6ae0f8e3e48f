/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */
#ifndef KIND_RIG_H
#define KIND_RIG_H

/**
 * @file
 * A north with one open device of any kind, over the bridge's fixture: a real bridge, memory of its
 * own, rings of lib/vbus_ring's north half. With the control lock held, but where it says otherwise.
 */

#include "../bridge/fixture.h"

#define KIND_RING_MAX 256u

struct kind_rig {
	struct north n;
	struct vbus_device *dev;
	uint64_t handle;
	uint32_t next; /* free memory of north's from this offset on */
};

struct kind_rig_ring {
	struct vbus_ioq_north q;
	struct vbus_signal sig;
	uint64_t cookies[KIND_RING_MAX];
	uint32_t off;	/* in north's memory */
	int32_t handle; /* for the signal port */
};

/** Attach @p dev to the rig's bus, bring north up and see the device of type @p type. Not open. */
void kind_up(struct kind_rig *k, struct vbus_device *dev, const char *type);
int32_t kind_open(struct kind_rig *k, uint32_t version);
/** DEVCLOSE if it is open, and everything goes but the device. */
void kind_down(struct kind_rig *k);
/** A new session: NEGOTIATE, QREG; the device is announced again and not open. */
void kind_again(struct kind_rig *k);
/** DEVCALL. @p data is read back. */
int32_t kind_call(struct kind_rig *k, uint32_t func, void *data, uint32_t len);
/** North's memory: @return offset of @p len bytes at a multiple of 64. */
uint32_t kind_mem(struct kind_rig *k, uint32_t len);
/** A ring, formatted and shared. @return DEVSHM's result */
int32_t kind_ring(struct kind_rig *k, struct kind_rig_ring *r, uint32_t id, uint32_t count);
/** Plain memory with a signal descriptor at 0, or without. @return DEVSHM's result */
int32_t kind_block(struct kind_rig *k, uint32_t id, uint32_t off, uint32_t len, bool signal);
/** Inject, and store the port when south wants that. */
void kind_kick(struct kind_rig *k, struct kind_rig_ring *r);
/** Milliseconds, for loops with a deadline. Any thread. */
uint64_t kind_ms(void);

#endif
