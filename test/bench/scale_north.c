/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * See scale_north.h. probe() runs on the bus's worker, a device at a time, and does all it takes until
 * the link is up; a polling thread has the rings from then on. Nothing goes before the process does.
 */

#include "scale_north.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <rte_common.h>
#include <rte_memory.h>

#include <vbus/venet.h>

struct north *north_all[NORTH_MAX];
_Atomic unsigned int north_nb_up;
_Atomic unsigned int north_nb_failed;
_Atomic uint64_t north_last_up_ns;

#define TRIES 30u /* of RTE_VBUS_TIMEOUT_MS */
#define LINE  64u
/* Descriptors of a ring at 8 mod 64 do not straddle cache lines. */
#define RX_AT	   8u
#define TX_AT	   (RX_AT + RTE_ALIGN_CEIL((uint32_t)IOQ_RING_SIZE(NORTH_RX), LINE))
#define RX_BUFS_AT RTE_ALIGN_CEIL(TX_AT + (uint32_t)IOQ_RING_SIZE(NORTH_TX), LINE)
#define RX_STEP	   RTE_ALIGN_CEIL(NORTH_ROOM, LINE)
#define TX_BUFS_AT (RX_BUFS_AT + NORTH_RX * RX_STEP)
#define ZONE_SIZE  (TX_BUFS_AT + NORTH_TX * NORTH_TX_ROOM)

uint64_t
north_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

struct north *
north_find(const char *name)
{
	unsigned int i;

	for (i = 0; i < atomic_load(&north_nb_up); i++)
		if (strcmp(north_all[i]->dev->dev_name, name) == 0)
			return north_all[i];
	return NULL;
}

/* ---- polling thread ------------------------------------------------------------------------------- */

void
north_send(struct north *n, uint32_t size)
{
	struct vbus_ioq_entry e[NORTH_BURST];
	uint64_t done[NORTH_BURST];
	uint32_t i, nb;

	vbus_ioq_north_reap(&n->tx, done, NORTH_BURST);
	nb = RTE_MIN(vbus_ioq_north_room(&n->tx), NORTH_BURST);
	for (i = 0; i < nb; i++) {
		uint32_t slot = vbus_ioq_advance(n->tx.tail, i, NORTH_TX);

		e[i] = (struct vbus_ioq_entry){
			.cookie = slot, .ptr = n->tx_addr + slot * NORTH_TX_ROOM, .len = size};
	}
	vbus_ioq_north_push(&n->tx, e, nb);
}

static struct vbus_ioq_entry
buffer(const struct north *n, uint64_t slot)
{
	return (struct vbus_ioq_entry){
		.cookie = slot, .ptr = n->rx_addr + slot * RX_STEP, .len = NORTH_ROOM};
}

uint32_t
north_take(struct north *n, uint32_t max)
{
	struct vbus_ioq_entry e[NORTH_BURST];
	uint32_t nb = vbus_ioq_north_pop(&n->rx, e, RTE_MIN(max, NORTH_BURST)), i;

	for (i = 0; i < nb; i++)
		e[i] = buffer(n, e[i].cookie);
	vbus_ioq_north_post(&n->rx, e, nb);
	return nb;
}

/* ---- the bus's worker ------------------------------------------------------------------------------- */

/* The peer's signals tell a poller nothing. */
static void
notify(struct rte_vbus_shm *shm)
{
	(void)shm;
}

static int
share(struct north *n, unsigned int which, void *va, uint32_t count)
{
	n->shm[which] = (struct rte_vbus_shm){
		.id = which,
		.va = va,
		.len = (uint32_t)IOQ_RING_SIZE(count),
		.signal_offset = (int32_t)IOQ_RING_SIGNAL_OFFSET,
		.notify = notify,
		.arg = n,
	};
	return rte_vbus_shm(n->dev, &n->shm[which]);
}

static int
link_up(struct north *n, uint8_t *zone)
{
	struct vbus_ioq_entry e;
	uint32_t i;
	int ret;

	n->rx_addr = rte_vbus_addr(n->dev, zone + RX_BUFS_AT);
	n->tx_addr = rte_vbus_addr(n->dev, zone + TX_BUFS_AT);
	ret = vbus_ioq_north_format(&n->rx, zone + RX_AT, NORTH_RX, n->cookies, 1);
	if (ret == 0)
		ret = vbus_ioq_north_format(
			&n->tx, zone + TX_AT, NORTH_TX, n->cookies + NORTH_RX, 1);
	for (i = 0; ret == 0 && i < NORTH_RX; i++) {
		e = buffer(n, i);
		vbus_ioq_north_post(&n->rx, &e, 1);
	}
	if (ret == 0)
		ret = share(n, VENET_QUEUE_RX, zone + RX_AT, NORTH_RX);
	if (ret == 0)
		ret = share(n, VENET_QUEUE_TX, zone + TX_AT, NORTH_TX);
	if (ret == 0)
		ret = rte_vbus_call(n->dev, VENET_FUNC_LINKUP, NULL, 0);
	return ret;
}

static int
north_probe(struct rte_vbus_driver *drv, struct rte_vbus_device *dev)
{
	unsigned int nb = atomic_load(&north_nb_up);
	struct north *n = calloc(1, sizeof(*n));
	unsigned int tries;
	int ret = -ENOMEM;
	uint8_t *zone;

	(void)drv;
	if (n == NULL || nb == NORTH_MAX)
		goto fail;
	n->dev = dev;
	zone = rte_vbus_zone(dev, "scale", ZONE_SIZE, SOCKET_ID_ANY);
	if (zone == NULL)
		goto fail;
	/* A peer without a CPU may take longer than a call waits; that is a slow start, not a failure. */
	for (tries = 0; tries < TRIES; tries++) {
		ret = rte_vbus_open(dev, VENET_VERSION);
		if (ret == 0)
			ret = link_up(n, zone);
		if (ret != -ETIMEDOUT)
			break;
		rte_vbus_close(dev);
		memset(zone, 0, TX_BUFS_AT);
	}
	if (ret != 0)
		goto fail;
	north_all[nb] = n;
	atomic_store(&north_last_up_ns, north_now_ns());
	atomic_store(&north_nb_up, nb + 1);
	return 0;
fail:
	fprintf(stderr, "scale: %s: %s\n", dev->full_name, strerror(-ret));
	free(n);
	atomic_fetch_add(&north_nb_failed, 1);
	return ret;
}

static int
north_remove(struct rte_vbus_device *dev)
{
	rte_vbus_close(dev);
	rte_vbus_zone_free(dev, "scale");
	return 0;
}

static void
north_lost(struct rte_vbus_device *dev)
{
	(void)dev;
}

static void
north_back(struct rte_vbus_device *dev)
{
	(void)dev;
}

static struct rte_vbus_driver north_driver = {
	.type = VENET_TYPE,
	.probe = north_probe,
	.remove = north_remove,
	.lost = north_lost,
	.back = north_back,
};
RTE_PMD_REGISTER_VBUS(scale_north, north_driver)
