/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * The bus as EAL sees it. Links come from devargs or PCI; what else is on the bus is announced by
 * their peers:
 *
 *     -a vbus:vm1,socket=PATH      link "vbus:vm1", an rte_device of its own
 *     (PCI function 0000:00:04.0)  link "vbus:pci-0000-00-04-0" (vbus_pci.c)
 *     (DEVADD "eth0")              device "vbus:vm1.eth0"
 *
 * A link is an rte_device, so that EAL finds what an application attaches
 * ("vbus:vm2,socket=...") and can detach it. Allow and block lists are those of the start: see
 * ADR-0007.
 *
 * Threads: EAL's entry points run on application threads and lock nothing there; callbacks of
 * EAL (comparison) run without the control lock. The constructor runs before there are
 * threads.
 */

#include "vbus_bus_private.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_devargs.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_kvargs.h>

#include "vbus_compat.h"

#define NODES_BURIED_MAX 32u

RTE_LOG_REGISTER(vbus_bus_logtype, vbus.bus, NOTICE);

struct vbus_nodes vbus_nodes = TAILQ_HEAD_INITIALIZER(vbus_nodes);
static struct vbus_nodes buried = TAILQ_HEAD_INITIALIZER(buried);
static uint32_t nb_buried;

/* An entry of the allow or block list about a device. */
struct bus_filter {
	LIST_ENTRY(bus_filter) next;
	struct vbus_bus_name name;
	bool block;
	char *args;
};
static LIST_HEAD(, bus_filter) filters = LIST_HEAD_INITIALIZER(filters);
static bool probed; /* the first scan's devargs are those of the start */

/* ---- nodes (control lock held) ------------------------------------------------------------- */

void
vbus_node_add(struct vbus_node *n)
{
	TAILQ_INSERT_TAIL(&vbus_nodes, n, next);
}

void
vbus_node_del(struct vbus_node *n)
{
	TAILQ_REMOVE(&vbus_nodes, n, next);
	n->gone = true;
}

static void
node_free(struct vbus_node *n)
{
	TAILQ_REMOVE(&buried, n, next);
	nb_buried--;
	if (n->dev != NULL)
		vbus_dev_free(n->dev);
	else
		vbus_link_free(n->link);
}

void
vbus_node_bury(struct vbus_node *n)
{
	struct vbus_node *old, *next;

	TAILQ_INSERT_TAIL(&buried, n, next);
	nb_buried++;
	for (old = TAILQ_FIRST(&buried); old != NULL && nb_buried > NODES_BURIED_MAX; old = next) {
		next = TAILQ_NEXT(old, next);
		if (old->refs == 0 && (old->dev == NULL || LIST_EMPTY(&old->dev->zones)))
			node_free(old);
	}
}

void
vbus_nodes_free(void)
{
	struct vbus_node *n;

	while ((n = TAILQ_FIRST(&buried)) != NULL)
		node_free(n);
}

static struct vbus_node *
node_of(const struct rte_device *rdev)
{
	struct vbus_node *n;

	TAILQ_FOREACH (n, &vbus_nodes, next)
		if (n->rdev == rdev)
			break;
	return n;
}

typedef bool (*node_match_fn)(const struct rte_device *rdev, void *arg);

/* The first node after start (NULL: of all) that matches; match runs without the lock. */
static struct rte_device *
node_find(const struct rte_device *start, node_match_fn match, void *arg)
{
	struct rte_device *found = NULL;
	struct vbus_node *n, *next;

	vbus_ctl_lock();
	if (start == NULL) {
		n = TAILQ_FIRST(&vbus_nodes);
	} else {
		n = node_of(start);
		n = n != NULL ? TAILQ_NEXT(n, next) : NULL;
	}
	while (n != NULL && found == NULL) {
		n->refs++;
		vbus_ctl_unlock();
		if (match(n->rdev, arg))
			found = n->rdev;
		vbus_ctl_lock();
		n->refs--;
		/* Gone meanwhile: from the start again, what matched not will not match now. */
		next = n->gone ? TAILQ_FIRST(&vbus_nodes) : TAILQ_NEXT(n, next);
		n = next;
	}
	vbus_ctl_unlock();
	return found;
}

/* ---- allow and block lists ----------------------------------------------------------------- */

static const struct bus_filter *
filter_find(const char *link, const char *dev)
{
	const struct bus_filter *f;

	LIST_FOREACH(f, &filters, next)
	if (strcmp(f->name.link, link) == 0 && strcmp(f->name.dev, dev) == 0)
		break;
	return f;
}

bool
vbus_filter_allows(const char *link, const char *dev)
{
	const struct bus_filter *f = filter_find(link, dev);

	if (f != NULL)
		return !f->block;
	/* Not named: allowed, unless others of this link are (then these are all). */
	LIST_FOREACH(f, &filters, next)
	if (!f->block && f->name.dev[0] != '\0' && strcmp(f->name.link, link) == 0)
		return false;
	return true;
}

struct rte_devargs *
vbus_filter_devargs(const char *link, const char *dev)
{
	const struct bus_filter *f = filter_find(link, dev);
	struct rte_devargs *da;

	if (f == NULL || f->block || f->args[0] == '\0')
		return NULL;
	da = calloc(1, sizeof(*da));
	if (da == NULL)
		return NULL;
	snprintf(da->name, sizeof(da->name), "vbus:%s.%s", link, dev);
	da->bus = &vbus_bus;
	da->data = strdup(f->args);
	da->args = da->data;
	da->drv_str = da->data;
	return da;
}

void
vbus_devargs_free(struct rte_devargs *da)
{
	if (da != NULL)
		free(da->data);
	free(da);
}

static int
filter_add(const struct vbus_bus_name *name, const struct rte_devargs *da)
{
	struct bus_filter *f = calloc(1, sizeof(*f));

	if (f == NULL)
		return -ENOMEM;
	f->name = *name;
	f->block = da->policy == RTE_DEV_BLOCKED;
	f->args = strdup(da->data != NULL ? da->data : "");
	if (f->args == NULL) {
		free(f);
		return -ENOMEM;
	}
	LIST_INSERT_HEAD(&filters, f, next);
	return 0;
}

static void
filters_free(void)
{
	struct bus_filter *f;

	while ((f = LIST_FIRST(&filters)) != NULL) {
		LIST_REMOVE(f, next);
		free(f->args);
		free(f);
	}
}

/* ---- scan ---------------------------------------------------------------------------------- */

/* Devargs of a link that is not known yet: make it. */
static int
scan_link(const struct vbus_bus_name *name, const struct rte_devargs *da)
{
	char err[160] = "";
	struct rte_vbus_link *link;
	struct vbus_link_args args;
	int ret;

	ret = vbus_link_args_parse(da->data != NULL ? da->data : "", &args, err, sizeof(err));
	if (ret != 0) {
		BUS_LOG(ERR, "%s: %s", da->name, err);
		return ret;
	}
	vbus_ctl_lock();
	link = vbus_link_new(name->link, &args);
	if (link != NULL)
		link->device.devargs = (struct rte_devargs *)(uintptr_t)da;
	vbus_ctl_unlock();
	return link != NULL ? 0 : -ENOMEM;
}

/* An application attaches a device: its devargs go with it. */
static void
scan_device(const struct rte_devargs *da)
{
	struct vbus_node *n;

	vbus_ctl_lock();
	TAILQ_FOREACH (n, &vbus_nodes, next) {
		if (n->dev != NULL && !n->dev->dropped && strcmp(n->rdev->name, da->name) == 0) {
			n->rdev->devargs = (struct rte_devargs *)(uintptr_t)da;
			break;
		}
	}
	vbus_ctl_unlock();
}

/* EAL calls it at start, before there is memory, and for each attach. Known links stay as they
 * are, so it can be called any number of times. */
static int
bus_scan(void)
{
	struct rte_devargs *da;
	struct vbus_bus_name name;
	bool known;
	int ret = 0, err;

	if (rte_eal_process_type() != RTE_PROC_PRIMARY)
		return vbus_secondary_scan();
	RTE_EAL_DEVARGS_FOREACH(vbus_bus.name, da)
	{
		if (vbus_bus_name_parse(da->name, &name) != 0)
			continue;
		err = 0;
		if (!probed && filter_find(name.link, name.dev) != NULL) {
			BUS_LOG(ERR, "%s: given twice", da->name);
			err = -EEXIST;
		} else if (!probed) {
			err = filter_add(&name, da);
		}
		if (name.dev[0] != '\0') {
			if (probed && da->policy != RTE_DEV_BLOCKED)
				scan_device(da);
		} else if (err == 0 && da->policy != RTE_DEV_BLOCKED) {
			vbus_ctl_lock();
			known = vbus_link_find(name.link) != NULL;
			vbus_ctl_unlock();
			err = known ? 0 : scan_link(&name, da);
		}
		ret = ret != 0 ? ret : err;
	}
	return ret;
}

/* ---- probe --------------------------------------------------------------------------------- */

/* Wrong devargs of the start were reported by the first scan: they are taken out of EAL's
 * list, so that later scans, which serve an attach, see only good ones and the new one. */
static int
devargs_purge(void)
{
	struct rte_devargs *da, *next;
	struct vbus_link_args args;
	struct vbus_bus_name name;
	char err[160];
	int ret = 0;

	for (da = rte_devargs_next(vbus_bus.name, NULL); da != NULL; da = next) {
		next = rte_devargs_next(vbus_bus.name, da);
		if (da->policy == RTE_DEV_BLOCKED || vbus_bus_name_parse(da->name, &name) != 0 ||
			name.dev[0] != '\0')
			continue;
		if (vbus_link_args_parse(da->data, &args, err, sizeof(err)) == 0)
			continue;
		/* EAL removes by name: the first of two that have the same. It is a good one
		 * then. */
		if (vbus_link_find(name.link) == NULL)
			rte_devargs_remove(da);
		ret = -EINVAL;
	}
	return ret;
}

static int
bus_probe(VBUS_BUS_SELF)
{
	struct rte_vbus_link *link;
	uint64_t began;
	int ret, err;

	if (rte_eal_process_type() != RTE_PROC_PRIMARY)
		return vbus_secondary_probe();
	vbus_secondary_serve();
	ret = devargs_purge();
	probed = true;
	if (TAILQ_EMPTY(&vbus_links))
		return ret;
	/* All at once, then one wait for all of them: peers answer in parallel. */
	TAILQ_FOREACH (link, &vbus_links, next) {
		err = vbus_link_start(link);
		ret = ret != 0 ? ret : err;
	}
	began = vbus_ctl_now_ns();
	TAILQ_FOREACH (link, &vbus_links, next)
		if (link->state != VBUS_LINK_IDLE)
			vbus_link_wait(link, began + link->args.wait_ms * VBUS_NS_PER_MS);
	return ret;
}

/* ---- plug and unplug ----------------------------------------------------------------------- */

/* An application attaches a link: a new one, or one that could not be started before. */
static int
link_plug(struct rte_vbus_link *link)
{
	const struct rte_devargs *da = link->device.devargs;
	const char *text = da != NULL && da->data != NULL ? da->data : "";
	struct vbus_link_args args;
	char err[160] = "";
	int ret;

	if (text[0] != '\0') {
		ret = vbus_link_args_parse(text, &args, err, sizeof(err));
		if (ret == 0 && link->state != VBUS_LINK_IDLE &&
			!vbus_link_args_equal(&args, &link->args)) {
			snprintf(
				err, sizeof(err), "is there with other arguments: detach it first");
			ret = -EBUSY;
		}
		if (ret != 0) {
			BUS_LOG(ERR, "%s: %s", link->full_name, err);
			return ret;
		}
		link->args = args;
	}
	ret = vbus_link_start(link);
	if (ret == 0)
		vbus_link_wait(link, vbus_ctl_now_ns() + link->args.wait_ms * VBUS_NS_PER_MS);
	return ret;
}

static int
link_unplug(struct rte_vbus_link *link)
{
	struct rte_devargs *da = link->device.devargs;
	int ret;

	if (link->origin != NULL) {
		BUS_LOG(ERR, "%s: belongs to %s: detach that", link->full_name, link->args.path);
		return -EBUSY;
	}
	ret = vbus_link_stop(link);
	if (ret == 0 && da != NULL) {
		link->device.devargs = NULL;
		rte_devargs_remove(da);
	}
	return ret;
}

static int
device_unplug(struct vbus_dev *d)
{
	struct rte_devargs *da = d->pub.device.devargs;
	int ret = vbus_dev_unplug(d);

	if (ret == 0 && da != NULL && da != d->own_devargs) {
		d->pub.device.devargs = d->own_devargs;
		rte_devargs_remove(da);
	}
	return ret;
}

/* Links and devices stay allocated while a node of theirs is referred to. */
static struct vbus_node *
node_get(const struct rte_device *rdev)
{
	struct vbus_node *n;

	vbus_ctl_lock();
	n = node_of(rdev);
	if (n != NULL)
		n->refs++;
	vbus_ctl_unlock();
	return n;
}

static void
node_put(struct vbus_node *n)
{
	vbus_ctl_lock();
	n->refs--;
	vbus_ctl_unlock();
}

static int
bus_plug(VBUS_BUS_PLUG struct rte_device *rdev)
{
	struct vbus_node *n;
	int ret;

	if (rte_eal_process_type() != RTE_PROC_PRIMARY)
		return vbus_secondary_plug(rdev);
	n = node_get(rdev);
	if (n == NULL)
		return -ENODEV;
	/* Plugged already: 0, since testpmd needs an attach to use a port that came by itself. */
	ret = n->dev != NULL ? vbus_dev_plug(n->dev) : link_plug(n->link);
	node_put(n);
	return ret;
}

static int
bus_unplug(struct rte_device *rdev)
{
	struct vbus_node *n;
	int ret;

	if (rte_eal_process_type() != RTE_PROC_PRIMARY)
		return vbus_secondary_unplug(rdev);
	n = node_get(rdev);
	if (n == NULL)
		return -ENODEV;
	ret = n->dev != NULL ? device_unplug(n->dev) : link_unplug(n->link);
	node_put(n);
	return ret;
}

/* ---- the rest of EAL's view ---------------------------------------------------------------- */

static int
bus_parse(const char *name, void *addr)
{
	return vbus_bus_name_parse(name, addr);
}

struct cmp_arg {
	rte_dev_cmp_t cmp;
	const void *data;
};

static bool
match_cmp(const struct rte_device *rdev, void *arg)
{
	const struct cmp_arg *c = arg;

	return c->cmp(rdev, c->data) == 0;
}

static struct rte_device *
bus_find_device(VBUS_BUS_LOOK const struct rte_device *start, rte_dev_cmp_t cmp, const void *data)
{
	struct cmp_arg arg = {.cmp = cmp, .data = data};

	return node_find(start, match_cmp, &arg);
}

static bool
match_kvargs(const struct rte_device *rdev, void *arg)
{
	const char *name = arg != NULL ? rte_kvargs_get(arg, "name") : NULL;

	return name == NULL || strcmp(name, rdev->name) == 0;
}

static void *
bus_dev_iterate(VBUS_BUS_LOOK const void *start, const char *str, const struct rte_dev_iterator *it)
{
	static const char *const keys[] = {"name", NULL};
	struct rte_kvargs *kv = NULL;
	struct rte_device *found;

	(void)it;
	if (str != NULL) {
		kv = rte_kvargs_parse(str, keys);
		if (kv == NULL) {
			BUS_LOG(ERR, "cannot parse '%s'", str);
			rte_errno = EINVAL;
			return NULL;
		}
	}
	found = node_find(start, match_kvargs, kv);
	rte_kvargs_free(kv);
	return found;
}

/* Memory that EAL manages is mapped anyway; foreign memory has no descriptor to give to the
 * peer. */
static int
bus_dma_map(struct rte_device *rdev, void *addr, uint64_t iova, size_t len)
{
	(void)rdev;
	(void)iova;
	if (vbus_memory_visible(addr, len))
		return 0;
	rte_errno = ENOTSUP;
	return -1;
}

static int
bus_dma_unmap(struct rte_device *rdev, void *addr, uint64_t iova, size_t len)
{
	return bus_dma_map(rdev, addr, iova, len);
}

/* North addresses are whatever EAL chose for other reasons (DECISIONS 17). */
static enum rte_iova_mode
bus_iommu_class(void)
{
	return RTE_IOVA_DC;
}

static int
bus_cleanup(VBUS_BUS_SELF)
{
	struct rte_vbus_link *link;
	int ret = 0;

	if (rte_eal_process_type() != RTE_PROC_PRIMARY)
		return vbus_secondary_cleanup();
	vbus_secondary_stop();
	while ((link = TAILQ_FIRST(&vbus_links)) != NULL) {
		ret = vbus_link_stop(link);
		if (ret != 0)
			break; /* a driver refuses: its memory must not be freed */
	}
	if (ret == 0)
		vbus_nodes_free();
	filters_free();
	return ret;
}

struct rte_bus vbus_bus = {
	.name = "vbus",
	.scan = bus_scan,
	.probe = bus_probe,
	.find_device = bus_find_device,
	VBUS_BUS_PLUGGING = bus_plug,
	VBUS_BUS_UNPLUG = bus_unplug,
	.parse = bus_parse,
	.dma_map = bus_dma_map,
	.dma_unmap = bus_dma_unmap,
	.get_iommu_class = bus_iommu_class,
	.dev_iterate = bus_dev_iterate,
	.cleanup = bus_cleanup,
};

/* Who takes devices in EAL's eyes, where it wants to know that before it plugs one. */
static struct rte_driver any_driver = {.name = "vbus"};

/* In place of RTE_REGISTER_BUS: an installed copy beside one given with -d would share
 * libvbus.so but not this file's state, and EAL would ask both about each device (DECISIONS
 * 3). */
RTE_INIT_PRIO(vbus_bus_register, BUS)
{
	struct rte_bus *other = rte_bus_find_by_name(vbus_bus.name);
	Dl_info here, there;

	if (other == NULL) {
		vbus_bus_enter(&vbus_bus, &any_driver);
		vbus_pci_register();
		return;
	}
	if (dladdr(&vbus_bus, &here) == 0 || here.dli_fname == NULL)
		here.dli_fname = "this one";
	if (dladdr(other, &there) == 0 || there.dli_fname == NULL)
		there.dli_fname = "another one";
	BUS_LOG(ERR, "two copies of the bus: %s is in use, %s is ignored", there.dli_fname,
		here.dli_fname);
}
