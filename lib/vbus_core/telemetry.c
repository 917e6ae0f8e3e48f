/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * Telemetry of libvbus (DECISIONS 28): lists and details of buses, devices and links.
 *
 * Threads: DPDK's telemetry thread calls; each callback takes the control lock for its whole run,
 * so that what it shows belongs together. Nothing here changes anything.
 *
 * Ownership: a registered link (struct tel_link) belongs to this file; what fn and arg stand for
 * belongs to who registered it and must be unregistered first.
 */

#include "vbus_telemetry.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include <rte_common.h>
#include <rte_telemetry.h>

#include "vbus_bridge.h"
#include "vbus_compat.h"
#include "vbus_core.h"
#include "vbus_distance.h"
#include "vbus_ctl.h"

#define PAGE_ENTRIES 512u
/* Of DPDK's 16 KiB for an answer; the rest is for the other members and the braces. */
#define PAGE_BYTES 14000u
/* "device," BUS "/" NAME */
#define ENTRY_SIZE (8 + 2 * VBUS_NAME_SIZE)

struct tel_link {
	char name[VBUS_NAME_SIZE];
	vbus_telemetry_link_fn fn;
	void *arg;
	TAILQ_ENTRY(tel_link) next;
};

static TAILQ_HEAD(, tel_link) links = TAILQ_HEAD_INITIALIZER(links);

static struct tel_link *
link_find(const char *name)
{
	struct tel_link *l;

	TAILQ_FOREACH (l, &links, next) {
		if (strcmp(l->name, name) == 0)
			return l;
	}
	return NULL;
}

int
vbus_telemetry_register_link(const char *name, vbus_telemetry_link_fn fn, void *arg)
{
	struct tel_link *l;

	if (!vbus_name_valid(name))
		return -EINVAL;
	if (link_find(name) != NULL)
		return -EEXIST;
	l = calloc(1, sizeof(*l));
	if (l == NULL)
		return -ENOMEM;
	snprintf(l->name, sizeof(l->name), "%s", name);
	l->fn = fn;
	l->arg = arg;
	TAILQ_INSERT_TAIL(&links, l, next);
	return 0;
}

void
vbus_telemetry_unregister_link(const char *name)
{
	struct tel_link *l = link_find(name);

	if (l == NULL)
		return;
	TAILQ_REMOVE(&links, l, next);
	free(l);
}

/* ---- pages ----------------------------------------------------------------------------------- */

/* A part of a list, from an offset until it is full. */
struct page {
	struct rte_tel_data *array;
	uint64_t offset;
	uint64_t seen; /* entries of the whole list so far */
	uint64_t next; /* offset of the first one behind the page */
	uint32_t nb;
	uint32_t bytes;
	bool full;
};

static int
page_open(struct page *p, uint64_t offset)
{
	*p = (struct page){.offset = offset};
	p->array = rte_tel_data_alloc();
	if (p->array == NULL)
		return -ENOMEM;
	return rte_tel_data_start_array(p->array, RTE_TEL_STRING_VAL);
}

static void
page_add(struct page *p, const char *kind, const char *bus, const char *name)
{
	char text[ENTRY_SIZE];
	uint32_t len;

	if (p->seen++ < p->offset || p->full)
		return;
	len = (uint32_t)snprintf(text, sizeof(text), "%s%s%s%s", kind, bus != NULL ? bus : "",
		bus != NULL ? "/" : "", name);
	/* quotes, comma, blank */
	if (p->nb == PAGE_ENTRIES || p->bytes + len + 4 > PAGE_BYTES ||
		rte_tel_data_add_array_string(p->array, text) != 0) {
		p->full = true;
		return;
	}
	p->nb++;
	p->bytes += len + 4;
	p->next = p->seen;
}

static void
page_close(struct page *p, const char *name, struct rte_tel_data *d)
{
	vbus_tel_dict_uint(d, "total", p->seen);
	vbus_tel_dict_uint(d, "offset", p->offset);
	if (p->full)
		vbus_tel_dict_uint(d, "next", p->next);
	/* The answer owns the array from here. */
	if (rte_tel_data_add_dict_container(d, name, p->array, 0) != 0)
		rte_tel_data_free(p->array);
}

/* A number at the end of the parameters; false: something else is there. */
static bool
parse_offset(const char *text, uint64_t *offset)
{
	char *end;

	*offset = 0;
	if (text == NULL || *text == '\0')
		return true;
	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	*offset = strtoull(text, &end, 10);
	return *end == '\0' && errno == 0;
}

/* ---- details --------------------------------------------------------------------------------- */

static void
add_bool(struct rte_tel_data *d, const char *name, bool v)
{
	rte_tel_data_add_dict_int(d, name, v);
}

static void
add_bridge(struct rte_tel_data *d, const struct vbus_bus *bus)
{
	struct vbus_memmap *map = vbus_bridge_memmap(bus->bridge);
	struct vbus_memmap_info mem = {0};
	struct vbus_bridge_info b;

	vbus_bridge_info(bus->bridge, &b);
	if (map != NULL)
		vbus_memmap_info(map, &mem);
	add_bool(d, "peer", b.peer);
	add_bool(d, "negotiated", b.negotiated);
	add_bool(d, "events_ready", b.events_ready);
	rte_tel_data_add_dict_string(d, "fault", b.fault != NULL ? b.fault : "");
	vbus_tel_dict_uint(d, "capability_bits", b.capabilities);
	vbus_tel_dict_uint(d, "sessions", b.nb_sessions);
	vbus_tel_dict_uint(d, "resets", b.nb_resets);
	vbus_tel_dict_uint(d, "faults", b.nb_faults);
	vbus_tel_dict_uint(d, "calls", b.nb_calls);
	vbus_tel_dict_uint(d, "fast_calls", b.nb_fast_calls);
	vbus_tel_dict_uint(d, "failed_calls", b.nb_failed_calls);
	vbus_tel_dict_uint(d, "signals_received", b.nb_signals_in);
	vbus_tel_dict_uint(d, "events_sent", b.nb_events);
	vbus_tel_dict_uint(d, "events_held_now", b.nb_events_held);
	vbus_tel_dict_uint(d, "events_held_at_most", b.nb_events_held_max);
	vbus_tel_dict_uint(d, "interrupts_sent", b.nb_irqs);
	vbus_tel_dict_uint(d, "open_devices", b.nb_conns);
	vbus_tel_dict_uint(d, "shared_blocks", b.nb_shms);
	vbus_tel_dict_uint(d, "fast_call_channels", b.nb_channels);
	vbus_tel_dict_uint(d, "memory_regions", mem.nb_regions);
	vbus_tel_dict_uint(d, "memory_extents", mem.nb_extents);
	vbus_tel_dict_uint(d, "memory_files", mem.nb_files);
	vbus_tel_dict_uint(d, "mapped_bytes", mem.mapped_bytes);
	for (int i = 0; i < VBUS_REFUSED_NB; i++)
		vbus_tel_dict_uint(
			d, vbus_bridge_refusal_name((enum vbus_bridge_refusal)i), b.nb_refused[i]);
}

static void
add_connector(struct rte_tel_data *d, const struct vbus_bus *bus)
{
	/* a path of 107 bytes and the peer do not always fit: DPDK cuts strings at 127 */
	char text[RTE_TEL_MAX_STRING_LEN] = "";
	uint64_t came = 0, sent = 0;

	if (bus->connector != NULL && bus->connector->ops->describe != NULL)
		bus->connector->ops->describe(bus->connector->arg, text, sizeof(text));
	rte_tel_data_add_dict_string(
		d, "connector", bus->connector != NULL ? bus->connector->ops->name : "none");
	rte_tel_data_add_dict_string(d, "connection", text);
	if (bus->connector != NULL && bus->connector->ops->irq_counts != NULL)
		bus->connector->ops->irq_counts(bus->connector->arg, &came, &sent);
	vbus_tel_dict_uint(d, "window_interrupts", came);
	vbus_tel_dict_uint(d, "window_rings", sent);
}

static void
add_device(struct rte_tel_data *d, struct vbus_device *dev)
{
	rte_tel_data_add_dict_string(d, "name", dev->name);
	rte_tel_data_add_dict_string(d, "class", dev->cls->name);
	rte_tel_data_add_dict_string(d, "type", dev->cls->type);
	rte_tel_data_add_dict_string(d, "bus", dev->bus != NULL ? dev->bus->name : "");
	vbus_tel_dict_uint(d, "wire_id", dev->devid);
	add_bool(d, "open", dev->conn != NULL);
	rte_tel_data_add_dict_string(d, "fault", dev->fault != NULL ? dev->fault : "");
	vbus_tel_dict_uint(d, "faults", dev->nb_faults);
	if (dev->cls->ops->telemetry != NULL)
		dev->cls->ops->telemetry(dev, d);
}

/* ---- commands: control lock held, d is a dictionary ------------------------------------------ */

static int
tel_list(const char *params, struct rte_tel_data *d)
{
	struct vbus_device *dev;
	struct vbus_bus *bus;
	struct tel_link *l;
	uint64_t offset;
	struct page p;

	if (!parse_offset(params, &offset))
		return -EINVAL;
	if (page_open(&p, offset) != 0)
		return -ENOMEM;
	for (bus = vbus_bus_next(NULL); bus != NULL; bus = vbus_bus_next(bus))
		page_add(&p, "bus,", NULL, bus->name);
	for (bus = vbus_bus_next(NULL); bus != NULL; bus = vbus_bus_next(bus))
		page_add(&p, "link,", NULL, bus->name);
	TAILQ_FOREACH (l, &links, next) {
		/* both ends of one name: one answer shows both */
		if (vbus_bus_find(l->name) == NULL)
			page_add(&p, "link,", NULL, l->name);
	}
	for (dev = vbus_device_next(NULL); dev != NULL; dev = vbus_device_next(dev))
		page_add(&p, "device,", dev->bus != NULL ? dev->bus->name : NULL, dev->name);
	page_close(&p, "objects", d);
	return 0;
}

/* Cut "NAME,REST" at its first comma. */
static const char *
split(char *text, char at)
{
	char *rest = strchr(text, at);

	if (rest == NULL)
		return NULL;
	*rest = '\0';
	return rest + 1;
}

static int
tel_bus(const char *params, struct rte_tel_data *d)
{
	struct vbus_device *dev;
	struct vbus_bus *bus;
	char name[64];
	const char *rest;
	uint64_t offset;
	struct page p;

	if (params == NULL || strlen(params) >= sizeof(name))
		return -EINVAL;
	snprintf(name, sizeof(name), "%s", params);
	rest = split(name, ',');
	if (!parse_offset(rest, &offset))
		return -EINVAL;
	bus = vbus_bus_find(name);
	if (bus == NULL)
		return -ENOENT;
	rte_tel_data_add_dict_string(d, "name", bus->name);
	add_connector(d, bus);
	vbus_tel_dict_uint(d, "users", bus->refs);
	if (page_open(&p, offset) != 0)
		return -ENOMEM;
	TAILQ_FOREACH (dev, &bus->devices, bus_next)
		page_add(&p, "", NULL, dev->name);
	page_close(&p, "devices", d);
	return 0;
}

static int
tel_device(const char *params, struct rte_tel_data *d)
{
	struct vbus_device *dev = NULL;
	struct vbus_bus *bus;
	const char *rest;
	char name[64];

	if (params == NULL || strlen(params) >= sizeof(name))
		return -EINVAL;
	snprintf(name, sizeof(name), "%s", params);
	rest = split(name, '/');
	if (rest != NULL) {
		bus = vbus_bus_find(name);
		if (bus != NULL)
			dev = vbus_bus_device(bus, rest);
	} else {
		dev = vbus_device_find(name);
	}
	if (dev == NULL)
		return -ENOENT;
	add_device(d, dev);
	return 0;
}

static int
add_side(struct rte_tel_data *d, const char *side, struct vbus_bus *bus, const struct tel_link *l)
{
	struct rte_tel_data *inner = rte_tel_data_alloc();

	if (inner == NULL)
		return -ENOMEM;
	rte_tel_data_start_dict(inner);
	if (bus != NULL) {
		add_connector(inner, bus);
		add_bridge(inner, bus);
	} else {
		l->fn(l->arg, inner);
	}
	if (rte_tel_data_add_dict_container(d, side, inner, 0) != 0) {
		rte_tel_data_free(inner);
		return -ENOMEM;
	}
	return 0;
}

static int
tel_link(const char *params, struct rte_tel_data *d)
{
	struct vbus_bus *bus = params != NULL ? vbus_bus_find(params) : NULL;
	const struct tel_link *l = params != NULL ? link_find(params) : NULL;
	int ret = 0;

	if (params == NULL)
		return -EINVAL;
	if (bus == NULL && l == NULL)
		return -ENOENT;
	rte_tel_data_add_dict_string(d, "name", params);
	if (bus != NULL)
		ret = add_side(d, "south", bus, NULL);
	if (ret == 0 && l != NULL)
		ret = add_side(d, "north", NULL, l);
	return ret;
}

static int
tel_distance(const char *params, struct rte_tel_data *d)
{
	struct vbus_distance_info info;

	(void)params;
	vbus_distance_info(&info);
	vbus_tel_dict_uint(d, "delay_ns", info.delay_ns);
	vbus_tel_dict_uint(d, "nb_far_reads", info.nb_reads);
	vbus_tel_dict_uint(d, "nb_far_writes", info.nb_writes);
	vbus_tel_dict_uint(d, "nb_far_direct", info.nb_direct);
	vbus_tel_dict_uint(d, "last_far_read", info.last_read);
	return 0;
}

static int
tel_command(const char *cmd, const char *params, struct rte_tel_data *d)
{
	static const struct {
		const char *cmd;
		int (*fn)(const char *params, struct rte_tel_data *d);
	} commands[] = {
		{"/vbus/list", tel_list},
		{"/vbus/bus", tel_bus},
		{"/vbus/device", tel_device},
		{"/vbus/link", tel_link},
		{"/vbus/distance", tel_distance},
	};
	int ret = -EINVAL;

	rte_tel_data_start_dict(d);
	vbus_ctl_lock();
	for (unsigned int i = 0; i < RTE_DIM(commands); i++) {
		if (strcmp(cmd, commands[i].cmd) == 0)
			ret = commands[i].fn(params, d);
	}
	vbus_ctl_unlock();
	return ret;
}

RTE_INIT(vbus_telemetry_init)
{
	rte_telemetry_register_cmd("/vbus/list", tel_command,
		"Lists buses, links and devices. Parameters: int offset (optional)");
	rte_telemetry_register_cmd("/vbus/bus", tel_command,
		"Shows a bus and its devices. Parameters: name, int offset (optional)");
	rte_telemetry_register_cmd(
		"/vbus/device", tel_command, "Shows a device. Parameters: [bus/]name");
	rte_telemetry_register_cmd("/vbus/distance", tel_command,
		"Shows accesses to what is far of windows, in the test mode for that. No "
		"parameters");
	rte_telemetry_register_cmd("/vbus/link", tel_command,
		"Shows a link: a bus and its peer, or a link of the bus driver. Parameters: name");
}
