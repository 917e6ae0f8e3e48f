/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */
#ifndef DP_STATE_H
#define DP_STATE_H

/**
 * @file
 * The running state of vbus-dp: objects made and removed one by one, by the configuration at start,
 * by SIGHUP (the difference) and by the control socket. All on vbus-dp's own main control thread
 * (the one that runs dp_loop), one at a time; an operation is done or undone as a whole.
 */

#include "dp_conf.h"

/** The configuration as it runs now (what config.save writes). Not to be changed by the caller. */
const struct dp_conf *dp_state_conf(void);

/**
 * Each: 0, or a negative errno and one line in @p err: EEXIST, ENOENT, EINVAL, EBUSY, what the system
 * said. Nothing has changed then. What is passed in is copied.
 */
/** Its list of devices: those exist and are on no bus. */
int dp_bus_add(const struct dp_bus_conf *b, char *err, size_t err_size);
/** EBUSY: devices are on it. */
int dp_bus_remove(const char *name, char *err, size_t err_size);
int dp_device_add(const struct dp_device_conf *d, char *err, size_t err_size);
/** From its bus too; what is patched to it is patched no more. */
int dp_device_remove(const char *name, char *err, size_t err_size);
int dp_device_attach(const char *name, const char *bus, char *err, size_t err_size);
int dp_device_detach(const char *name, char *err, size_t err_size);
/** Send its peer a break. EOPNOTSUPP: it is no serial port; ENOTCONN: nobody has started it. */
int dp_device_break(const char *name, char *err, size_t err_size);
int dp_switch_add(const struct dp_switch_conf *s, char *err, size_t err_size);
/** EBUSY: devices are on it. Its uplinks are stopped. */
int dp_switch_remove(const char *name, char *err, size_t err_size);

/**
 * Go from the running state to @p want, touching only what differs: what is equal is not disturbed at
 * all, a device that changes its switch, patch or MTU stays on its bus. Stops at the first failure;
 * the object that failed is as it was, or gone when that cannot be had again (said in the log). The
 * control socket is dp_rpc_move()'s.
 * @param want  checked (dp_conf_check()), its buses' lists folded; only read
 * @param file  put before the line of an error; NULL: no "FILE:LINE: "
 */
int dp_state_apply(const struct dp_conf *want, const char *file, char *err, size_t err_size);
/** Before anything is added: what the running configuration has at its top. */
void dp_state_init(const struct dp_conf *top);
/** The control socket is there now: what config.save writes. */
void dp_state_set_control(const char *path);
/** Take everything down, in order; leaves no socket. */
void dp_state_clear(void);

struct dp_port;
struct dp_switch;
struct vbus_bus;
struct vbus_device;
/** The data plane's object behind a name, NULL: none. Valid until it is removed or re-made. */
struct dp_port *dp_state_port(const char *device_or_uplink);
struct dp_switch *dp_state_switch(const char *name);
/** libvbus's object behind a name, NULL: none; to be looked into with the libvbus control lock. */
struct vbus_bus *dp_state_bus(const char *name);
struct vbus_device *dp_state_device(const char *name);

#endif /* DP_STATE_H */
