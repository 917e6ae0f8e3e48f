/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */
#ifndef VBUS_DISTANCE_H
#define VBUS_DISTANCE_H

/**
 * @file
 * A test mode for window links (ADR-0018): accesses to what is far are counted, and reads of it
 * delayed. Control lock held, but vbus_distance_info(). x86-64 only.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** What a far read shall take in ns, by the environment's VBUS_WINDOW_DISTANCE; 0: the mode is off. */
uint64_t vbus_distance_ns(void);
/**
 * [va, va + len), a shared mapping in pages of @p page bytes, is far from now on.
 * @return 0; -ENOSPC; -ENOTSUP: not on this architecture; -errno of mprotect, sigaction
 */
int vbus_distance_add(void *va, size_t len, size_t page, uint64_t ns);
/** It is unmapped next. */
void vbus_distance_del(const void *va);

struct vbus_distance_info {
	uint64_t delay_ns;	      /**< 0: nothing was far yet */
	uint64_t nb_reads, nb_writes; /**< instructions that read, or wrote, far memory */
	uint64_t last_read;	      /**< offset of the last one in its range */
};
/** Any thread. */
void vbus_distance_info(struct vbus_distance_info *info);

#endif /* VBUS_DISTANCE_H */
