/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * vfu_client.c and vfu_client_req.c against servers that lie, ask, or stop in the middle.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client_seen.h"

static struct rig_msg msg;
static int fds_before;
static int server; /* raw end */

static void
setup(void)
{
	int pair[2];

	fds_before = count_fds();
	seen_reset();
	CU_ASSERT_FATAL(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0);
	server = pair[0];
	CU_ASSERT_FATAL(vfu_client_open(pair[1], &seen_ops, &seen, &client) == 0);
}

static void
teardown(void)
{
	vfu_client_free(client);
	client = NULL;
	close(server);
	CU_ASSERT(count_fds() == fds_before);
}

/* Let the client send, read what it asks, answer with this payload. Its process() result. */
static int
answer(const void *payload, uint32_t len, const int *fds, uint32_t nb_fds)
{
	CU_ASSERT(vfu_client_process(client, 0, 8) == 0);
	CU_ASSERT_FATAL(raw_receive(server, &msg) == 1);
	raw_message(server, msg.h.id, msg.h.command, VFU_F_TYPE_REPLY, payload, len, fds, nb_fds);
	return vfu_client_process(client, 0, 8);
}

static void
lying_about_versions(void)
{
	static const struct {
		uint8_t bytes[60];
		uint32_t len;
	} bad[] = {
		{{0}, 0},
		{{0, 0, 0}, 3},
		{{1, 0, 0, 0}, 4},	/* major */
		{{0, 0, 1, 0}, 4},	/* above what we have asked for */
		{{0, 0, 0, 0, '{'}, 5}, /* no end */
		{"\0\0\0\0{\"capabilities\":{\"max_msg_fds\":0}}", 41},
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		setup();
		CU_ASSERT(vfu_client_version(client, &call) == 0);
		CU_ASSERT(answer(bad[i].bytes, bad[i].len, NULL, 0) == -EPROTO);
		CU_ASSERT(seen.nb == 1 && seen.status == -EPROTO && nb_closed == 1);
		teardown();
	}
	/* No JSON is legal. */
	setup();
	CU_ASSERT(vfu_client_version(client, &call) == 0);
	CU_ASSERT(answer("\0\0\0", 4, NULL, 0) == 1);
	CU_ASSERT(seen.status == 0 && seen.caps.max_msg_fds == 1);
	CU_ASSERT(vfu_client_set_irqs(client, 1, 0, (int[]){0, 0}, 2, &call) == -E2BIG);
	teardown();
}

static void
answers_to_nothing(void)
{
	setup();
	raw_message(server, 0, VFU_CMD_DEVICE_RESET, VFU_F_TYPE_REPLY, NULL, 0, NULL, 0);
	CU_ASSERT(vfu_client_process(client, 0, 8) == -EPROTO);
	teardown();
	for (int i = 0; i < 4; i++) {
		setup();
		CU_ASSERT(vfu_client_reset(client, &call) == 0);
		CU_ASSERT(vfu_client_process(client, 0, 8) == 0);
		CU_ASSERT_FATAL(raw_receive(server, &msg) == 1);
		raw_message(server, (uint16_t)(msg.h.id + (i == 0)),
			i == 1 ? VFU_CMD_REGION_READ : VFU_CMD_DEVICE_RESET,
			i == 2 ? 2 : VFU_F_TYPE_REPLY, NULL, 0, NULL, 0);
		CU_ASSERT(vfu_client_process(client, 0, 8) == (i == 3 ? 1 : -EPROTO));
		CU_ASSERT(seen.nb == 1 && seen.status == (i == 3 ? 0 : -EPROTO));
		teardown();
	}
}

static void
error_replies(void)
{
	static const struct {
		uint32_t error;
		int status;
	} table[] = {{EINVAL, -EINVAL}, {0, -EIO}, {4096, -EIO}, {UINT32_MAX, -EIO}};

	setup();
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct vfu_header h;

		CU_ASSERT(vfu_client_device_info(client, &call) == 0);
		CU_ASSERT(vfu_client_process(client, 0, 8) == 0);
		CU_ASSERT_FATAL(raw_receive(server, &msg) == 1);
		h = (struct vfu_header){msg.h.id, msg.h.command, 16, 0x21, table[i].error};
		raw_send(server, &h, sizeof(h), NULL, 0);
		CU_ASSERT(vfu_client_process(client, 0, 8) == 1);
		CU_ASSERT(seen.status == table[i].status);
	}
	CU_ASSERT(nb_closed == 0);
	teardown();
}

static void
half_replies(void)
{
	uint8_t reply[32] = {0};

	for (uint32_t cut = 1; cut < sizeof(reply); cut++) {
		int fd;

		setup();
		fd = make_eventfd();
		CU_ASSERT(vfu_client_device_info(client, &call) == 0);
		CU_ASSERT(vfu_client_process(client, 0, 8) == 0);
		CU_ASSERT_FATAL(raw_receive(server, &msg) == 1);
		memcpy(reply, &(struct vfu_header){msg.h.id, msg.h.command, 32, 1, 0}, 16);
		raw_send(server, reply, cut, &fd, 1);
		CU_ASSERT(vfu_client_process(client, 0, 8) == 0);
		CU_ASSERT(shutdown(server, SHUT_RDWR) == 0);
		CU_ASSERT(vfu_client_process(client, 0, 8) == -EPIPE);
		CU_ASSERT(seen.nb == 1 && seen.status == -EPIPE && nb_closed == 1);
		close(fd);
		teardown();
	}
	/* Impossible, or too long for anything that was asked. */
	for (int i = 0; i < 3; i++) {
		struct vfu_header h;

		setup();
		CU_ASSERT(vfu_client_device_info(client, &call) == 0);
		CU_ASSERT(vfu_client_process(client, 0, 8) == 0);
		CU_ASSERT_FATAL(raw_receive(server, &msg) == 1);
		h = (struct vfu_header){msg.h.id, msg.h.command, i == 0 ? 15 : UINT32_MAX, 1, 0};
		if (i == 2)
			h.size = VFU_SKIP_MAX + 1;
		raw_send(server, &h, sizeof(h), NULL, 0);
		CU_ASSERT(vfu_client_process(client, 0, 8) == -EPROTO);
		teardown();
	}
}

/* Payloads that do not hold together fail their request, and no more. */
static void
lying_about_payloads(void)
{
	struct vfu_access a = {.offset = 4, .region = 1, .count = 4};
	uint8_t buf[64] = {0};
	int fd;

	setup();
	fd = make_eventfd();
	CU_ASSERT(vfu_client_device_info(client, &call) == 0);
	CU_ASSERT(answer(buf, 15, &fd, 1) == 1 && seen.status == -EPROTO);
	CU_ASSERT(vfu_client_irq_info(client, 1, &call) == 0);
	CU_ASSERT(answer(buf, 16, NULL, 0) == 1 && seen.status == -EPROTO); /* index 0 */
	CU_ASSERT(vfu_client_region_info(client, 0, &call) == 0);
	CU_ASSERT(answer(buf, 31, NULL, 0) == 1 && seen.status == -EPROTO);
	CU_ASSERT(vfu_client_region_info(client, 1, &call) == 0);
	CU_ASSERT(answer(buf, 32, NULL, 0) == 1 && seen.status == -EPROTO);
	/* Reads: too short, too long, of something else. */
	memcpy(buf, &a, sizeof(a));
	CU_ASSERT(vfu_client_region_read(client, 1, 4, 4, &call) == 0);
	CU_ASSERT(answer(buf, 19, NULL, 0) == 1 && seen.status == -EPROTO);
	CU_ASSERT(vfu_client_region_read(client, 1, 4, 4, &call) == 0);
	CU_ASSERT(answer(buf, 21, NULL, 0) == 1 && seen.status == -EPROTO);
	CU_ASSERT(vfu_client_region_read(client, 1, 8, 4, &call) == 0);
	CU_ASSERT(answer(buf, 20, NULL, 0) == 1 && seen.status == -EPROTO);
	CU_ASSERT(vfu_client_region_read(client, 1, 4, 8, &call) == 0);
	CU_ASSERT(answer(buf, 20, NULL, 0) == 1 && seen.status == -EPROTO);
	CU_ASSERT(vfu_client_region_read(client, 1, 4, 4, &call) == 0);
	CU_ASSERT(answer(buf, 20, NULL, 0) == 1 && seen.status == 0 && seen.len == 4);
	/* A write that is answered with a header only, and one with more. */
	CU_ASSERT(vfu_client_region_write(client, 1, 4, buf, 4, &call) == 0);
	CU_ASSERT(answer(NULL, 0, NULL, 0) == 1 && seen.status == 0);
	CU_ASSERT(vfu_client_region_write(client, 1, 4, buf, 4, &call) == 0);
	CU_ASSERT(answer(buf, 16, NULL, 0) == 1 && seen.status == 0);
	CU_ASSERT(nb_closed == 0);
	close(fd);
	teardown();
}

static int
region_answer(struct vfu_region r, const void *caps, uint32_t len)
{
	uint8_t buf[512] = {0};

	memcpy(buf, &r, sizeof(r));
	if (len > 0)
		memcpy(buf + 32, caps, len);
	return answer(buf, 32 + len, NULL, 0);
}

static void
lying_about_regions(void)
{
	const struct vfu_region r = {.argsz = 64, .flags = 0xf, .cap_offset = 32, .size = 0x2000};
	struct vfu_region bad;
	struct {
		struct vfu_cap_sparse cap;
		struct vfu_area area;
	} good = {{{1, 1, 0}, 1, 0}, {0x1000, 0x1000}}, c;

	setup();
	/* Never the room it wants: asked twice, not for ever. */
	CU_ASSERT(vfu_client_region_info(client, 0, &call) == 0);
	CU_ASSERT(region_answer(r, NULL, 0) == 1 && seen.nb == 0);
	CU_ASSERT(vfu_client_pending(client) == 1);
	CU_ASSERT(region_answer(r, NULL, 0) == 1 && seen.nb == 1 && seen.status == -EPROTO);
	bad = r;
	bad.argsz = UINT32_MAX;
	CU_ASSERT(vfu_client_region_info(client, 0, &call) == 0);
	CU_ASSERT(region_answer(bad, NULL, 0) == 1 && seen.status == -EPROTO);
	/* A good one, at once. */
	CU_ASSERT(vfu_client_region_info(client, 0, &call) == 0);
	CU_ASSERT(region_answer(r, &good, 32) == 1 && seen.status == 0);
	CU_ASSERT(seen.region.nb_areas == 1 && seen.region.fd == -1);
	CU_ASSERT(seen.region.flags == 3); /* nothing to map without a descriptor */
	/* Capabilities outside, in circles, with too many areas, areas outside. */
	for (int i = 0; i < 9; i++) {
		bad = r;
		c = good;
		switch (i) {
		case 0:
			bad.cap_offset = 31;
			break;
		case 1:
			bad.cap_offset = 57;
			break;
		case 2:
			bad.cap_offset = UINT32_MAX - 3;
			break;
		case 3:
			c.cap.cap.next = 32;
			break;
		case 4:
			c.cap.nr_areas = 2;
			break;
		case 5:
			c.cap.nr_areas = UINT32_MAX;
			break;
		case 6:
			c.area.offset = 0x1001;
			break;
		case 7:
			c.area = (struct vfu_area){0x1000, UINT64_MAX};
			break;
		default:
			bad.cap_offset = 56; /* inside: an unknown capability with next 0x10 */
			c.area.size = 0x1000ull << 32 | 9;
			break;
		}
		CU_ASSERT(vfu_client_region_info(client, 0, &call) == 0);
		CU_ASSERT(region_answer(bad, &c, 32) == 1 && seen.status == -EPROTO);
	}
	CU_ASSERT(nb_closed == 0);
	teardown();
}

static void
lying_about_io_fds(void)
{
	struct {
		struct vfu_region_io_fds r;
		struct vfu_io_fd e[2];
	} m = {{.argsz = 96, .index = 1, .count = 2}, {{.fd_index = 0}, {.fd_index = 1}}}, bad;
	int fds[2];

	setup();
	fds[0] = make_eventfd();
	fds[1] = make_eventfd();
	CU_ASSERT(vfu_client_region_io_fds(client, 1, &call) == 0);
	CU_ASSERT(answer(&m, sizeof(m), fds, 2) == 1 && seen.status == 0 && seen.nb_fds == 2);
	close(seen.fd); /* one is taken, the other one is closed for us */
	CU_ASSERT(vfu_client_region_io_fds(client, 1, &call) == 0);
	CU_ASSERT(answer(&m, sizeof(m), fds, 1) == 1 && seen.status == -EPROTO);
	CU_ASSERT(vfu_client_region_io_fds(client, 1, &call) == 0);
	CU_ASSERT(answer(&m, sizeof(m) - 1, fds, 2) == 1 && seen.status == -EPROTO);
	CU_ASSERT(vfu_client_region_io_fds(client, 0, &call) == 0);
	CU_ASSERT(answer(&m, sizeof(m), fds, 2) == 1 && seen.status == -EPROTO);
	bad = m;
	bad.r.count = UINT32_MAX;
	CU_ASSERT(vfu_client_region_io_fds(client, 1, &call) == 0);
	CU_ASSERT(answer(&bad, sizeof(bad), fds, 2) == 1 && seen.status == -EPROTO);
	CU_ASSERT(vfu_client_region_io_fds(client, 1, &call) == 0);
	CU_ASSERT(answer(&m, 15, fds, 2) == 1 && seen.status == -EPROTO);
	close(fds[0]);
	close(fds[1]);
	teardown();
}

/* Commands of the server are refused; one that asks for ever is left. */
static void
server_commands(void)
{
	const struct vfu_dma_access d = {0x1000, 8};
	int rc = 0;

	setup();
	CU_ASSERT(vfu_client_reset(client, &call) == 0);
	CU_ASSERT(vfu_client_process(client, 0, 8) == 0);
	CU_ASSERT(raw_receive(server, &msg) == 1);
	raw_message(server, 77, VFU_CMD_DMA_READ, 0, &d, sizeof(d), NULL, 0);
	raw_message(server, 78, VFU_CMD_DMA_WRITE, VFU_F_NO_REPLY, &d, sizeof(d), NULL, 0);
	raw_message(server, 79, 200, 0, NULL, 0, NULL, 0);
	raw_message(server, msg.h.id, VFU_CMD_DEVICE_RESET, VFU_F_TYPE_REPLY, NULL, 0, NULL, 0);
	CU_ASSERT(vfu_client_process(client, 0, 8) == 4);
	CU_ASSERT(seen.nb == 1 && seen.status == 0);
	CU_ASSERT(raw_receive(server, &msg) == 1 && msg.h.id == 77 && msg.h.error == EOPNOTSUPP);
	CU_ASSERT(msg.h.flags == 0x21 && msg.h.command == VFU_CMD_DMA_READ);
	CU_ASSERT(raw_receive(server, &msg) == 1 && msg.h.id == 79);
	CU_ASSERT(raw_receive(server, &msg) == 0);
	CU_ASSERT(vfu_client_pending(client) == 0);
	for (int i = 0; i < 100000 && rc >= 0; i++) {
		raw_message(server, 80, VFU_CMD_DMA_READ, 0, &d, sizeof(d), NULL, 0);
		rc = vfu_client_process(client, 0, 8);
	}
	CU_ASSERT(rc == -ENOBUFS);
	teardown();
}

int
main(void)
{
	static CU_TestInfo tests[] = {
		{"lying about versions", lying_about_versions},
		{"answers to nothing", answers_to_nothing},
		{"error replies", error_replies},
		{"half replies", half_replies},
		{"lying about payloads", lying_about_payloads},
		{"lying about regions", lying_about_regions},
		{"lying about io descriptors", lying_about_io_fds},
		{"commands of the server", server_commands},
		CU_TEST_INFO_NULL,
	};
	static CU_SuiteInfo suites[] = {
		{"client and other servers", NULL, NULL, NULL, NULL, tests},
		CU_SUITE_INFO_NULL,
	};

	if (CU_initialize_registry() != CUE_SUCCESS || CU_register_suites(suites) != CUE_SUCCESS)
		return 1;
	return rig_run();
}
