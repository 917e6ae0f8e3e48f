/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * trace.start, trace.read, trace.stop: what becomes of one in so many frames of a port.
 *
 * Threads: the loop's. A trace that nobody reads for KEEP_NS has ended: its client may be dead. One
 * whose port has gone has ended with it.
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

#define KEEP_NS	     10000000000ull
#define EVERY_MAX    1000000000
#define RECORDS_READ 128u

struct trace {
	char device[DP_NAME_SIZE];
	struct dp_port *port;
	struct dp_loop_timer timer;
	LIST_ENTRY(trace) next;
};

static LIST_HEAD(, trace) traces = LIST_HEAD_INITIALIZER(traces);

static void
forget(struct trace *t)
{
	dp_loop_timer_cancel(&t->timer);
	LIST_REMOVE(t, next);
	free(t);
}

/* Forget it, and end it if it still runs. */
static void
end(struct trace *t)
{
	char err[DP_ERR_SIZE];

	if (dp_state_port(t->device) == t->port)
		dp_port_trace(t->port, 0, err, sizeof(err));
	forget(t);
}

void
dp_rpc_trace_end(void)
{
	while (!LIST_EMPTY(&traces))
		end(LIST_FIRST(&traces));
}

static void
on_timer(struct dp_loop_timer *timer, void *arg)
{
	(void)timer;
	end(arg);
}

static struct trace *
find(const char *device)
{
	struct trace *t = LIST_FIRST(&traces), *after;

	for (; t != NULL; t = after) {
		after = LIST_NEXT(t, next);
		if (dp_state_port(t->device) != t->port)
			forget(t);
		else if (strcmp(t->device, device) == 0)
			return t;
	}
	return NULL;
}

static json_t *
trace_start(const json_t *params, struct dp_rpc_error *e)
{
	const char *device = dp_rpc_str(params, "device");
	const json_t *v = json_object_get(params, "every");
	json_int_t every = v != NULL ? json_integer_value(v) : 1;
	char err[DP_ERR_SIZE] = "";
	struct dp_port *port;
	struct trace *t;
	int ret;

	if (every < 1 || every > EVERY_MAX) {
		dp_rpc_bad(e, "every", "is not a number from 1 to %d", EVERY_MAX);
		return NULL;
	}
	port = dp_state_port(device);
	if (port == NULL)
		return dp_rpc_fail(e, -ENOENT, "there is no such device or uplink");
	if (find(device) != NULL)
		return dp_rpc_fail(e, -EBUSY, "it is being traced already");
	t = calloc(1, sizeof(*t));
	if (t == NULL)
		return dp_rpc_fail(e, -ENOMEM, NULL);
	ret = dp_port_trace(port, (uint32_t)every, err, sizeof(err));
	if (ret != 0) {
		free(t);
		return dp_rpc_fail(e, ret, err);
	}
	snprintf(t->device, sizeof(t->device), "%s", device);
	t->port = port;
	t->timer.fn = on_timer;
	t->timer.arg = t;
	LIST_INSERT_HEAD(&traces, t, next);
	dp_loop_timer_arm(&t->timer, KEEP_NS);
	return json_object();
}

static json_t *
record_object(const struct dp_trace_record *r)
{
	static const char *const verdicts[] = {[DP_TRACE_FORWARD] = "forward",
		[DP_TRACE_PATCH] = "patch",
		[DP_TRACE_FLOOD_GROUP] = "flood-group",
		[DP_TRACE_FLOOD_UNKNOWN] = "flood-unknown",
		[DP_TRACE_SAME_PORT] = "drop-same-port",
		[DP_TRACE_NO_SWITCH] = "drop-no-switch",
		[DP_TRACE_DOWN] = "drop-down",
		[DP_TRACE_MTU] = "drop-mtu"};
	static const char digits[] = "0123456789abcdef";
	char hex[2 * sizeof(r->head) + 1];
	json_t *o = json_object();
	uint32_t i;

	for (i = 0; i < r->head_len; i++) {
		hex[2 * i] = digits[r->head[i] >> 4];
		hex[2 * i + 1] = digits[r->head[i] & 15];
	}
	hex[2 * i] = '\0';
	dp_rpc_put(o, "microseconds", dp_rpc_uint(r->us));
	dp_rpc_put(o, "length", dp_rpc_uint(r->len));
	dp_rpc_put(o, "verdict", dp_rpc_text(verdicts[r->verdict]));
	if (r->to_name[0] != '\0')
		dp_rpc_put(o, "to", dp_rpc_text(r->to_name));
	dp_rpc_put(o, "head", dp_rpc_text(hex));
	return o;
}

static json_t *
trace_read(const json_t *params, struct dp_rpc_error *e)
{
	struct trace *t = find(dp_rpc_str(params, "device"));
	struct dp_trace_record *r;
	json_t *o, *list;
	uint64_t lost;
	uint32_t n;

	if (t == NULL)
		return dp_rpc_fail(e, -ENOENT, "it is not being traced");
	r = calloc(RECORDS_READ, sizeof(*r));
	if (r == NULL)
		return dp_rpc_fail(e, -ENOMEM, NULL);
	n = dp_port_trace_read(t->port, r, RECORDS_READ, &lost);
	list = json_array();
	for (uint32_t i = 0; i < n; i++)
		dp_rpc_append(list, record_object(&r[i]));
	free(r);
	dp_loop_timer_arm(&t->timer, KEEP_NS);
	o = json_object();
	dp_rpc_put(o, "frames", list);
	dp_rpc_put(o, "lost", dp_rpc_uint(lost));
	return o;
}

static json_t *
trace_stop(const json_t *params, struct dp_rpc_error *e)
{
	struct trace *t = find(dp_rpc_str(params, "device"));

	if (t == NULL)
		return dp_rpc_fail(e, -ENOENT, "it is not being traced");
	end(t);
	return json_object();
}

static const struct dp_rpc_param start_params[] = {
	{"device", DP_RPC_STRING, true},
	{"every", DP_RPC_INTEGER, false},
	{NULL, DP_RPC_STRING, false},
};

static const struct dp_rpc_param device_params[] = {
	{"device", DP_RPC_STRING, true},
	{NULL, DP_RPC_STRING, false},
};

const struct dp_rpc_method dp_rpc_methods_trace[] = {
	{"trace.start", trace_start, start_params, NULL, false},
	{"trace.read", trace_read, device_params, NULL, false},
	{"trace.stop", trace_stop, device_params, NULL, false},
	{NULL, NULL, NULL, NULL, false},
};
