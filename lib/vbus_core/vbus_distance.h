/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */
#ifndef VBUS_DISTANCE_H
#define VBUS_DISTANCE_H

/**
 * @file
 * A test mode for window links (ADR-0018): accesses to what is far are counted, reads of it are
 * delayed, writes to it under way for a while, in order. Control lock held, but vbus_distance_info().
 * x86-64 only.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vbus_sigbus.h"

/** What a far read takes and a far write is under way for, at least, in ns, by the environment's VBUS_WINDOW_DISTANCE; 0: the mode is off. */
uint64_t vbus_distance_ns(void);
/**
 * [va, va + len), a shared mapping in pages of @p page bytes, is far from now on.
 * @param fault  hit when the memory is gone under one of its accesses
 * @return 0; -ENOSPC; -ENOTSUP: not on this architecture; -errno of mprotect, mremap, sigaction
 */
int vbus_distance_add(
	void *va, size_t len, size_t page, uint64_t ns, struct vbus_sigbus_flag *fault);
/** Something else was mapped there. */
void vbus_distance_again(void *va);
/** It is unmapped next. */
void vbus_distance_del(void *va);

struct vbus_distance_info {
	uint64_t delay_ns;	      /**< 0: nothing was far yet */
	uint64_t nb_reads, nb_writes; /**< instructions that read, or wrote, far memory */
	uint64_t nb_direct;	      /**< of them: neither delayed nor moved, as atomic ones */
	uint64_t last_read;	      /**< offset of the last one in its range */
};
/** Any thread. */
void vbus_distance_info(struct vbus_distance_info *info);

#endif /* VBUS_DISTANCE_H */
