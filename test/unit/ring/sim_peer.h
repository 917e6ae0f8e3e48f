/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */
#ifndef SIM_PEER_H
#define SIM_PEER_H

/*
 * In place of vbus_peer.h's accessors: each access is a step of a small simulated machine
 * (sim.h). Included by vbus_peer.h itself when VBUS_PEER_SIM names this file.
 */

#include "sim.h"

static inline uint8_t
vbus_peer_load8(const uint8_t *p)
{
	return (uint8_t)sim_load(p, 1);
}

static inline uint32_t
vbus_peer_load32(const uint32_t *p)
{
	return (uint32_t)sim_load(p, 4);
}

static inline uint64_t
vbus_peer_load64(const uint64_t *p)
{
	return sim_load(p, 8);
}

static inline void
vbus_peer_store8(uint8_t *p, uint8_t v)
{
	sim_store(p, 1, v);
}

static inline void
vbus_peer_store32(uint32_t *p, uint32_t v)
{
	sim_store(p, 4, v);
}

static inline void
vbus_peer_store64(uint64_t *p, uint64_t v)
{
	sim_store(p, 8, v);
}

static inline void
vbus_peer_fence_acquire(void)
{
	/* Loads are not reordered in the simulated machine; ThreadSanitizer looks at these. */
}

static inline void
vbus_peer_fence_release(void)
{
	sim_fence_release();
}

static inline void
vbus_peer_fence_full(void)
{
	sim_fence_full();
}

static inline void
vbus_peer_store8_release(uint8_t *p, uint8_t v)
{
	sim_fence_release();
	sim_store(p, 1, v);
}

static inline uint8_t
vbus_peer_load_owner(const uint8_t *p)
{
	return vbus_peer_load8(p);
}

static inline void
vbus_peer_store_owner(uint8_t *p, uint8_t v)
{
	vbus_peer_store8(p, v);
}

#endif /* SIM_PEER_H */
