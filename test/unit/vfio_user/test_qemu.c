/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * What clients say, byte by byte: the conversation of QEMU from start to end, and the one of a
 * strictly synchronous client. Nothing of our own layouts is used here; the bytes are the layouts.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vfu_rig.h"

/* Descriptors of a step: none, memory, eventfds. */
enum fd_kind {
	NONE,
	MEM,
	EV
};

/*
 * One message and the reply. Hexadecimal digits, blanks are ignored. "=TEXT" in a request: its
 * characters and a NUL, to the end. The size of the message is filled in (write 00000000). A reply
 * of NULL: there must be none. After the reply's bytes, `zeros` bytes of 0 follow.
 */
struct step {
	const char *request;
	const char *reply;
	uint32_t zeros;
	enum fd_kind kind;
	uint32_t nb_fds;
};

static struct rig rig;
static int fds_before;
static int mem_fd, ev_fds[253];

static uint32_t
unhex(const char *text, uint8_t *out)
{
	uint32_t n = 0;
	int half = -1;

	for (; *text != '\0'; text++) {
		int digit;

		if (*text == ' ')
			continue;
		if (*text == '=') {
			memcpy(out + n, text + 1, strlen(text));
			return n + (uint32_t)strlen(text);
		}
		digit = *text <= '9' ? *text - '0' : *text - 'a' + 10;
		if (half < 0) {
			half = digit;
		} else {
			out[n++] = (uint8_t)(half << 4 | digit);
			half = -1;
		}
	}
	CU_ASSERT(half < 0);
	return n;
}

static void
send_step(const struct step *s)
{
	static uint8_t buf[VFU_MSG_MAX];
	uint32_t len = unhex(s->request, buf);

	memcpy(buf + 4, &len, 4);
	raw_send(rig.raw, buf, len, s->kind == MEM ? &mem_fd : ev_fds, s->nb_fds);
}

static void
check_reply(const struct step *s)
{
	static uint8_t want[VFU_MSG_MAX], got[VFU_MSG_MAX];
	uint32_t len;
	ssize_t n;

	if (s->reply == NULL)
		return;
	memset(want, 0, sizeof(want));
	len = unhex(s->reply, want);
	if (s->zeros == UINT32_MAX) {
		/* Text follows, to the end of what is there. */
		n = recv(rig.raw, got, sizeof(got), MSG_DONTWAIT);
		CU_ASSERT(n > (ssize_t)len && got[n - 1] == '\0');
		CU_ASSERT(got[4] == (uint8_t)n);
		want[4] = got[4];
		CU_ASSERT(memcmp(got, want, len) == 0);
		return;
	}
	len += s->zeros;
	memcpy(want + 4, &len, 4);
	n = recv(rig.raw, got, len, MSG_DONTWAIT);
	CU_ASSERT(n == (ssize_t)len);
	if (n != (ssize_t)len || memcmp(got, want, len) != 0) {
		CU_FAIL("reply differs");
		fprintf(stderr, "request %s\n", s->request);
	}
}

static void
run(const struct step *steps, size_t nb)
{
	uint8_t more;

	for (size_t i = 0; i < nb; i++) {
		send_step(&steps[i]);
		CU_ASSERT(vfu_session_process(rig.s, 8) == 1);
		check_reply(&steps[i]);
		CU_ASSERT(recv(rig.raw, &more, 1, MSG_DONTWAIT) == -1 && errno == EAGAIN);
	}
}

/* Everything is sent before any reply is read. */
static void
run_pipelined(const struct step *steps, size_t nb)
{
	for (size_t i = 0; i < nb; i++)
		send_step(&steps[i]);
	CU_ASSERT(vfu_session_process(rig.s, 1000) == (int)nb);
	for (size_t i = 0; i < nb; i++)
		check_reply(&steps[i]);
}

#define RUN(steps)	     run(steps, sizeof(steps) / sizeof((steps)[0]))
#define RUN_PIPELINED(steps) run_pipelined(steps, sizeof(steps) / sizeof((steps)[0]))

static void
setup(void)
{
	fds_before = count_fds();
	rig_open(&rig);
	mem_fd = make_memfd(1 << 20);
	for (int i = 0; i < 253; i++)
		ev_fds[i] = make_eventfd();
	rig.dev.irq_count[VFU_PCI_MSIX] = 253;
}

static void
teardown(void)
{
	/* Shutdown: no unmaps, no disabling, the socket just closes. */
	close(rig.raw);
	rig.raw = -1;
	CU_ASSERT(vfu_session_process(rig.s, 8) == -ECONNRESET);
	CU_ASSERT(rig.dev.nb_closed == 1);
	rig_close(&rig);
	close(mem_fd);
	for (int i = 0; i < 253; i++)
		close(ev_fds[i]);
	CU_ASSERT(count_fds() == fds_before);
}

/* Realize: all before the guest runs. */
static const struct step hello[] = {
	{"0000 0100 00000000 00000000 00000000  0000 0000"
	 "={\"capabilities\": {\"pgsizes\": 4096, \"max_msg_fds\": 16, \"max_dma_maps\": "
	 "65535, \"max_data_xfer_size\": 1048576, \"migration\": {\"max_bitmap_size\": "
	 "268435456, \"pgsize\": 4096}, \"write_multiple\": true}}",
		"0000 0100 00000000 01000000 00000000  0000 0000 7b22", UINT32_MAX, NONE, 0},
};

/* RAM on both sides of the hole with descriptors, the BIOS without; replies at the end. */
static const struct step maps[] = {
	{"0100 0200 00000000 00000000 00000000 20000000 03000000 0000000000000000"
	 "0000000000000000 00000a0000000000",
		"0100 0200 00000000 01000000 00000000", 0, MEM, 1},
	{"0200 0200 00000000 00000000 00000000 20000000 03000000 00000c0000000000"
	 "00000c0000000000 0000f41f00000000",
		"0200 0200 00000000 01000000 00000000", 0, MEM, 1},
	{"0300 0200 00000000 00000000 00000000 20000000 01000000 0000000000000000"
	 "0000fcff00000000 0000040000000000",
		"0300 0200 00000000 01000000 00000000", 0, NONE, 0},
};

#define REGION_ASK(id, index)                                          \
	id " 0500 00000000 00000000 00000000 20000000 00000000 " index \
	   " 00000000 0000000000000000 0000000000000000"
#define REGION_IS(id, index, flags, size)                                                 \
	id " 0500 00000000 01000000 00000000 20000000 " flags " " index " 00000000 " size \
	   " 0000000000000000"

static const struct step realize[] = {
	{"0400 0400 00000000 00000000 00000000 10000000 00000000 00000000 00000000",
		"0400 0400 00000000 01000000 00000000 10000000 03000000 09000000"
		"05000000",
		0, NONE, 0},
	{REGION_ASK("0500", "00000000"),
		REGION_IS("0500", "00000000", "03000000", "0010000000000000"), 0, NONE, 0},
	{REGION_ASK("0600", "01000000"),
		REGION_IS("0600", "01000000", "03000000", "2000000000000000"), 0, NONE, 0},
	{REGION_ASK("0700", "02000000"),
		REGION_IS("0700", "02000000", "00000000", "0000000000000000"), 0, NONE, 0},
	{REGION_ASK("0800", "03000000"),
		REGION_IS("0800", "03000000", "00000000", "0000000000000000"), 0, NONE, 0},
	{REGION_ASK("0900", "04000000"),
		REGION_IS("0900", "04000000", "00000000", "0000000000000000"), 0, NONE, 0},
	{REGION_ASK("0a00", "05000000"),
		REGION_IS("0a00", "05000000", "00000000", "0000000000000000"), 0, NONE, 0},
	{REGION_ASK("0b00", "07000000"),
		REGION_IS("0b00", "07000000", "03000000", "0001000000000000"), 0, NONE, 0},
	/* ERR: count 0. */
	{"0c00 0700 00000000 00000000 00000000 10000000 00000000 03000000 00000000",
		"0c00 0700 00000000 01000000 00000000 10000000 01000000 03000000"
		"00000000",
		0, NONE, 0},
	/* Config space in one go; the rig's device answers with 0x07, see the test. */
	{"0e00 0a00 00000000 00000000 00000000 3000000000000000 07000000 04000000 00f8ffff",
		"0e00 0a00 00000000 01000000 00000000 3000000000000000 07000000"
		"04000000",
		0, NONE, 0},
	{"0f00 0900 00000000 00000000 00000000 3000000000000000 07000000 04000000",
		"0f00 0900 00000000 01000000 00000000 3000000000000000 07000000"
		"04000000 07070707",
		0, NONE, 0},
	{"1000 0700 00000000 00000000 00000000 10000000 00000000 02000000 00000000",
		"1000 0700 00000000 01000000 00000000 10000000 01000000 02000000"
		"fd000000",
		0, NONE, 0},
	{"1100 0900 00000000 00000000 00000000 3d00000000000000 07000000 01000000",
		"1100 0900 00000000 01000000 00000000 3d00000000000000 07000000"
		"01000000 07",
		0, NONE, 0},
	/* Reset: command register, RESET, the BARs. */
	{"1200 0900 00000000 00000000 00000000 0400000000000000 07000000 02000000",
		"1200 0900 00000000 01000000 00000000 0400000000000000 07000000"
		"02000000 0707",
		0, NONE, 0},
	{"1300 0a00 00000000 00000000 00000000 0400000000000000 07000000 02000000 0000",
		"1300 0a00 00000000 01000000 00000000 0400000000000000 07000000"
		"02000000",
		0, NONE, 0},
	{"1400 0d00 00000000 00000000 00000000", "1400 0d00 00000000 01000000 00000000", 0, NONE,
		0},
	{"1500 0a00 00000000 00000000 00000000 1000000000000000 07000000 04000000 00000000",
		"1500 0a00 00000000 01000000 00000000 1000000000000000 07000000"
		"04000000",
		0, NONE, 0},
};

/* Firmware: the main block of RAM goes and comes back with other bounds; the ROM BAR is probed. */
static const struct step firmware[] = {
	{"2000 0300 00000000 00000000 00000000 18000000 00000000 00000c0000000000"
	 "0000f41f00000000",
		"2000 0300 00000000 01000000 00000000 18000000 00000000"
		"00000c0000000000 0000f41f00000000",
		0, NONE, 0},
	{"2100 0200 00000000 00000000 00000000 20000000 01000000 00000c0000000000"
	 "00000c0000000000 0080000000000000",
		"2100 0200 00000000 01000000 00000000", 0, MEM, 1},
	/* A range that was never mapped, as large as it can be. */
	{"2200 0300 00000000 00000000 00000000 18000000 00000000 0000000000800000"
	 "0000000000800000",
		"2200 0300 00000000 01000000 00000000 18000000 00000000"
		"0000000000800000 0000000000800000",
		0, NONE, 0},
	{"2300 0300 00000000 00000000 00000000 18000000 00000000 0000f0fe00000000"
	 "00001001ffffffff",
		"2300 0300 00000000 01000000 00000000 18000000 00000000"
		"0000f0fe00000000 00001001ffffffff",
		0, NONE, 0},
	{REGION_ASK("2400", "06000000"),
		REGION_IS("2400", "06000000", "00000000", "0000000000000000"), 0, NONE, 0},
};

/* A driver: a call by posted pieces and a read, the I/O BAR, MSI on and off. */
static const struct step driver[] = {
	{"3000 0a00 00000000 10000000 00000000 0000000000000000 00000000 04000000 78563412", NULL,
		0, NONE, 0},
	{"3100 0a00 00000000 10000000 00000000 0400000000000000 00000000 04000000 10000000", NULL,
		0, NONE, 0},
	{"3200 0a00 00000000 10000000 00000000 0800000000000000 00000000 08000000"
	 "0000000001000000",
		NULL, 0, NONE, 0},
	{"3300 0900 00000000 00000000 00000000 0000000000000000 00000000 04000000",
		"3300 0900 00000000 01000000 00000000 0000000000000000 00000000"
		"04000000 78563412",
		0, NONE, 0},
	{"3400 0a00 00000000 00000000 00000000 0400000000000000 01000000 04000000 00000000",
		"3400 0a00 00000000 01000000 00000000 0400000000000000 01000000"
		"04000000",
		0, NONE, 0},
	/* 200 posted writes in one would look like these two. */
	{"3500 0f00 00000000 10000000 00000000 0200000000000000"
	 "2000000000000000 00000000 04000000 1111111100000000"
	 "2400000000000000 00000000 02000000 2222000000000000",
		NULL, 0, NONE, 0},
	{"3600 0900 00000000 00000000 00000000 2000000000000000 00000000 08000000",
		"3600 0900 00000000 01000000 00000000 2000000000000000 00000000"
		"08000000 1111111122220000",
		0, NONE, 0},
	{"3700 0a00 00000000 00000000 00000000 8200000000000000 07000000 02000000 8100",
		"3700 0a00 00000000 01000000 00000000 8200000000000000 07000000"
		"02000000",
		0, NONE, 0},
	{"3800 0800 00000000 00000000 00000000 14000000 24000000 01000000 00000000"
	 "01000000",
		"3800 0800 00000000 01000000 00000000", 0, EV, 1},
	{"3900 0800 00000000 00000000 00000000 14000000 21000000 01000000 00000000"
	 "00000000",
		"3900 0800 00000000 01000000 00000000", 0, NONE, 0},
	/* MSI-X: vector 0 without a descriptor first, then one by one. */
	{"3a00 0800 00000000 00000000 00000000 14000000 24000000 02000000 00000000"
	 "01000000",
		"3a00 0800 00000000 01000000 00000000", 0, NONE, 0},
	{"3b00 0800 00000000 00000000 00000000 14000000 24000000 02000000 03000000"
	 "01000000",
		"3b00 0800 00000000 01000000 00000000", 0, EV, 1},
	/* INTx: end of interrupt. */
	{"3c00 0800 00000000 00000000 00000000 14000000 11000000 00000000 00000000"
	 "01000000",
		"3c00 0800 00000000 01000000 00000000", 0, NONE, 0},
	/* Not there until migration is. */
	{"ffff 1000 00000000 00000000 00000000 08000000 01000500",
		"ffff 1000 00000000 21000000 19000000", 0, NONE, 0},
};

static void
qemu(void)
{
	static uint8_t got[512];
	static const struct step config = {"0d00 0900 00000000 00000000 00000000 0000000000000000"
					   "07000000 00010000",
		NULL, 0, NONE, 0};

	setup();
	RUN(hello);
	RUN_PIPELINED(maps);
	CU_ASSERT(rig.dev.nb_map == 3 && rig.dev.map_fd == -1 && rig.dev.map.iova == 0xfffc0000);
	send_step(&config);
	CU_ASSERT(vfu_session_process(rig.s, 8) == 1);
	CU_ASSERT(recv(rig.raw, got, sizeof(got), MSG_DONTWAIT) == 288);
	CU_ASSERT(got[0] == 0x0d && got[4] == 0x20 && got[5] == 0x01 && got[32] == 7);
	RUN(realize);
	CU_ASSERT(rig.dev.nb_reset == 1);
	RUN(firmware);
	CU_ASSERT(rig.dev.nb_unmap == 3 && rig.dev.last == 0xffffffffffffffff);
	CU_ASSERT(rig.dev.map_fd >= 0 && rig.dev.map.flags == VFU_DMA_F_READ);
	RUN(driver);
	CU_ASSERT(rig.dev.irqs.action == VFU_IRQ_ACTION_UNMASK);
	CU_ASSERT(rig.state->stats.posted == 4 && rig.state->stats.errors == 1);
	/* The guest reboots: reset comes twice. */
	run(realize + 15, 1);
	run(realize + 15, 1);
	CU_ASSERT(rig.dev.nb_reset == 3);
	teardown();
}

static const struct step sync_hello[] = {
	{"0000 0100 00000000 00000000 00000000  0000 0100"
	 "={\"capabilities\":{\"max_msg_fds\":1,\"max_data_xfer_size\":1048576,"
	 "\"migration\":{\"pgsize\":4096}}}",
		"0000 0100 00000000 01000000 00000000  0000 0100 7b22", UINT32_MAX, NONE, 0},
	/* RESET although nobody has asked for it. */
	{"0100 0d00 00000000 00000000 00000000", "0100 0d00 00000000 01000000 00000000", 0, NONE,
		0},
	/* All regions below num_regions are asked for, VGA too. */
	{REGION_ASK("0200", "06000000"),
		REGION_IS("0200", "06000000", "00000000", "0000000000000000"), 0, NONE, 0},
	{REGION_ASK("0300", "08000000"),
		REGION_IS("0300", "08000000", "00000000", "0000000000000000"), 0, NONE, 0},
	{"0400 0700 00000000 00000000 00000000 10000000 00000000 01000000 00000000",
		"0400 0700 00000000 01000000 00000000 10000000 01000000 01000000"
		"01000000",
		0, NONE, 0},
	/* All vectors at once, in spite of max_msg_fds. */
	{"0500 0800 00000000 00000000 00000000 14000000 24000000 02000000 00000000"
	 "fd000000",
		"0500 0800 00000000 01000000 00000000", 0, EV, 253},
	/* A write, and the 32 bytes that it waits for; outside of the region, too. */
	{"0600 0a00 00000000 00000000 00000000 0000000000000000 00000000 01000000 55",
		"0600 0a00 00000000 01000000 00000000 0000000000000000 00000000"
		"01000000",
		0, NONE, 0},
	{"0700 0a00 00000000 00000000 00000000 0000010000000000 00000000 04000000 55555555",
		"0700 0a00 00000000 01000000 00000000 0000010000000000 00000000"
		"04000000",
		0, NONE, 0},
	{"0800 0900 00000000 00000000 00000000 ff0f000000000000 00000000 04000000",
		"0800 0900 00000000 01000000 00000000 ff0f000000000000 00000000"
		"04000000",
		4, NONE, 0},
};

static void
synchronous_client(void)
{
	setup();
	RUN(sync_hello);
	CU_ASSERT(rig.dev.irqs.nb_fds == 253 && rig.dev.mem[0] == 0x55);
	teardown();
}

int
main(void)
{
	static CU_TestInfo tests[] = {
		{"QEMU", qemu},
		{"synchronous client", synchronous_client},
		CU_TEST_INFO_NULL,
	};
	static CU_SuiteInfo suites[] = {
		{"clients byte by byte", NULL, NULL, NULL, NULL, tests},
		CU_SUITE_INFO_NULL,
	};

	if (CU_initialize_registry() != CUE_SUCCESS || CU_register_suites(suites) != CUE_SUCCESS)
		return 1;
	return rig_run();
}
