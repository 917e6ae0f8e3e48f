/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * What belongs to no object: config.get, config.set, config.save, log.set, log.list, lcore.list, metrics, version.
 *
 * Threads: the loop's.
 */

#include "dp_rpc_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_lcore.h>
#include <rte_log.h>
#include <rte_version.h>

#include "dp_metrics.h"
#include "dp_plane.h"

#ifndef VBUS_VERSION
#define VBUS_VERSION "unknown"
#endif

#define PATTERN_MAX 128

/* ---- logs -------------------------------------------------------------------------------------- */

static const char *const levels[] = {
	[RTE_LOG_EMERG] = "emergency",
	[RTE_LOG_ALERT] = "alert",
	[RTE_LOG_CRIT] = "critical",
	[RTE_LOG_ERR] = "error",
	[RTE_LOG_WARNING] = "warning",
	[RTE_LOG_NOTICE] = "notice",
	[RTE_LOG_INFO] = "info",
	[RTE_LOG_DEBUG] = "debug",
};

static json_t *
log_set(const json_t *params, struct dp_rpc_error *e)
{
	const char *pattern = dp_rpc_str(params, "pattern"), *level = dp_rpc_str(params, "level");
	uint32_t i;

	if (pattern[0] == '\0' || strlen(pattern) >= PATTERN_MAX)
		return dp_rpc_bad(e, "pattern", "has not 1 to %d bytes", PATTERN_MAX - 1);
	for (i = RTE_LOG_EMERG; i <= RTE_LOG_DEBUG; i++)
		if (strcmp(level, levels[i]) == 0)
			break;
	if (i > RTE_LOG_DEBUG)
		return dp_rpc_bad(e, "level",
			"is none of emergency, alert, critical, error, warning, notice, info, "
			"debug");
	if (rte_log_set_level_pattern(pattern, i) < 0)
		return dp_rpc_bad(e, "pattern", "is not taken");
	return json_object();
}

/* "id 61: vbus-dp.rpc, level is notice" of rte_log_dump(), which is all that DPDK tells. */
static void
log_add(json_t *list, char *line)
{
	char *name = strstr(line, ": "), *level = strstr(line, ", level is ");
	json_t *o;

	if (strncmp(line, "id ", 3) != 0 || name == NULL || level == NULL || level < name)
		return;
	*level = '\0';
	o = json_object();
	dp_rpc_put(o, "type", dp_rpc_text(name + 2));
	dp_rpc_put(o, "level", dp_rpc_text(level + strlen(", level is ")));
	dp_rpc_append(list, o);
}

static json_t *
log_list(const json_t *params, struct dp_rpc_error *e)
{
	char *text = NULL, *line, *save = NULL;
	json_t *list, *o;
	size_t size = 0;
	FILE *f = open_memstream(&text, &size);

	(void)params;
	if (f == NULL)
		return dp_rpc_fail(e, -errno, NULL);
	rte_log_dump(f);
	if (fclose(f) != 0) {
		free(text);
		return dp_rpc_fail(e, -ENOMEM, NULL);
	}
	list = json_array();
	for (line = strtok_r(text, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save))
		log_add(list, line);
	free(text);
	o = json_object();
	dp_rpc_put(o, "types", list);
	return o;
}

/* ---- lcores, metrics, version ------------------------------------------------------------------ */

static json_t *
lcore_list(const json_t *params, struct dp_rpc_error *e)
{
	struct dp_lcore_info info[RTE_MAX_LCORE];
	uint32_t n = dp_lcore_info(info, RTE_MAX_LCORE), i;
	json_t *list = json_array(), *o;

	(void)params;
	(void)e;
	for (i = 0; i < n; i++) {
		o = json_object();
		dp_rpc_put(o, "lcore", json_integer(info[i].lcore));
		dp_rpc_put(o, "ports", json_integer(info[i].nb_ports));
		dp_rpc_put(o, "busy_cycles", dp_rpc_uint(info[i].busy_cycles));
		dp_rpc_put(o, "idle_cycles", dp_rpc_uint(info[i].idle_cycles));
		dp_rpc_put(o, "sleep_cycles", dp_rpc_uint(info[i].sleep_cycles));
		dp_rpc_put(o, "sleeps", dp_rpc_uint(info[i].nb_sleeps));
		dp_rpc_append(list, o);
	}
	o = json_object();
	dp_rpc_put(o, "lcores", list);
	return o;
}

static json_t *
metrics(const json_t *params, struct dp_rpc_error *e)
{
	json_int_t offset = json_integer_value(json_object_get(params, "offset"));
	char *text = NULL;
	uint64_t next;
	json_t *o;
	int ret;

	if (offset < 0)
		return dp_rpc_bad(e, "offset", "is negative");
	ret = dp_metrics_text((uint64_t)offset, &text, &next);
	if (ret == -ERANGE)
		return dp_rpc_bad(e, "offset", "is not one that 'next' told");
	if (ret != 0)
		return dp_rpc_fail(e, ret, NULL);
	o = json_object();
	dp_rpc_put(o, "text", json_string(text));
	if (next != 0)
		dp_rpc_put(o, "next", dp_rpc_uint(next));
	free(text);
	return o;
}

static json_t *
version(const json_t *params, struct dp_rpc_error *e)
{
	json_t *o = json_object();

	(void)params;
	(void)e;
	dp_rpc_put(o, "name", json_string("vbus-dp"));
	dp_rpc_put(o, "version", json_string(VBUS_VERSION));
	dp_rpc_put(o, "dpdk", dp_rpc_text(rte_version()));
	dp_rpc_put(o, "pid", json_integer(getpid()));
	return o;
}

static const struct dp_rpc_param none[] = {
	{NULL, DP_RPC_STRING, false},
};

static const struct dp_rpc_param save_params[] = {
	{"file", DP_RPC_STRING, true},
	{NULL, DP_RPC_STRING, false},
};

static const struct dp_rpc_param log_params[] = {
	{"pattern", DP_RPC_STRING, true},
	{"level", DP_RPC_STRING, true},
	{NULL, DP_RPC_STRING, false},
};

static const struct dp_rpc_param metrics_params[] = {
	{"offset", DP_RPC_INTEGER, false},
	{NULL, DP_RPC_STRING, false},
};

const struct dp_rpc_method dp_rpc_methods_misc[] = {
	{"config.get", dp_rpc_config_get, none, NULL, false},
	{"config.set", dp_rpc_config_set, none, "", true},
	{"config.save", dp_rpc_config_save, save_params, NULL, false},
	{"log.set", log_set, log_params, NULL, false},
	{"log.list", log_list, none, NULL, false},
	{"lcore.list", lcore_list, none, NULL, false},
	{"metrics", metrics, metrics_params, NULL, false},
	{"version", version, none, NULL, false},
	{NULL, NULL, NULL, NULL, false},
};
