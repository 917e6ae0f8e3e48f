/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/* See fuzz_link.h. One thread, and the one that only writes into north's memory. */

#include "fuzz_link.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <rte_log.h>

#include <vbus/device.h>
#include <vbus/pci.h>

#include "bridge_internal.h"
#include "fuzz_ctl.h"
#include "vbus_bridge.h"
#include "vbus_memmap.h"

struct link lk;

static uint32_t nb_irqs;

/* ---- the second thread ------------------------------------------------------------------------- */

#define POKES 16u

static struct {
	bool wanted;
	sem_t wake;
	atomic_bool active;
	_Atomic uint32_t nb;
	_Atomic uint32_t poke[POKES]; /* offset << 8 | value */
} other;

static void *
other_thread(void *arg)
{
	(void)arg;
	for (;;) {
		while (sem_wait(&other.wake) != 0)
			;
		while (atomic_load_explicit(&other.active, memory_order_relaxed)) {
			uint32_t n = atomic_load_explicit(&other.nb, memory_order_relaxed), i;

			for (i = 0; i < n && i < POKES; i++) {
				uint32_t p = atomic_load_explicit(
					&other.poke[i], memory_order_relaxed);

				__atomic_store_n(&lk.mem[(p >> 8) % LINK_SIZE], (uint8_t)p,
					__ATOMIC_RELAXED);
			}
		}
	}
	return NULL;
}

static void
other_start(struct fuzz_in *in)
{
	uint32_t n = 1 + in_8(in) % POKES, i;

	for (i = 0; i < n; i++) {
		uint32_t off = (uint32_t)in_word(in, 2) * 8 + in_8(in) % 8;

		/* Half of them in the rings, where it matters. */
		if ((off & 8) != 0 && lk.nb_rings != 0) {
			const struct link_ring *r = &lk.ring[off % lk.nb_rings];

			off = r->off + off % (uint32_t)vbus_ioq_size(r->count);
		}
		atomic_store_explicit(&other.poke[i], off << 8 | in_8(in), memory_order_relaxed);
	}
	atomic_store_explicit(&other.nb, n, memory_order_relaxed);
	if (!other.wanted)
		return;
	atomic_store_explicit(&other.active, true, memory_order_relaxed);
	sem_post(&other.wake);
}

/* ---- memory ------------------------------------------------------------------------------------ */

static int
memory_file(uint8_t *at, uint32_t size)
{
	int fd = memfd_create("north", MFD_CLOEXEC);

	if (fd < 0 || ftruncate(fd, size) != 0 ||
		mmap(at, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED)
		abort();
	return fd;
}

void
link_map(void)
{
	struct vbus_memmap *m = vbus_bridge_memmap(lk.b);
	const uint32_t rw = VBUS_MEM_READ | VBUS_MEM_WRITE;

	vbus_memmap_batch_begin(m);
	vbus_memmap_add_borrowed(m, LINK_IOVA, LINK_MAIN, lk.main_fd, 0, rw);
	vbus_memmap_add_borrowed(m, LINK_IOVA + LINK_MAIN, LINK_NEXT, lk.next_fd, 0, rw);
	vbus_memmap_add_borrowed(m, LINK_ROM_IOVA, LINK_ROM, lk.rom_fd, 0, VBUS_MEM_READ);
	vbus_memmap_add_borrowed(m, LINK_NONE_IOVA, LINK_NONE, -1, 0, rw);
	vbus_memmap_batch_end(m);
}

void
link_race_range(void)
{
	struct vbus_memcache mc = {0};
	void *va = vbus_memview_ptr(vbus_memmap_view(vbus_bridge_memmap(lk.b)), &mc, LINK_IOVA, 1);

	fuzz_race_lo = (uintptr_t)va;
	fuzz_race_len = va != NULL ? LINK_MAIN : 0;
}

uint64_t
link_addr(uint32_t off)
{
	return LINK_IOVA + off;
}

uint32_t
link_alloc(uint32_t len)
{
	uint32_t off = lk.next;

	len = (len + 63) & ~63u;
	if (len > LINK_SIZE - off)
		return 0;
	lk.next += len;
	return off;
}

uint64_t
link_any_addr(struct fuzz_in *in)
{
	uint8_t how = in_8(in);

	if (how < 128)
		return link_addr(in_below(in, LINK_SIZE / 2) * 2u + how % 2u);
	if (how < 160)
		return link_addr(LINK_MAIN) - in_8(in); /* over the seam */
	if (how < 176)
		return link_addr(LINK_SIZE) - in_8(in); /* over the end */
	if (how < 192)
		return LINK_ROM_IOVA + in_word(in, 2) % LINK_ROM;
	if (how < 200)
		return LINK_NONE_IOVA + in_8(in);
	if (how < 208)
		return link_addr(0) - in_8(in);
	return in_num(in);
}

/* ---- calls ------------------------------------------------------------------------------------- */

int32_t
link_call(uint32_t vector, const void *args, uint32_t len)
{
	if (len > 0)
		memcpy(lk.mem + LINK_ARGS, args, len);
	return vbus_bridge_call(lk.b, vector, link_addr(LINK_ARGS), len);
}

int32_t
link_devcall(uint32_t vector, void *args, uint32_t len)
{
	const struct vbus_pci_call_desc call = {
		.vector = vector, .len = len, .datap = link_addr(LINK_ARGS + 0x40)};
	int32_t ret;

	memcpy(lk.mem + LINK_ARGS + 0x40, args, len);
	ret = link_call(VBUS_PCI_BRIDGE_SLOWCALL, &call, sizeof(call));
	memcpy(args, lk.mem + LINK_ARGS + 0x40, len);
	return ret;
}

int32_t
link_open(uint32_t version)
{
	struct vbus_pci_deviceopen args = {.devid = lk.dev->devid, .version = version};
	int32_t ret = link_devcall(VBUS_PCI_HC_DEVOPEN, &args, sizeof(args));

	if (ret == 0)
		lk.handle = args.handle;
	return ret;
}

int32_t
link_func(uint32_t func, void *data, uint32_t len)
{
	struct vbus_pci_devicecall args = {
		.devh = lk.handle, .func = func, .len = len, .datap = link_addr(LINK_DATA)};
	int32_t ret;

	if (len != 0)
		memcpy(lk.mem + LINK_DATA, data, len);
	ret = link_devcall(VBUS_PCI_HC_DEVCALL, &args, sizeof(args));
	if (len != 0)
		memcpy(data, lk.mem + LINK_DATA, len);
	return ret;
}

int32_t
link_keep_shm(int32_t ret)
{
	if (ret > 0)
		lk.shms[lk.nb_shms++ % LINK_HANDLES] = ret;
	return ret;
}

int32_t
link_shm(uint32_t id, uint32_t off, uint32_t len, uint32_t signal)
{
	struct vbus_pci_deviceshm args = {
		.devh = lk.handle,
		.id = id,
		.len = len,
		.signal = {.offset = signal, .cookie = id + 100},
		.datap = link_addr(off),
	};

	return link_keep_shm(link_devcall(VBUS_PCI_HC_DEVSHM, &args, sizeof(args)));
}

struct link_ring *
link_ring(uint32_t id, uint32_t count, uint8_t valid)
{
	struct link_ring *r = &lk.ring[lk.nb_rings % LINK_RINGS];

	r->off = link_alloc((uint32_t)vbus_ioq_size(count));
	if (r->off == 0 || count > 64)
		return NULL;
	r->count = count;
	if (vbus_ioq_north_format(&r->q, lk.mem + r->off, count, r->cookies, valid) != 0)
		return NULL;
	(void)vbus_signal_attach(
		&r->sig, lk.mem + r->off + IOQ_RING_SIGNAL_OFFSET, VBUS_LOCALITY_NORTH);
	if (lk.nb_rings < LINK_RINGS)
		lk.nb_rings++;
	r->handle = link_shm(id, r->off, (uint32_t)vbus_ioq_size(count), IOQ_RING_SIGNAL_OFFSET);
	return r;
}

void
link_kick(struct link_ring *r)
{
	if (vbus_signal_inject(&r->sig))
		vbus_bridge_signal_write(
			lk.b, offsetof(struct vbus_pci_signals, shmsignal), (uint32_t)r->handle);
}

/* ---- life -------------------------------------------------------------------------------------- */

static void
op_irq(void *arg)
{
	(void)arg;
	nb_irqs++;
}

static bool
op_irq_is_line(void *arg)
{
	(void)arg;
	return (nb_irqs & 64) != 0;
}

static void
op_stop(void *arg)
{
	(void)arg;
}

static const struct vbus_connector_ops connector = {
	.name = "fuzz", .irq = op_irq, .irq_is_line = op_irq_is_line, .stop = op_stop};

void
link_init(struct vbus_device *dev, void (*setup)(struct fuzz_in *in))
{
	pthread_t tid;
	const char *env = getenv("FUZZ_THREAD");

	rte_log_set_global_level(RTE_LOG_EMERG);
	lk.mem = mmap(NULL, LINK_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	lk.rom = mmap(NULL, LINK_ROM, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (lk.mem == MAP_FAILED || lk.rom == MAP_FAILED)
		abort();
	lk.main_fd = memory_file(lk.mem, LINK_MAIN);
	lk.next_fd = memory_file(lk.mem + LINK_MAIN, LINK_NEXT);
	lk.rom_fd = memory_file(lk.rom, LINK_ROM);
	memset(lk.rom, 0x5a, LINK_ROM);
	lk.bus = vbus_bus_get("fuzz");
	if (lk.bus == NULL)
		abort();
	lk.b = lk.bus->bridge;
	lk.dev = dev;
	lk.setup = setup;
	lk.remap = true;
	if (vbus_bus_set_connector(lk.bus, &connector, NULL) != 0 ||
		(dev != NULL && vbus_device_attach(dev, lk.bus) != 0) ||
		vbus_bridge_session_open(lk.b, false) != 0)
		abort();
	other.wanted = env == NULL || *env != '0';
	sem_init(&other.wake, 0, 0);
	if (other.wanted && pthread_create(&tid, NULL, other_thread, NULL) != 0)
		abort();
}

static void
register_events(void)
{
	struct vbus_pci_busreg args = {.count = 1};
	uint32_t i;

	lk.evq.off = LINK_RING;
	lk.evq.count = LINK_EVENTS;
	(void)vbus_ioq_north_format(&lk.evq.q, lk.mem + LINK_RING, LINK_EVENTS, lk.evq.cookies, 1);
	(void)vbus_signal_attach(
		&lk.evq.sig, lk.mem + LINK_RING + IOQ_RING_SIGNAL_OFFSET, VBUS_LOCALITY_NORTH);
	for (i = 0; i < LINK_EVENTS; i++) {
		const uint32_t off = i * (uint32_t)sizeof(struct vbus_pci_event);

		(void)vbus_ioq_north_post(&lk.evq.q,
			&(struct vbus_ioq_entry){.cookie = off,
				.ptr = link_addr(LINK_SLOTS + off),
				.len = sizeof(struct vbus_pci_event)},
			1);
	}
	args.eventq[0].count = LINK_EVENTS;
	args.eventq[0].ring = link_addr(LINK_RING);
	args.eventq[0].data = link_addr(LINK_SLOTS);
	(void)link_call(VBUS_PCI_BRIDGE_QREG, &args, sizeof(args));
}

void
link_restart(struct fuzz_in *in)
{
	const struct vbus_pci_negotiate args = {VBUS_PCI_MAGIC, VBUS_PCI_CALL_VERSION,
		in_8(in) & (VBUS_CAP_DEVNAME | VBUS_CAP_DOORBELL)};

	lk.nb_rings = 0;
	lk.next = LINK_HEAP;
	lk.handle = 0;
	(void)link_call(VBUS_PCI_BRIDGE_NEGOTIATE, &args, sizeof(args));
	register_events();
	if (lk.setup != NULL)
		lk.setup(in);
}

static void
link_begin(struct fuzz_in *in)
{
	uint8_t how = in_8(in);

	if (lk.remap) {
		vbus_bridge_session_close(lk.b, "fuzz");
		if (vbus_bridge_session_open(lk.b, false) != 0)
			abort();
		link_map();
		lk.remap = false;
	}
	link_race_range();
	memset(lk.mem, 0, LINK_SIZE);
	memset(lk.shms, 0, sizeof(lk.shms));
	lk.nb_shms = 0;
	lk.nb_rings = 0;
	lk.handle = 0;
	lk.next = LINK_HEAP;
	if ((how & 0x0f) != 0x0f)
		link_restart(in);
	if ((how & 0xe0) == 0xe0)
		other_start(in);
}

static void
link_end(void)
{
	struct vbus_bridge_info info;

	atomic_store_explicit(&other.active, false, memory_order_relaxed);
	fuzz_end();
	vbus_bridge_reset(lk.b, true);
	fuzz_ctl_poll();
	vbus_bridge_info(lk.b, &info);
	FUZZ_CHECK(info.nb_conns == 0 && info.nb_shms == 0 && info.nb_channels == 0);
	FUZZ_CHECK(info.nb_events_held == 0 && !info.negotiated && !info.events_ready);
	/* All bytes are as the first, and that is what it was. */
	FUZZ_CHECK(lk.rom[0] == 0x5a && memcmp(lk.rom, lk.rom + 1, LINK_ROM - 1) == 0);
}

void
link_run(const uint8_t *data, size_t size, void (*step)(struct fuzz_in *in))
{
	struct fuzz_in in;

	fuzz_begin(&in, data, size);
	link_begin(&in);
	while (in_more(&in))
		step(&in);
	link_end();
}
