/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * The transport through a window of shared memory (doc/abi.md section 13, ADR-0018). South sees
 * nothing of this process but the window: rings and pools are allocated in our arenas of it, and
 * frames are copied in and out, as with any memory that a peer does not see.
 *
 * A connection is made without waiting: connect() says hello, looks whether south has accepted this
 * generation of ours, and is asked again by the bus's retry timer until it has. The generation stays
 * the same meanwhile, so a slow south is not outrun; each lost session ends it.
 *
 * Threads: control lock held everywhere but in window_kick() (any thread) and the allocator's
 * callers, who take it.
 * Ownership: the transport lives from start to stop, and with it the blocks of the arena.
 */

#include "vbus_bus_private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ivset.h"
#include "vbus_peer.h"
#include "vbus_window.h"

#define BLOCK_ALIGN 64u

struct window_tp {
	struct rte_vbus_link *link;
	struct vbus_window w;
	struct vbus_ctl_timer poll;
	struct vbus_ivset blocks; /* offsets in the window */
	uint32_t seq;		  /* of the last call */
	bool calling;		  /* its result is waited for */
	bool connected;
};

/* ---- memory ------------------------------------------------------------------------------------ */

/* First fit in the arena near us, or in the one near south: blocks are few and live long. */
static void *
window_alloc(struct rte_vbus_link *link, size_t len, bool far)
{
	struct window_tp *tp = link->transport;
	const struct vbus_window_arena *a = far ? &tp->w.near_south : &tp->w.near_north;
	uint64_t at = a->start, end = a->start + a->len;
	struct vbus_iv *next, *iv;

	len = (len + BLOCK_ALIGN - 1) & ~(size_t)(BLOCK_ALIGN - 1);
	for (next = vbus_ivset_from(&tp->blocks, at); next != NULL && next->first < at + len;
		next = next->next[0])
		at = next->last + 1;
	if (len == 0 || at > end || len > end - at) {
		errno = ENOSPC;
		return NULL;
	}
	iv = calloc(1, sizeof(*iv));
	if (iv == NULL)
		return NULL;
	iv->first = at;
	iv->last = at + len - 1;
	vbus_ivset_insert(&tp->blocks, iv);
	/* Words: it may be device memory. */
	for (size_t i = 0; i < len; i += sizeof(uint64_t))
		vbus_peer_store64((uint64_t *)(void *)(tp->w.base + at + i), 0);
	return tp->w.base + at;
}

static void
window_free(struct rte_vbus_link *link, void *va)
{
	struct window_tp *tp = link->transport;
	uint64_t at = (uint64_t)((uint8_t *)va - tp->w.base);
	struct vbus_iv *iv = vbus_ivset_from(&tp->blocks, at);

	if (iv == NULL || iv->first != at)
		return;
	vbus_ivset_remove(&tp->blocks, iv);
	free(iv);
}

static uint64_t
window_addr(const struct rte_vbus_link *link, const void *va)
{
	const struct window_tp *tp = link->transport;

	return (uint64_t)((const uint8_t *)va - tp->w.base);
}

static bool
window_visible(const struct rte_vbus_link *link, const void *va, size_t len)
{
	const struct window_tp *tp = link->transport;
	uint64_t off = (uint64_t)((const uint8_t *)va - tp->w.base);

	return (uintptr_t)va >= (uintptr_t)tp->w.base && off < tp->w.size &&
	       len <= tp->w.size - off;
}

/* ---- a session --------------------------------------------------------------------------------- */

/* @return true: something happened. */
static bool
take_result(struct window_tp *tp)
{
	struct vbus_window_call c;

	if (!tp->calling ||
		!vbus_window_take(&tp->w, vbus_window_tag(tp->w.generation, tp->seq), &c))
		return false;
	tp->calling = false;
	vbus_call_done(tp->link, (int32_t)c.result);
	return true;
}

static void
poll_due(struct vbus_ctl_timer *t)
{
	struct window_tp *tp = container_of(t, struct window_tp, poll);
	uint64_t now = vbus_ctl_now_ns();
	bool active;

	tp->link->stats.nb_window_irqs = tp->w.irq.nb_irqs;
	tp->link->stats.nb_window_rings = atomic_load_explicit(
		&tp->w.irq.nb_rings, memory_order_relaxed);
	if (!vbus_window_alive(&tp->w, now)) {
		if (vbus_window_lost(&tp->w))
			vbus_link_fail(tp->link, "the window is gone");
		else
			vbus_link_fail(tp->link, vbus_window_caller(&tp->w) == tp->w.peer
							 ? "its heart does not beat any more"
							 : "it left the window");
		return;
	}
	active = take_result(tp);
	if (tp->connected && vbus_window_rung(&tp->w)) {
		vbus_events_run(tp->link);
		active = true;
	}
	/* Both may have ended in vbus_link_fail(), and so in window_disconnect(). */
	if (tp->connected)
		vbus_ctl_timer_arm(t, vbus_window_pause(&tp->w, now, active || tp->calling));
}

static int
window_connect(struct rte_vbus_link *link, char *err, size_t err_size)
{
	struct window_tp *tp = link->transport;
	uint64_t south;

	if (!vbus_window_recover(&tp->w, vbus_ctl_now_ns())) {
		snprintf(err, err_size, "window %s: it is gone", tp->w.path);
		return -EAGAIN;
	}
	south = vbus_window_caller(&tp->w);
	/* Heartbeat, and the answer to a south that came anew: it waits for its generation. */
	if (south != tp->w.peer)
		vbus_window_accept(&tp->w, south);
	if (!vbus_window_alive(&tp->w, vbus_ctl_now_ns())) {
		snprintf(err, err_size, "window %s: %s", tp->w.path,
			south == 0 ? "nobody serves it" : "no answer");
		return -EAGAIN;
	}
	link->far_cached = tp->w.cached;
	tp->connected = true;
	tp->calling = false;
	tp->seq = 0;
	vbus_ctl_timer_arm(&tp->poll, 0);
	vbus_link_connected(link);
	return 0;
}

static void
window_disconnect(struct rte_vbus_link *link)
{
	struct window_tp *tp = link->transport;

	vbus_ctl_timer_cancel(&tp->poll);
	if (!tp->connected)
		return;
	tp->connected = false;
	tp->calling = false;
	/* South sees another generation and ends its session before it accepts this one. */
	vbus_window_renew(&tp->w);
}

static int
window_call(
	struct rte_vbus_link *link, uint32_t vector, uint64_t datap, uint32_t len, int32_t *result)
{
	struct window_tp *tp = link->transport;
	const struct vbus_window_call c = {
		.datap = datap,
		.vector = vector,
		.len = len,
		.tag = vbus_window_tag(tp->w.generation, ++tp->seq),
	};

	(void)result;
	tp->calling = true;
	vbus_window_post(&tp->w, &c);
	vbus_ctl_timer_arm(&tp->poll, VBUS_WINDOW_POLL_BUSY_NS);
	return 0;
}

static void
window_signal(struct rte_vbus_link *link, uint32_t off, uint32_t value)
{
	struct window_tp *tp = link->transport;

	(void)off;
	(void)value;
	vbus_window_ring(&tp->w);
}

static void
window_kick(const struct rte_vbus_link *link, uint32_t handle)
{
	struct window_tp *tp = link->transport;

	(void)handle;
	vbus_window_ring(&tp->w);
}

/* ---- life -------------------------------------------------------------------------------------- */

static int
window_start(struct rte_vbus_link *link, char *err, size_t err_size)
{
	struct window_tp *tp = calloc(1, sizeof(*tp));
	int ret;

	if (tp == NULL)
		return -ENOMEM;
	tp->link = link;
	tp->poll.fn = poll_due;
	ret = vbus_window_open(&tp->w, link->args.path, link->args.size,
		link->args.side_a ? VBUS_WINDOW_A : VBUS_WINDOW_B, VBUS_WINDOW_NORTH, err,
		err_size);
	if (ret != 0) {
		free(tp);
		return ret;
	}
	tp->w.irq.poll = &tp->poll;
	link->transport = tp;
	return 0;
}

static void
window_stop(struct rte_vbus_link *link)
{
	struct window_tp *tp = link->transport;
	struct vbus_iv *iv;

	window_disconnect(link);
	while ((iv = vbus_ivset_first(&tp->blocks)) != NULL) {
		vbus_ivset_remove(&tp->blocks, iv);
		free(iv);
	}
	vbus_window_close(&tp->w);
	free(tp);
	link->transport = NULL;
}

const struct vbus_link_ops vbus_link_window_ops = {
	.name = "window",
	.start = window_start,
	.stop = window_stop,
	.connect = window_connect,
	.disconnect = window_disconnect,
	.call = window_call,
	.signal = window_signal,
	.kick = window_kick,
	.alloc = window_alloc,
	.free = window_free,
	.addr = window_addr,
	.visible = window_visible,
};
