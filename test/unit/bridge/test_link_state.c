/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * The link state as a file: made, attached a second time, refused when it is not what it says, and
 * sparse even where the program locks its memory.
 */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../core/cu_run.h"
#include "link_state.h"

static void
test_create_attach(void)
{
	struct vbus_link_state *a, *c;
	int fd = -1;

	a = vbus_link_state_create("test", &fd);
	CU_ASSERT_PTR_NOT_NULL_FATAL(a);
	CU_ASSERT_EQUAL(a->header.magic, VBUS_LINK_MAGIC);
	CU_ASSERT_EQUAL(a->header.generation, 1);
	CU_ASSERT_EQUAL(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	a->conns[VBUS_LINK_CONNS - 1].generation = 17;
	a->cursors[VBUS_LINK_SHMS - 1].inuse_head = 4711;

	c = vbus_link_state_attach(fd);
	CU_ASSERT_PTR_NOT_NULL_FATAL(c);
	CU_ASSERT_PTR_NOT_EQUAL(a, c);
	CU_ASSERT_EQUAL(c->header.generation, 2);
	CU_ASSERT_EQUAL(c->conns[VBUS_LINK_CONNS - 1].generation, 17);
	CU_ASSERT_EQUAL(c->cursors[VBUS_LINK_SHMS - 1].inuse_head, 4711);
	vbus_link_state_unmap(a);
	c->shms[3].id = 5;
	vbus_link_state_unmap(c);
	vbus_link_state_unmap(NULL);
	close(fd);
}

static void
test_refused(void)
{
	struct vbus_link_state *ls;
	int fd = -1;
	int other;

	ls = vbus_link_state_create("test", &fd);
	CU_ASSERT_PTR_NOT_NULL_FATAL(ls);
	ls->header.magic++;
	CU_ASSERT_PTR_NULL(vbus_link_state_attach(fd));
	CU_ASSERT_EQUAL(errno, EINVAL);
	ls->header.magic--;
	ls->header.version++;
	CU_ASSERT_PTR_NULL(vbus_link_state_attach(fd));
	CU_ASSERT_EQUAL(errno, EPROTONOSUPPORT);
	ls->header.version--;
	ls->header.size--;
	CU_ASSERT_PTR_NULL(vbus_link_state_attach(fd));
	CU_ASSERT_EQUAL(errno, EINVAL);
	ls->header.size++;
	CU_ASSERT_NOT_EQUAL(ftruncate(fd, 4096), 0); /* sealed */
	CU_ASSERT_NOT_EQUAL(ftruncate(fd, (off_t)sizeof(*ls) * 2), 0);
	vbus_link_state_unmap(ls);
	close(fd);

	/* The right size, but it could shrink under us. */
	other = memfd_create("other", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	CU_ASSERT_FATAL(other >= 0);
	CU_ASSERT_EQUAL(ftruncate(other, (off_t)sizeof(*ls)), 0);
	CU_ASSERT_PTR_NULL(vbus_link_state_attach(other));
	CU_ASSERT_EQUAL(errno, EINVAL);
	/* Sealed, but empty: no magic. */
	CU_ASSERT_EQUAL(fcntl(other, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW), 0);
	CU_ASSERT_PTR_NULL(vbus_link_state_attach(other));
	CU_ASSERT_EQUAL(errno, EINVAL);
	close(other);

	other = memfd_create("small", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	CU_ASSERT_EQUAL(ftruncate(other, 4096), 0);
	CU_ASSERT_PTR_NULL(vbus_link_state_attach(other));
	CU_ASSERT_EQUAL(errno, EINVAL);
	close(other);
	CU_ASSERT_PTR_NULL(vbus_link_state_attach(-1));
	CU_ASSERT_EQUAL(errno, EBADF);
}

static void
test_sparse(void)
{
	struct vbus_link_state *ls;
	struct stat st;
	int locked;
	int fd = -1;

	locked = mlockall(MCL_FUTURE); /* may be refused: then the test is only weaker */
	ls = vbus_link_state_create("test", &fd);
	CU_ASSERT_PTR_NOT_NULL_FATAL(ls);
	ls->shms[0].id = 1;
	CU_ASSERT_EQUAL(fstat(fd, &st), 0);
	/* Blocks of 512 bytes: the header and the page written, and some slack. */
	CU_ASSERT(st.st_blocks <= 16);
	vbus_link_state_unmap(ls);
	close(fd);
	if (locked == 0)
		munlockall();
}

static uint32_t
nb_regions(const struct vbus_link_state *ls)
{
	uint32_t i, nb = 0;

	for (i = 0; i < ls->bridge.regions_end; i++)
		nb += (ls->regions[i].flags & VBUS_LINK_REGION_USED) != 0;
	return nb;
}

static void
test_regions(void)
{
	struct vbus_link_region r = {
		.iova = 0x1000,
		.len = 0x3000,
		.offset = 0x10000,
		.flags = VBUS_LINK_REGION_USED | VBUS_LINK_REGION_WRITE | VBUS_LINK_REGION_FILE,
		.st_dev = 1,
		.st_ino = 2,
	};
	struct vbus_link_state *ls;
	int fd = -1;

	ls = vbus_link_state_create("test", &fd);
	CU_ASSERT_PTR_NOT_NULL_FATAL(ls);
	CU_ASSERT_EQUAL(vbus_link_region_add(ls, &r), 0);
	CU_ASSERT_EQUAL(vbus_link_region_add(ls, &r), -EEXIST);
	CU_ASSERT_TRUE(vbus_link_region_overlaps(ls, 0x3fff, 0x4000));
	CU_ASSERT_FALSE(vbus_link_region_overlaps(ls, 0x4000, UINT64_MAX));
	/* A page out of the middle. */
	vbus_link_region_del(ls, 0x2000, 0x2fff);
	CU_ASSERT_EQUAL(nb_regions(ls), 2);
	CU_ASSERT_FALSE(vbus_link_region_overlaps(ls, 0x2000, 0x2fff));
	CU_ASSERT_EQUAL(ls->regions[0].len, 0x1000);
	CU_ASSERT_EQUAL(ls->regions[1].iova, 0x3000);
	CU_ASSERT_EQUAL(ls->regions[1].len, 0x1000);
	CU_ASSERT_EQUAL(ls->regions[1].offset, 0x12000);
	/* From below into the second, then all, up to the end of addresses. */
	vbus_link_region_del(ls, 0x1800, 0x37ff);
	CU_ASSERT_EQUAL(ls->regions[0].len, 0x800);
	CU_ASSERT_TRUE(vbus_link_region_overlaps(ls, 0x3800, 0x3800));
	CU_ASSERT_FALSE(vbus_link_region_overlaps(ls, 0x1800, 0x37ff));
	r.iova = UINT64_MAX - 0xfff;
	r.len = 0x1000;
	CU_ASSERT_EQUAL(vbus_link_region_add(ls, &r), 0);
	vbus_link_region_del(ls, 0, UINT64_MAX);
	CU_ASSERT_EQUAL(nb_regions(ls), 0);
	CU_ASSERT_EQUAL(ls->bridge.regions_end, 0);
	vbus_link_state_unmap(ls);
	close(fd);
}

static void
test_idle(void)
{
	struct vbus_link_state *other;
	const uint8_t master_on[2] = {6, 0}, master_off[2] = {2, 0};
	struct vbus_link_state *ls;
	uint8_t id[4];
	int fd = -1;

	ls = vbus_link_state_create("test", &fd);
	CU_ASSERT_PTR_NOT_NULL_FATAL(ls);
	vbus_link_config_init(ls);
	vbus_link_config_read(ls, 0, id, sizeof(id));
	CU_ASSERT(id[0] == 0xda && id[1] == 0x11 && id[2] == 0 && id[3] == 0x20);
	CU_ASSERT_FALSE(vbus_link_config_write(ls, 4, master_on, 2));
	CU_ASSERT_TRUE(vbus_link_config_write(ls, 4, master_off, 2));
	ls->conns[5].flags = VBUS_LINK_CONN_USED;
	ls->shms[7].flags = VBUS_LINK_SHM_USED;
	ls->devs[2].flags = VBUS_LINK_DEV_USED | VBUS_LINK_DEV_ANNOUNCED;
	ls->devs[2].devid = 9;
	ls->bridge.last_devid = 9;
	ls->bridge.flags = VBUS_LINK_PEER | VBUS_LINK_NEGOTIATED | VBUS_LINK_EVENTS;
	vbus_link_state_reset(ls, false);
	CU_ASSERT_EQUAL(ls->conns[5].flags, 0);
	CU_ASSERT_EQUAL(ls->shms[7].flags, 0);
	CU_ASSERT_EQUAL(ls->devs[2].flags, VBUS_LINK_DEV_USED);
	CU_ASSERT_EQUAL(ls->devs[2].devid, 0);
	CU_ASSERT_EQUAL(ls->bridge.flags, VBUS_LINK_PEER);
	CU_ASSERT_EQUAL(ls->bridge.last_devid, 9); /* ids are not used twice */
	vbus_link_state_reset(ls, true);
	CU_ASSERT_EQUAL(ls->bridge.last_devid, 0);
	/* What is written after it is given back stays here. */
	ls->bridge.last_devid = 3;
	other = vbus_link_state_attach(fd);
	CU_ASSERT_PTR_NOT_NULL_FATAL(other);
	CU_ASSERT_EQUAL(vbus_link_state_detach(ls, fd), 0);
	CU_ASSERT_EQUAL(ls->bridge.last_devid, 3);
	/* Nor is seen what its next owner does: it has other descriptors. */
	other->bridge.last_devid = 8;
	CU_ASSERT_EQUAL(ls->bridge.last_devid, 3);
	other->bridge.last_devid = 3;
	vbus_link_state_unmap(other);
	ls->bridge.last_devid = 4;
	vbus_link_state_unmap(ls);
	ls = vbus_link_state_attach(fd);
	CU_ASSERT_PTR_NOT_NULL_FATAL(ls);
	CU_ASSERT_EQUAL(ls->bridge.last_devid, 3);
	vbus_link_state_unmap(ls);
	close(fd);
}

int
main(void)
{
	const struct cu_test tests[] = {
		{"create and attach", test_create_attach},
		{"refused files", test_refused},
		{"sparse", test_sparse},
		{"regions", test_regions},
		{"a link that nobody serves", test_idle},
		{NULL, NULL},
	};

	return cu_run("link_state", tests, NULL, NULL);
}
