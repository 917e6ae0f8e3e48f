/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * A peer of QEMU's ivshmem-doorbell devices (ADR-0018): a server at a UNIX socket hands out the memory that
 * all peers see, and for each of them an eventfd that interrupts it. Messages are numbers of 64 bits, some
 * with a descriptor: version 0; our own number; -1 with the memory; then (number, eventfd) for each
 * vector of each peer that comes, our own too, and a bare number for one that goes.
 *
 *     VERSION --0--> SELF --number--> MEMORY --(-1, fd)--> PEERS        any, at an end or nonsense --> LOST
 *
 * A server that is lost takes the interrupts with it, not the memory. It is connected again when there is
 * no session, and may have other memory then.
 *
 * Threads: control lock held. vbus_ivshmem_open() waits, for the server alone; nothing else does.
 * Ownership: the window has the object from open to close. What a peer or the server holds as well (eventfds) is
 * never read nor written by read(2) and write(2), which could be made to block.
 */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "evsignal.h"
#include "vbus_ctl.h"
#include "vbus_window.h"

#define PROTOCOL   0
#define NUMBER_MAX 0xffff
#define PEERS_MAX  64u
/* Who waits holds the lock, and heartbeats wait with it: on the control thread less than makes a peer give up. */
#define WAIT_NS		5000000000ull
#define WAIT_CONTROL_NS 1000000000ull

struct peer {
	uint32_t number; /* as it is written to a doorbell: peer above, vector below */
	int fd;
};

struct vbus_ivshmem {
	struct vbus_window *w;
	char path[VBUS_WINDOW_PATH_SIZE];
	enum {
		LOST,
		VERSION,
		SELF,
		MEMORY,
		PEERS
	} state;
	int sock;
	int error;  /* why it was lost */
	int memory; /* -1: not yet */
	bool fresh; /* nobody has asked for it */
	int nobody; /* an eventfd that nobody waits for: ring_fd while there is no other */
	int irq_fd; /* ours; -1: not yet */
	int aimed;  /* whose descriptor ring_fd is; -1: nobody */
	uint32_t self;
	uint32_t nb_peers;
	struct peer peers[PEERS_MAX];
	struct vbus_ctl_fd *watch, *irq_watch;
	int64_t message;
	uint32_t have; /* bytes of it */
	int fd;	       /* that came with it; -1: none */
};

/* ---- the peers --------------------------------------------------------------------------------- */

bool
vbus_ivshmem_aim(struct vbus_ivshmem *s, uint32_t number)
{
	int fd = -1;

	for (uint32_t i = 0; i < s->nb_peers; i++)
		if (s->peers[i].number == number)
			fd = s->peers[i].fd;
	if (fd == s->aimed)
		return fd >= 0;
	/* The number of the descriptor stays: lcores use it at this moment. */
	if (dup3(fd >= 0 ? fd : s->nobody, s->w->irq.ring_fd, O_CLOEXEC) < 0)
		return false;
	s->aimed = fd;
	return fd >= 0;
}

static void
irq_came(int fd, uint32_t events, void *arg)
{
	struct vbus_ivshmem *s = arg;

	(void)fd; /* edges are waited for; the counter is left as it is */
	(void)events;
	vbus_window_irq_came(s->w);
}

/* Our own vector 0; we have no use for others. */
static void
own_vector(struct vbus_ivshmem *s, int fd)
{
	if (s->irq_fd < 0)
		s->irq_watch = vbus_ctl_fd_add(fd, EPOLLIN | EPOLLET, irq_came, s);
	if (s->irq_fd >= 0 || s->irq_watch == NULL) {
		close(fd);
		return;
	}
	s->irq_fd = fd;
	s->w->irq.own = (uint64_t)VBUS_WINDOW_IRQ << 32 | s->self << 16;
}

static void
peer_comes(struct vbus_ivshmem *s, uint32_t id, int fd)
{
	uint32_t vector = 0;
	struct stat st;

	/* An eventfd is no file of any type. */
	if (fstat(fd, &st) != 0 || (st.st_mode & S_IFMT) != 0) {
		close(fd);
		return;
	}
	if (id == s->self) {
		own_vector(s, fd);
		return;
	}
	for (uint32_t i = 0; i < s->nb_peers; i++)
		vector += s->peers[i].number >> 16 == id;
	if (s->nb_peers == PEERS_MAX) {
		close(fd); /* not rung, that is all */
		return;
	}
	s->peers[s->nb_peers++] = (struct peer){.number = id << 16 | vector, .fd = fd};
}

static void
peer_goes(struct vbus_ivshmem *s, uint32_t id)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < s->nb_peers; i++) {
		if (s->peers[i].number >> 16 != id) {
			s->peers[n++] = s->peers[i];
			continue;
		}
		if (s->peers[i].fd == s->aimed)
			s->aimed = -2; /* neither one of them nor nobody: aim anew */
		close(s->peers[i].fd);
	}
	s->nb_peers = n;
}

/* ---- the server -------------------------------------------------------------------------------- */

static void
lose(struct vbus_ivshmem *s, int error)
{
	vbus_ctl_fd_del(s->watch);
	vbus_ctl_fd_del(s->irq_watch);
	s->watch = s->irq_watch = NULL;
	if (s->fd >= 0)
		close(s->fd);
	if (s->irq_fd >= 0)
		close(s->irq_fd);
	if (s->sock >= 0)
		close(s->sock);
	s->fd = s->irq_fd = s->sock = -1;
	while (s->nb_peers != 0)
		peer_goes(s, s->peers[0].number >> 16);
	s->have = 0;
	s->error = error;
	s->state = LOST;
	vbus_window_irq_off(s->w);
	(void)vbus_ivshmem_aim(s, 0);
}

/* One message, with s->fd, which is its own to keep or close. @return 0, or a negative errno: nonsense */
static int
take(struct vbus_ivshmem *s)
{
	const int64_t n = s->message;
	const int fd = s->fd;

	s->fd = -1;
	if (s->state == VERSION && n == PROTOCOL && fd < 0) {
		s->state = SELF;
	} else if (s->state == SELF && n >= 0 && n <= NUMBER_MAX && fd < 0) {
		s->self = (uint32_t)n;
		s->state = MEMORY;
	} else if (s->state == MEMORY && n == -1 && fd >= 0) {
		if (s->memory >= 0)
			close(s->memory);
		s->memory = fd;
		s->fresh = true;
		s->state = PEERS;
	} else if (s->state == PEERS && n >= 0 && n <= NUMBER_MAX) {
		if (fd >= 0)
			peer_comes(s, (uint32_t)n, fd);
		else
			peer_goes(s, (uint32_t)n);
		vbus_window_irq_aim(s->w);
	} else {
		if (fd >= 0)
			close(fd);
		return -EPROTO;
	}
	return 0;
}

/* @return bytes of the message that is being received, 0: the end, or a negative errno */
static ssize_t
receive(struct vbus_ivshmem *s)
{
	union {
		struct cmsghdr head;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = {
		.iov_base = (char *)&s->message + s->have,
		.iov_len = sizeof(s->message) - s->have,
	};
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	ssize_t n = recvmsg(s->sock, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	struct cmsghdr *c;

	if (n < 0)
		return -errno;
	c = CMSG_FIRSTHDR(&msg);
	if (c != NULL && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
		c->cmsg_len == CMSG_LEN(sizeof(int))) {
		if (s->fd >= 0)
			close(s->fd);
		memcpy(&s->fd, CMSG_DATA(c), sizeof(s->fd));
	}
	s->have += (uint32_t)n;
	return n;
}

static void
readable(int sock, uint32_t events, void *arg)
{
	struct vbus_ivshmem *s = arg;
	ssize_t n = receive(s);
	int ret = 0;

	(void)sock;
	(void)events;
	if (n == -EAGAIN || n == -EINTR)
		return;
	if (n > 0 && s->have == sizeof(s->message)) {
		s->have = 0;
		ret = take(s);
	}
	if (n <= 0)
		ret = n == 0 ? -ECONNRESET : (int)n;
	if (ret != 0)
		lose(s, ret);
}

static int
connect_to(struct vbus_ivshmem *s)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	int ret;

	if (strlen(s->path) >= sizeof(to.sun_path))
		return -ENAMETOOLONG;
	strcpy(to.sun_path, s->path);
	s->sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (s->sock < 0)
		return -errno;
	if (connect(s->sock, (const struct sockaddr *)&to, sizeof(to)) == 0)
		s->watch = vbus_ctl_fd_add(s->sock, EPOLLIN, readable, s);
	if (s->watch != NULL) {
		s->state = VERSION;
		return 0;
	}
	ret = -errno;
	close(s->sock);
	s->sock = -1;
	return ret;
}

/* ---- for the window ---------------------------------------------------------------------------- */

/* The control thread may be waiting for the lock: what is there is read here. */
static int
await_memory(struct vbus_ivshmem *s)
{
	uint64_t end = vbus_ctl_now_ns() + (vbus_ctl_in_control() ? WAIT_CONTROL_NS : WAIT_NS);

	while (s->state != LOST && s->state != PEERS) {
		struct pollfd p = {.fd = s->sock, .events = POLLIN};

		if (vbus_ctl_now_ns() >= end)
			return -ETIMEDOUT;
		if (poll(&p, 1, 100) > 0)
			readable(s->sock, EPOLLIN, s);
	}
	return s->state == PEERS ? 0 : s->error;
}

int
vbus_ivshmem_open(struct vbus_window *w, const char *path)
{
	struct vbus_ivshmem *s = calloc(1, sizeof(*s));
	int ret;

	if (s == NULL)
		return -ENOMEM;
	w->irq.server = s;
	w->irq.ring_off = -1;
	s->w = w;
	s->sock = s->memory = s->irq_fd = s->aimed = s->fd = -1;
	strncpy(s->path, path, sizeof(s->path) - 1);
	s->nobody = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	w->irq.ring_fd = s->nobody >= 0 ? fcntl(s->nobody, F_DUPFD_CLOEXEC, 0) : -1;
	/* This also makes lcores' signals ready (evsignal.h). */
	ret = w->irq.ring_fd >= 0 ? vbus_eventfd_signal(s->nobody) : -errno;
	if (ret == 0)
		ret = connect_to(s);
	if (ret == 0)
		ret = await_memory(s);
	if (ret != 0)
		vbus_ivshmem_close(w);
	return ret;
}

void
vbus_ivshmem_close(struct vbus_window *w)
{
	struct vbus_ivshmem *s = w->irq.server;

	if (s == NULL)
		return;
	lose(s, 0);
	if (s->memory >= 0)
		close(s->memory);
	if (s->nobody >= 0)
		close(s->nobody);
	if (w->irq.ring_fd >= 0)
		close(w->irq.ring_fd);
	w->irq.ring_fd = -1;
	w->irq.server = NULL;
	free(s);
}

int
vbus_ivshmem_memory(struct vbus_ivshmem *s)
{
	s->fresh = false;
	return s->memory;
}

bool
vbus_ivshmem_again(struct vbus_ivshmem *s)
{
	if (s->state == LOST)
		(void)connect_to(s);
	return s->fresh;
}
