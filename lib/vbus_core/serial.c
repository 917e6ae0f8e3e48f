/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * The serial class: device, functions, and when its rings are open (doc/abi.md sections 8 and 9).
 * The polled half is in serial_io.c.
 *
 * Everything here runs with the control lock held. The device owns its path; while that is
 * published the polling thread reads it and nobody changes it. What must survive a restart (was it
 * started) lies in the link's state, the rings' positions too. ADR-0013.
 */

#include "bridge_internal.h"
#include "serial_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <rte_common.h>
#include <rte_telemetry.h>

/* ---- the path ---------------------------------------------------------------------------------- */

/** South's line of the state block, section 8.3. */
static void
tell_north(struct vbus_serial *s)
{
	struct vserial_south *line_peer;
	uint32_t seq;

	if (s->cs == NULL || !s->cs->started || !s->mapped || s->path.state_peer == NULL)
		return;
	line_peer = &s->path.state_peer->south;
	seq = vbus_peer_load32(&line_peer->seq) | 1;
	vbus_peer_store32(&line_peer->seq, seq);
	/* Release: north sees the odd number before any new field... */
	vbus_peer_fence_release();
	vbus_peer_store32(&line_peer->flags, s->flags);
	vbus_peer_store16(&line_peer->rows, s->rows);
	vbus_peer_store16(&line_peer->cols, s->cols);
	vbus_peer_store16(&line_peer->xpixel, 0);
	vbus_peer_store16(&line_peer->ypixel, 0);
	vbus_peer_store32(&line_peer->hangups, s->kept->hangups);
	/* ...and all of them before the even one. */
	vbus_peer_store32_release(&line_peer->seq, seq + 1);
	if (s->path.state_signals && vbus_signal_inject(&s->path.state_sig))
		vbus_shm_notify(s->block[VSERIAL_BLOCK_STATE]);
}

static void
wake(const struct vbus_serial *s)
{
	if (s->bound)
		s->user.wake(s->user.arg);
}

static void
publish(struct vbus_serial *s)
{
	if (s->cs == NULL || !s->cs->started || !s->mapped || !s->bound)
		return;
	s->path.view = vbus_conn_view(s->conn);
	s->path.stamp = s->cs->stamp;
	memset(&s->mc_in, 0, sizeof(s->mc_in));
	memset(&s->mc_out, 0, sizeof(s->mc_out));
	/* Release: pairs with the acquire in path_of(), serial_io.c. */
	atomic_store_explicit(&s->pub, &s->path, memory_order_release);
	tell_north(s);
	wake(s);
}

static void
unpublish(struct vbus_serial *s)
{
	if (atomic_load_explicit(&s->pub, memory_order_relaxed) == NULL)
		return;
	atomic_store_explicit(&s->pub, NULL, memory_order_release);
	if (s->bound)
		s->user.quiesce(s->user.arg);
	kind_ring_disarm(&s->path.in);
	kind_ring_disarm(&s->path.out);
}

static int
attach(struct vbus_serial *s, struct vbus_shm *shm, unsigned int how)
{
	if (shm->id == VSERIAL_BLOCK_IN)
		return kind_ring_attach(&s->path.in, shm, VSERIAL_RING_MAX, how);
	if (shm->id == VSERIAL_BLOCK_OUT)
		return kind_ring_attach(&s->path.out, shm, VSERIAL_RING_MAX, how);
	/* Refused it is as if there were none: START does not ask for it. */
	s->path.state_peer = NULL;
	s->path.state_signals = false;
	if (shm->len != sizeof(struct vserial_state) || (uintptr_t)shm->va % 8 != 0 ||
		(shm->has_signal && shm->signal_offset != 0))
		return -EINVAL;
	if (shm->has_signal &&
		vbus_signal_attach(&s->path.state_sig, shm->va, VBUS_LOCALITY_SOUTH) < 0)
		return -EINVAL;
	s->path.state_signals = shm->has_signal;
	s->path.state_peer = (struct vserial_state *)(void *)shm->va;
	return 0;
}

static void
serial_quiesce(struct vbus_conn *conn)
{
	unpublish(conn->priv);
}

static void
serial_rebind(struct vbus_conn *conn)
{
	struct vbus_serial *s = conn->priv;
	uint32_t id;

	s->mapped = true;
	for (id = 0; id < SERIAL_NB_BLOCKS; id++) {
		struct vbus_shm *shm = s->block[id];

		if (shm == NULL)
			continue;
		if (shm->va == NULL) {
			s->mapped = false;
		} else if (attach(s, shm, VBUS_IOQ_RESUME) < 0) {
			s->cs->started = 0;
			s->block[id] = NULL; /* nothing to START with */
			vbus_conn_fault(conn, "a block is not what it was");
		}
	}
	publish(s);
}

/* ---- functions --------------------------------------------------------------------------------- */

static int
call_config(void *data, uint32_t len, uint32_t *out)
{
	static const struct vserial_config c = {
		.ring_max = VSERIAL_RING_MAX,
		.buffer_max = VSERIAL_BUFFER_MAX,
		.write_max = VSERIAL_WRITE_MAX,
	};

	if (len != sizeof(c))
		return -EINVAL;
	memcpy(data, &c, sizeof(c));
	*out = sizeof(c);
	return 0;
}

static int
call_start(struct vbus_serial *s)
{
	if (s->cs->started)
		return -EEXIST;
	if (s->block[VSERIAL_BLOCK_IN] == NULL || s->block[VSERIAL_BLOCK_OUT] == NULL)
		return -EINVAL;
	s->cs->started = 1;
	/* Until something of this session is committed, the commit that holds is of an older one. */
	s->cs->stamp = SERIAL_COMMIT(s->kept)->stamp + 1;
	publish(s);
	return 0;
}

/** The console of a guest that has no rings yet, or dies: bytes by call. @return bytes taken */
static int
call_write(struct vbus_serial *s, const uint8_t *data, uint32_t len)
{
	const struct vbus_bridge *bridge = s->conn->bridge;
	const uint32_t nr = (uint32_t)bridge->ls->bridge.call.nr;
	struct vbus_serial_kept *c = s->kept;
	uint32_t head = (uint32_t)c->called;
	uint32_t i, n;

	if (len == 0 || len > VSERIAL_WRITE_MAX)
		return -EINVAL;
	if (!s->bound)
		return (int)len; /* nobody will ever take it: a guest that panics shall not wait */
	/* The process before us was killed between this and its answer: the bytes are there. */
	if (bridge->redo && c->called >> 32 == nr)
		return (int)c->call_taken;
	/* Acquire: pairs with the release in vbus_serial_accept(), the room is free. */
	n = VBUS_SERIAL_CALL_ROOM -
	    (head - atomic_load_explicit(&s->calls_tail, memory_order_acquire));
	n = RTE_MIN(n, len);
	for (i = 0; i < n; i++)
		c->calls[(head + i) % VBUS_SERIAL_CALL_ROOM] = data[i];
	c->call_taken = n;
	/* Release: pairs with the acquire in peek_calls(). */
	__atomic_store_n(&c->called, (uint64_t)nr << 32 | (head + n), __ATOMIC_RELEASE);
	s->stats.call_bytes += n;
	wake(s);
	return (int)n;
}

static int
serial_call(struct vbus_conn *conn, uint32_t func, void *data, uint32_t len, uint32_t *out)
{
	struct vbus_serial *s = conn->priv;

	*out = 0;
	switch (func) {
	case VSERIAL_FUNC_CONFIG:
		return call_config(data, len, out);
	case VSERIAL_FUNC_START:
		return len != 0 ? -EINVAL : call_start(s);
	case VSERIAL_FUNC_STOP:
		if (len != 0)
			return -EINVAL;
		unpublish(s);
		s->cs->started = 0;
		wake(s);
		return 0;
	case VSERIAL_FUNC_WRITE:
		return call_write(s, data, len);
	default:
		return -EINVAL;
	}
}

static int
serial_shm(struct vbus_conn *conn, struct vbus_shm *shm)
{
	struct vbus_serial *s = conn->priv;
	int ret;

	if (shm->id >= SERIAL_NB_BLOCKS || shm->va == NULL)
		return -EINVAL;
	if (s->cs->started)
		return -EBUSY;
	ret = attach(s, shm, VBUS_IOQ_FRESH);
	if (ret == 0)
		s->block[shm->id] = shm;
	return ret;
}

static void
serial_signal(struct vbus_conn *conn, struct vbus_shm *shm)
{
	(void)shm;
	wake(conn->priv);
}

/* ---- life -------------------------------------------------------------------------------------- */

static int
serial_open(struct vbus_conn *conn, uint32_t version)
{
	struct vbus_serial *s = conn->dev->priv;

	if (version != VSERIAL_VERSION)
		return -EINVAL;
	conn->priv = s;
	s->conn = conn;
	s->cs = vbus_conn_state(conn); /* zero */
	s->cs->layout = SERIAL_STATE_LAYOUT;
	/* Numbers of messages begin anew. */
	__atomic_store_n(&s->kept->called, (uint32_t)s->kept->called, __ATOMIC_RELEASE);
	s->mapped = true;
	memset(&s->path, 0, sizeof(s->path));
	memset(s->block, 0, sizeof(s->block));
	return 0;
}

/* What was half done with the rings: entries that were committed are handed over, a buffer is filled or not. */
static void
adopt_rings(struct vbus_serial *s)
{
	struct vbus_serial_kept *k = s->kept;
	struct vbus_shm *in = s->block[VSERIAL_BLOCK_IN], *out = s->block[VSERIAL_BLOCK_OUT];

	if (s->cs->started && SERIAL_COMMIT(k)->stamp == s->cs->stamp &&
		SERIAL_COMMIT(k)->head < VSERIAL_RING_MAX)
		out->cursor->inuse_head = SERIAL_COMMIT(k)->head;
	if (s->cs->started && k->fill.active && k->fill.stamp == s->cs->stamp &&
		in->cursor->inuse_tail != k->fill.pos)
		k->in_done = k->fill.in_done;
	k->fill.active = 0;
	if (in != NULL)
		vbus_shm_repair(in, VSERIAL_RING_MAX, true);
	if (out != NULL)
		vbus_shm_repair(out, VSERIAL_RING_MAX, false);
}

static int
serial_adopt(struct vbus_conn *conn)
{
	struct vbus_serial *s = conn->dev->priv;
	struct serial_conn_state *cs = vbus_conn_state(conn);
	struct vbus_shm *shm;

	if (conn->version != VSERIAL_VERSION || cs->layout != SERIAL_STATE_LAYOUT ||
		s->conn != NULL)
		return -EINVAL;
	memset(&s->path, 0, sizeof(s->path));
	memset(s->block, 0, sizeof(s->block));
	LIST_FOREACH(shm, &conn->shms, next)
	{
		if (shm->id >= SERIAL_NB_BLOCKS)
			return -EINVAL;
		s->block[shm->id] = shm;
	}
	if (cs->started &&
		(s->block[VSERIAL_BLOCK_IN] == NULL || s->block[VSERIAL_BLOCK_OUT] == NULL))
		return -EINVAL;
	conn->priv = s;
	s->conn = conn;
	s->cs = cs;
	adopt_rings(s);
	serial_rebind(conn);
	return 0;
}

static void
serial_close(struct vbus_conn *conn)
{
	struct vbus_serial *s = conn->priv;

	unpublish(s);
	s->conn = NULL;
	s->cs = NULL;
	memset(s->block, 0, sizeof(s->block));
	s->path.state_peer = NULL;
	wake(s);
}

static int
serial_create(struct vbus_device *dev, const void *args)
{
	struct vbus_serial *s = aligned_alloc(64, RTE_ALIGN_CEIL(sizeof(*s), 64));

	(void)args;
	if (s == NULL)
		return -ENOMEM;
	memset(s, 0, sizeof(*s));
	s->dev = dev;
	s->kept = &s->own;
	dev->priv = s;
	return 0;
}

static void
serial_destroy(struct vbus_device *dev)
{
	free(dev->priv);
}

static void
serial_telemetry(struct vbus_device *dev, struct rte_tel_data *d)
{
	const struct vbus_serial *s = dev->priv;
	struct vbus_serial_stats st;

	vbus_tel_dict_uint(d, "started", s->cs != NULL && s->cs->started);
	vbus_tel_dict_uint(d, "carrier", s->flags & VSERIAL_SOUTH_CARRIER);
	vbus_tel_dict_uint(d, "rows", s->rows);
	vbus_tel_dict_uint(d, "columns", s->cols);
	vbus_tel_dict_uint(d, "hangups", s->kept->hangups);
	vbus_serial_stats(s, &st);
#define TEL(field, name) vbus_tel_dict_uint(d, name, st.field);
	VBUS_SERIAL_STATS(TEL)
#undef TEL
}

static const struct vbus_class_ops serial_ops = {
	.create = serial_create,
	.destroy = serial_destroy,
	.open = serial_open,
	.close = serial_close,
	.call = serial_call,
	.shm = serial_shm,
	.signal = serial_signal,
	.quiesce = serial_quiesce,
	.rebind = serial_rebind,
	.adopt = serial_adopt,
	.telemetry = serial_telemetry,
};

static struct vbus_class serial_class = {
	.name = "serial", .type = VSERIAL_TYPE, .ops = &serial_ops};

RTE_INIT(serial_register)
{
	vbus_class_register(&serial_class);
}

/* ---- the host's side --------------------------------------------------------------------------- */

struct vbus_serial *
vbus_serial_of(struct vbus_device *dev)
{
	return dev != NULL && dev->cls == &serial_class ? dev->priv : NULL;
}

int
vbus_serial_bind(struct vbus_serial *s, const struct vbus_serial_user *user)
{
	if (user != NULL && s->bound)
		return -EBUSY;
	unpublish(s);
	s->bound = user != NULL;
	memset(&s->user, 0, sizeof(s->user));
	if (user != NULL) {
		s->user = *user;
		s->kept = user->kept != NULL ? user->kept : &s->own;
		atomic_store_explicit(
			&s->calls_tail, SERIAL_COMMIT(s->kept)->calls, memory_order_release);
	} else if (s->kept != &s->own) {
		s->own = *s->kept; /* the user's goes */
		s->kept = &s->own;
	}
	publish(s);
	return 0;
}

void
vbus_serial_set_carrier(struct vbus_serial *s, bool carrier)
{
	if (carrier == ((s->flags & VSERIAL_SOUTH_CARRIER) != 0))
		return;
	s->flags ^= VSERIAL_SOUTH_CARRIER;
	s->kept->hangups += !carrier;
	tell_north(s);
}

void
vbus_serial_set_size(struct vbus_serial *s, uint16_t rows, uint16_t cols)
{
	if (s->rows == rows && s->cols == cols)
		return;
	s->rows = rows;
	s->cols = cols;
	tell_north(s);
}

void
vbus_serial_stats(const struct vbus_serial *s, struct vbus_serial_stats *st)
{
#define LOAD(field, name) st->field = __atomic_load_n(&s->stats.field, __ATOMIC_RELAXED);
	VBUS_SERIAL_STATS(LOAD)
#undef LOAD
}
