/* SPDX-License-Identifier: (GPL-2.0-only WITH Linux-syscall-note) OR BSD-3-Clause */
/* Copyright(c) 2026 vbus developers */
#ifndef VBUS_ABI_TYPES_H
#define VBUS_ABI_TYPES_H

/*
 * Fixed-width little-endian types of the vbus wire ABI and the checks of its layouts.
 *
 * The headers of this folder are the only definition of the ABI. They are freestanding: the
 * backend, DPDK programs, C++ programs and the Linux guest modules include the very same files.
 * Section numbers in them are those of doc/abi.md.
 *
 * Kernel: the types carry sparse's endianness. User space: plain integers, because the project
 * supports little-endian hosts only.
 *
 * The 64-bit type is aligned to 8 bytes everywhere, also where the C ABI says 4 (32-bit x86), so
 * that offsets do not depend on the compiler.
 */

#ifdef __KERNEL__

#include <linux/stddef.h>
#include <linux/types.h>

typedef __le16 vbus_le16;
typedef __le32 vbus_le32;
typedef __le64 vbus_le64 __attribute__((aligned(8)));

#else

#include <stddef.h>
#include <stdint.h>

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the vbus ABI is little-endian and user space has no byte swaps: no big-endian hosts"
#endif

typedef uint16_t vbus_le16;
typedef uint32_t vbus_le32;
typedef uint64_t vbus_le64 __attribute__((aligned(8)));

#endif

/** Compile-time check for C11, C++11 and the kernel. */
#ifdef __cplusplus
#define VBUS_STATIC_ASSERT(cond, msg) static_assert(cond, msg)
#else
#define VBUS_STATIC_ASSERT(cond, msg) _Static_assert(cond, msg)
#endif

/** The structure has exactly this many bytes on the wire. */
#define VBUS_ASSERT_SIZE(type, size) \
	VBUS_STATIC_ASSERT(sizeof(type) == (size), "ABI: wrong size of " #type)

/** The field lies at this offset on the wire. */
#define VBUS_ASSERT_OFFSET(type, field, offset) \
	VBUS_STATIC_ASSERT(offsetof(type, field) == (offset), "ABI: wrong offset of " #field)

VBUS_ASSERT_SIZE(vbus_le16, 2);
VBUS_ASSERT_SIZE(vbus_le32, 4);
VBUS_ASSERT_SIZE(vbus_le64, 8);

#endif /* VBUS_ABI_TYPES_H */
