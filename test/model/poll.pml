/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * The ring for pollers: words whose phase is their ownership. lib/vbus_ring/vbus_poll.h, doc/abi.md section 12.
 *   (none)  transmit: north writes descriptors, south counts in `done`
 *   -DRX    receive: north writes descriptors of empty buffers, south fills them and writes completions
 * A word is stored and loaded as a whole: 2 * (position + 1) + phase; what it names is a variable of its own, FRAME.
 *
 * Shown: no buffer is owned by both; words and frames arrive in order, each once and whole; nothing is overwritten
 * that was not read. With pan -l -f: it always goes on.
 *
 * Faults:
 *   -DNO_POST_RELEASE -DNO_BACK_RELEASE   no release before a descriptor; before `done` or a completion
 *   -DNO_SOUTH_ACQUIRE -DNO_NORTH_ACQUIRE frames read before the word that hands them over
 *   -DLATE_READ                           south reads the frame after `done` (transmit)
 *   -DTOO_FAR                             north writes one entry more than there are
 *   -DNO_PHASE                            any word but 0 counts
 *   -DSTUCK                               south stops one short
 */
#ifndef COUNT
#define COUNT 2
#endif
#ifndef THINGS
#define THINGS 5
#endif

#define DESC(n)	 ((n) % COUNT)
#define COMP(n)	 (COUNT + (n) % COUNT)
#define FRAME(n) (2 * COUNT + (n) % COUNT)
#define DONE	 (3 * COUNT)
#define NV	 (3 * COUNT + 1)
#define CAP	 20

#include "weak.pml"

#define NORTH  0
#define SOUTH  1
#define NOBODY 2

byte holder[COUNT];

#define PHASE(pos) (1 - ((pos) / COUNT) % 2)
#define WORD(pos)  (2 * ((pos) + 1) + PHASE(pos))
#ifdef NO_PHASE
#define IS_READY(w, pos) (w != 0)
#else
#define IS_READY(w, pos) (w % 2 == PHASE(pos))
#endif
#ifdef TOO_FAR
#define LIMIT (COUNT + 1)
#else
#define LIMIT COUNT
#endif
#ifdef STUCK
#define SERVED (THINGS - 1)
#else
#define SERVED THINGS
#endif

inline HOLD(p, pos)
{
	d_step {
		assert(holder[(pos) % COUNT] == NOBODY);
		holder[(pos) % COUNT] = p
	}
}

inline LET_GO(p, pos)
{
	d_step {
		assert(holder[(pos) % COUNT] == p);
		holder[(pos) % COUNT] = NOBODY
	}
}

/* North writes n entries from tail on. Their buffers are its own since it took them back, or from the start. */
inline post(n)
{
	m = 0;
	do
	:: m < n ->
#ifndef RX
		STORE(NORTH, FRAME(tail + m), tail + m + 1);
#endif
		LET_GO(NORTH, tail + m);
		m++
	:: else -> break
	od;
#ifndef NO_POST_RELEASE
	RELEASE(NORTH);
#endif
	m = 0;
	do
	:: m < n -> STORE(NORTH, DESC(tail + m), WORD(tail + m)); m++
	:: else -> break
	od;
	m = 0;
	tail = tail + n
}

/* North takes back what south is done with; n: how many. */
inline take_back()
{
#ifdef RX
#ifdef NO_NORTH_ACQUIRE
	LOAD(NORTH, FRAME(head), f);
#endif
	n = 0;
	do
	:: head < tail ->
		LOAD(NORTH, COMP(head), w);
		if
		:: IS_READY(w, head) ->
			assert(w == WORD(head));
#ifdef NO_NORTH_ACQUIRE
			if
			:: n > 0 -> LOAD(NORTH, FRAME(head), f)
			:: else
			fi;
#else
			LOAD(NORTH, FRAME(head), f);
#endif
			assert(f == head + 1);
			HOLD(NORTH, head);
			head++;
			n++
		:: else -> break
		fi
	:: else -> break
	od;
	f = 0;
#else
	LOAD(NORTH, DONE, w);
	n = (w - head <= tail - head -> w - head : 0);
	m = 0;
	do
	:: m < n -> HOLD(NORTH, head); head++; m++
	:: else -> break
	od;
	m = 0;
#endif
	w = 0
}

proctype north()
{
	byte f, i, m, n, w;
	byte head, tail;

	do
	:: head == THINGS -> break
	:: head < THINGS ->
		n = LIMIT - (tail - head);
		if
		:: n > THINGS - tail -> n = THINGS - tail
		:: else
		fi;
		if
		:: n == 0 -> skip
		:: n > 0 -> goto write
		:: n > 1 -> n = 1; goto write
		:: n > 0 && head < tail -> skip
		fi;
		take_back();
		if
		:: n > 0 -> goto progress_back
		:: else -> goto next
		fi;
write:		post(n);
progress_back:	skip;
next:		n = 0
	od
}

proctype south()
{
	byte f, i, m, n, w;
	byte pos;

	do
	:: pos == SERVED -> break
	:: pos < SERVED ->
#ifdef NO_SOUTH_ACQUIRE
		LOAD(SOUTH, FRAME(pos), f);
#endif
		n = 0;
		do
		:: n < COUNT && pos + n < SERVED ->
			LOAD(SOUTH, DESC(pos + n), w);
			if
			:: IS_READY(w, pos + n) ->
				assert(w == WORD(pos + n));
				HOLD(SOUTH, pos + n);
#ifndef RX
#ifdef NO_SOUTH_ACQUIRE
				if
				:: n > 0 -> LOAD(SOUTH, FRAME(pos + n), f)
				:: else
				fi;
				assert(f == pos + n + 1);
#elif !defined(LATE_READ)
				LOAD(SOUTH, FRAME(pos + n), f);
				assert(f == pos + n + 1);
#endif
#else
				STORE(SOUTH, FRAME(pos + n), pos + n + 1);
#endif
				n++
			:: else -> break
			fi;
			if
			:: skip
			:: break /* a smaller burst */
			fi
		:: else -> break
		od;
		w = 0;
		f = 0;
		if
		:: n == 0 -> goto next
		:: else
		fi;
progress:	m = 0;
		do
		:: m < n -> LET_GO(SOUTH, pos + m); m++
		:: else -> break
		od;
		m = 0;
#ifndef NO_BACK_RELEASE
		RELEASE(SOUTH);
#endif
#ifdef RX
		do
		:: m < n -> STORE(SOUTH, COMP(pos + m), WORD(pos + m)); m++
		:: else -> break
		od;
		m = 0;
#else
		STORE(SOUTH, DONE, pos + n);
#endif
#ifdef LATE_READ
		LOAD(SOUTH, FRAME(pos), f);
		assert(f == pos + 1);
		f = 0;
#endif
		pos = pos + n;
next:		n = 0
	od
}

init
{
	byte n;

	atomic {
		do
		:: n < COUNT -> holder[n] = NORTH; n++
		:: else -> break
		od;
		n = 0;
		run drain(NORTH);
		run drain(SOUTH);
		run north();
		run south()
	}
}
