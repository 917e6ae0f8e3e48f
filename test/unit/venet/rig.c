/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/* See rig.h. One thread; what the core would hold its lock for is called as it is. */

#include "rig.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_mempool.h>

#include "bridge_internal.h"
#include "vbus_ctl.h"
#include "vbus_log.h"

#define POOL_MBUFS 1023u

static struct vbus_class *venet_cls;
static struct rte_mempool *pool;
static struct rig *cur; /* whose connection functions are called */

/* ---- the core, faked --------------------------------------------------------------------------- */

void
vbus_class_register(struct vbus_class *cls)
{
	venet_cls = cls;
}

const struct vbus_memview *
vbus_conn_view(const struct vbus_conn *conn)
{
	(void)conn;
	return cur->view;
}

/* For limits of log lines: time stands still. */
uint64_t
vbus_ctl_now_ns(void)
{
	return 1;
}

/* Nobody goes on with another process's venet here. */
void
vbus_shm_repair(const struct vbus_shm *shm, uint32_t count_max, bool produce)
{
	(void)shm;
	(void)count_max;
	(void)produce;
}

void *
vbus_conn_state(struct vbus_conn *conn)
{
	(void)conn;
	return cur->state;
}

void
vbus_conn_fault(struct vbus_conn *conn, const char *reason)
{
	(void)conn;
	cur->nb_faults++;
	cur->fault = reason;
}

void
vbus_shm_notify(struct vbus_shm *shm)
{
	struct rig_ring *r = (struct rig_ring *)((char *)shm - offsetof(struct rig_ring, shm));

	r->notified++;
}

void
vbus_bridge_notify_flush(struct vbus_bridge *b, struct vbus_shm *shm)
{
	(void)b;
	CU_ASSERT_TRUE(shm->has_signal);
	cur->nb_flushed++;
}

static struct vbus_ctl_timer *timers[8]; /* that were ever armed */

void
rig_timers(void)
{
	uint32_t i;

	for (i = 0; i < RTE_DIM(timers) && timers[i] != NULL; i++) {
		if (!timers[i]->armed)
			continue;
		timers[i]->armed = false;
		timers[i]->fn(timers[i]);
	}
}

void
vbus_ctl_timer_arm(struct vbus_ctl_timer *t, uint64_t delay_ns)
{
	(void)delay_ns;
	uint32_t i;

	t->armed = true;
	if (cur != NULL)
		cur->timer = t;
	for (i = 0; i < RTE_DIM(timers) && timers[i] != NULL && timers[i] != t; i++)
		;
	if (i < RTE_DIM(timers))
		timers[i] = t;
}

void
vbus_ctl_timer_cancel(struct vbus_ctl_timer *t)
{
	t->armed = false;
	if (cur != NULL)
		cur->timer = NULL;
}

/* ---- the polling side, faked ------------------------------------------------------------------- */

static void
on_link(void *arg, bool up)
{
	struct rig *r = arg;

	r->nb_link++;
	r->link = up;
}

static void
on_quiesce(void *arg)
{
	((struct rig *)arg)->nb_quiesce++;
}

static void
on_wake(void *arg, uint16_t queue)
{
	(void)queue;
	((struct rig *)arg)->nb_wake++;
}

uint16_t rig_pairs, rig_nb_rx, rig_nb_tx;
uint32_t rig_keep;

void
rig_bind(struct rig *r)
{
	const struct vbus_venet_user user = {.link = on_link,
		.quiesce = on_quiesce,
		.rx_wake = on_wake,
		.arg = r,
		.nb_rx = rig_nb_rx,
		.nb_tx = rig_nb_tx};

	CU_ASSERT_EQUAL_FATAL(vbus_venet_bind(r->v, &user, r->pool), 0);
}

/* ---- set-up ------------------------------------------------------------------------------------ */

int
rig_eal(const char *name)
{
	char prefix[64];
	char *argv[] = {(char *)(uintptr_t)name, (char *)(uintptr_t) "--no-huge",
		(char *)(uintptr_t) "--no-pci", (char *)(uintptr_t) "-m", (char *)(uintptr_t) "128",
		(char *)(uintptr_t) "--no-shconf", (char *)(uintptr_t) "--no-telemetry",
		(char *)(uintptr_t) "-l", (char *)(uintptr_t) "0",
		(char *)(uintptr_t) "--log-level=*:3", (char *)(uintptr_t) "--file-prefix", prefix,
		NULL};

	snprintf(prefix, sizeof(prefix), "venet-%d", (int)getpid());
	if (rte_eal_init(12, argv) < 0) {
		printf("EAL does not start here\n");
		return 77;
	}
	pool = rte_pktmbuf_pool_create(
		"venet", POOL_MBUFS, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	return pool != NULL ? 0 : 1;
}

uint64_t
rig_alloc(struct rig *r, uint64_t size)
{
	uint64_t at = r->next;

	r->next += (size + 63) / 64 * 64;
	CU_ASSERT_FATAL(r->next <= RIG_SEAM);
	return at;
}

void *
rig_ptr(struct rig *r, uint64_t iova)
{
	return iova < RIG_SEAM ? r->half[0] + (iova - RIG_BASE) : r->half[1] + (iova - RIG_SEAM);
}

void
rig_copy_in(struct rig *r, uint64_t iova, const void *src, uint32_t len)
{
	CU_ASSERT_EQUAL_FATAL(
		vbus_memview_copy_out(r->view, &(struct vbus_memcache){0, 0, 0}, iova, src, len),
		0);
}

static void
make_memory(struct rig *r)
{
	static uint32_t before[] = {0, 2}; /* one page holds both */
	unsigned int i;

	r->view = calloc(1, sizeof(*r->view) + 2 * sizeof(r->view->extents[0]));
	CU_ASSERT_PTR_NOT_NULL_FATAL(r->view);
	r->view->nb_extents = 2;
	r->view->first = RIG_BASE;
	r->view->page_shift = 63;
	r->view->nb_pages = 1;
	r->view->before = before;
	for (i = 0; i < 2; i++) {
		r->half[i] = aligned_alloc(64, RIG_HALF);
		CU_ASSERT_PTR_NOT_NULL_FATAL(r->half[i]);
		r->view->extents[i] = (struct vbus_extent){.iova = RIG_BASE + i * RIG_HALF,
			.len = RIG_HALF,
			.va = (uintptr_t)r->half[i],
			.writable = 1};
	}
	r->next = RIG_BASE;
}

int
rig_call(struct rig *r, uint32_t func, void *data, uint32_t len)
{
	uint32_t out = 0;
	int ret;

	ret = r->cls->ops->call(&r->conn, func, data, len, &out);
	CU_ASSERT(out <= len);
	return ret;
}

uint32_t
rig_negcap(struct rig *r, uint32_t gid, uint32_t bits)
{
	struct venet_capabilities c = {.gid = gid, .bits = bits};

	CU_ASSERT_EQUAL(rig_call(r, VENET_FUNC_NEGCAP, &c, sizeof(c)), 0);
	CU_ASSERT_EQUAL(c.gid, gid);
	return c.bits;
}

void
rig_open(struct rig *r, uint32_t sg, uint32_t evq, uint32_t l4ro)
{
	const struct vbus_venet_args args = {.nb_queues = rig_pairs, .keep = rig_keep};

	memset(r, 0, sizeof(*r));
	cur = r;
	r->cls = venet_cls;
	r->pool = pool;
	make_memory(r);
	snprintf(r->dev.name, sizeof(r->dev.name), "eth0");
	r->dev.cls = venet_cls;
	CU_ASSERT_EQUAL_FATAL(r->cls->ops->create(&r->dev, &args), 0);
	r->v = vbus_venet_of(&r->dev);
	r->conn.dev = &r->dev;
	r->conn.cls = venet_cls;
	CU_ASSERT_EQUAL_FATAL(r->cls->ops->open(&r->conn, VENET_VERSION), 0);
	r->sg = rig_negcap(r, VENET_CAP_GROUP_SG, sg);
	r->evq = rig_negcap(r, VENET_CAP_GROUP_EVENTQ, evq);
	r->l4ro = rig_negcap(r, VENET_CAP_GROUP_L4RO, l4ro);
}

static void
share(struct rig *r, struct vbus_shm *shm, uint32_t id, uint64_t iova, uint32_t len)
{
	shm->id = id;
	shm->iova = iova;
	shm->len = len;
	shm->va = rig_ptr(r, iova);
	shm->conn = &r->conn;
	CU_ASSERT_EQUAL_FATAL(r->cls->ops->shm(&r->conn, shm), 0);
}

static void
share_ring(struct rig *r, struct rig_ring *ring, uint32_t id, uint32_t count, uint8_t valid)
{
	/* 8 mod 64, as our own north places it; the old driver's 0 mod 64 for the others. */
	uint64_t iova = rig_alloc(r, IOQ_RING_SIZE(count) + 64) + (id < 2 ? 8 : 0);

	CU_ASSERT_EQUAL_FATAL(
		vbus_ioq_north_format(&ring->q, rig_ptr(r, iova), count, ring->cookies, valid), 0);
	vbus_signal_attach(&ring->sig, &ring->q.ring->signal, VBUS_LOCALITY_NORTH);
	ring->shm.has_signal = true;
	ring->shm.signal_offset = IOQ_RING_SIGNAL_OFFSET;
	ring->shm.cursor = &ring->cursor;
	share(r, &ring->shm, id, iova, (uint32_t)IOQ_RING_SIZE(count));
}

static void
share_events(struct rig *r)
{
	uint64_t base = rig_alloc(r, (uint64_t)VENET_EVENT_SIZE_MAX * r->count);
	uint32_t i;

	share(r, &r->ev_pool, VBUS_VENET_BLOCK_EVENTS, base, VENET_EVENT_SIZE_MAX * r->count);
	share_ring(r, &r->ev, VBUS_VENET_BLOCK_EVENTQ, r->count, 0);
	for (i = 0; i < r->count; i++) {
		struct vbus_ioq_entry e = {.cookie = i,
			.ptr = (uint64_t)i * VENET_EVENT_SIZE_MAX,
			.len = VENET_EVENT_SIZE_MAX};

		vbus_ioq_north_post(&r->ev.q, &e, 1);
	}
}

static void
write_rx_sg(struct rig *r, uint32_t i)
{
	struct venet_sg sg = {.cookie = 1000 + i, .count = 1};
	struct venet_iov iov = {.len = r->rx_room, .ptr = r->rx_buf[i]};
	uint8_t *at = (uint8_t *)rig_ptr(r, r->l4ro_pool.iova) + i * VENET_POOL_SLOT_SIZE;

	memcpy(at, &sg, sizeof(sg));
	memcpy(at + VENET_SG_IOV_OFFSET, &iov, sizeof(iov));
}

static void
share_l4ro(struct rig *r)
{
	uint32_t i;

	share(r, &r->l4ro_pool, VBUS_VENET_BLOCK_L4RO_POOL,
		rig_alloc(r, (uint64_t)VENET_POOL_SLOT_SIZE * r->count),
		VENET_POOL_SLOT_SIZE * r->count);
	share_ring(r, &r->pg, VBUS_VENET_BLOCK_PAGES, r->count, 0);
	r->page_size = 4096;
	for (i = 0; i < r->count; i++) {
		struct vbus_ioq_entry e = {.cookie = 0xabc000 + i};

		r->pages[i] = rig_alloc(r, r->page_size);
		e.ptr = r->pages[i];
		e.len = r->page_size;
		CU_ASSERT_EQUAL(vbus_ioq_north_push_inuse(&r->pg.q, &e, 1), 1);
	}
}

static void
post_rx(struct rig *r, uint32_t i)
{
	struct vbus_ioq_entry e = {.cookie = i, .ptr = r->rx_buf[i], .len = r->rx_room};

	if (r->l4ro != 0) {
		write_rx_sg(r, i);
		e.ptr = (uint64_t)i * VENET_POOL_SLOT_SIZE;
		e.len = VENET_POOL_SLOT_SIZE;
	}
	CU_ASSERT_EQUAL(vbus_ioq_north_post(&r->rx.q, &e, 1), 1);
}

void
rig_share(struct rig *r, uint32_t count, uint32_t room)
{
	uint32_t i;

	r->count = count;
	r->rx_room = room;
	if (r->evq != 0)
		share_events(r);
	if (r->l4ro != 0)
		share_l4ro(r);
	share_ring(r, &r->rx, VENET_QUEUE_RX, count, 1);
	share_ring(r, &r->tx, VENET_QUEUE_TX, count, 1);
	CU_ASSERT_EQUAL(rig_call(r, VENET_FUNC_PMTDQUERY, NULL, 0), VBUS_VENET_BLOCK_TX_POOL);
	if (r->sg & VENET_CAP_PMTD)
		share(r, &r->tx_pool, VBUS_VENET_BLOCK_TX_POOL,
			rig_alloc(r, (uint64_t)VENET_POOL_SLOT_SIZE * count),
			VENET_POOL_SLOT_SIZE * count);
	for (i = 0; i < count; i++) {
		r->tx_buf[i] = rig_alloc(r, RIG_FRAME) + 2; /* as drivers' frames lie */
		r->tx_sg[i] = rig_alloc(r, VENET_SG_SIZE(RIG_IOVS));
		r->rx_buf[i] = rig_alloc(r, room + 2) + 2;
		post_rx(r, i);
	}
}

void
rig_up(struct rig *r, uint32_t sg, uint32_t evq, uint32_t l4ro, uint32_t count, uint32_t room)
{
	rig_open(r, sg, evq, l4ro);
	rig_share(r, count, room);
	rig_bind(r);
	vbus_venet_set_ready(r->v, true);
	CU_ASSERT_EQUAL_FATAL(rig_call(r, VENET_FUNC_LINKUP, NULL, 0), 0);
	CU_ASSERT_TRUE(vbus_venet_link(r->v));
}

void
rig_close(struct rig *r)
{
	r->cls->ops->close(&r->conn);
	CU_ASSERT_FALSE(vbus_venet_link(r->v));
	vbus_venet_bind(r->v, NULL, NULL);
	r->cls->ops->destroy(&r->dev);
	CU_ASSERT_EQUAL(rig_mbufs_used(r), 0);
	free(r->half[0]);
	free(r->half[1]);
	free(r->view);
	cur = NULL;
}

/* ---- north's data path ------------------------------------------------------------------------- */

static void
write_tx_sg(struct rig *r, uint8_t *at, uint32_t slot, uint32_t len, uint32_t frags,
	const struct vbus_offload *o)
{
	struct venet_sg sg = {.cookie = slot, .len = len, .count = frags};
	uint32_t off = 0;
	uint32_t i;

	if (o != NULL) {
		sg.flags = o->flags;
		sg.csum.start = o->csum_start;
		sg.csum.offset = o->csum_offset;
		sg.gso.type = o->gso_type;
		sg.gso.hdrlen = o->gso_hdrlen;
		sg.gso.size = o->gso_size;
	}
	memcpy(at, &sg, sizeof(sg));
	for (i = 0; i < frags; i++) {
		struct venet_iov iov = {.ptr = r->tx_buf[slot] + off};

		iov.len = i + 1 == frags ? len - off : len / frags;
		off += iov.len;
		memcpy(at + VENET_SG_IOV_OFFSET + i * sizeof(iov), &iov, sizeof(iov));
	}
}

bool
rig_send(struct rig *r, const uint8_t *data, uint32_t len, uint32_t frags,
	const struct vbus_offload *o)
{
	uint32_t slot = r->sent % r->count;
	struct vbus_ioq_entry e = {.cookie = slot, .ptr = r->tx_buf[slot], .len = len};

	if (vbus_ioq_north_room(&r->tx.q) == 0)
		return false;
	memcpy(rig_ptr(r, r->tx_buf[slot]), data, len);
	if (r->sg & VENET_CAP_SG) {
		e.len = VENET_SG_SIZE(frags);
		if (r->sg & VENET_CAP_PMTD)
			e.ptr = (uint64_t)slot * VENET_POOL_SLOT_SIZE;
		else
			e.ptr = r->tx_sg[slot];
		write_tx_sg(r, r->sg & VENET_CAP_PMTD ? r->tx_pool.va + e.ptr : rig_ptr(r, e.ptr),
			slot, len, frags, o);
	}
	CU_ASSERT_EQUAL(vbus_ioq_north_push(&r->tx.q, &e, 1), 1);
	r->sent++;
	return true;
}

uint32_t
rig_reap(struct rig *r)
{
	uint64_t cookies[RIG_RING_MAX];

	return vbus_ioq_north_reap(&r->tx.q, cookies, RIG_RING_MAX);
}

bool
rig_pop(struct rig *r, uint64_t *cookie, uint64_t *len)
{
	struct vbus_ioq_entry e;

	if (vbus_ioq_north_pop(&r->rx.q, &e, 1) == 0)
		return false;
	*cookie = e.cookie;
	*len = e.len;
	return true;
}

/** What north sees there, over the seam too. */
static void
rig_copy_out(struct rig *r, uint8_t *dst, uint64_t iova, uint32_t len)
{
	struct vbus_memcache mc = {0, 0, 0};

	CU_ASSERT_FATAL(len == 0 || vbus_memview_copy_in(r->view, &mc, dst, iova, len) == 0);
}

/** L4RO: what the descriptor says. */
static void
read_rx_sg(struct rig *r, uint32_t slot, struct rig_frame *f)
{
	const uint8_t *at = (uint8_t *)rig_ptr(r, r->l4ro_pool.iova) + slot * VENET_POOL_SLOT_SIZE;
	struct venet_sg sg;
	uint32_t off = 0;
	uint32_t i;

	memcpy(&sg, at, sizeof(sg));
	CU_ASSERT_EQUAL(sg.cookie, 1000 + slot);
	CU_ASSERT_FATAL(sg.count >= 1 && sg.count <= 17);
	f->len = sg.len;
	f->o = (struct vbus_offload){.flags = sg.flags,
		.csum_start = sg.csum.start,
		.csum_offset = sg.csum.offset,
		.gso_type = sg.gso.type,
		.gso_hdrlen = sg.gso.hdrlen,
		.gso_size = sg.gso.size};
	for (i = 0; i < sg.count && sg.len != 0; i++) {
		uint64_t addr;
		struct venet_iov iov;

		memcpy(&iov, at + VENET_SG_IOV_OFFSET + i * sizeof(iov), sizeof(iov));
		addr = iov.ptr;
		if (i == 0) {
			CU_ASSERT_EQUAL(addr, r->rx_buf[slot]);
		} else {
			uint64_t page = addr - 0xabc000;
			struct vbus_ioq_entry e = {.cookie = addr, .len = r->page_size};

			CU_ASSERT_FATAL(page < r->count);
			addr = r->pages[page];
			e.ptr = addr;
			CU_ASSERT_EQUAL(vbus_ioq_north_push_inuse(&r->pg.q, &e, 1), 1);
		}
		CU_ASSERT_FATAL(off + iov.len <= sizeof(f->data));
		rig_copy_out(r, f->data + off, addr, iov.len);
		off += iov.len;
	}
	CU_ASSERT_EQUAL(off, sg.len);
}

bool
rig_recv(struct rig *r, struct rig_frame *f)
{
	uint64_t slot;
	uint64_t len;

	if (!rig_pop(r, &slot, &len))
		return false;
	if (r->l4ro != 0) {
		CU_ASSERT_EQUAL(len, VENET_POOL_SLOT_SIZE);
		read_rx_sg(r, (uint32_t)slot, f);
	} else {
		CU_ASSERT_FATAL(len <= r->rx_room);
		memset(&f->o, 0, sizeof(f->o));
		f->len = (uint32_t)len;
		rig_copy_out(r, f->data, r->rx_buf[slot], (uint32_t)len);
	}
	post_rx(r, (uint32_t)slot);
	return true;
}

bool
rig_event(struct rig *r, uint8_t *event)
{
	struct vbus_ioq_entry e;

	if (vbus_ioq_north_pop(&r->ev.q, &e, 1) == 0)
		return false;
	CU_ASSERT_EQUAL(e.len, VENET_EVENT_SIZE_MAX);
	memcpy(event, r->ev_pool.va + e.cookie * VENET_EVENT_SIZE_MAX, VENET_EVENT_SIZE_MAX);
	vbus_ioq_north_repost(&r->ev.q, 1);
	return true;
}

/* ---- mbufs ------------------------------------------------------------------------------------- */

uint16_t
rig_rx(struct rig *r, struct rte_mbuf **pkts, uint16_t nb)
{
	uint16_t n = 0;
	uint16_t got;

	while (n < nb) {
		got = vbus_venet_rx_burst(r->v, 0, pkts + n, (uint16_t)(nb - n));
		n = (uint16_t)(n + got);
		if (got == 0)
			break;
	}
	return n;
}

static struct {
	bool (*send)(void);
	uint32_t nb;
} trickle;

static void *
trickle_run(void *arg)
{
	uint32_t i;

	for (i = 0; i < trickle.nb; i++) {
		while (!trickle.send())
			sched_yield();
		if (i % 7 == 0)
			sched_yield();
	}
	return arg;
}

bool
rig_trickle(struct rig *r, bool (*send)(void), uint32_t nb)
{
	const time_t end = time(NULL) + 60;
	struct rte_mbuf *pkts[8];
	pthread_t thread;
	uint16_t n;

	trickle.send = send;
	trickle.nb = nb;
	if (pthread_create(&thread, NULL, trickle_run, NULL) != 0)
		return false;
	while (nb != 0 && time(NULL) < end) {
		n = vbus_venet_rx_burst(r->v, 0, pkts, RTE_DIM(pkts));
		rte_pktmbuf_free_bulk(pkts, n);
		nb -= n;
		if (n == 0)
			sched_yield();
	}
	/* A thread whose frames do not go on waits for ever. */
	return nb == 0 && pthread_join(thread, NULL) == 0;
}

struct rte_mbuf *
rig_mbuf(struct rig *r, const uint8_t *data, uint32_t len, unsigned int segs)
{
	struct rte_mbuf *first = NULL;
	struct rte_mbuf *last = NULL;
	uint32_t off = 0;
	unsigned int i;

	for (i = 0; i < segs; i++) {
		struct rte_mbuf *m = rte_pktmbuf_alloc(r->pool);
		uint32_t n = i + 1 == segs ? len - off : len / segs;

		CU_ASSERT_PTR_NOT_NULL_FATAL(m);
		CU_ASSERT_FATAL(n <= rte_pktmbuf_tailroom(m));
		memcpy(rte_pktmbuf_mtod(m, void *), data + off, n);
		m->data_len = (uint16_t)n;
		off += n;
		if (first == NULL)
			first = m;
		else
			last->next = m;
		last = m;
	}
	first->nb_segs = (uint16_t)segs;
	first->pkt_len = len;
	return first;
}

uint32_t
rig_flat(const struct rte_mbuf *m, uint8_t *buf)
{
	uint32_t len = 0;
	uint16_t segs = m->nb_segs;
	uint32_t pkt_len = m->pkt_len;

	for (; m != NULL; m = m->next, segs--) {
		memcpy(buf + len, rte_pktmbuf_mtod(m, const void *), m->data_len);
		len += m->data_len;
	}
	CU_ASSERT_EQUAL(segs, 0);
	CU_ASSERT_EQUAL(len, pkt_len);
	return len;
}

unsigned int
rig_mbufs_used(struct rig *r)
{
	return rte_mempool_in_use_count(r->pool);
}

void
rig_fill(uint8_t *p, uint32_t len, uint32_t seed)
{
	uint32_t i;

	for (i = 0; i < len; i++) {
		seed = seed * 1103515245u + 12345u;
		p[i] = (uint8_t)(seed >> 16);
	}
}
