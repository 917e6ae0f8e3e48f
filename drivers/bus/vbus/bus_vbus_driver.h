/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */
#ifndef BUS_VBUS_DRIVER_H
#define BUS_VBUS_DRIVER_H

/**
 * @file
 * The vbus bus as a driver author sees it: devices found in-band on links, and what can be done with
 * one: open, call, share memory with a signal, close. Drivers for any kind of device are written on
 * this (the Ethernet PMD is one; doc/abi.md section 5 and later describe the kinds).
 *
 * Threads: probe, remove, lost and back run on the bus's worker thread, or on the application
 * thread that plugs or scans; never with the control lock held. The calls below may wait for the
 * peer, at most RTE_VBUS_TIMEOUT_MS each; they are for those threads and for application threads
 * (ethdev operations), never for lcores in a burst and never for the control thread.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rte_interrupts.h>
#include <dev_driver.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default) /* the plugin exports what is declared here */

struct rte_vbus_link;

#define RTE_VBUS_TIMEOUT_MS 1000
#define RTE_VBUS_DROP_MS    3000
/** A probe() that failed for what may pass (-ETIMEDOUT, -EBUSY, -EAGAIN, -ENOMEM) is tried again, first
 * after so long, then after twice as long each time, up to 64 times.
 */
#define RTE_VBUS_RETRY_MS  100
#define RTE_VBUS_TYPE_SIZE 128
#define RTE_VBUS_NAME_SIZE 64

/** A device on a link. Its EAL name is "vbus:LINK.DEV". */
struct rte_vbus_device {
	RTE_TAILQ_ENTRY(rte_vbus_device) next;
	struct rte_device device;	     /**< inherits the core device */
	struct rte_intr_handle *intr_handle; /**< empty, for the driver; the bus frees it */
	struct rte_vbus_link *link;
	const struct rte_vbus_driver *driver; /**< bound driver, or NULL */
	char type[RTE_VBUS_TYPE_SIZE];	      /**< device type on the wire */
	char dev_name[RTE_VBUS_NAME_SIZE];    /**< DEV part of the name */
	char full_name[RTE_DEV_NAME_MAX_LEN];
	uint32_t devid;	 /**< wire id of this session; 0 while the peer is away */
	uint64_t handle; /**< DEVOPEN's, 0: not open */
	bool present;	 /**< announced by a peer that is there */
	void *priv;	 /**< the bus's */
};

struct rte_vbus_driver {
	RTE_TAILQ_ENTRY(rte_vbus_driver) next;
	struct rte_driver driver; /**< inherits the core driver; .name "net_vbus" */
	const char *type;	  /**< device type it serves */
	/**
	 * A device came (DEVADD, or at scan). It is present, not open. 0, or negative errno: stays
	 * unbound.
	 */
	int (*probe)(struct rte_vbus_driver *drv, struct rte_vbus_device *dev);
	/**
	 * It was dropped (DEVDROP) or is detached by the application. The device may be closed
	 * already by the loss of the peer: rte_vbus_close() is harmless then.
	 */
	int (*remove)(struct rte_vbus_device *dev);
	/**
	 * The peer is gone: handle and shared blocks are void, nothing of them is touched by it
	 * any more. The port stays (DECISIONS 13).
	 */
	void (*lost)(struct rte_vbus_device *dev);
	/**
	 * The peer is back and announced the device of that name again: open, share, link up anew.
	 */
	void (*back)(struct rte_vbus_device *dev);
	/**
	 * Optional. DEVDROP came for a bound device: tell the application (RTE_ETH_EVENT_INTR_RMV)
	 * and leave the rest to it, as with other hot-plugged devices: it stops and closes the
	 * port and calls rte_dev_remove(), which runs remove(). An application that has not done
	 * so after RTE_VBUS_DROP_MS has remove() run by the bus. Calls, handle and shared blocks
	 * stay good meanwhile (doc/abi.md 7.15). NULL: remove() at once.
	 */
	void (*dropped)(struct rte_vbus_device *dev);
};

void rte_vbus_register(struct rte_vbus_driver *drv);
void rte_vbus_unregister(struct rte_vbus_driver *drv);

#define RTE_PMD_REGISTER_VBUS(nm, vbus_drv)           \
	RTE_INIT(vbusinitfn_##nm)                     \
	{                                             \
		(vbus_drv).driver.name = RTE_STR(nm); \
		rte_vbus_register(&(vbus_drv));       \
	}

#define RTE_DEV_TO_VBUS(ptr) container_of(ptr, struct rte_vbus_device, device)

/** DEVOPEN. @return 0; -ENODEV not present, -EBUSY open, -ETIMEDOUT, or what south answers. */
int rte_vbus_open(struct rte_vbus_device *dev, uint32_t version);
/**
 * DEVCLOSE: south has left every shared block when it returns; their handles are void. Harmless
 * when not open.
 */
int rte_vbus_close(struct rte_vbus_device *dev);
/**
 * DEVCALL: function @p func of the device.
 * @param[in,out] data  argument block of @p len bytes (any memory, at most 4096; copied), NULL
 * with len 0
 * @return south's result (>= 0), or a negative errno (-ENOTCONN, -ETIMEDOUT, south's).
 */
int rte_vbus_call(struct rte_vbus_device *dev, uint32_t func, void *data, uint32_t len);

/**
 * A shared block on north's side. Fill the first part, pass to rte_vbus_shm(); lives until close.
 */
struct rte_vbus_shm {
	uint32_t id;	       /**< block number of the device ABI */
	void *va;	       /**< memory from rte_vbus_zone() (peer-visible) */
	uint32_t len;	       /**< bytes */
	int32_t signal_offset; /**< of the shm_signal descriptor, -1: none */
	/**
	 * South signalled (SHMSIGNAL event). Control thread (on null links the worker, too),
	 * control lock held: only note it (eventfd).
	 */
	void (*notify)(struct rte_vbus_shm *shm);
	void *arg;
	/* filled by the bus: */
	struct rte_vbus_device *dev;
	int32_t handle;	 /**< for rte_vbus_signal() */
	uint32_t cookie; /**< index of the bus's table: never a pointer on the wire */
};

/** DEVSHM. @return 0 or negative errno. */
int rte_vbus_shm(struct rte_vbus_device *dev, struct rte_vbus_shm *shm);
/**
 * Deliver a signal of this block to south (the shm_signal said so). Any thread, lock-free: one
 * write(2) to the link's kick eventfd. Nothing happens when the peer is gone.
 */
void rte_vbus_signal(const struct rte_vbus_shm *shm);

/**
 * Memory that the peer of the device can see, contiguous for it, zeroed, 64-byte aligned; one per
 * device and tag. Application thread or worker, not with the control lock. Kept until
 * rte_vbus_zone_free(). NULL + rte_errno.
 */
void *rte_vbus_zone(struct rte_vbus_device *dev, const char *tag, size_t len, int socket);
void rte_vbus_zone_free(struct rte_vbus_device *dev, const char *tag);
/**
 * Is a read of the peer's memory slow on this link, so that it pays to have what a side reads near
 * that side? Then rte_vbus_zone() is memory near us, and rte_vbus_zone_far() memory near the peer,
 * which is to be written only; else NULL + ENOTSUP. rte_wmb() between what has an order, since it may be
 * mapped write-combining, unless rte_vbus_far_cached(): a file of this machine, for which the ring's own
 * barriers do. To be asked again in each session.
 */
bool rte_vbus_has_far(const struct rte_vbus_device *dev);
bool rte_vbus_far_cached(const struct rte_vbus_device *dev);
void *rte_vbus_zone_far(struct rte_vbus_device *dev, const char *tag, size_t len);
/** Address of peer-visible memory (zones, mbuf pools) as the peer knows it. */
uint64_t rte_vbus_addr(const struct rte_vbus_device *dev, const void *va);
/**
 * Where in a struct rte_mbuf the buffer's north address stands: offsetof(buf_iova), or
 * offsetof(buf_addr) on links whose addresses are virtual ones (null). For the fast path:
 * *(uint64_t *)((char *)mbuf + offset).
 */
size_t rte_vbus_mbuf_addr_offset(const struct rte_vbus_device *dev);
/**
 * Can the peer see this address range (its memory has a descriptor and is mapped)? Else the driver
 * copies.
 */
bool rte_vbus_visible(const struct rte_vbus_device *dev, const void *va, size_t len);
/** Is the peer there now? Any thread. */
bool rte_vbus_present(const struct rte_vbus_device *dev);
/**
 * In a secondary process: can it poll rings of the device? True when zones and pools are memory that
 * EAL shares with it, and rte_vbus_signal() has a way to the primary; @p shm is not looked at then.
 * The other calls of this header are the primary's. Probe only (it may ask the primary).
 */
bool rte_vbus_secondary_polls(struct rte_vbus_device *dev);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif /* BUS_VBUS_DRIVER_H */
