/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * Every error of a configuration: its line, and the words that must be in it.
 */

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf_help.h"
#include "../core/cu_run.h"

#define LONG_NAME "n234567890123456789012345"
#define V	  "class = venet "

static const struct error {
	const char *text;
	const char *want; /* "F:LINE: " and the beginning of the reason */
	const char *also; /* somewhere behind */
} errors[] = {
	/* sections and keys */
	{"\n\ncolour = red\n", "F:3: unknown section or key 'colour'", ""},
	{"disk d0 {}\n", "F:1: unknown section or key 'disk'", ""},
	{"/* two\nlines */ # x\n// y\ndevice a {\n" V "\n colour = red }",
		"F:6: device a: unknown key 'colour'", ""},
	{"bus b { mtu = 1 }", "F:1: bus b: unknown key 'mtu'", ""},
	{"mode = busy\nmode = busy\n", "F:2: mode: given twice", ""},
	{"device a {\n" V "\nmtu = 99\n\nmtu = 99 }", "F:5: device a: mtu: given twice", ""},
	{"switch s {\nports = { a }\nports = { b } }", "F:3: switch s: ports: given twice", ""},
	{"switch s {\nports = { a }\nports = {}\n}", "F:4: switch s: ports: given twice", ""},
	{"switch s {}\n\nswitch s {\nsize = 100 }", "F:3: switch s: given twice", "line 1"},
	{"device a { " V "}\nbus a { connector = null }\ndevice a { " V "}",
		"F:3: device a: given twice", "line 1"},
	{"bus b { connector = null }\nbus b { connector = null }", "F:2: bus b: given twice",
		"line 1"},
	{"device { " V "}", "F:1: ", "title"},
	{"device " LONG_NAME " {\n" V "}", "F:1: device: '" LONG_NAME "' is no name", "24"},
	{"device 'a b' {\n" V "}", "F:1: device: 'a b' is no name", ""},
	{"\ndevice a.b {}", "F:2: device: 'a.b' is no name", ""},
	/* grammar */
	{"mode\n= busy\nidle busy", "F:3: ", "idle"},
	{"bus b {\n connector = null\n\nswitch s {\n", "F:4: the '{' of this line is not closed",
		""},
	{"bus b {\n connector = null\n\n", "F:1: the '{' of this line is not closed", ""},
	{"\n}", "F:2: a '}' without '{'", ""},
	{"\ncontrol = 'a", "F:2: a string is not closed", ""},
	{"\ncontrol = \"a\n\"", "F:2: a string is not closed", ""},
	{"control = a*b", "F:1: one of * +", ""},
	{"switch s { ports += { a } }", "F:1: one of * +", ""},
	{"\n\nmode = busy /* no end\n\n", "F:3: the comment", ""},
	{"mode = ", "F:1: ", "end of file"},
	/* top */
	{"\nmode = lazy", "F:2: mode: 'lazy'", "adaptive"},
	{"idle = 0", "F:1: idle: '0' is not a number from 1", ""},
	{"idle = -1", "F:1: idle: '-1' is not", ""},
	{"idle = 5x", "F:1: idle: '5x' is not", ""},
	{"idle = 99999999999999999999", "F:1: idle: '99999999999999999999' is not", ""},
	{"control = ''", "F:1: control: no path", ""},
	{"control = /nonexistent/x.sock", "F:1: control: /nonexistent/x.sock: folder /nonexistent",
		"No such"},
	{"control = /dev/null/x", "F:1: control: ", "not a folder"},
	{"control = /dev/null", "F:1: control: /dev/null: exists and is not a socket", ""},
	{"control = "
	 "/tmp/a234567890123456789012345678901234567890123456789012345678901234567890123456"
	 "7890123456789012345678901234567890",
		"F:1: control: ", "107"},
	/* bus */
	{"bus b { }", "F:1: bus b: socket: missing", ""},
	{"bus b {\n\nconnector = tcp }", "F:3: bus b: connector: 'tcp'", "vfio-user"},
	{"bus b { connector = window }", "F:1: bus b: window: missing, connector window needs it",
		""},
	{"bus b {\nwindow = /dev/x\nsocket = /tmp/b.sock }",
		"F:1: bus b: window, size, side: ", "only connector window"},
	{"bus b { connector = window\nwindow = /dev/x\nside = c }",
		"F:3: bus b: side: ", "neither a nor b"},
	{"bus b {\nsize = 1 }", "F:2: bus b: size: ", "multiple of"},
	{"bus b { connector = null\nsocket = /tmp/vbus-none }",
		"F:1: bus b: socket: ", "only connector vfio-user"},
	{"bus b { socket = /nonexistent/x }", "F:1: bus b: socket: ", "folder /nonexistent"},
	{"bus b { socket = /tmp/vbus-none }\nbus c {\nsocket = /tmp/vbus-none }",
		"F:3: bus c: socket: /tmp/vbus-none is that of bus b", ""},
	{"control = /tmp/vbus-none\nbus b {\nsocket = /tmp/vbus-none }",
		"F:3: bus b: socket: /tmp/vbus-none is that of control", ""},
	{"bus b { connector = null\ndevices = { a,\n z } }\ndevice a { " V "}",
		"F:3: bus b: devices: there is no device 'z'", ""},
	{"bus b { connector = null\ndevices = { a,\n a } }\ndevice a { " V "}",
		"F:3: bus b: devices: device a is on bus b already", ""},
	{"bus b { connector = null devices = {a} }\nbus c { connector = null\ndevices = {a} "
	 "}\ndevice a { " V "}",
		"F:3: bus c: devices: device a is on bus b already", "line 1"},
	{"bus b { connector = null\ndevices = {a} }\ndevice a { " V "\nbus = b }",
		"F:2: bus b: devices: device a is on bus b", "line 4"},
	{"bus b { connector = null devices = { 'a b' } }", "F:1: bus b: devices: 'a b' is no name",
		""},
	/* device */
	{"device a { }", "F:1: device a: class: missing", ""},
	{"device a {\nclass = floppy }", "F:2: device a: class: unknown class 'floppy'", "venet"},
	{"device a { class = serial }", "F:1: device a: pty: class serial needs one of", ""},
	{"device a { class = serial stdio = true listen = /tmp/tty.sock }",
		"F:1: device a: pty: ", "not several"},
	{"device a { class = serial pty = /nowhere/x }", "F:1: device a: pty: /nowhere/x: folder",
		""},
	{"device a { class = serial pty = /etc/passwd }", "F:1: device a: pty: ", "not a link"},
	{"device a { class = serial stdio = maybe }", "F:1: device a: stdio: ", "true nor false"},
	{"device a { class = serial stdio = true mtu = 9000 }", "F:1: device a: mtu: ", "has none"},
	{"device a { class = serial stdio = true memory = 8192 }",
		"F:1: device a: memory: ", "has none"},
	{"device a { class = block }", "F:1: device a: file: class block needs one of", ""},
	{"device a { class = block file = /etc/none }", "F:1: device a: file: /etc/none: ", ""},
	{"device a { class = block file = /etc }", "F:1: device a: file: /etc: ", "neither"},
	{"device a { class = block memory = 1 }", "F:1: device a: memory: ", "number"},
	{"device a { class = block memory = 8192 sector = 1000 }",
		"F:1: device a: sector: ", "neither"},
	{"device a { class = block memory = 8192 queues = 17 }",
		"F:1: device a: queues: ", "1 to 16"},
	{"device a { class = rng file = /etc/passwd }", "F:1: device a: file: ", "has none"},
	{"device a { " V "readonly = true }", "F:1: device a: readonly: ", "has none"},
	{"device a { " V "\nfile = /x }", "F:1: device a: file: ", "class"},
	{"device a { " V "\nmac = 02:00:00:00:01 }",
		"F:2: device a: mac: '02:00:00:00:01' is not an address", ""},
	{"device a { " V "mac = 02:00:00:00:00:0g }", "F:1: device a: mac: ", "not an address"},
	{"device a { " V "mac = 02:00:00:00:00:01:02 }", "F:1: device a: mac: ", "not an address"},
	{"device a { " V "mac = '' }", "F:1: device a: mac: ", "not an address"},
	{"device a { " V "mac = 00:00:00:00:00:00 }", "F:1: device a: mac: ", "zero"},
	{"device a { " V "mac = 01:00:5e:00:00:01 }", "F:1: device a: mac: ", "multicast"},
	{"device a { " V "mtu = 67 }", "F:1: device a: mtu: '67' is not a number from 68 to 9600",
		""},
	{"device a { " V "mtu = 9601 }", "F:1: device a: mtu: ", "9600"},
	{"device a { " V "queues = 0 }", "F:1: device a: queues: ", "number"},
	{"device a { " V "queues = 17 }", "F:1: device a: queues: ", "1 to 16"},
	{"device a { " V "\n\nbus = b }", "F:3: device a: bus: there is no bus 'b'", ""},
	{"device a { " V "\n\nswitch = s }", "F:3: device a: switch: there is no switch 's'", ""},
	{"device a { " V "\n\npatch = b }", "F:3: device a: patch: there is no device 'b'", ""},
	{"device a { " V "\npatch = a }", "F:1: device a: patch: 'a' is the device itself", ""},
	{"switch s {}\ndevice b { " V "}\ndevice a {\n" V "switch = s patch = b }",
		"F:3: device a: patch: ", "not both"},
	{"switch s {}\ndevice b { " V "switch = s }\ndevice a { " V "\npatch = b }",
		"F:4: device a: patch: device b has a switch", ""},
	{"device a { " V "patch = b }\ndevice b { " V "patch = c }\ndevice c { " V "}",
		"F:1: device a: patch: device b is patched to 'c'", ""},
	{"device a { " V "patch = c }\ndevice b { " V "\npatch = c }\ndevice c { " V "}",
		"F:3: device b: patch: device c is patched to 'a' already", ""},
	/* switch */
	{"switch s { ageing = 0 }", "F:1: switch s: ageing: '0' is not a number", ""},
	{"switch s { size = 1 }", "F:1: switch s: size: '1' is not a number", ""},
	{"switch s { ports = { '' } }", "F:1: switch s: ports: '' is no port", ""},
	{"switch s { ports = { net_tap0123456789012345678901234567 } }",
		"F:1: switch s: ports: ", "31"},
	{"switch s { ports = { a,\n a } }", "F:2: switch s: ports: 'a' is given twice", ""},
	{"switch s { ports = { a } }\nswitch t {\nports = { b,\na } }",
		"F:4: switch t: ports: 'a' is a port of switch s", ""},
};

static void
test_errors(void)
{
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		const struct error *e = &errors[i];
		struct dp_conf c;
		char err[DP_ERR_SIZE];
		int ret = load_string(&c, e->text, err);
		bool good = ret < 0 && strncmp(err, e->want, strlen(e->want)) == 0 &&
			    strstr(err + strlen(e->want), e->also) != NULL &&
			    strchr(err, '\n') == NULL;

		if (!good)
			printf("\n  %s\n  gives %d '%s', wanted '%s'...'%s'\n", e->text, ret, err,
				e->want, e->also);
		CU_ASSERT_TRUE(good);
		dp_conf_free(&c);
	}
}

/* An error leaves nothing behind in libconfuse's lexer: a good file is read after each. */
static void
test_good_after_bad(void)
{
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		struct dp_conf c;
		char err[DP_ERR_SIZE];

		load_string(&c, errors[i].text, err);
		dp_conf_free(&c);
		CU_ASSERT_EQUAL(load_string(&c, "device a { " V "}\n", err), 0);
		CU_ASSERT_STRING_EQUAL(err, "");
		dp_conf_free(&c);
	}
}

static void
test_full_bus(void)
{
	struct dp_conf c;
	char err[DP_ERR_SIZE], *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);

	fprintf(f, "bus b { connector = null }\n");
	for (int i = 0; i < 4097; i++)
		fprintf(f, "device d%d { " V "bus = b }\n", i);
	fclose(f);
	CU_ASSERT_EQUAL(load_string(&c, text, err), -ENOSPC);
	CU_ASSERT_STRING_EQUAL(err, "F:4098: bus b: devices: more than 4096 on it");
	free(text);
	dp_conf_free(&c);
}

static void
test_files(void)
{
	char folder[] = "/tmp/vbus-dp-test.XXXXXX", path[64], err[DP_ERR_SIZE];
	struct dp_conf c;

	dp_conf_init(&c);
	CU_ASSERT_EQUAL(dp_conf_load(&c, "/nonexistent/f", err, sizeof(err)), -ENOENT);
	CU_ASSERT_PTR_NOT_NULL(strstr(err, "/nonexistent/f:0: No such file"));
	CU_ASSERT_EQUAL(dp_conf_load(&c, "/tmp", err, sizeof(err)), -EISDIR);
	CU_ASSERT_EQUAL(dp_conf_load(&c, "/dev/zero", err, sizeof(err)), -EINVAL);
	CU_ASSERT_PTR_NOT_NULL(strstr(err, "not a regular file"));
	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/fifo", folder);
	CU_ASSERT_EQUAL(mkfifo(path, 0600), 0);
	CU_ASSERT_EQUAL(dp_conf_load(&c, path, err, sizeof(err)), -EINVAL);
	unlink(path);
	rmdir(folder);
	dp_conf_free(&c);
}

/* The scanner's own allocations go by here; without memory it calls exit(). */
__attribute__((visibility("default"))) void *cfg_yyalloc(size_t len);
static int yyalloc_left = -1; /* until one fails; -1: none does */

void *
cfg_yyalloc(size_t len)
{
	if (yyalloc_left == 0)
		return NULL;
	yyalloc_left -= yyalloc_left > 0;
	return malloc(len);
}

static void
test_no_memory(void)
{
	char path[] = "/tmp/vbus-dp-test.XXXXXX", err[DP_ERR_SIZE];
	int fd = mkstemp(path), failed = 0, i;
	const char text[] = "switch s { ports = { 'a b', c } }";
	struct dp_conf c;

	CU_ASSERT_FATAL(fd >= 0);
	CU_ASSERT_EQUAL(write(fd, text, sizeof(text) - 1), sizeof(text) - 1);
	close(fd);
	for (i = 0; i < 100; i++) {
		yyalloc_left = i;
		dp_conf_init(&c);
		if (dp_conf_load(&c, path, err, sizeof(err)) != 0) {
			failed++;
			CU_ASSERT_PTR_NOT_NULL(strstr(err, ":0: cannot be read: no memory"));
		}
		dp_conf_free(&c);
	}
	yyalloc_left = -1;
	CU_ASSERT(failed > 0 && failed < 100);
	unlink(path);
}

static const struct cu_test tests[] = {
	{"a scanner without memory", test_no_memory},
	{"line and words of each error", test_errors},
	{"a good file after each bad one", test_good_after_bad},
	{"too many devices on a bus", test_full_bus},
	{"what is no file", test_files},
	{NULL, NULL},
};

int
main(void)
{
	return cu_run("configuration errors", tests, NULL, NULL);
}
