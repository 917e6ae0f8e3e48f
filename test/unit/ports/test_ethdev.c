/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * What ethdev promises, asked of both ends of a link. Every test is run with each end as the one
 * under test; the other end is its peer.
 *
 * Threads: see pmd_rig.c. Argument: the folder of the plugins.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <CUnit/Basic.h>
#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_interrupts.h>

#include "pmd_rig.h"

/* Run body once with each end as `port`, the other as `peer`. */
#define BOTH_ENDS(port, peer)                                                                     \
	for (uint16_t ends[2] = {rig.south, rig.north}, end_ = 0, port = ends[0], peer = ends[1]; \
		end_ < 2; end_++, port = ends[1], peer = ends[0])

static void
test_link_up(void)
{
	CU_ASSERT_EQUAL(rig_up(rig.south), 0);
	CU_ASSERT_TRUE(rig_wait_link(rig.south, false)); /* nobody is there yet */
	CU_ASSERT_EQUAL(rig_up(rig.north), 0);
	BOTH_ENDS(port, peer)
	{
		struct rte_eth_dev_info info;
		struct rte_eth_link link;

		(void)peer;
		CU_ASSERT_TRUE(rig_wait_link(port, true));
		CU_ASSERT_EQUAL(rte_eth_link_get_nowait(port, &link), 0);
		CU_ASSERT_EQUAL(
			link.link_speed, port == rig.south ? 25000 : RTE_ETH_SPEED_NUM_100G);
		CU_ASSERT_EQUAL(rte_eth_dev_info_get(port, &info), 0);
		CU_ASSERT_EQUAL(info.speed_capa,
			port == rig.south ? RTE_ETH_LINK_SPEED_25G : RTE_ETH_LINK_SPEED_100G);
		CU_ASSERT_EQUAL(link.link_duplex, RTE_ETH_LINK_FULL_DUPLEX);
	}
}

static void
test_frames(void)
{
	static const uint32_t lens[] = {60, 61, 64, 127, 128, 1500, 1514, 1518};

	BOTH_ENDS(port, peer)
	{
		for (unsigned int i = 0; i < RTE_DIM(lens); i++)
			CU_ASSERT_EQUAL(rig_pass(port, peer, 600, lens[i]), 600);
	}
}

static void
test_lsc(void)
{
	BOTH_ENDS(port, peer)
	{
		unsigned int before = __atomic_load_n(&rig.lsc[peer], __ATOMIC_RELAXED);

		CU_ASSERT_EQUAL(rte_eth_dev_stop(port), 0);
		CU_ASSERT_TRUE(rig_wait_link(peer, false));
		CU_ASSERT_EQUAL(rte_eth_dev_start(port), 0);
		CU_ASSERT_TRUE(rig_wait_link(peer, true));
		CU_ASSERT_TRUE(rig_wait_link(port, true));
		CU_ASSERT_TRUE(rig_wait_lsc(peer, before + 2));
		CU_ASSERT_EQUAL(rig_pass(port, peer, 64, 100), 64);
		CU_ASSERT_EQUAL(rig_pass(peer, port, 64, 100), 64);
	}
}

static void
test_restart(void)
{
	BOTH_ENDS(port, peer)
	{
		for (int i = 0; i < 10; i++) {
			CU_ASSERT_EQUAL(rte_eth_dev_stop(port), 0);
			CU_ASSERT_EQUAL(rte_eth_dev_start(port), 0);
			CU_ASSERT_TRUE(rig_wait_link(port, true) && rig_wait_link(peer, true));
			CU_ASSERT_EQUAL(rig_pass(port, peer, 40, 64), 40);
			CU_ASSERT_EQUAL(rig_pass(peer, port, 40, 64), 40);
		}
		CU_ASSERT_EQUAL(rte_eth_dev_stop(port), 0);
		CU_ASSERT_EQUAL(rig_up(port), 0); /* configured anew, queues too */
		CU_ASSERT_TRUE(rig_wait_link(port, true) && rig_wait_link(peer, true));
		CU_ASSERT_EQUAL(rig_pass(port, peer, 40, 64), 40);
	}
}

/* Put n frames into a link without taking them out. */
static uint16_t
park(uint16_t from, uint16_t n)
{
	struct rte_mbuf *pkts[32];
	uint16_t sent;

	for (uint16_t i = 0; i < n; i++)
		pkts[i] = rig_frame(80, i);
	sent = rte_eth_tx_burst(from, 0, pkts, n);
	rte_pktmbuf_free_bulk(pkts + sent, n - sent);
	return sent;
}

static unsigned int
drain(uint16_t port, uint16_t n)
{
	struct rte_mbuf *pkts[32];
	uint16_t got = rig_recv(port, pkts, n);

	rte_pktmbuf_free_bulk(pkts, got);
	return got;
}

static void
test_counts(void)
{
	BOTH_ENDS(port, peer)
	{
		CU_ASSERT_EQUAL(rte_eth_rx_queue_count(port, 0), 0);
		CU_ASSERT_EQUAL(rte_eth_rx_descriptor_status(port, 0, 0), RTE_ETH_RX_DESC_AVAIL);
		CU_ASSERT_EQUAL(rte_eth_tx_descriptor_status(port, 0, 0), RTE_ETH_TX_DESC_DONE);
		CU_ASSERT_EQUAL(park(peer, 10), 10);
		CU_ASSERT_EQUAL(rte_eth_rx_queue_count(port, 0), 10);
		CU_ASSERT_EQUAL(rte_eth_rx_descriptor_status(port, 0, 9), RTE_ETH_RX_DESC_DONE);
		CU_ASSERT_EQUAL(rte_eth_rx_descriptor_status(port, 0, 10), RTE_ETH_RX_DESC_AVAIL);
		CU_ASSERT(rte_eth_rx_descriptor_status(port, 0, 60000) < 0);
		CU_ASSERT(rte_eth_tx_descriptor_status(port, 0, 60000) < 0);
		CU_ASSERT_EQUAL(drain(port, 10), 10);
		CU_ASSERT_EQUAL(rte_eth_rx_queue_count(port, 0), 0);
		CU_ASSERT(rte_eth_tx_done_cleanup(port, 0, 0) >= 0);
	}
}

/* Fill the link until it takes no more: nothing is lost, what was refused stays the caller's. */
static void
test_full(void)
{
	BOTH_ENDS(port, peer)
	{
		unsigned int sent = 0, n, got = 0;

		while (sent < RIG_MBUFS && (n = park(port, 32)) > 0)
			sent += n;
		CU_ASSERT(sent >= RIG_DESC / 2 && sent < RIG_MBUFS);
		CU_ASSERT_EQUAL(rte_eth_tx_descriptor_status(port, 0, 0), RTE_ETH_TX_DESC_FULL);
		while (got < sent && (n = drain(peer, (uint16_t)RTE_MIN(32u, sent - got))) > 0)
			got += n;
		CU_ASSERT_EQUAL(got, sent);
		CU_ASSERT_EQUAL(rig_pass(port, peer, 300, 90), 300);
	}
}

static void
test_queue_stop(void)
{
	BOTH_ENDS(port, peer)
	{
		struct rte_eth_rxq_info info;
		struct rte_mbuf *m;

		CU_ASSERT_EQUAL(rte_eth_dev_rx_queue_stop(port, 0), 0);
		CU_ASSERT_EQUAL(park(peer, 5), 5);
		CU_ASSERT_EQUAL(rte_eth_rx_burst(port, 0, &m, 1), 0);
		CU_ASSERT_EQUAL(rte_eth_rx_queue_info_get(port, 0, &info), 0);
		CU_ASSERT_EQUAL(info.queue_state, RTE_ETH_QUEUE_STATE_STOPPED);
		CU_ASSERT_EQUAL(rte_eth_dev_rx_queue_start(port, 0), 0);
		/* North's receive ring may start empty again: frames that waited are the link's to drop. */
		if (port == rig.south)
			CU_ASSERT_EQUAL(drain(port, 5), 5)
		else
			drain(port, 5);
		CU_ASSERT_EQUAL(rig_pass(peer, port, 100, 70), 100);
		CU_ASSERT_EQUAL(rte_eth_dev_tx_queue_stop(port, 0), 0);
		CU_ASSERT_EQUAL(park(port, 3), 0);
		CU_ASSERT_EQUAL(rte_eth_dev_tx_queue_start(port, 0), 0);
		CU_ASSERT_EQUAL(rig_pass(port, peer, 100, 70), 100);
	}
}

/* No frame, no wake-up. But the control thread's slow look may have met the last frame while it was there, and tell
 * of it only now: one that comes late is allowed, a second is not.
 */
static bool
quiet(void)
{
	struct rte_epoll_event event;

	return rte_epoll_wait(RTE_EPOLL_PER_THREAD, &event, 1, 20) == 0 ||
	       rte_epoll_wait(RTE_EPOLL_PER_THREAD, &event, 1, 20) == 0;
}

static void
test_interrupt(void)
{
	BOTH_ENDS(port, peer)
	{
		struct rte_epoll_event event;

		CU_ASSERT_EQUAL_FATAL(rte_eth_dev_rx_intr_ctl_q(port, 0, RTE_EPOLL_PER_THREAD,
					      RTE_INTR_EVENT_ADD, NULL),
			0);
		for (int i = 0; i < 5; i++) {
			CU_ASSERT_EQUAL(rte_eth_dev_rx_intr_enable(port, 0), 0);
			CU_ASSERT_TRUE(quiet());
			CU_ASSERT_EQUAL(park(peer, 1), 1);
			CU_ASSERT_EQUAL(rte_epoll_wait(RTE_EPOLL_PER_THREAD, &event, 1, 2000), 1);
			CU_ASSERT_EQUAL(rte_eth_dev_rx_intr_disable(port, 0), 0);
			CU_ASSERT_EQUAL(drain(port, 1), 1);
		}
		/* A frame that came before the switch wakes as well. */
		CU_ASSERT_EQUAL(park(peer, 1), 1);
		CU_ASSERT_EQUAL(rte_eth_dev_rx_intr_enable(port, 0), 0);
		CU_ASSERT_EQUAL(rte_epoll_wait(RTE_EPOLL_PER_THREAD, &event, 1, 2000), 1);
		CU_ASSERT_EQUAL(rte_eth_dev_rx_intr_disable(port, 0), 0);
		CU_ASSERT_EQUAL(drain(port, 1), 1);
		CU_ASSERT_EQUAL(rte_eth_dev_rx_intr_ctl_q(
					port, 0, RTE_EPOLL_PER_THREAD, RTE_INTR_EVENT_DEL, NULL),
			0);
	}
}

static uint64_t
xstat(uint16_t port, const char *name)
{
	uint64_t id, value = UINT64_MAX;

	if (rte_eth_xstats_get_id_by_name(port, name, &id) != 0 ||
		rte_eth_xstats_get_by_id(port, &id, &value, 1) != 1)
		return UINT64_MAX;
	return value;
}

static void
test_stats(void)
{
	BOTH_ENDS(port, peer)
	{
		struct rte_eth_stats stats;

		CU_ASSERT_EQUAL(rte_eth_stats_reset(port), 0);
		CU_ASSERT_EQUAL(rte_eth_xstats_reset(port), 0);
		CU_ASSERT_EQUAL(rig_pass(peer, port, 100, 200), 100);
		CU_ASSERT_EQUAL(rig_pass(port, peer, 50, 300), 50);
		CU_ASSERT_EQUAL(rte_eth_stats_get(port, &stats), 0);
		CU_ASSERT_EQUAL(stats.ipackets, 100);
		CU_ASSERT_EQUAL(stats.ibytes, 100 * 200);
		CU_ASSERT_EQUAL(stats.opackets, 50);
		CU_ASSERT_EQUAL(stats.obytes, 50 * 300);
		CU_ASSERT_EQUAL(stats.ierrors + stats.oerrors + stats.imissed + stats.rx_nombuf, 0);
		CU_ASSERT_EQUAL(xstat(port, "rx_q0_packets"), 100);
		CU_ASSERT_EQUAL(xstat(port, "tx_q0_packets"), 50);
		CU_ASSERT_EQUAL(rte_eth_xstats_reset(port), 0);
		CU_ASSERT_EQUAL(xstat(port, "rx_q0_packets"), 0);
		CU_ASSERT_EQUAL(rte_eth_stats_get(port, &stats), 0);
		CU_ASSERT_EQUAL(stats.ipackets + stats.opackets + stats.ibytes + stats.obytes, 0);
	}
}

static void
test_xstats_names(void)
{
	BOTH_ENDS(port, peer)
	{
		struct rte_eth_xstat_name names[256];
		int n = rte_eth_xstats_get_names(port, names, RTE_DIM(names)), drops = 0;

		(void)peer;
		CU_ASSERT_FATAL(n > 20 && n < (int)RTE_DIM(names));
		for (int i = 0; i < n; i++) {
			drops += strstr(names[i].name, "_drop_") != NULL;
			for (int j = 0; j < i; j++)
				CU_ASSERT(strcmp(names[i].name, names[j].name) != 0);
		}
		CU_ASSERT(drops >= 8);
	}
}

static void
test_settings(void)
{
	BOTH_ENDS(port, peer)
	{
		struct rte_ether_addr mac, set = {{2, 1, 2, 3, 4, 5}},
					   group = {{1, 0, 0x5e, 0, 0, 1}};
		struct rte_eth_burst_mode mode;
		struct rte_eth_dev_info info;
		uint16_t mtu;

		(void)peer;
		CU_ASSERT_EQUAL(rte_eth_dev_info_get(port, &info), 0);
		CU_ASSERT_EQUAL(info.max_mtu, 9600);
		CU_ASSERT_EQUAL(info.max_rx_queues, 1);
		CU_ASSERT(rte_eth_dev_set_mtu(port, 67) < 0);
		CU_ASSERT(rte_eth_dev_set_mtu(port, 9601) < 0);
		CU_ASSERT_EQUAL(rte_eth_dev_set_mtu(port, 1400), 0);
		CU_ASSERT_EQUAL(rte_eth_dev_get_mtu(port, &mtu), 0);
		CU_ASSERT_EQUAL(mtu, 1400);
		CU_ASSERT_EQUAL(rte_eth_dev_set_mtu(port, 1500), 0);
		CU_ASSERT_EQUAL(rte_eth_promiscuous_disable(port), 0);
		CU_ASSERT_EQUAL(rte_eth_promiscuous_enable(port), 0);
		CU_ASSERT_EQUAL(rte_eth_allmulticast_disable(port), 0);
		CU_ASSERT_EQUAL(rte_eth_allmulticast_enable(port), 0);
		CU_ASSERT(rte_eth_dev_default_mac_addr_set(port, &group) < 0);
		CU_ASSERT_EQUAL(rte_eth_dev_default_mac_addr_set(port, &set), 0);
		CU_ASSERT_EQUAL(rte_eth_macaddr_get(port, &mac), 0);
		CU_ASSERT(rte_is_same_ether_addr(&mac, &set));
		CU_ASSERT_EQUAL(rte_eth_rx_burst_mode_get(port, 0, &mode), 0);
		CU_ASSERT(mode.info[0] != '\0');
		CU_ASSERT_EQUAL(rte_eth_tx_burst_mode_get(port, 0, &mode), 0);
		CU_ASSERT(mode.info[0] != '\0');
		CU_ASSERT(rte_eth_dev_configure(port, 1, 1, &(struct rte_eth_conf){0}) < 0);
		CU_ASSERT_EQUAL(rte_eth_dev_is_removed(port), 0);
	}
}

/* What a person reads of a port: it says who it is and whether it is linked, and ends with whole lines. */
static void
test_private_dump(void)
{
	BOTH_ENDS(port, peer)
	{
		char text[4096] = "";
		FILE *file = fmemopen(text, sizeof(text), "w");

		(void)peer;
		CU_ASSERT_PTR_NOT_NULL_FATAL(file);
		CU_ASSERT_EQUAL(rte_eth_dev_priv_dump(port, file), 0);
		fclose(file);
		CU_ASSERT_PTR_NOT_NULL(strstr(text, "eth0"));
		CU_ASSERT(strstr(text, "carrier up") != NULL || strstr(text, "link: 1") != NULL);
		CU_ASSERT(text[0] != '\0' && text[strlen(text) - 1] == '\n');
	}
}

/* Two queues are more than there are: refused, and the port goes on. */
static void
test_refusals(void)
{
	const struct rte_eth_conf conf = {0};

	BOTH_ENDS(port, peer)
	{
		CU_ASSERT_EQUAL(rte_eth_dev_stop(port), 0);
		CU_ASSERT(rte_eth_dev_configure(port, 2, 2, &conf) < 0);
		CU_ASSERT_EQUAL(rig_up(port), 0);
		CU_ASSERT_TRUE(rig_wait_link(port, true) && rig_wait_link(peer, true));
		CU_ASSERT_EQUAL(rig_pass(port, peer, 10, 60), 10);
	}
}

int
main(int argc, char **argv)
{
	unsigned int failed, missing;
	CU_pSuite suite;

	if (argc != 2 || rig_init(argv[1]) != 0) {
		printf("usage: %s FOLDER-OF-PLUGINS\n", argv[0]);
		return 1;
	}
	CU_initialize_registry();
	suite = CU_add_suite("pmd: both ends through ethdev", NULL, NULL);
	CU_ADD_TEST(suite, test_link_up);
	CU_ADD_TEST(suite, test_frames);
	CU_ADD_TEST(suite, test_lsc);
	CU_ADD_TEST(suite, test_restart);
	CU_ADD_TEST(suite, test_counts);
	CU_ADD_TEST(suite, test_full);
	CU_ADD_TEST(suite, test_queue_stop);
	CU_ADD_TEST(suite, test_interrupt);
	CU_ADD_TEST(suite, test_stats);
	CU_ADD_TEST(suite, test_xstats_names);
	CU_ADD_TEST(suite, test_settings);
	CU_ADD_TEST(suite, test_private_dump);
	CU_ADD_TEST(suite, test_refusals);
	CU_basic_set_mode(CU_BRM_VERBOSE);
	CU_basic_run_tests();
	failed = CU_get_number_of_failures() + CU_get_number_of_suites_failed();
	CU_cleanup_registry();
	missing = rig_fini();
	printf("%u mbufs not given back\n", missing);
	return failed != 0 || missing != 0;
}
