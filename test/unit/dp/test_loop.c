/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * The event loop: descriptors, timers, and what handlers may do to each other.
 */

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "../core/cu_run.h"
#include "dp_loop.h"

#define MS 1000000ull

static int nb_calls;
static struct dp_loop_fd *watch[2];

static void
stop_timer(struct dp_loop_timer *t, void *arg)
{
	(void)t;
	(void)arg;
	dp_loop_stop();
}

static void
run_for(uint64_t ns)
{
	struct dp_loop_timer t = {.fn = stop_timer};

	dp_loop_timer_arm(&t, ns);
	CU_ASSERT_EQUAL(dp_loop_run(), 0);
	dp_loop_timer_cancel(&t);
}

static void
count_fd(int fd, uint32_t events, void *arg)
{
	uint64_t value;

	CU_ASSERT_EQUAL(events, EPOLLIN);
	CU_ASSERT_EQUAL(read(fd, &value, sizeof(value)), (ssize_t)sizeof(value));
	CU_ASSERT_EQUAL(value, 5);
	++*(int *)arg;
}

static void
test_fd(void)
{
	int fd = eventfd(5, EFD_NONBLOCK | EFD_CLOEXEC), n = 0;
	struct dp_loop_fd *w;

	CU_ASSERT_EQUAL_FATAL(dp_loop_init(), 0);
	w = dp_loop_add(fd, EPOLLIN, count_fd, &n);
	CU_ASSERT_PTR_NOT_NULL_FATAL(w);
	CU_ASSERT_PTR_NULL(dp_loop_add(fd, EPOLLIN, count_fd, &n));
	CU_ASSERT_EQUAL(errno, EEXIST);
	run_for(5 * MS);
	CU_ASSERT_EQUAL(n, 1);
	dp_loop_fini();

	/* Watched for nothing, then for something, then not at all. */
	CU_ASSERT_EQUAL_FATAL(dp_loop_init(), 0);
	CU_ASSERT_EQUAL(eventfd_write(fd, 5), 0);
	w = dp_loop_add(fd, 0, count_fd, &n);
	run_for(5 * MS);
	CU_ASSERT_EQUAL(n, 1);
	dp_loop_fini();
	CU_ASSERT_EQUAL_FATAL(dp_loop_init(), 0);
	w = dp_loop_add(fd, 0, count_fd, &n);
	CU_ASSERT_EQUAL(dp_loop_mod(w, EPOLLIN), 0);
	run_for(5 * MS);
	CU_ASSERT_EQUAL(n, 2);
	dp_loop_del(w);
	dp_loop_del(NULL);
	dp_loop_fini();
	close(fd);
}

/* Both are ready in one round; the first that runs deletes the other and itself. */
static void
del_both(int fd, uint32_t events, void *arg)
{
	(void)fd;
	(void)events;
	(void)arg;
	nb_calls++;
	dp_loop_del(watch[0]);
	dp_loop_del(watch[1]);
}

static void
test_del_in_handler(void)
{
	int a = eventfd(1, EFD_CLOEXEC), b = eventfd(1, EFD_CLOEXEC);

	CU_ASSERT_EQUAL_FATAL(dp_loop_init(), 0);
	nb_calls = 0;
	watch[0] = dp_loop_add(a, EPOLLIN, del_both, NULL);
	watch[1] = dp_loop_add(b, EPOLLIN, del_both, NULL);
	run_for(5 * MS);
	CU_ASSERT_EQUAL(nb_calls, 1);
	dp_loop_fini();
	close(a);
	close(b);
}

static char order[8];
static int nb_order;

static void
note(struct dp_loop_timer *t, void *arg)
{
	(void)t;
	if (nb_order < 7)
		order[nb_order++] = *(char *)arg;
}

static void
again(struct dp_loop_timer *t, void *arg)
{
	if (++*(int *)arg < 3)
		dp_loop_timer_arm(t, 0);
}

static void
test_timers(void)
{
	char a = 'a', b = 'b', c = 'c', d = 'd';
	int n = 0;
	struct dp_loop_timer ta = {.fn = note, .arg = &a}, tb = {.fn = note, .arg = &b},
			     tc = {.fn = note, .arg = &c}, td = {.fn = note, .arg = &d},
			     te = {.fn = again, .arg = &n};
	uint64_t from = dp_loop_now_ns();

	CU_ASSERT_EQUAL_FATAL(dp_loop_init(), 0);
	dp_loop_timer_arm(&tc, 6 * MS);
	dp_loop_timer_arm(&ta, 2 * MS);
	dp_loop_timer_arm(&tb, 4 * MS);
	dp_loop_timer_arm(&td, 3 * MS);
	dp_loop_timer_cancel(&td);
	dp_loop_timer_cancel(&td);
	dp_loop_timer_arm(&ta, 8 * MS); /* anew: the last now */
	dp_loop_timer_arm(&te, 0);
	run_for(20 * MS);
	CU_ASSERT_STRING_EQUAL(order, "bca");
	CU_ASSERT_EQUAL(n, 3);
	CU_ASSERT_FALSE(ta.armed);
	CU_ASSERT_TRUE(dp_loop_now_ns() - from >= 20 * MS);
	dp_loop_timer_arm(&ta, 1000 * MS);
	dp_loop_fini();
	CU_ASSERT_FALSE(ta.armed); /* the loop does not point to it any more */
}

static void *
stopper(void *arg)
{
	(void)arg;
	usleep(5000);
	dp_loop_stop();
	return NULL;
}

static void
test_stop(void)
{
	pthread_t t;

	CU_ASSERT_EQUAL_FATAL(dp_loop_init(), 0);
	CU_ASSERT_EQUAL(pthread_create(&t, NULL, stopper, NULL), 0);
	CU_ASSERT_EQUAL(dp_loop_run(), 0);
	pthread_join(t, NULL);
	CU_ASSERT_EQUAL(dp_loop_run(), 0); /* stays stopped */
	dp_loop_fini();
	/* Before it runs. */
	CU_ASSERT_EQUAL_FATAL(dp_loop_init(), 0);
	dp_loop_stop();
	CU_ASSERT_EQUAL(dp_loop_run(), 0);
	dp_loop_fini();
}

static const struct cu_test tests[] = {
	{"descriptors", test_fd},
	{"deleted in a handler", test_del_in_handler},
	{"timers", test_timers},
	{"stop from another thread", test_stop},
	{NULL, NULL},
};

int
main(void)
{
	return cu_run("event loop", tests, NULL, NULL);
}
