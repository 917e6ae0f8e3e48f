/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * vbusctl top: rates of devices, uplinks and lcores, between two looks. On a terminal each table
 * takes the place of the one before, as many lines as fit, the busiest first; elsewhere tables
 * follow each other. The terminal's settings are put back whatever ends it.
 */

#include "ctl.h"

#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define SECONDS_MAX  3600
#define LINES_AROUND 8 /* heads, lcores, the shell's line */

static atomic_bool interrupted;

static void
on_signal(int sig)
{
	(void)sig;
	atomic_store(&interrupted, true);
}

static double
now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* ---- rates ------------------------------------------------------------------------------------- */

struct look {
	double at;
	json_t *devices; /* {name: row} */
	json_t *lcores;	 /* [row] */
};

static void
look_free(struct look *l)
{
	json_decref(l->devices);
	json_decref(l->lcores);
	l->devices = l->lcores = NULL;
}

static bool
look_take(struct look *l)
{
	json_t *stats = ctl_call_all("device.stats", NULL, "devices"), *cores, *row;
	size_t i;

	if (stats == NULL)
		return false;
	cores = ctl_call("lcore.list", NULL);
	if (cores == NULL) {
		json_decref(stats);
		return false;
	}
	l->at = now_s();
	l->devices = json_object();
	json_array_foreach(json_object_get(stats, "devices"), i, row)
	{
		const char *name = json_string_value(json_object_get(row, "name"));

		if (name != NULL)
			json_object_set(l->devices, name, row);
	}
	l->lcores = json_incref(json_object_get(cores, "lcores"));
	json_decref(stats);
	json_decref(cores);
	return true;
}

/* A counter that went back belongs to a new object of the old name. */
static json_int_t
difference(const json_t *was, const json_t *is, const char *key)
{
	json_int_t a = json_integer_value(ctl_member(was, key));
	json_int_t b = json_integer_value(ctl_member(is, key));

	return b > a ? b - a : 0;
}

static json_int_t
drops(const json_t *was, const json_t *is)
{
	static const char *const parts[] = {"port", "rx", "tx"};
	json_int_t sum = 0;
	const char *key;
	json_t *part, *v;
	size_t p;

	for (p = 0; p < sizeof(parts) / sizeof(parts[0]); p++) {
		part = json_object_get(is, parts[p]);
		json_object_foreach(part, key, v)
		{
			if (strncmp(key, "drop_", 5) == 0)
				sum += difference(json_object_get(was, parts[p]), part, key);
		}
	}
	return sum;
}

static json_t *
rate_row(const json_t *was, json_t *is, double seconds)
{
	json_t *o = json_object();
	double rx = (double)difference(was, is, "port.rx_packets") / seconds;
	double tx = (double)difference(was, is, "port.tx_packets") / seconds;

	json_object_set(o, "name", json_object_get(is, "name"));
	json_object_set(o, "class", json_object_get(is, "class"));
	json_object_set(o, "bus", json_object_get(is, "bus"));
	json_object_set(o, "switch", json_object_get(is, "switch"));
	json_object_set(o, "link", json_object_get(is, "link"));
	json_object_set_new(o, "rx_pps", json_integer((json_int_t)(rx + 0.5)));
	json_object_set_new(o, "rx_mbps",
		json_real((double)difference(was, is, "port.rx_bytes") * 8e-6 / seconds));
	json_object_set_new(o, "tx_pps", json_integer((json_int_t)(tx + 0.5)));
	json_object_set_new(o, "tx_mbps",
		json_real((double)difference(was, is, "port.tx_bytes") * 8e-6 / seconds));
	json_object_set_new(
		o, "drops_ps", json_integer((json_int_t)((double)drops(was, is) / seconds + 0.5)));
	return o;
}

static int
busier(const void *a, const void *b)
{
	const json_t *const *x = a, *const *y = b;
	json_int_t m = json_integer_value(json_object_get(*x, "rx_pps")) +
		       json_integer_value(json_object_get(*x, "tx_pps"));
	json_int_t n = json_integer_value(json_object_get(*y, "rx_pps")) +
		       json_integer_value(json_object_get(*y, "tx_pps"));

	return m < n ? 1 : m > n ? -1 : 0;
}

static json_t *
device_rates(const struct look *was, const struct look *is)
{
	double seconds = is->at - was->at > 1e-3 ? is->at - was->at : 1e-3;
	size_t n = json_object_size(is->devices), i = 0;
	json_t **rows = calloc(n + 1, sizeof(json_t *)), *list = json_array(), *row;
	const char *name;

	if (rows == NULL)
		return list;
	json_object_foreach(is->devices, name, row)
	{
		const json_t *before = json_object_get(was->devices, name);

		/* New since then: nothing is known of its rate. */
		rows[i++] = rate_row(before != NULL ? before : row, row, seconds);
	}
	qsort(rows, i, sizeof(json_t *), busier);
	for (n = 0; n < i; n++)
		json_array_append_new(list, rows[n]);
	free(rows);
	return list;
}

static json_t *
lcore_rates(const struct look *was, const struct look *is)
{
	json_t *list = json_array(), *row, *before, *o;
	json_int_t busy, idle, sleep;
	double all;
	size_t i;

	json_array_foreach(is->lcores, i, row)
	{
		before = json_array_get(was->lcores, i);
		busy = difference(before, row, "busy_cycles");
		idle = difference(before, row, "idle_cycles");
		sleep = difference(before, row, "sleep_cycles");
		all = (double)(busy + idle + sleep);
		if (all < 1)
			all = 1;
		o = json_object();
		json_object_set(o, "lcore", json_object_get(row, "lcore"));
		json_object_set(o, "ports", json_object_get(row, "ports"));
		json_object_set_new(o, "busy_percent", json_real((double)busy * 100 / all));
		json_object_set_new(o, "sleep_percent", json_real((double)sleep * 100 / all));
		json_array_append_new(list, o);
	}
	return list;
}

/* ---- the screen -------------------------------------------------------------------------------- */

static size_t
screen_rows(void)
{
	struct winsize w;

	if (!isatty(STDOUT_FILENO) || ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) != 0 || w.ws_row == 0)
		return 0;
	return w.ws_row;
}

static void
show(const struct look *was, const struct look *is, bool over)
{
	static const struct ctl_column lcore_columns[] = {
		{"LCORE", "lcore"},
		{"PORTS", "ports"},
		{"BUSY-%", "busy_percent"},
		{"SLEEP-%", "sleep_percent"},
		{NULL, NULL},
	};
	static const struct ctl_column columns[] = {
		{"NAME", "name"},
		{"CLASS", "class"},
		{"BUS", "bus"},
		{"SWITCH", "switch"},
		{"LINK", "link"},
		{"RX-PPS", "rx_pps"},
		{"RX-MBIT/S", "rx_mbps"},
		{"TX-PPS", "tx_pps"},
		{"TX-MBIT/S", "tx_mbps"},
		{"DROPS/S", "drops_ps"},
		{NULL, NULL},
	};
	json_t *devices = device_rates(was, is), *lcores = lcore_rates(was, is);
	size_t rows = over ? screen_rows() : 0, around = LINES_AROUND + json_array_size(lcores);

	if (ctl_options.json) {
		json_t *o = json_pack("{s:O, s:O}", "devices", devices, "lcores", lcores);

		ctl_print_json(o);
		json_decref(o);
	} else {
		if (over)
			fputs("\033[H\033[J", stdout);
		ctl_table(lcores, lcore_columns, 0);
		putchar('\n');
		ctl_table(devices, columns, rows == 0 ? 0 : rows > around ? rows - around : 1);
		if (rows != 0 && json_array_size(devices) + around > rows)
			printf("(%zu ports; the busiest are shown)\n", json_array_size(devices));
	}
	fflush(stdout);
	json_decref(devices);
	json_decref(lcores);
}

/* Wait for the next look. @return false: the user has seen enough */
static bool
wait_next(double until, bool keys)
{
	struct pollfd p = {.fd = keys ? STDIN_FILENO : -1, .events = POLLIN};
	double left;
	char key;

	for (;;) {
		left = until - now_s();
		if (atomic_load(&interrupted))
			return false;
		if (left <= 0)
			return true;
		if (poll(&p, 1, (int)(left * 1000) + 1) <= 0)
			continue;
		if (read(STDIN_FILENO, &key, 1) != 1)
			p.fd = -1; /* nobody types */
		else if (key == 'q' || key == 'Q' || key == 3)
			return false;
	}
}

static int
run(double seconds, bool once, bool keys)
{
	bool over = !once && !ctl_options.json && isatty(STDOUT_FILENO);
	struct look was = {0}, is = {0};
	int ret = CTL_OK;

	if (!look_take(&was))
		return ctl_status;
	while (wait_next(was.at + seconds, keys)) {
		if (!look_take(&is)) {
			ret = ctl_status;
			break;
		}
		show(&was, &is, over);
		look_free(&was);
		was = is;
		is = (struct look){0};
		if (once)
			break;
	}
	look_free(&was);
	return ret;
}

int
ctl_top(const struct ctl_command *c, int argc, char **argv)
{
	const struct sigaction sa = {.sa_handler = on_signal};
	struct termios saved, raw;
	json_int_t seconds = 1;
	bool once = false, keys;
	int i, ret;

	for (i = 0; i < argc; i++) {
		if (strcmp(argv[i], "-1") == 0) {
			once = true;
		} else if (strcmp(argv[i], "-d") == 0) {
			if (!ctl_number(
				    "-d", i + 1 < argc ? argv[i + 1] : NULL, SECONDS_MAX, &seconds))
				return CTL_USAGE;
			i++;
		} else {
			return ctl_usage(c, "'%s': not understood", argv[i]);
		}
	}
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	/* Keys without Enter; Ctrl-C stays a signal. In the background the terminal is not ours. */
	keys = !once && isatty(STDIN_FILENO) && tcgetpgrp(STDIN_FILENO) == getpgrp() &&
	       tcgetattr(STDIN_FILENO, &saved) == 0;
	if (keys) {
		raw = saved;
		raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
		tcsetattr(STDIN_FILENO, TCSANOW, &raw);
	}
	ret = run((double)seconds, once, keys);
	if (keys)
		tcsetattr(STDIN_FILENO, TCSANOW, &saved);
	return ret;
}
