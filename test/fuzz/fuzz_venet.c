/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * The venet class on a real bridge, with any north: every combination of SG, PMTD, segmentation, event
 * queue, L4RO and the ring for pollers; frames that are good, half good, or anything. What comes from
 * north is looked at as a switch would, and goes back to north as another guest's frames would,
 * with the requests it came with.
 *
 * What must hold: mbufs are consistent, none is lost, and no frame is larger than there can be.
 */

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>

#include <vbus/venet.h>
#include <vbus/venet_poll.h>

#include "fuzz_link.h"
#include "vbus_poll.h"
#include "vbus_venet.h"

#define FRAMES	  0x10000u /* where transmit frames lie, FRAME bytes each */
#define BUFFERS	  0x18000u /* receive buffers */
#define FRAME	  1024u
#define SLOTS	  32u
#define FRAME_MAX 65553u
#define BURST	  64u
#define POOL	  511u
#define PAIRS	  3u
#define KEEP	  200u /* bytes: such frames stay in north's memory */

static struct vbus_venet *venet;
static struct rte_mempool *pool;
static struct rte_mbuf *held[8]; /* frames that south's application has not freed yet */
static uint32_t nb_held;

/* North's side of the device. */
static struct {
	uint32_t count, sg, evq, l4ro, poll;
	struct link_ring *rx, *tx, *ev, *pages;
	struct vbus_poll_north poll_rx[PAIRS], poll_tx[PAIRS];
	uint32_t pairs; /* formatted */
	bool poll_there;
	uint32_t tx_pool, ev_pool, rx_pool; /* offsets */
} north;

static void
on_link(void *arg, bool up)
{
	(void)arg;
	(void)up;
}

static void
nothing(void *arg)
{
	(void)arg;
}

static void
on_wake(void *arg, uint16_t queue)
{
	(void)arg;
	(void)queue;
}

static const struct vbus_venet_user user = {
	.link = on_link, .quiesce = nothing, .rx_wake = on_wake};

/* ---- north comes up ---------------------------------------------------------------------------- */

static uint32_t
negcap(uint32_t gid, uint32_t bits)
{
	struct venet_capabilities c = {.gid = gid, .bits = bits};

	return link_func(VENET_FUNC_NEGCAP, &c, sizeof(c)) == 0 ? c.bits : 0;
}

static void
post_rx(uint32_t i, uint32_t room)
{
	struct vbus_ioq_entry e = {.cookie = i, .ptr = link_addr(BUFFERS + i * FRAME), .len = room};

	if (north.l4ro != 0) {
		struct venet_sg sg = {.cookie = i, .count = 1};
		struct venet_iov iov = {.len = room, .ptr = e.ptr};
		uint8_t *at = lk.mem + north.rx_pool + i * VENET_POOL_SLOT_SIZE;

		memcpy(at, &sg, sizeof(sg));
		memcpy(at + VENET_SG_IOV_OFFSET, &iov, sizeof(iov));
		e.ptr = i * VENET_POOL_SLOT_SIZE;
		e.len = VENET_POOL_SLOT_SIZE;
	}
	(void)vbus_ioq_north_post(&north.rx->q, &e, 1);
}

static uint32_t
share_pool(uint32_t id, uint32_t slot)
{
	uint32_t off = link_alloc(slot * north.count);

	(void)link_shm(id, off, slot * north.count, UINT32_MAX);
	return off;
}

static void
share_ioqs(struct fuzz_in *in)
{
	uint32_t room = in_8(in) * 8u, i;

	if (north.evq != 0) {
		north.ev_pool = share_pool(VBUS_VENET_BLOCK_EVENTS, VENET_EVENT_SIZE_MAX);
		north.ev = link_ring(VBUS_VENET_BLOCK_EVENTQ, north.count, 0);
		for (i = 0; north.ev != NULL && i < north.count; i++)
			(void)vbus_ioq_north_post(&north.ev->q,
				&(struct vbus_ioq_entry){
					i, i * VENET_EVENT_SIZE_MAX, VENET_EVENT_SIZE_MAX},
				1);
	}
	if (north.poll != 0)
		return;
	if (north.l4ro != 0) {
		north.rx_pool = share_pool(VBUS_VENET_BLOCK_L4RO_POOL, VENET_POOL_SLOT_SIZE);
		north.pages = link_ring(VBUS_VENET_BLOCK_PAGES, north.count, 0);
		for (i = 0; north.pages != NULL && i < north.count; i++)
			(void)vbus_ioq_north_push_inuse(&north.pages->q,
				&(struct vbus_ioq_entry){i, link_addr(BUFFERS + i * FRAME), 2048},
				1);
	}
	north.rx = link_ring(VENET_QUEUE_RX, north.count, 1);
	north.tx = link_ring(VENET_QUEUE_TX, north.count, 1);
	if ((north.sg & VENET_CAP_PMTD) != 0)
		north.tx_pool = share_pool(VBUS_VENET_BLOCK_TX_POOL, VENET_POOL_SLOT_SIZE);
	for (i = 0; north.rx != NULL && i < north.count; i++)
		post_rx(i, room);
}

/* A ring, in one area or in two. */
static bool
share_ring(uint32_t pair, uint32_t kind, struct vbus_poll_north *q, uint32_t count)
{
	const bool placed = (north.poll & VENET_CAP_POLL_PLACED) != 0;
	const bool keep = (north.poll & VENET_CAP_POLL_KEEP) != 0 && kind == VENET_POLL_TX;
	const bool newest = (north.poll & VENET_CAP_POLL_NEWEST) != 0 && kind == VENET_POLL_RX;
	uint32_t len = (uint32_t)(placed   ? vbus_poll_placed_size(count)
				  : keep   ? VENET_POLL_TX_KEEP_SIZE(count)
				  : newest ? VENET_POLL_RX_NEWEST_SIZE(count)
					   : vbus_poll_size(kind, count));
	uint32_t off = link_alloc(len), back;
	int ret;

	if (placed) {
		back = link_alloc((uint32_t)vbus_poll_back_size(kind, count));
		ret = vbus_poll_north_format_placed(
			q, lk.mem + off, lk.mem + back, link_addr(back), kind, count, count);
	} else {
		ret = vbus_poll_north_format(q, lk.mem + off, kind, count, count);
		if (newest)
			vbus_poll_north_newest(q, lk.mem + off, 1500);
	}
	if (ret == 0)
		(void)link_shm(
			VBUS_VENET_BLOCK_POLL(pair, kind), off, len, VENET_POLL_SIGNAL_OFFSET);
	return ret == 0;
}

static void
share_pair(uint32_t pair, uint32_t count)
{
	uint32_t i;

	if (!share_ring(pair, VENET_POLL_RX, &north.poll_rx[pair], count) ||
		!share_ring(pair, VENET_POLL_TX, &north.poll_tx[pair], count))
		return;
	north.pairs = pair + 1;
	for (i = 0; i < count; i++) {
		const uint64_t addr = link_addr(BUFFERS + i * FRAME);
		uint64_t d = north.poll & VENET_CAP_POLL_NEWEST ? vbus_poll_buffer(addr, i)
								: vbus_poll_desc(addr, 1500, 0);

		vbus_poll_north_post(&north.poll_rx[pair], &d, 1);
	}
}

static void
share_poll(struct fuzz_in *in)
{
	uint8_t how = in_8(in);
	uint32_t want = north.poll & VENET_CAP_POLL_PAIRS ? 1 + (how >> 4) % PAIRS : 1, i;

	for (i = 0; i < want && north.pairs == i; i++)
		share_pair(i, 16u << how % 2);
	north.poll_there = north.pairs != 0;
}

static void
setup(struct fuzz_in *in)
{
	uint8_t how = in_8(in);

	memset(&north, 0, sizeof(north));
	north.count = 1 + in_8(in) % SLOTS;
	(void)link_open(VENET_VERSION);
	if ((how & 1) != 0)
		north.sg = negcap(VENET_CAP_GROUP_SG, how & 2 ? 0x3f : in_8(in));
	if ((how & 4) != 0)
		north.evq = negcap(VENET_CAP_GROUP_EVENTQ, 3);
	if ((how & 8) != 0)
		north.l4ro = negcap(VENET_CAP_GROUP_L4RO, how & 2 ? 0x1f : in_8(in));
	if ((how & 0x30) == 0x30)
		north.poll = negcap(VENET_CAP_GROUP_POLL,
			VENET_CAP_POLL_RING | (how & 2 ? VENET_CAP_POLL_PAIRS : 0) |
				(how & 0x40 ? VENET_CAP_POLL_PLACED : 0) |
				(how & 8 ? VENET_CAP_POLL_KEEP : 0) |
				(how & 0x80 ? VENET_CAP_POLL_NEWEST : 0));
	share_ioqs(in);
	if (north.poll != 0)
		share_poll(in);
	if ((how & 0xc0) != 0xc0)
		(void)link_func(VENET_FUNC_LINKUP, NULL, 0);
}

/* ---- frames ------------------------------------------------------------------------------------ */

/* Headers of a frame: Ethernet, VLAN maybe, IPv4 or IPv6, TCP or UDP; and then it is bent. */
static uint32_t
headers(struct fuzz_in *in, uint8_t *p, uint32_t payload)
{
	uint8_t how = in_8(in);
	uint32_t at = 12, l4 = how & 2 ? 8 : 20, i;

	memset(p, 0, 80);
	p[0] = 2;
	p[6] = 2;
	if ((how & 4) != 0) {
		p[at] = 0x81;
		at += 4;
	}
	if ((how & 1) == 0) {
		p[at] = 0x08;
		at += 2;
		p[at] = 0x45;
		p[at + 2] = (uint8_t)((20 + l4 + payload) >> 8);
		p[at + 3] = (uint8_t)(20 + l4 + payload);
		p[at + 8] = 64;
		p[at + 9] = how & 2 ? 17 : 6;
		at += 20;
	} else {
		p[at] = 0x86;
		p[at + 1] = 0xdd;
		at += 2;
		p[at] = 0x60;
		p[at + 4] = (uint8_t)((l4 + payload) >> 8);
		p[at + 5] = (uint8_t)(l4 + payload);
		p[at + 6] = how & 2 ? 17 : 6;
		at += 40;
	}
	if ((how & 2) == 0)
		p[at + 12] = 0x50;
	else
		p[at + 5] = (uint8_t)(8 + payload);
	at += l4;
	for (i = how >> 5 == 7 ? 1 + in_8(in) % 4u : 0; i != 0; i--)
		p[in_8(in) % at] = in_8(in);
	return at;
}

static void
requests(struct fuzz_in *in, struct venet_sg *sg, uint32_t hdr)
{
	uint8_t how = in_8(in);

	if ((how & 3) == 0)
		return;
	sg->flags = how & 7;
	sg->csum.start = (uint16_t)(hdr - (how & 8 ? 8 : 20));
	sg->csum.offset = how & 8 ? 6 : 16;
	sg->gso.type = how >> 4 & 3;
	sg->gso.hdrlen = (uint16_t)hdr;
	sg->gso.size = 16;
	if ((how & 0xc0) == 0xc0) {
		sg->flags = (uint32_t)in_num(in);
		sg->csum.start = (uint16_t)in_num(in);
		sg->csum.offset = (uint16_t)in_num(in);
		sg->gso.size = (uint16_t)in_num(in);
	} else if ((how & 0x80) != 0) {
		sg->gso.size = (uint16_t)in_num(in);
	}
}

static void
send_poll(struct fuzz_in *in, uint32_t slot, uint32_t len, const struct venet_sg *sg)
{
	struct vbus_poll_north *q = &north.poll_tx[slot % north.pairs];
	uint64_t d[4];
	uint32_t n = 0, how = in_8(in);

	q->head += vbus_poll_north_done(q);
	if (vbus_poll_north_room(q) < 4)
		return;
	if (sg->flags != 0)
		d[n++] = vbus_poll_desc(sg->csum.start | (uint64_t)sg->gso.size << 16 |
						(uint64_t)sg->csum.offset << 32 |
						(uint64_t)(sg->flags & 7) << 40 |
						(uint64_t)sg->gso.type << 43,
			0, VENET_POLL_MORE);
	if ((how & 3) == 3)
		d[n++] = vbus_poll_desc(link_addr(FRAMES + slot * FRAME), 64, VENET_POLL_MORE);
	if ((how & 0xf0) == 0xf0)
		d[n++] = in_word(in, 8) & ~VENET_POLL_PHASE;
	else
		d[n++] = vbus_poll_desc(link_addr(FRAMES + slot * FRAME), len,
			(how & 0xf0) == 0xe0 ? VENET_POLL_MORE : 0);
	vbus_poll_north_post(q, d, n);
}

static uint32_t
write_sg(struct fuzz_in *in, uint8_t *at, struct venet_sg *sg, uint64_t frame, uint32_t len)
{
	uint8_t how = in_8(in);
	uint32_t i, left = len;

	sg->count = 1 + how % 8u;
	sg->len = len;
	for (i = 0; i < sg->count; i++) {
		struct venet_iov iov = {.ptr = frame + (len - left)};

		iov.len = i + 1 == sg->count ? left : left / 2;
		if ((how & 0xe0) == 0xe0) {
			iov.ptr = link_any_addr(in);
			iov.len = (uint32_t)in_num(in);
		}
		left -= iov.len <= left ? iov.len : left;
		memcpy(at + VENET_SG_IOV_OFFSET + i * sizeof(iov), &iov, sizeof(iov));
	}
	i = sg->count;
	if ((how & 0xf0) == 0xd0) {
		sg->count = (uint32_t)in_num(in);
		sg->len = (uint32_t)in_num(in);
	}
	memcpy(at, sg, sizeof(*sg));
	return (uint32_t)VENET_SG_SIZE(i);
}

/* One frame on whatever transmit ring there is. */
static void
send_frame(struct fuzz_in *in)
{
	uint32_t slot = north.tx != NULL ? north.tx->q.tail % SLOTS : in_8(in) % SLOTS;
	uint32_t payload = (uint32_t)in_num(in) % 60000, hdr, len;
	struct venet_sg sg = {.cookie = slot};
	struct vbus_ioq_entry e = {.cookie = slot};
	uint64_t done[SLOTS];

	hdr = headers(in, lk.mem + FRAMES + slot * FRAME, payload);
	len = hdr + payload;
	e.ptr = link_addr(FRAMES + slot * FRAME);
	e.len = len;
	if ((north.sg & VENET_CAP_SG) != 0)
		requests(in, &sg, hdr);
	if (north.poll_there) {
		send_poll(in, slot, len % 2000, &sg);
		return;
	}
	if (north.tx == NULL)
		return;
	if ((north.sg & VENET_CAP_PMTD) != 0 && north.tx_pool != 0) {
		e.ptr = slot % north.count * VENET_POOL_SLOT_SIZE;
		e.len = write_sg(in, lk.mem + north.tx_pool + e.ptr, &sg,
			link_addr(FRAMES + slot * FRAME), len);
	} else if ((north.sg & VENET_CAP_SG) != 0) {
		uint32_t off = FRAMES + slot * FRAME + 512;

		e.ptr = link_addr(off);
		e.len = write_sg(in, lk.mem + off, &sg, link_addr(FRAMES + slot * FRAME), len);
	}
	if (vbus_ioq_north_push(&north.tx->q, &e, 1) == 0)
		(void)vbus_ioq_north_reap(&north.tx->q, done, SLOTS);
}

/* ---- south polls ------------------------------------------------------------------------------- */

static void
check_mbuf(const struct rte_mbuf *m)
{
	uint32_t sum = 0, nb = 0;
	const struct rte_mbuf *s;

	for (s = m; s != NULL; s = s->next) {
		FUZZ_CHECK(s->data_off + s->data_len <= s->buf_len);
		FUZZ_CHECK(rte_mbuf_refcnt_read(s) == 1);
		sum += s->data_len;
		nb++;
	}
	FUZZ_CHECK(sum == m->pkt_len && nb == m->nb_segs);
	FUZZ_CHECK(m->pkt_len >= 14 && m->pkt_len <= FRAME_MAX);
}

static void
free_held(void)
{
	rte_pktmbuf_free_bulk(held, nb_held);
	nb_held = 0;
}

static void
poll_rx(struct fuzz_in *in)
{
	struct rte_mbuf *pkts[BURST];
	uint16_t nb = (uint16_t)(1 + in_8(in) % BURST), n, i, sent = 0;
	uint8_t how = in_8(in);

	vbus_venet_set_rx_accept(venet, how & 3);
	n = vbus_venet_rx_burst(venet, 0, pkts, nb);
	FUZZ_CHECK(n <= nb);
	for (i = 0; i < n; i++)
		check_mbuf(pkts[i]);
	/* As a switch does: to the next guest, what it cannot take is dropped. */
	if ((how & 4) != 0)
		sent = vbus_venet_tx_burst(venet, 0, pkts, n);
	FUZZ_CHECK(sent <= n);
	if ((how & 8) != 0)
		free_held();
	while ((how & 0x10) != 0 && sent != n && nb_held != RTE_DIM(held))
		held[nb_held++] = pkts[--n];
	if (sent != n)
		rte_pktmbuf_free_bulk(pkts + sent, n - sent);
}

/* A frame of the host's own. */
static void
poll_tx(struct fuzz_in *in)
{
	uint32_t len = (uint32_t)in_num(in) % 4000, left;
	uint8_t bytes[80], how = in_8(in);
	uint32_t hdr = headers(in, bytes, len);
	struct rte_mbuf *m = rte_pktmbuf_alloc(pool), *last = m;

	if (m == NULL)
		return;
	left = hdr + len;
	memcpy(rte_pktmbuf_append(m, (uint16_t)hdr), bytes, hdr);
	left = len;
	for (;;) {
		uint32_t n = RTE_MIN(left, (uint32_t)rte_pktmbuf_tailroom(last));

		memset(rte_pktmbuf_mtod_offset(last, uint8_t *, last->data_len), 0x33, n);
		last->data_len = (uint16_t)(last->data_len + n);
		left -= n;
		if (left == 0)
			break;
		last->next = rte_pktmbuf_alloc(pool);
		if (last->next == NULL) {
			rte_pktmbuf_free(m);
			return;
		}
		last = last->next;
		m->nb_segs++;
	}
	m->pkt_len = hdr + len;
	if ((how & 1) != 0) { /* requests that fit its headers */
		bool v6 = bytes[12] == 0x86 || (bytes[12] == 0x81 && bytes[16] == 0x86);

		m->l2_len = bytes[12] == 0x81 ? 18 : 14;
		m->l3_len = v6 ? 40 : 20;
		m->l4_len = hdr - m->l2_len - m->l3_len;
		m->ol_flags = v6 ? RTE_MBUF_F_TX_IPV6 : RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM;
		m->ol_flags |= m->l4_len == 8 ? RTE_MBUF_F_TX_UDP_CKSUM : RTE_MBUF_F_TX_TCP_CKSUM;
		if (m->l4_len == 20 && (how & 2) != 0) {
			m->ol_flags |= RTE_MBUF_F_TX_TCP_SEG;
			m->tso_segsz = (uint16_t)(64 + how);
		}
	}
	if (vbus_venet_tx_burst(venet, 0, &m, 1) == 0)
		rte_pktmbuf_free(m);
}

/* North takes what came, and gives the buffers back. */
static void
north_takes(struct fuzz_in *in)
{
	struct vbus_ioq_entry e;
	uint32_t n = in_8(in) % SLOTS;

	if (north.poll_there) {
		struct vbus_poll_north *q = &north.poll_rx[n % north.pairs];

		while (n-- != 0 && vbus_poll_north_is_ready(q, 0)) {
			uint64_t d = vbus_poll_desc(link_addr(BUFFERS), 1 + n * 64, 0);

			q->head++;
			vbus_poll_north_post(q, &d, 1);
		}
		return;
	}
	while (north.rx != NULL && n-- != 0 && vbus_ioq_north_pop(&north.rx->q, &e, 1) == 1)
		post_rx((uint32_t)e.cookie % north.count, 1 + in_8(in) * 16u);
	while (north.ev != NULL && vbus_ioq_north_pop(&north.ev->q, &e, 1) == 1)
		vbus_ioq_north_repost(&north.ev->q, 1);
}

static void
control(struct fuzz_in *in)
{
	uint8_t data[40], how = in_8(in);
	static const uint8_t len[] = {0, 0, 6, 8, 0, 0, 32, 32, 32};
	uint32_t func = how % 9;

	switch (how / 9 % 8) {
	default:
		in_bytes(in, data, sizeof(data));
		(void)link_func(func, data, how < 0xe0 ? len[func] : in_8(in) % sizeof(data));
		break;
	case 4:
		vbus_venet_set_ready(venet, how & 1);
		break;
	case 5:
		vbus_venet_set_mtu(venet, (uint16_t)(VBUS_VENET_MTU_MIN + in_8(in) * 37u));
		break;
	case 6:
		(void)vbus_venet_rx_intr_enable(venet, 0);
		if ((how & 1) != 0)
			vbus_venet_rx_intr_disable(venet, 0);
		break;
	case 7: {
		struct vbus_venet_info info;

		FUZZ_CHECK(vbus_venet_rx_count(venet, 0) <= PAIRS * VENET_POLL_COUNT_MAX);
		FUZZ_CHECK(vbus_venet_tx_free(venet, 0) <= PAIRS * VENET_POLL_COUNT_MAX);
		vbus_venet_info(venet, &info);
		break;
	}
	}
}

static void
step(struct fuzz_in *in)
{
	uint8_t op = in_8(in);

	switch (op % 16) {
	default:
		link_any(in);
		break;
	case 5:
	case 6:
	case 7:
		send_frame(in);
		break;
	case 8:
	case 9:
		poll_rx(in);
		break;
	case 10:
	case 11:
		poll_tx(in);
		break;
	case 12:
		north_takes(in);
		break;
	case 13:
		control(in);
		break;
	case 14:
		if (lk.nb_rings != 0)
			link_kick(&lk.ring[(op >> 4) % lk.nb_rings]);
		break;
	case 15: /* a descriptor of the poll ring, anyhow */
		if (north.poll_there) {
			struct vbus_poll_north *q = op & 0x10 ? north.poll_rx : north.poll_tx;

			q += (op >> 5) % north.pairs;

			q->r.desc[in_8(in) & q->r.mask] = in_word(in, 8);
		}
		break;
	}
}

/* ---- life -------------------------------------------------------------------------------------- */

static int
eal(void)
{
	static char prefix[64];
	static char *args[] = {(char *)(uintptr_t) "fuzz_venet", (char *)(uintptr_t) "--no-huge",
		(char *)(uintptr_t) "--no-pci", (char *)(uintptr_t) "-m", (char *)(uintptr_t) "64",
		(char *)(uintptr_t) "--no-shconf", (char *)(uintptr_t) "--no-telemetry",
		(char *)(uintptr_t) "-l0", (char *)(uintptr_t) "--log-level=*:1",
		(char *)(uintptr_t) "--file-prefix", prefix, NULL};

	snprintf(prefix, sizeof(prefix), "fuzz-%d", (int)getpid());
	if (rte_eal_init(RTE_DIM(args) - 1, args) < 0)
		return 1;
	pool = rte_pktmbuf_pool_create(
		"fuzz", POOL, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	return pool == NULL;
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	const struct vbus_venet_args args = {.nb_queues = PAIRS, .keep = KEEP};
	struct vbus_device *dev;

	(void)argc;
	(void)argv;
	if (eal() != 0) {
		fprintf(stderr, "EAL does not start here\n");
		exit(77);
	}
	dev = vbus_device_create("eth0", "venet", &args);
	venet = vbus_venet_of(dev);
	if (venet == NULL || vbus_venet_bind(venet, &user, pool) != 0)
		return 1;
	vbus_venet_set_ready(venet, true);
	link_init(dev, setup);
	return 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	link_run(data, size, step);
	free_held();
	fuzz_ctl_tick(1000000000); /* the end of what outlived the link by them */
	memset(&north, 0, sizeof(north));
	FUZZ_CHECK(!vbus_venet_link(venet));
	vbus_venet_set_ready(venet, true);
	vbus_venet_set_mtu(venet, 1500);
	FUZZ_CHECK(rte_mempool_in_use_count(pool) == 0);
	return 0;
}
