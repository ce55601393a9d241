/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "agent/tell.h"

#include "rpc/log.h"

#include <string.h>

/* Takes the parameters; r: of making them. */
static bool tell(TellSubject subject, const char *event, json_object *parameters, int r)
{
	if (r < 0)
		log_warning("%s: event %s cannot be told: %s", subject.name, event, strerror(-r));
	else
		r = session_event(subject.session, event, parameters);
	json_object_put(parameters);
	return r >= 0;
}

void tell_ready(TellSubject subject)
{
	json_object *p = NULL;
	int r = json_build(&p, J_STRING("name", subject.name),
			   J_STRING("address", subject.address));

	tell(subject, "Ready", p, r);
}

bool tell_verdict(TellSubject subject, bool accepted, const char *step, const char *reason)
{
	json_object *p = NULL;
	int r = json_build(&p, J_STRING("name", subject.name),
			   J_INT("generation", (int64_t)subject.generation),
			   J_STRING("verdict", accepted ? "accepted" : "rejected"),
			   J_STRING("step", step), J_STRING("reason", reason));

	return tell(subject, "Verdict", p, r);
}

void tell_progress(TellSubject subject, const char *step)
{
	json_object *p = NULL;
	int r = json_build(&p, J_STRING("name", subject.name),
			   J_INT("generation", (int64_t)subject.generation), J_STRING("step", step),
			   J_INT("at_usec", (int64_t)(loop_now() - subject.locked_at)));

	tell(subject, "Progress", p, r);
}

void tell_driver(TellSubject subject, const char *driver)
{
	json_object *p = NULL;
	int r = json_build(&p, J_STRING("name", subject.name),
			   J_INT("generation", (int64_t)subject.generation),
			   J_STRING("driver", driver));

	tell(subject, "DriverBound", p, r);
}
