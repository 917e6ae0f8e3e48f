/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * The memory map: regions, files, cuts, lookups, copies. No control threads: the test holds the
 * control lock all the time. What is large is in test_memmap_large.c.
 */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "cu_run.h"
#include "memmap_rig.h"

static void
test_empty(void)
{
	map_make();
	CU_ASSERT_PTR_NULL(ptr(0, 1));
	CU_ASSERT_PTR_NULL(ptr(UINT64_MAX, 1));
	CU_ASSERT_EQUAL(info().nb_extents, 0);
	CU_ASSERT_EQUAL(vbus_memmap_del(m, 0, 0), 0);
	CU_ASSERT_EQUAL(vbus_memmap_del(m, 5, 0), 0);
	CU_ASSERT_EQUAL(nb_quiesce, 0);
	map_free();
}

static void
test_one(void)
{
	struct mem f;

	map_make();
	mem_make(&f, MIB, 0x1000000);
	CU_ASSERT_EQUAL(add(0x100000, 0x80000, &f, 0x40000, RW), 0);
	CU_ASSERT_EQUAL(nb_quiesce, 1);
	CU_ASSERT_PTR_EQUAL(last_view, vbus_memmap_view(m));
	CU_ASSERT_EQUAL(word_at(0x100000), 0x1040000);
	CU_ASSERT_EQUAL(word_at(0x17fff8), 0x10bfff8);
	CU_ASSERT_PTR_NULL(ptr(0x0fffff, 1));
	CU_ASSERT_PTR_NULL(ptr(0x180000, 1));
	CU_ASSERT_PTR_NULL(ptr(0x17fffc, 8));
	CU_ASSERT_PTR_NULL(ptr(0x100000, 0x80001));
	CU_ASSERT_PTR_NULL(ptr(0x100000, UINT64_MAX));
	CU_ASSERT_PTR_NULL(ptr(0x17ffff, UINT64_MAX - 0x17fffe));
	CU_ASSERT_PTR_NOT_NULL(ptr(0x100000, 0x80000));
	CU_ASSERT_EQUAL(info().mapped_bytes, MIB); /* whole */
	CU_ASSERT_EQUAL(vbus_memmap_del(m, 0x100000, 0x80000), 0);
	CU_ASSERT_EQUAL(nb_quiesce, 2);
	CU_ASSERT_PTR_NULL(ptr(0x100000, 1));
	CU_ASSERT_EQUAL(info().mapped_bytes, 0);
	CU_ASSERT_EQUAL(info().nb_files, 0);
	mem_free(&f);
	map_free();
}

/* Two files that are neighbours for north are neighbours here, in any order of arrival. */
static void
test_adjacent_files(void)
{
	static const int order[2][3] = {{0, 1, 2}, {2, 0, 1}};
	struct mem f[3];

	for (int k = 0; k < 3; k++)
		mem_make(&f[k], 2 * MIB, 0x1000000ull * (uint64_t)(k + 1));
	for (int o = 0; o < 2; o++) {
		map_make();
		for (int k = 0; k < 3; k++) {
			int i = order[o][k];

			CU_ASSERT_EQUAL(add(GIB + 2 * MIB * (uint64_t)i, 2 * MIB, &f[i], 0, RW), 0);
		}
		CU_ASSERT_EQUAL(info().nb_regions, 3);
		CU_ASSERT_EQUAL(info().nb_files, 3);
		CU_ASSERT_EQUAL(info().nb_extents, 1);
		CU_ASSERT_PTR_NOT_NULL(ptr(GIB, 6 * MIB));
		CU_ASSERT_PTR_NULL(ptr(GIB, 6 * MIB + 1));
		CU_ASSERT_EQUAL(word_at(GIB + 4 * MIB), 0x3000000);
		/* the middle one goes, and another comes to its place */
		CU_ASSERT_EQUAL(vbus_memmap_del(m, GIB + 2 * MIB, 2 * MIB), 0);
		CU_ASSERT_EQUAL(info().nb_extents, 2);
		CU_ASSERT_PTR_NULL(ptr(GIB, 2 * MIB + 1));
		CU_ASSERT_PTR_NULL(ptr(GIB + 2 * MIB, 1));
		CU_ASSERT_EQUAL(word_at(GIB + 4 * MIB), 0x3000000);
		CU_ASSERT_EQUAL(add(GIB + 2 * MIB, 2 * MIB, &f[1], 0, RW), 0);
		CU_ASSERT_EQUAL(info().nb_extents, 1);
		map_free();
	}
	for (int k = 0; k < 3; k++)
		mem_free(&f[k]);
}

/* One memfd in many pieces, as a hypervisor sends a guest's memory. */
static void
test_one_file_many_regions(void)
{
	struct mem f;
	int before = nb_fds();

	map_make();
	mem_make(&f, 8 * MIB, 0x10000000);
	CU_ASSERT_EQUAL(add(0, 0xa0000, &f, 0, RW), 0);
	CU_ASSERT_EQUAL(add(0xc0000, 0x20000, &f, 0xc0000, VBUS_MEM_READ), 0);
	CU_ASSERT_EQUAL(add(0xe0000, 0x20000, NULL, 0, RW), 0); /* no fd: firmware */
	CU_ASSERT_EQUAL(add(0x100000, 3 * MIB, &f, 0x100000, RW), 0);
	CU_ASSERT_EQUAL(add(0x100000000, 4 * MIB, &f, 4 * MIB, RW), 0);
	CU_ASSERT_EQUAL(nb_fds(), before + 1); /* duplicates are closed */
	CU_ASSERT_EQUAL(info().nb_regions, 5);
	CU_ASSERT_EQUAL(info().nb_files, 1);
	CU_ASSERT_EQUAL(info().nb_extents, 4);
	CU_ASSERT_EQUAL(info().mapped_bytes, 8 * MIB);
	CU_ASSERT_EQUAL(word_at(0x100000000 + 8), 0x10000000 + 4 * MIB + 8);
	CU_ASSERT_EQUAL(word_at(0x9fff8), 0x10000000 + 0x9fff8);
	/* recorded, not accessible, but an unmap finds it */
	CU_ASSERT_PTR_NULL(ptr(0xe0000, 1));
	CU_ASSERT_EQUAL(add(0xe0000, 1, &f, 0, RW), -EEXIST);
	CU_ASSERT_EQUAL(vbus_memmap_del(m, 0xe0000, 0x20000), 0);
	CU_ASSERT_EQUAL(add(0xe0000, 0x20000, &f, 0xe0000, RW), 0);
	CU_ASSERT_EQUAL(word_at(0xe0000), 0x10000000 + 0xe0000);
	CU_ASSERT_EQUAL(vbus_memmap_del(m, 0, 0), 0);
	CU_ASSERT_EQUAL(info().nb_regions, 0);
	CU_ASSERT_EQUAL(info().nb_files, 0);
	CU_ASSERT_EQUAL(info().mapped_bytes, 0);
	mem_free(&f);
	map_free();
}

static void
test_refused(void)
{
	struct mem f;
	int before = nb_fds(), fd, ro, p[2];
	char path[64];

	map_make();
	mem_make(&f, MIB, 1);
	CU_ASSERT_EQUAL(add(0, 0, &f, 0, RW), -EINVAL);
	CU_ASSERT_EQUAL(add(0, MIB + 1, &f, 0, RW), -EINVAL);
	CU_ASSERT_EQUAL(add(0, 8, &f, MIB - 7, RW), -EINVAL);
	CU_ASSERT_EQUAL(add(0, 8, &f, MIB + 1, RW), -EINVAL);
	CU_ASSERT_EQUAL(add(0, 8, &f, UINT64_MAX - 3, RW), -EINVAL);
	CU_ASSERT_EQUAL(add(0, UINT64_MAX, &f, 8, RW), -EINVAL);
	CU_ASSERT_EQUAL(add(UINT64_MAX - 6, 8, &f, 0, RW), -EINVAL);
	CU_ASSERT_EQUAL(add(UINT64_MAX, 2, NULL, 0, RW), -EINVAL);
	CU_ASSERT_EQUAL(add(2, UINT64_MAX, NULL, 0, RW), -EINVAL);
	CU_ASSERT_EQUAL(vbus_memmap_add(m, 0, 8, 1000, 0, RW), -EBADF);
	CU_ASSERT_EQUAL(pipe(p), 0);
	CU_ASSERT_EQUAL(vbus_memmap_add(m, 0, 8, p[0], 0, RW), -ENOTSUP);
	CU_ASSERT_EQUAL(vbus_memmap_add(m, 0, 8, p[1], 0, RW), -ENOTSUP);
	fd = open("/proc/version", O_RDONLY | O_CLOEXEC);
	CU_ASSERT_EQUAL(vbus_memmap_add(m, 0, 8, fd, 0, VBUS_MEM_READ), -ENOTSUP);
	fd = open("/dev/zero", O_RDWR | O_CLOEXEC);
	CU_ASSERT_EQUAL(vbus_memmap_add(m, 0, 8, fd, 0, RW), -ENOTSUP);
	/* a descriptor that may not write gives no writable region */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", f.fd);
	ro = open(path, O_RDONLY | O_CLOEXEC);
	CU_ASSERT_FATAL(ro >= 0);
	CU_ASSERT_EQUAL(vbus_memmap_add(m, 0, 8, dup(ro), 0, RW), -EACCES);
	CU_ASSERT_EQUAL(vbus_memmap_add(m, 0, 4096, dup(ro), 0, VBUS_MEM_READ), 0);
	/* but another one of the same file does */
	CU_ASSERT_EQUAL(add(4096, 4096, &f, 4096, RW), 0);
	CU_ASSERT_PTR_NULL(ptr(0, 1));
	CU_ASSERT_EQUAL(word_at(4096), 4097);
	close(ro);
	mem_free(&f);
	CU_ASSERT_EQUAL(nb_fds(), before + (vbus_memmap_view(m)->nb_extents != 2));
	map_free();
}

static void
test_overlap(void)
{
	struct mem f;

	map_make();
	mem_make(&f, MIB, 1);
	CU_ASSERT_EQUAL(add(0x10000, 0x10000, &f, 0, RW), 0);
	CU_ASSERT_EQUAL(add(0x30000, 0x10000, &f, 0x10000, RW), 0);
	CU_ASSERT_EQUAL(add(0x10000, 0x10000, &f, 0, RW), -EEXIST);
	CU_ASSERT_EQUAL(add(0x0ffff, 2, &f, 0, RW), -EEXIST);
	CU_ASSERT_EQUAL(add(0x1ffff, 1, &f, 0, RW), -EEXIST);
	CU_ASSERT_EQUAL(add(0x15000, 0x1000, &f, 0, RW), -EEXIST);
	CU_ASSERT_EQUAL(add(0, 0x100000, &f, 0, RW), -EEXIST);
	CU_ASSERT_EQUAL(add(0x20000, 0x10001, NULL, 0, RW), -EEXIST);
	CU_ASSERT_EQUAL(add(0, UINT64_MAX, NULL, 0, RW), -EEXIST);
	CU_ASSERT_EQUAL(add(0x20000, 0x10000, &f, 0x80000, RW), 0);
	CU_ASSERT_EQUAL(info().nb_regions, 3);
	CU_ASSERT_EQUAL(info().nb_files, 1);
	mem_free(&f);
	map_free();
}

static void
test_cut(void)
{
	struct mem f;

	map_make();
	mem_make(&f, MIB, 0x100000000);
	CU_ASSERT_EQUAL(add(0x100000, 0x10000, &f, 0x1000, RW), 0);
	CU_ASSERT_EQUAL(add(0x110000, 0x10000, &f, 0x20000, RW), 0);
	/* out of the middle: both sides stay, and keep their places in the file */
	CU_ASSERT_EQUAL(vbus_memmap_del(m, 0x104000, 0x1000), 0);
	CU_ASSERT_EQUAL(info().nb_regions, 3);
	CU_ASSERT_EQUAL(word_at(0x103ff8), 0x100000000 + 0x1000 + 0x3ff8);
	CU_ASSERT_PTR_NULL(ptr(0x104000, 1));
	CU_ASSERT_PTR_NULL(ptr(0x104fff, 1));
	CU_ASSERT_PTR_NULL(ptr(0x103fff, 2));
	CU_ASSERT_EQUAL(word_at(0x105000), 0x100000000 + 0x1000 + 0x5000);
	/* the end of one and the start of the next */
	CU_ASSERT_EQUAL(vbus_memmap_del(m, 0x10f000, 0x2000), 0);
	CU_ASSERT_PTR_NULL(ptr(0x10f000, 1));
	CU_ASSERT_PTR_NULL(ptr(0x110fff, 1));
	CU_ASSERT_EQUAL(word_at(0x10eff8), 0x100000000 + 0x1000 + 0xeff8);
	CU_ASSERT_EQUAL(word_at(0x111000), 0x100000000 + 0x20000 + 0x1000);
	/* one over many */
	CU_ASSERT_EQUAL(vbus_memmap_del(m, 0, 0x110000 + 0x8000), 0);
	CU_ASSERT_EQUAL(info().nb_regions, 1);
	CU_ASSERT_EQUAL(word_at(0x118000), 0x100000000 + 0x20000 + 0x8000);
	CU_ASSERT_EQUAL(info().nb_files, 1);
	/* the hole can be filled again */
	CU_ASSERT_EQUAL(add(0x100000, 0x18000, &f, 0, RW), 0);
	CU_ASSERT_EQUAL(word_at(0x104000), 0x100000000 + 0x4000);
	/* past the end of everything */
	CU_ASSERT_EQUAL(vbus_memmap_del(m, 0x100008, UINT64_MAX), 0);
	CU_ASSERT_EQUAL(info().nb_regions, 1);
	CU_ASSERT_EQUAL(word_at(0x100000), 0x100000000);
	CU_ASSERT_PTR_NULL(ptr(0x100001, 8));
	mem_free(&f);
	map_free();
}

/* Ranges that a vIOMMU unmaps: unknown ones, up to 2^64 and beyond. */
static void
test_edges(void)
{
	struct mem f;
	uint8_t buf[16];
	struct vbus_memcache c = {0};

	map_make();
	mem_make(&f, MIB, 0x100000000);
	CU_ASSERT_EQUAL(vbus_memmap_del(m, 0x800000000000, 1ull << 47), 0);
	CU_ASSERT_EQUAL(vbus_memmap_del(m, 0xfef00000, 0xffffffff01100000), 0);
	CU_ASSERT_EQUAL(nb_quiesce, 0);
	CU_ASSERT_EQUAL(add(0 - MIB, MIB, &f, 0, RW), 0); /* ends at 2^64 */
	CU_ASSERT_EQUAL(word_at(UINT64_MAX - 7), 0x100000000 + MIB - 8);
	CU_ASSERT_PTR_NOT_NULL(ptr(UINT64_MAX, 1));
	CU_ASSERT_PTR_NULL(ptr(UINT64_MAX, 2));
	CU_ASSERT_PTR_NULL(ptr(0, 1));
	CU_ASSERT_EQUAL(vbus_memview_copy_in(vbus_memmap_view(m), &c, buf, UINT64_MAX - 7, 8), 0);
	CU_ASSERT_EQUAL(
		vbus_memview_copy_in(vbus_memmap_view(m), &c, buf, UINT64_MAX - 7, 9), -EFAULT);
	CU_ASSERT_EQUAL(vbus_memmap_del(m, UINT64_MAX, 1), 0);
	CU_ASSERT_PTR_NULL(ptr(UINT64_MAX, 1));
	CU_ASSERT_EQUAL(word_at(UINT64_MAX - 15), 0x100000000 + MIB - 16);
	CU_ASSERT_EQUAL(vbus_memmap_del(m, 0 - MIB / 2, MIB), 0); /* says it ends behind 2^64 */
	CU_ASSERT_PTR_NOT_NULL(ptr(0 - MIB, MIB / 2));
	CU_ASSERT_PTR_NULL(ptr(0 - MIB, MIB / 2 + 1));
	CU_ASSERT_EQUAL(add(0, UINT64_MAX / 2, NULL, 0, RW), 0);
	CU_ASSERT_EQUAL(vbus_memmap_del(m, 0, UINT64_MAX), 0);
	CU_ASSERT_EQUAL(info().nb_regions, 0);
	/* copies across the end, with memory at both ends of the address space */
	CU_ASSERT_EQUAL(add(0 - MIB, MIB, &f, 0, RW), 0);
	CU_ASSERT_EQUAL(add(0, 4096, &f, 0, RW), 0);
	CU_ASSERT_EQUAL(
		vbus_memview_copy_in(vbus_memmap_view(m), &c, buf, UINT64_MAX - 7, 16), -EFAULT);
	CU_ASSERT_EQUAL(
		vbus_memview_copy_out(vbus_memmap_view(m), &c, UINT64_MAX - 7, buf, 16), -EFAULT);
	mem_free(&f);
	map_free();
}

static void
test_read_only(void)
{
	struct mem f;
	struct vbus_memcache c = {0};
	uint64_t w[2] = {0};

	map_make();
	mem_make(&f, MIB, 0x100000000);
	CU_ASSERT_EQUAL(add(0, 0x1000, &f, 0, VBUS_MEM_READ), 0);
	CU_ASSERT_EQUAL(add(0x1000, 0x1000, &f, 0x1000, RW), 0);
	CU_ASSERT_EQUAL(info().nb_extents, 2); /* contiguous, but not alike */
	CU_ASSERT_PTR_NULL(ptr(0, 8));
	CU_ASSERT_PTR_NOT_NULL(ptr(0x1000, 8));
	CU_ASSERT_EQUAL(vbus_memview_copy_in(vbus_memmap_view(m), &c, w, 0xff8, 16), 0);
	CU_ASSERT_EQUAL(w[0], 0x100000ff8);
	CU_ASSERT_EQUAL(w[1], 0x100001000);
	CU_ASSERT_EQUAL(vbus_memview_copy_in(vbus_memmap_view(m), &c, w, 0, 8), 0);
	/* the lookup above must not have made the cache think it may write there */
	CU_ASSERT_PTR_NULL(vbus_memview_ptr(vbus_memmap_view(m), &c, 0, 8));
	CU_ASSERT_EQUAL(vbus_memview_copy_out(vbus_memmap_view(m), &c, 0xff8, w, 16), -EFAULT);
	CU_ASSERT_EQUAL(vbus_memview_copy_out(vbus_memmap_view(m), &c, 0x1000, w, 8), 0);
	mem_free(&f);
	map_free();
}

/* Neighbours in north's addresses that cannot be neighbours here: pointers stop, copies go on. */
static void
test_copy_across(void)
{
	struct mem a, b;
	struct vbus_memcache c = {0};
	uint8_t out[0x3000], in[0x3000];

	map_make();
	mem_make(&a, MIB, 1);
	mem_make(&b, MIB, 2);
	CU_ASSERT_EQUAL(add(0x1000, 0x1000, &a, 0x80000, RW), 0);
	CU_ASSERT_EQUAL(add(0x2000, 0x1000, &b, 0x10000, RW), 0);
	CU_ASSERT_EQUAL(add(0x3000, 0x1000, &a, 0, RW), 0);
	CU_ASSERT_EQUAL(info().nb_extents, 3);
	CU_ASSERT_PTR_NULL(ptr(0x1ffc, 8));
	for (size_t i = 0; i < sizeof(out); i++)
		out[i] = (uint8_t)(i * 7 + i / 256);
	CU_ASSERT_EQUAL(
		vbus_memview_copy_out(vbus_memmap_view(m), &c, 0x1000, out, sizeof(out)), 0);
	memset(in, 0, sizeof(in));
	CU_ASSERT_EQUAL(vbus_memview_copy_in(vbus_memmap_view(m), &c, in, 0x1000, sizeof(in)), 0);
	CU_ASSERT_EQUAL(memcmp(in, out, sizeof(in)), 0);
	CU_ASSERT_EQUAL(memcmp(a.va + 0x80000, out, 0x1000), 0);
	CU_ASSERT_EQUAL(memcmp(b.va + 0x10000, out + 0x1000, 0x1000), 0);
	CU_ASSERT_EQUAL(memcmp(a.va, out + 0x2000, 0x1000), 0);
	CU_ASSERT_EQUAL(
		vbus_memview_copy_in(vbus_memmap_view(m), &c, in, 0x1001, sizeof(in)), -EFAULT);
	CU_ASSERT_EQUAL(vbus_memview_copy_in(vbus_memmap_view(m), &c, in, 0xfff, 2), -EFAULT);
	CU_ASSERT_EQUAL(vbus_memview_copy_in(vbus_memmap_view(m), &c, in, 0x9000, 0), 0);
	CU_ASSERT_EQUAL(
		vbus_memview_copy_in(vbus_memmap_view(m), &c, in, 0x1000, UINT64_MAX), -EFAULT);
	mem_free(&a);
	mem_free(&b);
	map_free();
}

/* The last hit answers by itself; a miss moves it; a zeroed one knows nothing. */
static void
test_cache(void)
{
	struct mem f;
	struct vbus_memcache c = {0};
	const struct vbus_memview *v;
	void *first;

	map_make();
	mem_make(&f, MIB, 1);
	CU_ASSERT_EQUAL(add(0x10000, 0x1000, &f, 0, RW), 0);
	CU_ASSERT_EQUAL(add(0x20000, 0x1000, &f, 0x8000, RW), 0);
	v = vbus_memmap_view(m);
	CU_ASSERT_PTR_NULL(vbus_memview_ptr(v, &c, 0, 1));
	CU_ASSERT_EQUAL(c.len, 0);
	first = vbus_memview_ptr(v, &c, 0x10010, 8);
	CU_ASSERT_PTR_NOT_NULL(first);
	CU_ASSERT_EQUAL(c.iova, 0x10000);
	CU_ASSERT_EQUAL(c.len, 0x1000);
	/* hits do not look at the view at all */
	CU_ASSERT_PTR_EQUAL(vbus_memview_ptr(NULL, &c, 0x10010, 8), first);
	CU_ASSERT_PTR_EQUAL(vbus_memview_ptr(NULL, &c, 0x10ff8, 8), (uint8_t *)first + 0xfe8);
	CU_ASSERT_PTR_NULL(vbus_memview_ptr(v, &c, 0x10ff9, 8));
	CU_ASSERT_PTR_NULL(vbus_memview_ptr(v, &c, 0x10ff8, UINT64_MAX));
	CU_ASSERT_PTR_NOT_NULL(vbus_memview_ptr(v, &c, 0x20000, 0x1000));
	CU_ASSERT_EQUAL(c.iova, 0x20000);
	CU_ASSERT_PTR_NULL(vbus_memview_ptr(v, &c, 0x1ffff, 1));
	CU_ASSERT_EQUAL(c.iova, 0x20000); /* a miss keeps it */
	mem_free(&f);
	map_free();
}

static void
test_batch(void)
{
	struct mem f;
	uint64_t gen;

	map_make();
	mem_make(&f, MIB, 1);
	vbus_memmap_batch_begin(m);
	vbus_memmap_batch_begin(m);
	for (uint64_t i = 0; i < 64; i++)
		CU_ASSERT_EQUAL(add(i * 0x2000, 0x1000, &f, i * 0x1000, RW), 0);
	CU_ASSERT_EQUAL(nb_quiesce, 0);
	CU_ASSERT_PTR_NULL(ptr(0, 1));
	CU_ASSERT_EQUAL(vbus_memmap_batch_end(m), 0);
	CU_ASSERT_EQUAL(nb_quiesce, 0);
	/* an unmap does not wait for the end */
	CU_ASSERT_EQUAL(vbus_memmap_del(m, 0x2000, 0x1000), 0);
	CU_ASSERT_EQUAL(nb_quiesce, 1);
	CU_ASSERT_PTR_NOT_NULL(ptr(0, 1));
	CU_ASSERT_EQUAL(vbus_memmap_batch_end(m), 0);
	CU_ASSERT_EQUAL(nb_quiesce, 1);
	CU_ASSERT_EQUAL(info().nb_extents, 63);
	gen = vbus_memmap_view(m)->generation;
	CU_ASSERT_EQUAL(vbus_memmap_del(m, 0x2000, 0x1000), 0); /* unknown by now */
	CU_ASSERT_EQUAL(vbus_memmap_view(m)->generation, gen);
	CU_ASSERT_EQUAL(vbus_memmap_batch_end(m), 0); /* one too many: ignored */
	mem_free(&f);
	map_free();
}
static void
test_identity(void)
{
	struct vbus_memcache c = {0};
	struct vbus_memmap *id;
	const struct vbus_memview *v;
	uint64_t x = 5, y = 0;

	vbus_ctl_lock();
	id = vbus_memmap_create(NULL, NULL, true);
	CU_ASSERT_PTR_NOT_NULL_FATAL(id);
	v = vbus_memmap_view(id);
	CU_ASSERT_TRUE(v->identity);
	CU_ASSERT_PTR_NULL(vbus_memview_ptr(v, &c, 0, 8));
	CU_ASSERT_PTR_EQUAL(vbus_memview_ptr(v, &c, (uintptr_t)&x, 8), &x);
	CU_ASSERT_PTR_EQUAL(vbus_memview_ptr(NULL, &c, (uintptr_t)&y, 8), &y); /* cached */
	CU_ASSERT_PTR_NULL(vbus_memview_ptr(v, &c, 0, 8));
	CU_ASSERT_PTR_NULL(vbus_memview_ptr(v, &c, UINT64_MAX - 3, 8));
	CU_ASSERT_EQUAL(vbus_memview_copy_in(v, &c, &y, (uintptr_t)&x, 8), 0);
	CU_ASSERT_EQUAL(y, 5);
	CU_ASSERT_EQUAL(vbus_memview_copy_in(v, &c, &y, 0, 8), -EFAULT);
	CU_ASSERT_EQUAL(vbus_memmap_add(id, 0, 8, -1, 0, RW), 0);
	CU_ASSERT_EQUAL(vbus_memmap_del(id, 0, 0), 0);
	vbus_memmap_destroy(id);
	vbus_ctl_unlock();
}

static const struct cu_test tests[] = {
	{"empty", test_empty},
	{"one region", test_one},
	{"adjacent files", test_adjacent_files},
	{"one file, many regions", test_one_file_many_regions},
	{"refused", test_refused},
	{"overlap", test_overlap},
	{"cut", test_cut},
	{"edges of the address space", test_edges},
	{"read only", test_read_only},
	{"copy across extents", test_copy_across},
	{"last hit", test_cache},
	{"batch", test_batch},
	{"identity", test_identity},
	{NULL, NULL},
};

int
main(void)
{
	return cu_run("memmap", tests, NULL, NULL);
}
