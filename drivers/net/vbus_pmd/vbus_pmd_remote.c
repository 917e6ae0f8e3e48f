/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * Statistics of a port that only the primary process can read (the south end's are libvbus's own), for
 * secondary processes that look at it: dpdk-proc-info. The secondary asks, the primary's operations
 * answer, message by message.
 *
 * Threads: secondary: application threads in ethdev operations. Primary: EAL's multi-process thread.
 * Nothing is kept between two messages; a table that changes meanwhile ends the reading.
 */
#include "vbus_pmd_common.h"

#include "vbus_mp.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_eal.h>
#include <rte_errno.h>

#define MP_NAME	       "vbus_pmd"
#define ANSWER_VALUES  28u
#define ANSWER_NAMES   3u
#define XSTATS_AT_MOST 8192u

enum what {
	WHAT_BASIC,
	WHAT_XSTATS,
	WHAT_NAMES,
	WHAT_RESET,
};

struct ask {
	uint16_t port_id;
	uint16_t what; /* enum what */
	uint32_t first;
};

struct answer {
	int32_t ret;	/* 0, or a negative errno */
	uint32_t total; /* XSTATS, NAMES: how many there are */
	union {
		uint64_t value[ANSWER_VALUES];
		char name[ANSWER_NAMES][RTE_ETH_XSTATS_NAME_SIZE];
	};
};

_Static_assert(sizeof(struct answer) <= RTE_MP_MAX_PARAM_LEN, "an answer is one message");

/* ---- primary ------------------------------------------------------------------------------------- */

static void
answer_basic(struct rte_eth_dev *dev, struct answer *a)
{
	struct rte_eth_stats s;

	memset(&s, 0, sizeof(s));
	a->ret = rte_eth_stats_get(dev->data->port_id, &s);
	a->value[0] = s.ipackets;
	a->value[1] = s.opackets;
	a->value[2] = s.ibytes;
	a->value[3] = s.obytes;
	a->value[4] = s.ierrors;
	a->value[5] = s.oerrors;
	a->value[6] = s.rx_nombuf;
}

static void
answer_xstats(struct rte_eth_dev *dev, uint32_t first, struct answer *a)
{
	struct rte_eth_xstat *x;
	int n = dev->dev_ops->xstats_get(dev, NULL, 0);

	a->ret = n < 0 ? n : 0;
	if (n <= 0)
		return;
	x = calloc((size_t)n, sizeof(*x));
	if (x == NULL || dev->dev_ops->xstats_get(dev, x, (unsigned int)n) != n) {
		a->ret = -EAGAIN;
	} else {
		a->total = (uint32_t)n;
		for (uint32_t i = 0; i < ANSWER_VALUES && first + i < a->total; i++)
			a->value[i] = x[first + i].value;
	}
	free(x);
}

static void
answer_names(struct rte_eth_dev *dev, uint32_t first, struct answer *a)
{
	struct rte_eth_xstat_name *x;
	int n = dev->dev_ops->xstats_get_names(dev, NULL, 0);

	a->ret = n < 0 ? n : 0;
	if (n <= 0)
		return;
	x = calloc((size_t)n, sizeof(*x));
	if (x == NULL || dev->dev_ops->xstats_get_names(dev, x, (unsigned int)n) != n) {
		a->ret = -EAGAIN;
	} else {
		a->total = (uint32_t)n;
		for (uint32_t i = 0; i < ANSWER_NAMES && first + i < a->total; i++)
			memcpy(a->name[i], x[first + i].name, sizeof(a->name[i]));
	}
	free(x);
}

/* A port of this driver, or NULL. */
static struct rte_eth_dev *
our_port(uint16_t port_id)
{
	struct rte_eth_dev *dev;

	if (!rte_eth_dev_is_valid_port(port_id))
		return NULL;
	dev = &rte_eth_devices[port_id];
	if (dev->device == NULL || dev->device->driver == NULL ||
		dev->device->driver->name == NULL || dev->dev_ops == NULL ||
		strcmp(dev->device->driver->name, "net_vbus") != 0)
		return NULL;
	return dev;
}

static int
on_ask(const struct rte_mp_msg *msg, const void *peer)
{
	struct rte_mp_msg reply = {.len_param = sizeof(struct answer)};
	struct answer a = {.ret = -EINVAL};
	struct rte_eth_dev *dev;
	struct ask ask;

	if (msg->len_param == sizeof(ask)) {
		memcpy(&ask, msg->param, sizeof(ask));
		dev = our_port(ask.port_id);
		if (dev == NULL)
			a.ret = -ENODEV;
		else if (ask.what == WHAT_BASIC)
			answer_basic(dev, &a);
		else if (ask.what == WHAT_XSTATS)
			answer_xstats(dev, ask.first, &a);
		else if (ask.what == WHAT_NAMES)
			answer_names(dev, ask.first, &a);
		else if (ask.what == WHAT_RESET)
			a.ret = dev->dev_ops->stats_reset(dev);
	}
	snprintf(reply.name, sizeof(reply.name), MP_NAME);
	memcpy(reply.param, &a, sizeof(a));
	return rte_mp_reply(&reply, peer);
}

void
vbus_pmd_remote_serve(const char *name)
{
	/* EEXIST: another port did; ENOTSUP: nobody can be secondary to this process. */
	if (rte_mp_action_register(MP_NAME, on_ask) != 0 && rte_errno != ENOTSUP &&
		rte_errno != EEXIST)
		PMD_LOG(NOTICE, name, "secondary processes will see no statistics: %s",
			rte_strerror(rte_errno));
}

/* ---- secondary ----------------------------------------------------------------------------------- */

static int
ask_primary(const struct rte_eth_dev *dev, enum what what, uint32_t first, struct answer *a)
{
	const struct ask ask = {
		.port_id = dev->data->port_id, .what = (uint16_t)what, .first = first};
	int ret = vbus_mp_ask(MP_NAME, &ask, sizeof(ask), a, sizeof(*a));

	return ret != 0 ? ret : a->ret;
}

int
vbus_pmd_remote_stats_get(struct rte_eth_dev *dev, VBUS_STATS_GET_ARGS)
{
	struct answer a;
	int ret = ask_primary(dev, WHAT_BASIC, 0, &a);

	(void)VBUS_QSTATS; /* per queue: the extended ones */
	if (ret != 0)
		return ret;
	stats->ipackets = a.value[0];
	stats->opackets = a.value[1];
	stats->ibytes = a.value[2];
	stats->obytes = a.value[3];
	stats->ierrors = a.value[4];
	stats->oerrors = a.value[5];
	stats->rx_nombuf = a.value[6];
	return 0;
}

int
vbus_pmd_remote_stats_reset(struct rte_eth_dev *dev)
{
	struct answer a;

	return ask_primary(dev, WHAT_RESET, 0, &a);
}

int
vbus_pmd_remote_xstats_get(struct rte_eth_dev *dev, struct rte_eth_xstat *xstats, unsigned int size)
{
	struct answer a;
	uint32_t total = 0, at = 0;

	do {
		int ret = ask_primary(dev, WHAT_XSTATS, at, &a);

		if (ret != 0)
			return ret;
		if (at == 0)
			total = a.total;
		if (a.total != total || total > XSTATS_AT_MOST)
			return -EAGAIN;
		if (xstats == NULL || size < total)
			return (int)total;
		for (uint32_t i = 0; i < ANSWER_VALUES && at < total; i++, at++)
			xstats[at] = (struct rte_eth_xstat){.id = at, .value = a.value[i]};
	} while (at < total);
	return (int)total;
}

int
vbus_pmd_remote_xstats_names(
	struct rte_eth_dev *dev, struct rte_eth_xstat_name *names, unsigned int size)
{
	struct answer a;
	uint32_t total = 0, at = 0;

	do {
		int ret = ask_primary(dev, WHAT_NAMES, at, &a);

		if (ret != 0)
			return ret;
		if (at == 0)
			total = a.total;
		if (a.total != total || total > XSTATS_AT_MOST)
			return -EAGAIN;
		if (names == NULL || size < total)
			return (int)total;
		for (uint32_t i = 0; i < ANSWER_NAMES && at < total; i++, at++)
			snprintf(names[at].name, sizeof(names->name), "%s", a.name[i]);
	} while (at < total);
	return (int)total;
}
