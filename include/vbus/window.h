/* SPDX-License-Identifier: (GPL-2.0-only WITH Linux-syscall-note) OR BSD-3-Clause */
/* Copyright(c) 2026 vbus developers */
#ifndef VBUS_ABI_WINDOW_H
#define VBUS_ABI_WINDOW_H

#include "types.h"

/*
 * A link over nothing but a window of shared memory. doc/abi.md section 13.
 *
 * The window has two halves, A and B, each near one of the two sides. A side may serve (south) and
 * consume (north) at the same time: link A is served by side A, link B by side B. In each half lie
 * two mailboxes, which the near side reads and the far side alone writes, and two arenas, one for
 * each link, whose memory belongs to that link's north.
 */

#define VBUS_WINDOW_MAGIC   0x76777631U
#define VBUS_WINDOW_VERSION 1U

#define VBUS_WINDOW_BOX_SIZE 4096U
/** Mailboxes of a half, then arenas. */
#define VBUS_WINDOW_HEAD_SIZE 65536U
#define VBUS_WINDOW_BOX_SOUTH 0U		   /* of the near side's south */
#define VBUS_WINDOW_BOX_NORTH VBUS_WINDOW_BOX_SIZE /* of the near side's north */
/** Smallest window: two halves of which each has two arenas of 960 KiB. */
#define VBUS_WINDOW_SIZE_MIN (4U << 20)

/** High half of vbus_window_hello.irq when there is one. */
#define VBUS_WINDOW_IRQ 1U

/** Where the window is in a PCI function, which then has no BAR 0 (doc/abi.md section 13). */
#define VBUS_WINDOW_PCI_BAR 2

/** Who writes this mailbox, and whom it believes to talk to. */
struct vbus_window_hello {
	vbus_le32 magic;
	vbus_le32 version;
	vbus_le64 generation; /* the writer's; 0: nobody. Never used twice. Written last. */
	vbus_le64 peer;	      /* the reader's generation that the writer accepted; 0: none */
	vbus_le64 size;	      /* of the window, as the writer sees it */
	vbus_le64 heartbeat;  /* changes as long as the writer lives */
	/* How the reader interrupts the writer: VBUS_WINDOW_IRQ, and a number for the reader's own
	 * doorbell below. 0: it has no interrupt. */
	vbus_le64 irq;
	uint8_t pad[16];
};

VBUS_ASSERT_SIZE(struct vbus_window_hello, 64);
VBUS_ASSERT_OFFSET(struct vbus_window_hello, magic, 0);
VBUS_ASSERT_OFFSET(struct vbus_window_hello, version, 4);
VBUS_ASSERT_OFFSET(struct vbus_window_hello, generation, 8);
VBUS_ASSERT_OFFSET(struct vbus_window_hello, peer, 16);
VBUS_ASSERT_OFFSET(struct vbus_window_hello, size, 24);
VBUS_ASSERT_OFFSET(struct vbus_window_hello, heartbeat, 32);
VBUS_ASSERT_OFFSET(struct vbus_window_hello, irq, 40);

/** A bridge call (in south's mailbox) or its result (in north's). */
struct vbus_window_call {
	vbus_le64 datap;
	vbus_le32 vector;
	vbus_le32 len;
	vbus_le32 result;
	vbus_le32 pad0;
	/** Written last: number of the call in the low half, low half of north's generation above. */
	vbus_le64 tag;
	uint8_t pad1[32];
};

VBUS_ASSERT_SIZE(struct vbus_window_call, 64);
VBUS_ASSERT_OFFSET(struct vbus_window_call, datap, 0);
VBUS_ASSERT_OFFSET(struct vbus_window_call, vector, 8);
VBUS_ASSERT_OFFSET(struct vbus_window_call, len, 12);
VBUS_ASSERT_OFFSET(struct vbus_window_call, result, 16);
VBUS_ASSERT_OFFSET(struct vbus_window_call, tag, 24);

/** Doorbells: each value is compared with the last one seen. */
struct vbus_window_bells {
	vbus_le64 signal; /* from north: look at every block; from south: look at the event ring */
	uint8_t pad[56];
};

VBUS_ASSERT_SIZE(struct vbus_window_bells, 64);
VBUS_ASSERT_OFFSET(struct vbus_window_bells, signal, 0);

struct vbus_window_box {
	struct vbus_window_hello hello;
	struct vbus_window_call call;
	struct vbus_window_bells bells;
};

VBUS_ASSERT_SIZE(struct vbus_window_box, 192);
VBUS_ASSERT_OFFSET(struct vbus_window_box, hello, 0);
VBUS_ASSERT_OFFSET(struct vbus_window_box, call, 64);
VBUS_ASSERT_OFFSET(struct vbus_window_box, bells, 128);

#endif /* VBUS_ABI_WINDOW_H */
