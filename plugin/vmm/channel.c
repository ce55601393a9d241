/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libvirt's client has no flow control to rely on, in either direction (seen with 9.0):
 *
 *   towards the guest, virStreamSend blocks as long as libvirtd does not read, even on a
 *   non-blocking stream. It must not be called on libvirt's event thread, where it would stop
 *   everything, keepalives included. So each channel has a thread that reads the fd and sends; the
 *   fd's socket buffer is then the limit, and a guest that does not read is felt as EAGAIN.
 *
 *   Worse, libvirtd (11.3) frees twice what it could not pass on yet when the domain ends: it
 *   crashes or spins. It passes on as long as its socket to QEMU is writable, for which Linux wants
 *   a quarter of the send buffer (wmem_default, 212992 bytes) at most in use (unix_writable() in
 *   net/unix/af_unix.c). So the writer stops short of that, and goes on when the guest says
 *   something. That is no proof that the guest reads: who talks to a hostile guest has to keep
 *   count of what has been answered.
 *
 *   from the guest, the client queues in memory whatever arrives, wanted or not. So the stream is
 *   always read, on the event thread, into a backlog; a guest that gets ahead of its reader by more
 *   than the backlog's size is cut off.
 *
 *   pumping   the stream is watched, the writer runs
 *   draining  the stream has ended or failed and is not watched any more; the backlog goes out
 *   over      both watches are removed, the fd is shut down so that either side sees the end. When
 *             the writer has left and libvirt's loop has let go of the fd, it is closed and the
 *             owner told
 */
#include "vmm/channel.h"

#include "vmm/thread.h"

#include <libvirt/libvirt.h>

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

/* What the writer waits for. */
typedef enum Wait {
	WAIT_NOT,
	WAIT_ROOM, /* after a send that said EAGAIN */
	WAIT_WORD, /* of the guest */
} Wait;

struct Channel {
	atomic_uint refs;  /* the caller's, and one for both users */
	atomic_uint users; /* the writer, and libvirt's watch of fd */
	const ChannelStreamOps *ops;
	void *stream;
	void *userdata;
	int fd; /* non-blocking */

	pthread_mutex_t lock; /* guards what follows */
	pthread_cond_t go_on; /* of the writer */
	void (*ended)(void *userdata);
	int watch; /* libvirt's, of fd */
	Wait wait;
	size_t ahead; /* CHANNEL_AHEAD_MAX */
	bool stream_over;
	bool over;
	size_t start, len; /* of the backlog */
	char backlog[CHANNEL_BACKLOG_MAX];
};

/* The writer looks at the fd itself, except while it waits for something else. */
static int wanted_of_fd(const Channel *c)
{
	return (c->len > 0 ? VIR_EVENT_HANDLE_WRITABLE : 0) |
	       (c->wait != WAIT_NOT ? VIR_EVENT_HANDLE_HANGUP : 0);
}

static int wanted_of_stream(const Channel *c)
{
	return VIR_STREAM_EVENT_READABLE | (c->wait == WAIT_ROOM ? VIR_STREAM_EVENT_WRITABLE : 0);
}

static void end(Channel *c);

static void update(Channel *c)
{
	if (c->over)
		return;
	virEventUpdateHandle(c->watch, wanted_of_fd(c));
	if (!c->stream_over && c->ops->update(c->stream, wanted_of_stream(c)) < 0)
		end(c);
}

static void stream_is_over(Channel *c)
{
	if (c->stream_over)
		return;
	c->stream_over = true;
	c->ops->unwatch(c->stream);
	pthread_cond_signal(&c->go_on);
}

static void end(Channel *c)
{
	if (c->over)
		return;
	c->over = true;
	stream_is_over(c);
	virEventRemoveHandle(c->watch);
	shutdown(c->fd, SHUT_RDWR);
}

static void wake_writer(Channel *c)
{
	c->wait = WAIT_NOT;
	pthread_cond_signal(&c->go_on);
}

static void receive(Channel *c)
{
	ssize_t n;

	if (c->start > 0) {
		memmove(c->backlog, c->backlog + c->start, c->len);
		c->start = 0;
	}
	if (c->len == sizeof(c->backlog)) {
		end(c);
		return;
	}
	n = c->ops->receive(c->stream, c->backlog + c->len, sizeof(c->backlog) - c->len);
	if (n > 0) {
		c->len += (size_t)n;
		c->ahead = 0;
		if (c->wait == WAIT_WORD)
			wake_writer(c);
	} else if (n != -EAGAIN) {
		stream_is_over(c);
	}
}

static void deliver(Channel *c)
{
	ssize_t n;

	if (c->len > 0) {
		n = send(c->fd, c->backlog + c->start, c->len, MSG_NOSIGNAL);
		if (n > 0) {
			c->start += (size_t)n;
			c->len -= (size_t)n;
		} else if (errno != EAGAIN && errno != EINTR) {
			end(c);
		}
	}
	if (c->len == 0) {
		c->start = 0;
		if (c->stream_over)
			end(c);
	}
}

static void on_stream(int events, void *opaque)
{
	Channel *c = opaque;

	pthread_mutex_lock(&c->lock);
	if (events & VIR_STREAM_EVENT_WRITABLE && c->wait == WAIT_ROOM)
		wake_writer(c);
	/* Only writable: then the receive says EAGAIN. */
	if (!c->stream_over)
		receive(c);
	if (!c->over)
		deliver(c);
	update(c);
	pthread_mutex_unlock(&c->lock);
}

static void on_fd(int watch, int fd, int events, void *opaque)
{
	Channel *c = opaque;

	pthread_mutex_lock(&c->lock);
	if (!c->over && c->wait != WAIT_NOT && events & VIR_EVENT_HANDLE_HANGUP)
		end(c);
	if (!c->over)
		deliver(c);
	update(c);
	pthread_mutex_unlock(&c->lock);
}

static void leave(Channel *c)
{
	void (*ended)(void *userdata);

	if (atomic_fetch_sub(&c->users, 1) > 1)
		return;
	pthread_mutex_lock(&c->lock);
	ended = c->ended;
	pthread_mutex_unlock(&c->lock);
	if (ended)
		ended(c->userdata);
	channel_unref(c);
}

static void release_fd(void *opaque)
{
	leave(opaque);
}

/* With the lock. False when there is nothing more to wait for. */
static bool wait_for(Channel *c, Wait wait)
{
	c->wait = wait;
	update(c);
	while (c->wait != WAIT_NOT && !c->stream_over)
		pthread_cond_wait(&c->go_on, &c->lock);
	return !c->stream_over;
}

/* What Linux counts for `len` bytes in a socket: the buffer's head, and at most the double of what
 * it holds itself, as it is rounded up to a power of two. */
static size_t accounted(size_t len)
{
	return 1024 + len + (len < 16384 ? len : 16384);
}

/* Waits until the guest has not too much before it, and counts `len` as sent, so that an answer
 * finds it counted. False when the stream takes no more. */
static bool reserve(Channel *c, size_t len)
{
	bool goes_on;

	pthread_mutex_lock(&c->lock);
	goes_on = !c->stream_over && (c->ahead <= CHANNEL_AHEAD_MAX || wait_for(c, WAIT_WORD));
	c->ahead += accounted(len);
	pthread_mutex_unlock(&c->lock);
	return goes_on;
}

/* Only `sent` of the `len` that were reserved went out. */
static bool correct(Channel *c, size_t len, size_t sent)
{
	size_t excess = accounted(len) - (sent > 0 ? accounted(sent) : 0);
	bool goes_on = true;

	pthread_mutex_lock(&c->lock);
	/* A word of the guest may have set it to 0 meanwhile. */
	c->ahead -= c->ahead < excess ? c->ahead : excess;
	if (sent == 0)
		goes_on = wait_for(c, WAIT_ROOM);
	pthread_mutex_unlock(&c->lock);
	return goes_on;
}

/* False when the stream takes no more. */
static bool send_all(Channel *c, const char *data, size_t len)
{
	while (len > 0) {
		ssize_t n;

		if (!reserve(c, len))
			return false;
		n = c->ops->send(c->stream, data, len);
		if (n < 0 && n != -EAGAIN)
			return false;
		if (n < 0)
			n = 0;
		if ((size_t)n < len && !correct(c, len, (size_t)n))
			return false;
		data += n;
		len -= (size_t)n;
	}
	return true;
}

static void *writer_main(void *userdata)
{
	Channel *c = userdata;
	char buffer[CHANNEL_CHUNK_SIZE];

	for (;;) {
		struct pollfd p = { .fd = c->fd, .events = POLLIN };
		ssize_t n;

		(void)poll(&p, 1, -1);
		n = read(c->fd, buffer, sizeof(buffer));
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (n <= 0) {
			/* Closed, perhaps with bytes unread (ECONNRESET). */
			pthread_mutex_lock(&c->lock);
			end(c);
			pthread_mutex_unlock(&c->lock);
			break;
		}
		if (send_all(c, buffer, (size_t)n))
			continue;
		pthread_mutex_lock(&c->lock);
		stream_is_over(c);
		if (!c->over)
			deliver(c);
		update(c);
		pthread_mutex_unlock(&c->lock);
		break;
	}
	leave(c);
	return NULL;
}

void channel_stop(Channel *c)
{
	pthread_mutex_lock(&c->lock);
	end(c);
	pthread_mutex_unlock(&c->lock);
}

Channel *channel_unref(Channel *c)
{
	if (!c || atomic_fetch_sub(&c->refs, 1) > 1)
		return NULL;
	if (c->fd >= 0)
		close(c->fd);
	pthread_cond_destroy(&c->go_on);
	pthread_mutex_destroy(&c->lock);
	free(c);
	return NULL;
}

/* With the lock, so that nothing moves before all is set up. */
static int start(Channel *c)
{
	pthread_t thread;
	int r;

	c->watch = virEventAddHandle(c->fd, wanted_of_fd(c), on_fd, c, release_fd);
	if (c->watch < 0)
		return -ENOMEM;
	c->refs++;
	c->users = 2;
	r = thread_start(&thread, "vmm-port", writer_main, c);
	if (r < 0) {
		c->users = 1;
	} else {
		pthread_detach(thread);
		/* Last, so that there is no callback when this fails. */
		r = c->ops->watch(c->stream, wanted_of_stream(c), on_stream, c);
	}
	if (r < 0) {
		c->over = c->stream_over = true;
		c->ended = NULL;
		virEventRemoveHandle(c->watch);
		shutdown(c->fd, SHUT_RDWR);
	}
	return r;
}

int channel_new(Channel **ret, int *ret_fd, const ChannelStreamOps *ops, void *stream,
		void (*ended)(void *userdata), void *userdata)
{
	_cleanup_(channel_unrefp) Channel *c = calloc(1, sizeof(*c));
	_cleanup_close_ int theirs = -1;
	int pair[2], r;

	if (!c)
		return -ENOMEM;
	c->refs = 1;
	c->fd = -1;
	c->ops = ops;
	c->stream = stream;
	c->ended = ended;
	c->userdata = userdata;
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->go_on, NULL);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	c->fd = pair[0];
	theirs = pair[1];

	pthread_mutex_lock(&c->lock);
	r = start(c);
	pthread_mutex_unlock(&c->lock);
	if (r < 0)
		return r;
	*ret_fd = steal_fd(&theirs);
	*ret = steal_ptr(c);
	return 0;
}
