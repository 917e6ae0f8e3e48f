/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * PCI functions that a driver of this process has opened and that are windows (ADR-0018): everybody who
 * says pci:FUNCTION maps the driver's descriptor, and shares the function's interrupt.
 *
 * Threads: control lock held; hold and unhold take it.
 * Ownership: the descriptor is the driver's, the eventfd of its interrupt ours from hold to unhold. Windows
 * are linked here from open to close, or until the function goes.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "vbus_ctl.h"
#include "vbus_window.h"

#define HELD_MAX 16u

static struct vbus_window_held held[HELD_MAX];

static struct vbus_window_held *
find(const char *function)
{
	for (uint32_t i = 0; i < HELD_MAX; i++)
		if (strcmp(held[i].function, function) == 0)
			return &held[i];
	return NULL;
}

const struct vbus_window_held *
vbus_window_held(const char *function)
{
	return find(function);
}

int
vbus_window_hold(const char *function, int fd, uint64_t offset, uint64_t size)
{
	struct vbus_window_held *h;
	int ret = 0;

	vbus_ctl_lock();
	h = find("");
	if (h == NULL || strlen(function) >= sizeof(h->function)) {
		ret = -ENOSPC;
	} else {
		*h = (struct vbus_window_held){
			.fd = fd, .offset = offset, .size = size, .irq_fd = -1};
		strcpy(h->function, function);
	}
	vbus_ctl_unlock();
	return ret;
}

int
vbus_window_hold_irq(const char *function, int irq_fd, int64_t ring_off, uint32_t number)
{
	struct vbus_window_held *h;

	vbus_ctl_lock();
	h = find(function);
	if (h != NULL && h->irq_fd < 0) {
		h->irq_fd = irq_fd;
		h->ring_off = ring_off;
		h->own = (uint64_t)VBUS_WINDOW_IRQ << 32 | number;
	} else {
		h = NULL;
	}
	vbus_ctl_unlock();
	if (h != NULL)
		return 0;
	close(irq_fd);
	return -ENOENT;
}

void
vbus_window_unhold(const char *function)
{
	struct vbus_window_held *h;

	vbus_ctl_lock();
	h = find(function);
	while (h != NULL && h->users != NULL)
		vbus_window_held_leave(h->users);
	if (h != NULL && h->irq_fd >= 0)
		close(h->irq_fd);
	if (h != NULL)
		h->function[0] = '\0';
	vbus_ctl_unlock();
}

/* ---- the interrupt, shared --------------------------------------------------------------------- */

static void
irq_came(int fd, uint32_t events, void *arg)
{
	struct vbus_window_held *h = arg;
	uint64_t count;

	(void)events;
	if (read(fd, &count, sizeof(count)) < 0)
		return;
	for (struct vbus_window *w = h->users; w != NULL; w = w->irq.next)
		vbus_window_irq_came(w);
}

int
vbus_window_held_join(const char *function, struct vbus_window *w)
{
	struct vbus_window_held *h = find(function);

	if (h == NULL || h->irq_fd < 0)
		return 0;
	if (h->watch == NULL)
		h->watch = vbus_ctl_fd_add(h->irq_fd, EPOLLIN, irq_came, h);
	if (h->watch == NULL)
		return -errno;
	/* One of its own: it stays good, though useless, when the function goes. */
	w->irq.ring_fd = fcntl(h->fd, F_DUPFD_CLOEXEC, 0);
	if (w->irq.ring_fd < 0) {
		int error = errno;

		if (h->users == NULL) {
			vbus_ctl_fd_del(h->watch);
			h->watch = NULL;
		}
		return -error;
	}
	w->irq.ring_off = h->ring_off;
	w->irq.own = h->own;
	w->irq.next = h->users;
	h->users = w;
	return 0;
}

void
vbus_window_held_leave(struct vbus_window *w)
{
	for (struct vbus_window_held *h = held; h < held + HELD_MAX; h++) {
		struct vbus_window **pp = &h->users;

		while (*pp != NULL && *pp != w)
			pp = &(*pp)->irq.next;
		if (*pp == NULL)
			continue;
		*pp = w->irq.next;
		vbus_window_irq_off(w);
		if (h->users == NULL) {
			vbus_ctl_fd_del(h->watch);
			h->watch = NULL;
		}
	}
}
