/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */
#ifndef VBUS_PMD_TRACE_H
#define VBUS_PMD_TRACE_H

/**
 * @file
 * Trace points on the PMD's control edges (rte_trace, CTF): --trace=pmd.net.vbus.*; none on a burst's
 * way. Each costs a load and a branch while it is off.
 */

#include <stdint.h>

#include <rte_trace_point.h>

/* clang-format off */

/** A port was probed. @p end 0: north, 1: south, 2: in a secondary process */
RTE_TRACE_POINT(
	vbus_pmd_trace_probe, RTE_TRACE_POINT_ARGS(const char *name, uint16_t port_id, uint8_t end),
	rte_trace_point_emit_string(name);
	rte_trace_point_emit_u16(port_id);
	rte_trace_point_emit_u8(end);
)
/** The application is told of a link change. */
RTE_TRACE_POINT(
	vbus_pmd_trace_link, RTE_TRACE_POINT_ARGS(uint16_t port_id, uint8_t up),
	rte_trace_point_emit_u16(port_id);
	rte_trace_point_emit_u8(up);
)
/** North: a session began (@p status 0, the rings it runs on) or could not (negative errno). */
RTE_TRACE_POINT(
	vbus_pmd_trace_session_up,
	RTE_TRACE_POINT_ARGS(uint16_t port_id, int32_t status, uint8_t rx_path, uint8_t tx_path),
	rte_trace_point_emit_u16(port_id);
	rte_trace_point_emit_i32(status);
	rte_trace_point_emit_u8(rx_path);
	rte_trace_point_emit_u8(tx_path);
)
/** North: it ended. */
RTE_TRACE_POINT(
	vbus_pmd_trace_session_down, RTE_TRACE_POINT_ARGS(uint16_t port_id, uint8_t peer_there),
	rte_trace_point_emit_u16(port_id);
	rte_trace_point_emit_u8(peer_there);
)
/** North: what the bus told of the device: 0 dropped, 1 peer lost, 2 peer back. */
RTE_TRACE_POINT(
	vbus_pmd_trace_device, RTE_TRACE_POINT_ARGS(uint16_t port_id, uint8_t event),
	rte_trace_point_emit_u16(port_id);
	rte_trace_point_emit_u8(event);
)

/* clang-format on */

#endif /* VBUS_PMD_TRACE_H */
