/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */
#ifndef DP_NOTIFY_H
#define DP_NOTIFY_H

/**
 * @file
 * Telling the service manager how we are: datagrams to the socket that NOTIFY_SOCKET names
 * (systemd's sd_notify(3) protocol). Without that variable every call is a silent nothing.
 */

#include <stdint.h>

/** Send lines as they are: "READY=1\nSTATUS=...". Never blocks. @return 0, or a negative errno that
 *  may be ignored; -ENOENT: there is no manager. Any thread. */
int dp_notify(const char *lines);
/** RELOADING=1 with the time, which the manager wants to see. To be followed by READY=1. */
int dp_notify_reloading(void);
/** Half of the watchdog's period in ns, 0: the manager runs none for this process. */
uint64_t dp_notify_watchdog_ns(void);

#endif /* DP_NOTIFY_H */
