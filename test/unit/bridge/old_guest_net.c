/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * The network driver of the guest of old_guest.c: probe, receive with and without L4RO, transmit with
 * and without sg descriptors. No header of include/vbus here: numbers only.
 */

#include "old_guest_ring.h"

#define L4RO_ROOM 1024u	   /* of the linear part */
#define TX_BUF	  0x10000u /* for large frames; two of them */

/* ---- calls -------------------------------------------------------------------------------- */

static int32_t
dev_call(struct guest_dev *d, uint32_t func, void *data, uint32_t len)
{
	struct guest *g = d->g;
	int32_t ret;

	memset(g->fast + GUEST_ARGS, 0xcc, 32);
	w64(g->fast + GUEST_ARGS, d->handle);
	w32(g->fast + GUEST_ARGS + 8, func);
	w32(g->fast + GUEST_ARGS + 12, len);
	w64(g->fast + GUEST_ARGS + 24, len != 0 ? g->fast_gpa + GUEST_DATA : 0xccccccccccccccccULL);
	memcpy(g->fast + GUEST_DATA, data, len);
	ret = guest_fast_call(g, 2, GUEST_ARGS, 32);
	memcpy(data, g->fast + GUEST_DATA, len);
	return ret;
}

int32_t
guest_func(struct guest_dev *d, uint32_t func)
{
	uint8_t none[1];

	return dev_call(d, func, none, 0);
}

static int32_t
dev_shm(struct guest_dev *d, uint32_t id, uint64_t gpa, uint32_t len, struct guest_ring *r)
{
	uint8_t *a = d->g->fast + GUEST_ARGS;
	int32_t ret;

	memset(a, 0xcc, 48);
	w64(a, d->handle);
	w32(a + 8, id);
	w32(a + 12, len);
	w32(a + 16, 0);
	w32(a + 24, r != NULL ? 8 : 0xffffffff);
	if (r != NULL)
		w64(a + 32, r->cookie);
	w64(a + 40, gpa);
	ret = guest_fast_call(d->g, 3, GUEST_ARGS, 48);
	CU_ASSERT(ret >= 0); /* or the guest crashes (7.6) */
	if (r != NULL)
		r->handle = ret;
	else
		CU_ASSERT_EQUAL(ret, 0);
	return ret;
}

/* ---- the network driver: receive -------------------------------------------------------------- */

static uint8_t *
page_of(struct guest_dev *d, uint64_t cookie)
{
	const uint64_t i = (cookie - 0xffffea0000000000ULL) / 64;

	CU_ASSERT_FATAL(i < 2 * GUEST_RING && cookie % 64 == 0 && d->page_used[i]);
	d->page_used[i] = false;
	return d->page_buf + 4096 * i;
}

/* Whenever the in-use index says that there is room, pages are pushed. */
static void
pages_refill(struct guest_dev *d)
{
	struct guest_ring *r = &d->pages;
	bool any = false;
	uint32_t i = 0;

	while (!idx_full(r, IDX_INUSE)) {
		const uint32_t tail = r32(r->va + IDX_INUSE + 4);

		CU_ASSERT_EQUAL_FATAL(desc(r, tail)[25], 0);
		while (d->page_used[i])
			i++;
		CU_ASSERT_FATAL(i < 2 * GUEST_RING);
		d->page_used[i] = true;
		desc_set(r, tail, 0xffffea0000000000ULL + 64 * i, d->page_buf_gpa + 4096 * i, 4096,
			0);
		idx_push(r, IDX_INUSE);
		desc(r, tail)[25] = 1;
		any = true;
	}
	if (any)
		guest_ring_inject(d->g, r);
}

static void
rx_post_l4ro(struct guest_dev *d, uint32_t i)
{
	uint8_t *sg = d->rx_pool + 304 * i;

	w64(sg, 0xffff888000000000ULL + i);
	w32(sg + 28, 1);
	w32(sg + 32, L4RO_ROOM);
	w64(sg + 40, d->rx_buf_gpa + d->rx_room * i + 2);
}

static void
rx_take_l4ro(struct guest_dev *d, uint32_t i, struct guest_frame *f)
{
	const uint8_t *sg = d->rx_pool + 304 * i;
	const uint8_t *dsc = desc(&d->rx, i);
	uint32_t k, at = 0;

	/* 7.10: written once by the driver, never again. */
	CU_ASSERT_EQUAL(r64(dsc + 8), 304 * i);
	CU_ASSERT_EQUAL(r64(dsc + 16), 304);
	CU_ASSERT_EQUAL(r64(sg), 0xffff888000000000ULL + i);
	CU_ASSERT_EQUAL(r64(sg + 40), d->rx_buf_gpa + d->rx_room * i + 2);
	f->len = r32(sg + 12);
	f->nb_iovs = f->len == 0 ? 0 : r32(sg + 28);
	CU_ASSERT_FATAL(f->nb_iovs <= 17 && f->len <= sizeof(f->data));
	f->flags = r32(sg + 8);
	f->csum_start = r16(sg + 16);
	f->csum_offset = r16(sg + 18);
	f->gso_type = sg[20];
	f->gso_size = r16(sg + 24);
	for (k = 0; k < f->nb_iovs; k++) {
		const uint32_t len = r32(sg + 32 + 16 * k);
		const uint8_t *src = k == 0 ? d->rx_buf + d->rx_room * i + 2
					    : page_of(d, r64(sg + 40 + 16 * k));

		CU_ASSERT_FATAL(len <= (k == 0 ? L4RO_ROOM : 4096) && at + len <= f->len);
		memcpy(f->data + at, src, len);
		at += len;
	}
	CU_ASSERT_EQUAL(at, f->len);
	rx_post_l4ro(d, i);
}

static void
rx_take_linear(struct guest_dev *d, uint32_t i, struct guest_frame *f)
{
	uint8_t *dsc = desc(&d->rx, i);

	f->len = (uint32_t)r64(dsc + 16);
	CU_ASSERT_FATAL(r64(dsc + 16) <= d->rx_room - 2);
	CU_ASSERT_EQUAL(r64(dsc), 0xffff888000000000ULL + i);
	memcpy(f->data, d->rx_buf + d->rx_room * i + 2, f->len);
	f->nb_iovs = 1;
	f->flags = 0;
	w64(dsc + 16, 1514);
}

static void
on_rx(struct guest_ring *r)
{
	struct guest_dev *d = r->dev;
	struct guest_frame *f = &d->frame;
	bool any = false;

	while (!idx_empty(r, IDX_INUSE)) {
		const uint32_t head = r32(r->va + IDX_INUSE);

		CU_ASSERT_EQUAL_FATAL(desc(r, head)[25], 0);
		if (d->mode & OLD_L4RO)
			rx_take_l4ro(d, head, f);
		else
			rx_take_linear(d, head, f);
		idx_pop(r, IDX_INUSE);
		desc(r, head)[25] = 1;
		any = true;
		if (f->len != 0) {
			d->nb_rx++;
			if (d->on_frame != NULL)
				d->on_frame(d, f);
		}
	}
	if (d->mode & OLD_L4RO)
		pages_refill(d);
	if (any)
		guest_ring_inject(d->g, r);
}

static void
on_nothing(struct guest_ring *r)
{
	(void)r;
}

static void
on_dev_event(struct guest_ring *r)
{
	struct guest_dev *d = r->dev;
	bool any = false;

	while (!idx_empty(r, IDX_INUSE)) {
		const uint32_t head = r32(r->va + IDX_INUSE);
		const uint8_t *ev = d->ev_pool + r64(desc(r, head) + 8);

		CU_ASSERT_EQUAL_FATAL(desc(r, head)[25], 0);
		CU_ASSERT_EQUAL(r32(ev + 8), 0); /* LINKSTATE; no TXC for such a driver */
		CU_ASSERT(ev[12] <= 1);
		d->carrier = ev[12];
		idx_pop(r, IDX_INUSE);
		desc(r, head)[25] = 1;
		any = true;
	}
	if (any)
		guest_ring_inject(d->g, r);
}

/* ---- the network driver: probe ---------------------------------------------------------------- */

static uint32_t
negcap(struct guest_dev *d, uint32_t gid, uint32_t bits)
{
	uint8_t c[8];

	w32(c, gid);
	w32(c + 4, bits);
	CU_ASSERT_EQUAL(dev_call(d, 3, c, 8), 0);
	CU_ASSERT_EQUAL(r32(c), gid);
	CU_ASSERT_EQUAL(r32(c + 4) & ~bits, 0);
	return r32(c + 4);
}

static void
probe_events(struct guest_dev *d)
{
	uint8_t q[32] = {0};
	uint32_t i;

	d->evq = negcap(d, 1, 0x3);
	CU_ASSERT_EQUAL(d->evq, 0x1); /* LINKSTATE, never TXC */
	d->mode |= OLD_EVQ;
	CU_ASSERT_EQUAL(dev_call(d, 6, q, 32), 0);
	CU_ASSERT_EQUAL(r32(q + 4), 24);
	d->ev_pool = guest_take(d->g, 6144, 0, &d->ev_pool_gpa);
	dev_shm(d, r32(q + 8), d->ev_pool_gpa, 6144, NULL);
	guest_ring_make(d->g, &d->ev, GUEST_RING);
	d->ev.dev = d;
	d->ev.notify = on_dev_event;
	dev_shm(d, r32(q + 12), d->ev.gpa, 8248, &d->ev);
	/* Filled after it was shared, without notice (7.5). */
	for (i = 0; i < GUEST_RING; i++)
		desc_set(&d->ev, i, 0xffff888000000000ULL + i, 24 * i, 24, 0);
	ring_filled(&d->ev);
	guest_ring_enable(&d->ev);
}

static void
probe_l4ro(struct guest_dev *d)
{
	uint8_t q[32] = {0};

	d->l4ro = negcap(d, 2, 0xf);
	CU_ASSERT_EQUAL(d->l4ro & 1, 1);
	d->mode |= OLD_L4RO;
	CU_ASSERT_EQUAL(dev_call(d, 7, q, 32), 0);
	d->rx_pool = guest_take(d->g, 77824, 0, &d->rx_pool_gpa);
	memset(d->rx_pool, 0, 77824);
	dev_shm(d, r32(q + 4), d->rx_pool_gpa, 77824, NULL);
	guest_ring_make(d->g, &d->pages, GUEST_RING);
	d->pages.dev = d;
	d->pages.notify = on_nothing;
	dev_shm(d, r32(q + 8), d->pages.gpa, 8248, &d->pages);
	d->page_buf = guest_take(d->g, 2 * GUEST_RING * 4096, 0, &d->page_buf_gpa);
}

static void
probe_rings(struct guest_dev *d)
{
	int32_t id;

	guest_ring_make(d->g, &d->rx, GUEST_RING);
	d->rx.dev = d;
	d->rx.notify = on_rx;
	dev_shm(d, 0, d->rx.gpa, 8248, &d->rx);
	guest_ring_make(d->g, &d->tx, GUEST_RING);
	d->tx.dev = d;
	d->tx.notify = on_nothing;
	dev_shm(d, 1, d->tx.gpa, 8248, &d->tx);
	d->tx_pool = guest_take(d->g, 77824, 0, &d->tx_pool_gpa);
	if (d->sg & 0x20) {
		d->mode |= OLD_PMTD;
		id = guest_func(d, 5);
		CU_ASSERT_FATAL(id >= 0);
		dev_shm(d, (uint32_t)id, d->tx_pool_gpa, 77824, NULL);
	}
	d->rx_room = 2048;
	d->rx_buf = guest_take(d->g, GUEST_RING * 2048, 0, &d->rx_buf_gpa);
	/* Frames at 2 mod 4; two large ones at the end. */
	d->tx_buf = guest_take(d->g, GUEST_RING * 2048 + 2 * TX_BUF, 0, &d->tx_buf_gpa);
}

static void
probe(struct guest_dev *d)
{
	const uint32_t want = d->g->want;
	uint8_t *a = d->g->fast + GUEST_ARGS;

	d->carrier = -1;
	w32(a, d->devid);
	w32(a + 4, 1);
	w64(a + 8, 0);
	CU_ASSERT_EQUAL_FATAL(guest_fast_call(d->g, 0, GUEST_ARGS, 16), 0);
	d->handle = r64(a + 8);
	CU_ASSERT_NOT_EQUAL_FATAL(d->handle, 0);
	d->sg = negcap(d, 0, want & OLD_SG ? (want & OLD_PMTD ? 0x2f : 0xf) : 0);
	if (d->sg & 1)
		d->mode |= OLD_SG;
	CU_ASSERT_EQUAL(d->mode & OLD_SG, want & OLD_SG);
	if (want & OLD_EVQ)
		probe_events(d);
	if (want & OLD_L4RO)
		probe_l4ro(d);
	probe_rings(d);
	CU_ASSERT_EQUAL(dev_call(d, 2, d->mac, 6), 0);
	CU_ASSERT_EQUAL(d->mac[0] | d->mac[1], 2);
}

/* Interface up for the first time: buffers, then LINKUP. */
static void
first_up(struct guest_dev *d)
{
	uint32_t i;

	for (i = 0; i < GUEST_RING; i++) {
		if (d->mode & OLD_L4RO) {
			rx_post_l4ro(d, i);
			desc_set(&d->rx, i, 0xffff888000000000ULL + i, 304 * i, 304, 1);
		} else {
			desc_set(&d->rx, i, 0xffff888000000000ULL + i,
				d->rx_buf_gpa + d->rx_room * i + 2, 1514, 1);
		}
	}
	ring_filled(&d->rx);
	if (d->mode & OLD_L4RO)
		pages_refill(d);
	guest_ring_inject(d->g, &d->rx);
	guest_ring_enable(&d->rx);
	guest_ring_enable(&d->tx);
	CU_ASSERT_EQUAL(guest_func(d, 0), 0);
}

/* ---- the network driver: transmit ------------------------------------------------------------- */

void
guest_reap(struct guest_dev *d)
{
	struct guest_ring *r = &d->tx;

	while (!idx_empty(r, IDX_VALID) && desc(r, r32(r->va + IDX_VALID))[25] == 0) {
		idx_pop(r, IDX_VALID);
		d->tx_pending--;
	}
}

/* The sg descriptor: in the pool's slot, or with the frame. */
static uint64_t
tx_sg(struct guest_dev *d, uint32_t i, uint64_t frame, uint32_t len, uint32_t nb_iovs,
	const struct guest_offload *o)
{
	uint8_t *sg = d->tx_pool + 304 * i;
	const uint32_t part = len / nb_iovs;
	uint32_t k, at = 0;

	memset(sg, 0x77, 32 + 16 * nb_iovs);
	w64(sg, 0xffff888000000000ULL + i);
	w32(sg + 8, o != NULL ? o->flags : 0);
	w32(sg + 12, len);
	if (o != NULL) {
		w16(sg + 16, o->csum_start);
		w16(sg + 18, o->csum_offset);
		sg[20] = o->gso_type;
		w16(sg + 22, 128); /* the linear length, not the headers' */
		w16(sg + 24, o->gso_size);
	}
	w32(sg + 28, nb_iovs);
	for (k = 0; k < nb_iovs; k++) {
		const uint32_t n = k == nb_iovs - 1 ? len - at : part;

		w32(sg + 32 + 16 * k, n);
		w64(sg + 40 + 16 * k, frame + at);
		at += n;
	}
	return d->mode & OLD_PMTD ? 304 * i : d->tx_pool_gpa + 304 * i;
}

bool
guest_xmit(struct guest_dev *d, const uint8_t *frame, uint32_t len, uint32_t nb_iovs,
	const struct guest_offload *o)
{
	struct guest_ring *r = &d->tx;
	uint32_t i, off;
	uint64_t ptr;

	guest_reap(d);
	if (idx_full(r, IDX_VALID))
		return false;
	i = r32(r->va + IDX_VALID + 4);
	off = len <= 2046 ? 2048 * i + 2 : GUEST_RING * 2048 + 2;
	memcpy(d->tx_buf + off, frame, len);
	if (d->mode & OLD_SG) {
		ptr = tx_sg(d, i, d->tx_buf_gpa + off, len, nb_iovs, o);
		desc_set(r, i, 0xffff888000000000ULL + i, ptr, 48 + 16 * (nb_iovs - 1), 1);
	} else {
		desc_set(r, i, 0xffff888000000000ULL + i, d->tx_buf_gpa + off, len, 1);
	}
	idx_push(r, IDX_VALID);
	idx_push(r, IDX_INUSE);
	desc(r, i)[25] = 1;
	d->tx_pending++;
	guest_ring_inject(d->g, r);
	return true;
}

void
guest_net_start(struct guest_dev *d)
{
	probe(d);
	first_up(d);
}
