/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */
#ifndef VBUS_KEEPER_CLIENT_H
#define VBUS_KEEPER_CLIENT_H

/**
 * @file
 * What the vfio-user connector wants of the keeper (ADR-0016). Control lock held.
 */

#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "handover.h"
#include "vbus_keeper.h"

/** A client, as the keeper hands it over. Descriptors are the receiver's. */
struct kept_session {
	int sock;
	int kick;
	int irq[VU_NB_IRQS]; /* -1: not armed */
	int parked[VBUS_HO_FDS];
	uint32_t nb_parked;
};

struct kept_file {
	dev_t dev;
	ino_t ino;
	int fd;
	struct kept_file *next;
};

/** A link that the keeper keeps for us; a member of its owner. */
struct kept_link {
	uint32_t id;
	int ls_fd;		   /* of the state; whoever takes it sets -1 */
	struct kept_file *files;   /* north's memory, until kept_files_drop() */
	struct kept_session first; /* sock -1: no client yet */
	/** A client has come: owns its descriptors. */
	void (*session)(struct kept_link *k, const struct kept_session *s);
	/** vbus_keeper_leave(): stop to touch anything. */
	void (*leave)(struct kept_link *k);
	LIST_ENTRY(kept_link) next;
};

/**
 * Open a link.
 * @param renew  what was got before does not hold together: throw the state and the client away
 * @return 0, or a negative errno and a line in @p err
 */
int kept_open(struct kept_link *k, const char *path, bool renew, char *err, size_t err_size);
/** -1: there is none. */
int kept_file_fd(const struct kept_link *k, uint64_t dev, uint64_t ino);
void kept_files_drop(struct kept_link *k);
void kept_session_drop(struct kept_session *s);
void kept_park(struct kept_link *k, uint64_t nr, const int *fds, uint32_t nb_fds);
void kept_ended(struct kept_link *k, const char *why);
/** The link is closed for good; @p k is no longer known. */
void kept_close(struct kept_link *k);

#endif /* VBUS_KEEPER_CLIENT_H */
