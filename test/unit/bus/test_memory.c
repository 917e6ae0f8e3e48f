/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * The table of EAL's memory: merging, cutting, what is visible, and that a change waits for the peers'
 * answers. The file under test is included: its table is not for others. No EAL runs here.
 */

#include "../../../drivers/bus/vbus/vbus_memory.c"

#include <sys/mman.h>

#include "../core/cu_run.h"

int vbus_bus_logtype;
struct vbus_links vbus_links = TAILQ_HEAD_INITIALIZER(vbus_links);

static struct mem_run
run(uintptr_t va, uint64_t len, uint64_t iova, int fd, uint64_t offset)
{
	return (struct mem_run){.va = va, .len = len, .iova = iova, .fd = fd, .offset = offset};
}

static void
add(uintptr_t va, uint64_t len, uint64_t iova, int fd, uint64_t offset)
{
	const struct mem_run r = run(va, len, iova, fd, offset);

	CU_ASSERT_EQUAL(runs_insert(&r), 0);
}

static bool
is(uint32_t i, uintptr_t va, uint64_t len, uint64_t iova, int fd, uint64_t offset)
{
	const struct mem_run *r = &mem.runs[i];

	return i < mem.nb_runs && r->va == va && r->len == len && r->iova == iova && r->fd == fd &&
	       r->offset == offset;
}

static bool
sees(uintptr_t va, size_t len)
{
	visible_publish();
	return vbus_memory_visible((const void *)va, len);
}

static void
clear(void)
{
	mem.nb_runs = 0;
	visible_publish();
}

/* One map only where file, offset and address go on together. */
static void
test_merge(void)
{
	clear();
	add(0x10000, 0x1000, 0x90000, 3, 0);
	add(0x11000, 0x1000, 0x91000, 3, 0x1000);
	CU_ASSERT_EQUAL(mem.nb_runs, 1);
	CU_ASSERT_TRUE(is(0, 0x10000, 0x2000, 0x90000, 3, 0));
	add(0x12000, 0x1000, 0xa0000, 3, 0x2000); /* address jumps */
	add(0x13000, 0x1000, 0xa1000, 4, 0x3000); /* another file */
	add(0x14000, 0x1000, 0xa2000, 4, 0x9000); /* offset jumps */
	add(0x16000, 0x1000, 0xa3000, 4, 0xa000); /* a gap here */
	CU_ASSERT_EQUAL(mem.nb_runs, 5);
	/* Order does not matter. */
	add(0x8000, 0x1000, 0x50000, 5, 0);
	CU_ASSERT_TRUE(is(0, 0x8000, 0x1000, 0x50000, 5, 0));
	CU_ASSERT_EQUAL(mem.nb_runs, 6);
	/* Lcores see virtual addresses only: four runs are one range for them. */
	CU_ASSERT_TRUE(sees(0x10000, 0x5000));
	CU_ASSERT_FALSE(sees(0x10000, 0x5001));
	CU_ASSERT_FALSE(sees(0x15000, 1));
	CU_ASSERT_TRUE(sees(0x16fff, 1));
	CU_ASSERT_FALSE(sees(0x16fff, 2));
	CU_ASSERT_FALSE(sees(0xffff, 2));
	CU_ASSERT_FALSE(sees(UINTPTR_MAX, SIZE_MAX));
	CU_ASSERT_FALSE(sees(0x10000, SIZE_MAX));
}

static void
test_cut(void)
{
	clear();
	add(0x10000, 0x10000, 0x90000, 3, 0x4000);
	runs_remove(0x14000, 0x1000); /* the middle */
	CU_ASSERT_EQUAL(mem.nb_runs, 2);
	CU_ASSERT_TRUE(is(0, 0x10000, 0x4000, 0x90000, 3, 0x4000));
	CU_ASSERT_TRUE(is(1, 0x15000, 0xb000, 0x95000, 3, 0x9000));
	CU_ASSERT_TRUE(sees(0x10000, 0x4000));
	CU_ASSERT_FALSE(sees(0x13fff, 2));
	runs_remove(0x10000, 0x1000); /* a beginning */
	CU_ASSERT_TRUE(is(0, 0x11000, 0x3000, 0x91000, 3, 0x5000));
	runs_remove(0x1f000, 0x1000); /* an end */
	CU_ASSERT_TRUE(is(1, 0x15000, 0xa000, 0x95000, 3, 0x9000));
	runs_remove(0x13000, 0x3000); /* over both */
	CU_ASSERT_EQUAL(mem.nb_runs, 2);
	CU_ASSERT_TRUE(is(0, 0x11000, 0x2000, 0x91000, 3, 0x5000));
	CU_ASSERT_TRUE(is(1, 0x16000, 0x9000, 0x96000, 3, 0xa000));
	runs_remove(0x40000, 0x1000); /* nothing */
	CU_ASSERT_EQUAL(mem.nb_runs, 2);
	runs_remove(0, 0x100000);
	CU_ASSERT_EQUAL(mem.nb_runs, 0);
	CU_ASSERT_FALSE(sees(0x11000, 1));
}

/* More ranges than lcores can look through: the rest is not visible, so it is copied. */
static void
test_many(void)
{
	clear();
	for (uint32_t i = 0; i < MEM_RANGES_MAX + 10; i++)
		add(0x100000 + i * 0x2000ULL, 0x1000, 0x100000 + i * 0x2000ULL, 3, i);
	CU_ASSERT_EQUAL(mem.nb_runs, MEM_RANGES_MAX + 10);
	CU_ASSERT_TRUE(sees(0x100000 + (MEM_RANGES_MAX - 1) * 0x2000ULL, 0x1000));
	CU_ASSERT_FALSE(sees(0x100000 + MEM_RANGES_MAX * 0x2000ULL, 0x1000));
	clear();
}

/* ---- telling the peers --------------------------------------------------------------------------- */

static int nb_map, nb_unmap;
static void (*answer)(void *arg);
static void *answer_arg;

static int
fake_map(struct rte_vbus_link *link, uint64_t iova, uint64_t len, int fd, uint64_t offset,
	void (*done)(void *arg), void *arg)
{
	(void)link;
	CU_ASSERT_TRUE(iova == 0x90000 && len == 0x1000 && fd == 3 && offset == 0x2000);
	nb_map++;
	answer = done;
	answer_arg = arg;
	return 0;
}

static int
fake_unmap(
	struct rte_vbus_link *link, uint64_t iova, uint64_t len, void (*done)(void *arg), void *arg)
{
	(void)link;
	(void)done;
	(void)arg;
	CU_ASSERT_TRUE(iova == 0x90000 && len == 0x1000);
	nb_unmap++;
	return -ENOTCONN; /* a link that is just gone: nobody to wait for */
}

static void *
late_answer(void *arg)
{
	(void)arg;
	usleep(20000);
	answer(answer_arg);
	return NULL;
}

static void
test_tell(void)
{
	const struct vbus_link_ops ops = {.map = fake_map, .unmap = fake_unmap};
	static struct rte_vbus_link told, knows, off;
	const struct mem_run r = run(0x10000, 0x1000, 0x90000, 3, 0x2000);
	struct mem_change *c;
	pthread_t thread;
	int fds[2];

	CU_ASSERT_EQUAL_FATAL(pipe(fds), 0);
	told_init();
	told.ops = knows.ops = off.ops = &ops;
	TAILQ_INSERT_TAIL(&vbus_links, &told, next);
	TAILQ_INSERT_TAIL(&vbus_links, &knows, next);
	TAILQ_INSERT_TAIL(&vbus_links, &off, next);
	mem.seq = 1;
	pthread_mutex_lock(&mem.lock);
	c = change_new(&r, true);
	told.mem_seq = 1;
	knows.mem_seq = mem.seq; /* mapped everything after the change was made */
	off.mem_seq = 0;	 /* not connected */
	pthread_mutex_unlock(&mem.lock);
	CU_ASSERT_EQUAL(write(fds[1], "12345678", 8), 8);
	changes_handle(fds[0], EPOLLIN, NULL);
	CU_ASSERT_EQUAL(nb_map, 1);
	CU_ASSERT_EQUAL(told.mem_seq, mem.seq);
	CU_ASSERT_EQUAL(c->nb_open, 1);
	pthread_create(&thread, NULL, late_answer, NULL);
	pthread_mutex_lock(&mem.lock);
	change_wait(c);
	CU_ASSERT_EQUAL(c->nb_open, 0);
	change_unref(c);
	pthread_mutex_unlock(&mem.lock);
	pthread_join(thread, NULL);

	pthread_mutex_lock(&mem.lock);
	c = change_new(&r, false);
	pthread_mutex_unlock(&mem.lock);
	CU_ASSERT_EQUAL(write(fds[1], "12345678", 8), 8);
	changes_handle(fds[0], EPOLLIN, NULL);
	CU_ASSERT_EQUAL(nb_unmap, 2); /* both connected ones */
	pthread_mutex_lock(&mem.lock);
	CU_ASSERT_EQUAL(c->nb_open, 0);
	change_unref(c);
	pthread_mutex_unlock(&mem.lock);
	close(fds[0]);
	close(fds[1]);
}

/* Lcores that look while the table changes see one state or the other. */
static _Atomic bool stop;

static void *
looker(void *arg)
{
	_Atomic uint64_t *bad = arg;

	while (!stop) {
		if (!vbus_memory_visible((const void *)0x10000, 0x2000))
			(*bad)++;
	}
	return NULL;
}

static void
test_look_while_written(void)
{
	_Atomic uint64_t bad = 0;
	pthread_t thread;

	clear();
	add(0x10000, 0x4000, 0x90000, 3, 0);
	visible_publish();
	CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, looker, &bad), 0);
	for (int i = 0; i < 20000; i++) {
		add(0x2000 + (i & 3) * 0x1000ULL, 0x1000, 0x2000, 4, 0);
		visible_publish();
		runs_remove(0x2000, 0x8000);
		visible_publish();
	}
	stop = true;
	pthread_join(thread, NULL);
	CU_ASSERT_EQUAL(bad, 0);
	free(mem.runs);
	mem.runs = NULL;
	mem.nb_runs = mem.size = 0;
}

int
main(void)
{
	static const struct cu_test tests[] = {
		{"merge", test_merge},
		{"cut", test_cut},
		{"too many ranges", test_many},
		{"tell the peers", test_tell},
		{"look while it changes", test_look_while_written},
		{NULL, NULL},
	};

	return cu_run("memory", tests, NULL, NULL);
}
