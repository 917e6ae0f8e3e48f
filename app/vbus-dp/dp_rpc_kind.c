/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * Buses, devices and switches are made, changed and listed in one way: a kind says where its objects
 * are and which keys they have (dp_rpc_internal.h).
 *
 * Threads: the loop's. A change copies the running configuration, changes the copy, checks it as a
 * file would be, and applies it as at SIGHUP: what does not differ is not touched. null stands for a
 * key's default; a list is replaced as a whole.
 */

#include "dp_rpc_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "vbus_core.h"

#include "dp_state.h"

/* ---- the kinds --------------------------------------------------------------------------------- */

#define FIELD(type, key, field)                                                      \
	{                                                                            \
		key, offsetof(struct type, field), sizeof(((struct type *)0)->field) \
	}

static const struct dp_rpc_field bus_fields[] = {
	FIELD(dp_bus_conf, "connector", connector),
	FIELD(dp_bus_conf, "socket", socket),
	{NULL, 0, 0},
};

static const struct dp_rpc_field device_fields[] = {
	FIELD(dp_device_conf, "bus", bus),
	FIELD(dp_device_conf, "mac", has_mac),
	FIELD(dp_device_conf, "mac", mac),
	FIELD(dp_device_conf, "mtu", mtu),
	FIELD(dp_device_conf, "queues", queues),
	FIELD(dp_device_conf, "switch", sw),
	FIELD(dp_device_conf, "patch", patch),
	FIELD(dp_device_conf, "pty", pty),
	FIELD(dp_device_conf, "listen", listen),
	FIELD(dp_device_conf, "file", file),
	FIELD(dp_device_conf, "stdio", stdio),
	FIELD(dp_device_conf, "scrollback", scrollback),
	FIELD(dp_device_conf, "hold", hold),
	FIELD(dp_device_conf, "memory", memory),
	FIELD(dp_device_conf, "readonly", readonly),
	FIELD(dp_device_conf, "sector", sector),
	{NULL, 0, 0},
};

static const struct dp_rpc_field switch_fields[] = {
	FIELD(dp_switch_conf, "ageing", ageing_s),
	FIELD(dp_switch_conf, "size", size),
	{NULL, 0, 0},
};

static const struct dp_rpc_field top_fields[] = {
	FIELD(dp_conf, "mode", mode),
	FIELD(dp_conf, "idle", idle_us),
	FIELD(dp_conf, "control", control),
	{NULL, 0, 0},
};

/* dp_conf.h's and dp_state.h's functions of a kind, for any object. */
#define KIND(kind, list)                                                                          \
	static void *kind##_fresh(const char *name)                                               \
	{                                                                                         \
		return dp_##kind##_conf_new(name);                                                \
	}                                                                                         \
	static void kind##_del(void *obj)                                                         \
	{                                                                                         \
		dp_##kind##_conf_del(obj);                                                        \
	}                                                                                         \
	static void *kind##_find(const struct dp_conf *c, const char *name)                       \
	{                                                                                         \
		return dp_##kind##_conf_find(c, name);                                            \
	}                                                                                         \
	static const void *kind##_after(const void *prev)                                         \
	{                                                                                         \
		return prev == NULL ? TAILQ_FIRST(&dp_state_conf()->list)                         \
				    : TAILQ_NEXT((const struct dp_##kind##_conf *)prev, next);    \
	}                                                                                         \
	static int kind##_set(void *obj, const char *key, const char *value, char *err, size_t n) \
	{                                                                                         \
		return dp_##kind##_conf_set(obj, key, value, err, n);                             \
	}                                                                                         \
	static int kind##_check(const void *obj, char *err, size_t n)                             \
	{                                                                                         \
		return dp_##kind##_conf_check(obj, err, n);                                       \
	}                                                                                         \
	static int kind##_add(const void *obj, char *err, size_t n)                               \
	{                                                                                         \
		return dp_##kind##_add(obj, err, n);                                              \
	}                                                                                         \
	const struct dp_rpc_kind dp_rpc_##kind = {#kind, #list, kind##_fields, kind##_fresh,      \
		kind##_del, kind##_find, kind##_after, kind##_set, kind##_check, kind##_add}

#define dp_bus_conf_find    dp_conf_bus
#define dp_device_conf_find dp_conf_device
#define dp_switch_conf_find dp_conf_switch

KIND(bus, buses);
KIND(device, devices);
KIND(switch, switches);

/* ---- make, list -------------------------------------------------------------------------------- */

json_t *
dp_rpc_create(const struct dp_rpc_kind *k, const json_t *params, struct dp_rpc_error *e)
{
	const char *name = dp_rpc_str(params, "name");
	char err[DP_ERR_SIZE] = "";
	json_t *result = NULL;
	void *obj;

	if (!vbus_name_valid(name))
		return dp_rpc_bad(
			e, "name", "is no name: 1 to %d of A-Z a-z 0-9 _ -", VBUS_NAME_MAX);
	obj = k->fresh(name);
	if (obj == NULL)
		return dp_rpc_fail(e, -ENOMEM, NULL);
	if (dp_rpc_set_keys(params, k->section, k->set, obj, e)) {
		if (k->check(obj, err, sizeof(err)) != 0)
			dp_rpc_bad_line(e, err);
		else
			result = dp_rpc_done(e, k->add(obj, err, sizeof(err)), err);
	}
	k->del(obj);
	return result;
}

static json_t *
none(const struct dp_rpc_kind *k, struct dp_rpc_error *e)
{
	char text[64];

	snprintf(text, sizeof(text), "there is no such %s", k->section);
	return dp_rpc_fail(e, -ENOENT, text);
}

json_t *
dp_rpc_list(const struct dp_rpc_kind *k, json_t *(*show)(const void *obj), const json_t *params,
	struct dp_rpc_error *e)
{
	const char *name = dp_rpc_str(params, "name");
	uint64_t offset, total = 0;
	const void *obj;
	uint32_t limit;
	json_t *list;

	if (!dp_rpc_page(params, DP_RPC_LIST_MAX, &offset, &limit, e))
		return NULL;
	if (name != NULL && k->find(dp_state_conf(), name) == NULL)
		return none(k, e);
	list = json_array();
	for (obj = k->after(NULL); obj != NULL; obj = k->after(obj)) {
		if (name != NULL && strcmp(name, obj) != 0) /* an object begins with its name */
			continue;
		if (total++ >= offset && json_array_size(list) < limit)
			dp_rpc_append(list, show(obj));
	}
	return dp_rpc_page_result(k->plural, list, total, offset);
}

/* ---- change ------------------------------------------------------------------------------------ */

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

/* Keys that are null take the value that an object has which was just made. */
static void
reset(const json_t *params, const struct dp_rpc_field *f, void *obj, const void *fresh)
{
	for (; f->key != NULL; f++)
		if (json_is_null(json_object_get(params, f->key)))
			memcpy((char *)obj + f->offset, (const char *)fresh + f->offset, f->size);
}

/* @return false: in @p e */
static bool
change(const struct dp_rpc_kind *k, const json_t *params, struct dp_conf *c, struct dp_rpc_error *e)
{
	void *obj = k->find(c, dp_rpc_str(params, "name"));
	void *fresh;

	if (obj == NULL) {
		none(k, e);
		return false;
	}
	fresh = k->fresh("");
	if (fresh == NULL) {
		dp_rpc_fail(e, -ENOMEM, NULL);
		return false;
	}
	reset(params, k->fields, obj, fresh);
	k->del(fresh);
	/* The one list that may be changed here; a bus's devices are attached and detached. */
	if (k == &dp_rpc_switch && dp_rpc_has(params, "ports"))
		dp_names_free(&((struct dp_switch_conf *)obj)->ports);
	return dp_rpc_set_keys(params, k->section, k->set, obj, e);
}

json_t *
dp_rpc_change(const struct dp_rpc_kind *k, const json_t *params, struct dp_rpc_error *e)
{
	char err[DP_ERR_SIZE] = "";
	json_t *result = NULL;
	struct dp_conf c;
	int ret = copy_all(&c);

	if (ret != 0) {
		dp_rpc_fail(e, ret, NULL);
	} else if (change(k, params, &c, e)) {
		ret = dp_conf_check(&c, NULL, err, sizeof(err));
		if (ret == 0)
			ret = dp_state_apply(&c, NULL, err, sizeof(err));
		result = dp_rpc_done(e, ret, err);
	}
	dp_conf_free(&c);
	dp_rpc_capture_sweep(false);
	return result;
}

/* ---- the top ----------------------------------------------------------------------------------- */

static int
set_top(void *obj, const char *key, const char *value, char *err, size_t size)
{
	return dp_conf_set(obj, key, value, err, size);
}

/* The socket first: it is what can fail. */
static int
apply_top(const struct dp_conf *c, char *err, size_t err_size)
{
	int ret = dp_conf_check(c, NULL, err, err_size);

	if (ret == 0)
		ret = dp_rpc_move(dp_conf_control(c), err, err_size);
	if (ret != 0)
		return ret;
	dp_state_set_control(c->control);
	return dp_state_apply(c, NULL, err, err_size);
}

json_t *
dp_rpc_config_set(const json_t *params, struct dp_rpc_error *e)
{
	char err[DP_ERR_SIZE] = "";
	json_t *result = NULL;
	struct dp_conf c, fresh;
	int ret = copy_all(&c);

	dp_conf_init(&fresh);
	reset(params, top_fields, &c, &fresh);
	if (ret != 0)
		dp_rpc_fail(e, ret, NULL);
	else if (dp_rpc_set_keys(params, "", set_top, &c, e))
		result = dp_rpc_done(e, apply_top(&c, err, sizeof(err)), err);
	dp_conf_free(&c);
	return result;
}

json_t *
dp_rpc_config_get(const json_t *params, struct dp_rpc_error *e)
{
	const struct dp_conf *c = dp_state_conf();
	json_t *o = json_object();

	(void)params;
	(void)e;
	dp_rpc_put(o, "mode", json_string(c->mode == DP_MODE_ADAPTIVE ? "adaptive" : "busy"));
	dp_rpc_put(o, "idle", json_integer(c->idle_us));
	dp_rpc_put(o, "control", dp_rpc_text(dp_conf_control(c)));
	return o;
}
