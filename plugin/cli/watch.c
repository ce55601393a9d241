/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One Monitor call that lives until a signal, --until or --timeout ends it. When tdid goes away it
 * goes on where it was, as soon as tdid is back. Each reply is one line, flushed before the next is
 * read: a script that reads a pipe sees it as it happens.
 */
#include "cli/assignment.h"
#include "cli/lasting-call.h"
#include "cli/states.h"
#include "cli/text.h"
#include "rpc/event-loop.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#define TIMER_ACCURACY_USEC 1000
#define STATE_WIDTH	    11 /* "quarantined" */
#define TITLE_WIDTH_MIN	    32

typedef struct Watch {
	const Cli *cli;
	sd_event *event;
	char *domain;	  /* NULL: all */
	const char *name; /* NULL: all of the domain */
	States until;
	/* To go on from; sequence 0: from how things stand. */
	char *instance;
	int64_t sequence;
	uint64_t first_usec;
	int title_width; /* the widest so far */
} Watch;

/* The latest mark, unless it only says the state once more; NULL: nothing to say. */
static char *latest_mark(json_object *object, const char *state)
{
	json_object *marks = json_get_array(object, "timeline");
	size_t n = marks ? json_object_array_length(marks) : 0;
	json_object *mark = n ? json_object_array_get_idx(marks, n - 1) : NULL;
	const char *name = mark ? json_get_string(mark, "name") : NULL;
	const char *detail = mark ? json_get_string(mark, "detail") : NULL;

	if (!name || strcmp(name, state) == 0)
		return NULL;
	return text_format("  %s%s%s", name, detail ? ": " : "", detail ? detail : "");
}

static void print_line(Watch *watch, const Assignment *a, json_object *object, const char *remark)
{
	uint64_t since = boottime_usec() - watch->first_usec;
	_cleanup_free_ char *mark = latest_mark(object, a->state);
	bool more = *remark || mark || a->tdi_state || a->tsm || a->reason;
	_cleanup_free_ char *tdi = assignment_tdi_words(a), *tsm = assignment_tsm_words(a);
	_cleanup_free_ char *title = text_format("%s/%s %s", a->domain_name, a->name, a->device);
	_cleanup_free_ char *text =
		text_format("%-*s%s%s%s%s%s%s%s%s%s", more ? STATE_WIDTH : 0, a->state, remark,
			    mark ? mark : "", tdi ? "  tdi state: " : "", tdi ? tdi : "",
			    a->tsm ? "  tsm: " : "", a->tsm ? tsm : "", a->reason ? "  (" : "",
			    a->reason ? a->reason : "", a->reason ? ")" : "");
	_cleanup_free_ char *clean_title = text_clean(title), *clean = text_clean(text);
	int width = (int)text_width(clean_title);

	if (width > watch->title_width)
		watch->title_width = width;
	printf("%9llu.%03llu s  %s%*s  %s\n", (unsigned long long)(since / 1000000),
	       (unsigned long long)(since / 1000 % 1000), clean_title, watch->title_width - width,
	       "", clean);
	fflush(stdout);
}

/* Where to go on from. Another instance's numbers, and what it told, are void. */
static void note_position(Watch *watch, json_object *reply)
{
	const char *instance = json_get_string(reply, "instance");

	if (watch->instance && strcmp(watch->instance, instance) != 0)
		cli_error(watch->cli, "tdid was restarted: how things stand now follows");
	free(watch->instance);
	watch->instance = text_format("%s", instance);
	watch->sequence = json_get_int(reply, "sequence", 0);
}

static void on_reply(const VarlinkReply *reply, void *userdata)
{
	Watch *watch = userdata;
	AssignmentState state;
	json_object *object;
	Assignment a;

	if (reply->error) {
		sd_event_exit(watch->event,
			      (int)cli_tell_refusal(watch->cli, reply->error, reply->parameters));
		return;
	}
	if (watch->first_usec == 0)
		watch->first_usec = boottime_usec();
	note_position(watch, reply->parameters);

	object = json_get_object(reply->parameters, "assignment");
	a = object ? assignment_read(object) : (Assignment){ 0 };
	if (object && watch->name && !assignment_is(&a, watch->name))
		return;
	if (watch->cli->json)
		cli_print_json(reply->parameters);
	else if (object)
		print_line(watch, &a, object,
			   json_get_bool(reply->parameters, "removed", false) ? "  (listed no more)"
			   : json_get_bool(reply->parameters, "initial", false) ? "  (as it stands)"
										: "");

	if (object && assignment_state_parse(&state, a.state) == 0 && watch->until.is[state])
		sd_event_exit(watch->event, CLI_OK);
	else if (!reply->continues)
		sd_event_exit(watch->event, (int)cli_tell_failure(watch->cli, -ECONNRESET, NULL));
}

static void on_failed(CliStatus status, void *userdata)
{
	sd_event_exit(((Watch *)userdata)->event, (int)status);
}

static int parameters(json_object **ret, void *userdata)
{
	const Watch *watch = userdata;
	bool resume = watch->sequence > 0;

	return json_build(ret, J_STRING("domain", watch->domain),
			  J_STRING("instance", resume ? watch->instance : NULL),
			  J_INT_IF(resume, "since", watch->sequence));
}

static int on_signal(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata)
{
	return sd_event_exit(sd_event_source_get_event(source), CLI_OK);
}

static int on_timeout(sd_event_source *source, uint64_t usec, void *userdata)
{
	Watch *watch = userdata;
	char text[TEXT_DURATION_SIZE];

	text_duration(watch->cli->timeout_usec, text);
	if (watch->cli->until)
		cli_error(watch->cli, "no device became %s within %s", watch->cli->until, text);
	else
		cli_error(watch->cli, "ended after %s, as --timeout asks", text);
	return sd_event_exit(watch->event, CLI_TIMEOUT);
}

static int watch_prepare(Watch *watch)
{
	uint64_t timeout = watch->cli->timeout_usec;
	sigset_t signals;
	int r;

	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	if (sigprocmask(SIG_BLOCK, &signals, NULL) < 0)
		return -errno;
	r = sd_event_add_signal(watch->event, NULL, SIGINT, on_signal, NULL);
	if (r >= 0)
		r = sd_event_add_signal(watch->event, NULL, SIGTERM, on_signal, NULL);
	if (r >= 0 && timeout)
		r = sd_event_add_time_relative(watch->event, NULL, CLOCK_BOOTTIME, timeout,
					       TIMER_ACCURACY_USEC, on_timeout, watch);
	return r;
}

static CliStatus watch_run(Watch *watch)
{
	static const LastingCallOptions options = { .method = "Monitor",
						    .flags = VARLINK_CALL_MORE,
						    .parameters = parameters,
						    .replied = on_reply,
						    .failed = on_failed };
	_cleanup_(lasting_call_freep) LastingCall *call = NULL;
	CliStatus status;
	int r;

	if (watch->domain && !json_utf8_valid(watch->domain, strlen(watch->domain))) {
		cli_error(watch->cli, "'%s' is not UTF-8", watch->domain);
		return CLI_USAGE;
	}
	r = watch_prepare(watch);
	if (r < 0)
		return cli_tell_failure(watch->cli, r, NULL);
	status = lasting_call_new(&call, watch->cli, watch->event, &options, watch);
	if (status != CLI_OK)
		return status;
	r = sd_event_loop(watch->event);
	return r < 0 ? cli_tell_failure(watch->cli, r, NULL) : (CliStatus)r;
}

static CliStatus run(Cli *cli, char **arguments)
{
	_cleanup_(event_freep) sd_event *event = NULL;
	Watch watch = { .cli = cli, .title_width = TITLE_WIDTH_MIN };
	CliStatus status;
	int r;

	if (cli->until) {
		status = states_parse(cli, "--until", cli->until, &watch.until);
		if (status != CLI_OK)
			return status;
	}
	if (arguments[0] && strchr(arguments[0], '/')) {
		status = cli_split(cli, arguments[0], &watch.domain, &watch.name);
		if (status != CLI_OK)
			return status;
	} else if (arguments[0]) {
		watch.domain = text_format("%s", arguments[0]);
	}
	r = sd_event_new(&event);
	if (r < 0)
		return cli_tell_failure(cli, r, NULL);
	watch.event = event;
	status = watch_run(&watch);
	free(watch.domain);
	free(watch.instance);
	return status;
}

const Command command_watch = {
	.name = "watch",
	.arguments = "[DOMAIN[/NAME]]",
	.summary = "Print each change as it happens",
	.help = "The first lines tell how things stand. Each line begins with the time since the\n"
		"first. Ends on SIGINT and SIGTERM with 0. When tdid is restarted it goes on: with "
		"what\n"
		"was missed, or with how things stand now.\n"
		"\n"
		"  --until STATE[,STATE...]  end with 0 as soon as a device is in one of these\n"
		"  --timeout SECONDS         end with 4 after that time\n"
		"\n"
		"--json prints one object a line: {instance, sequence, initial, assignment, "
		"removed}.\n",
	.options = COMMAND_UNTIL | COMMAND_TIMEOUT,
	.max_arguments = 1,
	.run = run,
};
