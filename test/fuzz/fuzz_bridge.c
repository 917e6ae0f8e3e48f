/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * The bridge's south half against any north: registers in pieces, calls and fast calls with any
 * structure and address, NEGOTIATE and reset in any state, memory that goes, events that nobody takes;
 * devices that come and go meanwhile. The class is one that does odd things: it asks for more to be
 * written back than there is, signals at any time, faults.
 */

#include <errno.h>
#include <stdlib.h>

#include "fuzz_link.h"
#include "vbus_bridge.h"

#define DEVICES 6u

static struct vbus_device *devices[DEVICES];

struct odd {
	struct vbus_conn *conn;
	struct vbus_shm *shm[64];
};

static int
odd_create(struct vbus_device *dev, const void *args)
{
	(void)args;
	dev->priv = calloc(1, sizeof(struct odd));
	return dev->priv != NULL ? 0 : -ENOMEM;
}

static void
odd_destroy(struct vbus_device *dev)
{
	free(dev->priv);
}

static int
odd_open(struct vbus_conn *conn, uint32_t version)
{
	struct odd *o = conn->dev->priv;

	if (version != 1)
		return -EINVAL;
	FUZZ_CHECK(o->conn == NULL);
	conn->priv = o;
	o->conn = conn;
	return 0;
}

static void
odd_close(struct vbus_conn *conn)
{
	struct odd *o = conn->priv;

	FUZZ_CHECK(o->conn == conn);
	for (uint32_t i = 0; i < 64; i++)
		if (o->shm[i] != NULL && i % 2 != 0)
			vbus_shm_notify(o->shm[i]); /* the polling thread's last one */
	memset(o, 0, sizeof(*o));
}

static int
odd_call(struct vbus_conn *conn, uint32_t func, void *data, uint32_t len, uint32_t *out)
{
	struct odd *o = conn->priv;
	uint8_t *bytes = data;
	uint32_t i;

	FUZZ_CHECK(len <= VBUS_CALL_MAX && o->conn == conn);
	for (i = 0; i < len; i++)
		bytes[i] = (uint8_t)~bytes[i];
	*out = func == 1 ? UINT32_MAX : len;
	if (func == 2)
		vbus_conn_fault(conn, "asked to");
	for (i = 0; func == 3 && i < 64; i++)
		if (o->shm[i] != NULL)
			vbus_shm_notify(o->shm[i]);
	return func == 4 ? -EBUSY : (int)(func & 7);
}

static int
odd_shm(struct vbus_conn *conn, struct vbus_shm *shm)
{
	struct odd *o = conn->priv;

	if (shm->id == 13)
		return -EINVAL;
	FUZZ_CHECK(shm->va != NULL && vbus_conn_shm(conn, shm->id) == shm);
	shm->va[0] ^= 1;
	shm->va[shm->len - 1] ^= 1;
	memset(shm->cursor, 0xff, sizeof(*shm->cursor));
	if (shm->id < 64)
		o->shm[shm->id] = shm;
	return 0;
}

static void
odd_signal(struct vbus_conn *conn, struct vbus_shm *shm)
{
	struct vbus_signal s;

	FUZZ_CHECK(shm->has_signal && shm->conn == conn);
	if (shm->va != NULL &&
		vbus_signal_attach(&s, shm->va + shm->signal_offset, VBUS_LOCALITY_SOUTH) == 0) {
		vbus_signal_take(&s);
		if (vbus_signal_inject(&s))
			vbus_shm_notify(shm);
	}
}

static bool
odd_dropped(struct vbus_conn *conn, int func)
{
	FUZZ_CHECK(conn->dev == NULL);
	return func < 0;
}

static void
odd_quiesce(struct vbus_conn *conn)
{
	(void)conn;
}

static const struct vbus_class_ops odd_ops = {
	.create = odd_create,
	.destroy = odd_destroy,
	.open = odd_open,
	.close = odd_close,
	.call = odd_call,
	.shm = odd_shm,
	.signal = odd_signal,
	.dropped = odd_dropped,
	.quiesce = odd_quiesce,
	.rebind = odd_quiesce,
};
static struct vbus_class odd_class = {.name = "odd", .type = "fuzz-odd", .ops = &odd_ops};

static void
setup(struct fuzz_in *in)
{
	uint8_t nb = in_8(in) % 8, i;

	(void)link_open(1);
	for (i = 0; i < nb; i++)
		(void)link_shm(i, link_alloc(4096), 4096, i % 3 != 0 ? 64 : UINT32_MAX);
}

/* The host's side: devices come and go. */
static void
plug(struct fuzz_in *in)
{
	struct vbus_device *dev = devices[in_8(in) % DEVICES];

	if (dev->bus != NULL)
		vbus_device_detach(dev);
	else
		FUZZ_CHECK(vbus_device_attach(dev, lk.bus) == 0);
	lk.dev = devices[in_8(in) % DEVICES];
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	char name[] = "odd0";
	uint32_t i;

	(void)argc;
	(void)argv;
	vbus_class_register(&odd_class);
	for (i = 0; i < DEVICES; i++) {
		name[3] = (char)('0' + i);
		devices[i] = vbus_device_create(name, "odd", NULL);
		if (devices[i] == NULL)
			return 1;
	}
	link_init(devices[0], setup);
	return 0;
}

static void
step(struct fuzz_in *in)
{
	if (*in->at >= 0xf8) {
		in->at++;
		plug(in);
	} else {
		link_any(in);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint32_t i;

	link_run(data, size, step);
	lk.dev = devices[0];
	if (lk.dev->bus == NULL)
		FUZZ_CHECK(vbus_device_attach(lk.dev, lk.bus) == 0);
	for (i = 1; i < DEVICES; i++)
		vbus_device_detach(devices[i]);
	return 0;
}
