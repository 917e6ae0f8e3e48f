/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * The north end of the PMD through ethdev, against a bus and a south that are played (north_rig.h):
 * a port's life, linear bursts, copies, interrupts, descriptor status. One thread drives everything;
 * only link events pass through the library's worker.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <rte_malloc.h>

#include "../core/cu_run.h"
#include "north_rig.h"
#include "vbus_ctl.h"

static struct rte_mempool *pool;
static int nb_lsc, nb_rmv;

static int
on_event(uint16_t port, enum rte_eth_event_type type, void *arg, void *ret)
{
	(void)port;
	(void)arg;
	(void)ret;
	nb_lsc += type == RTE_ETH_EVENT_INTR_LSC;
	nb_rmv += type == RTE_ETH_EVENT_INTR_RMV;
	return 0;
}

static int
init(void)
{
	if (rig_eal_init() != 0)
		return 1;
	pool = rte_pktmbuf_pool_create(
		"main", 1023, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	return pool == NULL;
}

static bool
link_is_up(void)
{
	struct rte_eth_link link;

	rte_eth_link_get_nowait(rig.port, &link);
	return link.link_status == RTE_ETH_LINK_UP;
}

static uint64_t
xstat(const char *name)
{
	uint64_t id, value = 0;

	CU_ASSERT_EQUAL(rte_eth_xstats_get_id_by_name(rig.port, name, &id), 0);
	CU_ASSERT_EQUAL(rte_eth_xstats_get_by_id(rig.port, &id, &value, 1), 1);
	return value;
}

/* ---- life ------------------------------------------------------------------------------------------ */

static void
test_probe(void)
{
	struct rte_eth_dev_info info;
	struct rte_ether_addr mac;

	rig_probe();
	CU_ASSERT_EQUAL(rte_eth_macaddr_get(rig.port, &mac), 0);
	CU_ASSERT_EQUAL(mac.addr_bytes[5], 7);
	CU_ASSERT_EQUAL(rte_eth_dev_info_get(rig.port, &info), 0);
	CU_ASSERT_STRING_EQUAL(info.driver_name, "net_vbus");
	CU_ASSERT_EQUAL(info.max_mtu, 9600);
	CU_ASSERT_TRUE(info.tx_offload_capa & RTE_ETH_TX_OFFLOAD_TCP_TSO);
	CU_ASSERT_TRUE(info.rx_offload_capa & RTE_ETH_RX_OFFLOAD_TCP_LRO);
	CU_ASSERT_FALSE(link_is_up());
	CU_ASSERT_EQUAL(rte_eth_promiscuous_enable(rig.port), 0);
	rig_remove();
}

static void
test_start_stop_many(void)
{
	unsigned int before = rig_avail(pool);

	rig_probe();
	for (int i = 0; i < 20; i++) {
		CU_ASSERT_EQUAL(rig_start(pool, i % 2 ? 64 : 300, 0, 0, 1500), 0);
		CU_ASSERT_TRUE(link_is_up());
		CU_ASSERT_EQUAL(before - rig_avail(pool), i % 2 ? 64 : 300);
		CU_ASSERT_EQUAL(rte_eth_dev_stop(rig.port), 0);
		CU_ASSERT_FALSE(link_is_up());
		CU_ASSERT_EQUAL(rig_avail(pool), before);
		CU_ASSERT_FALSE(rig.open);
	}
	CU_ASSERT_EQUAL(rig.nb_linkup, 20);
	CU_ASSERT_EQUAL(rig.nb_linkdown, 20);
	/* Without an offload nothing is asked for but link events. */
	CU_ASSERT_EQUAL(rig.granted[0], 0);
	CU_ASSERT_EQUAL(rig.granted[2], 0);
	rig_remove();
	CU_ASSERT_EQUAL(rig_avail(pool), before);
}

static void
test_remove_started(void)
{
	unsigned int before = rig_avail(pool);

	rig_probe();
	CU_ASSERT_EQUAL(rig_start(pool, 128, 0, 0, 1500), 0);
	rte_eth_dev_callback_register(rig.port, RTE_ETH_EVENT_INTR_RMV, on_event, NULL);
	nb_rmv = 0;
	rig.drv->dropped(&rig.vdev);
	CU_ASSERT_EQUAL(nb_rmv, 1);
	CU_ASSERT_EQUAL(rte_eth_dev_is_removed(rig.port), 1);
	CU_ASSERT_FALSE(link_is_up());
	CU_ASSERT_EQUAL(rig_avail(pool), before);
	rig_remove();
}

static void
test_refusals(void)
{
	static const int funcs[] = {VENET_FUNC_LINKUP, VENET_FUNC_NEGCAP, VENET_FUNC_EVQQUERY};
	unsigned int before = rig_avail(pool);

	rig_probe();
	for (size_t i = 0; i < RTE_DIM(funcs); i++) {
		rig.fail_func = funcs[i];
		CU_ASSERT_EQUAL(rig_start(pool, 128, 0, 0, 1500), -EINVAL);
		CU_ASSERT_EQUAL(rig_avail(pool), before);
		CU_ASSERT_FALSE(rig.open);
	}
	rig.fail_func = -1;
	CU_ASSERT_EQUAL(rig_start(pool, 128, 0, 0, 1500), 0);
	CU_ASSERT_TRUE(link_is_up());
	rig_remove();
	CU_ASSERT_EQUAL(rig_avail(pool), before);
}

/* DECISIONS 13 and 14: the port stays, started or not, whatever the peer does. */
static void
test_lost_back(void)
{
	unsigned int before = rig_avail(pool);
	struct rte_mbuf *m[4];
	uint8_t buf[2048];

	rig_probe();
	rig.vdev.present = false;
	CU_ASSERT_EQUAL(rig_start(pool, 128, 0, 0, 1500), 0); /* the peer is absent */
	CU_ASSERT_FALSE(link_is_up());
	CU_ASSERT_EQUAL(rte_eth_rx_burst(rig.port, 0, m, 4), 0);
	rte_eth_dev_callback_register(rig.port, RTE_ETH_EVENT_INTR_LSC, on_event, NULL);
	nb_lsc = 0;
	for (int i = 0; i < 50; i++) {
		rig_back();
		CU_ASSERT_TRUE(link_is_up());
		CU_ASSERT_EQUAL(nb_lsc, 2 * i + 1);
		CU_ASSERT_TRUE(rig_give(100, 1));
		CU_ASSERT_EQUAL(rte_eth_rx_burst(rig.port, 0, m, 4), 1);
		m[1] = rig_frame(pool, 64, 9);
		CU_ASSERT_EQUAL(rte_eth_tx_burst(rig.port, 0, m, 2), 2);
		if (i % 2)
			CU_ASSERT_EQUAL(rig_take(buf, sizeof(buf)), 100);
		rig_lost(); /* frames lie in both rings */
		CU_ASSERT_FALSE(link_is_up());
		CU_ASSERT_EQUAL(nb_lsc, 2 * i + 2);
		CU_ASSERT_EQUAL(rig_avail(pool), before);
		m[0] = rig_frame(pool, 64, 9);
		CU_ASSERT_EQUAL(rte_eth_tx_burst(rig.port, 0, m, 1), 0); /* kept, not dropped */
		rte_pktmbuf_free(m[0]);
	}
	rig_remove();
	CU_ASSERT_EQUAL(rig_avail(pool), before);
}

/* A peer that is there but slow is tried again without another event of the bus. */
static void
test_retry(void)
{
	rig_probe();
	rig.open_error = -ETIMEDOUT;
	CU_ASSERT_EQUAL(rig_start(pool, 128, 0, 0, 1500), 0);
	CU_ASSERT_FALSE(rig.up);
	rig.open_error = 0;
	for (int i = 0; i < 2000 && !rig.up; i++)
		usleep(1000);
	CU_ASSERT_TRUE(rig.up);
	vbus_ctl_job_flush();
	rig_carrier(true);
	CU_ASSERT_TRUE(link_is_up());
	rig_remove();
}

static void
test_carrier(void)
{
	struct rte_mbuf *m;

	rig_probe();
	CU_ASSERT_EQUAL(rig_start(pool, 128, 0, 0, 1500), 0);
	m = rig_frame(pool, 64, 1);
	for (int i = 0; i < 300; i++) { /* more than the event ring has */
		rig_carrier(false);
		CU_ASSERT_FALSE(link_is_up());
		CU_ASSERT_EQUAL(rte_eth_tx_burst(rig.port, 0, &m, 1), 0);
		rig_carrier(true);
		CU_ASSERT_TRUE(link_is_up());
	}
	CU_ASSERT_EQUAL(rte_eth_tx_burst(rig.port, 0, &m, 1), 1);
	rig_remove();
}

static void
test_mtu(void)
{
	unsigned int before = rig_avail(pool);

	rig_probe();
	CU_ASSERT_EQUAL(rig_start(pool, 128, 0, 0, 1500), 0);
	CU_ASSERT_TRUE(rig_give(1518, 1));
	CU_ASSERT_EQUAL(rte_eth_dev_set_mtu(rig.port, 600), 0);
	rig_carrier(true);
	CU_ASSERT_EQUAL(rig.rx_pool, NULL);
	CU_ASSERT_EQUAL(rig.nb_linkup, 2);
	CU_ASSERT_EQUAL(rte_eth_dev_set_mtu(rig.port, 9600), 0); /* more than an mbuf: scattered */
	CU_ASSERT_PTR_NOT_NULL(rig.rx_pool);
	CU_ASSERT_EQUAL(rte_eth_dev_set_mtu(rig.port, 9601), -EINVAL);
	rig.l4ro = 0; /* a south that does not scatter: copied */
	CU_ASSERT_EQUAL(rte_eth_dev_set_mtu(rig.port, 9000), 0);
	CU_ASSERT_PTR_NULL(rig.rx_pool);
	rig_carrier(true);
	for (int i = 0; i < 300; i++) {
		struct rte_mbuf *m;

		CU_ASSERT_TRUE(rig_give(9014, (uint8_t)i));
		CU_ASSERT_EQUAL_FATAL(rte_eth_rx_burst(rig.port, 0, &m, 1), 1);
		CU_ASSERT_EQUAL(m->pkt_len, 9014);
		CU_ASSERT_EQUAL(m->nb_segs, 5);
		CU_ASSERT_EQUAL(*rte_pktmbuf_mtod(rte_pktmbuf_lastseg(m), uint8_t *), (uint8_t)i);
		rte_pktmbuf_free(m);
	}
	rig_remove();
	CU_ASSERT_EQUAL(rig_avail(pool), before);
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
	CU_ASSERT_EQUAL(xstat("rx_q0_packets"), 5000);
	CU_ASSERT_EQUAL(rte_eth_stats_reset(rig.port), 0);
	CU_ASSERT_EQUAL(xstat("rx_q0_packets"), 0);
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
	CU_ASSERT_EQUAL(xstat("rx_q0_drop_bad_length"), 240);
	CU_ASSERT_EQUAL(xstat("rx_q0_buffers_returned_empty"), 40);
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
	CU_ASSERT_TRUE(xstat("rx_q0_refill_no_mbuf") > 0);
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
	CU_ASSERT_EQUAL(xstat("rx_q0_packets_copied"), 200);
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
	CU_ASSERT_EQUAL(xstat("tx_q0_packets"), 5000);
	CU_ASSERT_EQUAL(xstat("tx_q0_packets_copied"), 0);
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
	CU_ASSERT_TRUE(xstat("tx_q0_ring_full") >= 2);
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
	CU_ASSERT_EQUAL(xstat("tx_q0_packets_copied"), 1200);
	/* A pool that comes later and is visible is not copied; one that goes is forgotten. */
	rte_mempool_free(other);
	rig.hidden_hi = 0;
	other = rte_pktmbuf_pool_create("other", 63, 0, 0, 2176, SOCKET_ID_ANY);
	m[0] = rig_frame(other, 700, 5);
	CU_ASSERT_EQUAL(rte_eth_tx_burst(rig.port, 0, m, 1), 1);
	CU_ASSERT_EQUAL(xstat("tx_q0_packets_copied"), 1200);
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
	CU_ASSERT_EQUAL(xstat("tx_q0_copy_buffers_used_up"), 3);
	m = rig_frame(pool, 2000, 1); /* larger than a copy can be: dropped with a reason */
	CU_ASSERT_EQUAL(rte_eth_tx_burst(rig.port, 0, &m, 1), 1);
	CU_ASSERT_EQUAL(xstat("tx_q0_drop_too_large_to_copy"), 1);
	rig_remove();
	CU_ASSERT_EQUAL(rig_avail(pool), before);
}

/* ---- the rest -------------------------------------------------------------------------------------- */

static void
test_signals(void)
{
	struct rte_mbuf *m;
	uint8_t buf[2048];
	uint32_t before;

	rig_probe();
	CU_ASSERT_EQUAL(rig_start(pool, 64, 0, 0, 1500), 0);
	before = rig.nb_signals;
	m = rig_frame(pool, 64, 1);
	CU_ASSERT_EQUAL(rte_eth_tx_burst(rig.port, 0, &m, 1), 1);
	CU_ASSERT_EQUAL(rig.nb_signals, before); /* a south that polls */
	rig_take(buf, sizeof(buf));
	CU_ASSERT_FALSE(vbus_signal_enable(&rig.tx_sig));
	for (int i = 0; i < 2; i++) {
		m = rig_frame(pool, 64, 1);
		CU_ASSERT_EQUAL(rte_eth_tx_burst(rig.port, 0, &m, 1), 1);
		CU_ASSERT_EQUAL(rig.nb_signals, before + 1); /* once until it is taken */
	}
	vbus_signal_take(&rig.tx_sig);
	m = rig_frame(pool, 64, 1);
	CU_ASSERT_EQUAL(rte_eth_tx_burst(rig.port, 0, &m, 1), 1);
	CU_ASSERT_EQUAL(rig.nb_signals, before + 2);
	CU_ASSERT_EQUAL(xstat("tx_q0_signals_sent"), 2);
	rig_remove();
}

static bool
woken(void)
{
	uint64_t n;
	int fd = rte_eth_dev_rx_intr_ctl_q_get_fd(rig.port, 0);

	CU_ASSERT_TRUE(fd >= 0);
	return read(fd, &n, sizeof(n)) == sizeof(n);
}

static void
south_signals(void)
{
	struct rte_vbus_shm *shm = rig_block(VENET_QUEUE_RX);

	if (!vbus_signal_inject(&rig.rx_sig))
		return;
	vbus_ctl_lock();
	shm->notify(shm);
	vbus_ctl_unlock();
}

static void
test_rx_interrupt(void)
{
	struct rte_mbuf *m;
	int fd;

	rig_probe();
	CU_ASSERT_EQUAL(rig_start(pool, 64, 0, 0, 1500), 0);
	fd = rte_eth_dev_rx_intr_ctl_q_get_fd(rig.port, 0);
	CU_ASSERT_TRUE(rig_give(64, 1));
	south_signals();
	CU_ASSERT_FALSE(woken()); /* not asked for */
	CU_ASSERT_EQUAL(rte_eth_dev_rx_intr_enable(rig.port, 0), 0);
	CU_ASSERT_TRUE(woken()); /* a frame is there already */
	for (int i = 0; i < 3; i++) {
		CU_ASSERT_EQUAL(rte_eth_dev_rx_intr_disable(rig.port, 0), 0);
		CU_ASSERT_EQUAL(rte_eth_rx_burst(rig.port, 0, &m, 1), 1);
		rte_pktmbuf_free(m);
		CU_ASSERT_EQUAL(rte_eth_dev_rx_intr_enable(rig.port, 0), 0);
		CU_ASSERT_FALSE(woken());
		CU_ASSERT_TRUE(rig_give(64, 1));
		south_signals();
		CU_ASSERT_TRUE(woken());
	}
	/* The peer restarts while the application sleeps. */
	rig_lost();
	rig_back();
	CU_ASSERT_EQUAL(fd, rte_eth_dev_rx_intr_ctl_q_get_fd(rig.port, 0));
	woken();
	CU_ASSERT_TRUE(rig_give(64, 1));
	south_signals();
	CU_ASSERT_TRUE(woken());
	rig_remove();
}

static void
test_descriptors(void)
{
	struct rte_power_monitor_cond cond = {0};
	struct rte_mbuf *m[8];
	uint8_t buf[2048];

	rig_probe();
	CU_ASSERT_EQUAL(rig_start(pool, 64, 0, 0, 1500), 0);
	CU_ASSERT_EQUAL(rte_eth_rx_queue_count(rig.port, 0), 0);
	CU_ASSERT_EQUAL(rte_eth_rx_descriptor_status(rig.port, 0, 0), RTE_ETH_RX_DESC_AVAIL);
	CU_ASSERT_EQUAL(rte_eth_rx_descriptor_status(rig.port, 0, 64), -EINVAL);
	CU_ASSERT_EQUAL(rte_eth_get_monitor_addr(rig.port, 0, &cond), 0);
	CU_ASSERT_EQUAL(cond.fn(*(volatile uint8_t *)cond.addr, cond.opaque), 0);
	for (int i = 0; i < 3; i++)
		CU_ASSERT_TRUE(rig_give(64, 1));
	CU_ASSERT_EQUAL(cond.fn(*(volatile uint8_t *)cond.addr, cond.opaque), -1);
	CU_ASSERT_EQUAL(rte_eth_rx_queue_count(rig.port, 0), 3);
	CU_ASSERT_EQUAL(rte_eth_rx_descriptor_status(rig.port, 0, 2), RTE_ETH_RX_DESC_DONE);
	CU_ASSERT_EQUAL(rte_eth_rx_descriptor_status(rig.port, 0, 3), RTE_ETH_RX_DESC_AVAIL);
	for (int i = 0; i < 5; i++)
		m[i] = rig_frame(pool, 64, 1);
	CU_ASSERT_EQUAL(rte_eth_tx_burst(rig.port, 0, m, 5), 5);
	CU_ASSERT_EQUAL(rte_eth_tx_descriptor_status(rig.port, 0, 0), RTE_ETH_TX_DESC_DONE);
	CU_ASSERT_EQUAL(rte_eth_tx_descriptor_status(rig.port, 0, 58), RTE_ETH_TX_DESC_DONE);
	CU_ASSERT_EQUAL(rte_eth_tx_descriptor_status(rig.port, 0, 59), RTE_ETH_TX_DESC_FULL);
	rig_take(buf, sizeof(buf));
	CU_ASSERT_EQUAL(rte_eth_tx_descriptor_status(rig.port, 0, 59), RTE_ETH_TX_DESC_DONE);
	CU_ASSERT_EQUAL(rte_eth_tx_descriptor_status(rig.port, 0, 60), RTE_ETH_TX_DESC_FULL);
	rig_lost();
	CU_ASSERT_EQUAL(rte_eth_rx_queue_count(rig.port, 0), 0);
	CU_ASSERT_EQUAL(rte_eth_rx_descriptor_status(rig.port, 0, 0), RTE_ETH_RX_DESC_UNAVAIL);
	CU_ASSERT_TRUE(rte_eth_get_monitor_addr(rig.port, 0, &cond) < 0);
	rig_remove();
}

static void
test_queue_stop(void)
{
	unsigned int before = rig_avail(pool);
	struct rte_mbuf *m;
	uint8_t buf[2048];

	rig_probe();
	CU_ASSERT_EQUAL(rig_start(pool, 64, 0, 0, 1500), 0);
	CU_ASSERT_EQUAL(rte_eth_dev_rx_queue_stop(rig.port, 0), 0);
	CU_ASSERT_EQUAL(rte_eth_dev_tx_queue_stop(rig.port, 0), 0);
	CU_ASSERT_TRUE(rig_give(64, 1));
	CU_ASSERT_EQUAL(rte_eth_rx_burst(rig.port, 0, &m, 1), 0);
	m = rig_frame(pool, 64, 1);
	CU_ASSERT_EQUAL(rte_eth_tx_burst(rig.port, 0, &m, 1), 0);
	CU_ASSERT_EQUAL(rte_eth_dev_tx_queue_start(rig.port, 0), 0);
	CU_ASSERT_EQUAL(rte_eth_tx_burst(rig.port, 0, &m, 1), 1);
	CU_ASSERT_EQUAL(rig_take(buf, sizeof(buf)), 64);
	CU_ASSERT_EQUAL(rte_eth_dev_rx_queue_start(rig.port, 0), 0);
	CU_ASSERT_EQUAL(rte_eth_rx_burst(rig.port, 0, &m, 1), 1);
	rte_pktmbuf_free(m);
	rig_remove();
	CU_ASSERT_EQUAL(rig_avail(pool), before);
}

int
main(void)
{
	static const struct cu_test tests[] = {
		{"probe: answers of a fresh port", test_probe},
		{"start, stop, again and again", test_start_stop_many},
		{"dropped and removed while started", test_remove_started},
		{"a south that refuses", test_refusals},
		{"peer absent, lost, back", test_lost_back},
		{"peer slow: tried again", test_retry},
		{"carrier by LINKSTATE", test_carrier},
		{"MTU while started", test_mtu},
		{"receive: linear", test_rx_linear},
		{"receive: impossible lengths", test_rx_bad},
		{"receive: pool runs dry", test_rx_nombuf},
		{"receive: invisible pool", test_rx_invisible_pool},
		{"transmit: linear", test_tx_linear},
		{"transmit: fast free", test_tx_fast_free},
		{"transmit: ring full", test_tx_full},
		{"transmit: copied", test_tx_copied},
		{"transmit: copy slots used up", test_tx_copied_full},
		{"signals to south", test_signals},
		{"receive interrupt", test_rx_interrupt},
		{"descriptor status, counts", test_descriptors},
		{"queue stop and start", test_queue_stop},
		{NULL, NULL},
	};

	return cu_run("north", tests, init, NULL);
}
