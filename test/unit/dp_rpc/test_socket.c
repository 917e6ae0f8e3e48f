/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * The socket: lines in pieces and in heaps, clients that hang, read nothing, send no end, come in
 * crowds. The server runs in a thread of its own; limits of time are short here (meson.build).
 */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "../core/cu_run.h"
#include "dp_loop.h"
#include "dp_rpc_internal.h"
#include "straw.h"

#define ASK "{\"jsonrpc\":\"2.0\",\"method\":\"version\",\"id\":1}\n"

static char folder[] = "/tmp/vbus-rpc.XXXXXX";
static char path[64];
static pthread_t server;

static void *
serve(void *arg)
{
	(void)arg;
	dp_loop_run();
	return NULL;
}

static int
join(void)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	const struct timeval limit = {.tv_sec = 20};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(addr.sun_path, path);
	CU_ASSERT_EQUAL_FATAL(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	return fd;
}

static bool
say(int fd, const char *text, size_t len)
{
	ssize_t n;

	while (len != 0) {
		n = send(fd, text, len, MSG_NOSIGNAL);
		if (n <= 0)
			return false;
		text += n;
		len -= (size_t)n;
	}
	return true;
}

/* A line, at most size - 1 bytes; its length, 0: the end. */
static size_t
hear(int fd, char *line, size_t size)
{
	ssize_t n = recv(fd, line, size - 1, MSG_PEEK);
	size_t at = 0;
	char *nl;

	while (n > 0) {
		nl = memchr(line + at, '\n', (size_t)n);
		n = recv(fd, line + at, nl != NULL ? (size_t)(nl - line) - at + 1 : (size_t)n, 0);
		at += n > 0 ? (size_t)n : 0;
		if (nl != NULL || at + 1 >= size)
			break;
		n = recv(fd, line + at, size - 1 - at, MSG_PEEK);
	}
	line[at] = '\0';
	return at;
}

static bool
works(int fd)
{
	char line[512];

	return say(fd, ASK, strlen(ASK)) && hear(fd, line, sizeof(line)) != 0 &&
	       strstr(line, "\"name\":\"vbus-dp\"") != NULL;
}

static void
pause_ms(long ms)
{
	const struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

	nanosleep(&t, NULL);
}

/* Those that have just gone may still hold their places: come again. */
static int
join_working(void)
{
	int i, fd = join();

	for (i = 0; i < 100 && !works(fd); i++) {
		close(fd);
		pause_ms(50);
		fd = join();
	}
	CU_ASSERT(i < 100);
	return fd;
}

/* ---- lines ------------------------------------------------------------------------------------- */

static void
test_mode(void)
{
	struct stat st;

	CU_ASSERT_EQUAL(stat(path, &st), 0);
	CU_ASSERT_TRUE(S_ISSOCK(st.st_mode));
	CU_ASSERT_EQUAL(st.st_mode & 07777, 0600);
}

static void
test_pieces(void)
{
	int fd = join_working();
	char line[512];
	size_t i;

	for (i = 0; i < strlen(ASK); i++)
		CU_ASSERT_TRUE(say(fd, &ASK[i], 1));
	CU_ASSERT(hear(fd, line, sizeof(line)) != 0);
	/* Blank lines and carriage returns are nothing. */
	CU_ASSERT_TRUE(say(fd, "\n \r\n\t\n", 6));
	CU_ASSERT_TRUE(works(fd));
	close(fd);
}

static void *
talk(void *arg)
{
	int i;

	for (i = 0; i < 3000; i++)
		if (!say(*(int *)arg, ASK, strlen(ASK)))
			break;
	shutdown(*(int *)arg, SHUT_WR);
	return NULL;
}

/* More than any buffer holds, and the answers are read late: nothing is lost. */
static void
test_heap(void)
{
	int fd = join_working(), n = 0;
	pthread_t thread;
	char line[512];

	CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, talk, &fd), 0);
	pause_ms(50);
	while (hear(fd, line, sizeof(line)) != 0)
		n++;
	CU_ASSERT_EQUAL(n, 3000);
	pthread_join(thread, NULL);
	close(fd);
}

/* The last line needs no newline when nothing follows; who has gone is served all the same. */
static void
test_end(void)
{
	static const char note[] = "{\"jsonrpc\":\"2.0\",\"method\":\"nothing\"}\n";
	uint64_t before;
	char line[512];
	int fd = join_working(), i;

	CU_ASSERT_TRUE(say(fd, ASK, strlen(ASK) - 1));
	shutdown(fd, SHUT_WR);
	CU_ASSERT(hear(fd, line, sizeof(line)) != 0);
	CU_ASSERT_EQUAL(hear(fd, line, sizeof(line)), 0);
	close(fd);
	fd = join_working();
	before = __atomic_load_n(&dp_rpc_counters.requests, __ATOMIC_RELAXED);
	for (i = 0; i < 100; i++)
		CU_ASSERT_TRUE(say(fd, note, strlen(note)));
	close(fd);
	for (i = 0; i < 100; i++) {
		if (__atomic_load_n(&dp_rpc_counters.requests, __ATOMIC_RELAXED) == before + 100)
			break;
		pause_ms(20);
	}
	CU_ASSERT_EQUAL(__atomic_load_n(&dp_rpc_counters.requests, __ATOMIC_RELAXED), before + 100);
}

static void
test_long_line(void)
{
	char *junk = malloc(DP_RPC_IN_MAX + 1000), line[512];
	int fd = join_working();

	/* As long as may be: valid, and most of it blank. */
	memset(junk, ' ', DP_RPC_IN_MAX);
	memcpy(junk + DP_RPC_IN_MAX - strlen(ASK), ASK, strlen(ASK));
	CU_ASSERT_TRUE(say(fd, junk, DP_RPC_IN_MAX));
	CU_ASSERT(hear(fd, line, sizeof(line)) != 0);
	CU_ASSERT_PTR_NOT_NULL(strstr(line, "vbus-dp"));
	CU_ASSERT_TRUE(works(fd));
	/* Longer: told, and shown out. */
	memset(junk, 'x', DP_RPC_IN_MAX + 1000);
	say(fd, junk, DP_RPC_IN_MAX + 1000);
	CU_ASSERT(hear(fd, line, sizeof(line)) != 0);
	CU_ASSERT_PTR_NOT_NULL(strstr(line, "-32600"));
	CU_ASSERT_PTR_NOT_NULL(strstr(line, "too long"));
	CU_ASSERT_EQUAL(hear(fd, line, sizeof(line)), 0);
	close(fd);
	free(junk);
}

/* ---- time and room ----------------------------------------------------------------------------- */

/* A line that never ends, byte by byte: over after its time, however busy it looks. */
static void
test_late_line(void)
{
	int fd = join_working(), other = join_working(), i;
	char line[512];

	for (i = 0; i < 400 && say(fd, "x", 1); i++) {
		pause_ms(25);
		if (i == 4)
			CU_ASSERT_TRUE(works(other));
	}
	CU_ASSERT(i < 400);
	CU_ASSERT(hear(fd, line, sizeof(line)) != 0);
	CU_ASSERT_PTR_NOT_NULL(strstr(line, "not finished in time"));
	CU_ASSERT_EQUAL(hear(fd, line, sizeof(line)), 0);
	/* One that says nothing at all may stay. */
	CU_ASSERT_TRUE(works(other));
	close(fd);
	close(other);
}

/* Long answers to somebody who does not read: it goes, memory stays small, others are served. */
static void
test_slow_reader(void)
{
	static const char ask[] = "{\"jsonrpc\":\"2.0\",\"method\":\"device.stats\",\"id\":1}\n";
	uint64_t before = __atomic_load_n(&dp_rpc_counters.stalled, __ATOMIC_RELAXED);
	int fd = join_working(), other = join_working(), i, flags = fcntl(fd, F_GETFL);

	fcntl(fd, F_SETFL, flags | O_NONBLOCK);
	for (i = 0; i < 5000; i++)
		if (send(fd, ask, strlen(ask), MSG_NOSIGNAL) < 0)
			break;
	CU_ASSERT(i < 5000); /* it is not read from any more */
	for (i = 0; i < 1000; i++) {
		CU_ASSERT_TRUE_FATAL(works(other));
		if (__atomic_load_n(&dp_rpc_counters.stalled, __ATOMIC_RELAXED) != before)
			break;
		pause_ms(20);
	}
	CU_ASSERT_EQUAL(__atomic_load_n(&dp_rpc_counters.stalled, __ATOMIC_RELAXED), before + 1);
	close(fd);
	close(other);
}

/* All places taken: who is silent makes room, who works stays. */
static void
test_crowd(void)
{
	int fds[DP_RPC_CLIENTS_MAX], late, i;
	char line[16];

	for (i = 0; i < (int)DP_RPC_CLIENTS_MAX; i++)
		fds[i] = join_working();
	late = join(); /* nobody has been silent for long */
	CU_ASSERT_EQUAL(hear(late, line, sizeof(line)), 0);
	close(late);
	for (i = 0; i < (int)DP_RPC_CLIENTS_MAX; i++)
		CU_ASSERT_TRUE(works(fds[i]));
	pause_ms(DP_RPC_SILENT_MS + 100);
	for (i = 1; i < (int)DP_RPC_CLIENTS_MAX; i++)
		CU_ASSERT_TRUE(works(fds[i]));
	late = join();
	CU_ASSERT_TRUE(works(late));
	CU_ASSERT_EQUAL(hear(fds[0], line, sizeof(line)), 0);
	for (i = 1; i < (int)DP_RPC_CLIENTS_MAX; i++)
		CU_ASSERT_TRUE(works(fds[i]));
	for (i = 0; i < (int)DP_RPC_CLIENTS_MAX; i++)
		close(fds[i]);
	close(late);
}

/* Bytes of any kind, connections that break off anywhere. */
static void
test_noise(void)
{
	unsigned int seed = 12345;
	char junk[3000];
	int fd, i, j;

	for (i = 0; i < 300; i++) {
		for (j = 0; j < (int)sizeof(junk); j++)
			junk[j] = (char)(rand_r(&seed) >> 7);
		fd = join();
		say(fd, junk, (size_t)rand_r(&seed) % sizeof(junk));
		if (i % 3 == 0)
			recv(fd, junk, sizeof(junk), MSG_DONTWAIT);
		close(fd);
	}
	fd = join_working();
	close(fd);
}

/* A second server, and the file of a dead one. */
static void
test_path(void)
{
	char err[DP_ERR_SIZE] = "";
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0), other;
	char moved[sizeof(addr.sun_path)];

	CU_ASSERT_EQUAL(dp_rpc_start("/nonexistent/x.sock", err, sizeof(err)), -ENOENT);
	CU_ASSERT_PTR_NOT_NULL(strstr(err, "/nonexistent/x.sock"));
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	CU_ASSERT_EQUAL_FATAL(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	CU_ASSERT_EQUAL(listen(fd, 1), 0);
	CU_ASSERT_EQUAL(dp_rpc_start(path, err, sizeof(err)), -EADDRINUSE);
	close(fd);
	CU_ASSERT_EQUAL_FATAL(dp_rpc_start(path, err, sizeof(err)), 0);
	other = join();
	close(other);
	/* It moves; what cannot be had leaves it where it is. */
	CU_ASSERT_EQUAL(dp_rpc_move("/nonexistent/x.sock", err, sizeof(err)), -ENOENT);
	CU_ASSERT_EQUAL(access(path, F_OK), 0);
	CU_ASSERT_EQUAL(dp_rpc_move(path, err, sizeof(err)), 0);
	snprintf(moved, sizeof(moved), "%s.2", path);
	CU_ASSERT_EQUAL(dp_rpc_move(moved, err, sizeof(err)), 0);
	CU_ASSERT_NOT_EQUAL(access(path, F_OK), 0);
	CU_ASSERT_EQUAL(access(moved, F_OK), 0);
	dp_rpc_stop();
	CU_ASSERT_NOT_EQUAL(access(moved, F_OK), 0);
	dp_rpc_stop();
	CU_ASSERT_EQUAL(dp_rpc_move(path, err, sizeof(err)), 0);
	CU_ASSERT_NOT_EQUAL(access(path, F_OK), 0);
}

static int
init(void)
{
	char err[DP_ERR_SIZE];

	straw_init();
	straw_many(120);
	if (mkdtemp(folder) == NULL || dp_loop_init() != 0)
		return 1;
	snprintf(path, sizeof(path), "%s/c.sock", folder);
	if (dp_rpc_start(path, err, sizeof(err)) != 0)
		return 1;
	return pthread_create(&server, NULL, serve, NULL);
}

static void
test_stop(void)
{
	int fd = join_working();
	char line[16];

	dp_loop_stop();
	CU_ASSERT_EQUAL(pthread_join(server, NULL), 0);
	dp_rpc_stop();
	CU_ASSERT_EQUAL(hear(fd, line, sizeof(line)), 0);
	CU_ASSERT_NOT_EQUAL(access(path, F_OK), 0);
	close(fd);
}

static int
cleanup(void)
{
	dp_loop_fini();
	straw_fini();
	return rmdir(folder);
}

int
main(void)
{
	static const struct cu_test tests[] = {
		{"mode of the file", test_mode},
		{"a line in pieces", test_pieces},
		{"a heap of lines", test_heap},
		{"the end of a client", test_end},
		{"the longest line, and longer", test_long_line},
		{"a line without end", test_late_line},
		{"a slow reader", test_slow_reader},
		{"a crowd", test_crowd},
		{"noise", test_noise},
		{"stop", test_stop},
		{"the path", test_path},
		{NULL, NULL},
	};

	return cu_run("dp_rpc socket", tests, init, cleanup);
}
