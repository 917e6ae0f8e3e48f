/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * A peer shrinks its memory under a reading thread: the thread goes on over zero pages, the owner
 * is told on the control thread, its neighbours keep their memory; and faults elsewhere still do
 * what they did before (in children: the default action, an older handler).
 */

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cu_run.h"
#include "vbus_ctl.h"
#include "vbus_memmap.h"
#include "vbus_sigbus.h"

#define MIB (1024 * 1024ull)
#define MS  1000000ull
#define RW  (VBUS_MEM_READ | VBUS_MEM_WRITE)

struct owner {
	struct vbus_memmap *m;
	int nb_faults;
	bool faulted;
	bool in_control;
};

static int
init(void)
{
	return vbus_ctl_get();
}

static int
cleanup(void)
{
	vbus_ctl_put();
	return 0;
}

static void
on_faulted(void *arg)
{
	struct owner *o = arg;

	o->nb_faults++;
	o->in_control = vbus_ctl_in_control();
	o->faulted = true;
	vbus_ctl_wake();
}

static const struct vbus_memmap_ops ops = {.faulted = on_faulted};

static int
shrinkable(uint64_t size, int byte)
{
	int fd = memfd_create("vbus-test", MFD_CLOEXEC);
	void *p;

	CU_ASSERT_EQUAL_FATAL(ftruncate(fd, (off_t)size), 0);
	p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CU_ASSERT_FATAL(p != MAP_FAILED);
	memset(p, byte, size);
	munmap(p, size);
	return fd;
}

struct reader {
	pthread_t tid;
	const uint8_t *va;
	uint64_t len;
	atomic_bool stop;
	atomic_uint rounds;
	atomic_uint zero_rounds;
};

static void *
read_loop(void *arg)
{
	struct reader *r = arg;

	while (!atomic_load(&r->stop)) {
		uint64_t sum = 0;

		for (uint64_t i = 0; i < r->len; i += 64)
			sum += __atomic_load_n(&r->va[i], __ATOMIC_RELAXED);
		if (sum == 0)
			atomic_fetch_add(&r->zero_rounds, 1);
		atomic_fetch_add(&r->rounds, 1);
	}
	return NULL;
}

static void
reader_start(struct reader *r, const struct vbus_memmap *m, uint64_t iova, uint64_t len)
{
	struct vbus_memcache c = {0};

	r->va = vbus_memview_ptr(vbus_memmap_view(m), &c, iova, len);
	CU_ASSERT_PTR_NOT_NULL_FATAL(r->va);
	r->len = len;
	atomic_store(&r->stop, false);
	atomic_store(&r->rounds, 0);
	atomic_store(&r->zero_rounds, 0);
	CU_ASSERT_EQUAL_FATAL(pthread_create(&r->tid, NULL, read_loop, r), 0);
	while (atomic_load(&r->rounds) < 3)
		usleep(100);
}

static void
reader_stop(struct reader *r)
{
	atomic_store(&r->stop, true);
	pthread_join(r->tid, NULL);
}

static void
test_truncate(void)
{
	struct owner a = {0}, b = {0};
	struct reader ra = {0}, ra2 = {0}, rb = {0};
	int fa = shrinkable(2 * MIB, 1), fa2 = shrinkable(2 * MIB, 2), fb = shrinkable(MIB, 3);
	struct vbus_memcache c = {0};
	uint8_t byte = 9;

	vbus_ctl_lock();
	a.m = vbus_memmap_create(&ops, &a, false);
	b.m = vbus_memmap_create(&ops, &b, false);
	/* two neighbours of one link, and another link */
	CU_ASSERT_EQUAL(vbus_memmap_add(a.m, 0, 2 * MIB, dup(fa), 0, RW), 0);
	CU_ASSERT_EQUAL(vbus_memmap_add(a.m, 2 * MIB, 2 * MIB, dup(fa2), 0, RW), 0);
	CU_ASSERT_EQUAL(vbus_memmap_add(b.m, 0, MIB, dup(fb), 0, RW), 0);
	reader_start(&ra, a.m, 0, 2 * MIB);
	reader_start(&ra2, a.m, 2 * MIB, 2 * MIB);
	reader_start(&rb, b.m, 0, MIB);
	CU_ASSERT_EQUAL(ftruncate(fa, 4096), 0);
	CU_ASSERT_EQUAL(vbus_ctl_wait(&a.faulted, 5000 * MS), 0);
	CU_ASSERT_TRUE(a.in_control);
	CU_ASSERT_EQUAL(b.nb_faults, 0);
	while (atomic_load(&ra.zero_rounds) < 2)
		usleep(100);
	/* the first page still exists in the file, but the range was replaced as a whole */
	CU_ASSERT_EQUAL(ra.va[0], 0);
	CU_ASSERT_EQUAL(ra2.va[0], 2);
	CU_ASSERT_EQUAL(rb.va[0], 3);
	/* copies still work, into nowhere */
	CU_ASSERT_EQUAL(vbus_memview_copy_out(vbus_memmap_view(a.m), &c, MIB, "x", 1), 0);
	CU_ASSERT_EQUAL(vbus_memview_copy_in(vbus_memmap_view(a.m), &c, &byte, MIB, 1), 0);
	CU_ASSERT_EQUAL(byte, 'x');
	reader_stop(&ra);
	reader_stop(&ra2);
	reader_stop(&rb);
	CU_ASSERT_EQUAL(atomic_load(&ra2.zero_rounds), 0);
	CU_ASSERT_EQUAL(atomic_load(&rb.zero_rounds), 0);
	/* a new map of the file that shrank: what is left of it is accessible, no more */
	CU_ASSERT_EQUAL(vbus_memmap_del(a.m, 0, 2 * MIB), 0);
	CU_ASSERT_EQUAL(vbus_memmap_add(a.m, 0, 2 * MIB, dup(fa), 0, RW), -EINVAL);
	CU_ASSERT_EQUAL(vbus_memmap_add(a.m, 0, 4096, dup(fa), 0, RW), 0);
	c = (struct vbus_memcache){0};
	CU_ASSERT_EQUAL(vbus_memview_copy_in(vbus_memmap_view(a.m), &c, &byte, 0, 1), 0);
	CU_ASSERT_EQUAL(byte, 1);
	vbus_memmap_destroy(a.m);
	vbus_memmap_destroy(b.m);
	vbus_ctl_unlock();
	close(fa);
	close(fa2);
	close(fb);
}

/* Many threads at once, again and again, with slots that come and go. */
static void
test_again(void)
{
	for (int round = 0; round < 30; round++) {
		struct owner o = {0};
		struct reader r[3] = {0};
		int fd = shrinkable(MIB, 1);

		vbus_ctl_lock();
		o.m = vbus_memmap_create(&ops, &o, false);
		CU_ASSERT_EQUAL(vbus_memmap_add(o.m, 0, MIB, dup(fd), 0, RW), 0);
		for (int i = 0; i < 3; i++)
			reader_start(&r[i], o.m, 0, MIB);
		CU_ASSERT_EQUAL(ftruncate(fd, 0), 0);
		CU_ASSERT_EQUAL(vbus_ctl_wait(&o.faulted, 5000 * MS), 0);
		for (int i = 0; i < 3; i++)
			reader_stop(&r[i]);
		vbus_memmap_destroy(o.m);
		vbus_ctl_unlock();
		close(fd);
	}
}

/* Without a control thread the flag waits for who asks. */
static void
test_poll(void)
{
	struct owner o = {0};
	struct vbus_memcache c = {0};
	int fd = shrinkable(MIB, 1);
	uint8_t byte = 9;

	vbus_ctl_put();
	vbus_ctl_lock();
	o.m = vbus_memmap_create(&ops, &o, false);
	CU_ASSERT_EQUAL(vbus_memmap_add(o.m, 0, MIB, dup(fd), 0, RW), 0);
	CU_ASSERT_EQUAL(ftruncate(fd, 0), 0);
	CU_ASSERT_EQUAL(vbus_memview_copy_in(vbus_memmap_view(o.m), &c, &byte, 4096, 1), 0);
	CU_ASSERT_EQUAL(byte, 0);
	CU_ASSERT_EQUAL(o.nb_faults, 0);
	vbus_memmap_check_faults();
	CU_ASSERT_EQUAL(o.nb_faults, 1);
	vbus_memmap_check_faults();
	CU_ASSERT_EQUAL(o.nb_faults, 1);
	vbus_memmap_destroy(o.m);
	vbus_ctl_unlock();
	close(fd);
	CU_ASSERT_EQUAL(vbus_ctl_get(), 0);
}

/* A page that is not ours and not there. */
static void
touch_foreign(void)
{
	int fd = memfd_create("foreign", MFD_CLOEXEC);
	uint8_t *p;

	if (ftruncate(fd, 8192) != 0)
		_exit(3);
	p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED || ftruncate(fd, 0) != 0)
		_exit(3);
	__atomic_store_n(&p[4096], 1, __ATOMIC_RELAXED);
}

static void
guard_something(void)
{
	static struct vbus_sigbus_flag flag;
	void *p = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (vbus_sigbus_install() != 0 || vbus_sigbus_add(p, 4096, &flag) < 0)
		_exit(4);
}

static void
old_info(int sig, siginfo_t *info, void *context)
{
	(void)context;
	_exit(sig == SIGBUS && info->si_code > 0 && info->si_addr != NULL ? 42 : 5);
}

static void
old_plain(int sig)
{
	_exit(sig == SIGBUS ? 43 : 5);
}

enum before {
	BEFORE_DEFAULT,
	BEFORE_INFO,
	BEFORE_PLAIN,
	BEFORE_IGNORE
};

/* The wait status of a child with an older action, our handler, and a fault or a kill(). */
static int
child(enum before before, bool by_kill)
{
	struct sigaction sa = {0};
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		alarm(20);
		if (before == BEFORE_INFO) {
			sa.sa_sigaction = old_info;
			sa.sa_flags = SA_SIGINFO;
		} else if (before == BEFORE_PLAIN) {
			sa.sa_handler = old_plain;
		} else {
			sa.sa_handler = before == BEFORE_IGNORE ? SIG_IGN : SIG_DFL;
		}
		sigaction(SIGBUS, &sa, NULL);
		guard_something();
		if (by_kill)
			raise(SIGBUS);
		else
			touch_foreign();
		_exit(0);
	}
	waitpid(pid, &status, 0);
	return status;
}

static void
run_chain_tests(void)
{
	int s;

	s = child(BEFORE_DEFAULT, false);
	CU_ASSERT_TRUE(WIFSIGNALED(s) && WTERMSIG(s) == SIGBUS);
	s = child(BEFORE_DEFAULT, true);
	CU_ASSERT_TRUE(WIFSIGNALED(s) && WTERMSIG(s) == SIGBUS);
	s = child(BEFORE_INFO, false);
	CU_ASSERT_TRUE(WIFEXITED(s) && WEXITSTATUS(s) == 42);
	s = child(BEFORE_PLAIN, false);
	CU_ASSERT_TRUE(WIFEXITED(s) && WEXITSTATUS(s) == 43);
	s = child(BEFORE_PLAIN, true);
	CU_ASSERT_TRUE(WIFEXITED(s) && WEXITSTATUS(s) == 43);
	s = child(BEFORE_IGNORE, true);
	CU_ASSERT_TRUE(WIFEXITED(s) && WEXITSTATUS(s) == 0);
	s = child(BEFORE_IGNORE, false);
	CU_ASSERT_TRUE(WIFSIGNALED(s) && WTERMSIG(s) == SIGBUS);
}

/* Somebody (EAL) restored the action that was there before ours: the next install puts it back. */
static void
test_restored(void)
{
	struct sigaction ours, dfl = {.sa_handler = SIG_DFL}, now;

	sigaction(SIGBUS, NULL, &ours);
	CU_ASSERT_EQUAL(vbus_sigbus_install(), 0);
	sigaction(SIGBUS, NULL, &now);
	CU_ASSERT_PTR_EQUAL((void *)now.sa_sigaction, (void *)ours.sa_sigaction);
	sigaction(SIGBUS, &dfl, NULL);
	CU_ASSERT_EQUAL(vbus_sigbus_install(), 0);
	sigaction(SIGBUS, NULL, &now);
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	/* the sanitizer's own handler was the older one: ours stays away */
#else
	CU_ASSERT_PTR_EQUAL((void *)now.sa_sigaction, (void *)ours.sa_sigaction);
#endif
	sigaction(SIGBUS, &ours, NULL);
}

static const struct cu_test tests[] = {
	{"other faults keep their action", run_chain_tests},
	{"truncated under a reader", test_truncate},
	{"thirty times, three readers", test_again},
	{"without a control thread", test_poll},
	{"put back", test_restored},
	{NULL, NULL},
};

int
main(void)
{
#if defined(__SANITIZE_THREAD__)
	puts("skipped: ThreadSanitizer takes the replacement of pages for a racing write");
	return 77;
#endif
	return cu_run("sigbus", tests, init, cleanup);
}
