/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */
#ifndef VBUS_LINK_STATE_H
#define VBUS_LINK_STATE_H

/**
 * @file
 * All state of a link that must outlive the process that serves it, in one memfd (ADR-0003): plain
 * data, no pointers, fixed places, one writer per line. Free of DPDK, so that a keeper can own it.
 *
 * The file is sparse: a link pays for the pages that it uses, not for the tables' limits.
 *
 * Writers: the control thread, except for struct vbus_ioq_cursor (the thread that polls that ring)
 * and a connection's class state (the class says).
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vbus_ioq.h"

#define VBUS_LINK_MAGIC	  0x6b6e696c73756276ULL /* "vbuslink" */
#define VBUS_LINK_VERSION 2u			/* layouts below; another version is refused */

#define VBUS_LINK_VFU_SIZE   (2u << 20) /* vfio-user session: descriptors, a half-read message */
#define VBUS_LINK_CONFIG     256u	/* PCI configuration space */
#define VBUS_LINK_REGS	     16u	/* the latched call descriptor */
#define VBUS_LINK_BACKLOG    65536u	/* events held back; a power of two */
#define VBUS_LINK_CHANNELS   16384u	/* fast-call channels; the ABI wants 8,192 */
#define VBUS_LINK_DEVS	     4096u	/* devices on the bus */
#define VBUS_LINK_CONNS	     4096u	/* connections */
#define VBUS_LINK_SHMS	     16384u	/* shared blocks; a power of two (part of the handle) */
#define VBUS_LINK_REGIONS    65536u	/* regions of north's memory */
#define VBUS_LINK_CONN_STATE 512u	/* bytes for the class of a connection */
#define VBUS_LINK_CONN_LOG   4096u	/* more of them, for what a class has under way */
#define VBUS_LINK_NAME	     32u
#define VBUS_LINK_CLASS	     16u /* a class's name and its NUL */

#define VBUS_LINK_LINE __attribute__((aligned(64)))
#define VBUS_LINK_PAGE __attribute__((aligned(4096)))

struct vbus_link_header {
	uint64_t magic;
	uint32_t version;
	uint32_t header_size;
	uint64_t size;	     /* of the file */
	uint64_t generation; /* processes that attached, the maker included */
} VBUS_LINK_PAGE;

/* Flags of a link. */
#define VBUS_LINK_PEER	     (1u << 0) /* a session is up */
#define VBUS_LINK_IDENTITY   (1u << 1) /* addresses are those of this process */
#define VBUS_LINK_NEGOTIATED (1u << 2)
#define VBUS_LINK_EVENTS     (1u << 3) /* QREG was called: the event queue is there */

/** The bridge's own words. */
struct vbus_link_bridge {
	uint32_t flags;
	uint32_t last_devid; /* given out last; 0: none since the function reset */
	uint64_t capabilities;
	uint32_t channels_end; /* channels at and beyond it are unused */
	uint32_t epoch;	       /* NEGOTIATEs and resets: older notes of handles mean nothing */
	struct {
		uint64_t ring;
		uint64_t data;
		uint32_t count;
		uint32_t pad;
	} eventq VBUS_LINK_LINE;
	struct vbus_ioq_cursor eventq_cursor;
	struct {
		uint32_t head; /* free-running; the entry is the number modulo VBUS_LINK_BACKLOG */
		uint32_t tail;
	} backlog VBUS_LINK_LINE;
	uint8_t regs[VBUS_LINK_REGS] VBUS_LINK_LINE;
	uint8_t config[VBUS_LINK_CONFIG] VBUS_LINK_LINE;
	/* The call that runs, by the number of its message: what it has made is undone by who has to
	 * run it again.
	 */
	struct {
		uint64_t nr;	      /* message plus 1; 0: none since the session began */
		uint32_t conn_plus_1; /* connection that it made */
		uint32_t shm_plus_1;  /* block */
	} call VBUS_LINK_LINE;
	/* The event at this head of the backlog goes into this place of north's ring. */
	struct {
		uint32_t head;
		uint32_t ring_tail;
		uint32_t active;
	} sending VBUS_LINK_LINE;
	uint32_t regions_end VBUS_LINK_LINE; /* regions at and beyond it are unused */
	uint32_t region_hint;		     /* no free one below it */
} VBUS_LINK_PAGE;

#define VBUS_LINK_EVENT_VOID 0xffffffffu /* taken back before it was sent */

/** An event that waits for a descriptor. */
struct vbus_link_event {
	uint32_t eventid;
	uint32_t ref;	  /* DEVADD: slot of the device; SHMSIGNAL: handle of the block */
	uint64_t payload; /* device id or cookie */
};

struct vbus_link_channel {
	uint64_t block; /* north's address of the fastcall block */
	uint32_t used;
	uint32_t pad;
};

#define VBUS_LINK_DEV_USED	(1u << 0)
#define VBUS_LINK_DEV_ANNOUNCED (1u << 1) /* its DEVADD is in north's ring */

/** A device on the bus: what a successor needs to find it again by name. */
struct vbus_link_dev {
	uint32_t flags;
	uint32_t devid;
	char name[VBUS_LINK_NAME];
	char cls[VBUS_LINK_CLASS];
	uint8_t pad[8];
};

#define VBUS_LINK_CONN_USED    (1u << 0)
#define VBUS_LINK_CONN_DROPPED (1u << 1) /* the device is gone, the handle still answers (7.15) */

/** A connection. The generation outlives the slot's users: a stale handle is never valid again. */
struct vbus_link_conn {
	uint32_t flags;
	uint32_t generation;
	uint64_t handle;
	uint32_t dev; /* slot; not with DROPPED */
	uint32_t version;
	/* Which earlier users of the slot were dropped and forgotten (ADR-0012), since gen_first. */
	uint64_t dropped; /* bit n: generation - n */
	uint32_t epoch;
	uint32_t gen_first;
	uint32_t dropped_older; /* so was one that has left the map */
	char cls[VBUS_LINK_CLASS];
	uint8_t pad[4];
};

#define VBUS_LINK_SHM_USED   (1u << 0)
#define VBUS_LINK_SHM_SIGNAL (1u << 1)
#define VBUS_LINK_SHM_QUEUED (1u << 2) /* one SHMSIGNAL is in the backlog */

/** A shared block. */
struct vbus_link_shm {
	uint32_t flags;
	uint32_t generation;
	uint32_t conn; /* slot */
	uint32_t id;
	uint64_t iova;
	uint64_t cookie;
	uint32_t len;
	uint32_t signal_offset;
	uint32_t handle;
	uint8_t pad[20];
};

#define VBUS_LINK_REGION_USED  (1u << 0)
#define VBUS_LINK_REGION_READ  (1u << 1)
#define VBUS_LINK_REGION_WRITE (1u << 2)
#define VBUS_LINK_REGION_FILE  (1u << 3) /* st_dev and st_ino say which; without: no access */

/** A region of north's memory. */
struct vbus_link_region {
	uint64_t iova;
	uint64_t len;
	uint64_t offset;
	uint32_t flags;
	uint32_t pad0;
	uint64_t st_dev;
	uint64_t st_ino;
	uint8_t pad[16];
};

/** The whole file. */
struct vbus_link_state {
	struct vbus_link_header header;
	uint8_t vfu[VBUS_LINK_VFU_SIZE] VBUS_LINK_PAGE; /* opaque: lib/vfio_user's */
	struct vbus_link_bridge bridge;
	struct vbus_link_event backlog[VBUS_LINK_BACKLOG] VBUS_LINK_PAGE;
	struct vbus_link_channel channels[VBUS_LINK_CHANNELS] VBUS_LINK_PAGE;
	struct vbus_link_dev devs[VBUS_LINK_DEVS] VBUS_LINK_PAGE;
	struct vbus_link_conn conns[VBUS_LINK_CONNS] VBUS_LINK_PAGE;
	uint8_t conn_state[VBUS_LINK_CONNS][VBUS_LINK_CONN_STATE] VBUS_LINK_PAGE;
	struct vbus_link_shm shms[VBUS_LINK_SHMS] VBUS_LINK_PAGE;
	struct vbus_ioq_cursor cursors[VBUS_LINK_SHMS] VBUS_LINK_PAGE; /* by slot of the block */
	struct vbus_link_region regions[VBUS_LINK_REGIONS] VBUS_LINK_PAGE;
	uint8_t conn_log[VBUS_LINK_CONNS][VBUS_LINK_CONN_LOG] VBUS_LINK_PAGE;
};

/* Version 2's places. A change of any of them is another version. */
#define VBUS_LINK_ASSERT(cond) _Static_assert(cond, "link state: layout of version 2 changed")
VBUS_LINK_ASSERT(offsetof(struct vbus_link_state, vfu) == 0x1000);
VBUS_LINK_ASSERT(offsetof(struct vbus_link_state, bridge) == 0x201000);
VBUS_LINK_ASSERT(offsetof(struct vbus_link_state, backlog) == 0x202000);
VBUS_LINK_ASSERT(offsetof(struct vbus_link_state, channels) == 0x302000);
VBUS_LINK_ASSERT(offsetof(struct vbus_link_state, devs) == 0x342000);
VBUS_LINK_ASSERT(offsetof(struct vbus_link_state, conns) == 0x382000);
VBUS_LINK_ASSERT(offsetof(struct vbus_link_state, conn_state) == 0x3c2000);
VBUS_LINK_ASSERT(offsetof(struct vbus_link_state, shms) == 0x5c2000);
VBUS_LINK_ASSERT(offsetof(struct vbus_link_state, cursors) == 0x6c2000);
VBUS_LINK_ASSERT(offsetof(struct vbus_link_state, regions) == 0x7c2000);
VBUS_LINK_ASSERT(offsetof(struct vbus_link_state, conn_log) == 0xbc2000);
VBUS_LINK_ASSERT(sizeof(struct vbus_link_state) == 0x1bc2000);
VBUS_LINK_ASSERT(sizeof(struct vbus_link_header) == 4096);
VBUS_LINK_ASSERT(sizeof(struct vbus_link_bridge) == 4096);
VBUS_LINK_ASSERT(offsetof(struct vbus_link_bridge, eventq) == 64);
VBUS_LINK_ASSERT(offsetof(struct vbus_link_bridge, eventq_cursor) == 128);
VBUS_LINK_ASSERT(offsetof(struct vbus_link_bridge, backlog) == 192);
VBUS_LINK_ASSERT(offsetof(struct vbus_link_bridge, regs) == 256);
VBUS_LINK_ASSERT(offsetof(struct vbus_link_bridge, config) == 320);
VBUS_LINK_ASSERT(offsetof(struct vbus_link_bridge, call) == 576);
VBUS_LINK_ASSERT(offsetof(struct vbus_link_bridge, sending) == 640);
VBUS_LINK_ASSERT(offsetof(struct vbus_link_bridge, regions_end) == 704);
VBUS_LINK_ASSERT(sizeof(struct vbus_link_event) == 16);
VBUS_LINK_ASSERT(sizeof(struct vbus_link_channel) == 16);
VBUS_LINK_ASSERT(sizeof(struct vbus_link_dev) == 64);
VBUS_LINK_ASSERT(sizeof(struct vbus_link_conn) == 64);
VBUS_LINK_ASSERT(sizeof(struct vbus_link_shm) == 64);
VBUS_LINK_ASSERT(sizeof(struct vbus_link_region) == 64);
VBUS_LINK_ASSERT(sizeof(struct vbus_ioq_cursor) == 64);
VBUS_LINK_ASSERT((VBUS_LINK_BACKLOG & (VBUS_LINK_BACKLOG - 1)) == 0);
VBUS_LINK_ASSERT((VBUS_LINK_SHMS & (VBUS_LINK_SHMS - 1)) == 0);

/**
 * Make the state of a new link: everything zero but the header.
 *
 * @param[in] name  for /proc only
 * @param[out] fd  the memfd, sealed against a change of size; the caller's (close it after
 *                 vbus_link_state_unmap(), or hand it to another process)
 * @return the mapping, or NULL and errno. Slow path, any thread.
 */
struct vbus_link_state *vbus_link_state_create(const char *name, int *fd);

/**
 * Map the state that another process made, after checks of seals, size, magic and version.
 *
 * @return the mapping (generation is one higher), or NULL and errno: EINVAL: not such a file,
 *         EPROTONOSUPPORT: another version of it, or what fstat() and mmap() say
 */
struct vbus_link_state *vbus_link_state_attach(int fd);

/** Undo the mapping; the file lives as long as someone has it open. NULL is ignored. */
void vbus_link_state_unmap(struct vbus_link_state *ls);

/**
 * Keep the mapping's address, but make it a private copy: what is written from now on nobody else
 * sees (a process that gives its links back, ADR-0016). @return 0 or a negative errno
 */
int vbus_link_state_detach(struct vbus_link_state *ls, int fd);

/* ---- what the keeper does for a link that nobody serves; one owner at a time ------------------- */

/**
 * As vbus_bridge_reset(), where there are no objects: nothing is open and nothing registered.
 * @param function_reset  device ids, registers and configuration space too
 */
void vbus_link_state_reset(struct vbus_link_state *ls, bool function_reset);

/** A session ends: a reset, and no flags, no regions, no session of vfio-user. */
void vbus_link_state_end(struct vbus_link_state *ls);

/** Configuration space as at power-on (doc/abi.md section 1). */
void vbus_link_config_init(struct vbus_link_state *ls);
void vbus_link_config_read(const struct vbus_link_state *ls, uint32_t off, void *buf, uint32_t len);
/** @return true: bus master went from 1 to 0, the link is to be reset */
bool vbus_link_config_write(
	struct vbus_link_state *ls, uint32_t off, const void *buf, uint32_t len);

/** Note a region. @return 0; -ENOSPC; -EEXIST: it is noted, exactly so */
int vbus_link_region_add(struct vbus_link_state *ls, const struct vbus_link_region *r);
/** Does it reach into one that is noted? */
bool vbus_link_region_overlaps(const struct vbus_link_state *ls, uint64_t first, uint64_t last);
/** Forget the addresses first..last; what reaches out of them is cut. */
void vbus_link_region_del(struct vbus_link_state *ls, uint64_t first, uint64_t last);

#endif /* VBUS_LINK_STATE_H */
