/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */
#ifndef BENCH_TRIPS_H
#define BENCH_TRIPS_H

/** @file Round-trip times in a histogram of the time-stamp counter's cycles. */

#include <stdint.h>
#include <string.h>

#include <rte_cycles.h>

#define TRIPS_SLOTS (1u << 18)
#define TRIPS_SHIFT 1 /* cycles of a slot: 2; what is longer than all counts as the last */

struct bench_trips {
	uint64_t nb, longest; /* cycles */
	uint32_t slot[TRIPS_SLOTS];
};

static inline void
bench_trip_add(struct bench_trips *t, uint64_t cycles)
{
	uint64_t slot = cycles >> TRIPS_SHIFT;

	t->slot[slot < TRIPS_SLOTS ? slot : TRIPS_SLOTS - 1]++;
	t->longest = cycles > t->longest ? cycles : t->longest;
	t->nb++;
}

/** @return nanoseconds within which @p per_mille of the trips were */
static inline uint64_t
bench_trips_ns(const struct bench_trips *t, uint64_t per_mille)
{
	uint64_t seen = 0, rank = (t->nb * per_mille + 999) / 1000;
	unsigned int i;

	for (i = 0; i < TRIPS_SLOTS; i++) {
		seen += t->slot[i];
		if (seen >= rank)
			break;
	}
	return ((uint64_t)i << TRIPS_SHIFT) * 1000000000u / rte_get_tsc_hz();
}

#endif /* BENCH_TRIPS_H */
