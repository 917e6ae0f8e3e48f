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
struct vbus_link_state;
struct vbus_memmap;

/** Connector: the south glue that carries a bridge over a medium. */
struct vbus_connector_ops {
	const char *name; /**< "null", "vfio-user" */
	/** Raise north's interrupt (vector 0). Control lock held. Must not block. */
	void (*irq)(void *arg);
	/**
	 * Is it a line (INTx) and not a message? Then north is asked to write a port after each
	 * batch of events: a hypervisor holds the line until north touches a BAR. NULL: a message.
	 */
	bool (*irq_is_line)(void *arg);
	/** The bus goes, or the connector is replaced: end the session, free everything, leave no file. */
	void (*stop)(void *arg);
	/** For telemetry and logs: one line ("listening on PATH", "peer PID 123"). */
	void (*describe)(void *arg, char *buf, size_t size);
	/** Interrupts that the medium has brought and carried besides. NULL: it has none. */
	void (*irq_counts)(void *arg, uint64_t *came, uint64_t *sent);
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
/**
 * Reset: every device is closed, event queue and channels are dropped, north's memory is not
 * touched any more (section 7.13); the memory map stays. With @p function_reset (DEVICE_RESET)
 * device ids start again and configuration space and registers are as at power-on; without (bus
 * master 1 -> 0, which vbus_bridge_config_write() finds by itself) neither.
 */
void vbus_bridge_reset(struct vbus_bridge *b, bool function_reset);

/* Behind a keeper (ADR-0016); no session is open. */

/**
 * Use this state from here on, and the descriptor; both are the bridge's. Devices that are on the bus
 * find their slots by name and class.
 */
void vbus_bridge_take_state(struct vbus_bridge *b, struct vbus_link_state *ls, int ls_fd);
/**
 * Open the session that the state describes, with all that it has open.
 * @param fd_of  a descriptor of north's memory by st_dev and st_ino, which stays the caller's; -1: none
 * @param redo  number plus 1 of the message that will be served again; 0: none
 * @return 0, or a negative errno: vbus_bridge_session_close() what there is
 */
int vbus_bridge_session_adopt(struct vbus_bridge *b,
	int (*fd_of)(void *arg, uint64_t dev, uint64_t ino), void *arg, uint64_t redo);
/** The call or signal that comes is of that message; @p redo: it was served before, perhaps. */
void vbus_bridge_call_begins(struct vbus_bridge *b, uint64_t nr, bool redo);
/** Stop to use north's memory and give the state back: what is done from now on changes a copy. */
void vbus_bridge_leave(struct vbus_bridge *b);

/** The session's memory map: the connector adds and removes regions. */
struct vbus_memmap *vbus_bridge_memmap(struct vbus_bridge *b);

/**
 * BAR 0: write of 1, 2, 4, 8 (any) bytes at @p off; the call descriptor is latched. With
 * VBUS_CAP_DOORBELL whole words behind VBUS_PCI_DOORBELL are signals.
 */
void vbus_bridge_regs_write(struct vbus_bridge *b, uint64_t off, const void *buf, uint32_t len);
/** BAR 0: a read of 4 or more bytes at offset 0 runs the call; others give back what was latched. */
void vbus_bridge_regs_read(struct vbus_bridge *b, uint64_t off, void *buf, uint32_t len);
/** BAR 1: a write to a signal register. */
void vbus_bridge_signal_write(struct vbus_bridge *b, uint64_t off, uint32_t value);
/**
 * The same by name, for media that have no registers.
 * @return the call's result: >= 0, or a negated errno. Those of the bridge itself: -ENOTCONN no
 *         session; -ENOSYS unknown vector; -EINVAL wrong length, magic, version, ring, channel or
 *         signal offset; -EPROTO before NEGOTIATE; -EFAULT not in north's memory; -ENODEV unknown
 *         device id; -ENOENT unknown handle or channel; -EBUSY device open or queue registered
 *         already; -EEXIST block id shared already; -ENOSPC no slot left.
 */
int32_t vbus_bridge_call(struct vbus_bridge *b, uint32_t vector, uint64_t datap, uint32_t len);
/** shmsignal without a handle (the kick eventfd of DECISIONS 24): look at every block whose signal is set. */
void vbus_bridge_kick(struct vbus_bridge *b);
/** Events lie unread and north was told to look: what INTx's status says. */
bool vbus_bridge_irq_outstanding(const struct vbus_bridge *b);
/** North has an event queue and has read all of it: an interrupt that was put off is not needed. */
bool vbus_bridge_irq_served(const struct vbus_bridge *b);
/** PCI configuration space, 256 bytes. Write handles the command register's bus master bit. */
void vbus_bridge_config_read(struct vbus_bridge *b, uint32_t off, void *buf, uint32_t len);
void vbus_bridge_config_write(struct vbus_bridge *b, uint32_t off, const void *buf, uint32_t len);

#define VBUS_BAR0_SIZE 4096u
#define VBUS_BAR1_SIZE 32u

/** The link's state (link_state.h): a connector keeps its session in the `vfu` area. Never NULL. */
struct vbus_link_state *vbus_bridge_link_state(struct vbus_bridge *b);

/** X(name, "counter name"): why a call or a signal of north was refused. */
#define VBUS_BRIDGE_REFUSALS(X)             \
	X(NO_SESSION, "refused_no_session") \
	X(STATE, "refused_wrong_state")     \
	X(VECTOR, "refused_unknown_vector") \
	X(LENGTH, "refused_bad_length")     \
	X(ADDRESS, "refused_bad_address")   \
	X(MAGIC, "refused_bad_magic")       \
	X(RING, "refused_bad_ring")         \
	X(CHANNEL, "refused_bad_channel")   \
	X(DEVICE, "refused_unknown_device") \
	X(HANDLE, "refused_unknown_handle") \
	X(EXISTS, "refused_twice")          \
	X(SIGNAL, "refused_bad_signal")     \
	X(SPACE, "refused_no_space")        \
	X(CLASS, "refused_by_device")
#define VBUS_BRIDGE_REFUSAL_ENUM(name, text) VBUS_REFUSED_##name,
enum vbus_bridge_refusal {
	VBUS_BRIDGE_REFUSALS(VBUS_BRIDGE_REFUSAL_ENUM) VBUS_REFUSED_NB
};
/** The counter's name; never NULL. Any thread. */
const char *vbus_bridge_refusal_name(enum vbus_bridge_refusal why);

/** For telemetry. Every field is a counter since the bridge was made, or a state. */
struct vbus_bridge_info {
	bool peer, negotiated, events_ready;
	const char *
		fault; /**< NULL, or why the link was faulted (static text) since the last NEGOTIATE */
	uint64_t capabilities;
	uint64_t nb_sessions, nb_resets, nb_calls, nb_fast_calls, nb_failed_calls, nb_signals_in;
	uint64_t nb_events, nb_events_held_max, nb_irqs, nb_faults;
	uint32_t nb_channels, nb_conns, nb_shms, nb_events_held;
	uint64_t nb_refused[VBUS_REFUSED_NB];
};
void vbus_bridge_info(const struct vbus_bridge *b, struct vbus_bridge_info *info);

#endif /* VBUS_BRIDGE_H */
