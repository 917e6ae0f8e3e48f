// SPDX-License-Identifier: GPL-2.0-only
/* Copyright(c) 2026 vbus developers
 *
 * Transmit: pushed on both indices, signalled each time, reaped from the valid index; stopped when
 * the ring is full until south says that it has taken some (7.3).
 */

#include <linux/skbuff.h>
#include <linux/slab.h>

#include "olddrv.h"

static void put_iov(struct old_sg *sg, u32 i, phys_addr_t addr, u32 len)
{
	sg->iov[i].ptr = cpu_to_le64(addr);
	sg->iov[i].len = cpu_to_le32(len);
}

static void put_offload(struct old_sg *sg, const struct sk_buff *skb)
{
	u32 flags = 0;

	if (skb->ip_summed == CHECKSUM_PARTIAL) {
		flags |= OLD_F_CSUM;
		sg->csum_start = cpu_to_le16(skb->csum_start - skb_headroom(skb));
		sg->csum_offset = cpu_to_le16(skb->csum_offset);
	}
	if (skb_is_gso(skb)) {
		flags |= OLD_F_GSO;
		sg->gso_type = skb_shinfo(skb)->gso_type & SKB_GSO_TCPV6 ? 2 : 0;
		sg->gso_hdrlen = cpu_to_le16(skb_headlen(skb));
		sg->gso_size = cpu_to_le16(skb_shinfo(skb)->gso_size);
		if (skb_shinfo(skb)->gso_type & SKB_GSO_TCP_ECN)
			flags |= OLD_F_ECN;
	}
	sg->flags = cpu_to_le32(flags);
}

/* Describe @skb for entry @i. */
static int put_sg(struct old_net *n, u32 i, const struct sk_buff *skb)
{
	u32 count = 1 + skb_shinfo(skb)->nr_frags;
	u32 size = sizeof(struct old_sg) + count * sizeof(struct old_iov);
	struct old_desc *d = &n->tx.h->desc[i];
	struct old_sg *sg;
	u32 k;

	if (n->tx_pool) {
		sg = (struct old_sg *)(n->tx_pool + i * OLD_SG_SLOT);
		d->ptr = cpu_to_le64(i * OLD_SG_SLOT);
	} else {
		sg = kmalloc(size, GFP_ATOMIC);
		if (!sg)
			return -ENOMEM;
		d->ptr = cpu_to_le64(virt_to_phys(sg));
	}
	memset(sg, 0xcc, sizeof(*sg));
	sg->cookie = cpu_to_le64((unsigned long)skb);
	sg->len = cpu_to_le32(skb->len);
	sg->count = cpu_to_le32(count);
	put_offload(sg, skb);
	put_iov(sg, 0, virt_to_phys(skb->data), skb_headlen(skb));
	for (k = 1; k < count; k++) {
		const skb_frag_t *f = &skb_shinfo(skb)->frags[k - 1];

		put_iov(sg, k, page_to_phys(skb_frag_page(f)) + skb_frag_off(f), skb_frag_size(f));
	}
	d->len = cpu_to_le64(size);
	return 0;
}

static void reap(struct old_net *n)
{
	struct old_ring *r = &n->tx;

	while (!old_idx_empty(&r->h->valid)) {
		struct old_desc *d = &r->h->desc[le32_to_cpu(r->h->valid.head)];

		if (READ_ONCE(d->sown))
			return;
		smp_rmb();	/* sown before the entry */
		if ((n->sg_bits & 1) && !n->tx_pool)
			kfree(phys_to_virt(le64_to_cpu(d->ptr)));
		dev_kfree_skb_any((void *)(unsigned long)le64_to_cpu(d->cookie));
		d->valid = 0;
		old_idx_pop(r, &r->h->valid);
	}
}

void old_tx_reap(struct old_net *n)
{
	unsigned long flags;

	spin_lock_irqsave(&n->tx_lock, flags);
	reap(n);
	if (!old_idx_full(&n->tx.h->valid) && netif_running(n->dev))
		netif_wake_queue(n->dev);
	spin_unlock_irqrestore(&n->tx_lock, flags);
}

netdev_tx_t old_xmit(struct sk_buff *skb, struct net_device *dev)
{
	struct old_net *n = netdev_priv(dev);
	struct old_ring *r = &n->tx;
	struct old_desc *d;
	unsigned long flags;
	u32 i;

	if (skb_shinfo(skb)->nr_frags >= OLD_MAX_IOV && skb_linearize(skb))
		goto drop;
	spin_lock_irqsave(&n->tx_lock, flags);
	reap(n);
	if (old_idx_full(&r->h->valid)) {
		netif_stop_queue(dev);
		spin_unlock_irqrestore(&n->tx_lock, flags);
		return NETDEV_TX_BUSY;
	}
	i = le32_to_cpu(r->h->valid.tail);
	d = &r->h->desc[i];
	if (n->sg_bits & 1) {
		if (put_sg(n, i, skb)) {
			spin_unlock_irqrestore(&n->tx_lock, flags);
			goto drop;
		}
	} else {
		d->ptr = cpu_to_le64(virt_to_phys(skb->data));
		d->len = cpu_to_le64(skb->len);
	}
	dev->stats.tx_packets++;
	dev->stats.tx_bytes += skb->len;
	d->cookie = cpu_to_le64((unsigned long)skb);
	d->valid = 1;
	old_idx_push(r, &r->h->valid);
	old_idx_push(r, &r->h->inuse);
	WRITE_ONCE(d->sown, 1);
	old_inject(n->bus, r);
	if (old_idx_full(&r->h->valid))
		netif_stop_queue(dev);
	spin_unlock_irqrestore(&n->tx_lock, flags);
	return NETDEV_TX_OK;

drop:
	dev->stats.tx_dropped++;
	dev_kfree_skb_any(skb);
	return NETDEV_TX_OK;
}

void old_tx_free(struct old_net *n)
{
	struct old_ring *r = &n->tx;

	/* South took what it took; the rest is ours again without its word. */
	while (!old_idx_empty(&r->h->valid)) {
		r->h->desc[le32_to_cpu(r->h->valid.head)].sown = 0;
		reap(n);
	}
}
