/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * vfu_client.c and vfu_client_req.c against our server.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client_seen.h"

static struct rig rig;
static int fds_before;

static void
setup(void)
{
	fds_before = count_fds();
	seen_reset();
	rig_open(&rig);
	CU_ASSERT_FATAL(vfu_client_open(rig.raw, &seen_ops, &seen, &client) == 0);
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
	CU_ASSERT(vfu_client_open(-1, &seen_ops, NULL, &(struct vfu_client *){NULL}) == -EINVAL);
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
	static CU_TestInfo tests[] = {
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
	static CU_SuiteInfo suites[] = {
		{"client and our server", NULL, NULL, NULL, NULL, tests},
		CU_SUITE_INFO_NULL,
	};

	if (CU_initialize_registry() != CUE_SUCCESS || CU_register_suites(suites) != CUE_SUCCESS)
		return 1;
	return rig_run();
}
