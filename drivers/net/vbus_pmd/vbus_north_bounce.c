/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */
#include "vbus_north.h"

void
north_bounce_format(struct north_txq *q, uint8_t *base, uint64_t addr, uint32_t len, uint16_t nb)
{
	q->bounce_base = base;
	q->bounce_addr = addr;
	q->bounce_len = len;
	for (uint16_t i = 0; i < nb; i++)
		q->bounce_next[i] = (uint16_t)(i + 1);
	q->bounce_next[nb - 1] = NORTH_BOUNCE_END;
	q->bounce_free = 0;
	q->nb_bounce_free = q->nb_bounce = nb;
	q->nb_bounced = 0;
}

/* All of the frame's bytes, in order, into the slots from `slot` on. */
static void
bounce_fill(struct north_txq *q, uint16_t slot, const struct rte_mbuf *m)
{
	uint8_t *dst = q->bounce_base + (size_t)slot * q->bounce_len;
	uint32_t room = q->bounce_len;

	for (; m != NULL; m = m->next) {
		const uint8_t *src = rte_pktmbuf_mtod(m, const uint8_t *);
		uint32_t left = m->data_len;

		while (left > 0) {
			uint32_t n;

			if (room == 0) {
				slot = q->bounce_next[slot];
				dst = q->bounce_base + (size_t)slot * q->bounce_len;
				room = q->bounce_len;
			}
			n = RTE_MIN(left, room);
			memcpy(dst, src, n);
			dst += n;
			src += n;
			left -= n;
			room -= n;
		}
	}
}

int
north_bounce_copy(struct north_txq *q, const struct rte_mbuf *m)
{
	uint32_t need = 1, have = q->bounce_len;
	uint32_t most = q->sg ? NORTH_TX_IOVS : 1;
	uint16_t first = q->bounce_free, last = first;

	for (; have < m->pkt_len; have += q->bounce_len) /* no division on this path */
		if (++need > most)
			return -EMSGSIZE;
	if (need > q->nb_bounce_free)
		return -ENOBUFS;
	for (uint32_t i = 1; i < need; i++)
		last = q->bounce_next[last];
	bounce_fill(q, first, m);
	q->bounce_free = q->bounce_next[last];
	q->bounce_next[last] = NORTH_BOUNCE_END;
	q->nb_bounce_free = (uint16_t)(q->nb_bounce_free - need);
	q->nb_bounced++;
	q->stats.copied++;
	return first;
}

void
north_bounce_put(struct north_txq *q, uint64_t cookie)
{
	uint16_t first = (uint16_t)(cookie >> 1), last = first;
	uint16_t n = 1;

	while (q->bounce_next[last] != NORTH_BOUNCE_END) {
		last = q->bounce_next[last];
		n++;
	}
	q->bounce_next[last] = q->bounce_free;
	q->bounce_free = first;
	q->nb_bounce_free = (uint16_t)(q->nb_bounce_free + n);
	q->nb_bounced--;
}
