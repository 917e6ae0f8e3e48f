/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/* Frames that stay in north's memory, at the south end: who has which, and what ends first (ADR-0021). */

#include "rig.h"

#include <errno.h>
#include <string.h>

#include "../core/cu_run.h"
#include "memheld.h"
#include "vbus_poll.h"

#define COUNT 64u
#define MIN   500u
#define WANT  (VENET_CAP_POLL_RING | VENET_CAP_POLL_KEEP)

static struct rig r;
static struct vbus_poll_north rx, tx;
static struct vbus_shm shm[2];
static struct vbus_ioq_cursor cursor[2];
static struct rte_mbuf *m[2 * COUNT];
static uint64_t buf[COUNT];
static uint32_t ret_pos, sent;

static int
share_how(uint32_t kind, struct vbus_poll_north *q, uint64_t len, bool keep, bool has_signal)
{
	struct vbus_shm *s = &shm[kind];

	memset(s, 0, sizeof(*s));
	s->id = VBUS_VENET_BLOCK_POLL_RX + kind;
	s->iova = rig_alloc(&r, len);
	s->len = (uint32_t)len;
	s->va = rig_ptr(&r, s->iova);
	s->conn = &r.conn;
	s->cursor = &cursor[kind];
	s->has_signal = has_signal; /* at 0, where there is none */
	memset(s->va, 0, len);
	CU_ASSERT_EQUAL(vbus_poll_north_format(q, s->va, kind, COUNT, COUNT), 0);
	if (keep)
		vbus_poll_keep(&q->r, s->va);
	return r.cls->ops->shm(&r.conn, s);
}

static int
share(uint32_t kind, struct vbus_poll_north *q, uint64_t len)
{
	return share_how(kind, q, len, kind == VENET_POLL_TX, false);
}

/* Rings are shared: buffers, and the link. */
static void
link_up(void)
{
	uint32_t i;

	for (i = 0; i < COUNT; i++)
		buf[i] = rig_alloc(&r, 2048);
	rig_bind(&r);
	vbus_venet_set_ready(r.v, true);
	CU_ASSERT_EQUAL_FATAL(rig_call(&r, VENET_FUNC_LINKUP, NULL, 0), 0);
	ret_pos = sent = 0;
}

static void
up(void)
{
	rig_keep = MIN;
	rig_open(&r, 0, 0, 0);
	CU_ASSERT_EQUAL(rig_negcap(&r, VENET_CAP_GROUP_POLL, WANT), WANT);
	CU_ASSERT_EQUAL_FATAL(share(VENET_POLL_RX, &rx, VENET_POLL_RX_SIZE(COUNT)), 0);
	CU_ASSERT_EQUAL_FATAL(share(VENET_POLL_TX, &tx, VENET_POLL_TX_KEEP_SIZE(COUNT)), 0);
	link_up();
}

static void
down(void)
{
	rig_close(&r);
	rig_timers();
	CU_ASSERT_FALSE(vbus_memholder_any(r.half, UINT32_MAX));
	rig_keep = 0;
}

static void
send_frame(uint32_t len)
{
	const uint32_t i = tx.tail % COUNT;
	uint64_t d = vbus_poll_desc(buf[i], len, 0);

	rig_fill(rig_ptr(&r, buf[i]), len, sent++);
	vbus_poll_north_post(&tx, &d, 1);
	tx.head += vbus_poll_north_done(&tx);
}

static void
send_empty(void)
{
	const uint64_t d = 0;

	vbus_poll_north_post(&tx, &d, 1);
}

/* The next entry that came back. -1: none */
static int
returned(void)
{
	const uint32_t c = tx.r.ret[ret_pos & tx.r.mask];

	if (!vbus_poll_comp_is_ready(&tx.r, c, ret_pos))
		return -1;
	ret_pos++;
	return (int)(c & ~VENET_POLL_COMP_PHASE);
}

static bool
is_kept(const struct rte_mbuf *k, uint32_t entry)
{
	return (k->ol_flags & RTE_MBUF_F_EXTERNAL) != 0 &&
	       rte_pktmbuf_mtod(k, uint8_t *) == rig_ptr(&r, buf[entry]);
}

static bool
holds(uint32_t entry)
{
	return vbus_memholder_any(rig_ptr(&r, buf[entry]), 1);
}

/* ---- who is offered it ---------------------------------------------------------------------------- */

static void
test_offer(void)
{
	rig_keep = 0;
	rig_open(&r, 0, 0, 0);
	CU_ASSERT_EQUAL(rig_negcap(&r, VENET_CAP_GROUP_POLL, WANT), VENET_CAP_POLL_RING);
	rig_close(&r);
	rig_keep = MIN;
	rig_open(&r, 0, 0, 0);
	CU_ASSERT_EQUAL(rig_negcap(&r, VENET_CAP_GROUP_POLL, WANT | VENET_CAP_POLL_PLACED),
		VENET_CAP_POLL_RING | VENET_CAP_POLL_PLACED);
	CU_ASSERT_EQUAL(rig_negcap(&r, VENET_CAP_GROUP_POLL, VENET_CAP_POLL_KEEP), 0);
	r.view->borrowed = 1;
	CU_ASSERT_EQUAL(rig_negcap(&r, VENET_CAP_GROUP_POLL, WANT), VENET_CAP_POLL_RING);
	r.view->borrowed = 0;
	CU_ASSERT_EQUAL(rig_negcap(&r, VENET_CAP_GROUP_POLL, WANT), WANT);
	/* Blocks that are not as long as that. */
	CU_ASSERT_EQUAL(share(VENET_POLL_TX, &tx, VENET_POLL_TX_SIZE(COUNT)), -EINVAL);
	CU_ASSERT_EQUAL(share(VENET_POLL_TX, &tx, VENET_POLL_TX_KEEP_SIZE(COUNT) + 8), -EINVAL);
	shm[VENET_POLL_TX].len = 64;
	CU_ASSERT_EQUAL(r.cls->ops->shm(&r.conn, &shm[VENET_POLL_TX]), -EINVAL);
	CU_ASSERT_EQUAL(share(VENET_POLL_TX, &tx, VENET_POLL_TX_KEEP_SIZE(COUNT)), 0);
	rig_close(&r);
}

/* A ring with marks whose signal is none is refused; the one that comes in its place has no marks. */
static void
test_refused(void)
{
	rig_keep = MIN;
	rig_open(&r, 0, 0, 0);
	CU_ASSERT_EQUAL(rig_negcap(&r, VENET_CAP_GROUP_POLL, WANT), WANT);
	CU_ASSERT_EQUAL(
		share_how(VENET_POLL_TX, &tx, VENET_POLL_TX_KEEP_SIZE(COUNT), true, true), -EINVAL);
	CU_ASSERT_EQUAL(
		rig_negcap(&r, VENET_CAP_GROUP_POLL, VENET_CAP_POLL_RING), VENET_CAP_POLL_RING);
	CU_ASSERT_EQUAL_FATAL(share(VENET_POLL_RX, &rx, VENET_POLL_RX_SIZE(COUNT)), 0);
	CU_ASSERT_EQUAL_FATAL(
		share_how(VENET_POLL_TX, &tx, VENET_POLL_TX_SIZE(COUNT), false, false), 0);
	link_up();
	send_frame(1000);
	CU_ASSERT_EQUAL_FATAL(vbus_venet_rx_burst(r.v, 0, m, 8), 1);
	CU_ASSERT_FALSE(is_kept(m[0], 0));
	rte_pktmbuf_free(m[0]);
	down();
}

/* ---- in order and out of it ----------------------------------------------------------------------- */

static void
test_order(void)
{
	static uint8_t want[2048];
	uint32_t round, i, len;
	uint16_t n;

	up();
	for (round = 0; round < 50; round++) {
		const uint32_t at = tx.tail;

		for (i = 0; i < 20; i++)
			send_frame(i % 2 == 0 ? 1000 + i : 60 + i);
		n = rig_rx(&r, m, 64);
		CU_ASSERT_EQUAL_FATAL(n, 20);
		CU_ASSERT_EQUAL(vbus_poll_north_done(&tx), 20);
		for (i = 0; i < n; i++) {
			len = i % 2 == 0 ? 1000 + i : 60 + i;
			rig_fill(want, len, sent - 20 + i);
			CU_ASSERT_EQUAL(m[i]->pkt_len, len);
			CU_ASSERT_EQUAL(memcmp(rte_pktmbuf_mtod(m[i], void *), want, len), 0);
			CU_ASSERT_EQUAL(is_kept(m[i], (at + i) % COUNT), i % 2 == 0);
			CU_ASSERT_EQUAL(tx.r.kept[(at + i) % COUNT], i % 2 == 0);
			CU_ASSERT_EQUAL(holds((at + i) % COUNT), i % 2 == 0);
		}
		CU_ASSERT_EQUAL(returned(), -1);
		/* A second reference: it goes back with the last one. */
		rte_mbuf_ext_refcnt_update(m[0]->shinfo, 1);
		for (i = n; i-- > 0;)
			rte_pktmbuf_free(m[i]);
		CU_ASSERT_EQUAL(rig_rx(&r, m, 64), 0);
		uint64_t seen = 0;
		for (i = 0; i < 9; i++)
			seen |= 1ull << ((uint32_t)returned() - at) % COUNT;
		CU_ASSERT_EQUAL(seen, 0x55554);
		CU_ASSERT_EQUAL(returned(), -1);
		CU_ASSERT_TRUE(holds(at % COUNT));
		/* As the clone's free does. */
		struct rte_mbuf *c = rte_pktmbuf_alloc(r.pool);
		rte_pktmbuf_attach_extbuf(c, rig_ptr(&r, buf[at % COUNT]), 0, 100, m[0]->shinfo);
		rte_pktmbuf_free(c);
		CU_ASSERT_EQUAL(rig_rx(&r, m, 64), 0);
		CU_ASSERT_EQUAL(returned(), (int)(at % COUNT));
		CU_ASSERT_FALSE(holds(at % COUNT));
	}
	down();
}

/* Half of the ring, the rest is copied; entries whose frames are out are passed with empty ones. */
static void
test_full(void)
{
	struct vbus_venet_rx_stats rs;
	struct vbus_venet_tx_stats ts;
	uint32_t i, nb = 0;

	up();
	for (i = 0; i < COUNT; i++)
		send_frame(1000);
	CU_ASSERT_EQUAL_FATAL(rig_rx(&r, m, COUNT), COUNT);
	for (i = 0; i < COUNT; i++)
		nb += is_kept(m[i], i);
	CU_ASSERT_EQUAL(nb, COUNT / 2);
	CU_ASSERT_TRUE(is_kept(m[COUNT / 2 - 1], COUNT / 2 - 1));
	rte_pktmbuf_free_bulk(m + COUNT / 2, COUNT / 2);
	tx.head += vbus_poll_north_done(&tx);
	/* The ring comes round. */
	for (i = 0; i < COUNT / 2; i++)
		send_empty();
	send_frame(900);
	send_frame(60);
	for (i = 0; i < 4 && (nb = rig_rx(&r, m + COUNT / 2, 8)) == 0; i++)
		;
	CU_ASSERT_EQUAL(nb, 2);
	CU_ASSERT_FALSE(is_kept(m[COUNT / 2], COUNT / 2)); /* half of it is out */
	vbus_venet_stats(r.v, 0, &rs, &ts);
	CU_ASSERT_EQUAL(rs.packets, COUNT + 2);
	CU_ASSERT_EQUAL(rs.kept, COUNT / 2);
	CU_ASSERT_EQUAL(rs.drop_len + rs.drop_sg, 0);
	rte_pktmbuf_free_bulk(m, COUNT / 2 + 2);
	CU_ASSERT_EQUAL(rig_rx(&r, m, 8), 0);
	for (i = 0; i < COUNT / 2; i++)
		CU_ASSERT_TRUE(returned() >= 0);
	CU_ASSERT_EQUAL(returned(), -1);
	down();
}

/* A north that uses entries again whose frames are out, and writes where only south does. */
static void
test_hostile(void)
{
	uint32_t i, k, n;

	up();
	for (k = 0; k < 40; k++) {
		tx.head = tx.tail;
		for (i = 0; i < COUNT; i++)
			send_frame(1000);
		n = rig_rx(&r, m + k % 2, COUNT);
		CU_ASSERT_EQUAL(n, COUNT);
		memset(tx.r.kept, k % 3 ? 0xff : 0, COUNT);
		memset(tx.r.ret, (int)k, 4 * COUNT);
		if (k % 2 == 0) { /* the first one of them stays out over two laps */
			rte_pktmbuf_free_bulk(m + 1, COUNT - 1);
			CU_ASSERT_TRUE(holds(0));
		} else {
			rte_pktmbuf_free_bulk(m, COUNT + 1);
		}
	}
	CU_ASSERT_EQUAL(rig_rx(&r, m, 8), 0);
	down();
}

/* ---- what ends first ------------------------------------------------------------------------------ */

static void
take_three(void)
{
	up();
	send_frame(1000);
	send_frame(1000);
	send_frame(1000);
	CU_ASSERT_EQUAL_FATAL(rig_rx(&r, m, 8), 3);
}

/* After LINKDOWN nobody polls: what was freed comes back at once, what is freed later by the timer. */
static void
test_linkdown(void)
{
	take_three();
	rte_pktmbuf_free(m[1]);
	CU_ASSERT_EQUAL(returned(), -1);
	CU_ASSERT_EQUAL(rig_call(&r, VENET_FUNC_LINKDOWN, NULL, 0), 0);
	CU_ASSERT_EQUAL(returned(), 1);
	rte_pktmbuf_free(m[2]);
	rig_timers();
	CU_ASSERT_EQUAL(returned(), 2);
	/* The link comes up again with one out: the positions go on. */
	CU_ASSERT_EQUAL(rig_call(&r, VENET_FUNC_LINKUP, NULL, 0), 0);
	rte_pktmbuf_free(m[0]);
	rig_timers();
	CU_ASSERT_EQUAL(returned(), -1); /* the polling thread does it now */
	CU_ASSERT_EQUAL(rig_rx(&r, m, 8), 0);
	CU_ASSERT_EQUAL(returned(), 0);
	down();
}

/* The memory map changes: the rings are where they were, or gone for a while. */
static void
test_rebind(void)
{
	uint8_t *va;

	take_three();
	rte_pktmbuf_free(m[2]);
	r.cls->ops->quiesce(&r.conn);
	CU_ASSERT_EQUAL(returned(), 2);
	va = shm[VENET_POLL_TX].va;
	shm[VENET_POLL_TX].va = NULL;
	r.cls->ops->rebind(&r.conn);
	rte_pktmbuf_free(m[1]);
	rig_timers();
	CU_ASSERT_EQUAL(returned(), -1);
	r.cls->ops->quiesce(&r.conn);
	shm[VENET_POLL_TX].va = va;
	r.cls->ops->rebind(&r.conn);
	CU_ASSERT_TRUE(vbus_venet_link(r.v));
	CU_ASSERT_EQUAL(rig_rx(&r, m + 1, 8), 0);
	CU_ASSERT_EQUAL(returned(), 1);
	send_frame(1000);
	CU_ASSERT_EQUAL(rig_rx(&r, m + 1, 8), 1);
	CU_ASSERT_TRUE(is_kept(m[1], 3));
	rte_pktmbuf_free(m[1]);
	rte_pktmbuf_free(m[0]);
	CU_ASSERT_EQUAL(rig_rx(&r, m, 8), 0);
	CU_ASSERT_TRUE(returned() >= 0);
	CU_ASSERT_TRUE(returned() >= 0);
	CU_ASSERT_EQUAL(returned(), -1);
	down();
}

/* The connection ends, the device goes, another north comes: the frames stay readable, and go nowhere. */
static void
test_close(void)
{
	static uint8_t want[1000];
	uint32_t *ret;

	take_three();
	rte_pktmbuf_free(m[1]);
	ret = tx.r.ret;
	r.cls->ops->close(&r.conn);
	CU_ASSERT_EQUAL(returned(), 1);
	rte_pktmbuf_free(m[0]);
	rig_timers();
	CU_ASSERT_EQUAL(returned(), -1);
	CU_ASSERT_FALSE(holds(0));
	CU_ASSERT_TRUE(holds(2));
	rig_fill(want, 1000, 2);
	CU_ASSERT_EQUAL(memcmp(rte_pktmbuf_mtod(m[2], void *), want, 1000), 0);
	/* The same device, opened again. */
	CU_ASSERT_EQUAL_FATAL(r.cls->ops->open(&r.conn, VENET_VERSION), 0);
	CU_ASSERT_EQUAL(rig_negcap(&r, VENET_CAP_GROUP_POLL, WANT), WANT);
	CU_ASSERT_EQUAL_FATAL(share(VENET_POLL_RX, &rx, VENET_POLL_RX_SIZE(COUNT)), 0);
	CU_ASSERT_EQUAL_FATAL(share(VENET_POLL_TX, &tx, VENET_POLL_TX_KEEP_SIZE(COUNT)), 0);
	CU_ASSERT_NOT_EQUAL(tx.r.ret, ret);
	CU_ASSERT_EQUAL_FATAL(rig_call(&r, VENET_FUNC_LINKUP, NULL, 0), 0);
	ret_pos = 0;
	send_frame(1000);
	CU_ASSERT_EQUAL_FATAL(rig_rx(&r, m, 8), 1);
	rte_pktmbuf_free(m[0]);
	rte_pktmbuf_free(m[2]);
	CU_ASSERT_EQUAL(rig_rx(&r, m, 8), 0);
	CU_ASSERT_EQUAL(returned(), 0);
	CU_ASSERT_EQUAL(returned(), -1);
	down();
}

int
main(void)
{
	static const struct cu_test tests[] = {
		{"who is offered it", test_offer},
		{"a block that is refused", test_refused},
		{"out of order, over laps", test_order},
		{"half of the ring, empty entries", test_full},
		{"a north that lies", test_hostile},
		{"link down with frames out", test_linkdown},
		{"memory changes with frames out", test_rebind},
		{"closed with frames out", test_close},
		{NULL, NULL},
	};
	int ret = rig_eal("test_keep");

	return ret != 0 ? ret : cu_run("venet: kept frames", tests, NULL, NULL);
}
