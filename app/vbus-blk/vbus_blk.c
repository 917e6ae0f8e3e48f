/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * A disk served over vbus, read and written from a process of this machine: a small frontend on the
 * bus's driver API, and the example of one for kinds that are no Ethernet (doc/abi.md section 10).
 *
 *     vbus-blk --no-pci -a vbus:vm1,socket=/run/vbus/vm1.sock -- disk0 info
 *     ... disk0 read OFFSET BYTES > FILE      ... disk0 write OFFSET < FILE
 *     ... disk0 discard OFFSET BYTES
 *
 * One thread. It polls for completions and enables no signal of its own; south may sleep, so every
 * push injects. DEPTH requests are under way at a time.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_common.h>
#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_memory.h>
#include <rte_pause.h>

#include <vbus/block.h>

#include "bus_vbus_driver.h"
#include "vbus_ioq_north.h"
#include "vbus_signal.h"

#define DEPTH	  8u
#define PIECE	  65536u /* bytes of a request */
#define SLOT	  64u	 /* a request with one segment, in the pool */
#define TIMEOUT_S 30u

struct disk {
	struct rte_vbus_device *dev;
	struct vblock_config config;
	struct rte_vbus_shm req_shm, done_shm, pool_shm;
	struct vbus_ioq_north req, done;
	struct vbus_signal req_sig;
	uint64_t req_cookies[DEPTH], done_cookies[DEPTH];
	uint8_t *pool;
	uint8_t *data; /* PIECE bytes for each tag */
};

static struct rte_vbus_device *found;
static const char *wanted;

static int
fail(const char *what, int ret)
{
	fprintf(stderr, "vbus-blk: %s: %s\n", what, strerror(-ret));
	return 1;
}

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

/* What is under way runs into its timeout: this program lives for one job. */
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
	const uint32_t ring = RTE_ALIGN_CEIL((uint32_t)vbus_ioq_size(DEPTH), 64u);
	const struct vbus_ioq_entry none = {0};
	uint8_t *mem = rte_vbus_zone(
		d->dev, "blk", 2 * ring + DEPTH * (SLOT + PIECE), SOCKET_ID_ANY);
	uint32_t i;
	int ret;

	if (mem == NULL)
		return -rte_errno;
	d->pool = mem + 2 * (size_t)ring;
	d->data = d->pool + DEPTH * SLOT;
	ret = vbus_ioq_north_format(&d->req, mem, DEPTH, d->req_cookies, 1);
	if (ret == 0)
		ret = vbus_ioq_north_format(&d->done, mem + ring, DEPTH, d->done_cookies, 1);
	if (ret == 0)
		ret = vbus_signal_attach(
			&d->req_sig, mem + IOQ_RING_SIGNAL_OFFSET, VBUS_LOCALITY_NORTH);
	for (i = 0; ret == 0 && i < DEPTH; i++)
		vbus_ioq_north_post(&d->done, &none, 1);
	if (ret == 0)
		ret = share(d, &d->req_shm, VBLOCK_BLOCK_REQ(0), mem,
			(uint32_t)vbus_ioq_size(DEPTH), true);
	if (ret == 0)
		ret = share(d, &d->done_shm, VBLOCK_BLOCK_DONE(0), mem + ring,
			(uint32_t)vbus_ioq_size(DEPTH), true);
	if (ret == 0)
		ret = share(d, &d->pool_shm, VBLOCK_BLOCK_POOL(0), d->pool, DEPTH * SLOT, false);
	return ret;
}

static int
open_disk(struct disk *d)
{
	struct vblock_start start = {.nb_queues = 1};
	int ret = rte_vbus_open(d->dev, VBLOCK_VERSION);

	if (ret == 0)
		ret = rte_vbus_call(d->dev, VBLOCK_FUNC_CONFIG, &d->config, sizeof(d->config));
	if (ret == 0 && (d->config.sector_size == 0 || d->config.max_bytes < PIECE))
		ret = -EPROTO;
	if (ret == 0)
		ret = make_rings(d);
	return ret != 0 ? ret : rte_vbus_call(d->dev, VBLOCK_FUNC_START, &start, sizeof(start));
}

/* ---- requests ---------------------------------------------------------------------------------- */

static void
issue(struct disk *d, uint32_t tag, uint32_t op, uint64_t offset, uint64_t len)
{
	struct vblock_req *r = (void *)(d->pool + tag * SLOT);
	struct vblock_seg *s = (void *)(r + 1);
	const struct vbus_ioq_entry e = {.ptr = tag * SLOT, .len = VBLOCK_REQ_SIZE(1)};
	uint64_t cookies[DEPTH];

	memset(r, 0, sizeof(*r) + sizeof(*s));
	r->tag = tag;
	r->op = (uint16_t)op;
	r->offset = offset;
	r->len = len;
	if (op == VBLOCK_OP_READ || op == VBLOCK_OP_WRITE) {
		r->count = 1;
		s->len = (uint32_t)len;
		s->ptr = rte_vbus_addr(d->dev, d->data + (size_t)tag * PIECE);
	}
	vbus_ioq_north_reap(&d->req, cookies, DEPTH);
	vbus_ioq_north_push(&d->req, &e, 1); /* there is room: no more than DEPTH are under way */
	if (vbus_signal_inject(&d->req_sig))
		rte_vbus_signal(&d->req_shm);
}

/* Wait until @p nb are completed. @return 0, -ETIMEDOUT, or an errno for the first bad status */
static int
wait_for(struct disk *d, uint32_t nb)
{
	static const int errors[] = {0, EIO, ENOSPC, EOPNOTSUPP, EINVAL, EROFS, ERANGE};
	const uint64_t end = rte_get_timer_cycles() + TIMEOUT_S * rte_get_timer_hz();
	int ret = 0;

	while (nb != 0) {
		struct vbus_ioq_entry e;
		uint32_t status;

		if (vbus_ioq_north_pop(&d->done, &e, 1) == 0) {
			if (rte_get_timer_cycles() > end)
				return -ETIMEDOUT;
			rte_pause();
			continue;
		}
		vbus_ioq_north_repost(&d->done, 1);
		status = (uint32_t)(e.len >> VBLOCK_DONE_STATUS_SHIFT);
		if ((e.len & VBLOCK_DONE_TAG_MASK) >= DEPTH)
			return -EPROTO;
		if (status != VBLOCK_STATUS_OK && ret == 0)
			ret = -(status < RTE_DIM(errors) ? errors[status] : EIO);
		nb--;
	}
	return ret;
}

static int
one(struct disk *d, uint32_t op, uint64_t offset, uint64_t len)
{
	issue(d, 0, op, offset, len);
	return wait_for(d, 1);
}

/* ---- commands ---------------------------------------------------------------------------------- */

static int
info(const struct disk *d)
{
	static const char *const names[] = {"readonly", "flush", "fua", "discard", "write-zeroes"};
	size_t i;

	printf("capacity %llu\nsector %u\nqueues %u\nfeatures",
		(unsigned long long)d->config.capacity, d->config.sector_size, d->config.nb_queues);
	for (i = 0; i < RTE_DIM(names); i++)
		if ((d->config.features & (1u << i)) != 0)
			printf(" %s", names[i]);
	printf("\n");
	return 0;
}

static int
read_out(struct disk *d, uint64_t offset, uint64_t left)
{
	while (left != 0) {
		uint64_t round = RTE_MIN(left, (uint64_t)DEPTH * PIECE);
		uint32_t nb = 0;
		uint64_t at;
		int ret;

		for (at = 0; at < round; at += PIECE, nb++)
			issue(d, nb, VBLOCK_OP_READ, offset + at, RTE_MIN(PIECE, round - at));
		ret = wait_for(d, nb);
		if (ret != 0)
			return ret;
		/* Tags in order are pieces in order, and their buffers lie one behind the other. */
		if (fwrite(d->data, 1, round, stdout) != round)
			return -EIO;
		offset += round;
		left -= round;
	}
	return fflush(stdout) == 0 ? 0 : -EIO;
}

static int
write_in(struct disk *d, uint64_t offset)
{
	for (;;) {
		size_t got = fread(d->data, 1, (size_t)DEPTH * PIECE, stdin);
		uint32_t nb = 0;
		size_t at;
		int ret;

		if (got == 0)
			break;
		if (got % d->config.sector_size != 0)
			return -EINVAL; /* there is no half a sector */
		for (at = 0; at < got; at += PIECE, nb++)
			issue(d, nb, VBLOCK_OP_WRITE, offset + at, RTE_MIN(PIECE, got - at));
		ret = wait_for(d, nb);
		if (ret != 0)
			return ret;
		offset += got;
	}
	if (ferror(stdin) != 0)
		return -EIO;
	return (d->config.features & VBLOCK_F_FLUSH) != 0 ? one(d, VBLOCK_OP_FLUSH, 0, 0) : 0;
}

static int
run(struct disk *d, int argc, char **argv)
{
	uint64_t offset = argc > 1 ? strtoull(argv[1], NULL, 0) : 0;
	uint64_t len = argc > 2 ? strtoull(argv[2], NULL, 0) : 0;

	if (argc == 1 && strcmp(argv[0], "info") == 0)
		return info(d);
	if (argc == 3 && strcmp(argv[0], "read") == 0)
		return read_out(d, offset, len);
	if (argc == 2 && strcmp(argv[0], "write") == 0)
		return write_in(d, offset);
	if (argc == 3 && strcmp(argv[0], "discard") == 0)
		return one(d, VBLOCK_OP_DISCARD, offset, len);
	fprintf(stderr, "usage: vbus-blk [EAL arguments] -a vbus:LINK,socket=PATH -- DEVICE "
			"info | read OFFSET BYTES | write OFFSET | discard OFFSET BYTES\n");
	return -EINVAL;
}

int
main(int argc, char **argv)
{
	static struct disk d;
	int i, ret;

	/* The driver has to know the name before EAL probes. */
	for (i = 1; i + 1 < argc; i++)
		if (strcmp(argv[i], "--") == 0)
			wanted = argv[i + 1];
	ret = rte_eal_init(argc, argv);
	if (ret < 0)
		return fail("EAL", -rte_errno);
	argc -= ret;
	argv += ret;
	d.dev = found;
	if (argc < 3 || found == NULL) {
		fprintf(stderr, "vbus-blk: there is no disk '%s'\n", wanted != NULL ? wanted : "");
		rte_eal_cleanup();
		return 1;
	}
	ret = open_disk(&d);
	if (ret != 0) {
		fail("the disk cannot be opened", ret);
	} else {
		ret = run(&d, argc - 2, argv + 2);
		if (ret != 0)
			fail(argv[2], ret);
		rte_vbus_call(d.dev, VBLOCK_FUNC_STOP, NULL, 0);
	}
	rte_vbus_close(d.dev);
	rte_eal_cleanup();
	return ret == 0 ? 0 : 1;
}
