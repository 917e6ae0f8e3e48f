/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * The data plane as a whole (ADR-0011): start and stop of the lcores, their mbufs, lists of ports.
 *
 * Control side, one call at a time. Changes of ports hold dp_plane.lock (before the control lock),
 * because dp_numa.c's job makes them too.
 *
 * Stopping has two steps: first no lcore receives, then each empties what others had handed to it.
 * Ports and switches may be deleted before or after; start again needs them gone.
 */

#include "dp_plane_internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <rte_cycles.h>
#include <rte_errno.h>
#include <rte_lcore.h>
#include <rte_launch.h>
#include <rte_malloc.h>

#include "dp_log.h"
#include "vbus_compat.h"

DP_LOG_TYPE("plane");

/** Mbufs of a node. What memory does not hold is tried with half, down to POOL_MBUFS_MIN. */
#ifndef DP_POOL_MBUFS
#define DP_POOL_MBUFS 32767u
#endif
#define POOL_MBUFS_MIN 2047u

struct dp_plane dp_plane = {.lock = PTHREAD_MUTEX_INITIALIZER};

int
dp_plane_err(char *err, size_t err_size, int ret, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(err, err_size, fmt, ap);
	va_end(ap);
	return ret;
}

uint32_t
dp_plane_now_s(void)
{
	return (uint32_t)(rte_rdtsc() / rte_get_tsc_hz());
}

struct dp_port_list *
dp_port_list_edit(const struct dp_port_list *old, const struct dp_port *del, struct dp_port *add)
{
	uint32_t nb = old != NULL ? old->nb : 0;
	struct dp_port_list *list;
	uint32_t i;

	list = rte_malloc("dp_list", sizeof(*list) + (nb + 1) * sizeof(list->port[0]), 0);
	if (list == NULL)
		return NULL;
	list->nb = 0;
	list->gen = ++dp_plane.list_gen;
	for (i = 0; i < nb; i++)
		if (old->port[i] != del)
			list->port[list->nb++] = old->port[i];
	if (add != NULL)
		list->port[list->nb++] = add;
	return list;
}

struct dp_port_list *
dp_port_list_drop(struct dp_port_list *old, const struct dp_port *del)
{
	struct dp_port_list *list = dp_port_list_edit(old, del, NULL);
	uint32_t i;

	if (list != NULL)
		return list;
	/* The last takes its place. Who reads meanwhile may see that one twice, or not at all. */
	for (i = 0; i < old->nb && old->port[i] != del; i++)
		;
	if (i == old->nb)
		return old;
	__atomic_store_n(&old->port[i], old->port[old->nb - 1], __ATOMIC_RELAXED);
	__atomic_store_n(&old->nb, old->nb - 1, __ATOMIC_RELEASE);
	return old;
}

static void
list_free(struct dp_deferred *d)
{
	rte_free(container_of(d, struct dp_port_list, deferred));
}

void
dp_port_list_rest(struct dp_port_list *old, const struct dp_port_list *now)
{
	if (old != now)
		dp_plane_defer(&old->deferred, list_free);
}

/* ---- mbufs ------------------------------------------------------------------------------------- */

static struct rte_mempool *
pool_make(int socket)
{
	char name[RTE_MEMPOOL_NAMESIZE];
	struct rte_mempool *mp;
	unsigned int nb;

	snprintf(name, sizeof(name), "dp_mbufs_%d", socket);
	mp = rte_mempool_lookup(name);
	for (nb = DP_POOL_MBUFS; mp == NULL && nb >= POOL_MBUFS_MIN; nb /= 2) {
		mp = rte_pktmbuf_pool_create(
			name, nb, DP_MBUF_CACHE, 0, RTE_MBUF_DEFAULT_BUF_SIZE, socket);
		if (mp != NULL && nb != DP_POOL_MBUFS)
			DP_LOG(WARNING, "node %d: memory for %u frame buffers only, wanted %u",
				socket, nb, DP_POOL_MBUFS);
	}
	return mp;
}

struct rte_mempool *
dp_plane_pool(int socket)
{
	unsigned int i;

	if (socket >= 0 && socket < RTE_MAX_NUMA_NODES && dp_plane.pool[socket] != NULL)
		return dp_plane.pool[socket];
	for (i = 0; i < RTE_MAX_NUMA_NODES; i++)
		if (dp_plane.pool[i] != NULL)
			return dp_plane.pool[i];
	return NULL;
}

/* ---- start ------------------------------------------------------------------------------------- */

static int
lcore_add(unsigned int id, char *err, size_t err_size)
{
	unsigned int socket = rte_lcore_to_socket_id(id);
	struct dp_lcore *lc;

	if (socket >= RTE_MAX_NUMA_NODES)
		socket = 0;
	lc = dp_lcore_new(id, dp_plane.nb_lcores);
	if (lc == NULL)
		return dp_plane_err(err, err_size, -errno, "lcore %u: %s", id, strerror(errno));
	lc->socket = socket;
	dp_plane.lcores[dp_plane.nb_lcores++] = lc;
	if (dp_plane.pool[socket] == NULL)
		dp_plane.pool[socket] = pool_make((int)socket);
	if (dp_plane.pool[socket] == NULL && dp_plane_pool(SOCKET_ID_ANY) == NULL)
		return dp_plane_err(err, err_size, -ENOMEM,
			"node %u: no memory for frame buffers: %s", socket,
			rte_strerror(rte_errno));
	return 0;
}

/* Of a telemetry thread. What sleeps is neither busy nor polling for nothing: it is left out. */
static int
lcore_usage(unsigned int id, vbus_lcore_usage_t *usage)
{
	struct dp_lcore_info info[DP_LCORES_MAX];
	uint32_t i, nb = dp_lcore_info(info, RTE_DIM(info));

	for (i = 0; i < nb && info[i].lcore != id; i++)
		;
	if (i == nb)
		return -ENOENT;
	usage->busy_cycles = info[i].busy_cycles;
	usage->total_cycles = info[i].busy_cycles + info[i].idle_cycles;
	return 0;
}

static int
lcores_make(char *err, size_t err_size)
{
	unsigned int id;
	int ret = 0;

	RTE_LCORE_FOREACH_WORKER(id)
	{
		if (ret == 0 && dp_plane.nb_lcores < DP_LCORES_MAX)
			ret = lcore_add(id, err, err_size);
	}
	dp_plane.main_polls = dp_plane.nb_lcores == 0;
	if (ret == 0 && dp_plane.main_polls)
		ret = lcore_add(rte_get_main_lcore(), err, err_size);
	if (ret == 0 && dp_lcore_connect() < 0)
		ret = dp_plane_err(err, err_size, -ENOMEM, "no memory for the lcores' rings");
	if (ret == 0)
		vbus_lcore_usage_register(lcore_usage);
	return ret;
}

static void
lcores_free(void)
{
	vbus_lcore_usage_register(NULL);
	while (dp_plane.nb_lcores > 0)
		dp_lcore_free(dp_plane.lcores[--dp_plane.nb_lcores]);
	dp_rcu_free();
}

/** Those of the last run, kept for who looks at counters after it. */
static int
forget_last_run(char *err, size_t err_size)
{
	if (atomic_load(&dp_plane.phase) == DP_PHASE_RUN)
		return dp_plane_err(err, err_size, -EBUSY, "the lcores run already");
	if (dp_plane.nb_ports != 0)
		return dp_plane_err(err, err_size, -EBUSY, "%u ports of the last run are left",
			dp_plane.nb_ports);
	dp_plane_sync();
	lcores_free();
	return 0;
}

void
dp_plane_set_mode(enum dp_mode mode, uint32_t idle_us)
{
	unsigned int i;

	atomic_store_explicit(&dp_plane.idle_tsc, (uint64_t)idle_us * rte_get_tsc_hz() / 1000000,
		memory_order_relaxed);
	/* Who does not see it yet wakes nobody: one that sleeps already is late once, by its longest
	 * sleep.
	 */
	atomic_store_explicit(&dp_plane.adaptive, mode == DP_MODE_ADAPTIVE, memory_order_relaxed);
	for (i = 0; i < dp_plane.nb_lcores; i++)
		dp_lcore_wake(dp_plane.lcores[i]);
}

int
dp_plane_start(enum dp_mode mode, uint32_t idle_us, char *err, size_t err_size)
{
	unsigned int i;
	int ret;

	ret = forget_last_run(err, err_size);
	if (ret < 0)
		return ret;
	ret = vbus_ctl_get();
	if (ret < 0)
		return dp_plane_err(err, err_size, ret, "control thread: %s", strerror(-ret));
	dp_plane_set_mode(mode, idle_us);
	ret = lcores_make(err, err_size);
	if (ret == 0)
		ret = dp_rcu_make(err, err_size);
	if (ret < 0)
		goto err_free;
	dp_numa_init();
	atomic_store(&dp_plane.nb_draining, 0);
	atomic_store(&dp_plane.nb_left, dp_plane.nb_lcores);
	atomic_store(&dp_plane.phase, DP_PHASE_RUN);
	for (i = 0; !dp_plane.main_polls && i < dp_plane.nb_lcores; i++) {
		ret = rte_eal_remote_launch(
			dp_lcore_run, dp_plane.lcores[i], dp_plane.lcores[i]->lcore);
		if (ret < 0)
			goto err_stop;
	}
	return 0;

err_stop:
	dp_plane_err(err, err_size, ret, "lcore %u: %s", dp_plane.lcores[i]->lcore, strerror(-ret));
	/* Those that were not launched count as through. */
	atomic_fetch_add(&dp_plane.nb_draining, dp_plane.nb_lcores - i);
	atomic_fetch_sub(&dp_plane.nb_left, dp_plane.nb_lcores - i);
	dp_plane_stop();
	lcores_free();
	return ret;
err_free:
	lcores_free();
	vbus_ctl_put();
	return ret;
}

void
dp_plane_main_loop(void)
{
	if (!dp_plane.main_polls || dp_plane.nb_lcores == 0)
		return;
	/* entered, then phase; dp_plane_stop() writes phase, then reads entered (both sequentially
	 * consistent): at least one of the two sees the other.
	 */
	atomic_store(&dp_plane.lcores[0]->entered, true);
	if (atomic_load(&dp_plane.phase) == DP_PHASE_RUN)
		dp_lcore_run(dp_plane.lcores[0]);
	else
		atomic_store(&dp_plane.nb_left, 0);
}

void
dp_plane_stop(void)
{
	unsigned int i;

	if (atomic_load(&dp_plane.phase) != DP_PHASE_RUN)
		return;
	atomic_store(&dp_plane.phase, DP_PHASE_DRAIN);
	/* A main lcore that has not entered its loop will not any more. */
	if (dp_plane.main_polls && !atomic_load(&dp_plane.lcores[0]->entered))
		atomic_store(&dp_plane.nb_left, 0);
	for (i = 0; i < dp_plane.nb_lcores; i++)
		dp_lcore_wake(dp_plane.lcores[i]);
	for (i = 0; !dp_plane.main_polls && i < dp_plane.nb_lcores; i++)
		rte_eal_wait_lcore(dp_plane.lcores[i]->lcore);
	while (atomic_load(&dp_plane.nb_left) != 0)
		usleep(100);
	atomic_store(&dp_plane.phase, DP_PHASE_STOPPED);
	dp_plane_sync(); /* what rests */
	vbus_ctl_lock();
	vbus_ctl_job_cancel(&dp_plane.numa_job);
	vbus_ctl_job_cancel(&dp_plane.gone_job);
	vbus_ctl_unlock();
	vbus_ctl_put();
}
