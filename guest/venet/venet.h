/* SPDX-License-Identifier: GPL-2.0-only */
/* Copyright(c) 2026 vbus developers */
#ifndef VENET_H
#define VENET_H

/*
 * venet, the Ethernet device of a vbus (doc/abi.md section 5), as a network interface.
 *
 *     main      driver of the bus, netdev operations, features, recovery
 *     session   a session with the device: open, negotiate, share, LINKUP, and back
 *     rx        receive: buffers, linear frames, delivery
 *     rx_l4ro   receive: scattered and large frames (group L4RO)
 *     tx        transmit: mapping, offloads, completion
 *     event     the device's events: carrier
 *     stats     counters
 *     ethtool   ethtool
 *
 * Contexts. Notifiers of signals run in hard interrupt context and only schedule the one NAPI,
 * whose poll completes transmit, receives, and takes events. Transmit: under the queue's lock,
 * as any driver. Everything that changes the session: under RTNL.
 *
 * Every ndo_open() is a new session with freshly built rings, so what a session knows never
 * outlives a change of rings, features or a south that came back.
 *
 * Trust. South writes into rings and descriptors. Positions are kept privately (struct
 * vbus_ioq), what south wrote is read once and checked, and what it must not change (addresses,
 * lengths to unmap) is never read back from shared memory.
 */

#include <linux/etherdevice.h>
#include <linux/netdevice.h>
#include <linux/rtnetlink.h>
#include <linux/skbuff.h>
#include <linux/timer.h>
#include <linux/u64_stats_sync.h>
#include <linux/workqueue.h>

#include "../vbus/vbus_drv.h"
#include <vbus/venet.h>

#define VENET_RING_MIN	64
#define VENET_RING_MAX	1024
#define VENET_RING_DFLT 512
#define VENET_MTU_MAX	9600

/* Receive: 17 iovs are the usual slot's; a head and 16 pages hold the largest frame. */
#define VENET_RX_IOVS	   min_t(u32, 17, MAX_SKB_FRAGS + 1)
#define VENET_RX_SLOT	   VENET_POOL_SLOT_SIZE
#define VENET_RX_HEAD	   1536 /* first buffer of a scattered frame: a usual frame fits */
#define VENET_RX_COPYBREAK 256

/* Transmit: the linear part and 17 fragments, in slots of our own distance (whole cache lines). */
#define VENET_TX_IOVS	   18
#define VENET_TX_SLOT	   320
#define VENET_TX_REAP_AT   16 /* frames out before a send looks for finished ones */
#define VENET_TX_SIGNAL_AT 32 /* frames out before south is asked to tell */
#define VENET_TX_BQL_MIN   (256 * 1024)

#define VENET_EVSIZE_MAX 256

/* Causes and events; one writer for each direction: the NAPI, and who holds the queue's lock. */
enum venet_rx_counter {
	VENET_RXC_SCATTERED,
	VENET_RXC_LARGE,
	VENET_RXC_CSUM_PARTIAL,
	VENET_RXC_COPIED,
	VENET_RXC_EMPTY,
	VENET_RXC_NO_BUFFER,
	VENET_RXC_NO_PAGE,
	VENET_RXC_BAD_LENGTH,
	VENET_RXC_BAD_SG,
	VENET_RXC_BAD_PAGE,
	VENET_RXC_BAD_OFFLOAD,
	VENET_RXC_BAD_EVENT,
	VENET_NB_RXC
};

enum venet_tx_counter {
	VENET_TXC_SCATTERED,
	VENET_TXC_TSO,
	VENET_TXC_CSUM_PARTIAL,
	VENET_TXC_LINEARIZED,
	VENET_TXC_STOPPED,
	VENET_TXC_WOKEN,
	VENET_TXC_SIGNALS,
	VENET_TXC_LATE,
	VENET_TXC_NO_MAP,
	VENET_TXC_TOO_LONG,
	VENET_TXC_TIMEOUTS,
	VENET_TXC_RESETS,
	VENET_NB_TXC
};

struct venet_rx_counters {
	u64_stats_t n[VENET_NB_RXC];
	struct u64_stats_sync syncp;
};

struct venet_tx_counters {
	u64_stats_t n[VENET_NB_TXC];
	struct u64_stats_sync syncp;
};

/* What `ip -s link` shows. */
struct venet_pcpu {
	u64_stats_t rx_packets, rx_bytes, tx_packets, tx_bytes;
	struct u64_stats_sync syncp;
};

/* The buffer of a receive entry: south may write it as long as the entry is south's. */
struct venet_rx_buf {
	struct sk_buff *skb;
	dma_addr_t dma;
	u32 room;
};

struct venet_rx_page {
	struct page *page; /* NULL: none; mapped as long as it is there */
	dma_addr_t dma;
	bool out; /* in the page ring, or in a frame that did not come yet */
};

struct venet_rx {
	struct vbus_ioq ring;
	struct venet_rx_buf *buf; /* per entry */
	u32 room;		  /* of new buffers; changes with the MTU */
	/* L4RO */
	struct vbus_shm *pool; /* a slot per entry */
	struct vbus_ioq pages;
	struct venet_rx_page *page; /* per page number, which is the page ring's cookie */
	u16 *page_free;		    /* numbers that are not out */
	u32 nb_page_free;
	struct venet_rx_counters counters;
};

struct venet_tx_map {
	dma_addr_t dma;
	u32 len;
};

/* A frame in flight. */
struct venet_tx_buf {
	struct sk_buff *skb;
	u32 bytes;
	u32 nb_maps;			    /* the first one is of dma_map_single() */
	struct venet_tx_map map[VENET_TX_IOVS];
};

struct venet_tx {
	struct vbus_ioq ring;
	struct venet_tx_buf *buf; /* per entry */
	struct vbus_shm *pool;	  /* a slot per entry; NULL without SG */
	u64 pool_ptr;		  /* what desc.ptr of slot 0 says: 0 with PMTD, else its address */
	struct timer_list timer;  /* frees what is done when nobody else comes by */
	bool late;		  /* the timer ran */
	struct venet_tx_counters counters;
};

struct venet_events {
	struct vbus_ioq ring;
	struct vbus_shm *pool;
	u32 size; /* of a slot */
};

struct venet {
	struct net_device *dev;
	struct vbus_device *vdev;
	struct napi_struct napi;
	bool up;	  /* a session is there; RTNL */
	u32 offer_sg;	  /* what south offered at probe */
	u32 offer_l4ro;
	u32 want_l4ro;	  /* of it, what the features in force leave */
	u32 sg, evq, l4ro; /* the session's grants */
	u32 nb_rx, nb_tx;  /* the session's ring entries */
	u32 want_rx, want_tx; /* the next one's */
	struct venet_pcpu __percpu *pcpu;
	struct delayed_work reset;
	u32 speed; /* what ethtool was told: there is none */
	u8 duplex;
	struct venet_rx rx;
	struct venet_tx tx;
	struct venet_events ev;
};

static inline struct device *venet_dma_dev(const struct venet *v)
{
	return v->vdev->dma_dev;
}

static inline void venet_rx_count(struct venet *v, enum venet_rx_counter c)
{
	u64_stats_update_begin(&v->rx.counters.syncp);
	u64_stats_inc(&v->rx.counters.n[c]);
	u64_stats_update_end(&v->rx.counters.syncp);
}

static inline void venet_tx_count(struct venet *v, enum venet_tx_counter c)
{
	u64_stats_update_begin(&v->tx.counters.syncp);
	u64_stats_inc(&v->tx.counters.n[c]);
	u64_stats_update_end(&v->tx.counters.syncp);
}

static inline struct netdev_queue *venet_txq(const struct venet *v)
{
	return netdev_get_tx_queue(v->dev, 0);
}

/*
 * What is in the ring now is about to be looked at: a signal for it need not be delivered any
 * more. Without this every poll would be followed by an empty one, because injects leave `dirty`
 * behind while the signal is disabled.
 */
static inline void venet_signal_seen(struct vbus_signal *sig)
{
	WRITE_ONCE(sig->desc->north.dirty, 0);
	/* Before the ring is read. Partner: south's barrier between its push and `dirty` = 1. */
	virt_mb();
}

/* session; RTNL */
int venet_session_probe(struct venet *v);
int venet_session_up(struct venet *v);
void venet_session_down(struct venet *v);

/* rx */
int venet_rx_create(struct venet *v);
int venet_rx_fill(struct venet *v);
void venet_rx_free(struct venet *v);
u32 venet_rx_room(const struct venet *v, u32 mtu);
int venet_rx_poll(struct venet *v, int budget);
bool venet_rx_buf_alloc(struct venet *v, struct venet_rx_buf *buf, bool napi);
void venet_rx_buf_free(struct venet *v, struct venet_rx_buf *buf);
struct sk_buff *venet_rx_copy(struct venet *v, struct venet_rx_buf *buf, u32 len);
struct sk_buff *venet_rx_take(struct venet *v, struct venet_rx_buf *buf, u32 len);

/* rx_l4ro */
int venet_l4ro_create(struct venet *v, u32 pool_id, u32 ring_id);
void venet_l4ro_free(struct venet *v);
void venet_l4ro_write_slot(struct venet *v, u32 idx);
void venet_l4ro_refill_pages(struct venet *v);
struct sk_buff *venet_l4ro_frame(struct venet *v, u32 idx);

/* tx */
int venet_tx_create(struct venet *v);
void venet_tx_free(struct venet *v);
netdev_tx_t venet_tx_xmit(struct sk_buff *skb, struct net_device *dev);
bool venet_tx_poll(struct venet *v, int budget);
void venet_tx_poll_done(struct venet *v, bool tell);
u32 venet_tx_reap(struct venet *v, int budget);
void venet_tx_timer(struct timer_list *t);
void venet_notify_tx(struct vbus_signal *sig);

/* event */
int venet_events_create(struct venet *v, u32 size, u32 pool_id, u32 ring_id);
void venet_events_poll(struct venet *v);

/* stats */
void venet_stats_get(struct net_device *dev, struct rtnl_link_stats64 *s);
void venet_stats_counters(struct venet *v, u64 *data);
void venet_stats_names(u8 *data);
void venet_stats_rx(struct venet *v, u32 packets, u64 bytes);
void venet_stats_tx(struct venet *v, u32 packets, u64 bytes);

/* ethtool */
extern const struct ethtool_ops venet_ethtool_ops;

/* main */
void venet_notify_napi(struct vbus_signal *sig);
int venet_reopen(struct venet *v);

#endif /* VENET_H */
