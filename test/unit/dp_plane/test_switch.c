/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/* The switch as its ports see it, and its table. */

#include "dp_rig.h"

#include <stdio.h>
#include <string.h>

#include "../core/cu_run.h"

static char err[DP_ERR_SIZE];

static struct dp_switch *
make_switch(const char *name, uint32_t ageing, uint32_t size)
{
	struct dp_switch *sw = dp_switch_create(name, ageing, size, err, sizeof(err));

	if (sw == NULL)
		printf("%s\n", err);
	CU_ASSERT_PTR_NOT_NULL_FATAL(sw);
	return sw;
}

struct fdb_look {
	uint32_t station;
	char port[DP_NAME_SIZE];
	uint32_t nb;
};

static void
fdb_one(const struct dp_fdb_entry *e, void *arg)
{
	struct fdb_look *l = arg;
	uint8_t mac[6];

	dpr_mac(mac, l->station);
	l->nb++;
	if (memcmp(mac, &e->addr, 6) == 0)
		snprintf(l->port, sizeof(l->port), "%s", e->port);
}

/** Is the station known at that port (NULL: nowhere)? */
static bool
known(struct dp_switch *sw, uint32_t station, const char *port)
{
	struct fdb_look l = {.station = station};
	uint32_t nb = dp_switch_fdb(sw, fdb_one, &l);

	CU_ASSERT_EQUAL(nb, l.nb);
	return strcmp(l.port, port != NULL ? port : "") == 0;
}

static void
test_learn_and_flood(void)
{
	struct dp_switch *sw = make_switch("br0", 300, 1024);
	struct dpr_north *a = dpr_port("a", sw);
	struct dpr_north *b = dpr_port("b", sw);
	struct dpr_north *c = dpr_port("c", sw);
	struct dp_switch_stats st;
	struct dp_port_stats ps;

	/* Unknown: to all but the sender. */
	dpr_say(a, 2, 1, 100);
	dpr_hears(b, 2, 1, 100);
	dpr_hears(c, 2, 1, 100);
	CU_ASSERT(DPR_UNTIL(known(sw, 1, "a")));
	/* The answer goes to one. */
	dpr_say(b, 1, 2, 101);
	dpr_hears(a, 1, 2, 101);
	CU_ASSERT(DPR_UNTIL(known(sw, 2, "b")));
	dpr_say(a, 2, 1, 102);
	dpr_hears(b, 2, 1, 102);
	/* Broadcast and group always to all; c's next frame is this one, not 101 or 102. */
	dpr_say(b, 0, 2, 103);
	dpr_hears(a, 0, 2, 103);
	dpr_hears(c, 0, 2, 103);
	dpr_silent(b);
	/* A destination behind its own port goes nowhere. */
	dpr_say(a, 3, 3, 104);
	dpr_hears(b, 3, 3, 104);
	dpr_hears(c, 3, 3, 104);
	CU_ASSERT(DPR_UNTIL(known(sw, 3, "a")));
	dpr_say(a, 3, 1, 105);
	dpr_say(a, 2, 1, 106);
	dpr_hears(b, 2, 1, 106);
	dpr_silent(a);
	dpr_silent(c);
	dp_port_stats(a->port, &ps);
	CU_ASSERT_EQUAL(ps.drop_same_port, 1);
	CU_ASSERT_EQUAL(ps.flooded, 2);
	CU_ASSERT_EQUAL(ps.rx_packets, 5);
	CU_ASSERT_EQUAL(ps.rx_bytes, 300);
	CU_ASSERT_EQUAL(ps.tx_packets, 2);
	dp_switch_stats(sw, &st);
	CU_ASSERT_EQUAL(st.learned, 3);
	CU_ASSERT_EQUAL(st.addresses, 3);
	CU_ASSERT_EQUAL(st.moved, 0);
	CU_ASSERT_EQUAL(dp_switch_delete(sw), -EBUSY);
	dpr_close(a);
	CU_ASSERT(known(sw, 1, NULL));
	CU_ASSERT(known(sw, 2, "b"));
	dp_switch_stats(sw, &st);
	CU_ASSERT_EQUAL(st.addresses, 1);
	dpr_close(b);
	dpr_close(c);
	CU_ASSERT_EQUAL(dp_switch_delete(sw), 0);
}

static void
test_move(void)
{
	struct dp_switch *sw = make_switch("br0", 300, 1024);
	struct dpr_north *a = dpr_port("a", sw);
	struct dpr_north *b = dpr_port("b", sw);
	struct dpr_north *c = dpr_port("c", sw);
	struct dp_switch_stats st;

	dpr_say(a, 0, 1, 1);
	dpr_hears(c, 0, 1, 1);
	dpr_hears(b, 0, 1, 1);
	CU_ASSERT(DPR_UNTIL(known(sw, 1, "a")));
	/* The station appears behind b. */
	dpr_say(b, 0, 1, 2);
	dpr_hears(a, 0, 1, 2);
	dpr_hears(c, 0, 1, 2);
	CU_ASSERT(DPR_UNTIL(known(sw, 1, "b")));
	dpr_say(c, 1, 9, 3);
	dpr_hears(b, 1, 9, 3);
	dpr_silent(a);
	dp_switch_stats(sw, &st);
	CU_ASSERT_EQUAL(st.moved, 1);
	CU_ASSERT_EQUAL(st.addresses, 2);
	dpr_close(a);
	dpr_close(b);
	dpr_close(c);
	CU_ASSERT_EQUAL(dp_switch_delete(sw), 0);
}

/* The address of its device. */
static void
own_mac(struct dpr_north *n, uint8_t *to)
{
	struct rte_ether_addr mac;

	vbus_venet_mac(vbus_venet_of(&n->dev), &mac);
	memcpy(to, mac.addr_bytes, sizeof(mac.addr_bytes));
}

/* A broadcast in the name of a device, which may be another one's. */
static void
say_as(struct dpr_north *n, struct dpr_north *as, uint32_t id)
{
	uint8_t frame[64];

	dpr_eth(frame, 0, 1, sizeof(frame), id);
	own_mac(as, frame + RTE_ETHER_ADDR_LEN);
	CU_ASSERT(dpr_send(n, frame, sizeof(frame), NULL));
}

static void
tell(struct dpr_north *n, struct dpr_north *whom, uint32_t id)
{
	uint8_t frame[64];

	dpr_eth(frame, 0, 9, sizeof(frame), id);
	own_mac(whom, frame);
	CU_ASSERT(dpr_send(n, frame, sizeof(frame), NULL));
}

/* The next frame, whoever sent it to whom, is of that length. */
static bool
gets(struct dpr_north *n)
{
	static struct dpr_frame f;

	return dpr_recv(n, &f) && f.len == 64;
}

static void
test_owner(void)
{
	struct dp_switch *sw = make_switch("br0", 300, 1024);
	struct dpr_north *a = dpr_port("a", sw);
	struct dpr_north *b = dpr_port("b", sw);
	struct dpr_north *c = dpr_port("c", sw);
	struct dp_switch_stats st;

	/* Before it was ever heard, and after. */
	for (int heard = 0; heard < 2; heard++) {
		say_as(b, a, 1);
		CU_ASSERT(gets(a) && gets(c)); /* it arrives, and is not believed */
		dp_switch_stats(sw, &st);
		CU_ASSERT_EQUAL(st.refused, 1u + (unsigned int)heard);
		CU_ASSERT_EQUAL(st.moved, 0);
		if (!heard) {
			say_as(a, a, 2);
			CU_ASSERT(gets(b) && gets(c));
			dpr_through(a);
		}
	}
	tell(c, a, 3);
	CU_ASSERT(gets(a));
	dpr_silent(b);
	/* Its port is gone: whoever has it may. Its port is back: it is there, before it says so. */
	CU_ASSERT_EQUAL(dp_port_set_switch(a->port, NULL), 0);
	say_as(b, a, 4);
	CU_ASSERT(gets(c));
	dpr_through(b);
	CU_ASSERT_EQUAL(dp_port_set_switch(a->port, sw), 0);
	tell(c, a, 5);
	CU_ASSERT(gets(a));
	dpr_silent(b);
	dp_switch_stats(sw, &st);
	CU_ASSERT_EQUAL(st.refused, 2);
	dpr_close(a);
	dpr_close(b);
	dpr_close(c);
	CU_ASSERT_EQUAL(dp_switch_delete(sw), 0);
}

static void
test_ageing(void)
{
	struct dp_switch *sw = make_switch("br0", 1, 1024);
	struct dpr_north *a = dpr_port("a", sw);
	struct dpr_north *b = dpr_port("b", sw);
	struct dp_switch_stats st;
	uint64_t until = dpr_now_us() + 3500000;
	uint32_t i;

	dpr_say(b, 0, 2, 0);
	dpr_hears(a, 0, 2, 0);
	CU_ASSERT(DPR_UNTIL(known(sw, 2, "b")));
	/* Who speaks stays, who is silent goes. */
	for (i = 1; dpr_now_us() < until; i++) {
		dpr_say(a, 2, 1, i);
		dpr_hears(b, 2, 1, i);
		usleep(100000);
	}
	CU_ASSERT(known(sw, 1, "a"));
	CU_ASSERT(known(sw, 2, NULL));
	dp_switch_stats(sw, &st);
	CU_ASSERT_EQUAL(st.aged, 1);
	CU_ASSERT_EQUAL(st.addresses, 1);
	/* And is learned again, in a place that may have been its own. */
	dpr_say(b, 1, 2, 1000);
	dpr_hears(a, 1, 2, 1000);
	CU_ASSERT(DPR_UNTIL(known(sw, 2, "b")));
	dpr_close(a);
	dpr_close(b);
	CU_ASSERT_EQUAL(dp_switch_delete(sw), 0);
}

static void
test_isolation(void)
{
	struct dp_switch *sw[2] = {make_switch("br0", 300, 64), make_switch("br1", 300, 64)};
	struct dpr_north *a = dpr_port("a", sw[0]);
	struct dpr_north *b = dpr_port("b", sw[0]);
	struct dpr_north *c = dpr_port("c", sw[1]);
	struct dpr_north *d = dpr_port("d", sw[1]);
	struct dpr_north *e = dpr_port("e", NULL);
	struct dp_port_stats ps;

	dpr_say(a, 0, 1, 1);
	dpr_hears(b, 0, 1, 1);
	dpr_say(c, 1, 3, 2); /* br1 does not know it */
	dpr_hears(d, 1, 3, 2);
	dpr_say(e, 0, 5, 3);
	dpr_through(e);
	dpr_silent(a);
	dpr_silent(b);
	dpr_silent(c);
	/* b moves over, and takes nothing with it. */
	dpr_say(b, 1, 2, 4);
	dpr_hears(a, 1, 2, 4);
	CU_ASSERT(DPR_UNTIL(known(sw[0], 2, "b")));
	CU_ASSERT_EQUAL(dp_port_set_switch(b->port, sw[1]), 0);
	CU_ASSERT(known(sw[0], 2, NULL));
	dpr_say(a, 2, 1, 5);
	dpr_through(a);
	dpr_say(d, 2, 4, 6);
	dpr_hears(b, 2, 4, 6);
	dpr_hears(c, 2, 4, 6);
	dpr_silent(b);
	dp_port_stats(e->port, &ps);
	CU_ASSERT_EQUAL(ps.drop_no_switch, 1);
	CU_ASSERT_EQUAL(ps.tx_packets, 0);
	dpr_close(a);
	dpr_close(b);
	dpr_close(c);
	dpr_close(d);
	dpr_close(e);
	CU_ASSERT_EQUAL(dp_switch_delete(sw[0]), 0);
	CU_ASSERT_EQUAL(dp_switch_delete(sw[1]), 0);
}

static void
test_mtu(void)
{
	struct dp_switch *sw = make_switch("br0", 300, 64);
	struct dpr_north *a = dpr_port("a", sw);
	struct dpr_north *b = dpr_port("b", sw);
	struct dpr_north *j = dpr_open("jumbo", 9000, false, false);
	static struct dpr_frame f;
	static uint8_t p[9018];
	struct dp_port_stats ps;
	uint32_t len;

	j->port = dp_port_add_venet(&j->dev, sw, err, sizeof(err));
	CU_ASSERT_PTR_NOT_NULL_FATAL(j->port);
	/* 9000 bytes of payload: over several mbufs, for who can take them. */
	len = dpr_eth(p, 0, 1, 9014, 1);
	CU_ASSERT(dpr_send(a, p, len, NULL));
	CU_ASSERT_TRUE_FATAL(dpr_recv(j, &f));
	CU_ASSERT_EQUAL(f.len, len);
	CU_ASSERT_EQUAL(memcmp(f.data, p, len), 0);
	/* 1518 fits (a tag, or who counts so), with two tags 1522 does; one more does not. */
	len = dpr_eth(p, 0, 1, 1519, 2);
	CU_ASSERT(dpr_send(j, p, len, NULL));
	len = dpr_eth(p, 0, 1, 1523, 3);
	memcpy(p + 12, "\x88\xa8\0\1\x81\0\0\2", 8);
	CU_ASSERT(dpr_send(j, p, len, NULL));
	len--;
	CU_ASSERT(dpr_send(j, p, len, NULL));
	CU_ASSERT_TRUE_FATAL(dpr_recv(b, &f));
	CU_ASSERT_EQUAL(f.len, 1522);
	CU_ASSERT_EQUAL(memcmp(f.data, p, len), 0);
	len = dpr_eth(p, 0, 1, 1518, 4);
	CU_ASSERT(dpr_send(j, p, len, NULL));
	CU_ASSERT_TRUE_FATAL(dpr_recv(b, &f));
	CU_ASSERT_EQUAL(f.len, 1518);
	dp_port_stats(b->port, &ps);
	CU_ASSERT_EQUAL(ps.drop_mtu, 3); /* the 9014 too */
	dpr_close(a);
	dpr_close(b);
	dpr_close(j);
	CU_ASSERT_EQUAL(dp_switch_delete(sw), 0);
}

static void
test_patch(void)
{
	struct dp_switch *sw = make_switch("br0", 300, 64);
	struct dpr_north *a = dpr_port("a", sw);
	struct dpr_north *b = dpr_port("b", sw);
	struct dpr_north *c = dpr_port("c", sw);
	uint32_t i;

	dpr_say(a, 0, 1, 1);
	dpr_hears(b, 0, 1, 1);
	dpr_hears(c, 0, 1, 1);
	CU_ASSERT_EQUAL(dp_port_patch(a->port, a->port), -EINVAL);
	CU_ASSERT_EQUAL(dp_port_patch(a->port, b->port), 0);
	for (i = 0; i < 200; i++) {
		/* Whatever the addresses say. */
		dpr_say(a, i % 3, i, i);
		dpr_hears(b, i % 3, i, i);
		dpr_say(b, 1, i, i);
		dpr_hears(a, 1, i, i);
	}
	dpr_silent(c);
	dpr_say(c, 0, 3, 3);
	dpr_through(c);
	/* Undone: they lead nowhere, until they join again. */
	CU_ASSERT_EQUAL(dp_port_patch(b->port, NULL), 0);
	dpr_say(a, 0, 1, 4);
	dpr_through(a);
	CU_ASSERT_EQUAL(dp_port_set_switch(a->port, sw), 0);
	dpr_say(c, 0, 3, 5);
	dpr_hears(a, 0, 3, 5);
	dpr_silent(b);
	/* The end of a patch that goes leaves the other alone. */
	CU_ASSERT_EQUAL(dp_port_patch(b->port, c->port), 0);
	dpr_say(c, 0, 3, 6);
	dpr_hears(b, 0, 3, 6);
	dpr_close(b);
	dpr_say(c, 0, 3, 7);
	dpr_through(c);
	CU_ASSERT_EQUAL(dp_port_set_switch(c->port, sw), 0);
	dpr_say(a, 0, 1, 8);
	dpr_hears(c, 0, 1, 8);
	dpr_close(a);
	dpr_close(c);
	CU_ASSERT_EQUAL(dp_switch_delete(sw), 0);
}

/** Learn @p nb stations from @p base on at @p port, straight into the table. */
static void
learn(struct dp_switch *sw, const struct dp_port *port, uint32_t base, uint32_t nb)
{
	struct rte_mbuf *pkts[DP_BURST];
	struct dp_fdb_batch b;
	uint32_t i, j, n;

	CU_ASSERT_EQUAL_FATAL(rte_pktmbuf_alloc_bulk(dp_plane_pool(-1), pkts, DP_BURST), 0);
	for (i = 0; i < nb; i += n) {
		n = RTE_MIN(nb - i, 16u); /* what one burst may learn */
		for (j = 0; j < n; j++)
			dpr_eth(rte_pktmbuf_mtod(pkts[j], uint8_t *), base + i + j, base + i + j,
				60, 0);
		dp_fdb_lookup(sw, &b, pkts, (uint16_t)n);
		dp_fdb_learn(dp_plane.lcores[0], sw, &b, port, (uint16_t)n);
	}
	rte_pktmbuf_free_bulk(pkts, DP_BURST);
}

static void
test_table(void)
{
	struct dp_switch *sw = make_switch("br0", 300, 65536);
	struct dpr_north *a = dpr_port("a", NULL);
	struct dpr_north *b = dpr_port("b", NULL);
	struct dp_switch_stats st;
	uint32_t round;

	CU_ASSERT_EQUAL(dp_port_set_switch(a->port, sw), 0);
	CU_ASSERT_EQUAL(dp_port_set_switch(b->port, sw), 0);
	/* All 65,536, again and again: removed places come back. */
	for (round = 0; round < 3; round++) {
		learn(sw, a->port, 1000, 40000);
		learn(sw, b->port, 41000, 25536);
		dp_switch_stats(sw, &st);
		CU_ASSERT_EQUAL(st.addresses, 65536);
		CU_ASSERT_EQUAL(st.table_full, round);
		CU_ASSERT(known(sw, 1000, "a"));
		CU_ASSERT(known(sw, 66535, "b"));
		learn(sw, b->port, 100000, 1);
		dp_switch_stats(sw, &st);
		CU_ASSERT_EQUAL(st.table_full, round + 1);
		CU_ASSERT(known(sw, 100000, NULL));
		CU_ASSERT_EQUAL(dp_port_set_switch(a->port, NULL), 0);
		dp_switch_stats(sw, &st);
		CU_ASSERT_EQUAL(st.addresses, 25536);
		CU_ASSERT_EQUAL(dp_port_set_switch(a->port, sw), 0);
	}
	dpr_close(a);
	dpr_close(b);
	CU_ASSERT_EQUAL(dp_switch_delete(sw), 0);
	CU_ASSERT_PTR_NULL(dp_switch_create("x", 300, 0, err, sizeof(err)));
	CU_ASSERT_PTR_NULL(dp_switch_create("x", 0, 64, err, sizeof(err)));
}

static int
start(void)
{
	if (dp_plane_start(DP_MODE_ADAPTIVE, 200, err, sizeof(err)) == 0)
		return 0;
	printf("%s\n", err);
	return 1;
}

int
main(int argc, char **argv)
{
	static const struct cu_test tests[] = {
		{"learning and flooding", test_learn_and_flood},
		{"an address that moves", test_move},
		{"an address that is a device's", test_owner},
		{"ageing", test_ageing},
		{"two switches", test_isolation},
		{"ports of different MTU", test_mtu},
		{"patch", test_patch},
		{"a full table", test_table},
		{NULL, NULL},
	};
	int ret;

	(void)argc;
	ret = dpr_eal(argv[0]);
	return ret != 0 ? ret : cu_run("vbus-dp switch", tests, start, dpr_stop);
}
