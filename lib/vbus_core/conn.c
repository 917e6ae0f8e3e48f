/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * Connections (devices that north has opened) and the blocks of memory that it shares with them.
 *
 * Threads: control lock held. Classes' polling threads use struct vbus_shm between the class's
 * shm() and close(), and leave it in quiesce() when the memory map changes.
 *
 * Ownership: both live in a slot of the link state (what a successor needs) and in a heap object
 * (what points into this process), found by slot. Handles carry the slot and a generation that
 * outlives its users, so a stale handle is never valid again within 2^32 (connections) and 2^17
 * (blocks) uses of a slot; free slots are taken in turn. ADR-0003, doc/abi.md sections 1 and 7.
 */

#include "bridge_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_common.h>

#include <vbus/device.h>
#include <vbus/pci.h>

_Static_assert(VBUS_CONN_STATE_SIZE == VBUS_LINK_CONN_STATE, "class state in the link state");

/* A block's handle is a non-negative 32-bit number: slot below, generation (never 0) above. */
#define SHM_INDEX_MASK (VBUS_LINK_SHMS - 1)
#define SHM_INDEX_BITS 14u
#define SHM_GEN_MASK   ((1u << (31 - SHM_INDEX_BITS)) - 1)
_Static_assert(VBUS_LINK_SHMS == 1u << SHM_INDEX_BITS, "slots and bits of the handle");

/* Next-fit: a slot that was freed just now is the last to be taken again. */
static int64_t
slot_take(void *const *objs, uint32_t nb, uint32_t *hint)
{
	uint32_t i;
	uint32_t n;

	for (n = 0; n < nb; n++) {
		i = *hint + n < nb ? *hint + n : *hint + n - nb;
		if (objs[i] != NULL)
			continue;
		*hint = i + 1 < nb ? i + 1 : 0;
		return i;
	}
	return -1;
}

/* ---- blocks ----------------------------------------------------------------------------------- */

struct vbus_shm *
vbus_shm_lookup(struct vbus_bridge *b, uint32_t handle)
{
	struct vbus_shm *shm = b->shm_of[handle & SHM_INDEX_MASK];

	return shm != NULL && shm->has_signal && shm->handle == handle ? shm : NULL;
}

struct vbus_shm *
vbus_conn_shm(struct vbus_conn *conn, uint32_t id)
{
	struct vbus_shm *shm;

	LIST_FOREACH(shm, &conn->shms, next)
	{
		if (shm->id == id)
			return shm;
	}
	return NULL;
}

static struct vbus_shm *
shm_create(struct vbus_conn *conn, const struct vbus_shm_args *args, uint8_t *va)
{
	struct vbus_bridge *b = conn->bridge;
	struct vbus_link_shm *slot;
	struct vbus_shm *shm;
	int64_t index;

	index = slot_take((void *const *)b->shm_of, VBUS_LINK_SHMS, &b->shm_hint);
	if (index < 0)
		return NULL;
	shm = calloc(1, sizeof(*shm));
	if (shm == NULL)
		return NULL;
	slot = &b->ls->shms[index];
	b->ls->bridge.call.shm_plus_1 = (uint32_t)index + 1;
	slot->generation = (slot->generation + 1) & SHM_GEN_MASK;
	if (slot->generation == 0)
		slot->generation = 1;
	shm->id = args->id;
	shm->len = args->len;
	shm->iova = args->iova;
	shm->va = va;
	shm->index = (uint32_t)index;
	shm->handle = slot->generation << SHM_INDEX_BITS | (uint32_t)index;
	shm->has_signal = args->signal_offset != VBUS_PCI_SHM_NO_SIGNAL;
	shm->signal_offset = args->signal_offset;
	shm->cookie = args->cookie;
	shm->cursor = &b->ls->cursors[index];
	memset(shm->cursor, 0, sizeof(*shm->cursor));
	shm->conn = conn;

	slot->conn = conn->index;
	slot->id = shm->id;
	slot->iova = shm->iova;
	slot->cookie = shm->cookie;
	slot->len = shm->len;
	slot->signal_offset = shm->signal_offset;
	slot->handle = shm->handle;
	/* Last: a successor finds it whole or not at all. */
	__atomic_signal_fence(__ATOMIC_RELEASE);
	slot->flags = VBUS_LINK_SHM_USED | (shm->has_signal ? VBUS_LINK_SHM_SIGNAL : 0);
	b->shm_of[index] = shm;
	b->info.nb_shms++;
	b->kick_stale = true;
	LIST_INSERT_HEAD(&conn->shms, shm, next);
	return shm;
}

static void
shm_free(struct vbus_shm *shm)
{
	struct vbus_bridge *b = shm->conn->bridge;

	b->ls->shms[shm->index].flags = 0;
	b->shm_of[shm->index] = NULL;
	b->info.nb_shms--;
	b->kick_stale = true;
	LIST_REMOVE(shm, next);
	free(shm);
}

static bool forget_one(struct vbus_bridge *b, const struct vbus_conn *but);

/* What of DEVSHM can be refused. A dropped device takes anything: an error would crash old drivers
 * (7.6, 7.15), and nobody looks into the block.
 */
static int
share_check(struct vbus_conn *conn, const struct vbus_shm_args *args, const uint8_t *va)
{
	struct vbus_bridge *b = conn->bridge;

	if (conn->dev == NULL)
		return 0;
	if (vbus_conn_shm(conn, args->id) != NULL)
		return vbus_bridge_refuse(b, VBUS_REFUSED_EXISTS, -EEXIST);
	if (va == NULL)
		return args->len == 0 ? vbus_bridge_refuse(b, VBUS_REFUSED_LENGTH, -EINVAL)
				      : vbus_bridge_refuse(b, VBUS_REFUSED_ADDRESS, -EFAULT);
	if (args->signal_offset == VBUS_PCI_SHM_NO_SIGNAL)
		return 0;
	if (args->len < sizeof(struct shm_signal_desc) ||
		args->signal_offset > args->len - sizeof(struct shm_signal_desc) ||
		((uintptr_t)va + args->signal_offset) % _Alignof(struct shm_signal_desc) != 0)
		return vbus_bridge_refuse(b, VBUS_REFUSED_SIGNAL, -EINVAL);
	return 0;
}

int
vbus_conn_share(struct vbus_conn *conn, const struct vbus_shm_args *args)
{
	struct vbus_bridge *b = conn->bridge;
	struct vbus_shm *shm;
	uint8_t *va = NULL;
	int ret;

	if (args->len > 0)
		va = vbus_memview_ptr(b->view, &b->cache, args->iova, args->len);
	ret = share_check(conn, args, va);
	if (ret != 0)
		return ret;
	shm = shm_create(conn, args, va);
	while (shm == NULL && forget_one(b, conn))
		shm = shm_create(conn, args, va);
	if (shm == NULL)
		return vbus_bridge_refuse(b, VBUS_REFUSED_SPACE, -ENOSPC);
	if (conn->dev != NULL && conn->cls->ops->shm != NULL) {
		ret = conn->cls->ops->shm(conn, shm);
		if (ret < 0) {
			shm_free(shm);
			return vbus_bridge_refuse(b, VBUS_REFUSED_CLASS, ret);
		}
	}
	return shm->has_signal ? (int)shm->handle : 0;
}

/* ---- connections ------------------------------------------------------------------------------ */

struct vbus_conn *
vbus_conn_lookup(struct vbus_bridge *b, uint64_t handle)
{
	const uint32_t index = (uint32_t)handle - 1;
	struct vbus_conn *conn;

	if (index >= VBUS_LINK_CONNS)
		return NULL;
	conn = b->conn_of[index];
	return conn != NULL && conn->handle == handle ? conn : NULL;
}

/* A new user of the slot: what is known of those before it grows a generation older. */
static void
slot_next_generation(const struct vbus_bridge *b, struct vbus_link_conn *slot)
{
	slot->generation++;
	if (slot->epoch != b->ls->bridge.epoch) {
		slot->epoch = b->ls->bridge.epoch;
		slot->gen_first = slot->generation;
		slot->dropped = 0;
		slot->dropped_older = 0;
	}
	if ((slot->dropped & 1ULL << 63) != 0)
		slot->dropped_older = 1;
	slot->dropped <<= 1;
}

/* The slot that a handle names, if the handle was given out since the last NEGOTIATE. */
static struct vbus_link_conn *
slot_of(const struct vbus_bridge *b, uint64_t handle, uint32_t *age)
{
	const uint32_t index = (uint32_t)handle - 1;
	struct vbus_link_conn *slot;

	if (index >= VBUS_LINK_CONNS)
		return NULL;
	slot = &b->ls->conns[index];
	*age = slot->generation - (uint32_t)(handle >> 32);
	if (slot->epoch != b->ls->bridge.epoch || *age > slot->generation - slot->gen_first)
		return NULL;
	return slot;
}

bool
vbus_conn_forgotten(const struct vbus_bridge *b, uint64_t handle)
{
	uint32_t age;
	const struct vbus_link_conn *slot = slot_of(b, handle, &age);

	if (slot == NULL)
		return false;
	/* Beyond the map in doubt yes: a handle too many costs nothing, an error a guest. */
	return age < 64 ? (slot->dropped >> age & 1) != 0 : slot->dropped_older != 0;
}

void
vbus_conn_forget_close(struct vbus_bridge *b, uint64_t handle)
{
	uint32_t age;
	struct vbus_link_conn *slot = slot_of(b, handle, &age);

	if (slot != NULL && age < 64)
		slot->dropped &= ~(1ULL << age);
}

static struct vbus_conn *
conn_create(struct vbus_bridge *b, struct vbus_device *dev, uint32_t version)
{
	struct vbus_link_conn *slot;
	struct vbus_conn *conn;
	int64_t index;

	index = slot_take((void *const *)b->conn_of, VBUS_LINK_CONNS, &b->conn_hint);
	if (index < 0)
		return NULL;
	conn = calloc(1, sizeof(*conn));
	if (conn == NULL)
		return NULL;
	slot = &b->ls->conns[index];
	b->ls->bridge.call.conn_plus_1 = (uint32_t)index + 1;
	slot_next_generation(b, slot);
	conn->bridge = b;
	conn->dev = dev;
	conn->cls = dev->cls;
	conn->handle = (uint64_t)slot->generation << 32 | ((uint32_t)index + 1);
	conn->version = version;
	conn->index = (uint32_t)index;
	LIST_INIT(&conn->shms);

	slot->handle = conn->handle;
	slot->dev = dev->index;
	slot->version = version;
	snprintf(slot->cls, sizeof(slot->cls), "%s", conn->cls->name);
	memset(b->ls->conn_state[index], 0, VBUS_LINK_CONN_STATE);
	__atomic_signal_fence(__ATOMIC_RELEASE); /* last, as for blocks */
	slot->flags = VBUS_LINK_CONN_USED;
	b->conn_of[index] = conn;
	b->info.nb_conns++;
	b->kick_stale = true;
	LIST_INSERT_HEAD(&b->conns, conn, next);
	return conn;
}

static void
conn_free(struct vbus_conn *conn)
{
	struct vbus_bridge *b = conn->bridge;

	if ((b->ls->conns[conn->index].flags & VBUS_LINK_CONN_DROPPED) != 0) {
		TAILQ_REMOVE(&b->dropped, conn, dropped_next);
		b->nb_dropped--;
	}
	b->ls->conns[conn->index].flags = 0;
	b->conn_of[conn->index] = NULL;
	b->info.nb_conns--;
	b->kick_stale = true;
	LIST_REMOVE(conn, next);
	free(conn);
}

int
vbus_conn_open(struct vbus_bridge *b, struct vbus_device *dev, uint32_t version,
	struct vbus_conn **conn_out)
{
	struct vbus_conn *conn;
	int ret;

	if (dev->conn != NULL)
		return vbus_bridge_refuse(b, VBUS_REFUSED_EXISTS, -EBUSY);
	conn = conn_create(b, dev, version);
	if (conn == NULL && forget_one(b, NULL))
		conn = conn_create(b, dev, version);
	if (conn == NULL)
		return vbus_bridge_refuse(b, VBUS_REFUSED_SPACE, -ENOSPC);
	dev->conn = conn;
	ret = dev->cls->ops->open(conn, version);
	if (ret < 0) {
		dev->conn = NULL;
		conn_free(conn);
		return vbus_bridge_refuse(b, VBUS_REFUSED_CLASS, ret);
	}
	dev->fault = NULL; /* north starts anew */
	*conn_out = conn;
	return 0;
}

/* The class leaves; what its polling threads had signalled becomes their last SHMSIGNALs. */
static void
conn_leave(struct vbus_conn *conn)
{
	struct vbus_shm *shm;

	if (conn->dev == NULL)
		return;
	conn->cls->ops->close(conn);
	conn->dev->conn = NULL;
	conn->dev = NULL;
	conn->bridge->kick_stale = true;
	LIST_FOREACH(shm, &conn->shms, next)
	vbus_bridge_notify_flush(conn->bridge, shm);
}

void
vbus_conn_close(struct vbus_conn *conn)
{
	struct vbus_bridge *b = conn->bridge;
	struct vbus_shm *shm;

	conn_leave(conn);
	while ((shm = LIST_FIRST(&conn->shms)) != NULL) {
		if (shm->has_signal)
			vbus_bridge_event(b, VBUS_PCI_EVENT_SHMCLOSE, 0, shm->cookie);
		shm_free(shm);
	}
	conn_free(conn);
}

/* ---- devices that are gone (7.15, ADR-0012) --------------------------------------------------- */

/* Free a dropped connection but for the note that its handle answers 0. */
static void
conn_forget(struct vbus_conn *conn)
{
	struct vbus_bridge *b = conn->bridge;
	struct vbus_shm *shm;

	/* It is the slot's last user. */
	b->ls->conns[conn->index].dropped |= 1;
	while ((shm = LIST_FIRST(&conn->shms)) != NULL) {
		/* An old driver does not wait for it, and may have freed what the cookie names. */
		if (shm->has_signal && b->ls->bridge.capabilities != 0)
			vbus_bridge_event(b, VBUS_PCI_EVENT_SHMCLOSE, 0, shm->cookie);
		shm_free(shm);
	}
	conn_free(conn);
}

/* Is north still putting something in? What it has put in is discarded on the way. */
static bool
conn_is_busy(struct vbus_conn *conn)
{
	return conn->cls->ops->dropped != NULL && conn->cls->ops->dropped(conn, -1);
}

/* Forget the oldest quiet one of the dropped, or the oldest. @return false: there is none. */
static bool
forget_one(struct vbus_bridge *b, const struct vbus_conn *but)
{
	struct vbus_conn *conn, *victim = NULL;

	TAILQ_FOREACH (conn, &b->dropped, dropped_next) {
		if (conn == but)
			continue;
		if (victim == NULL)
			victim = conn;
		if (!conn_is_busy(conn)) {
			victim = conn;
			break;
		}
	}
	if (victim == NULL)
		return false;
	conn_forget(victim);
	return true;
}

static void
drop_timer(struct vbus_ctl_timer *t)
{
	struct vbus_bridge *b = container_of(t, struct vbus_bridge, drop_timer);
	struct vbus_conn *conn;

	TAILQ_FOREACH (conn, &b->dropped, dropped_next)
		(void)conn_is_busy(conn);
	if (!TAILQ_EMPTY(&b->dropped))
		vbus_ctl_timer_arm(t, VBUS_BRIDGE_TIMER_NS);
	vbus_bridge_settle(b);
}

void
vbus_conn_drop(struct vbus_conn *conn)
{
	struct vbus_bridge *b = conn->bridge;

	conn_leave(conn);
	b->ls->conns[conn->index].flags |= VBUS_LINK_CONN_DROPPED;
	TAILQ_INSERT_TAIL(&b->dropped, conn, dropped_next);
	if (++b->nb_dropped > VBUS_CONN_DROPPED_MAX)
		(void)forget_one(b, conn);
	if (!b->drop_timer.armed)
		vbus_ctl_timer_arm(&b->drop_timer, VBUS_BRIDGE_TIMER_NS);
}

void
vbus_conns_init(struct vbus_bridge *b)
{
	LIST_INIT(&b->conns);
	TAILQ_INIT(&b->dropped);
	b->drop_timer.fn = drop_timer;
}

void
vbus_conns_new_epoch(struct vbus_bridge *b)
{
	vbus_ctl_timer_cancel(&b->drop_timer);
	b->ls->bridge.epoch++;
}

void
vbus_conns_quiesce(struct vbus_bridge *b)
{
	struct vbus_conn *conn;

	LIST_FOREACH(conn, &b->conns, next)
	{
		if (conn->dev != NULL && conn->cls->ops->quiesce != NULL)
			conn->cls->ops->quiesce(conn);
	}
}

void
vbus_conns_rebind(struct vbus_bridge *b)
{
	struct vbus_conn *conn;
	struct vbus_shm *shm;

	b->kick_stale = true;
	LIST_FOREACH(conn, &b->conns, next)
	{
		LIST_FOREACH(shm, &conn->shms, next)
		shm->va = shm->len == 0 ? NULL
					: vbus_memview_ptr(b->view, &b->cache, shm->iova, shm->len);
		if (conn->dev != NULL && conn->cls->ops->rebind != NULL)
			conn->cls->ops->rebind(conn);
	}
}

const struct vbus_memview *
vbus_conn_view(const struct vbus_conn *conn)
{
	return conn->bridge->view;
}

uint64_t
vbus_conn_bridge_caps(const struct vbus_conn *conn)
{
	return conn->bridge->ls->bridge.capabilities;
}

void *
vbus_conn_state(struct vbus_conn *conn)
{
	return conn->bridge->ls->conn_state[conn->index];
}

void *
vbus_conn_log(struct vbus_conn *conn)
{
	return conn->bridge->ls->conn_log[conn->index];
}

void
vbus_conn_fault(struct vbus_conn *conn, const char *reason)
{
	struct vbus_bridge *b = conn->bridge;
	struct vbus_device *dev = conn->dev;
	uint32_t left_out = 0;

	if (dev == NULL)
		return;
	dev->fault = reason;
	dev->nb_faults++;
	b->info.nb_faults++;
	if (vbus_log_allowed(&b->log_limit, &left_out))
		VBUS_LOG(ERR, "bus %s: device %s faulted: %s (%u lines left out)", b->bus->name,
			dev->name, reason, left_out);
}
