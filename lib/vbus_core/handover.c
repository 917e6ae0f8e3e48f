/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * Packets between vbus-keeper and a data plane, and what both know of the PCI function (ADR-0016).
 * Free of DPDK. Any thread; descriptors that are received belong to the caller.
 */

#include "handover.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <vbus/pci.h>

#include "link_state.h"

#define SEND_WAIT_MS 1000
#define BAR0_SIZE    4096u
#define BAR1_SIZE    32u

_Static_assert(sizeof(struct vu_state) <= VBUS_LINK_VFU_SIZE, "the session fits its area");
_Static_assert(VBUS_HO_FDS <= VFU_MAX_FDS, "vfu_io_send() takes them");

struct vbus_ho_msg
vbus_ho_msg(enum vbus_ho_type type, uint32_t link)
{
	struct vbus_ho_msg m = {
		.magic = VBUS_HO_MAGIC,
		.version = VBUS_HO_VERSION,
		.type = (uint16_t)type,
		.link = link,
	};

	return m;
}

int
vbus_ho_send(int sock, const struct vbus_ho_msg *msg, const int *fds, uint32_t nb_fds)
{
	struct vbus_ho_msg copy = *msg;
	struct iovec iov = {.iov_base = &copy, .iov_len = sizeof(copy)};
	struct pollfd p = {.fd = sock, .events = POLLOUT};
	ssize_t n;

	if (nb_fds > VBUS_HO_FDS)
		return -EINVAL;
	n = vfu_io_send(sock, &iov, 1, fds, nb_fds);
	if ((n == -EAGAIN || n == -EWOULDBLOCK) && poll(&p, 1, SEND_WAIT_MS) > 0)
		n = vfu_io_send(sock, &iov, 1, fds, nb_fds);
	return n < 0 ? (int)n : 0;
}

static void
take_fds(struct msghdr *m, int *fds, uint32_t *nb)
{
	struct cmsghdr *c;
	size_t n, i;
	int fd;

	for (c = CMSG_FIRSTHDR(m); c != NULL; c = CMSG_NXTHDR(m, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (i = 0; i < n; i++) {
			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
			if (*nb < VBUS_HO_FDS)
				fds[(*nb)++] = fd;
			else
				close(fd);
		}
	}
}

int
vbus_ho_recv(int sock, int wait_ms, struct vbus_ho_msg *msg, int *fds, uint32_t *nb_fds)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(VBUS_HO_FDS * sizeof(int))];
	} control;
	struct iovec iov = {.iov_base = msg, .iov_len = sizeof(*msg)};
	struct msghdr m = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control.buf)};
	struct pollfd p = {.fd = sock, .events = POLLIN};
	ssize_t n;
	int err = 0;

	*nb_fds = 0;
	if (wait_ms > 0 && poll(&p, 1, wait_ms) == 0)
		return 0;
	n = recvmsg(sock, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (n < 0)
		return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? 0 : -errno;
	if (n == 0)
		return -ECONNRESET;
	take_fds(&m, fds, nb_fds);
	if (n < (ssize_t)(2 * sizeof(uint32_t)) || msg->magic != VBUS_HO_MAGIC)
		err = -EBADMSG;
	else if (msg->version != VBUS_HO_VERSION)
		err = -EPROTONOSUPPORT;
	else if (n != (ssize_t)sizeof(*msg) || (m.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0)
		err = -EBADMSG;
	if (err == 0) {
		msg->text[sizeof(msg->text) - 1] = '\0';
		return 1;
	}
	while (*nb_fds > 0)
		close(fds[--*nb_fds]);
	return err;
}

/* ---- the function ------------------------------------------------------------------------------ */

struct vu_state *
vbus_vu_state(struct vbus_link_state *ls)
{
	return (struct vu_state *)(void *)ls->vfu;
}

int
vbus_vu_region_info(uint32_t index, struct vfu_region_info *info)
{
	info->flags = VFU_REGION_F_READ | VFU_REGION_F_WRITE;
	switch (index) {
	case VBUS_PCI_BAR_REGS:
		info->size = BAR0_SIZE;
		break;
	case VBUS_PCI_BAR_SIGNALS:
		info->size = BAR1_SIZE;
		break;
	case VFU_PCI_CONFIG:
		info->size = VBUS_LINK_CONFIG;
		break;
	default:
		info->size = 0;
		info->flags = 0;
	}
	return 0;
}

int
vbus_vu_kick_info(uint32_t index, int fd, struct vfu_io_fd_info *info)
{
	if (index != VBUS_PCI_BAR_SIGNALS && index != VBUS_PCI_BAR_REGS)
		return 0;
	*info = (struct vfu_io_fd_info){
		.offset = (index == VBUS_PCI_BAR_REGS ? VBUS_PCI_DOORBELL : 0) +
			  offsetof(struct vbus_pci_signals, shmsignal),
		.size = sizeof(uint32_t),
		.fd = fd,
	};
	return 1;
}

int
vbus_vu_irq_info(uint32_t index, uint32_t *flags, uint32_t *count)
{
	*flags = 0;
	*count = 0;
	if (index == VFU_PCI_INTX) {
		*flags = VFU_IRQ_F_EVENTFD | VFU_IRQ_F_MASKABLE | VFU_IRQ_F_AUTOMASKED;
		*count = 1;
	} else if (index == VFU_PCI_MSI) {
		*flags = VFU_IRQ_F_EVENTFD;
		*count = 1;
	}
	return 0;
}

struct vfu_session_conf
vbus_vu_conf(const struct vfu_ops *ops, void *arg)
{
	const struct vfu_session_conf conf = {
		.ops = ops,
		.arg = arg,
		.num_regions = VFU_PCI_NUM_REGIONS,
		.num_irqs = VFU_PCI_NUM_IRQS,
		.flags = VFU_DEVICE_F_RESET | VFU_DEVICE_F_PCI,
	};

	return conf;
}
