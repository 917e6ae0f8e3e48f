/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * Receive bursts of the north end with L4RO: scattered frames, unfinished checksums, large receive
 * (doc/abi.md sections 4, 5 and 7.10).
 *
 * Threads: one polling thread per queue, inside its in-burst mark.
 * Ownership: each ring entry has an sg descriptor of the pool and a first buffer (heads[]). Further
 * fragments come out of the page ring: a page has a number, and south may write its mbuf as long as
 * page_mbufs[number] says so. South's descriptor is copied once and the copy is checked; a page
 * number that is not out is a fault of the frame.
 */
#include "vbus_north.h"

#include <rte_prefetch.h>

struct l4ro_copy {
	struct venet_sg head;
	struct venet_iov iov[NORTH_RX_IOVS_MAX];
};

static inline uint8_t *
l4ro_slot(const struct north_rxq *q, uint32_t idx)
{
	return q->sg_base + (size_t)idx * q->sg_slot;
}

/* ---- refill -------------------------------------------------------------------------------------- */

/* What north gives with each empty buffer. */
static void
l4ro_write_slot(struct north_rxq *q, uint32_t idx)
{
	struct venet_sg *sg = (struct venet_sg *)(void *)l4ro_slot(q, idx);
	struct venet_iov *iov = (struct venet_iov *)(void *)(sg + 1);

	vbus_peer_store64(&sg->cookie, idx);
	vbus_peer_store32(&sg->flags, 0);
	vbus_peer_store32(&sg->len, 0);
	vbus_peer_store32(&sg->count, 1);
	vbus_peer_store64(
		&iov->ptr, north_mbuf_addr(q->heads[idx], q->addr_off) + RTE_PKTMBUF_HEADROOM);
	vbus_peer_store32(&iov->len, q->room);
}

/* First buffers for up to n entries from the tail on. Entries that can be posted. */
static uint32_t
l4ro_give_heads(struct north_rxq *q, uint32_t n)
{
	struct rte_mbuf *m[NORTH_CHUNK];
	uint32_t got, used = 0, i, idx = q->ring.tail;

	got = north_rx_alloc(q, m, n, &q->stats.nombuf);
	for (i = 0; i < n; i++) {
		if (q->heads[idx] == NULL) { /* else it is still there: its frame was none */
			if (used == got)
				break;
			q->heads[idx] = m[used++];
		}
		l4ro_write_slot(q, idx);
		idx = vbus_ioq_next(idx, q->ring.count);
	}
	if (used < got)
		rte_mempool_put_bulk(q->pool, (void *const *)&m[used], got - used);
	return i;
}

uint32_t
north_l4ro_refill(struct north_rxq *q)
{
	struct vbus_ioq_entry e[NORTH_CHUNK];
	uint32_t n, want, posted = 0;

	while ((want = vbus_ioq_north_post_room(&q->ring)) > 0) {
		want = RTE_MIN(want, NORTH_CHUNK);
		n = l4ro_give_heads(q, want);
		if (unlikely(q->ring.nb_filled < q->ring.count)) {
			/* Written once, on the first lap, and never again (7.10). */
			for (uint32_t i = 0; i < n; i++) {
				e[i].cookie = vbus_ioq_advance(q->ring.tail, i, q->ring.count);
				e[i].ptr = e[i].cookie * q->sg_slot;
				e[i].len = VENET_SG_SIZE(q->nb_iovs);
			}
			vbus_ioq_north_post(&q->ring, e, n);
		} else {
			vbus_ioq_north_repost(&q->ring, n);
		}
		posted += n;
		if (n < want)
			break;
	}
	return posted;
}

void
north_l4ro_refill_pages(struct north_rxq *q)
{
	struct vbus_ioq_entry e[NORTH_CHUNK];
	struct rte_mbuf *m[NORTH_CHUNK];
	uint32_t n, pushed, want;

	while (q->nb_page_free > 0) {
		want = RTE_MIN(q->nb_page_free, NORTH_CHUNK);
		n = north_rx_alloc(q, m, want, &q->stats.page_nombuf);
		for (uint32_t i = 0; i < n; i++) {
			e[i].cookie = q->page_free[q->nb_page_free - 1 - i];
			e[i].ptr = north_mbuf_addr(m[i], q->addr_off) + RTE_PKTMBUF_HEADROOM;
			e[i].len = q->room;
			q->page_mbufs[e[i].cookie] = m[i];
		}
		pushed = vbus_ioq_north_push_inuse(&q->pages, e, n);
		for (uint32_t i = pushed; i < n; i++) /* south still reads the entry: later */
			q->page_mbufs[e[i].cookie] = NULL;
		if (pushed < n)
			rte_mempool_put_bulk(q->pool, (void *const *)&m[pushed], n - pushed);
		/* The numbers that were pushed are the last of the list, in reverse. */
		q->nb_page_free -= pushed;
		if (pushed < want)
			break;
	}
}

/* ---- one frame ----------------------------------------------------------------------------------- */

/* The page behind a number that south wrote. NULL: it is not out. */
static inline struct rte_mbuf *
l4ro_take_page(struct north_rxq *q, uint64_t number)
{
	struct rte_mbuf *m;

	if (unlikely(number >= q->nb_pages))
		return NULL;
	m = q->page_mbufs[number];
	if (unlikely(m == NULL))
		return NULL;
	q->page_mbufs[number] = NULL;
	q->page_free[q->nb_page_free++] = (uint16_t)number;
	return m;
}

/* The fragments after the first. False: the chain so far is good to be freed. */
static bool
l4ro_chain(struct north_rxq *q, const struct l4ro_copy *c, struct rte_mbuf *head)
{
	struct rte_mbuf *last = head, *m;
	uint32_t total = head->data_len;

	for (uint32_t i = 1; i < c->head.count; i++) {
		m = l4ro_take_page(q, c->iov[i].ptr);
		if (unlikely(m == NULL)) {
			q->stats.drop_page++;
			return false;
		}
		north_rx_fill(q, m, 0);
		last->next = m;
		last = m;
		head->nb_segs++;
		if (unlikely(c->iov[i].len == 0 || c->iov[i].len > q->room)) {
			q->stats.drop_sg++;
			return false;
		}
		m->data_len = (uint16_t)c->iov[i].len;
		total += m->data_len;
	}
	head->pkt_len = total;
	if (unlikely(total != c->head.len)) {
		q->stats.drop_sg++;
		return false;
	}
	return true;
}

bool
north_rx_offload(struct north_rxq *q, const struct vbus_offload *o, struct rte_mbuf *m)
{
	bool gso = (o->flags & VENET_SG_FLAG_GSO) != 0;

	if ((gso && !q->lro_app) || vbus_offload_to_rx(m, o) != 0)
		goto bad;
	q->stats.lro += gso;
	if ((o->flags & VENET_SG_FLAG_NEEDS_CSUM) == 0)
		return true;
	if (q->csum_app) {
		q->stats.csum_none++;
		return true;
	}
	if (vbus_offload_finish_csum(m, o->csum_start, o->csum_offset) != 0)
		goto bad;
	m->ol_flags &= ~RTE_MBUF_F_RX_L4_CKSUM_MASK;
	q->stats.csum_done++;
	return true;
bad:
	q->stats.drop_offload++;
	return false;
}

static bool
l4ro_offload(struct north_rxq *q, const struct venet_sg *sg, struct rte_mbuf *m)
{
	const struct vbus_offload o = {
		.flags = sg->flags,
		.csum_start = sg->csum.start,
		.csum_offset = sg->csum.offset,
		.gso_type = sg->gso.type,
		.gso_hdrlen = sg->gso.hdrlen,
		.gso_size = sg->gso.size,
	};

	return north_rx_offload(q, &o, m);
}

/* The frame in the descriptor of entry idx. NULL: none (counted). */
static inline struct rte_mbuf *
l4ro_frame(struct north_rxq *q, uint32_t idx)
{
	const uint8_t *slot_peer = l4ro_slot(q, idx);
	struct rte_mbuf *m = q->heads[idx];
	struct l4ro_copy c;

	/* The head and the one iov that there always is; the rest when there are more. */
	vbus_peer_copy_in(&c, slot_peer, VENET_SG_SIZE(1));
	if (c.head.len == 0) {
		q->stats.empty++;
		return NULL;
	}
	if (unlikely(c.head.count == 0 || c.head.count > q->nb_iovs || c.iov[0].len == 0 ||
		     c.iov[0].len > q->room)) {
		q->stats.drop_sg++;
		return NULL;
	}
	if (c.head.count > 1)
		vbus_peer_copy_in(&c.iov[1], slot_peer + VENET_SG_SIZE(1),
			(c.head.count - 1) * sizeof(c.iov[0]));
	north_rx_fill(q, m, c.iov[0].len);
	q->heads[idx] = NULL;
	if (unlikely(!l4ro_chain(q, &c, m)))
		goto drop;
	if (unlikely(m->pkt_len < NORTH_FRAME_MIN || m->pkt_len > VENET_FRAME_MAX_VLAN)) {
		q->stats.drop_len++;
		goto drop;
	}
	if (unlikely(m->pkt_len > q->frame_max && (c.head.flags & VENET_SG_FLAG_GSO) == 0)) {
		q->stats.drop_mtu++;
		goto drop;
	}
	if (c.head.flags != 0 && !l4ro_offload(q, &c.head, m))
		goto drop;
	q->stats.multi_seg += m->nb_segs > 1;
	return m;
drop:
	rte_pktmbuf_free(m);
	return NULL;
}

uint16_t
north_rx_l4ro(struct north_rxq *q, struct rte_mbuf **pkts, uint16_t nb)
{
	struct vbus_ioq_entry e[NORTH_CHUNK];
	uint64_t bytes = 0;
	uint32_t n, want;
	uint16_t done = 0;

	do {
		want = RTE_MIN((uint32_t)(nb - done), NORTH_CHUNK);
		n = vbus_ioq_north_pop(&q->ring, e, want);
		for (uint32_t i = 0; i < n; i++) {
			rte_prefetch0(l4ro_slot(q, (uint32_t)e[i].cookie));
			rte_prefetch0(q->heads[e[i].cookie]);
		}
		for (uint32_t i = 0; i < n; i++) {
			struct rte_mbuf *m = l4ro_frame(q, (uint32_t)e[i].cookie);

			if (unlikely(m == NULL))
				continue;
			bytes += m->pkt_len;
			pkts[done++] = m;
		}
	} while (n == want && done < nb);

	if (q->nb_page_free >= NORTH_CHUNK)
		north_l4ro_refill_pages(q);
	if (vbus_ioq_north_room(&q->ring) >= q->refill_at && north_l4ro_refill(q) > 0)
		north_signal(&q->sig, q->shm, &q->stats.signals);
	q->stats.packets += done;
	q->stats.bytes += bytes;
	q->stats.bursts += done > 0;
	return done;
}
