/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */
#include <rte_trace_point_register.h>

#include "vbus_pmd_trace.h"

RTE_TRACE_POINT_REGISTER(vbus_pmd_trace_probe, pmd.net.vbus.probe)
RTE_TRACE_POINT_REGISTER(vbus_pmd_trace_link, pmd.net.vbus.link)
RTE_TRACE_POINT_REGISTER(vbus_pmd_trace_session_up, pmd.net.vbus.session.up)
RTE_TRACE_POINT_REGISTER(vbus_pmd_trace_session_down, pmd.net.vbus.session.down)
RTE_TRACE_POINT_REGISTER(vbus_pmd_trace_device, pmd.net.vbus.device)
