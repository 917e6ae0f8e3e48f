// SPDX-License-Identifier: GPL-2.0-only
/* Copyright(c) 2026 vbus developers */

/*
 * Blocks of memory that a device shares with south. They hang on the device from their allocation
 * to its close, whatever fails in between, so that no driver has an error path for them. Process
 * context; the driver serialises.
 */

#include <linux/slab.h>

#include "shm.h"
#include "vbus_drv.h"

struct vbus_shm *vbus_shm_wrap(struct vbus_device *vdev, u32 id, void *addr, dma_addr_t dma,
			       u32 len)
{
	struct vbus_shm *shm;

	shm = kzalloc(sizeof(*shm), GFP_KERNEL);
	if (!shm)
		return ERR_PTR(-ENOMEM);
	shm->vdev = vdev;
	shm->id = id;
	shm->len = len;
	shm->addr = addr;
	shm->dma = dma;
	shm->signal_offset = VBUS_PCI_SHM_NO_SIGNAL;
	list_add_tail(&shm->node, &vdev->shms);
	return shm;
}
EXPORT_SYMBOL_GPL(vbus_shm_wrap);

struct vbus_shm *vbus_shm_alloc_skewed(struct vbus_device *vdev, u32 id, u32 len, u32 skew)
{
	const size_t mem_len = (size_t)len + skew;
	struct vbus_shm *shm;
	dma_addr_t dma;
	void *mem;

	mem = vbus_dma_alloc(vdev->dma_dev, mem_len, &dma);
	if (!mem)
		return ERR_PTR(-ENOMEM);
	shm = vbus_shm_wrap(vdev, id, mem + skew, dma + skew, len);
	if (IS_ERR(shm)) {
		vbus_dma_free(vdev->dma_dev, mem_len, mem, dma);
		return shm;
	}
	shm->mem = mem;
	shm->mem_dma = dma;
	shm->mem_len = mem_len;
	return shm;
}

struct vbus_shm *vbus_shm_alloc(struct vbus_device *vdev, u32 id, u32 len)
{
	return vbus_shm_alloc_skewed(vdev, id, len, 0);
}
EXPORT_SYMBOL_GPL(vbus_shm_alloc);

void vbus_shm_add_signal(struct vbus_shm *shm, u32 offset,
			 void (*notify)(struct vbus_signal *sig), void *priv)
{
	shm->signal_offset = offset;
	shm->signal.shm = shm;
	shm->signal.notify = notify;
	shm->signal.priv = priv;
	vbus_signal_init(&shm->signal, shm->addr + offset);
}
EXPORT_SYMBOL_GPL(vbus_shm_add_signal);

int vbus_shm_share(struct vbus_shm *shm)
{
	int ret;

	if (!shm->vdev->handle || shm->added)
		return -EINVAL;
	ret = shm->vdev->ops->shm_add(shm);
	if (ret < 0)
		return ret;
	shm->added = true;
	return 0;
}
EXPORT_SYMBOL_GPL(vbus_shm_share);

void vbus_shm_free_all(struct vbus_device *vdev)
{
	struct vbus_shm *shm, *next;

	list_for_each_entry_safe(shm, next, &vdev->shms, node) {
		if (shm->added)
			vdev->ops->shm_del(shm);
		list_del(&shm->node);
		if (shm->mem)
			vbus_dma_free(vdev->dma_dev, shm->mem_len, shm->mem, shm->mem_dma);
		kfree(shm);
	}
}
