/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */
#ifndef VBUS_MEMHELD_H
#define VBUS_MEMHELD_H

/**
 * @file
 * Who still points into a peer's memory after every reader of the memory map has left it: frames that an
 * application was given in place (ADR-0021). A file that nobody names any more is unmapped when no
 * holder points into it; until then zero pages lie in its place. Control lock held.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

/** Embed it. */
struct vbus_memholder {
	/** Is there a pointer into [va, va + len)? What is once not held there is not held any more. */
	bool (*holds)(const struct vbus_memholder *h, uintptr_t va, uint64_t len);
	LIST_ENTRY(vbus_memholder) next;
};

void vbus_memholder_add(struct vbus_memholder *h);
void vbus_memholder_del(struct vbus_memholder *h);
/** Does anybody hold a piece of it? */
bool vbus_memholder_any(const void *va, uint64_t len);

#endif /* VBUS_MEMHELD_H */
