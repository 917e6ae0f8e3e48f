/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * The data plane at the hand-over socket: one at a time (ADR-0016). One thread.
 *
 * Its socket's end of file is its death: links that it had opened are served by us from then on. It
 * is trusted (the socket's file is of mode 0600), but what it says is looked up all the same.
 *
 * Things are descriptors under a name that we know nothing about: what devices have that is not of a
 * link. They are kept until it says otherwise, and given to the next one.
 */

#include "keeper.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

struct keeper_thing {
	char name[VBUS_HO_TEXT];
	uint64_t word;
	int fds[VBUS_HO_THING_FDS];
	uint32_t nb;
	LIST_ENTRY(keeper_thing) next;
};

static struct {
	struct vfu_listener *listener;
	struct keeper_watch listen_watch;
	int sock; /* -1: no data plane */
	bool hello;
	struct keeper_watch watch;
	LIST_HEAD(, keeper_thing) things;
} dp = {.sock = -1, .listen_watch.fd = -1, .watch.fd = -1};

bool
keeper_dp_there(void)
{
	return dp.sock >= 0;
}

static void
gone(const char *why)
{
	struct keeper_link *l;

	if (dp.sock < 0)
		return;
	keeper_watch(&dp.watch, dp.sock, 0);
	close(dp.sock);
	dp.sock = -1;
	keeper_log("the data plane is gone: %s", why);
	LIST_FOREACH(l, &keeper_links, next)
	{
		if (l->opened)
			keeper_link_take_over(l);
	}
}

static void
say(struct vbus_ho_msg *m, int status, const char *text, const int *fds, uint32_t nb_fds)
{
	int ret;

	m->status = status;
	snprintf(m->text, sizeof(m->text), "%s", text);
	ret = vbus_ho_send(dp.sock, m, fds, nb_fds);
	/* One that does not read is as good as none; what it does not know it cannot serve. */
	if (ret != 0)
		shutdown(dp.sock, SHUT_RDWR);
}

/* ---- things ------------------------------------------------------------------------------------ */

static void
thing_free(struct keeper_thing *t)
{
	LIST_REMOVE(t, next);
	while (t->nb > 0)
		close(t->fds[--t->nb]);
	free(t);
}

/* In place of what had that name. @return the descriptors are ours */
static bool
on_thing(const struct vbus_ho_msg *m, const int *fds, uint32_t nb)
{
	struct keeper_thing *t, *old;

	LIST_FOREACH(old, &dp.things, next)
	{
		if (strcmp(old->name, m->text) == 0)
			break;
	}
	t = nb != 0 && nb <= VBUS_HO_THING_FDS ? calloc(1, sizeof(*t)) : NULL;
	if (t != NULL) {
		memcpy(t->name, m->text, sizeof(t->name));
		memcpy(t->fds, fds, nb * sizeof(fds[0]));
		t->word = m->nr;
		t->nb = nb;
		LIST_INSERT_HEAD(&dp.things, t, next);
	}
	if (old != NULL)
		thing_free(old);
	return t != NULL;
}

static void
send_things(void)
{
	struct vbus_ho_msg m = vbus_ho_msg(VBUS_HO_THING, 0);
	const struct keeper_thing *t;

	LIST_FOREACH(t, &dp.things, next)
	{
		m.nr = t->word;
		say(&m, 0, t->name, t->fds, t->nb);
	}
}

/* ---- to it ------------------------------------------------------------------------------------- */

static void
send_files(const struct keeper_link *l)
{
	struct vbus_ho_msg m = vbus_ho_msg(VBUS_HO_FILE, l->id);
	const struct keeper_file *f;
	int fds[VBUS_HO_FDS];
	uint32_t nb = 0;

	LIST_FOREACH(f, &l->files, next)
	{
		fds[nb++] = f->fd;
		if (nb == VBUS_HO_FDS) {
			say(&m, 0, "", fds, nb);
			nb = 0;
		}
	}
	if (nb != 0)
		say(&m, 0, "", fds, nb);
}

void
keeper_dp_session(struct keeper_link *l)
{
	struct vbus_ho_msg m = vbus_ho_msg(VBUS_HO_SESSION, l->id);
	const struct vu_state *st = vbus_vu_state(l->ls);
	int fds[VBUS_HO_FDS];
	uint32_t nb = 0, i;
	int fd;

	fds[nb++] = l->sock;
	fds[nb++] = l->kick;
	for (i = 0; i < VU_NB_IRQS; i++) {
		fd = st->irq[i].fd_plus_1 != 0 ? keeper_fds_event(l, st->irq[i].nr) : -1;
		if (fd < 0)
			continue;
		m.armed |= 1u << i;
		fds[nb++] = fd;
	}
	/* No client's message has more than one or two; a longer one is refused anyway. */
	for (i = 0; i < l->nb_parked && nb < VBUS_HO_FDS; i++)
		fds[nb++] = l->parked[i];
	say(&m, 0, "", fds, nb);
}

static void
on_open(const struct vbus_ho_msg *m)
{
	struct vbus_ho_msg r = vbus_ho_msg(VBUS_HO_READY, 0);
	struct keeper_link *l = keeper_link_find(m->text);
	char why[VFU_WHY_LEN] = "";
	int ret;

	if (l != NULL && l->opened) {
		say(&r, -EBUSY, "it is open already", NULL, 0);
		return;
	}
	if (l == NULL)
		l = keeper_link_make(m->text, why);
	if (l == NULL) {
		say(&r, -errno, why, NULL, 0);
		return;
	}
	if (m->nr != 0) { /* the one that it got does not hold together */
		ret = keeper_link_renew(l);
		if (ret != 0) {
			say(&r, ret, strerror(-ret), NULL, 0);
			return;
		}
	}
	keeper_link_give(l);
	r.link = l->id;
	r.type = VBUS_HO_STATE;
	say(&r, 0, "", &l->ls_fd, 1);
	if (l->sock >= 0) {
		send_files(l);
		keeper_dp_session(l);
	}
	r.type = VBUS_HO_READY;
	say(&r, 0, "", NULL, 0);
}

static void
on_hello(const struct vbus_ho_msg *m)
{
	struct vbus_ho_msg r = vbus_ho_msg(VBUS_HO_HELLO, 0);
	char why[VBUS_HO_TEXT];

	r.state_version = VBUS_LINK_VERSION << 16 | VFU_SESSION_VERSION;
	dp.hello = m->state_version == r.state_version;
	snprintf(why, sizeof(why), "the keeper's state has version %u.%u, the data plane's %u.%u",
		VBUS_LINK_VERSION, VFU_SESSION_VERSION, m->state_version >> 16,
		m->state_version & 0xffff);
	if (dp.hello)
		send_things();
	say(&r, dp.hello ? 0 : -EPROTONOSUPPORT, dp.hello ? "" : why, NULL, 0);
	keeper_log("%s", dp.hello ? "a data plane has come" : why);
}

/* ---- from it ----------------------------------------------------------------------------------- */

static void
on_park(struct keeper_link *l, uint64_t nr, int *fds, uint32_t nb_fds)
{
	keeper_fds_add(l, nr, fds, nb_fds);
	keeper_fds_unpark(l);
	memcpy(l->parked, fds, nb_fds * sizeof(fds[0]));
	l->nb_parked = nb_fds;
	l->parked_nr = nr;
}

/* @return descriptors were taken over */
static bool
dispatch(const struct vbus_ho_msg *m, int *fds, uint32_t nb_fds)
{
	struct keeper_link *l;

	if (m->type == VBUS_HO_HELLO) {
		on_hello(m);
		return false;
	}
	if (!dp.hello)
		return false;
	if (m->type == VBUS_HO_OPEN) {
		on_open(m);
		return false;
	}
	if (m->type == VBUS_HO_THING)
		return on_thing(m, fds, nb_fds);
	l = keeper_link_of(m->link);
	if (l == NULL || !l->opened)
		return false;
	switch (m->type) {
	case VBUS_HO_PARK:
		if (l->sock < 0)
			return false;
		on_park(l, m->nr, fds, nb_fds);
		return true;
	case VBUS_HO_ENDED:
		keeper_link_end(l, m->text);
		return false;
	case VBUS_HO_CLOSE:
		keeper_link_del(l);
		return false;
	default:
		return false;
	}
}

static void
on_dp(struct keeper_watch *w, uint32_t events)
{
	int fds[VBUS_HO_FDS];
	struct vbus_ho_msg m;
	uint32_t nb = 0;
	int ret;

	(void)w;
	(void)events;
	while (dp.sock >= 0) {
		ret = vbus_ho_recv(dp.sock, 0, &m, fds, &nb);
		if (ret == 0)
			return;
		if (ret == -EPROTONOSUPPORT) {
			/* It understands that much: the head of a packet never changes. */
			struct vbus_ho_msg r = vbus_ho_msg(VBUS_HO_HELLO, 0);

			say(&r, ret, "the keeper speaks another version", NULL, 0);
		}
		if (ret < 0) {
			gone(ret == -ECONNRESET ? "its end of the socket is closed"
						: strerror(-ret));
			return;
		}
		if (!dispatch(&m, fds, nb))
			while (nb > 0)
				close(fds[--nb]);
	}
}

static void
on_listen(struct keeper_watch *w, uint32_t events)
{
	int sock = vfu_listen_accept(dp.listener, false);
	struct vbus_ho_msg r = vbus_ho_msg(VBUS_HO_HELLO, 0);

	(void)w;
	(void)events;
	if (sock < 0)
		return;
	/* The end of the last one may wait in its socket, behind this event. */
	if (dp.sock >= 0)
		on_dp(&dp.watch, EPOLLIN);
	if (dp.sock >= 0) {
		r.status = -EBUSY;
		snprintf(r.text, sizeof(r.text), "another data plane is connected");
		(void)vbus_ho_send(sock, &r, NULL, 0);
		close(sock);
		return;
	}
	dp.sock = sock;
	dp.hello = false;
	dp.watch.fn = on_dp;
	if (keeper_watch(&dp.watch, sock, EPOLLIN) != 0)
		gone("it cannot be watched");
}

int
keeper_dp_start(const char *path)
{
	char why[VFU_WHY_LEN];
	int ret = vfu_listen_open_as(path, SOCK_SEQPACKET, &dp.listener, why);

	if (ret != 0) {
		keeper_log("%s", why);
		return ret;
	}
	dp.listen_watch.fn = on_listen;
	return keeper_watch(&dp.listen_watch, vfu_listen_fd(dp.listener), EPOLLIN);
}

void
keeper_dp_stop(void)
{
	struct keeper_thing *t;

	if (dp.sock >= 0)
		close(dp.sock);
	while ((t = LIST_FIRST(&dp.things)) != NULL)
		thing_free(t);
	vfu_listen_close(dp.listener);
}
