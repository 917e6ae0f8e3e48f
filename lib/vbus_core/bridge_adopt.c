/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * A link that another process has served: objects are made of its state, and what that process had half
 * done, when it was killed, is finished or undone (ADR-0016). And the other way: a link is given back.
 *
 * Threads: control lock held; polling threads come in when a class publishes its rings, at the end of
 * its adopt(). Ownership: as in bridge.c and conn.c. The state is that of a process of ours: it is
 * checked so far that nonsense in it ends the session and not the process.
 */

#include "bridge_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_common.h>

#include <vbus/pci.h>

/* ---- rings ------------------------------------------------------------------------------------- */

/* North's own position in the ring: where it puts the next entry. */
static uint32_t
north_position(const struct ioq_ring_head *h, bool produce)
{
	const struct ioq_ring_idx *valid = &h->idx[IOQ_IDX_VALID];

	if (!produce)
		return vbus_peer_load32(&h->idx[IOQ_IDX_INUSE].tail);
	/* The first lap of posted buffers counts on *valid*, later ones by popping *in-use*. */
	if (vbus_peer_load8(&valid->full) != 0 &&
		vbus_peer_load32(&valid->head) == vbus_peer_load32(&valid->tail))
		return vbus_peer_load32(&h->idx[IOQ_IDX_INUSE].head);
	return vbus_peer_load32(&valid->tail);
}

static bool
is_south(const struct vbus_ioq_south *q, uint32_t idx)
{
	return vbus_peer_load_owner(&q->desc_peer[idx].sown) == IOQ_SOWN_SOUTH;
}

/* South's entries from `from` up to `to`, exclusive. @return how many; *first is the first of them */
static uint32_t
stale(const struct vbus_ioq_south *q, uint32_t from, uint32_t to, uint32_t *first)
{
	uint32_t nb = 0, n = 0;
	uint32_t i = from;

	do {
		if (is_south(q, i)) {
			if (nb++ == 0)
				*first = i;
		}
		i = vbus_ioq_next(i, q->count);
	} while (i != to && ++n < q->count);
	return nb;
}

uint32_t
vbus_ring_repair(const struct vbus_ioq_south *q, bool produce)
{
	const uint32_t end = produce ? q->cur->inuse_tail : q->cur->inuse_head;
	const uint32_t count = q->count;
	uint32_t pos, nb, first = 0, tries = 0, i;

	do {
		pos = north_position(q->head_peer, produce);
		/* At our position: all entries are there for us, or none is. */
		if (pos >= count || (pos == end && is_south(q, end)))
			return 0;
		nb = stale(q, pos, end, &first);
		/* North puts entries in meanwhile: its position says so, before it hands them over. */
		vbus_peer_fence_acquire();
	} while (nb != 0 && pos != north_position(q->head_peer, produce) && ++tries < 1000);
	if (nb == 0)
		return 0;
	/* As vbus_ioq_south_consume_pop() and _produce_push_keep() do it, behind their first step. */
	if (produce) {
		vbus_peer_store32(&q->inuse_peer->tail, end);
		if (vbus_peer_load32(&q->inuse_peer->head) == end)
			vbus_peer_store8(&q->inuse_peer->full, 1);
	} else {
		vbus_peer_store32(&q->inuse_peer->head, end);
		vbus_peer_store8(&q->inuse_peer->full, 0);
	}
	vbus_peer_fence_release();
	for (i = first; i != end; i = vbus_ioq_next(i, count))
		if (is_south(q, i))
			vbus_peer_store_owner(&q->desc_peer[i].sown, IOQ_SOWN_NORTH);
	return nb;
}

void
vbus_shm_repair(const struct vbus_shm *shm, uint32_t count_max, bool produce)
{
	struct vbus_ioq_south q;

	if (shm->va != NULL && vbus_ioq_south_attach(&q, shm->va, shm->len, count_max, shm->cursor,
				       VBUS_IOQ_RESUME) == 0)
		(void)vbus_ring_repair(&q, produce);
}

/* ---- devices ----------------------------------------------------------------------------------- */

static void
take_slot(struct vbus_bridge *b, struct vbus_device *dev, uint32_t i)
{
	dev->index = i;
	dev->devid = b->ls->devs[i].devid;
	b->dev_of[i] = dev;
}

static struct vbus_link_dev *
slot_by_name(struct vbus_bridge *b, const struct vbus_device *dev, uint32_t *index)
{
	uint32_t i;

	for (i = 0; i < VBUS_LINK_DEVS; i++) {
		struct vbus_link_dev *s = &b->ls->devs[i];

		if ((s->flags & VBUS_LINK_DEV_USED) != 0 &&
			strncmp(s->name, dev->name, sizeof(s->name)) == 0 &&
			strncmp(s->cls, dev->cls->name, sizeof(s->cls)) == 0) {
			*index = i;
			return s;
		}
	}
	return NULL;
}

/* Slots that no device has: theirs are gone since. */
static void
devices_lost(struct vbus_bridge *b)
{
	uint32_t i;

	for (i = 0; i < VBUS_LINK_DEVS; i++) {
		struct vbus_link_dev *s = &b->ls->devs[i];

		if ((s->flags & VBUS_LINK_DEV_USED) == 0 || b->dev_of[i] != NULL)
			continue;
		if ((s->flags & VBUS_LINK_DEV_ANNOUNCED) != 0)
			vbus_bridge_event(b, VBUS_PCI_EVENT_DEVDROP, 0, s->devid);
		memset(s, 0, sizeof(*s));
	}
}

static void
devices_new(struct vbus_bridge *b)
{
	struct vbus_device *dev;

	TAILQ_FOREACH (dev, &b->bus->devices, bus_next) {
		if (b->dev_of[dev->index] == dev) {
			/* Killed between its number and its event: north has not heard of it. */
			if (dev->devid != 0 &&
				(b->ls->devs[dev->index].flags & VBUS_LINK_DEV_ANNOUNCED) == 0 &&
				!vbus_bridge_event_waits(b, VBUS_PCI_EVENT_DEVADD, dev->devid))
				dev->devid = 0;
			if (dev->devid == 0)
				vbus_bridge_announce(b, dev);
		} else if (vbus_bridge_dev_add(b, dev) != 0) {
			VBUS_LOG(ERR, "bus %s: no room for device %s", b->bus->name, dev->name);
		}
	}
}

void
vbus_bridge_take_state(struct vbus_bridge *b, struct vbus_link_state *ls, int ls_fd)
{
	struct vbus_device *dev;
	uint32_t i;

	vbus_link_state_unmap(b->ls);
	close(b->ls_fd);
	b->ls = ls;
	b->ls_fd = ls_fd;
	memset(b->dev_of, 0, sizeof(b->dev_of));
	TAILQ_FOREACH (dev, &b->bus->devices, bus_next) {
		dev->index = 0;
		dev->devid = 0;
		if (slot_by_name(b, dev, &i) != NULL && b->dev_of[i] == NULL)
			take_slot(b, dev, i);
	}
	if (vbus_bridge_has(b, VBUS_LINK_PEER))
		return;
	devices_lost(b);
	devices_new(b);
}

/* ---- connections and blocks --------------------------------------------------------------------- */

/* Undo what the call that will run again has made. */
static void
undo_call(struct vbus_bridge *b, uint64_t redo)
{
	struct vbus_link_bridge *lb = &b->ls->bridge;

	if (redo == 0 || lb->call.nr != redo)
		return;
	if (lb->call.conn_plus_1 != 0 && lb->call.conn_plus_1 <= VBUS_LINK_CONNS)
		b->ls->conns[lb->call.conn_plus_1 - 1].flags = 0;
	if (lb->call.shm_plus_1 != 0 && lb->call.shm_plus_1 <= VBUS_LINK_SHMS)
		b->ls->shms[lb->call.shm_plus_1 - 1].flags = 0;
	lb->call.conn_plus_1 = 0;
	lb->call.shm_plus_1 = 0;
}

void
vbus_bridge_call_begins(struct vbus_bridge *b, uint64_t nr, bool redo)
{
	struct vbus_link_bridge *lb = &b->ls->bridge;

	b->redo = redo;
	lb->call.nr = 0;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	lb->call.conn_plus_1 = 0;
	lb->call.shm_plus_1 = 0;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	lb->call.nr = nr + 1;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
}

static int
adopt_conn(struct vbus_bridge *b, uint32_t index)
{
	struct vbus_link_conn *slot = &b->ls->conns[index];
	struct vbus_class *cls = vbus_class_find(slot->cls);
	struct vbus_conn *conn;

	if (cls == NULL || (uint32_t)slot->handle != index + 1) {
		slot->dropped |= 1;
		slot->flags = 0;
		return 0;
	}
	conn = calloc(1, sizeof(*conn));
	if (conn == NULL)
		return -ENOMEM;
	conn->bridge = b;
	conn->cls = cls;
	conn->handle = slot->handle;
	conn->version = slot->version;
	conn->index = index;
	LIST_INIT(&conn->shms);
	b->conn_of[index] = conn;
	b->info.nb_conns++;
	LIST_INSERT_HEAD(&b->conns, conn, next);
	if ((slot->flags & VBUS_LINK_CONN_DROPPED) == 0 && slot->dev < VBUS_LINK_DEVS &&
		b->dev_of[slot->dev] != NULL && b->dev_of[slot->dev]->conn == NULL) {
		conn->dev = b->dev_of[slot->dev];
		conn->dev->conn = conn;
		return 0;
	}
	slot->flags |= VBUS_LINK_CONN_DROPPED;
	TAILQ_INSERT_TAIL(&b->dropped, conn, dropped_next);
	b->nb_dropped++;
	return 0;
}

static int
adopt_shm(struct vbus_bridge *b, uint32_t index)
{
	struct vbus_link_shm *slot = &b->ls->shms[index];
	struct vbus_conn *conn = slot->conn < VBUS_LINK_CONNS ? b->conn_of[slot->conn] : NULL;
	struct vbus_shm *shm;

	/* Its connection was being closed; and so was this one, as far as its event. */
	if (conn == NULL ||
		((slot->flags & VBUS_LINK_SHM_SIGNAL) != 0 &&
			vbus_bridge_event_waits(b, VBUS_PCI_EVENT_SHMCLOSE, slot->cookie))) {
		slot->flags = 0;
		return 0;
	}
	shm = calloc(1, sizeof(*shm));
	if (shm == NULL)
		return -ENOMEM;
	shm->id = slot->id;
	shm->len = slot->len;
	shm->iova = slot->iova;
	shm->index = index;
	shm->handle = slot->handle;
	shm->has_signal = (slot->flags & VBUS_LINK_SHM_SIGNAL) != 0;
	shm->signal_offset = slot->signal_offset;
	shm->cookie = slot->cookie;
	shm->cursor = &b->ls->cursors[index];
	shm->conn = conn;
	if (shm->len != 0)
		shm->va = vbus_memview_ptr(b->view, &b->cache, shm->iova, shm->len);
	b->shm_of[index] = shm;
	b->info.nb_shms++;
	LIST_INSERT_HEAD(&conn->shms, shm, next);
	return 0;
}

static int
adopt_objects(struct vbus_bridge *b)
{
	uint32_t i;
	int ret = 0;

	for (i = 0; i < VBUS_LINK_CONNS && ret == 0; i++)
		if ((b->ls->conns[i].flags & VBUS_LINK_CONN_USED) != 0)
			ret = adopt_conn(b, i);
	for (i = 0; i < VBUS_LINK_SHMS && ret == 0; i++)
		if ((b->ls->shms[i].flags & VBUS_LINK_SHM_USED) != 0)
			ret = adopt_shm(b, i);
	if (b->ls->bridge.channels_end > VBUS_LINK_CHANNELS)
		return -EINVAL;
	b->info.nb_channels = 0;
	for (i = 0; i < b->ls->bridge.channels_end; i++)
		b->info.nb_channels += b->ls->channels[i].used != 0;
	b->kick_stale = true;
	return ret;
}

/* The class goes on; or north sees its device go and come. */
static void
adopt_classes(struct vbus_bridge *b)
{
	struct vbus_conn *conn, *next;

	for (conn = LIST_FIRST(&b->conns); conn != NULL; conn = next) {
		struct vbus_device *dev = conn->dev;
		int ret = -ENOTSUP;

		next = LIST_NEXT(conn, next);
		if (dev == NULL)
			continue;
		if (conn->cls->ops->adopt != NULL)
			ret = conn->cls->ops->adopt(conn);
		if (ret == 0)
			continue;
		VBUS_LOG(WARNING, "bus %s: device %s cannot go on: %s", b->bus->name, dev->name,
			strerror(-ret));
		/* As if it were taken off the bus and put on again. */
		dev->conn = NULL;
		conn->dev = NULL;
		b->ls->conns[conn->index].flags |= VBUS_LINK_CONN_DROPPED;
		TAILQ_INSERT_TAIL(&b->dropped, conn, dropped_next);
		b->nb_dropped++;
		vbus_bridge_dev_del(b, dev);
		(void)vbus_bridge_dev_add(b, dev);
	}
	if (!TAILQ_EMPTY(&b->dropped) && !b->drop_timer.armed)
		vbus_ctl_timer_arm(&b->drop_timer, VBUS_BRIDGE_TIMER_NS);
}

/* ---- sessions ---------------------------------------------------------------------------------- */

static int
adopt_memory(struct vbus_bridge *b, int (*fd_of)(void *arg, uint64_t dev, uint64_t ino), void *arg)
{
	uint32_t end = b->ls->bridge.regions_end;
	uint32_t i;
	int ret;

	if (end > VBUS_LINK_REGIONS)
		return -EINVAL;
	vbus_memmap_batch_begin(b->map);
	for (i = 0; i < end; i++) {
		const struct vbus_link_region *r = &b->ls->regions[i];
		uint32_t flags = 0;
		int fd = -1;

		if ((r->flags & VBUS_LINK_REGION_USED) == 0)
			continue;
		if ((r->flags & VBUS_LINK_REGION_READ) != 0)
			flags |= VBUS_MEM_READ;
		if ((r->flags & VBUS_LINK_REGION_WRITE) != 0)
			flags |= VBUS_MEM_WRITE;
		if ((r->flags & VBUS_LINK_REGION_FILE) != 0)
			fd = fd_of(arg, r->st_dev, r->st_ino);
		ret = vbus_memmap_add_borrowed(b->map, r->iova, r->len, fd, r->offset, flags);
		/* North believes that it is there; what uses it waits, as for memory that went away. */
		if (ret != 0 || (fd < 0 && (r->flags & VBUS_LINK_REGION_FILE) != 0))
			VBUS_LOG_LIMITED(&b->log_limit, ERR,
				"bus %s: memory at 0x%llx cannot be had again: %s", b->bus->name,
				(unsigned long long)r->iova,
				ret != 0 ? strerror(-ret) : "its file is not kept");
	}
	return vbus_memmap_batch_end(b->map);
}

int
vbus_bridge_session_adopt(struct vbus_bridge *b,
	int (*fd_of)(void *arg, uint64_t dev, uint64_t ino), void *arg, uint64_t redo)
{
	int ret = vbus_bridge_map_create(b);

	if (ret != 0)
		return ret;
	b->fault = NULL;
	b->info.nb_sessions++;
	b->adopting = true;
	ret = adopt_memory(b, fd_of, arg);
	if (ret == 0) {
		undo_call(b, redo);
		ret = adopt_objects(b);
	}
	if (ret == 0)
		ret = vbus_bridge_evq_adopt(b);
	b->adopting = false;
	if (ret != 0)
		return ret;
	devices_lost(b);
	devices_new(b);
	adopt_classes(b);
	vbus_bridge_notify_all(b);
	vbus_bridge_settle(b);
	return 0;
}

void
vbus_bridge_leave(struct vbus_bridge *b)
{
	struct vbus_conn *conn;
	struct vbus_shm *shm;

	vbus_conns_quiesce(b);
	b->evq_mapped = false;
	vbus_ctl_timer_cancel(&b->timer);
	vbus_ctl_timer_cancel(&b->drop_timer);
	if (vbus_link_state_detach(b->ls, b->ls_fd) != 0)
		VBUS_LOG(ERR, "bus %s: its state cannot be given back: %s", b->bus->name,
			strerror(errno));
	LIST_FOREACH(conn, &b->conns, next)
	{
		LIST_FOREACH(shm, &conn->shms, next)
		shm->va = NULL;
		/* Its memory is away: what may still come by finds nothing to touch. */
		if (conn->dev != NULL && conn->cls->ops->rebind != NULL)
			conn->cls->ops->rebind(conn);
	}
}
