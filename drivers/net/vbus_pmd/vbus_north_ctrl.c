/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * A session with the device: open, negotiate, share, LINKUP, and all the way back (doc/abi.md
 * section 5). Every start of the port, every return of the peer and every change of the MTU is a new
 * session with freshly built rings.
 *
 * Threads: application threads in ethdev operations and the worker, always with the port's lock;
 * calls wait for the peer, at most RTE_VBUS_TIMEOUT_MS each. Polling threads only see `path` of their
 * queue: OFF while anything here changes (ADR-0002).
 */
#include "vbus_north.h"
#include "vbus_pmd_trace.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <rte_errno.h>

#define RETRY_MS_MIN 5u
#define RETRY_MS_MAX 50u
#define KEPT_WAIT_MS 200u

/* ---- negotiation --------------------------------------------------------------------------------- */

/* NEGCAP of one group. Granted bits, or negative errno. */
static int
negcap(struct north_local *l, uint32_t gid, uint32_t want, uint32_t *granted)
{
	struct venet_capabilities c = {.gid = gid, .bits = want};
	int ret;

	ret = rte_vbus_call(l->vdev, VENET_FUNC_NEGCAP, &c, sizeof(c));
	if (ret < 0)
		return ret;
	*granted = c.bits & want;
	return 0;
}

static uint32_t
wanted_sg(const struct north_port *p)
{
	uint32_t bits = 0;

	if (p->tx_offloads & ~(uint64_t)RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE)
		bits = VENET_CAP_SG | VENET_CAP_PMTD;
	if (p->tx_offloads & RTE_ETH_TX_OFFLOAD_TCP_TSO)
		bits |= VENET_CAP_TSO4 | VENET_CAP_TSO6 | VENET_CAP_ECN;
	return bits;
}

bool
north_fits_mbuf(const struct north_port *p)
{
	for (uint32_t i = 0; i < p->nb_pairs; i++)
		if ((uint32_t)rte_pktmbuf_data_room_size(p->rxq[i]->pool) <
			RTE_PKTMBUF_HEADROOM + (uint32_t)p->mtu + VBUS_PMD_OVERHEAD)
			return false;
	return true;
}

bool
north_queues_there(const struct north_port *p)
{
	for (uint32_t i = 0; i < p->nb_pairs; i++)
		if (p->rxq[i] == NULL || p->txq[i] == NULL)
			return false;
	return p->nb_pairs > 0;
}

/* The first pool that the peer cannot see, NULL: it sees all. */
static const struct rte_mempool *
hidden_pool(const struct north_local *l)
{
	const struct north_port *p = l->port;

	for (uint32_t i = 0; i < p->nb_pairs; i++)
		if (!north_pool_visible(l->vdev, p->rxq[i]->pool))
			return p->rxq[i]->pool;
	return NULL;
}

static uint32_t
wanted_l4ro(const struct north_port *p)
{
	uint32_t bits = 0;

	if (p->rx_offloads != 0 || !north_fits_mbuf(p))
		bits = VENET_CAP_SG;
	if (p->rx_offloads & RTE_ETH_RX_OFFLOAD_TCP_LRO)
		bits |= VENET_CAP_TSO4 | VENET_CAP_TSO6 | VENET_CAP_ECN;
	return bits;
}

static int
query_events(struct north_local *l, struct north_session *s)
{
	struct venet_eventq_query q = {0};
	int ret;

	ret = rte_vbus_call(l->vdev, VENET_FUNC_EVQQUERY, &q, sizeof(q));
	if (ret < 0)
		return ret;
	if (q.evsize < sizeof(struct venet_event_linkstate) || q.evsize > NORTH_EVSIZE_MAX) {
		NORTH_LOG(ERR, l, "events of %u bytes: not a venet we know", q.evsize);
		return -EPROTO;
	}
	s->ev_size = RTE_ALIGN_CEIL(q.evsize, 8u);
	s->ev_pool_id = q.dpid;
	s->ev_ring_id = q.qid;
	return 0;
}

static int
query_l4ro(struct north_local *l, struct north_session *s)
{
	struct venet_l4ro_query q = {0};
	int ret;

	ret = rte_vbus_call(l->vdev, VENET_FUNC_L4ROQUERY, &q, sizeof(q));
	if (ret < 0)
		return ret;
	s->l4ro_pool_id = q.dpid;
	s->l4ro_ring_id = q.pqid;
	return 0;
}

/* Which bursts the agreement means. */
static int
choose_paths(struct north_local *l, struct north_session *s)
{
	const struct rte_mempool *hidden = hidden_pool(l);
	struct north_port *p = l->port;

	s->tx = s->sg & VENET_CAP_SG ? NORTH_TX_SG : NORTH_TX_LINEAR;
	if (hidden != NULL) {
		NORTH_LOG(NOTICE, l,
			"receive: pool %s is not visible to the peer, frames are copied",
			hidden->name);
		s->rx = NORTH_RX_COPY;
	} else if (s->l4ro & VENET_CAP_SG) {
		s->rx = NORTH_RX_L4RO;
	} else if (north_fits_mbuf(p)) {
		s->rx = NORTH_RX_LINEAR;
	} else {
		NORTH_LOG(NOTICE, l,
			"receive: MTU %u is larger than an mbuf and the peer grants no "
			"scattering, frames are copied",
			p->mtu);
		s->rx = NORTH_RX_COPY;
	}
	return 0;
}

/* Block ids of a pair. */
static int
query_pair(struct north_local *l, struct north_session *s, uint32_t pair)
{
	const struct north_port *p = l->port;
	struct venet_poll_query q = {.queue = pair};
	int ret;

	ret = rte_vbus_call(l->vdev, VENET_FUNC_POLLQUERY, &q, sizeof(q));
	if (ret < 0)
		return ret;
	if (q.count_max < vbus_poll_count(p->rxq[pair]->nb_desc) ||
		q.count_max < vbus_poll_count(p->txq[pair]->nb_desc))
		return -ENOSPC;
	s->poll_rx_id[pair] = q.rx_id;
	s->poll_tx_id[pair] = q.tx_id;
	return 0;
}

/* The ring for pollers in place of both ioqs, where the buffers are mbufs. A south that does not know
 * it grants nothing; any mistake on the way leaves the ioqs. Only a peer that is gone is an error.
 */
static int
negotiate_poll(struct north_local *l, struct north_session *s)
{
	const struct north_port *p = l->port;
	uint32_t want = VENET_CAP_POLL_RING | (p->nb_pairs > 1 ? VENET_CAP_POLL_PAIRS : 0);
	uint32_t bits = 0, may = 0;
	int ret = 0;

	/* Across a link, buffers are slots near their readers, and one slot holds a frame. */
	if (rte_vbus_has_far(l->vdev) && p->mtu <= VENET_POLL_LEN_MAX - VBUS_PMD_OVERHEAD)
		want |= VENET_CAP_POLL_PLACED;
	else
		may = VENET_CAP_POLL_KEEP | VENET_CAP_POLL_NEWEST;
	if (!p->want_poll || (s->rx == NORTH_RX_COPY && (want & VENET_CAP_POLL_PLACED) == 0))
		return 0;
	/* South asks for frames in place when its application does; it is the one that has to know. */
	ret = negcap(l, VENET_CAP_GROUP_POLL, want | may, &bits);
	if (ret < 0 || bits == 0)
		return ret == -EINVAL ? 0 : ret;
	want |= bits & may;
	for (uint32_t i = 0; i < p->nb_pairs && bits == want && ret == 0; i++)
		ret = query_pair(l, s, i);
	if (ret < 0 || bits != want)
		return negcap(l, VENET_CAP_GROUP_POLL, 0, &bits);
	s->rx = bits & VENET_CAP_POLL_PLACED ? NORTH_RX_FAR : NORTH_RX_POLL;
	s->tx = bits & VENET_CAP_POLL_PLACED ? NORTH_TX_FAR : NORTH_TX_POLL;
	s->keep = (bits & VENET_CAP_POLL_KEEP) != 0;
	s->newest = (bits & VENET_CAP_POLL_NEWEST) != 0;
	return 0;
}

static int
negotiate(struct north_local *l)
{
	struct north_port *p = l->port;
	struct north_session s = {0};
	bool copied = hidden_pool(l) != NULL;
	int ret;

	/* A group of which nothing is wanted is asked for as well: it switches SG off (7.12). */
	ret = negcap(l, VENET_CAP_GROUP_SG, wanted_sg(p), &s.sg);
	if (ret == 0)
		ret = negcap(l, VENET_CAP_GROUP_EVENTQ, VENET_CAP_EVQ_LINKSTATE, &s.evq);
	if (ret == 0 && (s.evq & VENET_CAP_EVQ_LINKSTATE))
		ret = query_events(l, &s);
	if (ret == 0)
		ret = negcap(l, VENET_CAP_GROUP_L4RO, copied ? 0 : wanted_l4ro(p), &s.l4ro);
	if (ret == 0)
		ret = choose_paths(l, &s);
	if (ret == 0)
		ret = negotiate_poll(l, &s);
	if (ret == 0 && p->nb_pairs > 1 && s.rx < NORTH_RX_POLL) {
		if (!p->told_pairs) /* it is tried again and again */
			NORTH_LOG(ERR, l, "%u queues: the peer has no rings for as many pairs now",
				p->nb_pairs);
		p->told_pairs = true;
		ret = -ENOTSUP;
	}
	if (ret == 0 && s.rx == NORTH_RX_L4RO)
		ret = query_l4ro(l, &s);
	if (ret == 0 && s.tx < NORTH_TX_POLL && (s.sg & VENET_CAP_PMTD)) {
		ret = rte_vbus_call(l->vdev, VENET_FUNC_PMTDQUERY, NULL, 0);
		if (ret >= 0) {
			s.pmtd_id = (uint32_t)ret;
			ret = 0;
		}
	}
	if (s.ev_size == 0) /* no events: the rings are laid out all the same */
		s.ev_size = VENET_EVENT_SIZE_MAX;
	p->s = s;
	return ret;
}

/* ---- sharing ------------------------------------------------------------------------------------- */

static int
share_at(struct north_local *l, enum north_block which, uint32_t id, void *va, size_t len,
	void (*notify)(struct rte_vbus_shm *shm))
{
	struct rte_vbus_shm *shm = &l->shm[which];
	int ret;

	memset(shm, 0, sizeof(*shm));
	shm->id = id;
	shm->va = va;
	shm->len = (uint32_t)len;
	shm->signal_offset = notify != NULL ? (int32_t)IOQ_RING_SIGNAL_OFFSET : -1;
	shm->notify = notify;
	shm->arg = l;
	ret = rte_vbus_shm(l->vdev, shm);
	if (ret < 0)
		NORTH_LOG(ERR, l, "sharing block %u (%zu bytes): %s", id, len, rte_strerror(-ret));
	return ret;
}

static int
share_one(struct north_local *l, enum north_block which, uint32_t id, size_t off, size_t len,
	void (*notify)(struct rte_vbus_shm *shm))
{
	return share_at(l, which, id, l->port->zone + off, len, notify);
}

static int
share_pool(struct north_local *l, enum north_block which, uint32_t id, size_t off, size_t len)
{
	return share_one(l, which, id, off, len, NULL);
}

/* TX and page ring: south's signals there tell a poller nothing. */
static void
notify_nothing(struct rte_vbus_shm *shm)
{
	(void)shm;
}

static int
share_poll(struct north_local *l)
{
	const struct north_port *p = l->port;
	int ret = 0;

	/* The signal lies where an ioq has it. */
	_Static_assert(VENET_POLL_SIGNAL_OFFSET == IOQ_RING_SIGNAL_OFFSET, "share_one()");
	for (uint32_t i = 0; i < p->nb_pairs && ret == 0; i++) {
		ret = share_one(l, north_shm_rx(i), p->s.poll_rx_id[i], p->lay.rx_poll[i],
			north_poll_size(p, VENET_POLL_RX, p->rxq[i]->poll.r.mask + 1),
			north_intr_notify);
		if (ret == 0)
			ret = share_one(l, north_shm_tx(i), p->s.poll_tx_id[i], p->lay.tx_poll[i],
				north_poll_size(p, VENET_POLL_TX, p->txq[i]->poll.r.mask + 1),
				notify_nothing);
	}
	return ret;
}

/* North's parts of placed rings; they name south's. */
static int
share_far(struct north_local *l)
{
	const struct north_port *p = l->port;
	int ret = 0;

	for (uint32_t i = 0; i < p->nb_pairs && ret == 0; i++) {
		ret = share_at(l, north_shm_rx(i), p->s.poll_rx_id[i], p->far + p->lay.rx_poll[i],
			vbus_poll_placed_size(p->rxq[i]->poll.r.mask + 1), north_intr_notify);
		if (ret == 0)
			ret = share_at(l, north_shm_tx(i), p->s.poll_tx_id[i],
				p->far + p->lay.tx_poll[i],
				vbus_poll_placed_size(p->txq[i]->poll.r.mask + 1), notify_nothing);
	}
	return ret;
}

static int
share(struct north_local *l)
{
	const struct north_port *p = l->port;
	const struct north_layout *lay = &p->lay;
	const uint32_t nb_rx = p->rxq[0]->nb_desc, nb_tx = p->txq[0]->nb_desc;
	int ret = 0;

	if (p->s.evq & VENET_CAP_EVQ_LINKSTATE) {
		ret = share_pool(l, NORTH_SHM_EV_POOL, p->s.ev_pool_id, lay->ev_pool,
			(size_t)p->s.ev_size * nb_tx);
		if (ret == 0)
			ret = share_one(l, NORTH_SHM_EV_RING, p->s.ev_ring_id, lay->ev_ring,
				vbus_ioq_size(nb_tx), north_event_notify);
	}
	if (ret == 0 && p->s.rx == NORTH_RX_L4RO) {
		ret = share_pool(l, NORTH_SHM_RX_POOL, p->s.l4ro_pool_id, lay->rx_pool,
			(size_t)p->rxq[0]->sg_slot * nb_rx);
		if (ret == 0)
			ret = share_one(l, NORTH_SHM_PAGE_RING, p->s.l4ro_ring_id, lay->page_ring,
				vbus_ioq_size(p->rxq[0]->nb_pages), notify_nothing);
	}
	if (ret == 0 && p->s.rx == NORTH_RX_POLL)
		return share_poll(l);
	if (ret == 0 && p->s.rx == NORTH_RX_FAR)
		return share_far(l);
	if (ret == 0)
		ret = share_one(l, NORTH_SHM_RX, VENET_QUEUE_RX, lay->rx_ring, vbus_ioq_size(nb_rx),
			north_intr_notify);
	if (ret == 0)
		ret = share_one(l, NORTH_SHM_TX, VENET_QUEUE_TX, lay->tx_ring, vbus_ioq_size(nb_tx),
			notify_nothing);
	if (ret == 0 && (p->s.sg & VENET_CAP_PMTD))
		ret = share_pool(l, NORTH_SHM_TX_POOL, p->s.pmtd_id, lay->tx_pool,
			(size_t)NORTH_TX_SLOT * nb_tx);
	return ret;
}

/* ---- paths --------------------------------------------------------------------------------------- */

void
north_ctrl_publish(struct north_local *l)
{
	struct north_port *p = l->port;
	const struct rte_eth_dev_data *data = l->eth->data;

	for (uint32_t i = 0; i < p->nb_pairs; i++) {
		uint32_t rx = NORTH_RX_OFF, tx = NORTH_TX_OFF;

		if (p->linked && data->rx_queue_state[i] == RTE_ETH_QUEUE_STATE_STARTED)
			rx = p->s.rx;
		/* Without carrier nobody takes frames: the application keeps them. */
		if (p->linked && p->carrier &&
			data->tx_queue_state[i] == RTE_ETH_QUEUE_STATE_STARTED)
			tx = p->s.tx;
		/* Release: the rings are ready. Partners: the acquires in north_rx_burst(), _tx_burst(). */
		atomic_store_explicit(&p->rxq[i]->path, rx, memory_order_release);
		atomic_store_explicit(&p->txq[i]->path, tx, memory_order_release);
	}
}

/* No burst runs after it. */
static void
unpublish(struct north_port *p)
{
	for (uint32_t i = 0; i < p->nb_pairs; i++) {
		atomic_store_explicit(&p->rxq[i]->path, NORTH_RX_OFF, memory_order_release);
		atomic_store_explicit(&p->txq[i]->path, NORTH_TX_OFF, memory_order_release);
	}
	vbus_mark_fence();
	for (uint32_t i = 0; i < p->nb_pairs; i++) {
		vbus_mark_wait_nofence(&p->rxq[i]->mark);
		vbus_mark_wait_nofence(&p->txq[i]->mark);
		/* Acquire: partner is side_leave(); it takes a few stores, never a wait. */
		while (atomic_load_explicit(&p->rxq[i]->side, memory_order_acquire) != 0)
			sched_yield();
	}
}

/* Mbufs and slots back from every ring. */
static void
drain(struct north_local *l, bool gone)
{
	struct north_port *p = l->port;
	bool zone = false;
	uint32_t nb = 0;

	for (uint32_t i = 0; i < p->nb_pairs; i++)
		nb += north_kept_end(p->txq[i], gone, &zone);
	if (nb > 0)
		NORTH_LOG(WARNING, l,
			"%u frames that the peer keeps did not come back: their "
			"memory is not used again",
			nb);
	for (uint32_t i = 0; i < p->nb_pairs; i++) {
		north_rx_drain(p->rxq[i]);
		north_tx_drain(p->txq[i]);
	}
	if (zone)
		north_layout_abandon(p);
}

/* South gives back frames that it keeps as they are freed there. Not for ever: some lie in a device's ring. */
static void
wait_kept(struct north_port *p)
{
	const struct timespec ms = {.tv_nsec = 1000000};
	uint32_t left = 1;

	for (uint32_t i = 0; i <= KEPT_WAIT_MS && left > 0; i++) {
		left = 0;
		for (uint32_t k = 0; k < p->nb_pairs; k++)
			left += north_kept_settle(p->txq[k]);
		if (left > 0 && i < KEPT_WAIT_MS)
			nanosleep(&ms, NULL);
	}
}

/* ---- up, down ------------------------------------------------------------------------------------ */

int
north_ctrl_up(struct north_local *l)
{
	struct north_port *p = l->port;
	int ret;

	if (!rte_vbus_present(l->vdev))
		return -ENODEV;
	ret = rte_vbus_open(l->vdev, VENET_VERSION);
	if (ret < 0)
		return ret;
	ret = negotiate(l);
	if (ret == 0) {
		north_pools_scan(l);
		ret = north_layout_build(l);
	}
	if (ret == 0)
		ret = share(l);
	if (ret == 0)
		ret = rte_vbus_call(l->vdev, VENET_FUNC_LINKUP, NULL, 0);
	if (ret < 0) {
		vbus_pmd_trace_session_up(p->port_id, ret, NORTH_RX_OFF, NORTH_TX_OFF);
		rte_vbus_close(l->vdev);
		drain(l, false);
		return ret;
	}
	p->linked = true;
	/* A south without LINKSTATE has a carrier as long as it is there. */
	p->carrier = (p->s.evq & VENET_CAP_EVQ_LINKSTATE) == 0;
	north_ctrl_publish(l);
	for (uint32_t i = 0; i < p->nb_pairs; i++)
		north_intr_resume(p->rxq[i]);
	/* The first event is mostly there already: the carrier is known when the port has started. */
	if (north_event_poll(l)) {
		vbus_ctl_lock();
		vbus_ctl_job_queue(&l->event_job);
		vbus_ctl_unlock();
	}
	vbus_pmd_trace_session_up(p->port_id, 0, (uint8_t)p->s.rx, (uint8_t)p->s.tx);
	NORTH_LOG(INFO, l, "linked: %s rings, sg 0x%x l4ro 0x%x events 0x%x",
		p->s.rx == NORTH_RX_FAR	   ? "placed poll"
		: p->s.rx == NORTH_RX_POLL ? "poll"
					   : "v2",
		p->s.sg, p->s.l4ro, p->s.evq);
	return 0;
}

void
north_ctrl_down(struct north_local *l, bool peer_there)
{
	struct north_port *p = l->port;

	if (!p->linked)
		return;
	vbus_pmd_trace_session_down(p->port_id, peer_there);
	unpublish(p);
	if (peer_there) {
		if (rte_vbus_call(l->vdev, VENET_FUNC_LINKDOWN, NULL, 0) >= 0 && p->s.keep)
			wait_kept(p);
		rte_vbus_close(l->vdev);
	}
	/* South has nothing left to do with the rings: what came back until now counts. */
	for (uint32_t i = 0; i < p->nb_pairs; i++)
		north_kept_settle(p->txq[i]);
	p->linked = false;
	p->carrier = false;
	drain(l, !peer_there);
}

/* How many pairs are there? An older south grants nothing, or does not know the question. */
static int
probe_pairs(struct north_local *l)
{
	const uint32_t want = VENET_CAP_POLL_RING | VENET_CAP_POLL_PAIRS;
	struct venet_poll_query q = {0};
	uint32_t bits = 0;
	int ret;

	ret = negcap(l, VENET_CAP_GROUP_POLL, want, &bits);
	if (ret < 0 || bits != want)
		return ret == -EINVAL ? 0 : ret;
	ret = rte_vbus_call(l->vdev, VENET_FUNC_POLLQUERY, &q, sizeof(q));
	if (ret < 0)
		return ret == -EINVAL ? 0 : ret;
	l->port->max_pairs = (uint16_t)RTE_MIN(RTE_MAX(q.pairs, 1u), NORTH_QUEUES_MAX);
	return 0;
}

int
north_ctrl_probe(struct north_local *l)
{
	struct north_port *p = l->port;
	uint8_t mac[VENET_MAC_LEN];
	uint32_t all = VENET_CAP_SG | VENET_CAP_TSO4 | VENET_CAP_TSO6 | VENET_CAP_ECN;
	int ret;

	ret = rte_vbus_open(l->vdev, VENET_VERSION);
	if (ret < 0)
		return ret;
	ret = rte_vbus_call(l->vdev, VENET_FUNC_MACQUERY, mac, sizeof(mac));
	if (ret >= 0) {
		memcpy(p->mac.addr_bytes, mac, sizeof(mac));
		ret = negcap(l, VENET_CAP_GROUP_SG, all | VENET_CAP_PMTD, &p->caps_sg);
	}
	if (ret >= 0)
		ret = negcap(l, VENET_CAP_GROUP_L4RO, all, &p->caps_l4ro);
	p->max_pairs = 1;
	if (ret >= 0 && p->want_poll)
		ret = probe_pairs(l);
	rte_vbus_close(l->vdev);
	if (ret >= 0 && !rte_is_valid_assigned_ether_addr(&p->mac)) {
		NORTH_LOG(ERR, l, "the device has no valid MAC address");
		ret = -EPROTO;
	}
	return ret < 0 ? ret : 0;
}

/* ---- again --------------------------------------------------------------------------------------- */

bool
north_ctrl_again(struct north_local *l)
{
	if (!l->port->started || l->port->linked)
		return false;
	if (north_ctrl_up(l) != 0) {
		north_ctrl_retry(l);
		return false;
	}
	return north_link_set(l, l->port->carrier);
}

static void
retry_job(struct vbus_ctl_job *job)
{
	struct north_local *l = container_of(job, struct north_local, retry_job);
	struct rte_eth_dev *eth = l->eth;
	bool tell = false;

	pthread_mutex_lock(&l->lock);
	if (l->port != NULL)
		tell = north_ctrl_again(l);
	pthread_mutex_unlock(&l->lock);
	if (tell)
		north_link_lsc(eth); /* l is not used after it, see north_event_job() */
}

static void
retry_due(struct vbus_ctl_timer *t)
{
	struct north_local *l = container_of(t, struct north_local, retry_timer);

	vbus_ctl_job_queue(&l->retry_job);
}

void
north_ctrl_retry(struct north_local *l)
{
	if (!l->port->started || !rte_vbus_present(l->vdev))
		return; /* back() comes when the peer does */
	l->retry_ms = RTE_MIN(RTE_MAX(2 * l->retry_ms, RETRY_MS_MIN), RETRY_MS_MAX);
	vbus_ctl_lock();
	vbus_ctl_timer_arm(&l->retry_timer, (uint64_t)l->retry_ms * 1000000);
	vbus_ctl_unlock();
}

/* The last job of a port: nothing of it is queued behind this one. */
static void
free_job(struct vbus_ctl_job *job)
{
	struct north_local *l = container_of(job, struct north_local, free_job);

	pthread_mutex_destroy(&l->lock);
	free(l);
}

void
north_ctrl_init(struct north_local *l)
{
	l->event_job.fn = north_event_job;
	l->retry_job.fn = retry_job;
	l->free_job.fn = free_job;
	l->retry_timer.fn = retry_due;
}

void
north_ctrl_fini(struct north_local *l)
{
	vbus_ctl_lock();
	vbus_ctl_timer_cancel(&l->retry_timer);
	vbus_ctl_job_cancel(&l->event_job);
	vbus_ctl_job_cancel(&l->retry_job);
	vbus_ctl_job_queue(&l->free_job);
	vbus_ctl_unlock();
}
