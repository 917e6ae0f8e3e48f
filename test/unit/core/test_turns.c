/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * vbus_turns.h: who is looked at, and how long anybody waits. A device is a number of frames that wait;
 * a look takes up to a burst. One thread. ADR-0022.
 */

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cu_run.h"
#include "vbus_turns.h"

#define BURST 64u

static struct vbus_turns turns;

/* Devices and what was seen of them. */
static struct {
	uint32_t waiting[VBUS_TURNS_MAX];
	uint32_t looks[VBUS_TURNS_MAX]; /* in this round */
	uint32_t last[VBUS_TURNS_MAX];	/* round of the last look */
	uint32_t round;
	uint32_t longest; /* rounds between two looks at one */
	uint32_t beyond;  /* numbers that there are not */
} dev;

static uint32_t
look(void *arg, uint32_t which)
{
	uint32_t n;

	(void)arg;
	if (which >= turns.nb) {
		dev.beyond++;
		return 0;
	}
	dev.looks[which]++;
	dev.longest = RTE_MAX(dev.longest, dev.round - dev.last[which]);
	dev.last[which] = dev.round;
	n = RTE_MIN(dev.waiting[which], BURST);
	dev.waiting[which] -= n;
	return n;
}

/* Only such as there are, step by step. */
static void
ahead(void *arg, uint32_t which, uint32_t step)
{
	(void)arg;
	if (which >= turns.nb || step >= VBUS_TURNS_STEPS)
		dev.beyond++;
}

static void
begin(uint32_t nb)
{
	memset(&dev, 0, sizeof(dev));
	vbus_turns_reset(&turns, nb);
}

static uint32_t
a_round(void)
{
	memset(dev.looks, 0, sizeof(dev.looks));
	dev.round++;
	return vbus_turns_round(&turns, look, ahead, NULL);
}

static uint32_t
looked_at(uint32_t nb)
{
	uint32_t i, sum = 0;

	/* Not the sum of "!= 0": gcc 12 for arm64 gives that a minus where it vectorises. */
	for (i = 0; i < nb; i++)
		sum += RTE_MIN(dev.looks[i], 1u);
	return sum;
}

/* Each number is in order[] once. */
static bool
is_whole(void)
{
	static bool seen[VBUS_TURNS_MAX];
	uint32_t i;

	memset(seen, 0, sizeof(seen));
	for (i = 0; i < turns.nb; i++) {
		if (turns.order[i] >= turns.nb || seen[turns.order[i]])
			return false;
		seen[turns.order[i]] = true;
	}
	return turns.nb_busy <= turns.nb;
}

static void
all_idle(void)
{
	uint32_t i;

	for (i = 0; i <= VBUS_TURNS_EMPTY; i++)
		a_round();
	CU_ASSERT_EQUAL(turns.nb_busy, 0);
}

/* Where nothing moves every round looks at all: whoever goes to sleep then has seen nothing anywhere. */
static void
test_idle_round(void)
{
	static const uint32_t nbs[] = {0, 1, 2, 17, 248, VBUS_TURNS_MAX};
	uint32_t i, k;

	for (i = 0; i < RTE_DIM(nbs); i++) {
		begin(nbs[i]);
		all_idle();
		for (k = 0; k < 3; k++) {
			CU_ASSERT_EQUAL(a_round(), 0);
			CU_ASSERT_EQUAL(looked_at(nbs[i]), nbs[i]);
		}
		CU_ASSERT_TRUE(is_whole());
	}
	CU_ASSERT_EQUAL(dev.beyond, 0);
}

/* Few devices: as a plain loop. */
static void
test_few(void)
{
	uint32_t i;

	begin(VBUS_TURNS_LOOKS);
	for (i = 0; i < 200; i++) {
		dev.waiting[i % 3] = 1;
		a_round();
		CU_ASSERT_EQUAL(looked_at(VBUS_TURNS_LOOKS), VBUS_TURNS_LOOKS);
	}
}

/* Busy ones: every round. Of the others as many as were paid for, and all of them within a lap. */
static void
test_busy(void)
{
	const uint32_t nb = 1024, busy = 8,
		       paid = VBUS_TURNS_LOOKS + busy * BURST / VBUS_TURNS_PAID;
	uint32_t i, k, each;

	begin(nb);
	all_idle();
	for (i = 0; i < 1000; i++) {
		for (k = 0; k < busy; k++)
			dev.waiting[k * (nb / busy)] = BURST;
		a_round();
		if (i < 2 * nb / VBUS_TURNS_LOOKS)
			continue; /* until all 8 have been found */
		for (each = busy, k = 0; k < busy; k++)
			each -= dev.looks[k * (nb / busy)] == 1;
		CU_ASSERT_EQUAL(each, 0);
		CU_ASSERT_EQUAL(looked_at(nb), busy + paid);
	}
	CU_ASSERT_EQUAL(turns.nb_busy, busy);
	CU_ASSERT_TRUE(dev.longest <= nb / VBUS_TURNS_LOOKS + VBUS_TURNS_EMPTY);
	CU_ASSERT_TRUE(is_whole());
}

/* A busy one that falls silent is idle after VBUS_TURNS_EMPTY rounds, and not before. */
static void
test_falls_silent(void)
{
	uint32_t i;

	begin(300);
	all_idle();
	dev.waiting[5] = dev.waiting[299] = 1;
	a_round();
	CU_ASSERT_EQUAL(turns.nb_busy, 2);
	for (i = 0; i + 1 < VBUS_TURNS_EMPTY; i++)
		a_round();
	CU_ASSERT_EQUAL(turns.nb_busy, 2);
	a_round();
	CU_ASSERT_EQUAL(turns.nb_busy, 0);
	CU_ASSERT_TRUE(is_whole());
}

/* Any devices at any time: no number is lost, no frame is, and nobody waits for more than two laps. */
static void
test_random(void)
{
	const uint32_t nb = 701;
	uint64_t put = 0, got = 0;
	uint32_t i, k;

	begin(nb);
	srandom(20);
	for (i = 0; i < 20000; i++) {
		const uint32_t hot = i / 97 % nb;

		dev.waiting[hot] += BURST;
		put += BURST;
		for (k = (uint32_t)random() % 4; k != 0; k--, put++)
			dev.waiting[(uint32_t)random() % nb]++;
		got += a_round();
	}
	CU_ASSERT_TRUE(dev.longest <= 2 * (nb / VBUS_TURNS_LOOKS + 1));
	for (i = 0; i < 100; i++)
		got += a_round();
	CU_ASSERT_EQUAL(got, put);
	CU_ASSERT_EQUAL(dev.beyond, 0);
	CU_ASSERT_TRUE(is_whole());
}

static const struct cu_test tests[] = {
	{"a round without frames looks at all", test_idle_round},
	{"few devices: all in each round", test_few},
	{"busy ones each round, idle ones in turn", test_busy},
	{"a silent one is idle after a while", test_falls_silent},
	{"anything", test_random},
	{NULL, NULL},
};

int
main(void)
{
	return cu_run("turns", tests, NULL, NULL);
}
