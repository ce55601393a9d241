/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * closed --port opened--> greeting --Hello answered--> established
 *
 * Greeting: Hello is out; the timer says it again, each time as a new session and after a longer
 * wait, since an old answer must not be taken for the new one's. Established: a NUL or a frame that
 * does not parse may mean that another tdid sits at the other end, who knows nothing of this
 * session, so greet again. Whatever comes under another session's number is dropped without a word.
 */
#include "agent/session.h"

#include "core/hex.h"
#include "rpc/log.h"

#include <openssl/rand.h>

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define PROTOCOL 1
#define AGENT	 "tdi-agent " TDID_VERSION

typedef enum SessionState {
	SESSION_CLOSED,
	SESSION_GREETING,
	SESSION_ESTABLISHED,
} SessionState;

typedef struct SessionCall {
	int64_t id; /* 0: free */
	Session *session;
	char method[32];
	SessionReplyHandler handler;
	void *userdata;
	LoopTimer timer;
} SessionCall;

struct Session {
	const Tree *tree;
	SessionHandlers handlers;
	void *userdata;
	Port *port;
	SessionState state;
	char name[GUEST_SESSION_LEN + 1];
	int64_t last_id;
	int64_t hello_id;
	LoopTimer hello_timer;
	uint64_t hello_wait;
	bool complained; /* about rubbish, once per session */
	SessionCall calls[SESSION_MAX_CALLS];
};

static int session_send(Session *session, GuestFrame *frame)
{
	_cleanup_free_ char *bytes = NULL;
	size_t size;
	int r;

	frame->session = session->name;
	r = guest_frame_format(&bytes, &size, frame, FRAME_SIZE_MAX);
	return r < 0 ? r : port_send(session->port, bytes, size);
}

static void calls_drop(Session *session)
{
	for (size_t i = 0; i < ELEMENTSOF(session->calls); i++)
		session_cancel(session, session->calls[i].id);
}

static int hello_send(Session *session)
{
	_cleanup_(json_unrefp) json_object *parameters = NULL;
	uint8_t random[GUEST_SESSION_LEN / 2];
	char boot_id[64];
	int r;

	if (RAND_bytes(random, sizeof(random)) != 1)
		return -EIO;
	hex_encode(session->name, random, sizeof(random));
	r = tree_read_line(session->tree, boot_id, sizeof(boot_id),
			   "/proc/sys/kernel/random/boot_id");
	if (r < 0)
		return r;
	r = json_build(&parameters, J_INT("protocol", PROTOCOL), J_STRING("agent", AGENT),
		       J_STRING("boot_id", boot_id));
	if (r < 0)
		return r;
	session->hello_id = ++session->last_id;
	return session_send(session, &(GuestFrame){ .kind = GUEST_FRAME_CALL,
						    .id = session->hello_id,
						    .method = "Hello",
						    .parameters = parameters });
}

static void session_greet(Session *session)
{
	SessionState before = session->state;
	int r;

	session->state = SESSION_GREETING;
	session->complained = false;
	calls_drop(session);
	if (before == SESSION_ESTABLISHED)
		session->handlers.ended(session->userdata);
	r = hello_send(session);
	if (r < 0)
		log_warning("guest port: Hello could not be sent: %s", strerror(-r));
	loop_timer_set(&session->hello_timer, session->hello_wait);
}

static void on_hello_timer(void *userdata)
{
	Session *session = userdata;

	log_debug("guest port: no answer to Hello, again");
	session->hello_wait *= 2;
	if (session->hello_wait > SESSION_HELLO_MAX_USEC)
		session->hello_wait = SESSION_HELLO_MAX_USEC;
	session_greet(session);
}

static void on_hello_reply(Session *session, const GuestFrame *reply)
{
	int64_t protocol;
	const char *text;
	Uuid tvm;

	/* Whatever is wrong here, the timer greets again. */
	if (reply->error) {
		log_warning("guest port: tdid refused Hello: %s (%s)", reply->error,
			    reply->message ? reply->message : "no reason given");
		return;
	}
	protocol = reply->parameters ? json_get_int(reply->parameters, "protocol", 0) : 0;
	text = reply->parameters ? json_get_string(reply->parameters, "tvm") : NULL;
	if (protocol != PROTOCOL) {
		log_warning("guest port: tdid speaks protocol %" PRIi64
			    ", this agent %d: update the older one",
			    protocol, PROTOCOL);
		return;
	}
	if (!text || uuid_from_string(&tvm, text) < 0) {
		log_warning("guest port: tdid's answer to Hello names no TVM");
		return;
	}
	loop_timer_off(&session->hello_timer);
	session->hello_wait = SESSION_HELLO_USEC;
	session->state = SESSION_ESTABLISHED;
	session->handlers.established(session->userdata, tvm);
}

static void on_reply(Session *session, const GuestFrame *reply)
{
	SessionReplyHandler handler;

	if (session->state == SESSION_GREETING && reply->id == session->hello_id &&
	    strcmp(reply->method, "Hello") == 0) {
		on_hello_reply(session, reply);
		return;
	}
	if (session->state != SESSION_ESTABLISHED || reply->id <= 0)
		return;
	for (size_t i = 0; i < ELEMENTSOF(session->calls); i++) {
		SessionCall *call = &session->calls[i];

		if (call->id != reply->id || strcmp(call->method, reply->method) != 0)
			continue;
		handler = call->handler;
		session_cancel(session, call->id);
		handler(call->userdata, reply);
		return;
	}
	log_debug("guest port: a reply to no call");
}

static void on_call_timer(void *userdata)
{
	SessionCall *call = userdata;
	SessionReplyHandler handler = call->handler;

	session_cancel(call->session, call->id);
	handler(call->userdata, NULL);
}

static void on_frame(void *userdata, const char *text, size_t len)
{
	_cleanup_(guest_frame_freep) GuestFrame *frame = NULL;
	_cleanup_(json_unrefp) json_object *none = NULL;
	_cleanup_free_ char *error = NULL;
	Session *session = userdata;
	int r = text ? guest_frame_parse(&frame, text, len, &error) : -E2BIG;

	if (r < 0) {
		if (!session->complained)
			log_warning("guest port: dropped a frame: %s",
				    error ? error : strerror(-r));
		/* Once: rubbish as such must not keep us from ever getting anywhere. */
		if (session->state == SESSION_ESTABLISHED && !session->complained)
			session_greet(session);
		session->complained = true;
		return;
	}
	if (strcmp(frame->session, session->name) != 0) {
		log_debug("guest port: dropped a frame of another session");
		return;
	}
	switch (frame->kind) {
	case GUEST_FRAME_REPLY: on_reply(session, frame); break;
	case GUEST_FRAME_EVENT:
		if (session->state != SESSION_ESTABLISHED)
			break;
		if (!frame->parameters)
			none = json_object_new_object();
		if (frame->parameters || none)
			session->handlers.event(session->userdata, frame->method,
						frame->parameters ? frame->parameters : none);
		break;
	case GUEST_FRAME_CALL:
		/* tdid calls nothing. */
		log_debug("guest port: dropped a call of %s", frame->method);
		break;
	}
}

static void on_opened(void *userdata, bool anew)
{
	Session *session = userdata;

	/* While greeting, the NUL is the one that belongs to this very opening. */
	if (anew && session->state != SESSION_ESTABLISHED)
		return;
	session->hello_wait = SESSION_HELLO_USEC;
	session_greet(session);
}

static void on_closed(void *userdata)
{
	Session *session = userdata;
	SessionState before = session->state;

	session->state = SESSION_CLOSED;
	loop_timer_off(&session->hello_timer);
	calls_drop(session);
	if (before == SESSION_ESTABLISHED)
		session->handlers.ended(session->userdata);
}

int session_new(Session **ret, Loop *loop, const Tree *tree, const SessionHandlers *handlers,
		void *userdata)
{
	static const PortHandlers port_handlers = { .opened = on_opened,
						    .frame = on_frame,
						    .closed = on_closed };
	_cleanup_(session_freep) Session *session = calloc(1, sizeof(*session));
	int r;

	if (!session)
		return -ENOMEM;
	session->tree = tree;
	session->handlers = *handlers;
	session->userdata = userdata;
	session->hello_wait = SESSION_HELLO_USEC;
	loop_timer_init(loop, &session->hello_timer, on_hello_timer, session);
	for (size_t i = 0; i < ELEMENTSOF(session->calls); i++) {
		session->calls[i].session = session;
		loop_timer_init(loop, &session->calls[i].timer, on_call_timer, &session->calls[i]);
	}
	r = port_new(&session->port, loop, tree, &port_handlers, session);
	if (r < 0)
		return r;
	*ret = steal_ptr(session);
	return 0;
}

Session *session_free(Session *session)
{
	loop_timer_off(&session->hello_timer);
	calls_drop(session);
	if (session->port)
		port_free(session->port);
	free(session);
	return NULL;
}

Port *session_port(Session *session)
{
	return session->port;
}

int session_call(Session *session, const char *method, json_object *parameters,
		 uint64_t timeout_usec, SessionReplyHandler handler, void *userdata,
		 int64_t *ret_id)
{
	SessionCall *call = NULL;
	int r;

	if (session->state != SESSION_ESTABLISHED)
		return -ENOTCONN;
	for (size_t i = 0; i < ELEMENTSOF(session->calls) && !call; i++)
		if (!session->calls[i].id)
			call = &session->calls[i];
	if (!call)
		return -EBUSY;
	r = session_send(session, &(GuestFrame){ .kind = GUEST_FRAME_CALL,
						 .id = session->last_id + 1,
						 .method = method,
						 .parameters = parameters });
	if (r < 0)
		return r;
	call->id = ++session->last_id;
	call->handler = handler;
	call->userdata = userdata;
	snprintf(call->method, sizeof(call->method), "%s", method);
	loop_timer_set(&call->timer, timeout_usec);
	*ret_id = call->id;
	return 0;
}

void session_cancel(Session *session, int64_t id)
{
	for (size_t i = 0; id && i < ELEMENTSOF(session->calls); i++) {
		if (session->calls[i].id != id)
			continue;
		session->calls[i].id = 0;
		loop_timer_off(&session->calls[i].timer);
	}
}

int session_event(Session *session, const char *method, json_object *parameters)
{
	int r;

	if (session->state != SESSION_ESTABLISHED)
		return -ENOTCONN;
	r = session_send(session, &(GuestFrame){ .kind = GUEST_FRAME_EVENT,
						 .id = -1,
						 .method = method,
						 .parameters = parameters });
	if (r < 0)
		log_warning("guest port: %s could not be sent: %s", method, strerror(-r));
	return r < 0 ? r : 0;
}
