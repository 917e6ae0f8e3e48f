/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * Lines that are anything: random bytes, and good requests with a few bytes changed. Each answer is
 * JSON-RPC, and nothing breaks. The seed is printed; VBUS_SEED repeats a run.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../core/cu_run.h"
#include "dp_loop.h"
#include "dp_rpc_internal.h"
#include "straw.h"

#define ROUNDS	  200000u
#define LINE_SIZE 2048u

static uint64_t state;

static uint32_t
rnd(uint32_t below)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (uint32_t)((state >> 32) % below);
}

static const char *const corpus[] = {
	"{\"jsonrpc\":\"2.0\",\"method\":\"bus.create\",\"id\":1,\"params\":{\"name\":\"b\","
	"\"connector\":\"null\",\"devices\":[\"d\"]}}",
	"{\"jsonrpc\":\"2.0\",\"method\":\"device.create\",\"id\":\"x\",\"params\":{\"name\":\"d\","
	"\"class\":\"venet\",\"mtu\":1500,\"mac\":\"02:00:00:00:00:01\",\"switch\":\"s\"}}",
	"{\"jsonrpc\":\"2.0\",\"method\":\"switch.create\",\"id\":3,\"params\":{\"name\":\"s\","
	"\"ports\":[\"p\",\"q\"],\"ageing\":300,\"size\":65536}}",
	"{\"jsonrpc\":\"2.0\",\"method\":\"device.attach\",\"params\":{\"name\":\"d\",\"bus\":"
	"\"b\"}}",
	"{\"jsonrpc\":\"2.0\",\"method\":\"device.set\",\"id\":4,\"params\":{\"name\":\"d\","
	"\"switch\":null,\"mtu\":9000}}",
	"{\"jsonrpc\":\"2.0\",\"method\":\"device.stats\",\"id\":5,\"params\":{\"limit\":3}}",
	"{\"jsonrpc\":\"2.0\",\"method\":\"device.list\",\"id\":5,\"params\":{\"offset\":1}}",
	"{\"jsonrpc\":\"2.0\",\"method\":\"switch.fdb\",\"id\":6,\"params\":{\"name\":\"s\"}}",
	"{\"jsonrpc\":\"2.0\",\"method\":\"capture.start\",\"id\":7,\"params\":{\"device\":\"d\","
	"\"file\":\"/x\",\"count\":5,\"seconds\":1}}",
	"{\"jsonrpc\":\"2.0\",\"method\":\"config.set\",\"id\":4,\"params\":{\"mode\":"
	"\"busy\",\"idle\":9,\"control\":null}}",
	"{\"jsonrpc\":\"2.0\",\"method\":\"config.save\",\"id\":8,\"params\":{\"file\":\"/x\"}}",
	"{\"jsonrpc\":\"2.0\",\"method\":\"metrics\",\"id\":9,\"params\":{\"offset\":4294967296}}",
	"{\"jsonrpc\":\"2.0\",\"method\":\"device.delete\",\"id\":9,\"params\":{\"name\":\"d\"}}",
	"{\"jsonrpc\":\"2.0\",\"method\":\"switch.delete\",\"id\":9,\"params\":{\"name\":\"s\"}}",
	"[{\"jsonrpc\":\"2.0\",\"method\":\"bus.delete\",\"id\":1,\"params\":{\"name\":\"b\"}},"
	"{\"jsonrpc\":\"2.0\",\"method\":\"lcore.list\",\"id\":2}]",
};
#define NB_CORPUS (sizeof(corpus) / sizeof(corpus[0]))

static size_t
make(char *line)
{
	static const char *const words[] = {"null", "[", "]", "{", "}", "\"", "-1", "1e5", "true",
		"\\u0000", "\\ud800", "9223372036854775808", "\xc3", "\x80", ",", ":", "\"\":"};
	const char *from = corpus[rnd(NB_CORPUS)], *word;
	size_t len = strlen(from), at, n;
	uint32_t i;

	if (rnd(8) == 0) {
		len = rnd(256);
		for (at = 0; at < len; at++)
			line[at] = (char)rnd(256);
		return len;
	}
	memcpy(line, from, len);
	for (i = rnd(5); i != 0; i--) {
		at = rnd((uint32_t)len);
		switch (rnd(5)) {
		case 0: /* another byte */
			line[at] = (char)rnd(256);
			break;
		case 1: /* a piece out */
			n = rnd((uint32_t)(len - at)) % 20;
			memmove(line + at, line + at + n, len - at - n);
			len -= n;
			break;
		case 2: /* a word over it */
			word = words[rnd(sizeof(words) / sizeof(words[0]))];
			n = strlen(word) < len - at ? strlen(word) : len - at;
			memcpy(line + at, word, n);
			break;
		case 3: /* a piece twice */
			n = rnd((uint32_t)(len - at)) % 40;
			if (len + n > LINE_SIZE)
				break;
			memmove(line + at + n, line + at, len - at);
			len += n;
			break;
		default: /* another one's beginning */
			from = corpus[rnd(NB_CORPUS)];
			n = strlen(from) < at ? strlen(from) : at;
			memcpy(line, from, n);
			break;
		}
		if (len == 0)
			break;
	}
	return len;
}

static bool
is_answer(const json_t *a)
{
	const json_t *e = json_object_get(a, "error"), *r = json_object_get(a, "result");

	return json_is_object(a) && (e == NULL) != (r == NULL) &&
	       json_object_get(a, "id") != NULL &&
	       (e == NULL || (json_is_integer(json_object_get(e, "code")) &&
				     json_is_string(json_object_get(e, "message"))));
}

static void
check(const char *line, size_t len)
{
	size_t out_len = 0, i;
	char *out = dp_rpc_answer(line, len, &out_len);
	json_t *a, *one;
	bool ok;

	if (out == NULL)
		return;
	a = json_loadb(out, out_len, 0, NULL);
	ok = a != NULL && out_len <= DP_RPC_OUT_MAX && out[out_len - 1] == '\n' &&
	     memchr(out, '\n', out_len - 1) == NULL;
	if (json_is_array(a)) {
		json_array_foreach(a, i, one) ok = ok && is_answer(one);
	} else {
		ok = ok && is_answer(a);
	}
	if (!ok)
		printf("\n    line: %.*s\n    answer: %.*s\n", (int)len, line, (int)out_len, out);
	CU_ASSERT_FATAL(ok);
	json_decref(a);
	free(out);
}

static void
test_wild(void)
{
	char *buf = malloc(LINE_SIZE + 64), *line;
	uint32_t i;
	size_t len;

	for (i = 0; i < ROUNDS; i++) {
		len = make(buf);
		/* A block of its own: what is read behind the line is seen. */
		line = malloc(len + (len == 0));
		memcpy(line, buf, len);
		check(line, len);
		free(line);
	}
	free(buf);
	printf("(%u changes) ", straw_nb_changes);
	CU_ASSERT(straw_nb_changes > 100); /* it came to the methods */
	dp_rpc_capture_sweep(true);
}

static void
test_deep(void)
{
	char *line = malloc(DP_RPC_IN_MAX);
	size_t i;

	memset(line, '[', DP_RPC_IN_MAX);
	check(line, DP_RPC_IN_MAX);
	for (i = 0; i + 5 < DP_RPC_IN_MAX; i += 5)
		memcpy(line + i, "{\"a\":", 5);
	check(line, i);
	memset(line, '[', 1000);
	memset(line + 1000, ']', 1000);
	check(line, 2000);
	free(line);
}

static int
init(void)
{
	const char *seed = getenv("VBUS_SEED");
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	state = seed != NULL ? strtoull(seed, NULL, 0) : (uint64_t)ts.tv_nsec * 2654435761u + 1;
	printf("\n  VBUS_SEED=%llu", (unsigned long long)state);
	straw_init();
	return dp_loop_init();
}

static int
cleanup(void)
{
	dp_loop_fini();
	straw_fini();
	return 0;
}

int
main(void)
{
	static const struct cu_test tests[] = {
		{"deep nesting", test_deep},
		{"anything", test_wild},
		{NULL, NULL},
	};

	return cu_run("dp_rpc wild", tests, init, cleanup);
}
