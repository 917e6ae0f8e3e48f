/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * Bursts of a polled queue for which its own pair is not all (ADR-0019): it serves several of north's pairs,
 * or several of ours send to one.
 *
 * Runs on the polling thread of the queue, which owns the pairs that it serves: with nb queues, those
 * that are the queue's number modulo nb. Only tx queues beyond north's pairs share, under a lock.
 * Frames to north are spread by flow: a hash of addresses and ports, or the one that a device left in the
 * mbuf, so that frames of a flow stay in order and on one of north's cores.
 */

#include "venet_internal.h"

#include <string.h>

#include <rte_byteorder.h>
#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_jhash.h>

#define HASH_SEED 0x76627573u

/* ---- from north ---------------------------------------------------------------------------------- */

uint16_t
venet_rx_several(struct vbus_venet *v, uint16_t queue, const struct venet_path *p,
	struct rte_mbuf **pkts, uint16_t nb)
{
	struct venet_rxq *own = &v->pair[queue].rx;
	const uint32_t step = p->rx_step, nb_pairs = p->nb_pairs;
	uint32_t at = own->turn, looked;
	uint16_t done = 0;

	/* The next one begins, so that one that is always full does not starve the others. */
	for (looked = queue; looked < nb_pairs && done < nb; looked += step) {
		struct venet_rxq *q = &v->pair[at].rx;

		p = atomic_load_explicit(&q->path, memory_order_acquire); /* V1 */
		if (likely(p != NULL && p->mp != NULL))
			done += p->rx_burst(
				q, p, pkts + done, RTE_MIN((uint16_t)(nb - done), VENET_BURST));
		at += step;
		if (at >= nb_pairs)
			at = queue;
	}
	own->turn = (uint16_t)at;
	return done;
}

/* ---- to north ------------------------------------------------------------------------------------ */

/** Ports behind an IP header at @p off; 0 where there are none. */
static uint32_t
ports_at(const uint8_t *p, uint32_t len, uint32_t off, uint8_t proto)
{
	uint32_t ports = 0;

	if ((proto == IPPROTO_TCP || proto == IPPROTO_UDP || proto == IPPROTO_SCTP) &&
		off + sizeof(ports) <= len)
		memcpy(&ports, p + off, sizeof(ports));
	return ports;
}

static uint32_t
hash_ip4(const uint8_t *p, uint32_t len, uint32_t off)
{
	struct rte_ipv4_hdr ip;
	uint32_t ports = 0;

	if (off + sizeof(ip) > len)
		return 0;
	memcpy(&ip, p + off, sizeof(ip));
	/* A fragment has no ports, or the first one alone has: all go by addresses. */
	if ((ip.fragment_offset & rte_cpu_to_be_16(0x3fff)) == 0)
		ports = ports_at(p, len, off + (ip.version_ihl & 15u) * 4, ip.next_proto_id);
	return rte_jhash_3words(ip.src_addr, ip.dst_addr, ports, HASH_SEED);
}

static uint32_t
hash_ip6(const uint8_t *p, uint32_t len, uint32_t off)
{
	uint32_t words[9];

	if (off + 40 > len)
		return 0;
	memcpy(words, p + off + 8, 32);
	words[8] = ports_at(p, len, off + 40, p[off + 6]);
	return rte_jhash_32b(words, RTE_DIM(words), HASH_SEED);
}

/** The flow that a frame is of; anything that is no IP goes by its addresses and type. */
static uint32_t
flow_of(const struct rte_mbuf *m)
{
	const uint8_t *p = rte_pktmbuf_mtod(m, const uint8_t *);
	const uint32_t len = m->data_len;
	uint32_t off = 12, words[3];
	uint16_t type = 0;

	if (m->ol_flags & RTE_MBUF_F_RX_RSS_HASH)
		return m->hash.rss;
	if (len < RTE_ETHER_HDR_LEN)
		return 0;
	for (; off + 2 <= len; off += 4) {
		memcpy(&type, p + off, sizeof(type));
		if (type != rte_cpu_to_be_16(RTE_ETHER_TYPE_VLAN) &&
			type != rte_cpu_to_be_16(RTE_ETHER_TYPE_QINQ))
			break;
	}
	if (type == rte_cpu_to_be_16(RTE_ETHER_TYPE_IPV4))
		return hash_ip4(p, len, off + 2);
	if (type == rte_cpu_to_be_16(RTE_ETHER_TYPE_IPV6))
		return hash_ip6(p, len, off + 2);
	memcpy(words, p, 12);
	return rte_jhash_32b(words, RTE_DIM(words), HASH_SEED ^ type);
}

/** Sort a burst by pair: begin[i] to begin[i + 1] go to the i-th that the queue serves. */
static void
sort(struct rte_mbuf **pkts, struct rte_mbuf **sorted, uint16_t nb, uint32_t lanes, uint16_t *begin)
{
	uint16_t fill[VBUS_VENET_PAIRS_MAX];
	uint8_t lane[VENET_BURST];
	uint32_t i;

	memset(begin, 0, (lanes + 1) * sizeof(begin[0]));
	for (i = 0; i < nb; i++) {
		/* The high bits: a mask or a remainder may have made what came before of the low ones. */
		lane[i] = (uint8_t)((uint64_t)flow_of(pkts[i]) * lanes >> 32);
		begin[lane[i] + 1]++;
	}
	for (i = 0; i < lanes; i++) {
		fill[i] = begin[i];
		begin[i + 1] = (uint16_t)(begin[i + 1] + begin[i]);
	}
	for (i = 0; i < nb; i++)
		sorted[fill[lane[i]]++] = pkts[i];
}

/** Each frame to the pair of its flow, of those that the queue serves. What is not taken is at the end. */
static uint16_t
tx_spread(struct vbus_venet *v, uint16_t queue, const struct venet_path *p, struct rte_mbuf **pkts,
	uint16_t nb)
{
	const uint32_t step = p->tx_step;
	const uint32_t lanes = (p->nb_pairs - queue + step - 1) / step;
	struct rte_mbuf *sorted[VENET_BURST];
	uint16_t begin[VBUS_VENET_PAIRS_MAX + 1];
	uint16_t done = 0, left = 0;
	uint32_t i;

	sort(pkts, sorted, nb, lanes, begin);
	for (i = 0; i < lanes; i++) {
		struct venet_txq *q = &v->pair[queue + i * step].tx;
		const uint16_t n = (uint16_t)(begin[i + 1] - begin[i]);
		uint16_t sent = 0;

		if (n == 0)
			continue;
		p = atomic_load_explicit(&q->path, memory_order_acquire); /* V1 */
		if (likely(p != NULL))
			sent = p->tx_burst(q, p, &sorted[begin[i]], n);
		/* Room at the front of sorted[] for what stays: it is behind us already. */
		memmove(&sorted[left], &sorted[begin[i] + sent], (n - sent) * sizeof(sorted[0]));
		left = (uint16_t)(left + n - sent);
		done = (uint16_t)(done + sent);
	}
	memcpy(pkts + done, sorted, left * sizeof(pkts[0]));
	return done;
}

uint16_t
venet_tx_several(struct vbus_venet *v, uint16_t queue, const struct venet_path *p,
	struct rte_mbuf **pkts, uint16_t nb)
{
	struct venet_txq *q = &v->pair[p->tx_pair].tx;
	uint16_t done = 0;

	if (!p->tx_shared)
		return tx_spread(v, queue, p, pkts, nb);
	rte_spinlock_lock(&q->lock);
	p = atomic_load_explicit(&q->path, memory_order_acquire); /* V1 */
	if (likely(p != NULL))
		done = p->tx_burst(q, p, pkts, nb);
	rte_spinlock_unlock(&q->lock);
	return done;
}
