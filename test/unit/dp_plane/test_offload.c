/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/* Frames that ask for checksums and segmentation, to ports that can and to ports that cannot. */

#include "dp_rig.h"

#include <stdio.h>
#include <string.h>

#include <ethdev_driver.h>
#include <rte_eth_ring.h>
#include <rte_ethdev.h>

#include <vbus/venet.h>

#include "../core/cu_run.h"
#include "../venet/rig.h"

#define MSS 1428u /* with IPv6 headers 1488 */

static char err[DP_ERR_SIZE];
static struct dp_switch *sw;
static struct dpr_north *a, *plain, *rich; /* sender; without offloads; takes all */
static struct dp_port *up;		   /* net_ring: no offload of its own */
static struct rte_ring *to_up, *from_up;
static struct dpr_frame f;

/** A TCP frame to @p dst with open checksum, and TSO when its payload is larger than a segment. */
static uint32_t
open_frame(uint8_t *p, const struct rig_tcp *t, uint32_t dst, struct vbus_offload *o)
{
	struct vbus_hdr h;
	uint32_t len = rig_build(p, t, &h);

	dpr_mac(p, dst);
	dpr_mac(p + 6, 1);
	rig_put_pseudo(p, len, &h);
	*o = (struct vbus_offload){.flags = VENET_SG_FLAG_NEEDS_CSUM,
		.csum_start = h.l2_len + h.l3_len,
		.csum_offset = t->udp ? 6 : 16};
	if (t->payload > MSS && !t->udp) {
		o->flags |= VENET_SG_FLAG_GSO;
		o->gso_type = t->v6 ? VENET_GSO_TYPE_TCPV6 : VENET_GSO_TYPE_TCPV4;
		o->gso_hdrlen = h.l2_len + h.l3_len + h.l4_len;
		o->gso_size = MSS;
	}
	return len;
}

/** The next frame of the uplink, waited for; whole. */
static bool
up_recv(struct dpr_frame *to)
{
	struct rte_mbuf *m = NULL;
	struct rte_mbuf *s;

	if (!DPR_UNTIL(rte_ring_dequeue(from_up, (void **)&m) == 0))
		return false;
	CU_ASSERT_EQUAL(m->ol_flags & VBUS_OFFLOAD_TX_FLAGS, 0);
	to->len = 0;
	to->flags = 0;
	for (s = m; s != NULL; s = s->next) {
		memcpy(to->data + to->len, rte_pktmbuf_mtod(s, void *), s->data_len);
		to->len += s->data_len;
	}
	CU_ASSERT_EQUAL(to->len, m->pkt_len);
	rte_pktmbuf_free(m);
	return true;
}

static bool
plain_recv(struct dpr_frame *to)
{
	return dpr_recv(plain, to);
}

/** Checksums are right, but for the field of a frame that still asks. */
static void
check_payload(const struct rig_tcp *t, bool (*recv_fn)(struct dpr_frame *))
{
	uint8_t want[DPR_FRAME];
	struct vbus_hdr h;
	uint32_t len = rig_build(want, t, &h);
	uint32_t hdr_len = (uint32_t)h.l2_len + h.l3_len + h.l4_len;
	uint32_t off = hdr_len;

	while (off < len) {
		uint32_t n = RTE_MIN(len - off, MSS);

		CU_ASSERT_TRUE_FATAL(recv_fn(&f));
		CU_ASSERT_EQUAL_FATAL(f.len, hdr_len + n);
		CU_ASSERT(rig_csum_ok(f.data, f.len));
		CU_ASSERT_EQUAL(memcmp(f.data + hdr_len, want + off, n), 0);
		off += n;
	}
}

static void
check_whole(const struct rig_tcp *t)
{
	uint8_t want[DPR_FRAME];
	struct vbus_offload o;
	uint32_t len = open_frame(want, t, 0, &o);

	CU_ASSERT_TRUE_FATAL(dpr_recv(rich, &f));
	CU_ASSERT_EQUAL(f.len, len);
	CU_ASSERT_EQUAL(f.flags & (VENET_SG_FLAG_NEEDS_CSUM | VENET_SG_FLAG_GSO), o.flags);
	/* All but the addresses, and IPv4's header checksum that was open. */
	CU_ASSERT_EQUAL(memcmp(f.data + 30, want + 30, len - 30), 0);
}

static const struct rig_tcp kinds[] = {
	{.payload = 1000, .seed = 1},
	{.payload = 1000, .seed = 2, .udp = true},
	{.payload = 777, .seed = 3, .v6 = true},
	{.payload = 20000, .seed = 4},
	{.payload = 1420, .seed = 5, .v6 = true, .vlan = true},
	{.payload = 30001, .seed = 6, .v6 = true},
};

static void
learn_all(void)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(dp_plane_pool(-1));
	struct dp_switch_stats st;

	dpr_say(a, 0, 1, 0);
	dpr_hears(plain, 0, 1, 0);
	dpr_hears(rich, 0, 1, 0);
	CU_ASSERT(up_recv(&f));
	dpr_say(plain, 1, 2, 0);
	dpr_hears(a, 1, 2, 0);
	dpr_say(rich, 1, 3, 0);
	dpr_hears(a, 1, 3, 0);
	CU_ASSERT_PTR_NOT_NULL_FATAL(m);
	dpr_eth((uint8_t *)rte_pktmbuf_append(m, 60), 1, 4, 60, 0);
	CU_ASSERT_EQUAL(rte_ring_enqueue(to_up, m), 0);
	dpr_hears(a, 1, 4, 0);
	CU_ASSERT(DPR_UNTIL((dp_switch_stats(sw, &st), st.addresses == 4)));
}

static void
test_to_one(void)
{
	uint8_t p[DPR_FRAME];
	struct vbus_offload o;
	uint32_t len;
	unsigned int i;

	learn_all();
	for (i = 0; i < RTE_DIM(kinds); i++) {
		len = open_frame(p, &kinds[i], 2, &o);
		CU_ASSERT(dpr_send(a, p, len, &o));
		check_payload(&kinds[i], plain_recv);
		len = open_frame(p, &kinds[i], 3, &o);
		CU_ASSERT(dpr_send(a, p, len, &o));
		check_whole(&kinds[i]);
		len = open_frame(p, &kinds[i], 4, &o);
		CU_ASSERT(dpr_send(a, p, len, &o));
		check_payload(&kinds[i], up_recv);
	}
}

static void
test_to_all(void)
{
	uint8_t p[DPR_FRAME];
	struct vbus_offload o;
	uint32_t len;
	unsigned int i;

	/* One frame by reference at three ports: none spoils it for the others. */
	for (i = 0; i < RTE_DIM(kinds); i++) {
		len = open_frame(p, &kinds[i], 0, &o);
		CU_ASSERT(dpr_send(a, p, len, &o));
		check_payload(&kinds[i], plain_recv);
		check_whole(&kinds[i]);
		check_payload(&kinds[i], up_recv);
	}
}

static void
test_segments_too_large(void)
{
	const struct rig_tcp t = {.payload = 20000, .seed = 9};
	struct dp_port_stats before, after;
	uint8_t p[DPR_FRAME];
	struct vbus_offload o;
	uint32_t len = open_frame(p, &t, 2, &o);

	dp_port_stats(plain->port, &before);
	o.gso_size = 1461; /* 1501 with headers */
	CU_ASSERT(dpr_send(a, p, len, &o));
	CU_ASSERT(DPR_UNTIL(
		(dp_port_stats(plain->port, &after), after.drop_mtu == before.drop_mtu + 1)));
	dpr_silent(plain);
}

static void
test_uplink_in(void)
{
	const struct rig_tcp t = {.payload = 5000, .seed = 11};
	struct rte_mbuf *m = rte_pktmbuf_alloc(dp_plane_pool(-1));
	struct dp_port_stats st;
	uint8_t p[DPR_FRAME];
	struct vbus_offload o;
	uint32_t len = open_frame(p, &t, 2, &o);
	uint32_t off, n;

	CU_ASSERT_PTR_NOT_NULL_FATAL(m);
	/* As a vhost port hands it out: flags, but no lengths. */
	for (off = 0; off < len; off += n) {
		struct rte_mbuf *s = off == 0 ? m : rte_pktmbuf_alloc(dp_plane_pool(-1));

		n = RTE_MIN(len - off, 2000u);
		memcpy(rte_pktmbuf_append(s, (uint16_t)n), p + off, n);
		if (off != 0)
			CU_ASSERT_EQUAL(rte_pktmbuf_chain(m, s), 0);
	}
	m->ol_flags = RTE_MBUF_F_RX_L4_CKSUM_NONE | RTE_MBUF_F_RX_LRO;
	m->tso_segsz = MSS;
	CU_ASSERT_EQUAL(rte_ring_enqueue(to_up, m), 0);
	check_payload(&t, plain_recv);
	/* Too short to be a frame. */
	m = rte_pktmbuf_alloc(dp_plane_pool(-1));
	CU_ASSERT_PTR_NOT_NULL_FATAL(m);
	memset(rte_pktmbuf_append(m, 13), 0, 13);
	CU_ASSERT_EQUAL(rte_ring_enqueue(to_up, m), 0);
	CU_ASSERT(DPR_UNTIL((dp_port_stats(up, &st), st.drop_runt == 1)));
	/* Nobody can be an uplink twice. */
	CU_ASSERT_PTR_NULL(dp_port_add_uplink(dp_port_name(up), sw, err, sizeof(err)));
	CU_ASSERT_PTR_NULL(dp_port_add_uplink("net_nobody", sw, err, sizeof(err)));
}

static void
on_address(const struct dp_fdb_entry *e, void *arg)
{
	*(bool *)arg |= strcmp(e->port, dp_port_name(up)) == 0;
}

/** The driver says that the device is gone: the port is out of everything, but for its counters. */
static void
test_unplugged(void)
{
	struct dp_port_stats before, after;
	bool learned = false;
	uint16_t eth_id;

	CU_ASSERT_EQUAL_FATAL(rte_eth_dev_get_port_by_name("net_ring_up", &eth_id), 0);
	CU_ASSERT_FALSE(dp_port_gone(up));
	CU_ASSERT_TRUE(dp_uplink_exists("net_ring_up"));
	dp_port_stats(up, &before);
	dp_switch_fdb(sw, on_address, &learned);
	CU_ASSERT_TRUE(learned);
	/* Twice, as by the driver and by EAL. */
	rte_eth_dev_callback_process(&rte_eth_devices[eth_id], RTE_ETH_EVENT_INTR_RMV, NULL);
	rte_eth_dev_callback_process(&rte_eth_devices[eth_id], RTE_ETH_EVENT_INTR_RMV, NULL);
	CU_ASSERT(DPR_UNTIL(dp_port_gone(up)));
	CU_ASSERT(DPR_UNTIL(!dp_uplink_exists("net_ring_up")));
	learned = false;
	dp_switch_fdb(sw, on_address, &learned);
	CU_ASSERT_FALSE(learned);
	dpr_say(a, 0, 77, 1);
	dpr_hears(plain, 0, 77, 1);
	dp_port_stats(up, &after);
	CU_ASSERT(before.rx_packets > 0);
	CU_ASSERT_EQUAL(memcmp(&before, &after, sizeof(before)), 0);
	/* Whatever is done to it does nothing. */
	CU_ASSERT_EQUAL(dp_port_set_switch(up, NULL), 0);
	CU_ASSERT_EQUAL(dp_port_set_switch(up, sw), 0);
}

static struct dpr_north *
port_with(const char *name, bool sg, bool l4ro)
{
	struct dpr_north *n = dpr_open(name, 0, sg, l4ro);

	n->port = dp_port_add_venet(&n->dev, sw, err, sizeof(err));
	return n;
}

/* The first and the last test: what asserts may not run outside of one. */

static void
test_come(void)
{
	sw = dp_switch_create("br0", 300, 64, err, sizeof(err));
	CU_ASSERT_PTR_NOT_NULL_FATAL(sw);
	up = dp_port_add_uplink("net_ring_up", sw, err, sizeof(err));
	CU_ASSERT_PTR_NOT_NULL_FATAL(up);
	a = port_with("a", true, false);
	plain = port_with("plain", false, false);
	rich = port_with("rich", false, true);
}

static void
test_go(void)
{
	dpr_close(a);
	dpr_close(plain);
	dpr_close(rich);
	dp_port_del(up);
	CU_ASSERT_EQUAL(dp_switch_delete(sw), 0);
}

static int
start(void)
{
	to_up = rte_ring_create("to_up", 64, SOCKET_ID_ANY, 0);
	from_up = rte_ring_create("from_up", 64, SOCKET_ID_ANY, 0);
	return to_up == NULL || from_up == NULL ||
	       rte_eth_from_rings("up", &to_up, 1, &from_up, 1, 0) < 0 ||
	       dp_plane_start(DP_MODE_ADAPTIVE, 200, err, sizeof(err)) < 0;
}

int
main(int argc, char **argv)
{
	static const struct cu_test tests[] = {
		{"ports come", test_come},
		{"to one port", test_to_one},
		{"flooded", test_to_all},
		{"segments larger than the MTU", test_segments_too_large},
		{"from an uplink", test_uplink_in},
		{"an uplink is unplugged", test_unplugged},
		{"ports go", test_go},
		{NULL, NULL},
	};
	int ret;

	(void)argc;
	ret = dpr_eal(argv[0]);
	return ret != 0 ? ret : cu_run("vbus-dp offloads", tests, start, dpr_stop);
}
