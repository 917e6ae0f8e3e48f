// SPDX-License-Identifier: GPL-2.0-only
/* Copyright(c) 2026 vbus developers */

/*
 * Devices that come and go. The interrupt queues DEVADD and DEVDROP, one work item handles them in
 * order: registering a device runs its driver's probe, which sleeps and waits for events itself.
 *
 * The list of devices belongs to that work, and to remove when it has stopped the work. A device's
 * memory is its last reference's; the bridge outlives them all.
 */

#include <linux/ctype.h>
#include <linux/slab.h>

#include "bridge.h"

struct vbus_pci_plug {
	struct list_head node;
	u32 eventid;
	u32 id;
	char type[VBUS_DEVTYPE_LEN];
};

struct vbus_pci_device {
	struct vbus_device vdev;
	struct list_head node; /* bridge's devices */
};

/* The type goes into module aliases and uevents: printable and terminated, whatever south wrote. */
static void vbus_pci_copy_type(char *to, const char *from)
{
	unsigned int i;

	for (i = 0; i < VBUS_DEVTYPE_LEN - 1; i++) {
		const char c = READ_ONCE(from[i]);

		if (!c)
			break;
		to[i] = isascii(c) && isgraph(c) ? c : '?';
	}
	to[i] = '\0';
}

bool vbus_pci_plug_event(struct vbus_pci_bridge *br, u32 eventid, const struct vbus_pci_event *ev)
{
	struct vbus_pci_plug *plug;
	unsigned long flags;

	plug = kzalloc(sizeof(*plug), GFP_ATOMIC | __GFP_NOWARN);
	if (!plug)
		return false;
	plug->eventid = eventid;
	/* Both payloads begin with the id, which has 32 bits. */
	plug->id = (u32)le64_to_cpu(READ_ONCE(ev->data.add.id));
	if (eventid == VBUS_PCI_EVENT_DEVADD)
		vbus_pci_copy_type(plug->type, ev->data.add.type);

	spin_lock_irqsave(&br->plug_lock, flags);
	if (!br->plug_stopped) {
		list_add_tail(&plug->node, &br->plug_queue);
		queue_work(br->plug_wq, &br->plug_work);
		plug = NULL;
	}
	spin_unlock_irqrestore(&br->plug_lock, flags);
	kfree(plug);
	return true;
}

static struct vbus_pci_device *vbus_pci_device_find(struct vbus_pci_bridge *br, u32 id)
{
	struct vbus_pci_device *pd;

	list_for_each_entry(pd, &br->devices, node) {
		if (pd->vdev.id == id)
			return pd;
	}
	return NULL;
}

static void vbus_pci_put(struct vbus_pci_bridge *br)
{
	if (refcount_dec_and_test(&br->users))
		complete(&br->unused);
}

static void vbus_pci_device_release(struct device *dev)
{
	struct vbus_device *vdev = to_vbus_device(dev);
	struct vbus_pci_bridge *br = vdev->bridge;

	kfree(container_of(vdev, struct vbus_pci_device, vdev));
	vbus_pci_put(br);
}

/* False: the device, or the bridge, is gone again. A device may well have no name. */
static bool vbus_pci_devname(struct vbus_pci_bridge *br, struct vbus_device *vdev)
{
	struct vbus_pci_devname args = { .devid = cpu_to_le64(vdev->id) };
	int ret;

	if (!(br->caps & VBUS_CAP_DEVNAME))
		return true;
	ret = vbus_pci_bridge_call(br, VBUS_PCI_BRIDGE_DEVNAME, &args, sizeof(args));
	if (ret >= 0)
		strscpy(vdev->name, args.name, sizeof(vdev->name));
	return ret != -ENOENT && ret != -ENODEV;
}

static void vbus_pci_device_add(struct vbus_pci_bridge *br, const struct vbus_pci_plug *plug)
{
	struct device *dev = &br->pdev->dev;
	struct vbus_pci_device *pd;
	int ret;

	if (vbus_pci_device_find(br, plug->id)) {
		dev_warn(dev, "device %u is there already\n", plug->id);
		return;
	}
	pd = kzalloc(sizeof(*pd), GFP_KERNEL);
	if (!pd)
		return;
	pd->vdev.dev.parent = dev;
	pd->vdev.dev.release = vbus_pci_device_release;
	pd->vdev.dma_dev = dev;
	pd->vdev.ops = &vbus_pci_ops;
	pd->vdev.bridge = br;
	pd->vdev.id = plug->id;
	strscpy(pd->vdev.type, plug->type, sizeof(pd->vdev.type));
	if (!vbus_pci_devname(br, &pd->vdev)) {
		/* Its DEVDROP is on the way. */
		kfree(pd);
		return;
	}
	refcount_inc(&br->users);
	ret = vbus_device_register(&pd->vdev);
	if (ret) {
		dev_err(dev, "device %u: %d\n", plug->id, ret);
		return; /* The reference that failed was the last one. */
	}
	list_add_tail(&pd->node, &br->devices);
}

static void vbus_pci_device_drop(struct vbus_pci_device *pd)
{
	list_del(&pd->node);
	vbus_device_unregister(&pd->vdev);
}

static struct vbus_pci_plug *vbus_pci_plug_next(struct vbus_pci_bridge *br)
{
	struct vbus_pci_plug *plug;

	spin_lock_irq(&br->plug_lock);
	plug = list_first_entry_or_null(&br->plug_queue, struct vbus_pci_plug, node);
	if (plug)
		list_del(&plug->node);
	if (br->plug_stopped) {
		kfree(plug);
		plug = NULL;
	}
	spin_unlock_irq(&br->plug_lock);
	return plug;
}

static void vbus_pci_plug_work(struct work_struct *work)
{
	struct vbus_pci_bridge *br = container_of(work, struct vbus_pci_bridge, plug_work);
	struct vbus_pci_device *pd;
	struct vbus_pci_plug *plug;

	while ((plug = vbus_pci_plug_next(br))) {
		if (plug->eventid == VBUS_PCI_EVENT_DEVADD) {
			vbus_pci_device_add(br, plug);
		} else {
			/* Where there is none, it left before it was registered. */
			pd = vbus_pci_device_find(br, plug->id);
			if (pd)
				vbus_pci_device_drop(pd);
		}
		kfree(plug);
	}
	if (!READ_ONCE(br->dead))
		return;
	list_for_each_entry(pd, &br->devices, node)
		WRITE_ONCE(pd->vdev.dead, true);
}

void vbus_pci_mark_dead(struct vbus_pci_bridge *br)
{
	unsigned long flags;

	spin_lock_irqsave(&br->plug_lock, flags);
	if (!br->dead) {
		WRITE_ONCE(br->dead, true);
		if (!br->plug_stopped) {
			dev_warn(&br->pdev->dev, "the backend is gone\n");
			queue_work(br->plug_wq, &br->plug_work);
		}
	}
	spin_unlock_irqrestore(&br->plug_lock, flags);
}

int vbus_pci_plug_init(struct vbus_pci_bridge *br)
{
	spin_lock_init(&br->plug_lock);
	INIT_LIST_HEAD(&br->plug_queue);
	INIT_LIST_HEAD(&br->devices);
	INIT_WORK(&br->plug_work, vbus_pci_plug_work);
	refcount_set(&br->users, 1);
	init_completion(&br->unused);
	br->plug_wq = alloc_ordered_workqueue("vbus-%s", 0, pci_name(br->pdev));
	return br->plug_wq ? 0 : -ENOMEM;
}

void vbus_pci_plug_stop(struct vbus_pci_bridge *br)
{
	struct vbus_pci_plug *plug, *next;

	spin_lock_irq(&br->plug_lock);
	br->plug_stopped = true;
	spin_unlock_irq(&br->plug_lock);
	cancel_work_sync(&br->plug_work);
	list_for_each_entry_safe(plug, next, &br->plug_queue, node) {
		list_del(&plug->node);
		kfree(plug);
	}
}

void vbus_pci_plug_fini(struct vbus_pci_bridge *br)
{
	struct vbus_pci_device *pd, *next;

	/* The last one first: whatever is built on top of others goes before them. */
	list_for_each_entry_safe_reverse(pd, next, &br->devices, node) {
		WRITE_ONCE(pd->vdev.dead, READ_ONCE(br->dead));
		vbus_pci_device_drop(pd);
	}
	destroy_workqueue(br->plug_wq);
	/* Someone may hold a device still; its release is our code and reads the bridge. */
	vbus_pci_put(br);
	wait_for_completion(&br->unused);
}
