/* SPDX-License-Identifier: GPL-2.0-only */
/* Copyright(c) 2026 vbus developers
 *
 * A driver that behaves as those of 2009 to 2012 did (doc/abi.md, section 7): no capability, write
 * barriers only, crashes on answers that it does not expect. For tests of the backend; nothing
 * else is to use it. Layouts are written down here once more, from the text of the ABI, so that a
 * slip in the headers of include/vbus cannot hide.
 */
#ifndef OLDDRV_H
#define OLDDRV_H

#include <linux/io.h>
#include <linux/netdevice.h>
#include <linux/pci.h>
#include <linux/printk.h>
#include <linux/types.h>

#define OLD_VENDOR	0x11da
#define OLD_DEVICE	0x2000
#define OLD_EVENTS	1024
#define OLD_RING	256
#define OLD_SG_SLOT	304
#define OLD_MAX_IOV	17

/* What ended a kernel of that time ends this one. */
#define old_fatal(fmt, ...)						\
	do {								\
		pr_emerg("old driver: FATAL: " fmt "\n", ##__VA_ARGS__); \
		BUG();							\
	} while (0)

struct old_irq {
	u8 enabled, pending, dirty;
};

struct old_signal {
	__le32 magic, ver;
	struct old_irq north, south;
	u8 pad[2];
};

struct old_idx {
	__le32 head, tail;
	u8 full, pad[3];
};

struct old_desc {
	__le64 cookie, ptr, len;
	u8 valid, sown, pad[6];
};

struct old_head {
	__le32 magic, ver;
	struct old_signal signal;
	struct old_idx valid, inuse;
	__le32 count;
	u8 pad[4];
	struct old_desc desc[];
};

struct old_call {
	__le32 vector, len;
	__le64 datap;
};

struct old_fastcall {
	struct old_call call;
	__le32 result;
	u8 pad[4];
};

struct old_event {
	__le32 id;
	u8 pad[4];
	__le64 handle;
	char type[128];
};

struct old_iov {
	__le32 len;
	u8 pad[4];
	__le64 ptr;
};

struct old_sg {
	__le64 cookie;
	__le32 flags, len;
	__le16 csum_start, csum_offset;
	u8 gso_type, pad0;
	__le16 gso_hdrlen, gso_size;
	u8 pad1[2];
	__le32 count;
	struct old_iov iov[];
};

#define OLD_F_CSUM	1
#define OLD_F_GSO	2
#define OLD_F_ECN	4

static_assert(sizeof(struct old_signal) == 16);
static_assert(sizeof(struct old_head) == 56);
static_assert(sizeof(struct old_desc) == 32);
static_assert(sizeof(struct old_fastcall) == 24);
static_assert(sizeof(struct old_event) == 144);
static_assert(sizeof(struct old_sg) == 32);

/* A ring, and its signal's other half: what is written to a port. */
struct old_ring {
	struct old_head *h;
	u32 count;
	u32 port_off;	/* of the signal register */
	u32 port_value;
	void (*notify)(struct old_ring *r);
	void *priv;
	bool closed;
	struct list_head node;
};

struct old_bus;

enum old_func {
	OLD_LINKUP,
	OLD_LINKDOWN,
	OLD_MACQUERY,
	OLD_NEGCAP,
	OLD_FLUSHRX,
	OLD_PMTDQUERY,
	OLD_EVQQUERY,
	OLD_L4ROQUERY,
};

struct old_net {
	struct net_device *dev;
	struct old_bus *bus;
	u32 devid;
	u64 handle;
	struct napi_struct napi;
	u32 sg_bits, l4ro_bits, evq_bits;

	struct old_ring rx, tx, ev, pages;
	u8 *rx_pool, *tx_pool, *ev_pool;
	u32 room;		/* of a receive buffer */
	bool dropped;

	spinlock_t tx_lock;	/* the transmit ring */
	u64 nb_rx_empty, nb_gso_in, nb_csum_in, nb_frag_in;
	struct list_head node;
};

extern uint old_hostile;
extern bool old_sg, old_tso, old_pmtd, old_evq, old_l4ro;

/* bus.c */
int old_devcall(struct old_bus *bus, u32 vector, void *args, u32 len);
int old_func(struct old_net *n, u32 func, void *data, u32 len);
int old_share(struct old_net *n, u32 id, void *block, u32 len, struct old_ring *r);
int old_ring_alloc(struct old_bus *bus, struct old_ring *r, u32 count);
void old_ring_free(struct old_ring *r);
void old_inject(struct old_bus *bus, struct old_ring *r);
void old_enable(struct old_ring *r);
void old_disable(struct old_ring *r);
bool old_idx_push(struct old_ring *r, struct old_idx *i);
void old_idx_pop(struct old_ring *r, struct old_idx *i);

/* net.c */
struct old_net *old_net_probe(struct old_bus *bus, struct device *parent, u32 devid);
void old_net_remove(struct old_net *n);
void old_net_free(struct old_net *n);

/* rx.c */
int old_rx_fill(struct old_net *n);
void old_rx_pages(struct old_net *n);
int old_rx_poll(struct napi_struct *napi, int budget);
void old_rx_free(struct old_net *n);

/* hostile.c */
void old_rage(struct old_net *n, void __iomem *regs, void __iomem *ports, struct old_ring *evq,
	      u32 seconds);

/* tx.c */
netdev_tx_t old_xmit(struct sk_buff *skb, struct net_device *dev);
void old_tx_reap(struct old_net *n);
void old_tx_free(struct old_net *n);

static inline bool old_idx_empty(const struct old_idx *i)
{
	return READ_ONCE(i->head) == READ_ONCE(i->tail) && !READ_ONCE(i->full);
}

static inline bool old_idx_full(const struct old_idx *i)
{
	return READ_ONCE(i->head) == READ_ONCE(i->tail) && READ_ONCE(i->full);
}

#endif
