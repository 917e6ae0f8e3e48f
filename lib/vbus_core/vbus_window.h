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
/** At rest, when the peer has interrupted us in this session. */
#define VBUS_WINDOW_POLL_HEARD_NS 10000000ull
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

struct vbus_ctl_timer;
struct vbus_ivshmem;
struct vbus_window;

/**
 * Interrupts of one end (window_irq.c). They make somebody look sooner, and say nothing.
 * What they come from: a PCI function that is held (vbus_window_hold_irq()), a server of ivshmem.
 */
struct vbus_window_irq {
	/** Of who looks into the mailbox: an interrupt makes it due. Set after the window is open; NULL: nobody. */
	struct vbus_ctl_timer *poll;
	struct vbus_ivshmem *server; /* NULL: none */
	struct vbus_window *next;    /* of the same function */
	int ring_fd; /* by which the peer is rung; -1: there is nothing. Stays from open to close */
	int64_t ring_off;	   /* of the register in it; -1: it is an eventfd */
	uint64_t own;		   /* how we are rung, as in hello; 0: not */
	bool heard;		   /* in this session */
	uint64_t nb_irqs;	   /* that came */
	_Atomic uint64_t ring;	   /* how the peer is rung, as in its hello; 0: not */
	_Atomic uint64_t nb_rings; /* that went */
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
	struct vbus_window_irq irq;
};

/**
 * Map a window.
 *
 * @param path  a file of tmpfs or hugetlbfs, made, with mode 0600, if it is not there; FILE@OFFSET,
 *              a part of one; /dev/uioN, or /dev/uioN@OFFSET for the map M whose number of pages OFFSET is;
 *              /dev/mem@OFFSET; a PCI function's /sys/.../resourceN; pci:FUNCTION, its BAR 2;
 *              ivshmem:SOCKET, the memory that a server of QEMU's ivshmem-doorbell hands out (waits for it,
 *              5 s at most)
 * @param size  bytes, a multiple of 4 MiB (a hugetlbfs file's: of its page too); 0: as the file or
 *              device is, or the default when it is made. /dev/mem needs it
 * @param[out] err  one line that names the path, on failure
 * @return 0, -EINVAL: sizes differ or cannot be, -ENOTSUP: another kind of file, -ENOMEM, of open(2),
 *         -EPROTO, -ETIMEDOUT: the server
 */
int vbus_window_open(struct vbus_window *w, const char *path, uint64_t size,
	enum vbus_window_side side, enum vbus_window_role role, char *err, size_t err_size);
/**
 * The BAR of a PCI function that a driver of this process has opened: pci:FUNCTION means a duplicate of @p fd
 * from now on, to be mapped at @p offset. The function's own files may be refused while it is bound (VFIO).
 * Any thread, lock not held. @return 0, -ENOSPC
 */
int vbus_window_hold(const char *function, int fd, uint64_t offset, uint64_t size);
/**
 * The function that is held has an interrupt, and a register by which others are interrupted.
 * Any thread, lock not held.
 *
 * @param irq_fd    eventfd that the interrupt writes to; ours from now on, also on failure
 * @param ring_off  of the register of 32 bits, in the descriptor that is held
 * @param number    what others write to theirs to interrupt us
 * @return 0, -ENOENT: it is not held
 */
int vbus_window_hold_irq(const char *function, int irq_fd, int64_t ring_off, uint32_t number);
/** The descriptor goes, and the interrupt. What is mapped stays so. */
void vbus_window_unhold(const char *function);
/** The windows of a function take part in its interrupt, from open to close. window_held.c */
struct vbus_window_held {
	char function[32]; /* "": free */
	int fd;
	uint64_t offset, size;
	int irq_fd; /* -1: no interrupt */
	int64_t ring_off;
	uint64_t own;
	struct vbus_ctl_fd *watch;
	struct vbus_window *users;
};

const struct vbus_window_held *vbus_window_held(const char *function);
/** @return 0 (also when it has no interrupt), or a negative errno. */
int vbus_window_held_join(const char *function, struct vbus_window *w);
void vbus_window_held_leave(struct vbus_window *w);

/** Whom to ring: what the peer says, if it has said so and can be rung. After each change of either. window_irq.c */
void vbus_window_irq_aim(struct vbus_window *w);
/** An interrupt has come. */
void vbus_window_irq_came(struct vbus_window *w);
/** Interrupt the peer if that is possible. What it is to see has been written. Any thread. */
void vbus_window_irq_ring(struct vbus_window *w);
/** None any more, in either direction. */
void vbus_window_irq_off(struct vbus_window *w);

/** Ask the server at @p path for the memory, and wait for it. @return 0, a negative errno. window_ivshmem.c */
int vbus_ivshmem_open(struct vbus_window *w, const char *path);
void vbus_ivshmem_close(struct vbus_window *w);
/** The memory; it stays the server object's. @return -1: none */
int vbus_ivshmem_memory(struct vbus_ivshmem *s);
/** Is it other memory than vbus_ivshmem_memory() gave the last time? Connects again when the server was lost. */
bool vbus_ivshmem_again(struct vbus_ivshmem *s);
/** Let w->irq.ring_fd be the eventfd of @p number. @return false: the server has not announced it. */
bool vbus_ivshmem_aim(struct vbus_ivshmem *s, uint32_t number);

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
