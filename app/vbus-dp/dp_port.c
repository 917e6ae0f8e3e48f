/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * Ports (ADR-0011): a burst in and where it leads, a burst out; and how ports come, go, join
 * switches and are wired to each other. Venets here; what only uplinks need is in dp_port_uplink.c.
 *
 * A port is polled by one lcore, which also transmits on it: nothing in it is shared but the
 * pointers that the control side changes (patch, switch, capture). The control side owns it; it
 * frees it after every lcore has left it, and after the venet's callbacks are gone.
 *
 * Frames keep what they ask for (checksum, segmentation) as TX flags on their way: a venet passes
 * that on to a north that can do it, and finishes it while copying otherwise.
 */

#include "dp_plane_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <rte_byteorder.h>
#include <rte_ethdev.h>
#include <rte_malloc.h>

#include "vbus_core.h"
#include "vbus_offload.h"

/* ---- out: the lcore ---------------------------------------------------------------------------- */

/** A frame longer than max_len: is it still one that fits? */
static bool
fits(uint32_t max_len, const struct rte_mbuf *m)
{
	const uint8_t *p = rte_pktmbuf_mtod(m, const uint8_t *);
	uint16_t type;

	if (m->ol_flags & RTE_MBUF_F_TX_TCP_SEG)
		return (uint32_t)m->l3_len + m->l4_len + m->tso_segsz + DP_L2_LEN <= max_len;
	/* With two tags, of which max_len has one. */
	memcpy(&type, p + 2 * RTE_ETHER_ADDR_LEN, sizeof(type));
	if (m->data_len < RTE_ETHER_HDR_LEN + DP_TAG_LEN ||
		(type != RTE_BE16(RTE_ETHER_TYPE_QINQ) && type != RTE_BE16(RTE_ETHER_TYPE_VLAN)))
		return false;
	memcpy(&type, p + 2 * RTE_ETHER_ADDR_LEN + DP_TAG_LEN, sizeof(type));
	return type == RTE_BE16(RTE_ETHER_TYPE_VLAN) && m->pkt_len <= max_len + DP_TAG_LEN;
}

static __rte_noinline uint16_t
drop_large(uint32_t max_len, struct dp_port_stats *st, struct rte_mbuf **pkts, uint16_t n)
{
	uint16_t kept = 0;
	uint16_t i;

	for (i = 0; i < n; i++) {
		if (pkts[i]->pkt_len <= max_len || fits(max_len, pkts[i])) {
			pkts[kept++] = pkts[i];
			continue;
		}
		st->drop_mtu++;
		rte_pktmbuf_free(pkts[i]);
	}
	return kept;
}

static __rte_always_inline void
venet_tx(struct dp_port *port, struct dp_port_stats *st, struct rte_mbuf **pkts, uint16_t n,
	uint64_t bytes)
{
	uint16_t done = vbus_venet_tx_burst(port->venet, 0, pkts, n);
	uint16_t i;

	if (unlikely(done != n)) {
		for (i = done; i < n; i++)
			bytes -= pkts[i]->pkt_len;
		if (vbus_venet_link(port->venet))
			st->drop_tx_full += n - done;
		else
			st->drop_down += n - done;
		rte_pktmbuf_free_bulk(pkts + done, n - done);
	}
	st->tx_packets += done;
	st->tx_bytes += bytes;
}

void
dp_port_tx(struct dp_lcore *lc, struct dp_port *port, struct rte_mbuf **pkts, uint16_t n)
{
	struct dp_port_stats *st = dp_port_st(port, lc);
	/* Acquire: pairs with the release in dp_capture.c. */
	struct dp_capture *cap = atomic_load_explicit(&port->capture, memory_order_acquire);
	const uint32_t max_len = atomic_load_explicit(&port->max_len, memory_order_relaxed);
	uint64_t bytes = 0;
	bool large = false;
	uint16_t i;

	for (i = 0; i < n; i++) {
		bytes += pkts[i]->pkt_len;
		large |= pkts[i]->pkt_len > max_len;
	}
	if (unlikely(large)) {
		n = drop_large(max_len, st, pkts, n);
		for (bytes = 0, i = 0; i < n; i++)
			bytes += pkts[i]->pkt_len;
	}
	if (unlikely(cap != NULL))
		dp_capture_frames(cap, pkts, n, false);
	if (likely(port->venet != NULL))
		venet_tx(port, st, pkts, n, bytes);
	else
		dp_uplink_tx(lc, port, pkts, n);
}

/* ---- in: the lcore ----------------------------------------------------------------------------- */

/** Count; what came unfinished is a request from now on. */
static __rte_always_inline void
look_at(struct dp_port_stats *st, struct rte_mbuf **pkts, uint16_t n)
{
	uint64_t bytes = 0;
	uint16_t i;

	for (i = 0; i < n; i++) {
		bytes += pkts[i]->pkt_len;
		if (unlikely(pkts[i]->ol_flags & (RTE_MBUF_F_RX_L4_CKSUM_MASK | RTE_MBUF_F_RX_LRO)))
			vbus_offload_rx_to_tx(pkts[i]);
	}
	st->rx_packets += n;
	st->rx_bytes += bytes;
}

uint16_t
dp_port_poll(struct dp_lcore *lc, struct dp_port *port)
{
	struct dp_port_stats *st = dp_port_st(port, lc);
	struct rte_mbuf *pkts[DP_BURST];
	struct dp_capture *cap;
	struct dp_trace *trace;
	struct dp_switch *sw;
	struct dp_port *peer;
	uint16_t n;

	if (likely(port->venet != NULL))
		n = vbus_venet_rx_burst(port->venet, 0, pkts, DP_BURST);
	else
		n = dp_uplink_rx(port, pkts, DP_BURST, st);
	if (n == 0)
		return 0;
	look_at(st, pkts, n);
	/* Acquire, all four: pair with the releases that published them. */
	cap = atomic_load_explicit(&port->capture, memory_order_acquire);
	if (unlikely(cap != NULL))
		dp_capture_frames(cap, pkts, n, true);
	trace = atomic_load_explicit(&port->trace, memory_order_acquire);
	if (unlikely(trace != NULL))
		dp_trace_frames(trace, port, pkts, n);
	peer = atomic_load_explicit(&port->peer, memory_order_acquire);
	if (peer != NULL) {
		dp_port_send(lc, peer, pkts, n);
		return n;
	}
	sw = atomic_load_explicit(&port->sw, memory_order_acquire);
	if (likely(sw != NULL)) {
		dp_switch_forward(lc, sw, port, pkts, n);
	} else {
		st->drop_no_switch += n;
		rte_pktmbuf_free_bulk(pkts, n);
	}
	return n;
}

/* ---- coming and going: control side ------------------------------------------------------------ */

/** A free slot, round robin so that ids are long in coming back. @return id, 0: none */
static uint32_t
take_id(void)
{
	unsigned int i;

	for (i = 0; i < DP_PORTS_MAX; i++) {
		uint16_t slot = dp_plane.next_slot;

		dp_plane.next_slot = (uint16_t)((slot + 1) & (DP_PORTS_MAX - 1));
		if (atomic_load_explicit(&dp_plane.ports[slot], memory_order_relaxed) != NULL)
			continue;
		if (++dp_plane.port_gen == 0)
			dp_plane.port_gen = 1;
		return (uint32_t)dp_plane.port_gen << 16 | slot;
	}
	return 0;
}

struct dp_port *
dp_port_new(const char *name, int socket, char *err, size_t err_size)
{
	struct dp_port *port;

	if (dp_plane.nb_lcores == 0) {
		errno = -dp_plane_err(err, err_size, -EINVAL, "port %s: no lcore runs", name);
		return NULL;
	}
	port = rte_zmalloc("dp_port",
		sizeof(*port) + dp_plane.nb_lcores * sizeof(port->counters[0]),
		RTE_CACHE_LINE_SIZE);
	if (port == NULL) {
		errno = -dp_plane_err(err, err_size, -ENOMEM, "port %s: no memory", name);
		return NULL;
	}
	port->id = take_id();
	if (port->id == 0) {
		rte_free(port);
		errno = -dp_plane_err(err, err_size, -ENOSPC, "port %s: %u ports are the most",
			name, DP_PORTS_MAX);
		return NULL;
	}
	port->home = dp_lcore_pick(socket);
	atomic_init(&port->lcore, port->home);
	snprintf(port->name, sizeof(port->name), "%s", name);
	return port;
}

void
dp_port_free(struct dp_port *port)
{
	rte_free(port);
}

/** End a patch; lcores may use it until dp_plane_sync(). @return there was one */
static bool
unwire(struct dp_port *a)
{
	struct dp_port *b = atomic_load_explicit(&a->peer, memory_order_relaxed);

	if (b == NULL)
		return false;
	atomic_store_explicit(&a->peer, NULL, memory_order_release);
	atomic_store_explicit(&b->peer, NULL, memory_order_release);
	return true;
}

void
dp_port_unpublish(struct dp_port *port)
{
	struct dp_switch *sw = atomic_load_explicit(&port->sw, memory_order_relaxed);

	unwire(port);
	if (sw != NULL)
		dp_switch_leave(sw, port);
	atomic_store_explicit(
		&dp_plane.ports[port->id & (DP_PORTS_MAX - 1)], NULL, memory_order_release);
	dp_lcore_del_port(port);
	dp_plane.nb_ports--;
	dp_plane_sync();
	if (sw != NULL)
		dp_switch_left(sw, port);
}

int
dp_port_publish(struct dp_port *port, struct dp_switch *sw, char *err, size_t err_size)
{
	/* Release: pairs with the acquire in dp_port_by_id(). */
	atomic_store_explicit(
		&dp_plane.ports[port->id & (DP_PORTS_MAX - 1)], port, memory_order_release);
	dp_plane.nb_ports++;
	if (dp_lcore_add_port(port) < 0) {
		atomic_store_explicit(
			&dp_plane.ports[port->id & (DP_PORTS_MAX - 1)], NULL, memory_order_release);
		dp_plane.nb_ports--;
		goto err_memory;
	}
	if (sw == NULL || dp_switch_join(sw, port) == 0)
		return 0;
	dp_port_unpublish(port);
err_memory:
	return dp_plane_err(err, err_size, -ENOMEM, "port %s: no memory", port->name);
}

static void
on_quiesce(void *arg)
{
	(void)arg;
	dp_plane_sync();
}

static void
on_rx_wake(void *arg, uint16_t queue)
{
	const struct dp_port *port = arg;
	const struct dp_lcore *lc = atomic_load_explicit(&port->lcore, memory_order_relaxed);

	(void)queue; /* one serves all pairs */
	/* NULL: whoever takes it over looks at it first. */
	if (lc != NULL)
		dp_lcore_wake(lc);
}

static void
on_link(void *arg, bool up)
{
	if (up)
		dp_numa_look(arg);
}

int
dp_port_bind(struct dp_port *port)
{
	const struct vbus_venet_user user = {
		.link = on_link, .quiesce = on_quiesce, .rx_wake = on_rx_wake, .arg = port};
	struct vbus_venet *v = port->venet;
	int ret;

	vbus_ctl_lock();
	ret = vbus_venet_bind(v, &user, dp_plane_pool((int)port->home->socket));
	if (ret == 0) {
		vbus_venet_set_rx_accept(v, VBUS_VENET_RX_CSUM | VBUS_VENET_RX_LRO);
		vbus_venet_set_ready(v, true);
	}
	vbus_ctl_unlock();
	return ret;
}

/** From patch and switch: frames from it are dropped, none comes. */
static void
detach(struct dp_port *port)
{
	struct dp_switch *sw = atomic_load_explicit(&port->sw, memory_order_relaxed);

	bool wired = unwire(port);

	if (sw != NULL)
		dp_switch_leave(sw, port);
	if (sw != NULL || wired)
		dp_plane_sync();
	if (sw != NULL)
		dp_switch_left(sw, port);
}

static struct dp_port *
add_venet(struct vbus_device *dev, struct dp_switch *sw, char *err, size_t err_size)
{
	struct vbus_venet *v = vbus_venet_of(dev);
	struct dp_port *port;
	int ret;

	if (v == NULL) {
		errno = -dp_plane_err(err, err_size, -EINVAL, "device %s is no venet", dev->name);
		return NULL;
	}
	port = dp_port_new(dev->name, SOCKET_ID_ANY, err, err_size);
	if (port == NULL)
		return NULL;
	port->dev = dev;
	port->venet = v;
	port->wakes = true;
	vbus_ctl_lock();
	atomic_init(&port->max_len, vbus_venet_mtu(v) + DP_L2_LEN);
	vbus_ctl_unlock();
	ret = dp_port_publish(port, sw, err, err_size);
	if (ret < 0)
		goto err_free;
	/* Last: north's carrier says that frames get somewhere. */
	ret = dp_port_bind(port);
	if (ret < 0) {
		dp_plane_err(err, err_size, ret, "device %s: %s", dev->name, strerror(-ret));
		goto err_unpublish;
	}
	vbus_ctl_lock();
	dp_numa_look(port);
	vbus_ctl_unlock();
	return port;

err_unpublish:
	dp_port_unpublish(port);
err_free:
	dp_port_free(port);
	errno = -ret;
	return NULL;
}

struct dp_port *
dp_port_add_venet(struct vbus_device *dev, struct dp_switch *sw, char *err, size_t err_size)
{
	struct dp_port *port;

	pthread_mutex_lock(&dp_plane.lock);
	port = add_venet(dev, sw, err, err_size);
	pthread_mutex_unlock(&dp_plane.lock);
	return port;
}

void
dp_port_del(struct dp_port *port)
{
	pthread_mutex_lock(&dp_plane.lock);
	dp_capture_stop(port);
	dp_trace_stop(port);
	if (dp_port_gone(port))
		goto out;
	if (port->venet != NULL) {
		/* North's carrier goes first: what it sends from here on stays with it. */
		vbus_ctl_lock();
		vbus_venet_set_ready(port->venet, false);
		vbus_ctl_unlock();
	}
	dp_port_unpublish(port);
	if (port->venet != NULL) {
		vbus_ctl_lock();
		vbus_venet_bind(port->venet, NULL, NULL);
		vbus_ctl_unlock();
	} else {
		dp_uplink_stop(port);
	}
out:
	dp_port_free(port);
	pthread_mutex_unlock(&dp_plane.lock);
}

int
dp_port_set_switch(struct dp_port *port, struct dp_switch *sw)
{
	int ret = 0;

	pthread_mutex_lock(&dp_plane.lock);
	if (!dp_port_gone(port) &&
		(atomic_load_explicit(&port->sw, memory_order_relaxed) != sw ||
			atomic_load_explicit(&port->peer, memory_order_relaxed) != NULL)) {
		detach(port);
		if (sw != NULL)
			ret = dp_switch_join(sw, port);
	}
	pthread_mutex_unlock(&dp_plane.lock);
	return ret;
}

int
dp_port_patch(struct dp_port *a, struct dp_port *b)
{
	if (a == b)
		return -EINVAL;
	pthread_mutex_lock(&dp_plane.lock);
	if (b == NULL) {
		if (unwire(a))
			dp_plane_sync();
	} else if (atomic_load_explicit(&a->peer, memory_order_relaxed) != b) {
		detach(a);
		detach(b);
		/* Release: pairs with the acquire in dp_port_poll(). */
		atomic_store_explicit(&a->peer, b, memory_order_release);
		atomic_store_explicit(&b->peer, a, memory_order_release);
	}
	pthread_mutex_unlock(&dp_plane.lock);
	return 0;
}

/* ---- what it did: any thread ------------------------------------------------------------------- */

void
dp_port_stats(const struct dp_port *port, struct dp_port_stats *st)
{
	uint64_t *sum = (uint64_t *)st;
	unsigned int i, j;

	memset(st, 0, sizeof(*st));
	for (i = 0; i < dp_plane.nb_lcores; i++) {
		const uint64_t *c = (const uint64_t *)&port->counters[i].st;

		for (j = 0; j < sizeof(*st) / sizeof(*sum); j++)
			sum[j] += __atomic_load_n(&c[j], __ATOMIC_RELAXED);
	}
}

const char *
dp_port_name(const struct dp_port *port)
{
	return port->name;
}

bool
dp_port_gone(const struct dp_port *port)
{
	return atomic_load(&port->there) == DP_PORT_GONE;
}

unsigned int
dp_port_lcore(const struct dp_port *port)
{
	return port->home->lcore;
}
