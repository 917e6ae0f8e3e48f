/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * Keys of the device classes serial, block and rng (DECISIONS 26): how their text becomes a value,
 * and which of them a class has. Any thread; no state.
 */

#include "dp_conf_back.h"

#include <ctype.h>
#include <errno.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define REFUSE(...) (snprintf(err, err_size, __VA_ARGS__), -EINVAL)

static int
take_u64(const char *value, uint64_t min, uint64_t max, uint64_t *out, char *err, size_t err_size)
{
	unsigned long long n;
	char *end;

	errno = 0;
	n = strtoull(value, &end, 10);
	/* strtoull() takes signs and blanks. */
	if (!isdigit((unsigned char)value[0]) || *end != '\0' || errno != 0 || n < min || n > max)
		return REFUSE("'%.60s' is not a number from %llu to %llu", value,
			(unsigned long long)min, (unsigned long long)max);
	*out = n;
	return 0;
}

static int
take_bool(const char *value, bool *out, char *err, size_t err_size)
{
	if (strcmp(value, "true") != 0 && strcmp(value, "false") != 0)
		return REFUSE("'%.60s' is neither true nor false", value);
	*out = strcmp(value, "true") == 0;
	return 0;
}

/** A path whose folder is there. */
static int
take_path(const char *value, char *out, size_t size, char *err, size_t err_size)
{
	char copy[DP_FILE_SIZE];
	struct stat st;
	const char *dir;

	if (value[0] == '\0')
		return REFUSE("no path");
	if (strlen(value) >= size)
		return REFUSE("'%.40s...' has %zu bytes, at most %zu are possible", value,
			strlen(value), size - 1);
	snprintf(copy, sizeof(copy), "%s", value);
	dir = dirname(copy);
	if (strcmp(dir, DP_RUN_DIR) != 0 && stat(dir, &st) != 0)
		return REFUSE("%s: folder %s: %s", value, dir, strerror(errno));
	snprintf(out, size, "%s", value);
	return 0;
}

int
dp_conf_back_pty(void *obj, const char *value, char *err, size_t err_size)
{
	struct dp_device_conf *d = obj;
	struct stat st;

	if (lstat(value, &st) == 0 && !S_ISLNK(st.st_mode))
		return REFUSE("%s: exists and is not a link", value);
	return take_path(value, d->pty, sizeof(d->pty), err, err_size);
}

int
dp_conf_back_listen(void *obj, const char *value, char *err, size_t err_size)
{
	struct dp_device_conf *d = obj;
	int ret = dp_socket_path_check(value, err, err_size);

	if (ret == 0)
		snprintf(d->listen, sizeof(d->listen), "%s", value);
	return ret;
}

int
dp_conf_back_file(void *obj, const char *value, char *err, size_t err_size)
{
	struct dp_device_conf *d = obj;

	return take_path(value, d->file, sizeof(d->file), err, err_size);
}

int
dp_conf_back_stdio(void *obj, const char *value, char *err, size_t err_size)
{
	return take_bool(value, &((struct dp_device_conf *)obj)->stdio, err, err_size);
}

int
dp_conf_back_hold(void *obj, const char *value, char *err, size_t err_size)
{
	return take_bool(value, &((struct dp_device_conf *)obj)->hold, err, err_size);
}

int
dp_conf_back_scrollback(void *obj, const char *value, char *err, size_t err_size)
{
	uint64_t n;
	int ret = take_u64(value, 0, DP_SCROLLBACK_MAX, &n, err, err_size);

	if (ret == 0)
		((struct dp_device_conf *)obj)->scrollback = (uint32_t)n;
	return ret;
}

int
dp_conf_back_memory(void *obj, const char *value, char *err, size_t err_size)
{
	return take_u64(
		value, 4096, 1ull << 46, &((struct dp_device_conf *)obj)->memory, err, err_size);
}

int
dp_conf_back_readonly(void *obj, const char *value, char *err, size_t err_size)
{
	return take_bool(value, &((struct dp_device_conf *)obj)->readonly, err, err_size);
}

int
dp_conf_back_sector(void *obj, const char *value, char *err, size_t err_size)
{
	struct dp_device_conf *d = obj;

	if (strcmp(value, "512") != 0 && strcmp(value, "4096") != 0)
		return REFUSE("'%.60s' is neither 512 nor 4096", value);
	d->sector = (uint32_t)strtoul(value, NULL, 10);
	return 0;
}

/* ---- which class has which --------------------------------------------------------------------- */

bool
dp_conf_back_class(const char *cls)
{
	return strcmp(cls, "serial") == 0 || strcmp(cls, "block") == 0 || strcmp(cls, "rng") == 0;
}

static int
no_such(const char *key, const char *cls, char *err, size_t err_size)
{
	return REFUSE("%s: class %s has none", key, cls);
}

static int
check_serial(const struct dp_device_conf *d, char *err, size_t err_size)
{
	int nb = (d->pty[0] != '\0') + (d->listen[0] != '\0') + (d->file[0] != '\0') + d->stdio;

	if (nb != 1)
		return REFUSE("pty: class serial needs one of pty, listen, file and stdio%s",
			nb == 0 ? "" : ", and not several");
	return 0;
}

static int
check_block(const struct dp_device_conf *d, char *err, size_t err_size)
{
	struct stat st;

	if ((d->file[0] != '\0') == (d->memory != 0))
		return REFUSE("file: class block needs one of file and memory%s",
			d->memory == 0 ? "" : ", and not both");
	if (d->memory % d->sector != 0)
		return REFUSE("memory: %llu is no multiple of the sector size %u",
			(unsigned long long)d->memory, d->sector);
	if (d->queues > DP_BLOCK_QUEUES_MAX)
		return REFUSE(
			"queues: %u is not a number from 1 to %u", d->queues, DP_BLOCK_QUEUES_MAX);
	if (d->file[0] == '\0')
		return 0;
	if (stat(d->file, &st) != 0)
		return REFUSE("file: %s: %s", d->file, strerror(errno));
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		return REFUSE("file: %s: is neither a file nor a block device", d->file);
	return 0;
}

int
dp_conf_back_check(const struct dp_device_conf *d, char *err, size_t err_size)
{
	const bool serial = strcmp(d->cls, "serial") == 0;
	const bool block = strcmp(d->cls, "block") == 0;
	const char *key = NULL;

	if (strcmp(d->cls, "venet") != 0)
		key = d->sw[0] != '\0'	    ? "switch"
		      : d->patch[0] != '\0' ? "patch"
		      : d->has_mac	    ? "mac"
		      : d->mtu != 1500	    ? "mtu"
					    : NULL;
	if (key == NULL && !serial)
		key = d->pty[0] != '\0'		       ? "pty"
		      : d->listen[0] != '\0'	       ? "listen"
		      : d->stdio		       ? "stdio"
		      : d->scrollback != DP_SCROLLBACK ? "scrollback"
		      : d->hold			       ? "hold"
						       : NULL;
	if (key == NULL && !block)
		key = d->memory != 0				       ? "memory"
		      : d->readonly				       ? "readonly"
		      : d->sector != 512			       ? "sector"
		      : d->queues != 1 && strcmp(d->cls, "venet") != 0 ? "queues"
								       : NULL;
	if (key == NULL && !serial && !block && d->file[0] != '\0')
		key = "file";
	if (key != NULL)
		return no_such(key, d->cls, err, err_size);
	if (serial)
		return check_serial(d, err, err_size);
	return block ? check_block(d, err, err_size) : 0;
}

bool
dp_conf_back_differs(const struct dp_device_conf *a, const struct dp_device_conf *b)
{
	return strcmp(a->pty, b->pty) != 0 || strcmp(a->listen, b->listen) != 0 ||
	       strcmp(a->file, b->file) != 0 || a->stdio != b->stdio ||
	       a->scrollback != b->scrollback || a->hold != b->hold || a->memory != b->memory ||
	       a->readonly != b->readonly || a->sector != b->sector;
}
