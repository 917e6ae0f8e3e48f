/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * TCP segmentation in software, over IPv4 and IPv6. rte_gso (22.11) knows IPv4 only and wants
 * mbufs at both ends; here the caller moves the payload, so that the venet class cuts a frame while
 * it copies it between rings and mbufs, and touches each byte once.
 *
 * Runs on the thread that handles the frame. struct vbus_gso is plain data and owns nothing.
 */

#include "vbus_offload.h"

#include <errno.h>
#include <string.h>

#include <rte_byteorder.h>
#include <rte_ip.h>
#include <rte_tcp.h>

#include <vbus/venet.h>

#define PROTO_TCP    6
#define TCP_FLAG_FIN 0x01
#define TCP_FLAG_PSH 0x08
#define TCP_FLAG_CWR 0x80

static inline uint16_t
fold(uint32_t sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

static void
put_be16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static void
put_be32(uint8_t *p, uint32_t v)
{
	put_be16(p, v >> 16);
	put_be16(p + 2, v);
}

int
vbus_gso_start(struct vbus_gso *g, const uint8_t *hdr, uint32_t hdr_avail, uint32_t frame_len,
	const struct vbus_hdr *lens, uint16_t seg_size, bool v6)
{
	const uint8_t *l3;
	const uint8_t *l4;
	uint32_t hdr_len;
	uint32_t sum;
	int ret;

	if (lens != NULL) {
		g->h = *lens;
	} else {
		ret = vbus_hdr_parse(hdr, hdr_avail, &g->h);
		if (ret < 0)
			return ret;
	}
	if (g->h.l4_proto != PROTO_TCP || g->h.v6 != v6 || seg_size == 0)
		return -EINVAL;
	hdr_len = (uint32_t)g->h.l2_len + g->h.l3_len + g->h.l4_len;
	if (hdr_len > VBUS_HDR_MAX || hdr_len > hdr_avail || hdr_len >= frame_len)
		return -EINVAL;
	g->payload_len = frame_len - hdr_len;
	/* The length field of IP has 16 bits. */
	if ((uint32_t)g->h.l3_len + g->h.l4_len + RTE_MIN(g->payload_len, seg_size) > UINT16_MAX)
		return -EINVAL;
	g->hdr_len = (uint16_t)hdr_len;
	g->seg_size = seg_size;
	g->done = 0;
	memcpy(g->hdr, hdr, hdr_len);
	l3 = g->hdr + g->h.l2_len;
	l4 = l3 + g->h.l3_len;
	g->seq = (uint32_t)l4[4] << 24 | (uint32_t)l4[5] << 16 | (uint32_t)l4[6] << 8 | l4[7];
	g->ip_id = (uint16_t)(l3[4] << 8 | l3[5]);
	sum = v6 ? rte_raw_cksum(l3 + 8, 32) : rte_raw_cksum(l3 + 12, 8);
	g->psum = sum + rte_cpu_to_be_16(PROTO_TCP);
	return 0;
}

uint32_t
vbus_gso_count(const struct vbus_gso *g)
{
	return (g->payload_len + g->seg_size - 1) / g->seg_size;
}

/** IP lengths, the IPv4 id and header checksum. */
static void
emit_l3(struct vbus_gso *g, uint8_t *l3, uint32_t l4_total)
{
	uint16_t csum;

	if (g->h.v6) {
		put_be16(l3 + 4, g->h.l3_len - (uint32_t)sizeof(struct rte_ipv6_hdr) + l4_total);
		return;
	}
	put_be16(l3 + 2, g->h.l3_len + l4_total);
	put_be16(l3 + 4, g->ip_id);
	g->ip_id++;
	put_be16(l3 + 10, 0);
	csum = (uint16_t)~rte_raw_cksum(l3, g->h.l3_len);
	memcpy(l3 + 10, &csum, 2);
}

void
vbus_gso_emit(struct vbus_gso *g, uint8_t *dst, uint16_t payload_sum)
{
	uint32_t n = vbus_gso_next_len(g);
	uint32_t l4_total = g->h.l4_len + n;
	uint8_t *l3 = dst + g->h.l2_len;
	uint8_t *l4 = l3 + g->h.l3_len;
	uint32_t sum;
	uint16_t csum;

	memcpy(dst, g->hdr, g->hdr_len);
	emit_l3(g, l3, l4_total);
	put_be32(l4 + 4, g->seq + g->done);
	/* The end of the stream and "push" belong to the last, "window reduced" to the first. */
	if (g->done + n != g->payload_len)
		l4[13] &= (uint8_t) ~(TCP_FLAG_FIN | TCP_FLAG_PSH);
	if (g->done != 0)
		l4[13] &= (uint8_t)~TCP_FLAG_CWR;
	put_be16(l4 + 16, 0);
	sum = g->psum + rte_cpu_to_be_16((uint16_t)l4_total) + rte_raw_cksum(l4, g->h.l4_len);
	csum = (uint16_t)~fold(sum + payload_sum);
	memcpy(l4 + 16, &csum, 2);
	g->done += n;
}

/* ---- mbufs to mbufs ---------------------------------------------------------------------------- */

/** Copy [off, off + len) of a chain behind @p to, growing it by mbufs of @p pool. */
static int
append_copy(struct rte_mbuf *to, const struct rte_mbuf *from, uint32_t off, uint32_t len,
	struct rte_mempool *pool)
{
	struct rte_mbuf *last = rte_pktmbuf_lastseg(to);

	for (; from != NULL && len > 0; from = from->next) {
		if (off >= from->data_len) {
			off -= from->data_len;
			continue;
		}
		while (off < from->data_len && len > 0) {
			uint32_t n = RTE_MIN(from->data_len - off, len);

			if (rte_pktmbuf_tailroom(last) == 0) {
				last->next = rte_pktmbuf_alloc(pool);
				if (last->next == NULL)
					return -ENOMEM;
				last = last->next;
				to->nb_segs++;
			}
			n = RTE_MIN(n, rte_pktmbuf_tailroom(last));
			if (n == 0)
				return -ENOMEM; /* a pool without room */
			memcpy(rte_pktmbuf_mtod_offset(last, uint8_t *, last->data_len),
				rte_pktmbuf_mtod_offset(from, const uint8_t *, off), n);
			last->data_len = (uint16_t)(last->data_len + n);
			to->pkt_len += n;
			off += n;
			len -= n;
		}
		off = 0;
	}
	return 0;
}

/** Reference [off, off + len) of a chain behind @p to. */
static int
append_refs(struct rte_mbuf *to, struct rte_mbuf *from, uint32_t off, uint32_t len,
	struct rte_mempool *pool)
{
	struct rte_mbuf *last = rte_pktmbuf_lastseg(to);

	for (; from != NULL && len > 0; from = from->next) {
		struct rte_mbuf *ref;
		uint32_t n;

		if (off >= from->data_len) {
			off -= from->data_len;
			continue;
		}
		n = RTE_MIN(from->data_len - off, len);
		ref = rte_pktmbuf_alloc(pool);
		if (ref == NULL)
			return -ENOMEM;
		rte_pktmbuf_attach(ref, from);
		ref->data_off = (uint16_t)(from->data_off + off);
		ref->data_len = (uint16_t)n;
		last->next = ref;
		last = ref;
		to->nb_segs++;
		to->pkt_len += n;
		len -= n;
		off = 0;
	}
	return 0;
}

static struct rte_mbuf *
next_segment(struct vbus_gso *g, struct rte_mbuf *m, struct rte_mempool *pool,
	struct rte_mempool *indirect_pool)
{
	struct rte_mbuf *s = rte_pktmbuf_alloc(pool);
	uint32_t off = (uint32_t)g->hdr_len + g->done;
	uint32_t n = vbus_gso_next_len(g);
	uint8_t *hdr;
	int ret;

	if (s == NULL)
		return NULL;
	hdr = (uint8_t *)rte_pktmbuf_append(s, g->hdr_len);
	if (hdr == NULL)
		goto err_free;
	ret = indirect_pool != NULL ? append_refs(s, m, off, n, indirect_pool)
				    : append_copy(s, m, off, n, pool);
	if (ret < 0)
		goto err_free;
	vbus_gso_emit(g, hdr, vbus_mbuf_sum(m, off, n));
	s->port = m->port;
	s->packet_type = m->packet_type;
	s->vlan_tci = m->vlan_tci;
	s->ol_flags |= m->ol_flags & (RTE_MBUF_F_TX_VLAN | RTE_MBUF_F_RX_VLAN);
	return s;

err_free:
	rte_pktmbuf_free(s);
	return NULL;
}

int
vbus_offload_segment(struct rte_mbuf *m, uint16_t mtu, struct rte_mempool *pool,
	struct rte_mempool *indirect_pool, struct rte_mbuf **out, uint16_t nb_out)
{
	uint8_t buf[VBUS_HDR_MAX];
	uint32_t avail = RTE_MIN(m->pkt_len, (uint32_t)sizeof(buf));
	const uint8_t *p = rte_pktmbuf_read(m, 0, avail, buf);
	uint32_t room;
	struct vbus_hdr h;
	struct vbus_gso g;
	uint16_t n = 0;

	if (!(m->ol_flags & (RTE_MBUF_F_TX_TCP_SEG | RTE_MBUF_F_RX_LRO)) || p == NULL)
		return -EINVAL;
	if (vbus_hdr_parse(p, avail, &h) < 0 ||
		vbus_gso_start(&g, p, avail, m->pkt_len, &h, m->tso_segsz, h.v6) < 0)
		return -EINVAL;
	room = (uint32_t)h.l3_len + h.l4_len;
	if (room >= mtu)
		return -EINVAL;
	g.seg_size = (uint16_t)RTE_MIN((uint32_t)g.seg_size, mtu - room);
	if (vbus_gso_count(&g) > nb_out)
		return -ENOSPC;
	while (!vbus_gso_done(&g)) {
		out[n] = next_segment(&g, m, pool, indirect_pool);
		if (out[n] == NULL) {
			rte_pktmbuf_free_bulk(out, n);
			return -ENOMEM;
		}
		n++;
	}
	rte_pktmbuf_free(m);
	return n;
}
