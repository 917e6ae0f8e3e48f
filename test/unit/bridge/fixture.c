/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * North and a device class for the tests of the bridge. The tests' thread plays north with the
 * control lock held; the control thread of the library runs beside it.
 */

#include "fixture.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "vbus_memmap.h"

/* ---- the class -------------------------------------------------------------------------------- */

static int
dummy_op_create(struct vbus_device *dev, const void *args)
{
	struct dummy *d;

	if (args != NULL)
		return -EDOM;
	d = calloc(1, sizeof(*d));
	if (d == NULL)
		return -ENOMEM;
	d->dev = dev;
	dev->priv = d;
	return 0;
}

static void
dummy_op_destroy(struct vbus_device *dev)
{
	CU_ASSERT_PTR_NULL(dev->conn);
	free(dev->priv);
}

static int
dummy_op_open(struct vbus_conn *conn, uint32_t version)
{
	struct dummy *d = conn->dev->priv;
	const uint8_t *state = vbus_conn_state(conn);
	unsigned int i;

	if (version != DUMMY_VERSION)
		return -EINVAL;
	for (i = 0; i < VBUS_CONN_STATE_SIZE; i++)
		CU_ASSERT_EQUAL_FATAL(state[i], 0);
	memset(vbus_conn_state(conn), 0x5a, VBUS_CONN_STATE_SIZE);
	CU_ASSERT_EQUAL((uintptr_t)state % 64, 0);
	CU_ASSERT_PTR_EQUAL(conn->dev->conn, conn);
	conn->priv = d;
	d->conn = conn;
	d->nb_open++;
	return 0;
}

static void
dummy_op_close(struct vbus_conn *conn)
{
	struct dummy *d = conn->priv;

	CU_ASSERT_PTR_EQUAL(conn->dev, d->dev);
	if (d->notify_at_close && d->shms[0] != NULL)
		vbus_shm_notify(d->shms[0]);
	memset(d->shms, 0, sizeof(d->shms));
	d->conn = NULL;
	d->nb_close++;
}

static int
dummy_op_call(struct vbus_conn *conn, uint32_t func, void *data, uint32_t len, uint32_t *out)
{
	struct dummy *d = conn->priv;
	uint8_t *bytes = data;
	uint32_t i;

	d->nb_call++;
	d->last_len = len;
	switch (func) {
	case DUMMY_ZERO:
		return 0;
	case DUMMY_NUMBER:
		return 7;
	case DUMMY_FAIL:
		return -EBUSY;
	case DUMMY_INVERT:
	case DUMMY_OVERLONG:
		for (i = 0; i < len; i++)
			bytes[i] = (uint8_t)~bytes[i];
		*out = func == DUMMY_INVERT ? len : UINT32_MAX;
		return 0;
	case DUMMY_FAULT:
		vbus_conn_fault(conn, "asked to");
		return 0;
	default:
		return -EINVAL;
	}
}

static int
dummy_op_shm(struct vbus_conn *conn, struct vbus_shm *shm)
{
	struct dummy *d = conn->priv;

	if (shm->id == DUMMY_SHM_REFUSED)
		return -EINVAL;
	CU_ASSERT_PTR_NOT_NULL(shm->va);
	CU_ASSERT_EQUAL((uintptr_t)shm->cursor % 64, 0);
	CU_ASSERT_EQUAL(shm->cursor->count, 0);
	shm->cursor->count = 1;
	CU_ASSERT_PTR_EQUAL(vbus_conn_shm(conn, shm->id), shm);
	if (shm->id < 16)
		d->shms[shm->id] = shm;
	d->nb_shm++;
	return 0;
}

static void
dummy_op_signal(struct vbus_conn *conn, struct vbus_shm *shm)
{
	struct dummy *d = conn->priv;
	struct vbus_signal s;

	d->nb_signal++;
	d->last_signal = shm->id;
	if (vbus_signal_attach(&s, shm->va + shm->signal_offset, VBUS_LOCALITY_SOUTH) == 0)
		vbus_signal_take(&s);
}

static void
dummy_op_quiesce(struct vbus_conn *conn)
{
	((struct dummy *)conn->priv)->nb_quiesce++;
}

static void
dummy_op_rebind(struct vbus_conn *conn)
{
	struct dummy *d = conn->priv;

	CU_ASSERT_EQUAL(d->nb_quiesce, d->nb_rebind + 1);
	d->nb_rebind++;
}

static const struct vbus_class_ops dummy_ops = {
	.create = dummy_op_create,
	.destroy = dummy_op_destroy,
	.open = dummy_op_open,
	.close = dummy_op_close,
	.call = dummy_op_call,
	.shm = dummy_op_shm,
	.signal = dummy_op_signal,
	.quiesce = dummy_op_quiesce,
	.rebind = dummy_op_rebind,
};
static struct vbus_class dummy_class = {.name = "dummy", .type = "test-dummy", .ops = &dummy_ops};

struct vbus_device *
dummy_create(const char *name)
{
	struct vbus_device *dev = vbus_device_create(name, "dummy", NULL);

	CU_ASSERT_PTR_NOT_NULL_FATAL(dev);
	return dev;
}

struct dummy *
dummy_of(struct vbus_device *dev)
{
	return dev->priv;
}

/* ---- north ------------------------------------------------------------------------------------ */

static void
north_op_irq(void *arg)
{
	((struct north *)arg)->nb_irqs++;
}

static void
north_op_stop(void *arg)
{
	((struct north *)arg)->stopped = true;
}

static const struct vbus_connector_ops north_ops = {
	.name = "test",
	.irq = north_op_irq,
	.stop = north_op_stop,
};

void
north_up(struct north *n, bool identity)
{
	memset(n, 0, sizeof(*n));
	n->identity = identity;
	n->fd = memfd_create("north", MFD_CLOEXEC);
	CU_ASSERT_FATAL(n->fd >= 0 && ftruncate(n->fd, NORTH_SIZE) == 0);
	n->mem = mmap(NULL, NORTH_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, n->fd, 0);
	CU_ASSERT_FATAL(n->mem != MAP_FAILED);
	n->bus = vbus_bus_get("test");
	CU_ASSERT_PTR_NOT_NULL_FATAL(n->bus);
	n->b = n->bus->bridge;
	CU_ASSERT_EQUAL(vbus_bus_set_connector(n->bus, &north_ops, n), 0);
	CU_ASSERT_EQUAL(vbus_bus_set_connector(n->bus, &north_ops, n), -EBUSY);
	CU_ASSERT_EQUAL_FATAL(vbus_bridge_session_open(n->b, identity), 0);
	if (!identity)
		CU_ASSERT_EQUAL_FATAL(
			vbus_memmap_add(vbus_bridge_memmap(n->b), NORTH_IOVA, NORTH_SIZE,
				dup(n->fd), 0, VBUS_MEM_READ | VBUS_MEM_WRITE),
			0);
}

void
north_down(struct north *n)
{
	vbus_bus_put(n->bus);
	CU_ASSERT(n->stopped);
	munmap(n->mem, NORTH_SIZE);
	close(n->fd);
}

uint64_t
north_addr(const struct north *n, uint32_t off)
{
	return n->identity ? (uint64_t)(uintptr_t)(n->mem + off) : NORTH_IOVA + off;
}

int32_t
north_call_rw(struct north *n, uint32_t vector, void *args, uint32_t len)
{
	const struct vbus_pci_call_desc call = {
		.vector = vector,
		.len = len,
		.datap = north_addr(n, NORTH_ARGS),
	};
	int32_t result;

	memcpy(n->mem + NORTH_ARGS, args, len);
	vbus_bridge_regs_write(n->b, 0, &call, sizeof(call));
	vbus_bridge_regs_read(n->b, 0, &result, sizeof(result));
	memcpy(args, n->mem + NORTH_ARGS, len);
	return result;
}

int32_t
north_call(struct north *n, uint32_t vector, const void *args, uint32_t len)
{
	uint8_t copy[256];

	memcpy(copy, args, len);
	return north_call_rw(n, vector, copy, len);
}

int32_t
north_devcall(struct north *n, uint32_t vector, void *args, uint32_t len)
{
	const struct vbus_pci_call_desc call = {
		.vector = vector,
		.len = len,
		.datap = north_addr(n, NORTH_ARGS + 0x100),
	};
	int32_t result;

	memcpy(n->mem + NORTH_ARGS + 0x100, args, len);
	result = north_call(n, VBUS_PCI_BRIDGE_SLOWCALL, &call, sizeof(call));
	memcpy(args, n->mem + NORTH_ARGS + 0x100, len);
	return result;
}

int32_t
north_negotiate(struct north *n, uint64_t caps, uint64_t *granted)
{
	struct vbus_pci_negotiate args = {VBUS_PCI_MAGIC, VBUS_PCI_CALL_VERSION, caps};
	int32_t ret = north_call_rw(n, VBUS_PCI_BRIDGE_NEGOTIATE, &args, sizeof(args));

	if (granted != NULL)
		*granted = args.capabilities;
	return ret;
}

int32_t
north_qreg_raw(struct north *n, uint32_t queues, uint32_t count, uint64_t ring, uint64_t data)
{
	const struct vbus_pci_busreg args = {
		.count = queues,
		.pad = {0xde, 0xad, 0xbe, 0xef},
		.eventq = {{.count = count, .pad = {1, 2, 3, 4}, .ring = ring, .data = data}},
	};

	return north_call(n, VBUS_PCI_BRIDGE_QREG, &args, sizeof(args));
}

void
north_ring_format(struct north *n, uint32_t count)
{
	uint32_t i;

	CU_ASSERT_EQUAL_FATAL(
		vbus_ioq_north_format(&n->evq, n->mem + NORTH_RING, count, n->cookies, 1), 0);
	CU_ASSERT_EQUAL(vbus_signal_attach(&n->evq_signal,
				n->mem + NORTH_RING + IOQ_RING_SIGNAL_OFFSET, VBUS_LOCALITY_NORTH),
		0);
	for (i = 0; i < count; i++) {
		const uint32_t off = i * (uint32_t)sizeof(struct vbus_pci_event);
		const struct vbus_ioq_entry e = {
			.cookie = off,
			.ptr = north_addr(n, NORTH_SLOTS + off),
			.len = sizeof(struct vbus_pci_event),
		};

		CU_ASSERT_EQUAL(vbus_ioq_north_post(&n->evq, &e, 1), 1);
	}
	(void)vbus_signal_enable(&n->evq_signal);
}

int32_t
north_qreg(struct north *n, uint32_t count)
{
	north_ring_format(n, count);
	return north_qreg_raw(n, 1, count, north_addr(n, NORTH_RING), north_addr(n, NORTH_SLOTS));
}

void
north_start(struct north *n, uint32_t count)
{
	CU_ASSERT_EQUAL(north_negotiate(n, 0, NULL), 1);
	CU_ASSERT_EQUAL(north_qreg(n, count), 0);
}

bool
north_event(struct north *n, struct vbus_pci_event *ev)
{
	struct vbus_ioq_entry e;

	if (vbus_ioq_north_pop(&n->evq, &e, 1) == 0)
		return false;
	CU_ASSERT_EQUAL(e.len, sizeof(*ev));
	memcpy(ev, n->mem + NORTH_SLOTS + e.cookie, sizeof(*ev));
	memset(n->mem + NORTH_SLOTS + e.cookie, 0xee, sizeof(*ev));
	vbus_ioq_north_repost(&n->evq, 1);
	return true;
}

uint32_t
north_nb_events(const struct north *n)
{
	return vbus_ioq_north_ready_count(&n->evq, n->evq.count);
}

bool
north_consumed(struct north *n)
{
	vbus_signal_take(&n->evq_signal);
	if (!vbus_signal_inject(&n->evq_signal))
		return false;
	vbus_bridge_signal_write(n->b, offsetof(struct vbus_pci_signals, eventq), 0);
	return true;
}

uint64_t
north_expect(struct north *n, uint32_t eventid)
{
	struct vbus_pci_event ev;

	if (!north_event(n, &ev)) {
		CU_FAIL("an event was expected");
		return 0;
	}
	CU_ASSERT_EQUAL(ev.eventid, eventid);
	if (eventid == VBUS_PCI_EVENT_DEVADD)
		CU_ASSERT_STRING_EQUAL(ev.data.add.type, "test-dummy");
	return ev.data.handle.handle;
}

void
north_expect_none(struct north *n)
{
	struct vbus_pci_event ev;

	CU_ASSERT_FALSE(north_event(n, &ev));
}

int32_t
north_open(struct north *n, uint32_t devid, uint64_t *handle)
{
	struct vbus_pci_deviceopen args = {.devid = devid, .version = DUMMY_VERSION, .handle = 99};
	int32_t ret = north_devcall(n, VBUS_PCI_HC_DEVOPEN, &args, sizeof(args));

	*handle = ret == 0 ? args.handle : 0;
	if (ret != 0)
		CU_ASSERT_EQUAL(args.handle, 99);
	return ret;
}

int32_t
north_close(struct north *n, uint64_t handle)
{
	struct vbus_pci_deviceclose args = {handle};

	return north_devcall(n, VBUS_PCI_HC_DEVCLOSE, &args, sizeof(args));
}

int32_t
north_func(struct north *n, uint64_t handle, uint32_t func, void *data, uint32_t len)
{
	struct vbus_pci_devicecall args = {
		.devh = handle,
		.func = func,
		.len = len,
		.flags = 0xabad1dea,
		.pad = {9, 9, 9, 9},
		.datap = len > 0 ? north_addr(n, NORTH_DATA + 3) : ~0ULL,
	};
	int32_t ret;

	if (len > 0 && len <= VBUS_CALL_MAX)
		memcpy(n->mem + NORTH_DATA + 3, data, len);
	ret = north_devcall(n, VBUS_PCI_HC_DEVCALL, &args, sizeof(args));
	if (len > 0 && len <= VBUS_CALL_MAX)
		memcpy(data, n->mem + NORTH_DATA + 3, len);
	return ret;
}

int32_t
north_shm(struct north *n, uint64_t handle, uint32_t id, uint32_t block, uint32_t signal_offset,
	uint64_t cookie)
{
	const uint32_t off = NORTH_BLOCKS + block * NORTH_BLOCK;
	struct vbus_pci_deviceshm args = {
		.devh = handle,
		.id = id,
		.len = NORTH_BLOCK,
		.flags = 0x12345678,
		.pad = {8, 8, 8, 8},
		.signal = {.offset = signal_offset, .prio = 77, .cookie = cookie},
		.datap = north_addr(n, off),
	};

	if (signal_offset <= NORTH_BLOCK - sizeof(struct shm_signal_desc))
		vbus_signal_format((struct shm_signal_desc *)(n->mem + off + signal_offset));
	return north_devcall(n, VBUS_PCI_HC_DEVSHM, &args, sizeof(args));
}

struct vbus_bridge_info
north_info(const struct north *n)
{
	struct vbus_bridge_info info;

	vbus_bridge_info(n->b, &info);
	return info;
}

void
north_sleep(unsigned int ms)
{
	const struct timespec ts = {.tv_nsec = ms * 1000000L};

	vbus_ctl_unlock();
	nanosleep(&ts, NULL);
	vbus_ctl_lock();
}

bool
north_wait(bool (*cond)(void *arg), void *arg)
{
	unsigned int i;

	for (i = 0; i < 2000 && !cond(arg); i++)
		north_sleep(1);
	return cond(arg);
}

int
fixture_run(CU_SuiteInfo *suites)
{
	unsigned int failed;

	if (vbus_ctl_get() != 0) {
		fprintf(stderr, "no control thread\n");
		return 1;
	}
	vbus_class_register(&dummy_class);
	if (CU_initialize_registry() != CUE_SUCCESS || CU_register_suites(suites) != CUE_SUCCESS)
		return CU_get_error();
	CU_basic_set_mode(CU_BRM_VERBOSE);
	vbus_ctl_lock();
	CU_basic_run_tests();
	vbus_ctl_unlock();
	failed = CU_get_number_of_failures();
	CU_cleanup_registry();
	vbus_ctl_put();
	return failed != 0;
}
