/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */
#ifndef VBUS_POLL_H
#define VBUS_POLL_H

/**
 * @file
 * The ring for pollers: types, and the fast path of both ends. doc/abi.md section 12, ADR-0017.
 *
 * An entry is one word that is stored and loaded as a whole; its phase bit says whose it is. So there
 * is no index to share, and what a side copied out of an entry cannot be torn. Positions count
 * entries for ever, modulo 2^32; the lap is the position above `log2`.
 *
 * Trust. Both ends keep their positions privately. South checks what a descriptor says (address,
 * length). North compares a completion's length with the room, and `done` with what it has posted.
 *
 * Edge Q (comments in the code refer to it): the writer's frames and requests, release fence, entry ->
 * entry, acquire fence, the reader's accesses; `done` likewise, and there also the reader's READS of
 * descriptor and frame come before it. One fence for a burst of entries on either side.
 *
 * Threads: each object belongs to one thread at a time.
 */

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vbus/venet_poll.h>

#include "vbus_ioq.h"
#include "vbus_peer.h"

#ifdef __cplusplus
extern "C" {
#endif

/** A ring as one side sees it, and where that side is. South's position is in its cursor. */
struct vbus_poll {
	uint64_t *desc;			/**< north's words */
	uint32_t *comp;			/**< receive: south's words */
	uint64_t *meta;			/**< receive: south's words */
	uint32_t *done;			/**< transmit: south's word */
	uint32_t *ret;			/**< transmit with KEEP: south's words, else NULL */
	uint8_t *kept;			/**< likewise, bytes */
	uint64_t *store;		/**< receive with NEWEST: south's words, else NULL */
	uint32_t mask;			/**< count - 1 */
	uint32_t room;			/**< NEWEST: bytes of a buffer */
	uint8_t desc_shift, comp_shift; /**< bring a position's lap to the phase bit */
};

/**
 * South: the position is `cur->inuse_head`, of the next entry to consume or to complete. With NEWEST
 * `cur->inuse_tail` is that of the next buffer to take, and between them lies what the store holds: the
 * newest of it at index inuse_tail - inuse_head - 1.
 */
struct vbus_poll_south {
	struct vbus_poll r;
	struct vbus_ioq_cursor *cur;
	enum vbus_ioq_refusal refusal; /**< of the last attach */
};

/** North. Entries from head to tail are south's, or were not looked at. */
struct vbus_poll_north {
	struct vbus_poll r;
	uint32_t head;	/**< next entry to take back */
	uint32_t tail;	/**< next entry to write */
	uint32_t limit; /**< most entries that south holds, <= count */
};

/* ---- off the fast path ------------------------------------------------------------------------- */

/** Bytes of a block. @param kind  VENET_POLL_RX or _TX */
static inline uint64_t
vbus_poll_size(uint32_t kind, uint32_t count)
{
	return kind == VENET_POLL_RX ? VENET_POLL_RX_SIZE(count) : VENET_POLL_TX_SIZE(count);
}

/** The least power of two that @p n (1 to VENET_POLL_COUNT_MAX) entries fit in. */
uint32_t vbus_poll_count(uint32_t n);

/**
 * North: write an empty ring, before the block is shared.
 *
 * @param mem  vbus_poll_size() bytes at a multiple of 64
 * @param limit  entries that are used at a time, 1 to @p count
 * @return 0; -EINVAL: misaligned, or no such count
 */
int vbus_poll_north_format(
	struct vbus_poll_north *q, void *mem, uint32_t kind, uint32_t count, uint32_t limit);

/**
 * North and south: a transmit ring of vbus_poll_north_format() or vbus_poll_south_attach() has KEEP's arrays
 * behind it (zero when north shares it).
 */
static inline void
vbus_poll_keep(struct vbus_poll *r, void *mem)
{
	r->ret = (uint32_t *)(void *)((uint8_t *)mem + VENET_POLL_RET_OFFSET(r->mask + 1));
	r->kept = (uint8_t *)mem + VENET_POLL_KEPT_OFFSET(r->mask + 1);
}

/** North: a receive ring of vbus_poll_north_format() has NEWEST's store behind it. @param room  bytes */
void vbus_poll_north_newest(struct vbus_poll_north *q, void *mem, uint32_t room);

/** Bytes of the blocks of a placed ring: north's and south's. */
static inline uint64_t
vbus_poll_placed_size(uint32_t count)
{
	return VENET_POLL_TX_SIZE(count);
}
static inline uint64_t
vbus_poll_back_size(uint32_t kind, uint32_t count)
{
	return kind == VENET_POLL_RX ? VENET_POLL_BACK_RX_SIZE(count) : VENET_POLL_BACK_TX_SIZE;
}

/**
 * The same for a placed ring (section 12.5).
 *
 * @param far   vbus_poll_placed_size() bytes near south, written only
 * @param back  vbus_poll_back_size() bytes near north
 * @param back_addr  its north address
 */
int vbus_poll_north_format_placed(struct vbus_poll_north *q, void *far, void *back,
	uint64_t back_addr, uint32_t kind, uint32_t count, uint32_t limit);

/**
 * South: check a block that north shares, and bind to it. Control thread.
 *
 * @param how  VBUS_IOQ_FRESH: from entry 0; VBUS_IOQ_RESUME: from the cursor. What a process that was
 *   killed had counted but not published is published then: buffers come back empty.
 * @return 0; -EINVAL: refused (q->refusal), @p cur is unchanged
 */
int vbus_poll_south_attach(struct vbus_poll_south *q, void *mem_peer, uint64_t len, uint32_t kind,
	uint32_t count_max, struct vbus_ioq_cursor *cur, unsigned int how);

/** vbus_poll_south_attach() of a receive ring with NEWEST. */
int vbus_poll_south_attach_newest(struct vbus_poll_south *q, void *mem_peer, uint64_t len,
	uint32_t count_max, struct vbus_ioq_cursor *cur, unsigned int how);

/**
 * South, a placed ring: where its other area is.
 * @param[out] back_len  bytes that it has
 * @return north address, or 0: there is none in this block
 */
uint64_t vbus_poll_south_back(
	const void *mem_peer, uint64_t len, uint32_t kind, uint64_t *back_len);
/** vbus_poll_south_attach() of a placed ring. @p back  @p back_len bytes, or NULL: -EINVAL */
int vbus_poll_south_attach_placed(struct vbus_poll_south *q, void *mem_peer, uint64_t len,
	void *back, uint64_t back_len, uint32_t kind, uint32_t count_max,
	struct vbus_ioq_cursor *cur, unsigned int how);

/* ---- words ------------------------------------------------------------------------------------- */

/** Was this descriptor, loaded from position @p pos, written in that lap? */
VBUS_IOQ_INLINE bool
vbus_poll_desc_is_ready(const struct vbus_poll *r, uint64_t d, uint32_t pos)
{
	return (int64_t)(d ^ ((uint64_t)pos << r->desc_shift)) < 0;
}

VBUS_IOQ_INLINE bool
vbus_poll_comp_is_ready(const struct vbus_poll *r, uint32_t c, uint32_t pos)
{
	return (int32_t)(c ^ (pos << r->comp_shift)) < 0;
}

/** The phase bit to be written at @p pos. */
VBUS_IOQ_INLINE uint64_t
vbus_poll_desc_phase(const struct vbus_poll *r, uint32_t pos)
{
	return ~((uint64_t)pos << r->desc_shift) & VENET_POLL_PHASE;
}

VBUS_IOQ_INLINE uint32_t
vbus_poll_comp_phase(const struct vbus_poll *r, uint32_t pos)
{
	return ~(pos << r->comp_shift) & VENET_POLL_COMP_PHASE;
}

/** Entries from @p pos on, at most @p n, that are in one lap and in one piece: one phase for all. */
VBUS_IOQ_INLINE uint32_t
vbus_poll_run(const struct vbus_poll *r, uint32_t pos, uint32_t n)
{
	const uint32_t left = r->mask + 1 - (pos & r->mask);

	return n < left ? n : left;
}

/** @param more  0 or VENET_POLL_MORE */
VBUS_IOQ_INLINE uint64_t
vbus_poll_desc(uint64_t addr, uint32_t len, uint64_t more)
{
	return (addr & VENET_POLL_ADDR_MASK) | (uint64_t)len << VENET_POLL_LEN_SHIFT | more;
}

/** NEWEST: an empty buffer. @param id  its number, < count */
VBUS_IOQ_INLINE uint64_t
vbus_poll_buffer(uint64_t addr, uint32_t id)
{
	return (addr & VENET_POLL_ADDR_MASK) | (uint64_t)id << VENET_POLL_ID_SHIFT;
}

/** NEWEST: the number of a buffer, as its completion has it. */
VBUS_IOQ_INLINE uint32_t
vbus_poll_comp_of(uint64_t d)
{
	return (uint32_t)(d >> (VENET_POLL_ID_SHIFT - VENET_POLL_COMP_ID_SHIFT)) &
	       VENET_POLL_COMP_ID;
}

VBUS_IOQ_INLINE uint32_t
vbus_poll_comp_id(uint32_t c)
{
	return c >> VENET_POLL_COMP_ID_SHIFT & VENET_POLL_ID_MASK;
}

VBUS_IOQ_INLINE uint64_t
vbus_poll_addr(uint64_t d)
{
	return d & VENET_POLL_ADDR_MASK;
}

VBUS_IOQ_INLINE uint32_t
vbus_poll_len(uint64_t d)
{
	return (uint32_t)(d >> VENET_POLL_LEN_SHIFT) & VENET_POLL_LEN_MAX;
}

/**
 * Length; more than VENET_POLL_LEN_MAX with MORE, or when the entry was not written yet. So one
 * comparison tells a plain frame from all else.
 * @param phase  vbus_poll_desc_phase() of its position
 */
VBUS_IOQ_INLINE uint32_t
vbus_poll_plain_len(uint64_t d, uint64_t phase)
{
	return (uint32_t)((d ^ phase) >> VENET_POLL_LEN_SHIFT);
}

/** The next descriptor but @p i, whatever it holds. vbus_peer_fence_acquire() before its frame is read. */
VBUS_IOQ_INLINE uint64_t
vbus_poll_load_desc(const struct vbus_poll *r, uint32_t pos)
{
	return vbus_peer_load_owner64(&r->desc[pos & r->mask]);
}

VBUS_IOQ_INLINE uint32_t
vbus_poll_load_comp(const struct vbus_poll *r, uint32_t pos)
{
	return vbus_peer_load_owner32(&r->comp[pos & r->mask]);
}

/* ---- south ------------------------------------------------------------------------------------- */

/** Descriptors that are there, from @p off after the position on; at most max (<= count) looked at. */
VBUS_IOQ_INLINE uint32_t
vbus_poll_south_count(const struct vbus_poll_south *q, uint32_t max)
{
	const uint32_t pos = q->cur->inuse_head;
	uint32_t i;

	for (i = 0; i < max; i++)
		if (!vbus_poll_desc_is_ready(&q->r, vbus_poll_load_desc(&q->r, pos + i), pos + i))
			break;
	return i;
}

/** Is the descriptor `offset` (< count) after the next one there? */
VBUS_IOQ_INLINE bool
vbus_poll_south_is_ready(const struct vbus_poll_south *q, uint32_t offset)
{
	/* Relaxed: a slow look on another thread asks as well. */
	const uint32_t pos = vbus_peer_load32(&q->cur->inuse_head) + offset;

	return vbus_poll_desc_is_ready(&q->r, vbus_poll_load_desc(&q->r, pos), pos);
}

/** Transmit ring: done with the next n descriptors. */
VBUS_IOQ_INLINE void
vbus_poll_south_consume(const struct vbus_poll_south *q, uint32_t n)
{
	const uint32_t pos = q->cur->inuse_head + n;

	/* The private position first, see vbus_ioq_south_consume_pop(). */
	vbus_peer_store32(&q->cur->inuse_head, pos);
	/* Q: frames and descriptors have been read. Partner: the acquire in vbus_poll_north_done(). */
	vbus_peer_store32_release(q->r.done, pos);
}

/**
 * Receive ring with NEWEST: take all buffers that north has posted into the store.
 *
 * The words there are north's to change, as those in the ring: a buffer's address is checked when it is used.
 * @return buffers in the store, <= count; the newest one is the last
 */
VBUS_IOQ_INLINE uint32_t
vbus_poll_south_gather(const struct vbus_poll_south *q)
{
	const struct vbus_poll *r = &q->r;
	uint32_t pos = q->cur->inuse_tail;
	uint32_t held = pos - q->cur->inuse_head;
	uint32_t i, run;

	do {
		const uint64_t *from = &r->desc[pos & r->mask];
		const uint64_t phase = vbus_poll_desc_phase(r, pos);
		uint64_t *to = &r->store[held];

		run = vbus_poll_run(r, pos, r->mask + 1 - held);
		for (i = 0; i < run; i++) {
			const uint64_t d = vbus_peer_load_owner64(&from[i]);

			if ((int64_t)(d ^ phase) < 0)
				break;
			vbus_peer_store64(&to[i], d);
		}
		held += i;
		pos += i;
	} while (VBUS_IOQ_UNLIKELY(i == run && run > 0));
	/* After the words: whoever is killed in between takes them again. */
	vbus_peer_store32_release(&q->cur->inuse_tail, pos);
	return held;
}

/** The buffer `i` (< held) of the store counted from the newest. @p held  vbus_poll_south_gather() */
VBUS_IOQ_INLINE uint64_t
vbus_poll_south_newest(const struct vbus_poll_south *q, uint32_t held, uint32_t i)
{
	return vbus_peer_load64(&q->r.store[held - 1 - i]);
}

/**
 * Receive ring: complete the next n entries.
 * @param comp  lengths and flags, with NEWEST also the buffers' numbers, from the newest on; without the phase
 */
VBUS_IOQ_INLINE void
vbus_poll_south_complete(const struct vbus_poll_south *q, const uint32_t *comp, uint32_t n)
{
	const struct vbus_poll *r = &q->r;
	uint32_t pos = q->cur->inuse_head;
	uint32_t i, run;

	vbus_peer_store32(&q->cur->inuse_head, pos + n);
	/* Q: frames and requests are there. Partner: the acquire fences of north's bursts. */
	vbus_peer_fence_release();
	for (; n > 0; n -= run, pos += run, comp += run) {
		uint32_t *to = &r->comp[pos & r->mask];
		const uint32_t phase = vbus_poll_comp_phase(r, pos);

		run = vbus_poll_run(r, pos, n);
		for (i = 0; i < run; i++)
			vbus_peer_store_owner32(&to[i], comp[i] | phase);
	}
}

/* ---- north ------------------------------------------------------------------------------------- */

/** Entries that south holds, or that were not looked at. */
VBUS_IOQ_INLINE uint32_t
vbus_poll_north_used(const struct vbus_poll_north *q)
{
	return q->tail - q->head;
}

/** Entries that can be written. */
VBUS_IOQ_INLINE uint32_t
vbus_poll_north_room(const struct vbus_poll_north *q)
{
	return q->limit - (q->tail - q->head);
}

/**
 * Give the next n entries to south; there is room for them.
 * @param d  as vbus_poll_desc() makes them, without the phase
 */
VBUS_IOQ_INLINE void
vbus_poll_north_post(struct vbus_poll_north *q, const uint64_t *d, uint32_t n)
{
	const struct vbus_poll *r = &q->r;
	uint32_t pos = q->tail;
	uint32_t i, run;

	/* Q: the frames are there. Partner: the acquire fences of south's bursts. In order and in one
	 * go, so that a line mostly leaves when it is full.
	 */
	vbus_peer_fence_release();
	q->tail = pos + n;
	for (; n > 0; n -= run, pos += run, d += run) {
		uint64_t *to = &r->desc[pos & r->mask];
		const uint64_t phase = vbus_poll_desc_phase(r, pos);

		run = vbus_poll_run(r, pos, n);
		for (i = 0; i < run; i++)
			vbus_peer_store_owner64(&to[i], d[i] | phase);
	}
}

/** Transmit: entries from head on that south is done with. A count that cannot be is none. */
VBUS_IOQ_INLINE uint32_t
vbus_poll_north_done(const struct vbus_poll_north *q)
{
	/* Q: partner: the release in vbus_poll_south_consume(). */
	const uint32_t n = vbus_peer_load32_acquire(q->r.done) - q->head;

	return VBUS_IOQ_LIKELY(n <= q->tail - q->head) ? n : 0;
}

/** Receive: is the entry `offset` after the next one completed? */
VBUS_IOQ_INLINE bool
vbus_poll_north_is_ready(const struct vbus_poll_north *q, uint32_t offset)
{
	const uint32_t pos = q->head + offset;

	return offset < q->tail - q->head &&
	       vbus_poll_comp_is_ready(&q->r, vbus_poll_load_comp(&q->r, pos), pos);
}

/** Receive: completed entries, at most max looked at. */
VBUS_IOQ_INLINE uint32_t
vbus_poll_north_ready_count(const struct vbus_poll_north *q, uint32_t max)
{
	uint32_t i;

	for (i = 0; i < max; i++)
		if (!vbus_poll_north_is_ready(q, i))
			break;
	return i;
}

#ifdef __cplusplus
}
#endif
#endif /* VBUS_POLL_H */
