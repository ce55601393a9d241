/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A call's references: one of its connection until the final answer, one of call_run while the
 * handler runs, and those that the handler keeps. When only the connection's is left and there is
 * no final answer, nobody can answer any more: that is a bug in the service, and the client is told
 * so instead of waiting for ever.
 *
 * A call may outlive its connection. `connection` is then NULL and every answer is -ECONNRESET.
 */
#include "rpc/varlink-connection.h"

#include "rpc/error.h"
#include "rpc/log.h"
#include "rpc/varlink-server-private.h"

#include <errno.h>
#include <string.h>

typedef struct Envelope {
	const char *method;
	json_object *parameters;
	bool oneway, more, upgrade;
} Envelope;

static const JsonField envelope_fields[] = {
	{ "method", JSON_FIELD_STRING, JSON_REQUIRED, offsetof(Envelope, method) },
	{ "parameters", JSON_FIELD_OBJECT, JSON_NULLABLE, offsetof(Envelope, parameters) },
	{ "oneway", JSON_FIELD_BOOL, JSON_NULLABLE, offsetof(Envelope, oneway) },
	{ "more", JSON_FIELD_BOOL, JSON_NULLABLE, offsetof(Envelope, more) },
	{ "upgrade", JSON_FIELD_BOOL, JSON_NULLABLE, offsetof(Envelope, upgrade) },
	{ NULL },
};

static VarlinkCall *call_destroy(VarlinkCall *call)
{
	json_unref(call->parameters);
	json_unref(call->body);
	free(call);
	return NULL;
}

DEFINE_CLEANUP(VarlinkCall, call_destroy);

/* -EBADMSG: what came is no call, and the stream cannot be trusted further. */
int call_new(VarlinkCall **ret, const char *text, size_t len)
{
	_cleanup_(call_destroyp) VarlinkCall *call = calloc(1, sizeof(*call));
	_cleanup_free_ char *error = NULL;
	Envelope envelope = { 0 };
	int r;

	if (!call)
		return -ENOMEM;
	call->refs = 1;
	r = json_parse(&call->body, text, len, &error);
	if (r == 0)
		r = json_dispatch(call->body, envelope_fields, &envelope, 0, &error);
	if (r == -ENOMEM)
		return r;
	if (r < 0) {
		log_debug("varlink: not a call: %s", error ? error : "no memory");
		return -EBADMSG;
	}
	/* Neither two answers for one call that wants none, nor another protocol behind it. */
	if (envelope.upgrade || (envelope.oneway && envelope.more))
		return -EBADMSG;
	call->method = envelope.method;
	call->oneway = envelope.oneway;
	call->more = envelope.more;
	call->parameters = envelope.parameters ? json_object_get(envelope.parameters)
					       : json_object_new_object();
	if (!call->parameters)
		return -ENOMEM;
	*ret = steal_ptr(call);
	return 0;
}

/* The final answer is out, or none is wanted: the next call of the connection may run. */
static void finish(VarlinkCall *call)
{
	Connection *connection = call->connection;

	call->finished = true;
	connection->call = NULL;
	call->refs--; /* the connection's; the caller holds one of its own */
	varlink_stream_resume(connection->stream);
}

/* Sends what has been checked. */
static int send_answer(VarlinkCall *call, const char *error, json_object *parameters,
		       bool continues)
{
	_cleanup_(json_unrefp) json_object *answer = NULL, *empty = NULL;
	int r = 0;

	if (!call->oneway) {
		if (!parameters)
			parameters = empty = json_object_new_object();
		if (!parameters)
			return -ENOMEM;
		r = json_build(&answer, J_STRING("error", error), J_REF("parameters", parameters),
			       J_BOOL_IF(continues, "continues", true));
		if (r < 0)
			return r;
		r = varlink_stream_send(call->connection->stream, answer);
		if (r == -ENOMEM)
			return r;
	}
	if (!continues)
		finish(call);
	return r;
}

static int send_internal_error(VarlinkCall *call, const char *cause)
{
	_cleanup_(json_unrefp) json_object *parameters = NULL;
	_cleanup_free_ char *message = NULL;
	int r;

	log_error("varlink: %s: %s; this is a bug in the service", call->method, cause);
	error_set(&message, 0, "%s failed inside the service; its log says why", call->method);
	r = json_build(&parameters, J_STRING("message", message ? message : "out of memory"));
	if (r < 0)
		return r;
	return send_answer(call, VARLINK_ERROR_INTERNAL, parameters, false);
}

/* Tells a client whose call nobody will answer. When even that cannot be sent it is dropped. */
static void abandon(VarlinkCall *call, const char *cause)
{
	Connection *connection = call->connection;
	int r;

	if (call->oneway) {
		finish(call);
		return;
	}
	r = send_internal_error(call, cause);
	if (r < 0)
		varlink_stream_fail(connection->stream, r);
}

VarlinkCall *varlink_call_ref(VarlinkCall *call)
{
	call->refs++;
	return call;
}

VarlinkCall *varlink_call_unref(VarlinkCall *call)
{
	if (!call)
		return NULL;
	/* Before our own reference goes: abandon() still needs the call. */
	if (call->refs == 2 && call->connection && !call->finished)
		abandon(call, "the call was dropped without an answer");
	if (--call->refs == 0)
		call_destroy(call);
	return NULL;
}

void call_lose_client(VarlinkCall *call)
{
	call->connection = NULL;
	if (call->gone)
		call->gone(call, call->gone_userdata);
	varlink_call_unref(call);
}

/* Whether the call may go to its handler; if not it has been answered. */
static bool admit(VarlinkCall *call)
{
	const VarlinkServerOptions *options = &call->connection->server->options;
	const Binding *binding = call->binding;
	const char *dot = strrchr(call->method, '.');
	_cleanup_free_ char *field = NULL;
	int r;

	if (!binding) {
		size_t len = dot ? (size_t)(dot - call->method) : 0;
		_cleanup_free_ char *name = strndup(call->method, len);

		if (server_find_interface(call->connection->server, call->method, len))
			(void)varlink_call_errorb(call, VARLINK_ERROR_METHOD_NOT_FOUND,
						  J_STRING("method", call->method));
		else
			(void)varlink_call_errorb(call, VARLINK_ERROR_INTERFACE_NOT_FOUND,
						  J_STRING("interface", name ? name : ""));
		return false;
	}
	if (options->authorize && options->authorize(call, options->userdata) != 0)
		return false;
	if ((binding->flags & VARLINK_MORE_ONLY) && !call->more) {
		(void)varlink_call_error(call, VARLINK_ERROR_EXPECTED_MORE, NULL);
		return false;
	}
	r = idl_check(binding->description->input, call->parameters, &field, NULL);
	if (r == -EINVAL)
		(void)varlink_call_invalid_parameter(call, field ? field : "");
	return r == 0;
}

void call_run(VarlinkCall *call)
{
	int r;

	/* What is neither kept nor answered is abandoned when the caller drops its reference. */
	if (!admit(call))
		return;
	r = call->binding->handler(call, call->parameters, call->binding->userdata);
	if (r < 0 && call->connection && !call->finished)
		abandon(call, strerror(-r));
}

/* --- answers --- */

static const IdlType *error_type(const VarlinkCall *call, const char *name, const char *dot)
{
	const IdlInterface *interface =
		server_find_interface(call->connection->server, name, (size_t)(dot - name));

	return interface ? idl_error_find(interface, dot + 1) : NULL;
}

/* Which type an answer has to have; NULL when the service may not give it. */
static const IdlType *answer_type(const VarlinkCall *call, const char *error)
{
	const char *dot;

	if (!error)
		return call->binding ? call->binding->description->output : NULL;
	dot = strrchr(error, '.');
	return dot ? error_type(call, error, dot) : NULL;
}

static int answer(VarlinkCall *call, const char *error, json_object *parameters, bool continues)
{
	_cleanup_free_ char *cause = NULL, *message = NULL;
	const IdlType *type;

	if (call->finished)
		return -EALREADY;
	if (!call->connection)
		return -ECONNRESET;
	type = answer_type(call, error);
	if (!type)
		error_set(&message, 0, "it answered with %s, which is not described",
			  error ? error : "a reply");
	else if (idl_check(type, parameters, NULL, &cause) < 0)
		error_set(&message, 0, "it broke its description in %s: %s",
			  error ? error : "its reply", cause ? cause : "no memory");
	else
		return send_answer(call, error, parameters, continues);

	abandon(call, message ? message : "it broke its description");
	return -EPROTO;
}

int varlink_call_reply(VarlinkCall *call, json_object *parameters)
{
	return answer(call, NULL, parameters, false);
}

int varlink_call_notify(VarlinkCall *call, json_object *parameters)
{
	if (!call->more && !call->oneway)
		return -EINVAL;
	return answer(call, NULL, parameters, true);
}

int varlink_call_error(VarlinkCall *call, const char *error, json_object *parameters)
{
	_cleanup_free_ char *full = NULL;

	if (!strchr(error, '.')) {
		if (call->finished)
			return -EALREADY;
		if (!call->connection)
			return -ECONNRESET;
		error_set(&full, 0, "%s.%s", idl_name(call->binding->interface), error);
		if (!full)
			return -ENOMEM;
		error = full;
	}
	return answer(call, error, parameters, false);
}

int varlink_call_invalid_parameter(VarlinkCall *call, const char *field)
{
	return varlink_call_errorb(call, VARLINK_ERROR_INVALID_PARAMETER,
				   J_STRING("parameter", field));
}

static int build(json_object **ret, VarlinkCall *call, const JsonMember *members)
{
	int r = json_build_members(ret, members);

	/* Text that is not UTF-8: of a device or a file, and the handler let it through. */
	if (r == -EINVAL && call->connection && !call->finished) {
		abandon(call, "its answer is not UTF-8");
		return -EPROTO;
	}
	return r;
}

int varlink_call_reply_members(VarlinkCall *call, const JsonMember *members)
{
	_cleanup_(json_unrefp) json_object *parameters = NULL;
	int r = build(&parameters, call, members);

	return r < 0 ? r : varlink_call_reply(call, parameters);
}

int varlink_call_notify_members(VarlinkCall *call, const JsonMember *members)
{
	_cleanup_(json_unrefp) json_object *parameters = NULL;
	int r = build(&parameters, call, members);

	return r < 0 ? r : varlink_call_notify(call, parameters);
}

int varlink_call_error_members(VarlinkCall *call, const char *error, const JsonMember *members)
{
	_cleanup_(json_unrefp) json_object *parameters = NULL;
	int r = build(&parameters, call, members);

	return r < 0 ? r : varlink_call_error(call, error, parameters);
}

/* --- what a handler may ask and set --- */

const char *varlink_call_method(const VarlinkCall *call)
{
	return call->method;
}

bool varlink_call_is_more(const VarlinkCall *call)
{
	return call->more;
}

const struct ucred *varlink_call_peer(const VarlinkCall *call)
{
	return &call->peer;
}

const gid_t *varlink_call_peer_groups(const VarlinkCall *call, size_t *ret_n)
{
	*ret_n = call->connection ? call->connection->n_groups : 0;
	return call->connection ? call->connection->groups : NULL;
}

json_object *varlink_call_parameters(const VarlinkCall *call)
{
	return call->parameters;
}

size_t varlink_call_waiting(const VarlinkCall *call)
{
	return call->connection ? varlink_stream_waiting(call->connection->stream) : 0;
}

void varlink_call_on_drained(VarlinkCall *call, VarlinkDrained callback, void *userdata)
{
	call->drained = callback;
	call->drained_userdata = userdata;
}

void varlink_call_on_gone(VarlinkCall *call, VarlinkGone callback, void *userdata)
{
	call->gone = callback;
	call->gone_userdata = userdata;
}
