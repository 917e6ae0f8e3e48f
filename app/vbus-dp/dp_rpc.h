/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */
#ifndef DP_RPC_H
#define DP_RPC_H

/**
 * @file
 * The control socket of vbus-dp: JSON-RPC 2.0, one object (or batch) per line, on a UNIX socket of
 * mode 0600 (DECISIONS 27). It runs on dp_loop and on nothing else; main calls it from the thread
 * that runs the loop.
 *
 * Bounds, so that no client can hurt: DP_RPC_CLIENTS_MAX clients (a new one takes the place of one
 * that has been silent for DP_RPC_SILENT_MS); a line has at most DP_RPC_IN_MAX bytes and must be
 * complete after DP_RPC_LINE_MS; what waits for a client is at most DP_RPC_OUT_MAX bytes, no more is
 * read from one that does not take its answers, and it is disconnected after DP_RPC_STALL_MS.
 */

#include <stddef.h>
#include <stdint.h>

#define DP_RPC_CLIENTS_MAX 16u
#define DP_RPC_IN_MAX	   65536u   /* bytes of a line, newline included */
#define DP_RPC_OUT_MAX	   1048576u /* bytes that wait for a client */
#define DP_RPC_BATCH_MAX   256u	    /* requests in a batch */

/* Tests have less time. */
#ifndef DP_RPC_LINE_MS
#define DP_RPC_LINE_MS	 10000u
#define DP_RPC_STALL_MS	 10000u
#define DP_RPC_SILENT_MS 5000u
#endif

/** An operation failed: this minus the errno (DP_RPC_ERRNO - 2: ENOENT). */
#define DP_RPC_ERRNO	      -32000
#define DP_RPC_PARSE_ERROR    -32700
#define DP_RPC_BAD_REQUEST    -32600
#define DP_RPC_UNKNOWN_METHOD -32601
#define DP_RPC_BAD_PARAMS     -32602

/**
 * Serve @p path; dp_loop_init() came before.
 * @param err  one line for the user
 * @return 0; -EADDRINUSE: somebody serves it; another negative errno
 */
int dp_rpc_start(const char *path, char *err, size_t err_size);
/**
 * Serve at @p path from now on; clients stay. Not started: nothing happens.
 * @param err  one line for the user; what was served is served on then
 * @return 0 or a negative errno, as dp_rpc_start()
 */
int dp_rpc_move(const char *path, char *err, size_t err_size);
/** Disconnect everybody, end captures, remove the socket. Legal when it was not started. */
void dp_rpc_stop(void);

/** X(field, name): counters of the control socket. */
#define DP_RPC_STATS(X)                         \
	X(clients, "clients")                   \
	X(refused, "refused_clients")           \
	X(evicted, "evicted_clients")           \
	X(late_lines, "timed_out_lines")        \
	X(long_lines, "too_long_lines")         \
	X(stalled, "disconnected_slow_readers") \
	X(requests, "requests")                 \
	X(errors, "failed_requests")
#define DP_RPC_STAT_FIELD(field, name) uint64_t field;
struct dp_rpc_stats {
	DP_RPC_STATS(DP_RPC_STAT_FIELD)
};
/** The loop's thread. */
void dp_rpc_stats(struct dp_rpc_stats *st);

#endif /* DP_RPC_H */
