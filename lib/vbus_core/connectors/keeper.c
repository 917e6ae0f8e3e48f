/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * A data plane's end of the hand-over socket (ADR-0016).
 *
 * Threads: control lock held throughout. The keeper is trusted and quick: an open waits for its
 * answer. Should it die, links that are open go on; a client that goes is the last one then.
 *
 * Ownership: the socket and its watch are the process's (one keeper); links belong to their
 * connectors and are listed here.
 */

#include "keeper_client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "link_state.h"
#include "vbus_ctl.h"
#include "vbus_log.h"

#define ANSWER_MS 5000

struct thing {
	char name[VBUS_HO_TEXT];
	uint64_t word;
	int fds[VBUS_HO_THING_FDS];
	uint32_t nb;
	LIST_ENTRY(thing) next;
};
_Static_assert(VBUS_KEEPER_FDS == VBUS_HO_THING_FDS, "as many as the keeper takes");

static struct {
	int sock;		   /* -1: none */
	LIST_HEAD(, thing) things; /* of a process before us, not taken yet */
	struct vbus_ctl_fd *watch;
	LIST_HEAD(, kept_link) links;
	struct vbus_log_limit log_limit;
} keeper = {.sock = -1, .links = LIST_HEAD_INITIALIZER(keeper.links)};

bool
vbus_keeper_connected(void)
{
	return keeper.sock >= 0;
}

static void
disconnect(void)
{
	vbus_ctl_fd_del(keeper.watch);
	keeper.watch = NULL;
	if (keeper.sock >= 0)
		close(keeper.sock);
	keeper.sock = -1;
}

/* ---- packets --------------------------------------------------------------------------------- */

void
kept_session_drop(struct kept_session *s)
{
	if (s->sock < 0)
		return;
	close(s->sock);
	close(s->kick);
	for (int i = 0; i < VU_NB_IRQS; i++)
		if (s->irq[i] >= 0)
			close(s->irq[i]);
	while (s->nb_parked > 0)
		close(s->parked[--s->nb_parked]);
	s->sock = -1;
}

void
kept_files_drop(struct kept_link *k)
{
	struct kept_file *f;

	while ((f = k->files) != NULL) {
		k->files = f->next;
		close(f->fd);
		free(f);
	}
}

int
kept_file_fd(const struct kept_link *k, uint64_t dev, uint64_t ino)
{
	const struct kept_file *f;

	for (f = k->files; f != NULL; f = f->next)
		if (f->dev == dev && f->ino == ino)
			return f->fd;
	return -1;
}

static void
add_file(struct kept_link *k, int fd)
{
	struct kept_file *f = calloc(1, sizeof(*f));
	struct stat st;

	if (f == NULL || fstat(fd, &st) != 0) {
		free(f);
		close(fd);
		return;
	}
	f->dev = st.st_dev;
	f->ino = st.st_ino;
	f->fd = fd;
	f->next = k->files;
	k->files = f;
}

static bool
add_thing(const struct vbus_ho_msg *m, const int *fds, uint32_t nb)
{
	struct thing *t = calloc(1, sizeof(*t));

	if (t == NULL)
		return false;
	memcpy(t->name, m->text, sizeof(t->name));
	memcpy(t->fds, fds, nb * sizeof(fds[0]));
	t->word = m->nr;
	t->nb = nb;
	LIST_INSERT_HEAD(&keeper.things, t, next);
	return true;
}

/* @return false: not enough of them, all closed */
static bool
get_session(const struct vbus_ho_msg *m, int *fds, uint32_t nb, struct kept_session *s)
{
	uint32_t at = 2;

	if (nb < 2 + (uint32_t)__builtin_popcount(m->armed & ((1u << VU_NB_IRQS) - 1))) {
		while (nb > 0)
			close(fds[--nb]);
		return false;
	}
	s->sock = fds[0];
	s->kick = fds[1];
	for (uint32_t i = 0; i < VU_NB_IRQS; i++)
		s->irq[i] = (m->armed & 1u << i) != 0 ? fds[at++] : -1;
	s->nb_parked = nb - at;
	memcpy(s->parked, fds + at, s->nb_parked * sizeof(fds[0]));
	return true;
}

static struct kept_link *
link_of(uint32_t id)
{
	struct kept_link *k;

	LIST_FOREACH(k, &keeper.links, next)
	{
		if (k->id == id)
			return k;
	}
	return NULL;
}

/* A packet for a link that is being opened (k), or for one that is open. */
static void
take(struct kept_link *k, const struct vbus_ho_msg *m, int *fds, uint32_t nb)
{
	struct kept_link *to = link_of(m->link);
	struct kept_session s;

	if (m->type == VBUS_HO_THING && nb <= VBUS_HO_THING_FDS && add_thing(m, fds, nb))
		return;
	if (m->type == VBUS_HO_STATE && k != NULL && nb == 1) {
		k->id = m->link;
		k->ls_fd = fds[0];
		return;
	}
	if (m->type == VBUS_HO_FILE && k != NULL && m->link == k->id) {
		for (uint32_t i = 0; i < nb; i++)
			add_file(k, fds[i]);
		return;
	}
	if (m->type == VBUS_HO_SESSION && (to != NULL || (k != NULL && m->link == k->id))) {
		if (!get_session(m, fds, nb, &s))
			return;
		if (to == NULL)
			k->first = s;
		else
			to->session(to, &s);
		return;
	}
	while (nb > 0)
		close(fds[--nb]);
}

static void
on_keeper(int fd, uint32_t events, void *arg)
{
	int fds[VBUS_HO_FDS];
	struct vbus_ho_msg m;
	uint32_t nb = 0;
	int ret;

	(void)events;
	(void)arg;
	while ((ret = vbus_ho_recv(fd, 0, &m, fds, &nb)) == 1)
		take(NULL, &m, fds, nb);
	if (ret == 0)
		return;
	VBUS_LOG(ERR, "the keeper is gone (%s): its links are served to their end", strerror(-ret));
	disconnect();
}

static int
say(enum vbus_ho_type type, uint32_t link, uint64_t nr, const char *text, const int *fds,
	uint32_t nb_fds)
{
	struct vbus_ho_msg m = vbus_ho_msg(type, link);
	int ret;

	if (keeper.sock < 0)
		return -ENOTCONN;
	m.nr = nr;
	if (type == VBUS_HO_HELLO)
		m.state_version = VBUS_LINK_VERSION << 16 | VFU_SESSION_VERSION;
	snprintf(m.text, sizeof(m.text), "%s", text);
	ret = vbus_ho_send(keeper.sock, &m, fds, nb_fds);
	if (ret != 0)
		VBUS_LOG_LIMITED(
			&keeper.log_limit, ERR, "the keeper is not told: %s", strerror(-ret));
	return ret;
}

/* Packets until one of that type that is for us. @return its status, or a negative errno */
static int
answer(struct kept_link *k, enum vbus_ho_type type, char *err, size_t err_size)
{
	int fds[VBUS_HO_FDS];
	struct vbus_ho_msg m;
	uint32_t nb = 0;
	int ret;

	for (;;) {
		ret = vbus_ho_recv(keeper.sock, ANSWER_MS, &m, fds, &nb);
		if (ret == 0)
			ret = -ETIMEDOUT;
		if (ret < 0) {
			snprintf(err, err_size, "the keeper: %s", strerror(-ret));
			return ret;
		}
		if (m.type != type) {
			take(k, &m, fds, nb);
			continue;
		}
		while (nb > 0)
			close(fds[--nb]);
		if (m.status != 0)
			snprintf(err, err_size, "%s", m.text);
		return m.status <= 0 ? m.status : -EBADMSG;
	}
}

/* ---- for connectors -------------------------------------------------------------------------- */

int
kept_open(struct kept_link *k, const char *path, bool renew, char *err, size_t err_size)
{
	int ret;

	k->id = 0;
	k->ls_fd = -1;
	k->files = NULL;
	k->first.sock = -1;
	ret = say(VBUS_HO_OPEN, 0, renew, path, NULL, 0);
	snprintf(err, err_size, "the keeper: %s", strerror(-ret));
	if (ret == 0)
		ret = answer(k, VBUS_HO_READY, err, err_size);
	if (ret == 0 && k->ls_fd < 0)
		ret = -EBADMSG;
	if (ret != 0) {
		kept_files_drop(k);
		kept_session_drop(&k->first);
		if (k->ls_fd >= 0)
			close(k->ls_fd);
		return ret;
	}
	LIST_INSERT_HEAD(&keeper.links, k, next);
	return 0;
}

void
kept_park(struct kept_link *k, uint64_t nr, const int *fds, uint32_t nb_fds)
{
	/* A client may send more than any message of ours has: those are refused. */
	(void)say(VBUS_HO_PARK, k->id, nr, "", fds, nb_fds < VBUS_HO_FDS ? nb_fds : VBUS_HO_FDS);
}

void
kept_ended(struct kept_link *k, const char *why)
{
	(void)say(VBUS_HO_ENDED, k->id, 0, why, NULL, 0);
}

void
kept_close(struct kept_link *k)
{
	(void)say(VBUS_HO_CLOSE, k->id, 0, "", NULL, 0);
	kept_files_drop(k);
	LIST_REMOVE(k, next);
}

/* ---- for programs ---------------------------------------------------------------------------- */

int
vbus_keeper_connect(const char *path, char *err, size_t err_size)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int ret;

	if (keeper.sock >= 0)
		return -EBUSY;
	snprintf(err, err_size, "%.100s: too long for a socket", path);
	if (strlen(path) >= sizeof(a.sun_path))
		return -ENAMETOOLONG;
	memcpy(a.sun_path, path, strlen(path));
	keeper.sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (keeper.sock < 0 || connect(keeper.sock, (struct sockaddr *)&a, sizeof(a)) != 0) {
		ret = -errno;
		snprintf(err, err_size, "%.100s: %s", path, strerror(-ret));
		disconnect();
		return ret;
	}
	ret = say(VBUS_HO_HELLO, 0, 0, "", NULL, 0);
	if (ret == 0)
		ret = answer(NULL, VBUS_HO_HELLO, err, err_size);
	if (ret == 0) {
		keeper.watch = vbus_ctl_fd_add(keeper.sock, EPOLLIN, on_keeper, NULL);
		if (keeper.watch == NULL) {
			ret = -errno;
			snprintf(err, err_size, "%s", strerror(-ret));
		}
	}
	if (ret != 0)
		disconnect();
	return ret;
}

uint32_t
vbus_keeper_get(const char *name, uint64_t *word, int *fds)
{
	struct thing *t;
	uint32_t nb;

	LIST_FOREACH(t, &keeper.things, next)
	{
		if (strcmp(t->name, name) != 0)
			continue;
		*word = t->word;
		memcpy(fds, t->fds, sizeof(t->fds));
		nb = t->nb;
		LIST_REMOVE(t, next);
		free(t);
		return nb;
	}
	return 0;
}

int
vbus_keeper_keep(const char *name, uint64_t word, const int *fds, uint32_t nb_fds)
{
	return say(VBUS_HO_THING, 0, word, name, fds, nb_fds);
}

void
vbus_keeper_forget_rest(void)
{
	struct thing *t;

	while ((t = LIST_FIRST(&keeper.things)) != NULL) {
		(void)vbus_keeper_keep(t->name, 0, NULL, 0);
		LIST_REMOVE(t, next);
		while (t->nb > 0)
			close(t->fds[--t->nb]);
		free(t);
	}
}

void
vbus_keeper_leave(void)
{
	struct kept_link *k;

	LIST_FOREACH(k, &keeper.links, next)
	{
		k->leave(k);
	}
	/* Now the keeper takes over. */
	disconnect();
}
