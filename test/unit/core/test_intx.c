/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * INTx through the vfio-user connector, as a hypervisor uses it: raw messages on the socket, a bus
 * with an event queue behind it. The client holds the line from its eventfd until an access to a
 * BAR, then says "unmask".
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <linux/pci_regs.h>

#include <vbus/pci.h>

#include "cu_run.h"
#include "vbus_bridge.h"
#include "vbus_core.h"
#include "vbus_ctl.h"
#include "vbus_ioq_north.h"
#include "vbus_signal.h"
#include "vfu_proto.h"

#define MEM   0x100000u
#define RING  0x1000u
#define SLOTS 0x8000u
#define COUNT 8u

static char dir[64];
static struct sockaddr_un addr = {.sun_family = AF_UNIX};
static struct vbus_bus *bus;
static int sock, line, mem_fd;
static uint8_t *mem;
static struct vbus_ioq_north evq;
static struct vbus_signal sig;
static uint64_t cookies[COUNT];

static const struct vbus_class_ops no_ops;
static struct vbus_class nothing = {.name = "nothing", .type = "nothing", .ops = &no_ops};

static int
init(void)
{
	vbus_class_register(&nothing);
	snprintf(dir, sizeof(dir), "/tmp/vbus-test-XXXXXX");
	if (mkdtemp(dir) == NULL)
		return -1;
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/s.sock", dir);
	return vbus_ctl_get();
}

static int
cleanup(void)
{
	vbus_ctl_put();
	return rmdir(dir);
}

/* Send a command, wait for its reply. @return its error. */
static int
message(uint16_t command, const void *data, uint32_t len, int fd, void *reply, uint32_t room)
{
	struct vfu_header h = {.id = command, .command = command, .size = sizeof(h) + len};
	struct iovec iov[2] = {{&h, sizeof(h)}, {(void *)(uintptr_t)data, len}};
	union {
		struct cmsghdr c;
		char buf[CMSG_SPACE(sizeof(int))];
	} control;
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 2};
	uint8_t in[4096];
	ssize_t n;

	if (fd >= 0) {
		msg.msg_control = &control;
		msg.msg_controllen = sizeof(control);
		control.c.cmsg_level = SOL_SOCKET;
		control.c.cmsg_type = SCM_RIGHTS;
		control.c.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&control.c), &fd, sizeof(fd));
	}
	CU_ASSERT_EQUAL_FATAL(sendmsg(sock, &msg, 0), (ssize_t)h.size);
	n = recv(sock, &h, sizeof(h), MSG_WAITALL);
	CU_ASSERT_FATAL(n == (ssize_t)sizeof(h) && h.size - sizeof(h) <= sizeof(in));
	if (h.size > sizeof(h))
		CU_ASSERT_EQUAL_FATAL(recv(sock, in, h.size - sizeof(h), MSG_WAITALL),
			(ssize_t)(h.size - sizeof(h)));
	if (room != 0)
		memcpy(reply, in, room);
	return (int)h.error;
}

static void
set_irq(uint32_t flags, int fd, uint32_t count)
{
	const struct vfu_irq_set s = {20, flags, VFU_PCI_INTX, 0, count};

	CU_ASSERT_EQUAL(message(VFU_CMD_DEVICE_SET_IRQS, &s, sizeof(s), fd, NULL, 0), 0);
}

static void
unmask(void)
{
	set_irq(VFU_IRQ_DATA_NONE | VFU_IRQ_ACTION_UNMASK, -1, 1);
}

struct access {
	uint64_t offset;
	uint32_t region, count;
	uint64_t data;
};

static uint32_t
reg_read(uint32_t region, uint64_t offset, uint32_t len)
{
	const struct access a = {offset, region, len, 0};
	struct access r = {0};

	CU_ASSERT_EQUAL(message(VFU_CMD_REGION_READ, &a, 16, -1, &r, 16 + len), 0);
	return (uint32_t)r.data;
}

static void
reg_write(uint32_t region, uint64_t offset, uint64_t data, uint32_t len)
{
	const struct access a = {offset, region, len, data};

	CU_ASSERT_EQUAL(message(VFU_CMD_REGION_WRITE, &a, 16 + len, -1, NULL, 0), 0);
}

/* What a handler of a shared line asks. */
static bool
status(void)
{
	return (reg_read(VFU_PCI_CONFIG, PCI_COMMAND, 4) >> 16 & PCI_STATUS_INTERRUPT) != 0;
}

static uint64_t
rings(void)
{
	uint64_t n = 0;

	return read(line, &n, sizeof(n)) == (ssize_t)sizeof(n) ? n : 0;
}

/* Until the line was raised, at most @p ms. */
static uint64_t
rings_within(unsigned int ms)
{
	uint64_t n;

	while ((n = rings()) == 0 && ms-- > 0)
		usleep(1000);
	return n;
}

static int32_t
bridge_call(uint32_t vector, const void *args, uint32_t len)
{
	memcpy(mem, args, len);
	reg_write(0, 0, vector | (uint64_t)len << 32, 8);
	reg_write(0, 8, 0, 8);
	return (int32_t)reg_read(0, 0, 4);
}

static void
raise_irq(void)
{
	vbus_ctl_lock();
	bus->connector->ops->irq(bus->connector->arg);
	vbus_ctl_unlock();
}

static void
up(void)
{
	const uint8_t version[4] = {0};
	const struct vfu_dma_map map = {32, VFU_DMA_F_READ | VFU_DMA_F_WRITE, 0, 0, MEM};
	char err[256];

	vbus_ctl_lock();
	bus = vbus_bus_get("vm1");
	CU_ASSERT_EQUAL_FATAL(vbus_connector_vfio_user(bus, addr.sun_path, err, sizeof(err)), 0);
	vbus_ctl_unlock();
	sock = socket(AF_UNIX, SOCK_STREAM, 0);
	CU_ASSERT_EQUAL_FATAL(connect(sock, (struct sockaddr *)&addr, sizeof(addr)), 0);
	CU_ASSERT_EQUAL_FATAL(message(VFU_CMD_VERSION, version, 4, -1, NULL, 0), 0);
	line = eventfd(0, EFD_NONBLOCK);
	mem_fd = memfd_create("guest", MFD_CLOEXEC);
	CU_ASSERT_EQUAL_FATAL(ftruncate(mem_fd, MEM), 0);
	mem = mmap(NULL, MEM, PROT_READ | PROT_WRITE, MAP_SHARED, mem_fd, 0);
	CU_ASSERT_FATAL(mem != MAP_FAILED);
	CU_ASSERT_EQUAL(message(VFU_CMD_DMA_MAP, &map, sizeof(map), mem_fd, NULL, 0), 0);
	CU_ASSERT_EQUAL(reg_read(VFU_PCI_CONFIG, PCI_INTERRUPT_PIN, 1), 1);
	CU_ASSERT_FALSE(status());
	set_irq(VFU_IRQ_DATA_EVENTFD | VFU_IRQ_ACTION_TRIGGER, line, 1);
}

static void
down(void)
{
	close(sock);
	vbus_ctl_lock();
	vbus_bus_put(bus);
	vbus_ctl_unlock();
	close(line);
	close(mem_fd);
	munmap(mem, MEM);
}

/* The client's side: held from the trigger to the unmask, whatever comes in between. */
static void
test_held(void)
{
	up();
	raise_irq();
	CU_ASSERT_EQUAL(rings(), 1);
	CU_ASSERT(status());
	raise_irq();
	raise_irq();
	CU_ASSERT_EQUAL(rings(), 0);
	unmask(); /* one more for the two that were held */
	CU_ASSERT_EQUAL(rings(), 1);
	CU_ASSERT(status());
	unmask();
	CU_ASSERT_EQUAL(rings(), 0);
	CU_ASSERT_FALSE(status());
	/* Masked by the client, not by itself. */
	set_irq(VFU_IRQ_DATA_NONE | VFU_IRQ_ACTION_MASK, -1, 1);
	raise_irq();
	CU_ASSERT_EQUAL(rings(), 0);
	CU_ASSERT(status());
	unmask();
	CU_ASSERT_EQUAL(rings(), 1);
	CU_ASSERT_EQUAL(message(VFU_CMD_DEVICE_RESET, NULL, 0, -1, NULL, 0), 0);
	CU_ASSERT_FALSE(status());
	down();
}

/* North's side: the switch in the command register. What comes while it is off comes when it is on. */
static void
test_disable(void)
{
	up();
	reg_write(VFU_PCI_CONFIG, PCI_COMMAND, PCI_COMMAND_MASTER | PCI_COMMAND_INTX_DISABLE, 2);
	raise_irq();
	CU_ASSERT_EQUAL(rings(), 0);
	CU_ASSERT(status()); /* whether it is on or off */
	reg_write(VFU_PCI_CONFIG, PCI_COMMAND, PCI_COMMAND_MASTER, 2);
	CU_ASSERT_EQUAL(rings(), 1);
	/* As uio_pci_generic does it: off in the handler, on by user space when it is done. */
	CU_ASSERT(status());
	reg_write(VFU_PCI_CONFIG, PCI_COMMAND, PCI_COMMAND_MASTER | PCI_COMMAND_INTX_DISABLE, 2);
	unmask(); /* user space touched a BAR */
	CU_ASSERT_FALSE(status());
	raise_irq();
	reg_write(VFU_PCI_CONFIG, PCI_COMMAND, PCI_COMMAND_MASTER, 2);
	CU_ASSERT_EQUAL(rings(), 1);
	down();
}

static void
queue_up(void)
{
	const struct vbus_pci_negotiate neg = {VBUS_PCI_MAGIC, VBUS_PCI_CALL_VERSION, 0};
	const struct vbus_pci_busreg reg = {
		.count = 1, .eventq = {{.count = COUNT, .ring = RING, .data = SLOTS}}};
	uint32_t i;

	CU_ASSERT_EQUAL(bridge_call(VBUS_PCI_BRIDGE_NEGOTIATE, &neg, sizeof(neg)), 1);
	CU_ASSERT_EQUAL_FATAL(vbus_ioq_north_format(&evq, mem + RING, COUNT, cookies, 1), 0);
	CU_ASSERT_EQUAL(
		vbus_signal_attach(&sig, mem + RING + IOQ_RING_SIGNAL_OFFSET, VBUS_LOCALITY_NORTH),
		0);
	for (i = 0; i < COUNT; i++) {
		const struct vbus_ioq_entry e = {.ptr = SLOTS + i * sizeof(struct vbus_pci_event),
			.len = sizeof(struct vbus_pci_event)};

		CU_ASSERT_EQUAL(vbus_ioq_north_post(&evq, &e, 1), 1);
	}
	(void)vbus_signal_enable(&sig);
	CU_ASSERT_EQUAL(bridge_call(VBUS_PCI_BRIDGE_QREG, &reg, sizeof(reg)), 0);
}

/* With the event queue: north is asked to touch a BAR, and an interrupt that was lost comes again. */
static void
test_events(void)
{
	struct vbus_device *dev;
	struct vbus_signal to_south;
	struct vbus_ioq_entry e;

	up();
	vbus_ctl_lock();
	dev = vbus_device_create("d0", "nothing", NULL);
	vbus_ctl_unlock();
	CU_ASSERT_PTR_NOT_NULL_FATAL(dev);
	queue_up();
	CU_ASSERT_EQUAL(vbus_signal_attach(&to_south, mem + RING + IOQ_RING_SIGNAL_OFFSET,
				VBUS_LOCALITY_SOUTH),
		0);
	CU_ASSERT_FALSE(status());
	vbus_ctl_lock();
	CU_ASSERT_EQUAL(vbus_device_attach(dev, bus), 0);
	vbus_ctl_unlock();
	CU_ASSERT_EQUAL(rings(), 1);
	CU_ASSERT(vbus_signal_is_enabled(&to_south));
	/* Another CPU's access to a BAR quenches the line before the handler has run. */
	unmask();
	CU_ASSERT(status()); /* north is not done: the handler is meant all the same */
	CU_ASSERT_EQUAL(rings_within(2000), 1);
	/* Now north is done. */
	CU_ASSERT_EQUAL(vbus_ioq_north_pop(&evq, &e, 1), 1);
	vbus_ioq_north_repost(&evq, 1);
	vbus_signal_take(&sig);
	unmask();
	usleep(30000);
	unmask();
	CU_ASSERT_FALSE(status());
	CU_ASSERT_EQUAL(rings(), 0);
	vbus_ctl_lock();
	vbus_device_delete(dev);
	vbus_ctl_unlock();
	down();
}

int
main(void)
{
	static const struct cu_test tests[] = {
		{"held until unmasked", test_held},
		{"off in the command register", test_disable},
		{"with events", test_events},
		{NULL, NULL},
	};

	return cu_run("INTx", tests, init, cleanup);
}
