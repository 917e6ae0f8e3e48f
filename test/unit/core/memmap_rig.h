/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */
#ifndef MEMMAP_RIG_H
#define MEMMAP_RIG_H

/** @file A memory map and files whose words say where they come from. The control lock is held all the time. */

#include <stdint.h>

#include <CUnit/CUnit.h>

#include "vbus_ctl.h"
#include "vbus_memmap.h"

#define KIB 1024ull
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)
#define RW  (VBUS_MEM_READ | VBUS_MEM_WRITE)

extern struct vbus_memmap *m;
extern int nb_quiesce;
extern const struct vbus_memview *last_view;

/** A memfd whose 8-byte words hold tag + their offset, and its own mapping to compare with. */
struct mem {
	int fd;
	uint64_t size;
	uint8_t *va;
};

void mem_make(struct mem *f, uint64_t size, uint64_t tag);
void mem_free(struct mem *f);
int add(uint64_t iova, uint64_t len, const struct mem *f, uint64_t offset, uint32_t flags);
void *ptr(uint64_t iova, uint64_t len);
/** @return 0: nothing there */
uint64_t word_at(uint64_t iova);
struct vbus_memmap_info info(void);
int nb_fds(void);
/** Takes the control lock; map_free() releases it. */
void map_make(void);
void map_free(void);

#endif /* MEMMAP_RIG_H */
