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

/* ---- things: descriptors under a name, kept for who comes after this process --------------------- */

#define VBUS_KEEPER_FDS 8u
/**
 * Take what a process before this one has left under that name.
 * @param[out] word  as it was given with it
 * @param[out] fds  the caller's
 * @return how many descriptors; 0: nothing is kept under that name
 */
uint32_t vbus_keeper_get(const char *name, uint64_t *word, int *fds);
/**
 * Leave duplicates of these, in place of what had that name before; none: forget it.
 * @param name  up to 100 bytes
 * @return 0; -ENOTCONN: there is no keeper; negative errno
 */
int vbus_keeper_keep(const char *name, uint64_t word, const int *fds, uint32_t nb_fds);
/** What nobody has taken is forgotten: its devices are gone since. */
void vbus_keeper_forget_rest(void);

#endif /* VBUS_KEEPER_H */
