/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * JSON-RPC: what is a request, what is refused and how, what methods do with their parameters.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../core/cu_run.h"
#include "dp_loop.h"
#include "dp_rpc_internal.h"
#include "straw.h"

/* The answer to a line, checked as far as every answer goes; NULL: there was none. */
static json_t *
ask_raw(const char *line, size_t len)
{
	size_t out_len = 0;
	char *out = dp_rpc_answer(line, len, &out_len);
	json_t *answer;

	if (out == NULL)
		return NULL;
	CU_ASSERT_FATAL(out_len > 1 && out_len <= DP_RPC_OUT_MAX);
	CU_ASSERT_EQUAL(out[out_len - 1], '\n');
	CU_ASSERT_PTR_NULL(memchr(out, '\n', out_len - 1));
	answer = json_loadb(out, out_len, 0, NULL);
	CU_ASSERT_PTR_NOT_NULL_FATAL(answer);
	free(out);
	return answer;
}

static json_t *
ask(const char *line)
{
	return ask_raw(line, strlen(line));
}

/* Call with params as text; the answer. */
static json_t *
call(const char *method, const char *params)
{
	char line[70000];
	json_t *answer;

	snprintf(line, sizeof(line),
		"{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"%s\",\"params\":%s}", method, params);
	answer = ask(line);
	CU_ASSERT_PTR_NOT_NULL_FATAL(answer);
	CU_ASSERT_EQUAL(json_integer_value(json_object_get(answer, "id")), 7);
	CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(answer, "jsonrpc")), "2.0");
	return answer;
}

static long
code_of(const json_t *answer)
{
	return (long)json_integer_value(json_object_get(json_object_get(answer, "error"), "code"));
}

static void
expect_code(json_t *answer, long code)
{
	CU_ASSERT_PTR_NOT_NULL_FATAL(answer);
	CU_ASSERT_EQUAL(code_of(answer), code);
	CU_ASSERT_PTR_NOT_NULL(
		json_string_value(json_object_get(json_object_get(answer, "error"), "message")));
	CU_ASSERT_PTR_NULL(json_object_get(answer, "result"));
	json_decref(answer);
}

/* The method refuses: bad parameter @p key. */
static void
bad_param(const char *method, const char *params, const char *key)
{
	json_t *answer = call(method, params), *e = json_object_get(answer, "error");
	const char *told = json_string_value(json_object_get(json_object_get(e, "data"), "key"));
	const char *message = json_string_value(json_object_get(e, "message"));

	CU_ASSERT_EQUAL(code_of(answer), DP_RPC_BAD_PARAMS);
	CU_ASSERT_PTR_NOT_NULL_FATAL(told);
	CU_ASSERT_STRING_EQUAL(told, key);
	CU_ASSERT_PTR_NOT_NULL(strstr(message, key));
	json_decref(answer);
}

/* The method works; its result. */
static json_t *
good(const char *method, const char *params)
{
	json_t *answer = call(method, params), *result = json_object_get(answer, "result");

	if (result == NULL)
		printf("\n    %s %s: %s\n", method, params,
			json_string_value(
				json_object_get(json_object_get(answer, "error"), "message")));
	CU_ASSERT_PTR_NOT_NULL_FATAL(result);
	json_incref(result);
	json_decref(answer);
	return result;
}

static void
done(const char *method, const char *params)
{
	json_decref(good(method, params));
}

/* ---- requests ---------------------------------------------------------------------------------- */

static void
test_requests(void)
{
	static const struct {
		const char *line;
		long code;
	} t[] = {
		{"{", DP_RPC_PARSE_ERROR},
		{"nonsense", DP_RPC_PARSE_ERROR},
		{"{\"a\":1,\"a\":2}", DP_RPC_PARSE_ERROR},
		{"{\"jsonrpc\":\"2.0\",\"method\":\"version\",\"id\":1} x", DP_RPC_PARSE_ERROR},
		{"[1", DP_RPC_PARSE_ERROR},
		{"\"\xff\"", DP_RPC_PARSE_ERROR},
		{"\"\\u0000\"", DP_RPC_PARSE_ERROR},
		{"1e999", DP_RPC_PARSE_ERROR},
		{"99999999999999999999", DP_RPC_PARSE_ERROR},
		{"1", DP_RPC_BAD_REQUEST},
		{"null", DP_RPC_BAD_REQUEST},
		{"\"version\"", DP_RPC_BAD_REQUEST},
		{"[]", DP_RPC_BAD_REQUEST},
		{"{}", DP_RPC_BAD_REQUEST},
		{"{\"jsonrpc\":\"1.0\",\"method\":\"version\",\"id\":1}", DP_RPC_BAD_REQUEST},
		{"{\"method\":\"version\",\"id\":1}", DP_RPC_BAD_REQUEST},
		{"{\"jsonrpc\":2.0,\"method\":\"version\",\"id\":1}", DP_RPC_BAD_REQUEST},
		{"{\"jsonrpc\":\"2.0\",\"method\":1,\"id\":1}", DP_RPC_BAD_REQUEST},
		{"{\"jsonrpc\":\"2.0\",\"id\":1}", DP_RPC_BAD_REQUEST},
		{"{\"jsonrpc\":\"2.0\",\"method\":\"version\",\"id\":{}}", DP_RPC_BAD_REQUEST},
		{"{\"jsonrpc\":\"2.0\",\"method\":\"version\",\"id\":1,\"params\":3}",
			DP_RPC_BAD_REQUEST},
		{"{\"jsonrpc\":\"2.0\",\"method\":\"version\",\"id\":1,\"params\":[3]}",
			DP_RPC_BAD_PARAMS},
		{"{\"jsonrpc\":\"2.0\",\"method\":\"nothing\",\"id\":1}", DP_RPC_UNKNOWN_METHOD},
		{"{\"jsonrpc\":\"2.0\",\"method\":\"\",\"id\":1}", DP_RPC_UNKNOWN_METHOD},
	};
	size_t i;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		expect_code(ask(t[i].line), t[i].code);
	CU_ASSERT_EQUAL(straw_nb_changes, 0);
}

static void
test_ids(void)
{
	static const char *const ids[] = {"1", "-5", "\"a b\"", "null", "1.5"};
	char line[128];
	json_t *answer, *id;
	size_t i;

	for (i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		snprintf(line, sizeof(line),
			"{\"jsonrpc\":\"2.0\",\"method\":\"version\",\"id\":%s}", ids[i]);
		answer = ask(line);
		CU_ASSERT_PTR_NOT_NULL_FATAL(answer);
		id = json_loads(ids[i], JSON_DECODE_ANY, NULL);
		CU_ASSERT_TRUE(json_equal(id, json_object_get(answer, "id")));
		CU_ASSERT_PTR_NOT_NULL(json_object_get(answer, "result"));
		json_decref(id);
		json_decref(answer);
	}
	/* A notification is done and not answered, whatever comes of it. */
	CU_ASSERT_PTR_NULL(ask(
		"{\"jsonrpc\":\"2.0\",\"method\":\"switch.create\",\"params\":{\"name\":\"n\"}}"));
	CU_ASSERT_PTR_NOT_NULL(dp_conf_switch(&straw_conf, "n"));
	CU_ASSERT_PTR_NULL(ask("{\"jsonrpc\":\"2.0\",\"method\":\"nothing\"}"));
	done("switch.delete", "{\"name\":\"n\"}");
}

static void
test_batch(void)
{
	json_t *answer = ask("[{\"jsonrpc\":\"2.0\",\"method\":\"version\",\"id\":1},"
			     "{\"jsonrpc\":\"2.0\",\"method\":\"version\"},"
			     "5,"
			     "{\"jsonrpc\":\"2.0\",\"method\":\"nothing\",\"id\":2}]");
	char many[1200];
	size_t i;

	CU_ASSERT_EQUAL_FATAL(json_array_size(answer), 3);
	CU_ASSERT_PTR_NOT_NULL(json_object_get(json_array_get(answer, 0), "result"));
	CU_ASSERT_EQUAL(code_of(json_array_get(answer, 1)), DP_RPC_BAD_REQUEST);
	CU_ASSERT_EQUAL(code_of(json_array_get(answer, 2)), DP_RPC_UNKNOWN_METHOD);
	json_decref(answer);
	CU_ASSERT_PTR_NULL(ask("[{\"jsonrpc\":\"2.0\",\"method\":\"version\"}]"));
	many[0] = '[';
	for (i = 0; i <= DP_RPC_BATCH_MAX; i++)
		memcpy(many + 1 + 2 * i, "1,", 2);
	many[2 * i] = ']';
	expect_code(ask_raw(many, 2 * i + 1), DP_RPC_BAD_REQUEST);
	many[2 * i - 2] = ']';
	answer = ask_raw(many, 2 * i - 1);
	CU_ASSERT_EQUAL(json_array_size(answer), DP_RPC_BATCH_MAX);
	json_decref(answer);
}

/* Each answer alone fits, together they do not: the later ones say so. */
static void
test_batch_too_long(void)
{
	static const char one[] = "{\"jsonrpc\":\"2.0\",\"method\":\"device.stats\",\"id\":1}";
	size_t i, at = 0, fit = 0, len;
	char line[20000], *out;
	json_t *answer;

	straw_many(200);
	for (i = 0; i < DP_RPC_BATCH_MAX; i++)
		at += (size_t)snprintf(
			line + at, sizeof(line) - at, "%c%s", i == 0 ? '[' : ',', one);
	line[at++] = ']';
	out = dp_rpc_answer(line, at, &len);
	CU_ASSERT_PTR_NOT_NULL_FATAL(out);
	CU_ASSERT(len <= DP_RPC_OUT_MAX);
	answer = json_loadb(out, len, 0, NULL);
	free(out);
	CU_ASSERT_EQUAL_FATAL(json_array_size(answer), DP_RPC_BATCH_MAX);
	for (i = 0; i < DP_RPC_BATCH_MAX; i++) {
		if (code_of(json_array_get(answer, i)) == 0)
			fit++;
		else
			CU_ASSERT_EQUAL(
				code_of(json_array_get(answer, i)), DP_RPC_ERRNO - EMSGSIZE);
	}
	CU_ASSERT(fit > 0 && fit < DP_RPC_BATCH_MAX);
	json_decref(answer);
	dp_conf_free(&straw_conf);
}

/* ---- parameters -------------------------------------------------------------------------------- */

static void
test_params(void)
{
	unsigned int before = straw_nb_changes;

	bad_param("bus.create", "{}", "name");
	bad_param("bus.create", "{\"name\":5}", "name");
	bad_param("bus.create", "{\"name\":null}", "name");
	bad_param("bus.create", "{\"name\":\"a b\",\"connector\":\"null\"}", "name");
	bad_param("bus.create", "{\"name\":\"\",\"connector\":\"null\"}", "name");
	bad_param("bus.create", "{\"name\":\"a\",\"colour\":\"red\"}", "colour");
	bad_param("bus.create", "{\"name\":\"a\",\"connector\":\"magic\"}", "connector");
	bad_param("bus.create", "{\"name\":\"a\",\"connector\":true}", "connector");
	bad_param("bus.create", "{\"name\":\"a\"}", "socket");
	bad_param("bus.create", "{\"name\":\"a\",\"socket\":\"/nowhere/x\"}", "socket");
	bad_param("bus.create", "{\"name\":\"a\",\"connector\":\"null\",\"devices\":\"x\"}",
		"devices");
	bad_param(
		"bus.create", "{\"name\":\"a\",\"connector\":\"null\",\"devices\":[1]}", "devices");
	bad_param("bus.create", "{\"name\":\"a\",\"connector\":\"null\",\"size\":\"1\"}", "size");
	bad_param("device.create", "{\"name\":\"d\"}", "class");
	bad_param("device.create", "{\"name\":\"d\",\"class\":\"disk\"}", "class");
	bad_param("device.create", "{\"name\":\"d\",\"class\":\"floppy\"}", "class");
	bad_param("device.create", "{\"name\":\"d\",\"class\":\"venet\",\"mtu\":\"1500\"}", "mtu");
	bad_param("device.create", "{\"name\":\"d\",\"class\":\"venet\",\"mtu\":1500.0}", "mtu");
	bad_param("device.create", "{\"name\":\"d\",\"class\":\"venet\",\"mtu\":-1}", "mtu");
	bad_param(
		"device.create", "{\"name\":\"d\",\"class\":\"venet\",\"mtu\":4294968796}", "mtu");
	bad_param("device.create", "{\"name\":\"d\",\"class\":\"venet\",\"mac\":\"1\"}", "mac");
	bad_param("device.create",
		"{\"name\":\"d\",\"class\":\"venet\",\"mac\":\"03:00:00:00:00:00\"}", "mac");
	bad_param("device.create", "{\"name\":\"d\",\"class\":\"venet\",\"patch\":\"d\"}", "patch");
	bad_param(
		"device.create", "{\"name\":\"d\",\"class\":\"venet\",\"readonly\":1}", "readonly");
	bad_param("device.attach", "{\"name\":\"d\"}", "bus");
	bad_param("switch.create", "{\"name\":\"s\",\"ageing\":0}", "ageing");
	bad_param("switch.create", "{\"name\":\"s\",\"size\":1}", "size");
	bad_param("switch.create", "{\"name\":\"s\",\"ports\":[\"a\",\"a\"]}", "ports");
	bad_param("switch.list", "{\"offset\":-1}", "offset");
	bad_param("switch.list", "{\"limit\":0}", "limit");
	bad_param("switch.list", "{\"limit\":513}", "limit");
	bad_param("log.set", "{\"pattern\":\"x\",\"level\":\"loud\"}", "level");
	bad_param("log.set", "{\"pattern\":\"\",\"level\":\"info\"}", "pattern");
	bad_param("metrics", "{\"offset\":-1}", "offset");
	bad_param("metrics", "{\"offset\":9000000000000000000}", "offset");
	bad_param("version", "{\"name\":\"x\"}", "name");
	bad_param("capture.start", "{\"device\":\"x\",\"file\":\"/tmp/x\",\"count\":0}", "count");
	bad_param("capture.start", "{\"device\":\"x\",\"file\":\"x\"}", "file");
	CU_ASSERT_EQUAL(straw_nb_changes, before);
}

/* Text of a client that comes back in an error: control characters, cut UTF-8, quotes. */
static void
test_hostile_text(void)
{
	char params[2000], *at = params;
	json_t *answer;
	size_t i;

	at += sprintf(at, "{\"name\":\"d\",\"class\":\"");
	for (i = 0; i < 100; i++)
		at += sprintf(at, "\xc3\xa4\\u0001\\\"");
	strcpy(at, "\"}");
	bad_param("device.create", params, "class");
	at = params + sprintf(params, "{\"name\":\"d\",\"");
	for (i = 0; i < 200; i++)
		at += sprintf(at, "\xe2\x82\xac");
	strcpy(at, "\":1}");
	answer = call("device.create", params);
	CU_ASSERT_EQUAL(code_of(answer), DP_RPC_BAD_PARAMS);
	json_decref(answer);
}

static void
test_operations(void)
{
	const struct dp_device_conf *d;
	const struct dp_switch_conf *s;
	json_t *r, *one;

	done("switch.create",
		"{\"name\":\"br0\",\"ports\":[\"net_tap0\"],\"ageing\":60,\"size\":1024}");
	s = dp_conf_switch(&straw_conf, "br0");
	CU_ASSERT_PTR_NOT_NULL_FATAL(s);
	CU_ASSERT_EQUAL(s->ageing_s, 60);
	CU_ASSERT_EQUAL(s->size, 1024);
	CU_ASSERT_TRUE(dp_names_has(&s->ports, "net_tap0"));
	done("bus.create", "{\"name\":\"vm1\",\"connector\":\"null\"}");
	done("device.create",
		"{\"name\":\"web0\",\"class\":\"venet\",\"mac\":\"02:00:00:00:00:01\","
		"\"mtu\":9000,\"queues\":1,\"switch\":\"br0\"}");
	d = dp_conf_device(&straw_conf, "web0");
	CU_ASSERT_PTR_NOT_NULL_FATAL(d);
	CU_ASSERT_EQUAL(d->mtu, 9000);
	CU_ASSERT_TRUE(d->has_mac);
	CU_ASSERT_STRING_EQUAL(d->sw, "br0");
	done("device.attach", "{\"name\":\"web0\",\"bus\":\"vm1\"}");
	CU_ASSERT_STRING_EQUAL(d->bus, "vm1");
	r = good("device.list", "{\"bus\":\"vm1\"}");
	CU_ASSERT_EQUAL(json_array_size(json_object_get(r, "devices")), 1);
	json_decref(r);
	r = good("device.list", "{\"bus\":\"vm2\"}");
	CU_ASSERT_EQUAL(json_array_size(json_object_get(r, "devices")), 0);
	json_decref(r);
	/* Uplinks have counters too. */
	straw_frames = 12;
	r = good("device.stats", "{}");
	CU_ASSERT_EQUAL_FATAL(json_array_size(json_object_get(r, "devices")), 2);
	one = json_array_get(json_object_get(r, "devices"), 1);
	CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(one, "class")), "uplink");
	one = json_object_get(one, "port");
	CU_ASSERT_EQUAL(json_integer_value(json_object_get(one, "rx_packets")), 12);
	CU_ASSERT_EQUAL(json_integer_value(json_object_get(one, "tx_bytes")), INT64_MAX);
	json_decref(r);
	done("device.detach", "{\"name\":\"web0\"}");
	done("device.break", "{\"name\":\"web0\"}");
	CU_ASSERT_STRING_EQUAL(d->bus, "");
	/* Changes of what runs: the rest stays. */
	done("device.set", "{\"name\":\"web0\",\"mtu\":1400,\"switch\":null}");
	d = dp_conf_device(&straw_conf, "web0");
	CU_ASSERT_EQUAL(d->mtu, 1400);
	CU_ASSERT_STRING_EQUAL(d->sw, "");
	CU_ASSERT_TRUE(d->has_mac);
	done("switch.set", "{\"name\":\"br0\",\"ports\":[\"net_tap1\"],\"ageing\":null}");
	s = dp_conf_switch(&straw_conf, "br0");
	CU_ASSERT_EQUAL(s->ageing_s, 300);
	CU_ASSERT_EQUAL(s->size, 1024);
	CU_ASSERT_TRUE(dp_names_has(&s->ports, "net_tap1"));
	CU_ASSERT_FALSE(dp_names_has(&s->ports, "net_tap0"));
	done("config.set", "{\"mode\":\"adaptive\",\"idle\":7,\"control\":\"/tmp/c.sock\"}");
	r = good("config.get", "{}");
	CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(r, "mode")), "adaptive");
	CU_ASSERT_EQUAL(json_integer_value(json_object_get(r, "idle")), 7);
	CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(r, "control")), "/tmp/c.sock");
	json_decref(r);
	done("config.set", "{\"mode\":null,\"idle\":null,\"control\":null}");
	CU_ASSERT_EQUAL(straw_conf.mode, DP_MODE_BUSY);
	CU_ASSERT_EQUAL(straw_conf.idle_us, 1000);
	CU_ASSERT_STRING_EQUAL(straw_conf.control, "");
	bad_param("config.set", "{\"mode\":\"lazy\"}", "mode");
	bad_param("config.set", "{\"idle\":\"7\"}", "idle");
	bad_param("config.set", "{\"name\":\"x\"}", "name");
	bad_param("config.get", "{\"mode\":\"busy\"}", "mode");
	CU_ASSERT_EQUAL(straw_conf.idle_us, 1000);
	expect_code(call("device.set", "{\"name\":\"web0\",\"switch\":\"none\"}"),
		DP_RPC_ERRNO - ENOENT);
	expect_code(call("device.set", "{\"name\":\"nobody\"}"), DP_RPC_ERRNO - ENOENT);
	expect_code(call("bus.set", "{\"name\":\"vm1\",\"connector\":\"vfio-user\"}"),
		DP_RPC_ERRNO - EINVAL);
	done("device.delete", "{\"name\":\"web0\"}");
	done("bus.delete", "{\"name\":\"vm1\"}");
	done("switch.delete", "{\"name\":\"br0\"}");
}

static void
test_operation_errors(void)
{
	json_t *answer, *data;

	expect_code(call("bus.delete", "{\"name\":\"x\"}"), DP_RPC_ERRNO - ENOENT);
	expect_code(call("device.list", "{\"name\":\"x\"}"), DP_RPC_ERRNO - ENOENT);
	expect_code(call("switch.fdb", "{\"name\":\"x\"}"), DP_RPC_ERRNO - ENOENT);
	expect_code(call("capture.stop", "{\"device\":\"x\"}"), DP_RPC_ERRNO - ENOENT);
	straw_fail = -EBUSY;
	answer = call("switch.create", "{\"name\":\"x\"}");
	data = json_object_get(json_object_get(answer, "error"), "data");
	CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(data, "errno")), "EBUSY");
	expect_code(answer, DP_RPC_ERRNO - EBUSY);
	CU_ASSERT_PTR_NULL(dp_conf_switch(&straw_conf, "x"));
	done("switch.create", "{\"name\":\"x\"}");
	expect_code(call("switch.create", "{\"name\":\"x\"}"), DP_RPC_ERRNO - EEXIST);
	done("switch.delete", "{\"name\":\"x\"}");
}

/* ---- lists ------------------------------------------------------------------------------------- */

static void
test_pages(void)
{
	json_int_t next = 0, seen = 0, total = 0;
	char params[64];
	json_t *r, *page;

	straw_many(1300);
	do {
		snprintf(params, sizeof(params), "{\"offset\":%lld}", (long long)next);
		r = good("device.list", params);
		page = json_object_get(r, "devices");
		total = json_integer_value(json_object_get(r, "total"));
		CU_ASSERT(json_array_size(page) <= DP_RPC_LIST_MAX);
		snprintf(params, sizeof(params), "dev%lld", (long long)next);
		CU_ASSERT_STRING_EQUAL(
			json_string_value(json_object_get(json_array_get(page, 0), "name")),
			params);
		seen += (json_int_t)json_array_size(page);
		next = json_integer_value(json_object_get(r, "next"));
		json_decref(r);
	} while (next != 0);
	CU_ASSERT_EQUAL(seen, 1300);
	CU_ASSERT_EQUAL(total, 1300);
	r = good("device.list", "{\"offset\":9223372036854775807}");
	CU_ASSERT_EQUAL(json_array_size(json_object_get(r, "devices")), 0);
	CU_ASSERT_PTR_NULL(json_object_get(r, "next"));
	json_decref(r);
	straw_nb_addresses = 700;
	r = good("switch.fdb", "{\"name\":\"br0\",\"offset\":600}");
	CU_ASSERT_EQUAL(json_array_size(json_object_get(r, "addresses")), 100);
	json_decref(r);
	r = good("switch.fdb", "{\"name\":\"br0\",\"port\":\"dev1\",\"limit\":2}");
	CU_ASSERT_EQUAL(json_integer_value(json_object_get(r, "total")), 350);
	page = json_array_get(json_object_get(r, "addresses"), 1);
	CU_ASSERT_STRING_EQUAL(
		json_string_value(json_object_get(page, "mac")), "02:00:00:00:00:03");
	json_decref(r);
	straw_nb_addresses = 0;
	dp_conf_free(&straw_conf);
}

/* ---- files ------------------------------------------------------------------------------------- */

static char folder[] = "/tmp/vbus-rpc.XXXXXX";

static void
save_refused(const char *path)
{
	char params[300];

	snprintf(params, sizeof(params), "{\"file\":\"%s\"}", path);
	bad_param("config.save", params, "file");
}

static void
test_save(void)
{
	char path[128], params[300], text[64] = "", err[DP_ERR_SIZE];
	struct dp_conf c;
	struct stat st;
	int fd;

	straw_many(3);
	snprintf(path, sizeof(path), "%s/saved", folder);
	snprintf(params, sizeof(params), "{\"file\":\"%s\"}", path);
	done("config.save", params);
	dp_conf_init(&c);
	CU_ASSERT_EQUAL(dp_conf_load(&c, path, err, sizeof(err)), 0);
	CU_ASSERT_PTR_NOT_NULL(dp_conf_device(&c, "dev2"));
	dp_conf_free(&c);
	/* Over a file: its mode stays, and nothing else is left in the folder. */
	CU_ASSERT_EQUAL(chmod(path, 0600), 0);
	done("config.save", params);
	CU_ASSERT_EQUAL(stat(path, &st), 0);
	CU_ASSERT_EQUAL(st.st_mode & 07777, 0600);
	CU_ASSERT_EQUAL(unlink(path), 0);
	/* What cannot be loaded is not saved: the old file stays. */
	fd = open(path, O_CREAT | O_WRONLY, 0600);
	CU_ASSERT_EQUAL(write(fd, "old", 3), 3);
	close(fd);
	strcpy(dp_conf_device(&straw_conf, "dev1")->sw, "gone");
	expect_code(call("config.save", params), DP_RPC_ERRNO - ENOENT);
	fd = open(path, O_RDONLY);
	CU_ASSERT_EQUAL(read(fd, text, sizeof(text)), 3);
	close(fd);
	CU_ASSERT_STRING_EQUAL(text, "old");
	CU_ASSERT_EQUAL(unlink(path), 0);
	dp_conf_free(&straw_conf);
	CU_ASSERT_EQUAL(rmdir(folder), 0);
	CU_ASSERT_EQUAL(mkdir(folder, 0700), 0);
}

static void
test_save_refused(void)
{
	char path[128];

	save_refused("");
	save_refused("relative");
	save_refused("/");
	save_refused("//tmp/x");
	save_refused("/tmp/");
	save_refused("/tmp/../tmp/x");
	save_refused("/tmp/./x");
	save_refused("/tmp/x/..");
	save_refused("/tmp/a\\nb");
	save_refused("/nowhere/at/all");
	save_refused("/dev/null");
	save_refused("/proc");
	snprintf(path, sizeof(path), "%s/link", folder);
	CU_ASSERT_EQUAL(symlink("/tmp/elsewhere", path), 0);
	save_refused(path);
	CU_ASSERT_EQUAL(unlink(path), 0);
}

/* ---- captures ---------------------------------------------------------------------------------- */

static void
stop_loop(struct dp_loop_timer *t, void *arg)
{
	(void)t;
	(void)arg;
	dp_loop_stop();
}

static void
test_capture(void)
{
	struct dp_loop_timer end = {.fn = stop_loop};
	char params[300];
	json_t *r, *one;

	CU_ASSERT_EQUAL_FATAL(dp_loop_init(), 0);
	straw_many(3);
	straw_frames = 100;
	snprintf(params, sizeof(params), "{\"device\":\"dev0\",\"file\":\"%s/x\"}", folder);
	done("capture.start", params);
	CU_ASSERT_EQUAL(straw_nb_capturing, 1);
	expect_code(call("capture.start", params), DP_RPC_ERRNO - EBUSY);
	straw_frames = 130;
	r = good("capture.list", "{}");
	one = json_array_get(json_object_get(r, "captures"), 0);
	CU_ASSERT_EQUAL(json_integer_value(json_object_get(one, "frames")), 30);
	json_decref(r);
	done("capture.stop", "{\"device\":\"dev0\"}");
	CU_ASSERT_EQUAL(straw_nb_capturing, 0);
	/* By number, and by the end of its device. */
	snprintf(params, sizeof(params),
		"{\"device\":\"dev1\",\"file\":\"%s/x\",\"count\":5,\"seconds\":60}", folder);
	done("capture.start", params);
	straw_frames += 5;
	snprintf(params, sizeof(params), "{\"device\":\"dev2\",\"file\":\"%s/x\"}", folder);
	done("capture.start", params);
	dp_loop_timer_arm(&end, 100000000);
	CU_ASSERT_EQUAL(dp_loop_run(), 0);
	CU_ASSERT_EQUAL(straw_nb_capturing, 1);
	done("device.delete", "{\"name\":\"dev2\"}");
	r = good("capture.list", "{}");
	CU_ASSERT_EQUAL(json_integer_value(json_object_get(r, "total")), 0);
	json_decref(r);
	straw_fail = -ENOSPC;
	snprintf(params, sizeof(params), "{\"device\":\"dev0\",\"file\":\"%s/x\"}", folder);
	expect_code(call("capture.start", params), DP_RPC_ERRNO - ENOSPC);
	dp_rpc_capture_sweep(true);
	dp_loop_fini();
	dp_conf_free(&straw_conf);
}

static void
test_trace(void)
{
	json_t *r, *one;

	CU_ASSERT_EQUAL_FATAL(dp_loop_init(), 0);
	straw_many(2);
	bad_param("trace.start", "{\"device\":\"dev0\",\"every\":0}", "every");
	expect_code(call("trace.start", "{\"device\":\"none\"}"), DP_RPC_ERRNO - ENOENT);
	expect_code(call("trace.read", "{\"device\":\"dev0\"}"), DP_RPC_ERRNO - ENOENT);
	done("trace.start", "{\"device\":\"dev0\",\"every\":10}");
	expect_code(call("trace.start", "{\"device\":\"dev0\"}"), DP_RPC_ERRNO - EBUSY);
	r = good("trace.read", "{\"device\":\"dev0\"}");
	CU_ASSERT_EQUAL(json_integer_value(json_object_get(r, "lost")), 3);
	one = json_array_get(json_object_get(r, "frames"), 0);
	CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(one, "verdict")), "forward");
	CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(one, "to")), "eth1");
	CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(one, "head")), "ab01");
	json_decref(r);
	done("trace.stop", "{\"device\":\"dev0\"}");
	expect_code(call("trace.stop", "{\"device\":\"dev0\"}"), DP_RPC_ERRNO - ENOENT);
	/* Its device goes, and another comes to its place. */
	done("trace.start", "{\"device\":\"dev1\"}");
	done("device.delete", "{\"name\":\"dev1\"}");
	expect_code(call("trace.read", "{\"device\":\"dev1\"}"), DP_RPC_ERRNO - ENOENT);
	done("trace.start", "{\"device\":\"dev0\"}");
	dp_rpc_trace_end();
	expect_code(call("trace.read", "{\"device\":\"dev0\"}"), DP_RPC_ERRNO - ENOENT);
	dp_loop_fini();
	dp_conf_free(&straw_conf);
}

static void
test_logs(void)
{
	json_t *r, *one;
	size_t i;
	bool found = false;

	done("log.set", "{\"pattern\":\"vbus-dp.rpc\",\"level\":\"critical\"}");
	r = good("log.list", "{}");
	json_array_foreach(json_object_get(r, "types"), i, one)
	{
		if (strcmp(json_string_value(json_object_get(one, "type")), "vbus-dp.rpc") != 0)
			continue;
		found = true;
		CU_ASSERT_STRING_EQUAL(
			json_string_value(json_object_get(one, "level")), "critical");
	}
	CU_ASSERT_TRUE(found);
	json_decref(r);
}

static int
init(void)
{
	straw_init();
	return mkdtemp(folder) == NULL;
}

static int
cleanup(void)
{
	straw_fini();
	return rmdir(folder);
}

int
main(void)
{
	static const struct cu_test tests[] = {
		{"what is a request", test_requests},
		{"ids and notifications", test_ids},
		{"batches", test_batch},
		{"a batch with too much to say", test_batch_too_long},
		{"wrong parameters", test_params},
		{"hostile text in errors", test_hostile_text},
		{"operations", test_operations},
		{"errors of operations", test_operation_errors},
		{"pages of lists", test_pages},
		{"config.save", test_save},
		{"config.save: paths", test_save_refused},
		{"captures", test_capture},
		{"traces", test_trace},
		{"log levels", test_logs},
		{NULL, NULL},
	};

	return cu_run("dp_rpc dispatch", tests, init, cleanup);
}
