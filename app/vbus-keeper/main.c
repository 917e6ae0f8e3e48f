/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * vbus-keeper: holds the sockets and the state of links while vbus-dp restarts (ADR-0016). Arguments,
 * log, the loop. One thread, no DPDK; nothing blocks.
 */

#include "keeper.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "dp_notify.h"

#define DEFAULT_SOCKET "/run/vbus/keeper.sock"
#define LOG_LINES      200u /* of ten seconds; a client that comes and goes fills no log */
#define LOG_PERIOD_MS  10000u

struct keeper_links keeper_links = LIST_HEAD_INITIALIZER(keeper_links);

static struct {
	int epoll_fd;
	bool over;
	struct keeper_watch signals;
	uint64_t log_since;
	uint32_t log_lines, log_left_out;
} k = {.epoll_fd = -1, .signals.fd = -1};

uint64_t
keeper_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

void
keeper_log(const char *fmt, ...)
{
	uint64_t now = keeper_now_ms();
	char line[512];
	va_list ap;

	if (now - k.log_since >= LOG_PERIOD_MS) {
		if (k.log_left_out != 0)
			fprintf(stderr, "vbus-keeper: %u lines left out\n", k.log_left_out);
		k.log_since = now;
		k.log_lines = 0;
		k.log_left_out = 0;
	}
	if (k.log_lines++ >= LOG_LINES) {
		k.log_left_out++;
		return;
	}
	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	fprintf(stderr, "vbus-keeper: %s\n", line);
}

int
keeper_watch(struct keeper_watch *w, int fd, uint32_t events)
{
	struct epoll_event ev = {.events = events, .data.ptr = w};
	int op, ret;

	if (w->fd < 0 && events == 0)
		return 0;
	if (w->fd >= 0 && events != 0 && events == w->events)
		return 0;
	op = w->fd < 0 ? EPOLL_CTL_ADD : events == 0 ? EPOLL_CTL_DEL : EPOLL_CTL_MOD;
	ret = epoll_ctl(k.epoll_fd, op, fd, &ev);
	if (ret != 0) {
		ret = -errno;
		keeper_log("a descriptor cannot be watched: %s", strerror(-ret));
	}
	w->fd = op == EPOLL_CTL_DEL || ret != 0 ? -1 : fd;
	w->events = events;
	return ret;
}

/* ---- loop ------------------------------------------------------------------------------------ */

/* Calls whose time is over. @return ms until the next, -1: none waits */
static int
deadlines(void)
{
	uint64_t now = keeper_now_ms();
	struct keeper_link *l;
	int next = -1;

	LIST_FOREACH(l, &keeper_links, next)
	{
		if (l->hold_until != 0 && l->session != NULL && now >= l->hold_until)
			keeper_serve(l);
		if (l->hold_until > now && (next < 0 || l->hold_until - now < (uint64_t)next))
			next = (int)(l->hold_until - now);
	}
	return next;
}

/* One event at a time: a handler may take away what another event names. */
static int
loop(void)
{
	struct epoll_event ev;
	struct keeper_watch *w;
	int n;

	while (!k.over) {
		n = epoll_wait(k.epoll_fd, &ev, 1, deadlines());
		if (n < 0 && errno != EINTR) {
			keeper_log("epoll: %s", strerror(errno));
			return EXIT_FAILURE;
		}
		w = ev.data.ptr;
		if (n > 0)
			w->fn(w, ev.events);
	}
	return EXIT_SUCCESS;
}

static void
on_signal(struct keeper_watch *w, uint32_t events)
{
	struct signalfd_siginfo si;

	(void)events;
	if (read(w->fd, &si, sizeof(si)) == (ssize_t)sizeof(si))
		keeper_log("stopping: %s", strsignal((int)si.ssi_signo));
	k.over = true;
}

static int
signals(void)
{
	sigset_t set;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	signal(SIGPIPE, SIG_IGN);
	if (sigprocmask(SIG_BLOCK, &set, NULL) != 0)
		return -errno;
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		return -errno;
	k.signals.fn = on_signal;
	return keeper_watch(&k.signals, fd, EPOLLIN);
}

static const char usage[] = "vbus-keeper [--socket SOCKET]\n"
			    "\n"
			    "  -s, --socket SOCKET  where vbus-dp comes (" DEFAULT_SOCKET ")\n"
			    "  -h, --help           this text\n"
			    "  -V, --version        version\n";

int
main(int argc, char **argv)
{
	static const struct option options[] = {
		{"socket", required_argument, NULL, 's'},
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'V'},
		{NULL, 0, NULL, 0},
	};
	const char *path = DEFAULT_SOCKET;
	struct keeper_link *l;
	struct rlimit lim;
	int c, ret, status;

	while ((c = getopt_long(argc, argv, "s:hV", options, NULL)) != -1) {
		if (c == 'h' || c == 'V') {
			printf("%s", c == 'h' ? usage : "vbus-keeper " VBUS_VERSION "\n");
			return EXIT_SUCCESS;
		}
		if (c != 's')
			return EXIT_FAILURE;
		path = optarg;
	}
	if (optind < argc) {
		fprintf(stderr, "vbus-keeper: %s: unexpected (--help says more)\n", argv[optind]);
		return EXIT_FAILURE;
	}
	/* One for each file of each guest's memory. */
	if (getrlimit(RLIMIT_NOFILE, &lim) == 0) {
		lim.rlim_cur = lim.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &lim);
	}
	k.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (k.epoll_fd < 0 || signals() != 0 || keeper_dp_start(path) != 0)
		return EXIT_FAILURE;
	keeper_log("ready at %s", path);
	ret = dp_notify("READY=1\nSTATUS=keeping");
	if (ret != 0 && ret != -ENOENT)
		keeper_log("systemd is not told: %s", strerror(-ret));
	status = loop();
	while ((l = LIST_FIRST(&keeper_links)) != NULL)
		keeper_link_del(l);
	keeper_dp_stop();
	close(k.signals.fd);
	close(k.epoll_fd);
	return status;
}
