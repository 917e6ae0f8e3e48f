/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * The south half of the bridge: its life, sessions, reset, registers and signals of north.
 *
 * Threads: all with the control lock held, on whatever thread delivers for the connector (the
 * control thread; for the null connector also the worker and application threads). Nothing here
 * waits for a peer.
 *
 * Ownership: a bridge belongs to its bus and lives as long. It owns the link state, the memory map
 * of the session, connections and blocks. Connectors deliver to it and are called for interrupts.
 * ADR-0003 (link state), doc/abi.md sections 1 and 7.
 */

#include "bridge_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <vbus/pci.h>

const char *
vbus_bridge_refusal_name(enum vbus_bridge_refusal why)
{
#define REFUSAL_NAME(name, text) [VBUS_REFUSED_##name] = text,
	static const char *const names[] = {VBUS_BRIDGE_REFUSALS(REFUSAL_NAME)};
#undef REFUSAL_NAME

	return (unsigned int)why < VBUS_REFUSED_NB ? names[why] : "refused_unknown";
}

int
vbus_bridge_refuse(struct vbus_bridge *b, enum vbus_bridge_refusal why, int err)
{
	b->info.nb_refused[why]++;
	return err;
}

void
vbus_bridge_note_fault(struct vbus_bridge *b, const char *reason)
{
	if (b->fault_noted == NULL)
		b->fault_noted = reason;
}

int
vbus_bridge_copy_in(struct vbus_bridge *b, void *dst, uint64_t iova, uint32_t len)
{
	if (b->map == NULL || vbus_memview_copy_in(b->view, &b->cache, dst, iova, len) != 0)
		return vbus_bridge_refuse(b, VBUS_REFUSED_ADDRESS, -EFAULT);
	return 0;
}

int
vbus_bridge_copy_out(struct vbus_bridge *b, uint64_t iova, const void *src, uint32_t len)
{
	if (b->map == NULL || vbus_memview_copy_out(b->view, &b->cache, iova, src, len) != 0)
		return vbus_bridge_refuse(b, VBUS_REFUSED_ADDRESS, -EFAULT);
	return 0;
}

/* Devices, queue, channels: the link is as before NEGOTIATE. */
static void
bridge_clear(struct vbus_bridge *b)
{
	struct vbus_link_bridge *lb = &b->ls->bridge;
	struct vbus_conn *conn;
	uint32_t i;

	/* The queue first: what closes below must not send. */
	vbus_bridge_evq_drop(b);
	while ((conn = LIST_FIRST(&b->conns)) != NULL)
		vbus_conn_close(conn);
	memset(b->ls->channels, 0, lb->channels_end * sizeof(b->ls->channels[0]));
	lb->channels_end = 0;
	b->info.nb_channels = 0;
	vbus_conns_new_epoch(b);
	for (i = 0; i < VBUS_LINK_DEVS; i++) {
		if (b->dev_of[i] == NULL)
			continue;
		b->dev_of[i]->devid = 0;
		b->ls->devs[i].devid = 0;
		b->ls->devs[i].flags &= ~VBUS_LINK_DEV_ANNOUNCED;
	}
	lb->flags &= ~(VBUS_LINK_NEGOTIATED | VBUS_LINK_EVENTS);
	lb->capabilities = 0;
	b->fault_noted = NULL;
}

void
vbus_bridge_reset(struct vbus_bridge *b, bool function_reset)
{
	b->info.nb_resets++;
	bridge_clear(b);
	b->fault = NULL;
	if (!function_reset)
		return;
	b->ls->bridge.last_devid = 0;
	memset(b->ls->bridge.regs, 0, sizeof(b->ls->bridge.regs));
	vbus_bridge_config_init(b);
}

static void
bridge_fault(struct vbus_bridge *b, const char *reason)
{
	uint32_t left_out = 0;

	b->info.nb_faults++;
	bridge_clear(b);
	b->fault = reason;
	if (vbus_log_allowed(&b->log_limit, &left_out))
		VBUS_LOG(ERR, "bus %s: link faulted: %s (%u lines left out)", b->bus->name, reason,
			left_out);
}

void
vbus_bridge_settle(struct vbus_bridge *b)
{
	if (b->fault_noted == NULL && vbus_bridge_has(b, VBUS_LINK_EVENTS))
		vbus_bridge_evq_pump(b);
	if (b->fault_noted != NULL)
		bridge_fault(b, b->fault_noted);
}

/* ---- session and memory ----------------------------------------------------------------------- */

static void
bridge_quiesce(void *arg, const struct vbus_memview *v)
{
	struct vbus_bridge *b = arg;

	vbus_conns_quiesce(b);
	b->view = v;
	memset(&b->cache, 0, sizeof(b->cache));
	if (b->adopting)
		return;
	if (vbus_bridge_has(b, VBUS_LINK_EVENTS)) {
		/* Not there now: events wait; a later map may bring the ring back (firmware and
		 * guests unmap and map RAM again as a whole).
		 */
		b->evq_mapped = false;
		if (vbus_bridge_evq_bind(b, VBUS_IOQ_RESUME) == -EINVAL)
			vbus_bridge_note_fault(b, "event ring changed under its mapping");
	}
	vbus_conns_rebind(b);
	vbus_bridge_settle(b);
}

static void
bridge_memory_faulted(void *arg)
{
	struct vbus_bridge *b = arg;

	vbus_bridge_note_fault(b, "north's memory went away (SIGBUS)");
	vbus_bridge_settle(b);
}

static const struct vbus_memmap_ops bridge_memmap_ops = {
	.quiesce = bridge_quiesce,
	.faulted = bridge_memory_faulted,
};

static int
map_create(struct vbus_bridge *b, bool identity)
{
	if (b->map != NULL)
		return -EBUSY;
	b->map = vbus_memmap_create(&bridge_memmap_ops, b, identity);
	if (b->map == NULL)
		return errno != 0 ? -errno : -ENOMEM;
	b->view = vbus_memmap_view(b->map);
	memset(&b->cache, 0, sizeof(b->cache));
	return 0;
}

int
vbus_bridge_map_create(struct vbus_bridge *b)
{
	return map_create(b, false);
}

int
vbus_bridge_session_open(struct vbus_bridge *b, bool identity)
{
	int ret = map_create(b, identity);

	if (ret != 0)
		return ret;
	memset(b->ls->bridge.regs, 0, sizeof(b->ls->bridge.regs));
	vbus_bridge_config_init(b);
	b->ls->bridge.flags = VBUS_LINK_PEER | (identity ? VBUS_LINK_IDENTITY : 0);
	b->fault = NULL;
	b->info.nb_sessions++;
	return 0;
}

void
vbus_bridge_session_close(struct vbus_bridge *b, const char *reason)
{
	struct vbus_memmap *map = b->map;

	if (map == NULL)
		return;
	VBUS_LOG(INFO, "bus %s: peer gone: %s", b->bus->name, reason);
	bridge_clear(b);
	/* The next peer may be the same guest on another connection: ids go on. */
	b->ls->bridge.flags = 0;
	b->map = NULL;
	b->view = NULL;
	memset(&b->cache, 0, sizeof(b->cache));
	vbus_memmap_destroy(map);
}

struct vbus_memmap *
vbus_bridge_memmap(struct vbus_bridge *b)
{
	return b->map;
}

struct vbus_link_state *
vbus_bridge_link_state(struct vbus_bridge *b)
{
	return b->ls;
}

/* ---- registers and signals -------------------------------------------------------------------- */

int32_t
vbus_bridge_call(struct vbus_bridge *b, uint32_t vector, uint64_t datap, uint32_t len)
{
	int32_t result;

	b->info.nb_calls++;
	if (b->map == NULL)
		result = vbus_bridge_refuse(b, VBUS_REFUSED_NO_SESSION, -ENOTCONN);
	else
		result = vbus_bridge_do_call(b, vector, datap, len);
	if (result < 0)
		b->info.nb_failed_calls++;
	vbus_bridge_settle(b);
	return result;
}

static void
doorbell_write(struct vbus_bridge *b, uint64_t off, const void *buf, uint32_t len)
{
	uint32_t value;

	/* Nothing is there for who did not ask for it. */
	if ((b->ls->bridge.capabilities & VBUS_CAP_DOORBELL) == 0 || off % sizeof(value) != 0)
		return;
	for (uint32_t at = 0; len - at >= sizeof(value); at += sizeof(value)) {
		memcpy(&value, (const uint8_t *)buf + at, sizeof(value));
		vbus_bridge_signal_write(b, off + at, value);
	}
}

void
vbus_bridge_regs_write(struct vbus_bridge *b, uint64_t off, const void *buf, uint32_t len)
{
	if (off >= VBUS_PCI_DOORBELL)
		doorbell_write(b, off - VBUS_PCI_DOORBELL, buf, len);
	if (off >= VBUS_LINK_REGS)
		return;
	if (len > VBUS_LINK_REGS - off)
		len = (uint32_t)(VBUS_LINK_REGS - off);
	memcpy(&b->ls->bridge.regs[off], buf, len);
}

void
vbus_bridge_regs_read(struct vbus_bridge *b, uint64_t off, void *buf, uint32_t len)
{
	struct vbus_pci_call_desc call;
	uint32_t latched = 0;
	int32_t result;

	memset(buf, 0, len);
	if (off < VBUS_LINK_REGS) {
		latched = (uint32_t)(VBUS_LINK_REGS - off);
		latched = len < latched ? len : latched;
		memcpy(buf, &b->ls->bridge.regs[off], latched);
	}
	if (off != 0 || len < sizeof(result))
		return;
	memcpy(&call, b->ls->bridge.regs, sizeof(call));
	result = vbus_bridge_call(b, call.vector, call.datap, call.len);
	memcpy(buf, &result, sizeof(result));
}

static void
bridge_shmsignal(struct vbus_bridge *b, uint32_t handle)
{
	struct vbus_shm *shm = vbus_shm_lookup(b, handle);

	if (shm == NULL) {
		(void)vbus_bridge_refuse(b, VBUS_REFUSED_HANDLE, -ENOENT);
		return;
	}
	if (shm->conn->dev == NULL) {
		if (shm->conn->cls->ops->dropped != NULL) /* 7.15 */
			shm->conn->cls->ops->dropped(shm->conn, -1);
	} else if (shm->conn->cls->ops->signal != NULL) {
		shm->conn->cls->ops->signal(shm->conn, shm);
	}
}

void
vbus_bridge_signal_write(struct vbus_bridge *b, uint64_t off, uint32_t value)
{
	b->info.nb_signals_in++;
	if (!vbus_bridge_has(b, VBUS_LINK_PEER | VBUS_LINK_NEGOTIATED)) {
		(void)vbus_bridge_refuse(b, VBUS_REFUSED_STATE, -EPROTO);
		return;
	}
	switch (off) {
	case offsetof(struct vbus_pci_signals, eventq):
		if (value == 0 && vbus_bridge_has(b, VBUS_LINK_EVENTS))
			vbus_bridge_evq_signalled(b);
		else
			(void)vbus_bridge_refuse(b, VBUS_REFUSED_HANDLE, -ENOENT);
		break;
	case offsetof(struct vbus_pci_signals, fastcall):
		vbus_bridge_do_fastcall(b, value);
		break;
	case offsetof(struct vbus_pci_signals, shmsignal):
		bridge_shmsignal(b, value);
		break;
	default: /* padding */
		break;
	}
	vbus_bridge_settle(b);
}

/* Did north deliver a signal to us, or is about to? */
static bool
signal_raised(uint8_t *desc_peer)
{
	struct shm_signal_desc *d = (struct shm_signal_desc *)(void *)desc_peer;
	struct vbus_signal s = {.local_peer = &d->south, .remote_peer = &d->north};

	return vbus_signal_is_raised(&s) &&
	       (vbus_signal_is_enabled(&s) || vbus_peer_load8(&d->south.pending) != 0);
}

/* Lists of lists would cost a cache miss for each link of the chain, at every kick: gather them. */
static int
kick_gather(struct vbus_bridge *b)
{
	struct vbus_conn *conn;
	struct vbus_shm *shm;

	b->nb_kick = 0;
	if (b->kick_room < b->info.nb_shms) {
		struct vbus_kick_entry *more;
		uint32_t room = b->info.nb_shms + b->info.nb_shms / 2;

		more = realloc(b->kick, room * sizeof(*more));
		if (more == NULL)
			return -ENOMEM; /* the next kick tries again, and timers look meanwhile */
		b->kick = more;
		b->kick_room = room;
	}
	LIST_FOREACH(conn, &b->conns, next)
	{
		if (conn->dev == NULL || conn->cls->ops->signal == NULL)
			continue;
		LIST_FOREACH(shm, &conn->shms, next)
		{
			if (shm->has_signal && !shm->deaf && shm->va != NULL)
				b->kick[b->nb_kick++] = (struct vbus_kick_entry){
					.desc_peer = shm->va + shm->signal_offset,
					.shm = shm,
				};
		}
	}
	b->kick_stale = false;
	return 0;
}

#define KICK_AHEAD 8u

void
vbus_bridge_kick(struct vbus_bridge *b)
{
	uint32_t i;

	b->info.nb_signals_in++;
	if (!vbus_bridge_has(b, VBUS_LINK_PEER | VBUS_LINK_NEGOTIATED))
		return;
	/* North's stores before its write to the eventfd are seen: the system calls order them. */
	if (b->evq_mapped && vbus_signal_is_raised(&b->evq_signal))
		vbus_bridge_evq_signalled(b);
	if (b->kick_stale && kick_gather(b) != 0)
		return;
	/* A class neither closes connections nor changes memory from within signal(). */
	for (i = 0; i < b->nb_kick; i++) {
		if (i + KICK_AHEAD < b->nb_kick)
			__builtin_prefetch(b->kick[i + KICK_AHEAD].desc_peer);
		if (signal_raised(b->kick[i].desc_peer)) {
			struct vbus_conn *conn = b->kick[i].shm->conn;

			conn->cls->ops->signal(conn, b->kick[i].shm);
		}
	}
	vbus_bridge_settle(b);
}

/* ---- life ------------------------------------------------------------------------------------- */

struct vbus_bridge *
vbus_bridge_create(struct vbus_bus *bus)
{
	struct vbus_bridge *b;
	char name[VBUS_NAME_SIZE + 8];
	int err;

	/* Aligned for the lines of the notifications. */
	b = aligned_alloc(64, (sizeof(*b) + 63) & ~(size_t)63);
	if (b == NULL)
		return NULL;
	memset(b, 0, sizeof(*b));
	b->bus = bus;
	vbus_conns_init(b);
	snprintf(name, sizeof(name), "vbus-%s", bus->name);
	b->ls = vbus_link_state_create(name, &b->ls_fd);
	if (b->ls == NULL)
		goto err_free;
	err = vbus_bridge_notify_init(b);
	if (err != 0) {
		errno = -err;
		goto err_state;
	}
	vbus_bridge_config_init(b);
	return b;

err_state:
	err = errno;
	vbus_link_state_unmap(b->ls);
	close(b->ls_fd);
	errno = err;
err_free:
	free(b);
	return NULL;
}

void
vbus_bridge_destroy(struct vbus_bridge *b)
{
	if (b == NULL)
		return;
	vbus_bridge_session_close(b, "bus deleted");
	vbus_bridge_notify_fini(b);
	vbus_link_state_unmap(b->ls);
	close(b->ls_fd);
	free(b->kick);
	free(b);
}

void
vbus_bridge_info(const struct vbus_bridge *b, struct vbus_bridge_info *info)
{
	*info = b->info;
	info->peer = vbus_bridge_has(b, VBUS_LINK_PEER);
	info->negotiated = vbus_bridge_has(b, VBUS_LINK_NEGOTIATED);
	info->events_ready = vbus_bridge_has(b, VBUS_LINK_EVENTS);
	info->fault = b->fault;
	info->capabilities = b->ls->bridge.capabilities;
	info->nb_events_held = vbus_bridge_backlog_count(b);
}
