/* SPDX-License-Identifier: GPL-2.0-only */
/* Copyright(c) 2026 vbus developers */
#ifndef VBUS_SHM_H
#define VBUS_SHM_H

/* Blocks shared with south: what the files of the bus module share among themselves. */

#include "vbus_drv.h"

/* A block at @skew bytes (a multiple of 8, below a page) into its page. ERR_PTR on failure. */
struct vbus_shm *vbus_shm_alloc_skewed(struct vbus_device *vdev, u32 id, u32 len, u32 skew);

/* DEVCLOSE was called: every block of @vdev ends. */
void vbus_shm_free_all(struct vbus_device *vdev);

/* Write a descriptor that says nothing yet. */
void vbus_signal_init(struct vbus_signal *sig, struct shm_signal_desc *desc);

#endif /* VBUS_SHM_H */
