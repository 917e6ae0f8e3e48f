/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * A peer that keeps its devices open and is idle, and times the first frame after that.
 *
 *     wake EAL-ARGUMENTS -- PORTS
 *
 * Opens PORTS ports, prints "ready" and obeys one line at a time:
 *     wake N PAUSE   N times: sleep PAUSE to twice PAUSE microseconds, send one frame into port 0,
 *                    poll port 1 until it is there; print nanoseconds, a line each, then "end".
 *                    "lost" stands for one that was not there after a second.
 *     quit
 *
 * The time is from the call that sends to the return of the call that receives, by one clock in one
 * thread: nothing of the peer's own sleep is in it.
 */

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_ether.h>
#include <rte_mbuf.h>
#include <rte_random.h>

#define MBUFS	   16384
#define RING	   256
#define FRAME	   64
#define ETHER_TYPE 0x88b5 /* for experiments */

static struct rte_mempool *pool;

static int
port_open(uint16_t port)
{
	static const struct rte_eth_conf conf;
	struct rte_eth_link link;
	int i, ret;

	ret = rte_eth_dev_configure(port, 1, 1, &conf);
	if (ret == 0)
		ret = rte_eth_rx_queue_setup(port, 0, RING, SOCKET_ID_ANY, NULL, pool);
	if (ret == 0)
		ret = rte_eth_tx_queue_setup(port, 0, RING, SOCKET_ID_ANY, NULL);
	if (ret == 0)
		ret = rte_eth_dev_start(port);
	for (i = 0; ret == 0 && i < 500; i++) {
		if (rte_eth_link_get_nowait(port, &link) == 0 && link.link_status)
			return 0;
		usleep(10000);
	}
	return ret != 0 ? ret : -1;
}

static struct rte_mbuf *
frame_make(uint16_t from, uint16_t to, uint32_t number)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(pool);
	struct rte_ether_hdr *eth;

	if (m == NULL)
		return NULL;
	eth = (struct rte_ether_hdr *)rte_pktmbuf_append(m, FRAME);
	memset(eth, 0, FRAME);
	rte_eth_macaddr_get(from, &eth->src_addr);
	rte_eth_macaddr_get(to, &eth->dst_addr);
	eth->ether_type = rte_cpu_to_be_16(ETHER_TYPE);
	memcpy(eth + 1, &number, sizeof(number));
	return m;
}

/* @return whether one of them is the frame that is waited for; frees them */
static bool
arrived(struct rte_mbuf **pkts, uint16_t n, uint32_t number)
{
	bool found = false;
	uint16_t i;

	for (i = 0; i < n; i++) {
		const struct rte_ether_hdr *eth = rte_pktmbuf_mtod(
			pkts[i], const struct rte_ether_hdr *);

		if (eth->ether_type == rte_cpu_to_be_16(ETHER_TYPE) &&
			memcmp(eth + 1, &number, sizeof(number)) == 0)
			found = true;
		rte_pktmbuf_free(pkts[i]);
	}
	return found;
}

/* @return nanoseconds from port @p from to port @p to, 0: lost */
static uint64_t
once(uint16_t from, uint16_t to, uint32_t number)
{
	struct rte_mbuf *m = frame_make(from, to, number);
	struct rte_mbuf *pkts[32];
	uint64_t begin, now, hz = rte_get_tsc_hz();

	if (m == NULL)
		return 0;
	begin = rte_rdtsc_precise();
	if (rte_eth_tx_burst(from, 0, &m, 1) != 1) {
		rte_pktmbuf_free(m);
		return 0;
	}
	do {
		uint16_t n = rte_eth_rx_burst(to, 0, pkts, RTE_DIM(pkts));

		now = rte_rdtsc_precise();
		if (arrived(pkts, n, number))
			return (now - begin) * 1000000000u / hz;
	} while (now - begin < hz);
	return 0;
}

static void
wake(unsigned int times, unsigned int pause)
{
	static uint32_t number;
	unsigned int i;

	for (i = 0; i < times; i++) {
		uint64_t ns;

		usleep(pause + (unsigned int)rte_rand_max(pause + 1));
		ns = once(0, 1, ++number);
		if (ns != 0)
			printf("%llu\n", (unsigned long long)ns);
		else
			printf("lost\n");
	}
	printf("end\n");
}

static void
obey(void)
{
	unsigned int times, pause;
	char line[128];

	printf("ready\n");
	while (fflush(stdout) == 0 && fgets(line, sizeof(line), stdin) != NULL) {
		if (sscanf(line, "wake %u %u", &times, &pause) == 2)
			wake(times, pause);
		else
			break;
	}
}

int
main(int argc, char **argv)
{
	int used = rte_eal_init(argc, argv);
	uint16_t ports, i;
	int ret = EXIT_FAILURE;

	if (used < 0 || argc - used != 2)
		return EXIT_FAILURE;
	ports = (uint16_t)atoi(argv[used + 1]);
	pool = rte_pktmbuf_pool_create(
		"wake", MBUFS, 64, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	for (i = 0; i < ports && pool != NULL; i++)
		if (port_open(i) != 0)
			break;
	if (i == ports && ports >= 2) {
		/* The switch learns where both are. */
		once(1, 0, UINT32_MAX);
		once(0, 1, UINT32_MAX);
		obey();
		ret = EXIT_SUCCESS;
	} else {
		fprintf(stderr, "wake: port %u of %u does not come up\n", i, ports);
	}
	for (i = 0; i < ports && i < rte_eth_dev_count_avail(); i++)
		rte_eth_dev_stop(i);
	rte_eal_cleanup();
	return ret;
}
