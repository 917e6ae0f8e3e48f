/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * Links: listening socket, state, client; and who serves the client (ADR-0016). One thread.
 *
 * The state belongs to one process at a time: to us while l->session is there, else to the data
 * plane that has opened the link. It is gone, with all its threads, when its hand-over socket says end
 * of file. A client is accepted here, always.
 */

#include "keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct keeper_link *
keeper_link_find(const char *path)
{
	struct keeper_link *l;

	LIST_FOREACH(l, &keeper_links, next)
	{
		if (strcmp(l->path, path) == 0)
			return l;
	}
	return NULL;
}

struct keeper_link *
keeper_link_of(uint32_t id)
{
	struct keeper_link *l;

	LIST_FOREACH(l, &keeper_links, next)
	{
		if (l->id == id)
			return l;
	}
	return NULL;
}

/* ---- clients --------------------------------------------------------------------------------- */

/* The client's end is closed, whether or not who serves it has read so far. */
static bool
has_hung_up(int sock)
{
	struct pollfd p = {.fd = sock, .events = POLLRDHUP};

	return poll(&p, 1, 0) > 0 && (p.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}

static void
begin(struct keeper_link *l, int sock)
{
	struct vu_state *st = vbus_vu_state(l->ls);
	int ret = 0;

	vbus_link_state_end(l->ls);
	st->session.magic = 0;
	st->session.rx.nr = 0;
	memset(st->irq, 0, sizeof(st->irq));
	st->kick_fd_plus_1 = 0;
	memset(l->ls->bridge.regs, 0, sizeof(l->ls->bridge.regs));
	vbus_link_config_init(l->ls);
	l->ls->bridge.flags = VBUS_LINK_PEER;
	l->sock = sock;
	/* One for each client: who has gone cannot kick its successor's link. */
	l->kick = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (l->kick < 0) {
		keeper_link_end(l, strerror(errno));
		return;
	}
	keeper_log("%s: a client has come", l->path);
	if (l->opened)
		keeper_dp_session(l);
	else
		ret = keeper_serve_begin(l);
	if (ret != 0)
		keeper_link_end(l, strerror(-ret));
}

static void
on_listen(struct keeper_watch *w, uint32_t events)
{
	struct keeper_link *l = w->arg;
	int sock;

	(void)events;
	if (l->sock >= 0 && has_hung_up(l->sock)) {
		/* Who serves it will find out: then the next one is let in. */
		if (l->session != NULL)
			keeper_link_end(l, "the client closed the connection");
		else
			keeper_watch(w, vfu_listen_fd(l->listener), 0);
		return;
	}
	sock = vfu_listen_accept(l->listener, l->sock >= 0);
	if (sock >= 0)
		begin(l, sock);
	else if (sock == -EBUSY)
		keeper_log("%s: a second client is turned away", l->path);
	else if (sock != -EAGAIN)
		keeper_log("%s: a client cannot be served: %s", l->path, strerror(-sock));
}

void
keeper_link_end(struct keeper_link *l, const char *why)
{
	struct vu_state *st = vbus_vu_state(l->ls);

	if (l->sock < 0)
		return;
	keeper_log("%s: the client is gone: %s", l->path, why);
	keeper_watch(&l->session_watch, l->sock, 0);
	if (l->session != NULL) {
		vfu_session_free(l->session); /* closes the socket */
		l->session = NULL;
	} else {
		close(l->sock);
		st->session.magic = 0; /* numbers of another process: nothing to close */
	}
	l->sock = -1;
	if (l->kick >= 0)
		close(l->kick);
	l->kick = -1;
	l->hold_until = 0;
	memset(st->irq, 0, sizeof(st->irq));
	st->kick_fd_plus_1 = 0;
	vbus_link_state_end(l->ls);
	keeper_fds_drop(l);
	keeper_watch(&l->listen_watch, vfu_listen_fd(l->listener), EPOLLIN);
}

/* ---- from one to the other ------------------------------------------------------------------- */

/* Numbers of the one before mean nothing here. */
static void
own_numbers(struct keeper_link *l)
{
	struct vu_state *st = vbus_vu_state(l->ls);

	for (int i = 0; i < VU_NB_IRQS; i++)
		if (st->irq[i].fd_plus_1 != 0)
			st->irq[i].fd_plus_1 = keeper_fds_event(l, st->irq[i].nr) + 1;
	st->kick_fd_plus_1 = l->kick + 1;
}

void
keeper_link_take_over(struct keeper_link *l)
{
	struct vfu_session_state *s = &vbus_vu_state(l->ls)->session;
	int ret = 0;

	l->opened = false;
	if (l->sock < 0) {
		keeper_watch(&l->listen_watch, vfu_listen_fd(l->listener), EPOLLIN);
		return;
	}
	own_numbers(l);
	if (s->magic != 0)
		ret = vfu_session_take_over(s, NULL, 0);
	/* The numbers of the message that it had read, or part of it. */
	if (ret == 0 && s->magic != 0 && s->rx.len > 0 && l->parked_nr == s->rx.nr) {
		memcpy(s->rx.fds, l->parked, l->nb_parked * sizeof(l->parked[0]));
		s->rx.nb_fds = l->nb_parked;
		l->nb_parked = 0; /* the session's now */
	}
	keeper_fds_unpark(l);
	if (ret == 0)
		ret = keeper_serve_begin(l);
	if (ret != 0)
		keeper_link_end(l, "its session does not hold together");
	else
		keeper_watch(&l->listen_watch, vfu_listen_fd(l->listener), EPOLLIN);
}

void
keeper_link_give(struct keeper_link *l)
{
	struct vfu_session_state *s = &vbus_vu_state(l->ls)->session;

	l->opened = true;
	l->hold_until = 0;
	if (l->session == NULL)
		return;
	keeper_watch(&l->session_watch, l->sock, 0);
	vfu_session_detach(l->session);
	l->session = NULL;
	keeper_fds_unpark(l);
	if (s->magic == 0 || s->rx.nb_fds > VBUS_HO_FDS)
		return;
	/* Descriptors of a message that waits: they go along, and stay here. */
	memcpy(l->parked, s->rx.fds, s->rx.nb_fds * sizeof(l->parked[0]));
	l->nb_parked = s->rx.nb_fds;
	l->parked_nr = s->rx.nr;
}

/* ---- life ------------------------------------------------------------------------------------ */

static int
state_make(struct keeper_link *l)
{
	l->ls = vbus_link_state_create("vbus-kept", &l->ls_fd);
	if (l->ls == NULL)
		return -errno;
	vbus_link_config_init(l->ls);
	return 0;
}

int
keeper_link_renew(struct keeper_link *l)
{
	struct vbus_link_state *old = l->ls;
	int old_fd = l->ls_fd, ret;

	keeper_link_end(l, "its state is made anew");
	ret = state_make(l);
	if (ret != 0) {
		l->ls = old;
		l->ls_fd = old_fd;
		return ret;
	}
	vbus_link_state_unmap(old);
	close(old_fd);
	return 0;
}

struct keeper_link *
keeper_link_make(const char *path, char *why)
{
	static uint32_t last_id;
	struct keeper_link *l = calloc(1, sizeof(*l));
	int ret = -ENOMEM;

	snprintf(why, VFU_WHY_LEN, "%.100s: %s", path, strerror(ENOMEM));
	if (l == NULL)
		goto err;
	l->id = ++last_id;
	l->sock = -1;
	l->kick = -1;
	l->listen_watch = (struct keeper_watch){.fn = on_listen, .arg = l, .fd = -1};
	l->session_watch.fd = -1;
	LIST_INIT(&l->files);
	LIST_INIT(&l->events);
	snprintf(l->path, sizeof(l->path), "%s", path);
	ret = state_make(l);
	if (ret != 0)
		goto err;
	ret = vfu_listen_open(path, &l->listener, why);
	if (ret == 0)
		ret = keeper_watch(&l->listen_watch, vfu_listen_fd(l->listener), EPOLLIN);
	if (ret != 0)
		goto err_state;
	LIST_INSERT_HEAD(&keeper_links, l, next);
	keeper_log("%s: kept", path);
	return l;

err_state:
	vfu_listen_close(l->listener);
	vbus_link_state_unmap(l->ls);
	close(l->ls_fd);
err:
	free(l);
	errno = -ret;
	return NULL;
}

void
keeper_link_del(struct keeper_link *l)
{
	keeper_link_end(l, "the link is closed");
	keeper_log("%s: not kept any more", l->path);
	keeper_watch(&l->listen_watch, vfu_listen_fd(l->listener), 0);
	vfu_listen_close(l->listener); /* removes the file */
	vbus_link_state_unmap(l->ls);
	close(l->ls_fd);
	LIST_REMOVE(l, next);
	free(l);
}
