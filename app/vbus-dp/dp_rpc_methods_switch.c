/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * switch.create, switch.set, switch.delete, switch.list, switch.fdb.
 *
 * Threads: the loop's.
 */

#include "dp_rpc_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "vbus_core.h"

#include "dp_plane.h"
#include "dp_state.h"

static json_t *
switch_create(const json_t *params, struct dp_rpc_error *e)
{
	return dp_rpc_create(&dp_rpc_switch, params, e);
}

static json_t *
switch_set(const json_t *params, struct dp_rpc_error *e)
{
	return dp_rpc_change(&dp_rpc_switch, params, e);
}

static json_t *
switch_delete(const json_t *params, struct dp_rpc_error *e)
{
	char err[DP_ERR_SIZE] = "";
	int ret = dp_switch_remove(dp_rpc_str(params, "name"), err, sizeof(err));

	dp_rpc_capture_sweep(false); /* its uplinks went */
	return dp_rpc_done(e, ret, err);
}

static json_t *
switch_object(const void *obj)
{
	const struct dp_switch_conf *s = obj;
	const struct dp_switch *sw = dp_state_switch(s->name);
	json_t *o = json_object(), *ports = json_array();
	const struct dp_name *n;
	struct dp_switch_stats st;

	dp_rpc_put(o, "name", dp_rpc_text(s->name));
	for (n = STAILQ_FIRST(&s->ports); n != NULL; n = STAILQ_NEXT(n, next))
		dp_rpc_append(ports, dp_rpc_text(n->name));
	dp_rpc_put(o, "ports", ports);
	dp_rpc_put(o, "ageing", json_integer(s->ageing_s));
	dp_rpc_put(o, "size", json_integer(s->size));
	if (sw != NULL) {
		dp_switch_stats(sw, &st);
		dp_rpc_put(o, "addresses", json_integer(st.addresses));
		dp_rpc_put(o, "learned", dp_rpc_uint(st.learned));
		dp_rpc_put(o, "moved", dp_rpc_uint(st.moved));
		dp_rpc_put(o, "aged", dp_rpc_uint(st.aged));
		dp_rpc_put(o, "table_full", dp_rpc_uint(st.table_full));
		dp_rpc_put(o, "refused", dp_rpc_uint(st.refused));
	}
	return o;
}

static json_t *
switch_list(const json_t *params, struct dp_rpc_error *e)
{
	return dp_rpc_list(&dp_rpc_switch, switch_object, params, e);
}

/* ---- addresses --------------------------------------------------------------------------------- */

struct fdb_page {
	json_t *list;
	const char *port; /* NULL: any */
	uint64_t offset, total;
	uint32_t limit;
};

static void
on_entry(const struct dp_fdb_entry *entry, void *arg)
{
	struct fdb_page *p = arg;
	json_t *o;

	if (p->port != NULL && strcmp(p->port, entry->port) != 0)
		return;
	if (p->total++ < p->offset || json_array_size(p->list) >= p->limit)
		return;
	o = json_object();
	dp_rpc_put(o, "mac", dp_rpc_mac(&entry->addr));
	dp_rpc_put(o, "port", dp_rpc_text(entry->port));
	dp_rpc_put(o, "age", json_integer(entry->age_s));
	dp_rpc_append(p->list, o);
}

static json_t *
switch_fdb(const json_t *params, struct dp_rpc_error *e)
{
	struct dp_switch *sw = dp_state_switch(dp_rpc_str(params, "name"));
	struct fdb_page p = {.port = dp_rpc_str(params, "port")};

	if (!dp_rpc_page(params, DP_RPC_LIST_MAX, &p.offset, &p.limit, e))
		return NULL;
	if (sw == NULL)
		return dp_rpc_fail(e, -ENOENT, "there is no such switch");
	p.list = json_array();
	dp_switch_fdb(sw, on_entry, &p);
	return dp_rpc_page_result("addresses", p.list, p.total, p.offset);
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

static const struct dp_rpc_param fdb_params[] = {
	{"name", DP_RPC_STRING, true},
	{"port", DP_RPC_STRING, false},
	{"offset", DP_RPC_INTEGER, false},
	{"limit", DP_RPC_INTEGER, false},
	{NULL, DP_RPC_STRING, false},
};

const struct dp_rpc_method dp_rpc_methods_switch[] = {
	{"switch.create", switch_create, name_params, "switch", false},
	{"switch.set", switch_set, name_params, "switch", true},
	{"switch.delete", switch_delete, name_params, NULL, false},
	{"switch.list", switch_list, list_params, NULL, false},
	{"switch.fdb", switch_fdb, fdb_params, NULL, false},
	{NULL, NULL, NULL, NULL, false},
};
