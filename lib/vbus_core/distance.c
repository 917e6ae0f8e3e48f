/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * A test mode that shows the cost of distance (ADR-0018): what is far of a window is mapped without
 * access, so that each instruction that touches it traps, whoever it belongs to. The trap counts it,
 * lets a read wait as a read across a link does, lifts the protection, has the one instruction run
 * (the processor's trap flag), and protects the page again.
 *
 * Nothing is compiled in for it: who does not ask for it pays nothing. An instruction that follows waits
 * for its predecessor, so writes arrive in the order of the program, and a read comes after all of them.
 * Another thread that touches the page in the few microseconds between the two traps is not counted.
 *
 * Threads: vbus_distance_add() and _del() under the control lock; the handlers run on any thread.
 */

#include "vbus_distance.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <ucontext.h>

#include "vbus_log.h"

#define RANGES 64u

struct range {
	_Atomic uintptr_t start;
	_Atomic size_t len; /* 0: free */
	_Atomic size_t page;
};

static struct range ranges[RANGES];
static _Atomic uint64_t nb_reads, nb_writes, last_read;
static uint64_t delay_ns;

uint64_t
vbus_distance_ns(void)
{
	const char *s = getenv("VBUS_WINDOW_DISTANCE");

	return s != NULL ? strtoull(s, NULL, 10) : 0;
}

void
vbus_distance_info(struct vbus_distance_info *info)
{
	info->delay_ns = delay_ns;
	info->nb_reads = atomic_load_explicit(&nb_reads, memory_order_relaxed);
	info->nb_writes = atomic_load_explicit(&nb_writes, memory_order_relaxed);
	info->last_read = atomic_load_explicit(&last_read, memory_order_relaxed);
}

#ifdef __x86_64__

#define TRAP_FLAG   0x100
#define FAULT_WRITE 0x2
#define PAGES	    4u /* an instruction touches two pages of a range, or of two ranges */

static struct sigaction old_segv, old_trap;
static bool installed;

/* What this thread's instruction in single step has opened. In the handler, so not allocated late. */
static __thread __attribute__((tls_model("initial-exec"))) struct {
	uintptr_t page[PAGES];
	size_t len[PAGES];
	uint32_t nb;
} step;

static const struct range *
find(uintptr_t addr)
{
	for (uint32_t i = 0; i < RANGES; i++) {
		const struct range *r = &ranges[i];
		/* Acquire: start and page of this length. Partner: vbus_distance_add(). */
		size_t len = atomic_load_explicit(&r->len, memory_order_acquire);

		if (addr - atomic_load_explicit(&r->start, memory_order_relaxed) < len)
			return r;
	}
	return NULL;
}

static void
wait_ns(uint64_t ns)
{
	struct timespec t;
	uint64_t end, now;

	clock_gettime(CLOCK_MONOTONIC, &t);
	end = (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec + ns;
	do {
		clock_gettime(CLOCK_MONOTONIC, &t);
		now = (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
	} while (now < end);
}

static void
chain(const struct sigaction *old, int sig, siginfo_t *info, void *context)
{
	if ((old->sa_flags & SA_SIGINFO) != 0)
		old->sa_sigaction(sig, info, context);
	else if (old->sa_handler != SIG_DFL && old->sa_handler != SIG_IGN)
		old->sa_handler(sig);
	else
		signal(sig, SIG_DFL); /* a fault comes again */
}

static void
on_segv(int sig, siginfo_t *info, void *context)
{
	ucontext_t *u = context;
	uintptr_t addr = (uintptr_t)info->si_addr, page;
	const struct range *r = find(addr);
	bool again = false;
	int saved = errno;

	if (r == NULL || step.nb == PAGES) {
		chain(&old_segv, sig, info, context);
		errno = saved;
		return;
	}
	page = addr & ~(atomic_load_explicit(&r->page, memory_order_relaxed) - 1);
	/* Another thread has protected the page again before our instruction was through. */
	for (uint32_t i = 0; i < step.nb; i++)
		again |= step.page[i] == page;
	if (!again && (u->uc_mcontext.gregs[REG_ERR] & FAULT_WRITE) != 0) {
		atomic_fetch_add_explicit(&nb_writes, 1, memory_order_relaxed);
	} else if (!again) {
		atomic_fetch_add_explicit(&nb_reads, 1, memory_order_relaxed);
		atomic_store_explicit(&last_read,
			addr - atomic_load_explicit(&r->start, memory_order_relaxed),
			memory_order_relaxed);
		wait_ns(delay_ns);
	}
	if (!again) {
		step.page[step.nb] = page;
		step.len[step.nb++] = atomic_load_explicit(&r->page, memory_order_relaxed);
	}
	mprotect((void *)page, atomic_load_explicit(&r->page, memory_order_relaxed),
		PROT_READ | PROT_WRITE);
	/* A thread of ours blocks what it can; a trap that is blocked kills. */
	sigdelset(&u->uc_sigmask, SIGTRAP);
	u->uc_mcontext.gregs[REG_EFL] |= TRAP_FLAG;
	errno = saved;
}

static void
on_trap(int sig, siginfo_t *info, void *context)
{
	ucontext_t *u = context;
	int saved = errno;

	if (step.nb == 0) {
		chain(&old_trap, sig, info, context);
		errno = saved;
		return;
	}
	while (step.nb > 0) {
		step.nb--;
		if (find(step.page[step.nb]) != NULL)
			mprotect((void *)step.page[step.nb], step.len[step.nb], PROT_NONE);
	}
	u->uc_mcontext.gregs[REG_EFL] &= ~TRAP_FLAG;
	errno = saved;
}

static int
install(void)
{
	struct sigaction segv = {.sa_sigaction = on_segv, .sa_flags = SA_SIGINFO | SA_ONSTACK};
	struct sigaction trap = {.sa_sigaction = on_trap, .sa_flags = SA_SIGINFO | SA_ONSTACK};

	if (installed)
		return 0;
	/* No other signal between the two traps. */
	sigfillset(&segv.sa_mask);
	sigfillset(&trap.sa_mask);
	if (sigaction(SIGSEGV, &segv, &old_segv) != 0 || sigaction(SIGTRAP, &trap, &old_trap) != 0)
		return -errno;
	installed = true;
	return 0;
}

int
vbus_distance_add(void *va, size_t len, size_t page, uint64_t ns)
{
	struct range *r = ranges;
	int ret = install();

	if (ret != 0)
		return ret;
	while (r < ranges + RANGES && atomic_load_explicit(&r->len, memory_order_relaxed) != 0)
		r++;
	if (r == ranges + RANGES)
		return -ENOSPC;
	delay_ns = ns;
	atomic_store_explicit(&r->start, (uintptr_t)va, memory_order_relaxed);
	atomic_store_explicit(&r->page, page, memory_order_relaxed);
	/* Release: partner: the acquire in find(). */
	atomic_store_explicit(&r->len, len, memory_order_release);
	VBUS_LOG(NOTICE, "window: %zu bytes are far, a read takes %llu ns more (a test mode)", len,
		(unsigned long long)ns);
	return mprotect(va, len, PROT_NONE) == 0 ? 0 : -errno;
}

void
vbus_distance_del(const void *va)
{
	for (uint32_t i = 0; i < RANGES; i++)
		if (atomic_load_explicit(&ranges[i].start, memory_order_relaxed) == (uintptr_t)va)
			atomic_store_explicit(&ranges[i].len, 0, memory_order_relaxed);
}

#else

int
vbus_distance_add(void *va, size_t len, size_t page, uint64_t ns)
{
	(void)va;
	(void)len;
	(void)page;
	(void)ns;
	return -ENOTSUP;
}

void
vbus_distance_del(const void *va)
{
	(void)va;
}

#endif
