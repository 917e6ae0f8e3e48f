/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */
#ifndef VENET_INTERNAL_H
#define VENET_INTERNAL_H

/**
 * @file
 * Inside of the venet class: what its control part (venet.c, venet_event.c, venet_look.c) and its
 * burst functions (venet_rx*.c, venet_tx*.c, venet_poll*.c) share.
 *
 * The control side publishes a *path*, everything that a burst needs, through an atomic pointer in
 * each queue. While it is published nobody changes it. To change anything, the control side
 * stores NULL, lets the user's quiesce() wait until every burst that began before is over, and then
 * owns path and queues until it publishes again.
 *
 *   polling side                       control side
 *   path = load (acquire)     V1       fill path, reset queues' caches
 *   ... burst ...                      store path (release)             V0, pairs with V1
 *                                      ...
 *                                      store NULL; user->quiesce()      (vbus_mark.h, or RCU)
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/queue.h>

#include <rte_branch_prediction.h>
#include <rte_mbuf.h>
#include <rte_prefetch.h>
#include <rte_spinlock.h>

#include <vbus/venet.h>
#include <vbus/venet_poll.h>

#include "vbus_compat.h"
#include "vbus_core.h"
#include "vbus_ioq_south.h"
#include "vbus_log.h"
#include "vbus_offload.h"
#include "vbus_poll.h"
#include "vbus_signal.h"
#include "vbus_venet.h"

#define VENET_BURST	64u    /**< frames of one burst; the rest waits for the next */
#define VENET_RING_MAX	32768u /**< entries of a ring */
#define VENET_IOV_MAX	64u    /**< fragments of one frame from north */
#define VENET_FRAME_MIN 14u    /**< an Ethernet header */
/** Bytes of a larger frame that are wanted in the first-level cache before its turn. */
#define VENET_PREFETCH_NEAR 256u

/** Blocks, by their numbers on the wire (vbus_venet.h). */
#define VENET_NB_BLOCKS VBUS_VENET_BLOCK_POLL(VBUS_VENET_PAIRS_MAX, 0)

struct venet_rxq;
struct venet_txq;
struct venet_path;

typedef uint16_t (*venet_rx_fn)(
	struct venet_rxq *q, const struct venet_path *p, struct rte_mbuf **pkts, uint16_t nb);
typedef uint16_t (*venet_tx_fn)(
	struct venet_txq *q, const struct venet_path *p, struct rte_mbuf **pkts, uint16_t nb);

/** A ring or pool as bursts use it. */
struct venet_ring {
	struct vbus_ioq_south q;
	struct vbus_signal sig;
	struct vbus_shm *shm; /**< NULL: north gave no signal with it */
};
struct venet_pool {
	uint8_t *base_peer;
	uint64_t len;
};

/** All that a burst needs. Constant while published. */
struct venet_path {
	const struct vbus_memview *view;
	/* rx: from north's transmit ring */
	venet_rx_fn rx_burst;
	struct rte_mempool *mp;
	uint32_t mp_room;		  /**< bytes of a frame in one mbuf */
	uint32_t rx_accept;		  /**< VBUS_VENET_RX_* */
	struct vbus_poll_south poll_from; /**< from_north then has the signal alone */
	uint64_t mbuf_init;		  /**< rearm_data of a received mbuf */
	struct venet_keep *keep; /**< of frames that stay in north's memory; NULL: none does */
	uint32_t keep_min;	 /**< bytes of the shortest such frame */
	uint32_t poll_max; /**< longest frame that goes straight into a raw mbuf; 0: none does */
	uint32_t sg;	   /**< VENET_CAP_* of group SG */
	bool poll;
	struct venet_dma {
		bool on; /**< else the processor copies */
		int16_t id;
		uint16_t vchan;
	} dma;		/**< of tx, on placed rings */
	bool combining; /**< placed rings: what south writes waits in write-combining buffers */
	struct venet_ring from_north;
	struct venet_pool sg_pool; /**< PMTD; base NULL: sg descriptors lie anywhere */
	/* tx: to north's receive ring */
	venet_tx_fn tx_burst;
	uint32_t l4ro; /**< VENET_CAP_* of group L4RO */
	struct vbus_poll_south poll_to;
	struct venet_ring to_north;
	struct venet_pool l4ro_pool;
	struct venet_ring pages;
	/* several pairs: venet_pair.c */
	uint16_t nb_pairs; /**< of north's that are up */
	uint16_t
		rx_step; /**< the queue serves every rx_step-th pair from its own on; 0: its own only */
	uint16_t tx_step; /**< likewise */
	uint16_t tx_pair; /**< TX_SHARED: the pair that the queue sends to */
	bool tx_shared;	  /**< several queues send to one pair */
	bool tx_plain;	  /**< none of these: as if there were one pair */
} VBUS_CACHE_ALIGNED;

/** A fragment of a frame in north's memory. */
struct venet_piece {
	uint8_t *ptr_peer; /**< NULL: crosses extents, use iova */
	uint64_t iova;
	uint32_t len;
};

/** A frame from north, checked: what the sg descriptor said. */
struct venet_frame {
	uint32_t len;
	uint32_t nb_pieces;
	const struct venet_piece *piece;
	struct vbus_offload o;
};

/** A TSO frame that is being cut into mbufs, over several bursts if need be. */
struct venet_rx_gso {
	bool active;
	uint32_t nb_pieces;
	uint32_t nb_desc; /**< of a poll ring that the frame takes */
	uint32_t len;
	uint32_t left; /**< segments that may still come: a bound, not a promise */
	struct vbus_gso g;
	struct venet_piece piece[VENET_IOV_MAX];
};

/** Frames from north. The first line is the control side's but for `next`, the others the polling thread's. */
struct venet_rxq {
	_Atomic(const struct venet_path *) path;
	/* The byte of north's that says that the next entry is there; set where a burst found none. With it a
	 * look at an idle queue needs this line and that one. Reset by the control side while unpublished.
	 */
	const uint8_t *next_peer; /**< NULL: not known */
	uint8_t next_mask, next_value;
	/* written by the polling thread, read by the control side's slow timer */
	VBUS_CACHE_ALIGNED atomic_bool armed; /**< wants rx_wake */
	struct vbus_memcache mc;	      /**< reset by the control side while unpublished */
	struct vbus_memcache mc_sg;	      /**< descriptors and data lie apart */
	bool poll_skip; /**< the rest of a frame with too many pieces is passed; reset likewise */
	uint16_t turn;	/**< of several pairs the next to be looked at */
	struct vbus_venet_rx_stats stats; /**< plain adds here, relaxed loads elsewhere */
	struct venet_rx_gso gso;
} VBUS_CACHE_ALIGNED;

/** Frames to north. Likewise. */
struct venet_txq {
	_Atomic(const struct venet_path *) path;
	VBUS_CACHE_ALIGNED struct vbus_memcache mc;
	struct vbus_memcache mc_page;
	rte_spinlock_t lock; /**< taken when several queues send here */
	struct vbus_venet_tx_stats stats;
} VBUS_CACHE_ALIGNED;

/** The part that a restart would need: in the link's state, plain data. */
struct venet_conn_state {
	uint32_t layout;	/**< VENET_STATE_LAYOUT */
	uint32_t up;		/**< LINKUP was called */
	uint32_t sg, evq, l4ro; /**< granted bits */
	uint32_t poll;		/**< likewise */
};
#define VENET_STATE_LAYOUT 2u
_Static_assert(sizeof(struct venet_conn_state) <= VBUS_CONN_STATE_SIZE, "fits the link's state");

/** A queue pair. Version 2 rings, and the first ring for pollers: pair 0. */
struct venet_pair {
	struct venet_rxq rx;
	struct venet_txq tx;
	struct venet_path path;
	struct vbus_poll_south poll[2]; /**< by kind; their signals are in ring[] */
	struct venet_keep *keep;
	uint32_t seen_head; /**< north's receive position at the last slow look */
	bool seen_busy;
};
/* Of what the threads of a pair write no line has anything of another thread's, or of another pair's. */
_Static_assert(sizeof(struct venet_pair) % VBUS_CACHE_LINE == 0 &&
		       offsetof(struct venet_pair, rx) % VBUS_CACHE_LINE == 0 &&
		       offsetof(struct venet_pair, tx) % VBUS_CACHE_LINE == 0 &&
		       offsetof(struct venet_pair, path) % VBUS_CACHE_LINE == 0 &&
		       offsetof(struct venet_pair, poll) % VBUS_CACHE_LINE == 0,
	"lines of their own");

/** The device. Everything but the queues: control lock. */
struct vbus_venet {
	struct venet_pair *pair;
	uint16_t nb_pairs;     /**< offered */
	uint16_t nb_up;	       /**< shared by north */
	uint16_t nb_rx, nb_tx; /**< polled queues, 1 or more; 1 while nobody polls */
	struct rte_mempool *mps[VBUS_VENET_PAIRS_MAX]; /**< by rx queue; NULL: mp */

	struct vbus_device *dev;
	struct rte_ether_addr mac;
	uint16_t mtu;
	uint32_t
		keep_min; /**< bytes of the shortest frame that may stay in north's memory; 0: none does */
	/* who polls */
	bool bound;
	bool ready;
	struct vbus_venet_user user;
	struct rte_mempool *mp;
	uint32_t rx_accept;
	struct venet_dma dma;
	/* the connection; cs NULL: not open */
	struct vbus_conn *conn;
	struct venet_conn_state *cs;
	struct vbus_shm *block[VENET_NB_BLOCKS];
	struct venet_ring ring[VENET_NB_BLOCKS]; /**< of the blocks that are rings */
	bool mapped;				 /**< every block lies in memory */
	bool faulted;
	bool published;
	bool told_up;	  /**< what user.link last heard */
	atomic_bool link; /**< for any thread */
	/* events */
	bool event_held; /**< a LINKSTATE waits for a slot */
	uint8_t event_state;
	uint64_t nb_events, nb_events_bad;
	/* the slow look */
	bool listed;
	uint64_t nb_relooks, nb_reinjects;
	struct vbus_log_limit log_limit; /* of what north can provoke */
	LIST_ENTRY(vbus_venet) next;
};

/* ---- control side (lock held) ------------------------------------------------------------------ */

/** A ring is there and usable. */
static inline bool
venet_has_ring(const struct vbus_venet *v, uint32_t id)
{
	return v->block[id] != NULL && v->ring[id].q.head_peer != NULL;
}

/** The ring for pollers was agreed on. */
static inline bool
venet_polls(const struct vbus_venet *v)
{
	return (v->cs->poll & VENET_CAP_POLL_RING) != 0;
}

/** The blocks of the receive and of the transmit ring in use by a pair. */
static inline uint32_t
venet_block_rx(const struct vbus_venet *v, uint32_t pair)
{
	return venet_polls(v) ? VBUS_VENET_BLOCK_POLL(pair, VENET_POLL_RX) : VENET_QUEUE_RX;
}
static inline uint32_t
venet_block_tx(const struct vbus_venet *v, uint32_t pair)
{
	return venet_polls(v) ? VBUS_VENET_BLOCK_POLL(pair, VENET_POLL_TX) : VENET_QUEUE_TX;
}

static inline bool
venet_is_poll_ring(uint32_t id)
{
	return id >= VBUS_VENET_BLOCK_POLL_RX;
}
/** What north signals there nobody waits for. */
static inline bool
venet_block_is_deaf(uint32_t id)
{
	return id == VENET_QUEUE_RX || id == VBUS_VENET_BLOCK_PAGES ||
	       (venet_is_poll_ring(id) && (id - VBUS_VENET_BLOCK_POLL_RX) % 2 == VENET_POLL_RX);
}
/** Of a ring for pollers: its pair, and VENET_POLL_RX or _TX. */
static inline uint32_t
venet_block_pair(uint32_t id)
{
	return (id - VBUS_VENET_BLOCK_POLL_RX) / 2;
}
static inline uint32_t
venet_block_kind(uint32_t id)
{
	return (id - VBUS_VENET_BLOCK_POLL_RX) % 2;
}

/** Carrier for north: the path is open. */
static inline bool
venet_carrier(const struct vbus_venet *v)
{
	return v->published;
}

/** Inject @p r's signal and have it delivered if north wants that. Any thread that owns the ring. */
static inline bool
venet_signal(const struct venet_ring *r)
{
	if (r->shm == NULL || !vbus_signal_inject(&r->sig))
		return false;
	vbus_shm_notify(r->shm);
	return true;
}

/** venet_pair.c: room for the pairs; their blocks. @return 0, -ENOMEM */
int venet_pairs_create(struct vbus_venet *v, uint16_t nb_pairs);
void venet_pairs_destroy(struct vbus_venet *v);
/** No pair's ring is bound to a block. */
void venet_pairs_forget(struct vbus_venet *v);
/** Their frames that are out are nobody's any more; before the blocks are forgotten. */
void venet_pairs_let_go(struct vbus_venet *v);
/** North shared all that its link needs; counts the pairs (nb_up). */
bool venet_blocks_there(struct vbus_venet *v);
/** Open the path, when all is there that it wants. Nothing when it is open. */
void venet_publish(struct vbus_venet *v);
/** Close it: after it the polling side uses nothing of north's, nor our path. */
void venet_unpublish(struct vbus_venet *v);
/** venet_spread.c: bursts of a queue for which its pair is not all. */
uint16_t venet_rx_several(struct vbus_venet *v, uint16_t queue, const struct venet_path *p,
	struct rte_mbuf **pkts, uint16_t nb);
uint16_t venet_tx_several(struct vbus_venet *v, uint16_t queue, const struct venet_path *p,
	struct rte_mbuf **pkts, uint16_t nb);
/** venet_adopt.c: vbus_class_ops.adopt */
int venet_adopt(struct vbus_conn *conn);
/** Bind to a poll ring's block. @return 0, -EINVAL (logged) */
int venet_poll_attach(struct vbus_venet *v, struct vbus_shm *shm, unsigned int how);
/** The path's part for poll rings. */
void venet_poll_path(const struct vbus_venet *v, uint32_t pair, struct venet_path *p);
/** vbus_class_ops.dropped */
bool venet_dropped(struct vbus_conn *conn, int func);
/** POLLQUERY. */
int venet_poll_query(const struct vbus_venet *v, void *data, uint32_t len, uint32_t *out);
/** FLUSHRX on a poll ring. */
void venet_poll_flush(const struct vbus_poll_south *q);
/** Discard what lies in a poll ring whose device is gone (section 7.15). @return there was something */
bool venet_poll_discard(struct vbus_shm *shm);
/** Say the carrier to north, when it asked for it; held back while the event ring is full. */
void venet_event_linkstate(struct vbus_venet *v);
/** Try again. */
void venet_event_flush(struct vbus_venet *v);
/** FLUSHRX: every empty receive buffer back. The path is not published. */
void venet_flush_rx(struct vbus_venet *v);
/** Put on / take off the list of the slow timer. */
void venet_look_add(struct vbus_venet *v);
void venet_look_del(struct vbus_venet *v);
/** A receiver is armed and the path has just been published: no frame may lie unseen. */
void venet_look_armed(struct vbus_venet *v);

/** Entries of /vbus/device,NAME. */
struct rte_tel_data;
void venet_telemetry(struct vbus_device *dev, struct rte_tel_data *d);

/* ---- venet_keep.c ------------------------------------------------------------------------------- */

/** NEGCAP may grant it. */
bool venet_keep_offered(const struct vbus_venet *v);
/** For a ring of @p count entries, of which none is out. NULL: no memory. */
struct venet_keep *venet_keep_create(uint32_t count);
/** The ring is not the pair's any more. Frames that are out stay readable, and are not given back. NULL: nothing. */
void venet_keep_release(struct venet_keep *k);
uint32_t venet_keep_count(const struct venet_keep *k);
/** Where the ring lies now; NULL: nowhere. Not published. */
void venet_keep_bind(struct venet_keep *k, const struct vbus_poll *r);
/** The path is published / is not: who gives back. */
void venet_keep_polled(struct venet_keep *k, bool polled);

/* Polling thread. */
/** Give back what was freed. */
void venet_keep_poll(const struct venet_path *p);
/**
 * Fill the raw mbufs @p pkts with the next @p n entries' frames: kept where they are, or copied.
 * @return bytes
 */
uint64_t venet_keep_frames(struct venet_rxq *q, const struct venet_path *p, struct rte_mbuf **pkts,
	const uint8_t *const *src_peer, const uint16_t *len, uint32_t n);
/** The next @p n entries keep nothing. */
void venet_keep_none(const struct venet_path *p, uint32_t n);

/* ---- burst functions --------------------------------------------------------------------------- */

uint16_t venet_rx_linear(
	struct venet_rxq *q, const struct venet_path *p, struct rte_mbuf **pkts, uint16_t nb);
uint16_t venet_rx_sg(
	struct venet_rxq *q, const struct venet_path *p, struct rte_mbuf **pkts, uint16_t nb);
uint16_t venet_tx_linear(
	struct venet_txq *q, const struct venet_path *p, struct rte_mbuf **pkts, uint16_t nb);
uint16_t venet_tx_l4ro(
	struct venet_txq *q, const struct venet_path *p, struct rte_mbuf **pkts, uint16_t nb);

uint16_t venet_poll_rx(
	struct venet_rxq *q, const struct venet_path *p, struct rte_mbuf **pkts, uint16_t nb);
uint16_t venet_newest_tx(
	struct venet_txq *q, const struct venet_path *p, struct rte_mbuf **pkts, uint16_t nb);
uint16_t venet_poll_tx(
	struct venet_txq *q, const struct venet_path *p, struct rte_mbuf **pkts, uint16_t nb);

/** The same where frames, completions and counts are written across a link. */
uint16_t venet_far_rx(
	struct venet_rxq *q, const struct venet_path *p, struct rte_mbuf **pkts, uint16_t nb);
uint16_t venet_far_tx(
	struct venet_txq *q, const struct venet_path *p, struct rte_mbuf **pkts, uint16_t nb);
/** And the frames by an engine. */
uint16_t venet_dma_tx(
	struct venet_txq *q, const struct venet_path *p, struct rte_mbuf **pkts, uint16_t nb);
/** Copy frames of @p len bytes each. @return how many are copied; the others are the caller's */
uint32_t venet_dma_copy(struct venet_txq *q, const struct venet_dma *e, uint8_t *const *dst,
	struct rte_mbuf *const *pkts, const uint32_t *len, uint32_t n);

/** The same for a poller's ring: a peer that polls costs one load and no fence (section 12.4). */
static inline bool
venet_poll_signal(const struct venet_ring *r)
{
	if (likely(r->shm == NULL || !vbus_signal_is_wanted(&r->sig)))
		return false;
	return venet_signal(r);
}

/** The eight bytes of an mbuf from data_off to port, read or written in one go. */
typedef uint64_t __attribute__((may_alias)) venet_rearm_t;

/** Where a frame may begin and be in the reader's last extent as a whole; `len` 0: nowhere. */
struct venet_reach {
	uint64_t iova, len;
	uintptr_t va;
};

/**
 * The last extent for frames of up to @p max bytes: one comparison instead of two. Frames in the last
 * bytes of an extent are outside, and are looked up by vbus_memview_ptr().
 */
static inline struct venet_reach
venet_reach(const struct vbus_memcache *mc, uint32_t max)
{
	return (struct venet_reach){mc->iova, mc->len >= max ? mc->len - max + 1 : 0, mc->va};
}

/** As vbus_memview_ptr() for at most @p max bytes, with @p at, which is venet_reach() of @p mc and @p max. */
static __rte_always_inline uint8_t *
venet_reach_ptr(struct venet_reach *at, const struct vbus_memview *view, struct vbus_memcache *mc,
	uint64_t iova, uint32_t len, uint32_t max)
{
	const uint64_t off = iova - at->iova;
	uint8_t *ptr_peer;

	if (likely(off < at->len))
		return (uint8_t *)(at->va + off);
	ptr_peer = vbus_memview_ptr(view, mc, iova, len);
	*at = venet_reach(mc, max);
	return ptr_peer;
}

/**
 * Copy a frame of VENET_FRAME_MIN bytes or more. Small ones go in two parts that overlap, without a loop; larger ones
 * by the C library, which knows this machine's widest registers: DPDK's copy has those of the oldest that it was built for.
 *
 * A frame that is kept lies in its north's memory, and so may lie over the buffer that north names for it: what comes out is
 * north's affair, but nothing here may break. So it is memmove(), which is the same code in the C library.
 */
static __rte_always_inline void
venet_copy(uint8_t *dst, const uint8_t *src, uint32_t len)
{
	if (len - 32 <= 32) {
		memcpy(dst, src, 32);
		memcpy(dst + len - 32, src + len - 32, 32);
	} else if (len - 64 <= 64) {
		memcpy(dst, src, 64);
		memcpy(dst + len - 64, src + len - 64, 64);
	} else {
		memmove(dst, src, len);
	}
}

/**
 * The lines of a frame that is copied next, but for the first one, which has been asked for already. A core finds
 * out by itself where a copy goes on, but for each frame anew, after some lines.
 */
static __rte_always_inline void
venet_prefetch_rest(const uint8_t *src_peer, uint32_t len)
{
	if (len <= VENET_PREFETCH_NEAR)
		return;
	for (uint32_t at = RTE_CACHE_LINE_SIZE; at < VENET_PREFETCH_NEAR; at += RTE_CACHE_LINE_SIZE)
		rte_prefetch0(src_peer + at);
	for (uint32_t at = VENET_PREFETCH_NEAR; at < len; at += RTE_CACHE_LINE_SIZE)
		rte_prefetch1(src_peer + at);
}

/** A raw mbuf becomes the frame; what the pool left in the other fields is right already. */
static __rte_always_inline void
venet_mbuf_copy(
	const struct venet_path *p, struct rte_mbuf *m, const uint8_t *src_peer, uint32_t len)
{
	*(venet_rearm_t *)(void *)&m->rearm_data = p->mbuf_init;
	m->ol_flags = 0;
	m->packet_type = 0;
	m->pkt_len = len;
	m->data_len = (uint16_t)len;
	venet_copy((uint8_t *)m->buf_addr + RTE_PKTMBUF_HEADROOM, src_peer, len);
}

/** Mbufs of a receive burst: taken from the pool in bulk, handed out one by one. */
struct venet_rx_out {
	struct rte_mbuf **pkts;
	uint16_t nb;   /**< room */
	uint16_t used; /**< frames done */
	uint16_t have; /**< mbufs in pkts */
};

/** Get @p want mbufs more, or as many as there are. */
void venet_rx_refill(struct rte_mempool *mp, struct venet_rx_out *out, uint16_t want);

/** The mbuf for the next frame; NULL: the pool is empty (the caller counts). There is room. */
static inline struct rte_mbuf *
venet_rx_next(struct rte_mempool *mp, struct venet_rx_out *out)
{
	if (unlikely(out->used == out->have)) {
		venet_rx_refill(mp, out, 1);
		if (out->used == out->have)
			return NULL;
	}
	return out->pkts[out->used];
}

/**
 * A chain found the pool empty: give back the mbufs that were taken for later frames.
 * @return there were some: try again
 */
bool venet_rx_spare(struct venet_rx_out *out);

/** Where a gather has got to in a list of pieces. */
struct venet_reader {
	const struct vbus_memview *view;
	struct vbus_memcache *mc;
	const struct venet_piece *piece;
	uint32_t left; /**< pieces, this one included */
	uint32_t off;  /**< in this piece */
};

/** Copy @p len bytes out of north's memory and go on. @return 0, -EFAULT */
int venet_read(struct venet_reader *r, void *dst, uint32_t len);
/**
 * Copy a whole frame into the next mbuf of @p out, which is there; it grows by mbufs of the pool
 * where it must.
 * @return 0; -EFAULT: north's memory; -ENOMEM: pool empty; -E2BIG: this pool can never hold it;
 *         on error the mbuf is empty
 */
int venet_rx_gather(struct venet_rxq *q, const struct venet_path *p, struct venet_rx_out *out,
	const struct venet_piece *piece, uint32_t nb_pieces, uint32_t len);
#define VENET_SG_PIECES 256u /**< fragments of the frames of one burst, in all */

/** Frames of one burst, found and looked at. */
struct venet_rx_frames {
	struct venet_frame f[VENET_BURST];
	uint8_t bad[VENET_BURST]; /**< VENET_SG_* */
	struct venet_piece piece[VENET_SG_PIECES];
};
/** What can be wrong with one. */
enum {
	VENET_SG_GOOD,
	VENET_SG_BAD_ADDR,
	VENET_SG_BAD_LEN,
	VENET_SG_BAD
};

/** Copy @p n of them into mbufs. @return how many are done with (q->gso.active: one more has begun) */
uint32_t venet_rx_take(struct venet_rxq *q, const struct venet_path *p,
	const struct venet_rx_frames *b, uint32_t n, struct venet_rx_out *out);
/** Start to cut a frame into mbufs (q->gso). @return 0, -EINVAL, -EFAULT */
int venet_rx_gso_start(
	struct venet_rxq *q, const struct venet_path *p, const struct venet_frame *f);
/** Go on: @return true: the frame is done; false: no room or no mbufs left, call again. */
bool venet_rx_gso_run(struct venet_rxq *q, const struct venet_path *p, struct venet_rx_out *out);

/**
 * Free buffers of north's receive ring, as one burst sees them. With L4RO `ptr` and `len` of an
 * entry are replaced by those of its sg descriptor's first iov.
 */
struct venet_tx_slots {
	struct vbus_ioq_entry e[VENET_BURST];
	uint8_t *dst_peer[VENET_BURST];	       /**< NULL: not in one piece */
	struct venet_sg *sg_peer[VENET_BURST]; /**< L4RO; NULL: a bad descriptor */
	uint32_t max_iov[VENET_BURST];	       /**< L4RO */
	uint32_t nb, used;
};

/** What the buffers of a burst are. */
enum venet_tx_mode {
	VENET_TX_LINEAR,
	VENET_TX_L4RO,
	VENET_TX_POLL,
};

/** Frames to a poll ring one by one, whatever they are. */
uint16_t venet_tx_poll_any(
	struct venet_txq *q, const struct venet_path *p, struct rte_mbuf **pkts, uint16_t nb);
/** The poll ring's buffers as slots. */
void venet_poll_slots(const struct venet_path *p, struct venet_tx_slots *s, uint32_t nb);
void venet_poll_push(const struct venet_path *p, const struct venet_tx_slots *s);
/** The slot at s->used has a frame with requests. */
void venet_poll_meta(
	const struct venet_path *p, struct venet_tx_slots *s, const struct vbus_offload *o);
/**
 * A frame larger than the slot: over several of them. @return 0: it is in slots, of which all but the
 * last are in `used`; -ENOBUFS: not that many slots; -ENOSPC: too
 * many of them; -EFAULT: a bad buffer
 */
int venet_poll_frame(struct venet_txq *q, const struct venet_path *p, struct venet_tx_slots *s,
	const struct rte_mbuf *m, const struct vbus_offload_plan *plan);
/** Write @p len bytes at @p at of the list of pieces, which is long enough. @return 0, -EFAULT */
int venet_scatter(struct venet_txq *q, const struct venet_path *p, const struct venet_piece *piece,
	uint32_t nb, uint32_t at, const uint8_t *src, uint32_t len);

/** Copy a frame into one contiguous place. @return bytes copied, at most @p len */
uint32_t venet_copy_chain(uint8_t *dst, const struct rte_mbuf *m, uint32_t off, uint32_t len);

/** Apply a plan's patches to a contiguous copy of @p len bytes. */
static inline void
venet_patch(uint8_t *dst, uint32_t len, const struct vbus_offload_plan *plan)
{
	uint32_t i;

	for (i = 0; i < plan->nb_patches; i++)
		if (plan->patch[i].off + 2 <= len)
			memcpy(dst + plan->patch[i].off, &plan->patch[i].val, 2);
}

/** Copy to north's memory. @return 0, -EFAULT */
int venet_write(const struct venet_path *p, struct vbus_memcache *mc,
	const struct venet_piece *piece, uint32_t off, const void *src, uint32_t len);
/** L4RO: read the sg descriptors of the peeked entries. */
void venet_l4ro_slots(struct venet_txq *q, const struct venet_path *p, struct venet_tx_slots *s);
/** L4RO: the slot at s->used holds a frame in its first iov: write its sg descriptor. */
void venet_l4ro_commit(struct venet_tx_slots *s, uint32_t len, const struct vbus_offload *o);
/**
 * L4RO: a frame larger than the first iov: continue in pages. @return 0: in the slot, not committed
 * yet to `used`; -ENOSPC: too many pages; -ENOBUFS: not enough pages; -EFAULT: a bad page or buffer
 */
int venet_l4ro_frame(struct venet_txq *q, const struct venet_path *p, struct venet_tx_slots *s,
	const struct rte_mbuf *m, const struct vbus_offload_plan *plan);

#endif /* VENET_INTERNAL_H */
