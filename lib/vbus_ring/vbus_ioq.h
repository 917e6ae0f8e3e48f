/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */
#ifndef VBUS_IOQ_H
#define VBUS_IOQ_H

/**
 * @file
 * ioq, the ring: types, and what is not on the fast path. doc/abi.md sections 3 and 4.
 * The operations are in vbus_ioq_south.h and vbus_ioq_north.h.
 *
 * Trust. Both sides keep their positions in private memory; what lies in the shared head is
 * written for the peer and never read back, with one exception: after a push the peer's head is
 * compared with our tail to decide on `full`. Entries are read once into struct vbus_ioq_entry;
 * that copy is what the caller checks (address through the memory map, length against the room).
 *
 * `full` is written by both sides, without a lock. It counts only where head = tail, and:
 *  - A pusher sets it before it hands over `sown` of what it pushes; a popper clears it after it
 *    has seen that `sown`. To drain the ring (head = tail, empty) the popper has to pop the entry
 *    pushed last, so its clear comes after every set: no stale `full` on an empty ring. This holds
 *    for a ring of one entry as well, where head = tail always.
 *  - A popper clears it before it hands `sown` back; a pusher needs that `sown` to push into the
 *    entry. To fill the ring (head = tail, full) the pusher has to own the entry popped last, so
 *    its set comes after every clear: no stale "empty" on a full ring.
 *  - In between the two writes may cross and leave any value, but there head and tail differ and
 *    nobody may look at it.
 *
 * Edge S (comments in the code refer to it): the writer's fields and indices, release fence,
 * `sown` -> `sown`, acquire fence, the reader's accesses. The release also keeps the writer's
 * READS of the entry before the hand-over: the new owner overwrites it.
 *
 * Threads: each object belongs to one thread at a time.
 */

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vbus/ioq.h>

#include "vbus_peer.h"

#ifdef __cplusplus
extern "C" {
#endif

#define VBUS_IOQ_INLINE	     static inline __attribute__((always_inline))
#define VBUS_IOQ_LIKELY(x)   __builtin_expect(!!(x), 1)
#define VBUS_IOQ_UNLIKELY(x) __builtin_expect(!!(x), 0)

/** An entry, as copied out of a descriptor (or to be written into one). */
struct vbus_ioq_entry {
	uint64_t cookie; /**< north's own */
	uint64_t ptr;	 /**< address in north's memory or offset into a pool; unchecked */
	uint64_t len;	 /**< bytes; unchecked */
};

/**
 * South's positions in one ring. They lie in the link's state (one line, one writer, no
 * pointers), so that they outlive the process. All zero is "never attached".
 */
struct vbus_ioq_cursor {
	uint32_t inuse_head; /**< next entry to pop (transmit, page ring) */
	uint32_t inuse_tail; /**< next entry to push (receive, event rings) */
	uint32_t count;	     /**< of the ring that the positions belong to */
	uint32_t reserved[13];
} __attribute__((aligned(64)));

/** Why a ring was refused: for counters and log lines. */
enum vbus_ioq_refusal {
	VBUS_IOQ_OK,
	VBUS_IOQ_BAD_ALIGN, /**< not at a multiple of 8 */
	VBUS_IOQ_BAD_SIZE,  /**< the block is not 56 + 32 * count bytes */
	VBUS_IOQ_BAD_MAGIC,
	VBUS_IOQ_BAD_VERSION,
	VBUS_IOQ_BAD_COUNT, /**< 0, or over the device's limit */
	VBUS_IOQ_BAD_INDEX, /**< a position that is not below count */
	VBUS_IOQ_NB_REFUSALS,
};

/** A word or two for the log; never NULL. */
const char *vbus_ioq_refusal_name(enum vbus_ioq_refusal why);

/** Bytes of a ring with `count` entries. */
static inline uint64_t
vbus_ioq_size(uint32_t count)
{
	return IOQ_RING_SIZE(count);
}

/** The position after idx; no division. */
VBUS_IOQ_INLINE uint32_t
vbus_ioq_next(uint32_t idx, uint32_t count)
{
	idx++;
	return idx == count ? 0 : idx;
}

/** The position n (<= count) after idx. Sums stay below 2^32: counts are limited at attach. */
VBUS_IOQ_INLINE uint32_t
vbus_ioq_advance(uint32_t idx, uint32_t n, uint32_t count)
{
	idx += n;
	return idx >= count ? idx - count : idx;
}

/** No ring has more entries, whatever limit the caller names. */
#define VBUS_IOQ_COUNT_MAX (1U << 20)

/** South's ring object: one process's mapping plus the cursor in the link's state. */
struct vbus_ioq_south {
	struct ioq_ring_desc *desc_peer;
	struct ioq_ring_idx *inuse_peer;
	struct vbus_ioq_cursor *cur;
	uint32_t count;
	enum vbus_ioq_refusal refusal; /**< of the last attach */
	struct ioq_ring_head *head_peer;
};

/** Take the positions from the shared head (a ring that north has just shared). */
#define VBUS_IOQ_FRESH 0U
/** Keep the positions of the cursor (LINKUP again; a process that took over the link's state). */
#define VBUS_IOQ_RESUME 1U

/**
 * South: check a block that north shares and bind to it. Control thread.
 *
 * @param q filled in; q->refusal says why it was refused
 * @param mem_peer the mapped block
 * @param len its bytes: DEVSHM's, or vbus_ioq_size() of QREG's count
 * @param count_max the device's limit on entries
 * @param cur positions, caller's memory, outlives q
 * @param how VBUS_IOQ_FRESH or VBUS_IOQ_RESUME
 * @return 0; -EINVAL: refused, cur is unchanged
 */
int vbus_ioq_south_attach(struct vbus_ioq_south *q, void *mem_peer, uint64_t len,
	uint32_t count_max, struct vbus_ioq_cursor *cur, unsigned int how);

/**
 * North's ring object. North owns the memory, allocates and formats it.
 *
 * Which operations belong to which ring:
 *  - receive ring, event rings: post, pop, repost
 *  - transmit ring:             push, reap
 *  - transmit with TXC, page ring: push_inuse
 */
struct vbus_ioq_north {
	struct ioq_ring_desc *desc;
	struct ioq_ring_head *ring;
	uint64_t *cookies; /**< private copies, `count` of them; not read back from the ring */
	uint32_t count;
	uint32_t head;	    /**< next entry to pop or to reap */
	uint32_t tail;	    /**< next entry to post or to push */
	uint32_t nb_used;   /**< entries between head and tail */
	uint32_t nb_filled; /**< receive: entries posted on the first lap, up to count */
};

/**
 * North: write an empty ring. Before the block is shared, and again after a reset.
 *
 * @param q initialised
 * @param mem vbus_ioq_size(count) bytes at a multiple of 8; at 8 mod 64 the descriptors do not
 *   straddle cache lines
 * @param count 1 .. VBUS_IOQ_COUNT_MAX
 * @param cookies room for count private cookies (caller's, outlives q)
 * @param valid the `valid` byte of every descriptor: 0 in venet's event ring and the page ring, 1
 *   elsewhere (section 3)
 * @return 0; -EINVAL: misaligned or count out of range
 */
int vbus_ioq_north_format(
	struct vbus_ioq_north *q, void *mem, uint32_t count, uint64_t *cookies, uint8_t valid);

#ifdef __cplusplus
}
#endif
#endif /* VBUS_IOQ_H */
