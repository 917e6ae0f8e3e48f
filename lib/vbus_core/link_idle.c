/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * A link without a data plane: configuration space, regions of memory, reset, as plain data in the
 * link's state (ADR-0016). The bridge uses the same for a link that it serves. Free of DPDK.
 *
 * Threads: one owner of the state at a time: the control side of vbus-dp (control lock), or the
 * keeper's only thread. A process may be killed anywhere in here: who comes next does the message
 * again that asked for it, so each change is written such that half of it can be done twice.
 */

#include "link_state.h"

#include <errno.h>
#include <string.h>

#include <linux/pci_regs.h>

#include <vbus/pci.h>

/* ---- configuration space ----------------------------------------------------------------------- */

#define MSI_CAP 0x40u

static void
put16(uint8_t *config, uint32_t off, uint16_t v)
{
	config[off] = (uint8_t)v;
	config[off + 1] = (uint8_t)(v >> 8);
}

void
vbus_link_config_init(struct vbus_link_state *ls)
{
	uint8_t *c = ls->bridge.config;

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
vbus_link_config_read(const struct vbus_link_state *ls, uint32_t off, void *buf, uint32_t len)
{
	memset(buf, 0, len);
	if (off >= VBUS_LINK_CONFIG)
		return;
	if (len > VBUS_LINK_CONFIG - off)
		len = VBUS_LINK_CONFIG - off;
	memcpy(buf, &ls->bridge.config[off], len);
}

bool
vbus_link_config_write(struct vbus_link_state *ls, uint32_t off, const void *buf, uint32_t len)
{
	uint8_t *c = ls->bridge.config;
	const uint8_t *src = buf;
	const bool master = (c[PCI_COMMAND] & PCI_COMMAND_MASTER) != 0;
	uint32_t i;

	if (off >= VBUS_LINK_CONFIG)
		return false;
	if (len > VBUS_LINK_CONFIG - off)
		len = VBUS_LINK_CONFIG - off;
	for (i = 0; i < len; i++) {
		const uint8_t mask = config_mask(off + i);

		c[off + i] = (uint8_t)((c[off + i] & ~mask) | (src[i] & mask));
	}
	/* 7.13: all that is seen of a driver that unloads. */
	return master && (c[PCI_COMMAND] & PCI_COMMAND_MASTER) == 0;
}

/* ---- reset ------------------------------------------------------------------------------------- */

void
vbus_link_state_reset(struct vbus_link_state *ls, bool function_reset)
{
	struct vbus_link_bridge *lb = &ls->bridge;
	uint32_t i;

	lb->flags &= ~(VBUS_LINK_NEGOTIATED | VBUS_LINK_EVENTS);
	memset(&lb->eventq, 0, sizeof(lb->eventq));
	lb->backlog.head = 0;
	lb->backlog.tail = 0;
	lb->sending.active = 0;
	/* Read before it is written: pages that were never used stay away. */
	for (i = 0; i < VBUS_LINK_SHMS; i++)
		if (ls->shms[i].flags != 0)
			ls->shms[i].flags = 0;
	for (i = 0; i < VBUS_LINK_CONNS; i++)
		if (ls->conns[i].flags != 0)
			ls->conns[i].flags = 0;
	for (i = 0; i < VBUS_LINK_DEVS; i++) {
		if (ls->devs[i].flags == 0)
			continue;
		ls->devs[i].devid = 0;
		ls->devs[i].flags &= ~VBUS_LINK_DEV_ANNOUNCED;
	}
	if (lb->channels_end <= VBUS_LINK_CHANNELS)
		memset(ls->channels, 0, lb->channels_end * sizeof(ls->channels[0]));
	lb->channels_end = 0;
	lb->epoch++;
	lb->capabilities = 0;
	if (!function_reset)
		return;
	lb->last_devid = 0;
	memset(lb->regs, 0, sizeof(lb->regs));
	vbus_link_config_init(ls);
}

void
vbus_link_state_end(struct vbus_link_state *ls)
{
	vbus_link_state_reset(ls, false);
	vbus_link_region_del(ls, 0, UINT64_MAX);
	ls->bridge.flags = 0;
	ls->bridge.call.nr = 0;
}

/* ---- regions ----------------------------------------------------------------------------------- */

static uint32_t
regions_end(const struct vbus_link_state *ls)
{
	const uint32_t end = ls->bridge.regions_end;

	return end <= VBUS_LINK_REGIONS ? end : VBUS_LINK_REGIONS;
}

static bool
same(const struct vbus_link_region *a, const struct vbus_link_region *b)
{
	return a->flags == b->flags && a->iova == b->iova && a->len == b->len &&
	       ((a->flags & VBUS_LINK_REGION_FILE) == 0 ||
		       (a->offset == b->offset && a->st_dev == b->st_dev &&
			       a->st_ino == b->st_ino));
}

bool
vbus_link_region_overlaps(const struct vbus_link_state *ls, uint64_t first, uint64_t last)
{
	uint32_t i;

	for (i = 0; i < regions_end(ls); i++) {
		const struct vbus_link_region *r = &ls->regions[i];

		if ((r->flags & VBUS_LINK_REGION_USED) != 0 && r->iova <= last &&
			r->iova + (r->len - 1) >= first)
			return true;
	}
	return false;
}

int
vbus_link_region_add(struct vbus_link_state *ls, const struct vbus_link_region *new)
{
	struct vbus_link_bridge *lb = &ls->bridge;
	struct vbus_link_region *r;
	uint32_t i;

	for (i = 0; i < regions_end(ls); i++)
		if (same(&ls->regions[i], new))
			return -EEXIST;
	for (i = lb->region_hint; i < VBUS_LINK_REGIONS; i++)
		if ((ls->regions[i].flags & VBUS_LINK_REGION_USED) == 0)
			break;
	if (i >= VBUS_LINK_REGIONS)
		return -ENOSPC;
	r = &ls->regions[i];
	*r = *new;
	r->flags = 0;
	if (i >= lb->regions_end)
		lb->regions_end = i + 1;
	lb->region_hint = i + 1;
	/* Last: it is there as a whole or not at all. */
	__atomic_store_n(&r->flags, new->flags, __ATOMIC_RELEASE);
	return 0;
}

/* Take first..last out of a region. */
static void
cut(struct vbus_link_state *ls, struct vbus_link_region *r, uint64_t first, uint64_t last)
{
	const uint64_t r_last = r->iova + (r->len - 1);
	struct vbus_link_region right = *r;

	if (r_last > last) {
		/* The part behind first; should we be killed then, the unmap is done again. */
		right.iova = last + 1;
		right.len = r_last - last;
		right.offset += last + 1 - r->iova;
		(void)vbus_link_region_add(ls, &right); /* without room less access, never more */
	}
	if (r->iova < first)
		__atomic_store_n(&r->len, first - r->iova, __ATOMIC_RELEASE);
	else
		__atomic_store_n(&r->flags, 0, __ATOMIC_RELEASE);
}

void
vbus_link_region_del(struct vbus_link_state *ls, uint64_t first, uint64_t last)
{
	struct vbus_link_bridge *lb = &ls->bridge;
	/* Not those that a cut adds. */
	const uint32_t end = regions_end(ls);
	uint32_t i;

	for (i = 0; i < end; i++) {
		struct vbus_link_region *r = &ls->regions[i];

		if ((r->flags & VBUS_LINK_REGION_USED) == 0 || r->iova > last ||
			r->iova + (r->len - 1) < first)
			continue;
		cut(ls, r, first, last);
		if (i < lb->region_hint)
			lb->region_hint = i;
	}
	while (lb->regions_end > 0 &&
		(ls->regions[lb->regions_end - 1].flags & VBUS_LINK_REGION_USED) == 0)
		lb->regions_end--;
	if (lb->region_hint > lb->regions_end)
		lb->region_hint = lb->regions_end;
}
