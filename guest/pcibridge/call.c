// SPDX-License-Identifier: GPL-2.0-only
/* Copyright(c) 2026 vbus developers */

/*
 * Calls to south (sections 1.1 to 1.3).
 *
 * Bridge calls go through BAR 0, one at a time, in process context: they set the bridge up.
 * Devices call by fast calls: a port write that is over when south has run the call. Each processor
 * has a channel of its own and keeps its interrupts off while it uses it, so there is no lock and
 * any context may call. Whatever the caller passes is copied to the channel's memory, which was
 * mapped for south once and for all.
 */

#include <linux/cpumask.h>
#include <linux/io.h>
#include <linux/slab.h>

#include "bridge.h"

/* What south never answers. Where it still stands after a call, nobody was there. */
#define VBUS_PCI_UNANSWERED INT_MIN

int vbus_pci_bridge_call(struct vbus_pci_bridge *br, u32 vector, void *args, u32 len)
{
	struct vbus_pci_regs __iomem *regs = br->regs;
	int ret;

	if (WARN_ON_ONCE(len > PAGE_SIZE))
		return -EINVAL;
	if (READ_ONCE(br->dead))
		return -ENODEV;
	mutex_lock(&br->setup_lock);
	memcpy(br->setup, args, len);
	/* South sees the block before the call. */
	mb();
	iowrite32(vector, &regs->bridgecall.vector);
	iowrite32(len, &regs->bridgecall.len);
	iowrite32(lower_32_bits(br->setup_dma), &regs->bridgecall.datap);
	iowrite32(upper_32_bits(br->setup_dma), (u8 __iomem *)&regs->bridgecall.datap + 4);
	/* The read runs the call. */
	ret = (int)ioread32(regs);
	/* What south wrote to the block is there. */
	mb();
	memcpy(args, br->setup, len);
	mutex_unlock(&br->setup_lock);

	/* All ones is also what reads give when the function is gone. */
	if (ret == -1 && !pci_device_is_present(br->pdev)) {
		vbus_pci_mark_dead(br);
		return -ENODEV;
	}
	return ret;
}

int vbus_pci_fastcall(struct vbus_pci_bridge *br, u32 vector, void *args, u32 len, void *data,
		      u32 data_len)
{
	struct vbus_pci_signals __iomem *signals = br->ports ?: br->signals;
	struct vbus_pci_devicecall *devcall = args;
	struct vbus_pci_channel_mem *mem;
	struct vbus_pci_channel *ch;
	unsigned long flags;
	int ret;

	if (WARN_ON_ONCE(len > VBUS_PCI_ARGS_MAX || data_len > VBUS_CALL_MAX))
		return -EINVAL;
	if (READ_ONCE(br->dead))
		return -ENODEV;

	local_irq_save(flags);
	ch = &br->channels[smp_processor_id()];
	mem = ch->mem;
	if (data_len) {
		memcpy(mem->data, data, data_len);
		devcall->datap = cpu_to_le64(ch->dma + offsetof(typeof(*mem), data));
	}
	memcpy(mem->args, args, len);
	mem->desc.call.vector = cpu_to_le32(vector);
	mem->desc.call.len = cpu_to_le32(len);
	mem->desc.call.datap = cpu_to_le64(ch->dma + offsetof(typeof(*mem), args));
	mem->desc.result = cpu_to_le32(VBUS_PCI_UNANSWERED);
	/* South sees all that before the call. */
	mb();
	iowrite32(smp_processor_id(), &signals->fastcall);
	/* A store to memory is not waited for, but a load is behind it. */
	if (!br->ports)
		ioread32(&signals->fastcall);
	/* The write is over, so south has answered: no stale value is read below. */
	mb();
	ret = (int)le32_to_cpu(READ_ONCE(mem->desc.result));
	memcpy(args, mem->args, len);
	if (data_len)
		memcpy(data, mem->data, data_len);
	local_irq_restore(flags);

	if (unlikely(ret == VBUS_PCI_UNANSWERED)) {
		vbus_pci_mark_dead(br);
		return -ENODEV;
	}
	return ret;
}

int vbus_pci_negotiate(struct vbus_pci_bridge *br, u64 caps)
{
	struct vbus_pci_negotiate args = {
		.magic = cpu_to_le32(VBUS_PCI_MAGIC),
		.version = cpu_to_le32(VBUS_PCI_CALL_VERSION),
		.capabilities = cpu_to_le64(caps),
	};
	int ret;

	ret = vbus_pci_bridge_call(br, VBUS_PCI_BRIDGE_NEGOTIATE, &args, sizeof(args));
	if (ret < 0)
		return ret;
	if (ret != VBUS_PCI_CALL_VERSION)
		return -EPROTO;
	br->caps = le64_to_cpu(args.capabilities) & caps;
	return 0;
}

static int vbus_pci_channel_add(struct vbus_pci_bridge *br, unsigned int cpu)
{
	struct vbus_pci_channel *ch = &br->channels[cpu];
	struct vbus_pci_call_desc args = {
		.vector = cpu_to_le32(cpu),
		.len = cpu_to_le32(sizeof(ch->mem->desc)),
	};

	ch->mem = vbus_dma_alloc(&br->pdev->dev, sizeof(*ch->mem), &ch->dma);
	if (!ch->mem)
		return -ENOMEM;
	args.datap = cpu_to_le64(ch->dma + offsetof(typeof(*ch->mem), desc));
	return vbus_pci_bridge_call(br, VBUS_PCI_BRIDGE_FASTCALL_ADD, &args, sizeof(args));
}

void vbus_pci_channels_fini(struct vbus_pci_bridge *br)
{
	unsigned int cpu;

	for_each_possible_cpu(cpu) {
		struct vbus_pci_channel *ch = &br->channels[cpu];
		struct vbus_pci_fastcall_drop args = { .channel = cpu_to_le32(cpu) };

		if (!ch->mem)
			continue;
		vbus_pci_bridge_call(br, VBUS_PCI_BRIDGE_FASTCALL_DROP, &args, sizeof(args));
		vbus_dma_free(&br->pdev->dev, sizeof(*ch->mem), ch->mem, ch->dma);
	}
	kfree(br->channels);
}

int vbus_pci_channels_init(struct vbus_pci_bridge *br)
{
	unsigned int cpu;
	int ret;

	br->channels = kcalloc(nr_cpu_ids, sizeof(*br->channels), GFP_KERNEL);
	if (!br->channels)
		return -ENOMEM;
	for_each_possible_cpu(cpu) {
		ret = vbus_pci_channel_add(br, cpu);
		if (ret) {
			vbus_pci_channels_fini(br);
			return ret;
		}
	}
	return 0;
}

int vbus_pci_calls_init(struct vbus_pci_bridge *br)
{
	mutex_init(&br->setup_lock);
	br->setup = vbus_dma_alloc(&br->pdev->dev, PAGE_SIZE, &br->setup_dma);
	return br->setup ? 0 : -ENOMEM;
}

void vbus_pci_calls_fini(struct vbus_pci_bridge *br)
{
	vbus_dma_free(&br->pdev->dev, PAGE_SIZE, br->setup, br->setup_dma);
}
