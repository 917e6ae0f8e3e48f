/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */
#ifndef FUZZ_CTL_H
#define FUZZ_CTL_H

#include <stdint.h>

/** Time goes on; timers that are due run. */
void fuzz_ctl_tick(uint64_t ns);
/** Every watched descriptor's handler runs (they are non-blocking), then the jobs. */
void fuzz_ctl_poll(void);

#endif /* FUZZ_CTL_H */
