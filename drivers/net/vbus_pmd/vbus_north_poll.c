/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * Receive bursts of the north end on the ring for pollers (doc/abi.md section 12, ADR-0017).
 *
 * Threads: one polling thread per queue, inside its in-burst mark; the control side fills and drains
 * the ring when no burst runs (ADR-0002).
 * Ownership: an entry that south holds owns the mbuf in sw[] of its index; with NEWEST (section 12.8) a number
 * that is not in ids[] owns that in sw[] of the number. A completion is one word of south's, read once; its
 * length is compared with the room, its number with those that south has, anything but a plain frame
 * goes the long way.
 */
#include "vbus_north.h"

#include <rte_mempool.h>
#include <rte_prefetch.h>

#include "vbus_poll_meta.h"

#define POLL_PIECES 64u /* most buffers of a frame, section 12.3 */
#define POLL_AHEAD  4u	/* mbufs that are prefetched */

/* Fresh mbufs as the next entries, up to the ring's end. @return how many of *want, which is made to fit */
static uint32_t
by_index(struct north_rxq *q, uint64_t *d, uint32_t *want)
{
	const struct vbus_poll_north *r = &q->poll;
	const uint32_t idx = r->tail & r->r.mask;
	struct rte_mbuf **sw = &q->sw[idx];
	uint32_t n;

	*want = RTE_MIN(*want, r->r.mask + 1 - idx);
	n = north_rx_alloc(q, sw, *want, &q->stats.nombuf);
	for (uint32_t i = 0; i < n; i++)
		d[i] = vbus_poll_desc(
			north_mbuf_addr(sw[i], q->addr_off) + RTE_PKTMBUF_HEADROOM, q->room, 0);
	return n;
}

/* The same under numbers, of which those that came back last are first. */
static uint32_t
by_number(struct north_rxq *q, uint64_t *d, uint32_t *want)
{
	struct rte_mbuf *m[NORTH_CHUNK];
	uint32_t n;

	*want = RTE_MIN(*want, q->nb_ids);
	if (unlikely(*want == 0))
		return 0; /* south has made numbers up */
	n = north_rx_alloc(q, m, *want, &q->stats.nombuf);
	for (uint32_t i = 0; i < n; i++) {
		const uint16_t id = q->ids[--q->nb_ids];

		q->sw[id] = m[i];
		d[i] = vbus_poll_buffer(
			north_mbuf_addr(m[i], q->addr_off) + RTE_PKTMBUF_HEADROOM, id);
	}
	return n;
}

uint32_t
north_poll_refill(struct north_rxq *q, uint32_t least)
{
	struct vbus_poll_north *r = &q->poll;
	uint64_t d[NORTH_CHUNK];
	uint32_t n, room, want, posted = 0;

	least = RTE_MAX(least, 1u); /* a room of 0 is never worth it */
	while ((room = vbus_poll_north_room(r)) >= least) {
		want = RTE_MIN(room, NORTH_CHUNK);
		n = q->ids != NULL ? by_number(q, d, &want) : by_index(q, d, &want);
		if (n == 0)
			break;
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

	for (; q->ids == NULL && r->head != r->tail; r->head++)
		rte_mempool_put(q->pool, q->sw[r->head & r->r.mask]);
	for (uint32_t i = 0; q->ids != NULL && i <= r->r.mask; i++)
		if (q->sw[i] != NULL)
			rte_mempool_put(q->pool, q->sw[i]);
	q->sw = NULL;
	q->ids = NULL;
}

/* ---- a frame that is not plain ------------------------------------------------------------------- */

/* The mbuf of the entry at the head, which is the caller's then. NULL: it names one that south does not have. */
static struct rte_mbuf *
take(struct north_rxq *q, uint32_t comp)
{
	const uint32_t pos = q->poll.head++, mask = q->poll.r.mask;
	const uint32_t id = vbus_poll_comp_id(comp) & mask;
	struct rte_mbuf *m;

	if (q->ids == NULL)
		return q->sw[pos & mask];
	m = q->sw[id];
	q->sw[id] = NULL;
	if (likely(m != NULL))
		q->ids[q->nb_ids++] = (uint16_t)id;
	else
		q->stats.bad_number++;
	return m;
}

/* The mbufs of @p n entries go back as they came. */
static void
give_back(struct north_rxq *q, const uint32_t *comp, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		struct rte_mbuf *m = take(q, comp[i]);

		if (m != NULL)
			rte_mempool_put(q->pool, m);
	}
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

/* A chain of the head's n mbufs, which are the caller's then. NULL: a length or number that cannot be, given
 * back.
 */
static struct rte_mbuf *
chain(struct north_rxq *q, const uint32_t *comp, uint32_t n)
{
	struct rte_mbuf *head = NULL, **link = &head, *m;
	const uint32_t first = q->poll.head;
	uint32_t total = 0;

	for (uint32_t i = 0; i < n; i++) {
		const uint32_t len = comp[i] & VENET_POLL_COMP_LEN;

		m = len == 0 || len > q->room ? NULL : take(q, comp[i]);
		if (unlikely(m == NULL)) {
			const uint32_t taken = q->poll.head - first;

			give_back(q, comp + taken, n - taken);
			rte_pktmbuf_free(head);
			return NULL;
		}
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
	const uint32_t id_bits = q->ids != NULL ? VENET_POLL_COMP_ID : 0;
	uint32_t comp[POLL_PIECES];
	uint32_t n = pieces_of(q, comp);
	uint64_t meta = 0;
	struct rte_mbuf *m;

	*out = NULL;
	if (n == 0)
		return 0;
	/* Q: before requests and frame are read. Partner: the release in vbus_poll_south_complete(). */
	vbus_peer_fence_acquire();
	if (n == 1 && (comp[0] & ~(VENET_POLL_COMP_PHASE | id_bits)) == 0) {
		q->stats.empty++; /* FLUSHRX, or south gave it back */
		give_back(q, comp, 1);
		return 1;
	}
	if (n > POLL_PIECES || (!q->requests && (n > 1 || (comp[0] & VENET_POLL_COMP_META) != 0))) {
		n = RTE_MIN(n, POLL_PIECES);
		q->stats.drop_sg++;
		give_back(q, comp, n);
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

static __rte_always_inline uint16_t
rx_burst(struct north_rxq *q, struct rte_mbuf **pkts, uint16_t nb, const bool newest)
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
		struct rte_mbuf *other, **sw = q->sw, **to = &pkts[done];
		uint16_t *ids = q->ids + q->nb_ids;
		uint32_t n = RTE_MIN((uint32_t)(nb - done), vbus_poll_north_used(r));
		uint32_t i;

		n = vbus_poll_run(&r->r, pos, n);
		for (i = 0; i < n; i++) {
			/* Phase and flags make it too long. */
			const uint32_t c = vbus_peer_load_owner32(&comp[i]) ^ phase;
			const uint32_t len = newest ? c & ~VENET_POLL_COMP_ID : c;
			/* The flags above it are not in the mask. */
			const uint32_t id = newest ? c >> VENET_POLL_COMP_ID_SHIFT & mask : idx + i;
			struct rte_mbuf *m;

			if (unlikely(len - NORTH_FRAME_MIN > span))
				break;
			m = sw[id];
			if (newest) {
				if (unlikely(m == NULL))
					break;
				sw[id] = NULL;
				ids[i] = (uint16_t)id;
			} else {
				rte_prefetch0(sw[(id + POLL_AHEAD) & mask]);
			}
			north_rx_fill(q, m, len);
			bytes += len;
			to[i] = m;
		}
		r->head = pos + i;
		if (newest)
			q->nb_ids += i;
		done = (uint16_t)(done + i);
		if (i == n && n > 0)
			continue; /* the rest is in the next lap */
		if (likely(!vbus_poll_north_is_ready(r, 0)) || any_frame(q, &other) == 0)
			break;
		if (other != NULL) {
			bytes += other->pkt_len;
			pkts[done++] = other;
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

uint16_t
north_rx_poll(struct north_rxq *q, struct rte_mbuf **pkts, uint16_t nb)
{
	return q->ids != NULL ? rx_burst(q, pkts, nb, true) : rx_burst(q, pkts, nb, false);
}
