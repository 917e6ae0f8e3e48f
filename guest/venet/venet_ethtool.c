// SPDX-License-Identifier: GPL-2.0-only
/* Copyright(c) 2026 vbus developers */

/*
 * ethtool. Under RTNL.
 */
#include <linux/ethtool.h>

#include "venet.h"

static void venet_get_drvinfo(struct net_device *dev, struct ethtool_drvinfo *info)
{
	struct venet *v = netdev_priv(dev);

	strscpy(info->driver, KBUILD_MODNAME, sizeof(info->driver));
	strscpy(info->bus_info, dev_name(&v->vdev->dev), sizeof(info->bus_info));
	snprintf(info->fw_version, sizeof(info->fw_version), "sg 0x%x l4ro 0x%x events 0x%x",
		 v->sg, v->l4ro, v->evq);
}

static void venet_get_ringparam(struct net_device *dev, struct ethtool_ringparam *ring,
				struct kernel_ethtool_ringparam *kernel_ring,
				struct netlink_ext_ack *extack)
{
	struct venet *v = netdev_priv(dev);

	ring->rx_max_pending = VENET_RING_MAX;
	ring->tx_max_pending = VENET_RING_MAX;
	ring->rx_pending = v->want_rx;
	ring->tx_pending = v->want_tx;
}

static int venet_set_ringparam(struct net_device *dev, struct ethtool_ringparam *ring,
			       struct kernel_ethtool_ringparam *kernel_ring,
			       struct netlink_ext_ack *extack)
{
	struct venet *v = netdev_priv(dev);
	u32 nb_rx = v->want_rx, nb_tx = v->want_tx;
	int ret;

	if (ring->rx_mini_pending || ring->rx_jumbo_pending)
		return -EINVAL;
	if (ring->rx_pending < VENET_RING_MIN || ring->tx_pending < VENET_RING_MIN) {
		NL_SET_ERR_MSG(extack, "rings have 64 entries or more");
		return -EINVAL;
	}
	if (ring->rx_pending == nb_rx && ring->tx_pending == nb_tx)
		return 0;
	v->want_rx = ring->rx_pending;
	v->want_tx = ring->tx_pending;
	if (!netif_running(dev))
		return 0;
	ret = venet_reopen(v);
	if (ret < 0) {
		/* Large rings want large memory: what was there before may still be had. */
		v->want_rx = nb_rx;
		v->want_tx = nb_tx;
		venet_reopen(v);
	}
	return ret;
}

static int venet_get_sset_count(struct net_device *dev, int sset)
{
	if (sset != ETH_SS_STATS)
		return -EOPNOTSUPP;
	return VENET_NB_RXC + VENET_NB_TXC;
}

static void venet_get_strings(struct net_device *dev, u32 sset, u8 *data)
{
	if (sset == ETH_SS_STATS)
		venet_stats_names(data);
}

static void venet_get_ethtool_stats(struct net_device *dev, struct ethtool_stats *stats, u64 *data)
{
	venet_stats_counters(netdev_priv(dev), data);
}

static int venet_get_link_ksettings(struct net_device *dev, struct ethtool_link_ksettings *cmd)
{
	struct venet *v = netdev_priv(dev);

	cmd->base.speed = v->speed;
	cmd->base.duplex = v->duplex;
	cmd->base.port = PORT_OTHER;
	return 0;
}

static int venet_set_link_ksettings(struct net_device *dev,
				    const struct ethtool_link_ksettings *cmd)
{
	struct venet *v = netdev_priv(dev);

	return ethtool_virtdev_set_link_ksettings(dev, cmd, &v->speed, &v->duplex);
}

const struct ethtool_ops venet_ethtool_ops = {
	.get_drvinfo = venet_get_drvinfo,
	.get_link = ethtool_op_get_link,
	.get_link_ksettings = venet_get_link_ksettings,
	.set_link_ksettings = venet_set_link_ksettings,
	.get_ringparam = venet_get_ringparam,
	.set_ringparam = venet_set_ringparam,
	.get_sset_count = venet_get_sset_count,
	.get_strings = venet_get_strings,
	.get_ethtool_stats = venet_get_ethtool_stats,
	.get_ts_info = ethtool_op_get_ts_info,
};
