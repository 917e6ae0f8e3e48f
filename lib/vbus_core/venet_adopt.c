/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * A venet that another process has served goes on (ADR-0016). Control lock held; the path is not
 * published until rebind(), the last step. What was negotiated lies in the link's state, as LINKUP
 * does; rings resume at their cursors. North sees no change of its carrier but one event "up".
 */

#include "venet_internal.h"

#include <errno.h>
#include <string.h>

#include "bridge_internal.h"

int
venet_adopt(struct vbus_conn *conn)
{
	struct vbus_venet *v = conn->dev->priv;
	struct venet_conn_state *cs = vbus_conn_state(conn);
	struct vbus_shm *shm;

	if (conn->version != VENET_VERSION || cs->layout != VENET_STATE_LAYOUT || v->conn != NULL)
		return -EINVAL;
	/* Who has which of north's frames the other process did not write down. */
	if ((cs->poll & VENET_CAP_POLL_KEEP) != 0)
		return -EINVAL;
	LIST_FOREACH(shm, &conn->shms, next)
	if (shm->id >= VBUS_VENET_BLOCK_POLL(v->nb_pairs, 0))
		return -EINVAL;
	memset(v->block, 0, sizeof(v->block));
	memset(v->ring, 0, sizeof(v->ring));
	venet_pairs_forget(v);
	LIST_FOREACH(shm, &conn->shms, next)
	{
		v->block[shm->id] = shm;
		shm->deaf = venet_block_is_deaf(shm->id);
		/* A ring for pollers is put right by its attach. */
		if (shm->id == VENET_QUEUE_RX || shm->id == VBUS_VENET_BLOCK_EVENTQ)
			vbus_shm_repair(shm, VENET_RING_MAX, true);
		else if (shm->id == VENET_QUEUE_TX || shm->id == VBUS_VENET_BLOCK_PAGES)
			vbus_shm_repair(shm, VENET_RING_MAX, false);
	}
	v->conn = conn;
	v->cs = cs;
	v->faulted = false;
	v->event_held = false;
	conn->priv = v;
	conn->cls->ops->rebind(conn);
	return 0;
}
