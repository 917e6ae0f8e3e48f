/* SPDX-License-Identifier: GPL-2.0-only */
/* Copyright(c) 2026 vbus developers */
#ifndef VBUS_DRV_H
#define VBUS_DRV_H

/*
 * What drivers of vbus devices, and the bridges that find the devices, share with the bus module.
 *
 *     vbus            bus type, devices and drivers, signals, rings
 *     vbus_pcibridge  finds devices behind a PCI function, and is their struct vbus_bridge_ops
 *     vbus_venet ...  drivers of one kind of device each
 *
 * Section numbers are those of doc/abi.md.
 */

#include <linux/device.h>
#include <linux/dma-mapping.h>
#include <linux/module.h>
#include <linux/spinlock.h>
#include <linux/types.h>

#include <vbus/device.h>
#include <vbus/ioq.h>
#include <vbus/pci.h>
#include <vbus/shm_signal.h>

#include "compat.h"

struct vbus_device;
struct vbus_shm;
struct vbus_signal;

/*
 * A bridge: the way to south. Calls may be made in any context, also with interrupts off: a call is
 * a port write and takes as long as south takes. They return south's result, 0 or more, or a
 * negative errno (-ENODEV once the bridge is gone).
 */
struct vbus_bridge_ops {
	/* A device call: @vector is VBUS_PCI_HC_*, @args its block of @len bytes, written back. */
	int (*call)(struct vbus_device *vdev, u32 vector, void *args, u32 len);
	/*
	 * DEVCALL. @data of @len bytes, up to VBUS_CALL_MAX, may lie anywhere (it is copied to
	 * memory that south can reach, and back); NULL with @len 0.
	 */
	int (*devcall)(struct vbus_device *vdev, u32 func, void *data, u32 len);
	/* DEVSHM of @shm, whose memory is there. Gives it handle and cookie. Process context. */
	int (*shm_add)(struct vbus_shm *shm);
	/* No notifier of @shm runs, and none will, once this returns. After DEVCLOSE. May sleep. */
	void (*shm_del)(struct vbus_shm *shm);
	/* Tell south to look at @shm: one port write. Any context. */
	void (*signal)(struct vbus_shm *shm);
};

#define VBUS_CALL_MAX 4096

/* A device that south announced. The bridge allocates it and registers it with the bus. */
struct vbus_device {
	struct device dev;	  /* parent: the bridge's */
	struct device *dma_dev;	  /* whom the DMA API is asked with: the PCI function */
	const struct vbus_bridge_ops *ops;
	void *bridge;		  /* the bridge's own */
	u32 id;			  /* wire id */
	char type[VBUS_DEVTYPE_LEN];
	char name[VBUS_DEVNAME_LEN]; /* "" when south tells none */
	u64 handle;		  /* of DEVOPEN; 0: not open */
	bool dead;		  /* south is gone: calls fail, memory stays ours */
	struct list_head shms;	  /* shared since open; process context, one owner: the driver */
};

#define to_vbus_device(d) container_of(d, struct vbus_device, dev)

struct vbus_driver {
	struct device_driver driver;
	const char *type;	  /* device type it serves; modalias "vbus:TYPE" */
	int (*probe)(struct vbus_device *vdev);	  /* the device is not open */
	void (*remove)(struct vbus_device *vdev); /* must close it: vbus_device_close() */
};

#define to_vbus_driver(d) container_of_const(d, struct vbus_driver, driver)

int __vbus_driver_register(struct vbus_driver *drv, struct module *owner);
void vbus_driver_unregister(struct vbus_driver *drv);
#define vbus_driver_register(drv) __vbus_driver_register(drv, THIS_MODULE)
#define module_vbus_driver(drv) module_driver(drv, vbus_driver_register, vbus_driver_unregister)
#define MODULE_ALIAS_VBUS(type) MODULE_ALIAS("vbus:" type)

static inline void *vbus_get_drvdata(const struct vbus_device *vdev)
{
	return dev_get_drvdata(&vdev->dev);
}

static inline void vbus_set_drvdata(struct vbus_device *vdev, void *data)
{
	dev_set_drvdata(&vdev->dev, data);
}

/* For bridges. The release function frees what @vdev is part of. */
int vbus_device_register(struct vbus_device *vdev);
void vbus_device_unregister(struct vbus_device *vdev);

/* For drivers; process context unless said otherwise. */

/* DEVOPEN. 0 or negative errno; -ENODEV: the device was taken away meanwhile. */
int vbus_device_open(struct vbus_device *vdev, u32 version);
/*
 * DEVCLOSE, and the end of every block shared since open (memory freed, signals silent). South has
 * left them when this returns. Harmless when not open.
 */
void vbus_device_close(struct vbus_device *vdev);
/* DEVCALL. Any context. Result of south (0 or more) or a negative errno. */
int vbus_device_call(struct vbus_device *vdev, u32 func, void *data, u32 len);

/*
 * A signal of a shared block, north's side of section 2. notify() runs in hard interrupt context or
 * in the context of vbus_signal_enable(), one at a time per signal, and may run without cause.
 */
struct vbus_signal {
	struct shm_signal_desc *desc;
	struct vbus_shm *shm;
	void (*notify)(struct vbus_signal *sig);
	void *priv;	 /* the driver's */
	spinlock_t lock; /* one wake-up at a time; notify() must not enable its own signal */
	bool enabled;	 /* what desc->north.enabled should say: south can write that one */
};

/* Inject: tell south, unless it does not want to know. Any context. */
void vbus_signal_inject(struct vbus_signal *sig);
/* From here on notify() runs; it may run from within. Any context. */
void vbus_signal_enable(struct vbus_signal *sig);
/* South need not tell any more; a notify() under way may still end after this. Any context. */
void vbus_signal_disable(struct vbus_signal *sig);
/* For bridges: South's SHMSIGNAL arrived. Hard interrupt context. */
void vbus_signal_wakeup(struct vbus_signal *sig);
/* For bridges: inject() without the port write; true: it is due. */
bool vbus_signal_raise(struct vbus_signal *sig);

/*
 * Coherent memory that south maps in one piece. Behind an IOMMU the DMA API would else gather
 * single pages, which lie together for the device, but not where the backend has them.
 */
static inline void *vbus_dma_alloc(struct device *dev, size_t len, dma_addr_t *dma)
{
	return dma_alloc_attrs(dev, len, dma, GFP_KERNEL | __GFP_ZERO, DMA_ATTR_FORCE_CONTIGUOUS);
}

static inline void vbus_dma_free(struct device *dev, size_t len, void *mem, dma_addr_t dma)
{
	dma_free_attrs(dev, len, mem, dma, DMA_ATTR_FORCE_CONTIGUOUS);
}

/* A block shared with south: coherent memory, zeroed, owned by the bus module. */
struct vbus_shm {
	struct list_head node;	/* vdev->shms */
	struct vbus_device *vdev;
	u32 id;			/* of the device's ABI */
	u32 len;
	void *addr;
	dma_addr_t dma;
	u32 signal_offset;	/* VBUS_PCI_SHM_NO_SIGNAL: none */
	struct vbus_signal signal;
	u32 handle;		/* the bridge's: what signal() writes */
	u32 cookie;		/* the bridge's: what SHMSIGNAL carries; never a pointer */
	bool added;
	void *bridge;		/* the bridge's own */
	void *mem;		/* what was allocated: a ring's head starts further in; or NULL */
	dma_addr_t mem_dma;
	size_t mem_len;
};

/* Memory first, to be filled; south knows of it with vbus_shm_share(). ERR_PTR on failure. */
struct vbus_shm *vbus_shm_alloc(struct vbus_device *vdev, u32 id, u32 len);
/* Memory of the driver's, coherent and in one piece, which stays the driver's after the close. */
struct vbus_shm *vbus_shm_wrap(struct vbus_device *vdev, u32 id, void *addr, dma_addr_t dma,
			       u32 len);
/* It has a signal, at @offset: said before it is shared. Not enabled yet. */
void vbus_shm_add_signal(struct vbus_shm *shm, u32 offset,
			 void (*notify)(struct vbus_signal *sig), void *priv);
/* DEVSHM. A failure leaves the block to vbus_device_close(). */
int vbus_shm_share(struct vbus_shm *shm);

/*
 * A ring, north's side of sections 3 and 4. Its functions take no lock: the driver serialises those
 * of one index. Positions are kept privately; what south can write is read once and checked, and a
 * ring that south broke answers as if it were empty or full and sets `broken`.
 */
struct vbus_ioq {
	struct ioq_ring_head *head;
	struct ioq_ring_desc *desc;
	struct vbus_shm *shm;	  /* NULL: memory of the bridge's own */
	struct vbus_signal *sig;
	u32 count;
	u32 valid_head, valid_tail, valid_used;
	u32 inuse_head, inuse_tail, inuse_used;
	bool broken;
};

/*
 * A ring of @count entries as block @id of @vdev, shared with DEVSHM at once with its signal (not
 * enabled yet). Freed by vbus_device_close(). 0 or negative errno.
 */
int vbus_ioq_create(struct vbus_ioq *q, struct vbus_device *vdev, u32 id, u32 count,
		    void (*notify)(struct vbus_signal *sig), void *priv);
/* As above without sharing: DEVSHM comes with vbus_ioq_share(), after the ring was filled. */
int vbus_ioq_alloc(struct vbus_ioq *q, struct vbus_device *vdev, u32 id, u32 count,
		   void (*notify)(struct vbus_signal *sig), void *priv);
int vbus_ioq_share(struct vbus_ioq *q);
/* For bridges: a ring in memory that is there (the event queue). @mem: IOQ_RING_SIZE(count). */
void vbus_ioq_init(struct vbus_ioq *q, void *mem, u32 count, struct vbus_signal *sig);

/*
 * The rings are driven by these four steps; each returns the descriptor's index, or -ENOBUFS when
 * there is nothing to be had. The caller fills or reads q->desc[index] between `peek` and the
 * step. "North owns it" was tested with acquire order when an index came back.
 *
 *   receive and event rings   fill:    vbus_ioq_valid_tail() .. vbus_ioq_push_valid()
 *                             consume: vbus_ioq_inuse_head() .. vbus_ioq_pop_inuse()
 *                                      (the entry is refilled in place and given back by the pop;
 *                                      valid is not touched again)
 *   transmit ring             send:    vbus_ioq_valid_tail() .. vbus_ioq_push_both()
 *                             reap:    vbus_ioq_valid_head() .. vbus_ioq_pop_valid()
 *   page ring                 fill:    vbus_ioq_inuse_tail() .. vbus_ioq_push_inuse()
 *                             reap: entries come back to north in order; inuse_tail() says -ENOBUFS
 *                             while the next one is south's
 *
 * None of them signals: vbus_signal_inject(q->sig) once per batch.
 */
int vbus_ioq_valid_tail(struct vbus_ioq *q);
void vbus_ioq_push_valid(struct vbus_ioq *q);
int vbus_ioq_inuse_head(struct vbus_ioq *q);
void vbus_ioq_pop_inuse(struct vbus_ioq *q);
void vbus_ioq_push_both(struct vbus_ioq *q);
int vbus_ioq_valid_head(struct vbus_ioq *q);
void vbus_ioq_pop_valid(struct vbus_ioq *q);
int vbus_ioq_inuse_tail(struct vbus_ioq *q);
void vbus_ioq_push_inuse(struct vbus_ioq *q);

/* Room for n more on the valid index (transmit). */
static inline u32 vbus_ioq_valid_room(const struct vbus_ioq *q)
{
	return q->count - q->valid_used;
}

#endif /* VBUS_DRV_H */
