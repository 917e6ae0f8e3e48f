/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * The north end of the PMD through ethdev, against a bus and a south that are played (north_rig.h):
 * a port's life, interrupts, descriptor status. One thread drives everything;
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
	pool = rig_eal_pool();
	return pool == NULL;
}

static bool
link_is_up(void)
{
	struct rte_eth_link link;

	rte_eth_link_get_nowait(rig.port, &link);
	return link.link_status == RTE_ETH_LINK_UP;
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
	CU_ASSERT_EQUAL(rig_xstat("tx_q0_signals_sent"), 2);
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
		{"signals to south", test_signals},
		{"receive interrupt", test_rx_interrupt},
		{"descriptor status, counts", test_descriptors},
		{"queue stop and start", test_queue_stop},
		{NULL, NULL},
	};

	return cu_run("north", tests, init, NULL);
}
