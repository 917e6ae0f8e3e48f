/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * See rig.h. South's operations run with the control lock; the counters are read by the test's
 * thread.
 */

#include "rig.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <bus_driver.h>
#include <rte_eal.h>

/* For who runs slowly: a busy machine, an emulator. */
#define PATIENCE_MS 20000

struct rig_counts rig_north_counts;
_Atomic int rig_probe_result;
_Atomic unsigned int rig_open_ms;
void (*rig_probe_hook)(struct rte_vbus_device *dev);

static char dir[] = "/tmp/vbus-bus-XXXXXX";

/* ---- south ---------------------------------------------------------------------------------------- */

static int
south_create(struct vbus_device *dev, const void *args)
{
	struct rig_south *s = calloc(1, sizeof(*s));

	(void)args;
	dev->priv = s;
	if (s != NULL)
		s->dev = dev;
	return s != NULL ? 0 : -ENOMEM;
}

static void
south_destroy(struct vbus_device *dev)
{
	free(dev->priv);
}

static int
south_open(struct vbus_conn *conn, uint32_t version)
{
	struct rig_south *s = conn->dev->priv;

	if (version != RIG_VERSION)
		return -EPROTONOSUPPORT;
	if (rig_open_ms != 0)
		rig_sleep_ms(rig_open_ms);
	s->opened++;
	conn->priv = s;
	return 0;
}

static void
south_close(struct vbus_conn *conn)
{
	struct rig_south *s = conn->priv;

	s->shm = NULL;
	s->closed++;
}

static int
south_call(struct vbus_conn *conn, uint32_t func, void *data, uint32_t len, uint32_t *out)
{
	uint8_t *p = data;

	(void)conn;
	switch (func) {
	case RIG_FUNC_ADD:
		for (uint32_t i = 0; i < len; i++)
			p[i]++;
		*out = len;
		return (int)len;
	case RIG_FUNC_FAIL:
		return -EXDEV;
	case RIG_FUNC_SLOW:
		rig_sleep_ms(p[0] * 10u);
		*out = len;
		return 0;
	default:
		return -EINVAL;
	}
}

static int
south_shm(struct vbus_conn *conn, struct vbus_shm *shm)
{
	struct rig_south *s = conn->priv;

	if (shm->id == 99)
		return -EDOM;
	if (shm->has_signal &&
		vbus_signal_attach(&s->sig, shm->va + shm->signal_offset, VBUS_LOCALITY_SOUTH) != 0)
		return -EINVAL;
	(void)vbus_signal_enable(&s->sig);
	s->shm = shm;
	return 0;
}

static void
south_signal(struct vbus_conn *conn, struct vbus_shm *shm)
{
	struct rig_south *s = conn->priv;

	(void)shm;
	vbus_signal_take(&s->sig);
	s->signals++;
}

static void
south_view(struct vbus_conn *conn)
{
	(void)conn;
}

static const struct vbus_class_ops south_ops = {
	.create = south_create,
	.destroy = south_destroy,
	.open = south_open,
	.close = south_close,
	.call = south_call,
	.shm = south_shm,
	.signal = south_signal,
	.quiesce = south_view,
	.rebind = south_view,
};

static struct vbus_class south_class = {
	.name = RIG_TYPE,
	.type = RIG_TYPE,
	.ops = &south_ops,
};

/* ---- north ---------------------------------------------------------------------------------------- */

static int
north_probe(struct rte_vbus_driver *drv, struct rte_vbus_device *dev)
{
	(void)drv;
	if (rig_probe_hook != NULL)
		rig_probe_hook(dev);
	rig_north_counts.probe++;
	return rig_probe_result;
}

static int
north_remove(struct rte_vbus_device *dev)
{
	rte_vbus_close(dev);
	rte_vbus_zone_free(dev, "block");
	rig_north_counts.remove++;
	return 0;
}

static void
north_lost(struct rte_vbus_device *dev)
{
	(void)dev;
	rig_north_counts.lost++;
}

static void
north_back(struct rte_vbus_device *dev)
{
	(void)dev;
	rig_north_counts.back++;
}

struct rte_vbus_driver rig_driver = {
	.type = RIG_TYPE,
	.probe = north_probe,
	.remove = north_remove,
	.lost = north_lost,
	.back = north_back,
};
RTE_PMD_REGISTER_VBUS(rig_driver, rig_driver)

/* ---- the test's hands --------------------------------------------------------------------------------- */

void
rig_sleep_ms(unsigned int ms)
{
	const struct timespec ts = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};

	nanosleep(&ts, NULL);
}

int
rig_eal(int nb, const char **more)
{
	static char copies[32][256];
	const char *usual[] = {"test", "-l", "0", "--no-huge", "-m", "64", "--no-pci",
		"--no-shconf", "--no-telemetry", "--log-level=vbus*:info"};
	char *argv[32];
	int n = 0;

	if (mkdtemp(dir) == NULL)
		return -1;
	vbus_class_register(&south_class);
	for (size_t i = 0; i < sizeof(usual) / sizeof(usual[0]); i++)
		snprintf(copies[n++], sizeof(copies[0]), "%s", usual[i]);
	for (int i = 0; i < nb && n < 31; i++)
		snprintf(copies[n++], sizeof(copies[0]), "%s", more[i]);
	for (int i = 0; i < n; i++)
		argv[i] = copies[i];
	argv[n] = NULL;
	return rte_eal_init(n, argv) < 0 ? -1 : 0;
}

void
rig_end(void)
{
	rmdir(dir); /* south has removed its sockets */
}

const char *
rig_path(const char *name)
{
	static char path[4][108];
	static unsigned int i;

	i = (i + 1) % 4;
	snprintf(path[i], sizeof(path[i]), "%s/%s.sock", dir, name);
	return path[i];
}

int
rig_south_start(struct vbus_bus *bus)
{
	char err[256] = "";
	int ret = 0;

	vbus_ctl_lock();
#ifdef RIG_NO_PORTS
	bus->no_ports = true;
#endif
	if (strcmp(RIG_KIND, "socket") == 0)
		ret = vbus_connector_vfio_user(bus, rig_path(bus->name), err, sizeof(err));
	vbus_ctl_unlock();
	if (ret != 0)
		fprintf(stderr, "rig: %s\n", err);
	return ret;
}

void
rig_south_stop(struct vbus_bus *bus)
{
	vbus_ctl_lock();
	if (bus->connector != NULL) {
		bus->connector->ops->stop(bus->connector->arg);
		free(bus->connector);
		bus->connector = NULL;
	}
	vbus_ctl_unlock();
}

struct vbus_bus *
rig_bus(const char *name)
{
	struct vbus_bus *bus;

	vbus_ctl_lock();
	bus = vbus_bus_get(name);
	vbus_ctl_unlock();
	if (bus != NULL && rig_south_start(bus) != 0)
		return NULL;
	return bus;
}

const char *
rig_devargs_wait(const char *link, const char *bus, unsigned int wait_ms)
{
	static char text[256];

	if (strcmp(RIG_KIND, "null") == 0)
		snprintf(text, sizeof(text), "vbus:%s,null=%s,wait=%u", link, bus, wait_ms);
	else
		snprintf(text, sizeof(text), "vbus:%s,socket=%s,wait=%u", link, rig_path(bus),
			wait_ms);
	return text;
}

const char *
rig_devargs(const char *link, const char *bus)
{
	return rig_devargs_wait(link, bus, PATIENCE_MS);
}

struct rig_south *
rig_device(struct vbus_bus *bus, const char *name)
{
	struct rig_south *s = NULL;
	struct vbus_device *dev;

	vbus_ctl_lock();
	dev = vbus_device_create(name, RIG_TYPE, NULL);
	if (dev != NULL && vbus_device_attach(dev, bus) == 0)
		s = dev->priv;
	vbus_ctl_unlock();
	return s;
}

void
rig_device_drop(struct rig_south *s)
{
	vbus_ctl_lock();
	vbus_device_delete(s->dev);
	vbus_ctl_unlock();
}

static int
name_cmp(const struct rte_device *dev, const void *name)
{
	return strcmp(dev->name, name);
}

struct rte_vbus_device *
rig_find(const char *name)
{
	struct rte_bus *bus = rte_bus_find_by_name("vbus");
	struct rte_device *dev = bus->find_device(NULL, name_cmp, name);

	return dev != NULL ? RTE_DEV_TO_VBUS(dev) : NULL;
}

bool
rig_wait(const _Atomic int *v, int n)
{
	for (int i = 0; i < PATIENCE_MS && *v != n; i++)
		rig_sleep_ms(1);
	return *v == n;
}

bool
rig_wait_bound(const char *name, bool bound)
{
	for (int i = 0; i < PATIENCE_MS; i++) {
		struct rte_vbus_device *dev = rig_find(name);

		bool is = false;

		vbus_ctl_lock();
		if (dev != NULL)
			is = (dev->device.driver != NULL) == bound;
		vbus_ctl_unlock();
		if (is)
			return true;
		rig_sleep_ms(1);
	}
	return false;
}

bool
rig_wait_gone(const char *name)
{
	for (int i = 0; i < PATIENCE_MS; i++) {
		if (rig_find(name) == NULL)
			return true;
		rig_sleep_ms(1);
	}
	return false;
}
