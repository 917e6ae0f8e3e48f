// SPDX-License-Identifier: GPL-2.0-only
/* Copyright(c) 2026 vbus developers */

/*
 * The random source of a vbus (doc/abi.md section 11) as a hwrng. The example of a device driver:
 * doc/device-class.md.
 *
 * South fills the buffers on the ring; a read takes what is there, and posts an emptied one again.
 * Reads come one at a time, hwrng's core sees to that, and only they move the ring, so there is no
 * lock. The notifier runs in hard interrupt context and wakes a read that waits.
 */

#include <linux/hw_random.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/wait.h>

#include "../vbus/vbus_drv.h"
#include <vbus/rng.h>

#define RNG_ENTRIES 4U
#define RNG_BUFFER  1024U /* bytes of an entry */
#define RNG_WAIT    HZ	  /* a south that fills nothing for so long has nothing */

struct vbus_rng {
	struct hwrng rng;
	struct vbus_device *vdev;
	struct vbus_ioq ring;
	wait_queue_head_t wait;
	bool gone;
	u32 taken; /* of the entry at the ring's head */
	u8 *mem;   /* a buffer per entry */
	dma_addr_t dma;
};

static void rng_notify(struct vbus_signal *sig)
{
	struct vbus_rng *r = sig->priv;

	wake_up_interruptible(&r->wait);
}

static void rng_give(struct vbus_rng *r, u32 idx)
{
	struct ioq_ring_desc *desc = &r->ring.desc[idx];

	WRITE_ONCE(desc->cookie, cpu_to_le64(idx));
	WRITE_ONCE(desc->ptr, cpu_to_le64(r->dma + (u64)idx * RNG_BUFFER));
	WRITE_ONCE(desc->len, cpu_to_le64(RNG_BUFFER));
}

/* What entry @idx has for us. Bytes; the entry goes back to south when it is used up. */
static u32 rng_take(struct vbus_rng *r, u32 idx, void *to, u32 max)
{
	u8 *from = r->mem + (size_t)idx * RNG_BUFFER + r->taken;
	u64 len = le64_to_cpu(READ_ONCE(r->ring.desc[idx].len));
	u32 n = 0;

	/* South can change its length until the end of time: never past the buffer. */
	len = min_t(u64, len, RNG_BUFFER);
	if (len > r->taken)
		n = min_t(u32, len - r->taken, max);
	memcpy(to, from, n);
	memzero_explicit(from, n); /* nobody else shall have them */
	r->taken += n;
	if (r->taken < len)
		return n;
	r->taken = 0;
	rng_give(r, idx);
	vbus_ioq_pop_inuse(&r->ring);
	vbus_signal_inject(r->ring.sig);
	return n;
}

/* Bytes, 0 when there are none and nobody wants to wait, -ENODEV. */
static int rng_read(struct hwrng *rng, void *data, size_t max, bool wait)
{
	struct vbus_rng *r = container_of(rng, struct vbus_rng, rng);
	u32 tries;
	int idx;

	/* A south that has nothing gives its entries back empty: one lap of these, not for ever. */
	for (tries = 0; tries < RNG_ENTRIES; tries++) {
		if (READ_ONCE(r->gone))
			return -ENODEV;
		idx = vbus_ioq_inuse_head(&r->ring);
		if (idx >= 0) {
			u32 n = rng_take(r, idx, data, min_t(size_t, max, RNG_BUFFER));

			if (n)
				return n;
			continue;
		}
		if (!wait)
			break;
		if (wait_event_interruptible_timeout(r->wait, READ_ONCE(r->gone) ||
						     vbus_ioq_inuse_head(&r->ring) >= 0,
						     RNG_WAIT) <= 0)
			break;
	}
	return 0;
}

/* Buffers first, then south is told of them. */
static int rng_start(struct vbus_rng *r)
{
	int idx, ret;

	ret = vbus_device_open(r->vdev, VRNG_VERSION);
	if (ret < 0)
		return ret;
	ret = vbus_ioq_alloc(&r->ring, r->vdev, VRNG_RING, RNG_ENTRIES, rng_notify, r);
	if (ret < 0)
		return ret;
	while ((idx = vbus_ioq_valid_tail(&r->ring)) >= 0) {
		rng_give(r, idx);
		vbus_ioq_push_valid(&r->ring);
	}
	ret = vbus_ioq_share(&r->ring);
	if (ret == 0)
		ret = vbus_device_call(r->vdev, VRNG_FUNC_START, NULL, 0);
	if (ret < 0)
		return ret;
	vbus_signal_enable(r->ring.sig);
	return 0;
}

static void rng_free(struct vbus_rng *r)
{
	vbus_device_close(r->vdev); /* South has left the buffers; no notifier runs. */
	memzero_explicit(r->mem, RNG_ENTRIES * RNG_BUFFER);
	vbus_dma_free(r->vdev->dma_dev, RNG_ENTRIES * RNG_BUFFER, r->mem, r->dma);
	kfree(r);
}

static int rng_probe(struct vbus_device *vdev)
{
	struct vbus_rng *r;
	int ret;

	r = kzalloc(sizeof(*r), GFP_KERNEL);
	if (!r)
		return -ENOMEM;
	r->vdev = vdev;
	init_waitqueue_head(&r->wait);
	r->mem = vbus_dma_alloc(vdev->dma_dev, RNG_ENTRIES * RNG_BUFFER, &r->dma);
	if (!r->mem) {
		kfree(r);
		return -ENOMEM;
	}
	r->rng.name = dev_name(&vdev->dev);
	r->rng.read = rng_read;
	r->rng.quality = 1000; /* of 1024: the host's own generator */
	ret = rng_start(r);
	if (ret == 0)
		ret = hwrng_register(&r->rng);
	if (ret < 0) {
		rng_free(r);
		return ret;
	}
	vbus_set_drvdata(vdev, r);
	return 0;
}

static void rng_remove(struct vbus_device *vdev)
{
	struct vbus_rng *r = vbus_get_drvdata(vdev);

	WRITE_ONCE(r->gone, true);
	wake_up_interruptible(&r->wait);
	hwrng_unregister(&r->rng); /* returns when the last read has */
	vbus_signal_disable(r->ring.sig);
	vbus_set_drvdata(vdev, NULL);
	rng_free(r);
}

static struct vbus_driver rng_driver = {
	.driver.name = "vbus_rng",
	.type = VRNG_TYPE,
	.probe = rng_probe,
	.remove = rng_remove,
};
module_vbus_driver(rng_driver);

MODULE_ALIAS_VBUS(VRNG_TYPE);
MODULE_AUTHOR("vbus developers");
MODULE_DESCRIPTION("vbus random source");
MODULE_LICENSE("GPL");
MODULE_VERSION("0.1.0");
