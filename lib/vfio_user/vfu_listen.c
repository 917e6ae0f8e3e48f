/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * The listening end of a socket path.
 *
 * Threads: one at a time per listener. Ownership: the listener owns its socket and the file that
 * it made, which it recognises by device and inode: a file that somebody else has put there since
 * is left alone.
 *
 * Whether a socket file is stale is known only by connecting to it, and the answer is old as soon
 * as it is there: two servers that start at once could both find a stale file, and the second would
 * remove the first one's fresh socket. So finding out, removing, binding and listening happen under
 * a lock, flock() on the folder itself, which leaves no lock file behind and ends with the process.
 */

#include "vfu_server.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/* Others hold the folder's lock for some microseconds; this is for those who do not. */
#define LOCK_TRIES   100
#define LOCK_WAIT_NS 2000000

#define LISTEN_BACKLOG 16
/* Clients turned away in one call: a flood of them must not keep the thread. */
#define REFUSE_MAX 64

struct vfu_listener {
	int sock;
	int spare; /* a descriptor to give up when there is no other, see turn_away() */
	dev_t dev;
	ino_t ino;
	uint64_t refused;
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
};

/* Lock the folder that holds `path`. A descriptor to close, or a negative errno. */
static int
folder_lock(const char *path, char *why)
{
	const struct timespec pause = {.tv_nsec = LOCK_WAIT_NS};
	char dir[sizeof(((struct sockaddr_un *)0)->sun_path)];
	const char *slash = strrchr(path, '/');
	int fd, rc;

	if (slash == NULL)
		strcpy(dir, ".");
	else if (slash == path)
		strcpy(dir, "/");
	else
		snprintf(dir, sizeof(dir), "%.*s", (int)(slash - path), path);

	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0) {
		rc = -errno;
		if (rc == -ENOENT)
			vfu_why(why, "%s: there is no folder %s", path, dir);
		else
			vfu_why(why, "%s: folder %s: %s", path, dir, strerror(-rc));
		return rc;
	}
	for (int i = 0; flock(fd, LOCK_EX | LOCK_NB) != 0; i++) {
		if (errno != EWOULDBLOCK && errno != EINTR) {
			rc = -errno;
			vfu_why(why, "%s: lock of folder %s: %s", path, dir, strerror(-rc));
			close(fd);
			return rc;
		}
		if (i == LOCK_TRIES) {
			vfu_why(why, "%s: somebody holds the lock of folder %s", path, dir);
			close(fd);
			return -EBUSY;
		}
		nanosleep(&pause, NULL);
	}
	return fd;
}

/* Connect, to see whether somebody answers: 0 yes, or a negative errno. */
static int
probe(const struct sockaddr_un *addr)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), rc = 0;

	if (fd < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) != 0)
		rc = -errno;
	close(fd);
	/* Its backlog is full, but it is there. */
	return rc == -EAGAIN || rc == -EINPROGRESS ? 0 : rc;
}

/* Make sure that no file is at the path. Under the folder's lock. */
static int
clear_path(const struct sockaddr_un *addr, char *why)
{
	const char *path = addr->sun_path;
	struct stat st;
	int rc;

	if (lstat(path, &st) != 0) {
		rc = -errno;
		if (rc == -ENOENT)
			return 0;
		vfu_why(why, "%s: %s", path, strerror(-rc));
		return rc;
	}
	if (!S_ISSOCK(st.st_mode)) {
		vfu_why(why, "%s: exists and is not a socket", path);
		return -ENOTSOCK;
	}
	rc = probe(addr);
	switch (rc) {
	case 0:
	case -EPROTOTYPE:
		vfu_why(why, "%s: is served already by another process or port", path);
		return -EADDRINUSE;
	case -ENOENT:
		return 0;
	case -ECONNREFUSED:
		break;
	default:
		vfu_why(why, "%s: exists, and whether it is served cannot be found out: %s", path,
			strerror(-rc));
		return rc;
	}
	if (unlink(path) != 0 && errno != ENOENT) {
		rc = -errno;
		vfu_why(why, "%s: cannot remove the stale socket: %s", path, strerror(-rc));
		return rc;
	}
	return 0;
}

/* Bind and listen. Under the folder's lock. */
static int
bind_path(struct vfu_listener *l, const struct sockaddr_un *addr, char *why)
{
	const char *path = addr->sun_path;
	struct stat st;
	int rc;

	/*
	 * The file takes over the mode of the socket: nobody else can connect in between. Only
	 * where the kernel does it otherwise is chmod() needed.
	 */
	fchmod(l->sock, 0600);
	if (bind(l->sock, (const struct sockaddr *)addr, sizeof(*addr)) != 0) {
		rc = -errno;
		vfu_why(why, "%s: bind: %s", path, strerror(-rc));
		return rc;
	}
	if (lstat(path, &st) != 0)
		goto err_unlink;
	l->dev = st.st_dev;
	l->ino = st.st_ino;
	if ((st.st_mode & 0777) != 0600 && chmod(path, 0600) != 0)
		goto err_unlink;
	if (listen(l->sock, LISTEN_BACKLOG) != 0)
		goto err_unlink;
	return 0;

err_unlink:
	rc = -errno;
	vfu_why(why, "%s: %s", path, strerror(-rc));
	unlink(path);
	return rc;
}

int
vfu_listen_open(const char *path, struct vfu_listener **listener, char *why)
{
	return vfu_listen_open_as(path, SOCK_STREAM, listener, why);
}

int
vfu_listen_open_as(const char *path, int type, struct vfu_listener **listener, char *why)
{
	struct vfu_listener *l;
	struct sockaddr_un addr;
	int rc, lock;

	*listener = NULL;
	rc = vfu_io_address(path, &addr, why);
	if (rc != 0)
		return rc;
	l = calloc(1, sizeof(*l));
	if (l == NULL) {
		vfu_why(why, "%s: no memory", path);
		return -ENOMEM;
	}
	memcpy(l->path, addr.sun_path, sizeof(l->path));
	l->spare = -1;
	l->sock = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (l->sock < 0) {
		rc = -errno;
		vfu_why(why, "%s: socket: %s", path, strerror(-rc));
		goto err_free;
	}
	lock = folder_lock(path, why);
	if (lock < 0) {
		rc = lock;
		goto err_close;
	}
	rc = clear_path(&addr, why);
	if (rc == 0)
		rc = bind_path(l, &addr, why);
	close(lock);
	if (rc != 0)
		goto err_close;
	l->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
	*listener = l;
	return 0;

err_close:
	close(l->sock);
err_free:
	free(l);
	return rc;
}

int
vfu_listen_fd(const struct vfu_listener *listener)
{
	return listener->sock;
}

const char *
vfu_listen_path(const struct vfu_listener *listener)
{
	return listener->path;
}

uint64_t
vfu_listen_refused(const struct vfu_listener *listener)
{
	return listener->refused;
}

/*
 * No descriptor is free: the client that waits would keep the listener ready for ever, and its
 * thread busy. Use the spare one to hang up on it.
 */
static void
turn_away(struct vfu_listener *l)
{
	int fd;

	if (l->spare >= 0)
		close(l->spare);
	fd = accept4(l->sock, NULL, NULL, SOCK_CLOEXEC);
	if (fd >= 0) {
		close(fd);
		l->refused++;
	}
	l->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

int
vfu_listen_accept(struct vfu_listener *listener, bool busy)
{
	for (int i = 0; i < REFUSE_MAX; i++) {
		int fd = accept4(listener->sock, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd < 0) {
			if (errno == EINTR || errno == ECONNABORTED)
				continue;
			if (errno == EAGAIN || errno == EWOULDBLOCK)
				return busy && i > 0 ? -EBUSY : -EAGAIN;
			if (errno == EMFILE || errno == ENFILE) {
				turn_away(listener);
				return -EMFILE;
			}
			return -errno;
		}
		if (!busy)
			return fd;
		close(fd);
		listener->refused++;
	}
	return busy ? -EBUSY : -EAGAIN;
}

void
vfu_listen_close(struct vfu_listener *listener)
{
	struct stat st;
	int lock;

	if (listener == NULL)
		return;
	/* Without the lock (the folder is gone, or blocked) the check is as good as it gets. */
	lock = folder_lock(listener->path, NULL);
	if (lstat(listener->path, &st) == 0 && S_ISSOCK(st.st_mode) && st.st_dev == listener->dev &&
		st.st_ino == listener->ino)
		unlink(listener->path);
	close(listener->sock);
	if (listener->spare >= 0)
		close(listener->spare);
	if (lock >= 0)
		close(lock);
	free(listener);
}
