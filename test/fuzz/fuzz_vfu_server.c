/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * A vfio-user server's session and a client that sends what it likes: messages of every kind with
 * sizes that are wrong, in any number of pieces, with and without descriptors; that reads its
 * replies late or never. The session may be stopped, freed or handed on at any time.
 *
 * What must hold: replies are whole messages and no more than were asked for; each descriptor that
 * came is closed once, or the device's.
 */

#include <errno.h>
#include <stdlib.h>

#include "fuzz.h"
#include "fuzz_sock.h"
#include "vfu_server.h"

#define BAR_SIZE 256u
#define KEPT	 64u

static struct {
	struct vfu_session *session;
	int rc; /* of the next operations */
	bool stop, kill;
	uint8_t bar[BAR_SIZE];
	int kept[KEPT];
	uint32_t nb_kept;
	int area_fd;
	unsigned int nb_closed;
	/* the reply stream */
	uint8_t header[sizeof(struct vfu_header)];
	uint32_t at; /* bytes of the message that are there */
	uint64_t nb_replies, nb_asked;
} dev;
static struct vfu_session_state state;

/* ---- the device -------------------------------------------------------------------------------- */

static void
keep(int fd)
{
	if (fd < 0)
		return;
	FUZZ_CHECK(sock_fd_is_open(fd));
	if (dev.nb_kept == KEPT)
		sock_fd_close(dev.kept[--dev.nb_kept]);
	dev.kept[dev.nb_kept++] = fd;
}

static int
result(void)
{
	if (dev.stop)
		vfu_session_stop(dev.session, -ESHUTDOWN);
	if (dev.kill) {
		vfu_session_free(dev.session);
		dev.session = NULL;
		dev.kill = false;
	}
	return dev.rc;
}

static int
op_region_info(void *arg, uint32_t index, struct vfu_region_info *info)
{
	(void)arg;
	if (index == VFU_PCI_BAR0)
		*info = (struct vfu_region_info){.size = BAR_SIZE,
			.flags = VFU_REGION_F_READ | VFU_REGION_F_WRITE,
			.fd = -1};
	else if (index == VFU_PCI_BAR1)
		*info = (struct vfu_region_info){.size = 65536,
			.flags = VFU_REGION_F_READ | VFU_REGION_F_WRITE | VFU_REGION_F_MMAP,
			.fd = dev.area_fd,
			.nb_areas = 2,
			.areas = {{0, 4096}, {8192, 4096}}};
	else if (index == VFU_PCI_BAR2)
		*info = (struct vfu_region_info){
			.size = UINT64_MAX, .flags = VFU_REGION_F_WRITE, .fd = -1};
	else if (index == VFU_PCI_CONFIG)
		*info = (struct vfu_region_info){
			.size = 256, .flags = VFU_REGION_F_READ | VFU_REGION_F_WRITE, .fd = -1};
	return 0;
}

static int
op_read(void *arg, uint32_t index, uint64_t offset, void *buf, uint32_t len)
{
	(void)arg;
	if (index == VFU_PCI_BAR0) {
		FUZZ_CHECK(offset <= BAR_SIZE && len <= BAR_SIZE - offset);
		memcpy(buf, dev.bar + offset, len);
	} else {
		memset(buf, (int)index, len);
	}
	return result();
}

static int
op_write(void *arg, uint32_t index, uint64_t offset, const void *buf, uint32_t len)
{
	volatile uint8_t sum = 0;
	uint32_t i;

	(void)arg;
	if (index == VFU_PCI_BAR0) {
		FUZZ_CHECK(offset <= BAR_SIZE && len <= BAR_SIZE - offset);
		memcpy(dev.bar + offset, buf, len);
	}
	FUZZ_CHECK(offset + len >= offset);
	for (i = 0; i < len; i++)
		sum = (uint8_t)(sum + ((const uint8_t *)buf)[i]);
	return result();
}

static int
op_map(void *arg, const struct vfu_dma_map *map, int fd)
{
	int rc = result();

	(void)arg;
	FUZZ_CHECK(map->size != 0 && map->iova + (map->size - 1) >= map->iova);
	FUZZ_CHECK(fd == -1 || sock_fd_is_open(fd));
	if (rc == 0)
		keep(fd);
	return rc;
}

static int
op_unmap(void *arg, uint64_t first, uint64_t last)
{
	(void)arg;
	FUZZ_CHECK(first <= last);
	return result();
}

static int
op_irq_info(void *arg, uint32_t index, uint32_t *flags, uint32_t *count)
{
	(void)arg;
	FUZZ_CHECK(index < VFU_PCI_NUM_IRQS);
	*flags = VFU_IRQ_F_EVENTFD;
	*count = index == VFU_PCI_MSI ? 1 : index == VFU_PCI_MSIX ? 16 : index == 0 ? 1 : 0;
	return 0;
}

static int
op_set_irqs(void *arg, const struct vfu_set_irqs *set)
{
	volatile uint8_t sum = 0;
	int rc = result();
	uint32_t i;

	(void)arg;
	FUZZ_CHECK(set->start + set->count <= 16);
	FUZZ_CHECK((set->bools != NULL) == (set->data == VFU_IRQ_DATA_BOOL));
	for (i = 0; set->bools != NULL && i < set->count; i++)
		sum = (uint8_t)(sum + set->bools[i]);
	FUZZ_CHECK(set->nb_fds == 0 || set->nb_fds == set->count);
	for (i = 0; rc == 0 && i < set->nb_fds; i++)
		keep(set->fds[i]);
	return rc;
}

static int
op_reset(void *arg)
{
	(void)arg;
	return result();
}

static int
op_io_fds(void *arg, uint32_t index, struct vfu_io_fd_info *fds, uint32_t max)
{
	(void)arg;
	FUZZ_CHECK(max >= 3);
	if (index != VFU_PCI_BAR1)
		return 0;
	for (uint32_t i = 0; i < 3; i++)
		fds[i] = (struct vfu_io_fd_info){.offset = i * 4, .size = 4, .fd = dev.area_fd};
	return result() < 0 ? dev.rc : 3;
}

static void
op_closed(void *arg, int reason, const char *why)
{
	(void)arg;
	FUZZ_CHECK(reason < 0 && why != NULL && dev.nb_closed++ == 0);
}

static void
op_log(void *arg, enum vfu_log_level level, const char *line)
{
	(void)arg;
	(void)level;
	FUZZ_CHECK(strchr(line, '\n') == NULL);
}

static const struct vfu_ops ops = {
	.region_info = op_region_info,
	.region_read = op_read,
	.region_write = op_write,
	.dma_map = op_map,
	.dma_unmap = op_unmap,
	.irq_info = op_irq_info,
	.set_irqs = op_set_irqs,
	.reset = op_reset,
	.region_io_fds = op_io_fds,
	.closed = op_closed,
	.log = op_log,
};
static const struct vfu_session_conf conf = {
	.ops = &ops,
	.num_regions = VFU_PCI_NUM_REGIONS,
	.num_irqs = VFU_PCI_NUM_IRQS,
	.flags = VFU_DEVICE_F_RESET | VFU_DEVICE_F_PCI,
};

/* Replies: header by header; the payload is only counted. */
void
sock_on_sent(const uint8_t *data, size_t len, uint32_t nb_fds)
{
	struct vfu_header h;

	FUZZ_CHECK(nb_fds == 0 || dev.at == 0);
	while (len != 0) {
		size_t n;

		if (dev.at < sizeof(h)) {
			n = sizeof(h) - dev.at;
			n = n < len ? n : len;
			memcpy(dev.header + dev.at, data, n);
		} else {
			memcpy(&h, dev.header, sizeof(h));
			n = h.size - dev.at;
			n = n < len ? n : len;
		}
		dev.at += (uint32_t)n;
		data += n;
		len -= n;
		if (dev.at < sizeof(h))
			return;
		memcpy(&h, dev.header, sizeof(h));
		FUZZ_CHECK(h.size >= sizeof(h) && h.size <= VFU_MSG_MAX);
		FUZZ_CHECK((h.flags & VFU_F_TYPE_MASK) == VFU_F_TYPE_REPLY);
		FUZZ_CHECK(((h.flags & VFU_F_ERROR) != 0) == (h.error != 0));
		FUZZ_CHECK((h.flags & VFU_F_ERROR) == 0 || h.size == sizeof(h));
		if (dev.at == h.size) {
			dev.at = 0;
			dev.nb_replies++;
		}
	}
}

/* ---- the client -------------------------------------------------------------------------------- */

/* Widths of the fields of each command's payload. */
static const char *const layouts[VFU_CMD_MAX] = {
	[VFU_CMD_VERSION] = "22",
	[VFU_CMD_DMA_MAP] = "44888",
	[VFU_CMD_DMA_UNMAP] = "4488",
	[VFU_CMD_DEVICE_GET_INFO] = "4444",
	[VFU_CMD_DEVICE_GET_REGION_INFO] = "444488",
	[VFU_CMD_DEVICE_GET_REGION_IO_FDS] = "4444",
	[VFU_CMD_DEVICE_GET_IRQ_INFO] = "4444",
	[VFU_CMD_DEVICE_SET_IRQS] = "44444",
	[VFU_CMD_REGION_READ] = "844",
	[VFU_CMD_REGION_WRITE] = "844",
	[VFU_CMD_DMA_READ] = "88",
	[VFU_CMD_REGION_WRITE_MULTI] = "88448",
	[VFU_CMD_DEVICE_FEATURE] = "44",
};
static const char *const texts[] = {"{}", "{\"capabilities\":{\"max_msg_fds\":8}}",
	"{\"capabilities\":{\"max_data_xfer_size\":1048576,\"migration\":{\"pgsize\":4096}}}",
	"{\"capabilities\":{\"max_dma_maps\":65535,\"write_multiple\":true,\"twin_socket\":{}}}"};

static uint32_t
payload(struct fuzz_in *in, uint16_t command, uint8_t *p)
{
	const char *l = command < VFU_CMD_MAX ? layouts[command] : NULL;
	uint32_t len = 0, more;

	for (; l != NULL && *l != '\0'; l++) {
		uint64_t v = in_num(in);

		memcpy(p + len, &v, (size_t)(*l - '0'));
		len += (uint32_t)(*l - '0');
	}
	more = in_8(in);
	if (command == VFU_CMD_VERSION && more >= 0x80) {
		const char *t = texts[more % 4];

		memcpy(p + len, t, strlen(t) + 1);
		return len + (uint32_t)strlen(t) + 1;
	}
	if (more >= 0xe0 && len >= 4) { /* as many as the last number says */
		memcpy(&more, p + len - 4, 4);
		more = more < 1024 ? more : 1024;
	} else if (more >= 0xc0) {
		more = 0;
	}
	in_bytes(in, p + len, more);
	return len + more;
}

/* Send the message in pieces. */
static void
send_split(struct fuzz_in *in, const uint8_t *msg, uint32_t len, uint32_t nb_fds, bool lost)
{
	uint32_t at = 0, cuts = in_8(in) % 4, i;

	for (i = 0; i < cuts && at < len; i++) {
		uint32_t n = 1 + in_8(in) % (len - at);

		sock_peer_sends(msg + at, n, nb_fds, lost);
		nb_fds = 0;
		at += n;
		if (in_8(in) & 1)
			sock_peer_waits();
	}
	if (at < len)
		sock_peer_sends(msg + at, len - at, nb_fds, lost);
}

static void
client_sends(struct fuzz_in *in)
{
	static uint8_t msg[4096];
	struct vfu_header h = {.id = 1, .command = in_8(in)};
	uint8_t how = in_8(in), fds = in_8(in);
	uint32_t len = sizeof(h) + payload(in, h.command, msg + sizeof(h));

	h.size = len;
	if ((how & 0x0f) == 0x0f)
		h.size = (uint32_t)in_num(in);
	if ((how & 0x30) == 0x30)
		h.flags = (uint32_t)in_num(in);
	dev.nb_asked++;
	memcpy(msg, &h, sizeof(h));
	send_split(in, msg, len, fds < 0xc0 ? fds % 4 : fds % 254, (how & 0xc0) == 0xc0);
	/* The rest of a long message. */
	if (h.size > len && (how & 0x10) != 0)
		sock_peer_sends(NULL, h.size - len, 0, false);
}

static void
open_session(void)
{
	int sock = sock_open();

	dev.area_fd = sock_fd_new();
	state.magic = 0;
	FUZZ_CHECK(vfu_session_open(sock, &conf, &state, &dev.session) == 0);
}

static void
hand_on(void)
{
	int sock = vfu_session_detach(dev.session);

	dev.session = NULL;
	FUZZ_CHECK(vfu_session_open(sock, &conf, &state, &dev.session) == 0);
}

static void
process(unsigned int budget)
{
	int rc = vfu_session_process(dev.session, budget);

	FUZZ_CHECK(rc <= (int)budget);
	if (rc < 0 && dev.session != NULL) {
		FUZZ_CHECK(dev.nb_closed == 1);
		vfu_session_free(dev.session);
		dev.session = NULL;
	}
}

static void
step(struct fuzz_in *in)
{
	static const int results[] = {0, 0, 0, 0, -EINVAL, -ENOMEM, -EFAULT, 1};
	uint8_t op = in_8(in);

	switch (op % 16) {
	default:
		client_sends(in);
		break;
	case 8: { /* anything */
		uint8_t raw[64];
		uint32_t n = 1 + in_8(in) % 64;

		in_bytes(in, raw, n);
		dev.nb_asked += 4;
		sock_peer_sends(raw, n, in_8(in) % 3, false);
		break;
	}
	case 9:
	case 10:
	case 11:
		process(1 + (op >> 4));
		break;
	case 12:
		sock_takes(op & 0x80 ? UINT32_MAX : (uint32_t)in_num(in),
			(op & 0x70) == 0x70 ? EPIPE : 0);
		break;
	case 13:
		dev.rc = results[(op >> 4) % 8];
		break;
	case 14:
		dev.stop = (op & 0xf0) == 0x10;
		dev.kill = (op & 0xf0) == 0x20;
		if ((op & 0xf0) == 0x30)
			sock_peer_closes();
		break;
	case 15:
		hand_on();
		break;
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t hello[] = {
		1, 0, 1, 0, 20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0};
	struct fuzz_in in;

	fuzz_begin(&in, data, size);
	fuzz_end();
	memset(&dev, 0, sizeof(dev));
	open_session();
	if ((in_8(&in) & 0x0f) != 0) {
		dev.nb_asked++;
		sock_peer_sends(hello, sizeof(hello), 0, false);
	}
	while (in_more(&in) && dev.session != NULL)
		step(&in);
	sock_takes(UINT32_MAX, 0);
	while (dev.session != NULL && sock_readable())
		process(64);
	FUZZ_CHECK(dev.nb_replies <= dev.nb_asked + 4096);
	vfu_session_free(dev.session);
	while (dev.nb_kept != 0)
		sock_fd_close(dev.kept[--dev.nb_kept]);
	sock_fd_close(dev.area_fd);
	FUZZ_CHECK(sock_nb_fds() == 0);
	return 0;
}
