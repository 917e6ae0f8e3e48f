/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>

uintptr_t fuzz_race_lo, fuzz_race_len;
uint32_t fuzz_race_left;
static struct fuzz_in race;

/* Where things begin to overflow, end or change their meaning. */
static const uint64_t edges[] = {
	UINT64_MAX,
	UINT64_MAX - 1,
	UINT64_MAX - 7,
	UINT64_MAX - 4095,
	1ULL << 63,
	(1ULL << 63) - 1,
	1ULL << 32,
	(1ULL << 32) + 1,
	(1ULL << 32) + 64,
	UINT32_MAX,
	UINT32_MAX - 1,
	UINT32_MAX - 15,
	0x80000000,
	0x7fffffff,
	0x40000000,
	0x10000000,
	1u << 20,
	262144,
	65549,
	65553,
	65536,
	65535,
	32768,
	16384,
	9600,
	8192,
	4096,
	4095,
	2048,
	1514,
	1500,
	1024,
};
#define NB_EDGES (sizeof(edges) / sizeof(edges[0]))
_Static_assert(NB_EDGES == 32, "the last 32 values of a byte");

void
fuzz_failed(const char *what, const char *file, int line)
{
	fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, what);
	abort();
}

size_t
in_bytes(struct fuzz_in *in, void *dst, size_t len)
{
	size_t n = (size_t)(in->end - in->at);

	n = n < len ? n : len;
	if (n != 0)
		memcpy(dst, in->at, n);
	if (n != len)
		memset((uint8_t *)dst + n, 0, len - n);
	in->at += n;
	return n;
}

uint64_t
in_num(struct fuzz_in *in)
{
	uint8_t b = in_8(in);

	if (b < 192)
		return b;
	if (b < 208)
		return in_word(in, 2);
	if (b < 218)
		return in_word(in, 4);
	if (b < 224)
		return in_word(in, 8);
	return edges[b - 224];
}

static void
race_next(void)
{
	fuzz_race_left = in_more(&race) ? (uint32_t)in_8(&race) + 1 : 0;
}

void
fuzz_race_now(uintptr_t p, size_t len)
{
	uint64_t v = 0, old = 0;
	uint8_t how, arg;

	if (len == 0 || p < fuzz_race_lo || p - fuzz_race_lo >= fuzz_race_len) {
		fuzz_race_left = 1; /* nothing is read, or nothing shared: the next load that is */
		return;
	}
	how = in_8(&race);
	arg = how >> 3;
	if (len > 8) {
		p += (size_t)arg * 8 % (len - 7);
		len = 8;
	}
	memcpy(&old, (const void *)p, len);
	switch (how & 7) {
	case 0:
		break;
	case 1:
		v = UINT64_MAX;
		break;
	case 2:
		v = old ^ 1ULL << (arg % (len * 8));
		break;
	case 3:
		v = old + 1 + arg;
		break;
	case 4:
		v = old - 1 - arg;
		break;
	case 5:
		v = arg;
		break;
	case 6:
		v = edges[arg];
		break;
	default:
		v = in_word(&race, len);
		break;
	}
	memcpy((void *)p, &v, len);
	race_next();
}

void
fuzz_begin(struct fuzz_in *in, const uint8_t *data, size_t size)
{
	size_t nb;

	*in = (struct fuzz_in){data, data + size};
	nb = in_8(in) % 64;
	if (nb > (size_t)(in->end - in->at))
		nb = (size_t)(in->end - in->at);
	in->end -= nb;
	race = (struct fuzz_in){in->end, in->end + nb};
	race_next();
}

void
fuzz_end(void)
{
	fuzz_race_left = 0;
}
