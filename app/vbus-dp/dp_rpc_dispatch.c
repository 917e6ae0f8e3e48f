/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * JSON-RPC 2.0: from a line to its answer. What a method gets has been checked against its list of
 * parameters, so that an unknown key, a wrong type and a missing one are refused in one place.
 *
 * Threads: the loop's. No state but the counters.
 */

#include "dp_rpc_internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* No error is longer, its id aside: a batch keeps as much for each of the rest. */
#define ERROR_ROOM 1536u

/* ---- helpers of methods ------------------------------------------------------------------------ */

json_t *
dp_rpc_text(const char *text)
{
	char copy[DP_ERR_SIZE];
	json_t *s = json_string(text);
	size_t i;

	if (s != NULL)
		return s;
	/* Cut in the middle of a character, or a name that the system gave. */
	snprintf(copy, sizeof(copy), "%s", text);
	for (i = 0; copy[i] != '\0'; i++)
		if ((unsigned char)copy[i] >= 0x80)
			copy[i] = '?';
	return json_string(copy);
}

json_t *
dp_rpc_uint(uint64_t n)
{
	return json_integer(n > INT64_MAX ? INT64_MAX : (json_int_t)n);
}

json_t *
dp_rpc_mac(const struct rte_ether_addr *mac)
{
	const uint8_t *b = mac->addr_bytes;

	return json_sprintf("%02x:%02x:%02x:%02x:%02x:%02x", b[0], b[1], b[2], b[3], b[4], b[5]);
}

/* Something of the answer under way had no memory: it is not whole, and is not given. */
static bool starved;

void
dp_rpc_put(json_t *obj, const char *key, json_t *value)
{
	if (value == NULL || json_object_set_new(obj, key, value) != 0)
		starved = true;
}

void
dp_rpc_append(json_t *list, json_t *value)
{
	if (value == NULL || json_array_append_new(list, value) != 0)
		starved = true;
}

json_t *
dp_rpc_fail(struct dp_rpc_error *e, int err, const char *text)
{
	e->err = -err;
	e->code = DP_RPC_ERRNO + err;
	e->key[0] = '\0';
	snprintf(e->text, sizeof(e->text), "%s",
		text != NULL && text[0] != '\0' ? text : strerror(-err));
	return NULL;
}

json_t *
dp_rpc_bad(struct dp_rpc_error *e, const char *key, const char *fmt, ...)
{
	va_list ap;
	int n;

	e->code = DP_RPC_BAD_PARAMS;
	e->err = 0;
	snprintf(e->key, sizeof(e->key), "%s", key);
	n = snprintf(e->text, sizeof(e->text), "Invalid params: %s: ", e->key);
	va_start(ap, fmt);
	vsnprintf(e->text + n, sizeof(e->text) - (size_t)n, fmt, ap);
	va_end(ap);
	return NULL;
}

void
dp_rpc_bad_line(struct dp_rpc_error *e, const char *line)
{
	const char *colon = strstr(line, ": ");
	char key[sizeof(e->key)];

	if (colon == NULL || (size_t)(colon - line) >= sizeof(key)) {
		dp_rpc_bad(e, "name", "%.400s", line);
		return;
	}
	snprintf(key, sizeof(key), "%.*s", (int)(colon - line), line);
	dp_rpc_bad(e, key, "%.400s", colon + 2);
}

json_t *
dp_rpc_done(struct dp_rpc_error *e, int ret, const char *text)
{
	return ret == 0 ? json_object() : dp_rpc_fail(e, ret, text);
}

const char *
dp_rpc_str(const json_t *params, const char *key)
{
	return json_string_value(json_object_get(params, key));
}

bool
dp_rpc_has(const json_t *params, const char *key)
{
	return json_object_get(params, key) != NULL;
}

bool
dp_rpc_page(const json_t *params, uint32_t limit_max, uint64_t *offset, uint32_t *limit,
	struct dp_rpc_error *e)
{
	const json_t *o = json_object_get(params, "offset"), *l = json_object_get(params, "limit");

	if (o != NULL && json_integer_value(o) < 0) {
		dp_rpc_bad(e, "offset", "is negative");
		return false;
	}
	if (l != NULL && (json_integer_value(l) < 1 || json_integer_value(l) > limit_max)) {
		dp_rpc_bad(e, "limit", "is not a number from 1 to %u", limit_max);
		return false;
	}
	*offset = (uint64_t)json_integer_value(o);
	*limit = l != NULL ? (uint32_t)json_integer_value(l) : limit_max;
	return true;
}

json_t *
dp_rpc_page_result(const char *name, json_t *list, uint64_t total, uint64_t offset)
{
	json_t *o = json_object();
	uint64_t next = offset + json_array_size(list);

	if (o == NULL) {
		json_decref(list);
		return NULL;
	}
	dp_rpc_put(o, "total", dp_rpc_uint(total));
	dp_rpc_put(o, "offset", dp_rpc_uint(offset));
	if (next < total && json_array_size(list) != 0)
		dp_rpc_put(o, "next", dp_rpc_uint(next));
	dp_rpc_put(o, name, list);
	return o;
}

/* ---- configuration keys as parameters ---------------------------------------------------------- */

enum dp_rpc_type
dp_rpc_key_type(const char *key, bool list)
{
	static const char *const numbers[] = {
		"mtu", "queues", "ageing", "size", "idle", "scrollback", "memory", "sector"};
	static const char *const booleans[] = {"stdio", "hold", "readonly"};
	size_t i;

	if (list)
		return DP_RPC_STRINGS;
	for (i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		if (strcmp(key, numbers[i]) == 0)
			return DP_RPC_INTEGER;
	for (i = 0; i < sizeof(booleans) / sizeof(booleans[0]); i++)
		if (strcmp(key, booleans[i]) == 0)
			return DP_RPC_BOOLEAN;
	return DP_RPC_STRING;
}

static bool
set_key(dp_rpc_set_fn set, void *obj, const char *key, const json_t *v, struct dp_rpc_error *e)
{
	char number[32], err[DP_ERR_SIZE] = "";
	const char *text = number;
	int ret;

	if (json_is_string(v))
		text = json_string_value(v);
	else if (json_is_integer(v))
		snprintf(number, sizeof(number), "%" JSON_INTEGER_FORMAT, json_integer_value(v));
	else
		text = json_is_true(v) ? "true" : "false";
	ret = set(obj, key, text, err, sizeof(err));
	if (ret == 0)
		return true;
	if (ret == -ENOMEM) {
		dp_rpc_fail(e, ret, err);
		return false;
	}
	dp_rpc_bad_line(e, err);
	return false;
}

bool
dp_rpc_set_keys(const json_t *params, const char *section, dp_rpc_set_fn set, void *obj,
	struct dp_rpc_error *e)
{
	const json_t *v, *one;
	const char *key;
	unsigned int i;
	size_t j;
	bool list;

	for (i = 0; (key = dp_conf_key(section, i, &list)) != NULL; i++) {
		v = json_object_get(params, key);
		if (v == NULL || json_is_null(v))
			continue;
		if (!list && !set_key(set, obj, key, v, e))
			return false;
		for (j = 0; list && (one = json_array_get(v, j)) != NULL; j++)
			if (!set_key(set, obj, key, one, e))
				return false;
	}
	return true;
}

/* ---- checks ------------------------------------------------------------------------------------ */

static bool
strings(const json_t *v)
{
	const json_t *one;
	size_t i;

	for (i = 0; (one = json_array_get(v, i)) != NULL; i++)
		if (!json_is_string(one))
			return false;
	return json_is_array(v);
}

static bool
check_type(const char *key, enum dp_rpc_type type, const json_t *v, struct dp_rpc_error *e)
{
	bool ok = false;

	switch (type) {
	case DP_RPC_STRING:
		ok = json_is_string(v) || dp_rpc_bad(e, key, "is not a string");
		break;
	case DP_RPC_INTEGER:
		ok = json_is_integer(v) || dp_rpc_bad(e, key, "is not an integer");
		break;
	case DP_RPC_BOOLEAN:
		ok = json_is_boolean(v) || dp_rpc_bad(e, key, "is not a boolean");
		break;
	case DP_RPC_STRINGS:
		ok = strings(v) || dp_rpc_bad(e, key, "is not an array of strings");
		break;
	}
	return ok;
}

/* @return false: there is no such parameter */
static bool
find_type(const struct dp_rpc_method *m, const char *key, enum dp_rpc_type *type)
{
	const struct dp_rpc_param *p;
	const char *name;
	unsigned int i;
	bool list;

	for (p = m->params; p->key != NULL; p++) {
		if (strcmp(p->key, key) == 0) {
			*type = p->type;
			return true;
		}
	}
	for (i = 0; m->section != NULL && (name = dp_conf_key(m->section, i, &list)) != NULL; i++) {
		if (strcmp(name, key) == 0) {
			*type = dp_rpc_key_type(name, list);
			return true;
		}
	}
	return false;
}

static bool
check_params(const struct dp_rpc_method *m, json_t *params, struct dp_rpc_error *e)
{
	const struct dp_rpc_param *p;
	enum dp_rpc_type type;
	const char *key;
	json_t *v;

	json_object_foreach(params, key, v)
	{
		if (!find_type(m, key, &type)) {
			dp_rpc_bad(e, key, "unknown parameter");
			return false;
		}
		if (!(m->nulls && json_is_null(v)) && !check_type(key, type, v, e))
			return false;
	}
	for (p = m->params; p->key != NULL; p++) {
		v = json_object_get(params, p->key);
		if (p->required && (v == NULL || json_is_null(v))) {
			dp_rpc_bad(e, p->key, "missing");
			return false;
		}
	}
	return true;
}

/* ---- requests ---------------------------------------------------------------------------------- */

static const struct dp_rpc_method *
find_method(const char *name)
{
	static const struct dp_rpc_method *const tables[] = {dp_rpc_methods_bus,
		dp_rpc_methods_device, dp_rpc_methods_switch, dp_rpc_methods_misc,
		dp_rpc_methods_capture, dp_rpc_methods_trace};
	const struct dp_rpc_method *m;
	size_t i;

	for (i = 0; i < sizeof(tables) / sizeof(tables[0]); i++)
		for (m = tables[i]; m->name != NULL; m++)
			if (strcmp(m->name, name) == 0)
				return m;
	return NULL;
}

static json_t *
call(const char *name, json_t *params, struct dp_rpc_error *e)
{
	const struct dp_rpc_method *m = find_method(name);
	json_t *result, *none = NULL;

	if (m == NULL) {
		e->code = DP_RPC_UNKNOWN_METHOD;
		snprintf(e->text, sizeof(e->text), "Method not found: %.100s", name);
		return NULL;
	}
	if (params == NULL || (json_is_array(params) && json_array_size(params) == 0))
		params = none = json_object();
	if (!json_is_object(params)) {
		e->code = DP_RPC_BAD_PARAMS;
		snprintf(e->text, sizeof(e->text), "Invalid params: they go by name, in an object");
		return NULL;
	}
	if (!check_params(m, params, e)) {
		json_decref(none);
		return NULL;
	}
	result = m->fn(params, e);
	json_decref(none);
	if (result == NULL && e->code == 0)
		dp_rpc_fail(e, -ENOMEM, NULL);
	return result;
}

/* Without control characters: each would become six. */
static json_t *
plain(const char *text)
{
	char copy[DP_ERR_SIZE];
	size_t i;

	snprintf(copy, sizeof(copy), "%s", text);
	for (i = 0; copy[i] != '\0'; i++)
		if ((unsigned char)copy[i] < 0x20)
			copy[i] = '?';
	return dp_rpc_text(copy);
}

static json_t *
error_object(const struct dp_rpc_error *e)
{
	json_t *o = json_object(), *data = json_object();

	dp_rpc_put(o, "code", json_integer(e->code));
	dp_rpc_put(o, "message", plain(e->text));
	if (e->key[0] != '\0')
		dp_rpc_put(data, "key", plain(e->key));
	if (e->err != 0) {
		const char *name = strerrorname_np(e->err);

		dp_rpc_put(data, "errno", json_string(name != NULL ? name : "unknown"));
	}
	if (json_object_size(data) != 0)
		dp_rpc_put(o, "data", data);
	else
		json_decref(data);
	return o;
}

/* @p result NULL: an error. Takes @p result. @return to be freed; NULL: no memory */
static char *
answer_text(const json_t *id, json_t *result, const struct dp_rpc_error *e)
{
	json_t *o = json_object();
	char *text;

	dp_rpc_put(o, "jsonrpc", json_string("2.0"));
	if (result != NULL) {
		dp_rpc_put(o, "result", result);
	} else {
		dp_rpc_counters.errors++;
		dp_rpc_put(o, "error", error_object(e));
	}
	dp_rpc_put(o, "id", id != NULL ? json_deep_copy(id) : json_null());
	text = json_dumps(o, JSON_COMPACT);
	json_decref(o);
	return text;
}

static void
invalid(struct dp_rpc_error *e, const char *why)
{
	e->code = DP_RPC_BAD_REQUEST;
	snprintf(e->text, sizeof(e->text), "Invalid Request: %s", why);
}

/* @return why it is no request, NULL: it is one */
static const char *
check_request(const json_t *req)
{
	const json_t *id = json_object_get(req, "id"), *params = json_object_get(req, "params");
	const char *version = dp_rpc_str(req, "jsonrpc");

	if (!json_is_object(req))
		return "not an object";
	if (id != NULL && !json_is_string(id) && !json_is_number(id) && !json_is_null(id))
		return "id is neither string nor number";
	if (version == NULL || strcmp(version, "2.0") != 0)
		return "jsonrpc is not \"2.0\"";
	if (dp_rpc_str(req, "method") == NULL)
		return "method is not a string";
	if (params != NULL && !json_is_object(params) && !json_is_array(params))
		return "params is neither object nor array";
	return NULL;
}

/* An answer without memory for it: refused, by what little that takes. @return NULL: not even that */
static char *
no_memory(const json_t *id, char *text)
{
	struct dp_rpc_error e = {0};

	free(text);
	starved = false;
	dp_rpc_fail(&e, -ENOMEM, "no memory for the answer; the request may have been carried out");
	text = answer_text(id, NULL, &e);
	if (starved) {
		free(text);
		return NULL;
	}
	return text;
}

/* @return the answer, to be freed; NULL: a notification, or no memory (@p lost is set then) */
static char *
request(const json_t *req, size_t room, bool *lost)
{
	struct dp_rpc_error e = {0};
	const char *why = check_request(req);
	const json_t *id = json_object_get(req, "id");
	json_t *result;
	char *text;

	dp_rpc_counters.requests++;
	starved = false;
	if (why != NULL) {
		if (id != NULL && !json_is_string(id) && !json_is_number(id))
			id = NULL;
		invalid(&e, why);
		text = answer_text(id, NULL, &e);
		*lost = text == NULL;
		return text;
	}
	result = call(dp_rpc_str(req, "method"), json_object_get(req, "params"), &e);
	if (id == NULL) {
		dp_rpc_counters.errors += result == NULL;
		json_decref(result);
		return NULL;
	}
	text = answer_text(id, result, &e);
	if (text != NULL && strlen(text) > room) {
		free(text);
		dp_rpc_fail(&e, -EMSGSIZE, "the answer is too long: ask for less (offset, limit)");
		/* An id may be as long as a line; it is not repeated in vain. */
		text = answer_text(id, NULL, &e);
		if (text != NULL && strlen(text) > room) {
			free(text);
			text = answer_text(NULL, NULL, &e);
		}
	}
	if (text == NULL || starved)
		text = no_memory(id, text);
	*lost = text == NULL;
	return text;
}

char *
dp_rpc_refuse(int code, const char *text, size_t *out_len)
{
	struct dp_rpc_error e = {.code = code};
	char *answer, *line;

	snprintf(e.text, sizeof(e.text), "%s", text);
	answer = answer_text(NULL, NULL, &e);
	*out_len = 1;
	if (answer == NULL)
		return NULL;
	*out_len = strlen(answer) + 1;
	line = realloc(answer, *out_len + 1);
	if (line == NULL) {
		free(answer);
		return NULL;
	}
	memcpy(line + *out_len - 1, "\n", 2);
	return line;
}

/* Each answer keeps room for an error of all that follow. */
static char *
batch(const json_t *reqs, size_t *out_len)
{
	size_t i, n = json_array_size(reqs), len, room, at = 0;
	char *out, *one;
	bool lost = false;

	if (n == 0)
		return dp_rpc_refuse(DP_RPC_BAD_REQUEST, "Invalid Request: empty batch", out_len);
	if (n > DP_RPC_BATCH_MAX)
		return dp_rpc_refuse(
			DP_RPC_BAD_REQUEST, "Invalid Request: too many in one batch", out_len);
	out = malloc(DP_RPC_OUT_MAX);
	for (i = 0; out != NULL && i < n && !lost; i++) {
		room = DP_RPC_OUT_MAX - 4 - at - (n - 1 - i) * ERROR_ROOM;
		one = request(json_array_get(reqs, i), room - 1, &lost);
		if (one == NULL)
			continue;
		len = strlen(one);
		if (len < room) {
			out[at] = at == 0 ? '[' : ',';
			memcpy(out + at + 1, one, len);
			at += len + 1;
		}
		free(one);
	}
	if (out == NULL || at == 0 || lost) {
		*out_len = out == NULL || lost;
		free(out);
		return NULL;
	}
	memcpy(out + at, "]\n", 3);
	*out_len = at + 2;
	one = realloc(out, at + 3);
	return one != NULL ? one : out;
}

char *
dp_rpc_answer(const char *line, size_t len, size_t *out_len)
{
	char why[160];
	json_error_t err;
	json_t *req = json_loadb(line, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &err);
	char *text, *grown;
	bool lost = false;

	*out_len = 0;
	if (req == NULL) {
		dp_rpc_counters.requests++;
		snprintf(why, sizeof(why), "Parse error: column %d: %.100s", err.column, err.text);
		return dp_rpc_refuse(DP_RPC_PARSE_ERROR, why, out_len);
	}
	if (json_is_array(req)) {
		text = batch(req, out_len);
		json_decref(req);
		return text;
	}
	text = request(req, DP_RPC_OUT_MAX - 1, &lost);
	json_decref(req);
	if (text == NULL) {
		*out_len = lost;
		return NULL;
	}
	*out_len = strlen(text) + 1;
	grown = realloc(text, *out_len + 1);
	if (grown == NULL) {
		free(text);
		return NULL;
	}
	memcpy(grown + *out_len - 1, "\n", 2);
	return grown;
}
