/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * capture.start, capture.stop, capture.list: which ports are being captured for whom, and limits of
 * frames and time. The data plane writes the files.
 *
 * Threads: the loop's. A capture whose port has gone has ended with it; it is forgotten at the next
 * look. The limit of frames is looked at every POLL_MS, so a file may have more.
 */

#include "dp_rpc_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "dp_loop.h"
#include "dp_plane.h"
#include "dp_state.h"

#define POLL_MS	    10u
#define NS_PER_MS   1000000ull
#define SECONDS_MAX 86400

struct capture {
	char device[DP_NAME_SIZE];
	struct dp_port *port;
	uint64_t base;	 /* frames of the port before it began */
	uint64_t count;	 /* frames to capture, 0: no limit */
	uint64_t end_ns; /* 0: no limit */
	uint64_t begin_ns;
	struct dp_loop_timer timer;
	LIST_ENTRY(capture) next;
	char file[];
};

static LIST_HEAD(, capture) captures = LIST_HEAD_INITIALIZER(captures);

static uint64_t
frames(const struct dp_port *port)
{
	struct dp_port_stats st;

	dp_port_stats(port, &st);
	return st.rx_packets + st.tx_packets;
}

static void
forget(struct capture *c)
{
	dp_loop_timer_cancel(&c->timer);
	LIST_REMOVE(c, next);
	free(c);
}

static bool
gone(const struct capture *c)
{
	return dp_state_port(c->device) != c->port;
}

void
dp_rpc_capture_sweep(bool all)
{
	struct capture *c = LIST_FIRST(&captures), *after;
	char err[DP_ERR_SIZE];

	for (; c != NULL; c = after) {
		after = LIST_NEXT(c, next);
		if (gone(c)) {
			forget(c);
		} else if (all) {
			dp_port_capture(c->port, NULL, err, sizeof(err));
			forget(c);
		}
	}
}

static void
timer_set(struct capture *c)
{
	uint64_t now = dp_loop_now_ns(), due = UINT64_MAX;

	if (c->count != 0)
		due = now + POLL_MS * NS_PER_MS;
	if (c->end_ns != 0 && c->end_ns < due)
		due = c->end_ns;
	if (due != UINT64_MAX)
		dp_loop_timer_arm(&c->timer, due > now ? due - now : 0);
}

static void
on_timer(struct dp_loop_timer *t, void *arg)
{
	struct capture *c = arg;
	char err[DP_ERR_SIZE];

	(void)t;
	if (gone(c)) {
		forget(c);
		return;
	}
	if ((c->count != 0 && frames(c->port) - c->base >= c->count) ||
		(c->end_ns != 0 && dp_loop_now_ns() >= c->end_ns)) {
		dp_port_capture(c->port, NULL, err, sizeof(err));
		forget(c);
		return;
	}
	timer_set(c);
}

static struct capture *
find(const char *device)
{
	struct capture *c;

	dp_rpc_capture_sweep(false);
	LIST_FOREACH(c, &captures, next)
	if (strcmp(c->device, device) == 0)
		return c;
	return NULL;
}

static bool
take_limit(
	const json_t *params, const char *key, uint64_t max, uint64_t *out, struct dp_rpc_error *e)
{
	const json_t *v = json_object_get(params, key);

	*out = 0;
	if (v == NULL)
		return true;
	if (json_integer_value(v) < 1 || (uint64_t)json_integer_value(v) > max) {
		dp_rpc_bad(e, key, "is not a number from 1 to %llu", (unsigned long long)max);
		return false;
	}
	*out = (uint64_t)json_integer_value(v);
	return true;
}

static json_t *
capture_start(const json_t *params, struct dp_rpc_error *e)
{
	const char *device = dp_rpc_str(params, "device"), *file = dp_rpc_str(params, "file");
	char err[DP_ERR_SIZE] = "";
	uint64_t count, seconds;
	struct dp_port *port;
	struct capture *c;
	int ret;

	if (!take_limit(params, "count", INT64_MAX, &count, e) ||
		!take_limit(params, "seconds", SECONDS_MAX, &seconds, e) ||
		!dp_rpc_file_check("file", file, e))
		return NULL;
	port = dp_state_port(device);
	if (port == NULL)
		return dp_rpc_fail(e, -ENOENT, "there is no such device or uplink");
	if (find(device) != NULL)
		return dp_rpc_fail(e, -EBUSY, "it is being captured already");
	c = calloc(1, sizeof(*c) + strlen(file) + 1);
	if (c == NULL)
		return dp_rpc_fail(e, -ENOMEM, NULL);
	snprintf(c->device, sizeof(c->device), "%s", device);
	strcpy(c->file, file);
	c->port = port;
	c->count = count;
	c->timer.fn = on_timer;
	c->timer.arg = c;
	ret = dp_port_capture(port, file, err, sizeof(err));
	if (ret != 0) {
		free(c);
		return dp_rpc_fail(e, ret, err);
	}
	/* From here: making it took time, and frames passed. */
	c->base = frames(port);
	c->begin_ns = dp_loop_now_ns();
	c->end_ns = seconds != 0 ? c->begin_ns + seconds * 1000 * NS_PER_MS : 0;
	LIST_INSERT_HEAD(&captures, c, next);
	timer_set(c);
	return json_object();
}

static json_t *
capture_object(const struct capture *c)
{
	json_t *o = json_object();

	dp_rpc_put(o, "device", dp_rpc_text(c->device));
	dp_rpc_put(o, "file", dp_rpc_text(c->file));
	dp_rpc_put(o, "frames", dp_rpc_uint(frames(c->port) - c->base));
	dp_rpc_put(o, "milliseconds", dp_rpc_uint((dp_loop_now_ns() - c->begin_ns) / NS_PER_MS));
	return o;
}

static json_t *
capture_stop(const json_t *params, struct dp_rpc_error *e)
{
	struct capture *c = find(dp_rpc_str(params, "device"));
	char err[DP_ERR_SIZE] = "";
	json_t *result;
	int ret;

	if (c == NULL)
		return dp_rpc_fail(e, -ENOENT, "it is not being captured");
	ret = dp_port_capture(c->port, NULL, err, sizeof(err));
	result = capture_object(c);
	forget(c);
	if (ret == 0)
		return result;
	json_decref(result);
	return dp_rpc_fail(e, ret, err);
}

static json_t *
capture_list(const json_t *params, struct dp_rpc_error *e)
{
	const char *device = dp_rpc_str(params, "device");
	const struct capture *c;
	uint64_t offset, total = 0;
	uint32_t limit;
	json_t *list;

	if (!dp_rpc_page(params, DP_RPC_STATS_MAX, &offset, &limit, e))
		return NULL;
	dp_rpc_capture_sweep(false);
	list = json_array();
	LIST_FOREACH(c, &captures, next)
	{
		if (device != NULL && strcmp(device, c->device) != 0)
			continue;
		if (total++ >= offset && json_array_size(list) < limit)
			dp_rpc_append(list, capture_object(c));
	}
	return dp_rpc_page_result("captures", list, total, offset);
}

static const struct dp_rpc_param start_params[] = {
	{"device", DP_RPC_STRING, true},
	{"file", DP_RPC_STRING, true},
	{"count", DP_RPC_INTEGER, false},
	{"seconds", DP_RPC_INTEGER, false},
	{NULL, DP_RPC_STRING, false},
};

static const struct dp_rpc_param stop_params[] = {
	{"device", DP_RPC_STRING, true},
	{NULL, DP_RPC_STRING, false},
};

static const struct dp_rpc_param list_params[] = {
	{"device", DP_RPC_STRING, false},
	{"offset", DP_RPC_INTEGER, false},
	{"limit", DP_RPC_INTEGER, false},
	{NULL, DP_RPC_STRING, false},
};

const struct dp_rpc_method dp_rpc_methods_capture[] = {
	{"capture.start", capture_start, start_params, NULL, false},
	{"capture.stop", capture_stop, stop_params, NULL, false},
	{"capture.list", capture_list, list_params, NULL, false},
	{NULL, NULL, NULL, NULL, false},
};
