/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * A test mode that shows the cost of distance (ADR-0018): what is far of a window is mapped without access, so that
 * each instruction that touches it traps, whoever it belongs to. The trap counts it, and has it run once with another
 * base register (the processor's trap flag):
 *
 *   a read      waits as a read across a link does, and for the writes before it; it runs on a second mapping
 *   a write     runs in a scratch place, twice with different bytes there before, which shows what it writes: that
 *               is on its way then (distance_posted.c), and the thread goes on
 *   another     (it reads and writes, or its operand cannot be moved) waits for the writes before it, and runs where
 *               it is, on a page that is open for the moment
 *
 * Nothing is compiled in for it: who does not ask for it pays nothing.
 *
 * Threads: vbus_distance_add(), _again() and _del() under the control lock; the handlers run on any thread.
 */

#include "vbus_distance.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <ucontext.h>

#include "distance_priv.h"
#include "vbus_log.h"

static _Atomic uint64_t nb_reads, nb_writes, nb_direct, last_read;
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
	info->nb_direct = atomic_load_explicit(&nb_direct, memory_order_relaxed);
	info->last_read = atomic_load_explicit(&last_read, memory_order_relaxed);
}

#ifdef __x86_64__

#define RANGES	    64u
#define TRAP_FLAG   0x100
#define FAULT_WRITE 0x2
#define THREADS	    256u
#define PAGES	    4u /* an instruction touches two pages of a range, or of two ranges */
#define LINE	    64u
#define SCRATCH	    (4 * LINE) /* an operand that begins in the second line, or before */

struct range {
	_Atomic uintptr_t start;
	_Atomic size_t len; /* 0: free */
	_Atomic size_t page;
	_Atomic uintptr_t real; /* the same memory, with access */
	int sigbus;
};

static struct range ranges[RANGES];
static struct sigaction old_segv, old_trap;
static bool installed;

enum how {
	NONE,
	DIRECT,	   /* pages are open */
	MOVED,	   /* it reads the second mapping */
	FIRST_RUN, /* it writes the scratch place */
	SECOND_RUN,
};

/* A thread's instruction in single step. */
struct step {
	enum how how;
	uintptr_t page[PAGES];
	size_t len[PAGES];
	uint32_t nb;
	struct vbus_far_operand operand;
	greg_t *base;
	greg_t was, moved;
	gregset_t before;
	uintptr_t addr;
	uint8_t *to; /* where the scratch place's begin would be */
	_Alignas(LINE) uint8_t scratch[SCRATCH];
	uint8_t first[SCRATCH];
};

/* One for every thread that ever touched what is far: nothing is allocated in a handler. */
static struct step steps[THREADS];
static _Atomic uint32_t nb_steps;
static __thread __attribute__((tls_model("initial-exec"))) struct step *mine;

static struct range *
find(uintptr_t addr)
{
	for (uint32_t i = 0; i < RANGES; i++) {
		struct range *r = &ranges[i];
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
	const uint64_t end = vbus_far_now_ns() + ns;

	while (vbus_far_now_ns() < end)
		;
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

/* ---- an instruction -------------------------------------------------------------------------------- */

static greg_t *
reg_of(gregset_t *g, uint8_t number)
{
	static const int regs[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI,
		REG_RDI, REG_R8, REG_R9, REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};

	return &(*g)[regs[number]];
}

static void
move_base(gregset_t *g, uintptr_t delta)
{
	mine->base = reg_of(g, mine->operand.base);
	mine->was = *mine->base;
	mine->moved = *mine->base = (greg_t)((uintptr_t)mine->was + delta);
}

/* The base as it would be without us: a load may have replaced it, a string instruction has moved it. */
static void
move_back(gregset_t *g)
{
	mine->base = reg_of(g, mine->operand.base);
	if (mine->operand.string)
		*mine->base += mine->was - mine->moved;
	else if (*mine->base == mine->moved)
		*mine->base = mine->was;
}

/* Aligned as the operand is. */
static void
run_in_scratch(gregset_t *g, uintptr_t addr, uint8_t fill)
{
	memset(mine->scratch, fill, sizeof(mine->scratch));
	move_base(g, (uintptr_t)mine->scratch + LINE + addr % LINE - addr);
}

/* Bytes that are the same after both runs were written: what lay there before was not. */
static void
post_written(void)
{
	struct vbus_posted w = {.due_ns = vbus_far_now_ns() + delay_ns};
	uint32_t i, n;

	for (i = 0; i < SCRATCH; i += n) {
		if (mine->scratch[i] != mine->first[i]) {
			n = 1;
			continue;
		}
		w.to = mine->to + i;
		w.mask = 0;
		for (n = 0; n < VBUS_POSTED_BYTES && i + n < SCRATCH; n++) {
			w.data[n] = mine->scratch[i + n];
			if (mine->scratch[i + n] == mine->first[i + n])
				w.mask |= 1ull << n;
		}
		vbus_posted_push(&w);
	}
}

static void
open_page(const struct range *r, uintptr_t addr)
{
	const size_t len = atomic_load_explicit(&r->page, memory_order_relaxed);
	const uintptr_t page = addr & ~(len - 1);
	bool again = false;

	/* Another thread has protected the page again before our instruction was through. */
	for (uint32_t i = 0; i < mine->nb; i++)
		again |= mine->page[i] == page;
	if (!again && mine->nb < PAGES) {
		mine->page[mine->nb] = page;
		mine->len[mine->nb++] = len;
	}
	mprotect((void *)page, len, PROT_READ | PROT_WRITE);
}

/* The instruction's first fault: how will it run? */
static void
begin(const struct range *r, uintptr_t addr, ucontext_t *u)
{
	const uintptr_t start = atomic_load_explicit(&r->start, memory_order_relaxed);
	const uintptr_t real = atomic_load_explicit(&r->real, memory_order_relaxed);
	const bool write = (u->uc_mcontext.gregs[REG_ERR] & FAULT_WRITE) != 0;
	const uint8_t *insn = (const uint8_t *)(uintptr_t)u->uc_mcontext.gregs[REG_RIP];
	const bool movable = vbus_far_operand(insn, write, &mine->operand);

	atomic_fetch_add_explicit(write ? &nb_writes : &nb_reads, 1, memory_order_relaxed);
	if (movable && mine->operand.is_posted) {
		mine->how = FIRST_RUN;
		memcpy(&mine->before, &u->uc_mcontext.gregs, sizeof(mine->before));
		mine->addr = addr;
		mine->to = (uint8_t *)(real + (addr - start) - addr % LINE - LINE);
		run_in_scratch(&u->uc_mcontext.gregs, addr, 0x55);
		return;
	}
	vbus_posted_drain();
	if (!write) {
		atomic_store_explicit(&last_read, addr - start, memory_order_relaxed);
		wait_ns(delay_ns);
	}
	if (movable) {
		mine->how = MOVED;
		move_base(&u->uc_mcontext.gregs, real - start);
		return;
	}
	atomic_fetch_add_explicit(&nb_direct, 1, memory_order_relaxed);
	mine->how = DIRECT;
	open_page(r, addr);
}

static void
on_segv(int sig, siginfo_t *info, void *context)
{
	ucontext_t *u = context;
	uintptr_t addr = (uintptr_t)info->si_addr;
	const struct range *r = find(addr);
	int saved = errno;

	if (r != NULL && mine == NULL) {
		uint32_t n = atomic_fetch_add_explicit(&nb_steps, 1, memory_order_relaxed);

		mine = n < THREADS ? &steps[n] : NULL;
	}
	if (r == NULL || mine == NULL || (mine->how != NONE && mine->how != DIRECT) ||
		mine->nb == PAGES) {
		chain(&old_segv, sig, info, context);
		errno = saved;
		return;
	}
	if (mine->how == NONE)
		begin(r, addr, u);
	else
		open_page(r, addr);
	/* A thread of ours blocks what it can; a trap that is blocked kills. */
	sigdelset(&u->uc_sigmask, SIGTRAP);
	u->uc_mcontext.gregs[REG_EFL] |= TRAP_FLAG;
	errno = saved;
}

static void
close_pages(void)
{
	while (mine->nb > 0) {
		mine->nb--;
		if (find(mine->page[mine->nb]) != NULL)
			mprotect((void *)mine->page[mine->nb], mine->len[mine->nb], PROT_NONE);
	}
}

static void
on_trap(int sig, siginfo_t *info, void *context)
{
	ucontext_t *u = context;
	gregset_t *g = &u->uc_mcontext.gregs;
	int saved = errno;

	switch (mine != NULL ? mine->how : NONE) {
	case NONE:
		chain(&old_trap, sig, info, context);
		errno = saved;
		return;
	case FIRST_RUN:
		mine->how = SECOND_RUN;
		memcpy(mine->first, mine->scratch, sizeof(mine->first));
		memcpy(g, &mine->before, sizeof(mine->before));
		run_in_scratch(g, mine->addr, 0xaa);
		(*g)[REG_EFL] |= TRAP_FLAG;
		errno = saved;
		return;
	case SECOND_RUN:
		move_back(g);
		post_written();
		break;
	case MOVED:
		move_back(g);
		break;
	case DIRECT:
		close_pages();
		break;
	}
	mine->how = NONE;
	(*g)[REG_EFL] &= ~TRAP_FLAG;
	errno = saved;
}

static int
install(void)
{
	struct sigaction segv = {.sa_sigaction = on_segv, .sa_flags = SA_SIGINFO | SA_ONSTACK};
	struct sigaction trap = {.sa_sigaction = on_trap, .sa_flags = SA_SIGINFO | SA_ONSTACK};

	if (installed)
		return 0;
	/* No other signal between the two traps; but the window may be cut short under us. */
	sigfillset(&segv.sa_mask);
	sigdelset(&segv.sa_mask, SIGBUS);
	trap.sa_mask = segv.sa_mask;
	if (sigaction(SIGSEGV, &segv, &old_segv) != 0 || sigaction(SIGTRAP, &trap, &old_trap) != 0)
		return -errno;
	installed = true;
	return 0;
}

/* ---- ranges ---------------------------------------------------------------------------------------- */

int
vbus_distance_add(void *va, size_t len, size_t page, uint64_t ns, struct vbus_sigbus_flag *fault)
{
	struct range *r = ranges;
	void *real;
	int ret = install();

	if (ret == 0)
		ret = vbus_posted_begin();
	if (ret != 0)
		return ret;
	while (r < ranges + RANGES && atomic_load_explicit(&r->len, memory_order_relaxed) != 0)
		r++;
	if (r == ranges + RANGES)
		return -ENOSPC;
	/* A size of 0: a second mapping of the same memory. */
	real = mremap(va, 0, len, MREMAP_MAYMOVE);
	if (real == MAP_FAILED)
		return -errno;
	r->sigbus = vbus_sigbus_add(real, len, fault);
	if (r->sigbus < 0) {
		munmap(real, len);
		return r->sigbus;
	}
	delay_ns = ns;
	atomic_store_explicit(&r->start, (uintptr_t)va, memory_order_relaxed);
	atomic_store_explicit(&r->real, (uintptr_t)real, memory_order_relaxed);
	atomic_store_explicit(&r->page, page, memory_order_relaxed);
	/* Release: partner: the acquire in find(). */
	atomic_store_explicit(&r->len, len, memory_order_release);
	VBUS_LOG(NOTICE, "window: %zu bytes are far, a read takes %llu ns more (a test mode)", len,
		(unsigned long long)ns);
	return mprotect(va, len, PROT_NONE) == 0 ? 0 : -errno;
}

void
vbus_distance_again(void *va)
{
	struct range *r = find((uintptr_t)va);
	size_t len;

	if (r == NULL)
		return;
	len = atomic_load_explicit(&r->len, memory_order_relaxed);
	vbus_posted_drain(); /* to the old one */
	if (mremap(va, 0, len, MREMAP_MAYMOVE | MREMAP_FIXED, (void *)r->real) == MAP_FAILED)
		VBUS_LOG(ERR, "window: far memory: %s", strerror(errno));
	mprotect(va, len, PROT_NONE);
}

void
vbus_distance_del(void *va)
{
	struct range *r = find((uintptr_t)va);
	size_t len;

	if (r == NULL)
		return;
	len = atomic_load_explicit(&r->len, memory_order_relaxed);
	/* What was written on the way out arrives. */
	vbus_posted_drain();
	atomic_store_explicit(&r->len, 0, memory_order_relaxed);
	vbus_sigbus_del(r->sigbus);
	munmap((void *)r->real, len);
}

#else

int
vbus_distance_add(void *va, size_t len, size_t page, uint64_t ns, struct vbus_sigbus_flag *fault)
{
	(void)va;
	(void)len;
	(void)page;
	(void)ns;
	(void)fault;
	return -ENOTSUP;
}

void
vbus_distance_again(void *va)
{
	(void)va;
}

void
vbus_distance_del(void *va)
{
	(void)va;
}

#endif
