/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * The buses of the south ports: one per socket (or null name), shared by the vdevs that name it,
 * and what becomes of a device whose port was closed.
 *
 * A vdev that is removed while its port is open is a hot-unplug: DEVDROP at once. A port that is
 * closed first is mostly a process that ends by the front door (close, then EAL's clean-up): then
 * north shall see a lost peer, whose ports stay (DECISIONS 13), and no dropped device. So the device
 * of a closed port stays on the bus without a carrier, and is dropped only when its process is still
 * there a second later (ADR-0008).
 *
 * Threads: application threads in probe, close and remove; the control thread in the timer. All with
 * the control lock held. A bus record lives as long as a vdev has joined it.
 */
#include "vbus_south.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vbus_bridge.h"
#include "vbus_window.h"

#define ORPHAN_NS 1000000000ull

/* A device whose port was closed. */
struct orphan {
	struct vbus_device *device;
	struct vbus_ctl_timer timer;
	LIST_ENTRY(orphan) next;
};

struct vbus_south_bus {
	struct vbus_bus *bus;
	char path[sizeof(((struct vbus_south_args *)0)->iface)]; /* "": null */
	uint32_t refs;						 /* vdevs */
	LIST_HEAD(, orphan) orphans;
	LIST_ENTRY(vbus_south_bus) next;
};
static LIST_HEAD(, vbus_south_bus) buses = LIST_HEAD_INITIALIZER(buses);

static struct vbus_south_bus *
bus_of_path(const char *path)
{
	struct vbus_south_bus *sb;

	LIST_FOREACH(sb, &buses, next)
	{
		if (path[0] != '\0' && strcmp(sb->path, path) == 0)
			return sb;
	}
	return NULL;
}

static struct vbus_south_bus *
bus_of_name(const char *name)
{
	struct vbus_south_bus *sb;

	LIST_FOREACH(sb, &buses, next)
	{
		if (strcmp(sb->bus->name, name) == 0)
			return sb;
	}
	return NULL;
}

/* Give the bus its connector. @return 0, or a negative errno and the reason. */
static int
connect_bus(struct vbus_bus *bus, const struct vbus_south_args *args, char *reason)
{
	char why[VBUS_SOUTH_REASON_MAX] = "";
	const char *after = why;
	int ret;

	if (args->iface[0] == '\0') {
		/* North may have been the first to name it. */
		ret = bus->connector == NULL			       ? vbus_connector_null(bus)
		      : strcmp(bus->connector->ops->name, "null") == 0 ? 0
								       : -EBUSY;
		if (ret != 0)
			snprintf(reason, VBUS_SOUTH_REASON_MAX,
				"null=%s: that bus has another connector", args->bus);
		return ret;
	}
	if (bus->connector != NULL) {
		snprintf(reason, VBUS_SOUTH_REASON_MAX,
			"bus=%s: it is connected elsewhere already, give another bus=NAME",
			args->bus);
		return -EBUSY;
	}
	ret = args->window ? vbus_connector_window(bus, args->iface, args->window_size,
				     args->side_b ? VBUS_WINDOW_B : VBUS_WINDOW_A, why, sizeof(why))
			   : vbus_connector_vfio_user(bus, args->iface, why, sizeof(why));
	if (ret == 0)
		return 0;
	/* The connector's line begins with the path, mostly. */
	if (strncmp(why, args->iface, strlen(args->iface)) == 0)
		after += strlen(args->iface);
	after += strspn(after, ": ");
	snprintf(reason, VBUS_SOUTH_REASON_MAX, "%s=%.107s: %.120s",
		args->window ? "window" : "iface", args->iface,
		after[0] != '\0' ? after : strerror(-ret));
	return ret;
}

static struct vbus_south_bus *
bus_make(const struct vbus_south_args *args, char *reason)
{
	struct vbus_south_bus *sb = calloc(1, sizeof(*sb));

	if (sb == NULL) {
		snprintf(reason, VBUS_SOUTH_REASON_MAX, "bus=%s: no memory", args->bus);
		return NULL;
	}
	sb->bus = vbus_bus_get(args->bus);
	if (sb->bus == NULL) {
		snprintf(reason, VBUS_SOUTH_REASON_MAX, "bus=%s: %s", args->bus, strerror(errno));
		goto err_free;
	}
	if (connect_bus(sb->bus, args, reason) != 0)
		goto err_put;
	snprintf(sb->path, sizeof(sb->path), "%s", args->iface);
	LIST_INIT(&sb->orphans);
	LIST_INSERT_HEAD(&buses, sb, next);
	return sb;

err_put:
	vbus_bus_put(sb->bus);
err_free:
	free(sb);
	return NULL;
}

struct vbus_south_bus *
vbus_south_bus_join(const struct vbus_south_args *args, char *reason)
{
	struct vbus_south_bus *sb;

	if (args->iface[0] != '\0') {
		sb = bus_of_path(args->iface);
		if (sb != NULL && args->bus_given && strcmp(sb->bus->name, args->bus) != 0) {
			snprintf(reason, VBUS_SOUTH_REASON_MAX,
				"bus=%s: iface=%s is served by bus %s already", args->bus,
				args->iface, sb->bus->name);
			return NULL;
		}
	} else {
		sb = bus_of_name(args->bus);
		if (sb != NULL && sb->path[0] != '\0') {
			snprintf(reason, VBUS_SOUTH_REASON_MAX,
				"null=%s: that bus has another connector", args->bus);
			return NULL;
		}
	}
	if (sb == NULL)
		sb = bus_make(args, reason);
	if (sb != NULL)
		sb->refs++;
	return sb;
}

struct vbus_bus *
vbus_south_bus_of(const struct vbus_south_bus *sb)
{
	return sb->bus;
}

static void
orphan_drop(struct orphan *o)
{
	LIST_REMOVE(o, next);
	vbus_ctl_timer_cancel(&o->timer);
	vbus_device_delete(o->device);
	free(o);
}

static void
orphan_due(struct vbus_ctl_timer *t)
{
	orphan_drop(container_of(t, struct orphan, timer));
}

void
vbus_south_bus_orphan(struct vbus_south_bus *sb, struct vbus_device *device)
{
	struct orphan *o = calloc(1, sizeof(*o));

	if (o == NULL) { /* then north sees a dropped device */
		vbus_device_delete(device);
		return;
	}
	o->device = device;
	o->timer.fn = orphan_due;
	LIST_INSERT_HEAD(&sb->orphans, o, next);
	vbus_ctl_timer_arm(&o->timer, ORPHAN_NS);
}

void
vbus_south_bus_forget(struct vbus_south_bus *sb, const char *name)
{
	struct orphan *o;

	LIST_FOREACH(o, &sb->orphans, next)
	{
		if (strcmp(o->device->name, name) == 0) {
			orphan_drop(o);
			return;
		}
	}
}

void
vbus_south_bus_leave(struct vbus_south_bus *sb)
{
	if (--sb->refs != 0)
		return;
	LIST_REMOVE(sb, next);
	/* First the session ends, then the devices go: nobody is there to be told of their drop. (With
	 * null, north may hold the bus as well: it is told.) */
	vbus_bus_put(sb->bus);
	while (!LIST_EMPTY(&sb->orphans))
		orphan_drop(LIST_FIRST(&sb->orphans));
	free(sb);
}
