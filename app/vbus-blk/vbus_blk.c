/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * A disk served over vbus, read, written and measured from a process of this machine.
 *
 *     vbus-blk --no-pci -a vbus:vm1,socket=/run/vbus/vm1.sock -- disk0 info
 *     ... disk0 read OFFSET BYTES > FILE      ... disk0 write OFFSET < FILE
 *     ... disk0 discard OFFSET BYTES          ... disk0 bench [OPTIONS]
 *
 * One thread, with the frontend of blk_disk.h.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_common.h>
#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_pause.h>

#include "blk_bench.h"
#include "blk_disk.h"

#define DEPTH	  8u
#define PIECE	  65536u /* bytes of a request */
#define TIMEOUT_S 30u

static int
fail(const char *what, int ret)
{
	fprintf(stderr, "vbus-blk: %s: %s\n", what, strerror(-ret));
	return 1;
}

static int
usage(void)
{
	fprintf(stderr,
		"usage: vbus-blk [EAL arguments] -a vbus:LINK,socket=PATH -- DEVICE COMMAND\n"
		"info | read OFFSET BYTES | write OFFSET | discard OFFSET BYTES | bench\n"
		"bench: --depth N (1), --size BYTES (4096), --seconds S (5), --ramp S (0), "
		"--sequential, --write (overwrites the disk), --json\n");
	return -EINVAL;
}

/* Wait until @p nb are completed. @return 0, -ETIMEDOUT, or -errno of the first bad status */
static int
wait_for(struct disk *d, uint32_t nb)
{
	const uint64_t end = rte_get_timer_cycles() + TIMEOUT_S * rte_get_timer_hz();
	int ret = 0;

	while (nb != 0) {
		uint32_t tag, status;
		int got = disk_pop(d, &tag, &status);

		if (got < 0)
			return got;
		if (got == 0) {
			if (rte_get_timer_cycles() > end)
				return -ETIMEDOUT;
			rte_pause();
			continue;
		}
		if (ret == 0)
			ret = disk_errno(status);
		nb--;
	}
	return ret;
}

static int
one(struct disk *d, uint32_t op, uint64_t offset, uint64_t len)
{
	disk_push(d, 0, op, offset, len);
	disk_kick(d);
	return wait_for(d, 1);
}

/** As many pieces as it takes, at once: their tags, in order, are pieces in order. */
static int
many(struct disk *d, uint32_t op, uint64_t offset, uint64_t len)
{
	uint32_t nb = 0;
	uint64_t at;

	for (at = 0; at < len; at += PIECE, nb++)
		disk_push(d, nb, op, offset + at, RTE_MIN(PIECE, len - at));
	disk_kick(d);
	return wait_for(d, nb);
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
		int ret = many(d, VBLOCK_OP_READ, offset, round);

		if (ret != 0)
			return ret;
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
		int ret;

		if (got == 0)
			break;
		if (got % d->config.sector_size != 0)
			return -EINVAL; /* there is no half a sector */
		ret = many(d, VBLOCK_OP_WRITE, offset, got);
		if (ret != 0)
			return ret;
		offset += got;
	}
	if (ferror(stdin) != 0)
		return -EIO;
	return (d->config.features & VBLOCK_F_FLUSH) != 0 ? one(d, VBLOCK_OP_FLUSH, 0, 0) : 0;
}

static int
run(struct disk *d, const struct bench *b, int argc, char **argv)
{
	uint64_t offset = argc > 1 ? strtoull(argv[1], NULL, 0) : 0;
	uint64_t len = argc > 2 ? strtoull(argv[2], NULL, 0) : 0;

	if (strcmp(argv[0], "bench") == 0)
		return bench_run(b, d);
	if (argc == 1 && strcmp(argv[0], "info") == 0)
		return info(d);
	if (argc == 3 && strcmp(argv[0], "read") == 0)
		return read_out(d, offset, len);
	if (argc == 2 && strcmp(argv[0], "write") == 0)
		return write_in(d, offset);
	if (argc == 3 && strcmp(argv[0], "discard") == 0)
		return one(d, VBLOCK_OP_DISCARD, offset, len);
	return usage();
}

int
main(int argc, char **argv)
{
	static struct disk d;
	struct bench b = {.depth = DEPTH, .size = PIECE};
	int i, ret;

	/* The driver has to know the name before EAL probes. */
	for (i = 1; i + 1 < argc; i++)
		if (strcmp(argv[i], "--") == 0) {
			disk_want(argv[i + 1]);
			break;
		}
	ret = rte_eal_init(argc, argv);
	if (ret < 0)
		return fail("EAL", -rte_errno);
	argc -= ret;
	argv += ret;
	if (argc < 3 ||
		(strcmp(argv[2], "bench") == 0 && bench_options(&b, argc - 2, argv + 2) != 0)) {
		usage();
		rte_eal_cleanup();
		return 1;
	}
	ret = disk_open(&d, b.depth, b.size);
	if (ret == -ENODEV) {
		fprintf(stderr, "vbus-blk: there is no disk '%s'\n", argv[1]);
	} else if (ret != 0) {
		fail("the disk cannot be opened", ret);
	} else {
		ret = run(&d, &b, argc - 2, argv + 2);
		if (ret != 0)
			fail(argv[2], ret);
		disk_close(&d);
	}
	rte_eal_cleanup();
	return ret == 0 ? 0 : 1;
}
