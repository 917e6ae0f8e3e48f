/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */
#ifndef CTL_H
#define CTL_H

/**
 * @file
 * Inside of vbusctl. One thread. What fails says so on stderr, in one line, and sets the exit code.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include <jansson.h>

#define CTL_SOCKET "/run/vbus/control.sock"

/** Exit codes; the manual page tells users. */
#define CTL_OK	    0
#define CTL_REFUSED 1 /**< vbus-dp answered with an error */
#define CTL_USAGE   2
#define CTL_CONNECT 3 /**< nobody there, or gone before it answered */

struct ctl_options {
	const char *socket;
	bool json;
};
extern struct ctl_options ctl_options;

struct ctl_command {
	const char *name; /**< one word, or two */
	const char *args; /**< for people */
	const char *help; /**< one line, then more */
	/** @param argc, argv  what follows the name. @return the exit code */
	int (*run)(const struct ctl_command *c, int argc, char **argv);
	const char *method;
};
extern const struct ctl_command ctl_commands[];

/** Wrong arguments: a line on stderr. @return CTL_USAGE */
int ctl_usage(const struct ctl_command *c, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* ---- ctl_conn.c -------------------------------------------------------------------------------- */

/** The exit code that goes with the last ctl_call() that returned NULL. */
extern int ctl_status;
/**
 * Call a method; connects at the first. @p params is taken, may be NULL.
 * @return its result, to be decref'd; NULL: said on stderr, ctl_status
 */
json_t *ctl_call(const char *method, json_t *params);
/** The same for a list that comes in pages: all of them as one result. @p params stays the caller's. */
json_t *ctl_call_all(const char *method, const json_t *params, const char *list);

/* ---- ctl_args.c -------------------------------------------------------------------------------- */

/** Add KEY=VALUE to @p params, as the type that the key has. @return false: said on stderr */
bool ctl_arg(json_t *params, const char *arg);
/** A number of an option, 1 to @p max. @return false: said on stderr */
bool ctl_number(const char *option, const char *text, json_int_t max, json_int_t *out);
/** A file's name for another process: absolute. @return to be freed, or NULL: said on stderr */
char *ctl_path(const char *path);

/* ---- ctl_table.c ------------------------------------------------------------------------------- */

struct ctl_column {
	const char *head; /**< NULL: the end */
	const char *key;  /**< "mac", or "port.rx_packets" */
};
/** Print a list of objects; numbers stand right. @p rows_max 0: all. */
void ctl_table(const json_t *list, const struct ctl_column *columns, size_t rows_max);
/** The result as JSON, indented, with a newline. */
void ctl_print_json(const json_t *o);
/** A member by "a.b"; NULL: there is none. */
const json_t *ctl_member(const json_t *o, const char *key);

/* ---- commands with a file of their own --------------------------------------------------------- */

int ctl_top(const struct ctl_command *c, int argc, char **argv);
int ctl_capture(const struct ctl_command *c, int argc, char **argv);
/** All counters in OpenMetrics form. @return the exit code */
int ctl_metrics(FILE *out);
/** Serve them by HTTP at [HOST:]PORT, for ever. @return the exit code */
int ctl_serve(const char *where);
int ctl_trace(const struct ctl_command *c, int argc, char **argv);
int ctl_console(const struct ctl_command *c, int argc, char **argv);

#endif /* CTL_H */
