/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * The arguments of --vdev net_vbusN (DECISIONS 10, 15): every key is looked at here, so that a bad
 * one is refused with a line that names it before any object is made.
 *
 * Threads: whoever probes (EAL's start, an application thread). No state.
 */
#include "vbus_south.h"

#include <errno.h>
#include <libgen.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <rte_kvargs.h>

enum key {
	KEY_IFACE,
	KEY_NULL,
	KEY_WINDOW,
	KEY_SIDE,
	KEY_SIZE,
	KEY_NAME,
	KEY_MAC,
	KEY_QUEUES,
	KEY_BUS,
	KEY_SPEED,
	KEY_DMA,
	KEY_KEEP,
	KEY_COUNT
};
static const char *const key_names[KEY_COUNT] = {"iface", "null", "window", "side", "size", "name",
	"mac", "queues", "bus", "speed", "dma", "keep"};

#define KEY_LIST "iface, null, window, side, size, name, mac, queues, bus, speed, dma, keep"

__attribute__((format(printf, 3, 4))) static int
refuse(char *reason, int error, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(reason, VBUS_SOUTH_REASON_MAX, fmt, ap);
	va_end(ap);
	return error;
}

/* Fill values[] (NULL: not given) from the pairs. */
static int
collect(const struct rte_kvargs *kv, const char *values[KEY_COUNT], char *reason)
{
	for (unsigned int i = 0; i < kv->count; i++) {
		const char *key = kv->pairs[i].key, *value = kv->pairs[i].value;
		int k = 0;

		while (k < KEY_COUNT && strcmp(key, key_names[k]) != 0)
			k++;
		if (k == KEY_COUNT)
			return refuse(reason, -EINVAL,
				"%.40s: unknown key (there are " KEY_LIST ")", key);
		if (values[k] != NULL)
			return refuse(reason, -EINVAL, "%s: given twice", key);
		if (value == NULL || value[0] == '\0')
			return refuse(reason, -EINVAL, "%s: no value", key);
		values[k] = value;
	}
	return 0;
}

static int
take_name(const char *key, const char *value, char out[VBUS_NAME_SIZE], char *reason)
{
	if (!vbus_name_valid(value))
		return refuse(reason, -EINVAL, "%s=%.60s: a name is 1 to %d of A-Z a-z 0-9 _ -",
			key, value, VBUS_NAME_MAX);
	snprintf(out, VBUS_NAME_SIZE, "%s", value);
	return 0;
}

/* The bus's name from the socket's: the base name without ".sock" and without what no name may have. */
static int
bus_from_path(const char *key, const char *path, char out[VBUS_NAME_SIZE], char *reason)
{
	char copy[sizeof(((struct vbus_south_args *)0)->iface)];
	const char *base;
	size_t n = 0, len;

	snprintf(copy, sizeof(copy), "%s", path);
	base = basename(copy);
	len = strlen(base);
	if (len > 5 && strcmp(base + len - 5, ".sock") == 0)
		len -= 5;
	for (size_t i = 0; i < len && n < VBUS_NAME_MAX; i++) {
		const char one[2] = {base[i], '\0'};

		if (vbus_name_valid(one))
			out[n++] = base[i];
	}
	out[n] = '\0';
	if (n == 0)
		return refuse(reason, -EINVAL,
			"%s=%.60s: no bus name can be made of it, give bus=NAME", key, path);
	return 0;
}

/* Which side of the window, and how large it is to be made. */
static int
take_window(const char *const values[KEY_COUNT], struct vbus_south_args *args, char *reason)
{
	const char *path = values[KEY_WINDOW], *side = values[KEY_SIDE], *size = values[KEY_SIZE];
	char *end = NULL;

	if (path == NULL && (side != NULL || size != NULL || values[KEY_DMA] != NULL))
		return refuse(reason, -EINVAL, "%s: only a window has one",
			side != NULL   ? "side"
			: size != NULL ? "size"
				       : "dma");
	if (path == NULL)
		return 0;
	if (strlen(path) >= sizeof(args->iface))
		return refuse(reason, -EINVAL, "window=%.40s...: a path has at most %zu bytes",
			path, sizeof(args->iface) - 1);
	if (side != NULL && strcmp(side, "a") != 0 && strcmp(side, "b") != 0)
		return refuse(reason, -EINVAL, "side=%.40s: neither a nor b", side);
	if (size != NULL) {
		errno = 0;
		args->window_size = strtoull(size, &end, 10);
		if (size[0] < '0' || size[0] > '9' || *end != '\0' || errno != 0)
			return refuse(reason, -EINVAL, "size=%.40s: not a number of bytes", size);
	}
	if (values[KEY_DMA] != NULL && strlen(values[KEY_DMA]) >= sizeof(args->dma))
		return refuse(
			reason, -EINVAL, "dma=%.40s...: no name of a device", values[KEY_DMA]);
	if (values[KEY_DMA] != NULL)
		strcpy(args->dma, values[KEY_DMA]);
	args->window = true;
	args->side_b = side != NULL && side[0] == 'b';
	snprintf(args->iface, sizeof(args->iface), "%s", path);
	return 0;
}

/* What can be said of a socket's path before it is bound. */
static int
take_path(const char *path, struct vbus_south_args *args, char *reason)
{
	char copy[sizeof(args->iface)];
	const char *dir;
	struct stat st;

	if (strlen(path) >= sizeof(args->iface))
		return refuse(reason, -EINVAL,
			"iface=%.40s...: %zu bytes, a socket's path has at most %zu", path,
			strlen(path), sizeof(args->iface) - 1);
	snprintf(args->iface, sizeof(args->iface), "%s", path);
	snprintf(copy, sizeof(copy), "%s", path);
	dir = dirname(copy);
	if (stat(dir, &st) != 0 && errno == EACCES)
		return refuse(reason, -EACCES, "iface=%s: no permission to enter %s", path, dir);
	if (stat(dir, &st) != 0)
		return refuse(reason, -ENOENT, "iface=%s: no such directory: %s", path, dir);
	if (!S_ISDIR(st.st_mode))
		return refuse(reason, -ENOTDIR, "iface=%s: not a directory: %s", path, dir);
	if (access(dir, W_OK | X_OK) != 0)
		return refuse(reason, -EACCES, "iface=%s: no permission to write in %s", path, dir);
	if (stat(path, &st) == 0 && !S_ISSOCK(st.st_mode))
		return refuse(reason, -EEXIST, "iface=%s: is there and not a socket", path);
	return 0;
}

static int
take_mac(const char *value, struct rte_ether_addr *mac, char *reason)
{
	if (rte_ether_unformat_addr(value, mac) != 0)
		return refuse(
			reason, -EINVAL, "mac=%.40s: not an address (xx:xx:xx:xx:xx:xx)", value);
	if (!rte_is_valid_assigned_ether_addr(mac))
		return refuse(reason, -EINVAL,
			"mac=%.40s: all zero or multicast, a port needs its own", value);
	return 0;
}

/** A whole number from @p least to @p most. @return 0; -EINVAL: no number; -ERANGE: not in between */
static int
take_number(const char *value, unsigned long least, unsigned long most, unsigned long *number)
{
	char *end;

	errno = 0;
	*number = strtoul(value, &end, 10);
	if (value[0] < '0' || value[0] > '9' || *end != '\0')
		return -EINVAL;
	return errno != 0 || *number < least || *number > most ? -ERANGE : 0;
}

static int
take_queues(const char *value, uint16_t *nb_queues, char *reason)
{
	unsigned long n;
	int ret = take_number(value, 1, VBUS_SOUTH_QUEUES_MAX, &n);

	if (ret == -EINVAL || (ret != 0 && n == 0))
		return refuse(reason, -EINVAL, "queues=%.40s: not a number of at least 1", value);
	if (ret != 0)
		return refuse(
			reason, -EINVAL, "queues=%.40s: at most %u", value, VBUS_SOUTH_QUEUES_MAX);
	*nb_queues = (uint16_t)n;
	return 0;
}

static int
take_keep(const char *value, uint32_t *keep, char *reason)
{
	unsigned long n;

	if (take_number(value, 0, UINT16_MAX, &n) != 0)
		return refuse(reason, -EINVAL, "keep=%.40s: not a number of bytes up to %u", value,
			UINT16_MAX);
	*keep = (uint32_t)n;
	return 0;
}

static int
take_place(const char *const values[KEY_COUNT], struct vbus_south_args *args, char *reason)
{
	int places = (values[KEY_IFACE] != NULL) + (values[KEY_NULL] != NULL) +
		     (values[KEY_WINDOW] != NULL);
	int ret;

	if (places != 1)
		return refuse(reason, -EINVAL,
			"iface, null, window: exactly one of them must be given, not %d", places);
	ret = take_window(values, args, reason);
	if (ret != 0)
		return ret;
	if (values[KEY_NULL] != NULL) {
		if (values[KEY_BUS] != NULL)
			return refuse(reason, -EINVAL,
				"bus=%.40s: null=%.40s names the bus already", values[KEY_BUS],
				values[KEY_NULL]);
		return take_name("null", values[KEY_NULL], args->bus, reason);
	}
	ret = args->window ? 0 : take_path(values[KEY_IFACE], args, reason);
	if (ret != 0)
		return ret;
	args->bus_given = values[KEY_BUS] != NULL;
	if (args->bus_given)
		return take_name("bus", values[KEY_BUS], args->bus, reason);
	return bus_from_path(args->window ? "window" : "iface", args->iface, args->bus, reason);
}

int
vbus_south_args_parse(
	const char *vdev, const char *text, struct vbus_south_args *args, char *reason)
{
	const char *values[KEY_COUNT] = {NULL};
	struct rte_kvargs *kv;
	int ret;

	memset(args, 0, sizeof(*args));
	args->nb_queues = 1;
	kv = rte_kvargs_parse(text, NULL);
	if (kv == NULL)
		return refuse(reason, -EINVAL, "arguments: not a list of key=value: %.100s", text);
	ret = collect(kv, values, reason);
	if (ret == 0)
		ret = take_place(values, args, reason);
	if (ret == 0)
		ret = take_name("name", values[KEY_NAME] != NULL ? values[KEY_NAME] : vdev,
			args->name, reason);
	if (ret == 0 && values[KEY_MAC] != NULL)
		ret = take_mac(values[KEY_MAC], &args->mac, reason);
	if (ret == 0 && values[KEY_QUEUES] != NULL)
		ret = take_queues(values[KEY_QUEUES], &args->nb_queues, reason);
	if (ret == 0 && values[KEY_KEEP] != NULL)
		ret = take_keep(values[KEY_KEEP], &args->keep, reason);
	args->speed = VBUS_PMD_SPEED;
	if (ret == 0 && values[KEY_SPEED] != NULL &&
		vbus_pmd_speed_parse(values[KEY_SPEED], &args->speed) != 0)
		ret = refuse(reason, -EINVAL,
			"speed=%.40s: not the speed of a link in Mb/s (10000, 25000, 100000 ...)",
			values[KEY_SPEED]);
	rte_kvargs_free(kv);
	return ret;
}
