/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "agent/relying-party.h"

#include "agent/child-log.h"
#include "agent/program.h"
#include "agent/verdict.h"
#include "core/refusal.h"
#include "rpc/json.h"
#include "rpc/log.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

struct RelyingParty {
	const PolicyCommand *command;
	Program *program;
	char title[CHILD_LOG_TITLE_MAX + 1];
	RelyingPartyHandler handler;
	void *userdata;
};

/* 1: accepted; 0: refused, with a sentence; negative errno with one: that was no verdict. */
static int judge_answer(const RelyingParty *party, const ProgramResult *result, char **ret_reason)
{
	_cleanup_free_ char *cause = NULL, *reason = NULL;
	Verdict verdict = { 0 };
	int r = verdict_parse(&verdict, result->output, result->output_size, &cause);

	reason = verdict.reason;
	if (r < 0)
		return refuse(ret_reason, r,
			      "the relying party's answer is no verdict: %s "
			      "(schemas/relying-party-verdict.schema.json)",
			      cause ? cause : strerror(-r));
	if (!verdict.accepted)
		return refuse(ret_reason, 0, "the relying party refuses the device: %s", reason);
	log_info("%s: accepts%s%s", party->title, reason ? ": " : "", reason ? reason : "");
	return 1;
}

static int judge(const RelyingParty *party, const ProgramResult *result, char **ret_reason)
{
	const char *name = json_shown(party->command->arguments[0]);

	switch (result->end) {
	case PROGRAM_EXITED:
		if (result->value == 0)
			return judge_answer(party, result, ret_reason);
		return refuse(
			ret_reason, 0,
			"the relying party's command %s ended with status %d (what it said on "
			"standard error is in the agent's log)",
			name, result->value);
	case PROGRAM_SIGNALLED:
		return refuse(ret_reason, 0,
			      "the relying party's command %s was ended by signal %d (%s)", name,
			      result->value, strsignal(result->value));
	case PROGRAM_NOT_STARTED:
		return refuse(ret_reason, 0,
			      "the relying party's command %s cannot be started: %s (is it, with "
			      "its interpreter, in this VM's image?)",
			      name, strerror(result->value));
	case PROGRAM_LATE:
		return refuse(ret_reason, 0,
			      "the relying party's command %s had not answered after %" PRIu32
			      " ms and was killed (the policy's \"timeout_ms\")",
			      name, party->command->timeout_ms);
	case PROGRAM_FLOOD:
		return refuse(ret_reason, 0,
			      "the relying party's command %s wrote more than %u bytes and was "
			      "killed",
			      name, VERDICT_MAX_SIZE);
	case PROGRAM_LOST: break;
	}
	return refuse(ret_reason, 0, "the relying party's command %s was lost: %s", name,
		      strerror(result->value));
}

static void on_ended(void *userdata, const ProgramResult *result)
{
	_cleanup_free_ char *reason = NULL;
	RelyingParty *party = userdata;
	bool accepted = judge(party, result, &reason) > 0;

	/* The handler may free us. */
	party->handler(party->userdata, accepted, reason);
}

int relying_party_ask(RelyingParty **ret, Loop *loop, const PolicyCommand *command,
		      const EvidenceSubject *subject, RelyingPartyHandler handler, void *userdata,
		      char **ret_error)
{
	_cleanup_(relying_party_freep) RelyingParty *party = calloc(1, sizeof(*party));
	_cleanup_free_ char *document = NULL;
	char address[BDF_STRING_SIZE];
	ProgramOptions options = { .arguments = command->arguments,
				   .output_max = VERDICT_MAX_SIZE,
				   .time_usec = command->timeout_ms * USEC_PER_MS,
				   .ended = on_ended };
	int r;

	if (!party)
		return -ENOMEM;
	party->command = command;
	party->handler = handler;
	party->userdata = userdata;
	snprintf(party->title, sizeof(party->title), "%s, generation %" PRIu64 ": relying party",
		 bdf_format(subject->function->address, address), subject->stated->generation);
	r = evidence_document(&document, &options.input_size, subject, ret_error);
	if (r < 0)
		return refuse(ret_error, r, "the evidence cannot be written down: %s",
			      strerror(-r));
	options.title = party->title;
	options.input = document;
	options.userdata = party;
	r = program_new(&party->program, loop, &options);
	if (r < 0)
		return refuse(ret_error, r, "the relying party's command %s cannot be run: %s",
			      json_shown(command->arguments[0]), strerror(-r));
	log_debug("%s: asked, %zu bytes of evidence", party->title, options.input_size);
	*ret = steal_ptr(party);
	return 0;
}

RelyingParty *relying_party_free(RelyingParty *party)
{
	if (party->program)
		program_free(party->program);
	free(party);
	return NULL;
}
