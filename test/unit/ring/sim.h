/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */
#ifndef SIM_H
#define SIM_H

/*
 * A machine of two threads with one small shared memory, and every way it can run.
 *
 * Stores wait in their thread's buffer and reach the memory one by one, late, and in any order
 * that fences and equal addresses allow (partial store order: weaker than x86, close to Arm for
 * stores). Loads are done in program order and see the thread's own waiting stores. A thread's body
 * is ordinary code that calls the accessors below; a step of it is one access.
 *
 * Nothing is suspended: a body is run again from its start for each step, its earlier accesses
 * answer from the thread's history, one new access is done, and a longjmp leaves it. So a state of
 * the machine is plain data (memory, buffers, histories), can be copied, compared and gone back
 * to, and bodies must keep everything else private and set it up anew when they start.
 */

#include <stdbool.h>
#include <stdint.h>

#define SIM_MEM 256U

/* Which thread lacks what: to see that a missing fence is found. Bits: 1 << thread. */
struct sim_config {
	void (*body[2])(void);
	/* Called in each state in which nothing can run any more; replay() has run the bodies, so
	 * that what they keep privately is final. finished: did this thread return? Returns true
	 * when all is well.
	 */
	bool (*check)(const bool finished[2]);
	unsigned int no_full_fence;    /* is a release fence only (old drivers) */
	unsigned int no_release_fence; /* is nothing */
	bool stop_at_bad;	       /* one bad end is all that is asked for */
};

struct sim_result {
	uint64_t nb_states, nb_ends, nb_bad;
	bool overflow; /* too many states or steps: the result says nothing */
};

/* The shared memory; fill it in before sim_explore(). */
uint8_t *sim_mem(void);

void sim_explore(const struct sim_config *cfg, struct sim_result *result);

/* For bodies. */
uint64_t sim_load(const void *p, uint32_t size);
void sim_store(void *p, uint32_t size, uint64_t v);
void sim_fence_release(void);
void sim_fence_full(void);
/* Store past the buffer, after everything in it: an interrupt, a system call. */
void sim_store_now(void *p, uint32_t size, uint64_t v);
/* Stand still until the value is there; then, with clear, set it to 0 at once. */
void sim_wait(void *p, uint32_t size, uint64_t v, bool clear);
/* The same, or until the other thread has returned and its stores are done (a timer at last). */
bool sim_wait_timer(void *p, uint32_t size, uint64_t v);

#endif /* SIM_H */
