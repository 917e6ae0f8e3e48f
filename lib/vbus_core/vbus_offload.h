/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */
#ifndef VBUS_OFFLOAD_H
#define VBUS_OFFLOAD_H

/**
 * @file
 * Offload requests: between mbuf flags and venet_sg fields, and their completion in software with
 * rte_net and rte_gso for who cannot take them. Used by both ends of the PMD and by the venet class.
 * Lengths in a venet_sg are the peer's words: headers are parsed, never believed.
 */

#include <stdbool.h>
#include <stdint.h>

#include <rte_mbuf.h>

/** A local, checked form of a venet_sg's offload fields. */
struct vbus_offload {
	uint32_t flags;      /**< VENET_SG_FLAG_* */
	uint16_t csum_start, csum_offset;
	uint8_t gso_type;
	uint16_t gso_hdrlen, gso_size;
};

/** What an mbuf's TX flags ask for, as venet_sg fields. The pseudo-header checksum is put into the frame as
 *  the ABI (and virtio) wants it. @return 0 (nothing asked: flags 0), or -EINVAL: headers do not parse. */
int vbus_offload_from_tx(struct rte_mbuf *m, struct vbus_offload *o);
/** What a received frame carries, as mbuf RX flags (L4_CKSUM_NONE, RX_LRO + tso_segsz, l2/l3/l4_len, packet_type).
 *  Parses the headers. @return 0, -EINVAL: the request does not fit the frame (drop and count). */
int vbus_offload_to_rx(struct rte_mbuf *m, const struct vbus_offload *o);
/** Fill in the L4 checksum at csum_start/offset in software. @return 0, -EINVAL: outside the frame. */
int vbus_offload_finish_csum(struct rte_mbuf *m, uint16_t csum_start, uint16_t csum_offset);
/** Complete checksums that TX flags ask for (as rte_eth_tx_prepare + software would), flags cleared. */
int vbus_offload_finish_tx_csum(struct rte_mbuf *m);
/**
 * Segment a TSO frame (TX flags, or RX_LRO with tso_segsz) into frames of at most @p mtu + headers with complete
 * checksums. @param pool for headers, @param indirect_pool for payload references
 * @return number of segments in @p out, negative errno; the input is consumed on success only.
 */
int vbus_offload_segment(struct rte_mbuf *m, struct rte_mempool *pool, struct rte_mempool *indirect_pool,
	struct rte_mbuf **out, uint16_t nb_out);

#endif /* VBUS_OFFLOAD_H */
