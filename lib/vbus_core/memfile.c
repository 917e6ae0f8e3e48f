/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * The files behind a memory map: checks, mapping, placement, reference counts (ADR-0004).
 *
 * Threads: control side only, control lock held. A mapping that no region uses any more is still
 * there until the owner says that no reader holds a pointer into it.
 *
 * Why whole files: a hypervisor sends each piece of one RAM file with a new descriptor, at offsets
 * that hugetlbfs cannot map by themselves, and up to 65,535 of them; the kernel has room for about
 * that many mappings in the whole process.
 */

#include "memfile.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "memheld.h"
#include "vbus_ctl.h"
#include "vbus_log.h"

#define GIB	      (1ull << 30)
#define WINDOW_SIZE   (64 * GIB)
#define WINDOW_ALIGN  GIB /* of the largest pages that may be placed */
#define MAX_PAGE_SIZE (16 * GIB)
/* Reservations cost nothing but addresses; with more links than this, the rest do without. */
#define MAX_WINDOWS 256u

#define HELD_LOOK_NS 20000000ull

static uint32_t nb_windows;
static LIST_HEAD(, vbus_memfile) held_files = LIST_HEAD_INITIALIZER(held_files);
static struct vbus_ctl_timer held_timer;
static struct vbus_sigbus_flag nobodys_flag;

/* What a descriptor is, looked at once. */
struct file_info {
	dev_t dev;
	ino_t ino;
	uint64_t size;
	uint64_t len; /* size in whole pages */
	uint64_t page;
	bool writable;
};

static int
file_check(int fd, struct file_info *fi)
{
	struct stat st;
	struct statfs fs;
	uint64_t base_page = (uint64_t)sysconf(_SC_PAGESIZE);
	int mode;

	if (fstat(fd, &st) != 0 || fstatfs(fd, &fs) != 0)
		return -errno;
	/* A disk's file may block or fail at a touch; a device is nobody's memory. */
	if (!S_ISREG(st.st_mode) || (fs.f_type != TMPFS_MAGIC && fs.f_type != HUGETLBFS_MAGIC))
		return -ENOTSUP;
	mode = fcntl(fd, F_GETFL);
	if (mode < 0)
		return -errno;
	fi->dev = st.st_dev;
	fi->ino = st.st_ino;
	fi->size = (uint64_t)st.st_size;
	fi->writable = (mode & O_ACCMODE) == O_RDWR;
	fi->page = fs.f_type == HUGETLBFS_MAGIC ? (uint64_t)st.st_blksize : base_page;
	if (fi->page < base_page || fi->page > MAX_PAGE_SIZE || (fi->page & (fi->page - 1)) != 0)
		return -ENOTSUP;
	if (fi->size > VBUS_MEMFILE_MAX_BYTES)
		return -ENOSPC;
	fi->len = (fi->size + fi->page - 1) & ~(fi->page - 1);
	return 0;
}

static struct vbus_memfile **
bucket(struct vbus_memfiles *fs, dev_t dev, ino_t ino)
{
	/* Consecutive files have consecutive numbers: they spread by themselves. */
	return &fs->buckets[((uint64_t)ino ^ (uint64_t)dev << 4) % VBUS_MEMFILE_BUCKETS];
}

/* ---- the window ------------------------------------------------------------------------------ */

static void
window_open(struct vbus_memfiles *fs, uint64_t start_iova)
{
	uint8_t *p, *aligned;
	uint64_t before, after;

	fs->window_tried = true;
	if (nb_windows == MAX_WINDOWS)
		return;
	p = mmap(NULL, WINDOW_SIZE + WINDOW_ALIGN, PROT_NONE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED)
		return; /* a limit on addresses: files go anywhere */
	aligned = (uint8_t *)(((uintptr_t)p + WINDOW_ALIGN - 1) & ~(uintptr_t)(WINDOW_ALIGN - 1));
	before = (uint64_t)(aligned - p);
	after = WINDOW_ALIGN - before;
	if (before != 0)
		munmap(p, before);
	if (after != 0)
		munmap(aligned + WINDOW_SIZE, after);
	fs->window = aligned;
	nb_windows++;
	/* Low addresses: a guest's memory, all of it. Else a process's: it may grow both ways. */
	if (start_iova < WINDOW_SIZE / 2)
		fs->window_iova = 0;
	else
		fs->window_iova = (start_iova & ~(WINDOW_ALIGN - 1)) - WINDOW_SIZE / 4;
}

/* Where a file would lie so that north's order is kept. NULL: not in the window, or taken. */
static uint8_t *
window_place(struct vbus_memfiles *fs, const struct file_info *fi, uint64_t iova, uint64_t offset)
{
	uint64_t start = iova - offset; /* of the file's first byte */
	uint64_t pos;

	if (offset > iova)
		return NULL;
	if (!fs->window_tried)
		window_open(fs, start);
	pos = start - fs->window_iova;
	if (fs->window == NULL || start < fs->window_iova || pos >= WINDOW_SIZE ||
		fi->len > WINDOW_SIZE - pos || (pos & (fi->page - 1)) != 0)
		return NULL;
	if (!vbus_ivset_is_free(&fs->placed, pos, pos + fi->len - 1))
		return NULL;
	return fs->window + pos;
}

/* Make a piece of the window empty (again). */
static void
window_clear(uint8_t *va, uint64_t len)
{
	mmap(va, len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
}

/* ---- mapping --------------------------------------------------------------------------------- */

static uint8_t *
map_fd(uint8_t *at, int fd, const struct file_info *fi, uint64_t offset)
{
	/* NORESERVE: a sparse hugetlbfs file must not claim pages for its holes. */
	int flags = MAP_SHARED | MAP_NORESERVE | (at != NULL ? MAP_FIXED : 0);
	uint64_t len = fi->len - offset;
	void *p;

	/* DPDK programs lock their memory (mlockall with MCL_FUTURE): mapping would fill every page of
	 * the peer's file, most of a second for each gigabyte, on the control thread. Without access
	 * nothing can be filled; unlock, then allow access.
	 */
	p = mmap(at, len, PROT_NONE, flags, fd, (off_t)offset);
	if (p == MAP_FAILED)
		return NULL;
	(void)munlock(p, len);
	if (mprotect(p, len, PROT_READ | (fi->writable ? PROT_WRITE : 0)) != 0) {
		int err = errno;

		munmap(p, len);
		errno = err;
		return NULL;
	}
	madvise(p, len, MADV_DONTDUMP); /* a guest's memory is not for our core files */
	return p;
}

/* fs NULL: its map, and with it the window, is gone. */
static void
unmap(struct vbus_memfiles *fs, struct vbus_memfile *f)
{
	if (f->slot >= 0)
		vbus_sigbus_del(f->slot);
	if (f->in_window && fs != NULL)
		window_clear(f->va, f->len);
	else
		munmap(f->va, f->len);
	if (fs != NULL && f->in_window)
		vbus_ivset_remove(&fs->placed, &f->iv);
	if (fs != NULL) {
		fs->mapped_bytes -= f->len;
		fs->nb--;
	}
	free(f);
}

/* ---- files that somebody still looks at -------------------------------------------------------- */

/* Zero pages in place of the file, in one step: threads read there. Made without access first, so that a process
 * that locks its memory does not fill them, see map_fd().
 */
static bool
replace_by_zeros(const struct vbus_memfile *f)
{
	void *p = mmap(NULL, f->len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		return false;
	(void)munlock(p, f->len);
	if (mprotect(p, f->len, PROT_READ | PROT_WRITE) != 0 ||
		mremap(p, f->len, f->len, MREMAP_MAYMOVE | MREMAP_FIXED, f->va) == MAP_FAILED) {
		munmap(p, f->len);
		return false;
	}
	return true;
}

uint32_t
vbus_memfiles_release(void)
{
	struct vbus_memfile *f, *following;
	uint32_t nb = 0;

	for (f = LIST_FIRST(&held_files); f != NULL; f = following) {
		following = LIST_NEXT(f, held);
		if (vbus_memholder_any(f->va, f->len)) {
			nb++;
			continue;
		}
		LIST_REMOVE(f, held);
		unmap(f->fs, f);
	}
	return nb;
}

static void
held_look(struct vbus_ctl_timer *t)
{
	if (vbus_memfiles_release() != 0)
		vbus_ctl_timer_arm(t, HELD_LOOK_NS);
}

static void
hold(struct vbus_memfiles *fs, struct vbus_memfile *f)
{
	if (replace_by_zeros(f)) {
		vbus_sigbus_del(f->slot);
		f->slot = -1;
	} else {
		/* Then the file stays, and a page of it that goes is nobody's fault. */
		int slot = vbus_sigbus_add(f->va, f->len, &nobodys_flag);

		VBUS_LOG(WARNING, "memory of a peer stays mapped: frames are in use there");
		if (slot >= 0)
			vbus_sigbus_del(f->slot);
		f->slot = slot;
	}
	f->fs = fs;
	LIST_INSERT_HEAD(&held_files, f, held);
	held_timer.fn = held_look;
	vbus_ctl_timer_arm(&held_timer, HELD_LOOK_NS);
}

/* The map ends. What is held goes on without it: the rest of the window is given back around it. */
static void
orphan(struct vbus_memfiles *fs)
{
	struct vbus_memfile *f;
	uint64_t at = 0;

	LIST_FOREACH(f, &held_files, held)
	{
		if (f->fs == fs)
			f->fs = NULL;
	}
	if (fs->window == NULL)
		return;
	for (struct vbus_iv *iv = vbus_ivset_first(&fs->placed); iv != NULL; iv = iv->next[0]) {
		if (iv->first > at)
			munmap(fs->window + at, iv->first - at);
		at = iv->last + 1;
	}
	if (at < WINDOW_SIZE)
		munmap(fs->window + at, WINDOW_SIZE - at);
}

static struct vbus_memfile *
file_map(struct vbus_memfiles *fs, int fd, const struct file_info *fi, uint64_t iova,
	uint64_t offset, int *err)
{
	struct vbus_memfile *f, **b = bucket(fs, fi->dev, fi->ino);
	uint8_t *at;

	*err = -ENOSPC;
	if (fi->len > VBUS_MEMFILE_MAX_BYTES - fs->mapped_bytes)
		return NULL;
	*err = vbus_sigbus_install();
	if (*err != 0)
		return NULL;
	*err = -ENOMEM;
	f = calloc(1, sizeof(*f));
	if (f == NULL)
		return NULL;
	at = window_place(fs, fi, iova, offset);
	if (at != NULL) {
		f->va = map_fd(at, fd, fi, 0);
		if (f->va == NULL)
			window_clear(at, fi->len); /* the old mapping may be gone already */
	}
	f->in_window = f->va != NULL;
	if (f->va == NULL)
		f->va = map_fd(NULL, fd, fi, 0);
	if (f->va == NULL) {
		*err = -errno;
		goto err_free;
	}
	f->slot = vbus_sigbus_add(f->va, fi->len, fs->flag);
	if (f->slot < 0) {
		*err = f->slot;
		goto err_unmap;
	}
	f->dev = fi->dev;
	f->ino = fi->ino;
	f->writable = fi->writable;
	f->len = fi->len;
	f->size = fi->size;
	if (f->in_window) {
		f->iv.first = (uint64_t)(f->va - fs->window);
		f->iv.last = f->iv.first + f->len - 1;
		vbus_ivset_insert(&fs->placed, &f->iv);
	}
	f->next = *b;
	*b = f;
	fs->nb++;
	fs->mapped_bytes += f->len;
	*err = 0;
	return f;

err_unmap:
	if (f->in_window)
		window_clear(f->va, fi->len);
	else
		munmap(f->va, fi->len);
err_free:
	free(f);
	return NULL;
}

/* The file has grown since: map the new part behind the old one, where that is free. */
static bool
file_grow(struct vbus_memfiles *fs, struct vbus_memfile *f, int fd, const struct file_info *fi)
{
	if (fi->len > f->len) {
		uint64_t add = fi->len - f->len, pos = f->iv.last + 1;

		if (!f->in_window || add > WINDOW_SIZE - pos ||
			add > VBUS_MEMFILE_MAX_BYTES - fs->mapped_bytes ||
			!vbus_ivset_is_free(&fs->placed, pos, pos + add - 1))
			return false;
		if (map_fd(f->va + f->len, fd, fi, f->len) == NULL) {
			window_clear(f->va + f->len, add);
			return false;
		}
		f->len = fi->len;
		f->iv.last += add;
		fs->mapped_bytes += add;
		vbus_sigbus_resize(f->slot, f->len);
	}
	f->size = fi->size;
	return true;
}

struct vbus_memfile *
vbus_memfile_get(struct vbus_memfiles *fs, int fd, uint64_t iova, uint64_t offset, uint64_t len,
	bool write, int *err)
{
	struct vbus_memfile *f;
	struct file_info fi = {0};

	*err = file_check(fd, &fi);
	if (*err != 0)
		return NULL;
	if (offset > fi.size || len > fi.size - offset) {
		*err = -EINVAL;
		return NULL;
	}
	if (write && !fi.writable) {
		*err = -EACCES;
		return NULL;
	}
	for (f = *bucket(fs, fi.dev, fi.ino); f != NULL; f = f->next) {
		if (f->dev != fi.dev || f->ino != fi.ino || (write && !f->writable))
			continue;
		if (offset + len <= f->size || file_grow(fs, f, fd, &fi))
			break;
	}
	if (f == NULL)
		f = file_map(fs, fd, &fi, iova, offset, err);
	if (f != NULL)
		f->refs++;
	return f;
}

void
vbus_memfile_ref(struct vbus_memfile *f)
{
	f->refs++;
}

void
vbus_memfile_put(struct vbus_memfiles *fs, struct vbus_memfile *f)
{
	struct vbus_memfile **pp;

	if (--f->refs != 0)
		return;
	for (pp = bucket(fs, f->dev, f->ino); *pp != f; pp = &(*pp)->next)
		;
	*pp = f->next;
	f->next = fs->dead;
	fs->dead = f;
}

void
vbus_memfiles_reap(struct vbus_memfiles *fs)
{
	struct vbus_memfile *f;

	while ((f = fs->dead) != NULL) {
		fs->dead = f->next;
		if (vbus_memholder_any(f->va, f->len))
			hold(fs, f);
		else
			unmap(fs, f);
	}
}

void
vbus_memfiles_fini(struct vbus_memfiles *fs)
{
	(void)vbus_memfiles_release();
	orphan(fs);
	if (fs->window != NULL)
		nb_windows--;
	fs->window = NULL;
	fs->window_tried = false;
}
