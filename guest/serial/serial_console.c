// SPDX-License-Identifier: GPL-2.0-only
/* Copyright(c) 2026 vbus developers */

/*
 * Console: the kernel's log by the function WRITE, which needs no ring, no memory, no interrupt and
 * no lock, so it also works in a panic, from any context. South puts it behind the output that it
 * has taken from the ring.
 *
 * A console must not stop the kernel. A reader on the host that is slow makes us wait for a moment,
 * once; from then on what there is no room for is lost, until something fits again. What programs
 * write goes through the ring, where nothing is lost.
 */
#include <linux/delay.h>

#include "serial.h"

#define CON_CHUNK	256U
#define CON_WAIT_US	50U
#define CON_PATIENCE_US 100000U

static void vserial_console_put(struct vserial *p, char *buf, u32 len)
{
	u32 waited = 0;
	int n;

	while (len) {
		n = vbus_device_call(p->vdev, VSERIAL_FUNC_WRITE, buf, len);
		if (n < 0 || n > (int)len)
			return;
		if (n > 0) {
			p->con_stuck = false;
		} else {
			if (p->con_stuck || waited >= CON_PATIENCE_US) {
				p->con_stuck = true;
				return;
			}
			udelay(CON_WAIT_US);
			waited += CON_WAIT_US;
		}
		buf += n;
		len -= n;
	}
}

static void vserial_console_write(struct console *con, const char *s, unsigned int len)
{
	struct vserial *p = con->data;
	char buf[CON_CHUNK];
	u32 n = 0;

	for (; len; s++, len--) {
		if (n > CON_CHUNK - 2) {
			vserial_console_put(p, buf, n);
			n = 0;
		}
		if (*s == '\n')
			buf[n++] = '\r';
		buf[n++] = *s;
	}
	if (n)
		vserial_console_put(p, buf, n);
}

static struct tty_driver *vserial_console_device(struct console *con, int *index)
{
	*index = con->index;
	return vserial_tty_driver;
}

/* Every port offers itself; the kernel takes those that its command line names. */
void vserial_console_add(struct vserial *p)
{
	strscpy(p->con.name, VSERIAL_NAME, sizeof(p->con.name));
	p->con.write = vserial_console_write;
	p->con.device = vserial_console_device;
	p->con.flags = CON_PRINTBUFFER;
	p->con.index = p->index;
	p->con.data = p;
	register_console(&p->con);
}

/* Nobody writes any more when this returns. */
void vserial_console_del(struct vserial *p)
{
	if (vbus_console_is_registered(&p->con))
		unregister_console(&p->con);
}
