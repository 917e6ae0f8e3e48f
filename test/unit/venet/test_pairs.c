/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * Several queue pairs at the south end (doc/abi.md 12.6, ADR-0019): negotiation, and every number of
 * north's pairs against every number of polled queues: nothing lost, doubled or out of order, a flow
 * stays on its pair, a full pair holds up no other.
 */

#include "rig.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <rte_byteorder.h>

#include "../core/cu_run.h"
#include "vbus_poll.h"

#define PAIRS 4u
#define COUNT 32u
#define ROOM  1600u
#define FLOWS 64u
#define BURST 64u

struct north_pair {
	struct vbus_poll_north rx, tx;
	struct vbus_shm shm[2];
	struct vbus_ioq_cursor cursor[2];
	uint64_t rx_buf[COUNT], tx_buf[COUNT];
	uint32_t sent, got; /* from north */
};

static struct rig r;
static struct north_pair north[PAIRS];
static uint8_t data[ROOM];
static bool placed; /* south's areas lie elsewhere */

/* ---- north ----------------------------------------------------------------------------------------- */

static int
share(uint32_t pair, uint32_t kind)
{
	struct north_pair *n = &north[pair];
	struct vbus_poll_north *q = kind == VENET_POLL_RX ? &n->rx : &n->tx;
	struct vbus_shm *shm = &n->shm[kind];
	uint32_t len = (uint32_t)(placed ? vbus_poll_placed_size(COUNT)
					 : vbus_poll_size(kind, COUNT));
	uint64_t back = placed ? rig_alloc(&r, vbus_poll_back_size(kind, COUNT)) : 0;
	int ret;

	memset(shm, 0, sizeof(*shm));
	shm->id = VBUS_VENET_BLOCK_POLL(pair, kind);
	shm->iova = rig_alloc(&r, len);
	shm->len = len;
	shm->va = rig_ptr(&r, shm->iova);
	shm->conn = &r.conn;
	shm->cursor = &n->cursor[kind];
	if (placed)
		ret = vbus_poll_north_format_placed(
			q, shm->va, rig_ptr(&r, back), back, kind, COUNT, COUNT);
	else
		ret = vbus_poll_north_format(q, shm->va, kind, COUNT, COUNT);
	CU_ASSERT_EQUAL(ret, 0);
	return r.cls->ops->shm(&r.conn, shm);
}

static void
post(struct north_pair *n, uint64_t iova)
{
	uint64_t d = vbus_poll_desc(iova, ROOM, 0);

	vbus_poll_north_post(&n->rx, &d, 1);
}

static void
up(uint32_t pairs, uint16_t nb_rx, uint16_t nb_tx)
{
	const uint32_t want = VENET_CAP_POLL_RING | VENET_CAP_POLL_PAIRS |
			      (placed ? VENET_CAP_POLL_PLACED : 0);

	memset(north, 0, sizeof(north));
	rig_pairs = PAIRS;
	rig_nb_rx = nb_rx;
	rig_nb_tx = nb_tx;
	rig_open(&r, 0, 0, 0);
	CU_ASSERT_EQUAL(rig_negcap(&r, VENET_CAP_GROUP_POLL, want), want);
	for (uint32_t i = 0; i < pairs; i++) {
		CU_ASSERT_EQUAL_FATAL(share(i, VENET_POLL_RX), 0);
		CU_ASSERT_EQUAL_FATAL(share(i, VENET_POLL_TX), 0);
		for (uint32_t k = 0; k < COUNT; k++) {
			north[i].tx_buf[k] = rig_alloc(&r, ROOM);
			north[i].rx_buf[k] = rig_alloc(&r, ROOM);
			post(&north[i], north[i].rx_buf[k]);
		}
	}
	rig_bind(&r);
	vbus_venet_set_ready(r.v, true);
	CU_ASSERT_EQUAL_FATAL(rig_call(&r, VENET_FUNC_LINKUP, NULL, 0), 0);
	CU_ASSERT_TRUE_FATAL(vbus_venet_link(r.v));
}

static void
down(void)
{
	rig_close(&r);
	rig_pairs = rig_nb_rx = rig_nb_tx = 0;
}

/* A frame that names pair and number. */
static bool
send_one(uint32_t pair)
{
	struct north_pair *n = &north[pair];
	const uint32_t mark[2] = {pair, n->sent};
	uint64_t at = n->tx_buf[n->tx.tail % COUNT], d;

	n->tx.head += vbus_poll_north_done(&n->tx);
	if (vbus_poll_north_room(&n->tx) == 0)
		return false;
	rig_copy_in(&r, at + 20, mark, sizeof(mark));
	d = vbus_poll_desc(at, 60 + n->sent % 100, 0);
	vbus_poll_north_post(&n->tx, &d, 1);
	n->sent++;
	return true;
}

/* The next frame that south gave to a pair. @return its flow, FLOWS: none */
static uint32_t
take_one(uint32_t pair, uint32_t *number)
{
	struct north_pair *n = &north[pair];
	struct vbus_memcache mc = {0, 0, 0};
	const uint32_t slot = n->rx.head % COUNT;
	uint32_t mark[2];

	if (!vbus_poll_north_is_ready(&n->rx, 0))
		return FLOWS;
	vbus_memview_copy_in(r.view, &mc, mark, n->rx_buf[slot] + 60, sizeof(mark));
	n->rx.head++;
	post(n, n->rx_buf[slot]);
	*number = mark[1];
	return mark[0];
}

/* ---- south ----------------------------------------------------------------------------------------- */

/* An UDP frame of a flow, IPv4, IPv6, tagged, or neither. */
static struct rte_mbuf *
frame_of(uint32_t flow, uint32_t number)
{
	const uint32_t mark[2] = {flow, number};
	uint32_t at = 12;

	memset(data, 0, sizeof(data));
	if (flow % 5 == 1) {
		data[at] = 0x81;
		at += 4;
	}
	if (flow % 4 == 3) { /* flows by their address */
		data[at] = 0x88;
		data[at + 1] = 0xb5;
		data[5] = (uint8_t)flow;
	} else if (flow % 4 == 2) {
		data[at] = 0x86;
		data[at + 1] = 0xdd;
		data[at + 2] = 0x60;
		data[at + 8] = 17;
		data[at + 2 + 40 + 1] = (uint8_t)flow; /* source port */
	} else {
		data[at] = 0x08;
		data[at + 2] = 0x45;
		data[at + 2 + 9] = 17;
		data[at + 2 + 20 + 1] = (uint8_t)flow;
		if (flow % 8 == 4) { /* fragments: ports do not count */
			data[at + 2 + 6] = 0x20;
			data[at + 2 + 15] = (uint8_t)flow;
			data[at + 2 + 20 + 1] = (uint8_t)number;
		}
	}
	memcpy(data + 60, mark, sizeof(mark));
	return rig_mbuf(&r, data, 68 + number % 50, 1);
}

/* ---- tests ----------------------------------------------------------------------------------------- */

static void
test_negotiate(void)
{
	struct venet_poll_query q = {.queue = 0};
	uint32_t i;

	memset(north, 0, sizeof(north));
	rig_pairs = PAIRS;
	rig_open(&r, 0, 0, 0);
	CU_ASSERT_EQUAL(rig_negcap(&r, VENET_CAP_GROUP_POLL, 2), 0); /* alone it means nothing */
	CU_ASSERT_EQUAL(rig_negcap(&r, VENET_CAP_GROUP_POLL, 1), 1);
	CU_ASSERT_EQUAL(rig_call(&r, VENET_FUNC_POLLQUERY, &q, sizeof(q)), 0);
	CU_ASSERT_EQUAL(q.pairs, 1);
	q.queue = 1;
	CU_ASSERT_EQUAL(rig_call(&r, VENET_FUNC_POLLQUERY, &q, sizeof(q)), -EINVAL);
	CU_ASSERT_EQUAL(share(1, VENET_POLL_RX), -EINVAL); /* not granted */
	CU_ASSERT_EQUAL(rig_negcap(&r, VENET_CAP_GROUP_POLL, 3), 3);
	for (i = 0; i < PAIRS; i++) {
		q.queue = i;
		CU_ASSERT_EQUAL(rig_call(&r, VENET_FUNC_POLLQUERY, &q, sizeof(q)), 0);
		CU_ASSERT_EQUAL(q.pairs, PAIRS);
		CU_ASSERT_EQUAL(q.rx_id, VBUS_VENET_BLOCK_POLL(i, VENET_POLL_RX));
		CU_ASSERT_EQUAL(q.tx_id, VBUS_VENET_BLOCK_POLL(i, VENET_POLL_TX));
	}
	q.queue = PAIRS;
	CU_ASSERT_EQUAL(rig_call(&r, VENET_FUNC_POLLQUERY, &q, sizeof(q)), -EINVAL);
	north[0].shm[0].id = VBUS_VENET_BLOCK_POLL(PAIRS, 0);
	north[0].shm[0].va = data;
	CU_ASSERT_EQUAL(r.cls->ops->shm(&r.conn, &north[0].shm[0]), -EINVAL);
	/* Pair 1 without pair 0, with half of it, and so on. */
	CU_ASSERT_EQUAL(share(1, VENET_POLL_RX), 0);
	CU_ASSERT_EQUAL(share(1, VENET_POLL_TX), 0);
	CU_ASSERT_EQUAL(rig_call(&r, VENET_FUNC_LINKUP, NULL, 0), -EINVAL);
	CU_ASSERT_EQUAL(share(0, VENET_POLL_RX), 0);
	CU_ASSERT_EQUAL(rig_call(&r, VENET_FUNC_LINKUP, NULL, 0), -EINVAL);
	CU_ASSERT_EQUAL(share(0, VENET_POLL_TX), 0);
	CU_ASSERT_EQUAL(share(3, VENET_POLL_RX), 0);
	CU_ASSERT_EQUAL(rig_call(&r, VENET_FUNC_LINKUP, NULL, 0), -EINVAL);
	CU_ASSERT_EQUAL(share(3, VENET_POLL_TX), 0);
	CU_ASSERT_EQUAL(rig_call(&r, VENET_FUNC_LINKUP, NULL, 0), -EINVAL);
	CU_ASSERT_EQUAL(share(2, VENET_POLL_RX), 0);
	CU_ASSERT_EQUAL(share(2, VENET_POLL_TX), 0);
	CU_ASSERT_EQUAL(rig_call(&r, VENET_FUNC_LINKUP, NULL, 0), 0);
	down();
}

static void
from_north(uint32_t pairs, uint16_t nb_rx)
{
	struct rte_mbuf *m[BURST];
	uint32_t got = 0, round, i, mark[2];
	uint16_t q, n;

	up(pairs, nb_rx, 1);
	for (round = 0; round < 300; round++) {
		for (i = 0; i < pairs; i++)
			while (send_one(i) && (north[i].sent + round) % 7 != 0)
				;
		for (q = 0; q < PAIRS; q++) {
			n = vbus_venet_rx_burst(r.v, q, m, (uint16_t)(1 + round % BURST));
			CU_ASSERT_TRUE(n == 0 || q < nb_rx);
			for (i = 0; i < n; i++) {
				memcpy(mark, rte_pktmbuf_mtod(m[i], uint8_t *) + 20, sizeof(mark));
				CU_ASSERT_FATAL(mark[0] < pairs);
				CU_ASSERT_EQUAL(mark[0] % nb_rx, q);
				CU_ASSERT_EQUAL(mark[1], north[mark[0]].got);
				north[mark[0]].got = mark[1] + 1;
			}
			rte_pktmbuf_free_bulk(m, n);
			got += n;
		}
	}
	for (i = 0; i < pairs; i++)
		CU_ASSERT(north[i].got > 200); /* none starves */
	CU_ASSERT(got > 200 * pairs);
	down();
}

static void
test_from_north(void)
{
	for (uint32_t pairs = 1; pairs <= PAIRS; pairs++)
		for (uint16_t nb = 1; nb <= PAIRS; nb++)
			from_north(pairs, nb);
}

static void
to_north(uint32_t pairs, uint16_t nb_tx)
{
	uint32_t seen[FLOWS], home[FLOWS], sent[FLOWS] = {0}, used = 0, lost = 0;
	struct rte_mbuf *m[BURST];
	uint32_t round, i, flow, number;
	uint16_t done;

	memset(seen, 0, sizeof(seen));
	for (flow = 0; flow < FLOWS; flow++)
		home[flow] = PAIRS;
	up(pairs, 1, nb_tx);
	for (round = 0; round < 400; round++) {
		const uint16_t q = (uint16_t)(round % nb_tx), nb = (uint16_t)(1 + round % BURST);

		/* A flow is of one queue of south's, as an application would have it. */
		for (i = 0; i < nb; i++) {
			flow = (round * 13 + i) % FLOWS / nb_tx * nb_tx + q;
			flow = flow < FLOWS ? flow : q;
			m[i] = frame_of(flow, sent[flow]++);
		}
		done = vbus_venet_tx_burst(r.v, q, m, nb);
		lost += (uint32_t)(nb - done);
		rte_pktmbuf_free_bulk(m + done, (unsigned int)(nb - done));
		for (i = 0; i < pairs; i++) {
			/* Pair 1 is slow: its frames stay with the sender, those of others do not. */
			uint32_t most = i == 1 ? 2 : UINT32_MAX;

			while (most-- > 0 && (flow = take_one(i, &number)) < FLOWS) {
				CU_ASSERT(number >= seen[flow]);
				seen[flow] = number + 1;
				CU_ASSERT(home[flow] == PAIRS || home[flow] == i);
				home[flow] = i;
				used |= 1u << i;
				CU_ASSERT(nb_tx > pairs ? i == flow % nb_tx % pairs
							: i % nb_tx == flow % nb_tx);
			}
		}
	}
	CU_ASSERT_EQUAL(used, (1u << pairs) - 1);
	CU_ASSERT(pairs == 1 || lost > 0);
	CU_ASSERT_EQUAL(rte_mempool_avail_count(r.pool), r.pool->size);
	down();
}

static void
test_to_north(void)
{
	for (uint32_t pairs = 1; pairs <= PAIRS; pairs++)
		for (uint16_t nb = 1; nb <= PAIRS; nb++)
			to_north(pairs, nb);
}

/* Of a burst that goes to a full pair and to others all that has room is taken, the rest comes back whole. */
static void
test_full(void)
{
	struct rte_mbuf *m[BURST], *all[BURST];
	uint32_t i, k, number, got = 0, pass;
	uint16_t done;

	up(2, 1, 1);
	for (pass = 0; pass < 40; pass++) {
		for (i = 0; i < BURST; i++)
			all[i] = m[i] = frame_of(i % FLOWS, pass);
		done = vbus_venet_tx_burst(r.v, 0, m, BURST);
		for (i = done; i < BURST; i++) { /* each is one of ours, once */
			for (k = 0; k < BURST && all[k] != m[i]; k++)
				;
			CU_ASSERT_FATAL(k < BURST);
			all[k] = NULL;
		}
		rte_pktmbuf_free_bulk(m + done, (unsigned int)(BURST - done));
		while (take_one(0, &number) < FLOWS)
			got++;
	}
	/* Pair 1 stood still with a full ring; pair 0 got all of its flows. */
	CU_ASSERT(got > 40 * FLOWS / 4);
	CU_ASSERT_EQUAL(vbus_poll_north_ready_count(&north[1].rx, COUNT), COUNT);
	CU_ASSERT_EQUAL(rte_mempool_avail_count(r.pool), r.pool->size);
	down();
}

/* Wake-ups name the queue; what waits in any of its pairs counts; the counters of a queue are all its pairs'. */
static void
test_queues(void)
{
	struct vbus_venet_rx_stats rx;
	struct vbus_venet_tx_stats tx;
	struct rte_mbuf *m[BURST];
	struct vbus_venet_info info;
	uint16_t n;

	up(4, 2, 2);
	vbus_venet_info(r.v, &info);
	CU_ASSERT_EQUAL(info.nb_pairs, 4);
	CU_ASSERT_FALSE(vbus_venet_rx_intr_enable(r.v, 1));
	send_one(2);
	CU_ASSERT_FALSE(vbus_venet_rx_intr_enable(r.v, 1));
	CU_ASSERT_EQUAL(vbus_venet_rx_count(r.v, 1), 0);
	send_one(3);
	CU_ASSERT_EQUAL(vbus_venet_rx_count(r.v, 1), 1);
	CU_ASSERT_TRUE(vbus_venet_rx_intr_enable(r.v, 1));
	vbus_venet_rx_intr_disable(r.v, 1);
	CU_ASSERT_EQUAL(vbus_venet_tx_free(r.v, 0), 2 * COUNT);
	n = vbus_venet_rx_burst(r.v, 1, m, BURST);
	CU_ASSERT_EQUAL(n, 1);
	rte_pktmbuf_free_bulk(m, n);
	vbus_venet_stats(r.v, 1, &rx, &tx);
	CU_ASSERT_EQUAL(rx.packets, 1);
	vbus_venet_stats(r.v, 0, &rx, &tx);
	CU_ASSERT_EQUAL(rx.packets, 0);
	/* All go, and come back where they were. */
	CU_ASSERT_EQUAL(rig_call(&r, VENET_FUNC_LINKDOWN, NULL, 0), 0);
	CU_ASSERT_EQUAL(vbus_venet_rx_burst(r.v, 0, m, BURST), 0);
	CU_ASSERT_EQUAL(rig_call(&r, VENET_FUNC_LINKUP, NULL, 0), 0);
	n = vbus_venet_rx_burst(r.v, 0, m, BURST);
	CU_ASSERT_EQUAL(n, 1);
	rte_pktmbuf_free_bulk(m, n);
	CU_ASSERT_EQUAL(rig_call(&r, VENET_FUNC_FLUSHRX, NULL, 0), 0);
	for (uint32_t i = 0; i < 4; i++)
		CU_ASSERT_EQUAL(vbus_poll_north_ready_count(&north[i].rx, COUNT), COUNT);
	down();
}

/* Each ring has an area of its own that south writes. */
static void
test_placed(void)
{
	placed = true;
	from_north(PAIRS, 1);
	from_north(PAIRS, PAIRS);
	from_north(2, 3);
	to_north(PAIRS, 1);
	to_north(PAIRS, PAIRS);
	to_north(2, 3);
	test_full();
	placed = false;
}

int
main(void)
{
	static const struct cu_test tests[] = {
		{"negotiation", test_negotiate},
		{"from north: any pairs, any queues", test_from_north},
		{"to north: any pairs, any queues", test_to_north},
		{"to north: a full pair", test_full},
		{"queues", test_queues},
		{"placed rings", test_placed},
		{NULL, NULL},
	};
	int ret = rig_eal("test_venet_pairs");

	return ret != 0 ? ret : cu_run("venet: several pairs", tests, NULL, NULL);
}
