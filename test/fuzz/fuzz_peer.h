/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */
#ifndef FUZZ_PEER_H
#define FUZZ_PEER_H

/*
 * The accessors of vbus_peer.h as they are, but each load is a moment at which the peer may have
 * changed what is loaded. Included by vbus_peer.h itself when VBUS_PEER_SIM names this file; it
 * includes vbus_peer.h in turn, with the loads under other names. A load that is missing in the list
 * is not interfered with, nothing else.
 */

#include "fuzz_race.h"

#define FUZZ_PEER_LOADS(X)                    \
	X(vbus_peer_load8, uint8_t)           \
	X(vbus_peer_load16, uint16_t)         \
	X(vbus_peer_load32, uint32_t)         \
	X(vbus_peer_load64, uint64_t)         \
	X(vbus_peer_load8_acquire, uint8_t)   \
	X(vbus_peer_load32_acquire, uint32_t) \
	X(vbus_peer_load_owner, uint8_t)      \
	X(vbus_peer_load_owner32, uint32_t)   \
	X(vbus_peer_load_owner64, uint64_t)

#define vbus_peer_load8		 real_vbus_peer_load8
#define vbus_peer_load16	 real_vbus_peer_load16
#define vbus_peer_load32	 real_vbus_peer_load32
#define vbus_peer_load64	 real_vbus_peer_load64
#define vbus_peer_load8_acquire	 real_vbus_peer_load8_acquire
#define vbus_peer_load32_acquire real_vbus_peer_load32_acquire
#define vbus_peer_load_owner	 real_vbus_peer_load_owner
#define vbus_peer_load_owner32	 real_vbus_peer_load_owner32
#define vbus_peer_load_owner64	 real_vbus_peer_load_owner64
#define vbus_peer_copy_in	 real_vbus_peer_copy_in

#undef VBUS_PEER_SIM
#undef VBUS_PEER_H
#include "vbus_peer.h"

#undef vbus_peer_load8
#undef vbus_peer_load16
#undef vbus_peer_load32
#undef vbus_peer_load64
#undef vbus_peer_load8_acquire
#undef vbus_peer_load32_acquire
#undef vbus_peer_load_owner
#undef vbus_peer_load_owner32
#undef vbus_peer_load_owner64
#undef vbus_peer_copy_in

#define FUZZ_PEER_LOAD(name, type)             \
	static inline type name(const type *p) \
	{                                      \
		fuzz_race(p, sizeof(*p));      \
		return real_##name(p);         \
	}
FUZZ_PEER_LOADS(FUZZ_PEER_LOAD)

static inline void
vbus_peer_copy_in(void *dst, const void *src_peer, size_t len)
{
	fuzz_race(src_peer, len);
	real_vbus_peer_copy_in(dst, src_peer, len);
}

#endif /* FUZZ_PEER_H */
