/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * Which mbuf pools the peer can see. A burst asks a small table; it never asks the bus.
 *
 * Threads: the table is written with the port's lock held (session begin, and mempool's events, which
 * run on whichever thread makes or frees a pool); polling threads read it.
 * Ownership: none; a pool leaves the table before it is destroyed, and the epoch makes every burst
 * forget the pool that it saw last. Pools beyond the table's end are copied, as invisible ones are.
 */
#include "vbus_north.h"

#include <rte_errno.h>
#include <rte_mempool.h>

struct pool_check {
	struct rte_vbus_device *vdev;
	bool visible;
};

static void
pool_check_chunk(
	struct rte_mempool *mp, void *arg, struct rte_mempool_memhdr *memhdr, unsigned int idx)
{
	struct pool_check *c = arg;

	(void)mp;
	(void)idx;
	if (!rte_vbus_visible(c->vdev, memhdr->addr, memhdr->len))
		c->visible = false;
}

bool
north_pool_visible(struct rte_vbus_device *vdev, struct rte_mempool *mp)
{
	struct pool_check c = {.vdev = vdev, .visible = true};

	/* Buffers outside of the pool's own memory (pinned external ones) are not looked for. */
	if (rte_pktmbuf_priv_flags(mp) & RTE_PKTMBUF_POOL_F_PINNED_EXT_BUF)
		return false;
	return rte_mempool_mem_iter(mp, pool_check_chunk, &c) > 0 && c.visible;
}

/* Is it a pool of mbufs at all? Others have another private area. */
static bool
pool_is_pktmbuf(const struct rte_mempool *mp)
{
	return mp->private_data_size >= sizeof(struct rte_pktmbuf_pool_private) &&
	       mp->elt_size >= sizeof(struct rte_mbuf);
}

bool
north_pools_find(const struct north_pools *p, const struct rte_mempool *mp)
{
	for (uint32_t i = 0; i < NORTH_POOLS; i++)
		if (atomic_load_explicit(&p->visible[i], memory_order_relaxed) == mp)
			return true;
	return false;
}

/* Release: the table is as this epoch has it. Partner: the acquire in north_tx_burst(). */
static void
pools_changed(struct north_pools *p)
{
	atomic_fetch_add_explicit(&p->epoch, 1, memory_order_release);
}

static void
pools_add(struct north_pools *p, struct rte_mempool *mp)
{
	for (uint32_t i = 0; i < NORTH_POOLS; i++) {
		if (atomic_load_explicit(&p->visible[i], memory_order_relaxed) == NULL) {
			atomic_store_explicit(&p->visible[i], mp, memory_order_relaxed);
			return;
		}
	}
}

static void
pools_scan_one(struct rte_mempool *mp, void *arg)
{
	struct north_local *l = arg;

	if (pool_is_pktmbuf(mp) && north_pool_visible(l->vdev, mp))
		pools_add(&l->port->pools, mp);
}

void
north_pools_scan(struct north_local *l)
{
	struct north_pools *p = &l->port->pools;

	for (uint32_t i = 0; i < NORTH_POOLS; i++)
		atomic_store_explicit(&p->visible[i], NULL, memory_order_relaxed);
	rte_mempool_walk(pools_scan_one, l);
	pools_changed(p);
}

static void
pools_event(enum rte_mempool_event event, struct rte_mempool *mp, void *arg)
{
	struct north_local *l = arg;
	struct north_pools *p;

	if (!pool_is_pktmbuf(mp))
		return;
	pthread_mutex_lock(&l->lock);
	if (l->port == NULL)
		goto unlock;
	p = &l->port->pools;
	for (uint32_t i = 0; i < NORTH_POOLS; i++)
		if (atomic_load_explicit(&p->visible[i], memory_order_relaxed) == mp)
			atomic_store_explicit(&p->visible[i], NULL, memory_order_relaxed);
	if (event == RTE_MEMPOOL_EVENT_READY && north_pool_visible(l->vdev, mp))
		pools_add(p, mp);
	pools_changed(p);
unlock:
	pthread_mutex_unlock(&l->lock);
}

int
north_pools_watch(struct north_local *l)
{
	return rte_mempool_event_callback_register(pools_event, l) == 0 ? 0 : -rte_errno;
}

void
north_pools_unwatch(struct north_local *l)
{
	rte_mempool_event_callback_unregister(pools_event, l);
}
