/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * The event ring (doc/abi.md sections 1 to 4). South fills slots and raises our interrupt; we
 * take all there are, give the slots back, and signal south once per batch, so that it sends
 * what it held back. The interrupt is always wanted, but where the transport polls this ring
 * because there is none.
 *
 * Threads: control thread; on null links the worker too. Control lock held.
 * Trust: the slot is copied once, ids and cookies are looked up, strings are bounded.
 */

#include "vbus_bus_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <rte_common.h>

#include "vbus_ioq_north.h"
#include "vbus_peer.h"

#define EVENT_BATCH  64u
#define EVENT_ROUNDS 4u /* of the ring per interrupt: others want the control thread too */

int
vbus_events_format(struct rte_vbus_link *link)
{
	struct vbus_link_shared *s = link->shared;
	struct vbus_ioq_entry e;
	int ret;

	ret = vbus_ioq_north_format(
		&link->events, s->ring, VBUS_BUS_EVENTS, link->event_cookies, 1);
	if (ret == 0)
		ret = vbus_signal_attach(
			&link->event_sig, s->ring + IOQ_RING_SIGNAL_OFFSET, VBUS_LOCALITY_NORTH);
	if (ret != 0)
		return ret;
	for (uint32_t i = 0; i < VBUS_BUS_EVENTS; i++) {
		e.cookie = i;
		e.ptr = vbus_link_addr(link, &s->slots[i]);
		e.len = sizeof(s->slots[i]);
		if (vbus_ioq_north_post(&link->events, &e, 1) != 1)
			return -EIO;
	}
	return 0;
}

/* ---- names --------------------------------------------------------------------------------- */

static void
devname_done(struct rte_vbus_link *link, struct vbus_call *c)
{
	struct vbus_announce *a = c->arg;
	char name[VBUS_DEVNAME_LEN + 1] = "";

	TAILQ_REMOVE(&link->announces, a, next);
	/* Refused: the device may be gone already, DEVDROP follows. It is shown as TYPE-ID. */
	if (c->result >= 0)
		memcpy(name, c->block.devname.name, VBUS_DEVNAME_LEN);
	if (!a->dropped && link->state == VBUS_LINK_UP)
		vbus_dev_announced(link, a->id, a->type, name);
	vbus_link_settle(link);
	free(a);
	free(c);
}

static void
event_add(struct rte_vbus_link *link, const struct vbus_pci_event *ev)
{
	struct vbus_announce *a;
	struct vbus_call *c;

	link->stats.nb_devadd++;
	if (ev->data.add.id > UINT32_MAX || ev->data.add.type[0] == '\0' ||
		memchr(ev->data.add.type, '\0', sizeof(ev->data.add.type)) == NULL) {
		link->stats.nb_bad_events++;
		return;
	}
	if ((link->caps & VBUS_CAP_DEVNAME) == 0) {
		vbus_dev_announced(link, (uint32_t)ev->data.add.id, ev->data.add.type, "");
		return;
	}
	a = calloc(1, sizeof(*a));
	c = vbus_call_new(VBUS_PCI_BRIDGE_DEVNAME, sizeof(struct vbus_pci_devname), 0);
	if (a == NULL || c == NULL) {
		free(a);
		free(c);
		vbus_dev_announced(link, (uint32_t)ev->data.add.id, ev->data.add.type, "");
		return;
	}
	a->id = (uint32_t)ev->data.add.id;
	memcpy(a->type, ev->data.add.type, sizeof(a->type));
	TAILQ_INSERT_TAIL(&link->announces, a, next);
	c->block.devname.devid = a->id;
	c->fn = devname_done;
	c->arg = a;
	vbus_call_submit(link, c);
}

static void
event_drop(struct rte_vbus_link *link, uint64_t id)
{
	struct vbus_announce *a;

	link->stats.nb_devdrop++;
	TAILQ_FOREACH (a, &link->announces, next) {
		if (a->id == id && !a->dropped) {
			a->dropped = true;
			return;
		}
	}
	vbus_dev_dropped(link, (uint32_t)RTE_MIN(id, (uint64_t)UINT32_MAX));
}

/* ---- the ring ------------------------------------------------------------------------------ */

static void
event_handle(struct rte_vbus_link *link, uint32_t slot)
{
	struct vbus_pci_event ev;

	vbus_peer_copy_in(&ev, &link->shared->slots[slot], sizeof(ev));
	link->stats.nb_events++;
	switch (ev.eventid) {
	case VBUS_PCI_EVENT_DEVADD:
		event_add(link, &ev);
		break;
	case VBUS_PCI_EVENT_DEVDROP:
		event_drop(link, ev.data.handle.handle);
		break;
	case VBUS_PCI_EVENT_SHMSIGNAL:
		link->stats.nb_shmsignal++;
		if (!vbus_shm_event(link, ev.data.handle.handle, false))
			link->stats.nb_bad_events++;
		break;
	case VBUS_PCI_EVENT_SHMCLOSE:
		link->stats.nb_shmclose++;
		vbus_shm_event(link, ev.data.handle.handle, true);
		break;
	default:
		link->stats.nb_bad_events++;
		break;
	}
}

/* Take at most one lap of the ring. A link that fails on the way leaves the ring to the next
 * format. */
static void
events_take(void *ctx)
{
	struct rte_vbus_link *link = ctx;
	struct vbus_ioq_entry e[EVENT_BATCH];
	uint32_t session = link->session;
	uint32_t n, total = 0;

	while (total < VBUS_BUS_EVENTS && link->state == VBUS_LINK_UP &&
		(n = vbus_ioq_north_pop(&link->events, e, EVENT_BATCH)) > 0) {
		for (uint32_t i = 0; i < n; i++) {
			event_handle(link, (uint32_t)e[i].cookie);
			if (link->state != VBUS_LINK_UP || link->session != session)
				return;
		}
		vbus_ioq_north_repost(&link->events, n);
		total += n;
	}
	if (total > 0 && vbus_signal_inject(&link->event_sig))
		link->ops->signal(link, offsetof(struct vbus_pci_signals, eventq), 0);
}

void
vbus_events_run(struct rte_vbus_link *link)
{
	if (link->state != VBUS_LINK_UP)
		return;
	link->stats.nb_irqs++;
	/* Also without a raised signal: an interrupt is cheap to believe. */
	events_take(link);
	if (link->state == VBUS_LINK_UP &&
		vbus_signal_wakeup(&link->event_sig, events_take, link, EVENT_ROUNDS))
		vbus_ctl_timer_arm(&link->events_timer, 0);
	else if (link->state == VBUS_LINK_UP && vbus_ioq_north_ready_count(&link->events, 1) > 0)
		vbus_ctl_timer_arm(&link->events_timer, 0); /* a south that does not signal */
	vbus_link_settle(link);
}

void
vbus_events_enable(struct rte_vbus_link *link)
{
	/* E: enabled, then the ring is looked at: what came before is not waited for.
 */
	if (!link->polled)
		(void)vbus_signal_enable(&link->event_sig);
	vbus_events_run(link);
}
