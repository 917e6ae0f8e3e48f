/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * A configuration file is read by a child process: libconfuse's scanner calls exit() or abort() when it
 * finds no memory, and a data plane that serves must not end because somebody asks it to look at a
 * file. The child is a copy of the caller (fork), reads and checks the file, and sends what came
 * of it through a pipe, as the structures lie in memory: both are the same program.
 *
 * Threads: the caller's, one at a time. The child has that one alone, keeps no descriptor but the pipe, and
 * ends with the caller, after CHILD_SECONDS, or as soon as nobody reads what it sends.
 */

#include "dp_conf.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHILD_SECONDS 120 /* 64 MiB of sections are read in less */

/* What comes first; behind it, if ret is 0: all buses, devices and switches, each switch with its ports. */
struct outcome {
	int ret;
	char err[DP_ERR_SIZE];
	struct dp_conf top; /* what is no list and no tree */
	uint32_t nb_buses, nb_devices, nb_switches;
};

/* ---- the child --------------------------------------------------------------------------------- */

/* Nothing of the caller's is undone or flushed twice. */
static void
leave(void)
{
	_exit(EXIT_FAILURE);
}

static void
put(int fd, const void *data, size_t len)
{
	const char *at = data;
	ssize_t n;

	while (len != 0) {
		n = write(fd, at, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			leave();
		at += n;
		len -= (size_t)n;
	}
}

static void
put_all(int fd, const struct dp_conf *c)
{
	const struct dp_bus_conf *b;
	const struct dp_device_conf *d;
	const struct dp_switch_conf *s;
	const struct dp_name *n;
	uint32_t nb;

	TAILQ_FOREACH (b, &c->buses, next)
		put(fd, b, sizeof(*b)); /* its devices were folded into theirs */
	TAILQ_FOREACH (d, &c->devices, next)
		put(fd, d, sizeof(*d));
	TAILQ_FOREACH (s, &c->switches, next) {
		nb = 0;
		STAILQ_FOREACH(n, &s->ports, next)
		nb++;
		put(fd, s, sizeof(*s));
		put(fd, &nb, sizeof(nb));
		STAILQ_FOREACH(n, &s->ports, next)
		put(fd, n, sizeof(*n));
	}
}

static void
child(int fd, const char *path, pid_t parent)
{
	struct outcome o = {0};
	struct dp_conf c;
	const struct dp_bus_conf *b;
	const struct dp_device_conf *d;
	const struct dp_switch_conf *s;
	sigset_t alarms;

	/* Where libconfuse calls exit(), this comes first. */
	if (atexit(leave) != 0 || prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent)
		leave();
	sigemptyset(&alarms);
	sigaddset(&alarms, SIGALRM);
	signal(SIGALRM, SIG_DFL);
	sigprocmask(SIG_UNBLOCK, &alarms, NULL);
	alarm(CHILD_SECONDS);
	/* A peer of the caller must not wait for us when the caller is killed. */
	if (fd > 3)
		close_range(3, (unsigned int)fd - 1, 0);
	close_range((unsigned int)fd + 1, ~0u, 0);

	dp_conf_init(&c);
	o.ret = dp_conf_load_here(&c, path, o.err, sizeof(o.err));
	o.top = c;
	TAILQ_FOREACH (b, &c.buses, next)
		o.nb_buses++;
	TAILQ_FOREACH (d, &c.devices, next)
		o.nb_devices++;
	TAILQ_FOREACH (s, &c.switches, next)
		o.nb_switches++;
	put(fd, &o, sizeof(o));
	if (o.ret == 0)
		put_all(fd, &c);
	_exit(EXIT_SUCCESS);
}

/* ---- the caller -------------------------------------------------------------------------------- */

static int
get(int fd, void *data, size_t len)
{
	char *at = data;
	ssize_t n;

	while (len != 0) {
		n = read(fd, at, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -ENODATA;
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

static int
get_bus(int fd, struct dp_conf *c)
{
	struct dp_bus_conf in, *b;
	int ret = get(fd, &in, sizeof(in));

	if (ret != 0)
		return ret;
	b = dp_bus_conf_new(in.name);
	if (b == NULL)
		return -ENOMEM;
	*b = in;
	STAILQ_INIT(&b->devices);
	ret = dp_conf_add_bus(c, b);
	if (ret != 0)
		dp_bus_conf_del(b);
	return ret;
}

static int
get_device(int fd, struct dp_conf *c)
{
	struct dp_device_conf in, *d;
	int ret = get(fd, &in, sizeof(in));

	if (ret != 0)
		return ret;
	d = dp_device_conf_new(in.name);
	if (d == NULL)
		return -ENOMEM;
	*d = in;
	ret = dp_conf_add_device(c, d);
	if (ret != 0)
		dp_device_conf_del(d);
	return ret;
}

static int
get_ports(int fd, struct dp_switch_conf *s)
{
	struct dp_name in;
	uint32_t nb = 0, i;
	int ret = get(fd, &nb, sizeof(nb));

	for (i = 0; ret == 0 && i < nb; i++) {
		ret = get(fd, &in, sizeof(in));
		if (ret == 0)
			ret = dp_names_add(&s->ports, in.name);
		if (ret == 0)
			dp_names_last(&s->ports)->line = in.line;
	}
	return ret;
}

static int
get_switch(int fd, struct dp_conf *c)
{
	struct dp_switch_conf in, *s;
	int ret = get(fd, &in, sizeof(in));

	if (ret != 0)
		return ret;
	s = dp_switch_conf_new(in.name);
	if (s == NULL)
		return -ENOMEM;
	*s = in;
	STAILQ_INIT(&s->ports);
	ret = get_ports(fd, s);
	if (ret == 0)
		ret = dp_conf_add_switch(c, s);
	if (ret != 0)
		dp_switch_conf_del(s);
	return ret;
}

/* @return 0; what the child found wrong, and said in @p err; or what went wrong with it, with @p err empty */
static int
get_all(int fd, struct dp_conf *c, char *err, size_t err_size)
{
	struct outcome o;
	uint32_t i;
	int ret = get(fd, &o, sizeof(o));

	if (ret != 0)
		return ret;
	if (o.ret != 0) {
		snprintf(err, err_size, "%s", o.err);
		return o.ret;
	}
	c->mode = o.top.mode;
	c->idle_us = o.top.idle_us;
	memcpy(c->control, o.top.control, sizeof(c->control));
	c->control_line = o.top.control_line;
	memcpy(c->keeper, o.top.keeper, sizeof(c->keeper));
	for (i = 0; ret == 0 && i < o.nb_buses; i++)
		ret = get_bus(fd, c);
	for (i = 0; ret == 0 && i < o.nb_devices; i++)
		ret = get_device(fd, c);
	for (i = 0; ret == 0 && i < o.nb_switches; i++)
		ret = get_switch(fd, c);
	return ret;
}

int
dp_conf_load(struct dp_conf *c, const char *path, char *err, size_t err_size)
{
	const pid_t parent = getpid();
	int fds[2], ret;
	pid_t pid;

	err[0] = '\0';
	if (pipe2(fds, O_CLOEXEC) != 0) {
		ret = -errno;
		goto out;
	}
	pid = fork();
	if (pid == 0)
		child(fds[1], path, parent);
	ret = pid < 0 ? -errno : 0;
	close(fds[1]);
	if (ret == 0) {
		ret = get_all(fds[0], c, err, err_size);
		kill(pid, SIGKILL); /* it has sent all, or is of no use */
		while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	close(fds[0]);
out:
	if (ret != 0 && err[0] == '\0')
		snprintf(err, err_size, "%s:0: cannot be read: %s", path,
			ret == -ENODATA ? "no memory, or libconfuse gave up" : strerror(-ret));
	return ret == -ENODATA ? -ENOMEM : ret;
}
