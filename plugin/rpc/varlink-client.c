/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Pending calls wait in the order in which they were sent; each frame that arrives belongs to the
 * first of them. A call that was cancelled or whose time is over stays in the queue without its
 * callback until its reply has come, or the replies behind it would be taken for its own.
 *
 * Any callback may free the client. Whoever runs one holds a reference and looks at `freed`
 * afterwards.
 */
#include "rpc/varlink-client.h"

#include "rpc/error.h"
#include "rpc/varlink-client-private.h"
#include "rpc/varlink-stream.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>

/* sd-event's default of 250 ms would be longer than some whole timeouts. */
#define TIMER_ACCURACY_USEC 1000u

typedef struct Pending Pending;

struct Pending {
	VarlinkClient *client;
	char *method;
	bool more;
	VarlinkReplied replied; /* NULL: nobody waits any more */
	void *userdata;
	uint64_t timeout_usec;
	sd_event_source *timer;
	Pending *next;
};

struct VarlinkClient {
	unsigned refs;
	bool freed;
	sd_event *event;
	VarlinkStream *stream;
	VarlinkClientOptions options;
	Pending *first, **last; /* `last`: where the next one is linked */
};

static Pending *pending_free(Pending *pending)
{
	sd_event_source_disable_unref(pending->timer);
	free(pending->method);
	free(pending);
	return NULL;
}

DEFINE_CLEANUP(Pending, pending_free);

static VarlinkClient *client_unref(VarlinkClient *client)
{
	if (--client->refs == 0) {
		sd_event_unref(client->event);
		free(client);
	}
	return NULL;
}

DEFINE_CLEANUP(VarlinkClient, client_unref);

static VarlinkClient *client_ref(VarlinkClient *client)
{
	client->refs++;
	return client;
}

static Pending *pop(VarlinkClient *client)
{
	Pending *pending = client->first;

	client->first = pending->next;
	if (!client->first)
		client->last = &client->first;
	return pending;
}

int varlink_client_set_priority(VarlinkClient *client, int64_t priority)
{
	return varlink_stream_set_priority(client->stream, priority);
}

bool varlink_client_is_idle(const VarlinkClient *client)
{
	return !client->first && varlink_stream_is_idle(client->stream);
}

bool varlink_client_is_quiet(const VarlinkClient *client)
{
	return varlink_client_is_idle(client) && varlink_stream_is_quiet(client->stream);
}

VarlinkClient *varlink_client_free(VarlinkClient *client)
{
	if (!client)
		return NULL;
	client->freed = true;
	client->stream = varlink_stream_free(client->stream);
	while (client->first)
		pending_free(pop(client));
	return client_unref(client);
}

const char *varlink_error_name(const char *error, const char *interface)
{
	size_t len = strlen(interface);

	if (!error || strncmp(error, interface, len) != 0 || error[len] != '.' ||
	    strchr(error + len + 1, '.'))
		return NULL;
	return error + len + 1;
}

/* --- replies --- */

typedef struct Answer {
	const char *error;
	json_object *parameters;
	bool continues;
} Answer;

static const JsonField answer_fields[] = {
	{ "error", JSON_FIELD_STRING, JSON_NULLABLE, offsetof(Answer, error) },
	{ "parameters", JSON_FIELD_OBJECT, JSON_NULLABLE, offsetof(Answer, parameters) },
	{ "continues", JSON_FIELD_BOOL, JSON_NULLABLE, offsetof(Answer, continues) },
	{ NULL },
};

static int check_error_of(const char *text, const Answer *answer)
{
	_cleanup_(idl_freep) IdlInterface *interface = NULL;
	const IdlType *type;
	const char *name;
	int r;

	r = idl_parse(&interface, text, NULL);
	if (r < 0)
		return r;
	name = varlink_error_name(answer->error, idl_name(interface));
	type = name ? idl_error_find(interface, name) : NULL;
	return type ? idl_check(type, answer->parameters, NULL, NULL) : -EBADMSG;
}

static int check_answer(const IdlInterface *interface, const char *method, const Answer *answer)
{
	const IdlMethod *description;
	const IdlType *type;
	const char *name;

	if (!answer->error) {
		name = varlink_error_name(method, idl_name(interface));
		description = name ? idl_method_find(interface, name) : NULL;
		/* Calls of other interfaces (org.varlink.service) are not checked. */
		return description ? idl_check(description->output, answer->parameters, NULL, NULL)
				   : 0;
	}
	if (varlink_error_name(answer->error, VARLINK_SERVICE))
		return check_error_of(varlink_service_text, answer);
	if (strcmp(answer->error, VARLINK_ERROR_INTERNAL) == 0)
		return check_error_of(varlink_internal_text, answer);
	name = varlink_error_name(answer->error, idl_name(interface));
	type = name ? idl_error_find(interface, name) : NULL;
	return type ? idl_check(type, answer->parameters, NULL, NULL) : -EBADMSG;
}

/* Borrows from *ret_body. */
static int parse_answer(json_object **ret_body, Answer *ret, const VarlinkClient *client,
			const char *text, size_t len)
{
	int r;

	r = json_parse(ret_body, text, len, NULL);
	if (r == 0)
		r = json_dispatch(*ret_body, answer_fields, ret, 0, NULL);
	if (r == 0 && (!client->first || (ret->continues && (ret->error || !client->first->more))))
		r = -EBADMSG;
	if (r == 0 && client->options.interface)
		r = check_answer(client->options.interface, client->first->method, ret);
	return r == 0 || r == -ENOMEM ? r : -EBADMSG;
}

static void deliver(Pending *pending, const VarlinkReply *reply)
{
	if (pending->replied)
		pending->replied(pending->client, reply, pending->userdata);
}

static int on_frame(const char *text, size_t len, void *userdata)
{
	_cleanup_(client_unrefp) VarlinkClient *client = client_ref(userdata);
	_cleanup_(json_unrefp) json_object *body = NULL, *empty = NULL;
	_cleanup_(pending_freep) Pending *done = NULL;
	VarlinkReply reply = { 0 };
	Answer answer = { 0 };
	int r;

	r = parse_answer(&body, &answer, client, text, len);
	if (r < 0)
		return r;
	if (!answer.parameters)
		answer.parameters = empty = json_object_new_object();
	if (!answer.parameters)
		return -ENOMEM;
	reply.error = answer.error;
	reply.parameters = answer.parameters;
	reply.continues = answer.continues;
	if (reply.continues) {
		if (client->first->timer) {
			r = sd_event_source_set_time_relative(client->first->timer,
							      client->first->timeout_usec);
			if (r < 0)
				return r;
		}
		deliver(client->first, &reply);
		return 0;
	}
	/* Out of the queue first: the callback may call again, or free the client. */
	done = pop(client);
	deliver(done, &reply);
	return 0;
}

static void on_closed(int reason, void *userdata)
{
	_cleanup_(client_unrefp) VarlinkClient *client = client_ref(userdata);
	VarlinkReply reply = { .status = -ECONNRESET };

	if (reason == -EMSGSIZE || reason == -EBADMSG)
		reply.status = reason = -EBADMSG;
	while (client->first) {
		_cleanup_(pending_freep) Pending *pending = pop(client);

		deliver(pending, &reply);
	}
	if (!client->freed && client->options.disconnected)
		client->options.disconnected(client, reason, client->options.userdata);
}

static const VarlinkStreamOps stream_ops = { .frame = on_frame, .closed = on_closed };

static int on_timeout(sd_event_source *source, uint64_t usec, void *userdata)
{
	Pending *pending = userdata;
	_cleanup_(client_unrefp) VarlinkClient *client = client_ref(pending->client);
	VarlinkReplied replied = steal_ptr(pending->replied);
	VarlinkReply reply = { .status = -ETIME };

	/* What follows may free `pending`, and with it this source, which sd-event holds on to. */
	pending->timer = sd_event_source_disable_unref(pending->timer);
	if (replied)
		replied(client, &reply, pending->userdata);
	return 0;
}

/* --- calls --- */

static int check_call(const VarlinkClient *client, const char *method, json_object *parameters)
{
	const IdlInterface *interface = client->options.interface;
	const IdlMethod *description;
	const char *name;

	if (!interface)
		return 0;
	name = varlink_error_name(method, idl_name(interface));
	if (!name)
		return 0;
	description = idl_method_find(interface, name);
	if (!description)
		return -EINVAL;
	return idl_check(description->input, parameters, NULL, NULL);
}

static int pending_new(Pending **ret, VarlinkClient *client, const char *method, bool more,
		       uint64_t timeout_usec)
{
	_cleanup_(pending_freep) Pending *pending = calloc(1, sizeof(*pending));
	int r;

	if (!pending)
		return -ENOMEM;
	pending->client = client;
	pending->more = more;
	pending->timeout_usec = timeout_usec;
	pending->method = strdup(method);
	if (!pending->method)
		return -ENOMEM;
	if (timeout_usec != 0 && timeout_usec != UINT64_MAX) {
		r = sd_event_add_time_relative(client->event, &pending->timer, CLOCK_MONOTONIC,
					       timeout_usec, TIMER_ACCURACY_USEC, on_timeout,
					       pending);
		if (r < 0)
			return r;
	}
	*ret = steal_ptr(pending);
	return 0;
}

int varlink_client_call(VarlinkClient *client, const char *method, json_object *parameters,
			unsigned flags, uint64_t timeout_usec, VarlinkReplied replied,
			void *userdata)
{
	bool more = flags & VARLINK_CALL_MORE, oneway = flags & VARLINK_CALL_ONEWAY;
	_cleanup_(json_unrefp) json_object *body = NULL;
	_cleanup_(pending_freep) Pending *pending = NULL;
	int r;

	if ((more && oneway) || (oneway && replied))
		return -EINVAL;
	if (varlink_stream_failed(client->stream))
		return -ENOTCONN;
	r = check_call(client, method, parameters);
	if (r < 0)
		return r;
	r = json_build(&body, J_STRING("method", method), J_REF("parameters", parameters),
		       J_BOOL_IF(more, "more", true), J_BOOL_IF(oneway, "oneway", true));
	if (r < 0)
		return r;
	if (!oneway) {
		r = pending_new(&pending, client, method, more, timeout_usec);
		if (r < 0)
			return r;
	}
	r = varlink_stream_send(client->stream, body);
	if (r < 0)
		return r == -ECONNRESET ? -ENOTCONN : r;
	if (!pending)
		return 0;
	pending->replied = replied;
	pending->userdata = userdata;
	*client->last = pending;
	client->last = &pending->next;
	(void)steal_ptr(pending);
	return 0;
}

/* --- connecting --- */

static int check_server(int fd, const char *path, const VarlinkClientOptions *options,
			char **ret_error)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);

	if (!options->check_uid)
		return 0;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
		return error_set(ret_error, -errno, "%s: who serves is unknown: %m", path);
	if (peer.uid != options->uid)
		return error_set(ret_error, -EPERM, "%s: served by uid %u, expected uid %u", path,
				 (unsigned)peer.uid, (unsigned)options->uid);
	return 0;
}

/* Only the blocking call waits for a place in the server's queue. */
static int connect_socket(int *ret, const char *path, uint64_t wait_usec, char **ret_error)
{
	struct timeval limit = { .tv_sec = (time_t)(wait_usec / 1000000),
				 .tv_usec = (suseconds_t)(wait_usec % 1000000) };
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	_cleanup_close_ int fd = -1;

	if (strlen(path) >= sizeof(address.sun_path))
		return error_set(ret_error, -ENAMETOOLONG, "%s: longer than a socket's path may be",
				 path);
	strcpy(address.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | (wait_usec ? 0 : SOCK_NONBLOCK), 0);
	if (fd < 0)
		return error_set(ret_error, -errno, "%s: socket: %m", path);
	if (wait_usec && setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) < 0)
		return error_set(ret_error, -errno, "%s: SO_SNDTIMEO: %m", path);
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return error_set(ret_error, -errno, "%s: connecting: %m (is the service running?)",
				 path);
	*ret = steal_fd(&fd);
	return 0;
}

int client_connect(VarlinkClient **ret, sd_event *event, const char *path, uint64_t wait_usec,
		   const VarlinkClientOptions *options, char **ret_error)
{
	_cleanup_(client_unrefp) VarlinkClient *client = calloc(1, sizeof(*client));
	_cleanup_close_ int fd = -1;
	int r;

	if (!client)
		return -ENOMEM;
	client->refs = 1;
	client->event = sd_event_ref(event);
	client->last = &client->first;
	if (options)
		client->options = *options;
	r = connect_socket(&fd, path, wait_usec, ret_error);
	if (r < 0)
		return r;
	r = check_server(fd, path, &client->options, ret_error);
	if (r < 0)
		return r;
	r = varlink_stream_new(
		&client->stream, event, steal_fd(&fd),
		client->options.input_max ? client->options.input_max : JSON_SIZE_MAX,
		client->options.output_max ? client->options.output_max : VARLINK_OUTPUT_MAX,
		&stream_ops, client);
	if (r < 0)
		return error_set(ret_error, r, "%s: no memory or event source", path);
	*ret = steal_ptr(client);
	return 0;
}

int varlink_client_connect(VarlinkClient **ret, sd_event *event, const char *path,
			   const VarlinkClientOptions *options, char **ret_error)
{
	return client_connect(ret, event, path, 0, options, ret_error);
}
