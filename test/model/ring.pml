/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * The ring's hand-over: ownership bytes, indices and `full`. lib/vbus_ring/vbus_ioq_*.h, doc/abi.md sections 3, 4.
 *
 * Two sides: PUT puts things into entries, GET takes them out and gives the entries back.
 *   (none)  transmit: north puts into what it has reaped, by its own count; south gets
 *   -DTXC   transmit with TXC, page ring: north goes by the ownership bytes from the tail on
 *   -DRX    receive, events: south puts into what north has posted; north gets, and posts again later
 * What an entry holds (address, length, and the data behind them) is one variable for each direction: DATA from PUT
 * to GET, on the receive ring ROOM from GET to PUT, too.
 *
 * Shown: no entry is owned by both; things arrive in order, each once and whole; nothing is overwritten that was not
 * read; where `full` counts (all entries one side's) it is right. With pan -l -f: it always goes on.
 *
 * Faults:
 *   -DNO_PUT_RELEASE -DNO_GET_RELEASE   ownership bytes without release fence before them
 *   -DNO_PUT_ACQUIRE -DNO_GET_ACQUIRE   without acquire fence after them: loads that follow may have been done before
 *   -DLATE_READ                         GET reads after it has given back (a release keeps reads before, too)
 *   -DLATE_TAIL -DLATE_HEAD             index and `full` after the ownership bytes
 *   -DLONG_SCAN                         goes by the bytes alone, around the ring
 *   -DSTUCK                             GET keeps the last entry
 */
#ifndef COUNT
#define COUNT 2
#endif
#ifndef THINGS
#define THINGS 4
#endif

#define OWNER(n) (n)
#define DATA(n)	 (COUNT + (n))
#define ROOM(n)	 (2 * COUNT + (n))
#define HEAD	 (3 * COUNT)
#define TAIL	 (3 * COUNT + 1)
#define IS_FULL	 (3 * COUNT + 2)
#define NV	 (3 * COUNT + 3)
#define CAP	 20

#include "weak.pml"

/* The entries that PUT may look at: what GET can have at most, by its own count; or all of them. */
#if defined(RX) || defined(TXC)
#ifdef LONG_SCAN
#define LIMIT (COUNT + 1)
#else
#define LIMIT COUNT
#endif
#elif defined(LONG_SCAN)
#define LIMIT COUNT
#else
#define LIMIT (COUNT - free)
#endif

/* On the first lap of a receive ring north moves no index of *in-use*. */
#ifdef RX
#define FIRST_LAP_OVER (given >= COUNT)
#else
#define FIRST_LAP_OVER true
#endif

#define PUT    0
#define GET    1
#define NOBODY 2

byte holder[COUNT]; /* who may touch an entry: a ghost, no program has it */

/* How many entries from idx on are ours, at most `most`. */
inline SCAN(p, idx, most, n)
{
	n = 0;
	do
	:: n == most -> break
	:: n < most ->
		LOAD(p, OWNER((idx + n) % COUNT), o);
		if
		:: o == p -> n++
		:: else -> break
		fi
	od;
	o = 0
}

inline HOLD(p, idx, n)
{
	d_step {
		i = 0;
		do
		:: i < n ->
			assert(holder[(idx + i) % COUNT] == NOBODY);
			holder[(idx + i) % COUNT] = p;
			i++
		:: else -> break
		od;
		i = 0
	}
}

inline LET_GO(p, idx, n)
{
	d_step {
		i = 0;
		do
		:: i < n ->
			assert(holder[(idx + i) % COUNT] == p);
			holder[(idx + i) % COUNT] = NOBODY;
			i++
		:: else -> break
		od;
		i = 0
	}
}

inline HAND_OVER(p, idx, n)
{
	m = 0;
	do
	:: m < n -> STORE(p, OWNER((idx + m) % COUNT), 1 - p); m++
	:: else -> break
	od;
	m = 0
}

inline move_tail()
{
	STORE(PUT, TAIL, (tail + n) % COUNT);
#ifndef NO_PUT_ACQUIRE
	LOAD(PUT, HEAD, x);
#endif
	if
	:: x == (tail + n) % COUNT -> STORE(PUT, IS_FULL, 1)
	:: else
	fi;
	x = 0
}

proctype putter()
{
	byte i, m, n, o, x;
	byte tail;
	byte nb_put;     /* things so far */
	byte checked; /* rooms read so far: each is one more than the last one there */
#if !defined(RX) && !defined(TXC)
	byte reap;
	byte free = COUNT;
#endif

	do
	:: nb_put == THINGS -> break
	:: nb_put < THINGS ->
#ifdef NO_PUT_ACQUIRE
		LOAD(PUT, HEAD, x); /* done too early */
#ifdef RX
		LOAD(PUT, ROOM(tail), checked);
#endif
#endif
#if defined(RX) || defined(TXC)
		SCAN(PUT, tail, LIMIT, n);
		if
		:: n == COUNT -> LOAD(PUT, IS_FULL, m); assert(m == 0); m = 0
		:: else
		fi;
#else
		SCAN(PUT, reap, LIMIT, n);
		HOLD(PUT, reap, n);
		reap = (reap + n) % COUNT;
		free = free + n;
		if
		:: free == COUNT -> LOAD(PUT, IS_FULL, m); assert(m == 0); m = 0
		:: else
		fi;
		n = free;
#endif
		if
		:: n > THINGS - nb_put -> n = THINGS - nb_put
		:: else
		fi;
		if
		:: n == 0 -> goto again
		:: n == 1 -> skip
		:: n > 1 -> skip
		:: n > 1 -> n = 1 /* less than one could */
		fi;
progress:
#if defined(RX) || defined(TXC)
		HOLD(PUT, tail, n);
#else
		free = free - n;
#endif
#ifdef RX
		do
		:: m < n ->
#ifdef NO_PUT_ACQUIRE
			if
			:: m > 0 -> LOAD(PUT, ROOM((tail + m) % COUNT), checked)
			:: else
			fi;
#else
			LOAD(PUT, ROOM((tail + m) % COUNT), checked);
#endif
			assert(checked == (nb_put + m) / COUNT + 1);
			m++
		:: else -> break
		od;
		m = 0;
		checked = 0;
#endif
		do
		:: m < n -> STORE(PUT, DATA((tail + m) % COUNT), nb_put + m + 1); m++
		:: else -> break
		od;
		m = 0;
#ifndef LATE_TAIL
		move_tail();
#endif
		LET_GO(PUT, tail, n);
#ifndef NO_PUT_RELEASE
		RELEASE(PUT);
#endif
		HAND_OVER(PUT, tail, n);
#ifdef LATE_TAIL
		move_tail();
#endif
		tail = (tail + n) % COUNT;
		nb_put = nb_put + n;
again:		n = 0;
		x = 0
	od;
	/* Everything comes back. */
	do
	:: SCAN(PUT, tail, COUNT, n);
	   if
	   :: n == COUNT -> break
	   :: else
	   fi
	od;
	LOAD(PUT, IS_FULL, m);
	assert(m == 0)
}

inline move_head()
{
	STORE(GET, HEAD, (give + n) % COUNT);
	STORE(GET, IS_FULL, 0)
}

proctype getter()
{
	byte i, m, n, o, x;
	byte next, give; /* positions: next to take, next to give back */
	byte held;
	byte got;   /* things so far */
#ifdef RX
	byte given; /* posted so far */
#endif

#ifdef RX
	held = COUNT;
#endif
	do
	:: got == THINGS && held == 0 -> break
	:: got < THINGS ->
#ifdef NO_GET_ACQUIRE
		LOAD(GET, DATA(next), x); /* done too early */
#endif
		SCAN(GET, next, COUNT - held, n);
		HOLD(GET, next, n);
		held = held + n;
		do
		:: m < n ->
#ifdef NO_GET_ACQUIRE
			if
			:: m > 0 -> LOAD(GET, DATA((next + m) % COUNT), x)
			:: else
			fi;
#elif !defined(LATE_READ)
			LOAD(GET, DATA((next + m) % COUNT), x);
#endif
#ifndef LATE_READ
progress:		assert(x == got + m + 1);
#endif
			m++
		:: else -> break
		od;
		m = 0;
		x = 0;
		next = (next + n) % COUNT;
		got = got + n;
		if
		:: n > 0 && held == COUNT && FIRST_LAP_OVER ->
			LOAD(GET, IS_FULL, x);
			assert(x == 1);
			x = 0
		:: else
		fi;
		/* Nothing new, and something to give back: do that now, or the other side waits for ever. */
		if
		:: n == 0 && held > 0 -> goto back
		:: else
		fi;
		n = 0
	:: held > 0 ->
back:
#ifdef STUCK
		if
		:: got == THINGS && held == 1 -> break
		:: else
		fi;
#endif
		/* All of it, or one; on the first lap no more than what it has left. */
		n = held;
#ifdef RX
		if
		:: given < COUNT && n > COUNT - given -> n = COUNT - given
		:: else
		fi;
#endif
		if
		:: n > 1 -> n = 1
		:: skip
		fi;
#ifdef RX
		do
		:: m < n -> STORE(GET, ROOM((give + m) % COUNT), (given + m) / COUNT + 1); m++
		:: else -> break
		od;
		m = 0;
#endif
#ifndef LATE_HEAD
		if
		:: FIRST_LAP_OVER -> move_head()
		:: else
		fi;
#endif
		LET_GO(GET, give, n);
#ifndef NO_GET_RELEASE
		RELEASE(GET);
#endif
		HAND_OVER(GET, give, n);
#ifdef LATE_READ
		LOAD(GET, DATA(give), x);
		assert(x == got - held + 1);
		x = 0;
#endif
#ifdef LATE_HEAD
		if
		:: FIRST_LAP_OVER -> move_head()
		:: else
		fi;
#endif
		give = (give + n) % COUNT;
		held = held - n;
#ifdef RX
		given = given + n;
#endif
		n = 0
	od
}

init
{
	byte n;

	atomic {
		do
		:: n < COUNT ->
#ifdef RX
			mem[OWNER(n)] = GET;
			holder[n] = GET;
#else
			mem[OWNER(n)] = PUT;
#ifdef TXC
			holder[n] = NOBODY;
#else
			holder[n] = PUT;
#endif
#endif
			n++
		:: else -> break
		od;
		n = 0;
		run drain(PUT);
		run drain(GET);
		run putter();
		run getter()
	}
}
