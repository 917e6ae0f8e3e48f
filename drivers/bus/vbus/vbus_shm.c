/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * Shared blocks (DEVSHM), and signals both ways. A cookie on the wire is (generation << 32 |
 * index) of the link's table: never a pointer, and a late event for a slot that was given away
 * finds nothing.
 *
 * Threads: the table is under the control lock; rte_vbus_signal() runs on lcores, without it.
 * Ownership: struct rte_vbus_shm is the driver's; the table refers to it from rte_vbus_shm()
 * until the device is closed or its peer is lost.
 */

#include "vbus_bus_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <vbus/shm_signal.h>

#include "vbus_peer.h"

#define SHM_SLOTS_FIRST 64u
#define SHM_SLOTS_MAX	(1u << 20)

static int
table_grow(struct vbus_shm_table *t)
{
	uint32_t size = t->size == 0 ? SHM_SLOTS_FIRST : t->size * 2;
	struct vbus_shm_slot *slots;

	if (size > SHM_SLOTS_MAX)
		return -ENOSPC;
	slots = realloc(t->slots, size * sizeof(*slots));
	if (slots == NULL)
		return -ENOMEM;
	memset(slots + t->size, 0, (size - t->size) * sizeof(*slots));
	for (uint32_t i = size; i > t->size; i--) {
		slots[i - 1].next_free = t->first_free;
		t->first_free = i;
	}
	t->slots = slots;
	t->size = size;
	return 0;
}

static int
slot_take(struct vbus_shm_table *t, struct rte_vbus_shm *shm)
{
	uint32_t i;
	int ret;

	if (t->first_free == 0) {
		ret = table_grow(t);
		if (ret != 0)
			return ret;
	}
	i = t->first_free - 1;
	t->first_free = t->slots[i].next_free;
	t->slots[i].shm = shm;
	t->slots[i].gen++;
	shm->cookie = i;
	return 0;
}

static void
slot_free(struct vbus_shm_table *t, uint32_t i)
{
	t->slots[i].shm = NULL;
	t->slots[i].next_free = t->first_free;
	t->first_free = i + 1;
}

/* Slot of a cookie that south sent, or NULL. */
static struct vbus_shm_slot *
slot_find(struct vbus_shm_table *t, uint64_t cookie)
{
	uint32_t i = (uint32_t)cookie;

	if (i >= t->size || t->slots[i].shm == NULL || t->slots[i].gen != (uint32_t)(cookie >> 32))
		return NULL;
	return &t->slots[i];
}

bool
vbus_shm_event(struct rte_vbus_link *link, uint64_t cookie, bool closed)
{
	struct vbus_shm_slot *s = slot_find(&link->shms, cookie);

	if (s == NULL)
		return closed; /* a SHMCLOSE after our DEVCLOSE is the rule, not an error */
	if (!closed && s->shm->notify != NULL)
		s->shm->notify(s->shm);
	/* SHMCLOSE of an open block (its device was dropped): the block stays the driver's
	 * until it closes the device; no signal comes any more. */
	return true;
}

void
vbus_shm_forget(struct rte_vbus_link *link, const struct rte_vbus_device *dev)
{
	struct vbus_shm_table *t = &link->shms;

	for (uint32_t i = 0; i < t->size; i++) {
		struct rte_vbus_shm *shm = t->slots[i].shm;

		if (shm == NULL || (dev != NULL && shm->dev != dev))
			continue;
		slot_free(t, i);
		__atomic_store_n(&shm->handle, -1, __ATOMIC_RELAXED);
	}
}

static bool
signal_is_due(const struct rte_vbus_shm *shm)
{
	struct shm_signal_desc *d;

	if (shm->handle < 0 || shm->signal_offset < 0)
		return false;
	d = (struct shm_signal_desc *)(void *)((uint8_t *)shm->va + shm->signal_offset);
	return vbus_peer_load8(&d->south.pending) != 0;
}

void
vbus_shm_post_signals(struct rte_vbus_link *link)
{
	struct vbus_shm_table *t = &link->shms;

	for (uint32_t i = 0; i < t->size && link->state == VBUS_LINK_UP; i++) {
		struct rte_vbus_shm *shm = t->slots[i].shm;

		if (shm != NULL && signal_is_due(shm))
			link->ops->signal(link, offsetof(struct vbus_pci_signals, shmsignal),
				(uint32_t)shm->handle);
	}
}

/* The arguments of DEVSHM; a signal needs its slot before south can raise it.
 */
static int
shm_prepare(struct rte_vbus_device *dev, struct rte_vbus_shm *shm, struct vbus_pci_deviceshm *a)
{
	struct vbus_shm_table *t = &dev->link->shms;
	int ret;

	a->devh = dev->handle;
	a->id = shm->id;
	a->len = shm->len;
	a->datap = vbus_link_addr(dev->link, shm->va);
	a->signal.offset = VBUS_PCI_SHM_NO_SIGNAL;
	if (shm->signal_offset < 0)
		return 0;
	ret = slot_take(t, shm);
	if (ret != 0)
		return ret;
	a->signal.offset = (uint32_t)shm->signal_offset;
	a->signal.cookie = (uint64_t)t->slots[shm->cookie].gen << 32 | shm->cookie;
	return 0;
}

/* Give back the slot of a block that was not shared after all, unless the link's loss did. */
static void
shm_unprepare(struct rte_vbus_device *dev, struct rte_vbus_shm *shm)
{
	struct vbus_shm_table *t = &dev->link->shms;

	if (shm->signal_offset >= 0 && shm->cookie < t->size && t->slots[shm->cookie].shm == shm)
		slot_free(t, shm->cookie);
}

int
rte_vbus_shm(struct rte_vbus_device *dev, struct rte_vbus_shm *shm)
{
	struct vbus_call *c;
	uint64_t handle;
	int ret;

	if (shm->va == NULL || shm->len == 0 ||
		(shm->signal_offset >= 0 && ((uint32_t)shm->signal_offset > shm->len ||
						    shm->len - (uint32_t)shm->signal_offset <
							    sizeof(struct shm_signal_desc))))
		return -EINVAL;
	c = vbus_call_new(VBUS_PCI_BRIDGE_SLOWCALL, sizeof(struct vbus_pci_deviceshm), 0);
	if (c == NULL)
		return -ENOMEM;
	c->dev_vector = VBUS_PCI_HC_DEVSHM;
	shm->dev = dev;
	shm->handle = -1;
	vbus_ctl_lock();
	handle = dev->handle;
	ret = handle == 0 ? -ENOTCONN : shm_prepare(dev, shm, &c->block.devshm);
	if (ret != 0) {
		free(c);
		goto out;
	}
	if (vbus_call_run(dev->link, c)) {
		ret = c->result;
		free(c);
	} else { /* south may have taken the block, which the caller gives up */
		vbus_link_fail(dev->link, "DEVSHM was not answered");
		ret = -ETIMEDOUT;
	}
	if (ret >= 0 && dev->handle != handle)
		ret = -ENOTCONN; /* lost meanwhile */
	if (ret < 0)
		shm_unprepare(dev, shm);
	else if (shm->signal_offset >= 0)
		__atomic_store_n(&shm->handle, ret, __ATOMIC_RELAXED);
out:
	vbus_ctl_unlock();
	return ret < 0 ? ret : 0;
}

void
rte_vbus_signal(const struct rte_vbus_shm *shm)
{
	const struct rte_vbus_link *link;
	const uint64_t one = 1;
	int32_t handle;

	if (vbus_secondary_kick_fd >= 0) { /* nothing of the primary's heap is here */
		if (write(vbus_secondary_kick_fd, &one, sizeof(one)) < 0)
			return;
		return;
	}
	link = shm->dev->link;
	/* Relaxed: the number of the descriptor never changes, what it stands for is exchanged
	 * atomically by dup2(); a kick that comes too late ends in a descriptor that nobody
	 * reads. */
	if (atomic_load_explicit(&link->live, memory_order_relaxed) == 0)
		return;
	if (link->ops->kick != NULL) {
		/* A handle that is void meanwhile is one that south does not know any more. */
		handle = __atomic_load_n(&shm->handle, __ATOMIC_RELAXED);
		if (handle >= 0)
			link->ops->kick(link, (uint32_t)handle);
		return;
	}
	/* A full counter (EAGAIN) is a kick that is under way. */
	if (write(link->kick_fd, &one, sizeof(one)) < 0)
		return;
}
