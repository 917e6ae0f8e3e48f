/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * The block class: device, functions, and when its queues are open (doc/abi.md sections 8 and 10).
 * The polled half is in block_io.c.
 *
 * Everything here runs with the control lock held. The device owns its path; while that is
 * published the polling thread reads it and nobody changes it. A START begins a session: requests
 * of an older one are answered to nobody. ADR-0013.
 */

#include "block_internal.h"
#include "bridge_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <rte_common.h>
#include <rte_telemetry.h>

/* ---- the path ---------------------------------------------------------------------------------- */

/** South's line of the state block, section 8.3. */
static void
write_line(struct vblock_south *line_peer, uint32_t flags, uint64_t capacity)
{
	const uint32_t seq = vbus_peer_load32(&line_peer->seq) | 1;

	vbus_peer_store32(&line_peer->seq, seq);
	/* Release: north sees the odd number before any new field... */
	vbus_peer_fence_release();
	vbus_peer_store32(&line_peer->flags, flags);
	vbus_peer_store64(&line_peer->capacity, capacity);
	/* ...and all of them before the even one. */
	vbus_peer_store32_release(&line_peer->seq, seq + 1);
}

static void
tell_north(struct vbus_block *b)
{
	if (b->cs == NULL || !b->cs->started || !b->mapped || b->state_peer == NULL)
		return;
	write_line(&b->state_peer->south, b->args.features & VBLOCK_F_READONLY,
		vbus_block_capacity(b));
	if (b->state_signals && vbus_signal_inject(&b->state_sig))
		vbus_shm_notify(b->block[VBLOCK_BLOCK_STATE]);
}

static void
wake(const struct vbus_block *b)
{
	if (b->bound)
		b->user.wake(b->user.arg);
}

static void
publish(struct vbus_block *b)
{
	if (b->cs == NULL || !b->cs->started || !b->mapped || !b->bound)
		return;
	b->path.view = vbus_conn_view(b->conn);
	b->path.log = vbus_conn_log(b->conn);
	memset(&b->mc, 0, sizeof(b->mc));
	/* Release: pairs with the acquire in path_of(), block_io.c. */
	atomic_store_explicit(&b->pub, &b->path, memory_order_release);
	tell_north(b);
	wake(b);
}

static void
unpublish(struct vbus_block *b)
{
	uint32_t i;

	if (atomic_load_explicit(&b->pub, memory_order_relaxed) == NULL)
		return;
	atomic_store_explicit(&b->pub, NULL, memory_order_release);
	if (b->bound)
		b->user.quiesce(b->user.arg);
	for (i = 0; i < b->path.nb_queues; i++)
		kind_ring_disarm(&b->path.queue[i].req);
}

/** The session is over: its requests are answered to nobody from now on. */
static void
stop(struct vbus_block *b)
{
	unpublish(b);
	b->cs->started = 0;
	atomic_fetch_add_explicit(&b->session, 1, memory_order_relaxed);
	wake(b);
}

static int
attach_state(struct vbus_block *b, struct vbus_shm *shm)
{
	/* Refused it is as if there were none: START does not ask for it. */
	b->state_peer = NULL;
	b->state_signals = false;
	if (shm->len != sizeof(struct vblock_state) || (uintptr_t)shm->va % 8 != 0 ||
		(shm->has_signal && shm->signal_offset != 0))
		return -EINVAL;
	if (shm->has_signal && vbus_signal_attach(&b->state_sig, shm->va, VBUS_LOCALITY_SOUTH) < 0)
		return -EINVAL;
	b->state_signals = shm->has_signal;
	b->state_peer = (struct vblock_state *)(void *)shm->va;
	return 0;
}

static int
attach(struct vbus_block *b, struct vbus_shm *shm, unsigned int how)
{
	struct block_queue *q;

	if (shm->id == VBLOCK_BLOCK_STATE)
		return attach_state(b, shm);
	q = &b->path.queue[(shm->id - 1) / 3];
	switch ((shm->id - 1) % 3) {
	case 0:
		return kind_ring_attach(&q->req, shm, BLOCK_RING_MAX, how);
	case 1:
		return kind_ring_attach(&q->done, shm, BLOCK_RING_MAX, how);
	default:
		if ((uintptr_t)shm->va % 8 != 0)
			return -EINVAL;
		q->pool_peer = shm->va;
		q->pool_len = shm->len;
		return 0;
	}
}

static void
block_quiesce(struct vbus_conn *conn)
{
	unpublish(conn->priv);
}

static void
block_rebind(struct vbus_conn *conn)
{
	struct vbus_block *b = conn->priv;
	uint32_t id;

	b->mapped = true;
	for (id = 0; id < BLOCK_NB_BLOCKS; id++) {
		struct vbus_shm *shm = b->block[id];

		if (shm == NULL)
			continue;
		if (shm->va == NULL) {
			b->mapped = false;
		} else if (attach(b, shm, VBUS_IOQ_RESUME) < 0) {
			stop(b);
			b->block[id] = NULL; /* nothing to START with */
			vbus_conn_fault(conn, "a block is not what it was");
		}
	}
	publish(b);
}

/* ---- functions --------------------------------------------------------------------------------- */

static int
call_config(const struct vbus_block *b, void *data, uint32_t len, uint32_t *out)
{
	const struct vblock_config c = {
		.capacity = vbus_block_capacity(b),
		.sector_size = b->args.sector_size,
		.features = b->args.features,
		.nb_queues = b->args.nb_queues,
		.ring_max = BLOCK_RING_MAX,
		.max_segs = VBUS_BLOCK_SEGS_MAX,
		.max_bytes = VBUS_BLOCK_BYTES_MAX,
		.max_discard = 1ULL << 40,
		.discard_align = b->args.discard_align,
	};

	if (len != sizeof(c))
		return -EINVAL;
	memcpy(data, &c, sizeof(c));
	*out = sizeof(c);
	return 0;
}

static bool
queue_there(const struct vbus_block *b, uint32_t i)
{
	const struct block_queue *q = &b->path.queue[i];

	return b->block[VBLOCK_BLOCK_REQ(i)] != NULL && b->block[VBLOCK_BLOCK_DONE(i)] != NULL &&
	       b->block[VBLOCK_BLOCK_POOL(i)] != NULL && q->done.q.count >= q->req.q.count;
}

static int
call_start(struct vbus_block *b, const void *data, uint32_t len)
{
	struct vblock_start s;
	uint32_t i;

	if (len != sizeof(s))
		return -EINVAL;
	memcpy(&s, data, sizeof(s));
	if (b->cs->started)
		return -EEXIST;
	if (s.nb_queues == 0 || s.nb_queues > b->args.nb_queues || s.flags != 0)
		return -EINVAL;
	for (i = 0; i < s.nb_queues; i++)
		if (!queue_there(b, i))
			return -EINVAL;
	b->cs->started = 1;
	b->cs->nb_queues = s.nb_queues;
	b->cs->session++;
	b->path.log_session = b->cs->session;
	b->path.nb_queues = s.nb_queues;
	b->path.session = atomic_fetch_add_explicit(&b->session, 1, memory_order_relaxed) + 1;
	atomic_store_explicit(&b->broken, false, memory_order_relaxed);
	publish(b);
	return 0;
}

static int
block_call(struct vbus_conn *conn, uint32_t func, void *data, uint32_t len, uint32_t *out)
{
	struct vbus_block *b = conn->priv;

	*out = 0;
	switch (func) {
	case VBLOCK_FUNC_CONFIG:
		return call_config(b, data, len, out);
	case VBLOCK_FUNC_START:
		return call_start(b, data, len);
	case VBLOCK_FUNC_STOP:
		if (len != 0)
			return -EINVAL;
		if (b->cs->started)
			stop(b);
		return 0;
	default:
		return -EINVAL;
	}
}

static int
block_shm(struct vbus_conn *conn, struct vbus_shm *shm)
{
	struct vbus_block *b = conn->priv;
	int ret;

	if (shm->id > 3 * b->args.nb_queues || shm->va == NULL)
		return -EINVAL;
	if (b->cs->started)
		return -EBUSY;
	ret = attach(b, shm, VBUS_IOQ_FRESH);
	if (ret == 0)
		b->block[shm->id] = shm;
	return ret;
}

static void
block_signal(struct vbus_conn *conn, struct vbus_shm *shm)
{
	(void)shm;
	wake(conn->priv);
}

/* ---- life -------------------------------------------------------------------------------------- */

static int
block_open(struct vbus_conn *conn, uint32_t version)
{
	struct vbus_block *b = conn->dev->priv;

	if (version != VBLOCK_VERSION)
		return -EINVAL;
	conn->priv = b;
	b->conn = conn;
	b->cs = vbus_conn_state(conn); /* zero */
	b->cs->layout = BLOCK_STATE_LAYOUT;
	b->cs->sector_size = b->args.sector_size;
	b->cs->features = b->args.features;
	b->cs->queues_max = b->args.nb_queues;
	b->cs->identity = b->args.identity;
	((struct block_log *)vbus_conn_log(conn))->session = 0; /* of another connection */
	b->mapped = true;
	memset(&b->path, 0, sizeof(b->path));
	memset(b->block, 0, sizeof(b->block));
	b->state_peer = NULL;
	return 0;
}

/* Of the notes of a process that is gone: what is to be taken again, and which are free. */
static void
adopt_notes(struct vbus_block *b, struct block_log *log)
{
	uint32_t i, step, queue, pos;
	bool over;

	b->nb_again = 0;
	b->nb_free = 0;
	for (i = 0; i < BLOCK_NOTES; i++) {
		step = BLOCK_NOTE_STEP(log->note[i].word);
		queue = BLOCK_NOTE_QUEUE(log->note[i].word);
		pos = BLOCK_NOTE_POS(log->note[i].word);
		over = step == BLOCK_NOTE_FREE || step > BLOCK_NOTE_ANSWERS ||
		       queue >= b->path.nb_queues;
		if (!over && step == BLOCK_NOTE_TAKING)
			over = b->block[VBLOCK_BLOCK_REQ(queue)]->cursor->inuse_head == pos;
		else if (!over && step == BLOCK_NOTE_ANSWERS)
			over = b->block[VBLOCK_BLOCK_DONE(queue)]->cursor->inuse_tail != pos;
		if (!over) {
			log->note[i].word = BLOCK_NOTE(BLOCK_NOTE_TAKEN, queue, 0);
			b->again[b->nb_again++] = (uint16_t)i;
		} else {
			log->note[i].word = BLOCK_NOTE_FREE;
			b->free_note[b->nb_free++] = (uint16_t)i;
		}
	}
}

static bool
adopt_check(
	const struct vbus_block *b, const struct vbus_conn *conn, const struct block_conn_state *cs)
{
	const struct vbus_shm *shm;
	uint32_t id;

	if (conn->version != VBLOCK_VERSION || cs->layout != BLOCK_STATE_LAYOUT ||
		cs->sector_size != b->args.sector_size || cs->features != b->args.features ||
		cs->queues_max != b->args.nb_queues || cs->identity != b->args.identity ||
		cs->nb_queues > b->args.nb_queues)
		return false;
	LIST_FOREACH(shm, &conn->shms, next)
	if (shm->id > 3 * b->args.nb_queues)
		return false;
	for (id = 1; cs->started && id <= 3 * cs->nb_queues; id++)
		if (vbus_conn_shm((struct vbus_conn *)(uintptr_t)conn, id) == NULL)
			return false;
	return true;
}

/* The session goes on: nobody has taken anything of it in this process. */
static int
block_adopt(struct vbus_conn *conn)
{
	struct vbus_block *b = conn->dev->priv;
	struct block_conn_state *cs = vbus_conn_state(conn);
	struct block_log *log = vbus_conn_log(conn);
	struct vbus_shm *shm;

	if (b->conn != NULL || !adopt_check(b, conn, cs))
		return -EINVAL;
	memset(&b->path, 0, sizeof(b->path));
	memset(b->block, 0, sizeof(b->block));
	LIST_FOREACH(shm, &conn->shms, next)
	{
		b->block[shm->id] = shm;
		if (shm->id != VBLOCK_BLOCK_STATE && (shm->id - 1) % 3 != 2)
			vbus_shm_repair(shm, BLOCK_RING_MAX, (shm->id - 1) % 3 == 1);
	}
	conn->priv = b;
	b->conn = conn;
	b->cs = cs;
	b->state_peer = NULL;
	b->path.nb_queues = cs->nb_queues;
	b->path.log_session = cs->session;
	b->path.session = atomic_fetch_add_explicit(&b->session, 1, memory_order_relaxed) + 1;
	atomic_store_explicit(&b->broken, false, memory_order_relaxed);
	if (cs->started && log->session == cs->session) {
		adopt_notes(b, log);
		b->taken_session = b->path.session;
		b->nb_taken = 0;
	}
	block_rebind(conn);
	return 0;
}

static void
block_close(struct vbus_conn *conn)
{
	struct vbus_block *b = conn->priv;

	b->cs->left = b->cs->started;
	stop(b);
	b->conn = NULL;
	b->cs = NULL;
	b->state_peer = NULL;
	memset(b->block, 0, sizeof(b->block));
}

/**
 * The device was dropped in the middle of a session: north is told once. It cannot know otherwise, for
 * nobody completes its requests any more, and calls answer 0 (section 7.15).
 */
static bool
block_dropped(struct vbus_conn *conn, int func)
{
	struct block_conn_state *cs = vbus_conn_state(conn);
	struct vbus_shm *shm = vbus_conn_shm(conn, VBLOCK_BLOCK_STATE);
	struct vbus_signal sig;

	if (func == (int)VBLOCK_FUNC_STOP)
		cs->left = 0;
	/* Memory that is away may come back: it is told then. */
	if (func >= 0 || cs->left == 0 || shm == NULL || shm->va == NULL)
		return false;
	cs->left = 0;
	write_line(&((struct vblock_state *)(void *)shm->va)->south, VBLOCK_S_GONE, 0);
	if (shm->has_signal && vbus_signal_attach(&sig, shm->va, VBUS_LOCALITY_SOUTH) == 0 &&
		vbus_signal_inject(&sig))
		vbus_shm_notify(shm);
	return true;
}

static int
block_create(struct vbus_device *dev, const void *args)
{
	const struct vbus_block_args *a = args;
	struct vbus_block *b;

	if (a == NULL || (a->sector_size != 512 && a->sector_size != 4096) || a->nb_queues == 0 ||
		a->nb_queues > VBLOCK_QUEUES_MAX || a->capacity % a->sector_size != 0)
		return -EINVAL;
	b = aligned_alloc(64, RTE_ALIGN_CEIL(sizeof(*b), 64));
	if (b == NULL)
		return -ENOMEM;
	memset(b, 0, sizeof(*b));
	b->args = *a;
	atomic_init(&b->capacity, a->capacity);
	dev->priv = b;
	return 0;
}

static void
block_destroy(struct vbus_device *dev)
{
	free(dev->priv);
}

static void
block_telemetry(struct vbus_device *dev, struct rte_tel_data *d)
{
	const struct vbus_block *b = dev->priv;
	struct vbus_block_stats st;

	vbus_tel_dict_uint(d, "started", b->cs != NULL && b->cs->started);
	vbus_tel_dict_uint(d, "capacity_bytes", vbus_block_capacity(b));
	vbus_tel_dict_uint(d, "sector_bytes", b->args.sector_size);
	vbus_tel_dict_uint(d, "queues", b->cs != NULL ? b->cs->nb_queues : 0);
	vbus_block_stats(b, &st);
#define TEL(field, name) vbus_tel_dict_uint(d, name, st.field);
	VBUS_BLOCK_STATS(TEL)
#undef TEL
}

static const struct vbus_class_ops block_ops = {
	.create = block_create,
	.destroy = block_destroy,
	.open = block_open,
	.close = block_close,
	.call = block_call,
	.shm = block_shm,
	.signal = block_signal,
	.dropped = block_dropped,
	.quiesce = block_quiesce,
	.rebind = block_rebind,
	.adopt = block_adopt,
	.telemetry = block_telemetry,
};

static struct vbus_class block_class = {.name = "block", .type = VBLOCK_TYPE, .ops = &block_ops};

RTE_INIT(block_register)
{
	vbus_class_register(&block_class);
}

/* ---- the host's side --------------------------------------------------------------------------- */

struct vbus_block *
vbus_block_of(struct vbus_device *dev)
{
	return dev != NULL && dev->cls == &block_class ? dev->priv : NULL;
}

int
vbus_block_bind(struct vbus_block *b, const struct vbus_block_user *user)
{
	if (user != NULL && b->bound)
		return -EBUSY;
	unpublish(b);
	b->bound = user != NULL;
	memset(&b->user, 0, sizeof(b->user));
	if (user != NULL)
		b->user = *user;
	publish(b);
	return 0;
}

int
vbus_block_resize(struct vbus_block *b, uint64_t capacity)
{
	if (capacity % b->args.sector_size != 0)
		return -EINVAL;
	atomic_store_explicit(&b->capacity, capacity, memory_order_relaxed);
	tell_north(b);
	return 0;
}

uint64_t
vbus_block_capacity(const struct vbus_block *b)
{
	return atomic_load_explicit(&b->capacity, memory_order_relaxed);
}

void
vbus_block_fault(struct vbus_block *b)
{
	if (!vbus_block_broken(b) || b->cs == NULL)
		return;
	stop(b);
	vbus_conn_fault(b->conn, "a request lies outside of its pool");
}

void
vbus_block_stats(const struct vbus_block *b, struct vbus_block_stats *st)
{
#define LOAD(field, name) st->field = __atomic_load_n(&b->stats.field, __ATOMIC_RELAXED);
	VBUS_BLOCK_STATS(LOAD)
#undef LOAD
}
