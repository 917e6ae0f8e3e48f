/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */
#ifndef VBUS_OFFLOAD_H
#define VBUS_OFFLOAD_H

/**
 * @file
 * Offload requests: between mbuf flags and venet_sg fields, and their completion in software for
 * who cannot take them (doc/abi.md section 5). Used by both ends of the PMD and by the venet class.
 *
 * Lengths in a venet_sg are the peer's words: headers are parsed, never believed. Lengths in an
 * mbuf's TX fields are the application's; they are checked against the frame.
 *
 * Any thread; the mbufs belong to the caller. Nothing here waits, nothing takes memory but from the
 * pools that are given.
 */

#include <stdbool.h>
#include <stdint.h>

#include <rte_mbuf.h>

/** A local, checked form of a venet_sg's offload fields. */
struct vbus_offload {
	uint32_t flags; /**< VENET_SG_FLAG_* */
	uint16_t csum_start, csum_offset;
	uint8_t gso_type;
	uint16_t gso_hdrlen, gso_size;
};

/** TX flags that ask for work on a frame: without any of them there is nothing to do. */
#define VBUS_OFFLOAD_TX_FLAGS                                                     \
	(RTE_MBUF_F_TX_IP_CKSUM | RTE_MBUF_F_TX_L4_MASK | RTE_MBUF_F_TX_TCP_SEG | \
		RTE_MBUF_F_TX_UDP_SEG | RTE_MBUF_F_TX_OUTER_IP_CKSUM |            \
		RTE_MBUF_F_TX_OUTER_UDP_CKSUM | RTE_MBUF_F_TX_TUNNEL_MASK)

/* ---- headers ----------------------------------------------------------------------------------- */

/** Longest headers (Ethernet to TCP, with tags, options and extension headers) that are handled. */
#define VBUS_HDR_MAX 256u

/** Where the headers of a frame are. */
struct vbus_hdr {
	uint16_t l2_len;  /**< Ethernet with up to two tags */
	uint16_t l3_len;  /**< IPv4 with options, IPv6 with extension headers; 0: neither */
	uint16_t l4_len;  /**< TCP with options, UDP; 0: neither (or a fragment) */
	uint8_t l4_proto; /**< 6, 17; 0: neither */
	bool v6;
	bool vlan;
	bool frag; /**< a fragment: there is no L4 header to work on */
};

/**
 * Parse Ethernet, tags, IPv4 or IPv6, TCP or UDP in @p len bytes of a frame's beginning.
 * @return 0 (look at l3_len and l4_len for how far it went), -EINVAL: a header is cut or malformed.
 */
int vbus_hdr_parse(const uint8_t *p, uint32_t len, struct vbus_hdr *h);

/** Internet checksum over [off, off + len) of a chain, not inverted. @p len must lie in the frame. */
uint16_t vbus_mbuf_sum(const struct rte_mbuf *m, uint32_t off, uint32_t len);

/* ---- transmit: mbuf flags to venet_sg ---------------------------------------------------------- */

/** 16 bits to put into a copy of the frame. */
struct vbus_offload_patch {
	uint32_t off; /**< from the frame's first byte; off + 2 <= frame length */
	uint16_t val; /**< as it lies in memory */
};

/** What a frame with TX flags becomes. The frame itself is not touched: it may be shared. */
struct vbus_offload_plan {
	struct vbus_offload o; /**< for the venet_sg; flags 0 when everything is in the patches */
	struct vbus_hdr hdr;   /**< as the mbuf says, checked; with TSO only */
	uint32_t nb_patches;
	struct vbus_offload_patch patch[2];
};

/**
 * What an mbuf's TX flags ask for, without touching the frame.
 *
 * @param need_csum  true: the receiver completes L4 checksums (and segments), the frame gets the
 *                   pseudo-header's sum as the ABI (and virtio) wants it; false: the complete L4
 *                   checksum goes into the patches (not for TSO frames: segment those)
 * @return 0; -EINVAL: the lengths do not fit the frame; -ENOTSUP: tunnels, SCTP, UDP segmentation
 */
int vbus_offload_plan_tx(const struct rte_mbuf *m, bool need_csum, struct vbus_offload_plan *plan);

/**
 * What an mbuf's TX flags ask for, as venet_sg fields. The pseudo-header checksum is put into the
 * frame as the ABI (and virtio) wants it, an IPv4 header checksum is completed.
 * @return 0 (nothing asked: flags 0); -EINVAL, -ENOTSUP as vbus_offload_plan_tx(); -EROFS: the
 *         headers are shared with another mbuf and would have to change
 */
int vbus_offload_from_tx(struct rte_mbuf *m, struct vbus_offload *o);

/** Complete checksums that TX flags ask for (not TSO), flags cleared. Errors as above. */
int vbus_offload_finish_tx_csum(struct rte_mbuf *m);

/* ---- receive: venet_sg to mbuf flags ----------------------------------------------------------- */

/**
 * What a received frame carries, as mbuf RX flags (L4_CKSUM_NONE, RX_LRO + tso_segsz, l2/l3/l4_len,
 * packet_type). Parses the headers.
 * @return 0; -EINVAL: the request does not fit the frame (drop and count)
 */
int vbus_offload_to_rx(struct rte_mbuf *m, const struct vbus_offload *o);

/**
 * Turn the RX flags of vbus_offload_to_rx() into TX flags, for a program that forwards frames with
 * them unfinished. Frames without such flags are left alone.
 */
void vbus_offload_rx_to_tx(struct rte_mbuf *m);

/**
 * Fill in the L4 checksum at csum_start + csum_offset in software; the field holds the
 * pseudo-header's sum. The frame must be the caller's own. @return 0, -EINVAL: outside the frame.
 */
int vbus_offload_finish_csum(struct rte_mbuf *m, uint16_t csum_start, uint16_t csum_offset);

/* ---- segmentation ------------------------------------------------------------------------------ */

/** A TCP frame being cut. Plain data: it can be put away and gone on with. */
struct vbus_gso {
	struct vbus_hdr h;
	uint16_t hdr_len;     /**< of every segment */
	uint16_t seg_size;    /**< payload of every segment but the last */
	uint32_t payload_len; /**< of the frame */
	uint32_t done;	      /**< payload given out */
	uint32_t seq;	      /**< of the frame */
	uint16_t ip_id;
	uint32_t psum; /**< pseudo-header without the length */
	uint8_t hdr[VBUS_HDR_MAX];
};

/**
 * Start to segment.
 *
 * @param hdr        beginning of the frame, @p hdr_avail bytes; copied
 * @param frame_len  of the whole frame, bytes
 * @param lens       where the headers are, or NULL: parse
 * @param seg_size   payload of a segment, 1 or more
 * @param v6         what the request said: the frame must agree
 * @return 0; -EINVAL: not such a TCP frame, no payload, or headers longer than VBUS_HDR_MAX
 */
int vbus_gso_start(struct vbus_gso *g, const uint8_t *hdr, uint32_t hdr_avail, uint32_t frame_len,
	const struct vbus_hdr *lens, uint16_t seg_size, bool v6);
/** Number of segments from the beginning. Slow path (divides). */
uint32_t vbus_gso_count(const struct vbus_gso *g);
/** All payload was given out. */
static inline bool
vbus_gso_done(const struct vbus_gso *g)
{
	return g->done == g->payload_len;
}
/** Payload of the next segment, bytes: it starts at frame offset hdr_len + done. */
static inline uint32_t
vbus_gso_next_len(const struct vbus_gso *g)
{
	uint32_t left = g->payload_len - g->done;

	return left < g->seg_size ? left : g->seg_size;
}
/**
 * Write the next segment's headers (hdr_len bytes) to @p dst and go on by vbus_gso_next_len().
 * @param payload_sum  vbus_mbuf_sum() or rte_raw_cksum() over the segment's payload
 */
void vbus_gso_emit(struct vbus_gso *g, uint8_t *dst, uint16_t payload_sum);

/**
 * Segment a TSO frame (TX flags, or RX_LRO with tso_segsz) into frames of at most @p mtu + l2_len
 * with complete checksums.
 *
 * @param pool           for headers (and payload without @p indirect_pool)
 * @param indirect_pool  for references to the payload of @p m, or NULL: copy it
 * @return number of segments in @p out; -EINVAL: does not parse; -ENOSPC: more than @p nb_out;
 *         -ENOMEM: a pool is empty. The input is consumed on success only.
 */
int vbus_offload_segment(struct rte_mbuf *m, uint16_t mtu, struct rte_mempool *pool,
	struct rte_mempool *indirect_pool, struct rte_mbuf **out, uint16_t nb_out);

#endif /* VBUS_OFFLOAD_H */
