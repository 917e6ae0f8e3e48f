/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * A look at the text of a configuration before libconfuse gets it, for what version 3.3 does not do:
 * it counts the lines of comments twice, takes no comment inside a list, skips characters that it
 * does not know, and takes the end of the file for the end of an open section or string - the latter
 * with its lexer left inside the string, for the next file.
 *
 * Threads: any; no state but the text, which it changes: comments become blanks, lines stay.
 */

#include "dp_conf.h"

#include <errno.h>
#include <string.h>

#define DEPTH_MAX 8

struct scan {
	char *p, *end;
	uint32_t line;
	bool in_word; /* an unquoted string goes on */
	uint32_t depth;
	uint32_t open[DEPTH_MAX]; /* lines of open braces */
	char *why;
	size_t why_size;
};

static int
wrong(struct scan *s, uint32_t line, const char *why)
{
	snprintf(s->why, s->why_size, "%s", why);
	s->line = line;
	return -EINVAL;
}

static void
blank_to_eol(struct scan *s)
{
	while (s->p < s->end && *s->p != '\n')
		*s->p++ = ' ';
}

static int
blank_comment(struct scan *s)
{
	uint32_t line = s->line;

	s->p[0] = ' ';
	s->p[1] = ' ';
	for (s->p += 2; s->end - s->p >= 2; s->p++) {
		if (s->p[0] == '*' && s->p[1] == '/') {
			s->p[0] = ' ';
			s->p[1] = ' ';
			s->p += 2;
			return 0;
		}
		if (*s->p == '\n')
			s->line++;
		else
			*s->p = ' ';
	}
	return wrong(s, line, "the comment that begins here has no end");
}

/* From the opening quote to behind the closing one. */
static int
skip_string(struct scan *s)
{
	char quote = *s->p++;
	const char *brace;

	for (; s->p < s->end && *s->p != quote; s->p++) {
		if (*s->p == '\n')
			break;
		if ((unsigned char)*s->p < ' ' || *s->p == 0x7f)
			return wrong(s, s->line, "a control character in a string");
		if (*s->p == '|')
			return wrong(s, s->line, "'|' has no place in a string");
		if (*s->p == '\\') {
			/* Other escapes are libconfuse's own, and some of them end its lexer. */
			if (s->end - s->p < 2 || (s->p[1] != '\\' && s->p[1] != quote))
				return wrong(s, s->line,
					"in a string '\\' is followed by itself or the quote");
			s->p++;
		} else if (quote == '"' && s->end - s->p >= 2 && s->p[0] == '$' && s->p[1] == '{') {
			brace = memchr(s->p, '}', (size_t)(s->end - s->p));
			while (s->p < s->end && *s->p != '"' && *s->p != '\n' && s->p != brace)
				s->p++;
			if (s->p != brace)
				return wrong(s, s->line, "'${' without '}' in a string");
		}
	}
	if (s->p >= s->end || *s->p != quote)
		return wrong(s, s->line, "a string is not closed on its line");
	s->p++;
	return 0;
}

static int
brace(struct scan *s)
{
	if (*s->p++ == '}') {
		if (s->depth == 0)
			return wrong(s, s->line, "a '}' without '{'");
		s->depth--;
		return 0;
	}
	if (s->depth == DEPTH_MAX)
		return wrong(s, s->line, "too many '{' in each other");
	s->open[s->depth++] = s->line;
	return 0;
}

/* What is neither string nor comment. */
static int
plain(struct scan *s)
{
	unsigned char c = (unsigned char)*s->p;

	if (c == '\r')
		*s->p = ' ';
	else if ((c < ' ' && c != '\t' && c != '\n') || c == 0x7f)
		return wrong(s, s->line, "a control character");
	else if (c == '*' || c == '+' || c == '|' || c == '(' || c == ')')
		return wrong(s, s->line, "one of * + | ( ) outside of quotes");
	else if (c == '$' && s->end - s->p >= 2 && s->p[1] == '{')
		return wrong(s, s->line, "'${' outside of double quotes");
	if (c == '{' || c == '}') {
		s->in_word = false;
		return brace(s);
	}
	if (c == '\n')
		s->line++;
	s->in_word = strchr(" \t\r\n=,", c) == NULL;
	s->p++;
	return 0;
}

int
dp_conf_scan(char *text, size_t len, uint32_t *line, char *why, size_t why_size)
{
	struct scan s = {.p = text, .end = text + len, .line = 1, .why = why, .why_size = why_size};
	int ret = 0;

	while (ret == 0 && s.p < s.end) {
		bool slash = !s.in_word && s.p[0] == '/' && s.end - s.p >= 2;

		if (*s.p == '#' || (slash && s.p[1] == '/')) {
			blank_to_eol(&s);
		} else if (slash && s.p[1] == '*') {
			ret = blank_comment(&s);
		} else if (*s.p == '"' || *s.p == '\'') {
			if (s.in_word)
				ret = wrong(&s, s.line, "a quote inside an unquoted string");
			else
				ret = skip_string(&s);
		} else {
			ret = plain(&s);
		}
	}
	if (ret == 0 && s.depth != 0)
		ret = wrong(&s, s.open[s.depth - 1], "the '{' of this line is not closed");
	*line = s.line;
	return ret;
}
