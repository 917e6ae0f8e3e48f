/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */
#ifndef VBUS_PMD_COMMON_H
#define VBUS_PMD_COMMON_H

/**
 * @file
 * What the two ends of the PMD share: the log type, statistics by table, and the answers to ethdev
 * that do not depend on the end. Nothing here has a state of its own.
 */

#include <stdbool.h>
#include <stdint.h>

#include <ethdev_driver.h>
#include <rte_log.h>

#include "vbus_compat.h"

extern int vbus_pmd_logtype; /**< "pmd.net.vbus" */

/** One line per event; @p name is the port's (EAL) name. Never above DEBUG on a data path. */
#define PMD_LOG(level, name, fmt, ...) \
	rte_log(RTE_LOG_##level, (uint32_t)vbus_pmd_logtype, "%s: " fmt "\n", (name), ##__VA_ARGS__)

/* ---- statistics by table ----------------------------------------------------------------------- */

/* X-macro lists are X(field, "name"): the struct holds one uint64_t per line, in the list's order,
 * so that its values are an array next to the array of names. */
#define VBUS_PMD_STAT_NAME(field, name) name,
/** Most counters one direction of a queue can have. */
#define VBUS_PMD_STATS_MAX 48u

/** One direction of a port's extended statistics: "rx_q0_NAME", "rx_q1_NAME" ... */
struct vbus_pmd_xstats {
	const char *prefix;	  /**< "rx", "tx" */
	const char *const *names; /**< nb_names of them */
	uint16_t nb_names;	  /**< at most VBUS_PMD_STATS_MAX */
	uint16_t nb_queues;
	/** Counters of one queue since the last reset: writes nb_names values. */
	void (*read)(void *port, uint16_t queue, uint64_t *values);
};

/**
 * eth_dev_ops.xstats_get_names over tables.
 *
 * @param tables  nb_tables directions
 * @param names   NULL, or room for @p size names
 * @return how many names there are (when @p names is NULL or too small, nothing is written)
 */
int vbus_pmd_xstats_names(const struct vbus_pmd_xstats *tables, unsigned int nb_tables,
	struct rte_eth_xstat_name *names, unsigned int size);
/** eth_dev_ops.xstats_get over tables; the same return. @p port is passed to read(). */
int vbus_pmd_xstats_get(const struct vbus_pmd_xstats *tables, unsigned int nb_tables, void *port,
	struct rte_eth_xstat *xstats, unsigned int size);
/** value[i] -= base[i]: a reset by subtraction, for counters that only their writer may write. */
void vbus_pmd_stats_since(uint64_t *values, const uint64_t *base, unsigned int nb);

/** What basic statistics need of one queue of one direction. */
struct vbus_pmd_queue_stats {
	uint64_t packets, bytes, errors;
};
/** Add a receive queue to the port's basic and per-queue statistics. */
void vbus_pmd_stats_add_rx(struct rte_eth_stats *stats, vbus_eth_qstats_t *qstats, uint16_t queue,
	const struct vbus_pmd_queue_stats *q);
/** The same for a transmit queue. */
void vbus_pmd_stats_add_tx(struct rte_eth_stats *stats, vbus_eth_qstats_t *qstats, uint16_t queue,
	const struct vbus_pmd_queue_stats *q);

/* ---- device information, link, interrupts ------------------------------------------------------- */

#define VBUS_PMD_SPEED	  RTE_ETH_SPEED_NUM_100G /* memory to memory: a number must be there */
#define VBUS_PMD_OVERHEAD (RTE_ETHER_HDR_LEN + RTE_VLAN_HLEN)
#define VBUS_PMD_MTU_MAX  9600u
#define VBUS_PMD_RX_OFFLOADS                                                  \
	(RTE_ETH_RX_OFFLOAD_SCATTER | RTE_ETH_RX_OFFLOAD_IPV4_CKSUM |         \
		RTE_ETH_RX_OFFLOAD_TCP_CKSUM | RTE_ETH_RX_OFFLOAD_UDP_CKSUM | \
		RTE_ETH_RX_OFFLOAD_TCP_LRO)
#define VBUS_PMD_TX_OFFLOADS                                                  \
	(RTE_ETH_TX_OFFLOAD_MULTI_SEGS | RTE_ETH_TX_OFFLOAD_IPV4_CKSUM |      \
		RTE_ETH_TX_OFFLOAD_TCP_CKSUM | RTE_ETH_TX_OFFLOAD_UDP_CKSUM | \
		RTE_ETH_TX_OFFLOAD_TCP_TSO | RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE)

/** Fill in what both ends answer alike: MTU, lengths, offloads, speed; the caller adds ring limits. */
void vbus_pmd_dev_info(struct rte_eth_dev_info *info, uint16_t nb_queues);
/** speed=MBPS, one that ethdev knows. @return 0, -EINVAL: it is none */
int vbus_pmd_speed_parse(const char *text, uint32_t *mbps);
/** The speed that the port's link reports from here on, and dev_info's capability. Probe. */
void vbus_pmd_speed_set(struct rte_eth_dev *dev, uint32_t mbps);
uint32_t vbus_pmd_speed_capa(const struct rte_eth_dev *dev);
/** Set the port's link. @return true when its state changed. Any thread but an lcore's data path. */
bool vbus_pmd_link_set(struct rte_eth_dev *dev, bool up);
/** Say that it changed: a log line, and the LSC callback when asked for. Lock not held. */
void vbus_pmd_link_event(struct rte_eth_dev *dev);
/** The packet types that receive may mark. */
VBUS_PTYPES_RET vbus_pmd_ptypes_get(VBUS_PTYPES_ARGS);
/** An operation that has nothing to do and succeeds: promiscuous and all-multicast, on and off (a
 *  link delivers what the peer sends and filters nothing). */
int vbus_pmd_op_nothing(struct rte_eth_dev *dev);

/**
 * Make a handle for receive interrupts with one eventfd per queue, stable for the port's life.
 *
 * @param fds  nb_queues eventfds, owned by the caller
 * @return NULL and rte_errno
 */
struct rte_intr_handle *vbus_pmd_intr_create(const int *fds, uint16_t nb_queues);
/** Free it; the eventfds stay open. NULL is ignored. */
void vbus_pmd_intr_free(struct rte_intr_handle *handle);

/* ---- secondary processes ------------------------------------------------------------------------ */

/**
 * In a secondary process: a view of the primary's port, that can be asked for what ethdev's shared
 * data holds and for statistics, and moves no frame. Enough for dpdk-dumpcap and dpdk-proc-info.
 *
 * @param name    the port's, as in the primary
 * @param device  this process's device
 * @param fill    NULL, or: set what an end can do here, operations and bursts
 * @return 0; -ENODEV: the primary has no port of that name
 */
int vbus_pmd_secondary_attach(
	const char *name, struct rte_device *device, void (*fill)(struct rte_eth_dev *dev));
/** Forget the view; the primary's port is not touched. @return 0 or a negative errno. */
int vbus_pmd_secondary_detach(const char *name);
/** Operation: the link is what the shared data says. */
int vbus_pmd_secondary_link_update(struct rte_eth_dev *dev, int wait);

/* vbus_pmd_remote.c */
/** Primary, at probe, any number of times: answer for statistics. @p name: for the log */
void vbus_pmd_remote_serve(const char *name);
/** Secondary: ethdev operations that ask the primary; at most a second each. */
int vbus_pmd_remote_stats_get(struct rte_eth_dev *dev, VBUS_STATS_GET_ARGS);
int vbus_pmd_remote_stats_reset(struct rte_eth_dev *dev);
int vbus_pmd_remote_xstats_get(
	struct rte_eth_dev *dev, struct rte_eth_xstat *xstats, unsigned int size);
int vbus_pmd_remote_xstats_names(
	struct rte_eth_dev *dev, struct rte_eth_xstat_name *names, unsigned int size);

#endif /* VBUS_PMD_COMMON_H */
