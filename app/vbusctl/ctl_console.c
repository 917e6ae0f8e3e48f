/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * vbusctl console: the host's end of a serial device on this terminal. vbus-dp says where that end
 * is; the bytes do not pass through its control socket, but a break does: neither pty nor socket has
 * one. Ctrl-] ends it; a tilde that begins a line is an escape, as cu(1) has it. Every other byte goes
 * through, and input that is no terminal as it is.
 */

#include "ctl.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

#define ESCAPE	 0x1d /* Ctrl-] */
#define QUIET_MS 500  /* after the end of an input that is no terminal */
#define KEYS	 4096u

struct session {
	const char *device;
	int fd;
	bool is_pty, terminal;
	bool line_begins, tilde; /* of what is typed */
};

static atomic_bool resized;

static void
on_winch(int sig)
{
	(void)sig;
	atomic_store(&resized, true);
}

static int
fail(const char *what, const char *path)
{
	fprintf(stderr, "vbusctl: console: %s %s: %s\n", what, path, strerror(errno));
	return -1;
}

static int
open_socket(const char *path)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd;

	if (strlen(path) >= sizeof(a.sun_path)) {
		errno = ENAMETOOLONG;
		return fail("connect", path);
	}
	memcpy(a.sun_path, path, strlen(path));
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof(a)) != 0) {
		fail("connect", path);
		if (fd >= 0)
			close(fd);
		return -1;
	}
	return fd;
}

/* The host's end of the device, or -1: said. */
static int
open_device(const char *bus, const char *device, bool *is_pty)
{
	json_t *result = ctl_call_all("device.list", NULL, "devices"), *d, *found = NULL;
	const char *pty, *listen;
	size_t i;
	int fd = -1;

	if (result == NULL)
		return -1;
	json_array_foreach(json_object_get(result, "devices"), i, d)
	{
		const char *d_name = json_string_value(json_object_get(d, "name"));
		const char *d_bus = json_string_value(json_object_get(d, "bus"));

		if (d_name != NULL && d_bus != NULL && strcmp(d_name, device) == 0 &&
			strcmp(d_bus, bus) == 0)
			found = d;
	}
	ctl_status = CTL_REFUSED;
	pty = json_string_value(json_object_get(found, "pty"));
	listen = json_string_value(json_object_get(found, "listen"));
	*is_pty = pty != NULL;
	if (found == NULL)
		fprintf(stderr, "vbusctl: console: there is no device '%s' on bus '%s'\n", device,
			bus);
	else if (listen != NULL)
		fd = open_socket(listen);
	else if (pty == NULL)
		fprintf(stderr, "vbusctl: console: device %s has neither pty nor listen\n", device);
	else if ((fd = open(pty, O_RDWR | O_NOCTTY | O_CLOEXEC)) < 0)
		fail("open", pty);
	json_decref(result);
	return fd;
}

/* All of it. @return false: the other end is gone */
static bool
put(int fd, const char *bytes, size_t len)
{
	while (len != 0) {
		ssize_t n = write(fd, bytes, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		bytes += n;
		len -= (size_t)n;
	}
	return true;
}

/* What goes beside the bytes fails beside them: said, and the session goes on. */
static void
send_break(const char *device)
{
	json_decref(ctl_call("device.break", json_pack("{s:s}", "name", device)));
}

static void
help(void)
{
	fputs("~?\r\n~.  end, as Ctrl-]\r\n~#  break (~B too)\r\n~~  a tilde\r\n", stderr);
}

/* The key after a tilde. @return bytes for the device, in @p out; -1: over */
static int
escape(struct session *s, char c, char *out)
{
	s->tilde = false;
	s->line_begins = false;
	switch (c) {
	case '.':
		return -1;
	case '#':
	case 'B':
		send_break(s->device);
		s->line_begins = true;
		return 0;
	case '?':
		help();
		s->line_begins = true;
		return 0;
	case '~':
		out[0] = '~';
		return 1;
	default:
		out[0] = '~';
		out[1] = c;
		s->line_begins = c == '\r' || c == '\n';
		return 2;
	}
}

/* What was typed. @return 1: go on; -1: over */
static int
type(struct session *s, const char *buf, size_t len)
{
	char out[2 * KEYS];
	size_t nb = 0, i;

	for (i = 0; i < len && buf[i] != ESCAPE; i++) {
		int n;

		if (s->tilde) {
			/* A break goes behind what was typed before it. */
			if (!put(s->fd, out, nb))
				return -1;
			nb = 0;
			n = escape(s, buf[i], out);
			if (n < 0)
				return -1;
			nb = (size_t)n;
		} else if (s->line_begins && buf[i] == '~') {
			s->tilde = true;
		} else {
			s->line_begins = buf[i] == '\r' || buf[i] == '\n';
			out[nb++] = buf[i];
		}
	}
	return put(s->fd, out, nb) && i == len ? 1 : -1;
}

/* From the keyboard. @return 1: go on; 0: end of the input; -1: over */
static int
keys(struct session *s)
{
	char buf[KEYS];
	ssize_t n = read(STDIN_FILENO, buf, sizeof(buf));

	if (n < 0)
		return errno == EINTR || errno == EAGAIN ? 1 : -1;
	if (n == 0)
		return s->terminal ? -1 : 0;
	if (s->terminal)
		return type(s, buf, (size_t)n);
	return put(s->fd, buf, (size_t)n) ? 1 : -1;
}

static void
pass_size(int fd)
{
	struct winsize w;

	if (ioctl(STDIN_FILENO, TIOCGWINSZ, &w) == 0)
		ioctl(fd, TIOCSWINSZ, &w);
}

static void
bridge(struct session *s)
{
	struct pollfd p[2] = {
		{.fd = s->fd, .events = POLLIN}, {.fd = STDIN_FILENO, .events = POLLIN}};
	char buf[4096];
	int go = 1;

	for (;;) {
		int ret;

		if (s->is_pty && s->terminal && atomic_exchange(&resized, false))
			pass_size(s->fd);
		ret = poll(p, go == 1 ? 2 : 1, go == 1 ? -1 : QUIET_MS);
		if (ret < 0 && errno == EINTR)
			continue;
		if (ret <= 0)
			return;
		if (p[0].revents != 0) {
			ssize_t n = read(s->fd, buf, sizeof(buf));

			if (n <= 0 || !put(STDOUT_FILENO, buf, (size_t)n))
				return;
		}
		if (go == 1 && p[1].revents != 0)
			go = keys(s);
		if (go < 0)
			return;
	}
}

int
ctl_console(const struct ctl_command *c, int argc, char **argv)
{
	const struct sigaction sa = {.sa_handler = on_winch};
	const struct sigaction ignore = {.sa_handler = SIG_IGN};
	struct session s = {.line_begins = true};
	struct termios was, raw;

	if (argc != 2)
		return ctl_usage(c, "needs BUS and DEVICE");
	s.device = argv[1];
	s.fd = open_device(argv[0], argv[1], &s.is_pty);
	if (s.fd < 0)
		return ctl_status;
	sigaction(SIGPIPE, &ignore, NULL); /* one that hangs up is an end, and no accident */
	s.terminal = tcgetattr(STDIN_FILENO, &was) == 0;
	if (s.terminal) {
		fprintf(stderr, "%s: Ctrl-] ends, ~? after Enter tells more\n", argv[1]);
		sigaction(SIGWINCH, &sa, NULL);
		atomic_store(&resized, true);
		raw = was;
		cfmakeraw(&raw);
		tcsetattr(STDIN_FILENO, TCSANOW, &raw);
	}
	bridge(&s);
	if (s.terminal) {
		tcsetattr(STDIN_FILENO, TCSANOW, &was);
		fputc('\n', stderr);
	}
	close(s.fd);
	return CTL_OK;
}
