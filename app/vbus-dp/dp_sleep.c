/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * Adaptive mode: an lcore that found nothing for a while sleeps (ADR-0011).
 *
 * It first arms: says that it may sleep, and asks every port for wake-ups. Then it looks at
 * everything once more (one round of the polling loop, the frames that came before the ports knew),
 * and only then sleeps on its eventfd, which is written by
 * - a venet whose north signals (libvbus's control thread),
 * - an lcore that hands a frame over (fences L0, L1),
 * - the control side that changes the list of ports;
 * and on the receive interrupts of its uplinks. It stays armed over sleeps that found nothing, and
 * disarms at the first frame.
 *
 * Sleep is bounded: 10 ms, the longest that doc/abi.md 7.2 allows for signals that drivers of old
 * lose; shorter by far when an uplink has no interrupts and can only be looked at.
 *
 * Runs on the lcore itself. An lcore that sleeps is offline in RCU: nobody waits for it, and it
 * holds no list.
 */

#include "dp_plane_internal.h"

#include <poll.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include <rte_cycles.h>
#include <rte_interrupts.h>

#define SLEEP_NS      10000000L
#define SLEEP_LOOK_NS 300000L /* with an uplink that cannot wake us: half of it is the median */
#define TIMER_SLACK   1000UL  /* ns; the default of 50 us would be felt then */

void
dp_sleep_arm(struct dp_lcore *lc, const struct dp_port_list *list)
{
	uint32_t i;

	atomic_store_explicit(&lc->asleep, true, memory_order_relaxed);
	/* L1: before we look at the rings once more. Partner: L0 in dp_lcore_kick_others(). */
	atomic_thread_fence(memory_order_seq_cst);
	lc->all_wake = true;
	for (i = 0; i < list->nb; i++) {
		struct dp_port *port = list->port[i];

		if (!port->wakes)
			lc->all_wake = false;
		if (port->armed)
			continue;
		port->armed = true;
		/* Whether frames are there already is seen by the round that follows. */
		if (port->venet != NULL)
			vbus_venet_rx_intr_enable(port->venet, 0);
		else if (port->wakes)
			dp_uplink_arm(port);
	}
	lc->armed = true;
	lc->armed_gen = list->gen;
}

void
dp_sleep_disarm(struct dp_lcore *lc, const struct dp_port_list *list)
{
	uint32_t i;

	for (i = 0; i < list->nb; i++) {
		struct dp_port *port = list->port[i];

		if (!port->armed)
			continue;
		port->armed = false;
		if (port->venet != NULL)
			vbus_venet_rx_intr_disable(port->venet, 0);
		else if (port->wakes)
			dp_uplink_disarm(port);
	}
	lc->armed = false;
	atomic_store_explicit(&lc->asleep, false, memory_order_relaxed);
}

void
dp_sleep_wait(struct dp_lcore *lc)
{
	struct pollfd fds[2] = {
		{.fd = lc->wake_fd, .events = POLLIN}, {.fd = lc->epfd, .events = POLLIN}};
	struct rte_epoll_event events[8];
	struct timespec ts = {.tv_nsec = lc->all_wake ? SLEEP_NS : SLEEP_LOOK_NS};
	uint64_t start = rte_rdtsc();
	uint64_t count;

	if (!lc->slack_set) {
		lc->slack_set = true;
		prctl(PR_SET_TIMERSLACK, TIMER_SLACK, 0, 0, 0);
	}
	rte_rcu_qsbr_thread_offline(dp_plane.qs, lc->index);
	if (ppoll(fds, 2, &ts, NULL) > 0) {
		if (fds[0].revents != 0 && read(lc->wake_fd, &count, sizeof(count)) < 0)
			count = 0;
		/* Takes what the driver's descriptor counts, so that the next one is an edge again. */
		if (fds[1].revents != 0)
			rte_epoll_wait(lc->epfd, events, 8, 0);
	}
	rte_rcu_qsbr_thread_online(dp_plane.qs, lc->index);
	lc->sleep_cycles += rte_rdtsc() - start;
	lc->nb_sleeps++;
	lc->slept = true;
}
