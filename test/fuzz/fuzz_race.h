/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */
#ifndef FUZZ_RACE_H
#define FUZZ_RACE_H

/*
 * A peer that changes the shared memory between two reads, without a second thread: each load of
 * vbus_peer.h comes by here first, and the input says which of them find something else than what
 * lay there a moment before. So what such a peer can do is explored, not hoped for, and an input
 * does the same thing again. (The second thread is there as well, for what is read without
 * vbus_peer.h: frames and argument blocks; fuzz_link.h.)
 */

#include <stddef.h>
#include <stdint.h>

/* Shared memory of the target: only loads from there are interfered with. */
extern uintptr_t fuzz_race_lo, fuzz_race_len;
/* Loads until the next change; 0: there are no more changes. */
extern uint32_t fuzz_race_left;

void fuzz_race_now(uintptr_t p, size_t len);

static inline void
fuzz_race(const void *p, size_t len)
{
	if (__builtin_expect(fuzz_race_left != 0, 0) && --fuzz_race_left == 0)
		fuzz_race_now((uintptr_t)p, len);
}

#endif /* FUZZ_RACE_H */
