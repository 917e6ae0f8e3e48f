/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * Memory as two CPUs see it, for the models of this folder. Each side (0 and 1) has a buffer of stores that
 * nobody else sees yet; a process of its own, drain(), moves them to mem[] at any later time: in order with -DTSO
 * (x86), else in any order that keeps stores to one variable and release fences apart (weaker CPUs, compilers).
 *
 * Loads happen where they stand. Where a CPU could do them earlier or later, the models offer both orders by a
 * choice (SPECULATE in ring.pml).
 *
 * Before it is included: NV, the number of variables, and CAP, the room of a buffer (an overflow is an error).
 */
#define FENCE 255

typedef store_buffer {
	byte n;
	byte var[CAP];
	byte val[CAP]
};

byte mem[NV];
store_buffer sb[2];

inline STORE(p, v, x)
{
	d_step {
		assert(sb[p].n < CAP);
		sb[p].var[sb[p].n] = v;
		sb[p].val[sb[p].n] = x;
		sb[p].n++
	}
}

/* A side sees its own stores at once, the last one first. i is scratch: 0 before and after. */
inline LOAD(p, v, x)
{
	d_step {
		x = mem[v];
		i = 0;
		do
		:: i < sb[p].n ->
			if
			:: sb[p].var[i] == v -> x = sb[p].val[i]
			:: else
			fi;
			i++
		:: else -> break
		od;
		i = 0
	}
}

/* Stores before it are visible no later than stores after it. */
inline RELEASE(p)
{
	d_step {
		if
		:: sb[p].n > 0 && sb[p].var[sb[p].n - 1] != FENCE ->
			assert(sb[p].n < CAP);
			sb[p].var[sb[p].n] = FENCE;
			sb[p].n++
		:: else
		fi
	}
}

/* Everything before is visible before anything after is read. */
inline FULL(p)
{
	sb[p].n == 0
}

/* Take store number i out of the buffer; a fence that is first then has done its work. */
inline leave(p)
{
	mem[sb[p].var[i]] = sb[p].val[i];
	do
	:: i + 1 < sb[p].n ->
		sb[p].var[i] = sb[p].var[i + 1];
		sb[p].val[i] = sb[p].val[i + 1];
		i++
	:: else -> break
	od;
	sb[p].n--;
	sb[p].var[sb[p].n] = 0;
	sb[p].val[sb[p].n] = 0;
	if
	:: sb[p].n > 0 && sb[p].var[0] == FENCE ->
		i = 0;
		do
		:: i + 1 < sb[p].n ->
			sb[p].var[i] = sb[p].var[i + 1];
			sb[p].val[i] = sb[p].val[i + 1];
			i++
		:: else -> break
		od;
		sb[p].n--;
		sb[p].var[sb[p].n] = 0;
		sb[p].val[sb[p].n] = 0
	:: else
	fi;
	i = 0
}

/* j is set when an older store to the same variable, or a fence, stands before store number i. */
inline may_go(p)
{
	d_step {
		j = 0;
		k = 0;
		do
		:: k < i ->
			if
			:: sb[p].var[k] == FENCE || sb[p].var[k] == sb[p].var[i] -> j = 1
			:: else
			fi;
			k++
		:: else -> break
		od;
		k = 0;
		if
		:: sb[p].var[i] == FENCE -> j = 1
		:: else
		fi
	}
}

proctype drain(byte p)
{
	byte i, j, k;

end:	do
	:: atomic {
		sb[p].n > 0 ->
#ifndef TSO
		/* Any of them: go on or stay, and from one that has to wait back to the first. */
		do
		:: i + 1 < sb[p].n -> i++
		:: break
		od;
		may_go(p);
		if
		:: j -> i = 0
		:: else
		fi;
		j = 0;
#endif
		d_step {
			leave(p)
		}
	   }
	od
}
