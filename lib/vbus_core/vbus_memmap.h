/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */
#ifndef VBUS_MEMMAP_H
#define VBUS_MEMMAP_H

/**
 * @file
 * The memory map of a link: north's addresses (IOVAs) to south's pointers (ADR "addresses").
 *
 * A *region* is what the peer announced (one DMA_MAP). A *file* is mapped whole, once per
 * (st_dev, st_ino), however many regions name it. An *extent* is a run of regions that is
 * contiguous both in IOVA and here; lookups go over extents. Files are placed so that regions
 * adjacent in IOVA become adjacent here where that can be had (a reserved address range per link).
 * Where north uses physical addresses its pages are scattered, and each is an extent: a view has a
 * *page table* of one level that says which extents a page of north's may lie in.
 *
 * Readers (lcores and the control thread) use an immutable view; the control side publishes a new
 * view, makes every reader leave the old one (struct vbus_memmap_ops.quiesce), and only then unmaps
 * and returns: an unmap is acknowledged to the peer after that.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** An extent: [iova, iova + len) is at va. */
struct vbus_extent {
	uint64_t iova;
	uint64_t len;
	uintptr_t va;
	uint32_t writable; /**< 0: read only (guest ROM) */
	uint32_t pad;
};

/** What readers see: immutable once published. Sorted by iova. */
struct vbus_memview {
	uint32_t nb_extents;
	uint32_t identity; /**< null connector: north is this process, va = iova, any address */
	uint64_t generation;
	uint32_t borrowed; /**< regions that are a connector's own: nobody holds them (memheld.h) */
	uint32_t page_shift;
	uint64_t first;	   /**< where page 0 begins */
	uint64_t nb_pages; /**< 0 without extents */
	uint32_t *before;  /**< [p]: extents that begin before page p; nb_pages + 1 of them */
	struct vbus_extent extents[];
};

/** The reader's last hit: one per queue, in the queue's own lines. Zero it when the view changes. */
struct vbus_memcache {
	uint64_t iova;
	uint64_t len;
	uintptr_t va;
};

/** Another extent than the last one, for vbus_memview_ptr(): by the page table; updates the cache. NULL: not (wholly) mapped writable. */
void *vbus_memview_find(
	const struct vbus_memview *v, struct vbus_memcache *c, uint64_t iova, uint64_t len);

/**
 * North address to pointer. [iova, iova+len) must lie in one writable extent.
 *
 * A few cycles when the last extent hits again: one subtraction, two compares. Overflow-safe.
 * @param len  bytes, 1 or more
 * @return the pointer, or NULL: not mapped, or crossing to a region that is not contiguous here
 *         (see vbus_memview_copy_in() / _out() for those). Any thread that polls the view's owner.
 */
static inline void *
vbus_memview_ptr(const struct vbus_memview *v, struct vbus_memcache *c, uint64_t iova, uint64_t len)
{
	uint64_t off = iova - c->iova;

	/* off < c->len first: then c->len - off cannot wrap. */
	if (__builtin_expect(off < c->len && len <= c->len - off, 1))
		return (void *)(c->va + off);
	return vbus_memview_find(v, c, iova, len);
}

/** Copy @p len bytes from north, over as many extents as it takes (read-only ones too).
 *  @return 0, or -EFAULT: some byte is not mapped (what was copied before is undefined). */
int vbus_memview_copy_in(const struct vbus_memview *v, struct vbus_memcache *c, void *dst,
	uint64_t iova, uint64_t len);
/** Copy to north likewise; every extent must be writable. */
int vbus_memview_copy_out(const struct vbus_memview *v, struct vbus_memcache *c, uint64_t iova,
	const void *src, uint64_t len);

struct vbus_memmap;

struct vbus_memmap_ops {
	/** A new view is published: leave the old one. Before it returns, no reader may hold the old
	 *  view or a pointer from it. Control lock held. @p v is the new view. */
	void (*quiesce)(void *arg, const struct vbus_memview *v);
	/** The file behind this map shrank under us (SIGBUS): its range was replaced by zero pages.
	 *  Called later on the control thread, lock held. */
	void (*faulted)(void *arg);
};

/** Make an empty map. @p identity: the null connector's. @return NULL and errno. Control lock held. */
struct vbus_memmap *vbus_memmap_create(const struct vbus_memmap_ops *ops, void *arg, bool identity);
/** Unmap all and free. The owner has no reader any more. Control lock held. */
void vbus_memmap_destroy(struct vbus_memmap *m);

/**
 * Add a region. Control lock held.
 *
 * @param fd        file behind it (taken over: closed on success and on failure), or -1: recorded,
 *                  so that an unmap finds it, but not accessible
 * @param offset    of the region in the file, bytes
 * @param flags     VBUS_MEM_READ | VBUS_MEM_WRITE
 * @return 0; -EINVAL: length 0, wrap-around, file too short; -EEXIST: overlaps a region; -ENOTSUP: not
 *         a tmpfs, memfd or hugetlbfs file; -ENOSPC: over the limit of regions; -errno of mmap
 */
int vbus_memmap_add(struct vbus_memmap *m, uint64_t iova, uint64_t len, int fd, uint64_t offset,
	uint32_t flags);
/** The same, but @p fd stays the caller's in every case. */
int vbus_memmap_add_borrowed(struct vbus_memmap *m, uint64_t iova, uint64_t len, int fd,
	uint64_t offset, uint32_t flags);
/** The same for memory that the caller has mapped at @p va, and keeps so until the region is gone. */
int vbus_memmap_add_mapped(
	struct vbus_memmap *m, uint64_t iova, uint64_t len, void *va, uint32_t flags);
#define VBUS_MEM_READ	     1u
#define VBUS_MEM_WRITE	     2u
#define VBUS_MEM_MAX_REGIONS 65535u

/**
 * Remove every region inside [iova, iova+len); a region that is only partly inside is cut (the
 * rest stays). A range that names nothing succeeds (specs: vfio-user decision 7). Returns after all
 * readers left. Control lock held. @p len 0 with @p iova 0: everything.
 */
int vbus_memmap_del(struct vbus_memmap *m, uint64_t iova, uint64_t len);

/** Add many without a quiesce for each: begin, add..., end publishes once. Control lock held. */
void vbus_memmap_batch_begin(struct vbus_memmap *m);
int vbus_memmap_batch_end(struct vbus_memmap *m);

/** The current view, for readers that hold the control lock, or to be cached by queues at quiesce(). */
const struct vbus_memview *vbus_memmap_view(const struct vbus_memmap *m);

/** Call faulted() of every map that SIGBUS hit. The control thread does this by itself; this is for
 *  programs without one. Control lock held. */
void vbus_memmap_check_faults(void);

/** For telemetry: number of regions, extents, files, mapped bytes. */
struct vbus_memmap_info {
	uint32_t nb_regions, nb_extents, nb_files;
	uint64_t mapped_bytes;
};
void vbus_memmap_info(const struct vbus_memmap *m, struct vbus_memmap_info *info);

#endif /* VBUS_MEMMAP_H */
