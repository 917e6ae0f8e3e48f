/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * The north end of the PMD against a south that answers calls as it likes and writes what it likes
 * into every shared block, between any two reads. The bus is played; what north shares is one block of
 * its exact size.
 *
 * What must hold: mbufs that come are consistent, and when the port has stopped all are back.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <ethdev_driver.h>
#include <rte_eal.h>
#include <rte_mbuf.h>

#include <vbus/venet.h>
#include <vbus/venet_poll.h>

#include "bus_vbus_driver.h"
#include "fuzz.h"
#include "fuzz_ctl.h"
#include "vbus_ioq_south.h"
#include "vbus_signal.h"

#define BLOCKS 16u
#define BURST  32u
#define POOL   1023u

static struct {
	struct rte_vbus_driver *drv;
	struct rte_vbus_device dev;
	uint16_t port;
	bool open, started;
	struct rte_vbus_shm *shm[BLOCKS];
	uint32_t nb_shm;
	void *zone;
	struct fuzz_in *in; /* for answers */
} south;
static struct rte_mempool *pool;

/* ---- the bus, played --------------------------------------------------------------------------- */

void
rte_vbus_register(struct rte_vbus_driver *drv)
{
	south.drv = drv;
}

int
rte_vbus_open(struct rte_vbus_device *dev, uint32_t version)
{
	(void)version;
	if (!dev->present)
		return -ENODEV;
	if (south.open)
		return -EBUSY;
	south.open = true;
	return 0;
}

int
rte_vbus_close(struct rte_vbus_device *dev)
{
	(void)dev;
	south.open = false;
	south.nb_shm = 0;
	return 0;
}

static uint8_t
answer(void)
{
	return south.in != NULL ? in_8(south.in) : 0;
}

int
rte_vbus_call(struct rte_vbus_device *dev, uint32_t func, void *data, uint32_t len)
{
	static const uint8_t mac[6] = {2, 0, 0, 0, 0, 7};
	uint8_t how = answer();
	struct venet_capabilities *c = data;
	struct venet_eventq_query *eq = data;
	struct venet_l4ro_query *lq = data;

	(void)dev;
	if (!south.open)
		return -ENOTCONN;
	if (how >= 0xf8) { /* a lie */
		if (len != 0)
			in_bytes(south.in, data, len);
		return (int)(int8_t)answer();
	}
	switch (func) {
	case VENET_FUNC_MACQUERY:
		memcpy(data, mac, len < 6 ? len : 6);
		return 0;
	case VENET_FUNC_NEGCAP:
		if (how >= 0xe0)
			c->bits &= answer();
		return 0;
	case VENET_FUNC_PMTDQUERY:
		return 100;
	case VENET_FUNC_EVQQUERY:
		eq->evsize = VENET_EVENT_SIZE_MAX;
		eq->dpid = 101;
		eq->qid = 102;
		return 0;
	case VENET_FUNC_L4ROQUERY:
		lq->dpid = 103;
		lq->pqid = 104;
		return 0;
	case VENET_FUNC_POLLQUERY: {
		struct venet_poll_query *pq = data;

		pq->rx_id = 105;
		pq->tx_id = 106;
		pq->count_max = 1024;
		return 0;
	}
	default:
		return 0;
	}
}

int
rte_vbus_shm(struct rte_vbus_device *dev, struct rte_vbus_shm *shm)
{
	if (!south.open)
		return -ENOTCONN;
	if (answer() == 0xff || south.nb_shm == BLOCKS)
		return -EINVAL;
	shm->dev = dev;
	shm->handle = (int32_t)south.nb_shm;
	south.shm[south.nb_shm++] = shm;
	return 0;
}

void
rte_vbus_signal(const struct rte_vbus_shm *shm)
{
	(void)shm;
}

void *
rte_vbus_zone(struct rte_vbus_device *dev, const char *tag, size_t len, int socket)
{
	(void)dev;
	(void)tag;
	(void)socket;
	FUZZ_CHECK(south.zone == NULL);
	south.zone = aligned_alloc(64, (len + 63) & ~(size_t)63);
	if (south.zone == NULL)
		return NULL;
	memset(south.zone, 0, len);
	fuzz_race_lo = (uintptr_t)south.zone;
	fuzz_race_len = len;
	return south.zone;
}

void
rte_vbus_zone_free(struct rte_vbus_device *dev, const char *tag)
{
	(void)dev;
	(void)tag;
	free(south.zone);
	south.zone = NULL;
	fuzz_race_len = 0;
}

bool
rte_vbus_has_far(const struct rte_vbus_device *dev)
{
	(void)dev;
	return false;
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
	(void)len;
	return NULL;
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
	(void)va;
	(void)len;
	return true;
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

/* ---- the application --------------------------------------------------------------------------- */

static void
start(struct fuzz_in *in)
{
	struct rte_eth_conf conf = {0};
	uint16_t nb = (uint16_t)(32u << in_8(in) % 3);
	uint8_t how = in_8(in);

	conf.rxmode.mtu = how & 1 ? 9000 : 1500;
	if ((how & 2) != 0)
		conf.rxmode.offloads |= RTE_ETH_RX_OFFLOAD_TCP_LRO | RTE_ETH_RX_OFFLOAD_SCATTER;
	if ((how & 4) != 0)
		conf.rxmode.offloads |= RTE_ETH_RX_OFFLOAD_TCP_CKSUM;
	if ((how & 1) != 0)
		conf.rxmode.offloads |= RTE_ETH_RX_OFFLOAD_SCATTER;
	conf.rxmode.max_lro_pkt_size = 65535;
	if ((how & 8) != 0)
		conf.txmode.offloads |= RTE_ETH_TX_OFFLOAD_TCP_TSO | RTE_ETH_TX_OFFLOAD_TCP_CKSUM |
					RTE_ETH_TX_OFFLOAD_IPV4_CKSUM;
	if ((how & 0x10) != 0)
		conf.txmode.offloads |= RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
	conf.intr_conf.lsc = 1;
	south.in = in;
	south.started = rte_eth_dev_configure(south.port, 1, 1, &conf) == 0 &&
			rte_eth_rx_queue_setup(south.port, 0, nb, 0, NULL, pool) == 0 &&
			rte_eth_tx_queue_setup(south.port, 0, nb, 0, NULL) == 0 &&
			rte_eth_dev_start(south.port) == 0;
}

static void
receive(struct fuzz_in *in)
{
	struct rte_mbuf *pkts[BURST];
	uint16_t n = rte_eth_rx_burst(south.port, 0, pkts, (uint16_t)(1 + in_8(in) % BURST)), i;

	FUZZ_CHECK(n <= BURST);
	for (i = 0; i < n; i++) {
		uint32_t sum = 0, nb = 0;
		const struct rte_mbuf *m;

		for (m = pkts[i]; m != NULL; m = m->next) {
			FUZZ_CHECK(m->data_off + m->data_len <= m->buf_len);
			FUZZ_CHECK(rte_mbuf_refcnt_read(m) == 1);
			sum += m->data_len;
			nb++;
		}
		FUZZ_CHECK(sum == pkts[i]->pkt_len && nb == pkts[i]->nb_segs);
	}
	rte_pktmbuf_free_bulk(pkts, n);
}

static void
transmit(struct fuzz_in *in)
{
	uint32_t nb = 1 + in_8(in) % 4, len = in_8(in) * 4u, i;
	struct rte_mbuf *m = rte_pktmbuf_alloc(pool), *last = m;

	if (m == NULL)
		return;
	(void)rte_pktmbuf_append(m, (uint16_t)(60 + len));
	for (i = 1; i < nb; i++) {
		last->next = rte_pktmbuf_alloc(pool);
		if (last->next == NULL)
			break;
		last = last->next;
		last->data_len = (uint16_t)(1 + len);
		m->pkt_len += last->data_len;
		m->nb_segs++;
	}
	if (rte_eth_tx_burst(south.port, 0, &m, 1) == 0)
		rte_pktmbuf_free(m);
}

/* ---- south ------------------------------------------------------------------------------------- */

static void
poke(struct fuzz_in *in)
{
	const struct rte_vbus_shm *shm;
	uint8_t *mem, how = in_8(in);
	struct ioq_ring_desc *d;
	uint32_t nb, i, n;

	if (south.nb_shm == 0)
		return;
	shm = south.shm[in_8(in) % south.nb_shm];
	mem = shm->va;
	if (shm->signal_offset == (int32_t)IOQ_RING_SIGNAL_OFFSET && shm->len > 56 && how < 0xc0) {
		nb = (uint32_t)((shm->len - sizeof(struct ioq_ring_head)) / sizeof(*d));
		d = (void *)(mem + sizeof(struct ioq_ring_head));
		switch (how % 4) {
		case 0:
			for (i = in_8(in), n = in_8(in) % 64; n != 0; n--, i++)
				d[i % nb].sown = 0;
			return;
		case 1:
			i = in_8(in) % nb;
			d[i].len = in_num(in);
			d[i].sown = 0;
			return;
		case 2:
			for (i = in_8(in), n = in_8(in) % 64; n != 0; n--, i++) {
				d[i % nb].len = 60 + n;
				d[i % nb].sown = 0;
			}
			return;
		default:
			d[in_8(in) % nb].cookie = in_num(in);
			return;
		}
	}
	i = (uint32_t)in_word(in, 2) % shm->len;
	if ((how & 3) == 0)
		mem[i] = in_8(in);
	else
		in_bytes(in, mem + (i & ~7u), how & 8 && (i & ~7u) + 8 <= shm->len ? 8 : 1);
}

/* A pool's descriptor, as L4RO's receiver reads it. */
static void
poke_sg(struct fuzz_in *in)
{
	const struct rte_vbus_shm *shm = NULL;
	struct venet_sg sg;
	uint32_t i;
	uint8_t *at;

	for (i = 0; i < south.nb_shm; i++)
		if (south.shm[i]->id == 103)
			shm = south.shm[i];
	if (shm == NULL || shm->len < VENET_POOL_SLOT_SIZE)
		return;
	at = (uint8_t *)shm->va +
	     in_8(in) % (shm->len / VENET_POOL_SLOT_SIZE) * VENET_POOL_SLOT_SIZE;
	memcpy(&sg, at, sizeof(sg));
	sg.count = in_8(in) % 20;
	sg.len = (uint32_t)in_num(in);
	sg.flags = in_8(in) % 8;
	sg.gso.type = in_8(in) % 4;
	sg.gso.size = (uint16_t)in_num(in);
	sg.csum.start = (uint16_t)in_num(in);
	sg.csum.offset = in_8(in);
	memcpy(at, &sg, sizeof(sg));
	for (i = 0; i < sg.count && i < 16; i++) {
		struct venet_iov iov;

		memcpy(&iov, at + VENET_SG_IOV_OFFSET + i * sizeof(iov), sizeof(iov));
		iov.len = (uint32_t)in_num(in);
		if (i != 0 || in_8(in) >= 0xf0)
			iov.ptr = in_num(in);
		memcpy(at + VENET_SG_IOV_OFFSET + i * sizeof(iov), &iov, sizeof(iov));
	}
}

static void
signal_north(struct fuzz_in *in)
{
	struct rte_vbus_shm *shm;

	if (south.nb_shm == 0)
		return;
	shm = south.shm[in_8(in) % south.nb_shm];
	if (shm->notify != NULL)
		shm->notify(shm);
	fuzz_ctl_poll();
}

static void
lose(void)
{
	south.dev.present = false;
	(void)rte_vbus_close(&south.dev);
	south.drv->lost(&south.dev);
}

static void
step(struct fuzz_in *in)
{
	uint8_t op = in_8(in);

	switch (op % 16) {
	default:
		poke(in);
		break;
	case 5:
	case 6:
		poke_sg(in);
		break;
	case 7:
	case 8:
	case 9:
		receive(in);
		break;
	case 10:
	case 11:
		transmit(in);
		break;
	case 12:
		signal_north(in);
		break;
	case 13:
		(void)rte_eth_rx_queue_count(south.port, 0);
		(void)rte_eth_tx_done_cleanup(south.port, 0, 0);
		break;
	case 14:
		if (op == 0xee) {
			lose();
		} else if (op == 0xfe && !south.dev.present) {
			south.dev.present = true;
			south.drv->back(&south.dev);
		}
		break;
	case 15:
		fuzz_ctl_tick(1000000000);
		break;
	}
}

/* ---- life -------------------------------------------------------------------------------------- */

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	static char prefix[64];
	static char *args[] = {(char *)(uintptr_t) "fuzz_pmd_north",
		(char *)(uintptr_t) "--no-huge", (char *)(uintptr_t) "--no-pci",
		(char *)(uintptr_t) "-m", (char *)(uintptr_t) "64",
		(char *)(uintptr_t) "--no-shconf", (char *)(uintptr_t) "--no-telemetry",
		(char *)(uintptr_t) "-l0", (char *)(uintptr_t) "--log-level=*:1",
		(char *)(uintptr_t) "--file-prefix", prefix, NULL};

	(void)argc;
	(void)argv;
	snprintf(prefix, sizeof(prefix), "fuzz-%d", (int)getpid());
	if (rte_eal_init(RTE_DIM(args) - 1, args) < 0) {
		fprintf(stderr, "EAL does not start here\n");
		exit(77);
	}
	rte_log_set_global_level(RTE_LOG_EMERG);
	pool = rte_pktmbuf_pool_create(
		"fuzz", POOL, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	if (pool == NULL || south.drv == NULL)
		return 1;
	snprintf(south.dev.full_name, sizeof(south.dev.full_name), "vbus:l.d");
	south.dev.device.name = south.dev.full_name;
	south.dev.device.driver = &south.drv->driver;
	south.dev.device.numa_node = SOCKET_ID_ANY;
	south.dev.present = true;
	if (south.drv->probe(south.drv, &south.dev) != 0 ||
		rte_eth_dev_get_port_by_name("vbus:l.d", &south.port) != 0)
		return 1;
	return 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in;

	fuzz_begin(&in, data, size);
	start(&in);
	while (in_more(&in) && south.started)
		step(&in);
	fuzz_end();
	south.in = NULL;
	/* Of a south that is there the frames that it keeps would not come back. */
	if (south.dev.present)
		lose();
	south.dev.present = true;
	south.drv->back(&south.dev);
	fuzz_ctl_poll();
	if (south.started)
		FUZZ_CHECK(rte_eth_dev_stop(south.port) == 0);
	fuzz_ctl_poll();
	FUZZ_CHECK(!south.open);
	FUZZ_CHECK(rte_mempool_in_use_count(pool) == 0);
	return 0;
}
