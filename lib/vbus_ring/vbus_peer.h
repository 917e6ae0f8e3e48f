/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */
#ifndef VBUS_PEER_H
#define VBUS_PEER_H

/**
 * @file
 * The only accessors of memory that is shared with a peer.
 *
 * Rule of use: read a field ONCE with vbus_peer_load*() into a local, check the local, use the
 * local. Every access is one `__atomic` builtin of the field's width, so the compiler neither
 * tears nor repeats it. The vocabulary below is all there is: what is not here is not needed.
 *
 * Ordering is carried by the ownership byte of a descriptor (`sown`). The fast path reads or
 * writes many of these bytes and pays for one fence per burst, not one ordered access per entry:
 *
 *   reader: vbus_peer_load_owner() ..., vbus_peer_fence_acquire(), then the entries' fields
 *   writer: the entries' fields, the indices, vbus_peer_fence_release(), vbus_peer_store_owner()
 *
 * On x86 both fences cost no instruction. ThreadSanitizer does not model fences: when it is on,
 * each ownership access carries the order itself and the fences are empty (VBUS_PEER_TSAN).
 *
 * VBUS_PEER_SIM names a header that replaces this one's functions: test/unit/ring explores
 * interleavings and late stores with it. It is never defined outside of tests.
 */

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef VBUS_PEER_SIM
#include VBUS_PEER_SIM
#else

#if defined(__SANITIZE_THREAD__)
#define VBUS_PEER_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define VBUS_PEER_TSAN 1
#endif
#endif
#ifndef VBUS_PEER_TSAN
#define VBUS_PEER_TSAN 0
#endif

/** Load a field of the shared memory once; no order. */
static inline uint8_t
vbus_peer_load8(const uint8_t *p)
{
	return __atomic_load_n(p, __ATOMIC_RELAXED);
}

static inline uint16_t
vbus_peer_load16(const uint16_t *p)
{
	return __atomic_load_n(p, __ATOMIC_RELAXED);
}

static inline uint32_t
vbus_peer_load32(const uint32_t *p)
{
	return __atomic_load_n(p, __ATOMIC_RELAXED);
}

static inline uint64_t
vbus_peer_load64(const uint64_t *p)
{
	return __atomic_load_n(p, __ATOMIC_RELAXED);
}

/** Load a byte; what its writer stored before a release store of it is visible afterwards. */
static inline uint8_t
vbus_peer_load8_acquire(const uint8_t *p)
{
	return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}

/** Load a 32-bit word with acquire order. */
static inline uint32_t
vbus_peer_load32_acquire(const uint32_t *p)
{
	return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}

/** Store a field of the shared memory once; no order. */
static inline void
vbus_peer_store8(uint8_t *p, uint8_t v)
{
	__atomic_store_n(p, v, __ATOMIC_RELAXED);
}

static inline void
vbus_peer_store16(uint16_t *p, uint16_t v)
{
	__atomic_store_n(p, v, __ATOMIC_RELAXED);
}

static inline void
vbus_peer_store32(uint32_t *p, uint32_t v)
{
	__atomic_store_n(p, v, __ATOMIC_RELAXED);
}

static inline void
vbus_peer_store64(uint64_t *p, uint64_t v)
{
	__atomic_store_n(p, v, __ATOMIC_RELAXED);
}

/** Store a byte after everything that was read or written before. */
static inline void
vbus_peer_store8_release(uint8_t *p, uint8_t v)
{
	__atomic_store_n(p, v, __ATOMIC_RELEASE);
}

/** Store a 32-bit word after everything that was read or written before. */
static inline void
vbus_peer_store32_release(uint32_t *p, uint32_t v)
{
	__atomic_store_n(p, v, __ATOMIC_RELEASE);
}

/** Load an ownership byte; vbus_peer_fence_acquire() has to follow before its entry is read. */
static inline uint8_t
vbus_peer_load_owner(const uint8_t *p)
{
	return __atomic_load_n(p, VBUS_PEER_TSAN ? __ATOMIC_ACQUIRE : __ATOMIC_RELAXED);
}

/** Store an ownership byte; vbus_peer_fence_release() has to come before. */
static inline void
vbus_peer_store_owner(uint8_t *p, uint8_t v)
{
	__atomic_store_n(p, v, VBUS_PEER_TSAN ? __ATOMIC_RELEASE : __ATOMIC_RELAXED);
}

/** The same for words that hold an entry and its ownership in one (vbus_poll.h). */
static inline uint32_t
vbus_peer_load_owner32(const uint32_t *p)
{
	return __atomic_load_n(p, VBUS_PEER_TSAN ? __ATOMIC_ACQUIRE : __ATOMIC_RELAXED);
}

static inline uint64_t
vbus_peer_load_owner64(const uint64_t *p)
{
	return __atomic_load_n(p, VBUS_PEER_TSAN ? __ATOMIC_ACQUIRE : __ATOMIC_RELAXED);
}

static inline void
vbus_peer_store_owner32(uint32_t *p, uint32_t v)
{
	__atomic_store_n(p, v, VBUS_PEER_TSAN ? __ATOMIC_RELEASE : __ATOMIC_RELAXED);
}

static inline void
vbus_peer_store_owner64(uint64_t *p, uint64_t v)
{
	__atomic_store_n(p, v, VBUS_PEER_TSAN ? __ATOMIC_RELEASE : __ATOMIC_RELAXED);
}

/** No later read or write moves before the loads that precede. */
static inline void
vbus_peer_fence_acquire(void)
{
#if !VBUS_PEER_TSAN
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
#endif
}

/** No earlier read or write moves behind the stores that follow. */
static inline void
vbus_peer_fence_release(void)
{
#if !VBUS_PEER_TSAN
	__atomic_thread_fence(__ATOMIC_RELEASE);
#endif
}

/** Everything before is visible before anything after is read: the only fence that costs. */
static inline void
vbus_peer_fence_full(void)
{
#if VBUS_PEER_TSAN
	uint32_t word = 0;

	__atomic_fetch_add(&word, 1, __ATOMIC_SEQ_CST);
#else
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
#endif
}

/**
 * Copy a block out of the shared memory, each byte read once (a descriptor, an argument block).
 * The copy is what gets checked and used. No order: it comes after an acquire.
 *
 * @param dst private memory
 * @param src_peer shared memory, any alignment
 * @param len bytes
 */
static inline void
vbus_peer_copy_in(void *dst, const void *src_peer, size_t len)
{
	memcpy(dst, src_peer, len);
	/* The compiler may not look at the source again in place of the copy. */
	__asm__ __volatile__("" : : "r"(dst) : "memory");
}

#endif /* VBUS_PEER_SIM */
#endif /* VBUS_PEER_H */
