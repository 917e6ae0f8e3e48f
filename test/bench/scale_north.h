/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */
#ifndef SCALE_NORTH_H
#define SCALE_NORTH_H

/**
 * @file
 * The frontend of test/bench/scale: any number of venets, through the driver API of the bus. ethdev has
 * room for 32 ports; this has no ports, only rings (doc/abi.md section 5, linear frames).
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "bus_vbus_driver.h"
#include "vbus_ioq_north.h"

#define NORTH_MAX     2048u
#define NORTH_RX      64u  /**< entries of the receive ring */
#define NORTH_TX      256u /**< of the transmit ring */
#define NORTH_ROOM    1518u
#define NORTH_TX_ROOM 128u
#define NORTH_BURST   32u

/** One venet. Rings and buffers are the polling thread's once it is up. */
struct north {
	struct rte_vbus_device *dev;
	struct rte_vbus_shm shm[2];
	struct vbus_ioq_north rx, tx;
	uint64_t cookies[NORTH_RX + NORTH_TX];
	uint64_t rx_addr, tx_addr; /**< of the first buffer, as the peer knows it */
};

/** All that came up, in that order; written by the bus's worker. */
extern struct north *north_all[NORTH_MAX];
extern _Atomic unsigned int north_nb_up;
/** CLOCK_MONOTONIC, when the last of them had its LINKUP answered. */
extern _Atomic uint64_t north_last_up_ns;
/** Those that failed. */
extern _Atomic unsigned int north_nb_failed;

uint64_t north_now_ns(void);
/** One of that device's name, NULL: not up. */
struct north *north_find(const char *name);
/** Send as many frames of @p size as the ring has room for, a burst at most. Polling thread. */
void north_send(struct north *n, uint32_t size);
/** Take what came back, @p max frames, and give the buffers back. @return frames. Polling thread. */
uint32_t north_take(struct north *n, uint32_t max);

#endif /* SCALE_NORTH_H */
