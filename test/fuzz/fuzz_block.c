/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * The block class on a real bridge, with any north and a back end that takes requests and completes
 * them in any order, some of them late. What is taken is within the disk and adds up; nothing taken
 * is ever lost.
 */

#include <stdlib.h>

#include <vbus/block.h>

#include "fuzz_link.h"
#include "vbus_block.h"

#define QUEUES	 2u
#define UNDERWAY 16u
#define CAPACITY (1u << 20)
#define SLOT	 256u

static struct vbus_block *disk;
static struct vbus_block_req req[UNDERWAY];
static uint32_t nb_underway;
static uint64_t capacity_max = CAPACITY;
static uint8_t data_buf[VBUS_BLOCK_BYTES_MAX];
static uint32_t pool[QUEUES];

static void
nothing(void *arg)
{
	(void)arg;
}

static const struct vbus_block_user user = {.quiesce = nothing, .wake = nothing};

/* A request at a place of the pool, mostly a good one. */
static uint32_t
make_request(struct fuzz_in *in, uint8_t *at, uint32_t tag)
{
	struct vblock_req r = {.tag = tag, .op = in_8(in) % 6};
	struct vblock_seg s = {0};
	uint8_t how = in_8(in);
	uint32_t i;

	r.flags = how & 0x80 ? in_8(in) % 4 : 0;
	r.count = r.op <= VBLOCK_OP_WRITE ? how % 4 : 0;
	r.offset = (uint64_t)in_8(in) * 512;
	for (i = 0; i < r.count; i++) {
		s.len = 512u * (1 + i);
		s.ptr = link_addr(0x10000 + i * 2048);
		if ((how & 0x40) != 0) {
			s.ptr = link_any_addr(in);
			s.len = (uint32_t)in_num(in);
		}
		r.len += s.len;
		memcpy(at + sizeof(r) + i * sizeof(s), &s, sizeof(s));
	}
	if (r.op > VBLOCK_OP_FLUSH)
		r.len = 512u * in_8(in);
	if ((how & 0x30) == 0x30) {
		r.offset = in_num(in);
		r.len = in_num(in);
		r.count = (uint32_t)in_num(in);
	}
	memcpy(at, &r, sizeof(r));
	return (uint32_t)VBLOCK_REQ_SIZE(how % 4);
}

static void
issue(struct fuzz_in *in)
{
	uint32_t q = in_8(in) % QUEUES, slot;
	struct link_ring *r = &lk.ring[q * 2];
	struct vbus_ioq_entry e;

	if (lk.nb_rings < 2 * QUEUES || pool[q] == 0)
		return;
	slot = r->q.tail % 16;
	e.cookie = slot;
	e.ptr = slot * SLOT;
	e.len = make_request(in, lk.mem + pool[q] + slot * SLOT, slot);
	if (in_8(in) >= 0xf0) {
		e.ptr = in_num(in);
		e.len = in_num(in);
	}
	if (vbus_ioq_north_push(&r->q, &e, 1) == 0) {
		uint64_t done[64];

		(void)vbus_ioq_north_reap(&r->q, done, 64);
	}
}

static void
setup(struct fuzz_in *in)
{
	struct vblock_start start = {.nb_queues = 1 + in_8(in) % QUEUES};
	uint8_t how = in_8(in);
	uint32_t q, i, off;

	memset(pool, 0, sizeof(pool));
	(void)link_open(VBLOCK_VERSION);
	off = link_alloc(sizeof(struct vblock_state));
	vbus_signal_format((struct shm_signal_desc *)(void *)(lk.mem + off));
	if ((how & 1) == 0)
		(void)link_shm(VBLOCK_BLOCK_STATE, off, sizeof(struct vblock_state), 0);
	for (q = 0; q < QUEUES; q++) {
		struct link_ring *done;

		(void)link_ring(VBLOCK_BLOCK_REQ(q), 16, 1);
		done = link_ring(VBLOCK_BLOCK_DONE(q), 16, 1);
		for (i = 0; done != NULL && i < 16 && (how & 2) == 0; i++)
			(void)vbus_ioq_north_post(&done->q, &(struct vbus_ioq_entry){0, 0, 0}, 1);
		pool[q] = link_alloc(16 * SLOT);
		(void)link_shm(VBLOCK_BLOCK_POOL(q), pool[q], 16 * SLOT, UINT32_MAX);
	}
	if ((how & 0xf0) != 0xf0)
		(void)link_func(VBLOCK_FUNC_START, &start, sizeof(start));
}

static void
check_taken(const struct vbus_block_req *r)
{
	uint64_t sum = 0;
	uint32_t i;

	FUZZ_CHECK(r->op <= VBLOCK_OP_WRITE_ZEROES && r->queue < QUEUES);
	FUZZ_CHECK(r->nb_segs <= VBUS_BLOCK_SEGS_MAX);
	for (i = 0; i < r->nb_segs; i++)
		sum += r->seg[i].len;
	if (r->op == VBLOCK_OP_FLUSH)
		return;
	FUZZ_CHECK(r->len != 0 && r->len % 512 == 0 && r->offset % 512 == 0);
	FUZZ_CHECK(r->offset <= capacity_max && r->len <= capacity_max - r->offset);
	if (r->op <= VBLOCK_OP_WRITE)
		FUZZ_CHECK(sum == r->len && r->len <= VBUS_BLOCK_BYTES_MAX);
}

static void
take(void)
{
	struct vbus_block_req *r = &req[nb_underway];

	if (nb_underway == UNDERWAY || !vbus_block_take(disk, r))
		return;
	check_taken(r);
	nb_underway++;
	if (r->op == VBLOCK_OP_WRITE)
		(void)vbus_block_copy_in(disk, r, data_buf);
}

/* @return false: north's memory is away, or its completion ring is full */
static bool
complete(uint32_t i, uint32_t status)
{
	if (req[i].op == VBLOCK_OP_READ && vbus_block_copy_out(disk, &req[i], data_buf) != 0)
		status = VBLOCK_STATUS_INVALID;
	if (!vbus_block_complete(disk, &req[i], status))
		return false;
	req[i] = req[--nb_underway];
	return true;
}

static void
step(struct fuzz_in *in)
{
	uint8_t data[80], op = in_8(in);

	switch (op % 16) {
	default:
		link_any(in);
		break;
	case 6:
	case 7:
	case 8:
		issue(in);
		break;
	case 9:
	case 10:
		take();
		break;
	case 11:
		if (nb_underway != 0)
			(void)complete((op >> 4) % nb_underway, in_8(in) % 8);
		break;
	case 12:
		vbus_block_signal(disk);
		(void)vbus_block_arm(disk);
		if (op & 0x10)
			vbus_block_disarm(disk);
		break;
	case 13:
		in_bytes(in, data, sizeof(data));
		(void)link_func(op >> 4 & 3, data, op & 0x40 ? 64 : op & 0x80 ? 8 : in_8(in) % 80);
		break;
	case 14:
		if (vbus_block_broken(disk))
			vbus_block_fault(disk);
		if (op >= 0xe0) {
			uint64_t size = in_below(in, 4096) * 512ull;

			FUZZ_CHECK(vbus_block_resize(disk, size) == 0);
			capacity_max = size > capacity_max ? size : capacity_max;
		}
		break;
	case 15:
		if (lk.nb_rings != 0)
			link_kick(&lk.ring[(op >> 4) % lk.nb_rings]);
		break;
	}
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	static const struct vbus_block_args args = {.capacity = CAPACITY,
		.sector_size = 512,
		.features = VBLOCK_F_FLUSH | VBLOCK_F_FUA | VBLOCK_F_DISCARD |
			    VBLOCK_F_WRITE_ZEROES,
		.nb_queues = QUEUES,
		.discard_align = 4096};
	struct vbus_device *dev = vbus_device_create("disk0", "block", &args);

	(void)argc;
	(void)argv;
	disk = vbus_block_of(dev);
	if (disk == NULL || vbus_block_bind(disk, &user) != 0)
		return 1;
	link_init(dev, setup);
	return 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	capacity_max = CAPACITY;
	link_run(data, size, step);
	/* North is gone: all that is under way completes into nothing. */
	FUZZ_CHECK(!vbus_block_up(disk));
	while (nb_underway != 0)
		FUZZ_CHECK(complete(0, VBLOCK_STATUS_OK));
	FUZZ_CHECK(vbus_block_resize(disk, CAPACITY) == 0);
	return 0;
}
