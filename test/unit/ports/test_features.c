/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * The feature matrices of doc/nics/, as the ports themselves answer: every line is something asked of
 * ethdev, but those of the last group, which one process cannot ask (other tests show them).
 *
 * Arguments: the folder of the plugins, the folder of the matrices; a third, "write", writes them.
 * Threads: see pmd_rig.c.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_dev_info.h>
#include <rte_eal.h>

#include "pmd_rig.h"

#define TEXT_SIZE 8192

struct text {
	char s[TEXT_SIZE];
	size_t len;
};

static void
line(struct text *t, const char *feature, bool has)
{
	if (has)
		t->len += (size_t)snprintf(
			t->s + t->len, sizeof(t->s) - t->len, "%-26s = Y\n", feature);
}

static bool
has_xstats_per_queue(uint16_t port)
{
	uint64_t id;

	return rte_eth_xstats_get_id_by_name(port, "rx_q0_packets", &id) == 0 &&
	       rte_eth_xstats_get_id_by_name(port, "tx_q0_packets", &id) == 0;
}

static bool
has_monitor(uint16_t port)
{
	struct rte_power_monitor_cond cond;

	return rte_eth_get_monitor_addr(port, 0, &cond) == 0 && cond.addr != NULL;
}

static bool
has_registers(uint16_t port)
{
	struct rte_dev_reg_info info = {0};
	uint32_t words[256];

	if (rte_eth_dev_get_reg_info(port, &info) != 0 || info.width != sizeof(words[0]) ||
		info.length == 0 || info.length > RTE_DIM(words))
		return false;
	info.data = words;
	return rte_eth_dev_get_reg_info(port, &info) == 0;
}

static bool
has_mtu(uint16_t port)
{
	uint16_t mtu = 0;
	bool ok = rte_eth_dev_set_mtu(port, 1400) == 0 && rte_eth_dev_get_mtu(port, &mtu) == 0 &&
		  mtu == 1400;

	return rte_eth_dev_set_mtu(port, RTE_ETHER_MTU) == 0 && ok;
}

static bool
has_queue_stop(uint16_t port)
{
	return rte_eth_dev_rx_queue_stop(port, 0) == 0 &&
	       rte_eth_dev_rx_queue_start(port, 0) == 0 &&
	       rte_eth_dev_tx_queue_stop(port, 0) == 0 && rte_eth_dev_tx_queue_start(port, 0) == 0;
}

static bool
has_interrupt(uint16_t port)
{
	return rte_eth_dev_rx_intr_enable(port, 0) == 0 &&
	       rte_eth_dev_rx_intr_disable(port, 0) == 0;
}

static bool
has_burst_mode(uint16_t port)
{
	struct rte_eth_burst_mode mode;

	return rte_eth_rx_burst_mode_get(port, 0, &mode) == 0 && mode.info[0] != '\0' &&
	       rte_eth_tx_burst_mode_get(port, 0, &mode) == 0 && mode.info[0] != '\0';
}

static bool
has_mac_filter(uint16_t port)
{
	struct rte_ether_addr mac = {{0x02, 0, 0, 0, 0, 0x77}};

	return rte_eth_dev_mac_addr_add(port, &mac, 0) == 0 &&
	       rte_eth_dev_mac_addr_remove(port, &mac) == 0;
}

/* What a port can do while it runs. */
static void
probe_running(struct text *t, uint16_t port, const struct rte_eth_dev_info *i)
{
	line(t, "Rx interrupt", has_interrupt(port));
	line(t, "Lock-free Tx queue", (i->tx_offload_capa & RTE_ETH_TX_OFFLOAD_MT_LOCKFREE) != 0);
	line(t, "Fast mbuf free", (i->tx_offload_capa & RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE) != 0);
	line(t, "Free Tx mbuf on demand", rte_eth_tx_done_cleanup(port, 0, 0) >= 0);
	line(t, "Queue start/stop", has_queue_stop(port));
	line(t, "Runtime Rx queue setup",
		(i->dev_capa & RTE_ETH_DEV_CAPA_RUNTIME_RX_QUEUE_SETUP) != 0);
	line(t, "Runtime Tx queue setup",
		(i->dev_capa & RTE_ETH_DEV_CAPA_RUNTIME_TX_QUEUE_SETUP) != 0);
	line(t, "Burst mode info", has_burst_mode(port));
	line(t, "Power mgmt address monitor", has_monitor(port));
	line(t, "MTU update", has_mtu(port));
}

static void
probe_offloads(struct text *t, const struct rte_eth_dev_info *i)
{
	const uint64_t l4_rx = RTE_ETH_RX_OFFLOAD_UDP_CKSUM | RTE_ETH_RX_OFFLOAD_TCP_CKSUM;
	const uint64_t l4_tx = RTE_ETH_TX_OFFLOAD_UDP_CKSUM | RTE_ETH_TX_OFFLOAD_TCP_CKSUM;

	line(t, "VLAN offload",
		(i->rx_offload_capa & RTE_ETH_RX_OFFLOAD_VLAN_STRIP) != 0 &&
			(i->tx_offload_capa & RTE_ETH_TX_OFFLOAD_VLAN_INSERT) != 0);
	line(t, "L3 checksum offload",
		(i->rx_offload_capa & RTE_ETH_RX_OFFLOAD_IPV4_CKSUM) != 0 &&
			(i->tx_offload_capa & RTE_ETH_TX_OFFLOAD_IPV4_CKSUM) != 0);
	line(t, "L4 checksum offload",
		(i->rx_offload_capa & l4_rx) == l4_rx && (i->tx_offload_capa & l4_tx) == l4_tx);
}

static void
probe(struct text *t, uint16_t port)
{
	struct rte_eth_dev_info i;
	struct rte_eth_stats stats;
	uint32_t flags;

	if (rte_eth_dev_info_get(port, &i) != 0)
		return;
	flags = *i.dev_flags;
	t->len = (size_t)snprintf(t->s, sizeof(t->s),
		";\n; Supported features of the %s end of the 'vbus' network poll mode driver.\n"
		"; Written by test/unit/ports/test_features.c, which asks the port; not by hand.\n"
		";\n[Features]\n",
		port == rig.north ? "north" : "south");
	line(t, "Speed capabilities", i.speed_capa != 0);
	line(t, "Link status", rig_wait_link(port, true));
	line(t, "Link status event", (flags & RTE_ETH_DEV_INTR_LSC) != 0 && rig_wait_lsc(port, 1));
	line(t, "Removal event", (flags & RTE_ETH_DEV_INTR_RMV) != 0);
	probe_running(t, port, &i);
	line(t, "Scattered Rx", (i.rx_offload_capa & RTE_ETH_RX_OFFLOAD_SCATTER) != 0);
	line(t, "LRO", (i.rx_offload_capa & RTE_ETH_RX_OFFLOAD_TCP_LRO) != 0);
	line(t, "TSO", (i.tx_offload_capa & RTE_ETH_TX_OFFLOAD_TCP_TSO) != 0);
	line(t, "Promiscuous mode", rte_eth_promiscuous_enable(port) == 0);
	line(t, "Allmulticast mode", rte_eth_allmulticast_enable(port) == 0);
	line(t, "Unicast MAC filter", has_mac_filter(port));
	line(t, "RSS hash", i.flow_type_rss_offloads != 0);
	line(t, "RSS key update", i.hash_key_size != 0);
	line(t, "RSS reta update", i.reta_size != 0);
	line(t, "VLAN filter", (i.rx_offload_capa & RTE_ETH_RX_OFFLOAD_VLAN_FILTER) != 0);
	probe_offloads(t, &i);
	line(t, "Packet type parsing",
		rte_eth_dev_get_supported_ptypes(port, RTE_PTYPE_ALL_MASK, NULL, 0) > 0);
	line(t, "Rx descriptor status", rte_eth_rx_descriptor_status(port, 0, 0) >= 0);
	line(t, "Tx descriptor status", rte_eth_tx_descriptor_status(port, 0, 0) >= 0);
	line(t, "Basic stats", rte_eth_stats_get(port, &stats) == 0);
	line(t, "Extended stats", rte_eth_xstats_get_names(port, NULL, 0) > 0);
	line(t, "Stats per queue", has_xstats_per_queue(port));
	line(t, "Registers dump", has_registers(port));
	t->len += (size_t)snprintf(t->s + t->len, sizeof(t->s) - t->len,
		"%-26s = %s\n%-26s = Y\n%-26s = Y\n%-26s = Y\n", "Multiprocess aware",
		port == rig.north ? "Y" : "P", "Linux", "x86-64", "Usage doc");
}

static int
write_file(const char *path, const struct text *t)
{
	FILE *f = fopen(path, "w");

	if (f == NULL) {
		perror(path);
		return 1;
	}
	fwrite(t->s, 1, t->len, f);
	return fclose(f) != 0;
}

/* @return 0: the file says what the port does */
static int
compare(const char *path, const struct text *t)
{
	static char have[TEXT_SIZE];
	FILE *f = fopen(path, "r");
	size_t n = f != NULL ? fread(have, 1, sizeof(have) - 1, f) : 0;

	if (f != NULL)
		fclose(f);
	have[n] = '\0';
	if (n == t->len && memcmp(have, t->s, n) == 0) {
		printf("%s: as the port answers\n", path);
		return 0;
	}
	printf("%s: differs from what the port answers, which is:\n%s"
	       "Write it by: test_ports_features PLUGINS doc/nics write\n",
		path, t->s);
	return 1;
}

static int
check(const char *folder, const char *name, uint16_t port, bool to_write)
{
	static struct text t;
	char path[1024];

	probe(&t, port);
	snprintf(path, sizeof(path), "%s/%s", folder, name);
	return to_write ? write_file(path, &t) : compare(path, &t);
}

int
main(int argc, char **argv)
{
	bool to_write = argc == 4 && strcmp(argv[3], "write") == 0;
	int bad;

	if (argc < 3 || rig_init(argv[1]) != 0) {
		printf("usage: %s FOLDER-OF-PLUGINS FOLDER-OF-MATRICES [write]\n", argv[0]);
		return 1;
	}
	if (rig_up(rig.south) != 0 || rig_up(rig.north) != 0 || !rig_wait_link(rig.north, true)) {
		printf("the ports do not start\n");
		return 1;
	}
	/* The other's carrier goes and comes: each is told of it. */
	if (rte_eth_dev_stop(rig.south) != 0 || !rig_wait_link(rig.north, false) ||
		rte_eth_dev_start(rig.south) != 0 || !rig_wait_link(rig.north, true)) {
		printf("the link does not follow the carrier\n");
		return 1;
	}
	bad = check(argv[2], "vbus.ini", rig.north, to_write);
	bad |= check(argv[2], "vbus_south.ini", rig.south, to_write);
	bad |= rig_fini() != 0;
	return bad;
}
