/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * Links: from the first mention to the last.
 *
 *     IDLE --start--> WAITING <--> CONNECTING --> NEGOTIATING --> UP --+
 *                        ^              |              |           |
 *                        +--------------+-- fail ------+-----------+
 *
 * Whatever goes wrong ends in vbus_link_fail(): the session's state goes, and the link waits for
 * its peer again, 1 ms at first, up to 50 ms (DECISIONS 16), for ever. The retry timer may do so
 * because it runs on one thread with the control lock, is cancelled by vbus_link_stop(), and an
 * attempt is one connect(2) without waiting.
 *
 * Threads: start, wait and stop: application threads (not the control thread, no lock held);
 * the rest: control lock held.
 * Ownership: a link owns its transport, shared memory, devices and calls. ADR-0007.
 */

#include "vbus_bus_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_memory.h>

#define RETRY_FIRST_MS 1u
#define RETRY_MAX_MS   50u
/* Devices that are not announced again so long after QREG are gone (DECISIONS 13). */
#define RETURN_NS (1000 * VBUS_NS_PER_MS)

/* How long a link that is detached waits for callbacks of its devices. */
#define STOP_WAIT_NS (10000 * VBUS_NS_PER_MS)

struct vbus_links vbus_links = TAILQ_HEAD_INITIALIZER(vbus_links);

/* What a started link is bound to: EAL detaches only what has a driver. */
static struct rte_driver link_driver = {.name = "vbus_link"};

struct rte_vbus_link *
vbus_link_find(const char *name)
{
	struct rte_vbus_link *link;

	TAILQ_FOREACH (link, &vbus_links, next)
		if (strcmp(link->name, name) == 0)
			break;
	return link;
}

const char *
vbus_link_peer(const struct rte_vbus_link *link)
{
	return link->args.kind == VBUS_LINK_NULL ? link->args.bus : link->args.path;
}

/* One line per change of state; a peer that comes and goes does not flood the log. */
static void
link_say(struct rte_vbus_link *link, const char *what)
{
	uint32_t left_out;

	if (!vbus_log_allowed(&link->log_limit, &left_out))
		return;
	if (left_out > 0)
		BUS_LOG(NOTICE, "%s: %s (%u lines left out)", link->name, what, left_out);
	else
		BUS_LOG(NOTICE, "%s: %s", link->name, what);
}

/* The same reason again and again (a peer that is not there) is said once. */
static void
link_say_reason(struct rte_vbus_link *link, const char *what, const char *reason)
{
	char line[sizeof(link->reason) + 32];

	if (strcmp(link->reason, reason) == 0)
		return;
	snprintf(link->reason, sizeof(link->reason), "%s", reason);
	snprintf(line, sizeof(line), "%s: %s", what, reason);
	link_say(link, line);
}

static void
link_retry_soon(struct rte_vbus_link *link)
{
	link->state = VBUS_LINK_WAITING;
	vbus_ctl_timer_arm(&link->retry_timer, link->retry_ms * VBUS_NS_PER_MS);
	link->retry_ms = link->retry_ms * 2 < RETRY_MAX_MS ? link->retry_ms * 2 : RETRY_MAX_MS;
}

static void
link_try(struct rte_vbus_link *link)
{
	char err[128] = "";
	int ret;

	link->state = VBUS_LINK_CONNECTING;
	ret = link->ops->connect(link, err, sizeof(err));
	if (ret == 0)
		return;
	link_say_reason(link, "waiting for its peer", err[0] != '\0' ? err : strerror(-ret));
	link_retry_soon(link);
}

static void
retry_due(struct vbus_ctl_timer *t)
{
	link_try(container_of(t, struct rte_vbus_link, retry_timer));
}

static void
events_due(struct vbus_ctl_timer *t)
{
	vbus_events_run(container_of(t, struct rte_vbus_link, events_timer));
}

static void
grace_over(struct vbus_ctl_timer *t)
{
	vbus_dev_reap(container_of(t, struct rte_vbus_link, grace_timer));
}

static void
fail_due(struct vbus_ctl_timer *t)
{
	struct rte_vbus_link *link = container_of(t, struct rte_vbus_link, fail_timer);

	vbus_link_fail(link, link->fail_reason);
}

static void
link_job(struct vbus_ctl_job *job)
{
	struct rte_vbus_link *link = container_of(job, struct rte_vbus_link, job);

	/* On the null link the job is queued by the interrupt as well: who flushes the worker
	 * after attaching a device finds it plugged then (DECISIONS 15). Elsewhere there is
	 * nothing. */
	if (link->ops->identity) {
		vbus_ctl_lock();
		vbus_events_run(link);
		vbus_ctl_unlock();
	}
	vbus_dev_work(link);
}

void
vbus_link_work(struct rte_vbus_link *link)
{
	vbus_link_settle(link);
	vbus_ctl_job_queue(&link->job);
}

void
vbus_link_settle(struct rte_vbus_link *link)
{
	bool settled = link->state == VBUS_LINK_UP && TAILQ_EMPTY(&link->announces) &&
		       TAILQ_EMPTY(&link->dirty) && !link->working;

	if (settled != link->settled) {
		link->settled = settled;
		vbus_ctl_wake();
	}
}

void
vbus_link_connected(struct rte_vbus_link *link)
{
	link->state = VBUS_LINK_NEGOTIATING;
	link->session++;
	link->stats.nb_connects++;
	vbus_negotiate(link);
}

void
vbus_link_up(struct rte_vbus_link *link)
{
	char line[160];

	link->state = VBUS_LINK_UP;
	link->retry_ms = RETRY_FIRST_MS;
	link->reason[0] = '\0';
	atomic_store_explicit(&link->live, 1, memory_order_relaxed);
	snprintf(line, sizeof(line), "connected (%s %s)", link->ops->name, vbus_link_peer(link));
	link_say(link, line);
	vbus_ctl_timer_arm(&link->grace_timer, RETURN_NS);
	vbus_events_enable(link);
	vbus_link_work(link);
}

void
vbus_link_set_kick(struct rte_vbus_link *link, int fd)
{
	/* Atomic for those who write to the number at this moment. */
	if (dup3(fd >= 0 ? fd : link->idle_fd, link->kick_fd, O_CLOEXEC) < 0)
		BUS_LOG(ERR, "%s: kick descriptor: %s", link->name, strerror(errno));
}

/* The session is over: nothing of it is left. */
static void
link_reset(struct rte_vbus_link *link)
{
	enum vbus_link_state was = link->state;

	link->state = VBUS_LINK_WAITING; /* first: calls that completions submit end at once */
	atomic_store_explicit(&link->live, 0, memory_order_relaxed);
	vbus_ctl_timer_cancel(&link->events_timer);
	vbus_ctl_timer_cancel(&link->grace_timer);
	vbus_ctl_timer_cancel(&link->fail_timer);
	link->ops->disconnect(link);
	link->mem_seq = 0;
	vbus_link_set_kick(link, -1);
	vbus_call_fail_all(link, -ENOTCONN);
	vbus_shm_forget(link, NULL);
	if (was >= VBUS_LINK_NEGOTIATING)
		vbus_dev_all_lost(link);
	vbus_link_settle(link);
	vbus_ctl_wake();
}

void
vbus_link_fail(struct rte_vbus_link *link, const char *reason)
{
	enum vbus_link_state was = link->state;

	if (was <= VBUS_LINK_WAITING)
		return;
	link_reset(link);
	if (was == VBUS_LINK_UP) {
		link->stats.nb_lost++;
		link->retry_ms = RETRY_FIRST_MS;
		link_say_reason(link, "lost its peer", reason);
	} else {
		link_say_reason(link, "cannot connect", reason);
	}
	link_retry_soon(link);
}

void
vbus_link_fail_later(struct rte_vbus_link *link, const char *reason)
{
	link->fail_reason = reason;
	vbus_ctl_timer_arm(&link->fail_timer, 0);
}

/* ---- life ---------------------------------------------------------------------------------- */

struct rte_vbus_link *
vbus_link_new(const char *name, const struct vbus_link_args *args)
{
	struct rte_vbus_link *link = calloc(1, sizeof(*link));

	if (link == NULL) {
		errno = ENOMEM;
		return NULL;
	}
	snprintf(link->name, sizeof(link->name), "%s", name);
	snprintf(link->full_name, sizeof(link->full_name), "vbus:%s", name);
	link->device.name = link->full_name;
	link->device.bus = &vbus_bus;
	link->device.numa_node = SOCKET_ID_ANY;
	link->args = *args;
	link->kick_fd = link->idle_fd = -1;
	link->not_working = true;
	link->retry_timer.fn = retry_due;
	link->events_timer.fn = events_due;
	link->grace_timer.fn = grace_over;
	link->fail_timer.fn = fail_due;
	link->job.fn = link_job;
	TAILQ_INIT(&link->calls);
	TAILQ_INIT(&link->devices);
	TAILQ_INIT(&link->dirty);
	TAILQ_INIT(&link->announces);
	link->node.rdev = &link->device;
	link->node.link = link;
	TAILQ_INSERT_TAIL(&vbus_links, link, next);
	vbus_node_add(&link->node);
	return link;
}

void
vbus_link_free(struct rte_vbus_link *link)
{
	free(link->shms.slots);
	free(link);
}

/* Memory and descriptors of a link that starts. Lock NOT held. */
static int
link_prepare(struct rte_vbus_link *link)
{
	link->shared = vbus_zone_alloc(
		link, sizeof(*link->shared), false, SOCKET_ID_ANY, &link->shared_mz);
	if (link->shared == NULL)
		return -ENOMEM;
	if (!vbus_link_visible(link, link->shared, sizeof(*link->shared))) {
		BUS_LOG(ERR, "%s: EAL's memory has no %s", link->name,
			link->ops->dma ? "addresses that a device could use"
				       : "descriptors that a peer could map");
		return -ENOTSUP;
	}
	link->idle_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (link->idle_fd < 0)
		return -errno;
	link->kick_fd = fcntl(link->idle_fd, F_DUPFD_CLOEXEC, 0);
	return link->kick_fd < 0 ? -errno : 0;
}

/* The opposite, of whatever is there. Lock NOT held. */
static void
link_release(struct rte_vbus_link *link)
{
	if (link->kick_fd >= 0)
		close(link->kick_fd);
	if (link->idle_fd >= 0)
		close(link->idle_fd);
	link->kick_fd = link->idle_fd = -1;
	if (link->shared != NULL)
		vbus_zone_release(link, link->shared, link->shared_mz);
	link->shared = NULL;
}

/* One thread at a time starts or stops a link; callbacks of drivers may try to from within. */
static int
link_claim(struct rte_vbus_link *link)
{
	int ret = -EBUSY;

	vbus_ctl_lock();
	if (!link->changing) {
		link->changing = true;
		ret = 0;
	}
	vbus_ctl_unlock();
	return ret;
}

static void
link_unclaim(struct rte_vbus_link *link)
{
	vbus_ctl_lock();
	link->changing = false;
	vbus_ctl_unlock();
}

/* Lock NOT held, the link is claimed and idle. */
static int
link_begin(struct rte_vbus_link *link, char *err, size_t err_size)
{
	static const struct vbus_link_ops *const kinds[] = {
		[VBUS_LINK_SOCKET] = &vbus_link_socket_ops,
		[VBUS_LINK_NULL] = &vbus_link_null_ops,
		[VBUS_LINK_WINDOW] = &vbus_link_window_ops,
		[VBUS_LINK_PCI] = &vbus_link_pci_ops,
	};
	int ret;

	link->ops = kinds[link->args.kind];
	ret = vbus_ctl_get();
	if (ret != 0)
		return ret;
	ret = vbus_memory_get();
	if (ret != 0)
		goto err_ctl;
	vbus_ctl_lock();
	link->stopping = false;
	link->retry_ms = RETRY_FIRST_MS;
	link->reason[0] = '\0';
	ret = link->ops->start(link, err, err_size);
	vbus_ctl_unlock();
	if (ret != 0)
		goto err_memory;
	ret = link_prepare(link); /* the transport may have the memory */
	vbus_ctl_lock();
	if (ret == 0) {
		link->device.driver = &link_driver;
		vbus_link_tel_add(link);
		link_try(link);
	} else {
		link->ops->stop(link);
	}
	vbus_ctl_unlock();
	if (ret == 0)
		return 0;
	link_release(link);
err_memory:
	vbus_memory_put();
err_ctl:
	vbus_ctl_put();
	return ret;
}

int
vbus_link_start(struct rte_vbus_link *link)
{
	char err[160] = "";
	int ret;

	if (rte_eal_process_type() != RTE_PROC_PRIMARY) {
		BUS_LOG(ERR, "%s: links belong to the primary process", link->full_name);
		return -ENOTSUP;
	}
	ret = link_claim(link);
	if (ret != 0)
		return ret;
	if (link->state == VBUS_LINK_IDLE)
		ret = link_begin(link, err, sizeof(err));
	if (ret != 0)
		BUS_LOG(ERR, "%s: %s", link->full_name, err[0] != '\0' ? err : strerror(-ret));
	link_unclaim(link);
	return ret;
}

void
vbus_link_wait(struct rte_vbus_link *link, uint64_t deadline_ns)
{
	uint64_t now;

	/* The worker would wait for itself: devices are plugged when it has returned. */
	if (vbus_ctl_in_worker())
		return;
	vbus_ctl_lock();
	while (!link->settled && (now = vbus_ctl_now_ns()) < deadline_ns)
		if (vbus_ctl_wait(&link->settled, deadline_ns - now) == -EDEADLK)
			break;
	vbus_ctl_unlock();
}

/* Nobody works on the link's devices any more. */
static int
link_quiet(struct rte_vbus_link *link)
{
	uint64_t deadline = vbus_ctl_now_ns() + STOP_WAIT_NS;
	uint64_t now;
	int ret = 0;

	vbus_ctl_lock();
	link->stopping = true;
	while (link->working && ret == 0) {
		now = vbus_ctl_now_ns();
		if (now < deadline)
			vbus_ctl_wait(&link->not_working, deadline - now);
		else
			ret = -EBUSY; /* a callback of the application that does not return */
	}
	vbus_ctl_unlock();
	return ret;
}

/* Lock NOT held, the link is claimed and runs. */
static int
link_end(struct rte_vbus_link *link)
{
	int ret = link_quiet(link);

	if (ret == 0)
		ret = vbus_dev_remove_all(link);
	vbus_ctl_lock();
	if (ret != 0) {
		link->stopping = false;
		vbus_link_work(link); /* what was put off */
		vbus_ctl_unlock();
		return ret;
	}
	vbus_link_tel_del(link);
	link_reset(link);
	vbus_ctl_timer_cancel(&link->retry_timer);
	link->ops->stop(link);
	link->state = VBUS_LINK_IDLE;
	link->device.driver = NULL;
	vbus_ctl_job_cancel(&link->job);
	vbus_ctl_unlock();
	/* A job that began before the reset may still look at the link. */
	vbus_ctl_job_flush();
	link_release(link);
	vbus_memory_put();
	vbus_ctl_put();
	return 0;
}

int
vbus_link_stop(struct rte_vbus_link *link)
{
	int ret;

	/* Threads do not end from within; and a callback runs for one of the devices. */
	if (vbus_ctl_in_worker() || vbus_ctl_in_control())
		return -EBUSY;
	ret = link_claim(link);
	if (ret != 0)
		return ret;
	if (link->state != VBUS_LINK_IDLE)
		ret = link_end(link);
	if (ret != 0) {
		link_unclaim(link);
		return ret;
	}
	vbus_ctl_lock();
	TAILQ_REMOVE(&vbus_links, link, next);
	vbus_node_del(&link->node);
	vbus_node_bury(&link->node);
	vbus_ctl_unlock();
	return 0;
}
