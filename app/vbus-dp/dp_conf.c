/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * The objects of a configuration and where they are listed.
 *
 * Threads: any, one at a time per configuration. Ownership: a configuration owns what was added to
 * it; everything is on the heap. Each kind is on a list, in the order of the file, and in a search
 * tree by name: twenty thousand devices are looked up some times each.
 */

#include "dp_conf.h"

#include <errno.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(offsetof(struct dp_bus_conf, name) == 0, "the trees compare what is at offset 0");
_Static_assert(offsetof(struct dp_device_conf, name) == 0, "the trees compare what is at offset 0");
_Static_assert(offsetof(struct dp_switch_conf, name) == 0, "the trees compare what is at offset 0");

/* ---- lists of names ---------------------------------------------------------------------------- */

int
dp_names_add(struct dp_names *l, const char *name)
{
	struct dp_name *n = calloc(1, sizeof(*n));

	if (n == NULL)
		return -ENOMEM;
	snprintf(n->name, sizeof(n->name), "%s", name);
	STAILQ_INSERT_TAIL(l, n, next);
	return 0;
}

void
dp_names_del(struct dp_names *l, const char *name)
{
	struct dp_name *n;

	for (n = STAILQ_FIRST(l); n != NULL; n = STAILQ_NEXT(n, next)) {
		if (strcmp(n->name, name) == 0) {
			STAILQ_REMOVE(l, n, dp_name, next);
			free(n);
			return;
		}
	}
}

struct dp_name *
dp_names_last(const struct dp_names *l)
{
	if (STAILQ_EMPTY(l))
		return NULL;
	/* glibc's <sys/queue.h> has no STAILQ_LAST. */
	return (struct dp_name *)(void *)((char *)l->stqh_last - offsetof(struct dp_name, next));
}

bool
dp_names_has(const struct dp_names *l, const char *name)
{
	const struct dp_name *n;

	for (n = STAILQ_FIRST(l); n != NULL; n = STAILQ_NEXT(n, next))
		if (strcmp(n->name, name) == 0)
			return true;
	return false;
}

void
dp_names_free(struct dp_names *l)
{
	struct dp_name *n;

	while ((n = STAILQ_FIRST(l)) != NULL) {
		STAILQ_REMOVE_HEAD(l, next);
		free(n);
	}
}

static int
names_copy(struct dp_names *to, const struct dp_names *from)
{
	const struct dp_name *n;

	STAILQ_INIT(to);
	for (n = STAILQ_FIRST(from); n != NULL; n = STAILQ_NEXT(n, next)) {
		if (dp_names_add(to, n->name) != 0) {
			dp_names_free(to);
			return -ENOMEM;
		}
		dp_names_last(to)->line = n->line;
	}
	return 0;
}

/* ---- objects ----------------------------------------------------------------------------------- */

struct dp_bus_conf *
dp_bus_conf_new(const char *name)
{
	struct dp_bus_conf *b = calloc(1, sizeof(*b));

	if (b == NULL)
		return NULL;
	snprintf(b->name, sizeof(b->name), "%s", name);
	STAILQ_INIT(&b->devices);
	return b;
}

struct dp_device_conf *
dp_device_conf_new(const char *name)
{
	struct dp_device_conf *d = calloc(1, sizeof(*d));

	if (d == NULL)
		return NULL;
	snprintf(d->name, sizeof(d->name), "%s", name);
	d->mtu = 1500;
	d->queues = 1;
	d->scrollback = DP_SCROLLBACK;
	d->sector = 512;
	return d;
}

struct dp_switch_conf *
dp_switch_conf_new(const char *name)
{
	struct dp_switch_conf *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	snprintf(s->name, sizeof(s->name), "%s", name);
	s->ageing_s = 300;
	s->size = 65536;
	STAILQ_INIT(&s->ports);
	return s;
}

struct dp_bus_conf *
dp_bus_conf_copy(const struct dp_bus_conf *b)
{
	struct dp_bus_conf *n = malloc(sizeof(*n));

	if (n == NULL)
		return NULL;
	*n = *b;
	n->running = NULL;
	if (names_copy(&n->devices, &b->devices) != 0) {
		free(n);
		return NULL;
	}
	return n;
}

struct dp_device_conf *
dp_device_conf_copy(const struct dp_device_conf *d)
{
	struct dp_device_conf *n = malloc(sizeof(*n));

	if (n == NULL)
		return NULL;
	*n = *d;
	n->running = NULL;
	return n;
}

struct dp_switch_conf *
dp_switch_conf_copy(const struct dp_switch_conf *s)
{
	struct dp_switch_conf *n = malloc(sizeof(*n));

	if (n == NULL)
		return NULL;
	*n = *s;
	n->running = NULL;
	if (names_copy(&n->ports, &s->ports) != 0) {
		free(n);
		return NULL;
	}
	return n;
}

void
dp_bus_conf_del(struct dp_bus_conf *b)
{
	if (b == NULL)
		return;
	dp_names_free(&b->devices);
	free(b);
}

void
dp_device_conf_del(struct dp_device_conf *d)
{
	free(d);
}

void
dp_switch_conf_del(struct dp_switch_conf *s)
{
	if (s == NULL)
		return;
	dp_names_free(&s->ports);
	free(s);
}

/* ---- a configuration --------------------------------------------------------------------------- */

static int
by_name(const void *a, const void *b)
{
	return strcmp(a, b);
}

/* @return 0, -EEXIST, -ENOMEM */
static int
tree_add(void **tree, void *obj)
{
	void **found = tsearch(obj, tree, by_name);

	if (found == NULL)
		return -ENOMEM;
	return *found == obj ? 0 : -EEXIST;
}

static void *
tree_find(void *const *tree, const char *name)
{
	void **found = tfind(name, tree, by_name);

	return found == NULL ? NULL : *found;
}

int
dp_conf_add_bus(struct dp_conf *c, struct dp_bus_conf *b)
{
	int ret = tree_add(&c->bus_names, b);

	if (ret == 0)
		TAILQ_INSERT_TAIL(&c->buses, b, next);
	return ret;
}

int
dp_conf_add_device(struct dp_conf *c, struct dp_device_conf *d)
{
	int ret = tree_add(&c->device_names, d);

	if (ret == 0)
		TAILQ_INSERT_TAIL(&c->devices, d, next);
	return ret;
}

int
dp_conf_add_switch(struct dp_conf *c, struct dp_switch_conf *s)
{
	int ret = tree_add(&c->switch_names, s);

	if (ret == 0)
		TAILQ_INSERT_TAIL(&c->switches, s, next);
	return ret;
}

void
dp_conf_take_bus(struct dp_conf *c, struct dp_bus_conf *b)
{
	tdelete(b, &c->bus_names, by_name);
	TAILQ_REMOVE(&c->buses, b, next);
}

void
dp_conf_take_device(struct dp_conf *c, struct dp_device_conf *d)
{
	tdelete(d, &c->device_names, by_name);
	TAILQ_REMOVE(&c->devices, d, next);
}

void
dp_conf_take_switch(struct dp_conf *c, struct dp_switch_conf *s)
{
	tdelete(s, &c->switch_names, by_name);
	TAILQ_REMOVE(&c->switches, s, next);
}

struct dp_bus_conf *
dp_conf_bus(const struct dp_conf *c, const char *name)
{
	return tree_find(&c->bus_names, name);
}

struct dp_device_conf *
dp_conf_device(const struct dp_conf *c, const char *name)
{
	return tree_find(&c->device_names, name);
}

struct dp_switch_conf *
dp_conf_switch(const struct dp_conf *c, const char *name)
{
	return tree_find(&c->switch_names, name);
}

void
dp_conf_init(struct dp_conf *c)
{
	memset(c, 0, sizeof(*c));
	c->mode = DP_MODE_BUSY;
	c->idle_us = 1000;
	TAILQ_INIT(&c->buses);
	TAILQ_INIT(&c->devices);
	TAILQ_INIT(&c->switches);
}

const char *
dp_conf_control(const struct dp_conf *c)
{
	return c->control[0] != '\0' ? c->control : DP_CONTROL_PATH;
}

void
dp_conf_free(struct dp_conf *c)
{
	struct dp_bus_conf *b;
	struct dp_device_conf *d;
	struct dp_switch_conf *s;

	while ((b = TAILQ_FIRST(&c->buses)) != NULL) {
		dp_conf_take_bus(c, b);
		dp_bus_conf_del(b);
	}
	while ((d = TAILQ_FIRST(&c->devices)) != NULL) {
		dp_conf_take_device(c, d);
		dp_device_conf_del(d);
	}
	while ((s = TAILQ_FIRST(&c->switches)) != NULL) {
		dp_conf_take_switch(c, s);
		dp_switch_conf_del(s);
	}
	dp_conf_init(c);
}
