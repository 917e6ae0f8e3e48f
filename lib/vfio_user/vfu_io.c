/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * Framing of vfio-user messages on a stream socket.
 *
 * Threads: any, one at a time per object. Ownership: a received descriptor belongs to struct vfu_rx
 * until somebody takes it; a queued one is a duplicate that belongs to struct vfu_tx.
 *
 * Receiving never reads beyond the end of a message. It costs a second recvmsg() for messages with
 * a payload, and buys that descriptors cannot be credited to a neighbour: the kernel hands them out
 * with the buffer they were sent with, and a longer read could span several messages before it.
 *
 * Sending joins short messages up to VFU_TX_CHUNK bytes. The kernel takes that much as one buffer
 * or not at all, so that a header never leaves in two pieces.
 */

#include "vfu_io.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

void
vfu_why(char *why, const char *fmt, ...)
{
	va_list ap;

	if (why == NULL)
		return;
	va_start(ap, fmt);
	vsnprintf(why, VFU_WHY_LEN, fmt, ap);
	va_end(ap);
}

int
vfu_io_address(const char *path, struct sockaddr_un *addr, char *why)
{
	size_t len = path == NULL ? 0 : strlen(path);

	if (len == 0) {
		vfu_why(why, "the socket path is empty");
		return -EINVAL;
	}
	if (len >= sizeof(addr->sun_path)) {
		vfu_why(why, "the socket path has %zu bytes, %zu are possible: %.100s...", len,
			sizeof(addr->sun_path) - 1, path);
		return -ENAMETOOLONG;
	}
	memset(addr, 0, sizeof(*addr));
	addr->sun_family = AF_UNIX;
	memcpy(addr->sun_path, path, len + 1);
	return 0;
}

int
vfu_io_peer(int sock, struct vfu_peer *peer)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	if (getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &cred, &len) != 0)
		return -errno;
	peer->pid = cred.pid;
	peer->uid = cred.uid;
	peer->gid = cred.gid;
	return 0;
}

void
vfu_rx_init(struct vfu_rx *rx)
{
	rx->len = 0;
	rx->nb_fds = 0;
	rx->bad_fds = 0;
	rx->pad = 0;
}

struct vfu_header
vfu_rx_header(const struct vfu_rx *rx)
{
	struct vfu_header h;

	memcpy(&h, rx->buf, sizeof(h));
	return h;
}

int
vfu_rx_check(const struct vfu_rx *rx)
{
	struct vfu_header h;

	if (rx->nb_fds > VFU_MAX_FDS)
		return -EINVAL;
	if (rx->len < sizeof(h))
		return 0;
	h = vfu_rx_header(rx);
	if (h.size < sizeof(h) || h.size > VFU_SKIP_MAX || rx->len > h.size)
		return -EINVAL;
	return 0;
}

int
vfu_rx_take_fd(struct vfu_rx *rx, uint32_t i)
{
	int fd;

	if (i >= rx->nb_fds)
		return -1;
	fd = rx->fds[i];
	rx->fds[i] = -1;
	return fd;
}

void
vfu_rx_reset(struct vfu_rx *rx)
{
	for (uint32_t i = 0; i < rx->nb_fds; i++)
		if (rx->fds[i] >= 0)
			close(rx->fds[i]);
	vfu_rx_init(rx);
}

/* Keep the descriptors of one recvmsg(); close those beyond what a message may have. */
static void
rx_collect_fds(struct vfu_rx *rx, struct msghdr *msg)
{
	struct cmsghdr *c;

	if (msg->msg_flags & MSG_CTRUNC)
		rx->bad_fds = 1;
	for (c = CMSG_FIRSTHDR(msg); c != NULL; c = CMSG_NXTHDR(msg, c)) {
		size_t n;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
			if (rx->nb_fds < VFU_MAX_FDS) {
				rx->fds[rx->nb_fds++] = fd;
			} else {
				rx->bad_fds = 1;
				close(fd);
			}
		}
	}
}

/* One recvmsg(). Bytes, or 0 nothing there, or a negative errno (-EPIPE: end of stream). */
static ssize_t
rx_read(int sock, struct vfu_rx *rx, void *buf, size_t len)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(VFU_MAX_FDS * sizeof(int))];
	} control;
	struct iovec iov = {.iov_base = buf, .iov_len = len};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	ssize_t n;

	do {
		msg.msg_control = &control;
		msg.msg_controllen = sizeof(control.buf);
		n = recvmsg(sock, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : -errno;
	rx_collect_fds(rx, &msg);
	return n == 0 ? -EPIPE : n;
}

int
vfu_rx_step(int sock, struct vfu_rx *rx)
{
	uint8_t waste[4096];

	for (;;) {
		size_t want = sizeof(struct vfu_header) - rx->len;
		void *dst = waste;
		ssize_t n;

		if (rx->len >= sizeof(struct vfu_header)) {
			struct vfu_header h = vfu_rx_header(rx);

			if (h.size < sizeof(h) || h.size > VFU_SKIP_MAX)
				return -EMSGSIZE;
			if (rx->len >= h.size)
				return 1;
			want = h.size - rx->len;
			if (h.size > VFU_MSG_MAX)
				want = want < sizeof(waste) ? want : sizeof(waste);
			else
				dst = rx->buf + rx->len;
		} else {
			dst = rx->buf + rx->len;
		}
		n = rx_read(sock, rx, dst, want);
		if (n == -EPIPE && rx->len == 0)
			return -ECONNRESET;
		if (n <= 0)
			return (int)n;
		rx->len += (uint32_t)n;
	}
}

ssize_t
vfu_io_send(int sock, struct iovec *iov, uint32_t nb_iov, const int *fds, uint32_t nb_fds)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(VFU_MAX_FDS * sizeof(int))];
	} control;
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = nb_iov};
	ssize_t n;

	if (nb_fds > VFU_MAX_FDS)
		return -EINVAL;
	if (nb_fds > 0) {
		struct cmsghdr *c;

		memset(&control, 0, CMSG_SPACE(nb_fds * sizeof(int)));
		msg.msg_control = &control;
		msg.msg_controllen = CMSG_SPACE(nb_fds * sizeof(int));
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(nb_fds * sizeof(int));
		memcpy(CMSG_DATA(c), fds, nb_fds * sizeof(int));
	}
	do {
		n = sendmsg(sock, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

void
vfu_tx_init(struct vfu_tx *tx)
{
	tx->head = 0;
	tx->tail = 0;
	tx->sent = 0;
	tx->nb_fd_msgs = 0;
}

static uint32_t
tx_msg_size(const struct vfu_tx *tx, uint32_t pos)
{
	struct vfu_header h;

	memcpy(&h, tx->buf + pos, sizeof(h));
	return h.size;
}

int
vfu_tx_check(const struct vfu_tx *tx)
{
	uint32_t pos = tx->head, fd_msg = 0;

	if (tx->tail > VFU_TX_MAX || tx->head > tx->tail || tx->nb_fd_msgs > VFU_TX_MAX_FD_MSGS)
		return -EINVAL;
	while (pos < tx->tail) {
		uint32_t size;

		if (tx->tail - pos < sizeof(struct vfu_header))
			return -EINVAL;
		size = tx_msg_size(tx, pos);
		if (size < sizeof(struct vfu_header) || size > tx->tail - pos)
			return -EINVAL;
		if (pos == tx->head && tx->sent >= size)
			return -EINVAL;
		if (fd_msg < tx->nb_fd_msgs && tx->fd_msgs[fd_msg].pos == pos) {
			if (tx->fd_msgs[fd_msg].nb > VFU_MAX_IO_FDS)
				return -EINVAL;
			fd_msg++;
		}
		pos += size;
	}
	return fd_msg == tx->nb_fd_msgs && (tx->head < tx->tail || tx->sent == 0) ? 0 : -EINVAL;
}

void *
vfu_tx_reserve(struct vfu_tx *tx, uint32_t size)
{
	if (size > VFU_TX_MAX)
		return NULL;
	if (size > VFU_TX_MAX - tx->tail && tx->head > 0) {
		memmove(tx->buf, tx->buf + tx->head, tx->tail - tx->head);
		for (uint32_t i = 0; i < tx->nb_fd_msgs; i++)
			tx->fd_msgs[i].pos -= tx->head;
		tx->tail -= tx->head;
		tx->head = 0;
	}
	if (size > VFU_TX_MAX - tx->tail)
		return NULL;
	return tx->buf + tx->tail;
}

int
vfu_tx_commit(struct vfu_tx *tx, uint32_t size, const int *fds, uint32_t nb_fds)
{
	if (nb_fds > 0) {
		struct vfu_tx_fds *m;

		if (nb_fds > VFU_MAX_IO_FDS)
			return -EINVAL;
		if (tx->nb_fd_msgs == VFU_TX_MAX_FD_MSGS)
			return -ENOBUFS;
		m = &tx->fd_msgs[tx->nb_fd_msgs];
		m->pos = tx->tail;
		for (m->nb = 0; m->nb < nb_fds; m->nb++) {
			m->fds[m->nb] = fcntl(fds[m->nb], F_DUPFD_CLOEXEC, 0);
			if (m->fds[m->nb] < 0) {
				int rc = -errno;

				while (m->nb > 0)
					close(m->fds[--m->nb]);
				return rc;
			}
		}
		tx->nb_fd_msgs++;
	}
	tx->tail += size;
	return 0;
}

/* The descriptors of the first message have left, or never will. */
static void
tx_drop_first_fds(struct vfu_tx *tx)
{
	for (uint32_t i = 0; i < tx->fd_msgs[0].nb; i++)
		close(tx->fd_msgs[0].fds[i]);
	tx->nb_fd_msgs--;
	memmove(&tx->fd_msgs[0], &tx->fd_msgs[1], tx->nb_fd_msgs * sizeof(tx->fd_msgs[0]));
}

/* Bytes to send at once from the head: the rest of one message, or several whole ones. */
static uint32_t
tx_chunk(const struct vfu_tx *tx)
{
	uint32_t end = tx->head + tx_msg_size(tx, tx->head);

	if (tx->sent > 0 || (tx->nb_fd_msgs > 0 && tx->fd_msgs[0].pos == tx->head))
		return end - tx->head - tx->sent;
	while (end < tx->tail) {
		uint32_t size = tx_msg_size(tx, end);

		if (tx->nb_fd_msgs > 0 && tx->fd_msgs[0].pos == end)
			break;
		if (end - tx->head + size > VFU_TX_CHUNK)
			break;
		end += size;
	}
	return end - tx->head;
}

/* n bytes from the head have left. */
static void
tx_advance(struct vfu_tx *tx, uint32_t n)
{
	n += tx->sent;
	while (tx->head < tx->tail) {
		uint32_t size = tx_msg_size(tx, tx->head);

		if (n < size)
			break;
		n -= size;
		tx->head += size;
	}
	tx->sent = n;
	if (tx->head == tx->tail) {
		tx->head = 0;
		tx->tail = 0;
	}
}

int
vfu_tx_flush(int sock, struct vfu_tx *tx)
{
	while (tx->head < tx->tail) {
		bool with_fds = tx->nb_fd_msgs > 0 && tx->fd_msgs[0].pos == tx->head;
		struct iovec iov = {.iov_base = tx->buf + tx->head + tx->sent};
		ssize_t n;

		iov.iov_len = tx_chunk(tx);
		n = vfu_io_send(sock, &iov, 1, with_fds ? tx->fd_msgs[0].fds : NULL,
			with_fds ? tx->fd_msgs[0].nb : 0);
		if (n == -EAGAIN || n == -EWOULDBLOCK)
			return 0;
		if (n < 0)
			return (int)n;
		if (with_fds)
			tx_drop_first_fds(tx);
		tx_advance(tx, (uint32_t)n);
	}
	return 1;
}

void
vfu_tx_drop(struct vfu_tx *tx)
{
	while (tx->nb_fd_msgs > 0)
		tx_drop_first_fds(tx);
	vfu_tx_init(tx);
}
