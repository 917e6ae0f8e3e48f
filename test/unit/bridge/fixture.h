/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */
#ifndef TEST_BRIDGE_FIXTURE_H
#define TEST_BRIDGE_FIXTURE_H

/**
 * @file
 * A bus, a north that plays by the book (or not), and a device class that records what it is
 * asked. All with the control lock held, but north_wait().
 */

#include <stdbool.h>
#include <stdint.h>

#include <CUnit/Basic.h>
#include <CUnit/CUnit.h>

#include <vbus/device.h>
#include <vbus/pci.h>

#include "link_state.h"
#include "vbus_bridge.h"
#include "vbus_core.h"
#include "vbus_ctl.h"
#include "vbus_ioq_north.h"
#include "vbus_signal.h"

/* North's memory: one region (or our own addresses with identity). Offsets of things in it. */
#define NORTH_IOVA   0x100000000ULL
#define NORTH_SIZE   0x400000u
#define NORTH_ARGS   0x1000u
#define NORTH_DATA   0x2000u
#define NORTH_FAST   0x8000u
#define NORTH_RING   0x10000u
#define NORTH_SLOTS  0x40000u
#define NORTH_BLOCKS 0x100000u
#define NORTH_BLOCK  0x1000u /* distance of blocks */

struct north {
	struct vbus_bus *bus;
	struct vbus_bridge *b;
	uint8_t *mem;
	int fd;
	bool identity;
	unsigned int nb_irqs;
	bool stopped;
	struct vbus_ioq_north evq;
	struct vbus_signal evq_signal;
	uint64_t cookies[2048];
};

/** Make bus "test" and open a session with it. */
void north_up(struct north *n, bool identity);
void north_down(struct north *n);
uint64_t north_addr(const struct north *n, uint32_t off);
/** A bridge call by registers with its block at NORTH_ARGS. */
int32_t north_call(struct north *n, uint32_t vector, const void *args, uint32_t len);
/** As north_call(), the block is read back. */
int32_t north_call_rw(struct north *n, uint32_t vector, void *args, uint32_t len);
/** A device call, by SLOWCALL. */
int32_t north_devcall(struct north *n, uint32_t vector, void *args, uint32_t len);
int32_t north_negotiate(struct north *n, uint64_t caps, uint64_t *granted);
/** Make an event ring of @p count entries, filled, and register it. */
int32_t north_qreg(struct north *n, uint32_t count);
void north_ring_format(struct north *n, uint32_t count);
int32_t north_qreg_raw(
	struct north *n, uint32_t queues, uint32_t count, uint64_t ring, uint64_t data);
/** NEGOTIATE and QREG. */
void north_start(struct north *n, uint32_t count);
/** Take the next event; the slot is posted again. @return false: none. */
bool north_event(struct north *n, struct vbus_pci_event *ev);
/** Events in the ring. */
uint32_t north_nb_events(const struct north *n);
/** Tell south that events were consumed (when its signal wants it). @return was it told? */
bool north_consumed(struct north *n);
/** The next event must be this one. @return its payload. */
uint64_t north_expect(struct north *n, uint32_t eventid);
void north_expect_none(struct north *n);
int32_t north_open(struct north *n, uint32_t devid, uint64_t *handle);
int32_t north_close(struct north *n, uint64_t handle);
int32_t north_func(struct north *n, uint64_t handle, uint32_t func, void *data, uint32_t len);
/** DEVSHM of the block number @p block (its place), with a formatted signal at @p signal_offset. */
int32_t north_shm(struct north *n, uint64_t handle, uint32_t id, uint32_t block,
	uint32_t signal_offset, uint64_t cookie);
#define NO_SIGNAL VBUS_PCI_SHM_NO_SIGNAL
/** Wait, the lock released meanwhile, until @p cond(arg) or 2 s. @return cond. */
bool north_wait(bool (*cond)(void *arg), void *arg);
/** Let the control thread run for @p ms. */
void north_sleep(unsigned int ms);
struct vbus_bridge_info north_info(const struct north *n);

/* The recording class: name "dummy", type "test-dummy". */
#define DUMMY_VERSION 3u
enum dummy_func {
	DUMMY_ZERO,	/* 0 */
	DUMMY_NUMBER,	/* 7 */
	DUMMY_FAIL,	/* -EBUSY */
	DUMMY_INVERT,	/* data inverted, written back */
	DUMMY_OVERLONG, /* asks for more to be written back than there is */
	DUMMY_FAULT,	/* vbus_conn_fault() */
};
#define DUMMY_SHM_REFUSED 13u /* this block id is refused */

struct dummy {
	struct vbus_device *dev;
	unsigned int nb_open, nb_close, nb_call, nb_shm, nb_signal, nb_quiesce, nb_rebind;
	uint32_t last_len;
	uint32_t last_signal;	   /* id */
	struct vbus_shm *shms[16]; /* by id */
	struct vbus_conn *conn;
	bool notify_at_close; /* the polling thread's last signal is on its way */
};
struct vbus_device *dummy_create(const char *name);
struct dummy *dummy_of(struct vbus_device *dev);
/** Classes are registered; the control thread runs. @return 0, or what main() returns. */
int fixture_run(CU_SuiteInfo *suites);

#endif
