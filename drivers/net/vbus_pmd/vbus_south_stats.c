/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * The south end's statistics: the venet's tables, seen since the last reset. The venet's counters
 * have one writer each and never go back; a reset remembers where they stood (base).
 *
 * Threads: application threads, telemetry's thread; two resets at once are the application's fault.
 */
#include "vbus_south.h"

#include <string.h>

#include <rte_common.h>

#define STAT_FIELDS(s) (sizeof(s) / sizeof(uint64_t))

static const char *const rx_names[] = {VBUS_VENET_RX_STATS(VBUS_PMD_STAT_NAME)};
static const char *const tx_names[] = {VBUS_VENET_TX_STATS(VBUS_PMD_STAT_NAME)};

_Static_assert(RTE_DIM(rx_names) == STAT_FIELDS(struct vbus_venet_rx_stats), "a name per counter");
_Static_assert(RTE_DIM(tx_names) == STAT_FIELDS(struct vbus_venet_tx_stats), "a name per counter");
_Static_assert(RTE_DIM(rx_names) <= VBUS_PMD_STATS_MAX && RTE_DIM(tx_names) <= VBUS_PMD_STATS_MAX,
	"they fit the port's bases");

static void
read_rx(void *arg, uint16_t queue, uint64_t *values)
{
	struct vbus_south_port *port = arg;
	struct vbus_venet_rx_stats rx;
	struct vbus_venet_tx_stats tx;

	vbus_venet_stats(port->venet, queue, &rx, &tx);
	memcpy(values, &rx, sizeof(rx));
	vbus_pmd_stats_since(values, port->rx_base[queue], RTE_DIM(rx_names));
}

static void
read_tx(void *arg, uint16_t queue, uint64_t *values)
{
	struct vbus_south_port *port = arg;
	struct vbus_venet_rx_stats rx;
	struct vbus_venet_tx_stats tx;

	vbus_venet_stats(port->venet, queue, &rx, &tx);
	memcpy(values, &tx, sizeof(tx));
	vbus_pmd_stats_since(values, port->tx_base[queue], RTE_DIM(tx_names));
}

/* Before it is configured a port has the counters of one queue. */
static unsigned int
tables_of(const struct rte_eth_dev *dev, struct vbus_pmd_xstats t[2])
{
	t[0] = (struct vbus_pmd_xstats){.prefix = "rx",
		.names = rx_names,
		.nb_names = RTE_DIM(rx_names),
		.nb_queues = RTE_MAX(dev->data->nb_rx_queues, 1),
		.read = read_rx};
	t[1] = (struct vbus_pmd_xstats){.prefix = "tx",
		.names = tx_names,
		.nb_names = RTE_DIM(tx_names),
		.nb_queues = RTE_MAX(dev->data->nb_tx_queues, 1),
		.read = read_tx};
	return 2;
}

int
vbus_south_stats_get(struct rte_eth_dev *dev, VBUS_STATS_GET_ARGS)
{
	struct vbus_south_port *port = vbus_south_port_of(dev);

	for (uint16_t q = 0; q < RTE_MAX(dev->data->nb_rx_queues, dev->data->nb_tx_queues); q++) {
		uint64_t values[VBUS_PMD_STATS_MAX];
		struct vbus_venet_rx_stats rx;
		struct vbus_venet_tx_stats tx;

		read_rx(port, q, values);
		memcpy(&rx, values, sizeof(rx));
		read_tx(port, q, values);
		memcpy(&tx, values, sizeof(tx));
		vbus_pmd_stats_add_rx(stats, VBUS_QSTATS, q,
			&(struct vbus_pmd_queue_stats){.packets = rx.packets,
				.bytes = rx.bytes,
				.errors = rx.drop_addr + rx.drop_len + rx.drop_sg +
					  rx.drop_offload + rx.drop_nombuf});
		vbus_pmd_stats_add_tx(stats, VBUS_QSTATS, q,
			&(struct vbus_pmd_queue_stats){.packets = tx.packets,
				.bytes = tx.bytes,
				.errors = tx.drop_addr + tx.drop_room + tx.drop_sg + tx.drop_page +
					  tx.drop_offload + tx.drop_down});
		stats->rx_nombuf += rx.nombuf + rx.drop_nombuf;
	}
	return 0;
}

int
vbus_south_stats_reset(struct rte_eth_dev *dev)
{
	struct vbus_south_port *port = vbus_south_port_of(dev);
	struct vbus_venet_rx_stats rx;
	struct vbus_venet_tx_stats tx;

	for (uint16_t q = 0; q < port->nb_queues; q++) {
		vbus_venet_stats(port->venet, q, &rx, &tx);
		memcpy(port->rx_base[q], &rx, sizeof(rx));
		memcpy(port->tx_base[q], &tx, sizeof(tx));
	}
	return 0;
}

int
vbus_south_xstats_names(
	struct rte_eth_dev *dev, struct rte_eth_xstat_name *names, unsigned int size)
{
	struct vbus_pmd_xstats t[2];
	unsigned int n = tables_of(dev, t);

	return vbus_pmd_xstats_names(t, n, names, size);
}

int
vbus_south_xstats_get(struct rte_eth_dev *dev, struct rte_eth_xstat *xstats, unsigned int size)
{
	struct vbus_pmd_xstats t[2];
	unsigned int n = tables_of(dev, t);

	return vbus_pmd_xstats_get(t, n, vbus_south_port_of(dev), xstats, size);
}
