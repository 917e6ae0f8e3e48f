/* SPDX-License-Identifier: GPL-2.0-only */
/* Copyright(c) 2026 vbus developers */
#ifndef VBLK_BLOCK_H
#define VBLK_BLOCK_H

/*
 * The block device of a vbus (doc/abi.md sections 8 and 10) as a disk.
 *
 *     main      driver of the bus, the disk, resizing, recovery and the end
 *     session   a session with the device: open, CONFIG, share, START, and back
 *     queue     requests to south, completions back, timeouts
 *
 * Contexts. A queue's rings and slots are under its lock, which is taken with interrupts off:
 * completions are read in the notifier of their ring's signal, in hard interrupt context. Sessions
 * change in process context, one at a time under the disk's mutex, with the queues quiesced.
 *
 * A request's blk-mq tag is its tag on the wire, its place in the pool and its slot. While the slot
 * names it, it is south's: whoever takes it out of there, under the lock, ends it or issues it
 * again.
 *
 * Trust. South writes completions. A tag is looked up and must be out, a status is mapped by a
 * table, what has to be unmapped is never read back from shared memory. A south that breaks the
 * rules loses the session; its requests are issued again in the next one.
 */

#include <linux/blk-mq.h>
#include <linux/mutex.h>
#include <linux/scatterlist.h>
#include <linux/spinlock.h>
#include <linux/workqueue.h>

#include <vbus/block.h>

#include "../vbus/vbus_drv.h"
#include "compat.h"

#define VBLK_DEPTH_MIN	  4
#define VBLK_DEPTH_DFLT	  128
#define VBLK_DEPTH_MAX	  1024
#define VBLK_SEGS_MAX	 128	  /* of one request, whatever south would take */
#define VBLK_TIMEOUT	  (30 * HZ)
#define VBLK_REOPENED_MAX 3	  /* then a request fails */
#define VBLK_LOOK_AGAIN	  (HZ / 10)

/* What blk-mq keeps behind a request. */
struct vblk_rq {
	struct sg_table sgt; /* mapped as long as nents is not 0 */
	blk_status_t status;
	u8 timeouts; /* since it was issued */
	u8 reopened; /* times that it was issued again */
	struct scatterlist sg[];
};

struct vblk_queue {
	struct vblk *blk;
	u32 index;
	spinlock_t lock; /* rings, slots and what follows; interrupts off */
	bool live;	 /* rings are there */
	bool broken;
	struct vbus_ioq req, done;
	void *pool; /* a place per tag; shared anew by each session */
	dma_addr_t pool_dma;
	struct request **slot; /* per tag: what is out */
	u32 nb_out;
};

enum vblk_state {
	VBLK_UP,
	VBLK_DEAD, /* the device is gone, or does not come back: everything fails */
};

/* CONFIG, checked. */
struct vblk_config {
	u64 capacity; /* bytes */
	u32 sector_size;
	u32 features;
	u32 nb_queues;
	u32 depth; /* entries of a ring, requests of a queue */
	u32 max_segs;
	u32 max_bytes;
	u64 max_discard;
	u32 discard_align;
	u32 opt_bytes;
};

struct vblk {
	struct vbus_device *vdev;
	struct gendisk *disk;
	struct blk_mq_tag_set set;
	int number;
	enum vblk_state state; /* changes while the queues are quiesced */
	bool removing;	       /* no resizing any more; mutex */
	struct mutex mutex;    /* sessions */
	struct vblk_config cfg;
	u32 slot_size; /* bytes of a request's place in a pool */
	struct vbus_shm *shared; /* state block; NULL: no session */
	struct delayed_work look; /* at it */
	struct work_struct recover;
	struct vblk_queue *queue;
};

static inline struct device *vblk_dma_dev(const struct vblk *blk)
{
	return blk->vdev->dma_dev;
}

/* session; process context, under the mutex or before there is a disk */
int vblk_session_config(struct vblk *blk, struct vblk_config *cfg);
int vblk_session_up(struct vblk *blk);
void vblk_session_down(struct vblk *blk);
bool vblk_session_is_gone(struct vblk *blk);
int vblk_session_state(struct vblk *blk, u64 *capacity, u32 *flags);

/* queue */
extern const struct blk_mq_ops vblk_mq_ops;
void vblk_queue_notify(struct vbus_signal *sig);
void vblk_queue_take_back(struct vblk_queue *q, bool again);
bool vblk_queue_is_stuck(struct vblk_queue *q);

#endif /* VBLK_BLOCK_H */
