/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */
#ifndef NORTH_RIG_H
#define NORTH_RIG_H

/**
 * @file
 * The north end of the PMD between a bus that is played (rte_vbus_*) and a south that is driven by
 * hand with lib/vbus_ring's south functions. North addresses are virtual addresses here.
 */

#include <stdbool.h>
#include <stdint.h>

#include <CUnit/CUnit.h>

#include <ethdev_driver.h>
#include <rte_mbuf.h>

#include <vbus/venet.h>

#include "bus_vbus_driver.h"
#include "vbus_ioq_south.h"
#include "vbus_poll.h"
#include "vbus_signal.h"

#define RIG_PMTD_ID 100u /* block ids that the played south hands out */
#define RIG_EV_POOL 101u
#define RIG_EV_RING 102u
#define RIG_RX_POOL 103u
#define RIG_PAGES   104u
#define RIG_POLL_RX 105u
#define RIG_POLL_TX 106u
#define RIG_PAIRS   3u /* pair i has 2 * i more */

/** The played south and bus. */
struct rig {
	struct rte_vbus_driver *drv;
	struct rte_vbus_device vdev;
	uint16_t port;
	/* what it offers */
	uint32_t sg, evq, l4ro;
	uint32_t poll;			  /* set it after rig_probe() */
	bool far;			  /* likewise: reads of the peer's memory are slow */
	int fail_func;			  /* this function answers -EINVAL; -1: none */
	int open_error;			  /* 0: opens */
	bool hide_all;			  /* no pool is visible */
	const struct rte_mempool *hidden; /* this one is not */
	size_t hidden_lo, hidden_hi;
	/* what north did */
	bool open, up;
	uint32_t nb_open, nb_close, nb_linkup, nb_linkdown, nb_signals;
	uint32_t granted[3];
	uint32_t granted_poll;
	struct rte_vbus_shm *shm[8 + 2 * RIG_PAIRS];
	uint32_t nb_shm;
	/* rings as south has them, after LINKUP */
	struct vbus_ioq_south rx, tx, ev, pages;
	struct vbus_poll_south poll_rx, poll_tx;
	struct vbus_ioq_cursor cur[4];
	struct {
		struct vbus_poll_south rx, tx;
		struct vbus_ioq_cursor cur[2];
	} pair[RIG_PAIRS]; /* from 1 on */
	struct vbus_signal rx_sig, tx_sig, ev_sig;
	uint8_t *pmtd, *ev_pool, *rx_pool;
	size_t rx_pool_len;
};

extern struct rig rig;
/** Pairs that the next device has, and queues that rig_start() sets up; 0: 1. Set it before rig_probe(). */
extern uint16_t rig_pairs;

int rig_eal_init(void);
/** EAL, and a pool of 1,023 mbufs. @return NULL: neither */
struct rte_mempool *rig_eal_pool(void);
/** A counter of the port, by name. */
uint64_t rig_xstat(const char *name);
/** A fresh device with everything offered; probed. */
void rig_probe(void);
/** Remove it; checks that everything was given back to @p pool (may be NULL). */
void rig_remove(void);
/** Configure with offloads and start; carrier up. @return dev_start's answer. */
int rig_start(struct rte_mempool *rx_pool, uint16_t nb_desc, uint64_t rx_off, uint64_t tx_off,
	uint16_t mtu);
/** South sends LINKSTATE and the worker has taken it. */
void rig_carrier(bool up);
/** The peer goes / comes, as the bus would say it. */
void rig_lost(void);
void rig_back(void);
/** The block that north shared under @p id; NULL. */
struct rte_vbus_shm *rig_block(uint32_t id);
/** South puts a linear frame of @p len bytes, filled with @p fill, into the receive ring. */
bool rig_give(uint32_t len, uint8_t fill);
/** South takes the oldest frame of the transmit ring (linear) and checks it. @return its length, 0: none */
uint32_t rig_take(uint8_t *buf, uint32_t size);
/** Mbufs of the pool that are not out. */
unsigned int rig_avail(struct rte_mempool *mp);
struct rte_mbuf *rig_frame(struct rte_mempool *mp, uint32_t len, uint8_t fill);
static inline struct rte_eth_dev *
rig_dev(void)
{
	return &rte_eth_devices[rig.port];
}

#endif /* NORTH_RIG_H */
