/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * The south end's control operations, as ethdev calls them.
 *
 * Threads: application threads (ethdev does not serialise them: the control lock does where it
 * matters), EAL's telemetry thread for what only reads. Never with the control lock held.
 * Start succeeds without a peer, with the link down (DECISIONS 14).
 */
#include "vbus_south.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <rte_malloc.h>

static int
configure(struct rte_eth_dev *dev)
{
	struct vbus_south_port *port = vbus_south_port_of(dev);

	dev->data->scattered_rx = 1; /* a frame above an mbuf's room comes as a chain */
	vbus_ctl_lock();
	vbus_venet_set_mtu(port->venet, dev->data->mtu);
	vbus_ctl_unlock();
	return 0;
}

static void
queue_switch(struct vbus_south_queue *q, bool on)
{
	/* Release: pairs with the acquire at the head of a burst. */
	atomic_store_explicit(&q->on, on, memory_order_release);
}

static void
queue_off(struct vbus_south_queue *q)
{
	queue_switch(q, false);
	vbus_mark_fence();
	vbus_south_queue_wait(q);
}

static int
rx_queue_start(struct rte_eth_dev *dev, uint16_t queue)
{
	queue_switch(dev->data->rx_queues[queue], true);
	dev->data->rx_queue_state[queue] = RTE_ETH_QUEUE_STATE_STARTED;
	return 0;
}

static int
rx_queue_stop(struct rte_eth_dev *dev, uint16_t queue)
{
	queue_off(dev->data->rx_queues[queue]);
	dev->data->rx_queue_state[queue] = RTE_ETH_QUEUE_STATE_STOPPED;
	return 0;
}

static int
tx_queue_start(struct rte_eth_dev *dev, uint16_t queue)
{
	queue_switch(dev->data->tx_queues[queue], true);
	dev->data->tx_queue_state[queue] = RTE_ETH_QUEUE_STATE_STARTED;
	return 0;
}

static int
tx_queue_stop(struct rte_eth_dev *dev, uint16_t queue)
{
	queue_off(dev->data->tx_queues[queue]);
	dev->data->tx_queue_state[queue] = RTE_ETH_QUEUE_STATE_STOPPED;
	return 0;
}

static int
start(struct rte_eth_dev *dev)
{
	struct vbus_south_port *port = vbus_south_port_of(dev);
	struct rte_eth_dev_data *data = dev->data;
	int ret = vbus_south_port_start(port);

	if (ret != 0) {
		PMD_LOG(ERR, data->name, "start: %s",
			ret == -EBUSY ? "the device is polled by another user" : strerror(-ret));
		return ret;
	}
	for (uint16_t q = 0; q < data->nb_rx_queues; q++)
		if (!((struct vbus_south_queue *)data->rx_queues[q])->deferred)
			rx_queue_start(dev, q);
	for (uint16_t q = 0; q < data->nb_tx_queues; q++)
		if (!((struct vbus_south_queue *)data->tx_queues[q])->deferred)
			tx_queue_start(dev, q);
	vbus_south_port_link(port);
	return 0;
}

static int
stop(struct rte_eth_dev *dev)
{
	struct vbus_south_port *port = vbus_south_port_of(dev);

	for (uint16_t q = 0; q < dev->data->nb_rx_queues; q++)
		rx_queue_stop(dev, q);
	for (uint16_t q = 0; q < dev->data->nb_tx_queues; q++)
		tx_queue_stop(dev, q);
	vbus_south_port_stop(port);
	vbus_south_port_link(port);
	dev->data->dev_started = 0;
	return 0;
}

static void
queue_release(struct vbus_south_queue **slot)
{
	rte_free(*slot);
	*slot = NULL;
}

static void
rx_queue_release(struct rte_eth_dev *dev, uint16_t queue)
{
	queue_release((struct vbus_south_queue **)&dev->data->rx_queues[queue]);
}

static void
tx_queue_release(struct rte_eth_dev *dev, uint16_t queue)
{
	queue_release((struct vbus_south_queue **)&dev->data->tx_queues[queue]);
}

static int
dev_close(struct rte_eth_dev *dev)
{
	struct vbus_south_port *port = vbus_south_port_of(dev);

	if (rte_eal_process_type() != RTE_PROC_PRIMARY)
		return 0;
	if (dev->data->dev_started)
		stop(dev);
	vbus_south_port_close(port);
	for (uint16_t q = 0; q < dev->data->nb_rx_queues; q++)
		rx_queue_release(dev, q);
	for (uint16_t q = 0; q < dev->data->nb_tx_queues; q++)
		tx_queue_release(dev, q);
	dev->intr_handle = NULL;
	dev->data->mac_addrs = NULL; /* part of dev_private: not to be freed by ethdev */
	return 0;
}

static struct vbus_south_queue *
queue_make(struct rte_eth_dev *dev, const char *kind, uint16_t queue, uint16_t nb_desc, int socket)
{
	struct vbus_south_queue *q = rte_zmalloc_socket(
		kind, sizeof(*q), RTE_CACHE_LINE_SIZE, socket);

	if (q == NULL)
		return NULL;
	q->venet = vbus_south_port_of(dev)->venet;
	q->port_id = dev->data->port_id;
	q->queue_id = queue;
	q->nb_desc = nb_desc;
	return q;
}

static int
rx_queue_setup(struct rte_eth_dev *dev, uint16_t queue, uint16_t nb_desc, unsigned int socket,
	const struct rte_eth_rxconf *conf, struct rte_mempool *pool)
{
	struct vbus_south_queue *q;

	if (pool == NULL) {
		PMD_LOG(ERR, dev->data->name, "receive queue %u: needs one mbuf pool", queue);
		return -EINVAL;
	}
	if (rte_pktmbuf_data_room_size(pool) < RTE_PKTMBUF_HEADROOM + 64) {
		PMD_LOG(ERR, dev->data->name,
			"receive queue %u: mbufs of pool %s hold less than 64 bytes", queue,
			pool->name);
		return -EINVAL;
	}
	q = queue_make(dev, "vbus_rxq", queue, nb_desc, (int)socket);
	if (q == NULL)
		return -ENOMEM;
	q->pool = pool;
	q->deferred = conf->rx_deferred_start != 0;
	dev->data->rx_queues[queue] = q;
	return 0;
}

static int
tx_queue_setup(struct rte_eth_dev *dev, uint16_t queue, uint16_t nb_desc, unsigned int socket,
	const struct rte_eth_txconf *conf)
{
	struct vbus_south_queue *q = queue_make(dev, "vbus_txq", queue, nb_desc, (int)socket);

	if (q == NULL)
		return -ENOMEM;
	q->deferred = conf->tx_deferred_start != 0;
	dev->data->tx_queues[queue] = q;
	return 0;
}

static int
infos_get(struct rte_eth_dev *dev, struct rte_eth_dev_info *info)
{
	const struct rte_eth_desc_lim lim = {.nb_max = VBUS_SOUTH_DESC_MAX,
		.nb_min = 1,
		.nb_align = 1,
		.nb_seg_max = UINT16_MAX,
		.nb_mtu_seg_max = UINT16_MAX};

	vbus_pmd_dev_info(info, vbus_south_port_of(dev)->nb_queues);
	info->speed_capa = vbus_pmd_speed_capa(dev);
	/* The rings are north's, sizes included: any number of descriptors is as good as another. */
	info->rx_desc_lim = lim;
	info->tx_desc_lim = lim;
	info->default_rxportconf.ring_size = 512;
	info->default_txportconf.ring_size = 512;
	return 0;
}

static void
rxq_info_get(struct rte_eth_dev *dev, uint16_t queue, struct rte_eth_rxq_info *info)
{
	const struct vbus_south_queue *q = dev->data->rx_queues[queue];

	info->mp = q->pool;
	info->scattered_rx = 1;
	info->nb_desc = q->nb_desc;
	info->conf.offloads = dev->data->dev_conf.rxmode.offloads;
	info->conf.rx_deferred_start = q->deferred;
}

static void
txq_info_get(struct rte_eth_dev *dev, uint16_t queue, struct rte_eth_txq_info *info)
{
	const struct vbus_south_queue *q = dev->data->tx_queues[queue];

	info->nb_desc = q->nb_desc;
	info->conf.offloads = dev->data->dev_conf.txmode.offloads;
	info->conf.tx_deferred_start = q->deferred;
}

static int
burst_mode_get(struct rte_eth_dev *dev, uint16_t queue, struct rte_eth_burst_mode *mode)
{
	struct vbus_south_port *port = vbus_south_port_of(dev);
	struct vbus_venet_info info;

	(void)queue;
	vbus_ctl_lock();
	vbus_venet_info(port->venet, &info);
	vbus_ctl_unlock();
	snprintf(mode->info, sizeof(mode->info), "vbus south, one copy, %s",
		!info.opened ? "no peer"
		: info.sg    ? "scatter-gather"
			     : "linear");
	return 0;
}

static int
link_update(struct rte_eth_dev *dev, int wait)
{
	(void)wait; /* the state is known, there is nothing to wait for */
	return vbus_south_port_link(vbus_south_port_of(dev)) ? 0 : -1;
}

static int
mtu_set(struct rte_eth_dev *dev, uint16_t mtu)
{
	vbus_ctl_lock();
	vbus_venet_set_mtu(vbus_south_port_of(dev)->venet, mtu);
	vbus_ctl_unlock();
	return 0;
}

static int
mac_set(struct rte_eth_dev *dev, struct rte_ether_addr *mac)
{
	int ret;

	vbus_ctl_lock();
	ret = vbus_venet_set_mac(vbus_south_port_of(dev)->venet, mac);
	vbus_ctl_unlock();
	return ret;
}

static int
tx_done_cleanup(void *queue, uint32_t free_cnt)
{
	(void)queue;
	(void)free_cnt;
	return 0; /* a burst frees what it took before it returns */
}

static int
priv_dump(struct rte_eth_dev *dev, FILE *file)
{
	struct vbus_south_port *port = vbus_south_port_of(dev);
	struct vbus_venet_info info;

	vbus_ctl_lock();
	vbus_venet_info(port->venet, &info);
	fprintf(file, "bus: %s\ndevice: %s\nwire id: %u\nfault: %s\n",
		vbus_south_bus_of(port->bus)->name, port->device->name, port->device->devid,
		port->device->fault != NULL ? port->device->fault : "none");
	vbus_ctl_unlock();
	fprintf(file,
		"opened: %d\nlink: %d\nscatter-gather: %d\ntso4: %d\ntso6: %d\npmtd: %d\nl4ro: %d\n"
		"linkstate events: %d\nreceive armed: %d\nreceive ring: %u\ntransmit ring: %u\n"
		"queue pairs: %u\n",
		info.opened, info.link_up, info.sg, info.tso4, info.tso6, info.pmtd, info.l4ro,
		info.linkstate, info.rx_armed, info.rx_ring_size, info.tx_ring_size, info.nb_pairs);
	return 0;
}

const struct eth_dev_ops vbus_south_ops = {
	.dev_configure = configure,
	.dev_start = start,
	.dev_stop = stop,
	.dev_close = dev_close,
	.dev_infos_get = infos_get,
	.dev_supported_ptypes_get = vbus_pmd_ptypes_get,
	.link_update = link_update,
	.rx_queue_setup = rx_queue_setup,
	.rx_queue_release = rx_queue_release,
	.rx_queue_start = rx_queue_start,
	.rx_queue_stop = rx_queue_stop,
	.rx_queue_intr_enable = vbus_south_rx_intr_enable,
	.rx_queue_intr_disable = vbus_south_rx_intr_disable,
	.rxq_info_get = rxq_info_get,
	.rx_burst_mode_get = burst_mode_get,
	.tx_queue_setup = tx_queue_setup,
	.tx_queue_release = tx_queue_release,
	.tx_queue_start = tx_queue_start,
	.tx_queue_stop = tx_queue_stop,
	.txq_info_get = txq_info_get,
	.tx_burst_mode_get = burst_mode_get,
	.tx_done_cleanup = tx_done_cleanup,
	.stats_get = vbus_south_stats_get,
	.stats_reset = vbus_south_stats_reset,
	.xstats_get = vbus_south_xstats_get,
	.xstats_get_names = vbus_south_xstats_names,
	.xstats_reset = vbus_south_stats_reset,
	.mtu_set = mtu_set,
	.mac_addr_set = mac_set,
	.promiscuous_enable = vbus_pmd_op_nothing,
	.promiscuous_disable = vbus_pmd_op_nothing,
	.allmulticast_enable = vbus_pmd_op_nothing,
	.allmulticast_disable = vbus_pmd_op_nothing,
	.get_reg = vbus_south_get_reg,
	.eth_dev_priv_dump = priv_dump,
};
