/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * The event ring against a played south, a wild one included. The file under test and the calls' queue
 * are included; devices, blocks and the transport are played here. No EAL runs.
 */

#include "../../../drivers/bus/vbus/vbus_events.c"

#include <stdio.h>

#include "../core/cu_run.h"
#include "vbus_ioq_south.h"

static struct rte_vbus_link link;
static struct vbus_ioq_south south;
static struct vbus_ioq_cursor cursor;
static struct vbus_signal south_sig;

/* What the event ring did. */
static struct {
	uint32_t announced, dropped, signals, closes, posts, fails_at;
	uint32_t last_id;
	char last_type[RTE_VBUS_TYPE_SIZE];
	char last_name[VBUS_DEVNAME_LEN + 1];
	uint64_t last_cookie;
	struct vbus_call *calls[8]; /* submitted, unanswered */
	uint32_t nb_calls;
	uint32_t timers;
} seen;

void
vbus_dev_announced(struct rte_vbus_link *l, uint32_t id, const char *type, const char *name)
{
	(void)l;
	seen.announced++;
	seen.last_id = id;
	snprintf(seen.last_type, sizeof(seen.last_type), "%s", type);
	snprintf(seen.last_name, sizeof(seen.last_name), "%s", name);
	if (seen.announced == seen.fails_at)
		link.state = VBUS_LINK_WAITING;
}

void
vbus_dev_dropped(struct rte_vbus_link *l, uint32_t id)
{
	(void)l;
	seen.dropped++;
	seen.last_id = id;
}

bool
vbus_shm_event(struct rte_vbus_link *l, uint64_t cookie, bool closed)
{
	(void)l;
	seen.last_cookie = cookie;
	if (closed)
		seen.closes++;
	else
		seen.signals++;
	return cookie != 666;
}

struct vbus_call *
vbus_call_new(uint32_t vector, uint32_t block_len, uint32_t data_len)
{
	struct vbus_call *c = calloc(1, sizeof(*c) + data_len);

	c->vector = vector;
	c->block_len = block_len;
	return c;
}

void
vbus_call_submit(struct rte_vbus_link *l, struct vbus_call *c)
{
	(void)l;
	seen.calls[seen.nb_calls++] = c;
}

void
vbus_link_settle(struct rte_vbus_link *l)
{
	(void)l;
}

uint64_t
vbus_link_addr(const struct rte_vbus_link *l, const void *va)
{
	(void)l;
	return (uintptr_t)va;
}

void
vbus_ctl_timer_arm(struct vbus_ctl_timer *t, uint64_t delay_ns)
{
	(void)t;
	CU_ASSERT_EQUAL(delay_ns, 0);
	seen.timers++;
}

static void
played_signal(struct rte_vbus_link *l, uint32_t off, uint32_t value)
{
	(void)l;
	CU_ASSERT_TRUE(off == 0 && value == 0);
	seen.posts++;
}

static const struct vbus_link_ops ops = {.signal = played_signal};

/* A session has begun: south has attached to the ring. */
static void
fresh(uint64_t caps)
{
	memset(&seen, 0, sizeof(seen));
	memset(&cursor, 0, sizeof(cursor));
	link.ops = &ops;
	link.caps = caps;
	link.state = VBUS_LINK_UP;
	link.session++;
	memset(&link.stats, 0, sizeof(link.stats));
	CU_ASSERT_EQUAL_FATAL(vbus_events_format(&link), 0);
	CU_ASSERT_EQUAL_FATAL(vbus_ioq_south_attach(&south, link.shared->ring,
				      sizeof(link.shared->ring), 4096, &cursor, VBUS_IOQ_FRESH),
		0);
	CU_ASSERT_EQUAL_FATAL(
		vbus_signal_attach(&south_sig, link.shared->ring + IOQ_RING_SIGNAL_OFFSET,
			VBUS_LOCALITY_SOUTH),
		0);
	vbus_events_enable(&link);
	memset(&seen, 0, sizeof(seen));
}

/* South sends. @return would it raise the interrupt? */
static bool
send_event(const struct vbus_pci_event *ev)
{
	struct vbus_ioq_entry e;

	if (vbus_ioq_south_produce_peek(&south, &e, 1) != 1)
		return false;
	CU_ASSERT_TRUE(e.len == sizeof(*ev));
	memcpy((void *)(uintptr_t)e.ptr, ev, sizeof(*ev));
	vbus_ioq_south_produce_push(&south, &e, 1);
	return vbus_signal_inject(&south_sig);
}

static struct vbus_pci_event
event(uint32_t id, uint64_t value)
{
	struct vbus_pci_event ev;

	memset(&ev, 0xa5, sizeof(ev)); /* what is not said is garbage */
	ev.eventid = id;
	ev.data.handle.handle = value;
	return ev;
}

static struct vbus_pci_event
event_devadd(uint64_t id, const char *type)
{
	struct vbus_pci_event ev = event(VBUS_PCI_EVENT_DEVADD, id);

	if (type != NULL)
		strcpy(ev.data.add.type, type);
	return ev;
}

static void
answer(struct vbus_call *c, int32_t result, const char *name)
{
	c->result = result;
	if (name != NULL)
		strcpy(c->block.devname.name, name);
	c->fn(&link, c);
}

static void
test_each(void)
{
	struct vbus_pci_event ev;

	fresh(0);
	ev = event_devadd(7, "virtual-ethernet");
	CU_ASSERT_TRUE(send_event(&ev));
	ev = event(VBUS_PCI_EVENT_SHMSIGNAL, 0x1234567800000009);
	CU_ASSERT_FALSE(send_event(&ev)); /* one is pending */
	vbus_events_run(&link);
	CU_ASSERT_EQUAL(seen.announced, 1);
	CU_ASSERT_EQUAL(seen.last_id, 7);
	CU_ASSERT_STRING_EQUAL(seen.last_type, "virtual-ethernet");
	CU_ASSERT_STRING_EQUAL(seen.last_name, "");
	CU_ASSERT_EQUAL(seen.signals, 1);
	CU_ASSERT_EQUAL(seen.last_cookie, 0x1234567800000009);
	ev = event(VBUS_PCI_EVENT_SHMCLOSE, 5);
	CU_ASSERT_TRUE(send_event(&ev)); /* pending was cleared */
	vbus_events_run(&link);
	CU_ASSERT_EQUAL(seen.closes, 1);
	ev = event(VBUS_PCI_EVENT_DEVDROP, 7);
	CU_ASSERT_TRUE(send_event(&ev));
	vbus_events_run(&link);
	CU_ASSERT_EQUAL(seen.dropped, 1);
	CU_ASSERT_EQUAL(link.stats.nb_events, 4);
	CU_ASSERT_EQUAL(link.stats.nb_bad_events, 0);
	CU_ASSERT_EQUAL(seen.posts, 0); /* south does not want to know */
}

static void
test_wild(void)
{
	struct vbus_pci_event ev;

	fresh(VBUS_CAP_DEVNAME);
	ev = event_devadd(1, NULL); /* 128 bytes without an end */
	send_event(&ev);
	ev = event_devadd(1, "");
	send_event(&ev);
	ev = event_devadd(0x100000000, "x");
	send_event(&ev);
	ev = event(4, 1);
	send_event(&ev);
	ev = event(UINT32_MAX, 1);
	send_event(&ev);
	ev = event(VBUS_PCI_EVENT_SHMSIGNAL, 666);
	send_event(&ev);
	vbus_events_run(&link);
	CU_ASSERT_EQUAL(link.stats.nb_bad_events, 6);
	CU_ASSERT_EQUAL(seen.announced + seen.nb_calls, 0);
	/* What south writes into the ring's entries for itself is not read back. */
	for (uint32_t i = 0; i < VBUS_BUS_EVENTS; i++) {
		struct ioq_ring_desc *d = (struct ioq_ring_desc *)(void *)(link.shared->ring +
									   IOQ_RING_DESC_OFFSET);

		d[i].ptr = UINT64_MAX;
		d[i].cookie = UINT64_MAX;
		d[i].len = UINT64_MAX;
		d[i].sown = IOQ_SOWN_NORTH; /* all are "filled" */
	}
	vbus_events_run(&link);
	CU_ASSERT_TRUE(link.stats.nb_events >= VBUS_BUS_EVENTS);
	/* It can be kept busy, but only so long at a time. */
	CU_ASSERT_TRUE(link.stats.nb_events <= 6 * VBUS_BUS_EVENTS);
	while (seen.nb_calls > 0)
		answer(seen.calls[--seen.nb_calls], -ENOENT, NULL);
}

static void
test_names(void)
{
	struct vbus_pci_event ev;

	fresh(VBUS_CAP_DEVNAME);
	ev = event_devadd(1, "t");
	send_event(&ev);
	ev = event_devadd(2, "t");
	send_event(&ev);
	ev = event_devadd(3, "t");
	send_event(&ev);
	ev = event(VBUS_PCI_EVENT_DEVDROP, 2);
	send_event(&ev);
	vbus_events_run(&link);
	CU_ASSERT_EQUAL_FATAL(seen.nb_calls, 3);
	CU_ASSERT_EQUAL(seen.announced + seen.dropped, 0);
	CU_ASSERT_EQUAL(seen.calls[1]->block.devname.devid, 2);
	answer(seen.calls[0], 0, "eth0");
	CU_ASSERT_EQUAL(seen.announced, 1);
	CU_ASSERT_STRING_EQUAL(seen.last_name, "eth0");
	answer(seen.calls[1], -ENOENT, NULL); /* dropped meanwhile: as if it never came */
	CU_ASSERT_EQUAL(seen.announced, 1);
	answer(seen.calls[2], -ENOENT, NULL); /* no name: TYPE-ID it will be */
	CU_ASSERT_EQUAL(seen.announced, 2);
	CU_ASSERT_STRING_EQUAL(seen.last_name, "");
	CU_ASSERT_TRUE(TAILQ_EMPTY(&link.announces));
	ev = event(VBUS_PCI_EVENT_DEVDROP, 3);
	send_event(&ev);
	vbus_events_run(&link);
	CU_ASSERT_EQUAL(seen.dropped, 1);
	/* The link is lost while a name is asked for. */
	ev = event_devadd(9, "t");
	send_event(&ev);
	seen.nb_calls = 0;
	vbus_events_run(&link);
	CU_ASSERT_EQUAL_FATAL(seen.nb_calls, 1);
	link.state = VBUS_LINK_WAITING;
	answer(seen.calls[0], -ENOTCONN, NULL);
	CU_ASSERT_EQUAL(seen.announced, 2);
	CU_ASSERT_TRUE(TAILQ_EMPTY(&link.announces));
}

/* Many laps; south learns by its signal that there is room again, once per batch. */
static void
test_laps(void)
{
	struct vbus_pci_event ev = event(VBUS_PCI_EVENT_SHMSIGNAL, 1);
	uint32_t sent = 0, rounds = 0;

	fresh(0);
	while (sent < 10 * VBUS_BUS_EVENTS) {
		uint32_t n = 0;

		(void)vbus_signal_enable(&south_sig);
		while (vbus_ioq_south_produce_count(&south, 1) == 1) {
			send_event(&ev);
			n++;
		}
		CU_ASSERT_EQUAL(n, VBUS_BUS_EVENTS);
		sent += n;
		rounds++;
		vbus_events_run(&link);
		CU_ASSERT_EQUAL(seen.posts, rounds);
		vbus_signal_take(&south_sig);
	}
	CU_ASSERT_EQUAL(seen.signals, sent);
	/* A south that forgets to raise its signal is found all the same, on the next interrupt. */
	vbus_signal_disable(&link.event_sig);
	send_event(&ev);
	vbus_events_run(&link);
	CU_ASSERT_EQUAL(seen.signals, sent + 1);
}

/* The link fails in the middle of a batch: the rest of the batch is of a session that is over. */
static void
test_fails_in_batch(void)
{
	struct vbus_pci_event ev;

	fresh(0);
	for (uint32_t i = 1; i <= 5; i++) {
		ev = event_devadd(i, "t");
		send_event(&ev);
	}
	seen.fails_at = 3;
	vbus_events_run(&link);
	CU_ASSERT_EQUAL(seen.announced, 3);
	vbus_events_run(&link); /* not up: nothing */
	CU_ASSERT_EQUAL(seen.announced, 3);
	CU_ASSERT_EQUAL(seen.posts, 0);
}

int
main(void)
{
	static const struct cu_test tests[] = {
		{"each event", test_each},
		{"wild events", test_wild},
		{"names", test_names},
		{"many laps", test_laps},
		{"failure within a batch", test_fails_in_batch},
		{NULL, NULL},
	};
	int ret;

	TAILQ_INIT(&link.announces);
	link.shared = aligned_alloc(64, sizeof(*link.shared));
	if (link.shared == NULL)
		return 1;
	ret = cu_run("events", tests, NULL, NULL);
	free(link.shared);
	return ret;
}
