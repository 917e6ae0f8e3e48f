// SPDX-License-Identifier: GPL-2.0-only
/* Copyright(c) 2026 vbus developers */

/*
 * ioq, north's side. Positions and counts are private; the shared indices are written for south
 * and, but for the tail's `full`, not read. What decides is `sown` of the next entry, and only of
 * an entry that south was given.
 *
 * Edge S: entry, buffer and indices, release, `sown` - `sown`, acquire, the other side's accesses.
 * virt_*: south is another processor of the host, also where this kernel has one only.
 */

#include "shm.h"
#include "vbus_drv.h"

/* Descriptors begin on a cache line when the head lies at 8 modulo 64. */
#define VBUS_IOQ_SKEW 8U

static u32 vbus_ioq_next(const struct vbus_ioq *q, u32 idx)
{
	return idx + 1 == q->count ? 0 : idx + 1;
}

static bool vbus_ioq_is_ours(const struct vbus_ioq *q, u32 idx)
{
	/* S: what south wrote, and read, before it let go. */
	return virt_load_acquire(&q->desc[idx].sown) == IOQ_SOWN_NORTH;
}

static void vbus_ioq_hand_over(struct vbus_ioq *q, u32 idx)
{
	/* S: entry and indices first. */
	virt_store_release(&q->desc[idx].sown, IOQ_SOWN_SOUTH);
}

/*
 * `full` counts only where head and tail are equal, and then the last writer is right: the pusher
 * needs the `sown` that the popper gives away after it has cleared `full`.
 */
static void vbus_ioq_move_tail(struct ioq_ring_idx *idx, u32 tail)
{
	WRITE_ONCE(idx->tail, cpu_to_le32(tail));
	if (le32_to_cpu(READ_ONCE(idx->head)) == tail)
		WRITE_ONCE(idx->full, 1);
}

static void vbus_ioq_move_head(struct ioq_ring_idx *idx, u32 head)
{
	WRITE_ONCE(idx->head, cpu_to_le32(head));
	WRITE_ONCE(idx->full, 0);
}

int vbus_ioq_valid_tail(struct vbus_ioq *q)
{
	if (q->valid_used == q->count)
		return -ENOBUFS;
	if (unlikely(!vbus_ioq_is_ours(q, q->valid_tail))) {
		q->broken = true;
		return -ENOBUFS;
	}
	return q->valid_tail;
}
EXPORT_SYMBOL_GPL(vbus_ioq_valid_tail);

void vbus_ioq_push_valid(struct vbus_ioq *q)
{
	const u32 idx = q->valid_tail;

	q->valid_tail = vbus_ioq_next(q, idx);
	q->valid_used++;
	vbus_ioq_move_tail(&q->head->idx[IOQ_IDX_VALID], q->valid_tail);
	vbus_ioq_hand_over(q, idx);
}
EXPORT_SYMBOL_GPL(vbus_ioq_push_valid);

int vbus_ioq_inuse_head(struct vbus_ioq *q)
{
	/* On the first lap only what was pushed has ever been south's. */
	if (q->valid_used != q->count && q->inuse_head >= q->valid_used)
		return -ENOBUFS;
	return vbus_ioq_is_ours(q, q->inuse_head) ? (int)q->inuse_head : -ENOBUFS;
}
EXPORT_SYMBOL_GPL(vbus_ioq_inuse_head);

void vbus_ioq_pop_inuse(struct vbus_ioq *q)
{
	const u32 idx = q->inuse_head;

	q->inuse_head = vbus_ioq_next(q, idx);
	vbus_ioq_move_head(&q->head->idx[IOQ_IDX_INUSE], q->inuse_head);
	vbus_ioq_hand_over(q, idx);
}
EXPORT_SYMBOL_GPL(vbus_ioq_pop_inuse);

void vbus_ioq_push_both(struct vbus_ioq *q)
{
	const u32 idx = q->valid_tail;

	q->valid_tail = vbus_ioq_next(q, idx);
	q->inuse_tail = q->valid_tail;
	q->valid_used++;
	vbus_ioq_move_tail(&q->head->idx[IOQ_IDX_VALID], q->valid_tail);
	vbus_ioq_move_tail(&q->head->idx[IOQ_IDX_INUSE], q->inuse_tail);
	vbus_ioq_hand_over(q, idx);
}
EXPORT_SYMBOL_GPL(vbus_ioq_push_both);

int vbus_ioq_valid_head(struct vbus_ioq *q)
{
	if (!q->valid_used)
		return -ENOBUFS;
	return vbus_ioq_is_ours(q, q->valid_head) ? (int)q->valid_head : -ENOBUFS;
}
EXPORT_SYMBOL_GPL(vbus_ioq_valid_head);

void vbus_ioq_pop_valid(struct vbus_ioq *q)
{
	q->valid_head = vbus_ioq_next(q, q->valid_head);
	q->valid_used--;
	/* `sown` stays as it is: the entry is ours until it is pushed again. */
	vbus_ioq_move_head(&q->head->idx[IOQ_IDX_VALID], q->valid_head);
}
EXPORT_SYMBOL_GPL(vbus_ioq_pop_valid);

int vbus_ioq_inuse_tail(struct vbus_ioq *q)
{
	return vbus_ioq_is_ours(q, q->inuse_tail) ? (int)q->inuse_tail : -ENOBUFS;
}
EXPORT_SYMBOL_GPL(vbus_ioq_inuse_tail);

void vbus_ioq_push_inuse(struct vbus_ioq *q)
{
	const u32 idx = q->inuse_tail;

	q->inuse_tail = vbus_ioq_next(q, idx);
	vbus_ioq_move_tail(&q->head->idx[IOQ_IDX_INUSE], q->inuse_tail);
	vbus_ioq_hand_over(q, idx);
}
EXPORT_SYMBOL_GPL(vbus_ioq_push_inuse);

void vbus_ioq_init(struct vbus_ioq *q, void *mem, u32 count, struct vbus_signal *sig)
{
	struct ioq_ring_head *head = mem;

	memset(mem, 0, IOQ_RING_SIZE(count));
	head->magic = cpu_to_le32(IOQ_RING_MAGIC);
	head->ver = cpu_to_le32(IOQ_RING_VER);
	head->count = cpu_to_le32(count);
	vbus_signal_init(sig, &head->signal);

	memset(q, 0, sizeof(*q));
	q->head = head;
	q->desc = mem + IOQ_RING_DESC_OFFSET;
	q->shm = sig->shm;
	q->sig = sig;
	q->count = count;
}
EXPORT_SYMBOL_GPL(vbus_ioq_init);

int vbus_ioq_alloc(struct vbus_ioq *q, struct vbus_device *vdev, u32 id, u32 count,
		   void (*notify)(struct vbus_signal *sig), void *priv)
{
	struct vbus_shm *shm;

	if (!count || count > IOQ_RING_COUNT_ACCEPTED)
		return -EINVAL;
	shm = vbus_shm_alloc_skewed(vdev, id, IOQ_RING_SIZE(count), VBUS_IOQ_SKEW);
	if (IS_ERR(shm))
		return PTR_ERR(shm);
	shm->signal_offset = IOQ_RING_SIGNAL_OFFSET;
	shm->signal.shm = shm;
	shm->signal.notify = notify;
	shm->signal.priv = priv;
	vbus_ioq_init(q, shm->addr, count, &shm->signal);
	return 0;
}
EXPORT_SYMBOL_GPL(vbus_ioq_alloc);

int vbus_ioq_share(struct vbus_ioq *q)
{
	return vbus_shm_share(q->shm);
}
EXPORT_SYMBOL_GPL(vbus_ioq_share);

int vbus_ioq_create(struct vbus_ioq *q, struct vbus_device *vdev, u32 id, u32 count,
		    void (*notify)(struct vbus_signal *sig), void *priv)
{
	const int ret = vbus_ioq_alloc(q, vdev, id, count, notify, priv);

	return ret ? ret : vbus_ioq_share(q);
}
EXPORT_SYMBOL_GPL(vbus_ioq_create);
