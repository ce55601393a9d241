/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The other end of a varlink connection, in raw bytes. AF_UNIX sockets deliver at once, so running
 * the loop until it is idle stands for waiting.
 */
#pragma once

#include "core/cleanup.h"
#include "../scratch-folder.h"

#include <criterion/criterion.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <systemd/sd-event.h>

#define SAMPLE_INTERFACE                                                                           \
	"interface io.example.Sample\n"                                                            \
	"type Inner (x: int)\n"                                                                    \
	"method Add(a: int, b: ?int, inner: ?Inner) -> (sum: int)\n"                               \
	"method Wait(name: string) -> (name: string)\n"                                            \
	"method Watch() -> (n: int)\n"                                                             \
	"error Refused (reason: string)\n"

/* A directory of the test's own, removed by raw_done. */
static inline const char *raw_path(char path[64])
{
	cr_assert(scratch_folder(path, 64, NULL));
	strcat(path, "/socket");
	return path;
}

static inline void raw_done(char path[64])
{
	unlink(path);
	*strrchr(path, '/') = '\0';
	rmdir(path);
}

static inline struct sockaddr_un raw_address(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	return address;
}

static inline int raw_connect(const char *path)
{
	struct sockaddr_un address = raw_address(path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	cr_assert_geq(fd, 0);
	cr_assert_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0, "%m");
	return fd;
}

static inline int raw_listen(const char *path, int backlog)
{
	struct sockaddr_un address = raw_address(path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	cr_assert_geq(fd, 0);
	cr_assert_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0, "%m");
	cr_assert_eq(listen(fd, backlog), 0);
	return fd;
}

static inline int raw_accept(int listening)
{
	int fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	cr_assert_geq(fd, 0, "nobody has connected: %m");
	return fd;
}

static inline void raw_run(sd_event *event)
{
	int r;

	while ((r = sd_event_run(event, 0)) > 0)
		;
	cr_assert_eq(r, 0);
}

/* '|' stands for NUL. */
static inline void raw_send(int fd, const char *text)
{
	_cleanup_free_ char *bytes = strdup(text);
	size_t len = strlen(text);

	for (char *p = bytes; (p = strchr(p, '|')); p++)
		*p = '\0';
	cr_assert_eq(send(fd, bytes, len, MSG_NOSIGNAL), (ssize_t)len, "%m");
}

/* All that has arrived, '|' for NUL; "<end>" behind it when the other side has closed. */
static inline const char *raw_received(int fd)
{
	static char text[65536];
	size_t used = 0;
	ssize_t n;

	while (used + 16 < sizeof(text) &&
	       (n = recv(fd, text + used, sizeof(text) - used - 16, 0)) > 0)
		used += (size_t)n;
	for (size_t i = 0; i < used; i++)
		if (text[i] == '\0')
			text[i] = '|';
	text[used] = '\0';
	if (n == 0 || (n < 0 && errno == ECONNRESET))
		strcpy(text + used, "<end>");
	return text;
}

#define EXPECT_RECEIVED(fd, expected)                                                              \
	({                                                                                         \
		const char *_received = raw_received(fd);                                          \
		cr_assert_str_eq(_received, (expected), "received %s", _received);                 \
	})
