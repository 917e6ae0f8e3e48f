// SPDX-License-Identifier: GPL-2.0-only
/* Copyright(c) 2026 vbus developers */

/*
 * Receive: the ring and its buffers, linear frames, delivery (doc/abi.md sections 4 and 5).
 *
 * Every entry has a mapped buffer. A frame leaves its entry only when a new buffer is there;
 * else it is dropped and the old one goes back to south, so that the ring never runs dry for
 * want of memory. Refilling in place is what returns an entry: north pops the in-use index and
 * never touches valid after the first fill.
 */
#include "venet.h"

/* Bytes that south may write. Linear frames: the MTU shows here and nowhere else (7.9). */
u32 venet_rx_room(const struct venet *v, u32 mtu)
{
	return v->l4ro & VENET_CAP_SG ? VENET_RX_HEAD : mtu + ETH_HLEN;
}

/* ---- buffers -------------------------------------------------------------------------------- */

/* @napi: called from the poll. */
bool venet_rx_buf_alloc(struct venet *v, struct venet_rx_buf *buf, bool napi)
{
	u32 room = READ_ONCE(v->rx.room);

	if (napi)
		buf->skb = napi_alloc_skb(&v->napi, room);
	else
		buf->skb = __netdev_alloc_skb_ip_align(v->dev, room, GFP_KERNEL);
	if (!buf->skb)
		return false;
	buf->room = room;
	buf->dma = dma_map_single(venet_dma_dev(v), buf->skb->data, room, DMA_FROM_DEVICE);
	if (unlikely(dma_mapping_error(venet_dma_dev(v), buf->dma))) {
		dev_kfree_skb_any(buf->skb);
		buf->skb = NULL;
		return false;
	}
	return true;
}

void venet_rx_buf_free(struct venet *v, struct venet_rx_buf *buf)
{
	if (!buf->skb)
		return;
	dma_unmap_single(venet_dma_dev(v), buf->dma, buf->room, DMA_FROM_DEVICE);
	dev_kfree_skb_any(buf->skb);
	buf->skb = NULL;
}

/* A small frame: cheaper copied than given a buffer of full size. NULL: counted. */
struct sk_buff *venet_rx_copy(struct venet *v, struct venet_rx_buf *buf, u32 len)
{
	struct sk_buff *skb = napi_alloc_skb(&v->napi, VENET_RX_COPYBREAK);

	if (unlikely(!skb)) {
		venet_rx_count(v, VENET_RXC_NO_BUFFER);
		return NULL;
	}
	dma_sync_single_for_cpu(venet_dma_dev(v), buf->dma, len, DMA_FROM_DEVICE);
	skb_put_data(skb, buf->skb->data, len);
	dma_sync_single_for_device(venet_dma_dev(v), buf->dma, len, DMA_FROM_DEVICE);
	venet_rx_count(v, VENET_RXC_COPIED);
	return skb;
}

/* The buffer itself with @len bytes, a new one in its place. NULL: counted, the old one stays. */
struct sk_buff *venet_rx_take(struct venet *v, struct venet_rx_buf *buf, u32 len)
{
	struct venet_rx_buf old = *buf;

	if (unlikely(!venet_rx_buf_alloc(v, buf, true))) {
		*buf = old;
		venet_rx_count(v, VENET_RXC_NO_BUFFER);
		return NULL;
	}
	dma_unmap_single(venet_dma_dev(v), old.dma, old.room, DMA_FROM_DEVICE);
	skb_put(old.skb, len);
	return old.skb;
}

/* Empty, it came back: a buffer of another MTU is replaced when that is possible. */
static void venet_rx_renew(struct venet *v, struct venet_rx_buf *buf)
{
	struct venet_rx_buf old = *buf;

	if (old.room == READ_ONCE(v->rx.room))
		return;
	if (venet_rx_buf_alloc(v, buf, true))
		venet_rx_buf_free(v, &old);
	else
		*buf = old;
}

/* ---- the ring ------------------------------------------------------------------------------- */

static void venet_rx_give(struct venet *v, u32 idx)
{
	struct ioq_ring_desc *desc = &v->rx.ring.desc[idx];
	struct venet_rx_buf *buf = &v->rx.buf[idx];

	if (v->l4ro & VENET_CAP_SG) {
		venet_l4ro_write_slot(v, idx);
		return;
	}
	WRITE_ONCE(desc->cookie, cpu_to_le64(idx));
	WRITE_ONCE(desc->ptr, cpu_to_le64(buf->dma));
	WRITE_ONCE(desc->len, cpu_to_le64(buf->room));
}

/* Not shared yet: south sees it when it is filled. */
int venet_rx_create(struct venet *v)
{
	v->rx.room = venet_rx_room(v, v->dev->mtu);
	v->rx.buf = kvcalloc(v->nb_rx, sizeof(*v->rx.buf), GFP_KERNEL);
	if (!v->rx.buf)
		return -ENOMEM;
	return vbus_ioq_alloc(&v->rx.ring, v->vdev, VENET_QUEUE_RX, v->nb_rx, venet_notify_napi,
			      v);
}

int venet_rx_fill(struct venet *v)
{
	struct vbus_ioq *ring = &v->rx.ring;
	struct ioq_ring_desc *desc;
	int idx;

	while ((idx = vbus_ioq_valid_tail(ring)) >= 0) {
		if (!venet_rx_buf_alloc(v, &v->rx.buf[idx], false))
			return -ENOMEM;
		if (v->l4ro & VENET_CAP_SG) {
			/* Written once and never again (7.10). */
			desc = &ring->desc[idx];
			WRITE_ONCE(desc->cookie, cpu_to_le64(idx));
			WRITE_ONCE(desc->ptr, cpu_to_le64((u64)idx * VENET_RX_SLOT));
			WRITE_ONCE(desc->len, cpu_to_le64(VENET_SG_SIZE(VENET_RX_IOVS)));
		}
		venet_rx_give(v, idx);
		vbus_ioq_push_valid(ring);
	}
	if (v->l4ro & VENET_CAP_SG)
		venet_l4ro_refill_pages(v);
	return 0;
}

/* South has left. */
void venet_rx_free(struct venet *v)
{
	u32 i;

	for (i = 0; v->rx.buf && i < v->nb_rx; i++)
		venet_rx_buf_free(v, &v->rx.buf[i]);
	kvfree(v->rx.buf);
	v->rx.buf = NULL;
	venet_l4ro_free(v);
}

/* The frame of a linear entry. NULL: none, and the buffer may be given again. */
static struct sk_buff *venet_rx_linear(struct venet *v, u32 idx)
{
	u64 len = le64_to_cpu(READ_ONCE(v->rx.ring.desc[idx].len));
	struct venet_rx_buf *buf = &v->rx.buf[idx];

	if (len == 0) {
		venet_rx_count(v, VENET_RXC_EMPTY);
		venet_rx_renew(v, buf);
		return NULL;
	}
	if (unlikely(len < ETH_HLEN || len > buf->room)) {
		venet_rx_count(v, VENET_RXC_BAD_LENGTH);
		return NULL;
	}
	if (len <= VENET_RX_COPYBREAK && buf->room == READ_ONCE(v->rx.room))
		return venet_rx_copy(v, buf, len);
	return venet_rx_take(v, buf, len);
}

/* At most @budget entries. */
int venet_rx_poll(struct venet *v, int budget)
{
	struct vbus_ioq *ring = &v->rx.ring;
	u32 packets = 0;
	struct sk_buff *skb;
	u64 bytes = 0;
	int idx, n;

	for (n = 0; n < budget; n++) {
		idx = vbus_ioq_inuse_head(ring);
		if (idx < 0)
			break;
		if (v->l4ro & VENET_CAP_SG)
			skb = venet_l4ro_frame(v, idx);
		else
			skb = venet_rx_linear(v, idx);
		venet_rx_give(v, idx);
		vbus_ioq_pop_inuse(ring);
		if (!skb)
			continue;
		packets++;
		bytes += skb->len;
		skb->protocol = eth_type_trans(skb, v->dev);
		napi_gro_receive(&v->napi, skb);
	}
	if (v->l4ro & VENET_CAP_SG)
		venet_l4ro_refill_pages(v);
	if (n > 0)
		vbus_signal_inject(ring->sig);
	if (packets > 0)
		venet_stats_rx(v, packets, bytes);
	return n;
}
