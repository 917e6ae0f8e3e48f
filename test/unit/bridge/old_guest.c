/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * A guest of the time and its bus driver, in raw bytes (its network driver: old_guest_net.c).
 * Registers are written and read as those drivers did it, rings are moved by the shared indices and
 * checked against the ownership bytes, signals are injected with no more than the driver's barriers.
 * Cookies look like kernel pointers; an unknown one, one that was closed, or an id that is known
 * fails the test, where the driver would have crashed.
 *
 * No header of include/vbus here: numbers only.
 */

#include "old_guest_ring.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "old_south.h"

#define GPA	 0x100000ULL
#define MEM_SIZE 0x1000000u
#define CPUS	 4u
#define EVENTS	 1024u

/* ---- memory and rings ---------------------------------------------------------------------- */

uint8_t *
guest_take(struct guest *g, uint32_t size, uint32_t skew, uint64_t *gpa)
{
	uint8_t *p;

	g->brk = (g->brk + 4095) & ~4095u;
	p = g->mem + g->brk + skew;
	*gpa = GPA + g->brk + skew;
	g->brk += size + skew;
	CU_ASSERT_FATAL(g->brk <= MEM_SIZE);
	return p;
}

void
guest_ring_make(struct guest *g, struct guest_ring *r, uint32_t count)
{
	static uint64_t next_cookie = 0xffff888012340000ULL;

	memset(r, 0, sizeof(*r));
	r->va = guest_take(g, 56 + 32 * count, 0, &r->gpa); /* 0 mod 64 */
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

/* North's inject: a write barrier and no more (7.2). */
void
guest_ring_inject(struct guest *g, struct guest_ring *r)
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

void
guest_ring_enable(struct guest_ring *r)
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

int32_t
guest_fast_call(struct guest *g, uint32_t vector, uint32_t args, uint32_t len)
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
		guest_ring_inject(g, r); /* once per batch (7.4) */
}

static void
on_irq(void *arg)
{
	struct guest *g = arg;

	g->irq = true;
	g->nb_irqs++;
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
				guest_net_start(&g->dev[i]);
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
	uint8_t *args = g->fast + GUEST_ARGS;
	uint32_t i;

	for (i = 0; i < CPUS; i++) {
		w32(args, i);
		w32(args + 4, 24);
		w64(args + 8, g->fast_gpa + 64 * i);
		CU_ASSERT_EQUAL(bridge_call(g, 3, g->fast_gpa + GUEST_ARGS, 16), 0);
	}
}

static void
load_events(struct guest *g)
{
	uint8_t *args = g->fast + GUEST_ARGS;
	uint32_t i;

	guest_ring_make(g, &g->evq, EVENTS);
	g->evq.dev = g;
	g->evq.notify = on_events;
	g->slots = guest_take(g, 144 * EVENTS, 0, &g->slots_gpa);
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
	CU_ASSERT_EQUAL(bridge_call(g, 1, g->fast_gpa + GUEST_ARGS, 32), 0);
	guest_ring_enable(&g->evq); /* after QREG: the driver looks now (7.17) */
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
	g->fast = guest_take(g, 8192, 0, &g->fast_gpa);
	args = g->fast + GUEST_ARGS;
	w32(args, 0xbf53eef5);
	w32(args + 4, 1);
	w64(args + 8, 0);
	CU_ASSERT_EQUAL_FATAL(bridge_call(g, 0, g->fast_gpa + GUEST_ARGS, 16), 1);
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
