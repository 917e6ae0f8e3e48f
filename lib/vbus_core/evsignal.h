/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */
#ifndef VBUS_EVSIGNAL_H
#define VBUS_EVSIGNAL_H

/**
 * @file
 * Signal an eventfd that a peer gave us, without a chance to block.
 *
 * write(2) is not enough: descriptor and O_NONBLOCK are shared with the peer, which can clear the
 * flag and fill the counter between any check and the write, and the control thread would sleep for
 * ever. The kernel's own way to signal (the completion of an asynchronous read) never waits.
 */

/**
 * Add 1 to the counter of @p fd; at its maximum nothing happens. The first call of a process with
 * the control lock held, then from any thread; a signal may get lost when very many signal at once.
 * @return 0, or a negative errno: -EBADF, -EINVAL: no eventfd.
 */
int vbus_eventfd_signal(int fd);

#endif /* VBUS_EVSIGNAL_H */
