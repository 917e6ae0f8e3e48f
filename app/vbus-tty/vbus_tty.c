/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * Standard input and output on a serial port that is served over vbus: a small frontend on the bus's
 * driver API, north of doc/abi.md section 9.
 *
 *     vbus-tty --no-pci -a vbus:vm1,socket=/run/vbus/vm1.sock -- tty0 [-b] [-n BYTES] [-v]
 *     ... -- -l       which ports come and go, and when
 *
 * Threads: one, main's. The bus's threads only write an eventfd (notify, lost). A side that takes
 * nothing slows the other: entries go back when standard output has taken them, standard input is
 * read when south has room.
 */

#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include <rte_common.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_memory.h>

#include <vbus/serial.h>

#include "bus_vbus_driver.h"
#include "vbus_ioq_north.h"
#include "vbus_peer.h"
#include "vbus_signal.h"

#define ENTRIES 16u
#define BUFFER	4096u /* of an entry: no more than a pipe that is writable takes */
#define ESCAPE	0x1d  /* Ctrl-] */
#define TICK_MS 250

struct ring {
	struct vbus_ioq_north q;
	struct vbus_signal sig;
	struct rte_vbus_shm shm;
	uint64_t cookies[ENTRIES];
	uint8_t *data; /* BUFFER bytes for each entry */
};

struct port {
	struct rte_vbus_device *dev;
	struct ring in, out;
	struct rte_vbus_shm state_shm;
	struct vbus_signal state_sig;
	struct vserial_state *state_peer;
	/* the input entry that standard output is given */
	struct vbus_ioq_entry held;
	bool holds;
	uint32_t at, len;
	/* how far */
	uint64_t nb_read, wanted;
	bool endless; /* end with the terminal's, not with input and wanted bytes */
	bool eof, over, armed, verbose;
	uint32_t seq;
};

static struct rte_vbus_device *found;
static const char *wanted_name;
static int wake_fd = -1;
static atomic_bool gone, stopped;
static bool listing;

static int
fail(const char *what, int ret)
{
	fprintf(stderr, "vbus-tty: %s: %s\n", what, strerror(-ret));
	return 1;
}

static void
wake(void)
{
	const uint64_t one = 1;

	/* Fails when its counter is full: it is readable then. */
	if (write(wake_fd, &one, sizeof(one)) < 0)
		return;
}

static void
on_signal(int sig)
{
	(void)sig;
	atomic_store(&stopped, true);
	wake();
}

/* ---- the driver -------------------------------------------------------------------------------- */

static void
list(char sign, const struct rte_vbus_device *dev)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	printf("%lld.%06ld %c %s\n", (long long)now.tv_sec, now.tv_nsec / 1000, sign,
		dev->dev_name);
	fflush(stdout);
}

static int
tty_probe(struct rte_vbus_driver *drv, struct rte_vbus_device *dev)
{
	(void)drv;
	if (listing) {
		list('+', dev);
		return 0;
	}
	if (wanted_name == NULL || strcmp(dev->dev_name, wanted_name) != 0)
		return -ENODEV;
	found = dev;
	return 0;
}

static int
tty_remove(struct rte_vbus_device *dev)
{
	if (listing) {
		list('-', dev);
		return 0;
	}
	atomic_store(&gone, true);
	wake();
	return rte_vbus_close(dev);
}

static void
tty_lost(struct rte_vbus_device *dev)
{
	(void)dev;
	atomic_store(&gone, true);
	wake();
}

/* It has ended by then. */
static void
tty_back(struct rte_vbus_device *dev)
{
	(void)dev;
}

static struct rte_vbus_driver tty_driver = {
	.type = VSERIAL_TYPE,
	.probe = tty_probe,
	.remove = tty_remove,
	.lost = tty_lost,
	.back = tty_back,
};

RTE_PMD_REGISTER_VBUS(serial_vbus, tty_driver);

/* ---- open -------------------------------------------------------------------------------------- */

static void
on_notify(struct rte_vbus_shm *shm)
{
	(void)shm;
	wake();
}

static int
share(struct rte_vbus_device *dev, struct rte_vbus_shm *shm, uint32_t id, void *va, size_t len,
	uint32_t signal_offset)
{
	shm->id = id;
	shm->va = va;
	shm->len = (uint32_t)len;
	shm->signal_offset = (int32_t)signal_offset;
	shm->notify = on_notify;
	return rte_vbus_shm(dev, shm);
}

/* Filled, where it is one for input, before south knows of it. */
static int
make_ring(struct port *p, struct ring *r, uint32_t id, uint8_t *mem, uint8_t *data)
{
	uint32_t i;
	int ret = vbus_ioq_north_format(&r->q, mem, ENTRIES, r->cookies, 1);

	if (ret == 0)
		ret = vbus_signal_attach(
			&r->sig, mem + IOQ_RING_SIGNAL_OFFSET, VBUS_LOCALITY_NORTH);
	r->data = data;
	for (i = 0; ret == 0 && id == VSERIAL_BLOCK_IN && i < ENTRIES; i++) {
		const struct vbus_ioq_entry e = {.cookie = i,
			.ptr = rte_vbus_addr(p->dev, data + (size_t)i * BUFFER),
			.len = BUFFER};

		vbus_ioq_north_post(&r->q, &e, 1);
	}
	return ret != 0 ? ret
			: share(p->dev, &r->shm, id, mem, vbus_ioq_size(ENTRIES),
				  IOQ_RING_SIGNAL_OFFSET);
}

static int
make_state(struct port *p, uint8_t *mem)
{
	int ret;

	p->state_peer = (void *)mem;
	vbus_signal_format(&p->state_peer->signal);
	ret = vbus_signal_attach(&p->state_sig, mem, VBUS_LOCALITY_NORTH);
	vbus_peer_store32(&p->state_peer->north.flags, VSERIAL_NORTH_DTR | VSERIAL_NORTH_RTS);
	return ret != 0 ? ret
			: share(p->dev, &p->state_shm, VSERIAL_BLOCK_STATE, mem,
				  sizeof(*p->state_peer), offsetof(struct vserial_state, signal));
}

static int
open_port(struct port *p)
{
	const size_t ring = RTE_ALIGN_CEIL(vbus_ioq_size(ENTRIES), 64u);
	const size_t data = (size_t)ENTRIES * BUFFER;
	struct vserial_config c = {0};
	uint8_t *mem;
	int ret = rte_vbus_open(p->dev, VSERIAL_VERSION);

	if (ret == 0)
		ret = rte_vbus_call(p->dev, VSERIAL_FUNC_CONFIG, &c, sizeof(c));
	if (ret < 0)
		return ret;
	if (c.ring_max < ENTRIES || c.buffer_max < BUFFER)
		return -EPROTO;
	mem = rte_vbus_zone(
		p->dev, "tty", 2 * (ring + data) + sizeof(*p->state_peer), SOCKET_ID_ANY);
	if (mem == NULL)
		return -rte_errno;
	ret = make_ring(p, &p->in, VSERIAL_BLOCK_IN, mem, mem + 2 * ring);
	if (ret == 0)
		ret = make_ring(p, &p->out, VSERIAL_BLOCK_OUT, mem + ring, mem + 2 * ring + data);
	if (ret == 0)
		ret = make_state(p, mem + 2 * (ring + data));
	return ret != 0 ? ret : rte_vbus_call(p->dev, VSERIAL_FUNC_START, NULL, 0);
}

/* ---- output: standard input to south ----------------------------------------------------------- */

static void
push(struct port *p, const struct vbus_ioq_entry *e)
{
	vbus_ioq_north_push(&p->out.q, e, 1);
	if (vbus_signal_inject(&p->out.sig))
		rte_vbus_signal(&p->out.shm);
}

static void
reap(struct port *p)
{
	uint64_t cookies[ENTRIES];

	vbus_ioq_north_reap(&p->out.q, cookies, ENTRIES);
}

static bool
pump_out(struct port *p, short ready)
{
	uint8_t *buf = p->out.data + (size_t)p->out.q.tail * BUFFER;
	const uint8_t *stop;
	ssize_t n;

	if (p->eof || (ready & (POLLIN | POLLHUP | POLLERR)) == 0 ||
		vbus_ioq_north_room(&p->out.q) == 0)
		return false;
	n = read(STDIN_FILENO, buf, BUFFER);
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return false;
	stop = p->endless && n > 0 ? memchr(buf, ESCAPE, (size_t)n) : NULL;
	if (stop != NULL) {
		n = stop - buf;
		p->over = true;
	}
	if (n > 0) {
		const struct vbus_ioq_entry e = {
			.ptr = rte_vbus_addr(p->dev, buf), .len = (uint64_t)n};

		push(p, &e);
	} else if (stop == NULL) {
		p->eof = true;
	}
	return true;
}

/* ---- input: south to standard output ----------------------------------------------------------- */

static bool
next_entry(struct port *p)
{
	if (p->holds)
		return true;
	if (vbus_ioq_north_pop(&p->in.q, &p->held, 1) == 0)
		return false;
	p->holds = true;
	p->at = 0;
	/* South's word: never past the buffer. */
	p->len = (uint32_t)RTE_MIN(p->held.len & VSERIAL_LEN_MASK, (uint64_t)BUFFER);
	if ((p->held.len & VSERIAL_LEN_BREAK) != 0)
		fprintf(stderr, "vbus-tty: break\n");
	return true;
}

static bool
pump_in(struct port *p, short ready)
{
	const uint8_t *buf;
	ssize_t n = 0;

	if (!next_entry(p))
		return false;
	buf = p->in.data + p->held.cookie * BUFFER;
	if (p->at < p->len) {
		if ((ready & (POLLOUT | POLLERR)) == 0)
			return false;
		n = write(STDOUT_FILENO, buf + p->at, p->len - p->at);
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			return false;
		if (n < 0) {
			fail("standard output", -errno);
			p->over = true;
			return false;
		}
		p->at += (uint32_t)n;
		p->nb_read += (uint64_t)n;
	}
	if (p->at == p->len) {
		p->held.ptr = rte_vbus_addr(p->dev, buf);
		p->held.len = BUFFER;
		vbus_ioq_north_post(&p->in.q, &p->held, 1);
		p->holds = false;
		if (vbus_signal_inject(&p->in.sig))
			rte_vbus_signal(&p->in.shm);
	}
	return true;
}

/* ---- state ------------------------------------------------------------------------------------- */

/* South's line, when it has changed (section 8.3). One that is being written is looked at again. */
static void
look_state(struct port *p)
{
	const struct vserial_south *s_peer = &p->state_peer->south;
	uint32_t seq = vbus_peer_load32(&s_peer->seq), flags, hangups, rows, cols;

	if (!p->verbose || seq == p->seq || (seq & 1) != 0)
		return;
	/* The fields after `seq`, and `seq` again after them. Partner: tell_north() of serial.c. */
	vbus_peer_fence_acquire();
	flags = vbus_peer_load32(&s_peer->flags);
	rows = vbus_peer_load16(&s_peer->rows);
	cols = vbus_peer_load16(&s_peer->cols);
	hangups = vbus_peer_load32(&s_peer->hangups);
	vbus_peer_fence_acquire();
	if (vbus_peer_load32(&s_peer->seq) != seq)
		return;
	p->seq = seq;
	fprintf(stderr, "vbus-tty: carrier %u, %u rows, %u columns, %u hang-ups\n",
		flags & VSERIAL_SOUTH_CARRIER, rows, cols, hangups);
}

/* ---- both -------------------------------------------------------------------------------------- */

static void
arm_one(const struct vbus_signal *sig, bool on)
{
	if (!on)
		vbus_signal_disable(sig);
	else if (vbus_signal_enable(sig))
		vbus_signal_take(sig);
}

static void
arm(struct port *p, bool on)
{
	if (p->armed == on)
		return;
	p->armed = on;
	arm_one(&p->in.sig, on);
	arm_one(&p->out.sig, on);
	arm_one(&p->state_sig, on);
}

static bool
done(struct port *p)
{
	if (p->over || atomic_load(&gone) || atomic_load(&stopped))
		return true;
	return !p->endless && p->eof && vbus_ioq_north_room(&p->out.q) == ENTRIES &&
	       p->nb_read >= p->wanted;
}

/* What waits for nobody is done; then, with signals on, it sleeps for whatever comes next. */
static void
run(struct port *p)
{
	for (;;) {
		struct pollfd f[3] = {{.fd = STDIN_FILENO}, {.fd = STDOUT_FILENO},
			{.fd = wake_fd, .events = POLLIN}};
		bool busy;
		uint64_t count;

		reap(p);
		look_state(p);
		if (done(p))
			return;
		f[0].fd = p->eof || vbus_ioq_north_room(&p->out.q) == 0 ? -1 : STDIN_FILENO;
		f[0].events = POLLIN;
		f[1].fd = next_entry(p) ? STDOUT_FILENO : -1;
		f[1].events = POLLOUT;
		if (poll(f, 3, p->armed ? TICK_MS : 0) < 0 && errno != EINTR)
			return;
		if ((f[2].revents & POLLIN) != 0 && read(wake_fd, &count, sizeof(count)) < 0)
			continue;
		busy = pump_out(p, f[0].revents);
		busy |= pump_in(p, f[1].revents);
		busy |= f[2].revents != 0;
		arm(p, !busy);
	}
}

static int
options(struct port *p, int argc, char **argv, bool *brk)
{
	int c;

	optind = 1;
	while ((c = getopt(argc, argv, "bn:v")) != -1) {
		if (c == 'b')
			*brk = true;
		else if (c == 'n')
			p->wanted = strtoull(optarg, NULL, 10);
		else if (c == 'v')
			p->verbose = true;
		else
			return -EINVAL;
	}
	return optind == argc ? 0 : -EINVAL;
}

static int
session(struct port *p, int argc, char **argv)
{
	const struct vbus_ioq_entry brk = {.len = VSERIAL_LEN_BREAK};
	const struct sigaction ignore = {.sa_handler = SIG_IGN};
	struct termios was, raw;
	bool send_break = false;
	int ret = options(p, argc, argv, &send_break);

	if (ret != 0) {
		fprintf(stderr,
			"usage: vbus-tty [EAL arguments] -a vbus:LINK,socket=PATH -- DEVICE "
			"[-b] [-n BYTES] [-v] | -l\n");
		return 1;
	}
	ret = open_port(p);
	if (ret < 0)
		return fail("the port cannot be opened", ret);
	sigaction(SIGPIPE, &ignore, NULL);
	p->endless = tcgetattr(STDIN_FILENO, &was) == 0;
	if (p->endless) {
		fprintf(stderr, "%s: Ctrl-] ends\n", p->dev->dev_name);
		raw = was;
		cfmakeraw(&raw);
		tcsetattr(STDIN_FILENO, TCSANOW, &raw);
	}
	if (send_break)
		push(p, &brk);
	run(p);
	if (p->endless)
		tcsetattr(STDIN_FILENO, TCSANOW, &was);
	if (atomic_load(&gone))
		return fail(p->dev->dev_name, -ENOTCONN);
	rte_vbus_call(p->dev, VSERIAL_FUNC_STOP, NULL, 0);
	return 0;
}

/* The bus's worker prints; until a signal comes or south goes. */
static int
watch(void)
{
	struct pollfd f = {.fd = wake_fd, .events = POLLIN};

	while (!atomic_load(&gone) && !atomic_load(&stopped))
		poll(&f, 1, -1);
	return atomic_load(&gone) ? fail("the bus", -ENOTCONN) : 0;
}

int
main(int argc, char **argv)
{
	const struct sigaction sa = {.sa_handler = on_signal};
	static struct port p;
	int i, ret;

	/* The driver has to know the name before EAL probes. */
	for (i = 1; i + 1 < argc; i++)
		if (strcmp(argv[i], "--") == 0)
			wanted_name = argv[i + 1];
	wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (wake_fd < 0)
		return fail("eventfd", -errno);
	listing = wanted_name != NULL && strcmp(wanted_name, "-l") == 0;
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	ret = rte_eal_init(argc, argv);
	if (ret < 0)
		return fail("EAL", -rte_errno);
	argc -= ret;
	argv += ret;
	if (listing) {
		ret = watch();
		rte_eal_cleanup();
		return ret;
	}
	if (argc < 2 || found == NULL) {
		fprintf(stderr, "vbus-tty: there is no serial port '%s'\n",
			wanted_name != NULL ? wanted_name : "");
		rte_eal_cleanup();
		return 1;
	}
	p.dev = found;
	ret = session(&p, argc - 1, argv + 1);
	rte_vbus_close(p.dev);
	rte_eal_cleanup();
	return ret;
}
