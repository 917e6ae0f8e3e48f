/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */
#ifndef VBUS_BRIDGE_H
#define VBUS_BRIDGE_H

/**
 * @file
 * The south half of the bridge (doc/abi.md sections 1 and 7): calls, signals, events; and what a
 * connector needs to carry it over some medium. One bridge per bus, one peer at a time.
 * All with the control lock held.
 */

#include <stdbool.h>
#include <stdint.h>

struct vbus_bridge;
struct vbus_bus;
struct vbus_memmap;

/** Connector: the south glue that carries a bridge over a medium. */
struct vbus_connector_ops {
	const char *name; /**< "null", "vfio-user" */
	/** Raise north's interrupt (vector 0). Control lock held. Must not block. */
	void (*irq)(void *arg);
	/** The bus goes, or the connector is replaced: end the session, free everything, leave no file. */
	void (*stop)(void *arg);
	/** For telemetry and logs: one line ("listening on PATH", "peer PID 123"). */
	void (*describe)(void *arg, char *buf, size_t size);
};
struct vbus_connector {
	const struct vbus_connector_ops *ops;
	void *arg;
};

/** Attach a connector to a bus. @return 0, -EBUSY: it has one. */
int vbus_bus_set_connector(struct vbus_bus *bus, const struct vbus_connector_ops *ops, void *arg);

/* The connectors we have. */
/** Listen on @p path. @param[out] err  one line for the user on failure. @return 0 or negative errno. */
int vbus_connector_vfio_user(struct vbus_bus *bus, const char *path, char *err, size_t err_size);
/** The null connector: north is in this process and calls vbus_null_* (vbus_null.h). */
int vbus_connector_null(struct vbus_bus *bus);

/* What a medium delivers to the bridge. */

/** A peer is there (new session): @p identity: addresses are this process's own. @return 0 or -EBUSY: one is there. */
int vbus_bridge_session_open(struct vbus_bridge *b, bool identity);
/** The peer is gone: as a reset, and every region is unmapped. Idempotent. */
void vbus_bridge_session_close(struct vbus_bridge *b, const char *reason);
/** Function reset (DEVICE_RESET, bus master 1 -> 0): section 7.13. Device ids start again only when @p function_reset. */
void vbus_bridge_reset(struct vbus_bridge *b, bool function_reset);
/** The session's memory map: the connector adds and removes regions. */
struct vbus_memmap *vbus_bridge_memmap(struct vbus_bridge *b);

/** BAR 0: write of 1, 2, 4, 8 (any) bytes at @p off; the call descriptor is latched. */
void vbus_bridge_regs_write(struct vbus_bridge *b, uint64_t off, const void *buf, uint32_t len);
/** BAR 0: a read that covers offset 0 with 4 bytes runs the call. */
void vbus_bridge_regs_read(struct vbus_bridge *b, uint64_t off, void *buf, uint32_t len);
/** BAR 1: a write to a signal register. */
void vbus_bridge_signal_write(struct vbus_bridge *b, uint64_t off, uint32_t value);
/** The same by name, for media that have no registers: @return the call's result. */
int32_t vbus_bridge_call(struct vbus_bridge *b, uint32_t vector, uint64_t datap, uint32_t len);
/** shmsignal without a handle (the kick eventfd of DECISIONS 24): look at every block whose signal is set. */
void vbus_bridge_kick(struct vbus_bridge *b);
/** PCI configuration space, 256 bytes. Write handles the command register's bus master bit. */
void vbus_bridge_config_read(struct vbus_bridge *b, uint32_t off, void *buf, uint32_t len);
void vbus_bridge_config_write(struct vbus_bridge *b, uint32_t off, const void *buf, uint32_t len);

#define VBUS_BAR0_SIZE 4096u
#define VBUS_BAR1_SIZE 32u

/** For telemetry. Every field is a counter since the bridge was made, or a state. */
struct vbus_bridge_info {
	bool peer, negotiated, events_ready;
	uint64_t capabilities;
	uint64_t nb_sessions, nb_resets, nb_calls, nb_fast_calls, nb_failed_calls, nb_signals_in;
	uint64_t nb_events, nb_events_held_max, nb_irqs, nb_faults;
	uint32_t nb_channels, nb_conns, nb_shms, nb_events_held;
};
void vbus_bridge_info(const struct vbus_bridge *b, struct vbus_bridge_info *info);

#endif /* VBUS_BRIDGE_H */
