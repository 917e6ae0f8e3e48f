/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */
#ifndef TEST_OLD_SOUTH_H
#define TEST_OLD_SOUTH_H

/**
 * @file
 * The backend under test for the old driver: a bus with venets that are polled by the test's own
 * thread. Nothing of the wire's layouts comes with this header.
 *
 * The control lock is held from south_init() to south_fini(), but in south_pause().
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vbus_bridge.h"

#define SOUTH_DEVS 2

/** EAL without hugepages, mbufs, control thread. @return 0 or negative. */
int south_init(void);
void south_fini(void);
/** A bus and a session; @p irq is called for each interrupt. */
struct vbus_bridge *south_up(void (*irq)(void *arg), void *arg);
void south_down(void);
/** Map @p len bytes of a file at @p gpa. */
void south_map(struct vbus_bridge *b, uint64_t gpa, uint64_t len, int fd, uint64_t offset);
/** Put a venet on the bus (device 0 or 1), with MAC 02:00:00:00:00:0<i>, polled and ready. */
void south_add(unsigned int i);
void south_del(unsigned int i);
bool south_link(unsigned int i);
/** The next frame from north. @return its length, 0: none. */
uint32_t south_recv(unsigned int i, uint8_t *frame, uint32_t size);
/** Give a frame to north; @p mss not 0: a TCP/IPv4 frame to be segmented. @return taken. */
bool south_send(unsigned int i, const uint8_t *frame, uint32_t len, uint16_t mss);
/** Frames dropped so far, both directions, any reason. */
uint64_t south_drops(unsigned int i);
/** Let the control thread run. */
void south_pause(unsigned int ms);

#endif
