/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * The machine of sim.h: depth-first through all its states, each visited once (a hash of 64 bits
 * stands for a state). One real thread; static data, one exploration at a time.
 */

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim.h"

#define SIM_OPS	   112U
#define SIM_STORES 32U
#define SIM_DEPTH  512U
#define SIM_SEEN   (1U << 22)

struct waiting_store {
	uint16_t off;
	uint8_t size;
	uint8_t epoch; /* fences that came before */
	uint64_t v;
};

struct thread {
	uint32_t nb_ops;
	uint32_t nb_stores;
	uint32_t epoch;
	bool finished;
	uint64_t history_hash;
	uint64_t history[SIM_OPS];
	struct waiting_store stores[SIM_STORES];
};

struct state {
	_Alignas(64) uint8_t mem[SIM_MEM];
	struct thread t[2];
};

enum leave {
	LEAVE_STEPPED = 1,
	LEAVE_BLOCKED,
	LEAVE_OVERFLOW,
};

static struct state now;
static struct state saved[SIM_DEPTH];
static uint64_t *seen;
static const struct sim_config *cfg;
static struct sim_result *res;

/* The step that runs. */
static jmp_buf out;
static uint32_t self;
static uint32_t pos;
static bool may_step;

uint8_t *
sim_mem(void)
{
	return now.mem;
}

static uint64_t
mix(uint64_t h, uint64_t v)
{
	h = (h ^ v) * 0x9e3779b97f4a7c15ULL;
	return h ^ h >> 29;
}

static uint64_t
hash_state(void)
{
	uint64_t h = 1;
	uint64_t word;

	for (uint32_t i = 0; i < SIM_MEM; i += 8) {
		memcpy(&word, now.mem + i, 8);
		h = mix(h, word);
	}
	for (uint32_t i = 0; i < 2; i++) {
		const struct thread *t = &now.t[i];

		h = mix(h, t->history_hash);
		h = mix(h, (uint64_t)t->nb_ops << 32 | t->nb_stores << 1 | t->finished);
		for (uint32_t k = 0; k < t->nb_stores; k++) {
			const struct waiting_store *s = &t->stores[k];

			h = mix(h, s->v);
			h = mix(h, (uint64_t)s->off << 16 | s->size << 8 | s->epoch);
		}
	}
	return h != 0 ? h : 1;
}

/* True when the state is new. */
static bool
remember(uint64_t h)
{
	uint32_t i = (uint32_t)(h >> 20) % SIM_SEEN;

	while (seen[i] != 0) {
		if (seen[i] == h)
			return false;
		i = (i + 1) % SIM_SEEN;
	}
	seen[i] = h;
	if (++res->nb_states > SIM_SEEN / 4 * 3)
		res->overflow = true;
	return true;
}

/* A store may reach the memory when no older one is behind a fence or has its address. */
static bool
can_flush(const struct thread *t, uint32_t k)
{
	for (uint32_t i = 0; i < k; i++)
		if (t->stores[i].epoch != t->stores[k].epoch ||
			t->stores[i].off == t->stores[k].off)
			return false;
	return true;
}

static void
flush(struct thread *t, uint32_t k)
{
	const struct waiting_store *s = &t->stores[k];

	memcpy(now.mem + s->off, &s->v, s->size);
	t->nb_stores--;
	memmove(&t->stores[k], &t->stores[k + 1], (t->nb_stores - k) * sizeof(*s));
	if (t->nb_stores == 0)
		t->epoch = 0;
}

static void
flush_all(struct thread *t)
{
	while (t->nb_stores > 0)
		flush(t, 0);
}

static uint16_t
offset_of(const void *p)
{
	return (uint16_t)((const uint8_t *)p - now.mem);
}

static uint64_t
load(const struct thread *t, uint16_t off, uint32_t size)
{
	uint64_t v = 0;

	for (uint32_t k = t->nb_stores; k > 0; k--)
		if (t->stores[k - 1].off == off)
			return t->stores[k - 1].v;
	memcpy(&v, now.mem + off, size);
	return v;
}

static void
fence_release(struct thread *t)
{
	if (t->nb_stores > 0 && (cfg->no_release_fence & 1U << self) == 0)
		t->epoch++;
}

/* Every access begins here: true when it is answered from the history. */
static bool
replayed(uint64_t *v)
{
	const struct thread *t = &now.t[self];

	if (pos < t->nb_ops) {
		*v = t->history[pos++];
		return true;
	}
	if (!may_step)
		longjmp(out, LEAVE_STEPPED);
	if (t->nb_ops == SIM_OPS || t->nb_stores == SIM_STORES)
		longjmp(out, LEAVE_OVERFLOW);
	return false;
}

/* ... and a new one ends here. */
static uint64_t
stepped(uint64_t v)
{
	struct thread *t = &now.t[self];

	may_step = false;
	t->history[t->nb_ops++] = v;
	t->history_hash = mix(t->history_hash, v + 1);
	pos++;
	return v;
}

uint64_t
sim_load(const void *p, uint32_t size)
{
	uint64_t v;

	if (replayed(&v))
		return v;
	return stepped(load(&now.t[self], offset_of(p), size));
}

void
sim_store(void *p, uint32_t size, uint64_t v)
{
	struct thread *t = &now.t[self];
	uint64_t ignored;

	if (replayed(&ignored))
		return;
	t->stores[t->nb_stores++] = (struct waiting_store){
		.off = offset_of(p), .size = (uint8_t)size, .epoch = (uint8_t)t->epoch, .v = v};
	stepped(0);
}

void
sim_fence_release(void)
{
	uint64_t ignored;

	if (replayed(&ignored))
		return;
	fence_release(&now.t[self]);
	stepped(0);
}

void
sim_fence_full(void)
{
	uint64_t ignored;

	if (replayed(&ignored))
		return;
	if (cfg->no_full_fence & 1U << self)
		fence_release(&now.t[self]);
	else
		flush_all(&now.t[self]);
	stepped(0);
}

void
sim_store_now(void *p, uint32_t size, uint64_t v)
{
	uint64_t ignored;

	if (replayed(&ignored))
		return;
	flush_all(&now.t[self]);
	memcpy(now.mem + offset_of(p), &v, size);
	stepped(0);
}

void
sim_wait(void *p, uint32_t size, uint64_t v, bool clear)
{
	uint16_t off = offset_of(p);
	uint64_t ignored;

	if (replayed(&ignored))
		return;
	if (load(&now.t[self], off, size) != v)
		longjmp(out, LEAVE_BLOCKED);
	if (clear) {
		flush_all(&now.t[self]);
		memset(now.mem + off, 0, size);
	}
	stepped(0);
}

bool
sim_wait_timer(void *p, uint32_t size, uint64_t v)
{
	const struct thread *other = &now.t[1 - self];
	uint64_t timer = 0;

	if (replayed(&timer))
		return timer != 0;
	if (load(&now.t[self], offset_of(p), size) != v) {
		if (!other->finished || other->nb_stores > 0)
			longjmp(out, LEAVE_BLOCKED);
		timer = 1;
	}
	flush_all(&now.t[self]);
	memset(now.mem + offset_of(p), 0, size);
	return stepped(timer) != 0;
}

/* Run a thread's body: its history, then one access more (step) or none. False: it stands still. */
static bool
run_body(uint32_t thread, bool step)
{
	self = thread;
	pos = 0;
	may_step = step;
	switch (setjmp(out)) {
	case 0:
		cfg->body[thread]();
		now.t[thread].finished = true;
		return true;
	case LEAVE_STEPPED:
		return true;
	case LEAVE_OVERFLOW:
		res->overflow = true;
		return false;
	default:
		return false;
	}
}

static void
check_end(void)
{
	bool finished[2];

	for (uint32_t i = 0; i < 2; i++) {
		finished[i] = now.t[i].finished;
		run_body(i, false);
		now.t[i].finished = finished[i];
	}
	res->nb_ends++;
	if (!cfg->check(finished))
		res->nb_bad++;
}

static void
explore(uint32_t depth)
{
	bool moved = false;

	if (cfg->stop_at_bad && res->nb_bad > 0)
		return;
	if (res->overflow || !remember(hash_state()))
		return;
	if (depth == SIM_DEPTH) {
		res->overflow = true;
		return;
	}
	saved[depth] = now;
	for (uint32_t i = 0; i < 2; i++) {
		if (!now.t[i].finished && run_body(i, true)) {
			moved = true;
			explore(depth + 1);
		}
		now = saved[depth];
		for (uint32_t k = 0; k < now.t[i].nb_stores; k++) {
			if (!can_flush(&now.t[i], k))
				continue;
			flush(&now.t[i], k);
			moved = true;
			explore(depth + 1);
			now = saved[depth];
		}
	}
	if (!moved && !res->overflow)
		check_end();
}

void
sim_explore(const struct sim_config *config, struct sim_result *result)
{
	struct state start;

	cfg = config;
	res = result;
	memset(res, 0, sizeof(*res));
	seen = calloc(SIM_SEEN, sizeof(*seen));
	if (seen == NULL) {
		fprintf(stderr, "no memory\n");
		exit(1);
	}
	memset(now.t, 0, sizeof(now.t));
	start = now;
	explore(0);
	now = start;
	free(seen);
}
