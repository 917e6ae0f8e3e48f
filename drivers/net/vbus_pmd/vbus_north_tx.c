/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * Transmit bursts of the north end: linear frames, posted where they lie; reaping for both variants.
 *
 * Threads: one polling thread per queue, inside the queue's in-burst mark; the control side drains
 * the ring when no burst runs (ADR-0002).
 * Ownership: an entry that south holds owns the mbuf, or the bounce slots, that its private cookie
 * names. Finished entries are looked for in batches, so that the descriptor south is working on is
 * left alone.
 */
#include "vbus_north.h"

#include <rte_mempool.h>

/* ---- reaping ------------------------------------------------------------------------------------- */

uint32_t
north_tx_free_mixed(struct north_txq *q, const uint64_t *cookies, uint32_t n)
{
	struct rte_mbuf *m[NORTH_CHUNK];
	uint32_t nb = 0, nb_void = 0;

	for (uint32_t i = 0; i < n; i++) {
		if (cookies[i] == 0)
			nb_void++;
		else if (cookies[i] & 1)
			north_bounce_put(q, cookies[i]);
		else
			m[nb++] = (struct rte_mbuf *)(uintptr_t)cookies[i];
	}
	if (nb > 0)
		rte_pktmbuf_free_bulk(m, nb);
	return nb_void;
}

static inline void
tx_free(struct north_txq *q, const uint64_t *cookies, uint32_t n)
{
	/* The application promised: one pool, one reference, one segment. */
	if (likely(q->fast_free && q->nb_bounced == 0)) {
		const struct rte_mbuf *m = (const struct rte_mbuf *)(uintptr_t)cookies[0];

		rte_mempool_put_bulk(m->pool, (void *const *)(uintptr_t)cookies, n);
		return;
	}
	north_tx_free_mixed(q, cookies, n);
}

uint32_t
north_tx_reap(struct north_txq *q, uint32_t n)
{
	uint64_t cookies[NORTH_CHUNK];
	uint32_t got, total = 0;

	while (total < n) {
		got = vbus_ioq_north_reap(&q->ring, cookies, RTE_MIN(n - total, NORTH_CHUNK));
		if (got == 0)
			break;
		tx_free(q, cookies, got);
		total += got;
	}
	return total;
}

/* Before a burst: a batch, when its last entry is finished; more when the ring has no room. */
static inline void
tx_reap_before(struct north_txq *q, uint32_t nb)
{
	const struct vbus_ioq_north *r = &q->ring;

	if (r->nb_used >= q->reap_at) {
		uint32_t last = vbus_ioq_advance(r->head, NORTH_CHUNK - 1, r->count);

		/* Relaxed: reap looks at each entry again, with the order that it needs. */
		if (vbus_peer_load_owner(&r->desc[last].sown) == IOQ_SOWN_NORTH)
			north_tx_reap(q, 2 * NORTH_CHUNK);
	}
	if (unlikely(vbus_ioq_north_room(r) < nb))
		north_tx_reap(q, r->nb_used);
}

/* ---- linear -------------------------------------------------------------------------------------- */

/* Another pool, several segments, foreign memory, checksums for a south without SG. */
int
north_tx_linear_slow(struct north_txq *q, struct rte_mbuf *m, struct vbus_ioq_entry *e)
{
	int slot;

	if (m->pkt_len < NORTH_FRAME_MIN) {
		q->stats.drop_len++;
		goto drop;
	}
	if (m->ol_flags & RTE_MBUF_F_TX_TCP_SEG) {
		q->stats.drop_tso++;
		goto drop;
	}
	if (m->ol_flags & VBUS_OFFLOAD_TX_FLAGS & q->slow_flags) {
		if (vbus_offload_finish_tx_csum(m) != 0) {
			q->stats.drop_offload++;
			goto drop;
		}
		q->stats.csum_done++;
	}
	if (m->nb_segs == 1 && RTE_MBUF_DIRECT(m) && north_pools_find(q->pools, m->pool)) {
		q->known_pool = m->pool;
		e->cookie = (uintptr_t)m;
		e->ptr = north_mbuf_addr(m, q->addr_off) + m->data_off;
		e->len = m->data_len;
		return 1;
	}
	slot = north_bounce_copy(q, m);
	if (slot == -ENOBUFS) {
		q->stats.bounce_full++;
		return slot;
	}
	if (slot < 0) {
		q->stats.drop_size++;
		goto drop;
	}
	e->cookie = NORTH_COOKIE_BOUNCE(slot);
	e->ptr = q->bounce_addr + (uint64_t)slot * q->bounce_len;
	e->len = m->pkt_len;
	rte_pktmbuf_free(m);
	return 1;
drop:
	rte_pktmbuf_free(m);
	return 0;
}

static inline uint16_t
tx_linear(struct north_txq *q, struct rte_mbuf **pkts, uint16_t nb)
{
	struct vbus_ioq_entry e[NORTH_CHUNK];
	uint64_t bytes = 0, packets = 0;
	uint16_t done = 0;
	bool stuck = false;

	tx_reap_before(q, nb);
	while (done < nb && !stuck) {
		uint32_t room = vbus_ioq_north_room(&q->ring), k = 0;

		room = RTE_MIN(room, NORTH_CHUNK);
		if (room == 0) {
			q->stats.ring_full++;
			break;
		}
		for (; done < nb && k < room; done++) {
			struct rte_mbuf *m = pkts[done];

			if (likely(north_tx_is_straight(q, m))) {
				e[k].cookie = (uintptr_t)m;
				e[k].ptr = north_mbuf_addr(m, q->addr_off) + m->data_off;
				e[k].len = m->data_len;
			} else {
				int ret = north_tx_linear_slow(q, m, &e[k]);

				if (ret == 0)
					continue;
				if (ret < 0) {
					stuck = true;
					break;
				}
			}
			bytes += e[k].len;
			k++;
		}
		packets += vbus_ioq_north_push(&q->ring, e, k);
	}
	if (packets > 0)
		north_signal(&q->sig, q->shm, &q->stats.signals);
	q->stats.packets += packets;
	q->stats.bytes += bytes;
	q->stats.bursts += packets > 0;
	return done;
}

/* ---- entries ------------------------------------------------------------------------------------- */

uint16_t
north_tx_burst(void *txq, struct rte_mbuf **pkts, uint16_t nb)
{
	struct north_txq *q = txq;
	uint32_t path, epoch;
	uint16_t n = 0;

	vbus_mark_enter(&q->mark);
	/* Acquire: the ring as the control side left it. Partner: the store in north_ctrl_publish(). */
	path = atomic_load_explicit(&q->path, memory_order_acquire);
	if (likely(path != NORTH_TX_OFF)) {
		/* Acquire: the table of pools of this epoch. Partner: pools_changed(). */
		epoch = atomic_load_explicit(&q->pools->epoch, memory_order_acquire);
		if (unlikely(epoch != q->known_epoch)) {
			q->known_epoch = epoch;
			q->known_pool = NULL;
		}
		if (likely(path == NORTH_TX_POLL)) {
			n = north_tx_poll(q, pkts, nb);
		} else if (path == NORTH_TX_FAR) {
			n = north_tx_far(q, pkts, nb);
		} else if (path == NORTH_TX_LINEAR) {
			n = tx_linear(q, pkts, nb);
		} else {
			tx_reap_before(q, nb);
			n = north_tx_sg(q, pkts, nb);
		}
	}
	vbus_mark_leave(&q->mark);
	return n;
}

int
north_tx_done_cleanup(void *txq, uint32_t free_cnt)
{
	struct north_txq *q = txq;
	uint32_t path, n = 0;

	vbus_mark_enter(&q->mark);
	path = atomic_load_explicit(&q->path, memory_order_acquire);
	if (path >= NORTH_TX_POLL)
		n = north_poll_reap(q, free_cnt != 0 ? free_cnt : UINT32_MAX);
	else if (path != NORTH_TX_OFF)
		n = north_tx_reap(q, free_cnt != 0 ? free_cnt : q->ring.nb_used);
	vbus_mark_leave(&q->mark);
	return (int)n;
}

void
north_tx_drain(struct north_txq *q)
{
	uint64_t cookies[NORTH_CHUNK];
	uint32_t n;

	if (q->sw != NULL)
		north_poll_tx_drain(q);
	if (q->ring.cookies == NULL)
		return;
	while ((n = vbus_ioq_north_reclaim(&q->ring, cookies, NORTH_CHUNK)) > 0)
		north_tx_free_mixed(q, cookies, n);
	q->ring.cookies = NULL; /* the rest stays readable, see north_rx_drain() */
	q->known_pool = NULL;
}
