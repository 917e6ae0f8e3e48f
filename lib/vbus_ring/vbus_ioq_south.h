/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */
#ifndef VBUS_IOQ_SOUTH_H
#define VBUS_IOQ_SOUTH_H

/**
 * @file
 * South's fast path on a ring: consume (transmit and page ring), produce (receive and event
 * rings). doc/abi.md sections 3 and 4.
 *
 * Both go in two steps, peek and pop or push, and the caller moves the data in between. A peek
 * may be repeated, and less may be popped or pushed than was peeked. Lcores and control thread;
 * one thread at a time per ring.
 *
 * Nothing in the shared memory steers these loops but the ownership bytes: n is cut to the size
 * of the ring, positions are private.
 */

#include "vbus_ioq.h"

#ifdef __cplusplus
extern "C" {
#endif

/** How many of the n (<= count) entries from idx on belong to south, without a gap. */
VBUS_IOQ_INLINE uint32_t
vbus_ioq_south_scan(const struct vbus_ioq_south *q, uint32_t idx, uint32_t n)
{
	const struct ioq_ring_desc *desc = q->desc_peer;
	const uint32_t count = q->count;
	uint32_t i;

	for (i = 0; i < n; i++) {
		/* Any value but 1 is north's: a hostile one gives it a stuck ring, no more. */
		if (vbus_peer_load_owner(&desc[idx].sown) != IOQ_SOWN_SOUTH)
			break;
		idx = vbus_ioq_next(idx, count);
	}
	return i;
}

/** Copy the descriptors of up to n south-owned entries from idx on. */
VBUS_IOQ_INLINE uint32_t
vbus_ioq_south_peek_at(
	const struct vbus_ioq_south *q, uint32_t idx, struct vbus_ioq_entry *e, uint32_t n)
{
	const struct ioq_ring_desc *desc = q->desc_peer;
	const uint32_t count = q->count;
	uint32_t i;

	/* More than count would come round to the first entry again. */
	n = vbus_ioq_south_scan(q, idx, n < count ? n : count);
	/* S: one fence for all the ownership bytes just read; partner: the release fence of north's
	 * push or post. An acquire on the last byte alone would lean on north handing over in
	 * order, and one on each byte costs n of them where acquire is not free.
	 */
	vbus_peer_fence_acquire();
	for (i = 0; i < n; i++) {
		e[i].cookie = vbus_peer_load64(&desc[idx].cookie);
		e[i].ptr = vbus_peer_load64(&desc[idx].ptr);
		e[i].len = vbus_peer_load64(&desc[idx].len);
		idx = vbus_ioq_next(idx, count);
	}
	return n;
}

/** Hand n entries from idx on back to north. */
VBUS_IOQ_INLINE void
vbus_ioq_south_hand_over(const struct vbus_ioq_south *q, uint32_t idx, uint32_t n)
{
	struct ioq_ring_desc *desc = q->desc_peer;
	const uint32_t count = q->count;
	uint32_t i;

	/* S: indices, lengths and the data moved are visible, and our reads of the entries are
	 * done, before the bytes that give them away. Partner: the acquire fence of north's reap,
	 * pop or push_inuse.
	 */
	vbus_peer_fence_release();
	for (i = 0; i < n; i++) {
		vbus_peer_store_owner(&desc[idx].sown, IOQ_SOWN_NORTH);
		idx = vbus_ioq_next(idx, count);
	}
}

/**
 * Consume, step 1: read the next entries of a transmit or page ring, in ring order.
 *
 * @param e room for n entries; cookie, ptr and len are north's words, read once
 * @param n most entries, any number
 * @return entries read
 */
VBUS_IOQ_INLINE uint32_t
vbus_ioq_south_consume_peek(const struct vbus_ioq_south *q, struct vbus_ioq_entry *e, uint32_t n)
{
	return vbus_ioq_south_peek_at(q, q->cur->inuse_head, e, n);
}

/**
 * Consume, step 2: give the first n entries of the last peek back. Signal north afterwards
 * (vbus_signal_inject(), once per batch, section 7.3).
 */
VBUS_IOQ_INLINE void
vbus_ioq_south_consume_pop(const struct vbus_ioq_south *q, uint32_t n)
{
	const uint32_t idx = q->cur->inuse_head;
	const uint32_t head = vbus_ioq_advance(idx, n, q->count);

	if (VBUS_IOQ_UNLIKELY(n == 0))
		return;
	/* The private position first: should this process be killed below, its successor finds
	 * entries behind its head that were not handed over, never entries taken twice.
	 */
	q->cur->inuse_head = head;
	vbus_peer_store32(&q->inuse_peer->head, head);
	vbus_peer_store8(&q->inuse_peer->full, 0);
	vbus_ioq_south_hand_over(q, idx, n);
}

/** Entries that wait to be consumed, at most max are looked at. */
VBUS_IOQ_INLINE uint32_t
vbus_ioq_south_consume_count(const struct vbus_ioq_south *q, uint32_t max)
{
	/* No acquire: nothing is read but the bytes. */
	return vbus_ioq_south_scan(q, q->cur->inuse_head, max < q->count ? max : q->count);
}

/** Does the entry `offset` (< count) places after the next one to consume wait? */
VBUS_IOQ_INLINE bool
vbus_ioq_south_consume_is_ready(const struct vbus_ioq_south *q, uint32_t offset)
{
	const uint32_t idx = vbus_ioq_advance(q->cur->inuse_head, offset, q->count);

	return vbus_peer_load_owner(&q->desc_peer[idx].sown) == IOQ_SOWN_SOUTH;
}

/**
 * Produce, step 1: read the next free buffers of a receive or event ring, in ring order.
 *
 * @param e room for n entries: where to put data (ptr) and how much fits (len), unchecked
 * @param n most entries, any number
 * @return buffers found
 */
VBUS_IOQ_INLINE uint32_t
vbus_ioq_south_produce_peek(const struct vbus_ioq_south *q, struct vbus_ioq_entry *e, uint32_t n)
{
	return vbus_ioq_south_peek_at(q, q->cur->inuse_tail, e, n);
}

/**
 * Produce, step 2 without lengths: give the first n buffers of the last peek to north and leave
 * desc.len as north wrote it (receive ring with L4RO, section 7.10).
 */
VBUS_IOQ_INLINE void
vbus_ioq_south_produce_push_keep(const struct vbus_ioq_south *q, uint32_t n)
{
	const uint32_t idx = q->cur->inuse_tail;
	const uint32_t tail = vbus_ioq_advance(idx, n, q->count);

	if (VBUS_IOQ_UNLIKELY(n == 0))
		return;
	q->cur->inuse_tail = tail; /* first, see vbus_ioq_south_consume_pop() */
	vbus_peer_store32(&q->inuse_peer->tail, tail);
	/* North's word, compared and forgotten: garbage in it spoils north's own `full` only. */
	if (vbus_peer_load32(&q->inuse_peer->head) == tail)
		vbus_peer_store8(&q->inuse_peer->full, 1);
	vbus_ioq_south_hand_over(q, idx, n);
}

/**
 * Produce, step 2: write e[i].len, the bytes put into each buffer, and give the first n buffers
 * of the last peek to north. Signal north afterwards, once per batch.
 */
VBUS_IOQ_INLINE void
vbus_ioq_south_produce_push(
	const struct vbus_ioq_south *q, const struct vbus_ioq_entry *e, uint32_t n)
{
	struct ioq_ring_desc *desc = q->desc_peer;
	const uint32_t count = q->count;
	uint32_t idx = q->cur->inuse_tail;
	uint32_t i;

	for (i = 0; i < n; i++) {
		vbus_peer_store64(&desc[idx].len, e[i].len);
		idx = vbus_ioq_next(idx, count);
	}
	vbus_ioq_south_produce_push_keep(q, n);
}

/** Free buffers, at most max are looked at. */
VBUS_IOQ_INLINE uint32_t
vbus_ioq_south_produce_count(const struct vbus_ioq_south *q, uint32_t max)
{
	return vbus_ioq_south_scan(q, q->cur->inuse_tail, max < q->count ? max : q->count);
}

/** Is the entry `offset` (< count) places after the next one to produce free? */
VBUS_IOQ_INLINE bool
vbus_ioq_south_produce_is_ready(const struct vbus_ioq_south *q, uint32_t offset)
{
	const uint32_t idx = vbus_ioq_advance(q->cur->inuse_tail, offset, q->count);

	return vbus_peer_load_owner(&q->desc_peer[idx].sown) == IOQ_SOWN_SOUTH;
}

#ifdef __cplusplus
}
#endif
#endif /* VBUS_IOQ_SOUTH_H */
