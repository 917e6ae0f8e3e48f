/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * The transport over a PCI function of this machine, which is a guest as a rule (ADR-0014). The
 * peer is there as long as the function answers. A bridge call is four writes and a read, and
 * done when the read returns. The memory of the guest is south's anyway, so nothing is mapped
 * for it here. Events come by MSI where vfio-pci gives it; otherwise (UIO) a timer looks at the
 * event ring, and south is told not to interrupt.
 *
 * A function that is gone reads as all ones, and so does the result -EPERM: the configuration
 * space tells which it was.
 *
 * Threads: control lock held everywhere but in pci_kick(). A call holds the lock for as long
 * as south takes; the virtual CPU stands still for it anyway.
 * Ownership: the transport lives from start to stop, the PCI device longer (vbus_pci.c).
 */

#include "vbus_bus_private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "vbus_ioq_north.h"
#include "vbus_pci_io.h"

/* How often the event ring is looked at: soon after an event more will come, and ABI 7.2
 * bounds how long one may wait. */
#define POLL_FIRST_NS VBUS_NS_PER_MS
#define POLL_MAX_NS   (8 * VBUS_NS_PER_MS)

struct pci_tp {
	struct rte_vbus_link *link;
	struct vbus_pci_io io;
	int irq_fd; /* MSI ends here; -1: polled */
	struct vbus_ctl_fd *irq_watch;
	struct vbus_ctl_timer poll;
	uint64_t poll_ns;
};

static void
pci_irq(int fd, uint32_t events, void *arg)
{
	struct pci_tp *tp = arg;
	uint64_t n;

	(void)events;
	if (read(fd, &n, sizeof(n)) == sizeof(n))
		vbus_events_run(tp->link);
}

static void
poll_due(struct vbus_ctl_timer *t)
{
	struct pci_tp *tp = container_of(t, struct pci_tp, poll);
	struct rte_vbus_link *link = tp->link;

	tp->poll_ns = tp->poll_ns * 2 < POLL_MAX_NS ? tp->poll_ns * 2 : POLL_MAX_NS;
	if (link->state == VBUS_LINK_UP && vbus_ioq_north_ready_count(&link->events, 1) > 0) {
		tp->poll_ns = POLL_FIRST_NS;
		vbus_events_run(link);
	}
	/* A link that failed on the way has cancelled the timer, and it stays so. */
	if (link->state >= VBUS_LINK_CONNECTING)
		vbus_ctl_timer_arm(t, tp->poll_ns);
}

/* ---- operations ---------------------------------------------------------------------------- */

static int
pci_connect(struct rte_vbus_link *link, char *err, size_t err_size)
{
	struct pci_tp *tp = link->transport;
	int ret = vbus_pci_io_check(&tp->io);

	if (ret == 0)
		ret = vbus_pci_io_master(&tp->io, true);
	if (ret != 0) {
		snprintf(err, err_size, "%s: %s", link->args.path,
			ret == -ENODEV		  ? "the function does not answer"
			: ret == -EPROTONOSUPPORT ? "a bridge of another revision"
						  : strerror(-ret));
		return ret;
	}
	if (link->polled) {
		tp->poll_ns = POLL_FIRST_NS;
		vbus_ctl_timer_arm(&tp->poll, tp->poll_ns);
	}
	vbus_link_connected(link);
	return 0;
}

static void
pci_disconnect(struct rte_vbus_link *link)
{
	struct pci_tp *tp = link->transport;

	vbus_ctl_timer_cancel(&tp->poll);
	/* South takes it for a reset (ABI 7.13): from here on it leaves our memory alone. */
	(void)vbus_pci_io_master(&tp->io, false);
}

static int
pci_call(struct rte_vbus_link *link, uint32_t vector, uint64_t datap, uint32_t len, int32_t *result)
{
	const struct vbus_pci_call_desc desc = {.vector = vector, .len = len, .datap = datap};
	struct pci_tp *tp = link->transport;

	*result = vbus_pci_io_call(&tp->io, &desc);
	if (*result != -1 || vbus_pci_io_check(&tp->io) == 0)
		return 1;
	vbus_link_fail(link, "the function does not answer any more");
	return -ENOTCONN;
}

/* What was negotiated does not change while devices are open. */
static void
pci_store(const struct rte_vbus_link *link, uint32_t off, uint32_t value)
{
	const struct pci_tp *tp = link->transport;

	if ((link->caps & VBUS_CAP_DOORBELL) != 0)
		vbus_pci_io_ring(&tp->io, off, value);
	else
		vbus_pci_io_signal(&tp->io, off, value);
}

static void
pci_signal(struct rte_vbus_link *link, uint32_t off, uint32_t value)
{
	pci_store(link, off, value);
}

static void
pci_kick(const struct rte_vbus_link *link, uint32_t handle)
{
	pci_store(link, offsetof(struct vbus_pci_signals, shmsignal), handle);
}

/* ---- life ---------------------------------------------------------------------------------- */

static int
irq_start(struct pci_tp *tp)
{
	int ret;

	tp->irq_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (tp->irq_fd < 0)
		return -errno;
	tp->irq_watch = vbus_ctl_fd_add(tp->irq_fd, EPOLLIN, pci_irq, tp);
	ret = tp->irq_watch != NULL ? vbus_pci_io_irq(&tp->io, tp->irq_fd) : -errno;
	if (ret == 0)
		return 0;
	vbus_ctl_fd_del(tp->irq_watch);
	tp->irq_watch = NULL;
	close(tp->irq_fd);
	tp->irq_fd = -1;
	return ret;
}

static int
pci_start(struct rte_vbus_link *link, char *err, size_t err_size)
{
	struct pci_tp *tp = calloc(1, sizeof(*tp));
	int ret;

	if (tp == NULL)
		return -ENOMEM;
	tp->link = link;
	tp->poll.fn = poll_due;
	ret = vbus_pci_io_open(&tp->io, link->origin, err, err_size);
	if (ret != 0) {
		free(tp);
		return ret;
	}
	link->no_ports = tp->io.port_fd < 0;
	ret = irq_start(tp);
	link->polled = ret != 0;
	if (ret != 0)
		BUS_LOG(INFO, "%s: no interrupt (%s): events are polled for", link->name,
			strerror(-ret));
	link->transport = tp;
	return 0;
}

static void
pci_stop(struct rte_vbus_link *link)
{
	struct pci_tp *tp = link->transport;

	pci_disconnect(link);
	if (tp->irq_fd >= 0) {
		(void)vbus_pci_io_irq(&tp->io, -1);
		vbus_ctl_fd_del(tp->irq_watch);
		close(tp->irq_fd);
	}
	vbus_pci_io_close(&tp->io);
	free(tp);
	link->transport = NULL;
	link->polled = false;
}

const struct vbus_link_ops vbus_link_pci_ops = {
	.name = "pci",
	.dma = true,
	.start = pci_start,
	.stop = pci_stop,
	.connect = pci_connect,
	.disconnect = pci_disconnect,
	.call = pci_call,
	.signal = pci_signal,
	.kick = pci_kick,
};
