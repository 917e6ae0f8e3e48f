/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers */
#ifndef VBUS_PCI_IO_H
#define VBUS_PCI_IO_H

/**
 * @file
 * The registers of a bridge function as a driver in user space reaches them. A test plays them.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <bus_pci_driver.h>

#include <vbus/pci.h>

struct vbus_pci_io {
	struct rte_pci_device *dev;
	void *regs;	   /* BAR 0, mapped */
	int port_fd;	   /* BAR 1 is written through this; -1: there is none */
	bool own_port_fd;  /* to be closed */
	uint64_t port_off; /* of BAR 1 in it */
};

/* Find the registers of a mapped device. 0, or negative errno and a line in err. */
int vbus_pci_io_open(
	struct vbus_pci_io *io, struct rte_pci_device *dev, char *err, size_t err_size);
void vbus_pci_io_close(struct vbus_pci_io *io);
/* Does the function answer, and is it a bridge of our revision? 0 or negative errno. */
int vbus_pci_io_check(const struct vbus_pci_io *io);
/* May the function reach our memory? Turning it off makes south leave it. */
int vbus_pci_io_master(const struct vbus_pci_io *io, bool on);
/* Let the function's interrupt (MSI) write to the eventfd; -1: none any more. 0, or negative
 * errno: there is none to be had, and INTx is off too. */
int vbus_pci_io_irq(const struct vbus_pci_io *io, int fd);
/* QEMU's shared memory with doorbells: no device of ours, but a window for who says so. */
#define VBUS_PCI_IVSHMEM_VENDOR 0x1af4
#define VBUS_PCI_IVSHMEM_DEVICE 0x1110
static inline bool
vbus_pci_is_ivshmem(const struct rte_pci_device *dev)
{
	return dev->id.vendor_id == VBUS_PCI_IVSHMEM_VENDOR &&
	       dev->id.device_id == VBUS_PCI_IVSHMEM_DEVICE;
}
/* A function that is a window (doc/abi.md section 13) and reaches nothing of ours: its BAR for pci:FUNCTION,
 * and the interrupt of an ivshmem function.
 * 0 or negative errno. */
int vbus_pci_io_window(struct rte_pci_device *dev);
/* Run a bridge call: south has done it when this returns. */
int32_t vbus_pci_io_call(const struct vbus_pci_io *io, const struct vbus_pci_call_desc *desc);
/* Write a signal register: a port, one system call. Any thread, no lock. */
void vbus_pci_io_signal(const struct vbus_pci_io *io, uint32_t off, uint32_t value);
/* The same by the doorbell (VBUS_CAP_DOORBELL): a store, which nobody waits for. */
void vbus_pci_io_ring(const struct vbus_pci_io *io, uint32_t off, uint32_t value);

#endif /* VBUS_PCI_IO_H */
