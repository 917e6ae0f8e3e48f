/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

#include "venet_internal.h"

#include <string.h>

/** Counters have one writer, the polling thread, with plain adds: any thread may look at them. */
static void
copy_counters(uint64_t *dst, const uint64_t *src, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		dst[i] = __atomic_load_n(&src[i], __ATOMIC_RELAXED);
}

void
vbus_venet_stats(const struct vbus_venet *v, uint16_t queue, struct vbus_venet_rx_stats *rx,
	struct vbus_venet_tx_stats *tx)
{
	if (queue != 0) {
		memset(rx, 0, sizeof(*rx));
		memset(tx, 0, sizeof(*tx));
		return;
	}
	copy_counters((uint64_t *)rx, (const uint64_t *)&v->rx.stats, sizeof(*rx) / 8);
	copy_counters((uint64_t *)tx, (const uint64_t *)&v->tx.stats, sizeof(*tx) / 8);
}

void
vbus_venet_info(const struct vbus_venet *v, struct vbus_venet_info *info)
{
	memset(info, 0, sizeof(*info));
	info->link_up = vbus_venet_link(v);
	info->rx_armed = atomic_load_explicit(&v->rx.armed, memory_order_relaxed);
	info->nb_events = v->nb_events;
	info->nb_bad_event_slots = v->nb_events_bad;
	info->nb_relooks = v->nb_relooks;
	info->nb_reinjects = v->nb_reinjects;
	if (v->cs == NULL)
		return;
	info->opened = true;
	info->sg_bits = v->cs->sg;
	info->l4ro_bits = v->cs->l4ro;
	info->eventq_bits = v->cs->evq;
	info->sg = (v->cs->sg & VENET_CAP_SG) != 0;
	info->tso4 = (v->cs->sg & VENET_CAP_TSO4) != 0;
	info->tso6 = (v->cs->sg & VENET_CAP_TSO6) != 0;
	info->pmtd = (v->cs->sg & VENET_CAP_PMTD) != 0;
	info->l4ro = (v->cs->l4ro & VENET_CAP_SG) != 0;
	info->linkstate = (v->cs->evq & VENET_CAP_EVQ_LINKSTATE) != 0;
	info->rx_ring_size = v->ring[VENET_QUEUE_RX].q.count;
	info->tx_ring_size = v->ring[VENET_QUEUE_TX].q.count;
	info->page_ring_size = v->ring[VBUS_VENET_BLOCK_PAGES].q.count;
	info->event_ring_size = v->ring[VBUS_VENET_BLOCK_EVENTQ].q.count;
}
