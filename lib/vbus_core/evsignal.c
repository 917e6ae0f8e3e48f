/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * Signals to eventfds of peers by asynchronous reads of /dev/null: they complete within
 * io_submit(2), and the completion signals. Where a sandbox refuses that, by write(2).
 *
 * Threads: any; one context per process, made at the first use, under the control lock, and kept.
 * The kernel locks it.
 */

#include "evsignal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "vbus_log.h"

#define NB_SLOTS 8

static struct {
	bool tried;
	int null_fd;
	aio_context_t ctx; /* 0: none */
} aio = {.null_fd = -1};

static void
aio_init(void)
{
	aio.tried = true;
	aio.null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (aio.null_fd < 0 || syscall(SYS_io_setup, NB_SLOTS, &aio.ctx) != 0) {
		VBUS_LOG(NOTICE, "no asynchronous I/O (%s): a hostile peer may block an interrupt",
			strerror(errno));
		aio.ctx = 0;
	}
}

/* Completions are there at once; they only have to be taken out of the way. */
static void
aio_reap(void)
{
	struct io_event ev[NB_SLOTS];
	struct timespec now = {0};

	syscall(SYS_io_getevents, aio.ctx, 0, NB_SLOTS, ev, &now);
}

static int
aio_signal(int fd)
{
	struct iocb cb = {
		.aio_fildes = (uint32_t)aio.null_fd,
		.aio_lio_opcode = IOCB_CMD_PREAD,
		.aio_flags = IOCB_FLAG_RESFD,
		.aio_resfd = (uint32_t)fd,
	};
	struct iocb *list = &cb;
	int ret = (int)syscall(SYS_io_submit, aio.ctx, 1, &list) == 1 ? 0 : -errno;

	aio_reap();
	return ret;
}

int
vbus_eventfd_signal(int fd)
{
	struct pollfd pfd = {.fd = fd, .events = POLLOUT};
	uint64_t one = 1;

	if (!aio.tried)
		aio_init();
	if (aio.ctx != 0)
		return aio_signal(fd);
	if (poll(&pfd, 1, 0) <= 0 || (pfd.revents & POLLOUT) == 0)
		return 0; /* full: it says so already */
	return write(fd, &one, sizeof(one)) == (ssize_t)sizeof(one) || errno == EAGAIN ? 0 : -errno;
}
