/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * Ports that come and go, as an application sees them: NEW for an added device, RMV for a dropped
 * one, close and attach again; and that every mbuf comes back.
 *
 * Threads: see pmd_rig.c. Argument: the folder of the plugins.
 */
#include <stdio.h>

#include <CUnit/Basic.h>
#include <rte_bus.h>
#include <rte_cycles.h>
#include <rte_dev.h>

#include "pmd_rig.h"

static bool
wait_port(const char *name, bool there, uint16_t *port)
{
	for (int i = 0; i < 2000; i++) {
		if ((rte_eth_dev_get_port_by_name(name, port) == 0) == there)
			return true;
		rte_delay_us_sleep(1000);
	}
	return false;
}

static bool
wait_count(const unsigned int *count, unsigned int least)
{
	for (int i = 0; i < 4000; i++) {
		if (__atomic_load_n(count, __ATOMIC_RELAXED) >= least)
			return true;
		rte_delay_us_sleep(1000);
	}
	return false;
}

static int
detach(uint16_t port)
{
	struct rte_eth_dev_info info;
	int ret = rte_eth_dev_info_get(port, &info);

	return ret != 0 ? ret : rte_dev_remove(info.device);
}

static void
test_add_and_drop(void)
{
	for (int i = 0; i < 20; i++) {
		unsigned int news = __atomic_load_n(&rig.new_ports, __ATOMIC_RELAXED), rmvs;
		uint16_t south, north;

		CU_ASSERT_EQUAL_FATAL(
			rte_eal_hotplug_add("vdev", "net_vbus5", "null=loop,name=hot"), 0);
		CU_ASSERT_TRUE_FATAL(wait_port("net_vbus5", true, &south));
		CU_ASSERT_TRUE_FATAL(wait_port("vbus:l0.hot", true, &north));
		CU_ASSERT_TRUE(wait_count(&rig.new_ports, news + 2));
		CU_ASSERT_EQUAL(rig_up(south), 0);
		CU_ASSERT_EQUAL(rig_up(north), 0);
		CU_ASSERT_TRUE(rig_wait_link(south, true) && rig_wait_link(north, true));
		CU_ASSERT_EQUAL(rig_pass(south, north, 100, 64), 100);
		CU_ASSERT_EQUAL(rig_pass(north, south, 100, 64), 100);
		rmvs = __atomic_load_n(&rig.rmv[north], __ATOMIC_RELAXED);
		CU_ASSERT_EQUAL(detach(south), 0);
		CU_ASSERT_TRUE(wait_count(&rig.rmv[north], rmvs + 1));
		/* The application answers RMV by giving the port back. */
		if (rte_eth_dev_is_valid_port(north)) {
			rte_eth_dev_stop(north);
			CU_ASSERT_EQUAL(detach(north), 0);
		}
		CU_ASSERT_TRUE(wait_port("vbus:l0.hot", false, &north));
		CU_ASSERT_TRUE(wait_port("net_vbus5", false, &south));
	}
}

/* Close, then take the device away, in either order; and again. */
static void
test_close_and_again(void)
{
	for (int i = 0; i < 3; i++) {
		uint16_t south, north;
		unsigned int rmvs;

		CU_ASSERT_EQUAL_FATAL(
			rte_eal_hotplug_add("vdev", "net_vbus5", "null=loop,name=hot"), 0);
		CU_ASSERT_TRUE_FATAL(wait_port("net_vbus5", true, &south));
		CU_ASSERT_TRUE_FATAL(wait_port("vbus:l0.hot", true, &north));
		rmvs = __atomic_load_n(&rig.rmv[north], __ATOMIC_RELAXED);
		if (i % 2 == 0) { /* never started */
			CU_ASSERT_EQUAL(rte_eth_dev_close(south), 0);
			CU_ASSERT(rte_eth_dev_close(south) < 0);
		} else {
			CU_ASSERT_EQUAL(rig_up(south), 0);
			CU_ASSERT_EQUAL(rte_eth_dev_stop(south), 0);
			CU_ASSERT_EQUAL(rte_eth_dev_close(south), 0);
		}
		/* Not at once: a process that ends closes its ports as well. */
		CU_ASSERT_TRUE(wait_count(&rig.rmv[north], rmvs + 1));
		if (rte_eth_dev_is_valid_port(north))
			CU_ASSERT_EQUAL(detach(north), 0);
		CU_ASSERT_EQUAL(rte_eal_hotplug_remove("vdev", "net_vbus5"), 0);
		CU_ASSERT_TRUE(wait_port("vbus:l0.hot", false, &north));
	}
}

/* North gives a port back by itself and takes it again, the device stays. */
static void
test_north_detach_attach(void)
{
	uint16_t south, north;

	CU_ASSERT_EQUAL_FATAL(rte_eal_hotplug_add("vdev", "net_vbus5", "null=loop,name=hot"), 0);
	CU_ASSERT_TRUE_FATAL(wait_port("net_vbus5", true, &south));
	CU_ASSERT_EQUAL(rig_up(south), 0);
	for (int i = 0; i < 5; i++) {
		CU_ASSERT_TRUE_FATAL(wait_port("vbus:l0.hot", true, &north));
		CU_ASSERT_EQUAL(rte_dev_probe("vbus:l0.hot"), 0); /* plugged already: nothing */
		CU_ASSERT_EQUAL(rig_up(north), 0);
		CU_ASSERT_TRUE(rig_wait_link(south, true) && rig_wait_link(north, true));
		CU_ASSERT_EQUAL(rig_pass(north, south, 100, 64), 100);
		CU_ASSERT_EQUAL(rte_eth_dev_stop(north), 0);
		CU_ASSERT_EQUAL(detach(north), 0);
		CU_ASSERT_TRUE(rig_wait_link(south, false));
		CU_ASSERT_EQUAL(rte_dev_probe("vbus:l0.hot"), 0);
	}
	CU_ASSERT_EQUAL(detach(south), 0);
	if (rte_eth_dev_get_port_by_name("vbus:l0.hot", &north) == 0)
		detach(north);
}

int
main(int argc, char **argv)
{
	unsigned int failed, missing;
	CU_pSuite suite;

	if (argc != 2 || rig_init(argv[1]) != 0) {
		printf("usage: %s FOLDER-OF-PLUGINS\n", argv[0]);
		return 1;
	}
	CU_initialize_registry();
	suite = CU_add_suite("pmd: ports come and go", NULL, NULL);
	CU_ADD_TEST(suite, test_add_and_drop);
	CU_ADD_TEST(suite, test_close_and_again);
	CU_ADD_TEST(suite, test_north_detach_attach);
	CU_basic_set_mode(CU_BRM_VERBOSE);
	CU_basic_run_tests();
	failed = CU_get_number_of_failures() + CU_get_number_of_suites_failed();
	CU_cleanup_registry();
	missing = rig_fini();
	printf("%u mbufs not given back\n", missing);
	return failed != 0 || missing != 0;
}
