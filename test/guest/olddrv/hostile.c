// SPDX-License-Identifier: GPL-2.0-only
/* Copyright(c) 2026 vbus developers
 *
 * A guest that has gone mad: with all its rings in place it writes garbage into them, into
 * registers and ports, and makes calls about nothing. It may well die of it (south writes where it
 * is told to); its neighbours may not notice.
 */

#include <linux/delay.h>
#include <linux/jiffies.h>
#include <linux/random.h>
#include <linux/sched.h>
#include <linux/slab.h>

#include "olddrv.h"

static void scribble(void *where, u32 size)
{
	static const u8 lengths[] = { 1, 2, 4, 8 };
	u8 len = lengths[get_random_u32() % ARRAY_SIZE(lengths)];
	u32 off = round_down(get_random_u32() % (size - 8), len);
	u64 v = get_random_u32() % 3 ? get_random_u32() % 4096 : get_random_u64();

	if (where)
		memcpy((u8 *)where + off, &v, len);
}

static void scribble_ring(struct old_ring *r)
{
	u32 size = sizeof(*r->h) + r->count * sizeof(r->h->desc[0]);

	if (!r->h)
		return;
	scribble(r->h, get_random_u32() % 4 ? size : 56);
	/* Something that looks like work. */
	if (get_random_u32() % 4 == 0)
		r->h->desc[get_random_u32() % r->count].sown = 1;
}

static void wild_call(struct old_net *n, bool close)
{
	u32 vector = get_random_u32() % 5;
	u32 *args = kmalloc(64, GFP_KERNEL);
	u32 i;

	if (!args)
		return;
	for (i = 0; i < 16; i++)
		args[i] = get_random_u32() % 2 ? get_random_u32() % 9 : get_random_u32();
	if (get_random_u32() % 4)
		memcpy(args, &n->handle, sizeof(n->handle));
	/* DEVCLOSE would end it too soon. */
	old_devcall(n->bus, vector == 1 && !close ? 2 : vector, args, 8 * (get_random_u32() % 9));
	kfree(args);
}

void old_rage(struct old_net *n, void __iomem *regs, void __iomem *ports, struct old_ring *evq,
	      u32 seconds)
{
	struct old_ring *rings[] = { &n->rx, &n->tx, &n->ev, &n->pages, evq };
	unsigned long end = jiffies + seconds * HZ;
	unsigned long late = end - HZ * seconds / 4;
	u32 nb;

	while (time_before(jiffies, end)) {
		/* A broken event queue ends the link: that comes last. */
		nb = ARRAY_SIZE(rings) - (time_before(jiffies, late) ? 1 : 0);
		scribble_ring(rings[get_random_u32() % nb]);
		scribble(n->rx_pool, OLD_RING * OLD_SG_SLOT);
		scribble(n->tx_pool, OLD_RING * OLD_SG_SLOT);
		switch (get_random_u32() % 64) {
		case 0:
			iowrite32(get_random_u32(), ports + get_random_u32() % 8 * 4);
			break;
		case 1:
			iowrite32(n->tx.port_value, ports + 8);
			break;
		case 2:
			wild_call(n, !time_before(jiffies, late));
			break;
		case 3:
			iowrite32(get_random_u32() % 8 + 1, regs);	/* anything but NEGOTIATE */
			iowrite32(get_random_u32() % 64, regs + 4);
			iowrite32(get_random_u32(), regs + 8);
			ioread32(regs);
			break;
		default:
			break;
		}
		cond_resched();
	}
}
