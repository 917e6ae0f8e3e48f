/* SPDX-License-Identifier: (GPL-2.0-only WITH Linux-syscall-note) OR BSD-3-Clause */
/* Copyright(c) 2026 vbus developers */
#ifndef VBUS_ABI_SHM_SIGNAL_H
#define VBUS_ABI_SHM_SIGNAL_H

#include "types.h"

/*
 * shm_signal: when to interrupt the other side. doc/abi.md section 2.
 */

#define SHM_SIGNAL_MAGIC 0x58fa39dfU
#define SHM_SIGNAL_VER	 1U

/** One side's record: its owner writes `enabled`, the other side injects with `dirty`. */
struct shm_signal_irq {
	uint8_t enabled;
	uint8_t pending;
	uint8_t dirty;
};

VBUS_ASSERT_SIZE(struct shm_signal_irq, 3);
VBUS_ASSERT_OFFSET(struct shm_signal_irq, enabled, 0);
VBUS_ASSERT_OFFSET(struct shm_signal_irq, pending, 1);
VBUS_ASSERT_OFFSET(struct shm_signal_irq, dirty, 2);

/** The signal of a shared block. */
struct shm_signal_desc {
	vbus_le32 magic;
	vbus_le32 ver;
	struct shm_signal_irq north;
	struct shm_signal_irq south;
	uint8_t pad[2];
};

VBUS_ASSERT_SIZE(struct shm_signal_desc, 16);
VBUS_ASSERT_OFFSET(struct shm_signal_desc, magic, 0);
VBUS_ASSERT_OFFSET(struct shm_signal_desc, ver, 4);
VBUS_ASSERT_OFFSET(struct shm_signal_desc, north, 8);
VBUS_ASSERT_OFFSET(struct shm_signal_desc, south, 11);
VBUS_ASSERT_OFFSET(struct shm_signal_desc, pad, 14);

#endif /* VBUS_ABI_SHM_SIGNAL_H */
