/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * The test mode for distance (ADR-0018): writes to what is far arrive late and in order, reads push them, and each kind of
 * instruction does there what it does anywhere. A second mapping of the file is the far side.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cu_run.h"

#ifndef __x86_64__

int
main(void)
{
	printf("skipped: the mode is for x86-64\n");
	return 77;
}

#else

#include "vbus_ctl.h"
#include "vbus_distance.h"

#define SIZE	 65536u
#define DELAY_NS 2000000u

static uint8_t *far, *there; /* ours, and the same memory on the far side */
static struct vbus_sigbus_flag fault;
static int fd;

static uint64_t
reads(void)
{
	struct vbus_distance_info info;

	vbus_distance_info(&info);
	return info.nb_reads;
}

static uint64_t *
word(uint8_t *at, uint32_t index)
{
	return (uint64_t *)(void *)(at + 8 * index);
}

static uint64_t
load(uint8_t *at, uint32_t index)
{
	return __atomic_load_n(word(at, index), __ATOMIC_ACQUIRE);
}

static void
store(uint32_t index, uint64_t value)
{
	__atomic_store_n(word(far, index), value, __ATOMIC_RELAXED);
}

/* A write is under way for a while, and the writer knows nothing of it. */
static void
test_late(void)
{
	uint64_t begin = vbus_ctl_now_ns(), end;

	store(0, 7);
	while (load(there, 0) != 7 && vbus_ctl_now_ns() < begin + 10000000000u)
		;
	end = vbus_ctl_now_ns();
	CU_ASSERT_EQUAL(load(there, 0), 7);
	CU_ASSERT_TRUE(end - begin >= DELAY_NS);
}

/* What was written later is never seen before what was written earlier. */
static void
test_order(void)
{
	uint64_t wrong = 0;

	for (uint64_t i = 1; i <= 200; i++) {
		store(4096, i);
		store(3, i);
	}
	for (uint64_t last = 0; last < 200;) {
		last = load(there, 3);
		wrong += load(there, 4096) < last;
	}
	CU_ASSERT_EQUAL(wrong, 0);
}

static void
test_read_pushes(void)
{
	uint64_t before = reads();

	store(5, 55);
	store(6, 66);
	CU_ASSERT_EQUAL(load(far, 5), 55);
	CU_ASSERT_EQUAL(load(there, 6), 66);
	CU_ASSERT_EQUAL(reads(), before + 1);
}

/* They read and write: nothing passes them. */
static void
test_atomic(void)
{
	uint64_t expected = 43;

	store(8, 42);
	CU_ASSERT_EQUAL(__atomic_fetch_add(word(far, 8), 1, __ATOMIC_SEQ_CST), 42);
	CU_ASSERT_EQUAL(load(there, 8), 43);
	CU_ASSERT_TRUE(__atomic_compare_exchange_n(
		word(far, 8), &expected, 9, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST));
	CU_ASSERT_EQUAL(__atomic_exchange_n(word(far, 8), 10, __ATOMIC_SEQ_CST), 9);
	CU_ASSERT_EQUAL(load(there, 8), 10);
}

static void
sync_far(void)
{
	(void)load(far, 0);
}

/* The C library's copies: vectors of all widths, overlapping ends, string instructions. */
static void
test_copies(void)
{
	static const uint32_t lengths[] = {1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65,
		127, 128, 200, 256, 1514, 9000};
	static uint8_t from[16384], back[16384];
	uint32_t wrong = 0;

	for (uint32_t i = 0; i < sizeof(from); i++)
		from[i] = (uint8_t)rand();
	for (uint32_t n = 0; n < sizeof(lengths) / sizeof(lengths[0]); n++) {
		for (uint32_t at = 0; at < 80; at += 1 + at / 2) {
			const uint32_t len = lengths[n];
			uint8_t *to = far + 8192 + at;

			memset(there + 8192, 0x11, 16384);
			memcpy(to, from + n, len);
			sync_far();
			wrong += memcmp(there + 8192 + at, from + n, len) != 0;
			wrong += (at > 0 && there[8191 + at] != 0x11) +
				 (there[8192 + at + len] != 0x11);
			if (len <= 65) { /* each read takes its time */
				memcpy(back, to, len);
				wrong += memcmp(back, from + n, len) != 0;
			}
			memset(to, 0x77, len);
			sync_far();
			wrong += there[8192 + at] != 0x77 || there[8192 + at + len - 1] != 0x77;
			wrong += there[8192 + at + len] != 0x11;
		}
	}
	CU_ASSERT_EQUAL(wrong, 0);
}

/* By hand what a compiler may choose: operands of other widths, with an index, the base as result or as source. */
static void
test_instructions(void)
{
	uint64_t a = 0x1122334455667788, index = 2, count = 24;
	uint8_t *base = far + 1024, *at = there + 1024, *to = far + 2000;
	void *self = base + 64;

	memset(at, 0, 2048);
	__asm__ volatile("movb %b0, 1(%1)" : : "r"(a), "r"(base) : "memory");
	__asm__ volatile("movw %w0, 2(%1)" : : "r"(a), "r"(base) : "memory");
	__asm__ volatile("movl $0x01020304, 4(%0, %1, 4)" : : "r"(base), "r"(index) : "memory");
	__asm__ volatile("movb $3, (%0)" : : "a"(base) : "memory");
	__asm__ volatile("movnti %0, 16(%1)" : : "r"(a), "r"(base) : "memory");
	__asm__ volatile("movq %0, %%xmm1; movdqu %%xmm1, 25(%1)"
			 :
			 : "r"(a), "r"(base)
			 : "memory", "xmm1");
	__asm__ volatile("movq %0, (%0)" : "+r"(self) : : "memory");
	__asm__ volatile("rep stosb" : "+D"(to), "+c"(count) : "a"(0x5a) : "memory");
	CU_ASSERT_PTR_EQUAL(to, far + 2024);
	CU_ASSERT_EQUAL(count, 0);
	CU_ASSERT_PTR_EQUAL(self, base + 64);
	__asm__ volatile("movq (%0), %0" : "+r"(self) : : "memory");
	CU_ASSERT_PTR_EQUAL(self, base + 64);
	__asm__ volatile("addq %1, 72(%0)" : : "r"(base), "r"(a) : "memory", "cc");
	sync_far();
	CU_ASSERT_EQUAL(at[0], 3);
	CU_ASSERT_EQUAL(at[1], 0x88);
	CU_ASSERT_EQUAL(*word(at, 0) >> 16, 0x7788);
	CU_ASSERT_EQUAL(*word(at, 1) >> 32, 0x01020304);
	CU_ASSERT_EQUAL(*word(at, 2), a);
	CU_ASSERT_EQUAL(memcmp(at + 25, &a, 8), 0);
	CU_ASSERT_EQUAL(*word(at, 8), (uintptr_t)(base + 64));
	CU_ASSERT_EQUAL(*word(at, 9), a);
	CU_ASSERT_EQUAL(at[975], 0);
	CU_ASSERT_EQUAL(at[976], 0x5a);
	CU_ASSERT_EQUAL(at[999], 0x5a);
	CU_ASSERT_EQUAL(at[1000], 0);
}

/* The file is cut short under a write that is under way: nobody dies, and it is noticed. */
static void
test_gone(void)
{
	CU_ASSERT_FALSE(atomic_load(&fault.hit));
	store(9, 1);
	CU_ASSERT_EQUAL(ftruncate(fd, 0), 0);
	sync_far();
	CU_ASSERT_TRUE(atomic_load(&fault.hit));
	store(9, 2);
	CU_ASSERT_EQUAL(load(far, 9), 2);
}

static int
start(void)
{
	int ret;

	fd = memfd_create("far", MFD_CLOEXEC);
	if (fd < 0 || ftruncate(fd, SIZE) != 0)
		return -1;
	far = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	there = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (far == MAP_FAILED || there == MAP_FAILED || vbus_ctl_get() != 0)
		return -1;
	vbus_ctl_lock();
	ret = vbus_sigbus_install();
	if (ret == 0)
		ret = vbus_distance_add(far, SIZE, 4096, DELAY_NS, &fault);
	vbus_ctl_unlock();
	return ret;
}

static int
end(void)
{
	vbus_ctl_lock();
	vbus_distance_del(far);
	vbus_ctl_unlock();
	vbus_ctl_put();
	munmap(far, SIZE);
	munmap(there, SIZE);
	return close(fd);
}

int
main(void)
{
	static const struct cu_test tests[] = {
		{"a write is late", test_late},
		{"writes stay in order", test_order},
		{"a read pushes writes", test_read_pushes},
		{"atomic instructions", test_atomic},
		{"copies", test_copies},
		{"instructions", test_instructions},
		{"the window is gone", test_gone},
		{NULL, NULL},
	};

	return cu_run("distance", tests, start, end);
}

#endif
