/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * Every call, good and hostile: lengths, states, addresses, handles, channels.
 */

#include "fixture.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "vbus_memmap.h"

static uint64_t
refused(struct north *n, enum vbus_bridge_refusal why)
{
	return north_info(n).nb_refused[why];
}

/* A bus with one open device. */
static struct vbus_device *
one_open(struct north *n, uint64_t *handle)
{
	struct vbus_device *dev = dummy_create("d0");

	CU_ASSERT_EQUAL(vbus_device_attach(dev, n->bus), 0);
	north_start(n, 64);
	CU_ASSERT_EQUAL(north_open(n, 1, handle), 0);
	CU_ASSERT_NOT_EQUAL(*handle, 0);
	return dev;
}

/* Every vector with every length but its own, before and after NEGOTIATE. */
static void
test_lengths(void)
{
	static const uint32_t bridge[] = {16, 32, 16, 16, 4, 72};
	static const uint32_t device[] = {16, 8, 32, 48};
	uint8_t zero[256] = {0};
	struct north n;
	uint32_t v, len;

	north_up(&n, false);
	for (len = 0; len < 100; len++) {
		for (v = 0; v < 6; v++) {
			if (len != bridge[v])
				CU_ASSERT_EQUAL(north_call(&n, v, zero, len), -EINVAL);
		}
	}
	CU_ASSERT_EQUAL(refused(&n, VBUS_REFUSED_LENGTH), 600 - 6);
	CU_ASSERT_EQUAL(north_negotiate(&n, VBUS_CAP_DEVNAME, NULL), 1);
	for (len = 0; len < 100; len++) {
		for (v = 0; v < 6; v++) {
			if (len != bridge[v])
				CU_ASSERT_EQUAL(north_call(&n, v, zero, len), -EINVAL);
		}
		for (v = 0; v < 4; v++) {
			if (len != device[v])
				CU_ASSERT_EQUAL(north_devcall(&n, v, zero, len), -EINVAL);
		}
	}
	CU_ASSERT_EQUAL(vbus_bridge_call(n.b, 0, NORTH_IOVA, UINT32_MAX), -EINVAL);
	/* Unknown vectors, whatever the length. */
	CU_ASSERT_EQUAL(north_call(&n, 6, zero, 16), -ENOSYS);
	CU_ASSERT_EQUAL(north_call(&n, UINT32_MAX, zero, 0), -ENOSYS);
	CU_ASSERT_EQUAL(north_devcall(&n, 4, zero, 16), -ENOSYS);
	CU_ASSERT_EQUAL(north_devcall(&n, UINT32_MAX, zero, 16), -ENOSYS);
	CU_ASSERT_EQUAL(refused(&n, VBUS_REFUSED_VECTOR), 4);
	north_down(&n);
}

static void
test_addresses(void)
{
	static const uint32_t bridge[] = {16, 32, 16, 16, 4, 72};
	static const uint64_t bad[] = {0, 1, NORTH_IOVA - 1, NORTH_IOVA + NORTH_SIZE,
		NORTH_IOVA + NORTH_SIZE - 3, UINT64_MAX, UINT64_MAX - 10, 1ULL << 63};
	uint64_t handle;
	struct vbus_device *dev;
	struct north n;
	unsigned int v, i;

	north_up(&n, false);
	dev = one_open(&n, &handle);
	CU_ASSERT_EQUAL(north_negotiate(&n, VBUS_CAP_DEVNAME, NULL), 1);
	for (v = 0; v < 6; v++) {
		for (i = 0; i < 8; i++)
			CU_ASSERT_EQUAL(vbus_bridge_call(n.b, v, bad[i], bridge[v]), -EFAULT);
	}
	CU_ASSERT_EQUAL(refused(&n, VBUS_REFUSED_ADDRESS), 48);
	/* One byte before the end is enough, at any alignment. */
	for (i = 0; i < 16; i++) {
		const struct vbus_pci_negotiate args = {VBUS_PCI_MAGIC, 1, 0};

		memcpy(n.mem + NORTH_SIZE - 16 - i, &args, sizeof(args));
		CU_ASSERT_EQUAL(vbus_bridge_call(n.b, 0, NORTH_IOVA + NORTH_SIZE - 16 - i, 16), 1);
	}
	vbus_device_delete(dev);
	north_down(&n);
}

/* Blocks that cross from one region to the next, which lies elsewhere here; and read-only memory. */
static void
test_crossing(void)
{
	const uint64_t base = 0x7000000000ULL;
	const struct vbus_pci_negotiate args = {VBUS_PCI_MAGIC, 1, ~0ULL};
	struct vbus_pci_negotiate back;
	struct vbus_memmap *m;
	struct north n;
	unsigned int i;

	north_up(&n, false);
	m = vbus_bridge_memmap(n.b);
	/* Second page first. */
	CU_ASSERT_EQUAL(vbus_memmap_add(m, base, 4096, dup(n.fd), 0x301000, 3), 0);
	CU_ASSERT_EQUAL(vbus_memmap_add(m, base + 4096, 4096, dup(n.fd), 0x300000, 3), 0);
	CU_ASSERT_EQUAL(vbus_memmap_add(m, base + 8192, 4096, dup(n.fd), 0x302000, 1), 0);
	for (i = 1; i < 16; i++) {
		memcpy(n.mem + 0x302000 - i, &args, i);
		memcpy(n.mem + 0x300000, (const uint8_t *)&args + i, 16 - i);
		CU_ASSERT_EQUAL(vbus_bridge_call(n.b, 0, base + 4096 - i, 16), 1);
		memcpy(&back, n.mem + 0x302000 - i, i);
		memcpy((uint8_t *)&back + i, n.mem + 0x300000, 16 - i);
		CU_ASSERT_EQUAL(back.magic, VBUS_PCI_MAGIC);
		CU_ASSERT_EQUAL(back.capabilities, VBUS_CAP_DEVNAME | VBUS_CAP_DOORBELL);
	}
	/* The answer has no place: nothing happened. */
	CU_ASSERT_EQUAL(north_negotiate(&n, 0, NULL), 1);
	memcpy(n.mem + 0x302000, &args, sizeof(args));
	CU_ASSERT_EQUAL(vbus_bridge_call(n.b, 0, base + 8192, 16), -EFAULT);
	CU_ASSERT_EQUAL(north_info(&n).capabilities, 0);
	CU_ASSERT(north_info(&n).negotiated);
	north_down(&n);
}

static void
test_negotiate(void)
{
	struct vbus_pci_negotiate args = {VBUS_PCI_MAGIC + 1, 1, 0};
	const struct vbus_pci_call_desc channel = {3, 24, 0};
	uint64_t granted = 1, handle, second;
	struct vbus_device *dev;
	struct north n;

	north_up(&n, false);
	CU_ASSERT_EQUAL(north_call(&n, 0, &args, sizeof(args)), -EINVAL);
	args.magic--;
	args.version = 0;
	CU_ASSERT_EQUAL(north_call(&n, 0, &args, sizeof(args)), -EINVAL);
	args.version = 2;
	CU_ASSERT_EQUAL(north_call(&n, 0, &args, sizeof(args)), -EINVAL);
	CU_ASSERT_EQUAL(refused(&n, VBUS_REFUSED_MAGIC), 3);
	/* Nothing works before. */
	CU_ASSERT_EQUAL(north_qreg(&n, 8), -EPROTO);
	CU_ASSERT_EQUAL(north_call(&n, 3, &channel, sizeof(channel)), -EPROTO);
	CU_ASSERT_EQUAL(north_open(&n, 1, &handle), -EPROTO);
	CU_ASSERT_EQUAL(north_negotiate(&n, 0, &granted), 1);
	CU_ASSERT_EQUAL(granted, 0);
	CU_ASSERT_EQUAL(north_negotiate(&n, ~0ULL, &granted), 1);
	CU_ASSERT_EQUAL(granted, VBUS_CAP_DEVNAME | VBUS_CAP_DOORBELL);
	CU_ASSERT_EQUAL(north_info(&n).capabilities, granted);
	/* It resets all. */
	dev = one_open(&n, &handle);
	CU_ASSERT_EQUAL(north_call(&n, 3, &channel, sizeof(channel)), 0);
	CU_ASSERT(north_shm(&n, handle, 0, 0, 8, 1) > 0);
	CU_ASSERT_EQUAL(north_info(&n).nb_channels, 1);
	CU_ASSERT_EQUAL(north_negotiate(&n, 0, NULL), 1);
	CU_ASSERT_EQUAL(north_info(&n).nb_channels, 0);
	CU_ASSERT_EQUAL(north_info(&n).nb_conns, 0);
	CU_ASSERT_EQUAL(north_info(&n).nb_shms, 0);
	CU_ASSERT_FALSE(north_info(&n).events_ready);
	CU_ASSERT_EQUAL(dummy_of(dev)->nb_close, 1);
	CU_ASSERT_EQUAL(dev->devid, 0);
	CU_ASSERT_EQUAL(north_open(&n, 1, &second), -ENODEV);
	CU_ASSERT_EQUAL(north_close(&n, handle), -ENOENT);
	CU_ASSERT_EQUAL(north_qreg(&n, 8), 0);
	CU_ASSERT_EQUAL(north_expect(&n, VBUS_PCI_EVENT_DEVADD), 2);
	CU_ASSERT_EQUAL(north_open(&n, 2, &second), 0);
	CU_ASSERT_NOT_EQUAL(second, handle);
	vbus_device_delete(dev);
	north_down(&n);
}

static void
test_qreg(void)
{
	const uint64_t top = UINT64_MAX & ~7ULL;
	struct north n;
	uint64_t ring, slots;

	north_up(&n, false);
	CU_ASSERT_EQUAL(north_negotiate(&n, 0, NULL), 1);
	ring = north_addr(&n, NORTH_RING);
	slots = north_addr(&n, NORTH_SLOTS);
	north_ring_format(&n, 16);
	CU_ASSERT_EQUAL(north_qreg_raw(&n, 0, 16, ring, slots), -EINVAL);
	CU_ASSERT_EQUAL(north_qreg_raw(&n, 2, 16, ring, slots), -EINVAL);
	CU_ASSERT_EQUAL(north_qreg_raw(&n, 1, 0, ring, slots), -EINVAL);
	CU_ASSERT_EQUAL(north_qreg_raw(&n, 1, 15, ring, slots), -EINVAL);
	CU_ASSERT_EQUAL(north_qreg_raw(&n, 1, 17, ring, slots), -EINVAL);
	CU_ASSERT_EQUAL(north_qreg_raw(&n, 1, UINT32_MAX, ring, slots), -EINVAL);
	CU_ASSERT_EQUAL(north_qreg_raw(&n, 1, 16, ring + 4, slots), -EINVAL);
	CU_ASSERT_EQUAL(north_qreg_raw(&n, 1, 16, 0, slots), -EFAULT);
	CU_ASSERT_EQUAL(north_qreg_raw(&n, 1, 16, top, slots), -EFAULT);
	CU_ASSERT_EQUAL(north_qreg_raw(&n, 1, 16, ring, top), -EINVAL);
	n.mem[NORTH_RING] ^= 1;
	CU_ASSERT_EQUAL(north_qreg_raw(&n, 1, 16, ring, slots), -EINVAL);
	n.mem[NORTH_RING] ^= 1;
	n.mem[NORTH_RING + 4] ^= 1;
	CU_ASSERT_EQUAL(north_qreg_raw(&n, 1, 16, ring, slots), -EINVAL);
	n.mem[NORTH_RING + 4] ^= 1;
	n.mem[NORTH_RING + 44] = 1; /* in-use tail = 1 + ... */
	n.mem[NORTH_RING + 41] = 1; /* 256 */
	CU_ASSERT_EQUAL(north_qreg_raw(&n, 1, 16, ring, slots), -EINVAL);
	CU_ASSERT_FALSE(north_info(&n).events_ready);
	/* The largest that the ABI names, and once only. */
	CU_ASSERT_EQUAL(north_qreg(&n, 2048), 0);
	CU_ASSERT(north_info(&n).events_ready);
	CU_ASSERT_EQUAL(north_qreg(&n, 2048), -EBUSY);
	CU_ASSERT_EQUAL(north_negotiate(&n, 0, NULL), 1);
	CU_ASSERT_EQUAL(north_qreg(&n, 1), 0);
	north_down(&n);
}

static void
fast_call(struct north *n, uint32_t channel, uint32_t block, uint32_t vector, uint32_t len)
{
	const struct vbus_pci_fastcall_desc f = {
		.call = {vector, len, north_addr(n, NORTH_DATA)},
		.result = 0x5a5a5a5a,
		.pad = {1, 2, 3, 4},
	};

	memcpy(n->mem + block, &f, sizeof(f));
	vbus_bridge_signal_write(n->b, 4, channel);
}

static int32_t
fast_result(struct north *n, uint32_t block)
{
	int32_t r;

	CU_ASSERT_EQUAL(n->mem[block + 20], 1); /* the padding is left alone */
	memcpy(&r, n->mem + block + 16, sizeof(r));
	return r;
}

static int32_t
channel_add(struct north *n, uint32_t channel, uint32_t len, uint32_t block)
{
	const struct vbus_pci_call_desc args = {channel, len, north_addr(n, block)};

	return north_call(n, VBUS_PCI_BRIDGE_FASTCALL_ADD, &args, sizeof(args));
}

static void
test_fastcall(void)
{
	static const uint32_t blocks[] = {NORTH_FAST, NORTH_FAST + 24, NORTH_FAST + 49};
	const struct vbus_pci_deviceopen open = {.devid = 1, .version = DUMMY_VERSION};
	struct vbus_device *dev;
	uint64_t handle;
	struct north n;
	uint32_t i;

	north_up(&n, false);
	dev = one_open(&n, &handle);
	/* Every possible CPU of a guest, then some. */
	for (i = 0; i < 16384; i++)
		CU_ASSERT_EQUAL(channel_add(&n, i, 24, blocks[i % 2]), 0);
	CU_ASSERT_EQUAL(north_info(&n).nb_channels, 16384);
	CU_ASSERT_EQUAL(channel_add(&n, 8191, 24, blocks[2]), 0); /* replaced */
	CU_ASSERT_EQUAL(north_info(&n).nb_channels, 16384);
	CU_ASSERT_EQUAL(channel_add(&n, 16384, 24, blocks[0]), -EINVAL);
	CU_ASSERT_EQUAL(channel_add(&n, UINT32_MAX, 24, blocks[0]), -EINVAL);
	CU_ASSERT_EQUAL(channel_add(&n, 0, 20, blocks[0]), -EINVAL);
	memcpy(n.mem + NORTH_DATA, &open, sizeof(open));
	fast_call(&n, 8191, blocks[2], VBUS_PCI_HC_DEVOPEN, 16);
	CU_ASSERT_EQUAL(fast_result(&n, blocks[2]), -EBUSY);
	memcpy(n.mem + NORTH_DATA, &handle, sizeof(handle));
	fast_call(&n, 16382, blocks[0], VBUS_PCI_HC_DEVCLOSE, 8);
	CU_ASSERT_EQUAL(fast_result(&n, blocks[0]), 0);
	fast_call(&n, 1, blocks[1], VBUS_PCI_HC_DEVCLOSE, 8);
	CU_ASSERT_EQUAL(fast_result(&n, blocks[1]), -ENOENT);
	fast_call(&n, 1, blocks[1], VBUS_PCI_HC_DEVCLOSE, 9);
	CU_ASSERT_EQUAL(fast_result(&n, blocks[1]), -EINVAL);
	fast_call(&n, 1, blocks[1], 77, 8);
	CU_ASSERT_EQUAL(fast_result(&n, blocks[1]), -ENOSYS);
	/* Unknown and dropped channels: nothing is run, nothing is written. */
	fast_call(&n, 16384, blocks[0], VBUS_PCI_HC_DEVCLOSE, 8);
	fast_call(&n, UINT32_MAX, blocks[0], VBUS_PCI_HC_DEVCLOSE, 8);
	i = 1;
	CU_ASSERT_EQUAL(north_call(&n, VBUS_PCI_BRIDGE_FASTCALL_DROP, &i, 4), 0);
	CU_ASSERT_EQUAL(north_call(&n, VBUS_PCI_BRIDGE_FASTCALL_DROP, &i, 4), -ENOENT);
	i = UINT32_MAX;
	CU_ASSERT_EQUAL(north_call(&n, VBUS_PCI_BRIDGE_FASTCALL_DROP, &i, 4), -ENOENT);
	fast_call(&n, 1, blocks[1], VBUS_PCI_HC_DEVCLOSE, 8);
	CU_ASSERT_EQUAL(fast_result(&n, blocks[0]), 0x5a5a5a5a);
	CU_ASSERT_EQUAL(fast_result(&n, blocks[1]), 0x5a5a5a5a);
	/* A block that is not there, or half. */
	CU_ASSERT_EQUAL(channel_add(&n, 1, 24, NORTH_SIZE - 8), 0);
	vbus_bridge_signal_write(n.b, 4, 1);
	CU_ASSERT_EQUAL(channel_add(&n, 1, 24, NORTH_SIZE), 0);
	vbus_bridge_signal_write(n.b, 4, 1);
	CU_ASSERT_EQUAL(refused(&n, VBUS_REFUSED_ADDRESS), 2);
	vbus_device_delete(dev);
	north_down(&n);
}

/* Signals by BAR 0: for who negotiated it, in whole words. */
static void
test_doorbell(void)
{
	const struct vbus_pci_deviceopen open = {.devid = 1, .version = DUMMY_VERSION};
	const uint64_t bell = VBUS_PCI_DOORBELL;
	uint32_t words[10] = {0};
	struct vbus_device *dev;
	uint64_t handle, before;
	struct north n;

	north_up(&n, false);
	dev = one_open(&n, &handle);
	vbus_bridge_regs_write(n.b, bell + 8, words, 4);
	vbus_bridge_regs_write(n.b, bell, words, 32);
	CU_ASSERT_EQUAL(north_info(&n).nb_signals_in, 0);

	CU_ASSERT_EQUAL(north_negotiate(&n, VBUS_CAP_DOORBELL, NULL), 1);
	CU_ASSERT_EQUAL(channel_add(&n, 5, 24, NORTH_FAST), 0);
	memcpy(n.mem + NORTH_DATA, &open, sizeof(open));
	words[0] = 6;
	fast_call(&n, 6, NORTH_FAST, VBUS_PCI_HC_DEVCLOSE, 8); /* no such channel: runs nothing */
	CU_ASSERT_EQUAL(fast_result(&n, NORTH_FAST), 0x5a5a5a5a);
	words[0] = 5;
	vbus_bridge_regs_write(n.b, bell + 4, words, 4);
	CU_ASSERT_EQUAL(fast_result(&n, NORTH_FAST), -ENOENT); /* NEGOTIATE closed all */
	CU_ASSERT_EQUAL(north_info(&n).nb_signals_in, 2);
	/* What the load behind it gives. */
	vbus_bridge_regs_read(n.b, bell + 4, words, 4);
	CU_ASSERT_EQUAL(words[0], 0);
	CU_ASSERT_EQUAL(north_info(&n).nb_failed_calls, 1);

	/* Parts of words, and what lies around. */
	vbus_bridge_regs_write(n.b, bell + 9, words, 4);
	vbus_bridge_regs_write(n.b, bell + 8, words, 3);
	vbus_bridge_regs_write(n.b, bell - 4, words, 8);
	vbus_bridge_regs_write(n.b, 64, words, 40);
	CU_ASSERT_EQUAL(north_info(&n).nb_signals_in, 2);
	before = refused(&n, VBUS_REFUSED_HANDLE);
	vbus_bridge_regs_write(n.b, bell + 28, words, 40);
	vbus_bridge_regs_write(n.b, UINT64_MAX - 3, words, 4);
	CU_ASSERT_EQUAL(refused(&n, VBUS_REFUSED_HANDLE), before); /* padding */
	words[0] = 77;
	vbus_bridge_regs_write(n.b, bell + 8, words, 4);
	CU_ASSERT_EQUAL(refused(&n, VBUS_REFUSED_HANDLE), before + 1);
	/* A reset ends it. */
	vbus_bridge_reset(n.b, true);
	vbus_bridge_regs_write(n.b, bell + 8, words, 4);
	CU_ASSERT_EQUAL(refused(&n, VBUS_REFUSED_HANDLE), before + 1);
	vbus_device_delete(dev);
	north_down(&n);
}

static void
test_open_close(void)
{
	struct vbus_pci_deviceopen args = {.devid = 1, .version = DUMMY_VERSION + 1};
	struct vbus_device *dev;
	struct vbus_pci_call_desc call;
	uint64_t first, handle;
	struct north n;
	unsigned int i;

	north_up(&n, false);
	dev = one_open(&n, &first);
	CU_ASSERT_EQUAL(north_open(&n, 1, &handle), -EBUSY);
	CU_ASSERT_EQUAL(north_open(&n, 0, &handle), -ENODEV);
	CU_ASSERT_EQUAL(north_open(&n, 2, &handle), -ENODEV);
	CU_ASSERT_EQUAL(north_open(&n, UINT32_MAX, &handle), -ENODEV);
	CU_ASSERT_EQUAL(north_close(&n, first), 0);
	CU_ASSERT_EQUAL(north_close(&n, first), -ENOENT);
	/* The class refuses; nothing is left open. */
	CU_ASSERT_EQUAL(north_devcall(&n, VBUS_PCI_HC_DEVOPEN, &args, sizeof(args)), -EINVAL);
	CU_ASSERT_EQUAL(refused(&n, VBUS_REFUSED_CLASS), 1);
	CU_ASSERT_EQUAL(north_info(&n).nb_conns, 0);
	CU_ASSERT_PTR_NULL(dev->conn);
	/* Handles are never 0 and never those of before, nor are forged ones good. */
	for (i = 0; i < 10000; i++) {
		CU_ASSERT_EQUAL(north_open(&n, 1, &handle), 0);
		CU_ASSERT_NOT_EQUAL(handle, 0);
		CU_ASSERT_NOT_EQUAL(handle, first);
		CU_ASSERT_EQUAL(north_close(&n, handle), 0);
		CU_ASSERT_EQUAL(north_func(&n, handle, DUMMY_ZERO, NULL, 0), -ENOENT);
	}
	CU_ASSERT_EQUAL(north_open(&n, 1, &handle), 0);
	CU_ASSERT_EQUAL(north_close(&n, 0), -ENOENT);
	CU_ASSERT_EQUAL(north_close(&n, UINT64_MAX), -ENOENT);
	CU_ASSERT_EQUAL(north_close(&n, handle + 1), -ENOENT);
	CU_ASSERT_EQUAL(north_close(&n, handle - 1), -ENOENT);
	CU_ASSERT_EQUAL(north_close(&n, handle + (1ULL << 32)), -ENOENT);
	CU_ASSERT_EQUAL(north_close(&n, handle & UINT32_MAX), -ENOENT);
	CU_ASSERT_EQUAL(north_close(&n, handle), 0);
	/* The handle cannot be written back: closed again. */
	CU_ASSERT_EQUAL(vbus_memmap_add(vbus_bridge_memmap(n.b), 0x1000, 4096, dup(n.fd),
				NORTH_DATA, VBUS_MEM_READ),
		0);
	args.version = DUMMY_VERSION;
	memcpy(n.mem + NORTH_DATA, &args, sizeof(args));
	call = (struct vbus_pci_call_desc){VBUS_PCI_HC_DEVOPEN, 16, 0x1000};
	CU_ASSERT_EQUAL(north_call(&n, VBUS_PCI_BRIDGE_SLOWCALL, &call, 16), -EFAULT);
	CU_ASSERT_PTR_NULL(dev->conn);
	CU_ASSERT_EQUAL(dummy_of(dev)->nb_open, dummy_of(dev)->nb_close);
	vbus_device_delete(dev);
	north_down(&n);
}

static void
test_devcall(void)
{
	struct vbus_pci_devicecall args;
	struct vbus_device *dev;
	uint8_t data[VBUS_CALL_MAX];
	uint64_t handle;
	struct north n;

	north_up(&n, false);
	dev = one_open(&n, &handle);
	CU_ASSERT_EQUAL(north_func(&n, handle, DUMMY_ZERO, NULL, 0), 0);
	CU_ASSERT_EQUAL(north_func(&n, handle, DUMMY_NUMBER, NULL, 0), 7);
	CU_ASSERT_EQUAL(north_func(&n, handle, DUMMY_FAIL, NULL, 0), -EBUSY);
	CU_ASSERT_EQUAL(north_func(&n, handle, 999, NULL, 0), -EINVAL);
	memset(data, 0x0f, sizeof(data));
	CU_ASSERT_EQUAL(north_func(&n, handle, DUMMY_INVERT, data, VBUS_CALL_MAX), 0);
	CU_ASSERT_EQUAL(data[0], 0xf0);
	CU_ASSERT_EQUAL(data[VBUS_CALL_MAX - 1], 0xf0);
	CU_ASSERT_EQUAL(dummy_of(dev)->last_len, VBUS_CALL_MAX);
	CU_ASSERT_EQUAL(north_func(&n, handle, DUMMY_INVERT, data, VBUS_CALL_MAX + 1), -EINVAL);
	/* A class that is wrong about its room writes no byte too many. */
	n.mem[NORTH_DATA + 3 + 8] = 0x42;
	CU_ASSERT_EQUAL(north_func(&n, handle, DUMMY_OVERLONG, data, 8), 0);
	CU_ASSERT_EQUAL(data[7], 0x0f);
	CU_ASSERT_EQUAL(n.mem[NORTH_DATA + 3 + 8], 0x42);
	args = (struct vbus_pci_devicecall){.devh = handle, .func = DUMMY_INVERT, .len = 8};
	CU_ASSERT_EQUAL(north_devcall(&n, VBUS_PCI_HC_DEVCALL, &args, sizeof(args)), -EFAULT);
	args.len = UINT32_MAX;
	CU_ASSERT_EQUAL(north_devcall(&n, VBUS_PCI_HC_DEVCALL, &args, sizeof(args)), -EINVAL);
	args.devh++;
	CU_ASSERT_EQUAL(north_devcall(&n, VBUS_PCI_HC_DEVCALL, &args, sizeof(args)), -ENOENT);
	CU_ASSERT_EQUAL(north_func(&n, handle, DUMMY_FAULT, NULL, 0), 0);
	CU_ASSERT_STRING_EQUAL(dev->fault, "asked to");
	CU_ASSERT_EQUAL(dev->nb_faults, 1);
	CU_ASSERT_EQUAL(north_close(&n, handle), 0);
	CU_ASSERT_EQUAL(north_open(&n, 1, &handle), 0);
	CU_ASSERT_PTR_NULL(dev->fault); /* opened anew */
	vbus_device_delete(dev);
	north_down(&n);
}

static int32_t
shm_raw(struct north *n, uint64_t handle, uint64_t datap, uint32_t len, uint32_t offset)
{
	struct vbus_pci_deviceshm args = {
		.devh = handle, .id = 9, .len = len, .signal = {.offset = offset}, .datap = datap};

	return north_devcall(n, VBUS_PCI_HC_DEVSHM, &args, sizeof(args));
}

static void
test_devshm(void)
{
	const uint64_t a = NORTH_IOVA + NORTH_BLOCKS;
	struct vbus_device *dev;
	uint64_t handle;
	struct north n;
	int32_t h;

	north_up(&n, false);
	dev = one_open(&n, &handle);
	h = north_shm(&n, handle, 0, 0, 8, 1);
	CU_ASSERT(h > 0);
	CU_ASSERT_EQUAL(north_shm(&n, handle, 1, 1, NO_SIGNAL, 1), 0);
	CU_ASSERT_EQUAL(north_shm(&n, handle, 0, 2, 8, 1), -EEXIST);
	CU_ASSERT_EQUAL(north_shm(&n, handle, DUMMY_SHM_REFUSED, 2, 8, 1), -EINVAL);
	CU_ASSERT_EQUAL(north_shm(&n, handle + 1, 2, 2, 8, 1), -ENOENT);
	CU_ASSERT_EQUAL(north_info(&n).nb_shms, 2);
	CU_ASSERT_EQUAL(shm_raw(&n, handle, a, 0, NO_SIGNAL), -EINVAL);
	CU_ASSERT_EQUAL(shm_raw(&n, handle, a, UINT32_MAX, NO_SIGNAL), -EFAULT);
	CU_ASSERT_EQUAL(shm_raw(&n, handle, UINT64_MAX, 16, NO_SIGNAL), -EFAULT);
	CU_ASSERT_EQUAL(shm_raw(&n, handle, 0, 16, NO_SIGNAL), -EFAULT);
	CU_ASSERT_EQUAL(shm_raw(&n, handle, a, 15, 0), -EINVAL);
	CU_ASSERT_EQUAL(shm_raw(&n, handle, a, 32, 17), -EINVAL);
	CU_ASSERT_EQUAL(shm_raw(&n, handle, a, 32, 2), -EINVAL); /* misaligned */
	CU_ASSERT_EQUAL(shm_raw(&n, handle, a, 32, UINT32_MAX - 1), -EINVAL);
	CU_ASSERT_EQUAL(refused(&n, VBUS_REFUSED_SIGNAL), 4);
	CU_ASSERT_EQUAL(north_info(&n).nb_shms, 2);
	h = shm_raw(&n, handle, a + 2, 34, 18); /* the signal counts, not the block */
	CU_ASSERT(h > 0);
	vbus_device_delete(dev);
	north_down(&n);
}

static void
test_exhaustion(void)
{
	struct vbus_device *dev;
	uint64_t handle;
	struct north n;
	uint32_t i;
	int32_t h;

	north_up(&n, false);
	dev = one_open(&n, &handle);
	for (i = 100; i < 100 + 300; i++) {
		h = north_shm(&n, handle, i, 0, 8, i);
		CU_ASSERT(h > 0);
	}
	/* The rest by the back door: ids of a dropped device are not compared. */
	vbus_device_detach(dev);
	for (i = 300; i < VBUS_LINK_SHMS; i++)
		CU_ASSERT(north_shm(&n, handle, i, 0, 8, i) > 0);
	CU_ASSERT_EQUAL(north_info(&n).nb_shms, VBUS_LINK_SHMS);
	CU_ASSERT_EQUAL(north_shm(&n, handle, 1, 0, 8, 1), -ENOSPC);
	CU_ASSERT_EQUAL(north_close(&n, handle), 0);
	CU_ASSERT_EQUAL(north_info(&n).nb_shms, 0);
	CU_ASSERT_EQUAL(north_info(&n).nb_events_held, VBUS_LINK_SHMS + 2 - 64);
	vbus_device_delete(dev);
	north_down(&n);
}

static void
test_devname(void)
{
	struct vbus_pci_devname args = {.devid = 1};
	struct vbus_device *dev;
	uint64_t handle;
	struct north n;

	north_up(&n, false);
	dev = one_open(&n, &handle); /* no capability: version 2 to the letter */
	CU_ASSERT_EQUAL(north_call(&n, VBUS_PCI_BRIDGE_DEVNAME, &args, sizeof(args)), -ENOSYS);
	CU_ASSERT_EQUAL(north_negotiate(&n, VBUS_CAP_DEVNAME, NULL), 1);
	CU_ASSERT_EQUAL(north_qreg(&n, 8), 0);
	args.devid = 2 | 7ULL << 32;
	memset(args.name, 0x55, sizeof(args.name));
	CU_ASSERT_EQUAL(north_call_rw(&n, VBUS_PCI_BRIDGE_DEVNAME, &args, sizeof(args)), 0);
	CU_ASSERT_STRING_EQUAL(args.name, "d0");
	CU_ASSERT_EQUAL(args.name[63], 0);
	args.devid = 1;
	CU_ASSERT_EQUAL(north_call(&n, VBUS_PCI_BRIDGE_DEVNAME, &args, sizeof(args)), -ENODEV);
	args.devid = 0;
	CU_ASSERT_EQUAL(north_call(&n, VBUS_PCI_BRIDGE_DEVNAME, &args, sizeof(args)), -ENODEV);
	vbus_device_delete(dev);
	north_down(&n);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"lengths and vectors", test_lengths},
		{"addresses", test_addresses},
		{"crossing regions", test_crossing},
		{"NEGOTIATE", test_negotiate},
		{"QREG", test_qreg},
		{"fast calls", test_fastcall},
		{"doorbell", test_doorbell},
		{"DEVOPEN and DEVCLOSE", test_open_close},
		{"DEVCALL", test_devcall},
		{"DEVSHM", test_devshm},
		{"no slot left", test_exhaustion},
		{"DEVNAME", test_devname},
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{"bridge_call", NULL, NULL, NULL, NULL, tests}, CU_SUITE_INFO_NULL};

	return fixture_run(suites);
}
