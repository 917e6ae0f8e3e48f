/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */
#ifndef VBUS_TELEMETRY_H
#define VBUS_TELEMETRY_H

/**
 * @file
 * Telemetry, registered once by libvbus (DECISIONS 28), read-only:
 *
 *   /vbus/list[,OFFSET]        what there is: "bus,NAME", "link,NAME", "device,BUS/NAME"
 *   /vbus/bus,NAME[,OFFSET]    a bus and its devices
 *   /vbus/device,[BUS/]NAME    a device, with what its class tells
 *   /vbus/link,NAME            a bus and its peer ("south"), or a link that the bus driver made ("north")
 *
 * A list answers with at most 512 entries and 16 KiB; "next" is the offset to go on with, when there
 * is more. Counters count since the object was made; their names say what is counted.
 */

struct rte_tel_data;

/**
 * Tell about a link: add entries (numbers and strings, no nesting) to the dictionary @p d.
 * Telemetry thread, control lock held.
 */
typedef void (*vbus_telemetry_link_fn)(void *arg, struct rte_tel_data *d);

/**
 * North's links (the bus driver): make @p name visible under /vbus/link. Control lock held.
 * @return 0; -EEXIST: the name is registered; -EINVAL: not a legal name; -ENOMEM.
 */
int vbus_telemetry_register_link(const char *name, vbus_telemetry_link_fn fn, void *arg);
/** Forget it; unknown names are ignored. Control lock held. */
void vbus_telemetry_unregister_link(const char *name);

#endif /* VBUS_TELEMETRY_H */
