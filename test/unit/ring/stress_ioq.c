/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * North and south as two threads, millions of entries. The buffers are plain memory, written by
 * one side and read by the other, so that ThreadSanitizer judges the hand-over of `sown`; without
 * it the values are checked. Rings from one entry up; bursts of any size; polling, and sleeping on
 * signals, where a lost wake-up is a time-out.
 *
 * Each run moves a number of entries or stops after its share of time, whatever comes first: the
 * machine may be busy. Whoever finds nothing yields.
 */

#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <time.h>

#include <CUnit/Basic.h>

#include "test_ring.h"
#include "vbus_ioq_north.h"
#include "vbus_ioq_south.h"
#include "vbus_signal.h"

#define BURST	     32U
#define RUN_SECONDS  1
#define LOST_SECONDS 10

struct buffer {
	uint64_t seq;
	uint64_t check;
};

struct run {
	struct test_ring ring;
	struct buffer *buffers;
	uint64_t total;
	bool txc;   /* transmit: push on *in-use* only */
	bool sleep; /* wait by signals */
	struct vbus_signal north_sig, south_sig;
	sem_t north_wake, south_wake;
	atomic_uint_fast64_t produced; /* set when the producer has stopped */
	atomic_bool stopped;
	atomic_uint errors;
	uint64_t nb_sleeps;
	struct timespec end;
};

static struct timespec
after(unsigned int seconds)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	t.tv_sec += seconds;
	return t;
}

static bool
is_over(const struct run *r)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return t.tv_sec > r->end.tv_sec ||
	       (t.tv_sec == r->end.tv_sec && t.tv_nsec >= r->end.tv_nsec);
}

static void
fail(struct run *r)
{
	atomic_fetch_add(&r->errors, 1);
}

static void
fill(struct buffer *b, uint64_t seq)
{
	b->seq = seq;
	b->check = ~seq;
}

static void
check(struct run *r, const struct buffer *b, uint64_t seq)
{
	if (b->seq != seq || b->check != ~seq)
		fail(r);
}

/* Tell the other side, after a burst. */
static void
tell(const struct run *r, const struct vbus_signal *sig, sem_t *wake)
{
	if (r->sleep && vbus_signal_inject(sig))
		sem_post(wake);
}

static void
nothing(void *ctx)
{
	(void)ctx;
}

/*
 * Wait for the other side, after the ring was seen empty: yield, or sleep on the signal. What came
 * in between has set dirty, so that enable says not to sleep.
 */
static void
wait_for(struct run *r, const struct vbus_signal *sig, sem_t *wake, uint64_t *sleeps)
{
	struct timespec t;

	if (!r->sleep) {
		sched_yield();
		return;
	}
	if (!vbus_signal_enable(sig)) {
		t = after(LOST_SECONDS);
		(*sleeps)++;
		while (sem_timedwait(wake, &t) != 0) {
			if (errno != EINTR) {
				fail(r);
				atomic_store(&r->stopped, true);
				break;
			}
		}
	}
	while (vbus_signal_wakeup(sig, nothing, NULL, 1))
		;
	vbus_signal_disable(sig);
}

/* Transmit: north pushes and reaps, south consumes. */
static void *
tx_south(void *arg)
{
	struct run *r = arg;
	struct vbus_ioq_entry e[BURST];
	uint64_t seq = 0, rand = 1, sleeps = 0;

	for (;;) {
		bool last = atomic_load(&r->stopped);
		uint32_t n = vbus_ioq_south_consume_peek(&r->ring.s, e, 1 + rand++ % BURST);

		for (uint32_t i = 0; i < n; i++, seq++) {
			if (e[i].cookie != seq || e[i].len != (seq & 0xffff))
				fail(r);
			check(r, (const struct buffer *)(uintptr_t)e[i].ptr, seq);
		}
		vbus_ioq_south_consume_pop(&r->ring.s, n);
		if (n > 0)
			tell(r, &r->south_sig, &r->north_wake);
		else if (last)
			break;
		else
			wait_for(r, &r->south_sig, &r->south_wake, &sleeps);
	}
	if (seq != atomic_load(&r->produced))
		fail(r);
	return NULL;
}

static void
tx_north(struct run *r)
{
	const uint32_t count = r->ring.n.count;
	struct vbus_ioq_entry e[BURST];
	uint64_t cookies[BURST];
	uint64_t seq = 0, reaped = 0, rand = 1;
	uint32_t n, i, room;

	while (seq < r->total && !is_over(r) && !atomic_load(&r->stopped)) {
		/* With TXC a ring entry says nothing about its buffer: twice as many of them. */
		room = r->txc ? BURST : vbus_ioq_north_room(&r->ring.n);
		n = 1 + (uint32_t)(rand++ % BURST);
		n = n < room ? n : room;
		if (r->txc)
			n = vbus_ioq_north_scan(&r->ring.n, r->ring.n.tail, n < count ? n : count);
		if (r->txc)
			vbus_peer_fence_acquire(); /* as push_inuse has: the buffers are free */
		for (i = 0; i < n; i++) {
			struct buffer *b = &r->buffers[(seq + i) % count];

			fill(b, seq + i);
			e[i].cookie = seq + i;
			e[i].ptr = (uintptr_t)b;
			e[i].len = (seq + i) & 0xffff;
		}
		n = r->txc ? vbus_ioq_north_push_inuse(&r->ring.n, e, n)
			   : vbus_ioq_north_push(&r->ring.n, e, n);
		seq += n;
		if (n > 0)
			tell(r, &r->north_sig, &r->south_wake);
		else
			wait_for(r, &r->north_sig, &r->north_wake, &r->nb_sleeps);
		if (r->txc)
			continue;
		n = vbus_ioq_north_reap(&r->ring.n, cookies, BURST);
		for (i = 0; i < n; i++)
			if (cookies[i] != reaped++)
				fail(r);
	}
	atomic_store(&r->produced, seq);
	atomic_store(&r->stopped, true);
	/* A push of nothing, so to say: south looks once more and sees that it is over. */
	tell(r, &r->north_sig, &r->south_wake);
}

/* Receive: north posts, south fills, north pops. */
static void *
rx_south(void *arg)
{
	struct run *r = arg;
	struct vbus_ioq_entry e[BURST];
	uint64_t seq = 0, rand = 1, sleeps = 0;

	while (seq < r->total && !is_over(r) && !atomic_load(&r->stopped)) {
		uint32_t n = vbus_ioq_south_produce_peek(&r->ring.s, e, 1 + rand++ % BURST);

		for (uint32_t i = 0; i < n; i++) {
			fill((struct buffer *)(uintptr_t)e[i].ptr, seq + i);
			e[i].len = (seq + i) & 0xffff;
		}
		vbus_ioq_south_produce_push(&r->ring.s, e, n);
		seq += n;
		if (n > 0)
			tell(r, &r->south_sig, &r->north_wake);
		else
			wait_for(r, &r->south_sig, &r->south_wake, &sleeps);
	}
	atomic_store(&r->produced, seq);
	atomic_store(&r->stopped, true);
	tell(r, &r->south_sig, &r->north_wake);
	return NULL;
}

static uint32_t
rx_post(struct run *r, uint32_t slot, uint32_t n)
{
	const uint32_t count = r->ring.n.count;
	struct vbus_ioq_entry e[BURST];

	for (uint32_t i = 0; i < n; i++) {
		e[i].cookie = (slot + i) % count;
		e[i].ptr = (uintptr_t)&r->buffers[(slot + i) % count];
		e[i].len = sizeof(struct buffer);
	}
	return vbus_ioq_north_post(&r->ring.n, e, n);
}

static void
rx_north(struct run *r)
{
	const uint32_t count = r->ring.n.count;
	struct vbus_ioq_entry e[BURST];
	uint64_t seq = 0, rand = 1;
	uint32_t slot = 0;
	uint32_t n, i, room;

	for (;;) {
		bool last = atomic_load(&r->stopped);

		room = vbus_ioq_north_room(&r->ring.n);
		n = rx_post(r, slot, room < BURST ? room : BURST);
		slot = (slot + n) % count;
		if (n > 0)
			tell(r, &r->north_sig, &r->south_wake);
		n = vbus_ioq_north_pop(&r->ring.n, e, 1 + (uint32_t)(rand++ % BURST));
		for (i = 0; i < n; i++, seq++) {
			if (e[i].cookie != seq % count || e[i].len != (seq & 0xffff))
				fail(r);
			check(r, &r->buffers[e[i].cookie], seq);
		}
		if (n == 0 && last)
			break;
		if (n == 0)
			wait_for(r, &r->north_sig, &r->north_wake, &r->nb_sleeps);
	}
	if (seq != atomic_load(&r->produced))
		fail(r);
}

static void
run(const char *what, uint32_t count, uint64_t total, bool rx, bool txc, bool sleep)
{
	struct run r = {.total = total, .txc = txc, .sleep = sleep, .end = after(RUN_SECONDS)};
	pthread_t south;

	test_ring_open(&r.ring, count, 1);
	r.buffers = calloc(count, sizeof(*r.buffers));
	CU_ASSERT_PTR_NOT_NULL_FATAL(r.buffers);
	vbus_signal_attach(&r.north_sig, &r.ring.head->signal, VBUS_LOCALITY_NORTH);
	vbus_signal_attach(&r.south_sig, &r.ring.head->signal, VBUS_LOCALITY_SOUTH);
	sem_init(&r.north_wake, 0, 0);
	sem_init(&r.south_wake, 0, 0);
	CU_ASSERT_EQUAL_FATAL(pthread_create(&south, NULL, rx ? rx_south : tx_south, &r), 0);
	if (rx)
		rx_north(&r);
	else
		tx_north(&r);
	pthread_join(south, NULL);
	printf("\n    %-24s %4u entries: %9llu moved, %llu sleeps", what, count,
		(unsigned long long)atomic_load(&r.produced), (unsigned long long)r.nb_sleeps);
	CU_ASSERT_EQUAL(atomic_load(&r.errors), 0);
	CU_ASSERT(atomic_load(&r.produced) > 0);
	sem_destroy(&r.north_wake);
	sem_destroy(&r.south_wake);
	free(r.buffers);
	test_ring_close(&r.ring);
}

static void
test_polling(void)
{
	static const uint32_t counts[] = {1, 3, 64, 1000};

	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		uint64_t total = counts[i] < 64 ? 20000 : 3000000;

		run("transmit", counts[i], total, false, false, false);
		run("transmit with TXC", counts[i], total / 2, false, true, false);
		run("receive", counts[i], total, true, false, false);
	}
}

static void
test_sleeping(void)
{
	static const uint32_t counts[] = {1, 7, 256};

	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		run("transmit, sleeping", counts[i], 100000, false, false, true);
		run("receive, sleeping", counts[i], 100000, true, false, true);
	}
}

int
main(void)
{
	static const struct test_case cases[] = {
		{"two threads, polling", test_polling},
		{"two threads, sleeping on signals", test_sleeping},
	};

	return test_main("ioq stress", cases, sizeof(cases) / sizeof(cases[0]));
}
