/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * One end of a window link (ADR-0018): layout, mailboxes. What it lies in is window_map.c's.
 *
 * The near mailbox is read, the far one written, never the other way round: over a real link a far
 * read costs a microsecond, and a far write nothing. Writes arrive in the order in which they leave
 * (PCI Express: a posted write passes no other), and leave in program order by the barriers here,
 * also from a write-combining mapping.
 *
 * Threads: control lock held everywhere but in vbus_window_ring(), which lcores call.
 * Trust: what a mailbox says is read once, and believed only under a generation that was accepted.
 */

#include "vbus_window.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include <rte_atomic.h>

#include "vbus_ctl.h"
#include "vbus_peer.h"

#define HEARTBEAT_NS 20000000ull

/* ---- the layout -------------------------------------------------------------------------------- */

static struct vbus_window_arena
arena(const struct vbus_window *w, unsigned int half, unsigned int link)
{
	uint64_t len = (w->size / 2 - VBUS_WINDOW_HEAD_SIZE) / 2;

	return (struct vbus_window_arena){
		.start = half * (w->size / 2) + VBUS_WINDOW_HEAD_SIZE + link * len, .len = len};
}

static struct vbus_window_box *
box(const struct vbus_window *w, unsigned int half, uint64_t which)
{
	return (struct vbus_window_box *)(void *)(w->base + half * (w->size / 2) + which);
}

static void
lay_out(struct vbus_window *w, enum vbus_window_side side, enum vbus_window_role role)
{
	unsigned int us = side == VBUS_WINDOW_B, them = !us;
	/* A link has the letter of the side that serves it. */
	unsigned int link = role == VBUS_WINDOW_SOUTH ? us : them;

	w->near_south = arena(w, link, link);
	w->near_north = arena(w, !link, link);
	if (role == VBUS_WINDOW_SOUTH) {
		w->in = box(w, us, VBUS_WINDOW_BOX_SOUTH);
		w->out = box(w, them, VBUS_WINDOW_BOX_NORTH);
	} else {
		w->in = box(w, us, VBUS_WINDOW_BOX_NORTH);
		w->out = box(w, them, VBUS_WINDOW_BOX_SOUTH);
	}
}

int
vbus_window_open(struct vbus_window *w, const char *path, uint64_t size, enum vbus_window_side side,
	enum vbus_window_role role, char *err, size_t err_size)
{
	int ret;

	memset(w, 0, sizeof(*w));
	if (strlen(path) >= sizeof(w->path)) {
		snprintf(err, err_size, "%.40s...: a path has at most %zu bytes", path,
			sizeof(w->path) - 1);
		return -EINVAL;
	}
	strcpy(w->path, path);
	w->side_b = side == VBUS_WINDOW_B;
	w->irq.ring_fd = -1;
	ret = vbus_window_map(w, size, err, err_size);
	if (ret != 0)
		return ret;
	lay_out(w, side, role);
	vbus_window_renew(w);
	return 0;
}

void
vbus_window_close(struct vbus_window *w)
{
	if (w->base == NULL)
		return;
	w->peer = 0;
	vbus_peer_store64(&w->out->hello.generation, 0);
	rte_wmb();
	vbus_window_unmap(w);
}

/* ---- who is there ------------------------------------------------------------------------------ */

static void
say_hello(struct vbus_window *w)
{
	struct vbus_window_hello *h = &w->out->hello;

	vbus_peer_store32(&h->magic, VBUS_WINDOW_MAGIC);
	vbus_peer_store32(&h->version, VBUS_WINDOW_VERSION);
	vbus_peer_store64(&h->size, w->size);
	vbus_peer_store64(&h->peer, w->peer);
	vbus_peer_store64(&h->irq, w->irq.own);
	rte_wmb(); /* the generation comes last; partner: the reader's in vbus_window_caller() */
	vbus_peer_store64(&h->generation, w->generation);
	rte_wmb();
}

void
vbus_window_renew(struct vbus_window *w)
{
	uint64_t old = w->generation;

	/* The low half is in every tag, so it may be neither 0 nor what it was. */
	do {
		if (getrandom(&w->generation, sizeof(w->generation), 0) != sizeof(w->generation))
			w->generation = old + 0x9e3779b97f4a7c15ull + vbus_ctl_now_ns();
	} while ((uint32_t)w->generation == 0 || (uint32_t)w->generation == (uint32_t)old);
	w->peer = 0;
	w->irq.heard = false;
	vbus_window_irq_aim(w);
	/* Not from 0: what a predecessor left there must not look like a ring that was seen. */
	atomic_store_explicit(&w->bell, w->generation, memory_order_relaxed);
	say_hello(w);
}

uint64_t
vbus_window_caller(const struct vbus_window *w)
{
	const struct vbus_window_hello *h = &w->in->hello;
	uint64_t generation = vbus_peer_load64(&h->generation);

	rte_rmb(); /* partner: say_hello() over there */
	if ((uint32_t)generation == 0 || vbus_peer_load32(&h->magic) != VBUS_WINDOW_MAGIC ||
		vbus_peer_load32(&h->version) != VBUS_WINDOW_VERSION ||
		vbus_peer_load64(&h->size) != w->size)
		return 0;
	return generation;
}

bool
vbus_window_meant(const struct vbus_window *w)
{
	return vbus_peer_load64(&w->in->hello.peer) == w->generation;
}

void
vbus_window_accept(struct vbus_window *w, uint64_t generation)
{
	w->peer = generation;
	w->heartbeat_seen = vbus_peer_load64(&w->in->hello.heartbeat);
	w->heard_ns = vbus_ctl_now_ns();
	w->bell_seen = vbus_peer_load64(&w->in->bells.signal);
	vbus_window_irq_aim(w);
	say_hello(w);
}

bool
vbus_window_alive(struct vbus_window *w, uint64_t now_ns)
{
	uint64_t beat;

	if (now_ns - w->said_ns >= HEARTBEAT_NS) {
		w->said_ns = now_ns;
		vbus_peer_store64(&w->out->hello.heartbeat, ++w->heartbeat);
		/* All of it: a link that was down has swallowed what was said once. */
		say_hello(w);
	}
	if (w->peer == 0 || vbus_window_lost(w))
		return false;
	if (vbus_window_caller(w) != w->peer || !vbus_window_meant(w))
		return false;
	beat = vbus_peer_load64(&w->in->hello.heartbeat);
	if (beat != w->heartbeat_seen) {
		w->heartbeat_seen = beat;
		w->heard_ns = now_ns;
		vbus_window_irq_aim(w); /* it may have got one, or lost it */
	}
	return now_ns - w->heard_ns < VBUS_WINDOW_DEAD_NS;
}

/* ---- bells and calls --------------------------------------------------------------------------- */

bool
vbus_window_rung(struct vbus_window *w)
{
	uint64_t bell = vbus_peer_load64(&w->in->bells.signal);

	if (bell == w->bell_seen)
		return false;
	w->bell_seen = bell;
	rte_rmb(); /* what was written before it was rung; partner: vbus_window_ring() */
	return true;
}

void
vbus_window_ring(struct vbus_window *w)
{
	/* Values may arrive in any order when two threads ring: the last to arrive differs from
	 * what was seen before both. */
	uint64_t bell = atomic_fetch_add_explicit(&w->bell, 1, memory_order_relaxed) + 1;

	rte_wmb();
	vbus_peer_store64(&w->out->bells.signal, bell);
	vbus_window_irq_ring(w);
}

uint64_t
vbus_window_pause(struct vbus_window *w, uint64_t now_ns, bool active)
{
	if (active)
		w->busy_until_ns = now_ns + VBUS_WINDOW_BUSY_NS;
	if (now_ns < w->busy_until_ns)
		return VBUS_WINDOW_POLL_BUSY_NS;
	if (w->peer == 0)
		return VBUS_WINDOW_POLL_IDLE_NS;
	return w->irq.heard ? VBUS_WINDOW_POLL_HEARD_NS : VBUS_WINDOW_POLL_REST_NS;
}

void
vbus_window_post(struct vbus_window *w, const struct vbus_window_call *call)
{
	struct vbus_window_call *c = &w->out->call;

	vbus_peer_store64(&c->datap, call->datap);
	vbus_peer_store32(&c->vector, call->vector);
	vbus_peer_store32(&c->len, call->len);
	vbus_peer_store32(&c->result, call->result);
	rte_wmb(); /* the tag last; partner: vbus_window_take() over there */
	vbus_peer_store64(&c->tag, call->tag);
	rte_wmb();
	vbus_window_irq_ring(w);
}

bool
vbus_window_take(const struct vbus_window *w, uint64_t tag, struct vbus_window_call *call)
{
	const struct vbus_window_call *c = &w->in->call;

	if (vbus_peer_load64(&c->tag) != tag)
		return false;
	rte_rmb();
	call->tag = tag;
	call->datap = vbus_peer_load64(&c->datap);
	call->vector = vbus_peer_load32(&c->vector);
	call->len = vbus_peer_load32(&c->len);
	call->result = vbus_peer_load32(&c->result);
	return true;
}
