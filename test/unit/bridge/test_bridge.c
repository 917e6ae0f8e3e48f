/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * The bridge as a connector sees it: sessions, registers, configuration space, resets, kicks and
 * changes of the memory map.
 */

#include "fixture.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bridge_internal.h"

#define EVENTQ	  0u
#define FASTCALL  4u
#define SHMSIGNAL 8u

static int32_t
run_call(struct north *n)
{
	int32_t result = 12345;

	vbus_bridge_regs_read(n->b, 0, &result, sizeof(result));
	return result;
}

static void
test_latch(void)
{
	const struct vbus_pci_negotiate args = {VBUS_PCI_MAGIC, VBUS_PCI_CALL_VERSION, 0};
	struct vbus_pci_call_desc call;
	struct north n;
	uint8_t back[64];
	uint8_t raw[16];
	unsigned int i;

	north_up(&n, false);
	memcpy(n.mem + NORTH_ARGS, &args, sizeof(args));
	call = (struct vbus_pci_call_desc){0, 16, north_addr(&n, NORTH_ARGS)};
	memcpy(raw, &call, sizeof(raw));
	/* Bytes, backwards. */
	for (i = 16; i-- > 0;)
		vbus_bridge_regs_write(n.b, i, &raw[i], 1);
	CU_ASSERT_EQUAL(north_info(&n).nb_calls, 0);
	/* Reads that are not the 32-bit one at 0 run nothing. */
	memset(back, 0xff, sizeof(back));
	vbus_bridge_regs_read(n.b, 0, back, 1);
	vbus_bridge_regs_read(n.b, 0, back, 2);
	vbus_bridge_regs_read(n.b, 4, back, 4);
	vbus_bridge_regs_read(n.b, 1, back, 4);
	vbus_bridge_regs_read(n.b, 8, back, 8);
	CU_ASSERT_EQUAL(memcmp(back, raw + 8, 8), 0);
	vbus_bridge_regs_read(n.b, 12, back, 64);
	CU_ASSERT_EQUAL(memcmp(back, raw + 12, 4), 0);
	CU_ASSERT_EQUAL(back[4], 0);
	CU_ASSERT_EQUAL(north_info(&n).nb_calls, 0);
	CU_ASSERT_EQUAL(run_call(&n), 1);
	CU_ASSERT_EQUAL(run_call(&n), 1); /* the latch stays */
	/* 8 bytes at once, odd pieces, 2 bytes; the vector last. */
	memset(back, 0, 16);
	vbus_bridge_regs_write(n.b, 0, back, 16);
	CU_ASSERT_EQUAL(run_call(&n), -EINVAL);
	vbus_bridge_regs_write(n.b, 8, raw + 8, 8);
	vbus_bridge_regs_write(n.b, 3, raw + 3, 3);
	vbus_bridge_regs_write(n.b, 6, raw + 6, 2);
	vbus_bridge_regs_write(n.b, 0, raw, 3);
	CU_ASSERT_EQUAL(run_call(&n), 1);
	/* An 8-byte read runs it as well; the upper half is what was latched. */
	vbus_bridge_regs_read(n.b, 0, back, 8);
	CU_ASSERT_EQUAL(back[0], 1);
	CU_ASSERT_EQUAL(back[4], 16);
	north_down(&n);
}

static void
test_latch_bounds(void)
{
	uint8_t junk[4096];
	struct north n;

	north_up(&n, false);
	memset(junk, 0xa5, sizeof(junk));
	vbus_bridge_regs_write(n.b, 16, junk, sizeof(junk));
	vbus_bridge_regs_write(n.b, UINT64_MAX, junk, 4);
	vbus_bridge_regs_write(n.b, UINT64_MAX - 3, junk, 8);
	vbus_bridge_regs_write(n.b, 1ULL << 32, junk, 4);
	vbus_bridge_regs_read(n.b, UINT64_MAX - 3, junk, 8);
	CU_ASSERT_EQUAL(junk[0], 0);
	vbus_bridge_regs_read(n.b, 0, junk, 2);
	CU_ASSERT_EQUAL(junk[0], 0);
	memset(junk, 0xa5, sizeof(junk));
	vbus_bridge_regs_write(n.b, 15, junk, sizeof(junk));
	vbus_bridge_regs_read(n.b, 15, junk, 2);
	CU_ASSERT_EQUAL(junk[0], 0xa5);
	CU_ASSERT_EQUAL(junk[1], 0);
	/* All of it, hostile. */
	memset(junk, 0xff, sizeof(junk));
	vbus_bridge_regs_write(n.b, 0, junk, sizeof(junk));
	CU_ASSERT_EQUAL(run_call(&n), -ENOSYS);
	vbus_bridge_signal_write(n.b, UINT64_MAX, 1);
	north_down(&n);
}

static void
test_session(void)
{
	struct vbus_device *dev;
	uint64_t handle;
	struct north n;

	north_up(&n, false);
	dev = dummy_create("d0");
	CU_ASSERT_EQUAL(vbus_device_attach(dev, n.bus), 0);
	CU_ASSERT_EQUAL(vbus_bridge_session_open(n.b, false), -EBUSY);
	north_start(&n, 16);
	CU_ASSERT_EQUAL(north_expect(&n, VBUS_PCI_EVENT_DEVADD), 1);
	CU_ASSERT_EQUAL(north_open(&n, 1, &handle), 0);
	CU_ASSERT(north_info(&n).peer);
	vbus_bridge_session_close(n.b, "test");
	vbus_bridge_session_close(n.b, "test again");
	CU_ASSERT_EQUAL(dummy_of(dev)->nb_close, 1);
	CU_ASSERT_PTR_NULL(vbus_bridge_memmap(n.b));
	CU_ASSERT_FALSE(north_info(&n).peer);
	CU_ASSERT_FALSE(north_info(&n).negotiated);
	CU_ASSERT_EQUAL(north_info(&n).nb_conns, 0);
	CU_ASSERT_EQUAL(vbus_bridge_call(n.b, 0, NORTH_IOVA, 16), -ENOTCONN);
	vbus_bridge_signal_write(n.b, EVENTQ, 0);
	vbus_bridge_signal_write(n.b, FASTCALL, 0);
	vbus_bridge_kick(n.b);
	vbus_bridge_reset(n.b, true);
	north_expect_none(&n);
	/* The next peer: nothing is left of the first. */
	CU_ASSERT_EQUAL(vbus_bridge_session_open(n.b, true), 0);
	n.identity = true;
	CU_ASSERT_EQUAL(north_func(&n, handle, DUMMY_ZERO, NULL, 0), -EPROTO);
	north_start(&n, 16);
	CU_ASSERT_EQUAL(north_func(&n, handle, DUMMY_ZERO, NULL, 0), -ENOENT);
	CU_ASSERT_EQUAL(north_info(&n).nb_sessions, 2);
	vbus_device_delete(dev);
	north_down(&n);
}

static void
test_config(void)
{
	static const uint8_t head[16] = {0xda, 0x11, 0x00, 0x20, 0, 0, 0x10, 0, 2, 0, 0x80, 6};
	uint8_t c[300], ones[256];
	struct north n;

	north_up(&n, false);
	vbus_bridge_config_read(n.b, 0, c, 256);
	CU_ASSERT_EQUAL(memcmp(c, head, sizeof(head)), 0);
	CU_ASSERT_EQUAL(c[0x10] | c[0x11] | c[0x12] | c[0x13], 0); /* 32-bit memory */
	CU_ASSERT_EQUAL(c[0x14], 1);				   /* I/O */
	CU_ASSERT_EQUAL(c[0x34], 0x40);
	CU_ASSERT_EQUAL(c[0x3d], 1);
	CU_ASSERT_EQUAL(c[0x40], 5); /* MSI, the last capability, 64 bits, one vector */
	CU_ASSERT_EQUAL(c[0x41], 0);
	CU_ASSERT_EQUAL(c[0x42], 0x80);
	/* Writes of all ones change what may change. */
	memset(ones, 0xff, sizeof(ones));
	vbus_bridge_config_write(n.b, 0, ones, sizeof(ones));
	vbus_bridge_config_read(n.b, 0, c, 256);
	CU_ASSERT_EQUAL(memcmp(c, head, 4), 0);
	CU_ASSERT_EQUAL(c[4], 0x47);
	CU_ASSERT_EQUAL(c[5], 0x05);
	CU_ASSERT_EQUAL(memcmp(c + 6, head + 6, 6), 0);
	CU_ASSERT_EQUAL(c[0x14], 1);
	CU_ASSERT_EQUAL(c[0x42], 0xf1);
	CU_ASSERT_EQUAL(c[0x44] & c[0x4c] & c[0x4d], 0xff);
	CU_ASSERT_EQUAL(c[0x4e], 0);
	CU_ASSERT_EQUAL(c[0x80], 0);
	/* Beyond the end. */
	vbus_bridge_config_write(n.b, 255, ones, sizeof(ones));
	vbus_bridge_config_write(n.b, UINT32_MAX, ones, 4);
	memset(c, 0xee, sizeof(c));
	vbus_bridge_config_read(n.b, 254, c, 8);
	CU_ASSERT_EQUAL(c[2] | c[7], 0);
	vbus_bridge_config_read(n.b, UINT32_MAX - 1, c, 8);
	CU_ASSERT_EQUAL(c[0], 0);
	/* A function reset makes it as new. */
	vbus_bridge_reset(n.b, true);
	vbus_bridge_config_read(n.b, 0, c, 256);
	CU_ASSERT_EQUAL(c[4], 0);
	CU_ASSERT_EQUAL(c[0x42], 0x80);
	north_down(&n);
}

/* 7.13: the driver unloads. */
static void
test_bus_master_edge(void)
{
	static const uint8_t on[2] = {0x07, 0x01}, off[2] = {0x03, 0x01};
	static uint8_t before[NORTH_SIZE];
	struct vbus_device *dev, *late;
	uint64_t handle;
	int32_t shm;
	struct north n;

	north_up(&n, false);
	dev = dummy_create("d0");
	late = dummy_create("late");
	CU_ASSERT_EQUAL(vbus_device_attach(dev, n.bus), 0);
	/* The bit is not needed before: a call works. */
	north_start(&n, 16);
	vbus_bridge_config_write(n.b, 4, off, 2);
	CU_ASSERT(north_info(&n).negotiated); /* 0 -> 0 is no edge */
	vbus_bridge_config_write(n.b, 4, on, 2);
	vbus_bridge_config_write(n.b, 4, on, 1);
	CU_ASSERT(north_info(&n).negotiated);
	CU_ASSERT_EQUAL(north_expect(&n, VBUS_PCI_EVENT_DEVADD), 1);
	CU_ASSERT_EQUAL(north_open(&n, 1, &handle), 0);
	shm = north_shm(&n, handle, 0, 0, 8, 0x1111);
	CU_ASSERT(shm >= 0);
	vbus_shm_notify(dummy_of(dev)->shms[0]);
	memcpy(before, n.mem, NORTH_SIZE);

	vbus_bridge_config_write(n.b, 4, off, 1);
	CU_ASSERT_FALSE(north_info(&n).negotiated);
	CU_ASSERT_EQUAL(dummy_of(dev)->nb_close, 1);
	CU_ASSERT_EQUAL(vbus_device_attach(late, n.bus), 0);
	vbus_bridge_signal_write(n.b, EVENTQ, 0);
	vbus_bridge_signal_write(n.b, SHMSIGNAL, (uint32_t)shm);
	north_sleep(30); /* notification and timer, if there were any */
	CU_ASSERT_EQUAL(memcmp(before, n.mem, NORTH_SIZE), 0);

	/* Loaded again in the same guest life: fresh ids (7.14). */
	north_start(&n, 16);
	CU_ASSERT_EQUAL(north_expect(&n, VBUS_PCI_EVENT_DEVADD), 2);
	CU_ASSERT_EQUAL(north_expect(&n, VBUS_PCI_EVENT_DEVADD), 3);
	CU_ASSERT_EQUAL(north_open(&n, 1, &handle), -ENODEV);
	/* A function reset starts the numbering again. */
	vbus_bridge_reset(n.b, true);
	north_start(&n, 16);
	CU_ASSERT_EQUAL(north_expect(&n, VBUS_PCI_EVENT_DEVADD), 1);
	vbus_device_delete(dev);
	vbus_device_delete(late);
	north_down(&n);
}

static void
test_signals(void)
{
	struct vbus_device *dev;
	struct dummy *d;
	uint64_t handle;
	int32_t shm;
	struct north n;

	north_up(&n, false);
	dev = dummy_create("d0");
	d = dummy_of(dev);
	CU_ASSERT_EQUAL(vbus_device_attach(dev, n.bus), 0);
	north_start(&n, 16);
	CU_ASSERT_EQUAL(north_open(&n, 1, &handle), 0);
	shm = north_shm(&n, handle, 4, 0, 8, 0x1111);
	CU_ASSERT(shm > 0);
	CU_ASSERT_EQUAL(north_shm(&n, handle, 5, 1, NO_SIGNAL, 0x2222), 0);
	vbus_bridge_signal_write(n.b, SHMSIGNAL, (uint32_t)shm);
	CU_ASSERT_EQUAL(d->nb_signal, 1);
	CU_ASSERT_EQUAL(d->last_signal, 4);
	/* What is no handle. */
	vbus_bridge_signal_write(n.b, SHMSIGNAL, 0);
	vbus_bridge_signal_write(n.b, SHMSIGNAL, (uint32_t)shm + 1);
	vbus_bridge_signal_write(n.b, SHMSIGNAL, (uint32_t)shm | 1u << 31);
	vbus_bridge_signal_write(n.b, SHMSIGNAL, (uint32_t)shm + (1u << 14));
	vbus_bridge_signal_write(n.b, SHMSIGNAL, UINT32_MAX);
	vbus_bridge_signal_write(n.b, EVENTQ, 1);
	CU_ASSERT_EQUAL(d->nb_signal, 1);
	CU_ASSERT_EQUAL(north_info(&n).nb_refused[VBUS_REFUSED_HANDLE], 6);
	vbus_bridge_signal_write(n.b, 12, 0);
	vbus_bridge_signal_write(n.b, 1, 0);
	CU_ASSERT_EQUAL(north_close(&n, handle), 0);
	vbus_bridge_signal_write(n.b, SHMSIGNAL, (uint32_t)shm);
	CU_ASSERT_EQUAL(d->nb_signal, 1);
	vbus_device_delete(dev);
	north_down(&n);
}

/* A kick names no block: those whose signal is set are found. */
static void
test_kick(void)
{
	struct vbus_device *dev;
	struct dummy *d;
	struct vbus_signal s;
	uint64_t handle;
	struct north n;
	unsigned int i;

	north_up(&n, true);
	dev = dummy_create("d0");
	d = dummy_of(dev);
	CU_ASSERT_EQUAL(vbus_device_attach(dev, n.bus), 0);
	north_start(&n, 16);
	CU_ASSERT_EQUAL(north_open(&n, 1, &handle), 0);
	for (i = 0; i < 3; i++)
		CU_ASSERT(north_shm(&n, handle, i, i, 64, 0x1000 + i) > 0);
	vbus_bridge_kick(n.b);
	CU_ASSERT_EQUAL(d->nb_signal, 0);
	/* North injects while south sleeps on block 1. */
	CU_ASSERT_EQUAL(vbus_signal_attach(&s, d->shms[1]->va + 64, VBUS_LOCALITY_SOUTH), 0);
	CU_ASSERT_FALSE(vbus_signal_enable(&s));
	CU_ASSERT_EQUAL(vbus_signal_attach(&s, d->shms[1]->va + 64, VBUS_LOCALITY_NORTH), 0);
	CU_ASSERT(vbus_signal_inject(&s));
	vbus_bridge_kick(n.b);
	CU_ASSERT_EQUAL(d->nb_signal, 1);
	CU_ASSERT_EQUAL(d->last_signal, 1);
	vbus_bridge_kick(n.b); /* the class took it */
	CU_ASSERT_EQUAL(d->nb_signal, 1);
	/* South polls block 2: dirty alone is nobody's business. */
	CU_ASSERT_EQUAL(vbus_signal_attach(&s, d->shms[2]->va + 64, VBUS_LOCALITY_NORTH), 0);
	CU_ASSERT_FALSE(vbus_signal_inject(&s));
	vbus_bridge_kick(n.b);
	CU_ASSERT_EQUAL(d->nb_signal, 1);
	vbus_device_delete(dev);
	north_down(&n);
}

/* Memory goes and comes back: blocks follow, events wait. */
static void
test_remap(void)
{
	struct vbus_device *dev, *other;
	struct dummy *d;
	uint64_t handle;
	struct north n;
	struct vbus_memmap *m;

	north_up(&n, false);
	m = vbus_bridge_memmap(n.b);
	dev = dummy_create("d0");
	other = dummy_create("d1");
	d = dummy_of(dev);
	CU_ASSERT_EQUAL(vbus_device_attach(dev, n.bus), 0);
	north_start(&n, 16);
	CU_ASSERT_EQUAL(north_expect(&n, VBUS_PCI_EVENT_DEVADD), 1);
	CU_ASSERT_EQUAL(north_open(&n, 1, &handle), 0);
	CU_ASSERT(north_shm(&n, handle, 1, 0, 8, 0xc0) > 0);
	CU_ASSERT_PTR_NOT_NULL(d->shms[1]->va);
	CU_ASSERT_EQUAL(vbus_memmap_del(m, NORTH_IOVA, NORTH_SIZE), 0);
	CU_ASSERT_EQUAL(d->nb_rebind, 1);
	CU_ASSERT_PTR_NULL(d->shms[1]->va);
	CU_ASSERT_EQUAL(vbus_device_attach(other, n.bus), 0);
	CU_ASSERT_EQUAL(north_info(&n).nb_events_held, 1);
	CU_ASSERT_EQUAL(vbus_bridge_call(n.b, 2, NORTH_IOVA, 16), -EFAULT);
	vbus_bridge_signal_write(n.b, EVENTQ, 0);
	vbus_bridge_kick(n.b);
	north_sleep(25);
	CU_ASSERT_EQUAL(vbus_memmap_add(m, NORTH_IOVA, NORTH_SIZE, dup(n.fd), 0,
				VBUS_MEM_READ | VBUS_MEM_WRITE),
		0);
	CU_ASSERT_EQUAL(d->nb_rebind, 2);
	CU_ASSERT_PTR_NOT_NULL_FATAL(d->shms[1]->va);
	d->shms[1]->va[5] = 0x77;
	CU_ASSERT_EQUAL(n.mem[NORTH_BLOCKS + 5], 0x77);
	CU_ASSERT_EQUAL(north_expect(&n, VBUS_PCI_EVENT_DEVADD), 2);
	CU_ASSERT_EQUAL(north_func(&n, handle, DUMMY_NUMBER, NULL, 0), 7);
	/* What lies there after a second change is no ring: the link is faulted, not the process. */
	CU_ASSERT_EQUAL(vbus_memmap_del(m, NORTH_IOVA, NORTH_SIZE), 0);
	memset(n.mem + NORTH_RING, 0, 64);
	CU_ASSERT_EQUAL(vbus_memmap_add(m, NORTH_IOVA, NORTH_SIZE, dup(n.fd), 0,
				VBUS_MEM_READ | VBUS_MEM_WRITE),
		0);
	CU_ASSERT_EQUAL(north_info(&n).nb_faults, 1);
	CU_ASSERT_PTR_NOT_NULL(north_info(&n).fault);
	CU_ASSERT_EQUAL(d->nb_close, 1);
	north_start(&n, 16); /* and recovers */
	CU_ASSERT_PTR_NULL(north_info(&n).fault);
	CU_ASSERT_EQUAL(north_expect(&n, VBUS_PCI_EVENT_DEVADD), 3);
	vbus_device_delete(dev);
	vbus_device_delete(other);
	north_down(&n);
}

static bool
has_fault(void *arg)
{
	return north_info(arg).nb_faults > 0;
}

/* North's file shrinks under a call. */
static void
test_shrunk_memory(void)
{
	struct vbus_device *dev;
	uint64_t handle;
	struct north n;

	north_up(&n, false);
	dev = dummy_create("d0");
	CU_ASSERT_EQUAL(vbus_device_attach(dev, n.bus), 0);
	north_start(&n, 16);
	CU_ASSERT_EQUAL(north_expect(&n, VBUS_PCI_EVENT_DEVADD), 1);
	CU_ASSERT_EQUAL(north_open(&n, 1, &handle), 0);
	CU_ASSERT_EQUAL(ftruncate(n.fd, 0), 0);
	CU_ASSERT(vbus_bridge_call(n.b, 2, NORTH_IOVA + NORTH_ARGS, 16) < 0);
	CU_ASSERT_EQUAL(ftruncate(n.fd, NORTH_SIZE), 0);
	CU_ASSERT(north_wait(has_fault, &n)); /* the handler leaves it to the control thread */
	CU_ASSERT_EQUAL(dummy_of(dev)->nb_close, 1);
	vbus_device_delete(dev);
	north_down(&n);
}

/* ADR-0003: the tables are large, the pages are few. */
static void
test_memory(void)
{
	struct vbus_device *devs[100];
	char name[VBUS_NAME_SIZE];
	struct stat idle, busy;
	uint64_t handle;
	struct north n;
	uint32_t i, k;

	north_up(&n, false);
	devs[0] = dummy_create("d0");
	CU_ASSERT_EQUAL(vbus_device_attach(devs[0], n.bus), 0);
	north_start(&n, 256);
	CU_ASSERT_EQUAL(north_open(&n, 1, &handle), 0);
	CU_ASSERT(north_shm(&n, handle, 0, 0, 8, 0) > 0);
	CU_ASSERT_EQUAL(fstat(n.b->ls_fd, &idle), 0);
	CU_ASSERT(idle.st_blocks * 512 <= 10 * 4096);
	for (i = 1; i < 100; i++) {
		snprintf(name, sizeof(name), "d%u", i);
		devs[i] = dummy_create(name);
		CU_ASSERT_EQUAL(vbus_device_attach(devs[i], n.bus), 0);
		CU_ASSERT_EQUAL(north_open(&n, i + 1, &handle), 0);
		for (k = 0; k < 7; k++)
			CU_ASSERT(north_shm(&n, handle, k, k, 8, k) > 0);
	}
	CU_ASSERT_EQUAL(fstat(n.b->ls_fd, &busy), 0);
	CU_ASSERT((busy.st_blocks - idle.st_blocks) * 512 <= 100 * 1600);
	for (i = 0; i < 100; i++)
		vbus_device_delete(devs[i]);
	north_down(&n);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"latch", test_latch},
		{"latch bounds", test_latch_bounds},
		{"session", test_session},
		{"configuration space", test_config},
		{"bus master edge", test_bus_master_edge},
		{"signals", test_signals},
		{"kick", test_kick},
		{"remap", test_remap},
		{"shrunk memory", test_shrunk_memory},
		{"memory", test_memory},
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {{"bridge", NULL, NULL, NULL, NULL, tests}, CU_SUITE_INFO_NULL};

	return fixture_run(suites);
}
