/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */
#ifndef DP_RIG_H
#define DP_RIG_H

/**
 * @file
 * vbus-dp's data plane, real, on real lcores, with venets whose norths are played by the test
 * through lib/vbus_ring's north half. Between the two a fake core: addresses are pointers.
 *
 * The lcores run beside the test: what shall come is waited for (dpr_recv()), and what shall not
 * come is looked for after something that comes later has come.
 */

#include <stdbool.h>
#include <stdint.h>
#include <unistd.h>

#include <CUnit/Basic.h>

#include <rte_mbuf.h>

#include "vbus_core.h"
#include "vbus_ioq_north.h"
#include "vbus_offload.h"
#include "vbus_signal.h"
#include "vbus_venet.h"

#include "dp_plane.h"
#include "dp_plane_internal.h"

#define DPR_RING   128u
#define DPR_FRAME  66000u
#define DPR_ROOM   65500u /* of a receive buffer */
#define DPR_WAIT_S 5u

struct dpr_ring {
	struct vbus_ioq_north q;
	struct vbus_signal sig;
	uint64_t cookies[DPR_RING];
	struct vbus_shm shm;
	struct vbus_ioq_cursor cursor;
	uint64_t block[(IOQ_RING_SIZE(DPR_RING) + 64) / 8];
};

struct dpr_north {
	struct vbus_device dev;
	struct vbus_conn conn;
	uint64_t state[VBUS_CONN_STATE_SIZE / 8];
	struct dpr_ring rx, tx, pages;
	struct vbus_shm pool_shm;
	uint64_t pool[DPR_RING * 4096 / 8]; /* VENET_POOL_SLOT_SIZE each, at most */
	uint8_t *tx_buf, *rx_buf, *tx_sg;
	bool sg, l4ro;
	uint32_t sent;
	struct dp_port *port;
};

struct dpr_frame {
	uint32_t len;
	uint32_t flags; /* VENET_SG_FLAG_*, with l4ro */
	uint8_t data[DPR_FRAME];
};

/** EAL with two polling lcores. @return 0 or the exit code */
int dpr_eal(const char *name);
/** EAL with these lcores. */
int dpr_eal_lcores(const char *name, const char *lcores);
/** Stop the data plane. @return 0: whatever was received was given back */
int dpr_stop(void);

/** A device opened by its north, linked up; not a port yet. */
struct dpr_north *dpr_open(const char *name, uint16_t mtu, bool sg, bool l4ro);
/** The same as a port of @p sw. */
struct dpr_north *dpr_port(const char *name, struct dp_switch *sw);
/** Port (if still there), connection and device go. */
void dpr_close(struct dpr_north *n);

/** North sends; @p o needs sg. @return false: its ring is full */
bool dpr_send(struct dpr_north *n, const uint8_t *data, uint32_t len, const struct vbus_offload *o);
/** What is there now. @return false: nothing */
bool dpr_poll(struct dpr_north *n, struct dpr_frame *f);
/** The next frame, waited for. @return false: none came in DPR_WAIT_S */
bool dpr_recv(struct dpr_north *n, struct dpr_frame *f);

/** An Ethernet frame between stations, @p id in its payload. @return @p len */
uint32_t dpr_eth(uint8_t *p, uint32_t dst, uint32_t src, uint32_t len, uint32_t id);
/** Station 0 is broadcast. */
void dpr_mac(uint8_t *mac, uint32_t station);
/** Send one such frame. */
void dpr_say(struct dpr_north *n, uint32_t dst, uint32_t src, uint32_t id);
/** The next frame is that one. */
void dpr_hears(struct dpr_north *n, uint32_t dst, uint32_t src, uint32_t id);
/** Wait until what it sent so far has been dealt with. */
void dpr_through(struct dpr_north *n);
/** No frame is there. */
void dpr_silent(struct dpr_north *n);
/** Wait until a condition holds, DPR_WAIT_S at most: whether it does. Once true it is not asked again. */
#define DPR_UNTIL(cond)                                                        \
	({                                                                     \
		uint64_t end_ = dpr_now_us() + DPR_WAIT_S * UINT64_C(1000000); \
		bool ok_ = (cond);                                             \
		while (!ok_ && dpr_now_us() < end_) {                          \
			usleep(50);                                            \
			ok_ = (cond);                                          \
		}                                                              \
		ok_;                                                           \
	})
uint64_t dpr_now_us(void);

#endif /* DP_RIG_H */
