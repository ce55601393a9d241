/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * No event tells that tdid listens again, so attempts are spaced by a timer, from 100 ms up to 2 s.
 * With the sockets of tdid.socket the first attempt already gets into the queue, and waits there.
 */
#include "cli/lasting-call.h"

#include "cli/text.h"

#include <errno.h>

#define AGAIN_USEC_MIN	    (100 * 1000ULL)
#define AGAIN_USEC_MAX	    (2000 * 1000ULL)
#define TIMER_ACCURACY_USEC 1000

struct LastingCall {
	const Cli *cli;
	sd_event *event;
	LastingCallOptions options;
	void *userdata;
	char *method; /* with its interface */
	VarlinkClient *client;
	sd_event_source *again;
	uint64_t again_usec; /* 0: the connection is not lost */
	bool answered;
};

LastingCall *lasting_call_free(LastingCall *call)
{
	if (!call)
		return NULL;
	varlink_client_free(call->client);
	sd_event_source_disable_unref(call->again);
	sd_event_unref(call->event);
	free(call->method);
	free(call);
	return NULL;
}

static void fail(LastingCall *call, int error)
{
	call->options.failed(cli_tell_failure(call->cli, error, NULL), call->userdata);
}

static void lose(LastingCall *call);

static void on_reply(VarlinkClient *client, const VarlinkReply *reply, void *userdata)
{
	LastingCall *call = userdata;

	if (reply->status == -ECONNRESET && (call->answered || call->options.patient)) {
		lose(call);
		return;
	}
	if (reply->status < 0) {
		fail(call, reply->status);
		return;
	}
	if (call->again_usec)
		cli_error(call->cli, "tdid is back");
	call->again_usec = 0;
	call->answered = true;
	call->options.replied(reply, call->userdata);
}

static int attempt(LastingCall *call, char **ret_sentence)
{
	VarlinkClientOptions options = { .interface = call->cli->interface };
	_cleanup_(json_unrefp) json_object *parameters = NULL;
	int r;

	r = call->options.parameters(&parameters, call->userdata);
	if (r >= 0)
		r = varlink_client_connect(&call->client, call->event, call->cli->socket, &options,
					   ret_sentence);
	if (r >= 0)
		r = varlink_client_call(call->client, call->method, parameters, call->options.flags,
					0, on_reply, call);
	return r;
}

static int on_again(sd_event_source *source, uint64_t usec, void *userdata)
{
	LastingCall *call = userdata;
	int r = attempt(call, NULL);

	if (r == -ENOENT || r == -ECONNREFUSED || r == -EAGAIN || r == -ENOTCONN)
		lose(call);
	else if (r < 0)
		fail(call, r);
	return 0;
}

static void lose(LastingCall *call)
{
	int r;

	call->client = varlink_client_free(call->client);
	if (!call->again_usec)
		cli_error(call->cli,
			  "tdid closed the connection at %s; this goes on when it is back",
			  call->cli->socket);
	call->again_usec = call->again_usec ? 2 * call->again_usec : AGAIN_USEC_MIN;
	if (call->again_usec > AGAIN_USEC_MAX)
		call->again_usec = AGAIN_USEC_MAX;
	call->again = sd_event_source_disable_unref(call->again);
	r = sd_event_add_time_relative(call->event, &call->again, CLOCK_MONOTONIC, call->again_usec,
				       TIMER_ACCURACY_USEC, on_again, call);
	if (r < 0)
		fail(call, r);
}

CliStatus lasting_call_new(LastingCall **ret, const Cli *cli, sd_event *event,
			   const LastingCallOptions *options, void *userdata)
{
	_cleanup_(lasting_call_freep) LastingCall *call = calloc(1, sizeof(*call));
	_cleanup_free_ char *sentence = NULL;
	int r;

	if (!call)
		abort();
	call->cli = cli;
	call->event = sd_event_ref(event);
	call->options = *options;
	call->userdata = userdata;
	call->method = text_format(CLI_INTERFACE ".%s", options->method);
	r = attempt(call, &sentence);
	if (r < 0)
		return cli_tell_failure(cli, r, sentence);
	*ret = steal_ptr(call);
	return CLI_OK;
}
