/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * The state of a link as a file in memory: make, map, check (ADR-0003). Runs on the control side
 * of a backend, later in a keeper; owns nothing: descriptor and mapping are the caller's. Free of
 * DPDK and of logs.
 *
 * The pages are shared memory only between processes that trust each other (backend and keeper);
 * no peer of a link ever sees them. They are nevertheless sealed: a file that shrinks under us
 * would be a SIGBUS in the middle of a poll.
 */

#include "link_state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define LINK_STATE_PAGE	 4096
#define LINK_STATE_SEALS (F_SEAL_SHRINK | F_SEAL_GROW)

static void *
link_state_mmap(void *at, int flags, int fd)
{
	const size_t size = sizeof(struct vbus_link_state);
	void *p;

	/* DPDK programs lock their memory (mlockall with MCL_FUTURE), which would fill every page
	 * of this sparse file. Without access nothing can be filled; unlock, then allow access.
	 */
	p = mmap(at, size, PROT_NONE, flags, fd, 0);
	if (p == MAP_FAILED)
		return NULL;
	(void)munlock(p, size);
	if (mprotect(p, size, PROT_READ | PROT_WRITE) != 0) {
		int err = errno;

		munmap(p, size);
		errno = err;
		return NULL;
	}
	return p;
}

static struct vbus_link_state *
link_state_map(int fd)
{
	return link_state_mmap(NULL, MAP_SHARED, fd);
}

int
vbus_link_state_detach(struct vbus_link_state *ls, int fd)
{
	off_t at = 0, end;

	if (link_state_mmap(ls, MAP_PRIVATE | MAP_FIXED, fd) == NULL)
		return -errno;
	/* A page that is not written shows what its next owner does: its numbers of descriptors would
	 * be closed here.
	 */
	while ((at = lseek(fd, at, SEEK_DATA)) >= 0) {
		end = lseek(fd, at, SEEK_HOLE);
		for (; at < end; at += LINK_STATE_PAGE) {
			uint8_t *byte = (uint8_t *)ls + at;

			__atomic_store_n(byte, *byte, __ATOMIC_RELAXED);
		}
	}
	return errno == ENXIO ? 0 : -errno;
}

struct vbus_link_state *
vbus_link_state_create(const char *name, int *fd_out)
{
	struct vbus_link_state *ls;
	int err;
	int fd;

	fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return NULL;
	if (ftruncate(fd, (off_t)sizeof(*ls)) != 0 || fcntl(fd, F_ADD_SEALS, LINK_STATE_SEALS) != 0)
		goto err_close;
	ls = link_state_map(fd);
	if (ls == NULL)
		goto err_close;
	ls->header.version = VBUS_LINK_VERSION;
	ls->header.header_size = sizeof(ls->header);
	ls->header.size = sizeof(*ls);
	ls->header.generation = 1;
	/* Last: a maker that dies before leaves a file that nobody accepts. */
	__atomic_store_n(&ls->header.magic, VBUS_LINK_MAGIC, __ATOMIC_RELEASE);
	*fd_out = fd;
	return ls;

err_close:
	err = errno;
	close(fd);
	errno = err;
	return NULL;
}

/* Size and seals come from the kernel, so that reading the header cannot fault. */
static bool
link_state_file_ok(int fd)
{
	struct stat st;
	int seals;

	if (fstat(fd, &st) != 0)
		return false;
	if (!S_ISREG(st.st_mode) || st.st_size != (off_t)sizeof(struct vbus_link_state)) {
		errno = EINVAL;
		return false;
	}
	seals = fcntl(fd, F_GET_SEALS);
	if (seals < 0 || (seals & LINK_STATE_SEALS) != LINK_STATE_SEALS) {
		errno = EINVAL;
		return false;
	}
	return true;
}

struct vbus_link_state *
vbus_link_state_attach(int fd)
{
	struct vbus_link_state *ls;
	int err = 0;

	if (!link_state_file_ok(fd))
		return NULL;
	ls = link_state_map(fd);
	if (ls == NULL)
		return NULL;
	if (__atomic_load_n(&ls->header.magic, __ATOMIC_ACQUIRE) != VBUS_LINK_MAGIC)
		err = EINVAL;
	else if (ls->header.version != VBUS_LINK_VERSION)
		err = EPROTONOSUPPORT;
	else if (ls->header.header_size != sizeof(ls->header) || ls->header.size != sizeof(*ls))
		err = EINVAL;
	if (err != 0) {
		vbus_link_state_unmap(ls);
		errno = err;
		return NULL;
	}
	ls->header.generation++;
	return ls;
}

void
vbus_link_state_unmap(struct vbus_link_state *ls)
{
	if (ls != NULL)
		munmap(ls, sizeof(*ls));
}
