/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */
#ifndef VBUS_LOG_H
#define VBUS_LOG_H

/**
 * @file
 * Log types of the library, one per room (DECISIONS 11). The macro adds prefix and newline; a text
 * names the object and the reason. Events that a peer can cause at will go through a
 * struct vbus_log_limit: at most a few lines a second, and the number of those left out.
 */

#include <stdbool.h>
#include <stdint.h>

#include <rte_log.h>

extern int vbus_logtype_core; /**< "vbus.core" */
extern int vbus_logtype_vfu;  /**< "vbus.vfio-user" */

#define VBUS_LOG(level, fmt, ...) \
	rte_log(RTE_LOG_##level, (uint32_t)vbus_logtype_core, "vbus: " fmt "\n", ##__VA_ARGS__)

/** State of a rate limit; zero-initialised is ready. One per object and kind of event. */
struct vbus_log_limit {
	uint64_t window_ns; /**< start of the current one-second window */
	uint32_t in_window; /**< lines in it */
	uint32_t left_out;  /**< lines suppressed since the last that was printed */
};

/**
 * May one more line be printed? At most 5 a second per object.
 *
 * @param[out] left_out  how many were suppressed before this one (0 mostly)
 * @return true: print it. Any thread that owns @p l; slow path only.
 */
bool vbus_log_allowed(struct vbus_log_limit *l, uint32_t *left_out);

/** VBUS_LOG() within a limit; says how many lines of its kind were left out before, if any. */
#define VBUS_LOG_LIMITED(limit, level, fmt, ...)                                \
	do {                                                                    \
		uint32_t vbus_log_left_out_;                                    \
		if (!vbus_log_allowed((limit), &vbus_log_left_out_))            \
			break;                                                  \
		VBUS_LOG(level, fmt, ##__VA_ARGS__);                            \
		if (vbus_log_left_out_ != 0)                                    \
			VBUS_LOG(level, "%u lines like this one were left out", \
				vbus_log_left_out_);                            \
	} while (0)

#endif /* VBUS_LOG_H */
