/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */
#ifndef DP_CONF_BACK_H
#define DP_CONF_BACK_H

/**
 * @file
 * Keys of the device classes serial, block and rng, for dp_conf_key.c. @p obj: struct dp_device_conf;
 * @p err: the reason alone.
 */

#include "dp_conf.h"

int dp_conf_back_pty(void *obj, const char *value, char *err, size_t err_size);
int dp_conf_back_listen(void *obj, const char *value, char *err, size_t err_size);
int dp_conf_back_file(void *obj, const char *value, char *err, size_t err_size);
int dp_conf_back_stdio(void *obj, const char *value, char *err, size_t err_size);
int dp_conf_back_hold(void *obj, const char *value, char *err, size_t err_size);
int dp_conf_back_scrollback(void *obj, const char *value, char *err, size_t err_size);
int dp_conf_back_memory(void *obj, const char *value, char *err, size_t err_size);
int dp_conf_back_readonly(void *obj, const char *value, char *err, size_t err_size);
int dp_conf_back_sector(void *obj, const char *value, char *err, size_t err_size);

/** Is there such a class? */
bool dp_conf_back_class(const char *cls);
/** Have the keys that are set a meaning for the class, is none missing? @return 0, -EINVAL and "KEY: reason" */
int dp_conf_back_check(const struct dp_device_conf *d, char *err, size_t err_size);
/** Would the device have to be made anew to become the other? Of the keys above. */
bool dp_conf_back_differs(const struct dp_device_conf *a, const struct dp_device_conf *b);

#endif /* DP_CONF_BACK_H */
