// SPDX-License-Identifier: GPL-2.0-only
/* Copyright(c) 2026 vbus developers */

/*
 * Input: entries that south has filled go to the tty, whole or in pieces, and back to south when
 * the tty has all of them.
 *
 * One work item does it, so the ring's head has no lock. Whoever makes it possible to go on (the
 * notifier, a reader, an open) starts it. Where the tty's own buffers are full and nobody would say
 * when they no longer are, it starts itself again a little later.
 */
#include <linux/sysrq.h>

#include "serial.h"

/* After so many bytes others get their turn on this worker. */
#define IN_BUDGET (256U * 1024)

void vserial_in_kick(struct vserial *p)
{
	if (!READ_ONCE(p->away))
		mod_delayed_work(vserial_wq, &p->in.work, 0);
}

static void vserial_in_notify(struct vbus_signal *sig)
{
	vserial_in_kick(sig->priv);
}

static void vserial_in_give(struct vserial *p, u32 idx)
{
	struct ioq_ring_desc *desc = &p->in.ring.desc[idx];

	WRITE_ONCE(desc->cookie, cpu_to_le64(idx));
	WRITE_ONCE(desc->ptr, cpu_to_le64(p->in.dma + (u64)idx * p->buffer));
	WRITE_ONCE(desc->len, cpu_to_le64(p->buffer));
}

/* Filled before south knows of it. The memory is the port's until after the device was closed. */
int vserial_in_create(struct vserial *p)
{
	struct vserial_in *in = &p->in;
	int idx, ret;

	in->mem = vbus_dma_alloc(p->vdev->dma_dev, p->entries * p->buffer, &in->dma);
	if (!in->mem)
		return -ENOMEM;
	ret = vbus_ioq_alloc(&in->ring, p->vdev, VSERIAL_BLOCK_IN, p->entries, vserial_in_notify,
			     p);
	if (ret < 0)
		return ret;
	while ((idx = vbus_ioq_valid_tail(&in->ring)) >= 0) {
		vserial_in_give(p, idx);
		vbus_ioq_push_valid(&in->ring);
	}
	return vbus_ioq_share(&in->ring);
}

static bool vserial_in_wanted(const struct vserial *p)
{
	return !READ_ONCE(p->away) && READ_ONCE(p->open) && !READ_ONCE(p->throttled) &&
	       !READ_ONCE(p->deaf);
}

#ifdef CONFIG_MAGIC_SYSRQ_SERIAL
#define IN_SYSRQ_TIME (5 * HZ)

/* A break on a console announces a key of SysRq; a second one right after it is for the tty. */
static bool vserial_in_sysrq_break(struct vserial *p)
{
	struct vserial_in *in = &p->in;

	if (in->sysrq || !vbus_console_is_registered(&p->con)) {
		in->sysrq = 0;
		return false;
	}
	in->sysrq = (jiffies + IN_SYSRQ_TIME) | 1;
	return true;
}

/* The key, if there is one now. */
static void vserial_in_sysrq_key(struct vserial *p, const u8 *buf)
{
	struct vserial_in *in = &p->in;
	const unsigned long until = in->sysrq;

	if (!until || in->at == in->len)
		return;
	in->sysrq = 0;
	if (time_before(jiffies, until))
		handle_sysrq(buf[in->at++]);
}
#else
static bool vserial_in_sysrq_break(struct vserial *p)
{
	return false;
}

static void vserial_in_sysrq_key(struct vserial *p, const u8 *buf)
{
}
#endif

/* South's length, read once and kept. */
static void vserial_in_begin(struct vserial *p, u32 idx)
{
	struct vserial_in *in = &p->in;
	const u64 len = le64_to_cpu(READ_ONCE(in->ring.desc[idx].len));

	in->len = min_t(u64, len & VSERIAL_LEN_MASK, p->buffer);
	in->at = 0;
	in->brk = len & VSERIAL_LEN_BREAK;
	in->begun = true;
	if (!in->brk)
		return;
	p->icount.brk++;
	if (vserial_in_sysrq_break(p) || READ_ONCE(p->ignore_break))
		in->brk = false;
}

/* As much of the entry as the tty takes. Bytes. */
static u32 vserial_in_pass(struct vserial *p, u32 idx)
{
	struct vserial_in *in = &p->in;
	const u8 *buf = in->mem + (size_t)idx * p->buffer;
	u32 n;

	if (in->brk) {
		if (!tty_insert_flip_char(&p->port, 0, TTY_BREAK))
			return 0;
		in->brk = false;
	}
	vserial_in_sysrq_key(p, buf);
	n = tty_insert_flip_string(&p->port, buf + in->at, in->len - in->at);
	in->at += n;
	p->icount.rx += n;
	return n;
}

void vserial_in_work(struct work_struct *work)
{
	struct vserial *p = container_of(to_delayed_work(work), struct vserial, in.work);
	struct vserial_in *in = &p->in;
	u32 bytes = 0, given = 0;
	int idx;

	while (vserial_in_wanted(p)) {
		if (bytes >= IN_BUDGET) {
			queue_delayed_work(vserial_wq, &in->work, 0);
			break;
		}
		idx = vbus_ioq_inuse_head(&in->ring);
		if (idx < 0)
			break;
		if (!in->begun)
			vserial_in_begin(p, idx);
		bytes += vserial_in_pass(p, idx) + 1; /* empty ones cost something too */
		if (in->brk || in->at < in->len) {
			/* The line discipline frees room soon: a full one has throttled us. */
			queue_delayed_work(vserial_wq, &in->work, 1);
			break;
		}
		in->begun = false;
		vserial_in_give(p, idx);
		vbus_ioq_pop_inuse(&in->ring);
		given++;
	}
	if (bytes)
		tty_flip_buffer_push(&p->port);
	if (given)
		vbus_signal_inject(in->ring.sig);
}
