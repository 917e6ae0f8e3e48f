/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */
#ifndef FUZZ_LINK_H
#define FUZZ_LINK_H

/**
 * @file
 * A bus with its real bridge, real memory map, and a north that is the input's: what all targets of
 * the south side share. One bus for the life of the program; each input begins with a new session's
 * state. A second thread plays a north that writes while south reads, for what the moments of
 * fuzz_race.h do not reach; FUZZ_THREAD=0 does without.
 */

#include <stdbool.h>
#include <stdint.h>

#include "fuzz.h"
#include "vbus_core.h"
#include "vbus_ioq_north.h"
#include "vbus_signal.h"

/* North's memory: two regions that are neighbours, of two files; one that is read-only; one without
 * memory; holes beside each.
 */
#define LINK_IOVA      0x100000000ULL
#define LINK_MAIN      0x20000u
#define LINK_NEXT      0x4000u
#define LINK_SIZE      (LINK_MAIN + LINK_NEXT)
#define LINK_ROM_IOVA  0x180000000ULL
#define LINK_ROM       0x2000u
#define LINK_NONE_IOVA 0x1c0000000ULL
#define LINK_NONE      0x1000u

/* Where things lie; from LINK_HEAP on it is link_alloc()'s. */
#define LINK_ARGS   0x0000u
#define LINK_DATA   0x0100u /* 4 KiB */
#define LINK_FAST   0x1200u
#define LINK_RING   0x1400u
#define LINK_SLOTS  0x1c00u
#define LINK_HEAP   0x3000u
#define LINK_EVENTS 16u

#define LINK_RINGS   24u
#define LINK_HANDLES 64u

struct link_ring {
	uint32_t off, count;
	int32_t handle;
	struct vbus_ioq_north q;
	uint64_t cookies[64];
	struct vbus_signal sig;
};

struct link {
	struct vbus_bus *bus;
	struct vbus_bridge *b;
	struct vbus_device *dev; /* the target's */
	uint8_t *mem;		 /* north's mapping of its memory, LINK_SIZE */
	uint8_t *rom;
	uint64_t handle;	    /* of the device, the last that was given out */
	int32_t shms[LINK_HANDLES]; /* results of DEVSHM, also old ones */
	uint32_t nb_shms;
	uint32_t next; /* free memory */
	struct link_ring ring[LINK_RINGS];
	uint32_t nb_rings;
	struct link_ring evq;
	int main_fd, next_fd, rom_fd;
	bool remap; /* the map has to be made anew */
	/** Bring the device up: open it, share blocks, start. */
	void (*setup)(struct fuzz_in *in);
};
extern struct link lk;

/** Once. @p setup may be NULL. The device is on the bus from then on. */
void link_init(struct vbus_device *dev, void (*setup)(struct fuzz_in *in));
/** An input: session, memory, NEGOTIATE, QREG, setup(); step() until it has ended; everything is closed. */
void link_run(const uint8_t *data, size_t size, void (*step)(struct fuzz_in *in));
/** NEGOTIATE, QREG, setup() again. */
void link_restart(struct fuzz_in *in);

/** The regions, as they are in the beginning. */
void link_map(void);
/** fuzz_race.h looks where the memory is mapped now. */
void link_race_range(void);
uint64_t link_addr(uint32_t off);
/** @return offset of @p len bytes, 0: no room (which is legal, if odd) */
uint32_t link_alloc(uint32_t len);
int32_t link_call(uint32_t vector, const void *args, uint32_t len);
int32_t link_devcall(uint32_t vector, void *args, uint32_t len);
int32_t link_open(uint32_t version);
int32_t link_func(uint32_t func, void *data, uint32_t len);
int32_t link_shm(uint32_t id, uint32_t off, uint32_t len, uint32_t signal);
/** Remember a result of DEVSHM. @return it */
int32_t link_keep_shm(int32_t ret);
/** A ring, formatted and shared under @p id. @return NULL: no room */
struct link_ring *link_ring(uint32_t id, uint32_t count, uint8_t valid);
/** North injects, and writes the port where south wants that. */
void link_kick(struct link_ring *r);

/** One thing that north does to link, memory or rings. */
void link_any(struct fuzz_in *in);
/** An address: mostly within north's memory. */
uint64_t link_any_addr(struct fuzz_in *in);

#endif /* FUZZ_LINK_H */
