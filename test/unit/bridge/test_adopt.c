/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * bridge_adopt.c: rings that a killed process left half handed over (ADR-0016, 6). North's part is
 * the real one; the kill is south's cursor moved and only some of its entries given back.
 */

#include <stdlib.h>
#include <string.h>

#include "../core/cu_run.h"
#include "bridge_internal.h"
#include "vbus_ioq_north.h"

#define COUNT 128u

static struct vbus_ioq_north north;
static struct vbus_ioq_south south;
static struct vbus_ioq_cursor cursor;
static uint64_t cookies[COUNT];
static void *mem;

static void
setup(uint8_t valid)
{
	memset(&cursor, 0, sizeof(cursor));
	mem = aligned_alloc(64, (vbus_ioq_size(COUNT) + 63) / 64 * 64);
	CU_ASSERT_PTR_NOT_NULL_FATAL(mem);
	CU_ASSERT_EQUAL_FATAL(vbus_ioq_north_format(&north, mem, COUNT, cookies, valid), 0);
	CU_ASSERT_EQUAL_FATAL(vbus_ioq_south_attach(&south, mem, vbus_ioq_size(COUNT), COUNT,
				      &cursor, VBUS_IOQ_FRESH),
		0);
}

static uint32_t
push(uint64_t first, uint32_t n)
{
	struct vbus_ioq_entry e[COUNT];

	for (uint32_t i = 0; i < n; i++)
		e[i] = (struct vbus_ioq_entry){.cookie = first + i, .ptr = first + i, .len = 60};
	return vbus_ioq_north_push(&north, e, n);
}

/* Pop n, killed when `done` of them were given back. */
static void
pop_killed(uint32_t n, uint32_t done)
{
	const uint32_t idx = cursor.inuse_head;

	cursor.inuse_head = vbus_ioq_advance(idx, n, COUNT);
	if (done > 0) {
		vbus_peer_store32(&south.inuse_peer->head, cursor.inuse_head);
		vbus_peer_store8(&south.inuse_peer->full, 0);
	}
	vbus_ioq_south_hand_over(&south, idx, done);
}

static void
consumed_once(uint32_t turn, uint32_t waiting, uint32_t n, uint32_t done, uint32_t again)
{
	struct vbus_ioq_entry e[COUNT];
	uint64_t taken[COUNT];
	uint32_t nb, i;

	setup(0);
	/* Somewhere in the ring, so that it wraps. */
	for (i = 0; i < turn; i++) {
		CU_ASSERT_EQUAL(push(0, 1), 1);
		vbus_ioq_south_consume_pop(&south, 1);
		CU_ASSERT_EQUAL(vbus_ioq_north_reap(&north, taken, 1), 1);
	}
	CU_ASSERT_EQUAL(push(1000, n + waiting), n + waiting);
	CU_ASSERT_EQUAL(vbus_ioq_south_consume_peek(&south, e, n), n);
	pop_killed(n, done);
	/* North goes on while nobody is there: what came back is used again. */
	nb = vbus_ioq_north_reap(&north, taken, COUNT);
	CU_ASSERT_EQUAL(nb, done);
	CU_ASSERT_EQUAL(push(2000, again), again);

	CU_ASSERT_EQUAL(vbus_ring_repair(&south, false), n - done);
	CU_ASSERT_EQUAL(vbus_ring_repair(&south, false), 0);
	/* Each of the rest once and in order; north gets all of them back. */
	nb = vbus_ioq_south_consume_peek(&south, e, COUNT);
	CU_ASSERT_EQUAL(nb, waiting + again);
	for (i = 0; i < nb; i++)
		CU_ASSERT_EQUAL(e[i].ptr, i < waiting ? 1000 + n + i : 2000 + i - waiting);
	vbus_ioq_south_consume_pop(&south, nb);
	CU_ASSERT_EQUAL(vbus_ioq_north_reap(&north, taken, COUNT), n - done + nb);
	CU_ASSERT_EQUAL(vbus_ioq_north_room(&north), COUNT);
	free(mem);
}

static void
test_consume(void)
{
	consumed_once(0, 10, 20, 0, 0);	  /* nothing given back */
	consumed_once(0, 10, 20, 7, 0);	  /* some */
	consumed_once(0, 0, 20, 7, 0);	  /* nothing else in the ring */
	consumed_once(0, 0, 20, 20, 5);	  /* all */
	consumed_once(120, 10, 20, 7, 7); /* over the end, and what came back is in use again */
	consumed_once(100, COUNT - 64, 64, 63, 63); /* the ring is full again but for one */
	consumed_once(100, COUNT - 64, 64, 64, 64); /* and full */
}

static void
produced_once(uint32_t laps, uint32_t n, uint32_t done)
{
	struct vbus_ioq_entry e[COUNT];
	uint32_t i, idx, nb;

	setup(1);
	for (i = 0; i < COUNT; i++)
		e[i] = (struct vbus_ioq_entry){.cookie = i, .ptr = i, .len = 2048};
	/* The first lap is posted in part: it counts on another index. */
	nb = laps == 0 ? 100 : COUNT;
	CU_ASSERT_EQUAL(vbus_ioq_north_post(&north, e, nb), nb);
	for (i = 0; i < laps * 50; i++) {
		CU_ASSERT_EQUAL(vbus_ioq_south_produce_peek(&south, e, 1), 1);
		vbus_ioq_south_produce_push(&south, e, 1);
		CU_ASSERT_EQUAL(vbus_ioq_north_pop(&north, e, 1), 1);
		e[0].ptr = 1;
		CU_ASSERT_EQUAL(vbus_ioq_north_post(&north, e, 1), 1);
	}
	CU_ASSERT_EQUAL(vbus_ioq_south_produce_peek(&south, e, n), n);
	idx = cursor.inuse_tail;
	for (i = 0; i < n; i++)
		vbus_peer_store64(&south.desc_peer[vbus_ioq_advance(idx, i, COUNT)].len, 100 + i);
	cursor.inuse_tail = vbus_ioq_advance(idx, n, COUNT);
	vbus_ioq_south_hand_over(&south, idx, done);
	/* North has taken what it got, and has not posted it again yet. */
	CU_ASSERT_EQUAL(vbus_ioq_north_pop(&north, e, COUNT), done);

	CU_ASSERT_EQUAL(vbus_ring_repair(&south, true), n - done);
	CU_ASSERT_EQUAL(vbus_ring_repair(&south, true), 0);
	CU_ASSERT_EQUAL(vbus_ioq_north_pop(&north, e, COUNT), n - done);
	for (i = 0; i < n - done; i++)
		CU_ASSERT_EQUAL(e[i].len, 100 + done + i);
	/* Free buffers stayed free. */
	CU_ASSERT_EQUAL(vbus_ioq_south_produce_count(&south, COUNT), nb - n);
	free(mem);
}

static void
test_produce(void)
{
	produced_once(0, 20, 0);
	produced_once(0, 20, 7);
	produced_once(0, 20, 20);
	produced_once(1, 64, 63);
	produced_once(3, 30, 0);
	produced_once(5, 1, 0);
}

/* Words that north can write: no position makes south leave the ring. */
static void
test_hostile(void)
{
	setup(0);
	CU_ASSERT_EQUAL(push(0, 50), 50);
	vbus_peer_store32(&north.ring->idx[IOQ_IDX_INUSE].tail, COUNT);
	CU_ASSERT_EQUAL(vbus_ring_repair(&south, false), 0);
	vbus_peer_store32(&north.ring->idx[IOQ_IDX_INUSE].tail, 0xffffffff);
	CU_ASSERT_EQUAL(vbus_ring_repair(&south, false), 0);
	vbus_peer_store32(&north.ring->idx[IOQ_IDX_INUSE].tail, 10);
	CU_ASSERT(vbus_ring_repair(&south, false) <= COUNT); /* its own loss */
	free(mem);
}

int
main(void)
{
	const struct cu_test tests[] = {
		{"transmit ring", test_consume},
		{"receive ring", test_produce},
		{"hostile positions", test_hostile},
		{NULL, NULL},
	};

	return cu_run("adopt", tests, NULL, NULL);
}
