// SPDX-License-Identifier: GPL-2.0-only
/* Copyright(c) 2026 vbus developers */

/*
 * Events from south (section 1.5): the queue and its interrupt, and the signals of shared blocks,
 * which arrive as events.
 *
 * A block is known to south by a cookie that is an index here: an event with a cookie that is out
 * of date, or that south made up, finds nothing. Events are handled under events_lock: whoever has
 * taken a cookie away and held the lock after that knows that no notifier of the block runs.
 *
 * Slots are found by the ring's index. What stands in a descriptor is not read.
 */

#include <linux/interrupt.h>
#include <linux/io.h>
#include <linux/jiffies.h>
#include <linux/slab.h>

#include "bridge.h"

#define VBUS_PCI_EVQ_SKEW 8U /* descriptors begin on a cache line */
#define VBUS_PCI_EVQ_LEN (VBUS_PCI_EVQ_SKEW + IOQ_RING_SIZE(VBUS_PCI_EVENTS))
#define VBUS_PCI_SLOTS_LEN (VBUS_PCI_EVENTS * sizeof(struct vbus_pci_event))

/* South answers DEVCLOSE with SHMCLOSE at once; a lost one must not stop the guest for ever. */
#define VBUS_PCI_SHMCLOSE_TIMEOUT msecs_to_jiffies(1000)

/* A block with a signal. */
struct vbus_pci_shm {
	struct vbus_shm *shm;
	struct completion closed; /* South holds the block no longer. */
};

static struct vbus_pci_shm *vbus_pci_shm_find(struct vbus_pci_bridge *br, u64 cookie)
{
	return cookie <= U32_MAX ? xa_load(&br->shms, cookie) : NULL;
}

/* events_lock is held. False: no memory, the event has to stay where it is. */
static bool vbus_pci_event(struct vbus_pci_bridge *br, const struct vbus_pci_event *ev)
{
	const u32 eventid = le32_to_cpu(READ_ONCE(ev->eventid));
	struct vbus_pci_shm *ps;

	switch (eventid) {
	case VBUS_PCI_EVENT_DEVADD:
	case VBUS_PCI_EVENT_DEVDROP:
		return vbus_pci_plug_event(br, eventid, ev);
	case VBUS_PCI_EVENT_SHMSIGNAL:
		ps = vbus_pci_shm_find(br, le64_to_cpu(READ_ONCE(ev->data.handle.handle)));
		if (ps)
			vbus_signal_wakeup(&ps->shm->signal);
		break;
	case VBUS_PCI_EVENT_SHMCLOSE:
		ps = vbus_pci_shm_find(br, le64_to_cpu(READ_ONCE(ev->data.handle.handle)));
		if (ps)
			complete(&ps->closed);
		break;
	default:
		dev_warn_ratelimited(&br->pdev->dev, "unknown event %u\n", eventid);
		break;
	}
	return true;
}

static void vbus_pci_slot_write(struct vbus_pci_bridge *br, u32 idx)
{
	struct ioq_ring_desc *desc = &br->evq.desc[idx];

	desc->ptr = cpu_to_le64(br->slots_dma + idx * sizeof(struct vbus_pci_event));
	desc->len = cpu_to_le64(sizeof(struct vbus_pci_event));
	desc->valid = 1;
}

static void vbus_pci_events_drain(struct vbus_pci_bridge *br)
{
	struct vbus_pci_signals __iomem *signals = br->signals;
	unsigned int done = 0;
	unsigned long flags;
	int idx;

	spin_lock_irqsave(&br->events_lock, flags);
	while ((idx = vbus_ioq_inuse_head(&br->evq)) >= 0) {
		if (!vbus_pci_event(br, &br->slots[idx])) {
			schedule_delayed_work(&br->retry, HZ / 20);
			break;
		}
		vbus_pci_slot_write(br, idx);
		vbus_ioq_pop_inuse(&br->evq);
		done++;
	}
	spin_unlock_irqrestore(&br->events_lock, flags);

	/* There are free slots again. Once per batch is enough. */
	if (done && vbus_signal_raise(&br->evq_sig) && !READ_ONCE(br->dead))
		iowrite32(0, &signals->eventq);
}

static void vbus_pci_events_notify(struct vbus_signal *sig)
{
	vbus_pci_events_drain(sig->priv);
}

static void vbus_pci_events_retry(struct work_struct *work)
{
	vbus_pci_events_drain(container_of(to_delayed_work(work), struct vbus_pci_bridge, retry));
}

static irqreturn_t vbus_pci_irq(int irq, void *data)
{
	struct vbus_pci_bridge *br = data;

	/* Hypervisors take an access to a BAR as the end of an interrupt by pin. */
	if (!br->pdev->msi_enabled)
		ioread32(br->signals + offsetof(struct vbus_pci_signals, pad));
	vbus_signal_wakeup(&br->evq_sig);
	return IRQ_HANDLED;
}

static int vbus_pci_shm_call(struct vbus_pci_bridge *br, struct vbus_shm *shm)
{
	struct vbus_pci_deviceshm args = {
		.devh = cpu_to_le64(shm->vdev->handle),
		.id = cpu_to_le32(shm->id),
		.len = cpu_to_le32(shm->len),
		.signal.offset = cpu_to_le32(shm->signal_offset),
		.signal.cookie = cpu_to_le64(shm->cookie),
		.datap = cpu_to_le64(shm->dma),
	};

	return vbus_pci_fastcall(br, VBUS_PCI_HC_DEVSHM, &args, sizeof(args), NULL, 0);
}

/* No event reaches the block when this returns. */
static void vbus_pci_shm_forget(struct vbus_pci_bridge *br, u32 cookie)
{
	xa_erase(&br->shms, cookie);
	/* Whoever found it before is done when the lock is ours. */
	spin_lock_irq(&br->events_lock);
	spin_unlock_irq(&br->events_lock);
}

int vbus_pci_shm_add(struct vbus_shm *shm)
{
	struct vbus_pci_bridge *br = shm->vdev->bridge;
	struct vbus_pci_shm *ps;
	int ret;

	shm->bridge = NULL;
	if (shm->signal_offset == VBUS_PCI_SHM_NO_SIGNAL)
		return vbus_pci_shm_call(br, shm);

	ps = kzalloc(sizeof(*ps), GFP_KERNEL);
	if (!ps)
		return -ENOMEM;
	ps->shm = shm;
	init_completion(&ps->closed);
	/* In turn, so that what is late for one block does not hit the next. */
	ret = xa_alloc_cyclic(&br->shms, &shm->cookie, ps, XA_LIMIT(1, U32_MAX),
			      &br->next_cookie, GFP_KERNEL);
	if (ret < 0)
		goto err_free;
	ret = vbus_pci_shm_call(br, shm);
	if (ret < 0)
		goto err_erase;
	shm->handle = ret;
	shm->bridge = ps;
	return 0;

err_erase:
	vbus_pci_shm_forget(br, shm->cookie);
err_free:
	kfree(ps);
	return ret;
}

void vbus_pci_shm_del(struct vbus_shm *shm)
{
	struct vbus_pci_bridge *br = shm->vdev->bridge;
	struct vbus_pci_shm *ps = shm->bridge;

	if (!ps)
		return;
	if (!READ_ONCE(br->dead) &&
	    !wait_for_completion_timeout(&ps->closed, VBUS_PCI_SHMCLOSE_TIMEOUT))
		dev_warn(&shm->vdev->dev, "block %u: no SHMCLOSE\n", shm->id);
	vbus_pci_shm_forget(br, shm->cookie);
	shm->bridge = NULL;
	kfree(ps);
}

void vbus_pci_events_fini(struct vbus_pci_bridge *br)
{
	struct device *dev = &br->pdev->dev;

	vbus_dma_free(dev, VBUS_PCI_SLOTS_LEN, br->slots, br->slots_dma);
	vbus_dma_free(dev, VBUS_PCI_EVQ_LEN, br->evq_mem, br->evq_dma);
	xa_destroy(&br->shms);
}

int vbus_pci_events_init(struct vbus_pci_bridge *br)
{
	struct device *dev = &br->pdev->dev;
	int idx;

	spin_lock_init(&br->events_lock);
	INIT_DELAYED_WORK(&br->retry, vbus_pci_events_retry);
	xa_init_flags(&br->shms, XA_FLAGS_ALLOC1);
	br->evq_mem = vbus_dma_alloc(dev, VBUS_PCI_EVQ_LEN, &br->evq_dma);
	if (!br->evq_mem)
		return -ENOMEM;
	br->slots = vbus_dma_alloc(dev, VBUS_PCI_SLOTS_LEN, &br->slots_dma);
	if (!br->slots) {
		vbus_dma_free(dev, VBUS_PCI_EVQ_LEN, br->evq_mem, br->evq_dma);
		return -ENOMEM;
	}

	br->evq_sig.notify = vbus_pci_events_notify;
	br->evq_sig.priv = br;
	vbus_ioq_init(&br->evq, br->evq_mem + VBUS_PCI_EVQ_SKEW, VBUS_PCI_EVENTS, &br->evq_sig);
	while ((idx = vbus_ioq_valid_tail(&br->evq)) >= 0) {
		vbus_pci_slot_write(br, idx);
		vbus_ioq_push_valid(&br->evq);
	}
	return 0;
}

int vbus_pci_events_start(struct vbus_pci_bridge *br)
{
	struct pci_dev *pdev = br->pdev;
	struct vbus_pci_busreg args = {
		.count = cpu_to_le32(VBUS_PCI_NUM_EVENTQ),
		.eventq[0] = {
			.count = cpu_to_le32(VBUS_PCI_EVENTS),
			.ring = cpu_to_le64(br->evq_dma + VBUS_PCI_EVQ_SKEW),
			.data = cpu_to_le64(br->slots_dma),
		},
	};
	int ret;

	ret = pci_alloc_irq_vectors(pdev, 1, 1, PCI_IRQ_MSI | PCI_IRQ_INTX);
	if (ret < 0)
		return ret;
	ret = request_irq(pci_irq_vector(pdev, 0), vbus_pci_irq,
			  pdev->msi_enabled ? 0 : IRQF_SHARED, pci_name(pdev), br);
	if (ret)
		goto err_vectors;
	ret = vbus_pci_bridge_call(br, VBUS_PCI_BRIDGE_QREG, &args, sizeof(args));
	if (ret)
		goto err_irq;
	vbus_signal_enable(&br->evq_sig);
	return 0;

err_irq:
	free_irq(pci_irq_vector(pdev, 0), br);
err_vectors:
	pci_free_irq_vectors(pdev);
	return ret;
}

void vbus_pci_events_stop(struct vbus_pci_bridge *br)
{
	vbus_signal_disable(&br->evq_sig);
	free_irq(pci_irq_vector(br->pdev, 0), br);
	cancel_delayed_work_sync(&br->retry);
	pci_free_irq_vectors(br->pdev);
}
