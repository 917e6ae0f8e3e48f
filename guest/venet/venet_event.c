// SPDX-License-Identifier: GPL-2.0-only
/* Copyright(c) 2026 vbus developers */

/*
 * The device's event ring: LINKSTATE becomes the carrier (doc/abi.md section 5). Taken by the
 * NAPI's poll; events are rare, so the ring's signal stays enabled.
 */
#include "venet.h"

static void venet_event_give(struct venet *v, u32 idx)
{
	struct ioq_ring_desc *desc = &v->ev.ring.desc[idx];

	/* South wrote the event's length over the slot's. */
	WRITE_ONCE(desc->cookie, cpu_to_le64(idx));
	WRITE_ONCE(desc->ptr, cpu_to_le64((u64)idx * v->ev.size));
	WRITE_ONCE(desc->len, cpu_to_le64(v->ev.size));
}

/*
 * Ring and pool, filled before south knows of them. The pool goes first: the ring points into
 * it.
 */
int venet_events_create(struct venet *v, u32 size, u32 pool_id, u32 ring_id)
{
	struct venet_events *ev = &v->ev;
	int idx, ret;

	ev->size = ALIGN(size, 8);
	ev->pool = vbus_shm_alloc(v->vdev, pool_id, ev->size * v->nb_tx);
	if (IS_ERR(ev->pool))
		return PTR_ERR(ev->pool);
	ret = vbus_shm_share(ev->pool);
	if (ret < 0)
		return ret;
	ret = vbus_ioq_alloc(&ev->ring, v->vdev, ring_id, v->nb_tx, venet_notify_napi, v);
	if (ret < 0)
		return ret;
	while ((idx = vbus_ioq_valid_tail(&ev->ring)) >= 0) {
		venet_event_give(v, idx);
		vbus_ioq_push_valid(&ev->ring);
	}
	return vbus_ioq_share(&ev->ring);
}

static void venet_event_take(struct venet *v, u32 idx)
{
	struct venet_event_linkstate e;

	memcpy(&e, v->ev.pool->addr + (size_t)idx * v->ev.size, sizeof(e));
	/* The copy is what is looked at, not south's memory again. */
	barrier();
	if (le32_to_cpu(e.header.id) != VENET_EVENT_LINKSTATE ||
	    le32_to_cpu(e.header.size) < sizeof(e)) {
		venet_rx_count(v, VENET_RXC_BAD_EVENT);
		return;
	}
	if (e.state)
		netif_carrier_on(v->dev);
	else
		netif_carrier_off(v->dev);
}

void venet_events_poll(struct venet *v)
{
	struct vbus_ioq *ring = &v->ev.ring;
	u32 n;
	int idx;

	if (!(v->evq & VENET_CAP_EVQ_LINKSTATE))
		return;
	venet_signal_seen(ring->sig);
	/* Bounded: a wild south could hand entries back as fast as they are taken. */
	for (n = 0; n < ring->count; n++) {
		idx = vbus_ioq_inuse_head(ring);
		if (idx < 0)
			break;
		venet_event_take(v, idx);
		venet_event_give(v, idx);
		vbus_ioq_pop_inuse(ring);
	}
	if (n > 0)
		vbus_signal_inject(ring->sig);
	if (n == ring->count) /* there may be more, and its signal was taken back above */
		napi_schedule(&v->napi);
}
