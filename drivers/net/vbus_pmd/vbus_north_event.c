/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * The device's event ring: LINKSTATE becomes the port's link (doc/abi.md section 5).
 *
 * Threads: the control thread only queues the job; the worker takes the events with the port's lock
 * and calls the application back without it (ADR-0002).
 */
#include "vbus_north.h"

#define EVENT_ROUNDS 64u

/* One event: copied, then looked at. */
static void
event_take(struct north_local *l, uint32_t slot)
{
	struct north_port *p = l->port;
	struct venet_event_linkstate ev;

	vbus_peer_copy_in(&ev, p->zone + p->lay.ev_pool + (size_t)slot * p->s.ev_size, sizeof(ev));
	if (ev.header.id == VENET_EVENT_LINKSTATE && ev.header.size >= sizeof(ev))
		p->carrier = ev.state == 1;
	else
		NORTH_LOG(DEBUG, l, "event %u of %u bytes ignored", ev.header.id, ev.header.size);
}

/* Notifier of the event ring's signal: everything that lies there. */
static void
event_drain(void *ctx)
{
	struct north_local *l = ctx;
	struct north_port *p = l->port;
	struct vbus_ioq_entry e;

	/* Bounded: a wild south hands entries back as fast as we do. */
	for (uint32_t i = 0; i < p->evq.count && vbus_ioq_north_pop(&p->evq, &e, 1) == 1; i++) {
		event_take(l, (uint32_t)e.cookie);
		/* Anew, not reposted: south wrote the event's length over the slot's. */
		e.ptr = e.cookie * p->s.ev_size;
		e.len = p->s.ev_size;
		vbus_ioq_north_post(&p->evq, &e, 1);
	}
	if (vbus_signal_inject(&p->ev_sig))
		rte_vbus_signal(&l->shm[NORTH_SHM_EV_RING]);
}

bool
north_link_set(struct north_local *l, bool up)
{
	if (!vbus_pmd_link_set(l->eth, up))
		return false;
	NORTH_LOG(INFO, l, "link %s", up ? "up" : "down");
	return l->eth->data->dev_conf.intr_conf.lsc != 0;
}

void
north_link_lsc(struct rte_eth_dev *dev)
{
	rte_eth_dev_callback_process(dev, RTE_ETH_EVENT_INTR_LSC, NULL);
}

bool
north_event_poll(struct north_local *l)
{
	bool again = false;

	if (l->port->s.evq & VENET_CAP_EVQ_LINKSTATE)
		again = vbus_signal_wakeup(&l->port->ev_sig, event_drain, l, EVENT_ROUNDS);
	north_ctrl_publish(l);
	return again;
}

void
north_event_job(struct vbus_ctl_job *job)
{
	struct north_local *l = container_of(job, struct north_local, event_job);
	struct rte_eth_dev *dev = l->eth;
	bool tell = false, again = false;

	pthread_mutex_lock(&l->lock);
	if (l->port != NULL && l->port->linked) {
		again = north_event_poll(l);
		tell = north_link_set(l, l->port->carrier);
	}
	pthread_mutex_unlock(&l->lock);
	if (again) {
		vbus_ctl_lock();
		vbus_ctl_job_queue(job);
		vbus_ctl_unlock();
	}
	if (tell)
		north_link_lsc(
			dev); /* the application may close the port here: l is not used after it */
}

void
north_event_notify(struct rte_vbus_shm *shm)
{
	struct north_local *l = shm->arg;

	vbus_ctl_job_queue(&l->event_job);
}
