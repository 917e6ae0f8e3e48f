/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */
#ifndef DP_RPC_INTERNAL_H
#define DP_RPC_INTERNAL_H

/**
 * @file
 * Inside of the control socket: dp_rpc.c (clients, lines), dp_rpc_dispatch.c (JSON-RPC),
 * dp_rpc_methods_*.c (what can be asked). The loop's thread only.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include <rte_ether.h>

#include "dp_conf.h"
#include "dp_rpc.h"

/** Why a request failed. */
struct dp_rpc_error {
	int code;		/**< of JSON-RPC */
	int err;		/**< errno behind DP_RPC_ERRNO - errno, else 0 */
	char key[64];		/**< the parameter, or empty */
	char text[DP_ERR_SIZE]; /**< one line */
};

enum dp_rpc_type {
	DP_RPC_STRING,
	DP_RPC_INTEGER,
	DP_RPC_BOOLEAN,
	DP_RPC_STRINGS, /**< an array of them */
};

struct dp_rpc_param {
	const char *key; /**< NULL: the end */
	enum dp_rpc_type type;
	bool required;
};

/**
 * Do it. The parameters were checked: only known ones, of their types, the required ones are there.
 * @return the result, or NULL and @p e
 */
typedef json_t *(*dp_rpc_fn)(const json_t *params, struct dp_rpc_error *e);

struct dp_rpc_method {
	const char *name; /**< NULL: the end */
	dp_rpc_fn fn;
	const struct dp_rpc_param *params;
	const char *section; /**< its configuration keys are parameters too; NULL: none */
	bool nulls;	     /**< null is legal: the key's default */
};

extern const struct dp_rpc_method dp_rpc_methods_bus[];
extern const struct dp_rpc_method dp_rpc_methods_device[];
extern const struct dp_rpc_method dp_rpc_methods_switch[];
extern const struct dp_rpc_method dp_rpc_methods_misc[];
extern const struct dp_rpc_method dp_rpc_methods_capture[];
extern const struct dp_rpc_method dp_rpc_methods_trace[];

/**
 * Answer a line.
 * @param line  without its newline, need not be terminated
 * @param[out] out_len  bytes of the answer, newline included, at most DP_RPC_OUT_MAX
 * @return the answer, to be freed; NULL: there is none (notifications; @p out_len is 0), or no memory for any
 *   (not 0: the client cannot be kept, it would wait for ever)
 */
char *dp_rpc_answer(const char *line, size_t len, size_t *out_len);
/** The answer to something that is no request. To be freed, or NULL. */
char *dp_rpc_refuse(int code, const char *text, size_t *out_len);

/** Of dp_rpc.c; the dispatcher counts here. */
extern struct dp_rpc_stats dp_rpc_counters;

/* ---- for methods ------------------------------------------------------------------------------- */

/** Say that an operation failed. @p err: negative errno. @p text: its line, may be NULL. @return NULL. */
json_t *dp_rpc_fail(struct dp_rpc_error *e, int err, const char *text);
/** Say that a parameter is wrong. @return NULL. */
json_t *dp_rpc_bad(struct dp_rpc_error *e, const char *key, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/** The same of a line "KEY: reason", as dp_conf.h's functions give. */
void dp_rpc_bad_line(struct dp_rpc_error *e, const char *line);
/** @p ret 0: {}; else dp_rpc_fail(). */
json_t *dp_rpc_done(struct dp_rpc_error *e, int ret, const char *text);

/** Any text as a JSON string: what is no UTF-8 becomes '?'. */
json_t *dp_rpc_text(const char *text);
/** Counters may be larger than what JSON integers of jansson hold: cut. */
json_t *dp_rpc_uint(uint64_t n);
/** As configurations write it: xx:xx:xx:xx:xx:xx. */
json_t *dp_rpc_mac(const struct rte_ether_addr *mac);
/** Set a member. Without memory (NULL values too) the request is refused in the end. */
void dp_rpc_put(json_t *obj, const char *key, json_t *value);
/** Append to a list. As with dp_rpc_put(), without memory the request is refused in the end. */
void dp_rpc_append(json_t *list, json_t *value);

/** A parameter's value; NULL, 0: not given. */
const char *dp_rpc_str(const json_t *params, const char *key);
bool dp_rpc_has(const json_t *params, const char *key);

/** Parameters `offset` and `limit` of lists. @return false: said in @p e. */
bool dp_rpc_page(const json_t *params, uint32_t limit_max, uint64_t *offset, uint32_t *limit,
	struct dp_rpc_error *e);
/** {total, offset, next?, NAME: [...]}; @p list is taken. */
json_t *dp_rpc_page_result(const char *name, json_t *list, uint64_t total, uint64_t offset);

/** Give every configuration key among the parameters to the object @p obj. @return false: in @p e. */
typedef int (*dp_rpc_set_fn)(void *obj, const char *key, const char *value, char *err, size_t size);
bool dp_rpc_set_keys(const json_t *params, const char *section, dp_rpc_set_fn set, void *obj,
	struct dp_rpc_error *e);
/** The type of a configuration key. */
enum dp_rpc_type dp_rpc_key_type(const char *key, bool list);

/* ---- dp_rpc_kind.c ----------------------------------------------------------------------------- */

/** Where a key lies in its object. */
struct dp_rpc_field {
	const char *key; /**< NULL: the end */
	size_t offset, size;
};

/** Buses, devices or switches: all that is made, changed and listed in one way. */
struct dp_rpc_kind {
	const char *section; /**< of a configuration file, and what errors call one */
	const char *plural;  /**< what lists call them */
	const struct dp_rpc_field *fields;
	void *(*fresh)(const char *name);
	void (*del)(void *obj);
	void *(*find)(const struct dp_conf *c, const char *name);
	const void *(*after)(const void *prev); /**< of what runs; NULL: the first */
	dp_rpc_set_fn set;
	int (*check)(const void *obj, char *err, size_t err_size);
	int (*add)(const void *obj, char *err, size_t err_size);
};
extern const struct dp_rpc_kind dp_rpc_bus, dp_rpc_device, dp_rpc_switch;

json_t *dp_rpc_create(const struct dp_rpc_kind *k, const json_t *params, struct dp_rpc_error *e);
json_t *dp_rpc_change(const struct dp_rpc_kind *k, const json_t *params, struct dp_rpc_error *e);
json_t *dp_rpc_list(const struct dp_rpc_kind *k, json_t *(*show)(const void *obj),
	const json_t *params, struct dp_rpc_error *e);
/** config.get, config.set: the keys that stand in no section. */
json_t *dp_rpc_config_get(const json_t *params, struct dp_rpc_error *e);
json_t *dp_rpc_config_set(const json_t *params, struct dp_rpc_error *e);

/* ---- files ------------------------------------------------------------------------------------- */

/**
 * A path for a file to be made: absolute, no "." nor "..", its folder is there, and nothing but a
 * regular file is in its place. @return false: said in @p e, as of parameter @p key.
 */
bool dp_rpc_file_check(const char *key, const char *path, struct dp_rpc_error *e);

/** config.save */
json_t *dp_rpc_config_save(const json_t *params, struct dp_rpc_error *e);

/** Forget captures of what is gone; @p all: stop them. */
void dp_rpc_capture_sweep(bool all);
/** End all traces. */
void dp_rpc_trace_end(void);

#define DP_RPC_LIST_MAX	 512u
#define DP_RPC_STATS_MAX 128u

#endif /* DP_RPC_INTERNAL_H */
