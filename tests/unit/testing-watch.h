/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Calls of io.tdid.Assignments with any parameters, and all that is answered, beside testing-tdi.h.
 */
#pragma once

#include "testing-tdi.h"

typedef struct TestingWatch {
	VarlinkClient *client;
	/* A line for each answer, "ok PARAMETERS", "NAME PARAMETERS" or "lost"; the latest ones. */
	char *log;
	unsigned int answers, assignments, initials; /* with an assignment, with initial: true */
	int64_t sequence;			     /* of the latest */
	char instance[64];
	bool up_to_date; /* the entry without an assignment has come */
	bool rising;	 /* sequences have, but for those of initial entries */
} TestingWatch;

static inline void on_testing_watch(VarlinkClient *client, const VarlinkReply *reply,
				    void *userdata)
{
	TestingWatch *w = userdata;
	_cleanup_free_ char *before = w->log;
	json_object *o = reply->status < 0 ? NULL : reply->parameters;
	int64_t sequence = json_get_int(o, "sequence", 0);
	const char *instance = json_get_string(o, "instance");
	bool initial = json_get_bool(o, "initial", false);

	cr_assert_geq(
		asprintf(&w->log, "%s%s %s\n", before && strlen(before) < 65536 ? before : "",
			 !o		? "lost"
			 : reply->error ? strrchr(reply->error, '.') + 1
					: "ok",
			 o ? json_object_to_json_string_ext(
				     o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE)
			   : ""),
		0);
	w->answers++;
	w->assignments += json_get_object(o, "assignment") != NULL;
	w->initials += initial;
	if (instance) {
		snprintf(w->instance, sizeof(w->instance), "%s", instance);
		w->up_to_date |= !json_get_object(o, "assignment");
		if (!initial && sequence <= w->sequence && w->assignments > 0 &&
		    json_get_object(o, "assignment"))
			w->rising = false;
		w->sequence = sequence;
	}
}

static inline void testing_watch_done(TestingWatch *w)
{
	w->client = varlink_client_free(w->client);
	free(w->log);
	*w = (TestingWatch){};
}

/* On a connection of its own; `parameters` is JSON, with ' for ". */
static inline void testing_watch(TestingWatch *w, const char *method, unsigned int flags,
				 const char *parameters)
{
	_cleanup_(json_unrefp) json_object *o = NULL;
	_cleanup_free_ char *text = strdup(parameters);
	char path[128], full[64];

	testing_watch_done(w);
	w->rising = true;
	w->log = strdup("");
	for (char *p = text; (p = strchr(p, '\'')); p++)
		*p = '"';
	cr_assert_eq(json_parse(&o, text, strlen(text), NULL), 0, "%s", text);
	snprintf(path, sizeof(path), "%s/io.tdid.Assignments", d.directory);
	snprintf(full, sizeof(full), "io.tdid.Assignments.%s", method);
	cr_assert_eq(varlink_client_connect(&w->client, d.event, path, NULL, NULL), 0);
	cr_assert_eq(varlink_client_call(w->client, full, o, flags, 0, on_testing_watch, w), 0);
}

/* Whether the first answer, when it is there, contains the text. */
#define TESTING_ANSWERED(w, text)                                                                  \
	do {                                                                                       \
		UNTIL(d.event, (w)->answers);                                                      \
		cr_assert(strstr((w)->log, (text)), "%s: %s", (text), (w)->log);                   \
	} while (0)
