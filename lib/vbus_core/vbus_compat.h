/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */
#ifndef VBUS_COMPAT_H
#define VBUS_COMPAT_H

/**
 * @file
 * The differences between DPDK 22.11, 24.11, 25.11 and 26.07, in one place. A version test anywhere else
 * fails CI. scripts/matrix builds and tests with each of them.
 */

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>

#include <rte_version.h>

#define VBUS_DPDK_GE(y, m) (RTE_VERSION >= RTE_VERSION_NUM(y, m, 0, 0))

/** Return type of eth_rx_queue_count_t. */
#if VBUS_DPDK_GE(25, 11)
typedef int vbus_queue_count_t;
#else
#include <stdint.h>
typedef uint32_t vbus_queue_count_t;
#endif

/** tx_queue_count exists since 24.03. */
#if VBUS_DPDK_GE(24, 3)
#define vbus_set_tx_queue_count(eth, fn) ((eth)->tx_queue_count = (fn))
#else
#define vbus_set_tx_queue_count(eth, fn) ((void)(eth), (void)(fn))
#endif

/** Per-queue counters: members of struct rte_eth_stats until 25.07, a struct of their own since 25.11.
 *  An operation is: int f(struct rte_eth_dev *dev, VBUS_STATS_GET_ARGS), with VBUS_QSTATS. */
#if VBUS_DPDK_GE(25, 11)
#define VBUS_STATS_GET_ARGS struct rte_eth_stats *stats, struct eth_queue_stats *qstats
#define VBUS_QSTATS	    (qstats)
#define vbus_eth_qstats_t   struct eth_queue_stats
#else
#define VBUS_STATS_GET_ARGS struct rte_eth_stats *stats
#define VBUS_QSTATS	    (stats)
#define vbus_eth_qstats_t   struct rte_eth_stats
#endif

/** dev_supported_ptypes_get: a list that ends with UNKNOWN until 23.11, with a count since 24.03. */
#define VBUS_PTYPES_RET const uint32_t *
#if VBUS_DPDK_GE(24, 3)
#define VBUS_PTYPES_ARGS       struct rte_eth_dev *dev, size_t *no_of_elements
#define VBUS_PTYPES_END	       RTE_PTYPE_UNKNOWN
#define VBUS_PTYPES_DONE(list) (*no_of_elements = sizeof(list) / sizeof((list)[0]) - 1)
#else
#define VBUS_PTYPES_ARGS struct rte_eth_dev *dev
#define VBUS_PTYPES_END	 RTE_PTYPE_UNKNOWN
#define VBUS_PTYPES_DONE(list)
#endif

/** Telemetry: unsigned values (renamed in 23.03, the old name is gone in 25.11). */
#if VBUS_DPDK_GE(23, 3)
#define vbus_tel_dict_uint(d, name, val) rte_tel_data_add_dict_uint((d), (name), (val))
#else
#define vbus_tel_dict_uint(d, name, val) rte_tel_data_add_dict_u64((d), (name), (val))
#endif

/** Plugin name export: (name, index) until 25.03, (name) since 25.07. */
#if VBUS_DPDK_GE(25, 7)
#define VBUS_PMD_EXPORT_NAME(name) RTE_PMD_EXPORT_NAME(name)
#else
#define VBUS_PMD_EXPORT_NAME(name) RTE_PMD_EXPORT_NAME(name, __COUNTER__)
#endif

/** A control thread with EAL's control affinity: by pthread until 23.07, by rte_thread since 23.11. */
#include <pthread.h>
#include <rte_lcore.h>
#if VBUS_DPDK_GE(23, 11)
#include <stdlib.h>
#include <rte_thread.h>
struct vbus_thread_start {
	void *(*fn)(void *);
	void *arg;
};
static inline uint32_t
vbus_thread_main(void *p)
{
	struct vbus_thread_start s = *(struct vbus_thread_start *)p;

	free(p);
	s.fn(s.arg);
	return 0;
}
static inline int
vbus_ctrl_thread_create(pthread_t *tid, const char *name, void *(*fn)(void *), void *arg)
{
	struct vbus_thread_start *s = (struct vbus_thread_start *)malloc(sizeof(*s));
	rte_thread_t id;
	int ret;

	if (s == NULL)
		return -ENOMEM;
	s->fn = fn;
	s->arg = arg;
	ret = rte_thread_create_control(&id, name, vbus_thread_main, s);
	if (ret != 0) {
		free(s);
		return ret < 0 ? ret : -ret;
	}
	*tid = (pthread_t)id.opaque_id;
	return 0;
}
#else
static inline int
vbus_ctrl_thread_create(pthread_t *tid, const char *name, void *(*fn)(void *), void *arg)
{
	return rte_ctrl_thread_create(tid, name, NULL, fn, arg);
}
#endif

/** EAL asks a program which of an lcore's cycles were busy since 23.03 (/eal/lcore/usage in telemetry). */
#if VBUS_DPDK_GE(23, 3)
typedef struct rte_lcore_usage vbus_lcore_usage_t;
#define vbus_lcore_usage_register(cb) rte_lcore_register_usage_cb(cb)
#else
typedef struct {
	uint64_t total_cycles, busy_cycles;
} vbus_lcore_usage_t;
#define vbus_lcore_usage_register(cb) ((void)(cb))
#endif

/** rte_pcapng_copy() is told the time until 23.07 and takes it itself since 23.11; rte_pcapng_fdopen() writes an
 *  interface for each ethdev until then and none since.
 */
#if VBUS_DPDK_GE(23, 11)
#define vbus_pcapng_copy(m, mp, len, tsc, dir) rte_pcapng_copy(0, 0, (m), (mp), (len), (dir), NULL)
#define VBUS_PCAPNG_OWN_INTERFACES	       0
#else
#define vbus_pcapng_copy(m, mp, len, tsc, dir) rte_pcapng_copy(0, 0, (m), (mp), (len), (tsc), (dir))
#define VBUS_PCAPNG_OWN_INTERFACES	       1
#endif

/** The bus's table: 26.07 hands the bus to its operations, gives it a list of drivers and asks which of them takes a
 *  device; plugging has another name and is told the driver. Ours asks nobody, a device's type says whose it is: one
 *  driver stands for all of them, and a device may be plugged any number of times (DECISIONS 13).
 */
#if VBUS_DPDK_GE(26, 7)
struct rte_bus;
struct rte_driver;
struct rte_device;
#define VBUS_BUS_SELF	  struct rte_bus *self __attribute__((unused))
#define VBUS_BUS_LOOK	  const struct rte_bus *self __attribute__((unused)),
#define VBUS_BUS_PLUG	  struct rte_driver *drv __attribute__((unused)),
#define VBUS_BUS_PLUGGING .allow_multi_probe = true, .match = vbus_bus_match, .probe_device
#define VBUS_BUS_UNPLUG	  .unplug_device
static inline bool
vbus_bus_match(const struct rte_driver *drv, const struct rte_device *dev)
{
	(void)drv;
	(void)dev;
	return true;
}
#define vbus_bus_enter(bus, drv)              \
	do {                                  \
		rte_bus_register(bus);        \
		rte_bus_add_driver(bus, drv); \
	} while (0)
#else
#define VBUS_BUS_SELF void
#define VBUS_BUS_LOOK
#define VBUS_BUS_PLUG
#define VBUS_BUS_PLUGGING	 .plug
#define VBUS_BUS_UNPLUG		 .unplug
#define vbus_bus_enter(bus, drv) ((void)(drv), rte_bus_register(bus))
#endif

/** Bytes of a line of x86 and nearly all arm64 CPUs; a generic arm64 build of DPDK says 128, the most there is. */
#define VBUS_CACHE_LINE 64
/** Cache-line alignment of a struct: after its body until 23.11, before its tag since 24.03. */
#define VBUS_CACHE_ALIGNED __attribute__((aligned(VBUS_CACHE_LINE)))

#endif /* VBUS_COMPAT_H */
