/* SPDX-License-Identifier: (GPL-2.0-only WITH Linux-syscall-note) OR BSD-3-Clause */
/* Copyright(c) 2026 vbus developers */
#ifndef VBUS_ABI_RNG_H
#define VBUS_ABI_RNG_H

#include "types.h"

/*
 * rng: the source of random bytes. doc/abi.md section 11.
 */

#define VRNG_TYPE    "virtual-rng"
#define VRNG_VERSION 1U

/** The only shared block: a receive ring; south fills each buffer as far as it goes. */
#define VRNG_RING 0U

#define VRNG_RING_MAX	64U   /* entries */
#define VRNG_BUFFER_MAX 4096U /* bytes of an entry that are filled, whatever room it has */

/** Functions (DEVCALL), the numbers of section 8.1; no arguments. */
#define VRNG_FUNC_START 1U
#define VRNG_FUNC_STOP	2U

#endif /* VBUS_ABI_RNG_H */
