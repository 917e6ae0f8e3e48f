/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * Frames from north: out of its transmit ring into mbufs, copied once; linear descriptors, and what
 * all variants share (doc/abi.md sections 4, 5, 7). Sg descriptors: venet_rx_sg.c; frames that are
 * cut into segments: venet_rx_gso.c.
 *
 * Runs on the polling thread of the rx queue, which owns struct venet_rxq but for the path pointer.
 * Nothing here locks, waits or takes memory but from the mbuf pool. When that is empty frames stay
 * in north's ring: nothing is lost. A descriptor that is wrong is counted, handed back and passed.
 */

#include "venet_internal.h"

void
venet_rx_refill(struct rte_mempool *mp, struct venet_rx_out *out, uint16_t want)
{
	want = RTE_MIN(want, (uint16_t)(out->nb - out->have));
	if (likely(rte_pktmbuf_alloc_bulk(mp, out->pkts + out->have, want) == 0)) {
		out->have += want;
		return;
	}
	/* Bulk is all or nothing; a pool that runs low still has some. */
	while (want-- > 0) {
		struct rte_mbuf *m = rte_pktmbuf_alloc(mp);

		if (m == NULL)
			return;
		out->pkts[out->have++] = m;
	}
}

bool
venet_rx_spare(struct venet_rx_out *out)
{
	if (out->have <= out->used + 1)
		return false;
	rte_pktmbuf_free_bulk(out->pkts + out->used + 1, (unsigned int)(out->have - out->used - 1));
	out->have = (uint16_t)(out->used + 1);
	return true;
}

int
venet_read(struct venet_reader *r, void *dst, uint32_t len)
{
	uint8_t *to = dst;

	while (len > 0) {
		const struct venet_piece *c = r->piece;
		uint32_t n;

		if (r->left == 0)
			return -EFAULT;
		n = RTE_MIN(c->len - r->off, len);
		if (likely(c->ptr_peer != NULL))
			memcpy(to, c->ptr_peer + r->off, n);
		else if (n != 0 &&
			 vbus_memview_copy_in(r->view, r->mc, to, c->iova + r->off, n) < 0)
			return -EFAULT;
		to += n;
		len -= n;
		r->off += n;
		if (r->off == c->len) {
			r->piece++;
			r->left--;
			r->off = 0;
		}
	}
	return 0;
}

/** Make @p m empty again: what was chained behind it is freed. */
static void
strip(struct rte_mbuf *m)
{
	rte_pktmbuf_free(m->next);
	m->next = NULL;
	m->nb_segs = 1;
	m->data_len = 0;
	m->pkt_len = 0;
}

/** Chain empty mbufs behind @p m until @p len bytes fit. */
static int
grow(const struct venet_path *p, struct rte_mbuf *m, uint32_t len)
{
	struct rte_mbuf *last = m;
	uint32_t room = p->mp_room;

	while (room < len) {
		last->next = rte_pktmbuf_alloc(p->mp);
		if (last->next == NULL)
			/* North must not wait for what can never be. */
			return p->mp->size < m->nb_segs + 1u ? -E2BIG : -ENOMEM;
		last = last->next;
		m->nb_segs++;
		room += p->mp_room;
	}
	return 0;
}

/** Copy a frame behind the empty @p m. Errors leave it to the caller to strip it. */
static int
gather(struct venet_rxq *q, const struct venet_path *p, struct rte_mbuf *m,
	const struct venet_piece *piece, uint32_t nb_pieces, uint32_t len)
{
	struct venet_reader r = {
		.view = p->view, .mc = &q->mc, .piece = piece, .left = nb_pieces, .off = 0};
	struct rte_mbuf *seg = m;
	uint32_t left = len;

	while (left > 0) {
		uint32_t n = RTE_MIN(left, p->mp_room);

		if (unlikely(venet_read(&r, rte_pktmbuf_mtod(seg, void *), n) < 0))
			return -EFAULT;
		seg->data_len = (uint16_t)n;
		seg = seg->next;
		left -= n;
	}
	m->pkt_len = len;
	return 0;
}

int
venet_rx_gather(struct venet_rxq *q, const struct venet_path *p, struct venet_rx_out *out,
	const struct venet_piece *piece, uint32_t nb_pieces, uint32_t len)
{
	struct rte_mbuf *m = out->pkts[out->used];
	int ret = 0;

	if (unlikely(len > p->mp_room)) {
		ret = grow(p, m, len);
		if (ret == -ENOMEM && venet_rx_spare(out)) {
			strip(m);
			ret = grow(p, m, len);
		}
	}
	if (likely(ret == 0))
		ret = gather(q, p, m, piece, nb_pieces, len);
	if (unlikely(ret < 0))
		strip(m);
	return ret;
}

/**
 * A linear frame that is not simply copied: large, or not in one piece here.
 * @return as venet_rx_gather()
 */
static __rte_noinline int
linear_slow(struct venet_rxq *q, const struct venet_path *p, struct venet_rx_out *out,
	const struct vbus_ioq_entry *e)
{
	struct venet_piece piece = {.iova = e->ptr, .len = (uint32_t)e->len};

	piece.ptr_peer = vbus_memview_ptr(p->view, &q->mc, e->ptr, e->len);
	return venet_rx_gather(q, p, out, &piece, 1, (uint32_t)e->len);
}

/** Translate and prefetch; NULL in @p src: a length that no frame has, or not in one piece. @return is any frame large? */
static __rte_always_inline bool
linear_lookup(struct venet_rxq *q, const struct venet_path *p, const struct vbus_ioq_entry *e,
	const uint8_t **src, uint32_t n)
{
	struct venet_reach at = venet_reach(&q->mc, VENET_FRAME_MAX_VLAN);
	uint64_t lens = 0;
	uint32_t i;

	for (i = 0; i < n; i++) {
		lens |= e[i].len;
		src[i] = NULL;
		if (unlikely(e[i].len - VENET_FRAME_MIN > VENET_FRAME_MAX_VLAN - VENET_FRAME_MIN))
			continue;
		src[i] = venet_reach_ptr(
			&at, p->view, &q->mc, e[i].ptr, (uint32_t)e[i].len, VENET_FRAME_MAX_VLAN);
		rte_prefetch0(src[i]);
	}
	return lens > VENET_PREFETCH_NEAR;
}

uint16_t
venet_rx_linear(
	struct venet_rxq *q, const struct venet_path *p, struct rte_mbuf **pkts, uint16_t nb)
{
	struct vbus_ioq_entry e[VENET_BURST];
	const uint8_t *src_peer[VENET_BURST];
	struct venet_rx_out out = {.pkts = pkts, .nb = nb};
	uint64_t bytes = 0;
	uint32_t i;
	uint32_t n;
	bool large;

	n = vbus_ioq_south_consume_peek(&p->from_north.q, e, nb);
	if (n == 0)
		return 0;
	large = linear_lookup(q, p, e, src_peer, n);
	venet_rx_refill(p->mp, &out, (uint16_t)n);
	for (i = 0; i < n; i++) {
		const uint32_t len = (uint32_t)e[i].len;
		struct rte_mbuf *m;
		int ret;

		if (unlikely(out.used == out.have)) {
			q->stats.nombuf++;
			break;
		}
		m = pkts[out.used];
		if (large && i + 1 < n && src_peer[i + 1] != NULL)
			venet_prefetch_rest(src_peer[i + 1], (uint32_t)e[i + 1].len);
		if (likely(src_peer[i] != NULL && len <= p->mp_room)) {
			venet_copy(rte_pktmbuf_mtod(m, uint8_t *), src_peer[i], len);
			m->data_len = (uint16_t)len;
			m->pkt_len = len;
		} else if (e[i].len - VENET_FRAME_MIN > VENET_FRAME_MAX_VLAN - VENET_FRAME_MIN) {
			q->stats.drop_len++;
			continue;
		} else {
			ret = linear_slow(q, p, &out, &e[i]);
			if (ret == -ENOMEM) {
				q->stats.nombuf++;
				break;
			}
			if (ret < 0) {
				q->stats.drop_addr += ret == -EFAULT;
				q->stats.drop_nombuf += ret == -E2BIG;
				continue;
			}
			q->stats.multi_seg += m->nb_segs > 1;
		}
		bytes += len;
		out.used++;
	}
	q->stats.packets += out.used;
	q->stats.bytes += bytes;
	q->stats.bursts++;
	if (unlikely(out.used != out.have))
		rte_pktmbuf_free_bulk(pkts + out.used, (unsigned int)(out.have - out.used));
	vbus_ioq_south_consume_pop(&p->from_north.q, i);
	if (likely(i != 0)) /* after the last of the batch, section 7.3 */
		q->stats.signals += venet_signal(&p->from_north);
	return out.used;
}

/** Nothing was there: where will something be seen? The bit or byte by which north hands the next entry over. */
static void
await_next(struct venet_rxq *q, const struct venet_path *p)
{
	const struct vbus_ioq_south *ioq = &p->from_north.q;
	const struct vbus_poll *r = &p->poll_from.r;
	uint32_t pos;

	if (!p->poll) {
		q->next_mask = 0xff;
		q->next_value = IOQ_SOWN_SOUTH;
		q->next_peer = &ioq->desc_peer[ioq->cur->inuse_head].sown;
		return;
	}
	if (p->keep != NULL)
		return; /* each look gives back what was freed */
	pos = p->poll_from.cur->inuse_head;
	q->next_mask = VENET_POLL_PHASE >> 56;
	q->next_value = (uint8_t)(vbus_poll_desc_phase(r, pos) >> 56);
	q->next_peer = (const uint8_t *)&r->desc[pos & r->mask] +
		       7; /* little-endian: the last one */
}

/** Is it known that there is nothing? Decides about looking only: the entry is read again. */
static __rte_always_inline bool
still_nothing(const struct venet_rxq *q)
{
	return q->next_peer != NULL &&
	       ((vbus_peer_load_owner(q->next_peer) ^ q->next_value) & q->next_mask) != 0;
}

void
vbus_venet_rx_ahead(struct vbus_venet *v, uint32_t step)
{
	const struct venet_rxq *q;

	if (step == 0) {
		rte_prefetch0(v);
		return;
	}
	q = &v->pair[0].rx;
	if (step == 1)
		rte_prefetch0(q);
	else if (atomic_load_explicit(&q->path, memory_order_acquire) != NULL)
		rte_prefetch0(q->next_peer); /* NULL, or another one by now: no harm */
}

uint16_t
vbus_venet_rx_burst(struct vbus_venet *v, uint16_t queue, struct rte_mbuf **pkts, uint16_t nb)
{
	const struct venet_path *p;
	struct venet_rxq *q;
	uint16_t n;

	if (unlikely(queue >= v->nb_rx || nb == 0))
		return 0;
	q = &v->pair[queue].rx;
	/* V1: acquire, pairs with the release V0 in venet_pair.c. */
	p = atomic_load_explicit(&q->path, memory_order_acquire);
	if (p == NULL || still_nothing(q) || unlikely(p->mp == NULL))
		return 0;
	if (unlikely(p->rx_step != 0))
		return venet_rx_several(v, queue, p, pkts, nb);
	n = p->rx_burst(q, p, pkts, RTE_MIN(nb, VENET_BURST));
	if (n == 0)
		await_next(q, p);
	else
		q->next_peer = NULL;
	return n;
}

uint32_t
vbus_venet_rx_count(struct vbus_venet *v, uint16_t queue)
{
	uint32_t n = 0;
	uint32_t i;

	for (i = queue; i < v->nb_pairs; i += v->nb_rx) {
		const struct venet_path *p = atomic_load_explicit(
			&v->pair[i].rx.path, memory_order_acquire);

		if (p != NULL)
			n += p->poll ? vbus_poll_south_count(&p->poll_from, p->poll_from.r.mask + 1)
				     : vbus_ioq_south_consume_count(
					       &p->from_north.q, p->from_north.q.count);
	}
	return n;
}

static bool
intr_enable(struct venet_rxq *q)
{
	const struct venet_path *p;

	atomic_store_explicit(&q->armed, true, memory_order_relaxed);
	/* armed, then path; venet_pair.c stores path, then looks at armed (venet_look_armed()): one of
	 * the two sees the other, and switches north's signal on.
	 */
	atomic_thread_fence(memory_order_seq_cst);
	p = atomic_load_explicit(&q->path, memory_order_acquire);
	if (p == NULL)
		return false;
	/* What came in before the switch is in the ring: it is looked at after enable's fence. */
	if (p->from_north.shm != NULL && vbus_signal_enable(&p->from_north.sig))
		vbus_signal_take(&p->from_north.sig);
	return p->poll ? vbus_poll_south_is_ready(&p->poll_from, 0)
		       : vbus_ioq_south_consume_is_ready(&p->from_north.q, 0);
}

bool
vbus_venet_rx_intr_enable(struct vbus_venet *v, uint16_t queue)
{
	bool waiting = false;
	uint32_t i;

	/* Of all pairs that the queue serves, or would if north had them. */
	for (i = queue; i < v->nb_pairs; i += v->nb_rx)
		waiting |= intr_enable(&v->pair[i].rx);
	return waiting;
}

void
vbus_venet_rx_intr_disable(struct vbus_venet *v, uint16_t queue)
{
	uint32_t i;

	for (i = queue; i < v->nb_pairs; i += v->nb_rx) {
		struct venet_rxq *q = &v->pair[i].rx;
		const struct venet_path *p = atomic_load_explicit(&q->path, memory_order_acquire);

		atomic_store_explicit(&q->armed, false, memory_order_relaxed);
		if (p != NULL && p->from_north.shm != NULL)
			vbus_signal_disable(&p->from_north.sig);
	}
}
