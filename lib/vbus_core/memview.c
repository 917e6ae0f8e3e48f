/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * Lookups in a published view: the part behind the last hit.
 *
 * Threads: any reader that may hold the view (vbus_memmap.h); a view never changes.
 */

#include "vbus_memmap.h"

#include <errno.h>
#include <string.h>

/*
 * The extent that holds iova, writable or not. NULL: none.
 *
 * Per packet where mbufs lie on scattered pages: among the extents that begin in iova's page, mostly one, no branch
 * depends on where a packet lies. An address below the first extent wraps: no page, or none of its extents holds it.
 */
static const struct vbus_extent *
lookup(const struct vbus_memview *v, uint64_t iova)
{
	uint64_t page = (iova - v->first) >> v->page_shift;
	uint32_t lo, hi;

	if (page >= v->nb_pages)
		return NULL;
	lo = v->before[page];
	hi = v->before[page + 1];
	/* The first extent that begins behind iova is at hi. */
	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (v->extents[mid].iova <= iova)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (hi == 0 || iova - v->extents[hi - 1].iova >= v->extents[hi - 1].len)
		return NULL;
	return &v->extents[hi - 1];
}

void *
vbus_memview_find(
	const struct vbus_memview *v, struct vbus_memcache *c, uint64_t iova, uint64_t len)
{
	const struct vbus_extent *e;
	uint64_t off;

	if (len == 0)
		return NULL;
	if (v->identity) {
		/* Address 0 is a mistake even there. */
		if (iova == 0 || len > UINT64_MAX - iova)
			return NULL;
		c->iova = 1;
		c->len = UINT64_MAX - 1;
		c->va = 1;
		return (void *)(uintptr_t)iova;
	}
	e = lookup(v, iova);
	if (e == NULL || !e->writable)
		return NULL;
	/* Only writable extents may get here: the inline part does not ask. */
	c->iova = e->iova;
	c->len = e->len;
	c->va = e->va;
	off = iova - e->iova;
	return len <= e->len - off ? (void *)(e->va + off) : NULL;
}

/* Up to len bytes at iova that are contiguous here. @return how many, 0: not mapped. */
static uint64_t
piece(const struct vbus_memview *v, uint64_t iova, uint64_t len, bool write, uintptr_t *va)
{
	const struct vbus_extent *e = lookup(v, iova);
	uint64_t off;

	if (e == NULL || (write && !e->writable))
		return 0;
	off = iova - e->iova;
	*va = e->va + off;
	return len < e->len - off ? len : e->len - off;
}

int
vbus_memview_copy_in(const struct vbus_memview *v, struct vbus_memcache *c, void *dst,
	uint64_t iova, uint64_t len)
{
	const void *src;

	if (len == 0)
		return 0;
	src = vbus_memview_ptr(v, c, iova, len);
	if (src != NULL) {
		memcpy(dst, src, len);
		return 0;
	}
	while (len != 0) {
		uintptr_t va = 0;
		uint64_t n = piece(v, iova, len, false, &va);

		if (n == 0)
			return -EFAULT;
		memcpy(dst, (const void *)va, n);
		dst = (uint8_t *)dst + n;
		len -= n;
		iova += n;
		if (iova == 0 && len != 0)
			return -EFAULT; /* beyond 2^64 */
	}
	return 0;
}

int
vbus_memview_copy_out(const struct vbus_memview *v, struct vbus_memcache *c, uint64_t iova,
	const void *src, uint64_t len)
{
	void *dst;

	if (len == 0)
		return 0;
	dst = vbus_memview_ptr(v, c, iova, len);
	if (dst != NULL) {
		memmove(dst, src, len);
		return 0;
	}
	while (len != 0) {
		uintptr_t va = 0;
		uint64_t n = piece(v, iova, len, true, &va);

		if (n == 0)
			return -EFAULT;
		memmove((void *)va, src, n);
		src = (const uint8_t *)src + n;
		len -= n;
		iova += n;
		if (iova == 0 && len != 0)
			return -EFAULT; /* beyond 2^64 */
	}
	return 0;
}
