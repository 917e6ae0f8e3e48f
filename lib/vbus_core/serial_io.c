/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * The polled half of the serial class: bytes out of north's output ring and into its input buffers
 * (doc/abi.md section 9). One polling thread runs it; nothing here locks, waits or takes memory. An
 * entry is copied before it is handed back, and what is wrong with one is counted and passed over.
 */

#include "serial_internal.h"

#include <string.h>

#include <rte_common.h>

static const struct serial_path *
path_of(const struct vbus_serial *s)
{
	/* Acquire: pairs with the release in publish(), serial.c. */
	return atomic_load_explicit(&s->pub, memory_order_acquire);
}

/* A kill is seen by nobody but a successor: the order of the stores is all that counts. */
#define BEFORE_A_KILL() __atomic_signal_fence(__ATOMIC_SEQ_CST)

/** What came by WRITE calls. @return bytes */
static uint32_t
peek_calls(const struct vbus_serial *s, uint8_t *buf, uint32_t room)
{
	const struct vbus_serial_kept *k = s->kept;
	uint32_t tail = SERIAL_COMMIT(k)->calls;
	/* Acquire: the bytes; pairs with the release in call_write(), serial.c. */
	uint32_t n = (uint32_t)__atomic_load_n(&k->called, __ATOMIC_ACQUIRE) - tail;
	uint32_t i;

	n = RTE_MIN(n, room);
	for (i = 0; i < n; i++)
		buf[i] = k->calls[(tail + i) % VBUS_SERIAL_CALL_ROOM];
	return n;
}

static bool
entry_legal(uint64_t len)
{
	return (len & ~(VSERIAL_LEN_MASK | VSERIAL_LEN_BREAK)) == 0 &&
	       (len & VSERIAL_LEN_MASK) <= VSERIAL_BUFFER_MAX;
}

uint32_t
vbus_serial_peek(struct vbus_serial *s, void *buf, uint32_t room, bool *brk)
{
	const struct serial_path *p = path_of(s);
	struct vbus_ioq_entry e;
	uint8_t *to = buf;
	uint32_t done, nb, most;

	*brk = false;
	done = peek_calls(s, to, room);
	s->peeked = (struct serial_peeked){.path = p, .len = done, .calls = done};
	s->stats.out_bytes += done;
	if (p == NULL)
		return done;
	/* Not a whole lap: where it ends would be where it began. */
	most = RTE_MIN(SERIAL_BURST, RTE_MAX(p->out.q.count, 2u) - 1);
	for (nb = 0; nb < most; nb++) {
		const uint32_t at = vbus_ioq_advance(p->out.q.cur->inuse_head, nb, p->out.q.count);
		uint32_t len;

		if (vbus_ioq_south_peek_at(&p->out.q, at, &e, 1) == 0)
			break;
		len = (uint32_t)(e.len & VSERIAL_LEN_MASK);
		if (!entry_legal(e.len)) {
			s->stats.out_bad++;
			continue;
		}
		if (len > room - done || ((e.len & VSERIAL_LEN_BREAK) != 0 && (done != 0 || *brk)))
			break;
		if (len != 0 &&
			vbus_memview_copy_in(p->view, &s->mc_out, to + done, e.ptr, len) < 0) {
			s->stats.out_bad++;
			len = 0;
		}
		if ((e.len & VSERIAL_LEN_BREAK) != 0) {
			*brk = true;
			s->stats.out_breaks++;
		}
		done += len;
		s->stats.out_bytes += len;
		s->stats.out_entries++;
	}
	s->peeked.len = done;
	s->peeked.entries = nb;
	return done;
}

void
vbus_serial_accept(struct vbus_serial *s)
{
	const struct serial_peeked *peeked = &s->peeked;
	struct vbus_serial_kept *k = s->kept;
	const struct vbus_ioq_south *q = peeked->entries != 0 ? &peeked->path->out.q : NULL;
	const uint32_t turn = k->turn + 1;

	if (peeked->len == 0 && q == NULL)
		return;
	k->commit[turn & 1] = *SERIAL_COMMIT(k);
	k->commit[turn & 1].out += peeked->len;
	k->commit[turn & 1].calls += peeked->calls;
	if (q != NULL) {
		k->commit[turn & 1].stamp = peeked->path->stamp;
		k->commit[turn & 1].head = vbus_ioq_advance(
			q->cur->inuse_head, peeked->entries, q->count);
	}
	BEFORE_A_KILL();
	__atomic_store_n(&k->turn, turn, __ATOMIC_RELAXED);
	BEFORE_A_KILL();
	/* Release: the bytes are read before they can be overwritten. */
	atomic_store_explicit(&s->calls_tail, k->commit[turn & 1].calls, memory_order_release);
	if (q != NULL) {
		vbus_ioq_south_consume_pop(q, peeked->entries);
		kind_ring_inject(&peeked->path->out);
	}
	s->peeked = (struct serial_peeked){0};
}

uint32_t
vbus_serial_read(struct vbus_serial *s, void *buf, uint32_t room, bool *brk)
{
	uint32_t len = vbus_serial_peek(s, buf, room, brk);

	vbus_serial_accept(s);
	return len;
}

/** Fill one buffer of north's. @return bytes that went in; UINT32_MAX: there is no buffer */
static uint32_t
fill_one(struct vbus_serial *s, const struct serial_path *p, const uint8_t *buf, uint32_t len)
{
	struct vbus_serial_kept *k = s->kept;
	struct vbus_ioq_entry e;

	if (vbus_ioq_south_produce_peek(&p->in.q, &e, 1) == 0)
		return UINT32_MAX;
	len = (uint32_t)RTE_MIN(RTE_MIN(e.len & VSERIAL_LEN_MASK, VSERIAL_BUFFER_MAX), len);
	if (len != 0 && vbus_memview_copy_out(p->view, &s->mc_in, e.ptr, buf, len) < 0) {
		s->stats.in_bad++;
		len = 0;
	}
	e.len = len;
	if (s->brk) {
		e.len |= VSERIAL_LEN_BREAK;
		s->brk = false;
		s->stats.in_breaks++;
	}
	k->fill.stamp = p->stamp;
	k->fill.pos = p->in.q.cur->inuse_tail;
	k->fill.in_done = k->in_done + len;
	BEFORE_A_KILL();
	__atomic_store_n(&k->fill.active, 1, __ATOMIC_RELAXED);
	BEFORE_A_KILL();
	vbus_ioq_south_produce_push(&p->in.q, &e, 1);
	BEFORE_A_KILL();
	k->in_done += len;
	BEFORE_A_KILL();
	__atomic_store_n(&k->fill.active, 0, __ATOMIC_RELAXED);
	BEFORE_A_KILL();
	s->stats.in_entries++;
	s->stats.in_bytes += len;
	return len;
}

uint32_t
vbus_serial_write(struct vbus_serial *s, const void *buf, uint32_t len)
{
	const struct serial_path *p = path_of(s);
	uint32_t done = 0;
	uint32_t nb;

	if (p == NULL)
		return 0;
	for (nb = 0; nb < SERIAL_BURST && done < len; nb++) {
		uint32_t n = fill_one(s, p, (const uint8_t *)buf + done, len - done);

		if (n == UINT32_MAX)
			break;
		done += n;
	}
	if (nb != 0)
		kind_ring_inject(&p->in);
	return done;
}

bool
vbus_serial_break(struct vbus_serial *s)
{
	const struct serial_path *p = path_of(s);

	if (p == NULL || vbus_ioq_south_produce_count(&p->in.q, 1) == 0)
		return false;
	s->brk = true;
	fill_one(s, p, NULL, 0);
	kind_ring_inject(&p->in);
	return true;
}

bool
vbus_serial_up(const struct vbus_serial *s)
{
	return path_of(s) != NULL;
}

uint32_t
vbus_serial_flags(const struct vbus_serial *s)
{
	const struct serial_path *p = path_of(s);

	if (p == NULL || p->state_peer == NULL)
		return 0;
	return vbus_peer_load32(&p->state_peer->north.flags) &
	       (VSERIAL_NORTH_DTR | VSERIAL_NORTH_RTS);
}

uint32_t
vbus_serial_arm(struct vbus_serial *s)
{
	const struct serial_path *p = path_of(s);
	uint32_t there = 0;

	/* Relaxed: a producer wakes us after it has put something in, whatever we see here. */
	if ((uint32_t)__atomic_load_n(&s->kept->called, __ATOMIC_RELAXED) !=
		SERIAL_COMMIT(s->kept)->calls)
		there |= VBUS_SERIAL_OUTPUT;
	if (p == NULL)
		return there;
	kind_ring_arm(&p->out);
	kind_ring_arm(&p->in);
	if (p->state_signals && vbus_signal_enable(&p->state_sig))
		vbus_signal_take(&p->state_sig);
	if (vbus_ioq_south_consume_is_ready(&p->out.q, 0))
		there |= VBUS_SERIAL_OUTPUT;
	if (vbus_ioq_south_produce_is_ready(&p->in.q, 0))
		there |= VBUS_SERIAL_ROOM;
	return there;
}

void
vbus_serial_disarm(struct vbus_serial *s)
{
	const struct serial_path *p = path_of(s);

	if (p == NULL)
		return;
	kind_ring_disarm(&p->out);
	kind_ring_disarm(&p->in);
	if (p->state_signals)
		vbus_signal_disable(&p->state_sig);
}
