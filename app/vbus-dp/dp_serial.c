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

#include "dp_back.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

#include <linux/sockios.h>

#include "dp_io.h"
#include "dp_log.h"
#include "vbus_core.h"
#include "vbus_ctl.h"
#include "vbus_log.h"
#include "vbus_serial.h"

DP_LOG_TYPE("serial");

#define IN_SIZE 16384u
#define CHUNK	4096u /* what a descriptor that blocks surely takes, and most readers in one go */

enum kind {
	KIND_NONE, /* only remembered */
	KIND_PTY,
	KIND_LISTEN,
	KIND_FILE,
	KIND_STDIO,
};

struct dp_serial {
	struct dp_io io; /* first */
	struct vbus_serial *port;
	char name[DP_NAME_SIZE];
	char path[DP_FILE_SIZE]; /* link of the pty, socket, file */
	char slave[64];		 /* of the pty */
	enum kind kind;
	int in_fd, out_fd; /* -1: none; the same for a pty and a socket */
	int listen_fd;
	bool attached;
	bool told_attached;
	bool in_over;  /* nothing more to read from who is attached */
	bool out_over; /* nor anybody to write to */
	bool reset;    /* the client went, and had not read all that was sent */
	bool hold;     /* output waits for somebody to attach */
	atomic_bool break_wanted;
	struct vbus_log_limit break_limit;
	uint64_t nb_dropped; /* bytes that nobody was there for */
	uint16_t rows, cols, told_rows, told_cols;
	/* output, kept */
	uint8_t *out;
	uint32_t out_size, out_keep;
	uint32_t out_at, out_len;
	uint32_t sent; /* of out_len: a socket's client has not read them yet, as far as is known */
	/* input, read and not taken yet */
	uint32_t in_at, in_len;
	uint8_t in[IN_SIZE];
	uint8_t entry[VBUS_SERIAL_ENTRY_MAX];
};

/* ---- the ring ---------------------------------------------------------------------------------- */

static void
out_put(struct dp_serial *s, const uint8_t *bytes, uint32_t len)
{
	uint32_t at = (s->out_at + s->out_len) % s->out_size;
	uint32_t first = len < s->out_size - at ? len : s->out_size - at;

	memcpy(s->out + at, bytes, first);
	memcpy(s->out, bytes + first, len - first);
	s->out_len += len;
}

static void
out_drop(struct dp_serial *s, uint32_t len)
{
	s->out_at = (s->out_at + len) % s->out_size;
	s->out_len -= len;
}

/* ---- attached or not --------------------------------------------------------------------------- */

static void
attach(struct dp_serial *s)
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

	if (s->sent == 0)
		return true;
	/* While a reader's wake-up is on its way one more is counted. */
	if (ioctl(s->out_fd, SIOCOUTQ, &unread) == 0 && unread > 1)
		return false;
	if (getsockopt(s->out_fd, SOL_SOCKET, SO_ERROR, &err, &len) == 0 && err != 0)
		s->reset = true;
	if (!s->reset)
		out_drop(s, s->sent);
	s->out_over |= s->reset;
	s->sent = 0;
	return true;
}

static void
detach(struct dp_serial *s)
{
	s->attached = false;
	if (s->kind != KIND_LISTEN)
		return;
	settle(s);
	s->sent = 0;
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
static bool
look_pty(struct dp_serial *s)
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
	if (!there && (s->in_len != 0 || (poll_fd(s->in_fd, POLLIN) & POLLIN) != 0))
		return false;
	if (there)
		attach(s);
	else
		detach(s);
	return true;
}

/* A client that has closed both ways is gone when all it sent is taken. */
static bool
client_gone(struct dp_serial *s)
{
	char c;

	if (s->in_len != 0 || (poll_fd(s->in_fd, POLLOUT) & (POLLHUP | POLLERR)) == 0)
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
	attach(s);
	return true;
}

/* ---- bytes ------------------------------------------------------------------------------------- */

/* A piece for the client. @return as write_out(), but that the ring keeps it for now */
static ssize_t
send_out(struct dp_serial *s)
{
	const uint32_t first = s->out_size - s->out_at;
	const uint32_t len = s->out_len < CHUNK ? s->out_len : CHUNK;
	struct iovec v[2] = {{s->out + s->out_at, len < first ? len : first},
		{s->out, len < first ? 0 : len - first}};
	const struct msghdr m = {.msg_iov = v, .msg_iovlen = 2};
	ssize_t n = sendmsg(s->out_fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);

	s->sent = n > 0 ? (uint32_t)n : 0;
	return n;
}

/* @return bytes, 0: not now, negative: who was attached is gone, or the file is full */
static ssize_t
write_out(struct dp_serial *s)
{
	const uint32_t first = s->out_size - s->out_at;
	struct iovec v[2] = {{s->out + s->out_at, s->out_len < first ? s->out_len : first},
		{s->out, s->out_len < first ? 0 : s->out_len - first}};
	ssize_t n;

	if (s->kind == KIND_LISTEN) {
		n = send_out(s);
	} else if (s->kind == KIND_STDIO) {
		/* Its descriptors are others' too: they are not made non-blocking. */
		if ((poll_fd(s->out_fd, POLLOUT) & POLLOUT) == 0)
			return 0;
		n = write(s->out_fd, v[0].iov_base, v[0].iov_len < CHUNK ? v[0].iov_len : CHUNK);
	} else {
		n = writev(s->out_fd, v, 2);
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
	return (!s->attached || s->out_over) && !s->hold && s->sent == 0 &&
	       s->out_len > s->out_keep;
}

static bool
take_output(struct dp_serial *s)
{
	uint32_t len;
	bool brk;

	/* Somebody may have opened the pty since the last tick: from then on nothing is dropped. */
	if (s->kind == KIND_PTY && out_is_old(s))
		look_pty(s);
	/* Room for a whole entry must come: with nobody attached it is made. */
	if (out_is_old(s)) {
		s->nb_dropped += s->out_len - s->out_keep;
		out_drop(s, s->out_len - s->out_keep);
	}
	if (s->out_size - s->out_len < sizeof(s->entry))
		return false;
	len = vbus_serial_read(s->port, s->entry, sizeof(s->entry), &brk);
	if (brk)
		tell_break(s);
	out_put(s, s->entry, len);
	return len != 0 || brk;
}

static bool
output(struct dp_serial *s)
{
	bool busy = take_output(s);
	ssize_t n;

	if (!s->attached || s->out_over || !settle(s) || s->out_over || s->out_len == 0)
		return busy;
	n = write_out(s);
	if (n > 0 && s->kind != KIND_LISTEN)
		out_drop(s, (uint32_t)n);
	else if (n < 0 && s->kind == KIND_LISTEN)
		s->out_over = true; /* what it had sent before is still to be read */
	else if (n < 0 && s->kind == KIND_FILE)
		s->attached = false; /* full: the last bytes are kept, until a tick tries again */
	return busy || n > 0;
}

static bool
read_in(struct dp_serial *s)
{
	ssize_t n;

	if (s->kind == KIND_STDIO && (poll_fd(s->in_fd, POLLIN) & (POLLIN | POLLHUP)) == 0)
		return false;
	n = read(s->in_fd, s->in, sizeof(s->in));
	if (n > 0) {
		s->in_at = 0;
		s->in_len = (uint32_t)n;
		return true;
	}
	/* A pty whose other end is closed says EIO: look_pty() sees to that. */
	if (s->kind != KIND_PTY && (n == 0 || (errno != EAGAIN && errno != EINTR)))
		s->in_over = true;
	s->reset |= n < 0 && errno == ECONNRESET;
	return false;
}

/* Behind what was read from the host, and before what comes next. @return done */
static bool
give_break(struct dp_serial *s)
{
	if (s->in_len != 0 || !atomic_exchange(&s->break_wanted, false))
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

	if (s->in_len == 0 && s->attached && s->in_fd >= 0 && !s->in_over &&
		vbus_serial_up(s->port))
		busy |= read_in(s);
	if (s->in_len == 0)
		return busy;
	n = vbus_serial_write(s->port, s->in + s->in_at, s->in_len);
	s->in_at += n;
	s->in_len -= n;
	return busy || n != 0;
}

static bool
serial_poll(struct dp_io *io, bool tick)
{
	struct dp_serial *s = (struct dp_serial *)io;
	bool busy = false;

	if (s->kind == KIND_PTY && tick)
		busy = look_pty(s);
	else if (s->kind == KIND_LISTEN)
		busy = look_listen(s);
	else if (s->kind == KIND_FILE && tick)
		s->attached = true;
	busy |= output(s);
	busy |= input(s);
	return busy;
}

static void
serial_after(struct dp_io *io)
{
	struct dp_serial *s = (struct dp_serial *)io;

	if (s->attached == s->told_attached && s->rows == s->told_rows && s->cols == s->told_cols)
		return;
	vbus_ctl_lock();
	vbus_serial_set_size(s->port, s->rows, s->cols);
	vbus_serial_set_carrier(s->port, s->attached);
	vbus_ctl_unlock();
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
		       s->out_size - s->out_len >= sizeof(s->entry)) ||
	       ((there & VBUS_SERIAL_ROOM) != 0 &&
		       (s->in_len != 0 || atomic_load(&s->break_wanted)));
}

static void
serial_disarm(struct dp_io *io)
{
	vbus_serial_disarm(((struct dp_serial *)io)->port);
}

static const struct dp_io_ops serial_ops = {
	.poll = serial_poll,
	.after = serial_after,
	.arm = serial_arm,
	.disarm = serial_disarm,
};

/* ---- making ------------------------------------------------------------------------------------ */

/* The link appears with its target, in place of an older link and of nothing else. */
static int
make_link(const struct dp_serial *s)
{
	char tmp[DP_FILE_SIZE + 8];
	struct stat st;

	if (lstat(s->path, &st) == 0 && !S_ISLNK(st.st_mode))
		return -EEXIST;
	snprintf(tmp, sizeof(tmp), "%s.new", s->path);
	unlink(tmp);
	if (symlink(s->slave, tmp) != 0)
		return -errno;
	if (rename(tmp, s->path) == 0)
		return 0;
	unlink(tmp);
	return -EIO;
}

static int
open_pty(struct dp_serial *s)
{
	struct termios t;
	int ret;

	s->in_fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
	s->out_fd = s->in_fd;
	if (s->in_fd < 0 || grantpt(s->in_fd) != 0 || unlockpt(s->in_fd) != 0 ||
		ptsname_r(s->in_fd, s->slave, sizeof(s->slave)) != 0)
		return -errno;
	/* Raw: north has the line discipline, every byte passes here. */
	if (tcgetattr(s->in_fd, &t) == 0) {
		cfmakeraw(&t);
		tcsetattr(s->in_fd, TCSANOW, &t);
	}
	/* A pty that was never opened does not say that nobody is there. */
	ret = open(s->slave, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (ret >= 0)
		close(ret);
	ret = dp_io_watch(s->in_fd);
	return ret != 0 ? ret : make_link(s);
}

static int
open_listen(struct dp_serial *s)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	struct stat st;

	if (strlen(s->path) >= sizeof(a.sun_path))
		return -ENAMETOOLONG;
	memcpy(a.sun_path, s->path, strlen(s->path));
	s->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (s->listen_fd < 0)
		return -errno;
	/* One that nobody serves was left behind by a process that died. */
	if (lstat(s->path, &st) == 0 && S_ISSOCK(st.st_mode)) {
		int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		int ret = connect(fd, (struct sockaddr *)&a, sizeof(a));

		if (fd >= 0)
			close(fd);
		if (ret == 0)
			return -EADDRINUSE;
		unlink(s->path);
	}
	if (bind(s->listen_fd, (struct sockaddr *)&a, sizeof(a)) != 0 ||
		chmod(s->path, 0600) != 0 || listen(s->listen_fd, 64) != 0)
		return -errno;
	return dp_io_watch(s->listen_fd);
}

static int
open_file(struct dp_serial *s)
{
	s->out_fd = open(s->path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0600);
	if (s->out_fd < 0)
		return -errno;
	attach(s);
	return 0;
}

static int
open_kind(struct dp_serial *s, const struct dp_device_conf *d)
{
	if (d->pty[0] != '\0') {
		s->kind = KIND_PTY;
		snprintf(s->path, sizeof(s->path), "%s", d->pty);
		return open_pty(s);
	}
	if (d->listen[0] != '\0') {
		s->kind = KIND_LISTEN;
		snprintf(s->path, sizeof(s->path), "%s", d->listen);
		return open_listen(s);
	}
	if (d->file[0] != '\0') {
		s->kind = KIND_FILE;
		snprintf(s->path, sizeof(s->path), "%s", d->file);
		return open_file(s);
	}
	if (d->stdio) {
		s->kind = KIND_STDIO;
		s->in_fd = STDIN_FILENO;
		s->out_fd = STDOUT_FILENO;
		/* Files cannot be watched and need not be. */
		dp_io_watch(s->in_fd);
		dp_io_watch(s->out_fd);
		attach(s);
	}
	return 0;
}

static void
close_kind(struct dp_serial *s)
{
	char target[sizeof(s->slave)] = "";

	if (s->kind == KIND_PTY && readlink(s->path, target, sizeof(target) - 1) > 0 &&
		strcmp(target, s->slave) == 0)
		unlink(s->path);
	if (s->kind == KIND_LISTEN && s->listen_fd >= 0)
		unlink(s->path);
	if (s->kind == KIND_STDIO)
		return;
	if (s->in_fd >= 0)
		close(s->in_fd);
	if (s->out_fd >= 0 && s->out_fd != s->in_fd)
		close(s->out_fd);
	if (s->listen_fd >= 0)
		close(s->listen_fd);
}

struct dp_serial *
dp_serial_make(const struct dp_device_conf *d, struct vbus_device *dev, char *err, size_t err_size)
{
	struct dp_serial *s = calloc(1, sizeof(*s));
	struct vbus_serial_user user = {.quiesce = dp_io_quiesce, .wake = dp_io_wake_cb, .arg = s};
	int ret = -ENOMEM;

	if (s == NULL)
		goto err;
	s->in_fd = -1;
	s->out_fd = -1;
	s->listen_fd = -1;
	s->io.ops = &serial_ops;
	s->port = vbus_serial_of(dev);
	snprintf(s->name, sizeof(s->name), "%s", d->name);
	s->hold = d->hold;
	s->out_keep = d->scrollback;
	s->out_size = d->scrollback + (uint32_t)sizeof(s->entry);
	s->out = malloc(s->out_size);
	if (s->out == NULL)
		goto err;
	ret = dp_io_init();
	if (ret == 0)
		ret = open_kind(s, d);
	if (ret == 0)
		ret = dp_io_add(&s->io);
	if (ret != 0)
		goto err;
	vbus_ctl_lock();
	ret = vbus_serial_bind(s->port, &user);
	vbus_ctl_unlock();
	if (ret == 0)
		return s;
	dp_io_del(&s->io);
err:
	snprintf(err, err_size, "device %s: %s: %s", d->name, s != NULL ? s->path : "",
		strerror(-ret));
	if (s != NULL) {
		close_kind(s);
		free(s->out);
		free(s);
	}
	errno = -ret;
	return NULL;
}

int
dp_serial_break(struct dp_serial *s)
{
	if (!vbus_serial_up(s->port))
		return -ENOTCONN;
	atomic_store(&s->break_wanted, true);
	dp_io_wake();
	return 0;
}

void
dp_serial_unmake(struct dp_serial *s)
{
	/* The thread first: who unpublishes afterwards waits for nobody. */
	dp_io_del(&s->io);
	vbus_ctl_lock();
	vbus_serial_bind(s->port, NULL);
	vbus_ctl_unlock();
	if (s->nb_dropped != 0)
		DP_LOG(INFO, "device %s: %" PRIu64 " bytes were read by nobody", s->name,
			s->nb_dropped);
	close_kind(s);
	free(s->out);
	free(s);
}
