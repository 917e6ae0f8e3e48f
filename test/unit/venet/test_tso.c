/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * Checksum and segmentation requests through the venet, both ways: passed on to who takes them,
 * completed for who does not. Whatever comes out has to add up to the frame that went in, with
 * checksums that rte_net finds right.
 */

#include "rig.h"

#include <string.h>

#include <rte_byteorder.h>

#include "../core/cu_run.h"
#include "vbus_ioq_south.h"

#define SG_ALL (VENET_CAP_SG | VENET_CAP_TSO4 | VENET_CAP_TSO6 | VENET_CAP_ECN)

static struct rig r;
static struct rig_frame frame;
static uint8_t in[RIG_FRAME], out[RIG_FRAME];
/* The frame that is sent, and how much of it has come out. */
static struct vbus_hdr hdr;
static uint32_t in_len, hdr_len, off;

static void
build(struct rig_tcp t)
{
	in_len = rig_build(in, &t, &hdr);
	hdr_len = in_len - t.payload;
	off = 0;
}

/** As a guest sends it: IPv4 header complete, pseudo-header's sum in the TCP field. */
static struct vbus_offload
as_sg(uint16_t gso_size)
{
	struct vbus_offload o = {.flags = VENET_SG_FLAG_NEEDS_CSUM,
		.csum_start = hdr.l2_len + hdr.l3_len,
		.csum_offset = hdr.l4_proto == 6 ? 16 : 6};

	if (!hdr.v6)
		rig_put_csums(in, &hdr);
	rig_put_pseudo(in, in_len, &hdr);
	if (gso_size != 0) {
		o.flags |= VENET_SG_FLAG_GSO;
		o.gso_type = hdr.v6 ? VENET_GSO_TYPE_TCPV6 : VENET_GSO_TYPE_TCPV4;
		o.gso_size = gso_size;
		o.gso_hdrlen = 7;
	}
	return o;
}

/** As a DPDK program sends it. */
static struct rte_mbuf *
as_mbuf(uint16_t segsz)
{
	struct rte_mbuf *m = rig_mbuf(&r, in, in_len, 1 + in_len / 1900);

	m->l2_len = hdr.l2_len;
	m->l3_len = hdr.l3_len;
	m->l4_len = hdr.l4_len;
	m->ol_flags = hdr.v6 ? RTE_MBUF_F_TX_IPV6 : RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM;
	m->ol_flags |= hdr.l4_proto == 6 ? RTE_MBUF_F_TX_TCP_CKSUM : RTE_MBUF_F_TX_UDP_CKSUM;
	if (segsz != 0) {
		m->ol_flags |= RTE_MBUF_F_TX_TCP_SEG;
		m->tso_segsz = segsz;
	}
	return m;
}

/** The next piece of the frame. */
static void
check_segment(const uint8_t *p, uint32_t len, uint32_t segsz)
{
	uint32_t left = in_len - hdr_len - off;
	uint32_t want = left < segsz ? left : segsz;

	CU_ASSERT_EQUAL_FATAL(len, hdr_len + want);
	CU_ASSERT_TRUE(rig_csum_ok(p, len));
	CU_ASSERT_EQUAL(memcmp(p, in, hdr.l2_len), 0);
	CU_ASSERT_EQUAL(memcmp(p + hdr_len, in + hdr_len + off, want), 0);
	off += want;
}

static struct rig_tcp
kind(uint32_t i)
{
	return (struct rig_tcp){.v6 = i & 1,
		.vlan = i & 2,
		.opt_len = i & 4 ? 12 : 0,
		.payload = 3000 + i * 977 % 58000,
		.tcp_flags = 0x18,
		.seed = i};
}

/* ---- from north -------------------------------------------------------------------------------- */

/** North's large frames, cut: with room for a few at a time, so that they go over many bursts. */
static void
test_from_north_cut(void)
{
	struct vbus_venet_rx_stats rx;
	struct vbus_venet_tx_stats tx;
	struct rte_mbuf *pkts[64];
	uint32_t nb_frames = 0;
	uint32_t i, n, k;

	rig_up(&r, SG_ALL | VENET_CAP_PMTD, 0, 0, 16, 2048);
	for (i = 0; i < 200; i++) {
		uint16_t segsz = (uint16_t)(536 + i * 53 % 4000);
		struct vbus_offload o;
		uint32_t bursts = 0;

		build(kind(i));
		o = as_sg(segsz);
		CU_ASSERT_TRUE_FATAL(rig_send(&r, in, in_len, 1 + i % 17, &o));
		while (off < in_len - hdr_len && bursts++ < 1000) {
			CU_ASSERT_EQUAL(rig_reap(&r), 0);
			n = vbus_venet_rx_burst(r.v, 0, pkts, (uint16_t)(1 + (i + bursts) % 9));
			CU_ASSERT_FATAL(n > 0);
			for (k = 0; k < n; k++) {
				CU_ASSERT_EQUAL(pkts[k]->ol_flags, 0);
				check_segment(out, rig_flat(pkts[k], out), segsz);
			}
			rte_pktmbuf_free_bulk(pkts, n);
			nb_frames += n;
		}
		/* A burst may have ended just with the last segment: the entry is back either way. */
		vbus_venet_rx_burst(r.v, 0, pkts, 1);
		CU_ASSERT_EQUAL(rig_reap(&r), 1);
	}
	vbus_venet_stats(r.v, 0, &rx, &tx);
	CU_ASSERT_EQUAL(rx.gso_done, 200);
	CU_ASSERT_EQUAL(rx.packets, nb_frames);
	rig_close(&r);
}

/** Large and small frames mixed, whole bursts; the order stays. */
static void
test_from_north_mixed(void)
{
	struct rte_mbuf *pkts[64];
	struct rig_tcp t[8];
	uint32_t i, n, k, cur;
	uint32_t round;

	rig_up(&r, SG_ALL, 0, 0, 8, 2048);
	for (round = 0; round < 50; round++) {
		for (i = 0; i < 8; i++) {
			struct vbus_offload o;

			t[i] = kind(round * 8 + i);
			t[i].payload = i & 1 ? 100 + i : 5000 + i * 1000;
			build(t[i]);
			o = as_sg(i & 1 ? 0 : 1000);
			CU_ASSERT_TRUE(rig_send(&r, in, in_len, 1 + i % 4, &o));
		}
		cur = 0;
		build(t[0]);
		while ((n = vbus_venet_rx_burst(r.v, 0, pkts, 64)) != 0) {
			for (k = 0; k < n; k++) {
				if (off == in_len - hdr_len) {
					cur++;
					CU_ASSERT_FATAL(cur < 8);
					build(t[cur]);
				}
				check_segment(out, rig_flat(pkts[k], out), 1000);
			}
			rte_pktmbuf_free_bulk(pkts, n);
		}
		CU_ASSERT_EQUAL(cur, 7);
		CU_ASSERT_EQUAL(off, in_len - hdr_len);
		CU_ASSERT_EQUAL(rig_reap(&r), 8);
	}
	rig_close(&r);
}

/** The pool runs dry in the middle of a frame: it goes on when there are mbufs again. */
static void
test_from_north_cut_nombuf(void)
{
	static struct rte_mbuf *hold[1023];
	struct vbus_offload o;
	struct rte_mbuf *pkts[64];
	uint32_t held = 0;
	uint32_t i, k, n;

	rig_up(&r, SG_ALL, 0, 0, 8, 2048);
	build((struct rig_tcp){.payload = 60000, .tcp_flags = 0x18, .seed = 1});
	o = as_sg(5000); /* three mbufs each */
	rig_send(&r, in, in_len, 1, &o);
	for (i = 0; i < 1023; i++)
		hold[held++] = rte_pktmbuf_alloc(r.pool);
	for (i = 0; i < 30 && off < in_len - hdr_len; i++) {
		/* Between nothing and enough for two segments. */
		for (k = 0; k < i % 8; k++)
			rte_pktmbuf_free(hold[--held]);
		n = vbus_venet_rx_burst(r.v, 0, pkts, 64);
		CU_ASSERT_EQUAL(n, i % 8 / 3);
		for (k = 0; k < n; k++)
			check_segment(out, rig_flat(pkts[k], out), 5000);
		rte_pktmbuf_free_bulk(pkts, n);
		while (held < 1023)
			hold[held++] = rte_pktmbuf_alloc(r.pool);
	}
	CU_ASSERT_EQUAL(off, in_len - hdr_len);
	rte_pktmbuf_free_bulk(hold, held);
	rig_close(&r);
}

/** Taken away in the middle of a frame: it comes again, whole. */
static void
test_from_north_cut_down(void)
{
	struct vbus_offload o;
	struct rte_mbuf *pkts[64];
	uint32_t k, n;

	rig_up(&r, SG_ALL, 0, 0, 8, 2048);
	build((struct rig_tcp){.payload = 20000, .tcp_flags = 0x18, .seed = 1});
	o = as_sg(1000);
	rig_send(&r, in, in_len, 3, &o);
	CU_ASSERT_EQUAL(vbus_venet_rx_burst(r.v, 0, pkts, 5), 5);
	rte_pktmbuf_free_bulk(pkts, 5);
	CU_ASSERT_EQUAL(rig_call(&r, VENET_FUNC_LINKDOWN, NULL, 0), 0);
	CU_ASSERT_EQUAL(rig_call(&r, VENET_FUNC_LINKUP, NULL, 0), 0);
	CU_ASSERT_EQUAL(rig_reap(&r), 0);
	n = rig_rx(&r, pkts, 64);
	CU_ASSERT_EQUAL(n, 20);
	for (k = 0; k < n; k++)
		check_segment(out, rig_flat(pkts[k], out), 1000);
	rte_pktmbuf_free_bulk(pkts, n);
	CU_ASSERT_EQUAL(rig_reap(&r), 1);
	rig_close(&r);
}

/** A polling side that takes checksums, large frames, both. */
static void
test_from_north_accept(void)
{
	struct rte_mbuf *m;
	uint32_t i;

	rig_up(&r, SG_ALL, 0, 0, 8, 2048);
	for (i = 0; i < 64; i++) {
		uint32_t accept = i & 3;
		struct vbus_offload o;

		vbus_venet_set_rx_accept(r.v, accept);
		build(kind(i / 4));
		o = as_sg(i & 32 ? 60000 : 1448);
		rig_send(&r, in, in_len, 2, &o);
		if (!(accept & VBUS_VENET_RX_LRO)) {
			struct rte_mbuf *pkts[64];
			uint16_t n = rig_rx(&r, pkts, 64);

			CU_ASSERT(n >= 1);
			rte_pktmbuf_free_bulk(pkts, n);
			rig_reap(&r);
			continue;
		}
		CU_ASSERT_EQUAL_FATAL(vbus_venet_rx_burst(r.v, 0, &m, 1), 1);
		CU_ASSERT_EQUAL(rig_flat(m, out), in_len);
		CU_ASSERT_EQUAL((m->ol_flags & RTE_MBUF_F_RX_LRO) != 0, !(i & 32));
		if (accept & VBUS_VENET_RX_CSUM) {
			CU_ASSERT_EQUAL(m->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK,
				RTE_MBUF_F_RX_L4_CKSUM_NONE);
			CU_ASSERT_EQUAL(memcmp(in, out, in_len), 0);
		} else if (in_len < 60000) {
			CU_ASSERT_EQUAL(m->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK, 0);
			CU_ASSERT_TRUE(rig_csum_ok(out, in_len));
		}
		rte_pktmbuf_free(m);
		CU_ASSERT_EQUAL(rig_reap(&r), 1);
	}
	rig_close(&r);
}

static void
test_from_north_csum(void)
{
	struct vbus_venet_rx_stats rx;
	struct vbus_venet_tx_stats tx;
	struct rte_mbuf *m;
	uint32_t i;

	rig_up(&r, SG_ALL | VENET_CAP_PMTD, 0, 0, 8, 2048);
	for (i = 0; i < 500; i++) {
		struct rig_tcp t = kind(i);
		struct vbus_offload o;

		t.udp = i & 8;
		t.opt_len = t.udp ? 0 : t.opt_len;
		t.payload %= 1400;
		build(t);
		o = as_sg(0);
		vbus_venet_set_rx_accept(r.v, i & 16 ? VBUS_VENET_RX_CSUM : 0);
		rig_send(&r, in, in_len, 1 + i % 5, &o);
		CU_ASSERT_EQUAL_FATAL(vbus_venet_rx_burst(r.v, 0, &m, 1), 1);
		CU_ASSERT_EQUAL(rig_flat(m, out), in_len);
		if (i & 16) {
			CU_ASSERT_EQUAL(m->ol_flags, RTE_MBUF_F_RX_L4_CKSUM_NONE);
			CU_ASSERT_EQUAL(memcmp(in, out, in_len), 0);
		} else {
			CU_ASSERT_EQUAL(m->ol_flags, 0);
			CU_ASSERT_TRUE(rig_csum_ok(out, in_len));
		}
		rte_pktmbuf_free(m);
		rig_reap(&r);
	}
	vbus_venet_stats(r.v, 0, &rx, &tx);
	CU_ASSERT(rx.csum_done > 200 && rx.csum_done < 300);
	rig_close(&r);
}

/** Requests that lie are dropped and counted; the ring goes on. */
static void
test_from_north_lies(void)
{
	struct vbus_venet_rx_stats rx;
	struct vbus_venet_tx_stats tx;
	struct vbus_offload good, o[8];
	struct rte_mbuf *m[8];
	uint32_t accept, i;

	for (accept = 0; accept < 4; accept++) {
		rig_up(&r, SG_ALL, 0, 0, 8, 2048);
		vbus_venet_set_rx_accept(r.v, accept);
		build((struct rig_tcp){.payload = 4000, .tcp_flags = 0x18, .seed = 1});
		good = as_sg(1000);
		for (i = 0; i < 8; i++)
			o[i] = good;
		o[0].gso_size = 0;
		o[1].gso_type = VENET_GSO_TYPE_UDP;
		o[2].gso_type = VENET_GSO_TYPE_TCPV6;
		o[3].gso_type = 200;
		o[4].csum_start = 20;
		o[5].flags = VENET_SG_FLAG_GSO;
		o[6].flags = VENET_SG_FLAG_NEEDS_CSUM;
		o[6].csum_start = 65000;
		o[7].flags = 0;
		for (i = 0; i < 8; i++)
			rig_send(&r, in, in_len, 1, &o[i]);
		CU_ASSERT_EQUAL_FATAL(vbus_venet_rx_burst(r.v, 0, m, 8), 1);
		CU_ASSERT_EQUAL(rig_flat(m[0], out), in_len);
		rte_pktmbuf_free(m[0]);
		CU_ASSERT_EQUAL(rig_reap(&r), 8);
		vbus_venet_stats(r.v, 0, &rx, &tx);
		CU_ASSERT_EQUAL(rx.drop_offload, 7);
		CU_ASSERT_EQUAL(rx.packets, 1);
		rig_close(&r);
	}
}

/* ---- to north ---------------------------------------------------------------------------------- */

static void
to_north_cut(uint32_t l4ro, uint32_t room)
{
	struct vbus_venet_rx_stats rx;
	struct vbus_venet_tx_stats tx;
	struct rte_mbuf *m;
	uint32_t i;

	rig_up(&r, 0, 0, l4ro, 128, room);
	for (i = 0; i < 200; i++) {
		uint16_t segsz = (uint16_t)(536 + i * 53 % (room - 100 - 536));

		build(kind(i));
		m = as_mbuf(segsz);
		CU_ASSERT_EQUAL(vbus_venet_tx_burst(r.v, 0, &m, 1), 1);
		CU_ASSERT_EQUAL(rig_mbufs_used(&r), 0);
		while (rig_recv(&r, &frame)) {
			CU_ASSERT_EQUAL(frame.o.flags, 0);
			check_segment(frame.data, frame.len, segsz);
		}
		CU_ASSERT_EQUAL(off, in_len - hdr_len);
	}
	vbus_venet_stats(r.v, 0, &rx, &tx);
	CU_ASSERT(tx.gso_done > 190);
	rig_close(&r);
}

static void
test_to_north_cut(void)
{
	to_north_cut(0, 1514);
	to_north_cut(VENET_CAP_SG, 1514);
	to_north_cut(0, 4000);
}

/** L4RO: passed on as it is. */
static void
test_to_north_pass(void)
{
	struct rte_mbuf *m;
	uint32_t i;

	rig_up(&r, 0, 0, SG_ALL, 32, 1514);
	for (i = 0; i < 200; i++) {
		struct rig_tcp t = kind(i);
		struct vbus_offload want;

		t.tcp_flags |= i & 8 ? 0x80 : 0;
		build(t);
		m = as_mbuf(1448);
		want = as_sg(1448); /* after as_mbuf(): the mbuf has no sums yet */
		if (i & 8)
			want.flags |= VENET_SG_FLAG_ECN;
		want.gso_hdrlen = (uint16_t)hdr_len;
		CU_ASSERT_EQUAL(vbus_venet_tx_burst(r.v, 0, &m, 1), 1);
		CU_ASSERT_TRUE_FATAL(rig_recv(&r, &frame));
		CU_ASSERT_EQUAL(frame.len, in_len);
		CU_ASSERT_EQUAL(memcmp(frame.data, in, in_len), 0);
		CU_ASSERT_EQUAL(frame.o.flags, want.flags);
		CU_ASSERT_EQUAL(frame.o.csum_start, want.csum_start);
		CU_ASSERT_EQUAL(frame.o.csum_offset, want.csum_offset);
		CU_ASSERT_EQUAL(frame.o.gso_type, want.gso_type);
		CU_ASSERT_EQUAL(frame.o.gso_size, want.gso_size);
		CU_ASSERT_EQUAL(frame.o.gso_hdrlen, want.gso_hdrlen);
		CU_ASSERT_FALSE(rig_recv(&r, &frame));
	}
	rig_close(&r);
}

/** L4RO without the very capability, or without enough pages: cut. */
static void
test_to_north_cannot(void)
{
	struct rte_mbuf *m;
	uint32_t i;

	rig_up(&r, 0, 0, VENET_CAP_SG | VENET_CAP_TSO4, 64, 1514);
	for (i = 0; i < 4; i++) {
		uint32_t nb = 0;

		build((struct rig_tcp){.v6 = i & 1,
			.tcp_flags = i & 2 ? 0x98 : 0x18,
			.payload = 20000,
			.seed = i});
		m = as_mbuf(1400);
		CU_ASSERT_EQUAL(vbus_venet_tx_burst(r.v, 0, &m, 1), 1);
		while (rig_recv(&r, &frame)) {
			nb++;
			if (i != 0)
				check_segment(frame.data, frame.len, 1400);
		}
		/* TSO6 and ECN were not granted. */
		CU_ASSERT_EQUAL(nb, i == 0 ? 1 : 15);
	}
	rig_close(&r);

	rig_up(&r, 0, 0, SG_ALL, 16, 1514);
	/* 16 pages are 64 KiB; 8 are not enough. */
	for (i = 0; i < 8; i++)
		vbus_ioq_south_consume_pop(&(struct vbus_ioq_south){.desc_peer = r.pg.q.desc,
						   .inuse_peer = &r.pg.q.ring->idx[IOQ_IDX_INUSE],
						   .cur = &r.pg.cursor,
						   .count = 16},
			1);
	build((struct rig_tcp){.payload = 40000, .tcp_flags = 0x18});
	m = as_mbuf(1400);
	/* 29 segments, 16 buffers: neither works. */
	CU_ASSERT_EQUAL(vbus_venet_tx_burst(r.v, 0, &m, 1), 1);
	CU_ASSERT_FALSE(rig_recv(&r, &frame));
	build((struct rig_tcp){.payload = 39000, .tcp_flags = 0x18});
	m = as_mbuf(3000);
	/* 13 segments, but larger than a buffer: dropped one by one. */
	CU_ASSERT_EQUAL(vbus_venet_tx_burst(r.v, 0, &m, 1), 1);
	CU_ASSERT_FALSE(rig_recv(&r, &frame));
	rig_close(&r);
}

static void
test_to_north_csum(void)
{
	struct rte_mbuf *m, *clone;
	uint32_t i;

	for (i = 0; i < 600; i++) {
		struct rig_tcp t = kind(i);
		bool pass = i & 16;

		if (i % 100 == 0)
			rig_up(&r, 0, 0, i / 100 & 1 ? SG_ALL : 0, 16, 2048);
		pass = r.l4ro != 0;
		t.udp = i & 8;
		t.opt_len = t.udp ? 0 : t.opt_len;
		t.payload %= 1900;
		build(t);
		m = as_mbuf(0);
		/* A clone's headers are not written. */
		clone = rte_pktmbuf_clone(m, r.pool);
		CU_ASSERT_EQUAL(vbus_venet_tx_burst(r.v, 0, &clone, 1), 1);
		rig_flat(m, out);
		CU_ASSERT_EQUAL(memcmp(in, out, in_len), 0);
		CU_ASSERT_TRUE_FATAL(rig_recv(&r, &frame));
		CU_ASSERT_EQUAL(frame.len, in_len);
		if (pass) {
			struct vbus_offload want = as_sg(0);

			CU_ASSERT_EQUAL(frame.o.flags, want.flags);
			CU_ASSERT_EQUAL(frame.o.csum_start, want.csum_start);
			CU_ASSERT_EQUAL(memcmp(in, frame.data, in_len), 0);
		} else {
			CU_ASSERT_TRUE(rig_csum_ok(frame.data, frame.len));
		}
		rte_pktmbuf_free(m);
		if (i % 100 == 99)
			rig_close(&r);
	}
}

/** Buffers for some of the segments only: the frame waits for all of them. */
static void
test_to_north_waits(void)
{
	struct vbus_venet_rx_stats rx;
	struct vbus_venet_tx_stats tx;
	struct rte_mbuf *pkts[3];
	uint64_t cookie, len;
	uint32_t i;

	rig_up(&r, 0, 0, 0, 16, 1514);
	build((struct rig_tcp){.payload = 10000, .tcp_flags = 0x18});
	for (i = 0; i < 3; i++)
		pkts[i] = as_mbuf(1000);
	CU_ASSERT_EQUAL(vbus_venet_tx_burst(r.v, 0, pkts, 3), 1);
	vbus_venet_stats(r.v, 0, &rx, &tx);
	CU_ASSERT_EQUAL(tx.ring_full, 1);
	for (i = 0; i < 10; i++) {
		CU_ASSERT_TRUE(rig_recv(&r, &frame));
		check_segment(frame.data, frame.len, 1000);
	}
	CU_ASSERT_FALSE(rig_pop(&r, &cookie, &len));
	CU_ASSERT_EQUAL(vbus_venet_tx_burst(r.v, 0, pkts + 1, 2), 1);
	off = 0;
	for (i = 0; i < 10; i++) {
		CU_ASSERT_TRUE(rig_recv(&r, &frame));
		check_segment(frame.data, frame.len, 1000);
	}
	/* More segments than the ring has entries: never. */
	pkts[1] = pkts[2];
	pkts[1]->tso_segsz = 500;
	CU_ASSERT_EQUAL(vbus_venet_tx_burst(r.v, 0, pkts + 1, 1), 1);
	vbus_venet_stats(r.v, 0, &rx, &tx);
	CU_ASSERT_EQUAL(tx.drop_offload, 1);
	CU_ASSERT_EQUAL(tx.packets, 20);
	rig_close(&r);
}

/** Send one frame, cut at @p segsz, and check what comes out. */
static void
cut_and_check(uint32_t i, uint16_t segsz)
{
	struct rte_mbuf *m;

	build((struct rig_tcp){
		.v6 = i & 1, .payload = 9001 + i, .opt_len = i & 4 ? 12 : 0, .tcp_flags = 0x18});
	m = as_mbuf(segsz);
	CU_ASSERT_EQUAL(vbus_venet_tx_burst(r.v, 0, &m, 1), 1);
	while (off < in_len - hdr_len) {
		CU_ASSERT_TRUE_FATAL(rig_recv(&r, &frame));
		check_segment(frame.data, frame.len, segsz);
	}
	CU_ASSERT_FALSE(rig_recv(&r, &frame));
}

/** North's posted buffer @p i lies elsewhere. */
static void
move_buffer(uint32_t i, uint64_t addr)
{
	uint8_t *sg = (uint8_t *)rig_ptr(&r, r.l4ro != 0 ? r.l4ro_pool.iova : RIG_BASE) +
		      i * VENET_POOL_SLOT_SIZE;

	r.rx_buf[i] = addr;
	if (r.l4ro != 0)
		memcpy(sg + VENET_SG_IOV_OFFSET + offsetof(struct venet_iov, ptr), &addr, 8);
	else
		r.rx.q.desc[i].ptr = addr;
}

/** Buffers larger than any frame, and one that lies on both sides of the seam. */
static void
test_to_north_odd_buffers(void)
{
	struct vbus_venet_rx_stats rx;
	struct vbus_venet_tx_stats tx;
	uint32_t i;

	for (i = 0; i < 2; i++) {
		rig_up(&r, 0, 0, i == 0 ? 0 : SG_ALL & ~(VENET_CAP_TSO4 | VENET_CAP_TSO6), 16,
			RIG_FRAME);
		move_buffer(3, RIG_SEAM - 777);
		for (uint32_t k = 0; k < 40; k++)
			cut_and_check(k, (uint16_t)(1000 + 97 * k));
		vbus_venet_stats(r.v, 0, &rx, &tx);
		CU_ASSERT_EQUAL(tx.drop_addr, 0);
		CU_ASSERT_EQUAL(tx.drop_room, 0);
		CU_ASSERT_EQUAL(tx.gso_done, 40);
		rig_close(&r);
	}
	/* A buffer that is nowhere costs its segment, and no more. */
	rig_up(&r, 0, 0, 0, 16, RIG_FRAME);
	move_buffer(12, RIG_SEAM + RIG_HALF - 100);
	build((struct rig_tcp){.payload = 9000, .tcp_flags = 0x18});
	for (i = 0; i < 2; i++) {
		struct rte_mbuf *m = as_mbuf(1000);

		CU_ASSERT_EQUAL(vbus_venet_tx_burst(r.v, 0, &m, 1), 1);
		while (rig_recv(&r, &frame))
			;
	}
	vbus_venet_stats(r.v, 0, &rx, &tx);
	CU_ASSERT_EQUAL(tx.drop_addr, 1);
	rig_close(&r);
}

int
main(void)
{
	static const struct cu_test tests[] = {
		{"from north, cut", test_from_north_cut},
		{"from north, large and small", test_from_north_mixed},
		{"from north, cut without mbufs", test_from_north_cut_nombuf},
		{"from north, cut and down", test_from_north_cut_down},
		{"from north, accepted", test_from_north_accept},
		{"from north, checksums", test_from_north_csum},
		{"from north, lies", test_from_north_lies},
		{"to north, cut", test_to_north_cut},
		{"to north, passed on", test_to_north_pass},
		{"to north, not granted", test_to_north_cannot},
		{"to north, checksums", test_to_north_csum},
		{"to north, buffers for a part", test_to_north_waits},
		{"to north, odd buffers", test_to_north_odd_buffers},
		{NULL, NULL},
	};
	int ret = rig_eal("test_venet_tso");

	return ret != 0 ? ret : cu_run("venet tso", tests, NULL, NULL);
}
