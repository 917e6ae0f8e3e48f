/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * For tests, preloaded: the allocation that a test names fails, in whatever library it is made. The
 * file that VBUS_FAILALLOC names holds three numbers, mapped by the test and by this:
 *   [0] count down: the allocation that brings it from 1 to 0 fails. 0: none
 *   [1] allocations that were made to fail so far
 *   [2] the caller's address of the last one
 * Any thread; lcores allocate nothing, so that counting costs them nothing.
 */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static void *(*next_malloc)(size_t);
static void *(*next_calloc)(size_t, size_t);
static void *(*next_realloc)(void *, size_t);
static int (*next_posix_memalign)(void **, size_t, size_t);
static int64_t *plan;

/* dlsym() allocates before we know where from; nobody gives these back. */
static char early[65536];
static size_t early_used;

static void *
early_alloc(size_t len)
{
	void *p = early + early_used;

	early_used += (len + 15) & ~(size_t)15;
	return early_used <= sizeof(early) ? p : NULL;
}

/* With the first allocation, which other libraries make before any constructor of ours. */
static void
find_next(void)
{
	static int looking;

	if (looking)
		return;
	looking = 1;
	next_calloc = dlsym(RTLD_NEXT, "calloc");
	next_realloc = dlsym(RTLD_NEXT, "realloc");
	next_posix_memalign = dlsym(RTLD_NEXT, "posix_memalign");
	next_malloc = dlsym(RTLD_NEXT, "malloc");
}

__attribute__((constructor)) static void
start(void)
{
	const char *path = getenv("VBUS_FAILALLOC");
	int fd = path != NULL ? open(path, O_RDWR | O_CLOEXEC) : -1;

	if (fd < 0)
		return;
	plan = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (plan == MAP_FAILED)
		plan = NULL;
	close(fd);
}

static int
fails(void *caller)
{
	int64_t left;

	if (plan == NULL || __atomic_load_n(&plan[0], __ATOMIC_RELAXED) <= 0)
		return 0;
	left = __atomic_fetch_sub(&plan[0], 1, __ATOMIC_RELAXED);
	if (left != 1)
		return 0;
	__atomic_store_n(&plan[2], (int64_t)(intptr_t)caller, __ATOMIC_RELAXED);
	__atomic_fetch_add(&plan[1], 1, __ATOMIC_RELAXED);
	errno = ENOMEM;
	return 1;
}

void *
malloc(size_t len)
{
	if (next_malloc == NULL)
		find_next();
	if (next_malloc == NULL)
		return early_alloc(len);
	return fails(__builtin_return_address(0)) ? NULL : next_malloc(len);
}

void *
calloc(size_t nb, size_t len)
{
	if (next_malloc == NULL)
		find_next();
	if (next_calloc == NULL)
		return early_alloc(nb * len);
	return fails(__builtin_return_address(0)) ? NULL : next_calloc(nb, len);
}

void *
realloc(void *p, size_t len)
{
	void *q;

	if ((char *)p >= early && (char *)p < early + sizeof(early)) {
		q = malloc(len);
		if (q != NULL)
			memcpy(q, p, len < sizeof(early) ? len : sizeof(early));
		return q;
	}
	if (next_malloc == NULL)
		find_next();
	if (next_realloc == NULL)
		return early_alloc(len);
	return fails(__builtin_return_address(0)) ? NULL : next_realloc(p, len);
}

int
posix_memalign(void **out, size_t align, size_t len)
{
	if (next_malloc == NULL)
		find_next();
	if (next_posix_memalign == NULL || fails(__builtin_return_address(0)))
		return ENOMEM;
	return next_posix_memalign(out, align, len);
}

void
free(void *p)
{
	static void (*next_free)(void *);
	static int looking;

	if ((char *)p >= early && (char *)p < early + sizeof(early))
		return;
	if (next_free == NULL && !looking) {
		looking = 1; /* glibc's dlsym() of 2.43 gives something back itself */
		next_free = dlsym(RTLD_NEXT, "free");
	}
	if (next_free != NULL)
		next_free(p);
}
