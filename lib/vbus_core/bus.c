/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * Buses: containers of devices that one link sees, made at first mention and counted.
 *
 * Threads: control lock held. Ownership: a bus owns its bridge and its connector; devices belong to
 * who made them and are only detached when the bus goes.
 */

#include "bridge_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static TAILQ_HEAD(, vbus_bus) buses = TAILQ_HEAD_INITIALIZER(buses);

struct vbus_bus *
vbus_bus_find(const char *name)
{
	struct vbus_bus *bus;

	TAILQ_FOREACH (bus, &buses, next) {
		if (strcmp(bus->name, name) == 0)
			return bus;
	}
	return NULL;
}

struct vbus_bus *
vbus_bus_next(struct vbus_bus *prev)
{
	return prev == NULL ? TAILQ_FIRST(&buses) : TAILQ_NEXT(prev, next);
}

struct vbus_bus *
vbus_bus_get(const char *name)
{
	struct vbus_bus *bus;

	if (!vbus_name_valid(name)) {
		errno = EINVAL;
		return NULL;
	}
	bus = vbus_bus_find(name);
	if (bus != NULL) {
		bus->refs++;
		return bus;
	}
	bus = calloc(1, sizeof(*bus));
	if (bus == NULL)
		return NULL;
	snprintf(bus->name, sizeof(bus->name), "%s", name);
	TAILQ_INIT(&bus->devices);
	bus->refs = 1;
	bus->bridge = vbus_bridge_create(bus);
	if (bus->bridge == NULL) {
		int err = errno;

		free(bus);
		errno = err;
		return NULL;
	}
	TAILQ_INSERT_TAIL(&buses, bus, next);
	return bus;
}

void
vbus_bus_put(struct vbus_bus *bus)
{
	struct vbus_device *dev;

	if (bus == NULL || --bus->refs > 0)
		return;
	TAILQ_REMOVE(&buses, bus, next);
	if (bus->connector != NULL) {
		bus->connector->ops->stop(bus->connector->arg);
		free(bus->connector);
		bus->connector = NULL;
	}
	/* No peer from here on: the detached devices' events go nowhere. */
	vbus_bridge_session_close(bus->bridge, "bus deleted");
	while ((dev = TAILQ_FIRST(&bus->devices)) != NULL)
		vbus_device_detach(dev);
	vbus_bridge_destroy(bus->bridge);
	free(bus);
}

struct vbus_device *
vbus_bus_device(struct vbus_bus *bus, const char *name)
{
	struct vbus_device *dev;

	TAILQ_FOREACH (dev, &bus->devices, bus_next) {
		if (strcmp(dev->name, name) == 0)
			return dev;
	}
	return NULL;
}

int
vbus_bus_set_connector(struct vbus_bus *bus, const struct vbus_connector_ops *ops, void *arg)
{
	if (bus->connector != NULL)
		return -EBUSY;
	bus->connector = malloc(sizeof(*bus->connector));
	if (bus->connector == NULL)
		return -ENOMEM;
	bus->connector->ops = ops;
	bus->connector->arg = arg;
	return 0;
}
