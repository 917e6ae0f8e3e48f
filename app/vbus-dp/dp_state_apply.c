/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * From the running state to a wanted one: at the start, when nothing runs, and at SIGHUP.
 *
 * Threads: the one that runs dp_loop. Objects are matched by name, and only what differs is touched.
 * The order makes room before it is needed and loses no name that is still in use:
 *
 *   switches and uplinks in - devices out - devices changed and in - patches - new buses, without
 *   sockets - devices to their buses - old buses out - sockets of new and changed buses - switches out
 *
 * So a peer that waits for a new socket finds every device there (DECISIONS 14), and a socket's path
 * can go from one bus to another. The first failure ends it; every object is whole then, and the
 * next SIGHUP goes on from there.
 */

#include "dp_state_internal.h"

#include <errno.h>
#include <string.h>

#include "dp_conf_back.h"
#include "dp_log.h"

DP_LOG_TYPE("apply");

struct apply {
	const struct dp_conf *want;
	const char *file;
	char *err;
	size_t err_size;
	char why[DP_ERR_SIZE]; /* of a part */
	uint32_t nb_changes;
	int ret; /* of the first failure */
};

/* After a part: count it, or say what failed and where that stands in the file. @return @p code */
static int
failed(struct apply *a, uint32_t line, int code)
{
	if (code == 0)
		a->nb_changes++;
	if (code == 0 || a->ret != 0)
		return code; /* the first failure is what is reported */
	a->ret = code;
	if (a->file != NULL)
		snprintf(a->err, a->err_size, "%s:%u: %.400s", a->file, line, a->why);
	else
		snprintf(a->err, a->err_size, "%s", a->why);
	return code;
}

#define WHY(a) (a)->why, sizeof((a)->why)

/* ---- switches ---------------------------------------------------------------------------------- */

/* A table of another size: a new one, and everybody moves. */
static int
switch_remake(struct apply *a, struct dp_switch_conf *have, const struct dp_switch_conf *s)
{
	struct dp_run_switch *r = run_switch(have);
	struct dp_switch *old = r->sw, *sw;
	const struct dp_device_conf *d;
	const struct dp_run_uplink *u;
	int ret = 0;

	errno = 0;
	sw = dp_switch_create(s->name, s->ageing_s, s->size, WHY(a));
	if (sw == NULL)
		return failed(a, s->line, errno != 0 ? -errno : -ENOMEM);
	TAILQ_FOREACH (d, &dp_run.devices, next)
		if (ret == 0 && strcmp(d->sw, s->name) == 0)
			ret = dp_port_set_switch(run_device(d)->port, sw);
	for (u = LIST_FIRST(&r->uplinks); ret == 0 && u != NULL; u = LIST_NEXT(u, next))
		ret = dp_port_set_switch(u->port, sw);
	if (ret != 0) {
		/* Back, as far as it goes: to move costs memory for a moment, and that was there. */
		TAILQ_FOREACH (d, &dp_run.devices, next)
			if (strcmp(d->sw, s->name) == 0)
				dp_port_set_switch(run_device(d)->port, old);
		for (u = LIST_FIRST(&r->uplinks); u != NULL; u = LIST_NEXT(u, next))
			dp_port_set_switch(u->port, old);
		if (dp_switch_delete(sw) != 0)
			DP_LOG(ERR, "switch %s: ports are left on its new table", s->name);
		dp_state_err(
			WHY(a), 0, "switch %s: ports cannot move: %s", s->name, strerror(-ret));
		return failed(a, s->line, ret);
	}
	r->sw = sw;
	have->ageing_s = s->ageing_s;
	have->size = s->size;
	if (dp_switch_delete(old) != 0)
		DP_LOG(ERR, "switch %s: its old table still has ports, its memory is lost",
			s->name);
	a->nb_changes++;
	return 0;
}

static void
switch_ageing(struct apply *a, struct dp_switch_conf *have, uint32_t ageing_s)
{
	dp_switch_set_ageing(run_switch(have)->sw, ageing_s);
	have->ageing_s = ageing_s;
	a->nb_changes++;
}

static int
switches_in(struct apply *a)
{
	const struct dp_switch_conf *s;
	struct dp_switch_conf *have;
	int ret = 0;

	TAILQ_FOREACH (s, &a->want->switches, next) {
		have = dp_conf_switch(&dp_run, s->name);
		if (have == NULL)
			ret = failed(a, s->line, dp_run_switch_make(s, &have, WHY(a)));
		else if (have->size != s->size)
			ret = switch_remake(a, have, s);
		else if (have->ageing_s != s->ageing_s)
			switch_ageing(a, have, s->ageing_s);
		if (ret != 0)
			break;
	}
	return ret;
}

/* Uplinks: out first, for one that moves is the same port. */
static int
uplinks(struct apply *a)
{
	const struct dp_switch_conf *s;
	struct dp_switch_conf *have;
	struct dp_run_uplink *u, *next;
	const struct dp_name *n;
	int ret;

	TAILQ_FOREACH (have, &dp_run.switches, next) {
		s = dp_conf_switch(a->want, have->name);
		for (u = LIST_FIRST(&run_switch(have)->uplinks); u != NULL; u = next) {
			next = LIST_NEXT(u, next);
			/* One that was unplugged and is back is made anew. */
			if (s != NULL && dp_names_has(&s->ports, u->name) &&
				!(dp_port_gone(u->port) && dp_uplink_exists(u->name)))
				continue;
			dp_run_uplink_del(have, u);
			a->nb_changes++;
		}
	}
	TAILQ_FOREACH (s, &a->want->switches, next) {
		have = dp_conf_switch(&dp_run, s->name);
		for (n = STAILQ_FIRST(&s->ports); n != NULL; n = STAILQ_NEXT(n, next)) {
			if (dp_names_has(&have->ports, n->name))
				continue;
			ret = failed(a, n->line, dp_run_uplink_add(have, n->name, WHY(a)));
			if (ret != 0)
				return ret;
		}
	}
	return 0;
}

static void
switches_out(struct apply *a)
{
	struct dp_switch_conf *s, *next;

	for (s = TAILQ_FIRST(&dp_run.switches); s != NULL; s = next) {
		next = TAILQ_NEXT(s, next);
		if (dp_conf_switch(a->want, s->name) != NULL)
			continue;
		dp_run_switch_unmake(s);
		a->nb_changes++;
	}
}

/* ---- devices ----------------------------------------------------------------------------------- */

/* Asked for another address? One that was chosen is as good as that when it is asked for. */
static bool
mac_is_other(const struct dp_device_conf *have, const struct dp_device_conf *want)
{
	if (!want->has_mac)
		return have->has_mac;
	return memcmp(have->mac, want->mac, sizeof(want->mac)) != 0;
}

/* North sees these when it opens the device: another device, for it. */
static bool
device_is_other(const struct dp_device_conf *have, const struct dp_device_conf *want)
{
	return strcmp(have->cls, want->cls) != 0 || have->queues != want->queues ||
	       dp_conf_back_differs(have, want) || mac_is_other(have, want);
}

static void
devices_out(struct apply *a)
{
	struct dp_device_conf *d, *next;

	for (d = TAILQ_FIRST(&dp_run.devices); d != NULL; d = next) {
		next = TAILQ_NEXT(d, next);
		if (dp_conf_device(a->want, d->name) != NULL)
			continue;
		dp_run_device_unmake(d);
		a->nb_changes++;
	}
}

/* What was patched and is not to be, before anybody wants a switch or another patch. */
static void
patches_out(struct apply *a)
{
	const struct dp_device_conf *w, *w_peer;
	struct dp_device_conf *d, *peer;

	TAILQ_FOREACH (d, &dp_run.devices, next) {
		peer = run_device(d)->peer;
		if (peer == NULL)
			continue;
		w = dp_conf_device(a->want, d->name);
		w_peer = dp_conf_device(a->want, peer->name);
		if (strcmp(w->patch, peer->name) != 0 && strcmp(w_peer->patch, d->name) != 0) {
			dp_run_device_unpatch(d);
			a->nb_changes++;
		} else { /* who names whom may differ, the patch stays */
			memcpy(d->patch, w->patch, sizeof(d->patch));
			memcpy(peer->patch, w_peer->patch, sizeof(peer->patch));
		}
	}
}

/* Gone and made again; when it cannot be, the old one again. */
static int
device_remake(struct apply *a, struct dp_device_conf *have, const struct dp_device_conf *d)
{
	struct dp_device_conf *old = dp_device_conf_copy(have), *made;
	char why[DP_ERR_SIZE];
	int ret;

	if (old == NULL) {
		dp_state_err(WHY(a), 0, "device %s: %s", d->name, strerror(ENOMEM));
		return failed(a, d->line, -ENOMEM);
	}
	dp_run_device_unmake(have);
	ret = dp_run_device_make(d, &made, WHY(a));
	if (ret != 0 && dp_device_add(old, why, sizeof(why)) != 0)
		DP_LOG(ERR, "the old one is lost too: %s", why);
	dp_device_conf_del(old);
	return failed(a, d->line, ret);
}

static int
device_change(struct apply *a, struct dp_device_conf *have, const struct dp_device_conf *d)
{
	int ret = 0;

	if (device_is_other(have, d))
		return device_remake(a, have, d);
	have->has_mac = d->has_mac;
	if (strcmp(have->sw, d->sw) != 0)
		ret = failed(a, d->sw_line != 0 ? d->sw_line : d->line,
			dp_run_device_switch(have, d->sw, WHY(a)));
	if (ret == 0 && have->mtu != d->mtu) {
		ret = failed(a, d->line, dp_run_device_mtu(have, d->mtu, WHY(a)));
		if (run_device(have)->port == NULL) {
			DP_LOG(ERR, "device %s: has no port any more, it is removed", have->name);
			dp_run_device_unmake(have);
		}
	}
	return ret;
}

static int
devices_in(struct apply *a)
{
	const struct dp_device_conf *d;
	struct dp_device_conf *have;
	int ret;

	TAILQ_FOREACH (d, &a->want->devices, next) {
		have = dp_conf_device(&dp_run, d->name);
		if (have == NULL)
			ret = failed(a, d->line, dp_run_device_make(d, &have, WHY(a)));
		else
			ret = device_change(a, have, d);
		if (ret != 0)
			return ret;
	}
	return 0;
}

static int
patches_in(struct apply *a)
{
	const struct dp_device_conf *d;
	struct dp_device_conf *have;
	int ret;

	TAILQ_FOREACH (d, &a->want->devices, next) {
		have = dp_conf_device(&dp_run, d->name);
		if (d->patch[0] == '\0' || strcmp(have->patch, d->patch) == 0)
			continue;
		ret = failed(a, d->patch_line,
			dp_run_device_patch(have, dp_conf_device(&dp_run, d->patch), WHY(a)));
		if (ret != 0)
			return ret;
	}
	return 0;
}

/* ---- buses ------------------------------------------------------------------------------------- */

/* Take a bus away with nothing on it. */
static void
bus_empty_unmake(struct dp_bus_conf *b)
{
	struct dp_device_conf *d;

	TAILQ_FOREACH (d, &dp_run.devices, next)
		if (strcmp(d->bus, b->name) == 0)
			dp_run_device_detach(d);
	dp_run_bus_unmake(b);
}

static int
bus_change(struct apply *a, struct dp_bus_conf *have, const struct dp_bus_conf *b)
{
	struct dp_run_bus *r = run_bus(have);
	int ret = failed(a, b->line, dp_run_bus_close(have, WHY(a)));

	if (ret != 0) {
		bus_empty_unmake(have);
		return ret;
	}
	r->was_open = true;
	dp_bus_conf_copy_place(&r->was, have);
	dp_bus_conf_copy_place(have, b);
	return 0;
}

static int
buses_in(struct apply *a)
{
	const struct dp_bus_conf *b;
	struct dp_bus_conf *have;
	int ret = 0;

	TAILQ_FOREACH (b, &a->want->buses, next) {
		have = dp_conf_bus(&dp_run, b->name);
		if (have == NULL)
			ret = failed(a, b->line, dp_run_bus_make(b, &have, WHY(a)));
		else if (!dp_bus_conf_same_place(have, b))
			ret = bus_change(a, have, b);
		if (ret != 0)
			break;
	}
	return ret;
}

/* All that leave a bus before any enters one: a full bus may trade. */
static int
devices_to_buses(struct apply *a)
{
	const struct dp_device_conf *d;
	struct dp_device_conf *have;
	int ret;

	TAILQ_FOREACH (d, &a->want->devices, next) {
		have = dp_conf_device(&dp_run, d->name);
		if (have->bus[0] == '\0' || strcmp(have->bus, d->bus) == 0)
			continue;
		dp_run_device_detach(have);
		a->nb_changes++;
	}
	TAILQ_FOREACH (d, &a->want->devices, next) {
		have = dp_conf_device(&dp_run, d->name);
		if (strcmp(have->bus, d->bus) == 0)
			continue;
		ret = failed(a, d->bus_line,
			dp_run_device_attach(have, dp_conf_bus(&dp_run, d->bus), WHY(a)));
		if (ret != 0)
			return ret;
	}
	return 0;
}

static void
buses_out(struct apply *a)
{
	struct dp_bus_conf *b, *next;

	for (b = TAILQ_FIRST(&dp_run.buses); b != NULL; b = next) {
		next = TAILQ_NEXT(b, next);
		if (dp_conf_bus(a->want, b->name) != NULL)
			continue;
		bus_empty_unmake(b);
		a->nb_changes++;
	}
}

/* It cannot be served: back to where it was, or gone, so that the next SIGHUP tries again. */
static void
bus_back(struct dp_bus_conf *b)
{
	struct dp_run_bus *r = run_bus(b);
	char why[DP_ERR_SIZE];

	if (r->was_open) {
		r->was_open = false;
		dp_bus_conf_copy_place(b, &r->was);
		if (dp_run_bus_open(b, why, sizeof(why)) == 0)
			return;
		DP_LOG(ERR, "the old place is lost too: %s", why);
	}
	bus_empty_unmake(b);
}

/* After a failure elsewhere nothing new is served, but what was is. */
static void
buses_open(struct apply *a)
{
	struct dp_bus_conf *have, *next;
	const struct dp_bus_conf *b;
	uint32_t line;

	for (have = TAILQ_FIRST(&dp_run.buses); have != NULL; have = next) {
		next = TAILQ_NEXT(have, next);
		if (run_bus(have)->open)
			continue;
		if (a->ret == 0) {
			b = dp_conf_bus(a->want, have->name);
			line = b->socket_line != 0 ? b->socket_line : b->line;
			failed(a, line, dp_run_bus_open(have, WHY(a)));
		}
		if (a->ret != 0)
			bus_back(have);
	}
}

/* ---- all --------------------------------------------------------------------------------------- */

static void
top(struct apply *a)
{
	if (a->want->mode == dp_run.mode && a->want->idle_us == dp_run.idle_us)
		return;
	dp_run.mode = a->want->mode;
	dp_run.idle_us = a->want->idle_us;
	dp_plane_set_mode(dp_run.mode, dp_run.idle_us);
	a->nb_changes++;
}

int
dp_state_apply(const struct dp_conf *want, const char *file, char *err, size_t err_size)
{
	struct apply a = {.want = want, .file = file, .err = err, .err_size = err_size};

	top(&a);
	if (switches_in(&a) == 0 && uplinks(&a) == 0) {
		devices_out(&a);
		patches_out(&a);
		if (devices_in(&a) == 0 && patches_in(&a) == 0 && buses_in(&a) == 0 &&
			devices_to_buses(&a) == 0)
			buses_out(&a);
	}
	buses_open(&a);
	if (a.ret == 0)
		switches_out(&a);
	DP_LOG(INFO, "configuration: %u changes%s", a.nb_changes,
		a.ret == 0 ? "" : ", then a failure");
	return a.ret;
}
