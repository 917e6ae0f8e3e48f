/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

#include "dp_hugefiles.h"

#include <limits.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_memory.h>

static void *paths; /* search tree of heap strings */

static int
compare(const void *a, const void *b)
{
	return strcmp(a, b);
}

static int
note(const struct rte_memseg_list *msl, const struct rte_memseg *ms, void *arg)
{
	char link[64], path[PATH_MAX];
	char *copy, **found;
	ssize_t len;
	int fd;

	(void)arg;
	if (msl->external)
		return 0;
	fd = rte_memseg_get_fd_thread_unsafe(ms);
	if (fd < 0)
		return 0;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	len = readlink(link, path, sizeof(path) - 1);
	if (len <= 0)
		return 0;
	path[len] = '\0';
	/* memfds and files that are gone already have no name to remove. */
	if (strncmp(path, "/memfd:", 7) == 0 || strstr(path, " (deleted)") != NULL)
		return 0;
	copy = strdup(path);
	if (copy == NULL)
		return 0;
	found = tsearch(copy, &paths, compare);
	if (found == NULL || *found != copy)
		free(copy);
	return 0;
}

void
dp_hugefiles_find(void)
{
	/* A secondary process uses the files of another. */
	if (rte_eal_process_type() == RTE_PROC_PRIMARY && rte_eal_has_hugepages())
		rte_memseg_walk(note, NULL);
}

static void
remove_one(void *path)
{
	unlink(path);
	free(path);
}

void
dp_hugefiles_remove(void)
{
	tdestroy(paths, remove_one);
	paths = NULL;
}
