/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * Plain memcpy() of frames between memory of this process and a part of a file (a window link's), for
 * test/bench/window.
 *
 *     copy FILE OFFSET FRAME SLOTS in|out        then, a line on stdin: MILLISECONDS
 *
 * Each answer is a line: million frames a second. Slots are 2,048 bytes apart, as mbufs are.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define SLOT  2048ul
#define BATCH 32ul

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int
main(int argc, char **argv)
{
	unsigned long offset, frame, slots, at = 0, n, milliseconds;
	char *far, *own, *to, *from;
	double begin, end, t;
	int fd;

	if (argc != 6)
		return 2;
	offset = strtoul(argv[2], NULL, 0);
	frame = strtoul(argv[3], NULL, 0);
	slots = strtoul(argv[4], NULL, 0);
	fd = open(argv[1], O_RDWR);
	if (fd < 0)
		return 1;
	far = mmap(NULL, slots * SLOT, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)offset);
	own = aligned_alloc(2ul << 20, (slots * SLOT + (2ul << 20) - 1) & ~((2ul << 20) - 1));
	if (far == MAP_FAILED || own == NULL)
		return 1;
	madvise(own, slots * SLOT, MADV_HUGEPAGE);
	memset(own, 1, slots * SLOT);
	memset(far, 1, slots * SLOT);
	to = strcmp(argv[5], "in") == 0 ? far : own;
	from = to == far ? own : far;
	while (scanf("%lu", &milliseconds) == 1) {
		begin = now();
		end = begin + (double)milliseconds / 1e3;
		for (n = 0; (t = now()) < end; n += BATCH) {
			for (unsigned long i = 0; i < BATCH; i++) {
				memcpy(to + at * SLOT, from + at * SLOT, frame);
				at = at + 1 == slots ? 0 : at + 1;
			}
		}
		printf("%.3f\n", (double)n / (t - begin) / 1e6);
		fflush(stdout);
	}
	return 0;
}
