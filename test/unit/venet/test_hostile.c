/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * A north that breaks every rule: descriptors, pools, indices and flags full of anything, also
 * while the bursts run (the seam between rounds). South may send nonsense back to north; it may not
 * touch anything but north's memory, lose an mbuf, or stop. AddressSanitizer watches the edges of
 * the two extents, UndefinedBehaviorSanitizer the arithmetic.
 */

#include "rig.h"

#include <string.h>

#include <rte_cycles.h>

#include "../core/cu_run.h"
#include "vbus_ctl.h"

#define SG_ALL	 (VENET_CAP_SG | VENET_CAP_TSO4 | VENET_CAP_TSO6 | VENET_CAP_ECN)
#define ROUNDS	 40000u
#define NB_MODES 6u

static struct rig r;
static uint64_t seed;
static uint8_t data[4000];

static uint32_t
rnd(void)
{
	seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return (uint32_t)(seed >> 33);
}

/** A number that is likely to be near some edge. */
static uint64_t
odd_number(void)
{
	static const uint64_t edges[] = {0, 1, 13, 14, 47, 48, 64, 304, 1514, 65553, 65554, 0xffff,
		0x7fffffff, 0xffffffff, 0x100000000, RIG_BASE, RIG_SEAM, RIG_SEAM + RIG_HALF,
		UINT64_MAX, UINT64_MAX / 2, UINT64_MAX - 304};
	uint64_t v = edges[rnd() % RTE_DIM(edges)];

	switch (rnd() % 4) {
	case 0:
		return v;
	case 1:
		return v + rnd() % 64;
	case 2:
		return v - rnd() % 64;
	default:
		return (uint64_t)rnd() << (rnd() % 33);
	}
}

static uint64_t
address(void)
{
	switch (rnd() % 4) {
	case 0:
		return odd_number();
	case 1:
		return RIG_SEAM - rnd() % 70000;
	case 2:
		return RIG_SEAM + RIG_HALF - rnd() % 70000;
	default:
		return RIG_BASE + rnd() % RIG_HALF;
	}
}

static void
spoil_sg(uint8_t *at, uint64_t room)
{
	struct venet_sg sg;
	uint32_t i, count, slot;
	struct venet_iov iov;
	uint32_t sum = 0;

	if (room < VENET_SG_SIZE(1))
		return;
	rig_fill((uint8_t *)&sg, sizeof(sg), rnd());
	sg.count = rnd() % 4 ? rnd() % 20 : (uint32_t)odd_number();
	sg.flags = rnd() % 8;
	sg.gso.size = (uint16_t)(rnd() % 2 ? rnd() % 3000 : sg.gso.size);
	slot = rnd() % r.count;
	if (rnd() % 2) {
		/* What fits the headers in that slot, but for the rest of it. */
		sg.csum.start = slot & 1 ? 54 : 34;
		sg.csum.offset = 16;
		sg.gso.type = slot & 1 ? VENET_GSO_TYPE_TCPV6 : VENET_GSO_TYPE_TCPV4;
	}
	count = RTE_MIN(sg.count, (uint32_t)((room - 32) / 16));
	for (i = 0; i < count && i < 70; i++) {
		iov.len = rnd() % 8 ? rnd() % 3000 : (uint32_t)odd_number();
		if (i == 0 && rnd() % 2)
			iov.ptr = r.tx_buf[slot]; /* begins with headers */
		else
			iov.ptr = rnd() % 4 ? RIG_BASE + rnd() % (RIG_HALF - 3000) : address();
		sum += iov.len;
		memcpy(at + 32 + i * 16, &iov, 16);
	}
	sg.len = rnd() % 8 ? sum : (uint32_t)odd_number();
	memcpy(at, &sg, sizeof(sg));
}

/** One of the next entries of a ring gets other contents, and now and then another owner. */
static void
spoil_ring(struct rig_ring *ring, const struct vbus_shm *pool)
{
	const struct vbus_ioq_north *q = &ring->q;
	/* One of the two moves, the other stays 0. */
	uint32_t next = ring->cursor.inuse_head + ring->cursor.inuse_tail;
	struct ioq_ring_desc *d = &q->desc[(next + rnd() % 4) % q->count];

	if (pool != NULL && pool->va != NULL && rnd() % 4) {
		d->ptr = rnd() % (pool->len + 64);
		if (rnd() % 2)
			d->ptr = rnd() % q->count * VENET_POOL_SLOT_SIZE;
		d->len = rnd() % 4 ? VENET_SG_SIZE(1 + rnd() % 19) : odd_number();
		if (d->ptr < pool->len)
			spoil_sg(pool->va + d->ptr, pool->len - d->ptr);
	} else if (rnd() % 2) {
		d->ptr = address();
		d->len = rnd() % 2 ? rnd() % 3000 : odd_number();
		/* An sg descriptor at an address. */
		if (d->ptr >= RIG_BASE && d->ptr < RIG_SEAM - 2000 && rnd() % 2)
			spoil_sg(rig_ptr(&r, d->ptr), 1200);
	} else {
		d->ptr = r.tx_sg[rnd() % r.count];
		d->len = VENET_SG_SIZE(1 + rnd() % 69);
		spoil_sg(rig_ptr(&r, d->ptr), d->len);
	}
	d->valid = (uint8_t)rnd();
	d->cookie = odd_number();
	d->sown = rnd() % 8 ? 1 : (uint8_t)rnd();
	if (rnd() % 16 == 0)
		rig_fill((uint8_t *)q->ring->idx, sizeof(q->ring->idx), rnd());
	if (rnd() % 16 == 0)
		rig_fill((uint8_t *)&q->ring->signal, sizeof(q->ring->signal), rnd());
	if (rnd() % 64 == 0)
		q->ring->count = (uint32_t)odd_number();
}

/** North's memory holds headers here and there, so that some requests parse. */
static void
plant_headers(void)
{
	uint32_t i;

	for (i = 0; i < 200; i++) {
		struct rig_tcp t = {.v6 = i & 1, .vlan = i & 2, .payload = 100, .seed = i};
		struct vbus_hdr h;
		uint32_t len = rig_build(data, &t, &h);

		memcpy(rig_ptr(&r, RIG_BASE + rnd() % (RIG_HALF - 200)), data, len);
	}
	/* Where honest fragments begin. */
	for (i = 0; i < r.count; i++) {
		struct rig_tcp t = {.v6 = i & 1, .payload = 2000, .seed = i};
		struct vbus_hdr h;

		rig_build(rig_ptr(&r, r.tx_buf[i]), &t, &h);
	}
}

static void
bursts(void)
{
	struct rte_mbuf *pkts[32];
	uint16_t n, i, k;

	n = vbus_venet_rx_burst(r.v, 0, pkts, (uint16_t)(1 + rnd() % 32));
	for (i = 0; i < n; i++) {
		static uint8_t flat[70000];

		CU_ASSERT(pkts[i]->pkt_len >= 14 && pkts[i]->pkt_len <= 65553);
		rig_flat(pkts[i], flat);
	}
	rte_pktmbuf_free_bulk(pkts, n);

	n = (uint16_t)(rnd() % 8);
	for (i = 0; i < n; i++) {
		struct rig_tcp t = {.v6 = rnd() & 1, .payload = rnd() % 3500, .seed = i};
		struct vbus_hdr h;
		uint32_t len = rig_build(data, &t, &h);

		pkts[i] = rig_mbuf(&r, data, len, 2 + rnd() % 3);
		pkts[i]->l2_len = h.l2_len;
		pkts[i]->l3_len = h.l3_len;
		pkts[i]->l4_len = h.l4_len;
		pkts[i]->tso_segsz = (uint16_t)(rnd() % 2000);
		if (rnd() % 2)
			pkts[i]->ol_flags = RTE_MBUF_F_TX_TCP_CKSUM |
					    (t.v6 ? RTE_MBUF_F_TX_IPV6 : RTE_MBUF_F_TX_IPV4) |
					    (rnd() % 2 ? RTE_MBUF_F_TX_TCP_SEG : 0);
	}
	k = vbus_venet_tx_burst(r.v, 0, pkts, n);
	CU_ASSERT_FATAL(k <= n);
	rte_pktmbuf_free_bulk(pkts + k, (unsigned int)(n - k));
}

static void
control(uint32_t mode)
{
	switch (rnd() % 400) {
	case 0:
		CU_ASSERT_EQUAL(rig_call(&r, VENET_FUNC_FLUSHRX, NULL, 0), 0);
		break;
	case 1:
		CU_ASSERT_EQUAL(rig_call(&r, VENET_FUNC_LINKDOWN, NULL, 0), 0);
		CU_ASSERT_EQUAL(rig_call(&r, VENET_FUNC_LINKUP, NULL, 0), 0);
		break;
	case 2:
		vbus_venet_set_rx_accept(r.v, rnd() % 4);
		break;
	case 3:
		vbus_venet_rx_intr_enable(r.v, 0);
		break;
	case 4:
		vbus_venet_rx_intr_disable(r.v, 0);
		break;
	case 5:
		if (r.timer != NULL)
			r.timer->fn(r.timer);
		break;
	case 6:
		if (mode & 1) {
			vbus_venet_set_ready(r.v, false);
			vbus_venet_set_ready(r.v, true);
		}
		break;
	default:
		break;
	}
}

static void
fuzz(uint32_t mode)
{
	static const uint32_t sg[NB_MODES] = {
		0, SG_ALL, SG_ALL | VENET_CAP_PMTD, 0, SG_ALL, SG_ALL | VENET_CAP_PMTD};
	struct vbus_venet_rx_stats rx;
	struct vbus_venet_tx_stats tx;
	uint32_t i, k;

	seed = 4711 + mode;
	rig_up(&r, sg[mode], 1, mode >= 3 ? 0xf : 0, 16, 1514);
	/* Something at the very end of each half, and in the second at all. */
	memset(r.half[1], 0x45, RIG_HALF);
	plant_headers();
	for (i = 0; i < ROUNDS; i++) {
		for (k = 0; k < 1 + rnd() % 6; k++) {
			spoil_ring(&r.tx, mode % 3 == 2 ? &r.tx_pool : NULL);
			spoil_ring(&r.rx, mode >= 3 ? &r.l4ro_pool : NULL);
			if (mode >= 3)
				spoil_ring(&r.pg, NULL);
			if (rnd() % 64 == 0)
				spoil_ring(&r.ev, NULL);
		}
		bursts();
		control(mode);
		CU_ASSERT_EQUAL_FATAL(rig_mbufs_used(&r), 0);
	}
	vbus_venet_stats(r.v, 0, &rx, &tx);
	/* It did reach what it is for. */
	CU_ASSERT(rx.packets > 1000 && rx.drop_addr > 100 && rx.drop_len > 10);
	CU_ASSERT(tx.packets > 1000 && tx.drop_addr > 100 && tx.drop_room > 10);
	if (mode % 3 != 0)
		CU_ASSERT(rx.drop_sg > 1000 && rx.drop_offload > 100 &&
			  rx.csum_done + rx.gso_done > 100);
	if (mode >= 3)
		CU_ASSERT(tx.drop_sg > 100 && tx.drop_page + tx.gso_done > 100);
	rig_close(&r);
}

static void
test_linear(void)
{
	fuzz(0);
}

static void
test_sg(void)
{
	fuzz(1);
}

static void
test_pmtd(void)
{
	fuzz(2);
}

static void
test_linear_l4ro(void)
{
	fuzz(3);
}

static void
test_sg_l4ro(void)
{
	fuzz(4);
}

static void
test_pmtd_l4ro(void)
{
	fuzz(5);
}

/** One bad descriptor between good ones: counted by its reason, the others arrive. */
static void
test_reasons(void)
{
	static const struct {
		uint32_t len, count;
		uint64_t desc_len, iov_ptr;
		uint32_t iov_len;
		int reason; /* 0 address, 1 length, 2 sg */
	} bad[] = {
		{100, 1, 48, 0, 100, 0},
		{100, 1, 48, RIG_SEAM + RIG_HALF - 99, 100, 0},
		{100, 1, 48, UINT64_MAX - 50, 100, 0},
		{13, 1, 48, RIG_BASE, 13, 1},
		{65554, 1, 48, RIG_BASE, 65554, 1},
		{0xffffffff, 1, 48, RIG_BASE, 0xffffffff, 1},
		{100, 0, 48, RIG_BASE, 100, 2},
		{100, 2, 48, RIG_BASE, 100, 2},
		{100, 65, 5000, RIG_BASE, 100, 2},
		{100, 0x10000001, 48, RIG_BASE, 100, 2},
		{100, 1, 47, RIG_BASE, 100, 2},
		{100, 1, 48, RIG_BASE, 99, 2},
		{100, 1, 48, RIG_BASE, 101, 2},
	};
	struct vbus_venet_rx_stats rx;
	struct vbus_venet_tx_stats tx;
	struct rte_mbuf *pkts[4];
	uint32_t want[3] = {0, 0, 0};
	uint32_t i;

	rig_up(&r, SG_ALL, 0, 0, 8, 1514);
	rig_fill(data, 100, 1);
	for (i = 0; i < RTE_DIM(bad); i++) {
		uint32_t slot = (r.sent + 1) % r.count;
		struct venet_sg sg;
		struct venet_iov iov = {.len = bad[i].iov_len, .ptr = bad[i].iov_ptr};
		uint8_t *at;

		rig_send(&r, data, 100, 1, NULL);
		rig_send(&r, data, 100, 1, NULL);
		rig_send(&r, data, 100, 1, NULL);
		at = rig_ptr(&r, r.tx_sg[slot]);
		memcpy(&sg, at, sizeof(sg));
		sg.len = bad[i].len;
		sg.count = bad[i].count;
		memcpy(at, &sg, sizeof(sg));
		memcpy(at + 32, &iov, sizeof(iov));
		r.tx.q.desc[slot].len = bad[i].desc_len;
		CU_ASSERT_EQUAL(vbus_venet_rx_burst(r.v, 0, pkts, 4), 2);
		rte_pktmbuf_free_bulk(pkts, 2);
		CU_ASSERT_EQUAL(rig_reap(&r), 3);
		want[bad[i].reason]++;
		vbus_venet_stats(r.v, 0, &rx, &tx);
		CU_ASSERT_EQUAL(rx.drop_addr, want[0]);
		CU_ASSERT_EQUAL(rx.drop_len, want[1]);
		CU_ASSERT_EQUAL(rx.drop_sg, want[2]);
	}
	CU_ASSERT_EQUAL(r.nb_faults, 0);
	rig_close(&r);
}

int
main(void)
{
	static const struct cu_test tests[] = {
		{"reasons", test_reasons},
		{"linear", test_linear},
		{"sg", test_sg},
		{"sg in the pool", test_pmtd},
		{"linear, l4ro", test_linear_l4ro},
		{"sg, l4ro", test_sg_l4ro},
		{"sg in the pool, l4ro", test_pmtd_l4ro},
		{NULL, NULL},
	};
	int ret = rig_eal("test_venet_hostile");

	return ret != 0 ? ret : cu_run("venet hostile", tests, NULL, NULL);
}
