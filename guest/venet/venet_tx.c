// SPDX-License-Identifier: GPL-2.0-only
/* Copyright(c) 2026 vbus developers */

/*
 * Transmit: frames are mapped and described, south copies them, north reaps what comes back
 * (doc/abi.md sections 4, 5 and 7).
 *
 * Everything of the ring is done under the transmit queue's lock, by senders and by the NAPI
 * alike.
 *
 * When to be told of finished frames. A signal from south is an interrupt, so it is asked for
 * only when somebody waits: the queue was stopped (by us or by BQL) or many frames are out.
 * Otherwise senders and receive polls reap in passing, and a timer frees the last few.
 */
#include <linux/ip.h>
#include <linux/tcp.h>

#include "venet.h"

/* ---- one frame ------------------------------------------------------------------------------ */

static void venet_tx_unmap(struct venet *v, struct venet_tx_buf *buf)
{
	struct device *d = venet_dma_dev(v);
	u32 i;

	if (buf->nb_maps > 0)
		dma_unmap_single(d, buf->map[0].dma, buf->map[0].len, DMA_TO_DEVICE);
	for (i = 1; i < buf->nb_maps; i++)
		dma_unmap_page(d, buf->map[i].dma, buf->map[i].len, DMA_TO_DEVICE);
	buf->nb_maps = 0;
}

static int venet_tx_map(struct venet *v, struct venet_tx_buf *buf, struct sk_buff *skb)
{
	struct device *d = venet_dma_dev(v);
	struct venet_tx_map *m = buf->map;
	const skb_frag_t *frag;
	u32 i;

	buf->nb_maps = 0;
	m->len = skb_headlen(skb);
	m->dma = dma_map_single(d, skb->data, m->len, DMA_TO_DEVICE);
	if (unlikely(dma_mapping_error(d, m->dma)))
		return -ENOMEM;
	buf->nb_maps++;
	for (i = 0; i < skb_shinfo(skb)->nr_frags; i++) {
		frag = &skb_shinfo(skb)->frags[i];
		if (skb_frag_size(frag) == 0)
			continue;
		m++;
		m->len = skb_frag_size(frag);
		m->dma = skb_frag_dma_map(d, frag, 0, m->len, DMA_TO_DEVICE);
		if (unlikely(dma_mapping_error(d, m->dma))) {
			venet_tx_unmap(v, buf);
			return -ENOMEM;
		}
		buf->nb_maps++;
	}
	return 0;
}

/* What the frame asks south for. */
static void venet_tx_offload(struct venet *v, const struct sk_buff *skb, struct venet_sg *sg)
{
	const struct skb_shared_info *si = skb_shinfo(skb);
	u32 flags = 0;

	if (skb->ip_summed == CHECKSUM_PARTIAL) {
		flags |= VENET_SG_FLAG_NEEDS_CSUM;
		WRITE_ONCE(sg->csum.start, cpu_to_le16(skb_checksum_start_offset(skb)));
		WRITE_ONCE(sg->csum.offset, cpu_to_le16(skb->csum_offset));
		venet_tx_count(v, VENET_TXC_CSUM_PARTIAL);
	}
	if (skb_is_gso(skb)) {
		flags |= VENET_SG_FLAG_GSO;
		if (si->gso_type & SKB_GSO_TCP_ECN)
			flags |= VENET_SG_FLAG_ECN;
		WRITE_ONCE(sg->gso.type, si->gso_type & SKB_GSO_TCPV6 ? VENET_GSO_TYPE_TCPV6
								      : VENET_GSO_TYPE_TCPV4);
		WRITE_ONCE(sg->gso.hdrlen, cpu_to_le16(min_t(u32, skb_headlen(skb), U16_MAX)));
		WRITE_ONCE(sg->gso.size, cpu_to_le16(si->gso_size));
		venet_tx_count(v, VENET_TXC_TSO);
	}
	WRITE_ONCE(sg->flags, cpu_to_le32(flags));
}

/* The mapped frame into entry @idx and its slot. */
static void venet_tx_describe(struct venet *v, u32 idx, const struct sk_buff *skb)
{
	struct ioq_ring_desc *desc = &v->tx.ring.desc[idx];
	const struct venet_tx_buf *buf = &v->tx.buf[idx];
	struct venet_iov *iov;
	struct venet_sg *sg;
	u32 i;

	WRITE_ONCE(desc->cookie, cpu_to_le64(idx));
	if (!v->tx.pool) {
		WRITE_ONCE(desc->ptr, cpu_to_le64(buf->map[0].dma));
		WRITE_ONCE(desc->len, cpu_to_le64(buf->map[0].len));
		return;
	}
	sg = v->tx.pool->addr + (size_t)idx * VENET_TX_SLOT;
	iov = (struct venet_iov *)(sg + 1);
	WRITE_ONCE(sg->cookie, cpu_to_le64(idx));
	WRITE_ONCE(sg->len, cpu_to_le32(skb->len));
	WRITE_ONCE(sg->count, cpu_to_le32(buf->nb_maps));
	venet_tx_offload(v, skb, sg);
	for (i = 0; i < buf->nb_maps; i++) {
		WRITE_ONCE(iov[i].ptr, cpu_to_le64(buf->map[i].dma));
		WRITE_ONCE(iov[i].len, cpu_to_le32(buf->map[i].len));
	}
	if (buf->nb_maps > 1)
		venet_tx_count(v, VENET_TXC_SCATTERED);
	WRITE_ONCE(desc->ptr, cpu_to_le64(v->tx.pool_ptr + (u64)idx * VENET_TX_SLOT));
	WRITE_ONCE(desc->len, cpu_to_le64(VENET_SG_SIZE(buf->nb_maps)));
}

/* @skb into the ring, which has room. 0, or it has to be dropped (counted). */
static int venet_tx_put(struct venet *v, struct sk_buff *skb)
{
	u32 most = v->tx.pool ? VENET_TX_IOVS : 1;
	struct venet_tx_buf *buf;
	int idx;

	if (unlikely(skb->len > VENET_FRAME_MAX_VLAN || skb->len < ETH_HLEN)) {
		venet_tx_count(v, VENET_TXC_TOO_LONG);
		return -EMSGSIZE;
	}
	if (unlikely(skb_shinfo(skb)->nr_frags + 1 > most)) {
		venet_tx_count(v, VENET_TXC_LINEARIZED);
		if (skb_linearize(skb) < 0)
			goto no_map;
	}
	idx = vbus_ioq_valid_tail(&v->tx.ring);
	if (unlikely(idx < 0))
		goto no_map;
	buf = &v->tx.buf[idx];
	if (unlikely(venet_tx_map(v, buf, skb) < 0))
		goto no_map;
	buf->skb = skb;
	buf->bytes = skb->len;
	venet_tx_describe(v, idx, skb);
	vbus_ioq_push_both(&v->tx.ring);
	return 0;
no_map:
	venet_tx_count(v, VENET_TXC_NO_MAP);
	return -ENOMEM;
}

/* ---- completion ----------------------------------------------------------------------------- */

/* Free what came back; start the queue again when there is room. Queue's lock. @return frames */
u32 venet_tx_reap(struct venet *v, int budget)
{
	struct netdev_queue *txq = venet_txq(v);
	struct venet_tx_buf *buf;
	u32 n = 0, bytes = 0;
	int idx;

	while ((idx = vbus_ioq_valid_head(&v->tx.ring)) >= 0) {
		buf = &v->tx.buf[idx];
		vbus_ioq_pop_valid(&v->tx.ring);
		venet_tx_unmap(v, buf);
		bytes += buf->bytes;
		napi_consume_skb(buf->skb, budget);
		buf->skb = NULL;
		n++;
	}
	if (n == 0)
		return 0;
	netdev_tx_completed_queue(txq, n, bytes);
	/* Not for each entry: a queue that is full has a while to go. */
	if (netif_tx_queue_stopped(txq) && v->up &&
	    vbus_ioq_valid_room(&v->tx.ring) >= v->nb_tx / 4) {
		venet_tx_count(v, VENET_TXC_WOKEN);
		netif_tx_wake_queue(txq);
	}
	return n;
}

/* South's finished frames make an interrupt from here on, until one came. */
static void venet_tx_tell(struct venet *v)
{
	if (READ_ONCE(v->tx.ring.sig->enabled))
		return;
	venet_tx_count(v, VENET_TXC_SIGNALS);
	/* Looks at what south said meanwhile: then the notifier runs at once. */
	vbus_signal_enable(v->tx.ring.sig);
}

static bool venet_tx_awaited(const struct venet *v)
{
	return v->tx.ring.valid_used >= VENET_TX_SIGNAL_AT || netif_xmit_stopped(venet_txq(v));
}

void venet_notify_tx(struct vbus_signal *sig)
{
	struct venet *v = sig->priv;

	vbus_signal_disable(sig);
	napi_schedule(&v->napi);
}

void venet_tx_timer(struct timer_list *t)
{
	struct venet *v = container_of(t, struct venet, tx.timer);

	WRITE_ONCE(v->tx.late, true);
	napi_schedule(&v->napi);
}

/* The NAPI's turn. @return south is to tell of what is left (venet_tx_poll_done()) */
bool venet_tx_poll(struct venet *v, int budget)
{
	struct netdev_queue *txq = venet_txq(v);
	bool tell = false;

	__netif_tx_lock(txq, smp_processor_id());
	venet_signal_seen(v->tx.ring.sig);
	venet_tx_reap(v, budget);
	if (v->tx.ring.valid_used > 0) {
		tell = venet_tx_awaited(v) || READ_ONCE(v->tx.late);
		if (READ_ONCE(v->tx.late))
			venet_tx_count(v, VENET_TXC_LATE);
		if (!tell && !timer_pending(&v->tx.timer))
			mod_timer(&v->tx.timer, jiffies + 1);
	}
	WRITE_ONCE(v->tx.late, false);
	__netif_tx_unlock(txq);
	return tell;
}

/* The NAPI is complete. */
void venet_tx_poll_done(struct venet *v, bool tell)
{
	if (tell)
		vbus_signal_enable(v->tx.ring.sig);
}

/* ---- sending -------------------------------------------------------------------------------- */

/* After one more frame: the queue's lock is held. */
static void venet_tx_sent(struct venet *v, bool kick)
{
	struct netdev_queue *txq = venet_txq(v);

	if (vbus_ioq_valid_room(&v->tx.ring) == 0) {
		netif_tx_stop_queue(txq);
		venet_tx_count(v, VENET_TXC_STOPPED);
		kick = true;
	}
	if (!kick)
		return;
	vbus_signal_inject(v->tx.ring.sig);
	if (venet_tx_awaited(v))
		venet_tx_tell(v);
	else if (!timer_pending(&v->tx.timer))
		mod_timer(&v->tx.timer, jiffies + 1);
}

netdev_tx_t venet_tx_xmit(struct sk_buff *skb, struct net_device *dev)
{
	struct venet *v = netdev_priv(dev);
	struct netdev_queue *txq = venet_txq(v);
	bool more = netdev_xmit_more();
	u32 len = skb->len;

	if (v->tx.ring.valid_used >= VENET_TX_REAP_AT)
		venet_tx_reap(v, 0);
	if (unlikely(vbus_ioq_valid_room(&v->tx.ring) == 0)) {
		netif_tx_stop_queue(txq);
		venet_tx_sent(v, true);
		return NETDEV_TX_BUSY;
	}
	skb_tx_timestamp(skb);
	if (unlikely(venet_tx_put(v, skb) < 0)) {
		dev_kfree_skb_any(skb);
		/* Frames before it may wait for the signal that this one was to give. */
		venet_tx_sent(v, !more);
		return NETDEV_TX_OK;
	}
	venet_stats_tx(v, 1, len);
	venet_tx_sent(v, __netdev_tx_sent_queue(txq, len, more));
	return NETDEV_TX_OK;
}

/* ---- setup ---------------------------------------------------------------------------------- */

/* Ring and pool. The pool is shared later, by its number (PMTD), or only pointed into. */
int venet_tx_create(struct venet *v)
{
	struct venet_tx *tx = &v->tx;
	int ret;

	BUILD_BUG_ON(VENET_SG_SIZE(VENET_TX_IOVS) > VENET_TX_SLOT);
	tx->late = false;
	tx->buf = kvcalloc(v->nb_tx, sizeof(*tx->buf), GFP_KERNEL);
	if (!tx->buf)
		return -ENOMEM;
	ret = vbus_ioq_create(&tx->ring, v->vdev, VENET_QUEUE_TX, v->nb_tx, venet_notify_tx, v);
	if (ret < 0 || !(v->sg & VENET_CAP_SG))
		return ret;
	ret = 0;
	if (v->sg & VENET_CAP_PMTD)
		ret = vbus_device_call(v->vdev, VENET_FUNC_PMTDQUERY, NULL, 0);
	if (ret < 0)
		return ret;
	tx->pool = vbus_shm_alloc(v->vdev, ret, v->nb_tx * VENET_TX_SLOT);
	if (IS_ERR(tx->pool)) {
		ret = PTR_ERR(tx->pool);
		tx->pool = NULL;
		return ret;
	}
	tx->pool_ptr = v->sg & VENET_CAP_PMTD ? 0 : tx->pool->dma;
	return v->sg & VENET_CAP_PMTD ? vbus_shm_share(tx->pool) : 0;
}

/* South has left, senders and NAPI too. */
void venet_tx_free(struct venet *v)
{
	struct venet_tx *tx = &v->tx;
	u32 i;

	for (i = 0; tx->buf && i < v->nb_tx; i++) {
		if (!tx->buf[i].skb)
			continue;
		venet_tx_unmap(v, &tx->buf[i]);
		dev_kfree_skb_any(tx->buf[i].skb);
	}
	kvfree(tx->buf);
	tx->buf = NULL;
	tx->pool = NULL;
	netdev_tx_reset_queue(venet_txq(v));
}
