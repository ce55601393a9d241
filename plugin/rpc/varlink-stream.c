/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The socket is watched by edges: a loop with a hundred that are readable at once is told of each
 * of them once, not anew on each turn. So whoever begins to read goes on until it is empty.
 *
 * Input: one chunk at a time goes from the socket through the frame reader. `pump` hands out frames
 * until the chunk is used up or somebody pauses; only then is the next chunk read, so a peer that
 * sends faster than it is served waits in the socket. After a few chunks the edge is asked for
 * anew, and it comes again behind the others (a deferred event source would come before them). What
 * a pause has left is gone on with by the deferred one.
 *
 * Output: written at once as far as the socket takes it, the rest waits for EPOLLOUT.
 *
 * End: the peer may shut down its sending half and still be answered. The stream ends when the
 * input is at its end, nothing is paused and the output is empty; or with EPOLLHUP, which the
 * kernel reports for a peer that is gone even while nothing is read.
 *
 * Every failure closes the socket on the spot and is reported by a deferred event source, never
 * from inside a caller's stack. The callbacks may free the stream: whoever runs them holds a
 * reference.
 */
#include "rpc/varlink-stream.h"

#include "rpc/frame.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define CHUNK_SIZE  16384u
#define TURN_CHUNKS 4u

struct VarlinkStream {
	unsigned refs;
	int fd;
	sd_event_source *io, *deferred;
	const VarlinkStreamOps *ops;
	void *userdata;

	FrameReader *reader;
	char *chunk;
	const char *unread;
	size_t n_unread;
	bool paused, ended, pumping;
	bool hung_up; /* the peer is gone: nobody reads what is sent */

	bool waits_to_send; /* EPOLLOUT is asked for */
	char *output;
	size_t output_size, output_used, output_sent, output_max;

	bool failed, detached;
	int reason;
};

static VarlinkStream *stream_unref(VarlinkStream *stream)
{
	if (--stream->refs > 0)
		return NULL;
	frame_reader_free(stream->reader);
	free(stream->chunk);
	free(stream->output);
	free(stream);
	return NULL;
}

DEFINE_CLEANUP(VarlinkStream, stream_unref);

static VarlinkStream *stream_ref(VarlinkStream *stream)
{
	stream->refs++;
	return stream;
}

static void close_socket(VarlinkStream *stream)
{
	stream->io = sd_event_source_disable_unref(stream->io);
	if (stream->fd >= 0)
		close(steal_fd(&stream->fd));
}

bool varlink_stream_failed(const VarlinkStream *stream)
{
	return stream->failed;
}

static void run_deferred(VarlinkStream *stream)
{
	if (stream->deferred)
		(void)sd_event_source_set_enabled(stream->deferred, SD_EVENT_ONESHOT);
}

void varlink_stream_fail(VarlinkStream *stream, int reason)
{
	if (stream->failed)
		return;
	stream->failed = true;
	stream->reason = reason;
	close_socket(stream);
	run_deferred(stream);
}

/* What is readable, or was all the time, is told (again). */
static void watch(VarlinkStream *stream)
{
	uint32_t events = EPOLLIN | EPOLLET | (stream->waits_to_send ? EPOLLOUT : 0);
	int r = sd_event_source_set_io_events(stream->io, events);

	if (r < 0)
		varlink_stream_fail(stream, r);
}

static void update_interest(VarlinkStream *stream)
{
	bool waits = stream->output_used > stream->output_sent;

	if (stream->failed || stream->waits_to_send == waits)
		return;
	stream->waits_to_send = waits;
	watch(stream);
}

/* Hands out frames of the chunk that was read. */
static void pump(VarlinkStream *stream)
{
	const char *text;
	size_t len;
	int r;

	stream->pumping = true;
	while (!stream->paused && !stream->failed) {
		r = frame_reader_next(stream->reader, &stream->unread, &stream->n_unread, &text,
				      &len);
		if (r == FRAME_NONE)
			break;
		if (r == FRAME_OVERSIZE)
			r = -EMSGSIZE;
		if (r > 0)
			r = stream->ops->frame(text, len, stream->userdata);
		if (r < 0)
			varlink_stream_fail(stream, r);
	}
	stream->pumping = false;
}

/* False: there is nothing now. */
static bool read_chunk(VarlinkStream *stream)
{
	ssize_t n;

	do
		n = recv(stream->fd, stream->chunk, CHUNK_SIZE, MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n > 0) {
		stream->unread = stream->chunk;
		stream->n_unread = (size_t)n;
	} else if (n == 0) {
		stream->ended = true;
	} else if (errno != EAGAIN) {
		varlink_stream_fail(stream, -ECONNRESET);
	}
	return n > 0;
}

static void receive(VarlinkStream *stream)
{
	for (unsigned int i = 0; i < TURN_CHUNKS; i++) {
		if (stream->n_unread == 0 && (stream->ended || !read_chunk(stream)))
			return;
		pump(stream);
		if (stream->paused || stream->failed)
			return;
	}
	watch(stream);
}

static void end_if_done(VarlinkStream *stream)
{
	bool done = !stream->paused && stream->n_unread == 0 &&
		    stream->output_used == stream->output_sent;

	if ((stream->ended && done) || (stream->hung_up && (stream->paused || stream->ended)))
		varlink_stream_fail(stream, -ECONNRESET);
}

static void flush_output(VarlinkStream *stream)
{
	while (stream->output_sent < stream->output_used) {
		ssize_t n = send(stream->fd, stream->output + stream->output_sent,
				 stream->output_used - stream->output_sent,
				 MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0) {
			varlink_stream_fail(stream, -ECONNRESET);
			return;
		}
		stream->output_sent += (size_t)n;
	}
	stream->output_used = stream->output_sent = 0;
	if (stream->output_size > stream->output_max) {
		free(stream->output);
		stream->output = NULL;
		stream->output_size = 0;
	}
}

static int on_io(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	_cleanup_(stream_unrefp) VarlinkStream *stream = stream_ref(userdata);

	if (events & EPOLLOUT) {
		flush_output(stream);
		if (!stream->failed && stream->output_used == 0 && stream->ops->drained)
			stream->ops->drained(stream->userdata);
	}
	if (events & (EPOLLHUP | EPOLLERR))
		stream->hung_up = true;
	if (!stream->failed && !stream->paused)
		receive(stream);
	end_if_done(stream);
	update_interest(stream);
	return 0;
}

static int on_deferred(sd_event_source *source, void *userdata)
{
	_cleanup_(stream_unrefp) VarlinkStream *stream = stream_ref(userdata);

	if (!stream->failed) {
		if (!stream->paused)
			receive(stream);
		end_if_done(stream);
		update_interest(stream);
	}
	/* Failing just now has armed this source again: it is reported in its own turn. */
	else if (!stream->detached) {
		stream->detached = true;
		stream->ops->closed(stream->reason, stream->userdata);
	}
	return 0;
}

int varlink_stream_new(VarlinkStream **ret, sd_event *event, int fd, size_t input_max,
		       size_t output_max, const VarlinkStreamOps *ops, void *userdata)
{
	_cleanup_(varlink_stream_freep) VarlinkStream *stream = calloc(1, sizeof(*stream));
	int r;

	if (!stream) {
		close(fd);
		return -ENOMEM;
	}
	stream->refs = 1;
	stream->fd = fd;
	stream->output_max = output_max;
	stream->ops = ops;
	stream->userdata = userdata;
	stream->chunk = malloc(CHUNK_SIZE);
	if (!stream->chunk)
		return -ENOMEM;
	r = frame_reader_new(&stream->reader, input_max);
	if (r < 0)
		return r;
	r = sd_event_add_io(event, &stream->io, fd, EPOLLIN | EPOLLET, on_io, stream);
	if (r < 0)
		return r;
	r = sd_event_add_defer(event, &stream->deferred, on_deferred, stream);
	if (r < 0)
		return r;
	r = sd_event_source_set_enabled(stream->deferred, SD_EVENT_OFF);
	if (r < 0)
		return r;
	*ret = steal_ptr(stream);
	return 0;
}

int varlink_stream_set_priority(VarlinkStream *stream, int64_t priority)
{
	int r = sd_event_source_set_priority(stream->io, priority);

	return r < 0 ? r : sd_event_source_set_priority(stream->deferred, priority);
}

VarlinkStream *varlink_stream_free(VarlinkStream *stream)
{
	if (!stream)
		return NULL;
	stream->failed = stream->detached = true;
	stream->deferred = sd_event_source_disable_unref(stream->deferred);
	close_socket(stream);
	return stream_unref(stream);
}

/* Behind others it has to fit; one message alone may be larger. */
static int append_output(VarlinkStream *stream, const char *text, size_t n)
{
	size_t waiting = stream->output_used - stream->output_sent;

	if (n > JSON_SIZE_MAX ||
	    (waiting > 0 && (n > stream->output_max || waiting > stream->output_max - n)))
		return -ENOBUFS;
	if (stream->output_sent > 0) {
		memmove(stream->output, stream->output + stream->output_sent, waiting);
		stream->output_used = waiting;
		stream->output_sent = 0;
	}
	if (waiting + n > stream->output_size) {
		size_t size = waiting + n < stream->output_max / 2 ? 2 * (waiting + n)
			      : waiting + n < stream->output_max   ? stream->output_max
								   : waiting + n;
		char *output = realloc(stream->output, size);

		if (!output)
			return -ENOMEM;
		stream->output = output;
		stream->output_size = size;
	}
	memcpy(stream->output + waiting, text, n);
	stream->output_used += n;
	return 0;
}

int varlink_stream_send(VarlinkStream *stream, json_object *object)
{
	_cleanup_free_ char *text = NULL;
	size_t len;
	int r;

	if (stream->failed)
		return -ECONNRESET;
	r = json_format(&text, &len, object);
	if (r < 0)
		return r;
	r = append_output(stream, text, len + 1);
	if (r < 0) {
		if (r == -ENOBUFS)
			varlink_stream_fail(stream, r);
		return r;
	}
	flush_output(stream);
	update_interest(stream);
	return stream->failed ? -ECONNRESET : 0;
}

bool varlink_stream_is_idle(const VarlinkStream *stream)
{
	return !stream->failed && !stream->ended && stream->n_unread == 0 &&
	       frame_reader_is_empty(stream->reader) && stream->output_used == stream->output_sent;
}

bool varlink_stream_is_quiet(const VarlinkStream *stream)
{
	char byte;

	return varlink_stream_is_idle(stream) &&
	       recv(stream->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

size_t varlink_stream_waiting(const VarlinkStream *stream)
{
	return stream->output_used - stream->output_sent;
}

void varlink_stream_pause(VarlinkStream *stream)
{
	stream->paused = true;
}

void varlink_stream_resume(VarlinkStream *stream)
{
	stream->paused = false;
	/* Frames may already lie in the chunk or the socket, or the end of input be known. */
	if (!stream->failed && !stream->pumping)
		run_deferred(stream);
}
