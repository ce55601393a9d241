/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The pump on libvirt's real event loop, between its own socketpair and another one that plays the
 * stream. */
#include "vmm/channel.h"
#include "vmm/loop.h"

#include <criterion/criterion.h>
#include <libvirt/libvirt.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

typedef struct Stream {
	int inner; /* the pump's side */
	int outer; /* the guest's */
	int watch;
	void (*fn)(int events, void *opaque);
	void *opaque;
	bool refuses_watch;
	bool send_blocks; /* as virStreamSend does */
	sem_t ended;
	int fd; /* what the pump's user has */
	Channel *channel;
	LibvirtLoop *loop;
} Stream;

static ssize_t stream_send(void *stream, const void *data, size_t len)
{
	Stream *s = stream;
	struct pollfd p = { .fd = s->inner, .events = POLLOUT };
	ssize_t n;

	if (s->send_blocks)
		poll(&p, 1, -1);
	n = send(s->inner, data, len, MSG_NOSIGNAL);
	return n >= 0 ? n : -errno;
}

static ssize_t stream_receive(void *stream, void *data, size_t len)
{
	ssize_t n = read(((Stream *)stream)->inner, data, len);

	return n >= 0 ? n : -errno;
}

static void on_inner(int watch, int fd, int events, void *opaque)
{
	Stream *s = opaque;

	s->fn(events, s->opaque);
}

static int stream_watch(void *stream, int events, void (*fn)(int events, void *opaque),
			void *opaque)
{
	Stream *s = stream;

	if (s->refuses_watch)
		return -EIO;
	s->fn = fn;
	s->opaque = opaque;
	/* The event bits of streams and of handles are the same. */
	s->watch = virEventAddHandle(s->inner, events, on_inner, s, NULL);
	return s->watch < 0 ? -EIO : 0;
}

static int stream_update(void *stream, int events)
{
	virEventUpdateHandle(((Stream *)stream)->watch, events);
	return 0;
}

static int stream_unwatch(void *stream)
{
	return virEventRemoveHandle(((Stream *)stream)->watch);
}

static const ChannelStreamOps ops = {
	.send = stream_send,
	.receive = stream_receive,
	.watch = stream_watch,
	.update = stream_update,
	.unwatch = stream_unwatch,
};

static void on_ended(void *userdata)
{
	sem_post(&((Stream *)userdata)->ended);
}

static void stream_init(Stream *s)
{
	int pair[2];

	memset(s, 0, sizeof(*s));
	s->fd = -1;
	sem_init(&s->ended, 0, 0);
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
	s->inner = pair[0];
	s->outer = pair[1];
	cr_assert_eq(libvirt_loop_new(&s->loop), 0);
}

static void start_with(Stream *s, bool send_blocks, bool narrow)
{
	const int size = 4096;

	stream_init(s);
	if (narrow)
		setsockopt(s->inner, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	s->send_blocks = send_blocks;
	cr_assert_eq(channel_new(&s->channel, &s->fd, &ops, s, on_ended, s), 0);
}

static void start(Stream *s)
{
	start_with(s, false, false);
}

static void wait_ended(Stream *s)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	t.tv_sec += 5;
	cr_assert_eq(sem_timedwait(&s->ended, &t), 0, "the pump did not end");
}

static void stream_end(Stream *s)
{
	s->channel = channel_unref(s->channel);
	s->loop = libvirt_loop_free(s->loop);
	cr_expect_neq(sem_trywait(&s->ended), 0, "ended once more");
	close(s->inner);
	if (s->outer >= 0)
		close(s->outer);
	if (s->fd >= 0)
		close(s->fd);
	sem_destroy(&s->ended);
}

static void wait_for(int fd, short events)
{
	struct pollfd p = { .fd = fd, .events = events };

	cr_assert_eq(poll(&p, 1, 5000), 1, "nothing happens");
}

static void expect_text(int fd, const char *text)
{
	char buffer[64];
	size_t got = 0;

	while (got < strlen(text)) {
		ssize_t n;

		wait_for(fd, POLLIN);
		n = read(fd, buffer + got, strlen(text) - got);
		cr_assert_gt(n, 0);
		got += (size_t)n;
	}
	cr_expect_eq(memcmp(buffer, text, got), 0);
}

static void expect_end(int fd)
{
	char byte;

	wait_for(fd, POLLIN);
	cr_expect_eq(read(fd, &byte, 1), 0);
}

/* Byte i of a long transfer. */
static unsigned char pattern(size_t i)
{
	return (unsigned char)(i * 7 + i / 251);
}

static size_t write_pattern(int fd, size_t from, size_t to)
{
	unsigned char buffer[10000];
	size_t n = to - from < sizeof(buffer) ? to - from : sizeof(buffer);
	ssize_t k;

	for (size_t i = 0; i < n; i++)
		buffer[i] = pattern(from + i);
	k = send(fd, buffer, n, MSG_NOSIGNAL);
	cr_assert(k > 0 || errno == EAGAIN);
	return k > 0 ? (size_t)k : 0;
}

static size_t check_pattern(int fd, size_t from)
{
	unsigned char buffer[7000];
	ssize_t n = read(fd, buffer, sizeof(buffer));

	if (n < 0 && errno == EAGAIN)
		return 0;
	cr_assert_gt(n, 0);
	for (size_t i = 0; i < (size_t)n; i++)
		cr_assert_eq(buffer[i], pattern(from + i), "byte %zu", from + i);
	return (size_t)n;
}

Test(vmm_channel, watch_refused)
{
	Stream s;

	stream_init(&s);
	s.refuses_watch = true;
	cr_expect_eq(channel_new(&s.channel, &s.fd, &ops, &s, on_ended, &s), -EIO);
	cr_expect_null(s.channel);
	cr_expect_eq(s.fd, -1);
	stream_end(&s);
}

Test(vmm_channel, the_fd)
{
	Stream s;

	start(&s);
	cr_expect(fcntl(s.fd, F_GETFL) & O_NONBLOCK);
	cr_expect(fcntl(s.fd, F_GETFD) & FD_CLOEXEC);
	close(s.fd);
	s.fd = -1;
	wait_ended(&s);
	stream_end(&s);
}

Test(vmm_channel, closing_the_fd_ends_it)
{
	Stream s;

	start(&s);
	cr_assert_eq(write(s.fd, "bye", 3), 3);
	close(s.fd);
	s.fd = -1;
	wait_ended(&s);
	expect_text(s.outer, "bye");
	stream_end(&s);
}

Test(vmm_channel, closing_the_fd_with_bytes_unread)
{
	Stream s;

	start(&s);
	cr_assert_eq(write(s.outer, "never read", 10), 10);
	wait_for(s.fd, POLLIN);
	close(s.fd);
	s.fd = -1;
	wait_ended(&s);
	stream_end(&s);
}

Test(vmm_channel, end_of_the_stream)
{
	Stream s;

	start(&s);
	cr_assert_eq(write(s.outer, "last words", 10), 10);
	close(s.outer);
	s.outer = -1;
	expect_text(s.fd, "last words");
	expect_end(s.fd);
	wait_ended(&s);
	stream_end(&s);
}

Test(vmm_channel, stream_that_fails_when_written_to)
{
	Stream s;

	start(&s);
	shutdown(s.inner, SHUT_WR);
	cr_assert_eq(write(s.fd, "x", 1), 1);
	wait_ended(&s);
	wait_for(s.fd, POLLIN);
	stream_end(&s);
}

Test(vmm_channel, stop)
{
	Stream s;

	start(&s);
	channel_stop(s.channel);
	channel_stop(s.channel);
	wait_ended(&s);
	channel_stop(s.channel);
	expect_end(s.fd);
	stream_end(&s);
}

Test(vmm_channel, both_ways)
{
	Stream s;

	start(&s);
	cr_assert_eq(write(s.fd, "down", 4), 4);
	expect_text(s.outer, "down");
	cr_assert_eq(write(s.outer, "up", 2), 2);
	expect_text(s.fd, "up");
	cr_assert_eq(write(s.fd, "again", 5), 5);
	expect_text(s.outer, "again");
	channel_stop(s.channel);
	wait_ended(&s);
	stream_end(&s);
}

Test(vmm_channel, much_in_both_directions)
{
	const size_t total = 3 << 20;
	size_t down_in = 0, down_out = 0, up_in = 0, up_out = 0;
	Stream s;

	start(&s);
	while (down_out < total || up_out < total) {
		/* A guest that falls silent is not sent much more; one that floods is cut off. */
		bool up = (up_in < total || down_out < total) && up_in - up_out < 500000;
		struct pollfd p[2] = {
			{ .fd = s.fd, .events = POLLIN | (down_in < total ? POLLOUT : 0) },
			{ .fd = s.outer, .events = POLLIN | (up ? POLLOUT : 0) },
		};

		cr_assert_gt(poll(p, 2, 5000), 0, "stalled at %zu/%zu down, %zu/%zu up", down_in,
			     down_out, up_in, up_out);
		if (down_in < total)
			down_in += write_pattern(s.fd, down_in, total);
		if (up)
			up_in += write_pattern(s.outer, up_in, up_in + 10000);
		down_out += check_pattern(s.outer, down_out);
		up_out += check_pattern(s.fd, up_out);
	}
	channel_stop(s.channel);
	wait_ended(&s);
	stream_end(&s);
}

/* Writes until nothing more is taken for a while; what is taken must be bounded. */
static size_t fill(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };
	size_t n = 0;

	while (poll(&p, 1, 50) == 1 && n < 64 << 20)
		n += write_pattern(fd, n, n + 10000);
	return n;
}

static void guest_that_does_not_read(bool send_blocks)
{
	size_t in, out = 0;
	char word[8];
	Stream s;

	start_with(&s, send_blocks, true);
	in = fill(s.fd);
	cr_expect_lt(in, 4 << 20, "%zu bytes are buffered somewhere", in);
	/* The other direction goes on. */
	cr_assert_eq(write(s.outer, "up", 2), 2);
	expect_text(s.fd, "up");
	/* It reads and answers, so that the next part comes. */
	while (out < in) {
		wait_for(s.outer, POLLIN);
		out += check_pattern(s.outer, out);
		cr_assert_eq(write(s.outer, ".", 1), 1);
		(void)!read(s.fd, word, sizeof(word));
	}
	cr_expect_eq(in, out);
	channel_stop(s.channel);
	wait_ended(&s);
	stream_end(&s);
}

Test(vmm_channel, a_guest_that_does_not_read)
{
	guest_that_does_not_read(false);
}

Test(vmm_channel, a_guest_that_does_not_read_and_a_send_that_blocks)
{
	guest_that_does_not_read(true);
}

/* Reads until nothing more comes for a while. */
static size_t drain(int fd, size_t from)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	size_t n = 0;

	while (poll(&p, 1, 50) == 1)
		n += check_pattern(fd, from + n);
	return n;
}

Test(vmm_channel, no_further_ahead_of_a_silent_guest)
{
	size_t in, out, more;
	Stream s;

	start(&s);
	in = fill(s.fd);
	out = drain(s.outer, 0);
	cr_expect_gt(out, 0);
	cr_expect_leq(out, CHANNEL_AHEAD_MAX + CHANNEL_CHUNK_SIZE, "%zu", out);
	cr_expect_lt(out, in);
	cr_assert_eq(write(s.outer, "go", 2), 2);
	expect_text(s.fd, "go");
	more = drain(s.outer, out);
	cr_expect_gt(more, 0);
	cr_expect_leq(more, CHANNEL_AHEAD_MAX + CHANNEL_CHUNK_SIZE, "%zu", more);
	channel_stop(s.channel);
	wait_ended(&s);
	stream_end(&s);
}

/* Small messages fill a socket much earlier than their bytes do. */
Test(vmm_channel, few_small_messages_ahead)
{
	unsigned n = 0;
	Stream s;

	start(&s);
	for (unsigned i = 0; i < 200; i++) {
		struct pollfd p = { .fd = s.outer, .events = POLLIN };
		char byte;

		cr_assert_eq(write(s.fd, "x", 1), 1);
		if (poll(&p, 1, 20) == 0)
			break;
		cr_assert_eq(read(s.outer, &byte, 1), 1);
		n++;
	}
	cr_expect_geq(n, 16);
	cr_expect_leq(n, CHANNEL_AHEAD_MAX / 1024 + 1);
	channel_stop(s.channel);
	wait_ended(&s);
	stream_end(&s);
}

Test(vmm_channel, closed_while_the_guest_does_not_read)
{
	Stream s;

	start(&s);
	fill(s.fd);
	close(s.fd);
	s.fd = -1;
	wait_ended(&s);
	stream_end(&s);
}

Test(vmm_channel, stopped_while_a_send_blocks)
{
	Stream s;

	start_with(&s, true, true);
	fill(s.fd);
	channel_stop(s.channel);
	expect_end(s.fd);
	/* Not before the send has come back, which is the stream's to bring about. */
	cr_expect_neq(sem_trywait(&s.ended), 0);
	shutdown(s.inner, SHUT_RDWR);
	wait_ended(&s);
	stream_end(&s);
}

Test(vmm_channel, the_guest_goes_while_its_words_are_unread)
{
	size_t in = 0, out = 0;
	Stream s;

	start(&s);
	/* More than a socket holds, less than the backlog. */
	while (in < CHANNEL_BACKLOG_MAX) {
		wait_for(s.outer, POLLOUT);
		in += write_pattern(s.outer, in, CHANNEL_BACKLOG_MAX);
	}
	close(s.outer);
	s.outer = -1;
	while (out < in) {
		wait_for(s.fd, POLLIN);
		out += check_pattern(s.fd, out);
	}
	expect_end(s.fd);
	wait_ended(&s);
	stream_end(&s);
}

Test(vmm_channel, a_guest_that_floods_its_reader_is_cut_off)
{
	size_t in, out = 0;
	Stream s;

	start(&s);
	in = fill(s.outer);
	cr_expect_gt(in, CHANNEL_BACKLOG_MAX);
	cr_expect_lt(in, 4 << 20, "%zu bytes are buffered somewhere", in);
	wait_ended(&s);
	/* What had reached the socket is still there, in order. */
	for (;;) {
		unsigned char byte;
		ssize_t n = read(s.fd, &byte, 1);

		cr_assert_geq(n, 0);
		if (n == 0)
			break;
		cr_assert_eq(byte, pattern(out++));
	}
	cr_expect_gt(out, 0);
	stream_end(&s);
}
