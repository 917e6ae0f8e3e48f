/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * A peer that lies. South: every attach that must be refused, and a ring whose every shared byte
 * changes between any two operations; whatever happens, positions stay inside, counts stay
 * bounded, and no byte beside the ring is touched (AddressSanitizer; the block has its exact
 * size). North: the same from the other side; cookies stay its own. One thread.
 * doc/abi.md sections 3, 6.
 */

#include <CUnit/Basic.h>

#include "test_ring.h"
#include "vbus_ioq_north.h"
#include "vbus_ioq_south.h"

static void
expect_refused(struct test_ring *r, uint64_t len, uint32_t max, enum vbus_ioq_refusal why)
{
	struct vbus_ioq_south s;
	struct vbus_ioq_cursor cur = {.inuse_head = 3, .count = 99};

	CU_ASSERT_EQUAL(vbus_ioq_south_attach(&s, r->mem, len, max, &cur, VBUS_IOQ_FRESH), -EINVAL);
	CU_ASSERT_EQUAL(s.refusal, why);
	CU_ASSERT_EQUAL(cur.inuse_head, 3);
	CU_ASSERT_EQUAL(cur.count, 99);
	CU_ASSERT(strlen(vbus_ioq_refusal_name(why)) > 0);
}

static void
test_attach(void)
{
	struct test_ring r;
	struct vbus_ioq_south s;
	struct vbus_ioq_cursor cur = {0};
	const uint64_t size = 56 + 32 * 8;

	test_ring_open(&r, 8, 1);
	CU_ASSERT_EQUAL(vbus_ioq_south_attach(&s, r.mem, size, 8, &cur, VBUS_IOQ_FRESH), 0);
	CU_ASSERT_EQUAL(s.refusal, VBUS_IOQ_OK);
	CU_ASSERT_EQUAL(s.count, 8);

	expect_refused(&r, size - 1, 8, VBUS_IOQ_BAD_SIZE);
	expect_refused(&r, size + 1, 8, VBUS_IOQ_BAD_SIZE);
	expect_refused(&r, size - 32, 8, VBUS_IOQ_BAD_SIZE);
	expect_refused(&r, size + 32, 9, VBUS_IOQ_BAD_SIZE);
	expect_refused(&r, 55, 8, VBUS_IOQ_BAD_SIZE);
	expect_refused(&r, 0, 8, VBUS_IOQ_BAD_SIZE);
	expect_refused(&r, UINT64_MAX, 8, VBUS_IOQ_BAD_SIZE);
	expect_refused(&r, size, 7, VBUS_IOQ_BAD_COUNT);
	r.head->count = 0;
	expect_refused(&r, 56, 8, VBUS_IOQ_BAD_COUNT);
	/* 32 * count wraps in 32 bits to a size that fits. */
	r.head->count = 0x08000008;
	expect_refused(&r, size, UINT32_MAX, VBUS_IOQ_BAD_COUNT);
	r.head->count = UINT32_MAX;
	expect_refused(&r, size, UINT32_MAX, VBUS_IOQ_BAD_COUNT);
	r.head->count = 8;
	r.head->magic ^= 1;
	expect_refused(&r, size, 8, VBUS_IOQ_BAD_MAGIC);
	r.head->magic ^= 1;
	r.head->ver = 3;
	expect_refused(&r, size, 8, VBUS_IOQ_BAD_VERSION);
	r.head->ver = 4;
	r.head->idx[IOQ_IDX_INUSE].head = 8;
	expect_refused(&r, size, 8, VBUS_IOQ_BAD_INDEX);
	r.head->idx[IOQ_IDX_INUSE].head = 7;
	r.head->idx[IOQ_IDX_INUSE].tail = UINT32_MAX;
	expect_refused(&r, size, 8, VBUS_IOQ_BAD_INDEX);
	r.head->idx[IOQ_IDX_INUSE].tail = 2;
	CU_ASSERT_EQUAL(vbus_ioq_south_attach(&s, r.mem, size, 8, &cur, VBUS_IOQ_FRESH), 0);
	CU_ASSERT_EQUAL(cur.inuse_head, 7);
	CU_ASSERT_EQUAL(cur.inuse_tail, 2);
	CU_ASSERT_STRING_EQUAL(vbus_ioq_refusal_name((enum vbus_ioq_refusal)77), "unknown");
	test_ring_close(&r);
}

static void
test_misaligned(void)
{
	struct vbus_ioq_cursor cur = {0};
	struct vbus_ioq_south s;
	struct vbus_ioq_north n;
	uint64_t cookies[1];
	uint64_t mem[13];

	for (size_t off = 1; off < 8; off++) {
		CU_ASSERT_EQUAL(
			vbus_ioq_south_attach(&s, (char *)mem + off, 88, 1, &cur, VBUS_IOQ_FRESH),
			-EINVAL);
		CU_ASSERT_EQUAL(s.refusal, VBUS_IOQ_BAD_ALIGN);
		CU_ASSERT_EQUAL(
			vbus_ioq_north_format(&n, (char *)mem + off, 1, cookies, 1), -EINVAL);
	}
	CU_ASSERT_EQUAL(vbus_ioq_north_format(&n, mem, 0, cookies, 1), -EINVAL);
	CU_ASSERT_EQUAL(
		vbus_ioq_north_format(&n, mem, VBUS_IOQ_COUNT_MAX + 1, cookies, 1), -EINVAL);
}

/* A process that takes the state over goes on; a cursor of another ring is refused. */
static void
test_resume(void)
{
	struct vbus_ioq_entry e[3] = {{.cookie = 1}, {.cookie = 2}, {.cookie = 3}};
	struct vbus_ioq_south s;
	struct test_ring r;

	test_ring_open(&r, 8, 1);
	const uint64_t size = vbus_ioq_size(8);

	CU_ASSERT_EQUAL(vbus_ioq_north_push(&r.n, e, 3), 3);
	vbus_ioq_south_consume_pop(&r.s, 2);
	r.head->idx[IOQ_IDX_INUSE].head = 6; /* not looked at */
	CU_ASSERT_EQUAL(vbus_ioq_south_attach(&s, r.mem, size, 8, r.cur, VBUS_IOQ_RESUME), 0);
	CU_ASSERT_EQUAL(r.cur->inuse_head, 2);
	CU_ASSERT_EQUAL(vbus_ioq_south_consume_peek(&s, e, 3), 1);
	CU_ASSERT_EQUAL(e[0].cookie, 3);

	r.cur->inuse_tail = 8;
	CU_ASSERT_EQUAL(vbus_ioq_south_attach(&s, r.mem, size, 8, r.cur, VBUS_IOQ_RESUME), -EINVAL);
	CU_ASSERT_EQUAL(s.refusal, VBUS_IOQ_BAD_INDEX);
	r.cur->inuse_tail = 0;
	r.cur->count = 7;
	CU_ASSERT_EQUAL(vbus_ioq_south_attach(&s, r.mem, size, 8, r.cur, VBUS_IOQ_RESUME), -EINVAL);
	CU_ASSERT_EQUAL(s.refusal, VBUS_IOQ_BAD_COUNT);
	test_ring_close(&r);
}

/* Change any bytes of the ring but, half of the time, leave the ownership bytes mostly set. */
static void
scribble(struct test_ring *r, uint32_t count, uint8_t owner)
{
	uint64_t size = vbus_ioq_size(count);
	uint32_t nb = 1 + test_rand(40);

	for (uint32_t i = 0; i < nb; i++)
		r->mem[test_rand((uint32_t)size)] = (uint8_t)test_rand(256);
	for (uint32_t i = 0; i < count; i++)
		if (test_rand(3) != 0)
			r->mem[56 + 32 * i + 25] = owner;
}

static void
test_south_survives(void)
{
	struct vbus_ioq_entry e[80];
	struct test_ring r;

	for (uint32_t round = 0; round < 60; round++) {
		uint32_t count = 1 + test_rand(70);

		test_ring_open(&r, count, 1);
		for (uint32_t step = 0; step < 500; step++) {
			uint32_t n = test_rand(80);
			uint32_t got, k;

			scribble(&r, count, 1);
			got = vbus_ioq_south_consume_peek(&r.s, e, n);
			TEST_CHECK(got <= n && got <= count);
			scribble(&r, count, 0);
			k = test_rand(got + 1);
			vbus_ioq_south_consume_pop(&r.s, k);
			TEST_CHECK(r.cur->inuse_head < count);
			scribble(&r, count, 1);
			got = vbus_ioq_south_produce_peek(&r.s, e, n);
			TEST_CHECK(got <= n && got <= count);
			scribble(&r, count, 0);
			vbus_ioq_south_produce_push(&r.s, e, got);
			TEST_CHECK(r.cur->inuse_tail < count);
			vbus_ioq_south_produce_push_keep(&r.s, test_rand(count + 1));
			TEST_CHECK(r.cur->inuse_tail < count);
			TEST_CHECK(vbus_ioq_south_consume_count(&r.s, UINT32_MAX) <= count);
			TEST_CHECK(vbus_ioq_south_produce_count(&r.s, n) <= n);
		}
		test_ring_close(&r);
	}
}

/* South answers to its private position, not to what the head says. */
static void
test_positions_are_private(void)
{
	struct vbus_ioq_entry e[4] = {{.cookie = 1}, {.cookie = 2}, {.cookie = 3}, {.cookie = 4}};
	struct vbus_ioq_entry got[4];
	struct test_ring r;

	test_ring_open(&r, 4, 1);
	CU_ASSERT_EQUAL(vbus_ioq_north_push(&r.n, e, 4), 4);
	r.head->idx[IOQ_IDX_INUSE].head = 0xdeadbeef;
	r.head->idx[IOQ_IDX_INUSE].tail = 0xdeadbeef;
	r.head->idx[IOQ_IDX_INUSE].full = 0;
	r.head->count = 0;
	CU_ASSERT_EQUAL(vbus_ioq_south_consume_peek(&r.s, got, 4), 4);
	for (uint32_t i = 0; i < 4; i++)
		CU_ASSERT_EQUAL(got[i].cookie, i + 1);
	vbus_ioq_south_consume_pop(&r.s, 4);
	CU_ASSERT_EQUAL(r.head->idx[IOQ_IDX_INUSE].head, 0);
	/* Only 1 means south's. */
	r.mem[56 + 25] = 2;
	CU_ASSERT_EQUAL(vbus_ioq_south_consume_peek(&r.s, got, 4), 0);
	r.mem[56 + 25] = 0xff;
	CU_ASSERT_EQUAL(vbus_ioq_south_consume_peek(&r.s, got, 4), 0);
	test_ring_close(&r);
}

static void
test_north_survives(void)
{
	struct vbus_ioq_entry e[80];
	uint64_t cookies[80];
	struct test_ring r;

	for (uint32_t round = 0; round < 60; round++) {
		uint32_t count = 1 + test_rand(70);
		uint64_t pushed = 0, reaped = 0;

		test_ring_open(&r, count, 1);
		for (uint32_t step = 0; step < 500; step++) {
			uint32_t n = test_rand(80);
			uint32_t got;

			for (uint32_t i = 0; i < n; i++)
				e[i].cookie = pushed + i;
			scribble(&r, count, 0);
			got = vbus_ioq_north_push(&r.n, e, n);
			TEST_CHECK(got <= n && got <= count - (pushed - reaped));
			pushed += got;
			scribble(&r, count, 0);
			got = vbus_ioq_north_reap(&r.n, cookies, test_rand(80));
			TEST_CHECK(got <= pushed - reaped);
			for (uint32_t i = 0; i < got; i++)
				TEST_CHECK(cookies[i] == reaped + i);
			reaped += got;
		}
		test_ring_close(&r);
	}
}

static void
test_north_receive_survives(void)
{
	struct vbus_ioq_entry e[80];
	struct test_ring r;

	for (uint32_t round = 0; round < 60; round++) {
		uint32_t count = 1 + test_rand(70);
		uint64_t posted = 0, popped = 0;

		test_ring_open(&r, count, 1);
		for (uint32_t step = 0; step < 500; step++) {
			uint32_t n = test_rand(80);
			uint32_t got;

			for (uint32_t i = 0; i < n; i++)
				e[i].cookie = posted + i;
			scribble(&r, count, 0);
			got = vbus_ioq_north_post(&r.n, e, n);
			TEST_CHECK(got <= n && got <= count - (posted - popped));
			posted += got;
			scribble(&r, count, 0);
			got = vbus_ioq_north_pop(&r.n, e, test_rand(80));
			TEST_CHECK(got <= posted - popped);
			for (uint32_t i = 0; i < got; i++)
				TEST_CHECK(e[i].cookie == popped + i);
			popped += got;
		}
		test_ring_close(&r);
	}
}

int
main(void)
{
	static const struct test_case cases[] = {
		{"attach", test_attach},
		{"misaligned", test_misaligned},
		{"resume", test_resume},
		{"positions are private", test_positions_are_private},
		{"south survives scribbling", test_south_survives},
		{"north survives scribbling, transmit", test_north_survives},
		{"north survives scribbling, receive", test_north_receive_survives},
	};

	return test_main("ioq hostile", cases, sizeof(cases) / sizeof(cases[0]));
}
