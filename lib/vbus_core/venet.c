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

/* ---- opening and closing the path -------------------------------------------------------------- */

static bool
blocks_there(const struct vbus_venet *v)
{
	if (venet_polls(v))
		return v->poll[VENET_POLL_RX].cur != NULL && v->poll[VENET_POLL_TX].cur != NULL;
	if (!venet_has_ring(v, VENET_QUEUE_RX) || !venet_has_ring(v, VENET_QUEUE_TX))
		return false;
	if ((v->cs->sg & (VENET_CAP_SG | VENET_CAP_PMTD)) == (VENET_CAP_SG | VENET_CAP_PMTD) &&
		v->block[VBUS_VENET_BLOCK_TX_POOL] == NULL)
		return false;
	if (v->cs->l4ro & VENET_CAP_SG && (v->block[VBUS_VENET_BLOCK_L4RO_POOL] == NULL ||
						  !venet_has_ring(v, VBUS_VENET_BLOCK_PAGES)))
		return false;
	return true;
}

static bool
wants_path(const struct vbus_venet *v)
{
	return v->cs != NULL && v->cs->up && v->mapped && !v->faulted && v->bound && v->ready &&
	       blocks_there(v);
}

static struct venet_pool
pool_of(const struct vbus_venet *v, uint32_t id)
{
	struct venet_pool pool = {NULL, 0};

	if (v->block[id] != NULL) {
		pool.base_peer = v->block[id]->va;
		pool.len = v->block[id]->len;
	}
	return pool;
}

static void
fill_path(struct vbus_venet *v)
{
	struct venet_path *p = &v->path;

	memset(p, 0, sizeof(*p));
	p->view = vbus_conn_view(v->conn);
	p->mp = v->mp;
	if (v->mp != NULL)
		p->mp_room = rte_pktmbuf_data_room_size(v->mp) - RTE_PKTMBUF_HEADROOM;
	p->rx_accept = v->rx_accept;
	p->from_north = v->ring[venet_block_tx(v)];
	p->to_north = v->ring[venet_block_rx(v)];
	p->sg = v->cs->sg;
	p->l4ro = v->cs->l4ro;
	if (venet_polls(v)) {
		venet_poll_path(v, p);
		return;
	}
	p->rx_burst = v->cs->sg & VENET_CAP_SG ? venet_rx_sg : venet_rx_linear;
	if (v->cs->sg & VENET_CAP_PMTD)
		p->sg_pool = pool_of(v, VBUS_VENET_BLOCK_TX_POOL);
	p->tx_burst = venet_tx_linear;
	if (p->l4ro & VENET_CAP_SG) {
		p->tx_burst = venet_tx_l4ro;
		p->l4ro_pool = pool_of(v, VBUS_VENET_BLOCK_L4RO_POOL);
		p->pages = v->ring[VBUS_VENET_BLOCK_PAGES];
	}
}

static void
publish(struct vbus_venet *v)
{
	if (v->published || !wants_path(v))
		return;
	fill_path(v);
	/* The queues are ours until the stores below. Pointers of an older view must not survive. */
	memset(&v->rx.mc, 0, sizeof(v->rx.mc));
	memset(&v->rx.mc_sg, 0, sizeof(v->rx.mc_sg));
	memset(&v->tx.mc, 0, sizeof(v->tx.mc));
	memset(&v->tx.mc_page, 0, sizeof(v->tx.mc_page));
	v->rx.gso.active = false;
	v->rx.poll_skip = false;
	v->published = true;
	/* V0: release, pairs with the acquire V1 in the burst functions. */
	atomic_store_explicit(&v->rx.path, &v->path, memory_order_release);
	atomic_store_explicit(&v->tx.path, &v->path, memory_order_release);
	venet_look_armed(v);
}

/** After it the polling side uses nothing of north's, nor our path. */
static void
unpublish(struct vbus_venet *v)
{
	if (!v->published)
		return;
	atomic_store_explicit(&v->rx.path, NULL, memory_order_release);
	atomic_store_explicit(&v->tx.path, NULL, memory_order_release);
	v->published = false;
	if (v->bound && v->user.quiesce != NULL)
		v->user.quiesce(v->user.arg);
}

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

	publish(v);
	settle(v);
	if (before != v->published)
		venet_event_linkstate(v);
}

static void
fault(struct vbus_venet *v, const char *reason)
{
	unpublish(v);
	v->faulted = true;
	settle(v);
	vbus_conn_fault(v->conn, reason);
}

/* ---- blocks ------------------------------------------------------------------------------------ */

static bool
is_poll_ring(uint32_t id)
{
	return id == VBUS_VENET_BLOCK_POLL_RX || id == VBUS_VENET_BLOCK_POLL_TX;
}

static bool
is_ring(uint32_t id)
{
	return id == VENET_QUEUE_RX || id == VENET_QUEUE_TX || id == VBUS_VENET_BLOCK_EVENTQ ||
	       id == VBUS_VENET_BLOCK_PAGES || is_poll_ring(id);
}

static int
attach_ring(struct vbus_venet *v, struct vbus_shm *shm, unsigned int how)
{
	struct venet_ring *r = &v->ring[shm->id];
	int ret;

	memset(r, 0, sizeof(*r));
	if (is_poll_ring(shm->id))
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

	if (id >= VENET_NB_BLOCKS || shm->va == NULL)
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
	shm->deaf = id == VENET_QUEUE_RX || id == VBUS_VENET_BLOCK_PAGES ||
		    id == VBUS_VENET_BLOCK_POLL_RX;
	v->block[id] = shm;
	return 0;
}

/** Memory changed: take the blocks' new places. @return all are there */
static bool
reattach(struct vbus_venet *v)
{
	bool mapped = true;
	uint32_t id;

	memset(v->poll, 0, sizeof(v->poll));
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
	if (v->mapped && !v->faulted && !blocks_there(v))
		return -EINVAL;
	v->cs->up = 1;
	publish(v);
	settle(v);
	/* At every LINKUP: a driver that was granted LINKSTATE has no carrier before (7.5). */
	venet_event_linkstate(v);
	return 0;
}

static int
call_linkdown(struct vbus_venet *v)
{
	uint32_t id;

	unpublish(v); /* the indices stay where they are, in the link's state (7.8) */
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
		c.bits &= c.bits & VENET_CAP_POLL_RING ? VENET_CAPS_POLL : 0;
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
	unpublish(v);
	venet_flush_rx(v);
	if (open)
		publish(v);
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
	memset(v->poll, 0, sizeof(v->poll));
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
	unpublish(v);
	v->cs = NULL;
	v->conn = NULL;
	v->event_held = false;
	memset(v->block, 0, sizeof(v->block));
	memset(v->ring, 0, sizeof(v->ring));
	memset(v->poll, 0, sizeof(v->poll));
	conn->priv = NULL;
	settle(v);
}

/** Section 7.15: what north still sends is discarded, so that its ring never stays full. */
static bool
venet_dropped(struct vbus_conn *conn, int func)
{
	struct venet_conn_state *cs = vbus_conn_state(conn);
	struct vbus_ioq_entry e[VENET_BURST];
	struct venet_ring r = {0};
	struct vbus_shm *shm;
	uint32_t done = 0;
	uint32_t n;

	if (func == (int)VENET_FUNC_LINKUP || func == (int)VENET_FUNC_LINKDOWN)
		cs->up = func == (int)VENET_FUNC_LINKUP;
	LIST_FOREACH(shm, &conn->shms, next)
	if (shm->id == (cs->poll != 0 ? VBUS_VENET_BLOCK_POLL_TX : VENET_QUEUE_TX))
		break;
	if (func >= 0 || !cs->up || shm == NULL || shm->va == NULL)
		return false;
	if (cs->poll != 0)
		return venet_poll_discard(shm);
	if (vbus_ioq_south_attach(
		    &r.q, shm->va, shm->len, VENET_RING_MAX, shm->cursor, VBUS_IOQ_RESUME) != 0)
		return false;
	while (done < r.q.count) {
		n = vbus_ioq_south_consume_peek(&r.q, e, RTE_MIN(VENET_BURST, r.q.count - done));
		if (n == 0)
			break;
		vbus_ioq_south_consume_pop(&r.q, n);
		done += n;
	}
	if (done != 0 && shm->has_signal &&
		vbus_signal_attach(&r.sig, shm->va + shm->signal_offset, VBUS_LOCALITY_SOUTH) ==
			0) {
		r.shm = shm;
		venet_signal(&r);
	}
	return done != 0;
}

static void
venet_signal_op(struct vbus_conn *conn, struct vbus_shm *shm)
{
	struct vbus_venet *v = conn->priv;
	struct venet_ring *r;

	if (v == NULL || shm->id >= VENET_NB_BLOCKS || v->block[shm->id] != shm || !v->cs->up)
		return;
	r = &v->ring[shm->id];
	if (r->shm == NULL)
		return;
	if (shm->id == VBUS_VENET_BLOCK_EVENTQ) {
		vbus_signal_take(&r->sig);
		venet_event_flush(v);
	} else if (shm->id == venet_block_tx(v) && v->published &&
		   atomic_load_explicit(&v->rx.armed, memory_order_relaxed)) {
		/* Taken before the woken thread looks at the ring; what comes after it is a new
		 * signal.
		 */
		vbus_signal_take(&r->sig);
		if (v->user.rx_wake != NULL)
			v->user.rx_wake(v->user.arg);
	}
}

static void
venet_quiesce(struct vbus_conn *conn)
{
	struct vbus_venet *v = conn->priv;

	/* Nobody is told: most changes of the memory map leave the rings where they are. */
	if (v != NULL)
		unpublish(v);
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

	if (a != NULL &&
		(a->nb_queues > 1 || (a->mtu != 0 && (a->mtu < VBUS_VENET_MTU_MIN ||
							     a->mtu > VBUS_VENET_MTU_MAX))))
		return -EINVAL;
	if (a != NULL && rte_is_multicast_ether_addr(&a->mac))
		return -EINVAL;
	v = rte_zmalloc_socket("vbus_venet", sizeof(*v), RTE_CACHE_LINE_SIZE, SOCKET_ID_ANY);
	if (v == NULL)
		return -ENOMEM;
	v->dev = dev;
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

int
vbus_venet_bind(
	struct vbus_venet *v, const struct vbus_venet_user *user, struct rte_mempool *rx_pool)
{
	if (user != NULL && v->bound)
		return -EBUSY;
	unpublish(v);
	v->ready = false;
	atomic_store_explicit(&v->rx.armed, false, memory_order_relaxed);
	if (user == NULL) {
		v->bound = false;
		memset(&v->user, 0, sizeof(v->user));
		v->mp = NULL;
	} else {
		v->user = *user;
		v->mp = rx_pool;
		v->bound = true;
		v->told_up = v->cs != NULL && v->cs->up && v->mapped && !v->faulted;
	}
	reopen(v);
	return 0;
}

void
vbus_venet_set_ready(struct vbus_venet *v, bool ready)
{
	if (v->ready == ready || !v->bound)
		return;
	unpublish(v);
	v->ready = ready;
	reopen(v);
}

void
vbus_venet_set_rx_accept(struct vbus_venet *v, uint32_t flags)
{
	if (v->rx_accept == flags)
		return;
	unpublish(v);
	v->rx_accept = flags;
	publish(v);
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
