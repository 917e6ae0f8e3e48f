/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */
#ifndef DP_CONF_H
#define DP_CONF_H

/**
 * @file
 * What vbus-dp shall serve, as plain data: the one form that the configuration file, the control
 * socket and config.save share. Nothing here touches EAL or libvbus; main thread and control only.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/queue.h>

#define DP_NAME_SIZE 32
#define DP_PATH_SIZE 108 /* of a UNIX socket; files may be longer */
#define DP_FILE_SIZE 256 /* of a disk's or a port's file */
#define DP_ERR_SIZE  512 /* one line for the user */

#define DP_RUN_DIR	"/run/vbus" /* made when it is missing; other folders must be there */
#define DP_CONTROL_PATH DP_RUN_DIR "/control.sock"

#define DP_IDLE_US_MAX	    10000000u
#define DP_AGEING_S_MAX	    1000000u
#define DP_SWITCH_SIZE_MIN  16u
#define DP_SWITCH_SIZE_MAX  1048576u
#define DP_QUEUES_MAX	    16u /* pairs of a venet, VBUS_VENET_PAIRS_MAX */
#define DP_BLOCK_QUEUES_MAX 16u
#define DP_SCROLLBACK	    65536u
#define DP_SCROLLBACK_MAX   (64u << 20)

enum dp_mode {
	DP_MODE_BUSY,
	DP_MODE_ADAPTIVE
};
enum dp_connector {
	DP_CONNECTOR_VFIO_USER,
	DP_CONNECTOR_NULL,
	DP_CONNECTOR_WINDOW
};

struct dp_name {
	char name[DP_NAME_SIZE];
	uint32_t line; /**< in the file, 0: not from a file; so everywhere below */
	STAILQ_ENTRY(dp_name) next;
};
STAILQ_HEAD(dp_names, dp_name);

/** section `bus NAME` */
struct dp_bus_conf {
	char name[DP_NAME_SIZE];
	enum dp_connector connector;
	char socket[DP_PATH_SIZE];
	bool no_ports; /**< the function behind the socket has none */
	char window[DP_PATH_SIZE];
	uint64_t size; /**< of the window, bytes; 0: as it is */
	bool side_b;   /**< of the window */
	/** Put on it. dp_conf_load() folds it into the devices' `bus` and leaves it empty. */
	struct dp_names devices;
	uint32_t line;
	uint32_t socket_line;
	uint32_t nb_counted; /**< scratch of dp_conf_check() */
	void *running;	     /**< dp_state's; NULL in a configuration that does not run */
	TAILQ_ENTRY(dp_bus_conf) next;
};

/** section `device NAME`; what its class has no key for is as dp_device_conf_new() made it */
struct dp_device_conf {
	char name[DP_NAME_SIZE];
	char cls[DP_NAME_SIZE];
	char bus[DP_NAME_SIZE];	  /**< empty: on none */
	bool has_mac;		  /**< asked for */
	uint8_t mac[6];		  /**< all zero: none; of a device that runs: the one it has */
	uint16_t mtu;		  /**< 1500 */
	uint16_t queues;	  /**< 1 */
	char sw[DP_NAME_SIZE];	  /**< switch, empty: none */
	char patch[DP_NAME_SIZE]; /**< the device at the other end of a patch, empty: none */
	/* serial: one of the first four; block: file or memory */
	char pty[DP_PATH_SIZE];	   /**< link to the pty */
	char listen[DP_PATH_SIZE]; /**< socket */
	char file[DP_FILE_SIZE];
	bool stdio;
	bool hold; /**< with nobody attached output waits */
	bool readonly;
	uint32_t scrollback; /**< bytes kept for who attaches late: DP_SCROLLBACK */
	uint32_t sector;     /**< 512, bytes */
	uint64_t memory;     /**< bytes; 0: none */
	uint32_t line;
	uint32_t bus_line, sw_line, patch_line;
	void *running;
	TAILQ_ENTRY(dp_device_conf) next;
};

/** section `switch NAME` */
struct dp_switch_conf {
	char name[DP_NAME_SIZE];
	struct dp_names ports; /**< uplinks: EAL port names */
	uint32_t ageing_s;     /**< 300 */
	uint32_t size;	       /**< 65536 addresses */
	uint32_t line;
	void *running;
	TAILQ_ENTRY(dp_switch_conf) next;
};

/** All of it. Lists are walked by everybody and changed by dp_conf_add_*() and dp_conf_take_*() only. */
struct dp_conf {
	enum dp_mode mode;
	uint32_t idle_us;	    /**< 1000 */
	char control[DP_PATH_SIZE]; /**< empty: DP_CONTROL_PATH */
	uint32_t control_line;
	char keeper[DP_PATH_SIZE]; /**< empty: none. Only what it was at the start counts */
	TAILQ_HEAD(, dp_bus_conf) buses;
	TAILQ_HEAD(, dp_device_conf) devices;
	TAILQ_HEAD(, dp_switch_conf) switches;
	void *bus_names, *device_names, *switch_names; /**< search trees of the above */
};

void dp_conf_init(struct dp_conf *c);
/** Where the control socket is to be. */
const char *dp_conf_control(const struct dp_conf *c);
/** Everything in it goes; it is as after dp_conf_init(). */
void dp_conf_free(struct dp_conf *c);

/**
 * Read a file into @p c, which dp_conf_init() made. Unknown sections and keys, duplicates, missing
 * references, impossible values: one line "FILE:LINE: reason" that names the key goes to @p err (the
 * first one found), nothing else. A child process does it, which libconfuse may end for want of
 * memory. Not from two threads at once.
 * @return 0, -EINVAL (said in err), -errno of reading it (said too), -ENOMEM also when the child ended
 *         before it was done; what is in @p c then is to be freed
 */
int dp_conf_load(struct dp_conf *c, const char *path, char *err, size_t err_size);
/** The same within this process, which ends when libconfuse finds no memory. It has one lexer. */
int dp_conf_load_here(struct dp_conf *c, const char *path, char *err, size_t err_size);
/**
 * The same of a text; it is changed.
 * @param file  what errors call it
 */
int dp_conf_load_text(
	struct dp_conf *c, const char *file, char *text, size_t len, char *err, size_t err_size);
/**
 * Checks of a text that libconfuse does not do: comments become blanks, for it miscounts their lines
 * and takes none in lists; open strings, comments, braces and characters that it would skip are found.
 * @return 0, or -EINVAL with @p line and @p why
 */
int dp_conf_scan(char *text, size_t len, uint32_t *line, char *why, size_t why_size);
/**
 * References between objects, and each object.
 * @param file  put before the line of an error; NULL: no "FILE:LINE: " at all
 * @return 0, or -EINVAL, -ENOENT, -EEXIST and @p err
 */
int dp_conf_check(const struct dp_conf *c, const char *file, char *err, size_t err_size);
/** What can be known of an object alone. @return 0, or -EINVAL, -ENOTSUP and @p err ("KEY: reason"). */
int dp_bus_conf_check(const struct dp_bus_conf *b, char *err, size_t err_size);
int dp_device_conf_check(const struct dp_device_conf *d, char *err, size_t err_size);
int dp_switch_conf_check(const struct dp_switch_conf *s, char *err, size_t err_size);
/** Are both carried by the same medium, at the same place? */
bool dp_bus_conf_same_place(const struct dp_bus_conf *a, const struct dp_bus_conf *b);
void dp_bus_conf_copy_place(struct dp_bus_conf *to, const struct dp_bus_conf *from);
/** Can a socket be made at @p path (length, folder, what is there)? DP_RUN_DIR may be missing. */
int dp_socket_path_check(const char *path, char *err, size_t err_size);
/**
 * Set a key from its text: the file's and the control socket's way. A list's key adds one name.
 * @return 0; -ENOENT: unknown key; -ENOTSUP: of a class or connector that is not in this build;
 *         -EINVAL, -EEXIST: bad value; -ENOMEM. @p err: "KEY: reason"
 */
int dp_conf_set(struct dp_conf *c, const char *key, const char *value, char *err, size_t err_size);
int dp_bus_conf_set(
	struct dp_bus_conf *b, const char *key, const char *value, char *err, size_t err_size);
int dp_device_conf_set(
	struct dp_device_conf *d, const char *key, const char *value, char *err, size_t err_size);
int dp_switch_conf_set(
	struct dp_switch_conf *s, const char *key, const char *value, char *err, size_t err_size);
/** The keys of a section, "" is the top; NULL at the end. @p list: several names. */
const char *dp_conf_key(const char *section, unsigned int index, bool *list);
/** Write as a configuration file that dp_conf_load() reads back as the same. @return 0 or -EIO. */
int dp_conf_write(const struct dp_conf *c, FILE *out);

/** With defaults. @return NULL: no memory. */
struct dp_bus_conf *dp_bus_conf_new(const char *name);
struct dp_device_conf *dp_device_conf_new(const char *name);
struct dp_switch_conf *dp_switch_conf_new(const char *name);
/** A copy that is in no configuration and runs nothing. @return NULL: no memory. */
struct dp_bus_conf *dp_bus_conf_copy(const struct dp_bus_conf *b);
struct dp_device_conf *dp_device_conf_copy(const struct dp_device_conf *d);
struct dp_switch_conf *dp_switch_conf_copy(const struct dp_switch_conf *s);
/** In no configuration any more. NULL is ignored. */
void dp_bus_conf_del(struct dp_bus_conf *b);
void dp_device_conf_del(struct dp_device_conf *d);
void dp_switch_conf_del(struct dp_switch_conf *s);
/** Give an object to a configuration. @return 0; -EEXIST, -ENOMEM: it is still the caller's. */
int dp_conf_add_bus(struct dp_conf *c, struct dp_bus_conf *b);
int dp_conf_add_device(struct dp_conf *c, struct dp_device_conf *d);
int dp_conf_add_switch(struct dp_conf *c, struct dp_switch_conf *s);
/** Take it out again; it is the caller's. */
void dp_conf_take_bus(struct dp_conf *c, struct dp_bus_conf *b);
void dp_conf_take_device(struct dp_conf *c, struct dp_device_conf *d);
void dp_conf_take_switch(struct dp_conf *c, struct dp_switch_conf *s);
/** By name, in logarithmic time; NULL: none. */
struct dp_bus_conf *dp_conf_bus(const struct dp_conf *c, const char *name);
struct dp_device_conf *dp_conf_device(const struct dp_conf *c, const char *name);
struct dp_switch_conf *dp_conf_switch(const struct dp_conf *c, const char *name);
int dp_names_add(struct dp_names *l, const char *name);
/** Nothing when it is not there. */
void dp_names_del(struct dp_names *l, const char *name);
/** NULL: the list is empty. */
struct dp_name *dp_names_last(const struct dp_names *l);
bool dp_names_has(const struct dp_names *l, const char *name);
void dp_names_free(struct dp_names *l);

#endif /* DP_CONF_H */
