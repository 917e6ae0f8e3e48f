/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */
#ifndef DP_SERIAL_INTERNAL_H
#define DP_SERIAL_INTERNAL_H

/**
 * @file
 * Inside of the back ends of serial ports: what making one (dp_serial_make.c) and serving it
 * (dp_serial.c) share.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "dp_back.h"
#include "dp_io.h"
#include "vbus_log.h"
#include "vbus_serial.h"

#define LAYOUT	   1u
#define OUT_OFFSET ((sizeof(struct memory) + 4095) / 4096 * 4096)
/* A kill is seen by nobody but a successor: the order of the stores is all that counts. */
#define BEFORE_A_KILL() __atomic_signal_fence(__ATOMIC_SEQ_CST)

#define IN_SIZE 16384u
#define CHUNK	4096u /* what a descriptor that blocks surely takes, and most readers in one go */

enum kind {
	KIND_NONE, /* only remembered */
	KIND_PTY,
	KIND_LISTEN,
	KIND_FILE,
	KIND_STDIO,
};

/*
 * All of the streams that must outlive this process when there is a keeper: a memfd, with the output's
 * bytes behind it (ADR-0016). Byte counts are free-running.
 */
struct memory {
	uint32_t layout;
	uint32_t out_size; /* a power of two */
	char path[DP_FILE_SIZE];
	uint32_t attached;
	struct vbus_serial_kept port;
	uint32_t out_done; /* bytes of output that nobody needs any more */
	/* A write to a file or pty: how far it came the kernel notes, here or in the file. */
	struct {
		uint32_t active, from; /* out_done then */
		off_t at;	       /* the file's size then; pty: place in the memfd, now */
	} sink;
	/* What a socket's client was sent and has not read yet; msg_len is the kernel's note. */
	struct mmsghdr send;
	struct iovec send_part[2];
	uint32_t send_from; /* out_done then */
	/* Input, read and not taken yet: it begins with byte number in_base. */
	uint32_t in_base, in_end;
	struct {
		uint32_t active;
		int level; /* of the pipe, before bytes were read from it */
	} load;
	uint8_t in[IN_SIZE];
};

/* What a keeper keeps: bits of its word, in the order of the descriptors. */
enum kept_fd {
	KEPT_MEMORY,
	KEPT_MAIN, /* the pty, the listening socket */
	KEPT_CLIENT,
	KEPT_PIPE_OUT,
	KEPT_PIPE_IN,
	NB_KEPT
};

struct dp_serial {
	struct dp_io io; /* first */
	struct vbus_serial *port;
	struct memory *m;
	int memory_fd;
	int pipe[2]; /* input goes this way, for then it is known what was read; -1: no keeper */
	bool pipe_full;
	bool keeps;  /* there is a keeper */
	bool untold; /* of a client that has come or gone */
	char name[DP_NAME_SIZE];
	char path[DP_FILE_SIZE]; /* link of the pty, socket, file */
	char slave[64];		 /* of the pty */
	enum kind kind;
	int in_fd, out_fd; /* -1: none; the same for a pty and a socket */
	int listen_fd;
	bool attached;
	bool told_attached;
	bool in_over;  /* nothing more to read from who is attached */
	bool out_over; /* nor anybody to write to */
	bool reset;    /* the client went, and had not read all that was sent */
	bool hold;     /* output waits for somebody to attach */
	atomic_bool break_wanted;
	struct vbus_log_limit break_limit;
	uint64_t nb_dropped; /* bytes that nobody was there for */
	uint16_t rows, cols, told_rows, told_cols;
	/* output, kept */
	uint8_t *out;
	uint32_t out_size, out_keep;
	uint8_t entry[VBUS_SERIAL_ENTRY_MAX];
};

static inline uint32_t
out_len(const struct dp_serial *s)
{
	return s->m->port.commit[s->m->port.turn & 1].out - s->m->out_done;
}

static inline uint32_t
in_len(const struct dp_serial *s)
{
	return s->m->in_end - s->m->port.in_done;
}

static inline uint32_t
out_at(const struct dp_serial *s)
{
	return s->m->out_done & (s->out_size - 1);
}

extern const struct dp_io_ops dp_serial_ops;
/** Somebody is there from now on. */
void dp_serial_attach(struct dp_serial *s);
/** Has somebody come to the pty, or gone? @return something changed */
bool dp_serial_look_pty(struct dp_serial *s);
/** What is to outlive this process, as it is now. Nothing without a keeper. */
void dp_serial_tell_keeper(struct dp_serial *s);

#endif /* DP_SERIAL_INTERNAL_H */
