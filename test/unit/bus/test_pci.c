/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * Links over PCI functions (ADR-0014): the bus's own sources with registers that the test plays. A
 * bus of this process is south; what the test's function does with a call, a signal and the bus
 * master bit is what a hypervisor and our server do. DPDK's PCI bus is left out: its probe and
 * remove are called by hand.
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <unistd.h>

#include <bus_driver.h>
#include <bus_pci_driver.h>
#include <rte_bus_pci.h>
#include <rte_dev.h>
#include <rte_devargs.h>
#include <rte_eal.h>
#include <rte_memory.h>

#include <vbus/pci.h>

#include "../core/cu_run.h"
#include "rig.h"
#include "vbus_null.h"
#include "vbus_pci_io.h"
#include "vbus_window.h"

#define ADDR	    "0000:00:04.0"
#define LINK	    "vbus:pci-0000-00-04-0"
#define WINDOW_SIZE (4u << 20)

/* The function. Control lock, but for what a kick touches. */
static struct {
	struct vbus_bus *bus;
	struct vbus_null *north; /* while the bus master bit is set */
	int irq_fd;
	bool no_msi;	/* as under UIO */
	bool gone;	/* reads are all ones */
	bool say_eperm; /* the next call's result */
	bool open;
	bool no_ports;
	bool no_doorbell; /* south does not grant it */
	_Atomic int rings, irqs, kicks, last_kick;
	_Atomic int maps, unmaps;
	int window_fd; /* what lies behind BAR 2 */
} fn = {.irq_fd = -1, .window_fd = -1};

static struct rte_pci_driver *driver;
static struct rte_pci_device dev;

/* ---- in place of DPDK's PCI bus and of vbus_pci_io.c --------------------------------------- */

void
rte_pci_register(struct rte_pci_driver *drv)
{
	driver = drv;
}

int
rte_pci_map_device(struct rte_pci_device *d)
{
	(void)d;
	fn.maps++;
	return 0;
}

void
rte_pci_unmap_device(struct rte_pci_device *d)
{
	(void)d;
	fn.unmaps++;
}

int
vbus_pci_io_open(struct vbus_pci_io *io, struct rte_pci_device *d, char *err, size_t err_size)
{
	(void)err;
	(void)err_size;
	*io = (struct vbus_pci_io){.dev = d, .port_fd = fn.no_ports ? -1 : 0};
	fn.open = true;
	return 0;
}

void
vbus_pci_io_close(struct vbus_pci_io *io)
{
	(void)io;
	fn.open = false;
}

int
vbus_pci_io_check(const struct vbus_pci_io *io)
{
	(void)io;
	return fn.gone ? -ENODEV : 0;
}

static void
fn_irq(void *arg)
{
	const uint64_t one = 1;

	(void)arg;
	fn.irqs++;
	if (fn.irq_fd >= 0 && write(fn.irq_fd, &one, sizeof(one)) < 0)
		fprintf(stderr, "interrupt is lost\n");
}

static void
fn_closed(void *arg)
{
	(void)arg;
}

static const struct vbus_null_ops fn_ops = {.irq = fn_irq, .closed = fn_closed};

int
vbus_pci_io_master(const struct vbus_pci_io *io, bool on)
{
	(void)io;
	if (on && fn.north == NULL)
		fn.north = vbus_null_open(fn.bus, &fn_ops, NULL);
	if (!on && fn.north != NULL) {
		vbus_null_close(fn.north);
		fn.north = NULL;
	}
	return on && fn.north == NULL ? -EIO : 0;
}

int
vbus_pci_io_irq(const struct vbus_pci_io *io, int fd)
{
	(void)io;
	if (fn.no_msi)
		return -ENOTSUP;
	fn.irq_fd = fd;
	return 0;
}

int
vbus_pci_io_window(struct rte_pci_device *d)
{
	return fn.window_fd < 0 ? -ENOTSUP
				: vbus_window_hold(d->device.name, fn.window_fd, 0, WINDOW_SIZE);
}

int32_t
vbus_pci_io_call(const struct vbus_pci_io *io, const struct vbus_pci_call_desc *desc)
{
	int32_t ret;

	(void)io;
	if (fn.gone)
		return -1;
	if (fn.say_eperm) {
		fn.say_eperm = false;
		return -EPERM;
	}
	ret = vbus_null_call(fn.north, desc->vector, desc->datap, desc->len);
	if (desc->vector == VBUS_PCI_BRIDGE_NEGOTIATE && fn.no_doorbell)
		((struct vbus_pci_negotiate *)(uintptr_t)desc->datap)->capabilities &=
			~VBUS_CAP_DOORBELL;
	return ret;
}

static void
store(uint32_t off, uint32_t value)
{
	const uint64_t one = 1;

	if (off != offsetof(struct vbus_pci_signals, shmsignal)) {
		vbus_null_signal(fn.north, off, value);
		return;
	}
	fn.last_kick = (int)value;
	fn.kicks++;
	if (write(vbus_null_kick_fd(fn.north), &one, sizeof(one)) < 0)
		fprintf(stderr, "kick is lost\n");
}

void
vbus_pci_io_signal(const struct vbus_pci_io *io, uint32_t off, uint32_t value)
{
	CU_ASSERT_TRUE(io->port_fd >= 0);
	CU_ASSERT_TRUE(fn.no_doorbell);
	store(off, value);
}

void
vbus_pci_io_ring(const struct vbus_pci_io *io, uint32_t off, uint32_t value)
{
	(void)io;
	CU_ASSERT_FALSE(fn.no_doorbell);
	fn.rings++;
	store(off, value);
}

/* EAL detaches by the device's bus. */
static int
fake_unplug(struct rte_device *d)
{
	int ret = driver->remove(RTE_DEV_TO_PCI(d));

	if (ret == 0)
		d->driver = NULL;
	return ret;
}

static struct rte_bus fake_bus = {.name = "fake", .unplug = fake_unplug};

static int
probe(void)
{
	int ret = driver->probe(driver, &dev);

	if (ret == 0)
		dev.device.driver = &driver->driver;
	return ret;
}

static int
remove_(void)
{
	return fake_unplug(&dev.device);
}

/* ---- tests --------------------------------------------------------------------------------- */

static struct rig_south *a;

static void
test_probe(void)
{
	struct rte_vbus_device *na;

	CU_ASSERT_PTR_NOT_NULL_FATAL(driver);
	CU_ASSERT_EQUAL(driver->id_table[0].vendor_id, 0x11da);
	CU_ASSERT_EQUAL(driver->id_table[0].device_id, 0x2000);
	CU_ASSERT_EQUAL(driver->id_table[1].vendor_id, VBUS_PCI_IVSHMEM_VENDOR);
	CU_ASSERT_EQUAL(driver->id_table[2].vendor_id, 0);
	fn.bus = rig_bus("P");
	a = rig_device(fn.bus, "a");
	CU_ASSERT_TRUE_FATAL(fn.bus != NULL && a != NULL);
	CU_ASSERT_EQUAL_FATAL(probe(), 0);
	/* What was announced is plugged when the probe returns. */
	na = rig_find(LINK ".a");
	CU_ASSERT_PTR_NOT_NULL_FATAL(na);
	CU_ASSERT_PTR_EQUAL(na->driver, &rig_driver);
	CU_ASSERT_EQUAL(na->device.numa_node, 1);
	CU_ASSERT_TRUE(fn.irq_fd >= 0);
	/* The same name twice: the second is refused, and unmapped. */
	CU_ASSERT_EQUAL(driver->probe(driver, &dev), -EEXIST);
	CU_ASSERT_EQUAL(fn.maps, 2);
	CU_ASSERT_EQUAL(fn.unmaps, 1);
}

static void
test_devargs(void)
{
	struct rte_devargs da = {.args = "wait=x"};

	dev.device.devargs = &da;
	CU_ASSERT_EQUAL(driver->probe(driver, &dev), -EINVAL);
	da.args = "socket=/x";
	CU_ASSERT_EQUAL(driver->probe(driver, &dev), -EINVAL);
	dev.device.devargs = NULL;
	CU_ASSERT_EQUAL(fn.maps, 3 + 1);
	CU_ASSERT_EQUAL(fn.unmaps, 2 + 1);
}

static void
note(struct rte_vbus_shm *shm)
{
	(*(_Atomic int *)shm->arg)++;
}

/* Calls, and signals both ways: north's by a register write, south's by an event. */
static void
talk(void)
{
	struct rte_vbus_device *na = rig_find(LINK ".a");
	_Atomic int notified = 0;
	struct rte_vbus_shm shm = {
		.id = 1,
		.len = RIG_SHM_LEN,
		.signal_offset = RIG_SHM_SIGN,
		.notify = note,
		.arg = &notified,
	};
	struct vbus_signal sig;
	uint8_t data[4] = {1, 2, 3, 4};
	int signals = a->signals, kicks = fn.kicks;

	CU_ASSERT_PTR_NOT_NULL_FATAL(na);
	CU_ASSERT_EQUAL_FATAL(rte_vbus_open(na, RIG_VERSION), 0);
	CU_ASSERT_EQUAL(rte_vbus_call(na, RIG_FUNC_ADD, data, sizeof(data)), 4);
	CU_ASSERT_EQUAL(data[3], 5);
	shm.va = rte_vbus_zone(na, "block", RIG_SHM_LEN, SOCKET_ID_ANY);
	CU_ASSERT_PTR_NOT_NULL_FATAL(shm.va);
	CU_ASSERT_TRUE(rte_vbus_visible(na, shm.va, RIG_SHM_LEN));
	vbus_signal_format((struct shm_signal_desc *)(void *)((uint8_t *)shm.va + RIG_SHM_SIGN));
	CU_ASSERT_EQUAL_FATAL(rte_vbus_shm(na, &shm), 0);
	CU_ASSERT_EQUAL(
		vbus_signal_attach(&sig, (uint8_t *)shm.va + RIG_SHM_SIGN, VBUS_LOCALITY_NORTH), 0);
	CU_ASSERT_TRUE(vbus_signal_inject(&sig));
	rte_vbus_signal(&shm);
	CU_ASSERT_EQUAL(fn.kicks, kicks + 1);
	CU_ASSERT_EQUAL(fn.last_kick, shm.handle);
	CU_ASSERT_TRUE(rig_wait(&a->signals, signals + 1));
	vbus_ctl_lock();
	vbus_shm_notify(a->shm);
	vbus_ctl_unlock();
	CU_ASSERT_TRUE(rig_wait(&notified, 1));
	CU_ASSERT_EQUAL(rte_vbus_close(na), 0);
	rte_vbus_signal(&shm); /* void: no write */
	CU_ASSERT_EQUAL(fn.kicks, kicks + 1);
	rte_vbus_zone_free(na, "block");
}

static void
test_talk(void)
{
	talk();
	CU_ASSERT_TRUE(fn.irqs > 0);
}

static void
test_hot_plug(void)
{
	struct rig_south *b = rig_device(fn.bus, "b");

	CU_ASSERT_PTR_NOT_NULL_FATAL(b);
	CU_ASSERT_TRUE(rig_wait_bound(LINK ".b", true));
	rig_device_drop(b);
	CU_ASSERT_TRUE(rig_wait_gone(LINK ".b"));
}

/* The link goes with its function only. */
static void
test_detach_refused(void)
{
	CU_ASSERT_NOT_EQUAL(rte_eal_hotplug_remove("vbus", LINK), 0);
	CU_ASSERT_EQUAL(rte_dev_probe(LINK), 0); /* is there already */
	CU_ASSERT_PTR_NOT_NULL(rig_find(LINK ".a"));
}

static void
test_gone_and_back(void)
{
	struct rte_vbus_device *na = rig_find(LINK ".a");
	uint8_t data = 1;

	CU_ASSERT_EQUAL_FATAL(rte_vbus_open(na, RIG_VERSION), 0);
	rig_north_counts.lost = rig_north_counts.back = 0;
	/* All ones are the errno EPERM, too. */
	fn.say_eperm = true;
	CU_ASSERT_EQUAL(rte_vbus_call(na, RIG_FUNC_ADD, &data, 1), -EPERM);
	CU_ASSERT_EQUAL(rte_vbus_call(na, RIG_FUNC_ADD, &data, 1), 1);
	fn.gone = true;
	CU_ASSERT_EQUAL(rte_vbus_call(na, RIG_FUNC_ADD, &data, 1), -ENOTCONN);
	CU_ASSERT_TRUE(rig_wait(&rig_north_counts.lost, 1));
	CU_ASSERT_FALSE(rte_vbus_present(na));
	rig_sleep_ms(100);
	fn.gone = false;
	CU_ASSERT_TRUE(rig_wait(&rig_north_counts.back, 1));
	CU_ASSERT_TRUE(rte_vbus_present(na));
	talk();
}

static void
test_remove(void)
{
	CU_ASSERT_EQUAL(remove_(), 0);
	CU_ASSERT_EQUAL(fn.maps, fn.unmaps);
	CU_ASSERT_PTR_NULL(fn.north); /* the bus master bit is off */
	CU_ASSERT_FALSE(fn.open);
	CU_ASSERT_EQUAL(fn.irq_fd, -1);
	CU_ASSERT_PTR_NULL(rig_find(LINK ".a"));
}

/* Without an interrupt everything works, and none is raised. */
static void
test_polled(void)
{
	fn.no_msi = true;
	fn.irqs = 0;
	CU_ASSERT_EQUAL_FATAL(probe(), 0);
	CU_ASSERT_TRUE(rig_wait_bound(LINK ".a", true));
	talk();
	test_hot_plug();
	rig_sleep_ms(50); /* the timer is slow now */
	talk();
	CU_ASSERT_EQUAL(fn.irqs, 0);
	CU_ASSERT_EQUAL(remove_(), 0);
	fn.no_msi = false;
}

/* A south from before the doorbell: ports; and a function without them: the doorbell, or no link. */
static void
test_ports(void)
{
	int rings = fn.rings;

	fn.no_doorbell = true;
	CU_ASSERT_EQUAL_FATAL(probe(), 0);
	CU_ASSERT_TRUE(rig_wait_bound(LINK ".a", true));
	talk();
	CU_ASSERT_EQUAL(remove_(), 0);
	CU_ASSERT_EQUAL(fn.rings, rings);

	fn.no_ports = true;
	fn.no_doorbell = false;
	CU_ASSERT_EQUAL_FATAL(probe(), 0);
	CU_ASSERT_TRUE(rig_wait_bound(LINK ".a", true));
	talk();
	CU_ASSERT_EQUAL(remove_(), 0);
	CU_ASSERT_TRUE(fn.rings > rings);

	fn.no_doorbell = true;
	CU_ASSERT_EQUAL(probe(), 0); /* as with a south that is not there yet */
	CU_ASSERT_PTR_NULL(rig_find(LINK ".a"));
	CU_ASSERT_EQUAL(remove_(), 0);
	fn.no_doorbell = fn.no_ports = false;
}

/* A function with a BAR and nothing else: a window, whose other side is served here. */
static void
test_window(void)
{
	struct rte_devargs da = {.args = "wait=0"};
	struct vbus_bus *bus = rig_bus("W");
	struct rig_south *south = rig_device(bus, "w");
	char err[200] = "";
	uint8_t *ones;

	dev.mem_resource[VBUS_WINDOW_PCI_BAR].len = WINDOW_SIZE;
	dev.device.devargs = &da;
	CU_ASSERT_EQUAL(driver->probe(driver, &dev), -ENOTSUP); /* cannot be mapped */
	fn.window_fd = memfd_create("window", MFD_CLOEXEC);
	CU_ASSERT_EQUAL_FATAL(ftruncate(fn.window_fd, WINDOW_SIZE), 0);
	CU_ASSERT_EQUAL_FATAL(probe(), 0);
	vbus_ctl_lock();
	CU_ASSERT_EQUAL_FATAL(
		vbus_connector_window(bus, "pci:" ADDR, 0, VBUS_WINDOW_A, err, sizeof(err)), 0);
	vbus_ctl_unlock();
	CU_ASSERT_TRUE(rig_wait_bound(LINK ".w", true));
	CU_ASSERT_PTR_NULL(fn.north);
	CU_ASSERT_NOT_EQUAL(rte_eal_hotplug_remove("vbus", LINK), 0);

	/* The link is lost: all that is read is ones, and what is written goes nowhere. */
	rig_north_counts.lost = rig_north_counts.back = 0;
	ones = mmap(NULL, WINDOW_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fn.window_fd, 0);
	CU_ASSERT_TRUE_FATAL(ones != MAP_FAILED);
	for (int i = 0; i < 10000 && rig_north_counts.lost == 0; i++) {
		memset(ones, 0xff, WINDOW_SIZE);
		rig_sleep_ms(1);
	}
	CU_ASSERT_TRUE(rig_north_counts.lost > 0);
	/* South may have begun anew already: then this is a second loss, and it comes back twice. */
	memset(ones, 0, WINDOW_SIZE);
	for (int i = 0; i < 10000 && rig_north_counts.back == 0; i++)
		rig_sleep_ms(1);
	CU_ASSERT_TRUE(rig_north_counts.back > 0);
	munmap(ones, WINDOW_SIZE);

	CU_ASSERT_EQUAL(remove_(), 0);
	CU_ASSERT_EQUAL(fn.maps, fn.unmaps);
	rig_device_drop(south);
	vbus_ctl_lock();
	vbus_bus_put(bus);
	vbus_ctl_unlock();
	close(fn.window_fd);
	dev.mem_resource[VBUS_WINDOW_PCI_BAR].len = 0;
	dev.device.devargs = NULL;
}

/* Memory of QEMU's that may be anybody's: a window when it is named, although it has registers. */
static void
test_ivshmem(void)
{
	struct rte_devargs da = {.args = "wait=0"};
	const struct rte_pci_id id = dev.id;

	dev.id.vendor_id = VBUS_PCI_IVSHMEM_VENDOR;
	dev.id.device_id = VBUS_PCI_IVSHMEM_DEVICE;
	dev.mem_resource[VBUS_PCI_BAR_REGS].len = 256;
	dev.mem_resource[VBUS_WINDOW_PCI_BAR].len = WINDOW_SIZE;
	fn.window_fd = memfd_create("window", MFD_CLOEXEC);
	CU_ASSERT_EQUAL_FATAL(ftruncate(fn.window_fd, WINDOW_SIZE), 0);
	CU_ASSERT_EQUAL(driver->probe(driver, &dev), 1);
	dev.device.devargs = &da;
	dev.mem_resource[VBUS_WINDOW_PCI_BAR].len = WINDOW_SIZE / 64;
	CU_ASSERT_EQUAL(driver->probe(driver, &dev), 1);
	dev.mem_resource[VBUS_WINDOW_PCI_BAR].len = WINDOW_SIZE;
	CU_ASSERT_EQUAL_FATAL(probe(), 0);
	CU_ASSERT_PTR_NULL(fn.north);
	CU_ASSERT_EQUAL(remove_(), 0);
	CU_ASSERT_EQUAL(fn.maps, fn.unmaps);
	close(fn.window_fd);
	fn.window_fd = -1;
	dev.id = id;
	dev.mem_resource[VBUS_PCI_BAR_REGS].len = 0;
	dev.mem_resource[VBUS_WINDOW_PCI_BAR].len = 0;
	dev.device.devargs = NULL;
}

/* The kernel wants the function back: the devices go first, then it. */
static void
test_surprise(void)
{
	CU_ASSERT_EQUAL_FATAL(probe(), 0);
	CU_ASSERT_TRUE(rig_wait_bound(LINK ".a", true));
	rte_dev_event_callback_process(ADDR, RTE_DEV_EVENT_REMOVE);
	rte_dev_event_callback_process(ADDR, RTE_DEV_EVENT_REMOVE);
	CU_ASSERT_TRUE(rig_wait_gone(LINK ".a"));
	CU_ASSERT_TRUE(rig_wait(&fn.unmaps, fn.maps));
	CU_ASSERT_PTR_NULL(rig_find(LINK));
	CU_ASSERT_PTR_NULL(fn.north);
}

/* Our bus is cleaned up before the PCI bus. */
static void
test_cleanup(void)
{
	CU_ASSERT_EQUAL_FATAL(probe(), 0);
	CU_ASSERT_EQUAL(rte_eal_cleanup(), 0);
	CU_ASSERT_PTR_NULL(fn.north);
	CU_ASSERT_FALSE(fn.open);
	CU_ASSERT_EQUAL(remove_(), 0);
	CU_ASSERT_EQUAL(fn.maps, fn.unmaps);
	rig_device_drop(a);
	vbus_ctl_lock();
	vbus_bus_put(fn.bus);
	vbus_ctl_unlock();
	vbus_ctl_put();
	rig_end();
}

static int
start(void)
{
	dev.addr = (struct rte_pci_addr){.devid = 4};
	dev.device.name = ADDR;
	dev.device.bus = &fake_bus;
	dev.device.numa_node = 1;
	return rig_eal(0, NULL) == 0 && vbus_ctl_get() == 0 ? 0 : -1;
}

int
main(void)
{
	static const struct cu_test tests[] = {
		{"probe", test_probe},
		{"wrong devargs", test_devargs},
		{"calls and signals", test_talk},
		{"devices come and go", test_hot_plug},
		{"the link cannot be detached", test_detach_refused},
		{"all ones, and back", test_gone_and_back},
		{"remove", test_remove},
		{"no interrupt", test_polled},
		{"no ports", test_ports},
		{"a window", test_window},
		{"a window of ivshmem", test_ivshmem},
		{"surprise removal", test_surprise},
		{"cleanup", test_cleanup},
		{NULL, NULL},
	};

	return cu_run("link by PCI", tests, start, NULL);
}
