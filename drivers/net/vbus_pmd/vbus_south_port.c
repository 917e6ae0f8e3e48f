/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * The objects behind a south port: the device on its bus, and the binding of the polling side to the
 * venet.
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

/* A vdev whose port was closed: what remains until it is removed. Control lock. */
struct closed_vdev {
	char name[RTE_ETH_NAME_MAX_LEN];
	struct vbus_south_bus *bus;
	LIST_ENTRY(closed_vdev) next;
};
static LIST_HEAD(, closed_vdev) closed_vdevs = LIST_HEAD_INITIALIZER(closed_vdevs);

static int
device_make(struct vbus_south_port *port, const struct vbus_south_args *args, char *reason)
{
	struct vbus_venet_args venet = {
		.mac = args->mac, .nb_queues = args->nb_queues, .keep = args->keep};
	int ret;

	port->device = vbus_device_create(args->name, "venet", &venet);
	if (port->device == NULL) {
		ret = errno != 0 ? -errno : -ENOMEM;
		snprintf(reason, VBUS_SOUTH_REASON_MAX, "name=%s: %s", args->name, strerror(-ret));
		return ret;
	}
	port->venet = vbus_venet_of(port->device);
	vbus_venet_mac(port->venet, &port->mac);
	vbus_south_bus_forget(port->bus, args->name); /* of a port closed a moment ago */
	ret = vbus_device_attach(port->device, vbus_south_bus_of(port->bus));
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
	bool up, tell;

	vbus_south_port_link(port);
	vbus_ctl_lock();
	up = port->dev->data->dev_link.link_status == RTE_ETH_LINK_UP;
	tell = up != port->told_up;
	port->told_up = up;
	vbus_ctl_unlock();
	if (tell)
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
user_rx_wake(void *arg, uint16_t queue)
{
	struct vbus_south_port *port = arg;
	const uint64_t one = 1;

	/* Full (EAGAIN) means that a wake-up is pending already. */
	if (write(port->rx_fd[queue], &one, sizeof(one)) < 0)
		return;
}

int
vbus_south_port_start(struct vbus_south_port *port)
{
	struct rte_eth_dev_data *data = port->dev->data;
	struct rte_mempool *pools[VBUS_SOUTH_QUEUES_MAX] = {NULL};
	const struct vbus_venet_user user = {.link = user_link,
		.quiesce = user_quiesce,
		.rx_wake = user_rx_wake,
		.arg = port,
		.nb_rx = data->nb_rx_queues,
		.nb_tx = data->nb_tx_queues,
		.rx_pools = pools};
	uint64_t offloads = data->dev_conf.rxmode.offloads;
	uint32_t accept = 0;
	int ret;

	if (offloads & (RTE_ETH_RX_OFFLOAD_TCP_CKSUM | RTE_ETH_RX_OFFLOAD_UDP_CKSUM))
		accept |= VBUS_VENET_RX_CSUM;
	if (offloads & RTE_ETH_RX_OFFLOAD_TCP_LRO)
		accept |= VBUS_VENET_RX_LRO;
	ret = vbus_south_dma_start(port);
	if (ret != 0)
		return ret;
	for (unsigned int q = 0; q < data->nb_rx_queues; q++)
		pools[q] = ((struct vbus_south_queue *)data->rx_queues[q])->pool;
	vbus_ctl_lock();
	ret = vbus_venet_bind(port->venet, &user, NULL);
	if (ret == 0) {
		port->bound = true;
		if (port->nb_rx != data->nb_rx_queues || port->nb_tx != data->nb_tx_queues)
			vbus_south_stats_reset(port->dev); /* other queues, other counters */
		port->nb_rx = data->nb_rx_queues;
		port->nb_tx = data->nb_tx_queues;
		vbus_venet_set_rx_accept(port->venet, accept);
		vbus_venet_set_mtu(port->venet, data->mtu);
		vbus_venet_set_ready(port->venet, true);
		vbus_ctl_job_queue(&port->link_job); /* it may be up at once */
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
		port->told_up = false; /* the application asked: no callback */
		vbus_ctl_job_cancel(&port->link_job);
	}
	vbus_ctl_unlock();
}

static int
intr_make(struct vbus_south_port *port)
{
	for (unsigned int q = 0; q < port->nb_queues; q++) {
		port->rx_fd[q] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		if (port->rx_fd[q] < 0)
			return -errno;
	}
	port->intr = vbus_pmd_intr_create(port->rx_fd, port->nb_queues);
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
	memcpy(port->dma, args->dma, sizeof(port->dma));
	port->nb_queues = args->nb_queues;
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
	port->bus = vbus_south_bus_join(args, reason);
	ret = port->bus == NULL ? -EINVAL : device_make(port, args, reason);
	if (ret != 0 && port->bus != NULL) {
		vbus_south_bus_leave(port->bus);
		port->bus = NULL;
	}
	vbus_ctl_unlock();
	if (ret != 0) {
		vbus_ctl_put();
		intr_drop(port);
	}
	return ret;
}

/* The polling side ends; bus and device are the caller's. */
static void
port_end(struct vbus_south_port *port)
{
	vbus_south_port_stop(port);
	/* A link job may be running just now: the port outlives it. From inside such a job (a callback
	 * of the application that closes the port) there is nothing to wait for. */
	if (!vbus_ctl_in_worker())
		vbus_ctl_job_flush();
	vbus_south_dma_end(port);
	intr_drop(port);
}

void
vbus_south_port_close(struct vbus_south_port *port)
{
	struct closed_vdev *c;

	if (port->device == NULL)
		return;
	port_end(port);
	c = calloc(1, sizeof(*c));
	vbus_ctl_lock();
	if (c != NULL) {
		snprintf(c->name, sizeof(c->name), "%s", port->dev->data->name);
		c->bus = port->bus;
		LIST_INSERT_HEAD(&closed_vdevs, c, next);
	} /* else the bus stays until the process ends */
	vbus_south_bus_orphan(port->bus, port->device);
	port->device = NULL;
	port->venet = NULL;
	port->bus = NULL;
	vbus_ctl_unlock();
}

void
vbus_south_port_unplug(struct vbus_south_port *port)
{
	if (port->device == NULL)
		return;
	port_end(port);
	vbus_ctl_lock();
	vbus_device_delete(port->device);
	port->device = NULL;
	port->venet = NULL;
	vbus_south_bus_leave(port->bus);
	port->bus = NULL;
	vbus_ctl_unlock();
	if (!vbus_ctl_in_worker()) /* nobody can join a thread from itself: then it stays */
		vbus_ctl_put();
}

void
vbus_south_vdev_gone(const char *name)
{
	struct closed_vdev *c;

	vbus_ctl_lock();
	LIST_FOREACH(c, &closed_vdevs, next)
	{
		if (strcmp(c->name, name) == 0)
			break;
	}
	if (c != NULL) {
		LIST_REMOVE(c, next);
		vbus_south_bus_leave(c->bus);
	}
	vbus_ctl_unlock();
	if (c != NULL && !vbus_ctl_in_worker())
		vbus_ctl_put();
	free(c);
}
