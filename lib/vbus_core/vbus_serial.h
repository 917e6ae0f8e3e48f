/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */
#ifndef VBUS_SERIAL_H
#define VBUS_SERIAL_H

/**
 * @file
 * The serial class, south end (doc/abi.md section 9): north's port as a stream of bytes that a back
 * end polls. *Output* is what north writes, *input* what it reads.
 *
 * One thread polls. It sleeps by vbus_serial_arm() and is woken by the user's wake().
 */

#include <stdbool.h>
#include <stdint.h>

struct vbus_device;
struct vbus_serial;

#define VBUS_SERIAL_CALL_ROOM 16384u /* bytes of WRITE calls on their way; a power of two */

/**
 * What a process that goes on where another was killed must know of the streams (ADR-0016): zeros
 * at first, in memory that outlives the process, or in the port itself. Byte counts are free-running.
 * Of the two commits the one of `turn` holds; what changes together changes by one store.
 */
struct vbus_serial_kept {
	uint32_t turn;
	uint32_t hangups;
	struct {
		uint32_t out;	/* bytes of north's that the back end has */
		uint32_t calls; /* of these, from calls */
		uint32_t stamp; /* of the session that `head` is of */
		uint32_t head;	/* north's output ring is taken up to here */
	} commit[2];
	/* Input: a buffer of north's that is being filled. */
	struct {
		uint32_t active;
		uint32_t stamp;
		uint32_t pos;	  /* it is filled if the ring's tail has left this place */
		uint32_t in_done; /* then */
	} fill;
	uint32_t in_done;    /* bytes that north has got */
	uint32_t call_taken; /* result of the WRITE of this message: */
	uint64_t called;     /* its number above, bytes of calls below */
	uint8_t calls[VBUS_SERIAL_CALL_ROOM];
};

/** A back end: called by the control side, control lock held. */
struct vbus_serial_user {
	/** When it returns, no polled function runs that began before: vbus_mark_wait(). */
	void (*quiesce)(void *arg);
	/** North signalled, started or stopped: let the polling thread look. It may be asleep. */
	void (*wake)(void *arg);
	void *arg;
	struct vbus_serial_kept *kept; /**< may be NULL; constant while bound */
};

/** The port behind a device, NULL when it is of another class. Any thread. */
struct vbus_serial *vbus_serial_of(struct vbus_device *dev);
/** Bind the polling side; NULL: unbind, returns after a last quiesce. Control lock held. @return 0, -EBUSY */
int vbus_serial_bind(struct vbus_serial *s, const struct vbus_serial_user *user);

/** What north sees of the host's side. Control lock held; never inside the mark. */
void vbus_serial_set_carrier(struct vbus_serial *s, bool carrier);
void vbus_serial_set_size(struct vbus_serial *s, uint16_t rows, uint16_t cols);

/* ---- polled by one thread, inside what quiesce() waits for --------------------------------------- */

#define VBUS_SERIAL_ENTRY_MAX \
	65536u /**< an entry of north's is taken whole: room for it must come */

/**
 * Take output of north, whole entries as they fit.
 * @param room  bytes; less than VBUS_SERIAL_ENTRY_MAX may be too little for the next entry
 * @param[out] brk  a break comes before the first of these bytes
 * @return bytes; 0: nothing there, no room, or a break alone
 */
uint32_t vbus_serial_read(struct vbus_serial *s, void *buf, uint32_t room, bool *brk);
/** Likewise, but north's entries stay: what it has returned is to be accepted before anything else. */
uint32_t vbus_serial_peek(struct vbus_serial *s, void *buf, uint32_t room, bool *brk);
/** The bytes of the last peek are where they outlive us: the end of them is noted, north has its entries. */
void vbus_serial_accept(struct vbus_serial *s);
/** Give input to north. @return bytes taken: what north has room for. */
uint32_t vbus_serial_write(struct vbus_serial *s, const void *buf, uint32_t len);
/** A break for north, before what is written next. @return false: no buffer, try again */
bool vbus_serial_break(struct vbus_serial *s);
/** Is north there: started, its memory mapped? Then vbus_serial_write() can take something some time. */
bool vbus_serial_up(const struct vbus_serial *s);
/** VSERIAL_NORTH_*; 0 when north is not there or says nothing. */
uint32_t vbus_serial_flags(const struct vbus_serial *s);
#define VBUS_SERIAL_OUTPUT 1u /**< there is output to read */
#define VBUS_SERIAL_ROOM   2u /**< north has room for input */
/** Ask for wake-ups. @return what is there already: then do not sleep, if it matters. */
uint32_t vbus_serial_arm(struct vbus_serial *s);
void vbus_serial_disarm(struct vbus_serial *s);

/** X(field, "name"): one writer, the polling thread; nb_calls and nb_call_bytes the control side. */
#define VBUS_SERIAL_STATS(X)             \
	X(out_bytes, "output_bytes")     \
	X(out_entries, "output_entries") \
	X(out_bad, "output_bad_entries") \
	X(out_breaks, "output_breaks")   \
	X(in_bytes, "input_bytes")       \
	X(in_entries, "input_entries")   \
	X(in_bad, "input_bad_buffers")   \
	X(in_breaks, "input_breaks")     \
	X(call_bytes, "output_call_bytes")
#define VBUS_SERIAL_FIELD(field, name) uint64_t field;
struct vbus_serial_stats {
	VBUS_SERIAL_STATS(VBUS_SERIAL_FIELD)
};
/** Any thread. */
void vbus_serial_stats(const struct vbus_serial *s, struct vbus_serial_stats *st);

#endif /* VBUS_SERIAL_H */
