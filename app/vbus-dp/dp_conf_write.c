/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

#include "dp_conf.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

/* As a word where it can be one, else in single quotes, where libconfuse replaces nothing. */
static void
put(FILE *out, const char *value)
{
	static const char word[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.:/";

	/* Two slashes begin a comment. */
	if (value[0] != '\0' && strspn(value, word) == strlen(value) &&
		strncmp(value, "//", 2) != 0) {
		fputs(value, out);
		return;
	}
	fputc('\'', out);
	for (; *value != '\0'; value++) {
		if (*value == '\'' || *value == '\\')
			fputc('\\', out);
		fputc(*value, out);
	}
	fputc('\'', out);
}

static void
key(FILE *out, const char *indent, const char *name, const char *value)
{
	fprintf(out, "%s%s = ", indent, name);
	put(out, value);
	fputc('\n', out);
}

static void
list(FILE *out, const char *name, const struct dp_names *l)
{
	const struct dp_name *n;

	if (STAILQ_EMPTY(l))
		return;
	fprintf(out, "\t%s = {", name);
	for (n = STAILQ_FIRST(l); n != NULL; n = STAILQ_NEXT(n, next)) {
		fputs(n == STAILQ_FIRST(l) ? "\n\t\t" : ",\n\t\t", out);
		put(out, n->name);
	}
	fputs("\n\t}\n", out);
}

static void
write_back(FILE *out, const struct dp_device_conf *d)
{
	if (d->pty[0] != '\0')
		key(out, "\t", "pty", d->pty);
	if (d->listen[0] != '\0')
		key(out, "\t", "listen", d->listen);
	if (d->file[0] != '\0')
		key(out, "\t", "file", d->file);
	if (d->stdio)
		fputs("\tstdio = true\n", out);
	if (d->scrollback != DP_SCROLLBACK)
		fprintf(out, "\tscrollback = %u\n", d->scrollback);
	if (d->hold)
		fputs("\thold = true\n", out);
	if (d->memory != 0)
		fprintf(out, "\tmemory = %llu\n", (unsigned long long)d->memory);
	if (d->readonly)
		fputs("\treadonly = true\n", out);
	if (d->sector != 512)
		fprintf(out, "\tsector = %u\n", d->sector);
}

static void
write_device(FILE *out, const struct dp_device_conf *d)
{
	static const uint8_t no_mac[sizeof(d->mac)];

	fprintf(out, "device %s {\n", d->name);
	key(out, "\t", "class", d->cls);
	if (d->bus[0] != '\0')
		key(out, "\t", "bus", d->bus);
	/* One that was chosen too: the next start has the same. */
	if (memcmp(d->mac, no_mac, sizeof(no_mac)) != 0)
		fprintf(out, "\tmac = %02x:%02x:%02x:%02x:%02x:%02x\n", d->mac[0], d->mac[1],
			d->mac[2], d->mac[3], d->mac[4], d->mac[5]);
	if (d->mtu != 1500)
		fprintf(out, "\tmtu = %u\n", d->mtu);
	if (d->queues != 1)
		fprintf(out, "\tqueues = %u\n", d->queues);
	if (d->sw[0] != '\0')
		key(out, "\t", "switch", d->sw);
	if (d->patch[0] != '\0')
		key(out, "\t", "patch", d->patch);
	write_back(out, d);
	fputs("}\n", out);
}

int
dp_conf_write(const struct dp_conf *c, FILE *out)
{
	static const char *const connectors[] = {
		[DP_CONNECTOR_VFIO_USER] = "vfio-user",
		[DP_CONNECTOR_NULL] = "null",
		[DP_CONNECTOR_WINDOW] = "window",
	};
	const struct dp_bus_conf *b;
	const struct dp_device_conf *d;
	const struct dp_switch_conf *s;

	key(out, "", "mode", c->mode == DP_MODE_ADAPTIVE ? "adaptive" : "busy");
	fprintf(out, "idle = %u\n", c->idle_us);
	if (c->control[0] != '\0')
		key(out, "", "control", c->control);
	if (c->keeper[0] != '\0')
		key(out, "", "keeper", c->keeper);
	TAILQ_FOREACH (b, &c->buses, next) {
		fprintf(out, "\nbus %s {\n", b->name);
		key(out, "\t", "connector", connectors[b->connector]);
		if (b->socket[0] != '\0')
			key(out, "\t", "socket", b->socket);
		if (b->no_ports)
			key(out, "\t", "ports", "no");
		if (b->connector == DP_CONNECTOR_WINDOW) {
			key(out, "\t", "window", b->window);
			if (b->size != 0)
				fprintf(out, "\tsize = %" PRIu64 "\n", b->size);
			key(out, "\t", "side", b->side_b ? "b" : "a");
		}
		list(out, "devices", &b->devices);
		fputs("}\n", out);
	}
	TAILQ_FOREACH (s, &c->switches, next) {
		fprintf(out, "\nswitch %s {\n", s->name);
		list(out, "ports", &s->ports);
		fprintf(out, "\tageing = %u\n\tsize = %u\n}\n", s->ageing_s, s->size);
	}
	TAILQ_FOREACH (d, &c->devices, next) {
		fputc('\n', out);
		write_device(out, d);
	}
	return fflush(out) == 0 && ferror(out) == 0 ? 0 : -EIO;
}
