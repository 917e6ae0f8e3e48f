/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * The chained SIGBUS handler and its table of ranges (DECISIONS 18, ADR-0004).
 *
 * Threads: the table is written under the control lock. handler() runs on any thread that touched a
 * page that is gone, lcores included: it loads atomics and makes two system calls (mmap, write).
 * Chunks of the table are never freed, so it needs no lock to walk them.
 *
 * Each slot is a sequence lock: a slot that is being changed cannot be the one the handler looks
 * for, because mappings are guarded before they are used and until their readers left.
 */

#include "vbus_sigbus.h"

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vbus_log.h"

#define CHUNK_SLOTS 1024u
#define MAX_CHUNKS  256u

struct slot {
	_Atomic uint32_t seq; /* odd: being changed */
	int32_t next_free;    /* control side only; -1: the last */
	_Atomic uintptr_t start;
	_Atomic size_t len; /* 0: free */
	_Atomic(struct vbus_sigbus_flag *) flag;
};

struct chunk {
	struct slot slots[CHUNK_SLOTS];
};

static _Atomic(struct chunk *) chunks[MAX_CHUNKS];
static _Atomic uint32_t nb_chunks;
static int32_t first_free = -1;

static atomic_int hit_fd = -1;
static bool installed;
static struct sigaction old_action; /* written before the handler is installed */

/* ---- in the signal handler ------------------------------------------------------------------- */

struct range {
	uintptr_t start;
	size_t len;
	struct vbus_sigbus_flag *flag;
};

static bool
slot_read(struct slot *s, struct range *r)
{
	/* Pairs with the release of slot_write() (L1): fields at least as new as this number. */
	uint32_t seq = atomic_load_explicit(&s->seq, memory_order_acquire);

	if ((seq & 1) != 0)
		return false;
	/* Each pairs with its release in slot_write() (L0): who sees a newer field sees the odd
	 * number, or a later one, below. */
	r->start = atomic_load_explicit(&s->start, memory_order_acquire);
	r->len = atomic_load_explicit(&s->len, memory_order_acquire);
	r->flag = atomic_load_explicit(&s->flag, memory_order_acquire);
	return atomic_load_explicit(&s->seq, memory_order_relaxed) == seq;
}

static bool
find(uintptr_t addr, struct range *r)
{
	/* Pairs with the release in table_grow(): chunks below are there. */
	uint32_t nb = atomic_load_explicit(&nb_chunks, memory_order_acquire);

	for (uint32_t c = 0; c < nb; c++) {
		struct chunk *chunk = atomic_load_explicit(&chunks[c], memory_order_relaxed);

		for (uint32_t i = 0; i < CHUNK_SLOTS; i++) {
			if (slot_read(&chunk->slots[i], r) && addr - r->start < r->len)
				return true;
		}
	}
	return false;
}

static bool
replace(uintptr_t addr)
{
	uint64_t one = 1;
	struct range r;

	if (!find(addr, &r))
		return false;
	/* The whole range: what still exists of the file is not worth a signal for each page. Two
	 * threads may do this at once; the second only makes the pages zero again. */
	if (mmap((void *)r.start, r.len, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0) == MAP_FAILED)
		return false;
	atomic_store_explicit(&r.flag->hit, true, memory_order_release);
	/* A full counter says the same as one more. */
	if (write(atomic_load_explicit(&hit_fd, memory_order_relaxed), &one, sizeof(one)) < 0)
		return true;
	return true;
}

static void
chain(int sig, siginfo_t *info, void *context)
{
	bool fault = info->si_code > 0; /* not kill() */

	if ((old_action.sa_flags & SA_SIGINFO) != 0) {
		old_action.sa_sigaction(sig, info, context);
		return;
	}
	if (old_action.sa_handler != SIG_DFL && old_action.sa_handler != SIG_IGN) {
		old_action.sa_handler(sig);
		return;
	}
	if (!fault && old_action.sa_handler == SIG_IGN)
		return;
	/* The default action; the kernel too ignores nobody's wish to ignore a fault. A fault comes
	 * again when the instruction is repeated, a kill() has to be sent again. */
	signal(sig, SIG_DFL);
	if (!fault)
		raise(sig);
}

static void
handler(int sig, siginfo_t *info, void *context)
{
	int saved = errno;

	if (info->si_code <= 0 || !replace((uintptr_t)info->si_addr))
		chain(sig, info, context);
	errno = saved;
}

/* ---- control side ---------------------------------------------------------------------------- */

static void
slot_write(struct slot *s, uintptr_t start, size_t len, struct vbus_sigbus_flag *flag)
{
	uint32_t seq = atomic_load_explicit(&s->seq, memory_order_relaxed);

	atomic_store_explicit(&s->seq, seq + 1, memory_order_relaxed);
	/* L0: the odd number before each field. Partners: the acquires of slot_read(). */
	atomic_store_explicit(&s->start, start, memory_order_release);
	atomic_store_explicit(&s->len, len, memory_order_release);
	atomic_store_explicit(&s->flag, flag, memory_order_release);
	/* L1: the fields before the even number. Partner: the acquire of slot_read(). */
	atomic_store_explicit(&s->seq, seq + 2, memory_order_release);
}

static struct slot *
slot_at(int32_t i)
{
	struct chunk *chunk = atomic_load_explicit(
		&chunks[(uint32_t)i / CHUNK_SLOTS], memory_order_relaxed);

	return &chunk->slots[(uint32_t)i % CHUNK_SLOTS];
}

static int
table_grow(void)
{
	uint32_t nb = atomic_load_explicit(&nb_chunks, memory_order_relaxed);
	struct chunk *chunk;

	if (nb == MAX_CHUNKS)
		return -ENOSPC;
	chunk = calloc(1, sizeof(*chunk));
	if (chunk == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < CHUNK_SLOTS; i++)
		chunk->slots[i].next_free = (int32_t)(nb * CHUNK_SLOTS + i + 1);
	chunk->slots[CHUNK_SLOTS - 1].next_free = first_free;
	first_free = (int32_t)(nb * CHUNK_SLOTS);
	atomic_store_explicit(&chunks[nb], chunk, memory_order_relaxed);
	/* Pairs with the acquire in find(). */
	atomic_store_explicit(&nb_chunks, nb + 1, memory_order_release);
	return 0;
}

int
vbus_sigbus_add(void *va, size_t len, struct vbus_sigbus_flag *flag)
{
	int32_t i;
	int ret;

	if (first_free < 0) {
		ret = table_grow();
		if (ret != 0)
			return ret;
	}
	i = first_free;
	first_free = slot_at(i)->next_free;
	slot_write(slot_at(i), (uintptr_t)va, len, flag);
	return i;
}

void
vbus_sigbus_resize(int slot, size_t len)
{
	struct slot *s = slot_at(slot);

	slot_write(s, atomic_load_explicit(&s->start, memory_order_relaxed), len,
		atomic_load_explicit(&s->flag, memory_order_relaxed));
}

void
vbus_sigbus_del(int slot)
{
	struct slot *s = slot_at(slot);

	slot_write(s, 0, 0, NULL);
	s->next_free = first_free;
	first_free = slot;
}

int
vbus_sigbus_fd(void)
{
	return atomic_load_explicit(&hit_fd, memory_order_relaxed);
}

static bool
same_action(const struct sigaction *a, const struct sigaction *b)
{
	if (((a->sa_flags ^ b->sa_flags) & SA_SIGINFO) != 0)
		return false;
	return (a->sa_flags & SA_SIGINFO) != 0 ? a->sa_sigaction == b->sa_sigaction
					       : a->sa_handler == b->sa_handler;
}

int
vbus_sigbus_install(void)
{
	struct sigaction now, ours = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_ONSTACK};

	sigemptyset(&ours.sa_mask);
	if (atomic_load_explicit(&hit_fd, memory_order_relaxed) < 0) {
		int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

		if (fd < 0)
			return -errno;
		atomic_store_explicit(&hit_fd, fd, memory_order_relaxed);
	}
	if (sigaction(SIGBUS, NULL, &now) != 0)
		return -errno;
	if (installed) {
		/* EAL sets its own while it adds hugepages and restores what it found: ours may be
		 * lost then. Any other handler was put on top of ours and will chain to it. */
		if (!same_action(&now, &old_action) || same_action(&now, &ours))
			return 0;
	} else {
		old_action = now;
	}
	if (sigaction(SIGBUS, &ours, NULL) != 0)
		return -errno;
	if (!installed)
		VBUS_LOG(INFO, "SIGBUS handler installed");
	installed = true;
	return 0;
}
