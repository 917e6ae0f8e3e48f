/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * A server's session with its one client: life cycle, reading, replying.
 *
 * Threads: one at a time per session (the control thread). Ownership: the session owns its socket
 * and, through the caller's struct vfu_session_state, descriptors that came with the message at
 * hand or wait in a reply. The state lies with the caller so that it can outlive this process.
 *
 * Operations may free the session from under a call: every function that calls one is entered
 * with `running` set, and vfu_session_free() then only leaves a note.
 */

#include "vfu_session.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

void
vfu_session_log(struct vfu_session *s, enum vfu_log_level level, const char *fmt, ...)
{
	char line[VFU_WHY_LEN];
	va_list ap;

	if (s->conf.ops->log == NULL || s->nb_logged > VFU_SESSION_LOG_LINES)
		return;
	if (s->nb_logged++ == VFU_SESSION_LOG_LINES) {
		s->conf.ops->log(s->conf.arg, VFU_LOG_NOTICE,
			"more was wrong with this client's messages: see the counters");
		return;
	}
	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	s->conf.ops->log(s->conf.arg, level, line);
}

void
vfu_session_end(struct vfu_session *s, int reason, const char *why)
{
	if (s->over != 0)
		return;
	s->over = reason < 0 ? reason : -ECANCELED;
	vfu_why(s->why, "%s", why);
}

void *
vfu_session_answer(struct vfu_session *s, uint32_t len)
{
	uint32_t size = len + (uint32_t)sizeof(struct vfu_header);
	uint8_t *msg = vfu_tx_reserve(&s->st->tx, size);

	if (msg == NULL) {
		int rc = vfu_tx_flush(s->sock, &s->st->tx);

		if (rc < 0)
			vfu_session_end(s, rc, "sending failed");
		msg = vfu_tx_reserve(&s->st->tx, size);
	}
	if (msg == NULL) {
		vfu_session_end(s, -ENOBUFS, "the client does not read its replies");
		return NULL;
	}
	s->answer.payload = msg + sizeof(struct vfu_header);
	s->answer.len = len;
	return s->answer.payload;
}

static int
session_resume(struct vfu_session_state *st)
{
	if (st->version != VFU_SESSION_VERSION || st->size != sizeof(*st) || st->negotiated > 1)
		return -EINVAL;
	vfu_io_recover(&st->rx, &st->tx);
	if (vfu_rx_check(&st->rx) != 0 || vfu_tx_check(&st->tx) != 0)
		return -EINVAL;
	return 0;
}

static void
session_init(struct vfu_session_state *st)
{
	memset(&st->peer, 0, sizeof(st->peer));
	memset(&st->stats, 0, sizeof(st->stats));
	st->negotiated = 0;
	vfu_rx_init(&st->rx);
	vfu_tx_init(&st->tx);
	st->version = VFU_SESSION_VERSION;
	st->size = sizeof(*st);
	st->magic = VFU_SESSION_MAGIC;
}

/* Sizes and flags of the regions do not change while the session lives. */
static int
session_regions(struct vfu_session *s)
{
	for (uint32_t i = 0; i < s->conf.num_regions; i++) {
		struct vfu_region_info info = {.fd = -1};
		int rc;

		if (s->conf.ops->region_info == NULL)
			continue;
		rc = s->conf.ops->region_info(s->conf.arg, i, &info);
		if (rc != 0)
			return rc < 0 ? rc : -EINVAL;
		if (info.nb_areas > VFU_MAX_AREAS)
			return -EINVAL;
		s->region_size[i] = info.size;
		s->region_flags[i] = info.flags;
	}
	return 0;
}

int
vfu_session_open(int sock, const struct vfu_session_conf *conf, struct vfu_session_state *state,
	struct vfu_session **session)
{
	struct vfu_session *s;
	int rc;

	*session = NULL;
	if (sock < 0 || conf->ops == NULL || conf->num_regions == 0 ||
		conf->num_regions > VFU_MAX_REGIONS)
		return -EINVAL;
	if (state->magic != 0 && state->magic != VFU_SESSION_MAGIC)
		return -EINVAL;
	if (state->magic != 0 && session_resume(state) != 0)
		return -EINVAL;
	s = calloc(1, sizeof(*s));
	if (s == NULL)
		return -ENOMEM;
	s->sock = sock;
	s->conf = *conf;
	s->st = state;
	rc = session_regions(s);
	if (rc != 0) {
		free(s);
		return rc;
	}
	if (state->magic == 0)
		session_init(state);
	*session = s;
	return 0;
}

static void
session_destroy(struct vfu_session *s)
{
	vfu_rx_reset(&s->st->rx);
	vfu_tx_drop(&s->st->tx);
	s->st->magic = 0;
	close(s->sock);
	free(s);
}

/* Send what waits; a socket that fails ends the session. */
static void
session_flush(struct vfu_session *s)
{
	int rc = vfu_tx_flush(s->sock, &s->st->tx);

	if (rc == -EPIPE || rc == -ECONNRESET)
		vfu_session_end(s, -ECONNRESET, "the client closed the connection");
	else if (rc < 0)
		vfu_session_end(s, rc, "sending failed");
}

/* Descriptors of the next message: into safe hands before the message leaves the socket. */
static void
session_park(struct vfu_session *s)
{
	int fds[VFU_MAX_FDS];
	int n = vfu_rx_peek_fds(s->sock, fds, VFU_MAX_FDS);

	if (n > 0)
		s->conf.ops->park(s->conf.arg, s->st->rx.nr, fds, (uint32_t)n);
	while (n > 0)
		close(fds[--n]);
}

/* Take one message from the socket and serve it. 1 done, 0 there is none. */
static int
session_step(struct vfu_session *s)
{
	struct vfu_rx *rx = &s->st->rx;
	struct vfu_tx *tx = &s->st->tx;
	int rc;

	if (s->conf.ops->park != NULL && rx->len == 0)
		session_park(s);
	rc = vfu_rx_step(s->sock, rx);
	switch (rc) {
	case 0:
		return 0;
	case 1:
		s->deferred = false;
		s->replied = false;
		vfu_session_dispatch(s);
		if (s->deferred)
			return 0;
		if (!s->replied)
			tx->join_tail = tx->tail;
		vfu_io_join(rx, tx);
		return 1;
	case -ECONNRESET:
		vfu_session_end(s, rc, "the client closed the connection");
		break;
	case -EPIPE:
		vfu_session_end(s, rc, "the client closed the connection within a message");
		break;
	case -EMSGSIZE:
		vfu_session_end(s, rc, "a message with an impossible size");
		break;
	default:
		vfu_session_end(s, rc, "receiving failed");
		break;
	}
	return 0;
}

/* After the loop: tell the owner, once; free what was freed meanwhile. The result of process(). */
static int
session_finish(struct vfu_session *s, unsigned int served)
{
	int over = s->over;

	if (over != 0 && !s->told && !s->freed) {
		s->told = true;
		vfu_rx_reset(&s->st->rx);
		vfu_tx_drop(&s->st->tx);
		if (s->conf.ops->closed != NULL)
			s->conf.ops->closed(s->conf.arg, over, s->why);
	}
	s->running = false;
	if (s->freed) {
		session_destroy(s);
		return over != 0 ? over : -ECANCELED;
	}
	return over != 0 ? over : (int)served;
}

int
vfu_session_process(struct vfu_session *session, unsigned int budget)
{
	struct vfu_session *s = session;
	unsigned int served = 0;

	if (s->running)
		return -EBUSY;
	s->running = true;
	session_flush(s);
	while (s->over == 0 && !s->freed && served < budget) {
		if (session_step(s) == 0)
			break;
		/*
		 * A client that waits for this one reply gets it now. If it has sent more, the
		 * rest of the replies leave together.
		 */
		if (served++ == 0)
			session_flush(s);
	}
	if (!s->freed)
		session_flush(s);
	return session_finish(s, served);
}

uint32_t
vfu_session_want_events(const struct vfu_session *session)
{
	return (session->deferred ? EPOLLRDHUP : EPOLLIN) |
	       (session->st->tx.head < session->st->tx.tail ? EPOLLOUT : 0u);
}

bool
vfu_session_deferred(const struct vfu_session *session)
{
	return session->deferred;
}

bool
vfu_session_pending(const struct vfu_session_state *state, uint64_t *nr)
{
	*nr = state->rx.nr;
	return state->rx.len >= sizeof(struct vfu_header) &&
	       state->rx.len == vfu_rx_header(&state->rx).size;
}

int
vfu_session_take_over(struct vfu_session_state *state, const int *fds, uint32_t nb_fds)
{
	if (state->magic != VFU_SESSION_MAGIC || state->version != VFU_SESSION_VERSION ||
		state->size != sizeof(*state) || nb_fds > VFU_MAX_FDS)
		return -EINVAL;
	vfu_io_recover(&state->rx, &state->tx);
	state->rx.nb_fds = 0;
	if (state->rx.len > 0) {
		memcpy(state->rx.fds, fds, nb_fds * sizeof(fds[0]));
		state->rx.nb_fds = nb_fds;
	}
	if (state->tx.nb_fd_msgs == 0)
		return 0;
	state->tx.nb_fd_msgs = 0;
	return -EBADF;
}

int
vfu_session_fd(const struct vfu_session *session)
{
	return session->sock;
}

int
vfu_session_peer(const struct vfu_session *session, struct vfu_peer *peer)
{
	return vfu_io_peer(session->sock, peer);
}

void
vfu_session_stop(struct vfu_session *session, int reason)
{
	vfu_session_end(session, reason, "stopped by its owner");
}

void
vfu_session_free(struct vfu_session *session)
{
	if (session == NULL)
		return;
	if (session->running) {
		session->freed = true;
		return;
	}
	session_destroy(session);
}

int
vfu_session_detach(struct vfu_session *session)
{
	int sock = session->sock;

	free(session);
	return sock;
}
