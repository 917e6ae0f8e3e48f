/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * bus.create, bus.set, bus.delete, bus.list.
 *
 * Threads: the loop's; the control lock is taken for what libvbus tells.
 */

#include "dp_rpc_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "vbus_bridge.h"
#include "vbus_core.h"
#include "vbus_ctl.h"

#include "dp_state.h"

static json_t *
bus_create(const json_t *params, struct dp_rpc_error *e)
{
	return dp_rpc_create(&dp_rpc_bus, params, e);
}

static json_t *
bus_set(const json_t *params, struct dp_rpc_error *e)
{
	if (dp_rpc_has(params, "devices"))
		return dp_rpc_bad(e, "devices", "use device.attach and device.detach");
	return dp_rpc_change(&dp_rpc_bus, params, e);
}

static json_t *
bus_delete(const json_t *params, struct dp_rpc_error *e)
{
	char err[DP_ERR_SIZE] = "";

	return dp_rpc_done(e, dp_bus_remove(dp_rpc_str(params, "name"), err, sizeof(err)), err);
}

/* ---- list -------------------------------------------------------------------------------------- */

/* Control lock held. */
static void
put_running(json_t *o, const struct vbus_bus *bus)
{
	struct vbus_bridge_info i;
	uint64_t came, sent;
	char text[160] = "";

	vbus_bridge_info(bus->bridge, &i);
	if (bus->connector != NULL && bus->connector->ops->describe != NULL)
		bus->connector->ops->describe(bus->connector->arg, text, sizeof(text));
	dp_rpc_put(o, "connection", dp_rpc_text(text));
	if (bus->connector != NULL && bus->connector->ops->irq_counts != NULL) {
		bus->connector->ops->irq_counts(bus->connector->arg, &came, &sent);
		dp_rpc_put(o, "window_interrupts", dp_rpc_uint(came));
		dp_rpc_put(o, "window_rings", dp_rpc_uint(sent));
	}
	dp_rpc_put(o, "peer", json_boolean(i.peer));
	dp_rpc_put(o, "negotiated", json_boolean(i.negotiated));
	dp_rpc_put(o, "devices", json_integer(bus->nb_devices));
	dp_rpc_put(o, "open_devices", json_integer(i.nb_conns));
	dp_rpc_put(o, "sessions", dp_rpc_uint(i.nb_sessions));
	dp_rpc_put(o, "calls", dp_rpc_uint(i.nb_calls));
	dp_rpc_put(o, "failed_calls", dp_rpc_uint(i.nb_failed_calls));
	dp_rpc_put(o, "interrupts", dp_rpc_uint(i.nb_irqs));
	dp_rpc_put(o, "faults", dp_rpc_uint(i.nb_faults));
	if (i.fault != NULL)
		dp_rpc_put(o, "fault", dp_rpc_text(i.fault));
}

static json_t *
bus_object(const void *obj)
{
	const struct dp_bus_conf *b = obj;
	static const char *const connectors[] = {
		[DP_CONNECTOR_VFIO_USER] = "vfio-user",
		[DP_CONNECTOR_NULL] = "null",
		[DP_CONNECTOR_WINDOW] = "window",
	};
	const struct vbus_bus *bus;
	json_t *o = json_object();

	dp_rpc_put(o, "name", dp_rpc_text(b->name));
	dp_rpc_put(o, "connector", json_string(connectors[b->connector]));
	if (b->socket[0] != '\0')
		dp_rpc_put(o, "socket", dp_rpc_text(b->socket));
	if (b->window[0] != '\0') {
		dp_rpc_put(o, "window", dp_rpc_text(b->window));
		dp_rpc_put(o, "side", json_string(b->side_b ? "b" : "a"));
	}
	vbus_ctl_lock();
	bus = dp_state_bus(b->name);
	if (bus != NULL)
		put_running(o, bus);
	vbus_ctl_unlock();
	return o;
}

static json_t *
bus_list(const json_t *params, struct dp_rpc_error *e)
{
	return dp_rpc_list(&dp_rpc_bus, bus_object, params, e);
}

static const struct dp_rpc_param name_params[] = {
	{"name", DP_RPC_STRING, true},
	{NULL, DP_RPC_STRING, false},
};

static const struct dp_rpc_param list_params[] = {
	{"name", DP_RPC_STRING, false},
	{"offset", DP_RPC_INTEGER, false},
	{"limit", DP_RPC_INTEGER, false},
	{NULL, DP_RPC_STRING, false},
};

const struct dp_rpc_method dp_rpc_methods_bus[] = {
	{"bus.create", bus_create, name_params, "bus", false},
	{"bus.set", bus_set, name_params, "bus", true},
	{"bus.delete", bus_delete, name_params, NULL, false},
	{"bus.list", bus_list, list_params, NULL, false},
	{NULL, NULL, NULL, NULL, false},
};
