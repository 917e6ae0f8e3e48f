/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * The client's requests, and what their replies must look like.
 *
 * Threads: the one that runs the client. A reply is copied into a local structure before it is
 * checked. One that does not hold together fails its request with EPROTO; the stream is in order
 * then, and the connection stays.
 */

#include "vfu_client_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vfu_caps.h"

/* Longest GET_REGION_INFO reply that is asked for. */
#define REGION_INFO_MAX 4096u

#define IO_FDS_ARGSZ \
	((uint32_t)(sizeof(struct vfu_region_io_fds) + VFU_MAX_IO_FDS * sizeof(struct vfu_io_fd)))

const char *
vfu_client_command_name(uint16_t command)
{
	static const char *const names[VFU_CMD_MAX] = {
		[VFU_CMD_VERSION] = "VERSION",
		[VFU_CMD_DMA_MAP] = "DMA_MAP",
		[VFU_CMD_DMA_UNMAP] = "DMA_UNMAP",
		[VFU_CMD_DEVICE_GET_INFO] = "DEVICE_GET_INFO",
		[VFU_CMD_DEVICE_GET_REGION_INFO] = "DEVICE_GET_REGION_INFO",
		[VFU_CMD_DEVICE_GET_REGION_IO_FDS] = "DEVICE_GET_REGION_IO_FDS",
		[VFU_CMD_DEVICE_GET_IRQ_INFO] = "DEVICE_GET_IRQ_INFO",
		[VFU_CMD_DEVICE_SET_IRQS] = "DEVICE_SET_IRQS",
		[VFU_CMD_REGION_READ] = "REGION_READ",
		[VFU_CMD_REGION_WRITE] = "REGION_WRITE",
		[VFU_CMD_DEVICE_RESET] = "DEVICE_RESET",
	};
	const char *name = command < VFU_CMD_MAX ? names[command] : NULL;

	return name != NULL ? name : "unknown command";
}

/* Make, fill and queue a request whose payload is one piece. */
static int
ask(struct vfu_client *c, uint16_t command, const void *payload, uint32_t len,
	const struct vfu_call *call)
{
	struct vfu_request *req;
	int rc;

	req = vfu_client_new(c, command, len, NULL, 0, &rc);
	if (req == NULL)
		return rc;
	if (len > 0)
		memcpy(req->payload, payload, len);
	vfu_client_queue(c, req, call);
	return 0;
}

int
vfu_client_version(struct vfu_client *client, const struct vfu_call *call)
{
	/* 0.0, as QEMU says: nothing of 0.1 is needed. */
	const struct vfu_version version = {.major = VFU_VERSION_MAJOR, .minor = 0};
	uint8_t payload[sizeof(version) + VFU_CAPS_TEXT_LEN];
	char text[VFU_CAPS_TEXT_LEN];
	uint32_t text_len = vfu_caps_format(text, 0);

	memcpy(payload, &version, sizeof(version));
	memcpy(payload + sizeof(version), text, text_len);
	return ask(client, VFU_CMD_VERSION, payload, (uint32_t)sizeof(version) + text_len, call);
}

int
vfu_client_dma_map(struct vfu_client *client, const struct vfu_dma_map *map, int fd,
	const struct vfu_call *call)
{
	struct vfu_dma_map m = *map;
	struct vfu_request *req;
	int rc;

	if (map->size == 0)
		return -EINVAL;
	req = vfu_client_new(client, VFU_CMD_DMA_MAP, sizeof(m), &fd, fd >= 0 ? 1 : 0, &rc);
	if (req == NULL)
		return rc;
	m.argsz = sizeof(m);
	memcpy(req->payload, &m, sizeof(m));
	vfu_client_queue(client, req, call);
	return 0;
}

int
vfu_client_dma_unmap(
	struct vfu_client *client, uint64_t iova, uint64_t size, const struct vfu_call *call)
{
	const struct vfu_dma_unmap u = {.argsz = sizeof(u), .iova = iova, .size = size};

	return ask(client, VFU_CMD_DMA_UNMAP, &u, sizeof(u), call);
}

int
vfu_client_dma_unmap_all(struct vfu_client *client, const struct vfu_call *call)
{
	const struct vfu_dma_unmap u = {.argsz = sizeof(u), .flags = VFU_DMA_UNMAP_F_ALL};

	return ask(client, VFU_CMD_DMA_UNMAP, &u, sizeof(u), call);
}

int
vfu_client_device_info(struct vfu_client *client, const struct vfu_call *call)
{
	const struct vfu_device_info info = {.argsz = sizeof(info)};

	return ask(client, VFU_CMD_DEVICE_GET_INFO, &info, sizeof(info), call);
}

static int
ask_region_info(struct vfu_client *c, uint32_t index, uint32_t argsz, bool again,
	const struct vfu_call *call)
{
	const struct vfu_region region = {.argsz = argsz, .index = index};
	struct vfu_request *req;
	int rc;

	req = vfu_client_new(c, VFU_CMD_DEVICE_GET_REGION_INFO, sizeof(region), NULL, 0, &rc);
	if (req == NULL)
		return rc;
	memcpy(req->payload, &region, sizeof(region));
	req->index = index;
	req->again = again;
	req->expect += argsz;
	vfu_client_queue(c, req, call);
	return 0;
}

int
vfu_client_region_info(struct vfu_client *client, uint32_t index, const struct vfu_call *call)
{
	return ask_region_info(client, index, sizeof(struct vfu_region), false, call);
}

int
vfu_client_region_io_fds(struct vfu_client *client, uint32_t index, const struct vfu_call *call)
{
	const struct vfu_region_io_fds r = {.argsz = IO_FDS_ARGSZ, .index = index};
	struct vfu_request *req;
	int rc;

	req = vfu_client_new(client, VFU_CMD_DEVICE_GET_REGION_IO_FDS, sizeof(r), NULL, 0, &rc);
	if (req == NULL)
		return rc;
	memcpy(req->payload, &r, sizeof(r));
	req->expect += IO_FDS_ARGSZ;
	req->index = index;
	vfu_client_queue(client, req, call);
	return 0;
}

int
vfu_client_irq_info(struct vfu_client *client, uint32_t index, const struct vfu_call *call)
{
	const struct vfu_irq_info info = {.argsz = sizeof(info), .index = index};
	struct vfu_request *req;
	int rc;

	req = vfu_client_new(client, VFU_CMD_DEVICE_GET_IRQ_INFO, sizeof(info), NULL, 0, &rc);
	if (req == NULL)
		return rc;
	memcpy(req->payload, &info, sizeof(info));
	req->index = index;
	vfu_client_queue(client, req, call);
	return 0;
}

int
vfu_client_set_irqs(struct vfu_client *client, uint32_t index, uint32_t start, const int *fds,
	uint32_t nb_fds, const struct vfu_call *call)
{
	struct vfu_irq_set set = {.argsz = sizeof(set), .index = index};
	uint32_t max = client->negotiated ? client->caps.max_msg_fds : VFU_DEF_MSG_FDS;
	struct vfu_request *req;
	int rc;

	if (nb_fds > max)
		return -E2BIG;
	if (nb_fds > 0) {
		set.flags = VFU_IRQ_DATA_EVENTFD | VFU_IRQ_ACTION_TRIGGER;
		set.start = start;
		set.count = nb_fds;
	} else {
		set.flags = VFU_IRQ_DATA_NONE | VFU_IRQ_ACTION_TRIGGER;
	}
	req = vfu_client_new(client, VFU_CMD_DEVICE_SET_IRQS, sizeof(set), fds, nb_fds, &rc);
	if (req == NULL)
		return rc;
	memcpy(req->payload, &set, sizeof(set));
	vfu_client_queue(client, req, call);
	return 0;
}

static bool
too_long(const struct vfu_client *c, uint32_t len)
{
	return len > VFU_XFER_MAX || (c->negotiated && len > c->caps.max_data_xfer);
}

int
vfu_client_region_read(struct vfu_client *client, uint32_t region, uint64_t offset, uint32_t len,
	const struct vfu_call *call)
{
	const struct vfu_access a = {.offset = offset, .region = region, .count = len};
	struct vfu_request *req;
	int rc;

	if (too_long(client, len))
		return -EINVAL;
	req = vfu_client_new(client, VFU_CMD_REGION_READ, sizeof(a), NULL, 0, &rc);
	if (req == NULL)
		return rc;
	memcpy(req->payload, &a, sizeof(a));
	req->index = region;
	req->offset = offset;
	req->count = len;
	req->expect += len;
	vfu_client_queue(client, req, call);
	return 0;
}

static int
region_write(struct vfu_client *c, const struct vfu_access *a, const void *data, bool post,
	const struct vfu_call *call)
{
	struct vfu_request *req;
	int rc;

	if (too_long(c, a->count))
		return -EINVAL;
	req = vfu_client_new(
		c, VFU_CMD_REGION_WRITE, (uint32_t)sizeof(*a) + a->count, NULL, 0, &rc);
	if (req == NULL)
		return rc;
	memcpy(req->payload, a, sizeof(*a));
	if (a->count > 0)
		memcpy(req->payload + sizeof(*a), data, a->count);
	req->no_reply = post;
	vfu_client_queue(c, req, call);
	return 0;
}

int
vfu_client_region_write(struct vfu_client *client, uint32_t region, uint64_t offset,
	const void *data, uint32_t len, const struct vfu_call *call)
{
	const struct vfu_access a = {.offset = offset, .region = region, .count = len};

	return region_write(client, &a, data, false, call);
}

int
vfu_client_region_post(
	struct vfu_client *client, uint32_t region, uint64_t offset, const void *data, uint32_t len)
{
	const struct vfu_access a = {.offset = offset, .region = region, .count = len};

	return region_write(client, &a, data, true, NULL);
}

int
vfu_client_reset(struct vfu_client *client, const struct vfu_call *call)
{
	return ask(client, VFU_CMD_DEVICE_RESET, NULL, 0, call);
}

/* ---- replies: 0 or the status that the request fails with ---- */

static int
version_reply(struct vfu_client *c, const uint8_t *payload, uint32_t len, struct vfu_reply *reply)
{
	struct vfu_caps caps;

	if (c->negotiated || vfu_caps_parse(payload, len, &caps) != 0 ||
		caps.major != VFU_VERSION_MAJOR || caps.minor != 0 || caps.max_msg_fds == 0) {
		vfu_client_end(c, -EPROTO, "the server's reply to VERSION does not make sense");
		return -EPROTO;
	}
	c->caps = caps;
	c->negotiated = true;
	reply->version = &c->caps;
	return 0;
}

/* Fill in areas from the capability at `off`. */
static int
sparse_cap(const uint8_t *payload, uint32_t len, uint32_t off, struct vfu_region_info *info)
{
	struct vfu_cap_sparse cap;

	if (len - off < sizeof(cap))
		return -EPROTO;
	memcpy(&cap, payload + off, sizeof(cap));
	if (cap.nr_areas > VFU_MAX_AREAS ||
		cap.nr_areas * sizeof(struct vfu_area) > len - off - sizeof(cap))
		return -EPROTO;
	memcpy(info->areas, payload + off + sizeof(cap), cap.nr_areas * sizeof(struct vfu_area));
	for (uint32_t i = 0; i < cap.nr_areas; i++) {
		const struct vfu_area *a = &info->areas[i];

		if (a->offset > info->size || a->size > info->size - a->offset)
			return -EPROTO;
	}
	info->nb_areas = cap.nr_areas;
	return 0;
}

/* Walk the chain of capabilities; each lies behind the one before, so that the walk ends. */
static int
region_caps(const uint8_t *payload, uint32_t len, uint32_t off, struct vfu_region_info *info)
{
	uint32_t end = sizeof(struct vfu_region);

	while (off != 0) {
		struct vfu_cap cap;

		if (off < end || off > len || len - off < sizeof(cap))
			return -EPROTO;
		memcpy(&cap, payload + off, sizeof(cap));
		if (cap.id == VFU_CAP_SPARSE_MMAP && cap.version == 1 &&
			sparse_cap(payload, len, off, info) != 0)
			return -EPROTO;
		end = off + (uint32_t)sizeof(cap);
		off = cap.next;
	}
	return 0;
}

/* 1: ask again, with room for `*argsz`. */
static int
region_reply(const struct vfu_request *req, const uint8_t *payload, uint32_t len,
	struct vfu_region_info *info, uint32_t *argsz)
{
	struct vfu_region region;

	if (len < sizeof(region))
		return -EPROTO;
	memcpy(&region, payload, sizeof(region));
	if (region.index != req->index)
		return -EPROTO;
	if (region.flags & VFU_REGION_F_CAPS && region.argsz > len) {
		*argsz = region.argsz;
		return req->again || region.argsz > REGION_INFO_MAX ? -EPROTO : 1;
	}
	info->size = region.size;
	info->flags = region.flags & (VFU_REGION_F_READ | VFU_REGION_F_WRITE | VFU_REGION_F_MMAP);
	info->fd_offset = region.offset;
	if (info->fd < 0)
		info->flags &= ~VFU_REGION_F_MMAP;
	if (region.flags & VFU_REGION_F_CAPS)
		return region_caps(payload, len, region.cap_offset, info);
	return 0;
}

static int
io_fds_reply(const struct vfu_request *req, const uint8_t *payload, uint32_t len,
	struct vfu_io_fd *entries, struct vfu_reply *reply)
{
	struct vfu_region_io_fds r;

	if (len < sizeof(r))
		return -EPROTO;
	memcpy(&r, payload, sizeof(r));
	if (r.index != req->index || r.count > VFU_MAX_IO_FDS ||
		r.count * sizeof(*entries) > len - sizeof(r))
		return -EPROTO;
	memcpy(entries, payload + sizeof(r), r.count * sizeof(*entries));
	for (uint32_t i = 0; i < r.count; i++)
		if (entries[i].fd_index >= reply->nb_fds)
			return -EPROTO;
	reply->io_fds.entries = entries;
	reply->io_fds.count = r.count;
	return 0;
}

static int
read_reply(const struct vfu_request *req, const uint8_t *payload, uint32_t len,
	struct vfu_reply *reply)
{
	struct vfu_access a;

	if (len < sizeof(a))
		return -EPROTO;
	memcpy(&a, payload, sizeof(a));
	if (a.offset != req->offset || a.region != req->index || a.count != req->count ||
		len - sizeof(a) != a.count)
		return -EPROTO;
	reply->read.data = payload + sizeof(a);
	reply->read.len = a.count;
	return 0;
}

/* What the replies of different commands are copied to. */
union reply_copy {
	struct vfu_device_info device;
	struct vfu_region_info region;
	struct vfu_irq_info irq;
	struct vfu_io_fd io_fds[VFU_MAX_IO_FDS];
};

static int
check_reply(struct vfu_client *c, const struct vfu_request *req, struct vfu_reply *reply,
	union reply_copy *copy, uint32_t *argsz)
{
	const uint8_t *payload = c->rx.buf + sizeof(struct vfu_header);
	uint32_t len = vfu_rx_header(&c->rx).size - (uint32_t)sizeof(struct vfu_header);

	switch (req->command) {
	case VFU_CMD_VERSION:
		return version_reply(c, payload, len, reply);
	case VFU_CMD_DEVICE_GET_INFO:
		if (len < sizeof(copy->device))
			return -EPROTO;
		memcpy(&copy->device, payload, sizeof(copy->device));
		reply->device = &copy->device;
		return 0;
	case VFU_CMD_DEVICE_GET_REGION_INFO:
		memset(&copy->region, 0, sizeof(copy->region));
		copy->region.fd = reply->nb_fds > 0 ? reply->fds[0] : -1;
		reply->region = &copy->region;
		return region_reply(req, payload, len, &copy->region, argsz);
	case VFU_CMD_DEVICE_GET_REGION_IO_FDS:
		return io_fds_reply(req, payload, len, copy->io_fds, reply);
	case VFU_CMD_DEVICE_GET_IRQ_INFO:
		if (len < sizeof(copy->irq))
			return -EPROTO;
		memcpy(&copy->irq, payload, sizeof(copy->irq));
		reply->irq = &copy->irq;
		return copy->irq.index == req->index ? 0 : -EPROTO;
	case VFU_CMD_REGION_READ:
		return read_reply(req, payload, len, reply);
	default:
		/* Nothing in the payload matters; not all servers send one. */
		return 0;
	}
}

void
vfu_client_answered(struct vfu_client *c, struct vfu_request *req)
{
	struct vfu_reply reply = {.command = req->command};
	union reply_copy copy;
	uint32_t argsz = 0;
	int rc;

	reply.nb_fds = c->rx.nb_fds;
	reply.fds = c->rx.fds;
	rc = c->rx.bad_fds ? -EMFILE : check_reply(c, req, &reply, &copy, &argsz);
	if (rc == 1) {
		rc = ask_region_info(c, req->index, argsz, true, &req->call);
		if (rc == 0)
			return;
	}
	vfu_client_complete(c, req, rc, &reply);
}
