/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * A configuration file becomes a struct dp_conf: libconfuse reads it (DECISIONS 26), and calls back
 * with each value as it comes, while it knows the line.
 *
 * Threads: one at a time in the process, libconfuse's lexer is global; hence the one static pointer,
 * for its callbacks carry no argument. A process that serves has its files read by a child
 * (dp_conf_child.c). Ownership: an object belongs to the loader until its section
 * ends, then to the configuration.
 *
 * Sections are taken from libconfuse as soon as they end: it looks for a title among all those it
 * has, one by one, which for twenty thousand sections took seconds.
 */

#include "dp_conf.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <confuse.h>

#include "vbus_core.h"

#define FILE_MAX  (64u << 20)
#define KEYS_MAX  24
#define SEEN_FLAG (1 << 24) /* ours, in an option's flags: this key had a value in this section */

struct loader {
	struct dp_conf *c;
	const char *file;
	char *err;
	size_t err_size;
	int ret; /* of the first error; 0: none */
	cfg_t *root;
	/* the section that is open; at most one of the objects */
	cfg_t *sec;
	struct dp_bus_conf *bus;
	struct dp_device_conf *device;
	struct dp_switch_conf *sw;
};

static struct loader *ld; /* for libconfuse's callbacks, while dp_conf_load() runs */

static int wrong(struct loader *l, uint32_t line, int code, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* Keep the first error. @return @p code */
static int
wrong(struct loader *l, uint32_t line, int code, const char *fmt, ...)
{
	char why[DP_ERR_SIZE];
	va_list ap;

	if (l->ret != 0)
		return code;
	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	l->ret = code;
	snprintf(l->err, l->err_size, "%s:%u: %s", l->file, line, why);
	return code;
}

/* ---- sections ---------------------------------------------------------------------------------- */

/* "bus vm1: ", or nothing at the top. */
static const char *
where(const cfg_t *cfg, char buf[64])
{
	if (cfg == ld->root || cfg->title == NULL)
		buf[0] = '\0';
	else
		snprintf(buf, 64, "%s %.40s: ", cfg->name, cfg->title);
	return buf;
}

/* At its first key, or at its end when it has none: libconfuse says nothing when it begins. */
static int
section_begin(cfg_t *sec)
{
	/* The root stands still at the line of the '{' meanwhile. */
	uint32_t line = (uint32_t)ld->root->line;

	ld->sec = sec;
	if (!vbus_name_valid(sec->title))
		return wrong(ld, line, -EINVAL,
			"%s: '%.60s' is no name: 1 to %d of A-Z a-z 0-9 _ -", sec->name, sec->title,
			VBUS_NAME_MAX);
	if (strcmp(sec->name, "bus") == 0) {
		ld->bus = dp_bus_conf_new(sec->title);
		if (ld->bus != NULL)
			ld->bus->line = line;
	} else if (strcmp(sec->name, "device") == 0) {
		ld->device = dp_device_conf_new(sec->title);
		if (ld->device != NULL)
			ld->device->line = line;
	} else {
		ld->sw = dp_switch_conf_new(sec->title);
		if (ld->sw != NULL)
			ld->sw->line = line;
	}
	if (ld->bus == NULL && ld->device == NULL && ld->sw == NULL)
		return wrong(ld, line, -ENOMEM, "out of memory");
	return 0;
}

static void
section_forget(void)
{
	dp_bus_conf_del(ld->bus);
	dp_device_conf_del(ld->device);
	dp_switch_conf_del(ld->sw);
	ld->bus = NULL;
	ld->device = NULL;
	ld->sw = NULL;
	ld->sec = NULL;
}

/* Give the open object to the configuration. */
static int
section_commit(void)
{
	char why[DP_ERR_SIZE];
	uint32_t line, first = 0;
	int ret;

	if (ld->bus != NULL) {
		line = ld->bus->line;
		ret = dp_bus_conf_check(ld->bus, why, sizeof(why));
		if (ret != 0)
			return wrong(ld, line, ret, "bus %s: %.400s", ld->bus->name, why);
		ret = dp_conf_add_bus(ld->c, ld->bus);
		if (ret == -EEXIST)
			first = dp_conf_bus(ld->c, ld->bus->name)->line;
	} else if (ld->device != NULL) {
		line = ld->device->line;
		ret = dp_device_conf_check(ld->device, why, sizeof(why));
		if (ret != 0)
			return wrong(ld, line, ret, "device %s: %.400s", ld->device->name, why);
		ret = dp_conf_add_device(ld->c, ld->device);
		if (ret == -EEXIST)
			first = dp_conf_device(ld->c, ld->device->name)->line;
	} else {
		line = ld->sw->line;
		ret = dp_switch_conf_check(ld->sw, why, sizeof(why));
		if (ret != 0)
			return wrong(ld, line, ret, "switch %s: %.400s", ld->sw->name, why);
		ret = dp_conf_add_switch(ld->c, ld->sw);
		if (ret == -EEXIST)
			first = dp_conf_switch(ld->c, ld->sw->name)->line;
	}
	if (ret == -EEXIST)
		return wrong(ld, line, ret, "%s %s: given twice, first in line %u", ld->sec->name,
			ld->sec->title, first);
	if (ret != 0)
		return wrong(ld, line, ret, "%s", strerror(-ret));
	ld->bus = NULL;
	ld->device = NULL;
	ld->sw = NULL;
	return 0;
}

/* ---- callbacks of libconfuse ------------------------------------------------------------------- */

static void
on_error(cfg_t *cfg, const char *fmt, va_list ap)
{
	char text[DP_ERR_SIZE], at[64];

	vsnprintf(text, sizeof(text), fmt, ap);
	where(cfg, at);
	/* Its own words would call a section an option. */
	if (strncmp(text, "no such option ", 15) == 0)
		wrong(ld, (uint32_t)cfg->line, -EINVAL, "%sunknown %s %.60s", at,
			cfg == ld->root ? "section or key" : "key", text + 15);
	else
		wrong(ld, (uint32_t)cfg->line, -EINVAL, "%s%.400s", at, text);
}

/* Where later errors will point. */
static void
note_line(const char *key, uint32_t line)
{
	if (ld->sec == NULL) {
		if (strcmp(key, "control") == 0)
			ld->c->control_line = line;
	} else if (ld->bus != NULL) {
		if (strcmp(key, "socket") == 0)
			ld->bus->socket_line = line;
		else if (strcmp(key, "devices") == 0)
			dp_names_last(&ld->bus->devices)->line = line;
	} else if (ld->device != NULL) {
		if (strcmp(key, "bus") == 0)
			ld->device->bus_line = line;
		else if (strcmp(key, "switch") == 0)
			ld->device->sw_line = line;
		else if (strcmp(key, "patch") == 0)
			ld->device->patch_line = line;
	} else if (strcmp(key, "ports") == 0) {
		dp_names_last(&ld->sw->ports)->line = line;
	}
}

/* A value, before libconfuse stores it: of a list, each of its own. */
static int
on_value(cfg_t *cfg, cfg_opt_t *opt, const char *value, void *result)
{
	uint32_t line = (uint32_t)cfg->line;
	char why[DP_ERR_SIZE], at[64];
	bool first;
	int ret;

	*(const char **)result = value;
	if (cfg != ld->root && ld->sec != cfg && section_begin(cfg) != 0)
		return -1;
	/* The place for this value is there already; a second `key =` began a new list. */
	first = (opt->flags & CFGF_LIST) == 0 || opt->nvalues == 1;
	if (first && (opt->flags & SEEN_FLAG) != 0)
		return wrong(ld, line, -EINVAL, "%s%s: given twice", where(cfg, at), opt->name);
	opt->flags |= SEEN_FLAG;

	if (cfg == ld->root)
		ret = dp_conf_set(ld->c, opt->name, value, why, sizeof(why));
	else if (ld->bus != NULL)
		ret = dp_bus_conf_set(ld->bus, opt->name, value, why, sizeof(why));
	else if (ld->device != NULL)
		ret = dp_device_conf_set(ld->device, opt->name, value, why, sizeof(why));
	else
		ret = dp_switch_conf_set(ld->sw, opt->name, value, why, sizeof(why));
	if (ret != 0)
		return wrong(ld, line, ret, "%s%.400s", where(cfg, at), why);
	note_line(opt->name, line);
	return 0;
}

/* The end of a section. @p cfg is the root. */
static int
on_section(cfg_t *cfg, cfg_opt_t *opt)
{
	cfg_t *sec = opt->values[opt->nvalues - 1]->section;
	char at[64];
	unsigned int i;
	cfg_opt_t *key;

	(void)cfg;
	if (ld->sec != sec && section_begin(sec) != 0)
		return -1;
	/* `devices = {}` behind a list that had something: no value came by, but libconfuse's mark
	 * of an assignment is still there. */
	for (i = 0; (key = cfg_getnopt(sec, i)) != NULL; i++)
		if ((key->flags & SEEN_FLAG) != 0 && (key->flags & CFGF_RESET) != 0)
			return wrong(ld, (uint32_t)sec->line, -EINVAL, "%s%s: given twice",
				where(sec, at), key->name);
	if (section_commit() != 0)
		return -1;
	ld->sec = NULL;
	cfg_opt_rmnsec(opt, opt->nvalues - 1);
	return 0;
}

/* ---- the file ---------------------------------------------------------------------------------- */

/* libconfuse copies what it is given. @return number of options before the end */
static unsigned int
options(cfg_opt_t *opts, const char *section)
{
	const cfg_opt_t end = CFG_END();
	unsigned int i;
	const char *name;
	bool list;

	for (i = 0; i < KEYS_MAX - 1 && (name = dp_conf_key(section, i, &list)) != NULL; i++) {
		const cfg_opt_t one = CFG_STR_CB(name, NULL, CFGF_NODEFAULT, on_value);
		const cfg_opt_t many = CFG_STR_LIST_CB(name, NULL, CFGF_NODEFAULT, on_value);

		opts[i] = list ? many : one;
	}
	opts[i] = end;
	return i;
}

static int
parse(struct loader *l, const char *text)
{
	cfg_opt_t top[KEYS_MAX + 3], bus[KEYS_MAX], device[KEYS_MAX], sw[KEYS_MAX];
	const cfg_opt_t sections[] = {
		CFG_SEC("bus", bus, CFGF_MULTI | CFGF_TITLE),
		CFG_SEC("device", device, CFGF_MULTI | CFGF_TITLE),
		CFG_SEC("switch", sw, CFGF_MULTI | CFGF_TITLE),
		CFG_END(),
	};
	unsigned int n = options(top, "");

	options(bus, "bus");
	options(device, "device");
	options(sw, "switch");
	memcpy(&top[n], sections, sizeof(sections));
	l->root = cfg_init(top, CFGF_NONE);
	if (l->root == NULL)
		return wrong(l, 0, -ENOMEM, "out of memory");
	cfg_set_error_function(l->root, on_error);
	cfg_set_validate_func(l->root, "bus", on_section);
	cfg_set_validate_func(l->root, "device", on_section);
	cfg_set_validate_func(l->root, "switch", on_section);
	ld = l;
	if (cfg_parse_buf(l->root, text) != CFG_SUCCESS)
		wrong(l, (uint32_t)(l->sec != NULL ? l->sec->line : l->root->line), -EINVAL,
			"cannot be read: %s", strerror(errno));
	section_forget();
	ld = NULL;
	cfg_free(l->root);
	return l->ret;
}

/* The buses' lists of devices become the devices' buses. */
static int
fold(struct loader *l)
{
	struct dp_bus_conf *b;
	struct dp_device_conf *d;
	struct dp_name *n;

	TAILQ_FOREACH (b, &l->c->buses, next) {
		for (n = STAILQ_FIRST(&b->devices); n != NULL; n = STAILQ_NEXT(n, next)) {
			d = dp_conf_device(l->c, n->name);
			if (d == NULL)
				return wrong(l, n->line, -ENOENT,
					"bus %s: devices: there is no device '%s'", b->name,
					n->name);
			if (d->bus[0] != '\0')
				return wrong(l, n->line, -EEXIST,
					"bus %s: devices: device %s is on bus %s already (line %u)",
					b->name, d->name, d->bus, d->bus_line);
			snprintf(d->bus, sizeof(d->bus), "%s", b->name);
			d->bus_line = n->line;
		}
		dp_names_free(&b->devices);
	}
	return 0;
}

int
dp_conf_load_text(
	struct dp_conf *c, const char *file, char *text, size_t len, char *err, size_t err_size)
{
	struct loader l = {.c = c, .file = file, .err = err, .err_size = err_size};
	char why[DP_ERR_SIZE];
	uint32_t line;
	int ret = dp_conf_scan(text, len, &line, why, sizeof(why));

	if (ret != 0)
		return wrong(&l, line, ret, "%s", why);
	ret = parse(&l, text);
	if (ret == 0)
		ret = fold(&l);
	return ret != 0 ? ret : dp_conf_check(c, file, err, err_size);
}

/* @return a string to free, NULL: *@p ret and err say why */
static char *
read_file(const char *path, size_t *len, int *ret, char *err, size_t err_size)
{
	/* Not blocking: a FIFO without a writer would hold us. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	char *text = NULL;
	struct stat st;
	ssize_t n;

	*len = 0;
	if (fd < 0 || fstat(fd, &st) != 0)
		goto err;
	errno = S_ISDIR(st.st_mode) ? EISDIR : !S_ISREG(st.st_mode) ? EINVAL : EFBIG;
	if (!S_ISREG(st.st_mode) || st.st_size > FILE_MAX)
		goto err;
	text = malloc((size_t)st.st_size + 1);
	if (text == NULL)
		goto err;
	while (*len < (size_t)st.st_size) {
		n = read(fd, text + *len, (size_t)st.st_size - *len);
		if (n < 0)
			goto err;
		if (n == 0)
			break;
		*len += (size_t)n;
	}
	text[*len] = '\0';
	close(fd);
	return text;
err:
	*ret = -errno;
	snprintf(err, err_size, "%s:0: %s", path,
		errno == EINVAL ? "is not a regular file" : strerror(errno));
	free(text);
	if (fd >= 0)
		close(fd);
	return NULL;
}

int
dp_conf_load_here(struct dp_conf *c, const char *path, char *err, size_t err_size)
{
	size_t len;
	int ret = 0;
	char *text = read_file(path, &len, &ret, err, err_size);

	if (text == NULL)
		return ret;
	ret = dp_conf_load_text(c, path, text, len, err, err_size);
	free(text);
	return ret;
}
