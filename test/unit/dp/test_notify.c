/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * What the service manager hears, on a socket of our own.
 */

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "../core/cu_run.h"
#include "dp_notify.h"

/* Bound and set as NOTIFY_SOCKET. */
static int
manager(const char *name)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name));
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", name);
	if (name[0] == '@')
		addr.sun_path[0] = '\0';
	CU_ASSERT_EQUAL_FATAL(bind(fd, (struct sockaddr *)&addr, len), 0);
	setenv("NOTIFY_SOCKET", name, 1);
	return fd;
}

static const char *
heard(int fd)
{
	static char buf[256];
	ssize_t n = recv(fd, buf, sizeof(buf) - 1, 0);

	buf[n > 0 ? n : 0] = '\0';
	return buf;
}

static void
test_path(void)
{
	char folder[] = "/tmp/vbus-dp-test.XXXXXX", path[64];
	int fd;

	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/notify", folder);
	fd = manager(path);
	CU_ASSERT_EQUAL(dp_notify("READY=1\nSTATUS=x"), 0);
	CU_ASSERT_STRING_EQUAL(heard(fd), "READY=1\nSTATUS=x");
	CU_ASSERT_EQUAL(dp_notify_reloading(), 0);
	CU_ASSERT_EQUAL(strncmp(heard(fd), "RELOADING=1\nMONOTONIC_USEC=", 27), 0);
	/* Nobody reads: the manager's queue is full some day, and we do not wait. */
	for (int i = 0; i < 100000; i++)
		if (dp_notify("WATCHDOG=1") == -EAGAIN)
			break;
	CU_ASSERT_EQUAL(dp_notify("WATCHDOG=1"), -EAGAIN);
	close(fd);
	CU_ASSERT_EQUAL(dp_notify("READY=1"), -ECONNREFUSED);
	unlink(path);
	rmdir(folder);
}

static void
test_abstract(void)
{
	char name[64];
	int fd;

	snprintf(name, sizeof(name), "@vbus-dp-test-%d", (int)getpid());
	fd = manager(name);
	CU_ASSERT_EQUAL(dp_notify("STOPPING=1"), 0);
	CU_ASSERT_STRING_EQUAL(heard(fd), "STOPPING=1");
	close(fd);
}

static void
test_none(void)
{
	unsetenv("NOTIFY_SOCKET");
	CU_ASSERT_EQUAL(dp_notify("READY=1"), -ENOENT);
	setenv("NOTIFY_SOCKET", "relative", 1);
	CU_ASSERT_EQUAL(dp_notify("READY=1"), -EINVAL);
	setenv("NOTIFY_SOCKET",
		"/a23456789012345678901234567890123456789012345678901234567890123456789012345678901"
		"2"
		"3456789012345678901234567890123456789",
		1);
	CU_ASSERT_EQUAL(dp_notify("READY=1"), -EINVAL);
}

static void
test_watchdog(void)
{
	char pid[16];

	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
	CU_ASSERT_EQUAL(dp_notify_watchdog_ns(), 0);
	setenv("WATCHDOG_USEC", "3000000", 1);
	CU_ASSERT_EQUAL(dp_notify_watchdog_ns(), 1500000000ull);
	setenv("WATCHDOG_PID", "1", 1);
	CU_ASSERT_EQUAL(dp_notify_watchdog_ns(), 0);
	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	setenv("WATCHDOG_PID", pid, 1);
	CU_ASSERT_EQUAL(dp_notify_watchdog_ns(), 1500000000ull);
	setenv("WATCHDOG_USEC", "18446744073709551615", 1);
	CU_ASSERT_EQUAL(dp_notify_watchdog_ns(), 0);
	setenv("WATCHDOG_USEC", "soon", 1);
	CU_ASSERT_EQUAL(dp_notify_watchdog_ns(), 0);
}

static const struct cu_test tests[] = {
	{"a socket in the file system", test_path},
	{"an abstract socket", test_abstract},
	{"no manager", test_none},
	{"the watchdog's period", test_watchdog},
	{NULL, NULL},
};

int
main(void)
{
	return cu_run("notifications", tests, NULL, NULL);
}
