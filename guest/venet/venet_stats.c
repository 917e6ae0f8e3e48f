// SPDX-License-Identifier: GPL-2.0-only
/* Copyright(c) 2026 vbus developers */

/*
 * Counters: packets and bytes per CPU, causes and events once per direction.
 */
#include <linux/ethtool.h>

#include "venet.h"

#define RX_NAME(f) "rx_" #f,
#define TX_NAME(f) "tx_" #f,
static const char venet_counter_names[][ETH_GSTRING_LEN] = {
	VENET_RX_COUNTERS(RX_NAME) VENET_TX_COUNTERS(TX_NAME)
};

void venet_stats_rx(struct venet *v, u32 packets, u64 bytes)
{
	struct venet_pcpu *s = this_cpu_ptr(v->pcpu);

	u64_stats_update_begin(&s->syncp);
	u64_stats_add(&s->rx_packets, packets);
	u64_stats_add(&s->rx_bytes, bytes);
	u64_stats_update_end(&s->syncp);
}

void venet_stats_tx(struct venet *v, u32 packets, u64 bytes)
{
	struct venet_pcpu *s = this_cpu_ptr(v->pcpu);

	u64_stats_update_begin(&s->syncp);
	u64_stats_add(&s->tx_packets, packets);
	u64_stats_add(&s->tx_bytes, bytes);
	u64_stats_update_end(&s->syncp);
}

void venet_stats_names(u8 *data)
{
	memcpy(data, venet_counter_names, sizeof(venet_counter_names));
}

/* As many as names; @data: in their order. */
void venet_stats_counters(struct venet *v, u64 *data)
{
	const struct venet_rx_counters *rx = &v->rx.counters;
	const struct venet_tx_counters *tx = &v->tx.counters;
	unsigned int start;
	u64 *p;

	BUILD_BUG_ON(ARRAY_SIZE(venet_counter_names) !=
		     VENET_NB_RX_COUNTERS + VENET_NB_TX_COUNTERS);
#define RX_READ(f) *p++ = u64_stats_read(&rx->f);
#define TX_READ(f) *p++ = u64_stats_read(&tx->f);
	do {
		start = u64_stats_fetch_begin(&rx->syncp);
		p = data;
		VENET_RX_COUNTERS(RX_READ)
	} while (u64_stats_fetch_retry(&rx->syncp, start));
	data += VENET_NB_RX_COUNTERS;
	do {
		start = u64_stats_fetch_begin(&tx->syncp);
		p = data;
		VENET_TX_COUNTERS(TX_READ)
	} while (u64_stats_fetch_retry(&tx->syncp, start));
}

static void venet_stats_sum(const struct venet_pcpu *pcpu, struct rtnl_link_stats64 *s)
{
	u64 rx_packets, rx_bytes, tx_packets, tx_bytes;
	unsigned int start;

	do {
		start = u64_stats_fetch_begin(&pcpu->syncp);
		rx_packets = u64_stats_read(&pcpu->rx_packets);
		rx_bytes = u64_stats_read(&pcpu->rx_bytes);
		tx_packets = u64_stats_read(&pcpu->tx_packets);
		tx_bytes = u64_stats_read(&pcpu->tx_bytes);
	} while (u64_stats_fetch_retry(&pcpu->syncp, start));
	s->rx_packets += rx_packets;
	s->rx_bytes += rx_bytes;
	s->tx_packets += tx_packets;
	s->tx_bytes += tx_bytes;
}

void venet_stats_get(struct net_device *dev, struct rtnl_link_stats64 *s)
{
	struct venet *v = netdev_priv(dev);
	const struct venet_rx_counters *rx = &v->rx.counters;
	const struct venet_tx_counters *tx = &v->tx.counters;
	int cpu;

	for_each_possible_cpu(cpu)
		venet_stats_sum(per_cpu_ptr(v->pcpu, cpu), s);
	s->rx_dropped = u64_stats_read(&rx->no_buffer);
	s->rx_length_errors = u64_stats_read(&rx->bad_length);
	s->rx_frame_errors = u64_stats_read(&rx->bad_sg) + u64_stats_read(&rx->bad_page) +
			     u64_stats_read(&rx->bad_offload);
	s->rx_errors = s->rx_length_errors + s->rx_frame_errors;
	s->tx_dropped = u64_stats_read(&tx->no_map) + u64_stats_read(&tx->too_long);
}
