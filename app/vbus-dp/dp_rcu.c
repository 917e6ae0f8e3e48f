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
 * Any thread, libvbus's control lock held or not. What rests is in DPDK's defer queue.
 */

#include "dp_plane_internal.h"

#include <errno.h>
#include <sched.h>
#include <unistd.h>

#include <rte_errno.h>
#include <rte_malloc.h>

#define SYNC_SPINS    200u /* looks before giving the CPU away */
#define SYNC_YIELDS   200u /* and before sleeping */
#define SYNC_SLEEP_US 20u
#define DEFERRED_MAX  64u /* more wait: memory that rests is bounded */

static void
run(void *arg, void *entries, unsigned int n)
{
	struct dp_deferred **d = entries;
	unsigned int i;

	(void)arg;
	for (i = 0; i < n; i++)
		d[i]->fn(d[i]);
}

int
dp_rcu_make(char *err, size_t err_size)
{
	struct rte_rcu_qsbr_dq_parameters params = {.name = "dp_rcu",
		.size = DEFERRED_MAX,
		.esize = sizeof(struct dp_deferred *),
		.trigger_reclaim_limit = 0, /* each that comes looks after those before it */
		.max_reclaim_size = DEFERRED_MAX,
		.free_fn = run};
	unsigned int i;

	dp_plane.qs = rte_zmalloc(
		"dp_rcu", rte_rcu_qsbr_get_memsize(dp_plane.nb_lcores), RTE_CACHE_LINE_SIZE);
	if (dp_plane.qs == NULL)
		return dp_plane_err(err, err_size, -ENOMEM, "no memory for RCU");
	rte_rcu_qsbr_init(dp_plane.qs, dp_plane.nb_lcores);
	for (i = 0; i < dp_plane.nb_lcores; i++)
		rte_rcu_qsbr_thread_register(dp_plane.qs, i);
	params.v = dp_plane.qs;
	dp_plane.resting = rte_rcu_qsbr_dq_create(&params);
	if (dp_plane.resting == NULL)
		return dp_plane_err(
			err, err_size, -rte_errno, "no defer queue: %s", rte_strerror(rte_errno));
	return 0;
}

void
dp_rcu_free(void)
{
	/* The lcores have ended: nothing rests any more. */
	if (dp_plane.resting != NULL)
		rte_rcu_qsbr_dq_delete(dp_plane.resting);
	rte_free(dp_plane.qs);
	dp_plane.resting = NULL;
	dp_plane.qs = NULL;
}

void
dp_plane_reclaim(void)
{
	if (dp_plane.resting != NULL)
		rte_rcu_qsbr_dq_reclaim(dp_plane.resting, DEFERRED_MAX, NULL, NULL, NULL);
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
	d->fn = fn;
	if (dp_plane.resting != NULL && rte_rcu_qsbr_dq_enqueue(dp_plane.resting, &d) == 0)
		return;
	/* It is full, or no lcore was ever there. */
	dp_plane_sync();
	fn(d);
}
