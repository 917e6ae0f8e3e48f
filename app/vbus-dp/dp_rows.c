/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * Ports as they are now, for lists, statistics and metrics (dp_rows.h).
 *
 * Threads: the loop's; libvbus's devices are looked into with the control lock held.
 */

#include "dp_rows.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vbus_core.h"
#include "vbus_ctl.h"

#include "dp_state.h"

static bool
passes(const struct dp_rows_filter *f, const char *name, const char *bus, const char *sw)
{
	return (f->name == NULL || strcmp(f->name, name) == 0) &&
	       (f->bus == NULL || strcmp(f->bus, bus) == 0) &&
	       (f->sw == NULL || strcmp(f->sw, sw) == 0);
}

/* A part of what passes. */
struct window {
	struct dp_row *rows; /* NULL: only count */
	uint64_t offset, limit;
	uint64_t seen;
	uint32_t nb;
};

static void
window_add(struct window *w, const char *name, const struct dp_device_conf *conf, const char *sw)
{
	struct dp_row *r;

	if (w->seen++ < w->offset || w->nb >= w->limit)
		return;
	if (w->rows != NULL) {
		r = &w->rows[w->nb];
		r->name = name;
		r->conf = conf;
		r->sw = sw;
	}
	w->nb++;
}

static void
walk(const struct dp_rows_filter *f, struct window *w)
{
	const struct dp_conf *c = dp_state_conf();
	const struct dp_device_conf *d;
	const struct dp_switch_conf *s;
	const struct dp_name *n;

	if (f->name != NULL) {
		d = dp_conf_device(c, f->name);
		if (d != NULL && passes(f, d->name, d->bus, d->sw))
			window_add(w, d->name, d, d->sw);
	} else {
		TAILQ_FOREACH (d, &c->devices, next)
			if (passes(f, d->name, d->bus, d->sw))
				window_add(w, d->name, d, d->sw);
	}
	if (f->no_uplinks)
		return;
	TAILQ_FOREACH (s, &c->switches, next)
		for (n = STAILQ_FIRST(&s->ports); n != NULL; n = STAILQ_NEXT(n, next))
			if (passes(f, n->name, "", s->name))
				window_add(w, n->name, NULL, s->name);
}

static void
fill_device(struct dp_row *r, struct vbus_device *dev)
{
	struct vbus_venet *v = vbus_venet_of(dev);
	struct vbus_serial *s = vbus_serial_of(dev);

	r->known = true;
	r->open = dev->conn != NULL;
	r->fault = dev->fault;
	r->nb_faults = dev->nb_faults;
	if (s != NULL) {
		r->is_serial = true;
		vbus_serial_stats(s, &r->serial);
	}
	if (v == NULL)
		return;
	r->is_venet = true;
	r->link = vbus_venet_link(v);
	r->mtu = vbus_venet_mtu(v);
	vbus_venet_mac(v, &r->mac);
	vbus_venet_stats(v, 0, &r->rx, &r->tx);
}

int
dp_rows_get(const struct dp_rows_filter *f, uint64_t offset, uint64_t limit, struct dp_row **rows,
	uint32_t *nb, uint64_t *total)
{
	static const struct dp_rows_filter all;
	struct window w = {.offset = offset, .limit = limit};
	const struct dp_port *port;
	struct vbus_device *dev;
	struct dp_row *r;
	uint32_t i;

	if (f == NULL)
		f = &all;
	walk(f, &w);
	*total = w.seen;
	*nb = w.nb;
	*rows = calloc(w.nb + 1, sizeof(**rows));
	if (*rows == NULL)
		return -ENOMEM;
	w = (struct window){.offset = offset, .limit = limit, .rows = *rows};
	walk(f, &w);
	for (i = 0; i < *nb; i++) {
		r = &(*rows)[i];
		port = dp_state_port(r->name);
		if (port == NULL)
			continue;
		r->polled = true;
		r->gone = dp_port_gone(port);
		r->lcore = dp_port_lcore(port);
		dp_port_stats(port, &r->st);
	}
	vbus_ctl_lock();
	for (i = 0; i < *nb; i++) {
		r = &(*rows)[i];
		dev = r->conf != NULL ? dp_state_device(r->name) : NULL;
		if (dev != NULL)
			fill_device(r, dev);
	}
	vbus_ctl_unlock();
	return 0;
}
