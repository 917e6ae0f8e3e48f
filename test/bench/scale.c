/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * Many devices, through libvbus: the program of test/bench/scale.
 *
 *     scale EAL-ARGUMENTS -- both LINKS DEVICES    both ends, DEVICES on LINKS null links
 *     scale EAL-ARGUMENTS -- south SOCKET          a backend with device e0
 *     scale EAL-ARGUMENTS -- north                 the frontend of a link that -a names
 *
 * Prints "ready" and obeys one line at a time:
 *     rate few|all|plain MS  (both) north's lcore sends into 8 of the devices; south's polls these 8, or
 *                       all by turns (vbus_turns.h), or all in each round: "rate MPPS P50 LONGEST",
 *                       nanoseconds between two looks at an idle device
 *     echo              (south) the lcore sends back what comes to e0
 *     add N             (south) N more devices, polled by nobody: "begun NS", CLOCK_MONOTONIC
 *     trips MS          (north) the lcore sends one frame into e0, polls until it is back: "rtt COUNT
 *                       P50 P99.9 LONGEST", nanoseconds
 *     until N MS        (north) the same, until N devices are up, at most MS: "rtt ... up COUNT NS"
 *     wait N MS         (north) until N devices are up, at most MS, sending nothing: "up COUNT"
 *     stop, quit
 *
 * Threads: the main thread obeys, lcore 1 is south's polling thread (of "both"), the last lcore north's;
 * the library's own do the rest. South's polling thread has one mark for a whole round.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>

#include "bench_trips.h"
#include "scale_north.h"
#include "vbus_bridge.h"
#include "vbus_core.h"
#include "vbus_ctl.h"
#include "vbus_mark.h"
#include "vbus_turns.h"
#include "vbus_venet.h"

#define ACTIVE	8u
#define FRAME	64u
#define WARM_MS 30
#define LOST_MS 5000 /* the other side may be without a CPU */

static struct rte_mempool *pool;
static struct vbus_mark mark;
static struct vbus_venet *few[ACTIVE], *all[NORTH_MAX];
static unsigned int nb_all;
static struct bench_trips seen_trips;
static struct vbus_turns turns;
static _Atomic bool stop;
static _Atomic uint64_t received;

/* What an lcore was told. */
static struct {
	struct vbus_venet **polled;
	unsigned int nb;
	bool plain;
	unsigned int watched; /* an idle one, how often it is looked at; none: nb */
	uint64_t looked;
	struct north *north[ACTIVE];
	unsigned int until;
	uint64_t cycles;
} task;

/* ---- south ---------------------------------------------------------------------------------------- */

static void
link_changed(void *arg, bool up)
{
	(void)arg;
	(void)up;
}

static void
quiesce(void *arg)
{
	(void)arg;
	vbus_mark_wait(&mark);
}

static const struct vbus_venet_user polled = {.link = link_changed, .quiesce = quiesce};
static const struct vbus_venet_user unpolled = {.link = link_changed};

static bool
device_add(struct vbus_bus *bus, const char *name, const struct vbus_venet_user *user)
{
	const struct vbus_venet_args args = {0};
	struct vbus_device *dev;
	struct vbus_venet *v;

	dev = vbus_device_create(name, "venet", &args);
	if (dev == NULL)
		return false;
	v = vbus_venet_of(dev);
	if (nb_all == NORTH_MAX || vbus_venet_bind(v, user, pool) != 0)
		return false;
	vbus_venet_set_ready(v, true);
	all[nb_all++] = v;
	return vbus_device_attach(dev, bus) == 0;
}

/* N devices on a bus; the lock is free in between, as for somebody who adds them one by one. */
static bool
devices_add(struct vbus_bus *bus, const char *prefix, unsigned int n,
	const struct vbus_venet_user *user)
{
	char name[VBUS_NAME_SIZE];
	bool ok = bus != NULL;
	unsigned int i;

	for (i = 0; ok && i < n; i++) {
		snprintf(name, sizeof(name), "%s%u", prefix, i);
		vbus_ctl_lock();
		ok = device_add(bus, name, user);
		vbus_ctl_unlock();
	}
	return ok;
}

static struct vbus_bus *
bus_make(const char *name, const char *path)
{
	struct vbus_bus *bus;
	char err[256] = "";

	vbus_ctl_lock();
	bus = vbus_bus_get(name);
	if (bus != NULL && path != NULL &&
		vbus_connector_vfio_user(bus, path, err, sizeof(err)) != 0) {
		fprintf(stderr, "scale: %s\n", err);
		bus = NULL;
	}
	vbus_ctl_unlock();
	return bus;
}

static void
watch(void)
{
	const uint64_t now = rte_rdtsc();

	if (task.looked != 0)
		bench_trip_add(&seen_trips, now - task.looked);
	task.looked = now;
}

/* A burst of a device, freed. */
static __rte_always_inline uint32_t
sink_look(void *arg, uint32_t which)
{
	struct rte_mbuf *pkts[NORTH_BURST];
	const uint16_t n = vbus_venet_rx_burst(task.polled[which], 0, pkts, NORTH_BURST);

	(void)arg;
	if (n != 0)
		rte_pktmbuf_free_bulk(pkts, n);
	if (unlikely(which == task.watched))
		watch();
	return n;
}

static __rte_always_inline void
sink_ahead(void *arg, uint32_t which, uint32_t step)
{
	(void)arg;
	if (step != 0)
		vbus_venet_rx_ahead(task.polled[which], step - 1);
}

/* Poll the devices, free what comes. */
static int
south_sink(void *arg)
{
	uint64_t sum = 0;
	unsigned int i;

	(void)arg;
	vbus_turns_reset(&turns, task.nb);
	while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
		vbus_mark_enter(&mark);
		if (task.plain)
			for (i = 0; i < task.nb; i++)
				sum += sink_look(NULL, i);
		else
			sum += vbus_turns_round(&turns, sink_look, sink_ahead, NULL);
		vbus_mark_leave(&mark);
		atomic_store_explicit(&received, sum, memory_order_relaxed);
	}
	return 0;
}

static int
south_echo(void *arg)
{
	struct rte_mbuf *pkts[NORTH_BURST];
	uint16_t n, sent;

	(void)arg;
	while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
		vbus_mark_enter(&mark);
		n = vbus_venet_rx_burst(all[0], 0, pkts, NORTH_BURST);
		if (n != 0) {
			sent = vbus_venet_tx_burst(all[0], 0, pkts, n);
			rte_pktmbuf_free_bulk(pkts + sent, n - sent);
		}
		vbus_mark_leave(&mark);
	}
	return 0;
}

/* ---- north ---------------------------------------------------------------------------------------- */

static int
north_source(void *arg)
{
	unsigned int i;

	(void)arg;
	while (!atomic_load_explicit(&stop, memory_order_relaxed))
		for (i = 0; i < ACTIVE; i++)
			north_send(task.north[i], FRAME);
	return 0;
}

/* One frame there and back. @return cycles, 0: lost */
static uint64_t
once(struct north *n)
{
	const uint64_t limit = rte_get_tsc_hz() * LOST_MS / 1000;
	struct vbus_ioq_entry e = {.ptr = n->tx_addr, .len = FRAME};
	uint64_t begin = rte_rdtsc(), now, done;

	if (vbus_ioq_north_push(&n->tx, &e, 1) != 1)
		return 0;
	do {
		if (north_take(n, 1) != 0) {
			now = rte_rdtsc();
			while (vbus_ioq_north_reap(&n->tx, &done, 1) != 1)
				if (rte_rdtsc() - now > limit)
					return 0;
			return now - begin;
		}
		now = rte_rdtsc();
	} while (now - begin < limit);
	return 0;
}

/* For task.cycles, or until task.until devices are up. @return 0; 1: a frame was lost */
static int
north_trips(void *arg)
{
	uint64_t end = rte_rdtsc() + task.cycles, cycles;

	(void)arg;
	memset(&seen_trips, 0, sizeof(seen_trips));
	while (rte_rdtsc() < end) {
		if (task.until != 0 &&
			atomic_load_explicit(&north_nb_up, memory_order_relaxed) >= task.until)
			break;
		cycles = once(task.north[0]);
		if (cycles == 0)
			return 1;
		bench_trip_add(&seen_trips, cycles);
	}
	printf("rtt %llu %llu %llu %llu", (unsigned long long)seen_trips.nb,
		(unsigned long long)bench_trips_ns(&seen_trips, 500),
		(unsigned long long)bench_trips_ns(&seen_trips, 999),
		(unsigned long long)(seen_trips.longest * 1000000000u / rte_get_tsc_hz()));
	return 0;
}

/* ---- main thread ------------------------------------------------------------------------------------ */

static void
rate(const char *which, unsigned int ms)
{
	const bool every = strcmp(which, "few") != 0;
	uint64_t from, begin;

	task.polled = every ? all : few;
	task.nb = every ? nb_all : ACTIVE;
	task.plain = strcmp(which, "plain") == 0;
	task.watched = every ? nb_all - 1 : ACTIVE;
	task.looked = 0;
	memset(&seen_trips, 0, sizeof(seen_trips));
	atomic_store(&stop, false);
	atomic_store(&received, 0);
	rte_eal_remote_launch(south_sink, NULL, 1);
	rte_eal_remote_launch(north_source, NULL, 2);
	usleep(WARM_MS * 1000);
	begin = north_now_ns();
	from = atomic_load(&received);
	usleep(ms * 1000);
	from = atomic_load(&received) - from;
	begin = north_now_ns() - begin;
	atomic_store(&stop, true);
	rte_eal_mp_wait_lcore();
	printf("rate %.3f %llu %llu\n", (double)from * 1e3 / (double)begin,
		(unsigned long long)(seen_trips.nb != 0 ? bench_trips_ns(&seen_trips, 500) : 0),
		(unsigned long long)(seen_trips.longest * 1000000000u / rte_get_tsc_hz()));
}

/* Wait without a spin: the lcore may be on this CPU. */
static bool
lcore_wait(unsigned int lcore)
{
	while (rte_eal_get_lcore_state(lcore) == RUNNING)
		usleep(1000);
	return rte_eal_wait_lcore(lcore) == 0;
}

static bool
trips(unsigned int until, unsigned int ms)
{
	task.north[0] = north_find("e0");
	if (task.north[0] == NULL)
		return false;
	task.until = until;
	task.cycles = ms * rte_get_tsc_hz() / 1000;
	rte_eal_remote_launch(north_trips, NULL, 1);
	if (!lcore_wait(1))
		return false;
	if (until != 0)
		printf(" up %u %llu", atomic_load(&north_nb_up),
			(unsigned long long)atomic_load(&north_last_up_ns));
	printf("\n");
	return true;
}

static void
obey(void)
{
	unsigned int n, ms;
	char line[128], which[8];
	bool ok = true;

	printf("ready\n");
	while (ok && fflush(stdout) == 0 && fgets(line, sizeof(line), stdin) != NULL) {
		if (sscanf(line, "rate %7s %u", which, &ms) == 2) {
			rate(which, ms);
		} else if (strncmp(line, "echo", 4) == 0) {
			atomic_store(&stop, false);
			rte_eal_remote_launch(south_echo, NULL, 1);
		} else if (sscanf(line, "add %u", &n) == 1) {
			printf("begun %llu\n", (unsigned long long)north_now_ns());
			ok = devices_add(vbus_bus_find("b"), "d", n, &unpolled);
		} else if (sscanf(line, "trips %u", &ms) == 1) {
			ok = trips(0, ms);
		} else if (sscanf(line, "until %u %u", &n, &ms) == 2) {
			ok = trips(n, ms);
		} else if (sscanf(line, "wait %u %u", &n, &ms) == 2) {
			for (; ms != 0 && atomic_load(&north_nb_up) < n; ms--)
				usleep(1000);
			printf("up %u\n", atomic_load(&north_nb_up));
		} else if (strncmp(line, "stop", 4) == 0) {
			atomic_store(&stop, true);
			lcore_wait(1);
		} else {
			break;
		}
	}
}

static bool
wait_up(unsigned int n)
{
	unsigned int i;

	for (i = 0; i < 60000 && atomic_load(&north_nb_up) < n; i++) {
		if (atomic_load(&north_nb_failed) != 0)
			return false;
		usleep(1000);
	}
	return atomic_load(&north_nb_up) >= n;
}

/* The devices that carry traffic lie evenly among the others. */
static bool
both_start(unsigned int links, unsigned int devices)
{
	unsigned int i, each = devices / links;
	char name[VBUS_NAME_SIZE];

	if (each * links != devices || devices < ACTIVE)
		return false;
	for (i = 0; i < links; i++) {
		snprintf(name, sizeof(name), "b%u", i);
		if (!devices_add(bus_make(name, NULL), (const char[]){'a' + (char)i, '\0'}, each,
			    &polled))
			return false;
	}
	if (!wait_up(devices))
		return false;
	for (i = 0; i < ACTIVE; i++) {
		unsigned int number = i * (devices / ACTIVE);

		few[i] = all[number];
		snprintf(name, sizeof(name), "%c%u", 'a' + (int)(number / each), number % each);
		task.north[i] = north_find(name);
		if (task.north[i] == NULL)
			return false;
	}
	return true;
}

static bool
start(int argc, char **argv)
{
	if (argc == 4 && strcmp(argv[1], "both") == 0)
		return both_start((unsigned int)atoi(argv[2]), (unsigned int)atoi(argv[3]));
	if (argc == 3 && strcmp(argv[1], "south") == 0)
		return devices_add(bus_make("b", argv[2]), "e", 1, &polled);
	return argc == 2 && strcmp(argv[1], "north") == 0 && wait_up(1);
}

int
main(int argc, char **argv)
{
	int used = rte_eal_init(argc, argv);

	if (used < 0)
		return EXIT_FAILURE;
	pool = rte_pktmbuf_pool_create(
		"scale", 8191, 256, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	if (pool == NULL || vbus_mark_init() != 0 || vbus_ctl_get() != 0 ||
		!start(argc - used, argv + used)) {
		fprintf(stderr, "scale: cannot start; %u devices are up\n",
			atomic_load(&north_nb_up));
		return EXIT_FAILURE;
	}
	obey();
	/* The devices are shared with a peer that goes as well: the process's end is theirs. */
	fflush(stdout);
	_exit(EXIT_SUCCESS);
}
