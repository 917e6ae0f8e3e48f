/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */
#ifndef VBUS_CORE_H
#define VBUS_CORE_H

/**
 * @file
 * South's objects: device classes, devices, buses, connections, shared blocks.
 *
 * Everything here is called with the control lock held (vbus_ctl_lock()) unless a function says
 * otherwise; nothing here waits for a peer.
 *
 *     class  --makes-->  device  --sits on-->  bus  --seen through one-->  bridge  <--carried by-- connector
 *                          \__ connection (north opened it) __ shared blocks (rings, pools)
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "vbus_ioq.h"
#include "vbus_memmap.h"

#define VBUS_NAME_MAX  24 /**< device, bus and link names: [A-Za-z0-9_-]{1,24} (DECISIONS 8) */
#define VBUS_NAME_SIZE 32 /**< room for a name and its NUL */

struct rte_tel_data;
struct vbus_bridge;
struct vbus_bus;
struct vbus_conn;
struct vbus_device;
struct vbus_shm;

/** Is @p name a legal device, bus or link name? Any thread. */
bool vbus_name_valid(const char *name);

/* ---- classes ---------------------------------------------------------------------------------- */

/** What a kind of device does. All run with the control lock held; none may wait for a peer. */
struct vbus_class_ops {
	/** A device is made / deleted. Fill dev->priv from @p args (class-specific struct, may be NULL). */
	int (*create)(struct vbus_device *dev, const void *args);
	void (*destroy)(struct vbus_device *dev);
	/** North opens / closes the device. open: check @p version (device ABI); negative fails the probe.
	 *  close: the data plane must have left every shared block when it returns. */
	int (*open)(struct vbus_conn *conn, uint32_t version);
	void (*close)(struct vbus_conn *conn);
	/**
	 * DEVCALL. @p data is a local copy of @p len bytes (at most VBUS_CALL_MAX); set *@p out to the
	 * number of bytes to write back to north (0: none). @return >= 0 result, < 0 negative errno.
	 */
	int (*call)(struct vbus_conn *conn, uint32_t func, void *data, uint32_t len, uint32_t *out);
	/** DEVSHM: north shares a block (already translated: shm->va). Negative: refused, shm is freed. */
	int (*shm)(struct vbus_conn *conn, struct vbus_shm *shm);
	/** North signalled this block (its receiver side must run: see vbus_signal.h). */
	void (*signal)(struct vbus_conn *conn, struct vbus_shm *shm);
	/**
	 * The connection's device was dropped (close() ran), north still uses the handle (section
	 * 7.15). @p func >= 0: north called this function and gets 0; note what matters. Below 0:
	 * discard what north has put into its rings. dev and priv are NULL; vbus_conn_state() and
	 * the blocks are as close() left them. @return there was something. May be NULL.
	 */
	bool (*dropped)(struct vbus_conn *conn, int func);
	/** The memory view changed: when this returns, no lcore uses the old view nor pointers into it. */
	void (*quiesce)(struct vbus_conn *conn);
	/** After that: shm->va of every block is current (NULL where memory went away). Resume or stay down. */
	void (*rebind)(struct vbus_conn *conn);
	/**
	 * As open(), for a connection that a process before us had open (ADR-0016): the class's state
	 * is as that one left it, blocks are in conn->shms with their cursors. Those that lie nowhere
	 * now have va NULL; rebind() comes when that changes. NULL, or negative: north sees the device
	 * go and come.
	 */
	int (*adopt)(struct vbus_conn *conn);
	/** What the class can tell about a device, as entries of a telemetry dictionary (names say their
	 *  unit; values without nesting). Telemetry thread. May be NULL. */
	void (*telemetry)(struct vbus_device *dev, struct rte_tel_data *d);
};

#define VBUS_CALL_MAX 4096u

struct vbus_class {
	const char *name; /**< in configurations: "venet" */
	const char *type; /**< on the wire: "virtual-ethernet" */
	const struct vbus_class_ops *ops;
	LIST_ENTRY(vbus_class) next;
};

/** Register a class at start-up (constructor: no lock needed there). */
void vbus_class_register(struct vbus_class *cls);
/** @return NULL: no such class. */
struct vbus_class *vbus_class_find(const char *name);

/* ---- devices ---------------------------------------------------------------------------------- */

struct vbus_device {
	char name[VBUS_NAME_SIZE];
	const struct vbus_class *cls;
	void *priv;		/**< the class's */
	struct vbus_bus *bus;	/**< NULL: on none */
	struct vbus_conn *conn; /**< the live connection, or NULL */
	uint32_t devid;	   /**< wire id on the current session of the bridge, 0: not announced */
	uint32_t index;	   /**< slot in the link state of its bus */
	const char *fault; /**< NULL: healthy; else the reason (static text) */
	uint64_t nb_faults;
	TAILQ_ENTRY(vbus_device) next;	   /**< all devices */
	TAILQ_ENTRY(vbus_device) bus_next; /**< of its bus */
};

/**
 * Make a device, on no bus yet. Two devices may have the same name as long as they do not meet on
 * one bus: vbus_device_attach() refuses that.
 * @return NULL and errno: EINVAL name, ENOENT class, ENOMEM, or what the class says.
 */
struct vbus_device *vbus_device_create(const char *name, const char *cls, const void *args);
/** Detach (as vbus_device_detach()) and delete. */
void vbus_device_delete(struct vbus_device *dev);
/** The first device of that name, or NULL. vbus_bus_device() is exact. */
struct vbus_device *vbus_device_find(const char *name);
/**
 * Put on a bus: announced with DEVADD when a session is up.
 * @return 0; -EBUSY: sits on a bus; -EEXIST: its name is on that bus; -ENOSPC: the bus is full
 *         (VBUS_BUS_DEVICES_MAX).
 */
int vbus_device_attach(struct vbus_device *dev, struct vbus_bus *bus);
#define VBUS_BUS_DEVICES_MAX 4096u
/** Take off its bus: DEVDROP. The handle stays callable for north (section 7.15), and is dead for the class:
 *  class close() ran when this returns. On no bus: nothing. */
void vbus_device_detach(struct vbus_device *dev);
/** Walk all devices: pass NULL first. */
struct vbus_device *vbus_device_next(struct vbus_device *prev);

/** The device of that name on @p bus, or NULL. */
struct vbus_device *vbus_bus_device(struct vbus_bus *bus, const char *name);

/* ---- buses ------------------------------------------------------------------------------------ */

struct vbus_bus {
	char name[VBUS_NAME_SIZE];
	TAILQ_HEAD(, vbus_device) devices;
	uint32_t nb_devices;
	uint32_t refs;		    /**< users: vdevs, links by null=, configuration */
	struct vbus_bridge *bridge; /**< south half of the register protocol; made with the bus */
	struct vbus_connector *connector; /**< NULL: none yet */
	bool no_ports;	 /**< the function has no BAR 1; to be set before the connector */
	bool far_cached; /**< a window's: ordinary memory, whose stores arrive in their order */
	TAILQ_ENTRY(vbus_bus) next;
};

/** Get (make at first mention) the bus @p name; counted. @return NULL and errno (EINVAL, ENOMEM). */
struct vbus_bus *vbus_bus_get(const char *name);
/** Drop one user; at the last the connector stops, devices are detached, the bus goes. */
void vbus_bus_put(struct vbus_bus *bus);
struct vbus_bus *vbus_bus_find(const char *name);
struct vbus_bus *vbus_bus_next(struct vbus_bus *prev);

/* ---- connections and shared blocks ------------------------------------------------------------ */

/** A block that north shared with DEVSHM. */
struct vbus_shm {
	uint32_t id;  /**< the device's number of it */
	uint32_t len; /**< bytes */
	uint64_t iova;
	uint8_t *va;	 /**< our pointer, all of len contiguous; NULL while not mapped */
	uint32_t index;	 /**< slot in the link state */
	uint32_t handle; /**< what north writes to signals.shmsignal; valid with has_signal */
	bool has_signal;
	uint32_t signal_offset; /**< of the shm_signal descriptor in the block; 16 bytes fit */
	bool deaf;		/**< the class never wants signal() for it; set in its shm() */
	uint64_t cookie;	/**< north's, sent back in SHMSIGNAL and SHMCLOSE */
	struct vbus_ioq_cursor
		*cursor; /**< a line of the link state for a ring's private cursors */
	struct vbus_conn *conn;
	LIST_ENTRY(vbus_shm) next;
};

/** A device that north has opened. */
struct vbus_conn {
	struct vbus_bridge *bridge;
	struct vbus_device *dev; /**< NULL after the device was dropped (calls answer 0, 7.15) */
	const struct vbus_class *cls;
	uint64_t handle;
	uint32_t version;
	uint32_t index; /**< slot in the link state */
	void *priv;	/**< the class's */
	LIST_HEAD(, vbus_shm) shms;
	LIST_ENTRY(vbus_conn) next;
	TAILQ_ENTRY(vbus_conn) dropped_next; /**< with dev NULL: oldest first */
};

/** Find a block of the connection by its id. NULL: none. */
struct vbus_shm *vbus_conn_shm(struct vbus_conn *conn, uint32_t id);
/** The current memory view of the connection's link (control lock held; queues cache it). */
const struct vbus_memview *vbus_conn_view(const struct vbus_conn *conn);
/** The bridge capabilities that north negotiated (0: a v2 driver). */
uint64_t vbus_conn_bridge_caps(const struct vbus_conn *conn);
/** Class-private plain data of the connection in the link state: VBUS_CONN_STATE_SIZE bytes, 64-byte
 *  aligned, zero at open. What must survive a restart lives here (negotiated capabilities, link up ...). */
void *vbus_conn_state(struct vbus_conn *conn);
#define VBUS_CONN_STATE_SIZE 512u
/** More of it, VBUS_CONN_LOG_SIZE bytes, for what is under way; as the slot's last user left it. */
void *vbus_conn_log(struct vbus_conn *conn);
#define VBUS_CONN_LOG_SIZE 4096u
/** North broke the protocol of this device: count, log (limited), mark; the class must have stopped it. */
void vbus_conn_fault(struct vbus_conn *conn, const char *reason);

/**
 * Deliver a signal of @p shm to north (its shm_signal said so: vbus_signal_inject() returned true).
 * Any thread, lock NOT needed: sets a bit and kicks the control thread (one eventfd write when none is
 * pending), which queues the SHMSIGNAL event and raises the interrupt. For the null connector too.
 * Must not run after the connection's class close() returned.
 */
void vbus_shm_notify(struct vbus_shm *shm);

#endif /* VBUS_CORE_H */
