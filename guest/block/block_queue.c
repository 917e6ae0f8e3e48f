// SPDX-License-Identifier: GPL-2.0-only
/* Copyright(c) 2026 vbus developers */

/*
 * Requests to south, completions back, timeouts (doc/abi.md section 10).
 *
 * A request is written into its place of the pool without a lock, for the place is its own until it
 * is completed. The rings and the slots are under the queue's lock. What comes back is ended
 * through blk-mq, on the processor that asked.
 *
 * Timeouts. A disk may be slow, so the first one only signals south again and looks whether a
 * wake-up was lost. The second one opens the device anew and what was out is issued again; a
 * request that this does not help, several times, fails.
 */

#include <linux/dma-mapping.h>

#include "block.h"

/* ---- to south ------------------------------------------------------------------------------- */

static void vblk_unmap(struct vblk_queue *q, struct request *rq)
{
	struct vblk_rq *vrq = blk_mq_rq_to_pdu(rq);

	if (!vrq->sgt.nents)
		return;
	dma_unmap_sgtable(vblk_dma_dev(q->blk), &vrq->sgt, rq_dma_dir(rq), 0);
	vrq->sgt.nents = 0;
}

static blk_status_t vblk_map(struct vblk_queue *q, struct request *rq, struct vblock_req *wire)
{
	struct vblock_seg *seg = (struct vblock_seg *)(wire + 1);
	struct vblk_rq *vrq = blk_mq_rq_to_pdu(rq);
	struct scatterlist *sg;
	int i, ret;

	sg_init_table(vrq->sg, blk_rq_nr_phys_segments(rq));
	vrq->sgt.sgl = vrq->sg;
	vrq->sgt.orig_nents = vblk_map_sg(rq, vrq->sg);
	if (WARN_ON_ONCE(!vrq->sgt.orig_nents))
		return BLK_STS_IOERR;
	ret = dma_map_sgtable(vblk_dma_dev(q->blk), &vrq->sgt, rq_dma_dir(rq), 0);
	if (ret) {
		vrq->sgt.nents = 0;
		/* Bounce buffers come back, mappings that are impossible stay so. */
		return ret == -ENOMEM ? BLK_STS_RESOURCE : BLK_STS_IOERR;
	}
	for_each_sgtable_dma_sg(&vrq->sgt, sg, i) {
		seg[i].len = cpu_to_le32(sg_dma_len(sg));
		seg[i].ptr = cpu_to_le64(sg_dma_address(sg));
	}
	wire->count = cpu_to_le32(vrq->sgt.nents);
	return BLK_STS_OK;
}

/* The request in the pool, but for its segments. */
static blk_status_t vblk_fill(struct request *rq, struct vblock_req *wire)
{
	u16 op, flags = 0;

	switch (req_op(rq)) {
	case REQ_OP_READ:
		op = VBLOCK_OP_READ;
		break;
	case REQ_OP_WRITE:
		op = VBLOCK_OP_WRITE;
		break;
	case REQ_OP_FLUSH:
		op = VBLOCK_OP_FLUSH;
		break;
	case REQ_OP_DISCARD:
		op = VBLOCK_OP_DISCARD;
		break;
	case REQ_OP_WRITE_ZEROES:
		op = VBLOCK_OP_WRITE_ZEROES;
		if (!(rq->cmd_flags & REQ_NOUNMAP))
			flags |= VBLOCK_REQ_UNMAP;
		break;
	default:
		return BLK_STS_NOTSUPP;
	}
	if (rq->cmd_flags & REQ_FUA && (op == VBLOCK_OP_WRITE || op == VBLOCK_OP_WRITE_ZEROES))
		flags |= VBLOCK_REQ_FUA;
	wire->tag = cpu_to_le32(rq->tag);
	wire->op = cpu_to_le16(op);
	wire->flags = cpu_to_le16(flags);
	wire->offset = cpu_to_le64(op == VBLOCK_OP_FLUSH ? 0 : blk_rq_pos(rq) << SECTOR_SHIFT);
	wire->len = cpu_to_le64(op == VBLOCK_OP_FLUSH ? 0 : blk_rq_bytes(rq));
	wire->count = 0;
	return BLK_STS_OK;
}

/* Entries whose requests south has copied, to make room. */
static void vblk_reap(struct vblk_queue *q)
{
	while (vbus_ioq_valid_head(&q->req) >= 0)
		vbus_ioq_pop_valid(&q->req);
}

/* The queue's lock is held, and the slot is free: the tag is ours. */
static bool vblk_push(struct vblk_queue *q, struct request *rq, u32 count)
{
	struct ioq_ring_desc *desc;
	int idx;

	if (!q->live || q->broken)
		return false;
	idx = vbus_ioq_valid_tail(&q->req);
	if (idx < 0 && !q->req.broken) {
		vblk_reap(q);
		idx = vbus_ioq_valid_tail(&q->req);
	}
	if (idx < 0) {
		/* Fewer are out than there are entries, and south takes them in order. */
		q->broken = true;
		return false;
	}
	desc = &q->req.desc[idx];
	desc->ptr = cpu_to_le64((u64)rq->tag * q->blk->slot_size);
	desc->len = cpu_to_le64(VBLOCK_REQ_SIZE(count));
	desc->valid = 1;
	q->slot[rq->tag] = rq;
	q->nb_out++;
	vbus_ioq_push_both(&q->req);
	return true;
}

static void vblk_commit_rqs(struct blk_mq_hw_ctx *hctx)
{
	struct vblk_queue *q = hctx->driver_data;

	if (likely(q->blk->state == VBLK_UP))
		vbus_signal_inject(q->req.sig);
}

static blk_status_t vblk_queue_rq(struct blk_mq_hw_ctx *hctx, const struct blk_mq_queue_data *bd)
{
	struct vblk_queue *q = hctx->driver_data;
	struct request *rq = bd->rq;
	struct vblk_rq *vrq = blk_mq_rq_to_pdu(rq);
	struct vblock_req *wire;
	unsigned long flags;
	blk_status_t status;
	bool pushed;

	/* Does not change while this runs: queues are quiesced before. */
	if (unlikely(q->blk->state == VBLK_DEAD))
		return BLK_STS_IOERR;
	if (WARN_ON_ONCE(rq->tag < 0 || (u32)rq->tag >= q->blk->cfg.depth))
		return BLK_STS_IOERR;
	wire = q->pool + rq->tag * q->blk->slot_size;
	vrq->sgt.nents = 0;
	status = vblk_fill(rq, wire);
	if (status == BLK_STS_OK && (req_op(rq) == REQ_OP_READ || req_op(rq) == REQ_OP_WRITE))
		status = vblk_map(q, rq, wire);
	if (unlikely(status != BLK_STS_OK))
		return status;

	if (!(rq->rq_flags & RQF_DONTPREP)) {
		rq->rq_flags |= RQF_DONTPREP;
		vrq->timeouts = 0;
		vrq->reopened = 0;
	}
	blk_mq_start_request(rq);
	spin_lock_irqsave(&q->lock, flags);
	pushed = vblk_push(q, rq, vrq->sgt.nents);
	spin_unlock_irqrestore(&q->lock, flags);
	if (unlikely(!pushed)) {
		vblk_unmap(q, rq);
		blk_mq_requeue_request(rq, false);
		schedule_work(&q->blk->recover);
		return BLK_STS_OK;
	}
	if (bd->last)
		vbus_signal_inject(q->req.sig);
	return BLK_STS_OK;
}

/* ---- back ----------------------------------------------------------------------------------- */

static blk_status_t vblk_status(struct request *rq, u32 status)
{
	switch (status) {
	case VBLOCK_STATUS_OK:
		return BLK_STS_OK;
	case VBLOCK_STATUS_NOSPC:
		return BLK_STS_NOSPC;
	case VBLOCK_STATUS_UNSUPPORTED:
		/* South's storage may turn out to lack what its class offers. */
		if (req_op(rq) == REQ_OP_DISCARD)
			blk_queue_disable_discard(rq->q);
		else if (req_op(rq) == REQ_OP_WRITE_ZEROES)
			blk_queue_disable_write_zeroes(rq->q);
		return BLK_STS_NOTSUPP;
	default:
		return BLK_STS_IOERR;
	}
}

/* The queue's lock is held. False: no such request is out. */
static bool vblk_done_one(struct vblk_queue *q, u64 word)
{
	const u32 tag = word & VBLOCK_DONE_TAG_MASK;
	struct vblk_rq *vrq;
	struct request *rq;

	if (tag >= q->blk->cfg.depth || !q->slot[tag])
		return false;
	rq = q->slot[tag];
	q->slot[tag] = NULL;
	q->nb_out--;
	vrq = blk_mq_rq_to_pdu(rq);
	vrq->status = vblk_status(rq, word >> VBLOCK_DONE_STATUS_SHIFT);
	blk_mq_complete_request(rq);
	return true;
}

/* The queue's lock is held. Ends: each entry is a request that was out, or the last one. */
static void vblk_done(struct vblk_queue *q)
{
	bool any = false;
	int idx;

	while (!q->broken) {
		u64 word;

		idx = vbus_ioq_inuse_head(&q->done);
		if (idx < 0)
			break;
		word = le64_to_cpu(READ_ONCE(q->done.desc[idx].len));
		vbus_ioq_pop_inuse(&q->done);
		any = true;
		if (unlikely(!vblk_done_one(q, word))) {
			q->broken = true;
			dev_err_ratelimited(&q->blk->vdev->dev,
					    "queue %u: a completion of what was not asked\n",
					    q->index);
			schedule_work(&q->blk->recover);
		}
	}
	if (any)
		vbus_signal_inject(q->done.sig);
}

void vblk_queue_notify(struct vbus_signal *sig)
{
	struct vblk_queue *q = sig->priv;
	unsigned long flags;

	spin_lock_irqsave(&q->lock, flags);
	if (q->live)
		vblk_done(q);
	spin_unlock_irqrestore(&q->lock, flags);
}

static void vblk_complete(struct request *rq)
{
	struct vblk_rq *vrq = blk_mq_rq_to_pdu(rq);

	vblk_unmap(rq->mq_hctx->driver_data, rq);
	blk_mq_end_request(rq, vrq->status);
}

/*
 * South has let go of everything: what is out is issued @again, or fails. Nothing else runs: the
 * queues are quiesced, the rings are not live.
 */
void vblk_queue_take_back(struct vblk_queue *q, bool again)
{
	u32 tag;

	for (tag = 0; tag < q->blk->cfg.depth; tag++) {
		struct request *rq = q->slot[tag];
		struct vblk_rq *vrq;

		if (!rq)
			continue;
		vrq = blk_mq_rq_to_pdu(rq);
		spin_lock_irq(&q->lock);
		q->slot[tag] = NULL;
		q->nb_out--;
		spin_unlock_irq(&q->lock);
		if (again && vrq->reopened < VBLK_REOPENED_MAX) {
			vrq->timeouts = 0;
			vrq->reopened++;
			vblk_unmap(q, rq);
			blk_mq_requeue_request(rq, false);
			continue;
		}
		vrq->status = again ? BLK_STS_TIMEOUT : BLK_STS_IOERR;
		blk_mq_complete_request(rq);
	}
}

/* ---- timeouts ------------------------------------------------------------------------------- */

static enum blk_eh_timer_return vblk_timeout(struct request *rq)
{
	struct vblk_queue *q = rq->mq_hctx->driver_data;
	struct vblk_rq *vrq = blk_mq_rq_to_pdu(rq);
	struct vblk *blk = q->blk;
	unsigned long flags;
	bool out, live;

	spin_lock_irqsave(&q->lock, flags);
	live = q->live;
	if (live)
		vblk_done(q);
	out = q->slot[rq->tag] == rq;
	if (out && live) {
		/* Not an inject: that one believes what south wrote about being asleep. */
		blk->vdev->ops->signal(q->req.shm);
		vrq->timeouts++;
	}
	spin_unlock_irqrestore(&q->lock, flags);
	if (!out)
		return BLK_EH_DONE;
	if (live) {
		dev_warn_ratelimited(&blk->vdev->dev, "queue %u: request %d is late\n", q->index,
				     rq->tag);
		schedule_work(&blk->recover);
	}
	return BLK_EH_RESET_TIMER;
}

/* South broke the rules, or signalling it again did not help. */
bool vblk_queue_is_stuck(struct vblk_queue *q)
{
	bool stuck;
	u32 tag;

	spin_lock_irq(&q->lock);
	stuck = q->broken || q->req.broken;
	for (tag = 0; !stuck && tag < q->blk->cfg.depth; tag++) {
		if (q->slot[tag]) {
			struct vblk_rq *vrq = blk_mq_rq_to_pdu(q->slot[tag]);

			stuck = vrq->timeouts > 1;
		}
	}
	spin_unlock_irq(&q->lock);
	return stuck;
}

/* ---- setup ---------------------------------------------------------------------------------- */

static int vblk_init_hctx(struct blk_mq_hw_ctx *hctx, void *data, unsigned int index)
{
	struct vblk *blk = data;

	hctx->driver_data = &blk->queue[index];
	return 0;
}

const struct blk_mq_ops vblk_mq_ops = {
	.queue_rq = vblk_queue_rq,
	.commit_rqs = vblk_commit_rqs,
	.complete = vblk_complete,
	.timeout = vblk_timeout,
	.init_hctx = vblk_init_hctx,
};
