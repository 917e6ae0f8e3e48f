/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */
#ifndef VBUS_VFIO_USER_PRIV_H
#define VBUS_VFIO_USER_PRIV_H

/**
 * @file
 * Inside of the vfio-user connector: vfio_user.c, and vfio_user_kept.c for links that a keeper holds
 * (ADR-0016). Control lock held throughout.
 */

#include <stdbool.h>
#include <stdint.h>

#include "keeper_client.h"
#include "vbus_core.h"
#include "vbus_ctl.h"
#include "vbus_log.h"
#include "vfu_server.h"

struct vu {
	struct vbus_bus *bus;
	struct vu_state *st;	       /* in the link state */
	struct vfu_listener *listener; /* NULL: the keeper has it (ADR-0016) */
	struct kept_link kept;
	bool is_kept; /* `kept` is known to the keeper */
	bool redo;    /* the message at hand was served before, perhaps: by a process that died */
	char path[VBUS_HO_TEXT];
	struct vbus_ctl_fd *listen_watch;
	struct vfu_session *session; /* NULL: nobody there */
	struct vbus_ctl_fd *session_watch;
	uint32_t session_events; /* what session_watch waits for */
	struct vbus_ctl_fd *kick_watch;
	struct vfu_peer peer; /* of session */
	bool batch;	      /* maps since the last publication (vu_settle()) */
	struct vbus_log_limit log_limit;
};

/* vfio_user.c */
extern const struct vfu_ops vbus_vu_ops;
void vbus_vu_session_end(struct vu *u, const char *why);
/** Serve what is there; may end the session. */
void vbus_vu_serve(struct vu *u);
void vbus_vu_session_event(int fd, uint32_t events, void *arg);
void vbus_vu_kicked(int fd, uint32_t events, void *arg);
void vbus_vu_intx_again(struct vu *u);
/** vbus_connector_ops.irq */
void vbus_vu_irq_raise(void *arg);

/* vfio_user_kept.c */
/** The link and its client, as the process before left them. @return 0 or a negative errno, said */
int vbus_vu_kept_begin(struct vu *u, const char *path, char *err, size_t err_size);
/** For a successor, after it was mapped. @return @p ret, unless that is undone by what is noted */
int vbus_vu_region_note(struct vu *u, const struct vfu_dma_map *map, int fd, int ret);

#endif /* VBUS_VFIO_USER_PRIV_H */
