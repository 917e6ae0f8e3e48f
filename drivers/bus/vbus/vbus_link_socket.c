/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * The transport over a vfio-user socket (socket=PATH): we are the client that a hypervisor is
 * otherwise. Connecting is one burst of pipelined requests; the session begins when the last
 * of them has been answered. A bridge call is a posted write of the descriptor and a read of
 * the result, in one message to the kernel. lcores kick by an eventfd that the server gives
 * (DECISIONS 24), or, where it gives none, by one of ours that the control thread turns into
 * writes of signal registers.
 *
 * Threads: control lock held everywhere; nothing waits.
 * Ownership: the transport lives from start to stop, the client and what hangs on it from
 * connect to disconnect. Freeing the client forgets its requests: those that somebody waits
 * for (memory) are in a list here and completed by disconnect.
 */

#include "vbus_bus_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vfu_client.h"

/* A peer that does not answer within this is gone, and the connection with it.
 */
#define REPLY_NS      (5000 * VBUS_NS_PER_MS)
#define REPLY_BUDGET  64u
#define PCI_COMMAND   4u
#define PCI_CMD_START 0x0007u /* I/O, memory, bus master */

struct socket_tp;

/* A request of the memory room, to be completed whatever happens. */
struct map_req {
	LIST_ENTRY(map_req) next;
	struct rte_vbus_link *link;
	void (*done)(void *arg);
	void *arg;
};

struct socket_tp {
	struct vfu_client *client;
	struct vbus_ctl_fd *watch;
	struct vbus_ctl_timer deadline;
	struct rte_vbus_link *link;
	uint32_t nb_setup; /* requests of the first burst that are unanswered */
	bool processing;
	int irq_fd;
	struct vbus_ctl_fd *irq_watch;
	int kick_fd; /* of the peer, or ours (soft); -1 */
	struct vbus_ctl_fd *kick_watch;
	LIST_HEAD(, map_req) maps;
};

/* ---- the connection ------------------------------------------------------------------------ */

/* What the client wants to be woken for. */
static void
socket_rearm(struct socket_tp *tp)
{
	uint64_t due, now;

	if (tp->client == NULL || tp->processing)
		return;
	vbus_ctl_fd_mod(tp->watch, vfu_client_want_events(tp->client));
	due = vfu_client_next_deadline(tp->client);
	now = vbus_ctl_now_ns();
	if (due == VFU_NEVER)
		vbus_ctl_timer_cancel(&tp->deadline);
	else
		vbus_ctl_timer_arm(&tp->deadline, due > now ? due - now : 0);
}

static void
socket_process(struct socket_tp *tp)
{
	struct vfu_client *client = tp->client;

	if (client == NULL || tp->processing)
		return;
	tp->processing = true;
	/* Callbacks may end in disconnect, which frees the client and notes it in tp->client. */
	vfu_client_process(client, vbus_ctl_now_ns(), REPLY_BUDGET);
	tp->processing = false;
	socket_rearm(tp);
}

static void
socket_event(int fd, uint32_t events, void *arg)
{
	(void)fd;
	(void)events;
	socket_process(arg);
}

static void
socket_due(struct vbus_ctl_timer *t)
{
	socket_process(container_of(t, struct socket_tp, deadline));
}

/* Requests were queued: out with them. */
static void
socket_send(struct socket_tp *tp)
{
	if (tp->client == NULL)
		return;
	vfu_client_flush(tp->client);
	socket_rearm(tp);
}

static void
socket_closed(void *arg, int reason, const char *why)
{
	struct socket_tp *tp = arg;

	vbus_link_fail(tp->link, why != NULL && why[0] != '\0' ? why : strerror(-reason));
}

static void
socket_log(void *arg, enum vfu_log_level level, const char *line)
{
	struct socket_tp *tp = arg;

	/* Reasons of a lost connection come by closed(), too. */
	if (level == VFU_LOG_ERR)
		BUS_LOG(INFO, "%s: %s", tp->link->name, line);
	else
		BUS_LOG(DEBUG, "%s: %s", tp->link->name, line);
}

static const struct vfu_client_ops client_ops = {
	.closed = socket_closed,
	.log = socket_log,
};

static struct vfu_call
request(struct socket_tp *tp, vfu_done_t done)
{
	return (struct vfu_call){
		.done = done,
		.arg = tp,
		.deadline_ns = vbus_ctl_now_ns() + REPLY_NS,
	};
}

/* ---- the first burst ----------------------------------------------------------------------- */

/* Count an answer of the burst. @return true: it is a good one, go on; false: the link has
 * failed. */
static bool
setup_answer(struct socket_tp *tp, const char *what, int status)
{
	char reason[96];

	if (status != 0) {
		snprintf(reason, sizeof(reason), "%s: %s", what, strerror(-status));
		vbus_link_fail(tp->link, reason);
		return false;
	}
	tp->nb_setup--;
	return true;
}

static void
setup_next(struct socket_tp *tp)
{
	if (tp->nb_setup == 0)
		vbus_link_connected(tp->link);
}

#define SETUP_DONE(fn, what)                                                 \
	static void fn(void *arg, int status, const struct vfu_reply *reply) \
	{                                                                    \
		(void)reply;                                                 \
		if (setup_answer(arg, what, status))                         \
			setup_next(arg);                                     \
	}

SETUP_DONE(version_done, "VERSION")
SETUP_DONE(map_done, "DMA_MAP")
SETUP_DONE(irqs_done, "SET_IRQS")
SETUP_DONE(command_done, "bus master")

static void
device_done(void *arg, int status, const struct vfu_reply *reply)
{
	struct socket_tp *tp = arg;

	if (!setup_answer(tp, "DEVICE_GET_INFO", status))
		return;
	if (reply->device->num_regions <= VFU_PCI_CONFIG ||
		reply->device->num_irqs <= VFU_PCI_MSI) {
		vbus_link_fail(tp->link, "the server has no PCI function");
		return;
	}
	setup_next(tp);
}

static void
bar0_done(void *arg, int status, const struct vfu_reply *reply)
{
	struct socket_tp *tp = arg;

	if (!setup_answer(tp, "region 0", status))
		return;
	if (reply->region->size < sizeof(struct vbus_pci_regs)) {
		vbus_link_fail(tp->link, "BAR 0 is too small");
		return;
	}
	setup_next(tp);
}

static void
bar1_done(void *arg, int status, const struct vfu_reply *reply)
{
	struct socket_tp *tp = arg;

	if (!setup_answer(tp, "region 1", status))
		return;
	tp->link->no_ports = reply->region->size < sizeof(struct vbus_pci_signals);
	setup_next(tp);
}

static void
identity_done(void *arg, int status, const struct vfu_reply *reply)
{
	struct socket_tp *tp = arg;
	const uint8_t *c;

	if (!setup_answer(tp, "configuration space", status))
		return;
	c = reply->read.data;
	if ((c[0] | c[1] << 8) != VBUS_PCI_VENDOR_ID || (c[2] | c[3] << 8) != VBUS_PCI_DEVICE_ID ||
		c[8] != VBUS_PCI_REVISION) {
		vbus_link_fail(tp->link, "the server is another device than a vbus bridge");
		return;
	}
	setup_next(tp);
}

static void
soft_kick(int fd, uint32_t events, void *arg)
{
	struct socket_tp *tp = arg;
	uint64_t n;

	(void)events;
	if (read(fd, &n, sizeof(n)) < 0)
		return;
	vbus_shm_post_signals(tp->link);
	socket_send(tp);
}

static void
socket_close_kick(struct socket_tp *tp)
{
	vbus_ctl_fd_del(tp->kick_watch);
	tp->kick_watch = NULL;
	if (tp->kick_fd >= 0)
		close(tp->kick_fd);
	tp->kick_fd = -1;
}

/* The server has no eventfd for signals: take one of ours and write registers on its behalf. */
static void
kick_soft(struct socket_tp *tp)
{
	tp->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (tp->kick_fd < 0)
		return;
	tp->kick_watch = vbus_ctl_fd_add(tp->kick_fd, EPOLLIN, soft_kick, tp);
}

static void
kick_take(struct socket_tp *tp, uint64_t off, int status, const struct vfu_reply *reply)
{
	for (uint32_t i = 0; status == 0 && tp->kick_fd < 0 && i < reply->io_fds.count; i++) {
		const struct vfu_io_fd *e = &reply->io_fds.entries[i];

		if (e->type != VFU_IO_FD_EVENTFD || (e->flags & VFU_IO_FD_F_DATAMATCH) != 0 ||
			e->offset > off || e->size == 0 || off - e->offset >= e->size)
			continue;
		tp->kick_fd = reply->fds[e->fd_index];
		reply->fds[e->fd_index] = -1;
	}
}

/* In place of the doorbell; the same file as for the port, where there is one. */
static void
doorbell_done(void *arg, int status, const struct vfu_reply *reply)
{
	struct socket_tp *tp = arg;

	tp->nb_setup--;
	kick_take(tp, VBUS_PCI_DOORBELL + offsetof(struct vbus_pci_signals, shmsignal), status,
		reply);
}

static void
kick_done(void *arg, int status, const struct vfu_reply *reply)
{
	struct socket_tp *tp = arg;

	tp->nb_setup--;
	kick_take(tp, offsetof(struct vbus_pci_signals, shmsignal), status, reply);
	if (tp->kick_fd >= 0)
		/* lcores write to it: a full counter must not stop them. */
		(void)fcntl(tp->kick_fd, F_SETFL, O_NONBLOCK);
	else
		kick_soft(tp);
	vbus_link_set_kick(tp->link, tp->kick_fd);
	setup_next(tp);
}

static int
setup_map(struct rte_vbus_link *link, uint64_t iova, uint64_t len, int fd, uint64_t offset)
{
	struct socket_tp *tp = link->transport;
	struct vfu_dma_map map = {
		.argsz = sizeof(map),
		.flags = VFU_DMA_F_READ | VFU_DMA_F_WRITE,
		.offset = offset,
		.iova = iova,
		.size = len,
	};
	struct vfu_call call = request(tp, map_done);

	tp->nb_setup++;
	return vfu_client_dma_map(tp->client, &map, fd, &call);
}

/* Queue everything that a session needs; nothing is answered before this returns. */
static int
setup_burst(struct rte_vbus_link *link)
{
	const uint16_t command = PCI_CMD_START;
	struct socket_tp *tp = link->transport;
	struct vfu_call call;
	int ret;

#define SETUP(fn, ...) (tp->nb_setup++, call = request(tp, fn), __VA_ARGS__)
	ret = SETUP(version_done, vfu_client_version(tp->client, &call));
	if (ret == 0)
		ret = vbus_memory_map_all(link, setup_map);
	if (ret == 0)
		ret = SETUP(device_done, vfu_client_device_info(tp->client, &call));
	if (ret == 0)
		ret = SETUP(identity_done,
			vfu_client_region_read(tp->client, VFU_PCI_CONFIG, 0, 16, &call));
	if (ret == 0)
		ret = SETUP(bar0_done, vfu_client_region_info(tp->client, VFU_PCI_BAR0, &call));
	if (ret == 0)
		ret = SETUP(bar1_done, vfu_client_region_info(tp->client, VFU_PCI_BAR1, &call));
	if (ret == 0)
		ret = SETUP(
			doorbell_done, vfu_client_region_io_fds(tp->client, VFU_PCI_BAR0, &call));
	if (ret == 0)
		ret = SETUP(kick_done, vfu_client_region_io_fds(tp->client, VFU_PCI_BAR1, &call));
	if (ret == 0)
		ret = SETUP(irqs_done,
			vfu_client_set_irqs(tp->client, VFU_PCI_MSI, 0, &tp->irq_fd, 1, &call));
	if (ret == 0)
		ret = SETUP(command_done, vfu_client_region_write(tp->client, VFU_PCI_CONFIG,
						  PCI_COMMAND, &command, sizeof(command), &call));
#undef SETUP
	return ret;
}

/* ---- operations ---------------------------------------------------------------------------- */

static void
socket_disconnect(struct rte_vbus_link *link)
{
	struct socket_tp *tp = link->transport;
	struct vfu_client *client = tp->client;
	struct map_req *m;

	vbus_ctl_timer_cancel(&tp->deadline);
	vbus_ctl_fd_del(tp->watch);
	tp->watch = NULL;
	tp->client = NULL;
	tp->nb_setup = 0;
	vfu_client_free(client);
	socket_close_kick(tp);
	while ((m = LIST_FIRST(&tp->maps)) != NULL) {
		LIST_REMOVE(m, next);
		m->done(m->arg);
		free(m);
	}
}

static int
socket_connect(struct rte_vbus_link *link, char *err, size_t err_size)
{
	struct socket_tp *tp = link->transport;
	char why[VFU_WHY_LEN] = "";
	int ret;

	ret = vfu_client_connect(link->args.path, &client_ops, tp, &tp->client, why);
	if (ret != 0) {
		tp->client = NULL;
		snprintf(err, err_size, "%s", why[0] != '\0' ? why : strerror(-ret));
		return ret;
	}
	tp->watch = vbus_ctl_fd_add(vfu_client_fd(tp->client), EPOLLIN, socket_event, tp);
	ret = tp->watch == NULL ? -errno : setup_burst(link);
	if (ret != 0) {
		snprintf(err, err_size, "%s: %s", link->args.path, strerror(-ret));
		socket_disconnect(link);
		link->mem_seq = 0;
		return ret;
	}
	socket_send(tp);
	return 0;
}

static void
call_answered(void *arg, int status, const struct vfu_reply *reply)
{
	struct socket_tp *tp = arg;
	char reason[64];
	int32_t result;

	if (status != 0) {
		snprintf(reason, sizeof(reason), "bridge call: %s", strerror(-status));
		vbus_link_fail(tp->link, reason);
		return;
	}
	memcpy(&result, reply->read.data, sizeof(result));
	vbus_call_done(tp->link, result);
}

static int
socket_call(
	struct rte_vbus_link *link, uint32_t vector, uint64_t datap, uint32_t len, int32_t *result)
{
	const struct vbus_pci_call_desc desc = {.vector = vector, .len = len, .datap = datap};
	struct socket_tp *tp = link->transport;
	struct vfu_call call = request(tp, call_answered);
	int ret;

	(void)result;
	if (tp->client == NULL)
		return -ENOTCONN;
	ret = vfu_client_region_post(tp->client, VFU_PCI_BAR0, 0, &desc, sizeof(desc));
	if (ret == 0)
		ret = vfu_client_region_read(tp->client, VFU_PCI_BAR0, 0, sizeof(*result), &call);
	socket_send(tp);
	return ret;
}

static void
socket_signal(struct rte_vbus_link *link, uint32_t off, uint32_t value)
{
	struct socket_tp *tp = link->transport;
	uint32_t bar = VFU_PCI_BAR1;

	if (tp->client == NULL)
		return;
	if (link->no_ports) {
		bar = VFU_PCI_BAR0;
		off += VBUS_PCI_DOORBELL;
	}
	(void)vfu_client_region_post(tp->client, bar, off, &value, sizeof(value));
	socket_send(tp);
}

static void
map_answered(void *arg, int status, const struct vfu_reply *reply)
{
	struct map_req *m = arg;
	struct rte_vbus_link *link = m->link;

	(void)reply;
	LIST_REMOVE(m, next);
	m->done(m->arg);
	free(m);
	/* A peer that has not all of our memory would be given addresses that it cannot reach. */
	if (status != 0)
		vbus_link_fail(link, "it does not take a change of memory");
}

static struct map_req *
map_req_new(struct rte_vbus_link *link, void (*done)(void *arg), void *arg, struct vfu_call *call)
{
	struct socket_tp *tp = link->transport;
	struct map_req *m;

	if (tp->client == NULL)
		return NULL;
	m = calloc(1, sizeof(*m));
	if (m == NULL)
		return NULL;
	m->link = link;
	m->done = done;
	m->arg = arg;
	*call = request(tp, map_answered);
	call->arg = m;
	return m;
}

static int
map_req_queued(struct socket_tp *tp, struct map_req *m, int ret)
{
	if (ret != 0) {
		free(m);
		return ret;
	}
	LIST_INSERT_HEAD(&tp->maps, m, next);
	socket_send(tp);
	return 0;
}

static int
socket_map(struct rte_vbus_link *link, uint64_t iova, uint64_t len, int fd, uint64_t offset,
	void (*done)(void *arg), void *arg)
{
	struct socket_tp *tp = link->transport;
	struct vfu_dma_map map = {
		.argsz = sizeof(map),
		.flags = VFU_DMA_F_READ | VFU_DMA_F_WRITE,
		.offset = offset,
		.iova = iova,
		.size = len,
	};
	struct vfu_call call;
	struct map_req *m = map_req_new(link, done, arg, &call);

	if (m == NULL)
		return -ENOTCONN;
	return map_req_queued(tp, m, vfu_client_dma_map(tp->client, &map, fd, &call));
}

static int
socket_unmap(
	struct rte_vbus_link *link, uint64_t iova, uint64_t len, void (*done)(void *arg), void *arg)
{
	struct socket_tp *tp = link->transport;
	struct vfu_call call;
	struct map_req *m = map_req_new(link, done, arg, &call);

	if (m == NULL)
		return -ENOTCONN;
	return map_req_queued(tp, m, vfu_client_dma_unmap(tp->client, iova, len, &call));
}

/* ---- life ---------------------------------------------------------------------------------- */

static void
socket_irq(int fd, uint32_t events, void *arg)
{
	struct socket_tp *tp = arg;
	uint64_t n;

	(void)events;
	if (read(fd, &n, sizeof(n)) == sizeof(n))
		vbus_events_run(tp->link);
}

/* What cannot come right by waiting for the peer: a mistake in the path. */
static int
path_check(const char *path, char *err, size_t err_size)
{
	char dir[VBUS_BUS_PATH_SIZE];
	char *slash;
	struct stat st;

	if (stat(path, &st) == 0) {
		if (!S_ISSOCK(st.st_mode)) {
			snprintf(err, err_size, "socket=%s: not a socket", path);
			return -ENOTSOCK;
		}
		if (faccessat(AT_FDCWD, path, W_OK, AT_EACCESS) != 0) {
			snprintf(err, err_size, "socket=%s: %s", path, strerror(errno));
			return -errno;
		}
		return 0;
	}
	if (errno != ENOENT) {
		snprintf(err, err_size, "socket=%s: %s", path, strerror(errno));
		return -errno;
	}
	snprintf(dir, sizeof(dir), "%s", path);
	slash = strrchr(dir, '/');
	if (slash == NULL || slash == dir)
		return 0;
	*slash = '\0';
	if (stat(dir, &st) != 0) {
		snprintf(err, err_size, "socket=%s: no such directory: %s", path, dir);
		return -errno;
	}
	return 0;
}

static int
socket_start(struct rte_vbus_link *link, char *err, size_t err_size)
{
	struct socket_tp *tp;
	int ret = path_check(link->args.path, err, err_size);

	if (ret != 0)
		return ret;
	tp = calloc(1, sizeof(*tp));
	if (tp == NULL)
		return -ENOMEM;
	tp->link = link;
	tp->kick_fd = -1;
	tp->deadline.fn = socket_due;
	LIST_INIT(&tp->maps);
	tp->irq_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (tp->irq_fd < 0) {
		ret = -errno;
		free(tp);
		return ret;
	}
	tp->irq_watch = vbus_ctl_fd_add(tp->irq_fd, EPOLLIN, socket_irq, tp);
	if (tp->irq_watch == NULL) {
		ret = -errno;
		close(tp->irq_fd);
		free(tp);
		return ret;
	}
	link->transport = tp;
	return 0;
}

static void
socket_stop(struct rte_vbus_link *link)
{
	struct socket_tp *tp = link->transport;

	socket_disconnect(link);
	vbus_ctl_fd_del(tp->irq_watch);
	close(tp->irq_fd);
	free(tp);
	link->transport = NULL;
}

const struct vbus_link_ops vbus_link_socket_ops = {
	.name = "socket",
	.identity = false,
	.start = socket_start,
	.stop = socket_stop,
	.connect = socket_connect,
	.disconnect = socket_disconnect,
	.call = socket_call,
	.signal = socket_signal,
	.map = socket_map,
	.unmap = socket_unmap,
};
