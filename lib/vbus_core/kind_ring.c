/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

#include "kind_ring.h"

#include <errno.h>
#include <string.h>

#include "vbus_log.h"

/* All rings: north can be refused as often as it likes. Control lock held. */
static struct vbus_log_limit log_limit;

int
kind_ring_attach(struct kind_ring *r, struct vbus_shm *shm, uint32_t count_max, unsigned int how)
{
	int ret;

	memset(r, 0, sizeof(*r));
	if (shm->has_signal && shm->signal_offset != IOQ_RING_SIGNAL_OFFSET)
		return -EINVAL;
	ret = vbus_ioq_south_attach(&r->q, shm->va, shm->len, count_max, shm->cursor, how);
	if (ret < 0)
		VBUS_LOG_LIMITED(&log_limit, WARNING, "ring %u refused: %s", shm->id,
			vbus_ioq_refusal_name(r->q.refusal));
	if (ret == 0 && shm->has_signal)
		ret = vbus_signal_attach(
			&r->sig, shm->va + shm->signal_offset, VBUS_LOCALITY_SOUTH);
	if (ret < 0) {
		memset(r, 0, sizeof(*r));
		return ret;
	}
	r->shm = shm;
	r->signals = shm->has_signal;
	return 0;
}
