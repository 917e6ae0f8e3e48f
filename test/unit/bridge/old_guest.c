/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * A guest of the time, bus driver and network driver, in raw bytes. Registers are written and read as
 * those drivers did it, rings are moved by the shared indices and checked against the ownership
 * bytes, signals are injected with no more than the driver's barriers. Cookies look like kernel
 * pointers; an unknown one, one that was closed, or an id that is known fails the test, where the
 * driver would have crashed.
 *
 * No header of include/vbus here: numbers only.
 */

#include "old_guest.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <CUnit/CUnit.h>

#include "old_south.h"

#define GPA	  0x100000ULL
#define MEM_SIZE  0x1000000u
#define CPUS	  4u
#define EVENTS	  1024u
#define L4RO_ROOM 1024u	   /* of the linear part */
#define TX_BUF	  0x10000u /* for large frames; two of them */

/* ---- bytes ------------------------------------------------------------------------------------ */

static uint16_t
r16(const uint8_t *p)
{
	return (uint16_t)(p[0] | p[1] << 8);
}

static uint32_t
r32(const uint8_t *p)
{
	return r16(p) | (uint32_t)r16(p + 2) << 16;
}

static uint64_t
r64(const uint8_t *p)
{
	return r32(p) | (uint64_t)r32(p + 4) << 32;
}

static void
w16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)v;
	p[1] = (uint8_t)(v >> 8);
}

static void
w32(uint8_t *p, uint32_t v)
{
	w16(p, (uint16_t)v);
	w16(p + 2, (uint16_t)(v >> 16));
}

static void
w64(uint8_t *p, uint64_t v)
{
	w32(p, (uint32_t)v);
	w32(p + 4, (uint32_t)(v >> 32));
}

static uint8_t *
take(struct guest *g, uint32_t size, uint32_t skew, uint64_t *gpa)
{
	uint8_t *p;

	g->brk = (g->brk + 4095) & ~4095u;
	p = g->mem + g->brk + skew;
	*gpa = GPA + g->brk + skew;
	g->brk += size + skew;
	CU_ASSERT_FATAL(g->brk <= MEM_SIZE);
	return p;
}

/* ---- rings ------------------------------------------------------------------------------------ */

#define IDX_VALID 24
#define IDX_INUSE 36

static uint8_t *
desc(const struct guest_ring *r, uint32_t i)
{
	return r->va + 56 + 32 * i;
}

static bool
idx_empty(const struct guest_ring *r, uint32_t idx)
{
	const uint8_t *p = r->va + idx;

	return r32(p) == r32(p + 4) && p[8] == 0;
}

static bool
idx_full(const struct guest_ring *r, uint32_t idx)
{
	const uint8_t *p = r->va + idx;

	return r32(p) == r32(p + 4) && p[8] != 0;
}

static void
idx_push(struct guest_ring *r, uint32_t idx)
{
	uint8_t *p = r->va + idx;
	uint32_t tail = r32(p + 4) + 1;

	if (tail == r->count)
		tail = 0;
	w32(p + 4, tail);
	if (tail == r32(p))
		p[8] = 1;
}

static void
idx_pop(struct guest_ring *r, uint32_t idx)
{
	uint8_t *p = r->va + idx;
	uint32_t head = r32(p) + 1;

	w32(p, head == r->count ? 0 : head);
	p[8] = 0;
}

static void
ring_make(struct guest *g, struct guest_ring *r, uint32_t count)
{
	static uint64_t next_cookie = 0xffff888012340000ULL;

	memset(r, 0, sizeof(*r));
	r->va = take(g, 56 + 32 * count, 0, &r->gpa); /* 0 mod 64 */
	memset(r->va, 0, 56 + 32 * count);
	w32(r->va, 0x47fa2fe4);
	w32(r->va + 4, 4);
	w32(r->va + 8, 0x58fa39df);
	w32(r->va + 12, 1);
	w32(r->va + 48, count);
	r->count = count;
	r->handle = -1;
	r->cookie = next_cookie;
	next_cookie += 0x140;
}

static void
desc_set(struct guest_ring *r, uint32_t i, uint64_t cookie, uint64_t ptr, uint64_t len,
	uint8_t valid)
{
	uint8_t *d = desc(r, i);

	w64(d, cookie);
	w64(d + 8, ptr);
	w64(d + 16, len);
	d[24] = valid;
}

/* The first fill of a receive or event ring: all of it, on the valid index. */
static void
ring_filled(struct guest_ring *r)
{
	uint32_t i;

	for (i = 0; i < r->count; i++) {
		idx_push(r, IDX_VALID);
		desc(r, i)[25] = 1;
	}
	CU_ASSERT(idx_full(r, IDX_VALID));
}

/* North's inject: a write barrier and no more (7.2). */
static void
ring_inject(struct guest *g, struct guest_ring *r)
{
	uint8_t *south = r->va + 19;

	south[2] = 1;
	__atomic_thread_fence(__ATOMIC_RELEASE);
	if (south[0] == 0 || south[1] != 0)
		return;
	south[1] = 1;
	if (r == &g->evq)
		vbus_bridge_signal_write(g->b, 0, 0);
	else if (r->handle >= 0)
		vbus_bridge_signal_write(g->b, 8, (uint32_t)r->handle);
}

/* North's wake-up on delivery. */
static void
ring_wakeup(struct guest_ring *r)
{
	uint8_t *north = r->va + 16;

	while (north[0] != 0 && (north[2] != 0 || north[1] != 0)) {
		do {
			north[2] = 0;
			r->notify(r);
		} while (north[2] != 0);
		north[1] = 0;
	}
}

static void
ring_enable(struct guest_ring *r)
{
	r->va[16] = 1;
	ring_wakeup(r);
}

/* ---- the bus driver --------------------------------------------------------------------------- */

static int32_t
bridge_call(struct guest *g, uint32_t vector, uint64_t datap, uint32_t len)
{
	uint8_t v[4];

	w32(v, vector);
	vbus_bridge_regs_write(g->b, 0, v, 4);
	w32(v, len);
	vbus_bridge_regs_write(g->b, 4, v, 4);
	w32(v, (uint32_t)datap);
	vbus_bridge_regs_write(g->b, 8, v, 4);
	w32(v, (uint32_t)(datap >> 32));
	vbus_bridge_regs_write(g->b, 12, v, 4);
	vbus_bridge_regs_read(g->b, 0, v, 4);
	return (int32_t)r32(v);
}

static int32_t
fast_call(struct guest *g, uint32_t vector, uint32_t args, uint32_t len)
{
	static uint32_t cpu;
	uint8_t *block;

	cpu = (cpu + 1) % CPUS;
	block = g->fast + 64 * cpu;
	w32(block, vector);
	w32(block + 4, len);
	w64(block + 8, g->fast_gpa + args);
	w32(block + 16, 0xdeadbeef);
	vbus_bridge_signal_write(g->b, 4, cpu);
	CU_ASSERT_NOT_EQUAL(r32(block + 16), 0xdeadbeef);
	return (int32_t)r32(block + 16);
}

#define ARGS 0x400u /* behind the channels' blocks */
#define DATA 0x800u

static int32_t
dev_call(struct guest_dev *d, uint32_t func, void *data, uint32_t len)
{
	struct guest *g = d->g;
	int32_t ret;

	memset(g->fast + ARGS, 0xcc, 32);
	w64(g->fast + ARGS, d->handle);
	w32(g->fast + ARGS + 8, func);
	w32(g->fast + ARGS + 12, len);
	w64(g->fast + ARGS + 24, len != 0 ? g->fast_gpa + DATA : 0xccccccccccccccccULL);
	memcpy(g->fast + DATA, data, len);
	ret = fast_call(g, 2, ARGS, 32);
	memcpy(data, g->fast + DATA, len);
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
	uint8_t *a = d->g->fast + ARGS;
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
	ret = fast_call(d->g, 3, ARGS, 48);
	CU_ASSERT(ret >= 0); /* or the guest crashes (7.6) */
	if (r != NULL)
		r->handle = ret;
	else
		CU_ASSERT_EQUAL(ret, 0);
	return ret;
}

static struct guest_ring *
ring_by_cookie(struct guest *g, uint64_t cookie)
{
	unsigned int i, k;

	for (i = 0; i < GUEST_DEVS; i++) {
		struct guest_dev *d = &g->dev[i];
		struct guest_ring *rings[] = {&d->rx, &d->tx, &d->ev, &d->pages};

		for (k = 0; k < 4; k++)
			if (rings[k]->va != NULL && rings[k]->cookie == cookie)
				return rings[k];
	}
	return NULL;
}

static void
on_devadd(struct guest *g, const uint8_t *slot)
{
	struct guest_dev *d;

	CU_ASSERT_STRING_EQUAL((const char *)slot + 16, "virtual-ethernet");
	CU_ASSERT(r64(slot + 8) > g->last_devid); /* or the guest crashes (7.14) */
	CU_ASSERT(r64(slot + 8) <= 0xffffffff);
	g->last_devid = r64(slot + 8);
	CU_ASSERT_FATAL(g->nb_devs < GUEST_DEVS);
	d = &g->dev[g->nb_devs];
	memset(d, 0, sizeof(*d));
	d->g = g;
	d->index = g->nb_devs++;
	d->present = true;
	d->devid = (uint32_t)r64(slot + 8);
}

static void
on_event(struct guest *g, const uint8_t *slot)
{
	struct guest_ring *r;
	unsigned int i;

	switch (r32(slot)) {
	case 0:
		on_devadd(g, slot);
		break;
	case 1:
		for (i = 0; i < g->nb_devs; i++)
			if (g->dev[i].devid == r64(slot + 8))
				g->dev[i].dropped = true;
		break;
	case 2:
	case 3:
		r = ring_by_cookie(g, r64(slot + 8));
		CU_ASSERT_PTR_NOT_NULL_FATAL(r); /* a wild kernel pointer */
		CU_ASSERT_FALSE(r->closed);
		if (r32(slot) == 3)
			r->closed = true;
		else
			ring_wakeup(r);
		break;
	default:
		CU_FAIL("unknown event");
	}
}

static void
on_events(struct guest_ring *r)
{
	struct guest *g = r->dev;
	bool any = false;
	uint8_t slot[144];

	while (!idx_empty(r, IDX_INUSE)) {
		const uint32_t head = r32(r->va + IDX_INUSE);
		uint8_t *d = desc(r, head);

		CU_ASSERT_EQUAL_FATAL(d[25], 0); /* the index says it is ours */
		CU_ASSERT_EQUAL(r64(d + 8), g->slots_gpa + 144 * head);
		memcpy(slot, g->slots + 144 * head, 144);
		memset(g->slots + 144 * head, 0x99, 144);
		idx_pop(r, IDX_INUSE);
		d[25] = 1;
		any = true;
		on_event(g, slot);
	}
	if (any)
		ring_inject(g, r); /* once per batch (7.4) */
}

static void
on_irq(void *arg)
{
	struct guest *g = arg;

	g->irq = true;
	g->nb_irqs++;
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
		ring_inject(d->g, r);
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
		ring_inject(d->g, r);
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
		ring_inject(d->g, r);
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
	d->ev_pool = take(d->g, 6144, 0, &d->ev_pool_gpa);
	dev_shm(d, r32(q + 8), d->ev_pool_gpa, 6144, NULL);
	ring_make(d->g, &d->ev, GUEST_RING);
	d->ev.dev = d;
	d->ev.notify = on_dev_event;
	dev_shm(d, r32(q + 12), d->ev.gpa, 8248, &d->ev);
	/* Filled after it was shared, without notice (7.5). */
	for (i = 0; i < GUEST_RING; i++)
		desc_set(&d->ev, i, 0xffff888000000000ULL + i, 24 * i, 24, 0);
	ring_filled(&d->ev);
	ring_enable(&d->ev);
}

static void
probe_l4ro(struct guest_dev *d)
{
	uint8_t q[32] = {0};

	d->l4ro = negcap(d, 2, 0xf);
	CU_ASSERT_EQUAL(d->l4ro & 1, 1);
	d->mode |= OLD_L4RO;
	CU_ASSERT_EQUAL(dev_call(d, 7, q, 32), 0);
	d->rx_pool = take(d->g, 77824, 0, &d->rx_pool_gpa);
	memset(d->rx_pool, 0, 77824);
	dev_shm(d, r32(q + 4), d->rx_pool_gpa, 77824, NULL);
	ring_make(d->g, &d->pages, GUEST_RING);
	d->pages.dev = d;
	d->pages.notify = on_nothing;
	dev_shm(d, r32(q + 8), d->pages.gpa, 8248, &d->pages);
	d->page_buf = take(d->g, 2 * GUEST_RING * 4096, 0, &d->page_buf_gpa);
}

static void
probe_rings(struct guest_dev *d)
{
	int32_t id;

	ring_make(d->g, &d->rx, GUEST_RING);
	d->rx.dev = d;
	d->rx.notify = on_rx;
	dev_shm(d, 0, d->rx.gpa, 8248, &d->rx);
	ring_make(d->g, &d->tx, GUEST_RING);
	d->tx.dev = d;
	d->tx.notify = on_nothing;
	dev_shm(d, 1, d->tx.gpa, 8248, &d->tx);
	d->tx_pool = take(d->g, 77824, 0, &d->tx_pool_gpa);
	if (d->sg & 0x20) {
		d->mode |= OLD_PMTD;
		id = guest_func(d, 5);
		CU_ASSERT_FATAL(id >= 0);
		dev_shm(d, (uint32_t)id, d->tx_pool_gpa, 77824, NULL);
	}
	d->rx_room = 2048;
	d->rx_buf = take(d->g, GUEST_RING * 2048, 0, &d->rx_buf_gpa);
	/* Frames at 2 mod 4; two large ones at the end. */
	d->tx_buf = take(d->g, GUEST_RING * 2048 + 2 * TX_BUF, 0, &d->tx_buf_gpa);
}

static void
probe(struct guest_dev *d)
{
	const uint32_t want = d->g->want;
	uint8_t *a = d->g->fast + ARGS;

	d->carrier = -1;
	w32(a, d->devid);
	w32(a + 4, 1);
	w64(a + 8, 0);
	CU_ASSERT_EQUAL_FATAL(fast_call(d->g, 0, ARGS, 16), 0);
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
	ring_inject(d->g, &d->rx);
	ring_enable(&d->rx);
	ring_enable(&d->tx);
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
	ring_inject(d->g, r);
	return true;
}

/* ---- life ------------------------------------------------------------------------------------- */

void
guest_isr(struct guest *g)
{
	unsigned int i;

	while (g->irq) {
		g->irq = false;
		ring_wakeup(&g->evq);
		for (i = 0; i < g->nb_devs; i++)
			if (g->dev[i].present && g->dev[i].handle == 0) {
				probe(&g->dev[i]);
				first_up(&g->dev[i]);
			}
	}
}

void
guest_run(struct guest *g)
{
	unsigned int quiet = 0;

	while (quiet < 3) {
		quiet = g->irq ? 0 : quiet + 1;
		guest_isr(g);
		south_pause(2);
	}
}

static void
config_write(struct guest *g, uint32_t off, uint32_t v, uint32_t len)
{
	uint8_t b[4];

	w32(b, v);
	vbus_bridge_config_write(g->b, off, b, len);
}

static void
load_channels(struct guest *g)
{
	uint8_t *args = g->fast + ARGS;
	uint32_t i;

	for (i = 0; i < CPUS; i++) {
		w32(args, i);
		w32(args + 4, 24);
		w64(args + 8, g->fast_gpa + 64 * i);
		CU_ASSERT_EQUAL(bridge_call(g, 3, g->fast_gpa + ARGS, 16), 0);
	}
}

static void
load_events(struct guest *g)
{
	uint8_t *args = g->fast + ARGS;
	uint32_t i;

	ring_make(g, &g->evq, EVENTS);
	g->evq.dev = g;
	g->evq.notify = on_events;
	g->slots = take(g, 144 * EVENTS, 0, &g->slots_gpa);
	memset(g->slots, 0x99, 144 * EVENTS);
	for (i = 0; i < EVENTS; i++)
		desc_set(&g->evq, i, 0xffff888000000000ULL + 144 * i, g->slots_gpa + 144 * i, 144,
			1);
	ring_filled(&g->evq);
	memset(args, 0xcc, 32);
	w32(args, 1);
	w32(args + 8, EVENTS);
	w64(args + 16, g->evq.gpa);
	w64(args + 24, g->slots_gpa);
	CU_ASSERT_EQUAL(bridge_call(g, 1, g->fast_gpa + ARGS, 32), 0);
	ring_enable(&g->evq); /* after QREG: the driver looks now (7.17) */
	g->irq = true;
}

void
guest_load(struct guest *g, uint32_t want)
{
	uint8_t c[64];
	uint8_t *args;

	g->brk = 0;
	g->want = want;
	g->nb_devs = 0;
	memset(g->dev, 0, sizeof(g->dev));
	vbus_bridge_config_read(g->b, 0, c, 64);
	CU_ASSERT_EQUAL(r16(c), 0x11da);
	CU_ASSERT_EQUAL(r16(c + 2), 0x2000);
	CU_ASSERT_EQUAL(c[8], 2);
	config_write(g, 4, 0x107, 2);
	g->fast = take(g, 8192, 0, &g->fast_gpa);
	args = g->fast + ARGS;
	w32(args, 0xbf53eef5);
	w32(args + 4, 1);
	w64(args + 8, 0);
	CU_ASSERT_EQUAL_FATAL(bridge_call(g, 0, g->fast_gpa + ARGS, 16), 1);
	CU_ASSERT_EQUAL(r64(args + 8), 0);
	config_write(g, 0x44, 0xfee01000, 4);
	config_write(g, 0x48, 0, 4);
	config_write(g, 0x4c, 0x4021, 2);
	config_write(g, 0x42, 0x81, 2);
	load_channels(g);
	load_events(g);
	guest_isr(g);
}

void
guest_unload(struct guest *g)
{
	config_write(g, 4, 0x103, 2);
	g->nb_devs = 0;
}

void
guest_up(struct guest *g)
{
	memset(g, 0, sizeof(*g));
	g->fd = memfd_create("guest", MFD_CLOEXEC);
	CU_ASSERT_FATAL(g->fd >= 0 && ftruncate(g->fd, MEM_SIZE) == 0);
	g->mem = mmap(NULL, MEM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, g->fd, 0);
	CU_ASSERT_FATAL(g->mem != MAP_FAILED);
	g->b = south_up(on_irq, g);
	/* Two regions of one file, adjacent. */
	south_map(g->b, GPA, MEM_SIZE / 2 - 4096, g->fd, 0);
	south_map(g->b, GPA + MEM_SIZE / 2 - 4096, MEM_SIZE / 2 + 4096, g->fd, MEM_SIZE / 2 - 4096);
}

void
guest_down(struct guest *g)
{
	south_down();
	munmap(g->mem, MEM_SIZE);
	close(g->fd);
}
