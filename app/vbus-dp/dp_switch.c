/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * A learning Ethernet switch (ADR-0011): where a burst goes, and who is a member.
 *
 * Forwarding runs on every lcore that polls a member, at once, and shares nothing but the table of
 * addresses (dp_fdb.c) and the list of members, which is published. Frames of a burst are sorted
 * by destination; each destination gets its share in one go and in order.
 *
 * A flooded frame is given to all members by reference: whoever has to change one copies it. The
 * switch belongs to the control side, which deletes it after its last port has left.
 */

#include "dp_plane_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <rte_malloc.h>

/* ---- forwarding: lcores ------------------------------------------------------------------------ */

/** A reference to each, for one more who frees them. */
static void
take_refs(struct rte_mbuf **pkts, uint16_t n)
{
	uint16_t i;

	for (i = 0; i < n; i++)
		rte_pktmbuf_refcnt_update(pkts[i], 1);
}

static __rte_noinline void
flood(struct dp_lcore *lc, struct dp_switch *sw, struct dp_port *src, struct rte_mbuf **pkts,
	uint16_t n)
{
	/* Acquire: pairs with the release in publish(). */
	const struct dp_port_list *members = atomic_load_explicit(
		&sw->members, memory_order_acquire);
	struct rte_mbuf *refs[DP_BURST];
	uint32_t i;

	dp_port_st(src, lc)->flooded += n;
	for (i = 0; i < members->nb; i++) {
		struct dp_port *port = members->port[i];

		/* Not to who has no carrier: that would be counted as a loss there. */
		if (port == src || (port->venet != NULL && !vbus_venet_link(port->venet)))
			continue;
		memcpy(refs, pkts, n * sizeof(refs[0]));
		take_refs(refs, n);
		dp_port_send(lc, port, refs, n);
	}
	rte_pktmbuf_free_bulk(pkts, n);
}

/** Where a frame goes: NULL: to all; @p src itself: nowhere. */
static __rte_always_inline struct dp_port *
destination(struct dp_switch *sw, const struct dp_fdb_batch *b, uint16_t i)
{
	const uint8_t k = b->dst[i];
	struct dp_port *port;
	uint32_t id;

	if (k == DP_FDB_NONE || b->pos[k] < 0)
		return NULL;
	id = atomic_load_explicit(&sw->slot[b->pos[k]].port, memory_order_relaxed);
	if (unlikely(id == 0))
		return NULL;
	port = dp_port_by_id(id);
	/* It may have left for another switch a moment ago. */
	if (unlikely(port == NULL || atomic_load_explicit(&port->sw, memory_order_relaxed) != sw))
		return NULL;
	return port;
}

void
dp_switch_forward(struct dp_lcore *lc, struct dp_switch *sw, struct dp_port *src,
	struct rte_mbuf **pkts, uint16_t n)
{
	struct dp_fdb_batch b;
	struct dp_port *dst[DP_BURST];
	struct rte_mbuf *out[DP_BURST];
	uint64_t todo = n == 64 ? UINT64_MAX : (UINT64_C(1) << n) - 1;
	uint16_t i;

	dp_fdb_lookup(sw, &b, pkts, n);
	for (i = 0; i < n; i++)
		dst[i] = destination(sw, &b, i);
	dp_fdb_learn(lc, sw, &b, src, n);
	while (todo != 0) {
		struct dp_port *to = dst[__builtin_ctzll(todo)];
		uint64_t m = todo;
		uint16_t nb = 0;

		for (; m != 0; m &= m - 1) {
			i = (uint16_t)__builtin_ctzll(m);
			if (dst[i] != to)
				continue;
			out[nb++] = pkts[i];
			todo &= ~(UINT64_C(1) << i);
		}
		if (unlikely(to == NULL)) {
			flood(lc, sw, src, out, nb);
		} else if (unlikely(to == src)) {
			dp_port_st(src, lc)->drop_same_port += nb;
			rte_pktmbuf_free_bulk(out, nb);
		} else {
			dp_port_send(lc, to, out, nb);
		}
	}
}

uint8_t
dp_switch_verdict(struct dp_switch *sw, const struct dp_port *src, const struct rte_mbuf *m,
	struct dp_port **to)
{
	struct rte_mbuf *const one = (struct rte_mbuf *)(uintptr_t)m;
	struct dp_fdb_batch b;

	dp_fdb_lookup(sw, &b, &one, 1);
	*to = destination(sw, &b, 0);
	if (*to == src)
		return DP_TRACE_SAME_PORT;
	if (*to != NULL)
		return DP_TRACE_FORWARD;
	return b.dst[0] == DP_FDB_NONE ? DP_TRACE_FLOOD_GROUP : DP_TRACE_FLOOD_UNKNOWN;
}

/* ---- members: control side --------------------------------------------------------------------- */

static void
publish(struct dp_switch *sw, struct dp_port_list *list)
{
	struct dp_port_list *old = atomic_load_explicit(&sw->members, memory_order_relaxed);

	/* Release: pairs with the acquire in flood(). */
	atomic_store_explicit(&sw->members, list, memory_order_release);
	dp_port_list_rest(old, list);
}

int
dp_switch_join(struct dp_switch *sw, struct dp_port *port)
{
	struct dp_port_list *list;

	list = dp_port_list_edit(
		atomic_load_explicit(&sw->members, memory_order_relaxed), NULL, port);
	if (list == NULL)
		return -ENOMEM;
	if (dp_owner_join(sw, port) != 0) {
		rte_free(list);
		return -ENOMEM;
	}
	atomic_store_explicit(&port->sw, sw, memory_order_release);
	publish(sw, list);
	sw->nb_ports++;
	dp_uplinks_fit(sw, port);
	return 0;
}

void
dp_switch_leave(struct dp_switch *sw, struct dp_port *port)
{
	struct dp_port_list *old = atomic_load_explicit(&sw->members, memory_order_relaxed);

	atomic_store_explicit(&port->sw, NULL, memory_order_release);
	publish(sw, dp_port_list_drop(old, port));
	dp_owner_leave(sw, port);
	sw->nb_ports--;
}

void
dp_switch_left(struct dp_switch *sw, const struct dp_port *port)
{
	vbus_ctl_lock();
	dp_fdb_sweep(sw, port->id);
	vbus_ctl_unlock();
}

/* ---- life -------------------------------------------------------------------------------------- */

struct dp_switch *
dp_switch_create(const char *name, uint32_t ageing_s, uint32_t size, char *err, size_t err_size)
{
	struct dp_switch *sw;
	struct dp_port_list *list;
	int ret;

	if (size == 0 || size > (1u << 22)) {
		errno = -dp_plane_err(err, err_size, -EINVAL,
			"switch %s: size %u: 1 to %u addresses", name, size, 1u << 22);
		return NULL;
	}
	if (ageing_s == 0 || ageing_s > 1000000) {
		errno = -dp_plane_err(err, err_size, -EINVAL,
			"switch %s: ageing %u: 1 to 1000000 seconds", name, ageing_s);
		return NULL;
	}
	sw = rte_zmalloc("dp_switch", sizeof(*sw) + dp_plane.nb_lcores * sizeof(sw->counters[0]),
		RTE_CACHE_LINE_SIZE);
	list = dp_port_list_edit(NULL, NULL, NULL);
	if (sw == NULL || list == NULL) {
		errno = -dp_plane_err(err, err_size, -ENOMEM, "switch %s: no memory", name);
		goto err_free;
	}
	snprintf(sw->name, sizeof(sw->name), "%s", name);
	sw->ageing_s = ageing_s;
	sw->size = size;
	atomic_init(&sw->members, list);
	ret = dp_fdb_create(sw, err, err_size);
	if (ret < 0) {
		errno = -ret;
		goto err_free;
	}
	return sw;

err_free:
	rte_free(list);
	rte_free(sw);
	return NULL;
}

void
dp_switch_set_ageing(struct dp_switch *sw, uint32_t ageing_s)
{
	vbus_ctl_lock();
	sw->ageing_s = ageing_s;
	dp_fdb_age_arm(sw);
	vbus_ctl_unlock();
}

int
dp_switch_delete(struct dp_switch *sw)
{
	if (sw->nb_ports != 0)
		return -EBUSY;
	dp_fdb_destroy(sw);
	dp_owner_free(sw);
	rte_free(atomic_load_explicit(&sw->members, memory_order_relaxed));
	rte_free(sw);
	return 0;
}
