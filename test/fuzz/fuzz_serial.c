/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * The serial class on a real bridge, with any north and a back end that reads and writes. Nothing is
 * written behind the room that the back end gives.
 */

#include <stdlib.h>

#include <vbus/serial.h>

#include "fuzz_link.h"
#include "vbus_serial.h"

static struct vbus_serial *port;
static uint32_t state_off;

static void
nothing(void *arg)
{
	(void)arg;
}

static const struct vbus_serial_user user = {.quiesce = nothing, .wake = nothing};

static void
setup(struct fuzz_in *in)
{
	uint8_t how = in_8(in);
	uint32_t count = 1 + in_8(in) % 32, i;
	struct link_ring *r;

	(void)link_open(VSERIAL_VERSION);
	r = link_ring(VSERIAL_BLOCK_IN, count, 1);
	for (i = 0; r != NULL && i < count && (how & 1) != 0; i++)
		(void)vbus_ioq_north_post(&r->q,
			&(struct vbus_ioq_entry){i, link_addr(0x8000 + i * 128), 16u << i % 4}, 1);
	r = link_ring(VSERIAL_BLOCK_OUT, count, 1);
	for (i = 0; r != NULL && i < count && (how & 2) != 0; i++)
		(void)vbus_ioq_north_push(&r->q,
			&(struct vbus_ioq_entry){i, link_addr(0xc000 + i * 128),
				(16u << i % 4) | (i % 5 == 4 ? VSERIAL_LEN_BREAK : 0)},
			1);
	state_off = link_alloc(sizeof(struct vserial_state));
	vbus_signal_format((struct shm_signal_desc *)(void *)(lk.mem + state_off));
	if ((how & 4) == 0)
		(void)link_shm(VSERIAL_BLOCK_STATE, state_off, sizeof(struct vserial_state),
			how & 8 ? UINT32_MAX : 0);
	if ((how & 0xf0) != 0xf0)
		(void)link_func(VSERIAL_FUNC_START, NULL, 0);
}

static void
back_reads(struct fuzz_in *in)
{
	uint32_t room = (uint32_t)in_num(in) % (VBUS_SERIAL_ENTRY_MAX + 1), n;
	uint8_t *buf = malloc(room + (room == 0));
	bool brk;

	if (buf == NULL)
		abort();
	n = vbus_serial_read(port, buf, room, &brk);
	FUZZ_CHECK(n <= room);
	free(buf);
}

static void
back_writes(struct fuzz_in *in)
{
	static const uint8_t bytes[4096];
	uint32_t n = (uint32_t)in_num(in) % (sizeof(bytes) + 1);

	FUZZ_CHECK(vbus_serial_write(port, bytes, n) <= n);
}

static void
step(struct fuzz_in *in)
{
	uint8_t data[64], op = in_8(in);

	switch (op % 16) {
	default:
		link_any(in);
		break;
	case 8:
	case 9:
		back_reads(in);
		break;
	case 10:
		back_writes(in);
		break;
	case 11:
		(void)vbus_serial_break(port);
		(void)vbus_serial_flags(port);
		break;
	case 12:
		(void)vbus_serial_arm(port);
		if (op & 0x10)
			vbus_serial_disarm(port);
		break;
	case 13:
		in_bytes(in, data, sizeof(data));
		(void)link_func(op >> 4 & 3, data, op & 0x40 ? 32 : in_8(in) % 64);
		break;
	case 14:
		if (op & 0x10)
			vbus_serial_set_carrier(port, (op & 0x20) != 0);
		else
			vbus_serial_set_size(port, op, op);
		break;
	case 15:
		if (op == 0x0f)
			FUZZ_CHECK(vbus_serial_bind(port, NULL) == 0 &&
				   vbus_serial_bind(port, &user) == 0);
		else if (lk.nb_rings != 0)
			link_kick(&lk.ring[op % lk.nb_rings]);
		break;
	}
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	struct vbus_device *dev = vbus_device_create("tty0", "serial", NULL);

	(void)argc;
	(void)argv;
	port = vbus_serial_of(dev);
	if (port == NULL || vbus_serial_bind(port, &user) != 0)
		return 1;
	link_init(dev, setup);
	return 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	link_run(data, size, step);
	FUZZ_CHECK(!vbus_serial_up(port));
	return 0;
}
