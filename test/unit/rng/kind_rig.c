/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

#include "kind_rig.h"

#include <string.h>
#include <time.h>

static uint32_t
announced(struct kind_rig *k, const char *type)
{
	struct vbus_pci_event ev;

	memset(&ev, 0, sizeof(ev));
	CU_ASSERT_FATAL(north_event(&k->n, &ev));
	CU_ASSERT_EQUAL(ev.eventid, VBUS_PCI_EVENT_DEVADD);
	if (type != NULL)
		CU_ASSERT_STRING_EQUAL(ev.data.add.type, type);
	return (uint32_t)ev.data.add.id;
}

void
kind_up(struct kind_rig *k, struct vbus_device *dev, const char *type)
{
	memset(k, 0, sizeof(*k));
	k->dev = dev;
	k->next = NORTH_BLOCKS;
	north_up(&k->n, false);
	CU_ASSERT_EQUAL_FATAL(vbus_device_attach(dev, k->n.bus), 0);
	north_start(&k->n, 64);
	CU_ASSERT_EQUAL(announced(k, type), dev->devid);
}

int32_t
kind_open(struct kind_rig *k, uint32_t version)
{
	struct vbus_pci_deviceopen args = {.devid = k->dev->devid, .version = version};
	int32_t ret = north_devcall(&k->n, VBUS_PCI_HC_DEVOPEN, &args, sizeof(args));

	if (ret == 0)
		k->handle = args.handle;
	return ret;
}

void
kind_again(struct kind_rig *k)
{
	k->handle = 0;
	k->next = NORTH_BLOCKS;
	north_start(&k->n, 64);
	announced(k, NULL);
}

void
kind_down(struct kind_rig *k)
{
	if (k->handle != 0)
		CU_ASSERT_EQUAL(north_close(&k->n, k->handle), 0);
	vbus_device_detach(k->dev);
	north_down(&k->n);
}

int32_t
kind_call(struct kind_rig *k, uint32_t func, void *data, uint32_t len)
{
	struct vbus_pci_devicecall args = {
		.devh = k->handle,
		.func = func,
		.len = len,
		.datap = north_addr(&k->n, NORTH_DATA),
	};
	int32_t ret;

	if (len != 0)
		memcpy(k->n.mem + NORTH_DATA, data, len);
	ret = north_devcall(&k->n, VBUS_PCI_HC_DEVCALL, &args, sizeof(args));
	if (len != 0)
		memcpy(data, k->n.mem + NORTH_DATA, len);
	return ret;
}

uint32_t
kind_mem(struct kind_rig *k, uint32_t len)
{
	uint32_t off = k->next;

	k->next += (len + 63) & ~63u;
	CU_ASSERT_FATAL(k->next <= NORTH_SIZE);
	return off;
}

static int32_t
share(struct kind_rig *k, uint32_t id, uint32_t off, uint32_t len, uint32_t signal)
{
	struct vbus_pci_deviceshm args = {
		.devh = k->handle,
		.id = id,
		.len = len,
		.signal = {.offset = signal, .cookie = id + 100},
		.datap = north_addr(&k->n, off),
	};

	return north_devcall(&k->n, VBUS_PCI_HC_DEVSHM, &args, sizeof(args));
}

int32_t
kind_ring(struct kind_rig *k, struct kind_rig_ring *r, uint32_t id, uint32_t count)
{
	CU_ASSERT_FATAL(count <= KIND_RING_MAX);
	memset(r, 0, sizeof(*r));
	r->off = kind_mem(k, (uint32_t)vbus_ioq_size(count));
	CU_ASSERT_EQUAL(vbus_ioq_north_format(&r->q, k->n.mem + r->off, count, r->cookies, 1), 0);
	CU_ASSERT_EQUAL(vbus_signal_attach(&r->sig, k->n.mem + r->off + IOQ_RING_SIGNAL_OFFSET,
				VBUS_LOCALITY_NORTH),
		0);
	r->handle = share(k, id, r->off, (uint32_t)vbus_ioq_size(count), IOQ_RING_SIGNAL_OFFSET);
	return r->handle < 0 ? r->handle : 0;
}

int32_t
kind_block(struct kind_rig *k, uint32_t id, uint32_t off, uint32_t len, bool signal)
{
	int32_t ret;

	if (signal)
		vbus_signal_format((struct shm_signal_desc *)(void *)(k->n.mem + off));
	ret = share(k, id, off, len, signal ? 0 : NO_SIGNAL);
	return ret < 0 ? ret : 0;
}

void
kind_kick(struct kind_rig *k, struct kind_rig_ring *r)
{
	if (vbus_signal_inject(&r->sig))
		vbus_bridge_signal_write(
			k->n.b, offsetof(struct vbus_pci_signals, shmsignal), (uint32_t)r->handle);
}

uint64_t
kind_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}
