/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/* Frames through the venet, both ways, in all descriptor variants. */

#include "rig.h"

#include <string.h>

#include "../core/cu_run.h"

#define SG_ALL (VENET_CAP_SG | VENET_CAP_TSO4 | VENET_CAP_TSO6 | VENET_CAP_ECN)

static struct rig r;
static struct rig_frame frame;
static uint8_t in[RIG_FRAME], out[RIG_FRAME];

/** Every length that differs in kind, and a walk through the others. */
static uint32_t
next_len(uint32_t len)
{
	if (len < 200 || (len > 1500 && len < 1530) || (len > 9600 && len < 9618))
		return len + 1;
	return len + 37;
}

static void
stats(struct vbus_venet_rx_stats *rx, struct vbus_venet_tx_stats *tx)
{
	vbus_venet_stats(r.v, 0, rx, tx);
}

/* ---- from north -------------------------------------------------------------------------------- */

static void
from_north_sizes(uint32_t sg, uint32_t max_frags)
{
	struct vbus_venet_rx_stats rx;
	struct vbus_venet_tx_stats tx;
	struct rte_mbuf *m;
	uint64_t bytes = 0;
	uint32_t nb = 0;
	uint32_t len;

	rig_up(&r, sg, 0, 0, 16, 2048);
	for (len = 14; len <= 9618; len = next_len(len)) {
		rig_fill(in, len, len);
		CU_ASSERT_TRUE_FATAL(
			rig_send(&r, in, len, len < 100 ? 1 : 1 + len % max_frags, NULL));
		CU_ASSERT_EQUAL_FATAL(vbus_venet_rx_burst(r.v, 0, &m, 1), 1);
		CU_ASSERT_EQUAL(rig_flat(m, out), len);
		CU_ASSERT_EQUAL(memcmp(in, out, len), 0);
		CU_ASSERT_EQUAL(m->ol_flags, 0);
		rte_pktmbuf_free(m);
		CU_ASSERT_EQUAL(rig_reap(&r), 1);
		bytes += len;
		nb++;
	}
	stats(&rx, &tx);
	CU_ASSERT_EQUAL(rx.packets, nb);
	CU_ASSERT_EQUAL(rx.bytes, bytes);
	CU_ASSERT(rx.multi_seg > 0);
	rig_close(&r);
}

static void
test_from_north_linear(void)
{
	from_north_sizes(0, 1);
}

static void
test_from_north_sg(void)
{
	from_north_sizes(SG_ALL, 18);
}

static void
test_from_north_pmtd(void)
{
	from_north_sizes(SG_ALL | VENET_CAP_PMTD, 17);
}

/** 18 fragments in the pool: the descriptor reaches into the next slot. */
static void
test_from_north_18_iovs(void)
{
	struct vbus_venet_rx_stats rx;
	struct vbus_venet_tx_stats tx;
	struct rte_mbuf *m;
	uint32_t i;

	rig_up(&r, SG_ALL | VENET_CAP_PMTD, 0, 0, 8, 2048);
	rig_fill(in, 1800, 3);
	for (i = 0; i < 8; i++) {
		CU_ASSERT_TRUE(rig_send(&r, in, 1800, 17, NULL));
		/* Only the last slot has no neighbour to reach into. */
		if (i < 7) {
			uint8_t *at = r.tx_pool.va + i * VENET_POOL_SLOT_SIZE;
			struct venet_iov half = {.len = 100, .ptr = 0};
			struct venet_sg sg;

			memcpy(&half.ptr, at + 32 + 16 * 16 + 8, 8);
			memcpy(&sg, at, sizeof(sg));
			sg.count = 18;
			memcpy(at, &sg, sizeof(sg));
			/* The last of 17 had 200 bytes: split it. */
			half.len = 1800 - 105 * 16 - 20;
			memcpy(at + 32 + 16 * 16, &half, 16);
			half.ptr += half.len;
			half.len = 20;
			memcpy(at + 32 + 16 * 17, &half, 16);
			r.tx.q.desc[i].len = VENET_SG_SIZE(18);
		} else {
			r.tx.q.desc[i].len = VENET_SG_SIZE(18);
		}
		CU_ASSERT_EQUAL(vbus_venet_rx_burst(r.v, 0, &m, 1), i < 7);
		if (i < 7) {
			CU_ASSERT_EQUAL(rig_flat(m, out), 1800);
			CU_ASSERT_EQUAL(memcmp(in, out, 1800), 0);
			rte_pktmbuf_free(m);
		}
	}
	/* desc.len says that it leaves the pool. */
	stats(&rx, &tx);
	CU_ASSERT_EQUAL(rx.packets, 7);
	CU_ASSERT_EQUAL(rx.drop_sg + rx.drop_addr, 1);
	rig_close(&r);
}

/** Bursts of every size, and the ring round and round. */
static void
from_north_bursts(uint32_t sg)
{
	struct rte_mbuf *pkts[80];
	uint32_t next = 0, want = 0;
	uint32_t round;
	uint16_t i, n;

	rig_up(&r, sg, 0, 0, 48, 2048);
	for (round = 0; round < 500; round++) {
		uint32_t burst = 1 + round % 70;

		for (i = 0; i < burst; i++) {
			rig_fill(in, 60 + next % 1400, next);
			if (!rig_send(&r, in, 60 + next % 1400, 1 + next % 3, NULL))
				break;
			next++;
		}
		n = vbus_venet_rx_burst(r.v, 0, pkts, (uint16_t)(1 + round % 80));
		CU_ASSERT(n > 0);
		for (i = 0; i < n; i++) {
			rig_fill(in, 60 + want % 1400, want);
			CU_ASSERT_EQUAL(rig_flat(pkts[i], out), 60 + want % 1400);
			CU_ASSERT_EQUAL(memcmp(in, out, 60 + want % 1400), 0);
			want++;
		}
		rte_pktmbuf_free_bulk(pkts, n);
		CU_ASSERT_EQUAL(rig_reap(&r), n);
	}
	CU_ASSERT(want > 2000);
	rig_close(&r);
}

static void
test_from_north_bursts(void)
{
	from_north_bursts(0);
	from_north_bursts(SG_ALL);
	from_north_bursts(SG_ALL | VENET_CAP_PMTD);
}

/** Frames, and descriptors, that lie over the seam between two extents. */
static void
test_from_north_seam(void)
{
	struct rte_mbuf *m;
	struct vbus_ioq_entry e;
	uint32_t off;

	rig_up(&r, 0, 0, 0, 8, 2048);
	rig_fill(in, 5000, 5);
	rig_copy_in(&r, RIG_SEAM - 2500, in, 5000);
	for (off = 1; off < 5000; off += 499) {
		e = (struct vbus_ioq_entry){.ptr = RIG_SEAM - 2500, .len = 5000};
		e.ptr += off / 2;
		e.len -= off;
		if (e.len < 14)
			break;
		CU_ASSERT_EQUAL(vbus_ioq_north_push(&r.tx.q, &e, 1), 1);
		CU_ASSERT_EQUAL_FATAL(vbus_venet_rx_burst(r.v, 0, &m, 1), 1);
		CU_ASSERT_EQUAL(rig_flat(m, out), e.len);
		CU_ASSERT_EQUAL(memcmp(in + off / 2, out, e.len), 0);
		rte_pktmbuf_free(m);
		rig_reap(&r);
	}
	rig_close(&r);

	rig_up(&r, SG_ALL, 0, 0, 8, 2048);
	for (off = 8; off < 64; off += 8) {
		struct venet_sg sg = {.len = 100, .count = 2};
		struct venet_iov iov[2] = {
			{.len = 60, .ptr = RIG_SEAM - 30}, {.len = 40, .ptr = RIG_SEAM + 30}};

		rig_fill(in, 100, off);
		rig_copy_in(&r, RIG_SEAM - 30, in, 100);
		e = (struct vbus_ioq_entry){.ptr = RIG_SEAM - 1000 - off, .len = 64};
		rig_copy_in(&r, e.ptr, &sg, sizeof(sg));
		rig_copy_in(&r, e.ptr + 32, iov, sizeof(iov));
		vbus_ioq_north_push(&r.tx.q, &e, 1);
		CU_ASSERT_EQUAL_FATAL(vbus_venet_rx_burst(r.v, 0, &m, 1), 1);
		CU_ASSERT_EQUAL(rig_flat(m, out), 100);
		CU_ASSERT_EQUAL(memcmp(in, out, 100), 0);
		rte_pktmbuf_free(m);
		rig_reap(&r);
	}
	/* The descriptor itself over the seam; its data before it. */
	for (off = 8; off < 64; off += 8) {
		struct venet_sg sg = {.len = 100, .count = 2};
		struct venet_iov iov[2] = {
			{.len = 60, .ptr = RIG_SEAM - 400}, {.len = 40, .ptr = RIG_SEAM - 340}};

		rig_fill(in, 100, off);
		rig_copy_in(&r, RIG_SEAM - 400, in, 100);
		e = (struct vbus_ioq_entry){.ptr = RIG_SEAM - off, .len = 64};
		rig_copy_in(&r, e.ptr, &sg, sizeof(sg));
		rig_copy_in(&r, e.ptr + 32, iov, sizeof(iov));
		vbus_ioq_north_push(&r.tx.q, &e, 1);
		CU_ASSERT_EQUAL_FATAL(vbus_venet_rx_burst(r.v, 0, &m, 1), 1);
		CU_ASSERT_EQUAL(rig_flat(m, out), 100);
		CU_ASSERT_EQUAL(memcmp(in, out, 100), 0);
		rte_pktmbuf_free(m);
		rig_reap(&r);
	}
	rig_close(&r);
}

/** An empty pool loses nothing. */
static void
test_from_north_nombuf(void)
{
	static struct rte_mbuf *hold[1023];
	struct vbus_venet_rx_stats rx;
	struct vbus_venet_tx_stats tx;
	struct rte_mbuf *pkts[8];
	unsigned int i;
	uint32_t sg;

	for (sg = 0; sg <= SG_ALL; sg += SG_ALL) {
		rig_up(&r, sg, 0, 0, 8, 2048);
		for (i = 0; i < 1023; i++)
			hold[i] = rte_pktmbuf_alloc(r.pool);
		for (i = 0; i < 6; i++) {
			rig_fill(in, 3000, i);
			CU_ASSERT_TRUE(rig_send(&r, in, i < 3 ? 100 : 3000, 1, NULL));
		}
		CU_ASSERT_EQUAL(vbus_venet_rx_burst(r.v, 0, pkts, 8), 0);
		CU_ASSERT_EQUAL(rig_reap(&r), 0);
		stats(&rx, &tx);
		CU_ASSERT_EQUAL(rx.nombuf, 1);
		/* Four mbufs: three small frames, or two large ones of two mbufs each. */
		for (i = 0; i < 4; i++)
			rte_pktmbuf_free(hold[i]);
		CU_ASSERT_EQUAL(vbus_venet_rx_burst(r.v, 0, pkts, 8), 3);
		rte_pktmbuf_free_bulk(pkts, 3);
		CU_ASSERT_EQUAL(rig_reap(&r), 3);
		CU_ASSERT_EQUAL(rig_rx(&r, pkts, 8), 2);
		rte_pktmbuf_free_bulk(pkts, 2);
		CU_ASSERT_EQUAL(rig_rx(&r, pkts, 8), 1);
		CU_ASSERT_EQUAL(rig_flat(pkts[0], out), 3000);
		rig_fill(in, 3000, 5);
		CU_ASSERT_EQUAL(memcmp(in, out, 3000), 0);
		rte_pktmbuf_free(pkts[0]);
		for (i = 4; i < 1023; i++)
			rte_pktmbuf_free(hold[i]);
		stats(&rx, &tx);
		CU_ASSERT_EQUAL(rx.packets, 6);
		rig_close(&r);
	}
}

#define TRICKLE 20000u

static bool
send_one(void)
{
	rig_reap(&r);
	return rig_send(&r, in, 64, 1, NULL);
}

/** An idle queue is looked at by one byte: nothing but 1 there is a frame, and none is ever missed. */
static void
test_from_north_idle(void)
{
	struct rte_mbuf *pkts[8];
	uint32_t i;

	rig_up(&r, 0, 0, 0, 8, 2048);
	rig_fill(in, 64, 1);
	for (i = 0; i < 512; i++) {
		uint8_t *sown = &r.tx.q.desc[r.tx.q.tail].sown;

		CU_ASSERT_EQUAL(vbus_venet_rx_burst(r.v, 0, pkts, 8), 0);
		*sown = (uint8_t)(i == 1 ? 0 : i);
		CU_ASSERT_EQUAL(vbus_venet_rx_burst(r.v, 0, pkts, 8), i == 257);
		if (i == 257)
			break; /* 1: that was an entry, if no frame that north knows of */
		CU_ASSERT_TRUE_FATAL(rig_send(&r, in, 64, 1, NULL));
		CU_ASSERT_EQUAL_FATAL(vbus_venet_rx_burst(r.v, 0, pkts, 8), 1);
		rte_pktmbuf_free(pkts[0]);
		CU_ASSERT_EQUAL(rig_reap(&r), 1);
	}
	rte_pktmbuf_free(pkts[0]);
	rig_close(&r);
	rig_up(&r, 0, 0, 0, 8, 2048);
	CU_ASSERT_TRUE_FATAL(rig_trickle(&r, send_one, TRICKLE));
	rig_close(&r);
}

/** One signal for a batch, after its last frame; none when nothing was taken. */
static void
test_from_north_signal(void)
{
	struct rte_mbuf *pkts[8];
	uint32_t i;

	rig_up(&r, 0, 0, 0, 8, 2048);
	rig_fill(in, 100, 1);
	CU_ASSERT_FALSE(vbus_signal_enable(&r.tx.sig));
	for (i = 0; i < 5; i++)
		rig_send(&r, in, 100, 1, NULL);
	CU_ASSERT_EQUAL(vbus_venet_rx_burst(r.v, 0, pkts, 8), 5);
	rte_pktmbuf_free_bulk(pkts, 5);
	CU_ASSERT_EQUAL(r.tx.notified, 1);
	CU_ASSERT_TRUE(vbus_signal_is_raised(&r.tx.sig));
	CU_ASSERT_EQUAL(vbus_venet_rx_burst(r.v, 0, pkts, 8), 0);
	CU_ASSERT_EQUAL(r.tx.notified, 1);
	/* Pending: not delivered twice. */
	rig_reap(&r);
	rig_send(&r, in, 100, 1, NULL);
	CU_ASSERT_EQUAL(vbus_venet_rx_burst(r.v, 0, pkts, 8), 1);
	rte_pktmbuf_free(pkts[0]);
	CU_ASSERT_EQUAL(r.tx.notified, 1);
	vbus_signal_take(&r.tx.sig);
	rig_reap(&r);
	rig_send(&r, in, 100, 1, NULL);
	CU_ASSERT_EQUAL(vbus_venet_rx_burst(r.v, 0, pkts, 8), 1);
	rte_pktmbuf_free(pkts[0]);
	CU_ASSERT_EQUAL(r.tx.notified, 2);
	rig_close(&r);
}

/* ---- to north ---------------------------------------------------------------------------------- */

static void
to_north_sizes(uint32_t l4ro, uint32_t room)
{
	struct vbus_venet_rx_stats rx;
	struct vbus_venet_tx_stats tx;
	struct rte_mbuf *m;
	uint32_t nb = 0;
	uint32_t len;

	rig_up(&r, 0, 0, l4ro, 16, room);
	for (len = 14; len <= 9618; len = next_len(len)) {
		unsigned int segs = 1 + len / 2000;

		if (len % 3 == 0)
			segs += 3;
		rig_fill(in, len, len);
		m = rig_mbuf(&r, in, len, segs);
		CU_ASSERT_EQUAL_FATAL(vbus_venet_tx_burst(r.v, 0, &m, 1), 1);
		CU_ASSERT_TRUE_FATAL(rig_recv(&r, &frame));
		CU_ASSERT_EQUAL(frame.len, len);
		CU_ASSERT_EQUAL(memcmp(in, frame.data, len), 0);
		CU_ASSERT_EQUAL(frame.o.flags, 0);
		CU_ASSERT_EQUAL(rig_mbufs_used(&r), 0);
		nb++;
	}
	stats(&rx, &tx);
	CU_ASSERT_EQUAL(tx.packets, nb);
	CU_ASSERT(tx.multi_seg > 0);
	rig_close(&r);
}

static void
test_to_north_linear(void)
{
	to_north_sizes(0, 9618);
}

static void
test_to_north_l4ro(void)
{
	to_north_sizes(VENET_CAP_SG, 1514);
	to_north_sizes(SG_ALL, 9618);
	to_north_sizes(SG_ALL, 66);
}

static void
to_north_bursts(uint32_t l4ro)
{
	struct rte_mbuf *pkts[80];
	uint32_t next = 0, want = 0;
	uint32_t round;
	uint16_t i, n;

	rig_up(&r, 0, 0, l4ro, 48, 1514);
	for (round = 0; round < 500; round++) {
		uint16_t burst = (uint16_t)(1 + round % 80);
		uint32_t take = round % 60;

		for (i = 0; i < burst; i++) {
			rig_fill(in, 60 + (next + i) % 1400, next + i);
			pkts[i] = rig_mbuf(&r, in, 60 + (next + i) % 1400, 1 + i % 3);
		}
		n = vbus_venet_tx_burst(r.v, 0, pkts, burst);
		CU_ASSERT(n <= 64);
		next += n;
		rte_pktmbuf_free_bulk(pkts + n, (unsigned int)(burst - n));
		while (take-- > 0 && rig_recv(&r, &frame)) {
			rig_fill(in, 60 + want % 1400, want);
			CU_ASSERT_EQUAL(frame.len, 60 + want % 1400);
			CU_ASSERT_EQUAL(memcmp(in, frame.data, frame.len), 0);
			want++;
		}
		CU_ASSERT_EQUAL(rig_mbufs_used(&r), 0);
	}
	CU_ASSERT(want > 2000);
	rig_close(&r);
}

static void
test_to_north_bursts(void)
{
	to_north_bursts(0);
	to_north_bursts(SG_ALL);
}

/** A buffer over the seam; buffers too small, and none at all. */
static void
test_to_north_odd_buffers(void)
{
	struct vbus_venet_rx_stats rx;
	struct vbus_venet_tx_stats tx;
	struct rte_mbuf *m;
	uint64_t cookie, len;
	struct vbus_ioq_entry e;

	rig_up(&r, 0, 0, 0, 4, 1000);
	rig_fill(in, 1500, 1);
	/* Too large for the buffer: dropped with a reason, the buffer stays. */
	m = rig_mbuf(&r, in, 1001, 1);
	CU_ASSERT_EQUAL(vbus_venet_tx_burst(r.v, 0, &m, 1), 1);
	CU_ASSERT_FALSE(rig_pop(&r, &cookie, &len));
	stats(&rx, &tx);
	CU_ASSERT_EQUAL(tx.drop_room, 1);
	/* No frame at all. */
	m = rig_mbuf(&r, in, 13, 1);
	CU_ASSERT_EQUAL(vbus_venet_tx_burst(r.v, 0, &m, 1), 1);
	stats(&rx, &tx);
	CU_ASSERT_EQUAL(tx.drop_len, 1);
	/* Not north's memory: handed back empty, the next frame gets the next buffer. */
	r.rx.q.desc[0].ptr = RIG_SEAM + RIG_HALF - 10;
	m = rig_mbuf(&r, in, 1000, 2);
	CU_ASSERT_EQUAL(vbus_venet_tx_burst(r.v, 0, &m, 1), 1);
	CU_ASSERT_TRUE(rig_pop(&r, &cookie, &len));
	CU_ASSERT_EQUAL(len, 0);
	/* A "room" that wraps the address. */
	r.rx.q.desc[1].len = UINT64_MAX;
	m = rig_mbuf(&r, in, 1000, 1);
	CU_ASSERT_EQUAL(vbus_venet_tx_burst(r.v, 0, &m, 1), 1);
	CU_ASSERT_TRUE(rig_pop(&r, &cookie, &len));
	CU_ASSERT_EQUAL(len, 1000);
	CU_ASSERT_EQUAL(memcmp(in, rig_ptr(&r, r.rx_buf[1]), 1000), 0);
	/* Over the seam. */
	r.rx.q.desc[2].ptr = RIG_SEAM - 321;
	m = rig_mbuf(&r, in, 999, 3);
	CU_ASSERT_EQUAL(vbus_venet_tx_burst(r.v, 0, &m, 1), 1);
	CU_ASSERT_TRUE(rig_pop(&r, &cookie, &len));
	CU_ASSERT_EQUAL(len, 999);
	CU_ASSERT_EQUAL(memcmp(in, rig_ptr(&r, RIG_SEAM - 321), 321), 0);
	CU_ASSERT_EQUAL(memcmp(in + 321, rig_ptr(&r, RIG_SEAM), 999 - 321), 0);
	stats(&rx, &tx);
	CU_ASSERT_EQUAL(tx.drop_addr, 1);
	CU_ASSERT_EQUAL(tx.packets, 2);
	/* No room worth the name: handed back. */
	r.rx.q.desc[3].len = 0;
	m = rig_mbuf(&r, in, 100, 1);
	CU_ASSERT_EQUAL(vbus_venet_tx_burst(r.v, 0, &m, 1), 1);
	CU_ASSERT_TRUE(rig_pop(&r, &cookie, &len));
	CU_ASSERT_EQUAL(len, 0);
	/* Empty ring: not taken. */
	m = rig_mbuf(&r, in, 100, 1);
	CU_ASSERT_EQUAL(vbus_venet_tx_burst(r.v, 0, &m, 1), 0);
	CU_ASSERT_EQUAL(vbus_venet_tx_free(r.v, 0), 0);
	e = (struct vbus_ioq_entry){.cookie = 0, .ptr = r.rx_buf[0], .len = 1000};
	vbus_ioq_north_post(&r.rx.q, &e, 1);
	CU_ASSERT_EQUAL(vbus_venet_tx_free(r.v, 0), 1);
	CU_ASSERT_EQUAL(vbus_venet_tx_burst(r.v, 0, &m, 1), 1);
	rig_close(&r);
}

/** Section 7.1: a frame that finds no buffer repeats the signal. */
static void
test_to_north_starved(void)
{
	struct vbus_venet_rx_stats rx;
	struct vbus_venet_tx_stats tx;
	struct rte_mbuf *pkts[6];
	uint32_t i;

	rig_up(&r, 0, 0, 0, 4, 1000);
	rig_fill(in, 100, 1);
	for (i = 0; i < 6; i++)
		pkts[i] = rig_mbuf(&r, in, 100, 1);
	CU_ASSERT_EQUAL(vbus_venet_tx_burst(r.v, 0, pkts, 6), 4);
	CU_ASSERT_EQUAL(r.rx.notified, 0);
	/* North enables now and swallows what came before, as old drivers do at LINKUP. */
	vbus_signal_enable(&r.rx.sig);
	vbus_signal_take(&r.rx.sig);
	CU_ASSERT_EQUAL(vbus_venet_tx_burst(r.v, 0, pkts + 4, 2), 0);
	CU_ASSERT_EQUAL(r.rx.notified, 1);
	CU_ASSERT_EQUAL(vbus_venet_tx_burst(r.v, 0, pkts + 4, 2), 0);
	CU_ASSERT_EQUAL(r.rx.notified, 1); /* pending */
	vbus_signal_take(&r.rx.sig);
	CU_ASSERT_EQUAL(vbus_venet_tx_burst(r.v, 0, pkts + 4, 2), 0);
	CU_ASSERT_EQUAL(r.rx.notified, 2);
	stats(&rx, &tx);
	CU_ASSERT_EQUAL(tx.ring_full, 4);
	CU_ASSERT_EQUAL(tx.packets, 4);
	rte_pktmbuf_free_bulk(pkts + 4, 2);
	rig_close(&r);
}

/** Pages: too few are a drop with a reason, for a frame that cannot be cut. */
static void
test_to_north_pages(void)
{
	struct vbus_venet_rx_stats rx;
	struct vbus_venet_tx_stats tx;
	struct rte_mbuf *m;
	uint64_t cookie, len;

	rig_up(&r, 0, 0, SG_ALL, 4, 1514);
	rig_fill(in, 40000, 1);
	m = rig_mbuf(&r, in, 1514 + 4 * 4096 + 1, 16);
	CU_ASSERT_EQUAL(vbus_venet_tx_burst(r.v, 0, &m, 1), 1);
	stats(&rx, &tx);
	CU_ASSERT_EQUAL(tx.drop_page, 1);
	m = rig_mbuf(&r, in, 1514 + 4 * 4096, 16);
	CU_ASSERT_EQUAL(vbus_venet_tx_burst(r.v, 0, &m, 1), 1);
	CU_ASSERT_TRUE(rig_recv(&r, &frame));
	CU_ASSERT_EQUAL(frame.len, 1514 + 4 * 4096);
	CU_ASSERT_EQUAL(memcmp(in, frame.data, frame.len), 0);
	/* desc.len allows two iovs only. */
	r.rx.q.desc[1].len = 48 + 16;
	m = rig_mbuf(&r, in, 1514 + 4097, 16);
	CU_ASSERT_EQUAL(vbus_venet_tx_burst(r.v, 0, &m, 1), 1);
	stats(&rx, &tx);
	CU_ASSERT_EQUAL(tx.drop_room, 1);
	m = rig_mbuf(&r, in, 1514 + 4096, 16);
	CU_ASSERT_EQUAL(vbus_venet_tx_burst(r.v, 0, &m, 1), 1);
	CU_ASSERT_TRUE(rig_pop(&r, &cookie, &len));
	CU_ASSERT_EQUAL(len, 48 + 16); /* never written */
	rig_close(&r);
}

/** A shared mbuf is only read, and stays with its other owner. */
static void
test_to_north_shared(void)
{
	struct rte_mbuf *m;
	struct rte_mbuf *clone;

	rig_up(&r, 0, 0, 0, 4, 1514);
	rig_fill(in, 700, 9);
	m = rig_mbuf(&r, in, 700, 2);
	clone = rte_pktmbuf_clone(m, r.pool);
	CU_ASSERT_EQUAL(vbus_venet_tx_burst(r.v, 0, &clone, 1), 1);
	rte_mbuf_refcnt_update(m, 1);
	rte_mbuf_refcnt_update(m->next, 1);
	CU_ASSERT_EQUAL(vbus_venet_tx_burst(r.v, 0, &m, 1), 1);
	CU_ASSERT_EQUAL(rte_mbuf_refcnt_read(m), 1);
	CU_ASSERT_EQUAL(rig_flat(m, out), 700);
	CU_ASSERT_EQUAL(memcmp(in, out, 700), 0);
	rte_pktmbuf_free(m);
	CU_ASSERT_TRUE(rig_recv(&r, &frame));
	CU_ASSERT_EQUAL(memcmp(in, frame.data, 700), 0);
	CU_ASSERT_TRUE(rig_recv(&r, &frame));
	CU_ASSERT_EQUAL(memcmp(in, frame.data, 700), 0);
	rig_close(&r);
}

int
main(void)
{
	static const struct cu_test tests[] = {
		{"from north, linear, all sizes", test_from_north_linear},
		{"from north, sg, all sizes", test_from_north_sg},
		{"from north, sg in the pool, all sizes", test_from_north_pmtd},
		{"from north, 18 iovs in the pool", test_from_north_18_iovs},
		{"from north, bursts", test_from_north_bursts},
		{"from north, across extents", test_from_north_seam},
		{"from north, no mbufs", test_from_north_nombuf},
		{"from north, idle", test_from_north_idle},
		{"from north, signals", test_from_north_signal},
		{"to north, linear, all sizes", test_to_north_linear},
		{"to north, l4ro, all sizes", test_to_north_l4ro},
		{"to north, bursts", test_to_north_bursts},
		{"to north, odd buffers", test_to_north_odd_buffers},
		{"to north, no buffers", test_to_north_starved},
		{"to north, pages", test_to_north_pages},
		{"to north, shared mbufs", test_to_north_shared},
		{NULL, NULL},
	};
	int ret = rig_eal("test_venet_data");

	return ret != 0 ? ret : cu_run("venet data", tests, NULL, NULL);
}
