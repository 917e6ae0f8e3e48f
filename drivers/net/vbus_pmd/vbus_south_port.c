/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * The objects behind a south port: the bus (one per socket, shared by the vdevs that name it), the
 * device on it, and the binding of the polling side to the venet.
 *
 * Threads: application threads in probe, start, stop and close take the control lock here; the
 * venet's callbacks (link, quiesce, rx_wake) come with the lock held; link_job runs on the worker
 * without it. The port owns its device and one count of the bus; it is freed by ethdev after
 * close, which has flushed the worker (ADR-0002).
 */
#include "vbus_south.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <rte_errno.h>

#include "vbus_bridge.h"

/* Which bus serves which socket: several vdevs with one iface share it. Control lock. */
struct south_iface {
	char path[sizeof(((struct vbus_south_args *)0)->iface)];
	struct vbus_bus *bus;
	uint32_t refs;
	LIST_ENTRY(south_iface) next;
};
static LIST_HEAD(, south_iface) ifaces = LIST_HEAD_INITIALIZER(ifaces);

static struct south_iface *
iface_find(const char *path, const struct vbus_bus *bus)
{
	struct south_iface *i;

	LIST_FOREACH(i, &ifaces, next)
	{
		if (path != NULL ? strcmp(i->path, path) == 0 : i->bus == bus)
			return i;
	}
	return NULL;
}

static void
bus_leave(struct vbus_bus *bus)
{
	struct south_iface *i = iface_find(NULL, bus);

	if (i != NULL && --i->refs == 0) {
		LIST_REMOVE(i, next);
		free(i);
	}
	vbus_bus_put(bus);
}

/* Join the bus of a socket, or make both. */
static struct vbus_bus *
bus_join_iface(const struct vbus_south_args *args, char *reason)
{
	struct south_iface *i = iface_find(args->iface, NULL);
	char why[VBUS_SOUTH_REASON_MAX] = "";
	struct vbus_bus *bus;
	int ret;

	if (i != NULL && args->bus_given && strcmp(i->bus->name, args->bus) != 0) {
		snprintf(reason, VBUS_SOUTH_REASON_MAX,
			"bus=%s: iface=%s is served by bus %s already", args->bus, args->iface,
			i->bus->name);
		return NULL;
	}
	bus = vbus_bus_get(i != NULL ? i->bus->name : args->bus);
	if (bus == NULL) {
		snprintf(reason, VBUS_SOUTH_REASON_MAX, "bus=%s: %s", args->bus, strerror(errno));
		return NULL;
	}
	if (i != NULL) {
		i->refs++;
		return bus;
	}
	if (bus->connector != NULL) {
		snprintf(reason, VBUS_SOUTH_REASON_MAX,
			"bus=%s: it is connected elsewhere already, give another bus=NAME",
			args->bus);
		goto err_put;
	}
	i = calloc(1, sizeof(*i));
	if (i == NULL) {
		snprintf(reason, VBUS_SOUTH_REASON_MAX, "iface=%s: no memory", args->iface);
		goto err_put;
	}
	ret = vbus_connector_vfio_user(bus, args->iface, why, sizeof(why));
	if (ret != 0) {
		snprintf(reason, VBUS_SOUTH_REASON_MAX, "iface=%.107s: %.120s", args->iface,
			why[0] != '\0' ? why : strerror(-ret));
		goto err_free;
	}
	snprintf(i->path, sizeof(i->path), "%s", args->iface);
	i->bus = bus;
	i->refs = 1;
	LIST_INSERT_HEAD(&ifaces, i, next);
	return bus;

err_free:
	free(i);
err_put:
	vbus_bus_put(bus);
	return NULL;
}

static struct vbus_bus *
bus_join_null(const struct vbus_south_args *args, char *reason)
{
	struct vbus_bus *bus = vbus_bus_get(args->bus);

	if (bus == NULL) {
		snprintf(reason, VBUS_SOUTH_REASON_MAX, "null=%s: %s", args->bus, strerror(errno));
		return NULL;
	}
	if (bus->connector != NULL ? strcmp(bus->connector->ops->name, "null") == 0
				   : vbus_connector_null(bus) == 0)
		return bus;
	snprintf(reason, VBUS_SOUTH_REASON_MAX, "null=%s: that bus has another connector",
		args->bus);
	vbus_bus_put(bus);
	return NULL;
}

static int
device_make(struct vbus_south_port *port, const struct vbus_south_args *args, char *reason)
{
	struct vbus_venet_args venet = {.mac = args->mac, .nb_queues = 1};
	int ret;

	port->device = vbus_device_create(args->name, "venet", &venet);
	if (port->device == NULL) {
		ret = errno != 0 ? -errno : -ENOMEM;
		snprintf(reason, VBUS_SOUTH_REASON_MAX, "name=%s: %s", args->name, strerror(-ret));
		return ret;
	}
	port->venet = vbus_venet_of(port->device);
	vbus_venet_mac(port->venet, &port->mac);
	ret = vbus_device_attach(port->device, port->bus);
	if (ret != 0) {
		snprintf(reason, VBUS_SOUTH_REASON_MAX, "name=%s: %s", args->name,
			ret == -EEXIST	 ? "the bus has a device of that name"
			: ret == -ENOSPC ? "the bus is full"
					 : strerror(-ret));
		vbus_device_delete(port->device);
		port->device = NULL;
		port->venet = NULL;
	}
	return ret;
}

/* Worker, lock not held: tell the application what the venet's link is by now. */
static void
link_job(struct vbus_ctl_job *job)
{
	struct vbus_south_port *port = container_of(job, struct vbus_south_port, link_job);

	if (vbus_south_port_link(port))
		vbus_pmd_link_event(port->dev);
}

bool
vbus_south_port_link(struct vbus_south_port *port)
{
	bool changed;

	/* Under the lock, so that of two threads the one with the older view cannot store last. */
	vbus_ctl_lock();
	changed = vbus_pmd_link_set(port->dev, port->bound && vbus_venet_link(port->venet));
	vbus_ctl_unlock();
	return changed;
}

static void
user_link(void *arg, bool up)
{
	struct vbus_south_port *port = arg;

	(void)up; /* the job looks itself: what counts is the state when it runs */
	vbus_ctl_job_queue(&port->link_job);
}

static void
user_quiesce(void *arg)
{
	struct vbus_south_port *port = arg;
	struct rte_eth_dev_data *data = port->dev->data;

	vbus_mark_fence(); /* one for all queues: C1 of vbus_mark.h */
	for (unsigned int q = 0; q < VBUS_SOUTH_QUEUES_MAX; q++) {
		if (q < data->nb_rx_queues && data->rx_queues[q] != NULL)
			vbus_south_queue_wait(data->rx_queues[q]);
		if (q < data->nb_tx_queues && data->tx_queues[q] != NULL)
			vbus_south_queue_wait(data->tx_queues[q]);
	}
}

static void
user_rx_wake(void *arg)
{
	struct vbus_south_port *port = arg;
	const uint64_t one = 1;

	/* Full (EAGAIN) means that a wake-up is pending already. */
	if (write(port->rx_fd[0], &one, sizeof(one)) < 0)
		return;
}

int
vbus_south_port_start(struct vbus_south_port *port)
{
	const struct vbus_venet_user user = {
		.link = user_link, .quiesce = user_quiesce, .rx_wake = user_rx_wake, .arg = port};
	struct rte_eth_dev_data *data = port->dev->data;
	struct vbus_south_queue *rxq = data->nb_rx_queues > 0 ? data->rx_queues[0] : NULL;
	uint64_t offloads = data->dev_conf.rxmode.offloads;
	uint32_t accept = 0;
	int ret;

	if (offloads & (RTE_ETH_RX_OFFLOAD_TCP_CKSUM | RTE_ETH_RX_OFFLOAD_UDP_CKSUM))
		accept |= VBUS_VENET_RX_CSUM;
	if (offloads & RTE_ETH_RX_OFFLOAD_TCP_LRO)
		accept |= VBUS_VENET_RX_LRO;
	vbus_ctl_lock();
	ret = vbus_venet_bind(port->venet, &user, rxq != NULL ? rxq->pool : NULL);
	if (ret == 0) {
		port->bound = true;
		vbus_venet_set_rx_accept(port->venet, accept);
		vbus_venet_set_mtu(port->venet, data->mtu);
		vbus_venet_set_ready(port->venet, true);
	}
	vbus_ctl_unlock();
	return ret;
}

void
vbus_south_port_stop(struct vbus_south_port *port)
{
	vbus_ctl_lock();
	if (port->bound) {
		vbus_venet_set_ready(port->venet, false);
		vbus_venet_bind(port->venet, NULL, NULL);
		port->bound = false;
		vbus_ctl_job_cancel(&port->link_job);
	}
	vbus_ctl_unlock();
}

static int
intr_make(struct vbus_south_port *port)
{
	for (unsigned int q = 0; q < VBUS_SOUTH_QUEUES_MAX; q++) {
		port->rx_fd[q] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		if (port->rx_fd[q] < 0)
			return -errno;
	}
	port->intr = vbus_pmd_intr_create(port->rx_fd, VBUS_SOUTH_QUEUES_MAX);
	return port->intr != NULL ? 0 : -rte_errno;
}

static void
intr_drop(struct vbus_south_port *port)
{
	vbus_pmd_intr_free(port->intr);
	port->intr = NULL;
	for (unsigned int q = 0; q < VBUS_SOUTH_QUEUES_MAX; q++) {
		if (port->rx_fd[q] >= 0)
			close(port->rx_fd[q]);
		port->rx_fd[q] = -1;
	}
}

int
vbus_south_port_open(struct vbus_south_port *port, const struct vbus_south_args *args, char *reason)
{
	int ret;

	for (unsigned int q = 0; q < VBUS_SOUTH_QUEUES_MAX; q++)
		port->rx_fd[q] = -1;
	port->link_job.fn = link_job;
	ret = vbus_mark_init();
	if (ret == 0)
		ret = intr_make(port);
	if (ret == 0)
		ret = vbus_ctl_get();
	if (ret != 0) {
		snprintf(reason, VBUS_SOUTH_REASON_MAX, "cannot start: %s", strerror(-ret));
		intr_drop(port);
		return ret;
	}
	vbus_ctl_lock();
	port->bus = args->iface[0] != '\0' ? bus_join_iface(args, reason)
					   : bus_join_null(args, reason);
	ret = port->bus == NULL ? -EINVAL : device_make(port, args, reason);
	if (ret != 0 && port->bus != NULL) {
		bus_leave(port->bus);
		port->bus = NULL;
	}
	vbus_ctl_unlock();
	if (ret != 0) {
		vbus_ctl_put();
		intr_drop(port);
	}
	return ret;
}

void
vbus_south_port_close(struct vbus_south_port *port)
{
	if (port->device == NULL)
		return;
	vbus_south_port_stop(port);
	vbus_ctl_lock();
	vbus_device_delete(port->device);
	port->device = NULL;
	port->venet = NULL;
	bus_leave(port->bus);
	port->bus = NULL;
	vbus_ctl_unlock();
	/* A link job may be running just now: the port outlives it. From inside such a job (a callback
	 * of the application that closes the port) there is nothing to wait for, and the threads, which
	 * nobody can join from there, stay. */
	if (!vbus_ctl_in_worker()) {
		vbus_ctl_job_flush();
		vbus_ctl_put();
	}
	intr_drop(port);
}
