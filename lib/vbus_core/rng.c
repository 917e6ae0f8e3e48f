/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * The rng class: random bytes for north (doc/abi.md section 11). The example of doc/device-class.md.
 *
 * Everything runs with the control lock held: getrandom() takes microseconds and never waits, and
 * one signal fills at most VRNG_RING_MAX buffers. So the class needs no polling thread.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include <rte_common.h>
#include <rte_telemetry.h>

#include <vbus/rng.h>

#include "bridge_internal.h"
#include "kind_ring.h"
#include "vbus_compat.h"
#include "vbus_core.h"

struct rng_conn_state {	 /* in the link's state: what a restart would need */
	uint32_t layout; /**< 1 */
	uint32_t started;
};

struct vbus_rng {
	struct vbus_conn *conn;	   /**< NULL: not open */
	struct rng_conn_state *cs; /**< of conn */
	struct kind_ring ring;
	struct vbus_memcache mc;
	uint64_t nb_bytes, nb_bad;
};

/** Fill one buffer. @return bytes; 0: it is not north's memory */
static uint64_t
fill(struct vbus_rng *r, const struct vbus_ioq_entry *e)
{
	uint8_t bytes[VRNG_BUFFER_MAX];
	uint64_t len = RTE_MIN(e->len, sizeof(bytes));
	ssize_t n = getrandom(bytes, len, GRND_NONBLOCK);

	len = n > 0 ? (uint64_t)n : 0;
	if (len != 0 &&
		vbus_memview_copy_out(vbus_conn_view(r->conn), &r->mc, e->ptr, bytes, len) < 0)
		len = 0;
	explicit_bzero(bytes, sizeof(bytes)); /* they are north's secret now */
	return len;
}

/** Fill what is posted: one lap at most, north may post as fast as we fill. */
static void
serve(struct vbus_rng *r)
{
	struct vbus_ioq_entry e;
	uint32_t done;

	if (r->cs == NULL || !r->cs->started || !kind_ring_ready(&r->ring))
		return;
	kind_ring_arm(&r->ring); /* what comes after our look is a new signal */
	for (done = 0; done < r->ring.q.count; done++) {
		if (vbus_ioq_south_produce_peek(&r->ring.q, &e, 1) == 0)
			break;
		e.len = fill(r, &e);
		r->nb_bytes += e.len;
		r->nb_bad += e.len == 0;
		vbus_ioq_south_produce_push(&r->ring.q, &e, 1);
	}
	if (done != 0)
		kind_ring_inject(&r->ring);
}

static int
rng_call(struct vbus_conn *conn, uint32_t func, void *data, uint32_t len, uint32_t *out)
{
	struct vbus_rng *r = conn->priv;

	(void)data;
	*out = 0;
	if (len != 0 || (func != VRNG_FUNC_START && func != VRNG_FUNC_STOP))
		return -EINVAL;
	if (func == VRNG_FUNC_START && r->cs->started)
		return -EEXIST;
	if (func == VRNG_FUNC_START && r->ring.shm == NULL)
		return -EINVAL;
	r->cs->started = func == VRNG_FUNC_START;
	if (!r->cs->started && kind_ring_ready(&r->ring))
		kind_ring_disarm(&r->ring);
	serve(r);
	return 0;
}

static int
rng_shm(struct vbus_conn *conn, struct vbus_shm *shm)
{
	struct vbus_rng *r = conn->priv;

	if (shm->id != VRNG_RING || shm->va == NULL)
		return -EINVAL;
	if (r->cs->started)
		return -EBUSY; /* a block that is there is refused before we are asked */
	return kind_ring_attach(&r->ring, shm, VRNG_RING_MAX, VBUS_IOQ_FRESH);
}

static void
rng_signal(struct vbus_conn *conn, struct vbus_shm *shm)
{
	(void)shm;
	serve(conn->priv);
}

/* Memory has moved. Nothing runs beside us, so there is no quiesce(). */
static void
rng_rebind(struct vbus_conn *conn)
{
	struct vbus_rng *r = conn->priv;
	struct vbus_shm *shm = r->ring.shm;

	memset(&r->mc, 0, sizeof(r->mc));
	if (shm == NULL)
		return;
	if (shm->va == NULL) {
		r->ring.q.head_peer = NULL; /* it may come back */
	} else if (kind_ring_attach(&r->ring, shm, VRNG_RING_MAX, VBUS_IOQ_RESUME) < 0) {
		r->cs->started = 0;
		vbus_conn_fault(conn, "its ring is no ring any more");
	}
	serve(r);
}

static int
rng_open(struct vbus_conn *conn, uint32_t version)
{
	struct vbus_rng *r = conn->dev->priv;

	if (version != VRNG_VERSION)
		return -EINVAL;
	conn->priv = r;
	r->conn = conn;
	r->cs = vbus_conn_state(conn); /* zero */
	r->cs->layout = 1;
	memset(&r->mc, 0, sizeof(r->mc));
	return 0;
}

/* Nothing of it lies in this process: bytes that were on their way are made anew. */
static int
rng_adopt(struct vbus_conn *conn)
{
	struct vbus_rng *r = conn->dev->priv;
	struct rng_conn_state *cs = vbus_conn_state(conn);
	struct vbus_shm *shm = vbus_conn_shm(conn, VRNG_RING);

	if (conn->version != VRNG_VERSION || cs->layout != 1 || (cs->started && shm == NULL))
		return -EINVAL;
	conn->priv = r;
	r->conn = conn;
	r->cs = cs;
	memset(&r->ring, 0, sizeof(r->ring));
	r->ring.shm = shm;
	if (shm != NULL)
		vbus_shm_repair(shm, VRNG_RING_MAX, true);
	rng_rebind(conn);
	return 0;
}

static void
rng_close(struct vbus_conn *conn)
{
	struct vbus_rng *r = conn->priv;

	r->cs = NULL;
	memset(&r->ring, 0, sizeof(r->ring));
}

static void
rng_telemetry(struct vbus_device *dev, struct rte_tel_data *d)
{
	const struct vbus_rng *r = dev->priv;

	vbus_tel_dict_uint(d, "started", r->cs != NULL && r->cs->started);
	vbus_tel_dict_uint(d, "bytes", r->nb_bytes);
	vbus_tel_dict_uint(d, "bad_buffers", r->nb_bad);
}

static int
rng_create(struct vbus_device *dev, const void *args)
{
	(void)args;
	dev->priv = calloc(1, sizeof(struct vbus_rng));
	return dev->priv != NULL ? 0 : -ENOMEM;
}

static void
rng_destroy(struct vbus_device *dev)
{
	free(dev->priv);
}

static const struct vbus_class_ops rng_ops = {
	.create = rng_create,
	.destroy = rng_destroy,
	.open = rng_open,
	.close = rng_close,
	.call = rng_call,
	.shm = rng_shm,
	.signal = rng_signal,
	.rebind = rng_rebind,
	.adopt = rng_adopt,
	.telemetry = rng_telemetry,
};
static struct vbus_class rng_class = {.name = "rng", .type = VRNG_TYPE, .ops = &rng_ops};

RTE_INIT(rng_register)
{
	vbus_class_register(&rng_class);
}
