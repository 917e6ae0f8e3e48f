/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */
#ifndef VBUS_POLL_META_H
#define VBUS_POLL_META_H

/**
 * @file
 * Requests of a frame (checksum, segmentation) as the 48 bits that the ring for pollers has for them
 * (doc/abi.md section 12.3), for both ends and both directions. Any thread.
 */

#include <stdint.h>

#include <vbus/venet_poll.h>

#include "vbus_offload.h"

#define VBUS_POLL_META_FLAGS	7u
#define VBUS_POLL_META_GSO_TYPE 3u

static inline uint64_t
vbus_poll_meta_pack(const struct vbus_offload *o)
{
	return (uint64_t)o->csum_start << VENET_POLL_META_CSUM_START_SHIFT |
	       (uint64_t)o->gso_size << VENET_POLL_META_GSO_SIZE_SHIFT |
	       (uint64_t)(o->csum_offset & 0xff) << VENET_POLL_META_CSUM_OFFSET_SHIFT |
	       (uint64_t)(o->flags & VBUS_POLL_META_FLAGS) << VENET_POLL_META_FLAGS_SHIFT |
	       (uint64_t)(o->gso_type & VBUS_POLL_META_GSO_TYPE) << VENET_POLL_META_GSO_TYPE_SHIFT;
}

/** @param meta  the peer's word: any value has a meaning, none is believed further */
static inline struct vbus_offload
vbus_poll_meta_unpack(uint64_t meta)
{
	return (struct vbus_offload){
		.csum_start = (uint16_t)(meta >> VENET_POLL_META_CSUM_START_SHIFT),
		.gso_size = (uint16_t)(meta >> VENET_POLL_META_GSO_SIZE_SHIFT),
		.csum_offset = (uint8_t)(meta >> VENET_POLL_META_CSUM_OFFSET_SHIFT),
		.flags = (meta >> VENET_POLL_META_FLAGS_SHIFT) & VBUS_POLL_META_FLAGS,
		.gso_type = (meta >> VENET_POLL_META_GSO_TYPE_SHIFT) & VBUS_POLL_META_GSO_TYPE,
	};
}

#endif /* VBUS_POLL_META_H */
