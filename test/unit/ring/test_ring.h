/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */
#ifndef TEST_RING_H
#define TEST_RING_H

/* What the ring tests share: a ring with both ends in one process, a small random source. */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <CUnit/Basic.h>

#include "vbus_ioq.h"

/* CU_ASSERT records every success; millions of checks count through here instead. */
#define TEST_CHECK(cond)                 \
	do {                             \
		if (!(cond)) {           \
			CU_ASSERT(cond); \
			test_failed();   \
		}                        \
	} while (0)

/* One broken rule fails thousands of checks: the first ones tell enough. */
static inline void
test_failed(void)
{
	if (CU_get_number_of_failures() >= 20) {
		CU_basic_show_failures(CU_get_failure_list());
		printf("\ngiving up after 20 failures\n");
		exit(1);
	}
}

struct test_case {
	const char *name;
	void (*run)(void);
};

struct test_ring {
	struct vbus_ioq_north n;
	struct vbus_ioq_south s;
	struct vbus_ioq_cursor *cur;
	struct ioq_ring_head *head;
	uint8_t *mem;
	uint64_t *cookies;
};

static uint64_t test_seed = 88172645463325252ULL;

/* 0 .. n - 1 */
static inline uint32_t
test_rand(uint32_t n)
{
	test_seed ^= test_seed << 13;
	test_seed ^= test_seed >> 7;
	test_seed ^= test_seed << 17;
	return (uint32_t)(test_seed >> 32) % n;
}

/* Exactly the ring's bytes, so that AddressSanitizer sees any access beside it. */
static inline void
test_ring_open(struct test_ring *r, uint32_t count, uint8_t valid)
{
	memset(r, 0, sizeof(*r));
	r->mem = malloc(vbus_ioq_size(count));
	r->cookies = calloc(count, sizeof(*r->cookies));
	r->cur = aligned_alloc(64, sizeof(*r->cur));
	if (r->mem == NULL || r->cookies == NULL || r->cur == NULL) {
		fprintf(stderr, "no memory\n");
		exit(1);
	}
	memset(r->cur, 0, sizeof(*r->cur));
	r->head = (void *)r->mem;
	CU_ASSERT_EQUAL_FATAL(vbus_ioq_north_format(&r->n, r->mem, count, r->cookies, valid), 0);
	CU_ASSERT_EQUAL_FATAL(vbus_ioq_south_attach(&r->s, r->mem, vbus_ioq_size(count), count,
				      r->cur, VBUS_IOQ_FRESH),
		0);
}

static inline void
test_ring_close(struct test_ring *r)
{
	free(r->mem);
	free(r->cookies);
	free(r->cur);
}

static inline int
test_main(const char *name, const struct test_case *cases, size_t nb)
{
	unsigned int failures;
	CU_pSuite suite;

	if (CU_initialize_registry() != CUE_SUCCESS)
		return 1;
	suite = CU_add_suite(name, NULL, NULL);
	for (size_t i = 0; i < nb; i++)
		CU_add_test(suite, cases[i].name, cases[i].run);
	CU_basic_set_mode(CU_BRM_NORMAL);
	CU_basic_run_tests();
	failures = CU_get_number_of_failures();
	CU_cleanup_registry();
	return failures != 0;
}

#endif /* TEST_RING_H */
