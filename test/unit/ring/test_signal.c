/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * shm_signal, one thread: the bytes each operation writes, the notifier's loop, its budget, and a
 * peer that raises for ever. What two sides do at once is explored in test_explore.c.
 * doc/abi.md section 2.
 */

#include <CUnit/Basic.h>

#include "test_ring.h"
#include "vbus_signal.h"

static struct shm_signal_desc desc;
static struct vbus_signal north, south;
static unsigned int notified;
static unsigned int raise_again;

static void
open_signals(void)
{
	vbus_signal_format(&desc);
	CU_ASSERT_EQUAL(vbus_signal_attach(&north, &desc, VBUS_LOCALITY_NORTH), 0);
	CU_ASSERT_EQUAL(vbus_signal_attach(&south, &desc, VBUS_LOCALITY_SOUTH), 0);
	notified = 0;
	raise_again = 0;
}

static void
count_notify(void *ctx)
{
	notified++;
	CU_ASSERT_PTR_EQUAL(ctx, &notified);
	if (raise_again > 0) {
		raise_again--;
		CU_ASSERT_FALSE(vbus_signal_inject(&south)); /* pending: not delivered twice */
	}
}

static void
disable_notify(void *ctx)
{
	notified++;
	vbus_signal_disable(ctx);
}

static void
test_attach(void)
{
	uint32_t mem[5] = {0};
	struct shm_signal_desc *d = (void *)mem;
	struct vbus_signal s;

	vbus_signal_format(d);
	CU_ASSERT_EQUAL(vbus_signal_attach(&s, d, VBUS_LOCALITY_SOUTH), 0);
	CU_ASSERT_PTR_EQUAL(s.local_peer, (uint8_t *)mem + 11);
	CU_ASSERT_PTR_EQUAL(s.remote_peer, (uint8_t *)mem + 8);
	CU_ASSERT_EQUAL(vbus_signal_attach(&s, (char *)d + 1, VBUS_LOCALITY_SOUTH), -EINVAL);
	CU_ASSERT_EQUAL(vbus_signal_attach(&s, (char *)d + 2, VBUS_LOCALITY_SOUTH), -EINVAL);
	mem[0]++;
	CU_ASSERT_EQUAL(vbus_signal_attach(&s, d, VBUS_LOCALITY_SOUTH), -EINVAL);
	mem[0]--;
	mem[1] = 2;
	CU_ASSERT_EQUAL(vbus_signal_attach(&s, d, VBUS_LOCALITY_SOUTH), -EINVAL);
}

static void
test_inject(void)
{
	const uint8_t *raw = (void *)&desc;

	open_signals();
	CU_ASSERT_FALSE(vbus_signal_inject(&south)); /* a poller is never interrupted */
	CU_ASSERT_EQUAL(raw[8], 0);
	CU_ASSERT_EQUAL(raw[9], 0);
	CU_ASSERT_EQUAL(raw[10], 1);
	CU_ASSERT_TRUE(vbus_signal_enable(&north)); /* what came before is not lost */
	CU_ASSERT_FALSE(vbus_signal_wakeup(&north, count_notify, &notified, 8));
	CU_ASSERT_EQUAL(notified, 1);
	CU_ASSERT_FALSE(vbus_signal_enable(&north));
	CU_ASSERT_TRUE(vbus_signal_inject(&south));
	CU_ASSERT_EQUAL(raw[9], 1);
	CU_ASSERT_FALSE(vbus_signal_inject(&south)); /* pending */
	CU_ASSERT_FALSE(vbus_signal_wakeup(&north, count_notify, &notified, 8));
	CU_ASSERT_EQUAL(notified, 2);
	CU_ASSERT_EQUAL(raw[9], 0);
	CU_ASSERT_EQUAL(raw[10], 0);
	CU_ASSERT_TRUE(vbus_signal_inject(&south));
	/* The other direction has its own record. */
	CU_ASSERT_EQUAL(raw[11] | raw[12] | raw[13], 0);
	CU_ASSERT_FALSE(vbus_signal_inject(&north));
	CU_ASSERT_EQUAL(raw[13], 1);
}

static void
test_wakeup(void)
{
	open_signals();
	CU_ASSERT_FALSE(vbus_signal_enable(&north));
	CU_ASSERT_FALSE(vbus_signal_wakeup(&north, count_notify, &notified, 8)); /* spurious */
	CU_ASSERT_EQUAL(notified, 0);
	raise_again = 3;
	CU_ASSERT_TRUE(vbus_signal_inject(&south));
	CU_ASSERT_FALSE(vbus_signal_wakeup(&north, count_notify, &notified, 8));
	CU_ASSERT_EQUAL(notified, 4);
	/* Pending alone is enough (an injector whose dirty was taken by an earlier round). */
	desc.north.pending = 1;
	CU_ASSERT_FALSE(vbus_signal_wakeup(&north, count_notify, &notified, 8));
	CU_ASSERT_EQUAL(notified, 5);
	CU_ASSERT_EQUAL(desc.north.pending, 0);
	/* A disabled side does nothing, and keeps what is raised for its next enable. */
	vbus_signal_disable(&north);
	CU_ASSERT_FALSE(vbus_signal_inject(&south));
	CU_ASSERT_FALSE(vbus_signal_wakeup(&north, count_notify, &notified, 8));
	CU_ASSERT_EQUAL(notified, 5);
	CU_ASSERT_TRUE(vbus_signal_enable(&north));
}

static void
test_budget(void)
{
	open_signals();
	CU_ASSERT_FALSE(vbus_signal_enable(&north));
	raise_again = 1000;
	CU_ASSERT_TRUE(vbus_signal_inject(&south));
	CU_ASSERT_TRUE(vbus_signal_wakeup(&north, count_notify, &notified, 10));
	CU_ASSERT_EQUAL(notified, 10);
	CU_ASSERT_EQUAL(desc.north.pending, 1);
	raise_again = 0;
	CU_ASSERT_FALSE(vbus_signal_wakeup(&north, count_notify, &notified, 10));
	CU_ASSERT_EQUAL(notified, 11);
}

/* An interrupt that turns itself off and wakes a poller: pending is cleared all the same. */
static void
test_disable_in_notifier(void)
{
	open_signals();
	CU_ASSERT_FALSE(vbus_signal_enable(&north));
	CU_ASSERT_TRUE(vbus_signal_inject(&south));
	CU_ASSERT_FALSE(vbus_signal_wakeup(&north, disable_notify, &north, 8));
	CU_ASSERT_EQUAL(notified, 1);
	CU_ASSERT_EQUAL(desc.north.pending, 0);
	CU_ASSERT_EQUAL(desc.north.enabled, 0);
	CU_ASSERT_FALSE(vbus_signal_enable(&north));
	CU_ASSERT_TRUE(vbus_signal_inject(&south));
	vbus_signal_take(&north);
	CU_ASSERT_FALSE(vbus_signal_is_raised(&north));
	CU_ASSERT_TRUE(vbus_signal_inject(&south));
}

int
main(void)
{
	static const struct test_case cases[] = {
		{"attach", test_attach},
		{"inject", test_inject},
		{"wake-up", test_wakeup},
		{"budget", test_budget},
		{"disable in the notifier", test_disable_in_notifier},
	};

	return test_main("signal", cases, sizeof(cases) / sizeof(cases[0]));
}
