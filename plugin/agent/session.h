/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The conversation with tdid over the guest port (schemas/io.tdid.Guest.varlink). Opens a session
 * whenever the host is there, and again when the host began anew or does not answer.
 */
#pragma once

#include "agent/port.h"
#include "core/cleanup.h"
#include "core/uuid.h"
#include "rpc/frame.h"

#include <stdint.h>

#define SESSION_HELLO_USEC     (2 * USEC_PER_SEC)
#define SESSION_HELLO_MAX_USEC (30 * USEC_PER_SEC)
#define SESSION_MAX_CALLS      4

typedef struct Session Session;

typedef struct SessionHandlers {
	/* tvm: as the host says. The keys of sealed messages depend on it, so a lie shows there. */
	void (*established)(void *userdata, Uuid tvm);
	/* Calls that waited have been dropped: their handlers are not called. */
	void (*ended)(void *userdata);
	/* parameters: never NULL, unchecked. */
	void (*event)(void *userdata, const char *method, json_object *parameters);
} SessionHandlers;

/* reply == NULL: none came in time. Otherwise borrowed for the call, and may carry an error. */
typedef void (*SessionReplyHandler)(void *userdata, const GuestFrame *reply);

int session_new(Session **ret, Loop *loop, const Tree *tree, const SessionHandlers *handlers,
		void *userdata);
Session *session_free(Session *session);
DEFINE_CLEANUP(Session, session_free);

/* The port under it, to be told of changes among the ports. */
Port *session_port(Session *session);

/*
 * parameters: borrowed. *ret_id (> 0) is for session_cancel(). -ENOTCONN: no session; -EBUSY: too
 * many calls wait; -E2BIG, -ENOBUFS: it cannot be sent.
 */
int session_call(Session *session, const char *method, json_object *parameters,
		 uint64_t timeout_usec, SessionReplyHandler handler, void *userdata,
		 int64_t *ret_id);
/* The reply is not wanted any more. */
void session_cancel(Session *session, int64_t id);

/* An event to tdid. -ENOTCONN: there is no session; -E2BIG, -ENOBUFS, after a word in the log. */
int session_event(Session *session, const char *method, json_object *parameters);
