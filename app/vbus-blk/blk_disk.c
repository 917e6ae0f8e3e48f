/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * A disk on the bus's driver API (blk_disk.h, doc/abi.md section 10).
 *
 * Threads: EAL's, which probes, and then the caller's one. It polls for completions and has no signal
 * of its own enabled; south may sleep, so every batch injects. All memory is one zone, which goes
 * with the process.
 */

#include "blk_disk.h"

#include <errno.h>
#include <string.h>

#include <rte_common.h>
#include <rte_errno.h>
#include <rte_memory.h>

#define SLOT 64u /* a request with one segment, in the pool */

static struct rte_vbus_device *found;
static const char *wanted;

/* ---- the driver -------------------------------------------------------------------------------- */

static int
blk_probe(struct rte_vbus_driver *drv, struct rte_vbus_device *dev)
{
	(void)drv;
	if (wanted == NULL || strcmp(dev->dev_name, wanted) != 0)
		return -ENODEV;
	found = dev;
	return 0;
}

static int
blk_remove(struct rte_vbus_device *dev)
{
	return rte_vbus_close(dev);
}

/* What is under way runs into its timeout: these programs live for one job. */
static void
blk_gone(struct rte_vbus_device *dev)
{
	(void)dev;
}

static struct rte_vbus_driver blk_driver = {
	.type = VBLOCK_TYPE,
	.probe = blk_probe,
	.remove = blk_remove,
	.lost = blk_gone,
	.back = blk_gone,
};

RTE_PMD_REGISTER_VBUS(block_vbus, blk_driver);

void
disk_want(const char *name)
{
	wanted = name;
}

/* ---- open -------------------------------------------------------------------------------------- */

static int
share(struct disk *d, struct rte_vbus_shm *shm, uint32_t id, void *va, uint32_t len, bool ring)
{
	shm->id = id;
	shm->va = va;
	shm->len = len;
	shm->signal_offset = ring ? (int32_t)IOQ_RING_SIGNAL_OFFSET : -1;
	return rte_vbus_shm(d->dev, shm);
}

static int
make_rings(struct disk *d)
{
	const uint32_t size = (uint32_t)vbus_ioq_size(d->depth);
	const uint32_t ring = RTE_ALIGN_CEIL(size, 4096u);
	const uint32_t pool = RTE_ALIGN_CEIL(d->depth * SLOT, 4096u);
	const struct vbus_ioq_entry none = {0};
	const size_t all = 2 * (size_t)ring + pool + (size_t)d->depth * d->piece;
	uint8_t *mem = rte_vbus_zone(d->dev, "blk", all, SOCKET_ID_ANY);
	uint32_t i;
	int ret;

	if (mem == NULL)
		return -rte_errno;
	d->pool = mem + 2 * (size_t)ring;
	d->data = d->pool + pool;
	ret = vbus_ioq_north_format(&d->req, mem, d->depth, d->req_cookies, 1);
	if (ret == 0)
		ret = vbus_ioq_north_format(&d->done, mem + ring, d->depth, d->done_cookies, 1);
	if (ret == 0)
		ret = vbus_signal_attach(
			&d->req_sig, mem + IOQ_RING_SIGNAL_OFFSET, VBUS_LOCALITY_NORTH);
	for (i = 0; ret == 0 && i < d->depth; i++)
		vbus_ioq_north_post(&d->done, &none, 1);
	if (ret == 0)
		ret = share(d, &d->req_shm, VBLOCK_BLOCK_REQ(0), mem, size, true);
	if (ret == 0)
		ret = share(d, &d->done_shm, VBLOCK_BLOCK_DONE(0), mem + ring, size, true);
	if (ret == 0)
		ret = share(d, &d->pool_shm, VBLOCK_BLOCK_POOL(0), d->pool, d->depth * SLOT, false);
	return ret;
}

int
disk_open(struct disk *d, uint32_t depth, uint32_t piece)
{
	struct vblock_start start = {.nb_queues = 1};
	int ret;

	if (found == NULL)
		return -ENODEV;
	d->dev = found;
	d->depth = depth;
	d->piece = piece;
	ret = rte_vbus_open(d->dev, VBLOCK_VERSION);
	if (ret != 0)
		return ret;
	ret = rte_vbus_call(d->dev, VBLOCK_FUNC_CONFIG, &d->config, sizeof(d->config));
	if (ret == 0 && d->config.sector_size == 0)
		ret = -EPROTO;
	if (ret == 0 && (depth == 0 || depth > RTE_MIN(DISK_DEPTH_MAX, d->config.ring_max) ||
				piece == 0 || piece > d->config.max_bytes))
		ret = -EINVAL;
	if (ret == 0)
		ret = make_rings(d);
	if (ret == 0)
		ret = rte_vbus_call(d->dev, VBLOCK_FUNC_START, &start, sizeof(start));
	if (ret != 0)
		rte_vbus_close(d->dev);
	return ret;
}

void
disk_close(struct disk *d)
{
	rte_vbus_call(d->dev, VBLOCK_FUNC_STOP, NULL, 0);
	rte_vbus_close(d->dev);
}

/* ---- requests ---------------------------------------------------------------------------------- */

void
disk_push(struct disk *d, uint32_t tag, uint32_t op, uint64_t offset, uint64_t len)
{
	struct vblock_req *r = (void *)(d->pool + tag * SLOT);
	struct vblock_seg *s = (void *)(r + 1);
	const struct vbus_ioq_entry e = {.ptr = tag * SLOT, .len = VBLOCK_REQ_SIZE(1)};
	uint64_t cookies[DISK_DEPTH_MAX];

	memset(r, 0, sizeof(*r) + sizeof(*s));
	r->tag = tag;
	r->op = (uint16_t)op;
	r->offset = offset;
	r->len = len;
	if (op == VBLOCK_OP_READ || op == VBLOCK_OP_WRITE) {
		r->count = 1;
		s->len = (uint32_t)len;
		s->ptr = rte_vbus_addr(d->dev, d->data + (size_t)tag * d->piece);
	}
	vbus_ioq_north_reap(&d->req, cookies, d->depth);
	vbus_ioq_north_push(&d->req, &e, 1); /* there is room: no more than depth are under way */
}

void
disk_kick(struct disk *d)
{
	if (vbus_signal_inject(&d->req_sig))
		rte_vbus_signal(&d->req_shm);
}

int
disk_pop(struct disk *d, uint32_t *tag, uint32_t *status)
{
	struct vbus_ioq_entry e;

	if (vbus_ioq_north_pop(&d->done, &e, 1) == 0)
		return 0;
	vbus_ioq_north_repost(&d->done, 1);
	*tag = (uint32_t)(e.len & VBLOCK_DONE_TAG_MASK);
	*status = (uint32_t)(e.len >> VBLOCK_DONE_STATUS_SHIFT);
	return *tag < d->depth ? 1 : -EPROTO;
}

int
disk_errno(uint32_t status)
{
	static const int errors[] = {0, EIO, ENOSPC, EOPNOTSUPP, EINVAL, EROFS, ERANGE};

	return -(status < RTE_DIM(errors) ? errors[status] : EIO);
}
