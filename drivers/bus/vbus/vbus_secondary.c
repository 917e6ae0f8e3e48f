/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * The bus in a secondary process: links belong to the primary, its devices can be seen. The primary
 * answers, device by device, what is bound there; the secondary makes a record for each and lets the
 * driver attach to the primary's port (dpdk-dumpcap, dpdk-proc-info). What comes later is found when
 * EAL relays a hot-plug of the primary.
 *
 * Threads: primary: EAL's multi-process thread, under the control lock. Secondary: the thread of EAL's
 * start and end, and EAL's own for a relayed hot-plug; EAL serialises them.
 * Ownership: records are this file's until the end of the process; they are nodes of the bus, so that
 * EAL finds them, and no link's.
 */

#include "vbus_bus_private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_memory.h>

#define MP_NAME	       "vbus_device"
#define MP_TIMEOUT_S   1
#define MP_DEVICES_MAX VBUS_BUS_DEVS_MAX

struct mp_ask {
	uint32_t index;
};

struct mp_answer {
	uint32_t found;
	char name[RTE_DEV_NAME_MAX_LEN];
	char type[RTE_VBUS_TYPE_SIZE];
};

_Static_assert(sizeof(struct mp_answer) <= RTE_MP_MAX_PARAM_LEN, "an answer is one message");

static RTE_TAILQ_HEAD(, rte_vbus_device) seen = TAILQ_HEAD_INITIALIZER(seen);

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

void
vbus_secondary_serve(void)
{
	if (rte_mp_action_register(MP_NAME, on_ask) != 0 && rte_errno != ENOTSUP &&
		rte_errno != EEXIST)
		BUS_LOG(NOTICE, "secondary processes will see no devices: %s",
			rte_strerror(rte_errno));
}

/* ---- secondary ----------------------------------------------------------------------------- */

/* @return 1: there is one, 0: no more, or a negative errno */
static int
ask_primary(uint32_t index, struct mp_answer *a)
{
	const struct timespec timeout = {.tv_sec = MP_TIMEOUT_S};
	struct rte_mp_msg request = {.len_param = sizeof(struct mp_ask)};
	struct mp_ask ask = {.index = index};
	struct rte_mp_reply reply;
	int ret = -ENOENT; /* a primary without the bus */

	snprintf(request.name, sizeof(request.name), MP_NAME);
	memcpy(request.param, &ask, sizeof(ask));
	if (rte_mp_request_sync(&request, &reply, &timeout) != 0)
		return rte_errno != 0 ? -rte_errno : -EIO;
	if (reply.nb_received == 1 && reply.msgs[0].len_param == sizeof(*a)) {
		memcpy(a, reply.msgs[0].param, sizeof(*a));
		a->name[sizeof(a->name) - 1] = '\0';
		a->type[sizeof(a->type) - 1] = '\0';
		ret = a->found != 0;
	}
	free(reply.msgs);
	return ret;
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
	return 0;
}
