// SPDX-License-Identifier: GPL-2.0-only
/* Copyright(c) 2026 vbus developers */

/*
 * Disks: driver of the bus, the disk itself, resizing, recovery and the end. Process context.
 *
 * Recovery opens the device anew and issues again what was out; south carries none of it out twice
 * at a time, for a session's end waits for its requests (section 10, STOP). Where that fails, or
 * the device is gone, the disk is dead: everything fails, at once, until it is removed.
 *
 * The end. A device that is still there is synced before its driver lets go. One that was dropped
 * is not asked for anything: what is out fails first, then file systems are told.
 */

#include <linux/idr.h>
#include <linux/slab.h>

#include "block.h"

static DEFINE_IDA(vblk_numbers);

/* ---- recovery ------------------------------------------------------------------------------- */

static void vblk_take_back(struct vblk *blk, bool again)
{
	u32 i;

	for (i = 0; i < blk->cfg.nb_queues; i++)
		vblk_queue_take_back(&blk->queue[i], again);
}

/* No disk that the block layer was not told of: at least what it knows. */
static bool vblk_config_holds(const struct vblk_config *old, const struct vblk_config *now)
{
	return now->sector_size == old->sector_size && now->nb_queues >= old->nb_queues &&
	       (old->features & ~now->features & ~VBLOCK_F_READONLY) == 0 &&
	       now->depth >= old->depth && now->max_segs >= old->max_segs &&
	       now->max_bytes >= old->max_bytes && now->max_discard >= old->max_discard;
}

static int vblk_reopen(struct vblk *blk)
{
	struct vblk_config now;
	int ret;

	ret = vbus_device_open(blk->vdev, VBLOCK_VERSION);
	if (ret)
		return ret;
	ret = vblk_session_config(blk, &now);
	if (!ret && !vblk_config_holds(&blk->cfg, &now))
		ret = -EPROTO;
	if (ret) {
		vbus_device_close(blk->vdev);
		return ret;
	}
	return vblk_session_up(blk);
}

/* The mutex is held. The session ends; @reopen begins another one. */
static void vblk_restart(struct vblk *blk, bool reopen)
{
	struct request_queue *rqq = blk->disk->queue;
	int ret = -ENODEV;

	blk_mq_quiesce_queue(rqq);
	vblk_session_down(blk);
	vblk_take_back(blk, reopen);
	if (reopen)
		ret = vblk_reopen(blk);
	if (ret)
		blk->state = VBLK_DEAD;
	blk_mq_unquiesce_queue(rqq);
	blk_mq_kick_requeue_list(rqq);
	if (reopen && ret)
		dev_err(&blk->vdev->dev, "cannot open the device again: %d\n", ret);
	/* Now that nothing is out: whoever is told may wait for it. */
	if (ret)
		blk_mark_disk_dead(blk->disk);
}

static void vblk_recover_work(struct work_struct *work)
{
	struct vblk *blk = container_of(work, struct vblk, recover);
	bool gone, stuck = false;
	u32 i;

	mutex_lock(&blk->mutex);
	if (blk->shared && blk->state == VBLK_UP) {
		gone = vblk_session_is_gone(blk);
		for (i = 0; i < blk->cfg.nb_queues; i++)
			stuck |= vblk_queue_is_stuck(&blk->queue[i]);
		if (stuck && !gone)
			dev_warn_ratelimited(&blk->vdev->dev, "opening the device again\n");
		if (stuck || gone)
			vblk_restart(blk, !gone);
	}
	mutex_unlock(&blk->mutex);
}

/* ---- what south says ------------------------------------------------------------------------ */

/* The mutex is held. */
static void vblk_resize(struct vblk *blk, u64 capacity, u32 flags)
{
	capacity = round_down(capacity, blk->cfg.sector_size);
	blk->cfg.capacity = capacity;
	if (set_capacity_and_notify(blk->disk, capacity >> SECTOR_SHIFT))
		dev_info(&blk->vdev->dev, "%s: %llu bytes\n", blk->disk->disk_name, capacity);
	set_disk_ro(blk->disk, (blk->cfg.features | flags) & VBLOCK_F_READONLY);
}

static void vblk_look_work(struct work_struct *work)
{
	struct vblk *blk = container_of(to_delayed_work(work), struct vblk, look);
	u64 capacity;
	u32 flags;
	int ret;

	mutex_lock(&blk->mutex);
	if (!blk->shared)
		goto out;
	ret = vblk_session_state(blk, &capacity, &flags);
	if (ret == -EAGAIN)
		schedule_delayed_work(&blk->look, VBLK_LOOK_AGAIN);
	if (ret)
		goto out;
	if (!(flags & VBLOCK_S_GONE)) {
		if (!blk->removing)
			vblk_resize(blk, capacity, flags);
	} else if (blk->state == VBLK_UP && vblk_session_is_gone(blk)) {
		/* Whoever waits for a request holds up the DEVDROP, in the scan for partitions. */
		vblk_restart(blk, false);
	}
out:
	mutex_unlock(&blk->mutex);
}

/* ---- the disk ------------------------------------------------------------------------------- */

static const struct block_device_operations vblk_fops = {
	.owner = THIS_MODULE,
};

static struct gendisk *vblk_make_disk(struct vblk *blk)
{
	const struct vblk_config *c = &blk->cfg;
	struct device *dma_dev = vblk_dma_dev(blk);
	const u32 most = round_down(min_t(u64, c->max_discard, UINT_MAX), c->sector_size) >>
			 SECTOR_SHIFT;
	const struct vblk_limits limits = {
		.sector_size = c->sector_size,
		.max_sectors = min_t(u64, c->max_bytes, dma_max_mapping_size(dma_dev)) >>
			       SECTOR_SHIFT,
		.max_segments = c->max_segs,
		.max_segment_size = max_t(u32, dma_get_max_seg_size(dma_dev), PAGE_SIZE),
		.io_opt = c->opt_bytes,
		.max_discard = c->features & VBLOCK_F_DISCARD ? most : 0,
		.discard_granularity = c->discard_align,
		.max_zeroes = c->features & VBLOCK_F_WRITE_ZEROES ? most : 0,
		.write_cache = c->features & VBLOCK_F_FLUSH,
		.fua = c->features & VBLOCK_F_FUA,
	};
	struct gendisk *disk;

	disk = vblk_alloc_disk(&blk->set, &limits, blk);
	if (IS_ERR(disk))
		return disk;
	snprintf(disk->disk_name, sizeof(disk->disk_name), "vbd%d", blk->number);
	disk->fops = &vblk_fops;
	disk->private_data = blk;
	set_capacity(disk, c->capacity >> SECTOR_SHIFT);
	set_disk_ro(disk, c->features & VBLOCK_F_READONLY);
	return disk;
}

static int vblk_make_set(struct vblk *blk)
{
	struct blk_mq_tag_set *set = &blk->set;

	set->ops = &vblk_mq_ops;
	set->driver_data = blk;
	set->nr_hw_queues = blk->cfg.nb_queues;
	set->queue_depth = blk->cfg.depth;
	set->numa_node = dev_to_node(vblk_dma_dev(blk));
	set->flags = VBLK_MQ_FLAGS;
	set->timeout = VBLK_TIMEOUT;
	set->cmd_size = struct_size((struct vblk_rq *)NULL, sg, blk->cfg.max_segs);
	return blk_mq_alloc_tag_set(set);
}

/* One piece each, for south maps it as one: where there is none of that size, fewer requests do. */
static void vblk_free_pools(struct vblk *blk)
{
	const size_t len = (size_t)blk->cfg.depth * blk->slot_size;
	u32 i;

	for (i = 0; i < blk->cfg.nb_queues; i++) {
		struct vblk_queue *q = &blk->queue[i];

		if (q->pool)
			vbus_dma_free(vblk_dma_dev(blk), len, q->pool, q->pool_dma);
		q->pool = NULL;
	}
}

static int vblk_try_pools(struct vblk *blk)
{
	const size_t len = (size_t)blk->cfg.depth * blk->slot_size;
	u32 i;

	for (i = 0; i < blk->cfg.nb_queues; i++) {
		struct vblk_queue *q = &blk->queue[i];

		q->pool = dma_alloc_attrs(vblk_dma_dev(blk), len, &q->pool_dma,
					  GFP_KERNEL | __GFP_ZERO,
					  DMA_ATTR_FORCE_CONTIGUOUS | DMA_ATTR_NO_WARN);
		if (!q->pool) {
			vblk_free_pools(blk);
			return -ENOMEM;
		}
	}
	return 0;
}

static int vblk_make_pools(struct vblk *blk)
{
	int ret;

	/* Whole cache lines: places of neighbours are written by other processors. */
	blk->slot_size = ALIGN(VBLOCK_REQ_SIZE(blk->cfg.max_segs), 64);
	while ((ret = vblk_try_pools(blk)) && blk->cfg.depth > VBLK_DEPTH_MIN)
		blk->cfg.depth = max_t(u32, blk->cfg.depth / 2, VBLK_DEPTH_MIN);
	return ret;
}

static void vblk_free_queues(struct vblk *blk)
{
	u32 i;

	if (!blk->queue)
		return;
	vblk_free_pools(blk);
	for (i = 0; i < blk->cfg.nb_queues; i++)
		kvfree(blk->queue[i].slot);
	kfree(blk->queue);
}

static int vblk_make_queues(struct vblk *blk)
{
	int ret;
	u32 i;

	blk->queue = kcalloc(blk->cfg.nb_queues, sizeof(*blk->queue), GFP_KERNEL);
	if (!blk->queue)
		return -ENOMEM;
	ret = vblk_make_pools(blk);
	if (ret)
		return ret;
	for (i = 0; i < blk->cfg.nb_queues; i++) {
		struct vblk_queue *q = &blk->queue[i];

		q->blk = blk;
		q->index = i;
		spin_lock_init(&q->lock);
		q->slot = kvcalloc(blk->cfg.depth, sizeof(struct request *), GFP_KERNEL);
		if (!q->slot)
			return -ENOMEM;
	}
	return 0;
}

/* ---- driver of the bus ---------------------------------------------------------------------- */

/* From an open device to one with a session and a disk that nobody sees yet, or to nothing. */
static int vblk_setup(struct vblk *blk)
{
	int ret;

	ret = vblk_session_config(blk, &blk->cfg);
	if (ret)
		goto close;
	ret = vblk_make_queues(blk);
	if (ret)
		goto queues;
	ret = vblk_make_set(blk);
	if (ret)
		goto queues;
	blk->disk = vblk_make_disk(blk);
	if (IS_ERR(blk->disk)) {
		ret = PTR_ERR(blk->disk);
		goto set;
	}
	ret = vblk_session_up(blk);
	if (!ret)
		return 0;
	put_disk(blk->disk);
set:
	blk_mq_free_tag_set(&blk->set);
queues:
	vblk_free_queues(blk);
close:
	vbus_device_close(blk->vdev);
	return ret;
}

/* Nothing is out and nothing comes in. */
static void vblk_teardown(struct vblk *blk)
{
	mutex_lock(&blk->mutex);
	blk->removing = true;
	if (blk->shared)
		vblk_session_down(blk);
	mutex_unlock(&blk->mutex);
	cancel_work_sync(&blk->recover);
	cancel_delayed_work_sync(&blk->look);
}

static int vblk_probe(struct vbus_device *vdev)
{
	struct vblk *blk;
	int ret;

	blk = kzalloc(sizeof(*blk), GFP_KERNEL);
	if (!blk)
		return -ENOMEM;
	blk->vdev = vdev;
	mutex_init(&blk->mutex);
	INIT_DELAYED_WORK(&blk->look, vblk_look_work);
	INIT_WORK(&blk->recover, vblk_recover_work);
	blk->number = ida_alloc(&vblk_numbers, GFP_KERNEL);
	if (blk->number < 0) {
		ret = blk->number;
		goto free;
	}
	ret = vbus_device_open(vdev, VBLOCK_VERSION);
	if (ret)
		goto number;
	ret = vblk_setup(blk);
	if (ret)
		goto number;
	vbus_set_drvdata(vdev, blk);
	ret = device_add_disk(&vdev->dev, blk->disk, NULL);
	if (ret)
		goto disk;
	/* What changed before there was a disk to be told. */
	schedule_delayed_work(&blk->look, 0);
	return 0;

disk:
	vbus_set_drvdata(vdev, NULL);
	vblk_teardown(blk);
	put_disk(blk->disk);
	blk_mq_free_tag_set(&blk->set);
	vblk_free_queues(blk);
number:
	ida_free(&vblk_numbers, blk->number);
free:
	kfree(blk);
	return ret;
}

static void vblk_remove(struct vbus_device *vdev)
{
	struct vblk *blk = vbus_get_drvdata(vdev);

	mutex_lock(&blk->mutex);
	blk->removing = true;
	if (blk->shared && blk->state == VBLK_UP && vblk_session_is_gone(blk))
		vblk_restart(blk, false);
	mutex_unlock(&blk->mutex);
	/* Recovery goes on: what is to be synced may need it. */
	del_gendisk(blk->disk);
	vblk_teardown(blk);
	blk_mq_free_tag_set(&blk->set);
	put_disk(blk->disk);
	vblk_free_queues(blk);
	ida_free(&vblk_numbers, blk->number);
	vbus_set_drvdata(vdev, NULL);
	kfree(blk);
}

static struct vbus_driver vblk_driver = {
	.driver.name = "vbus_block",
	.type = VBLOCK_TYPE,
	.probe = vblk_probe,
	.remove = vblk_remove,
};
module_vbus_driver(vblk_driver);

MODULE_ALIAS_VBUS(VBLOCK_TYPE);
MODULE_AUTHOR("vbus developers");
MODULE_DESCRIPTION("vbus disks");
MODULE_LICENSE("GPL");
