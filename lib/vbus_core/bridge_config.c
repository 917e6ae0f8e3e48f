/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * The PCI function's configuration space (doc/abi.md section 1): one MSI vector, BAR 0 in memory,
 * BAR 1 of I/O ports. A hypervisor answers reads of the BARs itself, from sizes and type bits, so
 * writes to them are ignored. Control lock held; the bytes lie in the link state, and what is said
 * of them in link_idle.c, which the keeper uses too.
 */

#include "bridge_internal.h"

void
vbus_bridge_config_init(struct vbus_bridge *b)
{
	vbus_link_config_init(b->ls);
}

void
vbus_bridge_config_read(struct vbus_bridge *b, uint32_t off, void *buf, uint32_t len)
{
	vbus_link_config_read(b->ls, off, buf, len);
}

void
vbus_bridge_config_write(struct vbus_bridge *b, uint32_t off, const void *buf, uint32_t len)
{
	if (vbus_link_config_write(b->ls, off, buf, len))
		vbus_bridge_reset(b, false);
}
