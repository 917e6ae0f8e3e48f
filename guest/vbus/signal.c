// SPDX-License-Identifier: GPL-2.0-only
/* Copyright(c) 2026 vbus developers */

/*
 * shm_signal, north's side: when to interrupt south, and what to do when south interrupts.
 *
 * The barriers are virt_*: south is another processor of the host, also where this kernel has one
 * only. Each pair is "store mine, then look at yours" on both sides; the letters are those of the
 * backend's vbus_signal.h. South can write all of the descriptor; what it can spoil that way is
 * when notify() runs, which it can anyway.
 */

#include "shm.h"
#include "vbus_drv.h"

void vbus_signal_init(struct vbus_signal *sig, struct shm_signal_desc *desc)
{
	memset(desc, 0, sizeof(*desc));
	desc->magic = cpu_to_le32(SHM_SIGNAL_MAGIC);
	desc->ver = cpu_to_le32(SHM_SIGNAL_VER);
	sig->desc = desc;
	sig->enabled = false;
	spin_lock_init(&sig->lock);
}

bool vbus_signal_raise(struct vbus_signal *sig)
{
	struct shm_signal_irq *south = &sig->desc->south;

	/* D: the ring's entries are visible to whoever sees dirty. */
	virt_store_release(&south->dirty, 1);
	/* P, E: dirty is visible before pending and enabled are read. */
	virt_mb();
	if (!READ_ONCE(south->enabled) || READ_ONCE(south->pending))
		return false;
	WRITE_ONCE(south->pending, 1);
	return true;
}
EXPORT_SYMBOL_GPL(vbus_signal_raise);

void vbus_signal_inject(struct vbus_signal *sig)
{
	if (vbus_signal_raise(sig))
		sig->shm->vdev->ops->signal(sig->shm);
}
EXPORT_SYMBOL_GPL(vbus_signal_inject);

static bool vbus_signal_is_raised(const struct shm_signal_irq *north)
{
	return READ_ONCE(north->dirty) || READ_ONCE(north->pending);
}

/*
 * Rounds are not limited: each has seen an injection, and a south that injects for ever could as
 * well stop this processor.
 */
static void vbus_signal_run(struct vbus_signal *sig)
{
	struct shm_signal_irq *north = &sig->desc->north;

	while (READ_ONCE(sig->enabled) && vbus_signal_is_raised(north)) {
		do {
			WRITE_ONCE(north->dirty, 0);
			/* D: dirty is cleared before notify() looks at the ring. */
			virt_mb();
			sig->notify(sig);
		} while (READ_ONCE(sig->enabled) && READ_ONCE(north->dirty));
		WRITE_ONCE(north->pending, 0);
		/* P: pending is cleared before dirty is looked at once more. */
		virt_mb();
	}
}

void vbus_signal_wakeup(struct vbus_signal *sig)
{
	unsigned long flags;

	/* A bridge's own signal wakes those of its devices up from within its notify(). */
	spin_lock_irqsave_nested(&sig->lock, flags, sig->shm ? 0 : SINGLE_DEPTH_NESTING);
	vbus_signal_run(sig);
	spin_unlock_irqrestore(&sig->lock, flags);
}
EXPORT_SYMBOL_GPL(vbus_signal_wakeup);

void vbus_signal_enable(struct vbus_signal *sig)
{
	struct shm_signal_irq *north = &sig->desc->north;

	WRITE_ONCE(sig->enabled, true);
	WRITE_ONCE(north->enabled, 1);
	/* E: enabled is visible before dirty is read. */
	virt_mb();
	if (vbus_signal_is_raised(north))
		vbus_signal_wakeup(sig);
}
EXPORT_SYMBOL_GPL(vbus_signal_enable);

void vbus_signal_disable(struct vbus_signal *sig)
{
	/* No barrier: one interrupt too many does no harm. */
	WRITE_ONCE(sig->enabled, false);
	WRITE_ONCE(sig->desc->north.enabled, 0);
}
EXPORT_SYMBOL_GPL(vbus_signal_disable);
