/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * The rng class: bytes come, differ, fill what was asked and no more; hostile rings and buffers.
 */

#include "kind_rig.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <vbus/rng.h>

#include "../core/cu_run.h"
#include "vbus_memmap.h"

static struct kind_rig k;
static struct kind_rig_ring ring;

static void
up(void)
{
	struct vbus_device *dev = vbus_device_create("rng0", "rng", NULL);

	CU_ASSERT_PTR_NOT_NULL_FATAL(dev);
	kind_up(&k, dev, VRNG_TYPE);
	CU_ASSERT_EQUAL(kind_open(&k, VRNG_VERSION), 0);
}

static void
down(void)
{
	struct vbus_device *dev = k.dev;

	kind_down(&k);
	vbus_device_delete(dev);
}

static uint32_t
post(uint32_t len)
{
	const uint32_t off = kind_mem(&k, len + 64);
	const struct vbus_ioq_entry e = {.cookie = off, .ptr = north_addr(&k.n, off), .len = len};

	memset(k.n.mem + off, 0, len + 64);
	CU_ASSERT_EQUAL(vbus_ioq_north_post(&ring.q, &e, 1), 1);
	return off;
}

static bool
is_zero(uint32_t off, uint32_t len)
{
	uint32_t i;

	for (i = 0; i < len; i++)
		if (k.n.mem[off + i] != 0)
			return false;
	return true;
}

static void
test_bytes(void)
{
	struct vbus_ioq_entry e;
	uint32_t a, b, big;

	vbus_ctl_lock();
	up();
	CU_ASSERT_EQUAL(kind_call(&k, VRNG_FUNC_START, NULL, 0), -EINVAL);
	CU_ASSERT_EQUAL_FATAL(kind_ring(&k, &ring, VRNG_RING, 8), 0);
	a = post(100);
	kind_kick(&k, &ring);
	CU_ASSERT(is_zero(a, 164)); /* not before START */
	CU_ASSERT_EQUAL(kind_call(&k, VRNG_FUNC_START, NULL, 0), 0);
	CU_ASSERT_EQUAL(kind_call(&k, VRNG_FUNC_START, NULL, 0), -EEXIST);
	CU_ASSERT_EQUAL_FATAL(vbus_ioq_north_pop(&ring.q, &e, 1), 1);
	CU_ASSERT_EQUAL(e.len, 100);
	CU_ASSERT_FALSE(is_zero(a, 100));
	CU_ASSERT(is_zero(a + 100, 64));

	b = post(100);
	big = post(10000);
	CU_ASSERT_EQUAL(vbus_ioq_north_pop(&ring.q, &e, 1), 0);
	kind_kick(&k, &ring);
	CU_ASSERT_EQUAL_FATAL(vbus_ioq_north_pop(&ring.q, &e, 1), 1);
	CU_ASSERT_EQUAL(e.cookie, b);
	CU_ASSERT_NOT_EQUAL(memcmp(k.n.mem + a, k.n.mem + b, 100), 0);
	CU_ASSERT_EQUAL_FATAL(vbus_ioq_north_pop(&ring.q, &e, 1), 1);
	CU_ASSERT_EQUAL(e.len, VRNG_BUFFER_MAX);
	CU_ASSERT_FALSE(is_zero(big + VRNG_BUFFER_MAX - 32, 32));
	CU_ASSERT(is_zero(big + VRNG_BUFFER_MAX, 10000 - VRNG_BUFFER_MAX));

	CU_ASSERT_EQUAL(kind_call(&k, VRNG_FUNC_STOP, NULL, 0), 0);
	a = post(16);
	kind_kick(&k, &ring);
	CU_ASSERT(is_zero(a, 16));
	CU_ASSERT_EQUAL(kind_call(&k, VRNG_FUNC_START, NULL, 0), 0);
	CU_ASSERT_FALSE(is_zero(a, 16));
	down();
	vbus_ctl_unlock();
}

static void
test_signal(void)
{
	struct vbus_pci_event ev;

	vbus_ctl_lock();
	up();
	CU_ASSERT_EQUAL_FATAL(kind_ring(&k, &ring, VRNG_RING, 4), 0);
	CU_ASSERT_EQUAL(kind_call(&k, VRNG_FUNC_START, NULL, 0), 0);
	(void)vbus_signal_enable(&ring.sig);
	post(64);
	kind_kick(&k, &ring);
	north_sleep(50); /* the control thread queues the event */
	CU_ASSERT_FATAL(north_event(&k.n, &ev));
	CU_ASSERT_EQUAL(ev.eventid, VBUS_PCI_EVENT_SHMSIGNAL);
	CU_ASSERT_EQUAL(ev.data.handle.handle, 100 + VRNG_RING);
	down();
	vbus_ctl_unlock();
}

static void
test_hostile(void)
{
	struct vbus_ioq_entry e = {.ptr = NORTH_IOVA + NORTH_SIZE - 8, .len = 64};
	uint32_t good, i;
	uint8_t byte = 0;

	vbus_ctl_lock();
	up();
	k.handle++;
	CU_ASSERT_EQUAL(kind_call(&k, VRNG_FUNC_START, NULL, 0), -ENOENT);
	k.handle--;
	CU_ASSERT_EQUAL(kind_ring(&k, &ring, VRNG_RING + 1, 4), -EINVAL);
	CU_ASSERT_EQUAL(kind_ring(&k, &ring, VRNG_RING, VRNG_RING_MAX + 1), -EINVAL);
	CU_ASSERT_EQUAL(kind_block(&k, VRNG_RING, kind_mem(&k, 4096), 4096, true), -EINVAL);
	CU_ASSERT_EQUAL_FATAL(kind_ring(&k, &ring, VRNG_RING, 8), 0);
	CU_ASSERT_EQUAL(kind_call(&k, VRNG_FUNC_START, &byte, 1), -EINVAL);
	CU_ASSERT_EQUAL(kind_call(&k, 99, NULL, 0), -EINVAL);
	CU_ASSERT_EQUAL(kind_call(&k, VRNG_FUNC_START, NULL, 0), 0);
	/* over the end of memory; nowhere; wrapping; empty */
	CU_ASSERT_EQUAL(vbus_ioq_north_post(&ring.q, &e, 1), 1);
	e.ptr = 0x1000;
	CU_ASSERT_EQUAL(vbus_ioq_north_post(&ring.q, &e, 1), 1);
	e.ptr = UINT64_MAX - 4;
	e.len = UINT64_MAX;
	CU_ASSERT_EQUAL(vbus_ioq_north_post(&ring.q, &e, 1), 1);
	e.ptr = NORTH_IOVA + NORTH_BLOCKS;
	e.len = 0;
	CU_ASSERT_EQUAL(vbus_ioq_north_post(&ring.q, &e, 1), 1);
	good = post(64);
	kind_kick(&k, &ring);
	for (i = 0; i < 4; i++) {
		CU_ASSERT_EQUAL(vbus_ioq_north_pop(&ring.q, &e, 1), 1);
		CU_ASSERT_EQUAL(e.len, 0);
	}
	CU_ASSERT_EQUAL(vbus_ioq_north_pop(&ring.q, &e, 1), 1);
	CU_ASSERT_EQUAL(e.len, 64);
	CU_ASSERT_FALSE(is_zero(good, 64));
	CU_ASSERT_PTR_NULL(k.dev->fault);
	down();
	vbus_ctl_unlock();
}

/* Memory goes and comes back; the ring is overwritten meanwhile. */
static void
test_memory(void)
{
	struct vbus_memmap *m;
	uint32_t a;

	vbus_ctl_lock();
	up();
	CU_ASSERT_EQUAL_FATAL(kind_ring(&k, &ring, VRNG_RING, 8), 0);
	CU_ASSERT_EQUAL(kind_call(&k, VRNG_FUNC_START, NULL, 0), 0);
	m = vbus_bridge_memmap(k.n.b);
	CU_ASSERT_EQUAL(vbus_memmap_del(m, NORTH_IOVA, NORTH_SIZE), 0);
	a = post(64);
	kind_kick(&k, &ring);
	CU_ASSERT(is_zero(a, 64));
	CU_ASSERT_EQUAL(vbus_memmap_add(m, NORTH_IOVA, NORTH_SIZE, dup(k.n.fd), 0,
				VBUS_MEM_READ | VBUS_MEM_WRITE),
		0);
	CU_ASSERT_FALSE(is_zero(a, 64)); /* found when it came back */
	CU_ASSERT_EQUAL(vbus_memmap_del(m, NORTH_IOVA, NORTH_SIZE), 0);
	memset(k.n.mem + ring.off, 0xff, 56);
	CU_ASSERT_EQUAL(vbus_memmap_add(m, NORTH_IOVA, NORTH_SIZE, dup(k.n.fd), 0,
				VBUS_MEM_READ | VBUS_MEM_WRITE),
		0);
	CU_ASSERT_PTR_NOT_NULL(k.dev->fault);
	down();
	vbus_ctl_unlock();
}

int
main(void)
{
	static const struct cu_test tests[] = {
		{"bytes come, and stop", test_bytes},
		{"north is signalled", test_signal},
		{"hostile north", test_hostile},
		{"memory that goes", test_memory},
		{NULL, NULL},
	};
	int ret;

	if (vbus_ctl_get() != 0)
		return 1;
	ret = cu_run("rng", tests, NULL, NULL);
	vbus_ctl_put();
	return ret;
}
