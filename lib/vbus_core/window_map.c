/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * What a window is made of (ADR-0018): a file, a UIO device, /dev/mem, a PCI function's BAR. All
 * of them are something that can be opened and mapped; they differ in where their size stands.
 *
 * A window that is gone (a file cut short, a device taken away) leaves zero pages in its place
 * (vbus_sigbus.h), and pointers into it stay good. When it is there again it is mapped over them.
 *
 * Threads: control lock held.
 */

#include "vbus_window.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "vbus_ctl.h"
#include "vbus_distance.h"

#define SIZE_STEP (4ull << 20)

/** A window's path, taken apart. */
struct place {
	char file[VBUS_WINDOW_PATH_SIZE + 64];
	uint64_t offset;   /* to map from */
	bool make;	   /* a file, to be made if it is not there */
	bool part;	   /* an offset was given */
	char function[32]; /* of pci:FUNCTION */
	bool server;	   /* ivshmem:SOCKET, the socket in file */
};

static bool
begins(const char *s, const char *with)
{
	return strncmp(s, with, strlen(with)) == 0;
}

/* FILE, FILE@OFFSET, pci:FUNCTION. @return 0, -EINVAL */
static int
take_apart(const char *path, struct place *p)
{
	char *at, *end;

	memset(p, 0, sizeof(*p));
	if (begins(path, "pci:")) {
		if (strlen(path + 4) >= sizeof(p->function) || strchr(path, '/') != NULL)
			return -EINVAL;
		strcpy(p->function, path + 4);
		snprintf(p->file, sizeof(p->file), "/sys/bus/pci/devices/%s/resource%d_wc",
			p->function, VBUS_WINDOW_PCI_BAR);
		if (access(p->file, F_OK) != 0)
			p->file[strlen(p->file) - 3] = '\0';
		return 0;
	}
	if (begins(path, "ivshmem:")) {
		snprintf(p->file, sizeof(p->file), "%s", path + 8);
		p->server = true;
		return p->file[0] != '\0' ? 0 : -EINVAL;
	}
	snprintf(p->file, sizeof(p->file), "%s", path);
	at = strrchr(p->file, '@');
	if (at != NULL && at[1] >= '0' && at[1] <= '9') {
		p->offset = strtoull(at + 1, &end, 0);
		if (*end != '\0' || p->offset % 4096 != 0)
			return -EINVAL;
		*at = '\0';
		p->part = true;
	}
	p->make = !p->part && !begins(path, "/sys/") &&
		  (!begins(path, "/dev/") || begins(path, "/dev/shm/") ||
			  begins(path, "/dev/hugepages"));
	return 0;
}

/* sysfs: one number. 0: none */
static uint64_t
number_of(const char *format, const char *name, uint64_t index)
{
	char path[160], text[32] = "";
	uint64_t value = 0;
	FILE *f;

	snprintf(path, sizeof(path), format, name, (unsigned long long)index);
	f = fopen(path, "re");
	if (f == NULL)
		return 0;
	if (fgets(text, sizeof(text), f) != NULL)
		value = strtoull(text, NULL, 0);
	fclose(f);
	return value;
}

/* Memory decoding on: nobody else does it for a function without a driver. */
static void
pci_enable(const struct place *p)
{
	char path[128];
	int fd;

	if (p->function[0] == '\0')
		return;
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/enable", p->function);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return; /* it shows as a window of ones */
	if (write(fd, "1", 1) != 1) {
		close(fd);
		return;
	}
	close(fd);
}

/* @return bytes that can be mapped, 0: it does not say (/dev/mem) */
static uint64_t
device_size(const struct place *p, const struct stat *st)
{
	const char *name = strrchr(p->file, '/');

	if (!S_ISCHR(st->st_mode) || name == NULL || !begins(name, "/uio"))
		return 0;
	/* A UIO map is chosen by the page that its mapping begins at. */
	return number_of("/sys/class/uio%s/maps/map%llu/size", name,
		p->offset / (uint64_t)sysconf(_SC_PAGESIZE));
}

static int
refuse(char *err, size_t err_size, const char *path, int error)
{
	snprintf(err, err_size, "%s: %s", path, strerror(error));
	return -error;
}

/* How large is it, and may it be one? */
static int
look(struct vbus_window *w, const struct place *p, int fd, uint64_t size, struct stat *st,
	uint64_t *found, char *err, size_t err_size)
{
	struct statfs fs;

	if (fstat(fd, st) != 0 || fstatfs(fd, &fs) != 0)
		return refuse(err, err_size, w->path, errno);
	w->page = 4096;
	if (S_ISCHR(st->st_mode)) {
		*found = device_size(p, st);
		if (*found == 0)
			*found = size;
		if (*found != 0)
			return 0;
		snprintf(err, err_size, "%s: size= is needed, this device has none", w->path);
		return -EINVAL;
	}
	if (S_ISREG(st->st_mode) && fs.f_type == SYSFS_MAGIC) { /* resourceN */
		*found = (uint64_t)st->st_size;
		return 0;
	}
	if (!S_ISREG(st->st_mode) || (fs.f_type != TMPFS_MAGIC && fs.f_type != HUGETLBFS_MAGIC)) {
		snprintf(err, err_size,
			"%s: neither a file of tmpfs or hugetlbfs nor a device that can be mapped",
			w->path);
		return -ENOTSUP;
	}
	w->cached = true;
	if (fs.f_type == HUGETLBFS_MAGIC)
		w->page = (size_t)fs.f_bsize;
	if (st->st_size == 0 && p->make) {
		/* The other side may do the same at this moment; of two sizes one is found below. */
		if (ftruncate(fd, (off_t)(size != 0 ? size : VBUS_WINDOW_SIZE_DEFAULT)) != 0 ||
			fstat(fd, st) != 0)
			return refuse(err, err_size, w->path, errno);
	}
	*found = (uint64_t)st->st_size > p->offset ? (uint64_t)st->st_size - p->offset : 0;
	if (p->part && size != 0 && size <= *found)
		*found = size; /* a part of a file */
	return 0;
}

/* @return a descriptor, how much of it, and from where (p->offset); or a negative errno, said */
static int
open_place(struct vbus_window *w, struct place *p, uint64_t size, struct stat *st, uint64_t *found,
	char *err, size_t err_size)
{
	const struct vbus_window_held *h = p->function[0] != '\0' ? vbus_window_held(p->function)
								  : NULL;
	int fd, ret = 0;

	w->cached = false;
	if (h != NULL) {
		fd = fcntl(h->fd, F_DUPFD_CLOEXEC, 0);
	} else if (p->server) {
		fd = fcntl(vbus_ivshmem_memory(w->irq.server), F_DUPFD_CLOEXEC, 0);
	} else {
		pci_enable(p);
		fd = open(p->file, O_RDWR | O_CLOEXEC | (p->make ? O_CREAT | O_NOFOLLOW : O_SYNC),
			0600);
	}
	if (fd < 0)
		return refuse(err, err_size, w->path, errno);
	if (h == NULL) {
		ret = look(w, p, fd, size, st, found, err, err_size);
	} else if (fstat(fd, st) != 0) {
		ret = refuse(err, err_size, w->path, errno);
	} else {
		w->page = 4096;
		p->offset = h->offset;
		*found = h->size;
	}
	if (ret == 0)
		return fd;
	close(fd);
	return ret;
}

/* Open and map; over the old place if there is one. */
static int
map(struct vbus_window *w, uint64_t size, char *err, size_t err_size)
{
	struct stat st;
	struct place p;
	uint64_t found = 0;
	int fd, ret;
	void *va;

	ret = take_apart(w->path, &p);
	if (ret != 0)
		return refuse(err, err_size, w->path, EINVAL);
	fd = open_place(w, &p, size, &st, &found, err, err_size);
	if (fd < 0)
		return fd;
	if (size != 0 && found != size) {
		snprintf(err, err_size, "%s: is there with %llu bytes, not %llu", w->path,
			(unsigned long long)found, (unsigned long long)size);
		ret = -EINVAL;
	}
	if (ret == 0 && (found < VBUS_WINDOW_SIZE_MIN || found % SIZE_STEP != 0)) {
		snprintf(err, err_size, "%s: %llu bytes are no multiple of 4 MiB", w->path,
			(unsigned long long)found);
		ret = -EINVAL;
	}
	if (ret != 0)
		goto err_close;
	va = mmap(w->base, found, PROT_READ | PROT_WRITE,
		MAP_SHARED | (w->base != NULL ? MAP_FIXED : 0), fd, (off_t)p.offset);
	if (va == MAP_FAILED) {
		ret = -errno;
		snprintf(err, err_size, "%s: mapping %llu bytes: %s", w->path,
			(unsigned long long)found, strerror(errno));
		goto err_close;
	}
	if (w->fd >= 0)
		close(w->fd);
	w->fd = fd;
	w->base = va;
	w->size = found;
	w->dev = st.st_dev;
	w->ino = st.st_ino;
	return 0;

err_close:
	close(fd);
	return ret;
}

/* What is far of it counts, when that is asked for. */
static int
set_apart(struct vbus_window *w, char *err, size_t err_size)
{
	uint64_t ns = vbus_distance_ns();
	int ret;

	if (ns == 0)
		return 0;
	w->far = w->base + (w->side_b ? 0 : w->size / 2);
	ret = vbus_distance_add(w->far, w->size / 2, w->page, ns, &w->fault);
	if (ret != 0)
		snprintf(err, err_size, "%s: VBUS_WINDOW_DISTANCE: %s", w->path, strerror(-ret));
	return ret;
}

/* What interrupts come from, if there is something. */
static int
irq_begin(struct vbus_window *w, char *err, size_t err_size)
{
	struct place p;
	int ret = take_apart(w->path, &p);

	if (ret == 0 && p.server)
		ret = vbus_ivshmem_open(w, p.file);
	else if (ret == 0 && p.function[0] != '\0')
		ret = vbus_window_held_join(p.function, w);
	return ret == 0 ? 0 : refuse(err, err_size, w->path, -ret);
}

static void
irq_end(struct vbus_window *w)
{
	vbus_window_held_leave(w);
	vbus_ivshmem_close(w);
	if (w->irq.ring_fd >= 0)
		close(w->irq.ring_fd);
	w->irq.ring_fd = -1;
}

int
vbus_window_map(struct vbus_window *w, uint64_t size, char *err, size_t err_size)
{
	int ret;

	w->fd = -1;
	ret = irq_begin(w, err, err_size);
	if (ret != 0)
		return ret;
	ret = map(w, size, err, err_size);
	if (ret != 0)
		goto err_irq;
	ret = vbus_sigbus_install();
	if (ret == 0)
		ret = w->sigbus = vbus_sigbus_add(w->base, w->size, &w->fault);
	if (ret < 0) {
		refuse(err, err_size, w->path, -ret);
		goto err_unmap;
	}
	ret = set_apart(w, err, err_size);
	if (ret == 0)
		return 0;
	vbus_sigbus_del(w->sigbus);
err_unmap:
	munmap(w->base, w->size);
	close(w->fd);
	w->base = NULL;
err_irq:
	irq_end(w);
	return ret;
}

void
vbus_window_unmap(struct vbus_window *w)
{
	irq_end(w);
	if (w->far != NULL)
		vbus_distance_del(w->far);
	vbus_sigbus_del(w->sigbus);
	munmap(w->base, w->size);
	close(w->fd);
	w->base = NULL;
}

bool
vbus_window_lost(struct vbus_window *w)
{
	return atomic_load_explicit(&w->fault.hit, memory_order_acquire);
}

/* Is another file in its place? */
static bool
replaced(const struct vbus_window *w)
{
	const struct vbus_window_held *h;
	struct place p;
	struct stat st;

	if (take_apart(w->path, &p) != 0)
		return false;
	if (p.server)
		return vbus_ivshmem_again(w->irq.server);
	h = p.function[0] != '\0' ? vbus_window_held(p.function) : NULL;
	return (h != NULL ? fstat(h->fd, &st) : stat(p.file, &st)) == 0 &&
	       (st.st_dev != w->dev || st.st_ino != w->ino || (p.make && st.st_size == 0));
}

bool
vbus_window_recover(struct vbus_window *w, uint64_t now_ns)
{
	bool lost = vbus_window_lost(w);
	char err[256];
	uint64_t size = w->size;

	if (now_ns < w->recover_ns)
		return !lost;
	w->recover_ns = now_ns + VBUS_WINDOW_RECOVER_NS;
	if (!replaced(w) && !lost)
		return true;
	/* Before the mapping: a fault in the new one must not get lost. */
	atomic_store_explicit(&w->fault.hit, false, memory_order_relaxed);
	if (map(w, size, err, sizeof(err)) != 0) {
		atomic_store_explicit(&w->fault.hit, true, memory_order_relaxed);
		return false;
	}
	if (w->far != NULL)
		vbus_distance_again(w->far);
	vbus_window_renew(w);
	return true;
}
