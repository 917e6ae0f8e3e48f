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

/**
 * What is under way, in the connection's log (ADR-0016): a request is noted before it is popped, and
 * its note is freed behind its answer. The polling thread writes it; a successor reads it. A word says
 * all that changes, so that a kill comes before or after a change.
 */
enum block_note_step {
	BLOCK_NOTE_FREE,
	BLOCK_NOTE_TAKING,  /**< popped if the request ring's head has left `pos` */
	BLOCK_NOTE_TAKEN,   /**< popped */
	BLOCK_NOTE_ANSWERS, /**< over if the completion ring's tail has left `pos` */
};
#define BLOCK_NOTE(step, queue, pos) ((step) | (queue) << 8 | (pos) << 16)
#define BLOCK_NOTE_STEP(word)	     ((word)&0xff)
#define BLOCK_NOTE_QUEUE(word)	     ((word) >> 8 & 0xff)
#define BLOCK_NOTE_POS(word)	     ((word) >> 16)

struct block_note {
	uint32_t word; /**< BLOCK_NOTE() */
	uint32_t ptr;  /**< in the queue's pool */
	uint32_t room;
	uint32_t pad;
};

#define BLOCK_NOTES (VBUS_CONN_LOG_SIZE / sizeof(struct block_note) - 1)

struct block_log {
	uint32_t session; /**< cs->session of the notes; others mean nothing */
	uint32_t pad[3];
	struct block_note note[BLOCK_NOTES];
};
_Static_assert(sizeof(struct block_log) <= VBUS_CONN_LOG_SIZE, "the log fits its place");
_Static_assert(BLOCK_RING_MAX <= 1u << 16 && VBLOCK_QUEUES_MAX <= 256, "a note's word");

struct block_queue {
	struct kind_ring req;
	struct kind_ring done;
	uint8_t *pool_peer;
	uint64_t pool_len;
};

/** All that the polling thread needs. Constant while published. */
struct block_path {
	const struct vbus_memview *view;
	struct block_log *log;
	uint32_t log_session;
	uint32_t session; /**< differs between any two STARTs */
	uint32_t nb_queues;
	struct block_queue queue[VBLOCK_QUEUES_MAX];
};

struct block_conn_state { /* in the link's state */
	uint32_t layout;  /**< BLOCK_STATE_LAYOUT */
	uint32_t started;
	uint32_t nb_queues;
	uint32_t left;	  /**< close() found it started: if that was a drop, north is to be told */
	uint32_t session; /**< counts STARTs */
	/* what north was told of the disk: it does not ask again */
	uint32_t sector_size;
	uint32_t features;
	uint32_t queues_max;
	uint64_t identity;
};
#define BLOCK_STATE_LAYOUT 2u

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
	uint32_t nb_free;  /**< notes */
	uint32_t nb_again; /**< requests of the process before, to be taken again */
	uint16_t free_note[BLOCK_NOTES];
	uint16_t again[BLOCK_NOTES];
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
