/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * A configuration file that is anything. What is taken can be written, and is the same when it is
 * read again; what is refused says why, in one line.
 */

#include <stdio.h>
#include <stdlib.h>

#include "dp_conf.h"
#include "fuzz.h"

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	return 0;
}

static char *
written(const struct dp_conf *c, size_t *len)
{
	char *text = NULL;
	FILE *f = open_memstream(&text, len);

	if (f == NULL)
		abort();
	FUZZ_CHECK(dp_conf_write(c, f) == 0);
	fclose(f);
	return text;
}

static void
round_trip(const struct dp_conf *c)
{
	char err[DP_ERR_SIZE] = "", *one, *two, *copy;
	size_t len = 0, len2 = 0;
	struct dp_conf again;

	one = written(c, &len);
	copy = malloc(len + 1);
	if (copy == NULL)
		abort();
	memcpy(copy, one, len + 1);
	dp_conf_init(&again);
	if (dp_conf_load_text(&again, "W", copy, len, err, sizeof(err)) != 0) {
		fprintf(stderr, "%s\n%s", err, one);
		FUZZ_CHECK(!"what was written can be read");
	}
	two = written(&again, &len2);
	FUZZ_CHECK(len == len2 && memcmp(one, two, len) == 0);
	dp_conf_free(&again);
	free(copy);
	free(one);
	free(two);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char err[DP_ERR_SIZE] = "";
	struct dp_conf c;
	char *text = malloc(size + 1); /* a block of its own: what is read behind it is seen */
	int ret;

	if (text == NULL)
		abort();
	memcpy(text, data, size);
	text[size] = '\0';
	dp_conf_init(&c);
	ret = dp_conf_load_text(&c, "F", text, size, err, sizeof(err));
	FUZZ_CHECK(ret <= 0);
	FUZZ_CHECK((ret != 0) == (err[0] != '\0'));
	FUZZ_CHECK(strchr(err, '\n') == NULL);
	if (ret == 0)
		round_trip(&c);
	dp_conf_free(&c);
	free(text);
	return 0;
}
