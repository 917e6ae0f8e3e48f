/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * The bus against a real south in the same process, by EAL's own entry points: attach, calls, shared
 * blocks and signals, devices that come and go, a peer that goes and comes back, lists,
 * detach, cleanup. Built twice: for null= and for socket=.
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include <bus_driver.h>
#include <rte_dev.h>
#include <rte_devargs.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_memory.h>

#include "../core/cu_run.h"
#include "rig.h"

static struct vbus_bus *bus;	   /* "T", seen by link "t" */
static struct rig_south *a;	   /* its device "a" */
static struct rte_vbus_device *na; /* the same, seen from north */

static void
notify(struct rte_vbus_shm *shm)
{
	(*(_Atomic int *)shm->arg)++;
}

/* A block in fresh peer-visible memory, with a formatted signal. */
static void *
block_new(struct rte_vbus_device *dev)
{
	uint8_t *va = rte_vbus_zone(dev, "block", RIG_SHM_LEN, SOCKET_ID_ANY);

	if (va != NULL)
		vbus_signal_format((struct shm_signal_desc *)(void *)(va + RIG_SHM_SIGN));
	return va;
}

/* The start's devargs were "vbus:init" and "vbus:init.keep": only that device is bound by itself. */
static void
test_lists(void)
{
	struct vbus_bus *init;
	struct rig_south *keep, *other;

	vbus_ctl_lock();
	init = vbus_bus_find("INIT");
	vbus_ctl_unlock();
	CU_ASSERT_PTR_NOT_NULL_FATAL(init);
	keep = rig_device(init, "keep");
	other = rig_device(init, "other");
	CU_ASSERT_TRUE_FATAL(keep != NULL && other != NULL);
	vbus_ctl_job_flush(); /* as a vdev's probe does on a null link: they are plugged then */
	CU_ASSERT_TRUE(rig_wait_bound("vbus:init.keep", true));
	CU_ASSERT_TRUE(rig_wait_bound("vbus:init.other", false));
	CU_ASSERT_PTR_NOT_NULL(rig_find("vbus:init.keep")->device.devargs);
	CU_ASSERT_STRING_EQUAL(rig_find("vbus:init.keep")->device.devargs->args, "x=y");
	/* An explicit attach wins. */
	CU_ASSERT_EQUAL(rte_dev_probe("vbus:init.other"), 0);
	CU_ASSERT_TRUE(rig_wait_bound("vbus:init.other", true));
	rig_device_drop(keep);
	rig_device_drop(other);
	CU_ASSERT_TRUE(rig_wait_gone("vbus:init.keep"));
	CU_ASSERT_TRUE(rig_wait_gone("vbus:init.other"));
	CU_ASSERT_EQUAL(rte_eal_hotplug_remove("vbus", "vbus:init"), 0);
}

static void
test_bad_devargs(void)
{
	CU_ASSERT_NOT_EQUAL(rte_dev_probe("vbus:bad"), 0);
	CU_ASSERT_NOT_EQUAL(rte_dev_probe("vbus:bad,foo=1"), 0);
	CU_ASSERT_NOT_EQUAL(rte_dev_probe("vbus:bad,null=x,socket=/y"), 0);
	CU_ASSERT_NOT_EQUAL(rte_dev_probe("vbus:bad,window=/dev/zero"), 0);
	CU_ASSERT_NOT_EQUAL(rte_dev_probe("vbus:bad,socket=/no/such/dir/x"), 0);
	CU_ASSERT_NOT_EQUAL(rte_dev_probe("vbus:bad,socket=/dev/null"), 0);
	CU_ASSERT_NOT_EQUAL(rte_dev_probe("vbus:nolink.dev"), 0);
	CU_ASSERT_NOT_EQUAL(rte_dev_probe("vbus:a.b.c,null=x"), 0);
	CU_ASSERT_PTR_NULL(rig_find("vbus:nolink.dev"));
}

static void
test_attach(void)
{
	bus = rig_bus("T");
	CU_ASSERT_PTR_NOT_NULL_FATAL(bus);
	a = rig_device(bus, "a");
	CU_ASSERT_PTR_NOT_NULL_FATAL(a);
	rig_north_counts.probe = 0;
	/* What is announced already is plugged when it returns. */
	CU_ASSERT_EQUAL_FATAL(rte_dev_probe(rig_devargs("t", "T")), 0);
	CU_ASSERT_EQUAL(rig_north_counts.probe, 1);
	na = rig_find("vbus:t.a");
	CU_ASSERT_PTR_NOT_NULL_FATAL(na);
	CU_ASSERT_PTR_EQUAL(na->driver, &rig_driver);
	CU_ASSERT_TRUE(rte_vbus_present(na));
	CU_ASSERT_STRING_EQUAL(na->type, RIG_TYPE);
	CU_ASSERT_STRING_EQUAL(na->dev_name, "a");
	/* Again: harmless (DECISIONS 13). With other arguments: refused. */
	CU_ASSERT_EQUAL(rte_dev_probe("vbus:t.a"), 0);
	CU_ASSERT_EQUAL(rte_dev_probe(rig_devargs("t", "T")), 0);
	CU_ASSERT_NOT_EQUAL(rte_dev_probe("vbus:t,null=OTHER"), 0);
	CU_ASSERT_EQUAL(rig_north_counts.probe, 1);
}

static void
test_calls(void)
{
	uint8_t data[4096], want[4096];

	memset(data, 5, sizeof(data));
	memset(want, 6, sizeof(want));
	CU_ASSERT_EQUAL(rte_vbus_call(na, RIG_FUNC_ADD, data, 4), -ENOTCONN);
	CU_ASSERT_EQUAL(rte_vbus_open(na, RIG_VERSION + 1), -EPROTONOSUPPORT);
	CU_ASSERT_EQUAL(na->handle, 0);
	CU_ASSERT_EQUAL(rte_vbus_open(na, RIG_VERSION), 0);
	CU_ASSERT_EQUAL(rte_vbus_open(na, RIG_VERSION), -EBUSY);
	CU_ASSERT_EQUAL(a->opened, 1);
	CU_ASSERT_EQUAL(rte_vbus_call(na, RIG_FUNC_ADD, data, sizeof(data)), 4096);
	CU_ASSERT_EQUAL(memcmp(data, want, sizeof(data)), 0);
	CU_ASSERT_EQUAL(rte_vbus_call(na, RIG_FUNC_ADD, NULL, 0), 0);
	CU_ASSERT_EQUAL(rte_vbus_call(na, RIG_FUNC_ADD, NULL, 1), -EINVAL);
	CU_ASSERT_EQUAL(rte_vbus_call(na, RIG_FUNC_ADD, data, 4097), -EINVAL);
	CU_ASSERT_EQUAL(rte_vbus_call(na, RIG_FUNC_FAIL, data, 1), -EXDEV);
	CU_ASSERT_EQUAL(data[0], 6); /* untouched by a call that failed */
	CU_ASSERT_EQUAL(rte_vbus_close(na), 0);
	CU_ASSERT_EQUAL(rte_vbus_close(na), 0);
	CU_ASSERT_EQUAL(a->closed, 1);
}

static void
test_signals(void)
{
	_Atomic int notified = 0;
	struct rte_vbus_shm shm = {.id = 1,
		.len = RIG_SHM_LEN,
		.signal_offset = RIG_SHM_SIGN,
		.notify = notify,
		.arg = &notified};
	struct rte_vbus_shm plain = {.id = 2, .len = 64, .signal_offset = -1};
	struct vbus_signal sig;

	CU_ASSERT_EQUAL_FATAL(rte_vbus_open(na, RIG_VERSION), 0);
	shm.va = block_new(na);
	CU_ASSERT_PTR_NOT_NULL_FATAL(shm.va);
	CU_ASSERT_PTR_NULL(rte_vbus_zone(na, "block", 64, SOCKET_ID_ANY));
	CU_ASSERT_TRUE(rte_vbus_visible(na, shm.va, RIG_SHM_LEN));
	plain.va = shm.va;
	shm.id = 99;
	CU_ASSERT_EQUAL(rte_vbus_shm(na, &shm), -EDOM);
	shm.id = 1;
	CU_ASSERT_EQUAL_FATAL(rte_vbus_shm(na, &shm), 0);
	CU_ASSERT_TRUE(shm.handle >= 0);
	/* North to south: the block's signal, then the kick. */
	CU_ASSERT_EQUAL(
		vbus_signal_attach(&sig, (uint8_t *)shm.va + RIG_SHM_SIGN, VBUS_LOCALITY_NORTH), 0);
	CU_ASSERT_TRUE(vbus_signal_inject(&sig));
	rte_vbus_signal(&shm);
	CU_ASSERT_TRUE(rig_wait(&a->signals, 1));
	/* South to north. */
	vbus_ctl_lock();
	vbus_shm_notify(a->shm);
	vbus_ctl_unlock();
	CU_ASSERT_TRUE(rig_wait(&notified, 1));
	/* A burst of notes becomes at least one. */
	for (int i = 0; i < 100; i++) {
		vbus_ctl_lock();
		vbus_shm_notify(a->shm);
		vbus_ctl_unlock();
	}
	for (int i = 0; i < 1000 && notified < 2; i++)
		rig_sleep_ms(1);
	CU_ASSERT_TRUE(notified >= 2);
	plain.id = 2;
	CU_ASSERT_EQUAL(rte_vbus_shm(na, &plain), 0);
	plain.signal_offset = 60; /* does not fit */
	CU_ASSERT_EQUAL(rte_vbus_shm(na, &plain), -EINVAL);
	CU_ASSERT_EQUAL(rte_vbus_close(na), 0);
	CU_ASSERT_EQUAL(shm.handle, -1);
	rte_vbus_signal(&shm); /* harmless */
	rte_vbus_zone_free(na, "block");
	rte_vbus_zone_free(na, "block");
}

static void
test_add_and_drop(void)
{
	struct rig_south *s[40];
	char name[32], full[64];

	rig_north_counts.probe = rig_north_counts.remove = 0;
	for (int i = 0; i < 40; i++) {
		snprintf(name, sizeof(name), "n%d", i);
		s[i] = rig_device(bus, name);
		CU_ASSERT_PTR_NOT_NULL_FATAL(s[i]);
	}
	CU_ASSERT_TRUE(rig_wait(&rig_north_counts.probe, 40));
	for (int i = 0; i < 40; i++) {
		snprintf(full, sizeof(full), "vbus:t.n%d", i);
		CU_ASSERT_TRUE(rig_wait_bound(full, true));
		rig_device_drop(s[i]);
	}
	CU_ASSERT_TRUE(rig_wait(&rig_north_counts.remove, 40));
	for (int i = 0; i < 40; i++) {
		snprintf(full, sizeof(full), "vbus:t.n%d", i);
		CU_ASSERT_TRUE(rig_wait_gone(full));
	}
	/* The same name, again and again, faster than anybody looks. */
	for (int i = 0; i < 100; i++) {
		s[0] = rig_device(bus, "again");
		CU_ASSERT_PTR_NOT_NULL_FATAL(s[0]);
		if (i % 3 == 0)
			rig_sleep_ms(1);
		rig_device_drop(s[0]);
	}
	CU_ASSERT_TRUE(rig_wait_gone("vbus:t.again"));
	CU_ASSERT_EQUAL(rig_north_counts.probe, rig_north_counts.remove);
}

static void
count_dropped(struct rte_vbus_device *dev)
{
	(void)dev;
	rig_north_counts.dropped++;
}

/* The application takes a dropped device away; until then its name is taken. */
static void
test_dropped(void)
{
	struct rig_south *s = rig_device(bus, "d");
	struct rte_vbus_device *old;
	uint8_t data[4] = {1, 2, 3, 4};

	CU_ASSERT_PTR_NOT_NULL_FATAL(s);
	rig_driver.dropped = count_dropped;
	CU_ASSERT_TRUE(rig_wait_bound("vbus:t.d", true));
	old = rig_find("vbus:t.d");
	CU_ASSERT_EQUAL(rte_vbus_open(old, RIG_VERSION), 0);
	rig_north_counts.dropped = rig_north_counts.remove = rig_north_counts.probe = 0;
	rig_device_drop(s);
	CU_ASSERT_TRUE(rig_wait(&rig_north_counts.dropped, 1));
	CU_ASSERT_FALSE(rte_vbus_present(old));
	CU_ASSERT_PTR_EQUAL(rig_find("vbus:t.d"), old);
	CU_ASSERT_TRUE(rte_vbus_call(old, RIG_FUNC_ADD, data, 4) >= 0); /* 7.15: callable */
	s = rig_device(bus, "d");
	CU_ASSERT_PTR_NOT_NULL_FATAL(s);
	rig_sleep_ms(50);
	CU_ASSERT_EQUAL(rig_north_counts.probe, 0);
	CU_ASSERT_EQUAL(rte_dev_remove(&old->device), 0);
	CU_ASSERT_EQUAL(rig_north_counts.remove, 1);
	CU_ASSERT_TRUE(rig_wait(&rig_north_counts.probe, 1));
	CU_ASSERT_TRUE(rig_wait_bound("vbus:t.d", true));
	rig_driver.dropped = NULL;
	rig_device_drop(s);
	CU_ASSERT_TRUE(rig_wait_gone("vbus:t.d"));
}

static void
test_detach(void)
{
	rig_north_counts.probe = rig_north_counts.remove = 0;
	CU_ASSERT_EQUAL(rte_eal_hotplug_remove("vbus", "vbus:t.a"), 0);
	CU_ASSERT_EQUAL(rig_north_counts.remove, 1);
	CU_ASSERT_TRUE(rig_wait_bound("vbus:t.a", false)); /* known, not bound */
	CU_ASSERT_NOT_EQUAL(rte_eal_hotplug_remove("vbus", "vbus:t.a"), 0);
	CU_ASSERT_EQUAL(rte_eal_hotplug_add("vbus", "vbus:t.a", ""), 0);
	CU_ASSERT_EQUAL(rig_north_counts.probe, 1);
	CU_ASSERT_TRUE(rig_wait_bound("vbus:t.a", true));
	/* A driver that refuses. */
	CU_ASSERT_EQUAL(rte_eal_hotplug_remove("vbus", "vbus:t.a"), 0);
	rig_probe_result = -ENOSPC;
	CU_ASSERT_NOT_EQUAL(rte_dev_probe("vbus:t.a"), 0);
	rig_probe_result = 0;
	CU_ASSERT_EQUAL(rte_dev_probe("vbus:t.a"), 0);
	na = rig_find("vbus:t.a");
}

/* What passes is tried again, what was refused is not. */
static void
test_probe_again(void)
{
	struct rig_south *s;

	rig_north_counts.probe = 0;
	rig_probe_result = -ETIMEDOUT;
	s = rig_device(bus, "again");
	CU_ASSERT_PTR_NOT_NULL_FATAL(s);
	CU_ASSERT_TRUE(rig_wait(&rig_north_counts.probe, 3));
	rig_probe_result = 0;
	CU_ASSERT_TRUE(rig_wait_bound("vbus:t.again", true));
	CU_ASSERT_TRUE(rig_north_counts.probe >= 3);
	rig_device_drop(s);
	CU_ASSERT_TRUE(rig_wait_gone("vbus:t.again"));

	rig_north_counts.probe = 0;
	rig_probe_result = -EINVAL;
	s = rig_device(bus, "never");
	CU_ASSERT_PTR_NOT_NULL_FATAL(s);
	CU_ASSERT_TRUE(rig_wait(&rig_north_counts.probe, 1));
	rig_sleep_ms(3 * RTE_VBUS_RETRY_MS);
	CU_ASSERT_EQUAL(rig_north_counts.probe, 1);
	rig_probe_result = 0;
	rig_device_drop(s);
	CU_ASSERT_TRUE(rig_wait_gone("vbus:t.never"));
}

static void
test_lost_and_back(void)
{
	uint8_t byte = 1;
	struct rig_south *b = rig_device(bus, "b");

	CU_ASSERT_PTR_NOT_NULL_FATAL(b);
	CU_ASSERT_TRUE(rig_wait_bound("vbus:t.b", true));
	for (int i = 0; i < 20; i++) {
		rig_north_counts.lost = rig_north_counts.back = rig_north_counts.remove = 0;
		rig_north_counts.probe = 0;
		CU_ASSERT_EQUAL(rte_vbus_open(na, RIG_VERSION), 0);
		rig_south_stop(bus);
		if (strcmp(RIG_KIND, "socket") == 0) {
			CU_ASSERT_TRUE(rig_wait(&rig_north_counts.lost, 2));
			CU_ASSERT_FALSE(rte_vbus_present(na));
			CU_ASSERT_EQUAL(rte_vbus_call(na, RIG_FUNC_ADD, &byte, 1), -ENOTCONN);
			CU_ASSERT_EQUAL(rte_vbus_open(na, RIG_VERSION), -ENODEV);
			CU_ASSERT_EQUAL(rte_vbus_close(na), 0);
		}
		CU_ASSERT_EQUAL_FATAL(rig_south_start(bus), 0);
		CU_ASSERT_TRUE(rig_wait(&rig_north_counts.back, 2));
		CU_ASSERT_EQUAL(rig_north_counts.lost, 2);
		CU_ASSERT_TRUE(rte_vbus_present(na));
		CU_ASSERT_EQUAL(na->handle, 0);
	}
	CU_ASSERT_EQUAL(rig_north_counts.probe, 0);
	CU_ASSERT_EQUAL(rig_north_counts.remove, 0);
	CU_ASSERT_PTR_EQUAL(rig_find("vbus:t.a"), na);
	/* One of them does not come back: removed a second after the peer is there. */
	rig_south_stop(bus);
	if (strcmp(RIG_KIND, "socket") == 0)
		CU_ASSERT_TRUE(rig_wait(&rig_north_counts.lost, 4));
	rig_device_drop(b);
	CU_ASSERT_EQUAL(rig_south_start(bus), 0);
	CU_ASSERT_TRUE(rig_wait_gone("vbus:t.b"));
	CU_ASSERT_EQUAL(rig_north_counts.remove, 1);
	CU_ASSERT_TRUE(rte_vbus_present(na));
}

/* An application that attaches and detaches from within a callback: refused, and nobody hangs. */
static _Atomic int hook_answers;

static void
hook_attach(struct rte_vbus_device *dev)
{
	if (rte_dev_probe(dev->device.name) != 0)
		hook_answers += 1;
	if (rte_eal_hotplug_remove("vbus", "vbus:t") != 0)
		hook_answers += 10;
	if (rte_dev_probe(rig_devargs("t", "T")) == 0) /* it is there */
		hook_answers += 100;
}

static void
test_callback_attaches(void)
{
	struct rig_south *s;

	rig_probe_hook = hook_attach;
	s = rig_device(bus, "hook");
	CU_ASSERT_PTR_NOT_NULL_FATAL(s);
	CU_ASSERT_TRUE(rig_wait_bound("vbus:t.hook", true));
	CU_ASSERT_EQUAL(hook_answers, 111);
	rig_probe_hook = NULL;
	rig_device_drop(s);
	CU_ASSERT_TRUE(rig_wait_gone("vbus:t.hook"));
}

/* A link whose peer comes later, and more than one of the same peer. */
static void
test_peer_comes_later(void)
{
	struct vbus_bus *late;
	struct rig_south *s;

	CU_ASSERT_EQUAL(rte_dev_probe(rig_devargs_wait("late", "LATE", 0)), 0);
	rig_sleep_ms(120); /* a few attempts */
	late = rig_bus("LATE");
	CU_ASSERT_PTR_NOT_NULL_FATAL(late);
	s = rig_device(late, "x");
	CU_ASSERT_PTR_NOT_NULL_FATAL(s);
	CU_ASSERT_TRUE(rig_wait_bound("vbus:late.x", true));
	CU_ASSERT_EQUAL(rte_eal_hotplug_remove("vbus", "vbus:late"), 0);
	CU_ASSERT_PTR_NULL(rig_find("vbus:late.x"));
	CU_ASSERT_EQUAL(rte_dev_probe(rig_devargs("late2", "LATE")), 0);
	CU_ASSERT_TRUE(rig_wait_bound("vbus:late2.x", true));
	if (strcmp(RIG_KIND, "null") == 0) /* one north at a time */
		CU_ASSERT_NOT_EQUAL(rte_dev_probe(rig_devargs("late3", "LATE")), 0);
}

static void
test_iterate(void)
{
	struct rte_dev_iterator it;
	struct rte_device *dev;
	int nb = 0, found = 0;

	RTE_DEV_FOREACH(dev, "bus=vbus", &it)
	{
		nb++;
		found += strcmp(dev->name, "vbus:t.a") == 0 || strcmp(dev->name, "vbus:t") == 0;
	}
	CU_ASSERT_EQUAL(found, 2);
	CU_ASSERT_TRUE(nb >= 4);
	nb = 0;
	RTE_DEV_FOREACH(dev, "bus=vbus,name=vbus:t.a", &it)
	nb += dev == &na->device;
	CU_ASSERT_EQUAL(nb, 1);
}

static void
test_dma(void)
{
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CU_ASSERT_PTR_NOT_EQUAL_FATAL(page, MAP_FAILED);
	CU_ASSERT_EQUAL(rte_extmem_register(page, 4096, NULL, 0, 4096), 0);
	CU_ASSERT_EQUAL(rte_dev_dma_map(&na->device, page, (uintptr_t)page, 4096), -1);
	CU_ASSERT_EQUAL(rte_errno, ENOTSUP);
	if (strcmp(RIG_KIND, "socket") == 0)
		CU_ASSERT_FALSE(rte_vbus_visible(na, page, 4096));
	CU_ASSERT_EQUAL(rte_extmem_unregister(page, 4096), 0);
	munmap(page, 4096);
}

/* South answers late: the caller is told in a second, and the answer hurts nobody. */
static void
test_late_answer(void)
{
	uint8_t data[8] = {120}; /* 1.2 s; south runs on the thread that would wait, so it shows */

	CU_ASSERT_EQUAL_FATAL(rte_vbus_open(na, RIG_VERSION), 0);
	rte_vbus_call(na, RIG_FUNC_SLOW, data, sizeof(data));
	rig_sleep_ms(300);
	data[0] = 1;
	CU_ASSERT_EQUAL(rte_vbus_call(na, RIG_FUNC_ADD, data, 1), 1);
	CU_ASSERT_EQUAL(data[0], 2);
	CU_ASSERT_EQUAL(rte_vbus_close(na), 0);
}

/* The answer to an open comes when nobody waits for it: the device is not busy for ever. */
static void
test_late_open(void)
{
	int ret, i;

	rig_open_ms = 1200; /* south runs on the thread that would wait on null links: no timeout */
	ret = rte_vbus_open(na, RIG_VERSION);
	CU_ASSERT(ret == 0 || ret == -ETIMEDOUT);
	rig_open_ms = 0;
	if (ret == 0)
		CU_ASSERT_EQUAL(rte_vbus_close(na), 0);
	ret = -EBUSY;
	for (i = 0; i < 3000 && ret == -EBUSY; i++) {
		rig_sleep_ms(10);
		ret = rte_vbus_open(na, RIG_VERSION);
	}
	CU_ASSERT_EQUAL(ret, 0);
	CU_ASSERT_EQUAL(rte_vbus_close(na), 0);
}

static void
test_cleanup(void)
{
	vbus_ctl_lock();
	vbus_bus_put(vbus_bus_find("LATE"));
	vbus_ctl_unlock();
	CU_ASSERT_EQUAL(rte_eal_cleanup(), 0);
	rig_device_drop(a);
	vbus_ctl_lock();
	vbus_bus_put(bus);
	vbus_ctl_unlock();
	vbus_ctl_put();
	rig_end();
}

static int
start(void)
{
	const char *args[] = {"-a", "vbus:init,null=INIT", "-a", "vbus:init.keep,x=y"};

	return rig_eal(4, args) == 0 && vbus_ctl_get() == 0 ? 0 : -1;
}

int
main(void)
{
	static const struct cu_test tests[] = {
		{"allow list of the start", test_lists},
		{"wrong devargs", test_bad_devargs},
		{"attach", test_attach},
		{"calls", test_calls},
		{"blocks and signals", test_signals},
		{"devices come and go", test_add_and_drop},
		{"dropped, and taken away", test_dropped},
		{"detach and attach", test_detach},
		{"a probe that fails", test_probe_again},
		{"peer lost and back", test_lost_and_back},
		{"callback that attaches", test_callback_attaches},
		{"peer comes later", test_peer_comes_later},
		{"iterate", test_iterate},
		{"foreign memory", test_dma},
		{"late answer", test_late_answer},
		{"late open", test_late_open},
		{"cleanup", test_cleanup},
		{NULL, NULL},
	};

	return cu_run("link by " RIG_KIND "=", tests, start, NULL);
}
