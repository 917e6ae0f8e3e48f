/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * Back ends of serial ports: a pty with a stable name, a listening socket, a file, standard input and
 * output (ADR-0013).
 *
 * Threads: made and removed by the main control thread; in between the back ends' thread owns
 * everything (dp_io.h). Output of north goes to a ring of our own, and from there to whoever is
 * attached. With nobody attached the ring keeps the last `scrollback` bytes, and who comes gets what
 * nobody has got yet. With somebody attached it fills up when they do not read, then north's entries
 * stay where they are: nothing is lost. Input is read only when north has taken what was read before.
 *
 * A byte leaves our ring when its reader has it: a file or pty when write() took it (a pty's bytes wait
 * in the kernel for whoever opens it next), a socket's client when it has read it, see settle().
 */

#include "dp_serial_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

#include <linux/sockios.h>

#include "dp_log.h"
#include "vbus_core.h"
#include "vbus_ctl.h"

DP_LOG_TYPE("serial");

/* ---- the ring ---------------------------------------------------------------------------------- */

/* Behind what is there; it counts when it is accepted. */
static void
out_put(struct dp_serial *s, const uint8_t *bytes, uint32_t len)
{
	uint32_t at = (out_at(s) + out_len(s)) & (s->out_size - 1);
	uint32_t first = len < s->out_size - at ? len : s->out_size - at;

	memcpy(s->out + at, bytes, first);
	memcpy(s->out, bytes + first, len - first);
}

static void
out_drop(struct dp_serial *s, uint32_t len)
{
	s->m->out_done += len;
}

/* The bytes from here on, which may wrap. */
static void
out_parts(const struct dp_serial *s, struct iovec v[2], uint32_t len)
{
	const uint32_t first = s->out_size - out_at(s);

	v[0] = (struct iovec){s->out + out_at(s), len < first ? len : first};
	v[1] = (struct iovec){s->out, len < first ? 0 : len - first};
}

/* ---- attached or not --------------------------------------------------------------------------- */

void
dp_serial_attach(struct dp_serial *s)
{
	s->attached = true;
	s->in_over = false;
	s->out_over = false;
	s->reset = false;
}

/*
 * What a client has not read goes with it. So it gets a piece at a time, which stays in our ring until
 * it is read. The kernel knows how much is unread, and a client that went and left something makes an
 * error before that is forgotten. A client that had read a part of the piece leaves it to the next one
 * as a whole: that part comes twice, nothing is missing.
 *
 * @return all that was sent is dealt with
 */
static bool
settle(struct dp_serial *s)
{
	socklen_t len = sizeof(int);
	int unread = 0, err = 0;

	if (s->m->send.msg_len == 0)
		return true;
	/* While a reader's wake-up is on its way one more is counted. */
	if (ioctl(s->out_fd, SIOCOUTQ, &unread) == 0 && unread > 1)
		return false;
	if (getsockopt(s->out_fd, SOL_SOCKET, SO_ERROR, &err, &len) == 0 && err != 0)
		s->reset = true;
	if (!s->reset)
		s->m->out_done = s->m->send_from + s->m->send.msg_len;
	BEFORE_A_KILL();
	s->out_over |= s->reset;
	s->m->send.msg_len = 0;
	return true;
}

static void
detach(struct dp_serial *s)
{
	s->attached = false;
	if (s->kind != KIND_LISTEN)
		return;
	settle(s);
	s->m->send.msg_len = 0;
	shutdown(s->in_fd, SHUT_RDWR); /* the keeper has it too */
	s->untold = s->keeps;
	close(s->in_fd); /* and out of the epoll set */
	s->in_fd = -1;
	s->out_fd = -1;
}

static short
poll_fd(int fd, short events)
{
	struct pollfd p = {.fd = fd, .events = events};

	return poll(&p, 1, 0) > 0 ? p.revents : 0;
}

/* Has somebody come or gone? @return something changed */
bool
dp_serial_look_pty(struct dp_serial *s)
{
	struct winsize w;
	bool there = (poll_fd(s->in_fd, POLLIN) & POLLHUP) == 0;

	if (s->attached && ioctl(s->in_fd, TIOCGWINSZ, &w) == 0) {
		s->rows = w.ws_row;
		s->cols = w.ws_col;
	}
	if (there == s->attached)
		return false;
	/* What was typed before the end is still there to be read. */
	if (!there && (in_len(s) != 0 || (poll_fd(s->in_fd, POLLIN) & POLLIN) != 0))
		return false;
	if (there)
		dp_serial_attach(s);
	else
		detach(s);
	return true;
}

/* A client that has closed both ways is gone when all it sent is taken. */
static bool
client_gone(struct dp_serial *s)
{
	char c;

	if (in_len(s) != 0 || (poll_fd(s->in_fd, POLLOUT) & (POLLHUP | POLLERR)) == 0)
		return false;
	/* Nothing is read for a north that is not there. */
	if (!s->in_over && !vbus_serial_up(s->port))
		s->in_over = recv(s->in_fd, &c, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
	return s->in_over;
}

static bool
look_listen(struct dp_serial *s)
{
	int fd;

	if (s->attached) {
		if (!client_gone(s))
			return false;
		detach(s);
		return true;
	}
	fd = accept4(s->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0)
		return false;
	if (dp_io_watch(fd) != 0) {
		close(fd);
		return false;
	}
	s->in_fd = fd;
	s->out_fd = fd;
	s->untold = s->keeps;
	dp_serial_attach(s);
	return true;
}

/* ---- bytes ------------------------------------------------------------------------------------- */

/* A piece for the client. @return as write_out(), but that the ring keeps it for now */
static ssize_t
send_out(struct dp_serial *s)
{
	struct memory *m = s->m;

	out_parts(s, m->send_part, out_len(s) < CHUNK ? out_len(s) : CHUNK);
	m->send.msg_hdr = (struct msghdr){.msg_iov = m->send_part, .msg_iovlen = 2};
	m->send_from = m->out_done;
	BEFORE_A_KILL();
	if (sendmmsg(s->out_fd, &m->send, 1, MSG_NOSIGNAL | MSG_DONTWAIT) != 1)
		return -1;
	return m->send.msg_len;
}

/* To a file or pty, so that a successor can tell what it got. @return as write() */
static ssize_t
write_noted(struct dp_serial *s)
{
	struct memory *m = s->m;
	struct iovec v[2];
	struct stat st;
	ssize_t n;

	out_parts(s, v, out_len(s));
	if (!s->keeps || fstat(s->out_fd, &st) != 0)
		return writev(s->out_fd, v, 2);
	m->sink.from = m->out_done;
	m->sink.at = s->kind == KIND_FILE ? st.st_size : (off_t)(OUT_OFFSET + out_at(s));
	BEFORE_A_KILL();
	m->sink.active = 1;
	BEFORE_A_KILL();
	if (s->kind == KIND_FILE)
		n = writev(s->out_fd, v, 2);
	else
		n = sendfile(s->out_fd, s->memory_fd, &m->sink.at, v[0].iov_len);
	if (n > 0)
		m->out_done = m->sink.from + (uint32_t)n;
	BEFORE_A_KILL();
	m->sink.active = 0;
	return n;
}

/* @return bytes, 0: not now, negative: who was attached is gone, or the file is full */
static ssize_t
write_out(struct dp_serial *s)
{
	struct iovec v[2];
	ssize_t n;

	if (s->kind == KIND_LISTEN) {
		n = send_out(s);
	} else if (s->kind == KIND_STDIO) {
		/* Its descriptors are others' too: they are not made non-blocking. */
		if ((poll_fd(s->out_fd, POLLOUT) & POLLOUT) == 0)
			return 0;
		out_parts(s, v, out_len(s) < CHUNK ? out_len(s) : CHUNK);
		n = write(s->out_fd, v[0].iov_base, v[0].iov_len);
	} else {
		n = write_noted(s);
	}
	if (n >= 0)
		return n;
	return errno == EAGAIN || errno == EINTR ? 0 : -errno;
}

/* None of our kinds can carry a break: counted (`output_breaks`), and said. */
static void
tell_break(struct dp_serial *s)
{
	uint32_t left_out;

	if (!vbus_log_allowed(&s->break_limit, &left_out))
		return;
	DP_LOG(NOTICE, "device %s: the peer sent a break", s->name);
	if (left_out != 0)
		DP_LOG(NOTICE, "%u lines like this one were left out", left_out);
}

/* More is kept than has to be, and nobody is there to read it. */
static bool
out_is_old(const struct dp_serial *s)
{
	return (!s->attached || s->out_over) && !s->hold && s->m->send.msg_len == 0 &&
	       out_len(s) > s->out_keep;
}

static bool
take_output(struct dp_serial *s)
{
	uint32_t len;
	bool brk;

	/* Somebody may have opened the pty since the last tick: from then on nothing is dropped. */
	if (s->kind == KIND_PTY && out_is_old(s))
		dp_serial_look_pty(s);
	/* Room for a whole entry must come: with nobody attached it is made. */
	if (out_is_old(s)) {
		s->nb_dropped += out_len(s) - s->out_keep;
		out_drop(s, out_len(s) - s->out_keep);
	}
	if (s->out_size - out_len(s) < sizeof(s->entry))
		return false;
	len = vbus_serial_peek(s->port, s->entry, sizeof(s->entry), &brk);
	if (brk)
		tell_break(s);
	out_put(s, s->entry, len);
	vbus_serial_accept(s->port);
	return len != 0 || brk;
}

static bool
output(struct dp_serial *s)
{
	bool busy = take_output(s);
	uint32_t was;
	ssize_t n;

	if (!s->attached || s->out_over || !settle(s) || s->out_over || out_len(s) == 0)
		return busy;
	was = s->m->out_done;
	n = write_out(s);
	if (n > 0 && s->kind != KIND_LISTEN)
		s->m->out_done = was + (uint32_t)n;
	else if (n < 0 && s->kind == KIND_LISTEN)
		s->out_over = true; /* what it had sent before is still to be read */
	else if (n < 0 && s->kind == KIND_FILE)
		s->attached = false; /* full: the last bytes are kept, until a tick tries again */
	return busy || n > 0;
}

/* From the pipe. What is missing in it was read. */
static ssize_t
load(struct dp_serial *s)
{
	struct memory *m = s->m;
	ssize_t n;

	if (ioctl(s->pipe[0], FIONREAD, &m->load.level) != 0)
		return -1;
	m->in_base = m->port.in_done;
	BEFORE_A_KILL();
	m->load.active = 1;
	BEFORE_A_KILL();
	n = read(s->pipe[0], m->in, sizeof(m->in));
	m->in_end = m->in_base + (n > 0 ? (uint32_t)n : 0);
	BEFORE_A_KILL();
	m->load.active = 0;
	s->pipe_full = n == (ssize_t)sizeof(m->in);
	return n;
}

/* @return as read() */
static ssize_t
fetch(struct dp_serial *s)
{
	struct memory *m = s->m;
	ssize_t n;

	if (s->pipe_full)
		return load(s);
	if (s->pipe[0] >= 0) {
		n = splice(s->in_fd, NULL, s->pipe[1], NULL, sizeof(m->in), SPLICE_F_NONBLOCK);
		return n > 0 ? load(s) : n;
	}
	n = read(s->in_fd, m->in, sizeof(m->in));
	m->in_base = m->port.in_done;
	m->in_end = m->in_base + (n > 0 ? (uint32_t)n : 0);
	return n;
}

static bool
read_in(struct dp_serial *s)
{
	ssize_t n;

	if (s->kind == KIND_STDIO && (poll_fd(s->in_fd, POLLIN) & (POLLIN | POLLHUP)) == 0)
		return false;
	n = fetch(s);
	if (n > 0)
		return true;
	/* A pty whose other end is closed says EIO: dp_serial_look_pty() sees to that. */
	if (s->kind != KIND_PTY && (n == 0 || (errno != EAGAIN && errno != EINTR)))
		s->in_over = true;
	s->reset |= n < 0 && errno == ECONNRESET;
	return false;
}

/* Behind what was read from the host, and before what comes next. @return done */
static bool
give_break(struct dp_serial *s)
{
	if (in_len(s) != 0 || !atomic_exchange(&s->break_wanted, false))
		return false;
	if (vbus_serial_break(s->port))
		return true;
	atomic_store(&s->break_wanted, true);
	return false;
}

static bool
input(struct dp_serial *s)
{
	bool busy = give_break(s);
	uint32_t n;

	if (in_len(s) == 0 && s->attached && s->in_fd >= 0 && !s->in_over &&
		vbus_serial_up(s->port))
		busy |= read_in(s);
	if (in_len(s) == 0)
		return busy;
	n = vbus_serial_write(s->port, s->m->in + (s->m->port.in_done - s->m->in_base), in_len(s));
	return busy || n != 0;
}

static bool
serial_poll(struct dp_io *io, bool tick)
{
	struct dp_serial *s = (struct dp_serial *)io;
	bool busy = false;

	if (s->kind == KIND_PTY && tick)
		busy = dp_serial_look_pty(s);
	else if (s->kind == KIND_LISTEN)
		busy = look_listen(s);
	else if (s->kind == KIND_FILE && tick)
		s->attached = true;
	if (s->untold) /* nothing passes that the keeper's end of it has not */
		return true;
	busy |= output(s);
	busy |= input(s);
	return busy;
}

void
dp_serial_tell_keeper(struct dp_serial *s)
{
	const int all[NB_KEPT] = {s->memory_fd, s->kind == KIND_PTY ? s->in_fd : s->listen_fd,
		s->kind == KIND_LISTEN ? s->in_fd : -1, s->pipe[0], s->pipe[1]};
	int fds[NB_KEPT];
	uint64_t word = 0;
	uint32_t nb = 0;

	for (int i = 0; i < NB_KEPT; i++) {
		if (all[i] < 0)
			continue;
		fds[nb++] = all[i];
		word |= 1ull << i;
	}
	dp_back_keep("serial", s->name, word | (uint64_t)s->kind << 32, fds, nb);
}

static void
serial_after(struct dp_io *io)
{
	struct dp_serial *s = (struct dp_serial *)io;

	if (s->untold)
		dp_serial_tell_keeper(s);
	s->untold = false;
	if (s->attached == s->told_attached && s->rows == s->told_rows && s->cols == s->told_cols)
		return;
	vbus_ctl_lock();
	vbus_serial_set_size(s->port, s->rows, s->cols);
	vbus_serial_set_carrier(s->port, s->attached);
	vbus_ctl_unlock();
	s->m->attached = s->attached;
	s->told_attached = s->attached;
	s->told_rows = s->rows;
	s->told_cols = s->cols;
}

static bool
serial_arm(struct dp_io *io)
{
	struct dp_serial *s = (struct dp_serial *)io;
	uint32_t there = vbus_serial_arm(s->port);

	/* Output that there is no room for waits for a descriptor, input for north. */
	return ((there & VBUS_SERIAL_OUTPUT) != 0 &&
		       s->out_size - out_len(s) >= sizeof(s->entry)) ||
	       ((there & VBUS_SERIAL_ROOM) != 0 &&
		       (in_len(s) != 0 || atomic_load(&s->break_wanted)));
}

static void
serial_disarm(struct dp_io *io)
{
	vbus_serial_disarm(((struct dp_serial *)io)->port);
}

const struct dp_io_ops dp_serial_ops = {
	.poll = serial_poll,
	.after = serial_after,
	.arm = serial_arm,
	.disarm = serial_disarm,
};

int
dp_serial_break(struct dp_serial *s)
{
	if (!vbus_serial_up(s->port))
		return -ENOTCONN;
	atomic_store(&s->break_wanted, true);
	dp_io_wake();
	return 0;
}
