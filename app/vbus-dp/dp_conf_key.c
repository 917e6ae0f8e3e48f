/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * The keys of a configuration (DECISIONS 26): each one's name, and how its text becomes a value. The
 * file's parser and the control socket both come by here, so that both know the same keys, ranges
 * and errors. And what can be said of an object by itself.
 *
 * Threads: any; no state. A class or connector that is not built in is known by name: naming it
 * gets an answer that says so, and not "unknown".
 */

#include "dp_conf.h"
#include "dp_conf_back.h"

#include <ctype.h>
#include <errno.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vbus_core.h"
#include "vbus_venet.h"
#include "vbus_window.h"

struct dp_key {
	const char *name;
	bool list;
	/** @p err: the reason alone. */
	int (*set)(void *obj, const char *value, char *err, size_t err_size);
};

#define REFUSE(code, ...) (snprintf(err, err_size, __VA_ARGS__), (code))

/* ---- values ------------------------------------------------------------------------------------ */

static int
take_number(
	const char *value, uint32_t min, uint32_t max, uint32_t *out, char *err, size_t err_size)
{
	unsigned long long n;
	char *end;

	errno = 0;
	n = strtoull(value, &end, 10);
	/* strtoull() takes signs and blanks. */
	if (!isdigit((unsigned char)value[0]) || *end != '\0' || errno != 0 || n < min || n > max)
		return REFUSE(-EINVAL, "'%.60s' is not a number from %u to %u", value, min, max);
	*out = (uint32_t)n;
	return 0;
}

/* Of a bus, device or switch. */
static int
take_name(const char *value, char out[DP_NAME_SIZE], char *err, size_t err_size)
{
	if (!vbus_name_valid(value))
		return REFUSE(-EINVAL, "'%.60s' is no name: 1 to %d of A-Z a-z 0-9 _ -", value,
			VBUS_NAME_MAX);
	snprintf(out, DP_NAME_SIZE, "%s", value);
	return 0;
}

static int
take_path(const char *value, char out[DP_PATH_SIZE], char *err, size_t err_size)
{
	int ret = dp_socket_path_check(value, err, err_size);

	if (ret == 0)
		snprintf(out, DP_PATH_SIZE, "%s", value);
	return ret;
}

static int
take_mac(const char *value, uint8_t mac[6], char *err, size_t err_size)
{
	uint8_t all = 0;
	int i;

	for (i = 0; i < 6; i++) {
		const char *at = value + 3 * i;

		if (!isxdigit((unsigned char)at[0]) || !isxdigit((unsigned char)at[1]) ||
			at[2] != (i < 5 ? ':' : '\0'))
			return REFUSE(
				-EINVAL, "'%.60s' is not an address (xx:xx:xx:xx:xx:xx)", value);
		mac[i] = (uint8_t)strtoul((char[]){at[0], at[1], '\0'}, NULL, 16);
		all |= mac[i];
	}
	if (all == 0 || (mac[0] & 1) != 0)
		return REFUSE(-EINVAL, "'%s' is %s, a device needs its own", value,
			all == 0 ? "all zero" : "a multicast address");
	return 0;
}

int
dp_socket_path_check(const char *path, char *err, size_t err_size)
{
	char copy[DP_PATH_SIZE];
	const char *dir;
	struct stat st;

	if (path[0] == '\0')
		return REFUSE(-EINVAL, "no path");
	if (strlen(path) >= sizeof(copy))
		return REFUSE(-EINVAL, "'%.40s...' has %zu bytes, a socket's path has at most %zu",
			path, strlen(path), sizeof(copy) - 1);
	snprintf(copy, sizeof(copy), "%s", path);
	dir = dirname(copy);
	if (stat(dir, &st) != 0) {
		if (errno == ENOENT && strcmp(dir, DP_RUN_DIR) == 0)
			return 0; /* main makes it */
		return REFUSE(-EINVAL, "%s: folder %s: %s", path, dir, strerror(errno));
	}
	if (!S_ISDIR(st.st_mode))
		return REFUSE(-EINVAL, "%s: %s is not a folder", path, dir);
	if (access(dir, W_OK | X_OK) != 0)
		return REFUSE(-EINVAL, "%s: folder %s: %s", path, dir, strerror(errno));
	if (lstat(path, &st) == 0 && !S_ISSOCK(st.st_mode))
		return REFUSE(-EINVAL, "%s: exists and is not a socket", path);
	return 0;
}

/* ---- the top ----------------------------------------------------------------------------------- */

static int
top_mode(void *obj, const char *value, char *err, size_t err_size)
{
	struct dp_conf *c = obj;

	if (strcmp(value, "busy") == 0)
		c->mode = DP_MODE_BUSY;
	else if (strcmp(value, "adaptive") == 0)
		c->mode = DP_MODE_ADAPTIVE;
	else
		return REFUSE(-EINVAL, "'%.60s' is neither busy nor adaptive", value);
	return 0;
}

static int
top_idle(void *obj, const char *value, char *err, size_t err_size)
{
	return take_number(
		value, 1, DP_IDLE_US_MAX, &((struct dp_conf *)obj)->idle_us, err, err_size);
}

static int
top_control(void *obj, const char *value, char *err, size_t err_size)
{
	return take_path(value, ((struct dp_conf *)obj)->control, err, err_size);
}

/* ---- bus --------------------------------------------------------------------------------------- */

static int
bus_connector(void *obj, const char *value, char *err, size_t err_size)
{
	struct dp_bus_conf *b = obj;

	if (strcmp(value, "vfio-user") == 0)
		b->connector = DP_CONNECTOR_VFIO_USER;
	else if (strcmp(value, "null") == 0)
		b->connector = DP_CONNECTOR_NULL;
	else if (strcmp(value, "window") == 0)
		b->connector = DP_CONNECTOR_WINDOW;
	else
		return REFUSE(-EINVAL, "'%.60s' is none of vfio-user, null, window", value);
	return 0;
}

static int
bus_socket(void *obj, const char *value, char *err, size_t err_size)
{
	return take_path(value, ((struct dp_bus_conf *)obj)->socket, err, err_size);
}

static int
bus_ports(void *obj, const char *value, char *err, size_t err_size)
{
	if (strcmp(value, "yes") != 0 && strcmp(value, "no") != 0)
		return REFUSE(-EINVAL, "'%.60s' is neither yes nor no", value);
	((struct dp_bus_conf *)obj)->no_ports = value[0] == 'n';
	return 0;
}

static int
bus_window(void *obj, const char *value, char *err, size_t err_size)
{
	struct dp_bus_conf *b = obj;

	if (value[0] == '\0' || strlen(value) >= sizeof(b->window))
		return REFUSE(
			-EINVAL, "'%.40s': a path of 1 to %zu bytes", value, sizeof(b->window) - 1);
	snprintf(b->window, sizeof(b->window), "%s", value);
	return 0;
}

static int
bus_size(void *obj, const char *value, char *err, size_t err_size)
{
	struct dp_bus_conf *b = obj;
	char *end;

	errno = 0;
	b->size = strtoull(value, &end, 10);
	if (!isdigit((unsigned char)value[0]) || *end != '\0' || errno != 0 ||
		b->size < VBUS_WINDOW_SIZE_MIN || b->size % VBUS_WINDOW_SIZE_MIN != 0)
		return REFUSE(
			-EINVAL, "'%.60s' is no multiple of %u bytes", value, VBUS_WINDOW_SIZE_MIN);
	return 0;
}

static int
bus_side(void *obj, const char *value, char *err, size_t err_size)
{
	if (strcmp(value, "a") != 0 && strcmp(value, "b") != 0)
		return REFUSE(-EINVAL, "'%.60s' is neither a nor b", value);
	((struct dp_bus_conf *)obj)->side_b = value[0] == 'b';
	return 0;
}

static int
names_take(struct dp_names *l, const char *name, char *err, size_t err_size)
{
	int ret = dp_names_add(l, name);

	return ret == 0 ? 0 : REFUSE(ret, "%s", strerror(-ret));
}

static int
bus_devices(void *obj, const char *value, char *err, size_t err_size)
{
	char name[DP_NAME_SIZE];
	int ret = take_name(value, name, err, err_size);

	/* Said twice? The list may be long: dp_conf_load() finds it when it folds. */
	return ret != 0 ? ret
			: names_take(&((struct dp_bus_conf *)obj)->devices, name, err, err_size);
}

int
dp_bus_conf_check(const struct dp_bus_conf *b, char *err, size_t err_size)
{
	if (!vbus_name_valid(b->name))
		return REFUSE(-EINVAL, "'%.60s' is no name: 1 to %d of A-Z a-z 0-9 _ -", b->name,
			VBUS_NAME_MAX);
	if (b->connector == DP_CONNECTOR_VFIO_USER && b->socket[0] == '\0')
		return REFUSE(-EINVAL, "socket: missing, connector vfio-user needs it");
	if (b->connector != DP_CONNECTOR_VFIO_USER && b->socket[0] != '\0')
		return REFUSE(-EINVAL, "socket: only connector vfio-user has one");
	if (b->connector != DP_CONNECTOR_VFIO_USER && b->no_ports)
		return REFUSE(-EINVAL, "ports: only connector vfio-user has them");
	if (b->connector == DP_CONNECTOR_WINDOW && b->window[0] == '\0')
		return REFUSE(-EINVAL, "window: missing, connector window needs it");
	if (b->connector != DP_CONNECTOR_WINDOW &&
		(b->window[0] != '\0' || b->size != 0 || b->side_b))
		return REFUSE(-EINVAL, "window, size, side: only connector window has them");
	return 0;
}

bool
dp_bus_conf_same_place(const struct dp_bus_conf *a, const struct dp_bus_conf *b)
{
	return a->connector == b->connector && strcmp(a->socket, b->socket) == 0 &&
	       a->no_ports == b->no_ports && strcmp(a->window, b->window) == 0 &&
	       a->size == b->size && a->side_b == b->side_b;
}

void
dp_bus_conf_copy_place(struct dp_bus_conf *to, const struct dp_bus_conf *from)
{
	to->connector = from->connector;
	memcpy(to->socket, from->socket, sizeof(to->socket));
	to->no_ports = from->no_ports;
	memcpy(to->window, from->window, sizeof(to->window));
	to->size = from->size;
	to->side_b = from->side_b;
}

/* ---- device ------------------------------------------------------------------------------------ */

static int
device_class(void *obj, const char *value, char *err, size_t err_size)
{
	if (strcmp(value, "venet") != 0 && !dp_conf_back_class(value))
		return REFUSE(-EINVAL,
			"unknown class '%.60s' (there are venet, serial, block, rng)", value);
	snprintf(((struct dp_device_conf *)obj)->cls, DP_NAME_SIZE, "%s", value);
	return 0;
}

static int
device_bus(void *obj, const char *value, char *err, size_t err_size)
{
	return take_name(value, ((struct dp_device_conf *)obj)->bus, err, err_size);
}

static int
device_mac(void *obj, const char *value, char *err, size_t err_size)
{
	struct dp_device_conf *d = obj;
	int ret = take_mac(value, d->mac, err, err_size);

	d->has_mac = ret == 0;
	return ret;
}

static int
device_mtu(void *obj, const char *value, char *err, size_t err_size)
{
	uint32_t n;
	int ret = take_number(value, VBUS_VENET_MTU_MIN, VBUS_VENET_MTU_MAX, &n, err, err_size);

	if (ret == 0)
		((struct dp_device_conf *)obj)->mtu = (uint16_t)n;
	return ret;
}

static int
device_queues(void *obj, const char *value, char *err, size_t err_size)
{
	uint32_t n;
	int ret = take_number(value, 1, DP_BLOCK_QUEUES_MAX, &n, err, err_size);

	if (ret == 0)
		((struct dp_device_conf *)obj)->queues = (uint16_t)n;
	return ret;
}

static int
device_switch(void *obj, const char *value, char *err, size_t err_size)
{
	return take_name(value, ((struct dp_device_conf *)obj)->sw, err, err_size);
}

static int
device_patch(void *obj, const char *value, char *err, size_t err_size)
{
	return take_name(value, ((struct dp_device_conf *)obj)->patch, err, err_size);
}

int
dp_device_conf_check(const struct dp_device_conf *d, char *err, size_t err_size)
{
	if (!vbus_name_valid(d->name))
		return REFUSE(-EINVAL, "'%.60s' is no name: 1 to %d of A-Z a-z 0-9 _ -", d->name,
			VBUS_NAME_MAX);
	if (d->cls[0] == '\0')
		return REFUSE(-EINVAL, "class: missing (there are venet, serial, block, rng)");
	if (d->sw[0] != '\0' && d->patch[0] != '\0')
		return REFUSE(-EINVAL, "patch: a device has a switch or a patch, not both");
	if (strcmp(d->patch, d->name) == 0)
		return REFUSE(-EINVAL, "patch: '%s' is the device itself", d->patch);
	if (d->mtu < VBUS_VENET_MTU_MIN || d->mtu > VBUS_VENET_MTU_MAX)
		return REFUSE(-EINVAL, "mtu: %u is not a number from %u to %u", d->mtu,
			VBUS_VENET_MTU_MIN, VBUS_VENET_MTU_MAX);
	if (d->queues == 0 || (d->queues > DP_QUEUES_MAX && strcmp(d->cls, "venet") == 0))
		return REFUSE(-EINVAL, "queues: %u is not a number from 1 to %u", d->queues,
			DP_QUEUES_MAX);
	return dp_conf_back_check(d, err, err_size);
}

/* ---- switch ------------------------------------------------------------------------------------ */

static int
switch_ports(void *obj, const char *value, char *err, size_t err_size)
{
	struct dp_switch_conf *s = obj;

	if (value[0] == '\0' || strlen(value) >= DP_NAME_SIZE)
		return REFUSE(-EINVAL, "'%.60s' is no port: its name has 1 to %d bytes", value,
			DP_NAME_SIZE - 1);
	if (dp_names_has(&s->ports, value))
		return REFUSE(-EEXIST, "'%s' is given twice", value);
	return names_take(&s->ports, value, err, err_size);
}

static int
switch_ageing(void *obj, const char *value, char *err, size_t err_size)
{
	return take_number(value, 1, DP_AGEING_S_MAX, &((struct dp_switch_conf *)obj)->ageing_s,
		err, err_size);
}

static int
switch_size(void *obj, const char *value, char *err, size_t err_size)
{
	return take_number(value, DP_SWITCH_SIZE_MIN, DP_SWITCH_SIZE_MAX,
		&((struct dp_switch_conf *)obj)->size, err, err_size);
}

int
dp_switch_conf_check(const struct dp_switch_conf *s, char *err, size_t err_size)
{
	if (!vbus_name_valid(s->name))
		return REFUSE(-EINVAL, "'%.60s' is no name: 1 to %d of A-Z a-z 0-9 _ -", s->name,
			VBUS_NAME_MAX);
	if (s->ageing_s == 0 || s->ageing_s > DP_AGEING_S_MAX)
		return REFUSE(-EINVAL, "ageing: %u is not a number from 1 to %u", s->ageing_s,
			DP_AGEING_S_MAX);
	if (s->size < DP_SWITCH_SIZE_MIN || s->size > DP_SWITCH_SIZE_MAX)
		return REFUSE(-EINVAL, "size: %u is not a number from %u to %u", s->size,
			DP_SWITCH_SIZE_MIN, DP_SWITCH_SIZE_MAX);
	return 0;
}

/* ---- tables ------------------------------------------------------------------------------------ */

static int
top_keeper(void *obj, const char *value, char *err, size_t err_size)
{
	return take_path(value, ((struct dp_conf *)obj)->keeper, err, err_size);
}

static const struct dp_key top_keys[] = {
	{"mode", false, top_mode},
	{"idle", false, top_idle},
	{"control", false, top_control},
	{"keeper", false, top_keeper},
	{NULL, false, NULL},
};

static const struct dp_key bus_keys[] = {
	{"connector", false, bus_connector},
	{"socket", false, bus_socket},
	{"ports", false, bus_ports},
	{"window", false, bus_window},
	{"size", false, bus_size},
	{"side", false, bus_side},
	{"devices", true, bus_devices},
	{NULL, false, NULL},
};

static const struct dp_key device_keys[] = {
	{"class", false, device_class},
	{"bus", false, device_bus},
	{"mac", false, device_mac},
	{"mtu", false, device_mtu},
	{"queues", false, device_queues},
	{"switch", false, device_switch},
	{"patch", false, device_patch},
	{"pty", false, dp_conf_back_pty},
	{"listen", false, dp_conf_back_listen},
	{"file", false, dp_conf_back_file},
	{"stdio", false, dp_conf_back_stdio},
	{"scrollback", false, dp_conf_back_scrollback},
	{"hold", false, dp_conf_back_hold},
	{"memory", false, dp_conf_back_memory},
	{"readonly", false, dp_conf_back_readonly},
	{"sector", false, dp_conf_back_sector},
	{NULL, false, NULL},
};

static const struct dp_key switch_keys[] = {
	{"ports", true, switch_ports},
	{"ageing", false, switch_ageing},
	{"size", false, switch_size},
	{NULL, false, NULL},
};

static int
set(const struct dp_key *keys, void *obj, const char *key, const char *value, char *err,
	size_t err_size)
{
	char why[DP_ERR_SIZE];
	int ret;

	for (; keys->name != NULL; keys++) {
		if (strcmp(keys->name, key) != 0)
			continue;
		ret = keys->set(obj, value, why, sizeof(why));
		if (ret != 0)
			snprintf(err, err_size, "%s: %.400s", key, why);
		return ret;
	}
	return REFUSE(-ENOENT, "%.60s: unknown key", key);
}

int
dp_conf_set(struct dp_conf *c, const char *key, const char *value, char *err, size_t err_size)
{
	return set(top_keys, c, key, value, err, err_size);
}

int
dp_bus_conf_set(
	struct dp_bus_conf *b, const char *key, const char *value, char *err, size_t err_size)
{
	return set(bus_keys, b, key, value, err, err_size);
}

int
dp_device_conf_set(
	struct dp_device_conf *d, const char *key, const char *value, char *err, size_t err_size)
{
	return set(device_keys, d, key, value, err, err_size);
}

int
dp_switch_conf_set(
	struct dp_switch_conf *s, const char *key, const char *value, char *err, size_t err_size)
{
	return set(switch_keys, s, key, value, err, err_size);
}

const char *
dp_conf_key(const char *section, unsigned int index, bool *list)
{
	const struct dp_key *keys = strcmp(section, "bus") == 0	     ? bus_keys
				    : strcmp(section, "device") == 0 ? device_keys
				    : strcmp(section, "switch") == 0 ? switch_keys
								     : top_keys;
	unsigned int i;

	for (i = 0; i < index && keys[i].name != NULL; i++)
		;
	*list = keys[i].list;
	return keys[i].name;
}
