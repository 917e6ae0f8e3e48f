/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

#include "dp_back.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vbus_core.h"
#include "vbus_ctl.h"

struct dp_back {
	struct vbus_device *dev;
	struct dp_serial *serial;
	struct dp_block *block;
};

/** A device that needs no arguments. */
static int
plain(struct dp_back *back, const struct dp_device_conf *d, char *err, size_t err_size)
{
	int ret = 0;

	vbus_ctl_lock();
	errno = 0;
	back->dev = vbus_device_create(d->name, d->cls, NULL);
	if (back->dev == NULL)
		ret = errno != 0 ? -errno : -ENOMEM;
	vbus_ctl_unlock();
	if (ret != 0)
		snprintf(err, err_size, "device %s: %s", d->name, strerror(-ret));
	return ret;
}

static void
delete_device(struct vbus_device *dev)
{
	vbus_ctl_lock();
	vbus_device_delete(dev);
	vbus_ctl_unlock();
}

bool
dp_back_kept(const char *kind, const char *name, uint64_t *word, int *fds)
{
	char thing[DP_NAME_SIZE + 16];
	uint32_t nb = 0, i;
	bool there;

	snprintf(thing, sizeof(thing), "%s/%s", kind, name);
	vbus_ctl_lock();
	there = vbus_keeper_connected();
	if (there)
		nb = vbus_keeper_get(thing, word, fds);
	vbus_ctl_unlock();
	for (i = nb; i < VBUS_KEEPER_FDS; i++)
		fds[i] = -1;
	return there;
}

int
dp_back_keep(const char *kind, const char *name, uint64_t word, const int *fds, uint32_t nb_fds)
{
	char thing[DP_NAME_SIZE + 16];
	int ret = -ENOTCONN;

	snprintf(thing, sizeof(thing), "%s/%s", kind, name);
	vbus_ctl_lock();
	if (vbus_keeper_connected())
		ret = vbus_keeper_keep(thing, word, fds, nb_fds);
	vbus_ctl_unlock();
	return ret;
}

struct dp_back *
dp_back_make(const struct dp_device_conf *d, struct vbus_device **dev, char *err, size_t err_size)
{
	struct dp_back *back = calloc(1, sizeof(*back));
	int ret = -ENOMEM;

	if (back == NULL)
		goto err;
	errno = EIO;
	if (strcmp(d->cls, "block") == 0) {
		back->block = dp_block_make(d, &back->dev, err, err_size);
		ret = back->block != NULL ? 0 : -errno;
	} else {
		ret = plain(back, d, err, err_size);
	}
	if (ret == 0 && strcmp(d->cls, "serial") == 0) {
		back->serial = dp_serial_make(d, back->dev, err, err_size);
		ret = back->serial != NULL ? 0 : -errno;
		if (ret != 0)
			delete_device(back->dev);
	}
	if (ret == 0) {
		*dev = back->dev;
		return back;
	}
	free(back);
err:
	errno = -ret;
	return NULL;
}

int
dp_back_break(struct dp_back *back)
{
	return back != NULL && back->serial != NULL ? dp_serial_break(back->serial) : -EOPNOTSUPP;
}

void
dp_back_unmake(struct dp_back *back)
{
	if (back == NULL)
		return;
	if (back->block != NULL) {
		dp_block_unmake(back->block, back->dev);
	} else {
		if (back->serial != NULL)
			dp_serial_unmake(back->serial);
		delete_device(back->dev);
	}
	free(back);
}
