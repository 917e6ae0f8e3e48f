/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * Frames that south keeps in our memory (doc/abi.md section 12.7, ADR-0021): their mbufs stay where they are until their
 * entries come back by the return ring, in any order.
 *
 * Threads: as vbus_north_poll_tx.c: the queue's polling thread, and the control side when no burst runs.
 *
 * Ownership: an entry with NORTH_OUT_KEPT owns the mbuf (or bounce slot) of its cookie. Of those that are out
 * when the link goes down and do not come back in time nobody uses the memory again: whoever has the frame at
 * south's side would see what comes next. They are free again when the peer is gone.
 *
 * Trust: marks and returns are south's. What it did not keep it cannot return; what it says twice counts once.
 */
#include "vbus_north.h"

#include <string.h>

#include <rte_mempool.h>

/* `out` of eight entries. */
static inline uint64_t
get_eight(const uint8_t *out)
{
	uint64_t v;

	memcpy(&v, out, sizeof(v));
	return v;
}

static inline void
put_eight(uint8_t *out, uint64_t v)
{
	memcpy(out, &v, sizeof(v));
}

static inline void
out_set(struct north_txq *q, uint32_t idx, uint8_t value)
{
	q->nb_marked += (value != 0) - (q->out[idx] != 0);
	q->out[idx] = value;
}

static void
free_cookies(struct north_txq *q, const uint64_t *cookies, uint32_t nb)
{
	if (nb == 0)
		return;
	if (likely(q->fast_free && q->nb_bounced == 0 && q->nb_void == 0)) {
		const struct rte_mbuf *m = (const struct rte_mbuf *)(uintptr_t)cookies[0];

		rte_mempool_put_bulk(m->pool, (void *const *)(uintptr_t)cookies, nb);
	} else {
		q->nb_void -= north_tx_free_mixed(q, cookies, nb);
	}
}

bool
north_kept_any(const struct north_txq *q, uint32_t idx, uint32_t n)
{
	/* Eight marks at a time; a few too many do no harm. */
	const uint64_t *kept = (const uint64_t *)(const void *)q->poll.r.kept;
	uint64_t any = q->nb_marked;

	for (uint32_t i = idx / 8; i <= (idx + n - 1) / 8; i++)
		any |= vbus_peer_load64(&kept[i]);
	return any != 0;
}

/* Eight entries from i on that are alike: none was out, and south keeps all of them. */
static inline bool
keep_eight(struct north_txq *q, uint32_t i)
{
	const uint64_t ones = 0x0101010101010101u;

	if (get_eight(&q->out[i]) != 0 || q->nb_void != 0 ||
		vbus_peer_load64((const uint64_t *)(const void *)&q->poll.r.kept[i]) != ones)
		return false;
	put_eight(&q->out[i], ones * NORTH_OUT_KEPT);
	q->nb_marked += 8;
	q->nb_out += 8;
	return true;
}

void
north_kept_free_run(struct north_txq *q, uint32_t idx, uint32_t n, bool believe)
{
	uint64_t done[NORTH_CHUNK];
	uint32_t nb = 0;

	for (uint32_t i = idx; i < idx + n; i++) {
		if (believe && i % 8 == 0 && i + 8 <= idx + n && keep_eight(q, i)) {
			i += 7;
		} else if (q->out[i] & NORTH_OUT_NOP) {
			out_set(q, i, q->out[i] & (uint8_t)~NORTH_OUT_NOP);
		} else if (believe && vbus_peer_load8(&q->poll.r.kept[i]) != 0 && q->sw[i] != 0 &&
			   q->out[i] != NORTH_OUT_BACK) {
			out_set(q, i, NORTH_OUT_KEPT);
			q->nb_out++;
		} else {
			out_set(q, i, 0);
			done[nb++] = q->sw[i];
		}
	}
	free_cookies(q, done, nb);
}

/* South gave back an entry's frame. @return the cookie; 0: nothing is to be freed now */
static inline uint64_t
take_back(struct north_txq *q, uint32_t idx)
{
	const struct vbus_poll_north *r = &q->poll;

	/* Nothing else in flight there: the general form below is 8 instructions a frame more. */
	if (likely(idx <= r->r.mask && q->out[idx] == NORTH_OUT_KEPT)) {
		q->out[idx] = 0;
		q->nb_marked--;
		q->nb_out--;
		return q->sw[idx];
	}
	if (idx <= r->r.mask && (q->out[idx] & NORTH_OUT_KEPT) != 0) {
		out_set(q, idx, q->out[idx] & (uint8_t)~NORTH_OUT_KEPT);
		q->nb_out--;
		return q->sw[idx];
	}
	/* Before we have seen that south is done with the entry: it is freed when we do. */
	if (idx <= r->r.mask && q->out[idx] == 0 &&
		((idx - r->head) & r->r.mask) < vbus_poll_north_used(r))
		out_set(q, idx, NORTH_OUT_BACK);
	else
		q->stats.bad_return++;
	return 0;
}

void
north_kept_reap(struct north_txq *q)
{
	const struct vbus_poll *r = &q->poll.r;
	uint64_t done[NORTH_CHUNK];
	uint32_t left = r->mask + 1; /* a south that never ends does not hold us */
	uint32_t n, nb;

	do {
		for (n = nb = 0; n < NORTH_CHUNK; n++) {
			const uint32_t pos = q->ret_pos + n;
			const uint32_t c = vbus_peer_load_owner32(&r->ret[pos & r->mask]);

			if (!vbus_poll_comp_is_ready(r, c, pos))
				break;
			done[nb] = take_back(q, c & ~VENET_POLL_COMP_PHASE);
			nb += done[nb] != 0;
		}
		q->ret_pos += n;
		left -= RTE_MIN(n, left);
		/* Q: south has read the frames. Partner: the release fence of give_back() in venet_keep.c. */
		vbus_peer_fence_acquire();
		free_cookies(q, done, nb);
	} while (n == NORTH_CHUNK && left > 0);
}

/* Post entries that carry nothing. */
static void
post_empty(struct north_txq *q, uint32_t n)
{
	struct vbus_poll_north *r = &q->poll;
	const uint64_t nothing = 0;

	for (; n > 0; n--) {
		const uint32_t idx = r->tail & r->r.mask;

		out_set(q, idx, q->out[idx] | NORTH_OUT_NOP);
		vbus_poll_north_post(r, &nothing, 1);
	}
}

/* The entries at the ring's tail, of n, whose frames are not out. */
static inline uint32_t
free_ahead(const struct north_txq *q, uint32_t n)
{
	const struct vbus_poll_north *r = &q->poll;
	const uint32_t idx = r->tail & r->r.mask;
	const uint32_t run = RTE_MIN(n, r->r.mask + 1 - idx);
	uint32_t i = 0;

	while (i + 8 <= run && get_eight(&q->out[idx + i]) == 0)
		i += 8;
	while (i < n && q->out[(r->tail + i) & r->r.mask] == 0)
		i++;
	return i;
}

uint32_t
north_kept_pass(struct north_txq *q, uint32_t need, uint32_t want)
{
	const struct vbus_poll_north *r = &q->poll;
	uint32_t room, i;

	for (;;) {
		room = vbus_poll_north_room(r);
		i = free_ahead(q, RTE_MIN(room, want));
		if (i >= need || i == room)
			return i;
		/* A frame that is out comes too soon: it is passed, and what lies before it. */
		post_empty(q, i + 1);
	}
}

uint32_t
north_kept_settle(struct north_txq *q)
{
	if (q->sw == NULL || q->poll.r.kept == NULL)
		return 0;
	north_poll_reap(q, UINT32_MAX);
	return q->nb_out;
}

uint32_t
north_kept_end(struct north_txq *q, bool gone, bool *zone)
{
	uint32_t nb = 0;

	if (q->sw == NULL || q->poll.r.kept == NULL)
		return 0;

	for (uint32_t i = 0; i <= q->poll.r.mask && q->nb_out > 0; i++) {
		if ((q->out[i] & NORTH_OUT_KEPT) == 0)
			continue;
		q->nb_out--;
		/* An empty entry in flight there stays one: the cookie is not its own. */
		out_set(q, i, q->out[i] & (uint8_t)~NORTH_OUT_KEPT);
		if (gone) {
			(void)north_tx_free_mixed(q, &q->sw[i], 1);
			continue;
		}
		*zone |= (q->sw[i] & 1) != 0; /* a bounce slot */
		nb++;
	}
	q->stats.kept_lost += nb;
	return nb;
}
