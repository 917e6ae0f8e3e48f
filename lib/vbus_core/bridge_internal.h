/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */
#ifndef VBUS_BRIDGE_INTERNAL_H
#define VBUS_BRIDGE_INTERNAL_H

/**
 * @file
 * What the files of the bridge share: bridge.c (life, sessions, reset, registers), bridge_call.c
 * (calls), bridge_event.c (event queue and notifications), bridge_config.c (configuration space),
 * conn.c (connections and blocks), device.c and bus.c. All with the control lock held, but
 * vbus_shm_notify().
 *
 * Faults are put off: code deep in a call only notes the reason; vbus_bridge_settle(), the last
 * thing that every entry point does, resets the link. So no loop finds its list emptied.
 */

#include <stdatomic.h>

#include "link_state.h"
#include "vbus_bridge.h"
#include "vbus_core.h"
#include "vbus_ctl.h"
#include "vbus_ioq_south.h"
#include "vbus_log.h"
#include "vbus_memmap.h"
#include "vbus_signal.h"

/** Section 7.2: how long a missed wake-up can last. */
#define VBUS_BRIDGE_TIMER_NS 10000000ULL

/** Rings of the event queue: the ABI wants 2,048 at least. */
#define VBUS_BRIDGE_EVENTQ_MAX 65536u

#define VBUS_NOTIFY_WORDS (VBUS_LINK_SHMS / 64)

/** Bits of shared blocks that a polling thread wants to signal. */
struct vbus_notify {
	_Atomic uint32_t pending VBUS_LINK_LINE; /* the eventfd was written and not yet looked at */
	_Atomic uint64_t words[VBUS_NOTIFY_WORDS] VBUS_LINK_LINE;
	_Atomic uint64_t summary[VBUS_NOTIFY_WORDS / 64];
};

/** A signal of north's that a kick has to look at. */
struct vbus_kick_entry {
	uint8_t *desc_peer;
	struct vbus_shm *shm;
};

struct vbus_bridge {
	struct vbus_bus *bus;
	struct vbus_link_state *ls;
	int ls_fd;

	/* Session. */
	struct vbus_memmap *map;	 /* NULL: no peer */
	const struct vbus_memview *view; /* current; valid while map */
	struct vbus_memcache cache;	 /* of calls and event slots */
	bool adopting; /* objects are being made of the state: nothing is to be sent yet */
	bool redo;     /* the call that runs may have been run by a process that died */
	const char *fault_noted; /* settle resets the link for this reason */
	const char *fault;	 /* of the last fault since NEGOTIATE */
	struct vbus_log_limit log_limit;

	/* Event queue: the mapping of what ls->bridge.eventq says. */
	bool evq_mapped;
	bool evq_unread; /* north may not have consumed what was sent */
	struct vbus_ioq_south evq;
	struct vbus_signal evq_signal;
	struct vbus_ctl_timer timer;

	/* Objects by slot of the link state. */
	LIST_HEAD(, vbus_conn) conns;
	TAILQ_HEAD(, vbus_conn) dropped; /* those whose device is gone, oldest first (ADR-0012) */
	uint32_t nb_dropped;
	struct vbus_ctl_timer drop_timer;
	struct vbus_device *dev_of[VBUS_LINK_DEVS];
	struct vbus_conn *conn_of[VBUS_LINK_CONNS];
	struct vbus_shm *shm_of[VBUS_LINK_SHMS];
	uint32_t dev_hint, conn_hint, shm_hint; /* next slot to try: freed ones rest a while */

	/* What a kick looks at, in one piece; made anew when blocks came, went or moved. */
	struct vbus_kick_entry *kick;
	uint32_t nb_kick, kick_room;
	bool kick_stale;

	struct vbus_notify notify;
	int notify_fd;
	struct vbus_ctl_fd *notify_watch;

	struct vbus_bridge_info info; /* its counters; states are filled in when asked for */
	uint8_t call_data[VBUS_CALL_MAX];
};

/* bridge.c */
struct vbus_bridge *vbus_bridge_create(struct vbus_bus *bus);
void vbus_bridge_destroy(struct vbus_bridge *b);
/** An empty memory map of a session. @return 0, -EBUSY, -ENOMEM */
int vbus_bridge_map_create(struct vbus_bridge *b);
/** Count a refusal. @return @p err, for the caller to return. */
int vbus_bridge_refuse(struct vbus_bridge *b, enum vbus_bridge_refusal why, int err);
/** Note that north broke the protocol: the link is reset by the next settle. @p reason: static text. */
void vbus_bridge_note_fault(struct vbus_bridge *b, const char *reason);
/** End of every entry point: send what can be sent, act on a noted fault. */
void vbus_bridge_settle(struct vbus_bridge *b);
/** Copy from / to north. @return 0, or -EFAULT (counted). */
int vbus_bridge_copy_in(struct vbus_bridge *b, void *dst, uint64_t iova, uint32_t len);
int vbus_bridge_copy_out(struct vbus_bridge *b, uint64_t iova, const void *src, uint32_t len);

static inline bool
vbus_bridge_has(const struct vbus_bridge *b, uint32_t link_flags)
{
	return (b->ls->bridge.flags & link_flags) == link_flags;
}

/* bridge_call.c */
int32_t vbus_bridge_do_call(struct vbus_bridge *b, uint32_t vector, uint64_t datap, uint32_t len);
void vbus_bridge_do_fastcall(struct vbus_bridge *b, uint32_t channel);

/* bridge_config.c */
void vbus_bridge_config_init(struct vbus_bridge *b);

/* bridge_event.c */
int vbus_bridge_notify_init(struct vbus_bridge *b);
void vbus_bridge_notify_fini(struct vbus_bridge *b);
/** QREG: bind the queue that ls->bridge.eventq names. @return 0, -EFAULT, -EINVAL. */
int vbus_bridge_evq_bind(struct vbus_bridge *b, unsigned int how);
/** Forget queue, backlog and notifications; north's memory is not touched any more. */
void vbus_bridge_evq_drop(struct vbus_bridge *b);
/** Put an event behind those that wait. Without an event queue: nothing. */
void vbus_bridge_event(struct vbus_bridge *b, uint32_t eventid, uint32_t ref, uint64_t payload);
/** Take back a DEVADD that was not sent yet. @return false: it was sent. */
bool vbus_bridge_event_recall(struct vbus_bridge *b, uint64_t devid);
/** Move events from the backlog to north's ring, signal north, arm the timer. */
void vbus_bridge_evq_pump(struct vbus_bridge *b);
/** North consumed events. */
void vbus_bridge_evq_signalled(struct vbus_bridge *b);
/** Turn the notifications of a block whose class has left it into its last SHMSIGNAL. */
void vbus_bridge_notify_flush(struct vbus_bridge *b, struct vbus_shm *shm);
uint32_t vbus_bridge_backlog_count(const struct vbus_bridge *b);

/** Objects are there again: bind the queue and put its state right. @return 0, -EINVAL */
int vbus_bridge_evq_adopt(struct vbus_bridge *b);
/** Is there an event for that in the backlog? */
bool vbus_bridge_event_waits(const struct vbus_bridge *b, uint32_t eventid, uint64_t payload);
/** Signal every block, whoever wanted to: wake-ups were lost with a process. */
void vbus_bridge_notify_all(struct vbus_bridge *b);

/* bridge_adopt.c */
/**
 * Hand over what a killed process had moved its cursor past, and had not handed over (ADR-0016, 6).
 * @param produce  a receive or event ring
 * @return entries
 */
uint32_t vbus_ring_repair(const struct vbus_ioq_south *q, bool produce);
/** The same for a block, before its class attaches to it; what is no ring is left to the class. */
void vbus_shm_repair(const struct vbus_shm *shm, uint32_t count_max, bool produce);

/* device.c, for the bridge */
/** Give @p dev a wire id and queue its DEVADD. */
void vbus_bridge_announce(struct vbus_bridge *b, struct vbus_device *dev);
int vbus_bridge_dev_add(struct vbus_bridge *b, struct vbus_device *dev);
void vbus_bridge_dev_del(struct vbus_bridge *b, struct vbus_device *dev);

/* conn.c */
/** DEVOPEN. @return 0 and *@p conn, or negative errno (counted). */
int vbus_conn_open(
	struct vbus_bridge *b, struct vbus_device *dev, uint32_t version, struct vbus_conn **conn);
/** Close for the class and free, with the events of DEVCLOSE (none when the queue is gone). */
void vbus_conn_close(struct vbus_conn *conn);
/** The device goes: closed for the class, callable for north. */
void vbus_conn_drop(struct vbus_conn *conn);
struct vbus_conn *vbus_conn_lookup(struct vbus_bridge *b, uint64_t handle);
/** Is @p handle one whose connection was dropped and forgotten since? Its calls answer 0. */
bool vbus_conn_forgotten(const struct vbus_bridge *b, uint64_t handle);
/** DEVCLOSE of such a handle: it is unknown from now on. */
void vbus_conn_forget_close(struct vbus_bridge *b, uint64_t handle);
void vbus_conns_init(struct vbus_bridge *b);
/** At the end of a reset, with no connection left: handles of before are unknown. */
void vbus_conns_new_epoch(struct vbus_bridge *b);
struct vbus_shm *vbus_shm_lookup(struct vbus_bridge *b, uint32_t handle);
/** Dropped connections that are kept whole: rings served, blocks held. */
#define VBUS_CONN_DROPPED_MAX 256u
/** A block as DEVSHM describes it. */
struct vbus_shm_args {
	uint32_t id, len, signal_offset;
	uint64_t iova, cookie;
};
/** DEVSHM. @return 0 or the signal's handle, or negative errno (counted). */
int vbus_conn_share(struct vbus_conn *conn, const struct vbus_shm_args *args);
/** Every class leaves the old view; then all blocks are looked up in the new one. */
void vbus_conns_quiesce(struct vbus_bridge *b);
void vbus_conns_rebind(struct vbus_bridge *b);

#endif /* VBUS_BRIDGE_INTERNAL_H */
