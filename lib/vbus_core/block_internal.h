/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */
#ifndef BLOCK_INTERNAL_H
#define BLOCK_INTERNAL_H

/**
 * @file
 * Inside of the block class: what its control part (block.c) and its polled part (block_io.c)
 * share. The path is published as venet's is (venet_internal.h).
 */

#include <stdatomic.h>
#include <stdbool.h>

#include "kind_ring.h"
#include "vbus_block.h"
#include "vbus_compat.h"

#define BLOCK_RING_MAX	2048u
#define BLOCK_NB_BLOCKS (1u + 3u * VBLOCK_QUEUES_MAX)

struct block_queue {
	struct kind_ring req;
	struct kind_ring done;
	uint8_t *pool_peer;
	uint64_t pool_len;
};

/** All that the polling thread needs. Constant while published. */
struct block_path {
	const struct vbus_memview *view;
	uint32_t session; /**< differs between any two STARTs */
	uint32_t nb_queues;
	struct block_queue queue[VBLOCK_QUEUES_MAX];
};

struct block_conn_state { /* in the link's state */
	uint32_t layout;  /**< 1 */
	uint32_t started;
	uint32_t nb_queues;
	uint32_t left; /**< close() found it started: if that was a drop, north is to be told */
};

struct vbus_block {
	_Atomic(const struct block_path *) pub;
	_Atomic uint64_t capacity;
	_Atomic uint32_t session; /**< of the last START */
	/* the polling thread's */
	VBUS_CACHE_ALIGNED struct vbus_memcache mc; /**< reset while nothing is published */
	struct vbus_block_stats stats;
	uint32_t taken_session; /**< of the requests under way */
	uint32_t nb_taken;	/**< and how many they are */
	uint32_t next_queue;
	bool done_dirty[VBLOCK_QUEUES_MAX]; /**< completions that were not signalled yet */
	atomic_bool broken;
	/* the control side's */
	VBUS_CACHE_ALIGNED struct vbus_block_args args; /**< constant */
	struct block_path path;
	struct vblock_state *state_peer; /**< NULL: north has none */
	struct vbus_signal state_sig;
	bool state_signals;
	struct vbus_conn *conn;	     /**< NULL: not open */
	struct block_conn_state *cs; /**< of conn */
	struct vbus_shm *block[BLOCK_NB_BLOCKS];
	bool mapped;
	bool bound;
	struct vbus_block_user user;
};

#endif /* BLOCK_INTERNAL_H */
