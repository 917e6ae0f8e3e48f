/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * The memory map of a link: regions, and the views made of them (ADR-0004).
 *
 * Threads: control side only, control lock held. Readers get views: publish() makes a new one, the
 * owner's quiesce() takes every reader off the old one, and only then is the old view freed and
 * memory that nobody names any more unmapped.
 *
 * Ownership: a region belongs to the map and holds a reference to its file. Regions are kept one by
 * one, as announced; extents exist in views only.
 */

#include "vbus_memmap.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <unistd.h>

#include "memfile.h"
#include "vbus_ctl.h"
#include "vbus_log.h"

/* Of a view's page table: 2 MiB, and at most 256 KiB of table. */
#define PAGE_SHIFT 21u
#define MAX_PAGES  65536u

struct region {
	struct vbus_iv iv;	   /* in north's addresses (first member) */
	struct vbus_memfile *file; /* NULL: recorded only, or the caller's */
	uint8_t *mapped;	   /* the caller's memory */
	uint64_t offset;	   /* in the file or there */
	bool writable;
};

struct vbus_memmap {
	const struct vbus_memmap_ops *ops;
	void *arg;
	bool identity;
	bool dirty; /* regions differ from the view */
	unsigned int batch;
	struct vbus_ivset regions;
	struct vbus_memfiles files;
	struct vbus_memview *view; /* NULL: the empty one */
	uint64_t generation;
	struct vbus_sigbus_flag fault;
	LIST_ENTRY(vbus_memmap) next;
};

static const struct vbus_memview empty_view;
static LIST_HEAD(, vbus_memmap) maps = LIST_HEAD_INITIALIZER(maps);
static struct vbus_ctl_fd *fault_watch; /* while there are maps */

/* ---- faults ---------------------------------------------------------------------------------- */

void
vbus_memmap_check_faults(void)
{
	struct vbus_memmap *m;

again:
	LIST_FOREACH(m, &maps, next)
	{
		if (!atomic_exchange_explicit(&m->fault.hit, false, memory_order_acquire))
			continue;
		if (m->ops != NULL && m->ops->faulted != NULL) {
			m->ops->faulted(m->arg);
			goto again; /* it may have destroyed any map */
		}
	}
}

static void
on_fault(int fd, uint32_t events, void *arg)
{
	uint64_t hits;

	(void)events;
	(void)arg;
	if (read(fd, &hits, sizeof(hits)) == (ssize_t)sizeof(hits))
		vbus_memmap_check_faults();
}

/* Without control threads (unit tests) nobody watches; vbus_memmap_check_faults() is there. */
static void
fault_watch_start(void)
{
	if (fault_watch == NULL && vbus_sigbus_fd() >= 0)
		fault_watch = vbus_ctl_fd_add(vbus_sigbus_fd(), EPOLLIN, on_fault, NULL);
}

/* ---- views ----------------------------------------------------------------------------------- */

static bool
is_accessible(const struct region *r)
{
	return r->file != NULL || r->mapped != NULL;
}

/* Make extents of the regions; with e == NULL only count them. */
static uint32_t
build_extents(const struct vbus_memmap *m, struct vbus_extent *e)
{
	struct vbus_extent last = {0};
	uint32_t nb = 0;

	for (struct vbus_iv *iv = vbus_ivset_first(&m->regions); iv != NULL; iv = iv->next[0]) {
		const struct region *r = (const struct region *)iv;
		uint64_t len = iv->last - iv->first + 1;
		uintptr_t va;

		if (!is_accessible(r))
			continue;
		va = (uintptr_t)(r->file != NULL ? r->file->va : r->mapped) + r->offset;
		if (nb != 0 && last.iova + last.len == iv->first && last.va + last.len == va &&
			last.writable == r->writable) {
			last.len += len;
		} else {
			last = (struct vbus_extent){
				.iova = iv->first, .len = len, .va = va, .writable = r->writable};
			nb++;
		}
		if (e != NULL)
			e[nb - 1] = last;
	}
	return nb;
}

static uint32_t
nb_mapped(const struct vbus_memmap *m)
{
	uint32_t nb = 0;

	for (struct vbus_iv *iv = vbus_ivset_first(&m->regions); iv != NULL; iv = iv->next[0])
		nb += ((const struct region *)iv)->mapped != NULL;
	return nb;
}

/* Of 2 MiB, as EAL's are; larger where extents lie so far apart that there would be too many. */
static void
count_pages(struct vbus_memview *v, uint64_t first, uint64_t last)
{
	v->page_shift = PAGE_SHIFT;
	while ((last - first) >> v->page_shift >= MAX_PAGES - 1)
		v->page_shift++;
	/* As they lie for north: most extents begin where a page does. */
	v->first = first >> v->page_shift << v->page_shift;
	v->nb_pages = ((last - v->first) >> v->page_shift) + 1;
}

static void
build_pages(struct vbus_memview *v)
{
	uint32_t nb = 0;

	for (uint64_t page = 0; page < v->nb_pages; page++) {
		uint64_t begin = v->first + (page << v->page_shift);

		while (nb < v->nb_extents && v->extents[nb].iova < begin)
			nb++;
		v->before[page] = nb;
	}
	v->before[v->nb_pages] = v->nb_extents;
}

static struct vbus_memview *
build_view(const struct vbus_memmap *m)
{
	uint32_t nb = build_extents(m, NULL);
	struct vbus_memview *v = calloc(1, sizeof(*v) + nb * sizeof(v->extents[0]));

	if (v == NULL)
		return NULL;
	v->nb_extents = build_extents(m, v->extents);
	v->identity = m->identity;
	v->borrowed = nb_mapped(m);
	if (nb != 0)
		count_pages(v, v->extents[0].iova,
			v->extents[nb - 1].iova + (v->extents[nb - 1].len - 1));
	v->before = calloc(v->nb_pages + 1, sizeof(*v->before));
	if (v->before == NULL) {
		free(v);
		return NULL;
	}
	build_pages(v);
	return v;
}

static void
free_view(struct vbus_memview *v)
{
	if (v != NULL)
		free(v->before);
	free(v);
}

/* On failure readers have the empty view: they reach nothing, and nothing that is gone. */
static int
publish(struct vbus_memmap *m)
{
	struct vbus_memview *old = m->view;
	int ret = 0;

	if (m->dirty) {
		m->view = build_view(m);
		if (m->view == NULL)
			ret = -ENOMEM;
		else
			m->view->generation = ++m->generation;
		m->dirty = ret != 0;
		if (m->ops != NULL && m->ops->quiesce != NULL)
			m->ops->quiesce(m->arg, vbus_memmap_view(m));
		free_view(old);
	}
	/* No reader is left in memory that no region of the view names. */
	vbus_memfiles_reap(&m->files);
	return ret;
}

const struct vbus_memview *
vbus_memmap_view(const struct vbus_memmap *m)
{
	return m->view != NULL ? m->view : &empty_view;
}

/* ---- regions --------------------------------------------------------------------------------- */

static void
region_free(struct vbus_memmap *m, struct region *r)
{
	vbus_ivset_remove(&m->regions, &r->iv);
	m->dirty |= is_accessible(r);
	if (r->file != NULL)
		vbus_memfile_put(&m->files, r->file);
	free(r);
}

static int
region_add(struct vbus_memmap *m, uint64_t iova, uint64_t len, int fd, void *mapped,
	uint64_t offset, uint32_t flags)
{
	struct region *r;
	int ret = 0;

	if (len == 0 || len - 1 > UINT64_MAX - iova)
		return -EINVAL;
	if (m->regions.nb >= VBUS_MEM_MAX_REGIONS)
		return -ENOSPC;
	if (!vbus_ivset_is_free(&m->regions, iova, iova + (len - 1)))
		return -EEXIST;
	r = calloc(1, sizeof(*r));
	if (r == NULL)
		return -ENOMEM;
	r->iv.first = iova;
	r->iv.last = iova + (len - 1);
	r->offset = offset;
	r->writable = (flags & VBUS_MEM_WRITE) != 0;
	r->mapped = mapped;
	m->dirty |= mapped != NULL;
	if (fd >= 0) {
		r->file = vbus_memfile_get(&m->files, fd, iova, offset, len, r->writable, &ret);
		if (r->file == NULL) {
			free(r);
			return ret;
		}
		m->dirty = true;
	}
	vbus_ivset_insert(&m->regions, &r->iv);
	if (m->dirty && m->batch == 0) {
		ret = publish(m);
		if (ret != 0) {
			region_free(m, r);
			publish(m);
		}
	}
	return ret;
}

int
vbus_memmap_add_borrowed(
	struct vbus_memmap *m, uint64_t iova, uint64_t len, int fd, uint64_t offset, uint32_t flags)
{
	int ret;

	/* Null connector: every address of the process is there already. */
	if (m->identity)
		return 0;
	ret = region_add(m, iova, len, fd, NULL, offset, flags);
	fault_watch_start();
	return ret;
}

int
vbus_memmap_add_mapped(struct vbus_memmap *m, uint64_t iova, uint64_t len, void *va, uint32_t flags)
{
	return m->identity ? 0 : region_add(m, iova, len, -1, va, 0, flags);
}

int
vbus_memmap_add(
	struct vbus_memmap *m, uint64_t iova, uint64_t len, int fd, uint64_t offset, uint32_t flags)
{
	int ret = vbus_memmap_add_borrowed(m, iova, len, fd, offset, flags);

	if (fd >= 0)
		close(fd);
	return ret;
}

/* Take [first, last] out of a region that reaches into it. */
static void
region_cut(struct vbus_memmap *m, struct region *r, uint64_t first, uint64_t last)
{
	struct region *right = NULL;
	bool keep_left = r->iv.first < first;

	if (r->iv.last > last && keep_left && m->regions.nb < VBUS_MEM_MAX_REGIONS)
		right = calloc(1, sizeof(*right));
	if (r->iv.last > last && keep_left && right != NULL) {
		right->iv.first = last + 1;
		right->iv.last = r->iv.last;
		right->offset = r->offset + (last + 1 - r->iv.first);
		right->writable = r->writable;
		right->file = r->file;
		right->mapped = r->mapped;
		if (right->file != NULL)
			vbus_memfile_ref(right->file);
	}
	m->dirty |= is_accessible(r);
	if (keep_left) {
		/* Without memory or room for the right part it goes too: less access, never more. */
		r->iv.last = first - 1;
		if (right != NULL)
			vbus_ivset_insert(&m->regions, &right->iv);
	} else if (r->iv.last > last) {
		/* The order of the set does not change: nothing lies between the two starts. */
		r->offset += last + 1 - r->iv.first;
		r->iv.first = last + 1;
	} else {
		region_free(m, r);
	}
}

int
vbus_memmap_del(struct vbus_memmap *m, uint64_t iova, uint64_t len)
{
	uint64_t last;
	struct vbus_iv *iv;

	if (len == 0 && iova != 0)
		return 0;
	if (len == 0 || len - 1 > UINT64_MAX - iova)
		last = UINT64_MAX; /* everything; or a range that says it ends behind 2^64 */
	else
		last = iova + (len - 1);
	while ((iv = vbus_ivset_from(&m->regions, iova)) != NULL && iv->first <= last)
		region_cut(m, (struct region *)iv, iova, last);
	/* Inside of a batch too: when this returns, nobody may be in that memory any more. */
	return publish(m);
}

void
vbus_memmap_batch_begin(struct vbus_memmap *m)
{
	m->batch++;
}

int
vbus_memmap_batch_end(struct vbus_memmap *m)
{
	if (m->batch == 0 || --m->batch != 0)
		return 0;
	return publish(m);
}

/* ---- maps ------------------------------------------------------------------------------------ */

struct vbus_memmap *
vbus_memmap_create(const struct vbus_memmap_ops *ops, void *arg, bool identity)
{
	struct vbus_memmap *m = calloc(1, sizeof(*m));

	if (m == NULL)
		goto err;
	m->ops = ops;
	m->arg = arg;
	m->identity = identity;
	m->files.flag = &m->fault;
	if (identity) {
		m->view = build_view(m);
		if (m->view == NULL)
			goto err;
		m->view->generation = ++m->generation;
	}
	LIST_INSERT_HEAD(&maps, m, next);
	return m;

err:
	free(m);
	errno = ENOMEM;
	return NULL;
}

void
vbus_memmap_destroy(struct vbus_memmap *m)
{
	struct vbus_iv *iv;

	if (m == NULL)
		return;
	while ((iv = vbus_ivset_first(&m->regions)) != NULL)
		region_free(m, (struct region *)iv);
	vbus_memfiles_reap(&m->files);
	vbus_memfiles_fini(&m->files);
	LIST_REMOVE(m, next);
	if (LIST_EMPTY(&maps)) {
		vbus_ctl_fd_del(fault_watch);
		fault_watch = NULL;
	}
	free_view(m->view);
	free(m);
}

void
vbus_memmap_info(const struct vbus_memmap *m, struct vbus_memmap_info *info)
{
	info->nb_regions = m->regions.nb;
	info->nb_extents = vbus_memmap_view(m)->nb_extents;
	info->nb_files = m->files.nb;
	info->mapped_bytes = m->files.mapped_bytes;
}
