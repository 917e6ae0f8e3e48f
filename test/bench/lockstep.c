/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * Both ends of a link in one thread: a burst goes in at one, comes out at the other, and again.
 *
 *     lockstep EAL-ARGUMENTS -- BURSTS SIZES BACK [FRONT ARGUMENTS]
 *
 * BACK is the name of the backend's port; the frontend is the other port, which is plugged once the
 * backend is there when its name and arguments are given (a vdev). SIZES are bytes, with commas.
 *
 * Meant for callgrind with --collect-atstart=no: what is collected is the burst functions, and the
 * freeing of what was received (it is where zero copy pays for a buffer), of a fixed number of full
 * bursts; dumps are named "WAY SIZE SIDE", such as "n2s 64 tx". Control threads run beside it and are
 * not collected. Without callgrind it only shows that frames get through.
 */

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_dev.h>
#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include <valgrind/callgrind.h>

#include "bench_port.h"

#define MBUFS 8192
#define RING  1024
#define BURST 32
#define WARM  (4 * RING / BURST)
#define TRIES 1000

enum side {
	NEITHER,
	TX,
	RX
};

static struct rte_mempool *pool;
static uint16_t back;

static bool
links_wait(uint16_t front)
{
	struct rte_eth_link a = {0}, b = {0};
	int i;

	for (i = 0; i < 6000; i++) {
		rte_eth_link_get_nowait(back, &a);
		rte_eth_link_get_nowait(front, &b);
		if (a.link_status && b.link_status)
			return true;
		usleep(10000);
	}
	return false;
}

/* The port that is not the backend; waits for it. RTE_MAX_ETHPORTS: none */
static uint16_t
port_other(void)
{
	uint16_t port;
	int i;

	for (i = 0; i < 2000; i++) {
		RTE_ETH_FOREACH_DEV (port)
			if (port != back)
				return port;
		usleep(10000);
	}
	return RTE_MAX_ETHPORTS;
}

/* As many as the backend offers, of two: bursts go by one and the other. */
static uint16_t
nb_queues(void)
{
	struct rte_eth_dev_info info = {0};

	return rte_eth_dev_info_get(back, &info) == 0 && info.max_rx_queues == 2 ? 2 : 1;
}

/*
 * Links say they are up before frames pass (memif), so: single frames, until one has passed and the
 * ring is at the begin of a burst; what is counted later is the same in every run then.
 */
static bool
meet(uint16_t from, uint16_t to, uint16_t queue)
{
	struct rte_mbuf *pkts[BURST], *m;
	unsigned int sent = 0, got = 0;
	uint16_t n;
	int i;

	for (i = 0; i < 6000 && (got == 0 || sent % BURST != 0 || got != sent); i++) {
		/* A receiver may have to give buffers first. */
		n = rte_eth_rx_burst(to, queue, pkts, BURST);
		rte_pktmbuf_free_bulk(pkts, n);
		got += n;
		if (got != 0 && sent % BURST == 0)
			continue;
		m = rte_pktmbuf_alloc(pool);
		if (m == NULL || rte_pktmbuf_append(m, RTE_ETHER_MIN_LEN) == NULL)
			return false;
		if (rte_eth_tx_burst(from, queue, &m, 1) == 1)
			sent++;
		else
			rte_pktmbuf_free(m);
		if (got == 0)
			usleep(1000);
	}
	return got != 0 && got == sent;
}

/* Take a whole burst. @return it is all there */
static bool
drain(uint16_t to, uint16_t queue, bool collect)
{
	struct rte_mbuf *pkts[BURST];
	unsigned int got = 0, i;
	uint16_t n;

	/* Always asks for a whole one: vector code does not do a few. */
	for (i = 0; got < BURST && i < TRIES; i++) {
		if (collect)
			CALLGRIND_TOGGLE_COLLECT;
		n = rte_eth_rx_burst(to, queue, pkts, BURST);
		rte_pktmbuf_free_bulk(pkts, n);
		if (collect)
			CALLGRIND_TOGGLE_COLLECT;
		got += n;
	}
	return got == BURST;
}

/* Send bursts and take them, one side collected. */
static bool
bursts(uint16_t from, uint16_t to, unsigned int nb, uint16_t size, enum side side)
{
	const uint16_t queues = nb_queues();
	struct rte_mbuf *pkts[BURST];
	unsigned int i, j;
	uint16_t sent;

	for (i = 0; i < nb; i++) {
		const uint16_t queue = (uint16_t)(i % queues);

		if (rte_pktmbuf_alloc_bulk(pool, pkts, BURST) != 0)
			return false;
		for (j = 0; j < BURST; j++)
			rte_pktmbuf_append(pkts[j], size);
		if (side == TX)
			CALLGRIND_TOGGLE_COLLECT;
		sent = rte_eth_tx_burst(from, queue, pkts, BURST);
		if (side == TX)
			CALLGRIND_TOGGLE_COLLECT;
		if (sent != BURST || !drain(to, queue, side == RX)) {
			fprintf(stderr, "lockstep: burst %u: %u frames went in\n", i, sent);
			return false;
		}
	}
	return true;
}

static bool
measure(const char *way, uint16_t from, uint16_t to, unsigned int nb, uint16_t size)
{
	char name[64];
	enum side side;

	if (!bursts(from, to, WARM, size, NEITHER))
		return false;
	for (side = TX; side <= RX; side++) {
		CALLGRIND_ZERO_STATS;
		if (!bursts(from, to, nb, size, side))
			return false;
		snprintf(name, sizeof(name), "%s %u %s", way, size, side == TX ? "tx" : "rx");
		CALLGRIND_DUMP_STATS_AT(name);
	}
	return true;
}

int
main(int argc, char **argv)
{
	int used = rte_eal_init(argc, argv);
	uint16_t front, q;
	char *size;

	if (used < 0)
		return EXIT_FAILURE;
	argv += used;
	argc -= used;
	pool = rte_pktmbuf_pool_create(
		"lockstep", MBUFS, 256, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	if (argc < 4 || pool == NULL || rte_eth_dev_get_port_by_name(argv[3], &back) != 0 ||
		bench_port_open(back, nb_queues(), RING, pool) != 0)
		return EXIT_FAILURE;
	if (argc == 6 && rte_eal_hotplug_add("vdev", argv[4], argv[5]) != 0)
		return EXIT_FAILURE;
	front = port_other();
	if (front == RTE_MAX_ETHPORTS || bench_port_open(front, nb_queues(), RING, pool) != 0 ||
		!links_wait(front)) {
		fprintf(stderr, "lockstep: the ports do not come up\n");
		return EXIT_FAILURE;
	}
	for (q = 0; q < nb_queues(); q++) {
		if (!meet(front, back, q) || !meet(back, front, q)) {
			fprintf(stderr, "lockstep: nothing passes on queue %u\n", q);
			return EXIT_FAILURE;
		}
	}
	for (size = strtok(argv[2], ","); size != NULL; size = strtok(NULL, ",")) {
		unsigned int nb = (unsigned int)atoi(argv[1]);

		if (!measure("n2s", front, back, nb, (uint16_t)atoi(size)) ||
			!measure("s2n", back, front, nb, (uint16_t)atoi(size))) {
			fprintf(stderr, "lockstep: a burst of %s bytes does not get through\n",
				size);
			return EXIT_FAILURE;
		}
	}
	printf("through, by %u queues\n", nb_queues());
	rte_eth_dev_stop(front);
	rte_eth_dev_stop(back);
	fflush(stdout);
	rte_eal_cleanup();
	return EXIT_SUCCESS;
}
