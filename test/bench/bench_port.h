/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */
#ifndef BENCH_PORT_H
#define BENCH_PORT_H

/** @file A port with as many queues each way, set up as testpmd does. */

#include <stdbool.h>
#include <unistd.h>

#include <rte_ethdev.h>
#include <rte_mbuf.h>

static inline int
bench_port_open(uint16_t port, uint16_t nb_queues, uint16_t nb_desc, struct rte_mempool *pool)
{
	struct rte_eth_conf conf = {0};
	struct rte_eth_dev_info info;
	int ret;

	ret = rte_eth_dev_info_get(port, &info);
	if (ret != 0)
		return ret;
	conf.txmode.offloads = info.tx_offload_capa & RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE;
	ret = rte_eth_dev_configure(port, nb_queues, nb_queues, &conf);
	for (uint16_t q = 0; q < nb_queues && ret == 0; q++) {
		ret = rte_eth_rx_queue_setup(port, q, nb_desc, SOCKET_ID_ANY, NULL, pool);
		if (ret == 0)
			ret = rte_eth_tx_queue_setup(port, q, nb_desc, SOCKET_ID_ANY, NULL);
	}
	return ret == 0 ? rte_eth_dev_start(port) : ret;
}

/** Half a minute at most. */
static inline int
bench_link_wait(uint16_t port)
{
	struct rte_eth_link link;

	for (int i = 0; i < 3000; i++) {
		if (rte_eth_link_get_nowait(port, &link) == 0 && link.link_status)
			return 0;
		usleep(10000);
	}
	return -1;
}

/** @return frames, all of them or none */
static inline bool
bench_frames_make(
	struct rte_mempool *pool, struct rte_mbuf **pkts, unsigned int n, unsigned int size)
{
	if (rte_pktmbuf_alloc_bulk(pool, pkts, n) != 0)
		return false;
	for (unsigned int i = 0; i < n; i++)
		if (rte_pktmbuf_append(pkts[i], (uint16_t)size) == NULL) {
			rte_pktmbuf_free_bulk(pkts, n);
			return false;
		}
	return true;
}

#endif /* BENCH_PORT_H */
