/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * The calls of north: bridge calls (registers) and device calls (SLOWCALL and fast calls);
 * doc/abi.md section 1.
 *
 * Threads: control lock held, synchronous: north waits for the answer.
 *
 * An argument block is copied once, over as many extents as it takes, and the copy is used. Its
 * length is the vector's own. Padding and unused fields hold garbage in old drivers' blocks: never
 * looked at. Every refusal is counted with its reason (vbus_bridge_refuse()).
 */

#include "bridge_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <rte_common.h>

#include <vbus/device.h>
#include <vbus/pci.h>

#define BRIDGE_CAPABILITIES (VBUS_CAP_DEVNAME | VBUS_CAP_DOORBELL)

/* The slot's device when it has this id and north was told of it. */
static struct vbus_device *
device_by_id(struct vbus_bridge *b, uint32_t devid)
{
	uint32_t i;

	if (devid == 0)
		return NULL;
	for (i = 0; i < VBUS_LINK_DEVS; i++) {
		const struct vbus_link_dev *slot = &b->ls->devs[i];

		if (b->dev_of[i] != NULL && slot->devid == devid)
			return (slot->flags & VBUS_LINK_DEV_ANNOUNCED) != 0 ? b->dev_of[i] : NULL;
	}
	return NULL;
}

/* ---- device calls ----------------------------------------------------------------------------- */

static int32_t
call_devopen(struct vbus_bridge *b, void *data, uint64_t datap)
{
	struct vbus_pci_deviceopen *args = data;
	struct vbus_device *dev = device_by_id(b, args->devid);
	struct vbus_conn *conn;
	int ret;

	if (dev == NULL)
		return vbus_bridge_refuse(b, VBUS_REFUSED_DEVICE, -ENODEV);
	ret = vbus_conn_open(b, dev, args->version, &conn);
	if (ret != 0)
		return ret;
	args->handle = conn->handle;
	ret = vbus_bridge_copy_out(b, datap, args, sizeof(*args));
	if (ret != 0)
		vbus_conn_close(conn); /* north does not know the handle */
	return ret;
}

static int32_t
call_devclose(struct vbus_bridge *b, void *data, uint64_t datap)
{
	const struct vbus_pci_deviceclose *args = data;
	struct vbus_conn *conn = vbus_conn_lookup(b, args->handle);

	(void)datap;
	if (conn == NULL && vbus_conn_forgotten(b, args->handle)) {
		vbus_conn_forget_close(b, args->handle);
		return 0;
	}
	if (conn == NULL && b->redo)
		return 0; /* that is done */
	if (conn == NULL)
		return vbus_bridge_refuse(b, VBUS_REFUSED_HANDLE, -ENOENT);
	vbus_conn_close(conn);
	return 0;
}

static int32_t
call_devcall(struct vbus_bridge *b, void *data, uint64_t datap)
{
	const struct vbus_pci_devicecall *args = data;
	struct vbus_conn *conn = vbus_conn_lookup(b, args->devh);
	uint32_t out = 0;
	int ret;

	(void)datap;
	/* 7.15: an error would crash an old driver. */
	if (conn == NULL && vbus_conn_forgotten(b, args->devh))
		return 0;
	if (conn == NULL)
		return vbus_bridge_refuse(b, VBUS_REFUSED_HANDLE, -ENOENT);
	if (conn->dev == NULL) {
		if (conn->cls->ops->dropped != NULL && args->func <= INT32_MAX)
			conn->cls->ops->dropped(conn, (int)args->func);
		return 0;
	}
	if (args->len > VBUS_CALL_MAX)
		return vbus_bridge_refuse(b, VBUS_REFUSED_LENGTH, -EINVAL);
	if (args->len > 0) {
		ret = vbus_bridge_copy_in(b, b->call_data, args->datap, args->len);
		if (ret != 0)
			return ret;
	}
	ret = conn->cls->ops->call(conn, args->func, b->call_data, args->len, &out);
	if (ret == -EEXIST && b->redo)
		ret = 0; /* up or started already, by this very call */
	if (ret < 0)
		return vbus_bridge_refuse(b, VBUS_REFUSED_CLASS, ret);
	if (out > args->len)
		out = args->len;
	if (out > 0 && vbus_bridge_copy_out(b, args->datap, b->call_data, out) != 0)
		return -EFAULT;
	return ret;
}

static int32_t
call_devshm(struct vbus_bridge *b, void *data, uint64_t datap)
{
	const struct vbus_pci_deviceshm *args = data;
	struct vbus_conn *conn = vbus_conn_lookup(b, args->devh);
	const struct vbus_shm_args shm = {
		.id = args->id,
		.len = args->len,
		.signal_offset = args->signal.offset,
		.iova = args->datap,
		.cookie = args->signal.cookie,
	};

	(void)datap;
	if (conn == NULL && vbus_conn_forgotten(b, args->devh))
		return 0; /* as a signal's handle 0 is none: signals of it go nowhere */
	if (conn == NULL)
		return vbus_bridge_refuse(b, VBUS_REFUSED_HANDLE, -ENOENT);
	return vbus_conn_share(conn, &shm);
}

struct call_op {
	int32_t (*run)(struct vbus_bridge *b, void *data, uint64_t datap);
	uint32_t len;	 /* of the argument block */
	bool negotiated; /* only after NEGOTIATE */
};

static const struct call_op device_calls[] = {
	[VBUS_PCI_HC_DEVOPEN] = {call_devopen, sizeof(struct vbus_pci_deviceopen), true},
	[VBUS_PCI_HC_DEVCLOSE] = {call_devclose, sizeof(struct vbus_pci_deviceclose), true},
	[VBUS_PCI_HC_DEVCALL] = {call_devcall, sizeof(struct vbus_pci_devicecall), true},
	[VBUS_PCI_HC_DEVSHM] = {call_devshm, sizeof(struct vbus_pci_deviceshm), true},
};

/* Any argument block; the largest is DEVNAME's. */
union call_args {
	uint64_t align;
	uint8_t bytes[sizeof(struct vbus_pci_devname)];
};

static int32_t
call_run(struct vbus_bridge *b, const struct call_op *op, uint64_t datap, uint32_t len)
{
	union call_args args;
	int ret;

	if (len != op->len)
		return vbus_bridge_refuse(b, VBUS_REFUSED_LENGTH, -EINVAL);
	if (op->negotiated && !vbus_bridge_has(b, VBUS_LINK_NEGOTIATED))
		return vbus_bridge_refuse(b, VBUS_REFUSED_STATE, -EPROTO);
	ret = vbus_bridge_copy_in(b, &args, datap, len);
	if (ret != 0)
		return ret;
	return op->run(b, &args, datap);
}

static int32_t
device_call(struct vbus_bridge *b, const struct vbus_pci_call_desc *call)
{
	if (call->vector >= RTE_DIM(device_calls))
		return vbus_bridge_refuse(b, VBUS_REFUSED_VECTOR, -ENOSYS);
	return call_run(b, &device_calls[call->vector], call->datap, call->len);
}

/* ---- bridge calls ----------------------------------------------------------------------------- */

static int32_t
call_negotiate(struct vbus_bridge *b, void *data, uint64_t datap)
{
	struct vbus_pci_negotiate *args = data;
	int ret;

	if (args->magic != VBUS_PCI_MAGIC || args->version != VBUS_PCI_CALL_VERSION)
		return vbus_bridge_refuse(b, VBUS_REFUSED_MAGIC, -EINVAL);
	args->capabilities &= BRIDGE_CAPABILITIES;
	ret = vbus_bridge_copy_out(b, datap, args, sizeof(*args));
	if (ret != 0)
		return ret;
	vbus_bridge_reset(b, false);
	b->ls->bridge.capabilities = args->capabilities;
	b->ls->bridge.flags |= VBUS_LINK_NEGOTIATED;
	return VBUS_PCI_CALL_VERSION;
}

static int32_t
call_qreg(struct vbus_bridge *b, void *data, uint64_t datap)
{
	const struct vbus_pci_busreg *args = data;
	const struct vbus_pci_eventqreg *q = &args->eventq[0];
	struct vbus_link_bridge *lb = &b->ls->bridge;
	struct vbus_device *dev;
	uint64_t slots;
	int ret;

	(void)datap;
	/* A second one would announce devices again that north has registered (7.14). */
	if (vbus_bridge_has(b, VBUS_LINK_EVENTS) && b->redo)
		return 0;
	if (vbus_bridge_has(b, VBUS_LINK_EVENTS))
		return vbus_bridge_refuse(b, VBUS_REFUSED_STATE, -EBUSY);
	if (args->count != VBUS_PCI_NUM_EVENTQ || q->count == 0 ||
		q->count > VBUS_BRIDGE_EVENTQ_MAX)
		return vbus_bridge_refuse(b, VBUS_REFUSED_RING, -EINVAL);
	slots = (uint64_t)q->count * sizeof(struct vbus_pci_event);
	if (slots > UINT64_MAX - q->data)
		return vbus_bridge_refuse(b, VBUS_REFUSED_ADDRESS, -EINVAL);
	lb->eventq.ring = q->ring;
	lb->eventq.data = q->data;
	lb->eventq.count = q->count;
	ret = vbus_bridge_evq_bind(b, VBUS_IOQ_FRESH);
	if (ret != 0) {
		vbus_bridge_evq_drop(b);
		return vbus_bridge_refuse(
			b, ret == -EFAULT ? VBUS_REFUSED_ADDRESS : VBUS_REFUSED_RING, ret);
	}
	lb->flags |= VBUS_LINK_EVENTS;
	/* Sent, as far as there are slots, before north has the answer (settle). */
	TAILQ_FOREACH (dev, &b->bus->devices, bus_next)
		vbus_bridge_announce(b, dev);
	return 0;
}

static int32_t
call_slowcall(struct vbus_bridge *b, void *data, uint64_t datap)
{
	(void)datap;
	return device_call(b, data);
}

static int32_t
call_fastcall_add(struct vbus_bridge *b, void *data, uint64_t datap)
{
	const struct vbus_pci_call_desc *args = data;
	struct vbus_link_channel *channel;

	(void)datap;
	if (args->len != sizeof(struct vbus_pci_fastcall_desc))
		return vbus_bridge_refuse(b, VBUS_REFUSED_LENGTH, -EINVAL);
	if (args->vector >= VBUS_LINK_CHANNELS)
		return vbus_bridge_refuse(b, VBUS_REFUSED_CHANNEL, -EINVAL);
	/* The address is looked up at each call: the map may change. A known channel is replaced. */
	channel = &b->ls->channels[args->vector];
	if (channel->used == 0)
		b->info.nb_channels++;
	channel->block = args->datap;
	channel->used = 1;
	if (args->vector >= b->ls->bridge.channels_end)
		b->ls->bridge.channels_end = args->vector + 1;
	return 0;
}

/* NULL: no such channel. */
static struct vbus_link_channel *
channel_find(struct vbus_bridge *b, uint32_t number)
{
	if (number >= b->ls->bridge.channels_end || b->ls->channels[number].used == 0)
		return NULL;
	return &b->ls->channels[number];
}

static int32_t
call_fastcall_drop(struct vbus_bridge *b, void *data, uint64_t datap)
{
	const struct vbus_pci_fastcall_drop *args = data;
	struct vbus_link_channel *channel = channel_find(b, args->channel);

	(void)datap;
	if (channel == NULL && b->redo)
		return 0;
	if (channel == NULL)
		return vbus_bridge_refuse(b, VBUS_REFUSED_CHANNEL, -ENOENT);
	memset(channel, 0, sizeof(*channel));
	b->info.nb_channels--;
	return 0;
}

static int32_t
call_devname(struct vbus_bridge *b, void *data, uint64_t datap)
{
	struct vbus_pci_devname *args = data;
	struct vbus_device *dev;

	/* Without the capability this is a vector that version 2 does not know. */
	if ((b->ls->bridge.capabilities & VBUS_CAP_DEVNAME) == 0)
		return vbus_bridge_refuse(b, VBUS_REFUSED_VECTOR, -ENOSYS);
	dev = device_by_id(b, (uint32_t)args->devid);
	if (dev == NULL)
		return vbus_bridge_refuse(b, VBUS_REFUSED_DEVICE, -ENODEV);
	memset(args->name, 0, sizeof(args->name));
	snprintf(args->name, sizeof(args->name), "%s", dev->name);
	return vbus_bridge_copy_out(b, datap, args, sizeof(*args));
}

static const struct call_op bridge_calls[] = {
	[VBUS_PCI_BRIDGE_NEGOTIATE] = {call_negotiate, sizeof(struct vbus_pci_negotiate), false},
	[VBUS_PCI_BRIDGE_QREG] = {call_qreg, sizeof(struct vbus_pci_busreg), true},
	[VBUS_PCI_BRIDGE_SLOWCALL] = {call_slowcall, sizeof(struct vbus_pci_call_desc), true},
	[VBUS_PCI_BRIDGE_FASTCALL_ADD] = {call_fastcall_add, sizeof(struct vbus_pci_call_desc),
		true},
	[VBUS_PCI_BRIDGE_FASTCALL_DROP] = {call_fastcall_drop,
		sizeof(struct vbus_pci_fastcall_drop), true},
	[VBUS_PCI_BRIDGE_DEVNAME] = {call_devname, sizeof(struct vbus_pci_devname), true},
};

int32_t
vbus_bridge_do_call(struct vbus_bridge *b, uint32_t vector, uint64_t datap, uint32_t len)
{
	if (vector >= RTE_DIM(bridge_calls))
		return vbus_bridge_refuse(b, VBUS_REFUSED_VECTOR, -ENOSYS);
	return call_run(b, &bridge_calls[vector], datap, len);
}

void
vbus_bridge_do_fastcall(struct vbus_bridge *b, uint32_t number)
{
	struct vbus_link_channel *channel = channel_find(b, number);
	struct vbus_pci_call_desc call;
	uint64_t block;
	int32_t result;

	b->info.nb_fast_calls++;
	if (channel == NULL) {
		(void)vbus_bridge_refuse(b, VBUS_REFUSED_CHANNEL, -ENOENT);
		return;
	}
	block = channel->block;
	/* Unreadable: there is no place for an answer either. */
	if (vbus_bridge_copy_in(b, &call, block, sizeof(call)) != 0)
		return;
	result = device_call(b, &call);
	if (result < 0)
		b->info.nb_failed_calls++;
	(void)vbus_bridge_copy_out(b, block + offsetof(struct vbus_pci_fastcall_desc, result),
		&result, sizeof(result));
}
