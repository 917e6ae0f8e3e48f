/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * The bridge's event queue: one backlog in order, moved into north's ring as far as it has room
 * (doc/abi.md sections 1, 4 and 7), and the notifications by which polling threads signal north.
 *
 * Threads: the control side with its lock; vbus_shm_notify() on any thread without it.
 *
 * Ownership: the backlog and the ring's cursor lie in the link state (ADR-0003), the ring and its
 * slots in north's memory. Every event goes through the backlog, so that order is the order of
 * vbus_bridge_event(): a device's last SHMSIGNAL comes before its SHMCLOSE (7.16) without further
 * thought. One SHMSIGNAL per block waits at most. North can make the backlog overflow only by
 * leaving events unread while it opens and closes devices: that is a fault of the link.
 *
 * South's `enabled` in the ring's signal is set only while events are held back, so that a north
 * that keeps up writes no port; and always where the interrupt is a line, which a port write quenches.
 */

#include "bridge_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <rte_common.h>

#include <vbus/pci.h>

_Static_assert(VBUS_NOTIFY_WORDS % 64 == 0, "a summary bit for each word of notifications");

/* ---- backlog ---------------------------------------------------------------------------------- */

static struct vbus_link_event *
backlog_at(struct vbus_bridge *b, uint32_t n)
{
	return &b->ls->backlog[n % VBUS_LINK_BACKLOG];
}

uint32_t
vbus_bridge_backlog_count(const struct vbus_bridge *b)
{
	return b->ls->bridge.backlog.tail - b->ls->bridge.backlog.head;
}

void
vbus_bridge_event(struct vbus_bridge *b, uint32_t eventid, uint32_t ref, uint64_t payload)
{
	struct vbus_link_event *ev;
	uint32_t count;

	if (!vbus_bridge_has(b, VBUS_LINK_EVENTS))
		return;
	count = vbus_bridge_backlog_count(b);
	if (count == VBUS_LINK_BACKLOG) {
		vbus_bridge_note_fault(b, "event backlog overflow: north consumes no events");
		return;
	}
	ev = backlog_at(b, b->ls->bridge.backlog.tail);
	ev->eventid = eventid;
	ev->ref = ref;
	ev->payload = payload;
	__atomic_signal_fence(__ATOMIC_RELEASE); /* a successor finds it whole or not at all */
	b->ls->bridge.backlog.tail++;
}

bool
vbus_bridge_event_recall(struct vbus_bridge *b, uint64_t devid)
{
	uint32_t n;

	for (n = b->ls->bridge.backlog.head; n != b->ls->bridge.backlog.tail; n++) {
		struct vbus_link_event *ev = backlog_at(b, n);

		if (ev->eventid == VBUS_PCI_EVENT_DEVADD && ev->payload == devid) {
			ev->eventid = VBUS_LINK_EVENT_VOID;
			return true;
		}
	}
	return false;
}

/* ---- north's ring ----------------------------------------------------------------------------- */

int
vbus_bridge_evq_bind(struct vbus_bridge *b, unsigned int how)
{
	struct vbus_link_bridge *lb = &b->ls->bridge;
	const uint64_t size = vbus_ioq_size(lb->eventq.count);
	void *va;

	va = vbus_memview_ptr(b->view, &b->cache, lb->eventq.ring, size);
	if (va == NULL)
		return -EFAULT;
	if (vbus_ioq_south_attach(
		    &b->evq, va, size, VBUS_BRIDGE_EVENTQ_MAX, &lb->eventq_cursor, how) != 0)
		return -EINVAL;
	if (vbus_signal_attach(&b->evq_signal, (uint8_t *)va + IOQ_RING_SIGNAL_OFFSET,
		    VBUS_LOCALITY_SOUTH) != 0)
		return -EINVAL;
	b->evq_mapped = true;
	/* What was sent before may lie there unread, and its signal may have been missed. */
	b->evq_unread = how == VBUS_IOQ_RESUME;
	return 0;
}

void
vbus_bridge_evq_drop(struct vbus_bridge *b)
{
	unsigned int i;

	b->evq_mapped = false;
	b->evq_unread = false;
	memset(&b->ls->bridge.eventq, 0, sizeof(b->ls->bridge.eventq));
	b->ls->bridge.flags &= ~VBUS_LINK_EVENTS;
	b->ls->bridge.backlog.head = 0;
	b->ls->bridge.backlog.tail = 0;
	vbus_ctl_timer_cancel(&b->timer);
	for (i = 0; i < VBUS_NOTIFY_WORDS; i++)
		atomic_store_explicit(&b->notify.words[i], 0, memory_order_relaxed);
}

static bool
slot_ok(const struct vbus_bridge *b, uint64_t ptr)
{
	const uint64_t size = (uint64_t)b->ls->bridge.eventq.count * sizeof(struct vbus_pci_event);
	const uint64_t off = ptr - b->ls->bridge.eventq.data;

	return off < size && size - off >= sizeof(struct vbus_pci_event);
}

/* Write one event into a slot. */
static int
event_write(struct vbus_bridge *b, const struct vbus_link_event *ev, uint64_t slot)
{
	struct vbus_pci_event wire = {.eventid = ev->eventid};
	uint32_t len = offsetof(struct vbus_pci_event, data) + sizeof(wire.data.handle);

	wire.data.handle.handle = ev->payload;
	if (ev->eventid == VBUS_PCI_EVENT_DEVADD) {
		/* Detached devices recalled their DEVADD: the slot is this very device's. */
		snprintf(wire.data.add.type, sizeof(wire.data.add.type), "%s",
			b->dev_of[ev->ref]->cls->type);
		len = sizeof(wire);
	}
	return vbus_memview_copy_out(b->view, &b->cache, slot, &wire, len);
}

static void
event_sent(struct vbus_bridge *b, const struct vbus_link_event *ev)
{
	struct vbus_shm *shm;

	b->info.nb_events++;
	if (ev->eventid == VBUS_PCI_EVENT_DEVADD) {
		b->ls->devs[ev->ref].flags |= VBUS_LINK_DEV_ANNOUNCED;
	} else if (ev->eventid == VBUS_PCI_EVENT_SHMSIGNAL) {
		shm = vbus_shm_lookup(b, ev->ref);
		if (shm != NULL)
			b->ls->shms[shm->index].flags &= ~VBUS_LINK_SHM_QUEUED;
	}
}

/* Move events into the ring. @return how many. */
static uint32_t
evq_send(struct vbus_bridge *b)
{
	struct vbus_link_bridge *lb = &b->ls->bridge;
	uint32_t nb_sent = 0;

	while (lb->backlog.head != lb->backlog.tail) {
		const struct vbus_link_event *ev = backlog_at(b, lb->backlog.head);
		struct vbus_ioq_entry e;

		if (ev->eventid != VBUS_LINK_EVENT_VOID) {
			if (vbus_ioq_south_produce_peek(&b->evq, &e, 1) == 0)
				break;
			if (!slot_ok(b, e.ptr)) {
				vbus_bridge_note_fault(b, "event descriptor outside the slots");
				break;
			}
			if (event_write(b, ev, e.ptr) != 0)
				break; /* not mapped now: the timer tries again */
			e.len = sizeof(struct vbus_pci_event);
			/* A successor sees by the ring's position whether it was sent. */
			lb->sending.head = lb->backlog.head;
			lb->sending.ring_tail = b->evq.cur->inuse_tail;
			__atomic_signal_fence(__ATOMIC_RELEASE);
			lb->sending.active = 1;
			__atomic_signal_fence(__ATOMIC_RELEASE);
			vbus_ioq_south_produce_push(&b->evq, &e, 1);
			event_sent(b, ev);
			nb_sent++;
		}
		__atomic_signal_fence(__ATOMIC_RELEASE);
		lb->backlog.head++;
		__atomic_signal_fence(__ATOMIC_RELEASE);
		lb->sending.active = 0;
	}
	return nb_sent;
}

bool
vbus_bridge_event_waits(const struct vbus_bridge *b, uint32_t eventid, uint64_t payload)
{
	const struct vbus_link_bridge *lb = &b->ls->bridge;
	uint32_t n;

	for (n = lb->backlog.head; n != lb->backlog.tail; n++) {
		const struct vbus_link_event *ev = &b->ls->backlog[n % VBUS_LINK_BACKLOG];

		if (ev->eventid == eventid && ev->payload == payload)
			return true;
	}
	return false;
}

/* Events name devices and blocks by slot: those that are not there any more are void. */
static void
backlog_check(struct vbus_bridge *b)
{
	struct vbus_link_bridge *lb = &b->ls->bridge;
	uint32_t i, n;

	for (i = 0; i < VBUS_LINK_SHMS; i++)
		if (b->shm_of[i] != NULL)
			b->ls->shms[i].flags &= ~VBUS_LINK_SHM_QUEUED;
	for (n = lb->backlog.head; n != lb->backlog.tail; n++) {
		struct vbus_link_event *ev = backlog_at(b, n);
		const struct vbus_shm *shm;

		if (ev->eventid == VBUS_PCI_EVENT_DEVADD) {
			if (ev->ref >= VBUS_LINK_DEVS || b->dev_of[ev->ref] == NULL ||
				b->dev_of[ev->ref]->devid != ev->payload)
				ev->eventid = VBUS_LINK_EVENT_VOID;
		} else if (ev->eventid == VBUS_PCI_EVENT_SHMSIGNAL) {
			shm = vbus_shm_lookup(b, ev->ref);
			if (shm != NULL)
				b->ls->shms[shm->index].flags |= VBUS_LINK_SHM_QUEUED;
			else
				ev->eventid = VBUS_LINK_EVENT_VOID;
		}
	}
}

int
vbus_bridge_evq_adopt(struct vbus_bridge *b)
{
	struct vbus_link_bridge *lb = &b->ls->bridge;
	int ret;

	if (vbus_bridge_backlog_count(b) > VBUS_LINK_BACKLOG)
		return -EINVAL;
	/* The event that was being sent: the cursor has moved, so it was. */
	if (lb->sending.active != 0 && lb->sending.head == lb->backlog.head &&
		lb->backlog.head != lb->backlog.tail &&
		lb->sending.ring_tail != lb->eventq_cursor.inuse_tail) {
		const struct vbus_link_event *ev = backlog_at(b, lb->backlog.head);

		if (ev->eventid == VBUS_PCI_EVENT_DEVADD && ev->ref < VBUS_LINK_DEVS)
			b->ls->devs[ev->ref].flags |= VBUS_LINK_DEV_ANNOUNCED;
		lb->backlog.head++;
	}
	lb->sending.active = 0;
	backlog_check(b);
	if (!vbus_bridge_has(b, VBUS_LINK_EVENTS))
		return 0;
	ret = vbus_bridge_evq_bind(b, VBUS_IOQ_RESUME);
	if (ret == 0)
		(void)vbus_ring_repair(&b->evq, true);
	return ret == -EFAULT ? 0 : ret; /* not mapped now: events wait */
}

static void
evq_inject(struct vbus_bridge *b)
{
	if (!vbus_signal_inject(&b->evq_signal))
		return;
	/* Without an interrupt yet, dirty and pending stay: the driver looks when it has connected
	 * one and enables (7.17).
	 */
	b->info.nb_irqs++;
	if (b->bus->connector != NULL)
		b->bus->connector->ops->irq(b->bus->connector->arg);
}

/* Is north's interrupt a line, which it has to quench by touching a BAR? */
static bool
irq_is_line(const struct vbus_bridge *b)
{
	const struct vbus_connector *c = b->bus->connector;

	return c != NULL && c->ops->irq_is_line != NULL && c->ops->irq_is_line(c->arg);
}

/* Has north not yet given back the entry that was pushed last? It consumes in order. */
static bool
evq_is_unread(const struct vbus_bridge *b)
{
	const uint32_t tail = b->evq.cur->inuse_tail;
	const uint32_t last = tail == 0 ? b->evq.count - 1 : tail - 1;

	return vbus_peer_load_owner(&b->evq.desc_peer[last].sown) != IOQ_SOWN_SOUTH;
}

bool
vbus_bridge_irq_outstanding(const struct vbus_bridge *b)
{
	return b->evq_mapped && evq_is_unread(b) && vbus_signal_is_outstanding(&b->evq_signal);
}

bool
vbus_bridge_irq_served(const struct vbus_bridge *b)
{
	return b->evq_mapped && !evq_is_unread(b);
}

static void
evq_timer(struct vbus_ctl_timer *t)
{
	struct vbus_bridge *b = container_of(t, struct vbus_bridge, timer);

	if (b->evq_mapped) {
		b->evq_unread = b->evq_unread && evq_is_unread(b);
		if (b->evq_unread)
			evq_inject(b);
		/* Any access to a BAR quenches a line, also one by a CPU that knows nothing of it,
		 * before the one that is interrupted has seen it.
		 */
		if (b->evq_unread && irq_is_line(b) && vbus_bridge_irq_outstanding(b))
			b->bus->connector->ops->irq(b->bus->connector->arg);
	}
	vbus_bridge_settle(b);
}

void
vbus_bridge_evq_pump(struct vbus_bridge *b)
{
	const uint32_t held = vbus_bridge_backlog_count(b);
	unsigned int rounds = 4; /* north can raise its signal for ever; then the timer goes on */

	if (held > b->info.nb_events_held_max)
		b->info.nb_events_held_max = held;
	while (b->evq_mapped && rounds-- > 0) {
		if (evq_send(b) > 0) {
			b->evq_unread = true;
			evq_inject(b);
		}
		if (vbus_bridge_backlog_count(b) == 0) {
			if (irq_is_line(b))
				(void)vbus_signal_enable(&b->evq_signal);
			else if (vbus_signal_is_enabled(&b->evq_signal))
				vbus_signal_disable(&b->evq_signal);
			break;
		}
		if (b->fault_noted != NULL || !vbus_signal_enable(&b->evq_signal))
			break;
		vbus_signal_take(&b->evq_signal);
	}
	/* 7.2: wake-ups are missed whatever we do. */
	if ((b->evq_unread || vbus_bridge_backlog_count(b) > 0) && !b->timer.armed)
		vbus_ctl_timer_arm(&b->timer, VBUS_BRIDGE_TIMER_NS);
}

void
vbus_bridge_evq_signalled(struct vbus_bridge *b)
{
	if (b->evq_mapped)
		vbus_signal_take(&b->evq_signal); /* the pump at settle looks at the ring */
}

/* ---- notifications ---------------------------------------------------------------------------- */

void
vbus_shm_notify(struct vbus_shm *shm)
{
	struct vbus_bridge *b = shm->conn->bridge;
	const uint32_t w = shm->index / 64;
	const uint64_t bit = 1ULL << (shm->index % 64);
	const uint64_t one = 1;

	/* N1: the bit, before pending. Whoever set it before us goes on to N2 for both. */
	if ((atomic_fetch_or_explicit(&b->notify.words[w], bit, memory_order_acq_rel) & bit) != 0)
		return;
	atomic_fetch_or_explicit(
		&b->notify.summary[w / 64], 1ULL << (w % 64), memory_order_acq_rel);
	/* N2: partner N3 of notify_run(). It was 1: N3 is still to come and sees the bit. */
	if (atomic_exchange_explicit(&b->notify.pending, 1, memory_order_acq_rel) != 0)
		return;
	/* Fails only when the counter is full, and then the control thread has enough to read. */
	if (write(b->notify_fd, &one, sizeof(one)) < 0)
		return;
}

static void
notify_one(struct vbus_bridge *b, struct vbus_shm *shm)
{
	struct vbus_link_shm *slot = &b->ls->shms[shm->index];

	if (!shm->has_signal || (slot->flags & VBUS_LINK_SHM_QUEUED) != 0 ||
		!vbus_bridge_has(b, VBUS_LINK_EVENTS))
		return;
	slot->flags |= VBUS_LINK_SHM_QUEUED;
	vbus_bridge_event(b, VBUS_PCI_EVENT_SHMSIGNAL, shm->handle, shm->cookie);
}

void
vbus_bridge_notify_all(struct vbus_bridge *b)
{
	uint32_t i;

	for (i = 0; i < VBUS_LINK_SHMS; i++)
		if (b->shm_of[i] != NULL)
			notify_one(b, b->shm_of[i]);
}

void
vbus_bridge_notify_flush(struct vbus_bridge *b, struct vbus_shm *shm)
{
	const uint64_t bit = 1ULL << (shm->index % 64);
	uint64_t old;

	/* Acquire: pairs with N1 of the notifier, which has left the block for good. */
	old = atomic_fetch_and_explicit(
		&b->notify.words[shm->index / 64], ~bit, memory_order_acquire);
	if ((old & bit) != 0)
		notify_one(b, shm);
}

static void
notify_word(struct vbus_bridge *b, uint32_t w)
{
	/* Acquire: pairs with N1: what the notifier wrote before is seen by what follows. */
	uint64_t bits = atomic_exchange_explicit(&b->notify.words[w], 0, memory_order_acquire);

	while (bits != 0) {
		struct vbus_shm *shm = b->shm_of[w * 64 + (uint32_t)__builtin_ctzll(bits)];

		bits &= bits - 1;
		if (shm != NULL)
			notify_one(b, shm);
	}
}

static void
notify_run(int fd, uint32_t events, void *arg)
{
	struct vbus_bridge *b = arg;
	uint64_t count;
	uint32_t i;

	(void)events;
	if (read(fd, &count, sizeof(count)) < 0)
		return; /* nothing there (it is non-blocking) */
	/* N3: before the bits are taken. Who comes after it writes the eventfd again. */
	atomic_exchange_explicit(&b->notify.pending, 0, memory_order_acq_rel);
	for (i = 0; i < RTE_DIM(b->notify.summary); i++) {
		uint64_t words = atomic_exchange_explicit(
			&b->notify.summary[i], 0, memory_order_acq_rel);

		while (words != 0) {
			notify_word(b, i * 64 + (uint32_t)__builtin_ctzll(words));
			words &= words - 1;
		}
	}
	vbus_bridge_settle(b);
}

int
vbus_bridge_notify_init(struct vbus_bridge *b)
{
	int err;

	b->timer.fn = evq_timer;
	b->notify_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (b->notify_fd < 0)
		return -errno;
	b->notify_watch = vbus_ctl_fd_add(b->notify_fd, EPOLLIN, notify_run, b);
	if (b->notify_watch == NULL) {
		err = errno != 0 ? -errno : -ENOMEM;
		close(b->notify_fd);
		return err;
	}
	return 0;
}

void
vbus_bridge_notify_fini(struct vbus_bridge *b)
{
	vbus_ctl_timer_cancel(&b->timer);
	vbus_ctl_fd_del(b->notify_watch);
	close(b->notify_fd);
}
