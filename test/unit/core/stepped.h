/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */
#ifndef STEPPED_H
#define STEPPED_H

/**
 * @file
 * A process that is killed behind its n-th instruction: whoever has to go on where another one was
 * killed is tried behind each of them. Memory that is to survive is shared (memfd).
 */

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
#define STEPPED_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define STEPPED_SANITIZED 1
#endif
#endif

/**
 * Instructions between two kills: VBUS_STEP (1 takes a while), or what is over in seconds. A sanitizer
 * makes several instructions of each, and time goes with their square.
 */
static inline uint32_t
stepped_distance(void)
{
	const char *env = getenv("VBUS_STEP");
	int nb = env != NULL ? atoi(env) : 0;

#ifdef STEPPED_SANITIZED
	return nb > 0 ? (uint32_t)nb : 151;
#else
	return nb > 0 ? (uint32_t)nb : 4;
#endif
}

/** An emulator of another processor's programs has no ptrace(). Says so. */
static inline bool
stepped_skip(void)
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0)
		_exit(ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0 && errno == ENOSYS ? 77 : 0);
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status) ||
		WEXITSTATUS(status) != 77)
		return false;
	printf("left out: no ptrace here ");
	return true;
}

/**
 * Run fn() in a child, for @p nb instructions.
 * @return 1 killed; 0 it came to its end before; -1 there is no ptrace() here, or it crashed
 */
static inline int
stepped_kill(void (*fn)(void), uint32_t nb)
{
	int status = 0, ret = 1;
	uint32_t i;
	pid_t pid = fork();

	if (pid == 0) {
		if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
			_exit(77);
		raise(SIGSTOP);
		fn();
		_exit(0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status))
		return -1;
	for (i = 0; i < nb && ret == 1; i++) {
		if (ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL) != 0 ||
			waitpid(pid, &status, 0) != pid)
			ret = -1;
		else if (WIFEXITED(status))
			return WEXITSTATUS(status) == 0 ? 0 : -1;
		else if (!WIFSTOPPED(status) || WSTOPSIG(status) != SIGTRAP)
			ret = -1;
	}
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	return ret;
}

#endif
