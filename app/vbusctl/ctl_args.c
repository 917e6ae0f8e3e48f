/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/* Arguments of the command line as parameters of methods. */

#include "ctl.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool
among(const char *key, const char *const *list)
{
	for (; *list != NULL; list++)
		if (strcmp(*list, key) == 0)
			return true;
	return false;
}

/* @return NULL: not a number */
static json_t *
number(const char *text)
{
	long long n;
	char *end;

	errno = 0;
	n = strtoll(text, &end, 10);
	if (end == text || *end != '\0' || errno != 0 || isspace((unsigned char)text[0]))
		return NULL;
	return json_integer(n);
}

static json_t *
split(const char *text)
{
	json_t *list = json_array();
	const char *end;

	for (;; text = end + 1) {
		end = strchrnul(text, ',');
		if (end != text)
			json_array_append_new(list, json_stringn(text, (size_t)(end - text)));
		if (*end == '\0')
			return list;
	}
}

bool
ctl_arg(json_t *params, const char *arg)
{
	static const char *const numbers[] = {"mtu", "queues", "ageing", "size", "idle",
		"scrollback", "memory", "sector", "offset", "limit", NULL};
	static const char *const lists[] = {"devices", "ports", NULL};
	static const char *const booleans[] = {"stdio", "hold", "readonly", NULL};
	const char *equals = strchr(arg, '='), *value = equals != NULL ? equals + 1 : NULL;
	json_t *v;
	char *key;

	if (equals == NULL || equals == arg) {
		fprintf(stderr, "vbusctl: '%s' is not KEY=VALUE\n", arg);
		return false;
	}
	key = strndup(arg, (size_t)(equals - arg));
	if (key == NULL)
		return false;
	if (json_object_get(params, key) != NULL) {
		fprintf(stderr, "vbusctl: %s: given twice\n", key);
		free(key);
		return false;
	}
	if (among(key, lists))
		v = split(value);
	else if (value[0] == '\0')
		v = json_null();
	else if (among(key, numbers))
		v = number(value);
	else if (among(key, booleans) &&
		 (strcmp(value, "true") == 0 || strcmp(value, "false") == 0))
		v = json_boolean(value[0] == 't');
	else
		v = json_string(value);
	if (v == NULL)
		fprintf(stderr, "vbusctl: %s: '%s' is not %s\n", key, value,
			among(key, numbers) ? "a number" : "UTF-8 text");
	else
		json_object_set_new(params, key, v);
	free(key);
	return v != NULL;
}

bool
ctl_number(const char *option, const char *text, json_int_t max, json_int_t *out)
{
	json_t *n = text != NULL ? number(text) : NULL;

	*out = json_integer_value(n);
	json_decref(n);
	if (*out >= 1 && *out <= max)
		return true;
	fprintf(stderr, "vbusctl: %s: needs a number from 1 to %lld\n", option, (long long)max);
	return false;
}

/* The folder is resolved, the last part is left as it is. */
char *
ctl_path(const char *path)
{
	const char *slash = strrchr(path, '/'), *last = slash != NULL ? slash + 1 : path;
	char *dir, *folder = NULL, *out = NULL;

	if (last[0] == '\0' || strcmp(last, ".") == 0 || strcmp(last, "..") == 0) {
		fprintf(stderr, "vbusctl: '%s' names no file\n", path);
		return NULL;
	}
	dir = slash == NULL   ? strdup(".")
	      : slash == path ? strdup("/")
			      : strndup(path, (size_t)(slash - path));
	if (dir != NULL)
		folder = realpath(dir, NULL);
	if (folder == NULL)
		fprintf(stderr, "vbusctl: %s: %s\n", dir != NULL ? dir : path, strerror(errno));
	else if (asprintf(&out, "%s/%s", strcmp(folder, "/") == 0 ? "" : folder, last) < 0)
		out = NULL;
	free(dir);
	free(folder);
	return out;
}
