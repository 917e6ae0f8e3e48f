// SPDX-License-Identifier: GPL-2.0-only
/* Copyright(c) 2026 vbus developers */

/*
 * The tty's operations. What a line of wire would need (speed, character size, parity) is accepted
 * and means nothing; what concerns the bytes is kept: CREAD, CLOCAL, HUPCL, IXOFF, breaks. RTS and
 * CTS are shown, the rings' flow control does their work.
 */
#include "serial.h"

struct tty_driver *vserial_tty_driver;

/* ---- a tty comes and goes ------------------------------------------------------------------- */

static int vserial_install(struct tty_driver *driver, struct tty_struct *tty)
{
	struct vserial *p = vserial_get(tty->index);
	int ret;

	if (!p)
		return -ENODEV;
	ret = tty_port_install(&p->port, driver, tty);
	if (ret) {
		tty_port_put(&p->port);
		return ret;
	}
	tty->driver_data = p;
	tty->winsize = p->size;
	return 0;
}

static void vserial_cleanup(struct tty_struct *tty)
{
	struct vserial *p = tty->driver_data;

	tty->driver_data = NULL;
	if (p)
		tty_port_put(&p->port);
}

static void vserial_look_at_termios(struct vserial *p, struct tty_struct *tty)
{
	WRITE_ONCE(p->ignore_break, I_IGNBRK(tty));
	WRITE_ONCE(p->deaf, !C_CREAD(tty));
}

static int vserial_open(struct tty_struct *tty, struct file *filp)
{
	struct vserial *p = tty->driver_data;

	vserial_look_at_termios(p, tty);
	return tty_port_open(&p->port, tty, filp);
}

static void vserial_close(struct tty_struct *tty, struct file *filp)
{
	struct vserial *p = tty->driver_data;

	if (p) /* one that could not be installed is closed too */
		tty_port_close(&p->port, tty, filp);
}

static void vserial_hangup(struct tty_struct *tty)
{
	struct vserial *p = tty->driver_data;

	tty_port_hangup(&p->port);
}

/* The first open. */
static int vserial_activate(struct tty_port *port, struct tty_struct *tty)
{
	struct vserial *p = to_vserial(port);

	if (READ_ONCE(p->gone))
		return -ENODEV;
	WRITE_ONCE(p->throttled, false);
	WRITE_ONCE(p->open, true);
	vserial_in_kick(p);
	return 0;
}

/* The last close, or a hang-up. Input stays in the ring; what was written goes on its way. */
static void vserial_shutdown(struct tty_port *port)
{
	WRITE_ONCE(to_vserial(port)->open, false);
}

static VBUS_TTY_BOOL vserial_carrier_raised(struct tty_port *port)
{
	return READ_ONCE(to_vserial(port)->carrier);
}

static void vserial_dtr_rts(struct tty_port *port, VBUS_TTY_BOOL active)
{
	const u32 both = VSERIAL_NORTH_DTR | VSERIAL_NORTH_RTS;

	vserial_mctrl(to_vserial(port), active ? both : 0, active ? 0 : both);
}

/* ---- output --------------------------------------------------------------------------------- */

static VBUS_TTY_SSIZE vserial_write(struct tty_struct *tty, const u8 *buf, VBUS_TTY_SIZE count)
{
	struct vserial *p = tty->driver_data;

	if (READ_ONCE(p->gone))
		return -EIO;
	if (tty->flow.stopped)
		return 0;
	return vserial_out_write(p, buf, min_t(size_t, count, INT_MAX), false);
}

static int vserial_put_char(struct tty_struct *tty, u8 ch)
{
	if (tty->flow.stopped)
		return 0;
	return vserial_out_write(tty->driver_data, &ch, 1, true);
}

static void vserial_flush_chars(struct tty_struct *tty)
{
	vserial_out_flush(tty->driver_data);
}

static unsigned int vserial_write_room(struct tty_struct *tty)
{
	return tty->flow.stopped ? 0 : vserial_out_room(tty->driver_data);
}

static unsigned int vserial_chars_in_buffer(struct tty_struct *tty)
{
	return vserial_out_pending(tty->driver_data);
}

static void vserial_flush_buffer(struct tty_struct *tty)
{
	vserial_out_drop(tty->driver_data);
	tty_wakeup(tty);
}

static void vserial_send_xchar(struct tty_struct *tty, VBUS_TTY_CHAR ch)
{
	vserial_out_xchar(tty->driver_data, ch);
}

/* The core times it; for south it is a moment. */
static int vserial_break_ctl(struct tty_struct *tty, int state)
{
	if (state)
		vserial_out_break(tty->driver_data);
	return 0;
}

/* ---- input ---------------------------------------------------------------------------------- */

static void vserial_throttle(struct tty_struct *tty)
{
	struct vserial *p = tty->driver_data;

	WRITE_ONCE(p->throttled, true);
	if (I_IXOFF(tty))
		vserial_out_xchar(p, STOP_CHAR(tty));
}

static void vserial_unthrottle(struct tty_struct *tty)
{
	struct vserial *p = tty->driver_data;

	if (I_IXOFF(tty))
		vserial_out_xchar(p, START_CHAR(tty));
	WRITE_ONCE(p->throttled, false);
	vserial_in_kick(p);
}

/* ---- settings ------------------------------------------------------------------------------- */

static void vserial_set_termios(struct tty_struct *tty, const struct ktermios *old)
{
	struct vserial *p = tty->driver_data;
	const bool was_up = (old->c_cflag & CBAUD) != B0;
	const bool up = C_BAUD(tty) != B0;

	vserial_look_at_termios(p, tty);
	if (was_up != up)
		vserial_dtr_rts(&p->port, up);
	if (!p->deaf)
		vserial_in_kick(p);
}

static int vserial_tiocmget(struct tty_struct *tty)
{
	const struct vserial *p = tty->driver_data;
	const u32 mctrl = READ_ONCE(p->out.mctrl);

	return (mctrl & VSERIAL_NORTH_DTR ? TIOCM_DTR : 0) |
	       (mctrl & VSERIAL_NORTH_RTS ? TIOCM_RTS : 0) |
	       (READ_ONCE(p->carrier) ? TIOCM_CAR : 0) | TIOCM_CTS | TIOCM_DSR;
}

static u32 vserial_mctrl_of(unsigned int tiocm)
{
	return (tiocm & TIOCM_DTR ? VSERIAL_NORTH_DTR : 0) |
	       (tiocm & TIOCM_RTS ? VSERIAL_NORTH_RTS : 0);
}

static int vserial_tiocmset(struct tty_struct *tty, unsigned int set, unsigned int clear)
{
	vserial_mctrl(tty->driver_data, vserial_mctrl_of(set), vserial_mctrl_of(clear));
	return 0;
}

/* Of the lines that TIOCMIWAIT knows only the carrier ever changes. */
static int vserial_ioctl(struct tty_struct *tty, unsigned int cmd, unsigned long arg)
{
	struct vserial *p = tty->driver_data;
	const u32 dcd = READ_ONCE(p->icount.dcd);
	int ret;

	if (cmd != TIOCMIWAIT)
		return -ENOIOCTLCMD;
	ret = wait_event_interruptible(p->port.delta_msr_wait,
				       READ_ONCE(p->gone) ||
				       (arg & TIOCM_CD && READ_ONCE(p->icount.dcd) != dcd));
	if (ret)
		return ret;
	return READ_ONCE(p->gone) ? -EIO : 0;
}

static int vserial_get_icount(struct tty_struct *tty, struct serial_icounter_struct *to)
{
	const struct async_icount *from = &((struct vserial *)tty->driver_data)->icount;

	to->rx = from->rx;
	to->tx = from->tx;
	to->brk = from->brk;
	to->dcd = from->dcd;
	return 0;
}

/* ---- the driver ----------------------------------------------------------------------------- */

const struct tty_port_operations vserial_port_ops = {
	.activate = vserial_activate,
	.shutdown = vserial_shutdown,
	.carrier_raised = vserial_carrier_raised,
	.dtr_rts = vserial_dtr_rts,
	.destruct = vserial_destroy,
};

static const struct tty_operations vserial_tty_ops = {
	.install = vserial_install,
	.cleanup = vserial_cleanup,
	.open = vserial_open,
	.close = vserial_close,
	.hangup = vserial_hangup,
	.write = vserial_write,
	.put_char = vserial_put_char,
	.flush_chars = vserial_flush_chars,
	.write_room = vserial_write_room,
	.chars_in_buffer = vserial_chars_in_buffer,
	.flush_buffer = vserial_flush_buffer,
	.send_xchar = vserial_send_xchar,
	.break_ctl = vserial_break_ctl,
	.throttle = vserial_throttle,
	.unthrottle = vserial_unthrottle,
	.set_termios = vserial_set_termios,
	.tiocmget = vserial_tiocmget,
	.tiocmset = vserial_tiocmset,
	.ioctl = vserial_ioctl,
	.get_icount = vserial_get_icount,
};

int vserial_tty_init(void)
{
	struct tty_driver *driver;
	int ret;

	driver = tty_alloc_driver(VSERIAL_PORTS, TTY_DRIVER_REAL_RAW | TTY_DRIVER_DYNAMIC_DEV);
	if (IS_ERR(driver))
		return PTR_ERR(driver);
	driver->driver_name = "vbus_serial";
	driver->name = VSERIAL_NAME;
	driver->type = TTY_DRIVER_TYPE_SERIAL;
	driver->subtype = SERIAL_TYPE_NORMAL;
	driver->init_termios = tty_std_termios;
	/* Whoever wants to be hung up with the carrier says so (stty -clocal). */
	driver->init_termios.c_cflag = B115200 | CS8 | CREAD | HUPCL | CLOCAL;
	driver->init_termios.c_ispeed = 115200;
	driver->init_termios.c_ospeed = 115200;
	tty_set_operations(driver, &vserial_tty_ops);
	ret = tty_register_driver(driver);
	if (ret) {
		tty_driver_kref_put(driver);
		return ret;
	}
	vserial_tty_driver = driver;
	return 0;
}

void vserial_tty_exit(void)
{
	tty_unregister_driver(vserial_tty_driver);
	tty_driver_kref_put(vserial_tty_driver);
}
