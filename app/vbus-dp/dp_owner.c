/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * Addresses that belong to a port of a switch (ADR-0011): those of the devices themselves. Another
 * port may send with one as its source, but is not believed: else one frame of a hostile guest
 * would take its neighbour's frames away.
 *
 * A sorted array, published and replaced as the list of members is; lcores look into it only when
 * an address is new or has moved. Writers: control side.
 */

#include "dp_plane_internal.h"

#include <stdlib.h>
#include <string.h>

#include <rte_ether.h>
#include <rte_malloc.h>

struct dp_owner {
	uint64_t key;
	uint32_t port; /**< its id; 0: it has left, and there was no memory for a list without it */
};

struct dp_owner_list {
	struct dp_deferred deferred; /**< must be first */
	uint32_t nb;
	struct dp_owner
		owner[]; /**< by key; a key is there twice when two devices have one address */
};

static int
compare(const void *a, const void *b)
{
	const struct dp_owner *x = a, *y = b;

	return (x->key > y->key) - (x->key < y->key);
}

static void
list_free(struct dp_deferred *d)
{
	rte_free(container_of(d, struct dp_owner_list, deferred));
}

/** Publish a copy without the port's entry, and with @p add (NULL: none). @return 0, -ENOMEM */
static int
edit(struct dp_switch *sw, uint32_t port, const struct dp_owner *add)
{
	struct dp_owner_list *old = atomic_load_explicit(&sw->owners, memory_order_relaxed), *list;
	uint32_t nb = old != NULL ? old->nb : 0;
	uint32_t i;

	list = rte_malloc("dp_owners", sizeof(*list) + (nb + 1) * sizeof(list->owner[0]), 0);
	if (list == NULL)
		return -ENOMEM;
	list->nb = 0;
	for (i = 0; i < nb; i++)
		if (old->owner[i].port != port && old->owner[i].port != 0)
			list->owner[list->nb++] = old->owner[i];
	if (add != NULL)
		list->owner[list->nb++] = *add;
	qsort(list->owner, list->nb, sizeof(list->owner[0]), compare);
	/* Release: pairs with the acquire in dp_owner_allows(). */
	atomic_store_explicit(&sw->owners, list, memory_order_release);
	if (old != NULL)
		dp_plane_defer(&old->deferred, list_free);
	return 0;
}

int
dp_owner_join(struct dp_switch *sw, const struct dp_port *port)
{
	struct dp_owner own = {.port = port->id};
	struct rte_ether_addr mac;

	if (port->venet == NULL)
		return 0;
	vbus_venet_mac(port->venet, &mac);
	memcpy(&own.key, mac.addr_bytes, sizeof(mac.addr_bytes));
	if (edit(sw, port->id, &own) != 0)
		return -ENOMEM;
	/* Who took it while nobody had it. */
	dp_fdb_take(sw, own.key, port->id);
	return 0;
}

void
dp_owner_leave(struct dp_switch *sw, const struct dp_port *port)
{
	struct dp_owner_list *list;
	uint32_t i;

	if (port->venet == NULL || edit(sw, port->id, NULL) == 0)
		return;
	list = atomic_load_explicit(&sw->owners, memory_order_relaxed);
	for (i = 0; i < list->nb; i++)
		if (list->owner[i].port == port->id)
			__atomic_store_n(&list->owner[i].port, 0, __ATOMIC_RELAXED);
}

bool
dp_owner_allows(const struct dp_switch *sw, uint64_t key, uint32_t port)
{
	/* Acquire: pairs with the release in edit(). */
	const struct dp_owner_list *list = atomic_load_explicit(&sw->owners, memory_order_acquire);
	const struct dp_owner want = {.key = key}, *o, *end;
	bool owned = false;

	if (list == NULL)
		return true;
	o = bsearch(&want, list->owner, list->nb, sizeof(*o), compare);
	if (o == NULL)
		return true;
	while (o > list->owner && o[-1].key == key)
		o--;
	for (end = list->owner + list->nb; o < end && o->key == key; o++) {
		uint32_t owner = __atomic_load_n(&o->port, __ATOMIC_RELAXED);

		if (owner == port)
			return true;
		owned |= owner != 0;
	}
	return !owned;
}

void
dp_owner_free(struct dp_switch *sw)
{
	rte_free(atomic_load_explicit(&sw->owners, memory_order_relaxed));
}
