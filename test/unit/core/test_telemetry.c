/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * Telemetry as a user sees it: EAL runs, the answers come from DPDK's socket. While EAL is there:
 * the control thread keeps off the lcores.
 */

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <jansson.h>

#include <rte_eal.h>
#include <rte_telemetry.h>

#include "cu_run.h"
#include "vbus_bridge.h"
#include "vbus_compat.h"
#include "vbus_core.h"
#include "vbus_ctl.h"
#include "vbus_null.h"
#include "vbus_telemetry.h"

#define MS	   1000000ull
#define NB_DEVICES 1500

static int sock = -1;

/* ---- a class that only has to exist ---------------------------------------------------------- */

static int
fake_create(struct vbus_device *dev, const void *args)
{
	(void)dev;
	(void)args;
	return 0;
}

static void
fake_destroy(struct vbus_device *dev)
{
	(void)dev;
}

static void
fake_telemetry(struct vbus_device *dev, struct rte_tel_data *d)
{
	(void)dev;
	vbus_tel_dict_uint(d, "received_bytes", 4711);
}

static const struct vbus_class_ops fake_ops = {
	.create = fake_create,
	.destroy = fake_destroy,
	.telemetry = fake_telemetry,
};
static struct vbus_class fake_class = {.name = "fake", .type = "fake-device", .ops = &fake_ops};

/* ---- the socket ------------------------------------------------------------------------------ */

static char banner[2048];
static size_t answer_len;

static int
tel_connect(void)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	ssize_t n;

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/dpdk_telemetry.v2",
		rte_eal_get_runtime_dir());
	sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (sock < 0 || connect(sock, (struct sockaddr *)&addr, sizeof(addr)) != 0)
		return -1;
	n = read(sock, banner, sizeof(banner) - 1);
	return n > 0 ? 0 : -1;
}

/* The answer's inner value (a new reference); NULL: the command failed. */
static json_t *
ask(const char *cmd)
{
	static char buf[32768];
	json_t *all, *value;
	const char *key;
	ssize_t n;

	CU_ASSERT_EQUAL_FATAL(write(sock, cmd, strlen(cmd)), (ssize_t)strlen(cmd));
	n = read(sock, buf, sizeof(buf));
	CU_ASSERT_FATAL(n > 0);
	answer_len = (size_t)n;
	CU_ASSERT_TRUE(answer_len <= 16 * 1024);
	all = json_loadb(buf, answer_len, 0, NULL);
	CU_ASSERT_PTR_NOT_NULL_FATAL(all);
	json_object_foreach(all, key, value)
	{
		if (json_is_object(value)) {
			json_incref(value);
			json_decref(all);
			return value;
		}
	}
	json_decref(all);
	return NULL;
}

static const char *
str(json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s != NULL ? s : "(none)";
}

static long long
num(json_t *o, const char *key)
{
	json_t *v = json_object_get(o, key);

	return json_is_integer(v) ? json_integer_value(v) : -1;
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void
test_list_empty(void)
{
	json_t *o = ask("/vbus/list");

	CU_ASSERT_PTR_NOT_NULL_FATAL(o);
	CU_ASSERT_EQUAL(num(o, "total"), 0);
	CU_ASSERT_EQUAL(json_array_size(json_object_get(o, "objects")), 0);
	json_decref(o);
	CU_ASSERT_PTR_NULL(ask("/vbus/bus,none"));
	CU_ASSERT_PTR_NULL(ask("/vbus/bus"));
	CU_ASSERT_PTR_NULL(ask("/vbus/device,none"));
	CU_ASSERT_PTR_NULL(ask("/vbus/device,no/ne"));
	CU_ASSERT_PTR_NULL(ask("/vbus/device"));
	CU_ASSERT_PTR_NULL(ask("/vbus/link,none"));
	CU_ASSERT_PTR_NULL(ask("/vbus/link"));
	CU_ASSERT_PTR_NULL(ask("/vbus/list,x"));
	CU_ASSERT_PTR_NULL(ask("/vbus/list,-1"));
	CU_ASSERT_PTR_NULL(ask("/vbus/list,99999999999999999999999"));
}

static void
north_irq(void *arg)
{
	(void)arg;
}

static void
north_link(void *arg, struct rte_tel_data *d)
{
	CU_ASSERT_TRUE(vbus_ctl_locked());
	vbus_tel_dict_uint(d, "reconnects", *(const int *)arg);
}

static void
test_objects(void)
{
	static const struct vbus_null_ops north_ops = {.irq = north_irq};
	struct vbus_device *dev, *twin;
	struct vbus_bus *bus, *other;
	struct vbus_null *n;
	int seven = 7;
	json_t *o, *side;

	vbus_ctl_lock();
	bus = vbus_bus_get("vm1");
	other = vbus_bus_get("vm2");
	dev = vbus_device_create("eth0", "fake", NULL);
	twin = vbus_device_create("eth0", "fake", NULL);
	if (twin == NULL)
		twin = vbus_device_create("eth1", "fake", NULL);
	CU_ASSERT_PTR_NOT_NULL_FATAL(dev);
	CU_ASSERT_PTR_NOT_NULL_FATAL(twin);
	CU_ASSERT_EQUAL(vbus_device_attach(dev, bus), 0);
	CU_ASSERT_EQUAL(vbus_device_attach(twin, other), 0);
	n = vbus_null_open(bus, &north_ops, NULL);
	CU_ASSERT_PTR_NOT_NULL_FATAL(n);
	CU_ASSERT_EQUAL(vbus_telemetry_register_link("vm1", north_link, &seven), 0);
	CU_ASSERT_EQUAL(vbus_telemetry_register_link("vm1", north_link, &seven), -EEXIST);
	CU_ASSERT_EQUAL(vbus_telemetry_register_link("a/b", north_link, &seven), -EINVAL);
	CU_ASSERT_EQUAL(vbus_telemetry_register_link("far", north_link, &seven), 0);
	vbus_ctl_unlock();

	o = ask("/vbus/list");
	CU_ASSERT_PTR_NOT_NULL_FATAL(o);
	/* 2 buses, their links, "far", 2 devices */
	CU_ASSERT_EQUAL(num(o, "total"), 7);
	CU_ASSERT_EQUAL(json_array_size(json_object_get(o, "objects")), 7);
	CU_ASSERT_STRING_EQUAL(json_string_value(json_array_get(json_object_get(o, "objects"), 5)),
		"device,vm1/eth0");
	json_decref(o);

	o = ask("/vbus/bus,vm1");
	CU_ASSERT_PTR_NOT_NULL_FATAL(o);
	CU_ASSERT_STRING_EQUAL(str(o, "connector"), "null");
	CU_ASSERT_EQUAL(num(o, "users"), 1);
	CU_ASSERT_EQUAL(num(o, "total"), 1);
	CU_ASSERT_STRING_EQUAL(
		json_string_value(json_array_get(json_object_get(o, "devices"), 0)), "eth0");
	json_decref(o);

	o = ask("/vbus/device,vm1/eth0");
	CU_ASSERT_PTR_NOT_NULL_FATAL(o);
	CU_ASSERT_STRING_EQUAL(str(o, "bus"), "vm1");
	CU_ASSERT_STRING_EQUAL(str(o, "type"), "fake-device");
	CU_ASSERT_EQUAL(num(o, "received_bytes"), 4711);
	CU_ASSERT_EQUAL(num(o, "open"), 0);
	json_decref(o);
	o = ask("/vbus/device,eth0");
	CU_ASSERT_PTR_NOT_NULL(o);
	json_decref(o);

	o = ask("/vbus/link,vm1");
	CU_ASSERT_PTR_NOT_NULL_FATAL(o);
	side = json_object_get(o, "south");
	CU_ASSERT_EQUAL(num(side, "peer"), 1);
	CU_ASSERT_EQUAL(num(side, "sessions"), 1);
	CU_ASSERT_EQUAL(num(side, "mapped_bytes"), 0);
	CU_ASSERT_EQUAL(num(side, "refused_bad_magic"), 0);
	CU_ASSERT_EQUAL(num(json_object_get(o, "north"), "reconnects"), 7);
	json_decref(o);
	o = ask("/vbus/link,far");
	CU_ASSERT_PTR_NOT_NULL_FATAL(o);
	CU_ASSERT_PTR_NULL(json_object_get(o, "south"));
	CU_ASSERT_EQUAL(num(json_object_get(o, "north"), "reconnects"), 7);
	json_decref(o);

	vbus_ctl_lock();
	vbus_telemetry_unregister_link("vm1");
	vbus_telemetry_unregister_link("far");
	vbus_telemetry_unregister_link("far");
	vbus_null_close(n);
	vbus_device_delete(dev);
	vbus_device_delete(twin);
	vbus_bus_put(bus);
	vbus_bus_put(other);
	vbus_ctl_unlock();
	test_list_empty();
}

/* Every entry once, in pages that keep their limits. */
static void
walk_pages(const char *cmd, const char *member, long long want)
{
	char text[128];
	long long offset = 0, seen = 0;
	int pages = 0;

	do {
		json_t *o;
		size_t nb;

		snprintf(text, sizeof(text), "%s,%lld", cmd, offset);
		o = ask(text);
		CU_ASSERT_PTR_NOT_NULL_FATAL(o);
		CU_ASSERT_EQUAL(num(o, "total"), want);
		CU_ASSERT_EQUAL(num(o, "offset"), offset);
		nb = json_array_size(json_object_get(o, member));
		CU_ASSERT_TRUE(nb > 0 && nb <= 512);
		seen += (long long)nb;
		offset = num(o, "next");
		CU_ASSERT_TRUE(offset == -1 || offset == seen);
		json_decref(o);
		pages++;
	} while (offset > 0 && pages < 100);
	CU_ASSERT_EQUAL(seen, want);
	CU_ASSERT_TRUE(pages >= 3);
}

static void
test_pages(void)
{
	struct vbus_bus *bus;
	char name[32];
	json_t *o;

	vbus_ctl_lock();
	bus = vbus_bus_get("a-bus-with-a-long-name24");
	CU_ASSERT_PTR_NOT_NULL_FATAL(bus);
	for (int i = 0; i < NB_DEVICES; i++) {
		struct vbus_device *dev;

		snprintf(name, sizeof(name), "device-with-a-name-%05d", i);
		dev = vbus_device_create(name, "fake", NULL);
		CU_ASSERT_PTR_NOT_NULL_FATAL(dev);
		CU_ASSERT_EQUAL(vbus_device_attach(dev, bus), 0);
	}
	vbus_ctl_unlock();
	walk_pages("/vbus/list", "objects", NB_DEVICES + 2);
	walk_pages("/vbus/bus,a-bus-with-a-long-name24", "devices", NB_DEVICES);
	o = ask("/vbus/list,1000000");
	CU_ASSERT_EQUAL(json_array_size(json_object_get(o, "objects")), 0);
	CU_ASSERT_PTR_NULL(json_object_get(o, "next"));
	json_decref(o);
	vbus_ctl_lock();
	while (vbus_device_next(NULL) != NULL)
		vbus_device_delete(vbus_device_next(NULL));
	vbus_bus_put(bus);
	vbus_ctl_unlock();
}

struct probe {
	struct vbus_ctl_timer t; /* first */
	bool done;
	cpu_set_t set;
};

static int nb_cpus; /* that the test may use */

static void
on_probe(struct vbus_ctl_timer *t)
{
	struct probe *p = (struct probe *)t;

	sched_getaffinity(0, sizeof(p->set), &p->set);
	p->done = true;
	vbus_ctl_wake();
}

/* vbus_ctl_get() was called by the main lcore, which is pinned: its affinity is not inherited. */
static void
test_affinity(void)
{
	struct probe p = {.t.fn = on_probe};
	cpu_set_t both, lcore;

	CPU_ZERO(&lcore);
	sched_getaffinity(0, sizeof(lcore), &lcore);
	CU_ASSERT_EQUAL(CPU_COUNT(&lcore), 1);
	vbus_ctl_lock();
	vbus_ctl_timer_arm(&p.t, 0);
	CU_ASSERT_EQUAL(vbus_ctl_wait(&p.done, 5000 * MS), 0);
	vbus_ctl_unlock();
	CPU_AND(&both, &p.set, &lcore);
	CU_ASSERT_TRUE(CPU_COUNT(&p.set) >= 1);
	if (nb_cpus > 1)
		CU_ASSERT_EQUAL(CPU_COUNT(&both), 0);
}

static const struct cu_test tests[] = {
	{"nothing there", test_list_empty},
	{"bus, device, link", test_objects},
	{"pages", test_pages},
	{"control thread off the lcores", test_affinity},
	{NULL, NULL},
};

static void
remove_runtime_dir(const char *dir)
{
	static const char *const files[] = {
		"dpdk_telemetry.v2", "config", "mp_socket", "fbarray_memzone", "fbarray_nohugemem"};
	char path[256];

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, files[i]);
		unlink(path);
	}
	rmdir(dir);
}

int
main(int argc, char **argv)
{
	char prefix[64], dir[200], lcore[16];
	char *eal_args[] = {argv[0], (char *)"--no-huge", (char *)"--no-pci", (char *)"-m",
		(char *)"64", prefix, (char *)"-l", lcore, (char *)"--log-level=3"};
	int ret;

	cpu_set_t set;

	(void)argc;
	CPU_ZERO(&set);
	sched_getaffinity(0, sizeof(set), &set);
	nb_cpus = CPU_COUNT(&set);
	snprintf(lcore, sizeof(lcore), "%d", sched_getcpu());
	snprintf(prefix, sizeof(prefix), "--file-prefix=vbus-test-%d", getpid());
	if (rte_eal_init((int)(sizeof(eal_args) / sizeof(eal_args[0])), eal_args) < 0) {
		puts("skipped: EAL does not start here");
		return 77;
	}
	snprintf(dir, sizeof(dir), "%s", rte_eal_get_runtime_dir());
	vbus_class_register(&fake_class);
	if (vbus_ctl_get() != 0 || tel_connect() != 0) {
		puts("no control thread or no telemetry socket");
		return 1;
	}
	ret = cu_run("telemetry", tests, NULL, NULL);
	close(sock);
	vbus_ctl_put();
	rte_eal_cleanup();
	remove_runtime_dir(dir);
	return ret;
}
