/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * Rings and signals: what is not on the fast path. Formatting by north, checking and binding by
 * south. Runs on the control thread, before a ring is published to a polling thread; owns
 * nothing: the memory, the cursors and the private cookies are the caller's. No DPDK in here: a
 * keeper can use it.
 *
 * South reads each word of the shared head once and checks its copy. What it keeps is the count
 * and the positions, in private memory. ADR: link state, trust.
 */

#include "vbus_ioq.h"
#include "vbus_signal.h"

static const char *const refusal_names[VBUS_IOQ_NB_REFUSALS] = {
	[VBUS_IOQ_OK] = "ok",
	[VBUS_IOQ_BAD_ALIGN] = "misaligned ring",
	[VBUS_IOQ_BAD_SIZE] = "size does not match count",
	[VBUS_IOQ_BAD_MAGIC] = "bad magic",
	[VBUS_IOQ_BAD_VERSION] = "bad version",
	[VBUS_IOQ_BAD_COUNT] = "bad count",
	[VBUS_IOQ_BAD_INDEX] = "index out of range",
};

const char *
vbus_ioq_refusal_name(enum vbus_ioq_refusal why)
{
	if ((unsigned int)why >= VBUS_IOQ_NB_REFUSALS)
		return "unknown";
	return refusal_names[why];
}

static enum vbus_ioq_refusal
check_ring(const struct ioq_ring_head *head_peer, uint64_t len, uint32_t count_max, uint32_t *count)
{
	uint32_t n;

	if ((uintptr_t)head_peer % 8 != 0)
		return VBUS_IOQ_BAD_ALIGN;
	if (len < sizeof(*head_peer))
		return VBUS_IOQ_BAD_SIZE;
	if (vbus_peer_load32(&head_peer->magic) != IOQ_RING_MAGIC)
		return VBUS_IOQ_BAD_MAGIC;
	if (vbus_peer_load32(&head_peer->ver) != IOQ_RING_VER)
		return VBUS_IOQ_BAD_VERSION;
	n = vbus_peer_load32(&head_peer->count);
	if (n == 0 || n > count_max || n > VBUS_IOQ_COUNT_MAX)
		return VBUS_IOQ_BAD_COUNT;
	if (len != vbus_ioq_size(n))
		return VBUS_IOQ_BAD_SIZE;
	*count = n;
	return VBUS_IOQ_OK;
}

int
vbus_ioq_south_attach(struct vbus_ioq_south *q, void *mem_peer, uint64_t len, uint32_t count_max,
	struct vbus_ioq_cursor *cur, unsigned int how)
{
	struct ioq_ring_head *head_peer = mem_peer;
	uint32_t count = 0;
	uint32_t head;
	uint32_t tail;

	q->refusal = check_ring(head_peer, len, count_max, &count);
	if (q->refusal != VBUS_IOQ_OK)
		return -EINVAL;

	if (how == VBUS_IOQ_RESUME) {
		/* The state outlived a process or a LINKDOWN; the ring may have changed since. */
		head = cur->inuse_head;
		tail = cur->inuse_tail;
		if (cur->count != count) {
			q->refusal = VBUS_IOQ_BAD_COUNT;
			return -EINVAL;
		}
	} else {
		head = vbus_peer_load32(&head_peer->idx[IOQ_IDX_INUSE].head);
		tail = vbus_peer_load32(&head_peer->idx[IOQ_IDX_INUSE].tail);
	}
	if (head >= count || tail >= count) {
		q->refusal = VBUS_IOQ_BAD_INDEX;
		return -EINVAL;
	}

	cur->inuse_head = head;
	cur->inuse_tail = tail;
	cur->count = count;
	q->head_peer = head_peer;
	q->inuse_peer = &head_peer->idx[IOQ_IDX_INUSE];
	q->desc_peer = (struct ioq_ring_desc *)((char *)mem_peer + IOQ_RING_DESC_OFFSET);
	q->cur = cur;
	q->count = count;
	return 0;
}

int
vbus_ioq_north_format(
	struct vbus_ioq_north *q, void *mem, uint32_t count, uint64_t *cookies, uint8_t valid)
{
	struct ioq_ring_head *ring = mem;
	uint32_t i;

	if ((uintptr_t)mem % 8 != 0 || count == 0 || count > VBUS_IOQ_COUNT_MAX)
		return -EINVAL;

	/* Plain stores: the call that shares the block orders them before south's first look. */
	memset(mem, 0, vbus_ioq_size(count));
	ring->magic = IOQ_RING_MAGIC;
	ring->ver = IOQ_RING_VER;
	vbus_signal_format(&ring->signal);
	ring->count = count;

	q->desc = (struct ioq_ring_desc *)((char *)mem + IOQ_RING_DESC_OFFSET);
	q->ring = ring;
	q->cookies = cookies;
	q->count = count;
	q->head = 0;
	q->tail = 0;
	q->nb_used = 0;
	q->nb_filled = 0;
	for (i = 0; i < count; i++) {
		q->desc[i].valid = valid;
		cookies[i] = 0;
	}
	return 0;
}

void
vbus_signal_format(struct shm_signal_desc *desc)
{
	memset(desc, 0, sizeof(*desc));
	desc->magic = SHM_SIGNAL_MAGIC;
	desc->ver = SHM_SIGNAL_VER;
}

int
vbus_signal_attach(struct vbus_signal *sig, void *desc_peer, enum vbus_locality locality)
{
	struct shm_signal_desc *d = desc_peer;

	if ((uintptr_t)desc_peer % 4 != 0)
		return -EINVAL;
	if (vbus_peer_load32(&d->magic) != SHM_SIGNAL_MAGIC ||
		vbus_peer_load32(&d->ver) != SHM_SIGNAL_VER)
		return -EINVAL;
	sig->local_peer = locality == VBUS_LOCALITY_SOUTH ? &d->south : &d->north;
	sig->remote_peer = locality == VBUS_LOCALITY_SOUTH ? &d->north : &d->south;
	sig->wanted_peer = &sig->remote_peer->enabled;
	sig->told_peer = NULL;
	return 0;
}

int
vbus_signal_attach_placed(
	struct vbus_signal *sig, void *near_peer, void *far_peer, enum vbus_locality locality)
{
	struct shm_signal_desc *d = far_peer;
	int ret = vbus_signal_attach(sig, near_peer, locality);

	if (ret < 0 || (uintptr_t)far_peer % 4 != 0)
		return -EINVAL;
	if (locality == VBUS_LOCALITY_SOUTH) {
		sig->remote_peer = &d->north;
		sig->told_peer = &d->south.enabled;
	} else {
		sig->remote_peer = &d->south;
		sig->told_peer = &d->north.enabled;
	}
	return 0;
}
