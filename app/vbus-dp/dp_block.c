/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * Back ends of disks: a file or block device through io_uring, or memory (ADR-0013).
 *
 * Threads: made and removed by the main control thread; in between the back ends' thread owns
 * everything (dp_io.h). A request keeps one slot from take to completion; the slot's buffer is what
 * the kernel reads and writes, north's memory is only copied from and to. O_DIRECT where the file
 * system has it for sectors of this size.
 *
 * The thread looks at the file's size every tick: a file that grew or shrank is a disk that did.
 */

#include "dp_back.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <liburing.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <rte_common.h>

#include "dp_io.h"
#include "dp_log.h"
#include "vbus_block.h"
#include "vbus_core.h"
#include "vbus_ctl.h"

DP_LOG_TYPE("block");

#define SLOTS	    128u
#define BUFFER_SIZE VBUS_BLOCK_BYTES_MAX
#define DISCARD_MIN 4096u
#define LOCK_TRY_MS 10u
#define LOCK_MS	    20000u /* for requests of one that was killed */

enum step {
	STEP_FREE,
	STEP_IO,
	STEP_SYNC,   /* a WRITE_ZEROES with FUA */
	STEP_ANSWER, /* north's memory is away for a moment */
};

struct slot {
	struct vbus_block_req req;
	enum step step;
	uint32_t done; /* bytes of a READ or WRITE */
	uint32_t status;
	bool punched; /* no zero range here: a hole instead */
	uint8_t *buf;
};

struct dp_block {
	struct dp_io io; /* first */
	struct vbus_block *disk;
	char name[DP_NAME_SIZE];
	int fd; /* -1: memory */
	uint8_t *memory;
	int memory_fd;		  /* of the one that a keeper keeps; -1: it is nobody else's */
	uint64_t size, told_size; /* bytes */
	uint32_t sector;
	bool broken;
	struct io_uring ring;
	bool ring_made;
	int event_fd;
	uint32_t nb_flying; /* in the kernel */
	uint32_t nb_answers;
	uint8_t *buffers;
	uint32_t nb_free;
	uint32_t free_slot[SLOTS];
	struct slot slot[SLOTS];
};

/* ---- requests ---------------------------------------------------------------------------------- */

static uint32_t
status_of(int res)
{
	switch (res) {
	case -ENOSPC:
	case -EDQUOT:
	case -EFBIG:
		return VBLOCK_STATUS_NOSPC;
	case -EOPNOTSUPP:
		return VBLOCK_STATUS_UNSUPPORTED;
	default:
		return res < 0 ? VBLOCK_STATUS_IOERR : VBLOCK_STATUS_OK;
	}
}

/** Tell north, or keep it for a later round. */
static void
answer(struct dp_block *b, uint32_t i)
{
	struct slot *s = &b->slot[i];

	if (s->step == STEP_ANSWER)
		b->nb_answers--;
	if (s->req.op == VBLOCK_OP_READ && s->status == VBLOCK_STATUS_OK &&
		vbus_block_copy_out(b->disk, &s->req, s->buf) < 0)
		s->status = VBLOCK_STATUS_INVALID;
	if (vbus_block_complete(b->disk, &s->req, s->status)) {
		s->step = STEP_FREE;
		b->free_slot[b->nb_free++] = i;
		return;
	}
	s->step = STEP_ANSWER;
	b->nb_answers++;
}

static void
fallocate_prep(struct io_uring_sqe *sqe, const struct dp_block *b, struct slot *s)
{
	int mode = FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE;

	if (s->req.op == VBLOCK_OP_WRITE_ZEROES && (s->req.flags & VBLOCK_REQ_UNMAP) == 0 &&
		!s->punched)
		mode = FALLOC_FL_KEEP_SIZE | FALLOC_FL_ZERO_RANGE;
	else
		s->punched = true;
	io_uring_prep_fallocate(sqe, b->fd, mode, (off_t)s->req.offset, (off_t)s->req.len);
}

/** The next thing to do for a slot. There is room in the ring: it has more entries than there are slots. */
static void
submit(struct dp_block *b, uint32_t i)
{
	struct slot *s = &b->slot[i];
	struct io_uring_sqe *sqe = io_uring_get_sqe(&b->ring);
	const uint64_t at = s->req.offset + s->done;
	const uint32_t left = (uint32_t)s->req.len - s->done;

	if (s->step == STEP_SYNC || s->req.op == VBLOCK_OP_FLUSH) {
		io_uring_prep_fsync(sqe, b->fd, IORING_FSYNC_DATASYNC);
	} else if (s->req.op == VBLOCK_OP_READ) {
		io_uring_prep_read(sqe, b->fd, s->buf + s->done, left, at);
	} else if (s->req.op == VBLOCK_OP_WRITE) {
		io_uring_prep_write(sqe, b->fd, s->buf + s->done, left, at);
		if ((s->req.flags & VBLOCK_REQ_FUA) != 0)
			sqe->rw_flags = RWF_DSYNC;
	} else {
		fallocate_prep(sqe, b, s);
	}
	io_uring_sqe_set_data64(sqe, i);
	b->nb_flying++;
}

/** The kernel is done with a step. */
static void
finish(struct dp_block *b, uint32_t i, int res)
{
	struct slot *s = &b->slot[i];
	const bool data = s->req.op == VBLOCK_OP_READ || s->req.op == VBLOCK_OP_WRITE;

	b->nb_flying--;
	if (res == -EAGAIN || res == -EINTR) {
		submit(b, i);
		return;
	}
	if (res == -EOPNOTSUPP && s->req.op == VBLOCK_OP_WRITE_ZEROES && !s->punched) {
		s->punched = true; /* a hole reads as zeroes too */
		submit(b, i);
		return;
	}
	if (data && res > 0 && s->done + (uint32_t)res < s->req.len) {
		s->done += (uint32_t)res;
		submit(b, i);
		return;
	}
	if (data && res == 0)
		res = -EIO; /* the file ends before the disk does */
	if (res >= 0 && s->step == STEP_IO && s->req.op == VBLOCK_OP_WRITE_ZEROES &&
		(s->req.flags & VBLOCK_REQ_FUA) != 0) {
		s->step = STEP_SYNC;
		submit(b, i);
		return;
	}
	s->status = status_of(res);
	answer(b, i);
}

/** A disk of memory: done at once. */
static void
serve_memory(struct dp_block *b, uint32_t i)
{
	struct slot *s = &b->slot[i];
	uint8_t *at = b->memory + s->req.offset;

	s->status = VBLOCK_STATUS_OK;
	switch (s->req.op) {
	case VBLOCK_OP_READ:
		s->buf = at;
		break;
	case VBLOCK_OP_WRITE:
		if (vbus_block_copy_in(b->disk, &s->req, at) < 0)
			s->status = VBLOCK_STATUS_INVALID;
		break;
	case VBLOCK_OP_DISCARD:
	case VBLOCK_OP_WRITE_ZEROES:
		if (s->req.op == VBLOCK_OP_WRITE_ZEROES && (s->req.flags & VBLOCK_REQ_UNMAP) == 0)
			memset(at, 0, s->req.len);
		else if (s->req.offset % DISCARD_MIN != 0 || s->req.len % DISCARD_MIN != 0 ||
			 madvise(at, s->req.len, b->memory_fd < 0 ? MADV_DONTNEED : MADV_REMOVE) !=
				 0)
			memset(at, 0, s->req.len);
		break;
	default:
		break;
	}
	answer(b, i);
}

static void
begin(struct dp_block *b, uint32_t i)
{
	struct slot *s = &b->slot[i];

	s->step = STEP_IO;
	s->done = 0;
	s->punched = false;
	if (b->fd < 0) {
		serve_memory(b, i);
		return;
	}
	if (s->req.op == VBLOCK_OP_WRITE && vbus_block_copy_in(b->disk, &s->req, s->buf) < 0) {
		s->status = VBLOCK_STATUS_INVALID;
		answer(b, i);
		return;
	}
	submit(b, i);
}

/* ---- rounds ------------------------------------------------------------------------------------ */

/** Requests that are with the disk, as far as we know. */
static uint32_t
nb_busy(const struct dp_block *b)
{
	return b->nb_flying - io_uring_sq_ready(&b->ring) - io_uring_cq_ready(&b->ring);
}

/**
 * A disk often reports many completions at once and then has nothing to do until it gets the first of the
 * requests that follow them. So there is one in a round while it has nothing to do, and what north makes of the
 * first goes out before the last is copied.
 */
static bool
reap(struct dp_block *b)
{
	uint32_t most = RTE_MAX(nb_busy(b), 1u);
	struct io_uring_cqe *cqe;
	bool any = false;

	while (most-- != 0 && io_uring_peek_cqe(&b->ring, &cqe) == 0) {
		uint32_t i = (uint32_t)io_uring_cqe_get_data64(cqe);
		int res = cqe->res;

		io_uring_cqe_seen(&b->ring, cqe);
		finish(b, i, res);
		any = true;
	}
	return any;
}

/**
 * The kernel hands a batch to the disk when it has prepared all of it. A disk with little to do should not wait
 * for that, one with much does not notice: so no batch is larger than half of what is under way.
 */
static void
submit_batch(struct dp_block *b)
{
	if (2 * io_uring_sq_ready(&b->ring) > nb_busy(b))
		io_uring_submit(&b->ring);
}

static void
answer_again(struct dp_block *b)
{
	uint32_t i;

	for (i = 0; i < SLOTS && b->nb_answers != 0; i++)
		if (b->slot[i].step == STEP_ANSWER)
			answer(b, i);
}

static void
look_size(struct dp_block *b)
{
	struct stat st;
	uint64_t size = b->size;

	if (fstat(b->fd, &st) != 0)
		return;
	if (S_ISREG(st.st_mode))
		size = (uint64_t)st.st_size;
	else if (ioctl(b->fd, BLKGETSIZE64, &size) != 0)
		return;
	b->size = size - size % b->sector;
}

static bool
block_poll(struct dp_io *io, bool tick)
{
	struct dp_block *b = (struct dp_block *)io;
	bool busy = b->fd >= 0 && reap(b);
	uint32_t budget = SLOTS;

	if (b->nb_answers != 0 && vbus_block_up(b->disk))
		answer_again(b);
	if (tick && b->fd >= 0)
		look_size(b);
	while (b->nb_free != 0 && budget-- != 0) {
		uint32_t i = b->free_slot[b->nb_free - 1];

		if (!vbus_block_take(b->disk, &b->slot[i].req))
			break;
		b->nb_free--;
		begin(b, i);
		if (b->fd >= 0)
			submit_batch(b);
		busy = true;
	}
	if (b->fd >= 0 && io_uring_sq_ready(&b->ring) != 0)
		io_uring_submit(&b->ring);
	b->io.waits = b->nb_flying != 0;
	vbus_block_signal(b->disk);
	b->broken = vbus_block_broken(b->disk);
	return busy;
}

static void
block_after(struct dp_io *io)
{
	struct dp_block *b = (struct dp_block *)io;

	if (!b->broken && b->size == b->told_size)
		return;
	vbus_ctl_lock();
	if (b->broken)
		vbus_block_fault(b->disk);
	if (b->size != b->told_size)
		vbus_block_resize(b->disk, b->size);
	vbus_ctl_unlock();
	b->told_size = b->size;
}

static bool
block_arm(struct dp_io *io)
{
	struct dp_block *b = (struct dp_block *)io;
	bool there = vbus_block_arm(b->disk) && b->nb_free != 0;

	if (b->fd < 0)
		return there;
	io_uring_cq_eventfd_toggle(&b->ring, true);
	return there || io_uring_cq_ready(&b->ring) != 0 || io_uring_sq_ready(&b->ring) != 0;
}

static void
block_disarm(struct dp_io *io)
{
	struct dp_block *b = (struct dp_block *)io;

	vbus_block_disarm(b->disk);
	if (b->fd >= 0)
		io_uring_cq_eventfd_toggle(&b->ring, false);
}

static const struct dp_io_ops block_ops = {
	.poll = block_poll,
	.after = block_after,
	.arm = block_arm,
	.disarm = block_disarm,
};

/* ---- making ------------------------------------------------------------------------------------ */

/** Does a read of one sector work as it is? It does not where O_DIRECT wants larger ones. */
static bool
reads_sectors(int fd, uint32_t sector)
{
	uint8_t *buf = aligned_alloc(4096, 4096);
	bool ok = buf != NULL && pread(fd, buf, sector, sector) >= 0;

	free(buf);
	return ok;
}

/** Has a process that is still there locked it? */
static bool
is_locked_by_somebody(const struct stat *st)
{
	FILE *file = fopen("/proc/locks", "re");
	unsigned int devmajor, devminor;
	bool found = false;
	char line[256];
	uint64_t ino;
	int pid;

	/* Of a lock whose process is gone there is no line, or one with a number of nobody's. */
	while (file != NULL && !found && fgets(line, sizeof(line), file) != NULL)
		found = sscanf(line, "%*d: FLOCK %*s %*s %d %x:%x:%" SCNu64, &pid, &devmajor,
				&devminor, &ino) == 4 &&
			devmajor == major(st->st_dev) && devminor == minor(st->st_dev) &&
			ino == st->st_ino && pid > 0 && (kill(pid, 0) == 0 || errno != ESRCH);
	if (file != NULL)
		fclose(file);
	return found;
}

/**
 * No two disks write to one file. The lock of a vbus-dp that was killed lasts as long as the kernel has its
 * requests under way: who comes after it waits for them, and they for nothing but the storage.
 */
static int
lock_file(const struct dp_block *b, const struct dp_device_conf *d, const struct stat *st)
{
	uint32_t waited;

	for (waited = 0; flock(b->fd, (d->readonly ? LOCK_SH : LOCK_EX) | LOCK_NB) != 0;
		waited += LOCK_TRY_MS) {
		if (errno != EWOULDBLOCK || waited >= LOCK_MS || is_locked_by_somebody(st))
			return -EBUSY;
		if (waited == 0)
			DP_LOG(NOTICE,
				"device %s: %s: requests of a process that is gone are under way",
				d->name, d->file);
		usleep(LOCK_TRY_MS * 1000);
	}
	return 0;
}

static int
open_file(struct dp_block *b, const struct dp_device_conf *d)
{
	const int flags = (d->readonly ? O_RDONLY : O_RDWR) | O_CLOEXEC;
	struct stat st;
	int ret;

	b->fd = open(d->file, flags | O_DIRECT);
	if (b->fd >= 0 && !reads_sectors(b->fd, d->sector)) {
		close(b->fd);
		b->fd = -1;
		errno = EINVAL;
	}
	if (b->fd < 0 && errno == EINVAL) {
		DP_LOG(NOTICE, "device %s: %s: no O_DIRECT for sectors of %u bytes", d->name,
			d->file, d->sector);
		b->fd = open(d->file, flags);
	}
	if (b->fd < 0 || fstat(b->fd, &st) != 0)
		return -errno;
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		return -ENOTBLK;
	ret = lock_file(b, d, &st);
	if (ret == 0)
		look_size(b);
	return ret;
}

static int
make_ring(struct dp_block *b)
{
	uint32_t i;
	int ret = io_uring_queue_init(2 * SLOTS, &b->ring, 0);

	if (ret < 0)
		return ret;
	b->ring_made = true;
	b->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (b->event_fd < 0)
		return -errno;
	ret = io_uring_register_eventfd(&b->ring, b->event_fd);
	if (ret < 0)
		return ret;
	/* Untouched pages cost nothing: small requests use the first of a buffer only. */
	b->buffers = mmap(NULL, (size_t)SLOTS * BUFFER_SIZE, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (b->buffers == MAP_FAILED) {
		b->buffers = NULL;
		return -ENOMEM;
	}
	for (i = 0; i < SLOTS; i++)
		b->slot[i].buf = b->buffers + (size_t)i * BUFFER_SIZE;
	return dp_io_watch(b->event_fd);
}

/** Memory that outlives this process, if there is a keeper: what was written to it stays (ADR-0016). */
static int
open_memory(struct dp_block *b)
{
	int fds[VBUS_KEEPER_FDS];
	struct stat st;
	uint64_t word;

	if (dp_back_kept("disk", b->name, &word, fds)) {
		b->memory_fd = fds[0];
		if (fstat(fds[0], &st) != 0 || (uint64_t)st.st_size != b->size) {
			if (b->memory_fd >= 0)
				close(b->memory_fd);
			b->memory_fd = memfd_create("vbus-disk", MFD_CLOEXEC);
			if (b->memory_fd < 0 || ftruncate(b->memory_fd, (off_t)b->size) != 0)
				return -errno;
		}
	}
	b->memory = mmap(NULL, b->size, PROT_READ | PROT_WRITE,
		(b->memory_fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED) | MAP_NORESERVE,
		b->memory_fd, 0);
	if (b->memory == MAP_FAILED) {
		b->memory = NULL;
		return -ENOMEM;
	}
	return b->memory_fd < 0 ? 0 : dp_back_keep("disk", b->name, 0, &b->memory_fd, 1);
}

static int
open_disk(struct dp_block *b, const struct dp_device_conf *d)
{
	int ret = dp_io_init();

	if (ret != 0)
		return ret;
	/* Beyond RLIMIT_FSIZE: an error of the one request, not the end of everybody. */
	signal(SIGXFSZ, SIG_IGN);
	if (d->file[0] != '\0') {
		ret = open_file(b, d);
		return ret != 0 ? ret : make_ring(b);
	}
	b->size = d->memory - d->memory % d->sector;
	return open_memory(b);
}

static void
close_disk(struct dp_block *b)
{
	struct io_uring_cqe *cqe;

	if (b->nb_flying != 0)
		io_uring_submit(&b->ring);
	/* What the kernel still reads and writes are our buffers. */
	while (b->nb_flying != 0 && io_uring_wait_cqe(&b->ring, &cqe) == 0) {
		io_uring_cqe_seen(&b->ring, cqe);
		b->nb_flying--;
	}
	if (b->ring_made)
		io_uring_queue_exit(&b->ring);
	if (b->event_fd >= 0)
		close(b->event_fd);
	if (b->buffers != NULL)
		munmap(b->buffers, (size_t)SLOTS * BUFFER_SIZE);
	if (b->memory != NULL)
		munmap(b->memory, b->size);
	if (b->memory_fd >= 0)
		close(b->memory_fd);
	if (b->fd >= 0)
		close(b->fd);
	free(b);
}

static struct vbus_device *
make_device(const struct dp_block *b, const struct dp_device_conf *d)
{
	struct vbus_block_args args = {
		.capacity = b->size,
		.sector_size = d->sector,
		.features = VBLOCK_F_FLUSH,
		.nb_queues = d->queues,
		.discard_align = DISCARD_MIN,
	};
	struct vbus_device *dev;
	struct stat st;

	/* Never 0: that is a disk that is not known. */
	if (fstat(b->fd >= 0 ? b->fd : b->memory_fd, &st) == 0)
		args.identity = (uint64_t)st.st_dev << 40 ^ st.st_ino << 1 ^ 1;
	args.features |= d->readonly ? VBLOCK_F_READONLY
				     : VBLOCK_F_FUA | VBLOCK_F_DISCARD | VBLOCK_F_WRITE_ZEROES;
	vbus_ctl_lock();
	dev = vbus_device_create(d->name, d->cls, &args);
	vbus_ctl_unlock();
	return dev;
}

struct dp_block *
dp_block_make(const struct dp_device_conf *d, struct vbus_device **dev, char *err, size_t err_size)
{
	struct dp_block *b = calloc(1, sizeof(*b));
	struct vbus_block_user user = {.quiesce = dp_io_quiesce, .wake = dp_io_wake_cb, .arg = b};
	int ret;

	if (b == NULL) {
		snprintf(err, err_size, "device %s: %s", d->name, strerror(ENOMEM));
		return NULL;
	}
	b->fd = -1;
	b->memory_fd = -1;
	b->event_fd = -1;
	b->sector = d->sector;
	b->io.ops = &block_ops;
	snprintf(b->name, sizeof(b->name), "%s", d->name);
	while (b->nb_free < SLOTS) {
		b->free_slot[b->nb_free] = b->nb_free;
		b->nb_free++;
	}
	ret = open_disk(b, d);
	if (ret != 0)
		goto err;
	b->told_size = b->size;
	errno = 0;
	*dev = make_device(b, d);
	if (*dev == NULL) {
		ret = errno != 0 ? -errno : -ENOMEM;
		goto err;
	}
	b->disk = vbus_block_of(*dev);
	ret = dp_io_add(&b->io);
	if (ret != 0)
		goto err_dev;
	vbus_ctl_lock();
	vbus_block_bind(b->disk, &user); /* nobody else has it */
	vbus_ctl_unlock();
	return b;

err_dev:
	vbus_ctl_lock();
	vbus_device_delete(*dev);
	vbus_ctl_unlock();
err:
	snprintf(err, err_size, "device %s: %s%s: %s", d->name,
		d->file[0] != '\0' ? "file: " : "memory", d->file, strerror(-ret));
	close_disk(b);
	errno = -ret;
	return NULL;
}

void
dp_block_unmake(struct dp_block *b, struct vbus_device *dev)
{
	/* The thread first: who unpublishes afterwards waits for nobody. */
	dp_io_del(&b->io);
	vbus_ctl_lock();
	vbus_block_bind(b->disk, NULL);
	vbus_device_delete(dev);
	vbus_ctl_unlock();
	if (b->memory_fd >= 0)
		dp_back_keep("disk", b->name, 0, NULL, 0);
	close_disk(b);
}
