/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * Commands about regions: what they look like, and accesses to them.
 *
 * Threads: the one that runs the session. A payload is copied into a local structure before it is
 * checked; its length is at least the table's minimum (vfu_dispatch.c).
 *
 * An access to a region that exists is never refused: a client that gets an error for a read
 * shows its guest all ones, and some do not look at the error at all and wait for the data. Outside
 * of the region, reads give zeros and writes vanish.
 */

#include "vfu_session.h"

#include <errno.h>
#include <string.h>

void
vfu_session_region(struct vfu_session *s, uint32_t index, struct vfu_region_info *info)
{
	memset(info, 0, sizeof(*info));
	info->fd = -1;
	if (s->conf.ops->region_info == NULL)
		return;
	if (s->conf.ops->region_info(s->conf.arg, index, info) != 0 ||
		info->nb_areas > VFU_MAX_AREAS) {
		memset(info, 0, sizeof(*info));
		info->fd = -1;
	}
	info->flags &= VFU_REGION_F_READ | VFU_REGION_F_WRITE | VFU_REGION_F_MMAP;
	if (info->fd < 0)
		info->flags &= ~VFU_REGION_F_MMAP;
	if (!(info->flags & VFU_REGION_F_MMAP)) {
		info->fd = -1;
		info->nb_areas = 0;
	}
}

/* The sparse mmap capability and its areas. */
static void
put_sparse(uint8_t *out, const struct vfu_region_info *info)
{
	struct vfu_cap_sparse cap = {
		.cap = {.id = VFU_CAP_SPARSE_MMAP, .version = 1},
		.nr_areas = info->nb_areas,
	};

	memcpy(out, &cap, sizeof(cap));
	memcpy(out + sizeof(cap), info->areas, info->nb_areas * sizeof(info->areas[0]));
}

int
vfu_on_region_info(struct vfu_session *s, const uint8_t *payload, uint32_t len)
{
	struct vfu_region_info info;
	struct vfu_region region;
	uint32_t room, need = sizeof(region);
	uint8_t *out;

	(void)len;
	memcpy(&region, payload, sizeof(region));
	room = region.argsz;
	if (room < sizeof(region) || region.index >= s->conf.num_regions)
		return -EINVAL;
	vfu_session_region(s, region.index, &info);
	region.flags = info.flags;
	region.cap_offset = 0;
	region.size = info.size;
	region.offset = info.fd_offset;
	if (info.nb_areas > 0) {
		need += (uint32_t)sizeof(struct vfu_cap_sparse);
		need += info.nb_areas * (uint32_t)sizeof(struct vfu_area);
		region.flags |= VFU_REGION_F_CAPS;
		if (room >= need)
			region.cap_offset = sizeof(region);
	}
	region.argsz = need;
	/* Too little room: the client learns from argsz how much to ask for the next time. */
	out = vfu_session_answer(s, room >= need ? need : (uint32_t)sizeof(region));
	if (out == NULL)
		return -ENOBUFS;
	memcpy(out, &region, sizeof(region));
	if (region.cap_offset != 0)
		put_sparse(out + sizeof(region), &info);
	if (info.fd >= 0) {
		s->answer.fds[0] = info.fd;
		s->answer.nb_fds = 1;
	}
	return 0;
}

/* Index of fd among the answer's, added if there is room; VFU_MAX_IO_FDS if there is none. */
static uint32_t
answer_fd(struct vfu_answer *a, int fd, uint32_t max)
{
	for (uint32_t i = 0; i < a->nb_fds; i++)
		if (a->fds[i] == fd)
			return i;
	if (a->nb_fds >= max)
		return VFU_MAX_IO_FDS;
	a->fds[a->nb_fds] = fd;
	return a->nb_fds++;
}

int
vfu_on_region_io_fds(struct vfu_session *s, const uint8_t *payload, uint32_t len)
{
	struct vfu_io_fd_info infos[VFU_MAX_IO_FDS];
	struct vfu_io_fd entries[VFU_MAX_IO_FDS];
	uint32_t max_fds = s->st->peer.max_msg_fds, room;
	struct vfu_region_io_fds req;
	uint8_t *out;
	int n = 0;

	(void)len;
	memcpy(&req, payload, sizeof(req));
	room = req.argsz;
	if (room < sizeof(req) || req.flags != 0 || req.index >= s->conf.num_regions)
		return -EINVAL;
	if (max_fds > VFU_MAX_IO_FDS)
		max_fds = VFU_MAX_IO_FDS;
	if (s->conf.ops->region_io_fds != NULL)
		n = s->conf.ops->region_io_fds(s->conf.arg, req.index, infos, VFU_MAX_IO_FDS);
	if (n < 0 || n > (int)VFU_MAX_IO_FDS)
		return n < 0 ? n : -EIO;
	memset(entries, 0, sizeof(entries));
	for (req.count = 0; req.count < (uint32_t)n; req.count++) {
		struct vfu_io_fd *e = &entries[req.count];

		e->offset = infos[req.count].offset;
		e->size = infos[req.count].size;
		e->type = VFU_IO_FD_EVENTFD;
		e->flags = infos[req.count].flags & VFU_IO_FD_F_DATAMATCH;
		e->datamatch = infos[req.count].datamatch;
		e->fd_index = answer_fd(&s->answer, infos[req.count].fd, max_fds);
		/* Each stands for itself: what the client cannot take, it does by messages. */
		if (e->fd_index == VFU_MAX_IO_FDS)
			break;
	}
	req.argsz = (uint32_t)(sizeof(req) + req.count * sizeof(entries[0]));
	out = vfu_session_answer(s, room >= req.argsz ? req.argsz : (uint32_t)sizeof(req));
	if (out == NULL)
		return -ENOBUFS;
	memcpy(out, &req, sizeof(req));
	if (room >= req.argsz)
		memcpy(out + sizeof(req), entries, req.count * sizeof(entries[0]));
	else
		s->answer.nb_fds = 0;
	return 0;
}

/* How many bytes of an access lie within its region, and are allowed there. */
static uint32_t
access_within(struct vfu_session *s, const struct vfu_access *a, uint32_t flag)
{
	uint64_t size = s->region_size[a->region];
	uint32_t within = a->count;

	if (!(s->region_flags[a->region] & flag) || a->offset >= size)
		within = 0;
	else if (size - a->offset < within)
		within = (uint32_t)(size - a->offset);
	if (within < a->count)
		s->st->stats.outside++;
	return within;
}

int
vfu_on_region_read(struct vfu_session *s, const uint8_t *payload, uint32_t len)
{
	struct vfu_access a;
	uint32_t within;
	uint8_t *out;
	int rc;

	memcpy(&a, payload, sizeof(a));
	if (len != sizeof(a) || a.region >= s->conf.num_regions || a.count > VFU_XFER_MAX)
		return -EINVAL;
	out = vfu_session_answer(s, (uint32_t)sizeof(a) + a.count);
	if (out == NULL)
		return -ENOBUFS;
	memcpy(out, &a, sizeof(a));
	out += sizeof(a);
	memset(out, 0, a.count);
	within = access_within(s, &a, VFU_REGION_F_READ);
	if (within == 0 || s->conf.ops->region_read == NULL)
		return 0;
	rc = s->conf.ops->region_read(s->conf.arg, a.region, a.offset, out, within);
	if (rc == -EINPROGRESS)
		return rc;
	if (rc != 0) {
		s->st->stats.access_errors++;
		memset(out, 0, a.count);
	}
	return 0;
}

/* 0, or -EINPROGRESS. */
static int
region_write(struct vfu_session *s, const struct vfu_access *a, const uint8_t *data)
{
	uint32_t within = access_within(s, a, VFU_REGION_F_WRITE);
	int rc;

	if (within == 0 || s->conf.ops->region_write == NULL)
		return 0;
	rc = s->conf.ops->region_write(s->conf.arg, a->region, a->offset, data, within);
	if (rc == -EINPROGRESS)
		return rc;
	if (rc != 0)
		s->st->stats.access_errors++;
	return 0;
}

int
vfu_on_region_write(struct vfu_session *s, const uint8_t *payload, uint32_t len)
{
	struct vfu_access a;
	void *out;

	memcpy(&a, payload, sizeof(a));
	if (a.region >= s->conf.num_regions || len - sizeof(a) != a.count)
		return -EINVAL;
	/* All 16 bytes: there are clients that wait for them. */
	out = vfu_session_answer(s, sizeof(a));
	if (out == NULL)
		return -ENOBUFS;
	memcpy(out, &a, sizeof(a));
	return region_write(s, &a, payload + sizeof(a));
}

int
vfu_on_region_multi(struct vfu_session *s, const uint8_t *payload, uint32_t len)
{
	uint64_t count;
	void *out;

	memcpy(&count, payload, sizeof(count));
	payload += sizeof(count);
	len -= (uint32_t)sizeof(count);
	if (len % sizeof(struct vfu_multi) != 0 || count != len / sizeof(struct vfu_multi))
		return -EINVAL;
	for (uint64_t i = 0; i < count; i++) {
		struct vfu_multi m;

		memcpy(&m, payload + i * sizeof(m), sizeof(m));
		if (m.region >= s->conf.num_regions || m.count > VFU_MULTI_DATA)
			return -EINVAL;
	}
	out = vfu_session_answer(s, sizeof(count));
	if (out == NULL)
		return -ENOBUFS;
	memcpy(out, &count, sizeof(count));
	for (uint64_t i = 0; i < count && s->over == 0 && !s->freed; i++) {
		struct vfu_access a;
		struct vfu_multi m;
		int rc;

		memcpy(&m, payload + i * sizeof(m), sizeof(m));
		a.offset = m.offset;
		a.region = m.region;
		a.count = m.count;
		/* Those before it are written again: they are registers. */
		rc = region_write(s, &a, m.data);
		if (rc != 0)
			return rc;
	}
	return 0;
}
