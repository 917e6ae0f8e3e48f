/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * Uplinks that are unplugged (ADR-0011): the driver says so (RTE_ETH_EVENT_INTR_RMV), or EAL (VFIO
 * wants the device back, a kernel event), or the port is closed under us (RTE_ETH_EVENT_DESTROY).
 *
 * These events come on EAL's interrupt thread, or any other, and may not wait. They mark the port and
 * queue a job for libvbus's worker, which takes it out of its switch and its lcore, and gives the
 * device back. The port itself, with its counters, stays until the control side deletes it; what is
 * done to it until then does nothing.
 */

#include "dp_plane_internal.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <rte_errno.h>
#include <rte_ethdev.h>

#include "dp_log.h"

DP_LOG_TYPE("gone");

#define DEVS_MAX 16u /* of one round; the next round takes the others */

/* ---- events: any thread ------------------------------------------------------------------------ */

static void take_away_all(struct vbus_ctl_job *job);

static void
mark(struct dp_port *port, int how)
{
	int was = DP_PORT_THERE;

	if (!atomic_compare_exchange_strong(&port->there, &was, how))
		return;
	vbus_ctl_lock();
	dp_plane.gone_job.fn = take_away_all;
	vbus_ctl_job_queue(&dp_plane.gone_job);
	vbus_ctl_unlock();
}

static int
on_removed(uint16_t eth_id, enum rte_eth_event_type event, void *arg, void *ret)
{
	(void)eth_id;
	(void)ret;
	mark(arg, event == RTE_ETH_EVENT_DESTROY ? DP_PORT_CLOSED : DP_PORT_UNPLUGGED);
	return 0;
}

static void
on_device(const char *name, enum rte_dev_event_type event, void *arg)
{
	(void)name;
	if (event == RTE_DEV_EVENT_REMOVE)
		mark(arg, DP_PORT_UNPLUGGED);
}

/* ---- who is told: control side ------------------------------------------------------------------- */

static struct rte_device *
device_of(const struct dp_port *port)
{
	struct rte_eth_dev_info info;

	return rte_eth_dev_info_get(port->eth_id, &info) == 0 ? info.device : NULL;
}

void
dp_gone_watch(struct dp_port *port)
{
	const struct rte_device *dev = device_of(port);

	rte_eth_dev_callback_register(port->eth_id, RTE_ETH_EVENT_INTR_RMV, on_removed, port);
	rte_eth_dev_callback_register(port->eth_id, RTE_ETH_EVENT_DESTROY, on_removed, port);
	if (dev != NULL) {
		snprintf(port->dev_name, sizeof(port->dev_name), "%s", rte_dev_name(dev));
		rte_dev_event_callback_register(port->dev_name, on_device, port);
		/* For drivers of UIO; VFIO's word comes without. Started already: nothing. */
		if (rte_dev_event_monitor_start() < 0)
			DP_LOG(DEBUG, "no events of devices: %s", rte_strerror(rte_errno));
	}
	/* Before we listened? */
	if (rte_eth_dev_is_removed(port->eth_id) == 1)
		mark(port, DP_PORT_UNPLUGGED);
}

void
dp_gone_unwatch(struct dp_port *port)
{
	/* -EAGAIN: it is being told just now, which waits for nothing but the control lock. */
	while (rte_eth_dev_callback_unregister(
		       port->eth_id, RTE_ETH_EVENT_INTR_RMV, on_removed, port) == -EAGAIN)
		usleep(100);
	while (rte_eth_dev_callback_unregister(
		       port->eth_id, RTE_ETH_EVENT_DESTROY, on_removed, port) == -EAGAIN)
		usleep(100);
	while (port->dev_name[0] != '\0' &&
		rte_dev_event_callback_unregister(port->dev_name, on_device, port) == -EAGAIN)
		usleep(100);
	port->dev_name[0] = '\0';
}

/* ---- the job: libvbus's worker ----------------------------------------------------------------- */

struct devices {
	struct rte_device *dev[DEVS_MAX];
	uint32_t nb;
};

/** dp_plane.lock held. */
static void
take_away(struct dp_port *port, struct devices *d)
{
	int how = atomic_load(&port->there);
	struct rte_device *dev = how == DP_PORT_CLOSED ? NULL : device_of(port);
	uint32_t i;

	DP_LOG(WARNING, "uplink %s is gone: it is on no switch any more", port->name);
	dp_port_unpublish(port);
	if (how == DP_PORT_CLOSED)
		dp_gone_unwatch(port); /* nothing is left to stop */
	else
		dp_uplink_stop(port);
	atomic_store(&port->there, DP_PORT_GONE);
	for (i = 0; i < d->nb; i++)
		if (d->dev[i] == dev)
			return;
	if (dev != NULL)
		d->dev[d->nb++] = dev;
}

/** Ports of the same device, told or not: it goes with all of them. dp_plane.lock held. */
static bool
is_leaving(const struct dp_port *port, const struct devices *d)
{
	int how = atomic_load(&port->there);
	uint32_t i;

	if (how == DP_PORT_UNPLUGGED || how == DP_PORT_CLOSED)
		return d->nb < DEVS_MAX;
	for (i = 0; i < d->nb; i++)
		if (d->dev[i] == device_of(port))
			return true;
	return false;
}

/** @return there may be more */
static bool
take_away_some(struct devices *d)
{
	bool found = false;
	unsigned int i;

	for (i = 0; i < DP_PORTS_MAX; i++) {
		struct dp_port *port = atomic_load_explicit(
			&dp_plane.ports[i], memory_order_relaxed);

		if (port == NULL || port->venet != NULL || !is_leaving(port, d))
			continue;
		take_away(port, d);
		found = true;
	}
	return found;
}

static void
take_away_all(struct vbus_ctl_job *job)
{
	struct devices d;
	uint32_t i;

	(void)job;
	do {
		d.nb = 0;
		pthread_mutex_lock(&dp_plane.lock);
		/* Again: a port of a device that was found later. */
		while (take_away_some(&d))
			;
		pthread_mutex_unlock(&dp_plane.lock);
		/* Whoever pulls it waits for this (VFIO); and its name is free again. */
		for (i = 0; i < d.nb; i++)
			if (rte_dev_remove(d.dev[i]) < 0)
				DP_LOG(WARNING, "a device that is gone cannot be given back: %s",
					rte_strerror(rte_errno));
	} while (d.nb == DEVS_MAX);
}
