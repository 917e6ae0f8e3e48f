/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * vbusctl: the command-line client of vbus-dp's control socket (vbusctl(8)).
 *
 * Options of vbusctl itself may stand anywhere; the first words that are none name the command.
 */

#include "ctl.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct ctl_options ctl_options;

int
ctl_usage(const struct ctl_command *c, const char *fmt, ...)
{
	va_list ap;

	fputs("vbusctl: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	if (c != NULL)
		fprintf(stderr, "; usage: vbusctl %s %s\n", c->name, c->args);
	else
		fputs("; see vbusctl --help\n", stderr);
	return CTL_USAGE;
}

/* Is @p name the command's, or its first word? */
static bool
is_group(const struct ctl_command *c, const char *name)
{
	size_t len = strlen(name);

	return strncmp(c->name, name, len) == 0 && (c->name[len] == ' ' || c->name[len] == '\0');
}

/* @return words of the command, 0: there is none */
static int
find(int argc, char **argv, const struct ctl_command **found)
{
	const struct ctl_command *c;
	const char *space;

	for (c = ctl_commands; argc != 0 && c->name != NULL; c++) {
		space = strchr(c->name, ' ');
		*found = c;
		if (space == NULL && strcmp(c->name, argv[0]) == 0)
			return 1;
		if (space != NULL && argc > 1 && is_group(c, argv[0]) &&
			strcmp(space + 1, argv[1]) == 0)
			return 2;
	}
	*found = NULL;
	return 0;
}

static int
help(int argc, char **argv)
{
	const struct ctl_command *c;
	const char *eol;

	if (find(argc, argv, &c) != 0) {
		printf("usage: vbusctl [OPTION]... %s %s\n\n%s", c->name, c->args, c->help);
		return CTL_OK;
	}
	printf("usage: vbusctl [OPTION]... COMMAND [ARGUMENT]...\n\n"
	       "Control a running vbus-dp.\n\n"
	       "  -s, --socket PATH  its control socket (environment VBUS_CONTROL, or %s)\n"
	       "  -j, --json         print the answer as JSON\n"
	       "  -h, --help         this, or the help of a command\n"
	       "  -V, --version      the version of vbusctl\n\nCommands:\n",
		CTL_SOCKET);
	for (c = ctl_commands; c->name != NULL; c++) {
		if (argc != 0 && !is_group(c, argv[0]))
			continue;
		eol = strchr(c->help, '\n');
		printf("  %s %s\n        %.*s\n", c->name, c->args, (int)(eol - c->help), c->help);
	}
	printf("\nExit: 0 done, 1 vbus-dp refused, 2 wrong arguments, 3 no connection.\n");
	return CTL_OK;
}

/*
 * Take one of our own options out.
 * @return how many arguments it has, 0: not ours, -1: wrong (said)
 */
static int
option(int argc, char **argv, bool *want_help, bool *want_version)
{
	static const char equals[] = "--socket=";
	const char *arg = argv[0];

	if (strcmp(arg, "-j") == 0 || strcmp(arg, "--json") == 0) {
		ctl_options.json = true;
	} else if (strcmp(arg, "-h") == 0 || strcmp(arg, "--help") == 0) {
		*want_help = true;
	} else if (strcmp(arg, "-V") == 0 || strcmp(arg, "--version") == 0) {
		*want_version = true;
	} else if (strncmp(arg, equals, strlen(equals)) == 0) {
		ctl_options.socket = arg + strlen(equals);
	} else if (strcmp(arg, "-s") == 0 || strcmp(arg, "--socket") == 0) {
		if (argc < 2) {
			ctl_usage(NULL, "%s: needs a PATH", arg);
			return -1;
		}
		ctl_options.socket = argv[1];
		return 2;
	} else {
		return 0;
	}
	return 1;
}

int
main(int argc, char **argv)
{
	bool want_help = false, want_version = false;
	const struct ctl_command *c;
	int i, n, nb = 0, words;

	ctl_options.socket = getenv("VBUS_CONTROL");
	if (ctl_options.socket == NULL || ctl_options.socket[0] == '\0')
		ctl_options.socket = CTL_SOCKET;
	for (i = 1; i < argc; i += n) {
		n = option(argc - i, argv + i, &want_help, &want_version);
		if (n < 0)
			return CTL_USAGE;
		if (n != 0)
			continue;
		argv[nb++] = argv[i];
		n = 1;
	}
	if (want_version) {
		printf("vbusctl %s\n", VBUS_VERSION);
		return CTL_OK;
	}
	if (nb != 0 && strcmp(argv[0], "help") == 0)
		return help(nb - 1, argv + 1);
	if (want_help)
		return help(nb, argv);
	words = find(nb, argv, &c);
	if (words == 0)
		return nb == 0 ? ctl_usage(NULL, "a command is missing")
			       : ctl_usage(NULL, "'%s%s%s': no such command", argv[0],
					 nb > 1 ? " " : "", nb > 1 ? argv[1] : "");
	if (words < nb && words == 1 && argv[words][0] == '-' && strchr(c->args, '-') == NULL)
		return ctl_usage(c, "'%s': not understood", argv[words]);
	n = c->run(c, nb - words, argv + words);
	if (fflush(stdout) != 0 && n == CTL_OK) {
		perror("vbusctl: output");
		return CTL_REFUSED;
	}
	return n;
}
