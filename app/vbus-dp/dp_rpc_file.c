/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * Files that a client of the control socket names: what paths are taken, and config.save.
 *
 * Threads: the loop's. The file is on the way out of this process only when it is complete, reads
 * back as a configuration and is on the disk: then it is renamed to its name.
 */

#include "dp_rpc_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dp_state.h"

#define FILE_SUFFIX ".XXXXXX" /* of mkostemp() */

/* @return what is wrong with the text itself, NULL: nothing */
static const char *
check_text(const char *path)
{
	const char *at, *end;
	size_t len;

	if (path[0] != '/')
		return "is not an absolute path";
	if (strlen(path) + sizeof(FILE_SUFFIX) > PATH_MAX)
		return "is too long";
	for (at = path; *at != '\0'; at++)
		if ((unsigned char)*at < 0x20 || *at == 0x7f)
			return "has a control character";
	for (at = path + 1;; at = end + 1) {
		end = strchrnul(at, '/');
		len = (size_t)(end - at);
		if (len == 0)
			return "has an empty part";
		if ((len == 1 && at[0] == '.') || (len == 2 && memcmp(at, "..", 2) == 0))
			return "has a part '.' or '..'";
		if (*end == '\0')
			return NULL;
	}
}

bool
dp_rpc_file_check(const char *key, const char *path, struct dp_rpc_error *e)
{
	const char *why = check_text(path);
	char dir[PATH_MAX];
	struct stat st;

	if (why != NULL) {
		dp_rpc_bad(e, key, "%s", why);
		return false;
	}
	snprintf(dir, sizeof(dir), "%.*s", (int)(strrchr(path, '/') - path), path);
	if (stat(dir[0] != '\0' ? dir : "/", &st) != 0) {
		dp_rpc_bad(e, key, "its folder: %s", strerror(errno));
		return false;
	}
	/* A device, a socket, and a link to somewhere else stay as they are. */
	if (lstat(path, &st) == 0 && !S_ISREG(st.st_mode)) {
		dp_rpc_bad(e, key, "exists and is not a regular file");
		return false;
	}
	return true;
}

/* ---- config.save ------------------------------------------------------------------------------- */

/* Not even a full disk may leave a file that cannot be loaded. */
static int
read_back(const char *path, char *err, size_t err_size)
{
	struct dp_conf c;
	char why[DP_ERR_SIZE];
	int ret;

	dp_conf_init(&c);
	ret = dp_conf_load(&c, path, why, sizeof(why));
	dp_conf_free(&c);
	if (ret != 0)
		snprintf(err, err_size, "what was written does not read back: %.400s", why);
	return ret;
}

static int
write_conf(int fd, const char *temp, char *err, size_t err_size)
{
	FILE *out = fdopen(fd, "w");
	int ret;

	if (out == NULL) {
		ret = -errno;
		close(fd);
		return ret;
	}
	ret = dp_conf_write(dp_state_conf(), out);
	if (ret == 0 && fsync(fd) != 0)
		ret = -errno;
	if (fclose(out) != 0 && ret == 0)
		ret = -errno;
	return ret == 0 ? read_back(temp, err, err_size) : ret;
}

static void
sync_folder(const char *path)
{
	char dir[PATH_MAX];
	int fd;

	snprintf(dir, sizeof(dir), "%.*s", (int)(strrchr(path, '/') - path + 1), path);
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return;
	fsync(fd);
	close(fd);
}

static int
save(const char *path, char *err, size_t err_size)
{
	char temp[PATH_MAX];
	mode_t mode = 0644;
	struct stat st;
	int fd, ret;

	if (lstat(path, &st) == 0)
		mode = st.st_mode & 0777;
	snprintf(temp, sizeof(temp), "%s%s", path, FILE_SUFFIX);
	fd = mkostemp(temp, O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fchmod(fd, mode) != 0) {
		ret = -errno;
		close(fd);
	} else {
		ret = write_conf(fd, temp, err, err_size);
	}
	if (ret == 0 && rename(temp, path) != 0)
		ret = -errno;
	if (ret != 0)
		unlink(temp);
	else
		sync_folder(path);
	return ret;
}

json_t *
dp_rpc_config_save(const json_t *params, struct dp_rpc_error *e)
{
	const char *path = dp_rpc_str(params, "file");
	char err[DP_ERR_SIZE] = "";

	if (!dp_rpc_file_check("file", path, e))
		return NULL;
	return dp_rpc_done(e, save(path, err, sizeof(err)), err);
}
