/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * shm_signal, one direction: a side that puts things into a ring and injects, a side that looks, enables,
 * sleeps and is woken up. lib/vbus_ring/vbus_signal.h, doc/abi.md section 2. Records of the two directions
 * share nothing, so that one direction is all of it.
 *
 * Shown: whoever sleeps with something left in the ring is going to be woken (else spin finds an invalid end
 * state: everybody is done, the sleeper is not). In all modes of the receiver:
 *   (none)    wake-up with a notifier; it disables and polls for a while, or stays enabled
 *   -DTAKE    vbus_signal_take(), then a look (interrupt threads that wake a poller)
 *   -DTIMER   the sleeper looks again after a while: what rule 7.2 asks for beside old frontends
 *   -DCHEAP   section 12.4: nothing is injected, without a fence, when the receiver is seen disabled; the receiver
 *             has the other CPU pass a barrier (membarrier) after it has enabled, and looks again
 *
 * Faults, to see that the model finds them (run knows which have to be found, and where):
 *   -DNO_INJECT_FULL   a store barrier in inject (old frontends have it)
 *   -DNO_INJECT_RELEASE  dirty is no release store
 *   -DNO_ENABLE_FULL   no fence in enable
 *   -DNO_DIRTY_FULL    no fence after dirty is cleared
 *   -DNO_PENDING_FULL  no fence after pending is cleared
 *   -DNO_ONCE_MORE     no test after pending is cleared
 *   -DNO_TAKE_FULL     no fence in take
 *   -DNO_KICK_ORDER    the kick can overtake the store of pending
 *   -DNO_MEMBARRIER    with CHEAP: no barrier on the other CPU; with TIMER that is right again
 *   -DNO_LAST_LOOK     with CHEAP: no look after it
 */
#define ITEM	0 /* things put into the ring so far */
#define DIRTY	1
#define PENDING 2
#define ENABLED 3
#define NV	4
#define CAP	20

#include "weak.pml"

#ifndef ITEMS
#define ITEMS 3
#endif

#define INJECTOR 0
#define RECEIVER 1

bool kick; /* an interrupt, an event, an eventfd: how many came at once is not to be told */

proctype injector()
{
	byte i, item, on, out;

	do
	:: item == ITEMS -> break
	:: item < ITEMS ->
		item++;
		STORE(INJECTOR, ITEM, item);
		/* More than one thing may go with one signal. */
		if
		:: item < ITEMS -> item++; STORE(INJECTOR, ITEM, item)
		:: skip
		fi;
#ifdef CHEAP
		LOAD(INJECTOR, ENABLED, on);
		if
		:: !on -> goto next
		:: else
		fi;
#endif
#ifndef NO_INJECT_RELEASE
		RELEASE(INJECTOR);
#endif
		STORE(INJECTOR, DIRTY, 1);
#ifndef NO_INJECT_FULL
		FULL(INJECTOR);
#else
		RELEASE(INJECTOR);
#endif
		/* Two loads after a full fence: in either order. */
		if
		:: LOAD(INJECTOR, ENABLED, on); LOAD(INJECTOR, PENDING, out)
		:: LOAD(INJECTOR, PENDING, out); LOAD(INJECTOR, ENABLED, on)
		fi;
		if
		:: on && !out ->
			STORE(INJECTOR, PENDING, 1);
#ifndef NO_KICK_ORDER
			FULL(INJECTOR); /* a system call, a port write */
#endif
			kick = true
		:: else
		fi;
next:		on = 0;
		out = 0
	od
}

inline look()
{
	LOAD(RECEIVER, ITEM, seen)
}

inline raised()
{
	LOAD(RECEIVER, DIRTY, d);
	LOAD(RECEIVER, PENDING, x);
	d_step {
		d = d | x;
		x = 0
	}
}

/* vbus_signal_wakeup(); it is never called while the record is disabled. */
inline wakeup()
{
	raised();
	do
	:: d == 0 -> break
	:: else ->
		do
		:: STORE(RECEIVER, DIRTY, 0);
#ifndef NO_DIRTY_FULL
		   FULL(RECEIVER);
#endif
		   if
		   :: look(); LOAD(RECEIVER, DIRTY, d)
		   :: LOAD(RECEIVER, DIRTY, d); look()
		   fi;
		   if
		   :: d == 0 -> break
		   :: else
		   fi
		od;
		STORE(RECEIVER, PENDING, 0);
#ifndef NO_PENDING_FULL
		FULL(RECEIVER);
#endif
#ifndef NO_ONCE_MORE
		raised()
#else
		d = 0
#endif
	od
}

/* vbus_signal_take() and what follows it. */
inline take_and_look()
{
	STORE(RECEIVER, PENDING, 0);
	STORE(RECEIVER, DIRTY, 0);
#ifndef NO_TAKE_FULL
	FULL(RECEIVER);
#endif
	look()
}

inline woken()
{
#ifdef TAKE
	take_and_look()
#else
	wakeup()
#endif
}

proctype receiver()
{
	byte i, seen, d, x;

poll:	look();
	if
	:: seen == ITEMS -> goto done
	:: else
	fi;
	STORE(RECEIVER, ENABLED, 1);
#ifndef NO_ENABLE_FULL
	FULL(RECEIVER);
#endif
#ifdef CHEAP
#ifndef NO_MEMBARRIER
	FULL(INJECTOR);
#endif
#ifndef NO_LAST_LOOK
	look();
	if
	:: seen == ITEMS -> goto done
	:: else
	fi;
#endif
#endif
	raised();
	if
	:: d -> goto wake
	:: else
	fi;
sleep:	if
	:: atomic { kick -> kick = false }
#ifdef TIMER
	:: timeout -> look(); goto again /* nothing else can happen any more: time goes by */
#endif
	fi;
wake:	d = 0;
	woken();
again:	if
	:: seen == ITEMS -> goto done
	:: seen < ITEMS ->
		if
		:: STORE(RECEIVER, ENABLED, 0); goto poll
#ifndef TAKE
		:: goto sleep /* enabled, and wake-up has left nothing raised */
#else
		:: goto poll
#endif
		fi
	fi;
done:	skip
}

init
{
	atomic {
		run drain(INJECTOR);
		run drain(RECEIVER);
		run injector();
		run receiver()
	}
}
