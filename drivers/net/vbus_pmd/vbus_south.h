/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */
#ifndef VBUS_SOUTH_H
#define VBUS_SOUTH_H

/**
 * @file
 * The south end of the PMD: a thin ethdev over a venet of this process (private to the PMD).
 *
 *     vbus_south_args.c   what a user typed -> struct vbus_south_args, or one line why not
 *     vbus_south_bus.c    buses shared by ports, devices whose port was closed
 *     vbus_south_port.c   the objects behind a port: device, interrupts, link changes
 *     vbus_south_ops.c    ethdev's control operations
 *     vbus_south_rxtx.c   bursts, counts, descriptor status
 *     vbus_south_stats.c  basic and extended statistics
 *     vbus_south_regs.c   register dump
 *     vbus_south.c        the vdev driver: probe and remove
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/un.h>

#include <ethdev_driver.h>

#include "vbus_core.h"
#include "vbus_ctl.h"
#include "vbus_mark.h"
#include "vbus_pmd_common.h"
#include "vbus_venet.h"

#define VBUS_SOUTH_QUEUES_MAX VBUS_VENET_PAIRS_MAX
#define VBUS_SOUTH_DESC_MAX   4096u
#define VBUS_SOUTH_REASON_MAX 256u

/** A vdev's arguments, checked. */
struct vbus_south_args {
	/** Socket, or a window file; "": null= was given. */
	char iface[sizeof(((struct sockaddr_un *)0)->sun_path)];
	bool window;	      /**< iface is a window file */
	bool side_b;	      /**< of the window */
	uint64_t window_size; /**< bytes; 0: as it is */
	char bus[VBUS_NAME_SIZE];
	bool bus_given; /**< by bus=, not made from the socket's name */
	char name[VBUS_NAME_SIZE];
	struct rte_ether_addr mac;	/**< all zero: a random one */
	uint32_t speed;			/**< Mb/s; what the link reports */
	char dma[RTE_DEV_NAME_MAX_LEN]; /**< engine that copies across a window; "": none */
	uint32_t keep;	    /**< frames of so many bytes may be mbufs in north's memory; 0: none */
	uint16_t nb_queues; /**< queue pairs that north is offered, and most queues of the port */
};

/**
 * Check and take a vdev's arguments.
 *
 * @param vdev   the vdev's name, the default of name=
 * @param text   "key=value,..."
 * @param[out] reason  VBUS_SOUTH_REASON_MAX bytes; on failure one line that names key and reason
 * @return 0, -EINVAL, -ENOTSUP (queues= above what there is), -ENOENT, -EACCES
 */
int vbus_south_args_parse(
	const char *vdev, const char *text, struct vbus_south_args *args, char *reason);

/** One direction's way into the venet. The polling thread writes mark; the control side writes on. */
struct vbus_south_queue {
	struct vbus_mark mark;
	_Atomic bool on;       /**< the queue is started: bursts may touch the venet */
	_Atomic uint32_t side; /**< threads in a count or an interrupt switch, beside the poller */
	struct vbus_venet *venet;
	uint16_t port_id;
	uint16_t queue_id;
	uint16_t nb_desc;
	struct rte_mempool *pool; /**< receive only */
	bool deferred;		  /**< not started with the port */
} VBUS_CACHE_ALIGNED;

/** A port: dev_private. Freed by ethdev after close. */
struct vbus_south_port {
	struct rte_eth_dev *dev;
	struct vbus_south_bus *bus;
	struct vbus_device *device;
	struct vbus_venet *venet;
	struct vbus_ctl_job link_job; /**< worker: tell ethdev of a link change */
	bool told_up; /**< what the application heard last of the link; a look at it (link_update, start)
		       *   does not take the event away */
	struct rte_ether_addr mac;
	struct rte_intr_handle *intr;
	int rx_fd
		[VBUS_SOUTH_QUEUES_MAX]; /**< eventfds of receive interrupts, open for the port's life */
	char dma[RTE_DEV_NAME_MAX_LEN]; /**< as in the arguments */
	bool dma_taken;
	bool bound;	       /**< polled: the venet knows us */
	uint16_t nb_queues;    /**< most of either kind */
	uint16_t nb_rx, nb_tx; /**< at the last start: the bases below are of so many */
	uint64_t rx_base[VBUS_SOUTH_QUEUES_MAX][VBUS_PMD_STATS_MAX];
	uint64_t tx_base[VBUS_SOUTH_QUEUES_MAX][VBUS_PMD_STATS_MAX];
};

static inline struct vbus_south_port *
vbus_south_port_of(struct rte_eth_dev *dev)
{
	return dev->data->dev_private;
}

extern const struct eth_dev_ops vbus_south_ops;

/* vbus_south_bus.c: control lock held. */
struct vbus_south_bus;
/** Join the bus of the arguments, or make it and its connector. NULL: @p reason says why. */
struct vbus_south_bus *vbus_south_bus_join(const struct vbus_south_args *args, char *reason);
/** The last that leaves ends session and bus. */
void vbus_south_bus_leave(struct vbus_south_bus *sb);
struct vbus_bus *vbus_south_bus_of(const struct vbus_south_bus *sb);
/** Take over a device without a port. */
void vbus_south_bus_orphan(struct vbus_south_bus *sb, struct vbus_device *device);
/** Drop the device of that name if it has no port. */
void vbus_south_bus_forget(struct vbus_south_bus *sb, const char *name);

/* vbus_south_port.c: control lock NOT held. */
/** Make bus, device and connector for the port. On failure nothing is left and @p reason says why. */
int vbus_south_port_open(
	struct vbus_south_port *port, const struct vbus_south_args *args, char *reason);
/** The application closes the port: the device loses its carrier, and is dropped from its bus a second
 *  later unless the process ends before (vbus_south_bus.c). Harmless twice. */
void vbus_south_port_close(struct vbus_south_port *port);
/** The vdev is removed with its port open: DEVDROP at once; the last port of a bus ends it. */
void vbus_south_port_unplug(struct vbus_south_port *port);
/** The vdev of a closed port is removed. Any other name: nothing. */
void vbus_south_vdev_gone(const char *name);
/** The port is started / stopped: bind to the venet, carrier on / off. */
int vbus_south_port_start(struct vbus_south_port *port);
void vbus_south_port_stop(struct vbus_south_port *port);
/** vbus_south_dma.c: take the engine of dma=, at the port's start; let go of it. */
int vbus_south_dma_start(struct vbus_south_port *port);
void vbus_south_dma_end(struct vbus_south_port *port);
/** Bring ethdev's link in line with the venet's. @return true when it changed. */
bool vbus_south_port_link(struct vbus_south_port *port);

/* vbus_south_rxtx.c */
uint16_t vbus_south_rx_burst(void *queue, struct rte_mbuf **pkts, uint16_t nb);
uint16_t vbus_south_tx_burst(void *queue, struct rte_mbuf **pkts, uint16_t nb);
vbus_queue_count_t vbus_south_rx_count(void *queue);
int vbus_south_rx_desc_status(void *queue, uint16_t offset);
int vbus_south_tx_desc_status(void *queue, uint16_t offset);
int vbus_south_rx_intr_enable(struct rte_eth_dev *dev, uint16_t queue);
int vbus_south_rx_intr_disable(struct rte_eth_dev *dev, uint16_t queue);
/** No thread is in the queue that entered before the call. The caller did vbus_mark_fence(). */
void vbus_south_queue_wait(struct vbus_south_queue *q);

/* vbus_south_stats.c */
int vbus_south_stats_get(struct rte_eth_dev *dev, VBUS_STATS_GET_ARGS);
int vbus_south_stats_reset(struct rte_eth_dev *dev);
int vbus_south_xstats_names(
	struct rte_eth_dev *dev, struct rte_eth_xstat_name *names, unsigned int size);
int vbus_south_xstats_get(struct rte_eth_dev *dev, struct rte_eth_xstat *xstats, unsigned int size);

/* vbus_south_regs.c */
int vbus_south_get_reg(struct rte_eth_dev *dev, struct rte_dev_reg_info *info);

#endif /* VBUS_SOUTH_H */
