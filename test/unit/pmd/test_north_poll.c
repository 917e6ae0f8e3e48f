/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * The north end of the PMD on the ring for pollers, against a south that is played: bursts over many laps,
 * chains, requests, a south that lies, and when the ioqs are used instead. One thread.
 */
#include <errno.h>
#include <string.h>

#include "../core/cu_run.h"
#include "north_rig.h"

static struct rte_mempool *pool;
static struct rte_mbuf *m[512];
static uint8_t buf[70000];
static bool placed; /* across a link: frames are copied, into and out of slots near their readers */
static bool newest; /* south fills the newest buffer first */

static int
init(void)
{
	if (rig_eal_init() != 0)
		return 1;
	pool = rte_pktmbuf_pool_create(
		"main", 2047, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	return pool == NULL;
}

static uint64_t
xstat(const char *name)
{
	uint64_t id, value = 0;

	CU_ASSERT_EQUAL(rte_eth_xstats_get_id_by_name(rig.port, name, &id), 0);
	CU_ASSERT_EQUAL(rte_eth_xstats_get_by_id(rig.port, &id, &value, 1), 1);
	return value;
}

static void
up(uint16_t nb_desc, uint64_t rx_off, uint64_t tx_off)
{
	rig_probe();
	rig.poll = VENET_CAP_POLL_RING | VENET_CAP_POLL_PLACED |
		   (newest ? VENET_CAP_POLL_NEWEST : 0);
	rig.far = rig.hide_all = placed;
	CU_ASSERT_EQUAL_FATAL(rig_start(pool, nb_desc, rx_off, tx_off, 1500), 0);
	CU_ASSERT_EQUAL_FATAL(rig.granted_poll, VENET_CAP_POLL_RING |
							(placed ? VENET_CAP_POLL_PLACED : 0) |
							(newest ? VENET_CAP_POLL_NEWEST : 0));
}

/* South takes the next frame of @p nb descriptors. @return its length */
static uint32_t
take(uint32_t *nb, uint64_t *meta)
{
	const uint32_t pos = rig.poll_tx.cur->inuse_head;
	uint32_t n = 0, len = 0;
	uint64_t d;

	*meta = 0;
	do {
		d = vbus_poll_load_desc(&rig.poll_tx.r, pos + n);
		if (!vbus_poll_desc_is_ready(&rig.poll_tx.r, d, pos + n)) {
			CU_ASSERT_EQUAL(n, 0);
			return 0;
		}
		if (vbus_poll_len(d) == 0) {
			CU_ASSERT_EQUAL(n, 0);
			*meta = vbus_poll_addr(d);
		}
		memcpy(buf + len, (void *)(uintptr_t)vbus_poll_addr(d), vbus_poll_len(d));
		len += vbus_poll_len(d);
		n++;
	} while (d & VENET_POLL_MORE);
	*nb = n;
	vbus_poll_south_consume(&rig.poll_tx, n);
	return len;
}

/* South completes the next buffer. @return false: there is none */
static bool
give(uint32_t comp, uint8_t fill)
{
	const uint32_t pos = rig.poll_rx.cur->inuse_head;
	uint64_t d = vbus_poll_load_desc(&rig.poll_rx.r, pos);
	uint32_t room = vbus_poll_len(d), nb;

	if (newest) {
		nb = vbus_poll_south_gather(&rig.poll_rx);
		if (nb == 0)
			return false;
		d = vbus_poll_south_newest(&rig.poll_rx, nb, 0);
		room = rig.poll_rx.r.room;
		comp = (comp & ~VENET_POLL_COMP_ID) | vbus_poll_comp_of(d);
	} else if (!vbus_poll_desc_is_ready(&rig.poll_rx.r, d, pos)) {
		return false;
	}
	memset((void *)(uintptr_t)vbus_poll_addr(d), fill,
		RTE_MIN(comp & VENET_POLL_COMP_LEN, room));
	vbus_poll_south_complete(&rig.poll_rx, &comp, 1);
	return true;
}

static void
down(unsigned int before)
{
	rig_remove();
	CU_ASSERT_EQUAL(rig_avail(pool), before);
}

static void
transmit(uint16_t nb_desc, uint64_t tx_off)
{
	unsigned int before = rig_avail(pool);
	uint32_t sent = 0, taken = 0, round, n, i, nb;
	uint64_t meta;

	up(nb_desc, 0, tx_off);
	for (round = 0; round < 300; round++) {
		uint32_t want = 1 + round % 80;

		for (i = 0; i < want; i++)
			m[i] = rig_frame(pool, 60 + (sent + i) % 1400, (uint8_t)(sent + i));
		n = rte_eth_tx_burst(rig.port, 0, m, (uint16_t)want);
		CU_ASSERT_EQUAL(n, RTE_MIN(want, nb_desc - (sent - taken)));
		rte_pktmbuf_free_bulk(&m[n], want - n);
		sent += n;
		CU_ASSERT_EQUAL(rte_eth_tx_descriptor_status(rig.port, 0, 0),
			sent - taken < nb_desc ? RTE_ETH_TX_DESC_DONE : RTE_ETH_TX_DESC_FULL);
		for (i = 0; i < 1 + round % 77; i++) {
			uint32_t len = take(&nb, &meta);

			if (len == 0)
				break;
			CU_ASSERT_EQUAL(len, 60 + taken % 1400);
			CU_ASSERT_EQUAL(buf[len - 1], (uint8_t)taken);
			taken++;
		}
	}
	CU_ASSERT(taken > 5000);
	CU_ASSERT_EQUAL(xstat("tx_q0_packets"), sent);
	CU_ASSERT_EQUAL(xstat("tx_q0_packets_copied"), placed ? sent : 0);
	rte_eth_tx_done_cleanup(rig.port, 0, 0);
	/* South keeps some; they come back when it is gone. */
	rig_lost();
	down(before);
}

static void
test_transmit(void)
{
	transmit(64, 0);
	transmit(100, RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE);
	transmit(256, RTE_ETH_TX_OFFLOAD_MULTI_SEGS);
}

static struct rte_mbuf *
chain(uint32_t segs, uint32_t len)
{
	struct rte_mbuf *head = rig_frame(pool, len, 0);

	for (uint32_t i = 1; i < segs; i++)
		CU_ASSERT_EQUAL(rte_pktmbuf_chain(head, rig_frame(pool, len, (uint8_t)i)), 0);
	return head;
}

static void
test_transmit_chains(void)
{
	unsigned int before = rig_avail(pool);
	uint32_t round, segs, nb, want = 0;
	uint64_t meta;

	up(64, 0, RTE_ETH_TX_OFFLOAD_MULTI_SEGS | RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE);
	for (round = 0; round < 400; round++) {
		segs = 1 + round % 45; /* more than 38: copied */
		m[0] = chain(segs, 100);
		m[1] = rig_frame(pool, 64, 0xaa);
		CU_ASSERT_EQUAL(rte_eth_tx_burst(rig.port, 0, m, 2), 2);
		CU_ASSERT_EQUAL(take(&nb, &meta), segs * 100);
		if (placed) {
			CU_ASSERT_EQUAL(nb, segs * 100 / 1729 + 1); /* slots of 1,728 */
		} else {
			CU_ASSERT_EQUAL(nb, segs <= 38 ? segs : segs * 100 / 4096 + 1);
		}
		CU_ASSERT_EQUAL(buf[0], 0);
		CU_ASSERT_EQUAL(buf[segs * 100 - 1], (uint8_t)(segs - 1));
		CU_ASSERT_EQUAL(take(&nb, &meta), 64);
		CU_ASSERT_EQUAL(nb, 1);
		want += placed ? 2 : segs > 38;
	}
	CU_ASSERT_EQUAL(xstat("tx_q0_packets_copied"), want);
	CU_ASSERT_EQUAL(xstat("tx_q0_packets"), 800);
	/* A full ring: whole frames or none. */
	for (round = 0; round < 10; round++) {
		m[0] = chain(20, 100);
		if (rte_eth_tx_burst(rig.port, 0, m, 1) == 0)
			break;
	}
	CU_ASSERT(placed || (round >= 2 && round < 4));
	if (round < 10)
		rte_pktmbuf_free(m[0]);
	while (round-- > 0)
		CU_ASSERT_EQUAL(take(&nb, &meta), 2000);
	CU_ASSERT_EQUAL(take(&nb, &meta), 0);
	down(before);
}

static void
test_transmit_requests(void)
{
	unsigned int before = rig_avail(pool);
	uint32_t nb;
	uint64_t meta;

	up(64, 0, RTE_ETH_TX_OFFLOAD_IPV4_CKSUM | RTE_ETH_TX_OFFLOAD_UDP_CKSUM);
	m[0] = rig_frame(pool, 100, 0);
	rte_pktmbuf_mtod(m[0], uint8_t *)[14] = 0x45;
	m[0]->l2_len = 14;
	m[0]->l3_len = 20;
	m[0]->ol_flags = RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_UDP_CKSUM;
	CU_ASSERT_EQUAL(rte_eth_tx_burst(rig.port, 0, m, 1), 1);
	CU_ASSERT_EQUAL(take(&nb, &meta), 100);
	CU_ASSERT_EQUAL(nb, 2);
	CU_ASSERT_EQUAL(meta & 0xffff, 34);
	CU_ASSERT_EQUAL(meta >> VENET_POLL_META_CSUM_OFFSET_SHIFT & 0xff, 6);
	CU_ASSERT_EQUAL(meta >> VENET_POLL_META_FLAGS_SHIFT & 7, VENET_SG_FLAG_NEEDS_CSUM);
	CU_ASSERT_EQUAL(xstat("tx_q0_checksum_offload_packets"), 1);
	down(before);
}

static void
receive(uint16_t nb_desc)
{
	unsigned int before = rig_avail(pool);
	uint32_t given = 0, got = 0, round, i, n;

	up(nb_desc, 0, 0);
	/* As many as asked for, not the ring's. */
	CU_ASSERT_EQUAL(before - rig_avail(pool), placed ? 0 : nb_desc);
	for (round = 0; round < 300; round++) {
		for (i = 0; i < 1 + round % 90; i++) {
			if (!give(60 + given % 1400, (uint8_t)given))
				break;
			given++;
		}
		CU_ASSERT_EQUAL((uint32_t)rte_eth_rx_queue_count(rig.port, 0), given - got);
		n = rte_eth_rx_burst(rig.port, 0, m, (uint16_t)(1 + round % 64));
		for (i = 0; i < n; i++, got++) {
			CU_ASSERT_EQUAL(m[i]->pkt_len, 60 + got % 1400);
			CU_ASSERT_EQUAL(m[i]->data_len, m[i]->pkt_len);
			CU_ASSERT_EQUAL(m[i]->nb_segs, 1);
			CU_ASSERT_EQUAL(m[i]->port, rig.port);
			CU_ASSERT_EQUAL(
				*rte_pktmbuf_mtod_offset(m[i], uint8_t *, m[i]->pkt_len - 1),
				(uint8_t)got);
		}
		rte_pktmbuf_free_bulk(m, n);
	}
	CU_ASSERT(got > 3000);
	rig_lost();
	down(before);
}

static void
test_receive(void)
{
	receive(64);
	receive(100);
	receive(512);
}

static void
test_receive_chains(void)
{
	unsigned int before = rig_avail(pool);
	uint32_t round, i, n;

	up(128, RTE_ETH_RX_OFFLOAD_SCATTER | RTE_ETH_RX_OFFLOAD_TCP_LRO, 0);
	for (round = 0; round < 300; round++) {
		n = 2 + round % 30;
		for (i = 0; i < n; i++) {
			/* Nothing comes out before the last piece is there. */
			CU_ASSERT_EQUAL(rte_eth_rx_burst(rig.port, 0, m, 8), 0);
			CU_ASSERT_TRUE(
				give(40 | (i + 1 < n ? VENET_POLL_COMP_MORE : 0), (uint8_t)i));
		}
		CU_ASSERT_TRUE(give(60, 0x77));
		CU_ASSERT_EQUAL_FATAL(rte_eth_rx_burst(rig.port, 0, m, 8), 2);
		CU_ASSERT_EQUAL(m[0]->nb_segs, n);
		CU_ASSERT_EQUAL(m[0]->pkt_len, 40 * n);
		CU_ASSERT_EQUAL(*rte_pktmbuf_mtod(rte_pktmbuf_lastseg(m[0]), uint8_t *), n - 1);
		CU_ASSERT_EQUAL(m[1]->pkt_len, 60);
		CU_ASSERT_EQUAL(m[1]->nb_segs, 1);
		rte_pktmbuf_free_bulk(m, 2);
	}
	CU_ASSERT_EQUAL(xstat("rx_q0_multi_segment_packets"), 300);
	/* A frame that never ends is passed after 64 pieces. */
	for (i = 0; i < 100; i++)
		give(40 | VENET_POLL_COMP_MORE, 0);
	CU_ASSERT_EQUAL(rte_eth_rx_burst(rig.port, 0, m, 8), 0);
	CU_ASSERT_EQUAL(xstat("rx_q0_drop_bad_sg"), 1);
	rig_lost();
	down(before);
}

/* Lengths and flags that cannot be, in every mode; then a frame that can. */
static void
test_receive_hostile(void)
{
	static const uint32_t comp[] = {0, 1, 13, 1519, 2049, 0x3fff, 0x4000, 1u << 28,
		60 | 1u << 28, VENET_POLL_COMP_META, VENET_POLL_COMP_META | 60,
		VENET_POLL_COMP_META | 0x3fff};
	unsigned int before = rig_avail(pool);
	uint32_t round, i;
	uint16_t n;

	for (round = 0; round < 2; round++) {
		up(64, round == 0 ? 0 : RTE_ETH_RX_OFFLOAD_SCATTER, 0);
		memset(rig.poll_rx.r.meta, 0xff, 8 * 64);
		for (i = 0; i < 1000; i++) {
			CU_ASSERT_TRUE_FATAL(give(comp[i % RTE_DIM(comp)], 1));
			n = rte_eth_rx_burst(rig.port, 0, m, 8);
			/* Reserved bits mean nothing; what is left of it may be a frame. */
			CU_ASSERT(n == 0 || (n == 1 && m[0]->pkt_len <= 1518));
			rte_pktmbuf_free_bulk(m, n);
		}
		CU_ASSERT(xstat("rx_q0_drop_bad_length") > 300);
		CU_ASSERT(xstat("rx_q0_buffers_returned_empty") > 50);
		CU_ASSERT_TRUE(give(100, 5));
		CU_ASSERT_EQUAL_FATAL(rte_eth_rx_burst(rig.port, 0, m, 8), 1);
		rte_pktmbuf_free(m[0]);
		/* `done` is wild: nothing is freed that is not done. */
		m[0] = rig_frame(pool, 60, 1);
		CU_ASSERT_EQUAL(rte_eth_tx_burst(rig.port, 0, m, 1), 1);
		*rig.poll_tx.r.done = 1000;
		CU_ASSERT_EQUAL(rte_eth_tx_done_cleanup(rig.port, 0, 0), 0);
		down(before);
	}
}

/* Numbers that south has not, or has given back already: nothing comes of them, and the others go on. */
static void
test_newest_hostile(void)
{
	unsigned int before = rig_avail(pool);
	uint32_t i, comp, round;
	uint16_t n;

	for (round = 0; round < 2; round++) {
		newest = true;
		up(64, round == 0 ? 0 : RTE_ETH_RX_OFFLOAD_SCATTER, 0);
		for (i = 0; i < 400; i++) {
			/* The same one all the time, whether it was posted again or not; wild ones. */
			comp = 100 | (i % 2 ? 7u << VENET_POLL_COMP_ID_SHIFT : i << 20);
			comp |= i % 5 == 4 ? VENET_POLL_COMP_MORE : 0;
			vbus_poll_south_complete(&rig.poll_rx, &comp, 1);
			n = rte_eth_rx_burst(rig.port, 0, m, 8);
			CU_ASSERT(n <= 1);
			rte_pktmbuf_free_bulk(m, n);
		}
		CU_ASSERT(xstat("rx_q0_bad_buffer_numbers") > 5);
		CU_ASSERT_EQUAL(rig.up, true);
		down(before);
		newest = false;
	}
}

static void
test_newest(void)
{
	newest = true;
	test_transmit();
	test_receive();
	test_receive_chains();
	test_receive_hostile();
	newest = false;
}

/* What tells of a ring knows this one. */
static void
told(void)
{
	unsigned int before = rig_avail(pool);
	struct rte_dev_reg_info info = {0};
	struct rte_eth_burst_mode mode;
	uint32_t regs[64] = {0};

	up(64, 0, 0);
	CU_ASSERT_EQUAL(rte_eth_rx_burst_mode_get(rig.port, 0, &mode), 0);
	CU_ASSERT_PTR_NOT_NULL(strstr(mode.info, "Placed"));
	CU_ASSERT_EQUAL(rte_eth_tx_burst_mode_get(rig.port, 0, &mode), 0);
	CU_ASSERT_PTR_NOT_NULL(strstr(mode.info, "Placed"));
	CU_ASSERT_EQUAL(rte_eth_dev_get_reg_info(rig.port, &info), 0);
	CU_ASSERT_FATAL(info.length <= RTE_DIM(regs));
	info.data = regs;
	CU_ASSERT_EQUAL(rte_eth_dev_get_reg_info(rig.port, &info), 0);
	CU_ASSERT_EQUAL(regs[1], 64);
	CU_ASSERT_EQUAL(regs[4], 64); /* posted */
	/* What was taken is posted before the receiver sleeps, few as it is. */
	CU_ASSERT_TRUE(give(60, 1));
	CU_ASSERT_EQUAL(rte_eth_rx_burst(rig.port, 0, m, 8), 1);
	rte_pktmbuf_free(m[0]);
	CU_ASSERT_FALSE(vbus_poll_south_is_ready(&rig.poll_rx, 63));
	CU_ASSERT_EQUAL(rte_eth_dev_rx_intr_enable(rig.port, 0), 0);
	CU_ASSERT_TRUE(vbus_poll_south_is_ready(&rig.poll_rx, 63));
	CU_ASSERT_EQUAL(rte_eth_dev_rx_intr_disable(rig.port, 0), 0);
	down(before);
}

static void
test_placed(void)
{
	placed = true;
	told();
	test_transmit();
	test_transmit_chains();
	test_transmit_requests();
	test_receive();
	test_receive_hostile();
	placed = false;
}

/* Where the ioqs are used all the same. */
static void
test_v2(void)
{
	static struct rte_devargs da;
	unsigned int before = rig_avail(pool);
	struct rte_vbus_driver *drv;

	rig_probe();
	CU_ASSERT_EQUAL(rig_start(pool, 64, 0, 0, 1500), 0); /* not offered */
	CU_ASSERT_PTR_NOT_NULL(rig_block(VENET_QUEUE_RX));
	down(before);

	rig_probe();
	rig.poll = VENET_CAP_POLL_RING;
	rig.fail_func = (int)VENET_FUNC_POLLQUERY;
	CU_ASSERT_EQUAL(rig_start(pool, 64, 0, 0, 1500), 0);
	CU_ASSERT_EQUAL(rig.granted_poll, 0);
	CU_ASSERT_PTR_NOT_NULL(rig_block(VENET_QUEUE_RX));
	down(before);

	rig_probe();
	rig.poll = VENET_CAP_POLL_RING;
	rig.hide_all = true; /* frames are copied: no mbufs to post */
	CU_ASSERT_EQUAL(rig_start(pool, 64, 0, 0, 1500), 0);
	CU_ASSERT_PTR_NOT_NULL(rig_block(VENET_QUEUE_RX));
	down(before);

	drv = rig.drv;
	da.args = (char *)(uintptr_t) "ring=round";
	rig.vdev.device.devargs = &da;
	CU_ASSERT_EQUAL(drv->probe(drv, &rig.vdev), -EINVAL);
	da.args = (char *)(uintptr_t) "rings=v2";
	CU_ASSERT_EQUAL(drv->probe(drv, &rig.vdev), -EINVAL);
	da.args = (char *)(uintptr_t) "ring=v2";
	CU_ASSERT_EQUAL_FATAL(drv->probe(drv, &rig.vdev), 0);
	CU_ASSERT_EQUAL_FATAL(rte_eth_dev_get_port_by_name("vbus:l.d", &rig.port), 0);
	rig.poll = VENET_CAP_POLL_RING;
	CU_ASSERT_EQUAL(rig_start(pool, 64, 0, 0, 1500), 0);
	CU_ASSERT_PTR_NOT_NULL(rig_block(VENET_QUEUE_RX));
	down(before);
}

/* South's next frame from a pair goes back to it. @return its first byte, -1: there is none */
static int
reflect(uint32_t pair)
{
	struct vbus_poll_south *from = pair == 0 ? &rig.poll_tx : &rig.pair[pair].tx;
	struct vbus_poll_south *to = pair == 0 ? &rig.poll_rx : &rig.pair[pair].rx;
	const uint32_t pos = from->cur->inuse_head, at = to->cur->inuse_head;
	uint64_t d = vbus_poll_load_desc(&from->r, pos), b = vbus_poll_load_desc(&to->r, at);
	uint32_t len = vbus_poll_len(d);
	const uint8_t *frame = (void *)(uintptr_t)vbus_poll_addr(d);
	int first;

	if (!vbus_poll_desc_is_ready(&from->r, d, pos))
		return -1;
	CU_ASSERT_TRUE_FATAL(vbus_poll_desc_is_ready(&to->r, b, at));
	CU_ASSERT_TRUE_FATAL(len <= vbus_poll_len(b));
	first = frame[0];
	memcpy((void *)(uintptr_t)vbus_poll_addr(b), frame, len);
	vbus_poll_south_consume(from, 1);
	vbus_poll_south_complete(to, &len, 1);
	return first;
}

/* Frames of each queue go to its own pair, what comes on a pair is its queue's. */
static void
round_trips(void)
{
	uint32_t round, i, n;
	uint16_t q;

	for (round = 0; round < 100; round++) {
		for (q = 0; q < RIG_PAIRS; q++) {
			n = 1 + (round + q) % 40;
			for (i = 0; i < n; i++)
				m[i] = rig_frame(pool, 60 + i, (uint8_t)(q << 6 | i));
			CU_ASSERT_EQUAL_FATAL(rte_eth_tx_burst(rig.port, q, m, (uint16_t)n), n);
		}
		for (q = 0; q < RIG_PAIRS; q++) {
			n = 1 + (round + q) % 40;
			for (i = 0; i < n; i++)
				CU_ASSERT_EQUAL(reflect(q), (int)(q << 6 | i));
			CU_ASSERT_EQUAL(reflect(q), -1);
			CU_ASSERT_EQUAL_FATAL(rte_eth_rx_burst(rig.port, q, m, 64), n);
			for (i = 0; i < n; i++) {
				CU_ASSERT_EQUAL(m[i]->pkt_len, 60 + i);
				CU_ASSERT_EQUAL(*rte_pktmbuf_mtod(m[i], uint8_t *), q << 6 | i);
			}
			rte_pktmbuf_free_bulk(m, n);
		}
	}
}

static void
several(void)
{
	const struct rte_eth_conf conf = {0};
	unsigned int before = rig_avail(pool);
	struct rte_eth_dev_info info;

	rig_pairs = RIG_PAIRS;
	rig_probe();
	rig.far = rig.hide_all = placed;
	CU_ASSERT_EQUAL(rte_eth_dev_info_get(rig.port, &info), 0);
	CU_ASSERT_EQUAL(info.max_rx_queues, RIG_PAIRS);
	CU_ASSERT_EQUAL(info.max_tx_queues, RIG_PAIRS);
	CU_ASSERT_NOT_EQUAL(
		rte_eth_dev_configure(rig.port, RIG_PAIRS + 1, RIG_PAIRS + 1, &conf), 0);
	CU_ASSERT_EQUAL(rte_eth_dev_configure(rig.port, 2, 1, &conf), -EINVAL);
	CU_ASSERT_EQUAL_FATAL(rig_start(pool, 64, 0, 0, 1500), 0);
	CU_ASSERT_EQUAL(rig.granted_poll,
		VENET_CAP_POLL_RING | VENET_CAP_POLL_PAIRS | (placed ? VENET_CAP_POLL_PLACED : 0));
	round_trips();
	CU_ASSERT_EQUAL(xstat("tx_q2_packets"), xstat("rx_q2_packets"));
	CU_ASSERT(xstat("tx_q2_packets") > 1000);
	rig_lost();
	rig_back();
	round_trips();
	/* This south has one pair now: it cannot be started with more. */
	CU_ASSERT_EQUAL(rte_eth_dev_stop(rig.port), 0);
	rig.poll &= ~VENET_CAP_POLL_PAIRS;
	CU_ASSERT_EQUAL(rte_eth_dev_start(rig.port), -ENOTSUP);
	CU_ASSERT_FALSE(rig.open);
	rig.poll |= VENET_CAP_POLL_PAIRS;
	CU_ASSERT_EQUAL(rte_eth_dev_start(rig.port), 0);
	down(before);
	rig_pairs = 0;
}

static void
test_several(void)
{
	several();
	placed = true;
	several();
	placed = false;
}

int
main(void)
{
	static const struct cu_test tests[] = {
		{"transmit: laps, full, lost", test_transmit},
		{"transmit: chains", test_transmit_chains},
		{"transmit: requests", test_transmit_requests},
		{"receive: laps, full, lost", test_receive},
		{"receive: chains", test_receive_chains},
		{"a south that lies", test_receive_hostile},
		{"placed: the same", test_placed},
		{"newest first: the same", test_newest},
		{"newest first: a south that lies", test_newest_hostile},
		{"the ioqs instead", test_v2},
		{"several queues", test_several},
		{NULL, NULL},
	};

	return cu_run("north: poll ring", tests, init, NULL);
}
