/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * The look at a text before libconfuse gets it: comments become blanks and nothing else moves.
 */

#include <errno.h>

#include "conf_help.h"
#include "../core/cu_run.h"

static const struct {
	const char *in, *out;
} good[] = {
	{"", ""},
	{"a # b\nc", "a    \nc"},
	{"a// b\nc", "a// b\nc"},
	{"a // b\nc", "a     \nc"},
	{"a=// b", "a=    "},
	{"/* b\n*/c", "    \n  c"},
	{"/***/c", "     c"},
	{"/**/ /* */c", "          c"},
	{"x = /run//y", "x = /run//y"},
	{"'# // /* {' {}", "'# // /* {' {}"},
	{"\"a\\\"#\" #", "\"a\\\"#\"  "},
	{"'a\\'#' #", "'a\\'#'  "},
	{"\"${HOME}#\"", "\"${HOME}#\""},
	{"a\r\nb", "a \nb"},
};

static const struct {
	const char *in;
	uint32_t line;
	const char *why;
} bad[] = {
	{"a\n/* b\n", 2, "comment"},
	{"/*/", 1, "comment"},
	{"a\n'b\n'", 2, "closed"},
	{"\"", 1, "closed"},
	{"\"\\9\"", 1, "\\"},
	{"'\\", 1, "\\"},
	{"\"${HOME\"", 1, "${"},
	{"\"${HOME\n}\"", 1, "${"},
	{"a = ${HOME}", 1, "${"},
	{"a'b'", 1, "quote"},
	{"a|b = 1", 1, "one of"},
	{"'a|b' = 1", 1, "|"},
	{"a\n(b)", 2, "one of"},
	{"a\n\tb\001", 2, "control"},
	{"'\177'", 1, "control"},
	{"{\n{\n}", 1, "not closed"},
	{"{{{{{{{{\n{", 2, "too many"},
	{"{}\n}", 2, "without"},
};

static void
test_good(void)
{
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		char *text = strdup(good[i].in), why[DP_ERR_SIZE] = "";
		uint32_t line;

		CU_ASSERT_EQUAL(dp_conf_scan(text, strlen(text), &line, why, sizeof(why)), 0);
		CU_ASSERT_STRING_EQUAL(text, good[i].out);
		free(text);
	}
}

static void
test_bad(void)
{
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char *text = strdup(bad[i].in), why[DP_ERR_SIZE] = "";
		uint32_t line = 0;

		CU_ASSERT_EQUAL(dp_conf_scan(text, strlen(text), &line, why, sizeof(why)), -EINVAL);
		CU_ASSERT_EQUAL(line, bad[i].line);
		if (strstr(why, bad[i].why) == NULL)
			printf("\n  %s gives '%s'\n", bad[i].in, why);
		CU_ASSERT_PTR_NOT_NULL(strstr(why, bad[i].why));
		free(text);
	}
}

static void
test_nul(void)
{
	char text[] = "a\n\0b", why[DP_ERR_SIZE];
	uint32_t line;

	CU_ASSERT_EQUAL(dp_conf_scan(text, 4, &line, why, sizeof(why)), -EINVAL);
	CU_ASSERT_EQUAL(line, 2);
}

/* Whatever comes: no error is a crash, and what passes has as many lines as before. */
static void
test_noise(void)
{
	static const char set[] = "ab {}=,#/*'\"\\\n$|\t";
	uint32_t seed = 1;

	for (int round = 0; round < 20000; round++) {
		char text[24], why[DP_ERR_SIZE];
		uint32_t line, before = 1, after = 1;
		size_t len;

		seed = seed * 1664525 + 1013904223;
		len = seed >> 27;
		len = len < sizeof(text) ? len : sizeof(text) - 1;
		for (size_t i = 0; i < len; i++) {
			seed = seed * 1664525 + 1013904223;
			text[i] = set[(seed >> 16) % (sizeof(set) - 1)];
			before += text[i] == '\n';
		}
		text[len] = '\0';
		if (dp_conf_scan(text, len, &line, why, sizeof(why)) == 0) {
			for (size_t i = 0; i < len; i++)
				after += text[i] == '\n';
			CU_ASSERT_EQUAL(after, before);
			CU_ASSERT_EQUAL(line, before);
		} else {
			CU_ASSERT_TRUE(line >= 1 && line <= before);
		}
	}
}

/* The same through libconfuse: never a crash, and always a line in the error. */
static void
test_noise_load(void)
{
	static const char *const words[] = {"bus ", "device ", "switch ", "a", "b ", "{", "}", "=",
		",", " class", "venet ", "\n", "'x'", "patch", "devices", "ports", "socket",
		"/tmp/x ", "\"", "mtu=", "99 ", "# c\n", "mode=", "busy "};
	uint32_t seed = 7;

	for (int round = 0; round < 20000; round++) {
		char text[256] = "", err[DP_ERR_SIZE];
		struct dp_conf c;

		for (int i = 0; i < 14; i++) {
			seed = seed * 1664525 + 1013904223;
			strcat(text, words[(seed >> 16) % (sizeof(words) / sizeof(words[0]))]);
		}
		if (load_string(&c, text, err) != 0)
			CU_ASSERT_TRUE(
				strncmp(err, "F:", 2) == 0 && err[2] >= '1' && err[2] <= '9');
		dp_conf_free(&c);
	}
}

static const struct cu_test tests[] = {
	{"comments become blanks", test_good},
	{"what libconfuse would swallow", test_bad},
	{"a NUL", test_nul},
	{"noise", test_noise},
	{"noise of words, parsed", test_noise_load},
	{NULL, NULL},
};

int
main(void)
{
	return cu_run("configuration text", tests, NULL, NULL);
}
