/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */
#ifndef VENET_RIG_H
#define VENET_RIG_H

/**
 * @file
 * A venet with a north made of lib/vbus_ring's north half, and a fake core between the two.
 *
 * North's memory is two extents that are neighbours in address but not here: RIG_SEAM lies between
 * them. Everything of north's is in the first, but for what a test puts across the seam.
 */

#include <stdbool.h>
#include <stdint.h>

#include <CUnit/Basic.h>

#include <rte_mbuf.h>

#include <vbus/venet.h>

#include "vbus_core.h"
#include "vbus_ioq_north.h"
#include "vbus_memmap.h"
#include "vbus_offload.h"
#include "vbus_signal.h"
#include "vbus_venet.h"

#define RIG_BASE     0x100000000ULL
#define RIG_HALF     0x1000000ULL
#define RIG_SEAM     (RIG_BASE + RIG_HALF)
#define RIG_FRAME    66000u /* bytes of a buffer of north */
#define RIG_RING_MAX 128u
#define RIG_IOVS     70u

/** A ring of north. */
struct rig_ring {
	struct vbus_ioq_north q;
	struct vbus_signal sig;
	uint64_t cookies[RIG_RING_MAX];
	struct vbus_shm shm;
	struct vbus_ioq_cursor cursor;
	unsigned int notified;
};

struct rig {
	struct vbus_device dev;
	struct vbus_conn conn;
	struct vbus_class *cls;
	struct vbus_venet *v;
	struct rte_mempool *pool;
	uint8_t *half[2];
	struct vbus_memview *view;
	uint64_t next; /* next free address */
	uint64_t state[VBUS_CONN_STATE_SIZE / 8];
	struct rig_ring rx, tx, ev, pg;
	struct vbus_shm tx_pool, ev_pool, l4ro_pool;
	uint64_t tx_buf[RIG_RING_MAX], rx_buf[RIG_RING_MAX], pages[RIG_RING_MAX];
	uint64_t tx_sg[RIG_RING_MAX]; /* without PMTD: addresses of descriptors */
	uint32_t count, rx_room, page_size;
	uint32_t sg, evq, l4ro;
	uint32_t sent; /* frames pushed, ever */
	/* what south did */
	unsigned int nb_faults, nb_link, nb_wake, nb_quiesce, nb_flushed;
	bool link;
	const char *fault;
	struct vbus_ctl_timer *timer;
};

/** A frame as a test hands it to, or got it from, north. */
struct rig_frame {
	uint32_t len;
	struct vbus_offload o;
	uint8_t data[RIG_FRAME];
};

/** EAL, once per program. @return 0 or the exit code */
int rig_eal(const char *name);
/** Make a device and open it. Bits as in NEGCAP; no rings yet. */
void rig_open(struct rig *r, uint32_t sg, uint32_t evq, uint32_t l4ro);
/** Share everything that the capabilities ask for. @p count entries, receive buffers of @p room. */
void rig_share(struct rig *r, uint32_t count, uint32_t room);
/** rig_open(), rig_share(), bind, ready, LINKUP; every receive buffer posted. */
void rig_up(struct rig *r, uint32_t sg, uint32_t evq, uint32_t l4ro, uint32_t count, uint32_t room);
void rig_close(struct rig *r);

/** Of the next rig_open() and rig_bind(): pairs offered, queues polled; 0: as one. */
extern uint16_t rig_pairs, rig_nb_rx, rig_nb_tx;
/** Of the next rig_open(): frames of so many bytes may stay in north's memory. */
extern uint32_t rig_keep;
/** Every timer that is armed fires. */
void rig_timers(void);
void rig_bind(struct rig *r);
int rig_call(struct rig *r, uint32_t func, void *data, uint32_t len);
uint32_t rig_negcap(struct rig *r, uint32_t gid, uint32_t bits);
/** Room in north's memory, aligned to 64. */
uint64_t rig_alloc(struct rig *r, uint64_t size);
/** Our pointer to it. */
void *rig_ptr(struct rig *r, uint64_t iova);
void rig_copy_in(struct rig *r, uint64_t iova, const void *src, uint32_t len);

/** North sends: one linear frame, or an sg descriptor with @p frags fragments. @return pushed */
bool rig_send(struct rig *r, const uint8_t *data, uint32_t len, uint32_t frags,
	const struct vbus_offload *o);
/** North takes back what south is done with. @return how many */
uint32_t rig_reap(struct rig *r);
/** North takes the next frame and posts the buffer again. @return false: none */
bool rig_recv(struct rig *r, struct rig_frame *f);
/** North pops without posting. @return false: none; *len is what south wrote to desc.len */
bool rig_pop(struct rig *r, uint64_t *cookie, uint64_t *len);
/** Next event of venet's ring. @return false: none */
bool rig_event(struct rig *r, uint8_t *event);

/** rx_burst of up to @p nb, which may be more than one burst. */
uint16_t rig_rx(struct rig *r, struct rte_mbuf **pkts, uint16_t nb);
/**
 * North sends @p nb frames one by one on a thread of its own, each when the one before may just have been taken.
 * @param send  false: there is no room
 * @return all of them came; false: not within a minute
 */
bool rig_trickle(struct rig *r, bool (*send)(void), uint32_t nb);
/** An mbuf (chain of @p segs mbufs) with this frame. */
struct rte_mbuf *rig_mbuf(struct rig *r, const uint8_t *data, uint32_t len, unsigned int segs);
/** Copy a chain. @return its length */
uint32_t rig_flat(const struct rte_mbuf *m, uint8_t *buf);
/** Mbufs that are out of the pool. */
unsigned int rig_mbufs_used(struct rig *r);
/** Write a pattern that depends on @p seed. */
void rig_fill(uint8_t *p, uint32_t len, uint32_t seed);

/* rig_frames.c: frames with headers */
struct rig_tcp {
	bool v6, vlan, udp;
	uint32_t payload;
	uint8_t tcp_flags;
	uint16_t opt_len; /* TCP options, multiple of 4 */
	uint32_t seed;
};
/** Build a frame; the L4 checksum field is 0 and the IPv4 header's too. @return its length */
uint32_t rig_build(uint8_t *p, const struct rig_tcp *t, struct vbus_hdr *h);
/** Is every checksum of this frame right? (rte_net's words) */
bool rig_csum_ok(const uint8_t *p, uint32_t len);
/** The pseudo-header's sum, as virtio puts it into the field. */
void rig_put_pseudo(uint8_t *p, uint32_t len, const struct vbus_hdr *h);
/** Complete both checksums by rte_net. */
void rig_put_csums(uint8_t *p, const struct vbus_hdr *h);

#endif /* VENET_RIG_H */
