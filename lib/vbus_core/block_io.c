/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * The polled half of the block class: requests out of north's rings, completions back (doc/abi.md
 * section 10). One polling thread runs it; nothing here locks, waits or takes memory.
 *
 * A request is copied out of the pool once, and the copy is checked. One that is wrong is completed
 * here with a status. Requests of a session that is over (STOP, reset, a peer that died) are
 * completed into nothing; those of the next session are not taken before all of them are, so that
 * no late write overtakes a new one.
 */

#include "block_internal.h"

#include <errno.h>
#include <string.h>

#include <rte_common.h>

static const struct block_path *
path_of(const struct vbus_block *b)
{
	/* Acquire: pairs with the release in publish(), block.c. */
	return atomic_load_explicit(&b->pub, memory_order_acquire);
}

/* A kill is seen by nobody but a successor: the order of the stores is all that counts. */
static void
note(struct block_log *log, uint32_t i, uint32_t word)
{
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	__atomic_store_n(&log->note[i].word, word, __ATOMIC_RELAXED);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
}

/** @return false: no entry is free */
static bool
put_done(struct vbus_block *b, const struct block_path *p, const struct vbus_block_req *req,
	uint32_t status)
{
	const uint32_t queue = req->queue;
	const struct block_queue *q = &p->queue[queue];
	struct vbus_ioq_entry e;

	if (vbus_ioq_south_produce_peek(&q->done.q, &e, 1) == 0)
		return false;
	e.len = VBLOCK_DONE(req->tag, status);
	note(p->log, req->note, BLOCK_NOTE(BLOCK_NOTE_ANSWERS, queue, q->done.q.cur->inuse_tail));
	vbus_ioq_south_produce_push(&q->done.q, &e, 1);
	note(p->log, req->note, BLOCK_NOTE_FREE);
	b->free_note[b->nb_free++] = (uint16_t)req->note;
	b->done_dirty[queue] = true;
	b->stats.completed++;
	b->stats.errors += status != VBLOCK_STATUS_OK;
	return true;
}

/** What may be asked with an operation. @return VBLOCK_STATUS_* */
static uint32_t
check_op(const struct vbus_block *b, const struct vblock_req *r)
{
	const uint32_t features = b->args.features;
	uint32_t flags = 0;

	switch (r->op) {
	case VBLOCK_OP_READ:
		break;
	case VBLOCK_OP_WRITE:
		flags = VBLOCK_REQ_FUA;
		break;
	case VBLOCK_OP_FLUSH:
		if (!(features & VBLOCK_F_FLUSH))
			return VBLOCK_STATUS_UNSUPPORTED;
		break;
	case VBLOCK_OP_DISCARD:
		if (!(features & VBLOCK_F_DISCARD))
			return VBLOCK_STATUS_UNSUPPORTED;
		break;
	case VBLOCK_OP_WRITE_ZEROES:
		if (!(features & VBLOCK_F_WRITE_ZEROES))
			return VBLOCK_STATUS_UNSUPPORTED;
		flags = VBLOCK_REQ_FUA | VBLOCK_REQ_UNMAP;
		break;
	default:
		return VBLOCK_STATUS_UNSUPPORTED;
	}
	if ((r->flags & ~flags) != 0 ||
		((r->flags & VBLOCK_REQ_FUA) != 0 && !(features & VBLOCK_F_FUA)))
		return VBLOCK_STATUS_UNSUPPORTED;
	if ((features & VBLOCK_F_READONLY) && r->op != VBLOCK_OP_READ && r->op != VBLOCK_OP_FLUSH)
		return VBLOCK_STATUS_READONLY;
	return VBLOCK_STATUS_OK;
}

/** Where it is, and how much. @return VBLOCK_STATUS_* */
static uint32_t
check_range(const struct vbus_block *b, const struct vblock_req *r)
{
	const uint64_t capacity = atomic_load_explicit(&b->capacity, memory_order_relaxed);
	const uint64_t mask = b->args.sector_size - 1;
	const bool data = r->op == VBLOCK_OP_READ || r->op == VBLOCK_OP_WRITE;

	if (r->op == VBLOCK_OP_FLUSH)
		return r->len == 0 && r->count == 0 ? VBLOCK_STATUS_OK : VBLOCK_STATUS_INVALID;
	if (r->len == 0 || ((r->len | r->offset) & mask) != 0 ||
		(data && r->len > VBUS_BLOCK_BYTES_MAX) || (!data && r->count != 0))
		return VBLOCK_STATUS_INVALID;
	if (r->offset > capacity || r->len > capacity - r->offset)
		return VBLOCK_STATUS_RANGE;
	return VBLOCK_STATUS_OK;
}

/** The copied segments, against the copied head. @return VBLOCK_STATUS_* */
static uint32_t
check_segs(const struct vbus_block_req *req)
{
	uint64_t sum = 0;
	uint32_t i;

	for (i = 0; i < req->nb_segs; i++) {
		if (req->seg[i].len == 0)
			return VBLOCK_STATUS_INVALID;
		sum += req->seg[i].len; /* 64 times 32 bits do not overflow */
	}
	if ((req->op == VBLOCK_OP_READ || req->op == VBLOCK_OP_WRITE) && sum != req->len)
		return VBLOCK_STATUS_INVALID;
	return VBLOCK_STATUS_OK;
}

/** Copy the request at @p e and check the copy. @return VBLOCK_STATUS_*, negative: it is nowhere */
static int
fetch(struct vbus_block *b, const struct block_queue *q, const struct vbus_ioq_entry *e,
	struct vbus_block_req *req)
{
	struct vblock_req r;
	uint64_t room;
	uint32_t status;

	if (e->ptr % 8 != 0 || e->len < sizeof(r) || e->ptr > q->pool_len ||
		q->pool_len - e->ptr < sizeof(r))
		return -EPROTO;
	room = RTE_MIN(e->len, q->pool_len - e->ptr);
	vbus_peer_copy_in(&r, q->pool_peer + e->ptr, sizeof(r));
	req->tag = r.tag;
	req->op = r.op;
	req->flags = r.flags;
	req->offset = r.offset;
	req->len = r.len;
	req->nb_segs = 0;
	status = check_op(b, &r);
	if (status == VBLOCK_STATUS_OK)
		status = check_range(b, &r);
	if (status != VBLOCK_STATUS_OK)
		return (int)status;
	if (r.count > VBUS_BLOCK_SEGS_MAX || VBLOCK_REQ_SIZE(r.count) > room)
		return VBLOCK_STATUS_INVALID;
	req->nb_segs = r.count;
	vbus_peer_copy_in(
		req->seg, q->pool_peer + e->ptr + sizeof(r), r.count * sizeof(req->seg[0]));
	return (int)check_segs(req);
}

static void
count(struct vbus_block_stats *st, const struct vbus_block_req *req)
{
	switch (req->op) {
	case VBLOCK_OP_READ:
		st->reads++;
		st->read_bytes += req->len;
		break;
	case VBLOCK_OP_WRITE:
		st->writes++;
		st->write_bytes += req->len;
		break;
	case VBLOCK_OP_FLUSH:
		st->flushes++;
		break;
	case VBLOCK_OP_DISCARD:
		st->discards++;
		break;
	default:
		st->zeroes++;
		break;
	}
}

/** Out of the ring, and noted as under way. */
static void
pop_noted(struct vbus_block *b, const struct block_path *p, const struct vbus_ioq_entry *e,
	struct vbus_block_req *req)
{
	const struct block_queue *q = &p->queue[req->queue];

	req->note = b->free_note[--b->nb_free];
	p->log->note[req->note].ptr = (uint32_t)e->ptr;
	p->log->note[req->note].room = (uint32_t)RTE_MIN(e->len, UINT32_MAX);
	note(p->log, req->note,
		BLOCK_NOTE(BLOCK_NOTE_TAKING, req->queue, q->req.q.cur->inuse_head));
	vbus_ioq_south_consume_pop(&q->req.q, 1);
	note(p->log, req->note, BLOCK_NOTE(BLOCK_NOTE_TAKEN, req->queue, 0));
}

/** Checked and counted. @return true: it is for the back end */
static bool
taken(struct vbus_block *b, const struct block_path *p, struct vbus_block_req *req, int status)
{
	req->session = p->session;
	if (status == (int)VBLOCK_STATUS_OK) {
		b->nb_taken++;
		count(&b->stats, req);
		return true;
	}
	b->stats.refused++;
	put_done(b, p, req, (uint32_t)status);
	return false;
}

/** @return true: a request; what is wrong is passed over */
static bool
take_from(struct vbus_block *b, const struct block_path *p, uint32_t queue,
	struct vbus_block_req *req)
{
	const struct block_queue *q = &p->queue[queue];
	struct vbus_ioq_entry e;
	uint32_t tries;

	for (tries = 0; tries < q->req.q.count; tries++) {
		int status;

		/* Room for its answer first: what is refused is answered at once. */
		if (b->nb_free == 0 || vbus_ioq_south_produce_count(&q->done.q, 1) == 0 ||
			vbus_ioq_south_consume_peek(&q->req.q, &e, 1) == 0)
			return false;
		status = fetch(b, q, &e, req);
		if (status < 0) {
			atomic_store_explicit(&b->broken, true, memory_order_relaxed);
			return false;
		}
		req->queue = queue;
		pop_noted(b, p, &e, req);
		if (taken(b, p, req, status))
			return true;
	}
	return false;
}

/** What the process before this one has not completed; north has left it in its pool. */
static bool
take_again(struct vbus_block *b, const struct block_path *p, struct vbus_block_req *req)
{
	while (b->nb_again != 0) {
		const uint32_t i = b->again[b->nb_again - 1];
		const struct block_note *n = &p->log->note[i];
		const struct vbus_ioq_entry e = {.ptr = n->ptr, .len = n->room};
		const struct block_queue *q = &p->queue[BLOCK_NOTE_QUEUE(n->word)];
		int status;

		if (vbus_ioq_south_produce_count(&q->done.q, 1) == 0)
			return false;
		status = fetch(b, q, &e, req);
		if (status < 0) {
			atomic_store_explicit(&b->broken, true, memory_order_relaxed);
			return false;
		}
		b->nb_again--;
		req->queue = BLOCK_NOTE_QUEUE(n->word);
		req->note = i;
		if (taken(b, p, req, status))
			return true;
	}
	return false;
}

/** Nothing is under way: the notes are the new session's. */
static void
begin_session(struct vbus_block *b, const struct block_path *p)
{
	uint32_t i;

	__atomic_store_n(&p->log->session, 0, __ATOMIC_RELAXED);
	for (i = 0; i < BLOCK_NOTES; i++) {
		note(p->log, i, BLOCK_NOTE_FREE);
		b->free_note[i] = (uint16_t)i;
	}
	__atomic_store_n(&p->log->session, p->log_session, __ATOMIC_RELAXED);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	b->nb_free = BLOCK_NOTES;
	b->nb_again = 0;
	b->taken_session = p->session;
	memset(b->done_dirty, 0, sizeof(b->done_dirty));
}

bool
vbus_block_take(struct vbus_block *b, struct vbus_block_req *req)
{
	const struct block_path *p = path_of(b);
	uint32_t i;

	if (p == NULL || atomic_load_explicit(&b->broken, memory_order_relaxed))
		return false;
	if (b->taken_session != p->session) {
		if (b->nb_taken != 0)
			return false; /* what the old session asked for is still under way */
		begin_session(b, p);
	}
	if (b->nb_again != 0 && take_again(b, p, req))
		return true;
	for (i = 0; i < p->nb_queues; i++) {
		uint32_t queue = b->next_queue < p->nb_queues ? b->next_queue : 0;

		b->next_queue = queue + 1;
		if (take_from(b, p, queue, req))
			return true;
	}
	return false;
}

int
vbus_block_copy_in(struct vbus_block *b, const struct vbus_block_req *req, void *dst)
{
	const struct block_path *p = path_of(b);
	uint8_t *to = dst;
	uint32_t i;

	if (p == NULL || p->session != req->session)
		return -EFAULT;
	for (i = 0; i < req->nb_segs; i++) {
		if (vbus_memview_copy_in(p->view, &b->mc, to, req->seg[i].ptr, req->seg[i].len) < 0)
			return -EFAULT;
		to += req->seg[i].len;
	}
	return 0;
}

int
vbus_block_copy_out(struct vbus_block *b, const struct vbus_block_req *req, const void *src)
{
	const struct block_path *p = path_of(b);
	const uint8_t *from = src;
	uint32_t i;

	if (p == NULL || p->session != req->session)
		return 0;
	for (i = 0; i < req->nb_segs; i++) {
		if (vbus_memview_copy_out(p->view, &b->mc, req->seg[i].ptr, from, req->seg[i].len) <
			0)
			return -EFAULT;
		from += req->seg[i].len;
	}
	return 0;
}

bool
vbus_block_complete(struct vbus_block *b, const struct vbus_block_req *req, uint32_t status)
{
	const struct block_path *p = path_of(b);

	if (req->session != atomic_load_explicit(&b->session, memory_order_relaxed)) {
		b->stats.lost++;
		b->nb_taken--;
		return true;
	}
	if (p == NULL || !put_done(b, p, req, status)) {
		b->stats.held++;
		return false;
	}
	b->nb_taken--;
	return true;
}

void
vbus_block_signal(struct vbus_block *b)
{
	const struct block_path *p = path_of(b);
	uint32_t i;

	for (i = 0; p != NULL && i < p->nb_queues; i++) {
		if (!b->done_dirty[i])
			continue;
		b->done_dirty[i] = false;
		kind_ring_inject(&p->queue[i].done);
	}
}

bool
vbus_block_up(const struct vbus_block *b)
{
	return path_of(b) != NULL;
}

bool
vbus_block_arm(struct vbus_block *b)
{
	const struct block_path *p = path_of(b);
	bool there = p != NULL && b->nb_again != 0;
	uint32_t i;

	for (i = 0; p != NULL && i < p->nb_queues; i++) {
		kind_ring_arm(&p->queue[i].req);
		there |= vbus_ioq_south_consume_is_ready(&p->queue[i].req.q, 0);
	}
	return there && !atomic_load_explicit(&b->broken, memory_order_relaxed);
}

void
vbus_block_disarm(struct vbus_block *b)
{
	const struct block_path *p = path_of(b);
	uint32_t i;

	for (i = 0; p != NULL && i < p->nb_queues; i++)
		kind_ring_disarm(&p->queue[i].req);
}

bool
vbus_block_broken(const struct vbus_block *b)
{
	return atomic_load_explicit(&b->broken, memory_order_relaxed) && path_of(b) != NULL;
}
