/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * See north_rig.h. One device, one thread of the test plus the library's worker, which only runs
 * north's event job: rig_carrier() waits for it.
 */
#include "north_rig.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_malloc.h>

#include "vbus_ctl.h"
#include "vbus_pmd_common.h"

struct rig rig;
uint16_t rig_pairs;

/* ---- the bus, played ------------------------------------------------------------------------------- */

void
rte_vbus_register(struct rte_vbus_driver *drv)
{
	rig.drv = drv;
}

int
rte_vbus_open(struct rte_vbus_device *dev, uint32_t version)
{
	if (!dev->present)
		return -ENODEV;
	if (rig.open)
		return -EBUSY;
	if (rig.open_error != 0)
		return rig.open_error;
	CU_ASSERT_EQUAL(version, 1);
	rig.open = true;
	rig.nb_open++;
	memset(rig.granted, 0, sizeof(rig.granted));
	return 0;
}

int
rte_vbus_close(struct rte_vbus_device *dev)
{
	(void)dev;
	rig.nb_close += rig.open;
	rig.open = false;
	rig.up = false;
	rig.nb_shm = 0;
	return 0;
}

struct rte_vbus_shm *
rig_block(uint32_t id)
{
	for (uint32_t i = 0; i < rig.nb_shm; i++)
		if (rig.shm[i]->id == id)
			return rig.shm[i];
	return NULL;
}

static void
attach(struct vbus_ioq_south *q, struct vbus_signal *sig, unsigned int which, uint32_t id)
{
	struct rte_vbus_shm *shm = rig_block(id);

	if (shm == NULL)
		return;
	CU_ASSERT_EQUAL(
		vbus_ioq_south_attach(q, shm->va, shm->len, 2048, &rig.cur[which], VBUS_IOQ_FRESH),
		0);
	CU_ASSERT_EQUAL((uintptr_t)shm->va % 64, 8); /* descriptors are line-aligned */
	if (sig != NULL)
		CU_ASSERT_EQUAL(vbus_signal_attach(sig, (char *)shm->va + IOQ_RING_SIGNAL_OFFSET,
					VBUS_LOCALITY_SOUTH),
			0);
}

static void
attach_poll(struct vbus_poll_south *q, struct vbus_ioq_cursor *cur, uint32_t kind, uint32_t id)
{
	struct rte_vbus_shm *shm = rig_block(id);
	uint64_t len;
	bool keep;

	CU_ASSERT_PTR_NOT_NULL_FATAL(shm);
	if (rig.far) {
		uint64_t back;

		len = 0;
		back = vbus_poll_south_back(shm->va, shm->len, kind, &len);

		CU_ASSERT_EQUAL_FATAL(
			vbus_poll_south_attach_placed(q, shm->va, shm->len, (void *)(uintptr_t)back,
				len, kind, 2048, cur, VBUS_IOQ_FRESH),
			0);
		return;
	}
	keep = (rig.granted_poll & VENET_CAP_POLL_KEEP) != 0 && kind == VENET_POLL_TX;
	if ((rig.granted_poll & VENET_CAP_POLL_NEWEST) != 0 && kind == VENET_POLL_RX) {
		CU_ASSERT_EQUAL_FATAL(vbus_poll_south_attach_newest(
					      q, shm->va, shm->len, 2048, cur, VBUS_IOQ_FRESH),
			0);
		CU_ASSERT_EQUAL(shm->signal_offset, VENET_POLL_SIGNAL_OFFSET);
		return;
	}
	len = keep ? VENET_POLL_TX_SIZE((shm->len - 128) / 13) : shm->len;
	CU_ASSERT_EQUAL_FATAL(
		vbus_poll_south_attach(q, shm->va, len, kind, 2048, cur, VBUS_IOQ_FRESH), 0);
	if (keep)
		vbus_poll_keep(&q->r, shm->va);
	CU_ASSERT_EQUAL(shm->signal_offset, VENET_POLL_SIGNAL_OFFSET);
}

static int
link_up(void)
{
	if (rig.up)
		return -EEXIST;
	if (rig.granted_poll != 0) {
		attach_poll(&rig.poll_rx, &rig.cur[0], VENET_POLL_RX, RIG_POLL_RX);
		attach_poll(&rig.poll_tx, &rig.cur[1], VENET_POLL_TX, RIG_POLL_TX);
		for (uint32_t i = 1; i < rig_pairs; i++) {
			attach_poll(&rig.pair[i].rx, &rig.pair[i].cur[0], VENET_POLL_RX,
				RIG_POLL_RX + 2 * i);
			attach_poll(&rig.pair[i].tx, &rig.pair[i].cur[1], VENET_POLL_TX,
				RIG_POLL_TX + 2 * i);
		}
		CU_ASSERT_PTR_NULL(rig_block(VENET_QUEUE_RX));
	} else if (rig_block(VENET_QUEUE_RX) == NULL || rig_block(VENET_QUEUE_TX) == NULL) {
		return -EINVAL;
	}
	attach(&rig.rx, &rig.rx_sig, 0, VENET_QUEUE_RX);
	attach(&rig.tx, &rig.tx_sig, 1, VENET_QUEUE_TX);
	attach(&rig.ev, &rig.ev_sig, 2, RIG_EV_RING);
	attach(&rig.pages, NULL, 3, RIG_PAGES);
	rig.ev_pool = rig_block(RIG_EV_POOL) != NULL ? rig_block(RIG_EV_POOL)->va : NULL;
	rig.pmtd = rig_block(RIG_PMTD_ID) != NULL ? rig_block(RIG_PMTD_ID)->va : NULL;
	rig.rx_pool = NULL;
	if (rig_block(RIG_RX_POOL) != NULL) {
		rig.rx_pool = rig_block(RIG_RX_POOL)->va;
		rig.rx_pool_len = rig_block(RIG_RX_POOL)->len;
	}
	rig.up = true;
	rig.nb_linkup++;
	return 0;
}

static int
negcap(struct venet_capabilities *c)
{
	const uint32_t offer[3] = {rig.sg, rig.evq, rig.l4ro};

	CU_ASSERT_FALSE(rig.up);
	if (c->gid == VENET_CAP_GROUP_POLL) {
		c->bits &= rig.poll;
		rig.granted_poll = c->bits;
		return 0;
	}
	CU_ASSERT_TRUE_FATAL(c->gid < 3);
	c->bits &= offer[c->gid];
	rig.granted[c->gid] = c->bits;
	return 0;
}

int
rte_vbus_call(struct rte_vbus_device *dev, uint32_t func, void *data, uint32_t len)
{
	static const uint8_t mac[6] = {2, 0, 0, 0, 0, 7};
	struct venet_eventq_query *eq = data;
	struct venet_l4ro_query *lq = data;
	struct venet_poll_query *pq = data;

	(void)dev;
	if (!rig.open)
		return -ENOTCONN;
	if ((int)func == rig.fail_func)
		return -EINVAL;
	switch (func) {
	case VENET_FUNC_LINKUP:
		return link_up();
	case VENET_FUNC_LINKDOWN:
		rig.up = false;
		rig.nb_linkdown++;
		return 0;
	case VENET_FUNC_MACQUERY:
		memcpy(data, mac, len);
		return 0;
	case VENET_FUNC_NEGCAP:
		return negcap(data);
	case VENET_FUNC_PMTDQUERY:
		return (int)RIG_PMTD_ID;
	case VENET_FUNC_EVQQUERY:
		eq->evsize = 24;
		eq->dpid = RIG_EV_POOL;
		eq->qid = RIG_EV_RING;
		return 0;
	case VENET_FUNC_L4ROQUERY:
		lq->dpid = RIG_RX_POOL;
		lq->pqid = RIG_PAGES;
		return 0;
	case VENET_FUNC_POLLQUERY:
		CU_ASSERT_EQUAL(len, sizeof(*pq));
		CU_ASSERT_TRUE(pq->queue < RTE_MAX(rig_pairs, 1u));
		CU_ASSERT_TRUE(pq->queue == 0 || (rig.granted_poll & VENET_CAP_POLL_PAIRS) != 0);
		pq->rx_id = RIG_POLL_RX + 2 * pq->queue;
		pq->tx_id = RIG_POLL_TX + 2 * pq->queue;
		pq->pairs = rig_pairs;
		pq->count_max = 2048;
		return 0;
	default:
		return -EINVAL;
	}
}

int
rte_vbus_shm(struct rte_vbus_device *dev, struct rte_vbus_shm *shm)
{
	if (!rig.open)
		return -ENOTCONN;
	CU_ASSERT_PTR_NULL(rig_block(shm->id));
	shm->dev = dev;
	shm->handle = (int32_t)rig.nb_shm;
	rig.shm[rig.nb_shm++] = shm;
	return 0;
}

void
rte_vbus_signal(const struct rte_vbus_shm *shm)
{
	(void)shm;
	rig.nb_signals++;
}

static void *zone, *zone_far, *zone_left;

void *
rte_vbus_zone(struct rte_vbus_device *dev, const char *tag, size_t len, int socket)
{
	(void)dev;
	(void)socket;
	if (zone != NULL && strcmp(tag, "venet") != 0) {
		zone_left = zone; /* another one, while the first is not to be used */
		zone = NULL;
	}
	CU_ASSERT_PTR_NULL(zone);
	zone = rte_zmalloc("rig_zone", len, 64);
	return zone;
}

void
rte_vbus_zone_free(struct rte_vbus_device *dev, const char *tag)
{
	void **z = strcmp(tag, "venet far") == 0 ? &zone_far : &zone;

	(void)dev;
	rte_free(*z);
	*z = NULL;
}

bool
rte_vbus_has_far(const struct rte_vbus_device *dev)
{
	(void)dev;
	return rig.far;
}

bool
rte_vbus_far_cached(const struct rte_vbus_device *dev)
{
	(void)dev;
	return false;
}

void *
rte_vbus_zone_far(struct rte_vbus_device *dev, const char *tag, size_t len)
{
	(void)dev;
	(void)tag;
	CU_ASSERT_TRUE(rig.far);
	CU_ASSERT_PTR_NULL(zone_far);
	zone_far = rte_zmalloc("rig_zone_far", len, 64);
	return zone_far;
}

uint64_t
rte_vbus_addr(const struct rte_vbus_device *dev, const void *va)
{
	(void)dev;
	return (uintptr_t)va;
}

size_t
rte_vbus_mbuf_addr_offset(const struct rte_vbus_device *dev)
{
	(void)dev;
	return offsetof(struct rte_mbuf, buf_addr);
}

bool
rte_vbus_visible(const struct rte_vbus_device *dev, const void *va, size_t len)
{
	(void)dev;
	(void)len;
	return !rig.hide_all && !((uintptr_t)va >= rig.hidden_lo && (uintptr_t)va < rig.hidden_hi);
}

bool
rte_vbus_present(const struct rte_vbus_device *dev)
{
	return dev->present;
}

bool
rte_vbus_secondary_polls(struct rte_vbus_device *dev)
{
	(void)dev;
	return false;
}

/* ---- south, by hand -------------------------------------------------------------------------------- */

void
rig_carrier(bool up)
{
	struct vbus_ioq_entry e = {0};
	struct venet_event_linkstate ev = {
		.header = {.size = sizeof(ev), .id = VENET_EVENT_LINKSTATE}, .state = up};
	struct rte_vbus_shm *shm = rig_block(RIG_EV_RING);

	if (shm == NULL || vbus_ioq_south_produce_peek(&rig.ev, &e, 1) != 1) {
		CU_FAIL("no room for an event");
		return;
	}
	CU_ASSERT_EQUAL(e.len, 24);
	memcpy(rig.ev_pool + e.ptr, &ev, sizeof(ev));
	e.len = sizeof(ev);
	vbus_ioq_south_produce_push(&rig.ev, &e, 1);
	if (vbus_signal_inject(&rig.ev_sig)) {
		vbus_ctl_lock();
		shm->notify(shm);
		vbus_ctl_unlock();
	}
	vbus_ctl_job_flush();
}

bool
rig_give(uint32_t len, uint8_t fill)
{
	struct vbus_ioq_entry e = {0};

	if (vbus_ioq_south_produce_peek(&rig.rx, &e, 1) != 1)
		return false;
	CU_ASSERT_TRUE(len <= e.len);
	memset((void *)(uintptr_t)e.ptr, fill, RTE_MIN((uint64_t)len, e.len));
	e.len = len;
	vbus_ioq_south_produce_push(&rig.rx, &e, 1);
	return true;
}

uint32_t
rig_take(uint8_t *buf, uint32_t size)
{
	struct vbus_ioq_entry e = {0};

	if (vbus_ioq_south_consume_peek(&rig.tx, &e, 1) != 1)
		return 0;
	CU_ASSERT_TRUE(e.len <= size);
	memcpy(buf, (void *)(uintptr_t)e.ptr, RTE_MIN(e.len, (uint64_t)size));
	vbus_ioq_south_consume_pop(&rig.tx, 1);
	return (uint32_t)e.len;
}

/* ---- the application ------------------------------------------------------------------------------- */

int
rig_eal_init(void)
{
	char *argv[] = {"test_north", "--no-huge", "-m", "512", "--no-pci", "--no-telemetry",
		"--no-shconf", "-l", "0", "--log-level", "pmd.net.vbus:emerg", NULL};

	if (rte_eal_init(RTE_DIM(argv) - 1, argv) < 0) {
		printf("rte_eal_init: %s\n", rte_strerror(rte_errno));
		return 1;
	}
	return vbus_ctl_get() == 0 ? 0 : 1;
}

struct rte_mempool *
rig_eal_pool(void)
{
	if (rig_eal_init() != 0)
		return NULL;
	return rte_pktmbuf_pool_create(
		"main", 1023, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
}

uint64_t
rig_xstat(const char *name)
{
	uint64_t id, value = 0;

	CU_ASSERT_EQUAL(rte_eth_xstats_get_id_by_name(rig.port, name, &id), 0);
	CU_ASSERT_EQUAL(rte_eth_xstats_get_by_id(rig.port, &id, &value, 1), 1);
	return value;
}

void
rig_probe(void)
{
	struct rte_vbus_driver *drv = rig.drv;

	memset(&rig, 0, sizeof(rig));
	rig.drv = drv;
	rig.fail_func = -1;
	rig.sg = VENET_CAP_SG | VENET_CAP_TSO4 | VENET_CAP_TSO6 | VENET_CAP_PMTD;
	rig.l4ro = VENET_CAP_SG | VENET_CAP_TSO4 | VENET_CAP_TSO6;
	rig.evq = VENET_CAP_EVQ_LINKSTATE;
	if (rig_pairs > 1)
		rig.poll = VENET_CAP_POLL_RING | VENET_CAP_POLL_PAIRS | VENET_CAP_POLL_PLACED;
	snprintf(rig.vdev.full_name, sizeof(rig.vdev.full_name), "vbus:l.d");
	rig.vdev.device.name = rig.vdev.full_name;
	rig.vdev.device.driver = &drv->driver;
	rig.vdev.device.numa_node = SOCKET_ID_ANY;
	rig.vdev.present = true;
	CU_ASSERT_EQUAL_FATAL(drv->probe(drv, &rig.vdev), 0);
	CU_ASSERT_FALSE(rig.open); /* opened to ask, and closed again */
	CU_ASSERT_EQUAL_FATAL(rte_eth_dev_get_port_by_name("vbus:l.d", &rig.port), 0);
}

void
rig_remove(void)
{
	uint16_t port;

	CU_ASSERT_EQUAL(rig.drv->remove(&rig.vdev), 0);
	vbus_ctl_job_flush();
	CU_ASSERT_NOT_EQUAL(rte_eth_dev_get_port_by_name("vbus:l.d", &port), 0);
	CU_ASSERT_FALSE(rig.open);
	CU_ASSERT_PTR_NULL(zone);
	CU_ASSERT_PTR_NULL(zone_far);
	rte_free(zone_left);
	zone_left = NULL;
}

int
rig_start(struct rte_mempool *rx_pool, uint16_t nb_desc, uint64_t rx_off, uint64_t tx_off,
	uint16_t mtu)
{
	const uint16_t nb = RTE_MAX(rig_pairs, 1);
	struct rte_eth_conf conf = {0};
	int ret;

	conf.rxmode.mtu = mtu;
	conf.rxmode.offloads = rx_off;
	conf.txmode.offloads = tx_off;
	conf.intr_conf.lsc = 1;
	conf.intr_conf.rxq = 1;
	CU_ASSERT_EQUAL_FATAL(rte_eth_dev_configure(rig.port, nb, nb, &conf), 0);
	for (uint16_t q = 0; q < nb; q++) {
		CU_ASSERT_EQUAL_FATAL(
			rte_eth_rx_queue_setup(rig.port, q, nb_desc, SOCKET_ID_ANY, NULL, rx_pool),
			0);
		CU_ASSERT_EQUAL_FATAL(
			rte_eth_tx_queue_setup(rig.port, q, nb_desc, SOCKET_ID_ANY, NULL), 0);
	}
	ret = rte_eth_dev_start(rig.port);
	if (ret == 0 && rig.up)
		rig_carrier(true);
	return ret;
}

void
rig_lost(void)
{
	rig.vdev.present = false;
	rte_vbus_close(&rig.vdev);
	rig.drv->lost(&rig.vdev);
}

void
rig_back(void)
{
	rig.vdev.present = true;
	rig.drv->back(&rig.vdev);
	if (rig.up)
		rig_carrier(true);
}

unsigned int
rig_avail(struct rte_mempool *mp)
{
	return rte_mempool_avail_count(mp);
}

struct rte_mbuf *
rig_frame(struct rte_mempool *mp, uint32_t len, uint8_t fill)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(mp);

	CU_ASSERT_PTR_NOT_NULL_FATAL(m);
	memset(rte_pktmbuf_append(m, (uint16_t)len), fill, len);
	return m;
}
