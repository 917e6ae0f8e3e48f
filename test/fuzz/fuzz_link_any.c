/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/* One thing that a north does, whatever the input says: to rings, blocks, registers, calls, its memory. */

#include "fuzz_link.h"

#include <stddef.h>

#include <vbus/device.h>
#include <vbus/pci.h>

#include "fuzz_ctl.h"
#include "vbus_bridge.h"
#include "vbus_memmap.h"

static void
poke_ring(struct fuzz_in *in)
{
	struct link_ring *r = lk.nb_rings == 0 ? &lk.evq : &lk.ring[in_8(in) % lk.nb_rings];
	struct ioq_ring_head *h = (void *)(lk.mem + r->off);
	struct ioq_ring_desc *d = (void *)(lk.mem + r->off + sizeof(*h));
	uint8_t how = in_8(in);
	uint32_t i, n;

	if (how >= 0xf0)
		r = &lk.evq;
	switch (how % 8) {
	case 0:
	case 1:
		for (i = in_8(in), n = in_8(in) % 64; n != 0; n--, i++)
			d[i % r->count].sown = 1;
		break;
	case 2:
		d[in_8(in) % r->count].sown = in_8(in);
		break;
	case 3:
	case 4:
		d += in_8(in) % r->count;
		d->ptr = link_any_addr(in);
		d->len = in_num(in);
		d->sown = 1;
		break;
	case 5: {
		struct ioq_ring_idx *x = &h->idx[in_8(in) & 1];

		x->head = (uint32_t)in_num(in);
		x->tail = (uint32_t)in_num(in);
		x->full = in_8(in);
		break;
	}
	case 6:
		h->magic ^= in_8(in);
		h->count = (uint32_t)in_num(in);
		break;
	default:
		h->signal.north.enabled = how >> 3 & 1;
		h->signal.north.pending = how >> 4 & 1;
		h->signal.south.dirty = how >> 5 & 1;
		h->signal.south.pending = how >> 6 & 1;
		break;
	}
}

static uint64_t
any_handle(struct fuzz_in *in)
{
	uint8_t how = in_8(in);

	if (how < 192)
		return lk.handle;
	if (how < 208)
		return lk.handle - 1;
	if (how < 224)
		return lk.handle - (1ULL << 32); /* of before */
	return in_num(in);
}

static uint32_t
any_shm(struct fuzz_in *in)
{
	uint8_t how = in_8(in);

	if (how < 224)
		return (uint32_t)lk.shms[how % LINK_HANDLES];
	return (uint32_t)in_num(in);
}

/* The argument block of a device call, with fields that mean something now and then. */
static uint32_t
any_args(struct fuzz_in *in, uint32_t vector, uint8_t *p)
{
	uint32_t len;

	memset(p, 0, 64);
	switch (vector) {
	case VBUS_PCI_HC_DEVOPEN: {
		struct vbus_pci_deviceopen a = {.version = 1};

		a.devid = lk.dev != NULL ? lk.dev->devid : 1;
		if (in_8(in) >= 192) {
			a.devid = (uint32_t)in_num(in);
			a.version = (uint32_t)in_num(in);
		}
		memcpy(p, &a, len = sizeof(a));
		break;
	}
	case VBUS_PCI_HC_DEVCLOSE: {
		struct vbus_pci_deviceclose a = {any_handle(in)};

		memcpy(p, &a, len = sizeof(a));
		break;
	}
	case VBUS_PCI_HC_DEVCALL: {
		struct vbus_pci_devicecall a = {.devh = any_handle(in)};

		a.func = in_8(in) % 16;
		a.len = (uint32_t)in_num(in);
		a.datap = link_any_addr(in);
		memcpy(p, &a, len = sizeof(a));
		break;
	}
	case VBUS_PCI_HC_DEVSHM: {
		struct vbus_pci_deviceshm a = {.devh = any_handle(in)};
		uint8_t how = in_8(in);

		a.id = in_8(in) % 64;
		a.len = how & 1 ? (uint32_t)in_num(in) : (uint32_t)vbus_ioq_size(how >> 2);
		a.signal.offset = how & 2 ? (uint32_t)in_num(in) : IOQ_RING_SIGNAL_OFFSET;
		if ((how & 0xf0) == 0xf0)
			a.signal.offset = VBUS_PCI_SHM_NO_SIGNAL;
		a.signal.cookie = 0x100u + a.id;
		a.datap = link_any_addr(in);
		memcpy(p, &a, len = sizeof(a));
		break;
	}
	default:
		len = in_8(in) % 64;
		in_bytes(in, p, len);
		break;
	}
	return len;
}

static void
device_call(struct fuzz_in *in)
{
	uint8_t how = in_8(in), args[64];
	uint32_t vector = how % 8 < 2 ? in_8(in) % 6 : 2 + how % 2u;
	struct vbus_pci_fastcall_desc fast = {0};
	int32_t ret;

	fast.call.vector = vector;
	fast.call.len = any_args(in, vector, args);
	fast.call.datap = link_addr(LINK_ARGS + 0x40);
	memcpy(lk.mem + LINK_ARGS + 0x40, args, sizeof(args));
	if (how >= 0xf0)
		fast.call.datap = link_any_addr(in);
	if (how >= 0xe0 && how < 0xf0)
		fast.call.len = (uint32_t)in_num(in);
	if ((how & 0x10) != 0) {
		memcpy(lk.mem + LINK_FAST, &fast, sizeof(fast));
		vbus_bridge_signal_write(
			lk.b, offsetof(struct vbus_pci_signals, fastcall), how >> 5 & 1);
		return;
	}
	ret = link_call(VBUS_PCI_BRIDGE_SLOWCALL, &fast.call, sizeof(fast.call));
	if (vector == VBUS_PCI_HC_DEVSHM)
		link_keep_shm(ret);
	if (vector == VBUS_PCI_HC_DEVOPEN && ret == 0) {
		struct vbus_pci_deviceopen a;

		memcpy(&a, lk.mem + LINK_ARGS + 0x40, sizeof(a));
		lk.handle = a.handle;
	}
}

static void
bridge_call(struct fuzz_in *in)
{
	uint8_t how = in_8(in), args[80] = {0};
	uint32_t vector = how % 8;
	uint32_t len = 0;

	switch (vector) {
	case VBUS_PCI_BRIDGE_NEGOTIATE: {
		struct vbus_pci_negotiate a = {VBUS_PCI_MAGIC, VBUS_PCI_CALL_VERSION, in_8(in)};

		memcpy(args, &a, len = sizeof(a));
		break;
	}
	case VBUS_PCI_BRIDGE_QREG: {
		struct vbus_pci_busreg a = {.count = 1};

		a.eventq[0].count = how & 0x80 ? (uint32_t)in_num(in) : LINK_EVENTS;
		a.eventq[0].ring = how & 0x40 ? link_any_addr(in) : link_addr(LINK_RING);
		a.eventq[0].data = how & 0x20 ? link_any_addr(in) : link_addr(LINK_SLOTS);
		memcpy(args, &a, len = sizeof(a));
		break;
	}
	case VBUS_PCI_BRIDGE_FASTCALL_ADD: {
		struct vbus_pci_call_desc a = {.vector = how >> 5 & 1, .len = 24};

		a.datap = how & 0x80 ? link_any_addr(in) : link_addr(LINK_FAST);
		if ((how & 0x40) != 0)
			a.vector = (uint32_t)in_num(in);
		memcpy(args, &a, len = sizeof(a));
		break;
	}
	case VBUS_PCI_BRIDGE_FASTCALL_DROP:
		args[0] = how >> 7;
		len = 4;
		break;
	case VBUS_PCI_BRIDGE_DEVNAME:
		args[0] = lk.dev != NULL ? (uint8_t)lk.dev->devid : 1;
		len = sizeof(struct vbus_pci_devname);
		break;
	default:
		break;
	}
	if ((how & 0x18) == 0x18) {
		len = in_8(in) % (uint32_t)sizeof(args);
		in_bytes(in, args, len);
		memcpy(lk.mem + LINK_ARGS, args, len);
		(void)vbus_bridge_call(
			lk.b, (uint32_t)in_num(in), link_any_addr(in), (uint32_t)in_num(in));
		return;
	}
	(void)link_call(vector, args, len);
}

static void
registers(struct fuzz_in *in)
{
	uint8_t buf[64], how = in_8(in);
	uint32_t len = 1u << (how >> 3 & 7) % 5;
	uint64_t off = how & 4 ? in_num(in) : in_8(in) % 32;

	in_bytes(in, buf, len);
	switch (how & 3) {
	case 0:
		vbus_bridge_regs_write(lk.b, off, buf, len);
		break;
	case 1:
		vbus_bridge_regs_read(lk.b, off, buf, len);
		break;
	case 2:
		vbus_bridge_config_write(lk.b, (uint32_t)off, buf, len);
		break;
	default:
		vbus_bridge_config_read(lk.b, (uint32_t)off, buf, len);
		break;
	}
}

/* Memory goes and comes. */
static void
memory(struct fuzz_in *in)
{
	struct vbus_memmap *m = vbus_bridge_memmap(lk.b);
	uint8_t how = in_8(in);

	if (m == NULL)
		return;
	lk.remap = true;
	switch (how % 4) {
	case 0:
		(void)vbus_memmap_del(m, link_any_addr(in), in_num(in) * 64);
		break;
	case 1:
		(void)vbus_memmap_del(m, 0, 0);
		break;
	case 2: {
		int fd = how & 0x10 ? lk.next_fd : how & 0x20 ? lk.rom_fd : lk.main_fd;
		uint64_t off = in_num(in);
		uint64_t iova = how & 0x80 ? link_any_addr(in) : LINK_IOVA + off;
		/* The read-only file stays so. */
		uint32_t flags = fd == lk.rom_fd ? VBUS_MEM_READ : 3;

		(void)vbus_memmap_add_borrowed(m, iova, in_num(in) * 64, fd, off, flags);
		break;
	}
	default:
		link_map();
		break;
	}
	link_race_range();
}

static void
events(struct fuzz_in *in)
{
	struct vbus_ioq_entry e;
	uint32_t n = in_8(in) % 20;

	while (n-- != 0 && vbus_ioq_north_pop(&lk.evq.q, &e, 1) == 1)
		vbus_ioq_north_repost(&lk.evq.q, 1);
	vbus_signal_take(&lk.evq.sig);
	if (vbus_signal_inject(&lk.evq.sig))
		vbus_bridge_signal_write(lk.b, offsetof(struct vbus_pci_signals, eventq), 0);
}

void
link_any(struct fuzz_in *in)
{
	uint8_t op = in_8(in);

	switch (op % 24) {
	case 0:
	case 1:
	case 2:
	case 3:
	case 4:
		poke_ring(in);
		break;
	case 5:
	case 6: {
		uint8_t bytes[16];
		uint32_t off = in_below(in, LINK_SIZE - 16);
		uint32_t n = in_bytes(in, bytes, 1 + op / 24);

		memcpy(lk.mem + off, bytes, n);
		break;
	}
	case 7:
	case 8:
	case 9:
		device_call(in);
		break;
	case 10:
	case 11:
		vbus_bridge_signal_write(
			lk.b, offsetof(struct vbus_pci_signals, shmsignal), any_shm(in));
		break;
	case 12:
		vbus_bridge_kick(lk.b);
		break;
	case 13:
		fuzz_ctl_tick(10000000ULL << op / 48);
		break;
	case 14:
		fuzz_ctl_poll();
		break;
	case 15:
		events(in);
		break;
	case 16:
		bridge_call(in);
		break;
	case 17:
		registers(in);
		break;
	case 18:
		vbus_bridge_signal_write(lk.b, in_8(in) % 16, (uint32_t)in_num(in));
		break;
	case 19:
		if (op >= 0x80)
			memory(in);
		break;
	case 20:
		if (op >= 0xc0)
			vbus_bridge_reset(lk.b, (op & 1) != 0);
		break;
	case 21:
		if (op >= 0x80)
			link_restart(in);
		break;
	case 22:
		if (op < 0x10) {
			vbus_bridge_session_close(lk.b, "left");
			lk.remap = true;
			if (vbus_bridge_session_open(lk.b, false) == 0)
				link_map();
			link_race_range();
		}
		break;
	default:
		(void)vbus_bridge_irq_outstanding(lk.b);
		(void)vbus_bridge_irq_served(lk.b);
		break;
	}
}
