/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */
#ifndef VBUS_TURNS_H
#define VBUS_TURNS_H

/**
 * @file
 * Whose turn it is: one thread polls hundreds of devices of which few carry traffic (ADR-0022).
 *
 * A look at an idle device moves nothing, and costs the cache lines that it needs. So a round looks at all
 * devices that moved frames lately, and at as many of the others as what was moved pays for: at least
 * VBUS_TURNS_LOOKS, one more for every VBUS_TURNS_PAID frames, in turn. A round that moves nothing
 * looks at all of them. So the price of idle devices is a share of the work, however many there are, and none
 * waits longer than two times their number / VBUS_TURNS_LOOKS rounds. With no more than VBUS_TURNS_LOOKS
 * of them each round looks at all, as a plain loop does.
 *
 * It is the polling thread's own: nobody else may touch it.
 */

#include <stdbool.h>
#include <stdint.h>

#include <rte_branch_prediction.h>
#include <rte_common.h>
#include <rte_prefetch.h>

#define VBUS_TURNS_MAX	 4096u /**< devices */
#define VBUS_TURNS_LOOKS 16u   /**< at idle ones in a round that moved something, at least */
#define VBUS_TURNS_PAID	 16u   /**< frames that pay for one more; a power of two */
#define VBUS_TURNS_EMPTY 16u   /**< rounds without anything that make a device an idle one */
#define VBUS_TURNS_STEPS 4u    /**< of a prefetch */
#define VBUS_TURNS_GAP	 4u    /**< looks between two steps */

struct vbus_turns {
	uint32_t nb;
	uint32_t nb_busy;		/**< the first ones of order[] */
	uint32_t at;			/**< place of the idle one whose turn it is */
	uint16_t order[VBUS_TURNS_MAX]; /**< numbers of the devices, each once */
	uint8_t empty[VBUS_TURNS_MAX];	/**< of the busy ones, by place: rounds without anything */
};

/** @p nb devices, at most VBUS_TURNS_MAX, numbered from 0. All count as busy at first. */
static inline void
vbus_turns_reset(struct vbus_turns *t, uint32_t nb)
{
	uint32_t i;

	t->nb = RTE_MIN(nb, VBUS_TURNS_MAX);
	t->nb_busy = t->nb;
	t->at = t->nb;
	for (i = 0; i < t->nb; i++) {
		t->order[i] = (uint16_t)i;
		t->empty[i] = 0;
	}
}

static inline void
vbus_turns_swap(struct vbus_turns *t, uint32_t a, uint32_t b)
{
	const uint16_t which = t->order[a];

	t->order[a] = t->order[b];
	t->order[b] = which;
}

/**
 * Look at a device. @p which: its number. @return frames moved
 */
typedef uint32_t (*vbus_turns_look)(void *arg, uint32_t which);

/**
 * A look at @p which is near: prefetch what it needs first. What is reached through that has its turn in the
 * next step: 0 to VBUS_TURNS_STEPS - 1.
 */
typedef void (*vbus_turns_ahead)(void *arg, uint32_t which, uint32_t step);

/** What the next idle ones need, each in its step: they have been out of the nearest caches for long. */
static __rte_always_inline void
vbus_turns_prefetch(const struct vbus_turns *t, vbus_turns_ahead ahead, void *arg)
{
	uint32_t step;

	for (step = 0; step < VBUS_TURNS_STEPS; step++) {
		const uint32_t place = t->at + (VBUS_TURNS_STEPS - step) * VBUS_TURNS_GAP;

		if (likely(place < t->nb))
			ahead(arg, t->order[place], step);
	}
}

/**
 * A round: @p look is called for each device whose turn it is, @p ahead for idle ones that are near. Both
 * to be inlined.
 * @return frames moved
 */
static __rte_always_inline uint32_t
vbus_turns_round(struct vbus_turns *t, vbus_turns_look look, vbus_turns_ahead ahead, void *arg)
{
	uint32_t moved = 0, i = 0, n, left;

	while (i < t->nb_busy) {
		n = look(arg, t->order[i]);
		moved += n;
		if (n != 0) {
			t->empty[i++] = 0;
		} else if (likely(++t->empty[i] < VBUS_TURNS_EMPTY)) {
			i++;
		} else {
			/* The last busy one takes its place, and its turn is next. */
			t->nb_busy--;
			vbus_turns_swap(t, i, t->nb_busy);
			t->empty[i] = t->empty[t->nb_busy];
		}
	}
	left = t->nb - t->nb_busy;
	if (moved != 0)
		left = RTE_MIN(left, VBUS_TURNS_LOOKS + moved / VBUS_TURNS_PAID);
	for (; left != 0; left--) {
		if (t->at >= t->nb)
			t->at = t->nb_busy;
		vbus_turns_prefetch(t, ahead, arg);
		n = look(arg, t->order[t->at]);
		if (unlikely(n != 0)) {
			/* It changes places with the first idle one, which has been looked at, or is in the next lap. */
			vbus_turns_swap(t, t->at, t->nb_busy);
			t->empty[t->nb_busy++] = 0;
			moved += n;
		}
		t->at++;
	}
	return moved;
}

#endif /* VBUS_TURNS_H */
