/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * The ring for pollers: frames to north (doc/abi.md section 12, ADR-0017).
 *
 * Runs on the polling thread of the tx queue. A burst knows plain frames: one segment without requests
 * that fits the next buffer, which lies in one piece here. The first one that is not plain ends that
 * part, and the rest of the burst goes frame by frame through the body of venet_tx.c, whose slots are
 * this ring's buffers then.
 */

#include "venet_internal.h"

#include <errno.h>

#include <rte_mempool.h>

#define POLL_PIECES 48u /* most buffers of a frame: north has more than that posted, ring or not */

/* ---- slots ------------------------------------------------------------------------------------- */

void
venet_poll_slots(const struct venet_path *p, struct venet_tx_slots *s, uint32_t nb)
{
	const struct vbus_poll *r = &p->poll_to.r;
	const uint32_t pos = p->poll_to.cur->inuse_head;
	uint32_t i;

	for (i = 0; i < nb && i <= r->mask; i++) {
		const uint64_t d = vbus_poll_load_desc(r, pos + i);

		if (!vbus_poll_desc_is_ready(r, d, pos + i))
			break;
		s->e[i].ptr = vbus_poll_addr(d);
		s->e[i].len = vbus_poll_len(d);
	}
	s->nb = i;
	/* Q: north is done with the buffers. Partner: the release fence of vbus_poll_north_post(). */
	vbus_peer_fence_acquire();
}

void
venet_poll_push(const struct venet_path *p, const struct venet_tx_slots *s)
{
	uint32_t comp[VENET_BURST];
	uint32_t i;

	for (i = 0; i < s->used; i++)
		comp[i] = (uint32_t)s->e[i].len;
	vbus_poll_south_complete(&p->poll_to, comp, s->used);
}

static void
write_requests(const struct venet_path *p, uint32_t slot, const struct vbus_offload *o)
{
	const struct vbus_poll *r = &p->poll_to.r;
	const uint32_t pos = p->poll_to.cur->inuse_head + slot;

	vbus_peer_store64(&r->meta[pos & r->mask],
		(uint64_t)o->csum_start << VENET_POLL_META_CSUM_START_SHIFT |
			(uint64_t)o->gso_size << VENET_POLL_META_GSO_SIZE_SHIFT |
			(uint64_t)(o->csum_offset & 0xff) << VENET_POLL_META_CSUM_OFFSET_SHIFT |
			(uint64_t)(o->flags & 7) << VENET_POLL_META_FLAGS_SHIFT |
			(uint64_t)(o->gso_type & 3) << VENET_POLL_META_GSO_TYPE_SHIFT);
}

void
venet_poll_meta(const struct venet_path *p, struct venet_tx_slots *s, const struct vbus_offload *o)
{
	write_requests(p, s->used, o);
	s->e[s->used].len |= VENET_POLL_COMP_META;
}

int
venet_poll_frame(struct venet_txq *q, const struct venet_path *p, struct venet_tx_slots *s,
	const struct rte_mbuf *m, const struct vbus_offload_plan *plan)
{
	const struct rte_mbuf *seg;
	struct venet_piece piece[POLL_PIECES];
	const uint32_t first = s->used;
	uint32_t room = 0, off = 0;
	uint32_t i, nb;
	int ret = 0;

	for (nb = 0; room < m->pkt_len; nb++) {
		if (nb == POLL_PIECES)
			return -ENOSPC;
		if (first + nb == s->nb)
			return -ENOBUFS;
		piece[nb].iova = s->e[first + nb].ptr;
		piece[nb].ptr_peer = s->dst_peer[first + nb];
		piece[nb].len = RTE_MIN((uint32_t)s->e[first + nb].len, m->pkt_len - room);
		room += piece[nb].len;
	}
	for (seg = m; seg != NULL && ret == 0; seg = seg->next) {
		if (seg->data_len != 0)
			ret = venet_scatter(q, p, piece, nb, off,
				rte_pktmbuf_mtod(seg, const uint8_t *), seg->data_len);
		off += seg->data_len;
	}
	for (i = 0; i < plan->nb_patches && ret == 0; i++)
		ret = venet_scatter(q, p, piece, nb, plan->patch[i].off,
			(const uint8_t *)&plan->patch[i].val, 2);
	if (ret < 0 || off != m->pkt_len)
		return -EFAULT;
	for (i = 0; i < nb; i++)
		s->e[first + i].len = piece[i].len | (i + 1 < nb ? VENET_POLL_COMP_MORE : 0);
	if (plan->o.flags != 0)
		venet_poll_meta(p, s, &plan->o);
	s->used += nb - 1;
	return 0;
}

/* ---- plain frames ------------------------------------------------------------------------------ */

/** What a look ahead has found. */
struct plain {
	uint32_t nb;  /* plain frames for which there is a buffer */
	bool starved; /* and then there was none */
	bool bulk;    /* all of them go back to one pool as they are */
	uint8_t *dst_peer[VENET_BURST];
	uint32_t comp[VENET_BURST];
};

/** Frames that ask for nothing and are in one segment, as far as this line of the mbuf tells. */
static __rte_always_inline bool
is_plain(const struct rte_mbuf *m)
{
	return m->nb_segs == 1 && (m->ol_flags & VBUS_OFFLOAD_TX_FLAGS) == 0 &&
	       m->data_len >= VENET_FRAME_MIN;
}

static __rte_always_inline void
look_ahead(struct venet_txq *q, const struct venet_path *p, struct rte_mbuf **pkts, struct plain *f,
	uint32_t n)
{
	const struct vbus_poll *r = &p->poll_to.r;
	const uint32_t pos = p->poll_to.cur->inuse_head;
	const struct rte_mempool *mp = pkts[0]->pool;
	uint32_t i;

	f->starved = false;
	f->bulk = true;
	for (i = 0; i < n; i++) {
		const uint64_t d = vbus_poll_load_desc(r, pos + i);
		const struct rte_mbuf *m = pkts[i];
		const uint32_t len = m->data_len;

		if (unlikely(!vbus_poll_desc_is_ready(r, d, pos + i))) {
			f->starved = true;
			break;
		}
		if (unlikely(!is_plain(m) || len > vbus_poll_len(d)))
			break;
		f->dst_peer[i] = vbus_memview_ptr(p->view, &q->mc, vbus_poll_addr(d), len);
		if (unlikely(f->dst_peer[i] == NULL))
			break;
		rte_prefetch0_write(f->dst_peer[i]);
		f->comp[i] = len;
		f->bulk &= m->pool == mp && rte_mbuf_refcnt_read(m) == 1 && RTE_MBUF_DIRECT(m);
	}
	f->nb = i;
	/* Q: north is done with the buffers. Partner: the release fence of vbus_poll_north_post(). */
	vbus_peer_fence_acquire();
}

uint16_t
venet_poll_tx(struct venet_txq *q, const struct venet_path *p, struct rte_mbuf **pkts, uint16_t nb)
{
	struct plain f;
	uint64_t bytes = 0;
	uint32_t i;

	look_ahead(q, p, pkts, &f, nb);
	for (i = 0; i < f.nb; i++) {
		rte_memcpy(f.dst_peer[i], rte_pktmbuf_mtod(pkts[i], const void *), f.comp[i]);
		bytes += f.comp[i];
	}
	if (likely(f.nb != 0)) {
		vbus_poll_south_complete(&p->poll_to, f.comp, f.nb);
		q->stats.packets += f.nb;
		q->stats.bytes += bytes;
		q->stats.bursts++;
		q->stats.signals += venet_poll_signal(&p->to_north);
		/* One segment: its `next` is NULL, nobody else has it. */
		if (likely(f.bulk))
			rte_mempool_put_bulk(pkts[0]->pool, (void *const *)pkts, f.nb);
		else
			rte_pktmbuf_free_bulk(pkts, f.nb);
	}
	if (f.starved)
		q->stats.ring_full++;
	else if (unlikely(f.nb != nb))
		f.nb += venet_tx_poll_any(q, p, pkts + f.nb, (uint16_t)(nb - f.nb));
	return (uint16_t)f.nb;
}
