/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * See dp_rig.h. The test's thread plays all norths; the venets' callbacks come with the control
 * lock of libvbus's real control thread (which runs the timers of ageing and of the slow look).
 */

#include "dp_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <rte_eal.h>

#include <vbus/venet.h>

#include "bridge_internal.h"
#include "vbus_memmap.h"

#include "../venet/rig.h"

static struct vbus_class *venet_cls;
static const struct vbus_memview identity = {.identity = 1};

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
	return &identity;
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
	return container_of(conn, struct dpr_north, conn)->state;
}

void
vbus_conn_fault(struct vbus_conn *conn, const char *reason)
{
	(void)conn;
	printf("fault: %s\n", reason);
	CU_FAIL("a device is faulted");
}

void
vbus_shm_notify(struct vbus_shm *shm)
{
	(void)shm; /* these norths poll */
}

struct vbus_shm *
vbus_conn_shm(struct vbus_conn *conn, uint32_t id)
{
	(void)conn;
	(void)id;
	return NULL;
}

void
vbus_bridge_notify_flush(struct vbus_bridge *b, struct vbus_shm *shm)
{
	(void)b;
	(void)shm;
}

/* ---- set-up ------------------------------------------------------------------------------------ */

int
dpr_stop(void)
{
	dp_plane_stop();
	return rte_mempool_in_use_count(dp_plane_pool(-1)) != 0;
}

int
dpr_eal(const char *name)
{
	/* Where there is one CPU only, both run on it. */
	return dpr_eal_lcores(
		name, sysconf(_SC_NPROCESSORS_ONLN) < 2 ? "0@0,1@0,2@0" : "0@0,1@0,2@1");
}

int
dpr_eal_lcores(const char *name, const char *lcores)
{
	char prefix[64];
	char *argv[] = {(char *)(uintptr_t)name, (char *)(uintptr_t) "--no-huge",
		(char *)(uintptr_t) "--no-pci", (char *)(uintptr_t) "-m", (char *)(uintptr_t) "192",
		(char *)(uintptr_t) "--no-shconf", (char *)(uintptr_t) "--no-telemetry",
		(char *)(uintptr_t) "--lcores", (char *)(uintptr_t)lcores,
		(char *)(uintptr_t) "--log-level=*:3", (char *)(uintptr_t) "--file-prefix", prefix,
		NULL};

	snprintf(prefix, sizeof(prefix), "dp-%d", (int)getpid());
	if (rte_eal_init(12, argv) < 0) {
		printf("EAL does not start here\n");
		return 77;
	}
	return 0;
}

uint64_t
dpr_now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000u + (uint64_t)ts.tv_nsec / 1000;
}

static void *
zalloc(size_t size)
{
	void *p = aligned_alloc(64, (size + 63) / 64 * 64);

	if (p == NULL)
		abort();
	memset(p, 0, size);
	return p;
}

static void
share(struct dpr_north *n, struct vbus_shm *shm, uint32_t id, void *va, size_t len)
{
	shm->id = id;
	shm->iova = (uintptr_t)va;
	shm->len = (uint32_t)len;
	shm->va = va;
	shm->conn = &n->conn;
	CU_ASSERT_EQUAL_FATAL(venet_cls->ops->shm(&n->conn, shm), 0);
}

static void
share_ring(struct dpr_north *n, struct dpr_ring *r, uint32_t id, uint8_t valid)
{
	uint8_t *at = (uint8_t *)r->block + 8;

	CU_ASSERT_EQUAL_FATAL(vbus_ioq_north_format(&r->q, at, DPR_RING, r->cookies, valid), 0);
	vbus_signal_attach(&r->sig, &r->q.ring->signal, VBUS_LOCALITY_NORTH);
	r->shm.has_signal = true;
	r->shm.signal_offset = IOQ_RING_SIGNAL_OFFSET;
	r->shm.cursor = &r->cursor;
	share(n, &r->shm, id, at, IOQ_RING_SIZE(DPR_RING));
}

static void
post_rx(struct dpr_north *n, uint32_t i)
{
	struct vbus_ioq_entry e = {
		.cookie = i, .ptr = (uintptr_t)(n->rx_buf + i * DPR_FRAME), .len = DPR_ROOM};

	if (n->l4ro) {
		struct venet_sg sg = {.cookie = i, .count = 1};
		struct venet_iov iov = {.len = DPR_ROOM, .ptr = e.ptr};
		uint8_t *at = (uint8_t *)n->pool + i * VENET_POOL_SLOT_SIZE;

		memcpy(at, &sg, sizeof(sg));
		memcpy(at + VENET_SG_IOV_OFFSET, &iov, sizeof(iov));
		e.ptr = (uint64_t)i * VENET_POOL_SLOT_SIZE;
		e.len = VENET_POOL_SLOT_SIZE;
	}
	CU_ASSERT_EQUAL(vbus_ioq_north_post(&n->rx.q, &e, 1), 1);
}

static void
negcap(struct dpr_north *n, uint32_t gid, uint32_t bits)
{
	struct venet_capabilities c = {.gid = gid, .bits = bits};
	uint32_t out;

	CU_ASSERT_EQUAL(venet_cls->ops->call(&n->conn, VENET_FUNC_NEGCAP, &c, sizeof(c), &out), 0);
	CU_ASSERT_EQUAL(c.bits, bits);
}

static void
bring_up(struct dpr_north *n)
{
	uint32_t out;
	uint32_t i;

	if (n->sg)
		negcap(n, VENET_CAP_GROUP_SG,
			VENET_CAP_SG | VENET_CAP_TSO4 | VENET_CAP_TSO6 | VENET_CAP_ECN);
	if (n->l4ro) {
		negcap(n, VENET_CAP_GROUP_L4RO,
			VENET_CAP_SG | VENET_CAP_TSO4 | VENET_CAP_TSO6 | VENET_CAP_ECN);
		share(n, &n->pool_shm, VBUS_VENET_BLOCK_L4RO_POOL, n->pool,
			(size_t)VENET_POOL_SLOT_SIZE * DPR_RING);
		share_ring(n, &n->pages, VBUS_VENET_BLOCK_PAGES, 0);
	}
	share_ring(n, &n->rx, VENET_QUEUE_RX, 1);
	share_ring(n, &n->tx, VENET_QUEUE_TX, 1);
	for (i = 0; i < DPR_RING; i++)
		post_rx(n, i);
	CU_ASSERT_EQUAL(venet_cls->ops->call(&n->conn, VENET_FUNC_LINKUP, NULL, 0, &out), 0);
}

struct dpr_north *
dpr_open(const char *name, uint16_t mtu, bool sg, bool l4ro)
{
	struct vbus_venet_args args = {.mtu = mtu};
	struct dpr_north *n = zalloc(sizeof(*n));

	n->tx_buf = zalloc((size_t)DPR_RING * DPR_FRAME);
	n->rx_buf = zalloc((size_t)DPR_RING * DPR_FRAME);
	n->tx_sg = zalloc((size_t)DPR_RING * 128);
	n->sg = sg;
	n->l4ro = l4ro;
	snprintf(n->dev.name, sizeof(n->dev.name), "%s", name);
	n->dev.cls = venet_cls;
	CU_ASSERT_FATAL(VENET_SG_SIZE(1) <= 128);
	CU_ASSERT_FATAL(VENET_POOL_SLOT_SIZE <= 4096);
	vbus_ctl_lock();
	CU_ASSERT_EQUAL_FATAL(venet_cls->ops->create(&n->dev, &args), 0);
	n->conn.dev = &n->dev;
	n->conn.cls = venet_cls;
	CU_ASSERT_EQUAL_FATAL(venet_cls->ops->open(&n->conn, VENET_VERSION), 0);
	bring_up(n);
	vbus_ctl_unlock();
	return n;
}

struct dpr_north *
dpr_port(const char *name, struct dp_switch *sw)
{
	struct dpr_north *n = dpr_open(name, 0, false, false);
	char err[DP_ERR_SIZE] = "";

	n->port = dp_port_add_venet(&n->dev, sw, err, sizeof(err));
	if (n->port == NULL)
		printf("%s\n", err);
	CU_ASSERT_PTR_NOT_NULL_FATAL(n->port);
	CU_ASSERT_TRUE(vbus_venet_link(vbus_venet_of(&n->dev)));
	return n;
}

void
dpr_close(struct dpr_north *n)
{
	if (n->port != NULL)
		dp_port_del(n->port);
	vbus_ctl_lock();
	venet_cls->ops->close(&n->conn);
	venet_cls->ops->destroy(&n->dev);
	vbus_ctl_unlock();
	free(n->tx_buf);
	free(n->rx_buf);
	free(n->tx_sg);
	free(n);
}

/* ---- norths ------------------------------------------------------------------------------------ */

static void
reap(struct dpr_north *n)
{
	uint64_t cookies[DPR_RING];

	vbus_ioq_north_reap(&n->tx.q, cookies, DPR_RING);
}

bool
dpr_send(struct dpr_north *n, const uint8_t *data, uint32_t len, const struct vbus_offload *o)
{
	uint32_t slot = n->sent % DPR_RING;
	uint8_t *buf = n->tx_buf + (size_t)slot * DPR_FRAME;
	struct vbus_ioq_entry e = {.cookie = slot, .ptr = (uintptr_t)buf, .len = len};

	if (vbus_ioq_north_room(&n->tx.q) == 0)
		reap(n);
	if (vbus_ioq_north_room(&n->tx.q) == 0)
		return false;
	memcpy(buf, data, len);
	if (n->sg) {
		uint8_t *at = n->tx_sg + (size_t)slot * 128;
		struct venet_sg sg = {.cookie = slot, .len = len, .count = 1};
		struct venet_iov iov = {.len = len, .ptr = e.ptr};

		if (o != NULL) {
			sg.flags = o->flags;
			sg.csum.start = o->csum_start;
			sg.csum.offset = o->csum_offset;
			sg.gso.type = o->gso_type;
			sg.gso.hdrlen = o->gso_hdrlen;
			sg.gso.size = o->gso_size;
		}
		memcpy(at, &sg, sizeof(sg));
		memcpy(at + VENET_SG_IOV_OFFSET, &iov, sizeof(iov));
		e.ptr = (uintptr_t)at;
		e.len = VENET_SG_SIZE(1);
	}
	CU_ASSERT_EQUAL(vbus_ioq_north_push(&n->tx.q, &e, 1), 1);
	n->sent++;
	if (vbus_signal_inject(&n->tx.sig)) {
		vbus_ctl_lock();
		venet_cls->ops->signal(&n->conn, &n->tx.shm);
		vbus_ctl_unlock();
	}
	return true;
}

bool
dpr_poll(struct dpr_north *n, struct dpr_frame *f)
{
	struct vbus_ioq_entry e;
	uint32_t slot;

	if (vbus_ioq_north_pop(&n->rx.q, &e, 1) == 0)
		return false;
	slot = (uint32_t)e.cookie;
	f->len = (uint32_t)e.len;
	f->flags = 0;
	if (n->l4ro) {
		struct venet_sg sg;

		memcpy(&sg, (uint8_t *)n->pool + slot * VENET_POOL_SLOT_SIZE, sizeof(sg));
		CU_ASSERT_EQUAL(sg.count, 1);
		f->len = sg.len;
		f->flags = sg.flags;
	}
	CU_ASSERT_FATAL(f->len <= DPR_FRAME);
	memcpy(f->data, n->rx_buf + (size_t)slot * DPR_FRAME, f->len);
	post_rx(n, slot);
	return true;
}

bool
dpr_recv(struct dpr_north *n, struct dpr_frame *f)
{
	return DPR_UNTIL(dpr_poll(n, f));
}

/* ---- frames ------------------------------------------------------------------------------------ */

/** For the venet tests' rig_frames.c. */
void
rig_fill(uint8_t *p, uint32_t len, uint32_t seed)
{
	uint32_t i;

	for (i = 0; i < len; i++) {
		seed = seed * 1103515245u + 12345u;
		p[i] = (uint8_t)(seed >> 16);
	}
}

void
dpr_mac(uint8_t *mac, uint32_t station)
{
	if (station == 0) {
		memset(mac, 0xff, 6);
		return;
	}
	mac[0] = 2;
	mac[1] = 0;
	memcpy(mac + 2, &station, sizeof(station));
}

uint32_t
dpr_eth(uint8_t *p, uint32_t dst, uint32_t src, uint32_t len, uint32_t id)
{
	uint32_t i;

	dpr_mac(p, dst);
	dpr_mac(p + 6, src);
	p[12] = 0x88;
	p[13] = 0xb5;
	memcpy(p + 14, &id, sizeof(id));
	for (i = 18; i < len; i++)
		p[i] = (uint8_t)(i * 7 + id);
	return len;
}

void
dpr_say(struct dpr_north *n, uint32_t dst, uint32_t src, uint32_t id)
{
	uint8_t p[60];

	dpr_eth(p, dst, src, sizeof(p), id);
	CU_ASSERT_TRUE(DPR_UNTIL(dpr_send(n, p, sizeof(p), NULL)));
}

void
dpr_hears(struct dpr_north *n, uint32_t dst, uint32_t src, uint32_t id)
{
	static struct dpr_frame f;
	uint8_t p[60];

	dpr_eth(p, dst, src, sizeof(p), id);
	CU_ASSERT_TRUE_FATAL(dpr_recv(n, &f));
	CU_ASSERT_EQUAL(f.len, sizeof(p));
	CU_ASSERT_EQUAL(memcmp(f.data, p, sizeof(p)), 0);
}

static uint64_t
received(const struct dpr_north *n)
{
	struct dp_port_stats st;

	dp_port_stats(n->port, &st);
	return st.rx_packets;
}

void
dpr_through(struct dpr_north *n)
{
	CU_ASSERT_TRUE(DPR_UNTIL(received(n) == n->sent));
	/* Counted when received: it is sent on when the burst is over. */
	dp_plane_sync();
}

void
dpr_silent(struct dpr_north *n)
{
	static struct dpr_frame f;

	CU_ASSERT_FALSE(dpr_poll(n, &f));
}
