// SPDX-License-Identifier: GPL-2.0-only
/* Copyright(c) 2026 vbus developers */

/*
 * Receive with L4RO: scattered frames, unfinished checksums, large receive (doc/abi.md sections
 * 4, 5 and 7.10).
 *
 * Each receive entry has a slot of the descriptor pool, which names the entry's buffer. Further
 * fragments come from the page ring: a page has a number, its cookie, and south may write it as
 * long as page[number].out says so. South's descriptor is copied once and the copy is checked;
 * the buffers' addresses are never read back. A page that no frame ever names is lost until the
 * session ends.
 */
#include <linux/virtio_net.h>

#include "venet.h"

#define RX_IOVS_MAX 17

struct venet_rx_sg {
	struct venet_sg head;
	struct venet_iov iov[RX_IOVS_MAX];
};

static struct venet_sg *venet_l4ro_slot(const struct venet *v, u32 idx)
{
	return v->rx.pool->addr + (size_t)idx * VENET_RX_SLOT;
}

/* What north gives with each empty buffer. */
void venet_l4ro_write_slot(struct venet *v, u32 idx)
{
	struct venet_sg *sg = venet_l4ro_slot(v, idx);
	struct venet_iov *iov = (struct venet_iov *)(sg + 1);

	WRITE_ONCE(sg->cookie, cpu_to_le64(idx));
	WRITE_ONCE(sg->flags, 0);
	WRITE_ONCE(sg->len, 0);
	WRITE_ONCE(sg->count, cpu_to_le32(1));
	WRITE_ONCE(iov->ptr, cpu_to_le64(v->rx.buf[idx].dma));
	WRITE_ONCE(iov->len, cpu_to_le32(v->rx.buf[idx].room));
}

/* ---- pages ---------------------------------------------------------------------------------- */

static bool venet_l4ro_page_alloc(struct venet *v, struct venet_rx_page *p)
{
	if (p->page)
		return true; /* its frame was none */
	p->page = dev_alloc_page();
	if (!p->page)
		return false;
	p->dma = dma_map_page(venet_dma_dev(v), p->page, 0, PAGE_SIZE, DMA_FROM_DEVICE);
	if (likely(!dma_mapping_error(venet_dma_dev(v), p->dma)))
		return true;
	__free_page(p->page);
	p->page = NULL;
	return false;
}

/* South signals nothing here and is told nothing: it takes pages when it needs them. */
void venet_l4ro_refill_pages(struct venet *v)
{
	struct vbus_ioq *ring = &v->rx.pages;
	struct ioq_ring_desc *desc;
	struct venet_rx_page *p;
	u16 number;
	int idx;

	while (v->rx.nb_page_free > 0) {
		idx = vbus_ioq_inuse_tail(ring);
		if (idx < 0)
			return;
		number = v->rx.page_free[v->rx.nb_page_free - 1];
		p = &v->rx.page[number];
		if (unlikely(!venet_l4ro_page_alloc(v, p))) {
			venet_rx_count(v, VENET_RXC_NO_PAGE);
			return; /* the next poll tries again; large frames come cut until then */
		}
		p->out = true;
		v->rx.nb_page_free--;
		desc = &ring->desc[idx];
		WRITE_ONCE(desc->cookie, cpu_to_le64(number));
		WRITE_ONCE(desc->ptr, cpu_to_le64(p->dma));
		WRITE_ONCE(desc->len, cpu_to_le64(PAGE_SIZE));
		vbus_ioq_push_inuse(ring);
	}
}

/* The page behind a number that south wrote, ours from here on. NULL: it is not out. */
static struct venet_rx_page *venet_l4ro_page_take(struct venet *v, u64 number)
{
	struct venet_rx_page *p;

	if (unlikely(number >= v->rx.pages.count))
		return NULL;
	p = &v->rx.page[number];
	if (unlikely(!p->out))
		return NULL;
	p->out = false;
	v->rx.page_free[v->rx.nb_page_free++] = number;
	return p;
}

/* ---- one frame ------------------------------------------------------------------------------ */

/*
 * South's descriptor into @c. 0; -ENODATA: an empty buffer; -EPROTO. Only counts and lengths of
 * iovs are good afterwards; page numbers are looked up one by one.
 */
static int venet_l4ro_read(struct venet *v, u32 idx, struct venet_rx_sg *c)
{
	const struct venet_sg *sg = venet_l4ro_slot(v, idx);
	u32 count, len, i, n;
	u64 sum = 0;

	memcpy(c, sg, VENET_SG_SIZE(1));
	/* The copies are what is looked at from here on, not south's memory again. */
	barrier();
	len = le32_to_cpu(c->head.len);
	if (len == 0)
		return -ENODATA;
	count = le32_to_cpu(c->head.count);
	if (unlikely(count == 0 || count > VENET_RX_IOVS))
		return -EPROTO;
	if (count > 1) {
		memcpy(&c->iov[1], (const u8 *)sg + VENET_SG_SIZE(1),
		       (count - 1) * sizeof(c->iov[0]));
		barrier();
	}
	for (i = 0; i < count; i++) {
		n = le32_to_cpu(c->iov[i].len);
		if (unlikely(n == 0 || n > (i == 0 ? v->rx.buf[idx].room : PAGE_SIZE)))
			return -EPROTO;
		sum += n;
	}
	if (unlikely(sum != len || len < ETH_HLEN || len > VENET_FRAME_MAX_VLAN))
		return -EPROTO;
	return 0;
}

/* The fragments after the first become @skb's, or all come free when there is none. */
static bool venet_l4ro_frags(struct venet *v, const struct venet_rx_sg *c, struct sk_buff *skb)
{
	u32 count = le32_to_cpu(c->head.count), i, len;
	struct venet_rx_page *p;
	bool good = true;

	for (i = 1; i < count; i++) {
		p = venet_l4ro_page_take(v, le64_to_cpu(c->iov[i].ptr));
		if (unlikely(!p)) {
			venet_rx_count(v, VENET_RXC_BAD_PAGE);
			good = false;
			continue;
		}
		if (unlikely(!skb || !good))
			continue; /* it stays mapped, for the next refill */
		len = le32_to_cpu(c->iov[i].len);
		dma_unmap_page(venet_dma_dev(v), p->dma, PAGE_SIZE, DMA_FROM_DEVICE);
		skb_add_rx_frag(skb, i - 1, p->page, 0, len, PAGE_SIZE);
		p->page = NULL;
	}
	return good;
}

/*
 * What is left to do for the frame's receiver. The kernel's own check of such requests is
 * virtio's, whose fields are the same: headers are parsed, not believed.
 */
static int venet_l4ro_offload(struct venet *v, const struct venet_sg *sg, struct sk_buff *skb)
{
	u32 flags = le32_to_cpu(sg->flags);
	struct virtio_net_hdr h = {
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.gso_type = VIRTIO_NET_HDR_GSO_NONE,
	};

	if (!(flags & VENET_SG_FLAG_NEEDS_CSUM))
		return flags & VENET_SG_FLAG_GSO ? -EPROTO : 0;
	h.csum_start = __cpu_to_virtio16(true, le16_to_cpu(sg->csum.start));
	h.csum_offset = __cpu_to_virtio16(true, le16_to_cpu(sg->csum.offset));
	if (flags & VENET_SG_FLAG_GSO) {
		if (sg->gso.type == VENET_GSO_TYPE_TCPV4 && v->l4ro & VENET_CAP_TSO4)
			h.gso_type = VIRTIO_NET_HDR_GSO_TCPV4;
		else if (sg->gso.type == VENET_GSO_TYPE_TCPV6 && v->l4ro & VENET_CAP_TSO6)
			h.gso_type = VIRTIO_NET_HDR_GSO_TCPV6;
		else
			return -EPROTO;
		if (flags & VENET_SG_FLAG_ECN)
			h.gso_type |= VIRTIO_NET_HDR_GSO_ECN;
		h.hdr_len = __cpu_to_virtio16(true, le16_to_cpu(sg->gso.hdrlen));
		h.gso_size = __cpu_to_virtio16(true, le16_to_cpu(sg->gso.size));
		venet_rx_count(v, VENET_RXC_LARGE);
	}
	venet_rx_count(v, VENET_RXC_CSUM_PARTIAL);
	return virtio_net_hdr_to_skb(skb, &h, true);
}

/* The frame of an entry. NULL: none, and the entry's buffer may be given again. */
struct sk_buff *venet_l4ro_frame(struct venet *v, u32 idx)
{
	struct venet_rx_buf *buf = &v->rx.buf[idx];
	struct sk_buff *skb;
	struct venet_rx_sg c;
	u32 len;
	int ret;

	ret = venet_l4ro_read(v, idx, &c);
	if (unlikely(ret < 0)) {
		if (ret == -ENODATA)
			venet_rx_count(v, VENET_RXC_EMPTY);
		else
			venet_rx_count(v, VENET_RXC_BAD_SG);
		return NULL;
	}
	len = le32_to_cpu(c.iov[0].len);
	if (c.head.count == cpu_to_le32(1)) {
		if (len <= VENET_RX_COPYBREAK)
			skb = venet_rx_copy(v, buf, len);
		else
			skb = venet_rx_take(v, buf, len);
	} else {
		skb = venet_rx_take(v, buf, len);
		if (unlikely(!venet_l4ro_frags(v, &c, skb))) {
			kfree_skb(skb);
			return NULL;
		}
		venet_rx_count(v, VENET_RXC_SCATTERED);
	}
	if (unlikely(skb && c.head.flags && venet_l4ro_offload(v, &c.head, skb) < 0)) {
		venet_rx_count(v, VENET_RXC_BAD_OFFLOAD);
		kfree_skb(skb);
		return NULL;
	}
	return skb;
}

/* ---- setup ---------------------------------------------------------------------------------- */

/*
 * Pool and page ring; the pool is shared at once, the ring before it is filled: it starts empty.
 */
int venet_l4ro_create(struct venet *v, u32 pool_id, u32 ring_id)
{
	struct venet_rx *rx = &v->rx;
	u32 i;
	int ret;

	BUILD_BUG_ON(VENET_SG_SIZE(RX_IOVS_MAX) > VENET_RX_SLOT);
	rx->page = kvcalloc(v->nb_rx, sizeof(*rx->page), GFP_KERNEL);
	rx->page_free = kvcalloc(v->nb_rx, sizeof(*rx->page_free), GFP_KERNEL);
	if (!rx->page || !rx->page_free)
		return -ENOMEM;
	for (i = 0; i < v->nb_rx; i++)
		rx->page_free[i] = v->nb_rx - 1 - i;
	rx->nb_page_free = v->nb_rx;
	rx->pool = vbus_shm_alloc(v->vdev, pool_id, v->nb_rx * VENET_RX_SLOT);
	if (IS_ERR(rx->pool)) {
		ret = PTR_ERR(rx->pool);
		rx->pool = NULL;
		return ret;
	}
	ret = vbus_shm_share(rx->pool);
	if (ret < 0)
		return ret;
	return vbus_ioq_create(&rx->pages, v->vdev, ring_id, v->nb_rx, NULL, NULL);
}

/* South has left. */
void venet_l4ro_free(struct venet *v)
{
	struct venet_rx *rx = &v->rx;
	u32 i;

	for (i = 0; rx->page && i < v->nb_rx; i++) {
		if (!rx->page[i].page)
			continue;
		dma_unmap_page(venet_dma_dev(v), rx->page[i].dma, PAGE_SIZE, DMA_FROM_DEVICE);
		__free_page(rx->page[i].page);
	}
	kvfree(rx->page);
	kvfree(rx->page_free);
	rx->page = NULL;
	rx->page_free = NULL;
	rx->nb_page_free = 0;
	rx->pool = NULL;
}
