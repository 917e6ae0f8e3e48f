/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */
#ifndef VFU_CLIENT_H
#define VFU_CLIENT_H

/**
 * @file
 * A vfio-user client: one connection, requests in order, completions by callback.
 *
 * Nothing blocks. Requests are queued by the functions below, leave by vfu_client_flush() or
 * vfu_client_process(), may be pipelined up to VFU_CLIENT_MAX_REQS, and complete in the order in
 * which they were queued; but a region that has to be asked about twice does so behind the others.
 * At most 128 KiB of replies are asked for before some of them have come.
 * The owner waits on the socket for vfu_client_want_events() until vfu_client_next_deadline() and
 * then calls vfu_client_process().
 *
 * A request that misses its deadline ends the connection (a reply that comes later could not be
 * told from a lie), and so does everything else that breaks the stream. Then every request
 * completes with the reason, and closed() is called. A new connection is a new client.
 *
 * An object belongs to one thread at a time. Times are nanoseconds of any clock that only goes
 * forward, the same one for all calls of one client.
 */

#include <stddef.h>
#include <stdint.h>

#include "vfu_proto.h"

#ifdef __cplusplus
extern "C" {
#endif

struct vfu_client;

/** Most requests that wait or are unanswered at once (ids have 16 bits). */
#define VFU_CLIENT_MAX_REQS 65535u
/** No deadline. */
#define VFU_NEVER UINT64_MAX

/** What a completed request brought; all of it is valid during the callback only. */
struct vfu_reply {
	uint16_t command; /**< enum vfu_command of the request */
	/**
	 * Descriptors that came along. To keep one, take it and write -1 here; the library closes
	 * the rest. (The ones in `region` and `io_fds` are these: take those here, by index.)
	 */
	uint32_t nb_fds;
	int32_t *fds;
	union {
		const struct vfu_caps *version;	      /**< VERSION */
		const struct vfu_device_info *device; /**< DEVICE_GET_INFO */
		const struct vfu_region_info *region; /**< GET_REGION_INFO; fd == fds[0] or -1 */
		const struct vfu_irq_info *irq;	      /**< DEVICE_GET_IRQ_INFO */
		struct {
			const struct vfu_io_fd *entries; /**< checked: fd_index < nb_fds */
			uint32_t count;
		} io_fds; /**< GET_REGION_IO_FDS */
		struct {
			const uint8_t *data;
			uint32_t len; /**< as asked for */
		} read;		      /**< REGION_READ */
	};
};

/**
 * A request completed. It may queue requests, and free the client.
 *
 * @param status
 *   0; the negative errno of an error reply; -EPROTO a reply that does not hold together; or why
 *   the connection ended: -ETIMEDOUT, -ECONNRESET, -EPIPE, -EPROTO ...
 * @param reply
 *   NULL unless status is 0.
 */
typedef void (*vfu_done_t)(void *arg, int status, const struct vfu_reply *reply);

/** How a request ends. */
struct vfu_call {
	vfu_done_t done;      /**< may be NULL */
	void *arg;	      /**< its first argument */
	uint64_t deadline_ns; /**< absolute; VFU_NEVER: none */
};

/** Callbacks of a connection; any may be NULL. */
struct vfu_client_ops {
	/** The connection is over and every request has completed. Called once; may free. */
	void (*closed)(void *arg, int reason, const char *why);
	/** A line to log, without newline. */
	void (*log)(void *arg, enum vfu_log_level level, const char *line);
};

/**
 * Connect to a server's path. Does not wait.
 *
 * @param ops
 *   Outlives the client.
 * @param[out] why
 *   VFU_WHY_LEN bytes for one line that says what is wrong; may be NULL.
 * @return
 *   0; -EINVAL empty path; -ENAMETOOLONG; -ENOENT; -ENOTDIR; -EACCES; -ECONNREFUSED nobody serves
 *   it; -EAGAIN the server is busy, try again; -ENOTSOCK; -EPROTOTYPE; -ENOMEM; another errno.
 */
int vfu_client_connect(const char *path, const struct vfu_client_ops *ops, void *arg,
	struct vfu_client **client, char *why);

/** The same on a connected stream socket, which the client owns from success on. */
int vfu_client_open(
	int sock, const struct vfu_client_ops *ops, void *arg, struct vfu_client **client);

/** The socket. */
int vfu_client_fd(const struct vfu_client *client);

/** Events to wait for now: EPOLLIN, and EPOLLOUT while requests wait to be sent. */
uint32_t vfu_client_want_events(const struct vfu_client *client);

/** When to call vfu_client_process() at the latest; VFU_NEVER: on events only. */
uint64_t vfu_client_next_deadline(const struct vfu_client *client);

/**
 * Send, receive, complete, and look at the deadlines.
 *
 * @param now_ns
 *   The time now.
 * @param budget
 *   Most replies to take in this call, >= 1. What remains raises EPOLLIN again.
 * @return
 *   Replies taken, or the negative reason when the connection is over; closed() has been called
 *   then, and unless it did so vfu_client_free() is what remains to be done.
 */
int vfu_client_process(struct vfu_client *client, uint64_t now_ns, unsigned int budget);

/**
 * Send what the socket takes, without a callback. Errors show in the next vfu_client_process().
 * @return 1 everything is sent, 0 something waits.
 */
int vfu_client_flush(struct vfu_client *client);

/** Requests that are queued or unanswered. */
unsigned int vfu_client_pending(const struct vfu_client *client);

/** What the server said in VERSION; NULL before its reply. */
const struct vfu_caps *vfu_client_caps(const struct vfu_client *client);

/** Who the server is. 0 or a negative errno. */
int vfu_client_peer(const struct vfu_client *client, struct vfu_peer *peer);

/**
 * Close and free; no callback is called, requests are forgotten. Legal from within callbacks, NULL
 * too.
 */
void vfu_client_free(struct vfu_client *client);

/*
 * Requests. `call` is copied. All return 0, or without having queued anything: -ENOTCONN the
 * connection is over; -EINVAL an argument; -ENOBUFS VFU_CLIENT_MAX_REQS; -ENOMEM.
 * Descriptors are borrowed: they must stay open until the request completes.
 */

/** VERSION 0.0 with our capabilities; must be the first request. The rest may be queued at once. */
int vfu_client_version(struct vfu_client *client, const struct vfu_call *call);

/** DMA_MAP of memory, with its descriptor or -1. size > 0, flags VFU_DMA_F_*. */
int vfu_client_dma_map(struct vfu_client *client, const struct vfu_dma_map *map, int fd,
	const struct vfu_call *call);

/** DMA_UNMAP of a range. */
int vfu_client_dma_unmap(
	struct vfu_client *client, uint64_t iova, uint64_t size, const struct vfu_call *call);

/** DMA_UNMAP of everything. */
int vfu_client_dma_unmap_all(struct vfu_client *client, const struct vfu_call *call);

/** DEVICE_GET_INFO. */
int vfu_client_device_info(struct vfu_client *client, const struct vfu_call *call);

/** DEVICE_GET_REGION_INFO; asks a second time by itself when there are capabilities. */
int vfu_client_region_info(struct vfu_client *client, uint32_t index, const struct vfu_call *call);

/** DEVICE_GET_REGION_IO_FDS, up to VFU_MAX_IO_FDS. */
int vfu_client_region_io_fds(
	struct vfu_client *client, uint32_t index, const struct vfu_call *call);

/** DEVICE_GET_IRQ_INFO. */
int vfu_client_irq_info(struct vfu_client *client, uint32_t index, const struct vfu_call *call);

/**
 * DEVICE_SET_IRQS with eventfds: vectors start .. start + nb_fds - 1 signal them. nb_fds is at
 * most the server's max_msg_fds (-E2BIG), 0: disable the index (start does not matter).
 */
int vfu_client_set_irqs(struct vfu_client *client, uint32_t index, uint32_t start, const int *fds,
	uint32_t nb_fds, const struct vfu_call *call);

/** REGION_READ of len bytes, at most the server's max_data_xfer_size and VFU_XFER_MAX. */
int vfu_client_region_read(struct vfu_client *client, uint32_t region, uint64_t offset,
	uint32_t len, const struct vfu_call *call);

/** REGION_WRITE; completes when the server has served it. len as above. */
int vfu_client_region_write(struct vfu_client *client, uint32_t region, uint64_t offset,
	const void *data, uint32_t len, const struct vfu_call *call);

/** REGION_WRITE that wants no reply; nobody learns whether it was served. */
int vfu_client_region_post(struct vfu_client *client, uint32_t region, uint64_t offset,
	const void *data, uint32_t len);

/** DEVICE_RESET. */
int vfu_client_reset(struct vfu_client *client, const struct vfu_call *call);

#ifdef __cplusplus
}
#endif

#endif /* VFU_CLIENT_H */
