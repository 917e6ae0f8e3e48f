/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * A database of a kind, for tests that kill vbus-dp: it writes numbered records, flushes, and says how
 * far it has got, for ever. A backend that goes is waited for; what it had not acknowledged is written
 * again.
 *
 *     blk_writer [EAL arguments] -- DISK RECORDS
 *
 * Record n lies in place n % RECORDS, 4096 bytes: 512 times n + its index, u64. A line "n" on standard output:
 * all records up to n were flushed. The end of standard input ends it. One thread.
 */

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_pause.h>

#include "../../../app/vbus-blk/blk_disk.h"

#define DEPTH	  8u
#define RECORD	  4096u
#define TIMEOUT_S 60u

static struct disk disk;
static uint64_t nb_records;
static uint64_t acknowledged;

static bool
is_over(void)
{
	struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};

	return poll(&in, 1, 0) > 0;
}

/** @return 0; -ENODEV: the backend is gone; -errno: as it answered; -ETIMEDOUT */
static int
wait_for(uint32_t nb)
{
	const uint64_t end = rte_get_timer_cycles() + TIMEOUT_S * rte_get_timer_hz();
	int ret = 0;

	while (nb != 0) {
		uint32_t tag, status;
		int got = disk_pop(&disk, &tag, &status);

		if (got < 0)
			return got;
		if (got == 0 && __atomic_load_n(&disk.dev->handle, __ATOMIC_RELAXED) == 0)
			return -ENODEV;
		if (got == 0 && rte_get_timer_cycles() > end)
			return -ETIMEDOUT;
		if (got == 0) {
			rte_pause();
			continue;
		}
		if (status != VBLOCK_STATUS_OK)
			ret = disk_errno(status);
		nb--;
	}
	return ret;
}

static int
write_records(void)
{
	uint64_t *words;
	uint32_t tag, i;
	int ret;

	for (tag = 0; tag < DEPTH; tag++) {
		const uint64_t n = acknowledged + 1 + tag;

		words = (void *)(disk.data + (size_t)tag * RECORD);
		for (i = 0; i < RECORD / sizeof(*words); i++)
			words[i] = n + i;
		disk_push(&disk, tag, VBLOCK_OP_WRITE, n % nb_records * RECORD, RECORD);
	}
	disk_kick(&disk);
	ret = wait_for(DEPTH);
	if (ret != 0)
		return ret;
	disk_push(&disk, 0, VBLOCK_OP_FLUSH, 0, 0);
	disk_kick(&disk);
	return wait_for(1);
}

/** Until the disk is there, or nobody wants it any more. */
static int
open_again(void)
{
	int ret;

	do {
		if (is_over())
			return -ECANCELED;
		/* Nobody looks at the old one any more. */
		if (disk.dev != NULL)
			rte_vbus_zone_free(disk.dev, "blk");
		ret = disk_open(&disk, DEPTH, RECORD);
		if (ret != 0)
			usleep(2000);
	} while (ret == -ENODEV || ret == -ETIMEDOUT || ret == -ENOTCONN);
	return ret;
}

static int
run(void)
{
	int ret = open_again();

	while (ret == 0 && !is_over()) {
		ret = write_records();
		if (ret == 0) {
			acknowledged += DEPTH;
			printf("%llu\n", (unsigned long long)acknowledged);
			fflush(stdout);
		} else if (ret == -ENODEV) {
			rte_vbus_close(disk.dev);
			ret = open_again();
		}
	}
	return ret == -ECANCELED ? 0 : ret;
}

int
main(int argc, char **argv)
{
	int i, ret;

	for (i = 1; i + 1 < argc; i++)
		if (strcmp(argv[i], "--") == 0)
			disk_want(argv[i + 1]);
	ret = rte_eal_init(argc, argv);
	if (ret < 0 || argc - ret != 3)
		return 2;
	nb_records = strtoull(argv[ret + 2], NULL, 0);
	ret = nb_records != 0 ? run() : -EINVAL;
	if (ret != 0)
		fprintf(stderr, "blk_writer: %s\n", strerror(-ret));
	if (disk.dev != NULL)
		rte_vbus_close(disk.dev);
	rte_eal_cleanup();
	return ret == 0 ? 0 : 1;
}
