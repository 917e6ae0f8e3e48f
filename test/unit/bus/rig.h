/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */
#ifndef BUS_RIG_H
#define BUS_RIG_H

/*
 * Both ends in one process: a device class (south) and a driver (north) for the type "test", that count
 * what they are asked for, and a bus to put devices on, reached by null= or by socket=.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "bus_vbus_driver.h"
#include "vbus_bridge.h"
#include "vbus_core.h"
#include "vbus_ctl.h"
#include "vbus_signal.h"

#define RIG_TYPE     "test"
#define RIG_VERSION  3u
#define RIG_SHM_LEN  4096u
#define RIG_SHM_SIGN 16 /* offset of the signal in a block */

/* Functions of the device. */
#define RIG_FUNC_ADD  1u /* each byte + 1; result: the length */
#define RIG_FUNC_FAIL 2u /* -EXDEV */
#define RIG_FUNC_SLOW 3u /* the answer is late: the thread that gives it sleeps for data ms */

/* South: one device. */
struct rig_south {
	struct vbus_device *dev;
	struct vbus_shm *shm; /* the last shared block */
	struct vbus_signal sig;
	_Atomic int opened, closed, signals;
};

/* North: one device that the driver has. */
struct rig_north {
	struct rte_vbus_device *dev;
	_Atomic int notified;
};

/* North: callbacks since the start, by kind. */
struct rig_counts {
	_Atomic int probe, remove, lost, back, dropped;
};
extern struct rig_counts rig_north_counts;
extern struct rte_vbus_driver rig_driver;
extern _Atomic int rig_probe_result;	 /* what probe() answers */
extern _Atomic unsigned int rig_open_ms; /* south takes so long to open a device */
/* Runs in probe(), as an application's callback of the NEW event would. */
extern void (*rig_probe_hook)(struct rte_vbus_device *dev);

/* Start EAL with these arguments after the usual ones. 0 or -1. */
int rig_eal(int nb, const char **args);
/* Everything is closed: remove the folder of the sockets. */
void rig_end(void);
/* A path for a socket of this run (static buffers, by name). */
const char *rig_path(const char *name);
/* Make a bus with its connector; south serves from here on. */
struct vbus_bus *rig_bus(const char *name);
/* South goes (as when its process dies), and comes back empty. */
void rig_south_stop(struct vbus_bus *bus);
int rig_south_start(struct vbus_bus *bus);
/* "vbus:LINK,null=BUS,wait=MS" or "vbus:LINK,socket=PATH,wait=MS" (static buffer); long enough without. */
const char *rig_devargs(const char *link, const char *bus);
const char *rig_devargs_wait(const char *link, const char *bus, unsigned int wait_ms);
struct rig_south *rig_device(struct vbus_bus *bus, const char *name);
void rig_device_drop(struct rig_south *s);
/* North's device of that EAL name, bound or not. NULL: none. */
struct rte_vbus_device *rig_find(const char *name);
/* Wait (2 s at most) until *v is n. */
bool rig_wait(const _Atomic int *v, int n);
/* Wait (3 s at most) until a device of that name is there (or is not), bound (or not). */
bool rig_wait_bound(const char *name, bool bound);
bool rig_wait_gone(const char *name);
void rig_sleep_ms(unsigned int ms);

#endif /* BUS_RIG_H */
