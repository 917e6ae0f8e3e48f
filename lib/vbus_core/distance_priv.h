/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */
#ifndef VBUS_DISTANCE_PRIV_H
#define VBUS_DISTANCE_PRIV_H

/**
 * @file
 * Inside of the test mode for distance: distance.c traps, distance_insn.c knows an instruction's memory operand,
 * distance_posted.c has what is under way.
 */

#include <stdbool.h>
#include <stdint.h>

/** The instruction's operand in memory. */
struct vbus_far_operand {
	uint8_t base;	/**< number of the register that can be moved, and the operand with it */
	bool string;	/**< the instruction itself moves the register */
	bool is_posted; /**< a write that reads nothing there */
};

/**
 * x86-64, 64-bit mode.
 * @param insn   15 bytes at most are read, up to the instruction's end
 * @param write  it has faulted by a write
 * @return false: no register moves the operand alone
 */
bool vbus_far_operand(const uint8_t *insn, bool write, struct vbus_far_operand *o);

#define VBUS_POSTED_BYTES 64u

/** A write: those of the bytes at @p to whose bit is set. */
struct vbus_posted {
	uint8_t *to;
	uint64_t mask;
	uint64_t due_ns;
	uint8_t data[VBUS_POSTED_BYTES];
};

uint64_t vbus_far_now_ns(void);
/** The thread by which writes arrive when they are due. Control lock. @return 0 or a negative errno */
int vbus_posted_begin(void);
/** A signal handler. Writes arrive in this order; where too many are under way, the first ones do at once. */
void vbus_posted_push(const struct vbus_posted *w);
/** All that is under way arrives. Any thread, also in a signal handler. */
void vbus_posted_drain(void);

#endif /* VBUS_DISTANCE_PRIV_H */
