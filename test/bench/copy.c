/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * Plain memcpy() of frames between memory of this process and a part of a file (a window link's), for
 * test/bench/window.
 *
 *     copy FILE OFFSET FRAME SLOTS in|out|first|second        then, a line on stdin: MILLISECONDS
 *
 * Each answer is a line: million frames a second. Slots are 2,048 bytes apart, as mbufs are. "in" and "out" copy
 * and look at nobody; "second" copies out what "first" has copied in, and "first" waits for slots that are free: two
 * counters behind the slots say how far they are, looked at once for 32 frames.
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
#define LINE  128ul

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* How far the other is, with how many the two may be apart. */
static int
may(const uint64_t *other, uint64_t mine, int first, uint64_t slots)
{
	uint64_t theirs = __atomic_load_n(other, __ATOMIC_ACQUIRE);

	return first ? mine + BATCH <= theirs + slots : mine + BATCH <= theirs;
}

int
main(int argc, char **argv)
{
	unsigned long offset, frame, slots, milliseconds;
	uint64_t done = 0, n, *mine, *other;
	char *far, *own, *to, *from;
	double begin, end, t;
	int fd, first, follow;

	if (argc != 6)
		return 2;
	offset = strtoul(argv[2], NULL, 0);
	frame = strtoul(argv[3], NULL, 0);
	slots = strtoul(argv[4], NULL, 0);
	first = strcmp(argv[5], "first") == 0;
	follow = first || strcmp(argv[5], "second") == 0;
	fd = open(argv[1], O_RDWR);
	if (fd < 0 || slots == 0 || slots % BATCH != 0)
		return 1;
	far = mmap(NULL, slots * SLOT + 2 * LINE, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		(off_t)offset);
	own = aligned_alloc(2ul << 20, (slots * SLOT + (2ul << 20) - 1) & ~((2ul << 20) - 1));
	if (far == MAP_FAILED || own == NULL)
		return 1;
	madvise(own, slots * SLOT, MADV_HUGEPAGE);
	memset(own, 1, slots * SLOT);
	mine = (uint64_t *)(void *)(far + slots * SLOT + (first ? 0 : LINE));
	other = (uint64_t *)(void *)(far + slots * SLOT + (first ? LINE : 0));
	to = first || strcmp(argv[5], "in") == 0 ? far : own;
	from = to == far ? own : far;
	while (scanf("%lu", &milliseconds) == 1) {
		begin = now();
		end = begin + (double)milliseconds / 1e3;
		for (n = 0; (t = now()) < end;) {
			if (follow && !may(other, done, first, slots))
				continue;
			for (unsigned long i = 0; i < BATCH; i++) {
				unsigned long at = (done + i) % slots * SLOT;

				memcpy(to + at, from + at, frame);
			}
			n += BATCH;
			done += BATCH;
			if (follow)
				__atomic_store_n(mine, done, __ATOMIC_RELEASE);
		}
		printf("%.3f\n", (double)n / (t - begin) / 1e6);
		fflush(stdout);
	}
	return 0;
}
