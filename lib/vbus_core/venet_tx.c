/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * Frames to north: into the buffers of its receive ring, copied once (doc/abi.md sections 4, 5, 7).
 *
 * Runs on the polling thread of the tx queue, which owns struct venet_txq but for the path pointer.
 * Nothing here locks, waits or takes memory. One body, made three times: for linear
 * buffers, for sg descriptors (L4RO; what only they need is in venet_tx_sg.c), and for what is not plain
 * on a poll ring (venet_poll_tx.c).
 *
 * An mbuf may be shared with another port (a flooded frame), so it is only read: checksums that
 * north does not complete are computed from the mbuf and put into the copy, segments are cut while
 * copying.
 */

#include "venet_internal.h"
#include "venet_mbuf.h"

#include <rte_ip.h>

#define TX_SLOT_ROOM_MIN 60u /* what has less room is no buffer for frames */

/** Look for up to @p nb free buffers; those used before have been pushed. */
static __rte_always_inline void
slots_peek(struct venet_txq *q, const struct venet_path *p, struct venet_tx_slots *s, uint32_t nb,
	enum venet_tx_mode mode)
{
	struct venet_reach at = venet_reach(&q->mc, VENET_FRAME_MAX_VLAN);
	uint32_t i;

	s->used = 0;
	if (mode == VENET_TX_POLL)
		venet_poll_slots(p, s, RTE_MIN(nb, VENET_BURST));
	else
		s->nb = vbus_ioq_south_produce_peek(&p->to_north.q, s->e, RTE_MIN(nb, VENET_BURST));
	if (mode == VENET_TX_L4RO)
		venet_l4ro_slots(q, p, s);
	for (i = 0; i < s->nb; i++) {
		/* The frame that it meets is not known yet: as much as any frame needs. */
		uint32_t len = (uint32_t)RTE_MIN(s->e[i].len, (uint64_t)VENET_FRAME_MAX_VLAN);

		s->dst_peer[i] = unlikely(len == 0)
					 ? NULL
					 : venet_reach_ptr(&at, p->view, &q->mc, s->e[i].ptr, len,
						   VENET_FRAME_MAX_VLAN);
		if (likely(s->dst_peer[i] != NULL))
			rte_prefetch0_write(s->dst_peer[i]);
	}
}

static __rte_always_inline void
slots_push(const struct venet_path *p, struct venet_tx_slots *s, enum venet_tx_mode mode)
{
	if (mode == VENET_TX_L4RO)
		vbus_ioq_south_produce_push_keep(&p->to_north.q, s->used);
	else if (mode == VENET_TX_POLL)
		venet_poll_push(p, s);
	else
		vbus_ioq_south_produce_push(&p->to_north.q, s->e, s->used);
}

/** The slot at s->used goes back to north with nothing in it. */
static void
slot_return(struct venet_tx_slots *s, enum venet_tx_mode mode)
{
	static const struct vbus_offload none;

	if (mode != VENET_TX_L4RO)
		s->e[s->used].len = 0;
	else if (s->sg_peer[s->used] != NULL)
		venet_l4ro_commit(s, 0, &none);
	s->used++;
}

static __rte_always_inline void
slot_commit(struct venet_txq *q, const struct venet_path *p, struct venet_tx_slots *s, uint32_t len,
	const struct vbus_offload *o, enum venet_tx_mode mode)
{
	static const struct vbus_offload none;

	if (mode == VENET_TX_L4RO)
		venet_l4ro_commit(s, len, o != NULL ? o : &none);
	else
		s->e[s->used].len = len;
	if (mode == VENET_TX_POLL && o != NULL && o->flags != 0)
		venet_poll_meta(p, s, o);
	s->used++;
	q->stats.packets++;
	q->stats.bytes += len;
}

/** Is the slot at s->used one that frames can go to? If not it is handed back, the frame dropped. */
static __rte_always_inline bool
slot_usable(struct venet_txq *q, struct venet_tx_slots *s, uint32_t len, enum venet_tx_mode mode)
{
	if (mode == VENET_TX_L4RO && unlikely(s->sg_peer[s->used] == NULL)) {
		q->stats.drop_sg++;
		slot_return(s, mode);
		return false;
	}
	if (likely(s->e[s->used].len >= len))
		return true;
	q->stats.drop_room++;
	if (s->e[s->used].len < TX_SLOT_ROOM_MIN)
		slot_return(s, mode);
	return false;
}

uint32_t
venet_copy_chain(uint8_t *dst, const struct rte_mbuf *m, uint32_t off, uint32_t len)
{
	uint32_t done = 0;

	for (; m != NULL && done < len; m = m->next) {
		uint32_t n;

		if (off >= m->data_len) {
			off -= m->data_len;
			continue;
		}
		n = RTE_MIN(m->data_len - off, len - done);
		memmove(dst + done, rte_pktmbuf_mtod_offset(m, const void *, off), n);
		done += n;
		off = 0;
	}
	return done;
}

/** The buffer is not in one piece here: over as many extents as it takes. @return 0, -EFAULT, -EINVAL */
static __rte_noinline int
copy_out_slow(struct venet_txq *q, const struct venet_path *p, uint64_t iova,
	const struct rte_mbuf *m, const struct vbus_offload_plan *plan)
{
	const struct venet_piece whole = {.iova = iova, .len = m->pkt_len};
	uint32_t off = 0;
	uint32_t i;

	for (; m != NULL; m = m->next) {
		if (m->data_len > whole.len - off)
			return -EINVAL;
		if (m->data_len != 0 && venet_write(p, &q->mc, &whole, off,
						rte_pktmbuf_mtod(m, const void *), m->data_len) < 0)
			return -EFAULT;
		off += m->data_len;
	}
	for (i = 0; plan != NULL && i < plan->nb_patches; i++)
		if (venet_write(p, &q->mc, &whole, plan->patch[i].off, &plan->patch[i].val, 2) < 0)
			return -EFAULT;
	return off == whole.len ? 0 : -EINVAL;
}

/** Put one frame into the slot at s->used, which is there. Sent or dropped, and counted. */
static __rte_always_inline void
put_frame(struct venet_txq *q, const struct venet_path *p, struct venet_tx_slots *s,
	const struct rte_mbuf *m, const struct vbus_offload_plan *plan, enum venet_tx_mode mode)
{
	const uint32_t len = m->pkt_len;
	uint8_t *dst = s->dst_peer[s->used];
	int ret = 0;

	if (!slot_usable(q, s, len, mode))
		return;
	if (unlikely(dst == NULL)) {
		ret = copy_out_slow(q, p, s->e[s->used].ptr, m, plan);
	} else {
		if (likely(m->nb_segs == 1)) {
			venet_copy(dst, rte_pktmbuf_mtod(m, const uint8_t *), len);
		} else {
			q->stats.multi_seg++;
			if (venet_copy_chain(dst, m, 0, len) != len)
				ret = -EINVAL;
		}
		if (plan != NULL)
			venet_patch(dst, len, plan);
	}
	if (likely(ret == 0)) {
		slot_commit(q, p, s, len, plan != NULL ? &plan->o : NULL, mode);
	} else if (ret == -EFAULT) {
		q->stats.drop_addr++;
		slot_return(s, mode);
	} else {
		q->stats.drop_len++;
	}
}

/**
 * One segment into a buffer that is not in one piece here: the payload in parts, summed on the way;
 * the headers, which hold the sum, last.
 * @return 0, -EFAULT: the buffer is bad (the segment is done with all the same)
 */
static __rte_noinline int
copy_segment_slow(struct venet_txq *q, const struct venet_path *p, uint64_t iova,
	struct vbus_gso *g, const struct rte_mbuf *m, uint32_t n)
{
	const uint32_t hdr_len = g->hdr_len;
	const struct venet_piece whole = {.iova = iova, .len = hdr_len + n};
	uint8_t part[512]; /* even: the sum is one of 16-bit words */
	uint32_t sum = 0;
	uint32_t at, k;
	int ret = 0;

	for (at = 0; at < n && ret == 0; at += k) {
		k = RTE_MIN(n - at, (uint32_t)sizeof(part));
		venet_copy_chain(part, m, hdr_len + g->done + at, k);
		sum += rte_raw_cksum(part, k); /* at most 128 parts of 16 bits */
		ret = venet_write(p, &q->mc, &whole, hdr_len + at, part, k);
	}
	sum = (sum >> 16) + (sum & 0xffff);
	sum = (sum >> 16) + (sum & 0xffff);
	vbus_gso_emit(g, part, (uint16_t)sum);
	return ret == 0 ? venet_write(p, &q->mc, &whole, 0, part, hdr_len) : ret;
}

/** One segment of a TSO frame into the slot at s->used. */
static void
put_segment(struct venet_txq *q, const struct venet_path *p, struct venet_tx_slots *s,
	struct vbus_gso *g, const struct rte_mbuf *m, enum venet_tx_mode mode)
{
	const uint32_t n = vbus_gso_next_len(g);
	const uint32_t len = g->hdr_len + n;
	uint8_t *dst = s->dst_peer[s->used];

	if (!slot_usable(q, s, len, mode)) {
		g->done += n;
		return;
	}
	if (unlikely(dst == NULL)) {
		if (copy_segment_slow(q, p, s->e[s->used].ptr, g, m, n) < 0) {
			q->stats.drop_addr++;
			slot_return(s, mode);
			return;
		}
	} else {
		venet_copy_chain(dst + g->hdr_len, m, g->hdr_len + g->done, n);
		vbus_gso_emit(g, dst, rte_raw_cksum(dst + g->hdr_len, n));
	}
	slot_commit(q, p, s, len, NULL, mode);
}

/** Free buffers, of max that are looked at. */
static uint32_t
free_count(const struct venet_path *p, uint32_t max, enum venet_tx_mode mode)
{
	if (mode == VENET_TX_POLL)
		return vbus_poll_south_count(&p->poll_to, RTE_MIN(max, p->poll_to.r.mask + 1));
	return vbus_ioq_south_produce_count(&p->to_north.q, max);
}

/** Cut a TSO frame. @return 0: done with it; -ENOBUFS: not enough buffers now, nothing happened */
static int
put_tso(struct venet_txq *q, const struct venet_path *p, struct venet_tx_slots *s,
	const struct rte_mbuf *m, const struct vbus_offload_plan *plan, enum venet_tx_mode mode)
{
	uint8_t buf[VBUS_HDR_MAX];
	const struct vbus_hdr *h = &plan->hdr;
	uint32_t hdr_len = (uint32_t)h->l2_len + h->l3_len + h->l4_len;
	const uint8_t *hdr = rte_pktmbuf_read(m, 0, hdr_len, buf);
	struct vbus_gso g;
	uint32_t nb;

	if (hdr == NULL ||
		vbus_gso_start(&g, hdr, hdr_len, m->pkt_len, h, m->tso_segsz, h->v6) < 0) {
		q->stats.drop_offload++;
		return 0;
	}
	nb = vbus_gso_count(&g);
	if (nb > (mode == VENET_TX_POLL ? p->poll_to.r.mask + 1 : p->to_north.q.count)) {
		q->stats.drop_offload++;
		return 0;
	}
	/* All or nothing. Those used and not yet pushed are still ours and are counted too. */
	if (free_count(p, s->used + nb, mode) < s->used + nb)
		return -ENOBUFS;
	q->stats.gso_done++;
	while (!vbus_gso_done(&g)) {
		if (s->used == s->nb) {
			slots_push(p, s, mode);
			slots_peek(q, p, s, nb, mode);
			if (s->nb == 0)
				break; /* north took a buffer back: its loss */
		}
		put_segment(q, p, s, &g, m, mode);
	}
	return 0;
}

/** Does north take what this plan leaves to it? */
static bool
north_takes(const struct venet_path *p, const struct vbus_offload *o)
{
	uint32_t need = VENET_CAP_SG;

	if (o->flags & VENET_SG_FLAG_GSO)
		need |= o->gso_type == VENET_GSO_TYPE_TCPV6 ? VENET_CAP_TSO6 : VENET_CAP_TSO4;
	if (o->flags & VENET_SG_FLAG_ECN)
		need |= VENET_CAP_ECN;
	return (p->l4ro & need) == need;
}

/** As venet_l4ro_frame(), for either mode that has frames of several pieces; and it pushes when it must. */
static int
large_frame(struct venet_txq *q, const struct venet_path *p, struct venet_tx_slots *s,
	const struct rte_mbuf *m, const struct vbus_offload_plan *plan, enum venet_tx_mode mode)
{
	int ret;

	if (mode == VENET_TX_L4RO)
		return venet_l4ro_frame(q, p, s, m, plan);
	ret = venet_poll_frame(q, p, s, m, plan);
	if (ret != -ENOBUFS)
		return ret;
	/* As many were looked for as there are frames. */
	venet_poll_push(p, s);
	slots_peek(q, p, s, VENET_BURST, VENET_TX_POLL);
	return s->nb == 0 ? -ENOBUFS : venet_poll_frame(q, p, s, m, plan);
}

/** A frame larger than its slot. @return 0, -ENOBUFS as put_tso() */
static int
put_large(struct venet_txq *q, const struct venet_path *p, struct venet_tx_slots *s,
	const struct rte_mbuf *m, const struct vbus_offload_plan *plan, enum venet_tx_mode mode)
{
	int ret = large_frame(q, p, s, m, plan, mode);

	if (ret == 0) {
		s->used++;
		q->stats.packets++;
		q->stats.bytes += m->pkt_len;
		q->stats.multi_seg += m->nb_segs > 1;
		return 0;
	}
	/* More buffers come. Pages may be fewer than that, for ever. */
	if (ret == -ENOBUFS && mode == VENET_TX_POLL)
		return ret;
	/* North's pages do not suffice: small segments need none. */
	if (ret != -EFAULT && plan->o.flags & VENET_SG_FLAG_GSO)
		return put_tso(q, p, s, m, plan, mode);
	if (ret == -ENOSPC) {
		q->stats.drop_room++;
	} else if (ret == -ENOBUFS) {
		q->stats.drop_page++;
	} else {
		q->stats.drop_addr++;
		slot_return(s, mode);
	}
	return 0;
}

/** A frame with requests, or one that needs pages. @return 0: done with it; -ENOBUFS: call again */
static __rte_noinline int
put_special(struct venet_txq *q, const struct venet_path *p, struct venet_tx_slots *s,
	const struct rte_mbuf *m, enum venet_tx_mode mode)
{
	struct vbus_offload_plan plan;
	bool pass = mode == VENET_TX_POLL ? (p->l4ro & VENET_CAP_SG) != 0 : mode == VENET_TX_L4RO;
	int ret = vbus_offload_plan_tx(m, pass, &plan);

	if (ret == 0 && pass && plan.o.flags != 0 && !north_takes(p, &plan.o)) {
		pass = false;
		ret = vbus_offload_plan_tx(m, false, &plan);
	}
	if (ret < 0) {
		q->stats.drop_offload++;
		return 0;
	}
	if (!pass && plan.o.flags & VENET_SG_FLAG_GSO)
		return put_tso(q, p, s, m, &plan, mode);
	q->stats.csum_done += !pass && plan.nb_patches != 0;
	if (m->pkt_len > s->e[s->used].len &&
		((mode == VENET_TX_L4RO && s->sg_peer[s->used] != NULL) ||
			(mode == VENET_TX_POLL && p->l4ro & VENET_CAP_SG)))
		return put_large(q, p, s, m, &plan, mode);
	put_frame(q, p, s, m, &plan, mode);
	return 0;
}

static __rte_always_inline uint16_t
tx_burst(struct venet_txq *q, const struct venet_path *p, struct rte_mbuf **pkts, uint16_t nb,
	enum venet_tx_mode mode)
{
	const struct rte_mempool *mp = pkts[0]->pool;
	struct venet_tx_slots s;
	bool starved = false;
	bool bulk = true;
	uint16_t i;

	slots_peek(q, p, &s, nb, mode);
	for (i = 0; i < nb; i++) {
		const struct rte_mbuf *m = pkts[i];

		bulk &= venet_is_bulk(m, mp);
		if (unlikely(m->pkt_len - VENET_FRAME_MIN >
			     VENET_FRAME_MAX_VLAN - VENET_FRAME_MIN)) {
			q->stats.drop_len++;
			continue;
		}
		if (unlikely(s.used == s.nb)) {
			/* Segments took more than one buffer each, or there are no more. */
			slots_push(p, &s, mode);
			slots_peek(q, p, &s, nb - i, mode);
			if (s.nb == 0) {
				starved = true;
				break;
			}
		}
		if (unlikely((m->ol_flags & VBUS_OFFLOAD_TX_FLAGS) != 0 ||
			     (mode != VENET_TX_LINEAR && m->pkt_len > s.e[s.used].len))) {
			if (put_special(q, p, &s, m, mode) < 0) {
				starved = true;
				break;
			}
		} else {
			put_frame(q, p, &s, m, NULL, mode);
		}
	}
	slots_push(p, &s, mode);
	q->stats.bursts++;
	q->stats.ring_full += starved;
	/* Once per burst, and also when a frame found no buffer: a driver of old swallows signals
	 * (section 7.1). Suppressed by the signal itself while one is pending.
	 */
	q->stats.signals += mode == VENET_TX_POLL ? venet_poll_signal(&p->to_north)
						  : venet_signal(&p->to_north);
	if (likely(i != 0))
		venet_free_bulk(pkts, i, bulk);
	return i;
}

uint16_t
venet_tx_linear(
	struct venet_txq *q, const struct venet_path *p, struct rte_mbuf **pkts, uint16_t nb)
{
	return tx_burst(q, p, pkts, nb, VENET_TX_LINEAR);
}

uint16_t
venet_tx_l4ro(struct venet_txq *q, const struct venet_path *p, struct rte_mbuf **pkts, uint16_t nb)
{
	return tx_burst(q, p, pkts, nb, VENET_TX_L4RO);
}

uint16_t
venet_tx_poll_any(
	struct venet_txq *q, const struct venet_path *p, struct rte_mbuf **pkts, uint16_t nb)
{
	return tx_burst(q, p, pkts, nb, VENET_TX_POLL);
}

uint16_t
vbus_venet_tx_burst(struct vbus_venet *v, uint16_t queue, struct rte_mbuf **pkts, uint16_t nb)
{
	const struct venet_path *p;
	struct venet_txq *q;

	if (unlikely(queue >= v->nb_tx))
		return 0;
	q = &v->pair[queue].tx;
	/* V1: acquire, pairs with the release V0 in venet_pair.c. */
	p = atomic_load_explicit(&q->path, memory_order_acquire);
	if (unlikely(p == NULL || nb == 0))
		return 0;
	if (unlikely(!p->tx_plain))
		return venet_tx_several(v, queue, p, pkts, RTE_MIN(nb, VENET_BURST));
	return p->tx_burst(q, p, pkts, RTE_MIN(nb, VENET_BURST));
}

uint32_t
vbus_venet_tx_free(struct vbus_venet *v, uint16_t queue)
{
	uint32_t n = 0;
	uint32_t i;

	for (i = queue; i < v->nb_pairs; i += v->nb_tx) {
		const struct venet_path *p = atomic_load_explicit(
			&v->pair[i].tx.path, memory_order_acquire);

		if (p != NULL && p->tx_shared && i >= p->nb_pairs)
			p = &v->pair[p->tx_pair].path;
		if (p != NULL)
			n += p->poll ? vbus_poll_south_count(&p->poll_to, p->poll_to.r.mask + 1)
				     : vbus_ioq_south_produce_count(
					       &p->to_north.q, p->to_north.q.count);
	}
	return n;
}
