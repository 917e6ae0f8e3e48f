/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * The PCI function's configuration space (doc/abi.md section 1): one MSI vector, BAR 0 in memory,
 * BAR 1 of I/O ports. A hypervisor answers reads of the BARs itself, from sizes and type bits, so
 * writes to them are ignored. Control lock held; the bytes lie in the link state.
 */

#include "bridge_internal.h"

#include <string.h>

#include <linux/pci_regs.h>

#include <vbus/pci.h>

#define MSI_CAP 0x40u

static void
put16(uint8_t *config, uint32_t off, uint16_t v)
{
	config[off] = (uint8_t)v;
	config[off + 1] = (uint8_t)(v >> 8);
}

void
vbus_bridge_config_init(struct vbus_bridge *b)
{
	uint8_t *c = b->ls->bridge.config;

	memset(c, 0, VBUS_LINK_CONFIG);
	put16(c, PCI_VENDOR_ID, VBUS_PCI_VENDOR_ID);
	put16(c, PCI_DEVICE_ID, VBUS_PCI_DEVICE_ID);
	put16(c, PCI_STATUS, PCI_STATUS_CAP_LIST);
	c[PCI_REVISION_ID] = VBUS_PCI_REVISION;
	put16(c, PCI_CLASS_DEVICE, VBUS_PCI_CLASS);
	c[PCI_BASE_ADDRESS_1] = PCI_BASE_ADDRESS_SPACE_IO;
	put16(c, PCI_SUBSYSTEM_VENDOR_ID, VBUS_PCI_VENDOR_ID);
	put16(c, PCI_SUBSYSTEM_ID, VBUS_PCI_DEVICE_ID);
	c[PCI_CAPABILITY_LIST] = MSI_CAP;
	c[PCI_INTERRUPT_PIN] = 1; /* INTA */
	c[MSI_CAP] = PCI_CAP_ID_MSI;
	put16(c, MSI_CAP + PCI_MSI_FLAGS, PCI_MSI_FLAGS_64BIT);
}

/* Which bits of a byte can be written. */
static uint8_t
config_mask(uint32_t off)
{
	switch (off) {
	case PCI_COMMAND:
		return PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER |
		       PCI_COMMAND_PARITY;
	case PCI_COMMAND + 1:
		return (PCI_COMMAND_SERR | PCI_COMMAND_INTX_DISABLE) >> 8;
	case PCI_CACHE_LINE_SIZE:
	case PCI_LATENCY_TIMER:
	case PCI_INTERRUPT_LINE:
		return 0xff;
	case MSI_CAP + PCI_MSI_FLAGS:
		return PCI_MSI_FLAGS_ENABLE | PCI_MSI_FLAGS_QSIZE;
	default:
		/* Address (8 bytes) and data (2) of the message. */
		if (off >= MSI_CAP + PCI_MSI_ADDRESS_LO && off < MSI_CAP + PCI_MSI_DATA_64 + 2)
			return 0xff;
		return 0;
	}
}

void
vbus_bridge_config_read(struct vbus_bridge *b, uint32_t off, void *buf, uint32_t len)
{
	memset(buf, 0, len);
	if (off >= VBUS_LINK_CONFIG)
		return;
	if (len > VBUS_LINK_CONFIG - off)
		len = VBUS_LINK_CONFIG - off;
	memcpy(buf, &b->ls->bridge.config[off], len);
}

void
vbus_bridge_config_write(struct vbus_bridge *b, uint32_t off, const void *buf, uint32_t len)
{
	uint8_t *c = b->ls->bridge.config;
	const uint8_t *src = buf;
	const bool master = (c[PCI_COMMAND] & PCI_COMMAND_MASTER) != 0;
	uint32_t i;

	if (off >= VBUS_LINK_CONFIG)
		return;
	if (len > VBUS_LINK_CONFIG - off)
		len = VBUS_LINK_CONFIG - off;
	for (i = 0; i < len; i++) {
		const uint8_t mask = config_mask(off + i);

		c[off + i] = (uint8_t)((c[off + i] & ~mask) | (src[i] & mask));
	}
	/* 7.13: all that is seen of a driver that unloads. */
	if (master && (c[PCI_COMMAND] & PCI_COMMAND_MASTER) == 0)
		vbus_bridge_reset(b, false);
}
