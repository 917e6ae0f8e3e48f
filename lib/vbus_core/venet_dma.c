/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * Frames to north across a link, copied by an engine (rte_dmadev; ADR-0018). Runs on the polling
 * thread of the tx queue, which alone uses the engine's channel. A burst's copies are under way at the same
 * time, and the burst waits for them: nobody else looks whether they are through. What the engine
 * does not do the processor does.
 */

#include "venet_internal.h"

#include <rte_cycles.h>
#include <rte_dmadev.h>

/** An engine that takes longer than that for a burst is stuck. */
#define DMA_DEAD_MS 1000u

/** After an error, or late: what is done, done or not, is taken off the channel. */
static void
drain(const struct venet_dma *e, uint32_t n)
{
	enum rte_dma_status_code status[VENET_BURST];
	uint64_t end = rte_get_timer_cycles() + rte_get_timer_hz() * DMA_DEAD_MS / 1000;
	uint16_t last;

	while (n > 0 && rte_get_timer_cycles() < end) {
		uint16_t k = rte_dma_completed_status(
			e->id, e->vchan, (uint16_t)RTE_MIN(n, VENET_BURST), &last, status);

		n -= RTE_MIN(n, (uint32_t)k);
	}
}

uint32_t
venet_dma_copy(struct venet_txq *q, const struct venet_dma *e, uint8_t *const *dst,
	struct rte_mbuf *const *pkts, const uint32_t *len, uint32_t n)
{
	uint32_t queued, done = 0;
	bool error = false;
	uint64_t end;
	uint16_t last;

	/* Addresses are virtual ones: looked at when the engine was chosen. */
	for (queued = 0; queued < n; queued++)
		if (rte_dma_copy(e->id, e->vchan, rte_pktmbuf_mtod(pkts[queued], uintptr_t),
			    (uintptr_t)dst[queued], len[queued], 0) < 0)
			break;
	if (queued == 0)
		return 0;
	rte_dma_submit(e->id, e->vchan);
	end = rte_get_timer_cycles() + rte_get_timer_hz() * DMA_DEAD_MS / 1000;
	while (done < queued && !error && rte_get_timer_cycles() < end)
		done += rte_dma_completed(
			e->id, e->vchan, (uint16_t)(queued - done), &last, &error);
	if (unlikely(done < queued)) {
		q->stats.dma_failed++;
		drain(e, queued - done);
	}
	q->stats.dma += done;
	return done;
}

void
vbus_venet_set_dma(struct vbus_venet *v, int16_t id, uint16_t vchan)
{
	v->dma = (struct venet_dma){.on = id >= 0, .id = id, .vchan = vchan};
}
