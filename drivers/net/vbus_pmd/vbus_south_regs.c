/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * rte_eth_dev_get_reg_info() of the south end: what the peer agreed on and how large its rings are, as 32-bit
 * words; doc/features.md has the table.
 */
#include "vbus_south.h"

#include <errno.h>
#include <string.h>

enum reg {
	REG_OPENED,
	REG_LINK,
	REG_RX_RING, /* entries of the ring that we take frames from */
	REG_TX_RING,
	REG_PAGE_RING,
	REG_EVENT_RING,
	REG_SG_BITS, /* as granted, VENET_CAP_* */
	REG_L4RO_BITS,
	REG_EVENT_BITS,
	REG_POLL,   /* rings for pollers */
	REG_ARMED,  /* receive waits for a signal */
	REG_EVENTS, /* told to north */
	REG_BAD_SLOTS,
	REG_NB = 16,
};

#define REG_VERSION 1u

int
vbus_south_get_reg(struct rte_eth_dev *dev, struct rte_dev_reg_info *info)
{
	struct vbus_venet_info v;
	uint32_t *r = info->data;

	info->version = REG_VERSION;
	if (r == NULL) {
		info->length = REG_NB;
		info->width = sizeof(uint32_t);
		return 0;
	}
	if (info->offset != 0 || (info->length != 0 && info->length != REG_NB))
		return -ENOTSUP; /* all or nothing */
	vbus_ctl_lock();
	vbus_venet_info(vbus_south_port_of(dev)->venet, &v);
	vbus_ctl_unlock();
	memset(r, 0, REG_NB * sizeof(*r));
	r[REG_OPENED] = v.opened;
	r[REG_LINK] = v.link_up;
	r[REG_RX_RING] = v.tx_ring_size;
	r[REG_TX_RING] = v.rx_ring_size;
	r[REG_PAGE_RING] = v.page_ring_size;
	r[REG_EVENT_RING] = v.event_ring_size;
	r[REG_SG_BITS] = v.sg_bits;
	r[REG_L4RO_BITS] = v.l4ro_bits;
	r[REG_EVENT_BITS] = v.eventq_bits;
	r[REG_POLL] = v.poll;
	r[REG_ARMED] = v.rx_armed;
	r[REG_EVENTS] = (uint32_t)v.nb_events;
	r[REG_BAD_SLOTS] = (uint32_t)v.nb_bad_event_slots;
	return 0;
}
