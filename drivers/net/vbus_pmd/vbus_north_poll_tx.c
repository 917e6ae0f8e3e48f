/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * Transmit bursts of the north end on the ring for pollers (doc/abi.md section 12, ADR-0017).
 *
 * Threads: one polling thread per queue, inside its in-burst mark; the control side drains the ring when
 * no burst runs (ADR-0002).
 * Ownership: as on the other transmit ring, a frame's last entry owns the mbuf, or the bounce slots, that its
 * private cookie names; its other entries have the cookie 0. How much south is done with is one word of
 * south's, asked for in batches.
 */
#include "vbus_north.h"

#include <errno.h>

#include <rte_atomic.h>
#include <rte_mempool.h>
#include <rte_prefetch.h>

#include "vbus_poll_meta.h"

/* ---- reaping --------------------------------------------------------------------------------------- */

/* Free the n (<= a chunk) finished entries from idx on, without the ring's end in between. */
static inline void
free_run(struct north_txq *q, uint32_t idx, uint32_t n)
{
	uint64_t *cookies = &q->sw[idx];

	/* The application promised: one pool, one reference, one segment. */
	if (likely(q->fast_free && q->nb_bounced == 0 && q->nb_void == 0)) {
		const struct rte_mbuf *m = (const struct rte_mbuf *)(uintptr_t)cookies[0];

		rte_mempool_put_bulk(m->pool, (void *const *)(uintptr_t)cookies, n);
	} else if (q->nb_bounced == 0 && q->nb_void == 0) {
		rte_pktmbuf_free_bulk((struct rte_mbuf **)(uintptr_t)cookies, n);
	} else {
		q->nb_void -= north_tx_free_mixed(q, cookies, n);
	}
}

/* @p believe  what south says that it keeps stays */
static void
free_entries(struct north_txq *q, uint32_t n, bool believe)
{
	struct vbus_poll_north *r = &q->poll;

	/* Frames in the slots of their entries: nothing has to be given back. */
	if (q->far && q->nb_bounced == 0) {
		q->nb_void -= n;
		r->head += n;
		return;
	}
	while (n > 0) {
		const uint32_t idx = r->head & r->r.mask;
		uint32_t run = RTE_MIN(RTE_MIN(n, NORTH_CHUNK), r->r.mask + 1 - idx);

		if (unlikely(r->r.kept != NULL) && north_kept_any(q, idx, run))
			north_kept_free_run(q, idx, run, believe);
		else
			free_run(q, idx, run);
		r->head += run;
		n -= run;
	}
}

uint32_t
north_poll_reap(struct north_txq *q, uint32_t n)
{
	n = RTE_MIN(n, vbus_poll_north_done(&q->poll));
	free_entries(q, n, true);
	if (unlikely(q->nb_out > 0))
		north_kept_reap(q);
	return n;
}

void
north_poll_tx_drain(struct north_txq *q)
{
	/* Of what south did not take it keeps nothing: those marks are a lap old. */
	free_entries(q, vbus_poll_north_used(&q->poll), false);
	q->sw = NULL;
	q->known_pool = NULL;
}

/* ---- frames that are not posted as they lie ---------------------------------------------------------- */

/* Entries that a frame can take at most: fragments or copies, requests, and what is cut at 16 KiB. */
static inline uint32_t
entries_for(const struct rte_mbuf *m)
{
	return RTE_MAX(RTE_MIN((uint32_t)m->nb_segs, NORTH_TX_IOVS),
		       (m->pkt_len / NORTH_FAR_SG_LEN) + 1) +
	       1 + m->pkt_len / 8192;
}

static uint64_t
requests(const struct venet_sg *sg)
{
	const struct vbus_offload o = {
		.csum_start = sg->csum.start,
		.csum_offset = sg->csum.offset,
		.gso_size = sg->gso.size,
		.gso_type = (uint8_t)sg->gso.type,
		.flags = sg->flags,
	};

	return vbus_poll_meta_pack(&o);
}

/* The frame in a local sg descriptor as entries. @return how many; there is room */
static uint32_t
entries_of(const struct north_sg_slot *s, uint64_t *d)
{
	uint32_t n = 0;

	if (s->head.flags != 0)
		d[n++] = vbus_poll_desc(requests(&s->head), 0, VENET_POLL_MORE);
	for (uint32_t i = 0; i < s->head.count; i++) {
		uint64_t addr = s->iov[i].ptr;
		uint32_t left = s->iov[i].len;

		while (left > 0) {
			/* A multiple of the line, so that the next one begins with one. */
			uint32_t len = RTE_MIN(left, VENET_POLL_LEN_MAX & ~63u);

			d[n++] = vbus_poll_desc(addr, len, VENET_POLL_MORE);
			addr += len;
			left -= len;
		}
	}
	d[n - 1] &= ~VENET_POLL_MORE;
	return n;
}

/* One frame of any kind into the ring, which has room for it. As north_tx_linear_slow(). */
static int
put_any(struct north_txq *q, struct rte_mbuf *m)
{
	struct vbus_poll_north *r = &q->poll;
	uint64_t d[64];
	struct north_sg_slot s;
	struct vbus_ioq_entry e;
	uint32_t n = 1;
	int ret;

	if (q->sg) {
		ret = north_sg_frame(q, m, &s, &e.cookie);
		if (ret > 0)
			n = entries_of(&s, d);
	} else {
		ret = north_tx_linear_slow(q, m, &e);
		if (ret > 0) {
			d[0] = vbus_poll_desc(e.ptr, (uint32_t)e.len, 0);
			q->stats.bytes += e.len;
		}
	}
	if (ret <= 0)
		return ret;
	for (uint32_t i = 0; i < n; i++)
		q->sw[(r->tail + i) & r->r.mask] = i + 1 < n ? 0 : e.cookie;
	q->nb_void += n - 1;
	if (q->combining)
		rte_wmb(); /* copies before descriptors, see vbus_north_far.c */
	vbus_poll_north_post(r, d, n);
	if (q->combining)
		rte_wmb();
	q->stats.packets++;
	return 1;
}

uint16_t __rte_noinline
north_tx_poll_any(struct north_txq *q, struct rte_mbuf **pkts, uint16_t nb)
{
	uint16_t done;

	for (done = 0; done < nb; done++) {
		const uint32_t need = q->sg ? entries_for(pkts[done]) : 1;

		if (vbus_poll_north_room(&q->poll) < need)
			north_poll_reap(q, UINT32_MAX);
		if (vbus_poll_north_room(&q->poll) < need ||
			(unlikely(q->nb_out > 0) && north_kept_pass(q, need, need) < need)) {
			q->stats.ring_full++;
			break;
		}
		if (put_any(q, pkts[done]) < 0)
			break;
	}
	return done;
}

/* ---- bursts ---------------------------------------------------------------------------------------- */

/* Post frames as they lie, a chunk at most, up to the first that is not to be. @return how many */
static inline uint32_t
put_straight(struct north_txq *q, struct rte_mbuf **pkts, uint32_t nb, uint64_t *bytes)
{
	struct vbus_poll_north *r = &q->poll;
	const uint32_t pos = r->tail, mask = r->r.mask;
	uint64_t d[NORTH_CHUNK], sum = 0;
	uint32_t i;

	nb = RTE_MIN(nb, NORTH_CHUNK);
	for (i = 0; i < nb; i++) {
		const struct rte_mbuf *m = pkts[i];
		const uint32_t len = m->data_len;

		if (unlikely(!north_tx_is_straight(q, m) || len > VENET_POLL_LEN_MAX))
			break;
		q->sw[(pos + i) & mask] = (uintptr_t)m;
		d[i] = vbus_poll_desc(north_mbuf_addr(m, q->addr_off) + m->data_off, len, 0);
		sum += len;
	}
	vbus_poll_north_post(r, d, i);
	*bytes += sum;
	return i;
}

uint16_t
north_tx_poll(struct north_txq *q, struct rte_mbuf **pkts, uint16_t nb)
{
	struct vbus_poll_north *r = &q->poll;
	uint64_t bytes = 0;
	uint32_t room, n, straight = 0;
	uint16_t done = 0;

	if (vbus_poll_north_used(r) >= q->reap_at)
		rte_prefetch0(r->r.done);
	if (unlikely(vbus_poll_north_room(r) < nb))
		north_poll_reap(q, UINT32_MAX);
	while (done < nb) {
		const uint32_t left = (uint32_t)(nb - done);

		room = vbus_poll_north_room(r);
		if (unlikely(room == 0)) {
			q->stats.ring_full++;
			break;
		}
		if (unlikely(q->nb_out > 0)) {
			room = north_kept_pass(q, 1, left);
			if (room == 0) {
				q->stats.ring_full++;
				break;
			}
		}
		n = put_straight(q, pkts + done, RTE_MIN(left, room), &bytes);
		straight += n;
		done = (uint16_t)(done + n);
		if (unlikely(n < RTE_MIN(RTE_MIN(left, room), NORTH_CHUNK))) {
			/* One frame, then look again: it may have named the pool of the others. */
			if (north_tx_poll_any(q, pkts + done, 1) == 0)
				break;
			done++;
		}
	}
	if (done > 0)
		north_signal(&q->sig, q->shm, &q->stats.signals);
	if (vbus_poll_north_used(r) >= q->reap_at)
		north_poll_reap(q, UINT32_MAX);
	q->stats.packets += straight;
	q->stats.bytes += bytes;
	q->stats.bursts += done > 0;
	return done;
}
