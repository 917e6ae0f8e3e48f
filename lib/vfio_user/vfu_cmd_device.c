/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * Commands about the device as a whole: version, memory, interrupts, reset.
 *
 * Threads: the one that runs the session. A payload is copied into a local structure before it is
 * checked; its length is at least the table's minimum (vfu_dispatch.c).
 */

#include "vfu_session.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "vfu_caps.h"

int
vfu_on_version(struct vfu_session *s, const uint8_t *payload, uint32_t len)
{
	char text[VFU_CAPS_TEXT_LEN];
	struct vfu_version version;
	struct vfu_caps caps;
	uint8_t *out;
	uint32_t text_len;
	int rc;

	if (s->st->negotiated)
		return -EINVAL;
	rc = vfu_caps_parse(payload, len, &caps);
	if (rc != 0)
		return rc;
	if (caps.major != VFU_VERSION_MAJOR)
		return -EPROTONOSUPPORT;
	version.major = VFU_VERSION_MAJOR;
	version.minor = caps.minor < VFU_VERSION_MINOR ? caps.minor : VFU_VERSION_MINOR;
	text_len = vfu_caps_format(text, 1);
	out = vfu_session_answer(s, (uint32_t)sizeof(version) + text_len);
	if (out == NULL)
		return -ENOBUFS;
	memcpy(out, &version, sizeof(version));
	memcpy(out + sizeof(version), text, text_len);
	s->st->peer = caps;
	s->st->negotiated = 1;
	return 0;
}

int
vfu_on_dma_map(struct vfu_session *s, const uint8_t *payload, uint32_t len)
{
	struct vfu_rx *rx = &s->st->rx;
	struct vfu_dma_map map;
	int rc;

	memcpy(&map, payload, sizeof(map));
	if (len != sizeof(map) || map.argsz < sizeof(map) || map.size == 0)
		return -EINVAL;
	if (map.iova + (map.size - 1) < map.iova || map.offset + (map.size - 1) < map.offset)
		return -EOVERFLOW;
	if (s->conf.ops->dma_map == NULL)
		return -EOPNOTSUPP;
	map.flags &= VFU_DMA_F_READ | VFU_DMA_F_WRITE;
	rc = s->conf.ops->dma_map(s->conf.arg, &map, rx->nb_fds == 1 ? rx->fds[0] : -1);
	if (rc == 0)
		vfu_rx_take_fd(rx, 0);
	return rc;
}

int
vfu_on_dma_unmap(struct vfu_session *s, const uint8_t *payload, uint32_t len)
{
	uint64_t first = 0, last = UINT64_MAX;
	struct vfu_dma_unmap unmap;
	void *out;
	int rc = 0;

	memcpy(&unmap, payload, sizeof(unmap));
	if (len != sizeof(unmap) || unmap.argsz < sizeof(unmap))
		return -EINVAL;
	if (unmap.flags & ~VFU_DMA_UNMAP_F_ALL)
		return -EINVAL;
	if (unmap.flags & VFU_DMA_UNMAP_F_ALL) {
		if (unmap.iova != 0 || unmap.size != 0)
			return -EINVAL;
	} else {
		first = unmap.iova;
		/* A range that reaches beyond 2^64 ends there: unknown ranges succeed. */
		if (first + (unmap.size - 1) >= first)
			last = first + (unmap.size - 1);
	}
	out = vfu_session_answer(s, sizeof(unmap));
	if (out == NULL)
		return -ENOBUFS;
	memcpy(out, &unmap, sizeof(unmap));
	if (s->conf.ops->dma_unmap != NULL && (unmap.flags != 0 || unmap.size != 0))
		rc = s->conf.ops->dma_unmap(s->conf.arg, first, last);
	return rc;
}

int
vfu_on_device_info(struct vfu_session *s, const uint8_t *payload, uint32_t len)
{
	struct vfu_device_info info;
	void *out;

	(void)len;
	memcpy(&info, payload, sizeof(info));
	if (info.argsz < sizeof(info))
		return -EINVAL;
	info.argsz = sizeof(info);
	info.flags = s->conf.flags;
	info.num_regions = s->conf.num_regions;
	info.num_irqs = s->conf.num_irqs;
	out = vfu_session_answer(s, sizeof(info));
	if (out == NULL)
		return -ENOBUFS;
	memcpy(out, &info, sizeof(info));
	return 0;
}

static int
irq_index(struct vfu_session *s, uint32_t index, uint32_t *flags, uint32_t *count)
{
	*flags = 0;
	*count = 0;
	if (index >= s->conf.num_irqs)
		return -EINVAL;
	if (s->conf.ops->irq_info == NULL)
		return 0;
	return s->conf.ops->irq_info(s->conf.arg, index, flags, count);
}

int
vfu_on_irq_info(struct vfu_session *s, const uint8_t *payload, uint32_t len)
{
	struct vfu_irq_info info;
	void *out;
	int rc;

	(void)len;
	memcpy(&info, payload, sizeof(info));
	if (info.argsz < sizeof(info))
		return -EINVAL;
	rc = irq_index(s, info.index, &info.flags, &info.count);
	if (rc != 0)
		return rc;
	info.argsz = sizeof(info);
	out = vfu_session_answer(s, sizeof(info));
	if (out == NULL)
		return -ENOBUFS;
	memcpy(out, &info, sizeof(info));
	return 0;
}

/*
 * Descriptors that a peer calls eventfds will be written to by threads that must not block: take
 * nothing else (a pipe fills up), and make sure that a full counter does not block either.
 */
static int
check_eventfd(int fd)
{
	static const char want[] = "anon_inode:[eventfd]";
	char path[32], link[sizeof(want) + 1];
	ssize_t n;
	int flags;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, link, sizeof(link));
	/* Without /proc there is no telling. */
	if (n >= 0 && (n != sizeof(want) - 1 || memcmp(link, want, sizeof(want) - 1) != 0))
		return -EINVAL;
	flags = fcntl(fd, F_GETFL);
	if (flags < 0)
		return -errno;
	if (!(flags & O_NONBLOCK) && fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0)
		return -errno;
	return 0;
}

/* Check data type, action and their data against each other. */
static int
check_irq_data(struct vfu_session *s, const struct vfu_irq_set *req, uint32_t len)
{
	const struct vfu_rx *rx = &s->st->rx;
	uint32_t data_len = 0, action = req->flags & VFU_IRQ_ACTIONS;

	if (req->flags & ~(VFU_IRQ_DATA_MASK | VFU_IRQ_ACTIONS))
		return -EINVAL;
	if (action != VFU_IRQ_ACTION_MASK && action != VFU_IRQ_ACTION_UNMASK &&
		action != VFU_IRQ_ACTION_TRIGGER)
		return -EINVAL;
	switch (req->flags & VFU_IRQ_DATA_MASK) {
	case VFU_IRQ_DATA_NONE:
		if (rx->nb_fds != 0)
			return -EINVAL;
		break;
	case VFU_IRQ_DATA_BOOL:
		if (rx->nb_fds != 0)
			return -EINVAL;
		data_len = req->count;
		break;
	case VFU_IRQ_DATA_EVENTFD:
		if (action != VFU_IRQ_ACTION_TRIGGER)
			return -EINVAL;
		/* All valid descriptors or none. */
		if (rx->nb_fds != 0 && rx->nb_fds != req->count)
			return -EINVAL;
		for (uint32_t i = 0; i < rx->nb_fds; i++)
			if (check_eventfd(rx->fds[i]) != 0)
				return -EINVAL;
		break;
	default:
		return -EINVAL;
	}
	return len - sizeof(*req) == data_len ? 0 : -EINVAL;
}

int
vfu_on_set_irqs(struct vfu_session *s, const uint8_t *payload, uint32_t len)
{
	struct vfu_rx *rx = &s->st->rx;
	struct vfu_set_irqs set = {0};
	struct vfu_irq_set req;
	uint32_t flags, count;
	int rc;

	memcpy(&req, payload, sizeof(req));
	if (req.argsz < sizeof(req))
		return -EINVAL;
	rc = irq_index(s, req.index, &flags, &count);
	if (rc != 0)
		return rc;
	if ((uint64_t)req.start + req.count > count)
		return -EINVAL;
	rc = check_irq_data(s, &req, len);
	if (rc != 0)
		return rc;
	if (s->conf.ops->set_irqs == NULL)
		return -EOPNOTSUPP;
	set.index = req.index;
	set.start = req.start;
	set.count = req.count;
	set.data = req.flags & VFU_IRQ_DATA_MASK;
	set.action = req.flags & VFU_IRQ_ACTIONS;
	set.nb_fds = rx->nb_fds;
	set.fds = rx->fds;
	if (set.data == VFU_IRQ_DATA_BOOL)
		set.bools = payload + sizeof(req);
	rc = s->conf.ops->set_irqs(s->conf.arg, &set);
	if (rc == 0)
		for (uint32_t i = 0; i < rx->nb_fds; i++)
			vfu_rx_take_fd(rx, i);
	return rc;
}

int
vfu_on_reset(struct vfu_session *s, const uint8_t *payload, uint32_t len)
{
	(void)payload;
	(void)len;
	return s->conf.ops->reset == NULL ? 0 : s->conf.ops->reset(s->conf.arg);
}
