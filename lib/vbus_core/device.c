/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * Device classes, devices apart from buses, and what happens when one is put on a bus or taken off:
 * wire ids, DEVADD, DEVDROP.
 *
 * Threads: control lock held; classes are registered by constructors, before there are threads.
 * Ownership: a device belongs to who made it; a bus only lists it. Names: ADR-0005.
 *
 * A wire id is given when DEVADD is queued, from a counter that only a function reset turns back: an
 * old driver crashes when it sees an id twice (doc/abi.md 7.14).
 */

#include "bridge_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vbus/pci.h>

_Static_assert(VBUS_BUS_DEVICES_MAX == VBUS_LINK_DEVS, "slots for devices in the link state");
_Static_assert(VBUS_NAME_SIZE == VBUS_LINK_NAME, "names in the link state");

static LIST_HEAD(, vbus_class) classes = LIST_HEAD_INITIALIZER(classes);
static TAILQ_HEAD(, vbus_device) devices = TAILQ_HEAD_INITIALIZER(devices);

bool
vbus_name_valid(const char *name)
{
	const size_t len = name == NULL ? 0 : strnlen(name, VBUS_NAME_MAX + 1);
	size_t i;

	if (len == 0 || len > VBUS_NAME_MAX)
		return false;
	for (i = 0; i < len; i++) {
		const char c = name[i];

		/* Not isalnum(): the locale has no say in wire names. */
		if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
			    c == '_' || c == '-'))
			return false;
	}
	return true;
}

void
vbus_class_register(struct vbus_class *cls)
{
	LIST_INSERT_HEAD(&classes, cls, next);
}

struct vbus_class *
vbus_class_find(const char *name)
{
	struct vbus_class *cls;

	LIST_FOREACH(cls, &classes, next)
	{
		if (strcmp(cls->name, name) == 0)
			return cls;
	}
	return NULL;
}

/* ---- on the wire ------------------------------------------------------------------------------ */

void
vbus_bridge_announce(struct vbus_bridge *b, struct vbus_device *dev)
{
	struct vbus_link_dev *slot = &b->ls->devs[dev->index];

	if (!vbus_bridge_has(b, VBUS_LINK_EVENTS))
		return;
	if (++b->ls->bridge.last_devid == 0)
		b->ls->bridge.last_devid = 1; /* 0 is "not announced" */
	dev->devid = b->ls->bridge.last_devid;
	slot->devid = dev->devid;
	vbus_bridge_event(b, VBUS_PCI_EVENT_DEVADD, dev->index, dev->devid);
}

int
vbus_bridge_dev_add(struct vbus_bridge *b, struct vbus_device *dev)
{
	struct vbus_link_dev *slot;
	uint32_t n;
	uint32_t i = 0;

	for (n = 0; n < VBUS_LINK_DEVS; n++) {
		i = (b->dev_hint + n) % VBUS_LINK_DEVS;
		if (b->dev_of[i] == NULL)
			break;
	}
	if (n == VBUS_LINK_DEVS)
		return -ENOSPC;
	b->dev_hint = (i + 1) % VBUS_LINK_DEVS;
	b->dev_of[i] = dev;
	dev->index = i;
	dev->devid = 0;
	slot = &b->ls->devs[i];
	slot->flags = VBUS_LINK_DEV_USED;
	slot->devid = 0;
	memcpy(slot->name, dev->name, sizeof(slot->name));
	snprintf(slot->cls, sizeof(slot->cls), "%s", dev->cls->name);
	vbus_bridge_announce(b, dev);
	vbus_bridge_settle(b);
	return 0;
}

void
vbus_bridge_dev_del(struct vbus_bridge *b, struct vbus_device *dev)
{
	/* The class leaves first: no SHMSIGNAL behind the DEVDROP. */
	if (dev->conn != NULL)
		vbus_conn_drop(dev->conn);
	/* North never hears of a device that comes and goes while its DEVADD is held back. */
	if (dev->devid != 0 && !vbus_bridge_event_recall(b, dev->devid))
		vbus_bridge_event(b, VBUS_PCI_EVENT_DEVDROP, 0, dev->devid);
	memset(&b->ls->devs[dev->index], 0, sizeof(b->ls->devs[0]));
	b->dev_of[dev->index] = NULL;
	dev->devid = 0;
	vbus_bridge_settle(b);
}

/* ---- devices ---------------------------------------------------------------------------------- */

struct vbus_device *
vbus_device_create(const char *name, const char *cls_name, const void *args)
{
	struct vbus_class *cls;
	struct vbus_device *dev;
	int ret;

	if (!vbus_name_valid(name)) {
		errno = EINVAL;
		return NULL;
	}
	cls = vbus_class_find(cls_name);
	if (cls == NULL) {
		errno = ENOENT;
		return NULL;
	}
	dev = calloc(1, sizeof(*dev));
	if (dev == NULL)
		return NULL;
	snprintf(dev->name, sizeof(dev->name), "%s", name);
	dev->cls = cls;
	if (cls->ops->create != NULL) {
		ret = cls->ops->create(dev, args);
		if (ret < 0) {
			free(dev);
			errno = -ret;
			return NULL;
		}
	}
	TAILQ_INSERT_TAIL(&devices, dev, next);
	return dev;
}

void
vbus_device_delete(struct vbus_device *dev)
{
	if (dev == NULL)
		return;
	vbus_device_detach(dev);
	TAILQ_REMOVE(&devices, dev, next);
	if (dev->cls->ops->destroy != NULL)
		dev->cls->ops->destroy(dev);
	free(dev);
}

struct vbus_device *
vbus_device_find(const char *name)
{
	struct vbus_device *dev;

	TAILQ_FOREACH (dev, &devices, next) {
		if (strcmp(dev->name, name) == 0)
			return dev;
	}
	return NULL;
}

struct vbus_device *
vbus_device_next(struct vbus_device *prev)
{
	return prev == NULL ? TAILQ_FIRST(&devices) : TAILQ_NEXT(prev, next);
}

int
vbus_device_attach(struct vbus_device *dev, struct vbus_bus *bus)
{
	int ret;

	if (dev->bus != NULL)
		return -EBUSY;
	if (vbus_bus_device(bus, dev->name) != NULL)
		return -EEXIST;
	/* On the list before it is announced: north may open it at once. */
	dev->bus = bus;
	TAILQ_INSERT_TAIL(&bus->devices, dev, bus_next);
	bus->nb_devices++;
	ret = vbus_bridge_dev_add(bus->bridge, dev);
	if (ret != 0) {
		TAILQ_REMOVE(&bus->devices, dev, bus_next);
		bus->nb_devices--;
		dev->bus = NULL;
	}
	return ret;
}

void
vbus_device_detach(struct vbus_device *dev)
{
	struct vbus_bus *bus = dev->bus;

	if (bus == NULL)
		return;
	TAILQ_REMOVE(&bus->devices, dev, bus_next);
	bus->nb_devices--;
	vbus_bridge_dev_del(bus->bridge, dev);
	dev->bus = NULL;
}
