/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * The venet class: device, control functions, and when the data path is open (doc/abi.md sections
 * 5 and 7). Bursts are in venet_rx*.c and venet_tx*.c, events in venet_event.c.
 *
 * Everything here runs with the control lock held, on whatever thread holds it. The device owns its
 * queues; they are the polling threads' while the path is published, and ours otherwise (see
 * venet_internal.h). One connection at a time; what it negotiated lies in the link's state.
 *
 * The path is open when north called LINKUP, all its blocks lie in mapped memory, and a polling
 * side is bound and ready. Whatever closes it waits for the polling side first.
 * ADR: threads, link state.
 */

#include "venet_internal.h"

#include <errno.h>
#include <string.h>

#include <rte_errno.h>
#include <rte_malloc.h>

#include "bridge_internal.h"

#define CAPS_SG	    (VENET_CAP_SG | VENET_CAP_TSO4 | VENET_CAP_TSO6 | VENET_CAP_ECN | VENET_CAP_PMTD)
#define CAPS_L4RO   (VENET_CAP_SG | VENET_CAP_TSO4 | VENET_CAP_TSO6 | VENET_CAP_ECN)
#define CAPS_EVENTQ VENET_CAP_EVQ_LINKSTATE
#define CAPS_POLL                                                           \
	(VENET_CAP_POLL_RING | VENET_CAP_POLL_PAIRS | VENET_CAP_POLL_KEEP | \
		VENET_CAP_POLL_PLACED | VENET_CAP_POLL_NEWEST)

/* ---- opening and closing the path -------------------------------------------------------------- */

/** The state may have changed: tell who watches. */
static void
settle(struct vbus_venet *v)
{
	bool up = v->cs != NULL && v->cs->up && v->mapped && !v->faulted;

	atomic_store_explicit(&v->link, v->published, memory_order_relaxed);
	if (v->cs != NULL && v->cs->up)
		venet_look_add(v);
	else
		venet_look_del(v);
	if (v->bound && v->told_up != up) {
		v->told_up = up;
		if (v->user.link != NULL)
			v->user.link(v->user.arg, up);
	}
}

/** Close, change something, open again: the last step. North hears of its carrier when it moved. */
static void
reopen(struct vbus_venet *v)
{
	bool before = atomic_load_explicit(&v->link, memory_order_relaxed);

	venet_publish(v);
	settle(v);
	if (before != v->published)
		venet_event_linkstate(v);
}

static void
fault(struct vbus_venet *v, const char *reason)
{
	venet_unpublish(v);
	v->faulted = true;
	settle(v);
	vbus_conn_fault(v->conn, reason);
}

/* ---- blocks ------------------------------------------------------------------------------------ */

static bool
is_ring(uint32_t id)
{
	return id == VENET_QUEUE_RX || id == VENET_QUEUE_TX || id == VBUS_VENET_BLOCK_EVENTQ ||
	       id == VBUS_VENET_BLOCK_PAGES || venet_is_poll_ring(id);
}

static int
attach_ring(struct vbus_venet *v, struct vbus_shm *shm, unsigned int how)
{
	struct venet_ring *r = &v->ring[shm->id];
	int ret;

	memset(r, 0, sizeof(*r));
	if (venet_is_poll_ring(shm->id))
		return venet_poll_attach(v, shm, how);
	ret = vbus_ioq_south_attach(&r->q, shm->va, shm->len, VENET_RING_MAX, shm->cursor, how);
	if (ret < 0) {
		VBUS_LOG_LIMITED(&v->log_limit, WARNING, "device %s: ring %u refused: %s",
			v->dev->name, shm->id, vbus_ioq_refusal_name(r->q.refusal));
		r->q.head_peer = NULL;
		return ret;
	}
	if (!shm->has_signal)
		return 0;
	ret = vbus_signal_attach(&r->sig, shm->va + shm->signal_offset, VBUS_LOCALITY_SOUTH);
	if (ret < 0) {
		r->q.head_peer = NULL;
		return ret;
	}
	r->shm = shm;
	return 0;
}

static int
venet_shm(struct vbus_conn *conn, struct vbus_shm *shm)
{
	struct vbus_venet *v = conn->priv;
	uint32_t id = shm->id;
	int ret;

	if (id >= VBUS_VENET_BLOCK_POLL(v->nb_pairs, 0) || shm->va == NULL)
		return -EINVAL;
	if (id > VBUS_VENET_BLOCK_POLL_TX && (v->cs->poll & VENET_CAP_POLL_PAIRS) == 0)
		return -EINVAL;
	if (v->cs->up)
		return -EBUSY;
	if (v->block[id] != NULL)
		return -EEXIST;
	if (is_ring(id)) {
		ret = attach_ring(v, shm, VBUS_IOQ_FRESH);
		if (ret < 0)
			return ret;
	} else if ((uintptr_t)shm->va % 8 != 0) {
		return -EINVAL;
	}
	/* What north signals with these two nobody waits for: a kick passes them by. */
	shm->deaf = venet_block_is_deaf(id);
	v->block[id] = shm;
	return 0;
}

/** Memory changed: take the blocks' new places. @return all are there */
static bool
reattach(struct vbus_venet *v)
{
	bool mapped = true;
	uint32_t id;

	venet_pairs_forget(v);
	for (id = 0; id < VENET_NB_BLOCKS; id++) {
		struct vbus_shm *shm = v->block[id];

		if (shm == NULL)
			continue;
		if (shm->va == NULL) {
			mapped = false;
			memset(&v->ring[id], 0, sizeof(v->ring[id]));
			continue;
		}
		if (!is_ring(id))
			continue;
		if (attach_ring(v, shm, VBUS_IOQ_RESUME) < 0) {
			fault(v, "a ring is no ring any more");
			return false;
		}
	}
	return mapped;
}

/* ---- functions --------------------------------------------------------------------------------- */

static int
call_linkup(struct vbus_venet *v)
{
	if (v->cs->up)
		return -EEXIST;
	/* Memory that was taken away since comes back with rebind(): no reason to refuse, a driver
	 * of old crashes on a negative answer (section 7.6).
	 */
	if (v->mapped && !v->faulted && !venet_blocks_there(v))
		return -EINVAL;
	v->cs->up = 1;
	venet_publish(v);
	settle(v);
	/* At every LINKUP: a driver that was granted LINKSTATE has no carrier before (7.5). */
	venet_event_linkstate(v);
	return 0;
}

static int
call_linkdown(struct vbus_venet *v)
{
	uint32_t id;

	venet_unpublish(v); /* the indices stay where they are, in the link's state (7.8) */
	for (id = 0; id < v->nb_pairs; id++)
		venet_keep_polled(v->pair[id].keep, false);
	v->cs->up = 0;
	v->event_held = false;
	/* What was signalled and not told yet is told now: nothing after we have returned. */
	for (id = 0; id < VENET_NB_BLOCKS; id++)
		if (v->block[id] != NULL && v->block[id]->has_signal)
			vbus_bridge_notify_flush(v->conn->bridge, v->block[id]);
	settle(v);
	return 0;
}

static int
call_negcap(struct vbus_venet *v, void *data, uint32_t len, uint32_t *out)
{
	struct venet_capabilities c;

	if (len != sizeof(c) || v->cs->up)
		return -EINVAL;
	memcpy(&c, data, sizeof(c));
	switch (c.gid) {
	case VENET_CAP_GROUP_SG:
		c.bits = c.bits & VENET_CAP_SG ? c.bits & CAPS_SG : 0;
		v->cs->sg = c.bits;
		break;
	case VENET_CAP_GROUP_EVENTQ:
		c.bits &= CAPS_EVENTQ;
		v->cs->evq = c.bits;
		break;
	case VENET_CAP_GROUP_L4RO:
		c.bits = c.bits & VENET_CAP_SG ? c.bits & CAPS_L4RO : 0;
		v->cs->l4ro = c.bits;
		break;
	case VENET_CAP_GROUP_POLL:
		c.bits &= c.bits & VENET_CAP_POLL_RING ? CAPS_POLL : 0;
		if ((c.bits & VENET_CAP_POLL_PLACED) != 0 || !venet_keep_offered(v))
			c.bits &= ~VENET_CAP_POLL_KEEP;
		if ((c.bits & VENET_CAP_POLL_PLACED) != 0)
			c.bits &= ~VENET_CAP_POLL_NEWEST;
		v->cs->poll = c.bits;
		break;
	default:
		c.bits = 0;
		break;
	}
	memcpy(data, &c, sizeof(c));
	*out = sizeof(c);
	return 0;
}

static int
call_macquery(struct vbus_venet *v, void *data, uint32_t len, uint32_t *out)
{
	if (len != VENET_MAC_LEN)
		return -EINVAL;
	memcpy(data, &v->mac, VENET_MAC_LEN);
	*out = VENET_MAC_LEN;
	return 0;
}

static int
call_evqquery(void *data, uint32_t len, uint32_t *out)
{
	struct venet_eventq_query qry;

	if (len != sizeof(qry))
		return -EINVAL;
	memcpy(&qry, data, sizeof(qry));
	qry.evsize = VENET_EVENT_SIZE_MAX;
	qry.dpid = VBUS_VENET_BLOCK_EVENTS;
	qry.qid = VBUS_VENET_BLOCK_EVENTQ;
	memcpy(data, &qry, sizeof(qry));
	*out = sizeof(qry);
	return 0;
}

static int
call_l4roquery(void *data, uint32_t len, uint32_t *out)
{
	struct venet_l4ro_query qry;

	if (len != sizeof(qry))
		return -EINVAL;
	memcpy(&qry, data, sizeof(qry));
	qry.dpid = VBUS_VENET_BLOCK_L4RO_POOL;
	qry.pqid = VBUS_VENET_BLOCK_PAGES;
	memcpy(data, &qry, sizeof(qry));
	*out = sizeof(qry);
	return 0;
}

/** In any state 0 (7.6); while the link is down south may not touch the ring (7.8). */
static int
call_flushrx(struct vbus_venet *v)
{
	bool open = v->published;

	if (!v->cs->up || !v->mapped || v->faulted)
		return 0;
	venet_unpublish(v);
	venet_flush_rx(v);
	if (open)
		venet_publish(v);
	return 0;
}

static int
venet_call(struct vbus_conn *conn, uint32_t func, void *data, uint32_t len, uint32_t *out)
{
	struct vbus_venet *v = conn->priv;

	*out = 0;
	switch (func) {
	case VENET_FUNC_LINKUP:
		return call_linkup(v);
	case VENET_FUNC_LINKDOWN:
		return call_linkdown(v);
	case VENET_FUNC_MACQUERY:
		return call_macquery(v, data, len, out);
	case VENET_FUNC_NEGCAP:
		return call_negcap(v, data, len, out);
	case VENET_FUNC_FLUSHRX:
		return call_flushrx(v);
	case VENET_FUNC_PMTDQUERY:
		return VBUS_VENET_BLOCK_TX_POOL;
	case VENET_FUNC_EVQQUERY:
		return call_evqquery(data, len, out);
	case VENET_FUNC_L4ROQUERY:
		return call_l4roquery(data, len, out);
	case VENET_FUNC_POLLQUERY:
		return venet_poll_query(v, data, len, out);
	default:
		return -EINVAL;
	}
}

/* ---- connection -------------------------------------------------------------------------------- */

static int
venet_open(struct vbus_conn *conn, uint32_t version)
{
	struct vbus_venet *v = conn->dev->priv;

	if (version != VENET_VERSION)
		return -EINVAL;
	if (v->conn != NULL)
		return -EBUSY;
	memset(v->block, 0, sizeof(v->block));
	memset(v->ring, 0, sizeof(v->ring));
	venet_pairs_forget(v);
	v->conn = conn;
	v->cs = vbus_conn_state(conn);
	memset(v->cs, 0, sizeof(*v->cs));
	v->cs->layout = VENET_STATE_LAYOUT;
	v->mapped = true;
	v->faulted = false;
	v->event_held = false;
	conn->priv = v;
	return 0;
}

static void
venet_close(struct vbus_conn *conn)
{
	struct vbus_venet *v = conn->priv;

	if (v == NULL || v->conn != conn)
		return;
	venet_unpublish(v);
	venet_pairs_let_go(v);
	v->cs = NULL;
	v->conn = NULL;
	v->event_held = false;
	memset(v->block, 0, sizeof(v->block));
	memset(v->ring, 0, sizeof(v->ring));
	venet_pairs_forget(v);
	conn->priv = NULL;
	settle(v);
}

static void
venet_signal_op(struct vbus_conn *conn, struct vbus_shm *shm)
{
	struct vbus_venet *v = conn->priv;
	struct venet_ring *r;
	uint32_t pair = 0;

	if (v == NULL || shm->id >= VENET_NB_BLOCKS || v->block[shm->id] != shm || !v->cs->up)
		return;
	r = &v->ring[shm->id];
	if (r->shm == NULL)
		return;
	if (shm->id == VBUS_VENET_BLOCK_EVENTQ) {
		vbus_signal_take(&r->sig);
		venet_event_flush(v);
		return;
	}
	if (venet_polls(v) && venet_is_poll_ring(shm->id))
		pair = venet_block_pair(shm->id);
	if (shm->id == venet_block_tx(v, pair) && v->published &&
		atomic_load_explicit(&v->pair[pair].rx.armed, memory_order_relaxed)) {
		/* Taken before the woken thread looks at the ring; what comes after it is a new
		 * signal.
		 */
		vbus_signal_take(&r->sig);
		if (v->user.rx_wake != NULL)
			v->user.rx_wake(v->user.arg, (uint16_t)(pair % v->nb_rx));
	}
}

static void
venet_quiesce(struct vbus_conn *conn)
{
	struct vbus_venet *v = conn->priv;

	/* Nobody is told: most changes of the memory map leave the rings where they are. */
	if (v != NULL)
		venet_unpublish(v);
}

static void
venet_rebind(struct vbus_conn *conn)
{
	struct vbus_venet *v = conn->priv;

	if (v == NULL || v->cs == NULL)
		return;
	v->mapped = reattach(v);
	reopen(v);
}

/* ---- device ------------------------------------------------------------------------------------ */

static int
venet_create(struct vbus_device *dev, const void *args)
{
	const struct vbus_venet_args *a = args;
	struct vbus_venet *v;

	if (a != NULL && (a->nb_queues > VBUS_VENET_PAIRS_MAX ||
				 (a->mtu != 0 && (a->mtu < VBUS_VENET_MTU_MIN ||
							 a->mtu > VBUS_VENET_MTU_MAX))))
		return -EINVAL;
	if (a != NULL && rte_is_multicast_ether_addr(&a->mac))
		return -EINVAL;
	v = rte_zmalloc_socket("vbus_venet", sizeof(*v), RTE_CACHE_LINE_SIZE, SOCKET_ID_ANY);
	if (v == NULL)
		return -ENOMEM;
	if (venet_pairs_create(v, a != NULL ? a->nb_queues : 0) < 0) {
		rte_free(v);
		return -ENOMEM;
	}
	v->dev = dev;
	v->keep_min = a != NULL ? a->keep : 0;
	v->mtu = a != NULL && a->mtu != 0 ? a->mtu : RTE_ETHER_MTU;
	if (a != NULL && !rte_is_zero_ether_addr(&a->mac))
		v->mac = a->mac;
	else
		rte_eth_random_addr(v->mac.addr_bytes);
	dev->priv = v;
	return 0;
}

static void
venet_destroy(struct vbus_device *dev)
{
	struct vbus_venet *v = dev->priv;

	if (v == NULL)
		return;
	venet_look_del(v);
	dev->priv = NULL;
	venet_pairs_destroy(v);
	rte_free(v);
}

static const struct vbus_class_ops venet_ops = {
	.create = venet_create,
	.destroy = venet_destroy,
	.open = venet_open,
	.close = venet_close,
	.call = venet_call,
	.shm = venet_shm,
	.signal = venet_signal_op,
	.dropped = venet_dropped,
	.quiesce = venet_quiesce,
	.rebind = venet_rebind,
	.adopt = venet_adopt,
	.telemetry = venet_telemetry,
};

static struct vbus_class venet_class = {
	.name = "venet",
	.type = VENET_TYPE,
	.ops = &venet_ops,
};

RTE_INIT(venet_register)
{
	vbus_class_register(&venet_class);
}

/* ---- the polling side -------------------------------------------------------------------------- */

struct vbus_venet *
vbus_venet_of(struct vbus_device *dev)
{
	return dev != NULL && dev->cls == &venet_class ? dev->priv : NULL;
}

/** Who polls, and with how many queues. NULL: nobody. */
static void
set_user(struct vbus_venet *v, const struct vbus_venet_user *user, struct rte_mempool *rx_pool)
{
	static const struct vbus_venet_user nobody;
	uint32_t i;

	v->user = user != NULL ? *user : nobody;
	v->mp = user != NULL ? rx_pool : NULL;
	if (user != NULL) { /* else counters are told by the queues of the last one */
		v->nb_rx = RTE_MAX(v->user.nb_rx, 1);
		v->nb_tx = RTE_MAX(v->user.nb_tx, 1);
	}
	for (i = 0; i < VBUS_VENET_PAIRS_MAX; i++)
		v->mps[i] = v->user.rx_pools != NULL && i < v->nb_rx ? v->user.rx_pools[i] : v->mp;
	v->user.rx_pools = NULL; /* the caller's */
}

int
vbus_venet_bind(
	struct vbus_venet *v, const struct vbus_venet_user *user, struct rte_mempool *rx_pool)
{
	uint32_t i;

	if (user != NULL && v->bound)
		return -EBUSY;
	if (user != NULL && (user->nb_rx > v->nb_pairs || user->nb_tx > v->nb_pairs))
		return -EINVAL;
	venet_unpublish(v);
	v->ready = false;
	for (i = 0; i < v->nb_pairs; i++)
		atomic_store_explicit(&v->pair[i].rx.armed, false, memory_order_relaxed);
	set_user(v, user, rx_pool);
	v->bound = user != NULL;
	if (v->bound)
		v->told_up = v->cs != NULL && v->cs->up && v->mapped && !v->faulted;
	reopen(v);
	return 0;
}

void
vbus_venet_set_ready(struct vbus_venet *v, bool ready)
{
	if (v->ready == ready || !v->bound)
		return;
	venet_unpublish(v);
	v->ready = ready;
	reopen(v);
}

void
vbus_venet_set_rx_accept(struct vbus_venet *v, uint32_t flags)
{
	if (v->rx_accept == flags)
		return;
	venet_unpublish(v);
	v->rx_accept = flags;
	venet_publish(v);
}

void
vbus_venet_set_mtu(struct vbus_venet *v, uint16_t mtu)
{
	/* Nothing of the ABI tells it to north, and nothing of the data path depends on it. */
	v->mtu = mtu;
}

uint16_t
vbus_venet_mtu(const struct vbus_venet *v)
{
	return v->mtu;
}

void
vbus_venet_mac(const struct vbus_venet *v, struct rte_ether_addr *mac)
{
	*mac = v->mac;
}

int
vbus_venet_set_mac(struct vbus_venet *v, const struct rte_ether_addr *mac)
{
	if (!rte_is_valid_assigned_ether_addr(mac))
		return -EINVAL;
	v->mac = *mac; /* north asks for it when it opens the device */
	return 0;
}

bool
vbus_venet_link(const struct vbus_venet *v)
{
	return atomic_load_explicit(&v->link, memory_order_relaxed);
}
