/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */
#ifndef VFU_PROTO_H
#define VFU_PROTO_H

/**
 * @file
 * The vfio-user wire format: constants and layouts, nothing else.
 *
 * Host byte order (both ends are on one machine). Every message is a struct vfu_header and a
 * payload; descriptors travel as SCM_RIGHTS with the first byte of the message they belong to.
 * Structures here are copied out of a message with memcpy() before a field is looked at, so that
 * what was checked is what is used.
 */

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#define VFU_ASSERT(cond) static_assert(cond, #cond)
#else
#define VFU_ASSERT(cond) _Static_assert(cond, #cond)
#endif
#define VFU_OFFSET(type, field, off) VFU_ASSERT(offsetof(type, field) == (off))

/** Version of the protocol: ours is 0.1; QEMU proposes 0.0, rust-vmm 0.1. */
#define VFU_VERSION_MAJOR 0
#define VFU_VERSION_MINOR 1

/** Most descriptors that one message can carry (the kernel's SCM_MAX_FD). */
#define VFU_MAX_FDS 253
/** Value of max_msg_fds that we announce (QEMU refuses more than 16); we accept VFU_MAX_FDS. */
#define VFU_MSG_FDS 16
/** max_msg_fds of a peer that does not say. */
#define VFU_DEF_MSG_FDS 1
/** Value of max_data_xfer_size that we announce: data bytes of one region read or write. */
#define VFU_XFER_MAX 65536u
/** max_data_xfer_size of a peer that does not say. */
#define VFU_DEF_XFER 1048576u
/** Value of max_dma_maps that we announce, also the default of a peer that does not say. */
#define VFU_DMA_MAPS 65535u
/** Largest message that is stored (header, access header, data). */
#define VFU_MSG_MAX (VFU_XFER_MAX + 32u)
/** Larger messages are read, dropped and answered with E2BIG; beyond this the stream is closed. */
#define VFU_SKIP_MAX (1048576u + 4096u)

/** Commands. */
enum vfu_command {
	VFU_CMD_VERSION = 1,
	VFU_CMD_DMA_MAP = 2,
	VFU_CMD_DMA_UNMAP = 3,
	VFU_CMD_DEVICE_GET_INFO = 4,
	VFU_CMD_DEVICE_GET_REGION_INFO = 5,
	VFU_CMD_DEVICE_GET_REGION_IO_FDS = 6,
	VFU_CMD_DEVICE_GET_IRQ_INFO = 7,
	VFU_CMD_DEVICE_SET_IRQS = 8,
	VFU_CMD_REGION_READ = 9,
	VFU_CMD_REGION_WRITE = 10,
	VFU_CMD_DMA_READ = 11,
	VFU_CMD_DMA_WRITE = 12,
	VFU_CMD_DEVICE_RESET = 13,
	VFU_CMD_DIRTY_PAGES = 14,
	VFU_CMD_REGION_WRITE_MULTI = 15,
	VFU_CMD_DEVICE_FEATURE = 16,
	VFU_CMD_MIG_DATA_READ = 17,
	VFU_CMD_MIG_DATA_WRITE = 18,
	VFU_CMD_MAX
};

/** Header flags. */
#define VFU_F_TYPE_MASK	   0x0fu
#define VFU_F_TYPE_COMMAND 0x00u
#define VFU_F_TYPE_REPLY   0x01u
#define VFU_F_NO_REPLY	   0x10u
#define VFU_F_ERROR	   0x20u

/** First 16 bytes of every message. */
struct vfu_header {
	uint16_t id;	  /**< chosen by the sender of the command, echoed by the reply */
	uint16_t command; /**< enum vfu_command, repeated by the reply */
	uint32_t size;	  /**< bytes of the whole message, header included */
	uint32_t flags;	  /**< VFU_F_* */
	uint32_t error;	  /**< errno of an error reply, otherwise 0 */
};
VFU_ASSERT(sizeof(struct vfu_header) == 16);
VFU_OFFSET(struct vfu_header, command, 2);
VFU_OFFSET(struct vfu_header, size, 4);
VFU_OFFSET(struct vfu_header, flags, 8);
VFU_OFFSET(struct vfu_header, error, 12);

/** VERSION, both ways; JSON text with a terminating NUL may follow. */
struct vfu_version {
	uint16_t major;
	uint16_t minor;
};
VFU_ASSERT(sizeof(struct vfu_version) == 4);

#define VFU_DMA_F_READ	    0x1u
#define VFU_DMA_F_WRITE	    0x2u
#define VFU_DMA_UNMAP_F_ALL 0x2u

/** DMA_MAP, 0 or 1 descriptor; the reply is a header only. */
struct vfu_dma_map {
	uint32_t argsz;
	uint32_t flags; /**< VFU_DMA_F_*; others are ignored */
	uint64_t offset;
	uint64_t iova;
	uint64_t size;
};
VFU_ASSERT(sizeof(struct vfu_dma_map) == 32);
VFU_OFFSET(struct vfu_dma_map, flags, 4);
VFU_OFFSET(struct vfu_dma_map, offset, 8);
VFU_OFFSET(struct vfu_dma_map, iova, 16);
VFU_OFFSET(struct vfu_dma_map, size, 24);

/** DMA_UNMAP; the reply repeats it. */
struct vfu_dma_unmap {
	uint32_t argsz;
	uint32_t flags; /**< VFU_DMA_UNMAP_F_ALL: everything, iova and size are 0 then */
	uint64_t iova;
	uint64_t size;
};
VFU_ASSERT(sizeof(struct vfu_dma_unmap) == 24);
VFU_OFFSET(struct vfu_dma_unmap, iova, 8);
VFU_OFFSET(struct vfu_dma_unmap, size, 16);

#define VFU_DEVICE_F_RESET 0x1u
#define VFU_DEVICE_F_PCI   0x2u

/** DEVICE_GET_INFO, both ways. */
struct vfu_device_info {
	uint32_t argsz;
	uint32_t flags;	      /**< VFU_DEVICE_F_* */
	uint32_t num_regions; /**< QEMU insists on 8..100 */
	uint32_t num_irqs;    /**< QEMU insists on 3..50 */
};
VFU_ASSERT(sizeof(struct vfu_device_info) == 16);
VFU_OFFSET(struct vfu_device_info, num_regions, 8);
VFU_OFFSET(struct vfu_device_info, num_irqs, 12);

/** Region indices of a PCI device. */
enum vfu_pci_region {
	VFU_PCI_BAR0 = 0,
	VFU_PCI_BAR1 = 1,
	VFU_PCI_BAR2 = 2,
	VFU_PCI_BAR3 = 3,
	VFU_PCI_BAR4 = 4,
	VFU_PCI_BAR5 = 5,
	VFU_PCI_ROM = 6,
	VFU_PCI_CONFIG = 7,
	VFU_PCI_VGA = 8,
	VFU_PCI_NUM_REGIONS = 9
};

/** Interrupt indices of a PCI device. */
enum vfu_pci_irq {
	VFU_PCI_INTX = 0,
	VFU_PCI_MSI = 1,
	VFU_PCI_MSIX = 2,
	VFU_PCI_ERR = 3,
	VFU_PCI_REQ = 4,
	VFU_PCI_NUM_IRQS = 5
};

#define VFU_REGION_F_READ  0x1u
#define VFU_REGION_F_WRITE 0x2u
#define VFU_REGION_F_MMAP  0x4u
#define VFU_REGION_F_CAPS  0x8u

/** DEVICE_GET_REGION_INFO, both ways; a capability chain may follow in the reply. */
struct vfu_region {
	uint32_t argsz; /**< in: room for the reply's payload; out: room needed */
	uint32_t flags; /**< VFU_REGION_F_* */
	uint32_t index;
	uint32_t cap_offset; /**< from the start of this struct, 0 = none */
	uint64_t size;	     /**< bytes, 0 = absent */
	uint64_t offset;     /**< to use in mmap() of the descriptor */
};
VFU_ASSERT(sizeof(struct vfu_region) == 32);
VFU_OFFSET(struct vfu_region, index, 8);
VFU_OFFSET(struct vfu_region, cap_offset, 12);
VFU_OFFSET(struct vfu_region, size, 16);
VFU_OFFSET(struct vfu_region, offset, 24);

#define VFU_CAP_SPARSE_MMAP 1u

/** Capability header; `next` counts from the start of struct vfu_region. */
struct vfu_cap {
	uint16_t id;
	uint16_t version;
	uint32_t next;
};
VFU_ASSERT(sizeof(struct vfu_cap) == 8);

/** Sparse mmap capability (id 1, version 1), followed by nr_areas struct vfu_area. */
struct vfu_cap_sparse {
	struct vfu_cap cap;
	uint32_t nr_areas;
	uint32_t reserved;
};
VFU_ASSERT(sizeof(struct vfu_cap_sparse) == 16);

/** One mmap-able piece of a region; its offset in the descriptor is region offset + offset. */
struct vfu_area {
	uint64_t offset;
	uint64_t size;
};
VFU_ASSERT(sizeof(struct vfu_area) == 16);

/** DEVICE_GET_REGION_IO_FDS, both ways; `count` struct vfu_io_fd follow in the reply. */
struct vfu_region_io_fds {
	uint32_t argsz;
	uint32_t flags;
	uint32_t index;
	uint32_t count;
};
VFU_ASSERT(sizeof(struct vfu_region_io_fds) == 16);

#define VFU_IO_FD_EVENTFD	 0u
#define VFU_IO_FD_REGION	 1u
#define VFU_IO_FD_SHADOW_EVENTFD 2u
#define VFU_IO_FD_F_DATAMATCH	 0x1u

/** One descriptor that stands for writes to a piece of a region. */
struct vfu_io_fd {
	uint64_t offset;
	uint64_t size;
	uint32_t fd_index; /**< into the descriptors of the message */
	uint32_t type;	   /**< VFU_IO_FD_* */
	uint32_t flags;	   /**< VFU_IO_FD_F_* */
	uint32_t pad;
	uint64_t datamatch; /**< value that a write must have, with VFU_IO_FD_F_DATAMATCH */
};
VFU_ASSERT(sizeof(struct vfu_io_fd) == 40);
VFU_OFFSET(struct vfu_io_fd, fd_index, 16);
VFU_OFFSET(struct vfu_io_fd, type, 20);
VFU_OFFSET(struct vfu_io_fd, flags, 24);
VFU_OFFSET(struct vfu_io_fd, datamatch, 32);

#define VFU_IRQ_F_EVENTFD    0x1u
#define VFU_IRQ_F_MASKABLE   0x2u
#define VFU_IRQ_F_AUTOMASKED 0x4u
#define VFU_IRQ_F_NORESIZE   0x8u

/** DEVICE_GET_IRQ_INFO, both ways. */
struct vfu_irq_info {
	uint32_t argsz;
	uint32_t flags; /**< VFU_IRQ_F_* */
	uint32_t index;
	uint32_t count;
};
VFU_ASSERT(sizeof(struct vfu_irq_info) == 16);

#define VFU_IRQ_DATA_NONE      0x01u
#define VFU_IRQ_DATA_BOOL      0x02u
#define VFU_IRQ_DATA_EVENTFD   0x04u
#define VFU_IRQ_DATA_MASK      0x07u
#define VFU_IRQ_ACTION_MASK    0x08u
#define VFU_IRQ_ACTION_UNMASK  0x10u
#define VFU_IRQ_ACTION_TRIGGER 0x20u
#define VFU_IRQ_ACTIONS	       0x38u

/** DEVICE_SET_IRQS; `count` bytes follow with DATA_BOOL, descriptors come with DATA_EVENTFD. */
struct vfu_irq_set {
	uint32_t argsz;
	uint32_t flags; /**< one VFU_IRQ_DATA_* and one VFU_IRQ_ACTION_* */
	uint32_t index;
	uint32_t start;
	uint32_t count;
};
VFU_ASSERT(sizeof(struct vfu_irq_set) == 20);
VFU_OFFSET(struct vfu_irq_set, count, 16);

/** REGION_READ and REGION_WRITE; data follow in a write and in the reply to a read. */
struct vfu_access {
	uint64_t offset;
	uint32_t region;
	uint32_t count;
};
VFU_ASSERT(sizeof(struct vfu_access) == 16);
VFU_OFFSET(struct vfu_access, region, 8);
VFU_OFFSET(struct vfu_access, count, 12);

/** Most data bytes of one entry of REGION_WRITE_MULTI. */
#define VFU_MULTI_DATA 8u

/** One entry of REGION_WRITE_MULTI; the entries follow a u64 that counts them. */
struct vfu_multi {
	uint64_t offset;
	uint32_t region;
	uint32_t count;
	uint8_t data[VFU_MULTI_DATA];
};
VFU_ASSERT(sizeof(struct vfu_multi) == 24);
VFU_OFFSET(struct vfu_multi, data, 16);

/** DMA_READ and DMA_WRITE (server to client; we never send them). */
struct vfu_dma_access {
	uint64_t address;
	uint64_t count;
};
VFU_ASSERT(sizeof(struct vfu_dma_access) == 16);

#define VFU_FEATURE_MASK    0xffffu
#define VFU_FEATURE_F_GET   0x10000u
#define VFU_FEATURE_F_SET   0x20000u
#define VFU_FEATURE_F_PROBE 0x40000u

/** DEVICE_FEATURE; data follow. */
struct vfu_feature {
	uint32_t argsz;
	uint32_t flags; /**< VFU_FEATURE_* */
};
VFU_ASSERT(sizeof(struct vfu_feature) == 8);

/* ---- what both ends share in this library's API ---- */

/** Room for a one-line reason in English, NUL included. */
#define VFU_WHY_LEN 256
/** Most mmap-able areas of one region. */
#define VFU_MAX_AREAS 8
/** Most io descriptors of one region. */
#define VFU_MAX_IO_FDS 16

/** What a region looks like. */
struct vfu_region_info {
	uint64_t size;	    /**< bytes, 0 = absent */
	uint32_t flags;	    /**< VFU_REGION_F_READ, _WRITE, _MMAP; never _CAPS */
	int fd;		    /**< to mmap, -1 = none */
	uint64_t fd_offset; /**< offset of the region in fd */
	uint32_t nb_areas;  /**< 0 and VFU_REGION_F_MMAP: all of the region can be mapped */
	struct vfu_area areas[VFU_MAX_AREAS];
};

/** One io descriptor of a region. */
struct vfu_io_fd_info {
	uint64_t offset; /**< in the region */
	uint32_t size;	 /**< bytes */
	uint32_t flags;	 /**< VFU_IO_FD_F_* */
	uint64_t datamatch;
	int fd; /**< an eventfd */
};

/** What the peer said in VERSION. */
struct vfu_caps {
	uint64_t max_data_xfer; /**< bytes */
	uint64_t pgsizes;	/**< bit mask, 0 = not said */
	uint32_t max_msg_fds;
	uint32_t max_dma_maps;
	uint16_t major;
	uint16_t minor;
	uint32_t write_multiple; /**< 1: takes (server) or sends (client) REGION_WRITE_MULTI */
};

/** Credentials of the peer's process at the time it connected (SO_PEERCRED). */
struct vfu_peer {
	int32_t pid;
	uint32_t uid;
	uint32_t gid;
};

/** Severity of a log line. */
enum vfu_log_level {
	VFU_LOG_ERR,
	VFU_LOG_NOTICE,
	VFU_LOG_DEBUG
};

#ifdef __cplusplus
}
#endif

#endif /* VFU_PROTO_H */
