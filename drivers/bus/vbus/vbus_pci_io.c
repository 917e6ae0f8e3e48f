/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * The registers of a bridge function (doc/abi.md section 1) under vfio-pci or a UIO driver.
 * BAR 0 is mapped memory. BAR 1 is I/O ports, if there are any: VFIO has a region for them,
 * elsewhere it is the file that sysfs has for the BAR. Both are one pwrite(2) and need no right of the calling
 * thread; in and out instructions would need iopl(2) in each lcore, which started long before
 * we are asked.
 *
 * MSI is set up by us and not through EAL's interrupt handle: EAL would choose MSI-X, which
 * the function has not, and our control thread can wait for the eventfd itself.
 *
 * Threads: vbus_pci_io_signal() and _ring() any; the rest: control lock held.
 * Ownership: the PCI device is mapped before open and unmapped after close (vbus_pci.c).
 */

#include "vbus_pci_io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/pci_regs.h>
#include <linux/vfio.h>

#include <bus_pci_driver.h>
#include <rte_interrupts.h>
#include <rte_io.h>

#include "vbus_window.h"

/* Registers of an ivshmem function, and what it answers while it has no number. */
#define IVSHMEM_POSITION 8u
#define IVSHMEM_DOORBELL 12u
#define IVSHMEM_ID_MAX	 0xffffu

static int
vfio_fd(const struct vbus_pci_io *io)
{
	return io->dev->kdrv == RTE_PCI_KDRV_VFIO ? rte_intr_dev_fd_get(io->dev->intr_handle) : -1;
}

static int
ports_vfio(struct vbus_pci_io *io)
{
	struct vfio_region_info info = {
		.argsz = sizeof(info),
		.index = VFIO_PCI_BAR0_REGION_INDEX + VBUS_PCI_BAR_SIGNALS,
	};

	io->port_fd = vfio_fd(io);
	if (ioctl(io->port_fd, VFIO_DEVICE_GET_REGION_INFO, &info) != 0)
		return -errno;
	if (info.size < sizeof(struct vbus_pci_signals)) {
		io->port_fd = -1;
		return info.size == 0 ? 0 : -EIO;
	}
	io->port_off = info.offset;
	return 0;
}

static int
ports_sysfs(struct vbus_pci_io *io)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/%s/resource%d", rte_pci_get_sysfs_path(),
		io->dev->device.name, VBUS_PCI_BAR_SIGNALS);
	io->port_fd = open(path, O_RDWR | O_CLOEXEC);
	if (io->port_fd < 0)
		return errno == ENOENT ? 0 : -errno;
	io->own_port_fd = true;
	io->port_off = 0;
	return 0;
}

int
vbus_pci_io_open(struct vbus_pci_io *io, struct rte_pci_device *dev, char *err, size_t err_size)
{
	int ret;

	*io = (struct vbus_pci_io){
		.dev = dev,
		.regs = dev->mem_resource[VBUS_PCI_BAR_REGS].addr,
		.port_fd = -1,
	};
	if (io->regs == NULL) {
		snprintf(err, err_size, "BAR %d is not mapped", VBUS_PCI_BAR_REGS);
		return -EIO;
	}
	ret = dev->kdrv == RTE_PCI_KDRV_VFIO ? ports_vfio(io) : ports_sysfs(io);
	if (ret != 0)
		snprintf(err, err_size, "BAR %d: %s", VBUS_PCI_BAR_SIGNALS, strerror(-ret));
	return ret;
}

void
vbus_pci_io_close(struct vbus_pci_io *io)
{
	if (io->own_port_fd)
		close(io->port_fd);
	io->port_fd = -1;
	io->own_port_fd = false;
}

int
vbus_pci_io_check(const struct vbus_pci_io *io)
{
	uint8_t c[PCI_REVISION_ID + 1];

	if (rte_pci_read_config(io->dev, c, sizeof(c), 0) != (int)sizeof(c))
		return -EIO;
	/* What is read where nothing is, any more. */
	if ((c[0] & c[1] & c[2] & c[3]) == 0xff)
		return -ENODEV;
	if (c[PCI_REVISION_ID] != VBUS_PCI_REVISION)
		return -EPROTONOSUPPORT;
	return 0;
}

int
vbus_pci_io_master(const struct vbus_pci_io *io, bool on)
{
	return rte_pci_set_bus_master(io->dev, on) == 0 ? 0 : -EIO;
}

static int
irq_vfio(int dev_fd, uint32_t index, int fd)
{
	union {
		struct vfio_irq_set set;
		uint8_t bytes[sizeof(struct vfio_irq_set) + sizeof(int32_t)];
	} u;
	const int32_t fd32 = fd;

	memset(&u, 0, sizeof(u));
	u.set.index = index;
	u.set.flags = VFIO_IRQ_SET_ACTION_TRIGGER;
	if (fd >= 0) {
		u.set.argsz = sizeof(u.set) + sizeof(fd32);
		u.set.flags |= VFIO_IRQ_SET_DATA_EVENTFD;
		u.set.count = 1;
		memcpy(u.bytes + offsetof(struct vfio_irq_set, data), &fd32, sizeof(fd32));
	} else {
		u.set.argsz = sizeof(u.set);
		u.set.flags |= VFIO_IRQ_SET_DATA_NONE;
	}
	return ioctl(dev_fd, VFIO_DEVICE_SET_IRQS, &u) == 0 ? 0 : -errno;
}

int
vbus_pci_io_irq(const struct vbus_pci_io *io, int fd)
{
	uint16_t command;

	if (io->dev->kdrv == RTE_PCI_KDRV_VFIO)
		return irq_vfio(vfio_fd(io), VFIO_PCI_MSI_IRQ_INDEX, fd);
	/* A UIO driver has the line at most. A backend without its status bit would raise one
	 * that nobody serves: keep it low. */
	if (rte_pci_read_config(io->dev, &command, sizeof(command), PCI_COMMAND) ==
			(int)sizeof(command) &&
		(command & PCI_COMMAND_INTX_DISABLE) == 0) {
		command |= PCI_COMMAND_INTX_DISABLE;
		(void)rte_pci_write_config(io->dev, &command, sizeof(command), PCI_COMMAND);
	}
	return -ENOTSUP;
}

/* An ivshmem function that has an interrupt and a doorbell: a window's that is held already. Without them it
 * is a window all the same. */
static int
window_irq(struct rte_pci_device *dev, int fd)
{
	struct vfio_region_info regs = {
		.argsz = sizeof(regs),
		.index = VFIO_PCI_BAR0_REGION_INDEX + VBUS_PCI_BAR_REGS,
	};
	struct vfio_irq_info irqs = {.argsz = sizeof(irqs), .index = VFIO_PCI_MSIX_IRQ_INDEX};
	const struct vbus_pci_io io = {.dev = dev};
	uint32_t id;
	int event, ret;

	if (ioctl(fd, VFIO_DEVICE_GET_IRQ_INFO, &irqs) != 0 || irqs.count == 0 ||
		ioctl(fd, VFIO_DEVICE_GET_REGION_INFO, &regs) != 0 ||
		regs.size < IVSHMEM_DOORBELL + sizeof(id) ||
		pread(fd, &id, sizeof(id), (off_t)(regs.offset + IVSHMEM_POSITION)) != sizeof(id) ||
		id > IVSHMEM_ID_MAX)
		return 0;
	event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (event < 0)
		return -errno;
	ret = irq_vfio(fd, VFIO_PCI_MSIX_IRQ_INDEX, event);
	if (ret == 0)
		ret = vbus_pci_io_master(&io, true); /* an MSI is a write */
	if (ret != 0) {
		close(event);
		return ret;
	}
	return vbus_window_hold_irq(
		dev->device.name, event, (int64_t)(regs.offset + IVSHMEM_DOORBELL), id << 16);
}

int
vbus_pci_io_window(struct rte_pci_device *dev)
{
	struct vfio_region_info info = {
		.argsz = sizeof(info),
		.index = VFIO_PCI_BAR0_REGION_INDEX + VBUS_WINDOW_PCI_BAR,
	};
	const struct vbus_pci_io io = {.dev = dev};
	int fd = vfio_fd(&io), ret;

	/* EAL has let it. */
	(void)vbus_pci_io_master(&io, false);
	if (fd < 0)
		return 0; /* sysfs has the BAR, write-combining too */
	if (ioctl(fd, VFIO_DEVICE_GET_REGION_INFO, &info) != 0)
		return -errno;
	if ((info.flags & VFIO_REGION_INFO_FLAG_MMAP) == 0)
		return -ENOTSUP;
	ret = vbus_window_hold(dev->device.name, fd, info.offset, info.size);
	if (ret != 0 || !vbus_pci_is_ivshmem(dev))
		return ret;
	ret = window_irq(dev, fd);
	if (ret != 0)
		vbus_window_unhold(dev->device.name);
	return ret;
}

int32_t
vbus_pci_io_call(const struct vbus_pci_io *io, const struct vbus_pci_call_desc *desc)
{
	uint8_t *r = io->regs;

	/* 32 bits at a time: every bridge takes that. The first write also orders the argument
	 * block before the registers, each in this order, and the read behind all of them. */
	rte_write32(desc->vector, r + offsetof(struct vbus_pci_call_desc, vector));
	rte_write32(desc->len, r + offsetof(struct vbus_pci_call_desc, len));
	rte_write32((uint32_t)desc->datap, r + offsetof(struct vbus_pci_call_desc, datap));
	rte_write32(
		(uint32_t)(desc->datap >> 32), r + offsetof(struct vbus_pci_call_desc, datap) + 4);
	return (int32_t)rte_read32(r);
}

void
vbus_pci_io_signal(const struct vbus_pci_io *io, uint32_t off, uint32_t value)
{
	/* Nobody is there to be signalled when it fails: the function is gone. */
	if (pwrite(io->port_fd, &value, sizeof(value), (off_t)(io->port_off + off)) < 0)
		return;
}

void
vbus_pci_io_ring(const struct vbus_pci_io *io, uint32_t off, uint32_t value)
{
	/* Its barrier orders what is signalled before it. */
	rte_write32(value, (uint8_t *)io->regs + VBUS_PCI_DOORBELL + off);
}
