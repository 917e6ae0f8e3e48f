/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * Names, classes, devices apart from buses, buses and their users.
 */

#include "fixture.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static void
test_names(void)
{
	CU_ASSERT(vbus_name_valid("a"));
	CU_ASSERT(vbus_name_valid("aZ09_-aZ09_-aZ09_-aZ09_-")); /* 24 */
	CU_ASSERT_FALSE(vbus_name_valid("aZ09_-aZ09_-aZ09_-aZ09_-x"));
	CU_ASSERT_FALSE(vbus_name_valid(""));
	CU_ASSERT_FALSE(vbus_name_valid(NULL));
	CU_ASSERT_FALSE(vbus_name_valid("a.b"));
	CU_ASSERT_FALSE(vbus_name_valid("a b"));
	CU_ASSERT_FALSE(vbus_name_valid("a/b"));
	CU_ASSERT_FALSE(vbus_name_valid("a\n"));
	CU_ASSERT_FALSE(vbus_name_valid("\xc3\xa4"));
}

static void
test_create(void)
{
	struct vbus_device *a, *b;
	int args = 0;

	CU_ASSERT_PTR_NULL(vbus_device_create("a.b", "dummy", NULL));
	CU_ASSERT_EQUAL(errno, EINVAL);
	CU_ASSERT_PTR_NULL(vbus_device_create("a", "nothing", NULL));
	CU_ASSERT_EQUAL(errno, ENOENT);
	CU_ASSERT_PTR_NULL(vbus_device_create("a", "dummy", &args)); /* the class refuses */
	CU_ASSERT_EQUAL(errno, EDOM);
	CU_ASSERT_PTR_NULL(vbus_device_find("a"));
	a = dummy_create("a");
	b = dummy_create("a"); /* the same name elsewhere is legal */
	CU_ASSERT_PTR_EQUAL(vbus_device_find("a"), a);
	CU_ASSERT_PTR_EQUAL(vbus_device_next(NULL), a);
	CU_ASSERT_PTR_EQUAL(vbus_device_next(a), b);
	CU_ASSERT_PTR_NULL(vbus_device_next(b));
	vbus_device_detach(a); /* on no bus: nothing */
	vbus_device_delete(a);
	vbus_device_delete(b);
	vbus_device_delete(NULL);
	CU_ASSERT_PTR_NULL(vbus_device_next(NULL));
}

static void
test_buses(void)
{
	struct vbus_bus *one, *two;
	struct vbus_device *a, *b;

	CU_ASSERT_PTR_NULL(vbus_bus_get("no.name"));
	CU_ASSERT_EQUAL(errno, EINVAL);
	CU_ASSERT_PTR_NULL(vbus_bus_find("one"));
	one = vbus_bus_get("one");
	CU_ASSERT_PTR_NOT_NULL_FATAL(one);
	CU_ASSERT_PTR_EQUAL(vbus_bus_get("one"), one);
	two = vbus_bus_get("two");
	CU_ASSERT_PTR_EQUAL(vbus_bus_next(NULL), one);
	CU_ASSERT_PTR_EQUAL(vbus_bus_next(one), two);
	CU_ASSERT_PTR_NULL(vbus_bus_next(two));
	a = dummy_create("eth0");
	b = dummy_create("eth0");
	CU_ASSERT_EQUAL(vbus_device_attach(a, one), 0);
	CU_ASSERT_EQUAL(vbus_device_attach(a, two), -EBUSY);
	CU_ASSERT_EQUAL(vbus_device_attach(b, one), -EEXIST);
	CU_ASSERT_EQUAL(vbus_device_attach(b, two), 0);
	CU_ASSERT_EQUAL(one->nb_devices, 1);
	CU_ASSERT_PTR_EQUAL(vbus_bus_device(one, "eth0"), a);
	CU_ASSERT_PTR_EQUAL(vbus_bus_device(two, "eth0"), b);
	CU_ASSERT_PTR_NULL(vbus_bus_device(two, "eth1"));
	vbus_bus_put(one);
	CU_ASSERT_PTR_EQUAL(vbus_bus_find("one"), one);
	/* The last user: devices stay, apart. */
	vbus_bus_put(one);
	CU_ASSERT_PTR_NULL(vbus_bus_find("one"));
	CU_ASSERT_PTR_NULL(a->bus);
	CU_ASSERT_EQUAL(vbus_device_attach(a, two), -EEXIST);
	vbus_device_delete(b);
	CU_ASSERT_EQUAL(vbus_device_attach(a, two), 0); /* moved */
	vbus_bus_put(two);
	vbus_bus_put(NULL);
	vbus_device_delete(a);
}

/* A bus has room for as many devices as the link state has slots. */
static void
test_full_bus(void)
{
	static struct vbus_device *devs[VBUS_BUS_DEVICES_MAX + 1];
	char name[VBUS_NAME_SIZE];
	struct vbus_pci_event ev;
	struct north n;
	uint32_t i, nb;

	north_up(&n, false);
	for (i = 0; i <= VBUS_BUS_DEVICES_MAX; i++) {
		snprintf(name, sizeof(name), "d%u", i);
		devs[i] = dummy_create(name);
		CU_ASSERT_EQUAL(
			vbus_device_attach(devs[i], n.bus), i < VBUS_BUS_DEVICES_MAX ? 0 : -ENOSPC);
	}
	CU_ASSERT_PTR_NULL(devs[VBUS_BUS_DEVICES_MAX]->bus);
	north_start(&n, 1024);
	for (nb = 0; nb < VBUS_BUS_DEVICES_MAX; nb += i) {
		for (i = 0; north_event(&n, &ev); i++) {
			CU_ASSERT_EQUAL(ev.eventid, VBUS_PCI_EVENT_DEVADD);
			CU_ASSERT_EQUAL(ev.data.add.id, nb + i + 1);
		}
		if (i == 0)
			break;
		(void)north_consumed(&n);
	}
	CU_ASSERT_EQUAL(nb, VBUS_BUS_DEVICES_MAX);
	vbus_device_detach(devs[17]);
	CU_ASSERT_EQUAL(vbus_device_attach(devs[VBUS_BUS_DEVICES_MAX], n.bus), 0);
	CU_ASSERT_EQUAL(north_expect(&n, VBUS_PCI_EVENT_DEVDROP), 18);
	CU_ASSERT_EQUAL(north_expect(&n, VBUS_PCI_EVENT_DEVADD), VBUS_BUS_DEVICES_MAX + 1);
	for (i = 0; i <= VBUS_BUS_DEVICES_MAX; i++)
		vbus_device_delete(devs[i]);
	north_down(&n);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"names", test_names},
		{"create", test_create},
		{"buses", test_buses},
		{"full bus", test_full_bus},
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {{"device", NULL, NULL, NULL, NULL, tests}, CU_SUITE_INFO_NULL};

	return fixture_run(suites);
}
