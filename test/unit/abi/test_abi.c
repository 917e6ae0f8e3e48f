/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * The ABI headers against literal numbers. Whoever changes a header and its assertion together
 * still meets this table, which was written from the specification, not from the headers.
 * One thread, no shared memory. doc/abi.md sections 1, 2, 3 and 5.
 */

#include <stdio.h>
#include <string.h>

#include <CUnit/Basic.h>

#include <vbus/device.h>
#include <vbus/ioq.h>
#include <vbus/pci.h>
#include <vbus/shm_signal.h>
#include <vbus/types.h>
#include <vbus/venet.h>

struct field {
	const char *name;
	size_t offset, size;	       /* as compiled */
	size_t want_offset, want_size; /* as specified */
};

#define SIZE(type, want)                               \
	{                                              \
#type, 0, sizeof(struct type), 0, want \
	}
#define FIELD(type, f, want_off, want_len)                                                       \
	{                                                                                        \
#type "." #f, offsetof(struct type, f), sizeof(((struct type *)0)->f), want_off, \
			want_len                                                                 \
	}

static const struct field fields[] = {
	/* section 1: registers and signals */
	SIZE(vbus_pci_call_desc, 16),
	FIELD(vbus_pci_call_desc, vector, 0, 4),
	FIELD(vbus_pci_call_desc, len, 4, 4),
	FIELD(vbus_pci_call_desc, datap, 8, 8),
	SIZE(vbus_pci_regs, 64),
	FIELD(vbus_pci_regs, bridgecall, 0, 16),
	SIZE(vbus_pci_signals, 32),
	FIELD(vbus_pci_signals, eventq, 0, 4),
	FIELD(vbus_pci_signals, fastcall, 4, 4),
	FIELD(vbus_pci_signals, shmsignal, 8, 4),
	/* section 1: bridge calls */
	SIZE(vbus_pci_negotiate, 16),
	FIELD(vbus_pci_negotiate, magic, 0, 4),
	FIELD(vbus_pci_negotiate, version, 4, 4),
	FIELD(vbus_pci_negotiate, capabilities, 8, 8),
	SIZE(vbus_pci_busreg, 32),
	FIELD(vbus_pci_busreg, count, 0, 4),
	FIELD(vbus_pci_busreg, eventq, 8, 24),
	FIELD(vbus_pci_busreg, eventq[0].count, 8, 4),
	FIELD(vbus_pci_busreg, eventq[0].ring, 16, 8),
	FIELD(vbus_pci_busreg, eventq[0].data, 24, 8),
	SIZE(vbus_pci_eventqreg, 24),
	FIELD(vbus_pci_eventqreg, count, 0, 4),
	FIELD(vbus_pci_eventqreg, ring, 8, 8),
	FIELD(vbus_pci_eventqreg, data, 16, 8),
	SIZE(vbus_pci_fastcall_desc, 24),
	FIELD(vbus_pci_fastcall_desc, call, 0, 16),
	FIELD(vbus_pci_fastcall_desc, result, 16, 4),
	SIZE(vbus_pci_fastcall_drop, 4),
	FIELD(vbus_pci_fastcall_drop, channel, 0, 4),
	SIZE(vbus_pci_devname, 72),
	FIELD(vbus_pci_devname, devid, 0, 8),
	FIELD(vbus_pci_devname, name, 8, 64),
	/* section 1: device calls */
	SIZE(vbus_pci_deviceopen, 16),
	FIELD(vbus_pci_deviceopen, devid, 0, 4),
	FIELD(vbus_pci_deviceopen, version, 4, 4),
	FIELD(vbus_pci_deviceopen, handle, 8, 8),
	SIZE(vbus_pci_deviceclose, 8),
	FIELD(vbus_pci_deviceclose, handle, 0, 8),
	SIZE(vbus_pci_devicecall, 32),
	FIELD(vbus_pci_devicecall, devh, 0, 8),
	FIELD(vbus_pci_devicecall, func, 8, 4),
	FIELD(vbus_pci_devicecall, len, 12, 4),
	FIELD(vbus_pci_devicecall, flags, 16, 4),
	FIELD(vbus_pci_devicecall, datap, 24, 8),
	SIZE(vbus_pci_deviceshm, 48),
	FIELD(vbus_pci_deviceshm, devh, 0, 8),
	FIELD(vbus_pci_deviceshm, id, 8, 4),
	FIELD(vbus_pci_deviceshm, len, 12, 4),
	FIELD(vbus_pci_deviceshm, flags, 16, 4),
	FIELD(vbus_pci_deviceshm, signal.offset, 24, 4),
	FIELD(vbus_pci_deviceshm, signal.prio, 28, 4),
	FIELD(vbus_pci_deviceshm, signal.cookie, 32, 8),
	FIELD(vbus_pci_deviceshm, datap, 40, 8),
	/* section 1: events */
	SIZE(vbus_pci_event, 144),
	FIELD(vbus_pci_event, eventid, 0, 4),
	FIELD(vbus_pci_event, data.add.id, 8, 8),
	FIELD(vbus_pci_event, data.add.type, 16, 128),
	FIELD(vbus_pci_event, data.handle.handle, 8, 8),
	/* section 2 */
	SIZE(shm_signal_desc, 16),
	FIELD(shm_signal_desc, magic, 0, 4),
	FIELD(shm_signal_desc, ver, 4, 4),
	FIELD(shm_signal_desc, north.enabled, 8, 1),
	FIELD(shm_signal_desc, north.pending, 9, 1),
	FIELD(shm_signal_desc, north.dirty, 10, 1),
	FIELD(shm_signal_desc, south.enabled, 11, 1),
	FIELD(shm_signal_desc, south.pending, 12, 1),
	FIELD(shm_signal_desc, south.dirty, 13, 1),
	/* section 3 */
	SIZE(ioq_ring_head, 56),
	FIELD(ioq_ring_head, magic, 0, 4),
	FIELD(ioq_ring_head, ver, 4, 4),
	FIELD(ioq_ring_head, signal, 8, 16),
	FIELD(ioq_ring_head, idx[0].head, 24, 4),
	FIELD(ioq_ring_head, idx[0].tail, 28, 4),
	FIELD(ioq_ring_head, idx[0].full, 32, 1),
	FIELD(ioq_ring_head, idx[1].head, 36, 4),
	FIELD(ioq_ring_head, idx[1].tail, 40, 4),
	FIELD(ioq_ring_head, idx[1].full, 44, 1),
	FIELD(ioq_ring_head, count, 48, 4),
	SIZE(ioq_ring_desc, 32),
	FIELD(ioq_ring_desc, cookie, 0, 8),
	FIELD(ioq_ring_desc, ptr, 8, 8),
	FIELD(ioq_ring_desc, len, 16, 8),
	FIELD(ioq_ring_desc, valid, 24, 1),
	FIELD(ioq_ring_desc, sown, 25, 1),
	/* section 5 */
	SIZE(venet_capabilities, 8),
	FIELD(venet_capabilities, gid, 0, 4),
	FIELD(venet_capabilities, bits, 4, 4),
	SIZE(venet_eventq_query, 32),
	FIELD(venet_eventq_query, flags, 0, 4),
	FIELD(venet_eventq_query, evsize, 4, 4),
	FIELD(venet_eventq_query, dpid, 8, 4),
	FIELD(venet_eventq_query, qid, 12, 4),
	SIZE(venet_l4ro_query, 32),
	FIELD(venet_l4ro_query, flags, 0, 4),
	FIELD(venet_l4ro_query, dpid, 4, 4),
	FIELD(venet_l4ro_query, pqid, 8, 4),
	SIZE(venet_sg, 32),
	FIELD(venet_sg, cookie, 0, 8),
	FIELD(venet_sg, flags, 8, 4),
	FIELD(venet_sg, len, 12, 4),
	FIELD(venet_sg, csum.start, 16, 2),
	FIELD(venet_sg, csum.offset, 18, 2),
	FIELD(venet_sg, gso.type, 20, 1),
	FIELD(venet_sg, gso.hdrlen, 22, 2),
	FIELD(venet_sg, gso.size, 24, 2),
	FIELD(venet_sg, count, 28, 4),
	SIZE(venet_iov, 16),
	FIELD(venet_iov, len, 0, 4),
	FIELD(venet_iov, ptr, 8, 8),
	SIZE(venet_event_header, 12),
	FIELD(venet_event_header, flags, 0, 4),
	FIELD(venet_event_header, size, 4, 4),
	FIELD(venet_event_header, id, 8, 4),
	FIELD(venet_event_linkstate, state, 12, 1),
	SIZE(venet_event_txc, 24),
	FIELD(venet_event_txc, txqid, 12, 4),
	FIELD(venet_event_txc, cookie, 16, 8),
};

static void
test_layout(void)
{
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		const struct field *f = &fields[i];

		if (f->offset != f->want_offset || f->size != f->want_size)
			printf("\n  %s: offset %zu size %zu, specified %zu and %zu\n", f->name,
				f->offset, f->size, f->want_offset, f->want_size);
		CU_ASSERT_EQUAL(f->offset, f->want_offset);
		CU_ASSERT_EQUAL(f->size, f->want_size);
	}
}

static void
test_numbers(void)
{
	/* section 1 */
	CU_ASSERT_EQUAL(VBUS_PCI_VENDOR_ID, 0x11da);
	CU_ASSERT_EQUAL(VBUS_PCI_DEVICE_ID, 0x2000);
	CU_ASSERT_EQUAL(VBUS_PCI_CLASS, 0x0680);
	CU_ASSERT_EQUAL(VBUS_PCI_REVISION, 2);
	CU_ASSERT_EQUAL(VBUS_PCI_BAR_REGS, 0);
	CU_ASSERT_EQUAL(VBUS_PCI_BAR_SIGNALS, 1);
	CU_ASSERT_EQUAL(VBUS_PCI_MAGIC, 3209948917U);
	CU_ASSERT_EQUAL(VBUS_PCI_CALL_VERSION, 1);
	CU_ASSERT_EQUAL(VBUS_PCI_BRIDGE_NEGOTIATE, 0);
	CU_ASSERT_EQUAL(VBUS_PCI_BRIDGE_QREG, 1);
	CU_ASSERT_EQUAL(VBUS_PCI_BRIDGE_SLOWCALL, 2);
	CU_ASSERT_EQUAL(VBUS_PCI_BRIDGE_FASTCALL_ADD, 3);
	CU_ASSERT_EQUAL(VBUS_PCI_BRIDGE_FASTCALL_DROP, 4);
	CU_ASSERT_EQUAL(VBUS_PCI_BRIDGE_DEVNAME, 5);
	CU_ASSERT_EQUAL(VBUS_CAP_DEVNAME, 1);
	CU_ASSERT_EQUAL(VBUS_CAP_DOORBELL, 2);
	CU_ASSERT_EQUAL(VBUS_PCI_DOORBELL, 2048);
	CU_ASSERT_EQUAL(VBUS_PCI_HC_DEVOPEN, 0);
	CU_ASSERT_EQUAL(VBUS_PCI_HC_DEVCLOSE, 1);
	CU_ASSERT_EQUAL(VBUS_PCI_HC_DEVCALL, 2);
	CU_ASSERT_EQUAL(VBUS_PCI_HC_DEVSHM, 3);
	CU_ASSERT_EQUAL(VBUS_PCI_SHM_NO_SIGNAL, 4294967295U);
	CU_ASSERT_EQUAL(VBUS_PCI_EVENT_DEVADD, 0);
	CU_ASSERT_EQUAL(VBUS_PCI_EVENT_DEVDROP, 1);
	CU_ASSERT_EQUAL(VBUS_PCI_EVENT_SHMSIGNAL, 2);
	CU_ASSERT_EQUAL(VBUS_PCI_EVENT_SHMCLOSE, 3);
	CU_ASSERT(VBUS_PCI_FASTCALL_CHANNELS >= 8192);
	/* sections 2 and 3 */
	CU_ASSERT_EQUAL(SHM_SIGNAL_MAGIC, 1492793823U);
	CU_ASSERT_EQUAL(SHM_SIGNAL_VER, 1);
	CU_ASSERT_EQUAL(IOQ_RING_MAGIC, 1207578596U);
	CU_ASSERT_EQUAL(IOQ_RING_VER, 4);
	CU_ASSERT_EQUAL(IOQ_RING_SIZE(1024), 32824);
	CU_ASSERT_EQUAL(IOQ_RING_SIZE(256), 8248);
	CU_ASSERT_EQUAL(IOQ_RING_SIZE(UINT32_MAX), 137438953496ULL);
	/* section 5 */
	CU_ASSERT_STRING_EQUAL(VENET_TYPE, "virtual-ethernet");
	CU_ASSERT_EQUAL(VENET_FUNC_LINKUP, 0);
	CU_ASSERT_EQUAL(VENET_FUNC_LINKDOWN, 1);
	CU_ASSERT_EQUAL(VENET_FUNC_MACQUERY, 2);
	CU_ASSERT_EQUAL(VENET_FUNC_NEGCAP, 3);
	CU_ASSERT_EQUAL(VENET_FUNC_FLUSHRX, 4);
	CU_ASSERT_EQUAL(VENET_FUNC_PMTDQUERY, 5);
	CU_ASSERT_EQUAL(VENET_FUNC_EVQQUERY, 6);
	CU_ASSERT_EQUAL(VENET_FUNC_L4ROQUERY, 7);
	CU_ASSERT_EQUAL(
		VENET_CAP_SG | VENET_CAP_TSO4 | VENET_CAP_TSO6 | VENET_CAP_ECN | VENET_CAP_PMTD,
		0x2f);
	CU_ASSERT_EQUAL(VENET_CAP_UFO, 0x10);
	CU_ASSERT_EQUAL(VENET_CAP_EVQ_LINKSTATE, 1);
	CU_ASSERT_EQUAL(VENET_CAP_EVQ_TXC, 2);
	CU_ASSERT_EQUAL(VENET_SG_SIZE(1), 48);
	CU_ASSERT_EQUAL(VENET_SG_SIZE(17), 304);
	CU_ASSERT_EQUAL(VENET_POOL_SLOT_SIZE, 304);
	CU_ASSERT_EQUAL(VENET_EVENT_SIZE_MAX, 24);
	CU_ASSERT_EQUAL(VENET_FRAME_MAX, 65549);
	CU_ASSERT_EQUAL(VENET_FRAME_MAX_VLAN, 65553);
}

/* Bytes as they lie in memory: little-endian, no hidden padding before a field. */
static void
test_bytes(void)
{
	static const uint8_t want[16] = {
		3, 0, 0, 0, 24, 0, 0, 0, 0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11};
	struct vbus_pci_call_desc call = {
		.vector = VBUS_PCI_BRIDGE_FASTCALL_ADD,
		.len = sizeof(struct vbus_pci_fastcall_desc),
		.datap = 0x1122334455667788ULL,
	};

	CU_ASSERT_EQUAL(memcmp(&call, want, sizeof(want)), 0);
}

int
main(void)
{
	unsigned int failures;

	if (CU_initialize_registry() != CUE_SUCCESS)
		return 1;
	CU_pSuite suite = CU_add_suite("abi", NULL, NULL);

	CU_add_test(suite, "layout", test_layout);
	CU_add_test(suite, "numbers", test_numbers);
	CU_add_test(suite, "bytes", test_bytes);
	CU_basic_set_mode(CU_BRM_NORMAL);
	CU_basic_run_tests();
	failures = CU_get_number_of_failures();
	CU_cleanup_registry();
	return failures != 0;
}
