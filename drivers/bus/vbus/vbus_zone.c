/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * Memory that a peer can see, and its address there (DECISIONS 17). Allocated where EAL may
 * take its own locks, never under the control lock: a memory event that this causes waits for
 * the control thread (vbus_memory.c).
 *
 * Threads: application threads and the worker; vbus_link_addr() any.
 * Ownership: a zone belongs to its device until it is freed or the device goes.
 */

#include "vbus_bus_private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_malloc.h>
#include <rte_mbuf.h>
#include <rte_memory.h>
#include <rte_memzone.h>

/* As EAL's page tables say, and as the peer was told; not from the kernel's page map, which
 * costs a system call and knows nothing of addresses that EAL chose itself. */
static rte_iova_t
virt2iova(const void *va)
{
	const struct rte_memseg *ms;

	if (rte_eal_iova_mode() == RTE_IOVA_VA)
		return (uintptr_t)va;
	ms = rte_mem_virt2memseg(va, NULL);
	if (ms == NULL || ms->iova == RTE_BAD_IOVA)
		return RTE_BAD_IOVA;
	return ms->iova + RTE_PTR_DIFF(va, ms->addr);
}

/* Are the addresses contiguous for the peer too? With virtual addresses always.
 */
static bool
iova_contiguous(const void *va, size_t len)
{
	const uint8_t *p = va;
	rte_iova_t first;

	if (rte_eal_iova_mode() == RTE_IOVA_VA)
		return true;
	first = virt2iova(va);
	if (first == RTE_BAD_IOVA)
		return false;
	for (size_t off = 4096 - ((uintptr_t)va & 4095); off < len; off += 4096) {
		if (virt2iova(p + off) != first + off)
			return false;
	}
	return true;
}

static void *
eal_alloc(size_t len, int socket, const struct rte_memzone **mz)
{
	static _Atomic uint32_t counter;
	char name[RTE_MEMZONE_NAMESIZE];
	void *va;

	*mz = NULL;
	/* The heap first: memzones are few, and a link may have thousands of devices.
 */
	va = rte_zmalloc_socket("vbus", len, RTE_CACHE_LINE_SIZE, socket);
	if (va == NULL && socket != SOCKET_ID_ANY)
		va = rte_zmalloc_socket("vbus", len, RTE_CACHE_LINE_SIZE, SOCKET_ID_ANY);
	if (va != NULL && iova_contiguous(va, len))
		return va;
	rte_free(va);
	snprintf(name, sizeof(name), "vbus_%u", atomic_fetch_add(&counter, 1));
	*mz = rte_memzone_reserve_aligned(
		name, len, socket, RTE_MEMZONE_IOVA_CONTIG, RTE_CACHE_LINE_SIZE);
	if (*mz == NULL && socket != SOCKET_ID_ANY)
		*mz = rte_memzone_reserve_aligned(
			name, len, SOCKET_ID_ANY, RTE_MEMZONE_IOVA_CONTIG, RTE_CACHE_LINE_SIZE);
	if (*mz == NULL)
		return NULL;
	memset((*mz)->addr, 0, len);
	return (*mz)->addr;
}

void *
vbus_zone_alloc(
	struct rte_vbus_link *link, size_t len, bool far, int socket, const struct rte_memzone **mz)
{
	void *va;

	*mz = NULL;
	if (link->ops->alloc == NULL)
		return eal_alloc(len, socket, mz);
	vbus_ctl_lock();
	va = link->ops->alloc(link, len, far);
	vbus_ctl_unlock();
	return va;
}

static void
eal_free(void *va, const struct rte_memzone *mz)
{
	if (mz != NULL)
		rte_memzone_free(mz);
	else
		rte_free(va);
}

void
vbus_zone_release(struct rte_vbus_link *link, void *va, const struct rte_memzone *mz)
{
	if (link->ops->free == NULL) {
		eal_free(va, mz);
		return;
	}
	vbus_ctl_lock();
	if (link->transport != NULL) /* else all went with it */
		link->ops->free(link, va);
	vbus_ctl_unlock();
}

static struct vbus_zone *
zone_find(struct vbus_dev *d, const char *tag)
{
	struct vbus_zone *z;

	LIST_FOREACH(z, &d->zones, next)
	if (strcmp(z->tag, tag) == 0)
		break;
	return z;
}

static void *
zone(struct rte_vbus_device *dev, const char *tag, size_t len, bool far, int socket)
{
	struct vbus_dev *d = vbus_dev_of(dev);
	struct vbus_zone *z;
	bool taken;

	if (len == 0 || strlen(tag) >= sizeof(z->tag)) {
		rte_errno = EINVAL;
		return NULL;
	}
	z = calloc(1, sizeof(*z));
	if (z == NULL) {
		rte_errno = ENOMEM;
		return NULL;
	}
	strcpy(z->tag, tag);
	z->va = vbus_zone_alloc(dev->link, len, far, socket, &z->mz);
	if (z->va == NULL) {
		free(z);
		rte_errno = ENOMEM;
		return NULL;
	}
	vbus_ctl_lock();
	taken = zone_find(d, tag) != NULL;
	if (!taken)
		LIST_INSERT_HEAD(&d->zones, z, next);
	vbus_ctl_unlock();
	if (taken) {
		vbus_zone_release(dev->link, z->va, z->mz);
		free(z);
		rte_errno = EEXIST;
		return NULL;
	}
	return z->va;
}

void *
rte_vbus_zone(struct rte_vbus_device *dev, const char *tag, size_t len, int socket)
{
	return zone(dev, tag, len, false, socket);
}

bool
rte_vbus_has_far(const struct rte_vbus_device *dev)
{
	return dev->link->ops->alloc != NULL;
}

bool
rte_vbus_far_cached(const struct rte_vbus_device *dev)
{
	return dev->link->far_cached;
}

void *
rte_vbus_zone_far(struct rte_vbus_device *dev, const char *tag, size_t len)
{
	if (!rte_vbus_has_far(dev)) {
		rte_errno = ENOTSUP;
		return NULL;
	}
	return zone(dev, tag, len, true, SOCKET_ID_ANY);
}

void
rte_vbus_zone_free(struct rte_vbus_device *dev, const char *tag)
{
	struct vbus_dev *d = vbus_dev_of(dev);
	struct vbus_zone *z;

	vbus_ctl_lock();
	z = zone_find(d, tag);
	if (z != NULL)
		LIST_REMOVE(z, next);
	vbus_ctl_unlock();
	if (z != NULL) {
		vbus_zone_release(dev->link, z->va, z->mz);
		free(z);
	}
}

void
vbus_zone_leave(struct vbus_dev *d)
{
	struct rte_vbus_link *link = d->pub.link;
	struct vbus_zone *z;

	if (link->ops->free == NULL)
		return;
	while ((z = LIST_FIRST(&d->zones)) != NULL) {
		LIST_REMOVE(z, next);
		link->ops->free(link, z->va);
		free(z);
	}
}

void
vbus_zone_free_all(struct vbus_dev *d)
{
	struct vbus_zone *z;

	while ((z = LIST_FIRST(&d->zones)) != NULL) {
		LIST_REMOVE(z, next);
		eal_free(z->va, z->mz);
		free(z);
	}
}

uint64_t
vbus_link_addr(const struct rte_vbus_link *link, const void *va)
{
	if (link->ops->addr != NULL)
		return link->ops->addr(link, va);
	return link->ops->identity ? (uintptr_t)va : virt2iova(va);
}

uint64_t
rte_vbus_addr(const struct rte_vbus_device *dev, const void *va)
{
	return vbus_link_addr(dev->link, va);
}

size_t
rte_vbus_mbuf_addr_offset(const struct rte_vbus_device *dev)
{
	return dev->link->ops->identity ? offsetof(struct rte_mbuf, buf_addr)
					: offsetof(struct rte_mbuf, buf_iova);
}

/* Memory of EAL's own, which it maps for the devices of the machine. */
static bool
dma_visible(const void *va, size_t len)
{
	const struct rte_memseg_list *msl = rte_mem_virt2memseg_list(va);

	return msl != NULL && !msl->external && virt2iova(va) != RTE_BAD_IOVA &&
	       len <= msl->len - (size_t)RTE_PTR_DIFF(va, msl->base_va);
}

bool
vbus_link_visible(const struct rte_vbus_link *link, const void *va, size_t len)
{
	if (link->ops->visible != NULL)
		return link->ops->visible(link, va, len);
	if (link->ops->dma)
		return dma_visible(va, len);
	return link->ops->identity || vbus_memory_visible(va, len);
}

bool
rte_vbus_visible(const struct rte_vbus_device *dev, const void *va, size_t len)
{
	return vbus_link_visible(dev->link, va, len);
}
