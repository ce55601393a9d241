/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * tdid keeps the time while it is there; our own timer is for when it is not, and comes a little
 * later, so that tdid's word about where the device is has gone first.
 */
#include "cli/assignment.h"
#include "cli/lasting-call.h"
#include "cli/states.h"
#include "cli/text.h"
#include "rpc/event-loop.h"

#include <errno.h>
#include <string.h>

#define TIMEOUT_USEC	    (300 * 1000000ULL)
#define GRACE_USEC	    (500 * 1000ULL)
#define NOTICE_AFTER_USEC   (1000 * 1000ULL)
#define TIMER_ACCURACY_USEC 1000

typedef struct Wait {
	const Cli *cli;
	sd_event *event;
	const char *argument;
	char *domain;
	const char *name;
	States states;
	uint64_t end_usec; /* CLOCK_BOOTTIME */
} Wait;

static int parameters(json_object **ret, void *userdata)
{
	const Wait *w = userdata;
	_cleanup_(json_unrefp) json_object *states = json_object_new_array();
	uint64_t now = boottime_usec();
	uint64_t left_usec = w->end_usec > now ? w->end_usec - now : 0;
	int r = states ? 0 : -ENOMEM;

	for (unsigned int i = 0; r >= 0 && i < ASSIGNMENT_N_STATES; i++)
		if (w->states.is[i])
			r = json_append_string(states, assignment_state_name(i));
	return r < 0 ? r
		     : json_build(ret, J_STRING("domain", w->domain), J_STRING("name", w->name),
				  J_REF("states", states),
				  J_INT("timeout_ms", (int64_t)((left_usec + 999) / 1000)));
}

static void print_assignment(const Wait *w, json_object *object)
{
	_cleanup_free_ char *tsm = NULL, *line = NULL, *clean = NULL;
	Assignment a;

	if (w->cli->json) {
		cli_print_json(object);
		return;
	}
	if (object) {
		a = assignment_read(object);
		tsm = assignment_tsm_words(&a);
		line = text_format("%s/%s: %s (tsm: %s)", a.domain_name, a.name, a.state, tsm);
	} else {
		line = text_format("%s: not there", w->argument);
	}
	clean = text_clean(line);
	puts(clean);
}

static void on_reply(const VarlinkReply *reply, void *userdata)
{
	Wait *w = userdata;

	if (reply->error) {
		sd_event_exit(w->event,
			      (int)cli_tell_refusal(w->cli, reply->error, reply->parameters));
		return;
	}
	print_assignment(w, json_get_object(reply->parameters, "assignment"));
	sd_event_exit(w->event, CLI_OK);
}

static void on_failed(CliStatus status, void *userdata)
{
	sd_event_exit(((Wait *)userdata)->event, (int)status);
}

static int on_notice(sd_event_source *source, uint64_t usec, void *userdata)
{
	const Wait *w = userdata;
	_cleanup_free_ char *words = states_words(&w->states);

	cli_error(w->cli, "waiting for %s to be %s", w->argument, words);
	return 0;
}

static int on_timeout(sd_event_source *source, uint64_t usec, void *userdata)
{
	const Wait *w = userdata;

	return sd_event_exit(w->event, (int)cli_tell_failure(w->cli, -ETIMEDOUT, NULL));
}

static CliStatus wait_run(Wait *w)
{
	static const LastingCallOptions options = { .method = "Wait",
						    .patient = true,
						    .parameters = parameters,
						    .replied = on_reply,
						    .failed = on_failed };
	_cleanup_(lasting_call_freep) LastingCall *call = NULL;
	uint64_t timeout = w->cli->timeout_usec ?: TIMEOUT_USEC;
	CliStatus status;
	int r;

	w->end_usec = boottime_usec() + timeout;
	r = sd_event_add_time_relative(w->event, NULL, CLOCK_BOOTTIME, NOTICE_AFTER_USEC,
				       TIMER_ACCURACY_USEC, on_notice, w);
	if (r >= 0)
		r = sd_event_add_time_relative(w->event, NULL, CLOCK_BOOTTIME, timeout + GRACE_USEC,
					       TIMER_ACCURACY_USEC, on_timeout, w);
	if (r < 0)
		return cli_tell_failure(w->cli, r, NULL);
	status = lasting_call_new(&call, w->cli, w->event, &options, w);
	if (status != CLI_OK)
		return status;
	r = sd_event_loop(w->event);
	return r < 0 ? cli_tell_failure(w->cli, r, NULL) : (CliStatus)r;
}

static CliStatus run(Cli *cli, char **arguments)
{
	_cleanup_(event_freep) sd_event *event = NULL;
	_cleanup_free_ char *domain = NULL;
	Wait w = { .cli = cli, .argument = arguments[0] };
	CliStatus status;
	int r;

	status = states_parse(cli, "--state", cli->state ?: "running", &w.states);
	if (status == CLI_OK)
		status = cli_split(cli, arguments[0], &domain, &w.name);
	if (status != CLI_OK)
		return status;
	if (!json_utf8_valid(arguments[0], strlen(arguments[0]))) {
		cli_error(cli, "'%s' is not UTF-8", arguments[0]);
		return CLI_USAGE;
	}
	w.domain = domain;
	r = sd_event_new(&event);
	if (r < 0)
		return cli_tell_failure(cli, r, NULL);
	w.event = event;
	return wait_run(&w);
}

const Command command_wait = {
	.name = "wait",
	.arguments = "DOMAIN/NAME",
	.summary = "Wait until a device runs, or is in another state",
	.help = "The device need not be there yet, but its domain has to be known. declared, "
		"attached,\n"
		"connecting, waiting, binding, bound, locked and running are steps of one way: a "
		"device\n"
		"that is further on has been there. Ends with 5 as soon as the device cannot get "
		"there\n"
		"by itself any more, and says why. A device that is not there at all is released.\n"
		"Goes on when tdid is restarted meanwhile.\n"
		"\n"
		"  --state STATE[,STATE...]  any of these (running)\n"
		"  --timeout SECONDS         wait no longer than that, and end with 4 (300)\n"
		"\n"
		"--json prints the assignment as 'tdictl list' does, null where there is none.\n",
	.options = COMMAND_STATE | COMMAND_TIMEOUT,
	.min_arguments = 1,
	.max_arguments = 1,
	.run = run,
};
