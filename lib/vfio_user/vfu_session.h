/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */
#ifndef VFU_SESSION_H
#define VFU_SESSION_H

/* Inside of a server session; internal to lib/vfio_user. */

#include <stdbool.h>

#include "vfu_server.h"

/* The answer to the command being served: reserved in tx, sent when its handler returns 0. */
struct vfu_answer {
	uint8_t *payload; /* NULL: header only */
	uint32_t len;	  /* of the payload */
	uint32_t nb_fds;
	int fds[VFU_MAX_IO_FDS]; /* borrowed from the owner */
};

struct vfu_session {
	int sock;
	int over;      /* why it is over, 0: it is not */
	bool running;  /* in vfu_session_process(): operations may call back */
	bool freed;    /* vfu_session_free() came while running */
	bool told;     /* closed() was called */
	bool deferred; /* an operation cannot be done now: the message stays */
	bool replied;  /* the message at hand has its reply in tx */
	uint32_t nb_logged;
	struct vfu_session_conf conf;
	struct vfu_session_state *st;
	uint64_t region_size[VFU_MAX_REGIONS];
	uint32_t region_flags[VFU_MAX_REGIONS];
	struct vfu_answer answer;
	char why[VFU_WHY_LEN];
};

/* The peer fills no log: so many lines per session, then counters only. */
#define VFU_SESSION_LOG_LINES 32u

void vfu_session_log(struct vfu_session *s, enum vfu_log_level level, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* The session ends as soon as the command at hand is answered. The first reason stays. */
void vfu_session_end(struct vfu_session *s, int reason, const char *why);

/* Room for the payload of the answer, not cleared. NULL: the peer does not read its replies. */
void *vfu_session_answer(struct vfu_session *s, uint32_t len);

/* Serve the message in rx and queue the reply. */
void vfu_session_dispatch(struct vfu_session *s);

/*
 * Handlers of commands, see the table in vfu_dispatch.c: 0 (the answer, if any, is in s->answer),
 * or a negative errno for the error reply.
 */
typedef int (*vfu_handler_t)(struct vfu_session *s, const uint8_t *payload, uint32_t len);

int vfu_on_version(struct vfu_session *s, const uint8_t *payload, uint32_t len);
int vfu_on_dma_map(struct vfu_session *s, const uint8_t *payload, uint32_t len);
int vfu_on_dma_unmap(struct vfu_session *s, const uint8_t *payload, uint32_t len);
int vfu_on_device_info(struct vfu_session *s, const uint8_t *payload, uint32_t len);
int vfu_on_region_info(struct vfu_session *s, const uint8_t *payload, uint32_t len);
int vfu_on_region_io_fds(struct vfu_session *s, const uint8_t *payload, uint32_t len);
int vfu_on_irq_info(struct vfu_session *s, const uint8_t *payload, uint32_t len);
int vfu_on_set_irqs(struct vfu_session *s, const uint8_t *payload, uint32_t len);
int vfu_on_region_read(struct vfu_session *s, const uint8_t *payload, uint32_t len);
int vfu_on_region_write(struct vfu_session *s, const uint8_t *payload, uint32_t len);
int vfu_on_region_multi(struct vfu_session *s, const uint8_t *payload, uint32_t len);
int vfu_on_reset(struct vfu_session *s, const uint8_t *payload, uint32_t len);

/* A region as its owner describes it, made consistent: absent where nothing can be said. */
void vfu_session_region(struct vfu_session *s, uint32_t index, struct vfu_region_info *info);

#endif /* VFU_SESSION_H */
