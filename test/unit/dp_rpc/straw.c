/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * dp_state.h and dp_plane.h for the tests of the control socket.
 */

#include "straw.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dp_plane.h"
#include "dp_state.h"

struct dp_conf straw_conf;
int straw_fail;
unsigned int straw_nb_changes, straw_nb_addresses, straw_nb_capturing;
uint64_t straw_frames;

void
straw_init(void)
{
	dp_conf_init(&straw_conf);
	straw_fail = 0;
	straw_nb_changes = straw_nb_addresses = straw_nb_capturing = 0;
	straw_frames = 0;
}

void
straw_fini(void)
{
	dp_conf_free(&straw_conf);
}

void
straw_many(unsigned int nb)
{
	char name[DP_NAME_SIZE];
	struct dp_device_conf *d;
	unsigned int i;

	dp_conf_add_switch(&straw_conf, dp_switch_conf_new("br0"));
	for (i = 0; i < nb; i++) {
		snprintf(name, sizeof(name), "dev%u", i);
		d = dp_device_conf_new(name);
		strcpy(d->cls, "venet");
		strcpy(d->sw, "br0");
		dp_conf_add_device(&straw_conf, d);
	}
}

/* ---- dp_state.h -------------------------------------------------------------------------------- */

static int
change(int ret, char *err, size_t err_size)
{
	if (ret == 0 && straw_fail != 0) {
		ret = straw_fail;
		straw_fail = 0;
	}
	if (ret != 0)
		snprintf(err, err_size, "straw: %s", strerror(-ret));
	else
		straw_nb_changes++;
	return ret;
}

const struct dp_conf *
dp_state_conf(void)
{
	return &straw_conf;
}

int
dp_bus_add(const struct dp_bus_conf *b, char *err, size_t err_size)
{
	int ret = change(dp_conf_bus(&straw_conf, b->name) != NULL ? -EEXIST : 0, err, err_size);

	return ret != 0 ? ret : dp_conf_add_bus(&straw_conf, dp_bus_conf_copy(b));
}

int
dp_bus_remove(const char *name, char *err, size_t err_size)
{
	struct dp_bus_conf *b = dp_conf_bus(&straw_conf, name);
	int ret = change(b == NULL ? -ENOENT : 0, err, err_size);

	if (ret == 0) {
		dp_conf_take_bus(&straw_conf, b);
		dp_bus_conf_del(b);
	}
	return ret;
}

int
dp_device_add(const struct dp_device_conf *d, char *err, size_t err_size)
{
	int ret = change(dp_conf_device(&straw_conf, d->name) != NULL ? -EEXIST : 0, err, err_size);

	return ret != 0 ? ret : dp_conf_add_device(&straw_conf, dp_device_conf_copy(d));
}

int
dp_device_remove(const char *name, char *err, size_t err_size)
{
	struct dp_device_conf *d = dp_conf_device(&straw_conf, name);
	int ret = change(d == NULL ? -ENOENT : 0, err, err_size);

	if (ret == 0) {
		dp_conf_take_device(&straw_conf, d);
		dp_device_conf_del(d);
	}
	return ret;
}

int
dp_device_attach(const char *name, const char *bus, char *err, size_t err_size)
{
	struct dp_device_conf *d = dp_conf_device(&straw_conf, name);
	const struct dp_bus_conf *b = dp_conf_bus(&straw_conf, bus);
	int ret = change(d == NULL || b == NULL ? -ENOENT : 0, err, err_size);

	if (ret == 0)
		memcpy(d->bus, b->name, sizeof(d->bus));
	return ret;
}

int
dp_device_detach(const char *name, char *err, size_t err_size)
{
	struct dp_device_conf *d = dp_conf_device(&straw_conf, name);
	int ret = change(d == NULL ? -ENOENT : 0, err, err_size);

	if (ret == 0)
		d->bus[0] = '\0';
	return ret;
}

int
dp_device_break(const char *name, char *err, size_t err_size)
{
	return change(dp_conf_device(&straw_conf, name) == NULL ? -ENOENT : 0, err, err_size);
}

int
dp_switch_add(const struct dp_switch_conf *s, char *err, size_t err_size)
{
	int ret = change(dp_conf_switch(&straw_conf, s->name) != NULL ? -EEXIST : 0, err, err_size);

	return ret != 0 ? ret : dp_conf_add_switch(&straw_conf, dp_switch_conf_copy(s));
}

int
dp_switch_remove(const char *name, char *err, size_t err_size)
{
	struct dp_switch_conf *s = dp_conf_switch(&straw_conf, name);
	int ret = change(s == NULL ? -ENOENT : 0, err, err_size);

	if (ret == 0) {
		dp_conf_take_switch(&straw_conf, s);
		dp_switch_conf_del(s);
	}
	return ret;
}

/* By what the text of it says: it has to be one that can be saved and loaded. */
int
dp_state_apply(const struct dp_conf *want, const char *file, char *err, size_t err_size)
{
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);
	int ret = dp_conf_write(want, f);

	(void)file;
	fclose(f);
	ret = change(ret, err, err_size);
	if (ret == 0) {
		dp_conf_free(&straw_conf);
		ret = dp_conf_load_text(&straw_conf, "straw", text, len, err, err_size);
	}
	free(text);
	return ret;
}

void
dp_state_set_control(const char *path)
{
	snprintf(straw_conf.control, sizeof(straw_conf.control), "%s", path);
}

static int a_port, a_switch;

struct dp_port *
dp_state_port(const char *name)
{
	const struct dp_switch_conf *s;

	if (dp_conf_device(&straw_conf, name) != NULL)
		return (struct dp_port *)&a_port;
	TAILQ_FOREACH (s, &straw_conf.switches, next)
		if (dp_names_has(&s->ports, name))
			return (struct dp_port *)&a_port;
	return NULL;
}

struct dp_switch *
dp_state_switch(const char *name)
{
	return dp_conf_switch(&straw_conf, name) != NULL ? (struct dp_switch *)&a_switch : NULL;
}

struct vbus_bus *
dp_state_bus(const char *name)
{
	(void)name;
	return NULL;
}

struct vbus_device *
dp_state_device(const char *name)
{
	(void)name;
	return NULL;
}

/* ---- dp_plane.h -------------------------------------------------------------------------------- */

void
dp_port_stats(const struct dp_port *port, struct dp_port_stats *st)
{
	(void)port;
	memset(st, 0, sizeof(*st));
	st->rx_packets = straw_frames;
	st->tx_bytes = UINT64_MAX; /* more than JSON has */
}

bool
dp_port_gone(const struct dp_port *port)
{
	(void)port;
	return false;
}

unsigned int
dp_port_lcore(const struct dp_port *port)
{
	(void)port;
	return 7;
}

uint32_t
dp_switch_fdb(struct dp_switch *sw, void (*fn)(const struct dp_fdb_entry *e, void *arg), void *arg)
{
	unsigned int i;

	(void)sw;
	for (i = 0; i < straw_nb_addresses; i++) {
		struct dp_fdb_entry e = {.age_s = i};

		e.addr.addr_bytes[0] = 2;
		e.addr.addr_bytes[4] = (uint8_t)(i >> 8);
		e.addr.addr_bytes[5] = (uint8_t)i;
		snprintf(e.port, sizeof(e.port), "dev%u", i % 2);
		fn(&e, arg);
	}
	return straw_nb_addresses;
}

void
dp_switch_stats(const struct dp_switch *sw, struct dp_switch_stats *st)
{
	(void)sw;
	*st = (struct dp_switch_stats){.addresses = straw_nb_addresses, .learned = 5};
}

uint32_t
dp_lcore_info(struct dp_lcore_info *out, uint32_t nb)
{
	(void)nb;
	out[0] = (struct dp_lcore_info){.lcore = 7, .nb_ports = 2, .busy_cycles = 9};
	return 1;
}

int
dp_port_capture(struct dp_port *port, const char *path, char *err, size_t err_size)
{
	(void)port;
	if (path == NULL) {
		straw_nb_capturing--;
		return 0;
	}
	if (straw_fail != 0)
		return change(0, err, err_size);
	straw_nb_capturing++;
	return 0;
}

int
dp_port_trace(struct dp_port *port, uint32_t every, char *err, size_t err_size)
{
	(void)port;
	return every != 0 && straw_fail != 0 ? change(0, err, err_size) : 0;
}

uint32_t
dp_port_trace_read(struct dp_port *port, struct dp_trace_record *out, uint32_t size, uint64_t *lost)
{
	(void)port;
	(void)size;
	out[0] = (struct dp_trace_record){
		.us = 5, .len = 60, .head_len = 2, .head = {0xab, 0x01}, .to_name = "eth1"};
	*lost = 3;
	return 1;
}
