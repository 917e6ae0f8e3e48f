/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * The vfio-user connector: a bus's bridge as a PCI function on a UNIX socket, for hypervisors and
 * for our own frontend (doc/abi.md section 1; the protocol is lib/vfio_user's business).
 *
 * Threads: everything runs on the control thread or with the control lock held; nothing waits. An
 * lcore's interrupt request comes by way of the bridge, which writes no descriptor itself.
 *
 * Ownership: the bus owns the object (struct vu) by its connector. One client at a time; the
 * listener stays open, so that the next one is served as soon as the last has gone. What a
 * successor process would need, half-read message and descriptor numbers included, lies in the
 * `vfu` area of the link state (struct vu_state, ADR-0003).
 *
 * Trust: a client may send anything. lib/vfio_user checks messages and that eventfds are eventfds;
 * memory is checked by vbus_memmap_add(), register contents by the bridge.
 */

#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <unistd.h>

#include <linux/pci_regs.h>

#include <vbus/pci.h>

#include "evsignal.h"
#include "link_state.h"
#include "vbus_bridge.h"
#include "vbus_core.h"
#include "vbus_ctl.h"
#include "vbus_log.h"
#include "vfio_user_priv.h"

/* Messages served before other sockets get their turn; more of them are fetched at once then. */
#define BUDGET 64

/* ---- memory ---------------------------------------------------------------------------------- */

/* Publish what was mapped: before anything else may look into north's memory. */
static void
vu_settle(struct vu *u)
{
	struct vbus_memmap *m = vbus_bridge_memmap(u->bus->bridge);

	if (!u->batch)
		return;
	u->batch = false;
	if (m != NULL && vbus_memmap_batch_end(m) != 0)
		vfu_session_stop(u->session, -ENOMEM);
}

static int
vu_dma_map(void *arg, const struct vfu_dma_map *map, int fd)
{
	struct vu *u = arg;
	struct vbus_memmap *m = vbus_bridge_memmap(u->bus->bridge);
	struct vbus_bridge_info info;
	uint32_t flags = 0;
	int ret;

	if (m == NULL)
		return -ENOTCONN;
	if (!u->batch) {
		/* The reply may leave before the end of a batch. That is early for a polling thread,
		 * which may see a new address in its ring at once; without one nobody looks. */
		vbus_bridge_info(u->bus->bridge, &info);
		if (info.nb_conns == 0) {
			vbus_memmap_batch_begin(m);
			u->batch = true;
		}
	}
	if ((map->flags & VFU_DMA_F_READ) != 0)
		flags |= VBUS_MEM_READ;
	if ((map->flags & VFU_DMA_F_WRITE) != 0)
		flags |= VBUS_MEM_WRITE;
	ret = vbus_memmap_add_borrowed(m, map->iova, map->size, fd, map->offset, flags);
	if (u->is_kept)
		ret = vbus_vu_region_note(u, map, fd, ret);
	if (ret == 0 && fd >= 0)
		close(fd); /* ours on success; the mapping stays */
	if (ret != 0)
		VBUS_LOG_LIMITED(&u->log_limit, WARNING,
			"bus %s: memory at 0x%" PRIx64 ", %" PRIu64 " bytes, is refused: %s",
			u->bus->name, map->iova, map->size, strerror(-ret));
	return ret;
}

static int
vu_dma_unmap(void *arg, uint64_t first, uint64_t last)
{
	struct vu *u = arg;
	struct vbus_memmap *m = vbus_bridge_memmap(u->bus->bridge);

	vu_settle(u);
	if (m == NULL)
		return 0;
	/* No error: without memory for a new view, readers have lost all of it and not too little. */
	if (first == 0 && last == UINT64_MAX)
		vbus_memmap_del(m, 0, 0);
	else
		vbus_memmap_del(m, first, last - first + 1);
	if (u->is_kept)
		vbus_link_region_del(vbus_bridge_link_state(u->bus->bridge), first, last);
	return 0;
}

/* ---- interrupts ------------------------------------------------------------------------------ */

/* Has north switched the line off in the command register? */
static bool
intx_disabled(const struct vu *u)
{
	uint16_t command = 0;

	vbus_bridge_config_read(u->bus->bridge, PCI_COMMAND, &command, sizeof(command));
	return (le16toh(command) & PCI_COMMAND_INTX_DISABLE) != 0;
}

static void
vu_trigger(struct vu *u, enum vu_irq i)
{
	int ret;

	if (u->st->irq[i].fd_plus_1 == 0 || u->st->irq[i].masked != 0 ||
		(i == VU_INTX && intx_disabled(u))) {
		u->st->irq[i].pending = 1;
		return;
	}
	/* A line stays masked until the client has served it (AUTOMASKED). */
	u->st->irq[i].masked = i == VU_INTX;
	ret = vbus_eventfd_signal(u->st->irq[i].fd_plus_1 - 1);
	u->st->irq[i].pending = ret != 0;
	if (ret != 0)
		VBUS_LOG_LIMITED(&u->log_limit, ERR, "bus %s: interrupt is lost: %s", u->bus->name,
			strerror(-ret));
}

void
vbus_vu_irq_raise(void *arg)
{
	struct vu *u = arg;

	if (u->session != NULL)
		vu_trigger(u, u->st->irq[VU_MSI].fd_plus_1 != 0 ? VU_MSI : VU_INTX);
}

static bool
vu_irq_is_line(void *arg)
{
	const struct vu *u = arg;

	return u->session != NULL && u->st->irq[VU_MSI].fd_plus_1 == 0 &&
	       u->st->irq[VU_INTX].fd_plus_1 != 0;
}

/*
 * The status register's bit: a handler of a shared line looks there whether it is meant. Set as
 * long as the client holds the line, one more is due, or north is not done with the last one.
 */
static bool
intx_status(const struct vu *u)
{
	return u->st->irq[VU_MSI].fd_plus_1 == 0 &&
	       (u->st->irq[VU_INTX].masked != 0 || u->st->irq[VU_INTX].pending != 0 ||
		       vbus_bridge_irq_outstanding(u->bus->bridge));
}

/*
 * Trigger what was put off, if north has not found the events meanwhile. A handler that finds
 * nothing touches no BAR, the client holds the line, and the handler runs again, for ever.
 */
void
vbus_vu_intx_again(struct vu *u)
{
	if (u->st->irq[VU_INTX].pending == 0 || !vu_irq_is_line(u))
		return;
	if (vbus_bridge_irq_served(u->bus->bridge))
		u->st->irq[VU_INTX].pending = 0;
	else
		vu_trigger(u, VU_INTX);
}

static void
irq_disarm(struct vu *u, enum vu_irq i)
{
	if (u->st->irq[i].fd_plus_1 != 0)
		close(u->st->irq[i].fd_plus_1 - 1);
	u->st->irq[i].fd_plus_1 = 0;
	u->st->irq[i].masked = 0;
}

static void
irq_arm(struct vu *u, enum vu_irq i, int fd)
{
	irq_disarm(u, i);
	u->st->irq[i].nr = u->st->session.rx.nr;
	u->st->irq[i].fd_plus_1 = fd + 1;
	/* Raised while the client re-armed, by either index: one too many is harmless. */
	if (u->st->irq[VU_INTX].pending != 0 || u->st->irq[VU_MSI].pending != 0) {
		u->st->irq[VU_INTX].pending = 0;
		u->st->irq[VU_MSI].pending = 0;
		vu_trigger(u, i);
	}
}

static int
vu_irq_info(void *arg, uint32_t index, uint32_t *flags, uint32_t *count)
{
	(void)arg;
	return vbus_vu_irq_info(index, flags, count);
}

static int
vu_set_irqs(void *arg, const struct vfu_set_irqs *set)
{
	struct vu *u = arg;
	enum vu_irq i = set->index == VFU_PCI_MSI ? VU_MSI : VU_INTX;
	bool yes = set->data == VFU_IRQ_DATA_NONE ||
		   (set->data == VFU_IRQ_DATA_BOOL && set->count != 0 && set->bools[0] != 0);

	vu_settle(u);
	if (set->index != VFU_PCI_MSI && set->index != VFU_PCI_INTX)
		return set->count == 0 ? 0 : -EINVAL;
	switch (set->action) {
	case VFU_IRQ_ACTION_TRIGGER:
		if (set->count == 0 || (set->data == VFU_IRQ_DATA_EVENTFD && set->nb_fds == 0))
			irq_disarm(u, i);
		else if (set->data == VFU_IRQ_DATA_EVENTFD)
			irq_arm(u, i, set->fds[0]);
		else if (yes)
			vu_trigger(u, i); /* a client tests its wiring */
		return 0;
	case VFU_IRQ_ACTION_MASK:
	case VFU_IRQ_ACTION_UNMASK:
		if (i != VU_INTX || set->data == VFU_IRQ_DATA_EVENTFD)
			return -EOPNOTSUPP;
		if (!yes)
			return 0;
		u->st->irq[i].masked = set->action == VFU_IRQ_ACTION_MASK;
		if (u->st->irq[i].masked == 0)
			vbus_vu_intx_again(u);
		return 0;
	default:
		return -EINVAL;
	}
}

/* ---- registers ------------------------------------------------------------------------------- */

static int
vu_region_info(void *arg, uint32_t index, struct vfu_region_info *info)
{
	const struct vu *u = arg;

	if (index == VBUS_PCI_BAR_SIGNALS && u->bus->no_ports)
		return 0;
	return vbus_vu_region_info(index, info);
}

/* Calls note what they make: should we be killed before the reply, it is undone and made again. */
static void
call_begins(struct vu *u)
{
	if (u->is_kept)
		vbus_bridge_call_begins(u->bus->bridge, u->st->session.rx.nr, u->redo);
}

static int
vu_region_read(void *arg, uint32_t index, uint64_t offset, void *buf, uint32_t len)
{
	struct vu *u = arg;

	vu_settle(u);
	call_begins(u);
	if (index == VBUS_PCI_BAR_REGS)
		vbus_bridge_regs_read(u->bus->bridge, offset, buf, len);
	else if (index == VFU_PCI_CONFIG) {
		vbus_bridge_config_read(u->bus->bridge, (uint32_t)offset, buf, len);
		if (offset <= PCI_STATUS && PCI_STATUS - offset < len && intx_status(u))
			((uint8_t *)buf)[PCI_STATUS - offset] |= PCI_STATUS_INTERRUPT;
		if (u->bus->no_ports && offset <= PCI_BASE_ADDRESS_1 &&
			PCI_BASE_ADDRESS_1 - offset < len)
			((uint8_t *)buf)[PCI_BASE_ADDRESS_1 - offset] = 0;
	}
	return 0; /* signals read as zeros, which is what buf holds */
}

static int
vu_region_write(void *arg, uint32_t index, uint64_t offset, const void *buf, uint32_t len)
{
	struct vu *u = arg;
	uint32_t value;

	vu_settle(u);
	switch (index) {
	case VBUS_PCI_BAR_REGS:
		if (offset >= VBUS_PCI_DOORBELL) /* may be a call */
			call_begins(u);
		vbus_bridge_regs_write(u->bus->bridge, offset, buf, len);
		return 0;
	case VBUS_PCI_BAR_SIGNALS:
		/* Single bytes (an unaligned access in pieces) say nothing. */
		if (offset % sizeof(value) != 0 || len % sizeof(value) != 0)
			return -EINVAL;
		call_begins(u);
		for (uint32_t at = 0; at < len; at += sizeof(value)) {
			memcpy(&value, (const uint8_t *)buf + at, sizeof(value));
			vbus_bridge_signal_write(u->bus->bridge, offset + at, value);
		}
		return 0;
	case VFU_PCI_CONFIG:
		vbus_bridge_config_write(u->bus->bridge, (uint32_t)offset, buf, len);
		vbus_vu_intx_again(u); /* the line may be on again */
		return 0;
	default:
		return -EINVAL;
	}
}

static int
vu_region_io_fds(void *arg, uint32_t index, struct vfu_io_fd_info *fds, uint32_t max)
{
	struct vu *u = arg;

	/* Any handle: the kick looks at every block whose signal is set (DECISIONS 24). */
	return u->st->kick_fd_plus_1 != 0 && max > 0
		       ? vbus_vu_kick_info(index, u->st->kick_fd_plus_1 - 1, fds)
		       : 0;
}

static int
vu_reset(void *arg)
{
	struct vu *u = arg;

	vu_settle(u);
	vbus_bridge_reset(u->bus->bridge, true);
	for (int i = 0; i < VU_NB_IRQS; i++) {
		u->st->irq[i].pending = 0;
		u->st->irq[i].masked = 0;
	}
	return 0;
}

void
vbus_vu_kicked(int fd, uint32_t events, void *arg)
{
	struct vu *u = arg;
	uint64_t kicks;
	struct iovec iov = {.iov_base = &kicks, .iov_len = sizeof(kicks)};
	ssize_t n;

	(void)events;
	/* The client has this descriptor too and could have made it block, and emptied it. Kernels
	 * before 5.8 know no other way. */
	n = preadv2(fd, &iov, 1, -1, RWF_NOWAIT);
	if (n < 0 && errno == EOPNOTSUPP)
		n = read(fd, &kicks, sizeof(kicks));
	if (n == (ssize_t)sizeof(kicks))
		vbus_bridge_kick(u->bus->bridge);
}

/* ---- session --------------------------------------------------------------------------------- */

static void
vu_closed(void *arg, int reason, const char *why)
{
	struct vu *u = arg;

	(void)reason;
	vbus_bridge_session_close(u->bus->bridge, why);
}

static void
vu_log(void *arg, enum vfu_log_level level, const char *line)
{
	struct vu *u = arg;
	uint32_t to = level == VFU_LOG_ERR	? RTE_LOG_ERR
		      : level == VFU_LOG_NOTICE ? RTE_LOG_NOTICE
						: RTE_LOG_DEBUG;

	rte_log(to, (uint32_t)vbus_logtype_vfu, "vbus: bus %s: %s\n", u->bus->name, line);
}

const struct vfu_ops vbus_vu_ops = {
	.region_info = vu_region_info,
	.region_read = vu_region_read,
	.region_write = vu_region_write,
	.dma_map = vu_dma_map,
	.dma_unmap = vu_dma_unmap,
	.irq_info = vu_irq_info,
	.set_irqs = vu_set_irqs,
	.reset = vu_reset,
	.region_io_fds = vu_region_io_fds,
	.closed = vu_closed,
	.log = vu_log,
};

/* Everything that belongs to one client. */
void
vbus_vu_session_end(struct vu *u, const char *why)
{
	vbus_bridge_session_close(u->bus->bridge, why);
	u->batch = false; /* it went with the map */
	vbus_ctl_fd_del(u->session_watch);
	u->session_watch = NULL;
	vbus_ctl_fd_del(u->kick_watch);
	u->kick_watch = NULL;
	if (u->st->kick_fd_plus_1 != 0)
		close(u->st->kick_fd_plus_1 - 1);
	u->st->kick_fd_plus_1 = 0;
	for (int i = 0; i < VU_NB_IRQS; i++) {
		irq_disarm(u, i);
		u->st->irq[i].pending = 0;
	}
	vfu_session_free(u->session);
	u->session = NULL;
	if (u->is_kept) {
		vbus_link_region_del(vbus_bridge_link_state(u->bus->bridge), 0, UINT64_MAX);
		kept_ended(&u->kept, why);
	}
}

void
vbus_vu_serve(struct vu *u)
{
	uint32_t events;
	int ret = vfu_session_process(u->session, u->redo ? 1 : BUDGET);

	u->redo = false;
	if (ret < 0) {
		vbus_vu_session_end(u, strerror(-ret));
		return;
	}
	vu_settle(u);
	events = vfu_session_want_events(u->session);
	if (events != u->session_events)
		vbus_ctl_fd_mod(u->session_watch, events);
	u->session_events = events;
}

void
vbus_vu_session_event(int fd, uint32_t events, void *arg)
{
	(void)fd;
	(void)events;
	vbus_vu_serve(arg);
}

static int
session_begin(struct vu *u, int sock)
{
	const struct vfu_session_conf conf = vbus_vu_conf(&vbus_vu_ops, u);
	int ret, fd;

	ret = vfu_session_open(sock, &conf, &u->st->session, &u->session);
	if (ret != 0) {
		close(sock);
		return ret;
	}
	ret = vbus_bridge_session_open(u->bus->bridge, false);
	if (ret != 0)
		goto err;
	/* One for each client: who has gone cannot kick its successor's link. */
	fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (fd < 0)
		goto err_errno;
	u->st->kick_fd_plus_1 = fd + 1;
	u->kick_watch = vbus_ctl_fd_add(fd, EPOLLIN, vbus_vu_kicked, u);
	if (u->kick_watch == NULL)
		goto err_errno;
	u->session_events = vfu_session_want_events(u->session);
	u->session_watch = vbus_ctl_fd_add(sock, u->session_events, vbus_vu_session_event, u);
	if (u->session_watch == NULL)
		goto err_errno;
	if (vfu_session_peer(u->session, &u->peer) != 0)
		memset(&u->peer, 0, sizeof(u->peer));
	VBUS_LOG(INFO, "bus %s: peer connected: pid %d, uid %u", u->bus->name, u->peer.pid,
		u->peer.uid);
	return 0;

err_errno:
	ret = -errno;
err:
	vbus_vu_session_end(u, "the session cannot be set up");
	return ret;
}

static void
vu_listen_event(int fd, uint32_t events, void *arg)
{
	struct vu *u = arg;
	int sock, ret;

	(void)fd;
	(void)events;
	/* The end of the last client may wait in its socket, behind this event: look first, so that
	 * one that was restarted is not turned away. */
	if (u->session != NULL)
		vbus_vu_serve(u);
	sock = vfu_listen_accept(u->listener, u->session != NULL);
	ret = sock >= 0 ? session_begin(u, sock) : sock;
	if (ret == -EBUSY)
		VBUS_LOG_LIMITED(&u->log_limit, NOTICE,
			"bus %s: a second client of %s is turned away, pid %d has it", u->bus->name,
			vfu_listen_path(u->listener), u->peer.pid);
	else if (ret != 0 && ret != -EAGAIN)
		VBUS_LOG_LIMITED(&u->log_limit, ERR, "bus %s: a client of %s cannot be served: %s",
			u->bus->name, vfu_listen_path(u->listener), strerror(-ret));
}

/* ---- connector ------------------------------------------------------------------------------- */

/* Never from within a client's call: nothing that a call runs drops a bus. */
static void
vu_stop(void *arg)
{
	struct vu *u = arg;

	vbus_ctl_fd_del(u->listen_watch);
	vfu_listen_close(u->listener); /* removes the file */
	if (u->session != NULL)
		vbus_vu_session_end(u, "the connector stops");
	if (u->is_kept)
		kept_close(&u->kept);
	free(u);
}

static void
vu_describe(void *arg, char *buf, size_t size)
{
	const struct vu *u = arg;
	const char *path = u->listener != NULL ? vfu_listen_path(u->listener) : u->path;

	if (u->session != NULL)
		snprintf(buf, size, "%s: peer pid %d, uid %u", path, u->peer.pid, u->peer.uid);
	else
		snprintf(buf, size, "listening on %s", path);
}

static const struct vbus_connector_ops vu_ops = {
	.name = "vfio-user",
	.irq = vbus_vu_irq_raise,
	.irq_is_line = vu_irq_is_line,
	.stop = vu_stop,
	.describe = vu_describe,
};

int
vbus_connector_vfio_user(struct vbus_bus *bus, const char *path, char *err, size_t err_size)
{
	struct vu *u = NULL;
	char why[VFU_WHY_LEN];
	int ret;

	if (bus->connector != NULL) {
		snprintf(err, err_size, "bus %s has a connector already (%s)", bus->name,
			bus->connector->ops->name);
		return -EBUSY;
	}
	if (bus->no_ports && vbus_keeper_connected()) { /* which would show them while it serves */
		snprintf(err, err_size, "bus %s: behind a keeper a function has ports", bus->name);
		return -EOPNOTSUPP;
	}
	snprintf(why, sizeof(why), "out of memory");
	ret = -ENOMEM;
	u = calloc(1, sizeof(*u));
	if (u == NULL)
		goto err;
	u->bus = bus;
	u->st = (struct vu_state *)(void *)vbus_bridge_link_state(bus->bridge)->vfu;
	if (vbus_keeper_connected()) {
		ret = vbus_bus_set_connector(bus, &vu_ops, u);
		if (ret == 0)
			ret = vbus_vu_kept_begin(u, path, err, err_size);
		if (ret == 0)
			return 0;
		free(bus->connector);
		bus->connector = NULL;
		vu_stop(u);
		return ret;
	}
	ret = vfu_listen_open(path, &u->listener, why);
	if (ret != 0)
		goto err;
	u->listen_watch = vbus_ctl_fd_add(vfu_listen_fd(u->listener), EPOLLIN, vu_listen_event, u);
	if (u->listen_watch == NULL) {
		ret = -errno;
		snprintf(why, sizeof(why), "%s: no control thread serves it: %s", path,
			strerror(errno));
		goto err;
	}
	ret = vbus_bus_set_connector(bus, &vu_ops, u);
	if (ret == 0)
		return 0;
	snprintf(why, sizeof(why), "bus %s: %s", bus->name, strerror(-ret));
err:
	snprintf(err, err_size, "%s", why);
	if (u != NULL) {
		vbus_ctl_fd_del(u->listen_watch);
		vfu_listen_close(u->listener);
	}
	free(u);
	return ret;
}
