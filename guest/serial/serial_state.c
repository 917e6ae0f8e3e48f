// SPDX-License-Identifier: GPL-2.0-only
/* Copyright(c) 2026 vbus developers */

/*
 * The state block (doc/abi.md section 8.3): carrier and window size from south, DTR and RTS to it.
 *
 * South's line is read in a work item: a new window size takes a mutex of the tty and sends
 * signals. `hangups` counts what the flag alone would not show, a carrier that was lost and is
 * back.
 */
#include "serial.h"

/* South writes its line in a moment; one that never ends is not waited for. */
#define STATE_TRIES 1000

static void vserial_state_notify(struct vbus_signal *sig)
{
	struct vserial *p = sig->priv;

	if (!READ_ONCE(p->away))
		queue_work(vserial_wq, &p->state_work);
}

int vserial_state_create(struct vserial *p)
{
	struct vbus_shm *shm;

	shm = vbus_shm_alloc(p->vdev, VSERIAL_BLOCK_STATE, sizeof(struct vserial_state));
	if (IS_ERR(shm))
		return PTR_ERR(shm);
	((struct vserial_state *)shm->addr)->north.flags = cpu_to_le32(p->out.mctrl);
	vbus_shm_add_signal(shm, offsetof(struct vserial_state, signal), vserial_state_notify, p);
	p->state = shm;
	return vbus_shm_share(shm);
}

/* False: south is writing all the time. It injects at the end, so there will be another look. */
static bool vserial_state_read(struct vserial *p, struct vserial_south *to)
{
	const struct vserial_south *from = &((struct vserial_state *)p->state->addr)->south;
	unsigned int i;
	u32 seq;

	for (i = 0; i < STATE_TRIES; i++) {
		seq = le32_to_cpu(READ_ONCE(from->seq));
		/* The fields after `seq`. Partner: the release fence of south's writing. */
		virt_rmb();
		memcpy(to, from, sizeof(*to));
		/* `seq` again after the fields. Partner: south's release of the even number. */
		virt_rmb();
		if (!(seq & 1) && seq == le32_to_cpu(READ_ONCE(from->seq)))
			return true;
		cpu_relax();
	}
	return false;
}

static void vserial_state_size(struct vserial *p, const struct vserial_south *s)
{
	struct winsize size = {
		.ws_row = le16_to_cpu(s->rows),
		.ws_col = le16_to_cpu(s->cols),
		.ws_xpixel = le16_to_cpu(s->xpixel),
		.ws_ypixel = le16_to_cpu(s->ypixel),
	};
	struct tty_struct *tty;

	/* Not known; or told before, and perhaps changed here since. */
	if ((!size.ws_row && !size.ws_col) || !memcmp(&size, &p->size, sizeof(size)))
		return;
	p->size = size;
	tty = tty_port_tty_get(&p->port);
	if (tty)
		tty_do_resize(tty, &size);
	tty_kref_put(tty);
}

static void vserial_state_carrier(struct vserial *p, const struct vserial_south *s)
{
	const bool carrier = le32_to_cpu(s->flags) & VSERIAL_SOUTH_CARRIER;
	const u32 hangups = le32_to_cpu(s->hangups);
	const bool lost = hangups != p->hangups || (p->carrier && !carrier);

	if (!lost && carrier == p->carrier)
		return;
	p->hangups = hangups;
	p->icount.dcd++;
	WRITE_ONCE(p->carrier, carrier);
	if (lost)
		tty_port_tty_hangup(&p->port, true); /* not where the tty is local */
	if (carrier)
		wake_up_interruptible(&p->port.open_wait);
	wake_up_interruptible(&p->port.delta_msr_wait);
}

void vserial_state_work(struct work_struct *work)
{
	struct vserial *p = container_of(work, struct vserial, state_work);
	struct vserial_south s;

	if (READ_ONCE(p->away) || !vserial_state_read(p, &s))
		return;
	vserial_state_size(p, &s);
	vserial_state_carrier(p, &s);
}

/* After START. Later than the first time a carrier that was lost meanwhile counts. */
void vserial_state_begin(struct vserial *p)
{
	struct vserial_south s;

	if (vserial_state_read(p, &s)) {
		if (!p->away)
			p->hangups = le32_to_cpu(s.hangups);
		vserial_state_size(p, &s);
		vserial_state_carrier(p, &s);
	}
	vbus_signal_enable(&p->state->signal);
}

void vserial_mctrl(struct vserial *p, u32 set, u32 clear)
{
	unsigned long flags;
	u32 mctrl;

	spin_lock_irqsave(&p->out.lock, flags);
	mctrl = (p->out.mctrl & ~clear) | set;
	if (mctrl != p->out.mctrl && !p->away) {
		struct vserial_state *state = p->state->addr;

		WRITE_ONCE(state->north.flags, cpu_to_le32(mctrl));
		vbus_signal_inject(&p->state->signal);
	}
	p->out.mctrl = mctrl;
	spin_unlock_irqrestore(&p->out.lock, flags);
}
