/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */
#ifndef STRAW_H
#define STRAW_H

/* A running state and a data plane of straw: objects are those of a configuration, no more. */

#include <stdbool.h>
#include <stdint.h>

#include "dp_conf.h"

extern struct dp_conf straw_conf;
/* What the next operation that changes something answers, once: a negative errno. */
extern int straw_fail;
extern unsigned int straw_nb_changes;
extern unsigned int straw_nb_addresses; /* in every switch */
extern unsigned int straw_nb_capturing;
extern uint64_t straw_frames; /* rx_packets of every port */

void straw_init(void);
void straw_fini(void);
/* nb devices dev0, dev1 ... of class venet on switch "br0", which is made too. */
void straw_many(unsigned int nb);

#endif /* STRAW_H */
