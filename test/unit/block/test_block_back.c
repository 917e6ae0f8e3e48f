/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * Disks with vbus-dp's back ends and their thread; north is the rig's. 16 requests under way at once
 * on a file and on memory: what is read is what was written, and the file holds it. Discard shrinks
 * the file, a file that grows is a disk that grows, errors of the host are statuses.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <liburing.h>

#include <vbus/block.h>

#include "../core/cu_run.h"
#include "../rng/kind_rig.h"
#include "dp_back.h"

#define DISK   (8u << 20)
#define DEPTH  16u
#define DATA   65536u
#define PART   (DISK / DEPTH) /* each tag has its own part of the disk: no request overlaps another */
#define ROUNDS 40u

static struct kind_rig k;
static struct kind_rig_ring req, done;
static uint32_t state_off, pool_off, data_off;
static struct dp_back *back;
static struct vbus_device *dev;
static char dir[] = "block-test-XXXXXX";
static char path[64];
static uint8_t *model;
static uint32_t seed;

static uint32_t
rnd(uint32_t below)
{
	seed = seed * 1103515245 + 12345;
	return (seed >> 8) % below;
}

static void
share(void)
{
	struct vblock_start start = {.nb_queues = 1};
	const struct vbus_ioq_entry none = {0};
	uint32_t i;

	vbus_ctl_lock();
	CU_ASSERT_EQUAL(kind_open(&k, VBLOCK_VERSION), 0);
	CU_ASSERT_EQUAL(kind_ring(&k, &req, VBLOCK_BLOCK_REQ(0), DEPTH), 0);
	CU_ASSERT_EQUAL(kind_ring(&k, &done, VBLOCK_BLOCK_DONE(0), DEPTH), 0);
	pool_off = kind_mem(&k, DEPTH * 2048);
	CU_ASSERT_EQUAL(kind_block(&k, VBLOCK_BLOCK_POOL(0), pool_off, DEPTH * 2048, false), 0);
	state_off = kind_mem(&k, sizeof(struct vblock_state));
	memset(k.n.mem + state_off, 0, sizeof(struct vblock_state));
	CU_ASSERT_EQUAL(
		kind_block(&k, VBLOCK_BLOCK_STATE, state_off, sizeof(struct vblock_state), true),
		0);
	data_off = kind_mem(&k, DEPTH * DATA);
	for (i = 0; i < DEPTH; i++)
		vbus_ioq_north_post(&done.q, &none, 1);
	CU_ASSERT_EQUAL(kind_call(&k, VBLOCK_FUNC_START, &start, sizeof(start)), 0);
	vbus_ctl_unlock();
}

static void
up(const char *key, const char *value, const char *key2, const char *value2)
{
	struct dp_device_conf *d = dp_device_conf_new("disk0");
	char err[DP_ERR_SIZE] = "";

	CU_ASSERT_EQUAL_FATAL(dp_device_conf_set(d, "class", "block", err, sizeof(err)), 0);
	CU_ASSERT_EQUAL_FATAL(dp_device_conf_set(d, key, value, err, sizeof(err)), 0);
	CU_ASSERT_EQUAL_FATAL(dp_device_conf_set(d, key2, value2, err, sizeof(err)), 0);
	CU_ASSERT_EQUAL_FATAL(dp_device_conf_check(d, err, sizeof(err)), 0);
	back = dp_back_make(d, &dev, err, sizeof(err));
	if (back == NULL)
		printf("%s\n", err);
	CU_ASSERT_PTR_NOT_NULL_FATAL(back);
	dp_device_conf_del(d);
	vbus_ctl_lock();
	kind_up(&k, dev, VBLOCK_TYPE);
	vbus_ctl_unlock();
	share();
}

static void
down(void)
{
	vbus_ctl_lock();
	kind_down(&k);
	vbus_ctl_unlock();
	dp_back_unmake(back);
}

static uint8_t *
data_of(uint32_t tag)
{
	return k.n.mem + data_off + tag * DATA;
}

static void
issue(uint32_t tag, uint32_t op, uint32_t flags, uint64_t off, uint64_t len)
{
	struct vblock_req *r = (void *)(k.n.mem + pool_off + tag * 2048);
	struct vblock_seg *s = (void *)(r + 1);
	struct vbus_ioq_entry e = {.ptr = tag * 2048};
	uint64_t cookies[DEPTH];
	uint32_t at = 0;

	*r = (struct vblock_req){.tag = tag,
		.op = (uint16_t)op,
		.flags = (uint16_t)flags,
		.offset = off,
		.len = len};
	while ((op == VBLOCK_OP_READ || op == VBLOCK_OP_WRITE) && at < len) {
		uint32_t n = r->count < 60 ? 1 + rnd(4096) : (uint32_t)len - at;

		n = n < len - at ? n : (uint32_t)len - at;
		s[r->count].len = n;
		s[r->count++].ptr = north_addr(&k.n, data_off + tag * DATA + at);
		at += n;
	}
	e.len = VBLOCK_REQ_SIZE(r->count);
	vbus_ioq_north_reap(&req.q, cookies, DEPTH);
	CU_ASSERT_EQUAL_FATAL(vbus_ioq_north_push(&req.q, &e, 1), 1);
	vbus_ctl_lock();
	kind_kick(&k, &req);
	vbus_ctl_unlock();
}

/* The next completion, within 10 s. */
static uint64_t
wait_done(void)
{
	struct vbus_ioq_entry e;
	uint64_t end = kind_ms() + 10000;

	while (vbus_ioq_north_pop(&done.q, &e, 1) == 0) {
		if (kind_ms() > end)
			return UINT64_MAX;
		usleep(20);
	}
	vbus_ioq_north_repost(&done.q, 1);
	return e.len;
}

static uint32_t
one(uint32_t op, uint32_t flags, uint64_t off, uint64_t len)
{
	uint64_t d;

	issue(3, op, flags, off, len);
	d = wait_done();
	CU_ASSERT_EQUAL(d & VBLOCK_DONE_TAG_MASK, 3);
	return (uint32_t)(d >> VBLOCK_DONE_STATUS_SHIFT);
}

static void
make_file(uint64_t size)
{
	int fd;

	snprintf(path, sizeof(path), "%s/disk", dir);
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	CU_ASSERT_FATAL(fd >= 0 && ftruncate(fd, (off_t)size) == 0);
	close(fd);
}

/* DEPTH requests under way all the time. */
static void
mixed(void)
{
	uint32_t op[DEPTH], len[DEPTH], left = DEPTH * ROUNDS, flying = 0, wrong = 0, tag, i;
	uint64_t off[DEPTH];
	uint32_t rounds[DEPTH] = {0};

	model = calloc(1, DISK);
	for (tag = 0; left != 0 || flying != 0;) {
		uint64_t d;

		if (tag < DEPTH && rounds[tag] < ROUNDS) {
			static const uint32_t ops[] = {VBLOCK_OP_READ, VBLOCK_OP_READ,
				VBLOCK_OP_WRITE, VBLOCK_OP_WRITE, VBLOCK_OP_WRITE,
				VBLOCK_OP_WRITE_ZEROES, VBLOCK_OP_FLUSH};

			op[tag] = ops[rnd(7)];
			len[tag] = op[tag] == VBLOCK_OP_FLUSH ? 0 : 512 * (1 + rnd(DATA / 512));
			off[tag] = tag * PART + 512 * rnd((PART - len[tag]) / 512 + 1);
			for (i = 0; i < len[tag]; i++)
				data_of(tag)[i] = (uint8_t)rnd(256);
			if (op[tag] == VBLOCK_OP_WRITE)
				memcpy(model + off[tag], data_of(tag), len[tag]);
			else if (op[tag] == VBLOCK_OP_WRITE_ZEROES)
				memset(model + off[tag], 0, len[tag]);
			issue(tag, op[tag],
				op[tag] != VBLOCK_OP_READ && op[tag] != VBLOCK_OP_FLUSH
					? rnd(2) * VBLOCK_REQ_FUA
					: 0,
				off[tag], len[tag]);
			rounds[tag]++;
			left--;
			flying++;
		}
		if (flying < DEPTH && tag + 1 < DEPTH && rounds[tag + 1] == 0) {
			tag++; /* fill up first */
			continue;
		}
		d = wait_done();
		CU_ASSERT_FATAL(d != UINT64_MAX);
		tag = (uint32_t)(d & VBLOCK_DONE_TAG_MASK);
		CU_ASSERT_FATAL(tag < DEPTH);
		CU_ASSERT_EQUAL(d >> VBLOCK_DONE_STATUS_SHIFT, VBLOCK_STATUS_OK);
		flying--;
		if (op[tag] == VBLOCK_OP_READ)
			wrong += memcmp(data_of(tag), model + off[tag], len[tag]) != 0;
	}
	CU_ASSERT_EQUAL(wrong, 0);
}

static void
test_file(void)
{
	uint8_t *whole = malloc(DISK);
	int fd;

	make_file(DISK);
	up("file", path, "queues", "2");
	mixed();
	CU_ASSERT_EQUAL(one(VBLOCK_OP_FLUSH, 0, 0, 0), VBLOCK_STATUS_OK);
	down();
	fd = open(path, O_RDONLY | O_CLOEXEC);
	CU_ASSERT_EQUAL(read(fd, whole, DISK), DISK);
	close(fd);
	CU_ASSERT_EQUAL(memcmp(whole, model, DISK), 0);
	free(whole);
	free(model);
}

static void
test_memory(void)
{
	char size[16];

	snprintf(size, sizeof(size), "%u", DISK);
	up("memory", size, "sector", "512");
	mixed();
	free(model);
	CU_ASSERT_EQUAL(one(VBLOCK_OP_DISCARD, 0, 0, DISK), VBLOCK_STATUS_OK);
	CU_ASSERT_EQUAL(one(VBLOCK_OP_WRITE, 0, DISK, 512), VBLOCK_STATUS_RANGE);
	down();
}

static void
test_discard(void)
{
	struct stat before, after;
	uint32_t i;

	make_file(DISK);
	up("file", path, "sector", "4096");
	memset(data_of(3), 0x77, DATA);
	for (i = 0; i < DISK; i += DATA)
		CU_ASSERT_EQUAL(one(VBLOCK_OP_WRITE, 0, i, DATA), VBLOCK_STATUS_OK);
	CU_ASSERT_EQUAL(one(VBLOCK_OP_FLUSH, 0, 0, 0), VBLOCK_STATUS_OK);
	CU_ASSERT_EQUAL(stat(path, &before), 0);
	CU_ASSERT_EQUAL(one(VBLOCK_OP_DISCARD, 0, 0, DISK), VBLOCK_STATUS_OK);
	CU_ASSERT_EQUAL(stat(path, &after), 0);
	CU_ASSERT(after.st_blocks < before.st_blocks / 2);
	CU_ASSERT_EQUAL(after.st_size, DISK);
	CU_ASSERT_EQUAL(one(VBLOCK_OP_WRITE, 0, 0, 4096), VBLOCK_STATUS_OK);
	CU_ASSERT_EQUAL(one(VBLOCK_OP_WRITE_ZEROES, VBLOCK_REQ_FUA | VBLOCK_REQ_UNMAP, 0, 4096),
		VBLOCK_STATUS_OK);
	CU_ASSERT_EQUAL(one(VBLOCK_OP_READ, 0, 0, 4096), VBLOCK_STATUS_OK);
	CU_ASSERT_EQUAL(data_of(3)[0], 0);
	CU_ASSERT_EQUAL(data_of(3)[4095], 0);
	down();
}

static void
test_resize(void)
{
	const struct vblock_state *st;
	uint64_t end;

	make_file(DISK);
	up("file", path, "sector", "512");
	st = (const void *)(k.n.mem + state_off);
	CU_ASSERT_EQUAL(st->south.capacity, DISK);
	CU_ASSERT_EQUAL(one(VBLOCK_OP_WRITE, 0, DISK, 512), VBLOCK_STATUS_RANGE);
	CU_ASSERT_EQUAL(truncate(path, 2 * DISK + 100), 0);
	end = kind_ms() + 5000;
	while (__atomic_load_n(&st->south.capacity, __ATOMIC_ACQUIRE) != 2 * DISK &&
		kind_ms() < end)
		usleep(1000);
	CU_ASSERT_EQUAL(st->south.capacity, 2 * DISK);
	CU_ASSERT_EQUAL(one(VBLOCK_OP_WRITE, 0, DISK, 512), VBLOCK_STATUS_OK);
	down();
}

/* The file is shorter than the disk for a moment: an error, and not silence. And two disks of one file. */
static void
test_errors(void)
{
	struct dp_device_conf *d = dp_device_conf_new("disk1");
	char err[DP_ERR_SIZE] = "";
	struct vbus_device *other;
	uint32_t status;

	make_file(DISK);
	up("file", path, "sector", "512");
	dp_device_conf_set(d, "class", "block", err, sizeof(err));
	dp_device_conf_set(d, "file", path, err, sizeof(err));
	CU_ASSERT_PTR_NULL(dp_back_make(d, &other, err, sizeof(err)));
	CU_ASSERT_EQUAL(errno, EBUSY);
	CU_ASSERT_PTR_NOT_NULL(strstr(err, path));
	CU_ASSERT_EQUAL(truncate(path, 0), 0);
	status = one(VBLOCK_OP_READ, 0, DISK - 512, 512);
	CU_ASSERT(status == VBLOCK_STATUS_IOERR || status == VBLOCK_STATUS_RANGE);
	down();
	make_file(DISK);
	up("file", path, "readonly", "true");
	CU_ASSERT_EQUAL(one(VBLOCK_OP_WRITE, 0, 0, 512), VBLOCK_STATUS_READONLY);
	CU_ASSERT_EQUAL(one(VBLOCK_OP_READ, 0, 0, 512), VBLOCK_STATUS_OK);
	down();
	dp_device_conf_del(d);
}

/* North resets in the middle, again and again; every session works. */
static void
test_resets(void)
{
	uint32_t i, tag;

	make_file(DISK);
	up("file", path, "sector", "512");
	for (i = 0; i < 20; i++) {
		memset(data_of(3), (int)i, 4096);
		CU_ASSERT_EQUAL(one(VBLOCK_OP_WRITE, 0, 0, 4096), VBLOCK_STATUS_OK);
		for (tag = 0; tag < DEPTH; tag++)
			issue(tag, VBLOCK_OP_READ, 0, tag * PART, DATA);
		vbus_ctl_lock();
		kind_again(&k);
		vbus_ctl_unlock();
		share();
		memset(data_of(3), 0xff, 4096);
		CU_ASSERT_EQUAL(one(VBLOCK_OP_READ, 0, 0, 4096), VBLOCK_STATUS_OK);
		CU_ASSERT_EQUAL(data_of(3)[100], (uint8_t)i);
	}
	down();
}

/* An emulator of another processor's programs has no io_uring. */
static bool
has_io_uring(void)
{
	struct io_uring ring;
	int ret = io_uring_queue_init(2, &ring, 0);

	if (ret == 0)
		io_uring_queue_exit(&ring);
	return ret != -ENOSYS;
}

int
main(void)
{
	static const struct cu_test tests[] = {
		{"file: 16 requests under way", test_file},
		{"memory: 16 requests under way", test_memory},
		{"discard and write zeroes", test_discard},
		{"a file that grows", test_resize},
		{"errors", test_errors},
		{"resets", test_resets},
		{NULL, NULL},
	};
	int ret;

	if (!has_io_uring()) {
		printf("skipped: no io_uring here\n");
		return 77;
	}
	if (mkdtemp(dir) == NULL || vbus_ctl_get() != 0)
		return 1;
	ret = cu_run("block back ends", tests, NULL, NULL);
	vbus_ctl_put();
	unlink(path);
	rmdir(dir);
	return ret;
}
