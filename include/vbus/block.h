/* SPDX-License-Identifier: (GPL-2.0-only WITH Linux-syscall-note) OR BSD-3-Clause */
/* Copyright(c) 2026 vbus developers */
#ifndef VBUS_ABI_BLOCK_H
#define VBUS_ABI_BLOCK_H

#include "shm_signal.h"
#include "types.h"

/*
 * block: disks. doc/abi.md section 10.
 */

#define VBLOCK_TYPE    "virtual-block"
#define VBLOCK_VERSION 1U

/** Shared blocks: one state block, and three for each queue. */
#define VBLOCK_BLOCK_STATE   0U		     /* struct vblock_state */
#define VBLOCK_BLOCK_REQ(q)  (1U + 3U * (q)) /* transmit ring of requests */
#define VBLOCK_BLOCK_DONE(q) (2U + 3U * (q)) /* receive ring of completions */
#define VBLOCK_BLOCK_POOL(q) (3U + 3U * (q)) /* the requests themselves */
#define VBLOCK_QUEUES_MAX    16U

/** Functions (DEVCALL). */
#define VBLOCK_FUNC_CONFIG 0U /* struct vblock_config out */
#define VBLOCK_FUNC_START  1U /* struct vblock_start in */
#define VBLOCK_FUNC_STOP   2U

/** vblock_config.features, vblock_south.flags */
#define VBLOCK_F_READONLY     (1U << 0)
#define VBLOCK_F_FLUSH	      (1U << 1)
#define VBLOCK_F_FUA	      (1U << 2)
#define VBLOCK_F_DISCARD      (1U << 3)
#define VBLOCK_F_WRITE_ZEROES (1U << 4)

/** vblock_south.flags */
#define VBLOCK_S_GONE (1U << 31) /* the device was dropped: nothing is completed any more */

/** CONFIG: what the disk is. */
struct vblock_config {
	vbus_le64 capacity;	 /* bytes, a multiple of the sector size */
	vbus_le32 sector_size;	 /* 512 or 4096 */
	vbus_le32 features;	 /* VBLOCK_F_* */
	vbus_le32 nb_queues;	 /* most queues, 1 to VBLOCK_QUEUES_MAX */
	vbus_le32 ring_max;	 /* most entries of a ring */
	vbus_le32 max_segs;	 /* of one request */
	vbus_le32 max_bytes;	 /* of one READ or WRITE, a multiple of the sector size */
	vbus_le64 max_discard;	 /* bytes of one DISCARD or WRITE_ZEROES */
	vbus_le32 discard_align; /* bytes: what a discard frees comes in multiples of it */
	vbus_le32 opt_bytes;	 /* best size of a request, 0: not known */
	uint8_t pad[16];
};

VBUS_ASSERT_SIZE(struct vblock_config, 64);
VBUS_ASSERT_OFFSET(struct vblock_config, capacity, 0);
VBUS_ASSERT_OFFSET(struct vblock_config, sector_size, 8);
VBUS_ASSERT_OFFSET(struct vblock_config, features, 12);
VBUS_ASSERT_OFFSET(struct vblock_config, nb_queues, 16);
VBUS_ASSERT_OFFSET(struct vblock_config, ring_max, 20);
VBUS_ASSERT_OFFSET(struct vblock_config, max_segs, 24);
VBUS_ASSERT_OFFSET(struct vblock_config, max_bytes, 28);
VBUS_ASSERT_OFFSET(struct vblock_config, max_discard, 32);
VBUS_ASSERT_OFFSET(struct vblock_config, discard_align, 40);
VBUS_ASSERT_OFFSET(struct vblock_config, opt_bytes, 44);
VBUS_ASSERT_OFFSET(struct vblock_config, pad, 48);

/** START: queues 0 to nb_queues - 1 are used. */
struct vblock_start {
	vbus_le32 nb_queues;
	vbus_le32 flags; /* 0 */
};

VBUS_ASSERT_SIZE(struct vblock_start, 8);
VBUS_ASSERT_OFFSET(struct vblock_start, nb_queues, 0);
VBUS_ASSERT_OFFSET(struct vblock_start, flags, 4);

/** vblock_req.op */
#define VBLOCK_OP_READ	       0U
#define VBLOCK_OP_WRITE	       1U
#define VBLOCK_OP_FLUSH	       2U
#define VBLOCK_OP_DISCARD      3U
#define VBLOCK_OP_WRITE_ZEROES 4U

/** vblock_req.flags */
#define VBLOCK_REQ_FUA	 (1U << 0) /* WRITE, WRITE_ZEROES: durable when completed */
#define VBLOCK_REQ_UNMAP (1U << 1) /* WRITE_ZEROES: space may be freed */

/** A piece of north's memory. */
struct vblock_seg {
	vbus_le32 len;
	uint8_t pad[4];
	vbus_le64 ptr;
};

VBUS_ASSERT_SIZE(struct vblock_seg, 16);
VBUS_ASSERT_OFFSET(struct vblock_seg, len, 0);
VBUS_ASSERT_OFFSET(struct vblock_seg, pad, 4);
VBUS_ASSERT_OFFSET(struct vblock_seg, ptr, 8);

/** A request, in the queue's pool; `count` struct vblock_seg follow (READ, WRITE). */
struct vblock_req {
	vbus_le32 tag; /* north's number of the request, comes back in the completion */
	vbus_le16 op;
	vbus_le16 flags;
	vbus_le64 offset; /* bytes from the disk's start, a multiple of the sector size */
	vbus_le64 len;	  /* bytes, a multiple of the sector size; READ, WRITE: sum of the segs */
	vbus_le32 count;  /* of segs */
	uint8_t pad[4];
};

VBUS_ASSERT_SIZE(struct vblock_req, 32);
VBUS_ASSERT_OFFSET(struct vblock_req, tag, 0);
VBUS_ASSERT_OFFSET(struct vblock_req, op, 4);
VBUS_ASSERT_OFFSET(struct vblock_req, flags, 6);
VBUS_ASSERT_OFFSET(struct vblock_req, offset, 8);
VBUS_ASSERT_OFFSET(struct vblock_req, len, 16);
VBUS_ASSERT_OFFSET(struct vblock_req, count, 24);
VBUS_ASSERT_OFFSET(struct vblock_req, pad, 28);

/** Bytes of a request with this many segs. */
#define VBLOCK_REQ_SIZE(count) (32ULL + 16ULL * (count))

/** A completion is one number, the entry's len: the tag in the low half, the status in the high. */
#define VBLOCK_DONE(tag, status) ((unsigned long long)(status) << 32 | (tag))
#define VBLOCK_DONE_TAG_MASK	 0xffffffffULL
#define VBLOCK_DONE_STATUS_SHIFT 32

/** Status of a completion. */
#define VBLOCK_STATUS_OK	  0U
#define VBLOCK_STATUS_IOERR	  1U /* the medium, or whatever has no number of its own */
#define VBLOCK_STATUS_NOSPC	  2U /* the host's storage is full */
#define VBLOCK_STATUS_UNSUPPORTED 3U /* an op or flag that CONFIG does not offer */
#define VBLOCK_STATUS_INVALID	  4U /* the request is malformed, or its memory is not north's */
#define VBLOCK_STATUS_READONLY	  5U
#define VBLOCK_STATUS_RANGE	  6U /* beyond the capacity */

/** South's line of the state block. */
struct vblock_south {
	vbus_le32 seq;	    /* odd while south writes, section 8.3 */
	vbus_le32 flags;    /* VBLOCK_F_READONLY, VBLOCK_S_GONE */
	vbus_le64 capacity; /* bytes */
	uint8_t pad[48];
};

VBUS_ASSERT_SIZE(struct vblock_south, 64);
VBUS_ASSERT_OFFSET(struct vblock_south, seq, 0);
VBUS_ASSERT_OFFSET(struct vblock_south, flags, 4);
VBUS_ASSERT_OFFSET(struct vblock_south, capacity, 8);
VBUS_ASSERT_OFFSET(struct vblock_south, pad, 16);

/** The state block. */
struct vblock_state {
	struct shm_signal_desc signal;
	uint8_t pad[48];
	struct vblock_south south;
};

VBUS_ASSERT_SIZE(struct vblock_state, 128);
VBUS_ASSERT_OFFSET(struct vblock_state, signal, 0);
VBUS_ASSERT_OFFSET(struct vblock_state, pad, 16);
VBUS_ASSERT_OFFSET(struct vblock_state, south, 64);

#endif /* VBUS_ABI_BLOCK_H */
