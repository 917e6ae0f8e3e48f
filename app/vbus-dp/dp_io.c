/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * The back ends' thread (dp_io.h, ADR-0013).
 *
 * Threads: one, "vbus-io", while there are back ends. The list is changed with list_lock, which the
 * thread holds for a round; it takes the control lock only in after(), outside of every mark. Who
 * holds the control lock waits for marks, never for list_lock: so nobody waits in a circle.
 *
 * It spins for SPIN_NS after it has done something (north answers within that time), or WAIT_SPIN_NS while
 * requests are with a disk, then asks for wake-ups, looks once more, and sleeps. Who else wants this CPU gets it every
 * YIELD_NS meanwhile; a yield in each round would cost more than the round.
 */

#include "dp_io.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <rte_pause.h>

#include "vbus_ctl.h"

#define SPIN_NS	     200000u
#define WAIT_SPIN_NS 1000000u
#define YIELD_NS     10000u
#define NS_A_MS	     1000000u

static struct {
	pthread_t thread;
	pthread_mutex_t list_lock;
	TAILQ_HEAD(, dp_io) list;
	unsigned int nb; /* main control thread's */
	bool runs;	 /* likewise */
	int epfd, wake_fd;
	atomic_bool stop;
	atomic_int nb_waiting; /* for list_lock */
	/* the thread's */
	uint64_t tick_ns;
	uint64_t spin_ns;
} io_thread = {
	.list_lock = PTHREAD_MUTEX_INITIALIZER,
	.list = TAILQ_HEAD_INITIALIZER(io_thread.list),
	.epfd = -1,
	.wake_fd = -1,
};

/* ---- the thread -------------------------------------------------------------------------------- */

static bool
round_of_all(uint64_t now)
{
	bool tick = now >= io_thread.tick_ns;
	bool busy = false, waits = false;
	struct dp_io *io;

	if (tick)
		io_thread.tick_ns = now + (uint64_t)DP_IO_TICK_MS * NS_A_MS;
	TAILQ_FOREACH (io, &io_thread.list, next) {
		vbus_mark_enter(&io->mark);
		busy |= io->ops->poll(io, tick);
		vbus_mark_leave(&io->mark);
		waits |= io->waits;
		io->ops->after(io);
	}
	io_thread.spin_ns = waits ? WAIT_SPIN_NS : SPIN_NS;
	return busy;
}

/** @return there is something to do after all */
static bool
arm_all(void)
{
	bool there = false;
	struct dp_io *io;

	TAILQ_FOREACH (io, &io_thread.list, next) {
		vbus_mark_enter(&io->mark);
		there |= io->ops->arm(io);
		vbus_mark_leave(&io->mark);
	}
	return there;
}

static void
disarm_all(void)
{
	struct dp_io *io;

	TAILQ_FOREACH (io, &io_thread.list, next) {
		vbus_mark_enter(&io->mark);
		io->ops->disarm(io);
		vbus_mark_leave(&io->mark);
	}
}

static void
lock_list(void)
{
	/* A mutex that is taken again at once starves who waits for it. */
	while (atomic_load(&io_thread.nb_waiting) != 0)
		sched_yield();
	pthread_mutex_lock(&io_thread.list_lock);
}

static void
sleep_for_events(void)
{
	struct epoll_event ev[16];
	uint64_t count;

	if (epoll_wait(io_thread.epfd, ev, 16, DP_IO_TICK_MS) <= 0)
		return;
	/* Level-triggered and only for us: whichever event came, it is looked at again. */
	if (read(io_thread.wake_fd, &count, sizeof(count)) < 0)
		return;
}

static void *
run(void *arg)
{
	uint64_t busy_ns = 0, yielded_ns = 0;
	bool armed = false;

	(void)arg;
	while (!atomic_load_explicit(&io_thread.stop, memory_order_relaxed)) {
		uint64_t now = vbus_ctl_now_ns();
		bool there;

		lock_list();
		if (round_of_all(now)) {
			busy_ns = now;
			if (armed)
				disarm_all();
			armed = false;
			pthread_mutex_unlock(&io_thread.list_lock);
			continue;
		}
		if (now - busy_ns < io_thread.spin_ns) {
			pthread_mutex_unlock(&io_thread.list_lock);
			if (now - yielded_ns >= YIELD_NS) {
				sched_yield();
				yielded_ns = now;
			} else {
				rte_pause();
			}
			continue;
		}
		there = arm_all();
		armed = true;
		pthread_mutex_unlock(&io_thread.list_lock);
		if (!there)
			sleep_for_events();
	}
	return NULL;
}

/* ---- the control side -------------------------------------------------------------------------- */

void
dp_io_wake(void)
{
	const uint64_t one = 1;

	/* Fails only when its counter is full, and then it is readable. */
	if (write(io_thread.wake_fd, &one, sizeof(one)) < 0)
		return;
}

void
dp_io_wake_cb(void *arg)
{
	(void)arg;
	dp_io_wake();
}

void
dp_io_quiesce(void *arg)
{
	vbus_mark_wait(&((struct dp_io *)arg)->mark);
}

int
dp_io_watch(int fd)
{
	struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET};

	return epoll_ctl(io_thread.epfd, EPOLL_CTL_ADD, fd, &ev) == 0 ? 0 : -errno;
}

/* The descriptors stay when the thread ends: a wake-up may still be on its way to them. */
int
dp_io_init(void)
{
	struct epoll_event ev = {.events = EPOLLIN};

	if (io_thread.epfd >= 0)
		return 0;
	io_thread.wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	io_thread.epfd = epoll_create1(EPOLL_CLOEXEC);
	if (io_thread.wake_fd < 0 || io_thread.epfd < 0 ||
		epoll_ctl(io_thread.epfd, EPOLL_CTL_ADD, io_thread.wake_fd, &ev) != 0)
		return -errno;
	return vbus_mark_init();
}

static void
change(struct dp_io *io, bool add)
{
	atomic_fetch_add(&io_thread.nb_waiting, 1);
	dp_io_wake();
	pthread_mutex_lock(&io_thread.list_lock);
	atomic_fetch_sub(&io_thread.nb_waiting, 1);
	if (add)
		TAILQ_INSERT_TAIL(&io_thread.list, io, next);
	else
		TAILQ_REMOVE(&io_thread.list, io, next);
	pthread_mutex_unlock(&io_thread.list_lock);
	dp_io_wake();
}

int
dp_io_add(struct dp_io *io)
{
	int ret = dp_io_init();

	if (ret != 0)
		return ret;
	change(io, true);
	if (io_thread.nb++ != 0)
		return 0;
	atomic_store(&io_thread.stop, false);
	io_thread.runs = true;
	ret = pthread_create(&io_thread.thread, NULL, run, NULL);
	if (ret == 0) {
		pthread_setname_np(io_thread.thread, "vbus-io");
		return 0;
	}
	io_thread.runs = false;
	io_thread.nb--;
	change(io, false);
	return -ret;
}

void
dp_io_stop(void)
{
	if (!io_thread.runs)
		return;
	atomic_store(&io_thread.stop, true);
	dp_io_wake();
	pthread_join(io_thread.thread, NULL);
	io_thread.runs = false;
}

void
dp_io_del(struct dp_io *io)
{
	change(io, false);
	if (--io_thread.nb == 0)
		dp_io_stop();
}
