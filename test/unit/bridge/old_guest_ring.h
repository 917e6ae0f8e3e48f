/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */
#ifndef TEST_OLD_GUEST_RING_H
#define TEST_OLD_GUEST_RING_H

/**
 * @file
 * What the guest's bus driver (old_guest.c) and network driver (old_guest_net.c) share: bytes and
 * rings, by literal offsets.
 */

#include <string.h>

#include <CUnit/CUnit.h>

#include "old_guest.h"

#define GUEST_ARGS 0x400u /* in the page of the fast calls, behind the channels' blocks */
#define GUEST_DATA 0x800u

/* ---- bytes ------------------------------------------------------------------------------------ */

static inline uint16_t
r16(const uint8_t *p)
{
	return (uint16_t)(p[0] | p[1] << 8);
}

static inline uint32_t
r32(const uint8_t *p)
{
	return r16(p) | (uint32_t)r16(p + 2) << 16;
}

static inline uint64_t
r64(const uint8_t *p)
{
	return r32(p) | (uint64_t)r32(p + 4) << 32;
}

static inline void
w16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)v;
	p[1] = (uint8_t)(v >> 8);
}

static inline void
w32(uint8_t *p, uint32_t v)
{
	w16(p, (uint16_t)v);
	w16(p + 2, (uint16_t)(v >> 16));
}

static inline void
w64(uint8_t *p, uint64_t v)
{
	w32(p, (uint32_t)v);
	w32(p + 4, (uint32_t)(v >> 32));
}

/* ---- rings ------------------------------------------------------------------------------------ */

#define IDX_VALID 24
#define IDX_INUSE 36

static inline uint8_t *
desc(const struct guest_ring *r, uint32_t i)
{
	return r->va + 56 + 32 * i;
}

static inline bool
idx_empty(const struct guest_ring *r, uint32_t idx)
{
	const uint8_t *p = r->va + idx;

	return r32(p) == r32(p + 4) && p[8] == 0;
}

static inline bool
idx_full(const struct guest_ring *r, uint32_t idx)
{
	const uint8_t *p = r->va + idx;

	return r32(p) == r32(p + 4) && p[8] != 0;
}

static inline void
idx_push(struct guest_ring *r, uint32_t idx)
{
	uint8_t *p = r->va + idx;
	uint32_t tail = r32(p + 4) + 1;

	if (tail == r->count)
		tail = 0;
	w32(p + 4, tail);
	if (tail == r32(p))
		p[8] = 1;
}

static inline void
idx_pop(struct guest_ring *r, uint32_t idx)
{
	uint8_t *p = r->va + idx;
	uint32_t head = r32(p) + 1;

	w32(p, head == r->count ? 0 : head);
	p[8] = 0;
}

static inline void
desc_set(struct guest_ring *r, uint32_t i, uint64_t cookie, uint64_t ptr, uint64_t len,
	uint8_t valid)
{
	uint8_t *d = desc(r, i);

	w64(d, cookie);
	w64(d + 8, ptr);
	w64(d + 16, len);
	d[24] = valid;
}

/* The first fill of a receive or event ring: all of it, on the valid index. */
static inline void
ring_filled(struct guest_ring *r)
{
	uint32_t i;

	for (i = 0; i < r->count; i++) {
		idx_push(r, IDX_VALID);
		desc(r, i)[25] = 1;
	}
	CU_ASSERT(idx_full(r, IDX_VALID));
}

/* old_guest.c */

/** Memory of the guest, @p skew bytes behind a page's start. */
uint8_t *guest_take(struct guest *g, uint32_t size, uint32_t skew, uint64_t *gpa);
/** An empty ring at 0 mod 64. */
void guest_ring_make(struct guest *g, struct guest_ring *r, uint32_t count);
/** North's inject: a write barrier and no more (7.2). */
void guest_ring_inject(struct guest *g, struct guest_ring *r);
void guest_ring_enable(struct guest_ring *r);
/** A fast call with its block at GUEST_ARGS, on the next channel. */
int32_t guest_fast_call(struct guest *g, uint32_t vector, uint32_t args, uint32_t len);

/* old_guest_net.c */

/** A device of the network driver's type: probe it and bring its interface up. */
void guest_net_start(struct guest_dev *d);

#endif
