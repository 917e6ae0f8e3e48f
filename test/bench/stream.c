/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * One end of a stream of frames, over a port or by plain memcpy() through a part of a file, for test/bench/window.
 *
 *     stream EAL-ARGUMENTS -- FILE
 *
 * Opens its port, waits for the link, prints "ready", and obeys one line at a time:
 *     send MS SIZE [AT]    frames of a pool leave: through the port, or copied into the file at AT
 *     take MS SIZE [AT]    they come: from the port, or copied out of the file at AT; and are freed
 *     quit
 * and prints "rate MPPS". Both kinds do the same with mbufs (32 are allocated, their lengths written, 32
 * freed, at either end), and both have as many slots. Of copies two counters behind the slots say how far
 * the ends are, looked at once for 32 frames; nothing else is in the file, and nothing is checked.
 *
 * All work is done by the main thread. The one process owns both kinds, so its caches and its memory are the same.
 */

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include "bench_port.h"

#define MBUFS	 8192
#define RING	 1024
#define BURST	 32
#define SLOT	 2048ul
#define LINE	 128ul
#define ROUNDS	 16 /* between two looks at the clock */
#define DRAIN_MS 5

static struct rte_mempool *pool;

/** The file, and the slots that are in use. */
static struct {
	char *file;
	uint64_t size;
	char *slots;
	uint64_t *in, *out; /**< frames that were copied so far */
	uint64_t done;	    /**< of ours */
} copy;

static int
copy_open(const char *path)
{
	int fd = open(path, O_RDWR);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) != 0)
		return -1;
	copy.size = (uint64_t)st.st_size;
	copy.file = mmap(NULL, copy.size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	return copy.file == MAP_FAILED ? -1 : 0;
}

static bool
copy_begin(uint64_t at, bool send)
{
	if (at % LINE != 0 || at + RING * SLOT + 2 * LINE > copy.size)
		return false;
	copy.slots = copy.file + at;
	copy.in = (uint64_t *)(void *)(copy.slots + RING * SLOT);
	copy.out = (uint64_t *)(void *)(copy.slots + RING * SLOT + LINE);
	copy.done = __atomic_load_n(send ? copy.in : copy.out, __ATOMIC_ACQUIRE);
	return true;
}

/* A burst into the file, when there are slots. @return frames */
static uint16_t
copy_send(struct rte_mbuf **pkts, uint16_t n)
{
	uint64_t out = __atomic_load_n(copy.out, __ATOMIC_ACQUIRE);

	if (copy.done + n > out + RING)
		return 0;
	for (uint16_t i = 0; i < n; i++)
		memcpy(copy.slots + (copy.done + i) % RING * SLOT,
			rte_pktmbuf_mtod(pkts[i], const void *), pkts[i]->data_len);
	copy.done += n;
	__atomic_store_n(copy.in, copy.done, __ATOMIC_RELEASE);
	rte_pktmbuf_free_bulk(pkts, n);
	return n;
}

/* A burst out of the file, when there is one. @return frames */
static uint16_t
copy_take(struct rte_mbuf **pkts, uint16_t n, unsigned int size)
{
	uint64_t in = __atomic_load_n(copy.in, __ATOMIC_ACQUIRE);

	if (copy.done + n > in || !bench_frames_make(pool, pkts, n, size))
		return 0;
	for (uint16_t i = 0; i < n; i++)
		memcpy(rte_pktmbuf_mtod(pkts[i], void *),
			copy.slots + (copy.done + i) % RING * SLOT, size);
	copy.done += n;
	__atomic_store_n(copy.out, copy.done, __ATOMIC_RELEASE);
	return n;
}

static uint16_t
burst_send(bool link, unsigned int size)
{
	struct rte_mbuf *pkts[BURST];
	uint16_t n;

	if (!bench_frames_make(pool, pkts, BURST, size))
		return 0;
	n = link ? rte_eth_tx_burst(0, 0, pkts, BURST) : copy_send(pkts, BURST);
	rte_pktmbuf_free_bulk(pkts + n, (unsigned int)(BURST - n));
	return n;
}

static uint16_t
burst_take(bool link, unsigned int size)
{
	struct rte_mbuf *pkts[BURST];
	uint16_t n = link ? rte_eth_rx_burst(0, 0, pkts, BURST) : copy_take(pkts, BURST, size);

	rte_pktmbuf_free_bulk(pkts, n);
	return n;
}

static void
rate(bool send, bool link, unsigned int ms, unsigned int size)
{
	uint64_t hz = rte_get_tsc_hz(), begin = rte_rdtsc(), end = begin + ms * hz / 1000, now,
		 frames = 0;

	while ((now = rte_rdtsc()) < end)
		for (unsigned int i = 0; i < ROUNDS; i++)
			frames += send ? burst_send(link, size) : burst_take(link, size);
	printf("rate %.3f\n", (double)frames * (double)hz / (double)(now - begin) / 1e6);
	if (send)
		return;
	/* What is left is not the next one's. */
	end = now + DRAIN_MS * hz / 1000;
	while (rte_rdtsc() < end)
		burst_take(link, size);
}

static void
obey(void)
{
	char line[128], what[8];
	unsigned int ms, size;
	unsigned long at;

	while (fflush(stdout) == 0 && fgets(line, sizeof(line), stdin) != NULL) {
		int n = sscanf(line, "%7s %u %u %lu", what, &ms, &size, &at);
		bool send = strcmp(what, "send") == 0;

		if (n < 3 || (n == 4 && !copy_begin(at, send)))
			break;
		rate(send, n == 3, ms, size);
	}
}

int
main(int argc, char **argv)
{
	int used = rte_eal_init(argc, argv);

	if (used < 0 || argc - used != 2)
		return EXIT_FAILURE;
	pool = rte_pktmbuf_pool_create(
		"stream", MBUFS, 256, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	if (pool == NULL || copy_open(argv[used + 1]) != 0 ||
		bench_port_open(0, 1, RING, pool) != 0 || bench_link_wait(0) != 0) {
		fprintf(stderr, "stream: the port does not come up\n");
		return EXIT_FAILURE;
	}
	printf("ready\n");
	obey();
	rte_eth_dev_stop(0);
	rte_eal_cleanup();
	return EXIT_SUCCESS;
}
