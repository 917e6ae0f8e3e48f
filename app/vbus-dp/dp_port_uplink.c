/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * Uplinks: ports of other DPDK drivers, one queue pair each (ADR-0011).
 *
 * What a frame asks for goes to the driver when it offers that, and is finished here otherwise:
 * checksums in the frame itself (in a copy, when another port has it too), TCP segmentation into
 * frames of our own. Nothing leaves unfinished; what cannot be finished is dropped and counted.
 *
 * Receive and transmit run on the lcore that polls the port; the rest on the control side. The
 * ethdev stays EAL's: it is stopped when the port goes, not closed.
 */

#include "dp_plane_internal.h"

#include <errno.h>
#include <string.h>

#include <rte_epoll.h>
#include <rte_errno.h>
#include <rte_ethdev.h>

#include "dp_log.h"

#include "vbus_offload.h"

DP_LOG_TYPE("uplink");

#define DESC_NB 1024u
#define TX_WANT                                                               \
	(RTE_ETH_TX_OFFLOAD_MULTI_SEGS | RTE_ETH_TX_OFFLOAD_IPV4_CKSUM |      \
		RTE_ETH_TX_OFFLOAD_TCP_CKSUM | RTE_ETH_TX_OFFLOAD_UDP_CKSUM | \
		RTE_ETH_TX_OFFLOAD_TCP_TSO)

/* ---- receive ----------------------------------------------------------------------------------- */

/**
 * A driver that hands out unfinished frames (vhost, virtio) says so in RX flags, without lengths:
 * find them, that vbus_offload_rx_to_tx() can make a request of it.
 */
static __rte_noinline void
find_headers(struct rte_mbuf *m)
{
	uint8_t buf[VBUS_HDR_MAX];
	uint32_t avail = RTE_MIN(m->pkt_len, (uint32_t)sizeof(buf));
	const uint8_t *p = rte_pktmbuf_read(m, 0, avail, buf);
	struct vbus_hdr h;

	if (m->tso_segsz == 0)
		m->ol_flags &= ~(uint64_t)RTE_MBUF_F_RX_LRO;
	if (p == NULL || vbus_hdr_parse(p, avail, &h) < 0 || h.l4_proto == 0) {
		m->ol_flags &= ~(uint64_t)(RTE_MBUF_F_RX_L4_CKSUM_MASK | RTE_MBUF_F_RX_LRO);
		return;
	}
	m->l2_len = h.l2_len;
	m->l3_len = h.l3_len;
	m->l4_len = h.l4_len;
	m->packet_type = h.v6 ? RTE_PTYPE_L3_IPV6_EXT_UNKNOWN : RTE_PTYPE_L3_IPV4_EXT_UNKNOWN;
	m->packet_type |= h.l4_proto == IPPROTO_TCP ? RTE_PTYPE_L4_TCP : RTE_PTYPE_L4_UDP;
}

uint16_t
dp_uplink_rx(struct dp_port *port, struct rte_mbuf **pkts, uint16_t n, struct dp_port_stats *st)
{
	uint16_t got = rte_eth_rx_burst(port->eth_id, 0, pkts, n);
	uint16_t kept = 0;
	uint16_t i;

	for (i = 0; i < got; i++) {
		struct rte_mbuf *m = pkts[i];

		if (unlikely(m->data_len < RTE_ETHER_HDR_LEN)) {
			st->drop_runt++;
			rte_pktmbuf_free(m);
			continue;
		}
		if (unlikely((m->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) ==
				     RTE_MBUF_F_RX_L4_CKSUM_NONE ||
			     (m->ol_flags & RTE_MBUF_F_RX_LRO)))
			find_headers(m);
		pkts[kept++] = m;
	}
	return kept;
}

/* ---- transmit ---------------------------------------------------------------------------------- */

/** What the driver must offer to do all that the frame asks for. */
static uint64_t
offloads_for(const struct rte_mbuf *m)
{
	uint64_t l4 = m->ol_flags & RTE_MBUF_F_TX_L4_MASK;
	uint64_t need = 0;

	if (m->ol_flags & RTE_MBUF_F_TX_TCP_SEG)
		need |= RTE_ETH_TX_OFFLOAD_TCP_TSO | RTE_ETH_TX_OFFLOAD_TCP_CKSUM;
	if (m->ol_flags & RTE_MBUF_F_TX_IP_CKSUM)
		need |= RTE_ETH_TX_OFFLOAD_IPV4_CKSUM;
	if (l4 == RTE_MBUF_F_TX_TCP_CKSUM)
		need |= RTE_ETH_TX_OFFLOAD_TCP_CKSUM;
	else if (l4 == RTE_MBUF_F_TX_UDP_CKSUM)
		need |= RTE_ETH_TX_OFFLOAD_UDP_CKSUM;
	return need;
}

/** May headers of this frame be changed? (The driver's tx_prepare does, too.) */
static bool
is_ours(const struct rte_mbuf *m)
{
	for (; m != NULL; m = m->next)
		if (!RTE_MBUF_DIRECT(m) || rte_mbuf_refcnt_read(m) != 1)
			return false;
	return true;
}

/** Make a frame what the driver can send. @return frames in @p out, 0: dropped; consumes it */
static uint16_t
finish(struct dp_port *port, struct rte_mbuf *m, struct rte_mbuf **out, uint16_t nb_out)
{
	const uint32_t max_len = atomic_load_explicit(&port->max_len, memory_order_relaxed);
	struct rte_mempool *mp = dp_plane_pool((int)port->home->socket);
	uint64_t need = offloads_for(m);
	bool by_driver = (need & port->tx_offloads) == need;
	int ret;

	if (m->ol_flags & RTE_MBUF_F_TX_TCP_SEG && !by_driver) {
		/* max_len: the frame was let pass because its segments fit. */
		ret = vbus_offload_segment(
			m, (uint16_t)(max_len - DP_L2_LEN), mp, NULL, out, nb_out);
		if (ret > 0)
			return (uint16_t)ret;
		/* What fits one segment asks for a checksum only. */
		m->ol_flags &= ~(uint64_t)RTE_MBUF_F_TX_TCP_SEG;
		if (ret == 0 || m->pkt_len > max_len + DP_TAG_LEN)
			goto drop;
	}
	if (need != 0 && !is_ours(m)) {
		struct rte_mbuf *copy = rte_pktmbuf_copy(m, mp, 0, UINT32_MAX);

		if (copy == NULL)
			goto drop;
		rte_pktmbuf_free(m);
		m = copy;
	}
	if (need != 0 && !by_driver && vbus_offload_finish_tx_csum(m) < 0)
		goto drop;
	if (m->nb_segs > 1 && !(port->tx_offloads & RTE_ETH_TX_OFFLOAD_MULTI_SEGS) &&
		(!is_ours(m) || rte_pktmbuf_linearize(m) < 0))
		goto drop;
	if (need != 0 && by_driver && rte_eth_tx_prepare(port->eth_id, 0, &m, 1) != 1)
		goto drop;
	out[0] = m;
	return 1;
drop:
	rte_pktmbuf_free(m);
	return 0;
}

static void
send_out(struct dp_port *port, struct dp_port_stats *st, struct rte_mbuf **pkts, uint16_t n)
{
	uint64_t bytes = 0;
	uint16_t done = 0;
	uint16_t i;

	/* The driver frees what it takes: count before. */
	for (i = 0; i < n; i++)
		bytes += pkts[i]->pkt_len;
	while (done < n) {
		uint16_t sent = rte_eth_tx_burst(port->eth_id, 0, pkts + done, n - done);

		if (sent == 0)
			break;
		done += sent;
	}
	for (i = done; i < n; i++)
		bytes -= pkts[i]->pkt_len;
	if (unlikely(done != n)) {
		st->drop_tx_full += n - done;
		rte_pktmbuf_free_bulk(pkts + done, n - done);
	}
	st->tx_packets += done;
	st->tx_bytes += bytes;
}

void
dp_uplink_tx(struct dp_lcore *lc, struct dp_port *port, struct rte_mbuf **pkts, uint16_t n)
{
	struct dp_port_stats *st = dp_port_st(port, lc);
	const bool chains = (port->tx_offloads & RTE_ETH_TX_OFFLOAD_MULTI_SEGS) != 0;
	uint16_t from = 0;
	uint16_t i;

	for (i = 0; i < n; i++) {
		uint16_t nb;

		if (likely(!(pkts[i]->ol_flags & VBUS_OFFLOAD_TX_FLAGS) &&
			    (chains || pkts[i]->nb_segs == 1)))
			continue;
		send_out(port, st, pkts + from, i - from);
		from = i + 1;
		nb = finish(port, pkts[i], lc->segs, DP_SEGS_MAX);
		if (nb == 0)
			st->drop_offload++;
		else
			send_out(port, st, lc->segs, nb);
	}
	send_out(port, st, pkts + from, n - from);
}

/* ---- interrupts -------------------------------------------------------------------------------- */

void
dp_uplink_arm(struct dp_port *port)
{
	/* Drivers without a switch (tap) answer -ENOTSUP: their descriptor always tells. */
	rte_eth_dev_rx_intr_enable(port->eth_id, 0);
}

void
dp_uplink_disarm(struct dp_port *port)
{
	rte_eth_dev_rx_intr_disable(port->eth_id, 0);
}

/* ---- coming and going -------------------------------------------------------------------------- */

static int
start(struct dp_port *port, const struct rte_eth_dev_info *info, bool intr)
{
	struct rte_eth_conf conf = {.intr_conf = {.rxq = intr}};
	struct rte_eth_rxconf rx = info->default_rxconf;
	struct rte_eth_txconf tx = info->default_txconf;
	uint16_t nb_rx = DESC_NB;
	uint16_t nb_tx = DESC_NB;
	int socket = (int)port->home->socket;
	int ret;

	port->tx_offloads = info->tx_offload_capa & TX_WANT;
	/* It takes the frame for the payload when it compares with the MTU: full segments are refused. */
	if (strcmp(info->driver_name, "net_tap") == 0)
		port->tx_offloads &= ~(uint64_t)RTE_ETH_TX_OFFLOAD_TCP_TSO;
	conf.txmode.offloads = port->tx_offloads;
	conf.rxmode.offloads = info->rx_offload_capa & RTE_ETH_RX_OFFLOAD_SCATTER;
	rx.offloads = conf.rxmode.offloads;
	tx.offloads = conf.txmode.offloads;
	ret = rte_eth_dev_configure(port->eth_id, 1, 1, &conf);
	if (ret == 0)
		ret = rte_eth_dev_adjust_nb_rx_tx_desc(port->eth_id, &nb_rx, &nb_tx);
	if (ret == 0)
		ret = rte_eth_rx_queue_setup(
			port->eth_id, 0, nb_rx, socket, &rx, dp_plane_pool(socket));
	if (ret == 0)
		ret = rte_eth_tx_queue_setup(port->eth_id, 0, nb_tx, socket, &tx);
	if (ret == 0)
		ret = rte_eth_dev_start(port->eth_id);
	return ret;
}

static bool
in_use(uint16_t eth_id)
{
	unsigned int i;

	for (i = 0; i < DP_PORTS_MAX; i++) {
		const struct dp_port *p = atomic_load_explicit(
			&dp_plane.ports[i], memory_order_relaxed);

		if (p != NULL && p->venet == NULL && p->eth_id == eth_id)
			return true;
	}
	return false;
}

static int
bring_up(struct dp_port *port, char *err, size_t err_size)
{
	struct rte_eth_dev_info info;
	uint16_t mtu = RTE_ETHER_MTU;
	int ret;

	ret = rte_eth_dev_info_get(port->eth_id, &info);
	if (ret == 0) {
		/* With receive interrupts in any mode: it may become adaptive. */
		ret = start(port, &info, true);
		if (ret < 0)
			ret = start(port, &info, false);
	}
	if (ret < 0)
		return dp_plane_err(err, err_size, ret, "uplink %s: cannot start: %s", port->name,
			rte_strerror(-ret));
	rte_eth_dev_get_mtu(port->eth_id, &mtu);
	atomic_store_explicit(&port->max_len, mtu + DP_L2_LEN, memory_order_relaxed);
	ret = rte_eth_promiscuous_enable(port->eth_id);
	if (ret < 0)
		DP_LOG(WARNING, "uplink %s: not promiscuous, unicast frames may be missed: %s",
			port->name, rte_strerror(-ret));
	port->wakes = rte_eth_dev_rx_intr_ctl_q(
			      port->eth_id, 0, port->home->epfd, RTE_INTR_EVENT_ADD, NULL) == 0;
	if (!port->wakes)
		DP_LOG(NOTICE,
			"uplink %s has no receive interrupts: in adaptive mode its lcore wakes to "
			"look",
			port->name);
	return 0;
}

bool
dp_uplink_exists(const char *ethdev)
{
	uint16_t eth_id;

	return rte_eth_dev_get_port_by_name(ethdev, &eth_id) == 0;
}

static struct dp_port *
add_uplink(const char *ethdev, struct dp_switch *sw, char *err, size_t err_size)
{
	struct dp_port *port;
	uint16_t eth_id;
	int ret;

	if (rte_eth_dev_get_port_by_name(ethdev, &eth_id) < 0) {
		errno = -dp_plane_err(err, err_size, -ENOENT, "uplink %s: no such port", ethdev);
		return NULL;
	}
	if (in_use(eth_id)) {
		errno = -dp_plane_err(
			err, err_size, -EBUSY, "uplink %s: it is a port already", ethdev);
		return NULL;
	}
	port = dp_port_new(ethdev, rte_eth_dev_socket_id(eth_id), err, err_size);
	if (port == NULL)
		return NULL;
	port->eth_id = eth_id;
	ret = bring_up(port, err, err_size);
	if (ret < 0)
		goto err_free;
	ret = dp_port_publish(port, sw, err, err_size);
	if (ret < 0)
		goto err_stop;
	dp_gone_watch(port);
	return port;

err_stop:
	dp_uplink_stop(port);
err_free:
	dp_port_free(port);
	errno = -ret;
	return NULL;
}

struct dp_port *
dp_port_add_uplink(const char *ethdev, struct dp_switch *sw, char *err, size_t err_size)
{
	struct dp_port *port;

	pthread_mutex_lock(&dp_plane.lock);
	port = add_uplink(ethdev, sw, err, err_size);
	pthread_mutex_unlock(&dp_plane.lock);
	return port;
}

static void
raise_mtu(struct dp_port *port, uint32_t max_len)
{
	const uint32_t was = atomic_load_explicit(&port->max_len, memory_order_relaxed);
	int ret;

	if (port->venet != NULL || was >= max_len)
		return;
	ret = rte_eth_dev_set_mtu(port->eth_id, (uint16_t)(max_len - DP_L2_LEN));
	if (ret < 0) {
		DP_LOG(NOTICE, "uplink %s: MTU stays %u, its driver refuses %u: %s", port->name,
			was - DP_L2_LEN, max_len - DP_L2_LEN, rte_strerror(-ret));
		return;
	}
	atomic_store_explicit(&port->max_len, max_len, memory_order_relaxed);
	DP_LOG(INFO, "uplink %s: MTU %u", port->name, max_len - DP_L2_LEN);
}

void
dp_uplinks_fit(struct dp_switch *sw, struct dp_port *joined)
{
	const uint32_t len = atomic_load_explicit(&joined->max_len, memory_order_relaxed);
	const struct dp_port_list *members;
	uint32_t i;

	raise_mtu(joined, sw->max_len);
	if (joined->venet == NULL || len <= sw->max_len)
		return;
	sw->max_len = len;
	members = atomic_load_explicit(&sw->members, memory_order_relaxed);
	for (i = 0; i < members->nb; i++)
		raise_mtu(members->port[i], len);
}

void
dp_uplink_stop(struct dp_port *port)
{
	int ret;

	dp_gone_unwatch(port);
	if (port->wakes)
		rte_eth_dev_rx_intr_ctl_q(
			port->eth_id, 0, port->home->epfd, RTE_INTR_EVENT_DEL, NULL);
	ret = rte_eth_dev_stop(port->eth_id);
	if (ret < 0)
		DP_LOG(WARNING, "uplink %s: does not stop: %s", port->name, rte_strerror(-ret));
}
