/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * Descriptors of a client, kept for who serves it next: memory by file, eventfds by the number of
 * the message that they came with (ADR-0016, 3). One thread. They belong to the link.
 *
 * Whether one is still needed is read in the link's state, which a data plane may be changing: it
 * gives us the descriptors of a message before it takes the message, so what belongs to earlier
 * messages is settled in the state, and only that is swept.
 */

#include "keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int
keep_file(struct keeper_link *l, const struct stat *st, int fd)
{
	struct keeper_file *f;

	LIST_FOREACH(f, &l->files, next)
	{
		if (f->dev == st->st_dev && f->ino == st->st_ino)
			return 0;
	}
	f = calloc(1, sizeof(*f));
	if (f == NULL)
		return -ENOMEM;
	f->dev = st->st_dev;
	f->ino = st->st_ino;
	f->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (f->fd < 0) {
		free(f);
		return -errno;
	}
	LIST_INSERT_HEAD(&l->files, f, next);
	return 0;
}

static int
keep_event(struct keeper_link *l, uint64_t nr, int fd)
{
	struct keeper_event *e;

	if (keeper_fds_event(l, nr) >= 0)
		return 0; /* the message was parked before: the same */
	e = calloc(1, sizeof(*e));
	if (e == NULL)
		return -ENOMEM;
	e->nr = nr;
	e->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (e->fd < 0) {
		free(e);
		return -errno;
	}
	LIST_INSERT_HEAD(&l->events, e, next);
	return 0;
}

void
keeper_fds_add(struct keeper_link *l, uint64_t nr, const int *fds, uint32_t nb_fds)
{
	struct stat st;
	uint32_t i;
	int ret;

	keeper_fds_sweep(l, nr);
	for (i = 0; i < nb_fds; i++) {
		if (fstat(fds[i], &st) != 0)
			continue;
		ret = S_ISREG(st.st_mode) ? keep_file(l, &st, fds[i])
		      : i == 0		  ? keep_event(l, nr, fds[i])
					  : 0;
		if (ret != 0)
			keeper_log("%s: a descriptor cannot be kept: %s", l->path, strerror(-ret));
	}
}

int
keeper_fds_event(const struct keeper_link *l, uint64_t nr)
{
	const struct keeper_event *e;

	LIST_FOREACH(e, &l->events, next)
	{
		if (e->nr == nr)
			return e->fd;
	}
	return -1;
}

static bool
event_is_named(struct keeper_link *l, const struct keeper_event *e)
{
	const struct vu_state *st = vbus_vu_state(l->ls);

	for (int i = 0; i < VU_NB_IRQS; i++)
		if (st->irq[i].fd_plus_1 != 0 && st->irq[i].nr == e->nr)
			return true;
	return false;
}

static bool
file_is_named(const struct keeper_link *l, const struct keeper_file *f)
{
	uint32_t end = l->ls->bridge.regions_end;
	uint32_t i;

	for (i = 0; i < end && i < VBUS_LINK_REGIONS; i++) {
		const struct vbus_link_region *r = &l->ls->regions[i];

		if ((r->flags & VBUS_LINK_REGION_FILE) != 0 && r->st_dev == f->dev &&
			r->st_ino == f->ino)
			return true;
	}
	return false;
}

static void
file_free(struct keeper_file *f)
{
	LIST_REMOVE(f, next);
	close(f->fd);
	free(f);
}

static void
event_free(struct keeper_event *e)
{
	LIST_REMOVE(e, next);
	close(e->fd);
	free(e);
}

void
keeper_fds_sweep(struct keeper_link *l, uint64_t but)
{
	struct keeper_event *e, *e_next;
	struct keeper_file *f, *f_next;

	for (e = LIST_FIRST(&l->events); e != NULL; e = e_next) {
		e_next = LIST_NEXT(e, next);
		if (e->nr < but && !event_is_named(l, e))
			event_free(e);
	}
	for (f = LIST_FIRST(&l->files); f != NULL; f = f_next) {
		f_next = LIST_NEXT(f, next);
		if (!file_is_named(l, f))
			file_free(f);
	}
}

void
keeper_fds_unpark(struct keeper_link *l)
{
	while (l->nb_parked > 0)
		close(l->parked[--l->nb_parked]);
}

void
keeper_fds_drop(struct keeper_link *l)
{
	while (!LIST_EMPTY(&l->events))
		event_free(LIST_FIRST(&l->events));
	while (!LIST_EMPTY(&l->files))
		file_free(LIST_FIRST(&l->files));
	keeper_fds_unpark(l);
}
