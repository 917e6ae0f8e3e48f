// SPDX-License-Identifier: GPL-2.0-only
/* Copyright(c) 2026 vbus developers */

/*
 * Opening, closing and calling a device: the device calls of section 1.3, by way of its bridge.
 */

#include "shm.h"
#include "vbus_drv.h"

int vbus_device_open(struct vbus_device *vdev, u32 version)
{
	struct vbus_pci_deviceopen args = {
		.devid = cpu_to_le32(vdev->id),
		.version = cpu_to_le32(version),
	};
	int ret;

	if (vdev->handle)
		return -EBUSY;
	ret = vdev->ops->call(vdev, VBUS_PCI_HC_DEVOPEN, &args, sizeof(args));
	if (ret == -ENOENT)
		return -ENODEV; /* It was taken away meanwhile, which is no failure to be logged. */
	if (ret < 0)
		return ret;
	vdev->handle = le64_to_cpu(args.handle);
	return vdev->handle ? 0 : -EPROTO;
}
EXPORT_SYMBOL_GPL(vbus_device_open);

void vbus_device_close(struct vbus_device *vdev)
{
	struct vbus_pci_deviceclose args = { .handle = cpu_to_le64(vdev->handle) };

	/* South first: afterwards it touches none of the blocks, and they can go. */
	if (vdev->handle && !vdev->dead)
		vdev->ops->call(vdev, VBUS_PCI_HC_DEVCLOSE, &args, sizeof(args));
	vdev->handle = 0;
	vbus_shm_free_all(vdev);
}
EXPORT_SYMBOL_GPL(vbus_device_close);

int vbus_device_call(struct vbus_device *vdev, u32 func, void *data, u32 len)
{
	if (!vdev->handle)
		return -ENOTCONN;
	return vdev->ops->devcall(vdev, func, data, len);
}
EXPORT_SYMBOL_GPL(vbus_device_call);
