/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * Callbacks of a client under test. One thread, one client at a time.
 */

#include "client_seen.h"

#include <errno.h>
#include <string.h>

struct vfu_client *client;
struct seen seen;
unsigned int nb_done, nb_closed;
int closed_reason;
bool free_when_closed;

void
on_done(void *arg, int status, const struct vfu_reply *reply)
{
	const struct vfu_call again = {.done = on_done, .arg = arg, .deadline_ns = VFU_NEVER};
	struct seen *s = arg;

	s->nb++;
	s->status = status;
	s->order = nb_done++;
	CU_ASSERT((status == 0) == (reply != NULL));
	if (s->free_it)
		vfu_client_free(client);
	if (s->ask_again) {
		s->ask_again = false;
		CU_ASSERT(vfu_client_reset(client, &again) ==
			  (status == -ECONNRESET ? -ENOTCONN : 0));
	}
	if (status != 0)
		return;
	s->nb_fds = reply->nb_fds;
	if (reply->nb_fds > 0) {
		s->fd = reply->fds[0];
		reply->fds[0] = -1;
	}
	switch (reply->command) {
	case VFU_CMD_VERSION:
		s->caps = *reply->version;
		break;
	case VFU_CMD_DEVICE_GET_INFO:
		s->device = *reply->device;
		break;
	case VFU_CMD_DEVICE_GET_REGION_INFO:
		s->region = *reply->region;
		break;
	case VFU_CMD_DEVICE_GET_IRQ_INFO:
		s->irq = *reply->irq;
		break;
	case VFU_CMD_DEVICE_GET_REGION_IO_FDS:
		s->nb_io_fds = reply->io_fds.count;
		memcpy(s->io_fds, reply->io_fds.entries,
			reply->io_fds.count * sizeof(s->io_fds[0]));
		break;
	case VFU_CMD_REGION_READ:
		s->len = reply->read.len;
		memcpy(s->data, reply->read.data, reply->read.len);
		break;
	default:
		break;
	}
}

static void
on_closed(void *arg, int reason, const char *why)
{
	CU_ASSERT(arg == &seen);
	CU_ASSERT(why[0] != '\0');
	nb_closed++;
	closed_reason = reason;
	if (free_when_closed)
		vfu_client_free(client);
}

const struct vfu_client_ops seen_ops = {.closed = on_closed};
const struct vfu_call call = {.done = on_done, .arg = &seen, .deadline_ns = VFU_NEVER};

void
seen_reset(void)
{
	memset(&seen, 0, sizeof(seen));
	seen.fd = -1;
	nb_done = nb_closed = 0;
	closed_reason = 0;
	free_when_closed = false;
}
