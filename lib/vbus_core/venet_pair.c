/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * The queue pairs of a venet: their room, and when and how their data paths are open (doc/abi.md sections 5
 * and 12.6, ADR-0019).
 *
 * Everything here runs with the control lock held. North has 1 to nb_up pairs, the polling side
 * nb_rx and nb_tx queues. As long as these are the same number a queue is a pair, and a burst is what it
 * is with one of each. Otherwise the path says so, and venet_spread.c does the rest:
 *
 *   more pairs than queues    queue q serves the pairs q, q + nb, q + 2 nb, ...
 *   more tx queues than pairs queue q sends to pair q modulo the number of pairs, under that pair's lock
 */

#include "venet_internal.h"

#include <errno.h>
#include <string.h>

#include <rte_malloc.h>

/* ---- room ---------------------------------------------------------------------------------------- */

int
venet_pairs_create(struct vbus_venet *v, uint16_t nb_pairs)
{
	uint32_t i;

	v->nb_pairs = RTE_MAX(nb_pairs, 1);
	v->nb_up = 1;
	v->nb_rx = 1;
	v->nb_tx = 1;
	v->pair = rte_zmalloc_socket("vbus_venet_pairs", v->nb_pairs * sizeof(v->pair[0]),
		RTE_CACHE_LINE_SIZE, SOCKET_ID_ANY);
	if (v->pair == NULL)
		return -ENOMEM;
	for (i = 0; i < v->nb_pairs; i++)
		rte_spinlock_init(&v->pair[i].tx.lock);
	return 0;
}

void
venet_pairs_destroy(struct vbus_venet *v)
{
	venet_pairs_let_go(v);
	rte_free(v->pair);
	v->pair = NULL;
}

void
venet_pairs_forget(struct vbus_venet *v)
{
	uint32_t i;

	for (i = 0; i < v->nb_pairs; i++) {
		memset(v->pair[i].poll, 0, sizeof(v->pair[i].poll));
		venet_keep_bind(v->pair[i].keep, NULL);
	}
}

void
venet_pairs_let_go(struct vbus_venet *v)
{
	uint32_t i;

	for (i = 0; i < v->nb_pairs; i++) {
		venet_keep_release(v->pair[i].keep);
		v->pair[i].keep = NULL;
	}
}

/* ---- what is there ------------------------------------------------------------------------------- */

/** Pairs from 0 on that north shared whole; 0: none, or one that is not whole. */
static uint16_t
pairs_there(const struct vbus_venet *v)
{
	uint16_t n = 0;
	uint32_t i;

	for (i = 0; i < v->nb_pairs; i++) {
		const struct vbus_poll_south *poll = v->pair[i].poll;
		const bool rx = poll[VENET_POLL_RX].cur != NULL;
		const bool tx = poll[VENET_POLL_TX].cur != NULL;

		if (rx != tx || (rx && n != i))
			return 0;
		n = (uint16_t)(n + rx);
	}
	return n;
}

bool
venet_blocks_there(struct vbus_venet *v)
{
	v->nb_up = 1;
	if (venet_polls(v)) {
		v->nb_up = pairs_there(v);
		return v->nb_up != 0;
	}
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
wants_path(struct vbus_venet *v)
{
	return v->cs != NULL && v->cs->up && v->mapped && !v->faulted && v->bound && v->ready &&
	       venet_blocks_there(v);
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

/* ---- paths --------------------------------------------------------------------------------------- */

/** Who else uses the pair, and what else the queue of its number serves. */
static void
fill_several(const struct vbus_venet *v, uint32_t queue, struct venet_path *p)
{
	p->nb_pairs = v->nb_up;
	p->rx_step = v->nb_up > v->nb_rx ? v->nb_rx : 0;
	p->tx_step = v->nb_up > v->nb_tx ? v->nb_tx : 0;
	p->tx_pair = (uint16_t)(queue % v->nb_up);
	p->tx_shared = v->nb_tx > v->nb_up;
	p->tx_plain = p->tx_step == 0 && !p->tx_shared;
}

static void
fill_path(struct vbus_venet *v, uint32_t pair)
{
	struct venet_path *p = &v->pair[pair].path;

	memset(p, 0, sizeof(*p));
	fill_several(v, pair, p);
	if (pair >= v->nb_up)
		return;
	p->view = vbus_conn_view(v->conn);
	p->mp = v->mps[pair % v->nb_rx];
	if (p->mp != NULL)
		p->mp_room = rte_pktmbuf_data_room_size(p->mp) - RTE_PKTMBUF_HEADROOM;
	p->rx_accept = v->rx_accept;
	p->from_north = v->ring[venet_block_tx(v, pair)];
	p->to_north = v->ring[venet_block_rx(v, pair)];
	p->sg = v->cs->sg;
	p->l4ro = v->cs->l4ro;
	if (venet_polls(v)) {
		venet_poll_path(v, pair, p);
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

/** The queues are ours until the path is published. Pointers of an older view must not survive. */
static void
reset_queues(struct venet_pair *pair, uint16_t turn)
{
	pair->rx.next_peer = NULL;
	memset(&pair->rx.mc, 0, sizeof(pair->rx.mc));
	memset(&pair->rx.mc_sg, 0, sizeof(pair->rx.mc_sg));
	memset(&pair->tx.mc, 0, sizeof(pair->tx.mc));
	memset(&pair->tx.mc_page, 0, sizeof(pair->tx.mc_page));
	pair->rx.gso.active = false;
	pair->rx.poll_skip = false;
	pair->rx.turn = turn;
}

void
venet_publish(struct vbus_venet *v)
{
	uint32_t i;

	if (v->published || !wants_path(v))
		return;
	/* All before the first is published: a queue looks at the paths of other pairs too. */
	for (i = 0; i < v->nb_pairs; i++) {
		fill_path(v, i);
		reset_queues(&v->pair[i], (uint16_t)i);
		venet_keep_polled(v->pair[i].path.keep, true);
	}
	v->published = true;
	/* V0: release, pairs with the acquire V1 in the burst functions. */
	for (i = v->nb_pairs; i-- > 0;) {
		struct venet_pair *pair = &v->pair[i];

		if (i < v->nb_up)
			atomic_store_explicit(&pair->rx.path, &pair->path, memory_order_release);
		if (i < v->nb_up || i < v->nb_tx)
			atomic_store_explicit(&pair->tx.path, &pair->path, memory_order_release);
	}
	venet_look_armed(v);
}

void
venet_unpublish(struct vbus_venet *v)
{
	uint32_t i;

	if (!v->published)
		return;
	for (i = 0; i < v->nb_pairs; i++) {
		atomic_store_explicit(&v->pair[i].rx.path, NULL, memory_order_release);
		atomic_store_explicit(&v->pair[i].tx.path, NULL, memory_order_release);
	}
	v->published = false;
	if (v->bound && v->user.quiesce != NULL)
		v->user.quiesce(v->user.arg);
	for (i = 0; i < v->nb_pairs; i++)
		venet_keep_polled(v->pair[i].keep, false);
}
