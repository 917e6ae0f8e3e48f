/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * Waiting for lcores, and not waiting for them (ADR-0011).
 *
 * What is unpublished is freed when every lcore has passed a quiescent state. Where nobody has to
 * know when that is, the free is deferred: it is done by whoever comes along later (the next change,
 * the next wait, the ageing of a switch). On a machine where lcores share CPUs a wait costs a turn of
 * each of them, so a change waits at most once, and one that only adds something not at all.
 *
 * Any thread, libvbus's control lock held or not; no lcore takes the lock here.
 */

#include "dp_plane_internal.h"

#include <sched.h>
#include <unistd.h>

#define SYNC_SPINS    200u /* looks before giving the CPU away */
#define SYNC_YIELDS   200u /* and before sleeping */
#define SYNC_SLEEP_US 20u
#define DEFERRED_MAX  64u /* more wait: memory that rests is bounded */

static struct {
	pthread_mutex_t lock;
	struct dp_deferred *first, *last; /* in the order of their tokens */
	uint32_t nb;
} rcu = {.lock = PTHREAD_MUTEX_INITIALIZER};

/** Take out those that no lcore can hold any more, in their order. The lock is held. */
static struct dp_deferred *
take_done(void)
{
	struct dp_deferred *head = rcu.first;
	struct dp_deferred **end = &rcu.first;

	while (*end != NULL && rte_rcu_qsbr_check(dp_plane.qs, (*end)->token, false)) {
		end = &(*end)->next;
		rcu.nb--;
	}
	if (end == &rcu.first)
		return NULL;
	rcu.first = *end;
	if (rcu.first == NULL)
		rcu.last = NULL;
	*end = NULL;
	return head;
}

static void
run(struct dp_deferred *d)
{
	while (d != NULL) {
		struct dp_deferred *next = d->next;

		d->fn(d);
		d = next;
	}
}

void
dp_plane_reclaim(void)
{
	struct dp_deferred *done = NULL;

	if (dp_plane.qs == NULL)
		return;
	pthread_mutex_lock(&rcu.lock);
	/* The order in which they come off is that of the lock; nothing hangs on the order of fn(). */
	done = take_done();
	pthread_mutex_unlock(&rcu.lock);
	run(done);
}

void
dp_plane_sync(void)
{
	uint64_t token;
	unsigned int i;

	if (dp_plane.qs == NULL)
		return;
	token = rte_rcu_qsbr_start(dp_plane.qs);
	if (dp_lcore_self != NULL)
		rte_rcu_qsbr_quiescent(dp_plane.qs, dp_lcore_self->index);
	/* Not rte_rcu_qsbr_synchronize(): an lcore that shares our CPU must get to run. */
	for (i = 0; !rte_rcu_qsbr_check(dp_plane.qs, token, false); i++) {
		if (i < SYNC_SPINS)
			rte_pause();
		else if (i < SYNC_SPINS + SYNC_YIELDS)
			sched_yield();
		else
			usleep(SYNC_SLEEP_US);
	}
	dp_plane_reclaim();
}

void
dp_plane_defer(struct dp_deferred *d, void (*fn)(struct dp_deferred *d))
{
	struct dp_deferred *done = NULL;
	bool full = false;

	d->fn = fn;
	d->next = NULL;
	if (dp_plane.qs == NULL) {
		fn(d); /* no lcore was ever there */
		return;
	}
	pthread_mutex_lock(&rcu.lock);
	d->token = rte_rcu_qsbr_start(dp_plane.qs);
	if (rcu.last != NULL)
		rcu.last->next = d;
	else
		rcu.first = d;
	rcu.last = d;
	full = ++rcu.nb > DEFERRED_MAX;
	done = take_done();
	pthread_mutex_unlock(&rcu.lock);
	run(done);
	if (full)
		dp_plane_sync();
}
