/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * North's half of a ring (vbus_ioq_north.h) against a south that writes what it likes. What must
 * hold: each buffer comes back once, in the order in which it was given away, under north's own
 * cookie; and nothing is touched beside the ring.
 */

#include <stdlib.h>

#include "fuzz.h"
#include "vbus_ioq_north.h"
#include "vbus_signal.h"

#define COUNT_MAX 64u
#define BURST	  80u

enum mode {
	TRANSMIT,
	INUSE, /* push_inuse() */
	RECEIVE,
	NB_MODES
};

struct model {
	struct vbus_ioq_north q;
	enum mode mode;
	uint64_t given;	 /* buffers given away; the cookie of the next is this */
	uint64_t back;	 /* come back */
	uint32_t popped; /* may be posted again */
};

static void
south_writes(struct fuzz_in *in, uint8_t *mem, uint32_t count)
{
	struct ioq_ring_head *h = (void *)mem;
	struct ioq_ring_desc *d = (struct ioq_ring_desc *)(void *)(mem + sizeof(*h));

	switch (in_8(in) % 5) {
	case 0:
		for (uint32_t i = in_8(in), n = in_8(in); n != 0; n--, i++)
			d[i % count].sown = 0;
		break;
	case 1:
		d[in_8(in) % count].sown = in_8(in);
		break;
	case 2:
		d += in_8(in) % count;
		d->cookie = in_num(in);
		d->len = in_num(in);
		break;
	case 3: {
		struct ioq_ring_idx *i = &h->idx[in_8(in) & 1];

		i->head = (uint32_t)in_num(in);
		i->tail = (uint32_t)in_num(in);
		i->full = in_8(in);
		break;
	}
	default:
		mem[in_word(in, 2) % vbus_ioq_size(count)] = in_8(in);
		break;
	}
}

static uint32_t
entries(struct model *m, struct vbus_ioq_entry *e, uint32_t n)
{
	uint32_t i;

	for (i = 0; i < n; i++)
		e[i] = (struct vbus_ioq_entry){.cookie = m->given + i, .ptr = i, .len = 64};
	return n;
}

static void
came_back(struct model *m, uint64_t cookie)
{
	FUZZ_CHECK(m->back < m->given);
	FUZZ_CHECK(cookie == m->back);
	m->back++;
}

static void
transmit(struct fuzz_in *in, struct model *m, uint32_t n)
{
	struct vbus_ioq_entry e[BURST];
	uint64_t cookies[BURST];
	uint32_t i, k;

	if (in_8(in) & 1) {
		uint32_t room = vbus_ioq_north_room(&m->q);

		k = vbus_ioq_north_push(&m->q, e, entries(m, e, n));
		FUZZ_CHECK(k <= n && k <= room);
		m->given += k;
	} else {
		(void)vbus_ioq_north_done_count(&m->q, n);
		k = vbus_ioq_north_reap(&m->q, cookies, n);
		FUZZ_CHECK(k <= n);
		for (i = 0; i < k; i++)
			came_back(m, cookies[i]);
	}
}

static void
receive(struct fuzz_in *in, struct model *m, uint32_t n)
{
	struct vbus_ioq_entry e[BURST];
	uint32_t i, k;

	switch (in_8(in) % 3) {
	case 0:
		k = vbus_ioq_north_post(&m->q, e, entries(m, e, n));
		FUZZ_CHECK(k <= n);
		m->given += k;
		m->popped = m->q.count - m->q.nb_used;
		break;
	case 1:
		(void)vbus_ioq_north_ready_count(&m->q, n);
		k = vbus_ioq_north_pop(&m->q, e, n);
		FUZZ_CHECK(k <= n);
		for (i = 0; i < k; i++)
			came_back(m, e[i].cookie);
		break;
	default: /* as they are: their cookies stay, so the model has to start again */
		if (m->q.nb_filled == m->q.count && m->q.nb_used == 0 && n >= m->q.count) {
			vbus_ioq_north_repost(&m->q, m->q.count);
			for (i = 0; i < m->q.count; i++)
				m->q.cookies[(m->q.head + i) % m->q.count] = m->given + i;
			m->given += m->q.count;
		}
		break;
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint64_t cookies[COUNT_MAX];
	struct model m = {0};
	struct vbus_signal sig;
	struct fuzz_in in;
	uint32_t count;
	uint8_t *mem;

	fuzz_begin(&in, data, size);
	count = 1 + in_below(&in, COUNT_MAX);
	m.mode = in_8(&in) % NB_MODES;
	mem = malloc(vbus_ioq_size(count));
	if (mem == NULL)
		abort();
	fuzz_race_lo = (uintptr_t)mem;
	fuzz_race_len = vbus_ioq_size(count);
	FUZZ_CHECK(vbus_ioq_north_format(&m.q, mem, count, cookies, 1) == 0);
	/* It looks at the magic that was written a moment ago, and may find another one. */
	if (vbus_signal_attach(&sig, mem + IOQ_RING_SIGNAL_OFFSET, VBUS_LOCALITY_NORTH) != 0)
		in.at = in.end;
	while (in_more(&in)) {
		uint8_t op = in_8(&in);
		uint32_t n = in_below(&in, BURST + 1);

		if ((op & 3) == 0) {
			south_writes(&in, mem, count);
		} else if ((op & 0x80) != 0) {
			(void)vbus_signal_inject(&sig);
			vbus_signal_take(&sig);
			(void)vbus_signal_enable(&sig);
		} else if (m.mode == TRANSMIT) {
			transmit(&in, &m, n);
		} else if (m.mode == RECEIVE) {
			receive(&in, &m, n);
		} else {
			struct vbus_ioq_entry e[BURST];

			FUZZ_CHECK(vbus_ioq_north_push_inuse(&m.q, e, entries(&m, e, n)) <= count);
		}
		FUZZ_CHECK(m.q.head < count && m.q.tail < count && m.q.nb_used <= count);
		FUZZ_CHECK(m.mode == INUSE || m.q.nb_used == m.given - m.back);
	}
	while (m.mode != INUSE && m.back != m.given) {
		uint64_t one;

		FUZZ_CHECK(vbus_ioq_north_reclaim(&m.q, &one, 1) == 1);
		came_back(&m, one);
	}
	fuzz_end();
	free(mem);
	return 0;
}
