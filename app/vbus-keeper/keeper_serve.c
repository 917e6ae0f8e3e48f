/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * What a hypervisor gets while no data plane is there (ADR-0016, 4): the protocol's own commands,
 * maps, interrupts, reset and configuration space, all of it plain data in the link's state. Only a
 * call needs devices: it waits for a data plane, and gets an error when that takes too long.
 *
 * One thread. The session works in the link's state, with this process's descriptor numbers.
 */

#include "keeper.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <linux/magic.h>
#include <sys/vfs.h>

#include <vbus/pci.h>

#define BUDGET 64

/* ---- memory ---------------------------------------------------------------------------------- */

/* The checks of vbus_memmap_add() that tell the client something; a data plane makes all of them. */
static int
file_check(const struct vfu_dma_map *map, int fd, struct stat *st)
{
	struct statfs fs;

	if (fstat(fd, st) != 0)
		return -errno;
	if (!S_ISREG(st->st_mode) || fstatfs(fd, &fs) != 0 ||
		(fs.f_type != TMPFS_MAGIC && fs.f_type != HUGETLBFS_MAGIC))
		return -ENOTSUP;
	if (map->offset > (uint64_t)st->st_size || map->size > (uint64_t)st->st_size - map->offset)
		return -EINVAL;
	return 0;
}

static int
on_dma_map(void *arg, const struct vfu_dma_map *map, int fd)
{
	struct keeper_link *l = arg;
	struct vbus_link_region r = {
		.iova = map->iova,
		.len = map->size,
		.offset = map->offset,
		.flags = VBUS_LINK_REGION_USED,
	};
	struct stat st;
	int ret = 0;

	if ((map->flags & VFU_DMA_F_READ) != 0)
		r.flags |= VBUS_LINK_REGION_READ;
	if ((map->flags & VFU_DMA_F_WRITE) != 0)
		r.flags |= VBUS_LINK_REGION_WRITE;
	if (fd >= 0) {
		ret = file_check(map, fd, &st);
		if (ret != 0)
			return ret;
		r.flags |= VBUS_LINK_REGION_FILE;
		r.st_dev = st.st_dev;
		r.st_ino = st.st_ino;
	}
	if (vbus_link_region_overlaps(l->ls, map->iova, map->iova + (map->size - 1)))
		ret = vbus_link_region_add(l->ls, &r) == -EEXIST ? 0 : -EEXIST;
	else
		ret = vbus_link_region_add(l->ls, &r);
	if (ret != 0)
		return ret;
	if (fd >= 0) {
		keeper_fds_add(l, vbus_vu_state(l->ls)->session.rx.nr, &fd, 1);
		close(fd); /* ours on success */
	}
	return 0;
}

static int
on_dma_unmap(void *arg, uint64_t first, uint64_t last)
{
	struct keeper_link *l = arg;

	vbus_link_region_del(l->ls, first, last);
	keeper_fds_sweep(l, vbus_vu_state(l->ls)->session.rx.nr);
	return 0;
}

/* ---- interrupts ------------------------------------------------------------------------------ */

static int
on_irq_info(void *arg, uint32_t index, uint32_t *flags, uint32_t *count)
{
	(void)arg;
	return vbus_vu_irq_info(index, flags, count);
}

static void
trigger(struct vu_state *st, enum vu_irq i)
{
	const uint64_t one = 1;

	/* Non-blocking: the session has seen to that. What is not sent is found by a data plane. */
	if (st->irq[i].fd_plus_1 == 0 || st->irq[i].masked != 0 ||
		write(st->irq[i].fd_plus_1 - 1, &one, sizeof(one)) < 0)
		st->irq[i].pending = 1;
	else
		st->irq[i].masked = i == VU_INTX;
}

static void
disarm(struct vu_state *st, enum vu_irq i)
{
	st->irq[i].fd_plus_1 = 0; /* the descriptor lies among the link's, until it is swept */
	st->irq[i].masked = 0;
}

static int
on_set_irqs(void *arg, const struct vfu_set_irqs *set)
{
	struct keeper_link *l = arg;
	struct vu_state *st = vbus_vu_state(l->ls);
	enum vu_irq i = set->index == VFU_PCI_MSI ? VU_MSI : VU_INTX;
	bool yes = set->data == VFU_IRQ_DATA_NONE ||
		   (set->data == VFU_IRQ_DATA_BOOL && set->count != 0 && set->bools[0] != 0);
	int fd;

	if (set->index != VFU_PCI_MSI && set->index != VFU_PCI_INTX)
		return set->count == 0 ? 0 : -EINVAL;
	switch (set->action) {
	case VFU_IRQ_ACTION_TRIGGER:
		if (set->count == 0 || (set->data == VFU_IRQ_DATA_EVENTFD && set->nb_fds == 0)) {
			disarm(st, i);
		} else if (set->data == VFU_IRQ_DATA_EVENTFD) {
			disarm(st, i);
			keeper_fds_add(l, st->session.rx.nr, set->fds, 1);
			fd = keeper_fds_event(l, st->session.rx.nr);
			if (fd < 0)
				return -ENOMEM;
			close(set->fds[0]); /* ours on success; the duplicate is kept */
			st->irq[i].nr = st->session.rx.nr;
			st->irq[i].fd_plus_1 = fd + 1;
		} else if (yes) {
			trigger(st, i);
		}
		return 0;
	case VFU_IRQ_ACTION_MASK:
	case VFU_IRQ_ACTION_UNMASK:
		if (i != VU_INTX || set->data == VFU_IRQ_DATA_EVENTFD)
			return -EOPNOTSUPP;
		if (yes) /* what is pending a data plane triggers, if it is still due */
			st->irq[i].masked = set->action == VFU_IRQ_ACTION_MASK;
		return 0;
	default:
		return -EINVAL;
	}
}

/* ---- registers ------------------------------------------------------------------------------- */

static int
on_region_info(void *arg, uint32_t index, struct vfu_region_info *info)
{
	(void)arg;
	return vbus_vu_region_info(index, info);
}

/* A call: wait for who can answer it. @return -EINPROGRESS, or 0: it waits no more */
static int
call_hold(struct keeper_link *l)
{
	uint64_t now = keeper_now_ms();

	if (l->refusing)
		return 0;
	if (l->hold_until == 0)
		l->hold_until = now + KEEPER_HOLD_MS;
	if (now < l->hold_until)
		return -EINPROGRESS;
	keeper_log("%s: no data plane: calls are answered with an error", l->path);
	l->hold_until = 0;
	l->refusing = true;
	return 0;
}

static int
on_region_read(void *arg, uint32_t index, uint64_t offset, void *buf, uint32_t len)
{
	struct keeper_link *l = arg;
	const int32_t error = -ENOTCONN;
	uint32_t latched;

	if (index == VFU_PCI_CONFIG)
		vbus_link_config_read(l->ls, (uint32_t)offset, buf, len);
	if (index != VBUS_PCI_BAR_REGS)
		return 0;
	if (offset < VBUS_LINK_REGS) {
		latched = (uint32_t)(VBUS_LINK_REGS - offset);
		memcpy(buf, &l->ls->bridge.regs[offset], len < latched ? len : latched);
	}
	if (offset != 0 || len < sizeof(error))
		return 0;
	if (call_hold(l) != 0)
		return -EINPROGRESS;
	memcpy(buf, &error, sizeof(error));
	return 0;
}

static int
on_region_write(void *arg, uint32_t index, uint64_t offset, const void *buf, uint32_t len)
{
	struct keeper_link *l = arg;
	const uint64_t fastcall = offsetof(struct vbus_pci_signals, fastcall);
	const uint64_t latch = offset < VBUS_LINK_REGS ? VBUS_LINK_REGS - offset : 0;

	/* Signals: who comes looks at everything. */
	if (index == VBUS_PCI_BAR_REGS && offset >= VBUS_PCI_DOORBELL) {
		if ((l->ls->bridge.capabilities & VBUS_CAP_DOORBELL) == 0)
			return 0;
		index = VBUS_PCI_BAR_SIGNALS;
		offset -= VBUS_PCI_DOORBELL;
	}
	switch (index) {
	case VBUS_PCI_BAR_REGS:
		memcpy(&l->ls->bridge.regs[latch != 0 ? offset : 0], buf,
			len < latch ? len : latch);
		return 0;
	case VBUS_PCI_BAR_SIGNALS:
		return offset <= fastcall && offset + len > fastcall ? call_hold(l) : 0;
	case VFU_PCI_CONFIG:
		if (vbus_link_config_write(l->ls, (uint32_t)offset, buf, len))
			vbus_link_state_reset(l->ls, false);
		return 0;
	default:
		return -EINVAL;
	}
}

static int
on_region_io_fds(void *arg, uint32_t index, struct vfu_io_fd_info *fds, uint32_t max)
{
	struct keeper_link *l = arg;

	return max > 0 ? vbus_vu_kick_info(index, l->kick, fds) : 0;
}

static int
on_reset(void *arg)
{
	struct keeper_link *l = arg;
	struct vu_state *st = vbus_vu_state(l->ls);

	vbus_link_state_reset(l->ls, true);
	for (int i = 0; i < VU_NB_IRQS; i++) {
		st->irq[i].pending = 0;
		st->irq[i].masked = 0;
	}
	return 0;
}

static void
on_log(void *arg, enum vfu_log_level level, const char *line)
{
	const struct keeper_link *l = arg;

	if (level != VFU_LOG_DEBUG)
		keeper_log("%s: %s", l->path, line);
}

static const struct vfu_ops ops = {
	.region_info = on_region_info,
	.region_read = on_region_read,
	.region_write = on_region_write,
	.dma_map = on_dma_map,
	.dma_unmap = on_dma_unmap,
	.irq_info = on_irq_info,
	.set_irqs = on_set_irqs,
	.reset = on_reset,
	.region_io_fds = on_region_io_fds,
	.log = on_log,
};

/* ---- session --------------------------------------------------------------------------------- */

static void
on_session(struct keeper_watch *w, uint32_t events)
{
	struct keeper_link *l = w->arg;

	/* While a call waits nothing is read: the end of the connection is seen like this. */
	if ((events & (EPOLLHUP | EPOLLERR | EPOLLRDHUP)) != 0 && vfu_session_deferred(l->session))
		keeper_link_end(l, "the client closed the connection");
	else
		keeper_serve(l);
}

int
keeper_serve_begin(struct keeper_link *l)
{
	const struct vfu_session_conf conf = vbus_vu_conf(&ops, l);
	int ret;

	l->hold_until = 0;
	l->refusing = false;
	l->session_watch.fn = on_session;
	l->session_watch.arg = l;
	ret = vfu_session_open(l->sock, &conf, &vbus_vu_state(l->ls)->session, &l->session);
	if (ret == 0)
		keeper_serve(l); /* what the one before has left */
	return ret;
}

void
keeper_serve(struct keeper_link *l)
{
	int ret = vfu_session_process(l->session, BUDGET);

	if (ret < 0) {
		keeper_link_end(l, strerror(-ret));
		return;
	}
	l->nb_served += (uint64_t)ret;
	if (!vfu_session_deferred(l->session))
		l->hold_until = 0;
	if (keeper_watch(&l->session_watch, l->sock, vfu_session_want_events(l->session)) != 0)
		keeper_link_end(l, "it cannot be watched");
}
