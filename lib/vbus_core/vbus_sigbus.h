/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */
#ifndef VBUS_SIGBUS_H
#define VBUS_SIGBUS_H

/**
 * @file
 * Surviving a peer that shrinks the memory it shared (DECISIONS 18). A touch of a page that is gone
 * raises SIGBUS in our thread: the handler replaces the whole mapping by zero pages, flags its owner
 * and lets the thread go on; the control side learns of it by an eventfd and ends the link.
 *
 * Addresses that are not ours go to the handler that was there before, or to the default action.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

/** Embed it in the owner of mappings; it must outlive their slots. Zero-initialised is clear. */
struct vbus_sigbus_flag {
	atomic_bool hit; /**< set by the signal handler, cleared by the owner */
};

/** Install the handler, once; put it back if somebody restored the one before ours. Control lock
 *  held. @return 0 or negative errno. */
int vbus_sigbus_install(void);
/** An eventfd (non-blocking) that is readable after a hit; -1 before the first install. */
int vbus_sigbus_fd(void);
/**
 * Guard [va, va+len): page-aligned, @p len a multiple of its page size. Control lock held.
 * @return a slot >= 0, or -ENOMEM, -ENOSPC.
 */
int vbus_sigbus_add(void *va, size_t len, struct vbus_sigbus_flag *flag);
/** The guarded range has grown at its end. Control lock held. */
void vbus_sigbus_resize(int slot, size_t len);
/** Stop guarding; before the mapping goes, after its readers left. Control lock held. */
void vbus_sigbus_del(int slot);

#endif /* VBUS_SIGBUS_H */
