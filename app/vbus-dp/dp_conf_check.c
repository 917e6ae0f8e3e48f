/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * What must hold between the objects of a configuration: every name that is mentioned exists, and
 * nothing is in two places. Each error names the line of the key that is wrong.
 *
 * Threads: any; no state.
 */

#include "dp_conf.h"

#include <errno.h>
#include <search.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "vbus_core.h"

struct check {
	const struct dp_conf *c;
	const char *file; /* NULL: no place in the error */
	char *err;
	size_t err_size;
};

static int wrong(const struct check *k, uint32_t line, int code, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

static int
wrong(const struct check *k, uint32_t line, int code, const char *fmt, ...)
{
	char why[DP_ERR_SIZE];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	if (k->file != NULL)
		snprintf(k->err, k->err_size, "%s:%u: %s", k->file, line, why);
	else
		snprintf(k->err, k->err_size, "%s", why);
	return code;
}

/* A string that others point into, and where it was first said: nodes of a search tree. */
struct said {
	const char *text;
	uint32_t line;
	const char *by;
};

static int
by_text(const void *a, const void *b)
{
	return strcmp(((const struct said *)a)->text, ((const struct said *)b)->text);
}

static void
no_free(void *node)
{
	(void)node;
}

/* ---- one kind each ----------------------------------------------------------------------------- */

static int
check_buses(const struct check *k)
{
	char why[DP_ERR_SIZE];
	struct said *all, *first;
	const struct dp_bus_conf *b;
	void *sockets = NULL, **found;
	size_t nb = 1, i = 0; /* the control socket */
	int ret = 0;

	TAILQ_FOREACH (b, &k->c->buses, next)
		nb++;
	all = calloc(nb, sizeof(*all));
	if (all == NULL)
		return wrong(k, 0, -ENOMEM, "out of memory");
	all[i++] = (struct said){.text = k->c->control[0] != '\0' ? k->c->control : DP_CONTROL_PATH,
		.line = k->c->control_line,
		.by = "control"};
	tsearch(&all[0], &sockets, by_text);
	TAILQ_FOREACH (b, &k->c->buses, next) {
		ret = dp_bus_conf_check(b, why, sizeof(why));
		if (ret != 0) {
			wrong(k, b->line, ret, "bus %s: %.400s", b->name, why);
			break;
		}
		if (b->socket[0] == '\0')
			continue;
		all[i] = (struct said){.text = b->socket, .line = b->socket_line, .by = b->name};
		found = tsearch(&all[i], &sockets, by_text);
		first = found == NULL ? &all[i] : *found;
		if (first != &all[i]) {
			ret = wrong(k, b->socket_line, -EEXIST,
				"bus %s: socket: %s is that of %s%s already", b->name, b->socket,
				first == all ? "" : "bus ", first->by);
			break;
		}
		i++;
	}
	tdestroy(sockets, no_free);
	free(all);
	return ret;
}

static int
check_switches(const struct check *k)
{
	char why[DP_ERR_SIZE];
	struct said *all, *first;
	const struct dp_switch_conf *s;
	const struct dp_name *n;
	void *ports = NULL, **found;
	size_t nb = 1, i = 0;
	int ret = 0;

	TAILQ_FOREACH (s, &k->c->switches, next)
		for (n = STAILQ_FIRST(&s->ports); n != NULL; n = STAILQ_NEXT(n, next))
			nb++;
	all = calloc(nb, sizeof(*all));
	if (all == NULL)
		return wrong(k, 0, -ENOMEM, "out of memory");
	TAILQ_FOREACH (s, &k->c->switches, next) {
		ret = dp_switch_conf_check(s, why, sizeof(why));
		if (ret != 0)
			wrong(k, s->line, ret, "switch %s: %.400s", s->name, why);
		n = STAILQ_FIRST(&s->ports);
		for (; ret == 0 && n != NULL; n = STAILQ_NEXT(n, next), i++) {
			all[i] = (struct said){.text = n->name, .line = n->line, .by = s->name};
			found = tsearch(&all[i], &ports, by_text);
			first = found == NULL ? &all[i] : *found;
			if (first != &all[i])
				ret = wrong(k, n->line, -EEXIST,
					"switch %s: ports: '%s' is a port of switch %s already",
					s->name, n->name, first->by);
		}
		if (ret != 0)
			break;
	}
	tdestroy(ports, no_free);
	free(all);
	return ret;
}

static int
check_patch(const struct check *k, const struct dp_device_conf *d)
{
	const struct dp_device_conf *other = dp_conf_device(k->c, d->patch);

	if (other == NULL)
		return wrong(k, d->patch_line, -ENOENT, "device %s: patch: there is no device '%s'",
			d->name, d->patch);
	if (other->sw[0] != '\0')
		return wrong(k, d->patch_line, -EINVAL,
			"device %s: patch: device %s has a switch (%s)", d->name, other->name,
			other->sw);
	if (other->patch[0] != '\0' && strcmp(other->patch, d->name) != 0)
		return wrong(k, d->patch_line, -EINVAL,
			"device %s: patch: device %s is patched to '%s'", d->name, other->name,
			other->patch);
	return 0;
}

/* Two devices that name the same third one, which names none: found by a tree of the names. */
static int
check_patch_ends(const struct check *k)
{
	const struct dp_device_conf *d, *other;
	struct said *all, *first;
	void *ends = NULL, **found;
	size_t nb = 1, i = 0;
	int ret = 0;

	TAILQ_FOREACH (d, &k->c->devices, next)
		nb++;
	all = calloc(nb, sizeof(*all));
	if (all == NULL)
		return wrong(k, 0, -ENOMEM, "out of memory");
	TAILQ_FOREACH (d, &k->c->devices, next) {
		if (d->patch[0] == '\0')
			continue;
		other = dp_conf_device(k->c, d->patch);
		if (other->patch[0] != '\0')
			continue; /* it points back */
		all[i] = (struct said){.text = d->patch, .line = d->patch_line, .by = d->name};
		found = tsearch(&all[i], &ends, by_text);
		first = found == NULL ? &all[i] : *found;
		if (first != &all[i]) {
			ret = wrong(k, d->patch_line, -EEXIST,
				"device %s: patch: device %s is patched to '%s' already", d->name,
				d->patch, first->by);
			break;
		}
		i++;
	}
	tdestroy(ends, no_free);
	free(all);
	return ret;
}

static int
check_device(const struct check *k, const struct dp_device_conf *d)
{
	char why[DP_ERR_SIZE];
	int ret = dp_device_conf_check(d, why, sizeof(why));

	if (ret != 0)
		return wrong(k, d->line, ret, "device %s: %.400s", d->name, why);
	if (d->bus[0] != '\0' && dp_conf_bus(k->c, d->bus) == NULL)
		return wrong(k, d->bus_line, -ENOENT, "device %s: bus: there is no bus '%s'",
			d->name, d->bus);
	if (d->sw[0] != '\0' && dp_conf_switch(k->c, d->sw) == NULL)
		return wrong(k, d->sw_line, -ENOENT, "device %s: switch: there is no switch '%s'",
			d->name, d->sw);
	return d->patch[0] != '\0' ? check_patch(k, d) : 0;
}

static int
check_room(const struct check *k)
{
	const struct dp_device_conf *d;
	struct dp_bus_conf *b;

	TAILQ_FOREACH (b, &k->c->buses, next)
		b->nb_counted = 0;
	TAILQ_FOREACH (d, &k->c->devices, next) {
		b = d->bus[0] != '\0' ? dp_conf_bus(k->c, d->bus) : NULL;
		if (b != NULL && ++b->nb_counted > VBUS_BUS_DEVICES_MAX)
			return wrong(k, d->bus_line, -ENOSPC, "bus %s: devices: more than %u on it",
				b->name, VBUS_BUS_DEVICES_MAX);
	}
	return 0;
}

int
dp_conf_check(const struct dp_conf *c, const char *file, char *err, size_t err_size)
{
	const struct check k = {.c = c, .file = file, .err = err, .err_size = err_size};
	const struct dp_device_conf *d;
	int ret = check_buses(&k);

	if (ret == 0)
		ret = check_switches(&k);
	TAILQ_FOREACH (d, &c->devices, next) {
		if (ret != 0)
			return ret;
		ret = check_device(&k, d);
	}
	if (ret == 0)
		ret = check_patch_ends(&k);
	return ret != 0 ? ret : check_room(&k);
}
