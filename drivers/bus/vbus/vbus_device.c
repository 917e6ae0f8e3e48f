/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * Device records of a link. Control thread and application only note what is (announced, lost,
 * dropped, detached); whoever runs device_apply() compares that with what the driver knows and
 * calls it: probe, lost, back, dropped, remove. A fast lost-and-back-and-lost thus needs no
 * queue and cannot be seen out of order.
 *
 *     absent --DEVADD--> present --probe--> bound
 *     bound --peer gone--> told lost --DEVADD--> told back
 *     bound --DEVDROP, or not back in a second--> told dropped --> removed
 *
 * Threads: notes under the control lock; driver callbacks run on the worker or on the
 * application thread that attaches or detaches, without the lock. `busy` makes sure it is one
 * of them at a time.
 * Ownership: a record is the link's from DEVADD to DEVDROP (and through absence of the peer);
 * freed some time after that (vbus_node_bury()), because EAL and applications hold bare
 * pointers to it.
 */

#include "vbus_bus_private.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_common.h>
#include <rte_devargs.h>
#include <rte_errno.h>
#include <rte_memory.h>

/* How long an application waits for another thread that runs callbacks of the same device. */
#define BUSY_WAIT_NS (10000 * VBUS_NS_PER_MS)

static RTE_TAILQ_HEAD(, rte_vbus_driver) drivers = TAILQ_HEAD_INITIALIZER(drivers);

void
rte_vbus_register(struct rte_vbus_driver *drv)
{
	TAILQ_INSERT_TAIL(&drivers, drv, next);
}

void
rte_vbus_unregister(struct rte_vbus_driver *drv)
{
	TAILQ_REMOVE(&drivers, drv, next);
}

struct rte_vbus_driver *
vbus_driver_find(const char *type)
{
	struct rte_vbus_driver *drv;

	TAILQ_FOREACH (drv, &drivers, next)
		if (strcmp(drv->type, type) == 0)
			break;
	return drv;
}

/* ---- records ------------------------------------------------------------------------------- */

static void
device_mark(struct vbus_dev *d)
{
	struct rte_vbus_link *link = d->pub.link;

	if (!d->dirty && !d->removed) {
		d->dirty = true;
		TAILQ_INSERT_TAIL(&link->dirty, d, dirty_next);
	}
	vbus_link_work(link);
}

/* A live record of that name; `dropped` ones are on their way out and do not count. */
static struct vbus_dev *
device_by_name(struct rte_vbus_link *link, const char *name)
{
	struct rte_vbus_device *dev;

	TAILQ_FOREACH (dev, &link->devices, next)
		if (!vbus_dev_of(dev)->dropped && strcmp(dev->dev_name, name) == 0)
			return vbus_dev_of(dev);
	return NULL;
}

/* Is an older record of the same name still there? Its port has the name. */
static bool
device_must_wait(const struct vbus_dev *d)
{
	struct rte_vbus_device *dev;

	TAILQ_FOREACH (dev, &d->pub.link->devices, next) {
		if (dev == &d->pub)
			return false;
		if (strcmp(dev->dev_name, d->pub.dev_name) == 0)
			return true;
	}
	return false;
}

static void
drop_timeout(struct vbus_ctl_timer *t)
{
	struct vbus_dev *d = container_of(t, struct vbus_dev, drop_timer);

	d->force = true;
	device_mark(d);
}

static void
retry_timeout(struct vbus_ctl_timer *t)
{
	struct vbus_dev *d = container_of(t, struct vbus_dev, retry_timer);

	d->failed = false;
	device_mark(d);
}

static struct vbus_dev *
device_new(struct rte_vbus_link *link, const char *name, const char *type)
{
	struct vbus_dev *d;

	if (link->nb_devices >= VBUS_BUS_DEVS_MAX)
		return NULL;
	d = calloc(1, sizeof(*d));
	if (d == NULL)
		return NULL;
	d->pub.intr_handle = rte_intr_instance_alloc(RTE_INTR_INSTANCE_F_PRIVATE);
	if (d->pub.intr_handle == NULL) {
		free(d);
		return NULL;
	}
	snprintf(d->pub.dev_name, sizeof(d->pub.dev_name), "%s", name);
	snprintf(d->pub.type, sizeof(d->pub.type), "%s", type);
	snprintf(d->pub.full_name, sizeof(d->pub.full_name), "vbus:%.*s.%.*s",
		(int)VBUS_BUS_NAME_MAX, link->name, (int)VBUS_BUS_NAME_MAX, name);
	d->pub.link = link;
	d->pub.priv = d;
	d->pub.device.name = d->pub.full_name;
	d->pub.device.bus = &vbus_bus;
	d->pub.device.numa_node = link->device.numa_node;
	d->own_devargs = vbus_filter_devargs(link->name, name);
	d->pub.device.devargs = d->own_devargs;
	d->blocked = !vbus_filter_allows(link->name, name);
	d->drop_timer.fn = drop_timeout;
	d->retry_timer.fn = retry_timeout;
	d->idle = true;
	LIST_INIT(&d->zones);
	TAILQ_INSERT_TAIL(&link->devices, &d->pub, next);
	link->nb_devices++;
	d->node.rdev = &d->pub.device;
	d->node.dev = d;
	vbus_node_add(&d->node);
	return d;
}

/* Out of the lists; unbound. The next record of its name may be bound now. */
static void
device_delete(struct vbus_dev *d)
{
	struct rte_vbus_link *link = d->pub.link;
	struct rte_vbus_device *dev;

	vbus_ctl_timer_cancel(&d->drop_timer);
	vbus_ctl_timer_cancel(&d->retry_timer);
	vbus_shm_forget(link, &d->pub);
	vbus_zone_leave(d);
	if (d->dirty)
		TAILQ_REMOVE(&link->dirty, d, dirty_next);
	d->dirty = false;
	d->removed = true;
	TAILQ_REMOVE(&link->devices, &d->pub, next);
	link->nb_devices--;
	TAILQ_FOREACH (dev, &link->devices, next)
		if (strcmp(dev->dev_name, d->pub.dev_name) == 0)
			device_mark(vbus_dev_of(dev));
	vbus_node_del(&d->node);
	vbus_node_bury(&d->node);
}

void
vbus_dev_free(struct vbus_dev *d)
{
	vbus_zone_free_all(d);
	rte_intr_instance_free(d->pub.intr_handle);
	vbus_devargs_free(d->own_devargs);
	free(d);
}

/* ---- what the peer says (control lock held) ------------------------------------------------ */

static void
device_drop(struct vbus_dev *d)
{
	__atomic_store_n(&d->pub.present, false, __ATOMIC_RELAXED);
	d->dropped = true;
	device_mark(d);
}

void
vbus_dev_announced(struct rte_vbus_link *link, uint32_t id, const char *type, const char *name)
{
	char word[VBUS_BUS_NAME_SIZE];
	struct vbus_dev *d;

	if (link->stopping || link->origin_gone)
		return;
	vbus_bus_device_name(word, name, type, id);
	d = device_by_name(link, word);
	if (d != NULL && d->pub.present) { /* two of one name: the id makes this one's own */
		vbus_bus_device_name(word, "", type, id);
		d = device_by_name(link, word);
	}
	if (d != NULL && (d->pub.present || strcmp(d->pub.type, type) != 0)) {
		if (d->pub.present) {
			link->stats.nb_bad_events++;
			BUS_LOG(ERR, "%s: a second device '%s' is announced: ignored", link->name,
				word);
			return;
		}
		device_drop(d); /* came back as something else */
		d = NULL;
	}
	if (d == NULL)
		d = device_new(link, word, type);
	if (d == NULL) {
		link->stats.nb_unbound++;
		BUS_LOG(ERR, "%s: no room for device '%s'", link->name, word);
		return;
	}
	d->pub.devid = id;
	d->pub.handle = 0;
	d->session = link->session;
	d->failed = false;
	__atomic_store_n(&d->pub.present, true, __ATOMIC_RELAXED);
	device_mark(d);
}

void
vbus_dev_dropped(struct rte_vbus_link *link, uint32_t id)
{
	struct rte_vbus_device *dev;

	TAILQ_FOREACH (dev, &link->devices, next) {
		if (dev->present && dev->devid == id) {
			device_drop(vbus_dev_of(dev));
			return;
		}
	}
	link->stats.nb_bad_events++;
}

void
vbus_dev_drop_all(struct rte_vbus_link *link)
{
	struct rte_vbus_device *dev;

	TAILQ_FOREACH (dev, &link->devices, next)
		if (!vbus_dev_of(dev)->dropped)
			device_drop(vbus_dev_of(dev));
}

void
vbus_dev_all_lost(struct rte_vbus_link *link)
{
	struct rte_vbus_device *dev;

	TAILQ_FOREACH (dev, &link->devices, next) {
		struct vbus_dev *d = vbus_dev_of(dev);

		__atomic_store_n(&dev->present, false, __ATOMIC_RELAXED);
		dev->devid = 0;
		dev->handle = 0;
		d->session = 0;
		device_mark(d);
	}
}

void
vbus_dev_reap(struct rte_vbus_link *link)
{
	struct rte_vbus_device *dev;

	TAILQ_FOREACH (dev, &link->devices, next) {
		struct vbus_dev *d = vbus_dev_of(dev);

		if (!dev->present && !d->dropped) {
			BUS_LOG(NOTICE, "%s: did not come back with its peer", dev->full_name);
			device_drop(d);
		}
	}
}

/* ---- telling the driver (lock NOT held, the device is ours by `busy`) ---------------------- */

static void
device_release(struct vbus_dev *d)
{
	d->busy = false;
	d->idle = true;
	vbus_ctl_wake();
}

/* Control lock held on entry and return, released for the driver. */
static int
device_probe(struct vbus_dev *d)
{
	struct rte_vbus_driver *drv = vbus_driver_find(d->pub.type);
	int ret;

	if (drv == NULL) {
		BUS_LOG(NOTICE, "%s: no driver for type '%s'", d->pub.full_name, d->pub.type);
		return -ENODEV;
	}
	d->pub.driver = drv;
	vbus_ctl_unlock();
	ret = drv->probe(drv, &d->pub);
	vbus_ctl_lock();
	if (ret != 0) {
		d->pub.driver = NULL;
		ret = ret > 0 ? -EIO : ret;
		BUS_LOG(ERR, "%s: driver %s does not take it: %s", d->pub.full_name,
			drv->driver.name, strerror(-ret));
		return ret;
	}
	d->pub.device.driver = &drv->driver;
	return 0;
}

/* As device_probe(). */
static int
device_remove(struct vbus_dev *d)
{
	int ret;

	vbus_ctl_unlock();
	ret = d->pub.driver->remove(&d->pub);
	vbus_ctl_lock();
	if (ret != 0) {
		BUS_LOG(ERR, "%s: driver %s does not let it go: %s", d->pub.full_name,
			d->pub.driver->driver.name, strerror(ret < 0 ? -ret : ret));
		return ret < 0 ? ret : -EBUSY;
	}
	d->pub.device.driver = NULL;
	d->pub.driver = NULL;
	return 0;
}

/* The same for callbacks that cannot fail; drivers may leave them out. */
static void
device_tell(struct vbus_dev *d, void (*fn)(struct rte_vbus_device *dev))
{
	if (fn == NULL)
		return;
	vbus_ctl_unlock();
	fn(&d->pub);
	vbus_ctl_lock();
}

enum device_step {
	STEP_NONE,
	STEP_PROBE,
	STEP_LOST,
	STEP_BACK,
	STEP_DROPPED,
	STEP_REMOVE,
	STEP_DELETE,
};

/* What is to be done next so that the driver knows what is. Control lock held.
 */
static enum device_step
device_next_step(const struct vbus_dev *d)
{
	const struct rte_vbus_driver *drv = d->pub.driver;

	if (drv != NULL && d->applied != 0 && d->applied != d->session)
		return STEP_LOST;
	if (d->dropped) {
		if (drv == NULL)
			return STEP_DELETE;
		if (d->force || drv->dropped == NULL)
			return STEP_REMOVE;
		return d->told ? STEP_NONE : STEP_DROPPED;
	}
	if (d->session == 0)
		return STEP_NONE;
	if (drv != NULL)
		return d->applied == 0 ? STEP_BACK : STEP_NONE;
	if (d->detached || d->blocked || d->failed || d->pub.link->stopping || device_must_wait(d))
		return STEP_NONE;
	return STEP_PROBE;
}

/* A peer that is slow or short of something now is not one that refuses: the device would stay
 * without its driver for as long as the link lasts.
 */
static void
device_probe_failed(struct vbus_dev *d, int err)
{
	uint64_t ms = RTE_VBUS_RETRY_MS << RTE_MIN(d->nb_retries, 6);

	d->applied = 0;
	d->failed = d->session != 0; /* else the peer's loss may be the reason */
	d->pub.link->stats.nb_unbound++;
	if (!d->failed || (err != -ETIMEDOUT && err != -EBUSY && err != -EAGAIN && err != -ENOMEM))
		return;
	d->nb_retries += d->nb_retries < UINT8_MAX;
	BUS_LOG(NOTICE, "%s: again in %" PRIu64 " ms", d->pub.full_name, ms);
	vbus_ctl_timer_arm(&d->retry_timer, ms * VBUS_NS_PER_MS);
}

/* Control lock held on entry and return, released meanwhile. */
static void
device_step(struct vbus_dev *d, enum device_step step)
{
	struct rte_vbus_device *dev = &d->pub;
	int ret = 0;

	if (step == STEP_PROBE || step == STEP_BACK)
		d->applied = d->session;
	else if (step == STEP_LOST)
		d->applied = 0;
	d->told |= step == STEP_DROPPED;
	if (step == STEP_PROBE)
		ret = device_probe(d);
	else if (step == STEP_LOST)
		device_tell(d, dev->driver->lost);
	else if (step == STEP_BACK)
		device_tell(d, dev->driver->back);
	else if (step == STEP_DROPPED)
		device_tell(d, dev->driver->dropped);
	else if (step == STEP_REMOVE)
		ret = device_remove(d);
	if (step == STEP_PROBE && ret != 0)
		device_probe_failed(d, ret);
	else if (step == STEP_PROBE)
		d->nb_retries = 0;
	if ((step == STEP_REMOVE && ret != 0) || step == STEP_DROPPED) {
		d->force = false; /* later, again */
		vbus_ctl_timer_arm(&d->drop_timer, RTE_VBUS_DROP_MS * VBUS_NS_PER_MS);
	}
}

/* Run steps until there is none. Control lock held, the device is ours. @return false: it is
 * deleted. */
static bool
device_apply(struct vbus_dev *d)
{
	enum device_step step;

	while ((step = device_next_step(d)) != STEP_NONE) {
		if (step == STEP_DELETE) {
			device_release(d);
			device_delete(d);
			return false;
		}
		device_step(d, step);
		if (step == STEP_REMOVE && d->pub.driver != NULL)
			break;
	}
	return true;
}

void
vbus_dev_work(struct rte_vbus_link *link)
{
	struct vbus_dev *d;

	vbus_ctl_lock();
	link->working = true;
	link->not_working = false;
	while ((d = TAILQ_FIRST(&link->dirty)) != NULL) {
		TAILQ_REMOVE(&link->dirty, d, dirty_next);
		d->dirty = false;
		if (d->busy) /* whoever has it goes on until there is nothing left to do */
			continue;
		d->busy = true;
		d->idle = false;
		if (device_apply(d))
			device_release(d);
	}
	link->working = false;
	link->not_working = true;
	vbus_link_settle(link);
	vbus_ctl_wake();
	vbus_ctl_unlock();
}

/* ---- the application ----------------------------------------------------------------------- */

/* Make the device ours. Control lock held. */
static int
device_acquire(struct vbus_dev *d)
{
	uint64_t deadline = vbus_ctl_now_ns() + BUSY_WAIT_NS;

	while (d->busy) {
		uint64_t now = vbus_ctl_now_ns();

		/* The worker cannot wait for itself: an application calls back from a
		 * callback. */
		if (vbus_ctl_in_worker() || now >= deadline)
			return -EBUSY;
		vbus_ctl_wait(&d->idle, deadline - now);
	}
	if (d->removed)
		return -ENODEV;
	d->busy = true;
	d->idle = false;
	return 0;
}

int
vbus_dev_plug(struct vbus_dev *d)
{
	int ret;

	vbus_ctl_lock();
	d->detached = false;
	d->blocked = false;
	d->failed = false;
	ret = device_acquire(d);
	if (ret != 0)
		goto out;
	if (!device_apply(d)) {
		ret = -ENODEV;
		goto out;
	}
	if (d->pub.driver == NULL) {
		vbus_ctl_timer_cancel(&d->retry_timer); /* the caller knows, and decides */
		ret = d->pub.present ? -EIO : -ENODEV;
	}
	device_release(d);
out:
	vbus_ctl_unlock();
	return ret;
}

int
vbus_dev_unplug(struct vbus_dev *d)
{
	int ret;

	vbus_ctl_lock();
	ret = device_acquire(d);
	if (ret != 0)
		goto out;
	if (d->pub.driver != NULL)
		ret = device_remove(d);
	if (ret == 0) {
		d->detached = true;
		d->applied = 0;
	}
	if (device_apply(d))
		device_release(d);
out:
	vbus_ctl_unlock();
	return ret;
}

int
vbus_dev_remove_all(struct rte_vbus_link *link)
{
	struct rte_vbus_device *dev;
	struct vbus_dev *d;
	int ret = 0;

	vbus_ctl_lock();
	while (ret == 0 && (dev = TAILQ_FIRST(&link->devices)) != NULL) {
		d = vbus_dev_of(dev);
		ret = device_acquire(d);
		if (ret != 0)
			break;
		if (dev->driver != NULL)
			ret = device_remove(d);
		device_release(d);
		if (ret == 0)
			device_delete(d);
	}
	vbus_ctl_unlock();
	return ret;
}
