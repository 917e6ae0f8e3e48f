/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * A venet's memory is its north's, and where that lies is known only when north is there: at link up
 * the port moves to an lcore of that node, with mbufs of that node (ADR-0011).
 *
 * The venet's callback comes with the control lock held and may not wait, so it queues one job for
 * libvbus's worker, which looks at all ports under dp_plane.lock. Where all lcores are on one node
 * nothing of this happens.
 */

#include "dp_plane_internal.h"

#include <numaif.h>

#include "vbus_core.h"

#include "dp_log.h"

DP_LOG_TYPE("numa");

/** Where the first page of north's transmit ring lies. Control lock held. */
static int
node_of_memory(const struct dp_port *port)
{
	struct vbus_conn *conn = port->dev->conn;
	struct vbus_shm *shm = conn != NULL ? vbus_conn_shm(conn, VBUS_VENET_BLOCK_TX) : NULL;
	int node = -1;

	if (shm == NULL || shm->va == NULL ||
		get_mempolicy(&node, NULL, 0, shm->va, MPOL_F_NODE | MPOL_F_ADDR) != 0)
		return -1;
	return node;
}

int (*dp_numa_node_of)(const struct dp_port *port) = node_of_memory;

static bool
has_lcore(int node)
{
	unsigned int i;

	for (i = 0; i < dp_plane.nb_lcores; i++)
		if (dp_plane.lcores[i]->socket == (unsigned int)node)
			return true;
	return false;
}

/** To another lcore. Frames for it are dropped, counted, while nobody polls it. */
static void
move(struct dp_port *port, int node)
{
	vbus_ctl_lock();
	vbus_venet_bind(port->venet, NULL, NULL);
	vbus_ctl_unlock();
	dp_lcore_del_port(port);
	atomic_store_explicit(&port->lcore, NULL, memory_order_relaxed);
	/* No lcore thinks any more that it is the one. */
	dp_plane_sync();
	port->home = dp_lcore_pick(node);
	port->armed = false;
	if (dp_lcore_add_port(port) < 0) {
		DP_LOG(ERR, "device %s: no memory to move it to lcore %u: it is not polled",
			port->name, port->home->lcore);
		return;
	}
	atomic_store_explicit(&port->lcore, port->home, memory_order_relaxed);
	if (dp_port_bind(port) < 0)
		DP_LOG(ERR, "device %s: somebody else polls it", port->name);
	else
		DP_LOG(INFO, "device %s: memory on node %d, lcore %u", port->name, node,
			port->home->lcore);
}

static void
look_at_all(struct vbus_ctl_job *job)
{
	unsigned int i;

	(void)job;
	pthread_mutex_lock(&dp_plane.lock);
	for (i = 0; i < DP_PORTS_MAX; i++) {
		struct dp_port *port = atomic_load_explicit(
			&dp_plane.ports[i], memory_order_relaxed);
		int node;

		if (port == NULL || port->venet == NULL)
			continue;
		vbus_ctl_lock();
		node = vbus_venet_link(port->venet) ? dp_numa_node_of(port) : -1;
		vbus_ctl_unlock();
		if (node >= 0 && port->home->socket != (unsigned int)node && has_lcore(node))
			move(port, node);
	}
	pthread_mutex_unlock(&dp_plane.lock);
}

void
dp_numa_look(struct dp_port *port)
{
	(void)port; /* the job looks at all: this one may be gone by then */
	if (!dp_plane.numa)
		return;
	dp_plane.numa_job.fn = look_at_all;
	vbus_ctl_job_queue(&dp_plane.numa_job);
}

void
dp_numa_init(void)
{
	unsigned int i;

	dp_plane.numa = false;
	for (i = 1; i < dp_plane.nb_lcores; i++)
		if (dp_plane.lcores[i]->socket != dp_plane.lcores[0]->socket)
			dp_plane.numa = true;
}
