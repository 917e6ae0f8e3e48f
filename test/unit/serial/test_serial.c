/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * The serial class without a back end: the test polls. Streams compare equal in both directions with
 * entries of all sizes and receivers that stall; breaks keep their place; WRITE works without rings.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <vbus/serial.h>

#include "../core/cu_run.h"
#include "../core/stepped.h"
#include "../rng/kind_rig.h"
#include "serial_internal.h"
#include "vbus_memmap.h"

#define STREAM	(4u << 20)
#define ENTRIES 16u
#define SLOT	8192u

static struct kind_rig k;
static struct kind_rig_ring in, out;
static uint32_t in_off, out_off, state_off; /* north's buffers, one SLOT per entry */
static struct vbus_serial *s;
static unsigned int nb_wakes, nb_quiesces;
static uint8_t buf[2 * VBUS_SERIAL_ENTRY_MAX];

static void
on_quiesce(void *arg)
{
	(void)arg;
	nb_quiesces++;
}

static void
on_wake(void *arg)
{
	(void)arg;
	nb_wakes++;
}

static const struct vbus_serial_user user = {.quiesce = on_quiesce, .wake = on_wake};

static uint32_t
next_random(uint32_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 17;
	*x ^= *x << 5;
	return *x;
}

static void
share(void)
{
	CU_ASSERT_EQUAL_FATAL(kind_ring(&k, &in, VSERIAL_BLOCK_IN, ENTRIES), 0);
	CU_ASSERT_EQUAL_FATAL(kind_ring(&k, &out, VSERIAL_BLOCK_OUT, ENTRIES), 0);
	state_off = kind_mem(&k, sizeof(struct vserial_state));
	memset(k.n.mem + state_off, 0, sizeof(struct vserial_state));
	CU_ASSERT_EQUAL_FATAL(
		kind_block(&k, VSERIAL_BLOCK_STATE, state_off, sizeof(struct vserial_state), true),
		0);
	in_off = kind_mem(&k, ENTRIES * SLOT);
	out_off = kind_mem(&k, ENTRIES * SLOT);
}

static void
up(void)
{
	struct vbus_device *dev = vbus_device_create("tty0", "serial", NULL);

	CU_ASSERT_PTR_NOT_NULL_FATAL(dev);
	s = vbus_serial_of(dev);
	CU_ASSERT_PTR_NOT_NULL_FATAL(s);
	CU_ASSERT_EQUAL(vbus_serial_bind(s, &user), 0);
	CU_ASSERT_EQUAL(vbus_serial_bind(s, &user), -EBUSY);
	kind_up(&k, dev, VSERIAL_TYPE);
	CU_ASSERT_EQUAL(kind_open(&k, VSERIAL_VERSION + 1), -EINVAL);
	CU_ASSERT_EQUAL(kind_open(&k, VSERIAL_VERSION), 0);
	share();
}

static void
start(void)
{
	CU_ASSERT_EQUAL(kind_call(&k, VSERIAL_FUNC_START, NULL, 0), 0);
}

static void
down(void)
{
	struct vbus_device *dev = k.dev;

	kind_down(&k);
	vbus_serial_bind(s, NULL);
	vbus_device_delete(dev);
}

static uint32_t
slot_of(uint32_t base, uint32_t index)
{
	return base + index % ENTRIES * SLOT;
}

static const struct vserial_state *
state(void)
{
	return (const void *)(k.n.mem + state_off);
}

static void
test_functions(void)
{
	struct vserial_config c;
	bool brk;

	vbus_ctl_lock();
	up();
	CU_ASSERT_EQUAL(kind_call(&k, VSERIAL_FUNC_CONFIG, &c, sizeof(c)), 0);
	CU_ASSERT_EQUAL(c.ring_max, VSERIAL_RING_MAX);
	CU_ASSERT_EQUAL(c.write_max, VSERIAL_WRITE_MAX);
	CU_ASSERT_EQUAL(kind_call(&k, VSERIAL_FUNC_CONFIG, &c, 16), -EINVAL);
	CU_ASSERT_EQUAL(kind_call(&k, 77, NULL, 0), -EINVAL);
	CU_ASSERT_FALSE(vbus_serial_up(s));
	CU_ASSERT_EQUAL(vbus_serial_write(s, "x", 1), 0);
	CU_ASSERT_EQUAL(vbus_serial_read(s, buf, sizeof(buf), &brk), 0);
	start();
	CU_ASSERT(vbus_serial_up(s));
	CU_ASSERT_EQUAL(kind_call(&k, VSERIAL_FUNC_START, NULL, 0), -EEXIST);
	CU_ASSERT_EQUAL(kind_ring(&k, &in, VSERIAL_BLOCK_IN, ENTRIES), -EEXIST);
	CU_ASSERT_EQUAL(kind_call(&k, VSERIAL_FUNC_STOP, NULL, 0), 0);
	CU_ASSERT_EQUAL(kind_call(&k, VSERIAL_FUNC_STOP, NULL, 0), 0);
	CU_ASSERT_FALSE(vbus_serial_up(s));
	CU_ASSERT_EQUAL(nb_quiesces, 1);
	down();
	vbus_ctl_unlock();
}

/* Output: entries of 0 to SLOT bytes, a reader that has little room at times. */
static void
test_output(void)
{
	uint32_t wrote = 0, got = 0, nb = 0, wx = 1, rx = 1, sizes = 7, wrong = 0, i;
	uint64_t reaped[ENTRIES];
	uint64_t end = kind_ms() + 20000;

	vbus_ctl_lock();
	up();
	start();
	while (got < STREAM && kind_ms() < end) {
		bool brk;
		uint32_t n;

		vbus_ioq_north_reap(&out.q, reaped, ENTRIES);
		while (wrote < STREAM && vbus_ioq_north_room(&out.q) != 0) {
			struct vbus_ioq_entry e;
			uint8_t *p = k.n.mem + slot_of(out_off, nb);

			e.len = next_random(&sizes) % (SLOT + 1);
			e.len = e.len < STREAM - wrote ? e.len : STREAM - wrote;
			e.ptr = north_addr(&k.n, slot_of(out_off, nb));
			e.cookie = nb++;
			for (i = 0; i < e.len; i++)
				p[i] = (uint8_t)next_random(&wx);
			CU_ASSERT_EQUAL_FATAL(vbus_ioq_north_push(&out.q, &e, 1), 1);
			wrote += (uint32_t)e.len;
		}
		n = vbus_serial_read(s, buf, SLOT + next_random(&sizes) % SLOT, &brk);
		CU_ASSERT_FALSE(brk);
		for (i = 0; i < n; i++)
			wrong += buf[i] != (uint8_t)next_random(&rx);
		got += n;
	}
	CU_ASSERT_EQUAL(got, STREAM);
	CU_ASSERT_EQUAL(wrong, 0);
	down();
	vbus_ctl_unlock();
}

/* Input: buffers of 1 to SLOT bytes, more to write than there is room for. */
static void
test_input(void)
{
	uint32_t wrote = 0, got = 0, nb = 0, wx = 1, rx = 1, sizes = 9, wrong = 0, i;
	uint64_t end = kind_ms() + 20000;
	uint32_t have = 0; /* bytes in buf that were not taken yet */

	vbus_ctl_lock();
	up();
	start();
	while (got < STREAM && kind_ms() < end) {
		struct vbus_ioq_entry e;
		uint32_t n;

		while (vbus_ioq_north_post_room(&in.q) != 0) {
			e.len = 1 + next_random(&sizes) % SLOT;
			e.cookie = slot_of(in_off, nb++);
			e.ptr = north_addr(&k.n, (uint32_t)e.cookie);
			CU_ASSERT_EQUAL_FATAL(vbus_ioq_north_post(&in.q, &e, 1), 1);
		}
		for (; have < 30000 && wrote < STREAM; wrote++)
			buf[have++] = (uint8_t)next_random(&wx);
		n = vbus_serial_write(s, buf, have);
		memmove(buf, buf + n, have - n);
		have -= n;
		while (vbus_ioq_north_pop(&in.q, &e, 1) != 0) {
			CU_ASSERT_FATAL(e.len <= SLOT);
			for (i = 0; i < e.len; i++)
				wrong += k.n.mem[e.cookie + i] != (uint8_t)next_random(&rx);
			got += (uint32_t)e.len;
		}
	}
	CU_ASSERT_EQUAL(got, STREAM);
	CU_ASSERT_EQUAL(wrong, 0);
	down();
	vbus_ctl_unlock();
}

static void
push(const char *text, uint64_t len)
{
	static uint32_t nb;
	const uint32_t off = slot_of(out_off, nb++);
	const struct vbus_ioq_entry e = {.ptr = north_addr(&k.n, off), .len = len};

	memcpy(k.n.mem + off, text, strlen(text));
	CU_ASSERT_EQUAL(vbus_ioq_north_push(&out.q, &e, 1), 1);
}

static void
test_break(void)
{
	struct vbus_ioq_entry e = {.ptr = north_addr(&k.n, in_off), .len = 100};
	bool brk;

	vbus_ctl_lock();
	up();
	start();
	push("ab", 2);
	push("cd", 2 | VSERIAL_LEN_BREAK);
	push("", VSERIAL_LEN_BREAK);
	push("ef", 2);
	CU_ASSERT_EQUAL(vbus_serial_read(s, buf, 100, &brk), 2);
	CU_ASSERT_FALSE(brk);
	CU_ASSERT_EQUAL(vbus_serial_read(s, buf, 100, &brk), 2);
	CU_ASSERT(brk && memcmp(buf, "cd", 2) == 0);
	CU_ASSERT_EQUAL(vbus_serial_read(s, buf, 100, &brk), 2);
	CU_ASSERT(brk && memcmp(buf, "ef", 2) == 0);

	CU_ASSERT_FALSE(vbus_serial_break(s));
	e.ptr = north_addr(&k.n, in_off);
	CU_ASSERT_EQUAL(vbus_ioq_north_post(&in.q, &e, 1), 1);
	CU_ASSERT_EQUAL(vbus_ioq_north_post(&in.q, &e, 1), 1);
	CU_ASSERT(vbus_serial_break(s));
	CU_ASSERT_EQUAL(vbus_serial_write(s, "zz", 2), 2);
	CU_ASSERT_EQUAL(vbus_ioq_north_pop(&in.q, &e, 1), 1);
	CU_ASSERT_EQUAL(e.len, VSERIAL_LEN_BREAK);
	CU_ASSERT_EQUAL(vbus_ioq_north_pop(&in.q, &e, 1), 1);
	CU_ASSERT_EQUAL(e.len, 2);
	down();
	vbus_ctl_unlock();
}

/* A panic: no rings, no interrupts. */
static void
test_write_call(void)
{
	static char text[VSERIAL_WRITE_MAX + 1];
	uint32_t taken = 0;
	bool brk;
	int i, n;

	vbus_ctl_lock();
	up();
	memset(text, 'p', sizeof(text));
	CU_ASSERT_EQUAL(kind_call(&k, VSERIAL_FUNC_WRITE, text, 0), -EINVAL);
	CU_ASSERT_EQUAL(kind_call(&k, VSERIAL_FUNC_WRITE, text, 5), 5);
	CU_ASSERT_EQUAL(vbus_serial_arm(s), VBUS_SERIAL_OUTPUT);
	CU_ASSERT_EQUAL(vbus_serial_read(s, buf, 100, &brk), 5);
	CU_ASSERT_EQUAL(vbus_serial_arm(s), 0);
	CU_ASSERT_EQUAL(memcmp(buf, "ppppp", 5), 0);
	for (i = 0; i < 6; i++) {
		n = kind_call(&k, VSERIAL_FUNC_WRITE, text, VSERIAL_WRITE_MAX);
		CU_ASSERT_FATAL(n >= 0);
		taken += (uint32_t)n;
	}
	CU_ASSERT_EQUAL(n, 0);
	CU_ASSERT_EQUAL(vbus_serial_read(s, buf, sizeof(buf), &brk), taken);
	CU_ASSERT(taken >= VSERIAL_WRITE_MAX);
	down();
	vbus_ctl_unlock();
}

/* ---- killed ---- */

/* What outlives a process of ours: what a keeper keeps, and who is attached. */
struct survivor {
	struct vbus_serial_kept kept;
	uint8_t sink[1u << 16];
};
static struct survivor *survivor;

static uint8_t
numbered(uint32_t at)
{
	return (uint8_t)(at * 7 + (at >> 8));
}

static uint32_t
committed(void)
{
	return survivor->kept.commit[survivor->kept.turn & 1].out;
}

/* As a back end does it: the bytes first, then they count. Input is numbered bytes without an end. */
static void
pass(void)
{
	uint8_t bytes[64];
	uint32_t i, n;
	bool brk;

	n = vbus_serial_peek(s, bytes, sizeof(bytes), &brk);
	memcpy(survivor->sink + committed() % sizeof(survivor->sink), bytes, n);
	vbus_serial_accept(s);
	for (i = 0; i < 3; i++)
		bytes[i] = numbered(survivor->kept.in_done + i);
	vbus_serial_write(s, bytes, 3);
}

static int
process_again(void)
{
	const struct vbus_class_ops *ops = k.dev->cls->ops;
	struct vbus_serial_user kept_user = user;

	kept_user.kept = &survivor->kept;
	ops->destroy(k.dev);
	CU_ASSERT_EQUAL_FATAL(ops->create(k.dev, NULL), 0);
	s = vbus_serial_of(k.dev);
	CU_ASSERT_EQUAL(vbus_serial_bind(s, &kept_user), 0);
	return ops->adopt(k.dev->conn);
}

/* North's end: a call of two bytes, two entries; buffers of two bytes, as many as there is room for. */
static uint32_t
north_sends(uint32_t sent)
{
	uint64_t reaped[ENTRIES];
	uint8_t text[2] = {numbered(sent), numbered(sent + 1)};
	uint32_t i;

	CU_ASSERT_EQUAL(kind_call(&k, VSERIAL_FUNC_WRITE, text, 2), 2);
	vbus_ioq_north_reap(&out.q, reaped, ENTRIES);
	for (i = 1; i < 3; i++) {
		uint8_t *at = k.n.mem + slot_of(out_off, sent / 2 + i);
		const struct vbus_ioq_entry e = {
			.ptr = north_addr(&k.n, slot_of(out_off, sent / 2 + i)), .len = 2};

		at[0] = numbered(sent + 2 * i);
		at[1] = numbered(sent + 2 * i + 1);
		CU_ASSERT_EQUAL(vbus_ioq_north_push(&out.q, &e, 1), 1);
	}
	return sent + 6;
}

/* @return wrong bytes; *got: bytes up to now */
static uint32_t
north_reads(uint32_t *got, uint32_t *nb)
{
	struct vbus_ioq_entry e;
	uint32_t wrong = 0, i;

	while (vbus_ioq_north_pop(&in.q, &e, 1) != 0) {
		for (i = 0; i < e.len; i++)
			wrong += k.n.mem[e.cookie + i] != numbered((*got)++);
	}
	while (vbus_ioq_north_post_room(&in.q) != 0) {
		e = (struct vbus_ioq_entry){.cookie = slot_of(in_off, (*nb)++), .len = 2};
		e.ptr = north_addr(&k.n, (uint32_t)e.cookie);
		CU_ASSERT_EQUAL_FATAL(vbus_ioq_north_post(&in.q, &e, 1), 1);
	}
	return wrong;
}

/* Killed behind each instruction: every byte comes once and in its order, both ways. */
static void
test_killed(void)
{
	const uint32_t step = stepped_distance();
	uint32_t sent = 0, got = 0, nb_posted = 0, nb, i, wrong = 0, was;
	int ret = 1;

	if (stepped_skip())
		return;
	survivor = mmap(
		NULL, sizeof(*survivor), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CU_ASSERT_FATAL(survivor != MAP_FAILED);
	vbus_ctl_lock();
	up();
	start();
	wrong += north_reads(&got, &nb_posted);
	survivor->kept = s->own;
	CU_ASSERT_EQUAL(process_again(), 0);
	for (nb = 0; ret == 1; nb += step) {
		was = committed() % sizeof(survivor->sink);
		sent = north_sends(sent);
		ret = stepped_kill(pass, nb);
		if (ret < 0)
			break;
		if (nb / step % 2 == 0)
			wrong += north_reads(&got, &nb_posted);
		CU_ASSERT_EQUAL_FATAL(process_again(), 0);
		pass();
		wrong += north_reads(&got, &nb_posted);
		CU_ASSERT_EQUAL_FATAL(committed(), sent);
		for (i = was; i < sent % sizeof(survivor->sink); i++)
			wrong += survivor->sink[i] != numbered(i);
		CU_ASSERT_EQUAL_FATAL(wrong, 0);
		CU_ASSERT_EQUAL_FATAL(survivor->kept.in_done, got);
	}
	CU_ASSERT_EQUAL(ret, 0);
	printf("killed behind %u instructions ", nb / step);
	/* A session that has ended is not gone on with. */
	sent = north_sends(sent);
	CU_ASSERT_EQUAL(stepped_kill(pass, nb / 2), 1);
	CU_ASSERT_EQUAL(kind_call(&k, VSERIAL_FUNC_STOP, NULL, 0), 0);
	CU_ASSERT_EQUAL(process_again(), 0);
	CU_ASSERT_FALSE(vbus_serial_up(s));
	down();
	vbus_ctl_unlock();
	munmap(survivor, sizeof(*survivor));
}

static void
test_state(void)
{
	struct vserial_state *st;
	unsigned int was;

	vbus_ctl_lock();
	up();
	vbus_serial_set_size(s, 25, 80);
	CU_ASSERT_EQUAL(state()->south.seq, 0);
	start();
	CU_ASSERT_EQUAL(state()->south.seq, 2);
	CU_ASSERT_EQUAL(state()->south.rows, 25);
	CU_ASSERT_EQUAL(state()->south.flags, 0);
	vbus_serial_set_carrier(s, true);
	CU_ASSERT_EQUAL(state()->south.seq, 4);
	CU_ASSERT_EQUAL(state()->south.flags, VSERIAL_SOUTH_CARRIER);
	vbus_serial_set_carrier(s, false);
	vbus_serial_set_carrier(s, true);
	CU_ASSERT_EQUAL(state()->south.hangups, 1);
	CU_ASSERT_EQUAL(vbus_serial_flags(s), 0);
	st = (void *)(k.n.mem + state_off);
	st->north.flags = VSERIAL_NORTH_DTR | 0x80;
	CU_ASSERT_EQUAL(vbus_serial_flags(s), VSERIAL_NORTH_DTR);
	/* asleep: a push wakes */
	CU_ASSERT_EQUAL(vbus_serial_arm(s), 0);
	was = nb_wakes;
	push("a", 1);
	kind_kick(&k, &out);
	CU_ASSERT_EQUAL(nb_wakes, was + 1);
	CU_ASSERT_EQUAL(vbus_serial_arm(s), VBUS_SERIAL_OUTPUT);
	vbus_serial_disarm(s);
	was = nb_wakes;
	push("a", 1);
	kind_kick(&k, &out);
	CU_ASSERT_EQUAL(nb_wakes, was);
	down();
	vbus_ctl_unlock();
}

static void
test_hostile(void)
{
	struct vbus_serial_stats st;
	struct vbus_ioq_entry e;
	struct vbus_memmap *m;
	bool brk;

	vbus_ctl_lock();
	up();
	CU_ASSERT_EQUAL(kind_block(&k, 3, state_off, 192, false), -EINVAL);
	start();
	e = (struct vbus_ioq_entry){.ptr = 0x10, .len = 64};
	CU_ASSERT_EQUAL(vbus_ioq_north_push(&out.q, &e, 1), 1);
	e = (struct vbus_ioq_entry){.ptr = NORTH_IOVA + NORTH_SIZE - 1, .len = 2};
	CU_ASSERT_EQUAL(vbus_ioq_north_push(&out.q, &e, 1), 1);
	e = (struct vbus_ioq_entry){.ptr = NORTH_IOVA, .len = VSERIAL_BUFFER_MAX + 1};
	CU_ASSERT_EQUAL(vbus_ioq_north_push(&out.q, &e, 1), 1);
	e = (struct vbus_ioq_entry){.ptr = NORTH_IOVA, .len = 2ULL << 32 | 4};
	CU_ASSERT_EQUAL(vbus_ioq_north_push(&out.q, &e, 1), 1);
	push("good", 4);
	CU_ASSERT_EQUAL(vbus_serial_read(s, buf, sizeof(buf), &brk), 4);
	CU_ASSERT_EQUAL(memcmp(buf, "good", 4), 0);
	e = (struct vbus_ioq_entry){.ptr = UINT64_MAX - 1, .len = UINT64_MAX};
	CU_ASSERT_EQUAL(vbus_ioq_north_post(&in.q, &e, 1), 1);
	e = (struct vbus_ioq_entry){.ptr = north_addr(&k.n, in_off), .len = 4};
	CU_ASSERT_EQUAL(vbus_ioq_north_post(&in.q, &e, 1), 1);
	CU_ASSERT_EQUAL(vbus_serial_write(s, "more than four", 14), 4);
	CU_ASSERT_EQUAL(memcmp(k.n.mem + in_off, "more", 4), 0);
	vbus_serial_stats(s, &st);
	CU_ASSERT_EQUAL(st.out_bad, 4);
	CU_ASSERT_EQUAL(st.in_bad, 1);
	/* Memory goes and comes: the stream goes on where it was. */
	m = vbus_bridge_memmap(k.n.b);
	CU_ASSERT_EQUAL(vbus_memmap_del(m, NORTH_IOVA, NORTH_SIZE), 0);
	CU_ASSERT_FALSE(vbus_serial_up(s));
	push("back", 4);
	CU_ASSERT_EQUAL(vbus_memmap_add(m, NORTH_IOVA, NORTH_SIZE, dup(k.n.fd), 0,
				VBUS_MEM_READ | VBUS_MEM_WRITE),
		0);
	CU_ASSERT_EQUAL(vbus_serial_read(s, buf, sizeof(buf), &brk), 4);
	CU_ASSERT_EQUAL(memcmp(buf, "back", 4), 0);
	kind_again(&k); /* NEGOTIATE closes it */
	CU_ASSERT_FALSE(vbus_serial_up(s));
	CU_ASSERT_EQUAL(vbus_serial_read(s, buf, sizeof(buf), &brk), 0);
	down();
	vbus_ctl_unlock();
}

/* What is refused is not there: a signal that is none, and a ring that is none when memory comes back. */
static void
test_refused(void)
{
	struct vbus_pci_deviceshm args = {.id = VSERIAL_BLOCK_STATE,
		.len = sizeof(struct vserial_state),
		.signal = {.offset = 0, .cookie = 1}};
	struct vbus_memmap *m;
	bool brk;

	vbus_ctl_lock();
	up();
	kind_again(&k);
	CU_ASSERT_EQUAL(kind_open(&k, VSERIAL_VERSION), 0);
	CU_ASSERT_EQUAL(kind_ring(&k, &in, VSERIAL_BLOCK_IN, ENTRIES), 0);
	CU_ASSERT_EQUAL(kind_ring(&k, &out, VSERIAL_BLOCK_OUT, ENTRIES), 0);
	state_off = kind_mem(&k, sizeof(struct vserial_state));
	memset(k.n.mem + state_off, 0xee, sizeof(struct vserial_state));
	args.devh = k.handle;
	args.datap = north_addr(&k.n, state_off);
	CU_ASSERT(north_devcall(&k.n, VBUS_PCI_HC_DEVSHM, &args, sizeof(args)) < 0);
	start();
	CU_ASSERT_EQUAL(vbus_serial_arm(s), 0);
	vbus_serial_set_carrier(s, true);
	vbus_serial_disarm(s);
	CU_ASSERT_EQUAL(k.n.mem[state_off + 68], 0xee);
	m = vbus_bridge_memmap(k.n.b);
	CU_ASSERT_EQUAL(vbus_memmap_del(m, NORTH_IOVA, NORTH_SIZE), 0);
	k.n.mem[out.off] ^= 1;
	CU_ASSERT_EQUAL(vbus_memmap_add(m, NORTH_IOVA, NORTH_SIZE, dup(k.n.fd), 0,
				VBUS_MEM_READ | VBUS_MEM_WRITE),
		0);
	CU_ASSERT_FALSE(vbus_serial_up(s));
	CU_ASSERT_PTR_NOT_NULL(k.dev->fault);
	CU_ASSERT_EQUAL(kind_call(&k, VSERIAL_FUNC_START, NULL, 0), -EINVAL);
	CU_ASSERT_EQUAL(vbus_serial_read(s, buf, sizeof(buf), &brk), 0);
	down();
	vbus_ctl_unlock();
}

int
main(void)
{
	static const struct cu_test tests[] = {
		{"functions", test_functions},
		{"output compares equal", test_output},
		{"input compares equal", test_input},
		{"breaks", test_break},
		{"write by call", test_write_call},
		{"killed", test_killed},
		{"state block and wake-ups", test_state},
		{"hostile north", test_hostile},
		{"refused", test_refused},
		{NULL, NULL},
	};
	int ret;

	if (vbus_ctl_get() != 0)
		return 1;
	ret = cu_run("serial", tests, NULL, NULL);
	vbus_ctl_put();
	return ret;
}
