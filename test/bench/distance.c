/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * How far two CPUs are apart: nanoseconds for a cache line to go from one to the other and back.
 *
 *     distance CPU CPU
 *
 * On a virtual machine this changes from one moment to the next, and with it every figure of two
 * processes that share memory. Two threads, one on each CPU, pass a number to and fro. With the
 * right to, they run before everybody else for the few milliseconds that it takes; without it the
 * quickest quarter of the batches is taken for those that nobody disturbed.
 */

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define BATCHES 40u
#define TRIPS	200u

static struct {
	_Alignas(128) atomic_uint ball;
	_Alignas(128) int cpu[2];
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
		fprintf(stderr, "distance: no CPU %d\n", cpu);
	pthread_setschedparam(pthread_self(), SCHED_FIFO, &first); /* or not */
}

/* Waits for odd numbers, answers with the even one that follows. */
static void *
answer(void *arg)
{
	unsigned int next;

	(void)arg;
	settle(court.cpu[1]);
	for (next = 1; next <= 2 * BATCHES * TRIPS; next += 2) {
		while (atomic_load_explicit(&court.ball, memory_order_acquire) != next)
			;
		atomic_store_explicit(&court.ball, next + 1, memory_order_release);
	}
	return NULL;
}

static int
compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

int
main(int argc, char **argv)
{
	uint64_t batch[BATCHES];
	unsigned int i, j, next = 1;
	pthread_t other;

	if (argc != 3) {
		fprintf(stderr, "distance CPU CPU\n");
		return 2;
	}
	court.cpu[0] = atoi(argv[1]);
	court.cpu[1] = atoi(argv[2]);
	if (court.cpu[0] == court.cpu[1]) {
		fprintf(stderr, "distance: two CPUs\n");
		return 2;
	}
	if (pthread_create(&other, NULL, answer, NULL) != 0)
		return 1;
	settle(court.cpu[0]);
	for (i = 0; i < BATCHES; i++) {
		uint64_t begin = now_ns();

		for (j = 0; j < TRIPS; j++, next += 2) {
			atomic_store_explicit(&court.ball, next, memory_order_release);
			while (atomic_load_explicit(&court.ball, memory_order_acquire) != next + 1)
				;
		}
		batch[i] = now_ns() - begin;
	}
	pthread_join(other, NULL);
	qsort(batch, BATCHES, sizeof(batch[0]), compare);
	printf("%.0f\n", (double)batch[BATCHES / 4] / TRIPS);
	return 0;
}
