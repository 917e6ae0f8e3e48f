/* SPDX-License-Identifier: (GPL-2.0-only WITH Linux-syscall-note) OR BSD-3-Clause */
/* Copyright(c) 2026 vbus developers */
#ifndef VBUS_ABI_SERIAL_H
#define VBUS_ABI_SERIAL_H

#include "shm_signal.h"
#include "types.h"

/*
 * serial: ports and consoles. doc/abi.md section 9.
 */

#define VSERIAL_TYPE	"virtual-serial"
#define VSERIAL_VERSION 1U

/** Shared blocks. */
#define VSERIAL_BLOCK_IN    0U /* receive ring: bytes to north */
#define VSERIAL_BLOCK_OUT   1U /* transmit ring: bytes from north */
#define VSERIAL_BLOCK_STATE 2U /* struct vserial_state */

/** Functions (DEVCALL). */
#define VSERIAL_FUNC_CONFIG 0U /* struct vserial_config out */
#define VSERIAL_FUNC_START  1U
#define VSERIAL_FUNC_STOP   2U
#define VSERIAL_FUNC_WRITE  3U /* 1 to VSERIAL_WRITE_MAX bytes; the result: how many were taken */

#define VSERIAL_RING_MAX   1024U  /* entries of either ring */
#define VSERIAL_BUFFER_MAX 65536U /* bytes of an entry */
#define VSERIAL_WRITE_MAX  4096U

/** An entry's len: bytes in the low half; the bit says that a break came before the first byte. */
#define VSERIAL_LEN_MASK  0xffffffffULL
#define VSERIAL_LEN_BREAK (1ULL << 32)

/** CONFIG: what south takes. */
struct vserial_config {
	vbus_le32 features; /* none is defined: 0 */
	vbus_le32 ring_max;
	vbus_le32 buffer_max;
	vbus_le32 write_max;
	uint8_t pad[16];
};

VBUS_ASSERT_SIZE(struct vserial_config, 32);
VBUS_ASSERT_OFFSET(struct vserial_config, features, 0);
VBUS_ASSERT_OFFSET(struct vserial_config, ring_max, 4);
VBUS_ASSERT_OFFSET(struct vserial_config, buffer_max, 8);
VBUS_ASSERT_OFFSET(struct vserial_config, write_max, 12);
VBUS_ASSERT_OFFSET(struct vserial_config, pad, 16);

/** vserial_south.flags */
#define VSERIAL_SOUTH_CARRIER (1U << 0) /* somebody is attached on the host's side */

/** vserial_north.flags */
#define VSERIAL_NORTH_DTR (1U << 0) /* the port is open */
#define VSERIAL_NORTH_RTS (1U << 1)

/** South's line of the state block. */
struct vserial_south {
	vbus_le32 seq; /* odd while south writes, section 8.3 */
	vbus_le32 flags;
	vbus_le16 rows; /* of the terminal; 0: not known */
	vbus_le16 cols;
	vbus_le16 xpixel;
	vbus_le16 ypixel;
	vbus_le32 hangups; /* times that the carrier was lost */
	uint8_t pad[44];
};

VBUS_ASSERT_SIZE(struct vserial_south, 64);
VBUS_ASSERT_OFFSET(struct vserial_south, seq, 0);
VBUS_ASSERT_OFFSET(struct vserial_south, flags, 4);
VBUS_ASSERT_OFFSET(struct vserial_south, rows, 8);
VBUS_ASSERT_OFFSET(struct vserial_south, cols, 10);
VBUS_ASSERT_OFFSET(struct vserial_south, xpixel, 12);
VBUS_ASSERT_OFFSET(struct vserial_south, ypixel, 14);
VBUS_ASSERT_OFFSET(struct vserial_south, hangups, 16);
VBUS_ASSERT_OFFSET(struct vserial_south, pad, 20);

/** North's line. */
struct vserial_north {
	vbus_le32 flags;
	uint8_t pad[60];
};

VBUS_ASSERT_SIZE(struct vserial_north, 64);
VBUS_ASSERT_OFFSET(struct vserial_north, flags, 0);
VBUS_ASSERT_OFFSET(struct vserial_north, pad, 4);

/** The state block. */
struct vserial_state {
	struct shm_signal_desc signal;
	uint8_t pad[48];
	struct vserial_south south;
	struct vserial_north north;
};

VBUS_ASSERT_SIZE(struct vserial_state, 192);
VBUS_ASSERT_OFFSET(struct vserial_state, signal, 0);
VBUS_ASSERT_OFFSET(struct vserial_state, pad, 16);
VBUS_ASSERT_OFFSET(struct vserial_state, south, 64);
VBUS_ASSERT_OFFSET(struct vserial_state, north, 128);

#endif /* VBUS_ABI_SERIAL_H */
