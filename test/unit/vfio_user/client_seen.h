/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */
#ifndef CLIENT_SEEN_H
#define CLIENT_SEEN_H

/* Callbacks of a client under test, which note what they see. */

#include "vfu_client.h"
#include "vfu_rig.h"

/* What a callback has seen. */
struct seen {
	unsigned int nb;
	int status;
	struct vfu_caps caps;
	struct vfu_device_info device;
	struct vfu_region_info region;
	struct vfu_irq_info irq;
	struct vfu_io_fd io_fds[VFU_MAX_IO_FDS];
	uint32_t nb_io_fds;
	uint8_t data[4096];
	uint32_t len;
	uint32_t nb_fds;
	int fd;		    /* taken */
	unsigned int order; /* the how-manieth of all */
	bool free_it, ask_again;
};

extern struct vfu_client *client;
extern struct seen seen;
extern unsigned int nb_done, nb_closed;
extern int closed_reason;
extern bool free_when_closed;

/* Operations, and a call without a deadline that fills `seen`. */
extern const struct vfu_client_ops seen_ops;
extern const struct vfu_call call;

/* arg: struct seen. */
void on_done(void *arg, int status, const struct vfu_reply *reply);

/* Forget everything. */
void seen_reset(void);

#endif /* CLIENT_SEEN_H */
