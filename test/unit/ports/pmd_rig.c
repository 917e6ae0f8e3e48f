/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * Both ends of a link in one DPDK program, for tests of the PMD through ethdev.
 *
 * Threads: the test's main thread polls both ports; EAL's and libvbus's threads run beside it and
 * call port_event().
 */
#include "pmd_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_errno.h>

struct rig rig;

static int
port_event(uint16_t port, enum rte_eth_event_type type, void *arg, void *ret)
{
	(void)arg;
	(void)ret;
	if (type == RTE_ETH_EVENT_INTR_LSC)
		__atomic_fetch_add(&rig.lsc[port], 1, __ATOMIC_RELAXED);
	else if (type == RTE_ETH_EVENT_INTR_RMV)
		__atomic_fetch_add(&rig.rmv[port], 1, __ATOMIC_RELAXED);
	else if (type == RTE_ETH_EVENT_NEW)
		__atomic_fetch_add(&rig.new_ports, 1, __ATOMIC_RELAXED);
	return 0;
}

int
rig_init(const char *plugins)
{
	static char prefix[64], folder[512];
	char *argv[] = {"rig", "--no-huge", "-m", "128", "--no-pci", "--lcores", "0@0",
		"--file-prefix", prefix, "-d", folder, "-a", "vbus:l0,null=loop", "--vdev",
		"net_vbus0,null=loop,name=eth0,mac=02:00:00:00:00:aa,speed=25000"};

	snprintf(prefix, sizeof(prefix), "vbusrig%d", (int)getpid());
	snprintf(folder, sizeof(folder), "%s", plugins);
	if (rte_eal_init((int)RTE_DIM(argv), argv) < 0) {
		printf("EAL: %s\n", rte_strerror(rte_errno));
		return -1;
	}
	rig.pool = rte_pktmbuf_pool_create("rig", RIG_MBUFS, 0, 0, 2048 + RTE_PKTMBUF_HEADROOM, 0);
	if (rig.pool == NULL || rte_eth_dev_get_port_by_name("net_vbus0", &rig.south) != 0 ||
		rte_eth_dev_get_port_by_name("vbus:l0.eth0", &rig.north) != 0) {
		printf("a port is missing\n");
		return -1;
	}
	rte_eth_dev_callback_register(RTE_ETH_ALL, RTE_ETH_EVENT_INTR_LSC, port_event, NULL);
	rte_eth_dev_callback_register(RTE_ETH_ALL, RTE_ETH_EVENT_INTR_RMV, port_event, NULL);
	rte_eth_dev_callback_register(RTE_ETH_ALL, RTE_ETH_EVENT_NEW, port_event, NULL);
	return 0;
}

unsigned int
rig_fini(void)
{
	unsigned int missing;
	uint16_t port;

	RTE_ETH_FOREACH_DEV (port) {
		if (rte_eth_dev_stop(port) == 0)
			rte_eth_dev_close(port);
	}
	missing = rte_mempool_in_use_count(rig.pool);
	rte_mempool_free(rig.pool);
	rte_eal_cleanup();
	return missing;
}

int
rig_up(uint16_t port)
{
	const struct rte_eth_conf conf = {.intr_conf = {.lsc = 1, .rxq = 1}};
	int ret = rte_eth_dev_configure(port, 1, 1, &conf);

	if (ret == 0)
		ret = rte_eth_rx_queue_setup(port, 0, RIG_DESC, 0, NULL, rig.pool);
	if (ret == 0)
		ret = rte_eth_tx_queue_setup(port, 0, RIG_DESC, 0, NULL);
	if (ret == 0)
		ret = rte_eth_dev_start(port);
	return ret;
}

bool
rig_wait_link(uint16_t port, bool up)
{
	struct rte_eth_link link;

	for (int i = 0; i < 5000; i++) {
		if (rte_eth_link_get_nowait(port, &link) == 0 &&
			(link.link_status == RTE_ETH_LINK_UP) == up)
			return true;
		rte_delay_us_sleep(1000);
	}
	return false;
}

bool
rig_wait_lsc(uint16_t port, unsigned int at_least)
{
	for (int i = 0; i < 5000; i++) {
		if (__atomic_load_n(&rig.lsc[port], __ATOMIC_RELAXED) >= at_least)
			return true;
		rte_delay_us_sleep(1000);
	}
	return false;
}

struct rte_mbuf *
rig_frame(uint32_t len, uint32_t number)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(rig.pool);
	uint8_t *p;

	if (m == NULL)
		return NULL;
	p = (uint8_t *)rte_pktmbuf_append(m, (uint16_t)len);
	if (p == NULL) {
		rte_pktmbuf_free(m);
		return NULL;
	}
	for (uint32_t i = 0; i < len; i++)
		p[i] = (uint8_t)(number + i * 7);
	memset(p, 2, 12);
	memcpy(p + 14, &number, sizeof(number));
	return m;
}

bool
rig_frame_is(const struct rte_mbuf *m, uint32_t len, uint32_t number)
{
	uint8_t copy[2048];
	const uint8_t *p;

	if (m->pkt_len != len || len > sizeof(copy))
		return false;
	p = rte_pktmbuf_read(m, 0, len, copy);
	for (uint32_t i = 18; i < len; i++)
		if (p[i] != (uint8_t)(number + i * 7))
			return false;
	return memcmp(p + 14, &number, sizeof(number)) == 0;
}

uint16_t
rig_recv(uint16_t port, struct rte_mbuf **pkts, uint16_t n)
{
	uint64_t end = rte_get_timer_cycles() + rte_get_timer_hz();
	uint16_t got = 0;

	while (got < n && rte_get_timer_cycles() < end)
		got += rte_eth_rx_burst(port, 0, pkts + got, (uint16_t)(n - got));
	return got;
}

unsigned int
rig_pass(uint16_t from, uint16_t to, unsigned int n, uint32_t len)
{
	struct rte_mbuf *pkts[32];
	unsigned int passed = 0;

	while (passed < n) {
		uint16_t want = (uint16_t)RTE_MIN(n - passed, RTE_DIM(pkts)), sent, got;

		for (uint16_t i = 0; i < want; i++)
			pkts[i] = rig_frame(len, passed + i);
		sent = rte_eth_tx_burst(from, 0, pkts, want);
		rte_pktmbuf_free_bulk(pkts + sent, want - sent);
		got = rig_recv(to, pkts, sent);
		for (uint16_t i = 0; i < got; i++)
			if (!rig_frame_is(pkts[i], len, passed + i) || pkts[i]->port != to)
				got = i;
		rte_pktmbuf_free_bulk(pkts, got);
		passed += got;
		if (got < want)
			break;
	}
	return passed;
}
