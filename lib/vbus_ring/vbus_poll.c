/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * Rings for pollers: formatting by north, checking and binding by south (ADR-0017). Control thread;
 * owns nothing. No DPDK in here: a keeper can use it.
 */

#include "vbus_poll.h"

#include "vbus_signal.h"

/* @param back  of a placed ring, else NULL */
static void
bind_ring(struct vbus_poll *r, uint8_t *mem, uint8_t *back, uint32_t kind, uint32_t count)
{
	struct venet_poll_head *head = (void *)mem;
	uint8_t log2 = (uint8_t)__builtin_ctz(count);

	memset(r, 0, sizeof(*r));
	r->desc = (uint64_t *)(void *)(mem + VENET_POLL_DESC_OFFSET);
	if (back != NULL && kind == VENET_POLL_RX) {
		r->comp = (uint32_t *)(void *)(back + VENET_POLL_BACK_COMP_OFFSET);
		r->meta = (uint64_t *)(void *)(back + VENET_POLL_BACK_META_OFFSET(count));
	} else if (back != NULL) {
		r->done = &((struct venet_poll_back *)(void *)back)->done;
	} else if (kind == VENET_POLL_RX) {
		r->comp = (uint32_t *)(void *)(mem + VENET_POLL_COMP_OFFSET(count));
		r->meta = (uint64_t *)(void *)(mem + VENET_POLL_META_OFFSET(count));
	} else {
		r->done = &head->done;
	}
	r->mask = count - 1;
	r->desc_shift = (uint8_t)(63 - log2);
	r->comp_shift = (uint8_t)(31 - log2);
}

static void
bind_store(struct vbus_poll *r, uint8_t *mem, uint32_t room)
{
	r->store = (uint64_t *)(void *)(mem + VENET_POLL_STORE_OFFSET(r->mask + 1));
	r->room = room;
}

static bool
is_count(uint32_t count)
{
	return count >= VENET_POLL_COUNT_MIN && count <= VENET_POLL_COUNT_MAX &&
	       (count & (count - 1)) == 0;
}

uint32_t
vbus_poll_count(uint32_t n)
{
	uint32_t count = VENET_POLL_COUNT_MIN;

	while (count < n)
		count *= 2;
	return count;
}

static int
format(struct vbus_poll_north *q, void *mem, void *back, uint64_t size, uint32_t kind,
	uint32_t count, uint32_t limit)
{
	struct venet_poll_head *head = mem;

	if ((uintptr_t)mem % 64 != 0 || (uintptr_t)back % 64 != 0 || !is_count(count) ||
		kind > VENET_POLL_TX || limit == 0 || limit > count)
		return -EINVAL;
	/* No order: the call that shares the block comes later. Not memset(): device memory is stored
	 * to in words.
	 */
	for (uint64_t i = 0; i < size; i += 8)
		vbus_peer_store64((uint64_t *)(void *)((uint8_t *)mem + i), 0);
	head->magic = VENET_POLL_MAGIC;
	head->ver = VENET_POLL_VER;
	vbus_signal_format(&head->signal);
	head->count = count;
	head->kind = kind;
	bind_ring(&q->r, mem, back, kind, count);
	q->head = 0;
	q->tail = 0;
	q->limit = limit;
	return 0;
}

int
vbus_poll_north_format(
	struct vbus_poll_north *q, void *mem, uint32_t kind, uint32_t count, uint32_t limit)
{
	return format(q, mem, NULL, vbus_poll_size(kind, count), kind, count, limit);
}

int
vbus_poll_north_format_placed(struct vbus_poll_north *q, void *far, void *back, uint64_t back_addr,
	uint32_t kind, uint32_t count, uint32_t limit)
{
	struct venet_poll_head *head = far;
	struct venet_poll_back *b = back;
	int ret = back == NULL
			  ? -EINVAL
			  : format(q, far, back, vbus_poll_placed_size(count), kind, count, limit);

	if (ret != 0)
		return ret;
	memset(back, 0, vbus_poll_back_size(kind, count));
	vbus_signal_format(&b->signal);
	head->back = back_addr;
	return 0;
}

void
vbus_poll_north_newest(struct vbus_poll_north *q, void *mem, uint32_t room)
{
	struct venet_poll_head *head = mem;

	head->room = room;
	bind_store(&q->r, mem, room);
}

/** Kinds of block, beside what VENET_POLL_* says. */
enum form {
	FORM_WHOLE,
	FORM_PLACED,
	FORM_NEWEST,
};

static uint64_t
form_size(enum form form, uint32_t kind, uint32_t count)
{
	if (form == FORM_PLACED)
		return vbus_poll_placed_size(count);
	return form == FORM_NEWEST ? VENET_POLL_RX_NEWEST_SIZE(count) : vbus_poll_size(kind, count);
}

static enum vbus_ioq_refusal
check_ring(const struct venet_poll_head *head_peer, uint64_t len, enum form form, uint32_t kind,
	uint32_t count_max, uint32_t *count)
{
	uint32_t n;

	if ((uintptr_t)head_peer % 64 != 0)
		return VBUS_IOQ_BAD_ALIGN;
	if (len < sizeof(*head_peer))
		return VBUS_IOQ_BAD_SIZE;
	if (vbus_peer_load32(&head_peer->magic) != VENET_POLL_MAGIC)
		return VBUS_IOQ_BAD_MAGIC;
	if (vbus_peer_load32(&head_peer->ver) != VENET_POLL_VER ||
		vbus_peer_load32(&head_peer->kind) != kind)
		return VBUS_IOQ_BAD_VERSION;
	n = vbus_peer_load32(&head_peer->count);
	if (!is_count(n) || n > count_max)
		return VBUS_IOQ_BAD_COUNT;
	if (len != form_size(form, kind, n))
		return VBUS_IOQ_BAD_SIZE;
	*count = n;
	return VBUS_IOQ_OK;
}

/*
 * The position moves before the entries are completed: whoever was killed in between leaves entries that
 * nobody completes, and north waits for the first of them. They are the last ones before the
 * position, and all that is known of them is that they hold no frame. On the first lap the search
 * ends at entry 0: what is before it has the phase of a lap before the first one. With NEWEST their
 * buffers lie in the store yet, right behind what it holds, the first one's last.
 */
static void
complete_left_over(struct vbus_poll_south *q)
{
	const struct vbus_poll *r = &q->r;
	const uint32_t pos = q->cur->inuse_head, held = q->cur->inuse_tail - pos;
	uint32_t n, comp;

	for (n = 0; n <= r->mask; n++)
		if (vbus_poll_comp_is_ready(r, vbus_poll_load_comp(r, pos - n - 1), pos - n - 1))
			break;
	for (; n > 0; n--) {
		comp = vbus_poll_comp_phase(r, pos - n);
		if (r->store != NULL)
			comp |= vbus_poll_comp_of(
				vbus_peer_load64(&r->store[(held + n - 1) & r->mask]));
		vbus_peer_store32_release(&r->comp[(pos - n) & r->mask], comp);
	}
}

static int
attach(struct vbus_poll_south *q, void *mem_peer, uint64_t len, enum form form, void *back,
	uint64_t back_len, uint32_t kind, uint32_t count_max, struct vbus_ioq_cursor *cur,
	unsigned int how)
{
	const struct venet_poll_head *head_peer = mem_peer;
	uint32_t count = 0, room = 0;

	q->refusal = check_ring(head_peer, len, form, kind, count_max, &count);
	/* The count that was read before may not be this one. */
	if (q->refusal == VBUS_IOQ_OK && back != NULL &&
		back_len != vbus_poll_back_size(kind, count))
		q->refusal = VBUS_IOQ_BAD_SIZE;
	if (q->refusal == VBUS_IOQ_OK && how == VBUS_IOQ_RESUME &&
		(cur->count != count ||
			(form == FORM_NEWEST && cur->inuse_tail - cur->inuse_head > count)))
		q->refusal = VBUS_IOQ_BAD_COUNT;
	if (q->refusal == VBUS_IOQ_OK && form == FORM_NEWEST) {
		room = vbus_peer_load32(&head_peer->room);
		if (room == 0 || room > VENET_POLL_LEN_MAX)
			q->refusal = VBUS_IOQ_BAD_SIZE;
	}
	if (q->refusal != VBUS_IOQ_OK)
		return -EINVAL;
	if (how == VBUS_IOQ_FRESH) {
		cur->inuse_head = 0;
		cur->inuse_tail = 0;
		cur->count = count;
	}
	bind_ring(&q->r, mem_peer, back, kind, count);
	if (form == FORM_NEWEST)
		bind_store(&q->r, mem_peer, room);
	q->cur = cur;
	if (kind == VENET_POLL_TX)
		vbus_peer_store32_release(q->r.done, cur->inuse_head);
	else if (how == VBUS_IOQ_RESUME)
		complete_left_over(q);
	return 0;
}

int
vbus_poll_south_attach(struct vbus_poll_south *q, void *mem_peer, uint64_t len, uint32_t kind,
	uint32_t count_max, struct vbus_ioq_cursor *cur, unsigned int how)
{
	return attach(q, mem_peer, len, FORM_WHOLE, NULL, 0, kind, count_max, cur, how);
}

int
vbus_poll_south_attach_newest(struct vbus_poll_south *q, void *mem_peer, uint64_t len,
	uint32_t count_max, struct vbus_ioq_cursor *cur, unsigned int how)
{
	return attach(q, mem_peer, len, FORM_NEWEST, NULL, 0, VENET_POLL_RX, count_max, cur, how);
}

uint64_t
vbus_poll_south_back(const void *mem_peer, uint64_t len, uint32_t kind, uint64_t *back_len)
{
	const struct venet_poll_head *head = mem_peer;
	uint32_t count = 0;

	if (check_ring(head, len, FORM_PLACED, kind, VENET_POLL_COUNT_MAX, &count) != VBUS_IOQ_OK)
		return 0;
	*back_len = vbus_poll_back_size(kind, count);
	return vbus_peer_load64(&head->back);
}

int
vbus_poll_south_attach_placed(struct vbus_poll_south *q, void *mem_peer, uint64_t len, void *back,
	uint64_t back_len, uint32_t kind, uint32_t count_max, struct vbus_ioq_cursor *cur,
	unsigned int how)
{
	if (back == NULL || (uintptr_t)back % 64 != 0) {
		q->refusal = VBUS_IOQ_BAD_ALIGN;
		return -EINVAL;
	}
	return attach(q, mem_peer, len, FORM_PLACED, back, back_len, kind, count_max, cur, how);
}
