/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/* One lcore, the main one: it polls, and control runs beside it. */

#include "dp_rig.h"

#include <pthread.h>
#include <stdio.h>

#include "../core/cu_run.h"

static char err[DP_ERR_SIZE];
static atomic_bool done;
static int result = 1;

static void
test_alone(void)
{
	struct dp_switch *sw = dp_switch_create("br0", 300, 256, err, sizeof(err));
	struct dpr_north *a = dpr_port("a", sw);
	struct dpr_north *b = dpr_port("b", sw);
	uint32_t i;

	CU_ASSERT_EQUAL(dp_port_lcore(a->port), dp_port_lcore(b->port));
	for (i = 0; i < 100; i++) {
		struct dpr_north *c = dpr_port("c", sw);

		dpr_say(a, 0, 1, i);
		dpr_hears(b, 0, 1, i);
		dpr_hears(c, 0, 1, i);
		dpr_close(c);
	}
	dpr_close(a);
	dpr_close(b);
	CU_ASSERT_EQUAL(dp_switch_delete(sw), 0);
}

static void
test_restart(void)
{
	uint32_t i;

	/* Whether the main lcore has entered its loop by then or not. */
	for (i = 0; i < 50; i++) {
		dp_plane_stop();
		if (i % 2)
			usleep(500);
		CU_ASSERT_EQUAL_FATAL(dp_plane_start(DP_MODE_ADAPTIVE, 100, err, sizeof(err)), 0);
		if (i % 3)
			usleep(300);
	}
	test_alone();
}

static int
start(void)
{
	return dp_plane_start(DP_MODE_ADAPTIVE, 100, err, sizeof(err));
}

static int
stop(void)
{
	dp_plane_stop();
	return 0;
}

static void *
control(void *arg)
{
	static const struct cu_test tests[] = {
		{"the main lcore polls", test_alone},
		{"stop and start", test_restart},
		{NULL, NULL},
	};

	(void)arg;
	result = cu_run("vbus-dp on one lcore", tests, start, stop);
	atomic_store(&done, true);
	return NULL;
}

int
main(int argc, char **argv)
{
	pthread_t thread;
	int ret;

	(void)argc;
	ret = dpr_eal_lcores(argv[0], "0");
	if (ret != 0)
		return ret;
	if (pthread_create(&thread, NULL, control, NULL) != 0)
		return 1;
	while (!atomic_load(&done)) {
		dp_plane_main_loop();
		usleep(100);
	}
	pthread_join(thread, NULL);
	return result;
}
