/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The blocking call: the asynchronous client on a loop of its own. */
#include "rpc/varlink-client.h"

#include "rpc/error.h"
#include "rpc/event-loop.h"
#include "rpc/varlink-client-private.h"

#include <errno.h>
#include <string.h>

typedef struct Wait {
	sd_event *event;
	int status;
	json_object *parameters;
	char *error;
} Wait;

static void on_reply(VarlinkClient *client, const VarlinkReply *reply, void *userdata)
{
	Wait *wait = userdata;

	wait->status = reply->status;
	wait->parameters = json_object_get(reply->parameters);
	if (reply->error) {
		wait->error = strdup(reply->error);
		if (!wait->error)
			wait->status = -ENOMEM;
	}
	(void)sd_event_exit(wait->event, 0);
}

static int explain(int r, const char *path, const char *method, char **ret_error)
{
	switch (r) {
	case -ETIME:
		return error_set(ret_error, r, "%s: %s: no answer in time, the outcome is unknown",
				 path, method);
	case -ECONNRESET:
		return error_set(ret_error, r,
				 "%s: %s: the service closed the connection, the outcome is "
				 "unknown (see its log)",
				 path, method);
	case -EBADMSG:
		return error_set(ret_error, r,
				 "%s: %s: the answer breaks the interface's description (another "
				 "version?)",
				 path, method);
	default: return error_set(ret_error, r, "%s: %s: %s", path, method, strerror(-r));
	}
}

static int call_and_wait(Wait *wait, const char *path, const VarlinkClientOptions *options,
			 const char *method, json_object *parameters, uint64_t timeout_usec,
			 char **ret_error)
{
	_cleanup_(varlink_client_freep) VarlinkClient *client = NULL;
	VarlinkClientOptions own = options ? *options : (VarlinkClientOptions){ 0 };
	int r;

	own.disconnected = NULL;
	r = client_connect(&client, wait->event, path,
			   timeout_usec == UINT64_MAX ? 0 : timeout_usec, &own, ret_error);
	if (r < 0)
		return r;
	r = varlink_client_call(client, method, parameters, 0, timeout_usec, on_reply, wait);
	if (r == 0)
		r = sd_event_loop(wait->event);
	if (r == 0)
		r = wait->status;
	return r < 0 ? explain(r, path, method, ret_error) : 0;
}

int varlink_call_blocking(const char *path, const VarlinkClientOptions *options, const char *method,
			  json_object *parameters, uint64_t timeout_usec,
			  json_object **ret_parameters, char **ret_error_name, char **ret_error)
{
	_cleanup_(event_freep) sd_event *event = NULL;
	_cleanup_(json_unrefp) json_object *reply = NULL;
	_cleanup_free_ char *error = NULL;
	Wait wait = { 0 };
	int r;

	r = sd_event_new(&event);
	if (r < 0)
		return explain(r, path, method, ret_error);
	wait.event = event;
	r = call_and_wait(&wait, path, options, method, parameters, timeout_usec, ret_error);
	reply = wait.parameters;
	error = wait.error;
	if (r < 0)
		return r;
	r = error ? 1 : 0;
	if (ret_parameters)
		*ret_parameters = steal_ptr(reply);
	if (ret_error_name)
		*ret_error_name = steal_ptr(error);
	return r;
}
