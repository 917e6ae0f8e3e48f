/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * The north end of the PMD as the bus and ethdev see it: the driver for devices of type
 * "virtual-ethernet", and a port's life.
 *
 * Threads: probe, remove, dropped, lost and back come from the bus (its worker, or an application
 * thread that plugs); the other operations from application threads. They meet at the port's lock;
 * callbacks into the application run without it (ADR-0002). A port outlives its peer: it is link down
 * while that is away, started or not (doc/features.md).
 * Ownership: dev_private and the MAC list are ethdev's to free, struct north_local is freed by the
 * worker behind the port's last job. A table of ports finds the one behind a bus device, so that a
 * close by the application and an event of the bus can come at the same time.
 */
#include "vbus_north.h"
#include "vbus_pmd_trace.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <rte_devargs.h>
#include <rte_errno.h>
#include <rte_kvargs.h>
#include <rte_malloc.h>

static TAILQ_HEAD(, north_local) ports = TAILQ_HEAD_INITIALIZER(ports);
static pthread_mutex_t ports_lock = PTHREAD_MUTEX_INITIALIZER; /* outer to each port's lock */

/* The port of a device, locked. NULL: none (any more). */
static struct north_local *
port_get(const struct rte_vbus_device *vdev)
{
	struct north_local *l;

	pthread_mutex_lock(&ports_lock);
	TAILQ_FOREACH (l, &ports, next) {
		if (l->vdev == vdev) {
			pthread_mutex_lock(&l->lock);
			break;
		}
	}
	pthread_mutex_unlock(&ports_lock);
	return l;
}

/* ---- configure, start, stop, close --------------------------------------------------------------- */

static int
north_configure(struct rte_eth_dev *dev)
{
	struct north_local *l = north_local_of(dev);
	const struct rte_eth_conf *conf = &dev->data->dev_conf;

	if (dev->data->nb_rx_queues != dev->data->nb_tx_queues) {
		NORTH_LOG(ERR, l, "as many receive as transmit queues, not %u and %u",
			dev->data->nb_rx_queues, dev->data->nb_tx_queues);
		return -EINVAL;
	}
	l->port->nb_pairs = dev->data->nb_rx_queues;
	l->port->rx_offloads = conf->rxmode.offloads;
	l->port->tx_offloads = conf->txmode.offloads;
	return 0;
}

/* The peer is away or just going: the port starts all the same, link down. */
static bool
peer_is_away(int err)
{
	return err == -ENODEV || err == -ENOTCONN || err == -ETIMEDOUT || err == -EBUSY;
}

static int
session_start(struct north_local *l)
{
	int ret = north_ctrl_up(l);

	if (ret == 0) {
		north_link_set(l, l->port->carrier); /* the application asked: no callback */
		return 0;
	}
	if (!peer_is_away(ret)) {
		NORTH_LOG(ERR, l, "start: %s", rte_strerror(-ret));
		return ret;
	}
	NORTH_LOG(INFO, l, "started without its peer (%s)", rte_strerror(-ret));
	north_ctrl_retry(l);
	return 0;
}

static uint8_t
first_state(bool deferred)
{
	return deferred ? RTE_ETH_QUEUE_STATE_STOPPED : RTE_ETH_QUEUE_STATE_STARTED;
}

static void
all_stopped(struct rte_eth_dev *dev)
{
	for (uint32_t i = 0; i < north_port_of(dev)->nb_pairs; i++) {
		dev->data->rx_queue_state[i] = RTE_ETH_QUEUE_STATE_STOPPED;
		dev->data->tx_queue_state[i] = RTE_ETH_QUEUE_STATE_STOPPED;
	}
}

static int
north_start(struct rte_eth_dev *dev)
{
	struct north_local *l = north_local_of(dev);
	struct north_port *p = l->port;
	int ret;

	if (!north_queues_there(p)) {
		NORTH_LOG(ERR, l, "start: its queues are not set up");
		return -EINVAL;
	}
	pthread_mutex_lock(&l->lock);
	p->mtu = dev->data->mtu;
	for (uint32_t i = 0; i < p->nb_pairs; i++) {
		dev->data->rx_queue_state[i] = first_state(p->rxq[i]->deferred);
		dev->data->tx_queue_state[i] = first_state(p->txq[i]->deferred);
	}
	dev->data->scattered_rx = p->rx_offloads != 0 || !north_fits_mbuf(p);
	p->started = true;
	p->told_pairs = false;
	l->retry_ms = 0;
	ret = session_start(l);
	if (ret < 0) {
		p->started = false;
		all_stopped(dev);
	}
	pthread_mutex_unlock(&l->lock);
	return ret;
}

static int
north_stop(struct rte_eth_dev *dev)
{
	struct north_local *l = north_local_of(dev);

	pthread_mutex_lock(&l->lock);
	l->port->started = false;
	north_ctrl_down(l, true);
	all_stopped(dev);
	north_link_set(l, false);
	pthread_mutex_unlock(&l->lock);
	return 0;
}

static int
north_close(struct rte_eth_dev *dev)
{
	struct north_local *l = north_local_of(dev);

	if (l == NULL)
		return 0;
	pthread_mutex_lock(&ports_lock);
	TAILQ_REMOVE(&ports, l, next);
	pthread_mutex_unlock(&ports_lock);
	north_pools_unwatch(l);

	pthread_mutex_lock(&l->lock);
	l->port->started = false;
	north_ctrl_down(l, true);
	north_layout_free(l);
	for (uint16_t i = 0; i < dev->data->nb_rx_queues; i++)
		north_rx_queue_release(dev, i);
	for (uint16_t i = 0; i < dev->data->nb_tx_queues; i++)
		north_tx_queue_release(dev, i);
	rte_free(l->port->ev_cookies);
	north_intr_fini(l);
	l->port = NULL; /* ethdev frees it */
	dev->process_private = NULL;
	pthread_mutex_unlock(&l->lock);
	north_ctrl_fini(l); /* the worker frees l */
	return 0;
}

/* ---- information --------------------------------------------------------------------------------- */

/* What south does not offer is not offered on. */
static void
offloads_of(const struct north_port *p, uint64_t *rx, uint64_t *tx)
{
	if ((p->caps_l4ro & VENET_CAP_SG) == 0)
		*rx = 0;
	else if ((p->caps_l4ro & (VENET_CAP_TSO4 | VENET_CAP_TSO6)) == 0)
		*rx &= ~(uint64_t)RTE_ETH_RX_OFFLOAD_TCP_LRO;
	if ((p->caps_sg & VENET_CAP_TSO4) == 0 || (p->caps_sg & VENET_CAP_TSO6) == 0)
		*tx &= ~(uint64_t)RTE_ETH_TX_OFFLOAD_TCP_TSO;
}

int
north_infos(struct rte_eth_dev *dev, struct rte_eth_dev_info *info)
{
	const struct north_port *p = north_port_of(dev);
	const struct rte_eth_desc_lim lim = {
		.nb_max = NORTH_DESC_MAX,
		.nb_min = NORTH_DESC_MIN,
		.nb_align = 1,
	};

	vbus_pmd_dev_info(info, p->max_pairs);
	info->speed_capa = vbus_pmd_speed_capa(dev);
	offloads_of(p, &info->rx_offload_capa, &info->tx_offload_capa);
	info->rx_desc_lim = lim;
	info->tx_desc_lim = lim;
	info->default_rxportconf = (struct rte_eth_dev_portconf){
		.burst_size = NORTH_CHUNK, .ring_size = NORTH_DESC_DFLT, .nb_queues = 1};
	info->default_txportconf = info->default_rxportconf;
	return 0;
}

static int
north_link_update(struct rte_eth_dev *dev, int wait)
{
	const struct north_port *p = north_port_of(dev);
	const struct timespec ms = {.tv_nsec = 1000000};

	/* The event after LINKUP is on its way; nobody else writes it but the worker. */
	for (int i = 0; wait && i < RTE_VBUS_TIMEOUT_MS && p->started; i++) {
		if (dev->data->dev_link.link_status == RTE_ETH_LINK_UP || !p->linked)
			break;
		nanosleep(&ms, NULL);
	}
	return 0;
}

static int
north_mtu_set(struct rte_eth_dev *dev, uint16_t mtu)
{
	struct north_local *l = north_local_of(dev);
	struct north_port *p = l->port;
	uint16_t old = p->mtu;
	int ret = 0;

	pthread_mutex_lock(&l->lock);
	p->mtu = mtu;
	if (p->started && mtu != old) {
		north_ctrl_down(l, true);
		ret = session_start(l);
		if (ret < 0) {
			p->mtu = old;
			session_start(l);
		}
		north_link_set(l, p->carrier);
	}
	pthread_mutex_unlock(&l->lock);
	return ret;
}

/* Local: what frames the peer sends us does not depend on it. */
static int
north_mac_set(struct rte_eth_dev *dev, struct rte_ether_addr *mac)
{
	struct north_local *l = north_local_of(dev);

	pthread_mutex_lock(&l->lock);
	l->port->mac = *mac;
	pthread_mutex_unlock(&l->lock);
	return 0;
}

int
north_is_removed(struct rte_eth_dev *dev)
{
	return north_port_of(dev)->removed;
}

static const struct eth_dev_ops north_ops = {
	.dev_configure = north_configure,
	.dev_start = north_start,
	.dev_stop = north_stop,
	.dev_close = north_close,
	.dev_infos_get = north_infos,
	.dev_supported_ptypes_get = vbus_pmd_ptypes_get,
	.link_update = north_link_update,
	.is_removed = north_is_removed,
	.promiscuous_enable = vbus_pmd_op_nothing,
	.promiscuous_disable = vbus_pmd_op_nothing,
	.allmulticast_enable = vbus_pmd_op_nothing,
	.allmulticast_disable = vbus_pmd_op_nothing,
	.mac_addr_set = north_mac_set,
	.mtu_set = north_mtu_set,
	.stats_get = north_stats_get,
	.stats_reset = north_stats_reset,
	.xstats_get = north_xstats_get,
	.xstats_get_names = north_xstats_names,
	.xstats_reset = north_stats_reset,
	.rx_queue_setup = north_rx_queue_setup,
	.tx_queue_setup = north_tx_queue_setup,
	.rx_queue_release = north_rx_queue_release,
	.tx_queue_release = north_tx_queue_release,
	.rx_queue_start = north_rx_queue_start,
	.rx_queue_stop = north_rx_queue_stop,
	.tx_queue_start = north_tx_queue_start,
	.tx_queue_stop = north_tx_queue_stop,
	.rxq_info_get = north_rxq_info,
	.txq_info_get = north_txq_info,
	.rx_burst_mode_get = north_rx_burst_mode,
	.tx_burst_mode_get = north_tx_burst_mode,
	.rx_queue_intr_enable = north_rx_intr_enable,
	.rx_queue_intr_disable = north_rx_intr_disable,
	.tx_done_cleanup = north_tx_done_cleanup,
	.get_monitor_addr = north_monitor_addr,
	.get_reg = north_get_reg,
	.eth_dev_priv_dump = north_priv_dump,
};

/* ---- probe, remove ------------------------------------------------------------------------------- */

static void
eth_fill(struct rte_eth_dev *eth, struct rte_vbus_device *vdev)
{
	eth->device = &vdev->device;
	eth->dev_ops = &north_ops;
	eth->rx_pkt_burst = north_rx_burst;
	eth->tx_pkt_burst = north_tx_burst;
	eth->rx_queue_count = north_rx_queue_count;
	vbus_set_tx_queue_count(eth, north_tx_queue_count);
	eth->rx_descriptor_status = north_rx_desc_status;
	eth->tx_descriptor_status = north_tx_desc_status;
	eth->data->dev_flags |= RTE_ETH_DEV_INTR_LSC | RTE_ETH_DEV_INTR_RMV;
	eth->data->numa_node = vdev->device.numa_node;
}

static int
arg_ring(const char *key, const char *value, void *arg)
{
	bool *poll = arg;

	(void)key;
	if (value == NULL || (strcmp(value, "poll") != 0 && strcmp(value, "v2") != 0))
		return -EINVAL;
	*poll = strcmp(value, "poll") == 0;
	return 0;
}

static int
arg_speed(const char *key, const char *value, void *arg)
{
	(void)key;
	return value == NULL ? -EINVAL : vbus_pmd_speed_parse(value, arg);
}

/* ring=poll|v2 (ADR-0017), speed=MBPS. @return 0, -EINVAL: logged */
static int
parse_args(struct north_local *l)
{
	static const char *const keys[] = {"ring", "speed", NULL};
	const struct rte_devargs *da = l->vdev->device.devargs;
	uint32_t speed = VBUS_PMD_SPEED;
	struct rte_kvargs *kv;
	int ret = 0;

	l->port->want_poll = true;
	if (da == NULL || da->args == NULL || da->args[0] == '\0')
		return 0;
	kv = rte_kvargs_parse(da->args, keys);
	if (kv == NULL || rte_kvargs_process(kv, keys[0], arg_ring, &l->port->want_poll) < 0 ||
		rte_kvargs_process(kv, keys[1], arg_speed, &speed) < 0) {
		NORTH_LOG(ERR, l,
			"arguments \"%s\": ring=poll or ring=v2, speed= a link's in Mb/s, and no "
			"others",
			da->args);
		ret = -EINVAL;
	}
	vbus_pmd_speed_set(l->eth, speed);
	rte_kvargs_free(kv);
	return ret;
}

/* Everything of a port but its place in ethdev's table. */
static struct north_local *
port_create(struct rte_eth_dev *eth, struct rte_vbus_device *vdev)
{
	struct north_local *l = calloc(1, sizeof(*l));

	if (l == NULL)
		return NULL;
	pthread_mutex_init(&l->lock, NULL);
	l->eth = eth;
	l->vdev = vdev;
	l->port = rte_zmalloc_socket(
		"vbus_port", sizeof(*l->port), RTE_CACHE_LINE_SIZE, vdev->device.numa_node);
	eth->data->mac_addrs = rte_zmalloc("vbus_mac", sizeof(struct rte_ether_addr), 0);
	eth->data->dev_private = l->port; /* ethdev frees both */
	eth->process_private = l;
	if (l->port == NULL || eth->data->mac_addrs == NULL) {
		free(l);
		return NULL;
	}
	l->port->port_id = eth->data->port_id;
	l->port->mtu = RTE_ETHER_MTU;
	north_ctrl_init(l);
	return l;
}

static int
north_probe(struct rte_vbus_driver *drv, struct rte_vbus_device *vdev)
{
	struct rte_eth_dev *eth;
	struct north_local *l;
	int ret;

	(void)drv;
	if (rte_eal_process_type() != RTE_PROC_PRIMARY)
		return north_secondary_attach(vdev);
	vbus_mark_init();
	eth = rte_eth_dev_allocate(vdev->full_name);
	if (eth == NULL) {
		PMD_LOG(ERR, vdev->full_name, "no room in the table of ports: stays unbound");
		return -ENOSPC;
	}
	ret = -ENOMEM;
	l = port_create(eth, vdev);
	if (l == NULL)
		goto err_release;
	eth_fill(eth, vdev);
	ret = parse_args(l);
	if (ret < 0)
		goto err_free;
	ret = north_ctrl_probe(l);
	if (ret < 0) {
		NORTH_LOG(ERR, l, "the device cannot be used: %s", rte_strerror(-ret));
		goto err_free;
	}
	rte_ether_addr_copy(&l->port->mac, &eth->data->mac_addrs[0]);
	ret = north_intr_init(l);
	if (ret < 0)
		goto err_free;
	ret = north_pools_watch(l);
	if (ret < 0)
		goto err_intr;
	vbus_pmd_link_set(eth, false);
	pthread_mutex_lock(&ports_lock);
	TAILQ_INSERT_TAIL(&ports, l, next);
	pthread_mutex_unlock(&ports_lock);
	vbus_pmd_remote_serve(vdev->full_name);
	rte_eth_dev_probing_finish(eth);
	vbus_pmd_trace_probe(vdev->full_name, eth->data->port_id, 0);
	return 0;

err_intr:
	north_intr_fini(l);
err_free:
	pthread_mutex_destroy(&l->lock);
	free(l);
	eth->process_private = NULL;
err_release:
	rte_eth_dev_release_port(eth);
	return ret;
}

/* DEVDROP: bursts are out, the application hears of it and does the rest. */
static void
north_dropped(struct rte_vbus_device *vdev)
{
	struct north_local *l = port_get(vdev);
	struct rte_eth_dev *eth;
	bool tell;

	if (l == NULL)
		return;
	eth = l->eth;
	vbus_pmd_trace_device(l->port->port_id, 0);
	l->port->removed = true;
	l->port->carrier = false;
	north_ctrl_down(l, true);
	tell = north_link_set(l, false);
	pthread_mutex_unlock(&l->lock);
	if (tell)
		north_link_lsc(eth);
	rte_eth_dev_callback_process(eth, RTE_ETH_EVENT_INTR_RMV, NULL);
}

static int
north_remove(struct rte_vbus_device *vdev)
{
	struct north_local *l;
	uint16_t port_id;
	bool started;

	if (rte_eal_process_type() != RTE_PROC_PRIMARY)
		return vbus_pmd_secondary_detach(vdev->full_name);
	l = port_get(vdev);
	if (l == NULL)
		return 0; /* the application closed it */
	port_id = l->port->port_id;
	started = l->eth->data->dev_started != 0;
	pthread_mutex_unlock(&l->lock);
	if (started)
		rte_eth_dev_stop(port_id);
	return rte_eth_dev_close(port_id);
}

static void
north_lost(struct rte_vbus_device *vdev)
{
	struct north_local *l = port_get(vdev);
	struct rte_eth_dev *eth;
	bool tell;

	if (l == NULL)
		return;
	eth = l->eth;
	vbus_pmd_trace_device(l->port->port_id, 1);
	if (l->port->linked)
		north_ctrl_down(l, false);
	tell = north_link_set(l, false);
	pthread_mutex_unlock(&l->lock);
	if (tell)
		north_link_lsc(eth);
}

static void
north_back(struct rte_vbus_device *vdev)
{
	struct north_local *l = port_get(vdev);
	struct rte_eth_dev *eth;
	bool tell;

	if (l == NULL)
		return;
	eth = l->eth;
	vbus_pmd_trace_device(l->port->port_id, 2);
	l->retry_ms = 0;
	tell = north_ctrl_again(l);
	pthread_mutex_unlock(&l->lock);
	if (tell)
		north_link_lsc(eth);
}

static struct rte_vbus_driver north_driver = {
	.type = VENET_TYPE,
	.probe = north_probe,
	.remove = north_remove,
	.dropped = north_dropped,
	.lost = north_lost,
	.back = north_back,
};

RTE_PMD_REGISTER_VBUS(net_vbus, north_driver);
RTE_PMD_REGISTER_KMOD_DEP(net_vbus, "");
