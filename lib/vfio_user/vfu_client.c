/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * The client's connection: sending, receiving, deadlines, end.
 *
 * Threads: one at a time per client (the control thread). Ownership: the client owns its socket,
 * its requests, and descriptors that came with the reply at hand; descriptors to be sent are
 * borrowed from the caller until the request completes.
 *
 * A request is in one of two lists, `unsent` or `waiting`, both in order. As the server answers in
 * order, a reply belongs to the first that waits, or the connection is worth nothing.
 *
 * Callbacks may queue requests and free the client: whatever calls one is entered with `running`
 * set, checks `freed` afterwards, and vfu_client_free() then only leaves a note.
 */

#include "vfu_client_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

/* Messages that leave by one sendmsg(). */
#define SEND_IOVS 64
/* Unsent answers to commands of the server: it must not make us grow. */
#define MAX_REJECTS 64
/*
 * Bytes of replies that a server may owe us before we ask for more: one that does not read while
 * it cannot write would wait for us, as others give up on a client that does not read (ours does).
 */
#define WINDOW 131072u
/* What a reply has besides data. */
#define REPLY_BASE 48u
/* How long to wait when the kernel has too many descriptors in flight and none of ours return. */
#define STALL_NS 10000000u

static void
list_init(struct vfu_request_list *l)
{
	l->first = NULL;
	l->last = &l->first;
}

static void
list_add(struct vfu_request_list *l, struct vfu_request *req)
{
	req->next = NULL;
	*l->last = req;
	l->last = &req->next;
}

static struct vfu_request *
list_pop(struct vfu_request_list *l)
{
	struct vfu_request *req = l->first;

	if (req == NULL)
		return NULL;
	l->first = req->next;
	if (l->first == NULL)
		l->last = &l->first;
	return req;
}

void
vfu_client_end(struct vfu_client *c, int reason, const char *fmt, ...)
{
	va_list ap;

	if (c->over != 0)
		return;
	c->over = reason;
	va_start(ap, fmt);
	vsnprintf(c->why, sizeof(c->why), fmt, ap);
	va_end(ap);
}

int
vfu_client_open(int sock, const struct vfu_client_ops *ops, void *arg, struct vfu_client **client)
{
	struct vfu_client *c;

	*client = NULL;
	if (sock < 0 || ops == NULL)
		return -EINVAL;
	c = calloc(1, sizeof(*c));
	if (c == NULL)
		return -ENOMEM;
	c->sock = sock;
	c->ops = ops;
	c->arg = arg;
	c->deadline_ns = VFU_NEVER;
	list_init(&c->unsent);
	list_init(&c->waiting);
	vfu_rx_init(&c->rx);
	*client = c;
	return 0;
}

static int
connect_reason(const char *path, int error, char *why)
{
	struct stat st;

	if (error == ECONNREFUSED && stat(path, &st) == 0 && !S_ISSOCK(st.st_mode))
		error = ENOTSOCK;
	switch (error) {
	case ENOENT:
		vfu_why(why, "%s: there is no such socket", path);
		break;
	case ECONNREFUSED:
		vfu_why(why, "%s: nobody serves this socket", path);
		break;
	case ENOTSOCK:
		vfu_why(why, "%s: is not a socket", path);
		break;
	case EAGAIN:
		vfu_why(why, "%s: the server does not accept clients at the moment", path);
		break;
	default:
		vfu_why(why, "%s: connect: %s", path, strerror(error));
		break;
	}
	return -error;
}

int
vfu_client_connect(const char *path, const struct vfu_client_ops *ops, void *arg,
	struct vfu_client **client, char *why)
{
	struct sockaddr_un addr;
	int sock, rc;

	*client = NULL;
	rc = vfu_io_address(path, &addr, why);
	if (rc != 0)
		return rc;
	sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (sock < 0) {
		rc = -errno;
		vfu_why(why, "%s: socket: %s", path, strerror(-rc));
		return rc;
	}
	if (connect(sock, (const struct sockaddr *)&addr, sizeof(addr)) != 0) {
		rc = connect_reason(path, errno, why);
		goto err_close;
	}
	rc = vfu_client_open(sock, ops, arg, client);
	if (rc != 0) {
		vfu_why(why, "%s: %s", path, strerror(-rc));
		goto err_close;
	}
	return 0;

err_close:
	close(sock);
	return rc;
}

struct vfu_request *
vfu_client_new(struct vfu_client *c, uint16_t command, uint32_t len, const int *fds,
	uint32_t nb_fds, int *error)
{
	/* The descriptors lie behind the message, aligned. */
	size_t msg_len = (sizeof(struct vfu_header) + len + 7) & ~(size_t)7;
	struct vfu_request *req;
	struct vfu_header h = {.command = command};

	*error = 0;
	if (c->over != 0 || c->freed)
		*error = -ENOTCONN;
	else if (c->nb_requests >= VFU_CLIENT_MAX_REQS)
		*error = -ENOBUFS;
	else if (nb_fds > VFU_MAX_FDS)
		*error = -E2BIG;
	if (*error != 0)
		return NULL;
	req = calloc(1, sizeof(*req) + msg_len + nb_fds * sizeof(int));
	if (req == NULL) {
		*error = -ENOMEM;
		return NULL;
	}
	req->command = command;
	req->expect = REPLY_BASE;
	req->id = c->next_id++;
	req->len = (uint32_t)sizeof(h) + len;
	req->payload = req->msg + sizeof(h);
	if (nb_fds > 0) {
		memcpy(req->msg + msg_len, fds, nb_fds * sizeof(int));
		req->fds = (const int *)(const void *)(req->msg + msg_len);
		req->nb_fds = nb_fds;
	}
	h.id = req->id;
	h.size = req->len;
	memcpy(req->msg, &h, sizeof(h));
	return req;
}

void
vfu_client_queue(struct vfu_client *c, struct vfu_request *req, const struct vfu_call *call)
{
	if (call != NULL)
		req->call = *call;
	else
		req->call.deadline_ns = VFU_NEVER;
	if (req->no_reply) {
		struct vfu_header h;

		memcpy(&h, req->msg, sizeof(h));
		h.flags |= VFU_F_NO_REPLY;
		memcpy(req->msg, &h, sizeof(h));
		req->expect = 0;
	}
	if (req->call.deadline_ns < c->deadline_ns)
		c->deadline_ns = req->call.deadline_ns;
	list_add(&c->unsent, req);
	c->nb_requests++;
}

void
vfu_client_complete(
	struct vfu_client *c, struct vfu_request *req, int status, const struct vfu_reply *reply)
{
	if (req->call.done != NULL && !c->freed)
		req->call.done(req->call.arg, status, status == 0 ? reply : NULL);
}

/* A request leaves the lists for good. */
static void
forget(struct vfu_client *c, struct vfu_request *req)
{
	if (req->is_reject)
		c->nb_rejects--;
	else
		c->nb_requests--;
	if (req->call.deadline_ns == c->deadline_ns)
		c->deadline_old = true;
	free(req);
}

/* Refuse a command of the server: we never serve any. */
static void
reject(struct vfu_client *c, const struct vfu_header *cmd)
{
	struct vfu_header h = {
		.id = cmd->id,
		.command = cmd->command,
		.size = sizeof(h),
		.flags = VFU_F_TYPE_REPLY | VFU_F_ERROR,
		.error = EOPNOTSUPP,
	};
	struct vfu_request *req;

	if (cmd->flags & VFU_F_NO_REPLY)
		return;
	if (c->nb_rejects >= MAX_REJECTS) {
		vfu_client_end(c, -ENOBUFS, "the server asks and does not read the answers");
		return;
	}
	req = calloc(1, sizeof(*req) + sizeof(h));
	if (req == NULL) {
		vfu_client_end(c, -ENOMEM, "no memory");
		return;
	}
	memcpy(req->msg, &h, sizeof(h));
	req->len = sizeof(h);
	req->is_reject = true;
	req->no_reply = true;
	req->call.deadline_ns = VFU_NEVER;
	list_add(&c->unsent, req);
	c->nb_rejects++;
}

/* n bytes of the unsent requests have left. */
static void
advance(struct vfu_client *c, size_t n)
{
	while (n > 0) {
		struct vfu_request *req = c->unsent.first;
		uint32_t rest = req->len - req->sent;

		/* They leave with the first byte. */
		req->nb_fds = 0;
		if (n < rest) {
			req->sent += (uint32_t)n;
			return;
		}
		n -= rest;
		list_pop(&c->unsent);
		if (req->no_reply) {
			forget(c, req);
			continue;
		}
		c->in_flight += req->expect;
		list_add(&c->waiting, req);
	}
}

/* Must the next request wait for replies to others? */
static bool
window_is_full(const struct vfu_client *c)
{
	const struct vfu_request *req = c->unsent.first;

	return req != NULL && req->sent == 0 && c->in_flight > 0 &&
	       c->in_flight + req->expect > WINDOW;
}

/* May a request leave together with those before it? @p total bytes so far, @p owed for replies. */
static bool
leaves_too(const struct vfu_request *req, size_t total, uint32_t owed)
{
	return req != NULL && req->nb_fds == 0 && total + req->len <= VFU_TX_CHUNK &&
	       owed + req->expect <= WINDOW;
}

/* Gather what leaves together: one request with descriptors, or several without. */
static uint32_t
gather(struct vfu_client *c, struct iovec iov[SEND_IOVS])
{
	struct vfu_request *req = c->unsent.first;
	uint32_t owed = c->in_flight;
	size_t total = 0;
	uint32_t n = 0;

	do {
		iov[n].iov_base = req->msg + req->sent;
		iov[n].iov_len = req->len - req->sent;
		total += iov[n].iov_len;
		owed += req->expect;
		n++;
		if (req->nb_fds > 0)
			break;
		req = req->next;
	} while (n < SEND_IOVS && leaves_too(req, total, owed));
	return n;
}

int
vfu_client_flush(struct vfu_client *client)
{
	struct vfu_client *c = client;

	while (c->over == 0 && !c->stalled && c->unsent.first != NULL && !window_is_full(c)) {
		struct vfu_request *req = c->unsent.first;
		struct iovec iov[SEND_IOVS];
		ssize_t n;

		n = vfu_io_send(c->sock, iov, gather(c, iov), req->fds, req->nb_fds);
		if (n > 0) {
			advance(c, (size_t)n);
			continue;
		}
		if (n == -EAGAIN || n == -EWOULDBLOCK)
			break;
		if (n == -ETOOMANYREFS) {
			/* The kernel counts descriptors in flight per user; the server's reading
			 * makes room, and its next answer is the sign of it. */
			c->stalled = true;
			c->stall_ns = c->now_ns + STALL_NS;
		} else if (n == -EPIPE || n == -ECONNRESET) {
			/* What it has said before is still to be read; then comes the end. */
			break;
		} else {
			vfu_client_end(c, (int)n, "sending: %s", strerror((int)-n));
		}
	}
	return c->unsent.first == NULL;
}

/* One message is in rx. */
static void
take_message(struct vfu_client *c)
{
	struct vfu_header h = vfu_rx_header(&c->rx);
	struct vfu_request *req = c->waiting.first;
	int status;

	if ((h.flags & VFU_F_TYPE_MASK) == VFU_F_TYPE_COMMAND) {
		reject(c, &h);
		return;
	}
	if ((h.flags & VFU_F_TYPE_MASK) != VFU_F_TYPE_REPLY || req == NULL || req->id != h.id ||
		req->command != h.command || h.size > VFU_MSG_MAX) {
		vfu_client_end(c, -EPROTO, "a reply to nothing that was asked (%s)",
			vfu_client_command_name(h.command));
		return;
	}
	list_pop(&c->waiting);
	c->in_flight -= req->expect;
	c->stalled = false;
	if (h.flags & VFU_F_ERROR) {
		status = h.error > 0 && h.error < 4096 ? -(int)h.error : -EIO;
		vfu_client_complete(c, req, status, NULL);
	} else {
		vfu_client_answered(c, req);
	}
	forget(c, req);
}

/* Receive up to `budget` messages. How many; *dry says whether there are no more. */
static unsigned int
receive(struct vfu_client *c, unsigned int budget, bool *dry)
{
	unsigned int n = 0;

	*dry = false;
	while (c->over == 0 && !c->freed && n < budget) {
		int rc = vfu_rx_step(c->sock, &c->rx);

		switch (rc) {
		case 0:
			*dry = true;
			return n;
		case 1:
			take_message(c);
			vfu_rx_reset(&c->rx);
			n++;
			break;
		case -ECONNRESET:
			vfu_client_end(c, rc, "the server closed the connection");
			break;
		case -EPIPE:
			vfu_client_end(c, rc, "the server closed the connection within a message");
			break;
		case -EMSGSIZE:
			vfu_client_end(c, -EPROTO, "a message with an impossible size");
			break;
		default:
			vfu_client_end(c, rc, "receiving: %s", strerror(-rc));
			break;
		}
	}
	return n;
}

static const struct vfu_request *
earliest(const struct vfu_request *req, const struct vfu_request *best)
{
	for (; req != NULL; req = req->next)
		if (best == NULL || req->call.deadline_ns < best->call.deadline_ns)
			best = req;
	return best;
}

static const struct vfu_request *
next_to_expire(const struct vfu_client *c)
{
	return earliest(c->unsent.first, earliest(c->waiting.first, NULL));
}

static void
check_deadlines(struct vfu_client *c)
{
	const struct vfu_request *req;

	if (c->deadline_ns > c->now_ns && !c->deadline_old)
		return;
	req = next_to_expire(c);
	c->deadline_ns = req == NULL ? VFU_NEVER : req->call.deadline_ns;
	c->deadline_old = false;
	if (req != NULL && c->deadline_ns != VFU_NEVER && c->deadline_ns <= c->now_ns)
		vfu_client_end(c, -ETIMEDOUT, "no answer to %s in time",
			vfu_client_command_name(req->command));
}

static void
drop_requests(struct vfu_client *c, struct vfu_request_list *list, int status)
{
	struct vfu_request *req;

	while ((req = list_pop(list)) != NULL) {
		if (status != 0)
			vfu_client_complete(c, req, status, NULL);
		forget(c, req);
	}
}

static void
client_destroy(struct vfu_client *c)
{
	drop_requests(c, &c->waiting, 0);
	drop_requests(c, &c->unsent, 0);
	vfu_rx_reset(&c->rx);
	close(c->sock);
	free(c);
}

/* Leave vfu_client_process(). Its result. */
static int
finish(struct vfu_client *c, unsigned int taken)
{
	int over = c->over;

	if (over != 0 && !c->told) {
		c->told = true;
		drop_requests(c, &c->waiting, over);
		drop_requests(c, &c->unsent, over);
		if (c->ops->closed != NULL && !c->freed)
			c->ops->closed(c->arg, over, c->why);
	}
	c->running = false;
	if (c->freed) {
		client_destroy(c);
		return over != 0 ? over : -ECANCELED;
	}
	return over != 0 ? over : (int)taken;
}

int
vfu_client_process(struct vfu_client *client, uint64_t now_ns, unsigned int budget)
{
	struct vfu_client *c = client;
	unsigned int taken;
	bool dry;

	if (c->running)
		return -EBUSY;
	c->running = true;
	c->now_ns = now_ns;
	if (c->stalled && now_ns >= c->stall_ns)
		c->stalled = false;
	vfu_client_flush(c);
	taken = receive(c, budget, &dry);
	if (!c->freed)
		vfu_client_flush(c);
	/* A reply that lies in the socket has come in time. */
	if (dry && !c->freed)
		check_deadlines(c);
	return finish(c, taken);
}

int
vfu_client_fd(const struct vfu_client *client)
{
	return client->sock;
}

uint32_t
vfu_client_want_events(const struct vfu_client *client)
{
	bool out = client->unsent.first != NULL && !client->stalled && !window_is_full(client);

	return EPOLLIN | (out ? EPOLLOUT : 0u);
}

uint64_t
vfu_client_next_deadline(const struct vfu_client *client)
{
	uint64_t deadline = client->deadline_ns;

	if (client->deadline_old) {
		const struct vfu_request *req = next_to_expire(client);

		deadline = req == NULL ? VFU_NEVER : req->call.deadline_ns;
	}
	if (client->stalled && client->stall_ns < deadline)
		deadline = client->stall_ns;
	return deadline;
}

unsigned int
vfu_client_pending(const struct vfu_client *client)
{
	return client->nb_requests;
}

const struct vfu_caps *
vfu_client_caps(const struct vfu_client *client)
{
	return client->negotiated ? &client->caps : NULL;
}

int
vfu_client_peer(const struct vfu_client *client, struct vfu_peer *peer)
{
	return vfu_io_peer(client->sock, peer);
}

void
vfu_client_free(struct vfu_client *client)
{
	if (client == NULL)
		return;
	if (client->running) {
		client->freed = true;
		return;
	}
	client_destroy(client);
}
