// SPDX-License-Identifier: GPL-2.0-only
/* Copyright(c) 2026 vbus developers
 *
 * Receive: one buffer of MTU + 14 per entry, linear or described in the pool, then pages.
 */

#include <linux/etherdevice.h>
#include <linux/skbuff.h>

#include "olddrv.h"

#define PAGE_MARK 0x0bdd0bddul

static struct old_sg *slot_sg(struct old_net *n, u32 i)
{
	return (struct old_sg *)(n->rx_pool + i * OLD_SG_SLOT);
}

/* A fresh buffer for entry @i, which is ours. */
static int post(struct old_net *n, u32 i)
{
	struct old_desc *d = &n->rx.h->desc[i];
	struct sk_buff *skb = netdev_alloc_skb_ip_align(n->dev, n->room);
	struct old_sg *sg;

	if (!skb)
		return -ENOMEM;
	if (!n->rx_pool) {
		d->cookie = cpu_to_le64((unsigned long)skb);
		d->ptr = cpu_to_le64(virt_to_phys(skb->data));
		d->len = cpu_to_le64(n->room);
		return 0;
	}
	sg = slot_sg(n, i);
	sg->cookie = cpu_to_le64((unsigned long)skb);
	sg->count = cpu_to_le32(1);
	sg->iov[0].ptr = cpu_to_le64(virt_to_phys(skb->data));
	sg->iov[0].len = cpu_to_le32(n->room);
	return 0;
}

int old_rx_fill(struct old_net *n)
{
	u32 i;

	for (i = 0; i < OLD_RING; i++) {
		struct old_desc *d = &n->rx.h->desc[i];

		if (n->rx_pool) {	/* written once and never again (7.10) */
			d->ptr = cpu_to_le64(i * OLD_SG_SLOT);
			d->len = cpu_to_le64(OLD_SG_SLOT);
		}
		d->valid = 1;
		if (post(n, i))
			return -ENOMEM;
		old_idx_push(&n->rx, &n->rx.h->valid);
		WRITE_ONCE(d->sown, 1);
		old_inject(n->bus, &n->rx);
	}
	return 0;
}

/* Pages for what does not fit a buffer: pushed on in-use alone. */
void old_rx_pages(struct old_net *n)
{
	struct old_ring *r = &n->pages;

	while (!old_idx_full(&r->h->inuse)) {
		struct old_desc *d = &r->h->desc[le32_to_cpu(r->h->inuse.tail)];
		struct page *page;

		if (READ_ONCE(d->sown))
			return;	/* south has not handed it back yet */
		page = alloc_page(GFP_ATOMIC);
		if (!page)
			return;
		set_page_private(page, PAGE_MARK);
		d->cookie = cpu_to_le64((unsigned long)page);
		d->ptr = cpu_to_le64(page_to_phys(page));
		d->len = cpu_to_le64(PAGE_SIZE);
		old_idx_push(r, &r->h->inuse);
		WRITE_ONCE(d->sown, 1);
		old_inject(n->bus, r);
	}
}

static void take_pages(struct old_net *n, struct sk_buff *skb, const struct old_sg *sg, u32 count)
{
	u32 i;

	for (i = 1; i < count; i++) {
		struct page *page = (struct page *)(unsigned long)le64_to_cpu(sg->iov[i].ptr);
		u32 len = le32_to_cpu(sg->iov[i].len);

		if (!virt_addr_valid(page_address(page)) || page_private(page) != PAGE_MARK ||
		    len > PAGE_SIZE)
			old_fatal("fragment %u of %u: page %p, %u bytes", i, count, page, len);
		set_page_private(page, 0);
		skb_add_rx_frag(skb, i - 1, page, 0, len, PAGE_SIZE);
	}
	n->nb_frag_in += count - 1;
}

/* What is left for the stack to do. */
static void add_offload(struct old_net *n, struct sk_buff *skb, const struct old_sg *sg)
{
	u32 flags = le32_to_cpu(sg->flags);

	if (flags & OLD_F_CSUM) {
		n->nb_csum_in++;
		if (!skb_partial_csum_set(skb, le16_to_cpu(sg->csum_start),
					  le16_to_cpu(sg->csum_offset)))
			old_fatal("checksum at %u + %u of %u", le16_to_cpu(sg->csum_start),
				  le16_to_cpu(sg->csum_offset), skb->len);
	}
	if (!(flags & OLD_F_GSO))
		return;
	n->nb_gso_in++;
	if (!(flags & OLD_F_CSUM) || !sg->gso_size || !(n->l4ro_bits & 6))
		old_fatal("GSO frame: flags %x, size %u", flags, le16_to_cpu(sg->gso_size));
	skb_shinfo(skb)->gso_size = le16_to_cpu(sg->gso_size);
	skb_shinfo(skb)->gso_segs = 0;
	skb_shinfo(skb)->gso_type = SKB_GSO_DODGY | (sg->gso_type == 2 ? SKB_GSO_TCPV6 :
							SKB_GSO_TCPV4);
	if (flags & OLD_F_ECN)
		skb_shinfo(skb)->gso_type |= SKB_GSO_TCP_ECN;
}

/* The frame of entry @i; NULL: it came back empty. */
static struct sk_buff *take(struct old_net *n, u32 i, u32 room)
{
	struct old_desc *d = &n->rx.h->desc[i];
	struct old_sg *sg = n->rx_pool ? slot_sg(n, i) : NULL;
	struct sk_buff *skb = (void *)(unsigned long)le64_to_cpu(sg ? sg->cookie : d->cookie);
	u32 len = sg ? le32_to_cpu(sg->len) : le64_to_cpu(d->len);
	u32 first = sg && len ? le32_to_cpu(sg->iov[0].len) : len;
	u32 count = sg ? le32_to_cpu(sg->count) : 1;

	if (sg && (d->ptr != cpu_to_le64(i * OLD_SG_SLOT) || d->len != cpu_to_le64(OLD_SG_SLOT)))
		old_fatal("south wrote ptr or len of entry %u", i);
	if (!len) {
		n->nb_rx_empty++;
		dev_kfree_skb_any(skb);
		return NULL;
	}
	if (first > skb_tailroom(skb) || count < 1 || count > OLD_MAX_IOV || len < ETH_HLEN)
		old_fatal("entry %u: %u bytes, %u in the buffer of %u, %u iovs", i, len, first,
			  skb_tailroom(skb), count);
	skb_put(skb, first);
	if (sg) {
		take_pages(n, skb, sg, count);
		if (skb->len != len)
			old_fatal("entry %u: %u bytes, but %u in its iovs", i, len, skb->len);
		add_offload(n, skb, sg);
	}
	return skb;
}

int old_rx_poll(struct napi_struct *napi, int budget)
{
	struct old_net *n = container_of(napi, struct old_net, napi);
	struct old_ring *r = &n->rx;
	int done = 0;

	while (done < budget && !old_idx_empty(&r->h->inuse)) {
		u32 head = le32_to_cpu(r->h->inuse.head);
		struct old_desc *d = &r->h->desc[head];
		struct sk_buff *skb;

		if (READ_ONCE(d->sown))
			break;	/* south is between the index and the entry */
		smp_rmb();	/* sown before the entry */
		skb = take(n, head, n->room);
		if (post(n, head))
			old_fatal("no memory for a receive buffer");
		old_idx_pop(r, &r->h->inuse);
		WRITE_ONCE(d->sown, 1);
		old_inject(n->bus, r);
		if (n->rx_pool)
			old_rx_pages(n);
		done++;
		if (!skb)
			continue;
		n->dev->stats.rx_packets++;
		n->dev->stats.rx_bytes += skb->len;
		skb->protocol = eth_type_trans(skb, n->dev);
		netif_receive_skb(skb);
	}
	if (!old_idx_empty(&r->h->inuse))
		return budget;
	if (done < budget && napi_complete_done(napi, done)) {
		unsigned long flags;

		local_irq_save(flags);
		old_enable(r);
		local_irq_restore(flags);
	}
	return done;
}

void old_rx_free(struct old_net *n)
{
	u32 i;

	for (i = 0; i < OLD_RING; i++) {
		__le64 cookie = n->rx_pool ? slot_sg(n, i)->cookie : n->rx.h->desc[i].cookie;

		dev_kfree_skb_any((void *)(unsigned long)le64_to_cpu(cookie));
	}
	if (!n->pages.h)
		return;
	/* What south has not taken. */
	while (!old_idx_empty(&n->pages.h->inuse)) {
		u32 head = le32_to_cpu(n->pages.h->inuse.head);

		put_page((void *)(unsigned long)le64_to_cpu(n->pages.h->desc[head].cookie));
		old_idx_pop(&n->pages, &n->pages.h->inuse);
	}
}
