/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/* Frames with headers, and checksums by rte_net: the reference for what lib/vbus_core computes. */

#include "rig.h"

#include <string.h>

#include <rte_byteorder.h>
#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_tcp.h>
#include <rte_udp.h>

static uint32_t
build_l2(uint8_t *p, const struct rig_tcp *t)
{
	uint16_t type = rte_cpu_to_be_16(t->v6 ? RTE_ETHER_TYPE_IPV6 : RTE_ETHER_TYPE_IPV4);
	uint16_t tag[2] = {rte_cpu_to_be_16(RTE_ETHER_TYPE_VLAN), rte_cpu_to_be_16(42)};

	rig_fill(p, 12, t->seed);
	p[0] &= 0xfe;
	if (!t->vlan) {
		memcpy(p + 12, &type, 2);
		return 14;
	}
	memcpy(p + 12, tag, 4);
	memcpy(p + 16, &type, 2);
	return 18;
}

static void
build_l3(uint8_t *p, const struct rig_tcp *t, uint32_t l4_total)
{
	struct rte_ipv4_hdr ip4 = {.version_ihl = 0x45,
		.total_length = rte_cpu_to_be_16((uint16_t)(20 + l4_total)),
		.packet_id = rte_cpu_to_be_16(0xfff0),
		.time_to_live = 64,
		.next_proto_id = t->udp ? 17 : 6,
		.src_addr = rte_cpu_to_be_32(0x0a000001 + t->seed),
		.dst_addr = rte_cpu_to_be_32(0x0a00ff02)};
	struct rte_ipv6_hdr ip6 = {.vtc_flow = rte_cpu_to_be_32(0x60000000),
		.payload_len = rte_cpu_to_be_16((uint16_t)l4_total),
		.proto = t->udp ? 17 : 6,
		.hop_limits = 64};

	if (!t->v6) {
		memcpy(p, &ip4, sizeof(ip4));
		return;
	}
	memcpy(p, &ip6, sizeof(ip6));
	rig_fill(p + 8, 32, t->seed + 7);
}

uint32_t
rig_build(uint8_t *p, const struct rig_tcp *t, struct vbus_hdr *h)
{
	uint32_t l4_len = t->udp ? 8 : 20u + t->opt_len;
	uint8_t *l4;

	memset(h, 0, sizeof(*h));
	h->l2_len = (uint16_t)build_l2(p, t);
	h->l3_len = t->v6 ? 40 : 20;
	h->l4_len = (uint16_t)l4_len;
	h->l4_proto = t->udp ? 17 : 6;
	h->v6 = t->v6;
	h->vlan = t->vlan;
	build_l3(p + h->l2_len, t, l4_len + t->payload);
	l4 = p + h->l2_len + h->l3_len;
	memset(l4, 0, l4_len);
	rig_fill(l4, 4, t->seed + 1); /* ports */
	if (t->udp) {
		uint16_t dlen = rte_cpu_to_be_16((uint16_t)(8 + t->payload));

		memcpy(l4 + 4, &dlen, 2);
	} else {
		rig_fill(l4 + 4, 8, t->seed + 2); /* sequence, acknowledgement */
		l4[12] = (uint8_t)(l4_len / 4 << 4);
		l4[13] = t->tcp_flags;
		rig_fill(l4 + 20, t->opt_len, t->seed + 3);
	}
	rig_fill(l4 + l4_len, t->payload, t->seed + 4);
	return h->l2_len + h->l3_len + l4_len + t->payload;
}

bool
rig_csum_ok(const uint8_t *p, uint32_t len)
{
	struct vbus_hdr h;
	const void *l4;

	if (vbus_hdr_parse(p, len, &h) != 0 || h.l4_proto == 0)
		return false;
	l4 = p + h.l2_len + h.l3_len;
	if (h.v6)
		return rte_ipv6_udptcp_cksum_verify(
			       (const struct rte_ipv6_hdr *)(p + h.l2_len), l4) == 0;
	return rte_raw_cksum(p + h.l2_len, h.l3_len) == 0xffff &&
	       rte_ipv4_udptcp_cksum_verify((const struct rte_ipv4_hdr *)(p + h.l2_len), l4) == 0;
}

void
rig_put_pseudo(uint8_t *p, uint32_t len, const struct vbus_hdr *h)
{
	const uint8_t *l3 = p + h->l2_len;
	uint32_t at = (uint32_t)h->l2_len + h->l3_len;
	uint32_t total = len - at;
	uint32_t sum;
	uint16_t field;

	/* By hand: the frame may be longer than the headers' 16 bits can say. */
	sum = h->v6 ? rte_raw_cksum(l3 + 8, 32) : rte_raw_cksum(l3 + 12, 8);
	sum += rte_cpu_to_be_16(h->l4_proto);
	sum += rte_cpu_to_be_16((uint16_t)total) + rte_cpu_to_be_16((uint16_t)(total >> 16));
	sum = (sum & 0xffff) + (sum >> 16);
	field = (uint16_t)((sum & 0xffff) + (sum >> 16));
	memcpy(p + at + (h->l4_proto == 6 ? 16 : 6), &field, 2);
}

void
rig_put_csums(uint8_t *p, const struct vbus_hdr *h)
{
	uint8_t *l3 = p + h->l2_len;
	uint8_t *field = l3 + h->l3_len + (h->l4_proto == 6 ? 16 : 6);
	uint16_t sum;

	memset(field, 0, 2);
	if (h->v6) {
		sum = rte_ipv6_udptcp_cksum((const struct rte_ipv6_hdr *)l3, l3 + h->l3_len);
	} else {
		memset(l3 + 10, 0, 2);
		sum = rte_ipv4_cksum((const struct rte_ipv4_hdr *)l3);
		memcpy(l3 + 10, &sum, 2);
		sum = rte_ipv4_udptcp_cksum((const struct rte_ipv4_hdr *)l3, l3 + h->l3_len);
	}
	memcpy(field, &sum, 2);
}
