/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * vbusctl capture: start it, look now and then whether it runs, end it on Ctrl-C. vbus-dp keeps the
 * limits, so that it ends too when this process does not live to tell.
 */

#include "ctl.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define LOOK_NS	    100000000
#define SECONDS_MAX 86400

static atomic_bool interrupted;

static void
on_signal(int sig)
{
	(void)sig;
	atomic_store(&interrupted, true);
}

static int
stop(const char *device)
{
	json_t *result = ctl_call("capture.stop", json_pack("{s:s}", "device", device));

	if (result == NULL)
		return ctl_status;
	if (ctl_options.json)
		ctl_print_json(result);
	else
		printf("%" JSON_INTEGER_FORMAT " frames in %s\n",
			json_integer_value(json_object_get(result, "frames")),
			json_string_value(json_object_get(result, "file")));
	json_decref(result);
	return CTL_OK;
}

/* @return -1: it runs; else the exit code. *@p frames: the last number that was told */
static int
look(const char *device, const char *file, json_int_t *frames)
{
	json_t *result = ctl_call("capture.list", json_pack("{s:s}", "device", device)), *one;

	if (result == NULL)
		return ctl_status;
	one = json_array_get(json_object_get(result, "captures"), 0);
	if (one != NULL)
		*frames = json_integer_value(json_object_get(one, "frames"));
	else if (!ctl_options.json)
		printf("captured to %s\n", file);
	json_decref(result);
	return one != NULL ? -1 : CTL_OK;
}

static int
run(json_t *params, const char *device, const char *file)
{
	const struct sigaction sa = {.sa_handler = on_signal};
	const struct timespec pause = {.tv_nsec = LOOK_NS};
	json_int_t frames = 0;
	json_t *result;
	int ret = -1;

	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	result = ctl_call("capture.start", params);
	if (result == NULL)
		return ctl_status;
	json_decref(result);
	while (ret < 0 && !atomic_load(&interrupted)) {
		nanosleep(&pause, NULL);
		ret = atomic_load(&interrupted) ? -1 : look(device, file, &frames);
	}
	return ret < 0 ? stop(device) : ret;
}

static int
list(void)
{
	static const struct ctl_column columns[] = {
		{"DEVICE", "device"},
		{"FRAMES", "frames"},
		{"MILLISECONDS", "milliseconds"},
		{"FILE", "file"},
		{NULL, NULL},
	};
	json_t *result = ctl_call_all("capture.list", NULL, "captures");

	if (result == NULL)
		return ctl_status;
	if (ctl_options.json)
		ctl_print_json(result);
	else
		ctl_table(json_object_get(result, "captures"), columns, 0);
	json_decref(result);
	return CTL_OK;
}

/* An option with a number. @return false: said */
static bool
take_option(json_t *params, const char *arg, const char *value)
{
	json_int_t max = strcmp(arg, "--seconds") == 0 ? SECONDS_MAX : INT64_MAX, n;

	if (!ctl_number(arg, value, max, &n))
		return false;
	json_object_set_new(params, arg + 2, json_integer(n));
	return true;
}

int
ctl_capture(const struct ctl_command *c, int argc, char **argv)
{
	const char *place[2] = {NULL, NULL};
	json_t *params = json_object();
	int i, nb = 0, ret = CTL_USAGE;
	char *file = NULL;

	for (i = 0; i < argc; i++) {
		if (strcmp(argv[i], "--count") == 0 || strcmp(argv[i], "--seconds") == 0) {
			if (!take_option(params, argv[i], i + 1 < argc ? argv[i + 1] : NULL))
				goto out;
			i++;
		} else if (strcmp(argv[i], "--list") == 0 && argc == 1) {
			ret = list();
			goto out;
		} else if (strcmp(argv[i], "--stop") == 0 && argc == 2 && i == 0) {
			ret = stop(argv[1]);
			goto out;
		} else if (argv[i][0] == '-' || nb == 2) {
			ctl_usage(c, "'%s': not understood", argv[i]);
			goto out;
		} else {
			place[nb++] = argv[i];
		}
	}
	if (nb != 2) {
		ctl_usage(c, "needs DEVICE and FILE");
		goto out;
	}
	file = ctl_path(place[1]);
	if (file == NULL)
		goto out;
	json_object_set_new(params, "device", json_string(place[0]));
	json_object_set_new(params, "file", json_string(file));
	ret = run(json_incref(params), place[0], file);
out:
	free(file);
	json_decref(params);
	return ret;
}
