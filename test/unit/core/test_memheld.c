/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/* Memory of a peer that goes while somebody still looks at it (lib/vbus_core/memheld.h, ADR-0021). */

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cu_run.h"
#include "memfile.h"
#include "memheld.h"
#include "memmap_rig.h"

static struct {
	struct vbus_memholder h; /* first */
	uintptr_t at;
} holder;

static bool
holds(const struct vbus_memholder *h, uintptr_t va, uint64_t len)
{
	(void)h;
	return holder.at >= va && holder.at - va < len;
}

/* Is anything mapped there? */
static bool
is_mapped(const void *p)
{
	return msync((void *)(uintptr_t)p, 4096, MS_ASYNC) == 0 || errno != ENOMEM;
}

static void
begin(struct mem *f, uint64_t tag)
{
	mem_make(f, 2 * MIB, tag);
	map_make();
	holder.h.holds = holds;
	holder.at = 0;
	vbus_memholder_add(&holder.h);
}

/* An unmap: zeros, until nobody looks; the place is not given to another file meanwhile. */
static void
test_unmap(void)
{
	struct mem f, g;
	volatile uint64_t *p;

	begin(&f, 0x1000000);
	mem_make(&g, 2 * MIB, 0x2000000);
	CU_ASSERT_EQUAL(add(GIB, 2 * MIB, &f, 0, RW), 0);
	p = ptr(GIB + 0x10000, 8);
	CU_ASSERT_EQUAL(*p, 0x1010000);
	holder.at = (uintptr_t)p;
	CU_ASSERT_EQUAL(vbus_memmap_del(m, GIB, 2 * MIB), 0);
	CU_ASSERT_EQUAL(*p, 0);
	*p = 7; /* the application's to write, and nobody else's */
	CU_ASSERT_EQUAL(f.va[0x10000], 0);
	CU_ASSERT_EQUAL(info().mapped_bytes, 2 * MIB); /* of the limit */
	CU_ASSERT_EQUAL(add(GIB, 2 * MIB, &g, 0, RW), 0);
	CU_ASSERT_EQUAL(word_at(GIB), 0x2000000);
	CU_ASSERT_EQUAL(*p, 7);
	CU_ASSERT_EQUAL(vbus_memfiles_release(), 1);
	holder.at = 0;
	CU_ASSERT_EQUAL(vbus_memfiles_release(), 0);
	CU_ASSERT_EQUAL(info().mapped_bytes, 2 * MIB);
	CU_ASSERT_EQUAL(word_at(GIB), 0x2000000);
	vbus_memholder_del(&holder.h);
	map_free();
	mem_free(&f);
	mem_free(&g);
}

/* The link ends: what is held outlives its map, alone in the window or outside of it. */
static void
end_with(uint64_t iova, uint64_t offset)
{
	struct mem f;
	volatile uint64_t *p;
	const void *first;

	begin(&f, 0x1000000);
	CU_ASSERT_EQUAL(add(iova, MIB, &f, offset, RW), 0);
	p = ptr(iova + 0x8000, 8);
	first = ptr(iova, 8);
	holder.at = (uintptr_t)p;
	vbus_memmap_destroy(m);
	CU_ASSERT_EQUAL(*p, 0);
	CU_ASSERT_TRUE(is_mapped(first));
	CU_ASSERT_EQUAL(vbus_memfiles_release(), 1);
	vbus_memholder_del(&holder.h);
	CU_ASSERT_EQUAL(vbus_memfiles_release(), 0);
	CU_ASSERT_FALSE(is_mapped(first));
	vbus_ctl_unlock();
	mem_free(&f);
}

static void
test_end(void)
{
	end_with(GIB, 0);
	end_with(0x8000, 64 * KIB); /* not at its place: no address would be below 0 */
	end_with(0x7f0000000000ull, 0);
}

/* The file shrinks while a frame is out; then the link ends. */
static void
test_shrunk(void)
{
	struct mem f;
	volatile uint64_t *p;

	begin(&f, 0x1000000);
	CU_ASSERT_EQUAL(add(GIB, 2 * MIB, &f, 0, RW), 0);
	p = ptr(GIB + MIB, 8);
	CU_ASSERT_EQUAL(*p, 0x1000000 + MIB);
	holder.at = (uintptr_t)p;
	CU_ASSERT_EQUAL(ftruncate(f.fd, 4096), 0);
	CU_ASSERT_EQUAL(*p, 0);
	*p = 9;
	vbus_memmap_destroy(m);
	CU_ASSERT_EQUAL(*p, 0);
	CU_ASSERT_EQUAL(ftruncate(f.fd, 0), 0);
	CU_ASSERT_EQUAL(*p, 0);
	vbus_memholder_del(&holder.h);
	CU_ASSERT_EQUAL(vbus_memfiles_release(), 0);
	vbus_ctl_unlock();
	mem_free(&f);
}

/* What nobody holds is unmapped as ever. */
static void
test_nobody(void)
{
	struct mem f;
	void *p;

	begin(&f, 0x1000000);
	CU_ASSERT_EQUAL(add(0x8000, MIB, &f, 64 * KIB, RW), 0);
	p = ptr(0x8000, 8);
	holder.at = (uintptr_t)p + 4 * MIB;
	CU_ASSERT_EQUAL(vbus_memmap_del(m, 0x8000, MIB), 0);
	CU_ASSERT_FALSE(is_mapped(p));
	CU_ASSERT_EQUAL(info().mapped_bytes, 0);
	vbus_memholder_del(&holder.h);
	map_free();
	mem_free(&f);
}

int
main(void)
{
	static const struct cu_test tests[] = {
		{"unmapped while in use", test_unmap},
		{"the link ends", test_end},
		{"the file shrinks", test_shrunk},
		{"nobody looks", test_nobody},
		{NULL, NULL},
	};

	return cu_run("memory in use", tests, NULL, NULL);
}
