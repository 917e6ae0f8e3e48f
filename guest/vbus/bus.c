// SPDX-License-Identifier: GPL-2.0-only
/* Copyright(c) 2026 vbus developers */

/*
 * The bus type: which driver serves which device, and what user space sees of the devices.
 *
 * Bridges register the devices that south announces, drivers say which type they serve. Everything
 * here runs in process context under the driver core's locks.
 */

#include <linux/string.h>

#include "vbus_drv.h"

static int vbus_match(struct device *dev, VBUS_MATCH_CONST struct device_driver *drv)
{
	const struct vbus_driver *vdrv = to_vbus_driver(drv);

	return strcmp(to_vbus_device(dev)->type, vdrv->type) == 0;
}

static int vbus_uevent(VBUS_UEVENT_CONST struct device *dev, struct kobj_uevent_env *env)
{
	const struct vbus_device *vdev = to_vbus_device(dev);

	if (vdev->name[0] && add_uevent_var(env, "VBUS_NAME=%s", vdev->name))
		return -ENOMEM;
	return add_uevent_var(env, "MODALIAS=vbus:%s", vdev->type);
}

static int vbus_probe(struct device *dev)
{
	return to_vbus_driver(dev->driver)->probe(to_vbus_device(dev));
}

static void vbus_remove(struct device *dev)
{
	struct vbus_device *vdev = to_vbus_device(dev);

	to_vbus_driver(dev->driver)->remove(vdev);
	/* Memory that south still holds must not outlive the driver's code. */
	if (WARN_ON(vdev->handle || !list_empty(&vdev->shms)))
		vbus_device_close(vdev);
}

static ssize_t id_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%u\n", to_vbus_device(dev)->id);
}
static DEVICE_ATTR_RO(id);

static ssize_t type_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%s\n", to_vbus_device(dev)->type);
}
static DEVICE_ATTR_RO(type);

static ssize_t name_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%s\n", to_vbus_device(dev)->name);
}
static DEVICE_ATTR_RO(name);

static ssize_t modalias_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "vbus:%s\n", to_vbus_device(dev)->type);
}
static DEVICE_ATTR_RO(modalias);

static struct attribute *vbus_dev_attrs[] = {
	&dev_attr_id.attr,
	&dev_attr_type.attr,
	&dev_attr_name.attr,
	&dev_attr_modalias.attr,
	NULL,
};
ATTRIBUTE_GROUPS(vbus_dev);

static VBUS_BUS_CONST struct bus_type vbus_bus_type = {
	.name = "vbus",
	.dev_groups = vbus_dev_groups,
	.match = vbus_match,
	.uevent = vbus_uevent,
	.probe = vbus_probe,
	.remove = vbus_remove,
};

int __vbus_driver_register(struct vbus_driver *drv, struct module *owner)
{
	drv->driver.bus = &vbus_bus_type;
	drv->driver.owner = owner;
	return driver_register(&drv->driver);
}
EXPORT_SYMBOL_GPL(__vbus_driver_register);

void vbus_driver_unregister(struct vbus_driver *drv)
{
	driver_unregister(&drv->driver);
}
EXPORT_SYMBOL_GPL(vbus_driver_unregister);

int vbus_device_register(struct vbus_device *vdev)
{
	int ret;

	INIT_LIST_HEAD(&vdev->shms);
	vdev->dev.bus = &vbus_bus_type;
	device_initialize(&vdev->dev);
	ret = dev_set_name(&vdev->dev, "%s-%u", dev_name(vdev->dev.parent), vdev->id);
	if (!ret)
		ret = device_add(&vdev->dev);
	if (ret)
		put_device(&vdev->dev);
	return ret;
}
EXPORT_SYMBOL_GPL(vbus_device_register);

void vbus_device_unregister(struct vbus_device *vdev)
{
	device_unregister(&vdev->dev);
}
EXPORT_SYMBOL_GPL(vbus_device_unregister);

static int __init vbus_init(void)
{
	return bus_register(&vbus_bus_type);
}
module_init(vbus_init);

static void __exit vbus_exit(void)
{
	bus_unregister(&vbus_bus_type);
}
module_exit(vbus_exit);

MODULE_DESCRIPTION("Virtual bus");
MODULE_AUTHOR("vbus developers");
MODULE_LICENSE("GPL");
MODULE_VERSION("0.1.0");
