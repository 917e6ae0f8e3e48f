/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * vfu_listen.c: what may be in the way of a socket path, and what must not get there.
 */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vfu_client.h"
#include "vfu_rig.h"

static char dir[64];
static char path[100];
static char why[VFU_WHY_LEN];
static int fds_before;

static int
init(void)
{
	snprintf(dir, sizeof(dir), "/tmp/vfu-listen-XXXXXX");
	if (mkdtemp(dir) == NULL)
		return -1;
	snprintf(path, sizeof(path), "%s/s", dir);
	return 0;
}

static int
clean(void)
{
	return rmdir(dir); /* fails if anything was left behind */
}

static void
setup(void)
{
	fds_before = count_fds();
	why[0] = '\0';
}

static void
teardown(void)
{
	CU_ASSERT(count_fds() == fds_before);
}

static int
try_open(const char *p)
{
	struct vfu_listener *l = (void *)1;
	int rc = vfu_listen_open(p, &l, why);

	if (rc == 0) {
		vfu_listen_close(l);
		return 0;
	}
	CU_ASSERT(l == NULL);
	CU_ASSERT(why[0] != '\0');
	CU_ASSERT(strchr(why, '\n') == NULL);
	return rc;
}

static int
connect_to(const char *p)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", p);
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0)
		return fd;
	close(fd);
	return -errno;
}

static void
bad_paths(void)
{
	char long_path[120], buf[100];

	setup();
	CU_ASSERT(try_open("") == -EINVAL);
	CU_ASSERT(try_open(NULL) == -EINVAL);
	memset(long_path, 'a', sizeof(long_path));
	long_path[108] = '\0';
	CU_ASSERT(try_open(long_path) == -ENAMETOOLONG);
	/* 107 bytes are possible. */
	memcpy(long_path, dir, strlen(dir));
	long_path[strlen(dir)] = '/';
	long_path[107] = '\0';
	CU_ASSERT(try_open(long_path) == 0);
	snprintf(buf, sizeof(buf), "%s/none/s", dir);
	CU_ASSERT(try_open(buf) == -ENOENT);
	CU_ASSERT(strstr(why, "no folder") != NULL);
	CU_ASSERT(try_open("/dev/null/s") == -ENOTDIR);
	CU_ASSERT(try_open(dir) == -ENOTSOCK);
	CU_ASSERT(vfu_listen_open("", &(struct vfu_listener *){NULL}, NULL) == -EINVAL);
	teardown();
}

static void
serves_and_removes(void)
{
	struct vfu_listener *l;
	struct stat st;
	int c, s;

	setup();
	CU_ASSERT_FATAL(vfu_listen_open(path, &l, why) == 0);
	CU_ASSERT(strcmp(vfu_listen_path(l), path) == 0);
	CU_ASSERT(stat(path, &st) == 0 && S_ISSOCK(st.st_mode) && (st.st_mode & 0777) == 0600);
	CU_ASSERT(vfu_listen_accept(l, false) == -EAGAIN);
	c = connect_to(path);
	CU_ASSERT(c >= 0);
	s = vfu_listen_accept(l, false);
	CU_ASSERT(s >= 0);
	CU_ASSERT(fcntl(s, F_GETFL) & O_NONBLOCK);
	CU_ASSERT(fcntl(s, F_GETFD) & FD_CLOEXEC);
	close(c);
	close(s);
	vfu_listen_close(l);
	vfu_listen_close(NULL);
	CU_ASSERT(stat(path, &st) != 0 && errno == ENOENT);
	teardown();
}

static void
modes_and_masks(void)
{
	static const mode_t masks[] = {0, 022, 077, 0177, 0777};
	struct vfu_listener *l;
	struct stat st;

	setup();
	for (size_t i = 0; i < sizeof(masks) / sizeof(masks[0]); i++) {
		mode_t old = umask(masks[i]);

		CU_ASSERT_FATAL(vfu_listen_open(path, &l, why) == 0);
		umask(old);
		CU_ASSERT(stat(path, &st) == 0 && (st.st_mode & 0777) == 0600);
		vfu_listen_close(l);
	}
	teardown();
}

/* A server that was killed leaves its file behind. */
static void
stale_file_is_replaced(void)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	struct vfu_listener *l;
	int fd = socket(AF_UNIX, SOCK_STREAM, 0), c;

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	CU_ASSERT_FATAL(bind(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0);
	CU_ASSERT_FATAL(listen(fd, 1) == 0);
	close(fd);
	CU_ASSERT(connect_to(path) == -ECONNREFUSED);
	setup();
	CU_ASSERT_FATAL(vfu_listen_open(path, &l, why) == 0);
	c = connect_to(path);
	CU_ASSERT(c >= 0);
	close(c);
	vfu_listen_close(l);
	teardown();
}

static void
second_server_is_refused(void)
{
	struct vfu_listener *l;
	int c;

	setup();
	CU_ASSERT_FATAL(vfu_listen_open(path, &l, why) == 0);
	CU_ASSERT(try_open(path) == -EADDRINUSE);
	CU_ASSERT(strstr(why, "served already") != NULL);
	/* The first goes on. */
	c = connect_to(path);
	CU_ASSERT(c >= 0);
	close(c);
	vfu_listen_close(l);
	teardown();
}

/* Its backlog is full: it is there all the same. */
static void
busy_server_is_a_server(void)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0), c;

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	CU_ASSERT_FATAL(bind(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0);
	CU_ASSERT_FATAL(listen(fd, 0) == 0);
	c = connect_to(path);
	setup();
	CU_ASSERT(try_open(path) == -EADDRINUSE);
	teardown();
	close(c);
	close(fd);
	unlink(path);
}

static void
other_files_stay(void)
{
	struct stat st;
	int fd = open(path, O_CREAT | O_WRONLY, 0644);

	CU_ASSERT_FATAL(fd >= 0 && write(fd, "x", 1) == 1);
	close(fd);
	setup();
	CU_ASSERT(try_open(path) == -ENOTSOCK);
	CU_ASSERT(strstr(why, "not a socket") != NULL);
	CU_ASSERT(stat(path, &st) == 0 && st.st_size == 1);
	unlink(path);
	CU_ASSERT_FATAL(symlink("nowhere", path) == 0);
	CU_ASSERT(try_open(path) == -ENOTSOCK);
	unlink(path);
	CU_ASSERT_FATAL(mkfifo(path, 0600) == 0);
	CU_ASSERT(try_open(path) == -ENOTSOCK);
	unlink(path);
	teardown();
}

/* Another kind of socket: it is not ours to judge, and it stays. */
static void
datagram_socket_stays(void)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0);

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	CU_ASSERT_FATAL(bind(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0);
	setup();
	CU_ASSERT(try_open(path) == -EADDRINUSE);
	teardown();
	close(fd);
	unlink(path);
}

/* On close, a file that is not ours any more stays. */
static void
foreign_file_survives_close(void)
{
	struct vfu_listener *l, *l2;
	struct stat st;

	setup();
	CU_ASSERT_FATAL(vfu_listen_open(path, &l, why) == 0);
	unlink(path);
	CU_ASSERT_FATAL(vfu_listen_open(path, &l2, why) == 0);
	vfu_listen_close(l);
	CU_ASSERT(stat(path, &st) == 0);
	vfu_listen_close(l2);
	CU_ASSERT(stat(path, &st) != 0);
	teardown();
}

/* Without the rights, in a child that is nobody. */
static void
no_permission(void)
{
	int status;
	pid_t pid;

	if (geteuid() != 0 && chmod(dir, 0500) != 0)
		CU_FAIL("chmod");
	pid = fork();
	CU_ASSERT_FATAL(pid >= 0);
	if (pid == 0) {
		struct vfu_listener *l;
		int rc;

		if (geteuid() == 0 && setuid(65534) != 0)
			_exit(2);
		rc = vfu_listen_open(path, &l, why);
		_exit(rc == -EACCES && strstr(why, "ermission") != NULL ? 0 : 1);
	}
	CU_ASSERT(waitpid(pid, &status, 0) == pid);
	CU_ASSERT(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	chmod(dir, 0700);
}

static void
lock_held_for_long(void)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY);

	setup();
	CU_ASSERT_FATAL(flock(fd, LOCK_EX) == 0);
	CU_ASSERT(try_open(path) == -EBUSY);
	CU_ASSERT(flock(fd, LOCK_UN) == 0);
	CU_ASSERT(try_open(path) == 0);
	teardown();
	close(fd);
}

/* Many processes want the path at once, with a stale file there: exactly one gets it. */
static void
race_has_one_winner(void)
{
	enum {
		N = 12,
		ROUNDS = 20
	};

	for (int round = 0; round < ROUNDS; round++) {
		int go[2], done[2], winners = 0;
		char c;

		stale_file_is_replaced();
		CU_ASSERT_FATAL(pipe(go) == 0 && pipe(done) == 0);
		for (int i = 0; i < N; i++) {
			if (fork() == 0) {
				struct vfu_listener *l;
				int rc;

				close(go[1]);
				close(done[0]);
				(void)!read(go[0], &c, 1); /* end of file starts all */
				rc = vfu_listen_open(path, &l, NULL);
				c = rc == 0 ? 'w' : rc == -EADDRINUSE ? 'l' : '?';
				(void)!write(done[1], &c, 1);
				if (rc == 0) {
					/* Serve until all have asked. */
					close(done[1]);
					pause();
				}
				_exit(0);
			}
		}
		close(go[0]);
		close(done[1]);
		close(go[1]);
		for (int i = 0; i < N; i++) {
			CU_ASSERT_FATAL(read(done[0], &c, 1) == 1);
			CU_ASSERT(c == 'w' || c == 'l');
			winners += c == 'w';
		}
		CU_ASSERT(winners == 1);
		close(done[0]);
		int s = connect_to(path);
		struct ucred cred = {0};
		socklen_t len = sizeof(cred);

		CU_ASSERT_FATAL(s >= 0);
		CU_ASSERT(getsockopt(s, SOL_SOCKET, SO_PEERCRED, &cred, &len) == 0);
		close(s);
		if (cred.pid > 1 && cred.pid != getpid())
			kill(cred.pid, SIGKILL);
		for (int i = 0; i < N; i++)
			wait(NULL);
		unlink(path);
	}
}

/* The first client stays, others are closed at once. */
static void
second_client_is_turned_away(void)
{
	struct vfu_listener *l;
	int c1, c2, c3, s;
	char c;

	setup();
	CU_ASSERT_FATAL(vfu_listen_open(path, &l, why) == 0);
	c1 = connect_to(path);
	s = vfu_listen_accept(l, false);
	CU_ASSERT(s >= 0);
	CU_ASSERT(vfu_listen_accept(l, true) == -EAGAIN);
	c2 = connect_to(path);
	c3 = connect_to(path);
	CU_ASSERT(vfu_listen_accept(l, true) == -EBUSY);
	CU_ASSERT(vfu_listen_refused(l) == 2);
	CU_ASSERT(read(c2, &c, 1) == 0);
	CU_ASSERT(read(c3, &c, 1) == 0);
	CU_ASSERT(recv(c1, &c, 1, MSG_DONTWAIT) == -1 && errno == EAGAIN);
	close(c1);
	close(c2);
	close(c3);
	close(s);
	vfu_listen_close(l);
	teardown();
}

/* No descriptor is free: who waits is turned away, and does not keep the listener ready. */
static void
no_descriptor_free(void)
{
	struct pollfd p = {.events = POLLIN};
	struct rlimit old, low;
	struct vfu_listener *l;
	int c, s;
	char b;

	setup();
	CU_ASSERT_FATAL(vfu_listen_open(path, &l, why) == 0);
	p.fd = vfu_listen_fd(l);
	c = connect_to(path);
	CU_ASSERT_FATAL(c >= 0);
	CU_ASSERT_FATAL(getrlimit(RLIMIT_NOFILE, &old) == 0);
	low = old;
	low.rlim_cur = (rlim_t)c + 1;
	CU_ASSERT_FATAL(setrlimit(RLIMIT_NOFILE, &low) == 0);
	CU_ASSERT(poll(&p, 1, 0) == 1);
	CU_ASSERT(vfu_listen_accept(l, false) == -EMFILE);
	CU_ASSERT(poll(&p, 1, 0) == 0);
	CU_ASSERT(recv(c, &b, 1, MSG_DONTWAIT) == 0);
	CU_ASSERT(vfu_listen_refused(l) == 1);
	CU_ASSERT_FATAL(setrlimit(RLIMIT_NOFILE, &old) == 0);
	close(c);
	c = connect_to(path);
	s = vfu_listen_accept(l, false);
	CU_ASSERT(s >= 0);
	close(s);
	close(c);
	vfu_listen_close(l);
	teardown();
}

static void
client_reasons(void)
{
	static const struct vfu_client_ops ops = {0};
	struct vfu_listener *l;
	struct vfu_client *c;
	struct vfu_peer peer;
	char buf[120];
	int fd;

	setup();
	CU_ASSERT(vfu_client_connect("", &ops, NULL, &c, why) == -EINVAL);
	memset(buf, 'a', sizeof(buf));
	buf[108] = '\0';
	CU_ASSERT(vfu_client_connect(buf, &ops, NULL, &c, why) == -ENAMETOOLONG);
	CU_ASSERT(vfu_client_connect(path, &ops, NULL, &c, why) == -ENOENT);
	CU_ASSERT(strstr(why, path) != NULL);
	fd = open(path, O_CREAT | O_WRONLY, 0600);
	close(fd);
	CU_ASSERT(vfu_client_connect(path, &ops, NULL, &c, why) == -ENOTSOCK);
	unlink(path);
	CU_ASSERT_FATAL(vfu_listen_open(path, &l, why) == 0);
	CU_ASSERT_FATAL(vfu_client_connect(path, &ops, NULL, &c, why) == 0);
	CU_ASSERT(vfu_client_peer(c, &peer) == 0);
	CU_ASSERT(peer.pid == getpid() && peer.uid == geteuid());
	vfu_client_free(c);
	/* A listener that nobody accepts from: the backlog fills up, nobody blocks. */
	{
		struct vfu_client *many[64];
		int n = 0, rc;

		while ((rc = vfu_client_connect(path, &ops, NULL, &many[n], why)) == 0)
			CU_ASSERT_FATAL(++n < 64);
		CU_ASSERT(rc == -EAGAIN);
		while (n > 0)
			vfu_client_free(many[--n]);
	}
	vfu_listen_close(l);
	teardown();
}

int
main(void)
{
	static CU_TestInfo tests[] = {
		{"bad paths", bad_paths},
		{"serves and removes", serves_and_removes},
		{"modes and masks", modes_and_masks},
		{"stale file is replaced", stale_file_is_replaced},
		{"second server is refused", second_server_is_refused},
		{"busy server is a server", busy_server_is_a_server},
		{"other files stay", other_files_stay},
		{"datagram socket stays", datagram_socket_stays},
		{"foreign file survives close", foreign_file_survives_close},
		{"no permission", no_permission},
		{"lock held for long", lock_held_for_long},
		{"race has one winner", race_has_one_winner},
		{"second client is turned away", second_client_is_turned_away},
		{"no descriptor free", no_descriptor_free},
		{"client's reasons", client_reasons},
		CU_TEST_INFO_NULL,
	};
	static CU_SuiteInfo suites[] = {
		{"listener", init, clean, NULL, NULL, tests},
		CU_SUITE_INFO_NULL,
	};

	if (CU_initialize_registry() != CUE_SUCCESS || CU_register_suites(suites) != CUE_SUCCESS)
		return 1;
	return rig_run();
}
