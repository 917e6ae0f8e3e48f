/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * Counters, state and telemetry of a venet. Counters have one writer each, the polling thread of
 * their direction, with plain adds; whoever reads them takes each one whole (relaxed), and no more.
 * State is the control side's: lock held. Telemetry: EAL's telemetry thread, with the lock.
 */

#include "venet_internal.h"

#include <stdio.h>
#include <string.h>

#include <rte_telemetry.h>

static void
add_counters(uint64_t *dst, const uint64_t *src, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		dst[i] += __atomic_load_n(&src[i], __ATOMIC_RELAXED);
}

void
vbus_venet_stats(const struct vbus_venet *v, uint16_t queue, struct vbus_venet_rx_stats *rx,
	struct vbus_venet_tx_stats *tx)
{
	uint32_t i;

	memset(rx, 0, sizeof(*rx));
	memset(tx, 0, sizeof(*tx));
	for (i = queue; i < v->nb_pairs; i += v->nb_rx)
		add_counters(
			(uint64_t *)rx, (const uint64_t *)&v->pair[i].rx.stats, sizeof(*rx) / 8);
	for (i = queue; i < v->nb_pairs; i += v->nb_tx)
		add_counters(
			(uint64_t *)tx, (const uint64_t *)&v->pair[i].tx.stats, sizeof(*tx) / 8);
}

void
vbus_venet_info(const struct vbus_venet *v, struct vbus_venet_info *info)
{
	const struct vbus_poll_south *poll = v->pair[0].poll;

	memset(info, 0, sizeof(*info));
	info->link_up = vbus_venet_link(v);
	info->rx_armed = atomic_load_explicit(&v->pair[0].rx.armed, memory_order_relaxed);
	info->nb_events = v->nb_events;
	info->nb_bad_event_slots = v->nb_events_bad;
	info->nb_relooks = v->nb_relooks;
	info->nb_reinjects = v->nb_reinjects;
	if (v->cs == NULL)
		return;
	info->opened = true;
	info->nb_pairs = v->nb_up;
	info->sg_bits = v->cs->sg;
	info->l4ro_bits = v->cs->l4ro;
	info->eventq_bits = v->cs->evq;
	info->poll = venet_polls(v);
	info->sg = (v->cs->sg & VENET_CAP_SG) != 0;
	info->tso4 = (v->cs->sg & VENET_CAP_TSO4) != 0;
	info->tso6 = (v->cs->sg & VENET_CAP_TSO6) != 0;
	info->pmtd = (v->cs->sg & VENET_CAP_PMTD) != 0;
	info->l4ro = (v->cs->l4ro & VENET_CAP_SG) != 0;
	info->linkstate = (v->cs->evq & VENET_CAP_EVQ_LINKSTATE) != 0;
	info->rx_ring_size = v->ring[VENET_QUEUE_RX].q.count;
	info->tx_ring_size = v->ring[VENET_QUEUE_TX].q.count;
	if (info->poll && poll[VENET_POLL_RX].cur != NULL)
		info->rx_ring_size = poll[VENET_POLL_RX].r.mask + 1;
	if (info->poll && poll[VENET_POLL_TX].cur != NULL)
		info->tx_ring_size = poll[VENET_POLL_TX].r.mask + 1;
	info->page_ring_size = v->ring[VBUS_VENET_BLOCK_PAGES].q.count;
	info->event_ring_size = v->ring[VBUS_VENET_BLOCK_EVENTQ].q.count;
}

/** "rx_packets", and what is dropped are packets: "rx_drop_bad_address_packets". */
static void
tel_counter(struct rte_tel_data *d, const char *dir, const char *name, uint64_t value)
{
	char key[RTE_TEL_MAX_STRING_LEN];

	snprintf(key, sizeof(key), "%s_%s%s", dir, name,
		strncmp(name, "drop_", 5) == 0 ? "_packets" : "");
	vbus_tel_dict_uint(d, key, value);
}

static void
tel_state(struct rte_tel_data *d, const struct vbus_venet *v)
{
	char mac[RTE_ETHER_ADDR_FMT_SIZE];
	struct vbus_venet_info info;

	vbus_venet_info(v, &info);
	rte_ether_format_addr(mac, sizeof(mac), &v->mac);
	rte_tel_data_add_dict_string(d, "mac", mac);
	vbus_tel_dict_uint(d, "mtu_bytes", v->mtu);
	rte_tel_data_add_dict_string(d, "link", info.link_up ? "up" : "down");
	rte_tel_data_add_dict_string(d, "polled", v->bound && v->ready ? "yes" : "no");
	rte_tel_data_add_dict_string(d, "rx_sleeping", info.rx_armed ? "yes" : "no");
	vbus_tel_dict_uint(d, "capabilities_sg", info.sg_bits);
	vbus_tel_dict_uint(d, "capabilities_eventq", info.eventq_bits);
	vbus_tel_dict_uint(d, "capabilities_l4ro", info.l4ro_bits);
	rte_tel_data_add_dict_string(d, "rings", info.poll ? "poll" : "v2");
	vbus_tel_dict_uint(d, "queue_pairs", info.nb_pairs);
	vbus_tel_dict_uint(d, "north_receive_ring_entries", info.rx_ring_size);
	vbus_tel_dict_uint(d, "north_transmit_ring_entries", info.tx_ring_size);
	vbus_tel_dict_uint(d, "page_ring_entries", info.page_ring_size);
	vbus_tel_dict_uint(d, "event_ring_entries", info.event_ring_size);
	vbus_tel_dict_uint(d, "events_sent", info.nb_events);
	vbus_tel_dict_uint(d, "bad_event_slots", info.nb_bad_event_slots);
	vbus_tel_dict_uint(d, "slow_wake_ups", info.nb_relooks);
	vbus_tel_dict_uint(d, "repeated_signals", info.nb_reinjects);
}

void
venet_telemetry(struct vbus_device *dev, struct rte_tel_data *d)
{
	const struct vbus_venet *v = dev->priv;
	struct vbus_venet_rx_stats rx;
	struct vbus_venet_tx_stats tx;

	tel_state(d, v);
	vbus_venet_stats(v, 0, &rx, &tx);
#define TEL_RX(field, name) tel_counter(d, "rx", name, rx.field);
	VBUS_VENET_RX_STATS(TEL_RX)
#undef TEL_RX
#define TEL_TX(field, name) tel_counter(d, "tx", name, tx.field);
	VBUS_VENET_TX_STATS(TEL_TX)
#undef TEL_TX
}
