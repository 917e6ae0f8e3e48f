/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * rte_eth_dev_get_reg_info() of the north end: what a ring's memory says and where we stand in it, as 32-bit
 * words; doc/features.md has the table. A ring's words are the peer's to write, too: read once each,
 * used for nothing.
 *
 * Threads: application threads, with the port's lock (the control side changes no ring meanwhile; the polling
 * thread goes on, so words of one dump may be some entries apart).
 */
#include "vbus_north.h"

#include <errno.h>
#include <string.h>

/* Words of one direction of a queue. */
enum reg {
	REG_PATH, /* enum north_rx_path, north_tx_path: 0 no session */
	REG_COUNT,
	REG_HEAD,
	REG_TAIL,
	REG_USED,
	REG_VALID_HEAD,
	REG_VALID_TAIL,
	REG_INUSE_HEAD,
	REG_INUSE_TAIL,
	REG_PEER_WAITS, /* the signal's: south wants to be told */
	REG_WE_WAIT,
	REG_MARK, /* odd: a burst runs */
	REG_NB = 16,
};

#define REG_VERSION 1u

static void
ring_regs(uint32_t *r, const struct vbus_ioq_north *q)
{
	const struct ioq_ring_idx *v = &q->ring->idx[IOQ_IDX_VALID];
	const struct ioq_ring_idx *u = &q->ring->idx[IOQ_IDX_INUSE];

	r[REG_COUNT] = q->count;
	r[REG_HEAD] = q->head;
	r[REG_TAIL] = q->tail;
	r[REG_USED] = q->nb_used;
	r[REG_VALID_HEAD] = vbus_peer_load32(&v->head);
	r[REG_VALID_TAIL] = vbus_peer_load32(&v->tail);
	r[REG_INUSE_HEAD] = vbus_peer_load32(&u->head);
	r[REG_INUSE_TAIL] = vbus_peer_load32(&u->tail);
}

static void
poll_regs(uint32_t *r, const struct vbus_poll_north *q)
{
	r[REG_COUNT] = q->r.mask + 1;
	r[REG_HEAD] = q->head;
	r[REG_TAIL] = q->tail;
	r[REG_USED] = vbus_poll_north_used(q);
}

static void
side_regs(uint32_t *r, const struct vbus_signal *sig, const struct vbus_mark *mark)
{
	r[REG_PEER_WAITS] = vbus_signal_is_wanted(sig);
	r[REG_WE_WAIT] = vbus_peer_load8(&sig->local_peer->enabled);
	r[REG_MARK] = atomic_load_explicit(&mark->seq, memory_order_relaxed);
}

static void
rx_regs(uint32_t *r, const struct north_rxq *q)
{
	r[REG_PATH] = atomic_load_explicit(&q->path, memory_order_acquire);
	if (r[REG_PATH] == NORTH_RX_OFF)
		return;
	if (r[REG_PATH] >= NORTH_RX_POLL)
		poll_regs(r, &q->poll);
	else
		ring_regs(r, &q->ring);
	side_regs(r, &q->sig, &q->mark);
}

static void
tx_regs(uint32_t *r, const struct north_txq *q)
{
	r[REG_PATH] = atomic_load_explicit(&q->path, memory_order_acquire);
	if (r[REG_PATH] == NORTH_TX_OFF)
		return;
	if (r[REG_PATH] >= NORTH_TX_POLL)
		poll_regs(r, &q->poll);
	else
		ring_regs(r, &q->ring);
	side_regs(r, &q->sig, &q->mark);
}

int
north_get_reg(struct rte_eth_dev *dev, struct rte_dev_reg_info *info)
{
	struct north_local *l = north_local_of(dev);
	const struct rte_eth_dev_data *data = dev->data;
	const uint32_t length = (uint32_t)(data->nb_rx_queues + data->nb_tx_queues) * REG_NB;
	uint32_t *r = info->data;

	info->version = REG_VERSION;
	if (r == NULL) {
		info->length = length;
		info->width = sizeof(uint32_t);
		return 0;
	}
	if (info->offset != 0 || (info->length != 0 && info->length != length))
		return -ENOTSUP; /* all or nothing */
	memset(r, 0, length * sizeof(*r));
	pthread_mutex_lock(&l->lock);
	for (uint16_t i = 0; i < data->nb_rx_queues; i++, r += REG_NB)
		if (data->rx_queues[i] != NULL)
			rx_regs(r, data->rx_queues[i]);
	for (uint16_t i = 0; i < data->nb_tx_queues; i++, r += REG_NB)
		if (data->tx_queues[i] != NULL)
			tx_regs(r, data->tx_queues[i]);
	pthread_mutex_unlock(&l->lock);
	return 0;
}
