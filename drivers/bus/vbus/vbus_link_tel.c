/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * A link in telemetry: /vbus/link,NAME (DECISIONS 28). */

#include "vbus_bus_private.h"

#include <stdio.h>

#include <rte_telemetry.h>

#include "vbus_compat.h"
#include "vbus_telemetry.h"

static const char *
state_name(enum vbus_link_state state)
{
	switch (state) {
	case VBUS_LINK_IDLE:
		return "idle";
	case VBUS_LINK_WAITING:
		return "waiting";
	case VBUS_LINK_CONNECTING:
		return "connecting";
	case VBUS_LINK_NEGOTIATING:
		return "negotiating";
	case VBUS_LINK_UP:
		return "up";
	default:
		return "unknown";
	}
}

static void
link_tell(void *arg, struct rte_tel_data *d)
{
	const struct rte_vbus_link *link = arg;
	const struct vbus_link_stats *s = &link->stats;
	const struct rte_vbus_device *dev;
	uint32_t present = 0, bound = 0;

	TAILQ_FOREACH (dev, &link->devices, next) {
		present += dev->present;
		bound += dev->driver != NULL;
	}
	rte_tel_data_add_dict_string(d, "state", state_name(link->state));
	rte_tel_data_add_dict_string(d, "transport", link->ops->name);
	rte_tel_data_add_dict_string(d, "peer", vbus_link_peer(link));
	rte_tel_data_add_dict_string(d, "reason", link->reason);
	vbus_tel_dict_uint(d, "capabilities", link->caps);
	vbus_tel_dict_uint(d, "nb_devices", link->nb_devices);
	vbus_tel_dict_uint(d, "nb_devices_present", present);
	vbus_tel_dict_uint(d, "nb_devices_bound", bound);
	vbus_tel_dict_uint(d, "nb_connects", s->nb_connects);
	vbus_tel_dict_uint(d, "nb_lost", s->nb_lost);
	vbus_tel_dict_uint(d, "nb_calls", s->nb_calls);
	vbus_tel_dict_uint(d, "nb_failed_calls", s->nb_failed_calls);
	vbus_tel_dict_uint(d, "nb_call_timeouts", s->nb_timeouts);
	vbus_tel_dict_uint(d, "nb_interrupts", s->nb_irqs);
	vbus_tel_dict_uint(d, "nb_events", s->nb_events);
	vbus_tel_dict_uint(d, "nb_devadd_events", s->nb_devadd);
	vbus_tel_dict_uint(d, "nb_devdrop_events", s->nb_devdrop);
	vbus_tel_dict_uint(d, "nb_shmsignal_events", s->nb_shmsignal);
	vbus_tel_dict_uint(d, "nb_shmclose_events", s->nb_shmclose);
	vbus_tel_dict_uint(d, "nb_bad_events", s->nb_bad_events);
	vbus_tel_dict_uint(d, "nb_unbound_devices", s->nb_unbound);
	vbus_tel_dict_uint(d, "nb_window_interrupts", s->nb_window_irqs);
	vbus_tel_dict_uint(d, "nb_window_rings", s->nb_window_rings);
}

void
vbus_link_tel_add(struct rte_vbus_link *link)
{
	/* Not worth failing for: the link works without. */
	if (vbus_telemetry_register_link(link->name, link_tell, link) != 0)
		BUS_LOG(NOTICE, "%s: no telemetry for this link", link->name);
}

void
vbus_link_tel_del(struct rte_vbus_link *link)
{
	vbus_telemetry_unregister_link(link->name);
}
