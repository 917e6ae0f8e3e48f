/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 *
 * Arguments and names of the bus, as text: what is accepted, and that each refusal names the key.
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "../core/cu_run.h"
#include "vbus_bus_private.h"

static struct vbus_link_args args;
static char err[160];

static int
parse(const char *text)
{
	memset(err, 0, sizeof(err));
	return vbus_link_args_parse(text, &args, err, sizeof(err));
}

/* Refused, with this word in the line. */
static bool
refused(const char *text, const char *word)
{
	return parse(text) == -EINVAL && strstr(err, word) != NULL && strchr(err, '\n') == NULL;
}

/* Links of PCI functions: their names and their one key. */
static void
test_pci(void)
{
	char name[VBUS_BUS_NAME_SIZE];

	CU_ASSERT_EQUAL(vbus_bus_pci_name(name, 0, 0, 4, 0), 0);
	CU_ASSERT_STRING_EQUAL(name, "pci-0000-00-04-0");
	CU_ASSERT_EQUAL(vbus_bus_pci_name(name, UINT32_MAX, 0xff, 0x1f, 7), 0);
	CU_ASSERT_STRING_EQUAL(name, "pci-ffffffff-ff-1f-7");
	CU_ASSERT_TRUE(vbus_bus_word_valid(name, strlen(name)));
	CU_ASSERT_EQUAL(vbus_link_pci_args_parse("", false, &args, err, sizeof(err)), 0);
	CU_ASSERT_EQUAL(args.kind, VBUS_LINK_PCI);
	CU_ASSERT_EQUAL(args.wait_ms, 1000);
	CU_ASSERT_EQUAL(vbus_link_pci_args_parse("wait=20", false, &args, err, sizeof(err)), 0);
	CU_ASSERT_EQUAL(args.wait_ms, 20);
	CU_ASSERT_EQUAL(
		vbus_link_pci_args_parse("wait=1,wait=2", false, &args, err, sizeof(err)), -EINVAL);
	CU_ASSERT_PTR_NOT_NULL(strstr(err, "twice"));
	CU_ASSERT_EQUAL(vbus_link_pci_args_parse("wait", false, &args, err, sizeof(err)), -EINVAL);
	CU_ASSERT_EQUAL(
		vbus_link_pci_args_parse("null=x", false, &args, err, sizeof(err)), -EINVAL);
	CU_ASSERT_PTR_NOT_NULL(strstr(err, "'null'"));
	CU_ASSERT_EQUAL(
		vbus_link_pci_args_parse("side=a", false, &args, err, sizeof(err)), -EINVAL);
	CU_ASSERT_PTR_NOT_NULL(strstr(err, "'side'"));
	CU_ASSERT_EQUAL(
		vbus_link_pci_args_parse("wait=3,side=a", true, &args, err, sizeof(err)), 0);
	CU_ASSERT_EQUAL(args.kind, VBUS_LINK_WINDOW);
	CU_ASSERT_TRUE(args.side_a);
	CU_ASSERT_EQUAL(args.wait_ms, 3);
	CU_ASSERT_EQUAL(
		vbus_link_pci_args_parse("window=/x", true, &args, err, sizeof(err)), -EINVAL);
}

static void
test_good(void)
{
	CU_ASSERT_EQUAL(parse("socket=/run/vbus/vm1.sock"), 0);
	CU_ASSERT_EQUAL(args.kind, VBUS_LINK_SOCKET);
	CU_ASSERT_STRING_EQUAL(args.path, "/run/vbus/vm1.sock");
	CU_ASSERT_EQUAL(args.wait_ms, 1000);
	CU_ASSERT_EQUAL(parse("null=B_1-x,wait=0"), 0);
	CU_ASSERT_EQUAL(args.kind, VBUS_LINK_NULL);
	CU_ASSERT_STRING_EQUAL(args.bus, "B_1-x");
	CU_ASSERT_EQUAL(args.wait_ms, 0);
	CU_ASSERT_EQUAL(parse("wait=250,socket=a=b"), 0);
	CU_ASSERT_STRING_EQUAL(args.path, "a=b");
	CU_ASSERT_EQUAL(args.wait_ms, 250);
	CU_ASSERT_EQUAL(parse("null=x,"), 0);
}

static void
test_refused(void)
{
	CU_ASSERT_TRUE(refused("", "socket=PATH"));
	CU_ASSERT_TRUE(refused("wait=5", "socket=PATH"));
	CU_ASSERT_TRUE(refused("sockets=/x", "sockets"));
	CU_ASSERT_TRUE(refused("null=b,foo=1", "foo"));
	CU_ASSERT_TRUE(refused("foo", "foo"));
	CU_ASSERT_TRUE(refused("socket", "socket"));
	CU_ASSERT_TRUE(refused("socket=", "empty"));
	CU_ASSERT_TRUE(refused("null=", "null="));
	CU_ASSERT_TRUE(refused("null=a.b", "null=a.b"));
	CU_ASSERT_TRUE(refused("null=aaaaaaaaaaaaaaaaaaaaaaaaa", "null="));
	CU_ASSERT_TRUE(refused("socket=/a,null=b", "exactly one"));
	CU_ASSERT_TRUE(refused("null=b,socket=/a", "exactly one"));
	CU_ASSERT_TRUE(refused("socket=/a,socket=/b", "twice"));
	CU_ASSERT_TRUE(refused("null=b,wait=1,wait=1", "twice"));
	CU_ASSERT_TRUE(refused("window=", "empty"));
	CU_ASSERT_TRUE(refused("window=/dev/x,side=c", "neither"));
	CU_ASSERT_TRUE(refused("window=/dev/x,size=1k", "size="));
	CU_ASSERT_TRUE(refused("null=b,side=a", "only a window"));
	CU_ASSERT_EQUAL(parse("window=/dev/x,side=a,size=4194304"), 0);
	CU_ASSERT_EQUAL(args.kind, VBUS_LINK_WINDOW);
	CU_ASSERT_TRUE(args.side_a);
	CU_ASSERT_EQUAL(args.size, 4194304);
	CU_ASSERT_TRUE(refused("null=b,wait=", "wait="));
	CU_ASSERT_TRUE(refused("null=b,wait=1s", "wait=1s"));
	CU_ASSERT_TRUE(refused("null=b,wait=-1", "wait=-1"));
	CU_ASSERT_TRUE(refused("null=b,wait=3600001", "wait="));
	CU_ASSERT_TRUE(refused("null=b,wait=99999999999999999999", "wait="));
	CU_ASSERT_TRUE(refused("null=b,,wait=1", "unknown key"));
}

static void
test_path_length(void)
{
	char text[256] = "socket=/";
	size_t base = strlen("socket=");

	memset(text + base + 1, 'p', 106); /* 107 bytes: the longest that sun_path takes */
	CU_ASSERT_EQUAL(parse(text), 0);
	CU_ASSERT_EQUAL(strlen(args.path), 107);
	text[base + 107] = 'p';
	CU_ASSERT_TRUE(refused(text, "108 bytes"));
}

static void
test_names(void)
{
	struct vbus_bus_name n;

	CU_ASSERT_EQUAL(vbus_bus_name_parse("vbus:vm1", &n), 0);
	CU_ASSERT_STRING_EQUAL(n.link, "vm1");
	CU_ASSERT_STRING_EQUAL(n.dev, "");
	CU_ASSERT_EQUAL(vbus_bus_name_parse("vbus:vm_1-A.eth-0", &n), 0);
	CU_ASSERT_STRING_EQUAL(n.link, "vm_1-A");
	CU_ASSERT_STRING_EQUAL(n.dev, "eth-0");
	CU_ASSERT_EQUAL(vbus_bus_name_parse("vbus:aaaaaaaaaaaaaaaaaaaaaaaa", NULL), 0);
	CU_ASSERT_EQUAL(vbus_bus_name_parse("vbus:aaaaaaaaaaaaaaaaaaaaaaaaa", NULL), -EINVAL);
	CU_ASSERT_EQUAL(vbus_bus_name_parse("vm1", NULL), -EINVAL);
	CU_ASSERT_EQUAL(vbus_bus_name_parse("vbus", NULL), -EINVAL);
	CU_ASSERT_EQUAL(vbus_bus_name_parse("vbus:", NULL), -EINVAL);
	CU_ASSERT_EQUAL(vbus_bus_name_parse("vbus:a.", NULL), -EINVAL);
	CU_ASSERT_EQUAL(vbus_bus_name_parse("vbus:.a", NULL), -EINVAL);
	CU_ASSERT_EQUAL(vbus_bus_name_parse("vbus:a.b.c", NULL), -EINVAL);
	CU_ASSERT_EQUAL(vbus_bus_name_parse("vbus:a b", NULL), -EINVAL);
	CU_ASSERT_EQUAL(vbus_bus_name_parse("vbus:a/b", NULL), -EINVAL);
	CU_ASSERT_EQUAL(vbus_bus_name_parse("net_vbus0", NULL), -EINVAL);
	CU_ASSERT_EQUAL(vbus_bus_name_parse("0000:00:03.0", NULL), -EINVAL);
	CU_ASSERT_EQUAL(vbus_bus_name_parse("", NULL), -EINVAL);
}

static void
test_device_names(void)
{
	char out[VBUS_BUS_NAME_SIZE];

	vbus_bus_device_name(out, "eth0", "virtual-ethernet", 7);
	CU_ASSERT_STRING_EQUAL(out, "eth0");
	vbus_bus_device_name(out, "", "virtual-ethernet", 7);
	CU_ASSERT_STRING_EQUAL(out, "virtual-ethernet-7");
	vbus_bus_device_name(out, "no good", "rng", 4294967295u);
	CU_ASSERT_STRING_EQUAL(out, "rng-4294967295");
	vbus_bus_device_name(out, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "a b/c", 1);
	CU_ASSERT_STRING_EQUAL(out, "a_b_c-1");
	vbus_bus_device_name(out, "", "a-very-long-type-that-does-not-fit-at-all", 4294967295u);
	CU_ASSERT_EQUAL(strlen(out), VBUS_BUS_NAME_MAX);
	CU_ASSERT_TRUE(vbus_bus_word_valid(out, strlen(out)));
	CU_ASSERT_STRING_EQUAL(out, "a-very-long-t-4294967295");
}

static void
test_equal(void)
{
	struct vbus_link_args other;

	CU_ASSERT_EQUAL(parse("null=a,wait=1"), 0);
	other = args;
	CU_ASSERT_EQUAL(parse("null=a"), 0);
	CU_ASSERT_TRUE(vbus_link_args_equal(&args, &other));
	CU_ASSERT_EQUAL(parse("null=b"), 0);
	CU_ASSERT_FALSE(vbus_link_args_equal(&args, &other));
	CU_ASSERT_EQUAL(parse("socket=a"), 0);
	CU_ASSERT_FALSE(vbus_link_args_equal(&args, &other));
}

int
main(void)
{
	static const struct cu_test tests[] = {
		{"good arguments", test_good},
		{"PCI functions", test_pci},
		{"refused arguments", test_refused},
		{"length of the path", test_path_length},
		{"names", test_names},
		{"names of devices", test_device_names},
		{"same link", test_equal},
		{NULL, NULL},
	};

	return cu_run("devargs", tests, NULL, NULL);
}
