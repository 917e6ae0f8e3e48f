/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * Lines of JSON-RPC that are anything, over the state of straw of the unit tests: each answer is
 * one line of JSON-RPC, and what has come of the state can be written and read again.
 */

#include <stdio.h>
#include <stdlib.h>

#include "../unit/dp_rpc/straw.h"
#include "dp_loop.h"
#include "dp_rpc_internal.h"
#include "fuzz.h"

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	return dp_loop_init();
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
check_answer(const char *out, size_t len)
{
	json_t *a = json_loadb(out, len, 0, NULL), *one;
	size_t i;

	FUZZ_CHECK(a != NULL && len <= DP_RPC_OUT_MAX && out[len - 1] == '\n');
	FUZZ_CHECK(memchr(out, '\n', len - 1) == NULL);
	if (json_is_array(a)) {
		json_array_foreach(a, i, one) FUZZ_CHECK(is_answer(one));
	} else {
		FUZZ_CHECK(is_answer(a));
	}
	json_decref(a);
}

static void
one_line(const uint8_t *line, size_t len)
{
	char *copy = malloc(len + (len == 0)), *out;
	size_t out_len = 0;

	if (copy == NULL)
		abort();
	memcpy(copy, line, len);
	out = dp_rpc_answer(copy, len, &out_len);
	if (out != NULL)
		check_answer(out, out_len);
	free(out);
	free(copy);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *end = data + size, *nl;

	straw_init();
	straw_many(2);
	for (; data < end; data = nl + 1) {
		nl = memchr(data, '\n', (size_t)(end - data));
		if (nl == NULL)
			nl = end;
		one_line(data, (size_t)(nl - data));
		if (nl == end)
			break;
	}
	dp_rpc_capture_sweep(true);
	straw_fini();
	return 0;
}
