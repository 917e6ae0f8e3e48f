/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * The null connector: both ends of a link in one process. The smallest complete connector, to be
 * read before another one is written (doc/connectors.md).
 *
 * A connector carries four things between north and the bridge of a bus:
 *
 *   north's side of the medium                       the bridge (vbus_bridge.h)
 *   vbus_null_open(), vbus_null_close()       --->   a session begins, ends
 *   vbus_null_call()                          --->   a call, with its result
 *   vbus_null_signal(), the kick descriptor   --->   a signal
 *   ops->irq(), ops->closed()                 <---   connector_ops: irq, stop
 *
 * and north's memory. There is nothing to translate here: the session is opened with identity, an
 * address is a pointer of this process. Any other connector adds regions to vbus_bridge_memmap().
 *
 * Threads: all with the control lock held; a kick may be written by any thread and is read by the
 * control thread. Nothing waits: a call runs to its end inside of vbus_null_call().
 *
 * Ownership: the bus owns the link (struct null_link, made by vbus_connector_null(), freed by
 * null_stop()), north owns its end (struct vbus_null). Whichever goes first takes its pointer out
 * of the other.
 */

#include "vbus_null.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "vbus_bridge.h"
#include "vbus_core.h"
#include "vbus_ctl.h"

/* South's end: the bus's connector. */
struct null_link {
	struct vbus_bus *bus;
	struct vbus_null *north; /* NULL: nobody there */
};

/* North's end. */
struct vbus_null {
	struct null_link *link; /* NULL: the bus stopped the connector */
	const struct vbus_null_ops *ops;
	void *arg;
	int kick_fd;
	struct vbus_ctl_fd *kick_watch;
};

/* ---- the connector's operations: what the bridge and its bus ask of the medium --------------- */

static void
null_irq(void *arg)
{
	struct null_link *link = arg;

	if (link->north != NULL)
		link->north->ops->irq(link->north->arg);
}

static void
null_stop(void *arg)
{
	struct null_link *link = arg;
	struct vbus_null *north = link->north;

	vbus_bridge_session_close(link->bus->bridge, "the connector stops");
	free(link);
	if (north == NULL)
		return;
	north->link = NULL;
	if (north->ops->closed != NULL)
		north->ops->closed(north->arg); /* may close, and so free, its end */
}

static void
null_describe(void *arg, char *buf, size_t size)
{
	const struct null_link *link = arg;

	snprintf(
		buf, size, "%s", link->north != NULL ? "north is in this process" : "no north yet");
}

static const struct vbus_connector_ops null_ops = {
	.name = "null",
	.irq = null_irq,
	.stop = null_stop,
	.describe = null_describe,
};

int
vbus_connector_null(struct vbus_bus *bus)
{
	struct null_link *link = calloc(1, sizeof(*link));
	int ret;

	if (link == NULL)
		return -ENOMEM;
	link->bus = bus;
	ret = vbus_bus_set_connector(bus, &null_ops, link);
	if (ret != 0)
		free(link);
	return ret;
}

/* ---- north's end: what the medium brings to the bridge --------------------------------------- */

static void
null_kicked(int fd, uint32_t events, void *arg)
{
	struct vbus_null *n = arg;
	uint64_t kicks;

	(void)events;
	/* However many there were: the bridge looks at every block whose signal is set. */
	if (read(fd, &kicks, sizeof(kicks)) == (ssize_t)sizeof(kicks) && n->link != NULL)
		vbus_bridge_kick(n->link->bus->bridge);
}

/* The bus's null link; made at the first mention of the bus from north (DECISIONS 15). */
static struct null_link *
null_link_of(struct vbus_bus *bus)
{
	int ret;

	if (bus->connector == NULL) {
		ret = vbus_connector_null(bus);
		if (ret != 0) {
			errno = -ret;
			return NULL;
		}
	}
	if (bus->connector->ops != &null_ops) {
		errno = EINVAL;
		return NULL;
	}
	return bus->connector->arg;
}

struct vbus_null *
vbus_null_open(struct vbus_bus *bus, const struct vbus_null_ops *ops, void *arg)
{
	struct null_link *link = null_link_of(bus);
	struct vbus_null *n;
	int err;

	if (link == NULL)
		return NULL;
	if (link->north != NULL) {
		errno = EBUSY;
		return NULL;
	}
	n = calloc(1, sizeof(*n));
	if (n == NULL)
		return NULL;
	n->link = link;
	n->ops = ops;
	n->arg = arg;
	n->kick_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (n->kick_fd < 0) {
		err = errno;
		goto err_free;
	}
	n->kick_watch = vbus_ctl_fd_add(n->kick_fd, EPOLLIN, null_kicked, n);
	if (n->kick_watch == NULL) {
		err = errno;
		goto err_close;
	}
	err = -vbus_bridge_session_open(bus->bridge, true);
	if (err != 0)
		goto err_unwatch;
	link->north = n;
	return n;

err_unwatch:
	vbus_ctl_fd_del(n->kick_watch);
err_close:
	close(n->kick_fd);
err_free:
	free(n);
	errno = err;
	return NULL;
}

void
vbus_null_close(struct vbus_null *n)
{
	if (n == NULL)
		return;
	if (n->link != NULL) {
		vbus_bridge_session_close(n->link->bus->bridge, "north closed its end");
		n->link->north = NULL;
	}
	vbus_ctl_fd_del(n->kick_watch);
	close(n->kick_fd);
	free(n);
}

int32_t
vbus_null_call(struct vbus_null *n, uint32_t vector, uint64_t datap, uint32_t len)
{
	if (n->link == NULL)
		return -ENOTCONN;
	return vbus_bridge_call(n->link->bus->bridge, vector, datap, len);
}

void
vbus_null_signal(struct vbus_null *n, uint32_t off, uint32_t value)
{
	if (n->link != NULL)
		vbus_bridge_signal_write(n->link->bus->bridge, off, value);
}

int
vbus_null_kick_fd(struct vbus_null *n)
{
	return n->kick_fd;
}
