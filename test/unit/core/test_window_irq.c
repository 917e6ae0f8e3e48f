/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * Interrupts across a window: of a PCI function that is held, shared by its windows; and of a server of
 * ivshmem, which talks nonsense, loses peers, and goes. The peer says any number.
 */

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "cu_run.h"
#include "vbus_ctl.h"
#include "vbus_peer.h"
#include "vbus_window.h"

#define SIZE	 (4u << 20)
#define FUNCTION "0000:00:09.0"
#define NUMBER	 (9u << 16)
#define SAYS(n)	 ((uint64_t)VBUS_WINDOW_IRQ << 32 | (n))
#define SELF	 3

static char folder[] = "/tmp/vbus-irq.XXXXXX";
static char path[64], window[80];
static int listener = -1;

static int
init(void)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};

	if (mkdtemp(folder) == NULL)
		return -1;
	snprintf(path, sizeof(path), "%s/s", folder);
	snprintf(window, sizeof(window), "ivshmem:%s", path);
	strcpy(at.sun_path, path);
	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(listener, (struct sockaddr *)&at, sizeof(at)) != 0 || listen(listener, 4) != 0)
		return -1;
	return vbus_ctl_get();
}

static int
cleanup(void)
{
	vbus_ctl_put();
	close(listener);
	unlink(path);
	rmdir(folder);
	return 0;
}

static int
memory(void)
{
	int fd = memfd_create("window", MFD_CLOEXEC);

	CU_ASSERT_EQUAL_FATAL(ftruncate(fd, SIZE), 0);
	return fd;
}

/* With the lock held: it is released meanwhile. */
#define WAIT(condition)                                              \
	do {                                                         \
		for (int i_ = 0; i_ < 10000 && !(condition); i_++) { \
			vbus_ctl_unlock();                           \
			usleep(1000);                                \
			vbus_ctl_lock();                             \
		}                                                    \
		CU_ASSERT_TRUE(condition);                           \
	} while (0)

/* ---- a function -------------------------------------------------------------------------------- */

static struct {
	struct vbus_ctl_timer timer;
	int looked;
} look[2];

static void
looks(struct vbus_ctl_timer *t)
{
	look[t == &look[1].timer].looked++;
}

static bool
rung(int fd)
{
	uint64_t count;

	return read(fd, &count, sizeof(count)) == (ssize_t)sizeof(count);
}

static void
test_function(void)
{
	int fd = memory(), irq = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	const uint64_t one = 1, lies[] = {0, NUMBER, SAYS(5) << 1, ~0ull};
	struct vbus_window w[2];
	uint32_t reg = 0;
	char err[200];

	CU_ASSERT_EQUAL(vbus_window_hold_irq(FUNCTION, eventfd(0, 0), SIZE, NUMBER), -ENOENT);
	CU_ASSERT_EQUAL(vbus_window_hold(FUNCTION, fd, 0, SIZE), 0);
	CU_ASSERT_EQUAL(vbus_window_hold_irq(FUNCTION, irq, SIZE, NUMBER), 0);
	vbus_ctl_lock();
	for (int i = 0; i < 2; i++) {
		CU_ASSERT_EQUAL_FATAL(
			vbus_window_open(&w[i], "pci:" FUNCTION, 0, (enum vbus_window_side)i,
				i == 0 ? VBUS_WINDOW_SOUTH : VBUS_WINDOW_NORTH, err, sizeof(err)),
			0);
		look[i].timer.fn = looks;
		w[i].irq.poll = &look[i].timer;
		vbus_ctl_timer_arm(&look[i].timer, 3600000000000ull);
	}
	vbus_window_ring(&w[0]); /* nobody there yet */
	CU_ASSERT_EQUAL(pread(fd, &reg, sizeof(reg), SIZE), 0);
	vbus_window_accept(&w[0], w[1].generation);
	CU_ASSERT_EQUAL(w[0].irq.ring, SAYS(NUMBER));
	vbus_window_ring(&w[0]);
	CU_ASSERT_EQUAL(pread(fd, &reg, sizeof(reg), SIZE), (ssize_t)sizeof(reg));
	CU_ASSERT_EQUAL(reg, NUMBER);
	CU_ASSERT_EQUAL(w[0].irq.nb_rings, 1);
	/* Only what looks like one is a number. */
	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		vbus_peer_store64(&w[0].in->hello.irq, lies[i]);
		vbus_window_accept(&w[0], w[1].generation);
		CU_ASSERT_EQUAL(w[0].irq.ring, 0);
	}
	/* Each looks once, and rests longer when it is its peer's. */
	CU_ASSERT_EQUAL(write(irq, &one, sizeof(one)), (ssize_t)sizeof(one));
	WAIT(look[0].looked == 1 && look[1].looked == 1);
	CU_ASSERT_EQUAL(w[0].irq.nb_irqs + w[1].irq.nb_irqs, 2);
	CU_ASSERT_EQUAL(vbus_window_pause(&w[0], 0, false), VBUS_WINDOW_POLL_HEARD_NS);
	CU_ASSERT_EQUAL(vbus_window_pause(&w[1], 0, false), VBUS_WINDOW_POLL_IDLE_NS);
	vbus_window_renew(&w[0]);
	CU_ASSERT_FALSE(w[0].irq.heard);
	vbus_peer_store64(&w[0].in->hello.irq, SAYS(1));
	vbus_window_accept(&w[0], w[1].generation);
	CU_ASSERT_EQUAL(w[0].irq.ring, SAYS(1));
	vbus_window_close(&w[1]);
	vbus_ctl_unlock();
	vbus_window_unhold(FUNCTION);
	/* The function has gone: the window is there, and quiet. */
	vbus_ctl_lock();
	vbus_window_accept(&w[0], w[1].generation);
	CU_ASSERT_EQUAL(w[0].irq.ring, 0);
	vbus_window_ring(&w[0]);
	CU_ASSERT_EQUAL(w[0].irq.nb_rings, 1);
	vbus_window_close(&w[0]);
	vbus_ctl_unlock();
	close(fd);
}

/* ---- a server ---------------------------------------------------------------------------------- */

struct said {
	int64_t number;
	int fd; /* -1: none */
};

static void
say(int sock, int64_t number, int fd)
{
	char control[CMSG_SPACE(sizeof(int))] = "";
	struct iovec iov = {.iov_base = &number, .iov_len = sizeof(number)};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	struct cmsghdr *c;

	if (fd >= 0) {
		msg.msg_control = control;
		msg.msg_controllen = sizeof(control);
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	}
	/* It may have had enough by now. */
	if (sendmsg(sock, &msg, MSG_NOSIGNAL) < 0)
		return;
}

struct script {
	pthread_t tid;
	const struct said *said;
	int n, sock;
	bool leaves;
};

static void *
script_run(void *arg)
{
	struct script *s = arg;

	s->sock = accept(listener, NULL, NULL);
	for (int i = 0; i < s->n; i++)
		say(s->sock, s->said[i].number, s->said[i].fd);
	if (s->leaves)
		close(s->sock);
	return NULL;
}

static int
open_by(struct vbus_window *w, struct script *s)
{
	char err[200] = "";
	int ret;

	CU_ASSERT_EQUAL_FATAL(pthread_create(&s->tid, NULL, script_run, s), 0);
	vbus_ctl_lock();
	ret = vbus_window_open(w, window, SIZE, VBUS_WINDOW_A, VBUS_WINDOW_SOUTH, err, sizeof(err));
	vbus_ctl_unlock();
	pthread_join(s->tid, NULL);
	CU_ASSERT_EQUAL(ret != 0, err[0] != '\0');
	return ret;
}

/* What it says until the memory is there. */
static void
test_nonsense(void)
{
	int mem = memory(), pipes[2], small = memfd_create("small", MFD_CLOEXEC);

	CU_ASSERT_EQUAL_FATAL(pipe2(pipes, O_CLOEXEC), 0);
	const struct {
		int ret, n;
		struct said said[3];
	} cases[] = {
		{-ECONNRESET, 0, {{0, -1}}},
		{-ECONNRESET, 2, {{0, -1}, {1, -1}}},
		{-EPROTO, 1, {{1, -1}}},
		{-EPROTO, 1, {{0, mem}}},
		{-EPROTO, 2, {{0, -1}, {-1, -1}}},
		{-EPROTO, 2, {{0, -1}, {0x10000, -1}}},
		{-EPROTO, 3, {{0, -1}, {1, -1}, {-1, -1}}},
		{-EPROTO, 3, {{0, -1}, {1, -1}, {2, mem}}},
		{-ENOTSUP, 3, {{0, -1}, {1, -1}, {-1, pipes[0]}}},
		{-EINVAL, 3, {{0, -1}, {1, -1}, {-1, small}}},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct script s = {.said = cases[i].said, .n = cases[i].n, .leaves = true};
		struct vbus_window w;
		int ret = open_by(&w, &s);

		CU_ASSERT_EQUAL(ret, cases[i].ret);
		if (ret != cases[i].ret)
			printf("  case %zu: %d\n", i, ret);
	}
	close(mem);
	close(small);
	close(pipes[0]);
	close(pipes[1]);
}

/* The window's peer wants to be rung so. @return: it can be. */
static bool
wants(struct vbus_window *w, uint32_t number)
{
	vbus_peer_store64(&w->in->hello.irq, SAYS(number));
	vbus_window_accept(w, 77);
	return w->irq.ring != 0;
}

static void
test_server(void)
{
	int mem = memory(), other = memory(), own = eventfd(0, EFD_NONBLOCK);
	int five[2] = {eventfd(0, EFD_NONBLOCK), eventfd(0, EFD_NONBLOCK)}, pipes[2];
	const uint64_t one = 1;
	const struct said said[] = {{0, -1}, {SELF, -1}, {-1, mem}, {5, five[0]}, {5, five[1]},
		{SELF, own}, {SELF, five[0]}};
	const struct said again[] = {{0, -1}, {SELF + 1, -1}, {-1, other}, {SELF + 1, own}};
	struct script s = {.said = said, .n = 7}, s2 = {.said = again, .n = 4};
	struct vbus_window w;

	CU_ASSERT_EQUAL_FATAL(pipe2(pipes, O_CLOEXEC), 0);
	CU_ASSERT_EQUAL_FATAL(open_by(&w, &s), 0);
	vbus_ctl_lock();
	WAIT(w.irq.own == SAYS((uint32_t)SELF << 16));
	CU_ASSERT_TRUE(wants(&w, 5u << 16 | 1));
	vbus_window_ring(&w);
	CU_ASSERT_TRUE(!rung(five[0]) && rung(five[1]));
	CU_ASSERT_TRUE(wants(&w, 5u << 16));
	vbus_window_ring(&w);
	CU_ASSERT_TRUE(rung(five[0]) && !rung(five[1]));
	CU_ASSERT_FALSE(wants(&w, 5u << 16 | 2));
	CU_ASSERT_FALSE(wants(&w, 6u << 16));
	CU_ASSERT_FALSE(wants(&w, (uint32_t)SELF << 16)); /* nobody rings itself */
	CU_ASSERT_EQUAL(write(own, &one, sizeof(one)), (ssize_t)sizeof(one));
	WAIT(w.irq.nb_irqs >= 1);

	/* A peer goes, and comes again; one whose descriptor is none of an eventfd; more than there is room for. */
	CU_ASSERT_TRUE(wants(&w, 5u << 16));
	say(s.sock, 5, -1);
	WAIT(w.irq.ring == 0);
	vbus_window_ring(&w);
	CU_ASSERT_FALSE(rung(five[0]));
	say(s.sock, 5, five[1]);
	WAIT(w.irq.ring != 0);
	vbus_window_ring(&w);
	CU_ASSERT_TRUE(rung(five[1]));
	say(s.sock, 8, pipes[1]);
	for (int i = 0; i < 100; i++)
		say(s.sock, 100 + i, five[0]);
	vbus_peer_store64(&w.in->hello.irq, SAYS(140u << 16));
	say(s.sock, 9, five[0]);
	WAIT(w.irq.ring == SAYS(140u << 16));
	CU_ASSERT_FALSE(wants(&w, 8u << 16));
	CU_ASSERT_FALSE(wants(&w, 199u << 16));

	/* Nonsense: it has gone for us. The memory has not. */
	say(s.sock, -2, -1);
	WAIT(w.irq.own == 0);
	CU_ASSERT_FALSE(wants(&w, 5u << 16));
	CU_ASSERT_FALSE(vbus_window_lost(&w));
	vbus_window_renew(&w);
	CU_ASSERT_EQUAL_FATAL(pthread_create(&s2.tid, NULL, script_run, &s2), 0);
	WAIT(vbus_window_recover(&w, vbus_ctl_now_ns()) && w.irq.own == SAYS((SELF + 1u) << 16));
	/* Other memory: with what the other side has written to it. */
	CU_ASSERT_EQUAL(pwrite(other, &one, sizeof(one), SIZE - 8), (ssize_t)sizeof(one));
	WAIT(vbus_window_recover(&w, vbus_ctl_now_ns()) && w.base[SIZE - 8] == 1);
	vbus_window_close(&w);
	vbus_ctl_unlock();
	pthread_join(s2.tid, NULL);
	close(s.sock);
	close(s2.sock);
	close(mem);
	close(other);
	close(own);
	for (int i = 0; i < 2; i++) {
		close(five[i]);
		close(pipes[i]);
	}
}

int
main(void)
{
	static const struct cu_test tests[] = {
		{"a function's interrupt", test_function},
		{"a server that talks nonsense", test_nonsense},
		{"peers, and another server", test_server},
		{NULL, NULL},
	};

	return cu_run("window interrupts", tests, init, cleanup);
}
