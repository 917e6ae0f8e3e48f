/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * The south end's data path: the venet's burst functions between the in-burst marks.
 *
 * Threads: one polling thread per queue runs its bursts and is the only writer of its mark. Counts,
 * descriptor status and the interrupt switch may be asked for by any thread beside it (testpmd asks
 * from its prompt), so they do not touch the mark: they hold `side` while they look. The control
 * side waits for both (vbus_south_queue_wait(), DECISIONS 19).
 */
#include "vbus_south.h"

#include <errno.h>
#include <unistd.h>

#include <rte_branch_prediction.h>
#include <rte_pause.h>

uint16_t
vbus_south_rx_burst(void *queue, struct rte_mbuf **pkts, uint16_t nb)
{
	struct vbus_south_queue *q = queue;
	uint16_t n = 0;

	vbus_mark_enter(&q->mark);
	/* Acquire: pairs with the store in dev_start and queue_start; off pairs by the mark. */
	if (likely(atomic_load_explicit(&q->on, memory_order_acquire)))
		n = vbus_venet_rx_burst(q->venet, q->queue_id, pkts, nb);
	vbus_mark_leave(&q->mark);
	for (uint16_t i = 0; i < n; i++)
		pkts[i]->port = q->port_id;
	return n;
}

uint16_t
vbus_south_tx_burst(void *queue, struct rte_mbuf **pkts, uint16_t nb)
{
	struct vbus_south_queue *q = queue;
	uint16_t n = 0;

	vbus_mark_enter(&q->mark);
	if (likely(atomic_load_explicit(&q->on, memory_order_acquire)))
		n = vbus_venet_tx_burst(q->venet, q->queue_id, pkts, nb);
	vbus_mark_leave(&q->mark);
	return n;
}

/* Enter the queue beside its poller. @return false: it is stopped, nothing to look at.
 * Sequentially consistent: a full fence between "I am here" and the look at `on` and at the venet's
 * path, whose partner is the unpublishing store and vbus_mark_fence() of the control side. */
static bool
side_enter(struct vbus_south_queue *q)
{
	atomic_fetch_add(&q->side, 1);
	if (atomic_load(&q->on))
		return true;
	atomic_fetch_sub_explicit(&q->side, 1, memory_order_release);
	return false;
}

static void
side_leave(struct vbus_south_queue *q)
{
	/* Release: pairs with the acquire in vbus_south_queue_wait(). */
	atomic_fetch_sub_explicit(&q->side, 1, memory_order_release);
}

void
vbus_south_queue_wait(struct vbus_south_queue *q)
{
	vbus_mark_wait_nofence(&q->mark);
	/* Those that enter from now on see the unpublished path; those before are few and short. */
	while (atomic_load_explicit(&q->side, memory_order_acquire) != 0)
		rte_pause();
}

vbus_queue_count_t
vbus_south_rx_count(void *queue)
{
	struct vbus_south_queue *q = queue;
	uint32_t n;

	if (!side_enter(q))
		return 0;
	n = vbus_venet_rx_count(q->venet, q->queue_id);
	side_leave(q);
	return (vbus_queue_count_t)n;
}

int
vbus_south_rx_desc_status(void *queue, uint16_t offset)
{
	struct vbus_south_queue *q = queue;

	if (offset >= q->nb_desc)
		return -EINVAL;
	return offset < (uint32_t)vbus_south_rx_count(q) ? RTE_ETH_RX_DESC_DONE
							 : RTE_ETH_RX_DESC_AVAIL;
}

int
vbus_south_tx_desc_status(void *queue, uint16_t offset)
{
	struct vbus_south_queue *q = queue;
	uint32_t room;

	if (offset >= q->nb_desc)
		return -EINVAL;
	if (!side_enter(q))
		return RTE_ETH_TX_DESC_UNAVAIL;
	/* South copies and frees at once: nothing of ours is in flight, a slot is north's or free. */
	room = vbus_venet_tx_free(q->venet, q->queue_id);
	side_leave(q);
	return offset < room ? RTE_ETH_TX_DESC_DONE : RTE_ETH_TX_DESC_FULL;
}

int
vbus_south_rx_intr_enable(struct rte_eth_dev *dev, uint16_t queue)
{
	struct vbus_south_port *port = vbus_south_port_of(dev);
	struct vbus_south_queue *q = dev->data->rx_queues[queue];
	const uint64_t one = 1;
	bool waiting;

	if (!side_enter(q))
		return 0;
	waiting = vbus_venet_rx_intr_enable(q->venet, q->queue_id);
	side_leave(q);
	/* Frames came before the switch: nobody will signal for them, so wake ourselves. */
	if (waiting && write(port->rx_fd[queue], &one, sizeof(one)) < 0 && errno != EAGAIN)
		return -errno;
	return 0;
}

int
vbus_south_rx_intr_disable(struct rte_eth_dev *dev, uint16_t queue)
{
	struct vbus_south_queue *q = dev->data->rx_queues[queue];

	if (!side_enter(q))
		return 0;
	vbus_venet_rx_intr_disable(q->venet, q->queue_id);
	side_leave(q);
	return 0;
}
