/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * vfu_client.c and vfu_client_req.c: against our server, and against servers that lie.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vfu_client.h"
#include "vfu_rig.h"

/* What a callback has seen. */
struct seen {
	unsigned int nb;
	int status;
	struct vfu_caps caps;
	struct vfu_device_info device;
	struct vfu_region_info region;
	struct vfu_irq_info irq;
	struct vfu_io_fd io_fds[VFU_MAX_IO_FDS];
	uint32_t nb_io_fds;
	uint8_t data[4096];
	uint32_t len;
	uint32_t nb_fds;
	int fd;		    /* taken */
	unsigned int order; /* the how-manieth of all */
	bool free_it, ask_again;
};

static struct rig rig;
static struct rig_msg msg;
static struct vfu_client *client;
static struct seen seen;
static unsigned int nb_done, nb_closed;
static int closed_reason;
static bool free_when_closed;
static int fds_before;

static void
on_done(void *arg, int status, const struct vfu_reply *reply)
{
	const struct vfu_call again = {.done = on_done, .arg = arg, .deadline_ns = VFU_NEVER};
	struct seen *s = arg;

	s->nb++;
	s->status = status;
	s->order = nb_done++;
	CU_ASSERT((status == 0) == (reply != NULL));
	if (s->free_it)
		vfu_client_free(client);
	if (s->ask_again) {
		s->ask_again = false;
		CU_ASSERT(vfu_client_reset(client, &again) ==
			  (status == -ECONNRESET ? -ENOTCONN : 0));
	}
	if (status != 0)
		return;
	s->nb_fds = reply->nb_fds;
	if (reply->nb_fds > 0) {
		s->fd = reply->fds[0];
		reply->fds[0] = -1;
	}
	switch (reply->command) {
	case VFU_CMD_VERSION:
		s->caps = *reply->version;
		break;
	case VFU_CMD_DEVICE_GET_INFO:
		s->device = *reply->device;
		break;
	case VFU_CMD_DEVICE_GET_REGION_INFO:
		s->region = *reply->region;
		break;
	case VFU_CMD_DEVICE_GET_IRQ_INFO:
		s->irq = *reply->irq;
		break;
	case VFU_CMD_DEVICE_GET_REGION_IO_FDS:
		s->nb_io_fds = reply->io_fds.count;
		memcpy(s->io_fds, reply->io_fds.entries,
			reply->io_fds.count * sizeof(s->io_fds[0]));
		break;
	case VFU_CMD_REGION_READ:
		s->len = reply->read.len;
		memcpy(s->data, reply->read.data, reply->read.len);
		break;
	default:
		break;
	}
}

static void
on_closed(void *arg, int reason, const char *why)
{
	CU_ASSERT(arg == &rig);
	CU_ASSERT(why[0] != '\0');
	nb_closed++;
	closed_reason = reason;
	if (free_when_closed)
		vfu_client_free(client);
}

static const struct vfu_client_ops ops = {.closed = on_closed};
static const struct vfu_call call = {.done = on_done, .arg = &seen, .deadline_ns = VFU_NEVER};

static void
setup(void)
{
	fds_before = count_fds();
	memset(&seen, 0, sizeof(seen));
	seen.fd = -1;
	nb_done = nb_closed = 0;
	closed_reason = 0;
	free_when_closed = false;
	rig_open(&rig);
	CU_ASSERT_FATAL(vfu_client_open(rig.raw, &ops, &rig, &client) == 0);
	rig.raw = -1;
}

/* Client and server take turns until nothing is open. */
static void
pump(void)
{
	unsigned int turns = 0;

	while (vfu_client_pending(client) > 0) {
		CU_ASSERT_FATAL(turns++ < 100000);
		CU_ASSERT_FATAL(vfu_client_process(client, 0, 32) >= 0);
		CU_ASSERT_FATAL(vfu_session_process(rig.s, 64) >= 0);
	}
}

static void
setup_ready(void)
{
	setup();
	CU_ASSERT(vfu_client_version(client, &call) == 0);
	pump();
	CU_ASSERT_FATAL(seen.nb == 1 && seen.status == 0);
	seen.nb = 0;
	nb_done = 0;
}

static void
teardown(void)
{
	vfu_client_free(client);
	client = NULL;
	rig_close(&rig);
	CU_ASSERT(count_fds() == fds_before);
}

static void
whole_conversation(void)
{
	struct vfu_dma_map map = {.flags = 3, .iova = 0x1000, .size = 0x1000, .offset = 0x2000};
	struct vfu_region_info *r2;
	struct vfu_peer peer;
	int fd, efd;

	setup();
	fd = make_memfd(0x10000);
	efd = make_eventfd();
	r2 = &rig.dev.regions[2];
	r2->size = 0x4000;
	r2->flags = 7;
	r2->fd = fd;
	r2->fd_offset = 0x8000;
	r2->nb_areas = 2;
	r2->areas[0] = (struct vfu_area){0, 0x1000};
	r2->areas[1] = (struct vfu_area){0x3000, 0x1000};
	rig.dev.nb_io_fds = 1;
	rig.dev.io_fds[0] = (struct vfu_io_fd_info){.offset = 8, .size = 4, .fd = efd};

	CU_ASSERT(vfu_client_caps(client) == NULL);
	CU_ASSERT(vfu_client_version(client, &call) == 0);
	pump();
	CU_ASSERT(seen.status == 0 && seen.caps.max_msg_fds == 16 && seen.caps.minor == 0);
	CU_ASSERT(vfu_client_caps(client)->max_data_xfer == VFU_XFER_MAX);
	CU_ASSERT(rig.state->peer.max_msg_fds == 16);
	CU_ASSERT(vfu_client_device_info(client, &call) == 0);
	pump();
	CU_ASSERT(seen.device.num_regions == 9 && seen.device.num_irqs == 5);
	/* Plain region, then one with capabilities: asked for twice behind the scenes. */
	CU_ASSERT(vfu_client_region_info(client, 0, &call) == 0);
	pump();
	CU_ASSERT(seen.region.size == 4096 && seen.region.fd == -1 && seen.region.nb_areas == 0);
	seen.nb = 0;
	CU_ASSERT(vfu_client_region_info(client, 2, &call) == 0);
	pump();
	CU_ASSERT(seen.nb == 1 && seen.status == 0 && seen.nb_fds == 1 && seen.fd >= 0);
	CU_ASSERT(seen.region.fd == seen.fd && seen.region.flags == 7);
	CU_ASSERT(seen.region.size == 0x4000 && seen.region.fd_offset == 0x8000);
	CU_ASSERT(seen.region.nb_areas == 2 && seen.region.areas[1].offset == 0x3000);
	close(seen.fd);
	CU_ASSERT(vfu_client_region_io_fds(client, 0, &call) == 0);
	pump();
	CU_ASSERT(seen.nb_io_fds == 0 && seen.nb_fds == 0);
	CU_ASSERT(vfu_client_region_io_fds(client, 1, &call) == 0);
	pump();
	CU_ASSERT(seen.nb_io_fds == 1 && seen.io_fds[0].offset == 8 && seen.nb_fds == 1);
	close(seen.fd);
	CU_ASSERT(vfu_client_irq_info(client, VFU_PCI_MSIX, &call) == 0);
	pump();
	CU_ASSERT(seen.irq.count == 253);
	CU_ASSERT(vfu_client_set_irqs(client, VFU_PCI_MSI, 0, &efd, 1, &call) == 0);
	pump();
	CU_ASSERT(seen.status == 0 && rig.dev.irqs.nb_fds == 1);
	CU_ASSERT(vfu_client_set_irqs(client, VFU_PCI_MSI, 0, NULL, 0, &call) == 0);
	pump();
	CU_ASSERT(seen.status == 0 && rig.dev.irqs.nb_fds == 0 && rig.dev.irqs.count == 0);
	CU_ASSERT(vfu_client_dma_map(client, &map, fd, &call) == 0);
	pump();
	CU_ASSERT(seen.status == 0 && rig.dev.map_fd >= 0);
	CU_ASSERT(rig.dev.map.iova == 0x1000 && rig.dev.map.offset == 0x2000);
	CU_ASSERT(vfu_client_dma_map(client, &map, -1, &call) == 0);
	pump();
	CU_ASSERT(seen.status == 0 && rig.dev.map_fd == -1);
	CU_ASSERT(vfu_client_dma_unmap(client, 0x1000, 0x1000, &call) == 0);
	pump();
	CU_ASSERT(seen.status == 0 && rig.dev.first == 0x1000 && rig.dev.last == 0x1fff);
	CU_ASSERT(vfu_client_dma_unmap_all(client, &call) == 0);
	pump();
	CU_ASSERT(seen.status == 0 && rig.dev.first == 0 && rig.dev.last == UINT64_MAX);
	CU_ASSERT(vfu_client_region_write(client, 0, 100, "hello", 5, &call) == 0);
	CU_ASSERT(vfu_client_region_post(client, 0, 105, " you", 4) == 0);
	CU_ASSERT(vfu_client_region_read(client, 0, 100, 9, &call) == 0);
	pump();
	CU_ASSERT(seen.len == 9 && memcmp(seen.data, "hello you", 9) == 0);
	CU_ASSERT(rig.state->stats.posted == 1);
	CU_ASSERT(vfu_client_reset(client, &call) == 0);
	pump();
	CU_ASSERT(seen.status == 0 && rig.dev.nb_reset == 1);
	CU_ASSERT(vfu_client_peer(client, &peer) == 0 && peer.pid == getpid());
	/* Errors of the server arrive as what they are. */
	rig.dev.map_rc = -EEXIST;
	CU_ASSERT(vfu_client_dma_map(client, &map, fd, &call) == 0);
	pump();
	CU_ASSERT(seen.status == -EEXIST);
	CU_ASSERT(vfu_client_region_info(client, 99, &call) == 0);
	pump();
	CU_ASSERT(seen.status == -EINVAL && nb_closed == 0);
	close(fd);
	close(efd);
	teardown();
}

static void
bad_arguments(void)
{
	const struct vfu_dma_map map = {.size = 0};
	int fds[17] = {0};

	setup_ready();
	CU_ASSERT(vfu_client_dma_map(client, &map, -1, &call) == -EINVAL);
	CU_ASSERT(vfu_client_set_irqs(client, 2, 0, fds, 17, &call) == -E2BIG);
	CU_ASSERT(vfu_client_region_read(client, 0, 0, VFU_XFER_MAX + 1, &call) == -EINVAL);
	CU_ASSERT(vfu_client_region_post(client, 0, 0, fds, VFU_XFER_MAX + 1) == -EINVAL);
	CU_ASSERT(vfu_client_pending(client) == 0);
	CU_ASSERT(vfu_client_open(-1, &ops, NULL, &(struct vfu_client *){NULL}) == -EINVAL);
	teardown();
}

/* 4 GiB of 2 MiB pages: as many messages, each with a descriptor, all queued at once. */
static void
pipelined_maps(void)
{
	enum {
		N = 2048
	};
	int fd;

	setup_ready();
	fd = make_memfd(0x200000);
	for (uint64_t i = 0; i < N; i++) {
		const struct vfu_dma_map map = {.flags = 3, .iova = i << 21, .size = 1 << 21};

		CU_ASSERT(vfu_client_dma_map(client, &map, fd, &call) == 0);
	}
	CU_ASSERT(vfu_client_pending(client) == N);
	CU_ASSERT(vfu_client_flush(client) == 0);
	CU_ASSERT(vfu_client_want_events(client) == (EPOLLIN | EPOLLOUT));
	pump();
	CU_ASSERT(vfu_client_want_events(client) == EPOLLIN);
	CU_ASSERT(seen.nb == N && seen.status == 0);
	CU_ASSERT(rig.dev.nb_map == N && rig.dev.map.iova == (uint64_t)(N - 1) << 21);
	CU_ASSERT(rig.dev.map_fd >= 0);
	close(fd);
	teardown();
}

/* The kernel limits descriptors in flight for users without privileges: slower, not broken. */
static void
few_fds_in_flight(void)
{
	int status;
	pid_t pid = fork();

	CU_ASSERT_FATAL(pid >= 0);
	if (pid == 0) {
		const struct rlimit few = {32, 32};
		int fd;

		if (setrlimit(RLIMIT_NOFILE, &few) != 0 || (geteuid() == 0 && setuid(65534) != 0))
			_exit(2);
		setup_ready();
		fd = make_memfd(4096);
		for (uint64_t i = 0; i < 500; i++) {
			const struct vfu_dma_map map = {.flags = 3, .iova = i << 12, .size = 4096};

			if (vfu_client_dma_map(client, &map, fd, &call) != 0)
				_exit(3);
		}
		vfu_client_flush(client);
		/* It waits for answers or for some time, not for a writable socket. */
		if (vfu_client_want_events(client) != EPOLLIN ||
			vfu_client_next_deadline(client) == VFU_NEVER)
			_exit(4);
		pump();
		_exit(seen.nb == 500 && seen.status == 0 && rig.dev.nb_map == 500 ? 0 : 5);
	}
	CU_ASSERT(waitpid(pid, &status, 0) == pid);
	CU_ASSERT(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void
mixed_pipeline_keeps_order(void)
{
	static struct seen many[600];
	const struct vfu_dma_map map = {.flags = 3, .size = 4096};
	int fd;

	setup_ready();
	memset(many, 0, sizeof(many));
	fd = make_memfd(4096);
	for (unsigned int i = 0; i < 600; i++) {
		const struct vfu_call c = {on_done, &many[i], VFU_NEVER};
		uint8_t v = (uint8_t)i;
		int rc;

		switch (i % 4) {
		case 0:
			rc = vfu_client_dma_map(client, &map, fd, &c);
			break;
		case 1:
			CU_ASSERT(vfu_client_region_post(client, 0, 10, &v, 1) == 0);
			rc = vfu_client_region_write(client, 0, 11, &v, 1, &c);
			break;
		case 2:
			rc = vfu_client_region_read(client, 0, 9, 4, &c);
			break;
		default:
			rc = vfu_client_region_info(client, 0, &c);
			break;
		}
		CU_ASSERT(rc == 0);
	}
	pump();
	for (unsigned int i = 0; i < 600; i++) {
		CU_ASSERT(many[i].nb == 1 && many[i].status == 0 && many[i].order == i);
		if (i % 4 == 2) {
			CU_ASSERT(many[i].len == 4 && many[i].data[1] == (uint8_t)(i - 1));
			CU_ASSERT(many[i].data[2] == (uint8_t)(i - 1));
		}
	}
	close(fd);
	teardown();
}

static void
big_accesses(void)
{
	static uint8_t big[VFU_XFER_MAX];

	setup_ready();
	for (size_t i = 0; i < sizeof(big); i++)
		big[i] = (uint8_t)(i * 7);
	for (int i = 0; i < 20; i++)
		CU_ASSERT(vfu_client_region_write(client, 0, 0, big, sizeof(big), &call) == 0);
	/* More replies than the server would keep for somebody who does not read. */
	for (int i = 0; i < 200; i++)
		CU_ASSERT(vfu_client_region_read(client, 0, 0, 4096, &call) == 0);
	pump();
	CU_ASSERT(seen.nb == 220 && memcmp(seen.data, big, 4096) == 0);
	teardown();
}

static void
too_many_requests(void)
{
	unsigned int n = 0;

	setup_ready();
	while (vfu_client_reset(client, &call) == 0)
		n++;
	CU_ASSERT(n == VFU_CLIENT_MAX_REQS);
	CU_ASSERT(vfu_client_reset(client, &call) == -ENOBUFS);
	pump();
	CU_ASSERT(seen.nb == n && rig.dev.nb_reset == n);
	teardown();
}

static void
deadlines(void)
{
	struct seen a = {0}, b = {0}, c = {0};
	struct vfu_call ca = {on_done, &a, 5000}, cb = {on_done, &b, 1000},
			cc = {on_done, &c, 9000};

	setup_ready();
	CU_ASSERT(vfu_client_next_deadline(client) == VFU_NEVER);
	CU_ASSERT(vfu_client_reset(client, &ca) == 0);
	CU_ASSERT(vfu_client_reset(client, &cb) == 0);
	CU_ASSERT(vfu_client_reset(client, &cc) == 0);
	CU_ASSERT(vfu_client_next_deadline(client) == 1000);
	CU_ASSERT(vfu_client_process(client, 999, 8) == 0);
	/* The answers arrive late, but they are there when the time is looked at. */
	CU_ASSERT(vfu_session_process(rig.s, 2) == 2);
	CU_ASSERT(vfu_client_process(client, 2000, 1) == 1);
	CU_ASSERT(vfu_client_process(client, 2000, 1) == 1);
	CU_ASSERT(a.status == 0 && b.status == 0 && a.nb == 1 && b.nb == 1);
	CU_ASSERT(vfu_client_next_deadline(client) == 9000);
	/* One that does not come ends it all. */
	CU_ASSERT(vfu_client_reset(client, &ca) == 0);
	CU_ASSERT(vfu_client_process(client, 4999, 8) == 0);
	CU_ASSERT(vfu_client_process(client, 5000, 8) == -ETIMEDOUT);
	CU_ASSERT(c.nb == 1 && c.status == -ETIMEDOUT && a.nb == 2 && a.status == -ETIMEDOUT);
	CU_ASSERT(nb_closed == 1 && closed_reason == -ETIMEDOUT);
	CU_ASSERT(vfu_client_reset(client, &ca) == -ENOTCONN);
	CU_ASSERT(vfu_client_process(client, 6000, 8) == -ETIMEDOUT && nb_closed == 1);
	teardown();
}

static void
server_leaves(void)
{
	setup_ready();
	CU_ASSERT(vfu_client_reset(client, &call) == 0);
	CU_ASSERT(vfu_client_reset(client, &call) == 0);
	CU_ASSERT(vfu_client_process(client, 0, 8) == 0);
	vfu_session_process(rig.s, 1); /* the first is answered */
	vfu_session_free(rig.s);
	rig.s = NULL;
	CU_ASSERT(vfu_client_process(client, 0, 8) == -ECONNRESET);
	CU_ASSERT(seen.nb == 2 && seen.status == -ECONNRESET);
	CU_ASSERT(nb_closed == 1 && closed_reason == -ECONNRESET);
	teardown();
}

/* ---- servers that are not ours ---- */

static int server; /* raw end */

static void
setup_raw(void)
{
	int pair[2];

	fds_before = count_fds();
	memset(&seen, 0, sizeof(seen));
	seen.fd = -1;
	nb_done = nb_closed = 0;
	free_when_closed = false;
	CU_ASSERT_FATAL(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0);
	server = pair[0];
	CU_ASSERT_FATAL(vfu_client_open(pair[1], &ops, &rig, &client) == 0);
}

static void
teardown_raw(void)
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
		setup_raw();
		CU_ASSERT(vfu_client_version(client, &call) == 0);
		CU_ASSERT(answer(bad[i].bytes, bad[i].len, NULL, 0) == -EPROTO);
		CU_ASSERT(seen.nb == 1 && seen.status == -EPROTO && nb_closed == 1);
		teardown_raw();
	}
	/* No JSON is legal. */
	setup_raw();
	CU_ASSERT(vfu_client_version(client, &call) == 0);
	CU_ASSERT(answer("\0\0\0", 4, NULL, 0) == 1);
	CU_ASSERT(seen.status == 0 && seen.caps.max_msg_fds == 1);
	CU_ASSERT(vfu_client_set_irqs(client, 1, 0, (int[]){0, 0}, 2, &call) == -E2BIG);
	teardown_raw();
}

static void
answers_to_nothing(void)
{
	setup_raw();
	raw_message(server, 0, VFU_CMD_DEVICE_RESET, VFU_F_TYPE_REPLY, NULL, 0, NULL, 0);
	CU_ASSERT(vfu_client_process(client, 0, 8) == -EPROTO);
	teardown_raw();
	for (int i = 0; i < 4; i++) {
		setup_raw();
		CU_ASSERT(vfu_client_reset(client, &call) == 0);
		CU_ASSERT(vfu_client_process(client, 0, 8) == 0);
		CU_ASSERT_FATAL(raw_receive(server, &msg) == 1);
		raw_message(server, (uint16_t)(msg.h.id + (i == 0)),
			i == 1 ? VFU_CMD_REGION_READ : VFU_CMD_DEVICE_RESET,
			i == 2 ? 2 : VFU_F_TYPE_REPLY, NULL, 0, NULL, 0);
		CU_ASSERT(vfu_client_process(client, 0, 8) == (i == 3 ? 1 : -EPROTO));
		CU_ASSERT(seen.nb == 1 && seen.status == (i == 3 ? 0 : -EPROTO));
		teardown_raw();
	}
}

static void
error_replies(void)
{
	static const struct {
		uint32_t error;
		int status;
	} table[] = {{EINVAL, -EINVAL}, {0, -EIO}, {4096, -EIO}, {UINT32_MAX, -EIO}};

	setup_raw();
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
	teardown_raw();
}

static void
half_replies(void)
{
	uint8_t reply[32] = {0};

	for (uint32_t cut = 1; cut < sizeof(reply); cut++) {
		int fd;

		setup_raw();
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
		teardown_raw();
	}
	/* Impossible, or too long for anything that was asked. */
	for (int i = 0; i < 3; i++) {
		struct vfu_header h;

		setup_raw();
		CU_ASSERT(vfu_client_device_info(client, &call) == 0);
		CU_ASSERT(vfu_client_process(client, 0, 8) == 0);
		CU_ASSERT_FATAL(raw_receive(server, &msg) == 1);
		h = (struct vfu_header){msg.h.id, msg.h.command, i == 0 ? 15 : UINT32_MAX, 1, 0};
		if (i == 2)
			h.size = VFU_SKIP_MAX + 1;
		raw_send(server, &h, sizeof(h), NULL, 0);
		CU_ASSERT(vfu_client_process(client, 0, 8) == -EPROTO);
		teardown_raw();
	}
}

/* Payloads that do not hold together fail their request, and no more. */
static void
lying_about_payloads(void)
{
	struct vfu_access a = {.offset = 4, .region = 1, .count = 4};
	uint8_t buf[64] = {0};
	int fd;

	setup_raw();
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
	teardown_raw();
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

	setup_raw();
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
	teardown_raw();
}

static void
lying_about_io_fds(void)
{
	struct {
		struct vfu_region_io_fds r;
		struct vfu_io_fd e[2];
	} m = {{.argsz = 96, .index = 1, .count = 2}, {{.fd_index = 0}, {.fd_index = 1}}}, bad;
	int fds[2];

	setup_raw();
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
	teardown_raw();
}

/* Commands of the server are refused; one that asks for ever is left. */
static void
server_commands(void)
{
	const struct vfu_dma_access d = {0x1000, 8};
	int rc = 0;

	setup_raw();
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
	teardown_raw();
}

static void
callbacks_may_do_things(void)
{
	/* Ask from within an answer. */
	setup_ready();
	seen.ask_again = true;
	CU_ASSERT(vfu_client_reset(client, &call) == 0);
	pump();
	CU_ASSERT(seen.nb == 2 && rig.dev.nb_reset == 2);
	teardown();

	/* Free from within an answer: no callback comes after that. */
	setup_ready();
	seen.free_it = true;
	for (int i = 0; i < 5; i++)
		CU_ASSERT(vfu_client_reset(client, &call) == 0);
	CU_ASSERT(vfu_client_process(client, 0, 8) == 0);
	CU_ASSERT(vfu_session_process(rig.s, 8) == 5);
	CU_ASSERT(vfu_client_process(client, 0, 8) == -ECANCELED);
	client = NULL;
	CU_ASSERT(seen.nb == 1 && nb_closed == 0);
	teardown();

	/* From within the answer that says that there is none; asking then is refused. */
	setup_ready();
	seen.free_it = seen.ask_again = true;
	for (int i = 0; i < 5; i++)
		CU_ASSERT(vfu_client_reset(client, &call) == 0);
	vfu_session_free(rig.s);
	rig.s = NULL;
	CU_ASSERT(vfu_client_process(client, 0, 8) == -ECONNRESET);
	client = NULL;
	CU_ASSERT(seen.nb == 1 && nb_closed == 0);
	teardown();

	/* From within closed(). */
	setup_ready();
	free_when_closed = true;
	CU_ASSERT(vfu_client_reset(client, &call) == 0);
	vfu_session_free(rig.s);
	rig.s = NULL;
	CU_ASSERT(vfu_client_process(client, 0, 8) == -ECONNRESET);
	client = NULL;
	CU_ASSERT(seen.nb == 1 && nb_closed == 1);
	teardown();

	/* With requests open, from outside: silence. */
	setup_ready();
	CU_ASSERT(vfu_client_reset(client, &call) == 0);
	CU_ASSERT(vfu_client_process(client, 0, 8) == 0);
	CU_ASSERT(vfu_client_reset(client, &call) == 0);
	teardown();
	CU_ASSERT(seen.nb == 0 && nb_closed == 0);
	vfu_client_free(NULL);
}

int
main(void)
{
	static CU_TestInfo ours[] = {
		{"whole conversation", whole_conversation},
		{"bad arguments", bad_arguments},
		{"2,048 maps at once", pipelined_maps},
		{"few descriptors in flight", few_fds_in_flight},
		{"mixed pipeline keeps its order", mixed_pipeline_keeps_order},
		{"big accesses", big_accesses},
		{"too many requests", too_many_requests},
		{"deadlines", deadlines},
		{"server leaves", server_leaves},
		{"callbacks may do things", callbacks_may_do_things},
		CU_TEST_INFO_NULL,
	};
	static CU_TestInfo others[] = {
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
		{"client and our server", NULL, NULL, NULL, NULL, ours},
		{"client and other servers", NULL, NULL, NULL, NULL, others},
		CU_SUITE_INFO_NULL,
	};

	if (CU_initialize_registry() != CUE_SUCCESS || CU_register_suites(suites) != CUE_SUCCESS)
		return 1;
	return rig_run();
}
