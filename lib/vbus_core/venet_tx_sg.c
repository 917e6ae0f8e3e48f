/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * L4RO: frames to north described by sg descriptors in its pool (doc/abi.md sections 5 and 7.10).
 *
 * Runs on the polling thread of the tx queue. Of a descriptor south reads iov[0] once and writes
 * iov[0].len, further iovs, count, len, flags, csum and gso; cookie and iov[0].ptr stay north's,
 * and desc.len in the ring is never written. Further fragments lie in pages that north queued in
 * the page ring: a page's cookie becomes the iov's ptr.
 */

#include "venet_internal.h"

static struct venet_iov *
iov_of(struct venet_sg *sg_peer, uint32_t i)
{
	return (struct venet_iov *)((uint8_t *)sg_peer + VENET_SG_IOV_OFFSET) + i;
}

/** Replace the peeked entry by its descriptor's first iov. */
static void
read_slot(const struct venet_path *p, struct venet_tx_slots *s, uint32_t i)
{
	const struct venet_pool *pool = &p->l4ro_pool;
	uint64_t off = s->e[i].ptr;
	uint64_t len = s->e[i].len;
	uint64_t room;

	s->sg_peer[i] = NULL;
	/* The first check keeps the subtraction from wrapping. North's copies of ring and pool are
	 * 8-byte aligned, so is what lies in them.
	 */
	if (off > pool->len || pool->len - off < VENET_SG_SIZE(1) || len < VENET_SG_SIZE(1) ||
		off % 8 != 0) {
		s->e[i].len = 0;
		return;
	}
	/* At most as desc.len says, and what the pool holds from there. */
	room = RTE_MIN(RTE_MIN(len, pool->len - off), VENET_SG_SIZE(VENET_IOV_MAX));
	s->max_iov[i] = (uint32_t)((room - VENET_SG_SIZE(1)) / sizeof(struct venet_iov)) + 1;
	s->sg_peer[i] = (struct venet_sg *)(pool->base_peer + off);
	s->e[i].ptr = vbus_peer_load64(&iov_of(s->sg_peer[i], 0)->ptr);
	s->e[i].len = vbus_peer_load32(&iov_of(s->sg_peer[i], 0)->len);
}

void
venet_l4ro_slots(struct venet_txq *q, const struct venet_path *p, struct venet_tx_slots *s)
{
	uint32_t i;

	RTE_SET_USED(q);
	for (i = 0; i < s->nb; i++)
		if (s->e[i].ptr < p->l4ro_pool.len)
			rte_prefetch0_write(p->l4ro_pool.base_peer + s->e[i].ptr);
	for (i = 0; i < s->nb; i++)
		read_slot(p, s, i);
}

static void
write_sg(struct venet_sg *sg_peer, uint32_t len, uint32_t count, const struct vbus_offload *o)
{
	vbus_peer_store32(&sg_peer->flags, o->flags);
	vbus_peer_store32(&sg_peer->len, len);
	vbus_peer_store32(&sg_peer->count, count);
	if (likely(o->flags == 0))
		return;
	vbus_peer_store16(&sg_peer->csum.start, o->csum_start);
	vbus_peer_store16(&sg_peer->csum.offset, o->csum_offset);
	vbus_peer_store8(&sg_peer->gso.type, o->gso_type);
	vbus_peer_store16(&sg_peer->gso.hdrlen, o->gso_hdrlen);
	vbus_peer_store16(&sg_peer->gso.size, o->gso_size);
}

void
venet_l4ro_commit(struct venet_tx_slots *s, uint32_t len, const struct vbus_offload *o)
{
	struct venet_sg *sg_peer = s->sg_peer[s->used];

	/* A buffer that comes back empty keeps the room that north wrote: it may post it again. */
	if (len != 0)
		vbus_peer_store32(&iov_of(sg_peer, 0)->len, len);
	write_sg(sg_peer, len, 1, o);
}

int
venet_write(const struct venet_path *p, struct vbus_memcache *mc, const struct venet_piece *piece,
	uint32_t off, const void *src, uint32_t len)
{
	if (likely(piece->ptr_peer != NULL)) {
		memmove(piece->ptr_peer + off, src, len);
		return 0;
	}
	return vbus_memview_copy_out(p->view, mc, piece->iova + off, src, len);
}

int
venet_scatter(struct venet_txq *q, const struct venet_path *p, const struct venet_piece *piece,
	uint32_t nb, uint32_t at, const uint8_t *src, uint32_t len)
{
	uint32_t i;

	for (i = 0; i < nb && len > 0; i++) {
		uint32_t n;

		if (at >= piece[i].len) {
			at -= piece[i].len;
			continue;
		}
		n = RTE_MIN(piece[i].len - at, len);
		if (venet_write(p, i == 0 ? &q->mc : &q->mc_page, &piece[i], at, src, n) < 0)
			return -EFAULT;
		src += n;
		len -= n;
		at = 0;
	}
	return len == 0 ? 0 : -EFAULT;
}

/**
 * Take as many pages as @p rest bytes need into piece[1..]. @param[out] nb  pieces, the first too
 * @return 0; -ENOSPC: more than @p max pieces; -ENOBUFS: not that many pages there; -EFAULT: north's
 *         page has no such address (it is taken and lost to north)
 */
static int
take_pages(struct venet_txq *q, const struct venet_path *p, struct venet_piece *piece,
	uint64_t *cookie, uint32_t max, uint32_t rest, uint32_t *nb)
{
	struct vbus_ioq_entry e[VENET_IOV_MAX];
	uint32_t have = vbus_ioq_south_consume_peek(&p->pages.q, e, max - 1);
	uint32_t i;

	for (i = 0; i < have && rest > 0; i++) {
		struct venet_piece *c = &piece[i + 1];

		c->iova = e[i].ptr;
		c->len = (uint32_t)RTE_MIN(e[i].len, (uint64_t)rest);
		c->ptr_peer = c->len == 0 ? NULL
					  : vbus_memview_ptr(p->view, &q->mc_page, c->iova, c->len);
		cookie[i + 1] = e[i].cookie;
		if (c->ptr_peer == NULL) {
			vbus_ioq_south_consume_pop(&p->pages.q, i + 1);
			return -EFAULT;
		}
		rest -= c->len;
	}
	if (rest > 0)
		return have == max - 1 ? -ENOSPC : -ENOBUFS;
	*nb = i + 1;
	return 0;
}

int
venet_l4ro_frame(struct venet_txq *q, const struct venet_path *p, struct venet_tx_slots *s,
	const struct rte_mbuf *m, const struct vbus_offload_plan *plan)
{
	struct venet_sg *sg_peer = s->sg_peer[s->used];
	const struct rte_mbuf *seg;
	struct venet_piece piece[VENET_IOV_MAX];
	uint64_t cookie[VENET_IOV_MAX];
	uint32_t room = (uint32_t)s->e[s->used].len;
	uint32_t nb = 1;
	uint32_t off = 0;
	uint32_t i;
	int ret;

	piece[0].iova = s->e[s->used].ptr;
	piece[0].ptr_peer = s->dst_peer[s->used];
	piece[0].len = room;
	if (room == 0 || s->max_iov[s->used] < 2)
		return -ENOSPC;
	ret = take_pages(q, p, piece, cookie, s->max_iov[s->used], m->pkt_len - room, &nb);
	if (ret < 0)
		return ret;
	for (seg = m; seg != NULL && ret == 0; seg = seg->next) {
		if (seg->data_len == 0)
			continue;
		ret = venet_scatter(q, p, piece, nb, off, rte_pktmbuf_mtod(seg, const uint8_t *),
			seg->data_len);
		off += seg->data_len;
	}
	for (i = 0; i < plan->nb_patches && ret == 0; i++)
		ret = venet_scatter(q, p, piece, nb, plan->patch[i].off,
			(const uint8_t *)&plan->patch[i].val, 2);
	if (ret == 0 && off != m->pkt_len)
		ret = -EFAULT;
	if (ret < 0)
		return ret; /* the pages stay in their ring */
	for (i = 0; i < nb; i++)
		vbus_peer_store32(&iov_of(sg_peer, i)->len, piece[i].len);
	for (i = 1; i < nb; i++)
		vbus_peer_store64(&iov_of(sg_peer, i)->ptr, cookie[i]);
	write_sg(sg_peer, m->pkt_len, nb, &plan->o);
	/* Before the frame goes up: whoever sees it may count on the pages being its own. */
	vbus_ioq_south_consume_pop(&p->pages.q, nb - 1);
	return 0;
}
