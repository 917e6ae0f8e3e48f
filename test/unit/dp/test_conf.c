/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * What a good configuration becomes, and that it comes back the same after it was written.
 */

#include <errno.h>
#include <time.h>
#include <unistd.h>

#include "conf_help.h"
#include "../core/cu_run.h"

static const char everything[] =
	"# a comment\n"
	"mode = adaptive   // another\n"
	"idle = 250\n"
	"control = /tmp/control.sock /* a third, of\n"
	"two lines */\n"
	"bus vm1 {\n"
	"	connector = vfio-user\n"
	"	socket = '/tmp/it\\'s a \\\\ \"path\" $ {} # .sock'\n"
	"	devices = { web0, # comments in a list\n"
	"		web1 /* too */ }\n"
	"}\n"
	"bus vm2 { connector = null devices = {} }\n"
	"device web0 { class = venet mac = 02:00:00:00:aB:01 switch = br0 }\n"
	"device web1 { class = venet mtu = 9000 queues = 1 patch = web2 }\r\n"
	"device web2 { class = venet bus = vm2 patch = web1 }\n"
	"device lone { class = venet }\n"
	"device tty0 { class = serial listen = /tmp/tty0.sock scrollback = 100 }\n"
	"device tty1 { class = serial stdio = true }\n"
	"device disk0 { class = block memory = 1048576 sector = 4096 queues = 4 readonly = true }\n"
	"device rng0 { class = rng }\n"
	"switch br0 { ports = { net_tap0, 0000:01:00.0 } ageing = 10 size = 1024 }\n"
	"switch br1 {}\n";

static void
check_everything(const struct dp_conf *c)
{
	const struct dp_device_conf *d;
	const struct dp_bus_conf *b;
	const struct dp_switch_conf *s;
	static const uint8_t mac[6] = {2, 0, 0, 0, 0xab, 1};

	CU_ASSERT_EQUAL(c->mode, DP_MODE_ADAPTIVE);
	CU_ASSERT_EQUAL(c->idle_us, 250);
	CU_ASSERT_STRING_EQUAL(c->control, "/tmp/control.sock");
	b = dp_conf_bus(c, "vm1");
	CU_ASSERT_PTR_NOT_NULL_FATAL(b);
	CU_ASSERT_STRING_EQUAL(b->socket, "/tmp/it's a \\ \"path\" $ {} # .sock");
	CU_ASSERT_TRUE(STAILQ_EMPTY(&b->devices));
	CU_ASSERT_EQUAL(dp_conf_bus(c, "vm2")->connector, DP_CONNECTOR_NULL);
	d = dp_conf_device(c, "web0");
	CU_ASSERT_PTR_NOT_NULL_FATAL(d);
	CU_ASSERT_STRING_EQUAL(d->cls, "venet");
	CU_ASSERT_STRING_EQUAL(d->bus, "vm1");
	CU_ASSERT_TRUE(d->has_mac);
	CU_ASSERT_EQUAL(memcmp(d->mac, mac, 6), 0);
	CU_ASSERT_EQUAL(d->mtu, 1500);
	CU_ASSERT_STRING_EQUAL(d->sw, "br0");
	d = dp_conf_device(c, "web1");
	CU_ASSERT_PTR_NOT_NULL_FATAL(d);
	CU_ASSERT_FALSE(d->has_mac);
	CU_ASSERT_EQUAL(d->mtu, 9000);
	CU_ASSERT_STRING_EQUAL(d->bus, "vm1");
	CU_ASSERT_STRING_EQUAL(d->patch, "web2");
	CU_ASSERT_STRING_EQUAL(dp_conf_device(c, "web2")->bus, "vm2");
	CU_ASSERT_STRING_EQUAL(dp_conf_device(c, "lone")->bus, "");
	s = dp_conf_switch(c, "br0");
	CU_ASSERT_PTR_NOT_NULL_FATAL(s);
	CU_ASSERT_EQUAL(s->ageing_s, 10);
	CU_ASSERT_EQUAL(s->size, 1024);
	CU_ASSERT_TRUE(dp_names_has(&s->ports, "net_tap0"));
	CU_ASSERT_TRUE(dp_names_has(&s->ports, "0000:01:00.0"));
	CU_ASSERT_EQUAL(dp_conf_switch(c, "br1")->ageing_s, 300);
	CU_ASSERT_EQUAL(dp_conf_switch(c, "br1")->size, 65536);
	CU_ASSERT_PTR_NULL(dp_conf_switch(c, "br2"));
}

/* A heap string. */
static char *
write_string(const struct dp_conf *c)
{
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);

	CU_ASSERT_EQUAL(dp_conf_write(c, f), 0);
	fclose(f);
	return text;
}

static void
test_everything(void)
{
	struct dp_conf c;
	char err[DP_ERR_SIZE];

	CU_ASSERT_EQUAL(load_string(&c, everything, err), 0);
	CU_ASSERT_STRING_EQUAL(err, "");
	check_everything(&c);
	CU_ASSERT_EQUAL(dp_conf_device(&c, "web0")->line, 13);
	CU_ASSERT_EQUAL(dp_conf_device(&c, "web0")->bus_line, 9);
	CU_ASSERT_EQUAL(dp_conf_device(&c, "web1")->bus_line, 10);
	dp_conf_free(&c);
}

static void
test_round_trip(void)
{
	struct dp_conf a, b;
	char err[DP_ERR_SIZE], *first, *second;

	CU_ASSERT_EQUAL_FATAL(load_string(&a, everything, err), 0);
	first = write_string(&a);
	CU_ASSERT_EQUAL(load_string(&b, first, err), 0);
	CU_ASSERT_STRING_EQUAL(err, "");
	check_everything(&b);
	second = write_string(&b);
	CU_ASSERT_STRING_EQUAL(first, second);
	free(first);
	free(second);
	dp_conf_free(&a);
	dp_conf_free(&b);
}

/* As a file, which a child process reads. */
static void
test_file(void)
{
	char path[] = "/tmp/vbus-dp-test.XXXXXX", err[DP_ERR_SIZE], *here, *there;
	const int fd = mkstemp(path);
	struct dp_conf a, b;

	CU_ASSERT_FATAL(fd >= 0);
	CU_ASSERT_EQUAL(write(fd, everything, strlen(everything)), (ssize_t)strlen(everything));
	close(fd);
	CU_ASSERT_EQUAL_FATAL(load_string(&a, everything, err), 0);
	dp_conf_init(&b);
	CU_ASSERT_EQUAL(dp_conf_load(&b, path, err, sizeof(err)), 0);
	CU_ASSERT_STRING_EQUAL(err, "");
	unlink(path);
	check_everything(&b);
	CU_ASSERT_EQUAL(dp_conf_device(&b, "web1")->bus_line, 10);
	here = write_string(&a);
	there = write_string(&b);
	CU_ASSERT_STRING_EQUAL(here, there);
	free(here);
	free(there);
	dp_conf_free(&a);
	dp_conf_free(&b);
}

static void
test_write_fails(void)
{
	struct dp_conf c;
	FILE *full = fopen("/dev/full", "w");

	CU_ASSERT_PTR_NOT_NULL_FATAL(full);
	dp_conf_init(&c);
	CU_ASSERT_EQUAL(dp_conf_write(&c, full), -EIO);
	fclose(full);
	dp_conf_free(&c);
}

static void
test_empty(void)
{
	struct dp_conf c;
	char err[DP_ERR_SIZE];

	CU_ASSERT_EQUAL(load_string(&c, "", err), 0);
	CU_ASSERT_EQUAL(c.mode, DP_MODE_BUSY);
	CU_ASSERT_EQUAL(c.idle_us, 1000);
	CU_ASSERT_STRING_EQUAL(c.control, "");
	CU_ASSERT_TRUE(TAILQ_EMPTY(&c.buses));
	dp_conf_free(&c);
	CU_ASSERT_EQUAL(load_string(&c, "\n\n# nothing\n", err), 0);
	dp_conf_free(&c);
}

/* Twenty thousand devices in about a second; ten times that where everything is slower. */
static void
test_many(void)
{
	struct timespec from, to;
	struct dp_conf c;
	char err[DP_ERR_SIZE], *text = NULL;
	size_t len = 0, nb = 0;
	FILE *f = open_memstream(&text, &len);
	const struct dp_device_conf *d;

	fprintf(f, "switch br0 {}\n");
	for (int i = 0; i < 20000; i++)
		fprintf(f, "device d%d { class = venet switch = br0 }\n", i);
	for (int i = 0; i < 10; i++) {
		fprintf(f, "bus b%d { connector = null devices = {", i);
		for (int j = 0; j < 2000; j++)
			fprintf(f, "%sd%d", j > 0 ? "," : "", i * 2000 + j);
		fprintf(f, "} }\n");
	}
	fclose(f);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from);
	CU_ASSERT_EQUAL(load_string(&c, text, err), 0);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &to);
	CU_ASSERT_STRING_EQUAL(err, "");
	TAILQ_FOREACH (d, &c.devices, next)
		nb++;
	CU_ASSERT_EQUAL(nb, 20000);
	CU_ASSERT_STRING_EQUAL(dp_conf_device(&c, "d19999")->bus, "b9");
	CU_ASSERT_TRUE(to.tv_sec - from.tv_sec < 10);
	free(text);
	dp_conf_free(&c);
}

static void
test_objects(void)
{
	struct dp_device_conf *d = dp_device_conf_new("a"), *again = dp_device_conf_new("a");
	struct dp_bus_conf *b = dp_bus_conf_new("b"), *copy;
	struct dp_conf c;

	dp_conf_init(&c);
	CU_ASSERT_EQUAL(dp_conf_add_device(&c, d), 0);
	CU_ASSERT_EQUAL(dp_conf_add_device(&c, again), -EEXIST);
	CU_ASSERT_PTR_EQUAL(dp_conf_device(&c, "a"), d);
	dp_conf_take_device(&c, d);
	CU_ASSERT_PTR_NULL(dp_conf_device(&c, "a"));
	CU_ASSERT_EQUAL(dp_conf_add_device(&c, again), 0);
	dp_device_conf_del(d);

	CU_ASSERT_EQUAL(dp_names_add(&b->devices, "x"), 0);
	CU_ASSERT_EQUAL(dp_names_add(&b->devices, "y"), 0);
	CU_ASSERT_STRING_EQUAL(dp_names_last(&b->devices)->name, "y");
	copy = dp_bus_conf_copy(b);
	dp_names_del(&b->devices, "y");
	dp_names_del(&b->devices, "not there");
	CU_ASSERT_STRING_EQUAL(dp_names_last(&b->devices)->name, "x");
	dp_names_del(&b->devices, "x");
	CU_ASSERT_PTR_NULL(dp_names_last(&b->devices));
	CU_ASSERT_TRUE(dp_names_has(&copy->devices, "y"));
	dp_bus_conf_del(b);
	dp_bus_conf_del(copy);
	dp_conf_free(&c);
	dp_conf_free(&c); /* as after init */
}

/* The way of the control socket: no file, so no place in the error. */
static void
test_set(void)
{
	struct dp_device_conf *d = dp_device_conf_new("a");
	struct dp_conf c;
	char err[DP_ERR_SIZE];
	bool list;
	unsigned int n;

	CU_ASSERT_EQUAL(dp_device_conf_set(d, "mtu", "9600", err, sizeof(err)), 0);
	CU_ASSERT_EQUAL(d->mtu, 9600);
	CU_ASSERT_EQUAL(dp_device_conf_set(d, "mtu", "9601", err, sizeof(err)), -EINVAL);
	CU_ASSERT_STRING_EQUAL(err, "mtu: '9601' is not a number from 68 to 9600");
	CU_ASSERT_EQUAL(d->mtu, 9600);
	CU_ASSERT_EQUAL(dp_device_conf_set(d, "colour", "red", err, sizeof(err)), -ENOENT);
	CU_ASSERT_EQUAL(dp_device_conf_set(d, "sector", "1000", err, sizeof(err)), -EINVAL);
	CU_ASSERT_EQUAL(dp_device_conf_check(d, err, sizeof(err)), -EINVAL);
	CU_ASSERT_PTR_NOT_NULL(strstr(err, "class"));
	CU_ASSERT_EQUAL(dp_device_conf_set(d, "class", "venet", err, sizeof(err)), 0);
	CU_ASSERT_EQUAL(dp_device_conf_check(d, err, sizeof(err)), 0);

	CU_ASSERT_EQUAL(dp_device_conf_set(d, "bus", "none", err, sizeof(err)), 0);
	dp_conf_init(&c);
	dp_conf_add_device(&c, d);
	CU_ASSERT_EQUAL(dp_conf_check(&c, NULL, err, sizeof(err)), -ENOENT);
	CU_ASSERT_STRING_EQUAL(err, "device a: bus: there is no bus 'none'");
	dp_conf_free(&c);

	for (n = 0; dp_conf_key("switch", n, &list) != NULL; n++)
		CU_ASSERT_EQUAL(list, strcmp(dp_conf_key("switch", n, &list), "ports") == 0);
	CU_ASSERT_EQUAL(n, 3);
}

static const struct cu_test tests[] = {
	{"every key", test_everything},
	{"written and read back", test_round_trip},
	{"a file", test_file},
	{"a full disk", test_write_fails},
	{"nothing", test_empty},
	{"20,000 devices", test_many},
	{"objects and lists", test_objects},
	{"keys from text", test_set},
	{NULL, NULL},
};

int
main(void)
{
	return cu_run("configuration", tests, NULL, NULL);
}
