/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * Arguments and names of the bus, as text (DECISIONS 8, 15; ADR-0007). No state and no EAL:
 * any thread. Every refusal is one line that names the key. */

#include "vbus_bus_private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUS_PREFIX "vbus:"

bool
vbus_bus_word_valid(const char *name, size_t len)
{
	if (len == 0 || len > VBUS_BUS_NAME_MAX)
		return false;
	for (size_t i = 0; i < len; i++) {
		char c = name[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
			    c == '_' || c == '-'))
			return false;
	}
	return true;
}

int
vbus_bus_name_parse(const char *text, struct vbus_bus_name *name)
{
	const char *link, *dot;
	size_t len;

	/* The prefix is required: EAL asks every bus about every name, and a laxer answer
	 * would take away the misspelt devices of others. */
	if (strncmp(text, BUS_PREFIX, sizeof(BUS_PREFIX) - 1) != 0)
		return -EINVAL;
	link = text + sizeof(BUS_PREFIX) - 1;
	dot = strchr(link, '.');
	len = dot != NULL ? (size_t)(dot - link) : strlen(link);
	if (!vbus_bus_word_valid(link, len))
		return -EINVAL;
	if (dot != NULL && !vbus_bus_word_valid(dot + 1, strlen(dot + 1)))
		return -EINVAL;
	if (name == NULL)
		return 0;
	memset(name, 0, sizeof(*name));
	memcpy(name->link, link, len);
	if (dot != NULL)
		memcpy(name->dev, dot + 1, strlen(dot + 1));
	return 0;
}

static int
take_path(const char *key, const char *val, size_t len, struct vbus_link_args *a, char *err,
	size_t err_size)
{
	if (len == 0) {
		snprintf(err, err_size, "%s=: the path is empty", key);
		return -EINVAL;
	}
	if (len >= sizeof(a->path)) {
		snprintf(err, err_size, "%s=: the path has %zu bytes, %zu are possible", key, len,
			sizeof(a->path) - 1);
		return -EINVAL;
	}
	memcpy(a->path, val, len);
	a->path[len] = '\0';
	return 0;
}

static int
parse_socket(const char *val, size_t len, struct vbus_link_args *a, char *err, size_t err_size)
{
	a->kind = VBUS_LINK_SOCKET;
	return take_path("socket", val, len, a, err, err_size);
}

static int
parse_null(const char *val, size_t len, struct vbus_link_args *a, char *err, size_t err_size)
{
	if (!vbus_bus_word_valid(val, len)) {
		snprintf(err, err_size, "null=%.*s: not the name of a bus ([A-Za-z0-9_-], 1 to %u)",
			(int)(len < 64 ? len : 64), val, VBUS_BUS_NAME_MAX);
		return -EINVAL;
	}
	memcpy(a->bus, val, len);
	a->bus[len] = '\0';
	a->kind = VBUS_LINK_NULL;
	return 0;
}

static int
parse_wait(const char *val, size_t len, struct vbus_link_args *a, char *err, size_t err_size)
{
	uint32_t ms = 0;
	size_t i;

	for (i = 0; i < len && i < 7 && val[i] >= '0' && val[i] <= '9'; i++)
		ms = ms * 10 + (uint32_t)(val[i] - '0');
	if (len == 0 || i != len || ms > 3600000) {
		snprintf(err, err_size, "wait=%.*s: not a number of milliseconds (0 to 3600000)",
			(int)(len < 64 ? len : 64), val);
		return -EINVAL;
	}
	a->wait_ms = ms;
	return 0;
}

static int
parse_window(const char *val, size_t len, struct vbus_link_args *a, char *err, size_t err_size)
{
	int ret = take_path("window", val, len, a, err, err_size);

	a->kind = VBUS_LINK_WINDOW;
	return ret;
}

static int
parse_side(const char *val, size_t len, struct vbus_link_args *a, char *err, size_t err_size)
{
	if (len != 1 || (val[0] != 'a' && val[0] != 'b')) {
		snprintf(err, err_size, "side=%.*s: neither a nor b", (int)(len < 64 ? len : 64),
			val);
		return -EINVAL;
	}
	a->side_a = val[0] == 'a';
	return 0;
}

static int
parse_size(const char *val, size_t len, struct vbus_link_args *a, char *err, size_t err_size)
{
	size_t i;

	for (i = 0; i < len && i < 15 && val[i] >= '0' && val[i] <= '9'; i++)
		a->size = a->size * 10 + (uint64_t)(val[i] - '0');
	if (len == 0 || i != len) {
		snprintf(err, err_size, "size=%.*s: not a number of bytes",
			(int)(len < 64 ? len : 64), val);
		return -EINVAL;
	}
	return 0;
}

/* The keys; exactly one of the first three names the medium. */
static const struct link_key {
	const char *name;
	bool medium;
	int (*parse)(
		const char *val, size_t len, struct vbus_link_args *a, char *err, size_t err_size);
} keys[] = {
	{"socket", true, parse_socket},
	{"null", true, parse_null},
	{"window", true, parse_window},
	{"wait", false, parse_wait},
	{"side", false, parse_side},
	{"size", false, parse_size},
};
#define NB_KEYS	       (sizeof(keys) / sizeof(keys[0]))
#define KEYS_OF_WINDOW (3u << 4) /* the last two, as bits */

/* One "key=value" of len bytes; seen and medium are what came before. */
static int
parse_pair(const char *text, size_t len, struct vbus_link_args *a, uint32_t *seen, bool *medium,
	char *err, size_t err_size)
{
	const char *eq = memchr(text, '=', len);
	size_t key_len = eq != NULL ? (size_t)(eq - text) : len;

	for (size_t k = 0; k < NB_KEYS; k++) {
		if (strlen(keys[k].name) != key_len || memcmp(keys[k].name, text, key_len) != 0)
			continue;
		if (eq == NULL) {
			snprintf(err, err_size, "%s: has no value", keys[k].name);
			return -EINVAL;
		}
		if (*seen & (1u << k)) {
			snprintf(err, err_size, "%s=: given twice", keys[k].name);
			return -EINVAL;
		}
		*seen |= 1u << k;
		if (keys[k].medium && *medium) {
			snprintf(err, err_size,
				"exactly one of socket=, null=, window= is needed, not two");
			return -EINVAL;
		}
		*medium |= keys[k].medium;
		return keys[k].parse(eq + 1, len - key_len - 1, a, err, err_size);
	}
	snprintf(err, err_size, "unknown key '%.*s' (socket, null, window, wait, side, size)",
		(int)(key_len < 64 ? key_len : 64), text);
	return -EINVAL;
}

int
vbus_link_args_parse(const char *text, struct vbus_link_args *args, char *err, size_t err_size)
{
	uint32_t seen = 0;
	bool medium = false;
	int ret;

	memset(args, 0, sizeof(*args));
	args->wait_ms = VBUS_BUS_WAIT_MS;
	while (*text != '\0') {
		size_t len = strcspn(text, ",");

		ret = parse_pair(text, len, args, &seen, &medium, err, err_size);
		if (ret != 0)
			return ret;
		text += len;
		if (*text == ',')
			text++;
	}
	if (!medium) {
		snprintf(err, err_size, "one of socket=PATH, null=BUS, window=PATH is needed");
		return -EINVAL;
	}
	if (args->kind != VBUS_LINK_WINDOW && (seen & KEYS_OF_WINDOW)) {
		snprintf(err, err_size, "side=, size=: only a window has them");
		return -EINVAL;
	}
	return 0;
}

int
vbus_link_pci_args_parse(
	const char *text, bool window, struct vbus_link_args *args, char *err, size_t err_size)
{
	uint32_t seen = 0;
	bool medium = true; /* the function */
	size_t len;

	memset(args, 0, sizeof(*args));
	args->kind = window ? VBUS_LINK_WINDOW : VBUS_LINK_PCI;
	args->wait_ms = VBUS_BUS_WAIT_MS;
	for (; *text != '\0'; text += len + (text[len] == ',')) {
		len = strcspn(text, ",");
		if (strncmp(text, "wait=", 5) != 0 && (!window || strncmp(text, "side=", 5) != 0)) {
			snprintf(err, err_size, "unknown key '%.*s' (wait%s)",
				(int)strcspn(text, "=,"), text, window ? ", side" : "");
			return -EINVAL;
		}
		if (parse_pair(text, len, args, &seen, &medium, err, err_size) != 0)
			return -EINVAL;
	}
	return 0;
}

int
vbus_bus_pci_name(
	char out[VBUS_BUS_NAME_SIZE], uint32_t domain, uint8_t bus, uint8_t devid, uint8_t function)
{
	int len = snprintf(
		out, VBUS_BUS_NAME_SIZE, "pci-%04x-%02x-%02x-%x", domain, bus, devid, function);

	return len <= (int)VBUS_BUS_NAME_MAX ? 0 : -ENAMETOOLONG;
}

bool
vbus_link_args_equal(const struct vbus_link_args *a, const struct vbus_link_args *b)
{
	return a->kind == b->kind && strcmp(a->path, b->path) == 0 && strcmp(a->bus, b->bus) == 0 &&
	       a->side_a == b->side_a;
}

void
vbus_bus_device_name(char out[VBUS_BUS_NAME_SIZE], const char *name, const char *type, uint32_t id)
{
	char tail[16];
	size_t len, room;

	memset(out, 0, VBUS_BUS_NAME_SIZE);
	len = strnlen(name, VBUS_BUS_NAME_SIZE);
	if (vbus_bus_word_valid(name, len)) {
		memcpy(out, name, len);
		return;
	}
	snprintf(tail, sizeof(tail), "-%u", id);
	room = VBUS_BUS_NAME_MAX - strlen(tail);
	for (len = 0; len < room && type[len] != '\0'; len++)
		out[len] = vbus_bus_word_valid(&type[len], 1) ? type[len] : '_';
	memcpy(out + len, tail, strlen(tail));
}
