/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * The block class with a back end of a few lines: the test polls, the disk is memory. Random reads and
 * writes over two queues compare equal with a model; what is wrong with a request is its status; what
 * is under way when north goes harms nobody.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <vbus/block.h>

#include "../core/cu_run.h"
#include "../core/stepped.h"
#include "../rng/kind_rig.h"
#include "block_internal.h"
#include "vbus_memmap.h"

#define DISK	(1u << 20)
#define ENTRIES 16u
#define SLOT	2048u  /* of a request */
#define DATA	65536u /* of a request's data */
#define QUEUES	2u

struct queue {
	struct kind_rig_ring req, done;
	uint32_t pool, data; /* in north's memory */
	uint32_t nb;
};

static struct kind_rig k;
static struct queue queue[QUEUES];
static uint32_t state_off;
static struct vbus_block *b;
static unsigned int nb_wakes;
static uint8_t *disk;
static uint32_t seed;

static void
on_quiesce(void *arg)
{
	(void)arg;
}

static void
on_wake(void *arg)
{
	(void)arg;
	nb_wakes++;
}

static const struct vbus_block_user user = {.quiesce = on_quiesce, .wake = on_wake};

static uint32_t
rnd(uint32_t below)
{
	seed = seed * 1103515245 + 12345;
	return (seed >> 8) % below;
}

static int32_t
start(uint32_t nb)
{
	struct vblock_start s = {.nb_queues = nb};

	return kind_call(&k, VBLOCK_FUNC_START, &s, sizeof(s));
}

static void
share(void)
{
	uint32_t i;

	state_off = kind_mem(&k, sizeof(struct vblock_state));
	memset(k.n.mem + state_off, 0, sizeof(struct vblock_state));
	CU_ASSERT_EQUAL(
		kind_block(&k, VBLOCK_BLOCK_STATE, state_off, sizeof(struct vblock_state), true),
		0);
	for (i = 0; i < QUEUES; i++) {
		struct queue *q = &queue[i];
		struct vbus_ioq_entry e = {0};
		uint32_t j;

		q->nb = 0;
		CU_ASSERT_EQUAL(kind_ring(&k, &q->req, VBLOCK_BLOCK_REQ(i), ENTRIES), 0);
		CU_ASSERT_EQUAL(kind_ring(&k, &q->done, VBLOCK_BLOCK_DONE(i), ENTRIES), 0);
		q->pool = kind_mem(&k, ENTRIES * SLOT);
		CU_ASSERT_EQUAL(
			kind_block(&k, VBLOCK_BLOCK_POOL(i), q->pool, ENTRIES * SLOT, false), 0);
		q->data = kind_mem(&k, ENTRIES * DATA);
		for (j = 0; j < ENTRIES; j++)
			vbus_ioq_north_post(&q->done.q, &e, 1);
	}
}

static struct vbus_block_args args;

static void
up_with(uint32_t features, uint32_t sector)
{
	args = (struct vbus_block_args){.capacity = DISK,
		.sector_size = sector,
		.features = features,
		.nb_queues = QUEUES,
		.discard_align = 4096};
	struct vbus_device *dev = vbus_device_create("disk0", "block", &args);

	CU_ASSERT_PTR_NOT_NULL_FATAL(dev);
	disk = calloc(1, DISK);
	b = vbus_block_of(dev);
	CU_ASSERT_EQUAL(vbus_block_bind(b, &user), 0);
	kind_up(&k, dev, VBLOCK_TYPE);
	CU_ASSERT_EQUAL(kind_open(&k, VBLOCK_VERSION), 0);
	share();
}

static void
up(void)
{
	up_with(VBLOCK_F_FLUSH | VBLOCK_F_FUA | VBLOCK_F_DISCARD | VBLOCK_F_WRITE_ZEROES, 512);
}

static void
down(void)
{
	struct vbus_device *dev = k.dev;

	kind_down(&k);
	vbus_block_bind(b, NULL);
	vbus_device_delete(dev);
	free(disk);
}

/* Issue a request whose data lies in the slot of its tag, cut into pieces. */
static void
issue(uint32_t qi, uint32_t tag, uint32_t op, uint32_t flags, uint64_t off, uint64_t len)
{
	struct queue *q = &queue[qi];
	const uint32_t slot = tag % ENTRIES;
	uint8_t *at = k.n.mem + q->pool + slot * SLOT;
	struct vblock_req *r = (void *)at;
	struct vblock_seg *s = (void *)(at + sizeof(*r));
	struct vbus_ioq_entry e = {.cookie = tag, .ptr = slot * SLOT};
	uint64_t cookies[ENTRIES];
	uint32_t done = 0;

	*r = (struct vblock_req){.tag = tag,
		.op = (uint16_t)op,
		.flags = (uint16_t)flags,
		.offset = off,
		.len = len};
	while ((op == VBLOCK_OP_READ || op == VBLOCK_OP_WRITE) && done < len) {
		uint32_t n = 1 + rnd(8000);

		n = n < len - done && r->count < 60 ? n : (uint32_t)len - done;
		s[r->count].len = n;
		s[r->count++].ptr = north_addr(&k.n, q->data + slot * DATA + done);
		done += n;
	}
	e.len = VBLOCK_REQ_SIZE(r->count);
	vbus_ioq_north_reap(&q->req.q, cookies, ENTRIES);
	CU_ASSERT_EQUAL(vbus_ioq_north_push(&q->req.q, &e, 1), 1);
}

static uint8_t *
data_of(uint32_t qi, uint32_t tag)
{
	return k.n.mem + queue[qi].data + tag % ENTRIES * DATA;
}

/* The back end: everything that is there, at once. */
static uint32_t
serve(void)
{
	static uint8_t bounce[VBUS_BLOCK_BYTES_MAX];
	struct vbus_block_req r;
	uint32_t nb = 0;

	while (vbus_block_take(b, &r)) {
		int ret = 0;

		nb++;
		switch (r.op) {
		case VBLOCK_OP_READ:
			ret = vbus_block_copy_out(b, &r, disk + r.offset);
			break;
		case VBLOCK_OP_WRITE:
			ret = vbus_block_copy_in(b, &r, bounce);
			if (ret == 0)
				memcpy(disk + r.offset, bounce, r.len);
			break;
		case VBLOCK_OP_DISCARD:
		case VBLOCK_OP_WRITE_ZEROES:
			memset(disk + r.offset, 0, r.len);
			break;
		default:
			break;
		}
		CU_ASSERT(vbus_block_complete(
			b, &r, ret == 0 ? VBLOCK_STATUS_OK : VBLOCK_STATUS_INVALID));
	}
	vbus_block_signal(b);
	return nb;
}

/* The next completion; UINT64_MAX: none. */
static uint64_t
done(uint32_t qi)
{
	struct vbus_ioq_entry e;

	if (vbus_ioq_north_pop(&queue[qi].done.q, &e, 1) == 0)
		return UINT64_MAX;
	vbus_ioq_north_repost(&queue[qi].done.q, 1);
	return e.len;
}

static uint32_t
status_of(uint32_t op, uint32_t flags, uint64_t off, uint64_t len)
{
	uint64_t d;

	issue(0, 7, op, flags, off, len);
	serve();
	d = done(0);
	CU_ASSERT_EQUAL(d & VBLOCK_DONE_TAG_MASK, 7);
	return (uint32_t)(d >> VBLOCK_DONE_STATUS_SHIFT);
}

static void
test_functions(void)
{
	struct vblock_config c;
	struct vbus_block_args bad = {.capacity = 1000, .sector_size = 512, .nb_queues = 1};

	vbus_ctl_lock();
	CU_ASSERT_PTR_NULL(vbus_device_create("x", "block", NULL));
	CU_ASSERT_PTR_NULL(vbus_device_create("x", "block", &bad));
	up();
	CU_ASSERT_EQUAL(kind_call(&k, VBLOCK_FUNC_CONFIG, &c, sizeof(c)), 0);
	CU_ASSERT_EQUAL(c.capacity, DISK);
	CU_ASSERT_EQUAL(c.nb_queues, QUEUES);
	CU_ASSERT_EQUAL(c.max_segs, VBUS_BLOCK_SEGS_MAX);
	CU_ASSERT_EQUAL(start(0), -EINVAL);
	CU_ASSERT_EQUAL(start(QUEUES + 1), -EINVAL);
	CU_ASSERT_EQUAL(start(QUEUES), 0);
	CU_ASSERT_EQUAL(start(QUEUES), -EEXIST);
	CU_ASSERT_EQUAL(kind_call(&k, VBLOCK_FUNC_STOP, NULL, 0), 0);
	CU_ASSERT_EQUAL(kind_call(&k, VBLOCK_FUNC_STOP, NULL, 0), 0);
	CU_ASSERT_EQUAL(kind_block(&k, 1 + 3 * QUEUES, state_off, 64, false), -EINVAL);
	down();
	vbus_ctl_unlock();
}

/* Every sector holds what was written there last. Offsets under way do not overlap: one per queue. */
static void
test_data(void)
{
	uint8_t *model = calloc(1, DISK);
	uint32_t round, i, wrong = 0;

	vbus_ctl_lock();
	up();
	CU_ASSERT_EQUAL(start(QUEUES), 0);
	for (round = 0; round < 1500; round++) {
		uint32_t op[QUEUES], len[QUEUES];
		uint64_t off[QUEUES];

		for (i = 0; i < QUEUES; i++) {
			uint8_t *d = data_of(i, round);
			uint32_t j;

			/* each queue its half of the disk */
			len[i] = 512 * (1 + rnd(DATA / 512));
			off[i] = i * (DISK / 2) + 512ull * rnd((DISK / 2 - len[i]) / 512 + 1);
			op[i] = rnd(8) == 0 ? VBLOCK_OP_WRITE_ZEROES : rnd(2);
			for (j = 0; j < len[i]; j += 4)
				memcpy(d + j, &(uint32_t){rnd(1u << 24)}, 4);
			if (op[i] == VBLOCK_OP_WRITE)
				memcpy(model + off[i], d, len[i]);
			else if (op[i] == VBLOCK_OP_WRITE_ZEROES)
				memset(model + off[i], 0, len[i]);
			issue(i, round, op[i], 0, off[i], len[i]);
		}
		CU_ASSERT_EQUAL(serve(), QUEUES);
		for (i = 0; i < QUEUES; i++) {
			CU_ASSERT_EQUAL(done(i), VBLOCK_DONE(round, VBLOCK_STATUS_OK));
			if (op[i] == VBLOCK_OP_READ)
				wrong += memcmp(data_of(i, round), model + off[i], len[i]) != 0;
		}
	}
	CU_ASSERT_EQUAL(wrong, 0);
	CU_ASSERT_EQUAL(memcmp(disk, model, DISK), 0);
	down();
	vbus_ctl_unlock();
	free(model);
}

static void
test_statuses(void)
{
	vbus_ctl_lock();
	up();
	CU_ASSERT_EQUAL(start(QUEUES), 0);
	CU_ASSERT_EQUAL(status_of(VBLOCK_OP_READ, 0, 0, 512), VBLOCK_STATUS_OK);
	CU_ASSERT_EQUAL(status_of(VBLOCK_OP_FLUSH, 0, 0, 0), VBLOCK_STATUS_OK);
	CU_ASSERT_EQUAL(status_of(VBLOCK_OP_FLUSH, 0, 0, 512), VBLOCK_STATUS_INVALID);
	CU_ASSERT_EQUAL(status_of(VBLOCK_OP_WRITE, VBLOCK_REQ_FUA, 0, 512), VBLOCK_STATUS_OK);
	CU_ASSERT_EQUAL(
		status_of(VBLOCK_OP_READ, VBLOCK_REQ_FUA, 0, 512), VBLOCK_STATUS_UNSUPPORTED);
	CU_ASSERT_EQUAL(status_of(9, 0, 0, 512), VBLOCK_STATUS_UNSUPPORTED);
	CU_ASSERT_EQUAL(status_of(VBLOCK_OP_READ, 0, 1, 512), VBLOCK_STATUS_INVALID);
	CU_ASSERT_EQUAL(status_of(VBLOCK_OP_READ, 0, 0, 100), VBLOCK_STATUS_INVALID);
	CU_ASSERT_EQUAL(status_of(VBLOCK_OP_READ, 0, 0, 0), VBLOCK_STATUS_INVALID);
	CU_ASSERT_EQUAL(status_of(VBLOCK_OP_WRITE, 0, DISK, 512), VBLOCK_STATUS_RANGE);
	CU_ASSERT_EQUAL(status_of(VBLOCK_OP_WRITE, 0, DISK - 512, 1024), VBLOCK_STATUS_RANGE);
	CU_ASSERT_EQUAL(
		status_of(VBLOCK_OP_DISCARD, 0, UINT64_MAX - 511, 512), VBLOCK_STATUS_RANGE);
	CU_ASSERT_EQUAL(status_of(VBLOCK_OP_DISCARD, 0, 0, DISK), VBLOCK_STATUS_OK);
	down();
	up_with(VBLOCK_F_READONLY, 4096);
	CU_ASSERT_EQUAL(start(1), 0);
	CU_ASSERT_EQUAL(status_of(VBLOCK_OP_WRITE, 0, 0, 4096), VBLOCK_STATUS_READONLY);
	CU_ASSERT_EQUAL(status_of(VBLOCK_OP_READ, 0, 512, 4096), VBLOCK_STATUS_INVALID);
	CU_ASSERT_EQUAL(status_of(VBLOCK_OP_READ, 0, 4096, 4096), VBLOCK_STATUS_OK);
	CU_ASSERT_EQUAL(status_of(VBLOCK_OP_FLUSH, 0, 0, 0), VBLOCK_STATUS_UNSUPPORTED);
	down();
	vbus_ctl_unlock();
}

static struct vblock_req *
req_at(uint32_t slot)
{
	return (void *)(k.n.mem + queue[0].pool + slot * SLOT);
}

static void
push_raw(uint64_t ptr, uint64_t len)
{
	const struct vbus_ioq_entry e = {.ptr = ptr, .len = len};
	uint64_t cookies[ENTRIES];

	vbus_ioq_north_reap(&queue[0].req.q, cookies, ENTRIES);
	CU_ASSERT_EQUAL(vbus_ioq_north_push(&queue[0].req.q, &e, 1), 1);
}

static void
test_hostile(void)
{
	struct vblock_seg *s;
	uint32_t i;

	vbus_ctl_lock();
	up();
	CU_ASSERT_EQUAL(start(1), 0);
	/* more segments than the entry, or anybody, has room for; sums that do not fit */
	issue(0, 0, VBLOCK_OP_READ, 0, 0, 512);
	req_at(0)->count = 1000;
	issue(0, 1, VBLOCK_OP_READ, 0, 0, 512);
	req_at(1)->count++;
	issue(0, 2, VBLOCK_OP_READ, 0, 0, 1024);
	req_at(2)->len = 512;
	issue(0, 3, VBLOCK_OP_READ, 0, 0, 512);
	s = (void *)(req_at(3) + 1);
	s->ptr = NORTH_IOVA + NORTH_SIZE - 8;
	issue(0, 4, VBLOCK_OP_WRITE, 0, 0, 512);
	s = (void *)(req_at(4) + 1);
	s->ptr = UINT64_MAX - 100;
	issue(0, 5, VBLOCK_OP_READ, 0, 0, 512);
	serve();
	for (i = 0; i < 5; i++)
		CU_ASSERT_EQUAL(done(0), VBLOCK_DONE(i, VBLOCK_STATUS_INVALID));
	CU_ASSERT_EQUAL(done(0), VBLOCK_DONE(5, VBLOCK_STATUS_OK));
	CU_ASSERT_PTR_NULL(k.dev->fault);
	/* outside of the pool: no tag to answer */
	push_raw(ENTRIES * SLOT - 16, 48);
	CU_ASSERT_EQUAL(serve(), 0);
	CU_ASSERT(vbus_block_broken(b));
	vbus_block_fault(b);
	CU_ASSERT_PTR_NOT_NULL(k.dev->fault);
	CU_ASSERT_FALSE(vbus_block_up(b));
	kind_again(&k);
	CU_ASSERT_EQUAL(kind_open(&k, VBLOCK_VERSION), 0);
	share();
	CU_ASSERT_EQUAL(start(1), 0);
	CU_ASSERT_EQUAL(status_of(VBLOCK_OP_READ, 0, 0, 512), VBLOCK_STATUS_OK);
	push_raw(UINT64_MAX - 7, 64);
	CU_ASSERT_EQUAL(serve(), 0);
	CU_ASSERT(vbus_block_broken(b));
	down();
	vbus_ctl_unlock();
}

/* North resets with a request under way: it is answered to nobody, and the next session waits for it. */
static void
test_sessions(void)
{
	static struct vbus_block_req old, r;
	static uint8_t data[512];
	struct vbus_block_stats st;
	struct vbus_memmap *m;

	vbus_ctl_lock();
	up();
	CU_ASSERT_EQUAL(start(1), 0);
	issue(0, 1, VBLOCK_OP_READ, 0, 0, 512);
	CU_ASSERT_FATAL(vbus_block_take(b, &old));
	kind_again(&k);
	CU_ASSERT_EQUAL(kind_open(&k, VBLOCK_VERSION), 0);
	share();
	CU_ASSERT_EQUAL(start(1), 0);
	issue(0, 2, VBLOCK_OP_READ, 0, 0, 512);
	memset(data_of(0, 2), 0x11, 512);
	memset(data_of(0, 1), 0x22, 512);
	CU_ASSERT_FALSE(vbus_block_take(b, &r));
	CU_ASSERT_EQUAL(vbus_block_copy_out(b, &old, data), 0);
	CU_ASSERT_EQUAL(data_of(0, 1)[0], 0x22); /* untouched */
	CU_ASSERT(vbus_block_complete(b, &old, VBLOCK_STATUS_OK));
	CU_ASSERT_EQUAL(done(0), UINT64_MAX);
	vbus_block_stats(b, &st);
	CU_ASSERT_EQUAL(st.lost, 1);
	CU_ASSERT_FATAL(vbus_block_take(b, &r));
	CU_ASSERT_EQUAL(r.tag, 2);
	/* memory away for a moment: the answer is kept */
	m = vbus_bridge_memmap(k.n.b);
	CU_ASSERT_EQUAL(vbus_memmap_del(m, NORTH_IOVA, NORTH_SIZE), 0);
	CU_ASSERT_FALSE(vbus_block_complete(b, &r, VBLOCK_STATUS_OK));
	CU_ASSERT_EQUAL(vbus_memmap_add(m, NORTH_IOVA, NORTH_SIZE, dup(k.n.fd), 0,
				VBUS_MEM_READ | VBUS_MEM_WRITE),
		0);
	CU_ASSERT_EQUAL(vbus_block_copy_out(b, &r, data), 0);
	CU_ASSERT(vbus_block_complete(b, &r, VBLOCK_STATUS_OK));
	CU_ASSERT_EQUAL(done(0), VBLOCK_DONE(2, VBLOCK_STATUS_OK));
	CU_ASSERT_EQUAL(data_of(0, 2)[0], 0);
	/* it comes back without the ring: there is nothing to start any more */
	CU_ASSERT_EQUAL(vbus_memmap_del(m, NORTH_IOVA, NORTH_SIZE), 0);
	k.n.mem[queue[0].done.off] ^= 1;
	CU_ASSERT_EQUAL(vbus_memmap_add(m, NORTH_IOVA, NORTH_SIZE, dup(k.n.fd), 0,
				VBUS_MEM_READ | VBUS_MEM_WRITE),
		0);
	CU_ASSERT_PTR_NOT_NULL(k.dev->fault);
	CU_ASSERT_EQUAL(start(1), -EINVAL);
	CU_ASSERT_FALSE(vbus_block_take(b, &r));
	down();
	vbus_ctl_unlock();
}

/* STOP with one request taken and two that are not: these are the first of the next session, that one is over. */
static void
test_stop(void)
{
	static struct vbus_block_req old, r;

	vbus_ctl_lock();
	up();
	CU_ASSERT_EQUAL(start(1), 0);
	issue(0, 1, VBLOCK_OP_READ, 0, 0, 512);
	issue(0, 2, VBLOCK_OP_READ, 0, 512, 512);
	issue(0, 3, VBLOCK_OP_READ, 0, 1024, 512);
	CU_ASSERT_FATAL(vbus_block_take(b, &old));
	CU_ASSERT_EQUAL(kind_call(&k, VBLOCK_FUNC_STOP, NULL, 0), 0);
	CU_ASSERT_FALSE(vbus_block_take(b, &r));
	CU_ASSERT_EQUAL(start(1), 0);
	CU_ASSERT_FALSE(vbus_block_take(b, &r)); /* tag 1 is not over */
	CU_ASSERT(vbus_block_complete(b, &old, VBLOCK_STATUS_OK));
	CU_ASSERT_EQUAL(done(0), UINT64_MAX);
	CU_ASSERT_EQUAL(serve(), 2);
	CU_ASSERT_EQUAL(done(0), VBLOCK_DONE(2, VBLOCK_STATUS_OK));
	CU_ASSERT_EQUAL(done(0), VBLOCK_DONE(3, VBLOCK_STATUS_OK));
	CU_ASSERT_EQUAL(done(0), UINT64_MAX);
	down();
	vbus_ctl_unlock();
}

static bool
told_gone(void *arg)
{
	const struct vblock_state *st = arg;

	return __atomic_load_n(&st->south.flags, __ATOMIC_RELAXED) == VBLOCK_S_GONE;
}

/* Dropped in the middle of a session: the state block says so, once; no other end of a session does. */
static void
test_dropped(void)
{
	struct vblock_config c = {0};
	struct vblock_state *st;

	vbus_ctl_lock();
	up();
	CU_ASSERT_EQUAL(start(1), 0);
	st = (void *)(k.n.mem + state_off);
	issue(0, 1, VBLOCK_OP_READ, 0, 0, 512);
	st->signal.north.enabled = 1;
	st->signal.north.dirty = 0;
	vbus_device_detach(k.dev);
	CU_ASSERT(north_wait(told_gone, st));
	CU_ASSERT_EQUAL(st->south.capacity, 0);
	CU_ASSERT_EQUAL(st->south.seq % 2, 0);
	CU_ASSERT_EQUAL(st->signal.north.dirty, 1);
	CU_ASSERT_EQUAL(done(0), UINT64_MAX);
	CU_ASSERT_EQUAL(kind_call(&k, VBLOCK_FUNC_CONFIG, &c, sizeof(c)), 0);
	CU_ASSERT_EQUAL(c.sector_size, 0);
	memset(&st->south, 0, sizeof(st->south));
	north_sleep(50);
	CU_ASSERT_EQUAL(st->south.flags, 0);
	down();
	/* Memory of a north that began anew is its own. */
	up();
	CU_ASSERT_EQUAL(start(1), 0);
	st = (void *)(k.n.mem + state_off);
	kind_again(&k);
	vbus_device_detach(k.dev);
	north_sleep(50);
	CU_ASSERT_EQUAL(st->south.flags, 0);
	down();
	/* Nor has one anything to learn that has stopped. */
	up();
	CU_ASSERT_EQUAL(start(1), 0);
	st = (void *)(k.n.mem + state_off);
	CU_ASSERT_EQUAL(kind_call(&k, VBLOCK_FUNC_STOP, NULL, 0), 0);
	vbus_device_detach(k.dev);
	north_sleep(50);
	CU_ASSERT_EQUAL(st->south.flags, 0);
	down();
	vbus_ctl_unlock();
}

/* Another process: nothing is known of the device but what lies in the link's state. */
static int
process_again(void)
{
	const struct vbus_class_ops *ops = k.dev->cls->ops;

	ops->destroy(k.dev);
	CU_ASSERT_EQUAL_FATAL(ops->create(k.dev, &args), 0);
	b = vbus_block_of(k.dev);
	CU_ASSERT_EQUAL(vbus_block_bind(b, &user), 0);
	return ops->adopt(k.dev->conn);
}

static void
serve_some(void)
{
	serve();
}

/* One that is answered wrongly at once, one that is served: killed behind each instruction, each is answered once. */
static void
test_killed(void)
{
	uint32_t nb, i, tag = 0, left = 0, again = 0;
	const uint32_t step = stepped_distance();
	int ret = 1;

	if (stepped_skip())
		return;
	vbus_ctl_lock();
	up();
	CU_ASSERT_EQUAL(start(QUEUES), 0);
	for (nb = 0; ret == 1; nb += step) {
		uint32_t answers[2] = {0, 0};
		uint64_t d;

		issue(0, tag, VBLOCK_OP_FLUSH, 0, 0, 0);
		issue(0, tag + 1, VBLOCK_OP_READ, 0, 1, 512);
		ret = stepped_kill(serve_some, nb);
		if (ret < 0)
			break;
		/* North goes on: what it has got it does not expect again. */
		for (i = 0; i < 2; i++) {
			d = nb / step % 2 == 0 ? done(0) : UINT64_MAX;
			if (d != UINT64_MAX)
				answers[(d & VBLOCK_DONE_TAG_MASK) - tag]++;
		}
		CU_ASSERT_EQUAL_FATAL(process_again(), 0);
		again += b->nb_again;
		left += serve();
		while ((d = done(0)) != UINT64_MAX) {
			CU_ASSERT_FATAL((d & VBLOCK_DONE_TAG_MASK) - tag < 2);
			answers[(d & VBLOCK_DONE_TAG_MASK) - tag]++;
		}
		CU_ASSERT_EQUAL_FATAL(answers[0], 1);
		CU_ASSERT_EQUAL_FATAL(answers[1], 1);
		CU_ASSERT_EQUAL_FATAL(b->nb_free, BLOCK_NOTES);
		tag += 2;
	}
	CU_ASSERT(ret == 0);
	printf("killed behind %u instructions, %u requests begun again ", nb / step, again);
	CU_ASSERT(again > 0 && left > again);
	/* Another disk, or other features than north was told: it is to go and come. */
	args.identity++;
	CU_ASSERT_EQUAL(process_again(), -EINVAL);
	args.identity--;
	args.features ^= VBLOCK_F_FUA;
	CU_ASSERT_EQUAL(process_again(), -EINVAL);
	args.features ^= VBLOCK_F_FUA;
	CU_ASSERT_EQUAL(process_again(), 0);
	CU_ASSERT_EQUAL(status_of(VBLOCK_OP_FLUSH, 0, 0, 0), VBLOCK_STATUS_OK);
	/* A session that was stopped leaves nothing to be taken again. */
	issue(0, 0, VBLOCK_OP_FLUSH, 0, 0, 0);
	CU_ASSERT_EQUAL(stepped_kill(serve_some, nb / 2), 1);
	CU_ASSERT_EQUAL(kind_call(&k, VBLOCK_FUNC_STOP, NULL, 0), 0);
	CU_ASSERT_EQUAL(process_again(), 0);
	CU_ASSERT_EQUAL(start(QUEUES), 0);
	CU_ASSERT_EQUAL(serve(), 0);
	CU_ASSERT_EQUAL(b->nb_again, 0);
	down();
	vbus_ctl_unlock();
}

static void
test_resize(void)
{
	const struct vblock_state *st;
	unsigned int was;

	vbus_ctl_lock();
	up();
	CU_ASSERT_EQUAL(start(1), 0);
	st = (const void *)(k.n.mem + state_off);
	CU_ASSERT_EQUAL(st->south.capacity, DISK);
	CU_ASSERT_EQUAL(st->south.seq, 2);
	CU_ASSERT_EQUAL(vbus_block_resize(b, 100), -EINVAL);
	CU_ASSERT_EQUAL(vbus_block_resize(b, DISK / 2), 0);
	CU_ASSERT_EQUAL(st->south.capacity, DISK / 2);
	CU_ASSERT_EQUAL(st->south.seq, 4);
	CU_ASSERT_EQUAL(status_of(VBLOCK_OP_READ, 0, DISK / 2, 512), VBLOCK_STATUS_RANGE);
	CU_ASSERT_EQUAL(vbus_block_resize(b, DISK), 0);
	CU_ASSERT_EQUAL(status_of(VBLOCK_OP_READ, 0, DISK / 2, 512), VBLOCK_STATUS_OK);
	/* asleep: a request wakes */
	CU_ASSERT_FALSE(vbus_block_arm(b));
	was = nb_wakes;
	issue(0, 1, VBLOCK_OP_READ, 0, 0, 512);
	kind_kick(&k, &queue[0].req);
	CU_ASSERT_EQUAL(nb_wakes, was + 1);
	CU_ASSERT(vbus_block_arm(b));
	down();
	vbus_ctl_unlock();
}

int
main(void)
{
	static const struct cu_test tests[] = {
		{"functions", test_functions},
		{"data compares equal", test_data},
		{"statuses", test_statuses},
		{"hostile north", test_hostile},
		{"sessions", test_sessions},
		{"stop and start", test_stop},
		{"dropped", test_dropped},
		{"killed", test_killed},
		{"resize and wake-ups", test_resize},
		{NULL, NULL},
	};
	int ret;

	if (vbus_ctl_get() != 0)
		return 1;
	ret = cu_run("block", tests, NULL, NULL);
	vbus_ctl_put();
	return ret;
}
