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
#include "venet_mbuf.h"

#include <errno.h>
#include <stddef.h>

#include <rte_atomic.h>
#include <rte_mempool.h>

#include "vbus_poll_meta.h"

#define POLL_PIECES 48u /* most buffers of a frame: north has more than that posted, ring or not */

/* ---- slots ------------------------------------------------------------------------------------- */

void
venet_poll_slots(const struct venet_path *p, struct venet_tx_slots *s, uint32_t nb)
{
	const struct vbus_poll *r = &p->poll_to.r;
	const uint32_t pos = p->poll_to.cur->inuse_head;
	const uint32_t held = r->store != NULL ? vbus_poll_south_gather(&p->poll_to) : 0;
	uint32_t i;

	for (i = 0; i < nb && i < held; i++) {
		const uint64_t d = vbus_poll_south_newest(&p->poll_to, held, i);

		s->e[i].ptr = vbus_poll_addr(d);
		s->e[i].len = r->room;
		s->e[i].cookie = vbus_poll_comp_of(d);
	}
	for (; r->store == NULL && i < nb && i <= r->mask; i++) {
		const uint64_t d = vbus_poll_load_desc(r, pos + i);

		if (!vbus_poll_desc_is_ready(r, d, pos + i))
			break;
		s->e[i].ptr = vbus_poll_addr(d);
		s->e[i].len = vbus_poll_len(d);
		s->e[i].cookie = 0;
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
		comp[i] = (uint32_t)(s->e[i].len | s->e[i].cookie);
	if (p->combining)
		rte_wmb(); /* as in venet_far_tx() */
	vbus_poll_south_complete(&p->poll_to, comp, s->used);
	if (p->combining)
		rte_wmb();
}

void
venet_poll_meta(const struct venet_path *p, struct venet_tx_slots *s, const struct vbus_offload *o)
{
	const struct vbus_poll *r = &p->poll_to.r;
	const uint32_t pos = p->poll_to.cur->inuse_head + s->used;

	vbus_peer_store64(&r->meta[pos & r->mask], vbus_poll_meta_pack(o));
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
	bool bulk;    /* all of them go back to one pool, `mp`, as they are */
	struct rte_mempool *mp;
	uint8_t *dst_peer[VENET_BURST];
	uint32_t comp[VENET_BURST]; /* with NEWEST the number is in there too */
};

/** Frames that ask for nothing and are in one segment. */
static __rte_always_inline bool
is_plain(const struct rte_mbuf *m)
{
	return m->nb_segs == 1 && (m->ol_flags & VBUS_OFFLOAD_TX_FLAGS) == 0;
}

/** What the copies to north's memory are like. */
enum manner {
	NEAR,
	NEWEST, /* likewise, and the buffers are those of the store */
	FAR,
	ENGINE, /* likewise, and a DMA engine does it */
};

/**
 * Look at the buffers from @p pos on, which are in one lap, for the frames at @p pkts.
 * @param held  NEWEST: the buffers of the store, n or more
 * @return how many of them are plain, and fit
 */
static __rte_always_inline uint32_t
look_run(struct venet_txq *q, const struct venet_path *p, struct rte_mbuf **pkts, struct plain *f,
	uint32_t pos, uint32_t n, uint32_t held, const enum manner how)
{
	const struct vbus_poll *r = &p->poll_to.r;
	const uint64_t *desc = how == NEWEST ? &r->store[held] : &r->desc[pos & r->mask];
	const uint64_t phase = vbus_poll_desc_phase(r, pos);
	const uint32_t room = r->room;
	const struct rte_mempool *mp = f->mp;
	uint8_t **dst_peer = &f->dst_peer[f->nb];
	uint32_t *comp = &f->comp[f->nb];
	struct venet_reach at = venet_reach(&q->mc, VENET_POLL_LEN_MAX);
	bool bulk = true;
	uint32_t i;

	for (i = 0; i < n; i++) {
		const uint64_t d = how == NEWEST ? vbus_peer_load64(desc - 1 - i)
						 : vbus_peer_load_owner64(&desc[i]);
		const struct rte_mbuf *m = pkts[i];
		const uint64_t off = vbus_poll_addr(d) - at.iova;
		const uint32_t len = m->data_len;

		if (how != NEWEST && unlikely((int64_t)(d ^ phase) < 0)) {
			f->starved = true;
			break;
		}
		if (unlikely(!venet_is_bulk(m, mp))) {
			if (!is_plain(m))
				break;
			bulk = false;
		}
		if (unlikely(len < VENET_FRAME_MIN ||
			     len > (how == NEWEST ? room : vbus_poll_len(d))))
			break;
		if (likely(off < at.len)) {
			dst_peer[i] = (uint8_t *)(at.va + off);
		} else {
			dst_peer[i] = vbus_memview_ptr(p->view, &q->mc, vbus_poll_addr(d), len);
			if (dst_peer[i] == NULL)
				break;
			at = venet_reach(&q->mc, VENET_POLL_LEN_MAX);
		}
		if (how < FAR) /* a prefetch would read across */
			rte_prefetch0_write(dst_peer[i]);
		comp[i] = how == NEWEST ? len | vbus_poll_comp_of(d) : len;
	}
	f->bulk &= bulk;
	return i;
}

static __rte_always_inline void
look_ahead(struct venet_txq *q, const struct venet_path *p, struct rte_mbuf **pkts, struct plain *f,
	uint32_t n, const enum manner how)
{
	const uint32_t pos = p->poll_to.cur->inuse_head;
	uint32_t run, found, held;

	f->starved = false;
	f->bulk = true;
	f->mp = pkts[0]->pool;
	f->nb = 0;
	if (how == NEWEST) {
		held = vbus_poll_south_gather(&p->poll_to);
		run = RTE_MIN(n, held);
		f->nb = look_run(q, p, pkts, f, pos, run, held, how);
		f->starved = f->nb == held && held < n;
	} else {
		do {
			run = vbus_poll_run(&p->poll_to.r, pos + f->nb, n - f->nb);
			found = look_run(q, p, pkts + f->nb, f, pos + f->nb, run, 0, how);
			f->nb += found;
		} while (unlikely(found == run && f->nb < n));
	}
	/* Q: north is done with the buffers. Partner: the release fence of vbus_poll_north_post(). */
	vbus_peer_fence_acquire();
}

static __rte_always_inline uint16_t
tx(struct venet_txq *q, const struct venet_path *p, struct rte_mbuf **pkts, uint16_t nb,
	const enum manner how)
{
	const bool far = how >= FAR;
	struct plain f;
	uint64_t bytes = 0;
	uint32_t i, n;

	look_ahead(q, p, pkts, &f, nb, how);
	i = 0;
	if (how == ENGINE)
		for (n = venet_dma_copy(q, &p->dma, f.dst_peer, pkts, f.comp, f.nb); i < n; i++)
			bytes += f.comp[i];
	for (; i < f.nb; i++) {
		const uint32_t len = f.comp[i] & VENET_POLL_COMP_LEN;

		venet_copy(f.dst_peer[i], rte_pktmbuf_mtod(pkts[i], const uint8_t *), len);
		bytes += len;
	}
	if (likely(f.nb != 0)) {
		/* Write-combining buffers are drained in any order: frames before completions, and
		 * these at once. Ordinary memory does without: the barriers wait for the copies. */
		if (far && p->combining)
			rte_wmb();
		vbus_poll_south_complete(&p->poll_to, f.comp, f.nb);
		if (far && p->combining)
			rte_wmb();
		q->stats.packets += f.nb;
		q->stats.bytes += bytes;
		q->stats.bursts++;
		q->stats.signals += venet_poll_signal(&p->to_north);
		venet_free_bulk(pkts, f.nb, f.bulk);
	}
	if (f.starved)
		q->stats.ring_full++;
	else if (unlikely(f.nb != nb))
		f.nb += venet_tx_poll_any(q, p, pkts + f.nb, (uint16_t)(nb - f.nb));
	return (uint16_t)f.nb;
}

uint16_t
venet_poll_tx(struct venet_txq *q, const struct venet_path *p, struct rte_mbuf **pkts, uint16_t nb)
{
	return tx(q, p, pkts, nb, NEAR);
}

uint16_t
venet_newest_tx(
	struct venet_txq *q, const struct venet_path *p, struct rte_mbuf **pkts, uint16_t nb)
{
	return tx(q, p, pkts, nb, NEWEST);
}

uint16_t
venet_far_tx(struct venet_txq *q, const struct venet_path *p, struct rte_mbuf **pkts, uint16_t nb)
{
	return tx(q, p, pkts, nb, FAR);
}

uint16_t
venet_dma_tx(struct venet_txq *q, const struct venet_path *p, struct rte_mbuf **pkts, uint16_t nb)
{
	return tx(q, p, pkts, nb, ENGINE);
}
