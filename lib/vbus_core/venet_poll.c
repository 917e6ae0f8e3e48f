/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * The ring for pollers: its control part, and frames from north (doc/abi.md section 12, ADR-0017).
 *
 * The control part runs with the control lock held while no burst does. A burst runs on the polling
 * thread of the rx queue. It knows plain frames: one descriptor, no requests, memory in one piece, an
 * mbuf that holds it. The first one that is not plain ends that part, and the rest of the burst goes by
 * frames (venet_rx_take()), as frames of sg descriptors do.
 */

#include "venet_internal.h"

#include <errno.h>
#include <string.h>

#include <rte_atomic.h>
#include <rte_mempool.h>

#include "vbus_poll_meta.h"

static uint16_t kept_rx(
	struct venet_rxq *q, const struct venet_path *p, struct rte_mbuf **pkts, uint16_t nb);

/* ---- control ----------------------------------------------------------------------------------- */

/** A transmit ring with a return ring and marks behind it. */
static int
attach_kept(struct vbus_poll_south *q, const struct vbus_shm *shm, unsigned int how)
{
	/* What is shorter than a head wraps, and is not the length of such a count. */
	const uint32_t count = (shm->len - VENET_POLL_DESC_OFFSET) / 13;
	int ret;

	if (shm->len != VENET_POLL_TX_KEEP_SIZE(count))
		return -EINVAL;
	ret = vbus_poll_south_attach(q, shm->va, VENET_POLL_TX_SIZE(count), VENET_POLL_TX,
		VENET_RING_MAX, shm->cursor, how);
	if (ret == 0)
		vbus_poll_keep(&q->r, shm->va);
	return ret;
}

/** @param[out] back  south's area of a placed ring: north named it, and all of it is mapped; else NULL */
static int
attach(struct vbus_poll_south *q, const struct vbus_shm *shm, uint32_t kind, unsigned int how,
	void **back)
{
	const struct venet_conn_state *cs = vbus_conn_state(shm->conn);
	struct vbus_memcache mc = {0};
	uint64_t addr, len = 0;

	*back = NULL;
	if ((cs->poll & VENET_CAP_POLL_KEEP) != 0 && kind == VENET_POLL_TX)
		return attach_kept(q, shm, how);
	if ((cs->poll & VENET_CAP_POLL_NEWEST) != 0 && kind == VENET_POLL_RX)
		return vbus_poll_south_attach_newest(
			q, shm->va, shm->len, VENET_RING_MAX, shm->cursor, how);
	if ((cs->poll & VENET_CAP_POLL_PLACED) == 0)
		return vbus_poll_south_attach(
			q, shm->va, shm->len, kind, VENET_RING_MAX, shm->cursor, how);
	addr = vbus_poll_south_back(shm->va, shm->len, kind, &len);
	if (addr != 0)
		*back = vbus_memview_ptr(vbus_conn_view(shm->conn), &mc, addr, len);
	return vbus_poll_south_attach_placed(
		q, shm->va, shm->len, *back, len, kind, VENET_RING_MAX, shm->cursor, how);
}

static int
attach_signal(struct vbus_signal *sig, const struct vbus_shm *shm, void *back)
{
	void *desc = shm->va + shm->signal_offset;

	/* South's copy is at the beginning of its area. */
	return back != NULL ? vbus_signal_attach_placed(sig, desc, back, VBUS_LOCALITY_SOUTH)
			    : vbus_signal_attach(sig, desc, VBUS_LOCALITY_SOUTH);
}

/** What is out stays out while the ring is looked at again. */
static int
attach_keep(struct venet_pair *pair, const struct vbus_poll *r, unsigned int how)
{
	if (how == VBUS_IOQ_FRESH) {
		venet_keep_release(pair->keep);
		pair->keep = venet_keep_create(r->mask + 1);
	}
	if (pair->keep == NULL)
		return -ENOMEM;
	if (venet_keep_count(pair->keep) != r->mask + 1)
		return -EINVAL;
	venet_keep_bind(pair->keep, r);
	return 0;
}

int
venet_poll_attach(struct vbus_venet *v, struct vbus_shm *shm, unsigned int how)
{
	const uint32_t kind = venet_block_kind(shm->id);
	struct vbus_poll_south *q = &v->pair[venet_block_pair(shm->id)].poll[kind];
	struct venet_ring *r = &v->ring[shm->id];
	void *back;
	int ret;

	memset(q, 0, sizeof(*q));
	ret = attach(q, shm, kind, how, &back);
	if (ret < 0) {
		VBUS_LOG_LIMITED(&v->log_limit, WARNING, "device %s: poll ring %u refused: %s",
			v->dev->name, shm->id, vbus_ioq_refusal_name(q->refusal));
		q->cur = NULL;
		return ret;
	}
	if (q->r.kept != NULL)
		ret = attach_keep(&v->pair[venet_block_pair(shm->id)], &q->r, how);
	if (ret < 0) {
		q->cur = NULL;
		return ret;
	}
	if (!shm->has_signal)
		return 0;
	ret = attach_signal(&r->sig, shm, back);
	if (ret == 0 && shm->signal_offset == VENET_POLL_SIGNAL_OFFSET) {
		r->shm = shm;
		return 0;
	}
	q->cur = NULL;
	return -EINVAL;
}

int
venet_poll_query(const struct vbus_venet *v, void *data, uint32_t len, uint32_t *out)
{
	struct venet_poll_query qry;
	uint32_t pairs;

	if (!venet_polls(v) || len != sizeof(qry))
		return -EINVAL;
	memcpy(&qry, data, sizeof(qry));
	pairs = v->cs->poll & VENET_CAP_POLL_PAIRS ? v->nb_pairs : 1;
	if (qry.queue >= pairs)
		return -EINVAL;
	qry.rx_id = VBUS_VENET_BLOCK_POLL(qry.queue, VENET_POLL_RX);
	qry.tx_id = VBUS_VENET_BLOCK_POLL(qry.queue, VENET_POLL_TX);
	qry.count_max = VENET_RING_MAX;
	qry.pairs = pairs;
	memcpy(data, &qry, sizeof(qry));
	*out = sizeof(qry);
	return 0;
}

static uint64_t
mbuf_init(void)
{
	struct rte_mbuf m = {
		.data_off = RTE_PKTMBUF_HEADROOM, .nb_segs = 1, .port = RTE_MBUF_PORT_INVALID};

	rte_mbuf_refcnt_set(&m, 1);
	return *(venet_rearm_t *)(void *)&m.rearm_data;
}

void
venet_poll_path(const struct vbus_venet *v, uint32_t pair, struct venet_path *p)
{
	p->poll = true;
	p->poll_from = v->pair[pair].poll[VENET_POLL_TX];
	p->poll_to = v->pair[pair].poll[VENET_POLL_RX];
	p->rx_burst = venet_poll_rx;
	p->tx_burst = p->poll_to.r.store != NULL ? venet_newest_tx : venet_poll_tx;
	if (v->cs->poll & VENET_CAP_POLL_PLACED) {
		p->combining = v->dev->bus == NULL || !v->dev->bus->far_cached;
		p->rx_burst = venet_far_rx;
		/* The engine has one channel, and tx queue 0 has it. */
		if (pair % v->nb_tx == 0)
			p->dma = v->dma;
		p->tx_burst = p->dma.on ? venet_dma_tx : venet_far_tx;
	}
	p->mbuf_init = mbuf_init();
	/* By the ring, not by the pair: a keep may be left of a block that was refused. */
	if (p->poll_from.r.kept != NULL && p->mp != NULL) {
		p->keep = v->pair[pair].keep;
		p->keep_min = p->view->borrowed == 0 ? v->keep_min : UINT32_MAX;
		p->rx_burst = kept_rx;
	}
	/* Mbufs whose buffers lie elsewhere have flags of their own: not raw. */
	if (p->mp != NULL &&
		(rte_pktmbuf_priv_flags(p->mp) & RTE_PKTMBUF_POOL_F_PINNED_EXT_BUF) == 0)
		p->poll_max = RTE_MIN(p->mp_room, VENET_POLL_LEN_MAX);
}

void
venet_poll_flush(const struct vbus_poll_south *q)
{
	uint32_t i, held, comp = 0;

	/* One lap at most: north may post new ones meanwhile. */
	for (i = 0; i <= q->r.mask && vbus_poll_south_is_ready(q, 0); i++) {
		if (q->r.store != NULL) {
			held = vbus_poll_south_gather(q);
			if (held == 0)
				break; /* north has changed its mind */
			comp = vbus_poll_comp_of(vbus_poll_south_newest(q, held, 0));
		}
		vbus_poll_south_complete(q, &comp, 1);
	}
}

bool
venet_poll_discard(struct vbus_shm *shm)
{
	struct vbus_poll_south q;
	struct vbus_signal sig;
	void *back;
	uint32_t n;

	if (attach(&q, shm, VENET_POLL_TX, VBUS_IOQ_RESUME, &back) != 0)
		return false;
	n = vbus_poll_south_count(&q, q.r.mask + 1);
	if (n == 0)
		return false;
	/* Marks of what was taken before stay: those frames may be out. */
	for (uint32_t i = 0; i < n && q.r.kept != NULL; i++)
		vbus_peer_store8(&q.r.kept[(q.cur->inuse_head + i) & q.r.mask], 0);
	vbus_poll_south_consume(&q, n);
	if (shm->has_signal && attach_signal(&sig, shm, back) == 0 && vbus_signal_inject(&sig))
		vbus_shm_notify(shm);
	return true;
}

/* ---- frames of any kind ------------------------------------------------------------------------ */

/** An entry that stands where a frame is kept (section 12.7). */
static inline bool
is_empty(uint64_t d)
{
	return vbus_poll_len(d) == 0 && (d & VENET_POLL_MORE) == 0;
}

/** Done with entries of which none is kept. */
static void
consume(const struct venet_path *p, uint32_t n)
{
	if (p->keep != NULL)
		venet_keep_none(p, n);
	vbus_poll_south_consume(&p->poll_from, n);
}

static void
pass_empty(const struct venet_path *p)
{
	const struct vbus_poll *r = &p->poll_from.r;
	const uint32_t pos = p->poll_from.cur->inuse_head;
	uint32_t n;

	for (n = 0; n < VENET_BURST; n++) {
		uint64_t d = vbus_poll_load_desc(r, pos + n);

		if (!vbus_poll_desc_is_ready(r, d, pos + n) || !is_empty(d))
			break;
	}
	if (n > 0)
		consume(p, n);
}

/**
 * Read the frame at @p pos into @p f and @p piece, not yet translated.
 * @param[out] nb  its descriptors; 0: it is not all there
 * @return VENET_SG_*
 */
static int
read_frame(struct venet_rxq *q, const struct venet_path *p, uint32_t pos, struct venet_frame *f,
	struct venet_piece *piece, uint32_t *nb)
{
	const struct vbus_poll *r = &p->poll_from.r;
	uint64_t d = VENET_POLL_MORE;
	uint32_t n = 0, k = 0, len = 0;
	bool bad = false;

	*nb = 0;
	memset(&f->o, 0, sizeof(f->o));
	while (d & VENET_POLL_MORE && k < VENET_IOV_MAX + 1) {
		d = vbus_poll_load_desc(r, pos + k);
		if (!vbus_poll_desc_is_ready(r, d, pos + k))
			return VENET_SG_GOOD;
		if (k == 0 && p->keep != NULL && is_empty(d))
			return VENET_SG_GOOD; /* the next burst begins with it */
		if (vbus_poll_len(d) != 0 && n < VENET_IOV_MAX) {
			piece[n].iova = vbus_poll_addr(d);
			piece[n].len = vbus_poll_len(d);
			piece[n].ptr_peer = NULL;
			len += piece[n++].len;
		} else if (vbus_poll_len(d) == 0 && k == 0) {
			f->o = vbus_poll_meta_unpack(vbus_poll_addr(d));
		} else {
			bad = true;
		}
		k++;
	}
	/* Q: before the frame is read. Partner: the release fence of north's post. */
	vbus_peer_fence_acquire();
	*nb = k;
	q->poll_skip = (d & VENET_POLL_MORE) != 0;
	f->piece = piece;
	f->nb_pieces = n;
	f->len = len;
	if (bad || q->poll_skip || (k > 1 && (p->sg & VENET_CAP_SG) == 0))
		return VENET_SG_BAD;
	if (len < VENET_FRAME_MIN || len > VENET_FRAME_MAX_VLAN)
		return VENET_SG_BAD_LEN;
	return VENET_SG_GOOD;
}

/** Find up to @p n frames and what they are. @return how many; nb_desc[] of each */
static uint32_t
read_frames(struct venet_rxq *q, const struct venet_path *p, struct venet_rx_frames *b,
	uint32_t *nb_desc, uint32_t n)
{
	uint32_t pos = p->poll_from.cur->inuse_head;
	uint32_t used = 0;
	uint32_t i, k;

	for (i = 0; i < n && used + VENET_IOV_MAX <= VENET_SG_PIECES && !q->poll_skip; i++) {
		struct venet_piece *piece = &b->piece[used];

		b->bad[i] = (uint8_t)read_frame(q, p, pos, &b->f[i], piece, &nb_desc[i]);
		if (nb_desc[i] == 0)
			break;
		pos += nb_desc[i];
		if (b->bad[i] != VENET_SG_GOOD)
			continue;
		used += b->f[i].nb_pieces;
		for (k = 0; k < b->f[i].nb_pieces; k++)
			piece[k].ptr_peer = vbus_memview_ptr(
				p->view, &q->mc, piece[k].iova, piece[k].len);
	}
	return i;
}

/** Pass what is left of a frame that has too many pieces. @return false: it goes on */
static bool
skip_frame(struct venet_rxq *q, const struct venet_path *p)
{
	const struct vbus_poll *r = &p->poll_from.r;
	const uint32_t pos = p->poll_from.cur->inuse_head;
	uint32_t i;

	for (i = 0; i < VENET_BURST && q->poll_skip; i++) {
		uint64_t d = vbus_poll_load_desc(r, pos + i);

		if (!vbus_poll_desc_is_ready(r, d, pos + i))
			break;
		q->poll_skip = (d & VENET_POLL_MORE) != 0;
	}
	consume(p, i);
	return !q->poll_skip;
}

static __rte_noinline uint16_t
rx_any(struct venet_rxq *q, const struct venet_path *p, struct rte_mbuf **pkts, uint16_t nb)
{
	struct venet_rx_out out = {.pkts = pkts, .nb = nb};
	uint32_t nb_desc[VENET_BURST];
	struct venet_rx_frames b;
	uint32_t done = 0;
	uint32_t i, n;

	if (q->poll_skip && !skip_frame(q, p))
		return 0;
	if (q->gso.active) {
		/* The frame at the ring's head; it goes back when its last segment is out. */
		if (!venet_rx_gso_run(q, p, &out))
			goto out;
		consume(p, q->gso.nb_desc);
	}
	if (p->keep != NULL)
		pass_empty(p);
	n = read_frames(q, p, &b, nb_desc, (uint32_t)(nb - out.used));
	if (n != 0) {
		venet_rx_refill(p->mp, &out, (uint16_t)n);
		n = venet_rx_take(q, p, &b, n, &out);
		if (q->gso.active)
			q->gso.nb_desc = nb_desc[n];
		for (i = 0; i < n; i++)
			done += nb_desc[i];
		consume(p, done);
	}
	q->stats.signals += venet_poll_signal(&p->from_north);
out:
	q->stats.packets += out.used;
	q->stats.bursts += out.used != 0;
	if (out.used != out.have)
		rte_pktmbuf_free_bulk(pkts + out.used, (unsigned int)(out.have - out.used));
	return out.used;
}

/* ---- plain frames ------------------------------------------------------------------------------ */

/** What a look ahead has found. */
struct plain {
	uint32_t nb;   /* plain frames */
	bool stranger; /* and then one that is not */
	uint32_t lens; /* all of their lengths, ORed: is any large? */
	const uint8_t *src_peer[VENET_BURST];
	uint16_t len[VENET_BURST];
};

/**
 * Look at the descriptors from @p pos on, which are in one lap.
 * @return how many of them are plain frames
 */
static __rte_always_inline uint32_t
look_run(struct venet_rxq *q, const struct venet_path *p, struct plain *f, uint32_t pos, uint32_t n)
{
	const struct vbus_poll *r = &p->poll_from.r;
	const uint64_t *desc = &r->desc[pos & r->mask];
	const uint64_t phase = vbus_poll_desc_phase(r, pos);
	const uint32_t span = p->poll_max - VENET_FRAME_MIN;
	const uint8_t **src_peer = &f->src_peer[f->nb];
	uint16_t *plain_len = &f->len[f->nb];
	struct venet_reach at = venet_reach(&q->mc, p->poll_max);
	uint32_t lens = f->lens;
	uint32_t i;

	for (i = 0; i < n; i++) {
		const uint64_t d = vbus_peer_load_owner64(&desc[i]);
		const uint32_t len = vbus_poll_plain_len(d, phase);
		const uint64_t off = vbus_poll_addr(d) - at.iova;

		if (unlikely(len - VENET_FRAME_MIN > span)) {
			f->stranger = len <= 2 * VENET_POLL_LEN_MAX + 1; /* else nothing is there */
			break;
		}
		if (likely(off < at.len)) {
			src_peer[i] = (const uint8_t *)(at.va + off);
		} else {
			src_peer[i] = vbus_memview_ptr(p->view, &q->mc, vbus_poll_addr(d), len);
			if (src_peer[i] == NULL) {
				f->stranger = true;
				break;
			}
			at = venet_reach(&q->mc, p->poll_max);
		}
		rte_prefetch0(src_peer[i]);
		plain_len[i] = (uint16_t)len;
		lens |= len;
	}
	f->lens = lens;
	return i;
}

static __rte_always_inline void
look_ahead(struct venet_rxq *q, const struct venet_path *p, struct plain *f, uint32_t n)
{
	const uint32_t pos = p->poll_from.cur->inuse_head;
	uint32_t run, found;

	f->stranger = false;
	f->nb = 0;
	f->lens = 0;
	do {
		run = vbus_poll_run(&p->poll_from.r, pos + f->nb, n - f->nb);
		found = look_run(q, p, f, pos + f->nb, run);
		f->nb += found;
	} while (unlikely(found == run && f->nb < n));
	/* Q: before the frames are read. Partner: the release fence of vbus_poll_north_post(). */
	vbus_peer_fence_acquire();
}

static __rte_always_inline uint16_t
rx_plain(struct venet_rxq *q, const struct venet_path *p, struct rte_mbuf **pkts, uint16_t nb,
	const bool keep)
{
	struct plain f;
	uint64_t bytes = 0;
	uint32_t i;

	if (unlikely(p->poll_max == 0 || q->gso.active || q->poll_skip))
		return rx_any(q, p, pkts, nb);
	look_ahead(q, p, &f, nb);
	if (f.nb == 0)
		return unlikely(f.stranger) ? rx_any(q, p, pkts, nb) : 0;
	if (unlikely(rte_mempool_get_bulk(p->mp, (void **)pkts, f.nb) != 0))
		return rx_any(q, p, pkts, nb); /* there may be some */
	if (keep)
		bytes = venet_keep_frames(q, p, pkts, f.src_peer, f.len, f.nb);
	for (i = 0; i < f.nb && !keep; i++) {
		if (f.lens > VENET_PREFETCH_NEAR && i + 1 < f.nb)
			venet_prefetch_rest(f.src_peer[i + 1], f.len[i + 1]);
		venet_mbuf_copy(p, pkts[i], f.src_peer[i], f.len[i]);
		bytes += f.len[i];
	}
	q->stats.packets += f.nb;
	q->stats.bytes += bytes;
	q->stats.bursts++;
	vbus_poll_south_consume(&p->poll_from, f.nb);
	q->stats.signals += venet_poll_signal(&p->from_north);
	if (unlikely(f.stranger))
		return (uint16_t)(f.nb + rx_any(q, p, pkts + f.nb, (uint16_t)(nb - f.nb)));
	return (uint16_t)f.nb;
}

uint16_t
venet_poll_rx(struct venet_rxq *q, const struct venet_path *p, struct rte_mbuf **pkts, uint16_t nb)
{
	return rx_plain(q, p, pkts, nb, false);
}

/** The same where frames may stay in north's memory. */
static uint16_t
kept_rx(struct venet_rxq *q, const struct venet_path *p, struct rte_mbuf **pkts, uint16_t nb)
{
	venet_keep_poll(p);
	return rx_plain(q, p, pkts, nb, true);
}

uint16_t
venet_far_rx(struct venet_rxq *q, const struct venet_path *p, struct rte_mbuf **pkts, uint16_t nb)
{
	const uint32_t pos = p->poll_from.cur->inuse_head;

	nb = venet_poll_rx(q, p, pkts, nb);
	if (p->combining && pos != p->poll_from.cur->inuse_head)
		rte_wmb(); /* the count leaves a write-combining buffer now */
	return nb;
}
