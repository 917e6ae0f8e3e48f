/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * The memory map at its limits: files that grow, what lies outside of the window, as many regions
 * and files as it takes, hugetlbfs.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cu_run.h"
#include "memmap_rig.h"

/* A file that grows (EAL's single-file segments): the new part comes behind the old one. */
static void
test_grow(void)
{
	struct mem f;
	uint64_t word = 42;

	map_make();
	mem_make(&f, 2 * MIB, 1);
	CU_ASSERT_EQUAL(add(GIB, 2 * MIB, &f, 0, RW), 0);
	CU_ASSERT_EQUAL(ftruncate(f.fd, 4 * MIB), 0);
	CU_ASSERT_EQUAL(pwrite(f.fd, &word, 8, 3 * MIB), 8);
	CU_ASSERT_EQUAL(add(GIB + 2 * MIB, 2 * MIB, &f, 2 * MIB, RW), 0);
	CU_ASSERT_EQUAL(info().nb_files, 1);
	CU_ASSERT_EQUAL(info().nb_extents, 1);
	CU_ASSERT_EQUAL(info().mapped_bytes, 4 * MIB);
	CU_ASSERT_EQUAL(word_at(GIB + 3 * MIB), 42);
	CU_ASSERT_PTR_NOT_NULL(ptr(GIB, 4 * MIB));
	CU_ASSERT_EQUAL(vbus_memmap_del(m, 0, 0), 0);
	CU_ASSERT_EQUAL(info().mapped_bytes, 0);
	/* its place is taken: a second mapping, elsewhere */
	CU_ASSERT_EQUAL(add(GIB, 4 * MIB, &f, 0, RW), 0);
	{
		struct mem g;

		mem_make(&g, 2 * MIB, 7);
		CU_ASSERT_EQUAL(add(GIB + 4 * MIB, 2 * MIB, &g, 0, RW), 0);
		CU_ASSERT_EQUAL(ftruncate(f.fd, 6 * MIB), 0);
		CU_ASSERT_EQUAL(add(GIB + 6 * MIB, 2 * MIB, &f, 4 * MIB, RW), 0);
		CU_ASSERT_EQUAL(info().nb_files, 3);
		CU_ASSERT_EQUAL(word_at(GIB + 4 * MIB), 7);
		CU_ASSERT_PTR_NOT_NULL(ptr(GIB + 6 * MIB, 2 * MIB));
		mem_free(&g);
	}
	mem_free(&f);
	map_free();
}

/* More than the window holds, or far away from it, or not aligned: anywhere, but mapped. */
static void
test_outside_of_window(void)
{
	struct mem f[3];

	map_make();
	for (int i = 0; i < 3; i++)
		mem_make(&f[i], 2 * MIB, 0x1000000ull * (uint64_t)(i + 1));
	CU_ASSERT_EQUAL(add(0x7f0000000000, MIB, &f[0], 0, RW), 0);
	CU_ASSERT_EQUAL(add(0x1000, MIB, &f[1], 0, RW), 0);
	CU_ASSERT_EQUAL(add(0x7f0000000000 + 512 * GIB, MIB, &f[2], MIB, RW), 0);
	CU_ASSERT_EQUAL(word_at(0x7f0000000000), 0x1000000);
	CU_ASSERT_EQUAL(word_at(0x1000), 0x2000000);
	CU_ASSERT_EQUAL(word_at(0x7f0000000000 + 512 * GIB), 0x3000000 + MIB);
	CU_ASSERT_EQUAL(vbus_memmap_del(m, 0, 0), 0);
	/* iova is not page-aligned: legal, if odd */
	CU_ASSERT_EQUAL(add(0x7f0000000123, 0x100, &f[0], 8, RW), 0);
	CU_ASSERT_EQUAL(word_at(0x7f0000000123), 0x1000008);
	/* a file of more than a window: sparse */
	CU_ASSERT_EQUAL(ftruncate(f[1].fd, (off_t)(100 * GIB)), 0);
	CU_ASSERT_EQUAL(add(0x7f0040000000, MIB, &f[1], 99 * GIB, RW), 0);
	CU_ASSERT_PTR_NOT_NULL(ptr(0x7f0040000000, MIB));
	/* and one of more than one link may have */
	CU_ASSERT_EQUAL(ftruncate(f[2].fd, (off_t)(1ull << 50)), 0);
	CU_ASSERT_EQUAL(add(0x7f0080000000, MIB, &f[2], 0, RW), -ENOSPC);
	for (int i = 0; i < 3; i++)
		mem_free(&f[i]);
	map_free();
}

static double
seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* 20,000 pages of one file in a scattered order, one view; then the limit; then cuts. */
static void
test_many_regions(void)
{
	const uint32_t nb = 20000, step = 7919; /* coprime */
	struct mem f;
	double t;
	uint32_t bad = 0;

	map_make();
	mem_make(&f, 65536 * 4096ull, 0);
	for (uint64_t i = 0; i < 65536; i++)
		memcpy(f.va + i * 4096, &i, 8);
	t = seconds();
	vbus_memmap_batch_begin(m);
	for (uint32_t i = 0; i < nb; i++) {
		uint64_t k = (uint64_t)i * step % nb;

		bad += add(k * 8192, 4096, &f, k * 4096, RW) != 0;
	}
	CU_ASSERT_EQUAL(vbus_memmap_batch_end(m), 0);
	t = seconds() - t;
	CU_ASSERT_EQUAL(bad, 0);
	CU_ASSERT_EQUAL(info().nb_regions, nb);
	CU_ASSERT_EQUAL(info().nb_extents, nb);
	CU_ASSERT_EQUAL(info().nb_files, 1);
	CU_ASSERT_TRUE(t < 5.0); /* about 0.05 s alone on the machine */
	for (uint64_t k = 0; k < nb; k++)
		bad += word_at(k * 8192) != k || ptr(k * 8192 + 4096, 1) != NULL;
	CU_ASSERT_EQUAL(bad, 0);
	/* up to the limit and not beyond */
	vbus_memmap_batch_begin(m);
	for (uint64_t k = nb; k < VBUS_MEM_MAX_REGIONS; k++)
		bad += add(k * 8192, 4096, &f, k * 4096, RW) != 0;
	CU_ASSERT_EQUAL(bad, 0);
	CU_ASSERT_EQUAL(add(1ull << 40, 4096, &f, 0, RW), -ENOSPC);
	CU_ASSERT_EQUAL(vbus_memmap_batch_end(m), 0);
	CU_ASSERT_EQUAL(word_at(65534 * 8192ull), 65534);
	/* a cut at the limit has no room for the right part: it goes, nothing else */
	CU_ASSERT_EQUAL(vbus_memmap_del(m, 8192 + 1024, 1024), 0);
	CU_ASSERT_EQUAL(info().nb_regions, VBUS_MEM_MAX_REGIONS);
	CU_ASSERT_PTR_NOT_NULL(ptr(8192, 1024));
	CU_ASSERT_PTR_NULL(ptr(8192 + 2048, 1));
	/* one unmap over half of them */
	CU_ASSERT_EQUAL(vbus_memmap_del(m, 0, 32768 * 8192ull), 0);
	CU_ASSERT_EQUAL(info().nb_regions, VBUS_MEM_MAX_REGIONS - 32768);
	CU_ASSERT_EQUAL(word_at(32768 * 8192ull), 32768);
	mem_free(&f);
	map_free();
}

/* 2,048 files of 2 MiB, as EAL makes them: one extent where they are neighbours. */
static void
test_many_files(void)
{
	const uint64_t nb = 2048;
	double t;
	uint32_t bad = 0;
	int fd;

	map_make();
	t = seconds();
	vbus_memmap_batch_begin(m);
	for (uint64_t k = 0; k < nb; k++) {
		fd = memfd_create("page", MFD_CLOEXEC);
		bad += fd < 0 || ftruncate(fd, 2 * MIB) != 0 || pwrite(fd, &k, 8, 0) != 8 ||
		       vbus_memmap_add(m, GIB + k * 2 * MIB, 2 * MIB, fd, 0, RW) != 0;
	}
	CU_ASSERT_EQUAL(vbus_memmap_batch_end(m), 0);
	t = seconds() - t;
	CU_ASSERT_EQUAL(bad, 0);
	CU_ASSERT_EQUAL(info().nb_files, nb);
	CU_ASSERT_EQUAL(info().nb_extents, 1);
	CU_ASSERT_TRUE(t < 5.0);
	for (uint64_t k = 0; k < nb; k++)
		bad += word_at(GIB + k * 2 * MIB) != k;
	CU_ASSERT_EQUAL(bad, 0);
	CU_ASSERT_EQUAL(vbus_memmap_del(m, GIB, nb * MIB), 0);
	CU_ASSERT_EQUAL(info().nb_files, nb / 2);
	map_free();
}

static void
test_hugetlb(void)
{
	int fd = memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB | (21u << 26 /* 2 MiB */));
	uint64_t word = 0;
	void *p;

	if (fd < 0 || ftruncate(fd, 4 * MIB) != 0) {
		printf("(no hugetlbfs) ");
		if (fd >= 0)
			close(fd);
		return;
	}
	p = mmap(NULL, 4 * MIB, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED) {
		printf("(no free hugepages) ");
		close(fd);
		return;
	}
	memset(p, 0x5a, 4 * MIB);
	map_make();
	/* an offset that hugetlbfs itself would refuse */
	CU_ASSERT_EQUAL(vbus_memmap_add(m, 0xc0000, 0x20000, dup(fd), 0xc0000, RW), 0);
	CU_ASSERT_EQUAL(vbus_memmap_add(m, 0x100000, 3 * MIB, fd, 0x100000, RW), 0);
	CU_ASSERT_EQUAL(info().nb_files, 1);
	CU_ASSERT_EQUAL(info().mapped_bytes, 4 * MIB);
	memset(&word, 0x5a, 8);
	CU_ASSERT_EQUAL(word_at(0xc0000), word);
	CU_ASSERT_EQUAL(word_at(0x100000), word);
	/* placed in the window, it is aligned as its pages ask for */
	CU_ASSERT_EQUAL(((uintptr_t)ptr(0x100000, 1) - 0x100000) % (2 * MIB), 0);
	map_free();
	munmap(p, 4 * MIB);
}

/* The region of nb that holds iova; -1: none. One by one, as no page table would. */
static int
holder(const uint64_t (*at)[2], int nb, uint64_t iova)
{
	for (int i = 0; i < nb; i++) {
		if (iova >= at[i][0] && iova - at[i][0] < at[i][1])
			return i;
	}
	return -1;
}

/* Physical addresses as they come: every address near an edge, and as many anywhere, is found where it was put. */
static void
check_scattered(uint64_t step, unsigned int seed)
{
	enum {
		NB = 96
	};
	uint64_t at[NB][2], bad = 0, tries = 0;
	struct mem f;
	int nb = 0;

	srand(seed);
	map_make();
	mem_make(&f, 8 * MIB, 0);
	for (int i = 0; i < NB; i++) {
		/* NB files would say nothing more: what lies in one file is never contiguous here, in this order */
		uint64_t iova = (uint64_t)(NB - i) * step + (uint64_t)(rand() % 4) * 4096;
		uint64_t len = (uint64_t)(1 + rand() % 16) * 4096;

		if (add(iova, len, &f, (uint64_t)i * 64 * KIB, RW) != 0)
			continue; /* overlaps */
		at[nb][0] = iova;
		at[nb++][1] = len;
	}
	for (int i = 0; i < nb; i++) {
		const uint64_t edges[] = {at[i][0] - 1, at[i][0], at[i][0] + at[i][1] - 1,
			at[i][0] + at[i][1], at[i][0] & ~(2 * MIB - 1), at[i][0] | (2 * MIB - 1),
			at[0][0] + (((uint64_t)rand() << 31 ^ (uint64_t)rand()) % (NB * step))};

		for (size_t k = 0; k < sizeof(edges) / sizeof(edges[0]); k++, tries++) {
			int h = holder(at, nb, edges[k]);
			uint8_t *p = ptr(edges[k], 1);

			bad += (h >= 0) != (p != NULL);
			if (h >= 0 && p != NULL)
				bad += p != (uint8_t *)ptr(at[h][0], 1) + (edges[k] - at[h][0]);
		}
	}
	CU_ASSERT_EQUAL(bad, 0);
	CU_ASSERT_TRUE(nb > 10 && tries > 70);
	mem_free(&f);
	map_free();
}

static void
test_scattered(void)
{
	check_scattered(32 * KIB, 1);	      /* many in a page, some overlap */
	check_scattered(2 * MIB, 2);	      /* one each */
	check_scattered(50 * MIB + 4096, 3);  /* pages without any between */
	check_scattered(UINT64_MAX / 128, 4); /* and pages much larger than that */
}

static const struct cu_test tests[] = {
	{"a file grows", test_grow},
	{"outside of the window", test_outside_of_window},
	{"65,535 regions", test_many_regions},
	{"2,048 files", test_many_files},
	{"hugetlbfs", test_hugetlb},
	{"scattered", test_scattered},
	{NULL, NULL},
};

int
main(void)
{
	return cu_run("memmap_large", tests, NULL, NULL);
}
