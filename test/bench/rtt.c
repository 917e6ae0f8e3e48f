/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * Round-trip time of a frame between two ports, by the time-stamp counter.
 *
 *     rtt EAL-ARGUMENTS
 *     rtt EAL-ARGUMENTS (two lcores) -- ring
 *
 * Opens its port, prints "configured", waits for the link, prints "ready", and obeys one line at a time:
 *     echo           send back what comes, until there is another line
 *     rtt MS SIZE    for MS milliseconds: send one frame, poll until it is back; prints
 *                    "rtt COUNT LOST P50 P99 P99.9 LONGEST", nanoseconds
 *     way MS SIZE    (ring) one lcore sends, the other receives and frees; prints "rate MPPS"
 *     loop MS SIZE   (ring) both forward, 512 frames going round
 *     quit
 *
 * With "ring" the program has two ports that two net_ring join, the other lcore is the other side: what
 * passing pointers in one process costs, the bound of everything. All work of the one-port form is done
 * by the main thread; it sleeps in fgets() between the commands. Nobody looks at the payload.
 */

#include <poll.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_eth_ring.h>
#include <rte_ethdev.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>
#include <rte_ring.h>

#include "bench_port.h"
#include "bench_trips.h"

#define MBUFS	8192
#define RING	1024
#define BURST	32
#define IN_LOOP 512
#define LOST_MS 5000 /* the other side may be without a CPU */
#define WARM_MS 5

static struct rte_mempool *pool;
static struct bench_trips trips;
static _Atomic bool stop;
static _Atomic uint64_t received; /* written by the other lcore */
static bool two_ports;

/* Two rings join two ports. */
static int
rings_open(void)
{
	struct rte_ring *r[2];
	int i, port;

	for (i = 0; i < 2; i++) {
		r[i] = rte_ring_create(i == 0 ? "there" : "back", RING, (int)rte_socket_id(),
			RING_F_SP_ENQ | RING_F_SC_DEQ);
		if (r[i] == NULL)
			return -1;
	}
	for (i = 0; i < 2; i++) {
		port = rte_eth_from_rings(
			i == 0 ? "a" : "b", &r[1 - i], 1, &r[i], 1, rte_socket_id());
		if (port != i || bench_port_open((uint16_t)port, 1, RING, pool) != 0)
			return -1;
	}
	return 0;
}

static uint16_t
forward(uint16_t port)
{
	struct rte_mbuf *pkts[BURST];
	uint16_t n = rte_eth_rx_burst(port, 0, pkts, BURST);
	uint16_t sent = 0;

	if (n == 0)
		return 0;
	while (sent < n && !atomic_load_explicit(&stop, memory_order_relaxed))
		sent += rte_eth_tx_burst(port, 0, pkts + sent, n - sent);
	rte_pktmbuf_free_bulk(pkts + sent, n - sent);
	return n;
}

/* Until somebody types. */
static void
echo(uint16_t port)
{
	struct pollfd in = {.events = POLLIN};
	unsigned int i;

	do
		for (i = 0; i < 1u << 18; i++)
			forward(port);
	while (poll(&in, 1, 0) == 0);
}

static void
count(uint16_t n)
{
	if (n != 0)
		atomic_store_explicit(&received,
			atomic_load_explicit(&received, memory_order_relaxed) + n,
			memory_order_relaxed);
}

static int
other_forward(void *arg)
{
	(void)arg;
	while (!atomic_load_explicit(&stop, memory_order_relaxed))
		count(forward(1));
	return 0;
}

static int
other_sink(void *arg)
{
	struct rte_mbuf *pkts[BURST];

	(void)arg;
	while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
		uint16_t n = rte_eth_rx_burst(1, 0, pkts, BURST);

		rte_pktmbuf_free_bulk(pkts, n);
		count(n);
	}
	return 0;
}

static void
other_start(int (*work)(void *))
{
	atomic_store(&stop, false);
	atomic_store(&received, 0);
	rte_eal_remote_launch(work, NULL, rte_get_next_lcore(-1, 1, 0));
}

/* The rings are empty afterwards. */
static void
other_stop(void)
{
	struct rte_mbuf *pkts[BURST];
	uint16_t port, n;

	atomic_store(&stop, true);
	rte_eal_mp_wait_lcore();
	for (port = 0; port < 2; port++)
		while ((n = rte_eth_rx_burst(port, 0, pkts, BURST)) != 0)
			rte_pktmbuf_free_bulk(pkts, n);
}

/* One frame there and back; *m goes and another one comes. @return cycles, 0: lost */
static uint64_t
once(struct rte_mbuf **m, uint64_t limit)
{
	struct rte_mbuf *pkts[BURST];
	uint64_t begin = rte_rdtsc(), now;
	uint16_t n;

	if (rte_eth_tx_burst(0, 0, m, 1) != 1)
		rte_pktmbuf_free(*m);
	*m = NULL;
	do {
		n = rte_eth_rx_burst(0, 0, pkts, BURST);
		now = rte_rdtsc();
		if (n != 0) {
			*m = pkts[0];
			rte_pktmbuf_free_bulk(pkts + 1, n - 1u);
			return now - begin;
		}
	} while (now - begin < limit);
	return 0;
}

static void
round_trips(unsigned int ms, unsigned int size)
{
	uint64_t hz = rte_get_tsc_hz(), lost = 0, cycles;
	uint64_t warm = rte_rdtsc() + WARM_MS * hz / 1000, end = warm + ms * hz / 1000;
	struct rte_mbuf *m = NULL;

	memset(&trips, 0, sizeof(trips));
	if (two_ports)
		other_start(other_forward);
	while (rte_rdtsc() < end) {
		if (m == NULL && !bench_frames_make(pool, &m, 1, size))
			break;
		cycles = once(&m, LOST_MS * hz / 1000);
		if (cycles == 0) {
			lost++;
			continue;
		}
		if (rte_rdtsc() >= warm)
			bench_trip_add(&trips, cycles);
	}
	rte_pktmbuf_free(m);
	if (two_ports)
		other_stop();
	printf("rtt %llu %llu %llu %llu %llu %llu\n", (unsigned long long)trips.nb,
		(unsigned long long)lost, (unsigned long long)bench_trips_ns(&trips, 500),
		(unsigned long long)bench_trips_ns(&trips, 990),
		(unsigned long long)bench_trips_ns(&trips, 999),
		(unsigned long long)(trips.longest * 1000000000u / hz));
}

/* One burst into the ring, as far as there is room. */
static void
source(unsigned int size)
{
	struct rte_mbuf *pkts[BURST];
	uint16_t sent;

	if (!bench_frames_make(pool, pkts, BURST, size))
		return;
	sent = rte_eth_tx_burst(0, 0, pkts, BURST);
	rte_pktmbuf_free_bulk(pkts + sent, BURST - sent);
}

static void
rate(unsigned int ms, unsigned int size, bool loop)
{
	uint64_t hz = rte_get_tsc_hz();
	uint64_t warm = rte_rdtsc() + WARM_MS * hz / 1000, end = warm + ms * hz / 1000;
	uint64_t begin = 0, from = 0, now;
	unsigned int i;

	other_start(loop ? other_forward : other_sink);
	for (i = 0; loop && i < IN_LOOP / BURST; i++)
		source(size);
	while ((now = rte_rdtsc()) < end) {
		if (begin == 0 && now >= warm) {
			begin = now;
			from = atomic_load(&received);
		}
		for (i = 0; i < 64; i++) {
			if (loop)
				forward(0);
			else
				source(size);
		}
	}
	from = atomic_load(&received) - from;
	other_stop();
	printf("rate %.3f\n", (double)from * (double)hz / (double)(now - begin) / 1e6);
}

static void
obey(void)
{
	unsigned int ms, size;
	char line[128];

	while (fflush(stdout) == 0 && fgets(line, sizeof(line), stdin) != NULL) {
		if (sscanf(line, "rtt %u %u", &ms, &size) == 2)
			round_trips(ms, size);
		else if (strncmp(line, "echo", 4) == 0)
			echo(0);
		else if (two_ports && sscanf(line, "way %u %u", &ms, &size) == 2)
			rate(ms, size, false);
		else if (two_ports && sscanf(line, "loop %u %u", &ms, &size) == 2)
			rate(ms, size, true);
		else if (strncmp(line, "stop", 4) != 0)
			break;
	}
}

int
main(int argc, char **argv)
{
	int used = rte_eal_init(argc, argv);
	int ret;

	if (used < 0)
		return EXIT_FAILURE;
	setvbuf(stdin, NULL, _IONBF, 0); /* poll() has to see what fgets() has not taken */
	two_ports = argc - used > 1 && strcmp(argv[used + 1], "ring") == 0;
	pool = rte_pktmbuf_pool_create(
		"rtt", MBUFS, 256, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	if (pool == NULL)
		return EXIT_FAILURE;
	ret = two_ports ? rings_open() : bench_port_open(0, 1, RING, pool);
	printf("configured\n");
	fflush(stdout);
	if (ret != 0 || bench_link_wait(0) != 0) {
		fprintf(stderr, "rtt: the port does not come up\n");
		return EXIT_FAILURE;
	}
	printf("ready\n");
	obey();
	rte_eth_dev_stop(0);
	if (two_ports)
		rte_eth_dev_stop(1);
	rte_eal_cleanup();
	return EXIT_SUCCESS;
}
