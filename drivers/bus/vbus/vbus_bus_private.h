/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers */
#ifndef VBUS_BUS_PRIVATE_H
#define VBUS_BUS_PRIVATE_H

/**
 * @file
 * The bus driver's inside. What is where:
 *
 *     vbus_bus.c       EAL's view: scan, probe, plug, unplug, find; op table
 *     vbus_devargs.c   arguments and names, as text
 *     vbus_device.c    device records, and what drivers are told
 *     vbus_link.c      links: start, stop, retry, up, lost
 *     vbus_link_tel.c  links in telemetry
 *     vbus_negotiate.c NEGOTIATE and QREG
 *     vbus_events.c    the event ring
 *     vbus_calls.c     bridge and device calls, queued per link
 *     vbus_shm.c       shared blocks and their signals
 *     vbus_zone.c      memory that the peer sees; addresses
 *     vbus_memory.c    EAL's memory as the peers know it; memory hot-add
 *     vbus_link_*.c    transports, behind struct vbus_link_ops
 *     vbus_pci.c       PCI functions that DPDK's PCI bus finds
 *     vbus_pci_io.c    their registers
 *
 * Everything is under the control lock unless a comment says otherwise
 * (ADR-0002).
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include <bus_driver.h>
#include <rte_log.h>

#include <vbus/device.h>
#include <vbus/pci.h>

#include "bus_vbus_driver.h"
#include "vbus_ctl.h"
#include "vbus_ioq.h"
#include "vbus_log.h"
#include "vbus_signal.h"

extern int vbus_bus_logtype; /* "vbus.bus" */

#define BUS_LOG(level, fmt, ...) \
	rte_log(RTE_LOG_##level, (uint32_t)vbus_bus_logtype, "vbus: " fmt "\n", ##__VA_ARGS__)

#define VBUS_BUS_NAME_MAX  24u /* link and device names */
#define VBUS_BUS_NAME_SIZE 32u
#define VBUS_BUS_PATH_SIZE 108u /* sun_path */
#define VBUS_BUS_EVENTS	   1024u
#define VBUS_BUS_DEVS_MAX  65536u /* a south that announces more is not believed */
#define VBUS_BUS_CALL_MAX  4096u
#define VBUS_BUS_WAIT_MS   1000u
#define VBUS_NS_PER_MS	   1000000ULL

/* ---- vbus_devargs.c: free of state and of EAL ---------------------------------------------- */

enum vbus_link_kind {
	VBUS_LINK_SOCKET,
	VBUS_LINK_NULL,
	VBUS_LINK_WINDOW,
	VBUS_LINK_PCI, /* not by devargs of this bus */
};

struct vbus_link_args {
	enum vbus_link_kind kind;
	char path[VBUS_BUS_PATH_SIZE]; /* SOCKET, WINDOW; PCI: the function's address */
	char bus[VBUS_BUS_NAME_SIZE];  /* NULL */
	uint64_t size;		       /* WINDOW: bytes, 0: as it is */
	bool side_a;		       /* WINDOW: we are side A, our south serves link A */
	uint32_t wait_ms;
};

/* A name of the bus, taken apart: "vbus:LINK" or "vbus:LINK.DEV". */
struct vbus_bus_name {
	char link[VBUS_BUS_NAME_SIZE];
	char dev[VBUS_BUS_NAME_SIZE]; /* "": the link itself */
};

bool vbus_bus_word_valid(const char *name, size_t len);
/* 0, or -EINVAL: not one of ours. */
int vbus_bus_name_parse(const char *text, struct vbus_bus_name *name);
/* What follows the first comma of a link's devargs. 0, or -EINVAL and a line in err. */
int vbus_link_args_parse(const char *text, struct vbus_link_args *args, char *err, size_t err_size);
/* Devargs of a PCI function: wait=, and of one that is a window side=. The same results. */
int vbus_link_pci_args_parse(
	const char *text, bool window, struct vbus_link_args *args, char *err, size_t err_size);
/* LINK for a PCI function: "pci-0000-00-04-0". 0, or -ENAMETOOLONG. */
int vbus_bus_pci_name(char out[VBUS_BUS_NAME_SIZE], uint32_t domain, uint8_t bus, uint8_t devid,
	uint8_t function);
bool vbus_link_args_equal(const struct vbus_link_args *a, const struct vbus_link_args *b);
/* DEV part for a device: the name from DEVNAME if it is a legal one, else TYPE-ID, made legal. */
void vbus_bus_device_name(
	char out[VBUS_BUS_NAME_SIZE], const char *name, const char *type, uint32_t id);

/* ---- what EAL can find: links and devices, in one list ------------------------------------- */

struct vbus_node {
	TAILQ_ENTRY(vbus_node) next;
	struct rte_device *rdev;
	struct vbus_dev *dev;	    /* or */
	struct rte_vbus_link *link; /* this */
	uint32_t refs;		    /* walkers; freed at 0 after it left the list */
	bool gone;
};
TAILQ_HEAD(vbus_nodes, vbus_node);

extern struct vbus_nodes vbus_nodes;

void vbus_node_add(struct vbus_node *n);
void vbus_node_del(struct vbus_node *n);
/* Free a node's link or device record some time after nothing of ours refers to it: EAL and
 * applications may still hold the rte_device for the rest of a call. */
void vbus_node_bury(struct vbus_node *n);
void vbus_nodes_free(void);

/* ---- devices ------------------------------------------------------------------------------- */

struct vbus_zone {
	LIST_ENTRY(vbus_zone) next;
	char tag[32];
	void *va;
	const struct rte_memzone *mz; /* NULL: va is from rte_malloc */
};

struct vbus_dev {
	struct rte_vbus_device pub; /* first: what drivers see */
	struct vbus_node node;
	TAILQ_ENTRY(vbus_dev) dirty_next;
	uint32_t session;   /* of the link, while announced; 0: not */
	uint32_t applied;   /* session that the driver knows; 0: it was told lost */
	bool dirty;	    /* in the link's list of devices to look at */
	bool busy;	    /* a thread runs driver callbacks for it */
	bool idle;	    /* !busy, for vbus_ctl_wait() */
	bool dropped;	    /* DEVDROP came (or it did not come back): no way back */
	bool told;	    /* driver->dropped was called */
	bool force;	    /* the application had its time: remove now */
	bool detached;	    /* by the application: unbound until it attaches it again */
	bool blocked;	    /* by -b, or by an -a of other devices of the link */
	bool failed;	    /* probe failed in this session */
	bool removed;	    /* out of all lists */
	uint8_t nb_retries; /* probes in a row that failed for what passes */
	bool eal_memory;    /* in a secondary process: its zones are EAL's memory */
	struct vbus_ctl_timer drop_timer;
	struct vbus_ctl_timer retry_timer; /* the next of them */
	LIST_HEAD(, vbus_zone) zones;
	struct rte_devargs *own_devargs; /* a copy of those given at start, or NULL */
};

static inline struct vbus_dev *
vbus_dev_of(const struct rte_vbus_device *dev)
{
	return (struct vbus_dev *)(uintptr_t)dev->priv;
}

TAILQ_HEAD(vbus_devs_dirty, vbus_dev);
RTE_TAILQ_HEAD(rte_vbus_device_list, rte_vbus_device);

/* Name and type of a device that DEVADD (and DEVNAME) told; name "" without DEVNAME. */
void vbus_dev_announced(
	struct rte_vbus_link *link, uint32_t id, const char *type, const char *name);
void vbus_dev_dropped(struct rte_vbus_link *link, uint32_t id);
/* The same for all, and nothing is announced any more. */
void vbus_dev_drop_all(struct rte_vbus_link *link);
/* The peer is gone: every device is absent from now on. */
void vbus_dev_all_lost(struct rte_vbus_link *link);
/* Those that did not come back are dropped. */
void vbus_dev_reap(struct rte_vbus_link *link);
/* The worker's part of a link: driver callbacks for what changed. Lock NOT held. */
void vbus_dev_work(struct rte_vbus_link *link);
/* Application: bind, unbind. Lock NOT held. 0 or negative errno. */
int vbus_dev_plug(struct vbus_dev *d);
int vbus_dev_unplug(struct vbus_dev *d);
/* Unbind and forget all (link stops). Lock NOT held. @return 0, or -EBUSY: a driver refused. */
int vbus_dev_remove_all(struct rte_vbus_link *link);
void vbus_dev_free(struct vbus_dev *d);
struct rte_vbus_driver *vbus_driver_find(const char *type);

/* ---- secondary processes: what EAL asks of the bus there ------------------------------------ */

/* Primary: answer what devices there are. */
void vbus_secondary_serve(void);
int vbus_secondary_scan(void);
int vbus_secondary_probe(void);
int vbus_secondary_plug(struct rte_device *rdev);
int vbus_secondary_unplug(struct rte_device *rdev);
int vbus_secondary_cleanup(void);
/* Primary: no more signals of secondary processes. Lock NOT held. */
void vbus_secondary_stop(void);
/* Where a secondary process writes its signals to (see vbus_secondary.c); -1: in the primary. */
extern int vbus_secondary_kick_fd;

/* ---- allow and block lists (captured at the first scan; ADR-0007) -------------------------- */

bool vbus_filter_allows(const char *link, const char *dev);
/* Devargs given at start for the device; a copy that the caller frees with
 * vbus_devargs_free(). */
struct rte_devargs *vbus_filter_devargs(const char *link, const char *dev);
void vbus_devargs_free(struct rte_devargs *da);

/* ---- calls --------------------------------------------------------------------------------- */

struct vbus_call;
typedef void (*vbus_call_fn)(struct rte_vbus_link *link, struct vbus_call *c);

struct vbus_call {
	TAILQ_ENTRY(vbus_call) next;
	uint32_t vector;     /* bridge call */
	uint32_t dev_vector; /* device call of a SLOWCALL */
	uint32_t block_len;
	uint32_t data_len;
	int32_t result;
	bool done;
	bool abandoned;	 /* nobody waits any more: free it when it is done */
	vbus_call_fn fn; /* runs when done and frees it; NULL: somebody waits */
	void *arg;
	union {
		struct vbus_pci_negotiate negotiate;
		struct vbus_pci_busreg busreg;
		struct vbus_pci_devname devname;
		struct vbus_pci_deviceopen devopen;
		struct vbus_pci_deviceclose devclose;
		struct vbus_pci_devicecall devcall;
		struct vbus_pci_deviceshm devshm;
		uint8_t bytes[128];
	} block;	/* in and out: private copy */
	uint8_t data[]; /* DEVCALL: in and out */
};
TAILQ_HEAD(vbus_calls, vbus_call);

/* A call with room for data_len bytes. Any thread, no lock. NULL: no memory. */
struct vbus_call *vbus_call_new(uint32_t vector, uint32_t block_len, uint32_t data_len);
/* Queue it. It completes always: by a reply, or when the link is lost. */
void vbus_call_submit(struct rte_vbus_link *link, struct vbus_call *c);
/* Submit, and wait. @return true: c->result is set, the caller frees c; false: timed out, c is
 * forgotten. */
bool vbus_call_run(struct rte_vbus_link *link, struct vbus_call *c);
/* The transport: the call that is under way has this result. */
void vbus_call_done(struct rte_vbus_link *link, int32_t result);
void vbus_call_fail_all(struct rte_vbus_link *link, int32_t status);

/* ---- shared blocks ------------------------------------------------------------------------- */

struct vbus_shm_slot {
	struct rte_vbus_shm *shm; /* NULL: free */
	uint32_t gen;		  /* upper half of the cookie: a late event finds nothing */
	uint32_t next_free;
};

struct vbus_shm_table {
	struct vbus_shm_slot *slots;
	uint32_t size;
	uint32_t first_free; /* index + 1; 0: none */
};

/* SHMSIGNAL and SHMCLOSE. @return false: no such cookie. */
bool vbus_shm_event(struct rte_vbus_link *link, uint64_t cookie, bool close);
/* The blocks of a device are void (NULL: of all). */
void vbus_shm_forget(struct rte_vbus_link *link, const struct rte_vbus_device *dev);
/* For transports without a kick descriptor: post a signal for each block that has one set. */
void vbus_shm_post_signals(struct rte_vbus_link *link);

/* ---- transports ---------------------------------------------------------------------------- */

struct vbus_link_ops {
	const char *name;
	bool identity; /* addresses are this process's virtual ones */
	bool dma;      /* the peer reaches all memory that has a north address */
	/* Once, at start; makes link->transport. Lock held. 0 or negative errno with a line in
	 * err. */
	int (*start)(struct rte_vbus_link *link, char *err, size_t err_size);
	/* Free link->transport (disconnected already). Lock held. */
	void (*stop)(struct rte_vbus_link *link);
	/* Begin to connect: ends in vbus_link_connected() or vbus_link_fail().
	 * @return 0: under way or done; negative errno and a line in err: not now. */
	int (*connect)(struct rte_vbus_link *link, char *err, size_t err_size);
	/* Drop the connection or the attempt; nothing of it comes back. Idempotent.
 */
	void (*disconnect)(struct rte_vbus_link *link);
	/* Run a bridge call. @return 1: done, *result is set; 0: vbus_call_done() follows;
	 * negative: no. */
	int (*call)(struct rte_vbus_link *link, uint32_t vector, uint64_t datap, uint32_t len,
		int32_t *result);
	/* Write a signal register. */
	void (*signal)(struct rte_vbus_link *link, uint32_t off, uint32_t value);
	/* Signal a shared block. Any thread, no lock. NULL: by the link's kick descriptor. */
	void (*kick)(const struct rte_vbus_link *link, uint32_t handle);
	/* EAL's memory grew or shrank; done(arg) is called when the peer has answered, or it
	 * is gone. NULL ops: not needed. */
	int (*map)(struct rte_vbus_link *link, uint64_t iova, uint64_t len, int fd, uint64_t offset,
		void (*done)(void *arg), void *arg);
	int (*unmap)(struct rte_vbus_link *link, uint64_t iova, uint64_t len,
		void (*done)(void *arg), void *arg);
	/* The medium has memory of its own, and the peer sees nothing else (window): from start to
	 * stop. NULL ops: EAL's memory. Some of it lies near the peer. alloc: zeroed, 64-byte aligned, or NULL and errno. alloc and
	 * free with the lock held, the others on any thread. */
	void *(*alloc)(struct rte_vbus_link *link, size_t len, bool far);
	void (*free)(struct rte_vbus_link *link, void *va);
	uint64_t (*addr)(const struct rte_vbus_link *link, const void *va);
	bool (*visible)(const struct rte_vbus_link *link, const void *va, size_t len);
};

extern const struct vbus_link_ops vbus_link_socket_ops;
extern const struct vbus_link_ops vbus_link_null_ops;
extern const struct vbus_link_ops vbus_link_pci_ops;
extern const struct vbus_link_ops vbus_link_window_ops;

/* ---- links --------------------------------------------------------------------------------- */

enum vbus_link_state {
	VBUS_LINK_IDLE,	      /* known, not started */
	VBUS_LINK_WAITING,    /* no peer; retry timer runs */
	VBUS_LINK_CONNECTING, /* the transport's business */
	VBUS_LINK_NEGOTIATING,
	VBUS_LINK_UP,
};

/* What the peer sees of a link: one block of memory. */
struct vbus_link_shared {
	uint8_t bridge_block[128];
	struct vbus_pci_call_desc slow __attribute__((aligned(64)));
	uint8_t dev_block[128] __attribute__((aligned(64)));
	uint8_t data[VBUS_BUS_CALL_MAX] __attribute__((aligned(64)));
	struct vbus_pci_event slots[VBUS_BUS_EVENTS] __attribute__((aligned(64)));
	/* At 8 mod 64: its descriptors are line-aligned then. */
	uint8_t ring_pad[8] __attribute__((aligned(64)));
	uint8_t ring[IOQ_RING_SIZE(VBUS_BUS_EVENTS)];
};

struct vbus_link_stats {
	uint64_t nb_connects, nb_lost, nb_calls, nb_failed_calls, nb_timeouts, nb_events,
		nb_bad_events;
	uint64_t nb_devadd, nb_devdrop, nb_shmsignal, nb_shmclose, nb_irqs, nb_unbound;
	uint64_t nb_window_irqs, nb_window_rings; /* of a window that has them */
};

/* A device whose name is being asked for. */
struct vbus_announce {
	TAILQ_ENTRY(vbus_announce) next;
	uint32_t id;
	bool dropped;
	char type[RTE_VBUS_TYPE_SIZE];
};

struct rte_vbus_link {
	TAILQ_ENTRY(rte_vbus_link) next;
	struct vbus_node node;
	struct rte_device device; /* for EAL: "vbus:NAME", bound to vbus_link_driver once started */
	char name[VBUS_BUS_NAME_SIZE];
	char full_name[RTE_DEV_NAME_MAX_LEN];
	struct vbus_link_args args;
	const struct vbus_link_ops *ops;
	void *transport;
	void *origin;	  /* PCI: the struct rte_pci_device */
	bool origin_gone; /* it is to be removed */
	bool no_ports;	  /* of the function: signals go to the doorbell or nowhere */
	bool far_cached;  /* the transport's far memory is ordinary memory */
	bool polled;	  /* the transport looks at the event ring: south shall not interrupt */

	enum vbus_link_state state;
	uint32_t session; /* counts connections; 0 before the first */
	bool changing;	  /* a thread starts or stops it */
	bool stopping;
	bool working;	  /* the worker is in vbus_dev_work() */
	bool not_working; /* !working, for vbus_ctl_wait() */
	bool settled;	  /* up, every announced device was offered to its driver */
	uint64_t caps;
	uint32_t retry_ms;
	struct vbus_ctl_timer retry_timer, events_timer, grace_timer, fail_timer;
	struct vbus_ctl_job job;
	char reason[128];	 /* why there is no peer: to say it once */
	const char *fail_reason; /* for fail_timer */
	struct vbus_log_limit log_limit;

	struct vbus_link_shared *shared;
	const struct rte_memzone *shared_mz;
	struct vbus_ioq_north events;
	uint64_t event_cookies[VBUS_BUS_EVENTS];
	struct vbus_signal event_sig;

	struct vbus_calls calls;
	struct vbus_call *active;
	bool pumping;

	struct rte_vbus_device_list devices;
	struct vbus_devs_dirty dirty;
	uint32_t nb_devices;
	TAILQ_HEAD(, vbus_announce) announces; /* DEVNAME is under way */
	struct vbus_shm_table shms;

	/* For lcores: a descriptor number that stays the same; what it stands for is exchanged
	 * with dup2(). */
	int kick_fd;
	int idle_fd;	       /* an eventfd that nobody reads: kick_fd's meaning without a peer */
	_Atomic uint32_t live; /* there is a peer */
	uint64_t mem_seq;      /* state of EAL's memory that the peer knows (vbus_memory.c) */
	struct vbus_link_stats stats;
};
TAILQ_HEAD(vbus_links, rte_vbus_link);

extern struct vbus_links vbus_links;
extern struct rte_bus vbus_bus;

struct rte_vbus_link *vbus_link_find(const char *name);
/* What it is connected to, as text. */
const char *vbus_link_peer(const struct rte_vbus_link *link);
/* A link that was mentioned. @return NULL and errno. */
struct rte_vbus_link *vbus_link_new(const char *name, const struct vbus_link_args *args);
/* Lock NOT held. */
int vbus_link_start(struct rte_vbus_link *link);
/* Wait until it is settled, or the deadline. Lock NOT held. */
void vbus_link_wait(struct rte_vbus_link *link, uint64_t deadline_ns);
/* Unbind its devices, disconnect, forget. Lock NOT held. 0 or -EBUSY. */
int vbus_link_stop(struct rte_vbus_link *link);
void vbus_link_free(struct rte_vbus_link *link);

/* For transports. */
void vbus_link_connected(struct rte_vbus_link *link);
/* The connection, or the attempt, failed: everything of the session goes, and it is tried
 * again. */
void vbus_link_fail(struct rte_vbus_link *link, const char *reason);
/* The same from a place that still uses the connection: soon, on the control thread. */
void vbus_link_fail_later(struct rte_vbus_link *link, const char *reason /* static text */);
/* The descriptor to kick the peer with; -1: none. */
void vbus_link_set_kick(struct rte_vbus_link *link, int fd);
/* Is it settled now? Wakes those who wait. */
void vbus_link_settle(struct rte_vbus_link *link);
/* Look at the device list soon, on the worker. */
void vbus_link_work(struct rte_vbus_link *link);
/* vbus_negotiate.c calls it when QREG was answered. */
void vbus_link_up(struct rte_vbus_link *link);

/* Telemetry; from start to stop. */
void vbus_link_tel_add(struct rte_vbus_link *link);
void vbus_link_tel_del(struct rte_vbus_link *link);

void vbus_negotiate(struct rte_vbus_link *link);
/* The event ring: format it before QREG; look at it on an interrupt. */
int vbus_events_format(struct rte_vbus_link *link);
void vbus_events_enable(struct rte_vbus_link *link);
void vbus_events_run(struct rte_vbus_link *link);

/* ---- memory -------------------------------------------------------------------------------- */

/* Start and end to follow EAL's memory; counted. Lock NOT held. */
int vbus_memory_get(void);
void vbus_memory_put(void);
/* Call fn for each run that the peer shall map; sets link->mem_seq. Stops at the first error. */
int vbus_memory_map_all(
	struct rte_vbus_link *link, int (*fn)(struct rte_vbus_link *link, uint64_t iova,
					    uint64_t len, int fd, uint64_t offset));
/* Is the range in memory that has a descriptor? Any thread, lock-free. */
bool vbus_memory_visible(const void *va, size_t len);

/* Memory that peers can see, zeroed, 64-byte aligned, contiguous for them. Lock NOT held. NULL
 * + rte_errno. */
void *vbus_zone_alloc(struct rte_vbus_link *link, size_t len, bool far, int socket,
	const struct rte_memzone **mz);
void vbus_zone_release(struct rte_vbus_link *link, void *va, const struct rte_memzone *mz);
/* Of a device that leaves its link: what is the medium's. Lock held. */
void vbus_zone_leave(struct vbus_dev *d);
/* The rest, later. Lock NOT held. */
void vbus_zone_free_all(struct vbus_dev *d);
uint64_t vbus_link_addr(const struct rte_vbus_link *link, const void *va);
/* Can the peer reach it? Any thread. */
bool vbus_link_visible(const struct rte_vbus_link *link, const void *va, size_t len);

/* ---- vbus_pci.c ---------------------------------------------------------------------------- */

/* Make the PCI driver known. Before EAL's start. */
void vbus_pci_register(void);

#endif /* VBUS_BUS_PRIVATE_H */
