/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * The vdev driver "net_vbus": --vdev net_vbus0,(iface=PATH | null=BUS)[,name=..][,mac=..][,queues=N]
 * [,bus=..] (DECISIONS 15). A probe either makes a whole port or leaves nothing and says in one line
 * why.
 *
 * Threads: the application's main thread in EAL's start, any application thread in a hot-plug.
 */
#include "vbus_south.h"
#include "vbus_pmd_trace.h"

#include <errno.h>

#include <ethdev_vdev.h>

static void
port_dress(struct rte_eth_dev *dev, struct vbus_south_port *port)
{
	dev->dev_ops = &vbus_south_ops;
	dev->rx_pkt_burst = vbus_south_rx_burst;
	dev->tx_pkt_burst = vbus_south_tx_burst;
	dev->rx_queue_count = vbus_south_rx_count;
	dev->rx_descriptor_status = vbus_south_rx_desc_status;
	dev->tx_descriptor_status = vbus_south_tx_desc_status;
	dev->intr_handle = port->intr;
	dev->data->mac_addrs = &port->mac;
	dev->data->dev_flags |= RTE_ETH_DEV_INTR_LSC;
	dev->data->promiscuous = 1;
	dev->data->all_multicast = 1;
	vbus_pmd_link_set(dev, false);
}

static int
probe(struct rte_vdev_device *vdev)
{
	const char *name = rte_vdev_device_name(vdev);
	char reason[VBUS_SOUTH_REASON_MAX] = "";
	struct vbus_south_args args;
	struct vbus_south_port *port;
	struct rte_eth_dev *dev;
	int ret;

	if (rte_eal_process_type() != RTE_PROC_PRIMARY)
		return vbus_pmd_secondary_attach(name, &vdev->device, NULL);
	ret = vbus_south_args_parse(name, rte_vdev_device_args(vdev), &args, reason);
	if (ret != 0) {
		PMD_LOG(ERR, name, "%s", reason);
		return ret;
	}
	if (vdev->device.numa_node == SOCKET_ID_ANY)
		vdev->device.numa_node = (int)rte_socket_id();
	dev = rte_eth_vdev_allocate(vdev, sizeof(*port));
	if (dev == NULL) {
		PMD_LOG(ERR, name, "no port: the table of %d is full, or one has that name",
			RTE_MAX_ETHPORTS);
		return -ENOMEM;
	}
	port = dev->data->dev_private;
	port->dev = dev;
	ret = vbus_south_port_open(port, &args, reason);
	if (ret != 0) {
		PMD_LOG(ERR, name, "%s", reason);
		rte_eth_dev_release_port(dev);
		return ret;
	}
	vbus_pmd_speed_set(dev, args.speed);
	port_dress(dev, port);
	vbus_pmd_remote_serve(name);
	rte_eth_dev_probing_finish(dev);
	vbus_pmd_trace_probe(name, dev->data->port_id, 1);
	PMD_LOG(INFO, name, "device %s on bus %s", args.name, args.bus);
	/* A north in this process plugs its port on the worker, before the probe returns (DECISIONS 15). */
	if (args.iface[0] == '\0')
		vbus_ctl_job_flush();
	return 0;
}

static int
vdev_remove(struct rte_vdev_device *vdev)
{
	const char *name = rte_vdev_device_name(vdev);
	struct rte_eth_dev *dev;

	if (rte_eal_process_type() != RTE_PROC_PRIMARY)
		return vbus_pmd_secondary_detach(name);
	dev = rte_eth_dev_allocated(name);
	if (dev == NULL) {
		vbus_south_vdev_gone(name); /* closed before */
		return 0;
	}
	if (dev->data->dev_started)
		dev->dev_ops->dev_stop(dev);
	vbus_south_port_unplug(vbus_south_port_of(dev));
	dev->dev_ops->dev_close(dev);
	return rte_eth_dev_release_port(dev);
}

static struct rte_vdev_driver net_vbus_drv = {
	.probe = probe,
	.remove = vdev_remove,
};

RTE_PMD_REGISTER_VDEV(net_vbus, net_vbus_drv);
