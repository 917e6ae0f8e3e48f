/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */
#ifndef VBUS_NORTH_H
#define VBUS_NORTH_H

/**
 * @file
 * The north end of the PMD: drives a venet that was found on a link (private to the PMD).
 *
 *     vbus_north_ethdev.c  driver of the bus, ethdev's operations
 *     vbus_north_ctrl.c    a session with the device: open, negotiate, share, link up, and back
 *     vbus_north_layout.c  the memory that is shared: rings, pools, bounce slots
 *     vbus_north_event.c   the device's events, link state
 *     vbus_north_queue.c   queue setup, start and stop, descriptor status and counts
 *     vbus_north_pool.c    which mbuf pools the peer can see
 *     vbus_north_intr.c    receive interrupts
 *     vbus_north_rx.c      receive bursts: linear, and copied
 *     vbus_north_l4ro.c    receive bursts: scattered and large
 *     vbus_north_tx.c      transmit bursts: linear; reaping
 *     vbus_north_sg.c      transmit bursts: scatter-gather with offloads
 *     vbus_north_poll.c    receive bursts on the ring for pollers
 *     vbus_north_poll_tx.c transmit bursts on it
 *     vbus_north_far.c     both on such a ring across a link, whose parts lie near their readers
 *     vbus_north_bounce.c  frames that the peer cannot see are copied
 *     vbus_north_stats.c   basic and extended statistics, dump
 *     vbus_north_regs.c    registers: where the rings stand
 *     vbus_north_secondary.c  ports in a secondary process
 *
 * Threads. A polling thread per queue and direction; it takes no lock and enters the queue's
 * in-burst mark first (vbus_mark.h). Everything else (application threads in ethdev operations, the
 * worker in probe, remove, lost, back and jobs) holds struct north_local's lock. The control thread
 * only queues jobs and writes eventfds.
 *
 * Ownership of mbufs: what a ring or a pool holds belongs to the queue; the session's end
 * (north_ctrl_down()) gives all of it back, after the path was taken away from the polling thread and
 * the device has left the blocks.
 */

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include <rte_mbuf.h>

#include <vbus/venet.h>
#include <vbus/venet_poll.h>

#include "bus_vbus_driver.h"
#include "vbus_ctl.h"
#include "vbus_ioq_north.h"
#include "vbus_mark.h"
#include "vbus_offload.h"
#include "vbus_pmd_common.h"
#include "vbus_poll.h"
#include "vbus_signal.h"

_Static_assert(sizeof(void *) == sizeof(uint64_t), "mbuf pointers travel as 64-bit cookies");

/** The eight bytes of an mbuf from data_off to port, written in one go. */
typedef uint64_t __attribute__((may_alias)) north_rearm_t;

#define NORTH_DESC_MIN	 64u
#define NORTH_DESC_MAX	 IOQ_RING_COUNT_ACCEPTED
#define NORTH_DESC_DFLT	 512u
#define NORTH_CHUNK	 32u /**< entries handled at a time in a burst */
#define NORTH_FRAME_MIN	 RTE_ETHER_HDR_LEN
#define NORTH_EVSIZE_MAX 256u
/** iovs of a descriptor that we send: the largest frame in usual mbufs; ten lines. */
#define NORTH_TX_IOVS 38u
#define NORTH_TX_SLOT VENET_SG_SIZE(NORTH_TX_IOVS)
/** iovs of a descriptor that we receive: the largest frame in the smallest buffers taken. */
#define NORTH_RX_IOVS_MAX   64u
#define NORTH_BOUNCE_SLOTS  256u       /**< at most */
#define NORTH_BOUNCE_BYTES  (1u << 20) /**< of all of them, at most */
#define NORTH_BOUNCE_SG_LEN 4096u      /**< 17 of them hold the largest frame */
#define NORTH_FAR_BOUNCE    64u	       /**< of those, on a placed ring: plain frames have others */
#define NORTH_FAR_SG_LEN    1728u      /**< the same with 38; the arenas of a window are small */
#define NORTH_POOLS	    64u
#define NORTH_QUEUES_MAX    16u /**< pairs; version 2 rings have one */

/** Which burst runs on a queue; 0: none. */
enum north_rx_path {
	NORTH_RX_OFF,
	NORTH_RX_LINEAR,
	NORTH_RX_COPY, /**< the pool is invisible to the peer: own buffers, copied */
	NORTH_RX_L4RO,
	NORTH_RX_POLL, /**< from here on: rings for pollers */
	NORTH_RX_FAR,  /**< and near their readers */
};
enum north_tx_path {
	NORTH_TX_OFF,
	NORTH_TX_LINEAR,
	NORTH_TX_SG,
	NORTH_TX_POLL,
	NORTH_TX_FAR,
};

/* X(field, "xstat name"): written by the polling thread of that direction only. */
#define NORTH_RX_STATS(X)                        \
	X(packets, "packets")                    \
	X(bytes, "bytes")                        \
	X(bursts, "bursts")                      \
	X(multi_seg, "multi_segment_packets")    \
	X(csum_none, "checksum_offload_packets") \
	X(csum_done, "checksums_completed")      \
	X(lro, "lro_packets")                    \
	X(copied, "packets_copied")              \
	X(empty, "buffers_returned_empty")       \
	X(nombuf, "refill_no_mbuf")              \
	X(page_nombuf, "page_refill_no_mbuf")    \
	X(signals, "signals_sent")               \
	X(drop_len, "drop_bad_length")           \
	X(drop_mtu, "drop_over_mtu")             \
	X(drop_sg, "drop_bad_sg")                \
	X(drop_page, "drop_bad_page")            \
	X(drop_offload, "drop_bad_offload")      \
	X(drop_nombuf, "drop_no_mbuf_for_copy")  \
	X(bad_number, "bad_buffer_numbers")
#define NORTH_TX_STATS(X)                      \
	X(packets, "packets")                  \
	X(bytes, "bytes")                      \
	X(bursts, "bursts")                    \
	X(multi_seg, "multi_segment_packets")  \
	X(csum, "checksum_offload_packets")    \
	X(csum_done, "checksums_completed")    \
	X(tso, "tso_packets")                  \
	X(copied, "packets_copied")            \
	X(ring_full, "ring_full")              \
	X(bounce_full, "copy_buffers_used_up") \
	X(signals, "signals_sent")             \
	X(drop_len, "drop_bad_length")         \
	X(drop_size, "drop_too_large_to_copy") \
	X(drop_offload, "drop_bad_offload")    \
	X(drop_tso, "drop_tso_not_granted")    \
	X(kept_lost, "kept_not_returned")      \
	X(bad_return, "bad_returns")

#define NORTH_STAT_FIELD(field, name) uint64_t field;
#define NORTH_STAT_COUNT(field, name) +1
struct north_rx_stats {
	NORTH_RX_STATS(NORTH_STAT_FIELD)
};
struct north_tx_stats {
	NORTH_TX_STATS(NORTH_STAT_FIELD)
};
#define NORTH_NB_RX_STATS (0 NORTH_RX_STATS(NORTH_STAT_COUNT))
#define NORTH_NB_TX_STATS (0 NORTH_TX_STATS(NORTH_STAT_COUNT))

/** Pools whose memory the peer can see. Written by the control side, read by bursts. */
struct north_pools {
	_Atomic uint32_t epoch; /**< moves with every change: bursts forget the pool they know */
	_Atomic(struct rte_mempool *) visible[NORTH_POOLS];
};

struct north_rxq {
	/* Every burst reads this; only mark is written (by the polling thread). */
	struct vbus_mark mark;
	_Atomic uint32_t path; /**< enum north_rx_path; the control side publishes it */
	struct vbus_signal sig;
	const struct rte_vbus_shm *shm;
	struct rte_mempool *pool;
	uint64_t mbuf_init; /**< rearm_data of a received mbuf */
	uint32_t room;	    /**< bytes of a buffer, after the headroom */
	uint32_t frame_max; /**< MTU and headers */
	uint32_t refill_at; /**< buffers missing before a refill is worth it */
	uint32_t addr_off;  /**< of the buffer's address in an mbuf */
	bool csum_app;	    /**< the application takes unfinished checksums */
	bool lro_app;	    /**< and large frames */
	bool combining;	    /**< FAR: as of north_txq */

	/* The polling thread's. */
	struct vbus_ioq_north ring VBUS_CACHE_ALIGNED;
	uint8_t *copy_base; /**< COPY, FAR: buffers, one per entry */
	uint64_t copy_addr; /**< their north address */
	uint32_t copy_slot; /**< bytes of one */
	/* L4RO */
	uint8_t *sg_base; /**< descriptors, one per entry */
	uint32_t sg_slot; /**< bytes of one */
	uint32_t nb_iovs; /**< most fragments of a frame */
	uint32_t nb_page_free;
	struct vbus_ioq_north pages;
	/* POLL */
	struct vbus_poll_north poll;
	struct rte_mbuf **sw; /**< per entry, with NEWEST per number: the mbuf that south fills */
	uint16_t *
		ids; /**< NEWEST: numbers of which south has no buffer (there sw is NULL), else NULL */
	uint32_t nb_ids;
	uint32_t plain_max;	      /**< longest frame in one buffer that needs no second look */
	bool requests;		      /**< chains and requests were agreed on */
	struct rte_mbuf **heads;      /**< per entry: its first buffer, or NULL */
	struct rte_mbuf **page_mbufs; /**< per page number: south may write it, or NULL */
	uint16_t *page_free;	      /**< numbers of the others */
	struct north_rx_stats stats VBUS_CACHE_ALIGNED;

	/* The control side's. */
	_Atomic bool intr_on VBUS_CACHE_ALIGNED; /**< the application waits for interrupts */
	_Atomic uint32_t side; /**< threads in an interrupt switch, beside the poller */
	int intr_fd;
	uint32_t nb_desc;
	uint16_t port_id;
	bool deferred;
	uint64_t base[VBUS_PMD_STATS_MAX]; /**< counters at the last reset */
	void *arrays;			   /**< one allocation: cookies, heads, pages */
	uint32_t nb_pages;
} VBUS_CACHE_ALIGNED;

struct north_txq {
	struct vbus_mark mark;
	_Atomic uint32_t path; /**< enum north_tx_path */
	struct vbus_signal sig;
	const struct rte_vbus_shm *shm;
	const struct north_pools *pools;
	uint64_t slow_flags; /**< ol_flags that leave the straight path */
	uint32_t addr_off;
	uint32_t reap_at; /**< entries in use before a burst looks for finished ones */
	bool fast_free;
	bool sg;	 /**< chains and requests were agreed on */
	bool far;	 /**< the ring is a placed one */
	bool combining;	 /**< FAR: what is written there waits in write-combining buffers */
	bool tso4, tso6; /**< granted */

	struct vbus_ioq_north ring VBUS_CACHE_ALIGNED;
	struct rte_mempool *known_pool; /**< visible, seen last */
	uint32_t known_epoch;
	uint32_t nb_bounced; /**< entries in flight that hold bounce slots */
	/* POLL */
	struct vbus_poll_north poll;
	uint64_t *sw;	  /**< cookies per entry, of a frame with its last one; else 0 */
	uint32_t nb_void; /**< entries in flight whose cookie is 0 */
	/* KEEP */
	uint32_t ret_pos;   /**< of the return ring */
	uint32_t nb_out;    /**< frames that south has kept */
	uint32_t nb_marked; /**< entries whose `out` is not 0 */
	uint8_t *out;	    /**< per entry: NORTH_OUT_* */
	/* SG */
	uint8_t *sg_base;
	uint64_t sg_ptr; /**< what desc.ptr of slot 0 says: 0 with PMTD, else an address */
	/* bounce slots: a list through bounce_next; UINT16_MAX ends it */
	uint8_t *bounce_base;
	uint64_t bounce_addr;
	uint32_t bounce_len;
	uint16_t bounce_free;
	uint16_t nb_bounce_free, nb_bounce; /**< slots: free, of all */
	uint16_t *bounce_next;
	/* FAR: a slot per entry of the ring, for plain frames */
	uint8_t *slots;
	uint64_t slots_addr;
	uint32_t slot_len;
	struct north_tx_stats stats VBUS_CACHE_ALIGNED;

	uint32_t nb_desc VBUS_CACHE_ALIGNED;
	uint16_t port_id;
	bool deferred;
	uint64_t base[VBUS_PMD_STATS_MAX];
	void *arrays;
} VBUS_CACHE_ALIGNED;

#define NORTH_OUT_KEPT 1u /**< south is done with the entry, but not with its frame */
#define NORTH_OUT_BACK 4u /**< given back before we have seen that the entry is done */
#define NORTH_OUT_NOP  2u /**< an empty entry is in flight there */

/** Where things lie in the port's zone, bytes. */
struct north_layout {
	size_t rx_poll[NORTH_QUEUES_MAX], tx_poll[NORTH_QUEUES_MAX], bounce[NORTH_QUEUES_MAX];
	size_t tx_slots[NORTH_QUEUES_MAX];
	/* FAR: those lie in the far zone, and these near us */
	size_t rx_back[NORTH_QUEUES_MAX], tx_back[NORTH_QUEUES_MAX];
	size_t rx_copy[NORTH_QUEUES_MAX]; /**< COPY too: the first */
	size_t rx_ring, tx_ring, ev_ring, ev_pool, rx_pool, page_ring, tx_pool;
	size_t total, far_total;
};

/** What a session agreed on. */
struct north_session {
	uint32_t sg, evq, l4ro; /**< granted bits of the groups */
	uint32_t ev_size, ev_pool_id, ev_ring_id, l4ro_pool_id, l4ro_ring_id, pmtd_id;
	uint32_t poll_rx_id[NORTH_QUEUES_MAX], poll_tx_id[NORTH_QUEUES_MAX];
	enum north_rx_path rx;
	enum north_tx_path tx;
	bool keep;   /**< south may keep frames */
	bool newest; /**< south fills the newest buffer first */
};

/** dev_private: rte memory. Under struct north_local's lock, but what bursts read. */
struct north_port {
	uint16_t port_id;
	uint16_t mtu;
	bool started;
	bool linked;		     /**< blocks are shared and LINKUP is done */
	bool carrier;		     /**< LINKSTATE said up */
	bool removed;		     /**< DEVDROP came */
	bool want_poll;		     /**< devarg `ring` */
	bool told_pairs;	     /**< that they cannot be had, since the last start */
	uint32_t caps_sg, caps_l4ro; /**< what south offered at probe */
	uint64_t rx_offloads, tx_offloads;
	struct rte_ether_addr mac;
	struct north_session s;
	struct north_layout lay;
	uint8_t *zone, *far; /**< near us; near the peer, on a link where that is far */
	size_t zone_len, far_len;
	uint32_t zone_number; /**< zones before it that frames are out of: never used again */
	struct north_rxq *rxq[NORTH_QUEUES_MAX];
	struct north_txq *txq[NORTH_QUEUES_MAX];
	uint16_t max_pairs; /**< what south offered at probe */
	uint16_t nb_pairs; /**< of the session: queues of either kind, of which there are as many */
	struct vbus_ioq_north evq;
	struct vbus_signal ev_sig;
	uint64_t *ev_cookies;
	struct north_pools pools;
};

enum north_block {
	NORTH_SHM_RX,
	NORTH_SHM_TX,
	NORTH_SHM_EV_RING,
	NORTH_SHM_EV_POOL,
	NORTH_SHM_RX_POOL,
	NORTH_SHM_PAGE_RING,
	NORTH_SHM_TX_POOL,
	NORTH_SHM_POLL, /**< of pair 1 on: receive, transmit */
	NORTH_NB_SHM = NORTH_SHM_POLL + 2 * (NORTH_QUEUES_MAX - 1),
};

/** process_private: what only this process can use. Freed by the worker, behind its last job. */
struct north_local {
	pthread_mutex_t
		lock; /**< application threads and the worker meet here; outer to the control lock */
	struct rte_eth_dev *eth;
	struct north_port *port; /**< NULL: closed */
	struct rte_vbus_device *vdev;
	struct rte_vbus_shm shm[NORTH_NB_SHM];
	struct vbus_ctl_job event_job, retry_job, free_job;
	struct vbus_ctl_timer retry_timer;
	struct rte_intr_handle *intr;
	int intr_fd[NORTH_QUEUES_MAX];
	uint32_t retry_ms;
	TAILQ_ENTRY(north_local) next;
};

static inline struct north_port *
north_port_of(const struct rte_eth_dev *dev)
{
	return dev->data->dev_private;
}

/** The blocks of a pair's rings. */
static inline enum north_block
north_shm_rx(uint32_t pair)
{
	return pair == 0 ? NORTH_SHM_RX : NORTH_SHM_POLL + 2 * (pair - 1);
}
static inline enum north_block
north_shm_tx(uint32_t pair)
{
	return pair == 0 ? NORTH_SHM_TX : NORTH_SHM_POLL + 2 * (pair - 1) + 1;
}

/** Bytes of the block of a ring for pollers that is not a placed one. @param kind  VENET_POLL_* */
static inline uint64_t
north_poll_size(const struct north_port *p, uint32_t kind, uint32_t count)
{
	if (kind == VENET_POLL_TX && p->s.keep)
		return VENET_POLL_TX_KEEP_SIZE(count);
	if (kind == VENET_POLL_RX && p->s.newest)
		return VENET_POLL_RX_NEWEST_SIZE(count);
	return vbus_poll_size(kind, count);
}

static inline struct north_local *
north_local_of(const struct rte_eth_dev *dev)
{
	return dev->process_private;
}

#define NORTH_LOG(level, l, fmt, ...) PMD_LOG(level, (l)->vdev->full_name, fmt, ##__VA_ARGS__)

/* ---- vbus_north_ctrl.c; lock held --------------------------------------------------------------- */

/** Open, ask for capabilities and MAC, close again. At probe. @return 0 or negative errno. */
int north_ctrl_probe(struct north_local *l);
/**
 * Begin a session: open, negotiate, share, LINKUP; bursts run when it returns 0. On failure nothing
 * is left. @return 0; -ENODEV, -ENOTCONN, -ETIMEDOUT: the peer is not there (now); others: it refused.
 */
int north_ctrl_up(struct north_local *l);
/** End it: bursts are out, south has left, mbufs are given back. @p peer_there: LINKDOWN and DEVCLOSE. */
void north_ctrl_down(struct north_local *l, bool peer_there);
/** Publish the bursts that the state allows: after a change of session, carrier or queue state. */
void north_ctrl_publish(struct north_local *l);
/** Does a whole frame fit one of the application's buffers, in every queue? */
bool north_fits_mbuf(const struct north_port *p);
/** Every queue is set up that the port has by its configuration. */
bool north_queues_there(const struct north_port *p);
/** Try again in a while, when the port is started and the peer is there. */
void north_ctrl_retry(struct north_local *l);
/** Begin a session when a started port has none. @return the application has to be told of its link. */
bool north_ctrl_again(struct north_local *l);
/** Jobs and timers of a port: set up; no more of them (any lock state). */
void north_ctrl_init(struct north_local *l);
void north_ctrl_fini(struct north_local *l);

/* ---- vbus_north_layout.c; lock held --------------------------------------------------------------- */

/** Room in the zone for the session's rings and pools, all of them formatted, receive prefilled. */
int north_layout_build(struct north_local *l);
/** The zone is not used again: a peer may look at it. The next session has another one. */
void north_layout_abandon(struct north_port *p);
/** Forget the zone. No session. */
void north_layout_free(struct north_local *l);

/* ---- vbus_north_event.c ----------------------------------------------------------------------- */

/** Job: take the device's events. Worker. */
void north_event_job(struct vbus_ctl_job *job);
/** Take what events there are, lock held. @return there are more: run the job again. */
bool north_event_poll(struct north_local *l);
/** Control thread: there are events. */
void north_event_notify(struct rte_vbus_shm *shm);
/** Lock held: set ethdev's link. @return the application has to be told (north_event_lsc()). */
bool north_link_set(struct north_local *l, bool up);
/** Lock NOT held: call back. */
void north_link_lsc(struct rte_eth_dev *dev);

/* ---- vbus_north_queue.c: ethdev operations ---------------------------------------------------- */

int north_rx_queue_setup(struct rte_eth_dev *dev, uint16_t qid, uint16_t nb_desc,
	unsigned int socket, const struct rte_eth_rxconf *conf, struct rte_mempool *pool);
int north_tx_queue_setup(struct rte_eth_dev *dev, uint16_t qid, uint16_t nb_desc,
	unsigned int socket, const struct rte_eth_txconf *conf);
void north_rx_queue_release(struct rte_eth_dev *dev, uint16_t qid);
void north_tx_queue_release(struct rte_eth_dev *dev, uint16_t qid);
int north_rx_queue_start(struct rte_eth_dev *dev, uint16_t qid);
int north_rx_queue_stop(struct rte_eth_dev *dev, uint16_t qid);
int north_tx_queue_start(struct rte_eth_dev *dev, uint16_t qid);
int north_tx_queue_stop(struct rte_eth_dev *dev, uint16_t qid);
void north_rxq_info(struct rte_eth_dev *dev, uint16_t qid, struct rte_eth_rxq_info *info);
void north_txq_info(struct rte_eth_dev *dev, uint16_t qid, struct rte_eth_txq_info *info);
int north_rx_burst_mode(struct rte_eth_dev *dev, uint16_t qid, struct rte_eth_burst_mode *mode);
int north_tx_burst_mode(struct rte_eth_dev *dev, uint16_t qid, struct rte_eth_burst_mode *mode);
int north_monitor_addr(void *rxq, struct rte_power_monitor_cond *cond);
vbus_queue_count_t north_rx_queue_count(void *rxq);
int north_tx_queue_count(void *txq);
int north_rx_desc_status(void *rxq, uint16_t offset);
int north_tx_desc_status(void *txq, uint16_t offset);

/* ---- vbus_north_pool.c ------------------------------------------------------------------------ */

/** Can the peer see all of the pool's memory? Not on a polling thread. */
bool north_pool_visible(struct rte_vbus_device *vdev, struct rte_mempool *mp);
/** Look at every pool of the process again. Lock held. */
void north_pools_scan(struct north_local *l);
/** Follow pools as they come and go. */
int north_pools_watch(struct north_local *l);
void north_pools_unwatch(struct north_local *l);
/** A burst met another pool: is it a visible one? */
bool north_pools_find(const struct north_pools *p, const struct rte_mempool *mp);

/* ---- vbus_north_intr.c ------------------------------------------------------------------------ */

int north_intr_init(struct north_local *l);
void north_intr_fini(struct north_local *l);
int north_rx_intr_enable(struct rte_eth_dev *dev, uint16_t qid);
int north_rx_intr_disable(struct rte_eth_dev *dev, uint16_t qid);
/** Control thread: south signalled the receive ring. */
void north_intr_notify(struct rte_vbus_shm *shm);
/** A session began: when the application waits, south has to know. Lock held, path published. */
void north_intr_resume(struct north_rxq *q);

/* ---- secondary processes, registers: ethdev operations ------------------------------------------ */

int north_infos(struct rte_eth_dev *dev, struct rte_eth_dev_info *info);
int north_is_removed(struct rte_eth_dev *dev);
/** In a secondary process: the port as it can be used there. @return 0 or negative errno. */
int north_secondary_attach(struct rte_vbus_device *vdev);
int north_get_reg(struct rte_eth_dev *dev, struct rte_dev_reg_info *info);

/* ---- bursts ------------------------------------------------------------------------------------ */

uint16_t north_rx_burst(void *rxq, struct rte_mbuf **pkts, uint16_t nb);
uint16_t north_tx_burst(void *txq, struct rte_mbuf **pkts, uint16_t nb);
int north_tx_done_cleanup(void *txq, uint32_t free_cnt);
/** Variants; in the mark. */
uint16_t north_rx_linear(struct north_rxq *q, struct rte_mbuf **pkts, uint16_t nb);
uint16_t north_rx_copy(struct north_rxq *q, struct rte_mbuf **pkts, uint16_t nb);
uint16_t north_rx_l4ro(struct north_rxq *q, struct rte_mbuf **pkts, uint16_t nb);
uint16_t north_tx_sg(struct north_txq *q, struct rte_mbuf **pkts, uint16_t nb);
uint16_t north_rx_poll(struct north_rxq *q, struct rte_mbuf **pkts, uint16_t nb);
uint16_t north_tx_poll(struct north_txq *q, struct rte_mbuf **pkts, uint16_t nb);
uint16_t north_rx_far(struct north_rxq *q, struct rte_mbuf **pkts, uint16_t nb);
uint16_t north_tx_far(struct north_txq *q, struct rte_mbuf **pkts, uint16_t nb);
/** Frames of any kind on a ring for pollers. @return taken (sent, or dropped and counted) */
uint16_t north_tx_poll_any(struct north_txq *q, struct rte_mbuf **pkts, uint16_t nb);
/** A frame from peer-visible memory into a chain of mbufs. NULL: the pool is empty. */
struct rte_mbuf *north_rx_copy_frame(struct north_rxq *q, const uint8_t *src, uint32_t len);
/** Raw mbufs of the queue's pool; as many of @p n as there are, failures counted. */
uint32_t north_rx_alloc(struct north_rxq *q, struct rte_mbuf **m, uint32_t n, uint64_t *nb_failed);
/** Post buffers for as much as is missing (also the first fill). @return buffers posted. */
uint32_t north_rx_refill(struct north_rxq *q);
uint32_t north_rx_copy_refill(struct north_rxq *q);
uint32_t north_l4ro_refill(struct north_rxq *q);
void north_l4ro_refill_pages(struct north_rxq *q);
uint32_t north_far_refill(struct north_rxq *q);
/** Format the placed rings and bind to them. @param back_addr  north address of south's area */
int north_far_build_rx(struct north_port *p, uint32_t pair, uint64_t back_addr);
int north_far_build_tx(struct north_port *p, uint32_t pair, uint64_t back_addr);
/** @p least  missing buffers that are worth a refill, 1 or more */
uint32_t north_poll_refill(struct north_rxq *q, uint32_t least);
/** Flags of a received frame, or the work they ask for. False: drop, counted. */
bool north_rx_offload(struct north_rxq *q, const struct vbus_offload *o, struct rte_mbuf *m);
/** Take back up to @p n finished entries, free what they held. @return entries taken. */
uint32_t north_tx_reap(struct north_txq *q, uint32_t n);
uint32_t north_poll_reap(struct north_txq *q, uint32_t n);
/** Free what cookies stand for; 0 for nothing. @return how many were 0 */
uint32_t north_tx_free_mixed(struct north_txq *q, const uint64_t *cookies, uint32_t n);
/** A frame that is not posted as it lies: @return 1: @p e is filled in; 0: dropped, counted; -ENOBUFS */
int north_tx_linear_slow(struct north_txq *q, struct rte_mbuf *m, struct vbus_ioq_entry *e);
/** What an sg descriptor holds; a slot of the pool, or one on its way to a poll ring. */
struct north_sg_slot {
	struct venet_sg head;
	struct venet_iov iov[NORTH_TX_IOVS];
};
/** A frame's fragments and requests into @p s. @return as north_tx_linear_slow() */
int north_sg_frame(
	struct north_txq *q, struct rte_mbuf *m, struct north_sg_slot *s, uint64_t *cookie);
/** Give back everything the queue holds; nobody touches it any more. */
void north_rx_drain(struct north_rxq *q);
void north_tx_drain(struct north_txq *q);
void north_poll_rx_drain(struct north_rxq *q);
void north_poll_tx_drain(struct north_txq *q);

/* ---- vbus_north_keep.c: entries that south may keep (r.kept is there) ----------------------------- */

/** May any of these entries need north_kept_free_run()? */
bool north_kept_any(const struct north_txq *q, uint32_t idx, uint32_t n);
/** Free @p n <= NORTH_CHUNK entries from @p idx on, in one piece. @p believe  but those that south keeps */
void north_kept_free_run(struct north_txq *q, uint32_t idx, uint32_t n, bool believe);
/** Free what came back. */
void north_kept_reap(struct north_txq *q);
/**
 * Pass entries whose frames are out with empty ones, so that @p need free ones come next.
 * @return free ones that come next, up to @p want; below @p need: the ring is full
 */
uint32_t north_kept_pass(struct north_txq *q, uint32_t need, uint32_t want);
/** No burst runs: take what south is done with. @return frames that are still out */
uint32_t north_kept_settle(struct north_txq *q);
/**
 * The session has ended, and was settled. @p gone  the peer has no memory of ours any more: all is freed
 * @param[out] zone  some of it lies in the port's zone
 * @return frames whose memory is not to be used again
 */
uint32_t north_kept_end(struct north_txq *q, bool gone, bool *zone);

/* ---- vbus_north_bounce.c ----------------------------------------------------------------------- */

#define NORTH_BOUNCE_END UINT16_MAX
/** A cookie of the transmit ring that names bounce slots instead of an mbuf. */
#define NORTH_COOKIE_BOUNCE(slot) (((uint64_t)(slot) << 1) | 1u)

void north_bounce_format(
	struct north_txq *q, uint8_t *base, uint64_t addr, uint32_t len, uint16_t nb);
/** Copy a frame into slots. @return first slot; -ENOBUFS: none free (later), -EMSGSIZE: never fits. */
int north_bounce_copy(struct north_txq *q, const struct rte_mbuf *m);
void north_bounce_put(struct north_txq *q, uint64_t cookie);

/* ---- vbus_north_stats.c: ethdev operations ---------------------------------------------------- */

int north_stats_get(struct rte_eth_dev *dev, VBUS_STATS_GET_ARGS);
int north_stats_reset(struct rte_eth_dev *dev);
int north_xstats_names(
	struct rte_eth_dev *dev, struct rte_eth_xstat_name *names, unsigned int size);
int north_xstats_get(struct rte_eth_dev *dev, struct rte_eth_xstat *xstats, unsigned int size);
int north_priv_dump(struct rte_eth_dev *dev, FILE *file);

/* ---- shared by the bursts ------------------------------------------------------------------------ */

/** A buffer's north address, at its first byte. */
static inline uint64_t
north_mbuf_addr(const struct rte_mbuf *m, uint32_t addr_off)
{
	return *(const uint64_t *)((const char *)m + addr_off);
}

/** Can the frame be posted as it lies? The pool seen last answers for nearly all. */
static inline bool
north_tx_is_straight(const struct north_txq *q, const struct rte_mbuf *m)
{
	return m->pool == q->known_pool && m->nb_segs == 1 && (m->ol_flags & q->slow_flags) == 0 &&
	       m->data_len >= NORTH_FRAME_MIN;
}

/** A raw mbuf becomes a received segment; what the pool left in the other fields is right already. */
static inline void
north_rx_fill(const struct north_rxq *q, struct rte_mbuf *m, uint32_t len)
{
	*(north_rearm_t *)(void *)&m->rearm_data = q->mbuf_init;
	m->ol_flags = 0;
	m->packet_type = 0;
	m->pkt_len = len;
	m->data_len = (uint16_t)len;
}

/**
 * Tell south that entries moved, when it asked for that. A south that polls costs one load and no
 * fence. One that is just about to sleep can miss this burst: it looks again after a bounded time
 * (doc/abi.md 7.2), as it has to for every north; vbus_signal_inject() has the fence of its own.
 */
static inline void
north_signal(const struct vbus_signal *sig, const struct rte_vbus_shm *shm, uint64_t *nb_signals)
{
	if (likely(!vbus_signal_is_wanted(sig)))
		return;
	if (vbus_signal_inject(sig)) {
		rte_vbus_signal(shm);
		(*nb_signals)++;
	}
}

#endif /* VBUS_NORTH_H */
