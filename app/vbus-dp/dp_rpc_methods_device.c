/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * device.create, device.set, device.delete, device.attach, device.detach, device.list, device.stats.
 *
 * Threads: the loop's; dp_rows takes the control lock.
 */

#include "dp_rpc_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vbus_core.h"

#include "dp_rows.h"
#include "dp_state.h"

static json_t *
device_create(const json_t *params, struct dp_rpc_error *e)
{
	return dp_rpc_create(&dp_rpc_device, params, e);
}

static json_t *
device_set(const json_t *params, struct dp_rpc_error *e)
{
	return dp_rpc_change(&dp_rpc_device, params, e);
}

static json_t *
device_delete(const json_t *params, struct dp_rpc_error *e)
{
	const char *name = dp_rpc_str(params, "name");
	char err[DP_ERR_SIZE] = "";
	int ret = dp_device_remove(name, err, sizeof(err));

	dp_rpc_capture_sweep(false);
	return dp_rpc_done(e, ret, err);
}

static json_t *
device_attach(const json_t *params, struct dp_rpc_error *e)
{
	char err[DP_ERR_SIZE] = "";

	return dp_rpc_done(e,
		dp_device_attach(
			dp_rpc_str(params, "name"), dp_rpc_str(params, "bus"), err, sizeof(err)),
		err);
}

static json_t *
device_detach(const json_t *params, struct dp_rpc_error *e)
{
	char err[DP_ERR_SIZE] = "";

	return dp_rpc_done(e, dp_device_detach(dp_rpc_str(params, "name"), err, sizeof(err)), err);
}

static json_t *
device_break(const json_t *params, struct dp_rpc_error *e)
{
	char err[DP_ERR_SIZE] = "";

	return dp_rpc_done(e, dp_device_break(dp_rpc_str(params, "name"), err, sizeof(err)), err);
}

/* ---- what there is ----------------------------------------------------------------------------- */

static json_t *
row_head(const struct dp_row *r)
{
	json_t *o = json_object();

	dp_rpc_put(o, "name", dp_rpc_text(r->name));
	dp_rpc_put(o, "class", dp_rpc_text(r->conf != NULL ? r->conf->cls : "uplink"));
	dp_rpc_put(o, "bus", dp_rpc_text(r->conf != NULL ? r->conf->bus : ""));
	dp_rpc_put(o, "switch", dp_rpc_text(r->sw));
	if (r->is_venet)
		dp_rpc_put(o, "link", json_boolean(r->link));
	if (r->gone)
		dp_rpc_put(o, "gone", json_true());
	return o;
}

static json_t *
list_object(const struct dp_row *r)
{
	json_t *o = row_head(r);

	if (r->conf != NULL && r->conf->patch[0] != '\0')
		dp_rpc_put(o, "patch", dp_rpc_text(r->conf->patch));
	if (r->conf != NULL && r->conf->pty[0] != '\0')
		dp_rpc_put(o, "pty", dp_rpc_text(r->conf->pty));
	if (r->conf != NULL && r->conf->listen[0] != '\0')
		dp_rpc_put(o, "listen", dp_rpc_text(r->conf->listen));
	if (r->conf != NULL && r->conf->file[0] != '\0')
		dp_rpc_put(o, "file", dp_rpc_text(r->conf->file));
	if (r->polled)
		dp_rpc_put(o, "lcore", json_integer(r->lcore));
	if (r->known) {
		dp_rpc_put(o, "open", json_boolean(r->open));
		dp_rpc_put(o, "faults", dp_rpc_uint(r->nb_faults));
		if (r->fault != NULL)
			dp_rpc_put(o, "fault", dp_rpc_text(r->fault));
	}
	if (r->is_venet) {
		dp_rpc_put(o, "mac", dp_rpc_mac(&r->mac));
		dp_rpc_put(o, "mtu", json_integer(r->mtu));
		dp_rpc_put(o, "queues", json_integer(r->conf->queues));
	}
	return o;
}

static json_t *
stats_object(const struct dp_row *r)
{
	json_t *o = row_head(r), *part;

#define PUT(field, name) dp_rpc_put(part, name, dp_rpc_uint(from->field));
	if (r->polled) {
		const struct dp_port_stats *from = &r->st;

		part = json_object();
		DP_PORT_STATS(PUT)
		dp_rpc_put(o, "port", part);
	}
	if (r->is_venet) {
		const struct vbus_venet_rx_stats *from = &r->rx;

		part = json_object();
		VBUS_VENET_RX_STATS(PUT)
		dp_rpc_put(o, "rx", part);
	}
	if (r->is_venet) {
		const struct vbus_venet_tx_stats *from = &r->tx;

		part = json_object();
		VBUS_VENET_TX_STATS(PUT)
		dp_rpc_put(o, "tx", part);
	}
	if (r->is_serial) {
		const struct vbus_serial_stats *from = &r->serial;

		part = json_object();
		VBUS_SERIAL_STATS(PUT)
		dp_rpc_put(o, "serial", part);
	}
#undef PUT
	return o;
}

static json_t *
rows_list(const json_t *params, const struct dp_rows_filter *f, uint32_t limit_max,
	json_t *(*object)(const struct dp_row *r), const char *name, struct dp_rpc_error *e)
{
	uint64_t offset, total;
	uint32_t limit, nb, i;
	struct dp_row *rows;
	json_t *list;

	if (!dp_rpc_page(params, limit_max, &offset, &limit, e))
		return NULL;
	if (dp_rows_get(f, offset, limit, &rows, &nb, &total) != 0)
		return dp_rpc_fail(e, -ENOMEM, NULL);
	if (f->name != NULL && total == 0) {
		free(rows);
		return dp_rpc_fail(e, -ENOENT, "there is no such device");
	}
	list = json_array();
	for (i = 0; i < nb; i++)
		dp_rpc_append(list, object(&rows[i]));
	free(rows);
	return dp_rpc_page_result(name, list, total, offset);
}

static json_t *
device_list(const json_t *params, struct dp_rpc_error *e)
{
	const struct dp_rows_filter f = {
		.name = dp_rpc_str(params, "name"),
		.bus = dp_rpc_str(params, "bus"),
		.sw = dp_rpc_str(params, "switch"),
		.no_uplinks = true,
	};

	return rows_list(params, &f, DP_RPC_LIST_MAX, list_object, "devices", e);
}

static json_t *
device_stats(const json_t *params, struct dp_rpc_error *e)
{
	const struct dp_rows_filter f = {
		.name = dp_rpc_str(params, "name"),
		.bus = dp_rpc_str(params, "bus"),
		.sw = dp_rpc_str(params, "switch"),
	};

	return rows_list(params, &f, DP_RPC_STATS_MAX, stats_object, "devices", e);
}

static const struct dp_rpc_param name_params[] = {
	{"name", DP_RPC_STRING, true},
	{NULL, DP_RPC_STRING, false},
};

static const struct dp_rpc_param create_params[] = {
	{"name", DP_RPC_STRING, true},
	{"class", DP_RPC_STRING, true},
	{NULL, DP_RPC_STRING, false},
};

static const struct dp_rpc_param attach_params[] = {
	{"name", DP_RPC_STRING, true},
	{"bus", DP_RPC_STRING, true},
	{NULL, DP_RPC_STRING, false},
};

static const struct dp_rpc_param list_params[] = {
	{"name", DP_RPC_STRING, false},
	{"bus", DP_RPC_STRING, false},
	{"switch", DP_RPC_STRING, false},
	{"offset", DP_RPC_INTEGER, false},
	{"limit", DP_RPC_INTEGER, false},
	{NULL, DP_RPC_STRING, false},
};

const struct dp_rpc_method dp_rpc_methods_device[] = {
	{"device.create", device_create, create_params, "device", false},
	{"device.set", device_set, name_params, "device", true},
	{"device.delete", device_delete, name_params, NULL, false},
	{"device.attach", device_attach, attach_params, NULL, false},
	{"device.detach", device_detach, name_params, NULL, false},
	{"device.break", device_break, name_params, NULL, false},
	{"device.list", device_list, list_params, NULL, false},
	{"device.stats", device_stats, list_params, NULL, false},
	{NULL, NULL, NULL, NULL, false},
};
