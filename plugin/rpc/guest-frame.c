/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The guest port's frame, second half of frame.h. */
#include "rpc/frame.h"

#include "rpc/error.h"

#include <errno.h>
#include <string.h>

typedef struct Members {
	const char *session, *call, *reply, *event, *error, *message;
	json_object *parameters;
	int64_t id;
} Members;

static const JsonField members_table[] = {
	{ "session", JSON_FIELD_STRING, JSON_REQUIRED, offsetof(Members, session) },
	{ "id", JSON_FIELD_INT, 0, offsetof(Members, id), 0, INT64_MAX },
	{ "call", JSON_FIELD_STRING, 0, offsetof(Members, call) },
	{ "reply", JSON_FIELD_STRING, 0, offsetof(Members, reply) },
	{ "event", JSON_FIELD_STRING, 0, offsetof(Members, event) },
	{ "parameters", JSON_FIELD_OBJECT, 0, offsetof(Members, parameters) },
	{ "error", JSON_FIELD_STRING, 0, offsetof(Members, error) },
	{ "message", JSON_FIELD_STRING, 0, offsetof(Members, message) },
	{ NULL },
};

static const char *const kind_names[] = {
	[GUEST_FRAME_CALL] = "call",
	[GUEST_FRAME_REPLY] = "reply",
	[GUEST_FRAME_EVENT] = "event",
};

static bool session_valid(const char *session)
{
	return strlen(session) == GUEST_SESSION_LEN &&
	       strspn(session, "0123456789abcdef") == GUEST_SESSION_LEN;
}

/* What holds between the members; NULL when all does. Parsing and formatting both ask. */
static const char *find_mistake(const GuestFrame *frame)
{
	if (!frame->session || !session_valid(frame->session))
		return "\"session\" must be 32 lower-case hex digits";
	if (!frame->method || frame->method[0] == '\0')
		return "the method's name is missing";
	if (frame->kind == GUEST_FRAME_EVENT && frame->id >= 0)
		return "an event has no \"id\"";
	if (frame->kind != GUEST_FRAME_EVENT && frame->id < 0)
		return "\"id\" is missing";
	if (frame->error && frame->kind != GUEST_FRAME_REPLY)
		return "only a reply can have \"error\"";
	if (frame->error && frame->error[0] == '\0')
		return "\"error\" is empty";
	if (frame->message && !frame->error)
		return "\"message\" without \"error\"";
	return NULL;
}

/* Exactly one of the three names the method. */
static int set_kind(GuestFrame *frame, const Members *m)
{
	if (!!m->call + !!m->reply + !!m->event != 1)
		return -EBADMSG;
	frame->kind = m->call ? GUEST_FRAME_CALL : m->reply ? GUEST_FRAME_REPLY : GUEST_FRAME_EVENT;
	frame->method = m->call ? m->call : m->reply ? m->reply : m->event;
	return 0;
}

int guest_frame_parse(GuestFrame **ret, const char *text, size_t len, char **ret_error)
{
	_cleanup_(guest_frame_freep) GuestFrame *frame = calloc(1, sizeof(*frame));
	Members m = { .id = -1 };
	const char *mistake;
	int r;

	if (!frame)
		return -ENOMEM;
	r = json_parse(&frame->body, text, len, ret_error);
	if (r < 0)
		return r;
	r = json_dispatch(frame->body, members_table, &m, 0, ret_error);
	if (r < 0)
		return r == -EINVAL ? -EBADMSG : r;
	if (set_kind(frame, &m) < 0)
		return error_set(ret_error, -EBADMSG,
				 "there must be one of \"call\", \"reply\" and \"event\"");
	frame->session = m.session;
	frame->id = m.id;
	frame->parameters = m.parameters;
	frame->error = m.error;
	frame->message = m.message;
	mistake = find_mistake(frame);
	if (mistake)
		return error_set(ret_error, -EBADMSG, "%s", mistake);
	*ret = steal_ptr(frame);
	return 0;
}

GuestFrame *guest_frame_free(GuestFrame *frame)
{
	if (frame)
		json_unref(frame->body);
	free(frame);
	return NULL;
}

int guest_frame_format(char **ret, size_t *ret_len, const GuestFrame *frame, size_t limit)
{
	_cleanup_(json_unrefp) json_object *object = NULL;
	_cleanup_free_ char *text = NULL;
	size_t len;
	int r;

	if (find_mistake(frame) || frame->kind > GUEST_FRAME_EVENT)
		return -EINVAL;
	r = json_build(&object, J_STRING("session", frame->session),
		       J_INT_IF(frame->kind != GUEST_FRAME_EVENT, "id", frame->id),
		       J_STRING(kind_names[frame->kind], frame->method),
		       J_REF("parameters", frame->parameters), J_STRING("error", frame->error),
		       J_STRING("message", frame->message));
	if (r < 0)
		return r;
	r = json_format(&text, &len, object);
	if (r < 0)
		return r;
	if (len > limit)
		return -E2BIG;
	*ret = steal_ptr(text);
	*ret_len = len + 1;
	return 0;
}
