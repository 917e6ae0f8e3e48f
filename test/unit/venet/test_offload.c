/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/* offload.c and offload_gso.c against rte_net's checksums, and with headers that lie. */

#include "rig.h"

#include <errno.h>
#include <string.h>

#include <rte_ip.h>
#include <rte_net.h>

#include "../core/cu_run.h"

static struct rig r;
static uint8_t buf[RIG_FRAME], ref[RIG_FRAME], flat[RIG_FRAME];

static void
test_open(void)
{
	rig_open(&r, 0, 0, 0);
}

static void
test_close(void)
{
	rig_close(&r);
}

/** The i-th kind of frame. */
static struct rig_tcp
kind(uint32_t i)
{
	return (struct rig_tcp){.v6 = i & 1,
		.vlan = i & 2,
		.udp = i & 4,
		.opt_len = i & 8 ? 12 : 0,
		.payload = i * 37 % 1400,
		.tcp_flags = 0x18,
		.seed = i};
}

static void
set_tx(struct rte_mbuf *m, const struct vbus_hdr *h)
{
	m->l2_len = h->l2_len;
	m->l3_len = h->l3_len;
	m->l4_len = h->l4_len;
	m->ol_flags = h->v6 ? RTE_MBUF_F_TX_IPV6 : RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM;
	m->ol_flags |= h->l4_proto == 6 ? RTE_MBUF_F_TX_TCP_CKSUM : RTE_MBUF_F_TX_UDP_CKSUM;
}

static void
test_parse(void)
{
	struct rte_net_hdr_lens lens;
	struct vbus_hdr h, want;
	uint32_t i, len, cut;

	for (i = 0; i < 64; i++) {
		struct rig_tcp t = kind(i);
		struct rte_mbuf *m;

		len = rig_build(buf, &t, &want);
		CU_ASSERT_EQUAL(vbus_hdr_parse(buf, len, &h), 0);
		CU_ASSERT_EQUAL(memcmp(&h, &want, sizeof(h)), 0);
		m = rig_mbuf(&r, buf, len, 1);
		rte_net_get_ptype(m, &lens, RTE_PTYPE_ALL_MASK);
		CU_ASSERT_EQUAL(h.l2_len, lens.l2_len);
		CU_ASSERT_EQUAL(h.l3_len, lens.l3_len);
		CU_ASSERT_EQUAL(h.l4_len, lens.l4_len);
		rte_pktmbuf_free(m);
		for (cut = 0; cut < (uint32_t)want.l2_len + want.l3_len + want.l4_len; cut++) {
			memcpy(ref, buf, cut);
			CU_ASSERT_EQUAL(vbus_hdr_parse(ref, cut, &h), -EINVAL);
		}
	}
}

static void
test_parse_odd(void)
{
	struct rig_tcp t = kind(0);
	struct vbus_hdr h;
	uint32_t len = rig_build(buf, &t, &h);

	buf[14 + 6] = 0x20; /* more fragments */
	CU_ASSERT_EQUAL(vbus_hdr_parse(buf, len, &h), 0);
	CU_ASSERT_TRUE(h.frag);
	CU_ASSERT_EQUAL(h.l4_len, 0);
	buf[14 + 6] = 0x40; /* do not fragment */
	CU_ASSERT_EQUAL(vbus_hdr_parse(buf, len, &h), 0);
	CU_ASSERT_EQUAL(h.l4_len, 20);
	buf[14] = 0x44; /* header of 16 bytes */
	CU_ASSERT_EQUAL(vbus_hdr_parse(buf, len, &h), -EINVAL);
	buf[14] = 0x65;
	CU_ASSERT_EQUAL(vbus_hdr_parse(buf, len, &h), -EINVAL);
	buf[14] = 0x45;
	buf[14 + 20 + 12] = 0x40; /* TCP header of 16 bytes */
	CU_ASSERT_EQUAL(vbus_hdr_parse(buf, len, &h), -EINVAL);
	buf[14 + 9] = 89; /* OSPF */
	CU_ASSERT_EQUAL(vbus_hdr_parse(buf, len, &h), 0);
	CU_ASSERT_EQUAL(h.l4_proto, 0);
	CU_ASSERT_EQUAL(h.l3_len, 20);
	buf[12] = 0x08;
	buf[13] = 0x06; /* ARP */
	CU_ASSERT_EQUAL(vbus_hdr_parse(buf, len, &h), 0);
	CU_ASSERT_EQUAL(h.l3_len, 0);
	/* Three tags. */
	memset(buf, 0, 64);
	buf[12] = buf[16] = buf[20] = 0x81;
	CU_ASSERT_EQUAL(vbus_hdr_parse(buf, len, &h), -EINVAL);

	/* IPv6 with a hop-by-hop header of 16 bytes, then TCP; then a chain that does not end. */
	t.v6 = true;
	rig_build(ref, &t, &h);
	memcpy(buf, ref, 54);
	memset(buf + 54, 0, 16);
	buf[20] = 0;
	buf[54] = 6;
	buf[55] = 1;
	memcpy(buf + 70, ref + 54, 20);
	CU_ASSERT_EQUAL(vbus_hdr_parse(buf, 90, &h), 0);
	CU_ASSERT_EQUAL(h.l3_len, 56);
	CU_ASSERT_EQUAL(h.l4_proto, 6);
	memset(buf + 54, 0, 200);
	CU_ASSERT_EQUAL(vbus_hdr_parse(buf, 254, &h), 0);
	CU_ASSERT_EQUAL(h.l4_proto, 0);
	buf[55] = 255;
	CU_ASSERT_EQUAL(vbus_hdr_parse(buf, 254, &h), -EINVAL);
}

/** The complete checksum, and the pseudo-header's, as rte_net has them. */
static void
test_tx_csum(void)
{
	struct vbus_offload_plan plan;
	struct vbus_offload o;
	struct vbus_hdr h;
	uint32_t i, n, len;

	for (i = 0; i < 1600; i++) {
		struct rig_tcp t = kind(i);
		struct rte_mbuf *m;

		len = rig_build(buf, &t, &h);
		memcpy(ref, buf, len);
		rig_put_csums(ref, &h);
		/* What lies in the fields does not matter; trailing padding does not count. */
		rig_fill(buf + h.l2_len + h.l3_len + (t.udp ? 6 : 16), 2, i);
		if (!t.v6)
			rig_fill(buf + h.l2_len + 10, 2, i);
		rig_fill(buf + len, 4, i);
		m = rig_mbuf(&r, buf, len + (i & 3), 1 + i % 5);
		set_tx(m, &h);
		CU_ASSERT_EQUAL(vbus_offload_plan_tx(m, false, &plan), 0);
		CU_ASSERT_EQUAL(plan.o.flags, 0);
		for (n = 0; n < plan.nb_patches; n++)
			memcpy(buf + plan.patch[n].off, &plan.patch[n].val, 2);
		CU_ASSERT_EQUAL(memcmp(buf, ref, len), 0);
		CU_ASSERT_TRUE(rig_csum_ok(buf, len));
		/* The same into the mbuf itself. */
		CU_ASSERT_EQUAL(vbus_offload_finish_tx_csum(m), 0);
		CU_ASSERT_EQUAL(m->ol_flags & VBUS_OFFLOAD_TX_FLAGS, 0);
		rig_flat(m, flat);
		CU_ASSERT_EQUAL(memcmp(flat, ref, len), 0);
		/* And in two steps: north's half, then ours. */
		set_tx(m, &h);
		CU_ASSERT_EQUAL(vbus_offload_from_tx(m, &o), 0);
		CU_ASSERT_EQUAL(o.flags, VENET_SG_FLAG_NEEDS_CSUM);
		CU_ASSERT_EQUAL(o.csum_start, h.l2_len + h.l3_len);
		CU_ASSERT_EQUAL(o.csum_offset, t.udp ? 6 : 16);
		rig_flat(m, flat);
		rig_put_pseudo(ref, len, &h);
		CU_ASSERT_EQUAL(memcmp(flat, ref, len), 0);
		rte_pktmbuf_free(m);
		m = rig_mbuf(&r, flat, len, 1 + i % 3);
		CU_ASSERT_EQUAL(vbus_offload_finish_csum(m, o.csum_start, o.csum_offset), 0);
		rig_flat(m, flat);
		CU_ASSERT_TRUE(rig_csum_ok(flat, len));
		rte_pktmbuf_free(m);
	}
}

static void
test_tx_refused(void)
{
	struct rig_tcp t = kind(0);
	struct vbus_offload_plan plan;
	struct vbus_offload o;
	struct vbus_hdr h;
	struct rte_mbuf *m, *clone;
	uint32_t len;

	t.payload = 3000;
	len = rig_build(buf, &t, &h);
	m = rig_mbuf(&r, buf, len, 2);
	CU_ASSERT_EQUAL(vbus_offload_plan_tx(m, true, &plan), 0);
	CU_ASSERT_EQUAL(plan.o.flags + plan.nb_patches, 0);
	set_tx(m, &h);
	m->l3_len = 24;
	CU_ASSERT_EQUAL(vbus_offload_plan_tx(m, true, &plan), -EINVAL);
	m->l3_len = 0;
	CU_ASSERT_EQUAL(vbus_offload_plan_tx(m, true, &plan), -EINVAL);
	m->l3_len = 511;
	CU_ASSERT_EQUAL(vbus_offload_plan_tx(m, true, &plan), -EINVAL);
	set_tx(m, &h);
	m->l2_len = 127;
	CU_ASSERT_EQUAL(vbus_offload_plan_tx(m, true, &plan), -EINVAL);
	set_tx(m, &h);
	m->ol_flags |= RTE_MBUF_F_TX_TCP_SEG;
	m->tso_segsz = 0;
	CU_ASSERT_EQUAL(vbus_offload_plan_tx(m, true, &plan), -EINVAL);
	m->tso_segsz = 1000;
	m->l4_len = 16;
	CU_ASSERT_EQUAL(vbus_offload_plan_tx(m, true, &plan), -EINVAL);
	m->l4_len = 255;
	CU_ASSERT_EQUAL(vbus_offload_plan_tx(m, true, &plan), -EINVAL);
	set_tx(m, &h);
	m->ol_flags |= RTE_MBUF_F_TX_TUNNEL_VXLAN;
	CU_ASSERT_EQUAL(vbus_offload_plan_tx(m, true, &plan), -ENOTSUP);
	m->ol_flags = RTE_MBUF_F_TX_SCTP_CKSUM | RTE_MBUF_F_TX_IPV4;
	CU_ASSERT_EQUAL(vbus_offload_plan_tx(m, true, &plan), -ENOTSUP);
	m->ol_flags = RTE_MBUF_F_TX_UDP_SEG | RTE_MBUF_F_TX_IPV4;
	CU_ASSERT_EQUAL(vbus_offload_plan_tx(m, true, &plan), -ENOTSUP);
	/* Shared headers are not written. */
	set_tx(m, &h);
	clone = rte_pktmbuf_clone(m, r.pool);
	CU_ASSERT_EQUAL(vbus_offload_from_tx(clone, &o), -EROFS);
	CU_ASSERT_EQUAL(vbus_offload_from_tx(m, &o), -EROFS);
	CU_ASSERT_EQUAL(vbus_offload_finish_tx_csum(clone), -EROFS);
	rig_flat(m, flat);
	CU_ASSERT_EQUAL(memcmp(flat, buf, len), 0);
	rte_pktmbuf_free(clone);
	CU_ASSERT_EQUAL(vbus_offload_from_tx(m, &o), 0);
	rte_pktmbuf_free(m);
}

static void
test_to_rx(void)
{
	struct vbus_offload o = {0};
	struct vbus_hdr h;
	uint32_t i, len;

	for (i = 0; i < 32; i++) {
		struct rig_tcp t = kind(i);
		struct rte_mbuf *m;

		len = rig_build(buf, &t, &h);
		if (!t.v6)
			rig_put_csums(buf, &h);
		rig_put_pseudo(buf, len, &h);
		o = (struct vbus_offload){.flags = VENET_SG_FLAG_NEEDS_CSUM,
			.csum_start = h.l2_len + h.l3_len,
			.csum_offset = t.udp ? 6 : 16};
		m = rig_mbuf(&r, buf, len, 1);
		CU_ASSERT_EQUAL(vbus_offload_to_rx(m, &o), 0);
		CU_ASSERT_EQUAL(m->ol_flags, RTE_MBUF_F_RX_L4_CKSUM_NONE);
		CU_ASSERT_EQUAL(m->l2_len, h.l2_len);
		CU_ASSERT_EQUAL(m->l3_len, h.l3_len);
		CU_ASSERT_EQUAL(m->l4_len, h.l4_len);
		CU_ASSERT_EQUAL(RTE_ETH_IS_IPV4_HDR(m->packet_type) != 0, !t.v6);
		/* On to another port: the request stays one. */
		vbus_offload_rx_to_tx(m);
		CU_ASSERT_EQUAL(vbus_offload_finish_tx_csum(m), 0);
		rig_flat(m, flat);
		CU_ASSERT_TRUE(rig_csum_ok(flat, len));
		rte_pktmbuf_free(m);
		/* Another place than the headers say: done at once, as asked. */
		m = rig_mbuf(&r, buf, len, 1);
		o.csum_start = (uint16_t)(o.csum_start - 4);
		CU_ASSERT_EQUAL(vbus_offload_to_rx(m, &o), 0);
		CU_ASSERT_EQUAL(m->ol_flags, 0);
		rte_pktmbuf_free(m);
		m = rig_mbuf(&r, buf, len, 1);
		o.csum_start = (uint16_t)(len - 1);
		o.csum_offset = 0;
		CU_ASSERT_EQUAL(vbus_offload_to_rx(m, &o), -EINVAL);
		o.csum_start = 65535;
		o.csum_offset = 65535;
		CU_ASSERT_EQUAL(vbus_offload_to_rx(m, &o), -EINVAL);
		rte_pktmbuf_free(m);
	}
}

static void
test_to_rx_gso(void)
{
	struct rig_tcp t = {.payload = 4000, .tcp_flags = 0x10};
	struct vbus_offload good, o;
	struct vbus_hdr h;
	struct rte_mbuf *m;
	uint32_t len = rig_build(buf, &t, &h);

	rig_put_csums(buf, &h);
	rig_put_pseudo(buf, len, &h);
	good = (struct vbus_offload){.flags = VENET_SG_FLAG_NEEDS_CSUM | VENET_SG_FLAG_GSO,
		.csum_start = 34,
		.csum_offset = 16,
		.gso_type = VENET_GSO_TYPE_TCPV4,
		.gso_hdrlen = 9999, /* never believed */
		.gso_size = 1448};
	m = rig_mbuf(&r, buf, len, 3);
	CU_ASSERT_EQUAL(vbus_offload_to_rx(m, &good), 0);
	CU_ASSERT_EQUAL(m->ol_flags, RTE_MBUF_F_RX_L4_CKSUM_NONE | RTE_MBUF_F_RX_LRO);
	CU_ASSERT_EQUAL(m->tso_segsz, 1448);
	m->ol_flags = 0;
	o = good;
	o.gso_size = 4000; /* one segment */
	CU_ASSERT_EQUAL(vbus_offload_to_rx(m, &o), 0);
	CU_ASSERT_EQUAL(m->ol_flags, RTE_MBUF_F_RX_L4_CKSUM_NONE);
	o = good;
	o.gso_type = VENET_GSO_TYPE_TCPV6;
	CU_ASSERT_EQUAL(vbus_offload_to_rx(m, &o), -EINVAL);
	o.gso_type = VENET_GSO_TYPE_UDP;
	CU_ASSERT_EQUAL(vbus_offload_to_rx(m, &o), -EINVAL);
	o = good;
	o.gso_size = 0;
	CU_ASSERT_EQUAL(vbus_offload_to_rx(m, &o), -EINVAL);
	o = good;
	o.flags = VENET_SG_FLAG_GSO;
	CU_ASSERT_EQUAL(vbus_offload_to_rx(m, &o), -EINVAL);
	o = good;
	o.csum_start = 30;
	CU_ASSERT_EQUAL(vbus_offload_to_rx(m, &o), -EINVAL);
	rte_pktmbuf_free(m);
}

static uint32_t
be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/** Segments: payload, sequence, flags, identification, lengths and checksums. */
static void
segment_one(uint32_t i, bool refs)
{
	static struct rte_mbuf *out[200];
	struct rig_tcp t = {.v6 = i & 1,
		.vlan = i & 2,
		.opt_len = i & 4 ? 12 : 0,
		.payload = 2000 + i * 977 % 40000,
		.tcp_flags = 0x80 | 0x08 | 0x01 | 0x10,
		.seed = i};
	uint16_t segsz = (uint16_t)(500 + i * 31 % 960);
	struct vbus_hdr h;
	uint32_t len = rig_build(buf, &t, &h);
	uint32_t hdr_len = len - t.payload;
	uint32_t off = 0;
	uint8_t *l4 = buf + h.l2_len + h.l3_len;
	struct rte_mbuf *m = rig_mbuf(&r, buf, len, 1 + len / 1900);
	int nb, k;

	set_tx(m, &h);
	m->ol_flags |= RTE_MBUF_F_TX_TCP_SEG;
	m->tso_segsz = segsz;
	CU_ASSERT_EQUAL(vbus_offload_segment(m, 9000, r.pool, NULL, out, 1), -ENOSPC);
	nb = vbus_offload_segment(m, 9000, r.pool, refs ? r.pool : NULL, out, RTE_DIM(out));
	CU_ASSERT_EQUAL_FATAL(nb, (int)((t.payload + segsz - 1) / segsz));
	for (k = 0; k < nb; k++) {
		uint32_t n = rig_flat(out[k], flat);
		uint8_t *s4 = flat + h.l2_len + h.l3_len;
		uint32_t want = RTE_MIN((uint32_t)segsz, t.payload - off);
		uint32_t seq = be32(l4 + 4) + off;

		CU_ASSERT_EQUAL(n, hdr_len + want);
		CU_ASSERT_TRUE(rig_csum_ok(flat, n));
		CU_ASSERT_EQUAL(memcmp(flat + hdr_len, buf + hdr_len + off, want), 0);
		CU_ASSERT_EQUAL(memcmp(flat, buf, h.l2_len), 0);
		CU_ASSERT_EQUAL(be32(s4 + 4), seq);
		CU_ASSERT_EQUAL(s4[13] & 0x80, k == 0 ? 0x80 : 0);
		CU_ASSERT_EQUAL(s4[13] & 0x09, k == nb - 1 ? 0x09 : 0);
		if (!t.v6) {
			const struct rte_ipv4_hdr *ip = (void *)(flat + h.l2_len);

			CU_ASSERT_EQUAL(
				rte_be_to_cpu_16(ip->packet_id), (uint16_t)(0xfff0 + (uint32_t)k));
			CU_ASSERT_EQUAL(rte_be_to_cpu_16(ip->total_length), n - h.l2_len);
		} else {
			const struct rte_ipv6_hdr *ip = (void *)(flat + h.l2_len);

			CU_ASSERT_EQUAL(rte_be_to_cpu_16(ip->payload_len), n - h.l2_len - h.l3_len);
		}
		off += want;
	}
	CU_ASSERT_EQUAL(off, t.payload);
	rte_pktmbuf_free_bulk(out, (unsigned int)nb);
	CU_ASSERT_EQUAL(rig_mbufs_used(&r), 0);
}

static void
test_segment(void)
{
	uint32_t i;

	for (i = 0; i < 200; i++)
		segment_one(i, i & 8);
}

static void
test_segment_errors(void)
{
	static struct rte_mbuf *out[100], *hold[1023];
	struct rig_tcp t = {.payload = 20000, .tcp_flags = 0x10};
	struct vbus_hdr h;
	uint32_t len = rig_build(buf, &t, &h);
	struct rte_mbuf *m = rig_mbuf(&r, buf, len, 11);
	unsigned int used, i, n;

	CU_ASSERT_EQUAL(vbus_offload_segment(m, 1500, r.pool, NULL, out, 100), -EINVAL);
	set_tx(m, &h);
	m->ol_flags |= RTE_MBUF_F_TX_TCP_SEG;
	m->tso_segsz = 0;
	CU_ASSERT_EQUAL(vbus_offload_segment(m, 1500, r.pool, NULL, out, 100), -EINVAL);
	m->tso_segsz = 1448;
	CU_ASSERT_EQUAL(vbus_offload_segment(m, 40, r.pool, NULL, out, 100), -EINVAL);
	/* The MTU bounds it. */
	CU_ASSERT_EQUAL(vbus_offload_segment(m, 300, r.pool, NULL, out, 76), -ENOSPC);
	/* The pool runs out half-way: nothing lost, nothing leaked. */
	used = rig_mbufs_used(&r);
	for (n = 0; n < 1023; n++) {
		hold[n] = rte_pktmbuf_alloc(r.pool);
		if (hold[n] == NULL)
			break;
	}
	for (i = 0; i < 5; i++)
		rte_pktmbuf_free(hold[--n]);
	CU_ASSERT_EQUAL(vbus_offload_segment(m, 1500, r.pool, NULL, out, 100), -ENOMEM);
	CU_ASSERT_EQUAL(vbus_offload_segment(m, 1500, r.pool, r.pool, out, 100), -ENOMEM);
	rte_pktmbuf_free_bulk(hold, n);
	CU_ASSERT_EQUAL(rig_mbufs_used(&r), used);
	rig_flat(m, flat);
	CU_ASSERT_EQUAL(memcmp(flat, buf, len), 0);
	rte_pktmbuf_free(m);
}

/** Any bytes, any request: no crash, no access outside (ASan watches). */
static void
test_fuzz(void)
{
	static struct rte_mbuf *out[64];
	uint32_t seed = 12345;
	uint32_t i, k;

	for (i = 0; i < 100000; i++) {
		struct rig_tcp t = kind(i);
		struct vbus_offload o;
		struct vbus_offload_plan plan;
		struct rte_mbuf *m;
		struct vbus_hdr h;
		uint32_t len;
		int nb;

		t.payload %= 500;
		len = rig_build(buf, &t, &h);
		for (k = 0; k < 4; k++) {
			seed = seed * 1664525u + 1013904223u;
			buf[12 + (seed >> 8) % 60] = (uint8_t)(seed >> 24);
		}
		seed = seed * 1664525u + 1013904223u;
		len = 14 + (seed >> 8) % (len - 13);
		vbus_hdr_parse(buf, len, &h);
		rig_fill((uint8_t *)&o, sizeof(o), seed);
		if (seed & 0x100)
			o.csum_start = (uint16_t)(h.l2_len + h.l3_len);
		if (seed & 0x200)
			o.csum_offset = 16;
		if (seed & 0x400)
			o.gso_type = h.v6 ? 2 : 0;
		o.gso_size &= 0x1ff;
		m = rig_mbuf(&r, buf, len, 1 + (seed >> 12) % 3);
		if (vbus_offload_to_rx(m, &o) == 0)
			vbus_offload_rx_to_tx(m);
		if (seed & 0x800)
			rig_fill((uint8_t *)&m->tx_offload, 8, seed);
		if (seed & 0x1000)
			m->ol_flags |= RTE_MBUF_F_TX_TCP_SEG |
				       (seed & 0x2000 ? RTE_MBUF_F_TX_IPV6 : 0);
		vbus_offload_plan_tx(m, seed & 1, &plan);
		for (k = 0; k < plan.nb_patches; k++)
			CU_ASSERT(plan.patch[k].off + 2 <= len);
		nb = vbus_offload_segment(m, 1500, r.pool, NULL, out, RTE_DIM(out));
		if (nb >= 0) {
			rte_pktmbuf_free_bulk(out, (unsigned int)nb);
			continue;
		}
		vbus_offload_finish_tx_csum(m);
		rte_pktmbuf_free(m);
	}
	CU_ASSERT_EQUAL(rig_mbufs_used(&r), 0);
}

int
main(void)
{
	static const struct cu_test tests[] = {
		{"open", test_open},
		{"parse", test_parse},
		{"parse, odd frames", test_parse_odd},
		{"transmit checksums", test_tx_csum},
		{"transmit requests refused", test_tx_refused},
		{"receive requests", test_to_rx},
		{"receive requests, large frames", test_to_rx_gso},
		{"segmentation", test_segment},
		{"segmentation, errors", test_segment_errors},
		{"any bytes", test_fuzz},
		{"close, no mbuf lost", test_close},
		{NULL, NULL},
	};
	int ret = rig_eal("test_venet_offload");

	return ret != 0 ? ret : cu_run("venet offload", tests, NULL, NULL);
}
