/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * Writes on their way to the far half, in the test mode for distance (ADR-0018): one queue, first in, first out. A
 * posted write passes no other, and whoever reads pushes all of them ahead of the read.
 *
 * Threads: one of its own, that has them arrive; pushes and reads from signal handlers of any thread, which block all
 * other signals: hence a lock that spins.
 */

#include "distance_priv.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <sched.h>
#include <string.h>
#include <time.h>

#define COUNT 1024u

static struct {
	atomic_flag lock;
	sem_t some; /* the queue is not empty any more */
	uint32_t head, tail;
	struct vbus_posted w[COUNT];
	bool running;
} q = {.lock = ATOMIC_FLAG_INIT};

uint64_t
vbus_far_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void
lock(void)
{
	while (atomic_flag_test_and_set_explicit(&q.lock, memory_order_acquire))
		sched_yield();
}

static void
unlock(void)
{
	atomic_flag_clear_explicit(&q.lock, memory_order_release);
}

/* Words as whole as they were written: a line of the mask is eight bytes. */
static void
arrive(const struct vbus_posted *w)
{
	uint32_t i = 0;

	while (i < VBUS_POSTED_BYTES) {
		uint8_t *to = w->to + i;
		uint64_t left = w->mask >> i, word;
		uint32_t half;

		if (left == 0)
			break;
		if ((uintptr_t)to % 8 == 0 && (left & 0xff) == 0xff) {
			memcpy(&word, w->data + i, sizeof(word));
			__atomic_store_n((uint64_t *)(void *)to, word, __ATOMIC_RELEASE);
			i += 8;
		} else if ((uintptr_t)to % 4 == 0 && (left & 0xf) == 0xf) {
			memcpy(&half, w->data + i, sizeof(half));
			__atomic_store_n((uint32_t *)(void *)to, half, __ATOMIC_RELEASE);
			i += 4;
		} else {
			if (left & 1)
				__atomic_store_n(to, w->data[i], __ATOMIC_RELEASE);
			i++;
		}
	}
}

static void
first_arrives(void)
{
	arrive(&q.w[q.head++ % COUNT]);
}

void
vbus_posted_push(const struct vbus_posted *w)
{
	lock();
	if (q.tail - q.head == COUNT)
		first_arrives();
	q.w[q.tail % COUNT] = *w;
	if (q.tail++ == q.head)
		sem_post(&q.some);
	unlock();
}

void
vbus_posted_drain(void)
{
	lock();
	while (q.head != q.tail)
		first_arrives();
	unlock();
}

static void
wait_until(uint64_t ns)
{
	const struct timespec t = {
		.tv_sec = (time_t)(ns / 1000000000), .tv_nsec = (long)(ns % 1000000000)};

	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
}

static void *
carry(void *arg)
{
	uint64_t now, due;

	(void)arg;
	for (;;) {
		while (sem_wait(&q.some) != 0)
			;
		do {
			lock();
			now = vbus_far_now_ns();
			while (q.head != q.tail && q.w[q.head % COUNT].due_ns <= now)
				first_arrives();
			due = q.head != q.tail ? q.w[q.head % COUNT].due_ns : 0;
			unlock();
			if (due != 0)
				wait_until(due);
		} while (due != 0);
	}
	return NULL;
}

int
vbus_posted_begin(void)
{
	pthread_t thread;
	sigset_t all, old;
	int ret;

	if (q.running)
		return 0;
	if (sem_init(&q.some, 0, 0) != 0)
		return -errno;
	sigfillset(&all);
	sigdelset(&all, SIGBUS); /* the window may be cut short */
	pthread_sigmask(SIG_BLOCK, &all, &old);
	ret = pthread_create(&thread, NULL, carry, NULL);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (ret != 0) {
		sem_destroy(&q.some);
		return -ret;
	}
	pthread_detach(thread);
	q.running = true;
	return 0;
}
