/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * Interrupts across a window (ADR-0018). An interrupt carries nothing: it makes the timer due that looks
 * into the mailbox anyway, so one that is lost costs the time until that timer, and one too many a look.
 * The number by which the peer wants to be rung is written to our own doorbell, and nowhere else.
 *
 * Threads: control lock held everywhere but in vbus_window_irq_ring(), which lcores call. What that uses
 * (ring_fd, ring_off) stays from open to close; of ring it believes any value.
 */

#include <unistd.h>

#include <rte_atomic.h>

#include "evsignal.h"
#include "vbus_ctl.h"
#include "vbus_peer.h"
#include "vbus_window.h"

void
vbus_window_irq_aim(struct vbus_window *w)
{
	struct vbus_window_irq *q = &w->irq;
	uint64_t ring = 0;

	if (q->own != 0 && w->peer != 0)
		ring = vbus_peer_load64(&w->in->hello.irq);
	if (ring >> 32 != VBUS_WINDOW_IRQ ||
		(q->server != NULL && !vbus_ivshmem_aim(q->server, (uint32_t)ring)))
		ring = 0;
	/* The descriptor comes first. Who has read the old value may ring the new peer: once too often. */
	atomic_store_explicit(&q->ring, ring, memory_order_release);
}

void
vbus_window_irq_came(struct vbus_window *w)
{
	struct vbus_window_irq *q = &w->irq;

	q->nb_irqs++;
	q->heard = w->peer != 0;
	/* Not armed: it is looked when the bus's own timer says so. */
	if (q->poll != NULL && q->poll->armed)
		vbus_ctl_timer_arm(q->poll, 0);
}

void
vbus_window_irq_ring(struct vbus_window *w)
{
	struct vbus_window_irq *q = &w->irq;
	uint64_t ring = atomic_load_explicit(&q->ring, memory_order_acquire);
	const uint32_t number = (uint32_t)ring;

	if (ring == 0)
		return;
	rte_wmb(); /* out of write-combining buffers first */
	atomic_fetch_add_explicit(&q->nb_rings, 1, memory_order_relaxed);
	if (q->ring_off < 0)
		(void)vbus_eventfd_signal(q->ring_fd);
	else if (pwrite(q->ring_fd, &number, sizeof(number), (off_t)q->ring_off) < 0)
		return; /* the function is gone: it will show */
}

void
vbus_window_irq_off(struct vbus_window *w)
{
	w->irq.own = 0;
	w->irq.heard = false;
	atomic_store_explicit(&w->irq.ring, 0, memory_order_relaxed);
}
