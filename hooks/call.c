/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The message is escaped piece by piece on its way out, so that the XML is held once only. Every
 * wait is bounded by what is left until one deadline: the clock stands still in suspend, as does
 * everybody who is waited for.
 */
#include "call.h"

#include "core/cleanup.h"
#include "escape.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>

typedef struct Stream {
	int fd;
	int64_t deadline; /* CLOCK_MONOTONIC, ms */
	int error;	  /* of the first step that failed */
	size_t used;
	char buffer[16 * 1024];
} Stream;

static int64_t now_msec(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Waits for `events`. Returns 0, -ETIMEDOUT, or poll(2)'s negative errno. */
static int stream_wait(Stream *s, short events)
{
	struct pollfd p = { .fd = s->fd, .events = events };

	for (;;) {
		int64_t left = s->deadline - now_msec();
		int r;

		if (left <= 0)
			return -ETIMEDOUT;
		r = poll(&p, 1, (int)left);
		if (r > 0)
			return 0;
		if (r < 0 && errno != EINTR)
			return -errno;
	}
}

static int stream_connect(Stream *s, const char *path, unsigned timeout_msec)
{
	/* A full queue makes connect(2) wait, as long as the send timeout says (unix(7)). */
	struct timeval t = { .tv_sec = timeout_msec / 1000,
			     .tv_usec = (suseconds_t)(timeout_msec % 1000) * 1000 };
	struct sockaddr_un a = { .sun_family = AF_UNIX };

	if (strlen(path) >= sizeof(a.sun_path))
		return -ENAMETOOLONG;
	strcpy(a.sun_path, path);
	s->deadline = now_msec() + timeout_msec;
	s->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (s->fd < 0)
		return -errno;
	if (setsockopt(s->fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof(t)) < 0)
		return -errno;
	if (connect(s->fd, (struct sockaddr *)&a, sizeof(a)) < 0)
		return errno == EAGAIN ? -ETIMEDOUT : -errno;
	return 0;
}

static void stream_flush(Stream *s)
{
	size_t done = 0;

	while (!s->error && done < s->used) {
		ssize_t n =
			send(s->fd, s->buffer + done, s->used - done, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n >= 0)
			done += (size_t)n;
		else if (errno == EAGAIN)
			s->error = stream_wait(s, POLLOUT);
		else if (errno != EINTR)
			s->error = -errno;
	}
	s->used = 0;
}

static void stream_put(Stream *s, const char *text, size_t size)
{
	while (size > 0) {
		size_t n = sizeof(s->buffer) - s->used;

		if (n > size)
			n = size;
		memcpy(s->buffer + s->used, text, n);
		s->used += n;
		text += n;
		size -= n;
		if (s->used == sizeof(s->buffer))
			stream_flush(s);
	}
}

static void stream_put_text(Stream *s, const char *text)
{
	stream_put(s, text, strlen(text));
}

static void stream_put_escaped(Stream *s, const char *data, size_t size)
{
	while (size > 0 && !s->error) {
		if (sizeof(s->buffer) - s->used < ESCAPE_MAX)
			stream_flush(s);
		s->used +=
			escape_json(s->buffer + s->used, sizeof(s->buffer) - s->used, &data, &size);
	}
}

static void stream_put_member(Stream *s, const char *name, const char *data, size_t size)
{
	stream_put_text(s, "\"");
	stream_put_text(s, name);
	stream_put_text(s, "\":\"");
	stream_put_escaped(s, data, size);
	stream_put_text(s, "\"");
}

static int stream_send(Stream *s, const Call *call)
{
	const struct {
		const char *name, *value;
	} strings[] = {
		{ "domain", call->domain },
		{ "operation", call->operation },
		{ "sub_operation", call->sub_operation },
		{ "extra", call->extra },
	};

	stream_put_text(s, "{\"method\":\"io.tdid.Hook.Run\",\"parameters\":{");
	for (size_t i = 0; i < ELEMENTSOF(strings); i++) {
		stream_put_member(s, strings[i].name, strings[i].value, strlen(strings[i].value));
		stream_put_text(s, ",");
	}
	if (call->qemu.pid > 0) {
		char text[96];

		snprintf(text, sizeof(text), "\"qemu_pid\":%lld,\"qemu_start_time\":%llu,",
			 (long long)call->qemu.pid, (unsigned long long)call->qemu.start_time);
		stream_put_text(s, text);
	}
	stream_put_member(s, "xml", call->xml, call->xml_size);
	stream_put(s, "}}", sizeof("}}"));
	stream_flush(s);
	return s->error;
}

/* Up to the NUL, which ends the one reply. Returns its size without it, or a negative errno. */
static ssize_t stream_receive(Stream *s, char *buffer, size_t size)
{
	size_t used = 0;

	for (;;) {
		ssize_t n = recv(s->fd, buffer + used, size - used, MSG_DONTWAIT);
		const char *end;

		if (n < 0 && errno == EAGAIN) {
			int r = stream_wait(s, POLLIN);

			if (r < 0)
				return r;
			continue;
		}
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -ECONNRESET;
		end = memchr(buffer + used, '\0', (size_t)n);
		used += (size_t)n;
		if (end)
			return end + 1 == buffer + used ? end - buffer : -EBADMSG;
		if (used == size)
			return -EBADMSG;
	}
}

int call_run(Reply *ret, const char *path, const Call *call, unsigned timeout_msec,
	     CallStep *ret_step)
{
	static char reply[REPLY_SIZE_MAX + 1];
	static Stream stream;
	_cleanup_close_ int fd = -1;
	ssize_t n;
	int r;

	stream = (Stream){ .fd = -1 };
	*ret_step = CALL_CONNECT;
	r = stream_connect(&stream, path, timeout_msec);
	fd = stream.fd;
	if (r < 0)
		return r;

	*ret_step = CALL_SEND;
	r = stream_send(&stream, call);
	/* Who closes early may have said why before. */
	if (r < 0 && r != -EPIPE && r != -ECONNRESET)
		return r;

	*ret_step = CALL_RECEIVE;
	n = stream_receive(&stream, reply, sizeof(reply));
	if (n < 0)
		return n == -EPIPE ? -ECONNRESET : (int)n;

	*ret_step = CALL_PARSE;
	return reply_parse(reply, (size_t)n, ret);
}
