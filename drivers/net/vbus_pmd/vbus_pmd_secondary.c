/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * Ports as a secondary process has them. Link, addresses and queues are in ethdev's shared data; what
 * the two ends keep beside it (sessions, locks, libvbus's objects) is the primary's alone, so nothing
 * here follows a pointer of theirs. That is what capture and statistics need (dpdk-dumpcap,
 * dpdk-proc-info): frames are copied by callbacks that run in the process that polls. Bursts move
 * nothing, unless the end fills in its own (vbus_north_secondary.c).
 *
 * Threads: those of EAL's start, hot-plug and end. A port here is a view, owned by this process; the
 * primary's port does not notice it come or go.
 */
#include "vbus_pmd_common.h"

#include <errno.h>

#include "vbus_pmd_trace.h"

static int
infos_get(struct rte_eth_dev *dev, struct rte_eth_dev_info *info)
{
	vbus_pmd_dev_info(info, RTE_MAX(dev->data->nb_rx_queues, 1));
	return 0;
}

int
vbus_pmd_secondary_link_update(struct rte_eth_dev *dev, int wait)
{
	(void)dev; /* the primary keeps it up to date in the shared data */
	(void)wait;
	return 0;
}

static const struct eth_dev_ops secondary_ops = {
	.dev_close = vbus_pmd_op_nothing,
	.dev_infos_get = infos_get,
	.dev_supported_ptypes_get = vbus_pmd_ptypes_get,
	.link_update = vbus_pmd_secondary_link_update,
	.promiscuous_enable = vbus_pmd_op_nothing,
	.promiscuous_disable = vbus_pmd_op_nothing,
	.allmulticast_enable = vbus_pmd_op_nothing,
	.allmulticast_disable = vbus_pmd_op_nothing,
	.stats_get = vbus_pmd_remote_stats_get,
	.stats_reset = vbus_pmd_remote_stats_reset,
	.xstats_get = vbus_pmd_remote_xstats_get,
	.xstats_get_names = vbus_pmd_remote_xstats_names,
	.xstats_reset = vbus_pmd_remote_stats_reset,
};

int
vbus_pmd_secondary_attach(
	const char *name, struct rte_device *device, void (*fill)(struct rte_eth_dev *dev))
{
	struct rte_eth_dev *dev = rte_eth_dev_attach_secondary(name);

	if (dev == NULL)
		return -ENODEV;
	dev->device = device;
	dev->dev_ops = &secondary_ops;
	dev->rx_pkt_burst = rte_eth_pkt_burst_dummy;
	dev->tx_pkt_burst = rte_eth_pkt_burst_dummy;
	if (fill != NULL)
		fill(dev);
	rte_eth_dev_probing_finish(dev);
	vbus_pmd_trace_probe(name, dev->data->port_id, 2);
	return 0;
}

int
vbus_pmd_secondary_detach(const char *name)
{
	struct rte_eth_dev *dev = rte_eth_dev_allocated(name);

	return dev != NULL ? rte_eth_dev_release_port(dev) : 0;
}
