/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */
#ifndef VBUS_HANDOVER_H
#define VBUS_HANDOVER_H

/**
 * @file
 * What vbus-keeper and a data plane say to each other (ADR-0016): fixed-size packets on a
 * SOCK_SEQPACKET UNIX socket, descriptors beside them; and what both know of a link's PCI function.
 * Free of DPDK. Any thread, one at a time per socket.
 *
 *     vbus-dp                            keeper
 *     HELLO                        ->
 *                                  <-    THING ... (what is kept, by name), HELLO (status: may it?)
 *     OPEN (path)                  ->
 *                                  <-    STATE (state file), FILE ..., SESSION (when a client is
 *                                        there), READY (status)
 *                                  <-    SESSION: a client has come
 *     PARK (descriptors of a message that is about to be taken from the socket)
 *     ENDED: the client has gone    ->
 *     CLOSE: the bus has gone       ->
 *     THING: keep these descriptors; none: forget them  ->
 */

#include <stdint.h>

#include "vfu_server.h"

#define VBUS_HO_MAGIC	  0x6f687576u /* "vuho" */
#define VBUS_HO_VERSION	  2u
#define VBUS_HO_TEXT	  160u
#define VBUS_HO_FDS	  64u /* most descriptors with a packet */
#define VBUS_HO_THING_FDS 8u  /* with a THING */

enum vbus_ho_type {
	VBUS_HO_HELLO = 1,
	VBUS_HO_OPEN,
	VBUS_HO_STATE,
	VBUS_HO_FILE,
	VBUS_HO_SESSION,
	VBUS_HO_READY,
	VBUS_HO_PARK,
	VBUS_HO_ENDED,
	VBUS_HO_CLOSE,
	VBUS_HO_THING,
};

struct vbus_ho_msg {
	uint32_t magic;
	uint16_t version;
	uint16_t type;
	uint32_t link;		/* the keeper's number of it, from STATE */
	int32_t status;		/* 0 or a negative errno, `text` says it in words */
	uint32_t state_version; /* HELLO: of the link state */
	uint32_t armed;		/* SESSION: bit i: the descriptor of irq[i] comes */
	uint64_t nr;		/* PARK: number of the message; THING: its owner's word */
	char text[VBUS_HO_TEXT];
};

/** A packet of that type, all else zero. */
struct vbus_ho_msg vbus_ho_msg(enum vbus_ho_type type, uint32_t link);

/**
 * Send; waits up to 1 s for room. The descriptors stay the caller's.
 * @return 0 or a negative errno
 */
int vbus_ho_send(int sock, const struct vbus_ho_msg *msg, const int *fds, uint32_t nb_fds);

/**
 * Receive one packet.
 * @param wait_ms  0: do not wait
 * @param fds  room for VBUS_HO_FDS; the caller's, close-on-exec
 * @return 1; 0 nothing there; -ECONNRESET the other end has gone; -EBADMSG not of this protocol;
 *         -EPROTONOSUPPORT another version of it (*msg is good); another negative errno
 */
int vbus_ho_recv(int sock, int wait_ms, struct vbus_ho_msg *msg, int *fds, uint32_t *nb_fds);

/* ---- a link's session -------------------------------------------------------------------------- */

/* The two interrupt indices that a client can arm, one vector each. */
enum vu_irq {
	VU_INTX,
	VU_MSI,
	VU_NB_IRQS
};

/** In the `vfu` area of the link state: plain data, all zeros in a new link. */
struct vu_state {
	struct vfu_session_state session;
	struct {
		int32_t fd_plus_1; /* eventfd, a number of the process that serves; 0: not armed */
		uint32_t masked;   /* INTx: by the client, or by itself after each trigger */
		uint32_t pending;  /* raised while it could not be sent */
		uint32_t pad;
		uint64_t nr; /* of the message that the descriptor came with */
	} irq[VU_NB_IRQS];
	int32_t kick_fd_plus_1;
};

struct vbus_link_state;
/** The session in a link's state. */
struct vu_state *vbus_vu_state(struct vbus_link_state *ls);

/** Regions and interrupts of the function, as struct vfu_ops wants them. 0. */
int vbus_vu_region_info(uint32_t index, struct vfu_region_info *info);
/** What stands for a store to `shmsignal` there, @p fd: 1, or 0: not in this region. */
int vbus_vu_kick_info(uint32_t index, int fd, struct vfu_io_fd_info *info);
int vbus_vu_irq_info(uint32_t index, uint32_t *flags, uint32_t *count);
/** What vfu_session_open() serves. */
struct vfu_session_conf vbus_vu_conf(const struct vfu_ops *ops, void *arg);

#endif /* VBUS_HANDOVER_H */
