/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * The OpenMetrics text: its grammar as far as we use it, and its parts.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../core/cu_run.h"
#include "dp_metrics.h"
#include "straw.h"

/* All parts; the number of them. */
static char *
whole(unsigned int *nb_parts)
{
	char *all = strdup(""), *text;
	uint64_t at = 0, next;
	size_t len = 0;

	*nb_parts = 0;
	do {
		CU_ASSERT_EQUAL_FATAL(dp_metrics_text(at, &text, &next), 0);
		CU_ASSERT(strlen(text) < DP_METRICS_PART + 65536);
		all = realloc(all, len + strlen(text) + 1);
		strcpy(all + len, text);
		len += strlen(text);
		free(text);
		CU_ASSERT(next == 0 || next > at);
		at = next;
		++*nb_parts;
	} while (at != 0 && *nb_parts < 1000);
	return all;
}

/* Every family once, with TYPE and HELP first; samples belong to the family above them. */
static unsigned int
check(char *text)
{
	char family[128] = "", kind[16] = "", *line, *save = NULL, *seen = strdup(" ");
	unsigned int nb = 0;
	bool eof = false;
	size_t len;

	CU_ASSERT_EQUAL(text[strlen(text) - 1], '\n');
	for (line = strtok_r(text, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save)) {
		CU_ASSERT_FALSE(eof);
		if (strcmp(line, "# EOF") == 0) {
			eof = true;
		} else if (strncmp(line, "# TYPE ", 7) == 0) {
			char word[140];

			CU_ASSERT_EQUAL_FATAL(sscanf(line, "# TYPE %127s %15s", family, kind), 2);
			snprintf(word, sizeof(word), " %s ", family);
			CU_ASSERT_PTR_NULL(strstr(seen, word));
			seen = realloc(seen, strlen(seen) + strlen(word) + 1);
			strcat(seen, word + 1);
		} else if (strncmp(line, "# HELP ", 7) == 0) {
			CU_ASSERT_EQUAL(strncmp(line + 7, family, strlen(family)), 0);
		} else {
			len = strcspn(line, "{ ");
			CU_ASSERT_EQUAL(strncmp(line, family, strlen(family)), 0);
			if (strcmp(kind, "counter") == 0)
				CU_ASSERT_EQUAL(strncmp(line + len - 6, "_total", 6), 0);
			CU_ASSERT(strrchr(line, ' ')[1] >= '0' && strrchr(line, ' ')[1] <= '9');
			nb++;
		}
	}
	CU_ASSERT_TRUE(eof);
	free(seen);
	return nb;
}

static void
test_small(void)
{
	struct dp_switch_conf *s;
	unsigned int parts;
	char *text;

	straw_many(2);
	s = dp_conf_switch(&straw_conf, "br0");
	dp_names_add(&s->ports, "a\"b\\c");
	straw_frames = 42;
	text = whole(&parts);
	CU_ASSERT_EQUAL(parts, 1);
	CU_ASSERT_PTR_NOT_NULL(strstr(text,
		"\nvbus_port_rx_packets_total{port=\"dev0\",switch=\"br0\",lcore=\"7\"} 42\n"));
	CU_ASSERT_PTR_NOT_NULL(
		strstr(text, "{port=\"a\\\"b\\\\c\",switch=\"br0\",lcore=\"7\"} 42\n"));
	CU_ASSERT_PTR_NOT_NULL(strstr(text, "} 18446744073709551615\n"));
	CU_ASSERT_PTR_NOT_NULL(strstr(text, "\nvbus_switch_learned_total{switch=\"br0\"} 5\n"));
	CU_ASSERT_PTR_NOT_NULL(strstr(text, "\nvbus_lcore_busy_cycles_total{lcore=\"7\"} 9\n"));
	CU_ASSERT_PTR_NOT_NULL(strstr(text, "\nvbus_control_requests_total "));
	CU_ASSERT(check(text) > 20);
	free(text);
	dp_conf_free(&straw_conf);
}

static void
test_many(void)
{
	unsigned int parts, few, many;
	char *text;

	straw_many(1);
	text = whole(&parts);
	few = check(text);
	free(text);
	dp_conf_free(&straw_conf);
	straw_many(4000);
	text = whole(&parts);
	CU_ASSERT(parts > 5);
	many = check(text);
	/* A row more of each family of ports, for each. */
	CU_ASSERT_EQUAL((many - few) % 3999, 0);
	CU_ASSERT((many - few) / 3999 >= 10);
	free(text);
	dp_conf_free(&straw_conf);
}

/* Any offset: an answer or -ERANGE. */
static void
test_offsets(void)
{
	char *text;
	uint64_t next, i;
	int ret;

	straw_many(3);
	for (i = 0; i < 2000; i++) {
		ret = dp_metrics_text(
			(i / 4) << 32 | (i % 4 == 3 ? UINT32_MAX : i % 4), &text, &next);
		CU_ASSERT(ret == 0 || ret == -ERANGE);
		if (ret == 0)
			free(text);
	}
	CU_ASSERT_EQUAL(dp_metrics_text(UINT64_MAX, &text, &next), -ERANGE);
	dp_conf_free(&straw_conf);
}

static int
init(void)
{
	straw_init();
	return 0;
}

static int
cleanup(void)
{
	straw_fini();
	return 0;
}

int
main(void)
{
	static const struct cu_test tests[] = {
		{"names, labels, values", test_small},
		{"parts", test_many},
		{"offsets", test_offsets},
		{NULL, NULL},
	};

	return cu_run("dp_rpc metrics", tests, init, cleanup);
}
