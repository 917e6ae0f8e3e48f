/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * North ports in a secondary process. Queues and all they point to are rte memory at the same address
 * in every process of the family, mbufs too; the bursts are the primary's own code on them. A signal goes
 * the way that the bus has in this process (rte_vbus_signal()). The control side stays the primary's: it
 * takes the path from a queue and waits for the burst in it, whichever process runs that, with a fence
 * that reaches every registered process (vbus_mark.h).
 *
 * Threads: as in the primary, one polling thread per queue and direction, in one process at a time.
 * Receive interrupts are the primary's: the descriptor is its own.
 */
#include "vbus_north.h"

#include "vbus_pmd_trace.h"

/* ethdev hands over what the shared table has, and that is NULL before a setup in the primary. */
static uint16_t
rx_burst(void *rxq, struct rte_mbuf **pkts, uint16_t nb)
{
	return likely(rxq != NULL) ? north_rx_burst(rxq, pkts, nb) : 0;
}

static uint16_t
tx_burst(void *txq, struct rte_mbuf **pkts, uint16_t nb)
{
	return likely(txq != NULL) ? north_tx_burst(txq, pkts, nb) : 0;
}

static const struct eth_dev_ops ops = {
	.dev_close = vbus_pmd_op_nothing,
	.dev_infos_get = north_infos,
	.dev_supported_ptypes_get = vbus_pmd_ptypes_get,
	.link_update = vbus_pmd_secondary_link_update,
	.is_removed = north_is_removed,
	.promiscuous_enable = vbus_pmd_op_nothing,
	.promiscuous_disable = vbus_pmd_op_nothing,
	.allmulticast_enable = vbus_pmd_op_nothing,
	.allmulticast_disable = vbus_pmd_op_nothing,
	.stats_get = north_stats_get,
	.stats_reset = north_stats_reset,
	.xstats_get = north_xstats_get,
	.xstats_get_names = north_xstats_names,
	.xstats_reset = north_stats_reset,
	.rxq_info_get = north_rxq_info,
	.txq_info_get = north_txq_info,
	.rx_burst_mode_get = north_rx_burst_mode,
	.tx_burst_mode_get = north_tx_burst_mode,
	.tx_done_cleanup = north_tx_done_cleanup,
	.get_monitor_addr = north_monitor_addr,
};

static void
fill(struct rte_eth_dev *dev)
{
	dev->dev_ops = &ops;
	dev->rx_pkt_burst = rx_burst;
	dev->tx_pkt_burst = tx_burst;
	dev->rx_queue_count = north_rx_queue_count;
	vbus_set_tx_queue_count(dev, north_tx_queue_count);
	dev->rx_descriptor_status = north_rx_desc_status;
	dev->tx_descriptor_status = north_tx_desc_status;
}

int
north_secondary_attach(struct rte_vbus_device *vdev)
{
	bool polls = rte_vbus_secondary_polls(vdev);

	vbus_mark_init();
	if (polls && !vbus_mark_is_global()) {
		PMD_LOG(NOTICE, vdev->full_name,
			"only to be looked at here: membarrier(2) is refused, and without it the "
			"primary cannot wait for this process");
		polls = false;
	}
	return vbus_pmd_secondary_attach(vdev->full_name, &vdev->device, polls ? fill : NULL);
}
