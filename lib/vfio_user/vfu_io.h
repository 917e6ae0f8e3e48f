/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */
#ifndef VFU_IO_H
#define VFU_IO_H

/**
 * @file
 * Framing: messages and their descriptors out of and into a stream socket, without blocking.
 *
 * struct vfu_rx and struct vfu_tx are plain data, because a server's lie in the resumable state of
 * its session (vfu_server.h). The pointers in their headers are written anew for each call. Nothing
 * here is safe for concurrent use of one object; any thread may run it.
 *
 * Either may be found as a killed process left it: what it had under way is noted before, and the
 * kernel writes the number of bytes into the header within the system call (ADR-0016).
 */

#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "vfu_proto.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Bytes of replies that may wait for a peer that does not read. */
#define VFU_TX_MAX 262144u
/** Messages with descriptors that may wait, too. */
#define VFU_TX_MAX_FD_MSGS 16u
/** Whole messages are sent together up to this size: one buffer of the kernel, never split. */
#define VFU_TX_CHUNK 16384u

/**
 * One recvmmsg() or sendmmsg() under way. `active` is set when `mm` and the saved positions are
 * good, and cleared when the positions have moved: a successor moves them again, from the saved
 * ones.
 */
struct vfu_io_note {
	struct mmsghdr mm;
	uint32_t active;
	uint32_t pad;
};

/** A message that is being received. Between messages, len and nb_fds are 0. */
struct vfu_rx {
	uint32_t len;	  /**< bytes of the message read so far, the skipped ones included */
	uint32_t nb_fds;  /**< descriptors that came with it */
	uint32_t bad_fds; /**< 1: some descriptors were lost (too many, or none free here) */
	uint32_t from;	  /**< `len` before the call that is noted */
	uint64_t nr;	  /**< messages that were there before this one */
	struct vfu_io_note note;
	int32_t fds[VFU_MAX_FDS + 3];
	/** Header and payload; of a message longer than this only the header is kept. */
	uint8_t buf[VFU_MSG_MAX];
};

/** Descriptors that leave with a queued message. */
struct vfu_tx_fds {
	uint32_t pos; /**< offset of the message in buf */
	uint32_t nb;
	int32_t fds[VFU_MAX_IO_FDS]; /**< duplicates, owned by the queue */
};

/** Messages that wait to be sent: buf[head..tail), `sent` bytes of the first are gone already. */
struct vfu_tx {
	uint32_t head;
	uint32_t tail;
	uint32_t sent;
	uint32_t nb_fd_msgs;
	/* Of the call that is noted: */
	uint32_t from_head;
	uint32_t from_tail;
	uint32_t from_sent;
	/* A reply joins the queue and its message leaves rx: done again by a successor. */
	uint32_t joining;
	uint32_t join_tail; /**< `tail` afterwards */
	uint32_t pad;
	uint64_t join_nr; /**< rx.nr afterwards */
	struct vfu_io_note note;
	struct vfu_tx_fds fd_msgs[VFU_TX_MAX_FD_MSGS];
	uint8_t buf[VFU_TX_MAX];
};

/** Forget everything, close nothing. */
void vfu_rx_init(struct vfu_rx *rx);

/**
 * Read on, up to the end of one message and never beyond it, so that each descriptor is known to
 * belong to that message.
 *
 * @return
 *   1 a whole message is there (vfu_rx_reset() makes room for the next); 0 nothing more to read
 *   now; -ECONNRESET end of stream between messages; -EPIPE end of stream within one; -EMSGSIZE a
 *   size below 16 or above VFU_SKIP_MAX: the stream cannot be trusted; another negative errno from
 *   recvmsg().
 */
int vfu_rx_step(int sock, struct vfu_rx *rx);

/**
 * Look at the descriptors that wait with the first byte of the next message, and leave them there.
 * @param fds  duplicates, the caller's
 * @return how many, at most @p max; negative errno
 */
int vfu_rx_peek_fds(int sock, int *fds, uint32_t max);

/** The message's header; valid once a whole message is there. */
struct vfu_header vfu_rx_header(const struct vfu_rx *rx);

/** Take descriptor i out of the message (the caller owns it now); -1 when there is none. */
int vfu_rx_take_fd(struct vfu_rx *rx, uint32_t i);

/** Close the descriptors that nobody took, and make room for the next message. */
void vfu_rx_reset(struct vfu_rx *rx);

/** Forget everything, close nothing. */
void vfu_tx_init(struct vfu_tx *tx);

/**
 * Put right what a process left that was killed: the call under way is over, and a reply that was
 * joining has joined. Says nothing of descriptors. Idempotent.
 */
void vfu_io_recover(struct vfu_rx *rx, struct vfu_tx *tx);

/** The reply is complete in tx, or there is none: from here on the message counts as served. */
void vfu_io_join(struct vfu_rx *rx, struct vfu_tx *tx);

/** 0, or -EINVAL when a state that was handed over does not hold together. */
int vfu_rx_check(const struct vfu_rx *rx);
int vfu_tx_check(const struct vfu_tx *tx);

/**
 * Room for a message of `size` bytes at the end of the queue; it joins the queue by
 * vfu_tx_commit(). NULL when there is none: the peer does not read.
 */
void *vfu_tx_reserve(struct vfu_tx *tx, uint32_t size);

/**
 * Queue what was reserved, with duplicates of the nb_fds descriptors.
 * @return 0, or a negative errno when descriptors cannot be kept.
 */
int vfu_tx_commit(struct vfu_tx *tx, uint32_t size, const int *fds, uint32_t nb_fds);

/**
 * Send what the socket takes. Headers are never split: peers exist that read one at once or not
 * at all.
 * @return 1 everything is sent; 0 the socket is full; a negative errno from sendmsg().
 */
int vfu_tx_flush(int sock, struct vfu_tx *tx);

/** Close the descriptors that wait and forget the messages. */
void vfu_tx_drop(struct vfu_tx *tx);

/**
 * Send one message with its descriptors, or several without, or as much as the socket takes.
 * @return bytes sent, or a negative errno (-EAGAIN: nothing).
 */
struct iovec;
ssize_t vfu_io_send(int sock, struct iovec *iov, uint32_t nb_iov, const int *fds, uint32_t nb_fds);

/** Write a reason into a caller's buffer of VFU_WHY_LEN bytes (NULL: nowhere). */
void vfu_why(char *why, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/**
 * Fill a socket address.
 * @return 0; -EINVAL empty path; -ENAMETOOLONG more than 107 bytes. `why` has the reason.
 */
struct sockaddr_un;
int vfu_io_address(const char *path, struct sockaddr_un *addr, char *why);

/** Credentials of the process at the other end of a UNIX socket. 0 or a negative errno. */
int vfu_io_peer(int sock, struct vfu_peer *peer);

#ifdef __cplusplus
}
#endif

#endif /* VFU_IO_H */
