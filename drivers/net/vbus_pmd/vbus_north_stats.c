/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * Statistics of the north end, and what `show port info` style dumps print.
 *
 * Threads: application threads. Counters are written by the polling thread of their queue and never
 * go back; a reset remembers where they stood.
 */
#include "vbus_north.h"

#include <string.h>

static const char *const rx_names[] = {NORTH_RX_STATS(VBUS_PMD_STAT_NAME)};
static const char *const tx_names[] = {NORTH_TX_STATS(VBUS_PMD_STAT_NAME)};

_Static_assert(NORTH_NB_RX_STATS <= VBUS_PMD_STATS_MAX, "receive counters");
_Static_assert(NORTH_NB_TX_STATS <= VBUS_PMD_STATS_MAX, "transmit counters");

/* One 64-bit load each: the polling thread goes on writing. */
static void
load_counters(uint64_t *values, const uint64_t *src, unsigned int nb)
{
	for (unsigned int i = 0; i < nb; i++)
		values[i] = __atomic_load_n(&src[i], __ATOMIC_RELAXED);
}

static void
rx_read(void *port, uint16_t queue, uint64_t *values)
{
	const struct north_rxq *q = ((struct north_port *)port)->rxq[queue];

	load_counters(values, (const uint64_t *)&q->stats, NORTH_NB_RX_STATS);
	vbus_pmd_stats_since(values, q->base, NORTH_NB_RX_STATS);
}

static void
tx_read(void *port, uint16_t queue, uint64_t *values)
{
	const struct north_txq *q = ((struct north_port *)port)->txq[queue];

	load_counters(values, (const uint64_t *)&q->stats, NORTH_NB_TX_STATS);
	vbus_pmd_stats_since(values, q->base, NORTH_NB_TX_STATS);
}

/* Queues that are set up; they are without gaps when the port is started. */
static uint16_t
rx_queues(const struct north_port *p)
{
	uint16_t n = 0;

	while (n < NORTH_QUEUES_MAX && p->rxq[n] != NULL)
		n++;
	return n;
}

static uint16_t
tx_queues(const struct north_port *p)
{
	uint16_t n = 0;

	while (n < NORTH_QUEUES_MAX && p->txq[n] != NULL)
		n++;
	return n;
}

int
north_stats_get(struct rte_eth_dev *dev, VBUS_STATS_GET_ARGS)
{
	struct north_port *p = north_port_of(dev);
	const uint16_t nb_rx = rx_queues(p), nb_tx = tx_queues(p);

	for (uint16_t i = 0; i < nb_rx; i++) {
		struct north_rx_stats s;

		rx_read(p, i, (uint64_t *)&s);
		vbus_pmd_stats_add_rx(stats, VBUS_QSTATS, i,
			&(struct vbus_pmd_queue_stats){
				.packets = s.packets,
				.bytes = s.bytes,
				.errors = s.drop_len + s.drop_mtu + s.drop_sg + s.drop_page +
					  s.drop_offload + s.drop_nombuf,
			});
		stats->rx_nombuf += s.nombuf + s.page_nombuf + s.drop_nombuf;
	}
	for (uint16_t i = 0; i < nb_tx; i++) {
		struct north_tx_stats s;

		tx_read(p, i, (uint64_t *)&s);
		vbus_pmd_stats_add_tx(stats, VBUS_QSTATS, i,
			&(struct vbus_pmd_queue_stats){
				.packets = s.packets,
				.bytes = s.bytes,
				.errors = s.drop_len + s.drop_size + s.drop_offload + s.drop_tso,
			});
	}
	return 0;
}

int
north_stats_reset(struct rte_eth_dev *dev)
{
	struct north_port *p = north_port_of(dev);
	const uint16_t nb_rx = rx_queues(p), nb_tx = tx_queues(p);

	for (uint16_t i = 0; i < nb_rx; i++)
		load_counters(
			p->rxq[i]->base, (const uint64_t *)&p->rxq[i]->stats, NORTH_NB_RX_STATS);
	for (uint16_t i = 0; i < nb_tx; i++)
		load_counters(
			p->txq[i]->base, (const uint64_t *)&p->txq[i]->stats, NORTH_NB_TX_STATS);
	return 0;
}

static unsigned int
xstats_tables(const struct north_port *p, struct vbus_pmd_xstats t[2])
{
	t[0] = (struct vbus_pmd_xstats){.prefix = "rx",
		.names = rx_names,
		.nb_names = RTE_DIM(rx_names),
		.nb_queues = rx_queues(p),
		.read = rx_read};
	t[1] = (struct vbus_pmd_xstats){.prefix = "tx",
		.names = tx_names,
		.nb_names = RTE_DIM(tx_names),
		.nb_queues = tx_queues(p),
		.read = tx_read};
	return 2;
}

int
north_xstats_names(struct rte_eth_dev *dev, struct rte_eth_xstat_name *names, unsigned int size)
{
	struct vbus_pmd_xstats t[2];
	unsigned int n = xstats_tables(north_port_of(dev), t);

	return vbus_pmd_xstats_names(t, n, names, size);
}

int
north_xstats_get(struct rte_eth_dev *dev, struct rte_eth_xstat *xstats, unsigned int size)
{
	struct vbus_pmd_xstats t[2];
	unsigned int n = xstats_tables(north_port_of(dev), t);

	return vbus_pmd_xstats_get(t, n, north_port_of(dev), xstats, size);
}

static void
dump_ring(FILE *f, const char *name, const struct vbus_ioq_north *r)
{
	const struct ioq_ring_idx *v = &r->ring->idx[IOQ_IDX_VALID];
	const struct ioq_ring_idx *u = &r->ring->idx[IOQ_IDX_INUSE];

	fprintf(f, "  %s: %u entries, head %u tail %u used %u; valid %u/%u, in-use %u/%u\n", name,
		r->count, r->head, r->tail, r->nb_used, vbus_peer_load32(&v->head),
		vbus_peer_load32(&v->tail), vbus_peer_load32(&u->head), vbus_peer_load32(&u->tail));
}

static void
dump_poll(FILE *f, const char *name, const struct vbus_poll_north *r)
{
	fprintf(f, "  %s: poll ring, %u entries, %u used at a time; head %u tail %u\n", name,
		r->r.mask + 1, r->limit, r->head, r->tail);
}

int
north_priv_dump(struct rte_eth_dev *dev, FILE *file)
{
	struct north_local *l = north_local_of(dev);
	const struct north_port *p = l->port;

	pthread_mutex_lock(&l->lock);
	fprintf(file, "vbus north %s: device %u, peer %s, %s, %s, carrier %s\n", l->vdev->full_name,
		l->vdev->devid, rte_vbus_present(l->vdev) ? "there" : "away",
		p->started ? "started" : "stopped", p->linked ? "linked" : "not linked",
		p->carrier ? "up" : "down");
	fprintf(file, "  offered: sg 0x%x l4ro 0x%x; granted: sg 0x%x l4ro 0x%x events 0x%x\n",
		p->caps_sg, p->caps_l4ro, p->s.sg, p->s.l4ro, p->s.evq);
	fprintf(file, "  MTU %u, zone %zu bytes\n", p->mtu, p->zone_len);
	if (p->linked) {
		if (p->s.rx >= NORTH_RX_POLL) {
			for (uint32_t i = 0; i < p->nb_pairs; i++) {
				dump_poll(file, "rx", &p->rxq[i]->poll);
				dump_poll(file, "tx", &p->txq[i]->poll);
			}
		} else {
			dump_ring(file, "rx", &p->rxq[0]->ring);
			dump_ring(file, "tx", &p->txq[0]->ring);
		}
		dump_ring(file, "events", &p->evq);
		if (p->s.rx == NORTH_RX_L4RO)
			fprintf(file, "  pages: %u, %u not out\n", p->rxq[0]->nb_pages,
				p->rxq[0]->nb_page_free);
		fprintf(file, "  copy slots: %u of %u bytes, %u free\n", p->txq[0]->nb_bounce,
			p->txq[0]->bounce_len, p->txq[0]->nb_bounce_free);
	}
	pthread_mutex_unlock(&l->lock);
	return 0;
}
