/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A libvirt stream turned into a file descriptor. */
#pragma once

#include <stddef.h>
#include <sys/types.h>

#include "core/cleanup.h"

/* What the stream gave and the user has not read yet, besides the socket's own buffer. A stream
 * that gives more is ended: see channel.c. */
#define CHANNEL_BACKLOG_MAX (1u << 20)

/* What may be sent beyond the guest's last word before another send has to wait for its next; see
 * channel.c. In the kernel's accounting, which is at most twice the bytes, and 1 KiB for each send.
 */
#define CHANNEL_AHEAD_MAX  (48u * 1024)
#define CHANNEL_CHUNK_SIZE 65536u /* of one send */

/* What the pump needs of a stream: virStream's operations, or a test's. Event bits are
 * VIR_STREAM_EVENT_*. */
typedef struct ChannelStreamOps {
	/* On the pump's own thread, may block. > 0 bytes, -EAGAIN, or another negative errno. */
	ssize_t (*send)(void *stream, const void *data, size_t len);
	/* On libvirt's event thread, must not block. The same, or 0 at the end. */
	ssize_t (*receive)(void *stream, void *data, size_t len);
	/* `fn` is called on libvirt's event thread. */
	int (*watch)(void *stream, int events, void (*fn)(int events, void *opaque), void *opaque);
	/* Any thread. `unwatch` does not wait for an `fn` that is running. */
	int (*update)(void *stream, int events);
	int (*unwatch)(void *stream);
} ChannelStreamOps;

typedef struct Channel Channel;

/*
 * Pumps between `stream` and a socketpair whose other end is *ret_fd: a stream socket,
 * non-blocking, close-on-exec, the caller's. Closing *ret_fd, the stream's end or failure, or
 * channel_stop ends the pump. What the stream gave before its end is still delivered to *ret_fd,
 * and what was written to *ret_fd before it was closed is still sent if the stream takes it.
 *
 * ended(userdata) is called once, on libvirt's event thread or the pump's own, when neither
 * `stream` nor `userdata` is used any more; it must not block. A `send` that blocks delays it. The
 * stream is the caller's to abort and free, after that.
 *
 * Any thread, with libvirt's default event loop registered. Returns 0, or a negative errno, and
 * then `ended` is not called and the stream is not used any more.
 */
int channel_new(Channel **ret, int *ret_fd, const ChannelStreamOps *ops, void *stream,
		void (*ended)(void *userdata), void *userdata);

/* Any thread: *ret_fd sees the end at once, and `ended` is called unless it has been. */
void channel_stop(Channel *c);

/* Any thread. The pump has references of its own: this ends nothing. */
Channel *channel_unref(Channel *c);
DEFINE_CLEANUP(Channel, channel_unref);
