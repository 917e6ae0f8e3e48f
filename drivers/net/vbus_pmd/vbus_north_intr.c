/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * Receive interrupts: one eventfd, the same for the life of the port, whatever the peer does. South's
 * signal of the receive ring makes it readable.
 *
 * Threads: enable and disable on any thread, lock-free (they are called between bursts); `side` counts
 * them for the control side, as the mark does for bursts. Notify runs on the control thread, resume
 * with the port's lock.
 */
#include "vbus_north.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <rte_errno.h>

static void
close_all(struct north_local *l)
{
	for (uint32_t i = 0; i < l->port->max_pairs; i++)
		if (l->intr_fd[i] >= 0)
			close(l->intr_fd[i]);
}

int
north_intr_init(struct north_local *l)
{
	int ret = 0;

	for (uint32_t i = 0; i < l->port->max_pairs; i++)
		l->intr_fd[i] = -1;
	for (uint32_t i = 0; i < l->port->max_pairs && ret == 0; i++) {
		l->intr_fd[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		ret = l->intr_fd[i] < 0 ? -errno : 0;
	}
	if (ret == 0) {
		l->intr = vbus_pmd_intr_create(l->intr_fd, l->port->max_pairs);
		if (l->intr == NULL)
			ret = rte_errno != 0 ? -rte_errno : -ENOMEM;
	}
	if (ret < 0) {
		close_all(l);
		return ret;
	}
	l->eth->intr_handle = l->intr;
	return 0;
}

void
north_intr_fini(struct north_local *l)
{
	l->eth->intr_handle = NULL;
	vbus_pmd_intr_free(l->intr);
	close_all(l);
}

static void
intr_raise(int fd)
{
	/* Full means readable already, and nothing else can go wrong. */
	if (eventfd_write(fd, 1) != 0)
		return;
}

/* Post what waits for a batch: taken and not posted again, it looks to south like frames that nobody
 * takes, and its slow look would wake us for them for ever.
 */
static void
intr_post_all(struct north_rxq *q, int path)
{
	uint32_t posted = 0;

	if (path == NORTH_RX_POLL) {
		posted = north_poll_refill(q, 1);
	} else if (path == NORTH_RX_FAR) {
		posted = north_far_refill(q);
	} else if (path == NORTH_RX_LINEAR) {
		posted = north_rx_refill(q);
	} else if (path == NORTH_RX_L4RO) {
		north_l4ro_refill_pages(q);
		posted = north_l4ro_refill(q);
	}
	if (posted > 0)
		north_signal(&q->sig, q->shm, &q->stats.signals);
}

/* South is to signal from now on; what came before is not lost. Path published. */
static bool
intr_frames_wait(const struct north_rxq *q, int path)
{
	if (path < NORTH_RX_POLL)
		return vbus_ioq_north_ready_count(&q->ring, 1) > 0;
	/* South looks at `enabled` without a fence: have its CPU pass one (doc/abi.md 12.4). */
	vbus_mark_fence();
	return vbus_poll_north_is_ready(&q->poll, 0);
}

static void
intr_arm(struct north_rxq *q, int path)
{
	intr_post_all(q, path);
	vbus_signal_take(&q->sig);
	/* The signal's own `dirty` says nothing about a south that saw us polling: look at the ring,
	 * after the fence in vbus_signal_enable() (partner: the fence of south's inject).
	 */
	if (vbus_signal_enable(&q->sig) || intr_frames_wait(q, path))
		intr_raise(q->intr_fd);
}

/* May the ring's signal be touched? seq_cst: side is visible before path is read. Partner: unpublish(),
 * which takes path away, has a full fence and then waits for side.
 */
static bool
side_enter(struct north_rxq *q)
{
	atomic_fetch_add(&q->side, 1);
	return atomic_load(&q->path) != NORTH_RX_OFF;
}

static void
side_leave(struct north_rxq *q)
{
	atomic_fetch_sub_explicit(&q->side, 1, memory_order_release);
}

int
north_rx_intr_enable(struct rte_eth_dev *dev, uint16_t qid)
{
	struct north_rxq *q = dev->data->rx_queues[qid];
	int path;

	/* seq_cst with the load of path: north_intr_resume() stores path and loads this. One of the two
	 * arms the signal, or both.
	 */
	atomic_store(&q->intr_on, true);
	vbus_mark_enter(&q->mark);
	path = atomic_load(&q->path);
	if (path != NORTH_RX_OFF)
		intr_arm(q, path);
	vbus_mark_leave(&q->mark);
	return 0;
}

int
north_rx_intr_disable(struct rte_eth_dev *dev, uint16_t qid)
{
	struct north_rxq *q = dev->data->rx_queues[qid];

	atomic_store(&q->intr_on, false);
	if (side_enter(q))
		vbus_signal_disable(&q->sig);
	side_leave(q);
	return 0;
}

void
north_intr_resume(struct north_rxq *q)
{
	atomic_thread_fence(
		memory_order_seq_cst); /* path before intr_on: see north_rx_intr_enable() */
	if (!atomic_load(&q->intr_on))
		return;
	/* Only the switch and a wake-up: the ring belongs to the polling thread, which looks itself. */
	if (atomic_load(&q->path) != NORTH_RX_OFF) {
		vbus_signal_enable(&q->sig);
		intr_raise(q->intr_fd);
	}
}

void
north_intr_notify(struct rte_vbus_shm *shm)
{
	struct north_local *l = shm->arg;
	const ptrdiff_t block = shm - l->shm;

	intr_raise(l->intr_fd[block < NORTH_SHM_POLL ? 0 : (block - NORTH_SHM_POLL) / 2 + 1]);
}
