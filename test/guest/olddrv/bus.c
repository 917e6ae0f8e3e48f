// SPDX-License-Identifier: GPL-2.0-only
/* Copyright(c) 2026 vbus developers
 *
 * The bridge as a driver of old uses it: calls by four 32-bit writes and a read, fast calls by an
 * I/O port, one MSI vector, an event queue of 1,024, physical addresses, and no goodbye.
 */

#include <linux/interrupt.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/workqueue.h>

#include "olddrv.h"

bool old_sg = true, old_tso = true, old_pmtd = true, old_evq = true, old_l4ro = true;
module_param_named(sg, old_sg, bool, 0444);
module_param_named(tso, old_tso, bool, 0444);
module_param_named(pmtd, old_pmtd, bool, 0444);
module_param_named(evq, old_evq, bool, 0444);
module_param_named(l4ro, old_l4ro, bool, 0444);

uint old_hostile;	/* seconds of garbage, a while after the device was opened */
module_param_named(hostile, old_hostile, uint, 0444);
static bool old_intx;
module_param_named(intx, old_intx, bool, 0444);

#ifndef PCI_IRQ_INTX	/* its name before Linux 6.8 */
#define PCI_IRQ_INTX PCI_IRQ_LEGACY
#endif

#define PORT_EVENTQ	0
#define PORT_FASTCALL	4
#define PORT_SHMSIGNAL	8

struct old_bus {
	struct pci_dev *pdev;
	void __iomem *regs;
	void __iomem *ports;
	struct old_fastcall **fast;	/* per possible CPU */
	struct old_ring evq;
	struct old_event *slots;
	spinlock_t rings_lock;	/* rings */
	struct list_head rings;		/* whose cookie may come */
	struct list_head nets;
	struct work_struct work;
	struct delayed_work rage;
	spinlock_t todo_lock;		/* todo */
	u32 todo[OLD_EVENTS];		/* DEVADD, and DEVDROP with the highest bit */
	u32 nb_todo;
	u32 known[4096];		/* ids that are registered; they never leave (7.14) */
	u32 nb_known;
	u64 nb_events, nb_irqs;
};

/* ---- rings and signals -------------------------------------------------------------------- */

int old_ring_alloc(struct old_bus *bus, struct old_ring *r, u32 count)
{
	u32 size = sizeof(*r->h) + count * sizeof(r->h->desc[0]);

	r->h = kzalloc(size, GFP_KERNEL);
	if (!r->h)
		return -ENOMEM;
	r->count = count;
	r->h->magic = cpu_to_le32(0x47fa2fe4);
	r->h->ver = cpu_to_le32(4);
	r->h->count = cpu_to_le32(count);
	r->h->signal.magic = cpu_to_le32(0x58fa39df);
	r->h->signal.ver = cpu_to_le32(1);
	r->port_off = ~0u;
	INIT_LIST_HEAD(&r->node);
	return 0;
}

void old_ring_free(struct old_ring *r)
{
	list_del_init(&r->node);
	kfree(r->h);
	r->h = NULL;
}

/* Advance the tail. False: it was full. */
bool old_idx_push(struct old_ring *r, struct old_idx *i)
{
	u32 tail = le32_to_cpu(i->tail);

	if (old_idx_full(i))
		return false;
	tail = tail + 1 == r->count ? 0 : tail + 1;
	WRITE_ONCE(i->tail, cpu_to_le32(tail));
	if (i->tail == i->head)
		WRITE_ONCE(i->full, 1);
	smp_wmb();	/* no more than that (7.2) */
	return true;
}

void old_idx_pop(struct old_ring *r, struct old_idx *i)
{
	u32 head = le32_to_cpu(i->head);

	head = head + 1 == r->count ? 0 : head + 1;
	WRITE_ONCE(i->head, cpu_to_le32(head));
	WRITE_ONCE(i->full, 0);
	smp_wmb();	/* no more than that (7.2) */
}

/* A write barrier and no more: the load of `enabled` may pass the store of `dirty` (7.2). */
void old_inject(struct old_bus *bus, struct old_ring *r)
{
	struct old_irq *south = &r->h->signal.south;

	WRITE_ONCE(south->dirty, 1);
	smp_wmb();	/* no more than that (7.2) */
	if (!READ_ONCE(south->enabled) || READ_ONCE(south->pending))
		return;
	WRITE_ONCE(south->pending, 1);
	if (r->port_off != ~0u)
		iowrite32(r->port_value, bus->ports + r->port_off);
}

static void old_wakeup(struct old_ring *r)
{
	struct old_irq *n = &r->h->signal.north;

	while (READ_ONCE(n->enabled) && (READ_ONCE(n->dirty) || READ_ONCE(n->pending))) {
		do {
			WRITE_ONCE(n->dirty, 0);
			smp_wmb();	/* no more than that (7.2) */
			r->notify(r);
		} while (READ_ONCE(n->dirty));
		WRITE_ONCE(n->pending, 0);
		smp_wmb();	/* no more than that (7.2) */
	}
}

void old_enable(struct old_ring *r)
{
	WRITE_ONCE(r->h->signal.north.enabled, 1);
	smp_wmb();	/* no more than that (7.2) */
	if (READ_ONCE(r->h->signal.north.dirty) || READ_ONCE(r->h->signal.north.pending))
		old_wakeup(r);
}

void old_disable(struct old_ring *r)
{
	WRITE_ONCE(r->h->signal.north.enabled, 0);
}

/* ---- calls --------------------------------------------------------------------------------- */

static int bridge_call(struct old_bus *bus, u32 vector, void *args, u32 len)
{
	u64 addr = virt_to_phys(args);

	iowrite32(vector, bus->regs);
	iowrite32(len, bus->regs + 4);
	iowrite32(lower_32_bits(addr), bus->regs + 8);
	iowrite32(upper_32_bits(addr), bus->regs + 12);
	return (int)ioread32(bus->regs);
}

/* By this CPU's channel: the port write retires with the answer in the block. */
int old_devcall(struct old_bus *bus, u32 vector, void *args, u32 len)
{
	struct old_fastcall *f;
	unsigned long flags;
	int ret;

	local_irq_save(flags);
	f = bus->fast[smp_processor_id()];
	f->call.vector = cpu_to_le32(vector);
	f->call.len = cpu_to_le32(len);
	f->call.datap = cpu_to_le64(virt_to_phys(args));
	WRITE_ONCE(f->result, cpu_to_le32(0x5a5a5a5a));
	smp_wmb();	/* no more than that (7.2) */
	iowrite32(smp_processor_id(), bus->ports + PORT_FASTCALL);
	ret = (int)le32_to_cpu(READ_ONCE(f->result));
	local_irq_restore(flags);
	if (ret == 0x5a5a5a5a && !old_hostile)
		old_fatal("a fast call has no answer when the port write retires");
	return ret;
}

int old_func(struct old_net *n, u32 func, void *data, u32 len)
{
	struct {
		__le64 devh;
		__le32 func, len, flags;
		u8 pad[4];
		__le64 datap;
	} *args;
	void *copy = NULL;
	int ret;

	args = kmalloc(sizeof(*args), GFP_ATOMIC);
	if (len)
		copy = kmemdup(data, len, GFP_ATOMIC);
	if (!args || (len && !copy))
		old_fatal("no memory for a call");
	memset(args, 0xcc, sizeof(*args));	/* unused fields hold garbage */
	args->devh = cpu_to_le64(n->handle);
	args->func = cpu_to_le32(func);
	args->len = cpu_to_le32(len);
	args->flags = 0;
	if (len)
		args->datap = cpu_to_le64(virt_to_phys(copy));
	ret = old_devcall(n->bus, 2, args, sizeof(*args));
	if (len)
		memcpy(data, copy, len);
	kfree(copy);
	kfree(args);
	return ret;
}

/* DEVSHM. With a ring its signal comes along, at 8 in the block, and a pointer as cookie. */
int old_share(struct old_net *n, u32 id, void *block, u32 len, struct old_ring *r)
{
	struct {
		__le64 devh;
		__le32 id, len, flags;
		u8 pad[4];
		__le32 offset, prio;
		__le64 cookie, datap;
	} *args = kmalloc(sizeof(*args), GFP_KERNEL);
	int ret;

	if (!args)
		return -ENOMEM;
	memset(args, 0xcc, sizeof(*args));
	args->devh = cpu_to_le64(n->handle);
	args->id = cpu_to_le32(id);
	args->len = cpu_to_le32(len);
	args->flags = 0;
	args->offset = cpu_to_le32(r ? 8 : ~0u);
	if (r)
		args->cookie = cpu_to_le64((unsigned long)r);
	args->datap = cpu_to_le64(virt_to_phys(block));
	if (r) {
		spin_lock_irq(&n->bus->rings_lock);
		list_add(&r->node, &n->bus->rings);
		spin_unlock_irq(&n->bus->rings_lock);
	}
	ret = old_devcall(n->bus, 3, args, sizeof(*args));
	kfree(args);
	if (r && ret >= 0) {
		r->port_value = ret;
		r->port_off = PORT_SHMSIGNAL;
	}
	return ret;
}

/* ---- events -------------------------------------------------------------------------------- */

static struct old_ring *ring_of(struct old_bus *bus, u64 cookie)
{
	struct old_ring *r, *found = NULL;
	unsigned long flags;

	spin_lock_irqsave(&bus->rings_lock, flags);
	list_for_each_entry(r, &bus->rings, node)
		if ((unsigned long)r == cookie)
			found = r;
	spin_unlock_irqrestore(&bus->rings_lock, flags);
	return found;
}

static void later(struct old_bus *bus, u32 what)
{
	unsigned long flags;

	spin_lock_irqsave(&bus->todo_lock, flags);
	if (bus->nb_todo < OLD_EVENTS)
		bus->todo[bus->nb_todo++] = what;
	spin_unlock_irqrestore(&bus->todo_lock, flags);
	schedule_work(&bus->work);
}

static void on_devadd(struct old_bus *bus, const struct old_event *ev)
{
	u64 id = le64_to_cpu(ev->handle);
	u32 i;

	if (id > U32_MAX >> 1)
		old_fatal("device id %llx", id);
	for (i = 0; i < bus->nb_known; i++)
		if (bus->known[i] == id)
			old_fatal("device %llu is there already", id);
	if (bus->nb_known < ARRAY_SIZE(bus->known))
		bus->known[bus->nb_known++] = id;
	if (strcmp(ev->type, "virtual-ethernet") == 0)
		later(bus, id);
}

static void on_event(struct old_bus *bus, const struct old_event *ev)
{
	struct old_ring *r;

	bus->nb_events++;
	switch (le32_to_cpu(ev->id)) {
	case 0:
		on_devadd(bus, ev);
		return;
	case 1:
		later(bus, le64_to_cpu(ev->handle) | 1u << 31);
		return;
	case 2:
	case 3:
		r = ring_of(bus, le64_to_cpu(ev->handle));
		if (!r || r->closed)
			old_fatal("event %u with a wild cookie %llx", le32_to_cpu(ev->id),
				  le64_to_cpu(ev->handle));
		if (ev->id == cpu_to_le32(3))
			r->closed = true;
		else
			old_wakeup(r);
		return;
	default:
		old_fatal("event %u", le32_to_cpu(ev->id));
	}
}

/* The head and the indices say what is there; slots go back one by one, the signal once. */
static void on_events(struct old_ring *r)
{
	struct old_bus *bus = r->priv;
	bool any = false;

	while (!old_idx_empty(&r->h->inuse)) {
		u32 head = le32_to_cpu(r->h->inuse.head);
		struct old_desc *d = &r->h->desc[head];
		struct old_event ev;

		if (READ_ONCE(d->sown))
			break;	/* south is between the index and the slot: its signal follows */
		smp_rmb();	/* sown before the entry */
		memcpy(&ev, &bus->slots[head], sizeof(ev));
		memset(&bus->slots[head], 0x99, sizeof(ev));
		old_idx_pop(r, &r->h->inuse);
		WRITE_ONCE(d->sown, 1);
		any = true;
		on_event(bus, &ev);
	}
	if (any)
		old_inject(bus, r);
}

static irqreturn_t old_isr(int irq, void *arg)
{
	struct old_bus *bus = arg;

	bus->nb_irqs++;
	old_wakeup(&bus->evq);
	/* A hypervisor may hold a line until some access to a BAR. */
	if (old_intx)
		ioread32(bus->ports);
	return IRQ_HANDLED;
}

static void old_work(struct work_struct *w)
{
	struct old_bus *bus = container_of(w, struct old_bus, work);
	struct old_net *n;

	for (;;) {
		u32 what;

		spin_lock_irq(&bus->todo_lock);
		if (!bus->nb_todo) {
			spin_unlock_irq(&bus->todo_lock);
			return;
		}
		what = bus->todo[0];
		memmove(bus->todo, bus->todo + 1, --bus->nb_todo * sizeof(bus->todo[0]));
		spin_unlock_irq(&bus->todo_lock);
		if (!(what >> 31)) {
			n = old_net_probe(bus, &bus->pdev->dev, what);
			if (n)
				list_add_tail(&n->node, &bus->nets);
			if (n && old_hostile)
				schedule_delayed_work(&bus->rage, 5 * HZ);
			continue;
		}
		/* No DEVCLOSE; traffic and calls go on (7.15). */
		list_for_each_entry(n, &bus->nets, node)
			if (n->devid == (what & (U32_MAX >> 1))) {
				n->dropped = true;
				netdev_info(n->dev, "old driver: dropped\n");
			}
	}
}

static void old_rage_work(struct work_struct *w)
{
	struct old_bus *bus = container_of(to_delayed_work(w), struct old_bus, rage);
	struct old_net *n = list_first_entry(&bus->nets, struct old_net, node);

	/* Its own handlers would end it at once. */
	disable_irq(pci_irq_vector(bus->pdev, 0));
	netif_tx_disable(n->dev);
	napi_disable(&n->napi);
	pr_info("old driver: raging\n");
	old_rage(n, bus->regs, bus->ports, &bus->evq, old_hostile);
	pr_info("old driver: raged\n");
}

/* ---- life ---------------------------------------------------------------------------------- */

static int negotiate(struct old_bus *bus)
{
	__le64 *args = kmalloc(16, GFP_KERNEL);
	int ret;

	if (!args)
		return -ENOMEM;
	args[0] = cpu_to_le64(0xbf53eef5ull | 1ull << 32);
	args[1] = 0;	/* nothing that came later */
	ret = bridge_call(bus, 0, args, 16);
	if (ret == 1 && args[1])
		old_fatal("capabilities %llx were not asked for", le64_to_cpu(args[1]));
	kfree(args);
	return ret == 1 ? 0 : -EIO;
}

static int add_channels(struct old_bus *bus)
{
	struct old_call *args = kmalloc(sizeof(*args), GFP_KERNEL);
	int ret = 0;
	int cpu;

	bus->fast = kcalloc(nr_cpu_ids, sizeof(*bus->fast), GFP_KERNEL);
	if (!args || !bus->fast)
		return -ENOMEM;
	for_each_possible_cpu(cpu) {
		bus->fast[cpu] = kzalloc(sizeof(**bus->fast), GFP_KERNEL);
		if (!bus->fast[cpu])
			return -ENOMEM;
		args->vector = cpu_to_le32(cpu);
		args->len = cpu_to_le32(24);
		args->datap = cpu_to_le64(virt_to_phys(bus->fast[cpu]));
		ret = bridge_call(bus, 3, args, sizeof(*args));
		if (ret)
			break;
	}
	kfree(args);
	return ret;
}

static int add_queue(struct old_bus *bus)
{
	struct {
		__le32 queues;
		u8 pad0[4];
		__le32 count;
		u8 pad1[4];
		__le64 ring, data;
	} *args = kmalloc(sizeof(*args), GFP_KERNEL);
	struct old_ring *r = &bus->evq;
	u32 i;
	int ret;

	bus->slots = kzalloc(sizeof(*bus->slots) * OLD_EVENTS, GFP_KERNEL);
	if (!args || !bus->slots || old_ring_alloc(bus, r, OLD_EVENTS))
		return -ENOMEM;
	r->priv = bus;
	r->notify = on_events;
	r->port_off = PORT_EVENTQ;
	r->port_value = 0;
	for (i = 0; i < OLD_EVENTS; i++) {
		struct old_desc *d = &r->h->desc[i];

		d->cookie = cpu_to_le64((unsigned long)&bus->slots[i]);
		d->ptr = cpu_to_le64(virt_to_phys(&bus->slots[i]));
		d->len = cpu_to_le64(sizeof(bus->slots[i]));
		d->valid = 1;
		old_idx_push(r, &r->h->valid);
		WRITE_ONCE(d->sown, 1);
	}
	memset(args, 0xcc, sizeof(*args));
	args->queues = cpu_to_le32(1);
	args->count = cpu_to_le32(OLD_EVENTS);
	args->ring = cpu_to_le64(virt_to_phys(r->h));
	args->data = cpu_to_le64(virt_to_phys(bus->slots));
	ret = bridge_call(bus, 1, args, sizeof(*args));
	kfree(args);
	return ret;
}

static int old_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct old_bus *bus;
	int ret;

	if (pdev->revision != 2)
		return -ENODEV;
	bus = kzalloc(sizeof(*bus), GFP_KERNEL);
	if (!bus)
		return -ENOMEM;
	bus->pdev = pdev;
	spin_lock_init(&bus->rings_lock);
	spin_lock_init(&bus->todo_lock);
	INIT_LIST_HEAD(&bus->rings);
	INIT_LIST_HEAD(&bus->nets);
	INIT_WORK(&bus->work, old_work);
	INIT_DELAYED_WORK(&bus->rage, old_rage_work);
	pci_set_drvdata(pdev, bus);
	ret = pci_enable_device(pdev);
	if (ret)
		return ret;
	ret = pci_request_regions(pdev, "olddrv");
	if (ret)
		return ret;
	bus->regs = pci_iomap(pdev, 0, 0);
	bus->ports = pci_iomap(pdev, 1, 0);
	if (!bus->regs || !bus->ports)
		return -ENOMEM;
	pci_set_master(pdev);
	ret = negotiate(bus);
	if (ret)
		return ret;
	ret = pci_alloc_irq_vectors(pdev, 1, 1, old_intx ? PCI_IRQ_INTX : PCI_IRQ_MSI);
	if (ret < 0)
		return ret;
	ret = add_channels(bus);
	if (!ret)
		ret = add_queue(bus);
	if (!ret)	/* after QREG: what came before is found by enable (7.17) */
		ret = request_irq(pci_irq_vector(pdev, 0), old_isr, old_intx ? IRQF_SHARED : 0,
				  "olddrv", bus);
	if (ret) {
		dev_err(&pdev->dev, "old driver: load failed: %d\n", ret);
		return ret < 0 ? ret : -EIO;
	}
	local_irq_disable();
	old_enable(&bus->evq);
	local_irq_enable();
	dev_info(&pdev->dev, "old driver: loaded\n");
	return 0;
}

static void old_remove(struct pci_dev *pdev)
{
	struct old_bus *bus = pci_get_drvdata(pdev);
	struct old_net *n, *next;
	int cpu;

	cancel_delayed_work_sync(&bus->rage);
	flush_work(&bus->work);
	list_for_each_entry(n, &bus->nets, node)
		old_net_remove(n);
	free_irq(pci_irq_vector(pdev, 0), bus);
	dev_info(&pdev->dev, "old driver: %llu interrupts, %llu events\n", bus->nb_irqs,
		 bus->nb_events);
	flush_work(&bus->work);
	pci_free_irq_vectors(pdev);
	/* No call: bus master goes, and all memory with it (7.13). */
	pci_clear_master(pdev);
	pci_iounmap(pdev, bus->regs);
	pci_iounmap(pdev, bus->ports);
	pci_release_regions(pdev);
	pci_disable_device(pdev);
	list_for_each_entry_safe(n, next, &bus->nets, node)
		old_net_free(n);
	old_ring_free(&bus->evq);
	kfree(bus->slots);
	for_each_possible_cpu(cpu)
		kfree(bus->fast[cpu]);
	kfree(bus->fast);
	kfree(bus);
}

static const struct pci_device_id old_ids[] = {
	{ PCI_DEVICE(OLD_VENDOR, OLD_DEVICE) },
	{ }
};

static struct pci_driver old_driver = {
	.name = "olddrv",
	.id_table = old_ids,
	.probe = old_probe,
	.remove = old_remove,
};
module_pci_driver(old_driver);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("a vbus driver of old, for tests");
