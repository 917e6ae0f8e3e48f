/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */
#ifndef TEST_OLD_GUEST_H
#define TEST_OLD_GUEST_H

/**
 * @file
 * A guest of the time with its bus and network drivers, from raw bytes and literal offsets only:
 * what is written here was taken from the ABI's text (doc/abi.md), not from our headers, so that a
 * slip in those cannot hide.
 */

#include <stdbool.h>
#include <stdint.h>

struct vbus_bridge;

#define GUEST_DEVS 2
#define GUEST_RING 256

/* What the network driver asks for. */
#define OLD_SG	 1u
#define OLD_PMTD 2u
#define OLD_EVQ	 4u
#define OLD_L4RO 8u

struct guest;

struct guest_ring {
	uint8_t *va;
	uint64_t gpa;
	uint32_t count;
	int32_t handle;	 /* what is written to the shmsignal port; -1: none */
	uint64_t cookie; /* a kernel pointer to the driver */
	bool closed;
	void (*notify)(struct guest_ring *r);
	void *dev;
};

/* A frame as the receive path saw it. */
struct guest_frame {
	uint32_t len;
	uint32_t flags;
	uint8_t gso_type;
	uint16_t gso_size, csum_start, csum_offset;
	uint32_t nb_iovs;
	uint8_t data[70000];
};

struct guest_dev {
	struct guest *g;
	bool present, dropped;
	uint32_t index;
	uint32_t devid;
	uint64_t handle;
	uint32_t mode;		/* OLD_* that was granted */
	uint32_t sg, evq, l4ro; /* bits that were granted */
	int carrier;		/* -1: no event yet */
	uint8_t mac[6];
	struct guest_ring rx, tx, ev, pages;
	uint8_t *ev_pool, *rx_pool, *tx_pool;
	uint64_t ev_pool_gpa, rx_pool_gpa, tx_pool_gpa;
	uint8_t *rx_buf, *tx_buf, *page_buf;
	uint64_t rx_buf_gpa, tx_buf_gpa, page_buf_gpa;
	uint32_t rx_room, tx_pending;
	bool page_used[2 * GUEST_RING];
	void (*on_frame)(struct guest_dev *d, const struct guest_frame *f);
	uint32_t nb_rx;
	struct guest_frame frame;
};

struct guest {
	struct vbus_bridge *b;
	uint8_t *mem;
	int fd;
	uint32_t brk;
	uint8_t *fast;
	uint64_t fast_gpa;
	struct guest_ring evq;
	uint8_t *slots;
	uint64_t slots_gpa;
	bool irq;
	unsigned int nb_irqs;
	uint64_t last_devid;
	uint32_t want;
	struct guest_dev dev[GUEST_DEVS];
	unsigned int nb_devs;
};

void guest_up(struct guest *g);
void guest_down(struct guest *g);
/** Load the drivers: the trace of the ABI's end, up to the devices' probe. */
void guest_load(struct guest *g, uint32_t want);
/** The driver makes no call: only Bus Master goes. */
void guest_unload(struct guest *g);
/** Serve interrupts and let the backend's control thread run until nothing comes for a while. */
void guest_run(struct guest *g);
/** Serve what came so far. */
void guest_isr(struct guest *g);
/** A function without data. */
int32_t guest_func(struct guest_dev *d, uint32_t func);
/** Send a frame: @p nb_iovs fragments with SG, @p flags and what belongs to it. @return false: ring full. */
struct guest_offload {
	uint32_t flags;
	uint16_t csum_start, csum_offset, gso_size;
	uint8_t gso_type;
};
bool guest_xmit(struct guest_dev *d, const uint8_t *frame, uint32_t len, uint32_t nb_iovs,
	const struct guest_offload *o);
/** Take back what south is done with. */
void guest_reap(struct guest_dev *d);

#endif
