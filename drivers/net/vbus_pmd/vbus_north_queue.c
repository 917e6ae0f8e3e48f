/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * Queues of the north end: setup, start and stop, information, descriptor status and counts.
 *
 * Threads: application threads in ethdev operations; descriptor status and counts come from a polling
 * thread or beside one: they only read the ring in the port's zone, which stays until the port is
 * started anew or closed.
 */
#include "vbus_north.h"

#include <errno.h>
#include <stdio.h>

#include <rte_malloc.h>
#include <rte_power_intrinsics.h>

/* ---- setup, release ------------------------------------------------------------------------------ */

int
north_rx_queue_setup(struct rte_eth_dev *dev, uint16_t qid, uint16_t nb_desc, unsigned int socket,
	const struct rte_eth_rxconf *conf, struct rte_mempool *pool)
{
	struct north_port *p = north_port_of(dev);
	struct north_local *l = north_local_of(dev);
	struct north_rxq *q;

	if (rte_pktmbuf_data_room_size(pool) < RTE_PKTMBUF_HEADROOM + NORTH_DESC_MIN) {
		NORTH_LOG(ERR, l, "receive: buffers of pool %s are too small", pool->name);
		return -EINVAL;
	}
	north_rx_queue_release(dev, qid);
	q = rte_zmalloc_socket("vbus_rxq", sizeof(*q), RTE_CACHE_LINE_SIZE, (int)socket);
	if (q == NULL)
		return -ENOMEM;
	q->nb_desc = nb_desc;
	q->pool = pool;
	q->port_id = dev->data->port_id;
	q->deferred = conf->rx_deferred_start != 0;
	q->intr_fd = l->intr_fd[qid];
	p->rxq[qid] = q;
	dev->data->rx_queues[qid] = q;
	return 0;
}

int
north_tx_queue_setup(struct rte_eth_dev *dev, uint16_t qid, uint16_t nb_desc, unsigned int socket,
	const struct rte_eth_txconf *conf)
{
	struct north_port *p = north_port_of(dev);
	struct north_txq *q;

	north_tx_queue_release(dev, qid);
	q = rte_zmalloc_socket("vbus_txq", sizeof(*q), RTE_CACHE_LINE_SIZE, (int)socket);
	if (q == NULL)
		return -ENOMEM;
	q->nb_desc = nb_desc;
	q->port_id = dev->data->port_id;
	q->deferred = conf->tx_deferred_start != 0;
	q->pools = &p->pools; /* bursts of a stopped port come by as well */
	p->txq[qid] = q;
	dev->data->tx_queues[qid] = q;
	return 0;
}

void
north_rx_queue_release(struct rte_eth_dev *dev, uint16_t qid)
{
	struct north_rxq *q = dev->data->rx_queues[qid];

	if (q == NULL)
		return;
	dev->data->rx_queues[qid] = NULL;
	north_port_of(dev)->rxq[qid] = NULL;
	rte_free(q->arrays);
	rte_free(q);
}

void
north_tx_queue_release(struct rte_eth_dev *dev, uint16_t qid)
{
	struct north_txq *q = dev->data->tx_queues[qid];

	if (q == NULL)
		return;
	dev->data->tx_queues[qid] = NULL;
	north_port_of(dev)->txq[qid] = NULL;
	rte_free(q->arrays);
	rte_free(q);
}

/* ---- start, stop: what lies in the rings stays there ------------------------------------------------ */

int
north_rx_queue_start(struct rte_eth_dev *dev, uint16_t qid)
{
	struct north_local *l = north_local_of(dev);

	pthread_mutex_lock(&l->lock);
	dev->data->rx_queue_state[qid] = RTE_ETH_QUEUE_STATE_STARTED;
	north_ctrl_publish(l);
	if (l->port->linked)
		north_intr_resume(l->port->rxq[qid]);
	pthread_mutex_unlock(&l->lock);
	return 0;
}

int
north_rx_queue_stop(struct rte_eth_dev *dev, uint16_t qid)
{
	struct north_local *l = north_local_of(dev);

	pthread_mutex_lock(&l->lock);
	dev->data->rx_queue_state[qid] = RTE_ETH_QUEUE_STATE_STOPPED;
	north_ctrl_publish(l);
	vbus_mark_wait(&l->port->rxq[qid]->mark);
	pthread_mutex_unlock(&l->lock);
	return 0;
}

int
north_tx_queue_start(struct rte_eth_dev *dev, uint16_t qid)
{
	struct north_local *l = north_local_of(dev);

	pthread_mutex_lock(&l->lock);
	dev->data->tx_queue_state[qid] = RTE_ETH_QUEUE_STATE_STARTED;
	north_ctrl_publish(l);
	pthread_mutex_unlock(&l->lock);
	return 0;
}

int
north_tx_queue_stop(struct rte_eth_dev *dev, uint16_t qid)
{
	struct north_local *l = north_local_of(dev);
	struct north_txq *q = l->port->txq[qid];

	pthread_mutex_lock(&l->lock);
	dev->data->tx_queue_state[qid] = RTE_ETH_QUEUE_STATE_STOPPED;
	north_ctrl_publish(l);
	vbus_mark_wait(&q->mark);
	if (l->port->linked) /* what south is done with goes back now, the rest with the session */
		l->port->s.tx >= NORTH_TX_POLL ? north_poll_reap(q, UINT32_MAX)
					       : north_tx_reap(q, q->ring.nb_used);
	pthread_mutex_unlock(&l->lock);
	return 0;
}

/* ---- information --------------------------------------------------------------------------------- */

void
north_rxq_info(struct rte_eth_dev *dev, uint16_t qid, struct rte_eth_rxq_info *info)
{
	const struct north_rxq *q = dev->data->rx_queues[qid];

	info->mp = q->pool;
	info->nb_desc = (uint16_t)q->nb_desc;
	info->rx_buf_size = (uint16_t)(rte_pktmbuf_data_room_size(q->pool) - RTE_PKTMBUF_HEADROOM);
	info->scattered_rx = dev->data->scattered_rx;
	info->conf.rx_deferred_start = q->deferred;
	info->conf.rx_drop_en = 0; /* no buffer: south keeps the frame back */
	info->conf.offloads = dev->data->dev_conf.rxmode.offloads;
}

void
north_txq_info(struct rte_eth_dev *dev, uint16_t qid, struct rte_eth_txq_info *info)
{
	const struct north_txq *q = dev->data->tx_queues[qid];

	info->nb_desc = (uint16_t)q->nb_desc;
	info->conf.tx_deferred_start = q->deferred;
	info->conf.offloads = dev->data->dev_conf.txmode.offloads;
}

int
north_rx_burst_mode(struct rte_eth_dev *dev, uint16_t qid, struct rte_eth_burst_mode *mode)
{
	static const char *const names[] = {
		[NORTH_RX_OFF] = "Link down",
		[NORTH_RX_LINEAR] = "Scalar Linear",
		[NORTH_RX_COPY] = "Scalar Copied",
		[NORTH_RX_L4RO] = "Scalar Scattered",
		[NORTH_RX_POLL] = "Scalar Poll Ring",
		[NORTH_RX_FAR] = "Scalar Placed Poll Ring",
	};
	const struct north_port *p = north_port_of(dev);

	(void)qid;
	snprintf(mode->info, sizeof(mode->info), "%s", names[p->linked ? p->s.rx : NORTH_RX_OFF]);
	return 0;
}

int
north_tx_burst_mode(struct rte_eth_dev *dev, uint16_t qid, struct rte_eth_burst_mode *mode)
{
	static const char *const names[] = {
		[NORTH_TX_OFF] = "Link down",
		[NORTH_TX_LINEAR] = "Scalar Linear",
		[NORTH_TX_SG] = "Scalar Scatter-Gather",
		[NORTH_TX_POLL] = "Scalar Poll Ring",
		[NORTH_TX_FAR] = "Scalar Placed Poll Ring",
	};
	const struct north_port *p = north_port_of(dev);

	(void)qid;
	snprintf(mode->info, sizeof(mode->info), "%s", names[p->linked ? p->s.tx : NORTH_TX_OFF]);
	return 0;
}

/* ---- power ------------------------------------------------------------------------------------- */

/* A core may sleep until the next entry's ownership byte changes; it looks at the byte first. */
static int
monitor_done(const uint64_t value, const uint64_t arg[RTE_POWER_MONITOR_OPAQUE_SZ])
{
	(void)arg;
	return value == IOQ_SOWN_NORTH ? -1 : 0;
}

/* The same on a ring for pollers: the phase of the completion. */
static int
monitor_completed(const uint64_t value, const uint64_t arg[RTE_POWER_MONITOR_OPAQUE_SZ])
{
	return (value & VENET_POLL_COMP_PHASE) == arg[0] ? -1 : 0;
}

int
north_monitor_addr(void *rxq, struct rte_power_monitor_cond *cond)
{
	const struct north_rxq *q = rxq;
	uint32_t path = atomic_load_explicit(&q->path, memory_order_acquire);

	if (path == NORTH_RX_OFF)
		return -ENOLINK; /* nothing to wait for: the caller goes on polling */
	if (path >= NORTH_RX_POLL) {
		cond->addr = &q->poll.r.comp[q->poll.head & q->poll.r.mask];
		cond->size = sizeof(q->poll.r.comp[0]);
		cond->opaque[0] = vbus_poll_comp_phase(&q->poll.r, q->poll.head);
		cond->fn = monitor_completed;
		return 0;
	}
	cond->addr = &q->ring.desc[q->ring.head].sown;
	cond->size = sizeof(q->ring.desc[0].sown);
	cond->fn = monitor_done;
	return 0;
}

/* ---- descriptors --------------------------------------------------------------------------------- */

/* Rings of a session that is over are empty objects without descriptors. */
vbus_queue_count_t
north_rx_queue_count(void *rxq)
{
	const struct north_rxq *q = rxq;
	uint32_t path = atomic_load_explicit(&q->path, memory_order_acquire);

	if (path == NORTH_RX_OFF)
		return 0;
	if (path >= NORTH_RX_POLL)
		return (vbus_queue_count_t)vbus_poll_north_ready_count(&q->poll, q->nb_desc);
	return (vbus_queue_count_t)vbus_ioq_north_ready_count(&q->ring, q->nb_desc);
}

int
north_tx_queue_count(void *txq)
{
	const struct north_txq *q = txq;
	uint32_t path = atomic_load_explicit(&q->path, memory_order_acquire);

	if (path == NORTH_TX_OFF)
		return 0;
	if (path >= NORTH_TX_POLL)
		return (int)(vbus_poll_north_used(&q->poll) - vbus_poll_north_done(&q->poll));
	return (int)(q->ring.nb_used - vbus_ioq_north_done_count(&q->ring, q->nb_desc));
}

int
north_rx_desc_status(void *rxq, uint16_t offset)
{
	const struct north_rxq *q = rxq;
	uint32_t path = atomic_load_explicit(&q->path, memory_order_acquire);
	uint32_t idx;

	if (offset >= q->nb_desc)
		return -EINVAL;
	if (path == NORTH_RX_OFF ||
		offset >=
			(path >= NORTH_RX_POLL ? vbus_poll_north_used(&q->poll) : q->ring.nb_used))
		return RTE_ETH_RX_DESC_UNAVAIL;
	if (path >= NORTH_RX_POLL)
		return vbus_poll_north_is_ready(&q->poll, offset) ? RTE_ETH_RX_DESC_DONE
								  : RTE_ETH_RX_DESC_AVAIL;
	idx = vbus_ioq_advance(q->ring.head, offset, q->ring.count);
	return vbus_peer_load_owner(&q->ring.desc[idx].sown) == IOQ_SOWN_NORTH
		       ? RTE_ETH_RX_DESC_DONE
		       : RTE_ETH_RX_DESC_AVAIL;
}

int
north_tx_desc_status(void *txq, uint16_t offset)
{
	const struct north_txq *q = txq;
	uint32_t path = atomic_load_explicit(&q->path, memory_order_acquire);
	uint32_t idx;

	if (offset >= q->nb_desc)
		return -EINVAL;
	if (path == NORTH_TX_OFF)
		return RTE_ETH_TX_DESC_UNAVAIL;
	/* Offset 0 is the next entry to be filled. */
	if (path >= NORTH_TX_POLL)
		return offset < vbus_poll_north_room(&q->poll) + vbus_poll_north_done(&q->poll)
			       ? RTE_ETH_TX_DESC_DONE
			       : RTE_ETH_TX_DESC_FULL;
	idx = vbus_ioq_advance(q->ring.tail, offset, q->ring.count);
	return vbus_peer_load_owner(&q->ring.desc[idx].sown) == IOQ_SOWN_NORTH
		       ? RTE_ETH_TX_DESC_DONE
		       : RTE_ETH_TX_DESC_FULL;
}
