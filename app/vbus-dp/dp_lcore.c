/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * The polling loop, and how lcores meet (ADR-0011).
 *
 * An lcore polls its ports one after the other, idle ones less often while there is work (ADR-0022), and
 * runs every burst to completion. It holds
 * published data only between two quiescent states, once a round. Frames for a port of another
 * lcore go through the ring between the two: one producer, one consumer, so that nobody waits for
 * anybody; when it is full they are dropped and counted. Such frames name their port by id, which
 * the receiver looks up: the port may have gone meanwhile.
 *
 * What an lcore polls is changed by the control side, which publishes another list.
 */

#include "dp_plane_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <rte_cycles.h>
#include <rte_lcore.h>
#include <rte_malloc.h>

__thread struct dp_lcore *dp_lcore_self;

/* ---- handing over ------------------------------------------------------------------------------ */

void
dp_lcore_hand_over(struct dp_lcore *lc, struct dp_lcore *to, struct dp_port *port,
	struct rte_mbuf **pkts, uint16_t n)
{
	struct dp_handed h[DP_BURST];
	unsigned int done = 0;
	uint16_t i;

	if (unlikely(to == NULL))
		goto out;

	for (i = 0; i < n; i++) {
		h[i].m = pkts[i];
		h[i].port_id = port->id;
	}
	done = rte_ring_sp_enqueue_burst_elem(to->in[lc->index], h, sizeof(h[0]), n, NULL);
	lc->kick |= UINT64_C(1) << to->index;
	if (likely(done == n))
		return;
out:
	dp_port_st(port, lc)->drop_handover += n - done;
	rte_pktmbuf_free_bulk(pkts + done, n - done);
}

void
dp_lcore_wake(const struct dp_lcore *lc)
{
	const uint64_t one = 1;

	/* Full (EAGAIN): it is being woken. */
	if (write(lc->wake_fd, &one, sizeof(one)) < 0)
		return;
}

void
dp_lcore_kick_others(struct dp_lcore *lc)
{
	uint64_t kick = lc->kick;

	lc->kick = 0;
	if (kick == 0 || !atomic_load_explicit(&dp_plane.adaptive, memory_order_relaxed))
		return;
	/* L0: frames are in the ring before we look whether their reader sleeps. Partner: L1 in
	 * dp_sleep_arm().
	 */
	atomic_thread_fence(memory_order_seq_cst);
	for (; kick != 0; kick &= kick - 1) {
		const struct dp_lcore *to = dp_plane.lcores[__builtin_ctzll(kick)];

		if (atomic_load_explicit(&to->asleep, memory_order_relaxed))
			dp_lcore_wake(to);
	}
}

/** Send what another lcore handed over. */
static void
take_handed(struct dp_lcore *lc, struct dp_handed *h, unsigned int n)
{
	struct rte_mbuf *pkts[DP_BURST];
	unsigned int i = 0;

	while (i < n) {
		uint64_t id = h[i].port_id;
		struct dp_port *port = dp_port_by_id((uint32_t)id);
		uint16_t nb = 0;

		for (; i < n && h[i].port_id == id; i++)
			pkts[nb++] = h[i].m;
		if (likely(port != NULL))
			dp_port_send(lc, port, pkts, nb); /* it may have moved on */
		else
			rte_pktmbuf_free_bulk(pkts, nb);
	}
}

/** One burst from every other lcore. @return frames */
static uint32_t
poll_others(struct dp_lcore *lc)
{
	struct dp_handed h[DP_BURST];
	uint32_t moved = 0;
	unsigned int i;

	for (i = 0; i < dp_plane.nb_lcores; i++) {
		unsigned int n;

		if (i == lc->index)
			continue;
		n = rte_ring_sc_dequeue_burst_elem(lc->in[i], h, sizeof(h[0]), DP_BURST, NULL);
		if (n == 0)
			continue;
		take_handed(lc, h, n);
		moved += n;
	}
	if (unlikely(lc->kick != 0))
		dp_lcore_kick_others(lc);
	return moved;
}

/* ---- the loop ---------------------------------------------------------------------------------- */

/** A round's eyes: who looks, and at what. */
struct looker {
	struct dp_lcore *lc;
	const struct dp_port_list *list;
};

static __rte_always_inline uint32_t
look(void *arg, uint32_t which)
{
	const struct looker *l = arg;
	const uint16_t n = dp_port_poll(l->lc, l->list->port[which]);

	if (n != 0 && l->lc->kick != 0)
		dp_lcore_kick_others(l->lc);
	return n;
}

static __rte_always_inline void
look_ahead(void *arg, uint32_t which, uint32_t step)
{
	const struct looker *l = arg;
	struct dp_port *port = l->list->port[which];

	if (step == 0)
		rte_prefetch0(port);
	else if (likely(port->venet != NULL))
		vbus_venet_rx_ahead(port->venet, step - 1);
}

static uint32_t
poll_ports(struct dp_lcore *lc, const struct dp_port_list *list)
{
	/* A list without memory for a new one gets shorter in place. Partner: dp_port_list_drop(). */
	const uint32_t nb = __atomic_load_n(&list->nb, __ATOMIC_ACQUIRE);
	struct looker l = {.lc = lc, .list = list};

	if (unlikely(lc->turns_gen != list->gen || lc->turns.nb != nb)) {
		vbus_turns_reset(&lc->turns, nb);
		lc->turns_gen = list->gen;
	}
	return vbus_turns_round(&lc->turns, look, look_ahead, &l);
}

static void
set_second(struct dp_lcore *lc, uint64_t tsc)
{
	uint64_t hz = rte_get_tsc_hz();

	lc->now_s = (uint32_t)(tsc / hz);
	lc->second_tsc = (uint64_t)(lc->now_s + 1) * hz;
}

/** After the stop: send what was handed over, until nobody can hand over any more. */
static void
drain(struct dp_lcore *lc)
{
	bool last;

	atomic_fetch_add(&dp_plane.nb_draining, 1);
	do {
		last = atomic_load(&dp_plane.nb_draining) == dp_plane.nb_lcores;
		rte_rcu_qsbr_quiescent(dp_plane.qs, lc->index);
		if (poll_others(lc) != 0)
			last = false;
		else if (!last)
			usleep(50);
	} while (!last);
}

/** What to do after a round that found nothing, in adaptive mode. */
static void
rest(struct dp_lcore *lc, const struct dp_port_list *list, uint64_t idle_tsc)
{
	if (!lc->armed) {
		if (idle_tsc >= atomic_load_explicit(&dp_plane.idle_tsc, memory_order_relaxed))
			dp_sleep_arm(lc, list);
	} else if (lc->armed_gen != list->gen) {
		dp_sleep_arm(lc, list);
	} else {
		dp_sleep_wait(lc);
	}
}

int
dp_lcore_run(void *arg)
{
	struct dp_lcore *lc = arg;
	uint64_t last = rte_rdtsc();
	uint64_t moved_tsc = last;

	dp_lcore_self = lc;
	rte_rcu_qsbr_thread_online(dp_plane.qs, lc->index);
	set_second(lc, last);
	while (atomic_load_explicit(&dp_plane.phase, memory_order_relaxed) == DP_PHASE_RUN) {
		const struct dp_port_list *list;
		uint32_t moved;
		uint64_t tsc;

		rte_rcu_qsbr_quiescent(dp_plane.qs, lc->index);
		/* Acquire: pairs with the release in publish(). */
		list = atomic_load_explicit(&lc->list, memory_order_acquire);
		moved = poll_ports(lc, list) + poll_others(lc);
		tsc = rte_rdtsc();
		if (unlikely(tsc >= lc->second_tsc))
			set_second(lc, tsc);
		if (moved != 0) {
			lc->busy_cycles += tsc - last;
			moved_tsc = tsc;
			if (unlikely(lc->armed))
				dp_sleep_disarm(lc, list);
		} else {
			lc->idle_cycles += tsc - last;
			if (atomic_load_explicit(&dp_plane.adaptive, memory_order_relaxed))
				rest(lc, list, tsc - moved_tsc);
			else if (unlikely(lc->armed)) /* no more: it was told to */
				dp_sleep_disarm(lc, list);
		}
		last = tsc;
		if (unlikely(lc->slept)) {
			lc->slept = false;
			last = rte_rdtsc();
			set_second(lc, last);
		}
	}
	if (lc->armed)
		dp_sleep_disarm(lc, atomic_load_explicit(&lc->list, memory_order_acquire));
	drain(lc);
	rte_rcu_qsbr_thread_offline(dp_plane.qs, lc->index);
	dp_lcore_self = NULL;
	atomic_fetch_sub(&dp_plane.nb_left, 1);
	return 0;
}

/* ---- what it polls: control side --------------------------------------------------------------- */

static void
publish(struct dp_lcore *lc, struct dp_port_list *list)
{
	struct dp_port_list *old = atomic_load_explicit(&lc->list, memory_order_relaxed);

	/* Release: pairs with the acquire in dp_lcore_run(). */
	atomic_store_explicit(&lc->list, list, memory_order_release);
	/* One that sleeps must ask the new port for wake-ups. */
	dp_lcore_wake(lc);
	dp_port_list_rest(old, list);
}

int
dp_lcore_add_port(struct dp_port *port)
{
	struct dp_lcore *lc = port->home;
	struct dp_port_list *list = dp_port_list_edit(
		atomic_load_explicit(&lc->list, memory_order_relaxed), NULL, port);

	if (list == NULL)
		return -ENOMEM;
	publish(lc, list);
	return 0;
}

void
dp_lcore_del_port(struct dp_port *port)
{
	struct dp_lcore *lc = port->home;

	publish(lc, dp_port_list_drop(atomic_load_explicit(&lc->list, memory_order_relaxed), port));
}

struct dp_lcore *
dp_lcore_pick(int socket)
{
	struct dp_lcore *best = NULL;
	bool best_near = false;
	unsigned int i;

	for (i = 0; i < dp_plane.nb_lcores; i++) {
		struct dp_lcore *lc = dp_plane.lcores[i];
		bool is_near = socket < 0 || lc->socket == (unsigned int)socket;

		if (best == NULL || (is_near && !best_near) ||
			(is_near == best_near &&
				atomic_load_explicit(&lc->list, memory_order_relaxed)->nb <
					atomic_load_explicit(&best->list, memory_order_relaxed)
						->nb)) {
			best = lc;
			best_near = is_near;
		}
	}
	return best;
}

/* ---- life: control side ------------------------------------------------------------------------ */

struct dp_lcore *
dp_lcore_new(unsigned int lcore, unsigned int index)
{
	struct dp_lcore *lc = rte_zmalloc("dp_lcore", sizeof(*lc), RTE_CACHE_LINE_SIZE);
	struct dp_port_list *list = dp_port_list_edit(NULL, NULL, NULL);

	if (lc == NULL || list == NULL) {
		rte_free(lc);
		rte_free(list);
		errno = ENOMEM;
		return NULL;
	}
	lc->lcore = lcore;
	lc->index = index;
	atomic_init(&lc->list, list);
	lc->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	lc->epfd = epoll_create1(EPOLL_CLOEXEC);
	if (lc->wake_fd < 0 || lc->epfd < 0) {
		int e = errno;

		dp_lcore_free(lc);
		errno = e;
		return NULL;
	}
	return lc;
}

void
dp_lcore_free(struct dp_lcore *lc)
{
	struct dp_handed h;
	unsigned int i;

	for (i = 0; i < DP_LCORES_MAX; i++) {
		/* Left behind only when a port moved while everything stopped. */
		while (lc->in[i] != NULL && rte_ring_sc_dequeue_elem(lc->in[i], &h, sizeof(h)) == 0)
			rte_pktmbuf_free(h.m);
		rte_ring_free(lc->in[i]);
	}
	if (lc->wake_fd >= 0)
		close(lc->wake_fd);
	if (lc->epfd >= 0)
		close(lc->epfd);
	rte_free(atomic_load_explicit(&lc->list, memory_order_relaxed));
	rte_free(lc);
}

int
dp_lcore_connect(void)
{
	char name[RTE_RING_NAMESIZE];
	unsigned int i, j;

	for (i = 0; i < dp_plane.nb_lcores; i++) {
		struct dp_lcore *lc = dp_plane.lcores[i];

		for (j = 0; j < dp_plane.nb_lcores; j++) {
			if (j == i)
				continue;
			snprintf(name, sizeof(name), "dp_%u_%u", j, i);
			lc->in[j] = rte_ring_create_elem(name, sizeof(struct dp_handed),
				DP_HANDOVER, (int)lc->socket, RING_F_SP_ENQ | RING_F_SC_DEQ);
			if (lc->in[j] == NULL)
				return -ENOMEM;
		}
	}
	return 0;
}

uint32_t
dp_lcore_info(struct dp_lcore_info *out, uint32_t nb)
{
	uint32_t i;

	for (i = 0; i < dp_plane.nb_lcores && i < nb; i++) {
		const struct dp_lcore *lc = dp_plane.lcores[i];

		out[i].lcore = lc->lcore;
		out[i].nb_ports = atomic_load_explicit(&lc->list, memory_order_relaxed)->nb;
		out[i].busy_cycles = __atomic_load_n(&lc->busy_cycles, __ATOMIC_RELAXED);
		out[i].idle_cycles = __atomic_load_n(&lc->idle_cycles, __ATOMIC_RELAXED);
		out[i].sleep_cycles = __atomic_load_n(&lc->sleep_cycles, __ATOMIC_RELAXED);
		out[i].nb_sleeps = __atomic_load_n(&lc->nb_sleeps, __ATOMIC_RELAXED);
	}
	return i;
}
