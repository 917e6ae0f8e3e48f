/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/* Answers for people: tables. And for programs: JSON. */

#include "ctl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COLUMNS_MAX 24
#define CELL_SIZE   256

const json_t *
ctl_member(const json_t *o, const char *key)
{
	const char *dot = strchr(key, '.');
	char first[64];

	if (dot == NULL)
		return json_object_get(o, key);
	snprintf(first, sizeof(first), "%.*s", (int)(dot - key), key);
	return ctl_member(json_object_get(o, first), dot + 1);
}

static void
join(const json_t *list, char cell[CELL_SIZE])
{
	const char *one;
	size_t i, at = 0;

	for (i = 0; i < json_array_size(list) && at < CELL_SIZE; i++) {
		one = json_string_value(json_array_get(list, i));
		at += (size_t)snprintf(cell + at, CELL_SIZE - at, "%s%s", i != 0 ? "," : "",
			one != NULL ? one : "?");
	}
}

/* @return true: it stands right */
static bool
format(const json_t *v, char cell[CELL_SIZE])
{
	const char *text = json_string_value(v);
	char *at;

	cell[0] = '\0';
	if (text != NULL)
		snprintf(cell, CELL_SIZE, "%s", text);
	else if (json_is_integer(v))
		snprintf(cell, CELL_SIZE, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
	else if (json_is_real(v))
		snprintf(cell, CELL_SIZE, "%.1f", json_real_value(v));
	else if (json_is_boolean(v))
		snprintf(cell, CELL_SIZE, "%s", json_is_true(v) ? "yes" : "no");
	else if (json_is_array(v))
		join(v, cell);
	if (cell[0] == '\0')
		strcpy(cell, "-");
	/* No name steers a terminal. */
	for (at = cell; *at != '\0'; at++)
		if ((unsigned char)*at < 0x20 || *at == 0x7f)
			*at = '?';
	return json_is_number(v);
}

static void
put_cell(const char *cell, int width, bool right, bool last)
{
	if (right)
		printf("%*s", width, cell);
	else
		printf("%-*s", last ? 0 : width, cell);
	fputs(last ? "\n" : "  ", stdout);
}

void
ctl_table(const json_t *list, const struct ctl_column *columns, size_t rows_max)
{
	int width[COLUMNS_MAX] = {0};
	bool right[COLUMNS_MAX] = {false}, r;
	size_t nb = 0, i, c, rows = json_array_size(list);
	char cell[CELL_SIZE];

	while (columns[nb].head != NULL && nb < COLUMNS_MAX)
		nb++;
	if (rows_max != 0 && rows > rows_max)
		rows = rows_max;
	for (c = 0; c < nb; c++) {
		width[c] = (int)strlen(columns[c].head);
		for (i = 0; i < rows; i++) {
			r = format(ctl_member(json_array_get(list, i), columns[c].key), cell);
			right[c] |= r;
			if ((int)strlen(cell) > width[c])
				width[c] = (int)strlen(cell);
		}
	}
	for (c = 0; c < nb; c++)
		put_cell(columns[c].head, width[c], right[c], c == nb - 1);
	for (i = 0; i < rows; i++) {
		for (c = 0; c < nb; c++) {
			format(ctl_member(json_array_get(list, i), columns[c].key), cell);
			put_cell(cell, width[c], right[c], c == nb - 1);
		}
	}
}

void
ctl_print_json(const json_t *o)
{
	json_dumpf(o, stdout, JSON_INDENT(2) | JSON_ENCODE_ANY);
	putchar('\n');
}
