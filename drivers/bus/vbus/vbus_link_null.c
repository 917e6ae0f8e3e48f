/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * The transport to a bus of the same process (null=BUS): calls are function calls. Interrupts
 * are only noted, because they come from inside south's code: a timer runs the event ring on
 * the control thread, and the link's job, queued at once, runs it on the worker before it
 * plugs; so whoever attaches a device and then flushes the worker finds it plugged (DECISIONS
 * 15).
 *
 * Threads: control lock held everywhere.
 * Ownership: the link holds the bus from start to stop; the null north belongs to the
 * connection.
 */

#include "vbus_bus_private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vbus_core.h"
#include "vbus_null.h"

struct null_tp {
	struct vbus_bus *bus;
	struct vbus_null *null;
};

static void
null_irq(void *arg)
{
	struct rte_vbus_link *link = arg;

	vbus_ctl_timer_arm(&link->events_timer, 0);
	vbus_ctl_job_queue(&link->job);
}

static void
null_closed(void *arg)
{
	vbus_link_fail_later(arg, "its connector stopped");
}

static const struct vbus_null_ops null_ops = {
	.irq = null_irq,
	.closed = null_closed,
};

static int
null_start(struct rte_vbus_link *link, char *err, size_t err_size)
{
	struct null_tp *tp = calloc(1, sizeof(*tp));
	int ret;

	if (tp == NULL)
		return -ENOMEM;
	tp->bus = vbus_bus_get(link->args.bus);
	if (tp->bus == NULL) {
		ret = errno > 0 ? -errno : -ENOMEM;
		snprintf(err, err_size, "null=%s: %s", link->args.bus, strerror(-ret));
		free(tp);
		return ret;
	}
	/* A bus that another medium carries, or that has its north already, is a mistake in
	 * the arguments; later on it is a reason to wait. */
	tp->null = vbus_null_open(tp->bus, &null_ops, link);
	if (tp->null == NULL) {
		ret = errno > 0 ? -errno : -EBUSY;
		snprintf(err, err_size, "null=%s: %s", link->args.bus,
			ret == -EBUSY	 ? "the bus has a link already"
			: ret == -EINVAL ? "the bus has another connector"
					 : strerror(-ret));
		vbus_bus_put(tp->bus);
		free(tp);
		return ret;
	}
	link->transport = tp;
	return 0;
}

static void
null_disconnect(struct rte_vbus_link *link)
{
	struct null_tp *tp = link->transport;

	if (tp->null != NULL)
		vbus_null_close(tp->null);
	tp->null = NULL;
}

static void
null_stop(struct rte_vbus_link *link)
{
	struct null_tp *tp = link->transport;

	null_disconnect(link);
	vbus_bus_put(tp->bus);
	free(tp);
	link->transport = NULL;
}

static int
null_connect(struct rte_vbus_link *link, char *err, size_t err_size)
{
	struct null_tp *tp = link->transport;

	if (tp->null == NULL)
		tp->null = vbus_null_open(tp->bus, &null_ops, link);
	if (tp->null == NULL) {
		snprintf(err, err_size, "bus %s: %s", link->args.bus, strerror(errno));
		return errno > 0 ? -errno : -EBUSY;
	}
	vbus_link_set_kick(link, vbus_null_kick_fd(tp->null));
	vbus_link_connected(link);
	return 0;
}

static int
null_call(
	struct rte_vbus_link *link, uint32_t vector, uint64_t datap, uint32_t len, int32_t *result)
{
	struct null_tp *tp = link->transport;

	*result = tp->null != NULL ? vbus_null_call(tp->null, vector, datap, len) : -ENOTCONN;
	return 1;
}

static void
null_signal(struct rte_vbus_link *link, uint32_t off, uint32_t value)
{
	struct null_tp *tp = link->transport;

	if (tp->null != NULL)
		vbus_null_signal(tp->null, off, value);
}

const struct vbus_link_ops vbus_link_null_ops = {
	.name = "null",
	.identity = true,
	.start = null_start,
	.stop = null_stop,
	.connect = null_connect,
	.disconnect = null_disconnect,
	.call = null_call,
	.signal = null_signal,
};
