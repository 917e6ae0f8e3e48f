/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * What the two ends of the PMD share.
 *
 * Threads: application threads in ethdev operations, and the worker thread (link changes); never an
 * lcore's burst. No object is owned here. The statistics follow one rule on both ends: counters are
 * written by one polling thread and never go back; a reset only remembers where they stood.
 */
#include "vbus_pmd_common.h"
#include "vbus_pmd_trace.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_errno.h>
#include <rte_interrupts.h>

RTE_LOG_REGISTER(vbus_pmd_logtype, pmd.net.vbus, NOTICE);

/* dpdk-pmdinfo.py looks for this string; DPDK's own generator is not run for us. */
extern const char net_vbus_pmd_info[];
__attribute__((used)) const char net_vbus_pmd_info[] =
	"PMD_INFO_STRING= {\"name\" : \"net_vbus\", "
	"\"params\" : \"iface=<path> null=<bus> window=<path> "
	"side=<a|b> size=<int> "
	"name=<string> mac=<xx:xx:xx:xx:xx:xx> "
	"queues=<int> bus=<string> speed=<mbps> ring=<poll|v2>\", \"pci_ids\" : []}";

static unsigned int
xstats_count(const struct vbus_pmd_xstats *tables, unsigned int nb_tables)
{
	unsigned int n = 0;

	for (unsigned int t = 0; t < nb_tables; t++)
		n += (unsigned int)tables[t].nb_names * tables[t].nb_queues;
	return n;
}

int
vbus_pmd_xstats_names(const struct vbus_pmd_xstats *tables, unsigned int nb_tables,
	struct rte_eth_xstat_name *names, unsigned int size)
{
	unsigned int n = xstats_count(tables, nb_tables), at = 0;

	if (names == NULL || size < n)
		return (int)n;
	for (unsigned int t = 0; t < nb_tables; t++) {
		const struct vbus_pmd_xstats *x = &tables[t];

		for (unsigned int q = 0; q < x->nb_queues; q++)
			for (unsigned int i = 0; i < x->nb_names; i++)
				snprintf(names[at++].name, sizeof(names->name), "%s_q%u_%s",
					x->prefix, q, x->names[i]);
	}
	return (int)n;
}

int
vbus_pmd_xstats_get(const struct vbus_pmd_xstats *tables, unsigned int nb_tables, void *port,
	struct rte_eth_xstat *xstats, unsigned int size)
{
	unsigned int n = xstats_count(tables, nb_tables), at = 0;
	uint64_t values[VBUS_PMD_STATS_MAX];

	if (xstats == NULL || size < n)
		return (int)n;
	for (unsigned int t = 0; t < nb_tables; t++) {
		const struct vbus_pmd_xstats *x = &tables[t];

		for (uint16_t q = 0; q < x->nb_queues; q++) {
			x->read(port, q, values);
			for (unsigned int i = 0; i < x->nb_names; i++, at++) {
				xstats[at].id = at;
				xstats[at].value = values[i];
			}
		}
	}
	return (int)n;
}

void
vbus_pmd_stats_since(uint64_t *values, const uint64_t *base, unsigned int nb)
{
	for (unsigned int i = 0; i < nb; i++)
		values[i] -= base[i];
}

void
vbus_pmd_stats_add_rx(struct rte_eth_stats *stats, vbus_eth_qstats_t *qstats, uint16_t queue,
	const struct vbus_pmd_queue_stats *q)
{
	stats->ipackets += q->packets;
	stats->ibytes += q->bytes;
	stats->ierrors += q->errors;
	if (qstats == NULL || queue >= RTE_ETHDEV_QUEUE_STAT_CNTRS)
		return;
	qstats->q_ipackets[queue] = q->packets;
	qstats->q_ibytes[queue] = q->bytes;
	qstats->q_errors[queue] = q->errors;
}

void
vbus_pmd_stats_add_tx(struct rte_eth_stats *stats, vbus_eth_qstats_t *qstats, uint16_t queue,
	const struct vbus_pmd_queue_stats *q)
{
	stats->opackets += q->packets;
	stats->obytes += q->bytes;
	stats->oerrors += q->errors;
	if (qstats == NULL || queue >= RTE_ETHDEV_QUEUE_STAT_CNTRS)
		return;
	qstats->q_opackets[queue] = q->packets;
	qstats->q_obytes[queue] = q->bytes;
}

void
vbus_pmd_dev_info(struct rte_eth_dev_info *info, uint16_t nb_queues)
{
	info->min_mtu = RTE_ETHER_MIN_MTU;
	info->max_mtu = VBUS_PMD_MTU_MAX;
	info->min_rx_bufsize = 64;
	info->max_rx_pktlen = VBUS_PMD_MTU_MAX + VBUS_PMD_OVERHEAD;
	info->max_lro_pkt_size = UINT16_MAX + VBUS_PMD_OVERHEAD;
	info->max_rx_queues = nb_queues;
	info->max_tx_queues = nb_queues;
	info->max_mac_addrs = 1;
	info->rx_offload_capa = VBUS_PMD_RX_OFFLOADS;
	info->tx_offload_capa = VBUS_PMD_TX_OFFLOADS;
	info->speed_capa = RTE_ETH_LINK_SPEED_100G;
}

int
vbus_pmd_speed_parse(const char *text, uint32_t *mbps)
{
	unsigned long n;
	char *end;

	errno = 0;
	n = strtoul(text, &end, 10);
	if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || n >= UINT32_MAX ||
		rte_eth_speed_bitflag((uint32_t)n, RTE_ETH_LINK_FULL_DUPLEX) == 0)
		return -EINVAL;
	*mbps = (uint32_t)n;
	return 0;
}

/* ethdev's own place for it: there is one per port, and it is shared between processes. */
void
vbus_pmd_speed_set(struct rte_eth_dev *dev, uint32_t mbps)
{
	dev->data->dev_link.link_speed = mbps;
}

uint32_t
vbus_pmd_speed_capa(const struct rte_eth_dev *dev)
{
	return rte_eth_speed_bitflag(dev->data->dev_link.link_speed, RTE_ETH_LINK_FULL_DUPLEX);
}

bool
vbus_pmd_link_set(struct rte_eth_dev *dev, bool up)
{
	struct rte_eth_link link;

	memset(&link, 0, sizeof(link)); /* rte_eth_linkstatus_set() exchanges all 64 bits */
	link.link_speed = dev->data->dev_link.link_speed;
	if (link.link_speed == 0)
		link.link_speed = VBUS_PMD_SPEED;
	link.link_duplex = RTE_ETH_LINK_FULL_DUPLEX;
	link.link_autoneg = RTE_ETH_LINK_FIXED;
	link.link_status = up ? RTE_ETH_LINK_UP : RTE_ETH_LINK_DOWN;
	return rte_eth_linkstatus_set(dev, &link) == 0;
}

void
vbus_pmd_link_event(struct rte_eth_dev *dev)
{
	vbus_pmd_trace_link(dev->data->port_id, dev->data->dev_link.link_status == RTE_ETH_LINK_UP);
	PMD_LOG(INFO, dev->data->name, "link %s",
		dev->data->dev_link.link_status == RTE_ETH_LINK_UP ? "up" : "down");
	if (dev->data->dev_conf.intr_conf.lsc != 0)
		rte_eth_dev_callback_process(dev, RTE_ETH_EVENT_INTR_LSC, NULL);
}

VBUS_PTYPES_RET
vbus_pmd_ptypes_get(VBUS_PTYPES_ARGS)
{
	static const uint32_t ptypes[] = {RTE_PTYPE_L2_ETHER, RTE_PTYPE_L3_IPV4_EXT_UNKNOWN,
		RTE_PTYPE_L3_IPV6_EXT_UNKNOWN, RTE_PTYPE_L4_TCP, RTE_PTYPE_L4_UDP, VBUS_PTYPES_END};

	VBUS_PTYPES_DONE(ptypes);
	(void)dev;
	return ptypes;
}

int
vbus_pmd_op_nothing(struct rte_eth_dev *dev)
{
	(void)dev;
	return 0;
}

struct rte_intr_handle *
vbus_pmd_intr_create(const int *fds, uint16_t nb_queues)
{
	struct rte_intr_handle *h = rte_intr_instance_alloc(RTE_INTR_INSTANCE_F_SHARED);
	int bad;

	if (h == NULL)
		return NULL;
	bad = rte_intr_type_set(h, RTE_INTR_HANDLE_VDEV) || rte_intr_fd_set(h, -1) ||
	      rte_intr_efd_counter_size_set(h, sizeof(uint64_t)) ||
	      rte_intr_vec_list_alloc(h, NULL, nb_queues) || rte_intr_nb_efd_set(h, nb_queues) ||
	      rte_intr_max_intr_set(h, nb_queues + 1);
	for (int q = 0; q < nb_queues && !bad; q++)
		bad = rte_intr_efds_index_set(h, q, fds[q]) ||
		      rte_intr_vec_list_index_set(h, q, RTE_INTR_VEC_RXTX_OFFSET + q);
	if (bad) {
		vbus_pmd_intr_free(h);
		return NULL;
	}
	return h;
}

void
vbus_pmd_intr_free(struct rte_intr_handle *handle)
{
	if (handle == NULL)
		return;
	rte_intr_vec_list_free(handle);
	rte_intr_instance_free(handle);
}
