/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */
#ifndef VFU_SERVER_H
#define VFU_SERVER_H

/**
 * @file
 * A vfio-user server: a listener, and a session with one client.
 *
 * Everything is non-blocking and made for an epoll loop: the owner registers the descriptors and
 * calls vfu_listen_accept() or vfu_session_process() when they are ready. An object belongs to one
 * thread at a time; there are no globals. Nothing is allocated after open.
 *
 * A session serves commands strictly in order of arrival, by calling the owner's operations. These
 * run to completion: the reply leaves after they return, and a peer takes the reply to an unmap, a
 * reset or a register write as "done".
 */

#include <stdbool.h>
#include <stdint.h>

#include "vfu_io.h"
#include "vfu_proto.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- listener ---- */

struct vfu_listener;

/**
 * Serve a path: socket, bind, listen; the file has mode 0600.
 *
 * A socket file that nobody serves any more is replaced. Two servers that start at once are
 * serialised by a lock on the folder; one of them gets -EADDRINUSE.
 *
 * @param path
 *   1 to 107 bytes.
 * @param[out] listener
 *   The listener; free it with vfu_listen_close().
 * @param[out] why
 *   VFU_WHY_LEN bytes for one line that says what is wrong, naming the path; may be NULL.
 * @return
 *   0; -EINVAL empty path; -ENAMETOOLONG; -ENOENT no such folder; -ENOTDIR; -EACCES or -EPERM no
 *   permission; -ENOTSOCK another kind of file is in the way; -EADDRINUSE somebody serves it
 *   already; -EBUSY the folder's lock is held by somebody else for long; another errno.
 */
int vfu_listen_open(const char *path, struct vfu_listener **listener, char *why);

/** Likewise, with a socket of another @p type: SOCK_SEQPACKET. */
int vfu_listen_open_as(const char *path, int type, struct vfu_listener **listener, char *why);

/** The descriptor to wait on (EPOLLIN). */
int vfu_listen_fd(const struct vfu_listener *listener);

/** The path that is served. */
const char *vfu_listen_path(const struct vfu_listener *listener);

/**
 * Accept a client.
 *
 * @param busy
 *   A client is there already: whoever waits is accepted and closed at once, the first one stays.
 * @return
 *   A connected socket (non-blocking, close-on-exec); -EAGAIN nobody waits; -EBUSY `busy`, and at
 *   least one was turned away; -EMFILE no descriptor is free, and one was turned away; another
 *   negative errno.
 */
int vfu_listen_accept(struct vfu_listener *listener, bool busy);

/** How many clients were turned away. */
uint64_t vfu_listen_refused(const struct vfu_listener *listener);

/** Stop serving; the file is removed if it is still ours. NULL is legal. */
void vfu_listen_close(struct vfu_listener *listener);

/* ---- session ---- */

/** Arguments of the set_irqs operation. */
struct vfu_set_irqs {
	uint32_t index;
	uint32_t start;
	uint32_t count;	      /**< start + count is within what irq_info said */
	uint32_t data;	      /**< VFU_IRQ_DATA_NONE, _BOOL or _EVENTFD */
	uint32_t action;      /**< VFU_IRQ_ACTION_MASK, _UNMASK or _TRIGGER */
	uint32_t nb_fds;      /**< count, or 0 (with DATA_EVENTFD: take these vectors off) */
	const int32_t *fds;   /**< eventfds, non-blocking; owned by the operation if it returns 0 */
	const uint8_t *bools; /**< count bytes with DATA_BOOL, otherwise NULL */
};

/**
 * What the owner does. All return 0 or a negative errno that becomes the error reply, unless it is
 * said otherwise. Any of them may be NULL: the command is refused with EOPNOTSUPP then, except
 * where a harmless answer exists (noted). An operation must not call vfu_session_process(); it
 * may call vfu_session_stop() and vfu_session_free().
 *
 * region_read and region_write may return -EINPROGRESS: not now. The message stays where it is, and
 * everything behind it; the next vfu_session_process() asks again.
 */
struct vfu_ops {
	/**
	 * Descriptors of the message that is next, number `nr`, before it leaves the socket: duplicates,
	 * which stay the session's. Whoever must not lose them when this process is killed keeps them
	 * elsewhere. NULL: nobody (and no system call more per message).
	 */
	void (*park)(void *arg, uint64_t nr, const int *fds, uint32_t nb_fds);
	/**
	 * Fill in a region; called for every index at open (size and flags are kept) and for each
	 * GET_REGION_INFO. `info` comes as an absent region. The descriptor stays the owner's.
	 */
	int (*region_info)(void *arg, uint32_t index, struct vfu_region_info *info);
	/**
	 * Read `len` bytes, within the region; `buf` comes zeroed and is not aligned. An error is
	 * counted and the client gets zeros. NULL: zeros.
	 */
	int (*region_read)(void *arg, uint32_t index, uint64_t offset, void *buf, uint32_t len);
	/** Write `len` bytes, within the region. An error is counted only. NULL: ignored. */
	int (*region_write)(
		void *arg, uint32_t index, uint64_t offset, const void *buf, uint32_t len);
	/**
	 * A range of north addresses. size > 0; iova + size - 1 and offset + size do not wrap.
	 * @param fd  The memory, or -1 for a range without one: record it, refuse access. The
	 *            operation owns it if it returns 0.
	 */
	int (*dma_map)(void *arg, const struct vfu_dma_map *map, int fd);
	/**
	 * No access to the addresses first..last (inclusive) any more. Any range is legal: it may
	 * hold no map, or many. Everything is 0..UINT64_MAX. NULL: success.
	 */
	int (*dma_unmap)(void *arg, uint64_t first, uint64_t last);
	/** Flags (VFU_IRQ_F_*) and count of an interrupt index. NULL: all have count 0. */
	int (*irq_info)(void *arg, uint32_t index, uint32_t *flags, uint32_t *count);
	/** Checked as struct vfu_set_irqs says. count 0 and DATA_NONE: disable the index. */
	int (*set_irqs)(void *arg, const struct vfu_set_irqs *set);
	/** Device reset; may come any time and several times. NULL: success. */
	int (*reset)(void *arg);
	/**
	 * Fill in up to `max` descriptors that stand for writes to a region (DECISIONS 24); they
	 * stay the owner's. Entries may repeat a descriptor.
	 * @return how many, or a negative errno. NULL: none.
	 */
	int (*region_io_fds)(void *arg, uint32_t index, struct vfu_io_fd_info *fds, uint32_t max);
	/**
	 * The session is over: clean up every map and descriptor. Called exactly once after a
	 * successful open, from vfu_session_process(), or not at all when the owner frees the
	 * session first.
	 * @param reason  Negative errno: -ECONNRESET the client closed.
	 */
	void (*closed)(void *arg, int reason, const char *why);
	/** A line to log, without newline; few per session. NULL: none. */
	void (*log)(void *arg, enum vfu_log_level level, const char *line);
};

/** What a session serves; copied at open. */
struct vfu_session_conf {
	const struct vfu_ops *ops; /**< must outlive the session */
	void *arg;		   /**< first argument of the operations */
	uint32_t num_regions;	   /**< 1..VFU_MAX_REGIONS; PCI: VFU_PCI_NUM_REGIONS */
	uint32_t num_irqs;	   /**< PCI: VFU_PCI_NUM_IRQS */
	uint32_t flags;		   /**< VFU_DEVICE_F_RESET | VFU_DEVICE_F_PCI */
};
#define VFU_MAX_REGIONS 16u

/** Counters of a session, each "number of". */
struct vfu_session_stats {
	uint64_t messages[VFU_CMD_MAX]; /**< commands by number; [0]: unknown ones */
	uint64_t errors;		/**< commands refused */
	uint64_t posted;		/**< commands that wanted no reply */
	uint64_t outside;		/**< region accesses (partly) outside of the region */
	uint64_t access_errors;		/**< region accesses that the owner refused */
	uint64_t stray_replies;		/**< replies to nothing */
	uint64_t oversized;		/**< messages too long to be kept */
	uint64_t lost_fds;		/**< messages whose descriptors were (partly) lost */
	uint64_t unused_fds;		/**< descriptors with commands that take none */
};

#define VFU_SESSION_MAGIC   0x76667573u
#define VFU_SESSION_VERSION 2u

/**
 * Everything that another process would need to go on with this connection, together with the
 * socket: plain data, no pointers, one writer (the thread that runs the session). Descriptors are
 * listed by number. A message lies in rx until its command has been served and its reply is in tx;
 * both change as one (vfu_io_join()), also for who finds the state after a SIGKILL.
 */
struct vfu_session_state {
	uint32_t magic;	  /**< VFU_SESSION_MAGIC, once a session uses it */
	uint32_t version; /**< VFU_SESSION_VERSION */
	uint32_t size;	  /**< sizeof(struct vfu_session_state) */
	uint32_t negotiated;
	struct vfu_caps peer; /**< valid if negotiated */
	struct vfu_session_stats stats;
	struct vfu_rx rx;
	struct vfu_tx tx;
};

struct vfu_session;

/**
 * Start a session on a connected socket, or resume one.
 *
 * @param sock
 *   Non-blocking UNIX stream socket; owned by the session from success on.
 * @param conf
 *   What to serve.
 * @param state
 *   Outlives the session. All zeros (magic 0): a new connection. Otherwise it is checked and the
 *   session goes on where it stood.
 * @param[out] session
 *   Free it with vfu_session_free().
 * @return
 *   0; -EINVAL bad arguments or state; -ENOMEM; what region_info returned.
 */
int vfu_session_open(int sock, const struct vfu_session_conf *conf, struct vfu_session_state *state,
	struct vfu_session **session);

/**
 * Serve what is there; call it on any event of the socket (EPOLLIN, EPOLLOUT, EPOLLHUP, EPOLLERR).
 *
 * @param budget
 *   Most messages to serve in this call, >= 1. What remains raises EPOLLIN again.
 * @return
 *   Messages served, or the negative reason when the session is over: closed() has been called
 *   then and vfu_session_free() is what remains to be done.
 */
int vfu_session_process(struct vfu_session *session, unsigned int budget);

/** Events to wait for now: EPOLLIN, and EPOLLOUT while replies wait. */
uint32_t vfu_session_want_events(const struct vfu_session *session);

/** Did the last operation say -EINPROGRESS? */
bool vfu_session_deferred(const struct vfu_session *session);

/** A whole message lies there that was not answered; *@p nr: messages before it. */
bool vfu_session_pending(const struct vfu_session_state *state, uint64_t *nr);

/**
 * Before vfu_session_open() of a state that another process has left, killed or not: put it right,
 * with this process's numbers of the descriptors of the message at hand.
 * @return 0; -EINVAL no such state; -EBADF a reply with descriptors was under way, and they are lost
 */
int vfu_session_take_over(struct vfu_session_state *state, const int *fds, uint32_t nb_fds);

/** The socket. */
int vfu_session_fd(const struct vfu_session *session);

/** Who the client is. 0 or a negative errno. */
int vfu_session_peer(const struct vfu_session *session, struct vfu_peer *peer);

/** End the session at the next vfu_session_process(), or now if it is running. */
void vfu_session_stop(struct vfu_session *session, int reason);

/**
 * Close the socket and every descriptor held, free the session and clear the state's magic; does
 * not call closed(). From within an operation it takes effect when that returns. NULL is legal.
 */
void vfu_session_free(struct vfu_session *session);

/**
 * Free the session but leave socket, descriptors and state as they are, for another process to
 * resume. Not from within an operation.
 * @return the socket.
 */
int vfu_session_detach(struct vfu_session *session);

#ifdef __cplusplus
}
#endif

#endif /* VFU_SERVER_H */
