/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/* The ring for pollers at the south end: negotiation, frames both ways, a north that lies. */

#include "rig.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <rte_random.h>

#include "../core/cu_run.h"
#include "vbus_poll.h"

#define SG_ALL (VENET_CAP_SG | VENET_CAP_TSO4 | VENET_CAP_TSO6 | VENET_CAP_ECN)
#define COUNT  64u

static struct rig r;
static uint8_t in[RIG_FRAME], out[RIG_FRAME];
static struct vbus_poll_north rx, tx;
static struct vbus_shm shm[2];
static struct vbus_ioq_cursor cursor[2];
static uint64_t buf[COUNT]; /* of the receive ring */
static uint32_t room;
static bool placed;	 /* south's areas lie elsewhere */
static bool newest;	 /* south fills the newest buffer first */
static bool lent[COUNT]; /* NEWEST: south has the buffer of this number */

static int
share_poll(uint32_t kind, struct vbus_poll_north *q, uint32_t limit)
{
	const bool store = newest && kind == VENET_POLL_RX;
	uint32_t len = (uint32_t)(placed  ? vbus_poll_placed_size(COUNT)
				  : store ? VENET_POLL_RX_NEWEST_SIZE(COUNT)
					  : vbus_poll_size(kind, COUNT));
	uint64_t back = placed ? rig_alloc(&r, vbus_poll_back_size(kind, COUNT)) : 0;

	memset(&shm[kind], 0, sizeof(shm[kind]));
	shm[kind].id = VBUS_VENET_BLOCK_POLL_RX + kind;
	shm[kind].iova = rig_alloc(&r, len);
	shm[kind].len = len;
	shm[kind].va = rig_ptr(&r, shm[kind].iova);
	shm[kind].conn = &r.conn;
	shm[kind].cursor = &cursor[kind];
	if (placed) {
		CU_ASSERT_EQUAL(vbus_poll_north_format_placed(q, shm[kind].va, rig_ptr(&r, back),
					back, kind, COUNT, limit),
			0);
	} else {
		CU_ASSERT_EQUAL(vbus_poll_north_format(q, shm[kind].va, kind, COUNT, limit), 0);
		if (store)
			vbus_poll_north_newest(q, shm[kind].va, room);
	}
	return r.cls->ops->shm(&r.conn, &shm[kind]);
}

/* The buffer of this number, or entry. */
static void
post(uint32_t id)
{
	uint64_t d = newest ? vbus_poll_buffer(buf[id], id) : vbus_poll_desc(buf[id], room, 0);

	lent[id] = true;
	vbus_poll_north_post(&rx, &d, 1);
}

static void
up(uint32_t sg, uint32_t l4ro, uint32_t rx_room)
{
	const uint32_t caps = VENET_CAP_POLL_RING | (placed ? VENET_CAP_POLL_PLACED : 0) |
			      (newest ? VENET_CAP_POLL_NEWEST : 0);
	uint32_t i;

	room = rx_room;
	rig_open(&r, sg, 0, l4ro);
	CU_ASSERT_EQUAL(rig_negcap(&r, VENET_CAP_GROUP_POLL, VENET_CAP_POLL_PLACED), 0);
	CU_ASSERT_EQUAL(
		rig_negcap(&r, VENET_CAP_GROUP_POLL,
			VENET_CAP_POLL_RING | VENET_CAP_POLL_PLACED | VENET_CAP_POLL_NEWEST),
		VENET_CAP_POLL_RING | VENET_CAP_POLL_PLACED);
	CU_ASSERT_EQUAL(rig_negcap(&r, VENET_CAP_GROUP_POLL, caps), caps);
	CU_ASSERT_EQUAL_FATAL(share_poll(VENET_POLL_RX, &rx, COUNT), 0);
	CU_ASSERT_EQUAL_FATAL(share_poll(VENET_POLL_TX, &tx, COUNT), 0);
	for (i = 0; i < COUNT; i++) {
		buf[i] = rig_alloc(&r, rx_room + 2) + 2;
		post(i);
	}
	rig_bind(&r);
	vbus_venet_set_ready(r.v, true);
	CU_ASSERT_EQUAL_FATAL(rig_call(&r, VENET_FUNC_LINKUP, NULL, 0), 0);
	CU_ASSERT_TRUE_FATAL(vbus_venet_link(r.v));
}

/* North sends a frame of `frags` pieces at iova. */
static void
send_at(uint64_t iova, uint32_t len, uint32_t frags, uint64_t meta)
{
	uint64_t d[80];
	uint32_t n = 0, i, part = len / frags;

	if (meta != 0)
		d[n++] = vbus_poll_desc(meta, 0, VENET_POLL_MORE);
	for (i = 0; i < frags; i++) {
		uint32_t k = i + 1 < frags ? part : len - part * (frags - 1);

		d[n++] = vbus_poll_desc(iova + i * part, k, i + 1 < frags ? VENET_POLL_MORE : 0);
	}
	vbus_poll_north_post(&tx, d, n);
	/* South is done with what it took before. */
	tx.head += vbus_poll_north_done(&tx);
}

/* North takes the next frame. @return its length, 0: none, or an empty buffer (*nb then 1) */
static uint32_t
recv_frame(uint32_t *nb, uint64_t *meta)
{
	uint32_t len = 0, c;

	*nb = 0;
	*meta = 0;
	do {
		uint32_t slot = rx.head % COUNT;

		if (!vbus_poll_north_is_ready(&rx, 0))
			return 0;
		c = vbus_poll_load_comp(&rx.r, rx.head);
		if (c & VENET_POLL_COMP_META)
			*meta = rx.r.meta[slot];
		if (newest)
			slot = vbus_poll_comp_id(c);
		CU_ASSERT_TRUE_FATAL(slot < COUNT && lent[slot]);
		lent[slot] = false;
		CU_ASSERT_FATAL((c & VENET_POLL_COMP_LEN) <= room);
		vbus_memview_copy_in(r.view, &(struct vbus_memcache){0, 0, 0}, out + len, buf[slot],
			c & VENET_POLL_COMP_LEN);
		len += c & VENET_POLL_COMP_LEN;
		rx.head++;
		(*nb)++;
		post(slot);
	} while (c & VENET_POLL_COMP_MORE);
	return len;
}

static struct vbus_venet_rx_stats
rx_stats(void)
{
	struct vbus_venet_rx_stats a;
	struct vbus_venet_tx_stats b;

	vbus_venet_stats(r.v, 0, &a, &b);
	return a;
}

static struct vbus_venet_tx_stats
tx_stats(void)
{
	struct vbus_venet_rx_stats a;
	struct vbus_venet_tx_stats b;

	vbus_venet_stats(r.v, 0, &a, &b);
	return b;
}

static void
test_negotiate(void)
{
	struct venet_poll_query q = {.queue = 0};

	rig_open(&r, SG_ALL, 0, SG_ALL);
	CU_ASSERT_EQUAL(rig_call(&r, VENET_FUNC_POLLQUERY, &q, sizeof(q)), -EINVAL);
	CU_ASSERT_EQUAL(rig_negcap(&r, VENET_CAP_GROUP_POLL, 1), 1);
	CU_ASSERT_EQUAL(rig_call(&r, VENET_FUNC_POLLQUERY, &q, sizeof(q) - 1), -EINVAL);
	q.queue = 1;
	CU_ASSERT_EQUAL(rig_call(&r, VENET_FUNC_POLLQUERY, &q, sizeof(q)), -EINVAL);
	q.queue = 0;
	CU_ASSERT_EQUAL(rig_call(&r, VENET_FUNC_POLLQUERY, &q, sizeof(q)), 0);
	CU_ASSERT_EQUAL(q.rx_id, VBUS_VENET_BLOCK_POLL_RX);
	CU_ASSERT_EQUAL(q.tx_id, VBUS_VENET_BLOCK_POLL_TX);
	CU_ASSERT(q.count_max >= 1024);
	CU_ASSERT_EQUAL(rig_call(&r, VENET_FUNC_LINKUP, NULL, 0), -EINVAL);
	CU_ASSERT_EQUAL(share_poll(VENET_POLL_RX, &rx, COUNT), 0);
	CU_ASSERT_EQUAL(r.cls->ops->shm(&r.conn, &shm[VENET_POLL_RX]), -EEXIST);
	CU_ASSERT_EQUAL(rig_call(&r, VENET_FUNC_LINKUP, NULL, 0), -EINVAL);
	shm[VENET_POLL_RX].id = VBUS_VENET_BLOCK_POLL_TX; /* of the other kind */
	CU_ASSERT_EQUAL(r.cls->ops->shm(&r.conn, &shm[VENET_POLL_RX]), -EINVAL);
	shm[VENET_POLL_RX].id = VBUS_VENET_BLOCK_POLL_RX;
	CU_ASSERT_EQUAL(share_poll(VENET_POLL_TX, &tx, COUNT), 0);
	CU_ASSERT_EQUAL(rig_call(&r, VENET_FUNC_LINKUP, NULL, 0), 0);
	rig_close(&r);
}

static void
from_north(uint32_t sg, uint32_t max_frags)
{
	uint64_t at;
	uint32_t len, frags;
	struct rte_mbuf *m;

	up(sg, 0, 2048);
	at = rig_alloc(&r, 20000);
	for (len = 14; len <= 9618; len += len < 200 ? 1 : 37) {
		/* Every third frame lies over the seam of north's memory. */
		uint64_t iova = len % 3 == 0 ? RIG_SEAM - len / 2 : at;

		frags = len < 100 ? 1 : 1 + len % max_frags;
		rig_fill(in, len, len);
		rig_copy_in(&r, iova, in, len);
		send_at(iova, len, frags, 0);
		CU_ASSERT_EQUAL_FATAL(vbus_venet_rx_burst(r.v, 0, &m, 1), 1);
		CU_ASSERT_EQUAL(rig_flat(m, out), len);
		CU_ASSERT_EQUAL(memcmp(in, out, len), 0);
		rte_pktmbuf_free(m);
	}
	CU_ASSERT_EQUAL(vbus_venet_rx_burst(r.v, 0, &m, 1), 0);
	rig_close(&r);
}

static void
test_from_north(void)
{
	from_north(0, 1);
	from_north(SG_ALL, 40);
}

/* Plain frames and others in one burst, and a pool that is empty. */
static void
test_from_north_mixed(void)
{
	static struct rte_mbuf *hold[1023];
	struct rte_mbuf *pkts[64];
	uint32_t round, i, n, held = 0;
	uint64_t at;

	up(SG_ALL, 0, 2048);
	at = rig_alloc(&r, 4096);
	for (round = 0; round < 200; round++) {
		for (i = 0; i < 20; i++)
			send_at(at, 100 + i, i % 7 == 6 ? 2 : 1, 0);
		CU_ASSERT_EQUAL(vbus_venet_rx_count(r.v, 0), 22);
		if (round == 100)
			while (rte_mempool_get(r.pool, (void **)&hold[held]) == 0)
				held++;
		if (held != 0) {
			CU_ASSERT_EQUAL(vbus_venet_rx_burst(r.v, 0, pkts, 64), 0);
			CU_ASSERT(rx_stats().nombuf > 0);
			rte_mempool_put_bulk(r.pool, (void **)hold, held);
			held = 0;
		}
		for (n = 0; n < 20; n += i) {
			i = vbus_venet_rx_burst(r.v, 0, &pkts[n], (uint16_t)(64 - n));
			CU_ASSERT_FATAL(i != 0);
		}
		for (i = 0; i < 20; i++)
			CU_ASSERT_EQUAL(pkts[i]->pkt_len, 100 + i);
		rte_pktmbuf_free_bulk(pkts, 20);
	}
	CU_ASSERT_EQUAL(rx_stats().packets, 4000);
	rig_close(&r);
}

static uint64_t
meta_of(const struct vbus_offload *o)
{
	return (uint64_t)o->csum_start | (uint64_t)o->gso_size << 16 |
	       (uint64_t)o->csum_offset << 32 | (uint64_t)o->flags << 40 |
	       (uint64_t)o->gso_type << 43;
}

/* Checksums are completed, and a large frame is cut, over several bursts. */
static void
test_from_north_requests(void)
{
	struct rig_tcp t = {.payload = 1000, .seed = 9};
	struct vbus_offload o = {.flags = VENET_SG_FLAG_NEEDS_CSUM, .csum_offset = 16};
	struct rte_mbuf *pkts[8];
	uint32_t len, nb = 0, i, n;
	struct vbus_hdr h;
	uint64_t at;

	up(SG_ALL, 0, 2048);
	at = rig_alloc(&r, RIG_FRAME);
	len = rig_build(in, &t, &h);
	rig_put_csums(in, &h);
	rig_put_pseudo(in, len, &h);
	o.csum_start = (uint16_t)(h.l2_len + h.l3_len);
	rig_copy_in(&r, at, in, len);
	send_at(at, len, 1, meta_of(&o));
	CU_ASSERT_EQUAL_FATAL(vbus_venet_rx_burst(r.v, 0, pkts, 8), 1);
	CU_ASSERT_TRUE(rig_csum_ok(out, rig_flat(pkts[0], out)));
	rte_pktmbuf_free(pkts[0]);

	t.payload = 30000;
	len = rig_build(in, &t, &h);
	rig_put_pseudo(in, len, &h);
	rig_copy_in(&r, at, in, len);
	o.flags |= VENET_SG_FLAG_GSO;
	o.gso_size = 1000;
	send_at(at, len, 10, meta_of(&o));
	send_at(at, 60, 1, 0);
	while ((n = vbus_venet_rx_burst(r.v, 0, pkts, 8)) != 0) {
		for (i = 0; i < n; i++, nb++) {
			CU_ASSERT_EQUAL(pkts[i]->pkt_len, nb < 30 ? len - 29000 : 60);
			CU_ASSERT(nb == 30 || rig_csum_ok(out, rig_flat(pkts[i], out)));
		}
		rte_pktmbuf_free_bulk(pkts, n);
	}
	CU_ASSERT_EQUAL(nb, 31);
	CU_ASSERT_EQUAL(vbus_poll_north_done(&tx), tx.tail - tx.head);
	rig_close(&r);
}

static void
one_bad(const uint64_t *d, uint32_t n)
{
	struct rte_mbuf *m;

	vbus_poll_north_post(&tx, d, n);
	CU_ASSERT_EQUAL(vbus_venet_rx_burst(r.v, 0, &m, 1), 0);
	while (vbus_poll_north_done(&tx) != n && vbus_venet_rx_burst(r.v, 0, &m, 1) == 0 &&
		r.v != NULL && vbus_venet_rx_count(r.v, 0) != 0)
		;
	CU_ASSERT_EQUAL(vbus_poll_north_done(&tx), n); /* passed, and given back */
	tx.head += n;
	send_at(RIG_BASE, 60, 1, 0);
	CU_ASSERT_EQUAL_FATAL(vbus_venet_rx_burst(r.v, 0, &m, 1), 1);
	rte_pktmbuf_free(m);
	tx.head += vbus_poll_north_done(&tx);
}

static void
test_from_north_hostile(void)
{
	uint64_t d[COUNT], bad = 0;
	uint32_t i, sg;

	for (sg = 0; sg <= SG_ALL; sg += SG_ALL) {
		up(sg, 0, 2048);
		for (i = 0; i < 14; i++, bad++) {
			d[0] = vbus_poll_desc(RIG_BASE, i, 0);
			one_bad(d, 1);
		}
		d[0] = vbus_poll_desc(0, 60, 0);
		one_bad(d, 1);
		d[0] = vbus_poll_desc(RIG_BASE - 30, 60, 0);
		one_bad(d, 1);
		d[0] = vbus_poll_desc(RIG_SEAM + RIG_HALF - 59, 60, 0);
		one_bad(d, 1);
		d[0] = vbus_poll_desc(VENET_POLL_ADDR_MASK, VENET_POLL_LEN_MAX, 0);
		one_bad(d, 1);
		CU_ASSERT_EQUAL(rx_stats().drop_addr, 4);
		/* Requests in the middle; a chain of more than 64. */
		d[0] = vbus_poll_desc(RIG_BASE, 60, VENET_POLL_MORE);
		d[1] = vbus_poll_desc(5, 0, VENET_POLL_MORE);
		d[2] = vbus_poll_desc(RIG_BASE, 60, 0);
		one_bad(d, 3);
		d[0] = vbus_poll_desc(VENET_POLL_ADDR_MASK, 0, VENET_POLL_MORE);
		d[1] = vbus_poll_desc(RIG_BASE, 60, 0);
		one_bad(d, 2); /* every request there is */
		for (i = 0; i < COUNT; i++)
			d[i] = vbus_poll_desc(RIG_BASE, 16383, i + 1 < COUNT ? VENET_POLL_MORE : 0);
		one_bad(d, COUNT); /* too long */
		CU_ASSERT_EQUAL(r.nb_faults, 0);
		rig_close(&r);
	}
	CU_ASSERT_EQUAL(bad, 28);
}

/* Any words at all: nothing but what ASan would see. */
static void
test_noise(void)
{
	struct rte_mbuf *pkts[64];
	uint32_t round, i;
	uint16_t n;

	srand(7);
	up(SG_ALL, SG_ALL, 2048);
	for (round = 0; round < 20000; round++) {
		for (i = 0; i < 4; i++) {
			uint64_t word = (uint64_t)rand() << 42 ^ (uint64_t)rand() << 21 ^
					(uint64_t)rand();
			uint32_t at = (uint32_t)rand() % COUNT;

			if (round % 2 == 0) /* often an address that is there */
				word = (word & ~VENET_POLL_ADDR_MASK) |
				       (RIG_BASE + word % (2 * RIG_HALF));
			if (round % 3 == 0)
				rx.r.desc[at] = word;
			else
				tx.r.desc[at] = word;
		}
		n = vbus_venet_rx_burst(r.v, 0, pkts, 64);
		rte_pktmbuf_free_bulk(pkts, n);
		pkts[0] = rig_mbuf(&r, in, 60 + round % 1900, 1 + round % 3);
		if (vbus_venet_tx_burst(r.v, 0, pkts, 1) == 0)
			rte_pktmbuf_free(pkts[0]);
	}
	CU_ASSERT_EQUAL(r.nb_faults, 0);
	rig_close(&r);
}

static void
to_north(uint32_t l4ro, uint32_t rx_room, uint32_t max)
{
	struct rte_mbuf *m;
	uint32_t len, nb, segs;
	uint64_t meta;

	up(0, l4ro, rx_room);
	for (len = 14; len <= max; len += len < 200 ? 1 : 37) {
		segs = len < 100 ? 1 : 1 + len / 2000 + len % 4;
		rig_fill(in, len, len);
		m = rig_mbuf(&r, in, len, segs);
		CU_ASSERT_EQUAL_FATAL(vbus_venet_tx_burst(r.v, 0, &m, 1), 1);
		CU_ASSERT_EQUAL(recv_frame(&nb, &meta), len);
		CU_ASSERT_EQUAL(nb, (len + rx_room - 1) / rx_room);
		CU_ASSERT_EQUAL(meta, 0);
		CU_ASSERT_EQUAL(memcmp(in, out, len), 0);
	}
	/* A frame that does not fit is dropped and takes no buffer. */
	if (l4ro == 0) {
		m = rig_mbuf(&r, in, rx_room + 1, 1);
		CU_ASSERT_EQUAL(vbus_venet_tx_burst(r.v, 0, &m, 1), 1);
		CU_ASSERT_EQUAL(tx_stats().drop_room, 1);
		CU_ASSERT_EQUAL(vbus_venet_tx_free(r.v, 0), COUNT);
	}
	rig_close(&r);
}

static void
test_to_north(void)
{
	to_north(0, 2000, 2000);
	to_north(SG_ALL, 2000, 9618);
	to_north(SG_ALL, 256, 9618);
}

static void
test_to_north_full(void)
{
	struct rte_mbuf *pkts[64];
	uint32_t round, sent = 0, got = 0, i, n, nb;
	uint64_t meta;

	up(0, 0, 2000);
	for (round = 0; round < 300; round++) {
		n = 1 + round % 64;
		for (i = 0; i < n; i++) {
			rig_fill(in, 60 + (sent + i) % 1000, sent + i);
			pkts[i] = rig_mbuf(
				&r, in, 60 + (sent + i) % 1000, (round + i) % 9 == 0 ? 2 : 1);
		}
		i = vbus_venet_tx_burst(r.v, 0, pkts, (uint16_t)n);
		CU_ASSERT_EQUAL(i, n < COUNT - (sent - got) ? n : COUNT - (sent - got));
		rte_pktmbuf_free_bulk(pkts + i, n - i);
		sent += i;
		for (i = 0; i < 1 + round % 50; i++) {
			uint32_t len = recv_frame(&nb, &meta);

			if (len == 0)
				break;
			rig_fill(in, len, got);
			CU_ASSERT_EQUAL(len, 60 + got % 1000);
			CU_ASSERT_EQUAL(memcmp(in, out, len), 0);
			got++;
		}
	}
	CU_ASSERT(got > 3000);
	CU_ASSERT(tx_stats().ring_full > 0);
	rig_close(&r);
}

static void
test_to_north_hostile(void)
{
	struct rte_mbuf *m;
	uint32_t i;

	up(0, SG_ALL, 2000);
	for (i = 0; i < COUNT; i++) { /* every buffer is a trap */
		static const uint64_t trap[4] = {
			0, RIG_BASE - 10, RIG_SEAM + RIG_HALF - 10, RIG_BASE};

		rx.r.desc[i] = vbus_poll_desc(trap[i % 4], i % 4 == 3 ? i % 14 : 2000, 0) |
			       vbus_poll_desc_phase(&rx.r, i);
		if (newest) /* all have one room, which is large enough */
			rx.r.desc[i] = vbus_poll_buffer(trap[i % 3], 0x7fff - i) |
				       vbus_poll_desc_phase(&rx.r, i);
	}
	for (i = 0; i < 200; i++) {
		m = rig_mbuf(&r, in, 60 + i, 1);
		if (vbus_venet_tx_burst(r.v, 0, &m, 1) == 0)
			rte_pktmbuf_free(m);
	}
	CU_ASSERT(tx_stats().drop_addr > 0);
	CU_ASSERT_EQUAL(tx_stats().packets, 0);
	rig_close(&r);
}

/* LINKDOWN and LINKUP, FLUSHRX, memory that moves: positions stay. */
static void
test_control(void)
{
	struct rte_mbuf *m;
	uint32_t i, nb;
	uint64_t meta;

	up(0, 0, 2000);
	for (i = 0; i < 100; i++) {
		send_at(RIG_BASE, 100 + i, 1, 0);
		if (i % 3 == 0) {
			CU_ASSERT_EQUAL(rig_call(&r, VENET_FUNC_LINKDOWN, NULL, 0), 0);
			CU_ASSERT_EQUAL(vbus_venet_rx_burst(r.v, 0, &m, 1), 0);
			CU_ASSERT_EQUAL(rig_call(&r, VENET_FUNC_LINKUP, NULL, 0), 0);
		} else if (i % 3 == 1) {
			r.cls->ops->quiesce(&r.conn);
			CU_ASSERT_EQUAL(vbus_venet_rx_burst(r.v, 0, &m, 1), 0);
			r.cls->ops->rebind(&r.conn);
		}
		CU_ASSERT_EQUAL_FATAL(vbus_venet_rx_burst(r.v, 0, &m, 1), 1);
		CU_ASSERT_EQUAL(m->pkt_len, 100 + i);
		CU_ASSERT_EQUAL(vbus_venet_tx_burst(r.v, 0, &m, 1), 1);
		CU_ASSERT_EQUAL(recv_frame(&nb, &meta), 100 + i);
	}
	CU_ASSERT_EQUAL(rig_call(&r, VENET_FUNC_FLUSHRX, NULL, 0), 0);
	CU_ASSERT_EQUAL(vbus_poll_north_ready_count(&rx, COUNT), COUNT);
	for (i = 1; i < COUNT; i++) { /* each of them once: recv_frame() looks */
		CU_ASSERT_EQUAL(recv_frame(&nb, &meta), 0);
		CU_ASSERT_EQUAL(nb, 1);
	}
	CU_ASSERT_EQUAL(recv_frame(&nb, &meta), 0);
	CU_ASSERT_EQUAL(nb, 1);
	CU_ASSERT_FALSE(vbus_venet_rx_intr_enable(r.v, 0));
	send_at(RIG_BASE, 60, 1, 0);
	CU_ASSERT_TRUE(vbus_venet_rx_intr_enable(r.v, 0));
	vbus_venet_rx_intr_disable(r.v, 0);
	/* The device goes: what north sends is taken all the same (rule 7.15). */
	LIST_INSERT_HEAD(&r.conn.shms, &shm[VENET_POLL_TX], next);
	r.cls->ops->close(&r.conn);
	CU_ASSERT_TRUE(r.cls->ops->dropped(&r.conn, -1));
	CU_ASSERT_EQUAL(vbus_poll_north_done(&tx), tx.tail - tx.head);
	CU_ASSERT_FALSE(r.cls->ops->dropped(&r.conn, -1));
	LIST_REMOVE(&shm[VENET_POLL_TX], next);
	rig_close(&r);
}

/* What south writes lies in an area that the ring's block names. */
static void
test_placed(void)
{
	placed = true;
	test_from_north();
	test_from_north_mixed();
	test_from_north_requests();
	test_to_north();
	test_to_north_full();
	test_noise();
	placed = false;
}

/* A block that names no area, one that is not there, and one that reaches beyond north's memory. */
static void
test_placed_hostile(void)
{
	static const uint64_t back[] = {
		0, 8, RIG_BASE + 8, RIG_SEAM + RIG_HALF - 64, UINT64_MAX - 63};
	uint64_t *word;
	size_t i;

	placed = true;
	rig_open(&r, 0, 0, 0);
	rig_negcap(&r, VENET_CAP_GROUP_POLL, VENET_CAP_POLL_RING | VENET_CAP_POLL_PLACED);
	CU_ASSERT_EQUAL(share_poll(VENET_POLL_TX, &tx, COUNT), 0);
	CU_ASSERT_EQUAL(share_poll(VENET_POLL_RX, &rx, COUNT), 0);
	rig_close(&r);
	for (i = 0; i < RTE_DIM(back); i++) {
		rig_open(&r, 0, 0, 0);
		rig_negcap(&r, VENET_CAP_GROUP_POLL, VENET_CAP_POLL_RING | VENET_CAP_POLL_PLACED);
		CU_ASSERT_EQUAL(share_poll(VENET_POLL_TX, &tx, COUNT), 0);
		/* The same block once more, changed, under the other number. */
		shm[VENET_POLL_RX] = shm[VENET_POLL_TX];
		shm[VENET_POLL_RX].id = VBUS_VENET_BLOCK_POLL_RX;
		((struct venet_poll_head *)(void *)shm[VENET_POLL_RX].va)->kind = VENET_POLL_RX;
		word = (uint64_t *)(void *)(shm[VENET_POLL_RX].va +
					    offsetof(struct venet_poll_head, back));
		*word = back[i];
		CU_ASSERT_EQUAL(r.cls->ops->shm(&r.conn, &shm[VENET_POLL_RX]), -EINVAL);
		rig_close(&r);
	}
	placed = false;
}

/* South fills the newest buffer first, and a buffer that it has for long is not lost. */
static void
test_newest(void)
{
	struct rte_mbuf *m;
	uint32_t i, nb, comp;
	uint64_t meta;

	newest = true;
	up(0, 0, 2000);
	for (i = 0; i < 5 * COUNT; i++) {
		m = rig_mbuf(&r, in, 60, 1);
		CU_ASSERT_EQUAL_FATAL(vbus_venet_tx_burst(r.v, 0, &m, 1), 1);
		comp = vbus_poll_load_comp(&rx.r, rx.head);
		CU_ASSERT_EQUAL(vbus_poll_comp_id(comp), COUNT - 1); /* again and again */
		CU_ASSERT_EQUAL(recv_frame(&nb, &meta), 60);
		CU_ASSERT_EQUAL(vbus_venet_tx_free(r.v, 0), COUNT);
	}
	rig_close(&r);
	test_to_north();
	test_to_north_full();
	test_control();
	test_noise();
	newest = false;
}

/* A north that posts what it has not got back, and wild words in the store. */
static void
test_newest_hostile(void)
{
	struct rte_mbuf *m;
	uint32_t i, k;

	newest = true;
	test_to_north_hostile();
	up(0, SG_ALL, 2000);
	for (i = 0; i < 2000; i++) {
		for (k = 0; k < COUNT; k++) {
			const uint64_t d = vbus_poll_buffer(
				rte_rand(), (uint32_t)rte_rand() & 0x7fff);

			/* Every phase: as if all of them had been posted once more. */
			rx.r.desc[k] = d | (i % 2 == 0 ? VENET_POLL_PHASE : 0);
			rx.r.store[k] = rte_rand();
		}
		m = rig_mbuf(&r, in, 60 + i % 1900, 1 + i % 2);
		if (vbus_venet_tx_burst(r.v, 0, &m, 1) == 0)
			rte_pktmbuf_free(m);
		CU_ASSERT(cursor[VENET_POLL_RX].inuse_tail - cursor[VENET_POLL_RX].inuse_head <=
			  COUNT);
		if (i % 100 == 0)
			rig_call(&r, VENET_FUNC_FLUSHRX, NULL, 0);
	}
	CU_ASSERT_EQUAL(r.nb_faults, 0);
	rig_close(&r);
	/* A block of the other size, and rooms that cannot be. */
	rig_open(&r, 0, 0, 0);
	rig_negcap(&r, VENET_CAP_GROUP_POLL, VENET_CAP_POLL_RING | VENET_CAP_POLL_NEWEST);
	CU_ASSERT_EQUAL(share_poll(VENET_POLL_RX, &rx, COUNT), 0);
	for (i = 0; i < 3; i++) {
		rig_close(&r);
		rig_open(&r, 0, 0, 0);
		rig_negcap(&r, VENET_CAP_GROUP_POLL, VENET_CAP_POLL_RING | VENET_CAP_POLL_NEWEST);
		room = i == 0 ? 0 : i == 1 ? VENET_POLL_LEN_MAX + 1 : 2000;
		newest = i < 2;
		CU_ASSERT_EQUAL(share_poll(VENET_POLL_RX, &rx, COUNT), -EINVAL);
	}
	rig_close(&r);
	newest = false;
}

#define TRICKLE 20000u

static bool
send_one(void)
{
	tx.head += vbus_poll_north_done(&tx);
	if (vbus_poll_north_room(&tx) == 0)
		return false;
	send_at(RIG_BASE, 64, 1, 0);
	return true;
}

/* An idle ring is looked at by one bit: what it was on the lap before is nothing, and no frame is ever missed. */
static void
test_idle(void)
{
	struct rte_mbuf *pkts[8];
	uint32_t i;

	up(0, 0, 2000);
	for (i = 0; i < 5 * COUNT; i++) {
		uint64_t *next = &tx.r.desc[tx.tail % COUNT];
		const uint64_t was = *next;

		CU_ASSERT_EQUAL(vbus_venet_rx_burst(r.v, 0, pkts, 8), 0);
		*next = was ^ (rte_rand() & ~VENET_POLL_PHASE);
		CU_ASSERT_EQUAL(vbus_venet_rx_burst(r.v, 0, pkts, 8), 0);
		send_at(RIG_BASE, 64, 1, 0);
		CU_ASSERT_EQUAL_FATAL(vbus_venet_rx_burst(r.v, 0, pkts, 8), 1);
		rte_pktmbuf_free(pkts[0]);
	}
	CU_ASSERT_TRUE_FATAL(rig_trickle(&r, send_one, TRICKLE));
	rig_close(&r);
}

int
main(void)
{
	static const struct cu_test tests[] = {
		{"negotiation", test_negotiate},
		{"from north: every kind of length", test_from_north},
		{"from north: mixed bursts, no mbufs", test_from_north_mixed},
		{"from north: requests", test_from_north_requests},
		{"from north: descriptors that lie", test_from_north_hostile},
		{"noise", test_noise},
		{"to north: every kind of length", test_to_north},
		{"to north: full rings", test_to_north_full},
		{"to north: buffers that lie", test_to_north_hostile},
		{"down, up, moved, flushed, dropped", test_control},
		{"idle", test_idle},
		{"newest first", test_newest},
		{"newest first: a north that lies", test_newest_hostile},
		{"placed: the same", test_placed},
		{"placed: areas that are none", test_placed_hostile},
		{NULL, NULL},
	};
	int ret = rig_eal("test_venet_poll");

	return ret != 0 ? ret : cu_run("venet: poll ring", tests, NULL, NULL);
}
