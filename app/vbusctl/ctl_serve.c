/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 vbus developers
 */

/*
 * The counters over HTTP, for Prometheus: "vbusctl metrics --listen [HOST:]PORT".
 *
 * One thread, no child, nothing to be written: whoever connects can read the counters and nothing else.
 * A client is bounded in every way: so many at a time, so many bytes of a request, so many seconds
 * until its answer is taken. What vbus-dp is asked is bounded, too: an answer serves everybody who asks
 * within KEEP_MS. vbus-dp may be away and come back; that is answer 503.
 */

#include "ctl.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CLIENTS	     32
#define REQUEST_MAX  4096 /* bytes; header fields are read over */
#define CLIENT_MS    5000 /* from the connection to the last byte */
#define KEEP_MS	     250
#define HOST_SIZE    64
#define HOST_DEFAULT "127.0.0.1"

struct client {
	int fd; /* -1: free */
	int64_t deadline;
	size_t got;
	char request[REQUEST_MAX];
	char *answer; /* NULL: the request is still read */
	size_t len, sent;
};

static struct client clients[CLIENTS];

static struct {
	char *text; /* NULL: none */
	size_t len;
	int64_t at;
} kept;

static int64_t
now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* ---- the text ---------------------------------------------------------------------------------- */

int
ctl_metrics(FILE *out)
{
	json_t *result, *params;
	json_int_t next = 0;
	const char *text;

	do {
		params = next != 0 ? json_pack("{s:I}", "offset", next) : NULL;
		result = ctl_call("metrics", params);
		if (result == NULL)
			return ctl_status;
		text = json_string_value(json_object_get(result, "text"));
		if (text != NULL)
			fputs(text, out);
		next = json_integer_value(json_object_get(result, "next"));
		json_decref(result);
	} while (next != 0);
	return CTL_OK;
}

/* A text that is not older than KEEP_MS. @return false: vbus-dp does not answer */
static bool
keep_text(void)
{
	char *text = NULL;
	size_t len = 0;
	FILE *f;
	bool ok;

	if (kept.text != NULL && now_ms() - kept.at < KEEP_MS)
		return true;
	f = open_memstream(&text, &len);
	if (f == NULL)
		return false;
	ok = ctl_metrics(f) == CTL_OK;
	if (fclose(f) != 0 || !ok) {
		free(text);
		return false;
	}
	free(kept.text);
	kept.text = text;
	kept.len = len;
	kept.at = now_ms();
	return true;
}

/* ---- answers ----------------------------------------------------------------------------------- */

static void
client_end(struct client *c)
{
	close(c->fd);
	free(c->answer);
	memset(c, 0, sizeof(*c));
	c->fd = -1;
}

static void
answer(struct client *c, const char *status, const char *type, const char *body, size_t len,
	bool with_body)
{
	FILE *f = open_memstream(&c->answer, &c->len);

	if (f == NULL) {
		client_end(c);
		return;
	}
	fprintf(f,
		"HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n"
		"Connection: close\r\nX-Content-Type-Options: nosniff\r\n\r\n",
		status, type, len);
	if (with_body)
		fwrite(body, 1, len, f);
	if (fclose(f) != 0)
		client_end(c);
}

static void
refuse(struct client *c, const char *status)
{
	char body[64];
	int len = snprintf(body, sizeof(body), "%s\n", status);

	answer(c, status, "text/plain; charset=utf-8", body, (size_t)len, true);
}

/* A request is here up to its empty line. */
static void
serve_request(struct client *c)
{
	char *path = strchr(c->request, ' '), *end;
	bool head = strncmp(c->request, "HEAD ", 5) == 0;

	if (!head && strncmp(c->request, "GET ", 4) != 0) {
		refuse(c, "405 Method Not Allowed");
		return;
	}
	end = strpbrk(++path, " ?\r\n");
	if (end == NULL || (size_t)(end - path) != strlen("/metrics") ||
		strncmp(path, "/metrics", (size_t)(end - path)) != 0) {
		refuse(c, "404 Not Found");
		return;
	}
	if (!keep_text()) {
		refuse(c, "503 Service Unavailable");
		return;
	}
	answer(c, "200 OK", "application/openmetrics-text; version=1.0.0; charset=utf-8", kept.text,
		kept.len, !head);
}

/* ---- clients ----------------------------------------------------------------------------------- */

static void
client_read(struct client *c)
{
	ssize_t n = recv(c->fd, c->request + c->got, sizeof(c->request) - 1 - c->got, 0);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		client_end(c);
		return;
	}
	c->got += (size_t)n;
	c->request[c->got] = '\0';
	/* What follows a zero byte is not seen: such a request never ends, and is refused as too long. */
	if (strstr(c->request, "\r\n\r\n") != NULL || strstr(c->request, "\n\n") != NULL)
		serve_request(c);
	else if (c->got == sizeof(c->request) - 1)
		refuse(c, "431 Request Header Fields Too Large");
}

static void
client_write(struct client *c)
{
	ssize_t n = send(c->fd, c->answer + c->sent, c->len - c->sent, MSG_NOSIGNAL);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0)
		c->sent += (size_t)n;
	if (n < 0 || c->sent == c->len)
		client_end(c);
}

static void
client_new(int listener)
{
	int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0)
		return;
	for (struct client *c = clients; c < clients + CLIENTS; c++) {
		if (c->fd >= 0)
			continue;
		c->fd = fd;
		c->deadline = now_ms() + CLIENT_MS;
		return;
	}
	close(fd); /* not reached: no accept while all are taken */
}

/* One round. @return false: poll(2) fails */
static bool
serve_once(int listener)
{
	struct pollfd p[CLIENTS + 1];
	int64_t now = now_ms(), wait = -1;
	int nb_free = 0;

	for (int i = 0; i < CLIENTS; i++) {
		struct client *c = &clients[i];

		if (c->fd >= 0 && c->deadline <= now)
			client_end(c);
		nb_free += c->fd < 0;
		p[i] = (struct pollfd){.fd = c->fd, .events = c->answer != NULL ? POLLOUT : POLLIN};
		if (c->fd >= 0 && (wait < 0 || c->deadline - now < wait))
			wait = c->deadline - now;
	}
	p[CLIENTS] = (struct pollfd){.fd = nb_free != 0 ? listener : -1, .events = POLLIN};
	if (poll(p, CLIENTS + 1, (int)wait) < 0)
		return errno == EINTR;
	for (int i = 0; i < CLIENTS; i++) {
		if (p[i].fd < 0 || p[i].revents == 0)
			continue;
		if (clients[i].answer != NULL)
			client_write(&clients[i]);
		else
			client_read(&clients[i]);
	}
	if (p[CLIENTS].fd >= 0 && p[CLIENTS].revents != 0)
		client_new(listener);
	return true;
}

/* ---- the listener ------------------------------------------------------------------------------ */

/* "PORT", "HOST:PORT", "[HOST]:PORT", numbers only. @return false: it is none */
static bool
split(const char *where, char host[HOST_SIZE], const char **port)
{
	const char *colon = strrchr(where, ':');
	size_t len = colon != NULL ? (size_t)(colon - where) : 0;

	*port = colon != NULL ? colon + 1 : where;
	if (**port == '\0')
		return false;
	if (len == 0) {
		strcpy(host, HOST_DEFAULT);
		return colon == NULL;
	}
	if (where[0] == '[' && where[len - 1] == ']') {
		where++;
		len -= 2;
	}
	if (len >= HOST_SIZE)
		return false;
	memcpy(host, where, len);
	host[len] = '\0';
	return true;
}

static int
listen_at(const char *where)
{
	const struct addrinfo hints = {.ai_family = AF_UNSPEC,
		.ai_socktype = SOCK_STREAM,
		.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE};
	char host[HOST_SIZE];
	struct addrinfo *ai;
	const int on = 1;
	const char *port;
	int fd, ret;

	if (!split(where, host, &port))
		return -EINVAL;
	ret = getaddrinfo(host, port, &hints, &ai);
	if (ret != 0)
		return -EINVAL;
	fd = socket(ai->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
		bind(fd, ai->ai_addr, ai->ai_addrlen) != 0 || listen(fd, CLIENTS) != 0) {
		ret = -errno;
		if (fd >= 0)
			close(fd);
		fd = ret;
	}
	freeaddrinfo(ai);
	return fd;
}

static void
say_where(int fd)
{
	struct sockaddr_storage a;
	socklen_t len = sizeof(a);
	char host[HOST_SIZE] = "?", port[8] = "?";
	bool v6;

	memset(&a, 0, sizeof(a));
	if (getsockname(fd, (struct sockaddr *)&a, &len) == 0)
		getnameinfo((struct sockaddr *)&a, len, host, sizeof(host), port, sizeof(port),
			NI_NUMERICHOST | NI_NUMERICSERV);
	v6 = a.ss_family == AF_INET6;
	printf("http://%s%s%s:%s/metrics\n", v6 ? "[" : "", host, v6 ? "]" : "", port);
	fflush(stdout);
}

int
ctl_serve(const char *where)
{
	int fd = listen_at(where);

	if (fd < 0) {
		fprintf(stderr, "vbusctl: --listen %s: %s\n", where,
			fd == -EINVAL ? "not [HOST:]PORT, in numbers" : strerror(-fd));
		return fd == -EINVAL ? CTL_USAGE : CTL_REFUSED;
	}
	for (int i = 0; i < CLIENTS; i++)
		clients[i].fd = -1;
	say_where(fd);
	while (serve_once(fd))
		;
	perror("vbusctl: poll");
	close(fd);
	return CTL_REFUSED;
}
