/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * Each command of the server, good and hostile. The session survives every one of these.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vfu_rig.h"

static struct rig rig;
static struct rig_msg msg;
static int fds_before;

static void
setup(void)
{
	fds_before = count_fds();
	rig_open_ready(&rig);
}

static void
teardown(void)
{
	CU_ASSERT(rig.dev.nb_closed == 0);
	CU_ASSERT(rig_call(&rig, VFU_CMD_DEVICE_RESET, NULL, 0, NULL, 0, &msg) == 0);
	rig_close(&rig);
	CU_ASSERT(count_fds() == fds_before);
}

static int
call(uint16_t command, const void *payload, uint32_t len)
{
	return rig_call(&rig, command, payload, len, NULL, 0, &msg);
}

/* Every length below the right one is refused. */
static void
shorter(uint16_t command, const void *payload, uint32_t len)
{
	for (uint32_t n = 0; n < len; n++)
		CU_ASSERT(call(command, payload, n) == EINVAL);
}

static int
same_file(int a, int b)
{
	struct stat sa, sb;

	return fstat(a, &sa) == 0 && fstat(b, &sb) == 0 && sa.st_dev == sb.st_dev &&
	       sa.st_ino == sb.st_ino;
}

static void
dma_map(void)
{
	struct vfu_dma_map good = {.argsz = 32, .flags = 3, .iova = 0x1000, .size = 0x2000}, m;
	int fds[2];

	setup();
	fds[0] = make_memfd(0x10000);
	fds[1] = make_memfd(0x10000);
	shorter(VFU_CMD_DMA_MAP, &good, sizeof(good));
	CU_ASSERT(rig.dev.nb_map == 0);

	/* With a descriptor: it is the device's now, and the same file. */
	m = good;
	m.offset = 0x3000;
	CU_ASSERT(rig_call(&rig, VFU_CMD_DMA_MAP, &m, sizeof(m), fds, 1, &msg) == 0);
	CU_ASSERT(msg.len == 0);
	CU_ASSERT(rig.dev.nb_map == 1 && memcmp(&rig.dev.map, &m, sizeof(m)) == 0);
	CU_ASSERT(same_file(rig.dev.map_fd, fds[0]));
	CU_ASSERT(fcntl(rig.dev.map_fd, F_GETFD) & FD_CLOEXEC);
	/* Without. */
	CU_ASSERT(call(VFU_CMD_DMA_MAP, &good, sizeof(good)) == 0);
	CU_ASSERT(rig.dev.nb_map == 2 && rig.dev.map_fd == -1);
	/* Two descriptors are one too many; a refusal closes it. */
	CU_ASSERT(rig_call(&rig, VFU_CMD_DMA_MAP, &good, sizeof(good), fds, 2, &msg) == EINVAL);
	rig.dev.map_rc = -EEXIST;
	CU_ASSERT(rig_call(&rig, VFU_CMD_DMA_MAP, &good, sizeof(good), fds, 1, &msg) == EEXIST);
	CU_ASSERT(rig.dev.nb_map == 3 && rig.dev.map_fd == -1);
	rig.dev.map_rc = 0;
	/* Unknown flags are not passed on. */
	m = good;
	m.flags = 0xfffffffdu;
	CU_ASSERT(call(VFU_CMD_DMA_MAP, &m, sizeof(m)) == 0);
	CU_ASSERT(rig.dev.map.flags == VFU_DMA_F_READ);
	/* Arithmetic. */
	m = good;
	m.argsz = 31;
	CU_ASSERT(call(VFU_CMD_DMA_MAP, &m, sizeof(m)) == EINVAL);
	m = good;
	m.size = 0;
	CU_ASSERT(call(VFU_CMD_DMA_MAP, &m, sizeof(m)) == EINVAL);
	m = good;
	m.iova = UINT64_MAX - 0xfff;
	CU_ASSERT(call(VFU_CMD_DMA_MAP, &m, sizeof(m)) == EOVERFLOW);
	m.size = 0x1000; /* up to 2^64 exactly */
	CU_ASSERT(call(VFU_CMD_DMA_MAP, &m, sizeof(m)) == 0);
	m = good;
	m.offset = UINT64_MAX - 1;
	CU_ASSERT(call(VFU_CMD_DMA_MAP, &m, sizeof(m)) == EOVERFLOW);
	/* Too long. */
	{
		uint8_t buf[40] = {0};

		memcpy(buf, &good, sizeof(good));
		CU_ASSERT(call(VFU_CMD_DMA_MAP, buf, sizeof(buf)) == EINVAL);
	}
	close(fds[0]);
	close(fds[1]);
	teardown();
}

static void
dma_unmap(void)
{
	struct vfu_dma_unmap good = {.argsz = 24, .iova = 0x1000, .size = 0x2000}, u;
	int fd;

	setup();
	shorter(VFU_CMD_DMA_UNMAP, &good, sizeof(good));
	CU_ASSERT(call(VFU_CMD_DMA_UNMAP, &good, sizeof(good)) == 0);
	CU_ASSERT(rig.dev.nb_unmap == 1 && rig.dev.first == 0x1000 && rig.dev.last == 0x2fff);
	/* The request comes back. */
	CU_ASSERT(msg.len == sizeof(good) && memcmp(msg.payload, &good, sizeof(good)) == 0);
	/* Ranges as a vIOMMU sends them, up to 2^64 and beyond. */
	u = good;
	u.iova = 0x800000000000;
	u.size = 1ull << 47;
	CU_ASSERT(call(VFU_CMD_DMA_UNMAP, &u, sizeof(u)) == 0);
	CU_ASSERT(rig.dev.last == 0x800000000000 + (1ull << 47) - 1);
	u.iova = 0x1000;
	u.size = 0xffffffff01100000;
	CU_ASSERT(call(VFU_CMD_DMA_UNMAP, &u, sizeof(u)) == 0);
	CU_ASSERT(rig.dev.first == 0x1000 && rig.dev.last == 0xffffffff01100fff);
	u.iova = 0x100000000;
	CU_ASSERT(call(VFU_CMD_DMA_UNMAP, &u, sizeof(u)) == 0);
	CU_ASSERT(rig.dev.first == 0x100000000 && rig.dev.last == UINT64_MAX);
	u.iova = UINT64_MAX;
	u.size = 1;
	CU_ASSERT(call(VFU_CMD_DMA_UNMAP, &u, sizeof(u)) == 0);
	CU_ASSERT(rig.dev.first == UINT64_MAX && rig.dev.last == UINT64_MAX);
	/* Nothing of nothing. */
	CU_ASSERT(rig.dev.nb_unmap == 5);
	u.size = 0;
	CU_ASSERT(call(VFU_CMD_DMA_UNMAP, &u, sizeof(u)) == 0);
	CU_ASSERT(rig.dev.nb_unmap == 5);
	/* Everything. */
	u = (struct vfu_dma_unmap){.argsz = 24, .flags = VFU_DMA_UNMAP_F_ALL};
	CU_ASSERT(call(VFU_CMD_DMA_UNMAP, &u, sizeof(u)) == 0);
	CU_ASSERT(rig.dev.first == 0 && rig.dev.last == UINT64_MAX);
	u.size = 1;
	CU_ASSERT(call(VFU_CMD_DMA_UNMAP, &u, sizeof(u)) == EINVAL);
	/* Dirty bitmaps do not exist; a descriptor is not wanted, and does no harm. */
	u = good;
	u.flags = 1;
	CU_ASSERT(call(VFU_CMD_DMA_UNMAP, &u, sizeof(u)) == EINVAL);
	fd = make_eventfd();
	CU_ASSERT(rig_call(&rig, VFU_CMD_DMA_UNMAP, &good, sizeof(good), &fd, 1, &msg) == 0);
	CU_ASSERT(rig.state->stats.unused_fds == 1);
	close(fd);
	rig.dev.unmap_rc = -EIO;
	CU_ASSERT(call(VFU_CMD_DMA_UNMAP, &good, sizeof(good)) == EIO);
	teardown();
}

static void
device_info(void)
{
	struct vfu_device_info good = {.argsz = 16}, got;

	setup();
	shorter(VFU_CMD_DEVICE_GET_INFO, &good, sizeof(good));
	CU_ASSERT(call(VFU_CMD_DEVICE_GET_INFO, &good, sizeof(good)) == 0);
	CU_ASSERT_FATAL(msg.len == sizeof(got));
	memcpy(&got, msg.payload, sizeof(got));
	CU_ASSERT(got.argsz == 16 && got.flags == 3);
	CU_ASSERT(got.num_regions == 9 && got.num_irqs == 5);
	good.argsz = 15;
	CU_ASSERT(call(VFU_CMD_DEVICE_GET_INFO, &good, sizeof(good)) == EINVAL);
	good.argsz = UINT32_MAX;
	CU_ASSERT(call(VFU_CMD_DEVICE_GET_INFO, &good, sizeof(good)) == 0 && msg.len == 16);
	teardown();
}

static void
region_info(void)
{
	struct vfu_region good = {.argsz = 32}, got;

	setup();
	shorter(VFU_CMD_DEVICE_GET_REGION_INFO, &good, sizeof(good));
	/* Every index is answered: some clients ask for all of them and wait. */
	for (uint32_t i = 0; i < VFU_PCI_NUM_REGIONS; i++) {
		good.index = i;
		CU_ASSERT(call(VFU_CMD_DEVICE_GET_REGION_INFO, &good, sizeof(good)) == 0);
		CU_ASSERT_FATAL(msg.len == sizeof(got));
		memcpy(&got, msg.payload, sizeof(got));
		CU_ASSERT(got.argsz == 32 && got.index == i && got.cap_offset == 0);
		CU_ASSERT(got.size == rig.dev.regions[i].size);
		CU_ASSERT(got.flags == rig.dev.regions[i].flags);
		CU_ASSERT(msg.nb_fds == 0);
	}
	good.index = VFU_PCI_NUM_REGIONS;
	CU_ASSERT(call(VFU_CMD_DEVICE_GET_REGION_INFO, &good, sizeof(good)) == EINVAL);
	good.index = UINT32_MAX;
	CU_ASSERT(call(VFU_CMD_DEVICE_GET_REGION_INFO, &good, sizeof(good)) == EINVAL);
	good.index = 0;
	good.argsz = 31;
	CU_ASSERT(call(VFU_CMD_DEVICE_GET_REGION_INFO, &good, sizeof(good)) == EINVAL);
	teardown();
}

static void
region_mmap(void)
{
	struct vfu_region ask = {.argsz = 32, .index = 2}, got;
	struct vfu_region_info *info = &rig.dev.regions[2];
	struct vfu_cap_sparse cap;
	struct vfu_area area;
	int fd;

	setup();
	fd = make_memfd(0x10000);
	info->size = 0x4000;
	info->flags = VFU_REGION_F_READ | VFU_REGION_F_WRITE | VFU_REGION_F_MMAP;
	/* MMAP without a descriptor is no MMAP. */
	CU_ASSERT(call(VFU_CMD_DEVICE_GET_REGION_INFO, &ask, sizeof(ask)) == 0);
	memcpy(&got, msg.payload, sizeof(got));
	CU_ASSERT(got.flags == 3 && msg.nb_fds == 0);
	/* All of the region. */
	info->fd = fd;
	info->fd_offset = 0x8000;
	CU_ASSERT(call(VFU_CMD_DEVICE_GET_REGION_INFO, &ask, sizeof(ask)) == 0);
	memcpy(&got, msg.payload, sizeof(got));
	CU_ASSERT(msg.len == 32 && got.argsz == 32 && got.flags == 7 && got.offset == 0x8000);
	CU_ASSERT_FATAL(msg.nb_fds == 1);
	CU_ASSERT(same_file(msg.fds[0], fd));
	close(msg.fds[0]);
	/* A part: asked with 32, told 64, asked with 64; the descriptor comes both times. */
	info->nb_areas = 1;
	info->areas[0] = (struct vfu_area){0x1000, 0x2000};
	for (ask.argsz = 32; ask.argsz <= 64; ask.argsz++) {
		CU_ASSERT(call(VFU_CMD_DEVICE_GET_REGION_INFO, &ask, sizeof(ask)) == 0);
		memcpy(&got, msg.payload, sizeof(got));
		CU_ASSERT(got.argsz == 64 && got.flags == 0xf);
		CU_ASSERT(msg.len == (ask.argsz == 64 ? 64u : 32u));
		CU_ASSERT(got.cap_offset == (ask.argsz == 64 ? 32u : 0u));
		CU_ASSERT_FATAL(msg.nb_fds == 1);
		close(msg.fds[0]);
	}
	memcpy(&cap, msg.payload + 32, sizeof(cap));
	memcpy(&area, msg.payload + 48, sizeof(area));
	CU_ASSERT(cap.cap.id == 1 && cap.cap.version == 1 && cap.cap.next == 0);
	CU_ASSERT(cap.nr_areas == 1 && cap.reserved == 0);
	CU_ASSERT(area.offset == 0x1000 && area.size == 0x2000);
	close(fd);
	teardown();
}

static void
region_io_fds(void)
{
	struct vfu_region_io_fds ask = {.argsz = 16 + 16 * 40, .index = 1}, got;
	struct vfu_io_fd e[3];
	int a, b;

	setup();
	rig.state->peer.max_msg_fds = 16;
	shorter(VFU_CMD_DEVICE_GET_REGION_IO_FDS, &ask, sizeof(ask));
	CU_ASSERT(call(VFU_CMD_DEVICE_GET_REGION_IO_FDS, &ask, sizeof(ask)) == 0);
	memcpy(&got, msg.payload, sizeof(got));
	CU_ASSERT(msg.len == 16 && got.argsz == 16 && got.count == 0 && msg.nb_fds == 0);

	a = make_eventfd();
	b = make_eventfd();
	rig.dev.nb_io_fds = 3;
	rig.dev.io_fds[0] = (struct vfu_io_fd_info){.offset = 0, .size = 4, .fd = a};
	rig.dev.io_fds[1] = (struct vfu_io_fd_info){
		.offset = 8, .size = 4, .fd = b, .flags = VFU_IO_FD_F_DATAMATCH, .datamatch = 7};
	rig.dev.io_fds[2] = (struct vfu_io_fd_info){.offset = 12, .size = 4, .fd = a};
	CU_ASSERT(call(VFU_CMD_DEVICE_GET_REGION_IO_FDS, &ask, sizeof(ask)) == 0);
	memcpy(&got, msg.payload, sizeof(got));
	CU_ASSERT_FATAL(msg.len == 16 + 120 && got.argsz == msg.len && got.count == 3);
	memcpy(e, msg.payload + 16, sizeof(e));
	CU_ASSERT_FATAL(msg.nb_fds == 2);
	CU_ASSERT(e[0].fd_index == 0 && e[1].fd_index == 1 && e[2].fd_index == 0);
	CU_ASSERT(e[1].offset == 8 && e[1].size == 4 && e[1].type == VFU_IO_FD_EVENTFD);
	CU_ASSERT(e[1].flags == 1 && e[1].datamatch == 7 && e[0].flags == 0);
	CU_ASSERT(eventfd_write(msg.fds[1], 5) == 0);
	{
		uint64_t v = 0;

		CU_ASSERT(read(b, &v, 8) == 8 && v == 5);
	}
	close(msg.fds[0]);
	close(msg.fds[1]);
	/* Too little room: how much is needed, and no descriptors. */
	ask.argsz = 16 + 119;
	CU_ASSERT(call(VFU_CMD_DEVICE_GET_REGION_IO_FDS, &ask, sizeof(ask)) == 0);
	memcpy(&got, msg.payload, sizeof(got));
	CU_ASSERT(msg.len == 16 && got.argsz == 136 && got.count == 3 && msg.nb_fds == 0);
	/* A client that takes one descriptor gets the entries up to there. */
	ask.argsz = 1000;
	rig.state->peer.max_msg_fds = 1;
	CU_ASSERT(call(VFU_CMD_DEVICE_GET_REGION_IO_FDS, &ask, sizeof(ask)) == 0);
	memcpy(&got, msg.payload, sizeof(got));
	CU_ASSERT(got.count == 1 && msg.nb_fds == 1);
	close(msg.fds[0]);

	ask.index = 9;
	CU_ASSERT(call(VFU_CMD_DEVICE_GET_REGION_IO_FDS, &ask, sizeof(ask)) == EINVAL);
	ask.index = 1;
	ask.flags = 1;
	CU_ASSERT(call(VFU_CMD_DEVICE_GET_REGION_IO_FDS, &ask, sizeof(ask)) == EINVAL);
	ask.flags = 0;
	ask.argsz = 15;
	CU_ASSERT(call(VFU_CMD_DEVICE_GET_REGION_IO_FDS, &ask, sizeof(ask)) == EINVAL);
	ask.argsz = 16;
	rig.dev.io_fds_rc = -ENODEV;
	CU_ASSERT(call(VFU_CMD_DEVICE_GET_REGION_IO_FDS, &ask, sizeof(ask)) == ENODEV);
	close(a);
	close(b);
	teardown();
}

static void
irq_info(void)
{
	struct vfu_irq_info good = {.argsz = 16}, got;

	setup();
	shorter(VFU_CMD_DEVICE_GET_IRQ_INFO, &good, sizeof(good));
	for (uint32_t i = 0; i < VFU_PCI_NUM_IRQS; i++) {
		good.index = i;
		CU_ASSERT(call(VFU_CMD_DEVICE_GET_IRQ_INFO, &good, sizeof(good)) == 0);
		CU_ASSERT_FATAL(msg.len == sizeof(got));
		memcpy(&got, msg.payload, sizeof(got));
		CU_ASSERT(got.argsz == 16 && got.index == i && got.flags == 1);
		CU_ASSERT(got.count == rig.dev.irq_count[i]);
	}
	good.index = VFU_PCI_NUM_IRQS;
	CU_ASSERT(call(VFU_CMD_DEVICE_GET_IRQ_INFO, &good, sizeof(good)) == EINVAL);
	good.index = 0;
	good.argsz = 0;
	CU_ASSERT(call(VFU_CMD_DEVICE_GET_IRQ_INFO, &good, sizeof(good)) == EINVAL);
	teardown();
}

static int
set_irqs(uint32_t flags, uint32_t index, uint32_t start, uint32_t count, const int *fds,
	uint32_t nb_fds)
{
	const struct vfu_irq_set set = {
		.argsz = 20, .flags = flags, .index = index, .start = start, .count = count};

	return rig_call(&rig, VFU_CMD_DEVICE_SET_IRQS, &set, sizeof(set), fds, nb_fds, &msg);
}

static void
set_irqs_good(void)
{
	const struct vfu_irq_set bools = {
		.argsz = 23, .flags = 0x22, .index = VFU_PCI_MSIX, .start = 5, .count = 3};
	uint8_t buf[23];
	int fds[253];

	setup();
	for (int i = 0; i < 253; i++)
		fds[i] = make_eventfd();
	/* One vector; it is made non-blocking. */
	CU_ASSERT(set_irqs(0x24, VFU_PCI_MSI, 0, 1, fds, 1) == 0);
	CU_ASSERT(msg.len == 0);
	CU_ASSERT(rig.dev.irqs.nb_fds == 1 && rig.dev.irqs.data == VFU_IRQ_DATA_EVENTFD);
	CU_ASSERT(rig.dev.irqs.action == VFU_IRQ_ACTION_TRIGGER && rig.dev.irqs.index == 1);
	CU_ASSERT(fcntl(rig.dev.irq_fds[0], F_GETFL) & O_NONBLOCK);
	/* All in one message, whatever max_msg_fds says. */
	CU_ASSERT(set_irqs(0x24, VFU_PCI_MSIX, 0, 253, fds, 253) == 0);
	CU_ASSERT(rig.dev.irqs.nb_fds == 253);
	CU_ASSERT(set_irqs(0x24, VFU_PCI_MSIX, 252, 1, fds, 1) == 0);
	/* Vectors taken off; the whole index disabled; INTx unmasked. */
	CU_ASSERT(set_irqs(0x24, VFU_PCI_MSIX, 0, 1, NULL, 0) == 0);
	CU_ASSERT(rig.dev.irqs.nb_fds == 0 && rig.dev.irqs.count == 1);
	CU_ASSERT(set_irqs(0x21, VFU_PCI_MSI, 0, 0, NULL, 0) == 0);
	CU_ASSERT(rig.dev.irqs.count == 0 && rig.dev.irqs.data == VFU_IRQ_DATA_NONE);
	CU_ASSERT(set_irqs(0x21, VFU_PCI_ERR, 0, 0, NULL, 0) == 0);
	CU_ASSERT(set_irqs(0x11, VFU_PCI_INTX, 0, 1, NULL, 0) == 0);
	CU_ASSERT(rig.dev.irqs.action == VFU_IRQ_ACTION_UNMASK);
	/* Bytes. */
	memcpy(buf, &bools, sizeof(bools));
	memcpy(buf + 20, "\1\0\1", 3);
	CU_ASSERT(call(VFU_CMD_DEVICE_SET_IRQS, buf, sizeof(buf)) == 0);
	CU_ASSERT(rig.dev.irqs.data == VFU_IRQ_DATA_BOOL && rig.dev.irqs.start == 5);
	CU_ASSERT(memcmp(rig.dev.irq_bools, "\1\0\1", 3) == 0);
	/* A refusal closes them. */
	rig.dev.irq_rc = -EBUSY;
	CU_ASSERT(set_irqs(0x24, VFU_PCI_MSIX, 0, 253, fds, 253) == EBUSY);
	for (int i = 0; i < 253; i++)
		close(fds[i]);
	teardown();
}

static void
set_irqs_bad(void)
{
	static const uint32_t flags[] = {0, 1, 4, 0x20, 0x23, 0x25, 0x26, 0x29 | 0x10, 0x31, 0x39,
		0x61, 0x14, 0x0c, 0x80000021u};
	const struct vfu_irq_set good = {.argsz = 20, .flags = 0x21};
	uint8_t buf[30] = {0};
	int fds[2], pipes[2];

	setup();
	CU_ASSERT_FATAL(pipe(pipes) == 0);
	fds[0] = make_eventfd();
	fds[1] = make_eventfd();
	shorter(VFU_CMD_DEVICE_SET_IRQS, &good, sizeof(good));
	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
		CU_ASSERT(set_irqs(flags[i], VFU_PCI_MSI, 0, 1, NULL, 0) == EINVAL);
	/* Outside of what the device has, with numbers that wrap. */
	CU_ASSERT(set_irqs(0x21, VFU_PCI_NUM_IRQS, 0, 0, NULL, 0) == EINVAL);
	CU_ASSERT(set_irqs(0x24, VFU_PCI_MSI, 0, 2, fds, 2) == EINVAL);
	CU_ASSERT(set_irqs(0x24, VFU_PCI_MSI, 1, 1, fds, 1) == EINVAL);
	CU_ASSERT(set_irqs(0x24, VFU_PCI_ERR, 0, 1, fds, 1) == EINVAL);
	CU_ASSERT(set_irqs(0x21, VFU_PCI_MSI, UINT32_MAX, 1, NULL, 0) == EINVAL);
	CU_ASSERT(set_irqs(0x21, VFU_PCI_MSI, 1, UINT32_MAX, NULL, 0) == EINVAL);
	/* Some descriptors, but not all; descriptors that nobody speaks of. */
	CU_ASSERT(set_irqs(0x24, VFU_PCI_MSIX, 0, 3, fds, 2) == EINVAL);
	CU_ASSERT(set_irqs(0x24, VFU_PCI_MSIX, 0, 1, fds, 2) == EINVAL);
	CU_ASSERT(set_irqs(0x21, VFU_PCI_MSIX, 0, 1, fds, 1) == EINVAL);
	/* A pipe would fill up one day and block whoever writes to it. */
	CU_ASSERT(set_irqs(0x24, VFU_PCI_MSI, 0, 1, &pipes[1], 1) == EINVAL);
	/* Lengths. */
	memcpy(buf, &good, sizeof(good));
	CU_ASSERT(call(VFU_CMD_DEVICE_SET_IRQS, buf, 21) == EINVAL);
	memcpy(buf, &(struct vfu_irq_set){.argsz = 22, .flags = 0x22, .index = 2, .count = 2}, 20);
	CU_ASSERT(call(VFU_CMD_DEVICE_SET_IRQS, buf, 21) == EINVAL);
	CU_ASSERT(call(VFU_CMD_DEVICE_SET_IRQS, buf, 23) == EINVAL);
	CU_ASSERT(call(VFU_CMD_DEVICE_SET_IRQS, buf, 22) == 0);
	memcpy(buf, &(uint32_t){19}, 4);
	CU_ASSERT(call(VFU_CMD_DEVICE_SET_IRQS, buf, 22) == EINVAL);
	CU_ASSERT(rig.dev.nb_irqs == 1);
	close(fds[0]);
	close(fds[1]);
	close(pipes[0]);
	close(pipes[1]);
	teardown();
}

static int
region_read(uint32_t region, uint64_t offset, uint32_t count)
{
	const struct vfu_access a = {.offset = offset, .region = region, .count = count};
	int rc = call(VFU_CMD_REGION_READ, &a, sizeof(a));

	if (rc == 0) {
		CU_ASSERT(msg.len == sizeof(a) + count);
		CU_ASSERT(memcmp(msg.payload, &a, sizeof(a)) == 0);
	}
	return rc;
}

/* Are all data bytes of the reply from `from` on zero? */
static bool
zeros(uint32_t from)
{
	for (uint32_t i = 16 + from; i < msg.len; i++)
		if (msg.payload[i] != 0)
			return false;
	return true;
}

static void
reads(void)
{
	const struct vfu_access good = {.count = 4};
	uint8_t buf[20] = {0};

	setup();
	memset(rig.dev.mem, 0xa5, sizeof(rig.dev.mem));
	memcpy(rig.dev.mem + 8, "abcdefgh", 8);
	shorter(VFU_CMD_REGION_READ, &good, sizeof(good));
	CU_ASSERT(call(VFU_CMD_REGION_READ, buf, sizeof(buf)) == EINVAL);
	for (uint32_t n = 0; n <= 8; n++) {
		CU_ASSERT(region_read(0, 8, n) == 0);
		CU_ASSERT(memcmp(msg.payload + 16, "abcdefgh", n) == 0);
	}
	CU_ASSERT(region_read(0, 0, 4096) == 0);
	CU_ASSERT(memcmp(msg.payload + 16, rig.dev.mem, 4096) == 0);
	CU_ASSERT(region_read(VFU_PCI_CONFIG, 0, 256) == 0 && rig.dev.region == 7);
	CU_ASSERT(rig.state->stats.outside == 0);
	/* Over the end: what there is, then zeros; the device never sees more than it has. */
	CU_ASSERT(region_read(0, 4092, 8) == 0);
	CU_ASSERT(msg.payload[16] == 0xa5 && msg.payload[19] == 0xa5 && zeros(4));
	CU_ASSERT(rig.dev.offset == 4092 && rig.dev.len == 4);
	CU_ASSERT(region_read(0, 0, VFU_XFER_MAX) == 0 && zeros(4096));
	rig.dev.nb_read = 0;
	CU_ASSERT(region_read(0, 4096, 4) == 0 && zeros(0));
	CU_ASSERT(region_read(0, UINT64_MAX, 4) == 0 && zeros(0));
	CU_ASSERT(region_read(0, UINT64_MAX - 3, 8) == 0 && zeros(0));
	/* Regions that are absent. */
	CU_ASSERT(region_read(VFU_PCI_ROM, 0, 4) == 0 && zeros(0));
	CU_ASSERT(region_read(VFU_PCI_VGA, 0, 4) == 0 && zeros(0));
	CU_ASSERT(rig.dev.nb_read == 0 && rig.state->stats.outside == 7);
	/* Regions that do not exist, and more than was agreed upon. */
	CU_ASSERT(region_read(VFU_PCI_NUM_REGIONS, 0, 4) == EINVAL);
	CU_ASSERT(region_read(UINT32_MAX, 0, 4) == EINVAL);
	CU_ASSERT(region_read(0, 0, VFU_XFER_MAX + 1) == EINVAL);
	CU_ASSERT(region_read(0, 0, UINT32_MAX) == EINVAL);
	/* A device that refuses: zeros, and a count. */
	rig.dev.read_rc = -EIO;
	CU_ASSERT(region_read(0, 8, 8) == 0 && zeros(0));
	CU_ASSERT(rig.state->stats.access_errors == 1);
	rig.dev.read_rc = 0;
	/* Posted: it is done (reads may have effects), and nobody is told. */
	rig.dev.nb_read = 0;
	raw_message(rig.raw, 1, VFU_CMD_REGION_READ, VFU_F_NO_REPLY, &good, sizeof(good), NULL, 0);
	CU_ASSERT(vfu_session_process(rig.s, 8) == 1);
	CU_ASSERT(rig.dev.nb_read == 1 && raw_receive(rig.raw, &msg) == 0);
	teardown();
}

static int
region_write(uint32_t region, uint64_t offset, uint32_t count, uint32_t real)
{
	static uint8_t buf[VFU_MSG_MAX];
	const struct vfu_access a = {.offset = offset, .region = region, .count = count};
	int rc;

	memcpy(buf, &a, sizeof(a));
	memset(buf + 16, 0x5a, real);
	rc = call(VFU_CMD_REGION_WRITE, buf, 16 + real);
	/* All 16 bytes come back, without the data. */
	if (rc == 0)
		CU_ASSERT(msg.len == sizeof(a) && memcmp(msg.payload, &a, sizeof(a)) == 0);
	return rc;
}

static void
writes(void)
{
	const struct vfu_access good = {0};

	setup();
	shorter(VFU_CMD_REGION_WRITE, &good, sizeof(good));
	for (uint32_t n = 1; n <= 8; n *= 2) {
		CU_ASSERT(region_write(0, 16, n, n) == 0);
		CU_ASSERT(rig.dev.offset == 16 && rig.dev.len == n && rig.dev.data[n - 1] == 0x5a);
	}
	CU_ASSERT(rig.dev.mem[23] == 0x5a && rig.dev.mem[24] == 0);
	CU_ASSERT(region_write(VFU_PCI_CONFIG, 4, 2, 2) == 0 && rig.dev.region == 7);
	/* Over the end, outside, absent: ignored as far as it is so. */
	CU_ASSERT(region_write(0, 4090, 64, 64) == 0);
	CU_ASSERT(rig.dev.offset == 4090 && rig.dev.len == 6);
	CU_ASSERT(region_write(0, 0, VFU_XFER_MAX, VFU_XFER_MAX) == 0 && rig.dev.len == 4096);
	rig.dev.nb_write = 0;
	CU_ASSERT(region_write(0, 4096, 1, 1) == 0);
	CU_ASSERT(region_write(0, UINT64_MAX - 1, 4, 4) == 0);
	CU_ASSERT(region_write(5, 0, 4, 4) == 0);
	CU_ASSERT(region_write(0, 0, 0, 0) == 0);
	CU_ASSERT(rig.dev.nb_write == 0);
	/* Counts that lie. */
	CU_ASSERT(region_write(0, 0, 8, 4) == EINVAL);
	CU_ASSERT(region_write(0, 0, 4, 8) == EINVAL);
	CU_ASSERT(region_write(0, 0, UINT32_MAX, 4) == EINVAL);
	CU_ASSERT(region_write(9, 0, 4, 4) == EINVAL);
	CU_ASSERT(rig.dev.nb_write == 0);
	rig.dev.write_rc = -EIO;
	CU_ASSERT(region_write(0, 0, 4, 4) == 0);
	CU_ASSERT(rig.state->stats.access_errors == 1);
	teardown();
}

static void
posted_writes_keep_their_order(void)
{
	uint8_t buf[17] = {0};

	setup();
	for (int i = 0; i < 1000; i++) {
		const struct vfu_access a = {.offset = 32, .region = 0, .count = 1};

		memcpy(buf, &a, sizeof(a));
		buf[16] = (uint8_t)i;
		raw_message(rig.raw, 1, VFU_CMD_REGION_WRITE, VFU_F_NO_REPLY, buf, sizeof(buf),
			NULL, 0);
		if (i % 100 == 99) {
			/* The read is answered after every write before it. */
			const struct vfu_access r = {.offset = 32, .region = 0, .count = 1};

			raw_message(rig.raw, 2, VFU_CMD_REGION_READ, 0, &r, sizeof(r), NULL, 0);
			CU_ASSERT(vfu_session_process(rig.s, 1000) == 101);
			CU_ASSERT(raw_receive(rig.raw, &msg) == 1 && msg.h.id == 2);
			CU_ASSERT(msg.payload[16] == (uint8_t)i);
			CU_ASSERT(raw_receive(rig.raw, &msg) == 0);
		}
	}
	CU_ASSERT(rig.dev.nb_write == 1000);
	teardown();
}

static int
multi(const struct vfu_multi *m, uint64_t count, uint32_t real)
{
	static uint8_t buf[VFU_MSG_MAX];

	memcpy(buf, &count, sizeof(count));
	memcpy(buf + 8, m, real);
	return call(VFU_CMD_REGION_WRITE_MULTI, buf, 8 + real);
}

static void
write_multi(void)
{
	struct vfu_multi m[200];
	uint64_t got;

	setup();
	for (uint32_t i = 0; i < 200; i++) {
		m[i] = (struct vfu_multi){.offset = i * 8, .region = 0, .count = 1 + i % 8};
		memset(m[i].data, (int)i + 1, sizeof(m[i].data));
	}
	CU_ASSERT(multi(m, 200, sizeof(m)) == 0);
	memcpy(&got, msg.payload, sizeof(got));
	CU_ASSERT(msg.len == 8 && got == 200 && rig.dev.nb_write == 200);
	for (uint32_t i = 0; i < 200; i++)
		for (uint32_t j = 0; j < 8; j++)
			CU_ASSERT(rig.dev.mem[i * 8 + j] == (j <= i % 8 ? i + 1 : 0));
	CU_ASSERT(multi(m, 0, 0) == 0);
	/* Wrong: nothing of it is done. */
	CU_ASSERT(multi(m, 199, sizeof(m)) == EINVAL);
	CU_ASSERT(multi(m, 201, sizeof(m)) == EINVAL);
	CU_ASSERT(multi(m, (UINT64_MAX / 24) + 1 + 200, sizeof(m)) == EINVAL);
	CU_ASSERT(multi(m, 2, 47) == EINVAL);
	m[1].count = 9;
	CU_ASSERT(multi(m, 2, 48) == EINVAL);
	m[1].count = 8;
	m[1].region = 9;
	CU_ASSERT(multi(m, 2, 48) == EINVAL);
	CU_ASSERT(rig.dev.nb_write == 200);
	for (uint32_t n = 0; n < 8; n++)
		CU_ASSERT(call(VFU_CMD_REGION_WRITE_MULTI, m, n) == EINVAL);
	teardown();
}

static void
reset(void)
{
	int fd;

	setup();
	for (unsigned int i = 0; i < 5; i++) {
		CU_ASSERT(call(VFU_CMD_DEVICE_RESET, NULL, 0) == 0);
		CU_ASSERT(msg.len == 0 && rig.dev.nb_reset == i + 1);
	}
	fd = make_eventfd();
	CU_ASSERT(rig_call(&rig, VFU_CMD_DEVICE_RESET, "x", 1, &fd, 1, &msg) == 0);
	close(fd);
	rig.dev.reset_rc = -EIO;
	CU_ASSERT(call(VFU_CMD_DEVICE_RESET, NULL, 0) == EIO);
	rig.dev.reset_rc = 0;
	teardown();
}

int
main(void)
{
	static CU_TestInfo tests[] = {
		{"DMA_MAP", dma_map},
		{"DMA_UNMAP", dma_unmap},
		{"GET_INFO", device_info},
		{"GET_REGION_INFO", region_info},
		{"GET_REGION_INFO of mmap-able regions", region_mmap},
		{"GET_REGION_IO_FDS", region_io_fds},
		{"GET_IRQ_INFO", irq_info},
		{"SET_IRQS, good", set_irqs_good},
		{"SET_IRQS, bad", set_irqs_bad},
		{"REGION_READ", reads},
		{"REGION_WRITE", writes},
		{"REGION_WRITE, posted", posted_writes_keep_their_order},
		{"REGION_WRITE_MULTI", write_multi},
		{"RESET", reset},
		CU_TEST_INFO_NULL,
	};
	static CU_SuiteInfo suites[] = {
		{"commands", NULL, NULL, NULL, NULL, tests},
		CU_SUITE_INFO_NULL,
	};

	if (CU_initialize_registry() != CUE_SUCCESS || CU_register_suites(suites) != CUE_SUCCESS)
		return 1;
	return rig_run();
}
