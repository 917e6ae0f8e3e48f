/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * Capture of a port's frames into a pcapng file (DECISIONS 29, ADR-0011).
 *
 * The lcore that polls the port copies each frame (both directions pass there) into mbufs of the
 * capture's own pool and queues them; a thread of the capture formats and writes. Pool and queue
 * are bounded: what does not fit is counted as lost, and the port is not held up by a slow disk.
 *
 * rte_pcapng makes the file's head and the packet blocks. It knows ethdevs only, so the interface
 * and its statistics at the end are written here, and the blocks get our interface's number and
 * time: rte_pcapng_copy() of 22.11 keeps its clock in one static without a lock (hence copy_lock) and
 * cannot tell times before the latest it was asked for; later ones leave the time to the writing.
 *
 * The statistics: ifrecv all frames that passed, ifdrop what the port dropped meanwhile, osdrop
 * what the capture lost.
 */

#include "dp_plane_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include <rte_cycles.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_malloc.h>
#include <rte_pcapng.h>

#include "dp_log.h"

DP_LOG_TYPE("capture");

#define CAP_FRAMES   2048u /* on their way to the file, a power of two */
#define CAP_MBUFS    2047u
#define CAP_OUT	     127u /* mbufs of blocks being written */
#define CAP_BURST    32u
#define CAP_IDLE_US  1000u
#define CAP_TRAILER  64u /* more than what rte_pcapng_copy() puts behind a frame */
#define CAP_SEGS_MAX 64u

#define BLOCK_INTERFACE	 1u
#define BLOCK_STATISTICS 5u
#define LINK_ETHERNET	 1u
#define OPT_IF_NAME	 2u
#define OPT_IF_TSRESOL	 9u
#define OPT_ISB_START	 2u
#define OPT_ISB_END	 3u
#define OPT_ISB_IFRECV	 4u
#define OPT_ISB_IFDROP	 5u
#define OPT_ISB_OSDROP	 7u

struct dp_capture {
	/* the lcore's, but for who reads the counters */
	struct rte_ring *ring;
	struct rte_mempool *pool;
	uint64_t seen, lost;
	/* the writer's */
	VBUS_CACHE_ALIGNED struct rte_mempool *out;
	rte_pcapng_t *file;
	int fd;
	uint32_t interface;
	uint64_t start_tsc, start_ns;
	uint64_t unwritten;
	bool failed;
	/* control side */
	struct dp_port *port;
	struct dp_port_stats at_start;
	pthread_t thread;
	atomic_bool stop;
} VBUS_CACHE_ALIGNED;

/** What rte_pcapng_copy() puts before a frame. */
struct packet_block {
	uint32_t type, len, interface, time_hi, time_lo, captured, original;
};

static pthread_mutex_t copy_lock = PTHREAD_MUTEX_INITIALIZER;

/* ---- the lcore --------------------------------------------------------------------------------- */

void
dp_capture_frames(struct dp_capture *cap, struct rte_mbuf *const *pkts, uint16_t n, bool from_port)
{
	struct rte_mbuf *copies[DP_BURST];
	uint64_t tsc = rte_rdtsc();
	unsigned int nb = 0;
	unsigned int done;
	uint16_t i;

	for (i = 0; i < n; i++) {
		struct rte_mbuf *c = rte_pktmbuf_copy(pkts[i], cap->pool, 0, UINT32_MAX);

		if (c == NULL)
			continue;
		/* For the writer: fields that mean nothing else in this copy. */
		c->ol_flags = 0;
		c->tx_offload = tsc;
		c->port = from_port ? RTE_PCAPNG_DIRECTION_IN : RTE_PCAPNG_DIRECTION_OUT;
		copies[nb++] = c;
	}
	done = rte_ring_sp_enqueue_burst(cap->ring, (void **)copies, nb, NULL);
	if (done != nb)
		rte_pktmbuf_free_bulk(copies + done, nb - done);
	cap->seen += n;
	cap->lost += n - done;
}

/* ---- blocks ------------------------------------------------------------------------------------ */

/** Append an option to a block. @return where the next goes */
static uint32_t *
put_option(uint32_t *at, uint16_t code, const void *data, uint16_t len)
{
	at[0] = (uint32_t)len << 16 | code;
	if (len != 0) {
		at[(len + 3u) / 4] = 0;
		memcpy(at + 1, data, len);
	}
	return at + 1 + (len + 3u) / 4;
}

/** Close a block that begins at @p b, and write it. */
static int
write_block(int fd, uint32_t *b, uint32_t *end)
{
	size_t len;
	ssize_t n;

	end = put_option(end, 0, NULL, 0);
	len = (size_t)(end + 1 - b) * 4;
	b[1] = (uint32_t)len;
	*end = (uint32_t)len;
	n = write(fd, b, len);
	if (n == (ssize_t)len)
		return 0;
	return n < 0 ? -errno : -ENOSPC;
}

static int
write_interface(const struct dp_capture *cap)
{
	uint32_t b[64] = {BLOCK_INTERFACE, 0, LINK_ETHERNET, 0};
	const uint8_t nanoseconds = 9;
	uint32_t *p = b + 4;

	p = put_option(p, OPT_IF_NAME, cap->port->name, (uint16_t)strlen(cap->port->name));
	p = put_option(p, OPT_IF_TSRESOL, &nanoseconds, 1);
	return write_block(cap->fd, b, p);
}

static uint64_t
time_ns(const struct dp_capture *cap, uint64_t tsc)
{
	__extension__ unsigned __int128 ns = tsc - cap->start_tsc;

	return cap->start_ns + (uint64_t)(ns * 1000000000u / rte_get_tsc_hz());
}

static uint32_t *
put_time(uint32_t *p, uint16_t code, uint64_t ns)
{
	const uint32_t hi_lo[2] = {(uint32_t)(ns >> 32), (uint32_t)ns};

	return put_option(p, code, hi_lo, sizeof(hi_lo));
}

static uint64_t
drops(const struct dp_port_stats *st)
{
	return st->drop_no_switch + st->drop_tx_full + st->drop_handover + st->drop_mtu +
	       st->drop_same_port + st->drop_down + st->drop_runt + st->drop_offload;
}

static int
write_statistics(const struct dp_capture *cap)
{
	uint64_t now = time_ns(cap, rte_rdtsc());
	uint32_t b[64] = {
		BLOCK_STATISTICS, 0, cap->interface, (uint32_t)(now >> 32), (uint32_t)now};
	uint32_t *p = b + 5;
	struct dp_port_stats st;
	uint64_t dropped, lost;

	dp_port_stats(cap->port, &st);
	dropped = drops(&st) - drops(&cap->at_start);
	lost = cap->lost + cap->unwritten;
	p = put_time(p, OPT_ISB_START, cap->start_ns);
	p = put_time(p, OPT_ISB_END, now);
	p = put_option(p, OPT_ISB_IFRECV, &cap->seen, sizeof(cap->seen));
	p = put_option(p, OPT_ISB_IFDROP, &dropped, sizeof(dropped));
	p = put_option(p, OPT_ISB_OSDROP, &lost, sizeof(lost));
	return write_block(cap->fd, b, p);
}

/* ---- the writer -------------------------------------------------------------------------------- */

/** A frame as a block, in mbufs of cap->out. NULL: cannot be */
static struct rte_mbuf *
make_block(struct dp_capture *cap, const struct rte_mbuf *m)
{
	struct packet_block *head;
	struct rte_mbuf *b;
	uint64_t ns;

	pthread_mutex_lock(&copy_lock);
	b = vbus_pcapng_copy(m, cap->out, m->pkt_len, rte_rdtsc(), m->port);
	/* It needs room behind the frame in the last mbuf: rather a frame cut short than none. */
	if (b == NULL && m->pkt_len > CAP_TRAILER)
		b = vbus_pcapng_copy(m, cap->out, m->pkt_len - CAP_TRAILER, rte_rdtsc(), m->port);
	pthread_mutex_unlock(&copy_lock);
	if (b == NULL)
		return NULL;
	head = rte_pktmbuf_mtod(b, struct packet_block *);
	ns = time_ns(cap, m->tx_offload);
	head->interface = cap->interface;
	head->time_hi = (uint32_t)(ns >> 32);
	head->time_lo = (uint32_t)ns;
	return b;
}

static int
write_chain(int fd, const struct rte_mbuf *m)
{
	struct iovec iov[CAP_SEGS_MAX];
	uint32_t len = m->pkt_len;
	unsigned int nb = 0;
	ssize_t n;

	for (; m != NULL; m = m->next) {
		if (nb == CAP_SEGS_MAX)
			return -EMSGSIZE;
		iov[nb].iov_base = rte_pktmbuf_mtod(m, void *);
		iov[nb++].iov_len = m->data_len;
	}
	n = writev(fd, iov, (int)nb);
	if (n == (ssize_t)len)
		return 0;
	/* A block that is cut makes the rest unreadable: nothing may follow. */
	return n < 0 ? -errno : -ENOSPC;
}

static void
write_frame(struct dp_capture *cap, const struct rte_mbuf *m)
{
	struct rte_mbuf *b = cap->failed ? NULL : make_block(cap, m);
	int ret = b != NULL ? write_chain(cap->fd, b) : 0;

	rte_pktmbuf_free(b);
	if (b == NULL || ret < 0)
		cap->unwritten++;
	if (ret < 0) {
		cap->failed = true;
		DP_LOG(ERR, "capture of %s ends: %s", cap->port->name, strerror(-ret));
	}
}

static void *
writer(void *arg)
{
	struct dp_capture *cap = arg;
	struct rte_mbuf *pkts[CAP_BURST];
	unsigned int n, i;
	bool stop;

	do {
		/* Before the look: what was queued before the stop is written. */
		stop = atomic_load(&cap->stop);
		n = rte_ring_sc_dequeue_burst(cap->ring, (void **)pkts, CAP_BURST, NULL);
		for (i = 0; i < n; i++) {
			write_frame(cap, pkts[i]);
			rte_pktmbuf_free(pkts[i]);
		}
		if (n == 0 && !stop)
			usleep(CAP_IDLE_US);
	} while (n != 0 || !stop);
	return NULL;
}

/* ---- start and stop: control side -------------------------------------------------------------- */

static void
capture_free(struct dp_capture *cap)
{
	if (cap->file != NULL)
		rte_pcapng_close(cap->file); /* and the descriptor */
	else if (cap->fd >= 0)
		close(cap->fd);
	rte_mempool_free(cap->pool);
	rte_mempool_free(cap->out);
	rte_ring_free(cap->ring);
	rte_free(cap);
}

static struct dp_capture *
capture_new(struct dp_port *port)
{
	static uint32_t serial;
	char name[RTE_RING_NAMESIZE];
	struct dp_capture *cap = rte_zmalloc("dp_capture", sizeof(*cap), RTE_CACHE_LINE_SIZE);
	int socket = (int)port->home->socket;

	if (cap == NULL)
		return NULL;
	cap->fd = -1;
	cap->port = port;
	snprintf(name, sizeof(name), "dp_cap_%u", serial);
	cap->ring = rte_ring_create(name, CAP_FRAMES, socket, RING_F_SP_ENQ | RING_F_SC_DEQ);
	cap->pool = rte_pktmbuf_pool_create(
		name, CAP_MBUFS, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, socket);
	snprintf(name, sizeof(name), "dp_out_%u", serial++);
	cap->out = rte_pktmbuf_pool_create(name, CAP_OUT, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, socket);
	if (cap->ring == NULL || cap->pool == NULL || cap->out == NULL) {
		capture_free(cap);
		return NULL;
	}
	return cap;
}

static int
capture_open(struct dp_capture *cap, const char *path, char *err, size_t err_size)
{
	struct timespec now;
	uint16_t eth;
	int ret;

	/* Nonblocking while opening: a FIFO that nobody reads is an error, not a wait. */
	cap->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW,
		S_IRUSR | S_IWUSR);
	if (cap->fd < 0)
		return dp_plane_err(err, err_size, -errno, "%s: %s", path, strerror(errno));
	fcntl(cap->fd, F_SETFL, 0);
	/* It may write an interface for each ethdev; ours comes after those. */
	RTE_ETH_FOREACH_DEV (eth)
		cap->interface += VBUS_PCAPNG_OWN_INTERFACES;
	cap->file = rte_pcapng_fdopen(cap->fd, NULL, NULL, "vbus-dp", NULL);
	if (cap->file == NULL)
		return dp_plane_err(err, err_size, -EIO, "%s: %s", path, rte_strerror(rte_errno));
	ret = write_interface(cap);
	if (ret < 0)
		return dp_plane_err(err, err_size, ret, "%s: %s", path, strerror(-ret));
	clock_gettime(CLOCK_REALTIME, &now);
	cap->start_tsc = rte_rdtsc();
	cap->start_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
	dp_port_stats(cap->port, &cap->at_start);
	return 0;
}

static int
capture_start(struct dp_port *port, const char *path, char *err, size_t err_size)
{
	struct dp_capture *cap;
	int ret;

	if (atomic_load_explicit(&port->capture, memory_order_relaxed) != NULL)
		return dp_plane_err(
			err, err_size, -EBUSY, "port %s is being captured already", port->name);
	cap = capture_new(port);
	if (cap == NULL)
		return dp_plane_err(
			err, err_size, -ENOMEM, "port %s: no memory for a capture", port->name);
	ret = capture_open(cap, path, err, err_size);
	if (ret < 0)
		goto err_free;
	ret = vbus_ctrl_thread_create(&cap->thread, "dp-capture", writer, cap);
	if (ret != 0) {
		ret = dp_plane_err(err, err_size, ret > 0 ? -ret : ret,
			"port %s: thread of the capture: %s", port->name, strerror(abs(ret)));
		goto err_free;
	}
	/* Release: pairs with the acquire in dp_port_poll() and dp_port_tx(). */
	atomic_store_explicit(&port->capture, cap, memory_order_release);
	return 0;

err_free:
	capture_free(cap);
	return ret;
}

void
dp_capture_stop(struct dp_port *port)
{
	struct dp_capture *cap = atomic_load_explicit(&port->capture, memory_order_relaxed);
	int ret;

	if (cap == NULL)
		return;
	atomic_store_explicit(&port->capture, NULL, memory_order_release);
	dp_plane_sync();
	atomic_store(&cap->stop, true);
	pthread_join(cap->thread, NULL);
	ret = cap->failed ? -EIO : write_statistics(cap);
	if (ret < 0 || cap->lost + cap->unwritten != 0)
		DP_LOG(WARNING,
			"capture of %s: %" PRIu64 " of %" PRIu64 " frames are not in the file",
			port->name, cap->lost + cap->unwritten, cap->seen);
	capture_free(cap);
}

int
dp_port_capture(struct dp_port *port, const char *path, char *err, size_t err_size)
{
	int ret = 0;

	pthread_mutex_lock(&dp_plane.lock);
	if (path != NULL)
		ret = capture_start(port, path, err, err_size);
	else if (atomic_load_explicit(&port->capture, memory_order_relaxed) == NULL)
		ret = dp_plane_err(
			err, err_size, -ENOENT, "port %s is not being captured", port->name);
	else
		dp_capture_stop(port);
	pthread_mutex_unlock(&dp_plane.lock);
	return ret;
}
