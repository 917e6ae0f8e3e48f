/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * EAL's memory as the peers know it (DECISIONS 17). A table of runs: contiguous in virtual
 * address, file and offset in it, and north address; each is one DMA_MAP. Memory without a
 * descriptor is left out.
 *
 * Hot-added memory is mapped at the peers before its allocator gets it, freed memory is
 * unmapped before it goes. The thread that allocates comes by EAL's callback with EAL's memory
 * lock held; it may hold anything else. So it never takes the control lock: it changes the
 * table under the small mutex here, writes an eventfd, and waits a bounded time for the
 * control thread to have told every peer. A thread that holds the control lock cannot wait
 * (nobody could serve it). The control thread in turn never takes EAL's memory lock: it reads
 * the table only.
 *
 * Threads: any (callback); control thread (telling the peers); lcores read the visible ranges,
 * which are published by a sequence counter.
 * Ownership: descriptors are EAL's; the callback for freed memory comes before EAL closes
 * them.
 */

#include "vbus_bus_private.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <rte_eal_memconfig.h>
#include <rte_errno.h>
#include <rte_memory.h>

#define MEM_WAIT_NS    (200 * VBUS_NS_PER_MS)
#define MEM_CALLBACK   "vbus"
#define MEM_RANGES_MAX 256u /* beyond: not visible, so it is copied */

struct mem_run {
	uintptr_t va;
	uint64_t len;
	uint64_t iova;
	uint64_t offset;
	int fd;
};

/* A change that the peers have to be told of; freed by whoever drops the last reference. */
struct mem_change {
	STAILQ_ENTRY(mem_change) next;
	uint64_t seq;
	bool add;
	uint32_t refs;	  /* waiting thread, queue, unanswered requests; under mem.lock */
	uint32_t nb_open; /* unanswered requests, and 1 while it is queued */
	struct mem_run run;
};

static struct {
	pthread_mutex_t lock;
	pthread_cond_t told;
	struct mem_run *runs; /* sorted by va */
	uint32_t nb_runs, size;
	uint64_t seq;	/* of the last change, from 1 */
	uint32_t users; /* mem_life */
	bool ready;
	bool callback; /* registered */
	int event_fd;
	struct vbus_ctl_fd *watch; /* control lock */
	STAILQ_HEAD(, mem_change) changes;
} mem = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.event_fd = -1,
	.changes = STAILQ_HEAD_INITIALIZER(mem.changes),
};

static pthread_mutex_t mem_life = PTHREAD_MUTEX_INITIALIZER; /* get and put */

/* What lcores read: ranges that are contiguous in virtual address. Odd sequence: being
 * written. */
static struct {
	_Atomic uint32_t seq;
	_Atomic uint32_t nb;
	struct {
		_Atomic uintptr_t va;
		_Atomic uint64_t len;
	} range[MEM_RANGES_MAX];
} visible;

/* mem.lock held. */
static void
visible_publish(void)
{
	uint32_t s = atomic_load_explicit(&visible.seq, memory_order_relaxed);
	uint32_t n = 0;
	uintptr_t end = 0;

	/* V1: odd before the ranges change. Partner: the first load of vbus_memory_visible(). */
	atomic_store_explicit(&visible.seq, s + 1, memory_order_relaxed);
	atomic_thread_fence(memory_order_release);
	for (uint32_t i = 0; i < mem.nb_runs; i++) {
		const struct mem_run *r = &mem.runs[i];

		if (n > 0 && r->va == end) {
			uint64_t len = atomic_load_explicit(
				&visible.range[n - 1].len, memory_order_relaxed);

			atomic_store_explicit(
				&visible.range[n - 1].len, len + r->len, memory_order_relaxed);
		} else if (n < MEM_RANGES_MAX) {
			atomic_store_explicit(&visible.range[n].va, r->va, memory_order_relaxed);
			atomic_store_explicit(&visible.range[n].len, r->len, memory_order_relaxed);
			n++;
		} else {
			break;
		}
		end = r->va + r->len;
	}
	atomic_store_explicit(&visible.nb, n, memory_order_relaxed);
	/* V2: the ranges are written before it is even again. Partner: the same acquire load. */
	atomic_store_explicit(&visible.seq, s + 2, memory_order_release);
}

bool
vbus_memory_visible(const void *va, size_t len)
{
	const uintptr_t p = (uintptr_t)va;
	uint32_t s, n;
	bool found;

	do {
		s = atomic_load_explicit(&visible.seq, memory_order_acquire); /* V2 */
		n = atomic_load_explicit(&visible.nb, memory_order_relaxed);
		found = false;
		for (uint32_t i = 0; i < n && i < MEM_RANGES_MAX && !found; i++) {
			uint64_t off = p - atomic_load_explicit(
						   &visible.range[i].va, memory_order_relaxed);
			uint64_t room = atomic_load_explicit(
				&visible.range[i].len, memory_order_relaxed);

			found = off < room && len <= room - off;
		}
		/* V1: the loads above are done before the counter is compared. */
		atomic_thread_fence(memory_order_acquire);
	} while ((s & 1) != 0 || s != atomic_load_explicit(&visible.seq, memory_order_relaxed));
	return found;
}

/* ---- the table ----------------------------------------------------------------------------- */

/* Can b, which begins where a ends, be part of the same DMA_MAP? */
static bool
run_follows(const struct mem_run *a, const struct mem_run *b)
{
	return a->va + a->len == b->va && a->iova + a->len == b->iova && a->fd == b->fd &&
	       a->offset + a->len == b->offset;
}

static int
runs_reserve(uint32_t nb)
{
	struct mem_run *runs;
	uint32_t size = mem.size == 0 ? 64 : mem.size;

	while (size < nb)
		size *= 2;
	if (size == mem.size)
		return 0;
	runs = realloc(mem.runs, size * sizeof(*runs));
	if (runs == NULL)
		return -ENOMEM;
	mem.runs = runs;
	mem.size = size;
	return 0;
}

static int
runs_insert(const struct mem_run *r)
{
	uint32_t i = mem.nb_runs;

	if (runs_reserve(mem.nb_runs + 1) != 0)
		return -ENOMEM;
	while (i > 0 && mem.runs[i - 1].va > r->va)
		i--;
	if (i > 0 && run_follows(&mem.runs[i - 1], r)) {
		mem.runs[i - 1].len += r->len;
		return 0;
	}
	memmove(&mem.runs[i + 1], &mem.runs[i], (mem.nb_runs - i) * sizeof(*r));
	mem.runs[i] = *r;
	mem.nb_runs++;
	return 0;
}

/* The first run that has a part in [va, end), or NULL. */
static struct mem_run *
runs_overlap(uintptr_t va, uintptr_t end)
{
	for (uint32_t i = 0; i < mem.nb_runs; i++)
		if (mem.runs[i].va < end && mem.runs[i].va + mem.runs[i].len > va)
			return &mem.runs[i];
	return NULL;
}

/* Take [va, va + len) out; what is left of a run on either side stays. */
static void
runs_remove(uintptr_t va, uint64_t len)
{
	const uintptr_t end = va + len;
	struct mem_run *r, head, tail;

	while ((r = runs_overlap(va, end)) != NULL) {
		head = tail = *r;
		memmove(r, r + 1, (size_t)(&mem.runs[mem.nb_runs] - (r + 1)) * sizeof(*r));
		mem.nb_runs--;
		if (head.va < va) {
			head.len = va - head.va;
			(void)runs_insert(&head); /* there is room: one was taken out */
		}
		if (tail.va + tail.len > end) {
			uint64_t cut = end - tail.va;

			tail.va += cut;
			tail.iova += cut;
			tail.offset += cut;
			tail.len -= cut;
			if (runs_insert(&tail) != 0)
				BUS_LOG(ERR,
					"memory: no room for the rest of a segment: it is copied");
		}
	}
}

/* A page of EAL's as a run. @return false: the peer cannot have it. EAL's memory lock is held. */
static bool
run_of(const struct rte_memseg *ms, struct mem_run *r)
{
	size_t offset = 0;
	int fd = rte_memseg_get_fd_thread_unsafe(ms);

	if (fd < 0 || rte_memseg_get_fd_offset_thread_unsafe(ms, &offset) < 0 ||
		ms->iova == RTE_BAD_IOVA)
		return false;
	*r = (struct mem_run){
		.va = (uintptr_t)ms->addr,
		.len = ms->len,
		.iova = ms->iova,
		.offset = offset,
		.fd = fd,
	};
	return true;
}

static int
walk_add(const struct rte_memseg_list *msl, const struct rte_memseg *ms, void *arg)
{
	struct mem_run r;

	(void)arg;
	if (msl->external || !run_of(ms, &r))
		return 0;
	/* Pages come in order of address nearly always: compare with the last first.
 */
	if (mem.nb_runs > 0 && run_follows(&mem.runs[mem.nb_runs - 1], &r)) {
		mem.runs[mem.nb_runs - 1].len += r.len;
		return 0;
	}
	return runs_insert(&r);
}

/* ---- telling the peers: control thread ----------------------------------------------------- */

/* mem.lock held. */
static void
change_unref(struct mem_change *c)
{
	if (--c->refs == 0)
		free(c);
}

/* A peer has answered, or is gone. */
static void
change_answered(void *arg)
{
	struct mem_change *c = arg;

	pthread_mutex_lock(&mem.lock);
	if (--c->nb_open == 0)
		pthread_cond_broadcast(&mem.told);
	change_unref(c);
	pthread_mutex_unlock(&mem.lock);
}

static void
change_tell(struct rte_vbus_link *link, struct mem_change *c)
{
	const struct mem_run *r = &c->run;
	int ret;

	if (link->ops->map == NULL || link->mem_seq == 0 || link->mem_seq >= c->seq)
		return;
	link->mem_seq = c->seq;
	pthread_mutex_lock(&mem.lock);
	c->nb_open++;
	c->refs++;
	pthread_mutex_unlock(&mem.lock);
	if (c->add)
		ret = link->ops->map(link, r->iova, r->len, r->fd, r->offset, change_answered, c);
	else
		ret = link->ops->unmap(link, r->iova, r->len, change_answered, c);
	if (ret != 0)
		change_answered(c);
}

static void
changes_handle(int fd, uint32_t events, void *arg)
{
	struct rte_vbus_link *link;
	struct mem_change *c;
	uint64_t n;

	(void)events;
	(void)arg;
	if (read(fd, &n, sizeof(n)) < 0 && errno != EAGAIN)
		return;
	for (;;) {
		pthread_mutex_lock(&mem.lock);
		c = STAILQ_FIRST(&mem.changes);
		if (c != NULL)
			STAILQ_REMOVE_HEAD(&mem.changes, next);
		pthread_mutex_unlock(&mem.lock);
		if (c == NULL)
			return;
		TAILQ_FOREACH (link, &vbus_links, next)
			change_tell(link, c);
		change_answered(c); /* the queue's own share */
	}
}

int
vbus_memory_map_all(struct rte_vbus_link *link,
	int (*fn)(struct rte_vbus_link *link, uint64_t iova, uint64_t len, int fd, uint64_t offset))
{
	int ret = 0;

	pthread_mutex_lock(&mem.lock);
	for (uint32_t i = 0; i < mem.nb_runs && ret == 0; i++) {
		const struct mem_run *r = &mem.runs[i];

		ret = fn(link, r->iova, r->len, r->fd, r->offset);
	}
	link->mem_seq = mem.seq;
	pthread_mutex_unlock(&mem.lock);
	return ret;
}

/* ---- EAL's side ---------------------------------------------------------------------------- */

/* Queue one change, in the caller's list of what it waits for. mem.lock held.
 */
static struct mem_change *
change_new(const struct mem_run *r, bool add)
{
	struct mem_change *c = calloc(1, sizeof(*c));

	if (c == NULL) {
		BUS_LOG(ERR, "memory: no room to tell the peers of %s memory",
			add ? "new" : "freed");
		return NULL;
	}
	c->run = *r;
	c->add = add;
	c->seq = ++mem.seq;
	c->refs = 2; /* queue and waiter */
	c->nb_open = 1;
	STAILQ_INSERT_TAIL(&mem.changes, c, next);
	return c;
}

/* Changes are told in order, so the last one is enough to wait for the telling; answers of
 * earlier ones come before its own. mem.lock held. */
static void
change_wait(struct mem_change *c)
{
	struct timespec ts;
	int ret = 0;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	ts.tv_nsec += (long)MEM_WAIT_NS;
	if (ts.tv_nsec >= 1000000000L) {
		ts.tv_sec++;
		ts.tv_nsec -= 1000000000L;
	}
	while (c->nb_open > 0 && ret == 0)
		ret = pthread_cond_timedwait(&mem.told, &mem.lock, &ts);
	if (c->nb_open > 0)
		BUS_LOG(WARNING, "memory: a peer did not answer in 200 ms for %s memory",
			c->add ? "new" : "freed");
}

/* Collect the pages of [addr, addr + len) in runs; the table and the list of changes follow. */
static struct mem_change *
changes_collect(uintptr_t addr, size_t len, bool add)
{
	const struct rte_memseg_list *msl = rte_mem_virt2memseg_list((const void *)addr);
	struct mem_change *last = NULL, *c;
	struct mem_run run = {0}, r;
	bool have = false;

	if (msl == NULL || msl->external)
		return NULL;
	for (uintptr_t p = addr; p < addr + len; p += msl->page_sz) {
		const struct rte_memseg *ms = rte_mem_virt2memseg((const void *)p, msl);
		bool ok = ms != NULL && run_of(ms, &r);

		if (ok && have && run_follows(&run, &r)) {
			run.len += r.len;
			continue;
		}
		if (have && (c = change_new(&run, add)) != NULL) {
			if (last != NULL)
				change_unref(last);
			last = c;
			if (add)
				(void)runs_insert(&run);
		}
		have = ok;
		run = r;
	}
	if (have && (c = change_new(&run, add)) != NULL) {
		if (last != NULL)
			change_unref(last);
		last = c;
		if (add)
			(void)runs_insert(&run);
	}
	if (!add)
		runs_remove(addr, len);
	return last;
}

static void
mem_event(enum rte_mem_event type, const void *addr, size_t len, void *arg)
{
	const uint64_t one = 1;
	struct mem_change *last;

	(void)arg;
	pthread_mutex_lock(&mem.lock);
	if (!mem.ready) {
		pthread_mutex_unlock(&mem.lock);
		return;
	}
	last = changes_collect((uintptr_t)addr, len, type == RTE_MEM_EVENT_ALLOC);
	visible_publish();
	if (last != NULL) {
		if (write(mem.event_fd, &one, sizeof(one)) < 0)
			BUS_LOG(ERR, "memory: cannot wake the control thread: %s", strerror(errno));
		if (!vbus_ctl_locked())
			change_wait(last);
		change_unref(last);
	}
	pthread_mutex_unlock(&mem.lock);
}

static void
told_init(void)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&mem.told, &attr);
	pthread_condattr_destroy(&attr);
}

static int
mem_start(void)
{
	int ret = 0;

	told_init();
	mem.event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (mem.event_fd < 0)
		return -errno;
	vbus_ctl_lock();
	mem.watch = vbus_ctl_fd_add(mem.event_fd, EPOLLIN, changes_handle, NULL);
	if (mem.watch == NULL)
		ret = -errno;
	vbus_ctl_unlock();
	if (ret != 0)
		goto err_close;
	/* Refused with legacy memory, which never grows: then the walk below is all.
 */
	mem.callback = rte_mem_event_callback_register(MEM_CALLBACK, mem_event, NULL) == 0;
	/* With EAL's lock held no event comes between the walk and `ready`. */
	rte_mcfg_mem_read_lock();
	pthread_mutex_lock(&mem.lock);
	mem.seq = 1;
	ret = rte_memseg_walk_thread_unsafe(walk_add, NULL);
	mem.ready = ret == 0;
	visible_publish();
	pthread_mutex_unlock(&mem.lock);
	rte_mcfg_mem_read_unlock();
	if (ret == 0)
		return 0;
	if (mem.callback)
		rte_mem_event_callback_unregister(MEM_CALLBACK, NULL);
	vbus_ctl_lock();
	vbus_ctl_fd_del(mem.watch);
	vbus_ctl_unlock();
err_close:
	close(mem.event_fd);
	mem.event_fd = -1;
	return ret < 0 ? ret : -ENOMEM;
}

static void
mem_stop(void)
{
	struct mem_change *c;

	if (mem.callback)
		rte_mem_event_callback_unregister(MEM_CALLBACK, NULL);
	vbus_ctl_lock();
	vbus_ctl_fd_del(mem.watch);
	mem.watch = NULL;
	vbus_ctl_unlock();
	pthread_mutex_lock(&mem.lock);
	mem.ready = false;
	while ((c = STAILQ_FIRST(&mem.changes)) != NULL) {
		STAILQ_REMOVE_HEAD(&mem.changes, next);
		change_unref(c);
	}
	free(mem.runs);
	mem.runs = NULL;
	mem.nb_runs = mem.size = 0;
	visible_publish();
	pthread_mutex_unlock(&mem.lock);
	close(mem.event_fd);
	mem.event_fd = -1;
	pthread_cond_destroy(&mem.told);
}

int
vbus_memory_get(void)
{
	int ret;

	pthread_mutex_lock(&mem_life);
	ret = mem.users == 0 ? mem_start() : 0;
	if (ret == 0)
		mem.users++;
	pthread_mutex_unlock(&mem_life);
	return ret;
}

void
vbus_memory_put(void)
{
	pthread_mutex_lock(&mem_life);
	if (--mem.users == 0)
		mem_stop();
	pthread_mutex_unlock(&mem_life);
}
