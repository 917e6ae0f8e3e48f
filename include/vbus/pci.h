/* SPDX-License-Identifier: (GPL-2.0-only WITH Linux-syscall-note) OR BSD-3-Clause */
/* Copyright(c) 2026 vbus developers */
#ifndef VBUS_ABI_PCI_H
#define VBUS_ABI_PCI_H

#include "types.h"

/*
 * The bridge: one PCI function, its registers, calls, signals and events. doc/abi.md section 1.
 */

#define VBUS_PCI_VENDOR_ID 0x11daU
#define VBUS_PCI_DEVICE_ID 0x2000U
#define VBUS_PCI_CLASS	   0x0680U /* bridge, other */
#define VBUS_PCI_REVISION  2U	   /* the version of this ABI: never changes */

#define VBUS_PCI_BAR_REGS    0 /* memory */
#define VBUS_PCI_BAR_SIGNALS 1 /* I/O ports; not there where there are none */

/** A call: written to BAR 0, nested in SLOWCALL, or at the head of a fastcall block. */
struct vbus_pci_call_desc {
	vbus_le32 vector;
	vbus_le32 len;
	vbus_le64 datap; /* address of the argument block in north's memory */
};

VBUS_ASSERT_SIZE(struct vbus_pci_call_desc, 16);
VBUS_ASSERT_OFFSET(struct vbus_pci_call_desc, vector, 0);
VBUS_ASSERT_OFFSET(struct vbus_pci_call_desc, len, 4);
VBUS_ASSERT_OFFSET(struct vbus_pci_call_desc, datap, 8);

/** BAR 0. Reading 32 bits at offset 0 runs the call and returns its result. */
struct vbus_pci_regs {
	struct vbus_pci_call_desc bridgecall;
	uint8_t pad[48];
};

VBUS_ASSERT_SIZE(struct vbus_pci_regs, 64);
VBUS_ASSERT_OFFSET(struct vbus_pci_regs, bridgecall, 0);
VBUS_ASSERT_OFFSET(struct vbus_pci_regs, pad, 16);

/** BAR 1. What north writes here are its signals to south. */
struct vbus_pci_signals {
	vbus_le32 eventq;    /* the number of an event queue: north has consumed events */
	vbus_le32 fastcall;  /* the number of a channel */
	vbus_le32 shmsignal; /* a handle from DEVSHM */
	uint8_t pad[20];
};

VBUS_ASSERT_SIZE(struct vbus_pci_signals, 32);
VBUS_ASSERT_OFFSET(struct vbus_pci_signals, eventq, 0);
VBUS_ASSERT_OFFSET(struct vbus_pci_signals, fastcall, 4);
VBUS_ASSERT_OFFSET(struct vbus_pci_signals, shmsignal, 8);
VBUS_ASSERT_OFFSET(struct vbus_pci_signals, pad, 12);

/** With VBUS_CAP_DOORBELL a struct vbus_pci_signals lies here in BAR 0, too. */
#define VBUS_PCI_DOORBELL 2048U

/** Vectors of bridge calls. */
#define VBUS_PCI_BRIDGE_NEGOTIATE     0U
#define VBUS_PCI_BRIDGE_QREG	      1U
#define VBUS_PCI_BRIDGE_SLOWCALL      2U
#define VBUS_PCI_BRIDGE_FASTCALL_ADD  3U
#define VBUS_PCI_BRIDGE_FASTCALL_DROP 4U
#define VBUS_PCI_BRIDGE_DEVNAME	      5U /* with VBUS_CAP_DEVNAME only */

#define VBUS_PCI_MAGIC	      0xbf53eef5U
#define VBUS_PCI_CALL_VERSION 1U /* never changes: everything new is a capability */

/** Bridge capabilities (NEGOTIATE); doc/abi.md section 6 has the table of all bits. */
#define VBUS_CAP_DEVNAME  (1ULL << 0) /* the bridge call DEVNAME exists */
#define VBUS_CAP_DOORBELL (1ULL << 1) /* signals may be stored to BAR 0 */

/** NEGOTIATE: south masks the capabilities and writes the block back. */
struct vbus_pci_negotiate {
	vbus_le32 magic;
	vbus_le32 version;
	vbus_le64 capabilities;
};

VBUS_ASSERT_SIZE(struct vbus_pci_negotiate, 16);
VBUS_ASSERT_OFFSET(struct vbus_pci_negotiate, magic, 0);
VBUS_ASSERT_OFFSET(struct vbus_pci_negotiate, version, 4);
VBUS_ASSERT_OFFSET(struct vbus_pci_negotiate, capabilities, 8);

#define VBUS_PCI_NUM_EVENTQ 1U

/** One event queue of QREG. */
struct vbus_pci_eventqreg {
	vbus_le32 count; /* ring entries */
	uint8_t pad[4];
	vbus_le64 ring; /* address of a struct ioq_ring_head */
	vbus_le64 data; /* address of `count` slots of struct vbus_pci_event */
};

VBUS_ASSERT_SIZE(struct vbus_pci_eventqreg, 24);
VBUS_ASSERT_OFFSET(struct vbus_pci_eventqreg, count, 0);
VBUS_ASSERT_OFFSET(struct vbus_pci_eventqreg, pad, 4);
VBUS_ASSERT_OFFSET(struct vbus_pci_eventqreg, ring, 8);
VBUS_ASSERT_OFFSET(struct vbus_pci_eventqreg, data, 16);

/** QREG. */
struct vbus_pci_busreg {
	vbus_le32 count; /* event queues: VBUS_PCI_NUM_EVENTQ */
	uint8_t pad[4];
	struct vbus_pci_eventqreg eventq[VBUS_PCI_NUM_EVENTQ];
};

VBUS_ASSERT_SIZE(struct vbus_pci_busreg, 32);
VBUS_ASSERT_OFFSET(struct vbus_pci_busreg, count, 0);
VBUS_ASSERT_OFFSET(struct vbus_pci_busreg, pad, 4);
VBUS_ASSERT_OFFSET(struct vbus_pci_busreg, eventq, 8);

/**
 * A channel of fast calls, in north's memory. FASTCALL_ADD takes a vbus_pci_call_desc whose
 * vector is the channel, len the size of this and datap its address; FASTCALL_DROP takes the
 * channel alone.
 */
struct vbus_pci_fastcall_desc {
	struct vbus_pci_call_desc call;
	vbus_le32 result; /* a signed number: negated errno when below 0 */
	uint8_t pad[4];
};

VBUS_ASSERT_SIZE(struct vbus_pci_fastcall_desc, 24);
VBUS_ASSERT_OFFSET(struct vbus_pci_fastcall_desc, call, 0);
VBUS_ASSERT_OFFSET(struct vbus_pci_fastcall_desc, result, 16);
VBUS_ASSERT_OFFSET(struct vbus_pci_fastcall_desc, pad, 20);

/** FASTCALL_DROP. */
struct vbus_pci_fastcall_drop {
	vbus_le32 channel;
};

VBUS_ASSERT_SIZE(struct vbus_pci_fastcall_drop, 4);
VBUS_ASSERT_OFFSET(struct vbus_pci_fastcall_drop, channel, 0);

/** A backend with a limit on channels below this breaks drivers with many possible CPUs. */
#define VBUS_PCI_FASTCALL_CHANNELS 8192U

#define VBUS_DEVNAME_LEN 64U

/** DEVNAME: the name of a device, written back by south, NUL-terminated. */
struct vbus_pci_devname {
	vbus_le64 devid; /* the low 32 bits count */
	char name[VBUS_DEVNAME_LEN];
};

VBUS_ASSERT_SIZE(struct vbus_pci_devname, 72);
VBUS_ASSERT_OFFSET(struct vbus_pci_devname, devid, 0);
VBUS_ASSERT_OFFSET(struct vbus_pci_devname, name, 8);

/** Events from south. */
#define VBUS_PCI_EVENT_DEVADD	 0U
#define VBUS_PCI_EVENT_DEVDROP	 1U
#define VBUS_PCI_EVENT_SHMSIGNAL 2U
#define VBUS_PCI_EVENT_SHMCLOSE	 3U

#define VBUS_DEVTYPE_LEN 128U

/** Payload of DEVADD. */
struct vbus_pci_event_add {
	vbus_le64 id;
	char type[VBUS_DEVTYPE_LEN]; /* NUL-terminated */
};

VBUS_ASSERT_SIZE(struct vbus_pci_event_add, 136);
VBUS_ASSERT_OFFSET(struct vbus_pci_event_add, id, 0);
VBUS_ASSERT_OFFSET(struct vbus_pci_event_add, type, 8);

/** Payload of the others: a device id (DEVDROP) or the cookie of DEVSHM. */
struct vbus_pci_event_handle {
	vbus_le64 handle;
};

VBUS_ASSERT_SIZE(struct vbus_pci_event_handle, 8);
VBUS_ASSERT_OFFSET(struct vbus_pci_event_handle, handle, 0);

/** A slot of the event queue. */
struct vbus_pci_event {
	vbus_le32 eventid;
	uint8_t pad[4];
	union {
		struct vbus_pci_event_add add;
		struct vbus_pci_event_handle handle;
	} data;
};

VBUS_ASSERT_SIZE(struct vbus_pci_event, 144);
VBUS_ASSERT_OFFSET(struct vbus_pci_event, eventid, 0);
VBUS_ASSERT_OFFSET(struct vbus_pci_event, pad, 4);
VBUS_ASSERT_OFFSET(struct vbus_pci_event, data, 8);

#endif /* VBUS_ABI_PCI_H */
