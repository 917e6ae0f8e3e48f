/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */
#ifndef PMD_RIG_H
#define PMD_RIG_H

/* Both ends of a link in this process (null connector), as ports of a DPDK program that knows only
 * ethdev. One thread polls; the control side runs beside it. */

#include <stdbool.h>
#include <stdint.h>

#include <CUnit/CUnit.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>

#define RIG_MBUFS 2047u
#define RIG_DESC  256u

struct rig {
	struct rte_mempool *pool;
	uint16_t south, north; /* port ids */
	unsigned int lsc[RTE_MAX_ETHPORTS];
	unsigned int rmv[RTE_MAX_ETHPORTS];
	unsigned int new_ports;
};
extern struct rig rig;

/* EAL with the plugins of a folder, a null link and one south port. 0, or the test cannot run. */
int rig_init(const char *plugins);
/* Everything down again. @return mbufs that nobody gave back */
unsigned int rig_fini(void);
/* Configure and start a port with receive interrupts and link events. */
int rig_up(uint16_t port);
bool rig_wait_link(uint16_t port, bool up);
/* Has the port told of its link as often as that? The callback may follow the link's state. */
bool rig_wait_lsc(uint16_t port, unsigned int at_least);
/* A frame of len bytes with a number in it; NULL: pool empty. */
struct rte_mbuf *rig_frame(uint32_t len, uint32_t number);
/* Is it that frame, whole? */
bool rig_frame_is(const struct rte_mbuf *m, uint32_t len, uint32_t number);
/* Poll until n frames came or a second went by. @return how many came */
uint16_t rig_recv(uint16_t port, struct rte_mbuf **pkts, uint16_t n);
/* Send n frames of len bytes, numbered, and check that they arrive in order. @return how many did */
unsigned int rig_pass(uint16_t from, uint16_t to, unsigned int n, uint32_t len);

#endif /* PMD_RIG_H */
