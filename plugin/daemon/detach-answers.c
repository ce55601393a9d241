/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the callers of Detach are told. */
#include "daemon/detach-private.h"

#include "daemon/assignment-view.h"
#include "daemon/assignments-service.h"
#include "daemon/refusal.h"

#include <errno.h>
#include <string.h>

int detach_refuse(VarlinkCall *call, const Assignment *a, const char *why)
{
	_cleanup_free_ char *object = assignment_title(a);

	return object ? refusal_say(call, object, "detach", "%s", why) : -ENOMEM;
}

/* Of one whose guest was reset it is not: the device is still there. */
bool detach_is_over(const Assignment *a, AssignmentState state)
{
	return !a->reset && (state == ASSIGNMENT_RELEASED || state == ASSIGNMENT_FAILED);
}

int detach_answer_quarantined(VarlinkCall *call, const DetachMoment *moment, json_object *o)
{
	const Assignment *a = moment->a;
	_cleanup_free_ char *message = NULL, *object = assignment_title(a);
	char device[BDF_STRING_SIZE];

	if (!object ||
	    asprintf(&message,
		     "%s: detach: it is quarantined: %s. 'tdictl clear %s' is the way out", object,
		     a->reason ?: "what the TSM holds of it is not known",
		     bdf_format(a->tdi->bdf, device)) < 0)
		message = NULL;
	return varlink_call_errorb(call, "NotReached", J_REF("assignment", o),
				   J_STRING("message", message ?: "it is quarantined"));
}

int detach_settle(Tdid *tdid, const TimedCall *waiting, void *userdata)
{
	const DetachMoment *moment = userdata;
	_cleanup_(json_unrefp) json_object *o = NULL;
	int r;

	if (moment->why)
		return detach_refuse(waiting->call, moment->a, moment->why);
	r = assignment_view_to_json(tdid, moment->a, &(Moment){ moment->state, moment->generation },
				    &o);
	if (r < 0)
		return r;
	if (detach_is_over(moment->a, moment->state))
		return varlink_call_replyb(waiting->call, J_REF("assignment", o));
	if (moment->state == ASSIGNMENT_QUARANTINED)
		return detach_answer_quarantined(waiting->call, moment, o);
	if (varlink_call_is_more(waiting->call))
		varlink_call_notifyb(waiting->call, J_REF("assignment", o));
	return 1;
}

static int say_timed_out(char **ret, Tdid *tdid, const TimedCall *waiting)
{
	const Assignment *a = waiting->object;
	const EngineAssignment *e = engine_assignment(tdid->engine, a->id);
	const DetachRequest *request =
		detach_requests_find(assignments_service_detach_requests(tdid->assignments), a);
	const char *state = assignment_state_name(e->state);
	double seconds = (double)waiting->timeout_usec / 1e6;
	_cleanup_free_ char *object = assignment_title(a);

	if (!object)
		return -ENOMEM;
	if (request && request->not_yet)
		return asprintf(ret,
				"%s: detach: after %.1f s it is %s, and libvirt has not taken it: "
				"%s. Ask again",
				object, seconds, state, request->not_yet);
	return asprintf(ret,
			"%s: detach: after %.1f s it is %s%s. What was asked for stands: ask "
			"again, or look into the guest; to stop the domain takes it back in any "
			"case",
			object, seconds, state,
			e->present ? ", and the guest has not let it go" : "");
}

int detach_timed_out(Tdid *tdid, const TimedCall *waiting)
{
	const Assignment *a = waiting->object;
	const EngineAssignment *e = engine_assignment(tdid->engine, a->id);
	_cleanup_(json_unrefp) json_object *o = NULL;
	_cleanup_free_ char *message = NULL;
	int r = assignment_view_to_json(tdid, a, &(Moment){ e->state, e->generation }, &o);

	if (r >= 0 && say_timed_out(&message, tdid, waiting) < 0) {
		message = NULL;
		r = -ENOMEM;
	}
	return r < 0 ? r
		     : varlink_call_errorb(waiting->call, "TimedOut", J_REF("assignment", o),
					   J_STRING("message", message));
}
