/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */
#ifndef DP_STATE_INTERNAL_H
#define DP_STATE_INTERNAL_H

/**
 * @file
 * What dp_state.c (one object) and dp_state_apply.c (the difference of two configurations) share.
 * The running configuration's objects carry what runs behind them in `running`.
 */

#include "dp_plane.h"
#include "dp_state.h"

struct dp_run_bus {
	struct vbus_bus *bus;
	bool open; /* its connector is there */
	/* dp_state_apply() closed it to open it elsewhere: where to go back to */
	bool was_open;
	struct dp_bus_conf was; /* its place alone */
	uint32_t nb_devices;
};

struct dp_run_device {
	struct vbus_device *dev;
	struct dp_port *port;	     /* NULL: no venet */
	struct dp_back *back;	     /* NULL: a venet */
	struct dp_device_conf *peer; /* of a patch, whoever named it; NULL: none */
};

struct dp_run_uplink {
	char name[DP_NAME_SIZE];
	struct dp_port *port;
	LIST_ENTRY(dp_run_uplink) next;
};

struct dp_run_switch {
	struct dp_switch *sw;
	uint32_t nb_devices;
	LIST_HEAD(, dp_run_uplink) uplinks;
};

extern struct dp_conf dp_run; /* the running configuration */

int dp_state_err(char *err, size_t err_size, int code, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

static inline struct dp_run_bus *
run_bus(const struct dp_bus_conf *b)
{
	return b->running;
}

static inline struct dp_run_device *
run_device(const struct dp_device_conf *d)
{
	return d->running;
}

static inline struct dp_run_switch *
run_switch(const struct dp_switch_conf *s)
{
	return s->running;
}

/* Parts of the public operations. @p conf objects are the running ones, unless it says otherwise. */

/** A bus without connector, copied from @p b. @return 0, negative errno. */
int dp_run_bus_make(const struct dp_bus_conf *b, struct dp_bus_conf **made, char *err, size_t size);
int dp_run_bus_open(struct dp_bus_conf *b, char *err, size_t err_size);
/** Its connector, and its session, end; devices stay on it. */
int dp_run_bus_close(struct dp_bus_conf *b, char *err, size_t err_size);
void dp_run_bus_unmake(struct dp_bus_conf *b);

/** A device on no bus and with no patch, copied from @p d, its port in d->sw. */
int dp_run_device_make(
	const struct dp_device_conf *d, struct dp_device_conf **made, char *err, size_t err_size);
void dp_run_device_unmake(struct dp_device_conf *d);
int dp_run_device_attach(struct dp_device_conf *d, struct dp_bus_conf *b, char *err, size_t size);
void dp_run_device_detach(struct dp_device_conf *d);
/** To another switch, "": none. Not while it is patched. */
int dp_run_device_switch(struct dp_device_conf *d, const char *sw, char *err, size_t err_size);
int dp_run_device_patch(
	struct dp_device_conf *d, struct dp_device_conf *to, char *err, size_t err_size);
void dp_run_device_unpatch(struct dp_device_conf *d);
/** A new port for the same venet. */
int dp_run_device_mtu(struct dp_device_conf *d, uint16_t mtu, char *err, size_t err_size);

/** A switch without uplinks, copied from @p s. */
int dp_run_switch_make(
	const struct dp_switch_conf *s, struct dp_switch_conf **made, char *err, size_t err_size);
void dp_run_switch_unmake(struct dp_switch_conf *s);
int dp_run_uplink_add(struct dp_switch_conf *s, const char *port, char *err, size_t err_size);
void dp_run_uplink_del(struct dp_switch_conf *s, struct dp_run_uplink *u);

#endif /* DP_STATE_INTERNAL_H */
