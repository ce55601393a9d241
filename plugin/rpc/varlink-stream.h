/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* NUL-terminated JSON over a connected socket on sd-event: what server and client have in common.
 */
#pragma once

#include "rpc/json.h"

#include <systemd/sd-event.h>

typedef struct VarlinkStream VarlinkStream;

typedef struct VarlinkStreamOps {
	/* One frame, not parsed yet. A negative result fails the stream with that reason. */
	int (*frame)(const char *text, size_t len, void *userdata);
	/* The stream has failed or ended (-ECONNRESET). Runs once, always from the event loop. */
	void (*closed)(int reason, void *userdata);
	/* All that waited has been written. From the event loop; may be NULL. */
	void (*drained)(void *userdata);
} VarlinkStreamOps;

/* Takes the fd, also on failure. A frame over input_max fails the stream with -EMSGSIZE. */
int varlink_stream_new(VarlinkStream **ret, sd_event *event, int fd, size_t input_max,
		       size_t output_max, const VarlinkStreamOps *ops, void *userdata);
/* Closes the socket; no callback runs any more. Safe inside the callbacks. */
VarlinkStream *varlink_stream_free(VarlinkStream *stream);
DEFINE_CLEANUP(VarlinkStream, varlink_stream_free);

/* Of its event sources; SD_EVENT_PRIORITY_NORMAL at first. Negative errno. */
int varlink_stream_set_priority(VarlinkStream *stream, int64_t priority);

/*
 * Queues a frame and writes what the socket takes at once. -ENOBUFS when more than output_max bytes
 * would wait, -ECONNRESET: in both cases the stream has failed.
 */
int varlink_stream_send(VarlinkStream *stream, json_object *object);
/* Nothing of either side is under way, as far as has been read. */
bool varlink_stream_is_idle(const VarlinkStream *stream);
/*
 * The peer has not closed it, and nothing of either side is under way: what is read from here on
 * answers what is sent from here on. Looks at the socket.
 */
bool varlink_stream_is_quiet(const VarlinkStream *stream);
/* Bytes that wait for the peer to read. */
size_t varlink_stream_waiting(const VarlinkStream *stream);

/* While paused no frame is handed out and nothing is read; a peer that goes away is noticed. */
void varlink_stream_pause(VarlinkStream *stream);
void varlink_stream_resume(VarlinkStream *stream);

/* Closes the socket now; `closed` follows from the event loop. */
void varlink_stream_fail(VarlinkStream *stream, int reason);
bool varlink_stream_failed(const VarlinkStream *stream);
