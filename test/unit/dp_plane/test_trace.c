/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/* The packet trace: every verdict, one in N, a ring that is full, and what comes to its end. */

#include "dp_rig.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "../core/cu_run.h"

static char err[DP_ERR_SIZE];

static struct dp_switch *
make_switch(void)
{
	struct dp_switch *sw = dp_switch_create("br0", 300, 1024, err, sizeof(err));

	CU_ASSERT_PTR_NOT_NULL_FATAL(sw);
	return sw;
}

/* The next record is this one. */
static void
expect(struct dpr_north *n, uint8_t verdict, const char *to)
{
	struct dp_trace_record r;
	uint64_t lost = 0;
	uint8_t mac[6];

	CU_ASSERT_FATAL(DPR_UNTIL(dp_port_trace_read(n->port, &r, 1, &lost) == 1));
	CU_ASSERT_EQUAL(r.verdict, verdict);
	CU_ASSERT_STRING_EQUAL(r.to_name, to);
	CU_ASSERT_EQUAL(r.len, 60);
	CU_ASSERT_EQUAL(r.head_len, 60);
	dpr_mac(mac, 1);
	CU_ASSERT_EQUAL(memcmp(r.head + 6, mac, 6), 0);
	CU_ASSERT_EQUAL(lost, 0);
}

static void
test_verdicts(void)
{
	struct dp_switch *sw = make_switch();
	struct dpr_north *a = dpr_port("a", sw);
	struct dpr_north *b = dpr_port("b", sw);

	CU_ASSERT_EQUAL_FATAL(dp_port_trace(a->port, 1, err, sizeof(err)), 0);
	CU_ASSERT_EQUAL(dp_port_trace(a->port, 1, err, sizeof(err)), -EBUSY);
	dpr_say(a, 0, 1, 1);
	dpr_hears(b, 0, 1, 1);
	expect(a, DP_TRACE_FLOOD_GROUP, "");
	dpr_say(a, 2, 1, 2);
	dpr_hears(b, 2, 1, 2);
	expect(a, DP_TRACE_FLOOD_UNKNOWN, "");
	dpr_say(b, 1, 2, 3);
	dpr_hears(a, 1, 2, 3);
	dpr_say(a, 2, 1, 4);
	dpr_hears(b, 2, 1, 4);
	expect(a, DP_TRACE_FORWARD, "b");
	dpr_say(a, 1, 1, 5);
	expect(a, DP_TRACE_SAME_PORT, "a");
	vbus_ctl_lock();
	vbus_venet_set_ready(b->port->venet, false);
	vbus_ctl_unlock();
	dpr_say(a, 2, 1, 6);
	expect(a, DP_TRACE_DOWN, "b");
	vbus_ctl_lock();
	vbus_venet_set_ready(b->port->venet, true);
	vbus_ctl_unlock();
	CU_ASSERT_EQUAL(dp_port_trace(a->port, 0, err, sizeof(err)), 0);
	CU_ASSERT_EQUAL(dp_port_trace(a->port, 0, err, sizeof(err)), -ENOENT);
	dpr_close(b);
	/* A port that goes takes its trace with it. */
	CU_ASSERT_EQUAL(dp_port_trace(a->port, 1, err, sizeof(err)), 0);
	dpr_close(a);
	CU_ASSERT_EQUAL(dp_switch_delete(sw), 0);
}

static void
test_one_in_n(void)
{
	struct dp_switch *sw = make_switch();
	struct dpr_north *a = dpr_port("a", sw);
	struct dp_trace_record r[16];
	uint64_t lost;

	CU_ASSERT_EQUAL_FATAL(dp_port_trace(a->port, 10, err, sizeof(err)), 0);
	for (uint32_t i = 0; i < 95; i++) {
		dpr_say(a, 0, 1, i);
		if (i % 20 == 19)
			dpr_through(a);
	}
	dpr_through(a);
	CU_ASSERT_EQUAL(dp_port_trace_read(a->port, r, 16, &lost), 10);
	CU_ASSERT_EQUAL(lost, 0);
	for (unsigned int i = 1; i < 10; i++)
		CU_ASSERT(r[i].us >= r[i - 1].us);
	CU_ASSERT_EQUAL(dp_port_trace(a->port, 0, err, sizeof(err)), 0);
	/* Nobody reads: what does not fit is counted. */
	CU_ASSERT_EQUAL_FATAL(dp_port_trace(a->port, 1, err, sizeof(err)), 0);
	for (uint32_t i = 0; i < 1100; i++) {
		dpr_say(a, 0, 1, i);
		if (i % 20 == 19)
			dpr_through(a);
	}
	CU_ASSERT_EQUAL(dp_port_trace_read(a->port, r, 16, &lost), 16);
	CU_ASSERT_EQUAL(lost, 1100 - 1023);
	dpr_close(a);
	CU_ASSERT_EQUAL(dp_switch_delete(sw), 0);
}

static int
start(void)
{
	return dp_plane_start(DP_MODE_ADAPTIVE, 200, err, sizeof(err)) != 0;
}

int
main(int argc, char **argv)
{
	static const struct cu_test tests[] = {
		{"verdicts", test_verdicts},
		{"one in N, and too many", test_one_in_n},
		{NULL, NULL},
	};
	int ret;

	(void)argc;
	ret = dpr_eal(argv[0]);
	return ret != 0 ? ret : cu_run("vbus-dp trace", tests, start, dpr_stop);
}
