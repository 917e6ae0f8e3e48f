/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * The vfio-user connector with a real bridge behind it: our own client on a socket, served by the
 * control thread of this process.
 */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <linux/pci_regs.h>

#include <vbus/pci.h>

#include "cu_run.h"
#include "vbus_bridge.h"
#include "vbus_core.h"
#include "vbus_ctl.h"
#include "vbus_null.h"
#include "vfu_client.h"

#define MS  1000000ull
#define MIB (1024 * 1024ull)

static char dir[64];
static char path[96];

static int
init(void)
{
	snprintf(dir, sizeof(dir), "/tmp/vbus-test-XXXXXX");
	if (mkdtemp(dir) == NULL)
		return -1;
	snprintf(path, sizeof(path), "%s/s.sock", dir);
	return vbus_ctl_get();
}

static int
cleanup(void)
{
	vbus_ctl_put();
	return rmdir(dir); /* fails when a socket file was left behind */
}

/* ---- a client that waits --------------------------------------------------------------------- */

struct peer {
	struct vfu_client *c;
	bool over;
	int done;	/* requests completed */
	int status;	/* of the last */
	uint64_t value; /* of the last: read data, size, count ... */
	uint32_t flags;
	int fd; /* kept from the last */
	struct vfu_io_fd io;
};

static void
on_closed(void *arg, int reason, const char *why)
{
	struct peer *p = arg;

	(void)reason;
	(void)why;
	p->over = true;
}

static const struct vfu_client_ops client_ops = {.closed = on_closed};

static void
on_done(void *arg, int status, const struct vfu_reply *r)
{
	struct peer *p = arg;

	p->done++;
	p->status = status;
	if (r == NULL)
		return;
	switch (r->command) {
	case VFU_CMD_DEVICE_GET_INFO:
		p->value = r->device->num_regions;
		p->flags = r->device->flags;
		break;
	case VFU_CMD_DEVICE_GET_REGION_INFO:
		p->value = r->region->size;
		p->flags = r->region->flags;
		break;
	case VFU_CMD_DEVICE_GET_IRQ_INFO:
		p->value = r->irq->count;
		p->flags = r->irq->flags;
		break;
	case VFU_CMD_REGION_READ:
		p->value = 0;
		memcpy(&p->value, r->read.data, r->read.len < 8 ? r->read.len : 8);
		break;
	case VFU_CMD_DEVICE_GET_REGION_IO_FDS:
		p->value = r->io_fds.count;
		if (r->io_fds.count != 0) {
			p->io = r->io_fds.entries[0];
			p->fd = r->fds[p->io.fd_index];
			r->fds[p->io.fd_index] = -1;
		}
		break;
	default:
		break;
	}
}

static struct vfu_call
call(struct peer *p)
{
	return (struct vfu_call){.done = on_done, .arg = p, .deadline_ns = VFU_NEVER};
}

/* Until `done` requests have completed, the connection is over, or 5 s have gone. */
static void
run(struct peer *p, int done)
{
	uint64_t end = vbus_ctl_now_ns() + 5000 * MS;

	while (p->done < done && !p->over && vbus_ctl_now_ns() < end) {
		struct pollfd pfd = {
			.fd = vfu_client_fd(p->c), .events = (short)vfu_client_want_events(p->c)};

		poll(&pfd, 1, 100);
		vfu_client_process(p->c, vbus_ctl_now_ns(), 64);
	}
}

static int
finish(struct peer *p)
{
	run(p, p->done + 1);
	return p->over ? -ECONNRESET : p->status;
}

static int
peer_open(struct peer *p)
{
	struct vfu_call c = call(p);
	char why[VFU_WHY_LEN];
	int ret;

	memset(p, 0, sizeof(*p));
	ret = vfu_client_connect(path, &client_ops, p, &p->c, why);
	if (ret != 0)
		return ret;
	CU_ASSERT_EQUAL(vfu_client_version(p->c, &c), 0);
	return finish(p);
}

static int
reg_read(struct peer *p, uint32_t region, uint64_t off, uint32_t len)
{
	struct vfu_call c = call(p);

	CU_ASSERT_EQUAL(vfu_client_region_read(p->c, region, off, len, &c), 0);
	return finish(p);
}

static int
reg_write(struct peer *p, uint32_t region, uint64_t off, uint64_t value, uint32_t len)
{
	struct vfu_call c = call(p);

	CU_ASSERT_EQUAL(vfu_client_region_write(p->c, region, off, &value, len, &c), 0);
	return finish(p);
}

static int
set_irqs(struct peer *p, uint32_t index, const int *fds, uint32_t nb)
{
	struct vfu_call c = call(p);

	CU_ASSERT_EQUAL(vfu_client_set_irqs(p->c, index, 0, fds, nb, &c), 0);
	return finish(p);
}

static uint64_t
region_size(struct peer *p, uint32_t index)
{
	struct vfu_call c = call(p);

	CU_ASSERT_EQUAL(vfu_client_region_info(p->c, index, &c), 0);
	CU_ASSERT_EQUAL(finish(p), 0);
	return p->value;
}

static uint64_t
irq_count(struct peer *p, uint32_t index)
{
	struct vfu_call c = call(p);

	CU_ASSERT_EQUAL(vfu_client_irq_info(p->c, index, &c), 0);
	CU_ASSERT_EQUAL(finish(p), 0);
	return p->value;
}

static int
dma_map(struct peer *p, uint64_t iova, uint64_t size, int fd, uint64_t offset)
{
	struct vfu_dma_map m = {
		.flags = VFU_DMA_F_READ | VFU_DMA_F_WRITE,
		.offset = offset,
		.iova = iova,
		.size = size,
	};
	struct vfu_call c = call(p);

	CU_ASSERT_EQUAL(vfu_client_dma_map(p->c, &m, fd, &c), 0);
	return finish(p);
}

/* The result of a bridge call by way of BAR 0; -999: the access itself failed. */
static int32_t
bridge_call(struct peer *p, uint32_t vector, uint64_t datap, uint32_t len)
{
	if (reg_write(p, 0, 0, vector | (uint64_t)len << 32, 8) != 0 ||
		reg_write(p, 0, 8, datap, 8) != 0 || reg_read(p, 0, 0, 4) != 0)
		return -999;
	return (int32_t)p->value;
}

/* ---- vfio-user ------------------------------------------------------------------------------- */

static struct vbus_bus *
serve(const char *name)
{
	char err[256] = "";
	struct vbus_bus *bus;

	vbus_ctl_lock();
	bus = vbus_bus_get(name);
	CU_ASSERT_PTR_NOT_NULL_FATAL(bus);
	CU_ASSERT_EQUAL_FATAL(vbus_connector_vfio_user(bus, path, err, sizeof(err)), 0);
	vbus_ctl_unlock();
	return bus;
}

static void
put(struct vbus_bus *bus)
{
	vbus_ctl_lock();
	vbus_bus_put(bus);
	vbus_ctl_unlock();
}

static struct vbus_bridge_info
bridge_info(struct vbus_bus *bus)
{
	struct vbus_bridge_info info;

	vbus_ctl_lock();
	vbus_bridge_info(bus->bridge, &info);
	vbus_ctl_unlock();
	return info;
}

static void
wait_no_peer(struct vbus_bus *bus)
{
	for (int i = 0; i < 5000 && bridge_info(bus).peer; i++)
		usleep(1000);
	CU_ASSERT_FALSE(bridge_info(bus).peer);
}

static void
raise_irq(struct vbus_bus *bus)
{
	vbus_ctl_lock();
	bus->connector->ops->irq(bus->connector->arg);
	vbus_ctl_unlock();
}

static uint64_t
drain(int fd)
{
	uint64_t v = 0;

	if (read(fd, &v, sizeof(v)) != (ssize_t)sizeof(v))
		return 0;
	return v;
}

static void
test_listen_errors(void)
{
	char err[256], bad[300];
	struct vbus_bus *a, *b;

	a = serve("a");
	vbus_ctl_lock();
	b = vbus_bus_get("b");
	CU_ASSERT_EQUAL(vbus_connector_vfio_user(a, path, err, sizeof(err)), -EBUSY);
	CU_ASSERT_PTR_NOT_NULL(strstr(err, "bus a"));
	CU_ASSERT_EQUAL(vbus_connector_vfio_user(b, path, err, sizeof(err)), -EADDRINUSE);
	CU_ASSERT_PTR_NOT_NULL(strstr(err, path));
	CU_ASSERT_EQUAL(vbus_connector_vfio_user(b, "", err, sizeof(err)), -EINVAL);
	CU_ASSERT_NOT_EQUAL(err[0], 0);
	memset(bad, 'x', sizeof(bad) - 1);
	bad[sizeof(bad) - 1] = 0;
	CU_ASSERT_EQUAL(vbus_connector_vfio_user(b, bad, err, sizeof(err)), -ENAMETOOLONG);
	snprintf(bad, sizeof(bad), "%s/no/such", dir);
	CU_ASSERT_EQUAL(vbus_connector_vfio_user(b, bad, err, sizeof(err)), -ENOENT);
	CU_ASSERT_PTR_NULL(b->connector);
	vbus_bus_put(b);
	vbus_ctl_unlock();
	CU_ASSERT_EQUAL(access(path, F_OK), 0);
	put(a);
	CU_ASSERT_EQUAL(access(path, F_OK), -1); /* the file goes with the bus */
}

static void
test_device(void)
{
	struct vbus_bus *bus = serve("vm1");
	struct vfu_call c;
	struct peer p;
	char text[128];

	CU_ASSERT_EQUAL_FATAL(peer_open(&p), 0);
	c = call(&p);
	CU_ASSERT_TRUE(bridge_info(bus).peer);
	CU_ASSERT_EQUAL(vfu_client_device_info(p.c, &c), 0);
	CU_ASSERT_EQUAL(finish(&p), 0);
	CU_ASSERT_EQUAL(p.value, VFU_PCI_NUM_REGIONS);
	CU_ASSERT_EQUAL(p.flags, VFU_DEVICE_F_RESET | VFU_DEVICE_F_PCI);
	CU_ASSERT_EQUAL(region_size(&p, VFU_PCI_BAR0), 4096);
	CU_ASSERT_EQUAL(
		p.flags, VFU_REGION_F_READ | VFU_REGION_F_WRITE); /* no mmap: posted writes */
	CU_ASSERT_EQUAL(region_size(&p, VFU_PCI_BAR1), 32);
	CU_ASSERT_EQUAL(region_size(&p, VFU_PCI_CONFIG), 256);
	CU_ASSERT_EQUAL(region_size(&p, VFU_PCI_BAR2), 0);
	CU_ASSERT_EQUAL(region_size(&p, VFU_PCI_ROM), 0);
	CU_ASSERT_EQUAL(region_size(&p, VFU_PCI_VGA), 0);
	CU_ASSERT_EQUAL(irq_count(&p, VFU_PCI_INTX), 1);
	CU_ASSERT_EQUAL(p.flags, 7);
	CU_ASSERT_EQUAL(irq_count(&p, VFU_PCI_MSI), 1);
	CU_ASSERT_EQUAL(p.flags, 1);
	CU_ASSERT_EQUAL(irq_count(&p, VFU_PCI_MSIX), 0);
	CU_ASSERT_EQUAL(irq_count(&p, VFU_PCI_ERR), 0);
	CU_ASSERT_EQUAL(reg_read(&p, VFU_PCI_CONFIG, 0, 4), 0);
	CU_ASSERT_EQUAL(p.value, 0x200011da);
	CU_ASSERT_EQUAL(reg_read(&p, VFU_PCI_CONFIG, PCI_BASE_ADDRESS_1, 4), 0);
	CU_ASSERT_EQUAL(p.value, 1);
	CU_ASSERT_EQUAL(reg_write(&p, VFU_PCI_CONFIG, PCI_COMMAND, 7, 2), 0);
	CU_ASSERT_EQUAL(reg_read(&p, VFU_PCI_CONFIG, PCI_COMMAND, 2), 0);
	CU_ASSERT_EQUAL(p.value, 7);
	/* signal registers take words; bytes are ignored, reads are zeros */
	CU_ASSERT_EQUAL(reg_write(&p, VFU_PCI_BAR1, 9, 1, 1), 0);
	CU_ASSERT_EQUAL(reg_write(&p, VFU_PCI_BAR1, 8, 1, 4), 0);
	CU_ASSERT_EQUAL(reg_write(&p, VFU_PCI_BAR1, 24, ~0ull, 8), 0);
	CU_ASSERT_EQUAL(reg_read(&p, VFU_PCI_BAR1, 8, 4), 0);
	CU_ASSERT_EQUAL(p.value, 0);
	CU_ASSERT_EQUAL(bridge_info(bus).nb_signals_in, 3);
	CU_ASSERT_EQUAL(vfu_client_reset(p.c, &c), 0);
	CU_ASSERT_EQUAL(finish(&p), 0);
	CU_ASSERT_EQUAL(bridge_info(bus).nb_resets, 1);
	CU_ASSERT_EQUAL(reg_read(&p, VFU_PCI_CONFIG, PCI_COMMAND, 2), 0);
	CU_ASSERT_EQUAL(p.value, 0);
	vbus_ctl_lock();
	bus->connector->ops->describe(bus->connector->arg, text, sizeof(text));
	vbus_ctl_unlock();
	{
		char want[32];

		snprintf(want, sizeof(want), "pid %d,", getpid());
		CU_ASSERT_PTR_NOT_NULL(strstr(text, want));
	}
	vfu_client_free(p.c);
	wait_no_peer(bus);
	put(bus);
}

/* A function without ports: no BAR 1, and what stands for a signal is in BAR 0. */
static void
test_no_ports(void)
{
	char err[256] = "";
	struct vbus_bus *bus;
	struct vfu_call c;
	struct peer p;

	vbus_ctl_lock();
	bus = vbus_bus_get("arm");
	CU_ASSERT_PTR_NOT_NULL_FATAL(bus);
	bus->no_ports = true;
	CU_ASSERT_EQUAL_FATAL(vbus_connector_vfio_user(bus, path, err, sizeof(err)), 0);
	vbus_ctl_unlock();
	CU_ASSERT_EQUAL_FATAL(peer_open(&p), 0);
	c = call(&p);
	CU_ASSERT_EQUAL(region_size(&p, VFU_PCI_BAR0), 4096);
	CU_ASSERT_EQUAL(region_size(&p, VFU_PCI_BAR1), 0);
	CU_ASSERT_EQUAL(reg_read(&p, VFU_PCI_CONFIG, PCI_BASE_ADDRESS_1, 4), 0);
	CU_ASSERT_EQUAL(p.value, 0);
	CU_ASSERT_EQUAL(reg_read(&p, VFU_PCI_CONFIG, PCI_BASE_ADDRESS_0, 8), 0);
	CU_ASSERT_EQUAL(p.value, 0);
	CU_ASSERT_EQUAL(reg_write(&p, VFU_PCI_BAR1, 8, 1, 4), 0); /* is nothing */
	CU_ASSERT_EQUAL(vfu_client_region_io_fds(p.c, VFU_PCI_BAR0, &c), 0);
	CU_ASSERT_EQUAL(finish(&p), 0);
	CU_ASSERT_EQUAL_FATAL(p.value, 1);
	CU_ASSERT_EQUAL(p.io.offset, VBUS_PCI_DOORBELL + 8);
	CU_ASSERT_EQUAL(p.io.size, 4);
	close(p.fd);
	CU_ASSERT_EQUAL(bridge_info(bus).nb_signals_in, 0);
	vfu_client_free(p.c);
	wait_no_peer(bus);
	put(bus);
}

static void
test_memory_and_call(void)
{
	struct vbus_bus *bus = serve("vm1");
	struct vbus_pci_negotiate *neg;
	struct vbus_memmap_info mi;
	int fd = memfd_create("north", MFD_CLOEXEC);
	struct vfu_call c;
	struct peer p;

	CU_ASSERT_EQUAL_FATAL(ftruncate(fd, 4 * MIB), 0);
	neg = mmap(NULL, 4 * MIB, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CU_ASSERT_FATAL(neg != MAP_FAILED);
	neg->magic = VBUS_PCI_MAGIC;
	neg->version = VBUS_PCI_CALL_VERSION;
	neg->capabilities = ~0ull;

	CU_ASSERT_EQUAL_FATAL(peer_open(&p), 0);
	c = call(&p);
	CU_ASSERT_EQUAL(
		bridge_call(&p, VBUS_PCI_BRIDGE_NEGOTIATE, 0x100000, sizeof(*neg)), -EFAULT);
	CU_ASSERT_EQUAL(dma_map(&p, 0x100000, MIB, fd, 0), 0);
	CU_ASSERT_EQUAL(dma_map(&p, 0x200000, MIB, fd, MIB), 0);
	CU_ASSERT_EQUAL(dma_map(&p, 0x180000, MIB, fd, MIB), -EEXIST);
	CU_ASSERT_EQUAL(dma_map(&p, 0x300000, 4 * MIB, fd, MIB), -EINVAL);
	CU_ASSERT_EQUAL(dma_map(&p, 0xfd000000, MIB, -1, 0), 0);
	CU_ASSERT_EQUAL(bridge_call(&p, VBUS_PCI_BRIDGE_NEGOTIATE, 0x100000, sizeof(*neg)),
		VBUS_PCI_CALL_VERSION);
	CU_ASSERT_NOT_EQUAL(neg->capabilities, ~0ull); /* masked and written back */
	CU_ASSERT_TRUE(bridge_info(bus).negotiated);
	vbus_ctl_lock();
	vbus_memmap_info(vbus_bridge_memmap(bus->bridge), &mi);
	vbus_ctl_unlock();
	CU_ASSERT_EQUAL(mi.nb_regions, 3);
	CU_ASSERT_EQUAL(mi.nb_files, 1);
	CU_ASSERT_EQUAL(mi.nb_extents, 1);
	/* one unmap over all, and one over nothing */
	CU_ASSERT_EQUAL(vfu_client_dma_unmap(p.c, 0, 0x300000, &c), 0);
	CU_ASSERT_EQUAL(finish(&p), 0);
	CU_ASSERT_EQUAL(vfu_client_dma_unmap(p.c, 0x800000000000, 1ull << 47, &c), 0);
	CU_ASSERT_EQUAL(finish(&p), 0);
	CU_ASSERT_EQUAL(vfu_client_dma_unmap_all(p.c, &c), 0);
	CU_ASSERT_EQUAL(finish(&p), 0);
	vbus_ctl_lock();
	vbus_memmap_info(vbus_bridge_memmap(bus->bridge), &mi);
	vbus_ctl_unlock();
	CU_ASSERT_EQUAL(mi.nb_regions, 0);
	CU_ASSERT_EQUAL(mi.mapped_bytes, 0);
	/* many in flight */
	for (uint64_t i = 0; i < 1000; i++) {
		struct vfu_dma_map m = {
			.flags = 3, .offset = i * 4096, .iova = i * 8192, .size = 4096};

		CU_ASSERT_EQUAL(vfu_client_dma_map(p.c, &m, fd, &c), 0);
	}
	run(&p, p.done + 1000);
	CU_ASSERT_EQUAL(p.status, 0);
	vbus_ctl_lock();
	vbus_memmap_info(vbus_bridge_memmap(bus->bridge), &mi);
	vbus_ctl_unlock();
	CU_ASSERT_EQUAL(mi.nb_extents, 1000); /* published, nothing waits for a next message */
	vfu_client_free(p.c);
	wait_no_peer(bus);
	put(bus);
	munmap(neg, 4 * MIB);
	close(fd);
}

static void
test_interrupts(void)
{
	struct vbus_bus *bus = serve("vm1");
	int e1 = eventfd(0, EFD_NONBLOCK), e2 = eventfd(0, EFD_NONBLOCK);
	struct peer p;
	int pipe_fds[2];

	raise_irq(bus); /* nobody there */
	CU_ASSERT_EQUAL_FATAL(peer_open(&p), 0);
	raise_irq(bus); /* nothing armed: kept */
	CU_ASSERT_EQUAL(set_irqs(&p, VFU_PCI_MSI, &e1, 1), 0);
	CU_ASSERT_EQUAL(drain(e1), 1);
	raise_irq(bus);
	raise_irq(bus);
	CU_ASSERT_EQUAL(drain(e1), 2);
	/* re-armed with another */
	CU_ASSERT_EQUAL(set_irqs(&p, VFU_PCI_MSI, &e2, 1), 0);
	raise_irq(bus);
	CU_ASSERT_EQUAL(drain(e1), 0);
	CU_ASSERT_EQUAL(drain(e2), 1);
	/* off, INTx on: held until unmasked */
	CU_ASSERT_EQUAL(set_irqs(&p, VFU_PCI_MSI, NULL, 0), 0);
	CU_ASSERT_EQUAL(set_irqs(&p, VFU_PCI_INTX, &e1, 1), 0);
	raise_irq(bus);
	raise_irq(bus);
	raise_irq(bus);
	CU_ASSERT_EQUAL(drain(e1), 1);
	/* a re-arm counts as unmasked */
	CU_ASSERT_EQUAL(set_irqs(&p, VFU_PCI_INTX, &e1, 1), 0);
	CU_ASSERT_EQUAL(drain(e1), 1);
	/* what does not exist, what is no eventfd */
	CU_ASSERT_NOT_EQUAL(set_irqs(&p, VFU_PCI_MSIX, &e1, 1), 0);
	CU_ASSERT_EQUAL(pipe(pipe_fds), 0);
	CU_ASSERT_NOT_EQUAL(set_irqs(&p, VFU_PCI_MSI, &pipe_fds[1], 1), 0);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
	vfu_client_free(p.c);
	wait_no_peer(bus);
	raise_irq(bus);
	CU_ASSERT_EQUAL(drain(e1), 0);
	put(bus);
	close(e1);
	close(e2);
}

/* A client shares the descriptor: it can fill the counter and make writes block. */
static void
test_interrupt_full(void)
{
	struct vbus_bus *bus = serve("vm1");
	uint64_t most = UINT64_MAX - 1, v = 0;
	int e = eventfd(0, EFD_NONBLOCK);
	struct peer p;

	CU_ASSERT_EQUAL_FATAL(peer_open(&p), 0);
	CU_ASSERT_EQUAL(set_irqs(&p, VFU_PCI_MSI, &e, 1), 0);
	CU_ASSERT_EQUAL(write(e, &most, sizeof(most)), 8);
	CU_ASSERT_EQUAL(fcntl(e, F_SETFL, 0), 0);
	alarm(20); /* the end of a test that blocks here */
	for (int i = 0; i < 100; i++)
		raise_irq(bus);
	alarm(0);
	CU_ASSERT_EQUAL(fcntl(e, F_SETFL, O_NONBLOCK), 0);
	CU_ASSERT_EQUAL(read(e, &v, sizeof(v)), 8);
	CU_ASSERT_TRUE(v >= most);
	raise_irq(bus);
	CU_ASSERT_EQUAL(drain(e), 1);
	vfu_client_free(p.c);
	wait_no_peer(bus);
	put(bus);
	close(e);
}

static void
test_kick_fd(void)
{
	struct vbus_bus *bus = serve("vm1");
	uint64_t one = 1;
	struct vfu_call c;
	struct peer p;

	CU_ASSERT_EQUAL_FATAL(peer_open(&p), 0);
	c = call(&p);
	CU_ASSERT_EQUAL(vfu_client_region_io_fds(p.c, VFU_PCI_BAR2, &c), 0);
	CU_ASSERT_EQUAL(finish(&p), 0);
	CU_ASSERT_EQUAL(p.value, 0);
	CU_ASSERT_EQUAL(vfu_client_region_io_fds(p.c, VFU_PCI_BAR1, &c), 0);
	CU_ASSERT_EQUAL(finish(&p), 0);
	CU_ASSERT_EQUAL(p.value, 1);
	CU_ASSERT_EQUAL(p.io.offset, offsetof(struct vbus_pci_signals, shmsignal));
	CU_ASSERT_EQUAL(p.io.size, 4);
	CU_ASSERT_EQUAL(p.io.flags, 0);
	/* a hostile client makes the shared descriptor block, and kicks */
	CU_ASSERT_EQUAL(fcntl(p.fd, F_SETFL, 0), 0);
	for (int i = 0; i < 100; i++) {
		CU_ASSERT_EQUAL(write(p.fd, &one, sizeof(one)), 8);
		if (i % 2 == 0)
			continue;
		fcntl(p.fd, F_SETFL, O_NONBLOCK); /* our own read must not block either */
		drain(p.fd);
		fcntl(p.fd, F_SETFL, 0);
	}
	CU_ASSERT_EQUAL(reg_read(&p, VFU_PCI_CONFIG, 0, 2), 0); /* the control thread lives */
	vfu_client_free(p.c);
	wait_no_peer(bus);
	put(bus);
	close(p.fd);
}

/* One client at a time, the next one at once. */
static void
test_clients(void)
{
	struct vbus_bus *bus = serve("vm1");
	struct peer a, b;

	CU_ASSERT_EQUAL_FATAL(peer_open(&a), 0);
	CU_ASSERT_NOT_EQUAL(peer_open(&b), 0);
	vfu_client_free(b.c);
	CU_ASSERT_EQUAL(reg_read(&a, VFU_PCI_CONFIG, 0, 2), 0); /* the first is served on */
	CU_ASSERT_EQUAL(a.value, 0x11da);
	CU_ASSERT_EQUAL(bridge_info(bus).nb_sessions, 1);
	for (int i = 0; i < 50; i++) {
		/* gone and back before the control thread has seen either */
		vbus_ctl_lock();
		vfu_client_free(a.c);
		memset(&a, 0, sizeof(a));
		CU_ASSERT_EQUAL(vfu_client_connect(path, &client_ops, &a, &a.c, NULL), 0);
		vbus_ctl_unlock();
		struct vfu_call c = call(&a);

		CU_ASSERT_EQUAL(vfu_client_version(a.c, &c), 0);
		CU_ASSERT_EQUAL(finish(&a), 0);
	}
	CU_ASSERT_EQUAL(bridge_info(bus).nb_sessions, 51);
	/* the bus goes under a client */
	put(bus);
	run(&a, a.done + 1);
	CU_ASSERT_TRUE(a.over);
	vfu_client_free(a.c);
}

static void
test_no_null(void)
{
	static const struct vbus_null_ops ops;
	struct vbus_bus *bus = serve("vm1");

	vbus_ctl_lock();
	errno = 0;
	CU_ASSERT_PTR_NULL(vbus_null_open(bus, &ops, NULL));
	CU_ASSERT_EQUAL(errno, EINVAL);
	vbus_ctl_unlock();
	put(bus);
}

static const struct cu_test tests[] = {
	{"paths", test_listen_errors},
	{"the device", test_device},
	{"no I/O ports", test_no_ports},
	{"memory and a call", test_memory_and_call},
	{"interrupts", test_interrupts},
	{"an interrupt that would block", test_interrupt_full},
	{"the kick descriptor", test_kick_fd},
	{"one client after the other", test_clients},
	{"no null link to such a bus", test_no_null},
	{NULL, NULL},
};

int
main(void)
{
	return cu_run("vfio-user connector", tests, init, cleanup);
}
