/* SPDX-License-Identifier: (GPL-2.0-only WITH Linux-syscall-note) OR BSD-3-Clause */
/* Copyright(c) 2026 vbus developers */
#ifndef VBUS_ABI_VENET_H
#define VBUS_ABI_VENET_H

#include "types.h"

/*
 * venet: the Ethernet device. doc/abi.md section 5.
 */

#define VENET_TYPE    "virtual-ethernet"
#define VENET_VERSION 1U

/** Shared blocks with fixed numbers; the others' numbers are asked for. */
#define VENET_QUEUE_RX 0U /* south to north */
#define VENET_QUEUE_TX 1U /* north to south */

/** Functions (DEVCALL). */
#define VENET_FUNC_LINKUP    0U
#define VENET_FUNC_LINKDOWN  1U
#define VENET_FUNC_MACQUERY  2U
#define VENET_FUNC_NEGCAP    3U
#define VENET_FUNC_FLUSHRX   4U
#define VENET_FUNC_PMTDQUERY 5U
#define VENET_FUNC_EVQQUERY  6U
#define VENET_FUNC_L4ROQUERY 7U

#define VENET_MAC_LEN 6U

/** Capability groups. 0 to 2 are those of version 2; new ones are numbered from 16. */
#define VENET_CAP_GROUP_SG     0U
#define VENET_CAP_GROUP_EVENTQ 1U
#define VENET_CAP_GROUP_L4RO   2U
#define VENET_CAP_GROUP_FIRST  16U

/** Groups SG and L4RO. Without bit 0 the others mean nothing. */
#define VENET_CAP_SG   (1U << 0)
#define VENET_CAP_TSO4 (1U << 1)
#define VENET_CAP_TSO6 (1U << 2)
#define VENET_CAP_ECN  (1U << 3)
#define VENET_CAP_UFO  (1U << 4)
#define VENET_CAP_PMTD (1U << 5) /* group SG only: transmit descriptors live in a shared pool */

/** Group EVENTQ. */
#define VENET_CAP_EVQ_LINKSTATE (1U << 0)
#define VENET_CAP_EVQ_TXC	(1U << 1)

/** NEGCAP: south answers with the subset that it grants. */
struct venet_capabilities {
	vbus_le32 gid;
	vbus_le32 bits;
};

VBUS_ASSERT_SIZE(struct venet_capabilities, 8);
VBUS_ASSERT_OFFSET(struct venet_capabilities, gid, 0);
VBUS_ASSERT_OFFSET(struct venet_capabilities, bits, 4);

/** EVQQUERY: south fills in the last three. */
struct venet_eventq_query {
	vbus_le32 flags;
	vbus_le32 evsize; /* of the largest event */
	vbus_le32 dpid;	  /* block id of the event pool */
	vbus_le32 qid;	  /* block id of the event ring */
	uint8_t pad[16];
};

VBUS_ASSERT_SIZE(struct venet_eventq_query, 32);
VBUS_ASSERT_OFFSET(struct venet_eventq_query, flags, 0);
VBUS_ASSERT_OFFSET(struct venet_eventq_query, evsize, 4);
VBUS_ASSERT_OFFSET(struct venet_eventq_query, dpid, 8);
VBUS_ASSERT_OFFSET(struct venet_eventq_query, qid, 12);
VBUS_ASSERT_OFFSET(struct venet_eventq_query, pad, 16);

/** L4ROQUERY: south fills in the ids. */
struct venet_l4ro_query {
	vbus_le32 flags;
	vbus_le32 dpid; /* block id of the pool of receive sg descriptors */
	vbus_le32 pqid; /* block id of the page ring */
	uint8_t pad[20];
};

VBUS_ASSERT_SIZE(struct venet_l4ro_query, 32);
VBUS_ASSERT_OFFSET(struct venet_l4ro_query, flags, 0);
VBUS_ASSERT_OFFSET(struct venet_l4ro_query, dpid, 4);
VBUS_ASSERT_OFFSET(struct venet_l4ro_query, pqid, 8);
VBUS_ASSERT_OFFSET(struct venet_l4ro_query, pad, 12);

/** Flags of a scatter-gather descriptor. */
#define VENET_SG_FLAG_NEEDS_CSUM (1U << 0)
#define VENET_SG_FLAG_GSO	 (1U << 1)
#define VENET_SG_FLAG_ECN	 (1U << 2)

/** gso.type. */
#define VENET_GSO_TYPE_TCPV4 0U
#define VENET_GSO_TYPE_UDP   1U
#define VENET_GSO_TYPE_TCPV6 2U

/** Largest frame (with GSO): without and with a VLAN tag. */
#define VENET_FRAME_MAX	     (65535U + 14U)
#define VENET_FRAME_MAX_VLAN (65535U + 14U + 4U)

/** Distance of the slots in a pool of sg descriptors; a descriptor may reach into the next. */
#define VENET_POOL_SLOT_SIZE 304U

/** One fragment. */
struct venet_iov {
	vbus_le32 len;
	uint8_t pad[4];
	vbus_le64 ptr;
};

VBUS_ASSERT_SIZE(struct venet_iov, 16);
VBUS_ASSERT_OFFSET(struct venet_iov, len, 0);
VBUS_ASSERT_OFFSET(struct venet_iov, pad, 4);
VBUS_ASSERT_OFFSET(struct venet_iov, ptr, 8);

/** The checksum that the receiver of the descriptor has to finish. */
struct venet_csum {
	vbus_le16 start;  /* from the first byte of the frame */
	vbus_le16 offset; /* from start */
};

VBUS_ASSERT_SIZE(struct venet_csum, 4);
VBUS_ASSERT_OFFSET(struct venet_csum, start, 0);
VBUS_ASSERT_OFFSET(struct venet_csum, offset, 2);

/** The segmentation that the receiver of the descriptor has to do. */
struct venet_gso {
	uint8_t type;
	uint8_t pad;
	vbus_le16 hdrlen; /* the sender's linear length, not the headers' */
	vbus_le16 size;
};

VBUS_ASSERT_SIZE(struct venet_gso, 6);
VBUS_ASSERT_OFFSET(struct venet_gso, type, 0);
VBUS_ASSERT_OFFSET(struct venet_gso, pad, 1);
VBUS_ASSERT_OFFSET(struct venet_gso, hdrlen, 2);
VBUS_ASSERT_OFFSET(struct venet_gso, size, 4);

/** Head of a scatter-gather descriptor; `count` struct venet_iov follow. */
struct venet_sg {
	vbus_le64 cookie;
	vbus_le32 flags;
	vbus_le32 len; /* sum of the iovs */
	struct venet_csum csum;
	struct venet_gso gso;
	uint8_t pad[2];
	vbus_le32 count;
};

VBUS_ASSERT_SIZE(struct venet_sg, 32);
VBUS_ASSERT_OFFSET(struct venet_sg, cookie, 0);
VBUS_ASSERT_OFFSET(struct venet_sg, flags, 8);
VBUS_ASSERT_OFFSET(struct venet_sg, len, 12);
VBUS_ASSERT_OFFSET(struct venet_sg, csum, 16);
VBUS_ASSERT_OFFSET(struct venet_sg, gso, 20);
VBUS_ASSERT_OFFSET(struct venet_sg, pad, 26);
VBUS_ASSERT_OFFSET(struct venet_sg, count, 28);

#define VENET_SG_IOV_OFFSET 32U

/** Bytes of a descriptor with this many iovs, the least that `desc.len` says. */
#define VENET_SG_SIZE(count) (32ULL + 16ULL * (count))

VBUS_STATIC_ASSERT(VENET_SG_SIZE(1) == 48, "ABI: size of an sg descriptor with one iov");
VBUS_STATIC_ASSERT(VENET_SG_SIZE(17) == VENET_POOL_SLOT_SIZE, "ABI: 17 iovs fit a pool's slot");

/** Events of the device. */
#define VENET_EVENT_LINKSTATE 0U
#define VENET_EVENT_TXC	      1U
#define VENET_EVENT_SIZE_MAX  24U /* `evsize` of EVQQUERY */

struct venet_event_header {
	vbus_le32 flags;
	vbus_le32 size; /* of the whole event */
	vbus_le32 id;
};

VBUS_ASSERT_SIZE(struct venet_event_header, 12);
VBUS_ASSERT_OFFSET(struct venet_event_header, flags, 0);
VBUS_ASSERT_OFFSET(struct venet_event_header, size, 4);
VBUS_ASSERT_OFFSET(struct venet_event_header, id, 8);

/** LINKSTATE: the carrier, 1 = up. */
struct venet_event_linkstate {
	struct venet_event_header header;
	uint8_t state;
	uint8_t pad[3];
};

VBUS_ASSERT_SIZE(struct venet_event_linkstate, 16);
VBUS_ASSERT_OFFSET(struct venet_event_linkstate, header, 0);
VBUS_ASSERT_OFFSET(struct venet_event_linkstate, state, 12);
VBUS_ASSERT_OFFSET(struct venet_event_linkstate, pad, 13);

/** TXC: south no longer needs the buffer with this cookie. */
struct venet_event_txc {
	struct venet_event_header header;
	vbus_le32 txqid;
	vbus_le64 cookie;
};

VBUS_ASSERT_SIZE(struct venet_event_txc, 24);
VBUS_ASSERT_OFFSET(struct venet_event_txc, header, 0);
VBUS_ASSERT_OFFSET(struct venet_event_txc, txqid, 12);
VBUS_ASSERT_OFFSET(struct venet_event_txc, cookie, 16);

#endif /* VBUS_ABI_VENET_H */
