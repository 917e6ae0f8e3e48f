// SPDX-License-Identifier: GPL-2.0-only
/* Copyright(c) 2026 vbus developers */

/*
 * What devices see of the bridge that they are behind. Calls and signals: any context.
 */

#include <linux/io.h>

#include "bridge.h"

static int vbus_pci_call(struct vbus_device *vdev, u32 vector, void *args, u32 len)
{
	return vbus_pci_fastcall(vdev->bridge, vector, args, len, NULL, 0);
}

static int vbus_pci_devcall(struct vbus_device *vdev, u32 func, void *data, u32 len)
{
	struct vbus_pci_devicecall args = {
		.devh = cpu_to_le64(vdev->handle),
		.func = cpu_to_le32(func),
		.len = cpu_to_le32(len),
	};

	if (len > VBUS_CALL_MAX)
		return -EMSGSIZE;
	return vbus_pci_fastcall(vdev->bridge, VBUS_PCI_HC_DEVCALL, &args, sizeof(args), data, len);
}

static void vbus_pci_signal(struct vbus_shm *shm)
{
	struct vbus_pci_bridge *br = shm->vdev->bridge;
	struct vbus_pci_signals __iomem *signals = br->signals;

	if (!READ_ONCE(br->dead))
		iowrite32(shm->handle, &signals->shmsignal);
}

const struct vbus_bridge_ops vbus_pci_ops = {
	.call = vbus_pci_call,
	.devcall = vbus_pci_devcall,
	.shm_add = vbus_pci_shm_add,
	.shm_del = vbus_pci_shm_del,
	.signal = vbus_pci_signal,
};
