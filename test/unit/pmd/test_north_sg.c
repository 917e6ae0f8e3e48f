/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * The north end's scatter-gather: transmit descriptors as south sees them, and L4RO receive from a
 * south that keeps the rules and from one that does not (north_rig.h).
 */
#include <errno.h>
#include <string.h>

#include <rte_ip.h>
#include <rte_tcp.h>
#include <rte_udp.h>

#include "../core/cu_run.h"
#include "north_rig.h"
#include "vbus_ctl.h"

#define TX_SG                                                           \
	(RTE_ETH_TX_OFFLOAD_MULTI_SEGS | RTE_ETH_TX_OFFLOAD_TCP_CKSUM | \
		RTE_ETH_TX_OFFLOAD_UDP_CKSUM | RTE_ETH_TX_OFFLOAD_IPV4_CKSUM)
#define RX_CSUM (RTE_ETH_RX_OFFLOAD_TCP_CKSUM | RTE_ETH_RX_OFFLOAD_UDP_CKSUM)
#define IOVS	64u

struct sg {
	struct venet_sg head;
	struct venet_iov iov[IOVS];
};

static struct rte_mempool *pool;
static uint8_t frame[70000];

static int
init(void)
{
	if (rig_eal_init() != 0)
		return 1;
	pool = rte_pktmbuf_pool_create(
		"main", 4095, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
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

/* ---- transmit -------------------------------------------------------------------------------------- */

/* South takes the oldest descriptor and the bytes it describes. */
static bool
take_sg(struct sg *sg)
{
	struct vbus_ioq_entry e = {0};
	uint32_t at = 0;

	if (vbus_ioq_south_consume_peek(&rig.tx, &e, 1) != 1)
		return false;
	CU_ASSERT_PTR_NOT_NULL_FATAL(rig.pmtd);
	memcpy(sg, rig.pmtd + e.ptr, sizeof(*sg) < e.len ? sizeof(*sg) : e.len);
	CU_ASSERT_TRUE_FATAL(sg->head.count >= 1 && sg->head.count <= IOVS);
	CU_ASSERT_TRUE(e.len >= VENET_SG_SIZE(sg->head.count));
	CU_ASSERT_TRUE(e.ptr + e.len <= rig_block(RIG_PMTD_ID)->len);
	for (uint32_t i = 0; i < sg->head.count; i++) {
		memcpy(frame + at, (void *)(uintptr_t)sg->iov[i].ptr, sg->iov[i].len);
		at += sg->iov[i].len;
	}
	CU_ASSERT_EQUAL(at, sg->head.len);
	vbus_ioq_south_consume_pop(&rig.tx, 1);
	return true;
}

/* A frame of nb segments of len bytes, segment i filled with fill + i. */
static struct rte_mbuf *
chain(uint32_t nb, uint32_t len, uint8_t fill)
{
	struct rte_mbuf *head = rig_frame(pool, len, fill);

	for (uint32_t i = 1; i < nb; i++)
		CU_ASSERT_EQUAL(
			rte_pktmbuf_chain(head, rig_frame(pool, len, (uint8_t)(fill + i))), 0);
	return head;
}

static void
tx_chains(uint64_t offloads)
{
	unsigned int before = rig_avail(pool);
	struct rte_mbuf *m;
	struct sg sg;

	rig_probe();
	CU_ASSERT_EQUAL(rig_start(pool, 100, 0, offloads, 1500), 0);
	CU_ASSERT_EQUAL(rig.granted[0], VENET_CAP_SG | VENET_CAP_PMTD);
	for (uint32_t i = 0; i < 500; i++) {
		uint32_t nb = i % 50 + 1; /* more than a descriptor of ours holds, too */

		m = chain(nb, 100 + i % 7, (uint8_t)i);
		CU_ASSERT_EQUAL(rte_eth_tx_burst(rig.port, 0, &m, 1), 1);
		CU_ASSERT_TRUE_FATAL(take_sg(&sg));
		CU_ASSERT_EQUAL(sg.head.len, nb * (100 + i % 7));
		CU_ASSERT_EQUAL(sg.head.flags, 0);
		for (uint32_t s = 0; s < nb; s++)
			CU_ASSERT_EQUAL(frame[s * (100 + i % 7)], (uint8_t)(i + s));
	}
	CU_ASSERT_TRUE(xstat("tx_q0_multi_segment_packets") > 0);
	CU_ASSERT_EQUAL(xstat("tx_q0_packets_copied"), 10 * 12); /* 39 to 50 segments */
	CU_ASSERT_EQUAL(xstat("tx_q0_packets"), 500);
	rig_remove();
	CU_ASSERT_EQUAL(rig_avail(pool), before);
}

static void
test_tx_chains(void)
{
	tx_chains(TX_SG);
}

/* testpmd has both when one switches chains on: every segment goes back, not the heads alone. */
static void
test_tx_chains_fast_free(void)
{
	tx_chains(TX_SG | RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE);
}

static struct rte_mbuf *
tcp_frame(uint32_t payload)
{
	struct rte_mbuf *m = rig_frame(pool, 54 + RTE_MIN(payload, 1000u), 0x5a), *s;
	struct rte_ether_hdr *eth = rte_pktmbuf_mtod(m, struct rte_ether_hdr *);
	struct rte_ipv4_hdr *ip = (struct rte_ipv4_hdr *)(eth + 1);
	struct rte_tcp_hdr *tcp = (struct rte_tcp_hdr *)(ip + 1);

	memset(eth, 0, 54);
	eth->ether_type = rte_cpu_to_be_16(RTE_ETHER_TYPE_IPV4);
	ip->version_ihl = 0x45;
	ip->total_length = rte_cpu_to_be_16((uint16_t)(40 + payload));
	ip->time_to_live = 9;
	ip->next_proto_id = IPPROTO_TCP;
	ip->src_addr = 0x01020304;
	ip->dst_addr = 0x04030201;
	tcp->data_off = 0x50;
	for (uint32_t left = payload - RTE_MIN(payload, 1000u); left > 0;) {
		uint32_t n = RTE_MIN(left, 1900u);

		s = rig_frame(pool, n, 0x5a);
		CU_ASSERT_EQUAL(rte_pktmbuf_chain(m, s), 0);
		left -= n;
	}
	m->l2_len = 14;
	m->l3_len = 20;
	m->l4_len = 20;
	return m;
}

static void
test_tx_offloads(void)
{
	unsigned int before = rig_avail(pool);
	struct rte_mbuf *m;
	struct sg sg;

	rig_probe();
	CU_ASSERT_EQUAL(rig_start(pool, 64, 0, TX_SG | RTE_ETH_TX_OFFLOAD_TCP_TSO, 1500), 0);
	m = tcp_frame(500);
	m->ol_flags = RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM | RTE_MBUF_F_TX_TCP_CKSUM;
	CU_ASSERT_EQUAL(rte_eth_tx_burst(rig.port, 0, &m, 1), 1);
	CU_ASSERT_TRUE_FATAL(take_sg(&sg));
	CU_ASSERT_EQUAL(sg.head.flags, VENET_SG_FLAG_NEEDS_CSUM);
	CU_ASSERT_EQUAL(sg.head.csum.start, 34);
	CU_ASSERT_EQUAL(sg.head.csum.offset, 16);
	CU_ASSERT_EQUAL(rte_raw_cksum(frame + 14, 20), 0xffff); /* the IP header is complete */

	m = tcp_frame(60000);
	m->ol_flags = RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM | RTE_MBUF_F_TX_TCP_SEG |
		      RTE_MBUF_F_TX_TCP_CKSUM;
	m->tso_segsz = 1448;
	CU_ASSERT_EQUAL(rte_eth_tx_burst(rig.port, 0, &m, 1), 1);
	CU_ASSERT_TRUE_FATAL(take_sg(&sg));
	CU_ASSERT_EQUAL(sg.head.flags, VENET_SG_FLAG_NEEDS_CSUM | VENET_SG_FLAG_GSO);
	CU_ASSERT_EQUAL(sg.head.gso.type, VENET_GSO_TYPE_TCPV4);
	CU_ASSERT_EQUAL(sg.head.gso.size, 1448);
	CU_ASSERT_EQUAL(sg.head.len, 60054);
	CU_ASSERT_EQUAL(xstat("tx_q0_tso_packets"), 1);
	CU_ASSERT_EQUAL(xstat("tx_q0_packets_copied"), 0);

	/* Headers that belong to somebody else as well are not touched: completed in a copy. */
	m = tcp_frame(500);
	m->ol_flags = RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM | RTE_MBUF_F_TX_TCP_CKSUM;
	rte_mbuf_refcnt_update(m, 1);
	CU_ASSERT_EQUAL(rte_eth_tx_burst(rig.port, 0, &m, 1), 1);
	CU_ASSERT_TRUE_FATAL(take_sg(&sg));
	CU_ASSERT_EQUAL(sg.head.flags, VENET_SG_FLAG_NEEDS_CSUM);
	CU_ASSERT_EQUAL(rte_raw_cksum(frame + 14, 20), 0xffff);
	CU_ASSERT_EQUAL(rte_pktmbuf_mtod_offset(m, struct rte_ipv4_hdr *, 14)->hdr_checksum, 0);
	CU_ASSERT_EQUAL(xstat("tx_q0_packets_copied"), 1);
	CU_ASSERT_EQUAL(rte_mbuf_refcnt_read(m), 1);
	rte_pktmbuf_free(m);

	/* The peer comes back with less: what it cannot do is dropped with its reason, or done here. */
	rig_lost();
	rig.sg = 0;
	rig_back();
	m = tcp_frame(60000);
	m->ol_flags = RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM | RTE_MBUF_F_TX_TCP_SEG;
	m->tso_segsz = 1448;
	CU_ASSERT_EQUAL(rte_eth_tx_burst(rig.port, 0, &m, 1), 1);
	CU_ASSERT_EQUAL(xstat("tx_q0_drop_tso_not_granted"), 1);
	m = tcp_frame(500);
	m->ol_flags = RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM | RTE_MBUF_F_TX_TCP_CKSUM;
	CU_ASSERT_EQUAL(rte_eth_tx_burst(rig.port, 0, &m, 1), 1);
	CU_ASSERT_EQUAL(rig_take(frame, sizeof(frame)), 554);
	CU_ASSERT_EQUAL(
		rte_ipv4_udptcp_cksum_verify((struct rte_ipv4_hdr *)(frame + 14), frame + 34), 0);
	rig_remove();
	CU_ASSERT_EQUAL(rig_avail(pool), before);
}

/* Without PMTD desc.ptr is an address. */
static void
test_tx_no_pmtd(void)
{
	struct vbus_ioq_entry e = {0};
	struct rte_mbuf *m;

	rig_probe();
	rig.sg = VENET_CAP_SG;
	CU_ASSERT_EQUAL(rig_start(pool, 64, 0, TX_SG, 1500), 0);
	m = chain(3, 100, 1);
	CU_ASSERT_EQUAL(rte_eth_tx_burst(rig.port, 0, &m, 1), 1);
	CU_ASSERT_EQUAL_FATAL(vbus_ioq_south_consume_peek(&rig.tx, &e, 1), 1);
	CU_ASSERT_EQUAL(((struct sg *)(uintptr_t)e.ptr)->head.count, 3);
	CU_ASSERT_EQUAL(((struct sg *)(uintptr_t)e.ptr)->head.len, 300);
	rig_remove();
}

/* ---- receive --------------------------------------------------------------------------------------- */

/* South's next receive descriptor. */
static struct sg *
peek_slot(struct vbus_ioq_entry *e)
{
	if (vbus_ioq_south_produce_peek(&rig.rx, e, 1) != 1)
		return NULL;
	CU_ASSERT_TRUE(e->ptr + e->len <= rig.rx_pool_len);
	return (struct sg *)(void *)(rig.rx_pool + e->ptr);
}

/* As venet does it: the first iov's room, then pages. False: no buffer or not enough pages. */
static bool
give_sg(const uint8_t *data, uint32_t len, uint32_t flags, uint16_t start, uint16_t offset,
	uint16_t gso)
{
	struct vbus_ioq_entry e, page[IOVS];
	struct sg *sg = peek_slot(&e);
	uint32_t at, n = 1, have;

	if (sg == NULL)
		return false;
	CU_ASSERT_EQUAL(sg->head.count, 1);
	have = vbus_ioq_south_consume_peek(&rig.pages, page, IOVS - 1);
	at = RTE_MIN(len, sg->iov[0].len);
	memcpy((void *)(uintptr_t)sg->iov[0].ptr, data, at);
	sg->iov[0].len = at;
	for (; at < len; n++) {
		uint32_t k;

		if (n > have || n > (e.len - 48) / 16)
			return false;
		k = (uint32_t)RTE_MIN(page[n - 1].len, (uint64_t)(len - at));
		memcpy((void *)(uintptr_t)page[n - 1].ptr, data + at, k);
		sg->iov[n].ptr = page[n - 1].cookie;
		sg->iov[n].len = k;
		at += k;
	}
	if (n > 1)
		vbus_ioq_south_consume_pop(&rig.pages, n - 1);
	sg->head.flags = flags;
	sg->head.len = len;
	sg->head.count = n;
	sg->head.csum.start = start;
	sg->head.csum.offset = offset;
	sg->head.gso.type = VENET_GSO_TYPE_TCPV4;
	sg->head.gso.hdrlen = 54;
	sg->head.gso.size = gso;
	vbus_ioq_south_produce_push_keep(&rig.rx, 1);
	return true;
}

static void
check_bytes(const struct rte_mbuf *m, uint8_t fill)
{
	for (; m != NULL; m = m->next)
		for (uint32_t i = 0; i < m->data_len; i += 97)
			CU_ASSERT_EQUAL(*rte_pktmbuf_mtod_offset(m, uint8_t *, i), fill);
}

static void
test_rx_scattered(void)
{
	unsigned int before = rig_avail(pool);
	struct rte_mbuf *m[16];
	uint32_t given = 0, taken = 0;

	rig_probe();
	CU_ASSERT_EQUAL(rig_start(pool, 77, RTE_ETH_RX_OFFLOAD_SCATTER, 0, 9000), 0);
	CU_ASSERT_EQUAL(rig.granted[2], VENET_CAP_SG);
	while (taken < 4000) {
		for (uint32_t i = 0; i < given % 40 + 1 && given < 4000; i++, given++) {
			memset(frame, (uint8_t)given, 9014);
			if (!give_sg(frame, 60 + given * 37 % 8955, 0, 0, 0, 0))
				break;
		}
		uint16_t n = rte_eth_rx_burst(rig.port, 0, m, 16);

		for (uint16_t i = 0; i < n; i++, taken++) {
			CU_ASSERT_EQUAL(m[i]->pkt_len, 60 + taken * 37 % 8955);
			CU_ASSERT_EQUAL(m[i]->nb_segs, (m[i]->pkt_len + 2047) / 2048);
			CU_ASSERT_EQUAL(m[i]->ol_flags, 0);
			check_bytes(m[i], (uint8_t)taken);
			rte_mbuf_sanity_check(m[i], 1);
			rte_pktmbuf_free(m[i]);
		}
	}
	CU_ASSERT_EQUAL(xstat("rx_q0_packets"), 4000);
	rig_remove();
	CU_ASSERT_EQUAL(rig_avail(pool), before);
}

/* A TCP frame whose checksum is still the pseudo-header's. */
static uint32_t
unfinished(uint32_t payload)
{
	struct rte_mbuf *m = tcp_frame(payload);
	struct rte_ipv4_hdr *ip = rte_pktmbuf_mtod_offset(m, struct rte_ipv4_hdr *, 14);
	struct rte_tcp_hdr *tcp = (struct rte_tcp_hdr *)(ip + 1);
	uint32_t len = m->pkt_len;

	ip->hdr_checksum = rte_ipv4_cksum(ip);
	tcp->cksum = rte_ipv4_phdr_cksum(ip, 0);
	memcpy(frame, rte_pktmbuf_read(m, 0, len, frame), rte_pktmbuf_is_contiguous(m) ? len : 0);
	rte_pktmbuf_free(m);
	return len;
}

static void
test_rx_offloads(void)
{
	unsigned int before = rig_avail(pool);
	struct rte_mbuf *m;
	uint32_t len;

	rig_probe();
	CU_ASSERT_EQUAL(
		rig_start(pool, 256,
			RX_CSUM | RTE_ETH_RX_OFFLOAD_TCP_LRO | RTE_ETH_RX_OFFLOAD_SCATTER, 0, 1500),
		0);
	CU_ASSERT_EQUAL(rig.granted[2], VENET_CAP_SG | VENET_CAP_TSO4 | VENET_CAP_TSO6);
	len = unfinished(600);
	CU_ASSERT_TRUE(give_sg(frame, len, VENET_SG_FLAG_NEEDS_CSUM, 34, 16, 0));
	CU_ASSERT_EQUAL_FATAL(rte_eth_rx_burst(rig.port, 0, &m, 1), 1);
	CU_ASSERT_EQUAL(m->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK, RTE_MBUF_F_RX_L4_CKSUM_NONE);
	rte_pktmbuf_free(m);

	len = unfinished(64000);
	CU_ASSERT_TRUE(
		give_sg(frame, len, VENET_SG_FLAG_NEEDS_CSUM | VENET_SG_FLAG_GSO, 34, 16, 1448));
	CU_ASSERT_EQUAL_FATAL(rte_eth_rx_burst(rig.port, 0, &m, 1), 1);
	CU_ASSERT_TRUE(m->ol_flags & RTE_MBUF_F_RX_LRO);
	CU_ASSERT_EQUAL(m->tso_segsz, 1448);
	CU_ASSERT_EQUAL(m->pkt_len, len);
	rte_pktmbuf_free(m);
	CU_ASSERT_EQUAL(xstat("rx_q0_lro_packets"), 1);
	rig_remove();
	CU_ASSERT_EQUAL(rig_avail(pool), before);
}

/* The application does not take unfinished checksums: done here. */
static void
test_rx_csum_done(void)
{
	unsigned int before = rig_avail(pool);
	struct rte_mbuf *m;
	uint32_t len;

	rig_probe();
	CU_ASSERT_EQUAL(rig_start(pool, 64, RTE_ETH_RX_OFFLOAD_SCATTER, 0, 1500), 0);
	len = unfinished(600);
	CU_ASSERT_TRUE(give_sg(frame, len, VENET_SG_FLAG_NEEDS_CSUM, 34, 16, 0));
	CU_ASSERT_EQUAL_FATAL(rte_eth_rx_burst(rig.port, 0, &m, 1), 1);
	CU_ASSERT_EQUAL(m->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK, 0);
	CU_ASSERT_EQUAL(rte_ipv4_udptcp_cksum_verify(rte_pktmbuf_mtod_offset(m, void *, 14),
				rte_pktmbuf_mtod_offset(m, void *, 34)),
		0);
	rte_pktmbuf_free(m);
	CU_ASSERT_EQUAL(xstat("rx_q0_checksums_completed"), 1);
	/* A large frame nobody asked for, a request outside of the frame: dropped. */
	CU_ASSERT_TRUE(
		give_sg(frame, len, VENET_SG_FLAG_NEEDS_CSUM | VENET_SG_FLAG_GSO, 34, 16, 100));
	CU_ASSERT_TRUE(give_sg(frame, len, VENET_SG_FLAG_NEEDS_CSUM, 60000, 16, 0));
	CU_ASSERT_EQUAL(rte_eth_rx_burst(rig.port, 0, &m, 1), 0);
	CU_ASSERT_EQUAL(rte_eth_rx_burst(rig.port, 0, &m, 1), 0);
	CU_ASSERT_EQUAL(xstat("rx_q0_drop_bad_offload"), 2);
	rig_remove();
	CU_ASSERT_EQUAL(rig_avail(pool), before);
}

/* Descriptors that break the rules: each is dropped with its reason, and no mbuf is lost. */
static void
hostile(uint32_t kind)
{
	struct vbus_ioq_entry e = {0};
	struct sg *sg = peek_slot(&e);

	CU_ASSERT_PTR_NOT_NULL_FATAL(sg);
	sg->head.len = 4096;
	sg->head.count = 2;
	sg->iov[0].len = 2048;
	sg->iov[1].len = 2048;
	sg->iov[1].ptr = 0;
	sg->iov[2].len = 100;
	sg->iov[2].ptr = 0;
	switch (kind) {
	case 0:
		sg->head.count = 0;
		break;
	case 1:
		sg->head.count = UINT32_MAX;
		break;
	case 2:
		sg->iov[0].len = 2049;
		break;
	case 3:
		sg->iov[1].len = UINT32_MAX;
		break;
	case 4:
		sg->head.len = 4097; /* not the sum */
		break;
	case 5:
		sg->iov[1].ptr = UINT64_MAX;
		break;
	case 6:
		sg->head.count = 3; /* the same page twice */
		sg->head.len = 4196;
		break;
	case 7:
		sg->head.count = 1;
		sg->head.len = 13;
		sg->iov[0].len = 13;
		break;
	case 8:
		sg->head.len = 0; /* given back empty */
		break;
	case 9:
		sg->head.count = 1; /* over the MTU */
		sg->head.len = 1600;
		sg->iov[0].len = 1600;
		break;
	default:
		sg->iov[0].len = 0;
		break;
	}
	vbus_ioq_south_produce_push_keep(&rig.rx, 1);
}

static void
test_rx_hostile(void)
{
	unsigned int before = rig_avail(pool);
	struct rte_mbuf *m[64];

	rig_probe();
	CU_ASSERT_EQUAL(rig_start(pool, 64, RTE_ETH_RX_OFFLOAD_SCATTER, 0, 1500), 0);
	for (uint32_t i = 0; i < 1100; i++) {
		hostile(i % 11);
		CU_ASSERT_EQUAL(rte_eth_rx_burst(rig.port, 0, m, 64), 0);
	}
	CU_ASSERT_TRUE(xstat("rx_q0_drop_bad_page") >= 200);
	CU_ASSERT_TRUE(xstat("rx_q0_drop_bad_sg") >= 400);
	CU_ASSERT_EQUAL(xstat("rx_q0_drop_bad_length"), 100);
	CU_ASSERT_EQUAL(xstat("rx_q0_buffers_returned_empty"), 100);
	CU_ASSERT_EQUAL(xstat("rx_q0_drop_over_mtu"), 100);
	memset(frame, 7, 1000);
	CU_ASSERT_TRUE(give_sg(frame, 1000, 0, 0, 0, 0));
	CU_ASSERT_EQUAL_FATAL(rte_eth_rx_burst(rig.port, 0, m, 64), 1);
	check_bytes(m[0], 7);
	rte_pktmbuf_free(m[0]);
	rig_lost(); /* pages south kept come back as well */
	CU_ASSERT_EQUAL(rig_avail(pool), before);
	rig_remove();
}

int
main(void)
{
	static const struct cu_test tests[] = {
		{"transmit: chains", test_tx_chains},
		{"transmit: chains and fast free", test_tx_chains_fast_free},
		{"transmit: checksums and TSO", test_tx_offloads},
		{"transmit: no PMTD", test_tx_no_pmtd},
		{"receive: scattered", test_rx_scattered},
		{"receive: checksums and LRO", test_rx_offloads},
		{"receive: checksum completed", test_rx_csum_done},
		{"receive: descriptors that lie", test_rx_hostile},
		{NULL, NULL},
	};

	return cu_run("north: scatter-gather", tests, init, NULL);
}
