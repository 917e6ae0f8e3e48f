/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/* See memmap_rig.h. */

#include "memmap_rig.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct vbus_memmap *m;
int nb_quiesce;
const struct vbus_memview *last_view;

static void
on_quiesce(void *arg, const struct vbus_memview *v)
{
	(void)arg;
	nb_quiesce++;
	last_view = v;
}

static const struct vbus_memmap_ops ops = {.quiesce = on_quiesce};

void
mem_make(struct mem *f, uint64_t size, uint64_t tag)
{
	f->size = size;
	f->fd = memfd_create("vbus-test", MFD_CLOEXEC);
	CU_ASSERT_FATAL(f->fd >= 0);
	CU_ASSERT_EQUAL_FATAL(ftruncate(f->fd, (off_t)size), 0);
	f->va = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, f->fd, 0);
	CU_ASSERT_FATAL(f->va != MAP_FAILED);
	for (uint64_t off = 0; tag != 0 && off < size; off += 8) {
		uint64_t word = tag + off;

		memcpy(f->va + off, &word, 8);
	}
}

void
mem_free(struct mem *f)
{
	munmap(f->va, f->size);
	close(f->fd);
}

int
add(uint64_t iova, uint64_t len, const struct mem *f, uint64_t offset, uint32_t flags)
{
	return vbus_memmap_add(m, iova, len, f != NULL ? dup(f->fd) : -1, offset, flags);
}

void *
ptr(uint64_t iova, uint64_t len)
{
	struct vbus_memcache c = {0};

	return vbus_memview_ptr(vbus_memmap_view(m), &c, iova, len);
}

uint64_t
word_at(uint64_t iova)
{
	uint64_t w = 0;
	const void *p = ptr(iova, 8);

	if (p != NULL)
		memcpy(&w, p, 8);
	return w;
}

struct vbus_memmap_info
info(void)
{
	struct vbus_memmap_info i;

	vbus_memmap_info(m, &i);
	return i;
}

int
nb_fds(void)
{
	int n = 0;

	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

void
map_make(void)
{
	vbus_ctl_lock();
	m = vbus_memmap_create(&ops, NULL, false);
	CU_ASSERT_PTR_NOT_NULL_FATAL(m);
	nb_quiesce = 0;
	last_view = NULL;
}

void
map_free(void)
{
	vbus_memmap_destroy(m);
	m = NULL;
	vbus_ctl_unlock();
}
