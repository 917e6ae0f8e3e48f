/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */
#ifndef DP_HUGEFILES_H
#define DP_HUGEFILES_H

/**
 * @file
 * EAL's files in hugetlbfs outlive the process: --huge-unlink would let them go at once, but then
 * no secondary process (dpdk-dumpcap, dpdk-proc-info) could attach. So vbus-dp removes its own when
 * it ends.
 */

/** Note the files behind EAL's memory that are not noted yet. EAL runs. */
void dp_hugefiles_find(void);
/** Remove what was noted. After rte_eal_cleanup(). */
void dp_hugefiles_remove(void);

#endif /* DP_HUGEFILES_H */
