/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * Where an x86-64 instruction's operand in memory comes from: as much of the encoding as it takes to run the
 * instruction once at another address, by another value in the base register. What is not known for sure is
 * refused, and runs where it is.
 *
 * Threads: any; no state.
 */

#include "distance_priv.h"

#include <stddef.h>
#include <string.h>

enum {
	RSI = 6,
	RDI = 7,
	NO_INDEX = 4,
};

struct insn {
	const uint8_t *modrm; /* NULL: it has none */
	uint8_t map, op;      /* 0: one byte, 1: 0f, 2: 0f 38, 3: 0f 3a */
	bool r, x, b;	      /* the fourth bits of reg, index, base */
	bool vector;	      /* VEX or EVEX: reg is none of the general ones, as a rule */
	bool lock;
};

/* @return false: a prefix that changes what an address means */
static bool
opcode(const uint8_t *p, struct insn *i)
{
	memset(i, 0, sizeof(*i));
	for (;; p++) {
		if (*p == 0x64 || *p == 0x65 || *p == 0x67)
			return false;
		if (*p == 0xf0)
			i->lock = true;
		else if (*p != 0x66 && *p != 0xf2 && *p != 0xf3 && *p != 0x2e && *p != 0x3e)
			break;
	}
	if ((*p & 0xf0) == 0x40) {
		i->r = *p & 4;
		i->x = *p & 2;
		i->b = *p++ & 1;
	}
	if (*p == 0xc5) {
		*i = (struct insn){.r = !(p[1] & 0x80), .vector = true, .map = 1, .op = p[2]};
		i->modrm = p + 3;
		return true;
	}
	if (*p == 0xc4 || *p == 0x62) {
		const uint8_t *op = *p == 0xc4 ? p + 3 : p + 4;

		*i = (struct insn){.r = !(p[1] & 0x80), .x = !(p[1] & 0x40), .b = !(p[1] & 0x20)};
		i->vector = true;
		i->map = p[1] & (*p == 0xc4 ? 0x1f : 7);
		i->op = *op;
		i->modrm = op + 1;
		return true;
	}
	if (*p == 0x0f) {
		p++;
		i->map = *p == 0x38 ? 2 : *p == 0x3a ? 3 : 1;
		p += i->map > 1;
	}
	i->op = *p;
	i->modrm = p + 1;
	return true;
}

/* Does it write without a look at what is there? */
static bool
is_store(const struct insn *i)
{
	static const uint8_t plain[] = {0x88, 0x89, 0xc6, 0xc7, 0xa4, 0xa5, 0xaa, 0xab};
	static const uint8_t two[] = {0x11, 0x13, 0x17, 0x29, 0x2b, 0x7e, 0x7f, 0xd6, 0xe7, 0xc3};

	if (i->lock || i->map > 1)
		return false;
	return i->map == 0 ? memchr(plain, i->op, sizeof(plain)) != NULL
			   : memchr(two, i->op, sizeof(two)) != NULL;
}

/* Is a register read beside the address, that may be the base? Loads have it as a result alone. */
static bool
is_load(const struct insn *i)
{
	static const uint8_t two[] = {0xb6, 0xb7, 0xbe, 0xbf};

	return i->map == 0 ? i->op == 0x8a || i->op == 0x8b || i->op == 0x63
			   : i->map == 1 && memchr(two, i->op, sizeof(two)) != NULL;
}

/* A store whose operand is part of the instruction: reg is none. */
static bool
is_constant(const struct insn *i)
{
	return i->map == 0 && !i->vector && (i->op == 0xc6 || i->op == 0xc7);
}

/* Its registers; false: not one base, and nothing else that follows from it */
static bool
base_of(const struct insn *i, uint8_t *base)
{
	const uint8_t mod = *i->modrm >> 6, rm = *i->modrm & 7;
	const uint8_t reg = (uint8_t)((*i->modrm >> 3 & 7) | i->r << 3);
	uint8_t low = rm;

	if (mod == 3)
		return false;
	if (rm == 4) {
		const uint8_t sib = i->modrm[1];
		const uint8_t index = (uint8_t)((sib >> 3 & 7) | i->x << 3);

		low = sib & 7;
		if (index != NO_INDEX && index == (low | i->b << 3))
			return false;
	}
	if (mod == 0 && low == 5)
		return false; /* no base, or the instruction pointer */
	*base = (uint8_t)(low | i->b << 3);
	/* The stack has to stay; an operand that is the base as well would be another. */
	return *base != 4 && (i->vector || is_load(i) || is_constant(i) || reg != *base);
}

bool
vbus_far_operand(const uint8_t *insn, bool write, struct vbus_far_operand *o)
{
	struct insn i;

	memset(o, 0, sizeof(*o));
	if (!opcode(insn, &i))
		return false;
	o->is_posted = write && is_store(&i);
	if (i.map == 0 && !i.vector && (i.op & 0xfc) == 0xa0)
		return false; /* an address in the instruction */
	if (i.map == 0 && !i.vector && i.op >= 0xa4 && i.op <= 0xaf) {
		o->string = true;
		o->base = write ? RDI : RSI;
		return i.op <= 0xa5 || i.op == 0xaa || i.op == 0xab || i.op == 0xac || i.op == 0xad;
	}
	return base_of(&i, &o->base);
}
