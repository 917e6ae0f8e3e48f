/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/* See fuzz_sock.h. One thread. */

#include "fuzz_sock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "fuzz.h"

#define FD_FIRST 100000
#define NB_FDS	 2048
#define NB_SEGS	 256
#define ARENA	 (256u * 1024)

ssize_t fuzz_recvmsg(int fd, struct msghdr *msg, int flags);
ssize_t fuzz_sendmsg(int fd, const struct msghdr *msg, int flags);
int fuzz_recvmmsg(int fd, struct mmsghdr *mm, unsigned int n, int flags, struct timespec *ts);
int fuzz_sendmmsg(int fd, struct mmsghdr *mm, unsigned int n, int flags);
int fuzz_close(int fd);
int fuzz_fcntl(int fd, int cmd, ...);
ssize_t fuzz_readlink(const char *path, char *buf, size_t size);

struct segment {
	const uint8_t *data;
	uint32_t len, nb_fds;
	bool lost, wait;
};

static struct {
	int fd;
	bool closed; /* by the peer */
	struct segment seg[NB_SEGS];
	uint32_t first, nb;
	uint32_t at; /* bytes of the first that were read */
	uint8_t arena[ARENA];
	uint32_t used;
	uint32_t takes;
	int err;
	uint32_t nb_open;
	uint8_t open[NB_FDS];
	uint32_t next_fd;
} s;

/* ---- descriptors ------------------------------------------------------------------------------- */

int
sock_fd_new(void)
{
	uint32_t i;

	for (i = 0; i < NB_FDS; i++) {
		uint32_t n = (s.next_fd + i) % NB_FDS;

		if (s.open[n])
			continue;
		s.open[n] = 1;
		s.next_fd = n + 1; /* so that a stale number is none */
		s.nb_open++;
		return FD_FIRST + (int)n;
	}
	return -1;
}

bool
sock_fd_is_open(int fd)
{
	return fd >= FD_FIRST && fd < FD_FIRST + NB_FDS && s.open[fd - FD_FIRST];
}

void
sock_fd_close(int fd)
{
	FUZZ_CHECK(sock_fd_is_open(fd));
	s.open[fd - FD_FIRST] = 0;
	s.nb_open--;
}

unsigned int
sock_nb_fds(void)
{
	return s.nb_open;
}

int
fuzz_close(int fd)
{
	sock_fd_close(fd);
	return 0;
}

int
fuzz_fcntl(int fd, int cmd, ...)
{
	int new_fd;

	FUZZ_CHECK(sock_fd_is_open(fd));
	switch (cmd) {
	case F_GETFL:
		return O_RDWR | (fd % 3 == 0 ? O_NONBLOCK : 0);
	case F_DUPFD_CLOEXEC:
		new_fd = sock_fd_new();
		if (new_fd < 0)
			errno = EMFILE;
		return new_fd;
	default:
		return 0;
	}
}

ssize_t
fuzz_readlink(const char *path, char *buf, size_t size)
{
	static const char eventfd_link[] = "anon_inode:[eventfd]";
	static const char other[] = "/memfd:ram";
	const char *slash = strrchr(path, '/');
	const char *l = slash != NULL && slash[strlen(slash) - 1] == '7' ? other : eventfd_link;
	size_t n = strlen(l) < size ? strlen(l) : size;

	memcpy(buf, l, n);
	return (ssize_t)n;
}

/* ---- the socket -------------------------------------------------------------------------------- */

int
sock_open(void)
{
	memset(s.open, 0, sizeof(s.open));
	s.nb_open = 0;
	s.closed = false;
	s.first = s.nb = s.at = s.used = 0;
	s.takes = UINT32_MAX;
	s.err = 0;
	s.fd = sock_fd_new();
	return s.fd;
}

static struct segment *
segment_new(void)
{
	struct segment *seg;

	if (s.first != 0 && s.first == s.nb) {
		s.first = s.nb = 0;
		s.used = 0;
	}
	if (s.nb == NB_SEGS)
		return NULL;
	seg = &s.seg[s.nb++];
	memset(seg, 0, sizeof(*seg));
	return seg;
}

void
sock_peer_sends(const void *data, uint32_t len, uint32_t nb_fds, bool lost)
{
	struct segment *seg;

	if (len == 0 || (data != NULL && len > ARENA))
		return;
	seg = segment_new();
	if (seg == NULL || (data != NULL && len > ARENA - s.used)) {
		s.nb -= seg != NULL;
		return;
	}
	seg->len = len;
	seg->nb_fds = nb_fds;
	seg->lost = lost;
	if (data == NULL)
		return;
	seg->data = memcpy(s.arena + s.used, data, len);
	s.used += len;
}

void
sock_peer_waits(void)
{
	struct segment *seg = segment_new();

	if (seg != NULL)
		seg->wait = true;
}

void
sock_peer_closes(void)
{
	s.closed = true;
}

void
sock_takes(uint32_t bytes, int err)
{
	s.takes = bytes;
	s.err = err;
}

bool
sock_readable(void)
{
	return s.first != s.nb || s.closed;
}

/* Descriptors into the control buffer, as many as fit. */
static void
give_fds(struct msghdr *msg, const struct segment *seg)
{
	size_t room = msg->msg_controllen < CMSG_LEN(0) ? 0 : msg->msg_controllen - CMSG_LEN(0);
	uint32_t n = seg->nb_fds, i;
	struct cmsghdr *c = msg->msg_control;

	msg->msg_flags |= seg->lost ? MSG_CTRUNC : 0;
	if (n > room / sizeof(int)) {
		n = (uint32_t)(room / sizeof(int));
		msg->msg_flags |= MSG_CTRUNC;
	}
	if (n == 0) {
		msg->msg_controllen = 0;
		return;
	}
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	for (i = 0; i < n; i++) {
		int fd = sock_fd_new();

		if (fd < 0) {
			msg->msg_flags |= MSG_CTRUNC;
			break;
		}
		memcpy(CMSG_DATA(c) + i * sizeof(int), &fd, sizeof(fd));
	}
	c->cmsg_len = CMSG_LEN(i * sizeof(int));
	msg->msg_controllen = CMSG_SPACE(i * sizeof(int));
}

ssize_t
fuzz_recvmsg(int fd, struct msghdr *msg, int flags)
{
	struct segment *seg = &s.seg[s.first];
	uint32_t n;

	FUZZ_CHECK(fd == s.fd && sock_fd_is_open(fd) && msg->msg_iovlen == 1);
	msg->msg_flags = 0;
	if (s.first == s.nb || seg->wait) {
		if (s.first != s.nb)
			s.first++;
		msg->msg_controllen = 0;
		if (s.first == s.nb && s.closed)
			return 0;
		errno = EAGAIN;
		return -1;
	}
	n = seg->len - s.at;
	n = n < msg->msg_iov->iov_len ? n : (uint32_t)msg->msg_iov->iov_len;
	if (seg->data != NULL)
		memcpy(msg->msg_iov->iov_base, seg->data + s.at, n);
	else
		memset(msg->msg_iov->iov_base, 0, n);
	if (s.at == 0)
		give_fds(msg, seg);
	else
		msg->msg_controllen = 0;
	if ((flags & MSG_PEEK) != 0)
		return n;
	s.at += n;
	if (s.at == seg->len) {
		s.first++;
		s.at = 0;
	}
	return n;
}

ssize_t
fuzz_sendmsg(int fd, const struct msghdr *msg, int flags)
{
	uint32_t nb_fds = 0;
	size_t i, sent = 0;

	FUZZ_CHECK(fd == s.fd && sock_fd_is_open(fd) && (flags & MSG_NOSIGNAL) != 0);
	if (s.err != 0 || s.takes == 0) {
		errno = s.err != 0 ? s.err : EAGAIN;
		return -1;
	}
	if (msg->msg_controllen != 0 && msg->msg_control != NULL) {
		const struct cmsghdr *c = CMSG_FIRSTHDR(msg);

		nb_fds = (uint32_t)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
		for (i = 0; i < nb_fds; i++) {
			int one;

			memcpy(&one, CMSG_DATA(c) + i * sizeof(int), sizeof(one));
			FUZZ_CHECK(sock_fd_is_open(one));
		}
	}
	for (i = 0; i < msg->msg_iovlen && s.takes != 0; i++) {
		size_t n = msg->msg_iov[i].iov_len;

		n = n < s.takes ? n : s.takes;
		sock_on_sent(msg->msg_iov[i].iov_base, n, i == 0 ? nb_fds : 0);
		s.takes -= s.takes == UINT32_MAX ? 0 : (uint32_t)n;
		sent += n;
	}
	return (ssize_t)sent;
}

int
fuzz_recvmmsg(int fd, struct mmsghdr *mm, unsigned int n, int flags, struct timespec *ts)
{
	ssize_t len;

	(void)ts;
	FUZZ_CHECK(n == 1);
	len = fuzz_recvmsg(fd, &mm->msg_hdr, flags);
	if (len < 0)
		return -1;
	mm->msg_len = (unsigned int)len;
	return 1;
}

int
fuzz_sendmmsg(int fd, struct mmsghdr *mm, unsigned int n, int flags)
{
	ssize_t len;

	FUZZ_CHECK(n == 1);
	len = fuzz_sendmsg(fd, &mm->msg_hdr, flags);
	if (len < 0)
		return -1;
	mm->msg_len = (unsigned int)len;
	return 1;
}
