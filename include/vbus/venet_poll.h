/* SPDX-License-Identifier: (GPL-2.0-only WITH Linux-syscall-note) OR BSD-3-Clause */
/* Copyright(c) 2026 vbus developers */
#ifndef VBUS_ABI_VENET_POLL_H
#define VBUS_ABI_VENET_POLL_H

#include "shm_signal.h"
#include "types.h"

/*
 * venet: the ring for pollers, in place of the ioqs of blocks 0 and 1. doc/abi.md section 12.
 */

/** Capability group and its bits. Bits 2 and 3 are kept for what is named in section 12. */
#define VENET_CAP_GROUP_POLL  16U
#define VENET_CAP_POLL_RING   (1U << 0)
#define VENET_CAP_POLL_PAIRS  (1U << 1) /* section 12.6; only together with POLL_RING */
#define VENET_CAP_POLL_KEEP   (1U << 2) /* section 12.7; likewise, without PLACED */
#define VENET_CAP_POLL_PLACED (1U << 4) /* section 12.5; likewise */
#define VENET_CAP_POLL_NEWEST (1U << 5) /* section 12.8; likewise, without PLACED */

#define VENET_FUNC_POLLQUERY 8U

/** POLLQUERY: the blocks of a queue pair. */
struct venet_poll_query {
	vbus_le32 flags;     /* 0 */
	vbus_le32 queue;     /* from 0 */
	vbus_le32 rx_id;     /* out: block id of north's receive ring */
	vbus_le32 tx_id;     /* out: block id of north's transmit ring */
	vbus_le32 count_max; /* out: most entries of either */
	vbus_le32 pairs;     /* out: queue pairs that there are; 0 is 1 */
	uint8_t pad[8];
};

VBUS_ASSERT_SIZE(struct venet_poll_query, 32);
VBUS_ASSERT_OFFSET(struct venet_poll_query, flags, 0);
VBUS_ASSERT_OFFSET(struct venet_poll_query, queue, 4);
VBUS_ASSERT_OFFSET(struct venet_poll_query, rx_id, 8);
VBUS_ASSERT_OFFSET(struct venet_poll_query, tx_id, 12);
VBUS_ASSERT_OFFSET(struct venet_poll_query, count_max, 16);
VBUS_ASSERT_OFFSET(struct venet_poll_query, pairs, 20);
VBUS_ASSERT_OFFSET(struct venet_poll_query, pad, 24);

#define VENET_POLL_MAGIC     0x6c6f5076U
#define VENET_POLL_VER	     1U
#define VENET_POLL_RX	     0U /* `kind`: north's receive ring */
#define VENET_POLL_TX	     1U /* north's transmit ring */
#define VENET_POLL_COUNT_MIN 16U
#define VENET_POLL_COUNT_MAX 32768U

/** Head of either ring. */
struct venet_poll_head {
	vbus_le32 magic;
	vbus_le32 ver;
	struct shm_signal_desc signal;
	vbus_le32 count; /* a power of two */
	vbus_le32 kind;
	vbus_le64 back; /* PLACED: north address of struct venet_poll_back; else 0 */
	vbus_le32 room; /* NEWEST, receive: bytes of every buffer; else 0 */
	uint8_t pad[20];
	/* south's line */
	vbus_le32 done; /* transmit: descriptors that south is done with, ever, modulo 2^32 */
	uint8_t pad2[60];
};

VBUS_ASSERT_SIZE(struct venet_poll_head, 128);
VBUS_ASSERT_OFFSET(struct venet_poll_head, magic, 0);
VBUS_ASSERT_OFFSET(struct venet_poll_head, ver, 4);
VBUS_ASSERT_OFFSET(struct venet_poll_head, signal, 8);
VBUS_ASSERT_OFFSET(struct venet_poll_head, count, 24);
VBUS_ASSERT_OFFSET(struct venet_poll_head, kind, 28);
VBUS_ASSERT_OFFSET(struct venet_poll_head, back, 32);
VBUS_ASSERT_OFFSET(struct venet_poll_head, room, 40);
VBUS_ASSERT_OFFSET(struct venet_poll_head, pad, 44);
VBUS_ASSERT_OFFSET(struct venet_poll_head, done, 64);
VBUS_ASSERT_OFFSET(struct venet_poll_head, pad2, 68);

#define VENET_POLL_SIGNAL_OFFSET 8U

/** Where the arrays begin: descriptors (u64, north's); receive also completions (u32) and requests
 *  (u64), south's.
 */
#define VENET_POLL_DESC_OFFSET	      128ULL
#define VENET_POLL_COMP_OFFSET(count) (128ULL + 8ULL * (count))
#define VENET_POLL_META_OFFSET(count) (128ULL + 12ULL * (count))
#define VENET_POLL_TX_SIZE(count)     (128ULL + 8ULL * (count))
#define VENET_POLL_RX_SIZE(count)     (128ULL + 20ULL * (count))

/** With KEEP the transmit block goes on: return ring (u32), kept marks (u8), south's. */
#define VENET_POLL_RET_OFFSET(count)   (128ULL + 8ULL * (count))
#define VENET_POLL_KEPT_OFFSET(count)  (128ULL + 12ULL * (count))
#define VENET_POLL_TX_KEEP_SIZE(count) (128ULL + 13ULL * (count))

/** With NEWEST the receive block goes on: south's store of buffers (u64). */
#define VENET_POLL_STORE_OFFSET(count)	 (128ULL + 20ULL * (count))
#define VENET_POLL_RX_NEWEST_SIZE(count) (128ULL + 28ULL * (count))

/** With PLACED: the area that south writes, at a multiple of 64. The block then ends behind the
 *  descriptors, and `done` of its head means nothing.
 */
struct venet_poll_back {
	struct shm_signal_desc signal; /* near north: section 12.5 */
	uint8_t pad[48];
	vbus_le32 done; /* transmit */
	uint8_t pad2[60];
};

VBUS_ASSERT_SIZE(struct venet_poll_back, 128);
VBUS_ASSERT_OFFSET(struct venet_poll_back, signal, 0);
VBUS_ASSERT_OFFSET(struct venet_poll_back, done, 64);

/** Receive: completions (u32), then requests (u64). */
#define VENET_POLL_BACK_COMP_OFFSET	   128ULL
#define VENET_POLL_BACK_META_OFFSET(count) (128ULL + 4ULL * (count))
#define VENET_POLL_BACK_TX_SIZE		   128ULL
#define VENET_POLL_BACK_RX_SIZE(count)	   (128ULL + 12ULL * (count))

VBUS_STATIC_ASSERT(VENET_POLL_COMP_OFFSET(VENET_POLL_COUNT_MIN) % 64 == 0, "ABI: lines");
VBUS_STATIC_ASSERT(VENET_POLL_META_OFFSET(VENET_POLL_COUNT_MIN) % 64 == 0, "ABI: lines");
VBUS_STATIC_ASSERT(VENET_POLL_STORE_OFFSET(VENET_POLL_COUNT_MIN) % 64 == 0, "ABI: lines");

/** A descriptor: address, length or room, flags. */
#define VENET_POLL_ADDR_MASK 0x0000ffffffffffffULL
#define VENET_POLL_LEN_SHIFT 48
#define VENET_POLL_LEN_MAX   0x3fffU
#define VENET_POLL_MORE	     (1ULL << 62) /* the frame goes on in the next descriptor */
#define VENET_POLL_PHASE     (1ULL << 63)
/** With NEWEST, receive: the buffer's number in place of its room and of MORE. */
#define VENET_POLL_ID_SHIFT 48
#define VENET_POLL_ID_MASK  0x7fffU

/** A completion of the receive ring. */
#define VENET_POLL_COMP_LEN   0x00003fffU
#define VENET_POLL_COMP_ID    0x1fffc000U /* NEWEST: the buffer's number */
#define VENET_POLL_COMP_META  (1U << 29)  /* `requests` of this entry counts */
#define VENET_POLL_COMP_MORE  (1U << 30)
#define VENET_POLL_COMP_PHASE (1U << 31)

#define VENET_POLL_COMP_ID_SHIFT 14

VBUS_STATIC_ASSERT(VENET_POLL_COUNT_MAX - 1 <= VENET_POLL_ID_MASK, "ABI: numbers");
VBUS_STATIC_ASSERT(
	VENET_POLL_ID_MASK << VENET_POLL_COMP_ID_SHIFT == VENET_POLL_COMP_ID, "ABI: numbers");

/** Requests of a frame: a descriptor of length 0 before it (the address), or a `requests` entry. */
#define VENET_POLL_META_CSUM_START_SHIFT  0  /* 16 bits */
#define VENET_POLL_META_GSO_SIZE_SHIFT	  16 /* 16 bits */
#define VENET_POLL_META_CSUM_OFFSET_SHIFT 32 /* 8 bits */
#define VENET_POLL_META_FLAGS_SHIFT	  40 /* 3 bits, VENET_SG_FLAG_* */
#define VENET_POLL_META_GSO_TYPE_SHIFT	  43 /* 2 bits, VENET_GSO_TYPE_* */

#endif /* VBUS_ABI_VENET_POLL_H */
