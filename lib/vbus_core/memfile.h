/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */
#ifndef VBUS_MEMFILE_H
#define VBUS_MEMFILE_H

/**
 * @file
 * The files behind a memory map: each mapped whole, once per (st_dev, st_ino), wherever the regions
 * in it lie; and the address window in which neighbours in IOVA become neighbours here (ADR-0004).
 * Private to memmap.c. Control lock held.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "ivset.h"
#include "vbus_sigbus.h"

#define VBUS_MEMFILE_BUCKETS 1024u
/** Most bytes of files that one link may have mapped: of 128 TiB of addresses, others need some. */
#define VBUS_MEMFILE_MAX_BYTES (4ull << 40)

struct vbus_memfile {
	struct vbus_iv iv; /**< its place in the window (first member) */
	bool in_window;
	bool writable; /**< the descriptor was open for writing */
	int slot;      /**< of the SIGBUS table */
	dev_t dev;
	ino_t ino;
	uint8_t *va;
	uint64_t len;		   /**< bytes mapped, whole pages */
	uint64_t size;		   /**< st_size when it was last looked at: regions end below it */
	uint32_t refs;		   /**< regions */
	struct vbus_memfile *next; /**< in the bucket, or on the list of the dead */
	struct vbus_memfiles *fs;  /**< of a held one: NULL when the map has ended */
	LIST_ENTRY(vbus_memfile) held;
};

/** Zero-initialised is empty. */
struct vbus_memfiles {
	struct vbus_memfile *buckets[VBUS_MEMFILE_BUCKETS];
	struct vbus_memfile *dead; /**< unused, still mapped: until every reader has left */
	uint8_t *window;	   /**< NULL: none (yet) */
	uint64_t window_iova;	   /**< north's address at the window's first byte */
	bool window_tried;
	struct vbus_ivset placed; /**< files in the window */
	uint32_t nb;
	uint64_t mapped_bytes;
	struct vbus_sigbus_flag *flag; /**< the owner's */
};

/**
 * The file behind @p fd, mapped so that [offset, offset+len) is accessible; takes a reference.
 *
 * @param iova   where north has that offset: the wish for a place in the window
 * @param write  the region is writable
 * @param[out] err  negative errno when NULL is returned: -EINVAL, -ENOTSUP, -EACCES, -ENOSPC, of mmap
 * Does not close @p fd.
 */
struct vbus_memfile *vbus_memfile_get(struct vbus_memfiles *fs, int fd, uint64_t iova,
	uint64_t offset, uint64_t len, bool write, int *err);
/** One more region in it (a region was cut in two). */
void vbus_memfile_ref(struct vbus_memfile *f);
/** Drop a reference; the mapping stays until vbus_memfiles_reap(). */
void vbus_memfile_put(struct vbus_memfiles *fs, struct vbus_memfile *f);
/**
 * No reader has a pointer into unused files any more: unmap them. Where somebody else has one (memheld.h), zero pages
 * take the file's place, and stay until nobody has.
 */
void vbus_memfiles_reap(struct vbus_memfiles *fs);
/** All references are gone and reaped: give the window back, but for what is held in it. */
void vbus_memfiles_fini(struct vbus_memfiles *fs);
/** Unmap what is not held any more; a timer does it too. @return files that are still held, of any map */
uint32_t vbus_memfiles_release(void);

#endif /* VBUS_MEMFILE_H */
