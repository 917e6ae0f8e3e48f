/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */
#ifndef DP_METRICS_H
#define DP_METRICS_H

/**
 * @file
 * All counters as OpenMetrics text, for Prometheus: ports, venets, devices, buses (the bridge),
 * switches, lcores, the control socket. The loop's thread; takes the control lock.
 */

#include <stdint.h>

/** A part of the text ends with the line that passes this many bytes. */
#define DP_METRICS_PART 393216u

/**
 * A part of the text: parts in order, one after the other, are the whole.
 *
 * @param offset  0, or what the part before told
 * @param[out] text  to be freed
 * @param[out] next  where to go on; 0: that was the last part, "# EOF" included
 * @return 0; -ERANGE: no such offset; -ENOMEM
 */
int dp_metrics_text(uint64_t offset, char **text, uint64_t *next);

#endif /* DP_METRICS_H */
