/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * Events: back-pressure without loss, order, coalescing, the slow timer, notifications from other
 * threads, and a north that lies about its ring.
 */

#include "fixture.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#define ADD    VBUS_PCI_EVENT_DEVADD
#define DROP   VBUS_PCI_EVENT_DEVDROP
#define SIGNAL VBUS_PCI_EVENT_SHMSIGNAL
#define CLOSE  VBUS_PCI_EVENT_SHMCLOSE

static struct vbus_device *
attach(struct north *n, const char *name)
{
	struct vbus_device *dev = dummy_create(name);

	CU_ASSERT_EQUAL(vbus_device_attach(dev, n->bus), 0);
	return dev;
}

static bool
has_event(void *arg)
{
	return north_nb_events(arg) > 0;
}

static bool
no_event_held(void *arg)
{
	return north_info(arg).nb_events_held == 0;
}

/* Many devices, a ring of few entries: every DEVADD comes, in order, whenever there is room. */
static void
back_pressure(uint32_t ring, bool by_signal)
{
	struct vbus_device *devs[20];
	char name[VBUS_NAME_SIZE];
	struct north n;
	uint32_t i;

	north_up(&n, false);
	for (i = 0; i < 20; i++) {
		snprintf(name, sizeof(name), "d%u", i);
		devs[i] = attach(&n, name);
	}
	north_start(&n, ring);
	/* As many as fit were there before QREG was answered; the rest waits. */
	CU_ASSERT_EQUAL(north_nb_events(&n), ring);
	CU_ASSERT_EQUAL(north_info(&n).nb_events_held, 20 - ring);
	CU_ASSERT_EQUAL(n.nb_irqs, 1);
	for (i = 0; i < 20; i++) {
		if (!by_signal)
			CU_ASSERT(north_wait(has_event, &n)); /* the slow timer brings it */
		CU_ASSERT_EQUAL(north_expect(&n, ADD), i + 1);
		if (by_signal && north_nb_events(&n) == 0)
			CU_ASSERT_EQUAL(north_consumed(&n), i + ring < 20 + ring - 1);
	}
	CU_ASSERT_EQUAL(north_info(&n).nb_events_held, 0);
	CU_ASSERT_EQUAL(north_info(&n).nb_events_held_max, 20);
	CU_ASSERT_EQUAL(north_info(&n).nb_events, 20);
	/* Nothing held: north is not asked to write ports. */
	CU_ASSERT_FALSE(north_consumed(&n));
	for (i = 0; i < 20; i++)
		vbus_device_delete(devs[i]);
	CU_ASSERT_EQUAL(north_nb_events(&n), ring);
	north_down(&n);
}

static void
test_back_pressure_1(void)
{
	back_pressure(1, true);
}

static void
test_back_pressure_3(void)
{
	back_pressure(3, true);
}

static void
test_back_pressure_timer(void)
{
	back_pressure(1, false);
	back_pressure(3, false);
}

/* 7.16: the last SHMSIGNAL, then one SHMCLOSE for each DEVSHM with a signal. */
static void
close_order(uint32_t ring)
{
	struct vbus_device *dev;
	uint64_t handle, got[3];
	struct north n;
	unsigned int i;

	north_up(&n, false);
	dev = attach(&n, "d0");
	north_start(&n, ring);
	CU_ASSERT_EQUAL(north_expect(&n, ADD), 1);
	CU_ASSERT_EQUAL(north_open(&n, 1, &handle), 0);
	CU_ASSERT(north_shm(&n, handle, 0, 0, 8, 0xa0) > 0);
	CU_ASSERT(north_shm(&n, handle, 1, 1, 8, 0xa1) > 0);
	CU_ASSERT_EQUAL(north_shm(&n, handle, 2, 2, NO_SIGNAL, 0xa2), 0);
	CU_ASSERT(north_shm(&n, handle, 3, 3, 8, 0xa3) > 0);
	vbus_shm_notify(dummy_of(dev)->shms[1]);
	dummy_of(dev)->notify_at_close = true; /* of block 0 */
	CU_ASSERT_EQUAL(north_close(&n, handle), 0);
	/* Two signals, in any order, before the closes. */
	CU_ASSERT(north_wait(has_event, &n));
	got[0] = north_expect(&n, SIGNAL);
	CU_ASSERT(north_wait(has_event, &n));
	got[1] = north_expect(&n, SIGNAL);
	CU_ASSERT((got[0] == 0xa0 && got[1] == 0xa1) || (got[0] == 0xa1 && got[1] == 0xa0));
	for (i = 0; i < 3; i++) {
		CU_ASSERT(north_wait(has_event, &n));
		got[i] = north_expect(&n, CLOSE);
	}
	CU_ASSERT_EQUAL(got[0] + got[1] + got[2], 0xa0 + 0xa1 + 0xa3);
	CU_ASSERT(got[0] != got[1] && got[1] != got[2] && got[0] != got[2]);
	north_sleep(25);
	north_expect_none(&n);
	vbus_device_delete(dev);
	CU_ASSERT_EQUAL(north_expect(&n, DROP), 1);
	north_down(&n);
}

static void
test_close_order(void)
{
	close_order(64);
	close_order(3);
	close_order(1);
}

/* 7.15: the device goes while it is open. */
static void
test_detach_open(void)
{
	struct vbus_device *dev;
	uint64_t handle;
	struct north n;
	uint8_t data[16] = {1, 2, 3};
	int32_t h;

	north_up(&n, false);
	dev = attach(&n, "d0");
	north_start(&n, 64);
	CU_ASSERT_EQUAL(north_expect(&n, ADD), 1);
	CU_ASSERT_EQUAL(north_open(&n, 1, &handle), 0);
	h = north_shm(&n, handle, 0, 0, 8, 0xb0);
	vbus_shm_notify(dummy_of(dev)->shms[0]);
	vbus_device_detach(dev);
	CU_ASSERT_EQUAL(dummy_of(dev)->nb_close, 1);
	CU_ASSERT_EQUAL(dev->devid, 0);
	CU_ASSERT_EQUAL(north_expect(&n, SIGNAL), 0xb0);
	CU_ASSERT_EQUAL(north_expect(&n, DROP), 1);
	vbus_device_delete(dev);
	/* The handle answers 0 to all that an old driver still does. */
	CU_ASSERT_EQUAL(north_func(&n, handle, DUMMY_FAIL, NULL, 0), 0);
	CU_ASSERT_EQUAL(north_func(&n, handle, DUMMY_INVERT, data, 16), 0);
	CU_ASSERT_EQUAL(data[0], 1);
	CU_ASSERT_EQUAL(north_shm(&n, handle, 5, 1, NO_SIGNAL, 1), 0);
	CU_ASSERT(north_shm(&n, handle, 0, 2, 8, 0xb1) > 0);
	vbus_bridge_signal_write(n.b, 8, (uint32_t)h);
	vbus_bridge_kick(n.b);
	CU_ASSERT_EQUAL(north_open(&n, 1, &handle), -ENODEV);
	north_expect_none(&n);
	north_down(&n);
}

static void
test_detach_close(void)
{
	struct vbus_device *dev;
	uint64_t handle, sum;
	struct north n;

	north_up(&n, false);
	dev = attach(&n, "d0");
	north_start(&n, 64);
	(void)north_expect(&n, ADD);
	CU_ASSERT_EQUAL(north_open(&n, 1, &handle), 0);
	CU_ASSERT(north_shm(&n, handle, 0, 0, 8, 0xb0) > 0);
	vbus_device_detach(dev);
	CU_ASSERT_EQUAL(north_expect(&n, DROP), 1);
	CU_ASSERT(north_shm(&n, handle, 1, 1, 8, 0xb1) > 0);
	/* A driver of ours does close: then the blocks come back as always. */
	CU_ASSERT_EQUAL(north_close(&n, handle), 0);
	sum = north_expect(&n, CLOSE);
	sum += north_expect(&n, CLOSE);
	CU_ASSERT_EQUAL(sum, 0xb0 + 0xb1);
	CU_ASSERT_EQUAL(north_close(&n, handle), -ENOENT);
	CU_ASSERT_EQUAL(north_func(&n, handle, DUMMY_ZERO, NULL, 0), -ENOENT);
	/* The same device again is a new one to north. */
	CU_ASSERT_EQUAL(vbus_device_attach(dev, n.bus), 0);
	CU_ASSERT_EQUAL(north_expect(&n, ADD), 2);
	north_expect_none(&n);
	CU_ASSERT_EQUAL(dummy_of(dev)->nb_close, 1);
	vbus_device_delete(dev);
	north_down(&n);
}

/* A device that comes and goes while its DEVADD waits: north never hears of it, nor opens it. */
static void
test_recall(void)
{
	struct vbus_device *a, *b, *c;
	uint64_t handle;
	struct north n;

	north_up(&n, false);
	north_start(&n, 1);
	a = attach(&n, "a");
	b = attach(&n, "b");
	c = attach(&n, "c");
	CU_ASSERT_EQUAL(north_open(&n, 2, &handle), -ENODEV);
	vbus_device_delete(b);
	vbus_device_delete(a);
	CU_ASSERT_EQUAL(north_expect(&n, ADD), 1);
	CU_ASSERT(north_consumed(&n));
	CU_ASSERT_EQUAL(north_expect(&n, ADD), 3);
	(void)north_consumed(&n);
	CU_ASSERT_EQUAL(north_open(&n, 3, &handle), 0);
	CU_ASSERT_EQUAL(north_expect(&n, DROP), 1);
	CU_ASSERT(north_wait(no_event_held, &n));
	north_expect_none(&n);
	vbus_device_delete(c);
	north_down(&n);
}

/* However often a block is signalled, one SHMSIGNAL of it waits. */
static void
test_coalesce(void)
{
	struct vbus_device *dev;
	struct dummy *d;
	uint64_t handle;
	struct north n;
	unsigned int i;

	north_up(&n, false);
	dev = attach(&n, "d0");
	d = dummy_of(dev);
	north_start(&n, 1);
	(void)north_expect(&n, ADD);
	CU_ASSERT_EQUAL(north_open(&n, 1, &handle), 0);
	CU_ASSERT(north_shm(&n, handle, 0, 0, 8, 0xd0) > 0);
	CU_ASSERT(north_shm(&n, handle, 1, 1, 8, 0xd1) > 0);
	for (i = 0; i < 50; i++) {
		vbus_shm_notify(d->shms[0]);
		vbus_shm_notify(d->shms[1]);
		if (i % 10 == 0)
			north_sleep(3);
	}
	north_sleep(5);
	/* One in the ring, at most one more of each behind it. */
	CU_ASSERT(north_info(&n).nb_events_held <= 2);
	i = 0;
	while (north_wait(has_event, &n) && i < 3) {
		(void)north_expect(&n, SIGNAL);
		if (++i >= 2 && north_info(&n).nb_events_held == 0 && !has_event(&n))
			break;
	}
	CU_ASSERT(i == 2 || i == 3);
	north_sleep(25);
	north_expect_none(&n);
	vbus_shm_notify(d->shms[1]);
	CU_ASSERT(north_wait(has_event, &n));
	CU_ASSERT_EQUAL(north_expect(&n, SIGNAL), 0xd1);
	vbus_device_delete(dev);
	north_down(&n);
}

struct notifier {
	struct vbus_shm *shm;
	atomic_uint nb_posted;
	atomic_bool stop;
};

static void *
notifier_main(void *arg)
{
	struct notifier *t = arg;

	while (!atomic_load(&t->stop)) {
		atomic_fetch_add(&t->nb_posted, 1);
		vbus_shm_notify(t->shm);
	}
	return NULL;
}

/* Threads that poll signal as they like; what was signalled last is always heard of. */
static void
test_notify_threads(void)
{
	struct notifier t[3] = {0};
	pthread_t threads[3];
	struct vbus_device *dev;
	struct vbus_pci_event ev;
	uint64_t handle, nb_seen = 0;
	struct north n;
	unsigned int i;

	north_up(&n, false);
	dev = attach(&n, "d0");
	north_start(&n, 4);
	(void)north_expect(&n, ADD);
	CU_ASSERT_EQUAL(north_open(&n, 1, &handle), 0);
	for (i = 0; i < 3; i++) {
		CU_ASSERT(north_shm(&n, handle, i, i, 8, i) > 0);
		t[i].shm = dummy_of(dev)->shms[i];
		CU_ASSERT_EQUAL(pthread_create(&threads[i], NULL, notifier_main, &t[i]), 0);
	}
	for (i = 0; i < 200; i++) {
		north_sleep(1);
		while (north_event(&n, &ev)) {
			CU_ASSERT_EQUAL(ev.eventid, SIGNAL);
			CU_ASSERT(ev.data.handle.handle < 3);
			nb_seen++;
		}
		(void)north_consumed(&n);
	}
	CU_ASSERT(nb_seen > 10);
	for (i = 0; i < 3; i++) {
		atomic_store(&t[i].stop, true);
		pthread_join(threads[i], NULL);
	}
	/* One more each is heard, whatever of before still comes. */
	for (i = 0; i < 3; i++) {
		bool seen = false;
		unsigned int k;

		north_sleep(20);
		while (north_event(&n, &ev))
			continue;
		vbus_shm_notify(t[i].shm);
		for (k = 0; k < 100 && !seen && north_wait(has_event, &n); k++)
			seen = north_expect(&n, SIGNAL) == i;
		CU_ASSERT(seen);
	}
	vbus_device_delete(dev);
	north_down(&n);
}

struct irq_wait {
	struct north *n;
	unsigned int more_than;
};

static bool
irq_came(void *arg)
{
	const struct irq_wait *w = arg;

	return w->n->nb_irqs > w->more_than;
}

/* 7.2: a wake-up that an old driver missed is repeated while events lie unread; 7.17. */
static void
test_missed_wakeup(void)
{
	struct vbus_device *dev;
	struct shm_signal_desc *s;
	struct irq_wait w;
	struct north n;

	north_up(&n, false);
	s = (struct shm_signal_desc *)(n.mem + NORTH_RING + IOQ_RING_SIGNAL_OFFSET);
	dev = attach(&n, "d0");
	north_start(&n, 8);
	CU_ASSERT_EQUAL(n.nb_irqs, 1);
	CU_ASSERT_EQUAL(s->north.pending & s->north.dirty, 1);
	/* Pending: one interrupt is enough however long it takes. */
	north_sleep(40);
	CU_ASSERT_EQUAL(n.nb_irqs, 1);
	/* North swallows it: cleared, nothing consumed. */
	s->north.pending = 0;
	s->north.dirty = 0;
	w = (struct irq_wait){&n, 1};
	CU_ASSERT(north_wait(irq_came, &w));
	CU_ASSERT_EQUAL(north_expect(&n, ADD), 1);
	s->north.pending = 0;
	s->north.dirty = 0;
	w.more_than = n.nb_irqs;
	north_sleep(40); /* all consumed: it ends */
	CU_ASSERT_EQUAL(n.nb_irqs, w.more_than);
	/* A north that polls is never interrupted. */
	s->north.enabled = 0;
	vbus_device_delete(dev);
	north_sleep(25);
	CU_ASSERT_EQUAL(n.nb_irqs, w.more_than);
	CU_ASSERT_EQUAL(s->north.dirty, 1);
	CU_ASSERT_EQUAL(north_expect(&n, DROP), 1);
	north_down(&n);
}

/* A descriptor that points anywhere else than into the slots. */
static void
test_bad_slot(void)
{
	static const int64_t off[] = {-1, -144, 7 * 144 + 1, 8 * 144, 1 << 20, INT64_MIN};
	struct vbus_device *dev;
	struct ioq_ring_desc *desc;
	struct north n;
	unsigned int i;
	uint8_t guard[144];

	north_up(&n, false);
	dev = attach(&n, "d0");
	desc = (struct ioq_ring_desc *)(n.mem + NORTH_RING + IOQ_RING_DESC_OFFSET);
	memset(guard, 0xc3, sizeof(guard));
	for (i = 0; i < 6; i++) {
		CU_ASSERT_EQUAL(north_negotiate(&n, 0, NULL), 1);
		north_ring_format(&n, 8);
		desc[0].ptr = north_addr(&n, NORTH_SLOTS) + (uint64_t)off[i];
		memcpy(n.mem + NORTH_SLOTS - 144, guard, 144);
		memcpy(n.mem + NORTH_SLOTS + 8 * 144, guard, 144);
		CU_ASSERT_EQUAL(north_qreg_raw(&n, 1, 8, north_addr(&n, NORTH_RING),
					north_addr(&n, NORTH_SLOTS)),
			0);
		CU_ASSERT_EQUAL(memcmp(n.mem + NORTH_SLOTS - 144, guard, 144), 0);
		CU_ASSERT_EQUAL(memcmp(n.mem + NORTH_SLOTS + 8 * 144, guard, 144), 0);
		CU_ASSERT_EQUAL(desc[0].sown, 1);
		CU_ASSERT_EQUAL(north_info(&n).nb_faults, i + 1);
		CU_ASSERT_PTR_NOT_NULL(north_info(&n).fault);
		CU_ASSERT_FALSE(north_info(&n).negotiated);
	}
	/* A slot inside, but not at a multiple of 144, and in reverse order: all the same to south. */
	CU_ASSERT_EQUAL(north_negotiate(&n, 0, NULL), 1);
	north_ring_format(&n, 8);
	desc[0].ptr = north_addr(&n, NORTH_SLOTS + 333);
	CU_ASSERT_EQUAL(
		north_qreg_raw(&n, 1, 8, north_addr(&n, NORTH_RING), north_addr(&n, NORTH_SLOTS)),
		0);
	CU_ASSERT_EQUAL(desc[0].sown, 0);
	CU_ASSERT_STRING_EQUAL((char *)n.mem + NORTH_SLOTS + 333 + 16, "test-dummy");
	vbus_device_delete(dev);
	north_down(&n);
}

/* North reads no event and makes new ones for ever: its own fault. */
static void
test_overflow(void)
{
	struct vbus_device *dev, *other;
	uint64_t handle;
	struct north n;
	uint32_t i, k;

	north_up(&n, false);
	dev = attach(&n, "d0");
	north_start(&n, 4);
	for (i = 0; i < 70000 && north_info(&n).nb_faults == 0; i += 10) {
		if (north_open(&n, 1, &handle) != 0)
			break;
		for (k = 0; k < 10; k++)
			(void)north_shm(&n, handle, k, 0, 8, k);
		CU_ASSERT_EQUAL(north_close(&n, handle), 0);
	}
	CU_ASSERT(i >= 65000 && i < 66000);
	CU_ASSERT_EQUAL(north_info(&n).nb_faults, 1);
	CU_ASSERT_FALSE(north_info(&n).negotiated);
	CU_ASSERT_EQUAL(north_info(&n).nb_events_held, 0);
	other = attach(&n, "d1");
	north_start(&n, 4);
	CU_ASSERT_EQUAL(north_expect(&n, ADD), 2);
	CU_ASSERT_EQUAL(north_expect(&n, ADD), 3);
	north_expect_none(&n);
	vbus_device_delete(dev);
	vbus_device_delete(other);
	north_down(&n);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"back-pressure, 1 entry", test_back_pressure_1},
		{"back-pressure, 3 entries", test_back_pressure_3},
		{"back-pressure, timer only", test_back_pressure_timer},
		{"order at close", test_close_order},
		{"detach while open", test_detach_open},
		{"detach, then close", test_detach_close},
		{"recalled DEVADD", test_recall},
		{"coalesced signals", test_coalesce},
		{"notify from threads", test_notify_threads},
		{"missed wake-up", test_missed_wakeup},
		{"bad slot", test_bad_slot},
		{"backlog overflow", test_overflow},
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{"bridge_event", NULL, NULL, NULL, NULL, tests}, CU_SUITE_INFO_NULL};

	return fixture_run(suites);
}
