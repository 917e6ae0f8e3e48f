/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

#include "ivset.h"

#include <stddef.h>

/* xorshift: the levels only have to be independent of what a peer chooses. */
static unsigned int
random_level(struct vbus_ivset *s)
{
	unsigned int level = 1;
	uint64_t r;

	if (s->rnd == 0)
		s->rnd = (uint64_t)(uintptr_t)s | 1;
	s->rnd ^= s->rnd << 13;
	s->rnd ^= s->rnd >> 7;
	s->rnd ^= s->rnd << 17;
	for (r = s->rnd >> 16; level < VBUS_IV_LEVELS && (r & 3) == 0; r >>= 2)
		level++;
	return level;
}

/* For each level: the link behind the last interval that ends before x. */
static void
find_links(struct vbus_ivset *s, uint64_t x, struct vbus_iv ***links)
{
	struct vbus_iv **at = s->heads;

	for (int l = VBUS_IV_LEVELS - 1; l >= 0; l--) {
		while (at[l] != NULL && at[l]->last < x)
			at = at[l]->next;
		links[l] = &at[l];
	}
}

struct vbus_iv *
vbus_ivset_from(const struct vbus_ivset *s, uint64_t x)
{
	struct vbus_iv *const *at = s->heads;

	for (int l = VBUS_IV_LEVELS - 1; l >= 0; l--) {
		while (at[l] != NULL && at[l]->last < x)
			at = at[l]->next;
	}
	return at[0];
}

int
vbus_ivset_is_free(const struct vbus_ivset *s, uint64_t first, uint64_t last)
{
	const struct vbus_iv *iv = vbus_ivset_from(s, first);

	return iv == NULL || iv->first > last;
}

void
vbus_ivset_insert(struct vbus_ivset *s, struct vbus_iv *iv)
{
	struct vbus_iv **links[VBUS_IV_LEVELS];
	unsigned int level = random_level(s);

	find_links(s, iv->first, links);
	for (unsigned int l = 0; l < VBUS_IV_LEVELS; l++) {
		iv->next[l] = NULL;
		if (l < level) {
			iv->next[l] = *links[l];
			*links[l] = iv;
		}
	}
	s->nb++;
}

void
vbus_ivset_remove(struct vbus_ivset *s, struct vbus_iv *iv)
{
	struct vbus_iv **links[VBUS_IV_LEVELS];

	find_links(s, iv->first, links);
	for (unsigned int l = 0; l < VBUS_IV_LEVELS; l++) {
		if (*links[l] == iv)
			*links[l] = iv->next[l];
	}
	s->nb--;
}
