/* SPDX-License-Identifier: GPL-2.0-only */
/* Copyright(c) 2026 vbus developers */
#ifndef VBUS_COMPAT_H
#define VBUS_COMPAT_H

/*
 * The differences between the kernels that the modules are built for, 6.1 to 7.3. Nothing else
 * tests LINUX_VERSION_CODE. The code is written for the newest one; here the older ones are
 * brought up to it.
 */

#include <linux/container_of.h>
#include <linux/pci.h>
#include <linux/version.h>

/* 6.3: uevent() of a bus gets a device that it cannot change. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 3, 0)
#define VBUS_UEVENT_CONST const
#else
#define VBUS_UEVENT_CONST
#endif

/* 6.11: match() of a bus gets a driver that it cannot change. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 11, 0)
#define VBUS_MATCH_CONST const
#else
#define VBUS_MATCH_CONST
#endif

/* 6.4: a bus type may be constant. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 4, 0)
#define VBUS_BUS_CONST const
#else
#define VBUS_BUS_CONST
#endif

/* 6.8: the interrupt pin got its specification's name. */
#ifndef PCI_IRQ_INTX
#define PCI_IRQ_INTX PCI_IRQ_LEGACY
#endif

/* 6.2, 6.15: timers were renamed. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 2, 0)
#define timer_delete_sync(timer) del_timer_sync(timer)
#endif
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 16, 0)
#define timer_container_of(var, callback_timer, timer_fieldname) \
	container_of(callback_timer, typeof(*(var)), timer_fieldname)
#endif

/* 6.2: there is a function to ask a console. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 2, 0)
#define vbus_console_is_registered(con) console_is_registered(con)
#else
#define vbus_console_is_registered(con) ((con)->flags & CON_ENABLED)
#endif

/* 6.3: a tty's port speaks of true and false. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 3, 0)
#define VBUS_TTY_BOOL bool
#else
#define VBUS_TTY_BOOL int
#endif

/* 6.6: sizes and characters of a tty's operations have types of their own. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 6, 0)
#define VBUS_TTY_SSIZE ssize_t
#define VBUS_TTY_SIZE  size_t
#define VBUS_TTY_CHAR  u8
#else
#define VBUS_TTY_SSIZE int
#define VBUS_TTY_SIZE  int
#define VBUS_TTY_CHAR  char
#endif

#endif /* VBUS_COMPAT_H */
