/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * Devices that go while north has them open (section 7.15, ADR-0012): any number in one life of a
 * guest; every handle answers 0 until NEGOTIATE, reset or DEVCLOSE, and no longer.
 */

#include "fixture.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCKS 6u

static struct north n;

static void
eat_events(void)
{
	struct vbus_pci_event ev;

	while (north_event(&n, &ev))
		;
	(void)north_consumed(&n);
}

/* Hot add, open, share as a network driver does, drop. */
static uint64_t
one_life(uint32_t devid)
{
	struct vbus_device *dev = dummy_create("hot");
	uint64_t handle = 0;
	uint32_t i;

	CU_ASSERT_EQUAL_FATAL(vbus_device_attach(dev, n.bus), 0);
	eat_events();
	CU_ASSERT_EQUAL_FATAL(north_open(&n, devid, &handle), 0);
	for (i = 0; i < BLOCKS; i++)
		CU_ASSERT_FATAL(north_shm(&n, handle, i, i, i % 2 ? NO_SIGNAL : 8, 0xc0 + i) >= 0);
	vbus_device_delete(dev);
	eat_events();
	return handle;
}

static void
many(uint32_t nb)
{
	uint64_t *handles = calloc(nb, sizeof(*handles));
	uint32_t i;

	CU_ASSERT_PTR_NOT_NULL_FATAL(handles);
	north_up(&n, false);
	north_start(&n, 64);
	for (i = 0; i < nb; i++) {
		handles[i] = one_life(i + 1);
		/* Callable, all of them: the last, the first, one in between. */
		CU_ASSERT_EQUAL(north_func(&n, handles[i], DUMMY_FAIL, NULL, 0), 0);
		CU_ASSERT_EQUAL(north_func(&n, handles[0], DUMMY_FAIL, NULL, 0), 0);
		CU_ASSERT_EQUAL(north_func(&n, handles[i / 2], DUMMY_FAIL, NULL, 0), 0);
	}
	CU_ASSERT(north_info(&n).nb_conns <= 256);
	CU_ASSERT(north_info(&n).nb_shms <= 256 * BLOCKS);
	for (i = 0; i < nb; i++)
		CU_ASSERT_EQUAL(north_func(&n, handles[i], DUMMY_FAIL, NULL, 0), 0);
	CU_ASSERT(north_shm(&n, handles[0], 9, 9, 8, 1) >= 0);
	CU_ASSERT(north_shm(&n, handles[nb - 1], 9, 9, 8, 1) >= 0);
	/* The next driver knows none of them, nor does anybody after a reset. */
	CU_ASSERT_EQUAL(north_negotiate(&n, 0, NULL), 1);
	CU_ASSERT_EQUAL(north_info(&n).nb_conns, 0);
	CU_ASSERT_EQUAL(north_info(&n).nb_shms, 0);
	for (i = 0; i < nb; i += 97)
		CU_ASSERT_EQUAL(north_func(&n, handles[i], DUMMY_ZERO, NULL, 0), -ENOENT);
	north_down(&n);
	free(handles);
}

static void
test_many(void)
{
	many(1000);
	many(100000);
}

/* Not only the number of connections is bounded: so is that of blocks. */
static void
test_many_blocks(void)
{
	struct vbus_device *dev = dummy_create("last");
	uint64_t first = 0, handle;
	uint32_t i, k;

	north_up(&n, false);
	north_start(&n, 64);
	for (i = 0; i < 300; i++) {
		handle = one_life(i + 1);
		first = i == 0 ? handle : first;
		/* A dropped device takes any block. */
		for (k = 0; k < 100; k++)
			CU_ASSERT_FATAL(north_shm(&n, handle, 100 + k, k, NO_SIGNAL, 1) == 0);
	}
	CU_ASSERT_EQUAL(north_func(&n, first, DUMMY_FAIL, NULL, 0), 0);
	CU_ASSERT_EQUAL(vbus_device_attach(dev, n.bus), 0);
	CU_ASSERT_EQUAL(north_open(&n, 301, &handle), 0);
	for (i = 0; i < 10; i++)
		CU_ASSERT(north_shm(&n, handle, i, i, 8, 1) > 0);
	vbus_device_delete(dev);
	north_down(&n);
}

/* What was closed is unknown, also among those that were dropped. */
static void
test_closed(void)
{
	uint64_t handles[1000];
	uint32_t i;

	north_up(&n, false);
	north_start(&n, 64);
	for (i = 0; i < 1000; i++) {
		handles[i] = one_life(i + 1);
		if (i % 3 == 0)
			CU_ASSERT_EQUAL(north_close(&n, handles[i]), 0);
		eat_events();
	}
	for (i = 0; i < 1000; i++)
		CU_ASSERT_EQUAL(
			north_func(&n, handles[i], DUMMY_FAIL, NULL, 0), i % 3 == 0 ? -ENOENT : 0);
	for (i = 0; i < 1000; i++)
		CU_ASSERT_EQUAL(north_close(&n, handles[i]), i % 3 == 0 ? -ENOENT : 0);
	for (i = 0; i < 1000; i++)
		CU_ASSERT_EQUAL(north_close(&n, handles[i]), -ENOENT);
	/* Never given out. */
	CU_ASSERT_EQUAL(north_func(&n, handles[999] + (1ULL << 32), DUMMY_ZERO, NULL, 0), -ENOENT);
	CU_ASSERT_EQUAL(north_func(&n, 0, DUMMY_ZERO, NULL, 0), -ENOENT);
	CU_ASSERT_EQUAL(north_func(&n, UINT64_MAX, DUMMY_ZERO, NULL, 0), -ENOENT);
	north_down(&n);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"any number", test_many},
		{"any number of blocks", test_many_blocks},
		{"closed among them", test_closed},
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {{"dropped", NULL, NULL, NULL, NULL, tests}, CU_SUITE_INFO_NULL};

	return fixture_run(suites);
}
