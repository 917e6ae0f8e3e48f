/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */
#ifndef VBUS_MARK_H
#define VBUS_MARK_H

/**
 * @file
 * The in-burst mark: how the control side learns that a polling thread has left a queue (DESIGN 5).
 *
 * The PMD lives in programs whose lcores report nothing, so each queue carries a counter that is
 * odd while a burst runs. The polling side only does plain stores; the control side, after it has
 * unpublished what the burst would use, pays for the fence with membarrier(2) and then waits until
 * the counter is even or has moved.
 *
 *   polling side                       control side
 *   M0 seq = odd     (relaxed)         C0 path = NULL        (release)
 *      compiler barrier                C1 membarrier         (a full fence on every CPU)
 *   M1 p = path      (acquire)         C2 wait: seq even or changed (acquire, pairs with M2)
 *      ... use p ...
 *   M2 seq = even    (release)
 *
 * Either M1 sees NULL, or C2 sees the odd value: C1 orders M0 before M1 as the control side sees
 * them without an instruction on the polling side.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct vbus_mark {
	_Atomic uint32_t seq; /**< written by the polling thread only; odd: in a burst */
};

/** Enter a burst. Polling thread. */
static inline void
vbus_mark_enter(struct vbus_mark *m)
{
	uint32_t s = atomic_load_explicit(&m->seq, memory_order_relaxed);

	atomic_store_explicit(&m->seq, s + 1, memory_order_relaxed); /* M0 */
	atomic_signal_fence(memory_order_seq_cst); /* the CPU's part of the fence is C1 */
}

/** Leave it: everything the burst touched is done before this is seen (M2, pairs with C2). */
static inline void
vbus_mark_leave(struct vbus_mark *m)
{
	uint32_t s = atomic_load_explicit(&m->seq, memory_order_relaxed);

	atomic_store_explicit(&m->seq, s + 1, memory_order_release);
}

/** Make the process ready for vbus_mark_fence(). Once, slow path. @return 0 or negative errno. */
int vbus_mark_init(void);
/** Does the fence reach other processes that called vbus_mark_init(), too? After that. */
bool vbus_mark_is_global(void);
/** C1: a full barrier on every CPU that runs a thread of a registered process. Slow path, any thread. */
void vbus_mark_fence(void);
/**
 * C1 and C2 for one mark: after it no burst runs that began before the call. The caller unpublished
 * first. Control side; waits for at most one burst of this queue.
 */
void vbus_mark_wait(struct vbus_mark *m);
/** C2 only, for callers with many marks: one vbus_mark_fence(), then this for each. */
void vbus_mark_wait_nofence(struct vbus_mark *m);

#endif /* VBUS_MARK_H */
