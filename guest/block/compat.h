/* SPDX-License-Identifier: GPL-2.0-only */
/* Copyright(c) 2026 vbus developers */
#ifndef VBLK_COMPAT_H
#define VBLK_COMPAT_H

/*
 * What differs in the block layer of the kernels 6.1 to 7.3: how a disk gets its limits, and a few
 * names. Nothing else of this driver tests LINUX_VERSION_CODE.
 */

#include <linux/blk-mq.h>
#include <linux/blkdev.h>
#include <linux/version.h>

/* What the queue of a disk can do. Sectors have 512 bytes here, whatever the disk's have. */
struct vblk_limits {
	u32 sector_size;
	u32 max_sectors;
	u32 max_segments;
	u32 max_segment_size;
	u32 io_opt;
	u32 max_discard;	 /* sectors; 0: none */
	u32 discard_granularity; /* bytes */
	u32 max_zeroes;		 /* sectors; 0: none */
	bool write_cache;
	bool fua;
};

/* 6.14: every queue merges. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 14, 0)
#define VBLK_MQ_FLAGS 0
#else
#define VBLK_MQ_FLAGS BLK_MQ_F_SHOULD_MERGE
#endif

/* 6.16: a request knows its queue. */
static inline int vblk_map_sg(struct request *rq, struct scatterlist *sgl)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 16, 0)
	return blk_rq_map_sg(rq, sgl);
#else
	return blk_rq_map_sg(rq->q, rq, sgl);
#endif
}

/* 6.9: a disk is made with its limits; 6.11: its features are among them. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 9, 0)
static inline struct gendisk *vblk_alloc_disk(struct blk_mq_tag_set *set,
					      const struct vblk_limits *l, void *data)
{
	struct queue_limits lim = {
		.logical_block_size = l->sector_size,
		.physical_block_size = l->sector_size,
		.io_opt = l->io_opt,
		.max_hw_sectors = l->max_sectors,
		.max_segments = l->max_segments,
		.max_segment_size = l->max_segment_size,
		.max_hw_discard_sectors = l->max_discard,
		.discard_granularity = l->max_discard ? l->discard_granularity : 0,
		.max_discard_segments = l->max_discard ? 1 : 0,
		.max_write_zeroes_sectors = l->max_zeroes,
	};
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 11, 0)

	if (l->write_cache)
		lim.features |= BLK_FEAT_WRITE_CACHE;
	if (l->fua)
		lim.features |= BLK_FEAT_FUA;
	return blk_mq_alloc_disk(set, &lim, data);
#else
	struct gendisk *disk = blk_mq_alloc_disk(set, &lim, data);

	if (!IS_ERR(disk)) {
		blk_queue_flag_set(QUEUE_FLAG_NONROT, disk->queue);
		blk_queue_write_cache(disk->queue, l->write_cache, l->fua);
	}
	return disk;
#endif
}
#else
static inline struct gendisk *vblk_alloc_disk(struct blk_mq_tag_set *set,
					      const struct vblk_limits *l, void *data)
{
	struct gendisk *disk = blk_mq_alloc_disk(set, data);
	struct request_queue *q;

	if (IS_ERR(disk))
		return disk;
	q = disk->queue;
	blk_queue_logical_block_size(q, l->sector_size);
	blk_queue_physical_block_size(q, l->sector_size);
	if (l->io_opt)
		blk_queue_io_opt(q, l->io_opt);
	blk_queue_max_hw_sectors(q, l->max_sectors);
	blk_queue_max_segments(q, l->max_segments);
	blk_queue_max_segment_size(q, l->max_segment_size);
	if (l->max_discard) {
		q->limits.discard_granularity = l->discard_granularity;
		blk_queue_max_discard_sectors(q, l->max_discard);
		blk_queue_max_discard_segments(q, 1);
	}
	blk_queue_max_write_zeroes_sectors(q, l->max_zeroes);
	blk_queue_flag_set(QUEUE_FLAG_NONROT, q);
	blk_queue_write_cache(q, l->write_cache, l->fua);
	return disk;
}
#endif

/* 6.11: names of their own for what a completion may do. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 11, 0)
static inline void blk_queue_disable_discard(struct request_queue *q)
{
	q->limits.max_discard_sectors = 0;
}

static inline void blk_queue_disable_write_zeroes(struct request_queue *q)
{
	q->limits.max_write_zeroes_sectors = 0;
}
#endif

#endif /* VBLK_COMPAT_H */
