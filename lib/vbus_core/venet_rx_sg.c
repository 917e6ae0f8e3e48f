/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * Frames from north that sg descriptors describe, in the shared pool (PMTD) or anywhere in north's
 * memory (doc/abi.md section 5).
 *
 * Runs on the polling thread of the rx queue. A descriptor is copied once, before anything of it is
 * believed and before its ring entry goes back; the copy is checked and used. A burst goes in three
 * rounds (find descriptors, read them, copy frames) so that the misses of one round overlap.
 */

#include "venet_internal.h"

/** The entries of one burst. */
struct sg_burst {
	struct vbus_ioq_entry e[VENET_BURST];
	const uint8_t *sg_peer[VENET_BURST]; /* NULL: not in one piece here, or no such place */
	struct venet_rx_frames frames;
};

_Static_assert(sizeof(struct venet_sg) == VENET_SG_IOV_OFFSET, "iovs follow the head");

/** Most bytes of a descriptor that south looks at. */
static inline uint64_t
sg_bytes(const struct vbus_ioq_entry *e)
{
	return RTE_MIN(e->len, VENET_SG_SIZE(VENET_IOV_MAX));
}

static __rte_always_inline void
find_descriptors(struct venet_rxq *q, const struct venet_path *p, struct sg_burst *b, uint32_t n)
{
	const struct venet_pool *pool = &p->sg_pool;
	uint32_t i;

	for (i = 0; i < n; i++) {
		const struct vbus_ioq_entry *e = &b->e[i];

		b->sg_peer[i] = NULL;
		if (unlikely(e->len < VENET_SG_SIZE(1)))
			continue;
		if (pool->base_peer != NULL) {
			/* Bounded by the pool, not by a slot; the first check keeps the
			 * subtraction from wrapping.
			 */
			if (likely(e->ptr <= pool->len && e->len <= pool->len - e->ptr))
				b->sg_peer[i] = pool->base_peer + e->ptr;
		} else {
			b->sg_peer[i] = vbus_memview_ptr(p->view, &q->mc_sg, e->ptr, sg_bytes(e));
		}
		rte_prefetch0(b->sg_peer[i]);
	}
}

/** Copy [off, off + len) of a descriptor. @return 0, -EFAULT */
static inline int
copy_descriptor(struct venet_rxq *q, const struct venet_path *p, const struct sg_burst *b,
	uint32_t i, void *dst, uint32_t off, uint32_t len)
{
	if (likely(b->sg_peer[i] != NULL)) {
		vbus_peer_copy_in(dst, b->sg_peer[i] + off, len);
		return 0;
	}
	if (p->sg_pool.base_peer != NULL)
		return -EFAULT;
	return vbus_memview_copy_in(p->view, &q->mc_sg, dst, b->e[i].ptr + off, len);
}

/** Translate the fragments of frame i. @return VENET_SG_*; the sum of their lengths is the frame's. */
static __rte_always_inline int
check_pieces(struct venet_rxq *q, const struct venet_path *p, struct venet_frame *f,
	struct venet_piece *piece, const struct venet_iov *iov, uint32_t count)
{
	uint64_t sum = 0;
	uint32_t i;
	uint32_t n = 0;

	for (i = 0; i < count; i++) {
		if (iov[i].len == 0)
			continue;
		piece[n].iova = iov[i].ptr;
		piece[n].len = iov[i].len;
		piece[n].ptr_peer = NULL;
		sum += iov[i].len;
		n++;
	}
	if (sum != f->len)
		return VENET_SG_BAD;
	/* Only now: the lengths are bounded by the largest frame. */
	for (i = 0; i < n; i++) {
		piece[i].ptr_peer = vbus_memview_ptr(p->view, &q->mc, piece[i].iova, piece[i].len);
		rte_prefetch0(piece[i].ptr_peer);
	}
	f->piece = piece;
	f->nb_pieces = n;
	return VENET_SG_GOOD;
}

static __rte_always_inline int
read_descriptor(struct venet_rxq *q, const struct venet_path *p, struct sg_burst *b, uint32_t i,
	struct venet_piece *piece)
{
	/* As on the wire: one copy of constant size does for most frames. */
	struct {
		struct venet_sg sg;
		struct venet_iov iov[VENET_IOV_MAX];
	} c;
	struct venet_frame *f = &b->frames.f[i];

	f->nb_pieces = 0;
	if (unlikely(b->e[i].len < VENET_SG_SIZE(1)))
		return VENET_SG_BAD;
	if (unlikely(copy_descriptor(q, p, b, i, &c, 0, VENET_SG_SIZE(1)) < 0))
		return VENET_SG_BAD_ADDR;
	if (unlikely(c.sg.count == 0 || c.sg.count > VENET_IOV_MAX ||
		     VENET_SG_SIZE(c.sg.count) > b->e[i].len))
		return VENET_SG_BAD;
	if (c.sg.count > 1 && unlikely(copy_descriptor(q, p, b, i, &c.iov[1], VENET_SG_SIZE(1),
					       (c.sg.count - 1) * (uint32_t)sizeof(c.iov[0])) < 0))
		return VENET_SG_BAD_ADDR;
	if (unlikely(c.sg.len - VENET_FRAME_MIN > VENET_FRAME_MAX_VLAN - VENET_FRAME_MIN))
		return VENET_SG_BAD_LEN;
	f->len = c.sg.len;
	f->o.flags = c.sg.flags;
	f->o.csum_start = c.sg.csum.start;
	f->o.csum_offset = c.sg.csum.offset;
	f->o.gso_type = c.sg.gso.type;
	f->o.gso_hdrlen = c.sg.gso.hdrlen;
	f->o.gso_size = c.sg.gso.size;
	return check_pieces(q, p, f, piece, c.iov, c.sg.count);
}

/** Read as many of the n descriptors as there is room for their fragments. @return how many */
static __rte_always_inline uint32_t
read_descriptors(struct venet_rxq *q, const struct venet_path *p, struct sg_burst *b, uint32_t n)
{
	uint32_t used = 0;
	uint32_t i;

	for (i = 0; i < n && used + VENET_IOV_MAX <= VENET_SG_PIECES; i++) {
		b->frames.bad[i] = (uint8_t)read_descriptor(q, p, b, i, &b->frames.piece[used]);
		used += b->frames.f[i].nb_pieces;
	}
	return i;
}

/** Checksums and large frames, for a frame that lies in @p m. @return 0, -EINVAL */
static int
finish(struct venet_rxq *q, const struct venet_path *p, struct rte_mbuf *m,
	const struct vbus_offload *o)
{
	int ret = vbus_offload_to_rx(m, o);

	if (ret < 0)
		return ret;
	if ((m->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) != RTE_MBUF_F_RX_L4_CKSUM_NONE)
		return 0;
	if (p->rx_accept & VBUS_VENET_RX_CSUM)
		return 0;
	m->ol_flags &= ~(uint64_t)RTE_MBUF_F_RX_L4_CKSUM_MASK;
	q->stats.csum_done++;
	return vbus_offload_finish_csum(m, o->csum_start, o->csum_offset);
}

/** Into the next mbuf, which is there. @return 0; 1: dropped and counted; -ENOMEM */
static __rte_always_inline int
copy_frame(struct venet_rxq *q, const struct venet_path *p, struct venet_rx_out *out,
	const struct venet_frame *f)
{
	struct rte_mbuf *m = out->pkts[out->used];
	int ret;

	if (likely(f->nb_pieces == 1 && f->piece[0].ptr_peer != NULL && f->len <= p->mp_room)) {
		venet_copy(rte_pktmbuf_mtod(m, uint8_t *), f->piece[0].ptr_peer, f->len);
		m->data_len = (uint16_t)f->len;
		m->pkt_len = f->len;
	} else {
		ret = venet_rx_gather(q, p, out, f->piece, f->nb_pieces, f->len);
		if (ret == -ENOMEM)
			return ret;
		if (ret < 0) {
			q->stats.drop_addr += ret == -EFAULT;
			q->stats.drop_nombuf += ret == -E2BIG;
			return 1;
		}
		q->stats.multi_seg += m->nb_segs > 1;
	}
	if (unlikely(f->o.flags & (VENET_SG_FLAG_NEEDS_CSUM | VENET_SG_FLAG_GSO)) &&
		finish(q, p, m, &f->o) < 0) {
		q->stats.drop_offload++;
		rte_pktmbuf_free(m->next);
		rte_pktmbuf_reset(m);
		return 1;
	}
	return 0;
}

static void
count_bad(struct venet_rxq *q, int why)
{
	q->stats.drop_sg += why == VENET_SG_BAD;
	q->stats.drop_addr += why == VENET_SG_BAD_ADDR;
	q->stats.drop_len += why == VENET_SG_BAD_LEN;
}

/** Must this frame be cut for the polling side? */
static inline bool
wants_gso(const struct venet_path *p, const struct venet_frame *f)
{
	return f->o.flags & VENET_SG_FLAG_GSO && !(p->rx_accept & VBUS_VENET_RX_LRO);
}

uint32_t
venet_rx_take(struct venet_rxq *q, const struct venet_path *p, const struct venet_rx_frames *b,
	uint32_t n, struct venet_rx_out *out)
{
	uint32_t i;
	int ret;

	for (i = 0; i < n; i++) {
		if (unlikely(b->bad[i] != VENET_SG_GOOD)) {
			count_bad(q, b->bad[i]);
			continue;
		}
		if (unlikely(out->used == out->nb))
			break;
		if (unlikely(wants_gso(p, &b->f[i]))) {
			if (venet_rx_gso_start(q, p, &b->f[i]) < 0)
				q->stats.drop_offload++;
			else if (!venet_rx_gso_run(q, p, out))
				break;
			continue;
		}
		if (unlikely(venet_rx_next(p->mp, out) == NULL)) {
			q->stats.nombuf++;
			break;
		}
		ret = copy_frame(q, p, out, &b->f[i]);
		if (unlikely(ret < 0)) {
			q->stats.nombuf++;
			break;
		}
		if (unlikely(ret > 0))
			continue;
		q->stats.bytes += b->f[i].len;
		out->used++;
	}
	return i;
}

uint16_t
venet_rx_sg(struct venet_rxq *q, const struct venet_path *p, struct rte_mbuf **pkts, uint16_t nb)
{
	struct venet_rx_out out = {.pkts = pkts, .nb = nb};
	struct sg_burst b;
	uint32_t done = 0;
	uint32_t n;

	if (unlikely(q->gso.active)) {
		/* The frame at the ring's head; it is popped when its last segment is out. */
		if (!venet_rx_gso_run(q, p, &out))
			goto out;
		vbus_ioq_south_consume_pop(&p->from_north.q, 1);
		done = 1;
	}
	n = vbus_ioq_south_consume_peek(&p->from_north.q, b.e, (uint32_t)(nb - out.used));
	if (n != 0) {
		find_descriptors(q, p, &b, n);
		n = read_descriptors(q, p, &b, n);
		venet_rx_refill(p->mp, &out, (uint16_t)n);
		n = venet_rx_take(q, p, &b.frames, n, &out);
		vbus_ioq_south_consume_pop(&p->from_north.q, n);
		done += n;
	}
	if (done != 0) /* after the last of the batch, section 7.3 */
		q->stats.signals += venet_signal(&p->from_north);
out:
	q->stats.packets += out.used;
	q->stats.bursts += out.used != 0;
	if (unlikely(out.used != out.have))
		rte_pktmbuf_free_bulk(pkts + out.used, (unsigned int)(out.have - out.used));
	return out.used;
}
