/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * TSO frames from north for a polling side that takes no large frames: cut while they are copied.
 *
 * Runs on the polling thread of the rx queue. A frame can have more segments than a burst has room:
 * its ring entry stays ours, and where we are lies in the queue (struct venet_rx_gso), until the
 * next burst goes on. The headers are a private copy; should north change the payload meanwhile it
 * gets what it put there. The control side forgets an unfinished frame when it takes the path away;
 * the entry was not popped, so after LINKUP the frame is sent from its beginning again.
 */

#include "venet_internal.h"

#define GSO_REFILL 16u /* mbufs at a time */

int
venet_rx_gso_start(struct venet_rxq *q, const struct venet_path *p, const struct venet_frame *f)
{
	struct venet_rx_gso *s = &q->gso;
	struct venet_reader r = {
		.view = p->view, .mc = &q->mc, .piece = f->piece, .left = f->nb_pieces};
	uint8_t hdr[VBUS_HDR_MAX];
	uint32_t avail = RTE_MIN(f->len, VBUS_HDR_MAX);
	bool v6 = f->o.gso_type == VENET_GSO_TYPE_TCPV6;

	if (f->o.gso_type != VENET_GSO_TYPE_TCPV4 && !v6)
		return -EINVAL;
	/* Section 5: it comes with every GSO frame, and says where TCP is. */
	if (!(f->o.flags & VENET_SG_FLAG_NEEDS_CSUM))
		return -EINVAL;
	if (venet_read(&r, hdr, avail) < 0)
		return -EFAULT;
	if (vbus_gso_start(&s->g, hdr, avail, f->len, NULL, f->o.gso_size, v6) < 0)
		return -EINVAL;
	if (f->o.csum_start != s->g.h.l2_len + s->g.h.l3_len)
		return -EINVAL;
	memcpy(s->piece, f->piece, f->nb_pieces * sizeof(s->piece[0]));
	s->nb_pieces = f->nb_pieces;
	s->active = true;
	q->stats.gso_done++;
	return 0;
}

/** Place a reader at @p off bytes of the frame. */
static void
seek(const struct venet_rx_gso *s, struct venet_reader *r, uint32_t off)
{
	r->piece = s->piece;
	r->left = s->nb_pieces;
	while (r->left > 0 && off >= r->piece->len) {
		off -= r->piece->len;
		r->piece++;
		r->left--;
	}
	r->off = off;
}

/**
 * Copy a segment's payload behind its headers, over as many mbufs as it takes.
 * @return 0; -EFAULT; -ENOMEM: the pool is empty; -E2BIG: it is too small
 */
static int
read_chain(const struct venet_path *p, struct venet_reader *r, struct rte_mbuf *m, uint32_t len)
{
	struct rte_mbuf *last = m;

	m->data_len = (uint16_t)m->pkt_len; /* the headers, which the caller writes */
	for (;;) {
		uint32_t n = RTE_MIN(len, p->mp_room - last->data_len);

		if (venet_read(r, rte_pktmbuf_mtod_offset(last, uint8_t *, last->data_len), n) < 0)
			return -EFAULT;
		last->data_len = (uint16_t)(last->data_len + n);
		m->pkt_len += n;
		len -= n;
		if (len == 0)
			return 0;
		last->next = rte_pktmbuf_alloc(p->mp);
		if (last->next == NULL)
			/* North must not wait for what can never be. */
			return p->mp->size < m->nb_segs + 1u ? -E2BIG : -ENOMEM;
		last = last->next;
		m->nb_segs++;
	}
}

static void
undo(struct rte_mbuf *m)
{
	rte_pktmbuf_free(m->next);
	rte_pktmbuf_reset(m);
}

bool
venet_rx_gso_run(struct venet_rxq *q, const struct venet_path *p, struct venet_rx_out *out)
{
	struct venet_rx_gso *s = &q->gso;
	struct vbus_gso *g = &s->g;
	struct venet_reader r = {.view = p->view, .mc = &q->mc};

	seek(s, &r, (uint32_t)g->hdr_len + g->done);
	while (!vbus_gso_done(g)) {
		const uint32_t n = vbus_gso_next_len(g);
		struct rte_mbuf *m;
		int ret;

		if (out->used == out->nb)
			return false;
		if (out->used == out->have)
			venet_rx_refill(p->mp, out, GSO_REFILL);
		if (out->used == out->have) {
			q->stats.nombuf++;
			return false;
		}
		m = out->pkts[out->used];
		m->pkt_len = g->hdr_len;
		ret = g->hdr_len > p->mp_room ? -E2BIG : read_chain(p, &r, m, n);
		if (unlikely(ret < 0)) {
			undo(m);
			if (ret == -ENOMEM && venet_rx_spare(out)) {
				seek(s, &r, (uint32_t)g->hdr_len + g->done);
				continue;
			}
			q->stats.nombuf += ret == -ENOMEM;
			q->stats.drop_addr += ret == -EFAULT;
			q->stats.drop_nombuf += ret == -E2BIG;
			if (ret == -ENOMEM)
				return false;
			break; /* the rest of the frame is lost */
		}
		vbus_gso_emit(g, rte_pktmbuf_mtod(m, uint8_t *), vbus_mbuf_sum(m, g->hdr_len, n));
		q->stats.bytes += m->pkt_len;
		out->used++;
	}
	s->active = false;
	return true;
}
