/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * How fast a disk is: DEPTH requests under way all the time for some seconds, then requests a second
 * and what each of them took.
 *
 * One thread, which polls. A latency is from before the push to the return of the pop, in TSC cycles; it
 * is counted in buckets of 1/64 of a power of two, so that a percentile is good to 1.6 %.
 */

#include "blk_bench.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_common.h>
#include <rte_cycles.h>
#include <rte_pause.h>

#define SUB_BITS  6u
#define SUBS	  (1u << SUB_BITS)
#define BUCKETS	  ((64u - SUB_BITS + 1) * SUBS)
#define TIMEOUT_S 30u
#define SECONDS	  3600.0

struct state {
	const struct bench *b;
	struct disk *d;
	uint64_t rnd;
	uint64_t nb_places, place; /* of a request's size, on the disk */
	uint64_t begun[DISK_DEPTH_MAX];
	uint32_t nb_flying;
	int error;
	/* what is counted */
	uint64_t requests, sum, longest;
	uint64_t bucket[BUCKETS];
};

/* ---- latencies --------------------------------------------------------------------------------- */

static uint32_t
bucket_of(uint64_t cycles)
{
	uint32_t top;

	if (cycles < SUBS)
		return (uint32_t)cycles;
	top = 63u - (uint32_t)__builtin_clzll(cycles);
	return (top - SUB_BITS + 1) * SUBS + (uint32_t)(cycles >> (top - SUB_BITS)) - SUBS;
}

/** The middle of a bucket, in cycles. */
static double
bucket_middle(uint32_t i)
{
	const uint32_t row = i / SUBS;
	double width;

	if (row == 0)
		return i;
	width = (double)(UINT64_C(1) << (row - 1));
	return ((double)(i % SUBS + SUBS) + 0.5) * width;
}

static void
count(struct state *s, uint64_t cycles)
{
	s->requests++;
	s->sum += cycles;
	s->longest = RTE_MAX(s->longest, cycles);
	s->bucket[bucket_of(cycles)]++;
}

/** Nanoseconds that @p part (0 to 1) of the requests took at most. */
static double
percentile(const struct state *s, double part)
{
	const double to_ns = 1e9 / (double)rte_get_tsc_hz();
	uint64_t want = (uint64_t)(part * (double)s->requests), seen = 0;
	uint32_t i;

	for (i = 0; i < BUCKETS; i++) {
		seen += s->bucket[i];
		if (seen > want)
			return RTE_MIN(bucket_middle(i), (double)s->longest) * to_ns;
	}
	return (double)s->longest * to_ns;
}

/* ---- the run ----------------------------------------------------------------------------------- */

static uint64_t
next_place(struct state *s)
{
	if (s->b->sequential) {
		s->place = s->place + 1 < s->nb_places ? s->place + 1 : 0;
		return s->place;
	}
	/* xorshift64*; the high half picks a place without a division. */
	s->rnd ^= s->rnd >> 12;
	s->rnd ^= s->rnd << 25;
	s->rnd ^= s->rnd >> 27;
	return (uint64_t)(((__uint128_t)(s->rnd * UINT64_C(0x2545f4914f6cdd1d)) * s->nb_places) >>
			  64);
}

static void
push(struct state *s, uint32_t tag)
{
	const uint32_t op = s->b->write ? VBLOCK_OP_WRITE : VBLOCK_OP_READ;
	const uint64_t offset = next_place(s) * s->b->size;

	s->begun[tag] = rte_rdtsc();
	disk_push(s->d, tag, op, offset, s->b->size);
	s->nb_flying++;
}

/** All completions that there are; while @p more, each is followed by another request. */
static void
turn(struct state *s, bool more)
{
	bool pushed = false;
	uint32_t tag, status;
	uint32_t n = 0;
	int ret = 0;

	while (n++ < s->b->depth && (ret = disk_pop(s->d, &tag, &status)) == 1) {
		s->nb_flying--;
		count(s, rte_rdtsc() - s->begun[tag]);
		if (status != VBLOCK_STATUS_OK && s->error == 0)
			s->error = disk_errno(status);
		if (!more)
			continue;
		push(s, tag);
		pushed = true;
	}
	if (ret < 0)
		s->error = ret;
	if (pushed)
		disk_kick(s->d);
	else
		rte_pause();
}

/** Keep requests under way for some time. @return cycles that it took */
static uint64_t
run_for(struct state *s, double seconds)
{
	const uint64_t begin = rte_rdtsc();
	const uint64_t end = begin + (uint64_t)(seconds * (double)rte_get_tsc_hz());
	uint64_t now = begin, stuck = begin, seen = s->requests;

	while (now < end && s->error == 0) {
		turn(s, true);
		now = rte_rdtsc();
		if (s->requests != seen) {
			seen = s->requests;
			stuck = now;
		} else if (now > stuck + TIMEOUT_S * rte_get_tsc_hz()) {
			s->error = -ETIMEDOUT;
		}
	}
	return now - begin;
}

static void
drain(struct state *s)
{
	const uint64_t end = rte_rdtsc() + TIMEOUT_S * rte_get_tsc_hz();

	while (s->nb_flying != 0 && s->error != -EPROTO && rte_rdtsc() < end)
		turn(s, false);
	if (s->nb_flying != 0 && s->error == 0)
		s->error = -ETIMEDOUT;
}

static void
print(const struct state *s, double seconds)
{
	const struct bench *b = s->b;
	const char *op = b->write ? "write" : "read",
		   *where = b->sequential ? "sequential" : "random";
	const double hz = (double)rte_get_tsc_hz();
	const double iops = (double)s->requests / seconds;
	const double mean = s->requests != 0 ? (double)s->sum / (double)s->requests / hz * 1e9 : 0;
	const double p50 = percentile(s, 0.5), p99 = percentile(s, 0.99),
		     p999 = percentile(s, 0.999);
	const double longest = (double)s->longest / hz * 1e9;

	if (b->json)
		printf("{\"op\": \"%s\", \"where\": \"%s\", \"size\": %u, \"depth\": %u, "
		       "\"seconds\": %.6f, \"requests\": %llu, \"iops\": %.1f, \"latency_ns\": "
		       "{\"mean\": %.0f, \"p50\": %.0f, \"p99\": %.0f, \"p99.9\": %.0f, \"max\": "
		       "%.0f}}\n",
			op, where, b->size, b->depth, seconds, (unsigned long long)s->requests,
			iops, mean, p50, p99, p999, longest);
	else
		printf("%s of %u bytes, %s, depth %u, %.2f s: %.0f IOPS, %.1f MiB/s\n"
		       "latency, us: mean %.1f, p50 %.1f, p99 %.1f, p99.9 %.1f, longest %.1f\n",
			op, b->size, where, b->depth, seconds, iops, iops * b->size / (1 << 20),
			mean / 1e3, p50 / 1e3, p99 / 1e3, p999 / 1e3, longest / 1e3);
}

int
bench_run(const struct bench *b, struct disk *d)
{
	static struct state s;
	uint64_t cycles;
	uint32_t tag;

	s.b = b;
	s.d = d;
	s.rnd = rte_rdtsc() | 1;
	s.nb_places = d->config.capacity / b->size;
	if (s.nb_places == 0 || b->size % d->config.sector_size != 0)
		return -EINVAL;
	for (tag = 0; b->write && tag < b->depth; tag++)
		memset(d->data + (size_t)tag * d->piece, (int)tag, b->size);
	for (tag = 0; tag < b->depth; tag++)
		push(&s, tag);
	disk_kick(d);
	run_for(&s, b->ramp);
	s.requests = s.sum = s.longest = 0;
	memset(s.bucket, 0, sizeof(s.bucket));
	cycles = run_for(&s, b->seconds);
	if (s.error == 0 && s.requests != 0)
		print(&s, (double)cycles / (double)rte_get_tsc_hz());
	drain(&s);
	return s.error;
}

/* ---- options ----------------------------------------------------------------------------------- */

/** @return false: not a number from @p low to @p high */
static bool
number(const char *text, double low, double high, double *value)
{
	char *end;

	*value = strtod(text, &end);
	return *text != '\0' && *end == '\0' && *value >= low && *value <= high;
}

int
bench_options(struct bench *b, int argc, char **argv)
{
	static const struct option longs[] = {{"depth", required_argument, NULL, 'd'},
		{"size", required_argument, NULL, 'b'}, {"seconds", required_argument, NULL, 's'},
		{"ramp", required_argument, NULL, 'r'}, {"sequential", no_argument, NULL, 'q'},
		{"write", no_argument, NULL, 'w'}, {"json", no_argument, NULL, 'j'},
		{NULL, 0, NULL, 0}};
	bool ok = true;
	double v = 0;
	int c;

	*b = (struct bench){.depth = 1, .size = 4096, .seconds = 5};
	optind = 1;
	while (ok && (c = getopt_long(argc, argv, "d:b:s:r:qwj", longs, NULL)) != -1) {
		if (c == 'd' && (ok = number(optarg, 1, DISK_DEPTH_MAX, &v)))
			b->depth = (uint32_t)v;
		else if (c == 'b' && (ok = number(optarg, 512, UINT32_MAX, &v)))
			b->size = (uint32_t)v;
		else if (c == 's')
			ok = number(optarg, 0.01, SECONDS, &b->seconds);
		else if (c == 'r')
			ok = number(optarg, 0, SECONDS, &b->ramp);
		else if (c == 'q')
			b->sequential = true;
		else if (c == 'w')
			b->write = true;
		else if (c == 'j')
			b->json = true;
		else if (c == '?')
			return -EINVAL;
		if (!ok)
			fprintf(stderr, "vbus-blk: '%s' is not a number that is possible here\n",
				optarg);
	}
	return ok && optind == argc ? 0 : -EINVAL;
}
