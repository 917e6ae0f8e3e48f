/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

#include "vbus_log.h"

#include <rte_common.h>

#include "vbus_ctl.h"

#define WINDOW_NS	  1000000000ull
#define LINES_IN_A_WINDOW 5

int vbus_logtype_core;
int vbus_logtype_vfu;

bool
vbus_log_allowed(struct vbus_log_limit *l, uint32_t *left_out)
{
	uint64_t now = vbus_ctl_now_ns();

	*left_out = 0;
	if (l->window_ns == 0 || now - l->window_ns >= WINDOW_NS) {
		l->window_ns = now;
		l->in_window = 0;
	}
	if (l->in_window >= LINES_IN_A_WINDOW) {
		l->left_out++;
		return false;
	}
	l->in_window++;
	*left_out = l->left_out;
	l->left_out = 0;
	return true;
}

/* Not RTE_LOG_REGISTER: a '-' in a name does not survive clang-format there. */
RTE_INIT(vbus_log_register)
{
	vbus_logtype_core = rte_log_register_type_and_pick_level("vbus.core", RTE_LOG_NOTICE);
	vbus_logtype_vfu = rte_log_register_type_and_pick_level("vbus.vfio-user", RTE_LOG_NOTICE);
	/* A failed registration (-ENOMEM) would index out of the table of types. */
	if (vbus_logtype_core < 0)
		vbus_logtype_core = RTE_LOGTYPE_EAL;
	if (vbus_logtype_vfu < 0)
		vbus_logtype_vfu = RTE_LOGTYPE_EAL;
}
