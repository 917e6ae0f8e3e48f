/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * A polling thread that never stops, and a control side that takes everything away from under it: the
 * peer is lost and comes back, the port and its queues are stopped and started, its MTU changes, pools
 * come and go. Nothing may be touched after it was given back: AddressSanitizer and the count of mbufs
 * are the judges (vbus_mark.h). South is played by the main thread.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "../core/cu_run.h"
#include "north_rig.h"
#include "vbus_ctl.h"

static struct rte_mempool *pool;
static atomic_bool stop;
static _Atomic uint64_t nb_rx, nb_tx;

static int
init(void)
{
	if (rig_eal_init() != 0)
		return 1;
	pool = rte_pktmbuf_pool_create(
		"main", 2047, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	return pool == NULL;
}

/* Forwards what it gets, and sends frames of its own. */
static void *
poll_port(void *arg)
{
	struct rte_mbuf *m[32];

	(void)arg;
	while (!atomic_load(&stop)) {
		uint16_t n = rte_eth_rx_burst(rig.port, 0, m, 16), sent;

		atomic_fetch_add(&nb_rx, n);
		while (n < 20 && (m[n] = rte_pktmbuf_alloc(pool)) != NULL)
			rte_pktmbuf_append(m[n++], 100);
		sent = rte_eth_tx_burst(rig.port, 0, m, n);
		atomic_fetch_add(&nb_tx, sent);
		rte_pktmbuf_free_bulk(m + sent, n - sent);
		rte_eth_rx_queue_count(rig.port, 0);
		rte_eth_tx_done_cleanup(rig.port, 0, 4);
		if (sent == 0)
			sched_yield();
	}
	return NULL;
}

/* South moves what it can for a while. */
static void
south_works(uint32_t rounds)
{
	uint8_t buf[2048];

	for (uint32_t i = 0; i < rounds; i++) {
		rig_give(60 + i % 500, (uint8_t)i);
		if (i % 3)
			rig_take(buf, sizeof(buf));
		if (i % 64 == 63)
			sched_yield();
	}
}

static void
disturb(uint32_t kind)
{
	switch (kind) {
	case 0:
		rig_lost();
		rig_back();
		break;
	case 1:
		rte_eth_dev_rx_queue_stop(rig.port, 0);
		rte_eth_dev_tx_queue_stop(rig.port, 0);
		rte_eth_dev_tx_queue_start(rig.port, 0);
		rte_eth_dev_rx_queue_start(rig.port, 0);
		break;
	case 2:
		CU_ASSERT_EQUAL(rte_eth_dev_set_mtu(rig.port, rig.nb_linkup % 2 ? 1400 : 1500), 0);
		rig_carrier(true);
		break;
	case 3:
		rig_carrier(false);
		rig_carrier(true);
		break;
	case 4:
		rte_mempool_free(rte_pktmbuf_pool_create("other", 63, 0, 0, 2176, SOCKET_ID_ANY));
		break;
	default:
		CU_ASSERT_EQUAL(rte_eth_dev_rx_intr_enable(rig.port, 0), 0);
		CU_ASSERT_EQUAL(rte_eth_dev_rx_intr_disable(rig.port, 0), 0);
		break;
	}
}

static void
race(uint64_t rx_offloads, uint64_t tx_offloads)
{
	unsigned int before = rig_avail(pool);
	pthread_t poller;

	atomic_store(&stop, false);
	atomic_store(&nb_rx, 0);
	atomic_store(&nb_tx, 0);
	rig_probe();
	CU_ASSERT_EQUAL_FATAL(rig_start(pool, 128, rx_offloads, tx_offloads, 1500), 0);
	CU_ASSERT_EQUAL_FATAL(pthread_create(&poller, NULL, poll_port, NULL), 0);
	for (uint32_t i = 0; i < 600; i++) {
		if (rx_offloads == 0 && tx_offloads == 0)
			south_works(200);
		else
			usleep(200);
		disturb(i % 6);
	}
	atomic_store(&stop, true);
	pthread_join(poller, NULL);
	CU_ASSERT_TRUE(atomic_load(&nb_tx) > 1000);
	if (rx_offloads == 0)
		CU_ASSERT_TRUE(atomic_load(&nb_rx) > 1000);
	rig_remove();
	CU_ASSERT_EQUAL(rig_avail(pool), before);
}

static void
test_linear(void)
{
	race(0, 0);
}

/* South only holds the rings: it is the taking away that is tried. */
static void
test_sg(void)
{
	race(RTE_ETH_RX_OFFLOAD_SCATTER,
		RTE_ETH_TX_OFFLOAD_MULTI_SEGS | RTE_ETH_TX_OFFLOAD_TCP_CKSUM);
}

int
main(void)
{
	static const struct cu_test tests[] = {
		{"linear", test_linear},
		{"scatter-gather", test_sg},
		{NULL, NULL},
	};

	return cu_run("north: races", tests, init, NULL);
}
