/* SPDX-License-Identifier: GPL-2.0-only */
/* Copyright(c) 2026 vbus developers */
#ifndef VBUS_SERIAL_H
#define VBUS_SERIAL_H

/*
 * Serial ports of a vbus (doc/abi.md section 9) as /dev/ttyVB*.
 *
 *     main      driver of the bus, ports and their numbers
 *     tty       the tty's operations
 *     in        the input ring: south's bytes to the tty
 *     out       the output ring: the tty's bytes to south
 *     state     carrier and window size from south, DTR and RTS to it
 *     console   console=ttyVB*
 *
 * Flow control. Nothing is dropped either way. Output: an entry is free again when south has taken
 * it, and that is what write_room() tells. Input: an entry goes back when the tty has taken all of
 * it; while nobody has the port open, or the reader is slow, they stay where they are, and south
 * stops to read on the host.
 *
 * Contexts. Notifiers run in hard interrupt context. Output's reaps and pushes under out_lock, as
 * the tty's operations do; input's and the state's start work items, of which each runs once at a
 * time.
 *
 * Life. The tty_port's reference count is the port's: the device has one, each tty another. A
 * device that goes hangs the tty up and leaves a port that is `gone`. The number is used again when
 * the last reference is dropped.
 *
 * Rings and buffers are no more when a port is `away`: every operation looks at that (output under
 * out_lock, input in its work). So is one that is gone, and for a moment one whose output ring south
 * broke: a work item opens the device anew, and who has the port open waits as for a slow reader.
 */

#include <linux/console.h>
#include <linux/serial.h>
#include <linux/spinlock.h>
#include <linux/tty.h>
#include <linux/tty_driver.h>
#include <linux/tty_flip.h>
#include <linux/tty_port.h>
#include <linux/workqueue.h>

#include "../vbus/vbus_drv.h"
#include <vbus/serial.h>

#define VSERIAL_NAME	"ttyVB"
#define VSERIAL_PORTS	256U
#define VSERIAL_ENTRIES 16U
#define VSERIAL_BUFFER	4096U /* bytes of an entry */

struct vserial_in {
	struct vbus_ioq ring;
	u8 *mem; /* a buffer per entry */
	dma_addr_t dma;
	struct delayed_work work;
	/* of the entry at the ring's head, the work's */
	bool begun; /* its length was read */
	bool brk;   /* a break is still to be told */
	u32 at, len;
	unsigned long sysrq; /* until then the next byte is SysRq's; 0: no */
};

struct vserial_out {
	struct vbus_ioq ring;
	u8 *mem;
	dma_addr_t dma;
	spinlock_t lock; /* all of this */
	u32 len[VSERIAL_ENTRIES]; /* of those that south has */
	u32 bytes;		  /* their sum */
	u32 begun;		  /* bytes in the next entry, which is not pushed yet */
	bool brk;		  /* a break waits for an entry */
	u8 x_char;		  /* so does this; 0: none */
	u32 mctrl;		  /* VSERIAL_NORTH_* */
};

struct vserial {
	struct tty_port port;
	struct vbus_device *vdev; /* not to be used once gone */
	u32 index;
	u32 entries, buffer; /* of either ring, as south takes them */
	bool gone;	     /* the device */
	bool away;	     /* its rings; written under out.lock */
	bool open;	     /* somebody may read */
	bool throttled;
	bool deaf;	     /* CREAD is off */
	bool ignore_break;
	bool carrier;
	u32 hangups;
	struct winsize size;
	struct vserial_in in;
	struct vserial_out out;
	struct vbus_shm *state;
	struct work_struct state_work;
	struct delayed_work again;
	struct async_icount icount;
	struct console con;
	bool con_stuck; /* south took nothing for a while */
};

extern struct workqueue_struct *vserial_wq;
extern struct tty_driver *vserial_tty_driver;

static inline struct vserial *to_vserial(struct tty_port *port)
{
	return container_of(port, struct vserial, port);
}

/* main */
struct vserial *vserial_get(u32 index);
void vserial_broken(struct vserial *p);
void vserial_destroy(struct tty_port *port);

/* tty */
int vserial_tty_init(void);
void vserial_tty_exit(void);
extern const struct tty_port_operations vserial_port_ops;

/* in */
int vserial_in_create(struct vserial *p);
void vserial_in_work(struct work_struct *work);
void vserial_in_kick(struct vserial *p);

/* out */
int vserial_out_create(struct vserial *p);
u32 vserial_out_write(struct vserial *p, const u8 *buf, u32 len, bool more);
void vserial_out_flush(struct vserial *p);
void vserial_out_drop(struct vserial *p);
u32 vserial_out_room(struct vserial *p);
u32 vserial_out_pending(struct vserial *p);
void vserial_out_break(struct vserial *p);
void vserial_out_xchar(struct vserial *p, u8 ch);

/* state */
int vserial_state_create(struct vserial *p);
void vserial_state_begin(struct vserial *p);
void vserial_state_work(struct work_struct *work);
void vserial_mctrl(struct vserial *p, u32 set, u32 clear);

/* console */
void vserial_console_add(struct vserial *p);
void vserial_console_del(struct vserial *p);

#endif /* VBUS_SERIAL_H */
