/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */
#ifndef VBUS_MP_H
#define VBUS_MP_H

/**
 * @file
 * What a secondary process asks its primary, by EAL's multi-process messages.
 */

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * In a secondary process: one question to the primary's rte_mp action, a second at most. Application threads.
 *
 * @param action  the name that the primary registered, shorter than RTE_MP_MAX_NAME_LEN
 * @param ask, ask_len  0 to RTE_MP_MAX_PARAM_LEN bytes
 * @param[out] answer  @p answer_len bytes, written on success only; an answer of another size is none
 * @return 0; -ENOENT: no such answer; or what rte_mp_request_sync() says
 */
int vbus_mp_ask(
	const char *action, const void *ask, size_t ask_len, void *answer, size_t answer_len);

#ifdef __cplusplus
}
#endif

#endif /* VBUS_MP_H */
