/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * OpenMetrics text of all counters (dp_metrics.h).
 *
 * A family's samples must stand together, and with thousands of ports the text is longer than an
 * answer may be. So the text is made in parts; an offset is a family's number and a row's within it.
 * Between two parts objects may come (at the end) and go (a later one may be left out once), a sample
 * never comes twice.
 *
 * Threads: the loop's; the control lock is taken while libvbus's objects are read.
 */

#include "dp_metrics.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_lcore.h>
#include <rte_version.h>

#include "vbus_bridge.h"
#include "vbus_core.h"
#include "vbus_ctl.h"
#include "vbus_memmap.h"

#include "dp_plane.h"
#include "dp_rows.h"
#include "dp_rpc.h"
#include "dp_state.h"

#ifndef VBUS_VERSION
#define VBUS_VERSION "unknown"
#endif

#define LABELS_SIZE 224

enum kind {
	COUNTER,
	GAUGE,
	INFO
};

struct family {
	enum kind kind;
	const char *name;
};

/** What a group has now: a row per object, a value per family. */
struct table {
	uint32_t nb_rows;
	unsigned int nb_values;
	char (*labels)[LABELS_SIZE];
	uint64_t *values;
};

struct group {
	const char *prefix; /* of names */
	const char *what;   /* whose they are, for people */
	const struct family *families;
	unsigned int nb;
	int (*collect)(struct table *t);
};

/* ---- tables ------------------------------------------------------------------------------------ */

static int
table_make(struct table *t, uint32_t nb_rows)
{
	t->nb_rows = nb_rows;
	t->labels = calloc(nb_rows + 1, sizeof(*t->labels));
	t->values = calloc((size_t)(nb_rows + 1) * t->nb_values, sizeof(*t->values));
	return t->labels != NULL && t->values != NULL ? 0 : -ENOMEM;
}

static void
table_free(struct table *t)
{
	free(t->labels);
	free(t->values);
}

static uint64_t *
row_values(struct table *t, uint32_t row)
{
	return t->values + (size_t)row * t->nb_values;
}

/* Names of uplinks are EAL's: they may hold anything. Empty values are left out. */
static void
label(char labels[LABELS_SIZE], const char *name, const char *value)
{
	size_t at = strlen(labels);

	if (value[0] == '\0' || at + 2 * strlen(value) + strlen(name) + 5 > LABELS_SIZE)
		return;
	at += (size_t)snprintf(labels + at, LABELS_SIZE - at, "%s%s=\"", at != 0 ? "," : "", name);
	for (; *value != '\0'; value++) {
		if (*value == '"' || *value == '\\' || *value == '\n')
			labels[at++] = '\\';
		labels[at++] = *value == '\n' ? 'n' : *value;
	}
	labels[at++] = '"';
	labels[at] = '\0';
}

/* ---- ports, venets, devices -------------------------------------------------------------------- */

#define COUNTER_FAMILY(field, name) {COUNTER, name},
#define COUNTER_VALUE(field, name)  *v++ = from->field;

static const struct family port_families[] = {DP_PORT_STATS(COUNTER_FAMILY)};
static const struct family rx_families[] = {VBUS_VENET_RX_STATS(COUNTER_FAMILY)};
static const struct family tx_families[] = {VBUS_VENET_TX_STATS(COUNTER_FAMILY)};
static const struct family device_families[] = {
	{GAUGE, "open"},
	{GAUGE, "link_up"},
	{GAUGE, "faulted"},
	{COUNTER, "faults"},
};

static bool
is_polled(const struct dp_row *r)
{
	return r->polled;
}

static bool
is_known(const struct dp_row *r)
{
	return r->known;
}

static bool
is_venet(const struct dp_row *r)
{
	return r->is_venet;
}

static void
port_values(const struct dp_row *r, uint64_t *v)
{
	const struct dp_port_stats *from = &r->st;

	DP_PORT_STATS(COUNTER_VALUE)
}

static void
rx_values(const struct dp_row *r, uint64_t *v)
{
	const struct vbus_venet_rx_stats *from = &r->rx;

	VBUS_VENET_RX_STATS(COUNTER_VALUE)
}

static void
tx_values(const struct dp_row *r, uint64_t *v)
{
	const struct vbus_venet_tx_stats *from = &r->tx;

	VBUS_VENET_TX_STATS(COUNTER_VALUE)
}

static void
device_values(const struct dp_row *r, uint64_t *v)
{
	v[0] = r->open;
	v[1] = r->link;
	v[2] = r->fault != NULL;
	v[3] = r->nb_faults;
}

/* @p object: the label of the port's own name */
static int
collect_rows(struct table *t, const char *object, bool (*wanted)(const struct dp_row *r),
	void (*values)(const struct dp_row *r, uint64_t *v))
{
	char number[16];
	struct dp_row *rows, *r;
	uint64_t total;
	uint32_t nb, i, n = 0;
	int ret = dp_rows_get(NULL, 0, UINT32_MAX, &rows, &nb, &total);

	if (ret != 0)
		return ret;
	ret = table_make(t, nb);
	for (i = 0; ret == 0 && i < nb; i++) {
		r = &rows[i];
		if (!wanted(r))
			continue;
		label(t->labels[n], object, r->name);
		label(t->labels[n], "bus", r->conf != NULL ? r->conf->bus : "");
		if (wanted == is_polled) {
			label(t->labels[n], "switch", r->sw);
			snprintf(number, sizeof(number), "%u", r->lcore);
			label(t->labels[n], "lcore", number);
		}
		values(r, row_values(t, n));
		n++;
	}
	t->nb_rows = n;
	free(rows);
	return ret;
}

static int
collect_ports(struct table *t)
{
	return collect_rows(t, "port", is_polled, port_values);
}

static int
collect_rx(struct table *t)
{
	return collect_rows(t, "device", is_venet, rx_values);
}

static int
collect_tx(struct table *t)
{
	return collect_rows(t, "device", is_venet, tx_values);
}

static int
collect_devices(struct table *t)
{
	return collect_rows(t, "device", is_known, device_values);
}

/* ---- buses: the bridge and its memory ---------------------------------------------------------- */

/* X(kind, value, name); b: the bus, i: its bridge, mem: its memory. */
#define BUS_FAMILIES(X)                                    \
	X(GAUGE, i.peer, "peer")                           \
	X(GAUGE, i.negotiated, "negotiated")               \
	X(GAUGE, i.fault != NULL, "faulted")               \
	X(GAUGE, b->nb_devices, "devices")                 \
	X(GAUGE, i.nb_conns, "open_devices")               \
	X(GAUGE, i.nb_shms, "shared_blocks")               \
	X(GAUGE, i.nb_channels, "fast_call_channels")      \
	X(GAUGE, i.nb_events_held, "events_held")          \
	X(GAUGE, i.nb_events_held_max, "events_held_most") \
	X(GAUGE, mem.nb_regions, "memory_regions")         \
	X(GAUGE, mem.nb_files, "memory_files")             \
	X(GAUGE, mem.mapped_bytes, "mapped_bytes")         \
	X(COUNTER, i.nb_sessions, "sessions")              \
	X(COUNTER, i.nb_resets, "resets")                  \
	X(COUNTER, i.nb_faults, "faults")                  \
	X(COUNTER, i.nb_calls, "calls")                    \
	X(COUNTER, i.nb_fast_calls, "fast_calls")          \
	X(COUNTER, i.nb_failed_calls, "failed_calls")      \
	X(COUNTER, i.nb_signals_in, "signals_received")    \
	X(COUNTER, i.nb_events, "events_sent")             \
	X(COUNTER, i.nb_irqs, "interrupts_sent")
#define BUS_FAMILY(kind, value, name) {kind, name},
#define BUS_VALUE(kind, value, name)  *v++ = value;

static const struct family bus_families[] = {
	BUS_FAMILIES(BUS_FAMILY) VBUS_BRIDGE_REFUSALS(COUNTER_FAMILY)};

/* Control lock held. */
static void
bus_values(const struct vbus_bus *b, uint64_t *v)
{
	struct vbus_memmap *map = vbus_bridge_memmap(b->bridge);
	struct vbus_memmap_info mem = {0};
	struct vbus_bridge_info i;
	int why;

	vbus_bridge_info(b->bridge, &i);
	if (map != NULL)
		vbus_memmap_info(map, &mem);
	BUS_FAMILIES(BUS_VALUE)
	for (why = 0; why < VBUS_REFUSED_NB; why++)
		*v++ = i.nb_refused[why];
}

static int
collect_buses(struct table *t)
{
	const struct dp_bus_conf *c;
	const struct vbus_bus *b;
	uint32_t n = 0;
	int ret;

	TAILQ_FOREACH (c, &dp_state_conf()->buses, next)
		n++;
	ret = table_make(t, n);
	if (ret != 0)
		return ret;
	n = 0;
	vbus_ctl_lock();
	TAILQ_FOREACH (c, &dp_state_conf()->buses, next) {
		b = dp_state_bus(c->name);
		if (b == NULL)
			continue;
		label(t->labels[n], "bus", c->name);
		bus_values(b, row_values(t, n));
		n++;
	}
	vbus_ctl_unlock();
	t->nb_rows = n;
	return 0;
}

/* ---- switches, lcores, the control socket, the build ------------------------------------------- */

static const struct family switch_families[] = {
	{GAUGE, "addresses"},
	{COUNTER, "learned"},
	{COUNTER, "moved"},
	{COUNTER, "aged"},
	{COUNTER, "table_full"},
	{COUNTER, "refused"},
};

static int
collect_switches(struct table *t)
{
	const struct dp_switch_conf *c;
	const struct dp_switch *sw;
	struct dp_switch_stats st;
	uint32_t n = 0;
	uint64_t *v;
	int ret;

	TAILQ_FOREACH (c, &dp_state_conf()->switches, next)
		n++;
	ret = table_make(t, n);
	if (ret != 0)
		return ret;
	n = 0;
	TAILQ_FOREACH (c, &dp_state_conf()->switches, next) {
		sw = dp_state_switch(c->name);
		if (sw == NULL)
			continue;
		dp_switch_stats(sw, &st);
		label(t->labels[n], "switch", c->name);
		v = row_values(t, n++);
		v[0] = st.addresses;
		v[1] = st.learned;
		v[2] = st.moved;
		v[3] = st.aged;
		v[4] = st.table_full;
		v[5] = st.refused;
	}
	t->nb_rows = n;
	return 0;
}

static const struct family lcore_families[] = {
	{GAUGE, "ports"},
	{COUNTER, "busy_cycles"},
	{COUNTER, "idle_cycles"},
	{COUNTER, "sleep_cycles"},
	{COUNTER, "sleeps"},
};

static int
collect_lcores(struct table *t)
{
	struct dp_lcore_info info[RTE_MAX_LCORE];
	uint32_t n = dp_lcore_info(info, RTE_MAX_LCORE), i;
	char number[16];
	uint64_t *v;
	int ret = table_make(t, n);

	for (i = 0; ret == 0 && i < n; i++) {
		snprintf(number, sizeof(number), "%u", info[i].lcore);
		label(t->labels[i], "lcore", number);
		v = row_values(t, i);
		v[0] = info[i].nb_ports;
		v[1] = info[i].busy_cycles;
		v[2] = info[i].idle_cycles;
		v[3] = info[i].sleep_cycles;
		v[4] = info[i].nb_sleeps;
	}
	return ret;
}

static const struct family control_families[] = {DP_RPC_STATS(COUNTER_FAMILY)};

static int
collect_control(struct table *t)
{
	struct dp_rpc_stats st, *from = &st;
	uint64_t *v;
	int ret = table_make(t, 1);

	if (ret != 0)
		return ret;
	dp_rpc_stats(&st);
	v = row_values(t, 0);
	DP_RPC_STATS(COUNTER_VALUE)
	return 0;
}

static const struct family build_families[] = {{INFO, "build"}};

static int
collect_build(struct table *t)
{
	int ret = table_make(t, 1);

	if (ret != 0)
		return ret;
	label(t->labels[0], "version", VBUS_VERSION);
	label(t->labels[0], "dpdk", rte_version());
	*row_values(t, 0) = 1;
	return 0;
}

/* ---- text -------------------------------------------------------------------------------------- */

#define GROUP(prefix, what, families, collect)                                            \
	{                                                                                 \
		prefix, what, families, sizeof(families) / sizeof((families)[0]), collect \
	}

static const struct group groups[] = {
	GROUP("vbus_dp_", "vbus-dp", build_families, collect_build),
	GROUP("vbus_lcore_", "A polling lcore", lcore_families, collect_lcores),
	GROUP("vbus_bus_", "A bus and its peer", bus_families, collect_buses),
	GROUP("vbus_device_", "A device", device_families, collect_devices),
	GROUP("vbus_port_", "A port as vbus-dp forwards", port_families, collect_ports),
	GROUP("vbus_venet_rx_", "A venet, frames from the peer", rx_families, collect_rx),
	GROUP("vbus_venet_tx_", "A venet, frames to the peer", tx_families, collect_tx),
	GROUP("vbus_switch_", "A switch", switch_families, collect_switches),
	GROUP("vbus_control_", "The control socket", control_families, collect_control),
};
#define NB_GROUPS (sizeof(groups) / sizeof(groups[0]))

static void
put_head(FILE *f, const struct group *g, const struct family *fam)
{
	static const char *const kinds[] = {
		[COUNTER] = "counter", [GAUGE] = "gauge", [INFO] = "info"};
	const char *at;

	fprintf(f, "# TYPE %s%s %s\n", g->prefix, fam->name, kinds[fam->kind]);
	fprintf(f, "# HELP %s%s %s: ", g->prefix, fam->name, g->what);
	for (at = fam->name; *at != '\0'; at++)
		fputc(*at == '_' ? ' ' : *at, f);
	fputs(".\n", f);
}

static void
put_sample(FILE *f, const struct group *g, const struct family *fam, const char *labels, uint64_t v)
{
	static const char *const suffixes[] = {
		[COUNTER] = "_total", [GAUGE] = "", [INFO] = "_info"};
	bool any = labels[0] != '\0';

	fprintf(f, "%s%s%s%s%s%s %llu\n", g->prefix, fam->name, suffixes[fam->kind], any ? "{" : "",
		labels, any ? "}" : "", (unsigned long long)v);
}

/* @return true: the whole group is out. Else *@p family and *@p row say where to go on. */
static bool
put_group(FILE *f, const struct group *g, struct table *t, uint32_t *family, uint32_t *row)
{
	for (; *family < g->nb; (*family)++, *row = 0) {
		if (*row == 0 && t->nb_rows != 0)
			put_head(f, g, &g->families[*family]);
		for (; *row < t->nb_rows; (*row)++) {
			/* Not at a family's first row, which has to follow its head. */
			if (*row != 0 && ftell(f) >= (long)DP_METRICS_PART)
				return false;
			put_sample(f, g, &g->families[*family], t->labels[*row],
				row_values(t, *row)[*family]);
		}
	}
	return true;
}

/* @param at  the first family of the group; @return as put_group(), or negative errno */
static int
put(FILE *f, const struct group *g, uint32_t at, uint64_t *offset)
{
	uint32_t family = (uint32_t)(*offset >> 32) - at, row = (uint32_t)*offset;
	struct table t = {.nb_values = g->nb};
	bool done = false;
	int ret = g->collect(&t);

	if (ret == 0) {
		done = put_group(f, g, &t, &family, &row);
		*offset = (uint64_t)(at + family) << 32 | row;
	}
	table_free(&t);
	return ret != 0 ? ret : done;
}

int
dp_metrics_text(uint64_t offset, char **text, uint64_t *next)
{
	uint32_t at = 0;
	size_t size, i;
	int ret = 1;
	FILE *f;

	for (i = 0; i < NB_GROUPS; i++)
		at += groups[i].nb;
	if (offset >> 32 >= at)
		return -ERANGE;
	*text = NULL;
	f = open_memstream(text, &size);
	if (f == NULL)
		return -ENOMEM;
	for (at = 0, i = 0; i < NB_GROUPS && ret == 1; at += groups[i++].nb) {
		if (offset >> 32 >= at + groups[i].nb)
			continue;
		ret = put(f, &groups[i], at, &offset);
	}
	*next = offset;
	if (ret == 1) {
		fputs("# EOF\n", f);
		*next = 0;
	}
	if (fclose(f) != 0 || ret < 0) {
		free(*text);
		*text = NULL;
		return ret < 0 ? ret : -ENOMEM;
	}
	return 0;
}
