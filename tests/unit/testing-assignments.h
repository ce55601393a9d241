/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A caller of io.tdid.Assignments beside testing-tdi.h's daemon. */
#pragma once

#include "testing-tdi.h"

typedef struct TestingCaller {
	VarlinkClient *client;
	char *answer; /* "ok PARAMETERS", "NAME PARAMETERS" or "lost"; NULL: none yet */
	char *told;   /* PARAMETERS of what came before it, one behind the other */
} TestingCaller;

static inline void on_testing_answer(VarlinkClient *client, const VarlinkReply *reply,
				     void *userdata)
{
	TestingCaller *caller = userdata;

	if (reply->status == 0 && reply->continues) {
		_cleanup_free_ char *before = caller->told;

		cr_assert_geq(
			asprintf(&caller->told, "%s%s\n", before ?: "",
				 json_object_to_json_string_ext(
					 reply->parameters,
					 JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE)),
			0);
		return;
	}
	free(caller->answer);
	if (reply->status < 0)
		caller->answer = strdup("lost");
	else
		cr_assert_geq(
			asprintf(&caller->answer, "%s %s",
				 reply->error ? strrchr(reply->error, '.') + 1 : "ok",
				 json_object_to_json_string_ext(
					 reply->parameters,
					 JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE)),
			0);
}

static inline void testing_caller_done(TestingCaller *caller)
{
	caller->client = varlink_client_free(caller->client);
	free(caller->answer);
	free(caller->told);
	caller->answer = caller->told = NULL;
}

/* One call on a connection of its own. What `more` brings before the answer is in `told`. */
static inline void testing_ask(TestingCaller *caller, const char *method, const char *parameters,
			       bool more)
{
	_cleanup_(json_unrefp) json_object *o = NULL;
	char path[128], full[64];

	testing_caller_done(caller);
	caller->told = strdup("");
	snprintf(path, sizeof(path), "%s/io.tdid.Assignments", d.directory);
	snprintf(full, sizeof(full), "io.tdid.Assignments.%s", method);
	cr_assert_eq(varlink_client_connect(&caller->client, d.event, path, NULL, NULL), 0);
	cr_assert_eq(json_parse(&o, parameters, strlen(parameters), NULL), 0, "%s", parameters);
	cr_assert_eq(varlink_client_call(caller->client, full, o, more ? VARLINK_CALL_MORE : 0, 0,
					 on_testing_answer, caller),
		     0);
}

/* The same with one parameter; `value` may be NULL. */
static inline void testing_call_with(TestingCaller *caller, const char *method,
				     const char *parameter, const char *value)
{
	_cleanup_(json_unrefp) json_object *o = NULL;
	char path[128], full[64];

	testing_caller_done(caller);
	snprintf(path, sizeof(path), "%s/io.tdid.Assignments", d.directory);
	snprintf(full, sizeof(full), "io.tdid.Assignments.%s", method);
	cr_assert_eq(varlink_client_connect(&caller->client, d.event, path, NULL, NULL), 0);
	cr_assert_eq(json_build(&o, J_STRING(parameter, value)), 0);
	cr_assert_eq(varlink_client_call(caller->client, full, o, 0, 0, on_testing_answer, caller),
		     0);
}

/* The same where the parameter is `dsm`. */
static inline void testing_call(TestingCaller *caller, const char *method, const char *dsm)
{
	testing_call_with(caller, method, "dsm", dsm);
}

/* Whether the answer, when it is there, contains the text. */
static inline void testing_answered(TestingCaller *caller, const char *text)
{
	UNTIL(d.event, caller->answer);
	cr_assert(strstr(caller->answer, text), "%s: %s", text, caller->answer);
}
