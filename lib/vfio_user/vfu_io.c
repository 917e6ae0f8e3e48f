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

/* A killed process's stores are seen up to some point in program order: keep the compiler to it. */
static inline void
in_order(void)
{
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
}

void
vfu_rx_init(struct vfu_rx *rx)
{
	rx->note.active = 0;
	in_order();
	rx->len = 0;
	rx->nb_fds = 0;
	rx->bad_fds = 0;
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

union rx_control {
	struct cmsghdr align;
	char buf[CMSG_SPACE(VFU_MAX_FDS * sizeof(int))];
};

/*
 * One recvmmsg() of one message: rx->len grows by the bytes. 1, or 0 nothing there, or a negative
 * errno (-EPIPE: end of stream).
 */
static int
rx_read(int sock, struct vfu_rx *rx, void *buf, size_t len)
{
	union rx_control control;
	struct iovec iov = {.iov_base = buf, .iov_len = len};
	struct mmsghdr *mm = &rx->note.mm;
	int n;

	do {
		memset(mm, 0, sizeof(*mm));
		mm->msg_hdr.msg_iov = &iov;
		mm->msg_hdr.msg_iovlen = 1;
		mm->msg_hdr.msg_control = &control;
		mm->msg_hdr.msg_controllen = sizeof(control.buf);
		rx->from = rx->len;
		in_order();
		rx->note.active = 1;
		n = recvmmsg(sock, mm, 1, MSG_DONTWAIT | MSG_CMSG_CLOEXEC, NULL);
	} while (n < 0 && errno == EINTR);
	if (n <= 0) {
		rx->note.active = 0;
		return n == 0 || errno == EAGAIN || errno == EWOULDBLOCK ? 0 : -errno;
	}
	rx_collect_fds(rx, &mm->msg_hdr);
	n = (int)mm->msg_len;
	rx->len = rx->from + (uint32_t)n;
	in_order();
	rx->note.active = 0;
	return n == 0 ? -EPIPE : 1;
}

int
vfu_rx_peek_fds(int sock, int *fds, uint32_t max)
{
	union rx_control control;
	uint8_t byte;
	struct iovec iov = {.iov_base = &byte, .iov_len = 1};
	struct msghdr msg = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control.buf)};
	struct vfu_rx rx_fds; /* the descriptors of it only */
	ssize_t n;

	n = recvmsg(sock, &msg, MSG_DONTWAIT | MSG_PEEK | MSG_CMSG_CLOEXEC);
	if (n < 0)
		return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? 0 : -errno;
	rx_fds.nb_fds = 0;
	rx_fds.bad_fds = 0;
	rx_collect_fds(&rx_fds, &msg);
	while (rx_fds.nb_fds > max)
		close(rx_fds.fds[--rx_fds.nb_fds]);
	memcpy(fds, rx_fds.fds, rx_fds.nb_fds * sizeof(fds[0]));
	return (int)rx_fds.nb_fds;
}

int
vfu_rx_step(int sock, struct vfu_rx *rx)
{
	uint8_t waste[4096];

	for (;;) {
		size_t want = sizeof(struct vfu_header) - rx->len;
		void *dst = waste;
		int n;

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
			return n;
	}
}

/* Attach descriptors to a message. */
static void
put_fds(struct msghdr *msg, union rx_control *control, const int *fds, uint32_t nb_fds)
{
	struct cmsghdr *c;

	if (nb_fds == 0)
		return;
	memset(control, 0, CMSG_SPACE(nb_fds * sizeof(int)));
	msg->msg_control = control;
	msg->msg_controllen = CMSG_SPACE(nb_fds * sizeof(int));
	c = CMSG_FIRSTHDR(msg);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(nb_fds * sizeof(int));
	memcpy(CMSG_DATA(c), fds, nb_fds * sizeof(int));
}

ssize_t
vfu_io_send(int sock, struct iovec *iov, uint32_t nb_iov, const int *fds, uint32_t nb_fds)
{
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = nb_iov};
	union rx_control control;
	ssize_t n;

	if (nb_fds > VFU_MAX_FDS)
		return -EINVAL;
	put_fds(&msg, &control, fds, nb_fds);
	do {
		n = sendmsg(sock, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

void
vfu_tx_init(struct vfu_tx *tx)
{
	tx->note.active = 0;
	tx->joining = 0;
	in_order();
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
	tx->join_tail = tx->tail + size;
	return 0;
}

void
vfu_io_join(struct vfu_rx *rx, struct vfu_tx *tx)
{
	tx->join_nr = rx->nr + 1;
	in_order();
	tx->joining = 1;
	in_order();
	tx->tail = tx->join_tail;
	rx->nr = tx->join_nr;
	vfu_rx_reset(rx);
	in_order();
	tx->joining = 0;
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

/* One sendmmsg() from the head, and the positions after it. 1, 0 the socket is full, or -errno. */
static int
tx_send(int sock, struct vfu_tx *tx)
{
	bool with_fds = tx->nb_fd_msgs > 0 && tx->fd_msgs[0].pos == tx->head;
	struct iovec iov = {
		.iov_base = tx->buf + tx->head + tx->sent,
		.iov_len = tx_chunk(tx),
	};
	struct mmsghdr *mm = &tx->note.mm;
	union rx_control control;
	int n;

	do {
		memset(mm, 0, sizeof(*mm));
		mm->msg_hdr.msg_iov = &iov;
		mm->msg_hdr.msg_iovlen = 1;
		if (with_fds)
			put_fds(&mm->msg_hdr, &control, tx->fd_msgs[0].fds, tx->fd_msgs[0].nb);
		tx->from_head = tx->head;
		tx->from_tail = tx->tail;
		tx->from_sent = tx->sent;
		in_order();
		tx->note.active = 1;
		n = sendmmsg(sock, mm, 1, MSG_DONTWAIT | MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	if (n <= 0) {
		tx->note.active = 0;
		return n == 0 || errno == EAGAIN || errno == EWOULDBLOCK ? 0 : -errno;
	}
	if (with_fds)
		tx_drop_first_fds(tx);
	tx_advance(tx, mm->msg_len);
	in_order();
	tx->note.active = 0;
	return 1;
}

int
vfu_tx_flush(int sock, struct vfu_tx *tx)
{
	while (tx->head < tx->tail) {
		int n = tx_send(sock, tx);

		if (n <= 0)
			return n;
	}
	return 1;
}

void
vfu_io_recover(struct vfu_rx *rx, struct vfu_tx *tx)
{
	if (rx->note.active != 0) {
		rx->len = rx->from + rx->note.mm.msg_len;
		rx->note.active = 0;
	}
	if (tx->note.active != 0) {
		tx->head = tx->from_head;
		tx->tail = tx->from_tail;
		tx->sent = tx->from_sent;
		/* What it says is checked afterwards; not read here beyond the queue. */
		if (tx->tail <= VFU_TX_MAX && tx->head <= tx->tail)
			tx_advance(tx, tx->note.mm.msg_len);
		tx->note.active = 0;
	}
	if (tx->joining != 0) {
		tx->tail = tx->join_tail;
		rx->nr = tx->join_nr;
		rx->len = 0;
		rx->bad_fds = 0;
		rx->nb_fds = 0;
		tx->joining = 0;
	}
}

void
vfu_tx_drop(struct vfu_tx *tx)
{
	while (tx->nb_fd_msgs > 0)
		tx_drop_first_fds(tx);
	vfu_tx_init(tx);
}
