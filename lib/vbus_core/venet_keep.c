/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * Frames that stay in north's memory (doc/abi.md section 12.7, ADR-0021): a large frame becomes an mbuf
 * whose buffer is north's, and goes back when the mbuf is freed, whoever does that and whenever.
 *
 * Threads: an mbuf is freed on any thread, which pushes its slot on a stack. The stack is emptied, as a whole,
 * by the polling thread of the rx queue while the path is published, and by the control side (a timer, with
 * the control lock) while it is not.
 *
 * Ownership: a keep is the pair's while the ring is bound. Let go of with frames out it lives on by itself, gives
 * nothing back any more, and ends with the last of them. Only the control side frees one, and only when it
 * has taken every slot off the stack: the push is the last that freed() does there.
 *
 * Memory: the address of each frame that is out is in its slot until the slot was taken off the stack; a file is
 * not unmapped while one lies in it, see memheld.h.
 *
 * Trust: north can change a frame at any time, as it is read. Whoever asks for such mbufs reads what it
 * decides by once. Length and address are our copies.
 */

#include "venet_internal.h"

#include <rte_malloc.h>
#include <rte_mempool.h>

#include "memheld.h"
#include "vbus_ctl.h"

#define LOOK_MIN_NS 1000000ull
#define LOOK_MAX_NS 100000000ull

struct venet_keep_slot {
	struct rte_mbuf_ext_shared_info sh;
	struct venet_keep *keep;
	_Atomic uintptr_t at; /* the frame while it is out, else 0 */
	uint32_t index;
	uint32_t next; /* on the stack: index + 1 */
	uint16_t len;
	bool shown; /* what the ring's mark says */
} VBUS_CACHE_ALIGNED;

struct venet_keep {
	_Atomic uint32_t back;		     /* stack of slots: index + 1 */
	VBUS_CACHE_ALIGNED uint32_t ret_pos; /* of the next entry of the return ring */
	uint32_t nb_out;
	uint32_t most_out;
	/* control side */
	struct vbus_memholder holder;
	struct vbus_poll ring; /* while unpublished and bound; ret NULL: nowhere */
	uint32_t count;
	bool polled; /* the polling thread empties the stack */
	bool alone;  /* the pair has let go */
	LIST_ENTRY(venet_keep) next;
	struct venet_keep_slot slot[];
};

static LIST_HEAD(, venet_keep) keeps = LIST_HEAD_INITIALIZER(keeps);
static struct vbus_ctl_timer look_timer;
static uint64_t look_ns;

/* ---- any thread --------------------------------------------------------------------------------- */

/** The last reference to a frame is gone. */
static void
freed(void *addr, void *arg)
{
	struct venet_keep_slot *s = arg;
	struct venet_keep *k = s->keep;
	uint32_t head = atomic_load_explicit(&k->back, memory_order_relaxed);

	(void)addr;
	do {
		s->next = head;
		/* K: release: what was read of the frame comes before it goes back. Partner: the acquire in
		 * give_back(). Nobody takes single slots off: no ABA.
		 */
	} while (!atomic_compare_exchange_weak_explicit(
		&k->back, &head, s->index + 1, memory_order_release, memory_order_relaxed));
}

/* ---- whose turn it is: the polling thread, or the control side ------------------------------------ */

/** Give back what came back. @p r  where to; ret NULL: nowhere */
static void
give_back(struct venet_keep *k, const struct vbus_poll *r)
{
	uint32_t head;

	if (atomic_load_explicit(&k->back, memory_order_relaxed) == 0)
		return;
	/* K: partner: the release in freed(). */
	head = atomic_exchange_explicit(&k->back, 0, memory_order_acquire);
	/* Q: the frames have been read. Partner: the acquire fence of north_kept_reap(). */
	vbus_peer_fence_release();
	while (head != 0) {
		struct venet_keep_slot *s = &k->slot[head - 1];

		head = s->next;
		/* M: release: after what was read of the frame. Partner: the acquire in holds(). */
		atomic_store_explicit(&s->at, 0, memory_order_release);
		k->nb_out--;
		if (r->ret == NULL)
			continue;
		vbus_peer_store_owner32(&r->ret[k->ret_pos & r->mask],
			s->index | vbus_poll_comp_phase(r, k->ret_pos));
		k->ret_pos++;
	}
}

void
venet_keep_poll(const struct venet_path *p)
{
	give_back(p->keep, &p->poll_from.r);
}

/** A raw mbuf becomes one whose buffer is the frame. */
static inline void
attach(const struct venet_path *p, struct venet_keep_slot *s, struct rte_mbuf *m, uint8_t *frame,
	uint16_t len)
{
	rte_mbuf_ext_refcnt_set(&s->sh, 1);
	s->len = len;
	atomic_store_explicit(&s->at, (uintptr_t)frame, memory_order_relaxed);
	*(venet_rearm_t *)(void *)&m->rearm_data = p->mbuf_init;
	m->data_off = 0;
	m->buf_addr = frame;
	rte_mbuf_iova_set(m, RTE_BAD_IOVA); /* no device reads it by DMA */
	m->buf_len = len;
	m->shinfo = &s->sh;
	m->ol_flags = RTE_MBUF_F_EXTERNAL;
	m->packet_type = 0;
	m->pkt_len = len;
	m->data_len = len;
}

/** What the ring says of an entry. Written when it changes only, so that its lines stay with both sides. */
static inline void
show(const struct vbus_poll *r, struct venet_keep_slot *s, bool keep)
{
	if (likely(keep == s->shown))
		return;
	s->shown = keep;
	vbus_peer_store8(&r->kept[s->index], keep);
}

uint64_t
venet_keep_frames(struct venet_rxq *q, const struct venet_path *p, struct rte_mbuf **pkts,
	const uint8_t *const *src_peer, const uint16_t *len, uint32_t n)
{
	struct venet_keep *k = p->keep;
	const struct vbus_poll *r = &p->poll_from.r;
	const uint32_t pos = p->poll_from.cur->inuse_head;
	uint64_t bytes = 0;
	uint32_t i;

	for (i = 0; i < n; i++) {
		struct venet_keep_slot *s = &k->slot[(pos + i) & r->mask];
		const bool keep = len[i] >= p->keep_min && k->nb_out < k->most_out &&
				  /* North has posted an entry whose frame it has not back. */
				  likely(atomic_load_explicit(&s->at, memory_order_relaxed) == 0);

		show(r, s, keep);
		bytes += len[i];
		if (keep) {
			attach(p, s, pkts[i], (uint8_t *)(uintptr_t)src_peer[i], len[i]);
			k->nb_out++;
			q->stats.kept++;
		} else {
			venet_mbuf_copy(p, pkts[i], src_peer[i], len[i]);
		}
	}
	return bytes;
}

void
venet_keep_none(const struct venet_path *p, uint32_t n)
{
	const struct vbus_poll *r = &p->poll_from.r;
	const uint32_t pos = p->poll_from.cur->inuse_head;
	uint32_t i;

	for (i = 0; i < n; i++)
		show(r, &p->keep->slot[(pos + i) & r->mask], false);
}

/* ---- control side ------------------------------------------------------------------------------- */

/** Is a frame out that lies there? */
static bool
holds(const struct vbus_memholder *h, uintptr_t va, uint64_t len)
{
	const struct venet_keep *k = (const struct venet_keep *)((const uint8_t *)h -
								 offsetof(struct venet_keep,
									 holder));
	uint32_t i;

	for (i = 0; i < k->count; i++) {
		/* M: partner: the release in give_back(). */
		const uintptr_t at = atomic_load_explicit(&k->slot[i].at, memory_order_acquire);

		if (at != 0 && at < va + len && va < at + k->slot[i].len)
			return true;
	}
	return false;
}

static void
keep_free(struct venet_keep *k)
{
	LIST_REMOVE(k, next);
	vbus_memholder_del(&k->holder);
	rte_free(k);
}

static void
look(struct vbus_ctl_timer *t)
{
	struct venet_keep *k, *following;
	bool again = false;

	for (k = LIST_FIRST(&keeps); k != NULL; k = following) {
		following = LIST_NEXT(k, next);
		if (k->polled)
			continue;
		if (k->alone || k->ring.ret != NULL)
			give_back(k, &k->ring);
		if (k->alone && k->nb_out == 0)
			keep_free(k);
		else
			again |= k->nb_out != 0;
	}
	look_ns = RTE_MIN(2 * look_ns, LOOK_MAX_NS);
	if (again)
		vbus_ctl_timer_arm(t, look_ns);
}

static void
look_soon(void)
{
	look_timer.fn = look;
	look_ns = LOOK_MIN_NS;
	vbus_ctl_timer_arm(&look_timer, look_ns);
}

struct venet_keep *
venet_keep_create(uint32_t count)
{
	struct venet_keep *k = rte_zmalloc(
		"vbus_keep", sizeof(*k) + count * sizeof(k->slot[0]), RTE_CACHE_LINE_SIZE);
	uint32_t i;

	if (k == NULL)
		return NULL;
	k->count = count;
	k->most_out = count / 2;
	for (i = 0; i < count; i++) {
		k->slot[i].keep = k;
		k->slot[i].index = i;
		k->slot[i].sh.free_cb = freed;
		k->slot[i].sh.fcb_opaque = &k->slot[i];
	}
	k->holder.holds = holds;
	vbus_memholder_add(&k->holder);
	LIST_INSERT_HEAD(&keeps, k, next);
	return k;
}

uint32_t
venet_keep_count(const struct venet_keep *k)
{
	return k->count;
}

void
venet_keep_release(struct venet_keep *k)
{
	if (k == NULL)
		return;
	k->alone = true;
	k->polled = false;
	give_back(k, &k->ring); /* north may wait for them */
	k->ring.ret = NULL;
	if (k->nb_out == 0)
		keep_free(k);
	else
		look_soon();
}

void
venet_keep_bind(struct venet_keep *k, const struct vbus_poll *r)
{
	if (k == NULL)
		return;
	if (r != NULL)
		k->ring = *r;
	else
		k->ring.ret = NULL;
}

void
venet_keep_polled(struct venet_keep *k, bool polled)
{
	if (k == NULL)
		return;
	k->polled = polled;
	if (polled)
		return;
	if (k->ring.ret != NULL)
		give_back(k, &k->ring);
	if (k->nb_out != 0)
		look_soon();
}

bool
venet_keep_offered(const struct vbus_venet *v)
{
	/* Memory of a connector's own (a window) is not ours to hold. */
	return v->keep_min != 0 && vbus_conn_view(v->conn)->borrowed == 0;
}
