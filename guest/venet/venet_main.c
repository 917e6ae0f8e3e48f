// SPDX-License-Identifier: GPL-2.0-only
/* Copyright(c) 2026 vbus developers */

/*
 * venet: driver of the bus, netdev operations, the NAPI, features and recovery.
 *
 * Recovery. The stack's watchdog finds a queue that stands still: what came back is reaped and
 * south is signalled again (a lost wake-up costs no session); if nothing moves the session is
 * opened anew. So is one whose ring south has broken. A reopening that fails is repeated every
 * second.
 */
#include <linux/ethtool.h>

#include "venet.h"

#define RETRY_DELAY HZ
#define STILL_MS    20

/* ---- NAPI ----------------------------------------------------------------------------------- */

/* Receive and event rings. */
void venet_notify_napi(struct vbus_signal *sig)
{
	struct venet *v = sig->priv;

	if (sig == v->rx.ring.sig)
		vbus_signal_disable(sig);
	napi_schedule(&v->napi);
}

static bool venet_broken(const struct venet *v)
{
	return v->rx.ring.broken || v->tx.ring.broken ||
	       (v->l4ro & VENET_CAP_SG && v->rx.pages.broken);
}

static int venet_poll(struct napi_struct *napi, int budget)
{
	struct venet *v = container_of(napi, struct venet, napi);
	int done = 0;
	bool tell;

	tell = venet_tx_poll(v, budget);
	if (budget == 0)
		return 0;
	/* South need not interrupt as long as we look. */
	vbus_signal_disable(v->rx.ring.sig);
	venet_signal_seen(v->rx.ring.sig);
	done = venet_rx_poll(v, budget);
	venet_events_poll(v);
	if (unlikely(venet_broken(v)))
		schedule_delayed_work(&v->reset, RETRY_DELAY);
	if (done < budget && napi_complete_done(napi, done)) {
		vbus_signal_enable(v->rx.ring.sig);
		venet_tx_poll_done(v, tell);
	}
	return done;
}

/* ---- up, down, again ------------------------------------------------------------------------ */

static int venet_open(struct net_device *dev)
{
	return venet_session_up(netdev_priv(dev));
}

static int venet_stop(struct net_device *dev)
{
	venet_session_down(netdev_priv(dev));
	return 0;
}

/* RTNL; the interface is up. A failure is tried again from the work item. */
int venet_reopen(struct venet *v)
{
	int ret;

	venet_tx_count(v, VENET_TXC_RESETS);
	venet_session_down(v);
	ret = venet_session_up(v);
	if (ret < 0) {
		netdev_err(v->dev, "cannot open the device again: %d\n", ret);
		if (!v->vdev->dead)
			schedule_delayed_work(&v->reset, RETRY_DELAY);
	}
	return ret;
}

/* Does the transmit ring move, with a nudge? */
static bool venet_revive(struct venet *v)
{
	struct netdev_queue *txq = venet_txq(v);
	bool moved = false;
	int i;

	for (i = 0; i < 2 && !moved; i++) {
		__netif_tx_lock_bh(txq);
		moved = venet_tx_reap(v, 0) > 0 || v->tx.ring.valid_used == 0;
		if (moved && v->tx.ring.valid_used < v->nb_tx)
			netif_tx_wake_queue(txq);
		__netif_tx_unlock_bh(txq);
		/* Not an inject: that one believes what south wrote about being asleep. */
		v->vdev->ops->signal(v->tx.ring.shm);
		if (!moved)
			msleep(STILL_MS);
	}
	return moved;
}

static void venet_reset_work(struct work_struct *work)
{
	struct venet *v = container_of(to_delayed_work(work), struct venet, reset);

	rtnl_lock();
	if (netif_running(v->dev) && !v->vdev->dead) {
		if (!v->up || venet_broken(v) || !venet_revive(v)) {
			netdev_warn(v->dev, "opening the device again\n");
			venet_reopen(v);
		}
	}
	rtnl_unlock();
}

static void venet_tx_timeout(struct net_device *dev, unsigned int queue)
{
	struct venet *v = netdev_priv(dev);

	venet_tx_count(v, VENET_TXC_TIMEOUTS);
	netdev_warn(dev, "transmit stands still, %u of %u frames are out\n",
		    v->tx.ring.valid_used, v->nb_tx);
	schedule_delayed_work(&v->reset, 0);
}

/* ---- MTU and features ----------------------------------------------------------------------- */

/*
 * Linear buffers have the MTU's size: south gives the empty ones back (with length 0 and no
 * signal), and the poll puts others in their place.
 */
static int venet_change_mtu(struct net_device *dev, int mtu)
{
	struct venet *v = netdev_priv(dev);

	WRITE_ONCE(dev->mtu, mtu);
	if (!v->up || venet_rx_room(v, mtu) == v->rx.room)
		return 0;
	WRITE_ONCE(v->rx.room, venet_rx_room(v, mtu));
	vbus_device_call(v->vdev, VENET_FUNC_FLUSHRX, NULL, 0);
	local_bh_disable();
	napi_schedule(&v->napi);
	local_bh_enable();
	return 0;
}

/* Which of south's offers for receive the features leave. */
static u32 venet_want_l4ro(const struct venet *v, netdev_features_t features)
{
	if (!(features & NETIF_F_RXCSUM))
		return 0; /* south finishes checksums, and has to cut frames then */
	if (!(features & NETIF_F_GRO_HW))
		return v->offer_l4ro & VENET_CAP_SG;
	return v->offer_l4ro;
}

static int venet_set_features(struct net_device *dev, netdev_features_t features)
{
	struct venet *v = netdev_priv(dev);
	u32 want = venet_want_l4ro(v, features), old = v->want_l4ro;
	int ret;

	if (want == old)
		return 0;
	v->want_l4ro = want;
	if (!netif_running(dev))
		return 0;
	ret = venet_reopen(v);
	if (ret < 0)
		v->want_l4ro = old;
	return ret;
}

static netdev_features_t venet_fix_features(struct net_device *dev, netdev_features_t features)
{
	if (!(features & NETIF_F_RXCSUM))
		features &= ~NETIF_F_GRO_HW;
	return features;
}

static void venet_init_features(struct venet *v)
{
	struct net_device *dev = v->dev;
	netdev_features_t tx = 0, rx = 0;

	if (v->offer_sg & VENET_CAP_SG) {
		/* South parses headers: TCP and UDP over IP, not whatever has a 16-bit sum. */
		tx = NETIF_F_SG | NETIF_F_IP_CSUM | NETIF_F_IPV6_CSUM;
		if (v->offer_sg & VENET_CAP_TSO4)
			tx |= NETIF_F_TSO;
		if (v->offer_sg & VENET_CAP_TSO6)
			tx |= NETIF_F_TSO6;
		if (v->offer_sg & VENET_CAP_TSO4 && v->offer_sg & VENET_CAP_ECN)
			tx |= NETIF_F_TSO_ECN;
	}
	if (v->offer_l4ro & VENET_CAP_SG)
		rx = NETIF_F_RXCSUM;
	if (v->offer_l4ro & (VENET_CAP_TSO4 | VENET_CAP_TSO6))
		rx |= NETIF_F_GRO_HW;
	dev->hw_features = tx | rx;
	dev->features = tx | rx | NETIF_F_HIGHDMA;
	dev->vlan_features = tx;
	v->want_l4ro = venet_want_l4ro(v, dev->features);
}

static const struct net_device_ops venet_netdev_ops = {
	.ndo_open = venet_open,
	.ndo_stop = venet_stop,
	.ndo_start_xmit = venet_tx_xmit,
	.ndo_tx_timeout = venet_tx_timeout,
	.ndo_change_mtu = venet_change_mtu,
	.ndo_set_features = venet_set_features,
	.ndo_fix_features = venet_fix_features,
	.ndo_get_stats64 = venet_stats_get,
	.ndo_set_mac_address = eth_mac_addr,
	.ndo_validate_addr = eth_validate_addr,
};

/* ---- the driver ----------------------------------------------------------------------------- */

static void venet_init_netdev(struct venet *v)
{
	struct net_device *dev = v->dev;

	dev->netdev_ops = &venet_netdev_ops;
	dev->ethtool_ops = &venet_ethtool_ops;
	dev->min_mtu = ETH_MIN_MTU;
	dev->max_mtu = VENET_MTU_MAX;
	dev->watchdog_timeo = 5 * HZ;
	dev->priv_flags |= IFF_LIVE_ADDR_CHANGE;
	v->want_rx = VENET_RING_DFLT;
	v->want_tx = VENET_RING_DFLT;
	v->speed = SPEED_10000;
	v->duplex = DUPLEX_FULL;
	u64_stats_init(&v->rx.counters.syncp);
	u64_stats_init(&v->tx.counters.syncp);
	timer_setup(&v->tx.timer, venet_tx_timer, 0);
	INIT_DELAYED_WORK(&v->reset, venet_reset_work);
	netif_napi_add(dev, &v->napi, venet_poll);
	netif_carrier_off(dev);
}

static int venet_probe(struct vbus_device *vdev)
{
	struct net_device *dev;
	struct venet *v;
	int ret;

	dev = alloc_etherdev(sizeof(*v));
	if (!dev)
		return -ENOMEM;
	SET_NETDEV_DEV(dev, &vdev->dev);
	v = netdev_priv(dev);
	v->dev = dev;
	v->vdev = vdev;
	ret = -ENOMEM;
	v->pcpu = netdev_alloc_pcpu_stats(struct venet_pcpu);
	if (!v->pcpu)
		goto free;
	venet_init_netdev(v);
	ret = venet_session_probe(v);
	if (ret < 0)
		goto free_napi;
	venet_init_features(v);
	vbus_set_drvdata(vdev, v);
	ret = register_netdev(dev);
	if (ret == 0)
		return 0;
	vbus_set_drvdata(vdev, NULL);
free_napi:
	netif_napi_del(&v->napi);
	free_percpu(v->pcpu);
free:
	free_netdev(dev);
	return ret;
}

/* Also when south is gone: then every call fails, and nothing waits for one. */
static void venet_remove(struct vbus_device *vdev)
{
	struct venet *v = vbus_get_drvdata(vdev);

	unregister_netdev(v->dev); /* stops it */
	cancel_delayed_work_sync(&v->reset);
	vbus_device_close(vdev);
	vbus_set_drvdata(vdev, NULL);
	netif_napi_del(&v->napi);
	free_percpu(v->pcpu);
	free_netdev(v->dev);
}

static struct vbus_driver venet_driver = {
	.driver.name = "vbus_venet",
	.type = VENET_TYPE,
	.probe = venet_probe,
	.remove = venet_remove,
};
module_vbus_driver(venet_driver);

MODULE_ALIAS_VBUS(VENET_TYPE);
MODULE_AUTHOR("vbus developers");
MODULE_DESCRIPTION("vbus virtual Ethernet");
MODULE_LICENSE("GPL");
