/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * The null connector: both halves in this process.
 */

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <unistd.h>

#include <vbus/pci.h>

#include "cu_run.h"
#include "vbus_bridge.h"
#include "vbus_core.h"
#include "vbus_ctl.h"
#include "vbus_null.h"

static int
init(void)
{
	return vbus_ctl_get();
}

static int
cleanup(void)
{
	vbus_ctl_put();
	return 0;
}

struct north {
	int nb_irqs;
	int nb_closed;
};

static void
north_irq(void *arg)
{
	((struct north *)arg)->nb_irqs++;
}

static void
north_closed(void *arg)
{
	((struct north *)arg)->nb_closed++;
}

static const struct vbus_null_ops north_ops = {.irq = north_irq, .closed = north_closed};

/* Does the control thread take what is in the descriptor? It is woken by it. */
static bool
was_taken(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	for (int i = 0; i < 5000 && poll(&p, 1, 0) != 0; i++)
		usleep(1000);
	return poll(&p, 1, 0) == 0;
}

static void
test_null(void)
{
	struct vbus_pci_negotiate neg = {
		.magic = VBUS_PCI_MAGIC, .version = VBUS_PCI_CALL_VERSION, .capabilities = ~0ull};
	struct north north = {0};
	struct vbus_null *n, *n2;
	struct vbus_bus *bus;
	uint64_t one = 1;
	char text[64];

	vbus_ctl_lock();
	bus = vbus_bus_get("n1");
	CU_ASSERT_PTR_NOT_NULL_FATAL(bus);
	n = vbus_null_open(bus, &north_ops, &north);
	CU_ASSERT_PTR_NOT_NULL_FATAL(n);
	CU_ASSERT_EQUAL(vbus_connector_null(bus), -EBUSY);
	errno = 0;
	CU_ASSERT_PTR_NULL(vbus_null_open(bus, &north_ops, &north));
	CU_ASSERT_EQUAL(errno, EBUSY);
	CU_ASSERT_EQUAL(vbus_null_call(n, VBUS_PCI_BRIDGE_NEGOTIATE, (uintptr_t)&neg, sizeof(neg)),
		VBUS_PCI_CALL_VERSION);
	CU_ASSERT_NOT_EQUAL(neg.capabilities, ~0ull);
	CU_ASSERT_EQUAL(vbus_null_call(n, VBUS_PCI_BRIDGE_NEGOTIATE, 0, sizeof(neg)), -EFAULT);
	CU_ASSERT_EQUAL(vbus_null_call(n, 77, (uintptr_t)&neg, sizeof(neg)), -ENOSYS);
	vbus_null_signal(n, 8, 12345);
	bus->connector->ops->irq(bus->connector->arg);
	CU_ASSERT_EQUAL(north.nb_irqs, 1);
	bus->connector->ops->describe(bus->connector->arg, text, sizeof(text));
	CU_ASSERT_NOT_EQUAL(text[0], 0);
	vbus_ctl_unlock();
	CU_ASSERT_EQUAL(write(vbus_null_kick_fd(n), &one, 8), 8); /* any thread */
	CU_ASSERT_TRUE(was_taken(vbus_null_kick_fd(n)));
	/* north goes and comes back */
	vbus_ctl_lock();
	vbus_null_close(n);
	bus->connector->ops->irq(bus->connector->arg);
	CU_ASSERT_EQUAL(north.nb_irqs, 1);
	n2 = vbus_null_open(bus, &north_ops, &north);
	CU_ASSERT_PTR_NOT_NULL_FATAL(n2);
	/* the bus goes first */
	vbus_bus_put(bus);
	CU_ASSERT_EQUAL(north.nb_closed, 1);
	CU_ASSERT_EQUAL(vbus_null_call(n2, VBUS_PCI_BRIDGE_NEGOTIATE, (uintptr_t)&neg, sizeof(neg)),
		-ENOTCONN);
	vbus_null_signal(n2, 8, 1);
	vbus_null_close(n2);
	vbus_null_close(NULL);
	vbus_ctl_unlock();
}

static const struct cu_test tests[] = {
	{"null", test_null},
	{NULL, NULL},
};

int
main(void)
{
	return cu_run("null connector", tests, init, cleanup);
}
