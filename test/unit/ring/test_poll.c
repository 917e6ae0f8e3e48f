/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * The ring for pollers, both ends in one thread: every size, every fill level, across laps and across
 * the end of the 32-bit positions; what attach refuses; a successor of a killed process.
 */

#include "test_ring.h"
#include "vbus_poll.h"
#include "vbus_signal.h"

struct ring {
	struct vbus_poll_north n;
	struct vbus_poll_south s;
	struct vbus_ioq_cursor *cur;
	struct venet_poll_head *head;
	uint64_t size;
};

/* Exactly the ring's bytes, so that AddressSanitizer sees any access beside it. */
static void
ring_open(struct ring *r, uint32_t kind, uint32_t count, uint32_t limit)
{
	memset(r, 0, sizeof(*r));
	r->size = vbus_poll_size(kind, count);
	r->head = aligned_alloc(64, (r->size + 63) / 64 * 64);
	r->cur = aligned_alloc(64, sizeof(*r->cur));
	CU_ASSERT_FATAL(r->head != NULL && r->cur != NULL);
	memset(r->cur, 0xa5, sizeof(*r->cur));
	CU_ASSERT_EQUAL_FATAL(vbus_poll_north_format(&r->n, r->head, kind, count, limit), 0);
	CU_ASSERT_EQUAL_FATAL(vbus_poll_south_attach(
				      &r->s, r->head, r->size, kind, count, r->cur, VBUS_IOQ_FRESH),
		0);
}

static void
ring_close(struct ring *r)
{
	free(r->head);
	free(r->cur);
}

/* Both ends and the ring as they would be after `pos` entries, a multiple of the count. */
static void
ring_at(struct ring *r, uint32_t pos)
{
	uint32_t i;

	for (i = 0; i <= r->n.r.mask; i++) {
		r->n.r.desc[i] = vbus_poll_desc_phase(&r->n.r, pos - 1);
		if (r->n.r.comp != NULL)
			r->n.r.comp[i] = vbus_poll_comp_phase(&r->n.r, pos - 1);
	}
	if (r->n.r.done != NULL)
		*r->n.r.done = pos;
	r->n.head = pos;
	r->n.tail = pos;
	r->cur->inuse_head = pos;
}

static uint32_t
min_of(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

static uint64_t
addr_of(uint32_t seq)
{
	return 0x7f0000000000ULL + seq * 64ULL;
}

static uint32_t
len_of(uint32_t seq)
{
	return seq % (VENET_POLL_LEN_MAX + 1);
}

static void
push(struct ring *r, uint32_t seq, uint32_t n)
{
	uint64_t d[64];
	uint32_t i;

	for (i = 0; i < n; i++)
		d[i] = vbus_poll_desc(addr_of(seq + i), len_of(seq + i),
			(seq + i) % 5 == 0 ? VENET_POLL_MORE : 0);
	vbus_poll_north_post(&r->n, d, n);
}

/* South sees exactly `there` descriptors from seq on, and they are right. */
static void
see(const struct ring *r, uint32_t seq, uint32_t there)
{
	const struct vbus_poll *p = &r->s.r;
	uint32_t pos = r->cur->inuse_head;
	uint32_t i, len;

	TEST_CHECK(vbus_poll_south_count(&r->s, p->mask + 1) == there);
	TEST_CHECK(vbus_poll_south_is_ready(&r->s, 0) == (there > 0));
	for (i = 0; i < there; i++) {
		uint64_t d = vbus_poll_load_desc(p, pos + i);

		TEST_CHECK(vbus_poll_addr(d) == addr_of(seq + i));
		TEST_CHECK(vbus_poll_len(d) == len_of(seq + i));
		TEST_CHECK(((d & VENET_POLL_MORE) != 0) == ((seq + i) % 5 == 0));
		/* One word that says plain, goes on, or not there. */
		len = vbus_poll_plain_len(d, vbus_poll_desc_phase(p, pos + i));
		if ((seq + i) % 5 == 0)
			TEST_CHECK(len == (len_of(seq + i) | (VENET_POLL_LEN_MAX + 1)));
		else
			TEST_CHECK(len == len_of(seq + i));
		len = vbus_poll_plain_len(d, ~vbus_poll_desc_phase(p, pos + i) & VENET_POLL_PHASE);
		TEST_CHECK(len > 2 * VENET_POLL_LEN_MAX + 1);
		TEST_CHECK(vbus_poll_run(p, pos + i, UINT32_MAX) ==
			   p->mask + 1 - (pos + i) % (p->mask + 1));
	}
}

static void
transmit(uint32_t count, uint32_t limit, uint32_t start)
{
	uint32_t sent = 0, taken = 0, reaped = 0, step = 0;
	struct ring r;

	ring_open(&r, VENET_POLL_TX, count, limit);
	if (start != 0)
		ring_at(&r, start);
	while (sent < 6 * count + 100) {
		uint32_t n = 1 + step % (step % 3 == 0 ? limit : 7);

		step++;
		TEST_CHECK(vbus_poll_north_room(&r.n) == limit - (sent - reaped));
		n = min_of(n, vbus_poll_north_room(&r.n));
		for (uint32_t i = 0; i < n; i += 50)
			push(&r, sent + i, min_of(n - i, 50));
		sent += n;
		see(&r, taken, sent - taken);
		n = test_rand(sent - taken + 1);
		vbus_poll_south_consume(&r.s, n);
		taken += n;
		see(&r, taken, sent - taken);
		TEST_CHECK(vbus_poll_north_done(&r.n) == taken - reaped);
		if (step % 2 == 0 || vbus_poll_north_room(&r.n) == 0) {
			n = test_rand(taken - reaped + 1);
			r.n.head += n;
			reaped += n;
		}
	}
	ring_close(&r);
}

static void
test_transmit(void)
{
	uint32_t count;

	for (count = 16; count <= 32768; count *= 2) {
		transmit(count, count, 0);
		transmit(count, count - 1, 0);
		transmit(count, 1, 0);
		transmit(count, count, 0U - 3 * count); /* the positions run over */
	}
}

static void
receive(uint32_t count, uint32_t limit, uint32_t start)
{
	uint32_t posted = 0, filled = 0, taken = 0, step = 0;
	uint32_t comp[64];
	struct ring r;

	ring_open(&r, VENET_POLL_RX, count, limit);
	if (start != 0)
		ring_at(&r, start);
	while (taken < 6 * count + 100) {
		uint32_t n = vbus_poll_north_room(&r.n);

		TEST_CHECK(n == limit - (posted - taken));
		n = min_of(n, 1 + step++ % 64);
		push(&r, posted, n);
		posted += n;
		see(&r, filled, posted - filled);
		n = min_of(test_rand(posted - filled + 1), 64);
		for (uint32_t i = 0; i < n; i++)
			comp[i] = len_of(filled + i) | VENET_POLL_COMP_META;
		vbus_poll_south_complete(&r.s, comp, n);
		filled += n;
		TEST_CHECK(vbus_poll_north_ready_count(&r.n, count) == filled - taken);
		TEST_CHECK(vbus_poll_north_is_ready(&r.n, 0) == (filled != taken));
		n = test_rand(filled - taken + 1);
		for (uint32_t i = 0; i < n; i++) {
			uint32_t c = vbus_poll_load_comp(&r.n.r, r.n.head);

			TEST_CHECK(vbus_poll_comp_is_ready(&r.n.r, c, r.n.head));
			TEST_CHECK((c & VENET_POLL_COMP_LEN) == len_of(taken));
			TEST_CHECK((c & ~VENET_POLL_COMP_PHASE & ~VENET_POLL_COMP_LEN) ==
				   VENET_POLL_COMP_META);
			r.n.head++;
			taken++;
		}
	}
	ring_close(&r);
}

static void
test_receive(void)
{
	uint32_t count;

	for (count = 16; count <= 32768; count *= 2) {
		receive(count, count, 0);
		receive(count, count / 2 + 1, 0);
		receive(count, 1, 0);
		receive(count, count, 0U - 2 * count);
	}
}

static void
test_attach(void)
{
	static const struct {
		uint32_t offset, value;
		enum vbus_ioq_refusal why;
	} bad[] = {
		{0, 1, VBUS_IOQ_BAD_MAGIC},
		{4, 2, VBUS_IOQ_BAD_VERSION},
		{28, VENET_POLL_TX, VBUS_IOQ_BAD_VERSION},
		{24, 0, VBUS_IOQ_BAD_COUNT},
		{24, 8, VBUS_IOQ_BAD_COUNT},
		{24, 48, VBUS_IOQ_BAD_COUNT},
		{24, 65536, VBUS_IOQ_BAD_COUNT},
		{24, 0x80000000u, VBUS_IOQ_BAD_COUNT},
		{24, 128, VBUS_IOQ_BAD_COUNT}, /* over the caller's limit */
		{24, 32, VBUS_IOQ_BAD_SIZE},
	};
	struct vbus_ioq_cursor before;
	uint32_t value;
	struct ring r;
	size_t i;

	ring_open(&r, VENET_POLL_RX, 64, 64);
	before = *r.cur;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		uint8_t *at = (uint8_t *)r.head + bad[i].offset;

		memcpy(&value, at, 4);
		memcpy(at, &bad[i].value, 4);
		CU_ASSERT_EQUAL(vbus_poll_south_attach(&r.s, r.head, r.size, VENET_POLL_RX, 64,
					r.cur, VBUS_IOQ_FRESH),
			-EINVAL);
		CU_ASSERT_EQUAL(r.s.refusal, bad[i].why);
		memcpy(at, &value, 4);
	}
	CU_ASSERT_EQUAL(vbus_poll_south_attach(
				&r.s, r.head, r.size - 1, VENET_POLL_RX, 64, r.cur, VBUS_IOQ_FRESH),
		-EINVAL);
	CU_ASSERT_EQUAL(
		vbus_poll_south_attach(&r.s, r.head, 64, VENET_POLL_RX, 64, r.cur, VBUS_IOQ_FRESH),
		-EINVAL);
	CU_ASSERT_EQUAL(vbus_poll_south_attach(&r.s, (uint8_t *)r.head + 8, r.size, VENET_POLL_RX,
				64, r.cur, VBUS_IOQ_FRESH),
		-EINVAL);
	CU_ASSERT_EQUAL(r.s.refusal, VBUS_IOQ_BAD_ALIGN);
	CU_ASSERT_EQUAL(memcmp(&before, r.cur, sizeof(before)), 0);
	r.cur->count = 32;
	CU_ASSERT_EQUAL(vbus_poll_south_attach(
				&r.s, r.head, r.size, VENET_POLL_RX, 64, r.cur, VBUS_IOQ_RESUME),
		-EINVAL);
	ring_close(&r);

	CU_ASSERT_EQUAL(vbus_poll_count(1), 16);
	CU_ASSERT_EQUAL(vbus_poll_count(16), 16);
	CU_ASSERT_EQUAL(vbus_poll_count(17), 32);
	CU_ASSERT_EQUAL(vbus_poll_count(1000), 1024);
}

/* A wild `done` neither frees what south has nor more than there is. */
static void
test_wild_done(void)
{
	static const uint32_t wild[] = {21, 64, 0x80000000u, 0xffffffffu, 9};
	struct ring r;

	ring_open(&r, VENET_POLL_TX, 64, 64);
	push(&r, 0, 20);
	r.n.head = 10;
	for (size_t i = 0; i < sizeof(wild) / sizeof(wild[0]); i++) {
		*r.n.r.done = wild[i];
		CU_ASSERT_EQUAL(vbus_poll_north_done(&r.n), 0);
	}
	*r.n.r.done = 20;
	CU_ASSERT_EQUAL(vbus_poll_north_done(&r.n), 10);
	ring_close(&r);
}

/* Killed after the position moved: at any place of any lap, the successor completes the rest. */
static void
test_successor(void)
{
	const uint32_t comp[16] = {0};
	uint32_t pos, left, i;
	struct ring r;

	for (pos = 0; pos < 80; pos++) {
		for (left = 0; left <= 16 && left <= pos; left++) {
			ring_open(&r, VENET_POLL_RX, 16, 16);
			for (i = 0; i < pos; i++) {
				push(&r, i, 1);
				if (i < pos - left) {
					vbus_poll_south_complete(&r.s, comp, 1);
					r.n.head++;
				}
			}
			r.cur->inuse_head += left;
			CU_ASSERT_EQUAL(vbus_poll_south_attach(&r.s, r.head, r.size, VENET_POLL_RX,
						16, r.cur, VBUS_IOQ_RESUME),
				0);
			TEST_CHECK(r.cur->inuse_head == pos);
			TEST_CHECK(vbus_poll_north_ready_count(&r.n, 16) == left);
			for (i = 0; i < left; i++)
				TEST_CHECK((vbus_poll_load_comp(&r.n.r, r.n.head + i) &
						   VENET_POLL_COMP_LEN) == 0);
			ring_close(&r);
		}
	}
	/* Transmit: `done` is brought up to the position. */
	ring_open(&r, VENET_POLL_TX, 16, 16);
	push(&r, 0, 9);
	r.cur->inuse_head = 5;
	CU_ASSERT_EQUAL(vbus_poll_south_attach(
				&r.s, r.head, r.size, VENET_POLL_TX, 16, r.cur, VBUS_IOQ_RESUME),
		0);
	CU_ASSERT_EQUAL(vbus_poll_north_done(&r.n), 5);
	CU_ASSERT_EQUAL(vbus_poll_south_count(&r.s, 16), 4);
	ring_close(&r);
}

/* The same with a store: whose buffers they were is known yet. */
static void
test_successor_newest(void)
{
	struct ring r;
	uint32_t pos, left, extra, i, held;
	uint64_t d;

	for (pos = 0; pos < 40; pos++) {
		for (left = 0; left <= 10; left++) {
			extra = 3 + (pos + left) % 4; /* those are held by south and stay so */
			memset(&r, 0, sizeof(r));
			r.size = VENET_POLL_RX_NEWEST_SIZE(16);
			r.head = aligned_alloc(64, r.size);
			r.cur = aligned_alloc(64, sizeof(*r.cur));
			CU_ASSERT_FATAL(r.head != NULL && r.cur != NULL);
			CU_ASSERT_EQUAL_FATAL(
				vbus_poll_north_format(&r.n, r.head, VENET_POLL_RX, 16, 16), 0);
			vbus_poll_north_newest(&r.n, r.head, 2000);
			CU_ASSERT_EQUAL_FATAL(vbus_poll_south_attach_newest(&r.s, r.head, r.size,
						      16, r.cur, VBUS_IOQ_FRESH),
				0);
			for (i = 0; i < pos + left + extra; i++) {
				d = vbus_poll_buffer(addr_of(i), i % 16);
				vbus_poll_north_post(&r.n, &d, 1);
				held = vbus_poll_south_gather(&r.s);
				if (i < pos) {
					uint32_t comp = vbus_poll_comp_of(
						vbus_poll_south_newest(&r.s, held, 0));

					TEST_CHECK(vbus_poll_comp_id(comp) == i % 16);
					vbus_poll_south_complete(&r.s, &comp, 1);
					r.n.head++;
				}
			}
			/* Killed after the position moved, and before any of them was completed. */
			r.cur->inuse_head += left;
			CU_ASSERT_EQUAL(vbus_poll_south_attach_newest(
						&r.s, r.head, r.size, 16, r.cur, VBUS_IOQ_RESUME),
				0);
			TEST_CHECK(vbus_poll_north_ready_count(&r.n, 16) == left);
			for (i = 0; i < left; i++) {
				uint32_t c = vbus_poll_load_comp(&r.n.r, r.n.head + i);

				TEST_CHECK((c & VENET_POLL_COMP_LEN) == 0);
				TEST_CHECK(
					vbus_poll_comp_id(c) == (pos + left + extra - 1 - i) % 16);
			}
			TEST_CHECK(vbus_poll_south_gather(&r.s) == extra);
			TEST_CHECK(vbus_poll_addr(vbus_poll_south_newest(&r.s, extra, 0)) ==
				   addr_of(pos + extra - 1));
			/* A cursor that cannot be. */
			r.cur->inuse_tail = r.cur->inuse_head + 17;
			CU_ASSERT_EQUAL(vbus_poll_south_attach_newest(
						&r.s, r.head, r.size, 16, r.cur, VBUS_IOQ_RESUME),
				-EINVAL);
			ring_close(&r);
		}
	}
}

int
main(void)
{
	static const struct test_case cases[] = {
		{"transmit: every size, full and empty, laps", test_transmit},
		{"receive: every size, full and empty, laps", test_receive},
		{"what attach refuses", test_attach},
		{"a wild count of what is done", test_wild_done},
		{"the successor of a killed process", test_successor},
		{"newest first: its successor", test_successor_newest},
	};

	return test_main("poll ring", cases, sizeof(cases) / sizeof(cases[0]));
}
