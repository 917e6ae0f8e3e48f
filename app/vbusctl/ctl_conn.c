/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * The connection to vbus-dp: one request, its answer, the next. What comes is trusted no more than
 * it has to be: a line of at most ANSWER_MAX bytes within TIMEOUT_S seconds, with our id.
 */

#include "ctl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define TIMEOUT_S  30
#define ANSWER_MAX (4u << 20)

int ctl_status;

static int sock = -1;
static json_int_t last_id;

static json_t *
failed(int status, const char *what, const char *why)
{
	fprintf(stderr, "vbusctl: %s%s%s\n", what, why != NULL ? ": " : "", why != NULL ? why : "");
	ctl_status = status;
	return NULL;
}

static bool
open_socket(void)
{
	const struct timeval limit = {.tv_sec = TIMEOUT_S};
	struct sockaddr_un addr = {.sun_family = AF_UNIX};

	if (sock >= 0)
		return true;
	if (strlen(ctl_options.socket) >= sizeof(addr.sun_path)) {
		failed(CTL_CONNECT, ctl_options.socket, strerror(ENAMETOOLONG));
		return false;
	}
	strcpy(addr.sun_path, ctl_options.socket);
	sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (sock >= 0 && connect(sock, (struct sockaddr *)&addr, sizeof(addr)) == 0 &&
		setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) == 0 &&
		setsockopt(sock, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) == 0)
		return true;
	failed(CTL_CONNECT, ctl_options.socket, strerror(errno));
	if (sock >= 0)
		close(sock);
	sock = -1;
	return false;
}

static json_t *
lost(const char *why)
{
	close(sock);
	sock = -1;
	return failed(CTL_CONNECT, ctl_options.socket, why);
}

static bool
send_all(const char *text, size_t len)
{
	ssize_t n;

	while (len != 0) {
		n = send(sock, text, len, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return false;
		text += n;
		len -= (size_t)n;
	}
	return true;
}

/* A line. @return to be freed; NULL and *@p why */
static char *
receive(const char **why)
{
	size_t len = 0, size = 65536;
	char *line = malloc(size), *grown;
	ssize_t n;

	*why = strerror(ENOMEM);
	while (line != NULL) {
		n = recv(sock, line + len, size - len, 0);
		if (n < 0 && errno == EINTR)
			continue;
		*why = n == 0 ? "closed the connection" : n < 0 ? strerror(errno) : NULL;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			*why = "no answer in time";
		if (n <= 0)
			break;
		len += (size_t)n;
		if (line[len - 1] == '\n') {
			line[len - 1] = '\0';
			return line;
		}
		if (len < size)
			continue;
		*why = size < ANSWER_MAX ? strerror(ENOMEM) : "the answer is too long";
		size *= 2;
		grown = size <= ANSWER_MAX ? realloc(line, size) : NULL;
		if (grown == NULL)
			break;
		line = grown;
	}
	free(line);
	return NULL;
}

static json_t *
take_result(const char *method, const char *line)
{
	json_error_t err;
	json_t *answer = json_loads(line, 0, &err), *result;
	const json_t *e = json_object_get(answer, "error");
	const char *message = json_string_value(json_object_get(e, "message"));

	if (message != NULL) {
		failed(CTL_REFUSED, method, message);
		json_decref(answer);
		return NULL;
	}
	result = json_object_get(answer, "result");
	if (result == NULL || json_integer_value(json_object_get(answer, "id")) != last_id) {
		json_decref(answer);
		return lost("speaks something else than JSON-RPC");
	}
	json_incref(result);
	json_decref(answer);
	return result;
}

json_t *
ctl_call(const char *method, json_t *params)
{
	json_t *req, *result;
	const char *why;
	char *text;

	if (params == NULL)
		params = json_object();
	req = json_pack("{s:s, s:s, s:o, s:I}", "jsonrpc", "2.0", "method", method, "params",
		params, "id", ++last_id);
	text = req != NULL ? json_dumps(req, JSON_COMPACT) : NULL;
	json_decref(req);
	if (text == NULL)
		return failed(CTL_USAGE, method, "the arguments are no UTF-8 text");
	if (!open_socket()) {
		free(text);
		return NULL;
	}
	if (!send_all(text, strlen(text)) || !send_all("\n", 1)) {
		free(text);
		return lost(strerror(errno));
	}
	free(text);
	text = receive(&why);
	if (text == NULL)
		return lost(why);
	result = take_result(method, text);
	free(text);
	return result;
}

json_t *
ctl_call_all(const char *method, const json_t *params, const char *list)
{
	json_t *all = NULL, *page, *next = NULL, *p;

	do {
		p = params != NULL ? json_copy((json_t *)params) : json_object();
		if (next != NULL)
			json_object_set_new(p, "offset", next);
		page = ctl_call(method, p);
		if (page == NULL) {
			json_decref(all);
			return NULL;
		}
		next = json_object_get(page, "next");
		next = json_is_integer(next) ? json_integer(json_integer_value(next)) : NULL;
		if (all == NULL) {
			all = page;
			continue;
		}
		json_array_extend(json_object_get(all, list), json_object_get(page, list));
		json_decref(page);
	} while (next != NULL);
	json_object_del(all, "next");
	return all;
}
