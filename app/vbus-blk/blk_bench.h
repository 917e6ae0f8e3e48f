/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */
#ifndef BLK_BENCH_H
#define BLK_BENCH_H

/**
 * @file
 * vbus-blk's "bench": how fast a disk is.
 */

#include <stdbool.h>
#include <stdint.h>

#include "blk_disk.h"

struct bench {
	uint32_t depth;	 /**< requests under way */
	uint32_t size;	 /**< bytes of a request */
	double seconds;	 /**< that are counted */
	double ramp;	 /**< seconds before them */
	bool sequential; /**< else at random places */
	bool write;	 /**< overwrites the disk */
	bool json;
};

/**
 * @param argv  argv[0] is the command, options follow
 * @return 0; -EINVAL: said why
 */
int bench_options(struct bench *b, int argc, char **argv);

/** Run it on an open disk of that depth, whose pieces have at least that size; print what came out. */
int bench_run(const struct bench *b, struct disk *d);

#endif /* BLK_BENCH_H */
