/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * The north end of the PMD through ethdev, as test_north.c: linear frames, both ways, with and without copies.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <rte_malloc.h>

#include "../core/cu_run.h"
#include "north_rig.h"
#include "vbus_ctl.h"

static struct rte_mempool *pool;

static int
init(void)
{
	pool = rig_eal_pool();
	return pool == NULL;
}

/* ---- receive --------------------------------------------------------------------------------------- */

static void
test_rx_linear(void)
{
	unsigned int before = rig_avail(pool);
	struct rte_mbuf *m[64];
	uint32_t given = 0, taken = 0;

	rig_probe();
	CU_ASSERT_EQUAL(rig_start(pool, 77, 0, 0, 1500), 0); /* no power of two */
	while (taken < 5000) {
		uint32_t want = given * 7 % 61 + 1, n;

		for (n = 0; n < want && given < 5000 && rig_give(60 + given % 1400, (uint8_t)given);
			n++)
			given++;
		n = rte_eth_rx_burst(rig.port, 0, m, (uint16_t)(want % 50 + 1));
		for (uint32_t i = 0; i < n; i++, taken++) {
			CU_ASSERT_EQUAL(m[i]->pkt_len, 60 + taken % 1400);
			CU_ASSERT_EQUAL(m[i]->data_len, m[i]->pkt_len);
			CU_ASSERT_EQUAL(m[i]->port, rig.port);
			CU_ASSERT_EQUAL(m[i]->ol_flags, 0);
			CU_ASSERT_EQUAL(*rte_pktmbuf_mtod(m[i], uint8_t *), (uint8_t)taken);
			rte_mbuf_sanity_check(m[i], 1);
			rte_pktmbuf_free(m[i]);
		}
	}
	CU_ASSERT_EQUAL(rig_xstat("rx_q0_packets"), 5000);
	CU_ASSERT_EQUAL(rte_eth_stats_reset(rig.port), 0);
	CU_ASSERT_EQUAL(rig_xstat("rx_q0_packets"), 0);
	rig_remove();
	CU_ASSERT_EQUAL(rig_avail(pool), before);
}

/* Lengths that cannot be: counted, nothing delivered, nothing lost. */
static void
test_rx_bad(void)
{
	static const uint64_t lens[] = {0, 1, 13, 1519, 65536, UINT64_MAX, UINT64_MAX - 13};
	unsigned int before = rig_avail(pool);
	struct vbus_ioq_entry e = {0};
	struct rte_mbuf *m[8];

	rig_probe();
	CU_ASSERT_EQUAL(rig_start(pool, 64, 0, 0, 1500), 0);
	for (int round = 0; round < 40; round++) {
		for (size_t i = 0; i < RTE_DIM(lens); i++) {
			CU_ASSERT_EQUAL_FATAL(vbus_ioq_south_produce_peek(&rig.rx, &e, 1), 1);
			e.len = lens[i];
			vbus_ioq_south_produce_push(&rig.rx, &e, 1);
		}
		CU_ASSERT_TRUE(rig_give(1518, 3));
		CU_ASSERT_EQUAL(rte_eth_rx_burst(rig.port, 0, m, 8), 1);
		CU_ASSERT_EQUAL(m[0]->pkt_len, 1518);
		rte_pktmbuf_free(m[0]);
	}
	CU_ASSERT_EQUAL(rig_xstat("rx_q0_drop_bad_length"), 240);
	CU_ASSERT_EQUAL(rig_xstat("rx_q0_buffers_returned_empty"), 40);
	rig_remove();
	CU_ASSERT_EQUAL(rig_avail(pool), before);
}

/* The pool runs dry: frames are delivered, entries stay empty and are filled later. */
static void
test_rx_nombuf(void)
{
	unsigned int before = rig_avail(pool);
	struct rte_mbuf *all[1024], *m[64];
	unsigned int n = 0, got;

	rig_probe();
	CU_ASSERT_EQUAL(rig_start(pool, 64, 0, 0, 1500), 0);
	while ((all[n] = rte_pktmbuf_alloc(pool)) != NULL)
		n++;
	for (int i = 0; i < 64; i++)
		CU_ASSERT_TRUE(rig_give(64, (uint8_t)i));
	got = rte_eth_rx_burst(rig.port, 0, m, 64);
	CU_ASSERT_EQUAL(got, 64);
	CU_ASSERT_FALSE(rig_give(64, 1)); /* no buffer is out */
	CU_ASSERT_TRUE(rig_xstat("rx_q0_refill_no_mbuf") > 0);
	rte_pktmbuf_free_bulk(m, 5);
	CU_ASSERT_EQUAL(rte_eth_rx_burst(rig.port, 0, m, 5), 0);
	CU_ASSERT_TRUE(rig_give(64, 1)); /* the few that came back are out */
	rte_pktmbuf_free_bulk(m + 5, 59);
	rte_pktmbuf_free_bulk(all, n);
	CU_ASSERT_EQUAL(rte_eth_rx_burst(rig.port, 0, m, 64), 1);
	rte_pktmbuf_free(m[0]);
	rte_eth_rx_burst(rig.port, 0, m, 64);
	CU_ASSERT_EQUAL(before - rig_avail(pool), 64);
	rig_remove();
	CU_ASSERT_EQUAL(rig_avail(pool), before);
}

static void
test_rx_invisible_pool(void)
{
	unsigned int before = rig_avail(pool);
	struct rte_mbuf *m[4];

	rig_probe();
	rig.hide_all = true;
	CU_ASSERT_EQUAL(rig_start(pool, 64, RTE_ETH_RX_OFFLOAD_SCATTER, 0, 1500), 0);
	CU_ASSERT_EQUAL(rig_avail(pool), before); /* nothing of it is posted */
	for (int i = 0; i < 200; i++) {
		CU_ASSERT_TRUE(rig_give(500, (uint8_t)i));
		CU_ASSERT_EQUAL_FATAL(rte_eth_rx_burst(rig.port, 0, m, 4), 1);
		CU_ASSERT_EQUAL(*rte_pktmbuf_mtod_offset(m[0], uint8_t *, 499), (uint8_t)i);
		rte_pktmbuf_free(m[0]);
	}
	CU_ASSERT_EQUAL(rig_xstat("rx_q0_packets_copied"), 200);
	rig_remove();
	CU_ASSERT_EQUAL(rig_avail(pool), before);
}

/* ---- transmit -------------------------------------------------------------------------------------- */

static void
test_tx(uint64_t offloads)
{
	unsigned int before = rig_avail(pool);
	uint32_t sent = 0, taken = 0;
	uint8_t buf[2048];

	rig_probe();
	CU_ASSERT_EQUAL(rig_start(pool, 100, 0, offloads, 1500), 0);
	while (taken < 5000) {
		uint32_t want = (sent * 5 + taken) % 70 + 1;

		for (uint32_t i = 0; i < want && sent < 5000; i++) {
			struct rte_mbuf *m = rig_frame(pool, 60 + sent % 1400, (uint8_t)sent);

			if (rte_eth_tx_burst(rig.port, 0, &m, 1) == 0) {
				rte_pktmbuf_free(m);
				break;
			}
			sent++;
		}
		for (uint32_t i = 0; i < want / 2 + 1 && taken < sent; i++, taken++) {
			CU_ASSERT_EQUAL(rig_take(buf, sizeof(buf)), 60 + taken % 1400);
			CU_ASSERT_EQUAL(buf[59], (uint8_t)taken);
		}
	}
	CU_ASSERT_EQUAL(rte_eth_tx_done_cleanup(rig.port, 0, 0) > 0, 1);
	CU_ASSERT_EQUAL(before - rig_avail(pool), 100); /* the posted receive buffers */
	CU_ASSERT_EQUAL(rig_xstat("tx_q0_packets"), 5000);
	CU_ASSERT_EQUAL(rig_xstat("tx_q0_packets_copied"), 0);
	rig_remove();
	CU_ASSERT_EQUAL(rig_avail(pool), before);
}

static void
test_tx_linear(void)
{
	test_tx(0);
}

static void
test_tx_fast_free(void)
{
	test_tx(RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE);
}

static void
test_tx_full(void)
{
	unsigned int before = rig_avail(pool);
	struct rte_mbuf *m[200];
	uint8_t buf[2048];

	rig_probe();
	CU_ASSERT_EQUAL(rig_start(pool, 64, 0, 0, 1500), 0);
	for (int i = 0; i < 200; i++)
		m[i] = rig_frame(pool, 64, (uint8_t)i);
	CU_ASSERT_EQUAL(rte_eth_tx_burst(rig.port, 0, m, 200), 64);
	CU_ASSERT_EQUAL(rte_eth_tx_burst(rig.port, 0, m + 64, 136), 0);
	CU_ASSERT_EQUAL(rig_take(buf, sizeof(buf)), 64);
	CU_ASSERT_EQUAL(rte_eth_tx_burst(rig.port, 0, m + 64, 136), 1);
	rte_pktmbuf_free_bulk(m + 65, 135);
	CU_ASSERT_TRUE(rig_xstat("tx_q0_ring_full") >= 2);
	rig_remove();
	CU_ASSERT_EQUAL(rig_avail(pool), before);
}

static void
ext_freed(void *addr, void *opaque)
{
	(void)addr;
	(*(int *)opaque)++;
}

/* What the peer cannot see or cannot take as it is: copied, the mbuf is free at once. */
static void
test_tx_copied(void)
{
	unsigned int before = rig_avail(pool);
	struct rte_mbuf_ext_shared_info info = {.free_cb = ext_freed};
	struct rte_mempool *other;
	static uint8_t ext[4096];
	struct rte_mbuf *m[3];
	uint8_t buf[2048];
	int nb_freed = 0;

	rig_probe();
	CU_ASSERT_EQUAL(rig_start(pool, 64, 0, 0, 1500), 0);
	rig.hidden_lo = 0;
	rig.hidden_hi = UINTPTR_MAX; /* the next pool */
	other = rte_pktmbuf_pool_create("other", 63, 0, 0, 2176, SOCKET_ID_ANY);
	CU_ASSERT_PTR_NOT_NULL_FATAL(other);
	info.fcb_opaque = &nb_freed;
	for (int i = 0; i < 400; i++) {
		m[0] = rig_frame(other, 700, (uint8_t)i);
		m[1] = rig_frame(pool, 300, (uint8_t)i); /* two segments */
		m[1]->next = rig_frame(pool, 400, (uint8_t)(i + 1));
		m[1]->nb_segs = 2;
		m[1]->pkt_len = 700;
		m[2] = rte_pktmbuf_alloc(pool);
		rte_mbuf_ext_refcnt_set(&info, 1);
		rte_pktmbuf_attach_extbuf(m[2], ext, 0, sizeof(ext), &info);
		memset(rte_pktmbuf_append(m[2], 700), i, 700);
		CU_ASSERT_EQUAL(rte_eth_tx_burst(rig.port, 0, m, 3), 3);
		CU_ASSERT_EQUAL(rig_avail(other), 63);
		CU_ASSERT_EQUAL(nb_freed, i + 1);
		CU_ASSERT_EQUAL(rig_take(buf, sizeof(buf)), 700);
		CU_ASSERT_EQUAL(buf[699], (uint8_t)i);
		CU_ASSERT_EQUAL(rig_take(buf, sizeof(buf)), 700);
		CU_ASSERT_EQUAL(buf[299], (uint8_t)i);
		CU_ASSERT_EQUAL(buf[300], (uint8_t)(i + 1));
		CU_ASSERT_EQUAL(rig_take(buf, sizeof(buf)), 700);
		CU_ASSERT_EQUAL(buf[0], (uint8_t)i);
	}
	CU_ASSERT_EQUAL(rig_xstat("tx_q0_packets_copied"), 1200);
	/* A pool that comes later and is visible is not copied; one that goes is forgotten. */
	rte_mempool_free(other);
	rig.hidden_hi = 0;
	other = rte_pktmbuf_pool_create("other", 63, 0, 0, 2176, SOCKET_ID_ANY);
	m[0] = rig_frame(other, 700, 5);
	CU_ASSERT_EQUAL(rte_eth_tx_burst(rig.port, 0, m, 1), 1);
	CU_ASSERT_EQUAL(rig_xstat("tx_q0_packets_copied"), 1200);
	CU_ASSERT_EQUAL(rig_take(buf, sizeof(buf)), 700);
	rig_remove();
	CU_ASSERT_EQUAL(rig_avail(other), 63);
	rte_mempool_free(other);
	CU_ASSERT_EQUAL(rig_avail(pool), before);
}

static void
test_tx_copied_full(void)
{
	unsigned int before = rig_avail(pool);
	struct rte_mbuf *m;
	uint8_t buf[2048];
	int sent = 0;

	rig_probe();
	rig.hide_all = true;
	CU_ASSERT_EQUAL(rig_start(pool, 512, 0, RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE, 1500), 0);
	for (int round = 0; round < 3; round++) {
		for (;; sent++) {
			m = rig_frame(pool, 64, (uint8_t)sent);
			if (rte_eth_tx_burst(rig.port, 0, &m, 1) == 0)
				break;
		}
		rte_pktmbuf_free(m);
		while (rig_take(buf, sizeof(buf)) != 0)
			;
	}
	CU_ASSERT_EQUAL(sent, 3 * 256);
	CU_ASSERT_EQUAL(rig_xstat("tx_q0_copy_buffers_used_up"), 3);
	m = rig_frame(pool, 2000, 1); /* larger than a copy can be: dropped with a reason */
	CU_ASSERT_EQUAL(rte_eth_tx_burst(rig.port, 0, &m, 1), 1);
	CU_ASSERT_EQUAL(rig_xstat("tx_q0_drop_too_large_to_copy"), 1);
	rig_remove();
	CU_ASSERT_EQUAL(rig_avail(pool), before);
}

int
main(void)
{
	static const struct cu_test tests[] = {
		{"receive: linear", test_rx_linear},
		{"receive: impossible lengths", test_rx_bad},
		{"receive: pool runs dry", test_rx_nombuf},
		{"receive: invisible pool", test_rx_invisible_pool},
		{"transmit: linear", test_tx_linear},
		{"transmit: fast free", test_tx_fast_free},
		{"transmit: ring full", test_tx_full},
		{"transmit: copied", test_tx_copied},
		{"transmit: copy slots used up", test_tx_copied_full},
		{NULL, NULL},
	};

	return cu_run("north_linear", tests, init, NULL);
}
