/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * bus.set, device.set, switch.set: change keys of what runs. The running configuration is copied,
 * changed, checked as a file would be, and applied as at SIGHUP: what does not differ is not touched.
 *
 * Threads: the loop's. null stands for a key's default; a list is replaced as a whole.
 */

#include "dp_rpc_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "dp_state.h"

/** Where a key lies in its object. */
struct field {
	const char *key;
	size_t offset, size;
};

#define FIELD(type, key, field)                                                      \
	{                                                                            \
		key, offsetof(struct type, field), sizeof(((struct type *)0)->field) \
	}

static const struct field bus_fields[] = {
	FIELD(dp_bus_conf, "connector", connector),
	FIELD(dp_bus_conf, "socket", socket),
	{NULL, 0, 0},
};

static const struct field device_fields[] = {
	FIELD(dp_device_conf, "bus", bus),
	FIELD(dp_device_conf, "mac", has_mac),
	FIELD(dp_device_conf, "mac", mac),
	FIELD(dp_device_conf, "mtu", mtu),
	FIELD(dp_device_conf, "queues", queues),
	FIELD(dp_device_conf, "switch", sw),
	FIELD(dp_device_conf, "patch", patch),
	{NULL, 0, 0},
};

static const struct field switch_fields[] = {
	FIELD(dp_switch_conf, "ageing", ageing_s),
	FIELD(dp_switch_conf, "size", size),
	{NULL, 0, 0},
};

/* Keys that are null take the value that an object has which was just made. */
static void
reset(const json_t *params, const struct field *fields, void *obj, const void *fresh)
{
	for (; fields->key != NULL; fields++)
		if (json_is_null(json_object_get(params, fields->key)))
			memcpy((char *)obj + fields->offset, (const char *)fresh + fields->offset,
				fields->size);
}

/* ---- a copy of what runs ----------------------------------------------------------------------- */

static int
copy_all(struct dp_conf *to)
{
	const struct dp_conf *from = dp_state_conf();
	const struct dp_bus_conf *b;
	const struct dp_device_conf *d;
	const struct dp_switch_conf *s;
	struct dp_bus_conf *b2;
	struct dp_device_conf *d2;
	struct dp_switch_conf *s2;

	dp_conf_init(to);
	to->mode = from->mode;
	to->idle_us = from->idle_us;
	memcpy(to->control, from->control, sizeof(to->control));
	TAILQ_FOREACH (b, &from->buses, next) {
		b2 = dp_bus_conf_copy(b);
		if (b2 == NULL || dp_conf_add_bus(to, b2) != 0)
			return dp_bus_conf_del(b2), -ENOMEM;
	}
	TAILQ_FOREACH (d, &from->devices, next) {
		d2 = dp_device_conf_copy(d);
		if (d2 == NULL || dp_conf_add_device(to, d2) != 0)
			return dp_device_conf_del(d2), -ENOMEM;
	}
	TAILQ_FOREACH (s, &from->switches, next) {
		s2 = dp_switch_conf_copy(s);
		if (s2 == NULL || dp_conf_add_switch(to, s2) != 0)
			return dp_switch_conf_del(s2), -ENOMEM;
	}
	return 0;
}

/* @p change: find the object and change it. @return false: in @p e */
static json_t *
change_and_apply(const json_t *params, struct dp_rpc_error *e,
	bool (*change)(const json_t *params, struct dp_conf *c, struct dp_rpc_error *e))
{
	char err[DP_ERR_SIZE] = "";
	json_t *result = NULL;
	struct dp_conf c;
	int ret = copy_all(&c);

	if (ret == 0 && change(params, &c, e)) {
		ret = dp_conf_check(&c, NULL, err, sizeof(err));
		if (ret == 0)
			ret = dp_state_apply(&c, NULL, err, sizeof(err));
		result = dp_rpc_done(e, ret, err);
	} else if (ret != 0) {
		dp_rpc_fail(e, ret, NULL);
	}
	dp_conf_free(&c);
	dp_rpc_capture_sweep(false);
	return result;
}

/* ---- one kind each ----------------------------------------------------------------------------- */

static int
set_bus(void *obj, const char *key, const char *value, char *err, size_t size)
{
	return dp_bus_conf_set(obj, key, value, err, size);
}

static int
set_device(void *obj, const char *key, const char *value, char *err, size_t size)
{
	return dp_device_conf_set(obj, key, value, err, size);
}

static int
set_switch(void *obj, const char *key, const char *value, char *err, size_t size)
{
	return dp_switch_conf_set(obj, key, value, err, size);
}

static bool
change_bus(const json_t *params, struct dp_conf *c, struct dp_rpc_error *e)
{
	struct dp_bus_conf *b = dp_conf_bus(c, dp_rpc_str(params, "name")), *fresh;

	if (dp_rpc_has(params, "devices")) {
		dp_rpc_bad(e, "devices", "use device.attach and device.detach");
		return false;
	}
	if (b == NULL) {
		dp_rpc_fail(e, -ENOENT, "there is no such bus");
		return false;
	}
	fresh = dp_bus_conf_new(b->name);
	if (fresh == NULL) {
		dp_rpc_fail(e, -ENOMEM, NULL);
		return false;
	}
	reset(params, bus_fields, b, fresh);
	dp_bus_conf_del(fresh);
	return dp_rpc_set_keys(params, "bus", set_bus, b, e);
}

static bool
change_device(const json_t *params, struct dp_conf *c, struct dp_rpc_error *e)
{
	struct dp_device_conf *d = dp_conf_device(c, dp_rpc_str(params, "name")), *fresh;

	if (d == NULL) {
		dp_rpc_fail(e, -ENOENT, "there is no such device");
		return false;
	}
	fresh = dp_device_conf_new(d->name);
	if (fresh == NULL) {
		dp_rpc_fail(e, -ENOMEM, NULL);
		return false;
	}
	reset(params, device_fields, d, fresh);
	dp_device_conf_del(fresh);
	return dp_rpc_set_keys(params, "device", set_device, d, e);
}

static bool
change_switch(const json_t *params, struct dp_conf *c, struct dp_rpc_error *e)
{
	struct dp_switch_conf *s = dp_conf_switch(c, dp_rpc_str(params, "name")), *fresh;

	if (s == NULL) {
		dp_rpc_fail(e, -ENOENT, "there is no such switch");
		return false;
	}
	fresh = dp_switch_conf_new(s->name);
	if (fresh == NULL) {
		dp_rpc_fail(e, -ENOMEM, NULL);
		return false;
	}
	reset(params, switch_fields, s, fresh);
	dp_switch_conf_del(fresh);
	if (dp_rpc_has(params, "ports"))
		dp_names_free(&s->ports);
	return dp_rpc_set_keys(params, "switch", set_switch, s, e);
}

static json_t *
bus_set(const json_t *params, struct dp_rpc_error *e)
{
	return change_and_apply(params, e, change_bus);
}

static json_t *
device_set(const json_t *params, struct dp_rpc_error *e)
{
	return change_and_apply(params, e, change_device);
}

static json_t *
switch_set(const json_t *params, struct dp_rpc_error *e)
{
	return change_and_apply(params, e, change_switch);
}

static const struct dp_rpc_param name_params[] = {
	{"name", DP_RPC_STRING, true},
	{NULL, DP_RPC_STRING, false},
};

const struct dp_rpc_method dp_rpc_methods_set[] = {
	{"bus.set", bus_set, name_params, "bus", true},
	{"device.set", device_set, name_params, "device", true},
	{"switch.set", switch_set, name_params, "switch", true},
	{NULL, NULL, NULL, NULL, false},
};
