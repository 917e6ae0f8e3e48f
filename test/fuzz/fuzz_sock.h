/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */
#ifndef FUZZ_SOCK_H
#define FUZZ_SOCK_H

/**
 * @file
 * A stream socket and descriptors that are played: what lib/vfio_user is compiled with here calls
 * fuzz_recvmsg() for recvmsg() and so on (meson.build). No system call is made, reads and writes
 * are split where the input says, and each descriptor is known to be open or closed.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** A new socket. @return its descriptor; everything of before is forgotten */
int sock_open(void);
/** A descriptor, as an owner of a device would have one. */
int sock_fd_new(void);
bool sock_fd_is_open(int fd);
void sock_fd_close(int fd);
/** Descriptors that are open, the socket included. */
unsigned int sock_nb_fds(void);

/**
 * The peer sends; one read does not go beyond it, and its descriptors come with the first byte.
 * @param data  NULL: @p len zeros. Copied.
 * @param lost  more came than there was room for
 */
void sock_peer_sends(const void *data, uint32_t len, uint32_t nb_fds, bool lost);
/** Reading stops here once (EAGAIN). */
void sock_peer_waits(void);
void sock_peer_closes(void);
/** Bytes that can be sent from now on, UINT32_MAX: any number; and an errno, 0: none. */
void sock_takes(uint32_t bytes, int err);
/** Is there something to read? */
bool sock_readable(void);

/** The target's: what was sent. */
void sock_on_sent(const uint8_t *data, size_t len, uint32_t nb_fds);

#endif /* FUZZ_SOCK_H */
