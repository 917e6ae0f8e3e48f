/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * Bridge calls and device calls (doc/abi.md section 1), one after the other on each link: BAR
 * 0 holds one call descriptor, and one set of argument blocks in the link's shared memory is
 * enough.
 *
 * Threads: any that may wait submits; completions run where the transport delivers them
 * (control thread), or in the submitter on transports that answer at once. All with the
 * control lock.
 * Ownership: a call is heap memory with private copies of its arguments. It belongs to the
 * queue from submit to completion, then to its waiter or its completion function. A waiter
 * that gives up leaves it to the queue: a late reply writes into the link's shared block and
 * into this copy, never into memory of the caller.
 */

#include "vbus_bus_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vbus_peer.h"

/* How long a waiter stays; the transport gives up later, and the connection with it. */
#define CALL_WAIT_NS (RTE_VBUS_TIMEOUT_MS * VBUS_NS_PER_MS)

struct vbus_call *
vbus_call_new(uint32_t vector, uint32_t block_len, uint32_t data_len)
{
	struct vbus_call *c = calloc(1, sizeof(*c) + data_len);

	if (c != NULL) {
		c->vector = vector;
		c->block_len = block_len;
		c->data_len = data_len;
	}
	return c;
}

/*
 * An open that nobody waits for any more was answered: nobody has the handle, and to south the device is
 * open, so that it would be busy for ever. The call becomes the close, before anything that waits.
 * @return it did; who called runs the queue
 */
static bool
call_undo(struct rte_vbus_link *link, struct vbus_call *c, int32_t result)
{
	const uint64_t handle = c->block.devopen.handle;

	if (result < 0 || c->vector != VBUS_PCI_BRIDGE_SLOWCALL ||
		c->dev_vector != VBUS_PCI_HC_DEVOPEN || handle == 0)
		return false;
	memset(&c->block, 0, sizeof(c->block));
	c->dev_vector = VBUS_PCI_HC_DEVCLOSE;
	c->block_len = sizeof(c->block.devclose);
	c->block.devclose.handle = handle;
	c->done = false;
	TAILQ_INSERT_HEAD(&link->calls, c, next);
	return true;
}

static void
call_finish(struct rte_vbus_link *link, struct vbus_call *c, int32_t result)
{
	c->result = result;
	c->done = true;
	if (result < 0)
		link->stats.nb_failed_calls++;
	if (c->fn != NULL)
		c->fn(link, c);
	else if (c->abandoned && call_undo(link, c, result))
		return;
	else if (c->abandoned)
		free(c);
	else
		vbus_ctl_wake();
}

/* Write the argument blocks of a call into the shared memory and hand it to the transport. */
static int
call_issue(struct rte_vbus_link *link, struct vbus_call *c, int32_t *result)
{
	struct vbus_link_shared *s = link->shared;
	void *block = s->bridge_block;
	uint32_t len = c->block_len;

	link->stats.nb_calls++;
	if (c->vector != VBUS_PCI_BRIDGE_SLOWCALL) {
		memcpy(block, c->block.bytes, len);
		return link->ops->call(link, c->vector, vbus_link_addr(link, block), len, result);
	}
	if (c->data_len > 0) {
		memcpy(s->data, c->data, c->data_len);
		c->block.devcall.datap = vbus_link_addr(link, s->data);
	}
	memcpy(s->dev_block, c->block.bytes, len);
	s->slow.vector = c->dev_vector;
	s->slow.len = len;
	s->slow.datap = vbus_link_addr(link, s->dev_block);
	return link->ops->call(
		link, c->vector, vbus_link_addr(link, &s->slow), sizeof(s->slow), result);
}

/* The active call has its result: take what south wrote back. */
static void
call_collect(struct rte_vbus_link *link, int32_t result)
{
	struct vbus_link_shared *s = link->shared;
	struct vbus_call *c = link->active;

	link->active = NULL;
	if (result >= 0) {
		vbus_peer_copy_in(c->block.bytes,
			c->vector == VBUS_PCI_BRIDGE_SLOWCALL ? s->dev_block : s->bridge_block,
			c->block_len);
		if (c->data_len > 0)
			vbus_peer_copy_in(c->data, s->data, c->data_len);
	}
	call_finish(link, c, result);
}

/* Issue calls while the transport answers at once. Not recursive: a completion that submits
 * ends up in the loop that runs already. */
static void
call_pump(struct rte_vbus_link *link)
{
	struct vbus_call *c;
	int32_t result;
	int ret;

	if (link->pumping)
		return;
	link->pumping = true;
	while (link->active == NULL && (c = TAILQ_FIRST(&link->calls)) != NULL) {
		TAILQ_REMOVE(&link->calls, c, next);
		if (link->state < VBUS_LINK_NEGOTIATING) {
			call_finish(link, c, -ENOTCONN);
			continue;
		}
		link->active = c;
		result = 0;
		ret = call_issue(link, c, &result);
		if (ret != 0 && link->active == c)
			call_collect(link, ret < 0 ? ret : result);
	}
	link->pumping = false;
}

void
vbus_call_submit(struct rte_vbus_link *link, struct vbus_call *c)
{
	TAILQ_INSERT_TAIL(&link->calls, c, next);
	call_pump(link);
}

void
vbus_call_done(struct rte_vbus_link *link, int32_t result)
{
	if (link->active == NULL)
		return;
	call_collect(link, result);
	call_pump(link);
}

void
vbus_call_fail_all(struct rte_vbus_link *link, int32_t status)
{
	struct vbus_call *c;

	if (link->active != NULL) {
		c = link->active;
		link->active = NULL;
		call_finish(link, c, status);
	}
	while ((c = TAILQ_FIRST(&link->calls)) != NULL) {
		TAILQ_REMOVE(&link->calls, c, next);
		call_finish(link, c, status);
	}
}

bool
vbus_call_run(struct rte_vbus_link *link, struct vbus_call *c)
{
	vbus_call_submit(link, c);
	if (c->done || vbus_ctl_wait(&c->done, CALL_WAIT_NS) == 0 || c->done)
		return true;
	/* Timed out, or asked for by the control thread, which must not wait. It is still the
	 * queue's, so the link is still there: stopping one completes all its calls. */
	link->stats.nb_timeouts++;
	c->abandoned = true;
	return false;
}

/* ---- the driver's calls -------------------------------------------------------------------- */

/* A device call, to the end. Consumes c; block_out and data_out (may be NULL) receive copies.
 * Control lock held. */
static int
device_call(struct rte_vbus_link *link, struct vbus_call *c, void *block_out, void *data_out)
{
	int ret;

	if (!vbus_call_run(link, c))
		return -ETIMEDOUT;
	ret = c->result;
	if (ret >= 0 && block_out != NULL)
		memcpy(block_out, c->block.bytes, c->block_len);
	if (ret >= 0 && data_out != NULL)
		memcpy(data_out, c->data, c->data_len);
	free(c);
	return ret;
}

int
rte_vbus_open(struct rte_vbus_device *dev, uint32_t version)
{
	struct vbus_call *c;
	struct vbus_pci_deviceopen out;
	uint32_t session;
	int ret;

	c = vbus_call_new(VBUS_PCI_BRIDGE_SLOWCALL, sizeof(out), 0);
	if (c == NULL)
		return -ENOMEM;
	c->dev_vector = VBUS_PCI_HC_DEVOPEN;
	vbus_ctl_lock();
	if (!dev->present || dev->handle != 0) {
		ret = dev->present ? -EBUSY : -ENODEV;
		free(c);
		goto out;
	}
	c->block.devopen.devid = dev->devid;
	c->block.devopen.version = version;
	session = vbus_dev_of(dev)->session;
	ret = device_call(dev->link, c, &out, NULL);
	if (ret < 0)
		goto out;
	if (session != vbus_dev_of(dev)->session)
		ret = -ENOTCONN; /* the peer went away after it had answered */
	else if (out.handle == 0)
		ret = -EPROTO;
	else
		dev->handle = out.handle;
out:
	vbus_ctl_unlock();
	return ret < 0 ? ret : 0;
}

int
rte_vbus_close(struct rte_vbus_device *dev)
{
	struct vbus_call *c;
	int ret = 0;

	c = vbus_call_new(VBUS_PCI_BRIDGE_SLOWCALL, sizeof(struct vbus_pci_deviceclose), 0);
	if (c == NULL)
		return -ENOMEM;
	c->dev_vector = VBUS_PCI_HC_DEVCLOSE;
	vbus_ctl_lock();
	if (dev->handle == 0) {
		free(c);
		goto out;
	}
	c->block.devclose.handle = dev->handle;
	/* South may still use the blocks if it did not answer: the caller is about to free
	 * them, so the connection goes, which unmaps everything there. */
	if (!vbus_call_run(dev->link, c)) {
		vbus_link_fail(dev->link, "DEVCLOSE was not answered");
		ret = -ETIMEDOUT;
	} else {
		ret = c->result;
		free(c);
	}
	vbus_shm_forget(dev->link, dev);
	dev->handle = 0;
out:
	vbus_ctl_unlock();
	return ret < 0 && ret != -ENOTCONN ? ret : 0;
}

int
rte_vbus_call(struct rte_vbus_device *dev, uint32_t func, void *data, uint32_t len)
{
	struct vbus_call *c;
	int ret;

	if (len > VBUS_BUS_CALL_MAX || (len > 0 && data == NULL))
		return -EINVAL;
	c = vbus_call_new(VBUS_PCI_BRIDGE_SLOWCALL, sizeof(struct vbus_pci_devicecall), len);
	if (c == NULL)
		return -ENOMEM;
	c->dev_vector = VBUS_PCI_HC_DEVCALL;
	if (len > 0)
		memcpy(c->data, data, len);
	vbus_ctl_lock();
	if (dev->handle == 0) {
		vbus_ctl_unlock();
		free(c);
		return -ENOTCONN;
	}
	c->block.devcall.devh = dev->handle;
	c->block.devcall.func = func;
	c->block.devcall.len = len;
	ret = device_call(dev->link, c, NULL, len > 0 ? data : NULL);
	vbus_ctl_unlock();
	return ret;
}

bool
rte_vbus_present(const struct rte_vbus_device *dev)
{
	/* Written under the lock, read by anybody: a moment later it may be otherwise anyway. */
	return __atomic_load_n(&dev->present, __ATOMIC_RELAXED);
}
