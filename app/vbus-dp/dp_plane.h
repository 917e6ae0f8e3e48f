/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */
#ifndef DP_PLANE_H
#define DP_PLANE_H

/**
 * @file
 * vbus-dp's data plane as its control side sees it: ports, switches, lcores.
 *
 * A port is a venet (polled through libvbus, DECISIONS 12) or an uplink (an ethdev). Each is polled
 * by one lcore, run to completion; a frame for a port that another lcore polls is handed over by
 * that port's ring. What lcores read is published under rte_rcu_qsbr; a change that takes something
 * away returns after every lcore has left it. Called from vbus-dp's control functions, one at a time, WITHOUT the
 * libvbus control lock (they wait for lcores; venet callbacks bring the lock with them).
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rte_ether.h>

#include "dp_conf.h"

struct dp_port;
struct dp_switch;
struct vbus_device;

/** Start the lcores (all EAL lcores but the main one; the main one too when it is alone). */
int dp_plane_start(enum dp_mode mode, uint32_t idle_us, char *err, size_t err_size);
/** Change the mode while they run; @p idle_us as above: how long nothing comes before one sleeps. */
void dp_plane_set_mode(enum dp_mode mode, uint32_t idle_us);
/** Run the main lcore's share until dp_plane_stop(); returns at once when the main lcore does not poll. */
void dp_plane_main_loop(void);
/** Drain and stop every lcore. */
void dp_plane_stop(void);

struct dp_switch *dp_switch_create(
	const char *name, uint32_t ageing_s, uint32_t size, char *err, size_t err_size);
/** Another ageing time, 1 to 1,000,000 s; nothing else changes. */
void dp_switch_set_ageing(struct dp_switch *sw, uint32_t ageing_s);
/** Its ports must be gone. */
int dp_switch_delete(struct dp_switch *sw);

/** A venet becomes a port (bound, started) and joins @p sw (NULL: no switch yet, frames are dropped, counted). */
struct dp_port *dp_port_add_venet(
	struct vbus_device *dev, struct dp_switch *sw, char *err, size_t err_size);
/** An EAL port by name becomes an uplink of @p sw: configured, started. */
struct dp_port *dp_port_add_uplink(
	const char *ethdev, struct dp_switch *sw, char *err, size_t err_size);
/** Leave the switch or patch, stop, unbind; returns when no lcore touches it. */
void dp_port_del(struct dp_port *port);
/** Move to another switch (NULL: none). */
int dp_port_set_switch(struct dp_port *port, struct dp_switch *sw);
/** Wire two ports to each other; both leave their switches. @p b NULL: undo. */
int dp_port_patch(struct dp_port *a, struct dp_port *b);

/** X(field, name): single writer, the polling lcore. */
#define DP_PORT_STATS(X)                               \
	X(rx_packets, "rx_packets")                    \
	X(rx_bytes, "rx_bytes")                        \
	X(tx_packets, "tx_packets")                    \
	X(tx_bytes, "tx_bytes")                        \
	X(drop_no_switch, "drop_no_switch_packets")    \
	X(drop_tx_full, "drop_tx_full_packets")        \
	X(drop_handover, "drop_handover_full_packets") \
	X(drop_mtu, "drop_mtu_packets")                \
	X(drop_same_port, "drop_same_port_packets")    \
	X(drop_down, "drop_link_down_packets")         \
	X(drop_runt, "drop_short_packets")             \
	X(drop_offload, "drop_offload_packets")        \
	X(flooded, "flooded_packets")
#define DP_STAT_FIELD(field, name) uint64_t field;
struct dp_port_stats {
	DP_PORT_STATS(DP_STAT_FIELD)
};
void dp_port_stats(const struct dp_port *port, struct dp_port_stats *st);
const char *dp_port_name(const struct dp_port *port);
unsigned int dp_port_lcore(const struct dp_port *port);
/** An uplink whose device was unplugged: on no switch; its counters are there until dp_port_del(). */
bool dp_port_gone(const struct dp_port *port);
/** Is there an EAL port of that name? */
bool dp_uplink_exists(const char *ethdev);

/** One address of a switch's table. */
struct dp_fdb_entry {
	struct rte_ether_addr addr;
	char port[DP_NAME_SIZE];
	uint32_t age_s;
};
/** Walk the table: @p fn for each; control side. @return number of entries. */
uint32_t dp_switch_fdb(
	struct dp_switch *sw, void (*fn)(const struct dp_fdb_entry *e, void *arg), void *arg);
struct dp_switch_stats {
	uint64_t learned, moved, aged, table_full, refused;
	uint32_t addresses;
};
void dp_switch_stats(const struct dp_switch *sw, struct dp_switch_stats *st);

/** Per lcore: cycles busy (a burst moved something), idle, asleep. */
struct dp_lcore_info {
	unsigned int lcore;
	uint32_t nb_ports;
	uint64_t busy_cycles, idle_cycles, sleep_cycles, nb_sleeps;
};
uint32_t dp_lcore_info(struct dp_lcore_info *out, uint32_t nb);

/** Capture: every frame of the port in both directions, drops too, into a pcapng file; NULL: stop. */
int dp_port_capture(struct dp_port *port, const char *path, char *err, size_t err_size);

/** What becomes of a frame that came in by a port. */
enum dp_trace_verdict {
	DP_TRACE_FORWARD,
	DP_TRACE_PATCH,
	DP_TRACE_FLOOD_GROUP,	/**< to a group address */
	DP_TRACE_FLOOD_UNKNOWN, /**< its address was not learned */
	DP_TRACE_SAME_PORT,	/**< from here on: dropped */
	DP_TRACE_NO_SWITCH,
	DP_TRACE_DOWN, /**< the destination has no carrier */
	DP_TRACE_MTU,  /**< it is longer than what the destination takes */
};

struct dp_trace_record {
	uint64_t us; /**< since the trace began */
	uint64_t to; /**< id of the destination, 0: none */
	uint32_t len;
	uint16_t head_len;
	uint8_t verdict; /**< enum dp_trace_verdict */
	uint8_t head[61];
	char to_name[64]; /**< filled in by who reads */
};

/** Trace one in @p every frames that come in by a port; 0: stop. */
int dp_port_trace(struct dp_port *port, uint32_t every, char *err, size_t err_size);
/** Take up to @p size records. @p lost: how many did not fit so far. @return records */
uint32_t dp_port_trace_read(
	struct dp_port *port, struct dp_trace_record *out, uint32_t size, uint64_t *lost);

#endif /* DP_PLANE_H */
