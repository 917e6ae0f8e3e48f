// SPDX-License-Identifier: GPL-2.0-only
/* Copyright(c) 2026 vbus developers */

/*
 * Counters: packets and bytes per CPU, causes and events once per direction.
 */
#include <linux/ethtool.h>

#include "venet.h"

static const char venet_counter_names[][ETH_GSTRING_LEN] = {
	"rx_scattered",
	"rx_large",
	"rx_csum_partial",
	"rx_copied",
	"rx_empty",
	"rx_no_buffer",
	"rx_no_page",
	"rx_bad_length",
	"rx_bad_sg",
	"rx_bad_page",
	"rx_bad_offload",
	"rx_bad_event",
	"tx_scattered",
	"tx_tso",
	"tx_csum_partial",
	"tx_linearized",
	"tx_stopped",
	"tx_woken",
	"tx_signals",
	"tx_late",
	"tx_no_map",
	"tx_too_long",
	"tx_timeouts",
	"tx_resets",
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
	int i;

	BUILD_BUG_ON(ARRAY_SIZE(venet_counter_names) != VENET_NB_RXC + VENET_NB_TXC);
	do {
		start = u64_stats_fetch_begin(&rx->syncp);
		for (i = 0; i < VENET_NB_RXC; i++)
			data[i] = u64_stats_read(&rx->n[i]);
	} while (u64_stats_fetch_retry(&rx->syncp, start));
	data += VENET_NB_RXC;
	do {
		start = u64_stats_fetch_begin(&tx->syncp);
		for (i = 0; i < VENET_NB_TXC; i++)
			data[i] = u64_stats_read(&tx->n[i]);
	} while (u64_stats_fetch_retry(&tx->syncp, start));
}

/* What `ip -s link` shows. */
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
	s->rx_dropped = u64_stats_read(&rx->n[VENET_RXC_NO_BUFFER]);
	s->rx_length_errors = u64_stats_read(&rx->n[VENET_RXC_BAD_LENGTH]);
	s->rx_frame_errors = u64_stats_read(&rx->n[VENET_RXC_BAD_SG]) +
			     u64_stats_read(&rx->n[VENET_RXC_BAD_PAGE]) +
			     u64_stats_read(&rx->n[VENET_RXC_BAD_OFFLOAD]);
	s->rx_errors = s->rx_length_errors + s->rx_frame_errors;
	s->tx_dropped = u64_stats_read(&tx->n[VENET_TXC_NO_MAP]) +
			u64_stats_read(&tx->n[VENET_TXC_TOO_LONG]);
}
