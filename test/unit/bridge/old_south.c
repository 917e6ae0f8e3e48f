/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * The backend for test_old_driver.c, as vbus-dp or the PMD would use the library: devices made and
 * put on a bus, venets bound and polled, here by the one thread that plays the guest as well.
 */

#include "old_south.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <CUnit/CUnit.h>
#include <rte_eal.h>
#include <rte_mbuf.h>
#include <rte_tcp.h>

#include "vbus_core.h"
#include "vbus_ctl.h"
#include "vbus_memmap.h"
#include "vbus_venet.h"

static struct rte_mempool *pool;
static struct vbus_bus *bus;
static struct vbus_device *devs[SOUTH_DEVS];
static void (*north_irq)(void *arg);

static void
op_irq(void *arg)
{
	north_irq(arg);
}

static void
op_stop(void *arg)
{
	(void)arg;
}

static const struct vbus_connector_ops ops = {.name = "test", .irq = op_irq, .stop = op_stop};

int
south_init(void)
{
	char *argv[] = {"test_old_driver", "--no-huge", "--no-pci", "--no-shconf", "--no-telemetry",
		"-m", "64", "-l", "0", NULL};

	if (rte_eal_init((int)(sizeof(argv) / sizeof(argv[0])) - 1, argv) < 0)
		return -1;
	pool = rte_pktmbuf_pool_create("old", 2047, 0, 0, 2048 + RTE_PKTMBUF_HEADROOM, 0);
	if (pool == NULL || vbus_ctl_get() != 0)
		return -1;
	vbus_ctl_lock();
	return 0;
}

void
south_fini(void)
{
	vbus_ctl_unlock();
	vbus_ctl_put();
	rte_mempool_free(pool);
	rte_eal_cleanup();
}

struct vbus_bridge *
south_up(void (*irq)(void *arg), void *arg)
{
	north_irq = irq;
	bus = vbus_bus_get("old");
	CU_ASSERT_PTR_NOT_NULL_FATAL(bus);
	CU_ASSERT_EQUAL(vbus_bus_set_connector(bus, &ops, arg), 0);
	CU_ASSERT_EQUAL(vbus_bridge_session_open(bus->bridge, false), 0);
	return bus->bridge;
}

void
south_down(void)
{
	unsigned int i;

	for (i = 0; i < SOUTH_DEVS; i++)
		if (devs[i] != NULL)
			south_del(i);
	vbus_bus_put(bus);
	bus = NULL;
	/* Every mbuf came back. */
	CU_ASSERT_EQUAL(rte_mempool_avail_count(pool), 2047);
}

void
south_map(struct vbus_bridge *b, uint64_t gpa, uint64_t len, int fd, uint64_t offset)
{
	CU_ASSERT_EQUAL(vbus_memmap_add(vbus_bridge_memmap(b), gpa, len, dup(fd), offset,
				VBUS_MEM_READ | VBUS_MEM_WRITE),
		0);
}

void
south_add(unsigned int i)
{
	const struct vbus_venet_args args = {
		.mac = {{2, 0, 0, 0, 0, (uint8_t)i}}, .mtu = 1500, .nb_queues = 1};
	const struct vbus_venet_user user = {0};
	char name[16];

	snprintf(name, sizeof(name), "eth%u", i);
	devs[i] = vbus_device_create(name, "venet", &args);
	CU_ASSERT_PTR_NOT_NULL_FATAL(devs[i]);
	CU_ASSERT_EQUAL(vbus_venet_bind(vbus_venet_of(devs[i]), &user, pool), 0);
	vbus_venet_set_ready(vbus_venet_of(devs[i]), true);
	CU_ASSERT_EQUAL(vbus_device_attach(devs[i], bus), 0);
}

void
south_del(unsigned int i)
{
	vbus_device_detach(devs[i]);
	vbus_venet_set_ready(vbus_venet_of(devs[i]), false);
	CU_ASSERT_EQUAL(vbus_venet_bind(vbus_venet_of(devs[i]), NULL, NULL), 0);
	vbus_device_delete(devs[i]);
	devs[i] = NULL;
}

bool
south_link(unsigned int i)
{
	return vbus_venet_link(vbus_venet_of(devs[i]));
}

uint32_t
south_recv(unsigned int i, uint8_t *frame, uint32_t size)
{
	struct rte_mbuf *m;
	const void *p;
	uint32_t len;

	if (vbus_venet_rx_burst(vbus_venet_of(devs[i]), 0, &m, 1) == 0)
		return 0;
	len = rte_pktmbuf_pkt_len(m);
	CU_ASSERT_FATAL(len <= size);
	p = rte_pktmbuf_read(m, 0, len, frame);
	CU_ASSERT_PTR_NOT_NULL_FATAL(p);
	if (p != frame)
		memcpy(frame, p, len);
	rte_pktmbuf_free(m);
	return len;
}

bool
south_send(unsigned int i, const uint8_t *frame, uint32_t len, uint16_t mss)
{
	struct rte_mbuf *head = NULL, *last = NULL, *m;
	uint32_t off, n;

	for (off = 0; off < len; off += n) {
		m = rte_pktmbuf_alloc(pool);
		CU_ASSERT_PTR_NOT_NULL_FATAL(m);
		n = len - off < 2048 ? len - off : 2048;
		memcpy(rte_pktmbuf_append(m, (uint16_t)n), frame + off, n);
		if (head == NULL) {
			head = m;
		} else {
			last->next = m;
			head->nb_segs++;
			head->pkt_len += n;
		}
		last = m;
	}
	if (mss != 0) {
		head->ol_flags = RTE_MBUF_F_TX_TCP_SEG | RTE_MBUF_F_TX_IPV4 |
				 RTE_MBUF_F_TX_IP_CKSUM | RTE_MBUF_F_TX_TCP_CKSUM;
		head->l2_len = 14;
		head->l3_len = 20;
		head->l4_len = 20;
		head->tso_segsz = mss;
	}
	if (vbus_venet_tx_burst(vbus_venet_of(devs[i]), 0, &head, 1) == 1)
		return true;
	rte_pktmbuf_free(head);
	return false;
}

uint64_t
south_drops(unsigned int i)
{
	struct vbus_venet_rx_stats rx;
	struct vbus_venet_tx_stats tx;

	vbus_venet_stats(vbus_venet_of(devs[i]), 0, &rx, &tx);
	return rx.drop_addr + rx.drop_len + rx.drop_sg + rx.drop_offload + rx.drop_nombuf +
	       tx.drop_addr + tx.drop_room + tx.drop_sg + tx.drop_page + tx.drop_offload +
	       tx.drop_down;
}

void
south_pause(unsigned int ms)
{
	const struct timespec ts = {.tv_nsec = ms * 1000000L};

	vbus_ctl_unlock();
	nanosleep(&ts, NULL);
	vbus_ctl_lock();
}
