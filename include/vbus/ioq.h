/* SPDX-License-Identifier: (GPL-2.0-only WITH Linux-syscall-note) OR BSD-3-Clause */
/* Copyright(c) 2026 vbus developers */
#ifndef VBUS_ABI_IOQ_H
#define VBUS_ABI_IOQ_H

#include "shm_signal.h"
#include "types.h"

/*
 * ioq: the ring. A head, then `count` descriptors. doc/abi.md sections 3 and 4.
 */

#define IOQ_RING_MAGIC 0x47fa2fe4U
#define IOQ_RING_VER   4U

/** Which of the head's two indices. */
#define IOQ_IDX_VALID 0
#define IOQ_IDX_INUSE 1
#define IOQ_NUM_IDX   2

/** Values of a descriptor's `sown` byte, the one that a poller reads. */
#define IOQ_SOWN_NORTH 0
#define IOQ_SOWN_SOUTH 1

/** Every backend accepts rings of up to this many entries, or more. */
#define IOQ_RING_COUNT_ACCEPTED 2048U

/** One index: entries are pushed at the tail and popped at the head. */
struct ioq_ring_idx {
	vbus_le32 head;
	vbus_le32 tail;
	uint8_t full; /* counts only where head = tail */
	uint8_t pad[3];
};

VBUS_ASSERT_SIZE(struct ioq_ring_idx, 12);
VBUS_ASSERT_OFFSET(struct ioq_ring_idx, head, 0);
VBUS_ASSERT_OFFSET(struct ioq_ring_idx, tail, 4);
VBUS_ASSERT_OFFSET(struct ioq_ring_idx, full, 8);
VBUS_ASSERT_OFFSET(struct ioq_ring_idx, pad, 9);

/** One entry of the ring. */
struct ioq_ring_desc {
	vbus_le64 cookie; /* north's own */
	vbus_le64 ptr;	  /* an address in north's memory, or an offset into a pool */
	vbus_le64 len;
	uint8_t valid; /* north's bookkeeping: south never tests it */
	uint8_t sown;  /* IOQ_SOWN_SOUTH or IOQ_SOWN_NORTH */
	uint8_t pad[6];
};

VBUS_ASSERT_SIZE(struct ioq_ring_desc, 32);
VBUS_ASSERT_OFFSET(struct ioq_ring_desc, cookie, 0);
VBUS_ASSERT_OFFSET(struct ioq_ring_desc, ptr, 8);
VBUS_ASSERT_OFFSET(struct ioq_ring_desc, len, 16);
VBUS_ASSERT_OFFSET(struct ioq_ring_desc, valid, 24);
VBUS_ASSERT_OFFSET(struct ioq_ring_desc, sown, 25);
VBUS_ASSERT_OFFSET(struct ioq_ring_desc, pad, 26);

/** Head of a ring; the descriptors follow at IOQ_RING_DESC_OFFSET. */
struct ioq_ring_head {
	vbus_le32 magic;
	vbus_le32 ver;
	struct shm_signal_desc signal;
	struct ioq_ring_idx idx[IOQ_NUM_IDX];
	vbus_le32 count;
	uint8_t pad[4];
};

VBUS_ASSERT_SIZE(struct ioq_ring_head, 56);
VBUS_ASSERT_OFFSET(struct ioq_ring_head, magic, 0);
VBUS_ASSERT_OFFSET(struct ioq_ring_head, ver, 4);
VBUS_ASSERT_OFFSET(struct ioq_ring_head, signal, 8);
VBUS_ASSERT_OFFSET(struct ioq_ring_head, idx, 24);
VBUS_ASSERT_OFFSET(struct ioq_ring_head, idx[IOQ_IDX_INUSE], 36);
VBUS_ASSERT_OFFSET(struct ioq_ring_head, count, 48);
VBUS_ASSERT_OFFSET(struct ioq_ring_head, pad, 52);

#define IOQ_RING_DESC_OFFSET   56U
#define IOQ_RING_SIGNAL_OFFSET 8U

/** Bytes of a ring with this many entries. */
#define IOQ_RING_SIZE(count) (56ULL + 32ULL * (count))

VBUS_STATIC_ASSERT(IOQ_RING_SIZE(1024) == 32824, "ABI: size of a ring of 1024 entries");
VBUS_STATIC_ASSERT(IOQ_RING_SIZE(256) == 8248, "ABI: size of a ring of 256 entries");

#endif /* VBUS_ABI_IOQ_H */
