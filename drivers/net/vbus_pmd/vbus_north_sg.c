/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * Transmit bursts of the north end with scatter-gather (doc/abi.md section 5): chains as they are,
 * checksum and segmentation requests passed on to south.
 *
 * Threads: one polling thread per queue, inside its in-burst mark.
 * Ownership: each ring entry has a slot of the descriptor pool; both are written by north while it
 * owns the entry. Frames with memory that south cannot see, or with more fragments than a slot
 * holds, are copied into bounce slots.
 */
#include "vbus_north.h"

#include <errno.h>
#include <string.h>

#include <rte_mempool.h>

_Static_assert(
	sizeof(struct north_sg_slot) == NORTH_TX_SLOT, "slots lie side by side, line-aligned");

static inline struct north_sg_slot *
sg_slot_at(const struct north_txq *q, uint32_t idx)
{
	return (struct north_sg_slot *)(void *)(q->sg_base + (size_t)idx * NORTH_TX_SLOT);
}

static inline void
sg_iov(struct north_sg_slot *s, uint32_t i, uint64_t ptr, uint32_t len)
{
	vbus_peer_store64(&s->iov[i].ptr, ptr);
	vbus_peer_store32(&s->iov[i].len, len);
}

/* Is the segment's buffer in memory that south sees? */
static inline bool
sg_seg_visible(struct north_txq *q, const struct rte_mbuf *m)
{
	const struct rte_mempool *pool = m->pool;

	if (unlikely(!RTE_MBUF_DIRECT(m))) {
		if (RTE_MBUF_HAS_EXTBUF(m))
			return false;
		pool = rte_mbuf_from_indirect((struct rte_mbuf *)(uintptr_t)m)->pool;
	}
	if (likely(pool == q->known_pool))
		return true;
	if (!north_pools_find(q->pools, pool))
		return false;
	q->known_pool = (struct rte_mempool *)(uintptr_t)pool;
	return true;
}

/* The chain as iovs. 0: it has to be copied. */
static inline uint32_t
sg_chain(struct north_txq *q, struct north_sg_slot *s, const struct rte_mbuf *m)
{
	uint32_t n = 0;

	for (; m != NULL; m = m->next) {
		if (m->data_len == 0)
			continue;
		if (n == NORTH_TX_IOVS || !sg_seg_visible(q, m))
			return 0;
		sg_iov(s, n++, north_mbuf_addr(m, q->addr_off) + m->data_off, m->data_len);
	}
	return n;
}

/* The frame's copy as iovs. The number of them, or as north_bounce_copy(). */
static int
sg_bounce(struct north_txq *q, struct north_sg_slot *s, const struct rte_mbuf *m, uint64_t *cookie)
{
	int first = north_bounce_copy(q, m);
	uint32_t left = m->pkt_len, n = 0;

	if (first < 0)
		return first;
	for (uint16_t slot = (uint16_t)first; slot != NORTH_BOUNCE_END;
		slot = q->bounce_next[slot]) {
		uint32_t len = RTE_MIN(left, q->bounce_len);

		sg_iov(s, n++, q->bounce_addr + (uint64_t)slot * q->bounce_len, len);
		left -= len;
	}
	*cookie = NORTH_COOKIE_BOUNCE(first);
	return (int)n;
}

/* What a frame asks for, and what has to change in a copy of it. */
struct sg_work {
	struct vbus_offload o;
	bool copy; /**< the headers are shared with another mbuf: patches go into a copy */
	struct vbus_offload_plan plan;
};

/* What the TX flags ask for, for this south. False: drop, counted. */
static bool
sg_offload(struct north_txq *q, struct rte_mbuf *m, struct sg_work *w)
{
	const struct vbus_offload *o = &w->o;
	int ret = vbus_offload_from_tx(m, &w->o);

	if (ret == -EROFS) {
		ret = vbus_offload_plan_tx(m, true, &w->plan);
		w->o = w->plan.o;
		w->copy = true;
	}
	if (ret != 0) {
		q->stats.drop_offload++;
		return false;
	}
	if ((o->flags & VENET_SG_FLAG_GSO) == 0) {
		q->stats.csum += (o->flags & VENET_SG_FLAG_NEEDS_CSUM) != 0;
		return true;
	}
	if (!(o->gso_type == VENET_GSO_TYPE_TCPV4 && q->tso4) &&
		!(o->gso_type == VENET_GSO_TYPE_TCPV6 && q->tso6)) {
		q->stats.drop_tso++;
		return false;
	}
	q->stats.tso++;
	return true;
}

/* The frame's bytes as iovs, where they lie or copied. As sg_frame(), with the number of iovs. */
static inline int
sg_bytes(struct north_txq *q, struct north_sg_slot *s, struct rte_mbuf *m, const struct sg_work *w,
	uint64_t *cookie)
{
	int n = 0;

	if (likely(!w->copy))
		n = (int)sg_chain(q, s, m);
	if (likely(n > 0))
		return n;
	n = sg_bounce(q, s, m, cookie);
	if (n == -ENOBUFS)
		q->stats.bounce_full++;
	if (n == -EMSGSIZE)
		q->stats.drop_size++;
	/* Headers lie in the first slot: both are longer than they can be. */
	for (uint32_t i = 0; n > 0 && w->copy && i < w->plan.nb_patches; i++) {
		const struct vbus_offload_patch *p = &w->plan.patch[i];

		if (p->off + sizeof(p->val) <= q->bounce_len)
			memcpy(q->bounce_base + (*cookie >> 1) * q->bounce_len + p->off, &p->val,
				sizeof(p->val));
	}
	return n;
}

/* One frame into the slot. As north_tx_linear_slow(): 1, 0 dropped, -ENOBUFS later. */
static inline int
sg_fill(struct north_txq *q, struct rte_mbuf *m, struct north_sg_slot *s, uint64_t *cookie)
{
	struct sg_work w;
	int n;

	if (unlikely(m->pkt_len < NORTH_FRAME_MIN || m->pkt_len > VENET_FRAME_MAX_VLAN)) {
		q->stats.drop_len++;
		goto drop;
	}
	w.copy = false;
	w.o = (struct vbus_offload){0};
	if ((m->ol_flags & VBUS_OFFLOAD_TX_FLAGS) != 0 && !sg_offload(q, m, &w))
		goto drop;
	*cookie = (uintptr_t)m;
	n = sg_bytes(q, s, m, &w, cookie);
	if (unlikely(n == -ENOBUFS))
		return n;
	if (unlikely(n < 0))
		goto drop;
	q->stats.multi_seg += n > 1;
	q->stats.bytes += m->pkt_len;
	vbus_peer_store32(&s->head.flags, w.o.flags);
	vbus_peer_store32(&s->head.len, m->pkt_len);
	vbus_peer_store16(&s->head.csum.start, w.o.csum_start);
	vbus_peer_store16(&s->head.csum.offset, w.o.csum_offset);
	vbus_peer_store8(&s->head.gso.type, w.o.gso_type);
	vbus_peer_store16(&s->head.gso.hdrlen, w.o.gso_hdrlen);
	vbus_peer_store16(&s->head.gso.size, w.o.gso_size);
	vbus_peer_store32(&s->head.count, (uint32_t)n);
	if (*cookie & 1)
		rte_pktmbuf_free(m);
	return 1;
drop:
	rte_pktmbuf_free(m);
	return 0;
}

int
north_sg_frame(struct north_txq *q, struct rte_mbuf *m, struct north_sg_slot *s, uint64_t *cookie)
{
	return sg_fill(q, m, s, cookie);
}

/* One frame into the slot and the entry. Likewise. */
static inline int
sg_frame(struct north_txq *q, struct rte_mbuf *m, uint32_t idx, struct vbus_ioq_entry *e)
{
	struct north_sg_slot *s = sg_slot_at(q, idx);
	int ret = sg_fill(q, m, s, &e->cookie);

	if (likely(ret > 0)) {
		vbus_peer_store64(&s->head.cookie, idx);
		e->ptr = q->sg_ptr + (uint64_t)idx * NORTH_TX_SLOT;
		e->len = VENET_SG_SIZE(s->head.count);
	}
	return ret;
}

uint16_t
north_tx_sg(struct north_txq *q, struct rte_mbuf **pkts, uint16_t nb)
{
	struct vbus_ioq_entry e[NORTH_CHUNK];
	uint64_t packets = 0;
	uint16_t done = 0;
	bool stuck = false;

	while (done < nb && !stuck) {
		uint32_t room = vbus_ioq_north_room(&q->ring), k = 0, idx = q->ring.tail;

		room = RTE_MIN(room, NORTH_CHUNK);
		if (room == 0) {
			q->stats.ring_full++;
			break;
		}
		for (; done < nb && k < room; done++) {
			int ret = sg_frame(q, pkts[done], idx, &e[k]);

			if (unlikely(ret == 0))
				continue;
			if (unlikely(ret < 0)) {
				stuck = true;
				break;
			}
			idx = vbus_ioq_next(idx, q->ring.count);
			k++;
		}
		packets += vbus_ioq_north_push(&q->ring, e, k);
	}
	if (packets > 0)
		north_signal(&q->sig, q->shm, &q->stats.signals);
	q->stats.packets += packets;
	q->stats.bursts += packets > 0;
	return done;
}
