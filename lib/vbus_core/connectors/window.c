/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * The window connector: a bridge over nothing but shared memory (doc/abi.md section 13, ADR-0018).
 * North's calls and signals arrive in a mailbox that a timer looks at; north's memory is two arenas
 * of the window, and its addresses are offsets in it.
 *
 *     nobody --north means our generation--> session --it does not any more, or its
 *       ^                                       |      heartbeat stands still--> nobody
 *       +--------- new generation of ours ------+
 *
 * Threads: the control thread, control lock held.
 * Ownership: the bus owns the object from vbus_connector_window() to stop.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_common.h>

#include "vbus_bridge.h"
#include "vbus_core.h"
#include "vbus_ctl.h"
#include "vbus_log.h"
#include "vbus_memmap.h"
#include "vbus_window.h"

struct window_link {
	struct vbus_bus *bus;
	struct vbus_window w;
	struct vbus_ctl_timer poll;
	enum vbus_window_side side;
	uint32_t seq; /* of the last call that was run */
	struct vbus_log_limit log_limit;
};

static void
session_close(struct window_link *l, const char *why)
{
	vbus_bridge_session_close(l->bus->bridge, why);
	vbus_window_renew(&l->w);
}

/* North's memory is all that it may name: not the mailboxes, not the other link's arenas. */
static int
arenas_add(struct window_link *l)
{
	struct vbus_memmap *m = vbus_bridge_memmap(l->bus->bridge);
	const struct vbus_window_arena *arenas[] = {&l->w.near_south, &l->w.near_north};
	int ret = 0;

	vbus_memmap_batch_begin(m);
	for (size_t i = 0; i < 2 && ret == 0; i++)
		ret = vbus_memmap_add_mapped(m, arenas[i]->start, arenas[i]->len,
			l->w.base + arenas[i]->start, VBUS_MEM_READ | VBUS_MEM_WRITE);
	if (vbus_memmap_batch_end(m) != 0 && ret == 0)
		ret = -ENOMEM;
	return ret;
}

/* Somebody is there who knows our generation. @return true: a session has begun. */
static bool
session_open(struct window_link *l, uint64_t generation)
{
	int ret = vbus_bridge_session_open(l->bus->bridge, false);

	if (ret == 0)
		ret = arenas_add(l);
	if (ret != 0) {
		VBUS_LOG_LIMITED(&l->log_limit, NOTICE, "bus %s: window %s: %s", l->bus->name,
			l->w.path, strerror(-ret));
		session_close(l, "its memory cannot be mapped");
		return false;
	}
	l->bus->far_cached = l->w.cached;
	l->seq = 0;
	vbus_window_accept(&l->w, generation);
	return true;
}

/* @return true: there was a call. */
static bool
run_call(struct window_link *l)
{
	struct vbus_window_call c;

	if (!vbus_window_take(&l->w, vbus_window_tag(l->w.peer, l->seq + 1), &c))
		return false;
	l->seq++;
	c.result = (uint32_t)vbus_bridge_call(l->bus->bridge, c.vector, c.datap, c.len);
	vbus_window_post(&l->w, &c);
	return true;
}

static void
poll_due(struct vbus_ctl_timer *t)
{
	struct window_link *l = container_of(t, struct window_link, poll);
	uint64_t now = vbus_ctl_now_ns();
	bool active = false;
	uint64_t caller;

	if (!vbus_window_alive(&l->w, now) && l->w.peer != 0) {
		if (vbus_window_lost(&l->w))
			session_close(l, "the window is gone");
		else
			session_close(l, vbus_window_caller(&l->w) == l->w.peer
						 ? "its heart does not beat"
						 : "north is gone");
		active = true;
	}
	if (l->w.peer == 0 && !vbus_window_recover(&l->w, now)) {
		active = false; /* the window itself is away */
	} else if (l->w.peer == 0) {
		caller = vbus_window_caller(&l->w);
		if (caller != 0 && vbus_window_meant(&l->w))
			active = session_open(l, caller);
	} else {
		active = run_call(l);
		if (vbus_window_rung(&l->w)) {
			vbus_bridge_kick(l->bus->bridge);
			active = true;
		}
	}
	vbus_ctl_timer_arm(t, vbus_window_pause(&l->w, now, active));
}

/* ---- the connector's operations ----------------------------------------------------------------- */

static void
window_irq(void *arg)
{
	struct window_link *l = arg;

	vbus_window_ring(&l->w);
}

static void
window_stop(void *arg)
{
	struct window_link *l = arg;

	vbus_ctl_timer_cancel(&l->poll);
	vbus_bridge_session_close(l->bus->bridge, "the connector stops");
	vbus_window_close(&l->w);
	free(l);
}

static void
window_describe(void *arg, char *buf, size_t size)
{
	const struct window_link *l = arg;

	snprintf(buf, size, "window %s, side %c, %s", l->w.path,
		l->side == VBUS_WINDOW_A ? 'a' : 'b',
		l->w.peer != 0 ? "north is there" : "no north");
}

static void
window_irq_counts(void *arg, uint64_t *came, uint64_t *sent)
{
	struct window_link *l = arg;

	*came = l->w.irq.nb_irqs;
	*sent = atomic_load_explicit(&l->w.irq.nb_rings, memory_order_relaxed);
}

static const struct vbus_connector_ops window_ops = {
	.name = "window",
	.irq = window_irq,
	.stop = window_stop,
	.describe = window_describe,
	.irq_counts = window_irq_counts,
};

int
vbus_connector_window(struct vbus_bus *bus, const char *path, uint64_t size,
	enum vbus_window_side side, char *err, size_t err_size)
{
	struct window_link *l = calloc(1, sizeof(*l));
	int ret;

	if (l == NULL) {
		snprintf(err, err_size, "%s: %s", path, strerror(ENOMEM));
		return -ENOMEM;
	}
	l->bus = bus;
	l->side = side;
	l->poll.fn = poll_due;
	ret = vbus_window_open(&l->w, path, size, side, VBUS_WINDOW_SOUTH, err, err_size);
	if (ret != 0) {
		free(l);
		return ret;
	}
	l->w.irq.poll = &l->poll;
	ret = vbus_bus_set_connector(bus, &window_ops, l);
	if (ret != 0) {
		snprintf(err, err_size, "%s: bus %s has a connector", path, bus->name);
		vbus_window_close(&l->w);
		free(l);
		return ret;
	}
	vbus_ctl_timer_arm(&l->poll, 0);
	return 0;
}
