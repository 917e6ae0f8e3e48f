/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * The engine of dma=NAME (rte_dmadev): taken when the port is started, since EAL may make it after the
 * port, and kept. It belongs to this port alone.
 *
 * Threads: the application's, in ethdev operations.
 */
#include "vbus_south.h"

#include <errno.h>

#include <rte_dmadev.h>

#define COPIES_MAX 64u /* of a burst */

static int
set_up(int16_t id, const struct rte_dma_info *info)
{
	const struct rte_dma_conf conf = {.nb_vchans = 1};
	const struct rte_dma_vchan_conf vchan = {
		.direction = RTE_DMA_DIR_MEM_TO_MEM,
		.nb_desc = RTE_MIN(info->max_desc, RTE_MAX(info->min_desc, 4 * COPIES_MAX)),
	};
	int ret = rte_dma_configure(id, &conf);

	if (ret == 0)
		ret = rte_dma_vchan_setup(id, 0, &vchan);
	if (ret == 0)
		ret = rte_dma_start(id);
	return ret;
}

int
vbus_south_dma_start(struct vbus_south_port *port)
{
	const uint64_t want = RTE_DMA_CAPA_MEM_TO_MEM | RTE_DMA_CAPA_OPS_COPY;
	const char *port_name = port->dev->data->name, *name = port->dma;
	struct rte_dma_info info;
	int id, ret;

	if (name[0] == '\0' || port->dma_taken)
		return 0;
	id = rte_dma_get_dev_id_by_name(name);
	if (id < 0 || rte_dma_info_get((int16_t)id, &info) != 0) {
		PMD_LOG(ERR, port_name, "dma=%s: no such engine", name);
		return -ENODEV;
	}
	if ((info.dev_capa & want) != want) {
		PMD_LOG(ERR, port_name, "dma=%s: it does not copy memory to memory", name);
		return -ENOTSUP;
	}
	/* A window's memory has no address of EAL's. */
	if ((info.dev_capa & RTE_DMA_CAPA_SVA) == 0 && rte_eal_iova_mode() != RTE_IOVA_VA) {
		PMD_LOG(ERR, port_name, "dma=%s: it does not take virtual addresses", name);
		return -ENOTSUP;
	}
	if (info.nb_vchans != 0) {
		PMD_LOG(ERR, port_name, "dma=%s: it has another user", name);
		return -EBUSY;
	}
	ret = set_up((int16_t)id, &info);
	if (ret != 0) {
		PMD_LOG(ERR, port_name, "dma=%s: %s", name, rte_strerror(-ret));
		return ret;
	}
	port->dma_taken = true;
	vbus_ctl_lock();
	vbus_venet_set_dma(port->venet, (int16_t)id, 0);
	vbus_ctl_unlock();
	return 0;
}

void
vbus_south_dma_end(struct vbus_south_port *port)
{
	int id;

	if (!port->dma_taken)
		return;
	port->dma_taken = false;
	id = rte_dma_get_dev_id_by_name(port->dma);
	if (id >= 0)
		rte_dma_stop((int16_t)id);
}
