// SPDX-License-Identifier: GPL-2.0-only
/* Copyright(c) 2026 vbus developers */

/*
 * Output: bytes are gathered in the next free entry's buffer and pushed with it. As long as south
 * has less than half of the ring every write is pushed at once; beyond that single bytes share an
 * entry, which goes when it is full or south has taken others.
 *
 * Everything under out.lock, in any context. South is told under it too: a device that goes sets
 * `away` under this lock, and the ring's signal must not end while somebody tells.
 */
#include "serial.h"

static u8 *vserial_out_buffer(const struct vserial *p, u32 idx)
{
	return p->out.mem + (size_t)idx * p->buffer;
}

/* The next free entry; < 0: there is none. */
static int vserial_out_tail(struct vserial *p)
{
	const int idx = vbus_ioq_valid_tail(&p->out.ring);

	if (unlikely(p->out.ring.broken))
		vserial_broken(p);
	return idx;
}

/* The entry at the ring's tail, which is ours, with @len bytes in its buffer. */
static void vserial_out_push(struct vserial *p, u32 idx, u32 len, u64 brk)
{
	struct vserial_out *out = &p->out;
	struct ioq_ring_desc *desc = &out->ring.desc[idx];

	WRITE_ONCE(desc->cookie, cpu_to_le64(idx));
	WRITE_ONCE(desc->ptr, cpu_to_le64(out->dma + (u64)idx * p->buffer));
	WRITE_ONCE(desc->len, cpu_to_le64(len | brk));
	out->len[idx] = len;
	out->bytes += len;
	p->icount.tx += len;
	vbus_ioq_push_both(&out->ring);
}

/* What was begun, however little it is. */
static bool vserial_out_push_begun(struct vserial *p)
{
	int idx;

	if (!p->out.begun)
		return false;
	idx = vserial_out_tail(p);
	if (idx < 0)
		return false; /* the ring is broken */
	vserial_out_push(p, idx, p->out.begun, 0);
	p->out.begun = 0;
	return true;
}

/* A break and a character out of turn: each has an entry of its own, behind what was written. */
static bool vserial_out_push_special(struct vserial *p)
{
	struct vserial_out *out = &p->out;
	bool pushed;
	int idx;

	if (!out->brk && !out->x_char)
		return false;
	pushed = vserial_out_push_begun(p);
	if (out->brk) {
		idx = vserial_out_tail(p);
		if (idx < 0)
			return pushed;
		vserial_out_push(p, idx, 0, VSERIAL_LEN_BREAK);
		out->brk = false;
		pushed = true;
	}
	if (out->x_char) {
		idx = vserial_out_tail(p);
		if (idx < 0)
			return pushed;
		*vserial_out_buffer(p, idx) = out->x_char;
		vserial_out_push(p, idx, 1, 0);
		out->x_char = 0;
		pushed = true;
	}
	return pushed;
}

static bool vserial_out_go(struct vserial *p)
{
	bool pushed = vserial_out_push_special(p);

	if (p->out.ring.valid_used < p->entries / 2)
		pushed |= vserial_out_push_begun(p);
	return pushed;
}

static u32 vserial_out_reap(struct vserial *p)
{
	struct vserial_out *out = &p->out;
	u32 n;
	int idx;

	for (n = 0; (idx = vbus_ioq_valid_head(&out->ring)) >= 0; n++) {
		out->bytes -= out->len[idx];
		vbus_ioq_pop_valid(&out->ring);
	}
	return n;
}

static void vserial_out_notify(struct vbus_signal *sig)
{
	struct vserial *p = sig->priv;
	bool pushed = false;
	unsigned long flags;
	u32 n = 0;

	spin_lock_irqsave(&p->out.lock, flags);
	if (!p->away) {
		n = vserial_out_reap(p);
		pushed = vserial_out_go(p);
	}
	if (pushed)
		vbus_signal_inject(p->out.ring.sig);
	spin_unlock_irqrestore(&p->out.lock, flags);
	if (n)
		tty_port_tty_wakeup(&p->port);
}

int vserial_out_create(struct vserial *p)
{
	p->out.mem = vbus_dma_alloc(p->vdev->dma_dev, p->entries * p->buffer, &p->out.dma);
	if (!p->out.mem)
		return -ENOMEM;
	return vbus_ioq_create(&p->out.ring, p->vdev, VSERIAL_BLOCK_OUT, p->entries,
			       vserial_out_notify, p);
}

/* Bytes that were taken. @more: a flush follows. */
u32 vserial_out_write(struct vserial *p, const u8 *buf, u32 len, bool more)
{
	struct vserial_out *out = &p->out;
	bool pushed = false;
	unsigned long flags;
	u32 done = 0, n;
	int idx;

	spin_lock_irqsave(&out->lock, flags);
	if (p->away)
		goto unlock;
	vserial_out_reap(p);
	while (done < len) {
		idx = vserial_out_tail(p);
		if (idx < 0)
			break;
		n = min(len - done, p->buffer - out->begun);
		memcpy(vserial_out_buffer(p, idx) + out->begun, buf + done, n);
		out->begun += n;
		done += n;
		if (out->begun == p->buffer)
			pushed |= vserial_out_push_begun(p);
	}
	if (!more)
		pushed |= vserial_out_go(p);
unlock:
	if (pushed)
		vbus_signal_inject(p->out.ring.sig);
	spin_unlock_irqrestore(&p->out.lock, flags);
	return done;
}

void vserial_out_flush(struct vserial *p)
{
	unsigned long flags;
	bool pushed = false;

	spin_lock_irqsave(&p->out.lock, flags);
	if (!p->away)
		pushed = vserial_out_go(p);
	if (pushed)
		vbus_signal_inject(p->out.ring.sig);
	spin_unlock_irqrestore(&p->out.lock, flags);
}

/* What south has it keeps. */
void vserial_out_drop(struct vserial *p)
{
	unsigned long flags;

	spin_lock_irqsave(&p->out.lock, flags);
	p->out.begun = 0;
	p->out.brk = false;
	spin_unlock_irqrestore(&p->out.lock, flags);
}

u32 vserial_out_room(struct vserial *p)
{
	unsigned long flags;
	u32 room = 0;

	spin_lock_irqsave(&p->out.lock, flags);
	if (!p->away) {
		vserial_out_reap(p);
		if (!p->out.ring.broken)
			room = vbus_ioq_valid_room(&p->out.ring) * p->buffer - p->out.begun;
	}
	spin_unlock_irqrestore(&p->out.lock, flags);
	return room;
}

/* Bytes that south has not taken. */
u32 vserial_out_pending(struct vserial *p)
{
	unsigned long flags;
	u32 n = 0;

	spin_lock_irqsave(&p->out.lock, flags);
	if (!p->away) {
		vserial_out_reap(p);
		n = p->out.bytes + p->out.begun;
	}
	spin_unlock_irqrestore(&p->out.lock, flags);
	return n;
}

void vserial_out_break(struct vserial *p)
{
	unsigned long flags;
	bool pushed = false;

	spin_lock_irqsave(&p->out.lock, flags);
	if (!p->away) {
		p->out.brk = true;
		pushed = vserial_out_push_special(p);
	}
	if (pushed)
		vbus_signal_inject(p->out.ring.sig);
	spin_unlock_irqrestore(&p->out.lock, flags);
}

void vserial_out_xchar(struct vserial *p, u8 ch)
{
	unsigned long flags;
	bool pushed = false;

	spin_lock_irqsave(&p->out.lock, flags);
	if (!p->away) {
		p->out.x_char = ch;
		pushed = vserial_out_push_special(p);
	}
	if (pushed)
		vbus_signal_inject(p->out.ring.sig);
	spin_unlock_irqrestore(&p->out.lock, flags);
}
