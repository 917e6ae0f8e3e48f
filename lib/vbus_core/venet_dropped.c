/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * A venet whose device is gone while north still has it open (doc/abi.md 7.15): what north still sends is
 * discarded, so that its rings never stay full. Control lock held; no polling side is left.
 */

#include "venet_internal.h"

#include "bridge_internal.h"

/** A ring that all guests know. @return there was something */
static bool
discard_v2(struct vbus_shm *shm)
{
	struct vbus_ioq_entry e[VENET_BURST];
	struct venet_ring r = {0};
	uint32_t done = 0;
	uint32_t n;

	if (vbus_ioq_south_attach(
		    &r.q, shm->va, shm->len, VENET_RING_MAX, shm->cursor, VBUS_IOQ_RESUME) != 0)
		return false;
	while (done < r.q.count) {
		n = vbus_ioq_south_consume_peek(&r.q, e, RTE_MIN(VENET_BURST, r.q.count - done));
		if (n == 0)
			break;
		vbus_ioq_south_consume_pop(&r.q, n);
		done += n;
	}
	if (done != 0 && shm->has_signal &&
		vbus_signal_attach(&r.sig, shm->va + shm->signal_offset, VBUS_LOCALITY_SOUTH) ==
			0) {
		r.shm = shm;
		venet_signal(&r);
	}
	return done != 0;
}

bool
venet_dropped(struct vbus_conn *conn, int func)
{
	struct venet_conn_state *cs = vbus_conn_state(conn);
	struct vbus_shm *shm;
	bool some = false;

	if (func == (int)VENET_FUNC_LINKUP || func == (int)VENET_FUNC_LINKDOWN)
		cs->up = func == (int)VENET_FUNC_LINKUP;
	if (func >= 0 || !cs->up)
		return false;
	LIST_FOREACH(shm, &conn->shms, next)
	{
		if (shm->va == NULL)
			continue;
		if (cs->poll == 0 && shm->id == VENET_QUEUE_TX)
			some |= discard_v2(shm);
		else if (cs->poll != 0 && venet_is_poll_ring(shm->id) &&
			 venet_block_kind(shm->id) == VENET_POLL_TX)
			some |= venet_poll_discard(shm);
	}
	return some;
}
