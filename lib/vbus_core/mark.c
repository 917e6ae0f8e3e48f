/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * The control side's half of the in-burst mark: the fence that the polling side does not pay for.
 *
 * Threads: any but lcores in a burst. Fences, best first:
 *  1. membarrier GLOBAL_EXPEDITED: interrupts every CPU that runs a thread of a registered process,
 *     some microseconds; secondary processes count in (DECISIONS 19).
 *  2. membarrier GLOBAL: waits for a grace period of the kernel, milliseconds.
 *  3. where a container's filter refuses membarrier(2): take away the write permission of a page
 *     that was just written. x86 must interrupt every CPU that runs this process to forget the
 *     translation, and an interrupt is a full barrier. This process only.
 */

#include "vbus_mark.h"

#include <errno.h>
#include <linux/membarrier.h>
#include <pthread.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <rte_pause.h>

#include "vbus_log.h"

#define SPINS_BEFORE_SLEEP 2000
#define SLEEP_NS	   20000

enum fence_kind {
	FENCE_UNKNOWN,
	FENCE_EXPEDITED,
	FENCE_GLOBAL,
	FENCE_PAGE
};

static _Atomic int fence_kind;
static pthread_mutex_t page_lock = PTHREAD_MUTEX_INITIALIZER;
static char *page;

static int
membarrier(int cmd)
{
	return (int)syscall(SYS_membarrier, cmd, 0, 0);
}

/* page_lock held */
static int
page_init(void)
{
#if defined(__x86_64__) || defined(__i386__)
	void *p;

	if (page != NULL)
		return 0;
	p = mmap(NULL, (size_t)sysconf(_SC_PAGESIZE), PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return -errno;
	page = p;
	return 0;
#else
	return -ENOTSUP; /* other CPUs forget translations without an interrupt */
#endif
}

static void
page_fence(void)
{
	size_t size = (size_t)sysconf(_SC_PAGESIZE);

	pthread_mutex_lock(&page_lock);
	mprotect(page, size, PROT_READ | PROT_WRITE);
	/* Written, so that CPUs may hold the translation and the kernel has to interrupt them. */
	__atomic_store_n(page, 1, __ATOMIC_SEQ_CST);
	mprotect(page, size, PROT_NONE);
	pthread_mutex_unlock(&page_lock);
}

int
vbus_mark_init(void)
{
	int kind = FENCE_PAGE, cmds, ret = 0;

	if (atomic_load_explicit(&fence_kind, memory_order_acquire) != FENCE_UNKNOWN)
		return 0;
	cmds = membarrier(MEMBARRIER_CMD_QUERY);
	if (cmds > 0 && (cmds & MEMBARRIER_CMD_GLOBAL_EXPEDITED) != 0 &&
		membarrier(MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED) == 0)
		kind = FENCE_EXPEDITED;
	else if (cmds > 0 && (cmds & MEMBARRIER_CMD_GLOBAL) != 0)
		kind = FENCE_GLOBAL;
	if (kind == FENCE_PAGE) {
		pthread_mutex_lock(&page_lock);
		ret = page_init();
		pthread_mutex_unlock(&page_lock);
	}
	if (ret != 0)
		return ret;
	if (kind != FENCE_EXPEDITED)
		VBUS_LOG(NOTICE, "no expedited membarrier, fences fall back to %s",
			kind == FENCE_GLOBAL ? "the slow one" : "page protection");
	/* Pairs with the acquire above and in vbus_mark_fence(): page is set. */
	atomic_store_explicit(&fence_kind, kind, memory_order_release);
	return 0;
}

bool
vbus_mark_is_global(void)
{
	int kind = atomic_load_explicit(&fence_kind, memory_order_acquire);

	return kind == FENCE_EXPEDITED || kind == FENCE_GLOBAL;
}

void
vbus_mark_fence(void)
{
	/* The caller's own part: what it unpublished (C0) is before what it looks at next (C2). */
	atomic_thread_fence(memory_order_seq_cst);
	if (atomic_load_explicit(&fence_kind, memory_order_acquire) == FENCE_UNKNOWN)
		vbus_mark_init();
	switch (atomic_load_explicit(&fence_kind, memory_order_acquire)) {
	case FENCE_EXPEDITED:
		membarrier(MEMBARRIER_CMD_GLOBAL_EXPEDITED);
		break;
	case FENCE_GLOBAL:
		membarrier(MEMBARRIER_CMD_GLOBAL);
		break;
	case FENCE_PAGE:
		page_fence();
		break;
	default: {
		/* Nothing works here. A store leaves a CPU's buffer within microseconds. */
		struct timespec ts = {.tv_nsec = 10 * 1000 * 1000};

		nanosleep(&ts, NULL);
	}
	}
	atomic_thread_fence(memory_order_seq_cst);
}

void
vbus_mark_wait_nofence(struct vbus_mark *m)
{
	uint32_t seen = atomic_load_explicit(&m->seq, memory_order_acquire); /* C2, pairs with M2 */
	struct timespec ts = {.tv_nsec = SLEEP_NS};
	unsigned int spins = 0;

	if ((seen & 1) == 0)
		return;
	/* C2 again; a burst is short, but its thread may be off its CPU, even waiting for ours. */
	while (atomic_load_explicit(&m->seq, memory_order_acquire) == seen) {
		if (++spins > SPINS_BEFORE_SLEEP)
			nanosleep(&ts, NULL);
		else
			rte_pause();
	}
}

void
vbus_mark_wait(struct vbus_mark *m)
{
	vbus_mark_fence();
	vbus_mark_wait_nofence(m);
}
