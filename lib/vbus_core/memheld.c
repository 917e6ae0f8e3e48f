/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/* See memheld.h. Control lock held. */

#include "memheld.h"

#include <stddef.h>

static LIST_HEAD(, vbus_memholder) holders = LIST_HEAD_INITIALIZER(holders);

void
vbus_memholder_add(struct vbus_memholder *h)
{
	LIST_INSERT_HEAD(&holders, h, next);
}

void
vbus_memholder_del(struct vbus_memholder *h)
{
	LIST_REMOVE(h, next);
}

bool
vbus_memholder_any(const void *va, uint64_t len)
{
	const struct vbus_memholder *h;

	LIST_FOREACH(h, &holders, next)
	{
		if (h->holds(h, (uintptr_t)va, len))
			return true;
	}
	return false;
}
