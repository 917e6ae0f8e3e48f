/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */
#ifndef VFU_RIG_H
#define VFU_RIG_H

/* A server session with a device that notes what it is asked, and a raw client at the other end. */

#include <stdbool.h>
#include <stdint.h>

#include <CUnit/CUnit.h>

#include "vfu_proto.h"
#include "vfu_server.h"

#define RIG_BAR_SIZE 4096u

/* The device behind the session: what to answer, and what it was asked. */
struct rig_dev {
	/* answers */
	int map_rc, unmap_rc, irq_rc, reset_rc, read_rc, write_rc, io_fds_rc;
	struct vfu_region_info regions[VFU_PCI_NUM_REGIONS];
	uint32_t irq_count[VFU_PCI_NUM_IRQS];
	struct vfu_io_fd_info io_fds[VFU_MAX_IO_FDS];
	int nb_io_fds;
	uint8_t mem[RIG_BAR_SIZE]; /* region 0 */
	struct vfu_session *stop;  /* stop this session in reset */
	struct vfu_session *kill;  /* free this session in reset */
	/* questions */
	unsigned int nb_map, nb_unmap, nb_irqs, nb_reset, nb_read, nb_write, nb_closed, nb_log;
	struct vfu_dma_map map;
	int map_fd; /* owned; -1 */
	uint64_t first, last;
	struct vfu_set_irqs irqs;
	int irq_fds[VFU_MAX_FDS]; /* owned */
	uint8_t irq_bools[8];
	uint32_t region;
	uint64_t offset;
	uint32_t len;
	uint8_t data[64];
	int reason;
	char why[VFU_WHY_LEN];
};

struct rig {
	int raw; /* the client's end */
	struct vfu_session *s;
	struct vfu_session_state *state;
	struct rig_dev dev;
};

/* A message as the raw client receives it. */
struct rig_msg {
	struct vfu_header h;
	uint32_t len; /* of the payload */
	uint32_t nb_fds;
	int fds[VFU_MAX_FDS];
	uint8_t payload[VFU_MSG_MAX];
};

extern const struct vfu_ops rig_ops;

void rig_dev_init(struct rig_dev *dev);
/* Close the descriptors that the device has taken. */
void rig_dev_drop(struct rig_dev *dev);

/* A session on a socket pair; before VERSION, or after it. */
void rig_open(struct rig *rig);
void rig_open_ready(struct rig *rig);
void rig_close(struct rig *rig);

/* Send bytes with descriptors; all of them, or the test fails. */
void raw_send(int sock, const void *buf, size_t len, const int *fds, uint32_t nb_fds);

/* Send one message. */
void raw_message(int sock, uint16_t id, uint16_t command, uint32_t flags, const void *payload,
	uint32_t len, const int *fds, uint32_t nb_fds);

/* Receive one message without waiting: 1, 0 nothing is there, -1 end of stream. */
int raw_receive(int sock, struct rig_msg *msg);

/*
 * Send a command, let the session work, take the reply. Returns the errno of the reply, 0 for a
 * good one, -1 for none.
 */
int rig_call(struct rig *rig, uint16_t command, const void *payload, uint32_t len, const int *fds,
	uint32_t nb_fds, struct rig_msg *msg);

/* Open descriptors of this process: a test leaves as many as it has found. */
int count_fds(void);

/* An eventfd, a memfd of `size` bytes. */
int make_eventfd(void);
int make_memfd(uint64_t size);

/* CUnit's run: 0 all passed. */
int rig_run(void);

#endif /* VFU_RIG_H */
