/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */
#ifndef DP_PLANE_INTERNAL_H
#define DP_PLANE_INTERNAL_H

/**
 * @file
 * Inside of the data plane (ADR-0011): what dp_plane.c, dp_lcore.c, dp_sleep.c, dp_port*.c,
 * dp_switch.c, dp_fdb.c and dp_capture.c share.
 *
 * Three kinds of data:
 * - published: constant, reached through an atomic pointer. The control side replaces it and frees
 *   the old one after every lcore has passed a quiescent state: it waits for that (dp_plane_sync())
 *   or leaves it to dp_plane_defer().
 * - an lcore's own: written by that lcore alone, counters included; others load them relaxed.
 * - the control side's: everything else.
 */

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <rte_branch_prediction.h>
#include <rte_dev.h>
#include <rte_mbuf.h>
#include <rte_rcu_qsbr.h>
#include <rte_ring.h>

#include "vbus_compat.h"
#include "vbus_ctl.h"
#include "vbus_turns.h"
#include "vbus_venet.h"

#include "dp_plane.h"

#define DP_BURST      64u   /**< frames of one burst; vbus_venet_*_burst() handle as many */
#define DP_LCORES_MAX 64u   /**< lcores that poll: they fit one mask */
#define DP_PORTS_MAX  4096u /**< a power of two */
_Static_assert(DP_PORTS_MAX <= VBUS_TURNS_MAX, "an lcore can have all");
#define DP_HANDOVER   1024u /**< frames on the way from one lcore to another */
#define DP_SEGS_MAX   256u  /**< segments of one TSO frame for an uplink without TSO */
#define DP_MBUF_CACHE 256u
#define DP_TAG_LEN    4u		 /**< of a VLAN tag */
#define DP_L2_LEN     (14u + DP_TAG_LEN) /**< beside the MTU: header and a tag, there or not */

struct dp_capture;
struct dp_hash;
struct dp_lcore;
struct dp_trace;

/** Is there an ethdev behind an uplink? */
enum dp_port_there {
	DP_PORT_THERE,
	DP_PORT_UNPLUGGED, /**< the worker is about to take it away */
	DP_PORT_CLOSED,	   /**< likewise; there is no ethdev any more */
	DP_PORT_GONE	   /**< on no lcore and on no switch; waits to be deleted */
};

/** A line of counters per lcore. */
struct dp_port_counters {
	struct dp_port_stats st;
} VBUS_CACHE_ALIGNED;

struct dp_port {
	/* constant while published */
	uint32_t id;		  /**< generation << 16 | slot; never 0 */
	struct vbus_venet *venet; /**< NULL: an uplink */
	struct dp_lcore *home;	  /**< control side's word for lcore */
	uint16_t eth_id;
	bool wakes; /**< can wake a sleeping lcore */
	uint64_t tx_offloads;
	/* changed by the control side, read once per burst */
	_Atomic(struct dp_lcore *) lcore; /**< polls it, receive and transmit; NULL: it is moving */
	_Atomic(struct dp_port *) peer;	  /**< the other end of a patch */
	_Atomic(struct dp_switch *) sw;
	_Atomic(struct dp_capture *) capture;
	_Atomic(struct dp_trace *) trace;
	_Atomic uint32_t max_len; /**< of a frame that is not looked at, bytes: MTU and DP_L2_LEN */
	/* the lcore's */
	bool armed; /**< asks for wake-ups */
	/* control side */
	atomic_int there; /**< enum dp_port_there; any thread moves it away from DP_PORT_THERE */
	char dev_name[RTE_DEV_NAME_MAX_LEN]; /**< whose events are watched; empty: nobody's */
	struct vbus_device *dev;
	char name[RTE_DEV_NAME_MAX_LEN];
	struct dp_port_counters counters[]; /**< by the lcore that counts */
} VBUS_CACHE_ALIGNED;

/** What rests until no lcore can hold it any more; embed it. */
struct dp_deferred {
	void (*fn)(struct dp_deferred *d);
};

/** Published: the ports that an lcore polls, or those of a switch. */
struct dp_port_list {
	struct dp_deferred deferred; /**< must be first */
	uint32_t nb;
	uint32_t gen; /**< differs between any two */
	struct dp_port *port[];
};

/** A frame on its way to a port that another lcore polls. By id: the port may go meanwhile. */
struct dp_handed {
	struct rte_mbuf *m;
	uint64_t port_id;
};

struct dp_lcore {
	unsigned int lcore; /**< EAL's */
	unsigned int index; /**< ours, and the id in RCU */
	unsigned int socket;
	int wake_fd; /**< eventfd: wakes it from sleep */
	int epfd;    /**< receive interrupts of uplinks */
	struct rte_ring *in
		[DP_LCORES_MAX]; /**< of struct dp_handed, by sender; one producer, one consumer */
	_Atomic(struct dp_port_list *) list;
	/* its own */
	VBUS_CACHE_ALIGNED uint64_t
		kick;	     /**< indices of lcores that were handed frames since the last look */
	uint64_t second_tsc; /**< when now_s moves on */
	uint32_t now_s;	     /**< the TSC in seconds */
	uint32_t armed_gen;  /**< list whose ports were armed */
	uint32_t turns_gen;  /**< list that turns is about */
	bool armed;	     /**< asks for wake-ups, may sleep */
	bool all_wake;	     /**< every port can wake it */
	bool slept;	     /**< just now */
	bool slack_set;
	uint64_t busy_cycles, idle_cycles, sleep_cycles, nb_sleeps;
	struct rte_mbuf *segs[DP_SEGS_MAX];
	struct vbus_turns turns; /**< which of its ports are looked at (ADR-0022) */
	/* its own, but read by those that hand frames over */
	VBUS_CACHE_ALIGNED atomic_bool asleep;
	atomic_bool entered; /**< its loop */
} VBUS_CACHE_ALIGNED;

/** One address. Read and written by all lcores, relaxed: nothing else hangs on it. */
struct dp_fdb_slot {
	_Atomic uint32_t port; /**< id; 0: none (being made or removed) */
	_Atomic uint32_t seen; /**< seconds of TSC */
};

struct dp_switch_counters {
	uint64_t moved;
	uint64_t refused; /**< sources that are another port's own address */
} VBUS_CACHE_ALIGNED;

struct dp_switch {
	_Atomic(struct dp_port_list *) members;
	struct rte_hash *hash;	  /**< 8-byte keys; readers lock-free, writers hold the claim */
	struct dp_fdb_slot *slot; /**< by position in the hash */
	uint64_t *key;		  /**< likewise; 0: free. Written with the claim held */
	_Atomic(struct dp_owner_list *) owners; /**< NULL: none yet */
	uint32_t nb_slots;
	uint32_t size;
	uint32_t ageing_s;
	/* writers take turns */
	VBUS_CACHE_ALIGNED atomic_bool claim;
	uint32_t addresses;
	uint64_t learned, aged, table_full;
	/* control side */
	char name[DP_NAME_SIZE];
	uint32_t nb_ports;
	uint32_t max_len; /**< the largest that a venet of it ever had */
	struct vbus_ctl_timer timer;
	atomic_uint nb_resting; /**< batches of positions out of the hash, not yet given back */
	struct dp_switch_counters counters[];
} VBUS_CACHE_ALIGNED;

enum dp_phase {
	DP_PHASE_STOPPED,
	DP_PHASE_RUN,
	DP_PHASE_DRAIN
};

struct dp_plane {
	_Atomic(struct dp_port *) ports[DP_PORTS_MAX]; /**< by slot */
	struct dp_lcore *lcores[DP_LCORES_MAX];
	unsigned int nb_lcores;
	struct rte_rcu_qsbr *qs;
	struct rte_rcu_qsbr_dq *resting; /**< of struct dp_deferred * */
	atomic_int phase;
	atomic_uint nb_draining; /**< lcores that receive no more */
	atomic_uint nb_left;	 /**< lcores that run */
	atomic_bool adaptive;	 /**< this and idle_tsc: read by lcores at any time, relaxed */
	bool main_polls;
	_Atomic uint64_t idle_tsc;
	/* control side */
	struct rte_mempool *pool[RTE_MAX_NUMA_NODES];
	uint32_t list_gen;
	uint16_t port_gen;
	uint16_t next_slot;
	uint32_t nb_ports;
	pthread_mutex_t lock; /**< of the control side: its callers, and dp_numa.c's job */
	struct vbus_ctl_job numa_job, gone_job;
	bool numa; /**< lcores of several nodes */
};
extern struct dp_plane dp_plane;

/* ---- dp_plane.c -------------------------------------------------------------------------------- */

/** Mbufs of a node (SOCKET_ID_ANY: any), or NULL. Control side. */
struct rte_mempool *dp_plane_pool(int socket);
/** A copy of @p old (may be NULL) without @p del, with @p add; either may be NULL. NULL: no memory. */
struct dp_port_list *dp_port_list_edit(
	const struct dp_port_list *old, const struct dp_port *del, struct dp_port *add);
/** The same without @p del, and without fail: when there is no memory it is @p old itself, changed. */
struct dp_port_list *dp_port_list_drop(struct dp_port_list *old, const struct dp_port *del);
/** @p old is published no more (@p now is): free it when no lcore holds it. */
void dp_port_list_rest(struct dp_port_list *old, const struct dp_port_list *now);
/** TSC in seconds, for any thread. */
uint32_t dp_plane_now_s(void);
/** Write a line for the user. @return @p ret */
int dp_plane_err(char *err, size_t err_size, int ret, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/** The port of an id, or NULL when it is gone. In a burst, or on the control side. */
static inline struct dp_port *
dp_port_by_id(uint32_t id)
{
	/* Acquire: pairs with the release in dp_port.c that publishes the port. */
	struct dp_port *p = atomic_load_explicit(
		&dp_plane.ports[id & (DP_PORTS_MAX - 1)], memory_order_acquire);

	return p != NULL && p->id == id ? p : NULL;
}

/* ---- dp_rcu.c: any thread ------------------------------------------------------------------------ */

int dp_rcu_make(char *err, size_t err_size);
void dp_rcu_free(void);
/** Returns when every lcore has left what was unpublished before the call. */
void dp_plane_sync(void);
/** Do @p fn when every lcore has left what was unpublished before the call; @p d is its. */
void dp_plane_defer(struct dp_deferred *d, void (*fn)(struct dp_deferred *d));
/** Do what can be done of that by now. */
void dp_plane_reclaim(void);

/* ---- dp_lcore.c -------------------------------------------------------------------------------- */

/** The lcore the calling thread polls for, NULL: none. */
extern __thread struct dp_lcore *dp_lcore_self;

/** The polling loop; returns after dp_plane_stop(). */
int dp_lcore_run(void *lcore);
/** @return NULL and errno. */
struct dp_lcore *dp_lcore_new(unsigned int lcore, unsigned int index);
void dp_lcore_free(struct dp_lcore *lc);
/** Rings between every two. @return 0, -ENOMEM */
int dp_lcore_connect(void);
/** The lcore for a new port: the least loaded one of the node. */
struct dp_lcore *dp_lcore_pick(int socket);
/** Add to / take from what an lcore polls; it may poll it until dp_plane_sync(). @return 0, -ENOMEM */
int dp_lcore_add_port(struct dp_port *port);
void dp_lcore_del_port(struct dp_port *port);
/** Hand frames to a port that @p to polls (NULL: nobody, they are dropped); consumes them. */
void dp_lcore_hand_over(struct dp_lcore *lc, struct dp_lcore *to, struct dp_port *port,
	struct rte_mbuf **pkts, uint16_t n);
/** Wake those that were handed something. End of a burst. */
void dp_lcore_kick_others(struct dp_lcore *lc);
/** Wake an lcore, whoever it is. Any thread. */
void dp_lcore_wake(const struct dp_lcore *lc);

/* ---- dp_sleep.c: the lcore's ------------------------------------------------------------------- */

/** Ask for wake-ups of every port of the list that does not yet. */
void dp_sleep_arm(struct dp_lcore *lc, const struct dp_port_list *list);
void dp_sleep_disarm(struct dp_lcore *lc, const struct dp_port_list *list);
/** Armed, and nothing was found: sleep. Leaves and re-enters RCU: no list survives it. */
void dp_sleep_wait(struct dp_lcore *lc);

/* ---- dp_port.c, dp_port_uplink.c --------------------------------------------------------------- */

/** One burst from a port to wherever it leads. @return frames */
uint16_t dp_port_poll(struct dp_lcore *lc, struct dp_port *port);
/** Give frames to a port that @p lc polls itself; consumes them. At most DP_BURST. */
void dp_port_tx(struct dp_lcore *lc, struct dp_port *port, struct rte_mbuf **pkts, uint16_t n);
/** Control side: memory, id, lcore; not published. */
struct dp_port *dp_port_new(const char *name, int socket, char *err, size_t err_size);
void dp_port_free(struct dp_port *port);
/** Polled and member of @p sw from now on. On failure nothing is changed. */
int dp_port_publish(struct dp_port *port, struct dp_switch *sw, char *err, size_t err_size);

/** Nobody polls it, sends to it or has learned it after that. One wait for the lcores. */
void dp_port_unpublish(struct dp_port *port);

uint16_t dp_uplink_rx(
	struct dp_port *port, struct rte_mbuf **pkts, uint16_t n, struct dp_port_stats *st);
/** Transmit; frames that the driver cannot finish are finished here. Consumes them. */
void dp_uplink_tx(struct dp_lcore *lc, struct dp_port *port, struct rte_mbuf **pkts, uint16_t n);
/** Ask for / give up receive interrupts of a port that can wake its lcore. */
void dp_uplink_arm(struct dp_port *port);
void dp_uplink_disarm(struct dp_port *port);
/** Stop it. Nobody polls it any more, and nobody tells of it after that. */
void dp_uplink_stop(struct dp_port *port);
/** @p joined is a member now: uplinks take frames as large as the venets', where the driver can. */
void dp_uplinks_fit(struct dp_switch *sw, struct dp_port *joined);

/** Any port, to another or the same lcore. Consumes the frames. */
static inline void
dp_port_send(struct dp_lcore *lc, struct dp_port *port, struct rte_mbuf **pkts, uint16_t n)
{
	/* Relaxed: what the lcore owns of the port was settled by dp_plane_sync() before. */
	struct dp_lcore *to = atomic_load_explicit(&port->lcore, memory_order_relaxed);

	if (likely(to == lc))
		dp_port_tx(lc, port, pkts, n);
	else
		dp_lcore_hand_over(lc, to, port, pkts, n);
}

static inline struct dp_port_stats *
dp_port_st(struct dp_port *port, const struct dp_lcore *lc)
{
	return &port->counters[lc->index].st;
}

/** Bind the venet behind a published port and set it ready. @return 0, -EBUSY */
int dp_port_bind(struct dp_port *port);

/* ---- dp_uplink_gone.c -------------------------------------------------------------------------- */

/** Listen for an uplink's end; it is published. */
void dp_gone_watch(struct dp_port *port);
void dp_gone_unwatch(struct dp_port *port);

/* ---- dp_numa.c --------------------------------------------------------------------------------- */

/** A venet's link came up: its memory's node may not be its lcore's. Control lock held. */
void dp_numa_look(struct dp_port *port);
/** Several nodes? Decides once, at start. */
void dp_numa_init(void);
/** The node of a venet's memory, -1: not known. A pointer for tests. */
extern int (*dp_numa_node_of)(const struct dp_port *port);

/* ---- dp_switch.c ------------------------------------------------------------------------------- */

/** Send a burst on, to where its addresses say. Consumes the frames. */
void dp_switch_forward(struct dp_lcore *lc, struct dp_switch *sw, struct dp_port *src,
	struct rte_mbuf **pkts, uint16_t n);
/** What it would do with a frame. @p to: the destination, if there is one. @return enum dp_trace_verdict */
uint8_t dp_switch_verdict(struct dp_switch *sw, const struct dp_port *src, const struct rte_mbuf *m,
	struct dp_port **to);
/** Control side. @return 0, -ENOMEM */
int dp_switch_join(struct dp_switch *sw, struct dp_port *port);
/**
 * Leave in two steps, dp_plane_sync() between them: nobody forwards to it from here and it learns
 * nothing here after that; then no address leads to it.
 */
void dp_switch_leave(struct dp_switch *sw, struct dp_port *port);
void dp_switch_left(struct dp_switch *sw, const struct dp_port *port);

/* ---- dp_owner.c -------------------------------------------------------------------------------- */

/** The address of a venet's device belongs to its port; uplinks have none. Control side. @return 0, -ENOMEM */
int dp_owner_join(struct dp_switch *sw, const struct dp_port *port);
void dp_owner_leave(struct dp_switch *sw, const struct dp_port *port);
/** Is a source address believed at a port? Not when it belongs to others only. lcores. */
bool dp_owner_allows(const struct dp_switch *sw, uint64_t key, uint32_t port_id);
/** No port is there any more. */
void dp_owner_free(struct dp_switch *sw);

/* ---- dp_fdb.c ---------------------------------------------------------------------------------- */

#define DP_FDB_NONE UINT8_MAX

/** The addresses of a burst: each different neighbour once. */
struct dp_fdb_batch {
	uint64_t key[2 * DP_BURST];
	int32_t pos[2 * DP_BURST];
	uint8_t src[DP_BURST], dst[DP_BURST]; /**< index, DP_FDB_NONE: group or no address */
	uint32_t nb;
};

int dp_fdb_create(struct dp_switch *sw, char *err, size_t err_size);
void dp_fdb_destroy(struct dp_switch *sw);
/** Look for old addresses from now on as often as its ageing time needs. Control lock held. */
void dp_fdb_age_arm(struct dp_switch *sw);
/** Look all addresses of a burst up. */
void dp_fdb_lookup(
	struct dp_switch *sw, struct dp_fdb_batch *b, struct rte_mbuf *const *pkts, uint16_t n);
/** An address that is in the table is at that port from now on. Control side. */
void dp_fdb_take(struct dp_switch *sw, uint64_t key, uint32_t port_id);
/** Learn, move, refresh the sources. After dp_fdb_lookup(). */
void dp_fdb_learn(struct dp_lcore *lc, struct dp_switch *sw, const struct dp_fdb_batch *b,
	const struct dp_port *src, uint16_t n);
/** Remove the addresses of a port (0: those that have aged). Control lock held. */
void dp_fdb_sweep(struct dp_switch *sw, uint32_t port_id);

/* ---- dp_capture.c ------------------------------------------------------------------------------ */

/** Frames that passed: copies to the file's ring. The lcore that polls the port. */
void dp_capture_frames(
	struct dp_capture *cap, struct rte_mbuf *const *pkts, uint16_t n, bool from_port);
/** Stop and close. Control side. */
void dp_capture_stop(struct dp_port *port);

/* ---- dp_trace.c -------------------------------------------------------------------------------- */

/** Frames that came in: records of some. The lcore that polls the port, before it sends them on. */
void dp_trace_frames(
	struct dp_trace *t, const struct dp_port *port, struct rte_mbuf *const *pkts, uint16_t n);
/** Control side. Harmless when there is none. */
void dp_trace_stop(struct dp_port *port);

#endif /* DP_PLANE_INTERNAL_H */
