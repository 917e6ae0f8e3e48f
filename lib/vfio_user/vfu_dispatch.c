/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * From a received message to its handler and to the reply.
 *
 * Threads: the one that runs the session. Descriptors of the message stay in rx, where
 * vfu_rx_reset() closes whatever the handler did not take, on every path.
 *
 * One table says what each command may look like; policy is data, and there is one dispatcher.
 */

#include "vfu_session.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

/*
 * number, handler (NULL: refused), errno of the refusal, least payload bytes, most descriptors
 * (0: it takes none; such that come are closed and counted, as they do no harm)
 */
#define VFU_COMMANDS(X)                                                                           \
	X(VERSION, vfu_on_version, 0, sizeof(struct vfu_version), 0)                              \
	X(DMA_MAP, vfu_on_dma_map, 0, sizeof(struct vfu_dma_map), 1)                              \
	X(DMA_UNMAP, vfu_on_dma_unmap, 0, sizeof(struct vfu_dma_unmap), 0)                        \
	X(DEVICE_GET_INFO, vfu_on_device_info, 0, sizeof(struct vfu_device_info), 0)              \
	X(DEVICE_GET_REGION_INFO, vfu_on_region_info, 0, sizeof(struct vfu_region), 0)            \
	X(DEVICE_GET_REGION_IO_FDS, vfu_on_region_io_fds, 0, sizeof(struct vfu_region_io_fds), 0) \
	X(DEVICE_GET_IRQ_INFO, vfu_on_irq_info, 0, sizeof(struct vfu_irq_info), 0)                \
	X(DEVICE_SET_IRQS, vfu_on_set_irqs, 0, sizeof(struct vfu_irq_set), VFU_MAX_FDS)           \
	X(REGION_READ, vfu_on_region_read, 0, sizeof(struct vfu_access), 0)                       \
	X(REGION_WRITE, vfu_on_region_write, 0, sizeof(struct vfu_access), 0)                     \
	X(DMA_READ, NULL, EOPNOTSUPP, 0, 0)                                                       \
	X(DMA_WRITE, NULL, EOPNOTSUPP, 0, 0)                                                      \
	X(DEVICE_RESET, vfu_on_reset, 0, 0, 0)                                                    \
	X(DIRTY_PAGES, NULL, EOPNOTSUPP, 0, 0)                                                    \
	X(REGION_WRITE_MULTI, vfu_on_region_multi, 0, sizeof(uint64_t), 0)                        \
	X(DEVICE_FEATURE, NULL, ENOTTY, 0, 0)                                                     \
	X(MIG_DATA_READ, NULL, EOPNOTSUPP, 0, 0)                                                  \
	X(MIG_DATA_WRITE, NULL, EOPNOTSUPP, 0, 0)

struct command {
	const char *name;
	vfu_handler_t handler;
	int refusal;
	uint32_t min_payload;
	uint32_t max_fds;
};

static const struct command commands[VFU_CMD_MAX] = {
#define X(NAME, HANDLER, ERRNO, MIN, FDS) [VFU_CMD_##NAME] = {#NAME, HANDLER, ERRNO, MIN, FDS},
	VFU_COMMANDS(X)
#undef X
};

/* What can be said about a command before its handler looks at it. 0 or a negative errno. */
static int
check_command(struct vfu_session *s, const struct vfu_header *h, const struct command *cmd)
{
	struct vfu_rx *rx = &s->st->rx;

	if ((h->flags & VFU_F_TYPE_MASK) != VFU_F_TYPE_COMMAND || (h->flags & VFU_F_ERROR))
		return -EINVAL;
	if (h->size > VFU_MSG_MAX) {
		s->st->stats.oversized++;
		return -E2BIG;
	}
	if (cmd == NULL)
		return -EOPNOTSUPP;
	if (cmd->handler == NULL)
		return -cmd->refusal;
	if (h->size - sizeof(*h) < cmd->min_payload)
		return -EINVAL;
	if (cmd->max_fds == 0) {
		s->st->stats.unused_fds += rx->nb_fds;
		return 0;
	}
	if (rx->bad_fds) {
		s->st->stats.lost_fds++;
		return -EMFILE;
	}
	return rx->nb_fds > cmd->max_fds ? -EINVAL : 0;
}

/* Queue the reply: the prepared answer, or an error. */
static void
reply(struct vfu_session *s, const struct vfu_header *h, int error)
{
	struct vfu_answer *a = &s->answer;
	struct vfu_header r = {.id = h->id, .command = h->command, .flags = VFU_F_TYPE_REPLY};
	int rc;

	if (error != 0) {
		r.flags |= VFU_F_ERROR;
		r.error = (uint32_t)-error;
	}
	if (error != 0 || a->payload == NULL) {
		/* What was reserved for an answer is simply not used. */
		a->nb_fds = 0;
		if (vfu_session_answer(s, 0) == NULL)
			return;
	}
	r.size = (uint32_t)sizeof(r) + a->len;
	memcpy(a->payload - sizeof(r), &r, sizeof(r));
	rc = vfu_tx_commit(&s->st->tx, r.size, a->fds, a->nb_fds);
	s->replied = rc == 0;
	if (rc == -ENOBUFS)
		vfu_session_end(s, rc, "the client does not read its replies");
	else if (rc != 0)
		reply(s, h, rc);
}

/* A message that is not a command we know how to be asked: before VERSION, or a reply. */
static bool
out_of_place(struct vfu_session *s, const struct vfu_header *h)
{
	if (s->st->negotiated)
		return false;
	if (h->command == VFU_CMD_VERSION && (h->flags & VFU_F_TYPE_MASK) == VFU_F_TYPE_COMMAND)
		return false;
	vfu_session_end(s, -EPROTO, "the first message is not VERSION");
	return true;
}

void
vfu_session_dispatch(struct vfu_session *s)
{
	struct vfu_session_stats *stats = &s->st->stats;
	struct vfu_header h = vfu_rx_header(&s->st->rx);
	const struct command *cmd = NULL;
	int rc;

	memset(&s->answer, 0, offsetof(struct vfu_answer, fds));
	if (h.command < VFU_CMD_MAX && commands[h.command].name != NULL)
		cmd = &commands[h.command];
	if ((h.flags & VFU_F_TYPE_MASK) == VFU_F_TYPE_REPLY) {
		/* We ask nothing: never answer an answer. */
		stats->stray_replies++;
		out_of_place(s, &h);
		return;
	}
	stats->messages[cmd != NULL ? h.command : 0]++;
	if (h.flags & VFU_F_NO_REPLY)
		stats->posted++;

	if (out_of_place(s, &h))
		rc = -EPROTO;
	else
		rc = check_command(s, &h, cmd);
	if (rc == 0) {
		rc = cmd->handler(s, s->st->rx.buf + sizeof(h), h.size - (uint32_t)sizeof(h));
		if (rc > 0)
			rc = -EIO;
	}
	if (rc == -EINPROGRESS) {
		s->deferred = true;
		return;
	}
	if (rc != 0) {
		stats->errors++;
		vfu_session_log(s, VFU_LOG_DEBUG, "%s (%u bytes) refused: %s",
			cmd != NULL ? cmd->name : "unknown command", h.size, strerror(-rc));
	}
	if (rc != 0 && !s->st->negotiated)
		vfu_session_end(s, -EPROTO, "no agreement on a version");
	if (h.flags & VFU_F_NO_REPLY)
		return;
	reply(s, &h, rc);
}
