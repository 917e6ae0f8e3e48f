/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * bus.create, bus.delete, bus.list.
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

static int
set(void *obj, const char *key, const char *value, char *err, size_t size)
{
	return dp_bus_conf_set(obj, key, value, err, size);
}

static json_t *
bus_create(const json_t *params, struct dp_rpc_error *e)
{
	struct dp_bus_conf *b = dp_bus_conf_new("");
	char err[DP_ERR_SIZE] = "";
	json_t *result = NULL;

	if (b == NULL)
		return dp_rpc_fail(e, -ENOMEM, NULL);
	if (!vbus_name_valid(dp_rpc_str(params, "name"))) {
		dp_rpc_bad(e, "name", "is no name: 1 to %d of A-Z a-z 0-9 _ -", VBUS_NAME_MAX);
		goto out;
	}
	snprintf(b->name, sizeof(b->name), "%s", dp_rpc_str(params, "name"));
	if (!dp_rpc_set_keys(params, "bus", set, b, e))
		goto out;
	if (dp_bus_conf_check(b, err, sizeof(err)) != 0) {
		dp_rpc_bad_line(e, err);
		goto out;
	}
	result = dp_rpc_done(e, dp_bus_add(b, err, sizeof(err)), err);
out:
	dp_bus_conf_del(b);
	return result;
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
	char text[160] = "";

	vbus_bridge_info(bus->bridge, &i);
	if (bus->connector != NULL && bus->connector->ops->describe != NULL)
		bus->connector->ops->describe(bus->connector->arg, text, sizeof(text));
	dp_rpc_put(o, "connection", dp_rpc_text(text));
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
bus_object(const struct dp_bus_conf *b)
{
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
	const char *name = dp_rpc_str(params, "name");
	const struct dp_bus_conf *b;
	uint64_t offset, total = 0;
	uint32_t limit;
	json_t *list;

	if (!dp_rpc_page(params, DP_RPC_LIST_MAX, &offset, &limit, e))
		return NULL;
	if (name != NULL && dp_conf_bus(dp_state_conf(), name) == NULL)
		return dp_rpc_fail(e, -ENOENT, "there is no such bus");
	list = json_array();
	TAILQ_FOREACH (b, &dp_state_conf()->buses, next) {
		if (name != NULL && strcmp(name, b->name) != 0)
			continue;
		if (total++ >= offset && json_array_size(list) < limit)
			json_array_append_new(list, bus_object(b));
	}
	return dp_rpc_page_result("buses", list, total, offset);
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
	{"bus.delete", bus_delete, name_params, NULL, false},
	{"bus.list", bus_list, list_params, NULL, false},
	{NULL, NULL, NULL, NULL, false},
};
