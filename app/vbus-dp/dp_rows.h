/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */
#ifndef DP_ROWS_H
#define DP_ROWS_H

/**
 * @file
 * What is to be told about ports - devices first, in the order of the configuration, then uplinks -
 * gathered in one go for lists, statistics and metrics. The loop's thread; takes the control lock.
 */

#include <stdbool.h>
#include <stdint.h>

#include "vbus_serial.h"
#include "vbus_venet.h"

#include "dp_conf.h"
#include "dp_plane.h"

/** One port. Pointers are the running configuration's: good until it is changed. */
struct dp_row {
	const char *name;
	const struct dp_device_conf *conf; /**< NULL: an uplink */
	const char *sw;			   /**< empty: on none */
	bool polled;			   /**< lcore and st are known */
	bool gone;			   /**< an uplink that was unplugged */
	unsigned int lcore;
	struct dp_port_stats st;
	bool known; /**< libvbus has it: all below is known */
	bool open, link;
	const char *fault; /**< NULL: healthy */
	uint64_t nb_faults;
	bool is_serial;
	struct vbus_serial_stats serial;
	bool is_venet; /**< all below is known */
	struct rte_ether_addr mac;
	uint16_t mtu;
	struct vbus_venet_rx_stats rx;
	struct vbus_venet_tx_stats tx;
};

/** Which ones; NULL: all. */
struct dp_rows_filter {
	const char *name, *bus, *sw;
	bool no_uplinks;
};

/**
 * @param offset  first one of those that pass the filter
 * @param limit  at most so many rows
 * @param[out] rows  to be freed; never NULL on success
 * @param[out] nb  rows
 * @param[out] total  all that pass the filter
 * @return 0 or -ENOMEM
 */
int dp_rows_get(const struct dp_rows_filter *f, uint64_t offset, uint64_t limit,
	struct dp_row **rows, uint32_t *nb, uint64_t *total);

#endif /* DP_ROWS_H */
