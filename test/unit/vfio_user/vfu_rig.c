/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * What the tests of lib/vfio_user share. One thread; everything is non-blocking, and the two ends
 * of a socket pair take turns.
 */

#include "vfu_rig.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <CUnit/Basic.h>

static int
dev_region_info(void *arg, uint32_t index, struct vfu_region_info *info)
{
	struct rig_dev *dev = arg;

	if (index < VFU_PCI_NUM_REGIONS)
		*info = dev->regions[index];
	return 0;
}

static int
dev_read(void *arg, uint32_t index, uint64_t offset, void *buf, uint32_t len)
{
	struct rig_dev *dev = arg;

	dev->nb_read++;
	dev->region = index;
	dev->offset = offset;
	dev->len = len;
	if (index == 0 && offset + len <= sizeof(dev->mem))
		memcpy(buf, dev->mem + offset, len);
	else
		memset(buf, (int)index, len);
	return dev->read_rc;
}

static int
dev_write(void *arg, uint32_t index, uint64_t offset, const void *buf, uint32_t len)
{
	struct rig_dev *dev = arg;

	dev->nb_write++;
	dev->region = index;
	dev->offset = offset;
	dev->len = len;
	memcpy(dev->data, buf, len < sizeof(dev->data) ? len : sizeof(dev->data));
	if (index == 0 && offset + len <= sizeof(dev->mem))
		memcpy(dev->mem + offset, buf, len);
	return dev->write_rc;
}

static int
dev_map(void *arg, const struct vfu_dma_map *map, int fd)
{
	struct rig_dev *dev = arg;

	dev->nb_map++;
	dev->map = *map;
	if (dev->map_rc != 0)
		return dev->map_rc;
	if (dev->map_fd >= 0)
		close(dev->map_fd);
	dev->map_fd = fd;
	return 0;
}

static int
dev_unmap(void *arg, uint64_t first, uint64_t last)
{
	struct rig_dev *dev = arg;

	dev->nb_unmap++;
	dev->first = first;
	dev->last = last;
	return dev->unmap_rc;
}

static int
dev_irq_info(void *arg, uint32_t index, uint32_t *flags, uint32_t *count)
{
	struct rig_dev *dev = arg;

	*flags = VFU_IRQ_F_EVENTFD;
	*count = dev->irq_count[index];
	return 0;
}

static void
drop_irq_fds(struct rig_dev *dev)
{
	for (uint32_t i = 0; i < dev->irqs.nb_fds; i++)
		close(dev->irq_fds[i]);
	dev->irqs.nb_fds = 0;
}

static int
dev_set_irqs(void *arg, const struct vfu_set_irqs *set)
{
	struct rig_dev *dev = arg;

	dev->nb_irqs++;
	if (dev->irq_rc != 0)
		return dev->irq_rc;
	drop_irq_fds(dev);
	dev->irqs = *set;
	memcpy(dev->irq_fds, set->fds, set->nb_fds * sizeof(int));
	if (set->bools != NULL)
		memcpy(dev->irq_bools, set->bools,
			set->count < sizeof(dev->irq_bools) ? set->count : sizeof(dev->irq_bools));
	return 0;
}

static int
dev_reset(void *arg)
{
	struct rig_dev *dev = arg;

	dev->nb_reset++;
	if (dev->stop != NULL)
		vfu_session_stop(dev->stop, -ESHUTDOWN);
	if (dev->kill != NULL)
		vfu_session_free(dev->kill);
	return dev->reset_rc;
}

static int
dev_io_fds(void *arg, uint32_t index, struct vfu_io_fd_info *fds, uint32_t max)
{
	struct rig_dev *dev = arg;

	if (dev->io_fds_rc != 0)
		return dev->io_fds_rc;
	if (index != 1)
		return 0;
	CU_ASSERT_FATAL((uint32_t)dev->nb_io_fds <= max);
	memcpy(fds, dev->io_fds, (size_t)dev->nb_io_fds * sizeof(*fds));
	return dev->nb_io_fds;
}

static void
dev_closed(void *arg, int reason, const char *why)
{
	struct rig_dev *dev = arg;

	dev->nb_closed++;
	dev->reason = reason;
	strncpy(dev->why, why, sizeof(dev->why) - 1);
}

static void
dev_log(void *arg, enum vfu_log_level level, const char *line)
{
	struct rig_dev *dev = arg;

	(void)level;
	CU_ASSERT(strchr(line, '\n') == NULL);
	dev->nb_log++;
}

const struct vfu_ops rig_ops = {
	.region_info = dev_region_info,
	.region_read = dev_read,
	.region_write = dev_write,
	.dma_map = dev_map,
	.dma_unmap = dev_unmap,
	.irq_info = dev_irq_info,
	.set_irqs = dev_set_irqs,
	.reset = dev_reset,
	.region_io_fds = dev_io_fds,
	.closed = dev_closed,
	.log = dev_log,
};

void
rig_dev_init(struct rig_dev *dev)
{
	memset(dev, 0, sizeof(*dev));
	dev->map_fd = -1;
	for (int i = 0; i < VFU_PCI_NUM_REGIONS; i++)
		dev->regions[i].fd = -1;
	dev->regions[0].size = RIG_BAR_SIZE;
	dev->regions[0].flags = VFU_REGION_F_READ | VFU_REGION_F_WRITE;
	dev->regions[1].size = 32;
	dev->regions[1].flags = VFU_REGION_F_READ | VFU_REGION_F_WRITE;
	dev->regions[VFU_PCI_CONFIG].size = 256;
	dev->regions[VFU_PCI_CONFIG].flags = VFU_REGION_F_READ | VFU_REGION_F_WRITE;
	dev->irq_count[VFU_PCI_INTX] = 1;
	dev->irq_count[VFU_PCI_MSI] = 1;
	dev->irq_count[VFU_PCI_MSIX] = 253;
}

void
rig_dev_drop(struct rig_dev *dev)
{
	drop_irq_fds(dev);
	if (dev->map_fd >= 0)
		close(dev->map_fd);
	dev->map_fd = -1;
}

void
rig_open(struct rig *rig)
{
	const struct vfu_session_conf conf = {
		.ops = &rig_ops,
		.arg = &rig->dev,
		.num_regions = VFU_PCI_NUM_REGIONS,
		.num_irqs = VFU_PCI_NUM_IRQS,
		.flags = VFU_DEVICE_F_RESET | VFU_DEVICE_F_PCI,
	};
	int pair[2];

	rig_dev_init(&rig->dev);
	CU_ASSERT_FATAL(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0);
	rig->raw = pair[0];
	rig->state = calloc(1, sizeof(*rig->state));
	CU_ASSERT_FATAL(rig->state != NULL);
	CU_ASSERT_FATAL(vfu_session_open(pair[1], &conf, rig->state, &rig->s) == 0);
}

void
rig_open_ready(struct rig *rig)
{
	const struct vfu_version version = {0, 1};
	struct rig_msg *msg = malloc(sizeof(*msg));

	rig_open(rig);
	CU_ASSERT_FATAL(msg != NULL);
	CU_ASSERT(rig_call(rig, VFU_CMD_VERSION, &version, sizeof(version), NULL, 0, msg) == 0);
	free(msg);
}

void
rig_close(struct rig *rig)
{
	vfu_session_free(rig->s);
	rig->s = NULL;
	if (rig->raw >= 0)
		close(rig->raw);
	rig_dev_drop(&rig->dev);
	free(rig->state);
}

void
raw_send(int sock, const void *buf, size_t len, const int *fds, uint32_t nb_fds)
{
	struct iovec iov = {(void *)(uintptr_t)buf, len};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	char control[CMSG_SPACE(VFU_MAX_FDS * sizeof(int))] = {0};

	if (nb_fds > 0) {
		struct cmsghdr *c;

		msg.msg_control = control;
		msg.msg_controllen = CMSG_SPACE(nb_fds * sizeof(int));
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(nb_fds * sizeof(int));
		memcpy(CMSG_DATA(c), fds, nb_fds * sizeof(int));
	}
	CU_ASSERT_FATAL(sendmsg(sock, &msg, MSG_NOSIGNAL) == (ssize_t)len);
}

void
raw_message(int sock, uint16_t id, uint16_t command, uint32_t flags, const void *payload,
	uint32_t len, const int *fds, uint32_t nb_fds)
{
	struct vfu_header h = {.id = id, .command = command, .flags = flags};
	uint8_t *buf = malloc(sizeof(h) + len);

	CU_ASSERT_FATAL(buf != NULL);
	h.size = (uint32_t)sizeof(h) + len;
	memcpy(buf, &h, sizeof(h));
	if (len > 0)
		memcpy(buf + sizeof(h), payload, len);
	raw_send(sock, buf, h.size, fds, nb_fds);
	free(buf);
}

/* Receive exactly len bytes, as a peer that never waits for the rest of a message would. */
static int
raw_read(int sock, struct rig_msg *m, void *buf, size_t len)
{
	char control[CMSG_SPACE(VFU_MAX_FDS * sizeof(int))];
	struct iovec iov = {buf, len};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	ssize_t n;

	msg.msg_control = control;
	msg.msg_controllen = sizeof(control);
	n = recvmsg(sock, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (n < 0)
		return errno == EAGAIN ? 0 : -1;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c != NULL; c = CMSG_NXTHDR(&msg, c)) {
		size_t nb = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		memcpy(m->fds + m->nb_fds, CMSG_DATA(c), nb * sizeof(int));
		m->nb_fds += (uint32_t)nb;
	}
	if (n == 0)
		return -1;
	CU_ASSERT_FATAL((size_t)n == len);
	return 1;
}

int
raw_receive(int sock, struct rig_msg *msg)
{
	int rc;

	msg->nb_fds = 0;
	msg->len = 0;
	rc = raw_read(sock, msg, &msg->h, sizeof(msg->h));
	if (rc != 1)
		return rc;
	CU_ASSERT_FATAL(msg->h.size >= sizeof(msg->h) && msg->h.size <= VFU_MSG_MAX);
	msg->len = msg->h.size - (uint32_t)sizeof(msg->h);
	if (msg->len > 0)
		CU_ASSERT_FATAL(raw_read(sock, msg, msg->payload, msg->len) == 1);
	return 1;
}

int
rig_call(struct rig *rig, uint16_t command, const void *payload, uint32_t len, const int *fds,
	uint32_t nb_fds, struct rig_msg *msg)
{
	static uint16_t id = 65000; /* wraps, as QEMU's does */

	raw_message(rig->raw, ++id, command, 0, payload, len, fds, nb_fds);
	vfu_session_process(rig->s, 100);
	if (raw_receive(rig->raw, msg) != 1)
		return -1;
	CU_ASSERT(msg->h.id == id);
	CU_ASSERT(msg->h.command == command);
	if (msg->h.flags & VFU_F_ERROR) {
		CU_ASSERT(msg->h.flags == (VFU_F_TYPE_REPLY | VFU_F_ERROR));
		CU_ASSERT(msg->h.size == 16);
		CU_ASSERT(msg->h.error != 0);
		return (int)msg->h.error;
	}
	CU_ASSERT(msg->h.flags == VFU_F_TYPE_REPLY);
	CU_ASSERT(msg->h.error == 0);
	return 0;
}

int
count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	CU_ASSERT_FATAL(dir != NULL);
	while (readdir(dir) != NULL)
		n++;
	closedir(dir);
	return n;
}

int
make_eventfd(void)
{
	int fd = eventfd(0, EFD_CLOEXEC);

	CU_ASSERT_FATAL(fd >= 0);
	return fd;
}

int
make_memfd(uint64_t size)
{
	int fd = memfd_create("vfu-test", MFD_CLOEXEC);

	CU_ASSERT_FATAL(fd >= 0);
	CU_ASSERT_FATAL(ftruncate(fd, (off_t)size) == 0);
	return fd;
}

int
rig_run(void)
{
	unsigned int failed;

	signal(SIGPIPE, SIG_DFL); /* the library must not depend on it being ignored */
	CU_basic_set_mode(CU_BRM_NORMAL);
	CU_basic_run_tests();
	failed = CU_get_number_of_failures();
	CU_cleanup_registry();
	return failed != 0;
}
