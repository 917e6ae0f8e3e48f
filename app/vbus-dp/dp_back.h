/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */
#ifndef DP_BACK_H
#define DP_BACK_H

/**
 * @file
 * Devices of other classes than venet: the device with what serves it. Main control thread, without
 * the control lock.
 */

#include <stdbool.h>
#include <stdint.h>

#include "dp_conf.h"
#include "vbus_keeper.h"

struct dp_back;
struct vbus_device;

/**
 * Make the device @p d of class serial, block or rng, on no bus, and its back end.
 * @return NULL, errno, and @p err: what is wrong, with the key
 */
struct dp_back *dp_back_make(
	const struct dp_device_conf *d, struct vbus_device **dev, char *err, size_t err_size);
/** It is on no bus any more. The device goes too. NULL is ignored. */
void dp_back_unmake(struct dp_back *back);
/** Send north a break. NULL is ignored. @return 0, -ENOTCONN: north is not there, -EOPNOTSUPP: no serial port */
int dp_back_break(struct dp_back *back);

struct dp_serial;
struct dp_block;
/* What a back end leaves for a process after this one, under its kind and name (vbus_keeper.h). */
/** @param[out] fds  VBUS_KEEPER_FDS, the caller's, -1: none. @return false: there is no keeper */
bool dp_back_kept(const char *kind, const char *name, uint64_t *word, int *fds);
/** In place of what it left before; no descriptors: it is gone. @return 0, negative errno */
int dp_back_keep(
	const char *kind, const char *name, uint64_t word, const int *fds, uint32_t nb_fds);

/** Parts of it: bind to a device that is there. */
struct dp_serial *dp_serial_make(
	const struct dp_device_conf *d, struct vbus_device *dev, char *err, size_t err_size);
void dp_serial_unmake(struct dp_serial *s);
/** A break for north; several that it has not taken are one. @return 0, -ENOTCONN: it is not there */
int dp_serial_break(struct dp_serial *s);
/** Open what is behind the disk, and make the device. */
struct dp_block *dp_block_make(
	const struct dp_device_conf *d, struct vbus_device **dev, char *err, size_t err_size);
/** The device goes first, then what it needs. */
void dp_block_unmake(struct dp_block *b, struct vbus_device *dev);

#endif /* DP_BACK_H */
