/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * The switch's addresses (ADR-0011): a hash from address to position, and a slot per position with
 * the port and when it was last seen.
 *
 * lcores look up without locks (RTE_HASH_EXTRA_FLAGS_RW_CONCURRENCY_LF), move and refresh an
 * address by a relaxed store to its slot. Only a new address, or one that goes, changes the hash:
 * whoever does that claims it first. An lcore that finds it claimed does not wait; its frame was
 * flooded anyway, and the next one of that source tries again. The control side (ageing, a port
 * that leaves; control lock held) waits for its turn.
 *
 * A removed position is used again only after every lcore has left bursts that may have looked it
 * up (dp_plane_defer(): nobody waits for that); its slot says "no port" by then, so that a new
 * address there is flooded until its slot is written. Until then the key's place is 0.
 */

#include "dp_plane_internal.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_errno.h>
#include <rte_ether.h>
#include <rte_hash.h>
#include <rte_hash_crc.h>
#include <rte_malloc.h>
#include <rte_random.h>

#define KEY_MASK      0xffffffffffffull
#define GROUP_BIT     1ull /* of the first byte */
#define LEARN_BURST   16u  /* new addresses of one burst; more than that is a flood of them */
#define SWEEP_BATCH   1024u
#define AGE_CHECK_MIN 250000000ull  /* ns */
#define AGE_CHECK_MAX 5000000000ull /* ns */

/* ---- the claim --------------------------------------------------------------------------------- */

static bool
claim_try(struct dp_switch *sw)
{
	/* Acquire: pairs with the release of claim_give(), the hash is the last writer's. */
	return !atomic_load_explicit(&sw->claim, memory_order_relaxed) &&
	       !atomic_exchange_explicit(&sw->claim, true, memory_order_acquire);
}

static void
claim_give(struct dp_switch *sw)
{
	atomic_store_explicit(&sw->claim, false, memory_order_release);
}

static void
claim_wait(struct dp_switch *sw)
{
	while (!claim_try(sw))
		sched_yield();
}

/* ---- lookup and learning: lcores --------------------------------------------------------------- */

/** The index of @p key in the batch: the last one's, or a new one. */
static inline uint8_t
batch_add(struct dp_fdb_batch *b, uint64_t key, uint8_t last)
{
	if (last != DP_FDB_NONE && b->key[last] == key)
		return last;
	b->key[b->nb] = key;
	return (uint8_t)b->nb++;
}

void
dp_fdb_lookup(
	struct dp_switch *sw, struct dp_fdb_batch *b, struct rte_mbuf *const *pkts, uint16_t n)
{
	const void *ptr[2 * DP_BURST];
	uint8_t src = DP_FDB_NONE;
	uint8_t dst = DP_FDB_NONE;
	uint32_t i;

	b->nb = 0;
	for (i = 0; i < n; i++) {
		const uint8_t *p = rte_pktmbuf_mtod(pkts[i], const uint8_t *);
		uint64_t key;

		/* Little-endian (the build says so): the first byte is the lowest. */
		memcpy(&key, p, sizeof(key));
		key &= KEY_MASK;
		if (likely(!(key & GROUP_BIT)))
			dst = b->dst[i] = batch_add(b, key, dst);
		else
			b->dst[i] = DP_FDB_NONE;
		memcpy(&key, p + RTE_ETHER_ADDR_LEN, sizeof(key));
		key &= KEY_MASK;
		if (likely(!(key & GROUP_BIT) && key != 0))
			src = b->src[i] = batch_add(b, key, src);
		else
			b->src[i] = DP_FDB_NONE;
	}
	for (i = 0; i < b->nb; i++)
		ptr[i] = &b->key[i];
	for (i = 0; i < b->nb; i += RTE_HASH_LOOKUP_BULK_MAX)
		rte_hash_lookup_bulk(sw->hash, ptr + i,
			RTE_MIN(b->nb - i, (uint32_t)RTE_HASH_LOOKUP_BULK_MAX), b->pos + i);
}

/** With the claim held. */
static void
add_address(struct dp_switch *sw, uint64_t key, uint32_t port_id, uint32_t now_s)
{
	int32_t pos;

	if (sw->addresses >= sw->size) {
		sw->table_full++;
		return;
	}
	pos = rte_hash_add_key(sw->hash, &key);
	if (pos < 0) {
		sw->table_full++;
		return;
	}
	/* Another lcore may have been first: then it has just moved. */
	if (sw->key[pos] == 0) {
		sw->key[pos] = key;
		sw->addresses++;
		sw->learned++;
	}
	atomic_store_explicit(&sw->slot[pos].seen, now_s, memory_order_relaxed);
	atomic_store_explicit(&sw->slot[pos].port, port_id, memory_order_relaxed);
}

/** Is it believed that the address is there? Counted if not. */
static __rte_noinline bool
may_be_at(struct dp_lcore *lc, struct dp_switch *sw, uint64_t key, const struct dp_port *src)
{
	if (likely(dp_owner_allows(sw, key, src->id)))
		return true;
	sw->counters[lc->index].refused++;
	return false;
}

static __rte_noinline void
learn_new(struct dp_lcore *lc, struct dp_switch *sw, const struct dp_fdb_batch *b,
	const struct dp_port *src, uint16_t n)
{
	uint32_t room = LEARN_BURST;
	uint8_t last = DP_FDB_NONE;
	uint16_t i;

	if (!claim_try(sw))
		return;
	for (i = 0; i < n && room > 0; i++) {
		uint8_t k = b->src[i];

		if (k == last || k == DP_FDB_NONE || b->pos[k] >= 0)
			continue;
		last = k;
		if (!may_be_at(lc, sw, b->key[k], src))
			continue;
		add_address(sw, b->key[k], src->id, lc->now_s);
		room--;
	}
	claim_give(sw);
}

void
dp_fdb_learn(struct dp_lcore *lc, struct dp_switch *sw, const struct dp_fdb_batch *b,
	const struct dp_port *src, uint16_t n)
{
	uint8_t last = DP_FDB_NONE;
	bool new_ones = false;
	uint16_t i;

	for (i = 0; i < n; i++) {
		struct dp_fdb_slot *slot;
		uint8_t k = b->src[i];
		uint32_t port;

		if (k == last || k == DP_FDB_NONE)
			continue;
		last = k;
		if (unlikely(b->pos[k] < 0)) {
			new_ones = true;
			continue;
		}
		slot = &sw->slot[b->pos[k]];
		port = atomic_load_explicit(&slot->port, memory_order_relaxed);
		if (unlikely(port != src->id)) {
			/* 0: it goes just now, or another lcore is adding it. */
			if (port == 0 || !may_be_at(lc, sw, b->key[k], src))
				continue;
			atomic_store_explicit(&slot->port, src->id, memory_order_relaxed);
			sw->counters[lc->index].moved++;
		}
		/* Others read this line: it is written once a second, not per frame. */
		if (unlikely(atomic_load_explicit(&slot->seen, memory_order_relaxed) != lc->now_s))
			atomic_store_explicit(&slot->seen, lc->now_s, memory_order_relaxed);
	}
	if (unlikely(new_ones))
		learn_new(lc, sw, b, src, n);
}

void
dp_fdb_take(struct dp_switch *sw, uint64_t key, uint32_t port_id)
{
	int32_t pos;

	/* Nothing goes out of the table meanwhile. */
	claim_wait(sw);
	pos = rte_hash_lookup(sw->hash, &key);
	if (pos >= 0)
		atomic_store_explicit(&sw->slot[pos].port, port_id, memory_order_relaxed);
	claim_give(sw);
}

/* ---- removal: control side --------------------------------------------------------------------- */

/** To be removed? The claim is held. */
static bool
is_due(const struct dp_switch *sw, uint32_t pos, uint32_t port_id, uint32_t now_s)
{
	const struct dp_fdb_slot *slot = &sw->slot[pos];

	if (sw->key[pos] == 0)
		return false;
	if (port_id != 0)
		return atomic_load_explicit(&slot->port, memory_order_relaxed) == port_id;
	/* An lcore's second may be ahead of ours. */
	return (int32_t)(now_s - atomic_load_explicit(&slot->seen, memory_order_relaxed)) >
	       (int32_t)sw->ageing_s;
}

/** Positions taken out of the hash. */
struct gone {
	struct dp_deferred deferred;
	struct dp_switch *sw;
	uint32_t nb;
	int32_t pos[SWEEP_BATCH];
};

/** Take up to SWEEP_BATCH addresses out, from @p *pos on. */
static void
take_out(struct gone *g, uint32_t *pos, uint32_t port_id, uint32_t now_s)
{
	struct dp_switch *sw = g->sw;

	g->nb = 0;
	claim_wait(sw);
	for (; *pos < sw->nb_slots && g->nb < SWEEP_BATCH; (*pos)++) {
		if (!is_due(sw, *pos, port_id, now_s))
			continue;
		rte_hash_del_key(sw->hash, &sw->key[*pos]);
		atomic_store_explicit(&sw->slot[*pos].port, 0, memory_order_relaxed);
		sw->key[*pos] = 0;
		g->pos[g->nb++] = (int32_t)*pos;
	}
	sw->addresses -= g->nb;
	claim_give(sw);
}

/** No lcore knows the positions any more. */
static void
give_back(const struct gone *g)
{
	struct dp_switch *sw = g->sw;
	uint32_t i;

	claim_wait(sw);
	for (i = 0; i < g->nb; i++) {
		/* Once more: an lcore that had looked it up may have stored its port since. */
		atomic_store_explicit(&sw->slot[g->pos[i]].port, 0, memory_order_relaxed);
		rte_hash_free_key_with_position(sw->hash, g->pos[i]);
	}
	claim_give(sw);
}

static void
rested(struct dp_deferred *d)
{
	struct gone *g = container_of(d, struct gone, deferred);
	struct dp_switch *sw = g->sw;

	give_back(g);
	free(g);
	/* Release: dp_fdb_destroy() takes the hash away after it. */
	atomic_fetch_sub_explicit(&sw->nb_resting, 1, memory_order_release);
}

void
dp_fdb_sweep(struct dp_switch *sw, uint32_t port_id)
{
	uint32_t now_s = dp_plane_now_s();
	uint32_t pos = 0;

	while (pos < sw->nb_slots) {
		struct gone *g = malloc(sizeof(*g)), local;
		struct gone *to = g != NULL ? g : &local;

		to->sw = sw;
		take_out(to, &pos, port_id, now_s);
		if (port_id == 0)
			sw->aged += to->nb;
		if (to->nb == 0) {
			free(g);
		} else if (g != NULL) {
			atomic_fetch_add_explicit(&sw->nb_resting, 1, memory_order_relaxed);
			dp_plane_defer(&g->deferred, rested);
		} else {
			dp_plane_sync();
			give_back(to);
		}
	}
}

static uint64_t
age_period(const struct dp_switch *sw)
{
	uint64_t ns = (uint64_t)sw->ageing_s * 250000000ull;

	return RTE_MIN(RTE_MAX(ns, AGE_CHECK_MIN), AGE_CHECK_MAX);
}

static void
age(struct vbus_ctl_timer *t)
{
	struct dp_switch *sw = container_of(t, struct dp_switch, timer);

	dp_plane_reclaim(); /* of the last time, when nothing has changed since */
	dp_fdb_sweep(sw, 0);
	dp_fdb_age_arm(sw);
}

void
dp_fdb_age_arm(struct dp_switch *sw)
{
	vbus_ctl_timer_arm(&sw->timer, age_period(sw));
}

/** memcmp()'s result for keys of 8 bytes, without the call. */
static int
key_differs(const void *a, const void *b, size_t len)
{
	uint64_t x, y;

	(void)len;
	memcpy(&x, a, sizeof(x));
	memcpy(&y, b, sizeof(y));
	return x != y;
}

/* ---- life -------------------------------------------------------------------------------------- */

int
dp_fdb_create(struct dp_switch *sw, char *err, size_t err_size)
{
	static uint32_t serial;
	char name[RTE_HASH_NAMESIZE];
	struct rte_hash_parameters p = {
		.name = name,
		/* Room to spare: a full cuckoo table refuses keys, and removed positions rest. */
		.entries = sw->size + sw->size / 4 + 2 * SWEEP_BATCH,
		.key_len = sizeof(uint64_t),
		.hash_func = rte_hash_crc,
		.hash_func_init_val = (uint32_t)rte_rand(),
		.socket_id = SOCKET_ID_ANY,
		.extra_flag = RTE_HASH_EXTRA_FLAGS_RW_CONCURRENCY_LF,
	};

	snprintf(name, sizeof(name), "dp_fdb_%u", serial++);
	sw->hash = rte_hash_create(&p);
	if (sw->hash == NULL) {
		/* Without memory DPDK leaves what it set when it looked for the name. */
		const int why = rte_errno == ENOENT ? ENOMEM : rte_errno;

		return dp_plane_err(err, err_size, -why, "switch %s: table of %u: %s", sw->name,
			sw->size, rte_strerror(why));
	}
	rte_hash_set_cmp_func(sw->hash, key_differs);
	sw->nb_slots = (uint32_t)rte_hash_max_key_id(sw->hash) + 1;
	sw->slot = rte_zmalloc("dp_fdb_slot", sw->nb_slots * sizeof(*sw->slot), 64);
	sw->key = rte_zmalloc("dp_fdb_key", sw->nb_slots * sizeof(*sw->key), 64);
	if (sw->slot == NULL || sw->key == NULL) {
		dp_fdb_destroy(sw);
		return dp_plane_err(err, err_size, -ENOMEM, "switch %s: no memory for %u addresses",
			sw->name, sw->size);
	}
	sw->timer.fn = age;
	vbus_ctl_lock();
	dp_fdb_age_arm(sw);
	vbus_ctl_unlock();
	return 0;
}

void
dp_fdb_destroy(struct dp_switch *sw)
{
	vbus_ctl_lock();
	vbus_ctl_timer_cancel(&sw->timer);
	vbus_ctl_unlock();
	dp_plane_sync();
	/* Acquire: pairs with the release in rested(), which another thread may be in. */
	while (atomic_load_explicit(&sw->nb_resting, memory_order_acquire) != 0)
		sched_yield();
	rte_hash_free(sw->hash);
	rte_free(sw->slot);
	rte_free(sw->key);
	sw->hash = NULL;
	sw->slot = NULL;
	sw->key = NULL;
}

uint32_t
dp_switch_fdb(struct dp_switch *sw, void (*fn)(const struct dp_fdb_entry *e, void *arg), void *arg)
{
	uint32_t now_s = dp_plane_now_s();
	struct dp_fdb_entry e;
	uint32_t nb = 0;
	uint32_t pos;

	vbus_ctl_lock();
	for (pos = 0; pos < sw->nb_slots; pos++) {
		uint64_t key = __atomic_load_n(&sw->key[pos], __ATOMIC_RELAXED);
		uint32_t id = atomic_load_explicit(&sw->slot[pos].port, memory_order_relaxed);
		uint32_t seen = atomic_load_explicit(&sw->slot[pos].seen, memory_order_relaxed);
		struct dp_port *port = id != 0 ? dp_port_by_id(id) : NULL;

		if (key == 0 || port == NULL)
			continue;
		memcpy(&e.addr, &key, RTE_ETHER_ADDR_LEN);
		snprintf(e.port, sizeof(e.port), "%.*s", (int)sizeof(e.port) - 1, port->name);
		e.age_s = (int32_t)(now_s - seen) > 0 ? now_s - seen : 0;
		fn(&e, arg);
		nb++;
	}
	vbus_ctl_unlock();
	return nb;
}

void
dp_switch_stats(const struct dp_switch *sw, struct dp_switch_stats *st)
{
	unsigned int i;

	st->learned = __atomic_load_n(&sw->learned, __ATOMIC_RELAXED);
	st->aged = __atomic_load_n(&sw->aged, __ATOMIC_RELAXED);
	st->table_full = __atomic_load_n(&sw->table_full, __ATOMIC_RELAXED);
	st->addresses = __atomic_load_n(&sw->addresses, __ATOMIC_RELAXED);
	st->moved = st->refused = 0;
	for (i = 0; i < dp_plane.nb_lcores; i++) {
		st->moved += __atomic_load_n(&sw->counters[i].moved, __ATOMIC_RELAXED);
		st->refused += __atomic_load_n(&sw->counters[i].refused, __ATOMIC_RELAXED);
	}
}
