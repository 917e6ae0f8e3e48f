// SPDX-License-Identifier: GPL-2.0-only
/* Copyright(c) 2026 vbus developers */

/*
 * A session with the device: open, negotiate, share, LINKUP, and all the way back (doc/abi.md
 * section 5). Under RTNL, in process context.
 *
 * Order on the way down: nobody sends or polls, LINKDOWN, DEVCLOSE (the bus module frees what
 * was shared), then our buffers. After DEVCLOSE south touches none of them; when south is gone
 * already the calls fail and the memory is ours all the same.
 */
#include <linux/moduleparam.h>

#include "venet.h"

static bool sg = true;
module_param(sg, bool, 0444);
MODULE_PARM_DESC(sg, "send scattered and large frames, leave checksums to south (default on)");

static bool pmtd = true;
module_param(pmtd, bool, 0444);
MODULE_PARM_DESC(pmtd, "keep transmit descriptors in a shared pool (default on)");

static bool l4ro = true;
module_param(l4ro, bool, 0444);
MODULE_PARM_DESC(l4ro, "receive scattered and large frames and unfinished checksums (default on)");

static bool eventq = true;
module_param(eventq, bool, 0444);
MODULE_PARM_DESC(eventq, "take the carrier from the device's events (default on)");

#define LARGE (VENET_CAP_TSO4 | VENET_CAP_TSO6 | VENET_CAP_ECN)

/* NEGCAP of one group. Bits or negative errno. */
static int venet_negcap(struct venet *v, u32 group, u32 want)
{
	struct venet_capabilities c = {
		.gid = cpu_to_le32(group),
		.bits = cpu_to_le32(want),
	};
	int ret;

	ret = vbus_device_call(v->vdev, VENET_FUNC_NEGCAP, &c, sizeof(c));
	if (ret < 0)
		return ret;
	ret = le32_to_cpu(c.bits) & want;
	return ret & 1 ? ret : 0; /* in every group: without bit 0 the others mean nothing */
}

/* What the module's parameters and south leave of our wishes. */
int venet_session_probe(struct venet *v)
{
	u32 want_sg = sg ? VENET_CAP_SG | LARGE | (pmtd ? VENET_CAP_PMTD : 0) : 0;
	u32 want_l4ro = l4ro ? VENET_CAP_SG | LARGE : 0;
	u8 mac[VENET_MAC_LEN];
	int ret;

	ret = vbus_device_open(v->vdev, VENET_VERSION);
	if (ret < 0)
		return ret;
	ret = vbus_device_call(v->vdev, VENET_FUNC_MACQUERY, mac, sizeof(mac));
	if (ret < 0)
		goto out;
	ret = venet_negcap(v, VENET_CAP_GROUP_SG, want_sg);
	if (ret < 0)
		goto out;
	v->offer_sg = ret;
	ret = venet_negcap(v, VENET_CAP_GROUP_L4RO, want_l4ro);
	if (ret < 0)
		goto out;
	v->offer_l4ro = ret;
	ret = 0;
	if (is_valid_ether_addr(mac)) {
		eth_hw_addr_set(v->dev, mac);
	} else {
		dev_warn(&v->vdev->dev, "no valid address, a random one is taken\n");
		eth_hw_addr_random(v->dev);
	}
out:
	vbus_device_close(v->vdev);
	return ret;
}

static int venet_up_events(struct venet *v)
{
	struct venet_eventq_query q = {};
	u32 size;
	int ret;

	v->evq = 0;
	ret = venet_negcap(v, VENET_CAP_GROUP_EVENTQ, eventq ? VENET_CAP_EVQ_LINKSTATE : 0);
	if (ret <= 0)
		return ret;
	v->evq = ret;
	ret = vbus_device_call(v->vdev, VENET_FUNC_EVQQUERY, &q, sizeof(q));
	if (ret < 0)
		return ret;
	size = le32_to_cpu(q.evsize);
	if (size < sizeof(struct venet_event_linkstate) || size > VENET_EVSIZE_MAX)
		return -EPROTO;
	return venet_events_create(v, size, le32_to_cpu(q.dpid), le32_to_cpu(q.qid));
}

static int venet_up_rx(struct venet *v)
{
	struct venet_l4ro_query q = {};
	int ret;

	ret = venet_negcap(v, VENET_CAP_GROUP_L4RO, v->want_l4ro);
	if (ret < 0)
		return ret;
	v->l4ro = ret;
	if (v->l4ro & VENET_CAP_SG) {
		ret = vbus_device_call(v->vdev, VENET_FUNC_L4ROQUERY, &q, sizeof(q));
		if (ret < 0)
			return ret;
		ret = venet_l4ro_create(v, le32_to_cpu(q.dpid), le32_to_cpu(q.pqid));
		if (ret < 0)
			return ret;
	}
	ret = venet_rx_create(v);
	if (ret == 0)
		ret = venet_rx_fill(v);
	return ret < 0 ? ret : vbus_ioq_share(&v->rx.ring);
}

static int venet_up_all(struct venet *v)
{
	int ret;

	ret = venet_negcap(v, VENET_CAP_GROUP_SG, v->offer_sg);
	if (ret < 0)
		return ret;
	if ((u32)ret != v->offer_sg)
		return -EPROTO; /* features that the stack uses are gone */
	v->sg = ret;
	ret = venet_up_events(v);
	if (ret == 0)
		ret = venet_up_rx(v);
	if (ret == 0)
		ret = venet_tx_create(v);
	if (ret == 0)
		ret = vbus_device_call(v->vdev, VENET_FUNC_LINKUP, NULL, 0);
	return ret;
}

static void venet_session_free(struct venet *v)
{
	vbus_device_close(v->vdev);
	venet_rx_free(v);
	venet_tx_free(v);
}

/* On failure nothing is left, and the queue stays stopped. */
int venet_session_up(struct venet *v)
{
	int ret;

	netif_carrier_off(v->dev);
	v->nb_rx = v->want_rx;
	v->nb_tx = v->want_tx;
	ret = vbus_device_open(v->vdev, VENET_VERSION);
	if (ret < 0)
		return ret;
	ret = venet_up_all(v);
	if (ret < 0) {
		venet_session_free(v);
		return ret;
	}
	netdev_queue_set_dql_min_limit(venet_txq(v), VENET_TX_BQL_MIN);
	v->up = true;
	napi_enable(&v->napi);
	netif_tx_start_all_queues(v->dev);
	if (!(v->evq & VENET_CAP_EVQ_LINKSTATE))
		netif_carrier_on(v->dev);
	/* The first poll takes what lies there and enables the signals. */
	if (v->evq & VENET_CAP_EVQ_LINKSTATE)
		vbus_signal_enable(v->ev.ring.sig);
	local_bh_disable();
	napi_schedule(&v->napi);
	local_bh_enable();
	return 0;
}

void venet_session_down(struct venet *v)
{
	if (!v->up)
		return;
	netif_tx_disable(v->dev);
	v->up = false;
	napi_disable(&v->napi);
	timer_delete_sync(&v->tx.timer);
	netif_carrier_off(v->dev);
	vbus_signal_disable(v->rx.ring.sig);
	vbus_signal_disable(v->tx.ring.sig);
	if (v->evq & VENET_CAP_EVQ_LINKSTATE)
		vbus_signal_disable(v->ev.ring.sig);
	vbus_device_call(v->vdev, VENET_FUNC_LINKDOWN, NULL, 0);
	venet_session_free(v);
}
