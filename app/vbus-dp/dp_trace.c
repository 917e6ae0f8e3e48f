/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * Packet trace: of one in so many frames that come in by a port, the head, and what becomes of it.
 *
 * The lcore that polls the port asks the switch as the frame's burst will be asked a moment later, and
 * puts a record into a ring; the control side takes them out. The ring is bounded: what does not fit
 * is counted. A port that is not traced pays for one load per burst.
 *
 * What happens behind the verdict (a full ring of the destination, a checksum that cannot be finished)
 * is in that port's counters.
 */

#include "dp_plane_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <rte_cycles.h>
#include <rte_malloc.h>

#define TRACE_RECORDS 1024u /* a power of two */

struct dp_trace {
	/* the lcore's, but for who reads the counter */
	struct rte_ring *ring; /* of struct dp_trace_record */
	uint32_t every;
	uint32_t skip; /* frames until the next that is looked at */
	uint64_t lost;
	uint64_t start_tsc;
} VBUS_CACHE_ALIGNED;

_Static_assert(sizeof(struct dp_trace_record) % 4 == 0, "an element of a ring");

/* ---- the lcore --------------------------------------------------------------------------------- */

/** What the destination will do, as far as it is known before. */
static uint8_t
fate(const struct dp_port *to, const struct rte_mbuf *m, uint8_t verdict)
{
	if (to->venet != NULL && !vbus_venet_link(to->venet))
		return DP_TRACE_DOWN;
	if (m->pkt_len > atomic_load_explicit(&to->max_len, memory_order_relaxed) &&
		(m->ol_flags & RTE_MBUF_F_TX_TCP_SEG) == 0)
		return DP_TRACE_MTU;
	return verdict;
}

static void
record(struct dp_trace *t, const struct dp_port *port, const struct rte_mbuf *m)
{
	struct dp_trace_record r = {.len = m->pkt_len};
	struct dp_port *to = atomic_load_explicit(&port->peer, memory_order_acquire);
	struct dp_switch *sw = atomic_load_explicit(&port->sw, memory_order_acquire);

	r.us = (rte_rdtsc() - t->start_tsc) / (rte_get_tsc_hz() / 1000000 + 1);
	r.head_len = (uint16_t)RTE_MIN(m->data_len, sizeof(r.head));
	memcpy(r.head, rte_pktmbuf_mtod(m, const void *), r.head_len);
	if (to != NULL)
		r.verdict = fate(to, m, DP_TRACE_PATCH);
	else if (sw == NULL)
		r.verdict = DP_TRACE_NO_SWITCH;
	else
		r.verdict = dp_switch_verdict(sw, port, m, &to);
	if (r.verdict == DP_TRACE_FORWARD)
		r.verdict = fate(to, m, DP_TRACE_FORWARD);
	if (to != NULL)
		r.to = to->id;
	if (rte_ring_sp_enqueue_elem(t->ring, &r, sizeof(r)) != 0)
		t->lost++;
}

void
dp_trace_frames(
	struct dp_trace *t, const struct dp_port *port, struct rte_mbuf *const *pkts, uint16_t n)
{
	for (; t->skip < n; t->skip += t->every)
		record(t, port, pkts[t->skip]);
	t->skip -= n;
}

/* ---- control side ------------------------------------------------------------------------------ */

static int
trace_start(struct dp_port *port, uint32_t every, char *err, size_t err_size)
{
	static uint32_t serial;
	char name[RTE_RING_NAMESIZE];
	struct dp_trace *t;

	if (atomic_load_explicit(&port->trace, memory_order_relaxed) != NULL)
		return dp_plane_err(
			err, err_size, -EBUSY, "port %s is being traced already", port->name);
	t = rte_zmalloc("dp_trace", sizeof(*t), RTE_CACHE_LINE_SIZE);
	snprintf(name, sizeof(name), "dp_trace_%u", serial++);
	if (t != NULL)
		t->ring = rte_ring_create_elem(name, sizeof(struct dp_trace_record), TRACE_RECORDS,
			(int)port->home->socket, RING_F_SP_ENQ | RING_F_SC_DEQ);
	if (t == NULL || t->ring == NULL) {
		rte_free(t);
		return dp_plane_err(
			err, err_size, -ENOMEM, "port %s: no memory for a trace", port->name);
	}
	t->every = every;
	t->start_tsc = rte_rdtsc();
	/* Release: pairs with the acquire in dp_port_poll(). */
	atomic_store_explicit(&port->trace, t, memory_order_release);
	return 0;
}

void
dp_trace_stop(struct dp_port *port)
{
	struct dp_trace *t = atomic_load_explicit(&port->trace, memory_order_relaxed);

	if (t == NULL)
		return;
	atomic_store_explicit(&port->trace, NULL, memory_order_release);
	dp_plane_sync();
	rte_ring_free(t->ring);
	rte_free(t);
}

int
dp_port_trace(struct dp_port *port, uint32_t every, char *err, size_t err_size)
{
	int ret = 0;

	pthread_mutex_lock(&dp_plane.lock);
	if (every != 0)
		ret = trace_start(port, every, err, err_size);
	else if (atomic_load_explicit(&port->trace, memory_order_relaxed) == NULL)
		ret = dp_plane_err(
			err, err_size, -ENOENT, "port %s is not being traced", port->name);
	else
		dp_trace_stop(port);
	pthread_mutex_unlock(&dp_plane.lock);
	return ret;
}

uint32_t
dp_port_trace_read(struct dp_port *port, struct dp_trace_record *out, uint32_t size, uint64_t *lost)
{
	struct dp_trace *t;
	uint32_t n = 0;

	*lost = 0;
	pthread_mutex_lock(&dp_plane.lock);
	t = atomic_load_explicit(&port->trace, memory_order_relaxed);
	if (t != NULL) {
		n = rte_ring_sc_dequeue_burst_elem(t->ring, out, sizeof(*out), size, NULL);
		*lost = __atomic_load_n(&t->lost, __ATOMIC_RELAXED);
	}
	for (uint32_t i = 0; i < n; i++) {
		const struct dp_port *to = dp_port_by_id((uint32_t)out[i].to);

		snprintf(out[i].to_name, sizeof(out[i].to_name), "%s",
			to != NULL	 ? to->name
			: out[i].to != 0 ? "(gone)"
					 : "");
	}
	pthread_mutex_unlock(&dp_plane.lock);
	return n;
}
