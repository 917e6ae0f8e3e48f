/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * What the control side itself writes into north's rings: LINKSTATE events, buffers returned by
 * FLUSHRX; and the slow look that saves lost wake-ups (doc/abi.md sections 5 and 7).
 *
 * Control lock held throughout. The event ring belongs to the control side alone. The receive ring
 * is the polling thread's: FLUSHRX runs while the path is closed, the slow look reads but the
 * shared indices and injects the signal.
 *
 * The slow look: drivers of old have no full barrier between "I sleep now" and "is there anything",
 * nor when they signal (section 7.2). So one timer per process looks at every venet that is up: do
 * filled receive entries lie there that north has not moved on for a whole period, signal again; do
 * frames wait for a sleeping receiver of ours, wake it; is an event held back, try again.
 */

#include "venet_internal.h"

#include <string.h>

#include "vbus_ctl.h"

#define LOOK_BUSY_NS 5000000u  /* 5 ms */
#define LOOK_IDLE_NS 10000000u /* nothing to do at the last look: the longest that 7.2 allows */

static LIST_HEAD(, vbus_venet) looked_at = LIST_HEAD_INITIALIZER(looked_at);
static struct vbus_ctl_timer look_timer;

/* ---- events ------------------------------------------------------------------------------------ */

/** Write one event into the next slot. @return false: no slot is free */
static bool
write_event(struct vbus_venet *v, const void *event, uint32_t len)
{
	struct venet_ring *r = &v->ring[VBUS_VENET_BLOCK_EVENTQ];
	struct vbus_shm *pool = v->block[VBUS_VENET_BLOCK_EVENTS];
	struct vbus_ioq_entry e;
	uint32_t tries;

	for (tries = 0; tries < r->q.count; tries++) {
		if (vbus_ioq_south_produce_peek(&r->q, &e, 1) == 0)
			return false;
		/* Its length field stays north's, as that of the page ring and of L4RO. */
		if (e.ptr <= pool->len && pool->len - e.ptr >= len) {
			memcpy(pool->va + e.ptr, event, len);
			vbus_ioq_south_produce_push_keep(&r->q, 1);
			return true;
		}
		/* No slot of the pool: it goes back as it is, the next one may be better. */
		v->nb_events_bad++;
		vbus_ioq_south_produce_push_keep(&r->q, 1);
	}
	return false;
}

void
venet_event_flush(struct vbus_venet *v)
{
	const struct venet_event_linkstate event = {
		.header = {.size = sizeof(event), .id = VENET_EVENT_LINKSTATE},
		.state = v->event_state,
	};
	struct venet_ring *r = &v->ring[VBUS_VENET_BLOCK_EVENTQ];

	if (!v->event_held || v->cs == NULL || !v->cs->up || v->faulted || !v->mapped)
		return;
	if (!venet_has_ring(v, VBUS_VENET_BLOCK_EVENTQ) ||
		v->block[VBUS_VENET_BLOCK_EVENTS] == NULL) {
		v->event_held = false;
		return;
	}
	if (!write_event(v, &event, sizeof(event))) {
		/* North signals when it has taken some, if it is asked to. */
		if (r->shm != NULL && vbus_signal_enable(&r->sig))
			vbus_signal_take(&r->sig);
		if (!write_event(v, &event, sizeof(event)))
			return;
	}
	if (r->shm != NULL)
		vbus_signal_disable(&r->sig);
	v->event_held = false;
	v->nb_events++;
	venet_signal(r);
}

void
venet_event_linkstate(struct vbus_venet *v)
{
	if (v->cs == NULL || !v->cs->up || !(v->cs->evq & VENET_CAP_EVQ_LINKSTATE))
		return;
	/* One that is still held back is replaced: only the last state is of interest. */
	v->event_state = venet_carrier(v) ? 1 : 0;
	v->event_held = true;
	venet_event_flush(v);
}

/* ---- FLUSHRX ----------------------------------------------------------------------------------- */

void
venet_flush_rx(struct vbus_venet *v)
{
	const struct vbus_ioq_south *q = &v->ring[VENET_QUEUE_RX].q;
	bool l4ro = (v->cs->l4ro & VENET_CAP_SG) != 0;
	const struct vbus_shm *pool = v->block[VBUS_VENET_BLOCK_L4RO_POOL];
	struct vbus_ioq_entry e[VENET_BURST];
	uint32_t done = 0;
	uint32_t i;

	if (venet_polls(v)) {
		for (i = 0; i < v->nb_up; i++)
			venet_poll_flush(&v->pair[i].poll[VENET_POLL_RX]);
		return;
	}
	/* One lap at most: north may post new ones meanwhile. No signal (section 5). */
	while (done < q->count) {
		uint32_t n = RTE_MIN(VENET_BURST, q->count - done);

		n = vbus_ioq_south_produce_peek(q, e, n);
		if (n == 0)
			return;
		for (i = 0; i < n; i++) {
			uint64_t off = e[i].ptr;

			e[i].len = 0;
			if (l4ro && off % 8 == 0 && off <= pool->len &&
				pool->len - off >= VENET_SG_SIZE(1))
				vbus_peer_store32(&((struct venet_sg *)(pool->va + off))->len, 0);
		}
		/* With L4RO desc.len is never written, not even here (7.10). */
		if (l4ro)
			vbus_ioq_south_produce_push_keep(q, n);
		else
			vbus_ioq_south_produce_push(q, e, n);
		done += n;
	}
}

/* ---- the slow look ----------------------------------------------------------------------------- */

/** Do entries lie between head and tail? North's words: a hint, nothing more. */
static bool
index_busy(const struct venet_ring *r, uint32_t *head)
{
	uint32_t tail = vbus_peer_load32(&r->q.inuse_peer->tail);

	*head = vbus_peer_load32(&r->q.inuse_peer->head);
	return *head != tail || vbus_peer_load8(&r->q.inuse_peer->full) != 0;
}

/** Frames wait in north's transmit ring. */
static bool
frames_wait(const struct vbus_venet *v, uint32_t pair)
{
	uint32_t head;

	if (venet_polls(v))
		return vbus_poll_south_is_ready(&v->pair[pair].poll[VENET_POLL_TX], 0);
	return index_busy(&v->ring[VENET_QUEUE_TX], &head);
}

/**
 * Does north want to be woken, and has not posted all buffers anew? Who asks for a wake-up posts first
 * what it has taken, so what is missing was not seen (or mbufs are short: a wake-up too many).
 */
static bool
poll_busy(const struct vbus_venet *v, uint32_t pair)
{
	const struct venet_ring *r = &v->ring[venet_block_rx(v, pair)];
	const struct vbus_poll_south *q = &v->pair[pair].poll[VENET_POLL_RX];

	return r->shm != NULL && vbus_signal_is_wanted(&r->sig) &&
	       !vbus_poll_south_is_ready(q, q->r.mask);
}

/** Might north sleep over frames? It has not moved on since the last look, and something lies there. */
static bool
frames_unseen(struct vbus_venet *v, uint32_t pair)
{
	struct venet_pair *p = &v->pair[pair];
	uint32_t head;
	bool busy, unseen;

	if (venet_polls(v)) {
		head = vbus_peer_load32(&p->poll[VENET_POLL_RX].cur->inuse_head);
		busy = poll_busy(v, pair);
	} else {
		busy = index_busy(&v->ring[VENET_QUEUE_RX], &head);
	}
	unseen = busy && head == p->seen_head && p->seen_busy;
	p->seen_busy = busy;
	p->seen_head = head;
	return unseen;
}

static void
wake_receiver(struct vbus_venet *v, uint32_t pair)
{
	if (v->user.rx_wake == NULL)
		return;
	v->nb_relooks++;
	v->user.rx_wake(v->user.arg, (uint16_t)(pair % v->nb_rx));
}

/** @return there was something to do */
static bool
look_at(struct vbus_venet *v)
{
	bool active = v->event_held;
	uint32_t i;

	venet_event_flush(v);
	if (!v->published)
		return active;
	for (i = 0; i < v->nb_up; i++) {
		if (atomic_load_explicit(&v->pair[i].rx.armed, memory_order_relaxed)) {
			active = true;
			if (frames_wait(v, i))
				wake_receiver(v, i);
		}
		/* Inject from here and from a burst at once can deliver twice; that does no harm. */
		if (frames_unseen(v, i) && venet_signal(&v->ring[venet_block_rx(v, i)]))
			v->nb_reinjects++;
		active |= v->pair[i].seen_busy;
	}
	return active;
}

static void
look(struct vbus_ctl_timer *t)
{
	struct vbus_venet *v;
	bool active = false;

	LIST_FOREACH(v, &looked_at, next)
	active |= look_at(v);
	if (!LIST_EMPTY(&looked_at))
		vbus_ctl_timer_arm(t, active ? LOOK_BUSY_NS : LOOK_IDLE_NS);
}

void
venet_look_add(struct vbus_venet *v)
{
	uint32_t i;

	if (v->listed)
		return;
	v->listed = true;
	for (i = 0; i < v->nb_pairs; i++)
		v->pair[i].seen_busy = false;
	LIST_INSERT_HEAD(&looked_at, v, next);
	if (look_timer.armed)
		return;
	look_timer.fn = look;
	vbus_ctl_timer_arm(&look_timer, LOOK_BUSY_NS);
}

void
venet_look_del(struct vbus_venet *v)
{
	if (!v->listed)
		return;
	v->listed = false;
	LIST_REMOVE(v, next);
	if (LIST_EMPTY(&looked_at))
		vbus_ctl_timer_cancel(&look_timer);
}

void
venet_look_armed(struct vbus_venet *v)
{
	uint32_t i;

	/* Partner: the fence of vbus_venet_rx_intr_enable(). */
	atomic_thread_fence(memory_order_seq_cst);
	for (i = 0; i < v->nb_up; i++) {
		const struct venet_ring *r = &v->ring[venet_block_tx(v, i)];

		if (!atomic_load_explicit(&v->pair[i].rx.armed, memory_order_relaxed))
			continue;
		if (r->shm != NULL && vbus_signal_enable(&r->sig))
			vbus_signal_take(&r->sig);
		if (frames_wait(v, i))
			wake_receiver(v, i);
	}
}
