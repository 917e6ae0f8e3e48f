/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * An old driver against our bridge and venet: it loads, brings its interfaces up, carries frames both
 * ways over rings of 256 entries in every combination of what it may negotiate, changes its MTU, goes
 * down and up, loses a device, and unloads without a word. The guest is in old_guest.c: raw bytes,
 * none of our headers.
 */

#include <stdio.h>
#include <string.h>

#include <CUnit/Basic.h>

#include "old_guest.h"
#include "old_south.h"

#define NB_FRAMES 700u /* more than two laps of the rings */

static struct guest g;
static uint32_t next_rx[GUEST_DEVS]; /* sequence numbers expected by the guest */

/* Frames that nobody takes for IP: a sequence number and what follows from it. */
static uint32_t
frame_len(uint32_t seq)
{
	return seq % 5 == 0 ? 1514 : 60 + seq * 37 % 1455;
}

static void
frame_make(uint8_t *f, uint32_t seq, uint32_t len)
{
	uint32_t i;

	memset(f, 0x02, 12);
	f[12] = 0x88;
	f[13] = 0xb5;
	memcpy(f + 14, &seq, 4);
	for (i = 18; i < len; i++)
		f[i] = (uint8_t)(seq * 31 + i * 7 + i / 256);
}

static void
frame_check(const uint8_t *f, uint32_t len, uint32_t seq)
{
	static uint8_t want[2048];

	frame_make(want, seq, frame_len(seq));
	CU_ASSERT_EQUAL_FATAL(len, frame_len(seq));
	CU_ASSERT_EQUAL_FATAL(memcmp(f, want, len), 0);
}

static void
on_plain_frame(struct guest_dev *d, const struct guest_frame *f)
{
	CU_ASSERT_EQUAL(f->flags, 0);
	frame_check(f->data, f->len, next_rx[d->index]++);
}

static void
to_south(struct guest_dev *d)
{
	static uint8_t frame[2048];
	uint32_t sent = 0, got = 0, len, iovs;

	while (got < NB_FRAMES) {
		while (sent < NB_FRAMES) {
			len = frame_len(sent);
			frame_make(frame, sent, len);
			iovs = d->mode & OLD_SG ? 1 + sent % 17 : 1;
			if (!guest_xmit(d, frame, len, iovs, NULL))
				break;
			sent++;
		}
		/* Never more than a part, so that the ring stays nearly full. */
		for (len = 0; len < 100 && got < sent; len++) {
			const uint32_t n = south_recv(d->index, frame, sizeof(frame));

			if (n == 0)
				break;
			frame_check(frame, n, got++);
		}
		CU_ASSERT_FATAL(len > 0);
	}
	CU_ASSERT_EQUAL(south_recv(d->index, frame, sizeof(frame)), 0);
	guest_reap(d);
	CU_ASSERT_EQUAL(d->tx_pending, 0);
}

static void
to_north(struct guest_dev *d)
{
	static uint8_t frame[2048];
	const uint32_t before = d->nb_rx;
	uint32_t sent = 0, stuck = 0;

	d->on_frame = on_plain_frame;
	next_rx[d->index] = 0;
	while (d->nb_rx - before < NB_FRAMES) {
		while (sent < NB_FRAMES) {
			frame_make(frame, sent, frame_len(sent));
			if (!south_send(d->index, frame, frame_len(sent), 0))
				break;
			sent++;
			stuck = 0;
		}
		/* Signals alone bring them. */
		guest_isr(&g);
		south_pause(1);
		CU_ASSERT_FATAL(++stuck < 500);
	}
	guest_run(&g);
	CU_ASSERT_EQUAL(next_rx[d->index], NB_FRAMES);
}

/* The backend's control thread may be late: 4 s, then what comes after fails. */
static void
run_until(bool (*cond)(void))
{
	unsigned int i;

	for (i = 0; i < 2000 && !cond(); i++) {
		south_pause(2);
		guest_isr(&g);
	}
	guest_run(&g);
}

static unsigned int nb_loading;

static bool
loaded(void)
{
	unsigned int i, nb = 0;

	for (i = 0; i < g.nb_devs; i++)
		nb += !(g.want & OLD_EVQ) || g.dev[i].carrier == 1;
	return nb == nb_loading;
}

static void
load(uint32_t want, unsigned int nb_devs)
{
	unsigned int i;

	guest_load(&g, want);
	nb_loading = nb_devs;
	run_until(loaded);
	CU_ASSERT_EQUAL_FATAL(g.nb_devs, nb_devs);
	for (i = 0; i < nb_devs; i++) {
		CU_ASSERT_EQUAL(g.dev[i].mode, want);
		CU_ASSERT_EQUAL(g.dev[i].carrier, want & OLD_EVQ ? 1 : -1);
		CU_ASSERT(south_link(i));
		CU_ASSERT_EQUAL(g.dev[i].mac[5], i);
	}
}

/* Every combination, one guest life: loaded and unloaded each time, fresh ids throughout. */
static void
test_combinations(void)
{
	uint32_t want;

	guest_up(&g);
	south_add(0);
	for (want = 0; want < 16; want++) {
		if ((want & OLD_PMTD) && !(want & OLD_SG))
			continue;
		load(want, 1);
		to_south(&g.dev[0]);
		to_north(&g.dev[0]);
		CU_ASSERT_EQUAL(south_drops(0), 0);
		guest_unload(&g);
		CU_ASSERT_FALSE(south_link(0));
		south_pause(15);
	}
	guest_down(&g);
}

/* The load as it was seen, two devices, MTU change, down and up: 7.7, 7.8. */
static void
test_as_seen(void)
{
	static uint8_t before[256 * 32 + 56];
	static uint8_t frame[2048];
	unsigned int i;

	guest_up(&g);
	south_add(0);
	south_add(1);
	load(OLD_SG | OLD_PMTD | OLD_EVQ | OLD_L4RO, 2);
	for (i = 0; i < 2; i++) {
		CU_ASSERT_EQUAL(g.dev[i].sg, 0x2f);
		CU_ASSERT_EQUAL(g.dev[i].l4ro, 0xf);
		to_south(&g.dev[i]);
		to_north(&g.dev[i]);
	}
	/* Already up. Then down twice: never negative but for that. */
	CU_ASSERT_EQUAL(guest_func(&g.dev[0], 0), -17);
	CU_ASSERT_EQUAL(guest_func(&g.dev[0], 1), 0);
	CU_ASSERT_EQUAL(guest_func(&g.dev[0], 1), 0);
	CU_ASSERT_EQUAL(guest_func(&g.dev[0], 4), 0);
	CU_ASSERT_FALSE(south_link(0));
	CU_ASSERT(south_link(1));
	/* After LINKDOWN nothing is touched. */
	guest_isr(&g);
	memcpy(before, g.dev[0].rx.va, sizeof(before));
	frame_make(frame, 0, 60);
	CU_ASSERT_FALSE(south_send(0, frame, 60, 0));
	south_pause(25);
	CU_ASSERT_EQUAL(memcmp(before, g.dev[0].rx.va, sizeof(before)), 0);
	g.dev[0].carrier = -1;
	CU_ASSERT_EQUAL(guest_func(&g.dev[0], 0), 0);
	run_until(loaded);
	CU_ASSERT_EQUAL(g.dev[0].carrier, 1); /* 7.5: at every LINKUP */
	to_north(&g.dev[0]);
	to_south(&g.dev[0]);
	/* MTU change while up: every empty buffer comes back, then the ring is refilled. */
	CU_ASSERT_EQUAL(guest_func(&g.dev[1], 4), 0);
	g.dev[1].rx.notify(&g.dev[1].rx);
	to_north(&g.dev[1]);
	CU_ASSERT_EQUAL(south_drops(0) + south_drops(1), 0);
	guest_down(&g);
}

static void
test_flushrx_linear(void)
{
	uint32_t i, empty = 0;

	guest_up(&g);
	south_add(0);
	load(0, 1);
	CU_ASSERT_EQUAL(guest_func(&g.dev[0], 4), 0);
	for (i = 0; i < GUEST_RING; i++) {
		const uint8_t *d = g.dev[0].rx.va + 56 + 32 * i;

		empty += d[25] == 0 && d[16] == 0 && d[17] == 0;
	}
	CU_ASSERT_EQUAL(empty, GUEST_RING);
	g.dev[0].rx.notify(&g.dev[0].rx);
	CU_ASSERT_EQUAL(g.dev[0].nb_rx, 0);
	to_north(&g.dev[0]);
	guest_down(&g);
}

/* ---- offloads --------------------------------------------------------------------------------- */

static uint16_t
sum16(const uint8_t *p, uint32_t len, uint32_t sum)
{
	uint32_t i;

	for (i = 0; i + 1 < len; i += 2)
		sum += (uint32_t)p[i] << 8 | p[i + 1];
	if (len & 1)
		sum += (uint32_t)p[len - 1] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

static uint16_t
pseudo(const uint8_t *f, uint32_t l4_len)
{
	return sum16(f + 26, 8, 6 + l4_len);
}

static uint32_t
tcp_make(uint8_t *f, uint32_t payload, bool with_pseudo)
{
	static const uint8_t head[54] = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45, 0, 0, 0,
		0x12, 0x34, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 0x10, 0x00, 0x20, 0x00,
		0, 0, 0, 1, 0, 0, 0, 2, 0x50, 0x10, 0x20, 0, 0, 0, 0, 0};
	uint32_t i;
	uint16_t s;

	memcpy(f, head, sizeof(head));
	f[16] = (uint8_t)((40 + payload) >> 8);
	f[17] = (uint8_t)(40 + payload);
	s = (uint16_t)~sum16(f + 14, 20, 0);
	f[24] = (uint8_t)(s >> 8);
	f[25] = (uint8_t)s;
	if (with_pseudo) {
		s = pseudo(f, 20 + payload);
		f[50] = (uint8_t)(s >> 8);
		f[51] = (uint8_t)s;
	}
	for (i = 0; i < payload; i++)
		f[54 + i] = (uint8_t)(i * 11 + i / 256);
	return 54 + payload;
}

/* A finished TCP segment: both checksums, and its payload from byte @p at on. @return payload. */
static uint32_t
tcp_check(const uint8_t *f, uint32_t len, uint32_t at)
{
	const uint32_t ip_len = (uint32_t)f[16] << 8 | f[17];
	uint32_t i;

	CU_ASSERT_FATAL(len >= 54 && ip_len + 14 <= len && ip_len >= 40);
	CU_ASSERT_EQUAL(sum16(f + 14, 20, 0), 0xffff);
	CU_ASSERT_EQUAL(sum16(f + 34, ip_len - 20, pseudo(f, ip_len - 20)), 0xffff);
	CU_ASSERT_EQUAL(((uint32_t)f[38] << 24 | f[39] << 16 | f[40] << 8 | f[41]), 1 + at);
	for (i = 0; i < ip_len - 40; i++)
		CU_ASSERT_EQUAL_FATAL(f[54 + i], (uint8_t)((at + i) * 11 + (at + i) / 256));
	return ip_len - 40;
}

static uint32_t tcp_got, tcp_frames;
static bool tcp_large;

static void
on_tcp_frame(struct guest_dev *d, const struct guest_frame *f)
{
	(void)d;
	tcp_frames++;
	if (!tcp_large) {
		CU_ASSERT(f->len <= 1514);
		CU_ASSERT_EQUAL(f->flags, 0);
		tcp_got += tcp_check(f->data, f->len, tcp_got);
		return;
	}
	/* One large frame: over pages, with what its receiver has to finish. */
	CU_ASSERT_EQUAL(f->flags & 3, 3);
	CU_ASSERT_EQUAL(f->gso_type, 0);
	CU_ASSERT_EQUAL(f->gso_size, 1448);
	CU_ASSERT_EQUAL(f->csum_start, 34);
	CU_ASSERT_EQUAL(f->csum_offset, 16);
	CU_ASSERT(f->nb_iovs >= 3);
	CU_ASSERT_EQUAL(f->data[100], (uint8_t)(46 * 11));
	tcp_got += f->len - 54;
}

static bool
tcp_done(void)
{
	return tcp_got >= 9000;
}

static void
large_to_north(uint32_t want, bool large)
{
	static uint8_t f[16384];
	const uint32_t len = tcp_make(f, 9000, false);
	unsigned int i;

	load(want, 1);
	tcp_large = large;
	g.dev[0].on_frame = on_tcp_frame;
	for (i = 0; i < 100; i++) {
		tcp_got = 0;
		tcp_frames = 0;
		CU_ASSERT_FATAL(south_send(0, f, len, 1448));
		run_until(tcp_done);
		CU_ASSERT_EQUAL(tcp_got, 9000);
		CU_ASSERT_EQUAL(tcp_frames, large ? 1 : 7);
		if (i == 3)
			i = 98; /* all of it once more is enough */
	}
	CU_ASSERT_EQUAL(south_drops(0), 0);
	guest_unload(&g);
}

static void
test_large_to_north(void)
{
	guest_up(&g);
	south_add(0);
	large_to_north(OLD_SG | OLD_PMTD | OLD_EVQ | OLD_L4RO, true);
	large_to_north(OLD_SG | OLD_PMTD | OLD_EVQ, false);
	large_to_north(0, false);
	guest_down(&g);
}

static void
large_to_south(uint32_t want)
{
	const struct guest_offload csum = {.flags = 1, .csum_start = 34, .csum_offset = 16};
	const struct guest_offload gso = {
		.flags = 3, .csum_start = 34, .csum_offset = 16, .gso_size = 1448};
	static uint8_t f[16384];
	uint32_t len, got, k;

	load(want, 1);
	for (k = 1; k <= 18; k++) {
		/* 18 iovs reach into the next slot of the pool. */
		len = tcp_make(f, 1200, true);
		CU_ASSERT(guest_xmit(&g.dev[0], f, len, k, &csum));
		len = south_recv(0, f, sizeof(f));
		CU_ASSERT_EQUAL(len, 1254);
		CU_ASSERT_EQUAL(tcp_check(f, len, 0), 1200);
	}
	for (k = 1; k <= 18; k++) {
		len = tcp_make(f, 9000, true);
		CU_ASSERT(guest_xmit(&g.dev[0], f, len, k, &gso));
		for (got = 0; got < 9000; got += len) {
			len = south_recv(0, f, sizeof(f));
			CU_ASSERT_FATAL(len > 0 && len <= 1514);
			len = tcp_check(f, len, got);
		}
		CU_ASSERT_EQUAL(got, 9000);
	}
	guest_reap(&g.dev[0]);
	CU_ASSERT_EQUAL(g.dev[0].tx_pending, 0);
	CU_ASSERT_EQUAL(south_drops(0), 0);
	guest_unload(&g);
}

static void
test_large_to_south(void)
{
	guest_up(&g);
	south_add(0);
	large_to_south(OLD_SG);
	large_to_south(OLD_SG | OLD_PMTD | OLD_EVQ | OLD_L4RO);
	guest_down(&g);
}

/* ---- devices come and go ---------------------------------------------------------------------- */

static bool
dropped(void)
{
	return g.dev[0].dropped;
}

/* 7.15: after DEVDROP traffic and calls go on, and none of them may fail. */
static void
test_dropped(void)
{
	static uint8_t frame[2048];
	uint32_t i, sent = 0;

	guest_up(&g);
	south_add(0);
	load(OLD_SG | OLD_PMTD | OLD_EVQ | OLD_L4RO, 1);
	to_south(&g.dev[0]);
	south_del(0);
	run_until(dropped);
	CU_ASSERT(g.dev[0].dropped);
	/* Discarded, but the ring never stays full: or the guest's watchdog barks. */
	for (i = 0; i < 400 && sent < 5 * GUEST_RING; i++) {
		frame_make(frame, sent, 60);
		while (sent < 5 * GUEST_RING && guest_xmit(&g.dev[0], frame, 60, 1, NULL))
			sent++;
		south_pause(5);
		guest_isr(&g);
		guest_reap(&g.dev[0]);
	}
	CU_ASSERT_EQUAL(sent, 5 * GUEST_RING);
	CU_ASSERT_EQUAL(guest_func(&g.dev[0], 4), 0);
	south_pause(30);
	guest_isr(&g);
	guest_reap(&g.dev[0]);
	CU_ASSERT_EQUAL(guest_func(&g.dev[0], 1), 0);
	/* Nothing is touched while it is down (7.8), not even to throw it away. */
	for (sent = 0; guest_xmit(&g.dev[0], frame, 60, 1, NULL); sent++)
		;
	south_pause(30);
	guest_isr(&g);
	guest_reap(&g.dev[0]);
	CU_ASSERT_FALSE(guest_xmit(&g.dev[0], frame, 60, 1, NULL));
	CU_ASSERT_EQUAL(sent, GUEST_RING);
	CU_ASSERT_EQUAL(guest_func(&g.dev[0], 0), 0);
	CU_ASSERT_EQUAL(guest_func(&g.dev[0], 1), 0);
	guest_run(&g);
	CU_ASSERT_FALSE(g.dev[0].rx.closed); /* no SHMCLOSE without DEVCLOSE */
	/* The next one is another device, and works. */
	south_add(0);
	nb_loading = 2; /* the first one's carrier stays as it was */
	run_until(loaded);
	g.dev[1].index = 0;
	CU_ASSERT_EQUAL_FATAL(g.nb_devs, 2);
	CU_ASSERT_EQUAL(g.dev[1].carrier, 1);
	guest_unload(&g);
	load(OLD_SG, 1);
	to_north(&g.dev[0]);
	guest_down(&g);
}

/* 7.1: signals that fall into the window after LINKUP are swallowed; the link does not stall. */
static void
test_swallowed(void)
{
	static uint8_t frame[2048];
	uint32_t i, sent = 0;

	guest_up(&g);
	south_add(0);
	load(OLD_SG | OLD_L4RO, 1);
	g.dev[0].on_frame = on_plain_frame;
	next_rx[0] = 0;
	for (i = 0; i < GUEST_RING + 10; i++) {
		frame_make(frame, i, frame_len(i));
		if (!south_send(0, frame, frame_len(i), 0))
			break;
		sent++;
		/* Clears dirty and pending and does nothing. */
		g.dev[0].rx.va[17] = 0;
		g.dev[0].rx.va[18] = 0;
	}
	CU_ASSERT_EQUAL(sent, GUEST_RING);
	CU_ASSERT_EQUAL(g.dev[0].nb_rx, 0);
	for (i = 0; i < 100 && g.dev[0].nb_rx < GUEST_RING; i++) {
		(void)south_send(0, frame, frame_len(sent), 0);
		south_pause(2);
		guest_isr(&g);
	}
	CU_ASSERT(g.dev[0].nb_rx >= GUEST_RING);
	guest_down(&g);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"every combination", test_combinations},
		{"as it was seen", test_as_seen},
		{"FLUSHRX, linear", test_flushrx_linear},
		{"large frames to north", test_large_to_north},
		{"large frames to south", test_large_to_south},
		{"dropped device", test_dropped},
		{"swallowed signals", test_swallowed},
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {{"old driver", NULL, NULL, NULL, NULL, tests}, CU_SUITE_INFO_NULL};
	unsigned int failed;

	if (south_init() != 0) {
		printf("no EAL: memory without hugepages is not to be had here\n");
		return 77;
	}
	if (CU_initialize_registry() != CUE_SUCCESS || CU_register_suites(suites) != CUE_SUCCESS)
		return CU_get_error();
	CU_basic_set_mode(CU_BRM_VERBOSE);
	CU_basic_run_tests();
	failed = CU_get_number_of_failures();
	CU_cleanup_registry();
	south_fini();
	return failed != 0;
}
