/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */
#ifndef DP_LOG_H
#define DP_LOG_H

/**
 * @file
 * Log types of vbus-dp, one per module: "vbus-dp.NAME". A .c file that logs says once, at file
 * level, DP_LOG_TYPE("NAME"), and then DP_LOG(level, ...): prefix and newline are the macro's. A
 * text names the object and the reason.
 */

#include <stdint.h>

#include <rte_common.h>
#include <rte_log.h>

/* A failed registration (-ENOMEM) would index out of EAL's table of types. */
#define DP_LOG_TYPE(name)                                                                         \
	static int dp_logtype = RTE_LOGTYPE_USER1;                                                \
	RTE_INIT(dp_log_register)                                                                 \
	{                                                                                         \
		int type = rte_log_register_type_and_pick_level("vbus-dp." name, RTE_LOG_NOTICE); \
                                                                                                  \
		if (type >= 0)                                                                    \
			dp_logtype = type;                                                        \
	}                                                                                         \
	_Static_assert(sizeof(name) > 1, "a module has a name")

#define DP_LOG(level, fmt, ...) \
	rte_log(RTE_LOG_##level, (uint32_t)dp_logtype, "vbus-dp: " fmt "\n", ##__VA_ARGS__)

#endif /* DP_LOG_H */
