/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */
#ifndef VBUS_SIGNAL_H
#define VBUS_SIGNAL_H

/**
 * @file
 * shm_signal for either side: when to interrupt the other one. doc/abi.md section 2.
 *
 * A record belongs to the side that it interrupts. Its `enabled` is written by the owner,
 * `dirty` and `pending` are set by the injector and cleared by the owner.
 *
 * Edges (each comment in the code names the one on the other side):
 *
 *   D  inject: ring entries, then dirty          wake-up: dirty cleared, then ring entries
 *   P  inject: dirty, then pending is read       wake-up: pending cleared, then dirty is read
 *   E  inject: dirty, then enabled is read       enable: enabled set, then dirty is read
 *
 * Each of them is "store mine, then look at yours" on both sides and needs a full fence on both.
 * One inject follows a whole burst, so there is one fence per burst that signals.
 *
 * Old north drivers have a write barrier only where the fence should be (section 7.2): whoever
 * sleeps on a signal of theirs looks again after a bounded time.
 *
 * Threads: inject of one direction by one thread at a time; wake-up, enable and disable by one
 * thread at a time. The two are free against each other.
 */

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vbus/shm_signal.h>

#include "vbus_peer.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Which side of a link we are. */
enum vbus_locality {
	VBUS_LOCALITY_NORTH,
	VBUS_LOCALITY_SOUTH,
};

/**
 * A signal as one side sees it. Copyable; owns nothing. A placed one (doc/abi.md 12.5) lies in two
 * descriptors, of which one is near us; what is far is only written.
 */
struct vbus_signal {
	struct shm_signal_irq *local_peer;  /**< our record: we are interrupted by it; near */
	struct shm_signal_irq *remote_peer; /**< the other side's: we inject into it; far */
	const uint8_t *wanted_peer; /**< its switch, near: that record's, or its copy here */
	uint8_t *told_peer;	    /**< placed: the copy of our switch, far; else NULL */
};

/** Write a fresh descriptor (north, before the block is shared): nothing enabled or pending. */
void vbus_signal_format(struct shm_signal_desc *desc);

/**
 * Bind to the descriptor in a shared block.
 *
 * @param desc_peer at least sizeof(struct shm_signal_desc) bytes of mapped memory
 * @return 0; -EINVAL: not aligned to 4 bytes, wrong magic or version
 */
int vbus_signal_attach(struct vbus_signal *sig, void *desc_peer, enum vbus_locality locality);

/** The same with the descriptor that is near us and the far one, of which nothing is read. */
int vbus_signal_attach_placed(
	struct vbus_signal *sig, void *near_peer, void *far_peer, enum vbus_locality locality);

/**
 * Tell the other side that there is something to look at.
 *
 * @return true: deliver now (an interrupt, an event, a port write); false: the other side polls,
 *   or a delivery is under way.
 */
static inline bool
vbus_signal_inject(const struct vbus_signal *sig)
{
	struct shm_signal_irq *r = sig->remote_peer;

	/* D: release, so that the entries handed over before are seen by whoever sees dirty. */
	vbus_peer_store8_release(&r->dirty, 1);
	/* P, E: dirty is visible before pending and enabled are read. Partners: the fences of
	 * vbus_signal_wakeup() after pending is cleared and of vbus_signal_enable().
	 */
	vbus_peer_fence_full();
	if (vbus_peer_load8(sig->wanted_peer) == 0)
		return false;
	/* What is far is not read: a delivery too many instead, section 12.5. */
	if (sig->told_peer == NULL && vbus_peer_load8(&r->pending) != 0)
		return false;
	vbus_peer_store8(&r->pending, 1);
	return true;
}

/** Was a delivery asked for that the other side has not finished with? A hint, it may finish now. */
static inline bool
vbus_signal_is_outstanding(const struct vbus_signal *sig)
{
	return vbus_peer_load8(sig->wanted_peer) != 0 &&
	       vbus_peer_load8(&sig->remote_peer->pending) != 0;
}

/** Has our record been injected into since it was last taken? */
static inline bool
vbus_signal_is_raised(const struct vbus_signal *sig)
{
	/* Relaxed: the callers' fences come before (enable) or after (wake-up). */
	return vbus_peer_load8(&sig->local_peer->dirty) != 0 ||
	       vbus_peer_load8(&sig->local_peer->pending) != 0;
}

/** Do we want to be interrupted? Our own switch, but it lies in memory that the peer can write. */
static inline bool
vbus_signal_is_enabled(const struct vbus_signal *sig)
{
	return vbus_peer_load8(&sig->local_peer->enabled) != 0;
}

/**
 * Start to be interrupted. To be called before going to sleep, after the ring was seen empty.
 *
 * @return true: something came in before; call vbus_signal_wakeup(), do not sleep
 */
static inline bool
vbus_signal_enable(const struct vbus_signal *sig)
{
	vbus_peer_store8(&sig->local_peer->enabled, 1);
	if (sig->told_peer != NULL)
		vbus_peer_store8(sig->told_peer, 1);
	/* E: enabled is visible before dirty is read. Partner: the fence of vbus_signal_inject(). */
	vbus_peer_fence_full();
	return vbus_signal_is_raised(sig);
}

/** Stop to be interrupted (a poller). A delivery that is under way still arrives. */
static inline void
vbus_signal_disable(const struct vbus_signal *sig)
{
	/* No fence: an interrupt too many does no harm. */
	vbus_peer_store8(&sig->local_peer->enabled, 0);
	if (sig->told_peer != NULL)
		vbus_peer_store8(sig->told_peer, 0);
}

/** Does the other side want to be interrupted? One load. */
static inline bool
vbus_signal_is_wanted(const struct vbus_signal *sig)
{
	return vbus_peer_load8(sig->wanted_peer) != 0;
}

/** Looks at the ring. It may call vbus_signal_disable(). */
typedef void (*vbus_signal_notify_t)(void *ctx);

/**
 * Run on delivery, and when vbus_signal_enable() says so.
 *
 * @param notify called once per round; it has to look at everything that the signal stands for
 * @param budget most rounds (>= 1): the peer can raise the signal for ever
 * @return false: done; true: the budget is used up and the signal is raised again: call it again
 *   (nothing will be delivered before)
 */
static inline bool
vbus_signal_wakeup(
	const struct vbus_signal *sig, vbus_signal_notify_t notify, void *ctx, unsigned int budget)
{
	struct shm_signal_irq *l = sig->local_peer;

	while (vbus_signal_is_enabled(sig) && vbus_signal_is_raised(sig)) {
		do {
			if (budget-- == 0)
				return true;
			vbus_peer_store8(&l->dirty, 0);
			/* D: dirty is cleared before the ring is read: an entry that this round
			 * does not see sets dirty again. Partner: vbus_signal_inject()'s release.
			 */
			vbus_peer_fence_full();
			notify(ctx);
		} while (vbus_peer_load8(&l->dirty) != 0);
		vbus_peer_store8(&l->pending, 0);
		/* P: pending is cleared before dirty is looked at once more (loop condition).
		 * Partner: the fence of vbus_signal_inject(), which delivers if it sees the clear.
		 */
		vbus_peer_fence_full();
	}
	return false;
}

/**
 * Take a raised signal without a notifier: clears dirty and pending. For receivers that look at
 * the ring themselves after it (an interrupt thread that only wakes a poller).
 */
static inline void
vbus_signal_take(const struct vbus_signal *sig)
{
	vbus_peer_store8(&sig->local_peer->pending, 0);
	vbus_peer_store8(&sig->local_peer->dirty, 0);
	/* D, P: both are cleared before the caller reads the ring. Partner: vbus_signal_inject(). */
	vbus_peer_fence_full();
}

#ifdef __cplusplus
}
#endif
#endif /* VBUS_SIGNAL_H */
