/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * A vfio-user client and a server that answers what it likes, in pieces, with descriptors or
 * without; that asks, lies about sizes, does not read. The client's owner queues requests, also from
 * within completions, and frees it at any time.
 *
 * What must hold: each request completes once, unless the client was freed; closed() is called once;
 * each descriptor is closed once; what is sent are whole messages.
 */

#include <errno.h>
#include <stdlib.h>

#include "fuzz.h"
#include "fuzz_sock.h"
#include "vfu_client.h"

#define ASKED_MAX 256u
#define DONE_MAX  512u

static struct {
	struct vfu_client *client;
	bool freed, closed;
	bool free_at_done;
	uint8_t again; /* queue so many more from completions */
	uint64_t nb_queued, nb_done;
	bool done[DONE_MAX];
	uint64_t now;
	int own_fd;
	/* what was sent */
	uint8_t header[sizeof(struct vfu_header)];
	uint32_t at;
	struct vfu_header asked[ASKED_MAX];
	uint32_t asked_first, asked_nb;
} own;

void
sock_on_sent(const uint8_t *data, size_t len, uint32_t nb_fds)
{
	struct vfu_header h;

	FUZZ_CHECK(nb_fds == 0 || own.at == 0);
	while (len != 0) {
		size_t n = own.at < sizeof(h) ? sizeof(h) - own.at : len;

		if (own.at < sizeof(h)) {
			n = n < len ? n : len;
			memcpy(own.header + own.at, data, n);
		} else {
			memcpy(&h, own.header, sizeof(h));
			n = h.size - own.at < len ? h.size - own.at : len;
		}
		own.at += (uint32_t)n;
		data += n;
		len -= n;
		if (own.at < sizeof(h))
			return;
		memcpy(&h, own.header, sizeof(h));
		FUZZ_CHECK(h.size >= sizeof(h) && h.size <= VFU_MSG_MAX + 4096);
		if (own.at != h.size)
			continue;
		own.at = 0;
		if ((h.flags & (VFU_F_TYPE_MASK | VFU_F_NO_REPLY)) == 0 && own.asked_nb < ASKED_MAX)
			own.asked[(own.asked_first + own.asked_nb++) % ASKED_MAX] = h;
	}
}

/* ---- the owner --------------------------------------------------------------------------------- */

static void ask(struct fuzz_in *in);
static struct fuzz_in *cur;

static void
look(const struct vfu_reply *r)
{
	volatile uint8_t sum = 0;
	uint32_t i;

	for (i = 0; i < r->nb_fds; i++) {
		FUZZ_CHECK(sock_fd_is_open(r->fds[i]));
		if (i % 3 == 0) { /* keep it */
			sock_fd_close(r->fds[i]);
			r->fds[i] = -1;
		}
	}
	switch (r->command) {
	case VFU_CMD_DEVICE_GET_REGION_INFO:
		FUZZ_CHECK(r->region->nb_areas <= VFU_MAX_AREAS);
		for (i = 0; i < r->region->nb_areas; i++)
			FUZZ_CHECK(r->region->areas[i].offset + r->region->areas[i].size <=
				   r->region->size);
		break;
	case VFU_CMD_DEVICE_GET_REGION_IO_FDS:
		for (i = 0; i < r->io_fds.count; i++)
			FUZZ_CHECK(r->io_fds.entries[i].fd_index < r->nb_fds);
		break;
	case VFU_CMD_REGION_READ:
		for (i = 0; i < r->read.len; i++)
			sum = (uint8_t)(sum + r->read.data[i]);
		break;
	default:
		break;
	}
}

static void
on_done(void *arg, int status, const struct vfu_reply *reply)
{
	uintptr_t n = (uintptr_t)arg;

	FUZZ_CHECK(n < own.nb_queued);
	FUZZ_CHECK(n >= DONE_MAX || !own.done[n]);
	if (n < DONE_MAX)
		own.done[n] = true;
	own.nb_done++;
	FUZZ_CHECK(!own.freed && !own.closed);
	FUZZ_CHECK((status == 0) == (reply != NULL) && status <= 0);
	if (reply != NULL)
		look(reply);
	if (own.free_at_done) {
		own.freed = true;
		vfu_client_free(own.client);
	} else if (own.again != 0) {
		own.again--;
		ask(cur);
	}
}

static void
on_closed(void *arg, int reason, const char *why)
{
	(void)arg;
	FUZZ_CHECK(reason < 0 && why != NULL && !own.closed && own.nb_done == own.nb_queued);
	own.closed = true;
}

static void
on_log(void *arg, enum vfu_log_level level, const char *line)
{
	(void)arg;
	(void)level;
	FUZZ_CHECK(strchr(line, '\n') == NULL);
}

static const struct vfu_client_ops ops = {.closed = on_closed, .log = on_log};

static void
ask(struct fuzz_in *in)
{
	static const uint8_t bytes[4096];
	struct vfu_call call = {.done = on_done, .deadline_ns = VFU_NEVER};
	uint8_t what = in_8(in);
	uint32_t a = (uint32_t)in_num(in), n = (uint32_t)in_num(in);
	struct vfu_dma_map map = {.flags = 3, .iova = a, .size = n, .offset = 0};
	const int fds[4] = {own.own_fd, own.own_fd, own.own_fd, own.own_fd};
	struct vfu_client *c = own.client;
	int rc;

	call.arg = (void *)(uintptr_t)own.nb_queued;
	if ((what & 0xc0) == 0xc0)
		call.deadline_ns = own.now + a;
	switch (what % 16) {
	case 0:
		rc = vfu_client_version(c, &call);
		break;
	case 1:
		rc = vfu_client_dma_map(c, &map, what & 0x40 ? own.own_fd : -1, &call);
		break;
	case 2:
		rc = vfu_client_dma_unmap(c, a, n, &call);
		break;
	case 3:
		rc = vfu_client_dma_unmap_all(c, &call);
		break;
	case 4:
		rc = vfu_client_device_info(c, &call);
		break;
	case 5:
	case 6:
		rc = vfu_client_region_info(c, a, &call);
		break;
	case 7:
	case 8:
		rc = vfu_client_region_io_fds(c, a, &call);
		break;
	case 9:
		rc = vfu_client_irq_info(c, a, &call);
		break;
	case 10:
		rc = vfu_client_set_irqs(c, a, n, fds, what >> 6, &call);
		break;
	case 11:
	case 12:
		rc = vfu_client_region_read(c, a, n, n, &call);
		break;
	case 13:
		rc = vfu_client_region_write(c, a, n, bytes, n % sizeof(bytes), &call);
		break;
	case 14:
		/* Nobody learns of it. */
		(void)vfu_client_region_post(c, a, n, bytes, n % sizeof(bytes));
		return;
	default:
		rc = vfu_client_reset(c, &call);
		break;
	}
	FUZZ_CHECK(rc <= 0);
	own.nb_queued += rc == 0;
}

/* ---- the server -------------------------------------------------------------------------------- */

static uint32_t
words(struct fuzz_in *in, uint8_t *p, const char *layout)
{
	uint32_t len = 0;

	for (; *layout != '\0'; layout++) {
		uint64_t v = in_num(in);

		memcpy(p + len, &v, (size_t)(*layout - '0'));
		len += (uint32_t)(*layout - '0');
	}
	return len;
}

static uint32_t
capability(struct fuzz_in *in, uint8_t *p)
{
	struct vfu_cap_sparse c = {.cap = {.id = 1, .version = 1}};

	c.cap.next = (uint32_t)in_num(in);
	c.nr_areas = in_8(in);
	if (c.nr_areas >= 0x80) {
		c.cap.id = (uint16_t)in_num(in);
		c.nr_areas = (uint32_t)in_num(in);
	}
	memcpy(p, &c, sizeof(c));
	return (uint32_t)sizeof(c) + words(in, p + sizeof(c), "8888");
}

static uint32_t
answer(struct fuzz_in *in, uint16_t command, uint8_t *p)
{
	static const char version[] =
		"{\"capabilities\":{\"max_msg_fds\":16,\"max_data_xfer_size\":"
		"65536,\"write_multiple\":true}}";
	uint32_t len, i, n;

	switch (command) {
	case VFU_CMD_VERSION:
		memset(p, 0, 4);
		p[2] = in_8(in) & 3;
		memcpy(p + 4, version, sizeof(version));
		return 4 + sizeof(version);
	case VFU_CMD_DEVICE_GET_INFO:
	case VFU_CMD_DEVICE_GET_IRQ_INFO:
		return words(in, p, "4444");
	case VFU_CMD_DEVICE_GET_REGION_INFO:
		len = words(in, p, "444488");
		for (i = 0, n = in_8(in) % 4; i < n; i++)
			len += capability(in, p + len);
		return len;
	case VFU_CMD_DEVICE_GET_REGION_IO_FDS:
		len = words(in, p, "4444");
		for (i = 0, n = in_8(in) % 4; i < n; i++)
			len += words(in, p + len, "8844448");
		return len;
	case VFU_CMD_REGION_READ:
		len = words(in, p, "844");
		memcpy(&n, p + 12, sizeof(n));
		n = n < 512 ? n : 512;
		in_bytes(in, p + len, n);
		return len + n;
	case VFU_CMD_REGION_WRITE:
		return words(in, p, "844");
	case VFU_CMD_DMA_UNMAP:
		return words(in, p, "4488");
	default:
		return 0;
	}
}

static void
server_sends(struct fuzz_in *in)
{
	static uint8_t msg[2048];
	uint8_t how = in_8(in), fds = in_8(in);
	struct vfu_header h = {.command = in_8(in), .flags = VFU_F_TYPE_REPLY};
	uint32_t len = sizeof(h);

	if ((how & 0x0f) != 0x0f && own.asked_nb != 0) {
		h.id = own.asked[own.asked_first].id;
		h.command = own.asked[own.asked_first].command;
		own.asked_first = (own.asked_first + 1) % ASKED_MAX;
		own.asked_nb--;
	}
	if ((how & 0x30) == 0x30) {
		h.flags = in_8(in);
		h.error = (uint32_t)in_num(in);
	}
	if ((how & 0xc0) != 0xc0)
		len += answer(in, h.command, msg + sizeof(h));
	/* The region's argsz and the like are what the payload has. */
	if ((how & 0xc0) == 0x40 && len >= 20) {
		uint32_t argsz = len - (uint32_t)sizeof(h);

		memcpy(msg + sizeof(h), &argsz, sizeof(argsz));
	}
	h.size = (how & 0xf0) == 0xe0 ? (uint32_t)in_num(in) : len;
	memcpy(msg, &h, sizeof(h));
	if ((how & 0x08) != 0) {
		uint32_t cut = 1 + in_8(in) % len;

		sock_peer_sends(msg, cut, fds < 0xc0 ? fds % 4 : fds % 254, false);
		sock_peer_waits();
		if (cut < len)
			sock_peer_sends(msg + cut, len - cut, 0, false);
	} else {
		sock_peer_sends(msg, len, fds < 0xc0 ? fds % 4 : fds % 254, false);
	}
	if (h.size > len && (how & 1) != 0)
		sock_peer_sends(NULL, h.size - len, 0, false);
}

/* ---- together ---------------------------------------------------------------------------------- */

static void
process(unsigned int budget)
{
	int rc = vfu_client_process(own.client, own.now, budget);

	FUZZ_CHECK(rc <= (int)budget);
	if (own.freed) {
		own.client = NULL;
		return;
	}
	if (rc >= 0)
		return;
	FUZZ_CHECK(own.closed && vfu_client_pending(own.client) == 0);
	vfu_client_free(own.client);
	own.client = NULL;
}

static void
step(struct fuzz_in *in)
{
	uint8_t op = in_8(in);

	switch (op % 16) {
	case 0:
	case 1:
	case 2:
		ask(in);
		break;
	default:
		process(1 + (op >> 4));
		break;
	case 8:
	case 9:
	case 10:
	case 11:
		server_sends(in);
		break;
	case 12:
		sock_takes(op & 0x80 ? UINT32_MAX : (uint32_t)in_num(in),
			(op & 0x70) == 0x70   ? EPIPE
			: (op & 0x70) == 0x60 ? ETOOMANYREFS
			: (op & 0x70) == 0x50 ? ECONNREFUSED
					      : 0);
		break;
	case 13:
		own.again = op >> 4;
		break;
	case 14:
		own.free_at_done = (op & 0xf0) == 0x10;
		if ((op & 0xf0) == 0x20)
			sock_peer_closes();
		break;
	case 15:
		own.now += in_num(in);
		(void)vfu_client_next_deadline(own.client);
		(void)vfu_client_want_events(own.client);
		break;
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in;
	int sock;

	fuzz_begin(&in, data, size);
	fuzz_end();
	memset(&own, 0, sizeof(own));
	cur = &in;
	sock = sock_open();
	own.own_fd = sock_fd_new();
	FUZZ_CHECK(vfu_client_open(sock, &ops, NULL, &own.client) == 0);
	if ((in_8(&in) & 7) != 0) {
		struct vfu_call call = {.done = on_done, .deadline_ns = VFU_NEVER};

		FUZZ_CHECK(vfu_client_version(own.client, &call) == 0);
		own.nb_queued++;
		process(1);
	}
	while (in_more(&in) && own.client != NULL)
		step(&in);
	if (own.client != NULL) {
		sock_takes(UINT32_MAX, 0);
		sock_peer_closes();
		own.again = 0;
		while (own.client != NULL)
			process(64);
		FUZZ_CHECK(own.freed || own.nb_done == own.nb_queued);
	}
	sock_fd_close(own.own_fd);
	FUZZ_CHECK(sock_nb_fds() == 0);
	return 0;
}
