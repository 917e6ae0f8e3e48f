/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */
#ifndef KEEPER_H
#define KEEPER_H

/**
 * @file
 * Inside of vbus-keeper (ADR-0016): one thread, one epoll set. main.c has arguments and loop,
 * keeper_dp.c the data plane, keeper_link.c the links, keeper_serve.c what is answered while no data
 * plane is there, keeper_fds.c the descriptors that are kept.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "handover.h"
#include "link_state.h"

#define KEEPER_HOLD_MS 3000 /* a call waits so long for a data plane: hypervisors give up at 5 s */

/** A file of north's memory. */
struct keeper_file {
	dev_t dev;
	ino_t ino;
	int fd;
	LIST_ENTRY(keeper_file) next;
};

/** An eventfd, by the number of the message that it came with. */
struct keeper_event {
	uint64_t nr;
	int fd;
	LIST_ENTRY(keeper_event) next;
};

/** A descriptor in the epoll set. */
struct keeper_watch {
	void (*fn)(struct keeper_watch *w, uint32_t events);
	void *arg;
	int fd; /* -1: not in the set */
	uint32_t events;
};

/** A link: a socket path, its state, and its client. */
struct keeper_link {
	uint32_t id;
	char path[VBUS_HO_TEXT];
	struct vfu_listener *listener;
	struct keeper_watch listen_watch;
	struct vbus_link_state *ls;
	int ls_fd;
	bool opened; /* by the data plane that is connected */

	/* The client. */
	int sock; /* -1: nobody is there */
	int kick;
	struct vfu_session *session; /* while we serve it; NULL: the data plane does */
	struct keeper_watch session_watch;
	uint64_t hold_until; /* the call that waits gets an error then; 0: none waits */
	bool refusing;	     /* one has got an error: the next do at once */

	LIST_HEAD(, keeper_file) files;
	LIST_HEAD(, keeper_event) events;
	/* Descriptors of the message that the data plane has taken, or is about to. */
	uint64_t parked_nr;
	int parked[VBUS_HO_FDS];
	uint32_t nb_parked;

	uint64_t nb_served; /* messages, by us */
	LIST_ENTRY(keeper_link) next;
};
LIST_HEAD(keeper_links, keeper_link);

/* main.c */
extern struct keeper_links keeper_links;
void keeper_log(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
uint64_t keeper_now_ms(void);
/** Wait for events (0: take it out of the set). @return 0 or a negative errno, logged */
int keeper_watch(struct keeper_watch *w, int fd, uint32_t events);

/* keeper_dp.c */
/** Serve the hand-over socket. @return 0 or a negative errno, said */
int keeper_dp_start(const char *path);
void keeper_dp_stop(void);
/** Is a data plane connected? */
bool keeper_dp_there(void);
/** Tell it of the link's client. The link's descriptors go along. */
void keeper_dp_session(struct keeper_link *l);

/* keeper_link.c */
struct keeper_link *keeper_link_find(const char *path);
struct keeper_link *keeper_link_of(uint32_t id);
/** @return NULL: @p why, and errno */
struct keeper_link *keeper_link_make(const char *path, char *why);
void keeper_link_del(struct keeper_link *l);
/** A new, empty state in place of one that cannot be used; its client goes. */
int keeper_link_renew(struct keeper_link *l);
/** The client has gone, or is sent away: everything of it is forgotten. */
void keeper_link_end(struct keeper_link *l, const char *why);
/** The data plane is gone: serve the client, from where it stopped. */
void keeper_link_take_over(struct keeper_link *l);
/** Stop to serve it: the state is the data plane's from here on. */
void keeper_link_give(struct keeper_link *l);

/* keeper_serve.c */
/** Serve the client that is there (l->sock) in the link's state. @return 0 or a negative errno */
int keeper_serve_begin(struct keeper_link *l);
/** What is there to be read, or a call whose time is over. */
void keeper_serve(struct keeper_link *l);

/* keeper_fds.c */
/** Keep duplicates of the descriptors of message @p nr. */
void keeper_fds_add(struct keeper_link *l, uint64_t nr, const int *fds, uint32_t nb_fds);
/** The eventfd that came with message @p nr, -1: none. Stays ours. */
int keeper_fds_event(const struct keeper_link *l, uint64_t nr);
/** Forget files and eventfds that the state does not name. Message @p but and later ones are kept. */
void keeper_fds_sweep(struct keeper_link *l, uint64_t but);
void keeper_fds_drop(struct keeper_link *l);
void keeper_fds_unpark(struct keeper_link *l);

#endif /* KEEPER_H */
