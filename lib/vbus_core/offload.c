/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * Offload requests: headers, checksums, mbuf flags to and from venet_sg fields. Segmentation is
 * in offload_gso.c.
 *
 * Runs on whatever thread handles the frame, mostly an lcore; keeps no state. On transmit a frame
 * may be shared with another owner (a clone that was flooded to several ports), so a request
 * becomes a plan: what to say in the venet_sg and which few bytes of the receiver's copy differ
 * from the frame. Only vbus_offload_from_tx() writes into the frame, for a frontend that posts its
 * own mbufs, and refuses shared ones.
 */

#include "vbus_offload.h"

#include <errno.h>
#include <string.h>

#include <rte_byteorder.h>
#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_mbuf_ptype.h>
#include <rte_tcp.h>
#include <rte_udp.h>

#include <vbus/venet.h>

#define PROTO_TCP	 6
#define PROTO_UDP	 17
#define PROTO_HOPOPTS	 0
#define PROTO_ROUTING	 43
#define PROTO_FRAGMENT	 44
#define PROTO_DSTOPTS	 60
#define TCP_CSUM_OFFSET	 16
#define UDP_CSUM_OFFSET	 6
#define TCP_FLAG_CWR	 0x80
#define VLAN_TAGS_MAX	 2
#define IP6_EXT_MAX	 8
#define IPV4_FRAG_FIELDS 0x3fff /* more fragments, and the offset */

static inline uint16_t
be16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static inline uint16_t
fold(uint32_t sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

/* ---- headers ----------------------------------------------------------------------------------- */

static int
parse_l4(const uint8_t *p, uint32_t len, uint32_t off, uint8_t proto, struct vbus_hdr *h)
{
	uint32_t l4_len;

	if (h->frag)
		return 0;
	if (proto == PROTO_TCP) {
		if (len < off + sizeof(struct rte_tcp_hdr))
			return -EINVAL;
		l4_len = (uint32_t)(p[off + 12] >> 4) * 4;
		if (l4_len < sizeof(struct rte_tcp_hdr) || len < off + l4_len)
			return -EINVAL;
	} else if (proto == PROTO_UDP) {
		l4_len = sizeof(struct rte_udp_hdr);
		if (len < off + l4_len)
			return -EINVAL;
	} else {
		return 0;
	}
	h->l4_proto = proto;
	h->l4_len = (uint16_t)l4_len;
	return 0;
}

static int
parse_ip4(const uint8_t *p, uint32_t len, uint32_t off, struct vbus_hdr *h)
{
	uint32_t ihl;

	if (len < off + sizeof(struct rte_ipv4_hdr) || p[off] >> 4 != 4)
		return -EINVAL;
	ihl = (uint32_t)(p[off] & 0xf) * 4;
	if (ihl < sizeof(struct rte_ipv4_hdr) || len < off + ihl)
		return -EINVAL;
	h->l3_len = (uint16_t)ihl;
	h->frag = (be16(p + off + 6) & IPV4_FRAG_FIELDS) != 0;
	return parse_l4(p, len, off + ihl, p[off + 9], h);
}

static int
parse_ip6(const uint8_t *p, uint32_t len, uint32_t off, struct vbus_hdr *h)
{
	uint32_t at = off + sizeof(struct rte_ipv6_hdr);
	uint8_t proto;
	unsigned int i;

	if (len < at || p[off] >> 4 != 6)
		return -EINVAL;
	proto = p[off + 6];
	for (i = 0; i < IP6_EXT_MAX; i++) {
		if (proto == PROTO_FRAGMENT) {
			h->frag = true;
			break;
		}
		if (proto != PROTO_HOPOPTS && proto != PROTO_ROUTING && proto != PROTO_DSTOPTS)
			break;
		if (len < at + 8)
			return -EINVAL;
		proto = p[at];
		at += ((uint32_t)p[at + 1] + 1) * 8;
		if (len < at)
			return -EINVAL;
	}
	h->v6 = true;
	h->l3_len = (uint16_t)(at - off);
	return parse_l4(p, len, at, proto, h);
}

int
vbus_hdr_parse(const uint8_t *p, uint32_t len, struct vbus_hdr *h)
{
	uint32_t off = 12;
	uint16_t type;
	unsigned int i;

	memset(h, 0, sizeof(*h));
	/* Headers end within VBUS_HDR_MAX, so 16 bits hold every length below. */
	len = RTE_MIN(len, VBUS_HDR_MAX);
	for (i = 0;; i++) {
		if (len < off + 2)
			return -EINVAL;
		type = be16(p + off);
		off += 2;
		if (type != RTE_ETHER_TYPE_VLAN && type != RTE_ETHER_TYPE_QINQ)
			break;
		if (i == VLAN_TAGS_MAX)
			return -EINVAL;
		h->vlan = true;
		off += 2;
	}
	h->l2_len = (uint16_t)off;
	if (type == RTE_ETHER_TYPE_IPV4)
		return parse_ip4(p, len, off, h);
	if (type == RTE_ETHER_TYPE_IPV6)
		return parse_ip6(p, len, off, h);
	return 0;
}

/* ---- checksums --------------------------------------------------------------------------------- */

uint16_t
vbus_mbuf_sum(const struct rte_mbuf *m, uint32_t off, uint32_t len)
{
	uint32_t sum = 0;
	uint32_t done = 0;

	for (; m != NULL && done < len; m = m->next) {
		uint32_t n;
		uint16_t part;

		if (off >= m->data_len) {
			off -= m->data_len;
			continue;
		}
		n = RTE_MIN(m->data_len - off, len - done);
		part = rte_raw_cksum(rte_pktmbuf_mtod_offset(m, const void *, off), n);
		/* A piece that begins at an odd place has its bytes in the other halves. */
		if (done & 1)
			part = rte_bswap16(part);
		sum = (uint32_t)fold(sum + part);
		done += n;
		off = 0;
	}
	return (uint16_t)sum;
}

/** Sum of the pseudo-header without the length, from the L3 header on. */
static uint32_t
pseudo_sum(const uint8_t *l3, bool v6, uint8_t proto)
{
	uint32_t sum = v6 ? rte_raw_cksum(l3 + 8, 32) : rte_raw_cksum(l3 + 12, 8);

	return sum + rte_cpu_to_be_16(proto);
}

static uint32_t
pseudo_len(uint32_t l4_total)
{
	return (uint32_t)rte_cpu_to_be_16((uint16_t)l4_total) +
	       rte_cpu_to_be_16((uint16_t)(l4_total >> 16));
}

/** Write one byte of a chain. The place lies in the frame. */
static void
put_byte(struct rte_mbuf *m, uint32_t off, uint8_t val)
{
	for (; m != NULL; m = m->next) {
		if (off < m->data_len) {
			*rte_pktmbuf_mtod_offset(m, uint8_t *, off) = val;
			return;
		}
		off -= m->data_len;
	}
}

static void
put_word(struct rte_mbuf *m, uint32_t off, uint16_t val)
{
	uint8_t b[2];

	memcpy(b, &val, 2);
	put_byte(m, off, b[0]);
	put_byte(m, off + 1, b[1]);
}

int
vbus_offload_finish_csum(struct rte_mbuf *m, uint16_t csum_start, uint16_t csum_offset)
{
	uint32_t at = (uint32_t)csum_start + csum_offset;
	uint16_t sum;

	if (at + 2 > m->pkt_len)
		return -EINVAL;
	/* The field is part of the sum: it holds the pseudo-header's. */
	sum = (uint16_t)~vbus_mbuf_sum(m, csum_start, m->pkt_len - csum_start);
	put_word(m, at, sum == 0 ? 0xffff : sum); /* 0 would say "none" in UDP */
	return 0;
}

/* ---- transmit ---------------------------------------------------------------------------------- */

/** Are the application's lengths plausible for this frame? @p p: hdr->l2 + l3 + l4 bytes. */
static int
check_tx_headers(const uint8_t *p, const struct vbus_hdr *h)
{
	const uint8_t *l3 = p + h->l2_len;

	if (h->v6)
		return l3[0] >> 4 == 6 ? 0 : -EINVAL;
	if (l3[0] >> 4 != 4 || (l3[0] & 0xf) * 4 != h->l3_len)
		return -EINVAL;
	return 0;
}

/** Lengths out of the mbuf, checked against the frame. */
static int
read_tx_headers(const struct rte_mbuf *m, uint8_t *buf, const uint8_t **p, struct vbus_hdr *h)
{
	uint64_t l4 = m->ol_flags & RTE_MBUF_F_TX_L4_MASK;
	uint32_t need;

	memset(h, 0, sizeof(*h));
	h->v6 = (m->ol_flags & RTE_MBUF_F_TX_IPV6) != 0;
	h->l2_len = m->l2_len;
	h->l3_len = m->l3_len;
	if (m->ol_flags & RTE_MBUF_F_TX_TCP_SEG) {
		h->l4_proto = PROTO_TCP;
		h->l4_len = m->l4_len;
		if (h->l4_len < sizeof(struct rte_tcp_hdr))
			return -EINVAL;
	} else if (l4 == RTE_MBUF_F_TX_TCP_CKSUM) {
		h->l4_proto = PROTO_TCP;
		h->l4_len = sizeof(struct rte_tcp_hdr);
	} else if (l4 == RTE_MBUF_F_TX_UDP_CKSUM) {
		h->l4_proto = PROTO_UDP;
		h->l4_len = sizeof(struct rte_udp_hdr);
	} else if (l4 != 0) {
		return -ENOTSUP;
	}
	if (h->l2_len < RTE_ETHER_HDR_LEN ||
		h->l3_len < (h->v6 ? sizeof(struct rte_ipv6_hdr) : sizeof(struct rte_ipv4_hdr)))
		return -EINVAL;
	need = (uint32_t)h->l2_len + h->l3_len + h->l4_len;
	if (need > VBUS_HDR_MAX || need > m->pkt_len)
		return -EINVAL;
	*p = rte_pktmbuf_read(m, 0, need, buf);
	if (*p == NULL)
		return -EINVAL;
	return check_tx_headers(*p, h);
}

static void
add_patch(struct vbus_offload_plan *plan, uint32_t off, uint16_t val)
{
	plan->patch[plan->nb_patches].off = off;
	plan->patch[plan->nb_patches].val = val;
	plan->nb_patches++;
}

static void
plan_ip_csum(struct vbus_offload_plan *plan, const uint8_t *p, const struct vbus_hdr *h)
{
	const uint8_t *l3 = p + h->l2_len;
	/* Around the field itself, which may hold anything. */
	uint32_t sum = (uint32_t)rte_raw_cksum(l3, 10) + rte_raw_cksum(l3 + 12, h->l3_len - 12u);

	add_patch(plan, h->l2_len + 10u, (uint16_t)~fold(sum));
}

/** Bytes from the L4 header to the end of the IP packet: padding does not count. */
static uint32_t
l4_total(const struct rte_mbuf *m, const uint8_t *p, const struct vbus_hdr *h)
{
	const uint8_t *l3 = p + h->l2_len;
	uint32_t all = m->pkt_len - h->l2_len - h->l3_len;
	uint32_t ip = h->v6 ? be16(l3 + 4) + (uint32_t)sizeof(struct rte_ipv6_hdr) : be16(l3 + 2);

	if (ip < (uint32_t)h->l3_len + h->l4_len || ip - h->l3_len > all)
		return all;
	return ip - h->l3_len;
}

static void
plan_l4_csum(struct vbus_offload_plan *plan, const struct rte_mbuf *m, const uint8_t *p,
	const struct vbus_hdr *h, bool need_csum)
{
	bool tso = (plan->o.flags & VENET_SG_FLAG_GSO) != 0;
	uint32_t start = (uint32_t)h->l2_len + h->l3_len;
	uint32_t off = h->l4_proto == PROTO_TCP ? TCP_CSUM_OFFSET : UDP_CSUM_OFFSET;
	uint32_t total = tso ? m->pkt_len - start : l4_total(m, p, h);
	uint32_t sum = pseudo_sum(p + h->l2_len, h->v6, h->l4_proto) + pseudo_len(total);
	uint16_t csum;

	if (need_csum) {
		plan->o.flags |= VENET_SG_FLAG_NEEDS_CSUM;
		plan->o.csum_start = (uint16_t)start;
		plan->o.csum_offset = (uint16_t)off;
		add_patch(plan, start + off, fold(sum));
		return;
	}
	/* Around the field, as above; it lies at an even place. */
	sum += vbus_mbuf_sum(m, start, off);
	sum += vbus_mbuf_sum(m, start + off + 2, total - off - 2);
	csum = (uint16_t)~fold(sum);
	add_patch(plan, start + off, csum == 0 ? 0xffff : csum);
}

int
vbus_offload_plan_tx(const struct rte_mbuf *m, bool need_csum, struct vbus_offload_plan *plan)
{
	uint8_t buf[VBUS_HDR_MAX];
	const uint8_t *p = NULL;
	struct vbus_hdr *h = &plan->hdr;
	int ret;

	memset(plan, 0, offsetof(struct vbus_offload_plan, patch));
	if (!(m->ol_flags & VBUS_OFFLOAD_TX_FLAGS))
		return 0;
	if (m->ol_flags & (RTE_MBUF_F_TX_TUNNEL_MASK | RTE_MBUF_F_TX_OUTER_IP_CKSUM |
				  RTE_MBUF_F_TX_OUTER_UDP_CKSUM | RTE_MBUF_F_TX_UDP_SEG))
		return -ENOTSUP;
	ret = read_tx_headers(m, buf, &p, h);
	if (ret < 0)
		return ret;

	if (m->ol_flags & RTE_MBUF_F_TX_TCP_SEG) {
		uint32_t hdr_len = (uint32_t)h->l2_len + h->l3_len + h->l4_len;

		if (m->tso_segsz == 0)
			return -EINVAL;
		/* What fits one segment needs no segmentation, only its checksum. */
		if (m->pkt_len - hdr_len > m->tso_segsz) {
			plan->o.flags = VENET_SG_FLAG_GSO;
			if (p[h->l2_len + h->l3_len + 13] & TCP_FLAG_CWR)
				plan->o.flags |= VENET_SG_FLAG_ECN;
			plan->o.gso_type = h->v6 ? VENET_GSO_TYPE_TCPV6 : VENET_GSO_TYPE_TCPV4;
			plan->o.gso_hdrlen = (uint16_t)hdr_len;
			plan->o.gso_size = m->tso_segsz;
		}
	}
	if (m->ol_flags & RTE_MBUF_F_TX_IP_CKSUM && !h->v6)
		plan_ip_csum(plan, p, h);
	if (h->l4_proto != 0 && (need_csum || !(plan->o.flags & VENET_SG_FLAG_GSO)))
		plan_l4_csum(plan, m, p, h, need_csum);
	return 0;
}

/** May the bytes [0, off + 2) of the frame be written? */
static bool
headers_writable(const struct rte_mbuf *m, uint32_t end)
{
	for (; m != NULL; m = m->next) {
		if (!RTE_MBUF_DIRECT(m) || rte_mbuf_refcnt_read(m) != 1)
			return false;
		if (end <= m->data_len)
			return true;
		end -= m->data_len;
	}
	return false;
}

static int
apply_plan(struct rte_mbuf *m, const struct vbus_offload_plan *plan)
{
	uint32_t i;

	for (i = 0; i < plan->nb_patches; i++)
		if (!headers_writable(m, plan->patch[i].off + 2))
			return -EROFS;
	for (i = 0; i < plan->nb_patches; i++)
		put_word(m, plan->patch[i].off, plan->patch[i].val);
	return 0;
}

int
vbus_offload_from_tx(struct rte_mbuf *m, struct vbus_offload *o)
{
	struct vbus_offload_plan plan;
	int ret = vbus_offload_plan_tx(m, true, &plan);

	if (ret < 0)
		return ret;
	*o = plan.o;
	return apply_plan(m, &plan);
}

int
vbus_offload_finish_tx_csum(struct rte_mbuf *m)
{
	struct vbus_offload_plan plan;
	int ret = vbus_offload_plan_tx(m, false, &plan);

	if (ret < 0)
		return ret;
	if (plan.o.flags & VENET_SG_FLAG_GSO)
		return -EINVAL;
	ret = apply_plan(m, &plan);
	if (ret < 0)
		return ret;
	m->ol_flags &= ~(uint64_t)VBUS_OFFLOAD_TX_FLAGS;
	return 0;
}

/* ---- receive ----------------------------------------------------------------------------------- */

static void
set_rx_headers(struct rte_mbuf *m, const struct vbus_hdr *h)
{
	m->l2_len = h->l2_len;
	m->l3_len = h->l3_len;
	m->l4_len = h->l4_len;
	m->packet_type = h->vlan ? RTE_PTYPE_L2_ETHER_VLAN : RTE_PTYPE_L2_ETHER;
	m->packet_type |= h->v6 ? RTE_PTYPE_L3_IPV6_EXT_UNKNOWN : RTE_PTYPE_L3_IPV4_EXT_UNKNOWN;
	m->packet_type |= h->l4_proto == PROTO_TCP ? RTE_PTYPE_L4_TCP : RTE_PTYPE_L4_UDP;
}

int
vbus_offload_to_rx(struct rte_mbuf *m, const struct vbus_offload *o)
{
	uint8_t buf[VBUS_HDR_MAX];
	uint32_t avail = RTE_MIN(m->pkt_len, (uint32_t)sizeof(buf));
	const uint8_t *p = rte_pktmbuf_read(m, 0, avail, buf);
	struct vbus_hdr h;
	bool known;

	if (!(o->flags & (VENET_SG_FLAG_NEEDS_CSUM | VENET_SG_FLAG_GSO)))
		return 0;
	if ((uint32_t)o->csum_start + o->csum_offset + 2 > m->pkt_len || p == NULL)
		return -EINVAL;
	known = vbus_hdr_parse(p, avail, &h) == 0 && h.l4_proto != 0 &&
		o->csum_start == h.l2_len + h.l3_len &&
		o->csum_offset == (h.l4_proto == PROTO_TCP ? TCP_CSUM_OFFSET : UDP_CSUM_OFFSET);

	if (o->flags & VENET_SG_FLAG_GSO) {
		uint8_t type = h.v6 ? VENET_GSO_TYPE_TCPV6 : VENET_GSO_TYPE_TCPV4;
		uint32_t hdr_len;

		if (!known || h.l4_proto != PROTO_TCP || o->gso_type != type || o->gso_size == 0 ||
			!(o->flags & VENET_SG_FLAG_NEEDS_CSUM))
			return -EINVAL;
		hdr_len = (uint32_t)h.l2_len + h.l3_len + h.l4_len;
		if (m->pkt_len - hdr_len > o->gso_size) {
			m->ol_flags |= RTE_MBUF_F_RX_LRO;
			m->tso_segsz = o->gso_size;
		}
	} else if (!known) {
		/* A checksum that mbuf flags cannot name (inside a tunnel, say). */
		return vbus_offload_finish_csum(m, o->csum_start, o->csum_offset);
	}
	set_rx_headers(m, &h);
	m->ol_flags |= RTE_MBUF_F_RX_L4_CKSUM_NONE;
	return 0;
}

void
vbus_offload_rx_to_tx(struct rte_mbuf *m)
{
	uint64_t flags = m->ol_flags;
	bool lro = (flags & RTE_MBUF_F_RX_LRO) != 0;

	if ((flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) != RTE_MBUF_F_RX_L4_CKSUM_NONE && !lro)
		return;
	flags &= ~(uint64_t)(RTE_MBUF_F_RX_L4_CKSUM_MASK | RTE_MBUF_F_RX_LRO);
	if (RTE_ETH_IS_IPV4_HDR(m->packet_type))
		flags |= RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM;
	else
		flags |= RTE_MBUF_F_TX_IPV6;
	if ((m->packet_type & RTE_PTYPE_L4_MASK) == RTE_PTYPE_L4_TCP)
		flags |= RTE_MBUF_F_TX_TCP_CKSUM;
	else
		flags |= RTE_MBUF_F_TX_UDP_CKSUM;
	if (lro)
		flags |= RTE_MBUF_F_TX_TCP_SEG;
	m->ol_flags = flags;
}
