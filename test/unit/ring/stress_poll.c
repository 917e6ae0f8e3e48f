/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * The ring for pollers between two threads, millions of entries. Frames are plain memory, written
 * by one side and read by the other, so that ThreadSanitizer judges the hand-over of an entry and of
 * `done`; without it the values are checked. Each run moves a number of entries or stops after its
 * share of time, whatever comes first.
 */

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <time.h>

#include <CUnit/Basic.h>

#include "test_ring.h"
#include "vbus_poll.h"

#define BURST	    32U
#define RUN_SECONDS 1

struct frame {
	uint64_t seq;
	uint64_t check;
};

struct run {
	struct vbus_poll_north n;
	struct vbus_poll_south s;
	struct vbus_ioq_cursor cur;
	struct venet_poll_head *head;
	struct frame *frames; /* one per entry, or per number */
	bool newest;	      /* receive: south fills the newest buffer first */
	uint32_t ids[4096];   /* then: numbers that are free */
	uint32_t nb_ids;
	uint64_t total;
	atomic_uint_fast64_t produced;
	atomic_bool stopped;
	atomic_uint errors;
	time_t end;
};

static void
fail(struct run *r)
{
	atomic_fetch_add(&r->errors, 1);
}

static bool
goes_on(const struct run *r, uint64_t seq)
{
	return seq < r->total && time(NULL) <= r->end;
}

static void
fill(struct frame *f, uint64_t seq)
{
	f->seq = seq;
	f->check = ~seq;
}

static void
check(struct run *r, uint64_t d, uint32_t len, uint64_t seq)
{
	const struct frame *f = (const struct frame *)(uintptr_t)vbus_poll_addr(d);

	if (len != (seq & VENET_POLL_LEN_MAX) || f->seq != seq || f->check != ~seq)
		fail(r);
}

static uint64_t
desc_of(const struct run *r, uint64_t seq)
{
	return vbus_poll_desc(
		(uintptr_t)&r->frames[seq & r->n.r.mask], (uint32_t)seq & VENET_POLL_LEN_MAX, 0);
}

static uint64_t
buffer_of(const struct run *r, uint32_t id)
{
	return vbus_poll_buffer((uintptr_t)&r->frames[id], id);
}

static void
produced(struct run *r, uint64_t seq)
{
	atomic_store(&r->produced, seq);
	atomic_store(&r->stopped, true);
}

static void *
tx_south(void *arg)
{
	struct run *r = arg;
	uint64_t d[BURST];
	uint64_t seq = 0;

	for (uint32_t round = 0;; round++) {
		bool last = atomic_load(&r->stopped);
		uint32_t pos = r->cur.inuse_head, n;

		for (n = 0; n < 1 + round % BURST; n++) {
			d[n] = vbus_poll_load_desc(&r->s.r, pos + n);
			if (!vbus_poll_desc_is_ready(&r->s.r, d[n], pos + n))
				break;
		}
		vbus_peer_fence_acquire();
		for (uint32_t i = 0; i < n; i++, seq++)
			check(r, d[i], vbus_poll_len(d[i]), seq);
		vbus_poll_south_consume(&r->s, n);
		if (n == 0 && last)
			break;
		if (n == 0)
			sched_yield();
	}
	if (seq != atomic_load(&r->produced))
		fail(r);
	return NULL;
}

static void
tx_north(struct run *r)
{
	uint64_t d[BURST];
	uint64_t seq = 0;

	for (uint32_t round = 0; goes_on(r, seq); round++) {
		uint32_t n = 1 + round % BURST;

		if (vbus_poll_north_room(&r->n) < n)
			r->n.head += vbus_poll_north_done(&r->n);
		if (vbus_poll_north_room(&r->n) < n)
			n = vbus_poll_north_room(&r->n);
		for (uint32_t i = 0; i < n; i++) {
			fill(&r->frames[(seq + i) & r->n.r.mask], seq + i);
			d[i] = desc_of(r, seq + i);
		}
		vbus_poll_north_post(&r->n, d, n);
		seq += n;
		if (n == 0)
			sched_yield();
	}
	produced(r, seq);
}

static uint32_t
take_next(const struct run *r, uint64_t *d, uint32_t pos, uint32_t max)
{
	uint32_t n;

	for (n = 0; n < max; n++) {
		d[n] = vbus_poll_load_desc(&r->s.r, pos + n);
		if (!vbus_poll_desc_is_ready(&r->s.r, d[n], pos + n))
			break;
	}
	return n;
}

static uint32_t
take_newest(const struct run *r, uint64_t *d, uint32_t max)
{
	const uint32_t held = vbus_poll_south_gather(&r->s);
	uint32_t n;

	for (n = 0; n < max && n < held; n++)
		d[n] = vbus_poll_south_newest(&r->s, held, n);
	return n;
}

static void *
rx_south(void *arg)
{
	struct run *r = arg;
	uint32_t comp[BURST];
	uint64_t seq = 0;

	for (uint32_t round = 0; goes_on(r, seq); round++) {
		uint32_t pos = r->cur.inuse_head, n;
		uint64_t d[BURST];

		n = r->newest ? take_newest(r, d, 1 + round % BURST)
			      : take_next(r, d, pos, 1 + round % BURST);
		vbus_peer_fence_acquire();
		for (uint32_t i = 0; i < n; i++) {
			fill((struct frame *)(uintptr_t)vbus_poll_addr(d[i]), seq + i);
			vbus_peer_store64(&r->s.r.meta[(pos + i) & r->s.r.mask], seq + i);
			comp[i] = (uint32_t)(seq + i) & VENET_POLL_LEN_MAX;
			if (r->newest)
				comp[i] |= vbus_poll_comp_of(d[i]);
		}
		vbus_poll_south_complete(&r->s, comp, n);
		seq += n;
		if (n == 0)
			sched_yield();
	}
	produced(r, seq);
	return NULL;
}

static void
rx_north(struct run *r)
{
	uint64_t seq = 0, posted = 0;

	for (uint32_t round = 0;; round++) {
		bool last = atomic_load(&r->stopped);
		uint32_t n = 0;
		uint32_t comp[BURST];

		while (vbus_poll_north_room(&r->n) > 0) {
			uint64_t d = r->newest ? buffer_of(r, r->ids[--r->nb_ids])
					       : desc_of(r, posted++);

			vbus_poll_north_post(&r->n, &d, 1);
		}
		while (n < 1 + round % BURST && vbus_poll_north_is_ready(&r->n, n)) {
			comp[n] = vbus_poll_load_comp(&r->n.r, r->n.head + n);
			n++;
		}
		vbus_peer_fence_acquire();
		for (uint32_t i = 0; i < n; i++, seq++) {
			const uint32_t id = vbus_poll_comp_id(comp[i]);

			check(r, r->newest ? buffer_of(r, id) : desc_of(r, seq),
				comp[i] & VENET_POLL_COMP_LEN, seq);
			if (r->newest)
				r->ids[r->nb_ids++] = id;
			if (vbus_peer_load64(&r->n.r.meta[seq & r->n.r.mask]) != seq)
				fail(r);
		}
		r->n.head += n;
		if (n == 0 && last)
			break;
		if (n == 0)
			sched_yield();
	}
	if (seq != atomic_load(&r->produced))
		fail(r);
}

static void
run(const char *what, uint32_t count, uint32_t limit, uint32_t kind, bool newest)
{
	static struct run r;
	const uint64_t size = newest ? VENET_POLL_RX_NEWEST_SIZE(count)
				     : vbus_poll_size(kind, count);
	pthread_t south;

	memset(&r, 0, sizeof(r));
	r.total = 2000000;
	r.end = time(NULL) + RUN_SECONDS;
	r.newest = newest;
	for (; newest && r.nb_ids < count; r.nb_ids++)
		r.ids[r.nb_ids] = r.nb_ids;
	r.head = aligned_alloc(64, (size + 63) / 64 * 64);
	r.frames = calloc(count, sizeof(*r.frames));
	CU_ASSERT_FATAL(r.head != NULL && r.frames != NULL);
	CU_ASSERT_EQUAL_FATAL(vbus_poll_north_format(&r.n, r.head, kind, count, limit), 0);
	if (newest) {
		vbus_poll_north_newest(&r.n, r.head, VENET_POLL_LEN_MAX);
		CU_ASSERT_EQUAL_FATAL(vbus_poll_south_attach_newest(
					      &r.s, r.head, size, count, &r.cur, VBUS_IOQ_FRESH),
			0);
	} else {
		CU_ASSERT_EQUAL_FATAL(vbus_poll_south_attach(&r.s, r.head, size, kind, count,
					      &r.cur, VBUS_IOQ_FRESH),
			0);
	}
	CU_ASSERT_EQUAL_FATAL(
		pthread_create(&south, NULL, kind == VENET_POLL_RX ? rx_south : tx_south, &r), 0);
	if (kind == VENET_POLL_RX)
		rx_north(&r);
	else
		tx_north(&r);
	pthread_join(south, NULL);
	printf("\n    %-10s %5u entries, %5u used: %9llu moved", what, count, limit,
		(unsigned long long)atomic_load(&r.produced));
	CU_ASSERT_EQUAL(atomic_load(&r.errors), 0);
	CU_ASSERT(atomic_load(&r.produced) > 0);
	free(r.frames);
	free(r.head);
}

static void
test_threads(void)
{
	static const uint32_t counts[] = {16, 64, 1024, 4096};

	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		run("transmit", counts[i], counts[i], VENET_POLL_TX, false);
		run("receive", counts[i], counts[i], VENET_POLL_RX, false);
		run("newest", counts[i], counts[i], VENET_POLL_RX, true);
	}
	run("transmit", 1024, 1, VENET_POLL_TX, false);
	run("receive", 1024, 600, VENET_POLL_RX, false);
	run("newest", 1024, 600, VENET_POLL_RX, true);
}

int
main(void)
{
	static const struct test_case cases[] = {
		{"two threads, polling", test_threads},
	};

	return test_main("poll ring stress", cases, sizeof(cases) / sizeof(cases[0]));
}
