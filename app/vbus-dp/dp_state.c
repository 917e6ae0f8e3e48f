/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * The running state of vbus-dp, changed one object at a time (dp_state.h): what may be, in which
 * order its parts are made (dp_state_run.c), and how they are undone when one of them fails.
 *
 * Threads: the one that runs dp_loop. Ownership: dp_state_run.c. ADR-0010.
 */

#include "dp_back.h"
#include "dp_state_internal.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

struct dp_conf dp_run;

int
dp_state_err(char *err, size_t err_size, int code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(err, err_size, fmt, ap);
	va_end(ap);
	return code;
}

/* ---- one at a time ----------------------------------------------------------------------------- */

int
dp_bus_add(const struct dp_bus_conf *b, char *err, size_t err_size)
{
	struct dp_bus_conf *made;
	struct dp_device_conf *d;
	const struct dp_name *n;
	char why[DP_ERR_SIZE];
	int ret = dp_bus_conf_check(b, why, sizeof(why));

	if (ret != 0)
		return dp_state_err(err, err_size, ret, "bus %s: %.400s", b->name, why);
	if (dp_conf_bus(&dp_run, b->name) != NULL)
		return dp_state_err(err, err_size, -EEXIST, "bus %s: exists already", b->name);
	for (n = STAILQ_FIRST(&b->devices); n != NULL; n = STAILQ_NEXT(n, next)) {
		d = dp_conf_device(&dp_run, n->name);
		if (d == NULL)
			return dp_state_err(err, err_size, -ENOENT,
				"bus %s: devices: there is no device '%s'", b->name, n->name);
		if (d->bus[0] != '\0')
			return dp_state_err(err, err_size, -EBUSY,
				"bus %s: devices: device %s is on bus %s already", b->name, n->name,
				d->bus);
	}
	ret = dp_run_bus_make(b, &made, err, err_size);
	if (ret != 0)
		return ret;
	/* Before there is a socket: a peer that waits for it finds them all. */
	for (n = STAILQ_FIRST(&b->devices); ret == 0 && n != NULL; n = STAILQ_NEXT(n, next)) {
		d = dp_conf_device(&dp_run, n->name);
		ret = d->bus[0] != '\0'
			      ? dp_state_err(err, err_size, -EEXIST,
					"bus %s: devices: '%s' is given twice", b->name, n->name)
			      : dp_run_device_attach(d, made, err, err_size);
	}
	if (ret == 0)
		ret = dp_run_bus_open(made, err, err_size);
	if (ret == 0)
		return 0;
	for (n = STAILQ_FIRST(&b->devices); n != NULL; n = STAILQ_NEXT(n, next))
		dp_run_device_detach(dp_conf_device(&dp_run, n->name));
	dp_run_bus_unmake(made);
	return ret;
}

int
dp_bus_remove(const char *name, char *err, size_t err_size)
{
	struct dp_bus_conf *b = dp_conf_bus(&dp_run, name);

	if (b == NULL)
		return dp_state_err(err, err_size, -ENOENT, "bus %.60s: there is none", name);
	if (run_bus(b)->nb_devices != 0)
		return dp_state_err(err, err_size, -EBUSY,
			"bus %s: %u devices are on it, detach them first", name,
			run_bus(b)->nb_devices);
	dp_run_bus_unmake(b);
	return 0;
}

/* Does all exist that the device names, and can it have it? */
static int
device_refs(const struct dp_device_conf *d, char *err, size_t err_size)
{
	const struct dp_device_conf *to;
	char why[DP_ERR_SIZE];
	int ret = dp_device_conf_check(d, why, sizeof(why));

	if (ret != 0)
		return dp_state_err(err, err_size, ret, "device %s: %.400s", d->name, why);
	if (dp_conf_device(&dp_run, d->name) != NULL)
		return dp_state_err(err, err_size, -EEXIST, "device %s: exists already", d->name);
	if (d->bus[0] != '\0' && dp_conf_bus(&dp_run, d->bus) == NULL)
		return dp_state_err(err, err_size, -ENOENT, "device %s: bus: there is no bus '%s'",
			d->name, d->bus);
	if (d->sw[0] != '\0' && dp_conf_switch(&dp_run, d->sw) == NULL)
		return dp_state_err(err, err_size, -ENOENT,
			"device %s: switch: there is no switch '%s'", d->name, d->sw);
	if (d->patch[0] == '\0')
		return 0;
	to = dp_conf_device(&dp_run, d->patch);
	if (to == NULL)
		return dp_state_err(err, err_size, -ENOENT,
			"device %s: patch: there is no device '%s'", d->name, d->patch);
	if (to->sw[0] != '\0' || run_device(to)->peer != NULL)
		return dp_state_err(err, err_size, -EBUSY, "device %s: patch: device %s has a %s",
			d->name, to->name, to->sw[0] != '\0' ? "switch" : "patch");
	return 0;
}

int
dp_device_add(const struct dp_device_conf *d, char *err, size_t err_size)
{
	struct dp_device_conf *made;
	int ret = device_refs(d, err, err_size);

	if (ret == 0)
		ret = dp_run_device_make(d, &made, err, err_size);
	if (ret != 0)
		return ret;
	if (d->patch[0] != '\0')
		ret = dp_run_device_patch(made, dp_conf_device(&dp_run, d->patch), err, err_size);
	if (ret == 0 && d->bus[0] != '\0')
		ret = dp_run_device_attach(made, dp_conf_bus(&dp_run, d->bus), err, err_size);
	if (ret != 0)
		dp_run_device_unmake(made);
	return ret;
}

int
dp_device_remove(const char *name, char *err, size_t err_size)
{
	struct dp_device_conf *d = dp_conf_device(&dp_run, name);

	if (d == NULL)
		return dp_state_err(err, err_size, -ENOENT, "device %.60s: there is none", name);
	dp_run_device_unmake(d);
	return 0;
}

int
dp_device_attach(const char *name, const char *bus, char *err, size_t err_size)
{
	struct dp_device_conf *d = dp_conf_device(&dp_run, name);
	struct dp_bus_conf *b = dp_conf_bus(&dp_run, bus);

	if (d == NULL)
		return dp_state_err(err, err_size, -ENOENT, "device %.60s: there is none", name);
	if (b == NULL)
		return dp_state_err(
			err, err_size, -ENOENT, "device %s: there is no bus '%.60s'", name, bus);
	if (d->bus[0] != '\0')
		return dp_state_err(
			err, err_size, -EBUSY, "device %s: is on bus %s already", name, d->bus);
	return dp_run_device_attach(d, b, err, err_size);
}

int
dp_device_detach(const char *name, char *err, size_t err_size)
{
	struct dp_device_conf *d = dp_conf_device(&dp_run, name);

	if (d == NULL)
		return dp_state_err(err, err_size, -ENOENT, "device %.60s: there is none", name);
	if (d->bus[0] == '\0')
		return dp_state_err(err, err_size, -EINVAL, "device %s: is on no bus", name);
	dp_run_device_detach(d);
	return 0;
}

int
dp_device_break(const char *name, char *err, size_t err_size)
{
	const struct dp_device_conf *d = dp_conf_device(&dp_run, name);
	int ret;

	if (d == NULL)
		return dp_state_err(err, err_size, -ENOENT, "device %.60s: there is none", name);
	ret = dp_back_break(run_device(d)->back);
	return ret == 0 ? 0
			: dp_state_err(err, err_size, ret, "device %s: %s", name,
				  ret == -ENOTCONN ? "its peer has not started it"
						   : "is no serial port");
}

int
dp_switch_add(const struct dp_switch_conf *s, char *err, size_t err_size)
{
	struct dp_switch_conf *made;
	const struct dp_name *n;
	char why[DP_ERR_SIZE];
	int ret = dp_switch_conf_check(s, why, sizeof(why));

	if (ret != 0)
		return dp_state_err(err, err_size, ret, "switch %s: %.400s", s->name, why);
	if (dp_conf_switch(&dp_run, s->name) != NULL)
		return dp_state_err(err, err_size, -EEXIST, "switch %s: exists already", s->name);
	ret = dp_run_switch_make(s, &made, err, err_size);
	if (ret != 0)
		return ret;
	for (n = STAILQ_FIRST(&s->ports); ret == 0 && n != NULL; n = STAILQ_NEXT(n, next))
		ret = dp_run_uplink_add(made, n->name, err, err_size);
	if (ret != 0)
		dp_run_switch_unmake(made);
	return ret;
}

int
dp_switch_remove(const char *name, char *err, size_t err_size)
{
	struct dp_switch_conf *s = dp_conf_switch(&dp_run, name);

	if (s == NULL)
		return dp_state_err(err, err_size, -ENOENT, "switch %.60s: there is none", name);
	if (run_switch(s)->nb_devices != 0)
		return dp_state_err(err, err_size, -EBUSY,
			"switch %s: %u devices are on it, delete them first", name,
			run_switch(s)->nb_devices);
	dp_run_switch_unmake(s);
	return 0;
}

/* ---- all --------------------------------------------------------------------------------------- */

void
dp_state_init(const struct dp_conf *top)
{
	dp_conf_init(&dp_run);
	dp_run.mode = top->mode;
	dp_run.idle_us = top->idle_us;
	memcpy(dp_run.control, top->control, sizeof(dp_run.control));
	memcpy(dp_run.keeper, top->keeper, sizeof(dp_run.keeper));
}

void
dp_state_set_control(const char *path)
{
	snprintf(dp_run.control, sizeof(dp_run.control), "%s", path);
}

void
dp_state_clear(void)
{
	struct dp_bus_conf *b;
	struct dp_device_conf *d;
	struct dp_switch_conf *s;

	while ((d = TAILQ_FIRST(&dp_run.devices)) != NULL)
		dp_run_device_unmake(d);
	while ((b = TAILQ_FIRST(&dp_run.buses)) != NULL)
		dp_run_bus_unmake(b);
	while ((s = TAILQ_FIRST(&dp_run.switches)) != NULL)
		dp_run_switch_unmake(s);
}

const struct dp_conf *
dp_state_conf(void)
{
	return &dp_run;
}

struct dp_port *
dp_state_port(const char *name)
{
	const struct dp_device_conf *d = dp_conf_device(&dp_run, name);
	const struct dp_switch_conf *s;
	const struct dp_run_uplink *u;

	if (d != NULL)
		return run_device(d)->port;
	TAILQ_FOREACH (s, &dp_run.switches, next)
		for (u = LIST_FIRST(&run_switch(s)->uplinks); u != NULL; u = LIST_NEXT(u, next))
			if (strcmp(u->name, name) == 0)
				return u->port;
	return NULL;
}

struct dp_switch *
dp_state_switch(const char *name)
{
	const struct dp_switch_conf *s = name[0] == '\0' ? NULL : dp_conf_switch(&dp_run, name);

	return s == NULL ? NULL : run_switch(s)->sw;
}

struct vbus_bus *
dp_state_bus(const char *name)
{
	const struct dp_bus_conf *b = dp_conf_bus(&dp_run, name);

	return b == NULL ? NULL : run_bus(b)->bus;
}

struct vbus_device *
dp_state_device(const char *name)
{
	const struct dp_device_conf *d = dp_conf_device(&dp_run, name);

	return d == NULL ? NULL : run_device(d)->dev;
}
