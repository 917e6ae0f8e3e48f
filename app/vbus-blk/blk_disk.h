/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */
#ifndef BLK_DISK_H
#define BLK_DISK_H

/**
 * @file
 * A disk on the bus's driver API (doc/abi.md section 10): one queue, one thread, polled. The example of
 * a frontend for kinds that are no Ethernet.
 *
 * A request has a tag below the disk's depth, one segment, and the buffer of its tag.
 */

#include <stddef.h>
#include <stdint.h>

#include <vbus/block.h>

#include "bus_vbus_driver.h"
#include "vbus_ioq_north.h"
#include "vbus_signal.h"

#define DISK_DEPTH_MAX 256u

struct disk {
	struct rte_vbus_device *dev;
	struct vblock_config config;
	uint32_t depth, piece;
	uint8_t *data; /**< piece bytes for each tag, one behind the other */
	/* its own */
	struct rte_vbus_shm req_shm, done_shm, pool_shm;
	struct vbus_ioq_north req, done;
	struct vbus_signal req_sig;
	uint64_t req_cookies[DISK_DEPTH_MAX], done_cookies[DISK_DEPTH_MAX];
	uint8_t *pool;
};

/** The disk that the driver takes. Before EAL probes. */
void disk_want(const char *name);

/**
 * Open the disk that was wanted.
 * @param depth  requests under way, 1 to DISK_DEPTH_MAX and what the disk's rings take
 * @param piece  bytes of a request at most
 * @return 0; -ENODEV: it is not there; -EINVAL: not with such a depth or piece; -errno
 */
int disk_open(struct disk *d, uint32_t depth, uint32_t piece);
void disk_close(struct disk *d);

/** Hand a request over. Its tag has to be free. South sees it for sure after disk_kick(). */
void disk_push(struct disk *d, uint32_t tag, uint32_t op, uint64_t offset, uint64_t len);
/** End of a batch: wake south if it sleeps. */
void disk_kick(struct disk *d);
/**
 * A completion, if there is one.
 * @return 1: *tag is free again, *status is VBLOCK_STATUS_*; 0; -EPROTO: nonsense
 */
int disk_pop(struct disk *d, uint32_t *tag, uint32_t *status);
/** @return -errno for VBLOCK_STATUS_*, 0 for OK */
int disk_errno(uint32_t status);

#endif /* BLK_DISK_H */
