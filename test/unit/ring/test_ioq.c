/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * The ring against a simple model: every size from 1 to 1024, and 2048; the three patterns of use
 * (transmit; receive and event rings; page ring and transmit with TXC); single and burst.
 *
 * Each pattern runs random bursts on one ring and the same entries one by one on a second ring;
 * after every step both rings' memory must be equal byte by byte, and the shared indices and `full`
 * must say what the model says. One thread; owns its rings. doc/abi.md sections 3 and 4.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <CUnit/Basic.h>

#include "vbus_ioq_north.h"
#include "vbus_ioq_south.h"
#include "test_ring.h"

#define BURST 64U

/* Model of one index: how many entries were ever pushed and popped. */
struct idx_model {
	uint64_t pushed, popped;
};

static void
check_idx(const struct ioq_ring_idx *idx, const struct idx_model *m, uint32_t count)
{
	bool full = m->pushed - m->popped == count;

	TEST_CHECK(idx->head == m->popped % count);
	TEST_CHECK(idx->tail == m->pushed % count);
	/* Counts only where head = tail. */
	if (idx->head == idx->tail)
		TEST_CHECK(idx->full == full);
}

static void
make_entries(struct vbus_ioq_entry *e, uint64_t seq, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		e[i].cookie = seq + i;
		e[i].ptr = (seq + i) * 0x100000001ULL;
		e[i].len = (seq + i) ^ 0x5555;
	}
}

static void
check_entries(const struct vbus_ioq_entry *e, uint64_t seq, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		TEST_CHECK(e[i].cookie == seq + i);
		TEST_CHECK(e[i].ptr == (seq + i) * 0x100000001ULL);
		TEST_CHECK(e[i].len == ((seq + i) ^ 0x5555));
	}
}

static void
check_same(const struct test_ring *a, const struct test_ring *b)
{
	TEST_CHECK(memcmp(a->mem, b->mem, vbus_ioq_size(a->n.count)) == 0);
	TEST_CHECK(memcmp(a->cur, b->cur, sizeof(*a->cur)) == 0);
}

/* Model of a transmit ring; txc: push on *in-use* only. */
struct tx_model {
	struct idx_model valid, inuse;
	bool txc;
};

static uint32_t
do_push(struct test_ring *r, bool txc, const struct vbus_ioq_entry *e, uint32_t n)
{
	return txc ? vbus_ioq_north_push_inuse(&r->n, e, n) : vbus_ioq_north_push(&r->n, e, n);
}

static void
tx_push(struct test_ring *a, struct test_ring *b, struct tx_model *m, uint32_t n)
{
	const struct idx_model *limit = m->txc ? &m->inuse : &m->valid;
	uint64_t room = a->n.count - (limit->pushed - limit->popped);
	struct vbus_ioq_entry e[BURST];
	uint32_t done;

	make_entries(e, m->inuse.pushed, n);
	done = do_push(a, m->txc, e, n);
	TEST_CHECK(done == (n < room ? n : room));
	for (uint32_t i = 0; i < n; i++)
		TEST_CHECK(do_push(b, m->txc, &e[i], 1) == (i < done));
	m->inuse.pushed += done;
	if (!m->txc)
		m->valid.pushed += done;
}

static void
tx_consume(struct test_ring *a, struct test_ring *b, struct tx_model *m, uint32_t n)
{
	uint64_t waiting = m->inuse.pushed - m->inuse.popped;
	struct vbus_ioq_entry e[BURST];
	struct vbus_ioq_entry one = {0};
	uint32_t got, pop;

	got = vbus_ioq_south_consume_peek(&a->s, e, n);
	TEST_CHECK(got == (n < waiting ? n : waiting));
	check_entries(e, m->inuse.popped, got);
	TEST_CHECK(vbus_ioq_south_consume_count(&a->s, UINT32_MAX) == waiting);
	for (uint32_t i = 0; i < a->n.count && i < 8; i++)
		TEST_CHECK(vbus_ioq_south_consume_is_ready(&a->s, i) == (i < waiting));
	pop = test_rand(got + 1); /* less than was peeked is fine */
	vbus_ioq_south_consume_pop(&a->s, pop);
	for (uint32_t i = 0; i < pop; i++) {
		TEST_CHECK(vbus_ioq_south_consume_peek(&b->s, &one, 1) == 1);
		check_entries(&one, m->inuse.popped + i, 1);
		vbus_ioq_south_consume_pop(&b->s, 1);
	}
	m->inuse.popped += pop;
}

static void
tx_reap(struct test_ring *a, struct test_ring *b, struct tx_model *m, uint32_t n)
{
	uint64_t done = m->inuse.popped - m->valid.popped;
	uint64_t cookies[BURST];
	uint64_t cookie = 0;
	uint32_t got;

	TEST_CHECK(vbus_ioq_north_done_count(&a->n, UINT32_MAX) == done);
	got = vbus_ioq_north_reap(&a->n, cookies, n);
	TEST_CHECK(got == (n < done ? n : done));
	for (uint32_t i = 0; i < got; i++) {
		TEST_CHECK(cookies[i] == m->valid.popped + i);
		TEST_CHECK(vbus_ioq_north_reap(&b->n, &cookie, 1) == 1);
		TEST_CHECK(cookie == cookies[i]);
	}
	m->valid.popped += got;
}

static void
run_tx(uint32_t count, bool txc)
{
	struct test_ring a, b;
	struct tx_model m = {.txc = txc};
	uint32_t max = count + 2 < BURST ? count + 2 : BURST;

	test_ring_open(&a, count, 1);
	test_ring_open(&b, count, 1);
	for (uint32_t step = 0; step < 40 + 6 * count / max; step++) {
		uint32_t n = test_rand(max + 1);
		/* Phases that fill, drain, or do both, so that full and empty both happen. */
		uint32_t phase = step / 16 % 3;

		if (phase != 1 || test_rand(4) == 0)
			tx_push(&a, &b, &m, n);
		n = test_rand(max + 1);
		if (phase != 0 || test_rand(4) == 0)
			tx_consume(&a, &b, &m, n);
		if (!txc)
			tx_reap(&a, &b, &m, test_rand(max + 1));
		check_same(&a, &b);
		check_idx(&a.head->idx[IOQ_IDX_INUSE], &m.inuse, count);
		check_idx(&a.head->idx[IOQ_IDX_VALID], &m.valid, count);
	}
	test_ring_close(&a);
	test_ring_close(&b);
}

/*
 * Model of a receive ring: `posted` counts buffers given to south, `filled` those that south
 * pushed, `popped` those that north took.
 */
struct rx_model {
	uint64_t posted, filled, popped;
	bool keep; /* events, L4RO: lengths are not written, entries are posted again as they are */
};

static void
rx_check_idx(const struct test_ring *r, const struct rx_model *m)
{
	uint32_t count = r->n.count;
	struct idx_model valid = {.pushed = m->posted < count ? m->posted : count};
	struct idx_model inuse = {
		.pushed = m->filled, .popped = m->posted < count ? 0 : m->posted - count};

	check_idx(&r->head->idx[IOQ_IDX_VALID], &valid, count);
	check_idx(&r->head->idx[IOQ_IDX_INUSE], &inuse, count);
}

static void
rx_post(struct test_ring *a, struct test_ring *b, struct rx_model *m, uint32_t n)
{
	uint64_t room = a->n.count - (m->posted - m->popped);
	struct vbus_ioq_entry e[BURST];
	uint32_t done = 0;
	uint32_t k;

	n = n < room ? n : (uint32_t)room;
	if (m->keep && m->posted < a->n.count && n > a->n.count - m->posted)
		n = (uint32_t)(a->n.count - m->posted);
	if (m->keep && m->posted >= a->n.count) {
		vbus_ioq_north_repost(&a->n, n);
		for (uint32_t i = 0; i < n; i++)
			vbus_ioq_north_repost(&b->n, 1);
		m->posted += n;
		return;
	}
	make_entries(e, m->posted, n);
	/* Asked for more than there is room: the end of the first lap may cut it in two. */
	while (done < n) {
		k = vbus_ioq_north_post(&a->n, e + done, n - done);
		TEST_CHECK(k > 0);
		if (k == 0)
			break;
		done += k;
		TEST_CHECK(done == n || m->posted + done == a->n.count);
	}
	for (uint32_t i = 0; i < n; i++)
		TEST_CHECK(vbus_ioq_north_post(&b->n, &e[i], 1) == 1);
	m->posted += n;
	if (m->posted - m->popped == a->n.count)
		TEST_CHECK(vbus_ioq_north_post(&a->n, e, 1) == 0);
}

static void
rx_produce(struct test_ring *a, struct test_ring *b, struct rx_model *m, uint32_t n)
{
	uint64_t free = m->posted - m->filled;
	struct vbus_ioq_entry e[BURST];
	struct vbus_ioq_entry one = {0};
	uint32_t got;

	TEST_CHECK(vbus_ioq_south_produce_count(&a->s, UINT32_MAX) == free);
	for (uint32_t i = 0; i < a->n.count && i < 8; i++)
		TEST_CHECK(vbus_ioq_south_produce_is_ready(&a->s, i) == (i < free));
	got = vbus_ioq_south_produce_peek(&a->s, e, n);
	TEST_CHECK(got == (n < free ? n : free));
	for (uint32_t i = 0; i < got; i++) {
		uint64_t seq = m->filled + i;

		if (!m->keep) {
			check_entries(&e[i], seq, 1);
			e[i].len = seq * 3;
		} else {
			check_entries(&e[i], seq % a->n.count, 1);
		}
		TEST_CHECK(vbus_ioq_south_produce_peek(&b->s, &one, 1) == 1);
		TEST_CHECK(one.cookie == e[i].cookie && one.ptr == e[i].ptr);
		one.len = seq * 3;
		if (m->keep)
			vbus_ioq_south_produce_push_keep(&b->s, 1);
		else
			vbus_ioq_south_produce_push(&b->s, &one, 1);
	}
	if (m->keep)
		vbus_ioq_south_produce_push_keep(&a->s, got);
	else
		vbus_ioq_south_produce_push(&a->s, e, got);
	m->filled += got;
}

static void
rx_pop(struct test_ring *a, struct test_ring *b, struct rx_model *m, uint32_t n)
{
	uint64_t ready = m->filled - m->popped;
	struct vbus_ioq_entry e[BURST];
	struct vbus_ioq_entry one = {0};
	uint32_t got;

	TEST_CHECK(vbus_ioq_north_ready_count(&a->n, UINT32_MAX) == ready);
	got = vbus_ioq_north_pop(&a->n, e, n);
	TEST_CHECK(got == (n < ready ? n : ready));
	for (uint32_t i = 0; i < got; i++) {
		uint64_t seq = m->popped + i;

		if (m->keep)
			seq %= a->n.count;
		TEST_CHECK(e[i].cookie == seq);
		TEST_CHECK(e[i].len == (m->keep ? (seq ^ 0x5555) : seq * 3));
		TEST_CHECK(vbus_ioq_north_pop(&b->n, &one, 1) == 1);
		TEST_CHECK(one.cookie == e[i].cookie && one.len == e[i].len);
	}
	m->popped += got;
}

static void
run_rx(uint32_t count, bool keep)
{
	struct test_ring a, b;
	struct rx_model m = {.keep = keep};
	uint32_t max = count + 2 < BURST ? count + 2 : BURST;

	test_ring_open(&a, count, !keep);
	test_ring_open(&b, count, !keep);
	for (uint32_t step = 0; step < 40 + 6 * count / max; step++) {
		uint32_t phase = step / 16 % 3;

		if (phase != 1 || test_rand(4) == 0)
			rx_post(&a, &b, &m, test_rand(max + 1));
		if (phase != 2 || test_rand(4) == 0)
			rx_produce(&a, &b, &m, test_rand(max + 1));
		if (phase != 0 || test_rand(4) == 0)
			rx_pop(&a, &b, &m, test_rand(max + 1));
		check_same(&a, &b);
		rx_check_idx(&a, &m);
	}
	test_ring_close(&a);
	test_ring_close(&b);
}

static void
all_sizes(void (*run)(uint32_t, bool), bool variant)
{
	/* Sanitized builds walk the same sizes; small ones more often, they wrap most. */
	for (uint32_t count = 1; count <= 1024; count++)
		run(count, variant);
	run(2048, variant);
	for (uint32_t i = 0; i < 200; i++)
		run(1 + i % 9, variant);
}

static void
test_transmit(void)
{
	all_sizes(run_tx, false);
}

static void
test_page_ring(void)
{
	all_sizes(run_tx, true);
}

static void
test_receive(void)
{
	all_sizes(run_rx, false);
}

static void
test_event_ring(void)
{
	all_sizes(run_rx, true);
}

/* What the old drivers' ring memory looks like: `valid` where it belongs, positions before sown. */
static void
test_layout(void)
{
	struct vbus_ioq_entry e = {.cookie = 7, .ptr = 0x1234, .len = 60};
	struct test_ring r;

	test_ring_open(&r, 4, 1);
	const uint8_t *raw = r.mem;
	uint32_t word;

	CU_ASSERT_EQUAL(vbus_ioq_north_push(&r.n, &e, 1), 1);
	memcpy(&word, raw + 28, 4);
	CU_ASSERT_EQUAL(word, 1); /* valid.tail */
	memcpy(&word, raw + 40, 4);
	CU_ASSERT_EQUAL(word, 1); /* in-use.tail */
	CU_ASSERT_EQUAL(raw[56], 7);
	CU_ASSERT_EQUAL(raw[56 + 8], 0x34);
	CU_ASSERT_EQUAL(raw[56 + 16], 60);
	CU_ASSERT_EQUAL(raw[56 + 24], 1);
	CU_ASSERT_EQUAL(raw[56 + 25], 1);
	CU_ASSERT_EQUAL(raw[56 + 32 + 24], 1);
	CU_ASSERT_EQUAL(raw[56 + 32 + 25], 0);
	CU_ASSERT_EQUAL(vbus_ioq_south_consume_peek(&r.s, &e, 1), 1);
	vbus_ioq_south_consume_pop(&r.s, 1);
	memcpy(&word, raw + 36, 4);
	CU_ASSERT_EQUAL(word, 1); /* in-use.head */
	CU_ASSERT_EQUAL(raw[56 + 25], 0);
	test_ring_close(&r);
}

/* What is left with south when it goes away comes back in order, once. */
static void
test_reclaim(void)
{
	struct vbus_ioq_entry e[5];
	uint64_t cookies[8];
	struct test_ring r;

	test_ring_open(&r, 5, 1);
	make_entries(e, 10, 5);
	CU_ASSERT_EQUAL(vbus_ioq_north_push(&r.n, e, 5), 5);
	vbus_ioq_south_consume_pop(&r.s, 2);
	CU_ASSERT_EQUAL(vbus_ioq_north_reap(&r.n, cookies, 1), 1);
	CU_ASSERT_EQUAL(vbus_ioq_north_reclaim(&r.n, cookies, 3), 3);
	CU_ASSERT_EQUAL(cookies[0], 11);
	CU_ASSERT_EQUAL(cookies[2], 13);
	CU_ASSERT_EQUAL(vbus_ioq_north_reclaim(&r.n, cookies, 8), 1);
	CU_ASSERT_EQUAL(cookies[0], 14);
	CU_ASSERT_EQUAL(vbus_ioq_north_reclaim(&r.n, cookies, 8), 0);
	test_ring_close(&r);
}

int
main(void)
{
	static const struct test_case cases[] = {
		{"transmit ring, every size", test_transmit},
		{"receive ring, every size", test_receive},
		{"event ring, every size", test_event_ring},
		{"page ring and TXC, every size", test_page_ring},
		{"bytes in memory", test_layout},
		{"reclaim", test_reclaim},
	};

	return test_main("ioq", cases, sizeof(cases) / sizeof(cases[0]));
}
