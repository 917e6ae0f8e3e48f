/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */
#ifndef VBUS_VENET_H
#define VBUS_VENET_H

/**
 * @file
 * The venet class, south end: the device, its control functions and its burst functions (doc/abi.md
 * section 5). The data path is a queue object that any polling program drives (DECISIONS 12): the
 * PMD's south end is a thin ethdev over it, vbus-dp polls it directly.
 *
 * Words are south's: *rx* takes frames from north (north's transmit ring), *tx* gives frames to north
 * (north's receive ring).
 */

#include <stdbool.h>
#include <stdint.h>

#include <rte_ether.h>
#include <rte_mbuf.h>

struct vbus_device;
struct vbus_venet;

/** Numbers of the shared blocks on the wire: 0 and 1 are the ABI's, the others what the queries answer. */
#define VBUS_VENET_BLOCK_RX	   0u /**< north's receive ring */
#define VBUS_VENET_BLOCK_TX	   1u /**< north's transmit ring */
#define VBUS_VENET_BLOCK_TX_POOL   2u /**< PMTDQUERY: transmit sg descriptors */
#define VBUS_VENET_BLOCK_EVENTS	   3u /**< EVQQUERY dpid: event pool */
#define VBUS_VENET_BLOCK_EVENTQ	   4u /**< EVQQUERY qid: event ring */
#define VBUS_VENET_BLOCK_L4RO_POOL 5u /**< L4ROQUERY dpid: receive sg descriptors */
#define VBUS_VENET_BLOCK_PAGES	   6u /**< L4ROQUERY pqid: page ring */
#define VBUS_VENET_BLOCK_POLL_RX   7u /**< POLLQUERY rx_id: north's receive ring for pollers */
#define VBUS_VENET_BLOCK_POLL_TX   8u /**< POLLQUERY tx_id: its transmit ring */
/** Rings for pollers of pair @p pair; POLL_RX and POLL_TX above are pair 0's. */
#define VBUS_VENET_BLOCK_POLL(pair, kind) (VBUS_VENET_BLOCK_POLL_RX + 2u * (pair) + (kind))

#define VBUS_VENET_PAIRS_MAX 16u

#define VBUS_VENET_MTU_MIN 68u
#define VBUS_VENET_MTU_MAX 9600u

/** Arguments of vbus_device_create(name, "venet", &args). */
struct vbus_venet_args {
	struct rte_ether_addr mac; /**< all zero: random, locally administered */
	uint16_t mtu;		   /**< 0: 1500 */
	uint16_t nb_queues;	   /**< pairs offered to north, 0: 1; v2 rings have one */
	/**
	 * Received frames of at least so many bytes may be mbufs with buffers in north's memory
	 * (RTE_MBUF_F_EXTERNAL, no IO address), where north agrees: it can change them while they are read. 0: all are
	 * copied. Not behind a keeper: another process cannot go on with such a device (ADR-0021).
	 */
	uint32_t keep;
};

/** Who polls the venet: called back by the control side. */
struct vbus_venet_user {
	/** North took the link up or down (or the peer went). Control lock held: only note it, e.g. queue a job. */
	void (*link)(void *arg, bool up);
	/** When it returns, no polling thread runs a burst that began before. Control lock held.
	 *  NULL: nobody polls. vbus_mark_wait() in the PMD, RCU in vbus-dp. Every function of the
	 *  section "polled" below counts as a burst: each must run inside the mark. */
	void (*quiesce)(void *arg);
	/** A sleeping receiver: frames wait in rx queue @p queue (north signalled). Control lock held. May be NULL. */
	void (*rx_wake)(void *arg, uint16_t queue);
	void *arg;
	/**
	 * Queues that are polled, 0: 1; not more than the device has pairs. North may have more pairs than
	 * that: a queue then serves every nb-th one, and frames to north are spread over those by flow. It may have
	 * fewer: rx queues above have nothing, tx queues above share a pair.
	 */
	uint16_t nb_rx, nb_tx;
	struct rte_mempool *const *rx_pools; /**< per rx queue; NULL: bind's for all */
};

/** The venet behind a device, NULL when it is of another class. */
struct vbus_venet *vbus_venet_of(struct vbus_device *dev);

/**
 * Bind the polling side. With @p user NULL: unbind; returns after a last quiesce. Control lock held.
 * While none is bound, or it is stopped (vbus_venet_set_ready()), LINKUP succeeds but north gets
 * LINKSTATE 0. @p rx_pool NULL: nothing is received.
 * @return 0, -EBUSY: another one polls it.
 */
int vbus_venet_bind(
	struct vbus_venet *v, const struct vbus_venet_user *user, struct rte_mempool *rx_pool);
/** The polling side is started (true) or stopped (false: returns after quiesce). North's carrier follows it. */
void vbus_venet_set_ready(struct vbus_venet *v, bool ready);
/** What the polling side takes unfinished from rx; the rest is completed in software before it is handed out. */
#define VBUS_VENET_RX_CSUM \
	1u		     /**< frames with L4 checksum not filled in (marked RX_L4_CKSUM_NONE) */
#define VBUS_VENET_RX_LRO 2u /**< frames larger than the MTU with segment size (marked RX_LRO) */
void vbus_venet_set_rx_accept(struct vbus_venet *v, uint32_t flags);
void vbus_venet_set_mtu(struct vbus_venet *v, uint16_t mtu);
/**
 * Frames to north are copied by channel @p vchan of the engine @p id (rte_dmadev, started, nobody else's),
 * where they go across a link; -1: by the processor. Control lock held, not ready.
 */
void vbus_venet_set_dma(struct vbus_venet *v, int16_t id, uint16_t vchan);
uint16_t vbus_venet_mtu(const struct vbus_venet *v);
void vbus_venet_mac(const struct vbus_venet *v, struct rte_ether_addr *mac);
int vbus_venet_set_mac(struct vbus_venet *v, const struct rte_ether_addr *mac);
/** Is the link up: north called LINKUP, memory is there, the polling side is ready. Any thread. */
bool vbus_venet_link(const struct vbus_venet *v);

/* ---- polled by one thread each (rx and tx may be two threads); no lock ------------------------- *
 * All of it between vbus_mark_enter() and _leave(), or what else the user's quiesce() waits for.
 * A burst handles at most 64 frames; call again for more.
 */

/**
 * Take up to @p nb frames that north sent. Copies each once into mbufs of the bound pool (chained where
 * a frame is larger than an mbuf).
 * @return number of mbufs in @p pkts, 0 when the link is down.
 */
uint16_t vbus_venet_rx_burst(
	struct vbus_venet *v, uint16_t queue, struct rte_mbuf **pkts, uint16_t nb);
/**
 * Give up to @p nb frames to north; copies each once into north's buffers; the mbufs taken are freed.
 * Offload requests in ol_flags are passed on when north can take them, completed in software otherwise.
 * @return number taken (sent or dropped with a counted reason); the rest found no buffer. Link down: 0.
 */
uint16_t vbus_venet_tx_burst(
	struct vbus_venet *v, uint16_t queue, struct rte_mbuf **pkts, uint16_t nb);
/**
 * A look at rx queue 0 is near: prefetch what one that finds nothing needs. Each step needs what the one before has
 * brought, so there should be some time between them.
 * @param step  0 to 2
 */
void vbus_venet_rx_ahead(struct vbus_venet *v, uint32_t step);
/** Frames waiting in rx / free north buffers for tx, bounded scan. Polling thread of that direction. */
uint32_t vbus_venet_rx_count(struct vbus_venet *v, uint16_t queue);
uint32_t vbus_venet_tx_free(struct vbus_venet *v, uint16_t queue);
/** Ask for / give up wake-ups (rx_wake) when north sends. enable: @return true: frames are there already. */
bool vbus_venet_rx_intr_enable(struct vbus_venet *v, uint16_t queue);
void vbus_venet_rx_intr_disable(struct vbus_venet *v, uint16_t queue);

/* ---- statistics -------------------------------------------------------------------------------- */

/** X(field, "xstat name"): one writer each (the polling thread of that direction). Every drop has a reason. */
#define VBUS_VENET_RX_STATS(X)                \
	X(packets, "packets")                 \
	X(bytes, "bytes")                     \
	X(bursts, "bursts")                   \
	X(multi_seg, "multi_segment_packets") \
	X(csum_done, "checksums_completed")   \
	X(gso_done, "packets_segmented")      \
	X(nombuf, "nombuf_deferrals")         \
	X(drop_addr, "drop_bad_address")      \
	X(drop_len, "drop_bad_length")        \
	X(drop_sg, "drop_bad_sg")             \
	X(drop_offload, "drop_bad_offload")   \
	X(drop_nombuf, "drop_no_mbuf")        \
	X(signals, "signals_sent")            \
	X(kept, "packets_kept")
#define VBUS_VENET_TX_STATS(X)                 \
	X(packets, "packets")                  \
	X(bytes, "bytes")                      \
	X(bursts, "bursts")                    \
	X(multi_seg, "multi_segment_packets")  \
	X(csum_done, "checksums_completed")    \
	X(gso_done, "packets_segmented")       \
	X(ring_full, "ring_full")              \
	X(drop_addr, "drop_bad_address")       \
	X(drop_len, "drop_bad_length")         \
	X(drop_room, "drop_no_room_in_buffer") \
	X(drop_sg, "drop_bad_sg")              \
	X(drop_page, "drop_no_page")           \
	X(drop_offload, "drop_offload_failed") \
	X(drop_down, "drop_link_down")         \
	X(signals, "signals_sent")             \
	X(dma, "packets_copied_by_engine")     \
	X(dma_failed, "engine_failures")
#define VBUS_STAT_FIELD(field, name) uint64_t field;
struct vbus_venet_rx_stats {
	VBUS_VENET_RX_STATS(VBUS_STAT_FIELD)
};
struct vbus_venet_tx_stats {
	VBUS_VENET_TX_STATS(VBUS_STAT_FIELD)
};
/**
 * Copies, of all pairs that polled queue @p queue serves; counters never go back (ethdev's reset subtracts
 * a base) as long as the number of queues stays. Any thread.
 */
void vbus_venet_stats(const struct vbus_venet *v, uint16_t queue, struct vbus_venet_rx_stats *rx,
	struct vbus_venet_tx_stats *tx);

/** State for telemetry and `show`: negotiated groups, ring sizes. Control lock held. */
struct vbus_venet_info {
	bool opened, link_up, sg, tso4, tso6, pmtd, l4ro, linkstate, rx_armed;
	bool poll;			     /**< the ring for pollers (doc/abi.md section 12) */
	uint32_t nb_pairs;		     /**< that north uses */
	uint32_t rx_ring_size, tx_ring_size; /**< north's receive and transmit ring, entries */
	uint32_t l4ro_bits, sg_bits, eventq_bits; /**< as granted, VENET_CAP_* */
	uint32_t page_ring_size, event_ring_size;
	uint64_t nb_events, nb_bad_event_slots, nb_relooks, nb_reinjects;
};
void vbus_venet_info(const struct vbus_venet *v, struct vbus_venet_info *info);

#endif /* VBUS_VENET_H */
