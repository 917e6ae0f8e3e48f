/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/* Capture files: read back block by block, and by tcpdump where it is. */

#include "dp_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vbus/venet.h>

#include "../core/cu_run.h"
#include "../venet/rig.h"

#define FILE_MAX (1u << 20)

static char err[DP_ERR_SIZE];
static char dir[] = "/tmp/vbus-capture-XXXXXX";
static char path[64];
static uint32_t file[FILE_MAX / 4];

/** The file, checked in its structure. @return bytes */
static size_t
read_file(void)
{
	FILE *in = fopen(path, "r");
	size_t len, off;

	CU_ASSERT_PTR_NOT_NULL_FATAL(in);
	len = fread(file, 1, sizeof(file), in);
	fclose(in);
	CU_ASSERT_FATAL(len > 28 && len < sizeof(file) && len % 4 == 0);
	CU_ASSERT_EQUAL(file[0], 0x0a0d0d0a);
	CU_ASSERT_EQUAL(file[2], 0x1a2b3c4d);
	for (off = 0; off < len; off += file[off / 4 + 1]) {
		uint32_t n = file[off / 4 + 1];

		CU_ASSERT_FATAL(n % 4 == 0 && n >= 12 && n <= len - off);
		CU_ASSERT_EQUAL_FATAL(file[(off + n) / 4 - 1], n);
	}
	return len;
}

/** The block number @p nb of a type. NULL: none */
static const uint32_t *
block(size_t len, uint32_t type, uint32_t nb)
{
	size_t off;

	for (off = 0; off < len; off += file[off / 4 + 1])
		if (file[off / 4] == type && nb-- == 0)
			return &file[off / 4];
	return NULL;
}

/** An option of a block whose options begin at word @p at. */
static const void *
option(const uint32_t *b, uint32_t at, uint16_t code)
{
	while (at < b[1] / 4 - 1 && (b[at] & 0xffff) != 0) {
		if ((b[at] & 0xffff) == code)
			return &b[at + 1];
		at += 1 + ((b[at] >> 16) + 3) / 4;
	}
	return NULL;
}

static uint64_t
statistic(size_t len, uint16_t code)
{
	const uint32_t *b = block(len, 5, 0);
	const void *v;
	uint64_t n;

	CU_ASSERT_PTR_NOT_NULL_FATAL(b);
	v = option(b, 5, code);
	CU_ASSERT_PTR_NOT_NULL_FATAL(v);
	memcpy(&n, v, sizeof(n));
	return n;
}

static uint64_t
time_of(const uint32_t *b)
{
	return (uint64_t)b[3] << 32 | b[4];
}

static void
check_frame(size_t len, uint32_t nb, uint32_t dst, uint32_t src, uint32_t id, uint32_t direction)
{
	const uint32_t *b = block(len, 6, nb);
	const uint32_t *flags;
	uint8_t want[60];

	CU_ASSERT_PTR_NOT_NULL_FATAL(b);
	dpr_eth(want, dst, src, sizeof(want), id);
	CU_ASSERT_EQUAL(b[5], sizeof(want));
	CU_ASSERT_EQUAL(b[6], sizeof(want));
	CU_ASSERT_EQUAL(memcmp(b + 7, want, sizeof(want)), 0);
	flags = option(b, 7 + 15, 2);
	CU_ASSERT_PTR_NOT_NULL_FATAL(flags);
	CU_ASSERT_EQUAL(*flags & 3, direction);
	if (nb > 0)
		CU_ASSERT(time_of(b) >= time_of(block(len, 6, nb - 1)));
}

static void
tcpdump_reads(uint32_t frames)
{
	char cmd[160];
	unsigned int n = 0;
	FILE *p;

	if (system("command -v tcpdump >/dev/null 2>&1") != 0)
		return;
	snprintf(cmd, sizeof(cmd), "tcpdump -nr %s --count 2>/dev/null", path);
	p = popen(cmd, "r");
	CU_ASSERT_PTR_NOT_NULL_FATAL(p);
	CU_ASSERT_EQUAL(fscanf(p, "%u", &n), 1);
	pclose(p);
	CU_ASSERT_EQUAL(n, frames);
}

static void
test_both_directions(void)
{
	struct dp_switch *sw = dp_switch_create("br0", 300, 256, err, sizeof(err));
	struct dpr_north *a = dpr_port("a", sw);
	struct dpr_north *b = dpr_port("b", sw);
	const char *name;
	size_t len;
	uint8_t p[1519];

	dpr_say(a, 0, 1, 1); /* before: not in it */
	dpr_hears(b, 0, 1, 1);
	CU_ASSERT_EQUAL_FATAL(dp_port_capture(a->port, path, err, sizeof(err)), 0);
	CU_ASSERT_EQUAL(dp_port_capture(a->port, path, err, sizeof(err)), -EBUSY);
	dpr_say(a, 0, 1, 2);
	dpr_hears(b, 0, 1, 2);
	dpr_say(b, 1, 2, 3);
	dpr_hears(a, 1, 2, 3);
	/* What the port drops is counted in the file. */
	dpr_eth(p, 1, 2, sizeof(p), 0);
	CU_ASSERT(dpr_send(b, p, sizeof(p), NULL));
	dpr_say(b, 1, 2, 4);
	dpr_hears(a, 1, 2, 4);
	CU_ASSERT_EQUAL(dp_port_capture(a->port, NULL, err, sizeof(err)), 0);
	CU_ASSERT_EQUAL(dp_port_capture(a->port, NULL, err, sizeof(err)), -ENOENT);
	dpr_say(a, 2, 1, 5); /* after */
	dpr_hears(b, 2, 1, 5);
	len = read_file();
	check_frame(len, 0, 0, 1, 2, 1);
	check_frame(len, 1, 1, 2, 3, 2);
	check_frame(len, 2, 1, 2, 4, 2);
	CU_ASSERT_PTR_NULL(block(len, 6, 3));
	CU_ASSERT_PTR_NOT_NULL_FATAL(block(len, 1, 0));
	name = option(block(len, 1, 0), 4, 2);
	CU_ASSERT(name != NULL && strncmp(name, "a", 2) == 0);
	CU_ASSERT_EQUAL(statistic(len, 4), 3); /* passed */
	CU_ASSERT_EQUAL(statistic(len, 5), 1); /* dropped by the port */
	CU_ASSERT_EQUAL(statistic(len, 7), 0); /* lost */
	tcpdump_reads(3);
	dpr_close(a);
	dpr_close(b);
	CU_ASSERT_EQUAL(dp_switch_delete(sw), 0);
}

static void
test_large(void)
{
	struct dp_switch *sw = dp_switch_create("br0", 300, 256, err, sizeof(err));
	struct dpr_north *a = dpr_open("large", 9000, false, false);
	static uint8_t p[9014];
	struct dp_port_stats st;
	size_t len;
	uint32_t i;

	a->port = dp_port_add_venet(&a->dev, sw, err, sizeof(err));
	CU_ASSERT_PTR_NOT_NULL_FATAL(a->port);
	CU_ASSERT_EQUAL_FATAL(dp_port_capture(a->port, path, err, sizeof(err)), 0);
	/* All lengths around the end of an mbuf, where the block's end may not fit. */
	for (i = 0; i < 80; i++) {
		dpr_eth(p, 0, 1, 2000 + i, i);
		CU_ASSERT(DPR_UNTIL(dpr_send(a, p, 2000 + i, NULL)));
	}
	CU_ASSERT(DPR_UNTIL((dpr_send(a, p, 60, NULL))));
	CU_ASSERT(DPR_UNTIL((dp_port_stats(a->port, &st), st.rx_packets == 81)));
	dpr_close(a); /* ends it */
	len = read_file();
	CU_ASSERT_EQUAL(statistic(len, 4), 81);
	CU_ASSERT_EQUAL(statistic(len, 7), 0);
	for (i = 0; i < 80; i++) {
		const uint32_t *b = block(len, 6, i);

		CU_ASSERT_PTR_NOT_NULL_FATAL(b);
		dpr_eth(p, 0, 1, 2000 + i, i);
		CU_ASSERT_EQUAL(b[6], 2000 + i);
		CU_ASSERT(b[5] <= b[6] && b[5] >= b[6] - 64);
		CU_ASSERT_EQUAL(memcmp(b + 7, p, b[5]), 0);
	}
	tcpdump_reads(81);
	CU_ASSERT_EQUAL(dp_switch_delete(sw), 0);
}

static void
test_refused(void)
{
	struct dpr_north *a = dpr_port("a", NULL);
	char other[80];

	snprintf(other, sizeof(other), "%s/none/x", dir);
	CU_ASSERT_EQUAL(dp_port_capture(a->port, other, err, sizeof(err)), -ENOENT);
	CU_ASSERT_EQUAL(dp_port_capture(a->port, "/dev/full", err, sizeof(err)), -EIO);
	CU_ASSERT_EQUAL(dp_port_capture(a->port, path, err, sizeof(err)), 0);
	dpr_close(a);
	tcpdump_reads(0);
}

static int
start(void)
{
	if (mkdtemp(dir) == NULL)
		return 1;
	snprintf(path, sizeof(path), "%s/x.pcapng", dir);
	return dp_plane_start(DP_MODE_ADAPTIVE, 100, err, sizeof(err));
}

static int
stop(void)
{
	dp_plane_stop();
	unlink(path);
	rmdir(dir);
	return rte_mempool_in_use_count(dp_plane_pool(-1)) != 0;
}

int
main(int argc, char **argv)
{
	static const struct cu_test tests[] = {
		{"both directions, drops", test_both_directions},
		{"frames over several mbufs", test_large},
		{"what cannot be captured", test_refused},
		{NULL, NULL},
	};
	int ret;

	(void)argc;
	ret = dpr_eal(argv[0]);
	return ret != 0 ? ret : cu_run("vbus-dp capture", tests, start, stop);
}
