/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * The in-burst mark under stress: two polling threads use what a control thread takes away and
 * frees. A mark that does not hold shows as a poisoned value, as a use after free under
 * AddressSanitizer, or as a race under ThreadSanitizer.
 */

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>

#include "cu_run.h"
#include "vbus_mark.h"

#define NB_POLLERS 2
#define ROUNDS	   3000
#define GOOD	   0x600d600du
#define BAD	   0xbadbadbau

struct path {
	uint32_t magic;
	uint32_t uses[NB_POLLERS]; /* one writer each */
};

struct poller {
	struct vbus_mark mark;
	pthread_t tid;
	unsigned int index;
	uint64_t nb_bursts, nb_with_path, nb_bad;
	uint8_t pad[64];
};

static struct poller pollers[NB_POLLERS];
static _Atomic(struct path *) path;
static atomic_bool stop;

static void *
poll_loop(void *arg)
{
	struct poller *p = arg;

	while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
		struct path *use;

		vbus_mark_enter(&p->mark);
		use = atomic_load_explicit(&path, memory_order_acquire); /* M1 */
		if (use != NULL) {
			if (use->magic != GOOD)
				p->nb_bad++;
			use->uses[p->index]++;
			p->nb_with_path++;
		}
		vbus_mark_leave(&p->mark);
		p->nb_bursts++;
	}
	return NULL;
}

static void
test_stress(void)
{
	struct timespec nap = {.tv_nsec = 20000};
	uint64_t with_path = 0;

	CU_ASSERT_EQUAL(vbus_mark_init(), 0);
	atomic_store(&stop, false);
	for (unsigned int i = 0; i < NB_POLLERS; i++) {
		pollers[i].index = i;
		pthread_create(&pollers[i].tid, NULL, poll_loop, &pollers[i]);
	}
	for (int r = 0; r < ROUNDS; r++) {
		struct path *p = calloc(1, sizeof(*p));

		p->magic = GOOD;
		atomic_store_explicit(&path, p, memory_order_release);
		if (r % 8 == 0)
			nanosleep(&nap, NULL);
		atomic_store_explicit(&path, NULL, memory_order_release); /* C0 */
		if (r % 2 == 0) {
			for (unsigned int i = 0; i < NB_POLLERS; i++)
				vbus_mark_wait(&pollers[i].mark);
		} else {
			vbus_mark_fence();
			for (unsigned int i = 0; i < NB_POLLERS; i++)
				vbus_mark_wait_nofence(&pollers[i].mark);
		}
		p->magic = BAD;
		free(p);
	}
	atomic_store(&stop, true);
	for (unsigned int i = 0; i < NB_POLLERS; i++) {
		pthread_join(pollers[i].tid, NULL);
		CU_ASSERT_EQUAL(pollers[i].nb_bad, 0);
		with_path += pollers[i].nb_with_path;
	}
	CU_ASSERT_TRUE(with_path > 0);
}

static void *
long_burst(void *arg)
{
	struct timespec nap = {.tv_nsec = 50 * 1000 * 1000};
	struct vbus_mark *m = arg;

	vbus_mark_enter(m);
	atomic_store(&stop, false); /* tells the test that the burst runs */
	nanosleep(&nap, NULL);
	atomic_store(&stop, true);
	vbus_mark_leave(m);
	return NULL;
}

/* The wait lasts as long as the burst, and an idle queue does not hold anybody up. */
static void
test_waits(void)
{
	struct vbus_mark m = {0};
	pthread_t t;

	vbus_mark_wait(&m);
	atomic_store(&stop, true);
	pthread_create(&t, NULL, long_burst, &m);
	while (atomic_load(&stop))
		;
	vbus_mark_wait(&m);
	CU_ASSERT_TRUE(atomic_load(&stop));
	pthread_join(t, NULL);
}

static const struct cu_test tests[] = {
	{"a burst is waited for", test_waits},
	{"publish, unpublish, free", test_stress},
	{NULL, NULL},
};

int
main(void)
{
	return cu_run("mark", tests, NULL, NULL);
}
