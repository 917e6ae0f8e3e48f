/* SPDX-License-Identifier: (GPL-2.0-only WITH Linux-syscall-note) OR BSD-3-Clause */
/* Copyright(c) 2026 vbus developers */
#ifndef VBUS_ABI_DEVICE_H
#define VBUS_ABI_DEVICE_H

#include "types.h"

/*
 * Device calls, by SLOWCALL or by a fast call. doc/abi.md section 1.
 */

#define VBUS_PCI_HC_DEVOPEN  0U
#define VBUS_PCI_HC_DEVCLOSE 1U
#define VBUS_PCI_HC_DEVCALL  2U
#define VBUS_PCI_HC_DEVSHM   3U

/** DEVOPEN. */
struct vbus_pci_deviceopen {
	vbus_le32 devid;
	vbus_le32 version; /* of the device's ABI */
	vbus_le64 handle;  /* written back by south; never 0 */
};

VBUS_ASSERT_SIZE(struct vbus_pci_deviceopen, 16);
VBUS_ASSERT_OFFSET(struct vbus_pci_deviceopen, devid, 0);
VBUS_ASSERT_OFFSET(struct vbus_pci_deviceopen, version, 4);
VBUS_ASSERT_OFFSET(struct vbus_pci_deviceopen, handle, 8);

/** DEVCLOSE. */
struct vbus_pci_deviceclose {
	vbus_le64 handle;
};

VBUS_ASSERT_SIZE(struct vbus_pci_deviceclose, 8);
VBUS_ASSERT_OFFSET(struct vbus_pci_deviceclose, handle, 0);

/** DEVCALL: a function of the device. */
struct vbus_pci_devicecall {
	vbus_le64 devh;
	vbus_le32 func;
	vbus_le32 len;
	vbus_le32 flags;
	uint8_t pad[4];
	vbus_le64 datap;
};

VBUS_ASSERT_SIZE(struct vbus_pci_devicecall, 32);
VBUS_ASSERT_OFFSET(struct vbus_pci_devicecall, devh, 0);
VBUS_ASSERT_OFFSET(struct vbus_pci_devicecall, func, 8);
VBUS_ASSERT_OFFSET(struct vbus_pci_devicecall, len, 12);
VBUS_ASSERT_OFFSET(struct vbus_pci_devicecall, flags, 16);
VBUS_ASSERT_OFFSET(struct vbus_pci_devicecall, pad, 20);
VBUS_ASSERT_OFFSET(struct vbus_pci_devicecall, datap, 24);

/** `signal.offset` of a block without a signal. */
#define VBUS_PCI_SHM_NO_SIGNAL 0xffffffffU

/** The signal of a shared block. */
struct vbus_pci_shm_signal {
	vbus_le32 offset; /* of a struct shm_signal_desc inside the block */
	vbus_le32 prio;
	vbus_le64 cookie; /* comes back in the events SHMSIGNAL and SHMCLOSE */
};

VBUS_ASSERT_SIZE(struct vbus_pci_shm_signal, 16);
VBUS_ASSERT_OFFSET(struct vbus_pci_shm_signal, offset, 0);
VBUS_ASSERT_OFFSET(struct vbus_pci_shm_signal, prio, 4);
VBUS_ASSERT_OFFSET(struct vbus_pci_shm_signal, cookie, 8);

/** DEVSHM: share a block with the device. */
struct vbus_pci_deviceshm {
	vbus_le64 devh;
	vbus_le32 id;
	vbus_le32 len;
	vbus_le32 flags;
	uint8_t pad[4];
	struct vbus_pci_shm_signal signal;
	vbus_le64 datap;
};

VBUS_ASSERT_SIZE(struct vbus_pci_deviceshm, 48);
VBUS_ASSERT_OFFSET(struct vbus_pci_deviceshm, devh, 0);
VBUS_ASSERT_OFFSET(struct vbus_pci_deviceshm, id, 8);
VBUS_ASSERT_OFFSET(struct vbus_pci_deviceshm, len, 12);
VBUS_ASSERT_OFFSET(struct vbus_pci_deviceshm, flags, 16);
VBUS_ASSERT_OFFSET(struct vbus_pci_deviceshm, pad, 20);
VBUS_ASSERT_OFFSET(struct vbus_pci_deviceshm, signal, 24);
VBUS_ASSERT_OFFSET(struct vbus_pci_deviceshm, datap, 40);

#endif /* VBUS_ABI_DEVICE_H */
