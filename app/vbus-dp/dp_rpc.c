/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * The control socket: who is connected, and lines in and out (dp_rpc.h says the bounds).
 *
 * Threads: the one that runs dp_loop. Ownership: a client belongs to the list here; its buffers and
 * its watch to the client. Nothing waits: a socket that has nothing to give or no room is left until
 * the loop says otherwise, and one timer per client does the rest - go on with lines that are here
 * already, give up a line that does not end, give up a client that does not read.
 *
 * Fairness: LINES_PER_ROUND lines of one client, then the others' turn. A client whose answers wait
 * is not read from, so that what waits is bounded by OUT_PAUSE and one answer.
 */

#include "dp_rpc.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vfu_server.h"

#include "dp_log.h"
#include "dp_loop.h"
#include "dp_rpc_internal.h"

DP_LOG_TYPE("rpc");

#define LINES_PER_ROUND	  16
#define ACCEPTS_PER_ROUND 16
#define OUT_PAUSE	  65536u
#define NS_PER_MS	  1000000ull

struct client {
	int fd;
	struct dp_loop_fd *watch;
	struct dp_loop_timer timer;
	uint32_t events; /* that are waited for */
	bool eof;	 /* it sends no more */
	bool more;	 /* lines wait for their turn */
	bool closing;	 /* nothing more is taken from it; goes when its answers are out */
	uint32_t in_len;
	uint64_t line_ns;   /* when the unfinished line began, 0: there is none */
	uint64_t active_ns; /* last line, or connected */
	char *out;	    /* out_off..out_len wait */
	size_t out_len, out_off, out_size;
	uint64_t out_ns; /* last time that something of it left, or that it became non-empty */
	TAILQ_ENTRY(client) next;
	char in[DP_RPC_IN_MAX];
};

static struct {
	struct vfu_listener *listener;
	char path[DP_PATH_SIZE];
	struct dp_loop_fd *watch;
	TAILQ_HEAD(, client) clients;
	uint32_t nb;
} rpc = {.clients = TAILQ_HEAD_INITIALIZER(rpc.clients)};

struct dp_rpc_stats dp_rpc_counters;

static void
client_del(struct client *c, const char *why)
{
	if (why != NULL)
		DP_LOG(INFO, "control client %d disconnected: %s", c->fd, why);
	dp_loop_timer_cancel(&c->timer);
	dp_loop_del(c->watch);
	close(c->fd);
	TAILQ_REMOVE(&rpc.clients, c, next);
	rpc.nb--;
	free(c->out);
	free(c);
}

/* ---- out --------------------------------------------------------------------------------------- */

static size_t
waiting(const struct client *c)
{
	return c->out_len - c->out_off;
}

/* Takes @p text. @return false: no room or memory, the client cannot be kept. */
static bool
queue(struct client *c, char *text, size_t len)
{
	size_t size = c->out_size != 0 ? c->out_size : 4096;
	char *grown;

	if (waiting(c) == 0)
		c->out_ns = dp_loop_now_ns();
	if (c->out_off != 0) {
		memmove(c->out, c->out + c->out_off, waiting(c));
		c->out_len -= c->out_off;
		c->out_off = 0;
	}
	while (size < c->out_len + len)
		size *= 2;
	if (size != c->out_size) {
		grown = realloc(c->out, size);
		if (grown == NULL) {
			free(text);
			return false;
		}
		c->out = grown;
		c->out_size = size;
	}
	memcpy(c->out + c->out_len, text, len);
	c->out_len += len;
	free(text);
	return c->out_len <= OUT_PAUSE + DP_RPC_OUT_MAX;
}

/* @return false: it is gone */
static bool
flush(struct client *c)
{
	ssize_t n;

	while (waiting(c) != 0) {
		n = send(c->fd, c->out + c->out_off, waiting(c), MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN || errno == EWOULDBLOCK;
		c->out_off += (size_t)n;
		c->out_ns = dp_loop_now_ns();
	}
	free(c->out); /* one large answer is not kept for ever */
	c->out = NULL;
	c->out_len = c->out_off = c->out_size = 0;
	return true;
}

/* ---- in ---------------------------------------------------------------------------------------- */

/* The last words to a client. @return false: it cannot be told */
static bool
refuse(struct client *c, int code, const char *text)
{
	size_t len;
	char *answer = dp_rpc_refuse(code, text, &len);

	c->closing = true;
	c->in_len = 0;
	c->line_ns = 0;
	return answer != NULL && queue(c, answer, len);
}

/* @return false: the client cannot be kept */
static bool
serve(struct client *c, const char *line, uint32_t len)
{
	size_t out_len;
	char *answer;
	uint32_t i;

	c->active_ns = dp_loop_now_ns();
	for (i = 0; i < len && (line[i] == ' ' || line[i] == '\t' || line[i] == '\r'); i++)
		;
	if (i == len)
		return true; /* blank */
	answer = dp_rpc_answer(line, len, &out_len);
	return answer != NULL ? queue(c, answer, out_len) : out_len == 0;
}

/* Serve some of the lines that are there. @return false: the client cannot be kept */
static bool
serve_lines(struct client *c)
{
	uint32_t pos = 0, len, lines = 0;
	bool ok = true;
	char *nl;

	c->more = false;
	while (ok && pos < c->in_len) {
		nl = memchr(c->in + pos, '\n', c->in_len - pos);
		if (nl == NULL && !c->eof)
			break;
		if (lines++ == LINES_PER_ROUND || waiting(c) >= OUT_PAUSE) {
			c->more = true;
			break;
		}
		/* At its end, a client need not send the last newline. */
		len = nl != NULL ? (uint32_t)(nl - c->in) - pos : c->in_len - pos;
		ok = serve(c, c->in + pos, len);
		pos += len + (nl != NULL);
	}
	c->in_len -= pos;
	memmove(c->in, c->in + pos, c->in_len);
	if (c->in_len == 0 || c->more)
		c->line_ns = 0;
	else if (c->line_ns == 0 || pos != 0)
		c->line_ns = dp_loop_now_ns();
	return ok;
}

/* Read what is there. @return false: the client is gone, errno */
static bool
take(struct client *c)
{
	ssize_t n;

	if (c->in_len == sizeof(c->in)) {
		dp_rpc_counters.long_lines++;
		return refuse(c, DP_RPC_BAD_REQUEST, "Invalid Request: line too long");
	}
	do
		n = recv(c->fd, c->in + c->in_len, sizeof(c->in) - c->in_len, MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EAGAIN || errno == EWOULDBLOCK;
	if (n == 0)
		c->eof = true;
	c->in_len += (uint32_t)n;
	return true;
}

/* Is there room for what it sends, and does it still count? */
static bool
listens(const struct client *c)
{
	return !c->more && !c->eof && !c->closing && waiting(c) < OUT_PAUSE;
}

/* ---- a client's turn --------------------------------------------------------------------------- */

static void
timer_set(struct client *c)
{
	uint64_t now = dp_loop_now_ns(), due = UINT64_MAX;

	if (c->more && waiting(c) < OUT_PAUSE)
		due = now;
	if (c->line_ns != 0)
		due = RTE_MIN(due, c->line_ns + DP_RPC_LINE_MS * NS_PER_MS);
	if (waiting(c) != 0)
		due = RTE_MIN(due, c->out_ns + DP_RPC_STALL_MS * NS_PER_MS);
	if (due == UINT64_MAX)
		dp_loop_timer_cancel(&c->timer);
	else
		dp_loop_timer_arm(&c->timer, due > now ? due - now : 0);
}

/* Serve lines and send, then say what to wait for. The client may be gone afterwards. */
static void
turn(struct client *c)
{
	uint32_t events;

	if ((!c->closing && !serve_lines(c)) || !flush(c)) {
		client_del(c, "cannot be answered");
		return;
	}
	if (waiting(c) == 0 && ((c->eof && !c->more) || c->closing)) {
		client_del(c, NULL);
		return;
	}
	events = (waiting(c) != 0 ? EPOLLOUT : 0u) | (listens(c) ? EPOLLIN : 0u);
	if (events != c->events && dp_loop_mod(c->watch, events) != 0) {
		client_del(c, "cannot be watched");
		return;
	}
	c->events = events;
	timer_set(c);
}

static void
on_client(int fd, uint32_t events, void *arg)
{
	struct client *c = arg;

	(void)fd;
	/* HUP and ERR come until the client is gone: what it had sent before is read, the rest of its
	 * way out is the end of file or an error. */
	if ((events & ~(uint32_t)EPOLLOUT) != 0 && listens(c) && !take(c)) {
		client_del(c, strerror(errno));
		return;
	}
	turn(c);
}

static void
on_timer(struct dp_loop_timer *t, void *arg)
{
	struct client *c = arg;
	uint64_t now = dp_loop_now_ns();

	(void)t;
	if (waiting(c) != 0 && now >= c->out_ns + DP_RPC_STALL_MS * NS_PER_MS) {
		dp_rpc_counters.stalled++;
		client_del(c, "does not read its answers");
		return;
	}
	if (c->line_ns != 0 && now >= c->line_ns + DP_RPC_LINE_MS * NS_PER_MS) {
		dp_rpc_counters.late_lines++;
		if (!refuse(c, DP_RPC_BAD_REQUEST, "Invalid Request: line not finished in time")) {
			client_del(c, "line not finished in time");
			return;
		}
	}
	turn(c);
}

/* ---- connecting -------------------------------------------------------------------------------- */

/* Somebody came: is there room? Whoever has been silent for the longest makes it. */
static bool
make_room(void)
{
	struct client *c, *oldest = NULL;

	if (rpc.nb < DP_RPC_CLIENTS_MAX)
		return true;
	TAILQ_FOREACH (c, &rpc.clients, next)
		if (oldest == NULL || c->active_ns < oldest->active_ns)
			oldest = c;
	if (dp_loop_now_ns() - oldest->active_ns < DP_RPC_SILENT_MS * NS_PER_MS)
		return false;
	dp_rpc_counters.evicted++;
	client_del(oldest, "silent, and another one wants its place");
	return true;
}

static void
client_add(int fd)
{
	struct client *c = calloc(1, sizeof(*c));

	if (c == NULL) {
		close(fd);
		return;
	}
	c->fd = fd;
	c->events = EPOLLIN;
	c->active_ns = dp_loop_now_ns();
	c->timer.fn = on_timer;
	c->timer.arg = c;
	c->watch = dp_loop_add(fd, c->events, on_client, c);
	if (c->watch == NULL) {
		close(fd);
		free(c);
		return;
	}
	TAILQ_INSERT_TAIL(&rpc.clients, c, next);
	rpc.nb++;
	dp_rpc_counters.clients++;
}

static void
on_listener(int fd, uint32_t events, void *arg)
{
	int i, ret;

	(void)fd;
	(void)events;
	(void)arg;
	for (i = 0; i < ACCEPTS_PER_ROUND; i++) {
		ret = vfu_listen_accept(rpc.listener, false);
		if (ret < 0)
			return;
		if (make_room()) {
			client_add(ret);
		} else {
			dp_rpc_counters.refused++;
			close(ret);
		}
	}
}

void
dp_rpc_stats(struct dp_rpc_stats *st)
{
	*st = dp_rpc_counters;
}

/* @return 0 with a listener and its watch, or a negative errno and a line */
static int
listen_at(const char *path, struct vfu_listener **listener, struct dp_loop_fd **watch, char *err,
	size_t err_size)
{
	char why[VFU_WHY_LEN] = "";
	int ret = vfu_listen_open(path, listener, why);

	if (ret != 0) {
		snprintf(err, err_size, "control: %s", why);
		return ret;
	}
	*watch = dp_loop_add(vfu_listen_fd(*listener), EPOLLIN, on_listener, NULL);
	if (*watch == NULL) {
		ret = -errno;
		snprintf(err, err_size, "control: %s: %s", path, strerror(-ret));
		vfu_listen_close(*listener);
		return ret;
	}
	return 0;
}

int
dp_rpc_start(const char *path, char *err, size_t err_size)
{
	int ret = listen_at(path, &rpc.listener, &rpc.watch, err, err_size);

	if (ret != 0)
		rpc.listener = NULL;
	else
		snprintf(rpc.path, sizeof(rpc.path), "%s", path);
	return ret;
}

int
dp_rpc_move(const char *path, char *err, size_t err_size)
{
	struct vfu_listener *listener;
	struct dp_loop_fd *watch;
	int ret;

	if (rpc.listener == NULL || strcmp(path, rpc.path) == 0)
		return 0;
	ret = listen_at(path, &listener, &watch, err, err_size);
	if (ret != 0)
		return ret;
	dp_loop_del(rpc.watch);
	vfu_listen_close(rpc.listener);
	rpc.listener = listener;
	rpc.watch = watch;
	snprintf(rpc.path, sizeof(rpc.path), "%s", path);
	DP_LOG(NOTICE, "the control socket is %s now", path);
	return 0;
}

void
dp_rpc_stop(void)
{
	struct client *c;

	dp_rpc_capture_sweep(true);
	dp_rpc_trace_end();
	while ((c = TAILQ_FIRST(&rpc.clients)) != NULL)
		client_del(c, NULL);
	dp_loop_del(rpc.watch);
	rpc.watch = NULL;
	vfu_listen_close(rpc.listener);
	rpc.listener = NULL;
}
