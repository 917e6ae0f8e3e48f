/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */
#ifndef VBUS_IVSET_H
#define VBUS_IVSET_H

/**
 * @file
 * A sorted set of disjoint intervals: a skip list, O(log n) in any order of insertion. Tens of
 * thousands of regions come one by one from a guest's IOMMU, and a sorted array would be moved for
 * each. The caller embeds the nodes and owns the lock.
 */

#include <stdint.h>

#define VBUS_IV_LEVELS 9 /**< one node in four is promoted: 4^9 nodes, 262,144 */

/** An interval, both ends inclusive (so that one may end at 2^64 - 1). Embed it. */
struct vbus_iv {
	uint64_t first;
	uint64_t last; /**< >= first; may be changed while no other interval comes into the way */
	struct vbus_iv *next[VBUS_IV_LEVELS];
};

/** Zero-initialised is empty. */
struct vbus_ivset {
	struct vbus_iv *heads[VBUS_IV_LEVELS];
	uint64_t rnd;
	uint32_t nb;
};

/** The first interval that ends at or behind @p x. NULL: none. */
struct vbus_iv *vbus_ivset_from(const struct vbus_ivset *s, uint64_t x);
/** Does [first, last] touch no interval? */
int vbus_ivset_is_free(const struct vbus_ivset *s, uint64_t first, uint64_t last);
/** Put in an interval that overlaps none (the caller looked). */
void vbus_ivset_insert(struct vbus_ivset *s, struct vbus_iv *iv);
/** Take out an interval that is in. */
void vbus_ivset_remove(struct vbus_ivset *s, struct vbus_iv *iv);

/** The lowest interval; walk on with iv->next[0]. */
static inline struct vbus_iv *
vbus_ivset_first(const struct vbus_ivset *s)
{
	return s->heads[0];
}

#endif /* VBUS_IVSET_H */
