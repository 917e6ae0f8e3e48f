/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * Frames that south keeps, at the north end of the PMD, against a south that is played (ADR-0021). One thread.
 */
#include <string.h>

#include "../core/cu_run.h"
#include "north_rig.h"

#define N    64u
#define KEEP (VENET_CAP_POLL_RING | VENET_CAP_POLL_KEEP)

static struct rte_mempool *pool;
static struct rte_mbuf *m[512];
static unsigned int before;
static uint32_t ret_pos;

static int
init(void)
{
	if (rig_eal_init() != 0)
		return 1;
	pool = rte_pktmbuf_pool_create(
		"main", 2047, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	return pool == NULL;
}

static void
up(uint64_t tx_off)
{
	before = rig_avail(pool);
	rig_probe();
	rig.poll = KEEP;
	CU_ASSERT_EQUAL_FATAL(rig_start(pool, N, 0, tx_off, 1500), 0);
	CU_ASSERT_EQUAL_FATAL(rig.granted_poll, KEEP);
	ret_pos = 0;
}

/* @p lost  mbufs that the pool is short of for ever */
static void
down(unsigned int lost)
{
	rig_remove();
	CU_ASSERT_EQUAL(rig_avail(pool), before - lost);
}

static uint32_t
push(uint32_t nb)
{
	uint32_t i;
	uint16_t n;

	for (i = 0; i < nb; i++)
		m[i] = rig_frame(pool, 1000, (uint8_t)i);
	n = rte_eth_tx_burst(rig.port, 0, m, (uint16_t)nb);
	rte_pktmbuf_free_bulk(m + n, nb - n);
	return n;
}

/* South takes the next entry, and keeps its frame. @return its length; -1: there is none */
static int
take(bool keep)
{
	const uint32_t pos = rig.poll_tx.cur->inuse_head;
	const uint64_t d = vbus_poll_load_desc(&rig.poll_tx.r, pos);

	if (!vbus_poll_desc_is_ready(&rig.poll_tx.r, d, pos))
		return -1;
	CU_ASSERT_EQUAL(d & VENET_POLL_MORE, 0);
	rig.poll_tx.r.kept[pos % N] = keep && vbus_poll_len(d) != 0;
	vbus_poll_south_consume(&rig.poll_tx, 1);
	return (int)vbus_poll_len(d);
}

static void
give_back(uint32_t entry)
{
	struct vbus_poll *r = &rig.poll_tx.r;

	r->ret[ret_pos & r->mask] = entry | vbus_poll_comp_phase(r, ret_pos);
	ret_pos++;
}

static uint32_t
out(void)
{
	rte_eth_tx_done_cleanup(rig.port, 0, 0);
	return before - N - rig_avail(pool); /* N are posted for receive */
}

/* Out of turn, over laps, with every way of freeing. */
static void
order(uint64_t tx_off)
{
	static const uint32_t turn[8] = {5, 0, 7, 2, 1, 6, 4, 3};
	uint32_t round, i, at;

	up(tx_off);
	for (round = 0; round < 100; round++) {
		at = rig.poll_tx.cur->inuse_head;
		CU_ASSERT_EQUAL_FATAL(push(16), 16);
		CU_ASSERT_EQUAL(out(), 16);
		for (i = 0; i < 16; i++)
			CU_ASSERT_EQUAL(take(i % 2 == 0), 1000);
		CU_ASSERT_EQUAL(out(), 8);
		for (i = 0; i < 8; i++) {
			give_back((at + 2 * turn[i]) % N);
			CU_ASSERT_EQUAL(out(), 7 - i);
		}
	}
	CU_ASSERT_EQUAL(rig_xstat("tx_q0_bad_returns"), 0);
	down(0);
}

static void
test_order(void)
{
	order(0);
	order(RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE);
	order(RTE_ETH_TX_OFFLOAD_MULTI_SEGS);
}

/* A frame that came back before we have seen that its entry is done. */
static void
test_early(void)
{
	uint32_t i;

	up(0);
	CU_ASSERT_EQUAL(push(4), 4);
	take(true);
	CU_ASSERT_EQUAL(out(), 4);
	for (i = 0; i < 3; i++)
		take(true);
	/* Seen are the first ones only. */
	*rig.poll_tx.r.done = 2;
	give_back(0);
	give_back(3);
	CU_ASSERT_EQUAL(out(), 3);
	*rig.poll_tx.r.done = 4;
	CU_ASSERT_EQUAL(out(), 2);
	give_back(2);
	give_back(1);
	CU_ASSERT_EQUAL(out(), 0);
	CU_ASSERT_EQUAL(rig_xstat("tx_q0_bad_returns"), 0);
	down(0);
}

/* The ring comes round to entries that are out: they are passed, and nothing is lost. */
static void
test_round(void)
{
	uint32_t i, got = 0, empty = 0;
	int len;

	up(0);
	CU_ASSERT_EQUAL(push(N), N);
	for (i = 0; i < N; i++)
		take(i % 4 == 0);
	CU_ASSERT_EQUAL(out(), N / 4);
	CU_ASSERT_EQUAL(push(N), N - N / 4);
	CU_ASSERT_EQUAL(push(1), 0);
	while ((len = take(false)) >= 0) {
		got += len != 0;
		empty += len == 0;
	}
	CU_ASSERT_EQUAL(got, N - N / 4);
	CU_ASSERT_EQUAL(empty, N / 4);
	CU_ASSERT_EQUAL(out(), N / 4);
	for (i = 0; i < N; i += 4)
		give_back(i);
	CU_ASSERT_EQUAL(out(), 0);
	CU_ASSERT_EQUAL(push(N), N);
	down(0);
}

/* The peer dies while empty entries pass frames that are out: each is freed once. */
static void
test_round_lost(void)
{
	uint32_t i;

	up(0);
	CU_ASSERT_EQUAL(push(N), N);
	for (i = 0; i < N; i++)
		take(i % 4 == 0);
	CU_ASSERT_EQUAL(out(), N / 4);
	CU_ASSERT_EQUAL(push(N), N - N / 4);
	rig_lost();
	CU_ASSERT_EQUAL(rig_avail(pool), before);
	down(0);
}

/* Chains want entries that follow each other. */
static void
test_chains(void)
{
	struct rte_mbuf *c;
	uint32_t i, tries = 0;

	up(RTE_ETH_TX_OFFLOAD_MULTI_SEGS);
	CU_ASSERT_EQUAL(push(N), N);
	for (i = 0; i < N; i++)
		take(i == 3);
	CU_ASSERT_EQUAL(out(), 1);
	do {
		const uint32_t pos = rig.poll_tx.cur->inuse_head;
		uint32_t n = vbus_poll_south_count(&rig.poll_tx, N);

		memset(rig.poll_tx.r.kept, 0, N);
		vbus_poll_south_consume(&rig.poll_tx, n);
		c = rig_frame(pool, 100, 0);
		for (i = 1; i < 20; i++)
			rte_pktmbuf_chain(c, rig_frame(pool, 100, 0));
		if (rte_eth_tx_burst(rig.port, 0, &c, 1) == 1)
			break;
		rte_pktmbuf_free(c);
		CU_ASSERT_NOT_EQUAL(pos, rig.poll_tx.cur->inuse_head + 1);
	} while (++tries < 4);
	CU_ASSERT(tries < 4);
	give_back(3);
	CU_ASSERT_EQUAL(out(), 20);
	down(0);
}

/* South gives back what it has not, twice, or what is no entry; for ever. */
static void
test_hostile(void)
{
	uint32_t i;

	up(0);
	CU_ASSERT_EQUAL(push(8), 8);
	for (i = 0; i < 8; i++)
		take(i < 4);
	CU_ASSERT_EQUAL(out(), 4);
	give_back(6);
	give_back(40);
	give_back(N);
	give_back(0x7fffffff);
	give_back(2);
	give_back(2);
	CU_ASSERT_EQUAL(out(), 3);
	CU_ASSERT_EQUAL(rig_xstat("tx_q0_bad_returns"), 5);
	/* More than a lap at once, and marks of entries that carry nothing. */
	memset(rig.poll_tx.r.kept, 0xff, N);
	for (i = 0; i < 5; i++) {
		memset(rig.poll_tx.r.ret, i % 2 ? 0xff : 0x7f, 4 * N);
		push(N);
		*rig.poll_tx.r.done += N;
		out();
	}
	/* Wild words, then a clean end. */
	for (i = 0; i < 2000; i++) {
		rig.poll_tx.r.ret[i * 7 % N] = i * 2654435761u;
		rig.poll_tx.r.kept[i * 5 % N] = (uint8_t)(i >> 3);
		*rig.poll_tx.r.done += i % 9;
		push(i % 5);
		out();
	}
	rig_lost();
	down(0);
}

/* What is out when the link goes down. */
static void
test_end(void)
{
	uint32_t i;

	/* It comes back while north waits. */
	up(0);
	CU_ASSERT_EQUAL(push(8), 8);
	for (i = 0; i < 8; i++)
		take(i < 6);
	CU_ASSERT_EQUAL(out(), 6);
	for (i = 0; i < 6; i++)
		give_back(5 - i);
	push(4); /* that south never takes: the marks there are older */
	rig.poll_tx.r.kept[9] = 1;
	CU_ASSERT_EQUAL(rte_eth_dev_stop(rig.port), 0);
	CU_ASSERT_EQUAL(rig_xstat("tx_q0_kept_not_returned"), 0);
	CU_ASSERT_EQUAL(rte_eth_dev_start(rig.port), 0);
	rig_carrier(true);
	/* The peer is gone, and so are its pointers. */
	ret_pos = 0;
	CU_ASSERT_EQUAL(push(8), 8);
	for (i = 0; i < 8; i++)
		take(true);
	CU_ASSERT_EQUAL(out(), 8);
	rig_lost();
	CU_ASSERT_EQUAL(rig_avail(pool), before);
	rig_back();
	rig_carrier(true);
	ret_pos = 0;
	/* It does not come back: nobody uses the memory again. */
	CU_ASSERT_EQUAL(push(8), 8);
	for (i = 0; i < 8; i++)
		take(i < 3);
	CU_ASSERT_EQUAL(rte_eth_dev_stop(rig.port), 0);
	CU_ASSERT_EQUAL(rig_xstat("tx_q0_kept_not_returned"), 3);
	CU_ASSERT_EQUAL(rte_eth_dev_start(rig.port), 0);
	rig_carrier(true);
	CU_ASSERT_EQUAL(push(8), 8);
	down(3);
}

/* Copies in the port's own memory are out: the next session has other memory. */
static void
test_end_copied(void)
{
	const void *zone;
	struct rte_mbuf *c;

	up(0);
	zone = rig_block(RIG_POLL_TX)->va;
	c = rig_frame(pool, 1000, 1);
	m[0] = rte_pktmbuf_clone(c, pool); /* copied: an indirect one is not posted as it lies */
	CU_ASSERT_EQUAL(rte_eth_tx_burst(rig.port, 0, m, 1), 1);
	CU_ASSERT_EQUAL(rig_xstat("tx_q0_packets_copied"), 1);
	rte_pktmbuf_free(c);
	CU_ASSERT_EQUAL(take(true), 1000);
	CU_ASSERT_EQUAL(rte_eth_dev_stop(rig.port), 0);
	CU_ASSERT_EQUAL(rig_xstat("tx_q0_kept_not_returned"), 1);
	CU_ASSERT_EQUAL(rte_eth_dev_start(rig.port), 0);
	rig_carrier(true);
	CU_ASSERT_PTR_NOT_EQUAL(rig_block(RIG_POLL_TX)->va, zone);
	CU_ASSERT_EQUAL(push(8), 8);
	down(0);
}

int
main(void)
{
	static const struct cu_test tests[] = {
		{"out of order, over laps", test_order},
		{"back before it is done", test_early},
		{"the ring comes round", test_round},
		{"the peer dies while they are passed", test_round_lost},
		{"chains between entries that are out", test_chains},
		{"a south that lies", test_hostile},
		{"ends with frames out", test_end},
		{"ends with copies out", test_end_copied},
		{NULL, NULL},
	};

	return cu_run("north: kept frames", tests, init, NULL);
}
