/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * vbusctl trace: what becomes of one in so many frames that come in by a device or uplink, a line each.
 * vbus-dp ends a trace that nobody reads, so it does not outlive this process for long.
 */

#include "ctl.h"

#include <arpa/inet.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define LOOK_NS	    50000000
#define SECONDS_MAX 86400
#define EVERY_MAX   1000000000
#define HEAD_MAX    128u

static atomic_bool interrupted;

static void
on_signal(int sig)
{
	(void)sig;
	atomic_store(&interrupted, true);
}

/* ---- a frame ----------------------------------------------------------------------------------- */

static size_t
unhex(const char *hex, uint8_t *out)
{
	unsigned int byte;
	size_t n = 0;

	for (; hex != NULL && n < HEAD_MAX && sscanf(hex, "%2x", &byte) == 1 && hex[1] != '\0';
		hex += 2)
		out[n++] = (uint8_t)byte;
	return n;
}

static unsigned int
word(const uint8_t *p)
{
	return (unsigned int)p[0] << 8 | p[1];
}

/* Behind the addresses of an IP packet. */
static void
print_l4(const uint8_t *p, size_t n, unsigned int proto)
{
	const char *name = proto == 6 ? "tcp" : proto == 17 ? "udp" : NULL;

	if (name != NULL && n >= 4)
		printf(" %s %u > %u", name, word(p), word(p + 2));
	else if (name != NULL)
		printf(" %s", name);
	else if (proto == 1 || proto == 58)
		printf(" icmp");
	else
		printf(" protocol %u", proto);
}

static void
print_ip(const uint8_t *p, size_t n, unsigned int type)
{
	char from[INET6_ADDRSTRLEN], to[INET6_ADDRSTRLEN];
	size_t len;

	if (type == 0x0800 && n >= 20) {
		inet_ntop(AF_INET, p + 12, from, sizeof(from));
		inet_ntop(AF_INET, p + 16, to, sizeof(to));
		len = (size_t)(p[0] & 15) * 4;
		printf(" %s > %s", from, to);
		if (len >= 20)
			print_l4(p + len, n > len ? n - len : 0, p[9]);
	} else if (type == 0x86dd && n >= 40) {
		inet_ntop(AF_INET6, p + 8, from, sizeof(from));
		inet_ntop(AF_INET6, p + 24, to, sizeof(to));
		printf(" %s > %s", from, to);
		print_l4(p + 40, n - 40, p[6]);
	} else if (type == 0x0806) {
		printf(" arp");
	} else {
		printf(" type 0x%04x", type);
	}
}

static void
print_head(const char *hex)
{
	uint8_t h[HEAD_MAX + 64] = {0}; /* what is read behind the end is zero */
	size_t n = unhex(hex, h), at = 12;

	if (n < 14)
		return;
	printf("%02x:%02x:%02x:%02x:%02x:%02x > %02x:%02x:%02x:%02x:%02x:%02x", h[6], h[7], h[8],
		h[9], h[10], h[11], h[0], h[1], h[2], h[3], h[4], h[5]);
	for (; (word(h + at) == 0x8100 || word(h + at) == 0x88a8) && at + 6 <= n; at += 4)
		printf(" vlan %u", word(h + at + 2) & 0xfff);
	print_ip(h + at + 2, n - at - 2, word(h + at));
}

static void
print_verdict(const char *verdict, const char *to)
{
	static const struct {
		const char *verdict, *text;
	} texts[] = {
		{"forward", "to %s"},
		{"patch", "by patch to %s"},
		{"flood-group", "to all: group address"},
		{"flood-unknown", "to all: address not learned"},
		{"drop-same-port", "dropped: its address is on this side"},
		{"drop-no-switch", "dropped: on no switch"},
		{"drop-down", "dropped: %s has no carrier"},
		{"drop-mtu", "dropped: too long for %s"},
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		const char *s = strstr(texts[i].text, "%s");

		if (strcmp(verdict, texts[i].verdict) != 0)
			continue;
		if (s == NULL)
			puts(texts[i].text);
		else
			printf("%.*s%s%s\n", (int)(s - texts[i].text), texts[i].text, to, s + 2);
		return;
	}
	printf("%s %s\n", verdict, to); /* a newer vbus-dp */
}

static const char *
text_of(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s != NULL ? s : "";
}

static void
print_frame(const json_t *f)
{
	json_int_t us = json_integer_value(json_object_get(f, "microseconds"));

	printf("%4" JSON_INTEGER_FORMAT ".%06" JSON_INTEGER_FORMAT " %5" JSON_INTEGER_FORMAT " ",
		us / 1000000, us % 1000000, json_integer_value(json_object_get(f, "length")));
	print_head(text_of(f, "head"));
	printf("  -> ");
	print_verdict(text_of(f, "verdict"), text_of(f, "to"));
}

/* ---- the command ------------------------------------------------------------------------------- */

struct limits {
	json_int_t every, count, seconds;
};

/* What there is. @return false: no more; *@p status */
static bool
take(const char *device, struct limits *left, json_int_t *lost, int *status)
{
	json_t *result = ctl_call("trace.read", json_pack("{s:s}", "device", device)), *f;
	size_t i;

	if (result == NULL) {
		*status = ctl_status;
		return false;
	}
	*lost = json_integer_value(json_object_get(result, "lost"));
	json_array_foreach(json_object_get(result, "frames"), i, f)
	{
		if (ctl_options.json) {
			json_dumpf(f, stdout, JSON_COMPACT);
			putchar('\n');
		} else {
			print_frame(f);
		}
		if (left->count != 0 && --left->count == 0) {
			json_decref(result);
			return false;
		}
	}
	fflush(stdout);
	json_decref(result);
	return true;
}

static int
run(const char *device, struct limits *left)
{
	const struct sigaction sa = {.sa_handler = on_signal};
	const struct timespec pause = {.tv_nsec = LOOK_NS};
	struct timespec now;
	json_int_t lost = 0;
	int status = CTL_OK;
	time_t end;
	json_t *o;

	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	o = ctl_call(
		"trace.start", json_pack("{s:s, s:I}", "device", device, "every", left->every));
	if (o == NULL)
		return ctl_status;
	json_decref(o);
	clock_gettime(CLOCK_MONOTONIC, &now);
	end = now.tv_sec + (time_t)left->seconds;
	while (take(device, left, &lost, &status) && !atomic_load(&interrupted)) {
		clock_gettime(CLOCK_MONOTONIC, &now);
		if (left->seconds != 0 && now.tv_sec >= end)
			break;
		nanosleep(&pause, NULL);
	}
	if (status != CTL_OK)
		return status;
	json_decref(ctl_call("trace.stop", json_pack("{s:s}", "device", device)));
	if (lost != 0)
		fprintf(stderr,
			"vbusctl: %" JSON_INTEGER_FORMAT
			" frames came too fast to be shown; --every N shows one in N\n",
			lost);
	return CTL_OK;
}

int
ctl_trace(const struct ctl_command *c, int argc, char **argv)
{
	struct limits l = {.every = 1};
	const char *device = NULL;

	for (int i = 0; i < argc; i++) {
		const char *value = i + 1 < argc ? argv[i + 1] : NULL;
		json_int_t *out = NULL, max = INT64_MAX;

		if (strcmp(argv[i], "--every") == 0) {
			out = &l.every;
			max = EVERY_MAX;
		} else if (strcmp(argv[i], "--count") == 0) {
			out = &l.count;
		} else if (strcmp(argv[i], "--seconds") == 0) {
			out = &l.seconds;
			max = SECONDS_MAX;
		} else if (argv[i][0] == '-' || device != NULL) {
			return ctl_usage(c, "'%s': not understood", argv[i]);
		} else {
			device = argv[i];
			continue;
		}
		if (!ctl_number(argv[i++], value, max, out))
			return CTL_USAGE;
	}
	if (device == NULL)
		return ctl_usage(c, "needs DEVICE");
	return run(device, &l);
}
