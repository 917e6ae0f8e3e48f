/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * Every interleaving, with late and reordered stores (sim.h), of signals and of small rings. The
 * code that runs is the library's own, with the accessors replaced. Each property is also tried
 * with a fence taken away, and then has to fail: else the exploration would prove nothing.
 * doc/abi.md sections 2, 3 and 7.2.
 */

#include <CUnit/Basic.h>

#define VBUS_PEER_SIM "sim_peer.h"
#include "vbus_ioq_north.h"
#include "vbus_ioq_south.h"
#include "vbus_signal.h"

#include "test_ring.h"

static void
expect(const char *what, const struct sim_config *cfg, bool good)
{
	struct sim_result r;

	sim_explore(cfg, &r);
	printf("\n    %-44s %8llu states, %6llu ends, %6llu bad", what,
		(unsigned long long)r.nb_states, (unsigned long long)r.nb_ends,
		(unsigned long long)r.nb_bad);
	CU_ASSERT_FALSE(r.overflow);
	CU_ASSERT(r.nb_ends > 0);
	if (good)
		CU_ASSERT_EQUAL(r.nb_bad, 0)
	else
		CU_ASSERT(r.nb_bad > 0)
}

/* --- signals: thread 0 is south and sends, thread 1 is north and receives ------------------ */

struct signal_mem {
	struct shm_signal_desc desc;
	uint32_t items; /* what the signal stands for */
	uint8_t irq;	/* delivered */
};

static uint32_t nb_items;
static uint32_t seen_items;
static struct vbus_signal sig_north, sig_south;

static struct signal_mem *
signals(void)
{
	return (struct signal_mem *)(void *)sim_mem();
}

static void
signals_start(uint32_t nb)
{
	struct signal_mem *m = signals();

	memset(sim_mem(), 0, SIM_MEM);
	nb_items = nb;
	sig_north = (struct vbus_signal){
		&m->desc.north, &m->desc.south, &m->desc.south.enabled, NULL};
	sig_south = (struct vbus_signal){
		&m->desc.south, &m->desc.north, &m->desc.north.enabled, NULL};
}

static void
send_items(void)
{
	struct signal_mem *m = signals();

	for (uint32_t i = 1; i <= nb_items; i++) {
		vbus_peer_store32(&m->items, i);
		if (vbus_signal_inject(&sig_south))
			sim_store_now(&m->irq, 1, 1);
	}
}

static void
take_items(void *ctx)
{
	(void)ctx;
	seen_items = vbus_peer_load32(&signals()->items);
}

static void
stop_signal(void *ctx)
{
	vbus_signal_disable(ctx);
}

/* Interrupted whenever something comes. */
static void
receive_by_interrupt(void)
{
	seen_items = 0;
	if (vbus_signal_enable(&sig_north))
		vbus_signal_wakeup(&sig_north, take_items, NULL, 100);
	while (seen_items < nb_items) {
		sim_wait(&signals()->irq, 1, 1, true);
		vbus_signal_wakeup(&sig_north, take_items, NULL, 100);
	}
}

/* The same with a budget of one round. */
static void
receive_by_rounds(void)
{
	seen_items = 0;
	if (vbus_signal_enable(&sig_north))
		while (vbus_signal_wakeup(&sig_north, take_items, NULL, 1))
			;
	while (seen_items < nb_items) {
		sim_wait(&signals()->irq, 1, 1, true);
		while (vbus_signal_wakeup(&sig_north, take_items, NULL, 1))
			;
	}
}

/* Polls; enables the signal before it sleeps, disables it when woken. */
static void
receive_by_polling(void)
{
	uint32_t items;

	seen_items = 0;
	while (seen_items < nb_items) {
		items = vbus_peer_load32(&signals()->items);
		if (items != seen_items) {
			seen_items = items;
			continue;
		}
		if (!vbus_signal_enable(&sig_north))
			sim_wait(&signals()->irq, 1, 1, true);
		vbus_signal_wakeup(&sig_north, stop_signal, (void *)&sig_north, 100);
	}
}

/* The same by vbus_signal_take(). */
static void
receive_by_taking(void)
{
	uint32_t items;

	seen_items = 0;
	while (seen_items < nb_items) {
		items = vbus_peer_load32(&signals()->items);
		if (items != seen_items) {
			seen_items = items;
			continue;
		}
		if (!vbus_signal_enable(&sig_north))
			sim_wait(&signals()->irq, 1, 1, true);
		vbus_signal_disable(&sig_north);
		vbus_signal_take(&sig_north);
	}
}

/* The same and a timer that looks again at last. */
static void
receive_with_timer(void)
{
	uint32_t items;

	seen_items = 0;
	while (seen_items < nb_items) {
		items = vbus_peer_load32(&signals()->items);
		if (items != seen_items) {
			seen_items = items;
			continue;
		}
		if (!vbus_signal_enable(&sig_north))
			sim_wait_timer(&signals()->irq, 1, 1);
		vbus_signal_wakeup(&sig_north, stop_signal, (void *)&sig_north, 100);
	}
}

static bool
all_items_seen(const bool finished[2])
{
	return finished[0] && finished[1] && seen_items == nb_items;
}

static void
signal_case(const char *what, void (*receive)(void), unsigned int no_fence, uint32_t nb, bool good)
{
	struct sim_config cfg = {.body = {send_items, receive},
		.check = all_items_seen,
		.no_full_fence = no_fence,
		.stop_at_bad = !good};

	signals_start(nb);
	expect(what, &cfg, good);
}

static void
test_signals(void)
{
	signal_case("interrupt", receive_by_interrupt, 0, 3, true);
	signal_case("interrupt, one round a time", receive_by_rounds, 0, 3, true);
	signal_case("polling and sleeping", receive_by_polling, 0, 2, true);
	signal_case("polling and sleeping, take", receive_by_taking, 0, 2, true);
}

static void
test_signals_without_fences(void)
{
	signal_case("interrupt, weak sender", receive_by_interrupt, 1, 2, false);
	signal_case("interrupt, weak receiver", receive_by_interrupt, 2, 2, false);
	signal_case("polling, weak sender", receive_by_polling, 1, 2, false);
	signal_case("polling, weak receiver", receive_by_polling, 2, 2, false);
	signal_case("polling, weak sender, timer", receive_with_timer, 1, 2, true);
	signal_case("polling, weak receiver, timer", receive_with_timer, 2, 2, true);
	signal_case("polling, both weak, timer", receive_with_timer, 3, 2, true);
}

/* --- rings: thread 0 is north, thread 1 is south ------------------------------------------- */

#define DATA_OFF 160U

static struct {
	uint32_t count; /* of the ring */
	uint32_t burst;
	uint32_t total; /* entries that the producing side hands over */
	uint32_t taken; /* entries that the other side takes before it returns */
} ring;

static struct vbus_ioq_north north_start;
static struct vbus_ioq_cursor cursor;
static uint64_t cookies[4];
static uint32_t wrong_at[2]; /* by thread: each sets its own to 0 when it starts */
static uint32_t nb_reaped, nb_taken;

static uint64_t *
data(uint32_t slot)
{
	return (uint64_t *)(void *)(sim_mem() + DATA_OFF) + slot;
}

/* Set up what the bodies keep privately. */
static struct vbus_ioq_south
south_start(void)
{
	struct ioq_ring_head *head = (void *)sim_mem();

	memset(&cursor, 0, sizeof(cursor));
	return (struct vbus_ioq_south){
		.desc_peer = (void *)(sim_mem() + 56),
		.inuse_peer = &head->idx[IOQ_IDX_INUSE],
		.cur = &cursor,
		.count = ring.count,
	};
}

static uint32_t
least(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

static void
north_reap(struct vbus_ioq_north *q)
{
	uint64_t c[4];
	uint32_t n;

	sim_wait(&q->desc[q->head].sown, 1, 0, false);
	n = vbus_ioq_north_reap(q, c, ring.burst);
	for (uint32_t i = 0; i < n; i++)
		wrong_at[0] += c[i] != 100 + nb_reaped++;
}

static void
tx_north(void)
{
	struct vbus_ioq_north q = north_start;
	struct vbus_ioq_entry e[4];
	uint32_t seq = 0;

	nb_reaped = 0;
	wrong_at[0] = 0;
	while (seq < ring.total) {
		uint32_t n = least(ring.burst, least(ring.total - seq, vbus_ioq_north_room(&q)));

		if (n == 0) {
			north_reap(&q);
			continue;
		}
		for (uint32_t i = 0; i < n; i++) {
			uint32_t slot = (seq + i) % ring.count;

			vbus_peer_store64(data(slot), 100 + seq + i);
			e[i] = (struct vbus_ioq_entry){100 + seq + i, slot, 7 + seq + i};
		}
		vbus_ioq_north_push(&q, e, n);
		seq += n;
	}
	while (nb_reaped < ring.taken)
		north_reap(&q);
}

static void
tx_south(void)
{
	struct vbus_ioq_south q = south_start();
	struct vbus_ioq_entry e[4];

	nb_taken = 0;
	wrong_at[1] = 0;
	while (nb_taken < ring.taken) {
		uint32_t n;

		sim_wait(&q.desc_peer[cursor.inuse_head].sown, 1, 1, false);
		n = vbus_ioq_south_consume_peek(&q, e, least(ring.burst, ring.taken - nb_taken));
		for (uint32_t i = 0; i < n; i++, nb_taken++) {
			wrong_at[1] += e[i].cookie != 100 + nb_taken || e[i].len != 7 + nb_taken ||
				       e[i].ptr != nb_taken % ring.count ||
				       vbus_peer_load64(data(nb_taken % ring.count)) !=
					       100 + nb_taken;
		}
		vbus_ioq_south_consume_pop(&q, n);
	}
}

/* What north's old drivers decide by, when all is quiet. */
static bool
index_is(const struct ioq_ring_idx *idx, uint32_t pushed, uint32_t popped)
{
	if (idx->head != popped % ring.count || idx->tail != pushed % ring.count)
		return false;
	return idx->head != idx->tail || (idx->full != 0) == (pushed - popped == ring.count);
}

static bool
tx_check(const bool finished[2])
{
	const struct ioq_ring_head *head = (void *)sim_mem();

	return finished[0] && finished[1] && wrong_at[0] + wrong_at[1] == 0 &&
	       nb_taken == ring.taken && nb_reaped == ring.taken &&
	       index_is(&head->idx[IOQ_IDX_INUSE], ring.total, ring.taken) &&
	       index_is(&head->idx[IOQ_IDX_VALID], ring.total, ring.taken);
}

/* Receive: north posts all, south fills `total`, north pops `taken` and posts them again. */
static void
rx_north(void)
{
	struct vbus_ioq_north q = north_start;
	struct vbus_ioq_entry e[4];
	uint32_t n;

	nb_taken = 0;
	wrong_at[0] = 0;
	for (uint32_t i = 0; i < ring.count; i++)
		e[i] = (struct vbus_ioq_entry){i, i, 8};
	vbus_ioq_north_post(&q, e, ring.count);
	while (nb_taken < ring.taken) {
		sim_wait(&q.desc[q.head].sown, 1, 0, false);
		n = vbus_ioq_north_pop(&q, e, least(ring.burst, ring.taken - nb_taken));
		for (uint32_t i = 0; i < n; i++, nb_taken++) {
			wrong_at[0] += e[i].cookie != nb_taken % ring.count ||
				       e[i].len != 7 + nb_taken ||
				       vbus_peer_load64(data(nb_taken % ring.count)) !=
					       100 + nb_taken;
			e[i].ptr = e[i].cookie;
			e[i].len = 8;
		}
		vbus_ioq_north_post(&q, e, n);
	}
}

static void
rx_south(void)
{
	struct vbus_ioq_south q = south_start();
	struct vbus_ioq_entry e[4];
	uint32_t seq = 0;

	wrong_at[1] = 0;
	while (seq < ring.total) {
		uint32_t n;

		sim_wait(&q.desc_peer[cursor.inuse_tail].sown, 1, 1, false);
		n = vbus_ioq_south_produce_peek(&q, e, least(ring.burst, ring.total - seq));
		for (uint32_t i = 0; i < n; i++) {
			uint32_t slot = (seq + i) % ring.count;

			wrong_at[1] += e[i].cookie != slot || e[i].ptr != slot || e[i].len != 8;
			vbus_peer_store64(data(slot), 100 + seq + i);
			e[i].len = 7 + seq + i;
		}
		vbus_ioq_south_produce_push(&q, e, n);
		seq += n;
	}
}

static bool
rx_check(const bool finished[2])
{
	const struct ioq_ring_head *head = (void *)sim_mem();

	return finished[0] && finished[1] && wrong_at[0] + wrong_at[1] == 0 &&
	       nb_taken == ring.taken &&
	       index_is(&head->idx[IOQ_IDX_INUSE], ring.total, ring.taken) &&
	       index_is(&head->idx[IOQ_IDX_VALID], ring.count, 0);
}

static void
ring_case(const char *name, bool rx, uint32_t count, uint32_t burst, uint32_t total, uint32_t taken,
	unsigned int no_release)
{
	struct sim_config cfg = {
		.body = {rx ? rx_north : tx_north, rx ? rx_south : tx_south},
		.check = rx ? rx_check : tx_check,
		.no_release_fence = no_release,
		.stop_at_bad = no_release != 0,
	};
	char what[80];

	memset(sim_mem(), 0, SIM_MEM);
	CU_ASSERT_EQUAL(vbus_ioq_north_format(&north_start, sim_mem(), count, cookies, 1), 0);
	ring.count = count;
	ring.burst = burst;
	ring.total = total;
	ring.taken = taken;
	snprintf(what, sizeof(what), "%s: %u entries, bursts of %u, %u and %u", name, count, burst,
		total, taken);
	expect(what, &cfg, no_release == 0);
}

static void
test_rings(void)
{
	/* Ends empty, and ends full, where `full` must say which. */
	ring_case("transmit", false, 1, 1, 3, 3, 0);
	ring_case("transmit", false, 1, 1, 3, 2, 0);
	ring_case("transmit", false, 2, 1, 3, 1, 0);
	ring_case("transmit", false, 2, 2, 3, 3, 0);
	ring_case("transmit", false, 2, 2, 4, 2, 0);
	ring_case("receive", true, 1, 1, 3, 3, 0);
	ring_case("receive", true, 1, 1, 3, 2, 0);
	ring_case("receive", true, 2, 1, 3, 3, 0);
	ring_case("receive", true, 2, 2, 3, 3, 0);
	ring_case("receive", true, 2, 2, 4, 2, 0);
}

static void
test_rings_without_release(void)
{
	ring_case("transmit, weak north", false, 1, 1, 1, 1, 1);
	ring_case("transmit, weak south", false, 1, 1, 2, 1, 2);
	ring_case("receive, weak north", true, 1, 1, 2, 2, 1);
	ring_case("receive, weak south", true, 1, 1, 2, 2, 2);
}

int
main(void)
{
	static const struct test_case cases[] = {
		{"signals", test_signals},
		{"signals, a fence taken away", test_signals_without_fences},
		{"rings", test_rings},
		{"rings, a fence taken away", test_rings_without_release},
	};

	return test_main("explore", cases, sizeof(cases) / sizeof(cases[0]));
}
