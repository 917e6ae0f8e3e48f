/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */
#ifndef VBUS_IOQ_NORTH_H
#define VBUS_IOQ_NORTH_H

/**
 * @file
 * North's fast path on a ring. doc/abi.md sections 3 and 4.
 *
 * Receive and event rings: post buffers, pop what south filled, post again. Transmit ring: push,
 * reap. Transmit ring with TXC and page ring: push_inuse. Lcores and control thread; one thread
 * at a time per ring.
 *
 * How many entries south holds is known privately (nb_used), cookies come from a private array:
 * a wild south can neither make north pop an entry twice nor give it a cookie of its own. The
 * length of a received buffer is south's word: the caller checks it against the room.
 */

#include "vbus_ioq.h"

#ifdef __cplusplus
extern "C" {
#endif

/** How many of the n (<= count) entries from idx on belong to north, without a gap. */
VBUS_IOQ_INLINE uint32_t
vbus_ioq_north_scan(const struct vbus_ioq_north *q, uint32_t idx, uint32_t n)
{
	const struct ioq_ring_desc *desc = q->desc;
	const uint32_t count = q->count;
	uint32_t i;

	for (i = 0; i < n; i++) {
		if (vbus_peer_load_owner(&desc[idx].sown) != IOQ_SOWN_NORTH)
			break;
		idx = vbus_ioq_next(idx, count);
	}
	return i;
}

/** Write n entries from idx on, without handing them over. */
VBUS_IOQ_INLINE void
vbus_ioq_north_write(
	struct vbus_ioq_north *q, uint32_t idx, const struct vbus_ioq_entry *e, uint32_t n)
{
	struct ioq_ring_desc *desc = q->desc;
	uint64_t *cookies = q->cookies;
	const uint32_t count = q->count;
	uint32_t i;

	for (i = 0; i < n; i++) {
		cookies[idx] = e[i].cookie;
		vbus_peer_store64(&desc[idx].cookie, e[i].cookie);
		vbus_peer_store64(&desc[idx].ptr, e[i].ptr);
		vbus_peer_store64(&desc[idx].len, e[i].len);
		idx = vbus_ioq_next(idx, count);
	}
}

/** Hand n entries from idx on over to south. */
VBUS_IOQ_INLINE void
vbus_ioq_north_hand_over(struct vbus_ioq_north *q, uint32_t idx, uint32_t n)
{
	struct ioq_ring_desc *desc = q->desc;
	const uint32_t count = q->count;
	uint32_t i;

	/* S: entries, buffers and indices are visible before the bytes that give them away.
	 * Partner: the acquire fence of vbus_ioq_south_peek_at().
	 */
	vbus_peer_fence_release();
	for (i = 0; i < n; i++) {
		vbus_peer_store_owner(&desc[idx].sown, IOQ_SOWN_SOUTH);
		idx = vbus_ioq_next(idx, count);
	}
}

/** Set an index's tail, and its `full` when it meets the head. */
VBUS_IOQ_INLINE void
vbus_ioq_north_move_tail(struct ioq_ring_idx *idx, uint32_t tail)
{
	vbus_peer_store32(&idx->tail, tail);
	if (vbus_peer_load32(&idx->head) == tail)
		vbus_peer_store8(&idx->full, 1);
}

/** Set an index's head and clear its `full`. */
VBUS_IOQ_INLINE void
vbus_ioq_north_move_head(struct ioq_ring_idx *idx, uint32_t head)
{
	vbus_peer_store32(&idx->head, head);
	vbus_peer_store8(&idx->full, 0);
}

/** Entries that can be pushed (transmit) or posted (receive) without waiting for south. */
VBUS_IOQ_INLINE uint32_t
vbus_ioq_north_room(const struct vbus_ioq_north *q)
{
	return q->count - q->nb_used;
}

/* --- transmit ring ----------------------------------------------------------------------- */

/**
 * Push frames on a transmit ring, on *valid* and *in-use* together.
 *
 * @param e cookies (come back from reap), addresses, lengths
 * @param n most entries, any number
 * @return entries pushed: less than n when the ring is full (reap, then try again)
 */
VBUS_IOQ_INLINE uint32_t
vbus_ioq_north_push(struct vbus_ioq_north *q, const struct vbus_ioq_entry *e, uint32_t n)
{
	const uint32_t room = vbus_ioq_north_room(q);
	const uint32_t idx = q->tail;
	uint32_t tail;

	n = n < room ? n : room;
	if (VBUS_IOQ_UNLIKELY(n == 0))
		return 0;
	/* No acquire: reap had it when it took these entries back. */
	vbus_ioq_north_write(q, idx, e, n);
	tail = vbus_ioq_advance(idx, n, q->count);
	q->tail = tail;
	q->nb_used += n;
	vbus_ioq_north_move_tail(&q->ring->idx[IOQ_IDX_VALID], tail);
	vbus_ioq_north_move_tail(&q->ring->idx[IOQ_IDX_INUSE], tail);
	vbus_ioq_north_hand_over(q, idx, n);
	return n;
}

/**
 * Take back, in order, transmit entries that south is done with.
 *
 * @param cookies room for n; their buffers may be freed
 * @param n most entries, any number
 * @return entries taken
 */
VBUS_IOQ_INLINE uint32_t
vbus_ioq_north_reap(struct vbus_ioq_north *q, uint64_t *cookies, uint32_t n)
{
	uint32_t idx = q->head;
	uint32_t i;

	n = vbus_ioq_north_scan(q, idx, n < q->nb_used ? n : q->nb_used);
	if (n == 0)
		return 0;
	/* S: south's reads of entry and buffer are over. Partner: the release fence of
	 * vbus_ioq_south_hand_over().
	 */
	vbus_peer_fence_acquire();
	for (i = 0; i < n; i++) {
		cookies[i] = q->cookies[idx];
		idx = vbus_ioq_next(idx, q->count);
	}
	q->head = idx;
	q->nb_used -= n;
	/* *valid* is our own bookkeeping and `sown` stays with us: nothing to release. */
	vbus_ioq_north_move_head(&q->ring->idx[IOQ_IDX_VALID], idx);
	return n;
}

/** Transmit entries that south is done with and that were not reaped; at most max looked at. */
VBUS_IOQ_INLINE uint32_t
vbus_ioq_north_done_count(const struct vbus_ioq_north *q, uint32_t max)
{
	return vbus_ioq_north_scan(q, q->head, max < q->nb_used ? max : q->nb_used);
}

/**
 * Push on *in-use* only: transmit ring with TXC (an entry is free again when south popped it, its
 * buffer when the TXC event with its cookie comes), page ring.
 *
 * @return entries pushed: less than n when south holds the rest of the ring
 */
VBUS_IOQ_INLINE uint32_t
vbus_ioq_north_push_inuse(struct vbus_ioq_north *q, const struct vbus_ioq_entry *e, uint32_t n)
{
	const uint32_t idx = q->tail;
	uint32_t tail;

	/* Never more than count: the scan would come round and see entries of this very push. */
	n = vbus_ioq_north_scan(q, idx, n < q->count ? n : q->count);
	if (VBUS_IOQ_UNLIKELY(n == 0))
		return 0;
	/* S: south has read the old contents. Partner: the release of vbus_ioq_south_hand_over(). */
	vbus_peer_fence_acquire();
	vbus_ioq_north_write(q, idx, e, n);
	tail = vbus_ioq_advance(idx, n, q->count);
	q->tail = tail;
	vbus_ioq_north_move_tail(&q->ring->idx[IOQ_IDX_INUSE], tail);
	vbus_ioq_north_hand_over(q, idx, n);
	return n;
}

/* --- receive and event rings -------------------------------------------------------------- */

/**
 * Move the indices past n entries posted up to `tail`: on the first lap that is a push on
 * *valid*, from then on the pop on *in-use* of entries taken with vbus_ioq_north_pop().
 */
VBUS_IOQ_INLINE void
vbus_ioq_north_move_posted(struct vbus_ioq_north *q, uint32_t tail, uint32_t n)
{
	q->tail = tail;
	q->nb_used += n;
	if (VBUS_IOQ_LIKELY(q->nb_filled == q->count)) {
		vbus_ioq_north_move_head(&q->ring->idx[IOQ_IDX_INUSE], tail);
		return;
	}
	q->nb_filled += n;
	vbus_ioq_north_move_tail(&q->ring->idx[IOQ_IDX_VALID], tail);
}

/** Entries that can be posted in one go: the first lap's and later ones do not mix. */
VBUS_IOQ_INLINE uint32_t
vbus_ioq_north_post_room(const struct vbus_ioq_north *q)
{
	const uint32_t room = vbus_ioq_north_room(q);
	const uint32_t lap = q->count - q->nb_filled;

	return (VBUS_IOQ_LIKELY(lap == 0) || room < lap) ? room : lap;
}

/**
 * Post empty buffers on a receive or event ring: the first fill, and each refill.
 *
 * @param e cookies (come back from pop), addresses, rooms
 * @param n most entries, any number
 * @return entries posted: less than n when there is no more room (vbus_ioq_north_room())
 */
VBUS_IOQ_INLINE uint32_t
vbus_ioq_north_post(struct vbus_ioq_north *q, const struct vbus_ioq_entry *e, uint32_t n)
{
	const uint32_t room = vbus_ioq_north_post_room(q);
	const uint32_t idx = q->tail;

	n = n < room ? n : room;
	if (VBUS_IOQ_UNLIKELY(n == 0))
		return 0;
	/* No acquire: pop had it, or the entry was never south's. */
	vbus_ioq_north_write(q, idx, e, n);
	vbus_ioq_north_move_posted(q, vbus_ioq_advance(idx, n, q->count), n);
	vbus_ioq_north_hand_over(q, idx, n);
	return n;
}

/**
 * Post n popped entries again as they are (event slots; L4RO's sg descriptors). Only what was
 * posted before and popped since; the caller counts.
 */
VBUS_IOQ_INLINE void
vbus_ioq_north_repost(struct vbus_ioq_north *q, uint32_t n)
{
	const uint32_t idx = q->tail;

	if (VBUS_IOQ_UNLIKELY(n == 0))
		return;
	vbus_ioq_north_move_posted(q, vbus_ioq_advance(idx, n, q->count), n);
	vbus_ioq_north_hand_over(q, idx, n);
}

/**
 * Pop, in order, entries that south filled. They are ours until posted again.
 *
 * @param e room for n: cookie (from the private copy) and len (south's word, read once) are
 *   written, ptr is not
 * @param n most entries, any number
 * @return entries popped
 */
VBUS_IOQ_INLINE uint32_t
vbus_ioq_north_pop(struct vbus_ioq_north *q, struct vbus_ioq_entry *e, uint32_t n)
{
	uint32_t idx = q->head;
	uint32_t i;

	n = vbus_ioq_north_scan(q, idx, n < q->nb_used ? n : q->nb_used);
	if (n == 0)
		return 0;
	/* S: the length and the data in the buffer. Partner: the release fence of
	 * vbus_ioq_south_hand_over().
	 */
	vbus_peer_fence_acquire();
	for (i = 0; i < n; i++) {
		e[i].cookie = q->cookies[idx];
		e[i].len = vbus_peer_load64(&q->desc[idx].len);
		idx = vbus_ioq_next(idx, q->count);
	}
	q->head = idx;
	q->nb_used -= n;
	/* The shared in-use head moves when the entry is posted again: until then the entry is not
	 * free for south, and `sown` says the same.
	 */
	return n;
}

/** Entries that south filled and that were not popped; at most max are looked at. */
VBUS_IOQ_INLINE uint32_t
vbus_ioq_north_ready_count(const struct vbus_ioq_north *q, uint32_t max)
{
	return vbus_ioq_north_done_count(q, max);
}

/* --- both --------------------------------------------------------------------------------- */

/**
 * The private cookies of entries that south still holds, oldest first; they are forgotten. For a
 * ring that south no longer touches (after LINKDOWN, or a peer that is gone): free the buffers,
 * then format the ring again.
 *
 * @return cookies written, at most n; 0: none left
 */
VBUS_IOQ_INLINE uint32_t
vbus_ioq_north_reclaim(struct vbus_ioq_north *q, uint64_t *cookies, uint32_t n)
{
	uint32_t i;

	n = n < q->nb_used ? n : q->nb_used;
	for (i = 0; i < n; i++) {
		cookies[i] = q->cookies[q->head];
		q->head = vbus_ioq_next(q->head, q->count);
	}
	q->nb_used -= n;
	return n;
}

#ifdef __cplusplus
}
#endif
#endif /* VBUS_IOQ_NORTH_H */
