/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * The vfio-user connector behind a keeper (ADR-0016): a client is taken over where another process
 * stopped, and given back; what a successor needs is noted and parked meanwhile.
 *
 * Threads: control lock held throughout. Ownership: as in vfio_user.c; the keeper has descriptors of
 * its own of all that we close.
 */

#include "vfio_user_priv.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "link_state.h"
#include "vbus_bridge.h"

/* vbus_vu_ops, and descriptors are given to the keeper. */
static struct vfu_ops vu_kept_ops;

int
vbus_vu_region_note(struct vu *u, const struct vfu_dma_map *map, int fd, int ret)
{
	struct vbus_link_region r = {
		.iova = map->iova,
		.len = map->size,
		.offset = map->offset,
		.flags = VBUS_LINK_REGION_USED,
	};
	struct stat st;
	int noted;

	if (ret != 0 && !(ret == -EEXIST && u->redo))
		return ret;
	if ((map->flags & VFU_DMA_F_READ) != 0)
		r.flags |= VBUS_LINK_REGION_READ;
	if ((map->flags & VFU_DMA_F_WRITE) != 0)
		r.flags |= VBUS_LINK_REGION_WRITE;
	if (fd >= 0 && fstat(fd, &st) == 0) {
		r.flags |= VBUS_LINK_REGION_FILE;
		r.st_dev = st.st_dev;
		r.st_ino = st.st_ino;
	}
	noted = vbus_link_region_add(vbus_bridge_link_state(u->bus->bridge), &r);
	if (ret == -EEXIST) /* this very one was mapped by the process that died */
		return noted == -EEXIST ? 0 : ret;
	if (noted == -ENOSPC) /* not for us, but the next process would not have it */
		VBUS_LOG_LIMITED(&u->log_limit, WARNING, "bus %s: too many regions for a keeper",
			u->bus->name);
	return ret;
}

static void
vu_park(void *arg, uint64_t nr, const int *fds, uint32_t nb_fds)
{
	struct vu *u = arg;

	kept_park(&u->kept, nr, fds, nb_fds);
}

static int
kept_fd(void *arg, uint64_t dev, uint64_t ino)
{
	const struct vu *u = arg;

	return kept_file_fd(&u->kept, dev, ino);
}

/* Go on with a client where another process stopped; a new one is the same, with nothing done yet. */
static int
session_adopt(struct vu *u, const struct kept_session *s)
{
	const struct vfu_session_conf conf = vbus_vu_conf(&vu_kept_ops, u);
	struct kept_session own = *s;
	uint64_t nr = 0;
	int ret = 0;

	for (int i = 0; i < VU_NB_IRQS; i++)
		u->st->irq[i].fd_plus_1 = s->irq[i] + 1;
	u->st->kick_fd_plus_1 = s->kick + 1;
	if (u->st->session.magic != 0)
		ret = vfu_session_take_over(&u->st->session, s->parked, s->nb_parked);
	if (ret == 0 && u->st->session.rx.nb_fds != 0)
		own.nb_parked = 0; /* the message's */
	while (own.nb_parked > 0)
		close(own.parked[--own.nb_parked]);
	if (ret == 0)
		ret = vfu_session_open(s->sock, &conf, &u->st->session, &u->session);
	if (ret != 0) {
		kept_session_drop(&own);
		kept_ended(&u->kept, "its session does not hold together");
		return ret;
	}
	u->redo = vfu_session_pending(&u->st->session, &nr);
	ret = vbus_bridge_session_adopt(u->bus->bridge, kept_fd, u, u->redo ? nr + 1 : 0);
	if (ret != 0)
		goto err;
	ret = -ENOMEM;
	u->kick_watch = vbus_ctl_fd_add(s->kick, EPOLLIN, vbus_vu_kicked, u);
	u->session_events = vfu_session_want_events(u->session);
	u->session_watch = vbus_ctl_fd_add(s->sock, u->session_events, vbus_vu_session_event, u);
	if (u->kick_watch == NULL || u->session_watch == NULL)
		goto err;
	if (vfu_session_peer(u->session, &u->peer) != 0)
		memset(&u->peer, 0, sizeof(u->peer));
	vbus_vu_intx_again(u);
	vbus_vu_irq_raise(u); /* one that was due when the other died; one too many is harmless */
	VBUS_LOG(INFO, "bus %s: peer taken over: pid %d, uid %u", u->bus->name, u->peer.pid,
		u->peer.uid);
	vbus_vu_serve(u); /* what is there already raises no event */
	return 0;
err:
	vbus_vu_session_end(u, "the session cannot be taken over");
	return ret;
}

static void
vu_kept_session(struct kept_link *k, const struct kept_session *s)
{
	struct vu *u = (struct vu *)(void *)((char *)k - offsetof(struct vu, kept));
	int ret;

	if (u->session != NULL)
		vbus_vu_session_end(u, "another client");
	ret = session_adopt(u, s);
	if (ret == 0)
		return;
	VBUS_LOG_LIMITED(&u->log_limit, ERR, "bus %s: a client cannot be served: %s", u->bus->name,
		strerror(-ret));
}

static void
vu_kept_leave(struct kept_link *k)
{
	struct vu *u = (struct vu *)(void *)((char *)k - offsetof(struct vu, kept));

	vbus_ctl_fd_del(u->session_watch);
	u->session_watch = NULL;
	vbus_ctl_fd_del(u->kick_watch);
	u->kick_watch = NULL;
	vbus_bridge_leave(u->bus->bridge);
}

/* The link and its client, as the process before left them. */
int
vbus_vu_kept_begin(struct vu *u, const char *path, char *err, size_t err_size)
{
	struct vbus_link_state *ls;
	int ret;

	vu_kept_ops = vbus_vu_ops;
	vu_kept_ops.park = vu_park;
	u->kept.session = vu_kept_session;
	u->kept.leave = vu_kept_leave;
	snprintf(u->path, sizeof(u->path), "%s", path);
	ret = kept_open(&u->kept, path, false, err, err_size);
	if (ret != 0)
		return ret;
	u->is_kept = true;
	ls = vbus_link_state_attach(u->kept.ls_fd);
	if (ls == NULL) {
		ret = -errno;
		close(u->kept.ls_fd);
		snprintf(err, err_size, "%s: state of the keeper: %s", path, strerror(-ret));
		return ret;
	}
	vbus_bridge_take_state(u->bus->bridge, ls, u->kept.ls_fd);
	u->st = vbus_vu_state(ls);
	if (u->kept.first.sock < 0)
		return 0;
	ret = session_adopt(u, &u->kept.first);
	kept_files_drop(&u->kept);
	if (ret == 0)
		return 0;
	VBUS_LOG(ERR, "bus %s: its client cannot be taken over: %s", u->bus->name, strerror(-ret));
	return 0;
}
