/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * What two CPUs are worth at the moment, and what can be done about it; a line in, a line out:
 *
 *     cpus CPU CPU
 *         look       "state DISTANCE SPEED SPEED": nanoseconds for a cache line to go from one to the other and back;
 *                    additions per tick of the time-stamp counter that each does (times 100; 0 where there is none)
 *         pull MS    "pulled": wakes each from the other for so long, see below
 *
 * On a virtual machine all three change from one moment to the next, and with them every figure of two processes that
 * share memory. The distance changes threefold with the place that the host gives each virtual CPU, the speed by 1.7 with
 * what runs on the other thread of its core. The host moves busy virtual CPUs apart, and such as wake each other up together:
 * so two threads here that pass a byte to and fro through pipes, asleep in between, bring the CPUs near each other, as long
 * as nothing else keeps them from going idle.
 *
 * With the right to, the threads look before everybody else, for a few tenths of a millisecond; without it the quickest
 * quarter of the batches is taken for those that nobody disturbed.
 */

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define BATCHES	 20u
#define TRIPS	 50u
#define CHUNKS	 60u
#define ADDS	 2000u
#define PARALLEL 6u

/* What the second thread is to do. */
enum {
	LOOK,
	PULL
};

static struct {
	_Alignas(128) atomic_uint ball;
	_Alignas(128) unsigned int speed[2];
	int cpu[2];
	int there[2], back[2]; /* pipes */
} court;

static uint64_t
now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void
settle(int cpu)
{
	struct sched_param first = {.sched_priority = 1};
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (pthread_setaffinity_np(pthread_self(), sizeof(set), &set) != 0)
		fprintf(stderr, "cpus: no CPU %d\n", cpu);
	pthread_setschedparam(pthread_self(), SCHED_FIFO, &first); /* or not */
}

static int
compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* A number that tells a core of one's own from one whose other thread is at work: the median of short chunks. */
static unsigned int
speed(void)
{
#ifdef __x86_64__
	uint64_t chunk[CHUNKS], a = 1, b = 2, c = 3, d = 4, e = 5, f = 6;
	unsigned int i, j;

	for (i = 0; i < CHUNKS; i++) {
		uint64_t begin = __builtin_ia32_rdtsc();

		for (j = 0; j < ADDS; j++)
			__asm__ volatile("add $1,%0\n\tadd $1,%1\n\tadd $1,%2\n\tadd $1,%3\n\tadd "
					 "$1,%4\n\tadd $1,%5"
					 : "+r"(a), "+r"(b), "+r"(c), "+r"(d), "+r"(e), "+r"(f));
		chunk[i] = __builtin_ia32_rdtsc() - begin;
	}
	qsort(chunk, CHUNKS, sizeof(chunk[0]), compare);
	return (unsigned int)(100 * PARALLEL * ADDS / chunk[CHUNKS / 2]);
#else
	return 0;
#endif
}

/* Waits for odd numbers, answers with the even one that follows. */
static void
answer(void)
{
	unsigned int next;

	for (next = 1; next <= 2 * BATCHES * TRIPS; next += 2) {
		while (atomic_load_explicit(&court.ball, memory_order_acquire) != next)
			;
		atomic_store_explicit(&court.ball, next + 1, memory_order_release);
	}
}

static double
serve(void)
{
	unsigned int i, j, next = 1;
	uint64_t batch[BATCHES];

	for (i = 0; i < BATCHES; i++) {
		uint64_t begin = now_ns();

		for (j = 0; j < TRIPS; j++, next += 2) {
			atomic_store_explicit(&court.ball, next, memory_order_release);
			while (atomic_load_explicit(&court.ball, memory_order_acquire) != next + 1)
				;
		}
		batch[i] = now_ns() - begin;
	}
	qsort(batch, BATCHES, sizeof(batch[0]), compare);
	return (double)batch[BATCHES / 4] / TRIPS;
}

static void
pass(int fd, char what)
{
	if (write(fd, &what, 1) != 1)
		exit(1);
}

static char
wait_for(int fd)
{
	char what = 0;

	if (read(fd, &what, 1) != 1)
		exit(0);
	return what;
}

static void *
second(void *arg)
{
	(void)arg;
	settle(court.cpu[1]);
	for (;;) {
		if (wait_for(court.there[0]) == LOOK) {
			court.speed[1] = speed();
			answer();
		}
		pass(court.back[1], 0);
	}
	return NULL;
}

static void
look(void)
{
	double distance;

	atomic_store(&court.ball, 0);
	pass(court.there[1], LOOK);
	court.speed[0] = speed();
	distance = serve();
	wait_for(court.back[0]);
	printf("state %.0f %u %u\n", distance, court.speed[0], court.speed[1]);
}

static void
pull(unsigned int ms)
{
	uint64_t end = now_ns() + (uint64_t)ms * 1000000u;

	while (now_ns() < end) {
		pass(court.there[1], PULL);
		wait_for(court.back[0]);
	}
	printf("pulled\n");
}

int
main(int argc, char **argv)
{
	pthread_t other;
	char line[80];

	if (argc != 3) {
		fprintf(stderr, "cpus CPU CPU\n");
		return 2;
	}
	court.cpu[0] = atoi(argv[1]);
	court.cpu[1] = atoi(argv[2]);
	if (court.cpu[0] == court.cpu[1]) {
		fprintf(stderr, "cpus: two CPUs\n");
		return 2;
	}
	if (pipe(court.there) != 0 || pipe(court.back) != 0 ||
		pthread_create(&other, NULL, second, NULL) != 0)
		return 1;
	settle(court.cpu[0]);
	while (fgets(line, sizeof(line), stdin) != NULL) {
		if (strncmp(line, "pull ", 5) == 0)
			pull((unsigned int)strtoul(line + 5, NULL, 10));
		else
			look();
		fflush(stdout);
	}
	return 0;
}
