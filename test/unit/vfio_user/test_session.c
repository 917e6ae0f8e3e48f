/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * vfu_session.c and vfu_dispatch.c: the life of a session, whatever the client does.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vfu_rig.h"

static struct rig rig;
static struct rig_msg msg;
static int fds_before;

static void
setup(bool ready)
{
	fds_before = count_fds();
	if (ready)
		rig_open_ready(&rig);
	else
		rig_open(&rig);
}

static void
teardown(void)
{
	rig_close(&rig);
	CU_ASSERT(count_fds() == fds_before);
}

static void
version_first(void)
{
	const struct vfu_device_info info = {.argsz = sizeof(info)};
	const struct vfu_version v1 = {1, 0}, v0 = {0, 0}, v9 = {0, 9};
	struct vfu_version got;

	setup(false);
	CU_ASSERT(rig_call(&rig, VFU_CMD_DEVICE_GET_INFO, &info, sizeof(info), NULL, 0, &msg) ==
		  EPROTO);
	CU_ASSERT(raw_receive(rig.raw, &msg) == 0); /* closed by the owner, below */
	CU_ASSERT(rig.dev.nb_closed == 1 && rig.dev.reason == -EPROTO);
	CU_ASSERT(vfu_session_process(rig.s, 1) == -EPROTO);
	CU_ASSERT(rig.dev.nb_closed == 1);
	teardown();

	/* Not even posted, or as a reply. */
	setup(false);
	raw_message(rig.raw, 1, VFU_CMD_DEVICE_RESET, VFU_F_NO_REPLY, NULL, 0, NULL, 0);
	CU_ASSERT(vfu_session_process(rig.s, 1) == -EPROTO);
	CU_ASSERT(rig.dev.nb_reset == 0);
	teardown();
	setup(false);
	raw_message(rig.raw, 1, VFU_CMD_VERSION, VFU_F_TYPE_REPLY, &v0, sizeof(v0), NULL, 0);
	CU_ASSERT(vfu_session_process(rig.s, 1) == -EPROTO);
	CU_ASSERT(raw_receive(rig.raw, &msg) == 0);
	teardown();

	/* Another major version. */
	setup(false);
	CU_ASSERT(
		rig_call(&rig, VFU_CMD_VERSION, &v1, sizeof(v1), NULL, 0, &msg) == EPROTONOSUPPORT);
	CU_ASSERT(rig.dev.nb_closed == 1);
	teardown();

	/* A minor version not above the proposed one; once only. */
	setup(false);
	CU_ASSERT(rig_call(&rig, VFU_CMD_VERSION, &v0, sizeof(v0), NULL, 0, &msg) == 0);
	memcpy(&got, msg.payload, sizeof(got));
	CU_ASSERT(got.major == 0 && got.minor == 0);
	CU_ASSERT(msg.len > 4 && msg.payload[msg.len - 1] == '\0' && msg.payload[4] == '{');
	CU_ASSERT(rig_call(&rig, VFU_CMD_VERSION, &v0, sizeof(v0), NULL, 0, &msg) == EINVAL);
	CU_ASSERT(rig_call(&rig, VFU_CMD_DEVICE_RESET, NULL, 0, NULL, 0, &msg) == 0);
	teardown();
	setup(false);
	CU_ASSERT(rig_call(&rig, VFU_CMD_VERSION, &v9, sizeof(v9), NULL, 0, &msg) == 0);
	memcpy(&got, msg.payload, sizeof(got));
	CU_ASSERT(got.minor == 1);
	teardown();
}

static void
client_leaves(void)
{
	uint8_t half[20] = {0};
	int fd;

	setup(true);
	close(rig.raw);
	rig.raw = -1;
	CU_ASSERT(vfu_session_process(rig.s, 8) == -ECONNRESET);
	CU_ASSERT(rig.dev.nb_closed == 1 && rig.dev.reason == -ECONNRESET);
	teardown();

	/* Within a message, with descriptors that nobody gets any more. */
	setup(true);
	fd = make_eventfd();
	memcpy(half, &(struct vfu_header){.command = VFU_CMD_DMA_MAP, .size = 48}, 16);
	raw_send(rig.raw, half, sizeof(half), &fd, 1);
	CU_ASSERT(vfu_session_process(rig.s, 8) == 0);
	close(rig.raw);
	rig.raw = -1;
	CU_ASSERT(vfu_session_process(rig.s, 8) == -EPIPE);
	CU_ASSERT(rig.dev.nb_map == 0);
	close(fd);
	teardown();

	/* What it has asked before it left is done first. */
	setup(true);
	raw_message(rig.raw, 1, VFU_CMD_DEVICE_RESET, 0, NULL, 0, NULL, 0);
	close(rig.raw);
	rig.raw = -1;
	CU_ASSERT(vfu_session_process(rig.s, 8) == -ECONNRESET);
	CU_ASSERT(rig.dev.nb_reset == 1 && rig.dev.nb_closed == 1);
	teardown();
}

static void
broken_stream_ends_it(void)
{
	const struct vfu_header h = {.command = VFU_CMD_DEVICE_RESET, .size = 15};

	setup(true);
	raw_send(rig.raw, &h, sizeof(h), NULL, 0);
	CU_ASSERT(vfu_session_process(rig.s, 8) == -EMSGSIZE);
	CU_ASSERT(rig.dev.nb_closed == 1 && rig.dev.nb_reset == 0);
	teardown();
}

/* Messages that are wrong one by one, and the stream stays in order. */
static void
odd_messages(void)
{
	static uint8_t big[VFU_MSG_MAX];
	uint32_t posted = 0;

	setup(true);
	/* Unknown commands. */
	CU_ASSERT(rig_call(&rig, 0, NULL, 0, NULL, 0, &msg) == EOPNOTSUPP);
	CU_ASSERT(rig_call(&rig, 19, NULL, 0, NULL, 0, &msg) == EOPNOTSUPP);
	CU_ASSERT(rig_call(&rig, 65535, big, 100, NULL, 0, &msg) == EOPNOTSUPP);
	CU_ASSERT(rig.state->stats.messages[0] == 3);
	/* Known ones that are not served. */
	CU_ASSERT(rig_call(&rig, VFU_CMD_DMA_READ, big, 16, NULL, 0, &msg) == EOPNOTSUPP);
	CU_ASSERT(rig_call(&rig, VFU_CMD_DMA_WRITE, big, 32, NULL, 0, &msg) == EOPNOTSUPP);
	CU_ASSERT(rig_call(&rig, VFU_CMD_DIRTY_PAGES, big, 16, NULL, 0, &msg) == EOPNOTSUPP);
	CU_ASSERT(rig_call(&rig, VFU_CMD_MIG_DATA_READ, big, 8, NULL, 0, &msg) == EOPNOTSUPP);
	CU_ASSERT(rig_call(&rig, VFU_CMD_MIG_DATA_WRITE, big, 8, NULL, 0, &msg) == EOPNOTSUPP);
	CU_ASSERT(rig_call(&rig, VFU_CMD_DEVICE_FEATURE, big, 8, NULL, 0, &msg) == ENOTTY);
	/* Types that do not exist, the error bit. */
	raw_message(rig.raw, 1, VFU_CMD_DEVICE_RESET, 2, NULL, 0, NULL, 0);
	raw_message(rig.raw, 2, VFU_CMD_DEVICE_RESET, VFU_F_ERROR, NULL, 0, NULL, 0);
	CU_ASSERT(vfu_session_process(rig.s, 8) == 2);
	CU_ASSERT(raw_receive(rig.raw, &msg) == 1 && msg.h.error == EINVAL);
	CU_ASSERT(raw_receive(rig.raw, &msg) == 1 && msg.h.error == EINVAL && msg.h.id == 2);
	/* Answers to what nobody has asked. */
	raw_message(rig.raw, 3, VFU_CMD_DMA_READ, VFU_F_TYPE_REPLY, NULL, 0, NULL, 0);
	CU_ASSERT(vfu_session_process(rig.s, 8) == 1);
	CU_ASSERT(raw_receive(rig.raw, &msg) == 0);
	CU_ASSERT(rig.state->stats.stray_replies == 1);
	/* Posted: never a reply, not even an error. */
	for (uint16_t cmd = 0; cmd < 25; cmd++) {
		raw_message(rig.raw, cmd, cmd, VFU_F_NO_REPLY, big, cmd % 7, NULL, 0);
		posted++;
		CU_ASSERT(vfu_session_process(rig.s, 8) == 1);
		CU_ASSERT(raw_receive(rig.raw, &msg) == 0);
	}
	CU_ASSERT(rig.state->stats.posted == posted);
	/* Unknown flags do not matter. */
	raw_message(rig.raw, 4, VFU_CMD_DEVICE_RESET, 0xffffff00u, NULL, 0, NULL, 0);
	CU_ASSERT(vfu_session_process(rig.s, 8) == 1);
	CU_ASSERT(raw_receive(rig.raw, &msg) == 1 && msg.h.flags == VFU_F_TYPE_REPLY);
	CU_ASSERT(rig.dev.nb_closed == 0);
	CU_ASSERT(rig.dev.nb_log > 5);
	teardown();
}

static void
too_long_to_keep(void)
{
	static uint8_t big[VFU_MSG_MAX + 100];
	const struct vfu_header h = {.id = 5, .command = VFU_CMD_REGION_WRITE, .size = sizeof(big)};
	int fd;

	setup(true);
	fd = make_eventfd();
	memcpy(big, &h, sizeof(h));
	raw_send(rig.raw, big, sizeof(big), &fd, 1);
	CU_ASSERT(vfu_session_process(rig.s, 8) == 1);
	CU_ASSERT(raw_receive(rig.raw, &msg) == 1);
	CU_ASSERT(msg.h.id == 5 && msg.h.error == E2BIG);
	CU_ASSERT(rig.state->stats.oversized == 1 && rig.dev.nb_write == 0);
	CU_ASSERT(rig_call(&rig, VFU_CMD_DEVICE_RESET, NULL, 0, NULL, 0, &msg) == 0);
	close(fd);
	teardown();
}

/* Every length of every command, with random bytes and descriptors: it lives, and leaks nothing. */
static void
random_messages(void)
{
	uint8_t payload[64];
	unsigned int seed = 1;
	int fds[3];

	setup(true);
	for (int i = 0; i < 3; i++)
		fds[i] = make_eventfd();
	for (int round = 0; round < 20000; round++) {
		uint16_t cmd = (uint16_t)(2 + rand_r(&seed) % 18);
		uint32_t len = (uint32_t)rand_r(&seed) % sizeof(payload);

		for (uint32_t i = 0; i < len; i++)
			payload[i] = rand_r(&seed) % 3 ? (uint8_t)(rand_r(&seed) % 40)
						       : (uint8_t)(rand_r(&seed) >> 3);
		/* Mostly small numbers in the upper halves, so that something gets through. */
		for (uint32_t i = 1; i < len; i++)
			if (i % 4 != 0 && rand_r(&seed) % 8)
				payload[i] = 0;
		raw_message(rig.raw, (uint16_t)round, cmd, rand_r(&seed) % 8 ? 0 : VFU_F_NO_REPLY,
			payload, len, fds, (uint32_t)rand_r(&seed) % 4);
		CU_ASSERT_FATAL(vfu_session_process(rig.s, 4) == 1);
		while (raw_receive(rig.raw, &msg) == 1) {
			CU_ASSERT(msg.h.id == (uint16_t)round && msg.h.command == cmd);
			CU_ASSERT(msg.nb_fds == 0);
		}
	}
	for (int i = 0; i < 3; i++)
		close(fds[i]);
	teardown();
}

static void
pieces_and_bursts(void)
{
	uint8_t burst[100 * 16];

	setup(true);
	for (uint16_t i = 0; i < 100; i++) {
		const struct vfu_header h = {.id = i, .command = VFU_CMD_DEVICE_RESET, .size = 16};

		memcpy(burst + i * 16, &h, sizeof(h));
	}
	raw_send(rig.raw, burst, sizeof(burst), NULL, 0);
	/* The budget is kept, and nothing is lost. */
	CU_ASSERT(vfu_session_process(rig.s, 30) == 30);
	CU_ASSERT(vfu_session_process(rig.s, 30) == 30);
	CU_ASSERT(vfu_session_process(rig.s, 100) == 40);
	for (uint16_t i = 0; i < 100; i++)
		CU_ASSERT(raw_receive(rig.raw, &msg) == 1 && msg.h.id == i);
	/* Byte by byte. */
	for (size_t i = 0; i < 48; i++) {
		raw_send(rig.raw, burst + i, 1, NULL, 0);
		CU_ASSERT(vfu_session_process(rig.s, 8) == (i % 16 == 15));
	}
	for (uint16_t i = 0; i < 3; i++)
		CU_ASSERT(raw_receive(rig.raw, &msg) == 1 && msg.h.id == i);
	CU_ASSERT(raw_receive(rig.raw, &msg) == 0);
	teardown();
}

/* A client that asks and never reads: bounded, then the end. */
static void
client_never_reads(void)
{
	const struct vfu_access a = {.region = 0, .count = 4096};
	int rounds = 0, rc;

	setup(true);
	do {
		raw_message(rig.raw, 1, VFU_CMD_REGION_READ, 0, &a, sizeof(a), NULL, 0);
		rc = vfu_session_process(rig.s, 8);
		CU_ASSERT_FATAL(++rounds < 10000);
		if (rig.state->tx.head < rig.state->tx.tail)
			CU_ASSERT(rc < 0 || vfu_session_want_events(rig.s) == (EPOLLIN | EPOLLOUT));
	} while (rc > 0);
	CU_ASSERT(rc == -ENOBUFS);
	CU_ASSERT(rig.dev.nb_closed == 1 && strstr(rig.dev.why, "does not read") != NULL);
	CU_ASSERT(rounds > 50 && rounds < 300);
	teardown();
}

/* A client that reads late gets everything. */
static void
client_reads_late(void)
{
	const struct vfu_access a = {.region = 0, .count = 1000};
	uint16_t got = 0;

	setup(true);
	for (uint16_t i = 0; i < 300; i++) {
		raw_message(rig.raw, i, VFU_CMD_REGION_READ, 0, &a, sizeof(a), NULL, 0);
		CU_ASSERT(vfu_session_process(rig.s, 8) == 1);
	}
	CU_ASSERT(vfu_session_want_events(rig.s) & EPOLLOUT);
	while (got < 300) {
		if (raw_receive(rig.raw, &msg) == 1) {
			CU_ASSERT(msg.h.id == got && msg.len == 1016);
			got++;
		} else {
			CU_ASSERT_FATAL(vfu_session_process(rig.s, 8) == 0);
		}
	}
	CU_ASSERT(vfu_session_want_events(rig.s) == EPOLLIN);
	teardown();
}

static void
owner_stops_it(void)
{
	setup(true);
	rig.dev.stop = rig.s;
	/* The command at hand is still answered. */
	CU_ASSERT(rig_call(&rig, VFU_CMD_DEVICE_RESET, NULL, 0, NULL, 0, &msg) == 0);
	CU_ASSERT(rig.dev.nb_closed == 1 && rig.dev.reason == -ESHUTDOWN);
	teardown();

	setup(true);
	vfu_session_stop(rig.s, -ESHUTDOWN);
	CU_ASSERT(rig.dev.nb_closed == 0);
	CU_ASSERT(vfu_session_process(rig.s, 1) == -ESHUTDOWN);
	CU_ASSERT(rig.dev.nb_closed == 1);
	teardown();

	/* Freed from within an operation: closed() is not called, nothing leaks. */
	setup(true);
	rig.dev.kill = rig.s;
	raw_message(rig.raw, 1, VFU_CMD_DEVICE_RESET, 0, NULL, 0, NULL, 0);
	raw_message(rig.raw, 2, VFU_CMD_DEVICE_RESET, 0, NULL, 0, NULL, 0);
	CU_ASSERT(vfu_session_process(rig.s, 8) < 0);
	rig.s = NULL;
	CU_ASSERT(rig.dev.nb_reset == 1 && rig.dev.nb_closed == 0);
	CU_ASSERT(rig.state->magic == 0);
	teardown();
}

/* Another process goes on in the middle of a message, with replies still to be sent. */
static void
resume(void)
{
	const struct vfu_session_conf conf = {.ops = &rig_ops,
		.arg = &rig.dev,
		.num_regions = VFU_PCI_NUM_REGIONS,
		.num_irqs = VFU_PCI_NUM_IRQS};
	const struct vfu_dma_map map = {.argsz = 32, .size = 4096};
	struct vfu_session *s = NULL;
	uint8_t buf[48];
	int fd, sock;

	setup(true);
	fd = make_memfd(4096);
	memcpy(buf, &(struct vfu_header){.id = 9, .command = VFU_CMD_DMA_MAP, .size = 48}, 16);
	memcpy(buf + 16, &map, sizeof(map));
	raw_send(rig.raw, buf, 21, &fd, 1);
	CU_ASSERT(vfu_session_process(rig.s, 8) == 0);
	sock = vfu_session_detach(rig.s);
	/* A state that does not hold together is refused, the right one goes on. */
	rig.state->rx.len = 49;
	CU_ASSERT(vfu_session_open(sock, &conf, rig.state, &s) == -EINVAL);
	rig.state->rx.len = 21;
	rig.state->version++;
	CU_ASSERT(vfu_session_open(sock, &conf, rig.state, &s) == -EINVAL);
	rig.state->version--;
	rig.state->magic++;
	CU_ASSERT(vfu_session_open(sock, &conf, rig.state, &s) == -EINVAL);
	rig.state->magic--;
	CU_ASSERT_FATAL(vfu_session_open(sock, &conf, rig.state, &rig.s) == 0);
	raw_send(rig.raw, buf + 21, sizeof(buf) - 21, NULL, 0);
	CU_ASSERT(vfu_session_process(rig.s, 8) == 1);
	CU_ASSERT(raw_receive(rig.raw, &msg) == 1 && msg.h.id == 9 && msg.h.error == 0);
	CU_ASSERT(rig.dev.nb_map == 1 && rig.dev.map_fd >= 0);
	CU_ASSERT(rig.state->stats.messages[VFU_CMD_DMA_MAP] == 1);
	close(fd);
	teardown();
}

static void
bad_configurations(void)
{
	struct vfu_session_conf conf = {.ops = &rig_ops, .arg = &rig.dev, .num_regions = 9};
	struct vfu_session *s;

	setup(true);
	CU_ASSERT(vfu_session_open(-1, &conf, rig.state, &s) == -EINVAL);
	conf.num_regions = VFU_MAX_REGIONS + 1;
	CU_ASSERT(vfu_session_open(0, &conf, rig.state, &s) == -EINVAL);
	conf.num_regions = 0;
	CU_ASSERT(vfu_session_open(0, &conf, rig.state, &s) == -EINVAL);
	conf.num_regions = 9;
	conf.ops = NULL;
	CU_ASSERT(vfu_session_open(0, &conf, rig.state, &s) == -EINVAL);
	vfu_session_free(NULL);
	teardown();
}

/* No operations at all: what has a harmless answer gets it. */
static void
no_operations(void)
{
	static const struct vfu_ops none;
	const struct vfu_session_conf conf = {
		.ops = &none, .num_regions = VFU_PCI_NUM_REGIONS, .num_irqs = 5};
	const struct vfu_access a = {.region = 7, .count = 4};
	const struct vfu_dma_map map = {.argsz = 32, .size = 4096};
	const struct vfu_dma_unmap unmap = {.argsz = 24, .size = 4096};
	const struct vfu_region region = {.argsz = 32, .index = 8};
	const struct vfu_region_io_fds io = {.argsz = 16};
	const struct vfu_irq_set irqs = {.argsz = 20, .flags = 0x21};
	int sock;

	setup(true);
	sock = vfu_session_detach(rig.s);
	CU_ASSERT_FATAL(vfu_session_open(sock, &conf, rig.state, &rig.s) == 0);
	CU_ASSERT(rig_call(&rig, VFU_CMD_REGION_READ, &a, sizeof(a), NULL, 0, &msg) == 0);
	CU_ASSERT(msg.len == 20 && msg.payload[16] == 0);
	CU_ASSERT(rig_call(&rig, VFU_CMD_DMA_MAP, &map, sizeof(map), NULL, 0, &msg) == EOPNOTSUPP);
	CU_ASSERT(rig_call(&rig, VFU_CMD_DMA_UNMAP, &unmap, sizeof(unmap), NULL, 0, &msg) == 0);
	CU_ASSERT(rig_call(&rig, VFU_CMD_DEVICE_GET_REGION_INFO, &region, sizeof(region), NULL, 0,
			  &msg) == 0);
	CU_ASSERT(rig_call(&rig, VFU_CMD_DEVICE_GET_REGION_IO_FDS, &io, sizeof(io), NULL, 0,
			  &msg) == 0);
	CU_ASSERT(rig_call(&rig, VFU_CMD_DEVICE_SET_IRQS, &irqs, sizeof(irqs), NULL, 0, &msg) ==
		  EOPNOTSUPP);
	CU_ASSERT(rig_call(&rig, VFU_CMD_DEVICE_RESET, NULL, 0, NULL, 0, &msg) == 0);
	teardown();
}

static void
peer_is_known(void)
{
	struct vfu_peer peer;

	setup(true);
	CU_ASSERT(vfu_session_peer(rig.s, &peer) == 0);
	CU_ASSERT(peer.pid == getpid() && peer.uid == geteuid() && peer.gid == getegid());
	CU_ASSERT(vfu_session_fd(rig.s) >= 0);
	teardown();
}

int
main(void)
{
	static CU_TestInfo tests[] = {
		{"version first", version_first},
		{"client leaves", client_leaves},
		{"broken stream ends it", broken_stream_ends_it},
		{"odd messages", odd_messages},
		{"too long to keep", too_long_to_keep},
		{"random messages", random_messages},
		{"pieces and bursts", pieces_and_bursts},
		{"client never reads", client_never_reads},
		{"client reads late", client_reads_late},
		{"owner stops it", owner_stops_it},
		{"resume", resume},
		{"bad configurations", bad_configurations},
		{"no operations", no_operations},
		{"peer is known", peer_is_known},
		CU_TEST_INFO_NULL,
	};
	static CU_SuiteInfo suites[] = {
		{"session", NULL, NULL, NULL, NULL, tests},
		CU_SUITE_INFO_NULL,
	};

	if (CU_initialize_registry() != CUE_SUCCESS || CU_register_suites(suites) != CUE_SUCCESS)
		return 1;
	return rig_run();
}
