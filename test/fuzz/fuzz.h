/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */
#ifndef FUZZ_H
#define FUZZ_H

/**
 * @file
 * What the fuzz targets share: an input is a sequence of operations, decoded from bytes; whatever
 * the bytes are, they mean something. An input that has ended reads as zeros.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "fuzz_race.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/** What must hold whatever a peer does. */
#define FUZZ_CHECK(cond)                                        \
	do {                                                    \
		if (__builtin_expect(!(cond), 0))               \
			fuzz_failed(#cond, __FILE__, __LINE__); \
	} while (0)
__attribute__((noreturn)) void fuzz_failed(const char *what, const char *file, int line);

struct fuzz_in {
	const uint8_t *at, *end;
};

static inline bool
in_more(const struct fuzz_in *in)
{
	return in->at < in->end;
}

static inline uint8_t
in_8(struct fuzz_in *in)
{
	return in->at < in->end ? *in->at++ : 0;
}

/** Up to @p len bytes; the rest of @p dst becomes zero. @return how many came from the input */
size_t in_bytes(struct fuzz_in *in, void *dst, size_t len);

static inline uint64_t
in_word(struct fuzz_in *in, size_t len)
{
	uint64_t v = 0;

	in_bytes(in, &v, len);
	return v;
}

/** A number: mostly small ones, words of all sizes, and those at which things overflow. */
uint64_t in_num(struct fuzz_in *in);

/** Below @p n (not 0). */
static inline uint32_t
in_below(struct fuzz_in *in, uint32_t n)
{
	return n <= 256 ? in_8(in) % n : (uint32_t)in_word(in, 2) % n;
}

/**
 * Begin: the first byte says how many bytes of the end of the input are what happens to shared
 * memory between the reads of the code under test (fuzz_race.h).
 */
void fuzz_begin(struct fuzz_in *in, const uint8_t *data, size_t size);
void fuzz_end(void);

#endif /* FUZZ_H */
