/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */
#ifndef VBUS_KEEPER_H
#define VBUS_KEEPER_H

/**
 * @file
 * This process as a data plane behind vbus-keeper (ADR-0016): vfio-user connectors that are made while
 * it is connected get their links from the keeper, as another process left them. Control lock held.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * Connect, wait up to 5 s for its answer.
 * @param[out] err  one line on failure
 * @return 0; -EBUSY: another process is connected; -EPROTONOSUPPORT: another version; negative errno
 */
int vbus_keeper_connect(const char *path, char *err, size_t err_size);
/** Is it there? */
bool vbus_keeper_connected(void);
/**
 * Give every link back as it is, and disconnect. Polling threads have left the links when it
 * returns; buses, devices and connectors stay, without a peer, and can be taken apart.
 */
void vbus_keeper_leave(void);

#endif /* VBUS_KEEPER_H */
