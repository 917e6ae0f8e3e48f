/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * South's half of a ring (vbus_ioq_south.h, attach) and of a signal against a north that writes
 * what it likes, where it likes, at any time. The ring is a block of exactly its size: a step
 * beside it is seen.
 */

#include <stdlib.h>

#include "fuzz.h"
#include "vbus_ioq_north.h"
#include "vbus_ioq_south.h"
#include "vbus_signal.h"

#define COUNT_MAX 64u
#define BURST	  80u

static struct vbus_ioq_cursor cur;
static uint64_t cookies[COUNT_MAX];

static void
north_writes(struct fuzz_in *in, uint8_t *mem, uint64_t len)
{
	struct ioq_ring_head *h = (void *)mem;
	struct ioq_ring_desc *d;
	uint32_t nb;

	if (len < sizeof(*h))
		return;
	nb = (uint32_t)((len - sizeof(*h)) / sizeof(*d));
	d = (struct ioq_ring_desc *)(void *)(mem + sizeof(*h));
	switch (in_8(in) % 6) {
	case 0: /* many change hands */
		for (uint32_t i = in_8(in), n = in_8(in); n != 0 && nb != 0; n--, i++)
			d[i % nb].sown = 1;
		break;
	case 1:
		if (nb != 0)
			d[in_8(in) % nb].sown = in_8(in);
		break;
	case 2:
		if (nb != 0) {
			d += in_8(in) % nb;
			d->ptr = in_num(in);
			d->len = in_num(in);
		}
		break;
	case 3: {
		struct ioq_ring_idx *i = &h->idx[in_8(in) & 1];

		i->head = (uint32_t)in_num(in);
		i->tail = (uint32_t)in_num(in);
		i->full = in_8(in);
		break;
	}
	case 4:
		h->count = (uint32_t)in_num(in);
		break;
	default: /* anything, anywhere */
		mem[in_word(in, 2) % len] = in_8(in);
		break;
	}
}

static void
check_cursor(const struct vbus_ioq_south *q)
{
	FUZZ_CHECK(q->cur->inuse_head < q->count && q->cur->inuse_tail < q->count);
	FUZZ_CHECK(q->count <= COUNT_MAX);
}

static void
looked(void *ctx)
{
	(void)ctx;
}

static void
south_does(struct fuzz_in *in, struct vbus_ioq_south *q, struct vbus_signal *sig)
{
	struct vbus_ioq_entry e[BURST];
	uint32_t n = in_below(in, BURST + 1), k;

	switch (in_8(in) % 8) {
	case 0:
		k = vbus_ioq_south_consume_peek(q, e, n);
		FUZZ_CHECK(k <= n && k <= q->count);
		vbus_ioq_south_consume_pop(q, k);
		break;
	case 1: /* some of them only */
		k = vbus_ioq_south_consume_peek(q, e, n);
		vbus_ioq_south_consume_pop(q, k / 2);
		break;
	case 2:
		k = vbus_ioq_south_produce_peek(q, e, n);
		FUZZ_CHECK(k <= n && k <= q->count);
		vbus_ioq_south_produce_push(q, e, k);
		break;
	case 3:
		k = vbus_ioq_south_produce_peek(q, e, n);
		vbus_ioq_south_produce_push_keep(q, k);
		break;
	case 4:
		FUZZ_CHECK(vbus_ioq_south_consume_count(q, n) <= q->count);
		FUZZ_CHECK(vbus_ioq_south_produce_count(q, n) <= q->count);
		break;
	case 5:
		(void)vbus_ioq_south_consume_is_ready(q, n % q->count);
		(void)vbus_ioq_south_produce_is_ready(q, n % q->count);
		break;
	case 6:
		(void)vbus_signal_inject(sig);
		if (vbus_signal_enable(sig))
			(void)vbus_signal_wakeup(sig, looked, NULL, n);
		break;
	default:
		vbus_signal_take(sig);
		vbus_signal_disable(sig);
		(void)vbus_signal_is_outstanding(sig);
		break;
	}
	check_cursor(q);
}

/* A ring as north makes it, and then what the input makes of it. */
static uint8_t *
make(struct fuzz_in *in, uint64_t *len)
{
	struct vbus_ioq_north north;
	uint32_t count = 1 + in_below(in, COUNT_MAX), i;
	uint8_t how = in_8(in), *mem;

	*len = vbus_ioq_size(count);
	if (how >= 0xf0)
		*len = in_word(in, 2) % 2200; /* no ring's size */
	mem = malloc(*len != 0 ? *len : 1);
	if (mem == NULL)
		abort();
	memset(mem, 0, *len != 0 ? *len : 1);
	fuzz_race_lo = (uintptr_t)mem;
	fuzz_race_len = *len;
	if (how < 0xf0) {
		vbus_ioq_north_format(&north, mem, count, cookies, how & 1);
		for (i = 0; i < count && (how & 2) != 0; i++)
			vbus_ioq_north_post(&north, &(struct vbus_ioq_entry){i, i, 64}, 1);
	} else {
		in_bytes(in, mem, *len);
	}
	return mem;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vbus_ioq_south q = {0};
	struct vbus_signal sig;
	struct fuzz_in in;
	unsigned int how = VBUS_IOQ_FRESH;
	uint64_t len;
	uint8_t *mem;
	bool there = false;

	fuzz_begin(&in, data, size);
	memset(&cur, 0, sizeof(cur));
	mem = make(&in, &len);
	do {
		uint8_t op = in_8(&in);

		if (there && (op & 0x40) != 0) {
			south_does(&in, &q, &sig);
		} else if ((op & 0x80) != 0) {
			north_writes(&in, mem, len);
		} else {
			how = op & 1 ? VBUS_IOQ_RESUME : VBUS_IOQ_FRESH;
			there = vbus_ioq_south_attach(&q, mem, len, COUNT_MAX, &cur, how) == 0;
			FUZZ_CHECK(vbus_ioq_refusal_name(q.refusal) != NULL);
			if (there)
				check_cursor(&q);
			if (there && vbus_signal_attach(&sig, mem + IOQ_RING_SIGNAL_OFFSET,
					     VBUS_LOCALITY_SOUTH) != 0)
				there = false;
		}
	} while (in_more(&in));
	fuzz_end();
	free(mem);
	return 0;
}
