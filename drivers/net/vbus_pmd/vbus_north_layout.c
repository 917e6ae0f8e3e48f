/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * The memory that a port shares with its device: one zone with rings, descriptor pools, the event
 * ring and the slots for frames that are copied. Built anew for every session.
 *
 * Threads: an application thread or the worker, with the port's lock; no burst runs.
 * Ownership: the zone is the port's and is kept until it gets too small or the port is closed.
 */
#include "vbus_north.h"

#include <stdio.h>
#include <string.h>

#include <rte_errno.h>
#include <rte_malloc.h>

#define ZONE_TAG      "venet"
#define ZONE_TAG_FAR  "venet far"
#define ZONE_TAG_SIZE 24

/* Room for n bytes at a multiple of a cache line. */
static size_t
take(size_t *at, size_t n)
{
	size_t off = *at;

	*at += RTE_ALIGN_CEIL(n, (size_t)RTE_CACHE_LINE_SIZE);
	return off;
}

/* A ring: its head at 8 mod 64, so that no descriptor lies in two lines. */
static size_t
take_ring(size_t *at, uint32_t count)
{
	return take(at, 8 + vbus_ioq_size(count)) + 8;
}

/* Bytes of a slot for a whole frame. */
static uint32_t
frame_slot(const struct north_port *p)
{
	return RTE_ALIGN_CEIL((uint32_t)p->mtu + VBUS_PMD_OVERHEAD, RTE_CACHE_LINE_SIZE);
}

/* Bytes of a bounce slot: a whole frame; with SG, more than a line of them makes the largest. */
static uint32_t
bounce_len(const struct north_port *p)
{
	uint32_t len = frame_slot(p);

	if ((p->s.sg & VENET_CAP_SG) == 0)
		return len;
	return RTE_MAX(len, p->s.tx == NORTH_TX_FAR ? NORTH_FAR_SG_LEN : NORTH_BOUNCE_SG_LEN);
}

/* Copies are for frames that the peer does not see, few as a rule: they do not make the zone larger than the
 * smallest pages that memory comes in. Without an IOMMU nothing larger need be contiguous for the peer.
 */
static uint16_t
bounce_slots(const struct north_port *p)
{
	return (uint16_t)RTE_MIN(NORTH_BOUNCE_SLOTS, NORTH_BOUNCE_BYTES / bounce_len(p));
}

/* Placed rings: what each side reads lies near it. @return bytes of the far zone */
static size_t
plan_far(struct north_port *p, size_t *at)
{
	struct north_layout *lay = &p->lay;
	size_t far = 0;

	for (uint32_t i = 0; i < p->nb_pairs; i++) {
		const uint32_t nb_rx = vbus_poll_count(p->rxq[i]->nb_desc);
		const uint32_t nb_tx = vbus_poll_count(p->txq[i]->nb_desc);

		lay->rx_poll[i] = take(&far, vbus_poll_placed_size(nb_rx));
		lay->tx_poll[i] = take(&far, vbus_poll_placed_size(nb_tx));
		lay->rx_back[i] = take(at, vbus_poll_back_size(VENET_POLL_RX, nb_rx));
		lay->tx_back[i] = take(at, VENET_POLL_BACK_TX_SIZE);
		lay->rx_copy[i] = take(at, (size_t)p->rxq[i]->copy_slot * nb_rx);
		lay->bounce[i] = take(&far, (size_t)bounce_len(p) * NORTH_FAR_BOUNCE);
		lay->tx_slots[i] = take(&far, (size_t)frame_slot(p) * nb_tx);
	}
	return far;
}

static void
layout_plan(struct north_port *p)
{
	const struct north_rxq *rxq = p->rxq[0];
	const struct north_txq *txq = p->txq[0];
	struct north_layout *lay = &p->lay;
	size_t at = 0, far = 0;

	if (p->s.rx == NORTH_RX_FAR) {
		far = plan_far(p, &at);
	} else if (p->s.rx == NORTH_RX_POLL) {
		for (uint32_t i = 0; i < p->nb_pairs; i++) {
			lay->rx_poll[i] = take(&at, north_poll_size(p, VENET_POLL_RX,
							    vbus_poll_count(p->rxq[i]->nb_desc)));
			lay->tx_poll[i] = take(&at, north_poll_size(p, VENET_POLL_TX,
							    vbus_poll_count(p->txq[i]->nb_desc)));
		}
	} else {
		lay->rx_ring = take_ring(&at, rxq->nb_desc);
		lay->tx_ring = take_ring(&at, txq->nb_desc);
	}
	lay->ev_ring = take_ring(&at, txq->nb_desc);
	lay->ev_pool = take(&at, (size_t)p->s.ev_size * txq->nb_desc);
	for (uint32_t i = 0; i < p->nb_pairs && p->s.rx != NORTH_RX_FAR; i++)
		lay->bounce[i] = take(&at, (size_t)bounce_len(p) * bounce_slots(p));
	if (p->s.tx == NORTH_TX_SG)
		lay->tx_pool = take(&at, (size_t)NORTH_TX_SLOT * txq->nb_desc);
	if (p->s.rx == NORTH_RX_COPY)
		lay->rx_copy[0] = take(&at, (size_t)rxq->copy_slot * rxq->nb_desc);
	if (p->s.rx == NORTH_RX_L4RO) {
		lay->rx_pool = take(&at, (size_t)rxq->sg_slot * rxq->nb_desc);
		lay->page_ring = take_ring(&at, rxq->nb_pages);
	}
	lay->total = at;
	lay->far_total = far;
}

static int
no_room(struct north_local *l, size_t len, const char *where)
{
	int ret = rte_errno != 0 ? -rte_errno : -ENOMEM;

	NORTH_LOG(ERR, l, "no memory %sfor rings and pools (%zu bytes): %s", where, len,
		rte_strerror(-ret));
	return ret;
}

static const char *
zone_tag(const struct north_port *p, char tag[ZONE_TAG_SIZE])
{
	if (p->zone_number == 0)
		return ZONE_TAG;
	snprintf(tag, ZONE_TAG_SIZE, ZONE_TAG " %u", p->zone_number);
	return tag;
}

static int
layout_zone(struct north_local *l)
{
	struct north_port *p = l->port;
	char tag[ZONE_TAG_SIZE];

	if (p->zone != NULL && p->zone_len >= p->lay.total && p->far_len >= p->lay.far_total) {
		memset(p->zone, 0, p->lay.total);
		return 0; /* the rings in the far zone are formatted, the rest is written first */
	}
	north_layout_free(l);
	p->zone = rte_vbus_zone(l->vdev, zone_tag(p, tag), p->lay.total, l->eth->data->numa_node);
	if (p->zone == NULL)
		return no_room(l, p->lay.total, "");
	p->zone_len = p->lay.total;
	if (p->lay.far_total == 0)
		return 0;
	p->far = rte_vbus_zone_far(l->vdev, ZONE_TAG_FAR, p->lay.far_total);
	if (p->far == NULL)
		return no_room(l, p->lay.far_total, "near the peer ");
	p->far_len = p->lay.far_total;
	return 0;
}

void
north_layout_free(struct north_local *l)
{
	struct north_port *p = l->port;
	char tag[ZONE_TAG_SIZE];

	if (p->far != NULL)
		rte_vbus_zone_free(l->vdev, ZONE_TAG_FAR);
	p->far = NULL;
	p->far_len = 0;
	if (p->zone != NULL)
		rte_vbus_zone_free(l->vdev, zone_tag(p, tag));
	p->zone = NULL;
	p->zone_len = 0;
}

void
north_layout_abandon(struct north_port *p)
{
	p->zone = NULL;
	p->zone_len = 0;
	p->zone_number++;
}

/* ---- receive --------------------------------------------------------------------------------------- */

/* Buffers, fragments and pages for the mode that was chosen. */
static void
rx_dimension(const struct north_port *p, struct north_rxq *q)
{
	uint32_t data_room = (uint32_t)rte_pktmbuf_data_room_size(q->pool) - RTE_PKTMBUF_HEADROOM;
	uint32_t largest = p->s.l4ro & (VENET_CAP_TSO4 | VENET_CAP_TSO6) ? VENET_FRAME_MAX_VLAN
									 : q->frame_max;
	uint32_t frags;

	q->nb_pages = 0;
	if (p->s.rx == NORTH_RX_POLL) {
		q->requests = (p->s.l4ro & VENET_CAP_SG) != 0;
		q->room = RTE_MIN(data_room, q->requests ? VENET_POLL_LEN_MAX : q->frame_max);
		q->plain_max = RTE_MIN(q->room, q->frame_max);
		return;
	}
	if (p->s.rx == NORTH_RX_FAR) {
		q->requests = false;
		q->room = q->frame_max;
		q->plain_max = RTE_MIN(q->room, data_room);
		q->copy_slot = RTE_ALIGN_CEIL(q->room, RTE_CACHE_LINE_SIZE);
		return;
	}
	if (p->s.rx != NORTH_RX_L4RO) {
		/* The MTU shows as the room in a receive buffer (doc/abi.md 7.9). */
		q->room = p->s.rx == NORTH_RX_COPY ? q->frame_max
						   : RTE_MIN(data_room, q->frame_max);
		q->copy_slot = RTE_ALIGN_CEIL(q->room, RTE_CACHE_LINE_SIZE);
		return;
	}
	q->room = data_room;
	frags = (largest + data_room - 1) / data_room;
	q->nb_iovs = RTE_MIN(RTE_MAX(frags + 1, 18u), NORTH_RX_IOVS_MAX);
	q->sg_slot = RTE_ALIGN_CEIL((uint32_t)VENET_SG_SIZE(q->nb_iovs), RTE_CACHE_LINE_SIZE);
	/* Not a page for every fragment of a full ring: large frames are few at a time. */
	q->nb_pages = RTE_MIN(q->nb_desc * RTE_MIN(RTE_MAX(frags, 2u) - 1, 2u), NORTH_DESC_MAX);
}

/* cookies, and with L4RO the pages' cookies, first buffers, pages and free numbers. */
static int
rx_arrays(struct north_rxq *q, int socket)
{
	size_t entries = q->nb_desc, pages = q->nb_pages;
	uint64_t *p;

	rte_free(q->arrays);
	q->sw = NULL;
	q->arrays = rte_zmalloc_socket("vbus_rxq_arrays",
		8 * entries + (pages > 0 ? 8 * entries + (8 + 8 + 2) * pages : 0),
		RTE_CACHE_LINE_SIZE, socket);
	if (q->arrays == NULL)
		return -ENOMEM;
	p = q->arrays;
	q->ring.cookies = p;
	if (pages == 0)
		return 0;
	q->heads = (struct rte_mbuf **)(p + entries);
	q->pages.cookies = p + 2 * entries;
	q->page_mbufs = (struct rte_mbuf **)(p + 2 * entries + pages);
	q->page_free = (uint16_t *)(p + 2 * entries + 2 * pages);
	for (uint32_t i = 0; i < pages; i++)
		q->page_free[i] = (uint16_t)(pages - 1 - i);
	q->nb_page_free = (uint32_t)pages;
	return 0;
}

static uint64_t
rx_mbuf_init(uint16_t port_id)
{
	struct rte_mbuf m = {
		.data_off = RTE_PKTMBUF_HEADROOM,
		.nb_segs = 1,
		.port = port_id,
	};

	rte_mbuf_refcnt_set(&m, 1);
	return *(north_rearm_t *)(void *)&m.rearm_data;
}

/* A ring for pollers: its place, its signal, and the mbufs of its entries. */
static int
rx_poll_build(struct north_local *l, uint32_t pair)
{
	struct north_port *p = l->port;
	struct north_rxq *q = p->rxq[pair];
	uint8_t *ring = p->zone + p->lay.rx_poll[pair];
	uint32_t count = vbus_poll_count(q->nb_desc);
	int ret;

	memset(&q->ring, 0, sizeof(q->ring));
	rte_free(q->arrays);
	q->sw = NULL;
	q->ids = NULL;
	q->nb_ids = 0;
	q->arrays = rte_zmalloc_socket("vbus_rxq_arrays",
		(sizeof(*q->sw) + sizeof(*q->ids)) * (size_t)count, RTE_CACHE_LINE_SIZE,
		l->eth->data->numa_node);
	if (q->arrays == NULL)
		return -ENOMEM;
	ret = vbus_poll_north_format(&q->poll, ring, VENET_POLL_RX, count, q->nb_desc);
	if (ret < 0)
		return ret;
	q->sw = q->arrays;
	if (p->s.newest) {
		vbus_poll_north_newest(&q->poll, ring, q->room);
		q->ids = (uint16_t *)(q->sw + count);
		for (; q->nb_ids < count; q->nb_ids++)
			q->ids[q->nb_ids] = (uint16_t)(count - 1 - q->nb_ids);
	}
	return vbus_signal_attach(&q->sig, ring + VENET_POLL_SIGNAL_OFFSET, VBUS_LOCALITY_NORTH);
}

static int
rx_far_build(struct north_local *l, uint32_t pair)
{
	struct north_port *p = l->port;
	struct north_rxq *q = p->rxq[pair];

	memset(&q->ring, 0, sizeof(q->ring));
	q->sw = NULL; /* no mbuf is in this ring */
	q->ids = NULL;
	q->copy_base = p->zone + p->lay.rx_copy[pair];
	q->copy_addr = rte_vbus_addr(l->vdev, q->copy_base);
	q->combining = !rte_vbus_far_cached(l->vdev);
	return north_far_build_rx(p, pair, rte_vbus_addr(l->vdev, p->zone + p->lay.rx_back[pair]));
}

static int
rx_ring_build(struct north_local *l)
{
	struct north_port *p = l->port;
	struct north_rxq *q = p->rxq[0];
	uint8_t *ring = p->zone + p->lay.rx_ring;
	int ret;

	ret = rx_arrays(q, l->eth->data->numa_node);
	if (ret < 0)
		return ret;
	ret = vbus_ioq_north_format(&q->ring, ring, q->nb_desc, q->ring.cookies, 1);
	if (ret < 0)
		return ret;
	return vbus_signal_attach(&q->sig, ring + IOQ_RING_SIGNAL_OFFSET, VBUS_LOCALITY_NORTH);
}

static int
rx_build(struct north_local *l, uint32_t pair)
{
	struct north_port *p = l->port;
	struct north_rxq *q = p->rxq[pair];
	uint32_t posted;
	int ret;

	if (p->s.rx == NORTH_RX_FAR)
		ret = rx_far_build(l, pair);
	else
		ret = p->s.rx == NORTH_RX_POLL ? rx_poll_build(l, pair) : rx_ring_build(l);
	if (ret < 0)
		return ret;
	q->shm = &l->shm[north_shm_rx(pair)];
	q->addr_off = (uint32_t)rte_vbus_mbuf_addr_offset(l->vdev);
	q->mbuf_init = rx_mbuf_init(p->port_id);
	/* NORTH_DESC_MIN, which ethdev enforces, makes it 8 or more. */
	q->refill_at = RTE_MAX(RTE_MIN(q->nb_desc / 8, NORTH_CHUNK), 1u);
	q->csum_app = (p->rx_offloads &
			      (RTE_ETH_RX_OFFLOAD_TCP_CKSUM | RTE_ETH_RX_OFFLOAD_UDP_CKSUM)) != 0;
	q->lro_app = (p->rx_offloads & RTE_ETH_RX_OFFLOAD_TCP_LRO) != 0;
	switch (p->s.rx) {
	case NORTH_RX_L4RO:
		q->sg_base = p->zone + p->lay.rx_pool;
		ret = vbus_ioq_north_format(
			&q->pages, p->zone + p->lay.page_ring, q->nb_pages, q->pages.cookies, 0);
		if (ret < 0)
			return ret;
		posted = north_l4ro_refill(q);
		north_l4ro_refill_pages(q);
		break;
	case NORTH_RX_POLL:
		posted = north_poll_refill(q, 1);
		break;
	case NORTH_RX_FAR:
		posted = north_far_refill(q);
		break;
	case NORTH_RX_COPY:
		q->copy_base = p->zone + p->lay.rx_copy[pair];
		q->copy_addr = rte_vbus_addr(l->vdev, q->copy_base);
		posted = north_rx_copy_refill(q);
		break;
	default:
		posted = north_rx_refill(q);
		break;
	}
	if (posted == 0) {
		NORTH_LOG(ERR, l, "receive: no mbuf in pool %s", q->pool->name);
		return -ENOMEM;
	}
	return 0;
}

/* ---- transmit, events -------------------------------------------------------------------------------- */

static int
tx_arrays(struct north_txq *q, int socket)
{
	size_t entries = vbus_poll_count(q->nb_desc);

	rte_free(q->arrays);
	q->sw = NULL;
	q->arrays = rte_zmalloc_socket("vbus_txq_arrays",
		9 * entries + sizeof(uint16_t) * NORTH_BOUNCE_SLOTS, RTE_CACHE_LINE_SIZE, socket);
	if (q->arrays == NULL)
		return -ENOMEM;
	q->ring.cookies = q->arrays;
	q->bounce_next = (uint16_t *)(q->ring.cookies + entries);
	q->out = (uint8_t *)(q->bounce_next + NORTH_BOUNCE_SLOTS);
	return 0;
}

static int
tx_ring_build(struct north_local *l, uint32_t pair)
{
	struct north_port *p = l->port;
	struct north_txq *q = p->txq[pair];
	uint8_t *ring = p->zone +
			(p->s.tx == NORTH_TX_POLL ? p->lay.tx_poll[pair] : p->lay.tx_ring);
	int ret;

	q->nb_void = 0;
	q->far = p->s.tx == NORTH_TX_FAR;
	q->combining = q->far && !rte_vbus_far_cached(l->vdev);
	if (q->far) {
		q->sw = q->ring.cookies;
		memset(&q->ring, 0, sizeof(q->ring));
		q->slots = p->far + p->lay.tx_slots[pair];
		q->slots_addr = rte_vbus_addr(l->vdev, q->slots);
		q->slot_len = frame_slot(p);
		return north_far_build_tx(
			p, pair, rte_vbus_addr(l->vdev, p->zone + p->lay.tx_back[pair]));
	}
	if (p->s.tx != NORTH_TX_POLL) {
		q->sw = NULL;
		ret = vbus_ioq_north_format(&q->ring, ring, q->nb_desc, q->ring.cookies, 1);
		if (ret < 0)
			return ret;
		return vbus_signal_attach(
			&q->sig, ring + IOQ_RING_SIGNAL_OFFSET, VBUS_LOCALITY_NORTH);
	}
	q->sw = q->ring.cookies;
	memset(&q->ring, 0, sizeof(q->ring));
	ret = vbus_poll_north_format(
		&q->poll, ring, VENET_POLL_TX, vbus_poll_count(q->nb_desc), q->nb_desc);
	if (ret < 0)
		return ret;
	q->ret_pos = 0;
	q->nb_out = q->nb_marked = 0;
	if (p->s.keep) {
		const uint32_t count = q->poll.r.mask + 1;

		memset(ring + VENET_POLL_RET_OFFSET(count), 0, 5 * (size_t)count);
		vbus_poll_keep(&q->poll.r, ring);
	}
	return vbus_signal_attach(&q->sig, ring + VENET_POLL_SIGNAL_OFFSET, VBUS_LOCALITY_NORTH);
}

static int
tx_build(struct north_local *l, uint32_t pair)
{
	struct north_port *p = l->port;
	struct north_txq *q = p->txq[pair];
	uint8_t *bounce = (p->s.tx == NORTH_TX_FAR ? p->far : p->zone) + p->lay.bounce[pair];
	int ret;

	ret = tx_arrays(q, l->eth->data->numa_node);
	if (ret == 0)
		ret = tx_ring_build(l, pair);
	if (ret < 0)
		return ret;
	q->shm = &l->shm[north_shm_tx(pair)];
	q->addr_off = (uint32_t)rte_vbus_mbuf_addr_offset(l->vdev);
	q->pools = &p->pools;
	/* With chains too, each segment has to go back by itself: the offload then means nothing. */
	q->fast_free = (p->tx_offloads & RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE) != 0 &&
		       (p->tx_offloads & RTE_ETH_TX_OFFLOAD_MULTI_SEGS) == 0;
	q->slow_flags = RTE_MBUF_F_INDIRECT | RTE_MBUF_F_EXTERNAL;
	if (p->tx_offloads & ~(uint64_t)RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE)
		q->slow_flags |= VBUS_OFFLOAD_TX_FLAGS; /* granted or not: looked at */
	q->reap_at = 2 * NORTH_CHUNK;
	q->sg = (p->s.sg & VENET_CAP_SG) != 0;
	q->tso4 = (p->s.sg & VENET_CAP_TSO4) != 0;
	q->tso6 = (p->s.sg & VENET_CAP_TSO6) != 0;
	q->sg_base = NULL;
	if (p->s.tx == NORTH_TX_SG) {
		q->sg_base = p->zone + p->lay.tx_pool;
		q->sg_ptr = p->s.sg & VENET_CAP_PMTD ? 0 : rte_vbus_addr(l->vdev, q->sg_base);
	}
	north_bounce_format(q, bounce, rte_vbus_addr(l->vdev, bounce), bounce_len(p),
		q->far ? NORTH_FAR_BOUNCE : bounce_slots(p));
	return 0;
}

static int
ev_build(struct north_local *l)
{
	struct north_port *p = l->port;
	uint32_t count = p->txq[0]->nb_desc;
	uint8_t *ring = p->zone + p->lay.ev_ring;
	struct vbus_ioq_entry e;
	int ret;

	rte_free(p->ev_cookies);
	p->ev_cookies = rte_zmalloc_socket(
		"vbus_ev_cookies", 8 * (size_t)count, RTE_CACHE_LINE_SIZE, l->eth->data->numa_node);
	if (p->ev_cookies == NULL)
		return -ENOMEM;
	ret = vbus_ioq_north_format(&p->evq, ring, count, p->ev_cookies, 0);
	if (ret < 0)
		return ret;
	/* South can write there already. */
	ret = vbus_signal_attach(&p->ev_sig, ring + IOQ_RING_SIGNAL_OFFSET, VBUS_LOCALITY_NORTH);
	if (ret < 0)
		return ret;
	for (uint32_t i = 0; i < count; i++) {
		e.cookie = i;
		e.ptr = (uint64_t)i * p->s.ev_size; /* an offset into the pool */
		e.len = p->s.ev_size;
		vbus_ioq_north_post(&p->evq, &e, 1);
	}
	vbus_signal_enable(&p->ev_sig); /* nothing can be raised yet: nobody shares it */
	return 0;
}

int
north_layout_build(struct north_local *l)
{
	struct north_port *p = l->port;
	int ret;

	for (uint32_t i = 0; i < p->nb_pairs; i++) {
		p->rxq[i]->frame_max = (uint32_t)p->mtu + VBUS_PMD_OVERHEAD;
		rx_dimension(p, p->rxq[i]);
	}
	layout_plan(p);
	ret = layout_zone(l);
	for (uint32_t i = 0; i < p->nb_pairs && ret == 0; i++)
		ret = tx_build(l, i);
	if (ret == 0)
		ret = ev_build(l);
	for (uint32_t i = 0; i < p->nb_pairs && ret == 0; i++)
		ret = rx_build(l, i);
	return ret;
}
