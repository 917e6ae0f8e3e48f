/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * The bus in a secondary process: links belong to the primary, its devices can be seen. The primary
 * answers, device by device, what is bound there; the secondary makes a record for each and lets the
 * driver attach to the primary's port. What comes later is found when EAL relays a hot-plug of the
 * primary.
 *
 * Rings of a device are in EAL's memory (not those of a window), so a secondary can poll them. What it
 * lacks is the way to the peer: descriptors of a link are exchanged when the peer comes back. So it has
 * one descriptor for all, the relay, for as long as the primary lives; the primary's control thread looks
 * which shared blocks have a signal set, and posts these. A peer that polls asks for none.
 *
 * Threads: primary: EAL's multi-process thread, under the control lock; the relay on the control thread.
 * Secondary: the thread of EAL's
 * start and end, and EAL's own for a relayed hot-plug; EAL serialises them.
 * Ownership: records are this file's until the end of the process; they are nodes of the bus, so that
 * EAL finds them, and no link's.
 */

#include "vbus_bus_private.h"
#include "vbus_mp.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_memory.h>

#define MP_NAME	       "vbus_device"
#define MP_KICK	       "vbus_kick"
#define MP_TIMEOUT_S   1
#define MP_DEVICES_MAX VBUS_BUS_DEVS_MAX

struct mp_ask {
	uint32_t index;
};

struct mp_answer {
	uint32_t found;
	uint32_t eal_memory;
	char name[RTE_DEV_NAME_MAX_LEN];
	char type[RTE_VBUS_TYPE_SIZE];
};

_Static_assert(sizeof(struct mp_answer) <= RTE_MP_MAX_PARAM_LEN, "an answer is one message");

static RTE_TAILQ_HEAD(, rte_vbus_device) seen = TAILQ_HEAD_INITIALIZER(seen);

int vbus_secondary_kick_fd = -1;

static struct { /* primary, control lock */
	int fd;
	struct vbus_ctl_fd *watch;
} relay = {.fd = -1};

/* ---- primary ------------------------------------------------------------------------------- */

static void
answer_fill(struct mp_answer *a, uint32_t index)
{
	struct vbus_node *n;

	vbus_ctl_lock();
	TAILQ_FOREACH (n, &vbus_nodes, next) {
		if (n->dev == NULL || n->dev->pub.driver == NULL || index-- != 0)
			continue;
		a->found = 1;
		a->eal_memory = n->dev->pub.link->ops->alloc == NULL;
		snprintf(a->name, sizeof(a->name), "%s", n->dev->pub.full_name);
		snprintf(a->type, sizeof(a->type), "%s", n->dev->pub.type);
		break;
	}
	vbus_ctl_unlock();
}

static int
on_ask(const struct rte_mp_msg *msg, const void *peer)
{
	struct rte_mp_msg reply = {.len_param = sizeof(struct mp_answer)};
	struct mp_answer answer = {0};
	struct mp_ask ask;

	if (msg->len_param == sizeof(ask)) {
		memcpy(&ask, msg->param, sizeof(ask));
		answer_fill(&answer, ask.index);
	}
	snprintf(reply.name, sizeof(reply.name), MP_NAME);
	memcpy(reply.param, &answer, sizeof(answer));
	return rte_mp_reply(&reply, peer);
}

/* A secondary signalled something, somewhere. */
static void
on_relay(int fd, uint32_t events, void *arg)
{
	struct rte_vbus_link *link;
	eventfd_t n;

	(void)events;
	(void)arg;
	if (eventfd_read(fd, &n) != 0)
		return;
	TAILQ_FOREACH (link, &vbus_links, next)
		vbus_shm_post_signals(link);
}

/* At the first secondary that asks. @return the descriptor, or -1 */
static int
relay_open(void)
{
	int fd;

	if (vbus_ctl_get() != 0)
		return -1;
	vbus_ctl_lock();
	if (relay.watch == NULL) {
		relay.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		if (relay.fd >= 0)
			relay.watch = vbus_ctl_fd_add(relay.fd, EPOLLIN, on_relay, NULL);
		if (relay.watch != NULL) {
			fd = relay.fd; /* the user of the control side is kept */
			vbus_ctl_unlock();
			return fd;
		}
		if (relay.fd >= 0)
			close(relay.fd);
		relay.fd = -1;
	}
	fd = relay.fd;
	vbus_ctl_unlock();
	vbus_ctl_put();
	return fd;
}

static int
on_kick_ask(const struct rte_mp_msg *msg, const void *peer)
{
	struct rte_mp_msg reply = {0};
	int fd = relay_open();

	(void)msg;
	snprintf(reply.name, sizeof(reply.name), MP_KICK);
	if (fd >= 0) {
		reply.num_fds = 1;
		reply.fds[0] = fd;
	}
	return rte_mp_reply(&reply, peer);
}

static void
serve(const char *name, rte_mp_t action)
{
	if (rte_mp_action_register(name, action) != 0 && rte_errno != ENOTSUP &&
		rte_errno != EEXIST)
		BUS_LOG(NOTICE, "secondary processes will see no devices: %s",
			rte_strerror(rte_errno));
}

void
vbus_secondary_serve(void)
{
	serve(MP_NAME, on_ask);
	serve(MP_KICK, on_kick_ask);
}

void
vbus_secondary_stop(void)
{
	bool was;

	rte_mp_action_unregister(MP_NAME);
	rte_mp_action_unregister(MP_KICK);
	vbus_ctl_lock();
	was = relay.watch != NULL;
	vbus_ctl_fd_del(relay.watch);
	relay.watch = NULL;
	if (was)
		close(relay.fd);
	relay.fd = -1;
	vbus_ctl_unlock();
	if (was)
		vbus_ctl_put();
}

/* ---- secondary ----------------------------------------------------------------------------- */

/* @return 1: there is one, 0: no more, or a negative errno */
static int
ask_primary(uint32_t index, struct mp_answer *a)
{
	const struct mp_ask ask = {.index = index};
	int ret = vbus_mp_ask(MP_NAME, &ask, sizeof(ask), a, sizeof(*a));

	if (ret != 0)
		return ret;
	a->name[sizeof(a->name) - 1] = '\0';
	a->type[sizeof(a->type) - 1] = '\0';
	return a->found != 0;
}

/* The primary's relay; once. */
static int
kick_open(void)
{
	const struct timespec timeout = {.tv_sec = MP_TIMEOUT_S};
	struct rte_mp_msg request = {0};
	struct rte_mp_reply reply;

	if (vbus_secondary_kick_fd >= 0)
		return 0;
	snprintf(request.name, sizeof(request.name), MP_KICK);
	if (rte_mp_request_sync(&request, &reply, &timeout) != 0)
		return -rte_errno;
	if (reply.nb_received == 1 && reply.msgs[0].num_fds == 1)
		vbus_secondary_kick_fd = reply.msgs[0].fds[0];
	free(reply.msgs);
	return vbus_secondary_kick_fd >= 0 ? 0 : -ENOTSUP;
}

bool
rte_vbus_secondary_polls(struct rte_vbus_device *dev)
{
	int ret;

	if (rte_eal_process_type() == RTE_PROC_PRIMARY || !vbus_dev_of(dev)->eal_memory)
		return false;
	ret = kick_open();
	if (ret != 0)
		BUS_LOG(NOTICE, "%s: only to be looked at here: the primary gives no relay: %s",
			dev->full_name, rte_strerror(-ret));
	return ret == 0;
}

static struct rte_vbus_device *
seen_find(const char *name)
{
	struct rte_vbus_device *dev;

	TAILQ_FOREACH (dev, &seen, next)
		if (strcmp(dev->full_name, name) == 0)
			break;
	return dev;
}

static int
seen_add(const struct mp_answer *a)
{
	struct vbus_dev *d = calloc(1, sizeof(*d));

	if (d == NULL)
		return -ENOMEM;
	snprintf(d->pub.full_name, sizeof(d->pub.full_name), "%s", a->name);
	snprintf(d->pub.type, sizeof(d->pub.type), "%s", a->type);
	d->pub.device.name = d->pub.full_name;
	d->pub.device.bus = &vbus_bus;
	d->pub.device.numa_node = SOCKET_ID_ANY;
	d->pub.priv = d;
	d->eal_memory = a->eal_memory != 0;
	d->node.rdev = &d->pub.device;
	d->node.dev = d;
	TAILQ_INSERT_TAIL(&seen, &d->pub, next);
	vbus_ctl_lock();
	vbus_node_add(&d->node);
	vbus_ctl_unlock();
	return 0;
}

int
vbus_secondary_scan(void)
{
	struct mp_answer a;
	uint32_t i;
	int ret = 0;

	for (i = 0; i < MP_DEVICES_MAX; i++) {
		ret = ask_primary(i, &a);
		if (ret <= 0)
			break;
		if (seen_find(a.name) == NULL && seen_add(&a) != 0)
			return -ENOMEM;
	}
	if (ret < 0)
		BUS_LOG(INFO, "no devices from the primary process: %s", rte_strerror(-ret));
	return 0;
}

int
vbus_secondary_plug(struct rte_device *rdev)
{
	struct rte_vbus_device *dev = RTE_DEV_TO_VBUS(rdev);
	struct rte_vbus_driver *drv;
	int ret;

	if (dev->driver != NULL)
		return 0;
	drv = vbus_driver_find(dev->type);
	if (drv == NULL)
		return -ENODEV;
	ret = drv->probe(drv, dev);
	if (ret == 0) {
		dev->driver = drv;
		rdev->driver = &drv->driver;
	}
	return ret;
}

int
vbus_secondary_unplug(struct rte_device *rdev)
{
	struct rte_vbus_device *dev = RTE_DEV_TO_VBUS(rdev);
	int ret = 0;

	if (dev->driver != NULL)
		ret = dev->driver->remove(dev);
	if (ret == 0) {
		dev->driver = NULL;
		rdev->driver = NULL;
	}
	return ret;
}

int
vbus_secondary_probe(void)
{
	struct rte_vbus_device *dev;

	TAILQ_FOREACH (dev, &seen, next)
		if (vbus_secondary_plug(&dev->device) != 0)
			BUS_LOG(NOTICE, "%s: not in this process", dev->full_name);
	return 0;
}

int
vbus_secondary_cleanup(void)
{
	struct rte_vbus_device *dev;

	while ((dev = TAILQ_FIRST(&seen)) != NULL) {
		vbus_secondary_unplug(&dev->device);
		TAILQ_REMOVE(&seen, dev, next);
		vbus_ctl_lock();
		vbus_node_del(&vbus_dev_of(dev)->node);
		vbus_ctl_unlock();
		free(vbus_dev_of(dev));
	}
	if (vbus_secondary_kick_fd >= 0)
		close(vbus_secondary_kick_fd);
	vbus_secondary_kick_fd = -1;
	return 0;
}
