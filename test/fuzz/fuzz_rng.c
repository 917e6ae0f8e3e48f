/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/* The rng class on a real bridge, with any north. */

#include <stdlib.h>

#include <vbus/rng.h>

#include "fuzz_link.h"

static void
setup(struct fuzz_in *in)
{
	uint32_t count = 1 + in_8(in) % 64, nb = in_8(in) % 64, i;
	struct link_ring *r;

	(void)link_open(VRNG_VERSION);
	r = link_ring(VRNG_RING, count, 1);
	for (i = 0; r != NULL && i < nb && i < count; i++)
		(void)vbus_ioq_north_post(
			&r->q, &(struct vbus_ioq_entry){i, link_addr(0x10000 + i * 64), 64}, 1);
	(void)link_func(VRNG_FUNC_START, NULL, 0);
	if (r != NULL)
		link_kick(r);
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	link_init(vbus_device_create("rng0", "rng", NULL), setup);
	return lk.dev == NULL;
}

static void
step(struct fuzz_in *in)
{
	uint8_t op = in_8(in);

	if (op < 0xc0)
		link_any(in);
	else if (op < 0xe0 && lk.nb_rings != 0)
		link_kick(&lk.ring[0]);
	else
		(void)link_func(op & 3, NULL, 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	link_run(data, size, step);
	return 0;
}
