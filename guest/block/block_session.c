// SPDX-License-Identifier: GPL-2.0-only
/* Copyright(c) 2026 vbus developers */

/*
 * A session with the device: open, CONFIG, share, START, and all the way back (doc/abi.md sections
 * 8 and 10). Process context; nobody issues requests meanwhile.
 *
 * Every session has rings of its own making, so that nothing of a broken one is left. Pools are
 * kept: one is dozens of pages in one piece, which a busy machine may not have a second time. After
 * DEVCLOSE south touches no buffer of a request; when south is gone already the calls fail and the
 * memory is ours all the same.
 */

#include <linux/moduleparam.h>

#include "block.h"

static unsigned int queues = VBLOCK_QUEUES_MAX;
module_param(queues, uint, 0444);
MODULE_PARM_DESC(queues, "most hardware queues of a disk (default 16, as many as processors)");

static unsigned int depth = VBLK_DEPTH_DFLT;
module_param(depth, uint, 0444);
MODULE_PARM_DESC(depth, "requests under way on a queue (4 to 1024, default 128)");

#define SEQ_TRIES 1000

static int vblk_config_check(struct vblk_config *c)
{
	if (c->sector_size != 512 && c->sector_size != 4096)
		return -EPROTO;
	if (!c->nb_queues || !c->max_segs || c->max_bytes < PAGE_SIZE ||
	    c->depth < VBLK_DEPTH_MIN)
		return -EPROTO;
	c->capacity = round_down(c->capacity, c->sector_size);
	c->max_bytes = round_down(c->max_bytes, c->sector_size);
	c->max_segs = min_t(u32, c->max_segs, VBLK_SEGS_MAX);
	c->depth = min3(c->depth, clamp_t(u32, depth, VBLK_DEPTH_MIN, VBLK_DEPTH_MAX),
			(u32)IOQ_RING_COUNT_ACCEPTED);
	c->nb_queues = min3(c->nb_queues, clamp_t(u32, queues, 1, VBLOCK_QUEUES_MAX), nr_cpu_ids);
	if (c->max_discard < c->sector_size)
		c->features &= ~(VBLOCK_F_DISCARD | VBLOCK_F_WRITE_ZEROES);
	if (!is_power_of_2(c->discard_align) || c->discard_align < c->sector_size)
		c->discard_align = c->sector_size;
	/* Without a cache that can be flushed there is nothing to write through. */
	if (!(c->features & VBLOCK_F_FLUSH))
		c->features &= ~VBLOCK_F_FUA;
	if (c->opt_bytes % c->sector_size)
		c->opt_bytes = 0;
	return 0;
}

static int vblk_config_call(struct vblk *blk, struct vblock_config *raw)
{
	int ret;

	memset(raw, 0, sizeof(*raw));
	ret = vbus_device_call(blk->vdev, VBLOCK_FUNC_CONFIG, raw, sizeof(*raw));
	return ret < 0 ? ret : 0;
}

/* What the disk is, as far as this driver takes it. */
int vblk_session_config(struct vblk *blk, struct vblk_config *cfg)
{
	struct vblock_config raw;
	int ret;

	ret = vblk_config_call(blk, &raw);
	if (ret)
		return ret;
	cfg->capacity = le64_to_cpu(raw.capacity);
	cfg->sector_size = le32_to_cpu(raw.sector_size);
	cfg->features = le32_to_cpu(raw.features);
	cfg->nb_queues = le32_to_cpu(raw.nb_queues);
	cfg->depth = le32_to_cpu(raw.ring_max);
	cfg->max_segs = le32_to_cpu(raw.max_segs);
	cfg->max_bytes = le32_to_cpu(raw.max_bytes);
	cfg->max_discard = le64_to_cpu(raw.max_discard);
	cfg->discard_align = le32_to_cpu(raw.discard_align);
	cfg->opt_bytes = le32_to_cpu(raw.opt_bytes);
	return vblk_config_check(cfg);
}

/*
 * A device that was dropped still answers, but with 0 and nothing else (rule 7.15): the block
 * comes back as it was passed.
 */
bool vblk_session_is_gone(struct vblk *blk)
{
	struct vblock_config raw;

	return READ_ONCE(blk->vdev->dead) || vblk_config_call(blk, &raw) || !raw.sector_size;
}

/* South's line of the state block, section 8.3. -EAGAIN: it was being written all the time. */
int vblk_session_state(struct vblk *blk, u64 *capacity, u32 *flags)
{
	const struct vblock_state *st = blk->shared->addr;
	u32 seq, i;

	for (i = 0; i < SEQ_TRIES; i++) {
		/* Before the fields. Partner: south's fence after the odd number. */
		seq = le32_to_cpu(virt_load_acquire(&st->south.seq));
		*capacity = le64_to_cpu(READ_ONCE(st->south.capacity));
		*flags = le32_to_cpu(READ_ONCE(st->south.flags));
		/* After them. Partner: south's release of the even number. */
		virt_rmb();
		if (!(seq & 1) && le32_to_cpu(READ_ONCE(st->south.seq)) == seq)
			return seq ? 0 : -ENODATA;
		cpu_relax();
	}
	return -EAGAIN;
}

static void vblk_session_notify(struct vbus_signal *sig)
{
	struct vblk *blk = sig->priv;

	schedule_delayed_work(&blk->look, 0);
}

static int vblk_session_share_state(struct vblk *blk)
{
	struct vbus_shm *shm;

	shm = vbus_shm_alloc(blk->vdev, VBLOCK_BLOCK_STATE, sizeof(struct vblock_state));
	if (IS_ERR(shm))
		return PTR_ERR(shm);
	vbus_shm_add_signal(shm, offsetof(struct vblock_state, signal), vblk_session_notify, blk);
	blk->shared = shm;
	return vbus_shm_share(shm);
}

/* Rings and pool; every entry for a completion is posted. */
static int vblk_session_share_queue(struct vblk *blk, struct vblk_queue *q)
{
	const u32 n = blk->cfg.depth;
	struct vbus_shm *pool;
	int ret;

	ret = vbus_ioq_create(&q->req, blk->vdev, VBLOCK_BLOCK_REQ(q->index), n, NULL, q);
	if (ret)
		return ret;
	ret = vbus_ioq_alloc(&q->done, blk->vdev, VBLOCK_BLOCK_DONE(q->index), n,
			     vblk_queue_notify, q);
	if (ret)
		return ret;
	while (vbus_ioq_valid_tail(&q->done) >= 0)
		vbus_ioq_push_valid(&q->done);
	ret = vbus_ioq_share(&q->done);
	if (ret)
		return ret;
	pool = vbus_shm_wrap(blk->vdev, VBLOCK_BLOCK_POOL(q->index), q->pool, q->pool_dma,
			     n * blk->slot_size);
	return IS_ERR(pool) ? PTR_ERR(pool) : vbus_shm_share(pool);
}

static int vblk_session_start(struct vblk *blk)
{
	struct vblock_start args = { .nb_queues = cpu_to_le32(blk->cfg.nb_queues) };
	u32 i;
	int ret;

	ret = vblk_session_share_state(blk);
	for (i = 0; !ret && i < blk->cfg.nb_queues; i++)
		ret = vblk_session_share_queue(blk, &blk->queue[i]);
	if (ret)
		return ret;
	ret = vbus_device_call(blk->vdev, VBLOCK_FUNC_START, &args, sizeof(args));
	return ret < 0 ? ret : 0;
}

/* The device is open, by CONFIG's caller. On failure it is closed. */
int vblk_session_up(struct vblk *blk)
{
	u32 i;
	int ret;

	ret = vblk_session_start(blk);
	if (ret) {
		blk->shared = NULL;
		vbus_device_close(blk->vdev);
		return ret;
	}
	for (i = 0; i < blk->cfg.nb_queues; i++) {
		struct vblk_queue *q = &blk->queue[i];

		spin_lock_irq(&q->lock);
		q->broken = false;
		q->live = true;
		spin_unlock_irq(&q->lock);
		vbus_signal_enable(q->done.sig);
	}
	vbus_signal_enable(&blk->shared->signal);
	return 0;
}

/* South, notifiers and timeouts let go of the rings. What is out remains in its slots. */
void vblk_session_down(struct vblk *blk)
{
	u32 i;

	for (i = 0; i < blk->cfg.nb_queues; i++) {
		struct vblk_queue *q = &blk->queue[i];
		bool live;

		spin_lock_irq(&q->lock);
		live = q->live;
		q->live = false;
		spin_unlock_irq(&q->lock);
		if (live)
			vbus_signal_disable(q->done.sig);
	}
	blk->shared = NULL;
	vbus_device_call(blk->vdev, VBLOCK_FUNC_STOP, NULL, 0);
	vbus_device_close(blk->vdev);
}
