/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * Bursts of the north end on a placed ring (doc/abi.md section 12.5, ADR-0018): what south reads lies
 * near south and is only written here, what we read lies near us. Frames are copied: into slots near
 * south before they are posted, and out of slots near us after they came.
 *
 * Threads: one polling thread per queue and direction, inside its in-burst mark.
 * Ownership: an entry of either ring keeps its slot for ever; a frame that is not plain has bounce slots
 * instead, which its cookie names. The mbuf is free when the burst is over.
 */
#include "vbus_north.h"

#include <rte_atomic.h>
#include <rte_memcpy.h>
#include <rte_mempool.h>

/* ---- receive --------------------------------------------------------------------------------------- */

/* Write-combining memory: descriptors leave it at the second barrier. What the slots held has been read
 * before the first. Ordinary memory needs neither, and they would wait for every copy to arrive.
 */
static inline void
post(struct vbus_poll_north *r, const uint64_t *d, uint32_t n, bool combining)
{
	if (combining)
		rte_wmb();
	vbus_poll_north_post(r, d, n);
	if (combining)
		rte_wmb();
}

uint32_t
north_far_refill(struct north_rxq *q)
{
	struct vbus_poll_north *r = &q->poll;
	uint32_t room = vbus_poll_north_room(r), posted = 0;
	uint64_t d[NORTH_CHUNK];

	while (posted < room) {
		uint32_t n = RTE_MIN(room - posted, NORTH_CHUNK);

		for (uint32_t i = 0; i < n; i++)
			d[i] = vbus_poll_desc(
				q->copy_addr + ((r->tail + i) & r->r.mask) * q->copy_slot, q->room,
				0);
		post(r, d, n, q->combining);
		posted += n;
	}
	return posted;
}

/* The next n completions, each a whole frame in its slot, into mbufs. @return how many mbufs */
static uint16_t
take(struct north_rxq *q, const uint32_t *comp, uint32_t n, struct rte_mbuf **pkts)
{
	struct vbus_poll_north *r = &q->poll;
	const uint32_t span = q->room - NORTH_FRAME_MIN;
	struct rte_mbuf *mbufs[NORTH_CHUNK];
	bool bulk = rte_mempool_get_bulk(q->pool, (void **)mbufs, n) == 0;
	uint32_t used = 0, i;
	uint16_t done = 0;

	for (i = 0; i < n; i++, r->head++) {
		const uint32_t len = comp[i] &
				     ~VENET_POLL_COMP_PHASE; /* and flags: too long then */
		const uint8_t *src = q->copy_base + (size_t)(r->head & r->r.mask) * q->copy_slot;
		struct rte_mbuf *m;

		if (len == 0) {
			q->stats.empty++;
			continue;
		}
		if (len - NORTH_FRAME_MIN > span) {
			q->stats.drop_len++;
			continue;
		}
		if (likely(bulk && len <= q->plain_max)) {
			m = mbufs[used++];
			north_rx_fill(q, m, len);
			rte_memcpy(rte_pktmbuf_mtod(m, void *), src, len);
		} else {
			m = north_rx_copy_frame(q, src, len);
			if (m == NULL) {
				q->stats.drop_nombuf++;
				continue;
			}
		}
		q->stats.bytes += len;
		pkts[done++] = m;
	}
	if (bulk && used < n)
		rte_mempool_put_bulk(q->pool, (void *const *)(mbufs + used), n - used);
	return done;
}

uint16_t
north_rx_far(struct north_rxq *q, struct rte_mbuf **pkts, uint16_t nb)
{
	const struct vbus_poll_north *r = &q->poll;
	uint32_t comp[NORTH_CHUNK];
	uint16_t done = 0;
	uint32_t max, n;

	do {
		max = RTE_MIN(RTE_MIN((uint32_t)(nb - done), r->tail - r->head), NORTH_CHUNK);
		for (n = 0; n < max; n++) {
			comp[n] = vbus_poll_load_comp(&r->r, r->head + n);
			if (!vbus_poll_comp_is_ready(&r->r, comp[n], r->head + n))
				break;
		}
		if (n == 0)
			break;
		/* Q: before the frames are read. Partner: the release in vbus_poll_south_complete(). */
		vbus_peer_fence_acquire();
		done = (uint16_t)(done + take(q, comp, n, pkts + done));
	} while (n == max && done < nb);
	if (vbus_poll_north_room(r) >= q->refill_at) {
		north_far_refill(q);
		north_signal(&q->sig, q->shm, &q->stats.signals);
	}
	q->stats.packets += done;
	q->stats.copied += done;
	q->stats.bursts += done > 0;
	return done;
}

/* ---- transmit -------------------------------------------------------------------------------------- */

static inline bool
is_plain(const struct north_txq *q, const struct rte_mbuf *m)
{
	return m->nb_segs == 1 && (m->ol_flags & q->slow_flags & VBUS_OFFLOAD_TX_FLAGS) == 0 &&
	       m->data_len >= NORTH_FRAME_MIN && m->data_len <= q->slot_len;
}

/* Copy and post frames, a chunk at most, up to the first that is not plain. Slots go round with the ring:
 * one that is used again at once would be in the cache of the processor that has just read it.
 */
static uint32_t
put(struct north_txq *q, struct rte_mbuf **pkts, uint32_t nb, uint64_t *bytes)
{
	struct vbus_poll_north *r = &q->poll;
	const uint32_t pos = r->tail, mask = r->r.mask;
	uint64_t d[NORTH_CHUNK];
	uint32_t i;

	nb = RTE_MIN(nb, NORTH_CHUNK);
	for (i = 0; i < nb; i++) {
		const struct rte_mbuf *m = pkts[i];
		const uint32_t idx = (pos + i) & mask;
		const uint64_t off = (uint64_t)idx * q->slot_len;

		if (unlikely(!is_plain(q, m)))
			break;
		rte_memcpy(q->slots + off, rte_pktmbuf_mtod(m, const void *), m->data_len);
		q->sw[idx] = 0;
		d[i] = vbus_poll_desc(q->slots_addr + off, m->data_len, 0);
		*bytes += m->data_len;
	}
	if (i == 0)
		return 0;
	q->nb_void += i;
	post(r, d, i, q->combining);
	rte_pktmbuf_free_bulk(pkts, i);
	return i;
}

uint16_t
north_tx_far(struct north_txq *q, struct rte_mbuf **pkts, uint16_t nb)
{
	struct vbus_poll_north *r = &q->poll;
	uint64_t bytes = 0;
	uint32_t plain = 0;
	uint16_t done = 0;

	if (vbus_poll_north_used(r) >= q->reap_at)
		north_poll_reap(q, UINT32_MAX);
	while (done < nb) {
		const uint32_t left = (uint32_t)(nb - done);
		const uint32_t room = vbus_poll_north_room(r);
		uint32_t n;

		if (unlikely(room == 0)) {
			if (north_poll_reap(q, UINT32_MAX) > 0)
				continue;
			q->stats.ring_full++;
			break;
		}
		n = put(q, pkts + done, RTE_MIN(left, room), &bytes);
		plain += n;
		done = (uint16_t)(done + n);
		if (n == 0) {
			if (north_tx_poll_any(q, pkts + done, 1) == 0)
				break;
			done++;
		}
	}
	if (done > 0)
		north_signal(&q->sig, q->shm, &q->stats.signals);
	q->stats.packets += plain;
	q->stats.copied += plain;
	q->stats.bytes += bytes;
	q->stats.bursts += done > 0;
	return done;
}

/* ---- memory ---------------------------------------------------------------------------------------- */

static int
build(struct vbus_poll_north *r, struct vbus_signal *sig, uint8_t *far, uint8_t *back,
	uint64_t back_addr, uint32_t kind, uint32_t nb_desc)
{
	int ret = vbus_poll_north_format_placed(
		r, far, back, back_addr, kind, vbus_poll_count(nb_desc), nb_desc);

	if (ret < 0)
		return ret;
	return vbus_signal_attach_placed(
		sig, back, far + VENET_POLL_SIGNAL_OFFSET, VBUS_LOCALITY_NORTH);
}

int
north_far_build_rx(struct north_port *p, uint32_t pair, uint64_t back_addr)
{
	struct north_rxq *q = p->rxq[pair];

	return build(&q->poll, &q->sig, p->far + p->lay.rx_poll[pair],
		p->zone + p->lay.rx_back[pair], back_addr, VENET_POLL_RX, q->nb_desc);
}

int
north_far_build_tx(struct north_port *p, uint32_t pair, uint64_t back_addr)
{
	struct north_txq *q = p->txq[pair];

	return build(&q->poll, &q->sig, p->far + p->lay.tx_poll[pair],
		p->zone + p->lay.tx_back[pair], back_addr, VENET_POLL_TX, q->nb_desc);
}
