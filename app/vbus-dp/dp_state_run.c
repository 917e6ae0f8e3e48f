/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * The parts of which every change of the running state consists (dp_state_internal.h): a bus without
 * and with its connector, a device with its port, a switch, an uplink. Each is done or undone.
 *
 * Threads: the one that runs dp_loop. The libvbus control lock is taken here around libvbus's
 * functions and never held across those of dp_plane.h, which wait for lcores.
 *
 * Ownership: the running configuration owns its objects; what runs behind one hangs on its `running`
 * and goes with it. ADR-0010.
 */

#include "dp_state_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dp_back.h"
#include "dp_log.h"
#include "vbus_bridge.h"
#include "vbus_core.h"
#include "vbus_ctl.h"
#include "vbus_venet.h"
#include "vbus_window.h"

DP_LOG_TYPE("state");

/* ---- buses ------------------------------------------------------------------------------------- */

int
dp_run_bus_make(const struct dp_bus_conf *b, struct dp_bus_conf **made, char *err, size_t err_size)
{
	struct dp_bus_conf *n = dp_bus_conf_copy(b);
	struct dp_run_bus *r = calloc(1, sizeof(*r));
	int ret = -ENOMEM;

	if (n == NULL || r == NULL)
		goto err;
	dp_names_free(&n->devices);
	n->running = r;
	vbus_ctl_lock();
	errno = EEXIST; /* a --vdev of this process has made one of that name */
	r->bus = vbus_bus_find(b->name) == NULL ? vbus_bus_get(b->name) : NULL;
	ret = r->bus == NULL ? -errno : 0;
	vbus_ctl_unlock();
	if (ret == 0)
		ret = dp_conf_add_bus(&dp_run, n);
	if (ret != 0)
		goto err;
	*made = n;
	return 0;
err:
	if (r != NULL && r->bus != NULL) {
		vbus_ctl_lock();
		vbus_bus_put(r->bus);
		vbus_ctl_unlock();
	}
	free(r);
	dp_bus_conf_del(n);
	return dp_state_err(err, err_size, ret, "bus %s: %s", b->name, strerror(-ret));
}

int
dp_run_bus_open(struct dp_bus_conf *b, char *err, size_t err_size)
{
	struct dp_run_bus *r = run_bus(b);
	char why[DP_ERR_SIZE];
	int ret;

	vbus_ctl_lock();
	if (b->connector == DP_CONNECTOR_VFIO_USER) {
		r->bus->no_ports = b->no_ports;
		ret = vbus_connector_vfio_user(r->bus, b->socket, why, sizeof(why));
	} else if (b->connector == DP_CONNECTOR_WINDOW) {
		ret = vbus_connector_window(r->bus, b->window, b->size,
			b->side_b ? VBUS_WINDOW_B : VBUS_WINDOW_A, why, sizeof(why));
	} else {
		ret = vbus_connector_null(r->bus);
		snprintf(why, sizeof(why), "%s", strerror(-ret));
	}
	vbus_ctl_unlock();
	r->open = ret == 0;
	if (ret == 0)
		return 0;
	return dp_state_err(err, err_size, ret, "bus %s: %s: %.400s", b->name,
		b->connector == DP_CONNECTOR_VFIO_USER ? "socket"
		: b->connector == DP_CONNECTOR_WINDOW  ? "window"
						       : "connector",
		why);
}

/* A bus has no way to lose its connector: it is made anew, and its devices move over. */
int
dp_run_bus_close(struct dp_bus_conf *b, char *err, size_t err_size)
{
	TAILQ_HEAD(, vbus_device) devices = TAILQ_HEAD_INITIALIZER(devices);
	struct dp_run_bus *r = run_bus(b);
	struct vbus_device *dev;
	struct vbus_bus *bus;
	int ret = 0;

	vbus_ctl_lock();
	while ((dev = TAILQ_FIRST(&r->bus->devices)) != NULL) {
		vbus_device_detach(dev);
		TAILQ_INSERT_TAIL(&devices, dev, bus_next); /* free while it is on no bus */
	}
	vbus_bus_put(r->bus);
	r->open = false;
	bus = vbus_bus_get(b->name);
	if (bus == NULL)
		ret = dp_state_err(err, err_size, -errno, "bus %s: %s", b->name, strerror(errno));
	r->bus = bus;
	while ((dev = TAILQ_FIRST(&devices)) != NULL) {
		TAILQ_REMOVE(&devices, dev, bus_next);
		if (bus != NULL)
			vbus_device_attach(dev, bus); /* it was on one like this */
	}
	vbus_ctl_unlock();
	return ret;
}

void
dp_run_bus_unmake(struct dp_bus_conf *b)
{
	struct dp_run_bus *r = run_bus(b);

	vbus_ctl_lock();
	vbus_bus_put(r->bus);
	vbus_ctl_unlock();
	dp_conf_take_bus(&dp_run, b);
	free(r);
	dp_bus_conf_del(b);
}

/* ---- devices ----------------------------------------------------------------------------------- */

static void
switch_count(const char *name, int by)
{
	const struct dp_switch_conf *s = name[0] == '\0' ? NULL : dp_conf_switch(&dp_run, name);

	if (s != NULL)
		run_switch(s)->nb_devices += (uint32_t)by;
}

/* Its address is @p d's afterwards: the one that was asked for, had before, or was chosen now. */
static struct vbus_device *
venet_create(struct dp_device_conf *d)
{
	struct vbus_venet_args args = {.mtu = d->mtu, .nb_queues = d->queues};
	const struct vbus_venet *v;
	struct rte_ether_addr mac;
	struct vbus_device *dev;

	memcpy(args.mac.addr_bytes, d->mac, sizeof(args.mac.addr_bytes));
	vbus_ctl_lock();
	dev = vbus_device_create(d->name, d->cls, &args);
	v = dev != NULL ? vbus_venet_of(dev) : NULL;
	if (v != NULL) {
		vbus_venet_mac(v, &mac);
		memcpy(d->mac, mac.addr_bytes, sizeof(d->mac));
	}
	vbus_ctl_unlock();
	return dev;
}

static void
venet_delete(struct vbus_device *dev)
{
	vbus_ctl_lock();
	vbus_device_delete(dev);
	vbus_ctl_unlock();
}

/** A device that is no venet: @p n and @p r are taken over. */
static int
back_make(struct dp_device_conf *n, struct dp_run_device *r, struct dp_device_conf **made,
	char *err, size_t err_size)
{
	int ret = -ENOMEM;

	r->back = dp_back_make(n, &r->dev, err, err_size);
	if (r->back == NULL) {
		ret = errno != 0 ? -errno : -EIO;
		goto err;
	}
	ret = dp_conf_add_device(&dp_run, n);
	if (ret == 0) {
		*made = n;
		return 0;
	}
	dp_state_err(err, err_size, 0, "device %s: %s", n->name, strerror(-ret));
	dp_back_unmake(r->back);
err:
	free(r);
	dp_device_conf_del(n);
	return ret;
}

int
dp_run_device_make(
	const struct dp_device_conf *d, struct dp_device_conf **made, char *err, size_t err_size)
{
	struct dp_device_conf *n = dp_device_conf_copy(d);
	struct dp_run_device *r = calloc(1, sizeof(*r));
	int ret = -ENOMEM;

	dp_state_err(err, err_size, 0, "device %s: %s", d->name, strerror(ENOMEM));
	if (n == NULL || r == NULL)
		goto err_free;
	n->running = r;
	n->bus[0] = '\0';
	n->patch[0] = '\0';
	if (strcmp(d->cls, "venet") != 0)
		return back_make(n, r, made, err, err_size);
	errno = 0;
	r->dev = venet_create(n);
	if (r->dev == NULL) {
		ret = errno != 0 ? -errno : -ENOMEM;
		dp_state_err(err, err_size, 0, "device %s: %s", d->name, strerror(-ret));
		goto err_free;
	}
	errno = 0;
	r->port = dp_port_add_venet(r->dev, dp_state_switch(d->sw), err, err_size);
	if (r->port == NULL) {
		ret = errno != 0 ? -errno : -EIO;
		goto err_dev;
	}
	ret = dp_conf_add_device(&dp_run, n);
	if (ret != 0) {
		dp_state_err(err, err_size, 0, "device %s: %s", d->name, strerror(-ret));
		goto err_port;
	}
	switch_count(n->sw, 1);
	*made = n;
	return 0;

err_port:
	dp_port_del(r->port);
err_dev:
	venet_delete(r->dev);
err_free:
	free(r);
	dp_device_conf_del(n);
	return ret;
}

void
dp_run_device_unmake(struct dp_device_conf *d)
{
	struct dp_run_device *r = run_device(d);

	/* North first: it sees the device go, and not its carrier before that. */
	dp_run_device_detach(d);
	dp_run_device_unpatch(d);
	if (r->port != NULL)
		dp_port_del(r->port);
	switch_count(d->sw, -1);
	if (r->back != NULL)
		dp_back_unmake(r->back);
	else
		venet_delete(r->dev);
	dp_conf_take_device(&dp_run, d);
	free(r);
	dp_device_conf_del(d);
}

int
dp_run_device_attach(struct dp_device_conf *d, struct dp_bus_conf *b, char *err, size_t err_size)
{
	int ret;

	vbus_ctl_lock();
	ret = vbus_device_attach(run_device(d)->dev, run_bus(b)->bus);
	vbus_ctl_unlock();
	if (ret != 0)
		return dp_state_err(err, err_size, ret, "device %s: bus %s: %s", d->name, b->name,
			ret == -ENOSPC ? "it is full" : strerror(-ret));
	snprintf(d->bus, sizeof(d->bus), "%s", b->name);
	run_bus(b)->nb_devices++;
	return 0;
}

void
dp_run_device_detach(struct dp_device_conf *d)
{
	const struct dp_bus_conf *b;

	if (d->bus[0] == '\0')
		return;
	vbus_ctl_lock();
	vbus_device_detach(run_device(d)->dev);
	vbus_ctl_unlock();
	b = dp_conf_bus(&dp_run, d->bus);
	if (b != NULL)
		run_bus(b)->nb_devices--;
	d->bus[0] = '\0';
}

int
dp_run_device_switch(struct dp_device_conf *d, const char *sw, char *err, size_t err_size)
{
	int ret;

	if (strcmp(d->sw, sw) == 0)
		return 0;
	ret = dp_port_set_switch(run_device(d)->port, dp_state_switch(sw));
	if (ret != 0)
		return dp_state_err(err, err_size, ret, "device %s: switch: %s: %s", d->name,
			sw[0] != '\0' ? sw : "none", strerror(-ret));
	switch_count(d->sw, -1);
	switch_count(sw, 1);
	snprintf(d->sw, sizeof(d->sw), "%.*s", DP_NAME_SIZE - 1, sw);
	return 0;
}

int
dp_run_device_patch(struct dp_device_conf *d, struct dp_device_conf *to, char *err, size_t err_size)
{
	struct dp_run_device *r = run_device(d), *r_to = run_device(to);
	int ret;

	if (r->peer == to) {
		snprintf(d->patch, sizeof(d->patch), "%s", to->name);
		return 0; /* the other end has named this one */
	}
	if (r->peer != NULL || r_to->peer != NULL)
		return dp_state_err(err, err_size, -EBUSY,
			"device %s: patch: device %s is patched to '%s' already", d->name,
			r->peer != NULL ? d->name : to->name,
			r->peer != NULL ? r->peer->name : r_to->peer->name);
	ret = dp_port_patch(r->port, r_to->port);
	if (ret != 0)
		return dp_state_err(err, err_size, ret, "device %s: patch: %s: %s", d->name,
			to->name, strerror(-ret));
	r->peer = to;
	r_to->peer = d;
	snprintf(d->patch, sizeof(d->patch), "%s", to->name);
	return 0;
}

void
dp_run_device_unpatch(struct dp_device_conf *d)
{
	struct dp_run_device *r = run_device(d);
	struct dp_device_conf *peer = r->peer;

	if (peer == NULL)
		return;
	dp_port_patch(r->port, NULL);
	r->peer = NULL;
	run_device(peer)->peer = NULL;
	d->patch[0] = '\0';
	peer->patch[0] = '\0';
}

static void
venet_mtu(struct dp_device_conf *d, uint16_t mtu)
{
	vbus_ctl_lock();
	vbus_venet_set_mtu(vbus_venet_of(run_device(d)->dev), mtu);
	vbus_ctl_unlock();
	d->mtu = mtu;
}

int
dp_run_device_mtu(struct dp_device_conf *d, uint16_t mtu, char *err, size_t err_size)
{
	struct dp_run_device *r = run_device(d);
	struct dp_device_conf *peer = r->peer;
	uint16_t was = d->mtu;
	char why[DP_ERR_SIZE];
	int ret = 0;

	/* The data plane takes the frame size once, when a port begins. */
	dp_port_del(r->port);
	venet_mtu(d, mtu);
	r->port = dp_port_add_venet(r->dev, dp_state_switch(d->sw), err, err_size);
	if (r->port == NULL) {
		ret = errno != 0 ? -errno : -EIO;
		venet_mtu(d, was);
		r->port = dp_port_add_venet(r->dev, dp_state_switch(d->sw), why, sizeof(why));
	}
	if (r->port != NULL && peer != NULL)
		dp_port_patch(r->port, run_device(peer)->port);
	return ret;
}

/* ---- switches ---------------------------------------------------------------------------------- */

int
dp_run_switch_make(
	const struct dp_switch_conf *s, struct dp_switch_conf **made, char *err, size_t err_size)
{
	struct dp_switch_conf *n = dp_switch_conf_copy(s);
	struct dp_run_switch *r = calloc(1, sizeof(*r));
	int ret = -ENOMEM;

	if (n == NULL || r == NULL)
		goto err;
	dp_names_free(&n->ports);
	n->running = r;
	LIST_INIT(&r->uplinks);
	errno = 0;
	r->sw = dp_switch_create(s->name, s->ageing_s, s->size, err, err_size);
	if (r->sw == NULL) {
		ret = errno != 0 ? -errno : -ENOMEM;
		free(r);
		dp_switch_conf_del(n);
		return ret;
	}
	ret = dp_conf_add_switch(&dp_run, n);
	if (ret != 0)
		goto err;
	*made = n;
	return 0;
err:
	if (r != NULL && r->sw != NULL)
		dp_switch_delete(r->sw);
	free(r);
	dp_switch_conf_del(n);
	return dp_state_err(err, err_size, ret, "switch %s: %s", s->name, strerror(-ret));
}

void
dp_run_switch_unmake(struct dp_switch_conf *s)
{
	struct dp_run_switch *r = run_switch(s);
	struct dp_run_uplink *u;

	while ((u = LIST_FIRST(&r->uplinks)) != NULL)
		dp_run_uplink_del(s, u);
	if (dp_switch_delete(r->sw) != 0)
		DP_LOG(ERR, "switch %s: still has ports, its memory is lost", s->name);
	dp_conf_take_switch(&dp_run, s);
	free(r);
	dp_switch_conf_del(s);
}

int
dp_run_uplink_add(struct dp_switch_conf *s, const char *port, char *err, size_t err_size)
{
	struct dp_run_uplink *u = calloc(1, sizeof(*u));
	char why[DP_ERR_SIZE];
	int ret = -ENOMEM;

	if (u == NULL || dp_names_add(&s->ports, port) != 0)
		goto err;
	snprintf(u->name, sizeof(u->name), "%s", port);
	errno = 0;
	u->port = dp_port_add_uplink(port, run_switch(s)->sw, why, sizeof(why));
	if (u->port == NULL) {
		ret = errno != 0 ? -errno : -EIO;
		dp_names_del(&s->ports, port);
		free(u);
		return dp_state_err(err, err_size, ret, "switch %s: ports: %.400s", s->name, why);
	}
	LIST_INSERT_HEAD(&run_switch(s)->uplinks, u, next);
	return 0;
err:
	free(u);
	return dp_state_err(err, err_size, ret, "switch %s: %s", s->name, strerror(-ret));
}

void
dp_run_uplink_del(struct dp_switch_conf *s, struct dp_run_uplink *u)
{
	LIST_REMOVE(u, next);
	dp_port_del(u->port);
	dp_names_del(&s->ports, u->name);
	free(u);
}
