/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/* Functions, link state, events, quiesce, sleeping receivers and the slow look. */

#include "rig.h"

#include <errno.h>
#include <string.h>

#include <rte_telemetry.h>

#include "../core/cu_run.h"
#include "vbus_ctl.h"

#define SG_ALL (VENET_CAP_SG | VENET_CAP_TSO4 | VENET_CAP_TSO6 | VENET_CAP_ECN | VENET_CAP_PMTD)

static struct rig r;
static struct rig_frame frame;
static uint8_t in[2000], ev[VENET_EVENT_SIZE_MAX];

static int
call(uint32_t func)
{
	return rig_call(&r, func, NULL, 0);
}

/** The next event is a LINKSTATE; its state, or -1: none. */
static int
linkstate(void)
{
	struct venet_event_linkstate e;

	if (!rig_event(&r, ev))
		return -1;
	memcpy(&e, ev, sizeof(e));
	CU_ASSERT_EQUAL(e.header.id, VENET_EVENT_LINKSTATE);
	CU_ASSERT_EQUAL(e.header.size, 16);
	CU_ASSERT_EQUAL(e.header.flags, 0);
	return e.state;
}

static bool
send_one(uint32_t seed)
{
	rig_fill(in, 100, seed);
	return rig_send(&r, in, 100, 1, NULL);
}

static void
test_negcap(void)
{
	struct venet_capabilities c = {0};

	rig_open(&r, 0, 0, 0);
	CU_ASSERT_EQUAL(rig_negcap(&r, 0, 0x2f), 0x2f);
	CU_ASSERT_EQUAL(rig_negcap(&r, 0, 0xffffffff), 0x2f); /* no UFO */
	CU_ASSERT_EQUAL(rig_negcap(&r, 0, 0xfffffffe), 0);    /* nothing without bit 0 */
	CU_ASSERT_EQUAL(rig_negcap(&r, 0, 0), 0);
	CU_ASSERT_EQUAL(rig_negcap(&r, 1, 0x3), 0x1); /* no TXC */
	CU_ASSERT_EQUAL(rig_negcap(&r, 2, 0x2f), 0xf);
	CU_ASSERT_EQUAL(rig_negcap(&r, 2, 0xe), 0);
	CU_ASSERT_EQUAL(rig_negcap(&r, 3, 0xffffffff), 0);
	/* POLLRING, POLLPAIRS, PLACED; the others are kept */
	CU_ASSERT_EQUAL(rig_negcap(&r, 16, 0xffffffff), 0x13);
	CU_ASSERT_EQUAL(rig_negcap(&r, 16, 0x12), 0);
	CU_ASSERT_EQUAL(rig_negcap(&r, 16, 0), 0);
	CU_ASSERT_EQUAL(rig_negcap(&r, 17, 0xffffffff), 0);
	CU_ASSERT_EQUAL(rig_negcap(&r, 0xffffffff, 1), 0);
	CU_ASSERT_EQUAL(rig_call(&r, VENET_FUNC_NEGCAP, &c, 7), -EINVAL);
	rig_share(&r, 8, 1514);
	CU_ASSERT_EQUAL(call(VENET_FUNC_LINKUP), 0);
	CU_ASSERT_EQUAL(rig_call(&r, VENET_FUNC_NEGCAP, &c, 8), -EINVAL);
	CU_ASSERT_EQUAL(call(VENET_FUNC_LINKDOWN), 0);
	CU_ASSERT_EQUAL(rig_negcap(&r, 1, 0x3), 0x1);
	rig_close(&r);
}

static void
test_queries(void)
{
	struct venet_eventq_query q = {0};
	struct venet_l4ro_query l = {0};
	struct rte_ether_addr mac, got, set = {{2, 0, 0, 0, 0, 9}};

	rig_open(&r, 0, 0, 0);
	vbus_venet_mac(r.v, &mac);
	CU_ASSERT_TRUE(rte_is_local_admin_ether_addr(&mac));
	CU_ASSERT_TRUE(rte_is_unicast_ether_addr(&mac));
	CU_ASSERT_EQUAL(rig_call(&r, VENET_FUNC_MACQUERY, &got, 6), 0);
	CU_ASSERT_TRUE(rte_is_same_ether_addr(&mac, &got));
	CU_ASSERT_EQUAL(rig_call(&r, VENET_FUNC_MACQUERY, &got, 5), -EINVAL);
	CU_ASSERT_EQUAL(vbus_venet_set_mac(r.v, &set), 0);
	CU_ASSERT_EQUAL(rig_call(&r, VENET_FUNC_MACQUERY, &got, 6), 0);
	CU_ASSERT_TRUE(rte_is_same_ether_addr(&set, &got));
	set.addr_bytes[0] = 3;
	CU_ASSERT_EQUAL(vbus_venet_set_mac(r.v, &set), -EINVAL);
	CU_ASSERT_EQUAL(call(VENET_FUNC_PMTDQUERY), 2);
	CU_ASSERT_EQUAL(rig_call(&r, VENET_FUNC_EVQQUERY, &q, sizeof(q)), 0);
	CU_ASSERT_EQUAL(q.evsize, 24);
	CU_ASSERT_EQUAL(q.dpid, 3);
	CU_ASSERT_EQUAL(q.qid, 4);
	CU_ASSERT_EQUAL(rig_call(&r, VENET_FUNC_EVQQUERY, &q, 31), -EINVAL);
	CU_ASSERT_EQUAL(rig_call(&r, VENET_FUNC_L4ROQUERY, &l, sizeof(l)), 0);
	CU_ASSERT_EQUAL(l.dpid, 5);
	CU_ASSERT_EQUAL(l.pqid, 6);
	CU_ASSERT_EQUAL(call(8), -EINVAL);
	CU_ASSERT_EQUAL(call(0xffffffff), -EINVAL);
	rig_close(&r);
}

static void
test_create_open(void)
{
	struct vbus_venet_args args = {.mac = {{2, 1, 2, 3, 4, 5}}, .mtu = 9000};
	struct vbus_device dev = {.name = "x"};
	struct vbus_conn conn = {.dev = &dev};
	struct rte_ether_addr mac;

	rig_open(&r, 0, 0, 0);
	CU_ASSERT_EQUAL(r.cls->ops->open(&r.conn, 1), -EBUSY);
	dev.cls = r.cls;
	args.mtu = 67;
	CU_ASSERT_EQUAL(r.cls->ops->create(&dev, &args), -EINVAL);
	args.mtu = 9601;
	CU_ASSERT_EQUAL(r.cls->ops->create(&dev, &args), -EINVAL);
	args.mtu = 9600;
	args.nb_queues = VBUS_VENET_PAIRS_MAX + 1;
	CU_ASSERT_EQUAL(r.cls->ops->create(&dev, &args), -EINVAL);
	args.nb_queues = 1;
	CU_ASSERT_EQUAL(r.cls->ops->create(&dev, &args), 0);
	CU_ASSERT_EQUAL(vbus_venet_mtu(vbus_venet_of(&dev)), 9600);
	vbus_venet_mac(vbus_venet_of(&dev), &mac);
	CU_ASSERT_TRUE(rte_is_same_ether_addr(&mac, &args.mac));
	CU_ASSERT_EQUAL(r.cls->ops->open(&conn, 2), -EINVAL);
	CU_ASSERT_EQUAL(r.cls->ops->open(&conn, 0), -EINVAL);
	r.cls->ops->destroy(&dev);
	CU_ASSERT_STRING_EQUAL(r.cls->type, "virtual-ethernet");
	CU_ASSERT_PTR_NULL(vbus_venet_of(NULL));
	rig_close(&r);
}

/** What is no block of ours, no ring, or comes at the wrong time. */
static void
test_shm(void)
{
	struct vbus_ioq_cursor cursor = {0};
	struct vbus_shm shm = {.id = 0, .cursor = &cursor};
	struct vbus_ioq_north q;
	uint64_t cookies[8];
	uint8_t *mem;

	rig_open(&r, SG_ALL, 1, 0xf);
	CU_ASSERT_EQUAL(call(VENET_FUNC_LINKUP), -EINVAL);
	mem = rig_ptr(&r, rig_alloc(&r, 4096));
	shm.conn = &r.conn;
	shm.va = mem;
	shm.len = (uint32_t)IOQ_RING_SIZE(8);
	memset(mem, 0, 4096);
	CU_ASSERT_EQUAL(r.cls->ops->shm(&r.conn, &shm), -EINVAL);
	vbus_ioq_north_format(&q, mem, 8, cookies, 1);
	shm.id = 7;
	CU_ASSERT_EQUAL(r.cls->ops->shm(&r.conn, &shm), -EINVAL);
	shm.id = 0xffffffff;
	CU_ASSERT_EQUAL(r.cls->ops->shm(&r.conn, &shm), -EINVAL);
	shm.id = 0;
	shm.len--;
	CU_ASSERT_EQUAL(r.cls->ops->shm(&r.conn, &shm), -EINVAL);
	shm.len++;
	shm.has_signal = true;
	shm.signal_offset = 24; /* no signal there */
	CU_ASSERT_EQUAL(r.cls->ops->shm(&r.conn, &shm), -EINVAL);
	shm.signal_offset = 8;
	shm.va = NULL;
	CU_ASSERT_EQUAL(r.cls->ops->shm(&r.conn, &shm), -EINVAL);
	shm.va = mem;
	CU_ASSERT_EQUAL(r.cls->ops->shm(&r.conn, &shm), 0);
	CU_ASSERT_EQUAL(r.cls->ops->shm(&r.conn, &shm), -EEXIST);
	/* One ring does not make a link. */
	CU_ASSERT_EQUAL(call(VENET_FUNC_LINKUP), -EINVAL);
	rig_close(&r);

	rig_up(&r, 0, 0, 0, 8, 1514);
	shm.id = 2;
	CU_ASSERT_EQUAL(r.cls->ops->shm(&r.conn, &shm), -EBUSY);
	rig_close(&r);
}

/** Each capability's blocks have to be there. */
static void
test_blocks_missing(void)
{
	uint32_t sg, l4ro;

	for (sg = 0; sg <= 1; sg++)
		for (l4ro = 0; l4ro <= 1; l4ro++) {
			rig_open(&r, 0, 0, 0);
			rig_share(&r, 8, 1514);
			/* Negotiated after the blocks: they are missing. */
			r.sg = rig_negcap(&r, 0, sg ? SG_ALL : 0);
			r.l4ro = rig_negcap(&r, 2, l4ro ? 0xf : 0);
			CU_ASSERT_EQUAL(call(VENET_FUNC_LINKUP), sg || l4ro ? -EINVAL : 0);
			rig_close(&r);
		}
}

/** Sections 7.5 to 7.8. */
static void
test_linkstate(void)
{
	struct rte_mbuf *m;

	rig_open(&r, SG_ALL, 3, 0xf);
	rig_share(&r, 8, 1514);
	CU_ASSERT_EQUAL(linkstate(), -1); /* not before LINKUP */
	CU_ASSERT_EQUAL(call(VENET_FUNC_LINKDOWN), 0);
	CU_ASSERT_EQUAL(call(VENET_FUNC_FLUSHRX), 0);
	CU_ASSERT_EQUAL(linkstate(), -1);
	/* Nobody polls: no carrier. */
	CU_ASSERT_EQUAL(call(VENET_FUNC_LINKUP), 0);
	CU_ASSERT_EQUAL(linkstate(), 0);
	CU_ASSERT_FALSE(vbus_venet_link(r.v));
	CU_ASSERT_EQUAL(call(VENET_FUNC_LINKUP), -EEXIST);
	rig_bind(&r);
	CU_ASSERT_EQUAL(linkstate(), -1);
	vbus_venet_set_ready(r.v, true);
	CU_ASSERT_EQUAL(linkstate(), 1);
	CU_ASSERT_EQUAL(linkstate(), -1);
	CU_ASSERT_TRUE(vbus_venet_link(r.v));
	vbus_venet_set_ready(r.v, false);
	CU_ASSERT_EQUAL(linkstate(), 0);
	CU_ASSERT_FALSE(vbus_venet_link(r.v));
	send_one(1);
	CU_ASSERT_EQUAL(vbus_venet_rx_burst(r.v, 0, &m, 1), 0);
	vbus_venet_set_ready(r.v, true);
	CU_ASSERT_EQUAL(linkstate(), 1);
	CU_ASSERT_EQUAL(vbus_venet_rx_burst(r.v, 0, &m, 1), 1);
	rte_pktmbuf_free(m);
	/* At every LINKUP, and none while down. */
	CU_ASSERT_EQUAL(call(VENET_FUNC_LINKDOWN), 0);
	CU_ASSERT_EQUAL(linkstate(), -1);
	CU_ASSERT_EQUAL(r.link, false);
	vbus_venet_set_ready(r.v, false);
	vbus_venet_set_ready(r.v, true);
	CU_ASSERT_EQUAL(linkstate(), -1);
	CU_ASSERT_EQUAL(call(VENET_FUNC_LINKDOWN), 0);
	CU_ASSERT_EQUAL(call(VENET_FUNC_LINKUP), 0);
	CU_ASSERT_EQUAL(r.link, true);
	CU_ASSERT_EQUAL(linkstate(), 1);
	CU_ASSERT_EQUAL(linkstate(), -1);
	/* Unbinding while north is up. */
	vbus_venet_bind(r.v, NULL, NULL);
	CU_ASSERT_EQUAL(linkstate(), 0);
	rig_close(&r);

	/* Not granted: no events. */
	rig_open(&r, 0, 3, 0);
	rig_share(&r, 8, 1514);
	rig_negcap(&r, 1, 0);
	CU_ASSERT_EQUAL(call(VENET_FUNC_LINKUP), 0);
	CU_ASSERT_EQUAL(linkstate(), -1);
	rig_close(&r);
}

/** Held back while the event ring is full; slots outside of the pool are passed over. */
static void
test_events_held(void)
{
	struct vbus_venet_info info;
	struct vbus_ioq_entry e;
	uint32_t i;

	rig_up(&r, 0, 1, 0, 4, 1514);
	CU_ASSERT_EQUAL(r.ev.notified, 0); /* north polls */
	vbus_signal_enable(&r.ev.sig);
	vbus_signal_take(&r.ev.sig);
	for (i = 0; i < 3; i++) {
		vbus_venet_set_ready(r.v, i & 1);
		CU_ASSERT_EQUAL(r.ev.notified, 1); /* pending after the first */
	}
	/* Four slots are full now; this one waits, the next replaces it. */
	vbus_venet_set_ready(r.v, true);
	vbus_venet_set_ready(r.v, false);
	CU_ASSERT_TRUE(vbus_signal_inject(&r.ev.sig)); /* south asked for a signal */
	for (i = 0; i < 4; i++)
		CU_ASSERT_EQUAL(linkstate(), (i + 1) & 1);
	r.cls->ops->signal(&r.conn, &r.ev.shm);
	CU_ASSERT_EQUAL(linkstate(), 0);
	CU_ASSERT_EQUAL(linkstate(), -1);
	vbus_signal_inject(&r.ev.sig);
	CU_ASSERT_FALSE(vbus_signal_inject(&r.ev.sig)); /* and gave it up again */
	/* The same without a signal: the timer finds it. */
	for (i = 0; i < 5; i++)
		vbus_venet_set_ready(r.v, !(i & 1));
	CU_ASSERT_EQUAL(linkstate(), 1);
	r.timer->fn(r.timer);
	for (i = 0; i < 3; i++)
		CU_ASSERT_EQUAL(linkstate(), i & 1);
	CU_ASSERT_EQUAL(linkstate(), 1);
	CU_ASSERT_EQUAL(linkstate(), -1);
	/* North's slots point anywhere. */
	for (i = 0; i < 4; i++)
		r.ev.q.desc[i].ptr = i == 0   ? 96 - 15
				     : i == 1 ? 96
				     : i == 2 ? UINT64_MAX
					      : 1ULL << 40;
	vbus_venet_set_ready(r.v, false);
	vbus_venet_info(r.v, &info);
	CU_ASSERT_EQUAL(info.nb_bad_event_slots, 4);
	CU_ASSERT_EQUAL(vbus_ioq_north_pop(&r.ev.q, &e, 1), 1);
	rig_close(&r);
}

/** LINKDOWN, LINKUP: rings and indices go on where they were (7.8). */
static void
test_indices_stay(void)
{
	struct rte_mbuf *m;
	uint32_t i;

	rig_up(&r, SG_ALL, 1, 0xf, 8, 1514);
	for (i = 0; i < 100; i++) {
		uint64_t cookie, len;

		send_one(i);
		rig_fill(in, 200, i);
		m = rig_mbuf(&r, in, 200, 1);
		if (i % 3 == 0) {
			CU_ASSERT_EQUAL(call(VENET_FUNC_LINKDOWN), 0);
			/* South touches nothing: neither takes nor gives. */
			CU_ASSERT_EQUAL(vbus_venet_tx_burst(r.v, 0, &m, 1), 0);
			CU_ASSERT_EQUAL(call(VENET_FUNC_FLUSHRX), 0);
			CU_ASSERT_FALSE(rig_pop(&r, &cookie, &len));
			CU_ASSERT_EQUAL(rig_reap(&r), 0);
			CU_ASSERT_EQUAL(call(VENET_FUNC_LINKUP), 0);
			CU_ASSERT_EQUAL(linkstate(), 1);
		}
		CU_ASSERT_EQUAL(vbus_venet_tx_burst(r.v, 0, &m, 1), 1);
		CU_ASSERT_TRUE(rig_recv(&r, &frame));
		CU_ASSERT_EQUAL(memcmp(frame.data, in, 200), 0);
		CU_ASSERT_EQUAL(vbus_venet_rx_burst(r.v, 0, &m, 1), 1);
		rte_pktmbuf_free(m);
		CU_ASSERT_EQUAL(rig_reap(&r), 1);
	}
	rig_close(&r);
}

/** Every call that closes the path waits for the polling side, before it changes anything. */
static void
test_quiesce(void)
{
	unsigned int n;

	rig_up(&r, 0, 1, 0, 8, 1514);
	n = r.nb_quiesce;
	CU_ASSERT_EQUAL(call(VENET_FUNC_LINKDOWN), 0);
	CU_ASSERT_EQUAL(r.nb_quiesce, n + 1);
	CU_ASSERT_EQUAL(r.nb_flushed, 3); /* both rings and the event ring: no SHMSIGNAL later */
	CU_ASSERT_EQUAL(call(VENET_FUNC_LINKDOWN), 0);
	CU_ASSERT_EQUAL(r.nb_quiesce, n + 1);
	call(VENET_FUNC_LINKUP);
	call(VENET_FUNC_FLUSHRX);
	CU_ASSERT_EQUAL(r.nb_quiesce, n + 2);
	vbus_venet_set_rx_accept(r.v, VBUS_VENET_RX_CSUM);
	CU_ASSERT_EQUAL(r.nb_quiesce, n + 3);
	vbus_venet_set_ready(r.v, false);
	CU_ASSERT_EQUAL(r.nb_quiesce, n + 4);
	vbus_venet_set_ready(r.v, true);
	r.cls->ops->quiesce(&r.conn);
	CU_ASSERT_EQUAL(r.nb_quiesce, n + 5);
	r.cls->ops->rebind(&r.conn);
	CU_ASSERT_TRUE(vbus_venet_link(r.v));
	r.cls->ops->close(&r.conn);
	CU_ASSERT_EQUAL(r.nb_quiesce, n + 6);
	CU_ASSERT_FALSE(vbus_venet_link(r.v));
	CU_ASSERT_FALSE(r.link);
	/* Opened again by a new north. */
	CU_ASSERT_EQUAL(r.cls->ops->open(&r.conn, 1), 0);
	CU_ASSERT_EQUAL(call(VENET_FUNC_LINKUP), -EINVAL);
	rig_close(&r);
}

/** Memory goes and comes: the link with it; a ring that is none any more is a fault. */
static void
test_rebind(void)
{
	uint8_t *va;
	struct rte_mbuf *m;
	unsigned int links;

	rig_up(&r, SG_ALL, 1, 0xf, 8, 1514);
	CU_ASSERT_EQUAL(linkstate(), 1);
	links = r.nb_link;
	send_one(1);
	CU_ASSERT_EQUAL(vbus_venet_rx_burst(r.v, 0, &m, 1), 1);
	rte_pktmbuf_free(m);
	/* A change that touches nothing of ours: nobody hears of it. */
	r.cls->ops->quiesce(&r.conn);
	CU_ASSERT_EQUAL(vbus_venet_rx_burst(r.v, 0, &m, 1), 0);
	r.cls->ops->rebind(&r.conn);
	CU_ASSERT_EQUAL(linkstate(), -1);
	CU_ASSERT_EQUAL(r.nb_link, links);
	rig_reap(&r);
	send_one(2);
	CU_ASSERT_EQUAL(vbus_venet_rx_burst(r.v, 0, &m, 1), 1);
	rte_pktmbuf_free(m);
	/* The pool goes. */
	r.cls->ops->quiesce(&r.conn);
	va = r.l4ro_pool.va;
	r.l4ro_pool.va = NULL;
	r.cls->ops->rebind(&r.conn);
	CU_ASSERT_FALSE(vbus_venet_link(r.v));
	CU_ASSERT_FALSE(r.link);
	CU_ASSERT_EQUAL(call(VENET_FUNC_FLUSHRX), 0);
	CU_ASSERT_EQUAL(call(VENET_FUNC_LINKDOWN), 0);
	CU_ASSERT_EQUAL(call(VENET_FUNC_LINKUP), 0);
	CU_ASSERT_FALSE(vbus_venet_link(r.v));
	r.cls->ops->quiesce(&r.conn);
	r.l4ro_pool.va = va;
	r.cls->ops->rebind(&r.conn);
	CU_ASSERT_TRUE(vbus_venet_link(r.v));
	CU_ASSERT_TRUE(r.link);
	CU_ASSERT_EQUAL(linkstate(), 1);
	rig_reap(&r);
	send_one(3);
	CU_ASSERT_EQUAL(vbus_venet_rx_burst(r.v, 0, &m, 1), 1);
	rte_pktmbuf_free(m);
	CU_ASSERT_EQUAL(r.nb_faults, 0);
	/* Zero pages in place of a file that shrank. */
	r.cls->ops->quiesce(&r.conn);
	memset(r.tx.q.ring, 0, 56);
	r.cls->ops->rebind(&r.conn);
	CU_ASSERT_EQUAL(r.nb_faults, 1);
	CU_ASSERT_FALSE(vbus_venet_link(r.v));
	CU_ASSERT_EQUAL(call(VENET_FUNC_FLUSHRX), 0);
	CU_ASSERT_EQUAL(call(VENET_FUNC_LINKDOWN), 0);
	CU_ASSERT_EQUAL(call(VENET_FUNC_LINKUP), 0);
	vbus_venet_set_ready(r.v, false);
	vbus_venet_set_ready(r.v, true);
	CU_ASSERT_FALSE(vbus_venet_link(r.v));
	rig_close(&r);
}

static void
flushrx(uint32_t l4ro)
{
	struct rte_mbuf *m;
	uint64_t cookie, len;
	uint32_t i;

	rig_up(&r, 0, 0, l4ro, 8, 1514);
	vbus_signal_enable(&r.rx.sig);
	rig_fill(in, 200, 1);
	for (i = 0; i < 3; i++) {
		m = rig_mbuf(&r, in, 200, 1);
		CU_ASSERT_EQUAL(vbus_venet_tx_burst(r.v, 0, &m, 1), 1);
	}
	vbus_signal_take(&r.rx.sig);
	r.rx.notified = 0;
	CU_ASSERT_EQUAL(call(VENET_FUNC_FLUSHRX), 0);
	CU_ASSERT_EQUAL(r.rx.notified, 0); /* no signal */
	for (i = 0; i < 8; i++) {
		CU_ASSERT_TRUE(rig_pop(&r, &cookie, &len));
		CU_ASSERT_EQUAL(cookie, i);
		if (l4ro != 0) {
			struct venet_sg sg;

			memcpy(&sg, r.l4ro_pool.va + cookie * VENET_POOL_SLOT_SIZE, sizeof(sg));
			CU_ASSERT_EQUAL(len, VENET_POOL_SLOT_SIZE);
			len = sg.len;
		}
		CU_ASSERT_EQUAL(len, i < 3 ? 200 : 0);
	}
	CU_ASSERT_FALSE(rig_pop(&r, &cookie, &len));
	CU_ASSERT_EQUAL(call(VENET_FUNC_FLUSHRX), 0);
	/* The link is still up, and works with new buffers. */
	for (i = 0; i < 8; i++) {
		struct vbus_ioq_entry e = {.cookie = i, .ptr = r.rx_buf[i], .len = 1514};

		if (l4ro != 0) {
			e.ptr = (uint64_t)i * VENET_POOL_SLOT_SIZE;
			e.len = VENET_POOL_SLOT_SIZE;
		}
		vbus_ioq_north_post(&r.rx.q, &e, 1);
	}
	m = rig_mbuf(&r, in, 200, 1);
	CU_ASSERT_EQUAL(vbus_venet_tx_burst(r.v, 0, &m, 1), 1);
	CU_ASSERT_TRUE(rig_recv(&r, &frame));
	CU_ASSERT_EQUAL(memcmp(in, frame.data, 200), 0);
	rig_close(&r);
}

static void
test_flushrx(void)
{
	flushrx(0);
	flushrx(0xf);
}

static void
test_rx_intr(void)
{
	struct rte_mbuf *m;

	rig_up(&r, 0, 0, 0, 8, 1514);
	/* Polling: north's signals go nowhere. */
	send_one(1);
	CU_ASSERT_FALSE(vbus_signal_inject(&r.tx.sig));
	CU_ASSERT_TRUE(vbus_venet_rx_intr_enable(r.v, 0)); /* something is there */
	CU_ASSERT_EQUAL(vbus_venet_rx_count(r.v, 0), 1);
	CU_ASSERT_EQUAL(vbus_venet_rx_burst(r.v, 0, &m, 1), 1);
	rte_pktmbuf_free(m);
	rig_reap(&r);
	CU_ASSERT_FALSE(vbus_venet_rx_intr_enable(r.v, 0));
	send_one(2);
	CU_ASSERT_TRUE(vbus_signal_inject(&r.tx.sig));
	r.cls->ops->signal(&r.conn, &r.tx.shm);
	CU_ASSERT_EQUAL(r.nb_wake, 1);
	vbus_venet_rx_intr_disable(r.v, 0);
	CU_ASSERT_FALSE(vbus_signal_inject(&r.tx.sig));
	r.cls->ops->signal(&r.conn, &r.tx.shm);
	CU_ASSERT_EQUAL(r.nb_wake, 1);
	CU_ASSERT_EQUAL(vbus_venet_rx_burst(r.v, 0, &m, 1), 1);
	rte_pktmbuf_free(m);
	rig_reap(&r);
	/* A doorbell that got lost (7.2): the slow look finds the frame. */
	CU_ASSERT_FALSE(vbus_venet_rx_intr_enable(r.v, 0));
	send_one(3);
	r.timer->fn(r.timer);
	CU_ASSERT_EQUAL(r.nb_wake, 2);
	CU_ASSERT_EQUAL(vbus_venet_rx_burst(r.v, 0, &m, 1), 1);
	rte_pktmbuf_free(m);
	rig_reap(&r);
	r.timer->fn(r.timer);
	CU_ASSERT_EQUAL(r.nb_wake, 2);
	/* Armed over a LINKDOWN: the switch is set again, what came meanwhile is found. */
	CU_ASSERT_EQUAL(call(VENET_FUNC_LINKDOWN), 0);
	CU_ASSERT_FALSE(vbus_venet_rx_intr_enable(r.v, 0));
	r.tx.q.ring->signal.south.enabled = 0;
	send_one(4);
	CU_ASSERT_EQUAL(call(VENET_FUNC_LINKUP), 0);
	CU_ASSERT_EQUAL(r.nb_wake, 3);
	CU_ASSERT_EQUAL(r.tx.q.ring->signal.south.enabled, 1);
	CU_ASSERT_EQUAL(vbus_venet_rx_burst(r.v, 0, &m, 1), 1);
	rte_pktmbuf_free(m);
	rig_close(&r);
}

/** Section 7.2: filled entries that north does not move on are signalled again, slowly. */
static void
test_reinject(void)
{
	struct vbus_venet_info info;
	struct rte_mbuf *m;
	uint32_t i;

	rig_up(&r, 0, 0, 0, 8, 1514);
	CU_ASSERT_TRUE(r.timer->armed);
	rig_fill(in, 200, 1);
	m = rig_mbuf(&r, in, 200, 1);
	CU_ASSERT_EQUAL(vbus_venet_tx_burst(r.v, 0, &m, 1), 1);
	/* North polls: no signal, however long the frame lies. */
	for (i = 0; i < 3; i++)
		r.timer->fn(r.timer);
	CU_ASSERT_EQUAL(r.rx.notified, 0);
	/* Its enable had no barrier: the frame went unseen, and it sleeps. */
	vbus_peer_store8(&r.rx.q.ring->signal.north.enabled, 1);
	r.timer->fn(r.timer);
	CU_ASSERT_EQUAL(r.rx.notified, 1);
	r.timer->fn(r.timer);
	CU_ASSERT_EQUAL(r.rx.notified, 1);
	vbus_signal_take(&r.rx.sig);
	CU_ASSERT_TRUE(rig_recv(&r, &frame));
	/* North moves: leave it alone, also when it is behind. */
	for (i = 0; i < 20; i++) {
		m = rig_mbuf(&r, in, 200, 1);
		CU_ASSERT_EQUAL(vbus_venet_tx_burst(r.v, 0, &m, 1), 1);
		if (i < 3)
			continue;
		vbus_signal_take(&r.rx.sig);
		r.rx.notified = 0;
		r.timer->fn(r.timer);
		CU_ASSERT_EQUAL(r.rx.notified, 0);
		CU_ASSERT_TRUE(rig_recv(&r, &frame));
	}
	vbus_venet_info(r.v, &info);
	CU_ASSERT_EQUAL(info.nb_reinjects, 1);
	CU_ASSERT_EQUAL(call(VENET_FUNC_LINKDOWN), 0);
	CU_ASSERT_PTR_NULL(r.timer); /* nothing is up: no timer */
	rig_close(&r);
}

static void
test_telemetry(void)
{
	struct rte_tel_data *d = rte_tel_data_alloc();

	rig_up(&r, SG_ALL, 1, 0xf, 8, 1514);
	CU_ASSERT_EQUAL(rte_tel_data_start_dict(d), 0);
	r.cls->ops->telemetry(&r.dev, d);
	/* The dictionary has room for more: nothing was left out. */
	CU_ASSERT_EQUAL(rte_tel_data_add_dict_string(d, "end", ""), 0);
	rte_tel_data_free(d);
	rig_close(&r);
}

static void
test_bind(void)
{
	struct vbus_venet_user user = {0};
	struct vbus_venet_info info;
	struct rte_mbuf *m;

	rig_up(&r, SG_ALL, 1, 0xf, 8, 1514);
	CU_ASSERT_EQUAL(vbus_venet_bind(r.v, &user, NULL), -EBUSY);
	vbus_venet_info(r.v, &info);
	CU_ASSERT_TRUE(info.opened && info.link_up && info.sg && info.tso4 && info.tso6);
	CU_ASSERT_TRUE(info.pmtd && info.l4ro && info.linkstate && !info.rx_armed);
	CU_ASSERT_EQUAL(info.rx_ring_size, 8);
	CU_ASSERT_EQUAL(info.tx_ring_size, 8);
	CU_ASSERT_EQUAL(vbus_venet_bind(r.v, NULL, NULL), 0);
	CU_ASSERT_FALSE(vbus_venet_link(r.v));
	/* Without a pool nothing is received; without callbacks nothing is called. */
	CU_ASSERT_EQUAL(vbus_venet_bind(r.v, &user, NULL), 0);
	vbus_venet_set_ready(r.v, true);
	send_one(1);
	CU_ASSERT_EQUAL(vbus_venet_rx_burst(r.v, 0, &m, 1), 0);
	CU_ASSERT_EQUAL(vbus_venet_rx_burst(r.v, 1, &m, 1), 0);
	vbus_venet_rx_intr_enable(r.v, 0);
	r.cls->ops->signal(&r.conn, &r.tx.shm);
	r.timer->fn(r.timer);
	rig_close(&r);
}

int
main(void)
{
	static const struct cu_test tests[] = {
		{"NEGCAP", test_negcap},
		{"queries", test_queries},
		{"create and open", test_create_open},
		{"DEVSHM", test_shm},
		{"missing blocks", test_blocks_missing},
		{"LINKSTATE", test_linkstate},
		{"events held back", test_events_held},
		{"indices over LINKDOWN", test_indices_stay},
		{"quiesce", test_quiesce},
		{"memory changes", test_rebind},
		{"FLUSHRX", test_flushrx},
		{"receive interrupt", test_rx_intr},
		{"repeated signal", test_reinject},
		{"telemetry", test_telemetry},
		{"bind", test_bind},
		{NULL, NULL},
	};
	int ret = rig_eal("test_venet_control");

	return ret != 0 ? ret : cu_run("venet control", tests, NULL, NULL);
}
