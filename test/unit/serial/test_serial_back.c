/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * Serial ports with vbus-dp's back ends and their thread; north is the rig's. Random bytes compare
 * equal through a socket and a pty, with readers that stall; who comes late gets the last bytes; what
 * hosts sent before they went arrives, and what they had not read the next one reads, however often
 * they come and go; breaks.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

#include <vbus/serial.h>

#include "../core/cu_run.h"
#include "../rng/kind_rig.h"
#include "dp_back.h"
#include "vbus_serial.h"

#define ENTRIES 32u
#define SLOT	4096u
#define STREAM	(2u << 20)

static struct kind_rig k;
static struct kind_rig_ring in, out;
static uint32_t in_off, out_off, state_off;
static struct dp_back *back;
static struct vbus_device *dev;
static char dir[] = "serial-test-XXXXXX";
static char path[64];
static bool hold;

static uint8_t
next_byte(uint32_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 17;
	*x ^= *x << 5;
	return (uint8_t)*x;
}

static void
up(const char *key, const char *value, const char *scrollback)
{
	struct dp_device_conf *d = dp_device_conf_new("tty0");
	char err[DP_ERR_SIZE] = "";
	uint32_t i;

	CU_ASSERT_EQUAL_FATAL(dp_device_conf_set(d, "class", "serial", err, sizeof(err)), 0);
	CU_ASSERT_EQUAL_FATAL(dp_device_conf_set(d, key, value, err, sizeof(err)), 0);
	CU_ASSERT_EQUAL_FATAL(dp_device_conf_set(d, "scrollback", scrollback, err, sizeof(err)), 0);
	CU_ASSERT_EQUAL_FATAL(
		dp_device_conf_set(d, "hold", hold ? "true" : "false", err, sizeof(err)), 0);
	CU_ASSERT_EQUAL_FATAL(dp_device_conf_check(d, err, sizeof(err)), 0);
	back = dp_back_make(d, &dev, err, sizeof(err));
	if (back == NULL)
		printf("%s\n", err);
	CU_ASSERT_PTR_NOT_NULL_FATAL(back);
	dp_device_conf_del(d);
	vbus_ctl_lock();
	kind_up(&k, dev, VSERIAL_TYPE);
	CU_ASSERT_EQUAL(kind_open(&k, VSERIAL_VERSION), 0);
	CU_ASSERT_EQUAL(kind_ring(&k, &in, VSERIAL_BLOCK_IN, ENTRIES), 0);
	CU_ASSERT_EQUAL(kind_ring(&k, &out, VSERIAL_BLOCK_OUT, ENTRIES), 0);
	state_off = kind_mem(&k, sizeof(struct vserial_state));
	memset(k.n.mem + state_off, 0, sizeof(struct vserial_state));
	CU_ASSERT_EQUAL(
		kind_block(&k, VSERIAL_BLOCK_STATE, state_off, sizeof(struct vserial_state), true),
		0);
	in_off = kind_mem(&k, ENTRIES * SLOT);
	out_off = kind_mem(&k, ENTRIES * SLOT);
	CU_ASSERT_EQUAL(kind_call(&k, VSERIAL_FUNC_START, NULL, 0), 0);
	vbus_ctl_unlock();
	for (i = 0; i < ENTRIES; i++) {
		const struct vbus_ioq_entry e = {.cookie = in_off + i * SLOT,
			.ptr = north_addr(&k.n, in_off + i * SLOT),
			.len = SLOT};

		CU_ASSERT_EQUAL(vbus_ioq_north_post(&in.q, &e, 1), 1);
	}
}

static void
down(void)
{
	vbus_ctl_lock();
	kind_down(&k);
	vbus_ctl_unlock();
	dp_back_unmake(back);
}

static void
kick(struct kind_rig_ring *r)
{
	vbus_ctl_lock();
	kind_kick(&k, r);
	vbus_ctl_unlock();
}

/* North writes up to @p len bytes. @return taken */
static uint32_t
north_write(const uint8_t *bytes, uint32_t len)
{
	static uint32_t nb;
	uint64_t cookies[ENTRIES];
	uint32_t done = 0;

	vbus_ioq_north_reap(&out.q, cookies, ENTRIES);
	while (done < len && vbus_ioq_north_room(&out.q) != 0) {
		const uint32_t off = out_off + out.q.tail * SLOT;
		uint32_t n = 1 + nb++ * 977 % SLOT;
		struct vbus_ioq_entry e = {.ptr = north_addr(&k.n, off)};

		n = n < len - done ? n : len - done;
		e.len = n;
		memcpy(k.n.mem + off, bytes + done, n);
		CU_ASSERT_EQUAL_FATAL(vbus_ioq_north_push(&out.q, &e, 1), 1);
		done += n;
	}
	if (done != 0)
		kick(&out);
	return done;
}

/* North reads what is there. @return bytes, at most SLOT */
static uint32_t
north_read(uint8_t *bytes)
{
	struct vbus_ioq_entry e;

	if (vbus_ioq_north_pop(&in.q, &e, 1) == 0)
		return 0;
	memcpy(bytes, k.n.mem + e.cookie, e.len);
	e.ptr = north_addr(&k.n, (uint32_t)e.cookie);
	{
		const uint32_t got = (uint32_t)e.len;

		e.len = SLOT;
		CU_ASSERT_EQUAL(vbus_ioq_north_post(&in.q, &e, 1), 1);
		kick(&in);
		return got;
	}
}

static const struct vserial_south *
state(void)
{
	return &((const struct vserial_state *)(const void *)(k.n.mem + state_off))->south;
}

static bool
wait_carrier(uint32_t flags)
{
	uint64_t end = kind_ms() + 5000;

	while (kind_ms() < end) {
		if (__atomic_load_n(&state()->flags, __ATOMIC_ACQUIRE) == flags)
			return true;
		usleep(1000);
	}
	return false;
}

static int
client(void)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	CU_ASSERT_EQUAL_FATAL(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	return fd;
}

/* Both ways at once between @p fd and north, both with pauses. */
static void
both_ways(int fd)
{
	uint32_t wx = 1, rx = 1, hwx = 2, hrx = 2;
	uint32_t sent = 0, got = 0, host_sent = 0, host_got = 0, wrong = 0, i, left = 0, round = 0;
	static uint8_t chunk[20000], host_chunk[5000], buf[65536];
	uint32_t chunk_at = sizeof(chunk), host_at = sizeof(host_chunk);
	uint64_t end = kind_ms() + 60000;

	fcntl(fd, F_SETFL, O_NONBLOCK);
	while ((got < STREAM || host_got < STREAM) && kind_ms() < end) {
		ssize_t n;

		round++;
		if (chunk_at == sizeof(chunk) && sent < STREAM) {
			for (i = 0; i < sizeof(chunk); i++)
				chunk[i] = next_byte(&wx);
			chunk_at = 0;
		}
		left = STREAM - sent < sizeof(chunk) - chunk_at
			       ? STREAM - sent
			       : (uint32_t)sizeof(chunk) - chunk_at;
		left = north_write(chunk + chunk_at, left);
		chunk_at += left;
		sent += left;
		if (host_at == sizeof(host_chunk) && host_sent < STREAM) {
			for (i = 0; i < sizeof(host_chunk); i++)
				host_chunk[i] = next_byte(&hwx);
			host_at = 0;
		}
		left = STREAM - host_sent < sizeof(host_chunk) - host_at
			       ? STREAM - host_sent
			       : (uint32_t)sizeof(host_chunk) - host_at;
		n = left == 0 ? 0 : write(fd, host_chunk + host_at, left);
		if (n > 0) {
			host_at += (uint32_t)n;
			host_sent += (uint32_t)n;
		}
		if (round % 500 < 100)
			usleep(100); /* nobody reads for a while */
		else {
			n = read(fd, buf, sizeof(buf));
			for (i = 0; n > 0 && i < (uint32_t)n; i++)
				wrong += buf[i] != next_byte(&rx);
			got += n > 0 ? (uint32_t)n : 0;
			n = north_read(buf);
			for (i = 0; i < (uint32_t)n; i++)
				wrong += buf[i] != next_byte(&hrx);
			host_got += (uint32_t)n;
		}
	}
	CU_ASSERT_EQUAL(got, STREAM);
	CU_ASSERT_EQUAL(host_got, STREAM);
	CU_ASSERT_EQUAL(wrong, 0);
}

static void
test_socket(void)
{
	int fd;

	snprintf(path, sizeof(path), "%s/sock", dir);
	up("listen", path, "65536");
	CU_ASSERT(wait_carrier(0));
	fd = client();
	CU_ASSERT(wait_carrier(VSERIAL_SOUTH_CARRIER));
	both_ways(fd);
	close(fd);
	CU_ASSERT(wait_carrier(0));
	down();
	CU_ASSERT_NOT_EQUAL(access(path, F_OK), 0);
}

static void
test_late(void)
{
	static uint8_t bytes[300000], got[70000];
	uint32_t at = 0, x = 5, have = 0, i;
	uint64_t end = kind_ms() + 10000;
	int fd;

	for (i = 0; i < sizeof(bytes); i++)
		bytes[i] = next_byte(&x);
	snprintf(path, sizeof(path), "%s/sock", dir);
	up("listen", path, "65536");
	while (at < sizeof(bytes) && kind_ms() < end)
		at += north_write(bytes + at, (uint32_t)sizeof(bytes) - at);
	CU_ASSERT_EQUAL(at, sizeof(bytes)); /* nobody there stalls nobody */
	while (north_write(bytes, 0) == 0 && vbus_ioq_north_room(&out.q) != ENTRIES &&
		kind_ms() < end)
		usleep(1000); /* until all of it was taken */
	fd = client();
	fcntl(fd, F_SETFL, O_NONBLOCK);
	while (have < sizeof(got) && kind_ms() < end) {
		ssize_t n = read(fd, got + have, sizeof(got) - have);

		if (n <= 0 && have >= 65536)
			break;
		if (n > 0)
			have += (uint32_t)n;
		usleep(1000);
	}
	CU_ASSERT_EQUAL(have, 65536);
	CU_ASSERT_EQUAL(memcmp(got, bytes + sizeof(bytes) - 65536, 65536), 0);
	close(fd);
	down();
}

/* Each host writes and goes at once. */
static void
test_reconnects(void)
{
	static uint8_t buf[SLOT];
	uint32_t x = 3, rx = 3, got = 0, wrong = 0, i, j;
	uint64_t end = kind_ms() + 20000;

	snprintf(path, sizeof(path), "%s/sock", dir);
	up("listen", path, "65536");
	for (i = 0; i < 50; i++) {
		uint8_t line[1000];
		int fd = client();

		for (j = 0; j < sizeof(line); j++)
			line[j] = next_byte(&x);
		CU_ASSERT_EQUAL(write(fd, line, sizeof(line)), (ssize_t)sizeof(line));
		close(fd);
	}
	while (got < 50000 && kind_ms() < end) {
		uint32_t n = north_read(buf);

		for (j = 0; j < n; j++)
			wrong += buf[j] != next_byte(&rx);
		got += n;
	}
	CU_ASSERT_EQUAL(got, 50000);
	CU_ASSERT_EQUAL(wrong, 0);
	down();
}

/* One that reads at most @p most bytes of what goes on and on, and goes. @return bytes right */
static uint32_t
visit(int fd, uint32_t most, uint32_t *wx, uint32_t *rx, uint32_t *sent, uint32_t total)
{
	static uint8_t chunk[3000], buf[65536];
	static uint32_t at = sizeof(chunk);
	uint64_t end = kind_ms() + 10000;
	uint32_t got = 0, i;

	if (*sent == 0)
		at = sizeof(chunk);
	fcntl(fd, F_SETFL, O_NONBLOCK);
	while (got < most && kind_ms() < end) {
		ssize_t n;

		if (*sent < total) {
			if (at == sizeof(chunk)) {
				for (i = 0; i < sizeof(chunk); i++)
					chunk[i] = next_byte(wx);
				at = 0;
			}
			i = north_write(chunk + at, (uint32_t)sizeof(chunk) - at);
			at += i;
			*sent += i;
		}
		n = read(fd, buf, sizeof(buf));
		for (i = 0; n > 0 && i < (uint32_t)n; i++)
			if (buf[i] != next_byte(rx))
				CU_FAIL_FATAL("a byte is wrong, missing or twice there");
		got += n > 0 ? (uint32_t)n : 0;
	}
	return got;
}

/* Hosts go while output is on its way to them: nothing is missing, nothing comes twice. */
static void
leave(const char *key)
{
	const uint32_t total = 600000; /* of 3000 each */
	uint32_t wx = 11, rx = 11, sent = 0, got = 0, i;

	hold = true;
	up(key, path, "1000");
	for (i = 0; i < 50 && got < total; i++) {
		int fd = strcmp(key, "pty") == 0 ? open(path, O_RDWR | O_NOCTTY) : client();

		got += visit(fd, i * 577 % 20000 + 1, &wx, &rx, &sent, total);
		close(fd);
	}
	if (got < total) {
		int fd = strcmp(key, "pty") == 0 ? open(path, O_RDWR | O_NOCTTY) : client();

		got += visit(fd, total - got, &wx, &rx, &sent, total);
		close(fd);
	}
	CU_ASSERT_EQUAL(got, total);
	CU_ASSERT_EQUAL(sent, total);
	down();
	hold = false;
}

static void
test_leave_socket(void)
{
	snprintf(path, sizeof(path), "%s/sock", dir);
	leave("listen");
}

static void
test_leave_pty(void)
{
	snprintf(path, sizeof(path), "%s/tty", dir);
	leave("pty");
}

/* A client that sends, does not read, and goes: what it sent arrives whatever its unread bytes do. */
static void
test_sends_and_goes(void)
{
	static uint8_t bytes[30000], got[SLOT];
	uint64_t end = kind_ms() + 10000;
	uint32_t x = 21, rx = 21, have = 0, wrong = 0, i, nb_out = 0;
	int fd;

	for (i = 0; i < sizeof(bytes); i++)
		bytes[i] = next_byte(&x);
	snprintf(path, sizeof(path), "%s/sock", dir);
	up("listen", path, "65536");
	fd = client();
	CU_ASSERT(wait_carrier(VSERIAL_SOUTH_CARRIER));
	while (nb_out < 20000 && kind_ms() < end)
		nb_out += north_write(bytes, 5000);
	CU_ASSERT_EQUAL(write(fd, bytes, sizeof(bytes)), (ssize_t)sizeof(bytes));
	close(fd);
	north_write(bytes, 5000); /* to nobody: an error that must not cost input */
	while (have < sizeof(bytes) && kind_ms() < end) {
		uint32_t n = north_read(got);

		for (i = 0; i < n; i++)
			wrong += got[i] != next_byte(&rx);
		have += n;
	}
	CU_ASSERT_EQUAL(have, sizeof(bytes));
	CU_ASSERT_EQUAL(wrong, 0);
	CU_ASSERT(wait_carrier(0));
	down();
}

/* A break for north behind what was typed; north's is counted. */
static void
test_break(void)
{
	struct vbus_ioq_entry e = {.len = VSERIAL_LEN_BREAK};
	struct vbus_serial_stats st = {0};
	uint64_t end = kind_ms() + 5000;
	uint32_t bytes = 0, breaks = 0;
	int fd;

	snprintf(path, sizeof(path), "%s/sock", dir);
	up("listen", path, "65536");
	fd = client();
	CU_ASSERT_EQUAL(write(fd, "abc", 3), 3);
	while (vbus_ioq_north_ready_count(&in.q, 1) == 0 && kind_ms() < end)
		usleep(1000);
	CU_ASSERT_EQUAL(dp_back_break(back), 0);
	while (breaks == 0 && kind_ms() < end) {
		if (vbus_ioq_north_pop(&in.q, &e, 1) == 0)
			continue;
		bytes += (uint32_t)(e.len & VSERIAL_LEN_MASK);
		if ((e.len & VSERIAL_LEN_BREAK) != 0) {
			CU_ASSERT_EQUAL(bytes, 3);
			breaks++;
		}
	}
	CU_ASSERT_EQUAL(breaks, 1);
	e = (struct vbus_ioq_entry){.len = VSERIAL_LEN_BREAK};
	CU_ASSERT_EQUAL(vbus_ioq_north_push(&out.q, &e, 1), 1);
	kick(&out);
	while (st.out_breaks == 0 && kind_ms() < end)
		vbus_serial_stats(vbus_serial_of(dev), &st);
	CU_ASSERT_EQUAL(st.out_breaks, 1);
	CU_ASSERT_EQUAL(st.in_breaks, 1);
	close(fd);
	vbus_ctl_lock();
	CU_ASSERT_EQUAL(kind_call(&k, VSERIAL_FUNC_STOP, NULL, 0), 0);
	vbus_ctl_unlock();
	CU_ASSERT_EQUAL(dp_back_break(back), -ENOTCONN);
	CU_ASSERT_EQUAL(dp_back_break(NULL), -EOPNOTSUPP);
	down();
}

static void
test_pty(void)
{
	const struct winsize w = {.ws_row = 43, .ws_col = 132};
	uint64_t end;
	int fd;

	snprintf(path, sizeof(path), "%s/tty", dir);
	up("pty", path, "65536");
	fd = open(path, O_RDWR | O_NOCTTY);
	CU_ASSERT_FATAL(fd >= 0);
	CU_ASSERT(wait_carrier(VSERIAL_SOUTH_CARRIER));
	both_ways(fd);
	CU_ASSERT_EQUAL(ioctl(fd, TIOCSWINSZ, &w), 0);
	end = kind_ms() + 5000;
	while (__atomic_load_n(&state()->cols, __ATOMIC_ACQUIRE) != 132 && kind_ms() < end)
		usleep(1000);
	CU_ASSERT_EQUAL(state()->cols, 132);
	CU_ASSERT_EQUAL(state()->rows, 43);
	close(fd);
	CU_ASSERT(wait_carrier(0));
	CU_ASSERT_EQUAL(state()->hangups, 1);
	down();
	CU_ASSERT_NOT_EQUAL(access(path, F_OK), 0);
}

static void
test_file(void)
{
	static uint8_t bytes[200000], got[200001];
	uint64_t end = kind_ms() + 10000;
	uint32_t at = 0, x = 9, i;
	ssize_t n = 0;
	struct stat st = {0};
	int fd;

	for (i = 0; i < sizeof(bytes); i++)
		bytes[i] = next_byte(&x);
	snprintf(path, sizeof(path), "%s/file", dir);
	up("file", path, "0");
	while (at < sizeof(bytes) && kind_ms() < end)
		at += north_write(bytes + at, (uint32_t)sizeof(bytes) - at);
	while (stat(path, &st) == 0 && st.st_size < (off_t)sizeof(bytes) && kind_ms() < end)
		usleep(1000);
	down();
	fd = open(path, O_RDONLY);
	n = read(fd, got, sizeof(got));
	close(fd);
	CU_ASSERT_EQUAL(n, (ssize_t)sizeof(bytes));
	CU_ASSERT_EQUAL(memcmp(bytes, got, sizeof(bytes)), 0);
	unlink(path);
}

int
main(void)
{
	static const struct cu_test tests[] = {
		{"socket: random bytes both ways", test_socket},
		{"socket: the last bytes for who comes late", test_late},
		{"socket: 50 hosts come and go", test_reconnects},
		{"socket: 50 hosts leave output behind", test_leave_socket},
		{"socket: one sends, reads nothing and goes", test_sends_and_goes},
		{"socket: break", test_break},
		{"pty: random bytes, size, hang-up", test_pty},
		{"pty: 50 hosts leave output behind", test_leave_pty},
		{"file", test_file},
		{NULL, NULL},
	};
	int ret;

	if (mkdtemp(dir) == NULL || vbus_ctl_get() != 0)
		return 1;
	ret = cu_run("serial back ends", tests, NULL, NULL);
	vbus_ctl_put();
	rmdir(dir);
	return ret;
}
