/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */
#ifndef VFU_CLIENT_PRIV_H
#define VFU_CLIENT_PRIV_H

/* Inside of a client; internal to lib/vfio_user. */

#include <stdbool.h>

#include "vfu_client.h"
#include "vfu_io.h"

/* A request from the moment it is queued until it completes; one allocation. */
struct vfu_request {
	struct vfu_request *next;
	struct vfu_call call;
	uint16_t id;
	uint16_t command;
	bool no_reply;	  /* completes when it is sent */
	bool again;	  /* second GET_REGION_INFO */
	bool is_reject;	  /* not a request: the answer to one of the server's */
	uint32_t index;	  /* region or irq asked about, region accessed */
	uint32_t count;	  /* data bytes of a read */
	uint64_t offset;  /* of a read */
	uint32_t expect;  /* bytes of the reply, about; 0: none */
	uint32_t len;	  /* bytes of the message */
	uint32_t sent;	  /* how many of them have left */
	uint32_t nb_fds;  /* that leave with the first byte */
	const int *fds;	  /* behind the message, borrowed descriptors */
	uint8_t *payload; /* behind the header */
	uint8_t msg[];
};

struct vfu_request_list {
	struct vfu_request *first;
	struct vfu_request **last;
};

struct vfu_client {
	int sock;
	int over;     /* why the connection is over, 0: it is not */
	bool running; /* callbacks may be on the stack */
	bool freed;   /* vfu_client_free() came while running */
	bool told;    /* closed() was called */
	bool negotiated;
	bool stalled;	   /* too many descriptors in flight: wait for answers or stall_ns */
	bool deadline_old; /* deadline_ns must be computed anew */
	uint16_t next_id;
	uint32_t nb_requests; /* in both lists, rejects not counted */
	uint32_t nb_rejects;
	uint32_t in_flight; /* bytes of replies that the server owes us */
	uint64_t now_ns;    /* of the last vfu_client_process() */
	uint64_t stall_ns;
	uint64_t deadline_ns; /* the earliest */
	const struct vfu_client_ops *ops;
	void *arg;
	struct vfu_request_list unsent;
	struct vfu_request_list waiting; /* sent, unanswered */
	struct vfu_caps caps;
	struct vfu_rx rx;
	char why[VFU_WHY_LEN];
};

/* The connection ends at the end of this vfu_client_process(). The first reason stays. */
void vfu_client_end(struct vfu_client *c, int reason, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/*
 * Make a request with payload room of `len` bytes (cleared) and nb_fds descriptors, not queued yet.
 * NULL and *error.
 */
struct vfu_request *vfu_client_new(struct vfu_client *c, uint16_t command, uint32_t len,
	const int *fds, uint32_t nb_fds, int *error);

/* Queue it. `call` NULL: nobody is told. */
void vfu_client_queue(struct vfu_client *c, struct vfu_request *req, const struct vfu_call *call);

/* The good reply to a request, in c->rx: check it and complete, or ask again. */
void vfu_client_answered(struct vfu_client *c, struct vfu_request *req);

/* Call done(). */
void vfu_client_complete(
	struct vfu_client *c, struct vfu_request *req, int status, const struct vfu_reply *reply);

const char *vfu_client_command_name(uint16_t command);

#endif /* VFU_CLIENT_PRIV_H */
