/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/dsm-verb.h"

#include "cli/text.h"
#include "core/bdf.h"

#include <errno.h>
#include <string.h>

#include <systemd/sd-event.h>

#define NOTICE_AFTER_USEC   (1000 * 1000ULL)
#define TIMER_ACCURACY_USEC 1000

static inline sd_event *event_free(sd_event *event)
{
	return sd_event_unref(event);
}

DEFINE_CLEANUP(sd_event, event_free);

typedef struct DsmVerb {
	const Cli *cli;
	const char *verb;
	char dsm[BDF_STRING_SIZE];
	uint64_t timeout_usec;
	sd_event *event;
} DsmVerb;

static void print_dsm(const Cli *cli, json_object *dsm)
{
	_cleanup_free_ char *line = NULL, *clean = NULL;

	if (cli->json) {
		cli_print_json(dsm);
		return;
	}
	line = text_format("%s: %s (tsm: %s)", json_get_string(dsm, "dsm"),
			   json_get_string(dsm, "state"), json_get_string(dsm, "tsm"));
	clean = text_clean(line);
	puts(clean);
}

static void on_reply(VarlinkClient *client, const VarlinkReply *reply, void *userdata)
{
	DsmVerb *v = userdata;
	CliStatus status = CLI_OK;

	if (reply->status < 0)
		status = cli_tell_failure(v->cli, reply->status, NULL);
	else if (reply->error)
		status = cli_tell_refusal(v->cli, reply->error, reply->parameters);
	else
		print_dsm(v->cli, json_get_object(reply->parameters, "dsm"));
	sd_event_exit(v->event, (int)status);
}

static int on_notice(sd_event_source *source, uint64_t usec, void *userdata)
{
	const DsmVerb *v = userdata;

	cli_error(v->cli, "waiting for %s of %s", v->verb, v->dsm);
	return 0;
}

static int on_timeout(sd_event_source *source, uint64_t usec, void *userdata)
{
	const DsmVerb *v = userdata;
	char text[TEXT_DURATION_SIZE];

	cli_error(v->cli,
		  "%s of %s has not ended within %s. It goes on; 'tdictl devices' shows what comes "
		  "of it, 'journalctl -u tdid' what it waits for",
		  v->verb, v->dsm, text_duration(v->timeout_usec, text));
	return sd_event_exit(v->event, CLI_TIMEOUT);
}

static int add_timer(DsmVerb *v, uint64_t usec, sd_event_time_handler_t handler)
{
	return sd_event_add_time_relative(v->event, NULL, CLOCK_BOOTTIME, usec, TIMER_ACCURACY_USEC,
					  handler, v);
}

/* The exit code; a negative errno when the call could not be made. */
static int call_and_wait(DsmVerb *v, const char *method, char **ret_error)
{
	_cleanup_(varlink_client_freep) VarlinkClient *client = NULL;
	_cleanup_(json_unrefp) json_object *parameters = NULL;
	_cleanup_free_ char *name = text_format(CLI_INTERFACE ".%s", method);
	VarlinkClientOptions options = { .interface = v->cli->interface };
	int r;

	r = varlink_client_connect(&client, v->event, v->cli->socket, &options, ret_error);
	if (r >= 0)
		r = json_build(&parameters, J_STRING("dsm", v->dsm));
	if (r >= 0)
		r = varlink_client_call(client, name, parameters, 0, 0, on_reply, v, NULL);
	if (r >= 0)
		r = add_timer(v, NOTICE_AFTER_USEC, on_notice);
	if (r >= 0)
		r = add_timer(v, v->timeout_usec, on_timeout);
	return r < 0 ? r : sd_event_loop(v->event);
}

CliStatus dsm_verb_run(const Cli *cli, const char *method, const char *verb, const char *address)
{
	_cleanup_(event_freep) sd_event *event = NULL;
	_cleanup_free_ char *error = NULL;
	DsmVerb v = { .cli = cli,
		      .verb = verb,
		      .timeout_usec = cli->timeout_usec ?: DSM_VERB_TIMEOUT_USEC };
	Bdf bdf;
	int r;

	if (bdf_parse(&bdf, address) < 0) {
		cli_error(cli,
			  "'%s' is no address of a DSM, such as 0000:01:00.0. 'tdictl devices' has "
			  "them",
			  address);
		return CLI_USAGE;
	}
	bdf_format(bdf, v.dsm);
	r = sd_event_new(&event);
	v.event = event;
	if (r >= 0)
		r = call_and_wait(&v, method, &error);
	return r < 0 ? cli_tell_failure(cli, r, error) : (CliStatus)r;
}
