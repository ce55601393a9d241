/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/verb.h"

#include "cli/text.h"
#include "rpc/event-loop.h"

#include <errno.h>
#include <string.h>

#define NOTICE_AFTER_USEC   (1000 * 1000ULL)
#define TIMER_ACCURACY_USEC 1000
#define GRACE_USEC	    (5000 * 1000ULL)

typedef struct Wait {
	const Cli *cli;
	const VerbCall *call;
	const char *address;
	uint64_t timeout_usec;
	sd_event *event;
	bool slow;	/* it is worth telling about */
	char *progress; /* told last, or (while it is not) to be told */
} Wait;

static void print_progress(Wait *w, json_object *parameters)
{
	char *line = w->call->progress ? w->call->progress(parameters) : NULL;

	if (!line)
		return;
	free(w->progress);
	w->progress = line;
	if (w->slow)
		cli_error(w->cli, "%s", line);
}

static void print_object(const Wait *w, json_object *object)
{
	_cleanup_free_ char *line = NULL, *clean = NULL;

	if (w->cli->json) {
		cli_print_json(object);
		return;
	}
	if (w->call->print) {
		w->call->print(object);
		return;
	}
	line = w->call->line(object);
	clean = text_clean(line);
	puts(clean);
}

static void on_reply(VarlinkClient *client, const VarlinkReply *reply, void *userdata)
{
	Wait *w = userdata;
	const char *object = w->call->object ? w->call->object : w->call->parameter;
	CliStatus status = CLI_OK;

	if (reply->status == 0 && reply->continues) {
		print_progress(w, reply->parameters);
		return;
	}
	if (reply->status < 0)
		status = cli_tell_failure(w->cli, reply->status, NULL);
	else if (reply->error)
		status = cli_tell_refusal(w->cli, reply->error, reply->parameters);
	else
		print_object(w, json_get_object(reply->parameters, object));
	sd_event_exit(w->event, (int)status);
}

static int on_notice(sd_event_source *source, uint64_t usec, void *userdata)
{
	Wait *w = userdata;

	w->slow = true;
	if (w->progress)
		cli_error(w->cli, "%s", w->progress);
	else
		cli_error(w->cli, "waiting for %s of %s", w->call->verb, w->address);
	return 0;
}

static int on_timeout(sd_event_source *source, uint64_t usec, void *userdata)
{
	const Wait *w = userdata;
	char text[TEXT_DURATION_SIZE];

	cli_error(w->cli,
		  "%s of %s has not ended within %s. It goes on; 'tdictl devices' shows what comes "
		  "of it, 'journalctl -u tdid' what it waits for",
		  w->call->verb, w->address, text_duration(w->timeout_usec, text));
	return sd_event_exit(w->event, CLI_TIMEOUT);
}

static int add_timer(Wait *w, uint64_t usec, sd_event_time_handler_t handler)
{
	return sd_event_add_time_relative(w->event, NULL, CLOCK_BOOTTIME, usec, TIMER_ACCURACY_USEC,
					  handler, w);
}

/* The exit code; a negative errno when the call could not be made. */
static int call_and_wait(Wait *w, char **ret_error)
{
	_cleanup_(varlink_client_freep) VarlinkClient *client = NULL;
	_cleanup_(json_unrefp) json_object *parameters = NULL;
	_cleanup_free_ char *name = text_format(CLI_INTERFACE ".%s", w->call->method);
	VarlinkClientOptions options = { .interface = w->cli->interface };
	int r;

	r = varlink_client_connect(&client, w->event, w->cli->socket, &options, ret_error);
	if (r >= 0 && w->call->parameters)
		parameters = json_object_get(w->call->parameters);
	else if (r >= 0)
		r = json_build(&parameters, J_STRING(w->call->parameter, w->address));
	if (r >= 0)
		r = varlink_client_call(client, name, parameters,
					w->call->progress ? VARLINK_CALL_MORE : 0, 0, on_reply, w);
	if (r >= 0)
		r = add_timer(w, NOTICE_AFTER_USEC, on_notice);
	/* tdid's answer says more than we could: ours is for one that does not come. */
	if (r >= 0)
		r = add_timer(w, w->timeout_usec + (w->call->timed ? GRACE_USEC : 0), on_timeout);
	return r < 0 ? r : sd_event_loop(w->event);
}

CliStatus verb_run(const Cli *cli, const VerbCall *call, const char *address)
{
	_cleanup_(event_freep) sd_event *event = NULL;
	_cleanup_free_ char *error = NULL;
	Wait w = { .cli = cli,
		   .call = call,
		   .address = address,
		   .timeout_usec = cli->timeout_usec ?: VERB_TIMEOUT_USEC };
	int r;

	r = sd_event_new(&event);
	w.event = event;
	if (r >= 0)
		r = call_and_wait(&w, &error);
	free(w.progress);
	return r < 0 ? cli_tell_failure(cli, r, error) : (CliStatus)r;
}
