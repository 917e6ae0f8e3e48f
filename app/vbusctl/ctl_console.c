/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * vbusctl console: the host's end of a serial device on this terminal. vbus-dp says where that end
 * is; the bytes do not pass through its control socket. Ctrl-] ends it, every other byte goes through.
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

/* From the keyboard. @return 1: go on; 0: end of the input; -1: over */
static int
keys(int fd, bool terminal)
{
	char buf[4096];
	ssize_t n = read(STDIN_FILENO, buf, sizeof(buf));
	char *stop;

	if (n < 0)
		return errno == EINTR || errno == EAGAIN ? 1 : -1;
	if (n == 0)
		return terminal ? -1 : 0;
	stop = terminal ? memchr(buf, ESCAPE, (size_t)n) : NULL;
	if (!put(fd, buf, stop != NULL ? (size_t)(stop - buf) : (size_t)n))
		return -1;
	return stop != NULL ? -1 : 1;
}

static void
pass_size(int fd)
{
	struct winsize w;

	if (ioctl(STDIN_FILENO, TIOCGWINSZ, &w) == 0)
		ioctl(fd, TIOCSWINSZ, &w);
}

static void
bridge(int fd, bool is_pty, bool terminal)
{
	struct pollfd p[2] = {{.fd = fd, .events = POLLIN}, {.fd = STDIN_FILENO, .events = POLLIN}};
	char buf[4096];
	int go = 1;

	for (;;) {
		int ret;

		if (is_pty && terminal && atomic_exchange(&resized, false))
			pass_size(fd);
		ret = poll(p, go == 1 ? 2 : 1, go == 1 ? -1 : QUIET_MS);
		if (ret < 0 && errno == EINTR)
			continue;
		if (ret <= 0)
			return;
		if (p[0].revents != 0) {
			ssize_t n = read(fd, buf, sizeof(buf));

			if (n <= 0 || !put(STDOUT_FILENO, buf, (size_t)n))
				return;
		}
		if (go == 1 && p[1].revents != 0)
			go = keys(fd, terminal);
		if (go < 0)
			return;
	}
}

int
ctl_console(const struct ctl_command *c, int argc, char **argv)
{
	const struct sigaction sa = {.sa_handler = on_winch};
	const struct sigaction ignore = {.sa_handler = SIG_IGN};
	struct termios was, raw;
	bool is_pty, terminal;
	int fd;

	if (argc != 2)
		return ctl_usage(c, "needs BUS and DEVICE");
	fd = open_device(argv[0], argv[1], &is_pty);
	if (fd < 0)
		return ctl_status;
	sigaction(SIGPIPE, &ignore, NULL); /* one that hangs up is an end, and no accident */
	terminal = tcgetattr(STDIN_FILENO, &was) == 0;
	if (terminal) {
		fprintf(stderr, "%s: Ctrl-] ends\n", argv[1]);
		sigaction(SIGWINCH, &sa, NULL);
		atomic_store(&resized, true);
		raw = was;
		cfmakeraw(&raw);
		tcsetattr(STDIN_FILENO, TCSANOW, &raw);
	}
	bridge(fd, is_pty, terminal);
	if (terminal) {
		tcsetattr(STDIN_FILENO, TCSANOW, &was);
		fputc('\n', stderr);
	}
	close(fd);
	return CTL_OK;
}
