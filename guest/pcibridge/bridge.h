/* SPDX-License-Identifier: GPL-2.0-only */
/* Copyright(c) 2026 vbus developers */
#ifndef VBUS_PCIBRIDGE_H
#define VBUS_PCIBRIDGE_H

/*
 * What the files of the PCI bridge share.
 *
 *     pci.c     the function: probe, remove, shutdown
 *     call.c    bridge calls and fast calls
 *     event.c   the event queue, its interrupt, the signals of shared blocks
 *     plug.c    devices that come and go, on a work queue
 *     device.c  what the devices see of the bridge: struct vbus_bridge_ops
 *
 * Locks, outer first: evq_sig.lock, events_lock, a block's signal.lock; plug_lock and setup_lock
 * are taken last. Calls of devices take none: their channel belongs to the processor.
 */

#include <linux/completion.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/refcount.h>
#include <linux/spinlock.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>

#include "vbus_drv.h"

#define VBUS_PCI_EVENTS 1024U

/* Largest argument block of a device call, and of a bridge call. */
#define VBUS_PCI_ARGS_MAX 128U

/* A channel of fast calls in memory that south reads: call, its block, the data the block names. */
struct vbus_pci_channel_mem {
	struct vbus_pci_fastcall_desc desc;
	u8 pad[40];
	u8 args[VBUS_PCI_ARGS_MAX];
	u8 data[VBUS_CALL_MAX];
};

struct vbus_pci_channel {
	struct vbus_pci_channel_mem *mem;
	dma_addr_t dma;
};

struct vbus_pci_bridge {
	struct pci_dev *pdev;
	void __iomem *regs;	/* BAR 0 */
	void __iomem *ports;	/* BAR 1, or NULL: there is none */
	void __iomem *signals;	/* the doorbell in BAR 0; without VBUS_CAP_DOORBELL the ports */
	u64 caps;		/* negotiated */
	bool dead;		/* south does not answer any more, or is not to be asked */

	struct mutex setup_lock; /* one bridge call at a time */
	void *setup;		 /* its argument block */
	dma_addr_t setup_dma;
	struct vbus_pci_channel *channels; /* per possible processor */

	struct vbus_ioq evq;
	struct vbus_signal evq_sig;
	void *evq_mem;
	dma_addr_t evq_dma;
	struct vbus_pci_event *slots;
	dma_addr_t slots_dma;
	spinlock_t events_lock;	   /* events are handled; see vbus_pci_shm_del() */
	struct delayed_work retry; /* there was no memory for an event */
	struct xarray shms;	   /* blocks with a signal, by cookie */
	u32 next_cookie;

	struct workqueue_struct *plug_wq;
	struct work_struct plug_work;
	spinlock_t plug_lock;	    /* the three below */
	struct list_head plug_queue;
	bool plug_stopped;
	struct list_head devices;   /* registered; the work's, and remove's after it */
	refcount_t users;	    /* devices whose memory is there, and the bridge itself */
	struct completion unused;   /* no users */
};

/* call.c */
int vbus_pci_calls_init(struct vbus_pci_bridge *br);
void vbus_pci_calls_fini(struct vbus_pci_bridge *br);
int vbus_pci_negotiate(struct vbus_pci_bridge *br, u64 caps);
int vbus_pci_channels_init(struct vbus_pci_bridge *br);
void vbus_pci_channels_fini(struct vbus_pci_bridge *br);
/* Process context. @args may lie anywhere and is written back. */
int vbus_pci_bridge_call(struct vbus_pci_bridge *br, u32 vector, void *args, u32 len);
/* Any context. @data: as that of vbus_bridge_ops.devcall; @args then is a vbus_pci_devicecall. */
int vbus_pci_fastcall(struct vbus_pci_bridge *br, u32 vector, void *args, u32 len, void *data,
		      u32 data_len);

/* device.c */
extern const struct vbus_bridge_ops vbus_pci_ops;

/* event.c */
int vbus_pci_events_init(struct vbus_pci_bridge *br);
int vbus_pci_events_start(struct vbus_pci_bridge *br);
void vbus_pci_events_stop(struct vbus_pci_bridge *br);
void vbus_pci_events_fini(struct vbus_pci_bridge *br);
int vbus_pci_shm_add(struct vbus_shm *shm);
void vbus_pci_shm_del(struct vbus_shm *shm);

/* plug.c */
int vbus_pci_plug_init(struct vbus_pci_bridge *br);
/* DEVADD or DEVDROP. Any context; false: no memory now. */
bool vbus_pci_plug_event(struct vbus_pci_bridge *br, u32 eventid, const struct vbus_pci_event *ev);
/* No device comes or goes by itself when this returns. */
void vbus_pci_plug_stop(struct vbus_pci_bridge *br);
void vbus_pci_plug_fini(struct vbus_pci_bridge *br);
/* South does not answer. Any context. */
void vbus_pci_mark_dead(struct vbus_pci_bridge *br);

#endif /* VBUS_PCIBRIDGE_H */
