/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */
#ifndef VBUS_BLOCK_H
#define VBUS_BLOCK_H

/**
 * @file
 * The block class, south end (doc/abi.md section 10): checked requests for a back end that polls.
 *
 * One thread polls all queues. It takes a request, does its I/O on memory of its own and copies: so
 * north's memory can go at any time, and I/O that is under way never touches it. A request that
 * was taken is completed once, whatever has become of north meanwhile. What a process before this one
 * had taken and not completed is taken again (ADR-0016).
 */

#include <stdbool.h>
#include <stdint.h>

#include <vbus/block.h>

struct vbus_block;
struct vbus_device;

#define VBUS_BLOCK_SEGS_MAX  64u
#define VBUS_BLOCK_BYTES_MAX 262144u /**< of a READ or WRITE */

/** Arguments of vbus_device_create(name, "block", &args). */
struct vbus_block_args {
	uint64_t capacity;    /**< bytes, a multiple of sector_size */
	uint32_t sector_size; /**< 512 or 4096 */
	uint32_t features;    /**< VBLOCK_F_* */
	uint32_t nb_queues;   /**< 1 .. VBLOCK_QUEUES_MAX */
	uint32_t discard_align;
	/** Which storage it is. A successor with another one is another disk for north (ADR-0016). */
	uint64_t identity;
};

/** A back end: called by the control side, control lock held. */
struct vbus_block_user {
	/** When it returns, no polled function runs that began before: vbus_mark_wait(). */
	void (*quiesce)(void *arg);
	/** North signalled, started or stopped: let the polling thread look. It may be asleep. */
	void (*wake)(void *arg);
	void *arg;
};

/** The disk behind a device, NULL when it is of another class. Any thread. */
struct vbus_block *vbus_block_of(struct vbus_device *dev);
/** Bind the polling side; NULL: unbind, returns after a last quiesce. Control lock held. @return 0, -EBUSY */
int vbus_block_bind(struct vbus_block *b, const struct vbus_block_user *user);
/** Another capacity; north is told. Control lock held, never inside the mark. @return 0, -EINVAL */
int vbus_block_resize(struct vbus_block *b, uint64_t capacity);
/** Bytes. Any thread. */
uint64_t vbus_block_capacity(const struct vbus_block *b);
/** The polling thread found what cannot be answered (vbus_block_broken()): fault it. Control lock held. */
void vbus_block_fault(struct vbus_block *b);

/* ---- polled by one thread, inside what quiesce() waits for --------------------------------------- */

/** A request, checked. The back end's memory; to be kept until it is completed. */
struct vbus_block_req {
	uint64_t offset; /**< bytes; within the capacity as it was */
	uint64_t len;	 /**< bytes, 0: FLUSH */
	uint32_t op;	 /**< VBLOCK_OP_* */
	uint32_t flags;	 /**< VBLOCK_REQ_* */
	/* the class's */
	uint32_t tag;
	uint32_t queue;
	uint32_t session;
	uint32_t note; /* in the log of what is under way */
	uint32_t nb_segs;
	struct vblock_seg seg[VBUS_BLOCK_SEGS_MAX];
};

/** Take the next request, from any queue. What is wrong is completed here. @return true: *req is it */
bool vbus_block_take(struct vbus_block *b, struct vbus_block_req *req);
/** The data of a WRITE, all of it. @return 0; -EFAULT: complete it with VBLOCK_STATUS_INVALID */
int vbus_block_copy_in(struct vbus_block *b, const struct vbus_block_req *req, void *dst);
/** The data of a READ, all of it. @return likewise; 0 also when north is gone */
int vbus_block_copy_out(struct vbus_block *b, const struct vbus_block_req *req, const void *src);
/**
 * @param status  VBLOCK_STATUS_*
 * @return false: not now (north's memory is away for a moment): try again. Copy a READ's data again too.
 */
bool vbus_block_complete(struct vbus_block *b, const struct vbus_block_req *req, uint32_t status);
/** End of a batch: signal what was completed. */
void vbus_block_signal(struct vbus_block *b);
/** Can north be reached now? */
bool vbus_block_up(const struct vbus_block *b);
/** Ask for wake-ups. @return true: there is a request already */
bool vbus_block_arm(struct vbus_block *b);
void vbus_block_disarm(struct vbus_block *b);
/** Call vbus_block_fault() outside of the mark, with the control lock. */
bool vbus_block_broken(const struct vbus_block *b);

/** X(field, "name"): one writer, the polling thread. */
#define VBUS_BLOCK_STATS(X)                 \
	X(reads, "read_requests")           \
	X(read_bytes, "read_bytes")         \
	X(writes, "write_requests")         \
	X(write_bytes, "write_bytes")       \
	X(flushes, "flush_requests")        \
	X(discards, "discard_requests")     \
	X(zeroes, "write_zeroes_requests")  \
	X(completed, "completed_requests")  \
	X(errors, "failed_requests")        \
	X(refused, "refused_requests")      \
	X(lost, "requests_of_a_north_gone") \
	X(held, "completions_held_back")
#define VBUS_BLOCK_FIELD(field, name) uint64_t field;
struct vbus_block_stats {
	VBUS_BLOCK_STATS(VBUS_BLOCK_FIELD)
};
/** Any thread. */
void vbus_block_stats(const struct vbus_block *b, struct vbus_block_stats *st);

#endif /* VBUS_BLOCK_H */
