/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * The first two calls of a session (doc/abi.md section 1): NEGOTIATE, then QREG with one event
 * queue. South sends events from QREG on. */

#include "vbus_bus_private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OUR_CAPS (VBUS_CAP_DEVNAME | VBUS_CAP_DOORBELL)

/* -ENOTCONN: whoever failed the call has failed the link already. */
static bool
call_failed(struct rte_vbus_link *link, const char *what, const struct vbus_call *c, int32_t good)
{
	char reason[64];

	if (c->result == good)
		return false;
	if (c->result != -ENOTCONN || link->state == VBUS_LINK_NEGOTIATING) {
		snprintf(reason, sizeof(reason), "%s: %s", what,
			c->result < 0 ? strerror(-c->result) : "unknown version");
		vbus_link_fail(link, reason);
	}
	return true;
}

static void
qreg_done(struct rte_vbus_link *link, struct vbus_call *c)
{
	if (!call_failed(link, "QREG", c, 0))
		vbus_link_up(link);
	free(c);
}

static void
qreg(struct rte_vbus_link *link)
{
	struct vbus_call *c;

	c = vbus_call_new(VBUS_PCI_BRIDGE_QREG, sizeof(struct vbus_pci_busreg), 0);
	if (c == NULL || vbus_events_format(link) != 0) {
		free(c);
		vbus_link_fail(link, "event ring: no memory");
		return;
	}
	c->block.busreg.count = VBUS_PCI_NUM_EVENTQ;
	c->block.busreg.eventq[0].count = VBUS_BUS_EVENTS;
	c->block.busreg.eventq[0].ring = vbus_link_addr(link, link->shared->ring);
	c->block.busreg.eventq[0].data = vbus_link_addr(link, link->shared->slots);
	c->fn = qreg_done;
	vbus_call_submit(link, c);
}

static void
negotiate_done(struct rte_vbus_link *link, struct vbus_call *c)
{
	if (!call_failed(link, "NEGOTIATE", c, VBUS_PCI_CALL_VERSION)) {
		/* Only what was asked for, whatever the answer says. */
		link->caps = c->block.negotiate.capabilities & OUR_CAPS;
		if (link->no_ports && (link->caps & VBUS_CAP_DOORBELL) == 0)
			vbus_link_fail(
				link, "it has no I/O ports, and south takes no other signals");
		else
			qreg(link);
	}
	free(c);
}

void
vbus_negotiate(struct rte_vbus_link *link)
{
	struct vbus_call *c;

	c = vbus_call_new(VBUS_PCI_BRIDGE_NEGOTIATE, sizeof(struct vbus_pci_negotiate), 0);
	if (c == NULL) {
		vbus_link_fail(link, strerror(ENOMEM));
		return;
	}
	c->block.negotiate.magic = VBUS_PCI_MAGIC;
	c->block.negotiate.version = VBUS_PCI_CALL_VERSION;
	c->block.negotiate.capabilities = OUR_CAPS;
	c->fn = negotiate_done;
	vbus_call_submit(link, c);
}
