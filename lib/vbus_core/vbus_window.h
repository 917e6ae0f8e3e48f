/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */
#ifndef VBUS_WINDOW_H
#define VBUS_WINDOW_H

/**
 * @file
 * One end of a window link (doc/abi.md section 13, ADR-0018): the mapped window, our mailbox and
 * the far one, who is there. What both the connector (south) and the bus's transport (north) need.
 * All with the control lock held, but vbus_window_ring().
 */

#include <stdbool.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <vbus/window.h>

#include "vbus_sigbus.h"

/** Made when the file is not there. */
#define VBUS_WINDOW_SIZE_DEFAULT (64ull << 20)
#define VBUS_WINDOW_PATH_SIZE	 108u

/** How often a mailbox is looked at: nobody there; at rest; in the middle of something. */
#define VBUS_WINDOW_POLL_IDLE_NS 5000000ull
#define VBUS_WINDOW_POLL_REST_NS 1000000ull
#define VBUS_WINDOW_POLL_BUSY_NS 50000ull
/** So long after the last sign of activity it is looked at often. */
#define VBUS_WINDOW_BUSY_NS 5000000ull
/** So often it is looked whether a window is there again. */
#define VBUS_WINDOW_RECOVER_NS 100000000ull
/** A peer whose heartbeat stands still for so long is gone. */
#define VBUS_WINDOW_DEAD_NS 2000000000ull

enum vbus_window_side {
	VBUS_WINDOW_A,
	VBUS_WINDOW_B
};
enum vbus_window_role {
	VBUS_WINDOW_SOUTH,
	VBUS_WINDOW_NORTH
};

/** Memory of a link's north in one of the halves, offsets in the window. */
struct vbus_window_arena {
	uint64_t start;
	uint64_t len;
};

struct vbus_window {
	char path[VBUS_WINDOW_PATH_SIZE];
	uint8_t *base;
	uint64_t size;
	int fd;
	int sigbus; /* slot */
	struct vbus_sigbus_flag fault;
	size_t page; /* bytes of one */
	dev_t dev;   /* what was mapped */
	ino_t ino;
	uint64_t recover_ns; /* when to look whether it is there again */
	uint8_t *far;	     /* the half that is set apart by the test mode; NULL: none */
	bool side_b;
	bool cached; /* a file: ordinary memory, not write-combining */
	struct vbus_window_arena near_south, near_north; /* of our link */
	struct vbus_window_box *in;			 /* near: we read */
	struct vbus_window_box *out;			 /* far: we write */
	uint64_t generation;				 /* ours */
	uint64_t peer;					 /* the one of the session; 0: none */
	uint64_t heartbeat, heartbeat_seen, said_ns, heard_ns;
	uint64_t bell_seen;
	_Atomic uint64_t bell;
	uint64_t busy_until_ns;
};

/**
 * Map a window.
 *
 * @param path  a file of tmpfs or hugetlbfs, made, with mode 0600, if it is not there; FILE@OFFSET,
 *              a part of one; /dev/uioN, or /dev/uioN@OFFSET for the map M whose number of pages OFFSET is;
 *              /dev/mem@OFFSET; a PCI function's /sys/.../resourceN; pci:FUNCTION, its BAR 2
 * @param size  bytes, a multiple of 4 MiB (a hugetlbfs file's: of its page too); 0: as the file or
 *              device is, or the default when it is made. /dev/mem needs it
 * @param[out] err  one line that names the path, on failure
 * @return 0, -EINVAL: sizes differ or cannot be, -ENOTSUP: another kind of file, -ENOMEM, of open(2)
 */
int vbus_window_open(struct vbus_window *w, const char *path, uint64_t size,
	enum vbus_window_side side, enum vbus_window_role role, char *err, size_t err_size);
/**
 * The BAR of a PCI function that a driver of this process has opened: pci:FUNCTION means a duplicate of @p fd
 * from now on, to be mapped at @p offset. The function's own files may be refused while it is bound (VFIO).
 * Any thread, lock not held. @return 0, -ENOSPC
 */
int vbus_window_hold(const char *function, int fd, uint64_t offset, uint64_t size);
/** The descriptor goes. What is mapped stays so. */
void vbus_window_unhold(const char *function);
/** vbus_window_open()'s and _close()'s part: what it lies in. window_map.c */
int vbus_window_map(struct vbus_window *w, uint64_t size, char *err, size_t err_size);
void vbus_window_unmap(struct vbus_window *w);
/** Is it gone (a file cut short, a device taken away)? Zero pages are in its place. */
bool vbus_window_lost(struct vbus_window *w);
/**
 * Without a session: is the window there? Looks now and then; one that is back, or another file in its
 * place, is mapped where the old one was, under a new generation.
 */
bool vbus_window_recover(struct vbus_window *w, uint64_t now_ns);
/** Say good-bye, unmap. Nobody has a pointer into it any more. The file stays: it is the other's too. */
void vbus_window_close(struct vbus_window *w);

/** Begin anew: another generation, nobody accepted. What is under way with the peer is over for it. */
void vbus_window_renew(struct vbus_window *w);
/** The generation that is written in our mailbox now; 0: nobody there, or not one we can talk to. */
uint64_t vbus_window_caller(const struct vbus_window *w);
/** Does who is there believe to talk to us (to this generation of ours)? */
bool vbus_window_meant(const struct vbus_window *w);
/** Accept @p generation (0: nobody) and tell it. */
void vbus_window_accept(struct vbus_window *w, uint64_t generation);
/** Write our heartbeat when it is due; is the session's peer still there? */
bool vbus_window_alive(struct vbus_window *w, uint64_t now_ns);

/** Was the far side's bell rung since the last time? */
bool vbus_window_rung(struct vbus_window *w);
/** Ring it there. Any thread. */
void vbus_window_ring(struct vbus_window *w);
/** When to look again. @p active: something happened. */
uint64_t vbus_window_pause(struct vbus_window *w, uint64_t now_ns, bool active);

/** Write a call or a result; the tag is written last. */
void vbus_window_post(struct vbus_window *w, const struct vbus_window_call *call);
/** Take the call or result with @p tag. @return false: it is not there (yet). */
bool vbus_window_take(const struct vbus_window *w, uint64_t tag, struct vbus_window_call *call);

/** The tag of call number @p seq of a north of @p generation. */
static inline uint64_t
vbus_window_tag(uint64_t generation, uint32_t seq)
{
	return generation << 32 | seq;
}

struct vbus_bus;
/**
 * Connector: serve @p bus through the window @p path, as link @p side. Arguments and errors as of
 * vbus_window_open(), and -EBUSY: the bus has a connector.
 */
int vbus_connector_window(struct vbus_bus *bus, const char *path, uint64_t size,
	enum vbus_window_side side, char *err, size_t err_size);

#endif /* VBUS_WINDOW_H */
