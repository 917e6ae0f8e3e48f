/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */
#ifndef VENET_MBUF_H
#define VENET_MBUF_H

/*
 * Frames that were copied and go back to their pool: which of them go as they are, without the look
 * that rte_pktmbuf_free_bulk() has to take at each. Polling threads; nothing is kept.
 */

#include <stddef.h>

#include <rte_mbuf.h>
#include <rte_mempool.h>

#include "venet_internal.h"

/** What a frame may not have that is copied and goes back to its pool as it is. */
#define VENET_BULK_NEVER (VBUS_OFFLOAD_TX_FLAGS | RTE_MBUF_F_INDIRECT | RTE_MBUF_F_EXTERNAL)

/** The eight bytes of an mbuf from data_off to port. */
union venet_rearm {
	struct {
		uint16_t data_off, refcnt, nb_segs, port;
	} f;
	uint64_t word;
};

#define VENET_REARM_AT(field)                \
	(offsetof(struct rte_mbuf, field) == \
		offsetof(struct rte_mbuf, rearm_data) + offsetof(union venet_rearm, f.field))
_Static_assert(VENET_REARM_AT(data_off) && VENET_REARM_AT(refcnt) && VENET_REARM_AT(nb_segs) &&
		       VENET_REARM_AT(port),
	"the mbuf's first eight bytes that change");

/** One segment, one reference, no requests, its own buffer, of that pool: one look at all of it. */
static __rte_always_inline bool
venet_is_bulk(const struct rte_mbuf *m, const struct rte_mempool *mp)
{
	const uint64_t rearm = *(const venet_rearm_t *)(const void *)&m->rearm_data;
	const union venet_rearm one = {.f = {.refcnt = 1, .nb_segs = 1}};
	const union venet_rearm mask = {.f = {.refcnt = UINT16_MAX, .nb_segs = UINT16_MAX}};

	return (((rearm & mask.word) ^ one.word) | (m->ol_flags & VENET_BULK_NEVER) |
		       ((uintptr_t)m->pool ^ (uintptr_t)mp)) == 0;
}

/** Back to the pools. @p bulk: venet_is_bulk() with the first one's pool holds for each of them. */
static __rte_always_inline void
venet_free_bulk(struct rte_mbuf **pkts, uint32_t nb, bool bulk)
{
	/* One segment: its `next` is NULL, nobody else has it. */
	if (likely(bulk))
		rte_mempool_put_bulk(pkts[0]->pool, (void *const *)pkts, nb);
	else
		rte_pktmbuf_free_bulk(pkts, nb);
}

#endif
