/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * Bridges that DPDK's PCI bus finds (11da:2000 bound to vfio-pci or a UIO driver): each is a
 * link of our bus, named by its address (ADR-0014). One that has no registers, but a BAR for it, is a
 * window (ADR-0018). The PCI bus may probe before ours or after it, so the link is started by the PCI
 * probe itself; and either may be cleaned up first, so the link is looked up when the PCI device goes.
 *
 * A function that the kernel wants back (surprise removal) is given up in the order that
 * applications know: RMV for every port, then, when they are gone, the PCI device.
 *
 * Threads: probe and remove: application threads, no lock held; removal events: EAL's
 * interrupt thread.
 * Ownership: the PCI device is EAL's, its mapping ours from probe to remove.
 */

#include "vbus_bus_private.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <bus_pci_driver.h>
#include <rte_alarm.h>
#include <rte_bus_pci.h>
#include <rte_dev.h>
#include <rte_devargs.h>
#include <rte_eal.h>

#include "vbus_compat.h"
#include "vbus_pci_io.h"
#include "vbus_window.h"

#define GONE_POLL_US 50000u

static const struct rte_pci_id pci_ids[] = {
	{RTE_PCI_DEVICE(VBUS_PCI_VENDOR_ID, VBUS_PCI_DEVICE_ID)},
	{RTE_PCI_DEVICE(VBUS_PCI_IVSHMEM_VENDOR, VBUS_PCI_IVSHMEM_DEVICE)},
	{.vendor_id = 0},
};

/* Control lock held. */
static struct rte_vbus_link *
link_of(const struct rte_pci_device *dev)
{
	struct rte_vbus_link *link;

	TAILQ_FOREACH (link, &vbus_links, next)
		if (link->origin == dev)
			break;
	return link;
}

/* Nothing but memory that both sides see (doc/abi.md section 13). */
static bool
is_window(const struct rte_pci_device *dev)
{
	return (dev->mem_resource[VBUS_PCI_BAR_REGS].len == 0 || vbus_pci_is_ivshmem(dev)) &&
	       dev->mem_resource[VBUS_WINDOW_PCI_BAR].len >= VBUS_WINDOW_SIZE_MIN;
}

/* ---- surprise removal ---------------------------------------------------------------------- */

/* Links of functions that go and whose devices have gone. */
static void
gone_poll(void *arg)
{
	struct rte_device *ready = NULL;
	struct rte_vbus_link *link;
	bool more = false;

	(void)arg;
	vbus_ctl_lock();
	TAILQ_FOREACH (link, &vbus_links, next) {
		if (link->origin == NULL || !link->origin_gone)
			continue;
		more = true;
		if (TAILQ_EMPTY(&link->devices) && ready == NULL)
			ready = &((struct rte_pci_device *)link->origin)->device;
	}
	vbus_ctl_unlock();
	if (ready != NULL)
		(void)rte_dev_remove(ready);
	if (more)
		(void)rte_eal_alarm_set(GONE_POLL_US, gone_poll, NULL);
}

static void
pci_dev_event(const char *name, enum rte_dev_event_type type, void *arg)
{
	struct rte_vbus_link *link;

	(void)arg;
	if (type != RTE_DEV_EVENT_REMOVE)
		return;
	vbus_ctl_lock();
	TAILQ_FOREACH (link, &vbus_links, next)
		if (link->origin != NULL &&
			strcmp(((const struct rte_pci_device *)link->origin)->device.name, name) ==
				0)
			break;
	/* The kernel repeats its wish. */
	if (link != NULL && !link->origin_gone) {
		BUS_LOG(NOTICE, "%s: %s is to be removed", link->name, name);
		link->origin_gone = true;
		vbus_dev_drop_all(link);
		(void)rte_eal_alarm_set(GONE_POLL_US, gone_poll, NULL);
	}
	vbus_ctl_unlock();
}

/* ---- the PCI driver ------------------------------------------------------------------------ */

static int
link_make(struct rte_pci_device *dev, struct rte_vbus_link **out)
{
	const struct rte_devargs *da = dev->device.devargs;
	char name[VBUS_BUS_NAME_SIZE], err[160] = "";
	struct vbus_link_args args;
	struct rte_vbus_link *link;
	int ret;

	ret = vbus_bus_pci_name(
		name, dev->addr.domain, dev->addr.bus, dev->addr.devid, dev->addr.function);
	if (ret == 0)
		ret = vbus_link_pci_args_parse(da != NULL && da->args != NULL ? da->args : "",
			is_window(dev), &args, err, sizeof(err));
	if (ret != 0) {
		BUS_LOG(ERR, "%s: %s", dev->device.name, err[0] != '\0' ? err : strerror(-ret));
		return ret;
	}
	snprintf(args.path, sizeof(args.path), "%s%s", is_window(dev) ? "pci:" : "",
		dev->device.name);
	vbus_ctl_lock();
	link = vbus_link_find(name) == NULL ? vbus_link_new(name, &args) : NULL;
	if (link != NULL) {
		link->origin = dev;
		link->device.numa_node = dev->device.numa_node;
	}
	vbus_ctl_unlock();
	*out = link;
	if (link != NULL)
		return 0;
	BUS_LOG(ERR, "%s: there is a link '%s' already", dev->device.name, name);
	return -EEXIST;
}

static int
pci_probe(struct rte_pci_driver *drv, struct rte_pci_device *dev)
{
	struct rte_vbus_link *link;
	int ret;

	(void)drv;
	/* The link and its ports belong to the primary process; others need no mapping. */
	if (rte_eal_process_type() != RTE_PROC_PRIMARY)
		return 1;
	/* Its memory may be anybody's: what is not named is not written to. */
	if (vbus_pci_is_ivshmem(dev) && (dev->device.devargs == NULL || !is_window(dev)))
		return 1;
	ret = rte_pci_map_device(dev);
	if (ret != 0)
		return ret;
	if (is_window(dev)) {
		ret = vbus_pci_io_window(dev);
		if (ret != 0) {
			BUS_LOG(ERR, "%s: BAR %d: %s", dev->device.name, VBUS_WINDOW_PCI_BAR,
				strerror(-ret));
			goto err_unmap;
		}
	}
	ret = link_make(dev, &link);
	if (ret != 0)
		goto err_unhold;
	ret = vbus_link_start(link);
	if (ret != 0)
		goto err_link;
	/* Without it a function that the kernel takes away is only seen to answer no more. */
	if (rte_dev_event_callback_register(dev->device.name, pci_dev_event, NULL) != 0)
		BUS_LOG(NOTICE, "%s: removal will not be noticed", link->name);
	vbus_link_wait(link, vbus_ctl_now_ns() + link->args.wait_ms * VBUS_NS_PER_MS);
	return 0;
err_link:
	(void)vbus_link_stop(link);
err_unhold:
	vbus_window_unhold(dev->device.name);
err_unmap:
	rte_pci_unmap_device(dev);
	return ret;
}

static int
pci_remove(struct rte_pci_device *dev)
{
	struct rte_vbus_link *link;
	int ret = 0;

	vbus_ctl_lock();
	link = link_of(dev);
	if (link != NULL)
		link->node.refs++;
	vbus_ctl_unlock();
	if (link != NULL) {
		ret = vbus_link_stop(link);
		vbus_ctl_lock();
		link->node.refs--;
		vbus_ctl_unlock();
	}
	if (ret != 0)
		return ret;
	(void)rte_dev_event_callback_unregister(dev->device.name, pci_dev_event, NULL);
	vbus_window_unhold(dev->device.name);
	rte_pci_unmap_device(dev);
	return 0;
}

static struct rte_pci_driver pci_driver = {
	.driver = {.name = "vbus_pci"},
	.id_table = pci_ids,
	.probe = pci_probe,
	.remove = pci_remove,
	/* No NEED_MAPPING: a secondary process would map what it does not use. */
};

VBUS_PMD_EXPORT_NAME(vbus_pci);
RTE_PMD_REGISTER_PCI_TABLE(vbus_pci, pci_ids);
/* dpdk-pmdinfo.py looks for this string; DPDK's own generator is not run for us. The ids in decimal:
 * vendor, device, and any subsystem. */
_Static_assert(VBUS_PCI_VENDOR_ID == 4570 && VBUS_PCI_DEVICE_ID == 8192, "as the string says");
extern const char vbus_pci_pmd_info[];
__attribute__((used))
const char vbus_pci_pmd_info[] = "PMD_INFO_STRING= {\"name\" : \"vbus_pci\", "
				 "\"params\" : \"wait=<int> side=a|b\", "
				 "\"kmod\" : \"* vfio-pci | uio_pci_generic\", "
				 "\"pci_ids\" : [[4570, 8192, 65535, 65535]]}";
RTE_PMD_REGISTER_KMOD_DEP(vbus_pci, "* vfio-pci | uio_pci_generic");

void
vbus_pci_register(void)
{
	rte_pci_register(&pci_driver);
}
