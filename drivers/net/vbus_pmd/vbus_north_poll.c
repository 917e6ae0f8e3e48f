/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * Receive bursts of the north end on the ring for pollers (doc/abi.md section 12, ADR-0017).
 *
 * Threads: one polling thread per queue, inside its in-burst mark; the control side fills and drains
 * the ring when no burst runs (ADR-0002).
 * Ownership: an entry that south holds owns the mbuf in sw[] of its index. A completion is one word of
 * south's, read once; its length is compared with the room, anything but a plain frame goes the long
 * way.
 */
#include "vbus_north.h"

#include <rte_mempool.h>
#include <rte_prefetch.h>

#include "vbus_poll_meta.h"

#define POLL_PIECES 64u /* most buffers of a frame, section 12.3 */
#define POLL_AHEAD  4u	/* mbufs that are prefetched */

uint32_t
north_poll_refill(struct north_rxq *q, uint32_t least)
{
	struct vbus_poll_north *r = &q->poll;
	const uint32_t count = r->r.mask + 1;
	uint64_t d[NORTH_CHUNK];
	uint32_t n, room, want, posted = 0;

	least = RTE_MAX(least, 1u); /* a room of 0 is never worth it */
	while ((room = vbus_poll_north_room(r)) >= least) {
		const uint32_t idx = r->tail & r->r.mask;
		struct rte_mbuf **sw = &q->sw[idx];

		want = RTE_MIN(RTE_MIN(room, NORTH_CHUNK), count - idx);
		n = north_rx_alloc(q, sw, want, &q->stats.nombuf);
		for (uint32_t i = 0; i < n; i++)
			d[i] = vbus_poll_desc(
				north_mbuf_addr(sw[i], q->addr_off) + RTE_PKTMBUF_HEADROOM, q->room,
				0);
		vbus_poll_north_post(r, d, n);
		posted += n;
		if (n < want)
			break;
	}
	return posted;
}

void
north_poll_rx_drain(struct north_rxq *q)
{
	struct vbus_poll_north *r = &q->poll;

	for (; r->head != r->tail; r->head++)
		rte_mempool_put(q->pool, q->sw[r->head & r->r.mask]);
	q->sw = NULL;
}

/* ---- a frame that is not plain ------------------------------------------------------------------- */

/* The mbufs of @p n entries go back as they came. */
static void
give_back(struct north_rxq *q, uint32_t n)
{
	struct vbus_poll_north *r = &q->poll;

	for (; n > 0; n--)
		rte_mempool_put(q->pool, q->sw[r->head++ & r->r.mask]);
}

/* Entries of the frame at the head. 0: it is not all there yet; more than POLL_PIECES: it is none. */
static uint32_t
pieces_of(const struct north_rxq *q, uint32_t *comp)
{
	const struct vbus_poll_north *r = &q->poll;
	uint32_t n = 0;

	do {
		if (n == POLL_PIECES)
			return POLL_PIECES + 1;
		if (!vbus_poll_north_is_ready(r, n))
			return 0;
		comp[n] = vbus_poll_load_comp(&r->r, r->head + n);
	} while (comp[n++] & VENET_POLL_COMP_MORE);
	return n;
}

/* A chain of the head's n mbufs, which are the caller's then. NULL: a length that cannot be, given back. */
static struct rte_mbuf *
chain(struct north_rxq *q, const uint32_t *comp, uint32_t n)
{
	struct vbus_poll_north *r = &q->poll;
	struct rte_mbuf *head = NULL, **link = &head, *m;
	uint32_t total = 0;

	for (uint32_t i = 0; i < n; i++) {
		const uint32_t len = comp[i] & VENET_POLL_COMP_LEN;

		if (unlikely(len == 0 || len > q->room)) {
			give_back(q, n - i);
			rte_pktmbuf_free(head);
			return NULL;
		}
		m = q->sw[r->head++ & r->r.mask];
		north_rx_fill(q, m, len);
		total += len;
		*link = m;
		link = &m->next;
	}
	head->nb_segs = (uint16_t)n;
	head->pkt_len = total;
	return head;
}

static bool
requests(struct north_rxq *q, struct rte_mbuf *m, uint64_t meta)
{
	const struct vbus_offload o = vbus_poll_meta_unpack(meta);

	if (unlikely(m->pkt_len > q->frame_max && (o.flags & VENET_SG_FLAG_GSO) == 0)) {
		q->stats.drop_mtu++;
		return false;
	}
	return o.flags == 0 || north_rx_offload(q, &o, m);
}

/* The frame at the head, whatever it is. @return its entries, 0: not all there; @p out NULL: dropped */
static uint32_t __rte_noinline
any_frame(struct north_rxq *q, struct rte_mbuf **out)
{
	const struct vbus_poll *r = &q->poll.r;
	const uint32_t pos = q->poll.head;
	uint32_t comp[POLL_PIECES];
	uint32_t n = pieces_of(q, comp);
	uint64_t meta = 0;
	struct rte_mbuf *m;

	*out = NULL;
	if (n == 0)
		return 0;
	/* Q: before requests and frame are read. Partner: the release in vbus_poll_south_complete(). */
	vbus_peer_fence_acquire();
	if (n == 1 && (comp[0] & ~VENET_POLL_COMP_PHASE) == 0) {
		q->stats.empty++; /* FLUSHRX, or south gave it back */
		give_back(q, 1);
		return 1;
	}
	if (n > POLL_PIECES || (!q->requests && (n > 1 || (comp[0] & VENET_POLL_COMP_META) != 0))) {
		n = RTE_MIN(n, POLL_PIECES);
		q->stats.drop_sg++;
		give_back(q, n);
		return n;
	}
	if (comp[0] & VENET_POLL_COMP_META)
		meta = vbus_peer_load64(&r->meta[pos & r->mask]);
	m = chain(q, comp, n);
	if (m == NULL || m->pkt_len < NORTH_FRAME_MIN || m->pkt_len > VENET_FRAME_MAX_VLAN) {
		q->stats.drop_len++;
		rte_pktmbuf_free(m);
		return n;
	}
	if (!requests(q, m, meta)) {
		rte_pktmbuf_free(m);
		return n;
	}
	q->stats.multi_seg += n > 1;
	*out = m;
	return n;
}

/* ---- bursts ---------------------------------------------------------------------------------------- */

uint16_t
north_rx_poll(struct north_rxq *q, struct rte_mbuf **pkts, uint16_t nb)
{
	struct vbus_poll_north *r = &q->poll;
	const uint32_t mask = r->r.mask;
	const uint32_t span = q->plain_max - NORTH_FRAME_MIN;
	uint64_t bytes = 0;
	uint16_t done = 0;

	while (done < nb) {
		const uint32_t pos = r->head, idx = pos & mask;
		const uint32_t phase = vbus_poll_comp_phase(&r->r, pos);
		const uint32_t *comp = &r->r.comp[idx];
		struct rte_mbuf *m, **sw = &q->sw[idx], **to = &pkts[done];
		uint32_t n = RTE_MIN((uint32_t)(nb - done), vbus_poll_north_used(r));
		uint32_t i;

		n = vbus_poll_run(&r->r, pos, n);
		for (i = 0; i < n; i++) {
			/* Phase and flags make it too long. */
			const uint32_t len = vbus_peer_load_owner32(&comp[i]) ^ phase;

			if (unlikely(len - NORTH_FRAME_MIN > span))
				break;
			rte_prefetch0(q->sw[(idx + i + POLL_AHEAD) & mask]);
			north_rx_fill(q, sw[i], len);
			bytes += len;
			to[i] = sw[i];
		}
		r->head = pos + i;
		done = (uint16_t)(done + i);
		if (i == n && n > 0)
			continue; /* the rest is in the next lap */
		if (likely(!vbus_poll_north_is_ready(r, 0)) || any_frame(q, &m) == 0)
			break;
		if (m != NULL) {
			bytes += m->pkt_len;
			pkts[done++] = m;
		}
	}
	/* Q: before the application reads the frames. Partner: as in any_frame(). */
	vbus_peer_fence_acquire();
	if (vbus_poll_north_room(r) >= q->refill_at && north_poll_refill(q, q->refill_at) > 0)
		north_signal(&q->sig, q->shm, &q->stats.signals);
	q->stats.packets += done;
	q->stats.bytes += bytes;
	q->stats.bursts += done > 0;
	return done;
}
