/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * vfu_io.c and vfu_caps.c: messages out of and into a stream, and the text of VERSION.
 */

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/resource.h>
#include <unistd.h>

#include "vfu_caps.h"
#include "vfu_io.h"
#include "vfu_rig.h"

static int pair[2];
static struct vfu_rx *rx;
static struct vfu_tx *tx;
static int fds_before;

static void
setup(void)
{
	fds_before = count_fds();
	CU_ASSERT_FATAL(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0);
	rx = calloc(1, sizeof(*rx));
	tx = calloc(1, sizeof(*tx));
	CU_ASSERT_FATAL(rx != NULL && tx != NULL);
	vfu_rx_init(rx);
	vfu_tx_init(tx);
}

static void
teardown(void)
{
	vfu_rx_reset(rx);
	vfu_tx_drop(tx);
	free(rx);
	free(tx);
	if (pair[0] >= 0)
		close(pair[0]);
	close(pair[1]);
	CU_ASSERT(count_fds() == fds_before);
}

/* A message of `size` bytes with a payload that can be recognised. */
static void
fill(uint8_t *buf, uint32_t size, uint16_t id)
{
	struct vfu_header h = {.id = id, .command = 9, .size = size};

	for (uint32_t i = 0; i < size; i++)
		buf[i] = (uint8_t)(i + id);
	memcpy(buf, &h, sizeof(h));
}

static void
byte_at_a_time(void)
{
	uint8_t buf[40];
	int fd;

	setup();
	fd = make_eventfd();
	fill(buf, sizeof(buf), 7);
	for (size_t i = 0; i < sizeof(buf); i++) {
		CU_ASSERT(vfu_rx_step(pair[1], rx) == 0);
		raw_send(pair[0], buf + i, 1, &fd, i == 0);
	}
	CU_ASSERT(vfu_rx_step(pair[1], rx) == 1);
	CU_ASSERT(rx->len == sizeof(buf));
	CU_ASSERT(memcmp(rx->buf, buf, sizeof(buf)) == 0);
	CU_ASSERT(rx->nb_fds == 1);
	CU_ASSERT(vfu_rx_check(rx) == 0);
	/* A whole message stays one until it is taken. */
	CU_ASSERT(vfu_rx_step(pair[1], rx) == 1);
	close(fd);
	teardown();
}

static void
many_in_one_read(void)
{
	uint8_t buf[4096];
	uint32_t len = 0;

	setup();
	for (uint16_t i = 0; i < 50; i++) {
		fill(buf + len, 16u + i, i);
		len += 16u + i;
	}
	raw_send(pair[0], buf, len, NULL, 0);
	for (uint16_t i = 0; i < 50; i++) {
		CU_ASSERT(vfu_rx_step(pair[1], rx) == 1);
		CU_ASSERT(vfu_rx_header(rx).id == i);
		CU_ASSERT(vfu_rx_header(rx).size == 16u + i);
		vfu_rx_reset(rx);
	}
	CU_ASSERT(vfu_rx_step(pair[1], rx) == 0);
	teardown();
}

/* Messages without, with, without descriptors wait together: who has which? */
static void
fds_belong_to_their_message(void)
{
	uint8_t buf[48];
	int fds[2];

	setup();
	fds[0] = make_eventfd();
	fds[1] = make_eventfd();
	for (uint16_t i = 0; i < 6; i++) {
		fill(buf, sizeof(buf), i);
		raw_send(pair[0], buf, sizeof(buf), fds, i % 3);
	}
	for (uint16_t i = 0; i < 6; i++) {
		CU_ASSERT(vfu_rx_step(pair[1], rx) == 1);
		CU_ASSERT(vfu_rx_header(rx).id == i);
		CU_ASSERT(rx->nb_fds == i % 3);
		vfu_rx_reset(rx);
	}
	close(fds[0]);
	close(fds[1]);
	teardown();
}

static void
taken_fds_stay_open(void)
{
	uint8_t buf[16];
	int fds[2], fd;

	setup();
	fds[0] = make_eventfd();
	fds[1] = make_eventfd();
	fill(buf, sizeof(buf), 1);
	raw_send(pair[0], buf, sizeof(buf), fds, 2);
	CU_ASSERT(vfu_rx_step(pair[1], rx) == 1);
	fd = vfu_rx_take_fd(rx, 1);
	CU_ASSERT(fd >= 0);
	CU_ASSERT(vfu_rx_take_fd(rx, 1) == -1);
	CU_ASSERT(vfu_rx_take_fd(rx, 2) == -1);
	vfu_rx_reset(rx);
	CU_ASSERT(close(fd) == 0);
	close(fds[0]);
	close(fds[1]);
	teardown();
}

/* 253 with each of two pieces of one message: what is too much is closed, and said. */
static void
too_many_fds(void)
{
	uint8_t buf[32];
	int fds[VFU_MAX_FDS];

	for (uint32_t i = 0; i < VFU_MAX_FDS; i++)
		fds[i] = 0;
	setup();
	fill(buf, sizeof(buf), 1);
	raw_send(pair[0], buf, 8, fds, VFU_MAX_FDS);
	raw_send(pair[0], buf + 8, sizeof(buf) - 8, fds, VFU_MAX_FDS);
	CU_ASSERT(vfu_rx_step(pair[1], rx) == 1);
	CU_ASSERT(rx->nb_fds == VFU_MAX_FDS);
	CU_ASSERT(rx->bad_fds == 1);
	teardown();
}

/* No descriptor is free in this process: the message is there, its descriptors are not. */
static void
no_fd_free(void)
{
	struct rlimit old, low;
	uint8_t buf[16];
	int fd;

	setup();
	fd = make_eventfd();
	fill(buf, sizeof(buf), 1);
	raw_send(pair[0], buf, sizeof(buf), &fd, 1);
	close(fd);
	CU_ASSERT_FATAL(getrlimit(RLIMIT_NOFILE, &old) == 0);
	low = old;
	low.rlim_cur = (rlim_t)fd;
	CU_ASSERT_FATAL(setrlimit(RLIMIT_NOFILE, &low) == 0);
	CU_ASSERT(vfu_rx_step(pair[1], rx) == 1);
	CU_ASSERT(rx->nb_fds == 0);
	CU_ASSERT(rx->bad_fds == 1);
	CU_ASSERT_FATAL(setrlimit(RLIMIT_NOFILE, &old) == 0);
	teardown();
}

static void
end_of_stream(void)
{
	uint8_t buf[32];

	setup();
	fill(buf, sizeof(buf), 1);
	raw_send(pair[0], buf, sizeof(buf), NULL, 0);
	close(pair[0]);
	pair[0] = -1;
	CU_ASSERT(vfu_rx_step(pair[1], rx) == 1);
	vfu_rx_reset(rx);
	CU_ASSERT(vfu_rx_step(pair[1], rx) == -ECONNRESET);
	teardown();

	for (uint32_t len = 1; len < sizeof(buf); len += 7) {
		int fd = make_eventfd();

		setup();
		raw_send(pair[0], buf, len, &fd, 1);
		close(pair[0]);
		pair[0] = -1;
		CU_ASSERT(vfu_rx_step(pair[1], rx) == -EPIPE);
		teardown();
		close(fd);
	}
}

static void
impossible_sizes(void)
{
	static const uint32_t sizes[] = {0, 1, 15, VFU_SKIP_MAX + 1, 0x80000000u, UINT32_MAX};
	uint8_t buf[16];

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		setup();
		fill(buf, sizeof(buf), 1);
		memcpy(buf + 4, &sizes[i], 4);
		raw_send(pair[0], buf, sizeof(buf), NULL, 0);
		CU_ASSERT(vfu_rx_step(pair[1], rx) == -EMSGSIZE);
		teardown();
	}
}

/* Longer than what is kept: it is read to its end, and the next one is whole again. */
static void
long_message_is_skipped(void)
{
	uint32_t size = VFU_MSG_MAX + 1000, sent = 0;
	uint8_t *buf = malloc(size);

	CU_ASSERT_FATAL(buf != NULL);
	setup();
	fill(buf, size, 3);
	while (sent < size) {
		uint32_t n = size - sent < 10000 ? size - sent : 10000;

		raw_send(pair[0], buf + sent, n, NULL, 0);
		sent += n;
		CU_ASSERT(vfu_rx_step(pair[1], rx) == (sent == size));
	}
	CU_ASSERT(vfu_rx_header(rx).id == 3);
	vfu_rx_reset(rx);
	fill(buf, VFU_MSG_MAX, 4);
	raw_send(pair[0], buf, VFU_MSG_MAX, NULL, 0);
	CU_ASSERT(vfu_rx_step(pair[1], rx) == 1);
	CU_ASSERT(memcmp(rx->buf, buf, VFU_MSG_MAX) == 0);
	free(buf);
	teardown();
}

static int
queue(uint32_t size, uint16_t id, const int *fds, uint32_t nb_fds)
{
	uint8_t *msg = vfu_tx_reserve(tx, size);
	int ret;

	if (msg == NULL)
		return -ENOBUFS;
	fill(msg, size, id);
	ret = vfu_tx_commit(tx, size, fds, nb_fds);
	if (ret == 0)
		tx->tail = tx->join_tail; /* what vfu_io_join() does */
	return ret;
}

/* What a process leaves that is killed between any two instructions is put right. */
static void
killed_within_a_call(void)
{
	uint8_t buf[40];
	struct vfu_rx half;
	uint64_t nr;

	setup();
	/* Received, not counted: the kernel's number stands in the note. */
	fill(buf, sizeof(buf), 7);
	raw_send(pair[0], buf, 10, NULL, 0);
	CU_ASSERT(vfu_rx_step(pair[1], rx) == 0);
	CU_ASSERT(rx->len == 10 && rx->note.active == 0);
	rx->len = rx->from;
	rx->note.active = 1;
	rx->from = 0;
	rx->note.mm.msg_len = 10;
	vfu_io_recover(rx, tx);
	vfu_io_recover(rx, tx);
	CU_ASSERT(rx->len == 10 && vfu_rx_check(rx) == 0);
	raw_send(pair[0], buf + 10, 30, NULL, 0);
	CU_ASSERT(vfu_rx_step(pair[1], rx) == 1);

	/* Sent in part, not counted. */
	CU_ASSERT(queue(100, 1, NULL, 0) == 0);
	CU_ASSERT(queue(50, 2, NULL, 0) == 0);
	tx->from_head = tx->head;
	tx->from_tail = tx->tail;
	tx->from_sent = tx->sent;
	tx->note.mm.msg_len = 120;
	tx->note.active = 1;
	tx->head = 100; /* as far as it came */
	vfu_io_recover(rx, tx);
	CU_ASSERT(tx->head == 100 && tx->sent == 20 && tx->tail == 150);
	CU_ASSERT(vfu_tx_check(tx) == 0);

	/* A reply that joins, message and all. */
	nr = rx->nr;
	memcpy(&half, rx, offsetof(struct vfu_rx, buf));
	CU_ASSERT(vfu_tx_reserve(tx, 16) != NULL);
	fill(tx->buf + tx->tail, 16, 3);
	CU_ASSERT(vfu_tx_commit(tx, 16, NULL, 0) == 0);
	CU_ASSERT(tx->tail == 150); /* not before it joins */
	tx->join_nr = nr + 1;
	tx->joining = 1;
	CU_ASSERT(half.len == sizeof(buf));
	vfu_io_recover(rx, tx);
	CU_ASSERT(tx->tail == 166 && rx->len == 0 && rx->nr == nr + 1);
	vfu_io_recover(rx, tx);
	CU_ASSERT(tx->tail == 166 && vfu_tx_check(tx) == 0);
	teardown();
}

static void
peeked_descriptors_stay(void)
{
	uint8_t buf[16];
	int fd, got[4];

	setup();
	fill(buf, sizeof(buf), 7);
	CU_ASSERT(vfu_rx_peek_fds(pair[1], got, 4) == 0); /* nothing there */
	fd = make_eventfd();
	raw_send(pair[0], buf, sizeof(buf), &fd, 1);
	for (int i = 0; i < 2; i++) {
		CU_ASSERT_FATAL(vfu_rx_peek_fds(pair[1], got, 4) == 1);
		close(got[0]);
	}
	CU_ASSERT(vfu_rx_step(pair[1], rx) == 1);
	CU_ASSERT(rx->nb_fds == 1);
	close(fd);
	teardown();
}

static void
replies_leave_in_order(void)
{
	struct rig_msg *m = malloc(sizeof(*m));
	int fd;

	CU_ASSERT_FATAL(m != NULL);
	setup();
	fd = make_eventfd();
	for (uint16_t i = 0; i < 100; i++)
		CU_ASSERT(queue(16u + i, i, &fd, i % 10 == 5) == 0);
	CU_ASSERT(vfu_tx_check(tx) == 0);
	CU_ASSERT(vfu_tx_flush(pair[1], tx) == 1);
	CU_ASSERT(tx->head == tx->tail);
	for (uint16_t i = 0; i < 100; i++) {
		CU_ASSERT_FATAL(raw_receive(pair[0], m) == 1);
		CU_ASSERT(m->h.id == i && m->h.size == 16u + i);
		CU_ASSERT(m->nb_fds == (i % 10 == 5));
		if (m->nb_fds == 1)
			close(m->fds[0]);
	}
	CU_ASSERT(raw_receive(pair[0], m) == 0);
	close(fd);
	free(m);
	teardown();
}

/* A peer that does not read: bounded, and nothing is lost or torn when it does at last. */
static void
full_socket(void)
{
	struct rig_msg *m = malloc(sizeof(*m));
	uint16_t queued = 0, seen = 0;
	int small = 32768, fd;

	CU_ASSERT_FATAL(m != NULL);
	setup();
	fd = make_eventfd();
	CU_ASSERT(setsockopt(pair[1], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)) == 0);
	while (queue(500, queued, NULL, 0) == 0) {
		queued++;
		CU_ASSERT(vfu_tx_flush(pair[1], tx) >= 0);
		CU_ASSERT_FATAL(queued < 10000);
	}
	CU_ASSERT(queued > VFU_TX_MAX / 500 - 1);
	CU_ASSERT(vfu_tx_check(tx) == 0);
	while (seen < queued) {
		int rc = raw_receive(pair[0], m);

		if (rc == 0) {
			CU_ASSERT_FATAL(vfu_tx_flush(pair[1], tx) >= 0);
			CU_ASSERT(vfu_tx_check(tx) == 0);
			continue;
		}
		CU_ASSERT_FATAL(rc == 1);
		CU_ASSERT(m->h.id == seen && m->h.size == 500);
		seen++;
		/* In the middle of it, room is found again by moving what waits. */
		if (seen == 100) {
			while (queue(500, queued, &fd, 1) == 0)
				queued++;
			CU_ASSERT(vfu_tx_check(tx) == 0);
		}
		for (uint32_t i = 0; i < m->nb_fds; i++)
			close(m->fds[i]);
	}
	CU_ASSERT(vfu_tx_flush(pair[1], tx) == 1);
	close(fd);
	free(m);
	teardown();
}

static void
broken_states_are_refused(void)
{
	setup();
	rx->nb_fds = VFU_MAX_FDS + 1;
	CU_ASSERT(vfu_rx_check(rx) == -EINVAL);
	rx->nb_fds = 0;
	fill(rx->buf, 32, 1);
	rx->len = 33;
	CU_ASSERT(vfu_rx_check(rx) == -EINVAL);
	rx->len = 32;
	CU_ASSERT(vfu_rx_check(rx) == 0);

	CU_ASSERT(queue(100, 1, NULL, 0) == 0);
	CU_ASSERT(vfu_tx_check(tx) == 0);
	tx->tail++;
	CU_ASSERT(vfu_tx_check(tx) == -EINVAL);
	tx->tail = VFU_TX_MAX + 1;
	CU_ASSERT(vfu_tx_check(tx) == -EINVAL);
	tx->tail = 100;
	tx->sent = 100;
	CU_ASSERT(vfu_tx_check(tx) == -EINVAL);
	tx->sent = 99;
	CU_ASSERT(vfu_tx_check(tx) == 0);
	tx->nb_fd_msgs = 1;
	tx->fd_msgs[0].pos = 3;
	CU_ASSERT(vfu_tx_check(tx) == -EINVAL);
	tx->nb_fd_msgs = 0;
	teardown();
}

static int
parse(const char *json, struct vfu_caps *caps)
{
	uint8_t buf[8192] = {0, 0, 1, 0};
	size_t len = strlen(json);

	memcpy(buf + 4, json, len + 1);
	return vfu_caps_parse(buf, (uint32_t)len + 5, caps);
}

static void
good_versions(void)
{
	static const char qemu[] = "{\"capabilities\": {\"pgsizes\": 4096, \"max_msg_fds\": 16, "
				   "\"max_dma_maps\": 65535, \"max_data_xfer_size\": 1048576, "
				   "\"migration\": {\"max_bitmap_size\": 268435456, \"pgsize\": "
				   "4096}, \"write_multiple\": true}}";
	static const char *const empty[] = {"", "{}", "{\"capabilities\":{}}",
		"{\"capabilities\":{\"twin_socket\":{\"supported\":true}},\"more\":[1]}"};
	const uint8_t bare[4] = {0, 0, 0, 0};
	struct vfu_caps caps;
	char text[VFU_CAPS_TEXT_LEN];

	CU_ASSERT(parse(qemu, &caps) == 0);
	CU_ASSERT(caps.major == 0 && caps.minor == 1);
	CU_ASSERT(caps.pgsizes == 4096 && caps.max_msg_fds == 16 && caps.max_dma_maps == 65535);
	CU_ASSERT(caps.max_data_xfer == 1048576 && caps.write_multiple == 1);
	for (size_t i = 0; i < sizeof(empty) / sizeof(empty[0]); i++) {
		CU_ASSERT(parse(empty[i], &caps) == 0);
		CU_ASSERT(caps.max_msg_fds == VFU_DEF_MSG_FDS);
		CU_ASSERT(caps.max_data_xfer == VFU_DEF_XFER);
		CU_ASSERT(caps.max_dma_maps == 65535 && caps.write_multiple == 0);
	}
	CU_ASSERT(vfu_caps_parse(bare, 4, &caps) == 0);
	CU_ASSERT(parse("{\"capabilities\":{\"max_msg_fds\":99999999999}}", &caps) == 0);
	CU_ASSERT(caps.max_msg_fds == UINT32_MAX);
	CU_ASSERT(vfu_caps_format(text, 1) == strlen(text) + 1);
	CU_ASSERT(parse(text, &caps) == 0);
	CU_ASSERT(caps.max_msg_fds == VFU_MSG_FDS && caps.max_data_xfer == VFU_XFER_MAX);
	CU_ASSERT(caps.write_multiple == 1);
}

static void
bad_versions(void)
{
	static const char *const bad[] = {"x", "[", "[]", "{\"capabilities\":7}", "{}}",
		"{\"capabilities\":{\"max_msg_fds\":-1}}",
		"{\"capabilities\":{\"max_msg_fds\":\"1\"}}",
		"{\"capabilities\":{\"max_msg_fds\":1.5}}",
		"{\"capabilities\":{\"pgsizes\":99999999999999999999}}",
		"{\"capabilities\":{\"write_multiple\":1}}", "\"\\ud800\""};
	uint8_t raw[] = {0, 0, 0, 0, '{', '}'};
	uint8_t nul[] = {0, 0, 0, 0, '{', 0, '}', 0};
	struct vfu_caps caps;
	char deep[5000];

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		CU_ASSERT(parse(bad[i], &caps) == -EINVAL);
	CU_ASSERT(vfu_caps_parse(raw, sizeof(raw), &caps) == -EINVAL);
	CU_ASSERT(vfu_caps_parse(nul, sizeof(nul), &caps) == -EINVAL);
	CU_ASSERT(vfu_caps_parse(raw, 3, &caps) == -EINVAL);
	memset(deep, '[', sizeof(deep));
	deep[sizeof(deep) - 1] = '\0';
	CU_ASSERT(parse(deep, &caps) == -E2BIG);
	deep[VFU_CAPS_JSON_MAX - 1] = '\0';
	CU_ASSERT(parse(deep, &caps) == -EINVAL);
}

int
main(void)
{
	static CU_TestInfo framing[] = {
		{"byte at a time", byte_at_a_time},
		{"many messages in one read", many_in_one_read},
		{"descriptors belong to their message", fds_belong_to_their_message},
		{"taken descriptors stay open", taken_fds_stay_open},
		{"too many descriptors", too_many_fds},
		{"no descriptor free", no_fd_free},
		{"end of stream", end_of_stream},
		{"impossible sizes", impossible_sizes},
		{"long message is skipped", long_message_is_skipped},
		{"killed within a call", killed_within_a_call},
		{"peeked descriptors stay", peeked_descriptors_stay},
		{"replies leave in order", replies_leave_in_order},
		{"full socket", full_socket},
		{"broken states are refused", broken_states_are_refused},
		CU_TEST_INFO_NULL,
	};
	static CU_TestInfo version[] = {
		{"good", good_versions},
		{"bad", bad_versions},
		CU_TEST_INFO_NULL,
	};
	static CU_SuiteInfo suites[] = {
		{"framing", NULL, NULL, NULL, NULL, framing},
		{"version text", NULL, NULL, NULL, NULL, version},
		CU_SUITE_INFO_NULL,
	};

	if (CU_initialize_registry() != CUE_SUCCESS || CU_register_suites(suites) != CUE_SUCCESS)
		return 1;
	return rig_run();
}
