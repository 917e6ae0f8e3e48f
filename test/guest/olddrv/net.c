// SPDX-License-Identifier: GPL-2.0-only
/* Copyright(c) 2026 vbus developers
 *
 * The network device: capabilities, blocks, link. What it does not expect ends the guest (7.6).
 */

#include <linux/etherdevice.h>
#include <linux/ethtool.h>
#include <linux/slab.h>

#include "olddrv.h"

static void must(struct old_net *n, int ret, const char *what)
{
	if (ret < 0)
		old_fatal("device %u: %s: %d", n->devid, what, ret);
}

/* ---- link ---------------------------------------------------------------------------------- */

static void on_rx(struct old_ring *r)
{
	struct old_net *n = r->priv;

	/* Where it cannot be scheduled yet the signal is lost: nobody remembers it (7.1). */
	if (napi_schedule_prep(&n->napi)) {
		old_disable(r);
		__napi_schedule(&n->napi);
	}
}

static void on_tx(struct old_ring *r)
{
	old_tx_reap(r->priv);
}

static void on_netevents(struct old_ring *r)
{
	struct old_net *n = r->priv;
	bool any = false;

	while (!old_idx_empty(&r->h->inuse)) {
		struct old_desc *d = &r->h->desc[le32_to_cpu(r->h->inuse.head)];
		const u8 *ev = n->ev_pool + le64_to_cpu(d->ptr);

		if (READ_ONCE(d->sown))
			break;	/* as for receive entries */
		smp_rmb();	/* sown before the entry */
		if (*(__le32 *)(ev + 8) != 0)
			old_fatal("event %u of the device", le32_to_cpu(*(__le32 *)(ev + 8)));
		if (ev[12])
			netif_carrier_on(n->dev);
		else
			netif_carrier_off(n->dev);
		old_idx_pop(r, &r->h->inuse);
		WRITE_ONCE(d->sown, 1);
		any = true;
	}
	if (any)
		old_inject(n->bus, r);
}

static int old_open(struct net_device *dev)
{
	struct old_net *n = netdev_priv(dev);

	old_enable(&n->rx);
	old_enable(&n->tx);
	must(n, old_func(n, OLD_LINKUP, NULL, 0), "LINKUP");
	napi_enable(&n->napi);	/* too late for what came meanwhile */
	netif_start_queue(dev);
	return 0;
}

static int old_stop(struct net_device *dev)
{
	struct old_net *n = netdev_priv(dev);

	netif_stop_queue(dev);
	napi_disable(&n->napi);
	must(n, old_func(n, OLD_LINKDOWN, NULL, 0), "LINKDOWN");
	old_disable(&n->rx);
	old_disable(&n->tx);
	return 0;
}

/* Every buffer comes back empty, without a signal; the poll posts others. */
static int old_change_mtu(struct net_device *dev, int mtu)
{
	struct old_net *n = netdev_priv(dev);

	WRITE_ONCE(dev->mtu, mtu);
	n->room = mtu + ETH_HLEN;
	must(n, old_func(n, OLD_FLUSHRX, NULL, 0), "FLUSHRX");
	if (netif_running(dev)) {
		local_bh_disable();
		napi_schedule(&n->napi);
		local_bh_enable();
	}
	return 0;
}

static const struct net_device_ops old_ops = {
	.ndo_open = old_open,
	.ndo_stop = old_stop,
	.ndo_start_xmit = old_xmit,
	.ndo_change_mtu = old_change_mtu,
	.ndo_set_mac_address = eth_mac_addr,
	.ndo_validate_addr = eth_validate_addr,
};

static const char names[][ETH_GSTRING_LEN] = {
	"rx_empty", "rx_gso", "rx_csum", "rx_frags", "sg", "evq", "l4ro",
};

static int old_sset(struct net_device *dev, int set)
{
	return set == ETH_SS_STATS ? ARRAY_SIZE(names) : -EOPNOTSUPP;
}

static void old_strings(struct net_device *dev, u32 set, u8 *data)
{
	memcpy(data, names, sizeof(names));
}

static void old_stats(struct net_device *dev, struct ethtool_stats *s, u64 *v)
{
	struct old_net *n = netdev_priv(dev);

	v[0] = n->nb_rx_empty;
	v[1] = n->nb_gso_in;
	v[2] = n->nb_csum_in;
	v[3] = n->nb_frag_in;
	v[4] = n->sg_bits;
	v[5] = n->evq_bits;
	v[6] = n->l4ro_bits;
}

static const struct ethtool_ops old_ethtool = {
	.get_link = ethtool_op_get_link,
	.get_sset_count = old_sset,
	.get_strings = old_strings,
	.get_ethtool_stats = old_stats,
};

/* ---- capabilities and blocks --------------------------------------------------------------- */

static int negcap(struct old_net *n, u32 gid, u32 bits, u32 *granted)
{
	__le32 c[2] = { cpu_to_le32(gid), cpu_to_le32(bits) };
	int ret = old_func(n, OLD_NEGCAP, c, sizeof(c));

	*granted = le32_to_cpu(c[1]);
	if (*granted & ~bits)
		old_fatal("group %u: granted %x of %x", gid, *granted, bits);
	return ret;
}

static int setup_evq(struct old_net *n)
{
	__le32 q[8] = { 0 };
	u32 evsize;
	u32 i;
	int ret;

	ret = negcap(n, 1, old_evq ? 3 : 0, &n->evq_bits);
	if (ret || !n->evq_bits)
		return ret;
	if (n->evq_bits & 2)
		old_fatal("TXC was granted");
	ret = old_func(n, OLD_EVQQUERY, q, sizeof(q));
	if (ret)
		return ret;
	evsize = le32_to_cpu(q[1]);
	n->ev_pool = kzalloc(evsize * OLD_RING, GFP_KERNEL);
	if (!n->ev_pool || old_ring_alloc(n->bus, &n->ev, OLD_RING))
		return -ENOMEM;
	n->ev.priv = n;
	n->ev.notify = on_netevents;
	must(n, old_share(n, le32_to_cpu(q[2]), n->ev_pool, evsize * OLD_RING, NULL), "event pool");
	must(n, old_share(n, le32_to_cpu(q[3]), n->ev.h,
			  sizeof(*n->ev.h) + OLD_RING * sizeof(struct old_desc), &n->ev),
	     "event ring");
	/* Filled when south has it already, and without a word (7.5). */
	for (i = 0; i < OLD_RING; i++) {
		struct old_desc *d = &n->ev.h->desc[i];

		d->ptr = cpu_to_le64(i * evsize);
		d->len = cpu_to_le64(evsize);
		old_idx_push(&n->ev, &n->ev.h->valid);
		WRITE_ONCE(d->sown, 1);
	}
	netif_carrier_off(n->dev);	/* until an event says otherwise */
	old_enable(&n->ev);
	return 0;
}

static int setup_l4ro(struct old_net *n)
{
	__le32 q[8] = { 0 };
	u32 size = OLD_RING * OLD_SG_SLOT;
	int ret;

	ret = negcap(n, 2, old_l4ro ? 0xf : 0, &n->l4ro_bits);
	if (ret || !(n->l4ro_bits & 1))
		return ret;
	ret = old_func(n, OLD_L4ROQUERY, q, sizeof(q));
	if (ret)
		return ret;
	n->rx_pool = kzalloc(size, GFP_KERNEL);
	if (!n->rx_pool || old_ring_alloc(n->bus, &n->pages, OLD_RING))
		return -ENOMEM;
	n->pages.priv = n;
	must(n, old_share(n, le32_to_cpu(q[1]), n->rx_pool, size, NULL), "sg pool");
	must(n, old_share(n, le32_to_cpu(q[2]), n->pages.h,
			  sizeof(*n->pages.h) + OLD_RING * sizeof(struct old_desc), &n->pages),
	     "page ring");
	return 0;
}

static int setup_rings(struct old_net *n)
{
	const u32 size = sizeof(struct old_head) + OLD_RING * sizeof(struct old_desc);
	int id;

	if (old_ring_alloc(n->bus, &n->rx, OLD_RING) || old_ring_alloc(n->bus, &n->tx, OLD_RING))
		return -ENOMEM;
	n->rx.priv = n;
	n->tx.priv = n;
	n->rx.notify = on_rx;
	n->tx.notify = on_tx;
	must(n, old_share(n, 0, n->rx.h, size, &n->rx), "receive ring");
	must(n, old_share(n, 1, n->tx.h, size, &n->tx), "transmit ring");
	if (!(n->sg_bits & 0x20))
		return 0;
	n->tx_pool = kzalloc(OLD_RING * OLD_SG_SLOT, GFP_KERNEL);
	if (!n->tx_pool)
		return -ENOMEM;
	id = old_func(n, OLD_PMTDQUERY, NULL, 0);
	must(n, id, "PMTDQUERY");
	must(n, old_share(n, id, n->tx_pool, OLD_RING * OLD_SG_SLOT, NULL), "transmit pool");
	return 0;
}

static void set_features(struct old_net *n)
{
	netdev_features_t f = 0;

	if (n->sg_bits & 1)
		f |= NETIF_F_SG | NETIF_F_HW_CSUM | NETIF_F_HIGHDMA;
	if (n->sg_bits & 2)
		f |= NETIF_F_TSO;
	if (n->sg_bits & 4)
		f |= NETIF_F_TSO6;
	if (n->sg_bits & 8)
		f |= NETIF_F_TSO_ECN;
	n->dev->hw_features = f;
	n->dev->features = f | NETIF_F_HIGHDMA;
}

static int setup(struct old_net *n)
{
	u32 want = old_sg ? 1 | (old_tso ? 0xe : 0) | (old_pmtd ? 0x20 : 0) : 0;
	u8 mac[ETH_ALEN];
	int ret;

	ret = negcap(n, 0, want, &n->sg_bits);
	if (!ret)
		ret = setup_evq(n);
	if (!ret)
		ret = setup_l4ro(n);
	if (!ret)
		ret = setup_rings(n);
	if (!ret)
		ret = old_func(n, OLD_MACQUERY, mac, sizeof(mac));
	if (ret)
		return ret;
	eth_hw_addr_set(n->dev, mac);
	set_features(n);
	if (n->l4ro_bits & 1)
		old_rx_pages(n);
	return old_rx_fill(n);
}

struct old_net *old_net_probe(struct old_bus *bus, struct device *parent, u32 devid)
{
	struct net_device *dev = alloc_etherdev(sizeof(struct old_net));
	struct {
		__le32 devid, version;
		__le64 handle;
	} *args = kmalloc(sizeof(*args), GFP_KERNEL);
	struct old_net *n;
	int ret;

	if (!dev || !args)
		return NULL;
	n = netdev_priv(dev);
	n->dev = dev;
	n->bus = bus;
	n->devid = devid;
	n->room = ETH_DATA_LEN + ETH_HLEN;
	spin_lock_init(&n->tx_lock);
	args->devid = cpu_to_le32(devid);
	args->version = cpu_to_le32(1);
	ret = old_devcall(bus, 0, args, sizeof(*args));
	n->handle = le64_to_cpu(args->handle);
	kfree(args);
	if (ret) {
		free_netdev(dev);
		return NULL;
	}
	SET_NETDEV_DEV(dev, parent);
	dev->netdev_ops = &old_ops;
	dev->ethtool_ops = &old_ethtool;
	dev->max_mtu = 9600;
	netif_napi_add(dev, &n->napi, old_rx_poll);
	ret = setup(n);
	/* While down, in any state: none of them may fail (7.6, 7.7). */
	must(n, old_func(n, OLD_LINKDOWN, NULL, 0), "LINKDOWN while down");
	must(n, old_func(n, OLD_FLUSHRX, NULL, 0), "FLUSHRX while down");
	if (!ret)
		ret = register_netdev(dev);
	if (ret)
		netdev_err(dev, "old driver: probe failed: %d\n", ret);
	else
		netdev_info(dev, "old driver: sg %x evq %x l4ro %x\n", n->sg_bits, n->evq_bits,
			    n->l4ro_bits);
	return ret ? NULL : n;
}

void old_net_remove(struct old_net *n)
{
	unregister_netdev(n->dev);
}

/* South has lost bus master: nothing of it is looked at any more. */
void old_net_free(struct old_net *n)
{
	list_del(&n->node);
	old_rx_free(n);
	old_tx_free(n);
	old_ring_free(&n->rx);
	old_ring_free(&n->tx);
	if (n->ev.h)
		old_ring_free(&n->ev);
	if (n->pages.h)
		old_ring_free(&n->pages);
	kfree(n->rx_pool);
	kfree(n->tx_pool);
	kfree(n->ev_pool);
	free_netdev(n->dev);
}
