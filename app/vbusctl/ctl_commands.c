/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * The commands, and those that are a method and no more: what they take, what they print.
 */

#include "ctl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- do something ------------------------------------------------------------------------------ */

static int
finish(json_t *result)
{
	if (result == NULL)
		return ctl_status;
	if (ctl_options.json)
		ctl_print_json(result);
	json_decref(result);
	return CTL_OK;
}

/* Fixed parameters by place, then KEY=VALUE. */
static int
act(const struct ctl_command *c, int argc, char **argv, const char *const *places, bool keys)
{
	json_t *params = json_object();
	int i = 0;

	for (; *places != NULL; places++, i++) {
		if (i >= argc) {
			json_decref(params);
			return ctl_usage(c, "%s: missing", *places);
		}
		if (json_object_set_new(params, *places, json_string(argv[i])) != 0) {
			json_decref(params);
			return ctl_usage(c, "%s: not UTF-8 text", *places);
		}
	}
	for (; i < argc; i++) {
		if (!keys) {
			json_decref(params);
			return ctl_usage(c, "'%s': too much", argv[i]);
		}
		if (!ctl_arg(params, argv[i])) {
			json_decref(params);
			return CTL_USAGE;
		}
	}
	return finish(ctl_call(c->method, params));
}

static int
by_name(const struct ctl_command *c, int argc, char **argv)
{
	static const char *const places[] = {"name", NULL};

	return act(c, argc, argv, places, false);
}

static int
by_name_and_keys(const struct ctl_command *c, int argc, char **argv)
{
	static const char *const places[] = {"name", NULL};

	return act(c, argc, argv, places, true);
}

static int
attach(const struct ctl_command *c, int argc, char **argv)
{
	static const char *const places[] = {"name", "bus", NULL};

	return act(c, argc, argv, places, false);
}

static int
log_set(const struct ctl_command *c, int argc, char **argv)
{
	static const char *const places[] = {"pattern", "level", NULL};

	return act(c, argc, argv, places, false);
}

static int
keys_only(const struct ctl_command *c, int argc, char **argv)
{
	static const char *const places[] = {NULL};

	return argc != 0 ? act(c, argc, argv, places, true) : ctl_usage(c, "KEY=VALUE: missing");
}

/* As the configuration file has them. */
static int
config_get(const struct ctl_command *c, int argc, char **argv)
{
	json_t *result, *v;
	const char *key;

	if (argc != 0)
		return ctl_usage(c, "'%s': too much", argv[0]);
	result = ctl_call(c->method, NULL);
	if (result == NULL)
		return ctl_status;
	if (ctl_options.json)
		ctl_print_json(result);
	else
		json_object_foreach(result, key, v)
		{
			if (json_is_string(v))
				printf("%s = %s\n", key, json_string_value(v));
			else
				printf("%s = %" JSON_INTEGER_FORMAT "\n", key,
					json_integer_value(v));
		}
	json_decref(result);
	return CTL_OK;
}

static int
save(const struct ctl_command *c, int argc, char **argv)
{
	json_t *params;
	char *path;

	if (argc != 1)
		return ctl_usage(c, "needs one FILE");
	path = ctl_path(argv[0]);
	if (path == NULL)
		return CTL_USAGE;
	params = json_pack("{s:s}", "file", path);
	free(path);
	if (params == NULL)
		return ctl_usage(c, "FILE: not UTF-8 text");
	return finish(ctl_call(c->method, params));
}

/* ---- lists ------------------------------------------------------------------------------------- */

static const struct ctl_column bus_columns[] = {
	{"NAME", "name"},
	{"CONNECTOR", "connector"},
	{"PEER", "peer"},
	{"DEVICES", "devices"},
	{"OPEN", "open_devices"},
	{"CALLS", "calls"},
	{"FAILED", "failed_calls"},
	{"FAULT", "fault"},
	{"SOCKET", "socket"},
	{NULL, NULL},
};

static const struct ctl_column device_columns[] = {
	{"NAME", "name"},
	{"CLASS", "class"},
	{"BUS", "bus"},
	{"SWITCH", "switch"},
	{"PATCH", "patch"},
	{"OPEN", "open"},
	{"LINK", "link"},
	{"MAC", "mac"},
	{"MTU", "mtu"},
	{"LCORE", "lcore"},
	{"FAULT", "fault"},
	{NULL, NULL},
};

static const struct ctl_column switch_columns[] = {
	{"NAME", "name"},
	{"PORTS", "ports"},
	{"AGEING", "ageing"},
	{"SIZE", "size"},
	{"ADDRESSES", "addresses"},
	{"LEARNED", "learned"},
	{"MOVED", "moved"},
	{"AGED", "aged"},
	{"FULL", "table_full"},
	{"REFUSED", "refused"},
	{NULL, NULL},
};

static const struct ctl_column fdb_columns[] = {
	{"MAC", "mac"},
	{"PORT", "port"},
	{"AGE", "age"},
	{NULL, NULL},
};

static const struct ctl_column lcore_columns[] = {
	{"LCORE", "lcore"},
	{"PORTS", "ports"},
	{"BUSY", "busy_cycles"},
	{"IDLE", "idle_cycles"},
	{"SLEEP", "sleep_cycles"},
	{"SLEEPS", "sleeps"},
	{NULL, NULL},
};

static const struct ctl_column log_columns[] = {
	{"TYPE", "type"},
	{"LEVEL", "level"},
	{NULL, NULL},
};

static const struct ctl_column stats_columns[] = {
	{"NAME", "name"},
	{"CLASS", "class"},
	{"BUS", "bus"},
	{"SWITCH", "switch"},
	{"LINK", "link"},
	{"RX-PACKETS", "port.rx_packets"},
	{"RX-BYTES", "port.rx_bytes"},
	{"TX-PACKETS", "port.tx_packets"},
	{"TX-BYTES", "port.tx_bytes"},
	{"DROPS", "drops"},
	{NULL, NULL},
};

static const struct {
	const char *method, *list;
	const struct ctl_column *columns;
} lists[] = {
	{"bus.list", "buses", bus_columns},
	{"device.list", "devices", device_columns},
	{"device.stats", "devices", stats_columns},
	{"switch.list", "switches", switch_columns},
	{"switch.fdb", "addresses", fdb_columns},
	{"lcore.list", "lcores", lcore_columns},
	{"log.list", "types", log_columns},
};

/* Everything that was not forwarded, in one number per port. */
static void
add_drops(json_t *list)
{
	json_t *row, *part, *v;
	const char *key, *parts[] = {"port", "rx", "tx"};
	json_int_t sum;
	size_t i, p;

	json_array_foreach(list, i, row)
	{
		sum = 0;
		for (p = 0; p < sizeof(parts) / sizeof(parts[0]); p++) {
			part = json_object_get(row, parts[p]);
			json_object_foreach(part, key, v)
			{
				if (strncmp(key, "drop_", 5) == 0)
					sum += json_integer_value(v);
			}
		}
		json_object_set_new(row, "drops", json_integer(sum));
	}
}

static int
show_list(const char *method, json_t *params)
{
	json_t *result;
	size_t i = 0;

	while (strcmp(lists[i].method, method) != 0)
		i++;
	result = ctl_call_all(method, params, lists[i].list);
	json_decref(params);
	if (result == NULL)
		return ctl_status;
	if (ctl_options.json) {
		ctl_print_json(result);
	} else {
		if (strcmp(method, "device.stats") == 0)
			add_drops(json_object_get(result, lists[i].list));
		ctl_table(json_object_get(result, lists[i].list), lists[i].columns, 0);
	}
	json_decref(result);
	return CTL_OK;
}

static int
list(const struct ctl_command *c, int argc, char **argv)
{
	json_t *params = json_object();
	int i;

	for (i = 0; i < argc; i++) {
		/* A first word without = is the name. */
		if (i == 0 && strchr(argv[0], '=') == NULL) {
			if (json_object_set_new(params, "name", json_string(argv[0])) == 0)
				continue;
		} else if (ctl_arg(params, argv[i])) {
			continue;
		}
		json_decref(params);
		return CTL_USAGE;
	}
	return show_list(c->method, params);
}

/* Every counter of one device, a line each. */
static int
stats_one(const char *name)
{
	json_t *result, *row, *part, *v;
	const char *key, *inner;

	result = ctl_call("device.stats", json_pack("{s:s}", "name", name));
	if (result == NULL)
		return ctl_status;
	row = json_array_get(json_object_get(result, "devices"), 0);
	json_object_foreach(row, key, part)
	{
		if (json_is_string(part) && json_string_value(part)[0] != '\0')
			printf("%-36s %s\n", key, json_string_value(part));
		else if (json_is_boolean(part))
			printf("%-36s %s\n", key, json_is_true(part) ? "yes" : "no");
		json_object_foreach(part, inner, v)
		{
			printf("%s.%-*s %20" JSON_INTEGER_FORMAT "\n", key, 35 - (int)strlen(key),
				inner, json_integer_value(v));
		}
	}
	json_decref(result);
	return CTL_OK;
}

static int
stats(const struct ctl_command *c, int argc, char **argv)
{
	if (argc == 1 && strchr(argv[0], '=') == NULL && !ctl_options.json)
		return stats_one(argv[0]);
	return list(c, argc, argv);
}

/* ---- others ------------------------------------------------------------------------------------ */

static int
metrics(const struct ctl_command *c, int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[0], "--listen") == 0)
		return ctl_serve(argv[1]);
	if (argc != 0)
		return ctl_usage(c, "'%s': not understood", argv[0]);
	return ctl_metrics(stdout);
}

static int
version(const struct ctl_command *c, int argc, char **argv)
{
	json_t *result;

	if (argc != 0)
		return ctl_usage(c, "'%s': too much", argv[0]);
	result = ctl_call(c->method, NULL);
	if (result == NULL)
		return ctl_status;
	if (ctl_options.json)
		ctl_print_json(result);
	else
		printf("%s %s, %s, pid %" JSON_INTEGER_FORMAT "\n",
			json_string_value(json_object_get(result, "name")),
			json_string_value(json_object_get(result, "version")),
			json_string_value(json_object_get(result, "dpdk")),
			json_integer_value(json_object_get(result, "pid")));
	json_decref(result);
	return CTL_OK;
}

static int
call(const struct ctl_command *c, int argc, char **argv)
{
	json_t *params = NULL, *result;
	json_error_t err;

	if (argc < 1 || argc > 2)
		return ctl_usage(c, "needs METHOD and perhaps PARAMETERS");
	if (argc == 2) {
		params = json_loads(argv[1], 0, &err);
		if (params == NULL)
			return ctl_usage(c, "PARAMETERS: %s", err.text);
	}
	result = ctl_call(argv[0], params);
	if (result == NULL)
		return ctl_status;
	ctl_print_json(result);
	json_decref(result);
	return CTL_OK;
}

#define KEYS "Keys are those of the configuration file, vbus-dp.conf(5).\n"

const struct ctl_command ctl_commands[] = {
	{"bus create", "NAME [KEY=VALUE]...",
		"Make a bus and serve it.\n" KEYS
		"    vbusctl bus create vm1 socket=/run/vbus/vm1.sock\n",
		by_name_and_keys, "bus.create"},
	{"bus delete", "NAME", "Delete a bus that no device is on.\n", by_name, "bus.delete"},
	{"bus set", "NAME KEY=VALUE...",
		"Change keys of a bus; an empty value is the key's default.\n" KEYS,
		by_name_and_keys, "bus.set"},
	{"bus list", "[NAME]", "Show buses and their peers.\n", list, "bus.list"},
	{"device create", "NAME class=CLASS [KEY=VALUE]...",
		"Make a device.\n" KEYS
		"    vbusctl device create web0 class=venet mac=02:00:00:00:00:01 switch=br0\n",
		by_name_and_keys, "device.create"},
	{"device delete", "NAME", "Delete a device; it leaves its bus first.\n", by_name,
		"device.delete"},
	{"device set", "NAME KEY=VALUE...",
		"Change keys of a device; an empty value is the key's default.\n" KEYS,
		by_name_and_keys, "device.set"},
	{"device attach", "NAME BUS", "Put a device on a bus.\n", attach, "device.attach"},
	{"device detach", "NAME", "Take a device off its bus.\n", by_name, "device.detach"},
	{"device break", "NAME",
		"Send a break to the peer of a serial device; 'console' has ~# for it.\n", by_name,
		"device.break"},
	{"device list", "[NAME] [bus=NAME] [switch=NAME]", "Show devices.\n", list, "device.list"},
	{"device stats", "[NAME] [bus=NAME] [switch=NAME]",
		"Show counters of devices and uplinks; of one: all counters.\n", stats,
		"device.stats"},
	{"switch create", "NAME [KEY=VALUE]...",
		"Make a switch.\n" KEYS "    vbusctl switch create br0 ports=net_tap0,net_tap1\n",
		by_name_and_keys, "switch.create"},
	{"switch delete", "NAME", "Delete a switch that no device is on.\n", by_name,
		"switch.delete"},
	{"switch set", "NAME KEY=VALUE...",
		"Change keys of a switch; an empty value is the key's default.\n" KEYS,
		by_name_and_keys, "switch.set"},
	{"switch list", "[NAME]", "Show switches.\n", list, "switch.list"},
	{"switch fdb", "NAME [port=NAME]", "Show the addresses that a switch has learned.\n", list,
		"switch.fdb"},
	{"config get", "", "Show the keys that stand in no section of the configuration.\n",
		config_get, "config.get"},
	{"config set", "KEY=VALUE...",
		"Change keys that stand in no section; an empty value is the key's default.\n" KEYS
		"    vbusctl config set mode=adaptive idle=500\n",
		keys_only, "config.set"},
	{"lcore list", "", "Show the polling lcores.\n", list, "lcore.list"},
	{"stats", "[DEVICE] [bus=NAME] [switch=NAME]", "The same as 'device stats'.\n", stats,
		"device.stats"},
	{"top", "[-1] [-d SECONDS]",
		"Show rates, again and again; q or Ctrl-C ends it.\n"
		"    -1          one table, then end\n"
		"    -d SECONDS  between two tables (1)\n",
		ctl_top, NULL},
	{"metrics", "[--listen [HOST:]PORT]",
		"Print all counters in OpenMetrics form, or serve them to Prometheus.\n"
		"    --listen [HOST:]PORT  serve them at http://HOST:PORT/metrics (127.0.0.1)\n",
		metrics, "metrics"},
	{"capture", "DEVICE FILE [--count N] [--seconds S]",
		"Write the frames of a device or uplink to a pcapng file, until Ctrl-C or a "
		"limit.\n"
		"    --count N    end after N frames or a few more\n"
		"    --seconds S  end after S seconds\n"
		"    capture --list, capture --stop DEVICE: captures that somebody left running\n",
		ctl_capture, NULL},
	{"trace", "DEVICE [--every N] [--count N] [--seconds S]",
		"Show what becomes of frames that come in by a device or uplink, until Ctrl-C or a "
		"limit.\n"
		"    --every N    one in N frames (1: all)\n"
		"    --count N    end after N lines\n"
		"    --seconds S  end after S seconds\n",
		ctl_trace, NULL},
	{"console", "BUS DEVICE",
		"Attach this terminal to a serial device, where its pty or socket is.\n"
		"Ctrl-] ends it, and so does ~. after Enter; ~# sends a break, ~~ a tilde.\n",
		ctl_console, NULL},
	{"log set", "PATTERN LEVEL",
		"Set the level of log types, e.g. 'vbus-dp.*' debug.\n"
		"Levels: emergency alert critical error warning notice info debug\n",
		log_set, "log.set"},
	{"log list", "", "Show log types and their levels.\n", list, "log.list"},
	{"save", "FILE", "Write what runs as a configuration file.\n", save, "config.save"},
	{"call", "METHOD [PARAMETERS]",
		"Call a method of the control socket; PARAMETERS is a JSON object.\n", call, NULL},
	{"version", "", "Show who answers.\n", version, "version"},
	{NULL, NULL, NULL, NULL, NULL},
};
