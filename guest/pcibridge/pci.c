// SPDX-License-Identifier: GPL-2.0-only
/* Copyright(c) 2026 vbus developers */

/*
 * The bridge's PCI function 11da:2000, any number of them (section 1).
 *
 * Order on the way down: devices first, for their drivers need calls and events to close them;
 * then events, then calls; then bus mastering ends, by which south drops whatever it still had;
 * only then memory is freed.
 */

#include <linux/module.h>
#include <linux/pci.h>
#include <linux/slab.h>

#include "bridge.h"

/* Everything that this driver knows. */
#define VBUS_PCI_CAPS (VBUS_CAP_DEVNAME | VBUS_CAP_DOORBELL)

static ulong caps = VBUS_PCI_CAPS;
module_param(caps, ulong, 0444);
MODULE_PARM_DESC(caps, "bridge capabilities to ask for (0: none, plain version 2)");

/* Is BAR 1 there, and was it given an address? */
static bool vbus_pci_has_ports(struct pci_dev *pdev)
{
	return pci_resource_len(pdev, VBUS_PCI_BAR_SIGNALS) >= sizeof(struct vbus_pci_signals) &&
	       !(pci_resource_flags(pdev, VBUS_PCI_BAR_SIGNALS) & IORESOURCE_UNSET);
}

static int vbus_pci_bars(struct pci_dev *pdev)
{
	return BIT(VBUS_PCI_BAR_REGS) |
	       (vbus_pci_has_ports(pdev) ? BIT(VBUS_PCI_BAR_SIGNALS) : 0);
}

static int vbus_pci_map(struct vbus_pci_bridge *br)
{
	struct pci_dev *pdev = br->pdev;

	br->regs = pci_iomap(pdev, VBUS_PCI_BAR_REGS, 0);
	if (!br->regs)
		return -ENOMEM;
	/* On a machine without I/O ports there is the doorbell (vbus_pci_start()). */
	if (vbus_pci_has_ports(pdev)) {
		br->ports = pci_iomap(pdev, VBUS_PCI_BAR_SIGNALS, 0);
		if (!br->ports) {
			pci_iounmap(pdev, br->regs);
			return -ENOMEM;
		}
	}
	br->signals = br->ports;
	return 0;
}

static void vbus_pci_unmap(struct vbus_pci_bridge *br)
{
	if (br->ports)
		pci_iounmap(br->pdev, br->ports);
	pci_iounmap(br->pdev, br->regs);
}

static int vbus_pci_enable(struct pci_dev *pdev)
{
	int ret;

	ret = vbus_pci_has_ports(pdev) ? pci_enable_device(pdev) : pci_enable_device_mem(pdev);
	if (ret)
		return ret;
	if (pdev->revision != VBUS_PCI_REVISION ||
	    pci_resource_len(pdev, VBUS_PCI_BAR_REGS) < sizeof(struct vbus_pci_regs)) {
		dev_err(&pdev->dev, "revision %u is not known\n", pdev->revision);
		ret = -ENODEV;
		goto err_disable;
	}
	ret = dma_set_mask_and_coherent(&pdev->dev, DMA_BIT_MASK(64));
	if (ret)
		goto err_disable;
	ret = pci_request_selected_regions(pdev, vbus_pci_bars(pdev), "vbus_pcibridge");
	if (ret)
		goto err_disable;
	pci_set_master(pdev);
	return 0;

err_disable:
	pci_disable_device(pdev);
	return ret;
}

/* South takes the end of bus mastering as a reset: it leaves our memory alone from here on. */
static void vbus_pci_disable(struct pci_dev *pdev)
{
	pci_clear_master(pdev);
	pci_release_selected_regions(pdev, vbus_pci_bars(pdev));
	pci_disable_device(pdev);
}

/* From NEGOTIATE to the first event. */
static int vbus_pci_start(struct vbus_pci_bridge *br)
{
	u64 want = caps & VBUS_PCI_CAPS;
	int ret;

	if (pci_resource_len(br->pdev, VBUS_PCI_BAR_REGS) <
	    VBUS_PCI_DOORBELL + sizeof(struct vbus_pci_signals))
		want &= ~VBUS_CAP_DOORBELL;
	ret = vbus_pci_negotiate(br, want);
	if (ret)
		return ret;
	if (br->caps & VBUS_CAP_DOORBELL)
		br->signals = br->regs + VBUS_PCI_DOORBELL;
	if (!br->signals) {
		dev_err(&br->pdev->dev, "no I/O ports, and no other signals\n");
		return -ENODEV;
	}
	ret = vbus_pci_channels_init(br);
	if (ret)
		return ret;
	ret = vbus_pci_events_start(br);
	if (ret)
		vbus_pci_channels_fini(br);
	return ret;
}

static int vbus_pci_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct vbus_pci_bridge *br;
	int ret;

	br = kzalloc(sizeof(*br), GFP_KERNEL);
	if (!br)
		return -ENOMEM;
	br->pdev = pdev;
	pci_set_drvdata(pdev, br);
	ret = vbus_pci_enable(pdev);
	if (ret)
		goto err_free;
	ret = vbus_pci_map(br);
	if (ret)
		goto err_disable;
	ret = vbus_pci_calls_init(br);
	if (ret)
		goto err_unmap;
	ret = vbus_pci_events_init(br);
	if (ret)
		goto err_calls;
	ret = vbus_pci_plug_init(br);
	if (ret)
		goto err_events;
	ret = vbus_pci_start(br);
	if (ret)
		goto err_plug;
	dev_info(&pdev->dev, "vbus bridge, capabilities %#llx, %s\n", br->caps,
		 pdev->msi_enabled ? "MSI" : "INTx");
	return 0;

err_plug:
	vbus_pci_plug_stop(br);
	vbus_pci_plug_fini(br);
err_events:
	pci_clear_master(pdev);
	vbus_pci_events_fini(br);
err_calls:
	vbus_pci_calls_fini(br);
err_unmap:
	vbus_pci_unmap(br);
err_disable:
	vbus_pci_disable(pdev);
err_free:
	kfree(br);
	return ret;
}

static void vbus_pci_remove(struct pci_dev *pdev)
{
	struct vbus_pci_bridge *br = pci_get_drvdata(pdev);

	/* Pulled out: nobody answers, and nobody has to be told. */
	if (!pci_device_is_present(pdev))
		vbus_pci_mark_dead(br);
	vbus_pci_plug_stop(br);
	vbus_pci_plug_fini(br);
	vbus_pci_events_stop(br);
	vbus_pci_channels_fini(br);
	pci_clear_master(pdev);
	vbus_pci_events_fini(br);
	vbus_pci_calls_fini(br);
	vbus_pci_unmap(br);
	vbus_pci_disable(pdev);
	kfree(br);
}

/*
 * Reboot and kexec: whoever comes next owns the memory. The devices stay registered, but calls and
 * signals go nowhere; nothing runs after this but the end of this kernel.
 */
static void vbus_pci_shutdown(struct pci_dev *pdev)
{
	struct vbus_pci_bridge *br = pci_get_drvdata(pdev);

	vbus_pci_plug_stop(br);
	vbus_pci_mark_dead(br);
	vbus_pci_events_stop(br);
	pci_clear_master(pdev);
	pci_disable_device(pdev);
}

static const struct pci_device_id vbus_pci_ids[] = {
	{ PCI_DEVICE(VBUS_PCI_VENDOR_ID, VBUS_PCI_DEVICE_ID) },
	{ }
};
MODULE_DEVICE_TABLE(pci, vbus_pci_ids);

static struct pci_driver vbus_pci_driver = {
	.name = "vbus_pcibridge",
	.id_table = vbus_pci_ids,
	.probe = vbus_pci_probe,
	.remove = vbus_pci_remove,
	.shutdown = vbus_pci_shutdown,
};
module_pci_driver(vbus_pci_driver);

MODULE_DESCRIPTION("PCI bridge to a virtual bus");
MODULE_AUTHOR("vbus developers");
MODULE_LICENSE("GPL");
MODULE_VERSION("0.1.0");
