/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * Receive bursts of the north end: linear frames, and the copying variant for pools that the peer
 * cannot see.
 *
 * Threads: one polling thread per queue, inside the queue's in-burst mark; the control side fills
 * and drains the ring when no burst runs (ADR-0002).
 * Ownership: an entry that south holds owns the mbuf in its private cookie. The length in the ring
 * is south's word and is compared with the buffer's room; nothing else of the ring is read.
 */
#include "vbus_north.h"

#include <string.h>

#include <rte_mempool.h>
#include <rte_prefetch.h>

uint32_t
north_rx_alloc(struct north_rxq *q, struct rte_mbuf **m, uint32_t n, uint64_t *nb_failed)
{
	while (rte_mempool_get_bulk(q->pool, (void **)m, n) != 0) {
		(*nb_failed)++;
		n /= 2; /* the last few of a pool still count */
		if (n == 0)
			break;
	}
	return n;
}

uint32_t
north_rx_refill(struct north_rxq *q)
{
	struct vbus_ioq_entry e[NORTH_CHUNK];
	struct rte_mbuf *m[NORTH_CHUNK];
	uint32_t n, want, posted = 0;

	while ((want = vbus_ioq_north_post_room(&q->ring)) > 0) {
		want = RTE_MIN(want, NORTH_CHUNK);
		n = north_rx_alloc(q, m, want, &q->stats.nombuf);
		for (uint32_t i = 0; i < n; i++) {
			e[i].cookie = (uintptr_t)m[i];
			e[i].ptr = north_mbuf_addr(m[i], q->addr_off) + RTE_PKTMBUF_HEADROOM;
			e[i].len = q->room;
		}
		posted += vbus_ioq_north_post(&q->ring, e, n);
		if (n < want)
			break;
	}
	return posted;
}

/* South returned a buffer without a frame in it, or with a length that cannot be. */
static void
rx_bad(struct north_rxq *q, struct rte_mbuf *m, uint64_t len)
{
	if (len == 0)
		q->stats.empty++; /* FLUSHRX, or south gave it back */
	else
		q->stats.drop_len++;
	rte_mempool_put(q->pool, m);
}

uint16_t
north_rx_linear(struct north_rxq *q, struct rte_mbuf **pkts, uint16_t nb)
{
	struct vbus_ioq_entry e[NORTH_CHUNK];
	const uint64_t span = q->room - NORTH_FRAME_MIN;
	uint64_t bytes = 0;
	uint32_t n, want;
	uint16_t done = 0;

	do {
		want = RTE_MIN((uint32_t)(nb - done), NORTH_CHUNK);
		n = vbus_ioq_north_pop(&q->ring, e, want);
		for (uint32_t i = 0; i < n; i++)
			rte_prefetch0((void *)(uintptr_t)e[i].cookie);
		for (uint32_t i = 0; i < n; i++) {
			struct rte_mbuf *m = (struct rte_mbuf *)(uintptr_t)e[i].cookie;

			/* One comparison for too short and too long. */
			if (unlikely(e[i].len - NORTH_FRAME_MIN > span)) {
				rx_bad(q, m, e[i].len);
				continue;
			}
			north_rx_fill(q, m, (uint32_t)e[i].len);
			bytes += e[i].len;
			pkts[done++] = m;
		}
	} while (n == want && done < nb);

	if (vbus_ioq_north_room(&q->ring) >= q->refill_at && north_rx_refill(q) > 0)
		north_signal(&q->sig, q->shm, &q->stats.signals);
	q->stats.packets += done;
	q->stats.bytes += bytes;
	q->stats.bursts += done > 0;
	return done;
}

/* ---- copied: buffers are slots of the port's zone ------------------------------------------------ */

/* Each entry keeps its slot for ever: the number is its cookie. */
static void
rx_copy_post(struct north_rxq *q, uint32_t slot)
{
	const struct vbus_ioq_entry e = {
		.cookie = slot,
		.ptr = q->copy_addr + (uint64_t)slot * q->copy_slot,
		.len = q->room,
	};

	vbus_ioq_north_post(&q->ring, &e, 1);
}

uint32_t
north_rx_copy_refill(struct north_rxq *q)
{
	for (uint32_t i = 0; i < q->ring.count; i++)
		rx_copy_post(q, i);
	return q->ring.count;
}

struct rte_mbuf *
north_rx_copy_frame(struct north_rxq *q, const uint8_t *src, uint32_t len)
{
	struct rte_mbuf *head = NULL, **link = &head, *m;
	uint32_t off = 0;

	while (off < len) {
		uint32_t n;

		m = rte_pktmbuf_alloc(q->pool);
		if (m == NULL) {
			rte_pktmbuf_free(head);
			return NULL;
		}
		n = RTE_MIN(len - off, (uint32_t)rte_pktmbuf_tailroom(m));
		memcpy(rte_pktmbuf_mtod(m, void *), src + off, n);
		m->data_len = (uint16_t)n;
		off += n;
		*link = m;
		link = &m->next;
		if (head != m)
			head->nb_segs++;
	}
	head->pkt_len = len;
	head->port = q->port_id;
	return head;
}

uint16_t
north_rx_copy(struct north_rxq *q, struct rte_mbuf **pkts, uint16_t nb)
{
	struct vbus_ioq_entry e;
	uint64_t bytes = 0;
	uint16_t done = 0;
	uint32_t popped = 0;

	while (done < nb && popped < q->ring.count && vbus_ioq_north_pop(&q->ring, &e, 1) == 1) {
		const uint32_t slot = (uint32_t)e.cookie;

		popped++;
		if (e.len == 0) {
			q->stats.empty++;
		} else if (e.len - NORTH_FRAME_MIN > q->room - NORTH_FRAME_MIN) {
			q->stats.drop_len++;
		} else {
			pkts[done] = north_rx_copy_frame(
				q, q->copy_base + (size_t)slot * q->copy_slot, (uint32_t)e.len);
			if (pkts[done] == NULL) {
				q->stats.drop_nombuf++;
			} else {
				bytes += e.len;
				done++;
			}
		}
		rx_copy_post(q, slot);
	}
	if (popped > 0)
		north_signal(&q->sig, q->shm, &q->stats.signals);
	q->stats.packets += done;
	q->stats.copied += done;
	q->stats.bytes += bytes;
	q->stats.bursts += done > 0;
	return done;
}

/* ---- entry, end ---------------------------------------------------------------------------------- */

uint16_t
north_rx_burst(void *rxq, struct rte_mbuf **pkts, uint16_t nb)
{
	struct north_rxq *q = rxq;
	uint16_t n = 0;

	vbus_mark_enter(&q->mark);
	/* Acquire: the ring as the control side left it. Partner: the store in north_ctrl_publish(). */
	switch (atomic_load_explicit(&q->path, memory_order_acquire)) {
	case NORTH_RX_POLL:
		n = north_rx_poll(q, pkts, nb);
		break;
	case NORTH_RX_LINEAR:
		n = north_rx_linear(q, pkts, nb);
		break;
	case NORTH_RX_L4RO:
		n = north_rx_l4ro(q, pkts, nb);
		break;
	case NORTH_RX_COPY:
		n = north_rx_copy(q, pkts, nb);
		break;
	case NORTH_RX_FAR:
		n = north_rx_far(q, pkts, nb);
		break;
	default:
		break;
	}
	vbus_mark_leave(&q->mark);
	return n;
}

void
north_rx_drain(struct north_rxq *q)
{
	uint64_t cookies[NORTH_CHUNK];
	uint32_t n;

	if (q->sw != NULL)
		north_poll_rx_drain(q);
	if (q->ring.cookies == NULL)
		return;
	if (q->heads != NULL) { /* L4RO: by table, the ring's cookies are entry numbers */
		for (uint32_t i = 0; i < q->nb_desc; i++) {
			rte_pktmbuf_free(q->heads[i]);
			q->heads[i] = NULL;
		}
		for (uint32_t i = 0; i < q->nb_pages; i++) {
			rte_pktmbuf_free(q->page_mbufs[i]);
			q->page_mbufs[i] = NULL;
		}
	} else if (q->copy_base == NULL) {
		while ((n = vbus_ioq_north_reclaim(&q->ring, cookies, NORTH_CHUNK)) > 0)
			rte_mempool_put_bulk(q->pool, (void *const *)cookies, n);
	}
	/* The rest stays readable: a descriptor status can be asked for at any time. */
	q->ring.cookies = NULL;
	q->ring.nb_used = 0;
	q->copy_base = NULL;
	q->heads = NULL;
}
