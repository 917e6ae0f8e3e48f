/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * Making and removing the back end of a serial port (ADR-0013): its descriptors, and the memory of its
 * streams. With a keeper both come from the process before this one and are left to the next
 * (ADR-0016); what was half done when that one was killed is found out here, before anything runs.
 *
 * Threads: main control thread; the back ends' thread has it in between.
 */

#include "dp_serial_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

#include "dp_log.h"
#include "vbus_core.h"
#include "vbus_ctl.h"

DP_LOG_TYPE("serial");

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

	if (s->in_fd < 0) {
		s->in_fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
		s->out_fd = s->in_fd;
	} else if (ptsname_r(s->in_fd, s->slave, sizeof(s->slave)) == 0) {
		/* As it was left, with who has it open. */
		ret = dp_io_watch(s->in_fd);
		dp_serial_look_pty(s);
		dp_serial_look_pty(s);
		return ret != 0 ? ret : make_link(s);
	}
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
	if (s->listen_fd >= 0) {
		if (s->in_fd >= 0) {
			dp_serial_attach(s);
			dp_io_watch(s->in_fd);
		}
		return dp_io_watch(s->listen_fd);
	}
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
	dp_serial_attach(s);
	return 0;
}

static enum kind
kind_of(const struct dp_device_conf *d)
{
	return d->pty[0] != '\0'      ? KIND_PTY
	       : d->listen[0] != '\0' ? KIND_LISTEN
	       : d->file[0] != '\0'   ? KIND_FILE
	       : d->stdio	      ? KIND_STDIO
				      : KIND_NONE;
}

static int
open_kind(struct dp_serial *s, const struct dp_device_conf *d)
{
	s->kind = kind_of(d);
	if (s->kind == KIND_PTY) {
		snprintf(s->path, sizeof(s->path), "%s", d->pty);
		return open_pty(s);
	}
	if (s->kind == KIND_LISTEN) {
		snprintf(s->path, sizeof(s->path), "%s", d->listen);
		return open_listen(s);
	}
	if (s->kind == KIND_FILE) {
		snprintf(s->path, sizeof(s->path), "%s", d->file);
		return open_file(s);
	}
	if (s->kind == KIND_STDIO) {
		s->in_fd = STDIN_FILENO;
		s->out_fd = STDOUT_FILENO;
		/* Files cannot be watched and need not be. */
		dp_io_watch(s->in_fd);
		dp_io_watch(s->out_fd);
		dp_serial_attach(s);
	}
	return 0;
}

/* What the process before this one was doing when it was killed. */
static void
recover(struct dp_serial *s)
{
	struct memory *m = s->m;
	const uint32_t most = m->port.commit[m->port.turn & 1].out - m->sink.from;
	struct stat st;
	int64_t n;
	int level = 0;

	if (m->sink.active && s->kind == KIND_FILE && fstat(s->out_fd, &st) == 0)
		n = st.st_size - m->sink.at;
	else if (m->sink.active && s->kind == KIND_PTY)
		n = m->sink.at - (off_t)(OUT_OFFSET + (m->sink.from & (s->out_size - 1)));
	else
		n = -1;
	if (n >= 0)
		m->out_done = m->sink.from + (n < most ? (uint32_t)n : most);
	m->sink.active = 0;
	/* Settled already, or its reader is gone: the next one gets it. */
	if (s->kind != KIND_LISTEN || s->in_fd < 0 || m->out_done != m->send_from)
		m->send.msg_len = 0;
	if (s->pipe[0] < 0 || ioctl(s->pipe[0], FIONREAD, &level) != 0)
		m->in_end = m->port.in_done;
	else if (m->load.active)
		m->in_end = m->in_base + (uint32_t)(m->load.level - level);
	m->load.active = 0;
	s->pipe_full = level > 0;
	if (m->attached && !s->attached)
		m->port.hangups++;
}

static int
make_memory(struct dp_serial *s)
{
	const size_t len = OUT_OFFSET + s->out_size;
	const bool kept = s->memory_fd >= 0;
	struct stat st;

	if (!kept)
		s->memory_fd = memfd_create("vbus-serial", MFD_CLOEXEC);
	if (s->memory_fd < 0 || (!kept && ftruncate(s->memory_fd, (off_t)len) != 0) ||
		fstat(s->memory_fd, &st) != 0)
		return -errno;
	if (st.st_size == (off_t)len)
		s->m = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, s->memory_fd, 0);
	else
		s->m = MAP_FAILED;
	if (s->m == MAP_FAILED) {
		s->m = NULL;
		return -ENOMEM;
	}
	s->out = (uint8_t *)s->m + OUT_OFFSET;
	if (kept && (s->m->layout != LAYOUT || s->m->out_size != s->out_size))
		return -EINVAL;
	s->m->layout = LAYOUT;
	s->m->out_size = s->out_size;
	return 0;
}

static void
drop_memory(struct dp_serial *s)
{
	if (s->m != NULL)
		munmap(s->m, OUT_OFFSET + s->out_size);
	if (s->memory_fd >= 0)
		close(s->memory_fd);
	s->m = NULL;
	s->memory_fd = -1;
}

static void
close_all(const int *fds, uint32_t nb)
{
	while (nb-- > 0)
		if (fds[nb] >= 0)
			close(fds[nb]);
}

/* What a process before this one has left, if it fits to what is configured now. @return 0, or no memory */
static int
take_over(struct dp_serial *s, const struct dp_device_conf *d, enum kind kind)
{
	int fds[VBUS_KEEPER_FDS], all[NB_KEPT];
	const char *path = kind == KIND_PTY ? d->pty : d->listen;
	uint64_t word = 0;
	uint32_t at = 0;
	int ret;

	s->keeps = dp_back_kept("serial", s->name, &word, fds);
	for (int i = 0; i < NB_KEPT; i++)
		all[i] = s->keeps && (word & 1ull << i) != 0 ? fds[at++] : -1;
	s->memory_fd = all[KEPT_MEMORY];
	ret = make_memory(s);
	if (ret != 0 && all[KEPT_MEMORY] >= 0) {
		DP_LOG(WARNING, "device %s: its streams begin anew: %s", s->name, strerror(-ret));
		drop_memory(s);
		close_all(all + 1, NB_KEPT - 1);
		memset(all, 0xff, sizeof(all));
		ret = make_memory(s);
	}
	if (ret != 0)
		return ret;
	s->pipe[0] = all[KEPT_PIPE_OUT];
	s->pipe[1] = all[KEPT_PIPE_IN];
	if ((enum kind)(word >> 32) == kind && strcmp(s->m->path, path) == 0) {
		s->in_fd = kind == KIND_PTY ? all[KEPT_MAIN] : all[KEPT_CLIENT];
		s->listen_fd = kind == KIND_LISTEN ? all[KEPT_MAIN] : -1;
		s->out_fd = s->in_fd;
	} else {
		close_all(all + KEPT_MAIN, 2);
	}
	snprintf(s->m->path, sizeof(s->m->path), "%s", path);
	if (s->keeps && s->pipe[0] < 0 && (kind == KIND_PTY || kind == KIND_LISTEN) &&
		pipe2(s->pipe, O_CLOEXEC | O_NONBLOCK) != 0)
		return -errno;
	return 0;
}

static void
close_kind(struct dp_serial *s, bool stays)
{
	char target[sizeof(s->slave)] = "";

	close_all(s->pipe, 2);
	if (stays) {
		s->path[0] = '\0';
		s->slave[0] = '\0';
	}
	if (s->kind == KIND_PTY && readlink(s->path, target, sizeof(target) - 1) > 0 &&
		strcmp(target, s->slave) == 0)
		unlink(s->path);
	if (s->kind == KIND_LISTEN && s->listen_fd >= 0 && !stays)
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
	s->memory_fd = -1;
	s->pipe[0] = -1;
	s->pipe[1] = -1;
	s->in_fd = -1;
	s->out_fd = -1;
	s->listen_fd = -1;
	s->io.ops = &dp_serial_ops;
	s->port = vbus_serial_of(dev);
	snprintf(s->name, sizeof(s->name), "%s", d->name);
	s->hold = d->hold;
	s->out_keep = d->scrollback;
	s->out_size = 4096;
	while (s->out_size < d->scrollback + sizeof(s->entry))
		s->out_size *= 2;
	ret = dp_io_init();
	if (ret == 0)
		ret = take_over(s, d, kind_of(d));
	if (ret == 0)
		ret = open_kind(s, d);
	if (ret != 0)
		goto err;
	recover(s);
	dp_serial_tell_keeper(s);
	/* As north has seen it: nobody hangs up because this is another process. */
	s->m->attached = s->attached;
	s->told_attached = s->attached;
	s->told_rows = s->rows;
	s->told_cols = s->cols;
	user.kept = &s->m->port;
	vbus_ctl_lock();
	vbus_serial_set_size(s->port, s->rows, s->cols);
	ret = vbus_serial_bind(s->port, &user);
	if (ret == 0)
		vbus_serial_set_carrier(s->port, s->attached);
	vbus_ctl_unlock();
	if (ret == 0)
		ret = dp_io_add(&s->io);
	if (ret == 0)
		return s;
	vbus_ctl_lock();
	vbus_serial_bind(s->port, NULL);
	vbus_ctl_unlock();
err:
	snprintf(err, err_size, "device %s: %s: %s", d->name, s != NULL ? s->path : "",
		strerror(-ret));
	if (s != NULL) {
		close_kind(s, false);
		drop_memory(s);
		free(s);
	}
	errno = -ret;
	return NULL;
}

void
dp_serial_unmake(struct dp_serial *s)
{
	bool stays;

	/* The thread first: who unpublishes afterwards waits for nobody. */
	dp_io_del(&s->io);
	vbus_ctl_lock();
	vbus_serial_bind(s->port, NULL);
	/* This process leaves, its devices do not. */
	stays = s->keeps && !vbus_keeper_connected();
	vbus_ctl_unlock();
	if (s->keeps && !stays)
		dp_back_keep("serial", s->name, 0, NULL, 0);
	if (s->nb_dropped != 0)
		DP_LOG(INFO, "device %s: %" PRIu64 " bytes were read by nobody", s->name,
			s->nb_dropped);
	close_kind(s, stays);
	drop_memory(s);
	free(s);
}
